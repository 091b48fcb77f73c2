//! The turns of a conversation: each utterance is a command, several, an answer, a second thought,
//! or nothing to hark.
//!
//! In: events with the time. Out: effects. Owns the state of the conversation; the rules of its
//! parts are in [`dialogue`](crate::dialogue). Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::asking::{Asked, OwnVoiceHeard, Said};
use super::control::{Commands, Due, Legacy};
use super::recogniser::INTERRUPTED;
use crate::command::traits::fill;
use crate::command::{Care, Job, Match};
use crate::dialogue::{
    Address, Answer, Done, Early, Effect, Inverse, Listen, ListenMode, Now, OwnVoice, Questions,
    SavedTimer, Timers, Unconfirmed, Undoable, question_text,
};
use crate::event::{ConfirmState, Event, Muted, Readings, Seconds, TimerState, WakeHeard};

/// See the module.
pub(super) struct Conversation {
    commands: Arc<Commands>,
    /// Whether some command may be carried out early.
    has_safe: bool,
    pub(super) listen: Listen,
    pub(super) questions: Questions,
    pub(super) undoable: Undoable,
    pub(super) timers: Timers,
    /// The command that the open utterance has had carried out.
    pub(super) early: Option<Early>,
    /// The utterance whose wake phrase was reported.
    woken: Option<u64>,
    /// The utterance that has silenced what was spoken.
    pub(super) hushed: Option<u64>,
    /// How it stands with the responder.
    pub(super) asked: Asked,
    /// What hark says itself.
    pub(super) own_voice: OwnVoice,
    /// What was said or written last.
    pub(super) last_said: String,
    pub(super) effects: Vec<Effect>,
}

/// An utterance that is over.
pub(super) struct Heard<'e> {
    pub(super) id: u64,
    pub(super) t0: Seconds,
    pub(super) t1: Seconds,
    pub(super) text: &'e str,
    is_broken: bool,
    /// Whether its text may well be wrong.
    pub(super) is_doubtful: bool,
    readings: Option<&'e Readings>,
    wake: Option<&'e WakeHeard>,
}

/// A command that was understood.
pub(super) struct Understood {
    pub(super) id: u64,
    /// When, in audio time.
    pub(super) t: Seconds,
    pub(super) command: usize,
    pub(super) name: String,
    pub(super) slots: BTreeMap<String, String>,
    pub(super) score: f32,
    pub(super) margin: Option<f32>,
    /// What was heard.
    pub(super) text: String,
}

impl Conversation {
    pub(super) fn new(commands: Commands) -> Self {
        let settings = &commands.dialogue;
        let is_safe = |traits: &crate::command::Traits| traits.care == Care::Safe;
        Conversation {
            has_safe: commands.traits.iter().any(is_safe),
            listen: Listen::new(settings.listen.clone()),
            questions: Questions::new(settings.talk.confirm_s),
            undoable: Undoable::new(settings.talk.undo_s),
            timers: Timers::new(&settings.timers),
            early: None,
            woken: None,
            hushed: None,
            asked: Asked::default(),
            own_voice: OwnVoice::default(),
            last_said: String::new(),
            effects: Vec::new(),
            commands: Arc::new(commands),
        }
    }

    pub(super) fn commands(&self) -> &Commands {
        &self.commands
    }

    pub(super) fn commands_shared(&self) -> Arc<Commands> {
        self.commands.clone()
    }

    pub(super) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub(super) fn restore(&mut self, timers: Vec<SavedTimer>) {
        self.timers.restore(timers);
    }

    pub(super) fn leave(&self) -> Legacy {
        Legacy {
            timers: self.timers.saved(),
            is_pushed: self.listen.is_pushed(),
            last_said: self.last_said.clone(),
        }
    }

    pub(super) fn inherit(&mut self, legacy: Legacy) {
        self.timers.restore(legacy.timers);
        self.listen.push(legacy.is_pushed);
        self.last_said = legacy.last_said;
    }

    pub(super) fn due(&self) -> Due {
        Due {
            heard: self.questions.due(),
            clock_s: self.timers.due(),
        }
    }

    /// What follows from the event.
    pub(super) fn take(&mut self, event: &Event, now: Now) -> Vec<Effect> {
        match event {
            Event::SpeechStart { t, .. } => {
                self.listen.begin(*t);
                self.interrupt(now);
            }
            Event::Pause {
                id,
                t,
                text,
                readings,
                wake,
            } => {
                let (readings, wake) = (readings.as_ref(), wake.as_ref());
                let said = Said {
                    text,
                    readings,
                    wake,
                };
                self.foresee((*id, *t), said, now);
            }
            Event::Partial {
                id,
                t,
                stable,
                volatile,
                ..
            } => self.partial(*id, *t, (stable, volatile), now),
            Event::Final {
                id,
                t0,
                t1,
                text,
                flags,
                readings,
                wake,
                ..
            } => {
                let heard = Heard {
                    id: *id,
                    t0: *t0,
                    t1: *t1,
                    text,
                    is_broken: flags.iter().any(|flag| flag == INTERRUPTED),
                    is_doubtful: flags.iter().any(|flag| flag == "low_confidence"),
                    readings: readings.as_ref(),
                    wake: wake.as_ref(),
                };
                self.utterance(&heard, now);
                self.forget_foreseen();
                self.listen.end();
            }
            // Whatever is said or done for somebody, they may go on from there.
            Event::Reply { id, text, done } => {
                self.remember_reply(*id, text, *done);
                if *done {
                    self.listen.open(now.heard);
                }
            }
            Event::Action {
                id: 1.., output, ..
            } => {
                if let Some(output) = output {
                    self.last_said.clone_from(output);
                }
                self.listen.open(now.heard);
            }
            _ => {}
        }
        std::mem::take(&mut self.effects)
    }

    /// What follows from the time alone.
    pub(super) fn tick(&mut self, now: Now) -> Vec<Effect> {
        let speaks_since = self.listen.utterance_start();
        for question in self.questions.expire(now.heard, speaks_since) {
            self.report(question.event(now.heard, ConfirmState::Expired));
        }
        self.ring(now);
        std::mem::take(&mut self.effects)
    }

    /// Push-to-talk is switched.
    pub(super) fn push(&mut self, on: Option<bool>, now: Now) -> Vec<Effect> {
        let on = on.unwrap_or(!self.listen.is_pushed());
        if self.listen.push(on) && self.commands.dialogue.listen.mode == ListenMode::Push {
            self.report(Event::Mute {
                t: now.heard,
                what: Muted::Microphone,
                on: !on,
            });
        }
        std::mem::take(&mut self.effects)
    }

    pub(super) fn report(&mut self, event: Event) {
        self.effects.push(Effect::Report(event));
    }

    pub(super) fn carry_out(&mut self, job: Job) {
        self.effects.push(Effect::CarryOut(job));
    }

    pub(super) fn keep_timers(&mut self) {
        self.effects.push(Effect::Keep(self.timers.saved()));
    }

    /// Says something; `id` is the utterance that it answers.
    pub(super) fn say(&mut self, id: Option<u64>, text: String) {
        self.last_said.clone_from(&text);
        self.report(Event::Reply {
            id,
            text,
            done: true,
        });
    }

    pub(super) fn reject(&mut self, id: u64, t: Seconds, reason: &'static str) {
        self.report(Event::Rejected {
            id,
            t,
            best: None,
            score: None,
            reason,
        });
    }

    /// Whether there is anything that a stop word silences.
    pub(super) fn sounds(&self, now: Now) -> bool {
        now.speaks || self.timers.ring_now()
    }

    /// The caption so far. A stop word counts at once, and so does a safe command that can no longer
    /// become another one.
    fn partial(&mut self, id: u64, t: Seconds, (stable, volatile): (&str, &str), now: Now) {
        let text = format!("{stable}{volatile}");
        self.reconsider(id, &text);
        let stops = self.is_stop(&text);
        if self.hushed != Some(id) && self.sounds(now) && stops {
            self.hush(id, t, now);
        }
        if self.is_own_voice((id, t), &text, now) {
            return;
        }
        if self.hushed != Some(id) && now.speaks && self.is_calling(t, &text) {
            self.hush(id, t, now);
        }
        let goes_on = volatile.contains(char::is_alphanumeric);
        let is_taken = self.early.is_some() || self.hushed == Some(id);
        if !self.has_safe || goes_on || is_taken || self.questions.is_open() {
            return;
        }
        let began = self.listen.utterance_start().unwrap_or(t);
        let text = match self.listen.address(began, stable, None) {
            Address::No => return,
            Address::Plain => stable.to_owned(),
            Address::Called(called) => called.rest,
        };
        let Some(found) = self.commands.matcher.settled(&text) else {
            return;
        };
        let Some(understood) = understood(found, id, t, &text) else {
            return;
        };
        if self.commands.traits[understood.command].care != Care::Safe {
            return;
        }
        self.early = Some(Early {
            id,
            name: understood.name.clone(),
            slots: understood.slots.clone(),
        });
        self.do_it(understood, now);
    }

    /// Whether a caption begins with a wake phrase, where one is needed.
    fn is_calling(&self, t: Seconds, text: &str) -> bool {
        let began = self.listen.utterance_start().unwrap_or(t);
        matches!(self.listen.address(began, text, None), Address::Called(_))
    }

    /// An utterance is over.
    fn utterance(&mut self, heard: &Heard, now: Now) {
        let address = match self.among_own_voice(heard, now) {
            None => self.listen.address(heard.t0, heard.text, heard.wake),
            Some(OwnVoiceHeard::Called(called)) => Address::Called(called),
            Some(OwnVoiceHeard::Stop) => return,
            Some(OwnVoiceHeard::Nothing) if self.is_expected(heard, now) => Address::Plain,
            Some(OwnVoiceHeard::Nothing) => {
                self.reject(heard.id, heard.t1, "own_voice");
                return self.regret(heard.id, heard.t1, now);
            }
        };
        let called;
        let text = match &address {
            Address::Plain => heard.text,
            Address::Called(wake) => {
                if now.speaks && self.hushed != Some(heard.id) {
                    self.hush(heard.id, heard.t1, now);
                }
                self.wake(heard, wake);
                called = wake.rest.as_str();
                called
            }
            Address::No if self.is_expected(heard, now) => heard.text,
            Address::No => {
                if !heard.text.is_empty() {
                    self.reject(heard.id, heard.t1, "not_addressed");
                }
                return self.regret(heard.id, heard.t1, now);
            }
        };
        if !text.chars().any(char::is_alphanumeric) {
            return self.regret(heard.id, heard.t1, now);
        }
        let commands = self.commands.clone();
        let talk = &commands.dialogue.talk;
        if heard.is_broken {
            // "Set a timer for fifteen" may have gone on with "minutes", or with "no, don't".
            self.reject(heard.id, heard.t1, INTERRUPTED);
            self.regret_unless(heard.id, heard.t1, text, now);
        } else if self.stops(heard, text, now) || self.answers(heard, text, now) {
        } else if self.commands.matcher.is_sentence(text) {
            // Commands go before the phrases that hark has of its own.
            self.understand(heard, text, now);
        } else if talk.undo.have(text) {
            self.take_back(heard, now);
        } else if talk.repeat.have(text) {
            self.repeat(heard);
        } else if talk.never_mind.have(text) && self.listen.close(heard.t1) {
            self.reject(heard.id, heard.t1, "never_mind");
        } else {
            self.understand(heard, text, now);
        }
    }

    /// Whether the utterance needs no wake phrase: an answer to a question, or a word that silences.
    fn is_expected(&self, heard: &Heard, now: Now) -> bool {
        let settings = &self.commands.dialogue;
        let talk = &settings.talk;
        let may_answer = settings.listen.mode != ListenMode::Push || self.listen.is_pushed();
        let answers = may_answer
            && self.questions.takes(heard.t0)
            && (talk.yes.have(heard.text)
                || talk.no.have(heard.text)
                || talk.never_mind.have(heard.text));
        let sounds = self.sounds(now) || self.hushed == Some(heard.id);
        answers || (sounds && self.is_stop(heard.text))
    }

    /// The wake phrase was said; from here on it is not needed for a while.
    fn wake(&mut self, heard: &Heard, wake: &WakeHeard) {
        if self.woken != Some(heard.id) {
            self.woken = Some(heard.id);
            self.report(Event::Wake {
                id: heard.id,
                t: heard.t1,
                phrase: wake.phrase.clone(),
                score: wake.score,
            });
        }
        self.listen.open(heard.t1);
    }

    /// A stop word while something sounds.
    fn stops(&mut self, heard: &Heard, text: &str, now: Now) -> bool {
        let is_done = self.hushed == Some(heard.id);
        if !(is_done || self.sounds(now)) || !self.is_stop(text) {
            return false;
        }
        if !is_done {
            self.hush(heard.id, heard.t1, now);
        }
        true
    }

    pub(super) fn hush(&mut self, id: u64, t: Seconds, now: Now) {
        self.hushed = Some(id);
        self.own_voice.hush(now.heard);
        self.stop_answer();
        self.effects.push(Effect::Hush);
        self.report(Event::Mute {
            t,
            what: Muted::Speech,
            on: true,
        });
        let silenced = self.timers.silence(now.clock_s);
        if !silenced.is_empty() {
            for timer in &silenced {
                self.report_timer(Some(id), t, timer, TimerState::Cancelled);
            }
            self.keep_timers();
        }
    }

    /// A yes or a no to the question that is open.
    fn answers(&mut self, heard: &Heard, text: &str, now: Now) -> bool {
        if !self.questions.takes(heard.t0) {
            return false;
        }
        let talk = &self.commands.dialogue.talk;
        let answer = match () {
            () if talk.yes.have(text) => Answer::Yes,
            () if talk.no.have(text) || talk.never_mind.have(text) => Answer::No,
            () => return false,
        };
        let Some(question) = self.questions.take(heard.t1) else {
            return false;
        };
        self.listen.open(heard.t1);
        match answer {
            Answer::Yes => {
                self.report(question.event(heard.t1, ConfirmState::Yes));
                self.do_it(
                    Understood {
                        id: question.id,
                        t: heard.t1,
                        command: question.command,
                        name: question.name,
                        slots: question.slots,
                        score: question.score,
                        margin: question.margin,
                        text: question.heard,
                    },
                    now,
                );
            }
            Answer::No => self.report(question.event(heard.t1, ConfirmState::No)),
        }
        self.ask(heard.t1);
        true
    }

    /// Asks the question that is first in the queue.
    fn ask(&mut self, t: Seconds) {
        let Some(question) = self.questions.asked() else {
            return;
        };
        let (id, text) = (question.id, question.text.clone());
        let event = question.event(t, ConfirmState::Asked);
        self.report(event);
        self.say(Some(id), text);
    }

    /// Understands an utterance as commands, or says why not.
    fn understand(&mut self, heard: &Heard, text: &str, now: Now) {
        let max = self.commands.dialogue.talk.max_commands;
        let found = self
            .commands
            .matcher
            .understand_all(text, heard.readings, max);
        let early = self.early.take().filter(|early| early.id == heard.id);
        let mut early = early.into_iter();
        let mut all = Vec::new();
        let is_command = |one: &Match| matches!(one, Match::Accepted { .. });
        let is_asked = !found.iter().any(is_command) && self.ask_responder(heard, text, now);
        for one in found {
            match one {
                Match::Rejected { .. } if is_asked => {}
                Match::Rejected {
                    best,
                    score,
                    reason,
                } => self.report(Event::Rejected {
                    id: heard.id,
                    t: heard.t1,
                    best,
                    score,
                    reason: reason.as_str(),
                }),
                accepted => all.extend(understood(accepted, heard.id, heard.t1, text)),
            }
        }
        // What was done early is done; what was done early and not meant is taken back first.
        if let Some(early) = early.next() {
            let is_it = |u: &Understood| u.name == early.name && u.slots == early.slots;
            match all.iter().position(is_it) {
                Some(at) => drop(all.remove(at)),
                None => self.take_early_back(&early, heard.t1, now),
            }
        }
        if all.is_empty() {
            return;
        }
        for question in self.questions.drop_all() {
            self.report(question.event(heard.t1, ConfirmState::Expired));
        }
        self.listen.open(heard.t1);
        let commands = self.commands.clone();
        for understood in all {
            match &commands.traits[understood.command].care {
                Care::Confirm { question } => self.confirm(understood, question.as_deref()),
                Care::Usual | Care::Safe => self.do_it(understood, now),
            }
        }
    }

    /// Asks whether a command is meant, with a question of its own if it has one.
    pub(super) fn confirm(&mut self, understood: Understood, question: Option<&str>) {
        let text = match question {
            Some(question) => fill(question, &understood.slots),
            None => question_text(&understood.text),
        };
        self.ask_about(understood, text);
    }

    pub(super) fn ask_about(&mut self, understood: Understood, text: String) {
        let t = understood.t;
        let question = Unconfirmed {
            id: understood.id,
            command: understood.command,
            name: understood.name,
            slots: understood.slots,
            score: understood.score,
            margin: understood.margin,
            heard: understood.text,
            text,
        };
        if self.questions.add(question, t) {
            self.ask(t);
        }
    }

    /// Does what was understood.
    pub(super) fn do_it(&mut self, understood: Understood, now: Now) {
        self.report(Event::Command {
            id: understood.id,
            t: understood.t,
            name: understood.name.clone(),
            slots: understood.slots.clone(),
            score: understood.score,
            margin: understood.margin,
        });
        self.listen.open(understood.t);
        if let Some(built_in) = self.commands.traits[understood.command].built_in {
            return self.built_in(&understood, built_in, now);
        }
        let job = |name: String, action| Job {
            id: understood.id,
            name,
            text: understood.text.clone(),
            slots: understood.slots.clone(),
            known_slots: self.commands.slots.clone(),
            action,
        };
        let action = self.commands.actions[understood.command].clone();
        let inverse = self.commands.inverse(understood.command);
        let inverse = inverse.map(|(name, action)| Inverse::Job(job(name, action)));
        let job = action.map(|action| job(understood.name.clone(), action));
        if let Some(inverse) = inverse {
            self.remember(&understood, inverse);
        }
        self.effects.extend(job.map(Effect::CarryOut));
    }

    /// From now on the command can be taken back.
    pub(super) fn remember(&mut self, understood: &Understood, inverse: Inverse) {
        self.undoable.add(Done {
            id: understood.id,
            t: understood.t,
            name: understood.name.clone(),
            slots: understood.slots.clone(),
            inverse,
        });
    }

    /// Says again what was said last.
    fn repeat(&mut self, heard: &Heard) {
        self.listen.open(heard.t1);
        match self.last_said.is_empty() {
            true => self.reject(heard.id, heard.t1, "nothing_to_repeat"),
            false => self.say(Some(heard.id), self.last_said.clone()),
        }
    }
}

/// The command of a match, if it is one.
pub(super) fn understood(found: Match, id: u64, t: Seconds, text: &str) -> Option<Understood> {
    match found {
        Match::Accepted {
            command,
            name,
            slots,
            score,
            margin,
        } => Some(Understood {
            id,
            t,
            command,
            name,
            slots,
            score,
            margin,
            text: text.to_owned(),
        }),
        Match::Rejected { .. } => None,
    }
}

#[cfg(test)]
#[path = "conversation_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
