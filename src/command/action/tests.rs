#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use super::*;
use crate::event::ActionStatus;
use crate::process;

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
    run(job, &Means::default())
}

/// A line for the shell, with its `$1`, `$2`, …
fn shell(line: &str, args: &[&str]) -> Action {
    program(Program {
        program: line.to_owned(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        shell: Shell::Yes,
        ..Program::default()
    })
}

fn program(program: Program) -> Action {
    Action::from(Kind::Program(program))
}

fn printf(args: &[&str]) -> Action {
    Action::program("printf", args)
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
        "ünï → 😀",
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
    let line = "printf '%s|%s|%s|%s' \"$#\" \"$1\" \"$HARK_SLOT_ROOM\" \"$HARK_COMMAND\"";
    let value = "a'; echo hacked; '";
    let done = finish(&job(shell(line, &["{room}"]), &[("room", value)]));
    assert_eq!(done.output, format!("1|{value}|{value}|lights"));
}

#[test]
fn environment_and_folder() {
    let action = program(Program {
        program: "printf '%s %s %s %s' \"$HARK_TEXT\" \"$HARK_SLOT_LIGHT_2\" $EXTRA $PWD".into(),
        shell: Shell::Yes,
        env: [("EXTRA".to_owned(), "e".to_owned())].into(),
        cwd: Some("/".into()),
        ..Program::default()
    });
    let done = finish(&job(action, &[("light-2", "v")]));
    assert_eq!(done.output, "kitchen lights on v e /");
}

#[test]
fn every_slot_is_in_the_environment() {
    let line = "printf '%s|%s' \"$HARK_SLOT_ROOM\" \"${HARK_SLOT_SIZE-unset}\"";
    let done = finish(&job(shell(line, &[]), &[("room", "hall")]));
    assert_eq!(done.output, "hall|");
}

#[test]
fn failures_say_what_went_wrong() {
    let done = finish(&job(Action::program("no-such-program-here", &[]), &[]));
    assert_eq!(done.status, ActionStatus::Failed);
    assert!(done.error.unwrap().starts_with("no-such-program-here: "));

    let done = finish(&job(shell("echo out; echo oops >&2; exit 3", &[]), &[]));
    assert_eq!(done.status, ActionStatus::Failed);
    let error = done.error.as_ref().unwrap();
    assert!(error.ends_with("exit status: 3: oops"), "{done:?}");
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
        timeout_ms: 200,
        ..shell(line, &[mark.to_str().unwrap()])
    };
    let done = finish(&job(action, &[]));
    assert_eq!(done.status, ActionStatus::TimedOut);
    assert_eq!(done.error.as_deref(), Some("took longer than 200 ms"));
    assert_eq!(done.output, "started\n");
    assert!(done.ms < 900, "{}", done.ms);
    std::thread::sleep(Duration::from_millis(1_200));
    assert!(!mark.exists(), "a child of the program survived");
}

#[test]
fn output_is_bounded() {
    let done = finish(&job(shell("yes | head -c 3000000", &[]), &[]));
    assert_eq!(done.status, ActionStatus::Ok);
    assert_eq!(done.output.len(), process::MAX_OUTPUT_BYTES);
}

/// A program that fails until it has been started `n` times.
fn at_try(n: usize, folder: &Path) -> Action {
    let line = "echo x >> \"$1\"; test $(wc -l < \"$1\") -ge \"$2\" || { echo busy >&2; exit 1; }";
    let tries = folder.join("tries");
    let mut action = shell(line, &[tries.to_str().unwrap(), &n.to_string()]);
    action.retry = Retry {
        times: 2,
        delay_ms: 1,
    };
    action
}

#[test]
fn what_fails_is_tried_again_only_when_told_so() {
    let tried = |action: &dyn Fn(&Path) -> Action| {
        let folder = tempfile::tempdir().unwrap();
        let done = finish(&job(action(folder.path()), &[]));
        let tries = std::fs::read_to_string(folder.path().join("tries")).unwrap();
        (
            done.status,
            done.error.unwrap_or_default(),
            tries.lines().count(),
        )
    };
    let (status, error, n) = tried(&|folder| at_try(3, folder));
    assert_eq!((status, n), (ActionStatus::Ok, 3), "{error}");
    assert!(error.starts_with("done at try 3; before that: "), "{error}");
    assert!(error.ends_with("exit status: 1: busy"), "{error}");

    let (status, error, n) = tried(&|folder| at_try(9, folder));
    assert_eq!((status, n), (ActionStatus::Failed, 3));
    assert!(error.ends_with("busy (tried 3 times)"), "{error}");

    let (status, error, n) = tried(&|folder| Action {
        retry: Retry::default(),
        ..at_try(2, folder)
    });
    assert_eq!((status, n), (ActionStatus::Failed, 1));
    assert!(error.ends_with("busy"), "{error}");
}

/// Writes down what it is told to say, and fails when it should.
#[derive(Default)]
struct Notes {
    said: Mutex<Vec<String>>,
    complaint: Option<&'static str>,
}

impl Voice for Notes {
    fn say(&self, text: &str, _: &Attempt<'_>) -> Result<(), ActionError> {
        self.said.lock().unwrap().push(text.to_owned());
        match self.complaint {
            Some(complaint) => Err(ActionError::Speech(complaint.to_owned())),
            None => Ok(()),
        }
    }
}

fn with_voice(voice: &Arc<Notes>) -> Means {
    Means {
        voice: Some(voice.clone()),
        ..Means::default()
    }
}

#[test]
fn sentences_are_spoken_with_their_slots() {
    let speak = Action::from(Kind::Speak(Speak {
        text: "Turning the {room} on".into(),
    }));
    let voice = Arc::new(Notes::default());
    let value = "\"x\"; rm -rf\nü";
    let done = run(&job(speak.clone(), &[("room", value)]), &with_voice(&voice));
    assert_eq!(done.status, ActionStatus::Ok);
    let said = format!("Turning the {value} on");
    assert_eq!(*voice.said.lock().unwrap(), [said]);

    let hoarse = Arc::new(Notes {
        complaint: Some("no such program"),
        ..Notes::default()
    });
    let done = run(&job(speak.clone(), &[]), &with_voice(&hoarse));
    assert_eq!(done.status, ActionStatus::Failed);
    assert_eq!(done.error.as_deref(), Some("no such program"));
    assert_eq!(finish(&job(speak, &[])).status, ActionStatus::Failed);
}

#[test]
fn output_goes_where_it_is_wanted() {
    let done = |output: Output, line: &str| {
        let voice = Arc::new(Notes::default());
        let action = Action {
            output,
            ..shell(line, &[])
        };
        let done = run(&job(action, &[]), &with_voice(&voice));
        let said = voice.said.lock().unwrap().clone();
        (done.status, done.output, said)
    };
    let line = "echo It is four.";
    let (_, output, said) = done(Output::Event, line);
    assert_eq!((output.as_str(), said.len()), ("It is four.\n", 0));
    let (_, output, said) = done(Output::Speak, line);
    assert_eq!(
        (output.as_str(), said),
        ("It is four.\n", vec!["It is four.".to_owned()])
    );
    let (_, output, said) = done(Output::Nowhere, line);
    assert_eq!((output.as_str(), said.len()), ("", 0));
    // Nothing to say, or nothing that went well.
    assert_eq!(done(Output::Speak, "true").2.len(), 0);
    let (status, _, said) = done(Output::Speak, "echo half; exit 1");
    assert_eq!((status, said.len()), (ActionStatus::Failed, 0));
    // A long output is not read to its end.
    let (_, _, said) = done(Output::Speak, "yes ü | head -c 9000");
    assert!((900..=1_000).contains(&said[0].len()));
}

fn runner(max_running: usize, max_waiting: usize) -> (Runner, Receiver<Completion>) {
    let (sender, receiver) = crossbeam_channel::unbounded();
    let report: OnCompletion = Arc::new(move |done: Completion| sender.send(done).unwrap());
    let options = RunnerOptions {
        max_running,
        max_waiting,
    };
    (Runner::new(options, None, report).unwrap(), receiver)
}

#[test]
fn the_runner_reports_every_job_once_and_never_waits() {
    let (runner, receiver) = runner(1, 2);
    let slow = Action::program("sleep", &["5"]);
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
    let (runner, receiver) = runner(4, 16);
    runner.submit(job(printf(&["hello"]), &[]));
    runner.shutdown(Duration::from_secs(5));
    let done = receiver.try_recv().unwrap();
    assert_eq!(
        (done.status, done.output.as_str()),
        (ActionStatus::Ok, "hello")
    );
}

/// Jobs 0, 1 and 2 of one action, which lasts until the file `go` is there, and job 9 of another;
/// the completions of 9 and of those that are not done, and then, once `go` is there, all others.
fn crowd(when_busy: WhenBusy) -> (Vec<Completion>, Vec<Completion>) {
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let began = folder.path().join("began");
    let line = "echo >> \"$2\"; while ! test -e \"$1\"; do sleep 0.01; done";
    let paths = [go.to_str().unwrap(), began.to_str().unwrap()];
    let action = Action {
        max_running: 1,
        when_busy,
        ..shell(line, &paths)
    };
    let same = job(action, &[]);
    let (runner, receiver) = runner(4, 16);
    for id in 0..3 {
        runner.submit(Job { id, ..same.clone() });
        while id == 0 && !began.exists() {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    runner.submit(Job {
        id: 9,
        ..job(printf(&["other"]), &[])
    });
    let n_early = if when_busy == WhenBusy::Wait { 1 } else { 3 };
    let early = (0..n_early).map(|_| receiver.recv_timeout(Duration::from_secs(20)).unwrap());
    let mut early: Vec<Completion> = early.collect();
    early.sort_by_key(|done| done.id);
    std::fs::write(&go, "").unwrap();
    runner.shutdown(Duration::from_secs(20));
    (early, receiver.try_iter().collect())
}

fn ids(done: &[Completion]) -> Vec<(u64, ActionStatus)> {
    done.iter().map(|done| (done.id, done.status)).collect()
}

#[test]
fn one_at_a_time_and_the_others_wait() {
    use ActionStatus::Ok;
    let (early, late) = crowd(WhenBusy::Wait);
    // The action is held up, the others are not.
    assert_eq!(ids(&early), [(9, Ok)]);
    assert_eq!(ids(&late), [(0, Ok), (1, Ok), (2, Ok)]);
}

#[test]
fn one_at_a_time_and_the_others_are_not_done() {
    use ActionStatus::{Ok, Skipped};
    let (early, late) = crowd(WhenBusy::Skip);
    assert_eq!(ids(&early), [(1, Skipped), (2, Skipped), (9, Ok)]);
    assert_eq!(early[0].error.as_deref(), Some("it is under way already"));
    assert_eq!(ids(&late), [(0, Ok)]);
}

#[test]
fn one_at_a_time_and_the_newest_is_done() {
    use ActionStatus::{Failed, Ok, Skipped};
    let (early, late) = crowd(WhenBusy::Replace);
    // The second one may have begun before the third came.
    assert!([Skipped, Failed].contains(&early[1].status), "{early:?}");
    let others = [&early[0], &early[2]].map(|done| (done.id, done.status));
    assert_eq!(others, [(0, Failed), (9, Ok)]);
    assert_eq!(early[0].error.as_deref(), Some("ended before it was done"));
    assert_eq!(ids(&late), [(2, Ok)]);
}
