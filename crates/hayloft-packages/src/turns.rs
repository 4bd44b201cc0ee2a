//! Whose package is made next, when more are wanted than can be made at once.
//!
//! An organization has one of its own made at a time, so that no number of slow builds takes all the places, and who
//! waited longest for a turn comes first. What belongs to everybody is the operator's, and counts as one that waits too.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hayloft_model::OrganizationId;
use tokio::sync::oneshot;

/// Whose a package is; everybody's, if there is none.
pub(crate) type Owner = Option<OrganizationId>;

/// The places in which packages are made. Clones are the same.
#[derive(Clone)]
pub(crate) struct Turns(Arc<Mutex<State>>);

struct State {
    free: usize,
    owners: BTreeMap<Owner, Share>,
    waiting: VecDeque<(Owner, oneshot::Sender<Turn>)>,
    /// Counts turns.
    given: u64,
}

#[derive(Default)]
struct Share {
    has: usize,
    /// The number of the last turn that it was given.
    last: u64,
}

/// A place. It is free again when this is dropped.
pub(crate) struct Turn {
    turns: Turns,
    owner: Owner,
}

impl Turns {
    pub(crate) fn new(places: usize) -> Self {
        let owners = BTreeMap::new();
        Self(Arc::new(Mutex::new(State { free: places, owners, waiting: VecDeque::new(), given: 0 })))
    }

    /// Waits for a turn. Who goes away does not hold up the line.
    pub(crate) async fn take(&self, owner: Owner) -> Option<Turn> {
        let (sender, receiver) = oneshot::channel();
        self.state().waiting.push_back((owner, sender));
        self.give();
        receiver.await.ok()
    }

    /// Gives free places to who may have them.
    fn give(&self) {
        loop {
            let (sender, turn) = {
                let mut state = self.state();
                let Some((owner, sender)) = state.next() else { return };
                state.free -= 1;
                state.given += 1;
                let given = state.given;
                let share = state.owners.entry(owner).or_default();
                share.has += 1;
                share.last = given;
                (sender, Turn { turns: self.clone(), owner })
            };
            // One that nobody waits for any more is dropped here, outside of the lock, and is free again.
            drop(sender.send(turn));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes whoever is next out of the line, if there is a place for it.
    fn next(&mut self) -> Option<(Owner, oneshot::Sender<Turn>)> {
        if self.free == 0 {
            return None;
        }
        let share = |owner: &Owner| self.owners.get(owner).map_or((0, 0), |share| (share.has, share.last));
        let may = |owner: &Owner| owner.is_none() || share(owner).0 == 0;
        let waiting = self.waiting.iter().enumerate().filter(|(_, (owner, _))| may(owner));
        let (index, _) = waiting.min_by_key(|(_, (owner, _))| share(owner).1)?;
        self.waiting.remove(index)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        {
            let mut state = self.turns.state();
            state.free += 1;
            if let Some(share) = state.owners.get_mut(&self.owner) {
                share.has -= 1;
            }
            if state.waiting.is_empty() {
                // When nobody waits, nobody comes before anybody.
                state.owners.retain(|_, share| share.has > 0);
            }
        }
        self.turns.give();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use futures::future::BoxFuture;

    use super::*;

    fn organization(number: u128) -> Owner {
        Some(format!("org_{number:032x}").parse().unwrap())
    }

    fn asks(turns: &Turns, owner: Owner) -> BoxFuture<'static, Option<Turn>> {
        let turns = turns.clone();
        let mut waits = async move { turns.take(owner).await }.boxed();
        // It stands in the line from its first look on, if it did not get a turn at once.
        match waits.as_mut().now_or_never() {
            Some(turn) => futures::future::ready(turn).boxed(),
            None => waits,
        }
    }

    fn has(waits: &mut BoxFuture<'static, Option<Turn>>) -> Option<Turn> {
        waits.as_mut().now_or_never().flatten()
    }

    #[tokio::test]
    async fn an_organization_takes_one_place_and_turns_go_round() {
        let turns = Turns::new(2);
        let (one, two) = (organization(1), organization(2));
        let mut mine: Vec<_> = (0..20).map(|_| asks(&turns, one)).collect();
        let first = has(&mut mine[0]).unwrap();
        assert!(has(&mut mine[1]).is_none(), "the second place is for somebody else");
        let mut theirs: Vec<_> = (0..2).map(|_| asks(&turns, two)).collect();
        let second = has(&mut theirs[0]).unwrap();
        let mut everybodys = asks(&turns, None);
        assert!(has(&mut everybodys).is_none());
        // Who had no turn yet comes before those who had.
        drop(first);
        let third = has(&mut everybodys).unwrap();
        drop(second);
        let fourth = has(&mut mine[1]).unwrap();
        assert!(has(&mut theirs[1]).is_none());
        drop(fourth);
        let fifth = has(&mut theirs[1]).unwrap();
        assert!(has(&mut mine[2]).is_none());
        // Who went away holds nobody up.
        drop(mine.drain(2..19));
        drop((third, fifth));
        assert!(has(&mut mine[2]).is_some());
    }

    #[tokio::test]
    async fn what_is_everybodys_may_have_all_places() {
        let turns = Turns::new(2);
        let mut asked: Vec<_> = (0..3).map(|_| asks(&turns, None)).collect();
        let (one, two) = (has(&mut asked[0]).unwrap(), has(&mut asked[1]).unwrap());
        assert!(has(&mut asked[2]).is_none());
        drop(one);
        assert!(has(&mut asked[2]).is_some());
        drop(two);
    }
}
