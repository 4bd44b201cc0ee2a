//! Callers: each has a connection of its own and does one call after the other.

pub(crate) mod connection;
pub(crate) mod mcp;
pub(crate) mod pipe;
pub(crate) mod route;

use std::net::SocketAddr;

use bytes::Bytes;
use http::Method;

use self::mcp::McpCaller;
use self::pipe::{Pipe, PipeCaller};
use self::route::RouteCaller;

/// What callers call, and how.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A tool by MCP over Streamable HTTP.
    Mcp {
        /// Where the server listens.
        address: SocketAddr,
        /// The path of its endpoint.
        path: String,
        /// The bearer token, if it wants one.
        token: Option<String>,
        /// The revision of the protocol that the caller speaks.
        revision: &'static str,
        /// The call.
        tool: Tool,
    },
    /// A tool by MCP over the pipes of one process, shared by all callers.
    Pipe {
        /// The process.
        pipe: Pipe,
        /// The call.
        tool: Tool,
    },
    /// A route by HTTP.
    Route {
        /// Where the server listens.
        address: SocketAddr,
        /// The method.
        method: Method,
        /// Path and query.
        path: String,
        /// Headers beside those of HTTP itself.
        headers: Vec<(&'static str, String)>,
        /// The body.
        body: Bytes,
    },
}

/// A tool call that is the same every time.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    /// The tool's name.
    pub(crate) name: &'static str,
    /// Its arguments as JSON.
    pub(crate) arguments: &'static str,
    /// What the answer must contain.
    pub(crate) expected: &'static str,
}

/// One of many who call at the same time.
#[derive(Debug)]
pub(crate) enum Caller {
    Mcp(McpCaller),
    Pipe(PipeCaller),
    Route(RouteCaller),
}

impl Target {
    /// A further caller, connected and with a session where there are sessions.
    pub(crate) async fn connect(&self) -> anyhow::Result<Caller> {
        Ok(match self {
            Self::Mcp { address, path, token, revision, tool } => {
                Caller::Mcp(McpCaller::open(*address, path, token.as_deref(), revision, tool.clone()).await?)
            }
            Self::Pipe { pipe, tool } => Caller::Pipe(PipeCaller::new(pipe.clone(), tool.clone())),
            Self::Route { address, method, path, headers, body } => {
                Caller::Route(RouteCaller::open(*address, method.clone(), path, headers, body.clone()).await?)
            }
        })
    }
}

impl Caller {
    /// Sees to it that the next call finds an open connection.
    pub(crate) async fn reopen(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Mcp(caller) => caller.reopen().await,
            Self::Pipe(_) => Ok(()),
            Self::Route(caller) => caller.reopen().await,
        }
    }

    /// Makes a call and checks its answer.
    pub(crate) async fn call(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Mcp(caller) => caller.call().await,
            Self::Pipe(caller) => caller.call().await,
            Self::Route(caller) => caller.call().await,
        }
    }
}
