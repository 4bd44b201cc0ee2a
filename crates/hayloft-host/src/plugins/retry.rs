//! Newer versions that could not be brought into service: what is wrong with them stays wrong until there is another one,
//! and what was wrong with the host, or with the registry, is another matter a while later.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hayloft_model::{ContentHash, Entropy, InstanceKey, Problems};
use tokio::time::Instant;

use super::known::{KnownPlugin, Unusable};
use super::registry::PluginKey;
use crate::{Host, HostInner};

/// The pause after the first failure. Each one after that is twice as long as the one before.
const FIRST: Duration = Duration::from_secs(5);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(300);

type Version = (PluginKey, ContentHash);

/// What came of trying newer versions.
#[derive(Default)]
pub(crate) struct Retries(Mutex<BTreeMap<Version, Failed>>);

enum Failed {
    /// It is the version's own fault.
    Unusable(Problems),
    /// It is not, and is tried again then.
    Again { failures: u32, at: Instant },
}

/// Whether a newer version is to be tried.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Now.
    Now,
    /// Somebody does that in a while.
    Later,
    /// Not again, for these reasons.
    Never(Problems),
}

impl Retries {
    /// Whether a version is to be tried.
    pub(crate) fn next(&self, newer: &KnownPlugin) -> Next {
        let Some(version) = version(newer) else { return Next::Now };
        match self.all().get(&version) {
            Some(Failed::Unusable(problems)) => Next::Never(problems.clone()),
            Some(Failed::Again { at, .. }) if *at > Instant::now() => Next::Later,
            Some(Failed::Again { .. }) | None => Next::Now,
        }
    }

    /// Notes why a version cannot be used. Gives how long to wait before it is tried again, if it is to be.
    fn failed(&self, newer: &KnownPlugin, unusable: &Unusable, chance: &dyn Entropy) -> Option<Duration> {
        let version = version(newer)?;
        let mut all = self.all();
        if !unusable.is_passing {
            all.insert(version, Failed::Unusable(unusable.problems.clone()));
            return None;
        }
        let failures = match all.get(&version) {
            Some(Failed::Again { failures, .. }) => failures.saturating_add(1),
            Some(Failed::Unusable(_)) | None => 0,
        };
        let pause = FIRST.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(LONGEST);
        let mut random = [0];
        chance.fill(&mut random);
        // What fell together does not get up together.
        let pause = pause + pause / 4 * u32::from(random[0]) / 256;
        all.insert(version, Failed::Again { failures, at: Instant::now() + pause });
        Some(pause)
    }

    /// Forgets what is known of all versions of a plugin: a person wants it tried, or one of them is in service.
    pub(crate) fn forget(&self, plugin: &PluginKey) {
        self.all().retain(|(of, _), _| of != plugin);
    }

    /// Forgets versions that do not lie in their folders any more.
    pub(crate) fn retain(&self, found: &BTreeMap<PluginKey, Option<ContentHash>>) {
        self.all().retain(|(plugin, hash), _| found.get(plugin) == Some(&Some(*hash)));
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Version, Failed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn version(plugin: &KnownPlugin) -> Option<Version> {
    Some(((plugin.id.clone(), plugin.owner), plugin.content_hash()?))
}

impl Host {
    /// A newer version cannot be used, or not now. The older one stays meanwhile.
    pub(super) fn could_not_upgrade(
        &self,
        known: &KnownPlugin,
        newer: &Arc<KnownPlugin>,
        unusable: Unusable,
    ) {
        let again = self.plugins.retries.failed(newer, &unusable, &*self.entropy);
        let Unusable { problems, .. } = unusable;
        tracing::warn!(plugin = %known.id, %problems, ?again, "a newer version of the plugin cannot be used; the older one stays");
        match again {
            None => known.note_newer(problems),
            Some(pause) => {
                known.note_later(problems);
                self.try_again(Arc::clone(newer), pause);
            }
        }
        self.tell_authors(known);
    }

    /// Tries what lies in the folder of an uploaded plugin, whatever came of that before. It goes on by itself.
    pub(super) async fn try_uploaded(&self, key: &InstanceKey) {
        let plugin = (key.plugin.clone(), Some(key.organization));
        self.plugins.retries.forget(&plugin);
        let mut newer = self.read_uploaded(key).await;
        // What else changed is upgraded by whoever sees that.
        newer.retain(|(_, newer)| (&newer.id, newer.owner) == (&plugin.0, plugin.1));
        let host = self.clone();
        tokio::spawn(async move { host.bring_into_service(newer, Instant::now()).await });
    }

    fn try_again(&self, newer: Arc<KnownPlugin>, pause: Duration) {
        let host = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let Some(host): Option<Arc<HostInner>> = host.upgrade() else { return };
            let host = Host(host);
            // Its folder may hold something else by now, and that is looked at by itself.
            if !host.plugins.is_found(&newer) {
                return;
            }
            let began = Instant::now();
            let key = (newer.id.clone(), newer.owner);
            let known = host.plugins.all().get(&key).cloned();
            if let Some(known) = known.filter(|known| known.package != newer.package) {
                host.bring_into_service(vec![(known, newer)], began).await;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use hayloft_model::Problem;
    use hayloft_model::plugin::{FastStart, FormatName, Package, Runtime};
    use hayloft_model::{PluginDescriptor, PluginId};
    use hayloft_packages::Needs;

    use super::*;

    struct Chance(u8);

    impl Entropy for Chance {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    fn newer(hash: u8) -> KnownPlugin {
        let id: PluginId = "a".parse().unwrap();
        let descriptor = PluginDescriptor::new(
            id.clone(),
            "1.0.0",
            FormatName("any".into()),
            Runtime::Node { entry: "index.js".into() },
        );
        let package = Package {
            root: "/plugin".into(),
            content_hash: ContentHash::from_bytes([hash; 32]),
            descriptor,
            start: FastStart::default(),
        };
        KnownPlugin::new(id, None, Some(package), Problems::new(), Needs::default())
    }

    fn unusable(is_passing: bool) -> Unusable {
        Unusable { problems: Problem::error("plugin", "does not work").into(), is_passing }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_the_hosts_matter_is_tried_again_and_less_and_less_often() {
        let (retries, newer) = (Retries::default(), newer(1));
        assert_eq!(retries.next(&newer), Next::Now);
        for seconds in [5, 10, 20, 40, 80, 160, 300, 300] {
            let pause = retries.failed(&newer, &unusable(true), &Chance(0));
            assert_eq!(pause, Some(Duration::from_secs(seconds)));
            assert_eq!(retries.next(&newer), Next::Later, "not whenever anything else changes");
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert_eq!(retries.next(&newer), Next::Now);
        }
        let spread = retries.failed(&newer, &unusable(true), &Chance(255)).unwrap();
        assert!((LONGEST..=LONGEST * 5 / 4).contains(&spread), "{spread:?}");
        retries.forget(&("a".parse().unwrap(), None));
        assert_eq!(retries.failed(&newer, &unusable(true), &Chance(0)), Some(FIRST), "and begins anew");
    }

    #[tokio::test]
    async fn what_is_the_versions_own_fault_is_not_tried_again_until_somebody_wants_it() {
        let (retries, bad, other) = (Retries::default(), newer(1), newer(2));
        let key: PluginKey = ("a".parse().unwrap(), None);
        assert_eq!(retries.failed(&bad, &unusable(false), &Chance(0)), None);
        assert_eq!(retries.next(&bad), Next::Never(unusable(false).problems));
        assert_eq!(retries.next(&other), Next::Now, "another version is another matter");
        retries.retain(&[(key.clone(), bad.content_hash())].into());
        assert_ne!(retries.next(&bad), Next::Now);
        retries.retain(&[(key.clone(), other.content_hash())].into());
        assert_eq!(retries.next(&bad), Next::Now, "it came back");
        retries.failed(&bad, &unusable(false), &Chance(0));
        retries.forget(&key);
        assert_eq!(retries.next(&bad), Next::Now);
    }
}
