//! What is done for the sentences about timers, and when one is over.

use std::collections::BTreeMap;

use super::conversation::{Conversation, Understood};
use crate::command::{BuiltIn, Job};
use crate::dialogue::{Inverse, Now, Refusal, TimerView, builtin, wording};
use crate::event::{Event, Seconds, TimerState};

/// Name of the action that a timer has carried out when it is over.
const RING: &str = "timer.ring";

impl Conversation {
    /// Does what a sentence about timers asks for.
    pub(super) fn built_in(&mut self, asked: &Understood, what: BuiltIn, now: Now) {
        let name = asked.slots.get("name").map(String::as_str);
        let now_s = now.clock_s;
        let timers = &mut self.timers;
        let one = |state, words: fn(&TimerView) -> String| {
            move |timer: TimerView| (vec![timer.clone()], state, words(&timer))
        };
        let outcome = match what {
            BuiltIn::SetTimer => match builtin::seconds(&asked.slots) {
                Some(seconds) => timers
                    .set(name.map(str::to_owned), seconds, now_s)
                    .map(one(TimerState::Set, wording::set)),
                None => Err(Refusal::NoTimer),
            },
            BuiltIn::CancelTimer => timers
                .cancel(name, now_s)
                .map(one(TimerState::Cancelled, wording::cancelled_one)),
            BuiltIn::CancelTimers => some(timers.cancel_all(now_s)).map(|all| {
                let text = wording::cancelled(&all);
                (all, TimerState::Cancelled, text)
            }),
            BuiltIn::TimeLeft => some(timers.left(name, now_s)).map(|all| {
                let text = wording::left(&all);
                (all, TimerState::Left, text)
            }),
            BuiltIn::PauseTimer => timers
                .pause(name, now_s)
                .map(one(TimerState::Paused, wording::paused)),
            BuiltIn::ResumeTimer => timers
                .resume(name, now_s)
                .map(one(TimerState::Resumed, wording::resumed)),
        };
        match outcome {
            Ok((changed, state, text)) => {
                for timer in &changed {
                    self.report_timer(Some(asked.id), asked.t, timer, state);
                }
                if let (TimerState::Set, [timer]) = (state, changed.as_slice()) {
                    self.remember(asked, Inverse::Timer(timer.number));
                }
                if state != TimerState::Left {
                    self.keep_timers();
                }
                self.say(Some(asked.id), text);
            }
            Err(refusal) => self.refuse(asked, &refusal),
        }
    }

    fn refuse(&mut self, asked: &Understood, refusal: &Refusal) {
        let (reason, text) = match refusal {
            Refusal::NoTimer => ("no_timer", wording::no_timer()),
            Refusal::Which(timers) => ("which_timer", wording::which(timers)),
            Refusal::TooMany => ("too_many_timers", wording::too_many()),
        };
        self.reject(asked.id, asked.t, reason);
        self.say(Some(asked.id), text);
    }

    /// Timers that are over ring.
    pub(super) fn ring(&mut self, now: Now) {
        if self.timers.due().is_none_or(|due_s| due_s > now.clock_s) {
            return;
        }
        for timer in self.timers.ring(now.clock_s) {
            self.report_timer(None, now.heard, &timer, TimerState::Ringing);
            let text = wording::over(&timer);
            if let Some(action) = self.commands().dialogue.timers.ring.clone() {
                let mut slots = BTreeMap::from([("number".to_owned(), timer.number.to_string())]);
                slots.insert("name".to_owned(), timer.name.clone().unwrap_or_default());
                let known_slots = self.commands().slots.clone();
                self.carry_out(Job {
                    // Nobody's utterance.
                    id: 0,
                    name: RING.to_owned(),
                    text: text.clone(),
                    slots,
                    known_slots,
                    action,
                });
            }
            self.say(None, text);
        }
        self.keep_timers();
    }

    pub(super) fn report_timer(
        &mut self,
        id: Option<u64>,
        t: Seconds,
        timer: &TimerView,
        state: TimerState,
    ) {
        self.report(Event::Timer {
            id,
            t,
            number: timer.number,
            name: timer.name.clone(),
            state,
            left_s: timer.left_s,
        });
    }
}

fn some(timers: Vec<TimerView>) -> Result<Vec<TimerView>, Refusal> {
    match timers.is_empty() {
        true => Err(Refusal::NoTimer),
        false => Ok(timers),
    }
}
