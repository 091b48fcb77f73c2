//! The tokens that may come next in a text that a grammar constrains.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use super::Grammar;
use super::state::{ConstraintError, MAX_BYTES, NOWHERE, StateId, States};
use super::tokens::Tokens;

/// Memory of the states that have been met from which on those that are not needed are forgotten.
const COLLECT_BYTES: usize = 8 << 20;

/// Memory of the answers that are kept, in case that a state comes again.
const CACHE_BYTES: usize = 8 << 20;

/// What may come next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    tokens: Vec<u32>,
    may_end: bool,
}

impl Allowed {
    /// The tokens, in ascending order.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Whether the text may end: then the model's end marks are allowed, too.
    pub fn may_end(&self) -> bool {
        self.may_end
    }

    /// Whether a token is among them.
    pub fn contains(&self, token: u32) -> bool {
        self.tokens.binary_search(&token).is_ok()
    }
}

/// Where a [`Constraint`] was. Cheap to clone, and it stays good however the text goes on.
#[derive(Clone, Debug)]
pub struct Position(Arc<Slot>);

#[derive(Debug)]
struct Slot {
    /// The constraint's number.
    of: u64,
    state: AtomicU32,
}

/// A grammar, a vocabulary, and the text so far.
///
/// It is not for several threads at once, but may move from one to another.
pub struct Constraint {
    grammar: Arc<Grammar>,
    tokens: Arc<Tokens>,
    states: States,
    start: StateId,
    now: StateId,
    /// The positions that were given out.
    positions: Vec<Weak<Slot>>,
    number: u64,
    cache: HashMap<StateId, Allowed>,
    cache_bytes: usize,
    collect_bytes: usize,
    path: Vec<StateId>,
    bits: Vec<u64>,
}

impl Constraint {
    /// At the beginning of a text.
    ///
    /// # Errors
    /// If the grammar begins in too many ways.
    pub fn new(grammar: Arc<Grammar>, tokens: Arc<Tokens>) -> Result<Self, ConstraintError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let mut states = States::new(&grammar.points);
        let start = states.start(&grammar.points)?;
        Ok(Constraint {
            grammar,
            tokens,
            states,
            start,
            now: start,
            positions: Vec::new(),
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            cache: HashMap::new(),
            cache_bytes: 0,
            collect_bytes: COLLECT_BYTES,
            path: Vec::new(),
            bits: Vec::new(),
        })
    }

    /// Goes back to the beginning of a text.
    pub fn reset(&mut self) {
        self.now = self.start;
    }

    /// The tokens that may come next. If there is none and the text may not end either, the vocabulary lacks the bytes
    /// that the grammar asks for.
    ///
    /// # Errors
    /// If the grammar is too ambiguous, or the text too deeply nested, to be followed.
    pub fn allowed(&mut self) -> Result<&Allowed, ConstraintError> {
        self.make_room();
        if !self.cache.contains_key(&self.now) {
            let allowed = self.find_allowed()?;
            let bytes = size_of_val(allowed.tokens()) + size_of::<Allowed>();
            if self.cache_bytes + bytes > CACHE_BYTES {
                self.forget_answers();
            }
            self.cache_bytes += bytes;
            self.cache.insert(self.now, allowed);
        }
        Ok(&self.cache[&self.now])
    }

    fn find_allowed(&mut self) -> Result<Allowed, ConstraintError> {
        let (states, points) = (&mut self.states, &self.grammar.points);
        let step = |state, byte| states.step(points, state, byte);
        self.tokens
            .walk(self.now, &mut self.path, &mut self.bits, step)?;
        Ok(Allowed {
            tokens: self.tokens.of_bits(&self.bits),
            may_end: self.states.may_end(self.now),
        })
    }

    /// Goes on behind a token. False, and nothing changes, if it may not come next; an end mark, which has no text, is
    /// asked about with [`may_end`](Self::may_end).
    ///
    /// # Errors
    /// As for [`allowed`](Self::allowed); nothing changes then either.
    pub fn accept(&mut self, token: u32) -> Result<bool, ConstraintError> {
        let tokens = Arc::clone(&self.tokens);
        let text = tokens.token_bytes(token);
        Ok(!text.is_empty() && self.accept_bytes(text)?)
    }

    /// Goes on behind some bytes, as [`accept`](Self::accept) behind those of a token.
    ///
    /// # Errors
    /// As for [`allowed`](Self::allowed); nothing changes then either.
    pub fn accept_bytes(&mut self, text: &[u8]) -> Result<bool, ConstraintError> {
        self.make_room();
        let mut state = self.now;
        for &byte in text {
            let next = self.states.step(&self.grammar.points, state, byte)?;
            state = next.unwrap_or(NOWHERE);
        }
        if state == NOWHERE {
            return Ok(false);
        }
        self.now = state;
        Ok(true)
    }

    /// Whether the text may end here.
    pub fn may_end(&self) -> bool {
        self.states.may_end(self.now)
    }

    /// Whether the text can only end here.
    pub fn is_over(&self) -> bool {
        self.states.is_over(self.now)
    }

    /// Where it is, to go back to.
    pub fn position(&mut self) -> Position {
        let is_full = self.positions.len() == self.positions.capacity();
        if is_full {
            self.positions.retain(|slot| slot.strong_count() > 0);
            // Not to look again too soon.
            self.positions.reserve(self.positions.len() + 8);
        }
        let slot = Arc::new(Slot {
            of: self.number,
            state: AtomicU32::new(self.now),
        });
        self.positions.push(Arc::downgrade(&slot));
        Position(slot)
    }

    /// Goes back (or forth) to where it was. False, and nothing changes, if that was another constraint.
    pub fn go_back(&mut self, position: &Position) -> bool {
        let is_own = position.0.of == self.number;
        if is_own {
            self.now = position.0.state.load(Ordering::Relaxed);
        }
        is_own
    }

    /// Memory held, without the grammar and the vocabulary.
    pub fn bytes(&self) -> usize {
        self.states.bytes() + self.cache_bytes
    }

    /// Forgets the states that are not needed any more when there are many, before a new question.
    fn make_room(&mut self) {
        self.states.begin();
        if self.states.bytes() <= self.collect_bytes {
            return;
        }
        self.positions.retain(|slot| slot.strong_count() > 0);
        let slots: Vec<_> = self.positions.iter().filter_map(Weak::upgrade).collect();
        let states = slots.iter().map(|slot| slot.state.load(Ordering::Relaxed));
        let mut kept: Vec<StateId> = [self.start, self.now].into_iter().chain(states).collect();
        self.states.collect(&self.grammar.points, &mut kept);
        (self.start, self.now) = (kept[0], kept[1]);
        for (slot, state) in slots.iter().zip(&kept[2..]) {
            slot.state.store(*state, Ordering::Relaxed);
        }
        self.forget_answers();
        let twice = 2 * self.states.bytes();
        self.collect_bytes = twice.clamp(COLLECT_BYTES, MAX_BYTES / 2);
    }

    fn forget_answers(&mut self) {
        self.cache.clear();
        self.cache_bytes = 0;
    }
}
