//! Speech in, captions out: partials while somebody speaks, the final when they stop.
//!
//! In: the front's messages, in order. Out: `speech_start`, `partial`, `commit`, `final` and what
//! passes through. Runs on the recogniser thread (live) or on the caller's (replay); never reads a
//! clock and never waits. The same messages and the same steps give the same events.
//!
//! In a pause the rest of the utterance is worked out at once, as if it were over. If it is, the
//! final is ready; if speech goes on, that was one more partial.

use std::ops::Range;
use std::sync::Arc;

use super::divider::Divider;
use super::front::{Ending, Speech};
use crate::command::Progress;
use crate::event::{Event, Readings, Relief, Seconds, Trace, WakeHeard, Word};
use crate::whisper::stream::{Conclusion, Outcome, Step};

/// Flag of a final whose utterance broke off.
pub(crate) const INTERRUPTED: &str = "interrupted";

/// What the rest of an utterance is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The speaker pauses: given up when they go on.
    Pause,
    /// They have paused for so long that it counts whether that was all.
    Decision,
    /// The last word: given up only at the deadline of a shutdown.
    Final,
}

/// Whatever turns utterances into words: the model, or a stand-in of the tests.
pub(crate) trait Ear: Send {
    /// An utterance begins.
    fn begin(&mut self);

    /// Its next samples.
    fn hear(&mut self, samples: &[f32]);

    /// Whether a step is due because no more can be held.
    fn is_full(&self) -> bool;

    /// What is said so far: words for good, and words that may change.
    fn step(&mut self) -> Step;

    /// All words after those for good, as if the utterance ended here. In a pause some of them may
    /// become words for good.
    fn conclude(&mut self, purpose: Purpose) -> Conclusion;

    /// The pause lasts, with more silence heard: how many words of `rest`, which was concluded at
    /// its beginning, are now for good.
    fn wait(&mut self, rest: &[Word]) -> usize;

    /// What the audio that was just concluded as `text` has to do with wake phrases and commands.
    fn weigh(&mut self, text: &str, purpose: Purpose) -> Weighed;
}

/// What an utterance has to do with wake phrases and commands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Weighed {
    /// The likeliest wake phrase at its beginning, however unlikely.
    pub(crate) wake: Option<WakeHeard>,
    /// Which of the configured commands are in it, or in what follows the wake phrase.
    pub(crate) readings: Option<Readings>,
    /// How far the speaker has come with one.
    pub(crate) progress: Progress,
    /// Whether it was given up: there may be more in it.
    pub(crate) aborted: bool,
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
    /// A smaller model's, for a machine that cannot keep up; it changes places with `ear`.
    other: Option<Box<dyn Ear>>,
    /// Whether they have changed places.
    is_smaller: bool,
    partials: Partials,
    relief: Relief,
    /// Finds the edges of utterances where they depend on what is said.
    divider: Option<Divider>,
    n_utterances: u64,
    utterance: Option<Utterance>,
    /// The audio of the utterance, where finals carry it.
    audio: Option<Vec<f32>>,
    /// Whether somebody wants to know of pauses.
    tells_pauses: bool,
}

struct Utterance {
    id: u64,
    start_sample: u64,
    first_sample: u64,
    n_samples: usize,
    next_step_samples: usize,
    committed: Vec<Word>,
    /// Words that may still change.
    volatile: Vec<Word>,
    pause: Pause,
}

/// Whether the speaker pauses.
enum Pause {
    /// They speak.
    No,
    /// They pause, and this is the rest of what they said, unless it is not believed.
    Yes(Option<Rest>),
    /// They pause, and to find out what they said was given up.
    GivenUp,
}

/// What is left of an utterance beside its committed words.
struct Rest {
    conclusion: Conclusion,
    weighed: Weighed,
}

impl Recogniser {
    /// A recogniser that has heard nothing.
    pub(crate) fn new(ear: Box<dyn Ear>, partials: Partials) -> Self {
        Recogniser {
            ear,
            other: None,
            is_smaller: false,
            partials,
            relief: Relief::None,
            divider: None,
            n_utterances: 0,
            utterance: None,
            audio: None,
            tells_pauses: false,
        }
    }

    /// What would be the final is told in each pause.
    pub(crate) fn tell_pauses(&mut self, on: bool) {
        self.tells_pauses = on;
    }

    /// Whether finals carry their audio.
    pub(crate) fn keep_audio(&mut self, on: bool) {
        self.audio = on.then(Vec::new);
    }

    /// Utterances so far; the next one has the next number.
    pub(crate) fn n_utterances(&self) -> u64 {
        self.n_utterances
    }

    /// Goes on with the numbers of another recogniser.
    pub(crate) fn count_from(&mut self, n_utterances: u64) {
        self.n_utterances = n_utterances;
    }

    /// A smaller model's ear, for [`Relief::SmallerModel`].
    pub(crate) fn set_smaller(&mut self, ear: Option<Box<dyn Ear>>) {
        self.other = ear;
    }

    /// Utterances are divided by what is said in them.
    pub(crate) fn set_divider(&mut self, divider: Divider) {
        self.divider = Some(divider);
    }

    /// Whether there is a smaller model.
    pub(crate) fn has_smaller(&self) -> bool {
        self.other.is_some()
    }

    /// Gives way from now on; another model listens from the next utterance on.
    pub(crate) fn relieve(&mut self, relief: Relief) {
        self.relief = relief;
        if let (Some(step_samples), Some(utterance)) = (self.step_samples(), &mut self.utterance) {
            utterance.next_step_samples = utterance.n_samples + step_samples;
        }
    }

    /// From one step to the next, in samples; none when there are no steps.
    pub(crate) fn step_samples(&self) -> Option<usize> {
        let Partials::Every { step_samples } = self.partials else {
            return None;
        };
        match self.relief {
            Relief::None => Some(step_samples),
            Relief::Spaced => Some(2 * step_samples),
            Relief::Rare => Some(4 * step_samples),
            Relief::FinalsOnly | Relief::SmallerModel => None,
        }
    }

    /// Audio of the present utterance, in samples of the stream.
    pub(crate) fn heard(&self) -> Option<Range<u64>> {
        let utterance = self.utterance.as_ref()?;
        let end = utterance.first_sample + utterance.n_samples as u64;
        Some(utterance.start_sample..end)
    }

    /// Takes the front's next message. Audio is only stored; a pause and the end of speech have
    /// the rest of the utterance worked out.
    pub(crate) fn take(&mut self, speech: &Speech, sink: &mut dyn FnMut(Event)) {
        let Some(mut divider) = self.divider.take() else {
            return self.follow(speech, sink);
        };
        if self.is_given_up() && divider.is_decisive(speech) {
            self.pause(Purpose::Decision, sink);
            divider.wait_for(self.progress());
        }
        let mut pauses = false;
        divider.take(speech, &mut |speech| {
            pauses |= speech == Speech::Pause;
            self.follow(&speech, sink);
        });
        if pauses {
            divider.wait_for(self.progress());
        }
        self.divider = Some(divider);
    }

    /// How far the speaker had come in the present pause.
    fn progress(&self) -> Progress {
        match self.utterance.as_ref().map(|utterance| &utterance.pause) {
            Some(Pause::Yes(Some(rest))) => rest.weighed.progress,
            _ => Progress::Unknown,
        }
    }

    /// Whether the speaker pauses, and it was given up to find out what they said.
    fn is_given_up(&self) -> bool {
        let pause = self.utterance.as_ref().map(|utterance| &utterance.pause);
        matches!(pause, Some(Pause::GivenUp))
    }

    /// Does what a message says.
    fn follow(&mut self, speech: &Speech, sink: &mut dyn FnMut(Event)) {
        match speech {
            Speech::Start {
                start_sample,
                first_sample,
            } => {
                self.end(*start_sample, Ending::Interrupted, sink);
                self.begin(*start_sample, *first_sample);
                sink(Event::SpeechStart {
                    t: Seconds::of_sample(*start_sample),
                    id: self.n_utterances,
                });
            }
            Speech::Audio {
                samples, n_valid, ..
            } => {
                if let Some(utterance) = &mut self.utterance {
                    self.ear.hear(&samples[..*n_valid]);
                    utterance.n_samples += n_valid;
                    if let Some(audio) = &mut self.audio {
                        audio.extend_from_slice(&samples[..*n_valid]);
                    }
                }
                self.wait(sink);
            }
            Speech::Pause => self.pause(Purpose::Pause, sink),
            Speech::Resume => self.resume(),
            Speech::End { end_sample, ending } => self.end(*end_sample, *ending, sink),
            Speech::Other(event) => sink(event.clone()),
        }
    }

    /// Whether enough was said since the last partial, or more than can be held.
    pub(crate) fn step_is_due(&self) -> bool {
        let Some(utterance) = &self.utterance else {
            return false;
        };
        let speaks = matches!(utterance.pause, Pause::No) && self.step_samples().is_some();
        (speaks && utterance.n_samples >= utterance.next_step_samples) || self.ear.is_full()
    }

    /// A partial of the utterance so far.
    pub(crate) fn step(&mut self, sink: &mut dyn FnMut(Event)) {
        let step_samples = self.step_samples();
        let Some(utterance) = &mut self.utterance else {
            return;
        };
        if let Some(step_samples) = step_samples {
            utterance.next_step_samples = utterance.n_samples + step_samples;
        }
        let step = self.ear.step();
        if step.outcome == Outcome::Aborted {
            // Nothing is shown of it: the next step or the final knows better.
            return;
        }
        // Of what is not believed, nothing is shown either.
        utterance.volatile = utterance.commit(step.words, step.volatile, sink);
        // What was worked out in a pause may hold what is committed now.
        if !matches!(utterance.pause, Pause::No) {
            utterance.pause = Pause::Yes(None);
        }
        if step_samples.is_some() {
            sink(utterance.partial());
        }
    }

    /// Ends the utterance that is open, with what was heard of it.
    pub(crate) fn flush(&mut self, sink: &mut dyn FnMut(Event)) {
        if let Some(utterance) = &self.utterance {
            let end_sample = utterance.first_sample + utterance.n_samples as u64;
            self.end(end_sample, Ending::Interrupted, sink);
        }
    }

    fn begin(&mut self, start_sample: u64, first_sample: u64) {
        let wants_smaller = self.relief == Relief::SmallerModel;
        if wants_smaller != self.is_smaller
            && let Some(other) = &mut self.other
        {
            std::mem::swap(&mut self.ear, other);
            self.is_smaller = wants_smaller;
        }
        self.ear.begin();
        if let Some(audio) = &mut self.audio {
            audio.clear();
        }
        // The step counts from the speech itself, not from what was heard before it.
        let lead_samples = start_sample.saturating_sub(first_sample) as usize;
        let step_samples = self.step_samples();
        let next_step_samples = step_samples.map_or(usize::MAX, |step| lead_samples + step);
        self.n_utterances += 1;
        self.utterance = Some(Utterance {
            id: self.n_utterances,
            start_sample,
            first_sample,
            n_samples: 0,
            next_step_samples,
            committed: Vec::new(),
            volatile: Vec::new(),
            pause: Pause::No,
        });
    }

    /// The speaker pauses: the rest is worked out, and shown as a partial.
    fn pause(&mut self, purpose: Purpose, sink: &mut dyn FnMut(Event)) {
        let step_samples = self.step_samples();
        let Some(utterance) = &mut self.utterance else {
            return;
        };
        let mut rest = self.ear.conclude(purpose);
        if rest.aborted || rest.doubtful {
            // Nothing is shown of it, and the final is worked out anew with more care.
            utterance.pause = match rest.aborted {
                true => Pause::GivenUp,
                false => Pause::Yes(None),
            };
            return;
        }
        let open = rest.words.split_off(rest.n_settled.min(rest.words.len()));
        let settled = std::mem::replace(&mut rest.words, open);
        utterance.commit(settled, Vec::new(), sink);
        if let Some(step_samples) = step_samples {
            utterance.next_step_samples = utterance.n_samples + step_samples;
            utterance.volatile = utterance.shifted(rest.words.clone());
            sink(utterance.partial());
        }
        let text = text_of(&utterance.committed) + &text_of(&rest.words);
        let weighed = self.ear.weigh(&text, purpose);
        log::debug!("pause after {text:?}: {:?}", weighed.progress);
        if self.tells_pauses && !weighed.aborted {
            sink(Event::Pause {
                id: utterance.id,
                t: utterance.heard(),
                text: text.trim().to_owned(),
                readings: weighed.readings.clone(),
                wake: weighed.wake.clone(),
            });
        }
        utterance.pause = match weighed.aborted {
            true => Pause::GivenUp,
            false => Pause::Yes(Some(Rest {
                weighed,
                conclusion: rest,
            })),
        };
    }

    /// The pause lasts: what it settles is committed.
    fn wait(&mut self, sink: &mut dyn FnMut(Event)) {
        let Some(utterance) = &mut self.utterance else {
            return;
        };
        let mut pause = std::mem::replace(&mut utterance.pause, Pause::No);
        if let Pause::Yes(Some(Rest {
            conclusion: rest, ..
        })) = &mut pause
            && !rest.words.is_empty()
        {
            let n = self.ear.wait(&rest.words).min(rest.words.len());
            let settled: Vec<Word> = rest.words.drain(..n).collect();
            utterance.volatile.drain(..n.min(utterance.volatile.len()));
            utterance.commit(settled, Vec::new(), sink);
        }
        utterance.pause = pause;
    }

    /// The speaker goes on.
    fn resume(&mut self) {
        let step_samples = self.step_samples();
        let Some(utterance) = &mut self.utterance else {
            return;
        };
        utterance.pause = Pause::No;
        if let Some(step_samples) = step_samples {
            // Right after a pause there is nothing new yet.
            let soon = utterance.n_samples + step_samples / 2;
            utterance.next_step_samples = utterance.next_step_samples.max(soon);
        }
    }

    /// Ends the utterance, if one is open: rest of the words, then the final.
    fn end(&mut self, end_sample: u64, ending: Ending, sink: &mut dyn FnMut(Event)) {
        let Some(mut utterance) = self.utterance.take() else {
            return;
        };
        let (rest, known) = match std::mem::replace(&mut utterance.pause, Pause::No) {
            Pause::Yes(Some(rest)) => (rest.conclusion, Some(rest.weighed)),
            Pause::Yes(None) | Pause::GivenUp | Pause::No => {
                (self.ear.conclude(Purpose::Final), None)
            }
        };
        let shown = std::mem::take(&mut utterance.volatile);
        // Cut short, it must not say less than what was shown already.
        if rest.aborted && rest.words.len() < shown.len() {
            utterance.commit_shifted(shown, sink);
        } else {
            utterance.commit(rest.words, Vec::new(), sink);
        }
        let mut flags = Vec::new();
        if utterance.committed.is_empty() {
            flags.push("no_speech".to_owned());
        } else if rest.doubtful {
            flags.push("low_confidence".to_owned());
        }
        if rest.aborted {
            flags.push("cut_short".to_owned());
        }
        if ending == Ending::Interrupted {
            flags.push(INTERRUPTED.to_owned());
        }
        let text = text_of(&utterance.committed).trim().to_owned();
        // What was weighed in the pause stands; a text that was cut short is not worth it.
        let weighed = match (known, ending, rest.aborted) {
            (None, Ending::Complete, false) if !text.is_empty() => {
                self.ear.weigh(&text, Purpose::Final)
            }
            (known, ..) => known.unwrap_or_default(),
        };
        sink(Event::Final {
            id: utterance.id,
            t0: Seconds::of_sample(utterance.start_sample),
            t1: Seconds::of_sample(end_sample),
            text,
            words: utterance.committed,
            flags,
            readings: weighed.readings,
            wake: weighed.wake,
            trace: self.audio.as_mut().map(|audio| {
                Arc::new(Trace {
                    samples: std::mem::take(audio),
                    ..Trace::default()
                })
            }),
        });
    }
}

impl Utterance {
    /// Audio heard so far, in the stream.
    fn heard(&self) -> Seconds {
        Seconds::of_sample(self.first_sample + self.n_samples as u64)
    }

    /// The words with times of the stream instead of the utterance.
    fn shifted(&self, mut words: Vec<Word>) -> Vec<Word> {
        let offset = Seconds::of_sample(self.first_sample).0;
        for word in &mut words {
            word.t0.0 += offset;
            word.t1.0 += offset;
        }
        words
    }

    /// Commits `words` and reports them; `volatile` comes back with times of the stream.
    fn commit(
        &mut self,
        words: Vec<Word>,
        volatile: Vec<Word>,
        sink: &mut dyn FnMut(Event),
    ) -> Vec<Word> {
        let words = self.shifted(words);
        self.commit_shifted(words, sink);
        self.shifted(volatile)
    }

    fn commit_shifted(&mut self, words: Vec<Word>, sink: &mut dyn FnMut(Event)) {
        if words.is_empty() {
            return;
        }
        self.committed.extend_from_slice(&words);
        sink(Event::Commit {
            id: self.id,
            t: self.heard(),
            words,
        });
    }

    fn partial(&self) -> Event {
        let tail = text_of(&self.volatile);
        let tail = tail.trim_end_matches(char::REPLACEMENT_CHARACTER);
        Event::Partial {
            id: self.id,
            t: self.heard(),
            stable: text_of(&self.committed).trim().to_owned(),
            // As it joins the stable text: with its leading space, if there is anything before.
            volatile: match self.committed.as_slice() {
                [] => tail.trim().to_owned(),
                _ => tail.trim_end().to_owned(),
            },
            lag_ms: None,
        }
    }
}

/// The words as text, joined as they are.
fn text_of(words: &[Word]) -> String {
    words.iter().map(|word| word.text.as_str()).collect()
}

#[cfg(test)]
#[path = "recogniser_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "divider_tests.rs"]
mod divider_tests;
