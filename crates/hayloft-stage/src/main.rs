//! `hayloft-stage`: becomes a jail and its first process. It is started by the sandbox and by nobody else.

fn main() -> std::process::ExitCode {
    hayloft_stage::run()
}
