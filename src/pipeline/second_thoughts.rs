//! What is taken back: because somebody says so, or because a command that was carried out early was not meant.

use std::collections::BTreeMap;

use super::conversation::{Conversation, Heard};
use crate::command::{Job, Match};
use crate::dialogue::{Done, Early, Inverse, Now};
use crate::event::{Event, Seconds, TimerState, UndoState};

impl Conversation {
    /// Somebody wants the last action taken back.
    pub(super) fn take_back(&mut self, heard: &Heard, now: Now) {
        self.listen.open(heard.t1);
        match self.undoable.take(heard.t0) {
            Some(done) => self.undo(done, heard.id, heard.t1, now),
            None => self.report(Event::Undo {
                id: heard.id,
                t: heard.t1,
                name: None,
                slots: BTreeMap::new(),
                state: UndoState::Nothing,
            }),
        }
    }

    pub(super) fn undo(&mut self, done: Done, id: u64, t: Seconds, now: Now) {
        self.report(Event::Undo {
            id,
            t,
            name: Some(done.name),
            slots: done.slots,
            state: UndoState::Done,
        });
        match done.inverse {
            Inverse::Job(job) => self.carry_out(Job { id, ..job }),
            Inverse::Timer(number) => {
                if let Some(timer) = self.timers.cancel_number(number, now.clock_s) {
                    self.report_timer(Some(id), t, &timer, TimerState::Cancelled);
                    self.keep_timers();
                }
            }
        }
    }

    /// The utterance is no command after all: what it had done early is taken back.
    pub(super) fn regret(&mut self, id: u64, t: Seconds, now: Now) {
        if let Some(early) = self.early.take().filter(|early| early.id == id) {
            self.take_early_back(&early, t, now);
        }
    }

    /// The same, unless `text` is the command that was done early, word for word.
    pub(super) fn regret_unless(&mut self, id: u64, t: Seconds, text: &str, now: Now) {
        let as_it_stands = self.commands().matcher.settled(text);
        if let (Some(early), Some(Match::Accepted { name, slots, .. })) =
            (&self.early, as_it_stands)
            && (early.id, &early.name, &early.slots) == (id, &name, &slots)
        {
            self.early = None;
        }
        self.regret(id, t, now);
    }

    pub(super) fn take_early_back(&mut self, early: &Early, t: Seconds, now: Now) {
        match self.undoable.take_of(early.id, &early.name) {
            Some(done) => self.undo(done, early.id, t, now),
            None => self.report(Event::Undo {
                id: early.id,
                t,
                name: Some(early.name.clone()),
                slots: early.slots.clone(),
                state: UndoState::NoInverse,
            }),
        }
    }
}
