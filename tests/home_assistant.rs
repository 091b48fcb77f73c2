//! Home Assistant's own test sentences, as text: the intent and exactly the slots expected.
//!
//! All of them are read from the folder in `HARK_HOME_ASSISTANT`, or from
//! `../shared/data/intents-en` beside this repository; without either that test says so and passes.
//! A part of them is in `tests/data/home_assistant`, so that something is tested everywhere.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hark::command::{
    Context, Grammar, GrammarSpec, ListSpec, ListValue, Match, MatchOptions, Matcher, Sentence,
};
use hark::config::Config;
use saphyr_parser::{Event, Parser};

/// A YAML file without its lines.
#[derive(Clone, Debug, PartialEq)]
enum Yaml {
    Text(String),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
}

impl Yaml {
    fn read(path: &Path) -> Yaml {
        let text = std::fs::read_to_string(path).unwrap();
        let mut events = Parser::new_from_str(&text).map(|event| event.unwrap().0);
        while !matches!(events.next().unwrap(), Event::DocumentStart(_)) {}
        let first = events.next().unwrap();
        Yaml::build(first, &mut events)
    }

    fn build<'t>(first: Event<'t>, events: &mut impl Iterator<Item = Event<'t>>) -> Yaml {
        match first {
            Event::Scalar(text, ..) => Yaml::Text(text.into_owned()),
            Event::SequenceStart(..) => {
                let mut all = Vec::new();
                loop {
                    match events.next().unwrap() {
                        Event::SequenceEnd => return Yaml::List(all),
                        event => all.push(Yaml::build(event, events)),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut all = Vec::new();
                loop {
                    match events.next().unwrap() {
                        Event::MappingEnd => return Yaml::Map(all),
                        Event::Scalar(key, ..) => {
                            let value = events.next().unwrap();
                            all.push((key.into_owned(), Yaml::build(value, events)));
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
            other => panic!("{other:?}"),
        }
    }

    fn get(&self, key: &str) -> Option<&Yaml> {
        self.entries()
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v)
    }

    fn entries(&self) -> &[(String, Yaml)] {
        match self {
            Yaml::Map(all) => all,
            _ => &[],
        }
    }

    fn elements(&self) -> &[Yaml] {
        match self {
            Yaml::List(all) => all,
            one => std::slice::from_ref(one),
        }
    }

    fn all(&self, key: &str) -> &[Yaml] {
        self.get(key).map_or(&[], Yaml::elements)
    }

    fn text(&self) -> &str {
        match self {
            Yaml::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }
}

/// Slots with the values that each may have.
type Slots = BTreeMap<String, Vec<String>>;

/// A sentence and what it means.
struct Case {
    text: String,
    intent: String,
    slots: Slots,
}

/// The cases of a file, with what is in the house there.
struct TestFile {
    name: String,
    house: Vec<(&'static str, ListValue)>,
    cases: Vec<Case>,
}

fn value(name: &str, context: &[(&str, &str)]) -> ListValue {
    let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
    ListValue {
        spoken: Sentence {
            template: name.to_owned(),
            ..Sentence::default()
        },
        value: Some(name.to_owned()),
        context: context.iter().map(owned).collect::<Context>(),
    }
}

fn test_file(path: &Path, intents: &Yaml) -> TestFile {
    let yaml = Yaml::read(path);
    let intent = path.parent().unwrap().file_name().unwrap();
    let intent = intent.to_str().unwrap().to_owned();
    let combination = path.file_stem().unwrap().to_str().unwrap();
    let mut house = Vec::new();
    for entity in yaml.all("entities") {
        let domain = entity.get("domain").unwrap().text();
        let name = entity.get("name").unwrap().text();
        house.push(("name", value(name, &[("domain", domain)])));
    }
    for (list, key) in [("area", "areas"), ("floor", "floors")] {
        for place in yaml.all(key) {
            house.push((list, value(place.get("name").unwrap().text(), &[])));
        }
    }
    // The domain that the words speak of is a slot, too, where the intent has one; the files name
    // it only here and there, and intents.yaml always.
    let about = intents
        .get(&intent)
        .and_then(|i| i.get("slot_combinations"));
    let about = about.and_then(|all| all.get(combination));
    let domains = about.and_then(|about| about.get("inferred_domains"));
    let domains: Vec<String> = domains
        .map_or(&[][..], Yaml::entries)
        .iter()
        .flat_map(|(_, domains)| domains.elements())
        .map(|domain| domain.text().to_owned())
        .collect();
    let has_slot =
        about.is_some_and(|about| about.all("slots").iter().any(|s| s.text() == "domain"));
    let mut cases = Vec::new();
    for test in yaml.all("tests") {
        let mut slots = Slots::new();
        for (slot, values) in test.get("slots").map_or(&[][..], Yaml::entries) {
            let values = values.elements().iter().map(|v| v.text().to_owned());
            slots.insert(slot.clone(), values.collect());
        }
        if has_slot && !domains.is_empty() {
            slots
                .entry("domain".to_owned())
                .or_insert_with(|| domains.clone());
        }
        for sentence in test.all("sentences") {
            cases.push(Case {
                text: sentence.text().to_owned(),
                intent: intent.clone(),
                slots: slots.clone(),
            });
        }
    }
    TestFile {
        name: format!("{intent}/{combination}"),
        house,
        cases,
    }
}

fn test_files(folder: &Path) -> Vec<TestFile> {
    let intents = Yaml::read(&folder.join("intents.yaml"));
    let mut files = Vec::new();
    for intent in std::fs::read_dir(folder.join("tests/en")).unwrap() {
        let intent = intent.unwrap().path();
        if intent.is_dir() {
            let all = std::fs::read_dir(intent).unwrap();
            files.extend(all.map(|file| test_file(&file.unwrap().path(), &intents)));
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

/// The sentences of `folder` as a configuration that includes it has them.
fn sentences(folder: &Path) -> GrammarSpec {
    let text = format!("[commands]\ninclude = [{:?}]\n", folder.to_str().unwrap());
    let (config, mistakes) = Config::parse(Path::new("config.toml"), text).unwrap();
    assert!(mistakes.is_empty(), "{mistakes:?}");
    config.commands.spec
}

/// The sentences, said in that house.
fn matcher<'h>(
    spec: &GrammarSpec,
    house: impl Iterator<Item = &'h (&'static str, ListValue)>,
) -> Matcher {
    let mut lists: BTreeMap<&str, Vec<ListValue>> = BTreeMap::new();
    for (list, value) in house {
        let values = lists.entry(list).or_default();
        if !values.contains(value) {
            values.push(value.clone());
        }
    }
    let lists = lists.into_iter();
    let spec = GrammarSpec {
        lists: lists
            .map(|(name, values)| (name.to_owned(), ListSpec::Values(values)))
            .collect(),
        ..spec.clone()
    };
    let mut mistakes = Vec::new();
    let grammar = Grammar::compile(&spec, &mut mistakes);
    assert!(mistakes.is_empty(), "{mistakes:?}");
    Matcher::new(Arc::new(grammar), MatchOptions::default())
}

/// What is wrong with how `case` is understood; nothing when it is right.
fn mistake(case: &Case, matcher: &Matcher) -> Option<String> {
    let (name, slots) = match matcher.match_text(&case.text) {
        Match::Accepted { name, slots, .. } => (name, slots),
        Match::Rejected { reason, best, .. } => {
            return Some(format!(
                "{} ({})",
                reason.as_str(),
                best.unwrap_or_default()
            ));
        }
    };
    let expected: BTreeSet<&String> = case.slots.keys().collect();
    let is_right = name == case.intent
        && slots.keys().collect::<BTreeSet<_>>() == expected
        && slots
            .iter()
            .all(|(slot, value)| case.slots[slot].contains(value));
    (!is_right).then(|| {
        format!(
            "{name} {slots:?}, expected {} {:?}",
            case.intent, case.slots
        )
    })
}

/// How many cases there are and which are not understood.
struct Tally {
    n_cases: usize,
    mistakes: Vec<String>,
}

impl Tally {
    fn percent(&self) -> f64 {
        100.0 * (self.n_cases - self.mistakes.len()) as f64 / self.n_cases as f64
    }

    fn print(&self, title: &str) {
        println!(
            "{title}: {} of {} right, {:.2} %",
            self.n_cases - self.mistakes.len(),
            self.n_cases,
            self.percent()
        );
        for mistake in &self.mistakes {
            println!("  {mistake}");
        }
    }
}

/// Understands the cases of all files, those of a file in the house of that file or of all.
fn tally(spec: &GrammarSpec, files: &[TestFile], all_in_one: Option<&Matcher>) -> Tally {
    let mut tally = Tally {
        n_cases: 0,
        mistakes: Vec::new(),
    };
    for file in files {
        let own;
        let matcher = match all_in_one {
            Some(matcher) => matcher,
            None => {
                own = matcher(spec, file.house.iter());
                &own
            }
        };
        for case in &file.cases {
            tally.n_cases += 1;
            let mistake = mistake(case, matcher);
            let mistake = mistake.map(|found| format!("{}: \"{}\": {found}", file.name, case.text));
            tally.mistakes.extend(mistake);
        }
    }
    tally
}

fn folder() -> PathBuf {
    let named = std::env::var_os("HARK_HOME_ASSISTANT").map(PathBuf::from);
    named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/intents-en"))
}

#[test]
fn all_test_sentences_are_understood() {
    let folder = folder();
    if !folder.join("tests/en").is_dir() {
        println!(
            "skipped: no folder {}; set HARK_HOME_ASSISTANT",
            folder.display()
        );
        return;
    }
    let spec = sentences(&folder);
    let files = test_files(&folder);
    let own = tally(&spec, &files, None);
    own.print("each file in its own house");
    let house = files.iter().flat_map(|file| &file.house);
    let together = matcher(&spec, house);
    println!("{} nodes", together.grammar().n_nodes());
    tally(&spec, &files, Some(&together)).print("all files in one house");
    assert!(own.n_cases > 1_000, "{}", own.n_cases);
    assert!(own.percent() >= 99.0, "{:.2} %", own.percent());
}

#[test]
fn the_sentences_in_this_repository_are_understood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/home_assistant");
    let spec = sentences(&folder);
    let tally = tally(&spec, &test_files(&folder), None);
    tally.print("the part of them that is here");
    assert!(tally.n_cases > 250, "{}", tally.n_cases);
    assert!(tally.mistakes.is_empty());
}
