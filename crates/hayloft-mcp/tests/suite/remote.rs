//! Servers on a network: real ones, and hosts that a test plays, down to the bytes.

mod hostile;
mod real;
mod renewal;
mod sse;
mod streamable;
mod support;
mod websocket;
