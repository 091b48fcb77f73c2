//! The shipped configurations: every example compiles and understands what it says it does, and
//! the coffee grammar understands the orders people spoke, as text.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hark::command::{Match, Matcher};
use hark::config::Config;
use support::{model, root};

fn matcher(file: &str) -> Matcher {
    let config = Config::load(Some(&root().join(file))).unwrap();
    Matcher::new(config.commands.grammar, config.commands.matching)
}

/// `name slot=value …`, or `-` and the reason.
fn understood(matcher: &Matcher, text: &str) -> String {
    match matcher.match_text(text) {
        Match::Accepted { name, slots, .. } => {
            let slots: String = slots.iter().map(|(k, v)| format!(" {k}={v}")).collect();
            name + &slots
        }
        Match::Rejected { reason, .. } => format!("- {}", reason.as_str()),
    }
}

#[test]
fn every_example_loads() {
    let mut files: Vec<PathBuf> = vec![root().join("config.toml")];
    for folder in ["examples", "examples/demo"] {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        files.extend(paths.filter(|path| path.extension().is_some_and(|e| e == "toml")));
    }
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let config = Config::load(Some(&file)).unwrap();
        assert!(
            config.commands.grammar.n_commands() > 0,
            "{}",
            file.display()
        );
    }
}

#[test]
fn examples_understand_their_commands() {
    for (file, text, expected) in [
        ("config.toml", "What time is it?", "time"),
        ("config.toml", "What's today's date?", "date"),
        (
            "config.toml",
            "Turn on the living room lights.",
            "lights room=living room state=on",
        ),
        (
            "config.toml",
            "Dim the kitchen light to 30%.",
            "dim level=30 room=kitchen",
        ),
        (
            "examples/demo/config.toml",
            "Can I get a single shot small coffee with lots of brown sugar?",
            "coffee drink=coffee extra=lots of brown sugar shots=single shot size=small",
        ),
        (
            "examples/home.toml",
            "Turn off all of the lights in the office.",
            "lights room=office state=off",
        ),
        (
            "examples/home.toml",
            "Set bed light brightness to 50 percent",
            "brightness lamp=bed light level=50",
        ),
        (
            "examples/home.toml",
            "Set kitchen lights to green",
            "colour colour=green room=kitchen",
        ),
        (
            "examples/home.toml",
            "What's the outdoor humidity?",
            "sensor quantity=humidity where=outdoor",
        ),
        (
            "examples/home.toml",
            "Is the garage door open?",
            "is-door condition=open door=garage door",
        ),
        (
            "examples/home.toml",
            "Add apples to my shopping list.",
            "shopping item=apples",
        ),
        (
            "examples/home.toml",
            "What's the date today?",
            "clock asked=date",
        ),
        (
            "examples/home.toml",
            "Skip on TV.",
            "music player=tv verb=next",
        ),
        (
            "examples/home.toml",
            "Set a timer for 5 minutes.",
            "set-timer amount=5 unit=minutes",
        ),
        (
            "examples/home.toml",
            "set a timer for ten minutes",
            "set-timer amount=10 unit=minutes",
        ),
        ("examples/home.toml", "Pause timer.", "timer verb=pause"),
        ("examples/home.toml", "timer status", "timer verb=status"),
        ("examples/home.toml", "Pause.", "music verb=pause"),
        ("examples/home.toml", "Next song.", "music verb=next"),
        ("examples/home.toml", "skip this track", "music verb=next"),
        (
            "examples/home.toml",
            "Play the next song!",
            "music verb=next",
        ),
        ("examples/home.toml", "next", "music verb=next"),
        ("examples/home.toml", "next song pause", "-"),
        (
            "examples/home.toml",
            "What is the timer status?",
            "timer verb=status",
        ),
        ("examples/home.toml", "what is the timer show", "-"),
        (
            "examples/home.toml",
            "Turn on the lamp.",
            "lights lamp=floor lamp state=on",
        ),
        (
            "examples/home.toml",
            "Lower the blinds",
            "blinds motion=close",
        ),
        (
            "examples/home.toml",
            "Turn the volume up",
            "volume direction=up",
        ),
        (
            "examples/desktop.toml",
            "Open my web browser",
            "open application=browser",
        ),
        ("examples/desktop.toml", "volume 40", "volume level=40"),
        ("examples/desktop.toml", "Mute!", "mute value=1"),
        (
            "examples/desktop.toml",
            "unmute the speakers",
            "mute value=0",
        ),
        (
            "examples/desktop.toml",
            "Turn the sound off.",
            "mute value=1",
        ),
        (
            "examples/desktop.toml",
            "Turn on the sound.",
            "mute value=0",
        ),
        ("examples/desktop.toml", "Off.", "-"),
        ("examples/desktop.toml", "on", "-"),
        (
            "examples/desktop.toml",
            "go to desktop three",
            "workspace number=3",
        ),
        ("examples/desktop.toml", "lock the screen", "lock"),
        (
            "examples/desktop.toml",
            "Skip ahead 30 seconds.",
            "player seconds=30",
        ),
        (
            "examples/captions.toml",
            "Pause the captions.",
            "captions order=pause",
        ),
        (
            "examples/captions.toml",
            "Turn the subtitles off!",
            "captions order=pause",
        ),
        (
            "examples/captions.toml",
            "Set the caption size to 150%",
            "caption-size percent=150",
        ),
        (
            "examples/captions.toml",
            "Make the captions bigger.",
            "caption-size percent=120",
        ),
        ("examples/captions.toml", "Bookmark this moment", "bookmark"),
    ] {
        let got = understood(&matcher(file), text);
        assert!(
            got == expected || (expected == "-" && got.starts_with('-')),
            "{text}: {got}"
        );
    }
}

#[test]
fn examples_leave_other_talk_alone() {
    for file in [
        "config.toml",
        "examples/home.toml",
        "examples/desktop.toml",
        "examples/captions.toml",
        "examples/coffee.toml",
        "examples/demo/config.toml",
    ] {
        let matcher = matcher(file);
        for text in [
            "Hold on, hold fast, hold out; patience is genius.",
            "The elusive Kate Ferris, the mysterious Kate Ferris.",
            "This is a test.",
            "Play the Beatles.",
            "I never drink coffee without sugar in the morning.",
            "He turned on the light in the kitchen and went out.",
            "We should open the window, it is hot in the bedroom.",
        ] {
            let got = understood(&matcher, text);
            assert!(got.starts_with('-'), "{file}: {text}: {got}");
        }
    }
}

/// A recording's reference text and what it means.
struct Order {
    text: String,
    intent: String,
    slots: BTreeMap<String, String>,
}

/// The lines of a manifest that have an intent.
fn orders(manifest: &Path) -> Vec<Order> {
    let text = fs::read_to_string(manifest).unwrap();
    let rows = text
        .lines()
        .skip(1)
        .map(|line| line.split('\t').collect::<Vec<_>>());
    let labelled = rows.filter(|row| row[3] == "command" && row[8].contains("intent"));
    labelled
        .map(|row| {
            let labels: serde_json::Value = serde_json::from_str(row[8]).unwrap();
            let slots = labels["slots"].as_object().unwrap().iter();
            let trimmed = slots.map(|(k, v)| (k.clone(), v.as_str().unwrap().trim().to_owned()));
            Order {
                text: row[5].to_owned(),
                intent: labels["intent"].as_str().unwrap().to_owned(),
                slots: trimmed.collect(),
            }
        })
        .collect()
}

/// How many of `orders` are understood with the right intent and exactly the right slots.
fn count_right(orders: &[Order]) -> usize {
    let matcher = matcher("examples/coffee.toml");
    let is_right = |order: &&Order| match matcher.match_text(&order.text) {
        Match::Accepted { name, slots, .. } if name == order.intent && slots == order.slots => true,
        other => {
            eprintln!("{}: {other:?}", order.text);
            false
        }
    };
    orders.iter().filter(is_right).count()
}

#[test]
fn shipped_coffee_orders_are_understood_as_text() {
    let orders = orders(&root().join("tests/data/speech/manifest.tsv"));
    assert!(orders.len() >= 5);
    assert_eq!(count_right(&orders), orders.len());
}

#[test]
fn more_coffee_orders_are_understood_as_text() {
    let Some(folder) = std::env::var_os("HARK_SPEECH_DATA") else {
        eprintln!("skipped: HARK_SPEECH_DATA names no folder with a manifest.tsv");
        return;
    };
    let orders = orders(&Path::new(&folder).join("manifest.tsv"));
    let right = count_right(&orders);
    eprintln!("{right} of {} orders right", orders.len());
    assert!(right * 100 >= orders.len() * 95);
}

#[test]
fn misheard_coffee_orders_are_understood() {
    let matcher = matcher("examples/coffee.toml");
    for (text, expected) in [
        (
            "Can I have an ice mocha?",
            "orderDrink coffeeDrink=iced mocha",
        ),
        (
            "I'd like a 12-ounce light roast capuccino with some skim milk.",
            "orderDrink coffeeDrink=cappuccino milkAmount=some skim milk roast=light roast size=twelve ounce",
        ),
        (
            "Brew me a medium, medium roast Americano with sugar and a bit of almond milk",
            "orderDrink coffeeDrink=americano milkAmount=a bit of almond milk roast=medium roast size=medium sugarAmount=sugar",
        ),
        (
            "Get me a 20oz house coffee please.",
            "orderDrink coffeeDrink=house coffee size=twenty ounce",
        ),
    ] {
        assert_eq!(understood(&matcher, text), expected, "{text}");
    }
}

fn hark(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hark"));
    command.current_dir(root()).args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_command_line_tests_a_text() {
    let args = [
        "commands",
        "test",
        "dim the kitchen lights to 20 %",
        "--json",
    ];
    let output = hark(&args);
    let got: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(got["command"], "dim", "{got}");
    assert_eq!(
        got["slots"],
        serde_json::json!({"level": "20", "room": "kitchen"})
    );
    assert_eq!(
        got["action"],
        serde_json::json!(["echo", "lights 20 % kitchen"])
    );
    assert_eq!(got["score"], 0.0);

    let output = hark(&["commands", "test", "hello there"]);
    assert_eq!(stdout(&output), "rejected: no_match\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_text_is_tested_as_it_would_be_heard() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    let text = "[listen]\nmode = 'wake'\nwake_phrases = ['okay']\n[timers]\nenabled = true\n\
                [[command]]\nname = 'door'\nconfirm = true\nsentences = ['open the door']\n";
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let both = "open the door and set a timer for five minutes";
    let output = stdout(&hark(&["commands", "test", both, "--config", file]));
    let lines: Vec<&str> = output.lines().map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "door  score 0.00",
            "asks first",
            "timer.set  score 0.00",
            "length = 300"
        ]
    );
    let output = hark(&["commands", "check", "--config", file]);
    let lines = stdout(&output);
    assert!(
        lines.contains(&format!("{file}:3: warning: the wake phrase \"okay\"")),
        "{lines}"
    );
    assert!(
        lines.ends_with("1 commands, 1 sentences: no mistakes\n"),
        "{lines}"
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_command_line_lists_and_checks() {
    let text = stdout(&hark(&[
        "commands",
        "list",
        "--config",
        "examples/coffee.toml",
    ]));
    assert!(
        text.starts_with("orderDrink  (examples/coffee.toml:"),
        "{text}"
    );
    let list = stdout(&hark(&["commands", "list", "--json"]));
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list[0]["name"], "time");

    let output = hark(&["commands", "check"]);
    assert!(
        stdout(&output).ends_with("sentences: no mistakes\n"),
        "{output:?}"
    );

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    let text = "[[command]]\nname = 'a'\nsentences = ['go {x}', '(b']\n";
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let output = hark(&["commands", "check", "--config", file]);
    assert_eq!(output.status.code(), Some(2));
    let text = stdout(&output);
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(
        text.starts_with(&format!("{file}:3: sentence `go {{x}}`, column 4: ")),
        "{text}"
    );

    let output = hark(&["commands", "list", "--config", file]);
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(
        message.contains("(and 1 more: hark commands check)"),
        "{message}"
    );
}

#[test]
fn the_check_tells_what_was_probably_not_meant() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        let output = hark(&["commands", "check", "--config", file.to_str().unwrap()]);
        (output.status.code(), stdout(&output))
    };
    let (code, text) = check(
        "[[command]]\nname = 'a'\nsentences = ['go [home] now', 'x']\n\
         [[command]]\nname = 'b'\nsentences = ['(Go|run) now']\n\
         [[command]]\nname = 'a'\nsentences = ['y']\n",
    );
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("c.toml:6: command `b`: \"go now\" is also said for `a`"),
        "{text}"
    );
    assert!(text.contains("c.toml:7: the name `a` is taken"), "{text}");
    let (code, text) = check(
        "[[command]]\nname = 'a'\nsentences = ['go']\naction = { program = 'no-such-program' }\n\
         [[command]]\nname = 'b'\nsentences = ['run']\naction = { program = './none', cwd = 'void' }\n\
         [lists]\nx = ['y']\n[rules]\nz = 'z'\n",
    );
    assert_eq!(code, Some(0), "{text}");
    for expected in [
        "c.toml:1: warning: command `a`: the program `no-such-program` is not found in PATH",
        "c.toml:5: warning: command `b`: there is no program /",
        "/void to run in",
        "c.toml:10: warning: no sentence uses the list `x`",
        "c.toml:12: warning: no sentence uses the rule `z`",
        "no mistakes",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn the_check_compares_what_can_be_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    let text = "[[command]]\nname = 'call'\nsentences = ['ring {who} up']\n\
                [[command]]\nname = 'jon'\nsentences = [\n'ring mum up',\n'stop']\n\
                [lists]\nwho = ['Jon',\n'John']\n";
    fs::write(&file, text).unwrap();
    let output = hark(&["commands", "check", "--config", file.to_str().unwrap()]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for expected in [
        "c.toml:8: warning: command `jon`: \"stop\" is said every day",
        "c.toml:11: warning: list `who`: \"jon\" and \"john\" sound alike",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    // The examples are no bad ones.
    for file in [
        "examples/coffee.toml",
        "examples/desktop.toml",
        "examples/home.toml",
    ] {
        let output = hark(&["commands", "check", "--config", file]);
        let text = stdout(&output);
        assert!(text.ends_with(": no mistakes\n"), "{file}: {text}");
        assert!(!text.contains("sound"), "{file}: {text}");
    }
}

/// Whatever is drawn from a configuration is understood as the command it was drawn from.
#[test]
fn samples_are_understood_as_their_commands() {
    for file in [
        "config.toml",
        "examples/home.toml",
        "examples/desktop.toml",
        "examples/coffee.toml",
    ] {
        let output = hark(&[
            "commands", "sample", "--config", file, "--count", "200", "--seed", "5", "--json",
        ]);
        let all: Vec<serde_json::Value> = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(all.len(), 200, "{file}");
        let matcher = matcher(file);
        for sampled in all {
            let text = sampled["text"].as_str().unwrap();
            let name = understood(&matcher, text);
            let name = name.split(' ').next().unwrap();
            assert_eq!(sampled["command"], name, "{file}: {text}");
        }
    }
    let draw = |seed: &str| {
        let args = ["commands", "sample", "--seed", seed, "--command", "lights"];
        stdout(&hark(&args))
    };
    assert_eq!(draw("1"), draw("1"));
    assert_ne!(draw("1"), draw("2"));
    assert!(draw("3").lines().all(|line| line.starts_with("lights ")));
    let output = hark(&["commands", "sample", "--command", "light"]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("did you mean lights?"), "{message}");
}

#[test]
fn calibration_says_what_it_needs() {
    let config = "examples/coffee.toml";
    let table = "tests/data/speech/manifest.tsv";
    for (args, code, part) in [
        (&["--positives", "."][..], 2, "--negatives"),
        (&["--negatives", ".", "--budget", "ten"][..], 2, "1/10h"),
        (&["--negatives", "src"][..], 5, "no recordings there"),
        (
            &[
                "--negatives",
                "src",
                "--labels",
                table,
                "--where",
                "speeker=x",
                "--positives",
                "tests/data/speech/command",
            ][..],
            2,
            "has no column speeker",
        ),
    ] {
        let mut all = vec!["commands", "calibrate", "--config", config];
        all.extend(args);
        let output = hark(&all);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {message}");
        assert!(message.contains(part), "{args:?}: {message}");
    }
}

/// From recordings to thresholds, a table and a picture.
#[test]
fn calibration_of_a_few_recordings() {
    if model("tiny.en").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("trade-off.svg");
    let output = hark(&[
        "commands",
        "calibrate",
        "--config",
        "examples/coffee.toml",
        "--negatives",
        "tests/data/speech/dictation/dictation_en_0005.flac",
        "--positives",
        "tests/data/speech/command/command_en_0003.flac",
        "--labels",
        "tests/data/speech/manifest.tsv",
        "--svg",
        picture.to_str().unwrap(),
        "--json",
    ]);
    let text = stdout(&output);
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(found["result"]["labelled"], 1, "{text}");
    assert_eq!(found["result"]["acceptance"], 1.0, "{text}");
    assert_eq!(found["result"]["false_accepts"], 0, "{text}");
    assert_eq!(found["proven"], false, "{text}");
    assert!(found["utterances"].as_u64().unwrap() > 0, "{text}");
    let picture = fs::read_to_string(&picture).unwrap();
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
}

/// What an action finds in its environment: every slot, and none of another hark.
#[test]
fn actions_find_every_slot_in_their_environment() {
    if model("tiny.en").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    let line = r#"printf "%s|%s|%s" "$HARK_SLOT_DRINK" "${HARK_SLOT_SIZE-unset}" "${HARK_SLOT_GHOST-unset}""#;
    let text = format!(
        "[[command]]\nname = 'a'\nsentences = ['[(can|may) i] (have|get|want) [a] [{{size}}] [{{shots}} shot] {{drink}} [with a bit of milk]']\n\
         action = {{ shell = true, program = '{line}' }}\n\
         [lists]\nsize = ['small']\nshots = ['triple']\ndrink = ['mocha']\n"
    );
    fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hark"));
    command.current_dir(root()).env("HARK_SLOT_GHOST", "boo");
    command.args(["replay", "--act", "--config", file.to_str().unwrap()]);
    let clip = "tests/data/speech/command/command_en_0003.flac";
    let output = stdout(&command.arg(clip).output().unwrap());
    let last: serde_json::Value = serde_json::from_str(output.lines().last().unwrap()).unwrap();
    assert_eq!(last["output"], "mocha||unset", "{output}");
}

/// The demo's promise: of what is said in its recording, the last sentence is done, and only that.
#[test]
fn the_demo_ends_with_its_command() {
    if model("tiny.en").is_none() {
        return;
    }
    let output = hark(&[
        "replay",
        "examples/demo/demo.flac",
        "--config",
        "examples/demo/config.toml",
        "--act",
    ]);
    let text = stdout(&output);
    let events: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event: &serde_json::Value| {
            ["command", "rejected", "action"].contains(&event["type"].as_str().unwrap())
        })
        .collect();
    let n = events.len();
    assert!(n >= 3, "{text}");
    let (talk, last) = events.split_at(n - 2);
    assert!(
        talk.iter().all(|event| event["type"] == "rejected"),
        "{text}"
    );
    assert_eq!(
        last[0]["slots"],
        serde_json::json!({
            "drink": "coffee",
            "size": "small",
            "shots": "single shot",
            "extra": "lots of brown sugar",
        }),
        "{text}"
    );
    assert_eq!(last[1]["status"], "ok", "{text}");
}
