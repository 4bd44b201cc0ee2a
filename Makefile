# The menu. What each line does is written in xtask.

.PHONY: demo test bench fix codegen

demo: ## build what is missing and start Hayloft with the sample plugins
	cargo xtask demo

test: ## every test: Rust, TypeScript, end to end
	cargo xtask test

bench: ## the ratios of docs/performance.md on this machine
	cargo xtask bench

fix: ## format and mend what the linters can mend
	cargo xtask fix

codegen: ## write schemas/ anew
	cargo xtask codegen
