//! Threads and signals around the pipeline's stages: sound that comes at its own pace.
//!
//! ```text
//! source ─▶ front thread ─▶ recogniser thread ─▶ caller's thread (decide, report) ─▶ runner
//!               ▲                                   ▲        │                         │
//!               └────────────── orders ─────────────┼────────┘                         │
//!                                                   └──────────── results ─────────────┘
//! ```
//!
//! In: a source of samples, the stages, and what somebody may want meanwhile. Out: events, on the
//! caller's thread, in order. Every hop is bounded:
//!
//! | hop | holds | when it is full |
//! |---|---|---|
//! | microphone ring (in the source) | seconds of audio | the newest audio is lost and reported as a `gap` |
//! | front → recogniser | [`N_SPEECH_MESSAGES`] | the front waits; the source's ring takes the rest |
//! | recogniser → caller | [`N_EVENTS`] | partials are dropped and counted; everything else waits |
//! | caller → front | [`N_ORDERS`] | the order is refused |
//! | caller → runner | the runner's `max_waiting` jobs | the action is reported as failed |
//! | runner → caller | [`N_RESULTS`], more than jobs can wait | the result is logged instead |
//! | caller → responder | one question | the newest takes the place of what waits, or is being answered |
//! | responder → caller | [`answers::N_SAID`] pieces of text, more than an answer has | the piece is lost, and logged |
//!
//! The responder's threads give way to all others, and between two tokens it waits for the recogniser.
//!
//! A machine that cannot keep up gives way by degrees ([`pressure`]) and says so in a `degraded`
//! event. Partials are made only when the recogniser has nothing else to do, and given up when the speech
//! ends meanwhile: a slow machine gets fewer of them, and never loses a final.
//!
//! A stage that panics is replaced by a new one, which is reported and counted ([`supervise`]). Another
//! configuration travels along with the sound, from stage to stage ([`Renewal`]): nothing is lost.
//! A service manager is told when all is ready, and, as long as every thread gets on, that it is
//! ([`health`]).
//!
//! A stop (Ctrl-C, SIGTERM) ends within [`STOP_DEADLINE`](stop::STOP_DEADLINE): the open utterance is
//! closed, its final delivered, and what is not done by then is left.

mod answers;
mod caller;
mod front;
mod health;
mod hub;
mod metrics;
mod pressure;
mod priority;
mod recogniser;
mod sample_clock;
mod service;
mod situation;
mod socket;
mod sounds;
mod stop;
mod supervise;
mod timers_file;

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded, never};

use crate::audio::{AudioError, AudioSource, CaptureConfig};
use crate::event::Event;
use crate::pipeline::{Abort, Control, Recipe, Recogniser, Speech, Stages};
use crate::respond::ResponderSetup;
use crate::speech::SpeechOptions;

use answers::Answers;
use caller::{Caller, Hands, Links};
use health::Health;
use sample_clock::SampleClock;
use supervise::Restarts;

pub use hub::{Hub, Subscription};
pub use metrics::{MetricsPort, prometheus};
pub use priority::{Priority, set_priority};
pub use service::{Notify, Service, Systemd};
pub use situation::Situation;
pub use socket::{ControlSocket, Controls, SocketError};
pub use sounds::speaker;
pub use stop::{Stop, StopHandle};

/// Windows of speech (32 ms each) between front and recogniser: a minute.
const N_SPEECH_MESSAGES: usize = 2048;
/// Events between recogniser and caller.
const N_EVENTS: usize = 256;
/// Orders on their way to the front.
const N_ORDERS: usize = 8;
/// Results of actions on their way to the caller.
const N_RESULTS: usize = 256;

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
pub enum Request {
    /// Push-to-talk on, or off, or over when it is not said which.
    Push(Option<bool>),
    /// The microphone off, or on again.
    Mute(bool),
    /// Another configuration takes over, or why it cannot.
    Renew(Result<Box<Renewal>, String>),
}

/// What another configuration brings.
pub struct Renewal {
    /// The stages, made with the [`Abort`] of those that run.
    pub stages: Stages,
    /// How a device is listened to.
    pub capture: CaptureConfig,
    /// What sees every event before it is reported.
    pub observer: Observer,
}

/// Sees every event before it is reported; must not wait.
pub type Observer = Box<dyn FnMut(&Event) + Send>;

/// Where the sound comes from, how fast, and who may want something meanwhile.
pub struct Input {
    /// The source.
    pub source: Box<dyn AudioSource>,
    /// How it is read.
    pub pace: Pace,
    /// Requests; [`never()`] where there are none.
    pub requests: Receiver<Request>,
}

impl Input {
    /// A source that nobody meddles with.
    pub fn of(source: Box<dyn AudioSource>, pace: Pace) -> Self {
        Input {
            source,
            pace,
            requests: never(),
        }
    }
}

/// What surrounds the threads.
#[derive(Default)]
pub struct Surroundings {
    /// What is counted, and how things are.
    pub situation: Arc<Situation>,
    /// The service manager, if there is one.
    pub service: Option<Service>,
    /// What sees every event.
    pub observer: Option<Observer>,
}

/// Whether the receiver of events wants more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// More.
    Go,
    /// It is gone: stop.
    Stop,
}

/// What the threads share.
struct Shared {
    stop: Stop,
    abort: Abort,
    pace: Pace,
    clock: SampleClock,
    health: Health,
    restarts: Restarts,
    situation: Arc<Situation>,
}

/// From the front to the recogniser.
// Samples travel by value: a box for each message would be an allocation for each.
#[allow(clippy::large_enum_variant)]
enum ToRecogniser {
    Speech(Speech),
    /// Another configuration holds for what follows.
    Renew(Box<ForRecogniser>),
}

/// From the recogniser to the caller.
#[allow(clippy::large_enum_variant)]
enum ToCaller {
    Event(Event),
    /// Another configuration holds for what follows.
    Renew(Box<ForCaller>),
}

/// From the caller to the front: another configuration.
type Order = Box<Renewal>;

/// What a renewal brings to the recogniser and beyond.
struct ForRecogniser {
    recogniser: Recogniser,
    recipe: Arc<Recipe>,
    onward: ForCaller,
}

/// What a renewal brings to the caller.
struct ForCaller {
    control: Control,
    recipe: Arc<Recipe>,
    speech: Option<SpeechOptions>,
    responder: Option<ResponderSetup>,
    observer: Observer,
}

/// Runs the stages on a source until it ends or `stop` is requested. Every event goes to `sink` on
/// the caller's thread, with the time it is reported.
pub fn run(
    input: Input,
    stages: Stages,
    stop: &Stop,
    sink: &mut dyn FnMut(Event) -> Flow,
) -> Result<(), AudioError> {
    run_in(Surroundings::default(), input, stages, stop, sink)
}

/// The same with something around it.
pub fn run_in(
    surroundings: Surroundings,
    input: Input,
    stages: Stages,
    stop: &Stop,
    sink: &mut dyn FnMut(Event) -> Flow,
) -> Result<(), AudioError> {
    let (shared, source) = (
        Arc::new(share(&surroundings, &input, &stages, stop)),
        input.source,
    );
    let (speech_in, speech_out) = bounded(N_SPEECH_MESSAGES);
    let (event_in, event_out) = bounded(N_EVENTS);
    let (result_in, result_out) = bounded(N_RESULTS);
    let (order_in, order_out) = bounded(N_ORDERS);
    let (hurry_in, hurry_out) = bounded(0);

    let recipe = stages.recipe;
    let front = {
        let hops = front::Hops {
            orders: order_out,
            speech: speech_in,
        };
        let front = front::FrontThread::new(stages.front, recipe.clone(), hops, shared.clone());
        spawn("front", move || front.run(source))
    };
    let recogniser = {
        let hops = recogniser::Hops {
            speech: speech_out,
            hurry: hurry_out,
            events: event_in,
        };
        let stage = (stages.recogniser, recipe.clone());
        let thread = recogniser::RecogniserThread::new(stage, hops, shared.clone());
        spawn("recogniser", move || thread.run())
    };
    let (answers, said) = Answers::new(stages.responder.as_ref(), &shared);
    let links = Links {
        events: event_out,
        said,
        results: result_out,
        requests: input.requests,
        orders: order_in,
        hurry: hurry_in,
    };
    let hands = Hands::new(&stages.control, stages.speech, result_in);
    let mut caller = Caller::new((stages.control, recipe), shared, (hands, answers), links);
    caller.surround(surroundings.service, surroundings.observer);
    let end = caller.run(sink);
    if end == End::Complete && !stop.is_requested() {
        // The recogniser ends after the source alone: how that ended is about to be known.
        recogniser.join();
        return front.join().unwrap_or(Ok(()));
    }
    finish(front, recogniser, end)
}

fn share(surroundings: &Surroundings, input: &Input, stages: &Stages, stop: &Stop) -> Shared {
    Shared {
        stop: stop.clone(),
        abort: stages.abort.clone(),
        pace: input.pace,
        clock: SampleClock::new(input.pace != Pace::Source),
        health: Health::default(),
        restarts: Restarts::default(),
        situation: surroundings.situation.clone(),
    }
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

/// Sends; where nobody is there to take it, the process is about to end.
fn send<T>(to: &Sender<T>, message: T) {
    let _ = to.send(message);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
