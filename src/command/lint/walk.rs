//! Walks through pairs of states: what two sets of sentences have in common.
//!
//! Enters: an automaton and two of its states. Leaves: the shortest sentences that answer the
//! question. Every pair of states is visited once, and only so many of them.

use std::collections::{HashSet, VecDeque};

use super::automaton::{Automaton, StateId};
use super::sound::Alike;
use crate::command::graph::WordId;

/// Pairs of states that one walk visits.
const MAX_PAIRS: usize = 20_000;
/// Pairs that all walks of a check visit together: seconds.
const MAX_PAIRS_IN_ALL: usize = 2_000_000;

/// Which accepted values are of interest.
pub(super) type Counts<'c> = &'c dyn Fn(&[u32]) -> bool;

/// How many pairs may still be visited.
pub(super) struct Budget {
    left: usize,
    was_short: bool,
}

impl Default for Budget {
    fn default() -> Self {
        Budget {
            left: MAX_PAIRS_IN_ALL,
            was_short: false,
        }
    }
}

impl Budget {
    /// Whether no walk was cut short.
    pub(super) fn was_enough(&self) -> bool {
        !self.was_short
    }
}

/// A sentence of the first set, one of the second, and the states they end in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Meeting {
    pub(super) first: Vec<WordId>,
    pub(super) second: Vec<WordId>,
    pub(super) ends: (StateId, StateId),
}

/// Where a walk has come to.
struct Step {
    pair: (StateId, StateId),
    differs: bool,
    /// The step before, and the words said since.
    before: Option<(usize, WordId, WordId)>,
}

/// A walk through pairs of states in which both sets go on alike.
pub(super) struct Walk<'a> {
    automaton: &'a mut Automaton,
    budget: &'a mut Budget,
    steps: Vec<Step>,
    seen: HashSet<((StateId, StateId), bool)>,
    open: VecDeque<usize>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        automaton: &'a mut Automaton,
        budget: &'a mut Budget,
        pair: (StateId, StateId),
    ) -> Self {
        let mut walk = Walk {
            automaton,
            budget,
            steps: Vec::new(),
            seen: HashSet::new(),
            open: VecDeque::new(),
        };
        walk.add(pair, false, None);
        walk
    }

    fn add(
        &mut self,
        pair: (StateId, StateId),
        differs: bool,
        before: Option<(usize, WordId, WordId)>,
    ) {
        if !self.seen.insert((pair, differs)) {
            return;
        }
        if self.steps.len() >= MAX_PAIRS || self.budget.left == 0 {
            self.budget.was_short = true;
            return;
        }
        self.budget.left -= 1;
        self.open.push_back(self.steps.len());
        self.steps.push(Step {
            pair,
            differs,
            before,
        });
    }

    /// Up to `n` sentences that both sets have, where what the second accepts `counts`, shortest
    /// first.
    pub(super) fn shared(mut self, n: usize, counts: Counts<'_>) -> Vec<Meeting> {
        let mut found = Vec::new();
        while let Some(at) = self.open.pop_front() {
            let (a, b) = self.steps[at].pair;
            if self.automaton.accepts(a) && counts(self.automaton.accepted(b)) {
                found.push(self.meeting(at));
                if found.len() >= n {
                    break;
                }
            }
            for (word, to) in self.automaton.next(a).iter() {
                if let Some(other) = self.automaton.step(b, *word) {
                    self.add((*to, other), false, Some((at, *word, *word)));
                }
            }
        }
        found
    }

    /// Up to `n` pairs of different sentences, one of each set, that sound alike, where what the
    /// second accepts `counts`, shortest first.
    pub(super) fn alike(mut self, alike: &Alike, n: usize, counts: Counts<'_>) -> Vec<Meeting> {
        let mut found = Vec::new();
        while let Some(at) = self.open.pop_front() {
            let Step { pair, differs, .. } = self.steps[at];
            let (a, b) = pair;
            if differs && self.automaton.accepts(a) && counts(self.automaton.accepted(b)) {
                found.push(self.meeting(at));
                if found.len() >= n {
                    break;
                }
            }
            for (word, to) in self.automaton.next(a).iter() {
                for like in alike.of(*word) {
                    if let Some(other) = self.automaton.step(b, *like) {
                        let differs = differs || like != word;
                        self.add((*to, other), differs, Some((at, *word, *like)));
                    }
                }
            }
        }
        found
    }

    /// Whether the second set has every sentence of the first, where what it accepts `counts`.
    pub(super) fn second_covers_first(mut self, counts: Counts<'_>) -> bool {
        while let Some(at) = self.open.pop_front() {
            let (a, b) = self.steps[at].pair;
            if self.automaton.accepts(a) && !counts(self.automaton.accepted(b)) {
                return false;
            }
            for (word, to) in self.automaton.next(a).iter() {
                let Some(other) = self.automaton.step(b, *word) else {
                    return false;
                };
                self.add((*to, other), false, Some((at, *word, *word)));
            }
        }
        self.budget.was_enough() && self.automaton.is_complete()
    }

    fn meeting(&self, at: usize) -> Meeting {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let mut step = &self.steps[at];
        let ends = step.pair;
        while let Some((before, a, b)) = step.before {
            first.push(a);
            second.push(b);
            step = &self.steps[before];
        }
        first.reverse();
        second.reverse();
        Meeting {
            first,
            second,
            ends,
        }
    }
}
