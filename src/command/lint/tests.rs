//! What the comparison of commands finds, and what it leaves alone.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Instant;

use super::*;
use crate::command::{ListSpec, ListValue, Sentence};

fn sentence(template: &str) -> Sentence {
    Sentence {
        template: template.to_owned(),
        ..Sentence::default()
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

fn spec(commands: &[(&str, &[&str])]) -> GrammarSpec {
    let command = |(name, sentences): &(&str, &[&str])| CommandSpec {
        name: (*name).to_owned(),
        sentences: sentences.iter().map(|s| sentence(s)).collect(),
        ..CommandSpec::default()
    };
    let room = values(&[("kitchen", None), ("hall", None)]);
    GrammarSpec {
        commands: commands.iter().map(command).collect(),
        lists: BTreeMap::from([("room".to_owned(), room)]),
        ..GrammarSpec::default()
    }
}

fn found_in(spec: &GrammarSpec) -> Vec<String> {
    let weighed = |remark: Remark| format!("{:?}: {}", remark.weight, remark.text);
    remarks(spec).into_iter().map(weighed).collect()
}

fn found(commands: &[(&str, &[&str])]) -> Vec<String> {
    found_in(&spec(commands))
}

/// The only remark contains all `parts`.
fn assert_one(remarks: &[String], parts: &[&str]) {
    assert_eq!(remarks.len(), 1, "{remarks:#?}");
    for part in parts {
        assert!(remarks[0].contains(part), "{part}: {remarks:#?}");
    }
}

#[test]
fn commands_of_their_own_words_are_left_alone() {
    let all = found(&[
        ("lights", &["turn (on|off) [the] [{room}] light[s]"]),
        (
            "dim",
            &["dim [the] [{room}] lights to {0..100:level} percent"],
        ),
        (
            "heating",
            &["set [the] heating to {5..30:degrees} [degrees]"],
        ),
    ]);
    assert_eq!(all, [] as [&str; 0]);
}

#[test]
fn a_sentence_of_two_commands_is_a_mistake() {
    let all = found(&[
        ("a", &["turn [the] {room} lights on"]),
        (
            "b",
            &[
                "turn [the] (kitchen|garden) lights off",
                "(turn|put) {room} lights on",
            ],
        ),
    ]);
    let parts = [
        "Mistake: command `b`: \"turn ",
        " lights on\" is also said for `a` (-:0)",
        "leave it to one of them",
    ];
    assert_one(&all, &parts);
    // In numbers, too.
    let all = found(&[
        ("a", &["volume {0..10:level} please"]),
        ("b", &["volume {10..20:level} [please]"]),
    ]);
    assert_one(&all, &["\"volume ten please\" is also said for `a`"]);
}

#[test]
fn what_is_more_literal_is_reached_and_shadows_nothing() {
    let all = found(&[
        ("any", &["clean [the] {room}"]),
        ("one", &["clean the hall"]),
    ]);
    assert_eq!(all, [] as [&str; 0]);
}

#[test]
fn what_always_goes_to_another_command_is_unreachable() {
    let all = found(&[
        ("any", &["clean {room} now", "wipe {room}"]),
        ("each", &["clean (kitchen|hall) now"]),
    ]);
    let parts = [
        "Mistake: command `any`: nothing reaches this sentence",
        "\"clean kitchen now\"",
        "also said for `each`",
    ];
    assert_one(&all, &parts);
    let all = found(&[("a", &["(shut|lock) gate"]), ("b", &["lock gate"])]);
    assert_one(&all, &["command `b`: nothing reaches", "`a`", "remove it"]);
}

#[test]
fn a_sentence_that_adds_nothing_is_a_warning() {
    let all = found(&[("a", &["[please] (shut|lock) [the] gate", "lock the gate"])]);
    assert_one(&all, &["Warning: command `a`: this sentence adds nothing"]);
    // Its slot is its own.
    let all = found(&[("a", &["lock the {room}", "lock the kitchen"])]);
    assert_eq!(all, [] as [&str; 0]);
}

#[test]
fn sentences_that_sound_alike_are_a_warning() {
    let all = found(&[("on", &["switch radio on"]), ("in", &["switch radio in"])]);
    let parts = [
        "Warning: command `in`: \"switch radio in\" sounds like \"switch radio on\" of `on`",
        "in other words",
    ];
    assert_one(&all, &parts);
    assert_one(
        &found(&[("jon", &["ring Jon up"]), ("john", &["ring John up"])]),
        &["\"ring john up\" sounds like \"ring jon up\""],
    );
}

#[test]
fn values_that_sound_alike_are_a_warning() {
    let with = |list: ListSpec| {
        let mut spec = spec(&[("call", &["ring {who} up"])]);
        spec.lists.insert("who".to_owned(), list);
        found_in(&spec)
    };
    assert_one(
        &with(values(&[("Jon", None), ("mum", None), ("John", None)])),
        &[
            "Warning: list `who`: \"",
            "\" sound alike and cannot be told apart",
        ],
    );
    assert_one(
        &with(values(&[("fifteen", None), ("fifty", None)])),
        &["\"fifteen\" and \"fifty\""],
    );
    assert_one(
        &with(values(&[
            ("(mum|mother)", Some("1")),
            ("[my] mother", Some("2")),
        ])),
        &["\"mother\" is said for `1` and for `2`"],
    );
    // The same value, and spellings of one.
    assert_eq!(
        with(values(&[
            ("Jon", Some("x")),
            ("John", Some("x")),
            ("second[s]", None)
        ])),
        [] as [&str; 0]
    );
}

#[test]
fn everyday_words_are_a_warning() {
    let all = found(&[("music", &["(pause|next) [song]", "what's up"])]);
    assert_eq!(all.len(), 2, "{all:#?}");
    assert!(
        all[0].contains("\"next\", \"pause\" are said every day"),
        "{all:#?}"
    );
    assert!(
        all[1].contains("\"what is up\" is said every day"),
        "{all:#?}"
    );
}

#[test]
fn mistakes_in_templates_do_no_harm() {
    let all = found(&[
        ("a", &["(x", "go {nowhere} now", ""]),
        ("b", &["go {nowhere} now", "[x]"]),
        ("c", &[]),
    ]);
    assert_eq!(all, [] as [&str; 0]);
}

/// 10 * 40 * 40 * 101 * 4 sentences in each of two commands that share nothing, and then one.
#[test]
fn millions_of_sentences_are_compared_fast() {
    let list = |prefix: &str| {
        let all: Vec<String> = (0..40).map(|i| format!("{prefix}{i}x")).collect();
        all.join("|")
    };
    let template = |verb: &str| {
        format!(
            "{verb}(a|b|c|d|e|f|g|h|i|j) ({}) ({}) to {{0..100:n}} [percent] [now]",
            list("k"),
            list("l")
        )
    };
    let (first, second) = (template("start "), template("begin "));
    let started = Instant::now();
    assert_eq!(
        found(&[("first", &[&first]), ("second", &[&second])]),
        [] as [&str; 0]
    );
    let third = format!("(start|begin) j ({}) l39x to {{7..9:n}} percent", list("k"));
    let all = found(&[("first", &[&first]), ("third", &[&third])]);
    assert!(
        all.iter()
            .any(|text| text.contains("x to seven percent\" is also said for `first`")),
        "{all:#?}"
    );
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}
