//! The model's ear: the recogniser's view of the incremental decoder. Runs on its thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::control::Commands;
use super::recogniser::{Ear, Purpose, Weighed};
use super::wake::WakePhrases;
use crate::command::Matcher;
use crate::command::spoken::{SpokenGuide, Vocabulary};
use crate::dialogue::ListenMode;
use crate::event::Word;
use crate::whisper::stream::{Conclusion, Step, Stream, StreamSettings};
use crate::whisper::{Model, Options, WhisperError};

/// Requests to cut work short; clones are the same requests.
#[derive(Clone, Debug, Default)]
pub struct Abort {
    /// Gives partials up.
    pub(crate) partial: Arc<AtomicBool>,
    /// Gives up what was begun because of a pause: speech goes on.
    pub(crate) pause: Arc<AtomicBool>,
    /// Cuts finals short.
    pub(crate) whole: Arc<AtomicBool>,
}

/// Whisper as an [`Ear`].
pub(crate) struct WhisperEar {
    stream: Stream,
    abort: Abort,
    commands: Option<Matcher>,
    /// Commands in one sentence at most.
    max_commands: usize,
    /// What begins an utterance that is meant for hark, where only such are.
    wake: Option<WakePhrases>,
}

impl WhisperEar {
    /// An ear for `options`.
    pub(crate) fn new(
        model: &Arc<Model>,
        options: Options,
        settings: StreamSettings,
        abort: Abort,
    ) -> Result<Self, WhisperError> {
        Ok(WhisperEar {
            stream: Stream::new(model.clone(), options, settings)?,
            abort,
            commands: None,
            max_commands: 1,
            wake: None,
        })
    }

    /// Weighs these commands in every utterance whose text is none of them as it stands, and looks
    /// for the wake phrase if one is needed.
    pub(crate) fn listen_for(&mut self, model: &Model, commands: &Commands) {
        let tokenizer = model.tokenizer();
        let n_words = tokenizer.special().eot;
        let vocabulary = Vocabulary::new(n_words, |token| tokenizer.token_bytes(token));
        let guide = SpokenGuide::new(commands.matcher.grammar().clone(), vocabulary);
        self.stream.set_guide(Box::new(guide));
        self.commands = Some(commands.matcher.clone());
        self.max_commands = commands.dialogue.talk.max_commands;
        let listen = &commands.dialogue.listen;
        self.wake = (listen.mode == ListenMode::Wake).then(|| WakePhrases::new(model, listen));
    }
}

impl Ear for WhisperEar {
    fn begin(&mut self) {
        self.stream.reset();
    }

    fn hear(&mut self, samples: &[f32]) {
        self.stream.push(samples);
    }

    fn is_full(&self) -> bool {
        self.stream.is_full()
    }

    fn step(&mut self) -> Step {
        self.stream.step(&self.abort.partial)
    }

    fn wait(&mut self, rest: &[Word]) -> usize {
        self.stream.wait(rest)
    }

    fn weigh(&mut self, text: &str, purpose: Purpose) -> Weighed {
        let abort = match purpose {
            Purpose::Pause => &self.abort.pause,
            Purpose::Decision | Purpose::Final => &self.abort.whole,
        };
        let wake = self.wake.as_ref();
        let found = wake.and_then(|wake| wake.find(&mut self.stream, text, abort));
        // What follows a wake phrase is what may be a command.
        let called = found.as_ref().and_then(|found| {
            let tokens = found.tokens.as_deref()?;
            Some((tokens, found.heard.rest.as_str()))
        });
        let (after, text) = called.unwrap_or((&[], text));
        let mut weighed = Weighed::default();
        if let Some(commands) = self.commands.as_ref().filter(|_| !text.is_empty()) {
            if !commands.is_settled(text, self.max_commands) {
                weighed.readings = self.stream.weigh((after, text), abort);
            }
            weighed.progress = commands.progress(text, weighed.readings.as_ref());
        }
        weighed.wake = found.map(|found| found.heard);
        weighed.aborted = abort.load(Ordering::Acquire);
        weighed
    }

    fn conclude(&mut self, purpose: Purpose) -> Conclusion {
        match purpose {
            Purpose::Pause => self.stream.pause(&self.abort.pause),
            Purpose::Decision => self.stream.pause(&self.abort.whole),
            Purpose::Final => self.stream.conclude(&self.abort.whole),
        }
    }
}
