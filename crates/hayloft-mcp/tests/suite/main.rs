//! The crate from outside: what clients see of the endpoint, and what servers can do to a session.

#[cfg(test)]
mod gateway;
#[cfg(test)]
mod http;
#[cfg(test)]
mod misbehaving;
#[cfg(test)]
mod remote;
#[cfg(test)]
mod support;
#[cfg(test)]
mod upstream;
