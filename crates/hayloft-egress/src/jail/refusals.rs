//! What was refused to a jail, told to whoever watches: the first of each kind at once, repetitions as a number.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::Special;

use super::hello::Fault;

/// How long repetitions are counted before their number is told.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);

/// How many different refusals for one reason are told within that time; the others are one number. It is counted by
/// reason, so that many of one kind do not hide one of another.
const MOST: usize = 8;

/// Longest text of a host, in bytes.
const LONGEST_HOST: usize = 256;

/// Is told what was refused.
pub trait Watch: Send + Sync + 'static {
    /// Something was refused, once or more. It must return quickly.
    fn refused(&self, refusal: Refusal);
}

/// Something that a jail was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The name that was asked for or connected to, or the address where it stood for none. Whatever a jail wrote, made
    /// harmless.
    pub host: Option<String>,
    /// The port, for connections.
    pub port: Option<u16>,
    /// Why.
    pub reason: Reason,
    /// How often, since it was told last.
    pub times: u64,
}

/// Why something was refused. Completes "refused because …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The host may not be reached.
    Host,
    /// The host may not be reached at this port.
    Port,
    /// The host's address is not a public one.
    NotPublic(Special),
    /// The TLS handshake names no host.
    NoServerName,
    /// The TLS handshake names another host.
    OtherServerName,
    /// The TLS handshake hides its host.
    HiddenServerName,
    /// The TLS handshake cannot be read, or none came where there must be one.
    NoTls,
    /// The address stands for no name.
    NoName,
    /// It has asked for too many names.
    TooManyNames,
    /// Many things for many reasons; only their number was kept.
    Various,
}

impl Reason {
    /// A short name for figures and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Port => "port",
            Self::NotPublic(_) => "address",
            Self::NoServerName => "no-server-name",
            Self::OtherServerName => "other-server-name",
            Self::HiddenServerName => "hidden-server-name",
            Self::NoTls => "no-tls",
            Self::NoName => "no-name",
            Self::TooManyNames => "too-many-names",
            Self::Various => "various",
        }
    }
}

impl From<Fault> for Reason {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unnamed => Self::NoServerName,
            Fault::AnotherHost => Self::OtherServerName,
            Fault::Hidden => Self::HiddenServerName,
            Fault::Unreadable => Self::NoTls,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "the host is not among those that the plugin may reach",
            Self::Port => "the host may be reached, but not at this port",
            Self::NotPublic(special) => {
                return write!(f, "its address is not one of the public internet ({special})");
            }
            Self::NoServerName => "the TLS handshake names no host",
            Self::OtherServerName => "the TLS handshake names another host",
            Self::HiddenServerName => "the TLS handshake hides its host",
            Self::NoTls => "it is not the TLS handshake that there must be at this port",
            Self::NoName => "the address stands for no name; look the name up first",
            Self::TooManyNames => "it has looked up too many names",
            Self::Various => "of various reasons",
        })
    }
}

/// Counts the refusals of one jail. What was counted and not yet told is told at its end.
pub(crate) struct Refusals {
    watch: Arc<dyn Watch>,
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    kinds: HashMap<(Option<String>, Option<u16>, Reason), Repeated>,
    others: Option<Repeated>,
}

/// How often something came again, and who is told of it.
struct Repeated {
    times: u64,
    watch: Arc<dyn Watch>,
}

impl Refusals {
    pub(crate) fn new(watch: Arc<dyn Watch>) -> Self {
        Self { watch, counted: Mutex::default() }
    }

    pub(crate) fn note(&self, host: Option<String>, port: Option<u16>, reason: Reason) {
        self.note_for(&self.watch, host, port, reason);
    }

    /// The same where another one is told. Repetitions are told to whoever was told of the first.
    pub(crate) fn note_for(
        &self,
        watch: &Arc<dyn Watch>,
        host: Option<String>,
        port: Option<u16>,
        reason: Reason,
    ) {
        metrics::counter!("hayloft_egress_refusals_total", "reason" => reason.as_str()).increment(1);
        let host = host.map(|mut host| {
            host.truncate(host.floor_char_boundary(LONGEST_HOST));
            host
        });
        {
            let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            let kind = (host.clone(), port, reason);
            if let Some(repeated) = counted.kinds.get_mut(&kind) {
                repeated.times += 1;
                return;
            }
            let first = || Repeated { times: 0, watch: Arc::clone(watch) };
            if counted.kinds.keys().filter(|(_, _, other)| other.as_str() == reason.as_str()).count() >= MOST
            {
                counted.others.get_or_insert_with(first).times += 1;
                return;
            }
            counted.kinds.insert(kind, first());
        }
        watch.refused(Refusal { host, port, reason, times: 1 });
    }

    /// Tells what was only counted, and begins anew.
    pub(crate) fn tell(&self) {
        let counted = std::mem::take(&mut *self.counted.lock().unwrap_or_else(PoisonError::into_inner));
        for ((host, port, reason), Repeated { times, watch }) in counted.kinds {
            if times > 0 {
                watch.refused(Refusal { host, port, reason, times });
            }
        }
        if let Some(Repeated { times, watch }) = counted.others {
            watch.refused(Refusal { host: None, port: None, reason: Reason::Various, times });
        }
    }
}

impl Drop for Refusals {
    fn drop(&mut self) {
        self.tell();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<Refusal>>);

    impl Watch for Heard {
        fn refused(&self, refusal: Refusal) {
            self.0.lock().unwrap().push(refusal);
        }
    }

    #[test]
    fn a_storm_is_a_few_lines_and_none_is_lost_from_the_count() {
        let heard = Arc::new(Heard::default());
        let refusals = Refusals::new(heard.clone());
        for _ in 0..1000 {
            refusals.note(Some("a.test".into()), Some(443), Reason::Host);
        }
        assert_eq!(heard.0.lock().unwrap().len(), 1);
        for number in 0..1000 {
            refusals.note(Some(format!("{number}.test")), None, Reason::Host);
        }
        assert_eq!(heard.0.lock().unwrap().len(), MOST);
        refusals.note(Some("a.test".into()), Some(443), Reason::OtherServerName);
        assert_eq!(heard.0.lock().unwrap().len(), MOST + 1, "noise hides nothing of another kind");
        refusals.tell();
        drop(refusals);
        let heard = heard.0.lock().unwrap();
        assert_eq!(heard.len(), MOST + 3);
        assert_eq!(heard.iter().map(|refusal| refusal.times).sum::<u64>(), 2001);
        assert!(heard.iter().any(|refusal| refusal.reason == Reason::Various));
    }

    #[test]
    fn a_long_host_is_cut() {
        let heard = Arc::new(Heard::default());
        Refusals::new(heard.clone()).note(Some("ä".repeat(1000)), None, Reason::Host);
        assert_eq!(heard.0.lock().unwrap()[0].host.as_ref().unwrap().len(), LONGEST_HOST);
    }
}
