//! The caller's side: decides, hands out jobs, reports, wakes for timers, and keeps the deadlines
//! of a stop.
//!
//! In: events of the recogniser, results of actions, requests from outside. Out: events, on the
//! caller's thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, after, at, never, select};

use super::answers::Answers;
use super::service::Service;
use super::sounds::{Sounds, voice};
use super::stop::{FINAL_DEADLINE, SOURCE_DEADLINE, STOP_DEADLINE};
use super::supervise::supervise;
use super::timers_file::TimersFile;
use super::{End, Flow, ForCaller, Observer, Order, Request, Shared, ToCaller};
use crate::clock;
use crate::command::{Completion, Runner, RunnerOptions, Voice};
use crate::dialogue::{Effect, Now};
use crate::event::{Event, Seconds, Stage};
use crate::pipeline::{Control, Recipe, result_of};
use crate::respond::Said;
use crate::speech::{Speaker, SpeechError, SpeechOptions};

/// How long what was heard may take to become an event.
const HEARD_LATE: Duration = Duration::from_secs(1);
/// Longest time between two looks at the clock while a timer runs: the machine may have slept, and
/// nothing else would notice.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Shortest one.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);
/// Texts, the one that is being said first, that may be heard now.
const N_OVERHEARD: usize = 3;
/// How long a word takes to say, about.
const SPOKEN_WORD_S: f64 = 0.4;
/// Why an order is not carried out.
const BUSY: &str = "too many orders wait for the thread that reads sound";

/// What carries jobs out; none when the system gives it no threads.
fn runner(
    running: RunnerOptions,
    speaker: Option<Arc<Speaker>>,
    results: Sender<Event>,
) -> Option<Runner> {
    let voice = speaker.map(|speaker| speaker as Arc<dyn Voice>);
    let report = move |done: Completion| {
        if let Err(error) = results.try_send(result_of(done)) {
            log::warn!(
                "nobody took the result of an action: {:?}",
                error.into_inner()
            );
        }
    };
    let runner = Runner::new(running, voice, Arc::new(report));
    runner
        .inspect_err(|error| log::error!("actions cannot be carried out: {error}"))
        .ok()
}

/// The caller's side.
pub(super) struct Caller {
    control: Control,
    recipe: Arc<Recipe>,
    shared: Arc<Shared>,
    hands: Hands,
    answers: Answers,
    said: Receiver<Said>,
    events: Receiver<ToCaller>,
    results: Receiver<Event>,
    requests: Receiver<Request>,
    orders: Sender<Order>,
    hurry: Option<Sender<()>>,
    timers: TimersFile,
    service: Option<Service>,
    observer: Option<Observer>,
    n_jobs_open: usize,
    /// The latest audio that an event was about.
    heard: Seconds,
}

/// What acts and speaks for the caller; none of it where the system gives it no threads.
pub(super) struct Hands {
    runner: Option<Runner>,
    speaker: Option<Arc<Speaker>>,
    sounds: Option<Sounds>,
    results: Sender<Event>,
    /// Runners of former configurations that still have something to do.
    retired: Vec<Runner>,
}

impl Hands {
    /// Hands for these commands.
    pub(super) fn new(
        control: &Control,
        speech: Option<SpeechOptions>,
        results: Sender<Event>,
    ) -> Self {
        let (speaker, sounds) = speech.map_or((None, None), |options| voice(&options));
        Hands {
            runner: runner(control.running(), speaker.clone(), results.clone()),
            speaker,
            sounds,
            results,
            retired: Vec::new(),
        }
    }

    /// Hands for other commands; what is under way goes on.
    fn renew(&mut self, control: &Control, speech: Option<SpeechOptions>) {
        let new = Hands::new(control, speech, self.results.clone());
        let old = std::mem::replace(self, new);
        self.retired = old.retired;
        self.retired.extend(old.runner);
    }

    /// Ends everything without waiting for it.
    fn end(&self) {
        for runner in self.runner.iter().chain(&self.retired) {
            runner.end();
        }
    }

    /// Waits for the end of everything.
    fn drop_runners(&mut self) {
        self.runner = None;
        self.retired.clear();
    }
}

/// What the caller is connected to.
pub(super) struct Links {
    pub(super) events: Receiver<ToCaller>,
    pub(super) said: Receiver<Said>,
    pub(super) results: Receiver<Event>,
    pub(super) requests: Receiver<Request>,
    pub(super) orders: Sender<Order>,
    pub(super) hurry: Sender<()>,
}

/// What the caller met next.
enum Next {
    /// Something to report.
    Event(Event),
    /// What comes of a question.
    Said(Said),
    /// Another configuration holds from here on.
    Renew(Box<ForCaller>),
    /// Somebody wants something.
    Request(Request),
    /// Time passed.
    Tick,
    /// Nobody is left who could want something.
    NoMoreRequests,
    /// The recogniser has said its last.
    NoMoreEvents,
    /// The stop was requested.
    Stop,
    /// A deadline of the stop.
    Deadline,
}

impl Caller {
    /// A caller that has heard nothing, with the timers of an earlier run.
    pub(super) fn new(
        (mut control, recipe): (Control, Arc<Recipe>),
        shared: Arc<Shared>,
        (hands, answers): (Hands, Answers),
        links: Links,
    ) -> Self {
        let timers = TimersFile::new(&control.timers_file());
        control.restore(timers.load(clock::now()));
        Caller {
            control,
            recipe,
            shared,
            hands,
            answers,
            said: links.said,
            events: links.events,
            results: links.results,
            requests: links.requests,
            orders: links.orders,
            hurry: Some(links.hurry),
            timers,
            service: None,
            observer: None,
            n_jobs_open: 0,
            heard: Seconds::default(),
        }
    }

    /// Tells a service manager how it goes, and somebody of every event.
    pub(super) fn surround(&mut self, service: Option<Service>, observer: Option<Observer>) {
        (self.service, self.observer) = (service, observer);
    }

    /// Runs until there is nothing more to report.
    pub(super) fn run(mut self, sink: &mut dyn FnMut(Event) -> Flow) -> End {
        let end = self.follow(sink);
        if let Some(service) = &mut self.service {
            service.stopping();
        }
        // What still runs is ended; its results are the last to report.
        self.answers.end();
        self.hands.drop_runners();
        while let Ok(said) = self.said.try_recv() {
            if self.pass_on(said, sink) == Flow::Stop {
                break;
            }
        }
        while let Ok(event) = self.results.try_recv() {
            if self.emit(event, sink) == Flow::Stop {
                break;
            }
        }
        end
    }

    fn follow(&mut self, sink: &mut dyn FnMut(Event) -> Flow) -> End {
        let mut stop = self.shared.stop.requests().clone();
        let mut stopped_at = None;
        let mut deadline = never();
        let mut events_ended = false;
        while !(events_ended && self.n_jobs_open == 0 && !self.answers.is_open()) {
            self.serve();
            let tick = self.wait().map_or_else(never, after);
            let next = select! {
                recv(self.events) -> message => match message {
                    Ok(ToCaller::Event(event)) => Next::Event(event),
                    Ok(ToCaller::Renew(renewal)) => Next::Renew(renewal),
                    Err(_) => Next::NoMoreEvents,
                },
                recv(self.said) -> said => said.map_or(Next::Deadline, Next::Said),
                recv(self.results) -> event => event.map_or(Next::Deadline, Next::Event),
                recv(self.requests) -> one => one.map_or(Next::NoMoreRequests, Next::Request),
                recv(stop) -> _ => Next::Stop,
                recv(deadline) -> _ => Next::Deadline,
                recv(tick) -> _ => Next::Tick,
            };
            let flow = match next {
                Next::Event(event) => self.report(event, sink),
                Next::Said(said) => self.pass_on(said, sink),
                Next::Renew(renewal) => self.renew(*renewal, sink),
                Next::Request(request) => self.grant(request, sink),
                Next::Tick => self.tick(sink),
                Next::NoMoreRequests => {
                    self.requests = never();
                    Flow::Go
                }
                Next::NoMoreEvents => {
                    self.events = never();
                    events_ended = true;
                    Flow::Go
                }
                Next::Stop => {
                    let now = Instant::now();
                    (stop, stopped_at) = (never(), Some(now));
                    deadline = at(now + SOURCE_DEADLINE);
                    self.begin_to_stop();
                    Flow::Go
                }
                Next::Deadline => match stopped_at.and_then(|at| self.overdue(at)) {
                    Some(next) => {
                        deadline = at(next);
                        Flow::Go
                    }
                    None => return End::Overdue,
                },
            };
            if flow == Flow::Stop {
                return End::Unheard;
            }
        }
        End::Complete
    }

    fn begin_to_stop(&mut self) {
        self.shared.abort.partial.store(true, Ordering::Release);
        // While the final is worked on, so that a stubborn program costs no time.
        self.hands.end();
        self.answers.stop();
        if let Some(speaker) = &self.hands.speaker {
            speaker.silence();
        }
    }

    /// Does what somebody wants.
    fn grant(&mut self, request: Request, sink: &mut dyn FnMut(Event) -> Flow) -> Flow {
        match request {
            Request::Push(on) => {
                let now = self.now();
                let effects = self.decide(|control| control.push(on, now));
                self.bring_about(effects, sink)
            }
            Request::Mute(on) => {
                self.shared.situation.mute(on);
                Flow::Go
            }
            Request::Renew(Ok(renewal)) => match self.orders.try_send(renewal) {
                Ok(()) => Flow::Go,
                Err(_) => self.refuse_renewal(BUSY.to_owned(), sink),
            },
            Request::Renew(Err(error)) => self.refuse_renewal(error, sink),
        }
    }

    /// The old configuration holds, because of an error.
    fn refuse_renewal(&mut self, error: String, sink: &mut dyn FnMut(Event) -> Flow) -> Flow {
        self.shared.situation.stats.done.reloads_failed.count();
        if let Some(service) = &mut self.service {
            service.reloaded();
        }
        self.tell_reload(Some(error), sink)
    }

    /// Another configuration takes over; what is under way goes on.
    fn renew(&mut self, renewal: ForCaller, sink: &mut dyn FnMut(Event) -> Flow) -> Flow {
        let legacy = self.control.leave();
        self.control = renewal.control;
        self.control.inherit(legacy);
        self.recipe = renewal.recipe;
        self.hands.renew(&self.control, renewal.speech);
        self.answers.renew(renewal.responder.as_ref(), &self.shared);
        if self.n_jobs_open == 0 {
            self.hands.retired.clear();
        }
        self.timers = TimersFile::new(&self.control.timers_file());
        self.observer = Some(renewal.observer);
        self.shared.situation.stats.done.reloads.count();
        if let Some(service) = &mut self.service {
            service.reloaded();
        }
        self.tell_reload(None, sink)
    }

    fn tell_reload(&mut self, error: Option<String>, sink: &mut dyn FnMut(Event) -> Flow) -> Flow {
        let (t, ok) = (self.now().heard, error.is_none());
        self.emit(Event::Reload { t, ok, error }, sink)
    }

    /// Tells the service manager how it goes.
    fn serve(&mut self) {
        if let Some(service) = &mut self.service {
            service.serve(&self.shared.health, &self.shared.situation);
        }
    }

    /// What the control stage makes of something. One that panics is replaced, with its timers.
    fn decide(&mut self, decide: impl FnOnce(&mut Control) -> Vec<Effect>) -> Vec<Effect> {
        let shared = &self.shared;
        let by = (&shared.restarts, &*shared.situation.stats);
        let begun = Instant::now();
        let control = &mut self.control;
        let decided = supervise(Stage::Control, by, || decide(control));
        shared.situation.stats.done.decide.note(begun.elapsed());
        decided.unwrap_or_else(|error| {
            self.answers.stop();
            self.control = (self.recipe.control)();
            self.control.restore(self.timers.load(clock::now()));
            vec![Effect::Report(Event::Restart {
                t: self.heard,
                stage: Stage::Control,
                error,
            })]
        })
    }

    /// Counts an event and hands it out.
    fn emit(&mut self, event: Event, sink: &mut dyn FnMut(Event) -> Flow) -> Flow {
        self.shared.situation.count(&event);
        if let Some(observer) = &mut self.observer {
            observer(&event);
        }
        if let Some(sounds) = &self.hands.sounds {
            sounds.heed(&event);
        }
        sink(event)
    }

    /// A deadline of the stop has passed; the next one, if there is one.
    fn overdue(&mut self, stopped_at: Instant) -> Option<Instant> {
        let passed = stopped_at.elapsed();
        if passed >= STOP_DEADLINE {
            return None;
        }
        if passed >= FINAL_DEADLINE {
            self.shared.abort.whole.store(true, Ordering::Release);
            self.shared.abort.pause.store(true, Ordering::Release);
            return Some(stopped_at + STOP_DEADLINE);
        }
        self.hurry = None;
        Some(stopped_at + FINAL_DEADLINE)
    }

    /// How long nothing has to be done unless something happens; none for ever.
    fn wait(&self) -> Option<Duration> {
        let due = self.control.due();
        let from_s = |s: f64| Duration::from_secs_f64(s.clamp(0.0, LONGEST_WAIT.as_secs_f64()));
        let timers = due.clock_s.map(|due_s| from_s(due_s - clock::clock_s()));
        let heard = due.heard.map(|t| from_s(t.0 - self.surely_heard().0));
        let service = self.service.as_ref().and_then(Service::wait);
        let soonest = timers.into_iter().chain(heard).chain(service).min()?;
        Some(soonest.max(SHORTEST_WAIT))
    }

    fn tick(&mut self, sink: &mut dyn FnMut(Event) -> Flow) -> Flow {
        let now = Now {
            heard: self.surely_heard(),
            ..self.now()
        };
        let effects = self.decide(|control| control.tick(now));
        self.bring_about(effects, sink)
    }

    fn now(&self) -> Now {
        Now {
            heard: self.spoken_before(Duration::ZERO),
            clock_s: clock::clock_s(),
            speaks: (self.hands.speaker.as_ref()).is_some_and(|speaker| speaker.is_speaking()),
        }
    }

    /// The audio of which everything there is to know is known.
    fn surely_heard(&self) -> Seconds {
        self.spoken_before(HEARD_LATE)
    }

    /// The audio that was spoken so long ago.
    fn spoken_before(&self, ago: Duration) -> Seconds {
        let then = Instant::now().checked_sub(ago);
        let spoken = then.and_then(|then| self.shared.clock.at(then));
        let spoken = spoken.unwrap_or(0.0);
        // Audio that does not come at the pace of speech may be ahead.
        Seconds(spoken.max(self.heard.0))
    }

    fn report(&mut self, mut event: Event, sink: &mut dyn FnMut(Event) -> Flow) -> Flow {
        match &event {
            Event::Action { .. } => {
                self.n_jobs_open = self.n_jobs_open.saturating_sub(1);
                if self.n_jobs_open == 0 {
                    self.hands.retired.clear();
                }
            }
            Event::SpeechStart { t, .. } | Event::Partial { t, .. } => self.heard = *t,
            Event::Final { t1, .. } => self.heard = *t1,
            _ => {}
        }
        self.add_lag(&mut event);
        let now = self.now();
        if let Some(speaker) = &self.hands.speaker {
            let texts = speaker.texts();
            if !texts.is_empty() {
                let n_next = texts.len().min(N_OVERHEARD);
                self.control.overhear(&texts[..n_next], now.heard);
            }
        }
        let effects = self.decide(|control| control.decide(&event, now));
        match self.emit(event, sink) {
            Flow::Go => self.bring_about(effects, sink),
            Flow::Stop => Flow::Stop,
        }
    }

    fn bring_about(&mut self, effects: Vec<Effect>, sink: &mut dyn FnMut(Event) -> Flow) -> Flow {
        for effect in effects {
            match effect {
                Effect::Report(event) => {
                    if let Event::Reply { text, .. } = &event {
                        self.speak(text);
                    }
                    if self.emit(event, sink) == Flow::Stop {
                        return Flow::Stop;
                    }
                }
                Effect::CarryOut(job) => {
                    if let Some(runner) = &self.hands.runner {
                        self.n_jobs_open += 1;
                        runner.submit(job);
                    }
                }
                Effect::Hush => {
                    if let Some(speaker) = &self.hands.speaker {
                        speaker.silence();
                    }
                }
                Effect::Foresee(question) => self.answers.foresee(question),
                Effect::Ask(question) => {
                    let id = question.id;
                    if !self.answers.ask(question) && self.no_answer(id, sink) == Flow::Stop {
                        return Flow::Stop;
                    }
                }
                Effect::StopAnswer => self.answers.stop(),
                Effect::Keep(timers) => self.timers.save(&timers, clock::now()),
            }
        }
        Flow::Go
    }

    /// Passes on what comes of a question.
    fn pass_on(&mut self, said: Said, sink: &mut dyn FnMut(Event) -> Flow) -> Flow {
        let is_wanted = self.answers.is_wanted(&said);
        if is_wanted && let Some(sentence) = self.answers.sentence(&said) {
            self.speak(&sentence);
        }
        let reply = |id, text, done| Event::Reply {
            id: Some(id),
            text,
            done,
        };
        let event = match said {
            Said::Piece { id, text } => reply(id, text, false),
            Said::Done { id } => reply(id, String::new(), true),
            // Nobody wants it any more.
            Said::Call { id, .. } | Said::Failed { id, .. } if !is_wanted => {
                reply(id, String::new(), true)
            }
            Said::Call { id, sentence } => {
                let now = self.now();
                let effects = self.decide(|control| control.call(id, &sentence, now));
                return self.bring_about(effects, sink);
            }
            Said::Failed { id, error } => {
                log::warn!("no answer: {error}");
                return self.no_answer(id, sink);
            }
        };
        self.report(event, sink)
    }

    /// Nobody answers that utterance.
    fn no_answer(&mut self, id: u64, sink: &mut dyn FnMut(Event) -> Flow) -> Flow {
        let now = self.now();
        let effects = self.decide(|control| control.no_answer(id, now));
        self.bring_about(effects, sink)
    }

    /// Speaks a reply; where nothing can speak, it is in its event.
    fn speak(&mut self, text: &str) {
        // It may be over before anything else happens, and is heard a little later.
        let n_words = text.split_whitespace().count();
        let until = Seconds(self.now().heard.0 + SPOKEN_WORD_S * n_words as f64);
        self.control.overhear(&[text.to_owned()], until);
        match self.hands.speaker.as_ref().map(|speaker| speaker.say(text)) {
            None | Some(Ok(_) | Err(SpeechError::Off)) => {}
            Some(Err(error)) => log::warn!("a reply was not spoken: {error}"),
        }
    }

    fn add_lag(&self, event: &mut Event) {
        if let Event::Partial { t, lag_ms, .. } | Event::Degraded { t, lag_ms, .. } = event
            && let Some(now_s) = self.shared.clock.at(Instant::now())
        {
            *lag_ms = Some(((now_s - t.0).max(0.0) * 1e3) as u64);
        }
    }
}

#[cfg(test)]
impl Caller {
    /// A bug, and what is reported of it.
    pub(super) fn break_down(&mut self) -> Vec<Event> {
        let effects = self.decide(|_| panic!("out of order"));
        let reported = |effect| match effect {
            Effect::Report(event) => Some(event),
            _ => None,
        };
        effects.into_iter().filter_map(reported).collect()
    }
}
