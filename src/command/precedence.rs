//! Built-in commands give way: whoever writes a command of their own for the same words means that
//! one.

use super::lattice::Tolerance;
use super::matcher::{Match, Matcher};
use super::search::Meaning;
use super::words::Spoken;

impl Matcher {
    /// Takes out the meanings of built-in commands, unless they are better by `margin` than every
    /// other command.
    pub(super) fn give_way(&self, meanings: &mut Vec<Meaning>, margin: f32) {
        let own = meanings.iter().filter(|m| !self.is_built_in(m.command));
        let Some(best) = own.map(|m| m.cost).min_by(f32::total_cmp) else {
            return;
        };
        meanings.retain(|m| !self.is_built_in(m.command) || m.cost + margin < best);
    }

    /// What `spoken` means, which is `found` word for word: where that is a built-in command, another
    /// one that it is nearly goes before.
    pub(super) fn own_first(&self, found: Match, spoken: &Spoken) -> Match {
        let is_built_in =
            matches!(found, Match::Accepted { command, .. } if self.is_built_in(command));
        if !is_built_in {
            return found;
        }
        let mut near = self.meanings(spoken, Tolerance::Near);
        near.retain(|meaning| !self.is_built_in(meaning.command));
        match self.decide_near(&near, spoken.words.len()) {
            own @ Match::Accepted { .. } => own,
            Match::Rejected { .. } => found,
        }
    }

    pub(super) fn is_built_in(&self, command: usize) -> bool {
        self.grammar().commands[command].is_built_in
    }
}
