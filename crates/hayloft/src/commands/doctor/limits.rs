//! What a worker may use on this machine, and who sees to it.

use hayloft_model::size;
use hayloft_sandbox::{IsolationReport, Tier};
use serde::Serialize;

use crate::config::Config;

/// A limit of every worker, unless its plugin has one of its own.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LimitLine {
    pub(super) what: &'static str,
    pub(super) value: String,
    pub(super) setting: &'static str,
    pub(super) kept_by: &'static str,
}

/// All of them.
pub(super) fn lines(config: &Config, isolation: &IsolationReport) -> Vec<LimitLine> {
    let (tier, groups) = (isolation.tier, super::has_groups(isolation));
    let resources = &config.limits.resources;
    let by = |otherwise: &'static str| if groups { "a control group" } else { otherwise };
    let line = |what, value, setting, kept_by| LimitLine { what, value, setting, kept_by };
    vec![
        line(
            "memory",
            size::show(resources.memory),
            "limits.worker_memory",
            by("a watch: what exceeds it is ended a moment later"),
        ),
        line(
            "memory that one process may ask for",
            size::show(resources.data_segment),
            "limits.worker_process_memory",
            "the kernel, per process",
        ),
        line(
            "JavaScript's heap",
            format!("{}MiB", resources.old_space_mib),
            "limits.worker_heap_mib",
            "Node",
        ),
        line(
            "tasks",
            resources.tasks.to_string(),
            "limits.worker_tasks",
            by(match tier {
                Tier::A | Tier::B => "the kernel, per user namespace",
                Tier::C | Tier::Off => "the kernel, together with what else the user runs",
            }),
        ),
        line(
            "processor",
            format!("{} % of one core", resources.processor),
            "limits.worker_processor",
            by("nobody: workers only have a lower priority than the host"),
        ),
        line(
            "temporary files",
            size::show(resources.temporary),
            "limits.worker_temporary",
            if tier <= Tier::B { "the size of `/tmp`" } else { "nobody: only single files are limited" },
        ),
        line("one file", size::show(resources.file_size), "limits.worker_file_size", "the kernel, per file"),
        line(
            "open files",
            resources.open_files.to_string(),
            "limits.worker_open_files",
            "the kernel, per process",
        ),
    ]
}
