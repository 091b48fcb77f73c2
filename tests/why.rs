//! `hark why`: what was noted in the ledger comes back in words, as JSON and as sound.

#![cfg(feature = "ledger")]
#![allow(clippy::unwrap_used)]

mod support;

use hark::audio::decode_file;
use hark::event::{ActionStatus, ConfirmState, Event, Seconds, WakeHeard};
use support::program::{arg, hark};
use support::utterances::{CONFIG, House, command, over, readings, rejected, slots};

fn confirm(id: u64, t: f64, state: ConfirmState) -> Event {
    Event::Confirm {
        id,
        t: Seconds(t),
        name: "door".to_owned(),
        slots: slots(&[]),
        state,
    }
}

/// An evening with hark.
fn evening() -> Vec<Event> {
    vec![
        over(
            1,
            "Turn on the kitchen lights.",
            readings(-4.0, &[("turn on the kitchen lights", -5.5)]),
        ),
        command(1, "lights", 0.0, None),
        Event::Action {
            id: 1,
            name: "lights".to_owned(),
            status: ActionStatus::Failed,
            error: Some("exit status 1".to_owned()),
            output: Some("no \u{1b}[31mbridge".to_owned()),
            ms: Some(12),
        },
        over(2, "turn on the garden lights", None),
        rejected(2, Some("lights"), Some(-0.2504), "below_threshold"),
        over(
            3,
            "True the light on",
            readings(-4.0, &[("turn on the lights", -9.0)]),
        ),
        rejected(3, Some("lights"), Some(-1.0), "below_threshold"),
        over(4, "What a lovely evening.", None),
        rejected(4, None, None, "no_match"),
        over(5, "Open the door.", None),
        confirm(5, 5.9, ConfirmState::Asked),
        over(6, "yes", None),
        confirm(5, 6.9, ConfirmState::Yes),
        command(5, "door", 0.0, None),
        over(7, "", None),
    ]
}

fn house_after_an_evening() -> House {
    let house = House::new(CONFIG);
    let ledger = house.open();
    assert!(ledger.wants_audio());
    for event in evening() {
        ledger.note(&event);
    }
    drop(ledger);
    house
}

#[test]
fn the_last_utterances_are_listed() {
    let house = house_after_an_evening();
    let list = house.why(&[]).expect(0).stdout;
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 7, "{list}");
    for (line, end) in lines.iter().zip([
        "Turn on the kitchen lights.  => lights: failed",
        "turn on the garden lights  => below_threshold: lights -0.25",
        "True the light on  => below_threshold: lights -1.00",
        "What a lovely evening.  => no_match",
        "Open the door.  => door: asked, door: yes, door",
        "yes  => yes",
        "=> no words",
    ]) {
        assert!(line.ends_with(end), "{line}");
    }
    assert!(lines[0].starts_with("1  20"), "{list}");
    assert_eq!(
        house.why(&["--last", "2"]).expect(0).stdout.lines().count(),
        2
    );
    let json = house.why(&["--json"]).expect(0).stdout;
    let all: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(all.len(), 7);
    assert_eq!(all[3]["outcome"], "no_match");
}

#[test]
fn an_utterance_is_explained() {
    let house = house_after_an_evening();
    let story = house.why(&["1"]).expect(0).stdout;
    for part in [
        "heard     \"Turn on the [kitchen?] lights.\"",
        "unsure    kitchen 0.43",
        "audio     1.000 s to 1.900 s of the run (kept: --audio FILE.wav)",
        "model     tiny.en",
        "decision  Tried, and failed: `lights` (state = on) (exit status 1). It was said word for word.",
        "action lights failed \"no [31mbridge\" in 12 ms: exit status 1",
        "  encode        85.2\n  decode       120.5\n  together     205.8\n",
        "0.00  enough   lights room = kitchen, state = on",
        "log-probability    -4.00  as transcribed",
        "-0.30  enough   log-probability    -5.50  \"turn on the kitchen lights\"  lights",
    ] {
        assert!(story.contains(part), "{part}\nis not in\n{story}");
    }
    for (id, decision) in [
        (
            "2",
            "Not carried out: the nearest command was `lights` at -0.2504, and commands.threshold asks \
             for at least -0.2500.",
        ),
        (
            "3",
            "Not carried out: the likeliest command in the audio was `lights` at -1.00, and \
             commands.heard_threshold asks for at least -0.80.",
        ),
        ("4", "Not carried out: no command resembles it."),
        (
            "5",
            "Understood: `door`, which has to be confirmed; hark asked.",
        ),
        ("6", "It was the yes to the question about utterance 5."),
        ("7", "Nothing was decided: no words were heard."),
    ] {
        let story = house.why(&[id]).expect(0).stdout;
        assert!(
            story.contains(&format!("decision  {decision}\n")),
            "{story}"
        );
    }
}

#[test]
fn an_utterance_is_explained_to_programs() {
    let house = house_after_an_evening();
    let json = house.why(&["2", "--json"]).expect(0).stdout;
    let one: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(one["id"], 2);
    assert_eq!(one["text"], "turn on the garden lights");
    assert_eq!(one["settings"]["threshold"], -0.25);
    assert_eq!(one["alternatives"][0]["name"], "lights");
    assert_eq!(one["followed"][0]["reason"], "below_threshold");
    assert_eq!(one["followed"][0]["score"], -0.2504);
    assert_eq!(one["stages"][1]["name"], "decode");
    assert!(
        one["decision"]
            .as_str()
            .unwrap()
            .contains("commands.threshold")
    );
    assert!(one["at"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn a_wake_phrase_that_was_missed_says_by_how_much() {
    let house = House::new(&CONFIG.replace("[ledger]", "[listen]\nmode = \"wake\"\n[ledger]"));
    let ledger = house.open();
    let mut event = over(1, "turn on the lights", None);
    if let Event::Final { wake, .. } = &mut event {
        *wake = Some(WakeHeard {
            phrase: "hey hark".to_owned(),
            score: -7.25,
            rest: String::new(),
        });
    }
    ledger.note(&event);
    ledger.note(&rejected(1, None, None, "not_addressed"));
    drop(ledger);
    let story = house.why(&["1"]).expect(0).stdout;
    let decision = "Not carried out: it did not begin with a wake phrase (listen.mode is \"wake\"); \
                    \"hey hark\" was in the audio at -7.25, and listen.wake_threshold asks for at least \
                    -5.00.";
    assert!(story.contains(decision), "{story}");
}

#[test]
fn audio_comes_back_as_it_was() {
    let house = house_after_an_evening();
    let file = house.folder.path().join("heard.wav");
    house.why(&["1", "--audio", arg(&file)]).expect(0);
    let samples = decode_file(&file).unwrap();
    assert_eq!(samples.len(), 1_600);
    assert!(
        samples
            .iter()
            .enumerate()
            .all(|(i, x)| (x - i as f32 / 3_200.0).abs() < 1e-4)
    );
}

#[test]
fn what_is_not_there_is_said() {
    let ran = hark(&["why", "--ledger", "nowhere.sqlite"]).expect(2);
    let complaint = ran.complaint();
    assert!(
        complaint.contains("there is no ledger in nowhere.sqlite"),
        "{complaint}"
    );

    let none = House::new("[ledger]\nfile = \"none.sqlite\"");
    let ran = none.why(&[]).expect(2);
    assert!(
        ran.complaint()
            .contains("set enabled = true under [ledger] in "),
        "{}",
        ran.stderr
    );

    let house = House::new(CONFIG);
    let ran = house.why(&["1"]).expect(2);
    assert!(
        ran.complaint().contains("`hark run` begins it"),
        "{}",
        ran.stderr
    );
    house.open();
    assert_eq!(house.why(&[]).expect(0).stdout, "nothing was heard yet\n");
    let house = house_after_an_evening();
    let ran = house.why(&["99"]).expect(2);
    assert!(
        ran.complaint().contains("no utterance 99"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.complaint().contains("the last one is 7"),
        "{}",
        ran.stderr
    );
    for args in [
        &["x"][..],
        &["--last", "0"],
        &["--audio", "x.wav"],
        &["1", "--last", "2"],
    ] {
        house.why(args).expect(2).complaint();
    }
    std::fs::write(house.path(), [0x5a; 9_000]).unwrap();
    let ran = house.why(&[]).expect(5);
    assert!(ran.complaint().contains("is damaged"), "{}", ran.stderr);
}
