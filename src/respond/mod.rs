//! What is no command may be a question: a language model answers it, or calls a command.
//!
//! In: a [`Question`] with what is known besides it. Out: pieces of text as they are written, or a sentence of the
//! commands. [`Respondent`] answers on the caller's thread (replay); [`Responder`] has a thread of its own, begins
//! before it is sure that it was a question, lets others go first, and stops at once when it should. Neither
//! speaks nor carries anything out.

mod prompt;
mod respondent;
mod sentences;
mod thread;

use std::sync::Arc;

use crate::event::Seconds;
use crate::llama::{Answerer, KvType, Sampling};
use crate::place::Place;

pub use prompt::{Callable, SYSTEM};
pub use respondent::{Outcome, Respondent};
pub use sentences::Sentences;
pub use thread::{Manners, Report, Responder, Said};

/// What a model may call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Calls {
    /// No command.
    Never,
    /// All commands; each call is asked about, but those of commands that are safe.
    #[default]
    Confirm,
    /// All commands as if they were said.
    Always,
}

/// `[responder]`
#[derive(Clone, Debug, PartialEq)]
pub struct ResponderOptions {
    /// Whether anything is answered.
    pub enabled: bool,
    /// Name or path of the language model.
    pub model: String,
    /// What keys and values are kept in.
    pub kv: KvType,
    /// What the model is to be, with places for what is known.
    pub system: String,
    /// What it may call.
    pub calls: Calls,
    /// Tokens of a conversation.
    pub context_tokens: usize,
    /// Tokens of an answer.
    pub max_tokens: usize,
    /// Seconds for an answer.
    pub timeout_s: f32,
    /// Questions that are remembered with their answers.
    pub history_turns: usize,
    /// Seconds after an answer in which it is remembered.
    pub history_s: f32,
    /// How words are chosen.
    pub sampling: Sampling,
    /// Whether it begins in the first pause.
    pub speculate: bool,
    /// Seconds after an answer until the model is unloaded; 0 for never.
    pub unload_after_s: f32,
    /// Where what was read of the system prompt is kept.
    pub prefix_file: Place,
}

impl Default for ResponderOptions {
    fn default() -> Self {
        ResponderOptions {
            enabled: false,
            model: "smollm2".to_owned(),
            kv: KvType::F16,
            system: SYSTEM.to_owned(),
            calls: Calls::Confirm,
            context_tokens: 2_048,
            max_tokens: 160,
            timeout_s: 30.0,
            history_turns: 6,
            history_s: 300.0,
            sampling: Sampling {
                repeat_penalty: 1.1,
                ..Sampling::default()
            },
            speculate: true,
            unload_after_s: 0.0,
            prefix_file: Place::Auto,
        }
    }
}

/// Loads the model, or says why not.
pub type Load = Arc<dyn Fn() -> Result<Answerer, String> + Send + Sync>;

/// Everything that a responder is made of.
#[derive(Clone)]
pub struct ResponderSetup {
    /// How it answers.
    pub options: ResponderOptions,
    /// Where its model comes from.
    pub load: Load,
    /// What it may call.
    pub callable: Callable,
}

impl ResponderSetup {
    /// Whether both need the same model, loaded in the same way.
    pub fn has_model_of(&self, other: &Self) -> bool {
        let key = |setup: &Self| {
            let options = &setup.options;
            let room = (options.context_tokens, options.max_tokens);
            (options.model.clone(), options.kv, room)
        };
        key(self) == key(other)
    }
}

impl PartialEq for ResponderSetup {
    /// Whether one would answer as the other.
    fn eq(&self, other: &Self) -> bool {
        self.options == other.options && self.callable == other.callable
    }
}

/// What is asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Question {
    /// The utterance.
    pub id: u64,
    /// When, in audio time.
    pub t: Seconds,
    /// Its text.
    pub text: String,
    /// What there is to say about timers.
    pub timers: String,
}

impl Question {
    /// Whether this is the other one, asked at last.
    fn is(&self, other: &Question) -> bool {
        self.id == other.id && self.text == other.text
    }
}
