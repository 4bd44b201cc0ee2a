//! MCP servers that the host keeps up beside a worker: processes of the plugin's folder, each with a task that starts
//! it, starts it again when it ends, and knows how it is.

use std::fmt;
use std::io;
use std::sync::Weak;

use hayloft_model::plugin::{Command, McpTransport};
use hayloft_model::{Secret, ServerId};
use hayloft_sandbox::Jail;
use tokio::net::TcpStream;
use tokio::time::Instant;

mod supervisor;

pub(crate) use supervisor::{Kept, News, Supervisor};

/// A server to keep up.
#[derive(Clone, Debug)]
pub struct KeptServer {
    /// Unique within the plugin.
    pub id: ServerId,
    /// What to start.
    pub command: Command,
    /// What it may speak over, in the order in which that is tried.
    pub transports: Vec<McpTransport>,
    /// What its process gets beside what every process gets and the organization's settings, which it wins over.
    pub environment: Vec<(String, Secret<String>)>,
}

/// How a server is that is kept up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerHealth {
    /// It is being started.
    Starting,
    /// It answers.
    Ready,
    /// It does not run.
    Down {
        /// What happened, for people.
        error: String,
        /// When it is started again.
        until: Instant,
    },
}

impl ServerHealth {
    /// The name that the API shows.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Down { .. } => "down",
        }
    }
}

/// Why a server is not kept up. Told to the plugin's author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeepRefused {
    /// The worker serves nobody, or nobody any more.
    #[error("the worker is stopping, or has no organization yet")]
    NotBound,
    /// The worker itself opened a server of this id.
    #[error("the MCP server `{0}` is open already")]
    Open(ServerId),
    /// It has too many.
    #[error("a plugin can have at most {0} MCP servers open")]
    TooMany(usize),
}

/// The way to a server that listens inside a jail. Holding it keeps nothing alive.
#[derive(Clone)]
pub struct JailConnector {
    jail: Weak<Jail>,
    port: u16,
}

impl JailConnector {
    pub(crate) const fn new(jail: Weak<Jail>, port: u16) -> Self {
        Self { jail, port }
    }

    /// The port that the server listens on, inside its jail.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// A new connection to the server.
    ///
    /// # Errors
    /// When nothing listens, or the jail has ended.
    pub async fn connect(&self) -> io::Result<TcpStream> {
        let ended = || io::Error::new(io::ErrorKind::NotConnected, "the jail has ended");
        let jail = self.jail.upgrade().ok_or_else(ended)?;
        let stream = jail.connect(self.port).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl fmt::Debug for JailConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JailConnector").field("port", &self.port).finish_non_exhaustive()
    }
}
