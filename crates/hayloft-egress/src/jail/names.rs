//! The names of one jail: each that may be reached has an address that stands for it there and nowhere else.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hayloft_model::HostName;
use tokio::time::Instant;

/// The name under which a jail finds the host.
pub const HOST_NAME: &str = "hayloft.internal";

/// Where it finds it: the first of the addresses that stand for names.
pub const HOST_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// The first address that stands for a name of the outside.
const FIRST: Ipv4Addr = Ipv4Addr::new(198, 18, 1, 0);

/// How many names a jail may have. A worker that asks for ever new ones fills its own table and nobody's else.
const MOST: usize = 4096;

/// A name that nobody asked for or connected to for so long may lose its address to another one, when all are taken.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// Names and the addresses that stand for them.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    places: HashMap<HostName, usize>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    host: HostName,
    used: Instant,
    /// Connections that are open by it. They keep its address.
    open: usize,
}

impl Names {
    /// Names that have their addresses from the beginning.
    pub(super) fn new<'a>(known: impl Iterator<Item = &'a HostName>) -> Self {
        let names = Self::default();
        for host in known.take(MOST) {
            names.address_of(host);
        }
        names
    }

    /// The address that stands for a name; `None` when all are taken by names that are in use.
    pub(super) fn address_of(&self, host: &HostName) -> Option<Ipv4Addr> {
        let now = Instant::now();
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = match table.places.get(host) {
            Some(&place) => place,
            None => table.place_for(host, now)?,
        };
        table.entries.get_mut(place)?.used = now;
        Some(Ipv4Addr::from_bits(FIRST.to_bits() + u32::try_from(place).ok()?))
    }

    /// The name that an address stands for, with a hold on it.
    pub(super) fn name_of(&self, address: Ipv4Addr) -> Option<Held<'_>> {
        let place = address.to_bits().checked_sub(FIRST.to_bits())? as usize;
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = table.entries.get_mut(place)?;
        entry.used = Instant::now();
        entry.open += 1;
        Some(Held { names: self, place, host: entry.host.clone() })
    }
}

impl Table {
    fn place_for(&mut self, host: &HostName, now: Instant) -> Option<usize> {
        let entry = Entry { host: host.clone(), used: now, open: 0 };
        let place = if self.entries.len() < MOST {
            self.entries.push(entry);
            self.entries.len() - 1
        } else {
            let forgotten = |entry: &Entry| entry.open == 0 && now.duration_since(entry.used) >= FORGOTTEN;
            let mut entries = self.entries.iter_mut().enumerate();
            let (place, old) = entries.find(|(_, entry)| forgotten(entry))?;
            self.places.remove(&std::mem::replace(old, entry).host);
            place
        };
        self.places.insert(host.clone(), place);
        Some(place)
    }
}

/// A name that keeps its address for as long as this lives.
#[derive(Debug)]
pub(super) struct Held<'n> {
    names: &'n Names,
    place: usize,
    host: HostName,
}

impl Held<'_> {
    pub(super) const fn host(&self) -> &HostName {
        &self.host
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut table = self.names.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = table.entries.get_mut(self.place) {
            entry.open = entry.open.saturating_sub(1);
            entry.used = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: usize) -> HostName {
        format!("h{number}.example.com").parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_keeps_its_address_and_the_table_has_an_end() {
        let names = Names::new([host(0), host(1)].iter());
        let first = names.address_of(&host(0)).unwrap();
        assert_eq!(first, FIRST);
        assert_eq!(names.name_of(first).unwrap().host(), &host(0));
        assert!(names.name_of(HOST_ADDRESS).is_none());
        assert!(names.name_of(Ipv4Addr::new(198, 18, 1, 2)).is_none());
        assert!(names.name_of(Ipv4Addr::LOCALHOST).is_none());
        for number in 0..MOST {
            assert!(names.address_of(&host(number)).is_some());
        }
        assert_eq!(names.address_of(&host(0)), Some(first));
        assert_eq!(names.address_of(&host(MOST)), None);

        // What is held or was asked for stays; what nobody wants any more makes room.
        let held = names.name_of(first).unwrap();
        tokio::time::advance(FORGOTTEN - Duration::from_secs(1)).await;
        let second = names.address_of(&host(1)).unwrap();
        tokio::time::advance(Duration::from_secs(2)).await;
        let new = names.address_of(&host(MOST)).unwrap();
        assert!(new != first && new != second);
        assert_eq!(names.name_of(new).unwrap().host(), &host(MOST));
        assert_eq!(names.address_of(&host(0)), Some(first));
        drop(held);
        assert_eq!(names.address_of(&host(1)), Some(second));
    }
}
