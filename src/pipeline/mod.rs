//! The wiring of the stages on the sample clock: no threads, no devices, no wall clock.
//!
//! ```text
//! samples ─▶ Front ─▶ Speech ─▶ Recogniser ─▶ Event ─▶ Control ─▶ Event, Job
//! ```
//!
//! [`Pipeline`] runs the stages one after the other on the caller's thread (replay, tests, captions
//! at full speed); the daemon takes the same [`Stages`] and puts threads between them.

use std::sync::Arc;

use crate::dsp::SAMPLE_RATE_HZ;
use crate::event::{Event, GapReason};
use crate::speech::SpeechOptions;
use crate::vad::SegmenterConfig;
use crate::whisper::stream::StreamSettings;
use crate::whisper::{Model, Options, WhisperError};

mod control;
mod ear;
mod front;
mod recogniser;
mod voice;

pub use control::{Act, Commands};
pub use ear::Abort;

pub(crate) use control::{Control, Decision, carry_out, result_of};
pub(crate) use front::{Ending, Front, Speech};
use recogniser::Ear;
pub(crate) use recogniser::INTERRUPTED;
pub(crate) use recogniser::{Partials, Recogniser};

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
}

/// The stages, set up and not yet connected.
pub struct Stages {
    pub(crate) front: Front,
    pub(crate) recogniser: Recogniser,
    pub(crate) control: Control,
    /// What speaks; none when there is nothing to say.
    pub(crate) speech: Option<SpeechOptions>,
    pub(crate) abort: Abort,
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
        let ear = |model: &Arc<Model>| -> Result<Box<dyn Ear>, WhisperError> {
            let (options, stream) = (settings.options.clone(), settings.stream.clone());
            let mut ear = ear::WhisperEar::new(model, options, stream, abort.clone())?;
            if let Some(commands) = &settings.commands {
                ear.listen_for(model, &commands.matcher);
            }
            Ok(Box::new(ear))
        };
        let rate = SAMPLE_RATE_HZ as usize;
        let partials = match settings.step_ms as usize * rate / 1000 {
            0 => Partials::Off,
            step_samples => Partials::Every { step_samples },
        };
        let mut recogniser = Recogniser::new(ear(model)?, partials);
        recogniser.set_smaller(settings.smaller.as_ref().map(ear).transpose()?);
        Ok(Stages {
            front: Front::new(model.exec().cpu(), settings.segmenter),
            recogniser,
            control: Control::new(settings.commands.clone()),
            speech: settings.commands.as_ref().map(|_| settings.speech.clone()),
            abort,
        })
    }
}

/// The stages connected, on the caller's thread.
pub struct Pipeline {
    front: Front,
    rest: Rest,
}

/// What comes after the front.
struct Rest {
    recogniser: Recogniser,
    control: Control,
    act: Act,
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
            ..
        } = Stages::new(settings, model, abort)?;
        Ok(Pipeline {
            front,
            rest: Rest {
                recogniser,
                control,
                act,
            },
        })
    }

    /// Takes 16 kHz mono samples; any cut of the same samples gives the same events.
    pub fn push(&mut self, samples: &[f32], sink: &mut dyn FnMut(Event)) {
        let rest = &mut self.rest;
        self.front
            .push(samples, &mut |speech| rest.take(&speech, sink));
    }

    /// `n_samples` were lost here.
    pub fn gap(&mut self, n_samples: u64, reason: GapReason, sink: &mut dyn FnMut(Event)) {
        let rest = &mut self.rest;
        self.front
            .gap(n_samples, reason, &mut |speech| rest.take(&speech, sink));
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
        let (control, act) = (&mut self.control, &self.act);
        let mut after = |event: Event| {
            let decision = control.decide(&event);
            sink(event);
            if let Some(Decision { event, job }) = decision {
                sink(event);
                if let Some(job) = job {
                    sink(carry_out(&job, act));
                }
            }
        };
        self.recogniser.take(speech, &mut after);
        if self.recogniser.step_is_due() {
            self.recogniser.step(&mut after);
        }
    }
}
