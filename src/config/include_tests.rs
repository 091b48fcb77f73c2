//! Included files of every kind, and lists in files.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::command::{Match, Matcher};
use proptest::prelude::*;

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn parse(folder: &tempfile::TempDir, text: &str) -> Result<Config, ConfigError> {
    let (config, mistakes) = Config::parse(&folder.path().join("c.toml"), text.to_owned())?;
    let first = mistakes.into_iter().next();
    first.map_or(Ok(config), |first| {
        Err(ConfigError::Grammar { first, n_others: 0 })
    })
}

/// The message about a mistake, without the folder.
fn message(folder: &tempfile::TempDir, text: &str) -> String {
    let message = parse(folder, text).unwrap_err().to_string();
    message.replace(&format!("{}/", folder.path().display()), "")
}

fn understood(config: &Config, text: &str) -> String {
    let matcher = Matcher::new(config.commands.grammar.clone(), config.commands.matching);
    match matcher.match_text(text) {
        Match::Accepted { name, slots, .. } => {
            let slots = slots.iter().map(|(k, v)| format!(" {k}={v}"));
            name + &slots.collect::<String>()
        }
        Match::Rejected { reason, .. } => format!("- {}", reason.as_str()),
    }
}

/// Detection is narrowed only where every sentence is in a language that is known.
#[test]
fn one_file_that_does_not_say_its_language_leaves_all_open() {
    let go = "[[command]]\nname = 'go'\nsentences = ['go']\n";
    let yaml = "language: nl\nintents:\n  Stop:\n    data:\n      - sentences: ['stop']\n";
    let folder = folder(&[
        ("de.toml", &format!("[commands]\nlanguage = 'german'\n{go}")),
        ("open.toml", go),
        ("auto.toml", &format!("[commands]\nlanguage = 'auto'\n{go}")),
        ("lists.toml", "[lists]\nroom = ['hall']\n"),
        ("nl.yaml", yaml),
    ]);
    let known = |keys: &str, rest: &str| {
        let config = parse(&folder, &format!("[commands]\n{keys}\n{rest}")).unwrap();
        config.commands.spec.languages.known()
    };
    let timers = "[timers]\nenabled = true\n";
    for (keys, rest, expected) in [
        ("", "", None),
        ("language = 'en'", "", None),
        ("", go, None),
        ("language = 'en, fr'", go, Some("en,fr")),
        ("language = 'auto'", go, None),
        ("include = ['de.toml', 'lists.toml']", "", Some("de")),
        (
            "language = 'en'\ninclude = ['de.toml', 'nl.yaml']",
            go,
            Some("de,en,nl"),
        ),
        ("include = ['de.toml']", go, None),
        ("language = 'en'\ninclude = ['open.toml']", go, None),
        ("language = 'en'\ninclude = ['auto.toml']", go, None),
        ("", timers, Some("en")),
        ("include = ['de.toml']", timers, Some("de,en")),
        ("include = ['open.toml']", timers, None),
    ] {
        let found = known(keys, rest);
        assert_eq!(found.as_deref(), expected, "{keys} {rest}");
    }
}

const ALL: &str = "[commands]\ninclude = ['x']\n";

#[test]
fn included_files_include_others_and_each_is_read_once() {
    let files = [
        (
            "a.toml",
            "[commands]\ninclude = ['sub/b.toml', 'sub/../sub/b.toml']\n[lists]\nroom = ['hall']",
        ),
        (
            "sub/b.toml",
            "[[command]]\nname = 'go'\nsentences = ['go to {room}']\n[commands]\ninclude = ['c.toml']",
        ),
        (
            "sub/c.toml",
            "[[command]]\nname = 'stop'\nsentences = ['stop']",
        ),
    ];
    let folder = folder(&files);
    let config = parse(&folder, "[commands]\ninclude = ['a.toml', 'sub/b.toml']\n").unwrap();
    assert_eq!(config.commands.grammar.n_commands(), 2);
    assert_eq!(understood(&config, "go to hall"), "go room=hall");
}

#[test]
fn a_file_that_includes_itself_is_a_mistake() {
    let circle = folder(&[
        ("a.toml", "[commands]\ninclude = ['b.toml']"),
        ("b.toml", "\n[commands]\ninclude = ['a.toml']"),
    ]);
    let found = message(&circle, "[commands]\ninclude = ['a.toml']\n");
    assert!(found.starts_with("b.toml:3: "), "{found}");
    assert!(found.ends_with("this one includes itself"), "{found}");
    let names: Vec<(String, String)> = (0..30)
        .map(|i| {
            (
                format!("{i}.toml"),
                format!("[commands]\ninclude = ['{}.toml']", i + 1),
            )
        })
        .collect();
    let names: Vec<(&str, &str)> = names.iter().map(|(n, t)| (&n[..], &t[..])).collect();
    let found = message(&folder(&names), "[commands]\ninclude = ['0.toml']\n");
    assert!(found.contains("16 files deep"), "{found}");
}

#[test]
fn only_the_include_of_an_included_file_is_read() {
    let folder = folder(&[("x", "[commands]\nmargin = 1.0")]);
    let found = message(&folder, ALL);
    assert!(
        found.starts_with("x:2: unknown key `commands.margin`"),
        "{found}"
    );
}

const LIGHTS: &str = "language: en\nintents:\n  LightOn:\n    data:\n      - sentences: ['<turn> on {name}']\n        requires_context: {domain: light, area: {slot: true}}\n        slots: {state: 'on'}\n        response: x\n      - sentences: ['<turn> on all of it']\n        excludes_context: {domain: [light]}\nexpansion_rules:\n  turn: (turn|switch)\nskip_words: [please]\n";

#[test]
fn sentences_of_home_assistant_become_commands() {
    let folder = folder(&[("x/lights.yaml", LIGHTS)]);
    let text = format!(
        "{ALL}[[command]]\nname = 'LightOn'\naction = {{ program = 'echo', args = ['{{name}}'] }}\n\
         [lists]\nname = [{{ in = 'big lamp', out = 'l1', context = {{ domain = 'light', area = 'hall' }} }}, \
         {{ in = 'door', context = {{ domain = 'lock' }} }}]\n"
    );
    let config = parse(&folder, &text).unwrap();
    assert_eq!(
        understood(&config, "Please switch on big lamp"),
        "LightOn area=hall name=l1 state=on"
    );
    assert_eq!(understood(&config, "turn on all of it, please"), "LightOn");
    assert!(understood(&config, "turn on door").starts_with("- "));
    assert!((0..2).all(|i| config.commands.grammar.action(i).is_some()));
    // Without the house's names the sentences about them cannot be said.
    let config = parse(&folder, ALL).unwrap();
    assert_eq!(understood(&config, "turn on big lamp"), "- no_match");
}

#[test]
fn the_layout_of_the_repository_is_read() {
    let block = "data:\n  - sentences: ['open {class:device_class} to {position}[%]']\n    inferred_domain: cover\n";
    let files = [
        ("x/sentences/en/Cover/one.yaml", block),
        (
            "x/sentences/en/Cover/two.yaml",
            "data:\n  - sentences: ['shut {class}']\n    inferred_domain: cover\n",
        ),
        ("x/sentences/en/_common.yaml", "skip_words: [please]"),
        (
            "x/lists/en/covers.yaml",
            "lists:\n  class:\n    values: [{in: 'blind[s]', out: blind, metadata: {a: b}}, door]\n",
        ),
        (
            "x/intents.yaml",
            "Cover:\n  slot_combinations:\n    one: {slots: [domain, position]}\n    two: {slots: [class], context_area: true}\n",
        ),
    ];
    let folder = folder(&files);
    for path in ["x", "x/sentences/en"] {
        let config = parse(&folder, &format!("[commands]\ninclude = ['{path}']\n")).unwrap();
        let found = understood(&config, "please open blinds to 20 percent");
        assert_eq!(found, "Cover device_class=blind domain=cover position=20");
        assert_eq!(understood(&config, "shut door"), "Cover class=door");
    }
}

#[test]
fn mistakes_in_yaml_have_file_and_line() {
    let about = |yaml: &str| message(&folder(&[("x/f.yaml", yaml)]), ALL);
    for (yaml, expected) in [
        (
            "intents:\n  A:\n    data:\n      - sentences: ['a']\n        sloots: {a: b}\n",
            "x/f.yaml:5: unknown key `sloots`; did you mean `slots`?",
        ),
        (
            "intents:\n  A:\n    data:\n      - slots: {a: b}\n",
            "x/f.yaml:4: `sentences` is missing",
        ),
        (
            "intents:\n  A:\n    data:\n      - sentences: ['a (b']\n",
            "x/f.yaml:4: sentence `a (b`",
        ),
        (
            "intents:\n  A:\n    data:\n      - sentences: ['a {bb}']\n",
            "x/f.yaml:4: sentence `a {bb}`, column 3: there is no list",
        ),
        (
            "lists:\n  a: {range: {from: 1}}\n",
            "x/f.yaml:2: `range` is a map",
        ),
        (
            "lists:\n  a:\n    range: {from: 1, to: 2, type: x}\n",
            "x/f.yaml:3: `type` is \"x\"",
        ),
        (
            "lists:\n  a: {values: [b], wildcard: true}\n",
            "x/f.yaml:2: `a` is a map",
        ),
        (
            "data:\n  - sentences: [a]\n",
            "x/f.yaml:2: `data` is a list",
        ),
        ("a: [\n", "x/f.yaml:"),
        ("a: &b c\n", "x/f.yaml:1: anchors"),
    ] {
        let found = about(yaml);
        assert!(found.starts_with(expected), "{yaml}: {found}");
    }
    let found = message(&folder(&[]), "[commands]\ninclude = ['none.yaml']\n");
    assert!(
        found.starts_with("c.toml:2: cannot read the included file none.yaml"),
        "{found}"
    );
    let two = [("x/sentences/de/a.yaml", ""), ("x/sentences/fr/a.yaml", "")];
    assert!(message(&folder(&two), ALL).contains("x/sentences/de"));
}

#[test]
fn lists_stand_in_files() {
    let rooms = "# rooms\nkitchen\n\n  living room (the big one) = lounge\nhall = a = b\n";
    let folder = folder(&[
        ("rooms.txt", rooms),
        ("empty.txt", "# nothing\n"),
        ("bad.txt", "a\n???\n"),
    ]);
    let text = |file: &str| {
        format!(
            "[[command]]\nname = 'go'\nsentences = ['go to {{room}}']\n[lists]\nroom = {{ file = '{file}' }}\n"
        )
    };
    let config = parse(&folder, &text("rooms.txt")).unwrap();
    assert_eq!(understood(&config, "go to kitchen"), "go room=kitchen");
    assert_eq!(
        understood(&config, "go to living room the big one"),
        "go room=lounge"
    );
    assert_eq!(understood(&config, "go to hall"), "go room=a = b");
    assert!(message(&folder, &text("empty.txt")).contains("at least one value"));
    assert!(message(&folder, &text("none.txt")).contains("cannot read the included file none.txt"));
    assert!(message(&folder, &text("bad.txt")).starts_with("bad.txt:2: "));
}

#[test]
fn contexts_and_fractions_in_the_configuration() {
    let folder = folder(&[]);
    let text = "[[command]]\nname = 'on'\nsentences = ['{thing} on', 'heat to {heat}']\n\
                requires_context = { kind = ['lamp', 'fan'] }\nexcludes_context = { broken = true }\n\
                [[command]]\nname = 'heat'\nsentences = ['heat to {heat}', 'say {words}']\n\
                required_keywords = ['heat', 'say']\n\
                [lists]\nthing = [{ in = 'a', context = { kind = 'fan' } }, { in = 'b', context = { kind = 'fan', broken = 'yes' } }, 'c']\n\
                heat = { from = 5, to = 30, fractions = 'halves', multiplier = 2 }\nwords = { wildcard = true }\n";
    let config = parse(&folder, text).unwrap();
    assert_eq!(understood(&config, "a on"), "on thing=a");
    for text in ["b on", "c on"] {
        assert!(understood(&config, text).starts_with("- "), "{text}");
    }
    assert_eq!(understood(&config, "heat to 20.5"), "heat heat=41");
    assert_eq!(
        understood(&config, "say Hello, World"),
        "heat words=Hello, World"
    );
    for (list, complaint) in [
        ("{ wildcard = false }", "it must be true"),
        (
            "{ from = 1, to = 2, fractions = 'thirds' }",
            "\"none\" or \"halves\" or \"tenths\"",
        ),
        ("{ file = 1 }", "a text in quotes"),
        ("3", "an array of values, {"),
    ] {
        let found = message(&folder, &format!("[lists]\na = {list}\n"));
        assert!(found.contains(complaint), "{found}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Sentence files with damage are read or refused.
    #[test]
    fn damaged_sentence_files_never_panic(at in 0..LIGHTS.len(), with in "[-:{}\\[\\]'\\n a-z&*0-9]{0,6}", n in 0usize..12) {
        let end = (at + n).min(LIGHTS.len());
        let damaged = format!("{}{with}{}", &LIGHTS[..at], &LIGHTS[end..]);
        let folder = folder(&[("x/f.yaml", &damaged)]);
        let _ = Config::parse(&folder.path().join("c.toml"), ALL.to_owned());
    }
}
