//! Jobs on threads of their own, no more at a time than there are places, and no more of one action
//! than it allows.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::job::run;
use super::{Action, Completion, Job, Means, Voice, WhenBusy};
use crate::event::ActionStatus;

/// Limits of a [`Runner`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunnerOptions {
    /// Actions that are under way at the same time.
    pub max_running: usize,
    /// Jobs that wait; further ones fail at once.
    pub max_waiting: usize,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        RunnerOptions {
            max_running: 4,
            max_waiting: 16,
        }
    }
}

/// Takes each completion, on a thread of the runner or of who submits.
pub type OnCompletion = Arc<dyn Fn(Completion) + Send + Sync>;

/// Carries out jobs on threads of its own.
///
/// Every submitted job completes exactly once. Dropping the runner ends what still runs.
pub struct Runner {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// What the runner shares with its threads.
struct Shared {
    state: Mutex<State>,
    /// Something has changed in `state` that may give a thread work, or end it.
    changed: Condvar,
    max_waiting: usize,
    voice: Option<Arc<dyn Voice>>,
    on_completion: OnCompletion,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    running: Vec<Running>,
    /// No jobs come any more.
    is_closed: bool,
    /// What runs is to end, and what waits is not done.
    is_stopped: bool,
}

struct Running {
    action: Arc<Action>,
    stop: Arc<AtomicBool>,
}

impl Runner {
    /// Starts the threads. Actions that speak do so with `voice`.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn new(
        options: RunnerOptions,
        voice: Option<Arc<dyn Voice>>,
        on_completion: OnCompletion,
    ) -> std::io::Result<Runner> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            max_waiting: options.max_waiting.max(1),
            voice,
            on_completion,
        });
        let mut runner = Runner {
            shared,
            workers: Vec::new(),
        };
        for index in 0..options.max_running.max(1) {
            let shared = Arc::clone(&runner.shared);
            let worker = std::thread::Builder::new()
                .name(format!("action-{index}"))
                .spawn(move || shared.work())?;
            runner.workers.push(worker);
        }
        Ok(runner)
    }

    /// Queues `job`; its completion is reported later, or at once when there is no room for it.
    pub fn submit(&self, job: Job) {
        // Reported with the lock open: what is done about it may take long.
        for completion in self.shared.admit(job) {
            (self.shared.on_completion)(completion);
        }
    }

    /// Ends what runs or waits, without waiting for it; jobs that come later fail.
    pub fn end(&self) {
        self.shared.stop();
    }

    /// Waits up to `patience` for queued and running jobs, then ends what is left.
    pub fn shutdown(self, patience: Duration) {
        self.shared.lock().is_closed = true;
        self.shared.changed.notify_all();
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline && self.workers.iter().any(|w| !w.is_finished()) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.stop();
        for worker in self.workers.drain(..) {
            // A worker that panicked has nothing left to end.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        let mut state = self.lock();
        state.is_stopped = true;
        for running in &state.running {
            running.stop.store(true, Ordering::Relaxed);
        }
        self.changed.notify_all();
    }

    /// Takes a job in, or not; the completions of those that are not done for it.
    fn admit(&self, job: Job) -> Vec<Completion> {
        let mut state = self.lock();
        let mut refused = Vec::new();
        if state.is_busy(&job.action) {
            match job.action.when_busy {
                WhenBusy::Wait => {}
                WhenBusy::Skip => return vec![skipped(&job, "it is under way already")],
                WhenBusy::Replace => refused = state.make_way(&job.action),
            }
        }
        if state.waiting.len() >= self.max_waiting {
            let message = Some("too many actions are waiting".to_owned());
            refused.push(Completion::new(&job, ActionStatus::Failed, message));
            return refused;
        }
        state.waiting.push_back(job);
        self.changed.notify_one();
        refused
    }

    /// A thread's life: takes jobs until there will be no more.
    fn work(&self) {
        while let Some((job, stop)) = self.next() {
            let means = Means {
                stop: stop.clone(),
                voice: self.voice.clone(),
            };
            let completion = match stop.load(Ordering::Relaxed) {
                true => {
                    let message = Some("hark is stopping".to_owned());
                    Completion::new(&job, ActionStatus::Failed, message)
                }
                false => run(&job, &means),
            };
            // Before another one of the same action, which may have waited for this, can end.
            (self.on_completion)(completion);
            let mut state = self.lock();
            state
                .running
                .retain(|running| !Arc::ptr_eq(&running.stop, &stop));
            drop(state);
            self.changed.notify_all();
        }
    }

    /// The next job that may run, with the flag that ends it; none when there will be none.
    fn next(&self) -> Option<(Job, Arc<AtomicBool>)> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.take() {
                let stop = Arc::new(AtomicBool::new(state.is_stopped));
                state.running.push(Running {
                    action: job.action.clone(),
                    stop: stop.clone(),
                });
                return Some((job, stop));
            }
            if state.is_closed && state.waiting.is_empty() {
                return None;
            }
            state = (self.changed.wait(state)).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl State {
    fn n_running(&self, action: &Arc<Action>) -> usize {
        let same = |running: &&Running| Arc::ptr_eq(&running.action, action);
        self.running.iter().filter(same).count()
    }

    /// Whether no further one of `action` may begin.
    fn is_full(&self, action: &Arc<Action>) -> bool {
        action.max_running > 0 && self.n_running(action) >= action.max_running
    }

    /// Whether one more of `action` would be too many, those that wait included.
    fn is_busy(&self, action: &Arc<Action>) -> bool {
        let same = |job: &&Job| Arc::ptr_eq(&job.action, action);
        let n_waiting = self.waiting.iter().filter(same).count();
        action.max_running > 0 && self.n_running(action) + n_waiting >= action.max_running
    }

    /// The first job whose action may begin; any when everything is to end.
    fn take(&mut self) -> Option<Job> {
        let mut jobs = self.waiting.iter();
        let at = jobs.position(|job| self.is_stopped || !self.is_full(&job.action))?;
        self.waiting.remove(at)
    }

    /// Ends the oldest running one of `action` and takes back those that wait.
    fn make_way(&mut self, action: &Arc<Action>) -> Vec<Completion> {
        let mut of_action = self.running.iter();
        let oldest = of_action.find(|running| {
            Arc::ptr_eq(&running.action, action) && !running.stop.load(Ordering::Relaxed)
        });
        if let Some(oldest) = oldest.filter(|_| self.is_full(action)) {
            oldest.stop.store(true, Ordering::Relaxed);
        }
        let mut replaced = Vec::new();
        self.waiting.retain(|job| {
            let stays = !Arc::ptr_eq(&job.action, action);
            if !stays {
                replaced.push(skipped(job, "a newer one takes its place"));
            }
            stays
        });
        replaced
    }
}

fn skipped(job: &Job, why: &str) -> Completion {
    Completion::new(job, ActionStatus::Skipped, Some(why.to_owned()))
}
