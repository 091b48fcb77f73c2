//! A model in conversation, on the caller's thread.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::prompt::{CALL, Known, filled};
use super::{Callable, Question, ResponderSetup};
use crate::event::Seconds;
use crate::llama::{AnswerError, Answerer, Asking, Constraint, End, Message, Role, Tokens, saved};

/// Seconds after which the time in the system prompt is too old.
const STALE_S: f64 = 600.0;
/// Seconds after which what it says about timers is.
const TIMERS_STALE_S: f64 = 60.0;

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered with this text, or as much of it as somebody wanted.
    Answered(String),
    /// The model calls a command by this sentence.
    Called(String),
}

/// Gives the time and the date as people say them.
pub(super) type Clock = fn() -> (String, String);

/// A model that answers. What was said before is remembered for a while.
pub struct Respondent {
    setup: ResponderSetup,
    answerer: Answerer,
    constraint: Option<Constraint>,
    clock: Option<Clock>,
    /// The system prompt of the conversation, when it was filled in, and with which timers.
    system: Option<(Message, Seconds, String)>,
    history: Vec<Message>,
    /// When something was answered last.
    last: Seconds,
    /// Whether the oldest turns of the conversation were left out.
    slides: bool,
}

impl Respondent {
    /// Loads the model; without a clock it does not know the time.
    ///
    /// # Errors
    /// If the model cannot be loaded.
    pub fn load(setup: &ResponderSetup) -> Result<Self, String> {
        let answerer = (setup.load)()?;
        let mut respondent = Respondent {
            setup: setup.clone(),
            answerer,
            constraint: None,
            clock: None,
            system: None,
            history: Vec::new(),
            last: Seconds::default(),
            slides: false,
        };
        respondent.adopt(setup);
        Ok(respondent)
    }

    /// Goes on with other options and commands and the same model.
    pub(super) fn adopt(&mut self, setup: &ResponderSetup) {
        self.setup = setup.clone();
        self.system = None;
        let made = setup.callable.grammar().map(|grammar| {
            let tokens = Tokens::new(self.answerer.vocabulary());
            Constraint::new(Arc::new(grammar), Arc::new(tokens))
        });
        self.constraint = made.and_then(|made| {
            made.inspect_err(|error| log::warn!("the language model cannot call commands: {error}"))
                .ok()
        });
        if self.constraint.is_none() {
            // It must not be told of what it cannot write.
            self.setup.callable = Callable::default();
        }
    }

    /// The same that knows the time.
    pub(super) fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Prepares every thread that computes.
    pub(super) fn settle(&self, settle: fn()) {
        self.answerer.settle(settle);
    }

    /// Conversations are read in pieces of so many tokens: how soon others can go first.
    pub(super) fn read_at_once(&mut self, n_tokens: usize) {
        self.answerer.read_at_once(n_tokens);
    }

    /// Reads what all conversations begin with, or takes it from a file where an earlier run has left it. Before each
    /// piece that is read `goes_on` is asked.
    pub(super) fn prepare(&mut self, goes_on: &mut dyn FnMut() -> bool) {
        let began = Instant::now();
        let file = self.setup.options.prefix_file.state_file("responder.state");
        let (outcome, n_tokens) = match self.beginning() {
            Ok(tokens) => (self.read_beginning(&tokens, file, goes_on), tokens.len()),
            Err(error) => (Err(error.to_string()), 0),
        };
        match outcome {
            Ok(how) => log::info!(
                "{n_tokens} tokens of the system prompt {how} in {:?}",
                began.elapsed()
            ),
            Err(error) => log::warn!("the system prompt is not prepared: {error}"),
        }
    }

    fn read_beginning(
        &mut self,
        tokens: &[u32],
        file: Option<PathBuf>,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<&'static str, String> {
        let found = file.as_ref().map(|file| self.answerer.load_state(file));
        match found {
            Some(Ok(_)) if self.answerer.tokens() == tokens => return Ok("taken from a file"),
            Some(Err(saved::SavedError::Io { source, .. }))
                if source.kind() == std::io::ErrorKind::NotFound => {}
            Some(Err(error)) => log::info!("what was read before is of no use: {error}"),
            _ => {}
        }
        if !self.answerer.read_ahead(tokens, goes_on) {
            return Err("somebody ended it".to_owned());
        }
        if let Some(file) = file {
            let folder = file.parent().map_or(Ok(()), std::fs::create_dir_all);
            let kept = folder.map_err(|error| error.to_string()).and_then(|()| {
                let saved = self.answerer.save_state(&file);
                saved.map_err(|error| error.to_string())
            });
            if let Err(error) = kept {
                log::warn!("what was read is not kept: {error}");
            }
        }
        Ok("read")
    }

    /// The tokens that every conversation begins with, whatever the time and the question.
    fn beginning(&self) -> Result<Vec<u32>, AnswerError> {
        let conversation = |now: &str, text: &str| {
            let known = Known {
                now: Some((now.to_owned(), now.to_owned())),
                timers: now,
                callable: &self.setup.callable,
            };
            let system = filled(&self.setup.options.system, &known);
            vec![message(Role::System, &system), message(Role::User, text)]
        };
        self.answerer
            .common(&conversation("1", "a"), &conversation("x", "9"))
    }

    /// Answers. Each new piece goes to `say`, which ends the answer by giving false; a call is not said. Nothing
    /// is remembered of it yet.
    ///
    /// # Errors
    /// If the question is too long, or the model is damaged.
    pub fn answer(
        &mut self,
        question: &Question,
        say: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Outcome, AnswerError> {
        self.begin_turn(question);
        let mut messages = Vec::with_capacity(self.history.len() + 2);
        messages.extend(self.system.iter().map(|(system, ..)| system.clone()));
        messages.extend_from_slice(&self.history);
        messages.push(message(Role::User, &question.text));
        if let Some(constraint) = &mut self.constraint {
            constraint.reset();
        }
        let mut begun = String::new();
        let mut is_call = None;
        let may_call = self.constraint.is_some();
        let asking = Asking {
            messages: &messages,
            sampling: self.setup.options.sampling,
            constraint: self.constraint.as_mut(),
            slides: self.slides,
        };
        let answer = self.answerer.answer(asking, &mut |piece| {
            if is_call.is_none() {
                begun.push_str(piece);
                let first = begun.trim_start().chars().next();
                is_call = first.map(|c| may_call && c == CALL);
                let piece = begun.trim_start();
                return match is_call {
                    Some(false) => say(piece),
                    _ => say(""),
                };
            }
            say(if is_call == Some(true) { "" } else { piece })
        })?;
        log::debug!(
            "{} of {} tokens known, the first of {} after {:.0} ms",
            answer.n_reused,
            answer.n_prompt,
            answer.n_tokens,
            1e3 * answer.first_s
        );
        let text = answer.text.trim();
        Ok(match text.strip_prefix(CALL).filter(|_| may_call) {
            // One that was cut short is none.
            Some(sentence) if answer.end == End::Complete => {
                Outcome::Called(sentence.trim().to_owned())
            }
            Some(_) => Outcome::Answered(String::new()),
            None => Outcome::Answered(text.to_owned()),
        })
    }

    /// Remembers what was said.
    pub fn remember(&mut self, question: &Question, outcome: &Outcome) {
        let said = match outcome {
            Outcome::Answered(text) if text.is_empty() => return,
            Outcome::Answered(text) => text.clone(),
            Outcome::Called(sentence) => format!("{CALL} {sentence}"),
        };
        self.history.push(message(Role::User, &question.text));
        self.history.push(message(Role::Assistant, &said));
        let n_kept = 2 * self.setup.options.history_turns;
        let n_old = self.history.len().saturating_sub(n_kept);
        self.slides |= n_old > 0;
        self.history.drain(..n_old);
        self.last = question.t;
    }

    /// A conversation goes on, or a new one begins.
    fn begin_turn(&mut self, question: &Question) {
        let since = question.t.0 - self.last.0;
        if since > f64::from(self.setup.options.history_s) {
            self.history.clear();
            self.slides = false;
        }
        let is_current = self.system.as_ref().is_some_and(|(_, t, timers)| {
            let age_s = question.t.0 - t.0;
            // A timer that runs says something else every second.
            let limit_s = if *timers == question.timers {
                STALE_S
            } else {
                TIMERS_STALE_S
            };
            !self.history.is_empty() && age_s < limit_s
        });
        if is_current {
            return;
        }
        let known = Known {
            now: self.clock.map(|clock| clock()),
            timers: &question.timers,
            callable: &self.setup.callable,
        };
        let text = filled(&self.setup.options.system, &known);
        let message = message(Role::System, &text);
        self.system = (!text.is_empty()).then(|| (message, question.t, question.timers.clone()));
    }
}

fn message(role: Role, content: &str) -> Message {
    Message {
        role,
        content: content.to_owned(),
    }
}
