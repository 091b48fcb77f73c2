//! The responder: its thread with a model of random weights, and questions out of a recording through the program.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use hark::event::Seconds;
use hark::format::LlamaFile;
use hark::kernels::{Cpu, Exec};
use hark::llama::{Answerer, Chat, Llama};
use hark::place::Place;
use hark::respond::{
    Callable, Manners, Question, Responder, ResponderOptions, ResponderSetup, Said,
};
use hark::text::LlamaTokenizer;
use support::made_up::MadeUp;
use support::program::{arg, hark};
use support::{model, root};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A responder whose model says random things, and what it says.
struct Speaking {
    responder: Responder,
    said: mpsc::Receiver<Said>,
    n_loads: Arc<AtomicUsize>,
    busy: Arc<AtomicBool>,
}

impl Speaking {
    fn new(options: ResponderOptions) -> Speaking {
        let n_loads = Arc::new(AtomicUsize::new(0));
        let loads = n_loads.clone();
        let (max_tokens, n_ctx) = (options.max_tokens, options.context_tokens);
        let load = move || {
            loads.fetch_add(1, Ordering::SeqCst);
            let folder = tempfile::tempdir().unwrap();
            let file = LlamaFile::open(&MadeUp::new("llama", 1).written(folder.path())).unwrap();
            let exec = Exec::new(Cpu::detect(), 1);
            let tokenizer = LlamaTokenizer::new(file.vocabulary()).unwrap();
            let chat = Chat::new(Some("{{ messages[-1].content }}"), &tokenizer).unwrap();
            let model = Llama::load(&file, exec.cpu(), None).unwrap();
            Ok(Answerer::new(
                model,
                tokenizer,
                chat,
                exec,
                (n_ctx, max_tokens),
            ))
        };
        let setup = ResponderSetup {
            options,
            load: Arc::new(load),
            callable: Callable::default(),
        };
        let busy = Arc::new(AtomicBool::new(false));
        let is_busy = busy.clone();
        let manners = Manners {
            settle: || {},
            busy: Arc::new(move || is_busy.load(Ordering::SeqCst)),
        };
        let (report, said) = mpsc::channel();
        let report = Arc::new(move |what| drop(report.send(what)));
        Speaking {
            responder: Responder::new(&setup, manners, report).unwrap(),
            said,
            n_loads,
            busy,
        }
    }

    fn next(&self) -> Said {
        self.said.recv_timeout(PATIENCE).unwrap()
    }

    /// Nothing is said for a while.
    fn is_silent(&self) -> bool {
        self.said.recv_timeout(Duration::from_millis(100)).is_err()
    }

    /// The answer to a question that is asked, to its end.
    fn answer(&self, id: u64) -> String {
        let mut answer = String::new();
        loop {
            match self.next() {
                Said::Piece { id: of, text } if of == id => answer.push_str(&text),
                Said::Done { id: of } if of == id => return answer,
                other => panic!("{other:?}"),
            }
        }
    }
}

fn options(max_tokens: usize) -> ResponderOptions {
    ResponderOptions {
        enabled: true,
        max_tokens,
        context_tokens: 4 * max_tokens,
        prefix_file: Place::Nowhere,
        history_turns: 0,
        ..ResponderOptions::default()
    }
}

fn question(id: u64) -> Question {
    Question {
        id,
        t: Seconds(id as f64),
        text: format!("{id}"),
        ..Question::default()
    }
}

#[test]
fn what_is_foreseen_is_said_when_it_is_asked_and_not_before() {
    let speaking = Speaking::new(options(20));
    speaking.responder.ask(question(1));
    let expected = speaking.answer(1);
    assert!(!expected.is_empty());
    speaking.responder.foresee(question(1));
    assert!(speaking.is_silent());
    speaking.responder.ask(question(1));
    assert_eq!(speaking.answer(1), expected);
    // Foreseen, and not meant.
    speaking.responder.foresee(question(2));
    speaking.responder.drop_question();
    assert!(speaking.is_silent());
    // Foreseen, and something else was asked.
    speaking.responder.foresee(question(3));
    speaking.responder.ask(question(1));
    assert_eq!(speaking.answer(1), expected);
    assert!(speaking.is_silent());
}

#[test]
fn an_answer_ends_at_once_when_it_is_dropped_or_another_is_asked() {
    // It would take minutes.
    let speaking = Speaking::new(ResponderOptions {
        timeout_s: 600.0,
        ..options(100_000)
    });
    speaking.responder.ask(question(1));
    assert!(matches!(speaking.next(), Said::Piece { id: 1, .. }));
    let asked = Instant::now();
    speaking.responder.drop_question();
    while speaking.next() != (Said::Done { id: 1 }) {}
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    speaking.responder.ask(question(2));
    assert!(matches!(speaking.next(), Said::Piece { id: 2, .. }));
    speaking.responder.ask(question(3));
    while speaking.next() != (Said::Done { id: 2 }) {}
    assert!(matches!(speaking.next(), Said::Piece { id: 3, .. }));
    let asked = Instant::now();
    drop(speaking.responder);
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
}

#[test]
fn others_go_first_and_time_is_bounded() {
    let speaking = Speaking::new(ResponderOptions {
        timeout_s: 1.0,
        ..options(100_000)
    });
    speaking.busy.store(true, Ordering::SeqCst);
    speaking.responder.ask(question(1));
    assert!(speaking.is_silent());
    speaking.busy.store(false, Ordering::SeqCst);
    assert!(matches!(speaking.next(), Said::Piece { id: 1, .. }));
    let begun = Instant::now();
    while speaking.next() != (Said::Done { id: 1 }) {}
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_model_that_nobody_asks_is_unloaded() {
    let speaking = Speaking::new(ResponderOptions {
        unload_after_s: 0.05,
        ..options(10)
    });
    speaking.responder.ask(question(1));
    let first = speaking.answer(1);
    std::thread::sleep(Duration::from_millis(500));
    speaking.responder.ask(question(1));
    assert_eq!(speaking.answer(1), first);
    assert_eq!(speaking.n_loads.load(Ordering::SeqCst), 2);
}

#[test]
fn other_options_take_over_without_loading_the_model_again() {
    let mut speaking = Speaking::new(options(10));
    speaking.responder.ask(question(1));
    let first = speaking.answer(1);
    let mut setup = speaking.responder.setup().clone();
    setup.options.system = "b a b a b a b".to_owned();
    assert!(setup.has_model_of(speaking.responder.setup()));
    speaking.responder.renew(&setup);
    assert!(*speaking.responder.setup() == setup);
    // The template of this model has no place for the system prompt.
    speaking.responder.ask(question(2));
    assert!(!speaking.answer(2).is_empty());
    speaking.responder.ask(question(1));
    assert_eq!(speaking.answer(1), first);
    assert_eq!(speaking.n_loads.load(Ordering::SeqCst), 1);
    setup.options.model = "another".to_owned();
    assert!(!setup.has_model_of(speaking.responder.setup()));
}

#[test]
fn a_model_that_cannot_be_loaded_is_an_answer_that_fails() {
    let setup = ResponderSetup {
        options: options(10),
        load: Arc::new(|| Err("no such model".to_owned())),
        callable: Callable::default(),
    };
    let manners = Manners {
        settle: || {},
        busy: Arc::new(|| false),
    };
    let (report, said) = mpsc::channel();
    let report = Arc::new(move |what| drop(report.send(what)));
    let responder = Responder::new(&setup, manners, report).unwrap();
    responder.ask(question(7));
    let error = "no such model".to_owned();
    assert_eq!(
        said.recv_timeout(PATIENCE).unwrap(),
        Said::Failed { id: 7, error }
    );
}

/// The demo's configuration with a responder.
fn configured(settings: &str) -> tempfile::NamedTempFile {
    let demo = std::fs::read_to_string(root().join("examples/demo/config.toml")).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let responder = "[responder]\nenabled = true\nmax_tokens = 24\nprefix_file = ''\n";
    std::fs::write(file.path(), format!("{responder}{settings}\n{demo}")).unwrap();
    file
}

#[test]
fn what_is_no_command_in_a_recording_is_answered_the_same_each_time() {
    let (Some(_), Some(_)) = (model("tiny.en"), model("smollm2")) else {
        return;
    };
    let config = configured("");
    let demo = root().join("examples/demo/demo.flac");
    let replay = |threads: &str| {
        let args = [
            "--threads",
            threads,
            "replay",
            "--config",
            arg(config.path()),
            arg(&demo),
        ];
        hark(&args).expect(0)
    };
    let first = replay("1");
    let events = first.json_lines();
    let of = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
    assert!(of("question") >= 2, "{}", first.stdout);
    assert!(of("reply") > 2 * of("question"), "{}", first.stdout);
    assert_eq!(of("command"), 1, "the order for coffee");
    // Every answer comes to its end, behind its question.
    let done = |event: &&serde_json::Value| event["type"] == "reply" && event["done"] == true;
    assert_eq!(events.iter().filter(done).count(), of("question"));
    assert_eq!(replay("2").stdout, first.stdout);
}

#[test]
fn a_responder_that_cannot_be_is_said_at_once() {
    if model("tiny.en").is_none() {
        return;
    }
    let config = configured("model = 'no-such-model'");
    let demo = root().join("examples/demo/demo.flac");
    let ran = hark(&["replay", "--config", arg(config.path()), arg(&demo)]).expect(3);
    assert!(
        ran.complaint().contains("no-such-model"),
        "{}",
        ran.complaint()
    );
}
