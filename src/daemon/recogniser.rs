//! The recogniser thread: turns speech into captions. Takes all that waits before it thinks of a
//! partial.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, select};

use super::pressure::{Load, Pressure};
use super::supervise::supervise;
use super::{ForRecogniser, Shared, ToCaller, ToRecogniser, send};
use crate::dsp::SAMPLE_RATE_HZ;
use crate::event::{Event, Relief, Seconds, Stage, Trace, Word};
use crate::pipeline::{INTERRUPTED, Recipe, Recogniser, Speech};

/// What the recogniser thread is connected to.
pub(super) struct Hops {
    pub(super) speech: Receiver<ToRecogniser>,
    /// Ends when the recogniser should wait for the front no longer.
    pub(super) hurry: Receiver<()>,
    pub(super) events: Sender<ToCaller>,
}

/// See the module.
pub(super) struct RecogniserThread {
    recogniser: Recogniser,
    recipe: Arc<Recipe>,
    hops: Hops,
    shared: Arc<Shared>,
    pressure: Pressure,
    work: Work,
    /// What is known of the utterance that is open, for when the recogniser is lost.
    open: Option<Open>,
    /// The recogniser is new and has not heard the beginning of what is being said.
    is_skipping: bool,
}

/// Work on the present utterance.
#[derive(Debug, Default)]
struct Work {
    steps: Duration,
    /// All but the steps, without what is under way.
    rest: Duration,
    /// When what is under way began.
    begun: Option<Instant>,
}

/// An utterance that was begun.
struct Open {
    id: u64,
    t0: Seconds,
    heard: Seconds,
    words: Vec<Word>,
}

impl RecogniserThread {
    /// A thread that has heard nothing.
    pub(super) fn new(
        (recogniser, recipe): (Recogniser, Arc<Recipe>),
        hops: Hops,
        shared: Arc<Shared>,
    ) -> Self {
        RecogniserThread {
            pressure: Pressure::new(recogniser.has_smaller()),
            recogniser,
            recipe,
            hops,
            shared,
            work: Work::default(),
            open: None,
            is_skipping: false,
        }
    }

    /// Runs until the front has ended, or until it should wait for it no longer.
    pub(super) fn run(mut self) {
        let (speech, hurry) = (self.hops.speech.clone(), self.hops.hurry.clone());
        let mut hurried = false;
        loop {
            while let Ok(message) = speech.try_recv() {
                self.take(message);
            }
            if hurried {
                break;
            }
            if self.recogniser.step_is_due() && !self.shared.stop.is_requested() {
                self.step();
            }
            select! {
                recv(speech) -> message => match message {
                    Ok(message) => self.take(message),
                    Err(_) => break,
                },
                recv(hurry) -> _ => hurried = true,
            }
        }
        self.supervised(|recogniser, sink| recogniser.flush(sink));
    }

    fn take(&mut self, message: ToRecogniser) {
        match message {
            ToRecogniser::Speech(speech) => {
                self.is_skipping &= !matches!(speech, Speech::Start { .. });
                if !self.is_skipping || matches!(speech, Speech::Other(_)) {
                    self.hear(&speech);
                }
                self.heed(&speech);
            }
            ToRecogniser::Renew(renewal) => self.renew(*renewal),
        }
    }

    fn step(&mut self) {
        let begun = Instant::now();
        self.supervised(|recogniser, sink| recogniser.step(sink));
        let took = begun.elapsed();
        self.work.steps += took;
        self.shared.situation.stats.heard.step.note(took);
        if let Some(step_samples) = self.recogniser.step_samples() {
            let heard = self.recogniser.heard().map_or(0, |heard| heard.end);
            let relief = self.pressure.step(Load {
                took_s: took.as_secs_f64(),
                of_s: step_samples as f64 / f64::from(SAMPLE_RATE_HZ),
                late_s: self.late_s(heard),
            });
            self.give_way(relief, Seconds::of_sample(heard));
        }
    }

    fn hear(&mut self, message: &Speech) {
        let heard = self.recogniser.heard();
        if matches!(message, Speech::Audio { .. }) {
            self.shared.situation.stats.heard.speech_windows.count();
        }
        let begun = Instant::now();
        self.work.begun = Some(begun);
        self.supervised(|recogniser, sink| recogniser.take(message, sink));
        self.work.begun = None;
        self.work.rest += begun.elapsed();
        // An utterance may end in any message, and another begin with the next ones.
        let goes_on = |heard: &Range<u64>| {
            let now = self.recogniser.heard();
            now.is_some_and(|now| now.start == heard.start)
        };
        if let Some(heard) = heard.filter(|heard| !goes_on(heard)) {
            self.ended(&heard);
        }
    }

    /// What was asked for by that message is done.
    fn heed(&self, message: &Speech) {
        let abort = &self.shared.abort;
        match message {
            Speech::Resume => abort.pause.store(false, Ordering::Release),
            Speech::Pause | Speech::End { .. } if !self.shared.stop.is_requested() => {
                abort.partial.store(false, Ordering::Release);
            }
            _ => {}
        }
    }

    /// An utterance of that audio is over.
    fn ended(&mut self, heard: &Range<u64>) {
        let speech_s = (heard.end - heard.start.min(heard.end)) as f64;
        let work = std::mem::take(&mut self.work);
        let relief = self.pressure.utterance(Load {
            took_s: (work.steps + work.rest).as_secs_f64(),
            of_s: speech_s / f64::from(SAMPLE_RATE_HZ),
            late_s: self.late_s(heard.end),
        });
        self.give_way(relief, Seconds::of_sample(heard.end));
    }

    /// Gives way, and says so.
    fn give_way(&mut self, relief: Option<Relief>, t: Seconds) {
        if let Some(state) = relief {
            self.recogniser.relieve(state);
            self.shared.situation.stats.threads.relief.set(state as u64);
            let lag_ms = None;
            self.tell(Event::Degraded { t, state, lag_ms });
        }
    }

    /// How long ago that sample was spoken.
    fn late_s(&self, sample: u64) -> f64 {
        let now_s = self.shared.clock.at(Instant::now()).unwrap_or(0.0);
        now_s - Seconds::of_sample(sample).0
    }

    /// Another configuration holds from here on. The front has seen to it that nobody speaks.
    fn renew(&mut self, renewal: ForRecogniser) {
        self.supervised(|recogniser, sink| recogniser.flush(sink));
        self.adopt(renewal.recogniser);
        self.is_skipping = false;
        self.recipe = renewal.recipe;
        send(&self.hops.events, ToCaller::Renew(Box::new(renewal.onward)));
    }

    /// A new recogniser in place of the old one.
    fn adopt(&mut self, mut recogniser: Recogniser) {
        recogniser.count_from(self.recogniser.n_utterances());
        self.pressure = Pressure::new(recogniser.has_smaller());
        self.shared.situation.stats.threads.relief.set(0);
        self.recogniser = recogniser;
        self.work = Work::default();
    }

    /// Does a piece of work; a recogniser that panics is replaced, and its utterance ends there.
    fn supervised(&mut self, work: impl FnOnce(&mut Recogniser, &mut dyn FnMut(Event))) {
        let shared = self.shared.clone();
        shared.health.recogniser_works();
        let waiting = &shared.situation.stats.threads.waiting_speech;
        waiting.set(self.hops.speech.len() as u64);
        let by = (&shared.restarts, &*shared.situation.stats);
        let RecogniserThread {
            recogniser,
            recipe,
            hops,
            open,
            work: effort,
            ..
        } = self;
        let mut sink = |mut event: Event| {
            follow(open, &event);
            if let Event::Final { trace, .. } = &mut event {
                let timing = &shared.situation.stats.heard.last_words;
                timing.note(effort.under_way());
                *trace = Some(Arc::new(effort.trace(trace.take(), &recipe.model)));
            }
            pass_on(event, &hops.events, &shared);
        };
        let outcome = supervise(Stage::Recogniser, by, || work(recogniser, &mut sink));
        shared.health.recogniser_waits();
        if let Err(error) = outcome {
            self.replace(error);
        }
    }

    fn replace(&mut self, error: String) {
        let recipe = self.recipe.clone();
        let by = (&self.shared.restarts, &*self.shared.situation.stats);
        let made = supervise(Stage::Recogniser, by, || (recipe.recogniser)());
        match made {
            Ok(Ok(recogniser)) => self.adopt(recogniser),
            // It could be made before: the next message tries again.
            Ok(Err(error)) => log::error!("no new recogniser: {error}"),
            Err(error) => log::error!("no new recogniser: {error}"),
        }
        self.is_skipping = true;
        let t = self.open.as_ref().map_or(Seconds(0.0), |open| open.heard);
        if let Some(open) = self.open.take() {
            self.tell(open.last_words());
        }
        self.tell(Event::Restart {
            t,
            stage: Stage::Recogniser,
            error,
        });
    }

    fn tell(&self, event: Event) {
        pass_on(event, &self.hops.events, &self.shared);
    }
}

/// Hands an event to the caller. Partials that do not fit are dropped.
fn pass_on(event: Event, to: &Sender<ToCaller>, shared: &Shared) {
    match event {
        Event::Partial { .. } => {
            if let Err(TrySendError::Full(_)) = to.try_send(ToCaller::Event(event)) {
                shared.situation.stats.heard.partials_dropped.count();
            }
        }
        // The caller is gone only when the process is about to end.
        event => send(to, ToCaller::Event(event)),
    }
}

/// Keeps what is known of the open utterance.
fn follow(open: &mut Option<Open>, event: &Event) {
    match event {
        Event::SpeechStart { id, t } => {
            *open = Some(Open {
                id: *id,
                t0: *t,
                heard: *t,
                words: Vec::new(),
            });
        }
        Event::Partial { t, .. } => {
            if let Some(open) = open {
                open.heard = *t;
            }
        }
        Event::Commit { t, words, .. } => {
            if let Some(open) = open {
                open.heard = *t;
                open.words.extend_from_slice(words);
            }
        }
        Event::Final { .. } => *open = None,
        _ => {}
    }
}

impl Open {
    /// Its final, as far as it got.
    fn last_words(self) -> Event {
        let text: String = self.words.iter().map(|word| word.text.as_str()).collect();
        Event::Final {
            id: self.id,
            t0: self.t0,
            t1: self.heard,
            text: text.trim().to_owned(),
            words: self.words,
            flags: vec!["cut_short".to_owned(), INTERRUPTED.to_owned()],
            readings: None,
            wake: None,
            trace: None,
        }
    }
}

impl Work {
    /// How the utterance came to its text, which is there now.
    fn trace(&self, known: Option<Arc<Trace>>, model: &str) -> Trace {
        let known = known.map_or_else(Trace::default, Arc::unwrap_or_clone);
        let ms = |took: Duration| took.as_secs_f32() * 1e3;
        Trace {
            model: model.to_owned(),
            stage_ms: vec![
                ("captions", ms(self.steps)),
                ("pauses", ms(self.rest)),
                ("end", ms(self.under_way())),
            ],
            ..known
        }
    }

    /// Work on the present message so far.
    fn under_way(&self) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| begun.elapsed())
    }
}
