//! The front thread: reads the source until it ends, and finds speech.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::priority::{Priority, set_priority};
use super::supervise::supervise;
use super::{ForCaller, ForRecogniser, Order, Pace, Renewal, Shared, ToRecogniser, send};
use crate::audio::{AudioError, AudioSource, Heard};
use crate::dsp::SAMPLE_RATE_HZ;
use crate::event::{DeviceState, Event, GapReason, Muted, Seconds, Stage};
use crate::pipeline::{Ending, Front, Recipe, Speech};

/// What the front thread is connected to.
pub(super) struct Hops {
    pub(super) orders: Receiver<Order>,
    pub(super) speech: Sender<ToRecogniser>,
}

/// See the module.
pub(super) struct FrontThread {
    front: Front,
    recipe: Arc<Recipe>,
    hops: Hops,
    shared: Arc<Shared>,
    /// Samples so far, lost ones included.
    n_read: u64,
    /// When the first sample of a recording was taken.
    began: Option<Instant>,
    is_muted: bool,
    /// Takes over when nobody speaks.
    renewal: Option<Box<Renewal>>,
    /// The latest sound that belongs to no utterance: the beginning of the next one may be in it.
    recent: Vec<f32>,
}

/// What is kept at least of [`FrontThread::recent`], and half of what is kept at most.
const RECENT_SAMPLES: usize = 16_000;

impl FrontThread {
    /// A thread that has heard nothing.
    pub(super) fn new(front: Front, recipe: Arc<Recipe>, hops: Hops, shared: Arc<Shared>) -> Self {
        FrontThread {
            front,
            recipe,
            hops,
            shared,
            n_read: 0,
            began: None,
            is_muted: false,
            renewal: None,
            recent: Vec::with_capacity(2 * RECENT_SAMPLES),
        }
    }

    /// Runs until the source ends or the stop.
    pub(super) fn run(mut self, mut source: Box<dyn AudioSource>) -> Result<(), AudioError> {
        set_priority(Priority::Prompt);
        let mut samples = Vec::with_capacity(SAMPLE_RATE_HZ as usize);
        let end = loop {
            self.shared.health.front_lives();
            if self.shared.stop.is_requested() {
                break Ok(());
            }
            self.obey(&mut *source);
            samples.clear();
            match source.read(&mut samples) {
                Ok(Heard::Samples) => {
                    self.note_first(&*source);
                    self.hear(&mut samples);
                }
                Ok(Heard::Nothing) => {}
                Ok(Heard::Gap { n_samples, reason }) => self.gap(n_samples, reason),
                Ok(Heard::Device { state, name }) => self.device(state, name),
                Ok(Heard::End) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let ending = match self.shared.stop.is_requested() {
            true => Ending::Interrupted,
            false => Ending::Complete,
        };
        self.work(|front, sink| front.flush(ending, sink));
        self.shared.health.front_ends();
        end
    }

    /// Notes what is heard, at the first sound.
    fn note_first(&self, source: &dyn AudioSource) {
        if self.shared.situation.stats.audio.samples.get() == 0
            && let Some(name) = source.device()
        {
            self.shared
                .situation
                .note_device(DeviceState::Recovered, name);
        }
    }

    /// Does what was ordered meanwhile.
    fn obey(&mut self, source: &mut dyn AudioSource) {
        let is_muted = self.shared.situation.is_muted();
        if is_muted != self.is_muted {
            self.mute(is_muted);
        }
        while let Ok(renewal) = self.hops.orders.try_recv() {
            source.reconfigure(&renewal.capture);
            self.renewal = Some(renewal);
        }
        // In the middle of a sentence two configurations would make nonsense of it.
        if !self.front.is_speaking()
            && let Some(renewal) = self.renewal.take()
        {
            self.renew(*renewal);
        }
    }

    fn hear(&mut self, samples: &mut [f32]) {
        let (shared, n) = (self.shared.clone(), samples.len() as u64);
        self.n_read += n;
        if shared.pace == Pace::RealTime {
            let began = *self.began.get_or_insert_with(Instant::now);
            let spoken = self.n_read as f64 / f64::from(SAMPLE_RATE_HZ);
            (shared.stop).wait_until(began + Duration::from_secs_f64(spoken));
        }
        shared.clock.note(self.n_read, Instant::now());
        shared.health.begin();
        if self.is_muted {
            // Time goes on, and nothing of it is heard.
            samples.fill(0.0);
        }
        let numbers = &shared.situation.stats;
        numbers.audio.samples.add(n);
        let begun = Instant::now();
        self.work(|front, sink| front.push(samples, sink));
        numbers.heard.front.note(begun.elapsed());
        self.keep_recent(samples);
    }

    fn keep_recent(&mut self, samples: &[f32]) {
        if self.front.is_speaking() {
            return self.recent.clear();
        }
        // What is too old goes a second at a time: to move the rest is what costs.
        if self.recent.len() + samples.len() > 2 * RECENT_SAMPLES {
            let n_old = self.recent.len().saturating_sub(RECENT_SAMPLES);
            self.recent.drain(..n_old);
        }
        self.recent.extend_from_slice(samples);
    }

    fn gap(&mut self, n_samples: u64, reason: GapReason) {
        let audio = &self.shared.situation.stats.audio;
        audio.gaps.count();
        audio.gap_samples.add(n_samples);
        self.n_read += n_samples;
        self.recent.clear();
        self.work(|front, sink| front.gap(n_samples, reason, sink));
    }

    fn device(&mut self, state: DeviceState, name: String) {
        self.shared.situation.note_device(state, &name);
        self.shared.health.begin();
        if state == DeviceState::Lost {
            // Nothing more will come of what is being said.
            self.work(|front, sink| front.flush(Ending::Interrupted, sink));
        }
        self.tell(Event::Device { state, name });
    }

    fn mute(&mut self, on: bool) {
        self.is_muted = on;
        if on {
            self.work(|front, sink| front.flush(Ending::Interrupted, sink));
        }
        self.tell(Event::Mute {
            t: Seconds::of_sample(self.n_read),
            what: Muted::Microphone,
            on,
        });
    }

    /// Another configuration holds from here on.
    fn renew(&mut self, renewal: Renewal) {
        let stages = renewal.stages;
        self.front = stages.front;
        self.recipe = stages.recipe.clone();
        let onward = ForCaller {
            control: stages.control,
            recipe: stages.recipe.clone(),
            speech: stages.speech,
            responder: stages.responder,
            observer: renewal.observer,
        };
        let renewal = ForRecogniser {
            recogniser: stages.recogniser,
            recipe: stages.recipe,
            onward,
        };
        send(&self.hops.speech, ToRecogniser::Renew(Box::new(renewal)));
        // Somebody may have begun to speak without the old front's being sure.
        let recent = std::mem::take(&mut self.recent);
        self.front
            .start_at(self.n_read.saturating_sub(recent.len() as u64));
        self.work(|front, sink| front.push(&recent, sink));
        self.recent = recent;
    }

    fn tell(&mut self, event: Event) {
        send(
            &self.hops.speech,
            ToRecogniser::Speech(Speech::Other(event)),
        );
    }

    /// Does a piece of work; a front that panics is replaced, and what was being said ends there.
    fn work(&mut self, work: impl FnOnce(&mut Front, &mut dyn FnMut(Speech))) {
        let (shared, speech) = (&self.shared, &self.hops.speech);
        let mut sink = |message: Speech| {
            // What is being worked on is overtaken by what this message asks for.
            match message {
                Speech::Pause | Speech::End { .. } => {
                    shared.abort.partial.store(true, Ordering::Release);
                }
                Speech::Resume => shared.abort.pause.store(true, Ordering::Release),
                _ => {}
            }
            // The recogniser ends before the front at a stop only; nobody wants the rest then.
            send(speech, ToRecogniser::Speech(message));
        };
        let by = (&shared.restarts, &*shared.situation.stats);
        let front = &mut self.front;
        if let Err(error) = supervise(Stage::Front, by, || work(front, &mut sink)) {
            self.replace(error);
        }
    }

    fn replace(&mut self, error: String) {
        self.front = (self.recipe.front)();
        self.front.start_at(self.n_read);
        let end = Speech::End {
            end_sample: self.n_read,
            ending: Ending::Interrupted,
        };
        send(&self.hops.speech, ToRecogniser::Speech(end));
        self.tell(Event::Restart {
            t: Seconds::of_sample(self.n_read),
            stage: Stage::Front,
            error,
        });
    }
}

#[cfg(test)]
impl FrontThread {
    /// A bug.
    pub(super) fn break_down(&mut self) {
        self.work(|_, _| panic!("out of order"));
    }
}
