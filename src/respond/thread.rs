//! A thread that answers.
//!
//! It has one question at a time: the newest. A question may be foreseen, then what is written waits until it is
//! asked. Whoever has more urgent work goes first: between two tokens it is asked whether somebody has.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::respondent::{Outcome, Respondent};
use super::{Question, ResponderSetup};
use crate::guard::supervised;

/// Tokens that are read before others may go first.
const READ_AT_ONCE: usize = 32;
/// How often it is looked whether somebody else is done.
const POLL: Duration = Duration::from_millis(2);

/// What comes of a question that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The next piece of the answer.
    Piece {
        /// The utterance that asked.
        id: u64,
        /// The text.
        text: String,
    },
    /// The answer is over, or was ended.
    Done {
        /// The utterance that asked.
        id: u64,
    },
    /// A command is called.
    Call {
        /// The utterance that asked.
        id: u64,
        /// A sentence of the commands.
        sentence: String,
    },
    /// There is no answer.
    Failed {
        /// The utterance that asked.
        id: u64,
        /// Why.
        error: String,
    },
}

/// Takes what comes; must not wait.
pub type Report = Arc<dyn Fn(Said) + Send + Sync>;

/// What a responder shares with the rest of the program.
pub struct Manners {
    /// Prepares its thread, and each that computes for it: they give way to others.
    pub settle: fn(),
    /// Whether somebody has more urgent work.
    pub busy: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// What is wanted of the thread.
#[derive(Default)]
struct Plan {
    /// To be answered next, and whether it was asked already.
    next: Option<(Question, bool)>,
    /// What is being answered.
    current: Option<Question>,
    /// Whether that was asked, and not only foreseen.
    is_asked: bool,
    /// Whether that is to end.
    is_over: bool,
    /// Other options and commands for the same model.
    setup: Option<ResponderSetup>,
    stop: bool,
}

#[derive(Default)]
struct Shared {
    plan: Mutex<Plan>,
    changed: Condvar,
}

impl Shared {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.plan());
        self.changed.notify_all();
    }
}

/// Answers questions on a thread of its own. Dropping it ends that, without waiting for what it is computing.
pub struct Responder {
    shared: Arc<Shared>,
    setup: ResponderSetup,
    report: Report,
}

impl Responder {
    /// Starts the thread, which loads the model at once.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn new(setup: &ResponderSetup, manners: Manners, report: Report) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let worker = Worker {
            shared: shared.clone(),
            setup: setup.clone(),
            manners,
            report: report.clone(),
            respondent: None,
        };
        let thread = std::thread::Builder::new().name("responder".to_owned());
        thread.spawn(move || worker.run())?;
        Ok(Responder {
            shared,
            setup: setup.clone(),
            report,
        })
    }

    /// How it was made.
    pub fn setup(&self) -> &ResponderSetup {
        &self.setup
    }

    /// Goes on with other options and commands; the model must be the same
    /// ([`has_model_of`](ResponderSetup::has_model_of)). What is asked is dropped.
    pub fn renew(&mut self, setup: &ResponderSetup) {
        self.drop_question();
        self.setup = setup.clone();
        self.shared.change(|plan| plan.setup = Some(setup.clone()));
    }

    /// This will probably be asked: begins, and says nothing yet.
    pub fn foresee(&self, question: Question) {
        self.shared.change(|plan| {
            let is_known = |known: &Question| known.is(&question);
            let is_begun = plan.current.as_ref().is_some_and(is_known) && !plan.is_over;
            let waits = plan.next.as_ref().is_some_and(|(_, is_asked)| *is_asked);
            if !is_begun && !waits {
                plan.put((question, false));
            }
        });
    }

    /// This is asked.
    pub fn ask(&self, question: Question) {
        let mut displaced = None;
        self.shared.change(|plan| {
            let is_known = |known: &Question| known.is(&question);
            let is_begun = plan.current.as_ref().is_some_and(is_known) && !plan.is_over;
            if is_begun && !plan.is_asked {
                plan.is_asked = true;
                displaced = plan.next.take();
            } else {
                displaced = plan.put((question, true));
            }
        });
        self.close(displaced);
    }

    /// Nothing is wanted any more of what was asked or foreseen. Returns at once; no piece comes after the one that
    /// may be on its way.
    pub fn drop_question(&self) {
        let mut displaced = None;
        self.shared.change(|plan| {
            displaced = plan.next.take();
            plan.is_over = true;
        });
        self.close(displaced);
    }

    /// The answer to a question that was asked and never begun is over.
    fn close(&self, displaced: Option<(Question, bool)>) {
        if let Some((question, true)) = displaced {
            (self.report)(Said::Done { id: question.id });
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.shared.change(|plan| plan.stop = true);
    }
}

/// The thread.
struct Worker {
    shared: Arc<Shared>,
    setup: ResponderSetup,
    manners: Manners,
    report: Report,
    /// The model, while it is loaded.
    respondent: Option<Respondent>,
}

impl Worker {
    fn run(mut self) {
        (self.manners.settle)();
        if let Err(error) = self.load() {
            log::error!("{error}");
        }
        while let Some(question) = self.next() {
            if let Err(bug) = supervised(|| self.turn(&question)) {
                // What it worked on is not to be trusted.
                self.respondent = None;
                let (id, error) = (question.id, format!("a bug: {bug}"));
                (self.report)(Said::Failed { id, error });
            }
            self.shared.plan().current = None;
        }
    }

    fn load(&mut self) -> Result<&mut Respondent, String> {
        let other = self.shared.plan().setup.take();
        if let Some(setup) = &other {
            self.setup = setup.clone();
        }
        let loaded = match (self.respondent.take(), other) {
            (Some(mut respondent), Some(setup)) => {
                respondent.adopt(&setup);
                respondent
            }
            (Some(respondent), None) => respondent,
            (None, _) => {
                let mut respondent = Respondent::load(&self.setup)?.with_clock(now);
                respondent.settle(self.manners.settle);
                respondent.read_at_once(READ_AT_ONCE);
                let (shared, busy) = (self.shared.clone(), self.manners.busy.clone());
                respondent.prepare(&mut || {
                    while busy() && !shared.plan().stop {
                        std::thread::sleep(POLL);
                    }
                    !shared.plan().stop
                });
                respondent
            }
        };
        Ok(self.respondent.insert(loaded))
    }

    /// Waits for a question; none when it is to end. A model that nobody asks is unloaded.
    fn next(&mut self) -> Option<Question> {
        let shared = self.shared.clone();
        let unload_s = self.setup.options.unload_after_s;
        let patience = (unload_s > 0.0).then(|| Duration::from_secs_f32(unload_s));
        let mut plan = shared.plan();
        loop {
            if plan.stop {
                return None;
            }
            if let Some((question, is_asked)) = plan.next.take() {
                plan.current = Some(question.clone());
                (plan.is_asked, plan.is_over) = (is_asked, false);
                return Some(question);
            }
            plan = match patience.filter(|_| self.respondent.is_some()) {
                None => shared
                    .changed
                    .wait(plan)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let waited = shared.changed.wait_timeout(plan, patience);
                    let (plan, waited) = waited.unwrap_or_else(PoisonError::into_inner);
                    if !waited.timed_out() {
                        plan
                    } else {
                        log::info!("nobody asks: the language model is unloaded");
                        // Nobody has to wait for that.
                        drop(plan);
                        self.respondent = None;
                        shared.plan()
                    }
                }
            };
        }
    }

    /// One question.
    fn turn(&mut self, question: &Question) {
        let id = question.id;
        let (shared, report) = (self.shared.clone(), self.report.clone());
        let busy = self.manners.busy.clone();
        let timeout_s = self.setup.options.timeout_s;
        let outcome = self.load().and_then(|respondent| {
            let deadline = Instant::now() + Duration::from_secs_f32(timeout_s);
            let mut held = String::new();
            let mut say = |piece: &str| {
                held.push_str(piece);
                let goes_on = goes_on(&shared, &*busy, deadline);
                if !held.is_empty() && shared.plan().may_speak() {
                    let text = std::mem::take(&mut held);
                    report(Said::Piece { id, text });
                }
                goes_on
            };
            let outcome = respondent.answer(question, &mut say);
            outcome
                .map(|outcome| (outcome, held))
                .map_err(|error| error.to_string())
        });
        if !self.wait_until_asked() {
            return;
        }
        let said = match outcome {
            Err(error) => Said::Failed { id, error },
            Ok((outcome, held)) => {
                if let Some(respondent) = &mut self.respondent {
                    respondent.remember(question, &outcome);
                }
                let is_over = self.shared.plan().is_ended();
                match outcome {
                    Outcome::Called(sentence) if !is_over => Said::Call { id, sentence },
                    _ => {
                        if !held.is_empty() && !is_over {
                            (self.report)(Said::Piece { id, text: held });
                        }
                        Said::Done { id }
                    }
                }
            }
        };
        (self.report)(said);
    }

    /// Whether what was foreseen was asked, as soon as that is known.
    fn wait_until_asked(&self) -> bool {
        let mut plan = self.shared.plan();
        while !plan.is_asked && !plan.is_ended() {
            let waited = self.shared.changed.wait(plan);
            plan = waited.unwrap_or_else(PoisonError::into_inner);
        }
        plan.is_asked
    }
}

impl Plan {
    /// Whether what is being answered is to end: something else is asked, or foreseen where it is itself only
    /// foreseen.
    fn is_ended(&self) -> bool {
        let is_displaced = |(_, is_asked): &(Question, bool)| *is_asked || !self.is_asked;
        self.is_over || self.stop || self.next.as_ref().is_some_and(is_displaced)
    }

    /// This comes next; what else was to come.
    fn put(&mut self, next: (Question, bool)) -> Option<(Question, bool)> {
        // What was only foreseen, and is not what is wanted, is not gone back to.
        self.is_over |= self.current.is_some() && !self.is_asked;
        self.next.replace(next)
    }

    fn may_speak(&self) -> bool {
        self.is_asked && !self.is_ended()
    }
}

/// Whether an answer goes on, once nobody has more urgent work.
fn goes_on(shared: &Shared, busy: &(dyn Fn() -> bool + Send + Sync), deadline: Instant) -> bool {
    loop {
        if shared.plan().is_ended() || Instant::now() >= deadline {
            return false;
        }
        if !busy() {
            return true;
        }
        std::thread::sleep(POLL);
    }
}

/// The time and the date, as people say them.
fn now() -> (String, String) {
    let now = jiff::Zoned::now();
    let time = now.strftime("%H:%M").to_string();
    (time, now.strftime("%A, %B %-d, %Y").to_string())
}
