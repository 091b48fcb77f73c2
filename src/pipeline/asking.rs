//! What is no command is a question, where there is a responder: foreseen in a pause, asked at the end, and
//! perhaps answered by the call of a command. And what hark hears of itself is neither.

use super::conversation::{Conversation, Heard, understood};
use crate::command::words::normalise;
use crate::command::{Care, Match};
use crate::dialogue::{
    Address, Effect, ListenMode, Now, Sifted, after_phrase, question_text, wording,
};
use crate::event::{ConfirmState, Event, Readings, Seconds, WakeHeard};
use crate::respond::{Calls, Question};

/// Fewer words are no question: they are what noise is taken for.
const FEWEST_WORDS: usize = 2;
/// Words of a stop phrase at most.
const MAX_STOP_WORDS: usize = 4;

/// How it stands with the responder.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// What is foreseen of the open utterance.
    foreseen: Option<(u64, String)>,
    /// The utterance whose answer is not over.
    answering: Option<u64>,
    /// The utterance whose answer was said last, piece by piece.
    said: Option<u64>,
}

impl Conversation {
    fn asks(&self) -> bool {
        self.commands().responder.is_some()
    }

    /// Somebody begins to speak: an answer that is not heard yet ends.
    pub(super) fn interrupt(&mut self, now: Now) {
        if !now.speaks && !self.own_voice.is_near(now.heard) && self.asked.answering.is_some() {
            self.stop_answer();
        }
    }

    /// No answer is wanted any more.
    pub(super) fn stop_answer(&mut self) {
        if self.asked.answering.take().is_some() || self.asked.foreseen.take().is_some() {
            self.effects.push(Effect::StopAnswer);
        }
    }

    /// The speaker pauses: what they said so far may be a question.
    pub(super) fn foresee(&mut self, (id, t): (u64, Seconds), said: Said<'_>, now: Now) {
        let Said {
            text,
            readings,
            wake,
        } = said;
        let began = self.listen.utterance_start().unwrap_or(t);
        let address = match self.own_voice.sift(began, text) {
            Sifted::Others => self.listen.address(began, text, wake),
            Sifted::Own(_) => return,
        };
        let text = match address {
            Address::No => return,
            Address::Plain => text.to_owned(),
            Address::Called(called) => called.rest,
        };
        // An answer that is being given goes on until it is known that something else is asked.
        if self.asked.answering.is_some() || !self.is_question(&text, readings) {
            return;
        }
        self.asked.foreseen = Some((id, text.clone()));
        let question = self.question(id, t, text, now);
        self.effects.push(Effect::Foresee(question));
    }

    /// What is foreseen is given up when the speaker goes on with something else.
    pub(super) fn reconsider(&mut self, id: u64, text: &str) {
        let is_other = |(of, foreseen): &(u64, String)| {
            *of == id && !text.trim_end().ends_with(foreseen.as_str())
        };
        if self.asked.foreseen.as_ref().is_some_and(is_other) {
            self.asked.foreseen = None;
            self.effects.push(Effect::StopAnswer);
        }
    }

    /// Whether a text that is meant for hark would become a question.
    fn is_question(&self, text: &str, readings: Option<&Readings>) -> bool {
        let commands = self.commands();
        let talk = &commands.dialogue.talk;
        let is_phrase = talk.undo.have(text) || talk.repeat.have(text);
        if !self.asks() || self.questions.is_open() || is_phrase || !self.may_be_asked(text) {
            return false;
        }
        let found = commands
            .matcher
            .understand_all(text, readings, talk.max_commands);
        found
            .iter()
            .all(|one| matches!(one, Match::Rejected { .. }))
    }

    /// Whether a text is a stop word, be it said more than once.
    pub(super) fn is_stop(&self, text: &str) -> bool {
        let stop_words = &self.commands().dialogue.listen.stop_words;
        let mut words = normalise(text);
        words.dedup();
        stop_words.have(text) || stop_words.have(&words.join(" "))
    }

    /// Whether a text has enough words, and is none of those that mean something by themselves.
    fn may_be_asked(&self, text: &str) -> bool {
        let talk = &self.commands().dialogue.talk;
        let phrases = [&talk.never_mind, &talk.yes, &talk.no];
        text.split_whitespace().count() >= FEWEST_WORDS
            && !self.is_stop(text)
            && !phrases.iter().any(|phrases| phrases.have(text))
    }

    /// Nothing is foreseen any more of an utterance that is over.
    pub(super) fn forget_foreseen(&mut self) {
        if self.asked.foreseen.take().is_some() {
            self.effects.push(Effect::StopAnswer);
        }
    }

    /// The answer to that utterance is over.
    fn answered(&mut self, id: u64) {
        if self.asked.answering == Some(id) {
            self.asked.answering = None;
        }
    }

    /// The utterance is no command: asks the responder, if there is one and it may be a question.
    pub(super) fn ask_responder(&mut self, heard: &Heard, text: &str, now: Now) -> bool {
        if !self.asks() || heard.is_doubtful || !self.may_be_asked(text) {
            return false;
        }
        if now.speaks {
            // What is still to be said of the last answer is not wanted any more.
            self.own_voice.hush(now.heard);
            self.effects.push(Effect::Hush);
        }
        self.asked.foreseen = None;
        self.asked.answering = Some(heard.id);
        self.listen.open(heard.t1);
        self.report(Event::Question {
            id: heard.id,
            t: heard.t1,
            text: text.to_owned(),
        });
        let question = self.question(heard.id, heard.t1, text.to_owned(), now);
        self.effects.push(Effect::Ask(question));
        true
    }

    fn question(&self, id: u64, t: Seconds, text: String, now: Now) -> Question {
        let timers = self.timers.left(None, now.clock_s);
        let timers = match timers.is_empty() {
            true => String::new(),
            false => format!("Timers: {}", wording::left(&timers)),
        };
        Question {
            id,
            t,
            text,
            timers,
        }
    }

    /// A piece of an answer was said.
    pub(super) fn remember_reply(&mut self, id: Option<u64>, text: &str, is_done: bool) {
        if self.asked.said != id || id.is_none() {
            self.last_said.clear();
        }
        self.last_said.push_str(text);
        self.asked.said = id.filter(|_| !is_done);
        if let Some(id) = id.filter(|_| is_done) {
            self.answered(id);
        }
    }

    /// The responder calls a command by one of its sentences.
    pub(super) fn call(&mut self, id: u64, sentence: &str, now: Now) -> Vec<Effect> {
        self.answered(id);
        for question in self.questions.drop_all() {
            self.report(question.event(now.heard, ConfirmState::Expired));
        }
        let commands = self.commands_shared();
        let found = match commands.matcher.is_sentence(sentence) {
            true => commands.matcher.match_text(sentence),
            false => Match::Rejected {
                best: None,
                score: None,
                reason: crate::command::Reason::NoMatch,
            },
        };
        let Some(called) = understood(found, id, now.heard, sentence) else {
            self.reject(id, now.heard, "no_match");
            return self.take_effects();
        };
        match (&commands.traits[called.command].care, commands.responder) {
            (Care::Confirm { question }, _) => self.confirm(called, question.as_deref()),
            (Care::Usual, Some(Calls::Always)) | (Care::Safe, _) => self.do_it(called, now),
            (Care::Usual, _) => {
                let text = question_text(&called.text);
                self.ask_about(called, text);
            }
        }
        self.take_effects()
    }

    /// The responder has failed.
    pub(super) fn no_answer(&mut self, id: u64, now: Now) -> Vec<Effect> {
        self.answered(id);
        self.reject(id, now.heard, "no_answer");
        self.take_effects()
    }

    /// What hark says or is about to.
    pub(crate) fn overhear(&mut self, texts: &[String], t: Seconds) {
        self.own_voice.says(texts, t);
        // Whoever hears the end of an answer may go on from there.
        if self.listen.is_open(t) {
            self.listen.open(t);
        }
    }

    /// The caption so far, while hark may hear itself: whether it does. A stop word or a wake phrase among its own
    /// words silences it.
    pub(super) fn is_own_voice(&mut self, (id, t): (u64, Seconds), text: &str, now: Now) -> bool {
        let began = self.listen.utterance_start().unwrap_or(t);
        let Sifted::Own(others) = self.own_voice.sift(began, text) else {
            return false;
        };
        if self.hushed != Some(id) && self.sounds(now) && self.silences(&others, text).is_some() {
            self.hush(id, t, now);
        }
        true
    }

    /// An utterance that hark has heard of itself: what somebody else asked for meanwhile, behind a wake phrase.
    pub(super) fn among_own_voice(&mut self, heard: &Heard, now: Now) -> Option<OwnVoiceHeard> {
        let Sifted::Own(others) = self.own_voice.sift(heard.t0, heard.text) else {
            return None;
        };
        let silenced = self.silences(&others, heard.text);
        if silenced.is_some() && self.hushed != Some(heard.id) && self.sounds(now) {
            self.hush(heard.id, heard.t1, now);
        }
        Some(match silenced {
            Some(Some(called)) if called.rest.contains(char::is_alphanumeric) => {
                OwnVoiceHeard::Called(called)
            }
            _ if self.hushed == Some(heard.id) => OwnVoiceHeard::Stop,
            _ => OwnVoiceHeard::Nothing,
        })
    }

    /// Whether these words of somebody else's, out of `heard`, silence: stop words, or a wake phrase and what follows
    /// it, which may be words that hark says, too.
    fn silences(&self, others: &[String], heard: &str) -> Option<Option<WakeHeard>> {
        let listen = &self.commands().dialogue.listen;
        let is_among = |phrase: &String| {
            let among = |start: usize| after_phrase(&others[start..].join(" "), phrase).is_some();
            (0..others.len()).any(among)
        };
        if listen.mode == ListenMode::Wake
            && let Some(phrase) = listen.wake_phrases.iter().find(|phrase| is_among(phrase))
        {
            let words = heard
                .char_indices()
                .filter(|(_, c)| *c == ' ')
                .map(|(at, _)| at + 1);
            let mut starts = words.rev().chain([0]);
            let rest = starts.find_map(|start| after_phrase(&heard[start..], phrase));
            return Some(Some(WakeHeard {
                phrase: phrase.clone(),
                score: 0.0,
                rest: rest.unwrap_or_default().to_owned(),
            }));
        }
        let last = others.len().saturating_sub(MAX_STOP_WORDS)..others.len();
        let stops = |start: usize| listen.stop_words.have(&others[start..].join(" "));
        last.into_iter().any(stops).then_some(None)
    }
}

/// What was said of an utterance so far.
pub(super) struct Said<'e> {
    pub(super) text: &'e str,
    pub(super) readings: Option<&'e Readings>,
    pub(super) wake: Option<&'e WakeHeard>,
}

/// An utterance of hark's own, with what else was in it.
pub(super) enum OwnVoiceHeard {
    /// Nothing that counts.
    Nothing,
    /// A word that silences.
    Stop,
    /// A wake phrase, and something behind it.
    Called(WakeHeard),
}
