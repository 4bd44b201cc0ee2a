//! Compiles the policy of system calls, `policy/worker.seccomp.json`, into programs of the kernel's filter machine:
//! one file per filter in `OUT_DIR`, eight bytes per instruction in the byte order of the machine. So the stage parses
//! nothing at run time, and a wrong policy is found by the build.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use seccompiler::{BpfProgram, TargetArch, sock_filter};

const POLICY: &str = "policy/worker.seccomp.json";

/// The filters that `src/seccomp.rs` includes.
const FILTERS: [&str; 5] = ["worker", "no_internet", "landlock_gaps", "unwatched_memory", "absent"];

/// Instruction codes of the filter machine, as in `linux/bpf_common.h`: BPF_JMP | BPF_JEQ | BPF_K and so on.
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP: u16 = 0x05;
const RETURN: u16 = 0x06;

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed={POLICY}");
    println!("cargo::rerun-if-changed=build.rs");
    match compile() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problems) => {
            for problem in problems {
                println!("cargo::error=failed to compile `{POLICY}`: {problem}");
            }
            ExitCode::FAILURE
        }
    }
}

fn compile() -> Result<(), Vec<String>> {
    if variable("CARGO_CFG_TARGET_ARCH").as_deref() != Some("x86_64") {
        return Err(vec![
            "the policy names the system calls of x86_64, and the target is another machine".to_owned(),
        ]);
    }
    let out =
        variable("OUT_DIR").map(PathBuf::from).ok_or_else(|| vec!["cargo set no `OUT_DIR`".to_owned()])?;
    let text = fs::read(POLICY).map_err(|error| vec![error.to_string()])?;
    let mut programs: BTreeMap<String, BpfProgram> =
        seccompiler::compile_from_json(text.as_slice(), TargetArch::x86_64)
            .map_err(|error| vec![error.to_string()])?
            .into_iter()
            .collect();
    let mut problems = Vec::new();
    for name in FILTERS {
        match programs.remove(name) {
            Some(program) => problems.extend(write(&out, name, &compact(&program)).err()),
            None => problems.push(format!("the filter `{name}` is missing")),
        }
    }
    problems.extend(programs.keys().map(|name| format!("nothing installs the filter `{name}`")));
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Shortens what the compiler makes of a rule without conditions, from five instructions to two: compare and return.
/// The kernel walks through the whole program once per call number when it takes a filter, so every start of a jail
/// pays for the length. No jump of the rest leads into or across such a rule: each stays within its own call.
fn compact(program: &[sock_filter]) -> BpfProgram {
    let mut compacted = BpfProgram::with_capacity(program.len());
    let mut rest = program;
    while let Some((first, after)) = rest.split_first() {
        compacted.push(first.clone());
        rest = match rest {
            [compare, enter, leave, matched, mismatched, after @ ..]
                if (compare.code, compare.jt, compare.jf) == (JUMP_IF_EQUAL, 0, 1)
                    && (enter.code, enter.k) == (JUMP, 1)
                    && (leave.code, leave.k) == (JUMP, 2)
                    && matched.code == RETURN
                    && mismatched.code == RETURN =>
            {
                compacted.push(matched.clone());
                after
            }
            _ => after,
        };
    }
    compacted
}

fn write(out: &Path, name: &str, program: &BpfProgram) -> Result<(), String> {
    let mut bytes = Vec::with_capacity(program.len() * 8);
    for instruction in program {
        bytes.extend(instruction.code.to_ne_bytes());
        bytes.extend([instruction.jt, instruction.jf]);
        bytes.extend(instruction.k.to_ne_bytes());
    }
    let path = out.join(format!("{name}.bpf"));
    fs::write(&path, bytes).map_err(|error| format!("cannot write `{}`: {error}", path.display()))
}

#[expect(clippy::disallowed_methods, reason = "cargo speaks to a build script through the environment")]
fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}
