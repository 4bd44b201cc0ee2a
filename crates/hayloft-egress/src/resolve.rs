//! From a name to addresses: the port, and its real implementation on the system's name servers.
//!
//! It must not know which addresses are good: whoever asks vets them.

use std::net::IpAddr;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use hayloft_model::HostName;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use tokio::sync::Semaphore;

#[cfg(test)]
mod tests;

/// How many addresses of one name are looked at.
const MOST_ADDRESSES: usize = 16;

/// How many names may be asked for at once by everybody together.
const MOST_QUESTIONS: usize = 256;

/// How many answers are remembered, each as long as it says, but at most for [`LONGEST_MEMORY`].
const REMEMBERED: u64 = 4096;

/// An address that has moved is found again after so long.
const LONGEST_MEMORY: Duration = Duration::from_secs(60);

/// What a name server has for its answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Finds addresses.
pub trait Resolve: Send + Sync + 'static {
    /// All addresses of a name, as they are: private ones, too.
    fn resolve<'a>(&'a self, host: &'a HostName) -> BoxFuture<'a, Result<Vec<IpAddr>, ResolveError>>;
}

/// Why a name has no addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// There is no such name, or it has no address.
    #[error("the name is unknown")]
    Unknown,
    /// Nobody answered.
    #[error("no name server answered: {0}")]
    NoAnswer(String),
}

/// The name servers and the hosts file of this machine.
pub struct SystemResolver {
    /// A machine without a network has perhaps no settings for it either, and what needs none goes on there.
    resolver: Result<TokioResolver, ResolveError>,
    questions: Semaphore,
}

impl SystemResolver {
    /// Reads the machine's settings. Where that fails, every question is answered with the reason.
    #[must_use]
    pub fn new() -> Self {
        Self::of(TokioResolver::builder_tokio())
    }

    fn of(settings: Result<Settings, NetError>) -> Self {
        let resolver = settings.and_then(build).map_err(|error| ResolveError::NoAnswer(error.to_string()));
        if let Err(error) = &resolver {
            tracing::warn!(%error, "names of the outside cannot be looked up");
        }
        Self { resolver, questions: Semaphore::new(MOST_QUESTIONS) }
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::new()
    }
}

/// Which name servers there are.
type Settings = ResolverBuilder<TokioRuntimeProvider>;

fn build(mut builder: Settings) -> Result<TokioResolver, NetError> {
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.cache_size = REMEMBERED;
    options.positive_max_ttl = Some(LONGEST_MEMORY);
    options.negative_max_ttl = Some(LONGEST_MEMORY);
    options.timeout = PATIENCE;
    options.attempts = 2;
    builder.build()
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a HostName) -> BoxFuture<'a, Result<Vec<IpAddr>, ResolveError>> {
        async move {
            let closed = |_| ResolveError::NoAnswer(String::from("the resolver is closed"));
            metrics::counter!("hayloft_egress_host_lookups_total").increment(1);
            let _turn = self.questions.acquire().await.map_err(closed)?;
            // With the dot at its end it is never completed by the machine's own domains.
            let found = self.resolver.as_ref().map_err(Clone::clone)?.lookup_ip(format!("{host}.")).await;
            let found = found.map_err(|error| match error.is_no_records_found() {
                true => ResolveError::Unknown,
                false => ResolveError::NoAnswer(error.to_string()),
            })?;
            Ok(found.iter().take(MOST_ADDRESSES).collect())
        }
        .boxed()
    }
}
