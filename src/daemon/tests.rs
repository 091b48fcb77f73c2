//! The threads with an ear that hears badly: it panics, it hangs, it is replaced.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use super::*;
use crate::audio::{FileSource, Heard, decode_file};
use crate::event::{Event, Stage};
use crate::kernels::Cpu;
use crate::pipeline::{Ear, Front, Partials, Purpose, Weighed};
use crate::vad::{SegmenterConfig, WINDOW_SAMPLES};
use crate::whisper::stream::{Conclusion, Outcome, Step};

/// What goes wrong with the ear, and what it heard.
#[derive(Default)]
struct Trouble {
    /// The ear panics when it hears the last words of this utterance.
    panics_at: AtomicU64,
    /// The ear hangs at a step while this is set.
    hangs: AtomicBool,
    /// When it first did so.
    hung_since: OnceLock<Instant>,
    n_begun: AtomicU64,
    /// Samples of each utterance.
    lengths: Mutex<Vec<usize>>,
}

struct FakeEar(Arc<Trouble>);

impl Ear for FakeEar {
    fn begin(&mut self) {
        self.0.n_begun.fetch_add(1, Ordering::Relaxed);
        self.0.lengths.lock().unwrap().push(0);
    }

    fn hear(&mut self, samples: &[f32]) {
        *self.0.lengths.lock().unwrap().last_mut().unwrap() += samples.len();
    }

    fn is_full(&self) -> bool {
        false
    }

    fn step(&mut self) -> Step {
        while self.0.hangs.load(Ordering::Relaxed) {
            self.0.hung_since.get_or_init(Instant::now);
            std::thread::sleep(Duration::from_millis(5));
        }
        Step {
            outcome: Outcome::Done,
            ..Step::default()
        }
    }

    fn conclude(&mut self, purpose: Purpose) -> Conclusion {
        let number = self.0.n_begun.load(Ordering::Relaxed);
        if purpose == Purpose::Final && self.0.panics_at.load(Ordering::Relaxed) == number {
            panic!("the ear is deaf");
        }
        Conclusion::default()
    }

    fn weigh(&mut self, _text: &str, _purpose: Purpose) -> Weighed {
        Weighed::default()
    }

    fn wait(&mut self, _rest: &[crate::event::Word]) -> usize {
        0
    }
}

fn stages(trouble: &Arc<Trouble>, abort: Abort) -> Stages {
    let trouble = trouble.clone();
    let recipe = Recipe {
        model: "fake".to_owned(),
        front: Box::new(|| {
            let cpu = Cpu::detect();
            Front::new(cpu, SegmenterConfig::default())
        }),
        recogniser: Box::new(move || {
            let ear = Box::new(FakeEar(trouble.clone()));
            let partials = Partials::Every {
                step_samples: 8_000,
            };
            Ok(Recogniser::new(ear, partials))
        }),
        control: Box::new(|| Control::new(None)),
    };
    Stages::of(recipe, None, abort).unwrap()
}

/// A shipped recording, several times with silence between, and then without an end if wanted.
struct Repeated {
    samples: Vec<f32>,
    at: usize,
    /// After the end there is nothing, until this is set.
    may_end: Arc<AtomicBool>,
    /// After the first time there is nothing, until this is set.
    may_go_on: Arc<AtomicBool>,
    once: usize,
}

impl Repeated {
    fn new(n_times: usize) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = root.join("tests/data/speech/command/command_en_0003.flac");
        let once = decode_file(path).unwrap();
        let silence = vec![0.0; 32_000];
        let once = [once, silence].concat();
        Repeated {
            samples: once.repeat(n_times),
            at: 0,
            may_end: Arc::new(true.into()),
            may_go_on: Arc::new(true.into()),
            once: once.len(),
        }
    }
}

impl AudioSource for Repeated {
    fn read(&mut self, out: &mut Vec<f32>) -> Result<Heard, AudioError> {
        let end = (self.at + 1_600).min(self.samples.len());
        if end > self.once && !self.may_go_on.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
            return Ok(Heard::Nothing);
        }
        if self.at == end {
            std::thread::sleep(Duration::from_millis(5));
            return Ok(match self.may_end.load(Ordering::Relaxed) {
                true => Heard::End,
                false => Heard::Nothing,
            });
        }
        out.extend_from_slice(&self.samples[self.at..end]);
        self.at = end;
        Ok(Heard::Samples)
    }

    fn duration_s(&self) -> Option<f64> {
        None
    }
}

/// Runs to the end and gives the events but partials.
fn run_all(
    surroundings: Surroundings,
    input: Input,
    trouble: &Arc<Trouble>,
    mut also: impl FnMut(&Event),
) -> Vec<Event> {
    let (stop, _handle) = Stop::new();
    let stages = stages(trouble, Abort::default());
    let mut events = Vec::new();
    run_in(surroundings, input, stages, &stop, &mut |event| {
        also(&event);
        if !matches!(event, Event::Partial { .. }) {
            events.push(event);
        }
        Flow::Go
    })
    .unwrap();
    events
}

fn kinds(events: &[Event]) -> Vec<String> {
    let kind = |event: &Event| match event {
        Event::SpeechStart { id, .. } => format!("start {id}"),
        Event::Final { id, flags, .. } => format!("final {id} {}", flags.join(" ")),
        Event::Restart { stage, error, .. } => format!("restart {stage:?} {error}"),
        Event::Reload { ok, error, .. } => format!("reload {ok} {error:?}"),
        Event::Mute { on, .. } => format!("mute {on}"),
        other => format!("{other:?}"),
    };
    events.iter().map(kind).collect()
}

#[test]
fn a_recogniser_that_panics_is_replaced() {
    let trouble = Arc::new(Trouble::default());
    trouble.panics_at.store(2, Ordering::Relaxed);
    let surroundings = Surroundings::default();
    let situation = surroundings.situation.clone();
    let input = Input::of(Box::new(Repeated::new(3)), Pace::Source);
    let events = run_all(surroundings, input, &trouble, |_| {});
    assert_eq!(
        kinds(&events),
        [
            "start 1",
            "final 1 no_speech",
            "start 2",
            "final 2 cut_short interrupted",
            "restart Recogniser the ear is deaf",
            "start 3",
            "final 3 no_speech"
        ]
    );
    let threads = &situation.stats.threads;
    assert_eq!(threads.recogniser_restarts.get(), 1);
    assert_eq!(threads.front_restarts.get(), 0);
}

#[test]
fn another_configuration_travels_with_the_sound() {
    let (old, new) = (Arc::<Trouble>::default(), Arc::<Trouble>::default());
    let (sender, requests) = bounded(4);
    let mut source = Repeated::new(4);
    source.may_go_on = Arc::new(false.into());
    let may_go_on = source.may_go_on.clone();
    let input = Input {
        source: Box::new(source),
        pace: Pace::Source,
        requests,
    };
    let seen = Arc::<Mutex<usize>>::default();
    let counted = seen.clone();
    let mut renewal = Some(Box::new(Renewal {
        stages: stages(&new, Abort::default()),
        capture: CaptureConfig::default(),
        observer: Box::new(move |_| *counted.lock().unwrap() += 1),
    }));
    let events = run_all(Surroundings::default(), input, &old, |event| match event {
        // In the middle of speech: it must not take effect before that is over.
        Event::SpeechStart { id: 1, .. } => {
            sender.send(Request::Renew(Err("wrong".into()))).unwrap();
            sender
                .send(Request::Renew(Ok(renewal.take().unwrap())))
                .unwrap();
        }
        Event::Reload { ok: true, .. } => may_go_on.store(true, Ordering::Relaxed),
        _ => {}
    });
    let kinds = kinds(&events);
    let of = |what: &str| kinds.iter().filter(|kind| kind.starts_with(what)).count();
    assert_eq!(
        (of("start"), of("final"), of("reload")),
        (4, 4, 2),
        "{kinds:?}"
    );
    assert!(kinds.contains(&"reload false Some(\"wrong\")".to_owned()));
    assert!(kinds.contains(&"reload true None".to_owned()));
    // The first utterance was heard by the old ear to its end, all others by the new one.
    let begun = |trouble: &Trouble| trouble.n_begun.load(Ordering::Relaxed);
    assert_eq!((begun(&old), begun(&new)), (1, 3));
    let lengths = [&old, &new].map(|trouble| trouble.lengths.lock().unwrap().clone());
    let lengths = lengths.concat();
    let (least, most) = (lengths.iter().min().unwrap(), lengths.iter().max().unwrap());
    // The same sound, wherever its windows begin.
    assert!(
        *least > 16_000 && most - least <= 2 * WINDOW_SAMPLES,
        "{lengths:?}"
    );
    // The reload itself, and a start and a final for each.
    assert!(*seen.lock().unwrap() >= 7);
}

#[test]
fn nothing_is_heard_of_a_muted_microphone() {
    let trouble = Arc::<Trouble>::default();
    let (sender, requests) = bounded(4);
    let mut source = Repeated::new(2);
    source.may_end = Arc::new(false.into());
    let (may_end, length) = (
        source.may_end.clone(),
        source.samples.len() as f64 / 16_000.0,
    );
    sender.send(Request::Mute(true)).unwrap();
    sender.send(Request::Mute(true)).unwrap();
    // Muted before the first sample, and on again at the end.
    let slow = Slow(source);
    let input = Input {
        source: Box::new(slow),
        pace: Pace::Source,
        requests,
    };
    let surroundings = Surroundings::default();
    let situation = surroundings.situation.clone();
    let watched = situation.clone();
    let unmute = std::thread::spawn(move || {
        while (watched.stats.audio.samples.get() as f64) < (length - 0.001) * 16_000.0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(watched.as_json()["muted"], true);
        sender.send(Request::Mute(false)).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        may_end.store(true, Ordering::Relaxed);
    });
    let events = run_all(surroundings, input, &trouble, |_| {});
    unmute.join().unwrap();
    assert_eq!(kinds(&events), ["mute true", "mute false"]);
    assert_eq!(situation.as_json()["muted"], false);
}

/// Gives orders the time to arrive before the first sample.
struct Slow(Repeated);

impl AudioSource for Slow {
    fn read(&mut self, out: &mut Vec<f32>) -> Result<Heard, AudioError> {
        if self.0.at == 0 {
            std::thread::sleep(Duration::from_millis(200));
            self.0.at = 1;
            return Ok(Heard::Nothing);
        }
        self.0.read(out)
    }

    fn duration_s(&self) -> Option<f64> {
        None
    }
}

/// Keeps what the service manager is told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<(Instant, String)>>>);

impl Notify for Told {
    fn tell(&self, states: &[NotifyState<'_>]) {
        let mut told = self.0.lock().unwrap();
        told.extend(
            states
                .iter()
                .map(|state| (Instant::now(), state.to_string())),
        );
    }
}

impl Told {
    fn n(&self, what: &str, since: Instant) -> usize {
        let told = self.0.lock().unwrap();
        told.iter()
            .filter(|(at, text)| *at >= since && text.starts_with(what))
            .count()
    }
}

#[test]
fn a_recogniser_that_hangs_starves_the_watchdog() {
    const WATCHDOG: Duration = Duration::from_millis(600);
    let (trouble, told) = (Arc::<Trouble>::default(), Told::default());
    let mut source = Repeated::new(1);
    source.may_end = Arc::new(false.into());
    let may_end = source.may_end.clone();
    trouble.hangs.store(true, Ordering::Relaxed);
    let surroundings = Surroundings {
        service: Some(Service::new(Box::new(told.clone()), Some(WATCHDOG))),
        ..Surroundings::default()
    };
    let began = Instant::now();
    let (hung, watched) = (trouble.clone(), told.clone());
    let nurse = std::thread::spawn(move || {
        let patience = Instant::now() + Duration::from_secs(60);
        let wait_until = |is_so: &dyn Fn() -> bool| {
            while !is_so() && Instant::now() < patience {
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        // How long the first speech takes to get there is the machine's affair.
        wait_until(&|| hung.hung_since.get().is_some());
        let since = hung.hung_since.get().copied();
        std::thread::sleep(4 * WATCHDOG);
        let starved = since.map(|since| watched.n("WATCHDOG", since + 2 * WATCHDOG));
        let freed = Instant::now();
        hung.hangs.store(false, Ordering::Relaxed);
        let fed = || watched.n("WATCHDOG", freed);
        wait_until(&|| fed() >= 2);
        may_end.store(true, Ordering::Relaxed);
        (starved, fed())
    });
    let input = Input::of(Box::new(source), Pace::Source);
    run_all(surroundings, input, &trouble, |_| {});
    let (starved, fed) = nurse.join().unwrap();
    assert_eq!(told.n("READY=1", began), 1);
    assert!(told.n("STATUS=listening", began) >= 1);
    assert_eq!(told.n("STOPPING=1", began), 1);
    assert_eq!(
        starved,
        Some(0),
        "fed although the recogniser hangs, or it never did"
    );
    assert!(fed >= 2, "not fed although all is well again: {fed}");
}

#[test]
fn a_front_that_panics_is_replaced_where_it_stood() {
    let (shared, _stop) = shared();
    let (speech, messages) = bounded(16);
    let (_orders, orders) = bounded(1);
    let stages = stages(&Arc::default(), Abort::default());
    let hops = front::Hops { orders, speech };
    let mut thread = front::FrontThread::new(stages.front, stages.recipe, hops, shared);
    thread.break_down();
    let in_words = |message| match message {
        ToRecogniser::Speech(Speech::End { end_sample, .. }) => format!("end {end_sample}"),
        ToRecogniser::Speech(Speech::Other(event)) => kinds(&[event]).concat(),
        _ => "something else".to_owned(),
    };
    let said: Vec<String> = messages.try_iter().map(in_words).collect();
    assert_eq!(said, ["end 0", "restart Front out of order"]);
}

fn shared() -> (Arc<Shared>, StopHandle) {
    let (stop, handle) = Stop::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("tests/data/speech/command/command_en_0003.flac");
    let input = Input::of(Box::new(FileSource::open(&path).unwrap()), Pace::Source);
    let stages = stages(&Arc::default(), Abort::default());
    let shared = share(&Surroundings::default(), &input, &stages, &stop);
    (Arc::new(shared), handle)
}

#[test]
fn a_control_stage_that_panics_is_replaced() {
    let (shared, _stop) = shared();
    let stages = stages(&Arc::default(), Abort::default());
    let (_events, events) = bounded(1);
    let (results_in, results) = bounded(1);
    let (orders, _orders) = bounded(1);
    let (hurry, _hurry) = bounded(0);
    let (answers, said) = Answers::new(None, &shared);
    let links = Links {
        events,
        said,
        results,
        requests: never(),
        orders,
        hurry,
    };
    let hands = Hands::new(&stages.control, None, results_in);
    let situation = shared.situation.clone();
    let stage = (stages.control, stages.recipe);
    let mut caller = Caller::new(stage, shared, (hands, answers), links);
    let after = caller.break_down();
    let expected = format!("{:?}", Stage::Control);
    assert!(kinds(&after).concat().contains(&expected), "{after:?}");
    assert_eq!(situation.stats.threads.control_restarts.get(), 1);
}
