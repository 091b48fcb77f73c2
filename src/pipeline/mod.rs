//! The wiring of the stages on the sample clock: no threads, no devices, no wall clock.
//!
//! ```text
//! samples ─▶ Front ─▶ Speech ─▶ Recogniser ─▶ Event ─▶ Control ─▶ Event, Job
//! ```
//!
//! [`Pipeline`] runs the stages one after the other on the caller's thread (replay, tests, captions
//! at full speed); the daemon takes the same [`Stages`] and puts threads between them.

use std::sync::Arc;

use crate::dialogue::{Effect, Now};
use crate::dsp::SAMPLE_RATE_HZ;
use crate::event::{Event, GapReason, Seconds};
use crate::respond::{Outcome, Question, Respondent, ResponderSetup};
use crate::speech::SpeechOptions;
use crate::vad::{SegmenterConfig, WINDOW_SAMPLES};
use crate::whisper::stream::StreamSettings;
use crate::whisper::{Model, Options, WhisperError};

mod asking;
mod control;
mod conversation;
mod divider;
mod ear;
mod front;
mod recogniser;
mod second_thoughts;
mod timekeeping;
mod voice;
mod wake;

pub use control::{Act, Commands};
pub use ear::Abort;

pub(crate) use control::{Control, carry_out, result_of};
use divider::Divider;
pub(crate) use front::{Ending, Front, Speech};
pub(crate) use recogniser::INTERRUPTED;
pub(crate) use recogniser::{Ear, Partials, Recogniser};
#[cfg(test)]
pub(crate) use recogniser::{Purpose, Weighed};

/// Everything the stages need to know.
#[derive(Clone)]
pub struct Settings {
    /// When utterances begin and end.
    pub segmenter: SegmenterConfig,
    /// Language, task and thresholds of the recogniser.
    pub options: Options,
    /// Milliseconds of speech from one partial to the next; 0 for none.
    pub step_ms: u32,
    /// Thresholds of the incremental decoder.
    pub stream: StreamSettings,
    /// A smaller model for a machine that cannot keep up; used by the daemon only.
    pub smaller: Option<Arc<Model>>,
    /// The commands; none for captions alone.
    pub commands: Option<Commands>,
    /// What speaks.
    pub speech: SpeechOptions,
    /// What answers what is no command; needs commands, if only none.
    pub responder: Option<ResponderSetup>,
    /// Whether finals carry their audio.
    pub keep_audio: bool,
}

impl Default for Settings {
    /// Captions every half second in any language, without commands.
    fn default() -> Self {
        Settings {
            segmenter: SegmenterConfig::default(),
            options: Options::default(),
            step_ms: 500,
            stream: StreamSettings::default(),
            smaller: None,
            commands: None,
            speech: SpeechOptions::default(),
            responder: None,
            keep_audio: false,
        }
    }
}

/// The stages, set up and not yet connected.
pub struct Stages {
    pub(crate) front: Front,
    pub(crate) recogniser: Recogniser,
    pub(crate) control: Control,
    /// What speaks; none when there is nothing to say.
    pub(crate) speech: Option<SpeechOptions>,
    /// What answers.
    pub(crate) responder: Option<ResponderSetup>,
    pub(crate) abort: Abort,
    /// How to make them again.
    pub(crate) recipe: Arc<Recipe>,
}

/// How stages are made, at first and in place of one that a bug has stopped.
pub(crate) struct Recipe {
    /// Name of the model that listens.
    pub(crate) model: String,
    pub(crate) front: Box<dyn Fn() -> Front + Send + Sync>,
    pub(crate) recogniser: Box<dyn Fn() -> Result<Recogniser, WhisperError> + Send + Sync>,
    pub(crate) control: Box<dyn Fn() -> Control + Send + Sync>,
}

impl Stages {
    /// Sets the stages up; `abort` cuts their work short.
    ///
    /// # Errors
    /// If the model does not know the language.
    pub fn new(
        settings: &Settings,
        model: &Arc<Model>,
        abort: Abort,
    ) -> Result<Self, WhisperError> {
        let recipe = Recipe {
            model: model.name().to_owned(),
            front: {
                let (cpu, segmenter) = (model.exec().cpu(), settings.front_segmenter());
                Box::new(move || Front::new(cpu, segmenter))
            },
            recogniser: {
                let (settings, model, abort) = (settings.clone(), model.clone(), abort.clone());
                Box::new(move || settings.recogniser(&model, &abort))
            },
            control: {
                let commands = settings.commands.clone();
                Box::new(move || Control::new(commands.clone()))
            },
        };
        let speech = settings.commands.as_ref().map(|_| settings.speech.clone());
        let mut stages = Stages::of(recipe, speech, abort)?;
        stages.responder.clone_from(&settings.responder);
        Ok(stages)
    }

    /// What cuts their work short.
    pub fn abort(&self) -> Abort {
        self.abort.clone()
    }

    /// Makes the stages for the first time.
    pub(crate) fn of(
        recipe: Recipe,
        speech: Option<SpeechOptions>,
        abort: Abort,
    ) -> Result<Self, WhisperError> {
        Ok(Stages {
            front: (recipe.front)(),
            recogniser: (recipe.recogniser)()?,
            control: (recipe.control)(),
            speech,
            responder: None,
            abort,
            recipe: Arc::new(recipe),
        })
    }
}

impl Settings {
    /// How the front finds speech: where commands have a say, the recogniser divides it further.
    fn front_segmenter(&self) -> SegmenterConfig {
        match &self.commands {
            Some(commands) => Divider::new(self.segmenter, commands.patience).1,
            None => self.segmenter,
        }
    }

    fn recogniser(&self, model: &Arc<Model>, abort: &Abort) -> Result<Recogniser, WhisperError> {
        let ear = |model: &Arc<Model>| -> Result<Box<dyn Ear>, WhisperError> {
            let (options, stream) = (self.options.clone(), self.stream.clone());
            let mut ear = ear::WhisperEar::new(model, options, stream, abort.clone())?;
            if let Some(commands) = &self.commands {
                ear.listen_for(model, commands);
            }
            Ok(Box::new(ear))
        };
        let rate = SAMPLE_RATE_HZ as usize;
        let partials = match self.step_ms as usize * rate / 1000 {
            0 => Partials::Off,
            step_samples => Partials::Every { step_samples },
        };
        let mut recogniser = Recogniser::new(ear(model)?, partials);
        recogniser.set_smaller(self.smaller.as_ref().map(ear).transpose()?);
        recogniser.keep_audio(self.keep_audio);
        let responder = self.responder.as_ref();
        recogniser.tell_pauses(responder.is_some_and(|setup| setup.options.speculate));
        if let Some(commands) = &self.commands {
            recogniser.set_divider(Divider::new(self.segmenter, commands.patience).0);
        }
        Ok(recogniser)
    }
}

/// The stages connected, on the caller's thread.
pub struct Pipeline {
    front: Front,
    rest: Rest,
    n_samples: u64,
}

/// What comes after the front.
struct Rest {
    recogniser: Recogniser,
    decisions: Decisions,
}

/// What decides, and what it takes to bring that about.
struct Decisions {
    control: Control,
    respondent: Option<Respondent>,
    act: Act,
    now: Now,
}

impl Pipeline {
    /// A pipeline at sample 0 that has heard nothing.
    ///
    /// # Errors
    /// If the model does not know the language.
    pub fn new(settings: &Settings, model: &Arc<Model>, act: Act) -> Result<Self, WhisperError> {
        Pipeline::with_abort(settings, model, act, Abort::default())
    }

    /// A pipeline whose work can be cut short.
    ///
    /// # Errors
    /// If the model does not know the language.
    pub fn with_abort(
        settings: &Settings,
        model: &Arc<Model>,
        act: Act,
        abort: Abort,
    ) -> Result<Self, WhisperError> {
        let Stages {
            front,
            recogniser,
            control,
            responder,
            ..
        } = Stages::new(settings, model, abort)?;
        let respondent = responder.and_then(|setup| {
            let loaded = Respondent::load(&setup);
            loaded.inspect_err(|error| log::error!("{error}")).ok()
        });
        Ok(Pipeline {
            front,
            rest: Rest {
                recogniser,
                decisions: Decisions {
                    control,
                    respondent,
                    act,
                    now: Now::default(),
                },
            },
            n_samples: 0,
        })
    }

    /// Takes 16 kHz mono samples; any cut of the same samples gives the same events.
    pub fn push(&mut self, samples: &[f32], sink: &mut dyn FnMut(Event)) {
        let mut left = samples;
        while !left.is_empty() {
            // Time passes by whole windows, wherever the samples are cut.
            let window = WINDOW_SAMPLES as u64;
            let n = (window - self.n_samples % window).min(left.len() as u64);
            let (piece, after) = left.split_at(n as usize);
            let rest = &mut self.rest;
            self.front
                .push(piece, &mut |speech| rest.take(&speech, sink));
            self.advance(n, sink);
            left = after;
        }
    }

    /// Push-to-talk is switched on or off.
    pub fn push_to_talk(&mut self, on: bool, sink: &mut dyn FnMut(Event)) {
        let decisions = &mut self.rest.decisions;
        let effects = decisions.control.push(Some(on), decisions.now);
        decisions.bring_about(effects, sink);
    }

    fn advance(&mut self, n_samples: u64, sink: &mut dyn FnMut(Event)) {
        let window = WINDOW_SAMPLES as u64;
        let before = self.n_samples / window;
        self.n_samples += n_samples;
        let windows = self.n_samples / window;
        if windows > before {
            self.rest.tick(Seconds::of_sample(windows * window), sink);
        }
    }

    /// `n_samples` were lost here.
    pub fn gap(&mut self, n_samples: u64, reason: GapReason, sink: &mut dyn FnMut(Event)) {
        let rest = &mut self.rest;
        self.front
            .gap(n_samples, reason, &mut |speech| rest.take(&speech, sink));
        self.advance(n_samples, sink);
    }

    /// The stream has ended: closes the open utterance.
    pub fn flush(&mut self, sink: &mut dyn FnMut(Event)) {
        let rest = &mut self.rest;
        self.front
            .flush(Ending::Complete, &mut |speech| rest.take(&speech, sink));
    }
}

impl Rest {
    fn take(&mut self, speech: &Speech, sink: &mut dyn FnMut(Event)) {
        let decisions = &mut self.decisions;
        let mut after = |event: Event| decisions.report(event, sink);
        self.recogniser.take(speech, &mut after);
        if self.recogniser.step_is_due() {
            self.recogniser.step(&mut after);
        }
    }

    /// So much audio was heard.
    fn tick(&mut self, heard: Seconds, sink: &mut dyn FnMut(Event)) {
        let decisions = &mut self.decisions;
        decisions.now = Now {
            heard,
            clock_s: heard.0,
            speaks: false,
        };
        let effects = decisions.control.tick(decisions.now);
        decisions.bring_about(effects, sink);
    }
}

impl Decisions {
    /// Reports an event, and what follows from it.
    fn report(&mut self, event: Event, sink: &mut dyn FnMut(Event)) {
        let effects = self.control.decide(&event, self.now);
        sink(event);
        self.bring_about(effects, sink);
    }

    /// Reports and carries out what was decided. Nothing is spoken and no timer is kept: a recording
    /// has no listeners and no tomorrow.
    fn bring_about(&mut self, effects: Vec<Effect>, sink: &mut dyn FnMut(Event)) {
        for effect in effects {
            match effect {
                Effect::Report(event) => sink(event),
                Effect::CarryOut(job) => {
                    let result = carry_out(&job, &self.act);
                    // A result has no consequences beyond being remembered.
                    let after = self.control.decide(&result, self.now);
                    debug_assert!(after.is_empty());
                    sink(result);
                }
                Effect::Ask(question) => self.answer(&question, sink),
                // Nobody waits for an answer: there is no need to begin early, or to stop.
                Effect::Foresee(_) | Effect::StopAnswer | Effect::Hush | Effect::Keep(_) => {}
            }
        }
    }

    /// Answers a question at once.
    fn answer(&mut self, question: &Question, sink: &mut dyn FnMut(Event)) {
        let (id, now) = (question.id, self.now);
        let Some(respondent) = &mut self.respondent else {
            let effects = self.control.no_answer(id, now);
            return self.bring_about(effects, sink);
        };
        let control = &mut self.control;
        let mut reply = |text: String, done: bool| {
            let id = Some(id);
            let event = Event::Reply { id, text, done };
            let after = control.decide(&event, now);
            debug_assert!(after.is_empty());
            sink(event);
        };
        let outcome = respondent.answer(question, &mut |piece| {
            if !piece.is_empty() {
                reply(piece.to_owned(), false);
            }
            true
        });
        let effects = match outcome {
            Ok(outcome) => {
                respondent.remember(question, &outcome);
                match outcome {
                    Outcome::Called(sentence) => self.control.call(id, &sentence, now),
                    Outcome::Answered(_) => {
                        reply(String::new(), true);
                        Vec::new()
                    }
                }
            }
            Err(error) => {
                log::warn!("no answer: {error}");
                self.control.no_answer(id, now)
            }
        };
        self.bring_about(effects, sink);
    }
}
