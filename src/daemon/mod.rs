//! Threads and signals around the pipeline's stages: sound that comes at its own pace.
//!
//! ```text
//! source ─▶ front thread ─▶ recogniser thread ─▶ caller's thread (decide, report) ─▶ runner
//!                                                      ▲                               │
//!                                                      └─────────── results ───────────┘
//! ```
//!
//! In: a source of samples and the stages. Out: events, on the caller's thread, in order. Every hop
//! is bounded:
//!
//! | hop | holds | when it is full |
//! |---|---|---|
//! | microphone ring (in the source) | seconds of audio | the newest audio is lost and reported as a `gap` |
//! | front → recogniser | [`N_SPEECH_MESSAGES`] | the front waits; the source's ring takes the rest |
//! | recogniser → caller | [`N_EVENTS`] | partials are dropped and counted; everything else waits |
//! | caller → runner | the runner's `max_waiting` jobs | the action is reported as failed |
//! | runner → caller | [`N_RESULTS`], more than jobs can wait | the result is logged instead |
//!
//! A machine that cannot keep up gives way by degrees ([`pressure`]) and says so in a `degraded`
//! event. Partials are made only when the recogniser has nothing else to do, and given up when the speech
//! ends meanwhile: a slow machine gets fewer of them, and never loses a final.
//!
//! A stop (Ctrl-C, SIGTERM) ends within [`STOP_DEADLINE`]: the open utterance is closed, its final
//! delivered, and what is not done by then is left.

mod caller;
mod clock;
mod pressure;
mod sample_clock;
mod timers_file;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select};

use crate::audio::{AudioError, AudioSource};
use crate::dsp::SAMPLE_RATE_HZ;
use crate::event::{Event, GapReason, Relief, Seconds};
use crate::pipeline::{Abort, Ending, Front, Recogniser, Speech, Stages};

use caller::{Caller, Hands, Links, runner, speaker};
use pressure::{Load, Pressure};
use sample_clock::SampleClock;

/// Windows of speech (32 ms each) between front and recogniser: a minute.
const N_SPEECH_MESSAGES: usize = 2048;
/// Events between recogniser and caller.
const N_EVENTS: usize = 256;
/// Results of actions on their way to the caller.
const N_RESULTS: usize = 256;

/// From the stop to the end.
const STOP_DEADLINE: Duration = Duration::from_millis(950);
/// From the stop until a source that does not answer is left alone.
const SOURCE_DEADLINE: Duration = Duration::from_millis(200);
/// From the stop until a final that is being worked on is cut short.
const FINAL_DEADLINE: Duration = Duration::from_millis(750);

/// How fast a source is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As fast as it gives.
    Source,
    /// As a device gives it, whose clock is that of the samples.
    Device,
    /// As if it were spoken now.
    RealTime,
}

/// What somebody may want while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Push-to-talk on, or off, or over when it is not said which.
    Push(Option<bool>),
}

/// Where the sound comes from, how fast, and who may want something meanwhile.
pub struct Input {
    /// The source.
    pub source: Box<dyn AudioSource>,
    /// How fast it is read.
    pub pace: Pace,
    /// Requests; [`never`](crossbeam_channel::never) where there are none.
    pub requests: Receiver<Request>,
}

/// A request to stop, made on one thread and seen on all. Clones are the same request.
#[derive(Clone)]
pub struct Stop {
    requested: Arc<AtomicBool>,
    receiver: Receiver<()>,
}

/// The other end of a [`Stop`]: requests it, by being dropped, too.
pub struct StopHandle {
    requested: Arc<AtomicBool>,
    sender: Option<Sender<()>>,
}

impl Stop {
    /// A request not made yet, and the means to make it.
    pub fn new() -> (Stop, StopHandle) {
        let (sender, receiver) = bounded(0);
        let requested = Arc::new(AtomicBool::new(false));
        let stop = Stop {
            requested: requested.clone(),
            receiver,
        };
        (
            stop,
            StopHandle {
                requested,
                sender: Some(sender),
            },
        )
    }

    /// Whether it was made.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    /// The flag itself, for work that looks at it now and then.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.requested.clone()
    }

    /// Ends when the request is made; nothing is ever sent.
    pub(crate) fn requests(&self) -> &Receiver<()> {
        &self.receiver
    }

    /// A flag that is set when, after the request, what is being worked on must be cut short.
    pub(crate) fn deadline(&self) -> Arc<AtomicBool> {
        let flag = Arc::new(AtomicBool::new(false));
        let (requests, overdue) = (self.receiver.clone(), flag.clone());
        let watch = spawn("deadline", move || {
            let _ = requests.recv();
            thread::sleep(FINAL_DEADLINE);
            overdue.store(true, Ordering::Release);
        });
        // Without the thread, work is cut short at the request itself.
        watch.handle.map_or_else(|| self.flag(), |_| flag)
    }

    /// Waits until `deadline` or the request.
    fn wait_until(&self, deadline: Instant) {
        // Nothing is ever sent: this ends by time or by the sender's end.
        let _ = self.receiver.recv_deadline(deadline);
    }
}

impl StopHandle {
    /// Makes the request.
    pub fn request(&mut self) {
        self.requested.store(true, Ordering::Release);
        self.sender = None;
    }
}

impl Drop for StopHandle {
    fn drop(&mut self) {
        self.request();
    }
}

/// What the threads share.
struct Shared {
    stop: Stop,
    abort: Abort,
    pace: Pace,
    clock: SampleClock,
}

/// Runs the stages on a source until it ends or `stop` is requested. Every event goes to `sink` on
/// the caller's thread, with the time it is reported.
pub fn run(
    input: Input,
    stages: Stages,
    stop: &Stop,
    sink: &mut dyn FnMut(Event) -> Flow,
) -> Result<(), AudioError> {
    let Input {
        source,
        pace,
        requests,
    } = input;
    let Stages {
        front,
        recogniser,
        control,
        speech,
        abort,
    } = stages;
    let shared = Arc::new(Shared {
        stop: stop.clone(),
        abort,
        pace,
        clock: SampleClock::new(pace != Pace::Source),
    });
    let (speech_in, speech_out) = bounded(N_SPEECH_MESSAGES);
    let (event_in, event_out) = bounded(N_EVENTS);
    let (result_in, result_out) = bounded(N_RESULTS);
    let (hurry_in, hurry_out) = bounded(0);

    let front = {
        let shared = shared.clone();
        spawn("front", move || {
            front_loop(source, front, &speech_in, &shared)
        })
    };
    let recogniser = {
        let shared = shared.clone();
        let hops = Hops {
            speech: speech_out,
            hurry: hurry_out,
            events: event_in,
        };
        spawn("recogniser", move || {
            recogniser_loop(recogniser, &hops, &shared)
        })
    };
    let running = control.running();
    let links = Links {
        events: event_out,
        results: result_out,
        requests,
        hurry: hurry_in,
    };
    let speaker = speech.and_then(|options| speaker(&options));
    let hands = Hands {
        runner: runner(running, speaker.clone(), result_in),
        speaker,
    };
    let caller = Caller::new(control, shared, hands, links);
    let end = caller.run(sink);
    if end == End::Complete && !stop.is_requested() {
        // The recogniser ends after the source alone: how that ended is about to be known.
        recogniser.join();
        return front.join().unwrap_or(Ok(()));
    }
    finish(front, recogniser, end)
}

/// Whether the receiver of events wants more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// More.
    Go,
    /// It is gone: stop.
    Stop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// All threads have said their last.
    Complete,
    /// The deadline has passed; some thread still works.
    Overdue,
    /// Nobody wants to hear more.
    Unheard,
}

/// Reads the source until it ends, and finds speech.
fn front_loop(
    mut source: Box<dyn AudioSource>,
    mut front: Front,
    speech: &Sender<Speech>,
    shared: &Shared,
) -> Result<(), AudioError> {
    let mut samples = Vec::with_capacity(SAMPLE_RATE_HZ as usize);
    let (mut n_read, mut began) = (0_u64, None);
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
        let _ = speech.send(message);
    };
    let end = loop {
        if shared.stop.is_requested() {
            break Ok(());
        }
        samples.clear();
        match source.read(&mut samples) {
            Ok(0) => break Ok(()),
            Ok(_) => {}
            Err(error) => break Err(error),
        }
        let lost = source.take_lost_samples();
        if lost > 0 {
            front.gap(lost, GapReason::Overrun, &mut sink);
        }
        n_read += lost + samples.len() as u64;
        if shared.pace == Pace::RealTime {
            let began = *began.get_or_insert_with(Instant::now);
            let spoken = n_read as f64 / f64::from(SAMPLE_RATE_HZ);
            (shared.stop).wait_until(began + Duration::from_secs_f64(spoken));
        }
        shared.clock.note(n_read, Instant::now());
        front.push(&samples, &mut sink);
    };
    let ending = match shared.stop.is_requested() {
        true => Ending::Interrupted,
        false => Ending::Complete,
    };
    front.flush(ending, &mut sink);
    end
}

/// What the recogniser thread is connected to.
struct Hops {
    speech: Receiver<Speech>,
    /// Ends when the recogniser should wait for the front no longer.
    hurry: Receiver<()>,
    events: Sender<Event>,
}

/// Turns speech into captions. Takes all that waits before it thinks of a partial.
fn recogniser_loop(mut recogniser: Recogniser, hops: &Hops, shared: &Shared) {
    let mut n_dropped = 0_u64;
    let mut sink = |event: Event| match event {
        Event::Partial { .. } => {
            if let Err(TrySendError::Full(_)) = hops.events.try_send(event) {
                n_dropped += 1;
            }
        }
        // The caller is gone only when the process is about to end.
        event => drop(hops.events.send(event)),
    };
    let mut hurried = false;
    let mut gauge = Gauge::new(&recogniser, shared);
    loop {
        while let Ok(message) = hops.speech.try_recv() {
            gauge.take(&mut recogniser, &message, &mut sink);
        }
        if hurried {
            break;
        }
        if recogniser.step_is_due() && !shared.stop.is_requested() {
            gauge.step(&mut recogniser, &mut sink);
        }
        select! {
            recv(hops.speech) -> message => match message {
                Ok(message) => gauge.take(&mut recogniser, &message, &mut sink),
                Err(_) => break,
            },
            recv(hops.hurry) -> _ => hurried = true,
        }
    }
    recogniser.flush(&mut sink);
    if n_dropped > 0 {
        log::info!("{n_dropped} partials were dropped: the output was too slow");
    }
}

/// Measures the work of the recogniser thread, so that it gives way when there is too much.
struct Gauge<'a> {
    shared: &'a Shared,
    pressure: Pressure,
    /// Work on the present utterance.
    took: Duration,
}

impl<'a> Gauge<'a> {
    fn new(recogniser: &Recogniser, shared: &'a Shared) -> Self {
        Gauge {
            shared,
            pressure: Pressure::new(recogniser.has_smaller()),
            took: Duration::ZERO,
        }
    }

    fn step(&mut self, recogniser: &mut Recogniser, sink: &mut dyn FnMut(Event)) {
        let begun = Instant::now();
        recogniser.step(sink);
        let took = begun.elapsed();
        self.took += took;
        if let Some(step_samples) = recogniser.step_samples() {
            let every_s = step_samples as f64 / f64::from(SAMPLE_RATE_HZ);
            let heard = recogniser.heard().map_or(0, |heard| heard.end);
            let load = Load {
                took_s: took.as_secs_f64(),
                of_s: every_s,
                late_s: self.late_s(heard),
            };
            let relief = self.pressure.step(load);
            tell(recogniser, (relief, Seconds::of_sample(heard)), sink);
        }
    }

    /// How long ago that sample was spoken.
    fn late_s(&self, sample: u64) -> f64 {
        let now_s = self.shared.clock.at(Instant::now()).unwrap_or(0.0);
        now_s - Seconds::of_sample(sample).0
    }

    fn take(&mut self, recogniser: &mut Recogniser, message: &Speech, sink: &mut dyn FnMut(Event)) {
        let heard = recogniser.heard();
        let begun = Instant::now();
        take(recogniser, message, sink, self.shared);
        self.took += begun.elapsed();
        // An utterance may end in any message, and another begin with the next ones.
        let goes_on = |heard: &Range<u64>| {
            let now = recogniser.heard();
            now.is_some_and(|now| now.start == heard.start)
        };
        if let Some(heard) = heard.filter(|heard| !goes_on(heard)) {
            let speech_s = (heard.end - heard.start.min(heard.end)) as f64;
            let speech_s = speech_s / f64::from(SAMPLE_RATE_HZ);
            let load = Load {
                took_s: std::mem::take(&mut self.took).as_secs_f64(),
                of_s: speech_s,
                late_s: self.late_s(heard.end),
            };
            let relief = self.pressure.utterance(load);
            let t = Seconds::of_sample(heard.end);
            tell(recogniser, (relief, t), sink);
        }
    }
}

/// Gives way, and says so.
fn tell(
    recogniser: &mut Recogniser,
    (relief, t): (Option<Relief>, Seconds),
    sink: &mut dyn FnMut(Event),
) {
    if let Some(state) = relief {
        recogniser.relieve(state);
        sink(Event::Degraded {
            t,
            state,
            lag_ms: None,
        });
    }
}

fn take(
    recogniser: &mut Recogniser,
    message: &Speech,
    sink: &mut dyn FnMut(Event),
    shared: &Shared,
) {
    recogniser.take(message, sink);
    match message {
        Speech::Resume => shared.abort.pause.store(false, Ordering::Release),
        Speech::Pause | Speech::End { .. } if !shared.stop.is_requested() => {
            shared.abort.partial.store(false, Ordering::Release);
        }
        _ => {}
    }
}

fn spawn<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Worker<T> {
    // A thread that the system refuses is as final as memory that it refuses.
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    Worker {
        name: name.to_owned(),
        handle: thread.ok(),
    }
}

/// A thread of ours; `None` when the system would not start it.
struct Worker<T> {
    name: String,
    handle: Option<JoinHandle<T>>,
}

impl<T> Worker<T> {
    fn is_done(&self) -> bool {
        self.handle.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn join(self) -> Option<T> {
        // A panic has ended the process already (the command line's hook).
        self.handle.and_then(|handle| handle.join().ok())
    }
}

fn finish(
    front: Worker<Result<(), AudioError>>,
    recogniser: Worker<()>,
    end: End,
) -> Result<(), AudioError> {
    match end {
        End::Complete => drop(recogniser.join()),
        End::Overdue => log::warn!("stopped at the deadline: some work was left undone"),
        End::Unheard => {}
    }
    // A source that does not answer keeps its thread until the process ends.
    match front.is_done() {
        true => front.join().unwrap_or(Ok(())),
        false => {
            log::debug!("the {} thread still waits for its source", front.name);
            Ok(())
        }
    }
}
