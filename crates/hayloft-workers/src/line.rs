//! Who starts next: organizations take turns, and within one the first that may start goes first, the most urgent ones
//! before all others.
//!
//! It holds no process and no clock, so that every order can be tried. It must not know what keeps somebody waiting.

use std::collections::{HashMap, VecDeque};

use hayloft_model::{OrganizationId, Priority};

/// Those who wait for a start, by organization. What the host itself wants has no organization and a turn like one.
#[derive(Debug)]
pub(crate) struct Line<T> {
    /// Whose turn is next. Each that waits stands here once.
    turns: VecDeque<Option<OrganizationId>>,
    waiting: HashMap<Option<OrganizationId>, VecDeque<(Priority, T)>>,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self { turns: VecDeque::new(), waiting: HashMap::new() }
    }
}

impl<T> Line<T> {
    /// Adds somebody behind the others of the same organization that are as urgent.
    pub(crate) fn join(&mut self, organization: Option<OrganizationId>, priority: Priority, start: T) {
        if !self.waiting.contains_key(&organization) {
            self.turns.push_back(organization);
        }
        let waiting = self.waiting.entry(organization).or_default();
        let place = waiting.partition_point(|(other, _)| *other >= priority);
        waiting.insert(place, (priority, start));
    }

    /// Takes the next one that may start. Its organization has its next turn after all others.
    pub(crate) fn next(&mut self, mut may: impl FnMut(Option<OrganizationId>, &T) -> bool) -> Option<T> {
        let found = self.turns.iter().enumerate().find_map(|(turn, organization)| {
            let waiting = self.waiting.get(organization)?;
            let place = waiting.iter().position(|(_, start)| may(*organization, start))?;
            Some((turn, place))
        });
        let (turn, place) = found?;
        let organization = self.turns.remove(turn)?;
        let waiting = self.waiting.get_mut(&organization)?;
        let start = waiting.remove(place);
        if waiting.is_empty() {
            self.waiting.remove(&organization);
        } else {
            self.turns.push_back(organization);
        }
        start.map(|(_, start)| start)
    }

    /// Takes out all that are so, in no order that means anything.
    pub(crate) fn leave(&mut self, mut leaves: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut left = Vec::new();
        for waiting in self.waiting.values_mut() {
            let (leaving, staying): (VecDeque<_>, _) =
                std::mem::take(waiting).into_iter().partition(|(_, start)| leaves(start));
            *waiting = staying;
            left.extend(leaving.into_iter().map(|(_, start)| start));
        }
        self.waiting.retain(|_, waiting| !waiting.is_empty());
        self.turns.retain(|organization| self.waiting.contains_key(organization));
        left
    }

    /// All that wait.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Option<OrganizationId>, &T)> {
        self.waiting
            .iter()
            .flat_map(|(organization, waiting)| waiting.iter().map(|(_, start)| (*organization, start)))
    }

    /// All that wait, to change what is known of them.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.waiting.values_mut().flatten().map(|(_, start)| start)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USUAL: Priority = Priority::USUAL;

    fn organization(number: u8) -> Option<OrganizationId> {
        (number > 0).then(|| format!("org_{number:032x}").parse().unwrap())
    }

    #[test]
    fn organizations_take_turns_however_many_each_sends() {
        let mut line = Line::default();
        for number in 0..100 {
            line.join(organization(1), USUAL, (1, number));
        }
        line.join(organization(2), USUAL, (2, 0));
        line.join(None, USUAL, (0, 0));
        line.join(organization(2), USUAL, (2, 1));
        let order: Vec<_> = std::iter::from_fn(|| line.next(|_, _| true)).take(7).collect();
        assert_eq!(order, [(1, 0), (2, 0), (0, 0), (1, 1), (2, 1), (1, 2), (1, 3)]);
    }

    #[test]
    fn the_urgent_ones_of_an_organization_go_first_and_take_nobody_elses_turn() {
        let mut line = Line::default();
        for (number, priority) in [(0, 0), (1, 5), (2, -3), (3, 5), (4, 0)] {
            line.join(organization(1), Priority::try_from(priority).unwrap(), (1, number));
        }
        line.join(organization(2), Priority::LOWEST, (2, 0));
        let order: Vec<_> = std::iter::from_fn(|| line.next(|_, _| true)).collect();
        assert_eq!(order, [(1, 1), (2, 0), (1, 3), (1, 0), (1, 4), (1, 2)]);
    }

    #[test]
    fn who_may_not_start_holds_nobody_up() {
        let mut line = Line::default();
        for start in ["full", "free"] {
            line.join(organization(1), USUAL, start);
        }
        line.join(organization(2), USUAL, "full");
        let free = |_, start: &&str| *start == "free";
        assert_eq!(line.next(free), Some("free"));
        assert_eq!(line.next(free), None);
        assert_eq!(line.leave(|start| *start == "full"), ["full", "full"]);
        assert!(line.is_empty());
        assert_eq!(line.next(|_, _| true), None);
    }

    proptest! {
        /// Whatever comes and goes: nobody is lost, nobody comes twice, and nobody who may start is passed over by the
        /// same organization more often than once in a round.
        #[test]
        fn nobody_is_lost_or_passed_over(joins in prop::collection::vec(0..5_u8, 1..60), leaving in 0..60_usize) {
            let mut line = Line::default();
            for (number, of) in joins.iter().enumerate() {
                line.join(organization(*of), USUAL, (number, *of));
            }
            let left = line.leave(|(number, _)| *number == leaving);
            prop_assert_eq!(left.len(), usize::from(leaving < joins.len()));
            let order: Vec<_> = std::iter::from_fn(|| line.next(|_, _| true)).collect();
            prop_assert_eq!(order.len() + left.len(), joins.len());
            for (at, (number, of)) in order.iter().enumerate() {
                let before = &order[..at];
                let own = before.iter().filter(|(_, other)| other == of).count();
                prop_assert!(before.iter().filter(|(_, other)| other == of).all(|(other, _)| other < number));
                for other in 0..5 {
                    let theirs = before.iter().filter(|(_, by)| *by == other).count();
                    prop_assert!(theirs <= own + 1, "{other} had {theirs} turns before turn {own} of {of}");
                }
            }
        }
    }
}
