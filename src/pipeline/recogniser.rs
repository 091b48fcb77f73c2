//! Speech in, captions out: partials while somebody speaks, the final when they stop.
//!
//! In: the front's messages, in order. Out: `speech_start`, `partial`, `commit`, `final` and what
//! passes through. Runs on the recogniser thread (live) or on the caller's (replay); never reads a
//! clock and never waits. The same messages give the same events, whether partial steps are taken
//! or skipped aside.

use std::ops::Range;

use super::agreement::{Agreement, text_of};
use super::front::{Ending, Speech};
use crate::dsp::SAMPLE_RATE_HZ;
use crate::event::{Event, Seconds, Word};
use crate::vad::WINDOW_SAMPLES;

/// Flag of a final whose utterance broke off.
pub(crate) const INTERRUPTED: &str = "interrupted";

/// What is understood of an utterance.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Hypothesis {
    /// Words with times from the utterance's first sample.
    pub(crate) words: Vec<Word>,
    /// The model itself holds it for doubtful.
    pub(crate) doubtful: bool,
    /// Whether it was finished or cut short from outside.
    pub(crate) ended: Ended,
}

/// How the work on a hypothesis ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It is complete.
    #[default]
    Complete,
    /// It was told to stop.
    Aborted,
}

/// How much time a hypothesis may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A caption on the way: given up when something better waits.
    Partial,
    /// The last word: given up only at the deadline of a shutdown.
    Final,
}

/// Whatever turns an utterance into words: the model, or a stand-in of the tests.
pub(crate) trait Ear: Send {
    /// Words of an utterance, `samples` at 16 kHz from its start.
    fn hear(&mut self, samples: &[f32], purpose: Purpose) -> Hypothesis;
}

/// When partials are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Partials {
    /// Every so many samples of speech.
    Every {
        /// The distance.
        step_samples: usize,
    },
    /// Never: finals alone.
    Off,
}

/// The recogniser stage.
pub(crate) struct Recogniser {
    ear: Box<dyn Ear>,
    partials: Partials,
    utterance: Option<Utterance>,
    samples: Vec<f32>,
    agreement: Agreement,
}

struct Utterance {
    id: u64,
    start_sample: u64,
    first_sample: u64,
    next_step_samples: usize,
}

impl Recogniser {
    /// A recogniser for utterances up to `max_samples` long; longer ones grow the buffer once.
    pub(crate) fn new(ear: Box<dyn Ear>, partials: Partials, max_samples: usize) -> Self {
        Recogniser {
            ear,
            partials,
            utterance: None,
            samples: Vec::with_capacity(max_samples + WINDOW_SAMPLES),
            agreement: Agreement::default(),
        }
    }

    /// Takes the front's next message. Audio is only stored; the end of speech gives the final.
    pub(crate) fn take(&mut self, speech: &Speech, sink: &mut dyn FnMut(Event)) {
        match speech {
            Speech::Start {
                id,
                start_sample,
                first_sample,
            } => {
                self.end(*start_sample, Ending::Interrupted, sink);
                self.begin(*id, *start_sample, *first_sample);
                sink(Event::SpeechStart {
                    t: Seconds::of_sample(*start_sample),
                    id: *id,
                });
            }
            Speech::Audio { samples, n_valid } => {
                if self.utterance.is_some() {
                    self.samples.extend_from_slice(&samples[..*n_valid]);
                }
            }
            Speech::End { end_sample, ending } => self.end(*end_sample, *ending, sink),
            Speech::Other(event) => sink(event.clone()),
        }
    }

    /// Whether enough was said since the last partial.
    pub(crate) fn step_is_due(&self) -> bool {
        (self.utterance.as_ref()).is_some_and(|u| self.samples.len() >= u.next_step_samples)
    }

    /// A partial of the utterance so far.
    pub(crate) fn step(&mut self, sink: &mut dyn FnMut(Event)) {
        let (Some(utterance), Partials::Every { step_samples }) =
            (&mut self.utterance, self.partials)
        else {
            return;
        };
        utterance.next_step_samples = self.samples.len() + step_samples;
        let t = Seconds::of_sample(utterance.first_sample + self.samples.len() as u64);
        let (id, first_sample) = (utterance.id, utterance.first_sample);
        let heard = self.ear.hear(&self.samples, Purpose::Partial);
        if heard.ended == Ended::Aborted || heard.doubtful {
            // Nothing is shown of it: the next step or the final knows better.
            return;
        }
        let new = self.agreement.step(shifted(heard.words, first_sample));
        self.tell_commit(id, t, new, sink);
        sink(Event::Partial {
            id,
            t,
            stable: text_of(self.agreement.committed()),
            volatile: self.volatile_text(),
            lag_ms: None,
        });
    }

    /// Ends the utterance that is open, with what was heard of it.
    pub(crate) fn flush(&mut self, sink: &mut dyn FnMut(Event)) {
        if let Some(utterance) = &self.utterance {
            let end_sample = utterance.first_sample + self.samples.len() as u64;
            self.end(end_sample, Ending::Interrupted, sink);
        }
    }

    fn begin(&mut self, id: u64, start_sample: u64, first_sample: u64) {
        self.samples.clear();
        self.agreement.reset();
        let next_step_samples = match self.partials {
            Partials::Every { step_samples } => {
                // The step counts from the speech itself, not from what was heard before it.
                (start_sample.saturating_sub(first_sample)) as usize + step_samples
            }
            Partials::Off => usize::MAX,
        };
        self.utterance = Some(Utterance {
            id,
            start_sample,
            first_sample,
            next_step_samples,
        });
    }

    /// Ends the utterance, if one is open: rest of the words, then the final.
    fn end(&mut self, end_sample: u64, ending: Ending, sink: &mut dyn FnMut(Event)) {
        let Some(utterance) = self.utterance.take() else {
            return;
        };
        let heard = self.ear.hear(&self.samples, Purpose::Final);
        let aborted = heard.ended == Ended::Aborted;
        let words = shifted(heard.words, utterance.first_sample);
        let n_shown = self.agreement.committed().len() + self.agreement.volatile().len();
        let new = if aborted && words.len() < n_shown {
            self.agreement.settle()
        } else {
            self.agreement.finish(words)
        };
        let t = Seconds::of_sample(utterance.first_sample + self.samples.len() as u64);
        self.tell_commit(utterance.id, t, new, sink);
        let words = self.agreement.committed().to_vec();
        let mut flags = Vec::new();
        if words.is_empty() {
            flags.push("no_speech".to_owned());
        } else if heard.doubtful {
            flags.push("low_confidence".to_owned());
        }
        if aborted {
            flags.push("cut_short".to_owned());
        }
        if ending == Ending::Interrupted {
            flags.push(INTERRUPTED.to_owned());
        }
        sink(Event::Final {
            id: utterance.id,
            t0: Seconds::of_sample(utterance.start_sample),
            t1: Seconds::of_sample(end_sample),
            text: text_of(&words),
            words,
            flags,
        });
    }

    /// The tail as it joins the stable text: with its leading space, if there is anything before.
    fn volatile_text(&self) -> String {
        let text: String = self
            .agreement
            .volatile()
            .iter()
            .map(|w| w.text.as_str())
            .collect();
        match self.agreement.committed() {
            [] => text.trim().to_owned(),
            _ => text.trim_end().to_owned(),
        }
    }

    fn tell_commit(&self, id: u64, t: Seconds, new: Range<usize>, sink: &mut dyn FnMut(Event)) {
        if !new.is_empty() {
            sink(Event::Commit {
                id,
                t,
                words: self.agreement.committed()[new].to_vec(),
            });
        }
    }
}

/// The words with times of the stream instead of the utterance.
fn shifted(mut words: Vec<Word>, first_sample: u64) -> Vec<Word> {
    let offset = first_sample as f64 / f64::from(SAMPLE_RATE_HZ);
    for word in &mut words {
        word.t0.0 += offset;
        word.t1.0 += offset;
    }
    words
}

#[cfg(test)]
#[path = "recogniser_tests.rs"]
mod tests;
