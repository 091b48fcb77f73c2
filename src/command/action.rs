//! Actions: programs that commands run.
//!
//! Enters: an [`Action`] and the slots of a command. Leaves: a [`Completion`]. A program gets its
//! arguments as a list; the value of a slot is always a part of one argument, whatever characters
//! it has. The [`Runner`] has threads of its own: [`Runner::submit`] never waits, and a full queue
//! is reported as a failure of the action.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::process::{self, RunError};
use crate::event::ActionStatus;

/// How `program` is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shell {
    /// As the name of a program.
    #[default]
    No,
    /// As a line for `/bin/sh -c`, with the arguments as `$1`, `$2`, …
    Yes,
}

/// A program to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// Name or path of the program, or a shell line; slots are not substituted here.
    pub program: String,
    /// Its arguments. `{slot}` becomes the slot's value (nothing when the slot is not filled),
    /// `{{` and `}}` are braces; braces around anything but a slot's name stay as they are.
    pub args: Vec<String>,
    /// Whether `program` is a shell line.
    pub shell: Shell,
    /// Environment variables in addition to hark's own.
    pub env: BTreeMap<String, String>,
    /// Folder to run in; hark's own when absent.
    pub cwd: Option<PathBuf>,
    /// Time the program may take, in milliseconds; then its whole process group is ended.
    pub timeout_ms: u64,
}

impl Action {
    /// `program` with defaults for everything else.
    pub fn new(program: &str) -> Action {
        Action {
            program: program.to_owned(),
            args: Vec::new(),
            shell: Shell::No,
            env: BTreeMap::new(),
            cwd: None,
            timeout_ms: 10_000,
        }
    }

    /// The arguments with these slots filled in, as the program gets them.
    pub fn filled_args(&self, slots: &BTreeMap<String, String>) -> Vec<String> {
        let mut value = |name: &str| slots.get(name).cloned().unwrap_or_default();
        let args = self.args.iter();
        args.map(|arg| substitute(arg, &mut value)).collect()
    }

    /// Names of the slots that the arguments mention.
    pub fn mentioned_slots(&self) -> Vec<String> {
        let mut names = Vec::new();
        for arg in &self.args {
            substitute(arg, &mut |name| {
                names.push(name.to_owned());
                String::new()
            });
        }
        names
    }
}

/// A command to be carried out.
#[derive(Clone, Debug)]
pub struct Job {
    /// Utterance.
    pub id: u64,
    /// Name of the command.
    pub name: String,
    /// What was heard.
    pub text: String,
    /// Values of the slots.
    pub slots: BTreeMap<String, String>,
    /// Names of all slots there are; those without a value are empty for the program.
    pub known_slots: Arc<BTreeSet<String>>,
    /// What to do.
    pub action: Arc<Action>,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// Utterance.
    pub id: u64,
    /// Name of the command.
    pub name: String,
    /// How it ended.
    pub status: ActionStatus,
    /// What went wrong.
    pub error: Option<String>,
    /// Beginning of what the program wrote to its standard output.
    pub output: String,
    /// Time it took, in milliseconds.
    pub ms: u64,
}

impl Completion {
    fn new(job: &Job, status: ActionStatus, error: Option<String>) -> Completion {
        let (id, name) = (job.id, job.name.clone());
        Completion {
            id,
            name,
            status,
            error,
            output: String::new(),
            ms: 0,
        }
    }

    /// The job was reported and not carried out.
    pub fn skipped(job: &Job) -> Completion {
        Completion::new(job, ActionStatus::Skipped, None)
    }
}

/// Carries out `job` on the calling thread and waits for it. `stop` ends it early.
pub fn run(job: &Job, stop: &AtomicBool) -> Completion {
    let started = Instant::now();
    let mut command = command_line(job);
    let deadline = started + Duration::from_millis(job.action.timeout_ms);
    let (status, error, output) = match process::run(&mut command, deadline, stop) {
        Ok(output) => (ActionStatus::Ok, None, output),
        Err(RunError::TimedOut { output }) => {
            let message = format!("took longer than {} ms", job.action.timeout_ms);
            (ActionStatus::TimedOut, Some(message), output)
        }
        Err(error) => {
            let message = format!("{}: {error}", job.action.program);
            (ActionStatus::Failed, Some(message), error.into_output())
        }
    };
    let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Completion {
        output,
        ms,
        ..Completion::new(job, status, error)
    }
}

/// The program, its arguments and environment, in a process group of its own.
fn command_line(job: &Job) -> Command {
    let action = &job.action;
    let mut command = match action.shell {
        Shell::No => Command::new(&action.program),
        Shell::Yes => {
            let mut command = Command::new("/bin/sh");
            // What follows the line is $0, $1, …
            command.args(["-c", &action.program, "hark"]);
            command
        }
    };
    command.args(action.filled_args(&job.slots));
    set_environment(&mut command, job);
    if let Some(cwd) = &action.cwd {
        command.current_dir(cwd);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
}

/// hark's own environment with that of the action. Slots that an outer hark has filled would be
/// taken for ours.
fn set_environment(command: &mut Command, job: &Job) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with(SLOT_PREFIX) {
            command.env_remove(name);
        }
    }
    command
        .envs(&job.action.env)
        .env("HARK_COMMAND", &job.name)
        .env("HARK_TEXT", &job.text);
    for slot in job.known_slots.iter() {
        command.env(slot_variable(slot), "");
    }
    for (slot, value) in &job.slots {
        command.env(slot_variable(slot), value);
    }
}

/// What the environment variables of slots begin with.
const SLOT_PREFIX: &str = "HARK_SLOT_";

/// The environment variable of a slot: `room` is `HARK_SLOT_ROOM`.
pub fn slot_variable(slot: &str) -> String {
    let name: String = slot
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_uppercase()
            } else {
                '_'
            }
        })
        .collect();
    format!("{SLOT_PREFIX}{name}")
}

/// Replaces each `{slot}` of `text` by what `value` gives for it.
fn substitute(text: &str, value: &mut dyn FnMut(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with("{{") || rest.starts_with("}}") {
            out.push_str(&rest[..1]);
            rest = &rest[2..];
            continue;
        }
        let name = rest
            .strip_prefix('{')
            .and_then(|inner| inner.split_once('}'));
        match name.filter(|(name, _)| super::template::is_name(name)) {
            Some((name, after)) => {
                out.push_str(&value(name));
                rest = after;
            }
            None => {
                out.push_str(&rest[..1]);
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// Limits of a [`Runner`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunnerOptions {
    /// Programs that run at the same time.
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

/// Takes each completion, on a thread of the runner.
pub type OnCompletion = Arc<dyn Fn(Completion) + Send + Sync>;

/// Carries out jobs on threads of its own.
///
/// Every submitted job completes exactly once. Dropping the runner ends what still runs.
pub struct Runner {
    queue: Option<Sender<Job>>,
    /// Kept to take back jobs that nobody began.
    waiting: Receiver<Job>,
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
    on_completion: OnCompletion,
}

impl Runner {
    /// Starts the threads.
    pub fn new(options: RunnerOptions, on_completion: OnCompletion) -> std::io::Result<Runner> {
        let (queue, waiting) = bounded(options.max_waiting.max(1));
        let stop = Arc::new(AtomicBool::new(false));
        let mut runner = Runner {
            queue: Some(queue),
            waiting,
            stop,
            workers: Vec::new(),
            on_completion,
        };
        for index in 0..options.max_running.max(1) {
            let jobs = runner.waiting.clone();
            let stop = Arc::clone(&runner.stop);
            let report = Arc::clone(&runner.on_completion);
            let worker = std::thread::Builder::new()
                .name(format!("action-{index}"))
                .spawn(move || work(&jobs, &stop, &report))?;
            runner.workers.push(worker);
        }
        Ok(runner)
    }

    /// Queues `job`; its completion is reported later, or at once when the queue is full.
    pub fn submit(&self, job: Job) {
        let refused = match self.queue.as_ref().map(|queue| queue.try_send(job)) {
            Some(Err(TrySendError::Full(job) | TrySendError::Disconnected(job))) => job,
            Some(Ok(())) | None => return,
        };
        let message = "too many actions are waiting".to_owned();
        (self.on_completion)(Completion::new(
            &refused,
            ActionStatus::Failed,
            Some(message),
        ));
    }

    /// Ends what runs or waits, without waiting for it; jobs that come later fail.
    pub fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Waits up to `patience` for queued and running jobs, then ends what is left.
    pub fn shutdown(mut self, patience: Duration) {
        self.queue = None;
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline && self.workers.iter().any(|w| !w.is_finished()) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.queue = None;
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            // A worker that panicked has nothing left to end.
            let _ = worker.join();
        }
    }
}

fn work(jobs: &Receiver<Job>, stop: &AtomicBool, report: &OnCompletion) {
    for job in jobs {
        let completion = if stop.load(Ordering::Relaxed) {
            let message = "hark is stopping".to_owned();
            Completion::new(&job, ActionStatus::Failed, Some(message))
        } else {
            run(&job, stop)
        };
        report(completion);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn job(action: Action, slots: &[(&str, &str)]) -> Job {
        Job {
            id: 7,
            name: "lights".into(),
            text: "kitchen lights on".into(),
            slots: slots
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            known_slots: Arc::new(["room".to_owned(), "size".to_owned()].into()),
            action: Arc::new(action),
        }
    }

    fn finish(job: &Job) -> Completion {
        run(job, &AtomicBool::new(false))
    }

    fn printf(args: &[&str]) -> Action {
        Action {
            args: args.iter().map(|a| (*a).to_owned()).collect(),
            ..Action::new("printf")
        }
    }

    #[test]
    fn hostile_values_stay_one_argument() {
        let values = [
            "x; rm -rf /",
            "$(touch /tmp/x)",
            "`id`",
            "a b\tc",
            "'\"\\",
            "-rf",
            "*",
            "",
            "{room}",
            "a\nb",
        ];
        for value in values {
            // printf prints one bracket pair for each argument it receives.
            let done = finish(&job(
                printf(&["<%s>", "{room}", "in {room}!"]),
                &[("room", value)],
            ));
            assert_eq!(done.status, ActionStatus::Ok, "{done:?}");
            assert_eq!(done.output, format!("<{value}><in {value}!>"));
        }
    }

    #[test]
    fn shell_lines_get_values_as_parameters_and_environment() {
        let action = Action {
            shell: Shell::Yes,
            args: vec!["{room}".into()],
            ..Action::new(
                "printf '%s|%s|%s|%s' \"$#\" \"$1\" \"$HARK_SLOT_ROOM\" \"$HARK_COMMAND\"",
            )
        };
        let value = "a'; echo hacked; '";
        let done = finish(&job(action, &[("room", value)]));
        assert_eq!(done.output, format!("1|{value}|{value}|lights"));
    }

    #[test]
    fn environment_and_folder() {
        let action = Action {
            shell: Shell::Yes,
            env: [("EXTRA".to_owned(), "e".to_owned())].into(),
            cwd: Some("/".into()),
            ..Action::new("printf '%s %s %s %s' \"$HARK_TEXT\" \"$HARK_SLOT_LIGHT_2\" $EXTRA $PWD")
        };
        let done = finish(&job(action, &[("light-2", "v")]));
        assert_eq!(done.output, "kitchen lights on v e /");
    }

    #[test]
    fn every_slot_is_in_the_environment() {
        let action = Action {
            shell: Shell::Yes,
            ..Action::new("printf '%s|%s' \"$HARK_SLOT_ROOM\" \"${HARK_SLOT_SIZE-unset}\"")
        };
        let done = finish(&job(action, &[("room", "hall")]));
        assert_eq!(done.output, "hall|");
    }

    #[test]
    fn failures_say_what_went_wrong() {
        let done = finish(&job(Action::new("no-such-program-here"), &[]));
        assert_eq!(done.status, ActionStatus::Failed);
        assert!(done.error.unwrap().starts_with("no-such-program-here: "));

        let line = "echo out; echo oops >&2; exit 3";
        let done = finish(&job(
            Action {
                shell: Shell::Yes,
                ..Action::new(line)
            },
            &[],
        ));
        assert_eq!(done.status, ActionStatus::Failed);
        assert!(
            done.error
                .as_ref()
                .unwrap()
                .ends_with("exit status: 3: oops"),
            "{done:?}"
        );
        assert_eq!(done.output, "out\n");

        let done = finish(&job(printf(&["{room}"]), &[("room", "nul\0inside")]));
        assert_eq!(done.status, ActionStatus::Failed);
    }

    #[test]
    fn timeout_ends_the_whole_group() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let line = "(sleep 1; touch \"$1\") & echo started; wait";
        let action = Action {
            shell: Shell::Yes,
            args: vec![mark.to_str().unwrap().to_owned()],
            timeout_ms: 200,
            ..Action::new(line)
        };
        let done = finish(&job(action, &[]));
        assert_eq!(done.status, ActionStatus::TimedOut);
        assert_eq!(done.output, "started\n");
        assert!(done.ms < 900, "{}", done.ms);
        std::thread::sleep(Duration::from_millis(1_200));
        assert!(!mark.exists(), "a child of the program survived");
    }

    #[test]
    fn output_is_bounded() {
        let action = Action {
            shell: Shell::Yes,
            ..Action::new("yes | head -c 3000000")
        };
        let done = finish(&job(action, &[]));
        assert_eq!(done.status, ActionStatus::Ok);
        assert_eq!(done.output.len(), process::MAX_OUTPUT_BYTES);
    }

    #[test]
    fn braces_are_kept_unless_they_name_a_slot() {
        let mut value = |name: &str| format!("<{name}>");
        assert_eq!(substitute("{a}{b}", &mut value), "<a><b>");
        assert_eq!(
            substitute("{{a}} {\"x\":{a}}", &mut value),
            "{a} {\"x\":<a>}"
        );
        assert_eq!(substitute("{ a } {", &mut value), "{ a } {");
    }

    #[test]
    fn the_runner_reports_every_job_once_and_never_waits() {
        let (sender, receiver) = crossbeam_channel::unbounded();
        let report: OnCompletion = Arc::new(move |done: Completion| sender.send(done).unwrap());
        let options = RunnerOptions {
            max_running: 1,
            max_waiting: 2,
        };
        let runner = Runner::new(options, report).unwrap();
        let slow = Action {
            args: vec!["5".into()],
            ..Action::new("sleep")
        };
        let started = Instant::now();
        for id in 0..8 {
            runner.submit(Job {
                id,
                ..job(slow.clone(), &[])
            });
        }
        assert!(started.elapsed() < Duration::from_secs(1));
        drop(runner);
        assert!(
            started.elapsed() < Duration::from_secs(2),
            "{:?}",
            started.elapsed()
        );
        let mut ids: Vec<u64> = receiver.try_iter().map(|done| done.id).collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn shutdown_lets_short_jobs_finish() {
        let (sender, receiver) = crossbeam_channel::unbounded();
        let report: OnCompletion = Arc::new(move |done: Completion| sender.send(done).unwrap());
        let runner = Runner::new(RunnerOptions::default(), report).unwrap();
        runner.submit(job(printf(&["hello"]), &[]));
        runner.shutdown(Duration::from_secs(5));
        let done = receiver.try_recv().unwrap();
        assert_eq!(
            (done.status, done.output.as_str()),
            (ActionStatus::Ok, "hello")
        );
    }
}
