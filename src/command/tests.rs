//! The way from templates to a decision, without files.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::*;

fn sentence(template: &str) -> Sentence {
    Sentence {
        template: template.to_owned(),
        origin: Origin::default(),
    }
}

fn values(all: &[(&str, Option<&str>)]) -> ListSpec {
    let value = |(spoken, value): &(&str, Option<&str>)| ListValue {
        spoken: sentence(spoken),
        value: value.map(str::to_owned),
        ..ListValue::default()
    };
    ListSpec::Values(all.iter().map(value).collect())
}

fn command(name: &str, sentences: &[&str]) -> CommandSpec {
    CommandSpec {
        name: name.to_owned(),
        sentences: sentences.iter().map(|s| sentence(s)).collect(),
        ..CommandSpec::default()
    }
}

/// A few commands with the lists and rules that the tests use.
fn spec(commands: Vec<CommandSpec>) -> GrammarSpec {
    let rooms = [
        ("kitchen", None),
        ("bedroom", None),
        ("(living|sitting) room", Some("lounge")),
    ];
    let step = ListSpec::Range(NumberRange {
        step: 5,
        ..NumberRange::new(0, 100)
    });
    let milk = values(&[("[(a bit of|some)] (soy |)milk", None)]);
    GrammarSpec {
        commands,
        lists: BTreeMap::from([
            ("room".to_owned(), values(&rooms)),
            ("state".to_owned(), values(&[("on", None), ("off", None)])),
            ("step".to_owned(), step),
            ("milk".to_owned(), milk),
        ]),
        rules: BTreeMap::from([("turn".to_owned(), sentence("(turn|switch)"))]),
        ..GrammarSpec::default()
    }
}

fn matcher(commands: Vec<CommandSpec>) -> Matcher {
    let mut errors = Vec::new();
    let grammar = Grammar::compile(&spec(commands), &mut errors);
    assert!(errors.is_empty(), "{errors:?}");
    Matcher::new(Arc::new(grammar), MatchOptions::default())
}

/// `name slot=value …`, or `- reason`.
fn understood(matcher: &Matcher, text: &str) -> String {
    match matcher.match_text(text) {
        Match::Accepted { name, slots, .. } => {
            let slots = slots.iter().map(|(k, v)| format!(" {k}={v}"));
            name + &slots.collect::<String>()
        }
        Match::Rejected { reason, .. } => format!("- {}", reason.as_str()),
    }
}

fn lights() -> Matcher {
    matcher(vec![
        command(
            "lights",
            &[
                "<turn> {state} [the] [{room}] light[s]",
                "[the] {room:place} light[s] {state}",
            ],
        ),
        command("dim", &["set [the] {room} to {0..100:level} percent"]),
        command("step", &["volume {step}"]),
        command("stop", &["stop"]),
    ])
}

#[test]
fn templates_match_exactly() {
    let m = lights();
    for (text, expected) in [
        (
            "Turn on the kitchen lights.",
            "lights room=kitchen state=on",
        ),
        ("switch off light", "lights state=off"),
        (
            "The sitting-room lights: OFF!",
            "lights place=lounge state=off",
        ),
        ("set the bedroom to 50%", "dim level=50 room=bedroom"),
        (
            "set bedroom to one hundred percent",
            "dim level=100 room=bedroom",
        ),
        ("volume 25", "step step=25"),
        ("Stop.", "stop"),
    ] {
        assert_eq!(understood(&m, text), expected, "{text}");
        let Match::Accepted { score, .. } = m.match_text(text) else {
            panic!()
        };
        assert_eq!(score, 0.0, "{text}");
    }
}

#[test]
fn near_texts_match() {
    let m = lights();
    for (text, expected) in [
        (
            "please turn on the kitchen light",
            "lights room=kitchen state=on",
        ),
        (
            "could you turn off the living room lights",
            "lights room=lounge state=off",
        ),
        ("turn on the kichen lights", "lights room=kitchen state=on"),
        (
            "turn on the bed room lights",
            "lights room=bedroom state=on",
        ),
        (
            "turn on the livingroom lights",
            "lights room=lounge state=on",
        ),
        ("um, turn, uh, on the lights", "lights state=on"),
    ] {
        assert_eq!(understood(&m, text), expected, "{text}");
        let Match::Accepted { score, .. } = m.match_text(text) else {
            panic!()
        };
        assert!((-0.25..0.01).contains(&score), "{text}: {score}");
    }
}

#[test]
fn everything_else_is_rejected_with_a_reason() {
    let m = lights();
    for (text, expected) in [
        ("", "- no_match"),
        ("hello there", "- no_match"),
        (
            "once upon a time there was a king who lived in a castle",
            "- no_match",
        ),
        ("do not turn on the lights", "- no_match"),
        ("turn on the garden lights", "- below_threshold"),
        ("turn the lights", "- no_match"),
        ("volume 23", "- no_match"),
        ("set the bedroom to 101 percent", "- no_match"),
        ("set the bedroom to fifty", "- below_threshold"),
        ("unstop", "- no_match"),
        ("I told him to stop it", "- no_match"),
        ("please stop", "stop"),
    ] {
        let got = understood(&m, text);
        let accepted = !expected.starts_with('-');
        assert_eq!(got.starts_with('-'), !accepted, "{text}: {got}");
    }
}

#[test]
fn numbers_are_never_approximate() {
    let m = matcher(vec![command("step", &["volume fifteen please now"])]);
    assert!(understood(&m, "volume 50 please now").starts_with('-'));
    assert_eq!(understood(&m, "volume 15 please now"), "step");
}

#[test]
fn a_word_that_fits_nowhere_is_not_swallowed() {
    let m = matcher(vec![command(
        "order",
        &["[a] medium [light roast] soy latte with lots of sugar"],
    )]);
    assert_eq!(
        understood(&m, "a medium soy latte with lots of sugar"),
        "order"
    );
    // Neither as a part of its neighbour nor, in a long sentence, as a trifle.
    for text in [
        "a medium row soy latte with lots of sugar",
        "a medium elephant soy latte with lots of sugar",
        "a medium not soy latte with lots of sugar",
    ] {
        assert!(understood(&m, text).starts_with('-'), "{text}");
    }
}

#[test]
fn permutations_take_any_order() {
    let m = matcher(vec![command("make", &["make ([{room}];[{state}];now)"])]);
    assert_eq!(
        understood(&m, "make on now kitchen"),
        "make room=kitchen state=on"
    );
    assert_eq!(understood(&m, "make now"), "make");
    assert_eq!(
        understood(&m, "make kitchen on now"),
        "make room=kitchen state=on"
    );
    assert!(understood(&m, "make kitchen bedroom now").starts_with('-'));
}

#[test]
fn values_stand_for_themselves_as_spoken() {
    let m = matcher(vec![command("milk", &["with {milk}"])]);
    assert_eq!(
        understood(&m, "With a bit of soy milk"),
        "milk milk=a bit of soy milk"
    );
    assert_eq!(understood(&m, "with milk"), "milk milk=milk");
}

#[test]
fn brackets_inside_words_and_around_spaces() {
    let m = matcher(vec![command(
        "a",
        &["lawn[ ]mow(er|ing) [the ]job {step}[%| percent]"],
    )]);
    for text in [
        "lawnmower job 5",
        "lawn mowing the job 10%",
        "lawn mower job ten percent",
    ] {
        assert!(understood(&m, text).starts_with("a step="), "{text}");
    }
}

#[test]
fn possessives_follow_lists() {
    let m = matcher(vec![command("a", &["what's {room}['s] {state:s}"])]);
    assert_eq!(
        understood(&m, "What is kitchen's on"),
        "a room=kitchen s=on"
    );
    assert_eq!(understood(&m, "what's kitchen on"), "a room=kitchen s=on");
}

#[test]
fn the_more_literal_command_wins_and_equals_are_ambiguous() {
    let both = |first: &str, second: &str| {
        matcher(vec![
            command("first", &[first]),
            command("second", &[second]),
        ])
    };
    assert_eq!(
        understood(&both("go {room}", "go kitchen"), "go kitchen"),
        "second"
    );
    assert_eq!(
        understood(&both("go kitchen", "go kitchen"), "go kitchen"),
        "- ambiguous"
    );
    // Near matches need a margin.
    let m = both("play the next bong", "play the next gong");
    assert_eq!(understood(&m, "play the next bong"), "first");
    let m = both(
        "open the big outer barn door today",
        "open the big outer bark door today",
    );
    assert_eq!(
        understood(&m, "open the big outer bar door today"),
        "- ambiguous"
    );
}

#[test]
fn own_lists_and_fixed_slots() {
    let mut own = command("own", &["go {room}"]);
    own.lists = BTreeMap::from([("room".to_owned(), values(&[("attic", None)]))]);
    own.slots = BTreeMap::from([("speed".to_owned(), "fast".to_owned())]);
    let m = matcher(vec![own, command("common", &["walk {room}"])]);
    assert_eq!(understood(&m, "go attic"), "own room=attic speed=fast");
    assert_eq!(understood(&m, "walk kitchen"), "common room=kitchen");
    assert!(understood(&m, "go kitchen").starts_with('-'));
    let slots: Vec<_> = m.grammar().slots(0).into_iter().collect();
    assert_eq!(slots, ["room", "speed"]);
}

#[test]
fn mistakes_are_collected() {
    let commands = vec![
        command("a", &["go {roon}", "<trun> it", "(x", "[please]", "fine"]),
        command("b", &[]),
        command("c", &["(a;b;c;d;e;f;g)", &"[x]y".repeat(12)]),
    ];
    let mut spec = spec(commands);
    spec.lists.insert(
        "bad".to_owned(),
        values(&[("in {room}", Some("x")), ("<turn>", None)]),
    );
    spec.commands.push(command("d", &["{bad}"]));
    let mut errors = Vec::new();
    let grammar = Grammar::compile(&spec, &mut errors);
    let all: Vec<String> = errors.iter().map(|e| e.cause.to_string()).collect();
    for (message, part) in all.iter().zip([
        "there is no list `roon`; did you mean {room}?",
        "there is no rule `trun`; did you mean <turn>?",
        "`(` is not closed at column 1",
        "`[please]` matches when nothing is said",
        "command `b` has no sentences",
        "more than 6 parts",
        "more than 200 spellings",
        "a value of a list contains a list",
    ]) {
        assert!(message.contains(part), "{message}\n{part}");
    }
    assert_eq!(all.len(), 8, "{all:#?}");
    let m = Matcher::new(Arc::new(grammar), MatchOptions::default());
    assert_eq!(understood(&m, "fine"), "a");
}

#[test]
fn large_grammars_stay_small() {
    let verbs = "(turn|switch|put|make|set|get|bring|change|move|take)";
    let list = |prefix: &str| -> String {
        let words: Vec<_> = (b'a'..=b'z')
            .map(|c| format!("{prefix}{}", c as char))
            .collect();
        format!("({})", words.join("|"))
    };
    // 10 * 26 * 26 * 26 * 2 sentences.
    let template = format!("{verbs} [the] {} {} {}", list("ko"), list("ru"), list("ta"));
    let m = matcher(vec![command("big", &[&template])]);
    assert!(m.grammar().n_nodes() < 500, "{}", m.grammar().n_nodes());
    let started = Instant::now();
    assert_eq!(understood(&m, "turn the kob rux taz"), "big");
    assert!(understood(&m, "so he took the bus to town and never came back").starts_with('-'));
    assert!(started.elapsed().as_millis() < 1_000);
}

#[test]
fn long_texts_are_no_commands() {
    let m = lights();
    let text = "turn on the kitchen lights and ".repeat(50);
    assert_eq!(understood(&m, &text), "- no_match");
}

#[test]
fn free_words_are_kept_as_they_were_said() {
    let m = matcher(vec![
        command("add", &["add {item*} to [my] (shopping list|{room})"]),
        command("play", &["play {title*}", "play {title*} in the {room}"]),
        command("stop", &["play nothing"]),
    ]);
    for (text, expected) in [
        (
            "Add Crème Fraîche and 2 eggs to my shopping list.",
            "add item=Crème Fraîche and 2 eggs",
        ),
        ("add it to it to shopping list", "add item=it to it"),
        ("play Yellow Submarine!", "play title=Yellow Submarine"),
        (
            "Play Yellow Submarine in the kitchen",
            "play room=kitchen title=Yellow Submarine",
        ),
        // The most literal reading.
        ("play nothing", "stop"),
    ] {
        assert_eq!(understood(&m, text), expected, "{text}");
    }
    assert!(understood(&m, "add to my shopping list").starts_with("- "));
}

#[test]
fn numbers_with_fractions_and_multipliers() {
    let halves = ListSpec::Range(NumberRange {
        fractions: Fractions::Halves,
        ..NumberRange::new(5, 30)
    });
    let down = ListSpec::Range(NumberRange {
        multiplier: -0.5,
        ..NumberRange::new(0, 100)
    });
    let mut heat = command("heat", &["heat to {halves} [degrees]", "lower by {down}"]);
    heat.lists = BTreeMap::from([("halves".to_owned(), halves), ("down".to_owned(), down)]);
    let m = matcher(vec![heat]);
    for (text, expected) in [
        ("heat to 20.5 degrees", "heat halves=20.5"),
        ("heat to twenty and a half", "heat halves=20.5"),
        ("heat to twenty point five", "heat halves=20.5"),
        ("heat to 20", "heat halves=20"),
        ("lower by 5", "heat down=-2.5"),
        ("lower by ten", "heat down=-5"),
    ] {
        assert_eq!(understood(&m, text), expected, "{text}");
    }
    for text in ["heat to 20.3", "heat to 30.5", "lower by 2.5"] {
        assert!(understood(&m, text).starts_with("- "), "{text}");
    }
}

/// Lamps and locks, of which each command wants its own.
fn house() -> Matcher {
    let value = |name: &str, context: &[(&str, &str)]| ListValue {
        spoken: sentence(name),
        context: (context.iter())
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        ..ListValue::default()
    };
    let things = ListSpec::Values(vec![
        value("lamp", &[("domain", "light"), ("area", "hall")]),
        value("door", &[("domain", "lock")]),
        // One name for two things.
        value("gate", &[("domain", "lock")]),
        value("gate", &[("domain", "light")]),
        value("thing", &[]),
    ]);
    let wants = |name: &str, template: &str, domain: &str, key: &str| {
        let mut command = command(name, &[template]);
        let wanted = Requirement {
            values: vec![domain.to_owned()],
            to_slot: false,
        };
        command.requires = BTreeMap::from([(key.to_owned(), wanted)]);
        command
    };
    let mut lit = wants("light", "open {thing}", "light", "domain");
    let copied = Requirement {
        values: Vec::new(),
        to_slot: true,
    };
    lit.requires.insert("area".to_owned(), copied);
    let mut other = command("other", &["look at {thing}"]);
    other.excludes = BTreeMap::from([("domain".to_owned(), vec!["lock".to_owned()])]);
    let commands = vec![
        lit,
        wants("lock", "open the {thing}", "lock", "domain"),
        other,
    ];
    let mut spec = spec(commands);
    spec.lists.insert("thing".to_owned(), things);
    spec.skip_words = vec![sentence("(could|would) you"), sentence("by the way")];
    let mut errors = Vec::new();
    let grammar = Grammar::compile(&spec, &mut errors);
    assert!(errors.is_empty(), "{errors:?}");
    Matcher::new(Arc::new(grammar), MatchOptions::default())
}

#[test]
fn values_are_told_apart_by_their_context() {
    let m = house();
    for (text, expected) in [
        ("open lamp", "light area=hall thing=lamp"),
        ("open the door", "lock thing=door"),
        ("open gate", "light thing=gate"),
        ("open the gate", "lock thing=gate"),
        ("look at lamp", "other area=hall thing=lamp"),
        ("look at thing", "other thing=thing"),
    ] {
        let expected = expected.replace("other area=hall", "other");
        assert_eq!(understood(&m, text), expected, "{text}");
    }
    for text in ["open the lamp now", "open the thing", "look at door"] {
        let found = understood(&m, text);
        assert!(!found.starts_with("lock"), "{text}: {found}");
    }
}

#[test]
fn words_to_skip_cost_nothing() {
    let m = house();
    for text in [
        "could you open the door",
        "Would you, by the way, open the door?",
        "open by the way the door could you",
    ] {
        let Match::Accepted { score, name, .. } = m.match_text(text) else {
            panic!("{text}")
        };
        assert_eq!((score, name.as_str()), (0.0, "lock"), "{text}");
    }
}

#[test]
fn keywords_must_be_said() {
    let mut play = command("play", &["play {title*}"]);
    play.required_keywords = vec!["Music".to_owned(), "the song".to_owned()];
    let m = matcher(vec![play]);
    assert_eq!(
        understood(&m, "play the song Help"),
        "play title=the song Help"
    );
    assert_eq!(understood(&m, "play loud music"), "play title=loud music");
    assert_eq!(understood(&m, "play with fire"), "- no_match");
}

#[test]
fn blocks_of_one_name_do_not_rival() {
    let block = |sentence: &str| CommandSpec {
        is_block: true,
        ..command("lights", &[sentence])
    };
    let m = matcher(vec![block("lights {state}"), block("[all] lights {state}")]);
    assert_eq!(understood(&m, "lights on"), "lights state=on");
    assert_eq!(understood(&m, "all the lights on"), "lights state=on");
}

proptest::proptest! {
    /// Whatever the templates are, what compiles is searched without a panic.
    #[test]
    fn any_template_gives_a_grammar_or_an_error(
        template in "[a-c{}<>\\[\\]()|;*:. 0-9\\\\]{0,60}",
        text in "[a-c0-9 ]{0,30}",
    ) {
        let spec = spec(vec![command("x", &[&template, "add {a*} b", "c {duration} {time}"])]);
        let mut errors = Vec::new();
        let grammar = Grammar::compile(&spec, &mut errors);
        let matcher = Matcher::new(Arc::new(grammar), MatchOptions::default());
        let _ = matcher.match_text(&text);
    }
}
