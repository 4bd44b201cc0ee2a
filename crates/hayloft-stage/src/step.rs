//! The steps of a start, in their order, and what each is called in an error.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Each step is written once: what it is for, its name, and the text that completes "failed to …".
macro_rules! steps {
    ($($(#[$documentation:meta])+ $step:ident => $text:literal,)+) => {
        /// A step of the start of a jail or of a process in it. Each completes "failed to …".
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Step {
            $($(#[$documentation])+ $step,)+
        }

        impl Step {
            /// Every step, in order.
            pub const ALL: &[Self] = &[$(Self::$step,)+];
        }

        impl fmt::Display for Step {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$step => $text,)+
                })
            }
        }
    };
}

steps! {
    /// Checking the specification, making pipes, starting the stage.
    Prepare => "prepare the start",
    /// The stage reading what it shall be.
    Stage => "run the stage",
    /// Resource limits.
    Limits => "set the resource limits",
    /// The control group.
    Group => "enter the control group",
    /// A user namespace, and the map of its ids.
    UserNamespace => "make a user namespace",
    /// Process numbers of its own.
    ProcessNamespace => "make a process namespace",
    /// Mounts of its own.
    MountNamespace => "make a mount namespace",
    /// A network of its own.
    NetworkNamespace => "make a network namespace",
    /// The small namespaces: IPC, host name, control groups.
    OtherNamespaces => "make the IPC, host name and control group namespaces",
    /// Making the jail's first process.
    Fork => "make the first process",
    /// Dying with the host, and adopting orphans.
    Lifeline => "tie the first process to the host's life",
    /// The loopback interface.
    Loopback => "bring up the loopback interface",
    /// An empty root.
    Root => "make an empty root",
    /// One of the things in it.
    Mount => "mount",
    /// Process numbers to look at.
    Proc => "mount `/proc`",
    /// Leaving the host's file system behind.
    Pivot => "leave the host's file system",
    /// The socket of the gate.
    Gate => "open the socket of the gate",
    /// An id that is nobody else's.
    Identity => "take an id of its own",
    /// Giving up all capabilities.
    Capabilities => "drop the capabilities",
    /// No new privileges.
    Privileges => "refuse new privileges",
    /// What Landlock allows.
    Landlock => "set the Landlock rules",
    /// The system calls that are allowed.
    SystemCalls => "set the system call filter",
    /// A session of its own, without a terminal.
    Session => "open a session",
    /// Only the descriptors that were named.
    Descriptors => "pass the descriptors",
    /// The working directory.
    WorkingDirectory => "enter the working directory",
    /// Becoming the program.
    Execute => "execute",
    /// A socket that leads to one of the processes.
    Socket => "make a socket in the jail's own network",
}

impl Step {
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The step that a process of that name is in: the stage keeps its own name so.
    #[must_use]
    pub fn of_process(name: &str) -> Option<Self> {
        Self::from_number(name.trim_end().strip_prefix("step-")?.parse().ok()?)
    }
}
