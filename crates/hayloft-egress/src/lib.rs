//! The only way out: names are compared with a policy, looked up, vetted, and what was vetted is dialled.
//!
//! [`Egress`] makes connections for the host itself and for jails; [`HttpClient`] speaks HTTP over them, and an [`Outlet`]
//! hands them out under limits, with TLS where that belongs; [`jail`] answers the names and connections of one jail. It must not know what is said over a connection, nor which plugin or
//! organization asks: a [`Policy`] says what may be reached.

mod dial;
mod http;
pub mod jail;
mod outlet;
mod policy;
mod resolve;
mod tls;
mod vet;

pub use crate::http::{HttpClient, HttpError, HttpLimits, UrlFault};
pub use dial::{ConnectError, Dial, Egress, SystemDialer};
pub use hayloft_model::{HostName, HostNameError};
pub use outlet::{Outlet, OutletError, OutletStream, Place, Security};
pub use policy::{Denial, Permit, Policy, PrivateGrant, PrivateGrantError, Reach};
pub use resolve::{Resolve, ResolveError, SystemResolver};
pub use tls::{Tls, TlsError, add_roots, system_roots};
pub use tokio_rustls::rustls::RootCertStore;
pub use vet::{Special, vet};
