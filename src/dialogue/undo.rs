//! Actions that can be taken back.

use std::collections::BTreeMap;

use crate::command::Job;
use crate::event::Seconds;

/// Most actions that are remembered.
const MAX_REMEMBERED: usize = 16;

/// What takes an action back.
#[derive(Clone, Debug)]
pub(crate) enum Inverse {
    /// Another action.
    Job(Job),
    /// The timer of this number is cancelled.
    Timer(u64),
}

/// An action that was carried out.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    /// Utterance.
    pub(crate) id: u64,
    /// When, in audio time.
    pub(crate) t: Seconds,
    /// Name of the command.
    pub(crate) name: String,
    /// Values of its slots.
    pub(crate) slots: BTreeMap<String, String>,
    /// What takes it back.
    pub(crate) inverse: Inverse,
}

/// What can be taken back, the newest last.
#[derive(Debug)]
pub(crate) struct Undoable {
    patience_s: f64,
    done: Vec<Done>,
}

impl Undoable {
    /// Nothing was done; what will be can be taken back for `patience_s` seconds.
    pub(crate) fn new(patience_s: f32) -> Self {
        Undoable {
            patience_s: f64::from(patience_s),
            done: Vec::new(),
        }
    }

    /// Remembers an action.
    pub(crate) fn add(&mut self, done: Done) {
        if self.done.len() == MAX_REMEMBERED {
            self.done.remove(0);
        }
        self.done.push(done);
    }

    /// Takes out the newest action, unless it is too long ago for speech that began at `t0`.
    pub(crate) fn take(&mut self, t0: Seconds) -> Option<Done> {
        let oldest = t0.0 - self.patience_s;
        self.done.retain(|done| done.t.0 >= oldest);
        self.done.pop()
    }

    /// Takes out the newest action of an utterance, whenever it was.
    pub(crate) fn take_of(&mut self, id: u64, name: &str) -> Option<Done> {
        let is_it = |done: &Done| done.id == id && done.name == name;
        let at = self.done.iter().rposition(is_it)?;
        Some(self.done.remove(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(id: u64, t: f64) -> Done {
        Done {
            id,
            t: Seconds(t),
            name: format!("command-{id}"),
            slots: BTreeMap::new(),
            inverse: Inverse::Timer(id),
        }
    }

    fn taken(undoable: &mut Undoable, t0: f64) -> Option<u64> {
        undoable.take(Seconds(t0)).map(|done| done.id)
    }

    #[test]
    fn the_newest_comes_first_and_old_ones_never() {
        let mut undoable = Undoable::new(60.0);
        for id in 1..=20 {
            undoable.add(done(id, id as f64));
        }
        assert_eq!(taken(&mut undoable, 21.0), Some(20));
        assert!(undoable.take_of(18, "command-17").is_none());
        assert!(undoable.take_of(18, "command-18").is_some());
        assert_eq!(taken(&mut undoable, 79.0), Some(19));
        assert_eq!(taken(&mut undoable, 79.0), None);
        assert_eq!(taken(&mut undoable, 0.0), None);
    }
}
