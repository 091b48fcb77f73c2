//! Speaks a sentence: `{ speak = "Turning {state} the lights" }`.

use super::job::{Attempt, Ended, Job};
use super::slots::{SlotError, Slots, fill, mention};
use super::{ActionError, Deed};

/// A sentence to speak.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Speak {
    /// What is said, with slots.
    pub text: String,
}

impl Deed for Speak {
    fn mention(&self, to: &mut Vec<String>) {
        mention(&self.text, to);
    }

    fn line(&self, slots: Option<&Slots>) -> Result<Vec<String>, SlotError> {
        let text = slots.map_or_else(|| self.text.clone(), |slots| fill(&self.text, slots));
        Ok(vec!["speak".to_owned(), text])
    }

    fn run(&self, job: &Job, attempt: &Attempt<'_>) -> Ended {
        let text = fill(&self.text, &job.slots);
        match attempt.say(&text) {
            Ok(()) => Ended::well(text),
            Err(error) => Ended::badly(error, String::new()),
        }
    }

    fn lacks(&self) -> Vec<String> {
        match self.text.trim().is_empty() {
            true => vec!["there is nothing to speak".to_owned()],
            false => Vec::new(),
        }
    }
}

/// What makes sound of text.
pub trait Voice: Send + Sync {
    /// Says `text` and waits until it was said, `attempt` is over or it is silenced.
    ///
    /// # Errors
    /// If it cannot be said.
    fn say(&self, text: &str, attempt: &Attempt<'_>) -> Result<(), ActionError>;
}
