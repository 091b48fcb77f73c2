//! Where one is in a grammar: all the places at once at which a text so far may be.
//!
//! An item is a point and a context: what is read on once the rule of the point has ended. A context is again a
//! set of items, so that all who call a rule at one place of the text share one context, and a text that can be
//! read in a great many ways still has few items (the idea of Tomita's graph-structured stack, "Efficient Parsing
//! for Natural Language", 1986). A call at the end of a rule hands on the context, so that lists written by
//! recursion do not grow it. A state is the set of items from which a byte can be read, or at which the text can
//! end. States and contexts are kept once each, and so are the ways from state to state, which makes an automaton that
//! is built as far as it is walked. Free text stays in one state.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use super::compile::{Call, END, Points};
use crate::error::{Classify, Kind};

/// Items of a state or of a context at most.
const MAX_ITEMS: usize = 4096;

/// Contexts within one another at most.
const MAX_DEPTH: u32 = 4096;

/// Memory of states, contexts and ways at most.
pub(super) const MAX_BYTES: usize = 64 << 20;

/// Items and edges that are looked at for one question at most.
const MAX_STEPS: usize = 1 << 22;

/// Items and calls that wait to be seen to at most.
const MAX_WAITING: usize = 1 << 18;

/// A state, by its number.
pub(super) type StateId = u32;

/// The state in which nothing can be read.
pub(super) const NOWHERE: StateId = 0;

/// A way that has not been walked.
const UNKNOWN: StateId = u32::MAX;

/// A point and a context, by their numbers.
type Item = (u32, u32);

/// The item at the end of the text; no point has this number.
const TEXT_END: Item = (u32::MAX, 0);

/// Why a text cannot be followed any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintError {
    /// It can be read in too many ways.
    #[error(
        "the grammar is too ambiguous to be followed here; give it fewer ways to read the same text"
    )]
    TooAmbiguous,
    /// Rules within rules within rules.
    #[error(
        "the text is nested deeper than {limit} rules of its grammar; bound what may be within itself"
    )]
    TooDeep {
        /// How deep it may be.
        limit: u32,
    },
}

impl Classify for ConstraintError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

/// Sets of items, each kept once.
struct Sets {
    /// Where each one's items begin; one more at the end.
    starts: Vec<u32>,
    items: Vec<Item>,
    /// By hash, the set that came last.
    last: HashMap<u64, u32>,
    /// Of each set, the one before with the same hash.
    before: Vec<Option<u32>>,
    hasher: RandomState,
}

impl Sets {
    fn new() -> Self {
        Sets {
            starts: vec![0],
            items: Vec::new(),
            last: HashMap::new(),
            before: Vec::new(),
            hasher: RandomState::new(),
        }
    }

    fn get(&self, id: u32) -> &[Item] {
        let [start, end] = [0, 1].map(|next| self.starts[id as usize + next] as usize);
        &self.items[start..end]
    }

    /// The number of a set, whose items are in order; whether it is new.
    fn intern(&mut self, set: &[Item]) -> (u32, bool) {
        let hash = self.hasher.hash_one(set);
        let mut at = self.last.get(&hash).copied();
        while let Some(id) = at {
            if self.get(id) == set {
                return (id, false);
            }
            at = self.before[id as usize];
        }
        let id = self.len();
        self.items.extend_from_slice(set);
        self.starts.push(self.items.len() as u32);
        self.before.push(self.last.insert(hash, id));
        (id, true)
    }

    fn len(&self) -> u32 {
        self.before.len() as u32
    }

    fn bytes(&self) -> usize {
        // A set has its start, the one before and its place by hash.
        size_of_val(&self.items[..]) + 40 * self.before.len()
    }
}

/// The states of a grammar that have been met.
pub(super) struct States {
    states: Sets,
    contexts: Sets,
    /// Of each context, how many are within one another.
    depths: Vec<u32>,
    /// Of each state and class of bytes, the state behind it.
    ways: Vec<StateId>,
    n_classes: usize,
    n_steps: usize,
    work: Work,
}

/// What is needed while a state is made.
#[derive(Default)]
struct Work {
    /// Items that are reached, in the order in which they are seen to.
    items: Vec<Item>,
    seen: HashSet<Item>,
    /// Calls: the rule, and what is read on behind it.
    calls: BinaryHeap<Reverse<(u32, Item)>>,
    /// What becomes the state.
    kept: Vec<Item>,
    context: Vec<Item>,
}

impl States {
    /// Without any state but [`NOWHERE`].
    pub(super) fn new(points: &Points) -> Self {
        let mut states = States {
            states: Sets::new(),
            contexts: Sets::new(),
            depths: Vec::new(),
            ways: Vec::new(),
            n_classes: points.examples.len(),
            n_steps: 0,
            work: Work::default(),
        };
        states.state(&[]);
        states
    }

    /// The state before any text.
    pub(super) fn start(&mut self, points: &Points) -> Result<StateId, ConstraintError> {
        self.n_steps = 0;
        self.work.items.clear();
        self.work.calls.push(Reverse((points.root, TEXT_END)));
        // The call reads something; the text may be nothing, too.
        let is_nullable = points.ends(points.start(points.root));
        self.close(points, is_nullable.then_some(TEXT_END))
    }

    /// The state behind a byte, none where it cannot be read.
    pub(super) fn step(
        &mut self,
        points: &Points,
        state: StateId,
        byte: u8,
    ) -> Result<Option<StateId>, ConstraintError> {
        let class = points.classes[usize::from(byte)];
        let way = state as usize * self.n_classes + usize::from(class);
        if self.ways[way] == UNKNOWN {
            self.ways[way] = self.read(points, state, points.examples[usize::from(class)])?;
        }
        let to = self.ways[way];
        Ok((to != NOWHERE).then_some(to))
    }

    /// Whether the text may end in a state.
    pub(super) fn may_end(&self, state: StateId) -> bool {
        // Its number is the highest.
        self.states.get(state).last() == Some(&TEXT_END)
    }

    /// Whether the text can only end in a state.
    pub(super) fn is_over(&self, state: StateId) -> bool {
        self.states.get(state) == [TEXT_END]
    }

    /// Memory held.
    pub(super) fn bytes(&self) -> usize {
        let ways = size_of_val(&self.ways[..]) + size_of_val(&self.depths[..]);
        self.states.bytes() + self.contexts.bytes() + ways
    }

    /// A new question is asked: the bound of steps holds for each.
    pub(super) fn begin(&mut self) {
        self.n_steps = 0;
    }

    fn read(
        &mut self,
        points: &Points,
        state: StateId,
        byte: u8,
    ) -> Result<StateId, ConstraintError> {
        self.work.items.clear();
        for &(point, context) in self.states.get(state) {
            if (point, context) == TEXT_END {
                continue;
            }
            let reads = points.reads(point);
            self.n_steps += reads.len();
            if self.n_steps > MAX_STEPS || self.work.items.len() + reads.len() > MAX_WAITING {
                return Err(ConstraintError::TooAmbiguous);
            }
            let reads = reads
                .iter()
                .filter(|read| (read.first..=read.last).contains(&byte));
            self.work.items.extend(reads.map(|read| (read.to, context)));
        }
        self.close(points, None)
    }

    /// The state of `work.items`, `work.calls` and `extra`, and of what is reached from them without reading.
    fn close(&mut self, points: &Points, extra: Option<Item>) -> Result<StateId, ConstraintError> {
        self.work.kept.clear();
        self.work.kept.extend(extra);
        let done = self
            .end_rules(points)
            .and_then(|()| self.begin_rules(points));
        if done.is_err() {
            self.work.calls.clear();
        }
        done?;
        let mut kept = std::mem::take(&mut self.work.kept);
        kept.sort_unstable();
        kept.dedup();
        let state = match kept.len() > MAX_ITEMS {
            true => Err(ConstraintError::TooAmbiguous),
            false => Ok(self.state(&kept)),
        };
        self.work.kept = kept;
        state
    }

    /// Goes on behind the rules that may end here.
    fn end_rules(&mut self, points: &Points) -> Result<(), ConstraintError> {
        self.work.items.sort_unstable();
        self.work.items.dedup();
        self.work.seen.clear();
        self.work.seen.extend(&self.work.items);
        let mut at = 0;
        while let Some(&item) = self.work.items.get(at) {
            at += 1;
            if item == TEXT_END {
                self.work.kept.push(item);
                continue;
            }
            let (point, context) = item;
            if points.ends(point) {
                let behind = self.contexts.get(context);
                self.n_steps += behind.len();
                for &item in behind {
                    if self.work.seen.insert(item) {
                        self.work.items.push(item);
                    }
                }
            }
            self.go_on(points, item)?;
        }
        Ok(())
    }

    /// Begins the rules that are called here. Each begins with later ones only, so that all its callers are known when
    /// it is its turn.
    fn begin_rules(&mut self, points: &Points) -> Result<(), ConstraintError> {
        while let Some(&Reverse((rule, _))) = self.work.calls.peek() {
            let mut context = std::mem::take(&mut self.work.context);
            context.clear();
            while let Some(&Reverse((other, item))) = self.work.calls.peek()
                && other == rule
            {
                self.work.calls.pop();
                // They come in order.
                if context.last() != Some(&item) {
                    context.push(item);
                }
            }
            let id = self.context(&context);
            self.work.context = context;
            self.go_on(points, (points.start(rule), id?))?;
        }
        Ok(())
    }

    /// Keeps an item from which a byte can be read, and notes its calls.
    fn go_on(&mut self, points: &Points, item: Item) -> Result<(), ConstraintError> {
        let (point, context) = item;
        self.n_steps += 1;
        if !points.reads(point).is_empty() {
            self.work.kept.push(item);
        }
        for &Call { rule, to } in points.calls(point) {
            if to == END {
                let behind = self.contexts.get(context);
                self.n_steps += behind.len();
                // Before the memory is taken: there may be many such calls.
                if self.n_steps > MAX_STEPS || self.work.calls.len() + behind.len() > MAX_WAITING {
                    return Err(ConstraintError::TooAmbiguous);
                }
                let calls = behind.iter().map(|item| Reverse((rule, *item)));
                self.work.calls.extend(calls);
            } else {
                self.n_steps += 1;
                self.work.calls.push(Reverse((rule, (to, context))));
            }
        }
        let n_waiting = self.work.items.len().max(self.work.calls.len());
        let is_too_much = self.n_steps > MAX_STEPS || n_waiting > MAX_WAITING;
        match is_too_much || self.bytes() > MAX_BYTES {
            true => Err(ConstraintError::TooAmbiguous),
            false => Ok(()),
        }
    }

    fn state(&mut self, items: &[Item]) -> StateId {
        let (id, is_new) = self.states.intern(items);
        if is_new {
            let unknown = if items.is_empty() { NOWHERE } else { UNKNOWN };
            self.ways.resize(self.ways.len() + self.n_classes, unknown);
        }
        id
    }

    fn context(&mut self, items: &[Item]) -> Result<u32, ConstraintError> {
        if items.len() > MAX_ITEMS {
            return Err(ConstraintError::TooAmbiguous);
        }
        let depth = |item: &Item| match *item {
            TEXT_END => 0,
            (_, context) => self.depths[context as usize],
        };
        let depth = 1 + items.iter().map(depth).max().unwrap_or(0);
        if depth > MAX_DEPTH {
            return Err(ConstraintError::TooDeep { limit: MAX_DEPTH });
        }
        let (id, is_new) = self.contexts.intern(items);
        if is_new {
            self.depths.push(depth);
        }
        Ok(id)
    }

    /// Forgets all states but `kept`, which get other numbers, and all contexts that these do not need.
    pub(super) fn collect(&mut self, points: &Points, kept: &mut [StateId]) {
        let mut is_needed = vec![false; self.contexts.len() as usize];
        let contexts = |items: &[Item], is_needed: &mut [bool]| {
            let others = items.iter().filter(|item| **item != TEXT_END);
            others.for_each(|(_, context)| is_needed[*context as usize] = true);
        };
        for state in kept.iter() {
            contexts(self.states.get(*state), &mut is_needed);
        }
        // A context is made after those that it is made of.
        for id in (0..self.contexts.len()).rev() {
            if is_needed[id as usize] {
                contexts(self.contexts.get(id), &mut is_needed);
            }
        }
        let old = std::mem::replace(self, States::new(points));
        let mut moved = vec![0; is_needed.len()];
        let renumbered = |items: &[Item], moved: &[u32]| {
            let renumber = |item: &Item| match *item {
                TEXT_END => TEXT_END,
                (point, context) => (point, moved[context as usize]),
            };
            let mut items: Vec<Item> = items.iter().map(renumber).collect();
            items.sort_unstable();
            items
        };
        for id in (0..old.contexts.len()).filter(|id| is_needed[*id as usize]) {
            let items = renumbered(old.contexts.get(id), &moved);
            let (new, _) = self.contexts.intern(&items);
            self.depths.push(old.depths[id as usize]);
            moved[id as usize] = new;
        }
        for state in kept {
            let items = renumbered(old.states.get(*state), &moved);
            *state = self.state(&items);
        }
    }
}
