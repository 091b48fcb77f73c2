//! Values of a list that are spoken alike.
//!
//! Enters: lists as written. Leaves: remarks about values that are said with the same words, or with
//! words that sound alike. Each list is compiled by itself.

use std::collections::{BTreeMap, BTreeSet};

use super::automaton::Automaton;
use super::sound::Alike;
use super::walk::{Budget, Walk};
use crate::command::advice::{Remark, Weight, place};
use crate::command::graph::{Grammar, List};
use crate::command::spec::{CommandSpec, GrammarSpec, ListSpec, ListValue, Origin, Sentence};

/// Pairs of sentences that are looked at for each list.
const MAX_MEETINGS: usize = 200;
/// Pairs of values that are told of for each list.
const MAX_TOLD: usize = 5;

pub(super) fn remarks(spec: &GrammarSpec, to: &mut Vec<Remark>) {
    let own = spec.commands.iter().flat_map(|command| &command.lists);
    let mut told = BTreeSet::new();
    for (name, list) in spec.lists.iter().chain(own) {
        let ListSpec::Values(values) = list else {
            // Numbers are what they are.
            continue;
        };
        let origin = place(list, spec);
        // Lists that several commands bring along are read once.
        if told.insert((name.clone(), origin.file.clone(), origin.line)) {
            values_alike(name, values, spec, &origin, to);
        }
    }
}

/// A value, numbered by its place in the list.
fn numbered((i, value): (usize, &ListValue)) -> ListValue {
    ListValue {
        value: Some(i.to_string()),
        ..value.clone()
    }
}

fn values_alike(
    name: &str,
    values: &[ListValue],
    spec: &GrammarSpec,
    origin: &Origin,
    to: &mut Vec<Remark>,
) {
    let command = CommandSpec {
        sentences: vec![Sentence {
            template: "{values}".to_owned(),
            origin: origin.clone(),
        }],
        ..CommandSpec::default()
    };
    let list = ListSpec::Values(values.iter().enumerate().map(numbered).collect());
    let spec = GrammarSpec {
        commands: vec![command],
        lists: BTreeMap::from([("values".to_owned(), list)]),
        rules: spec.rules.clone(),
        ..GrammarSpec::default()
    };
    // What cannot be compiled has been reported with the commands.
    let grammar = Grammar::compile(&spec, &mut Vec::new());
    let Some(List::Values {
        start,
        values: numbers,
        ..
    }) = grammar.lists.first()
    else {
        return;
    };
    let entry = |accepted: u32| {
        let number = numbers.get(accepted as usize);
        number.and_then(|number| values.get(number.parse::<usize>().ok()?))
    };
    let mut automaton = Automaton::new(&grammar);
    let alike = Alike::new(automaton.words());
    let state = automaton.start([*start]);
    let mut budget = Budget::default();
    let any = |accepted: &[u32]| !accepted.is_empty();
    let same = Walk::new(&mut automaton, &mut budget, (state, state)).shared(MAX_MEETINGS, &any);
    let near =
        Walk::new(&mut automaton, &mut budget, (state, state)).alike(&alike, MAX_MEETINGS, &any);
    let mut pairs = BTreeSet::new();
    for meeting in same.into_iter().chain(near) {
        let (first, second) = meeting.ends;
        let accepted = |state| automaton.accepted(state).iter().copied();
        let both = accepted(first).flat_map(|a| accepted(second).map(move |b| (a, b)));
        let different = both.filter(|(a, b)| a < b);
        for (a, b) in different.collect::<Vec<_>>() {
            let (Some(one), Some(other)) = (entry(a), entry(b)) else {
                continue;
            };
            if meaning(one) == meaning(other) || pairs.len() >= MAX_TOLD || !pairs.insert((a, b)) {
                continue;
            }
            let texts = (
                automaton.text(&meeting.first),
                automaton.text(&meeting.second),
            );
            to.push(Remark {
                origin: other.spoken.origin.clone(),
                weight: Weight::Warning,
                text: told(name, texts, (one, other)),
            });
        }
    }
}

/// What the slot receives.
fn meaning(value: &ListValue) -> &str {
    value.value.as_deref().unwrap_or(&value.spoken.template)
}

fn told(name: &str, (a, b): (String, String), (one, other): (&ListValue, &ListValue)) -> String {
    match a == b {
        true => format!(
            "list `{name}`: \"{a}\" is said for `{}` and for `{}`, and only the first can be meant: \
             keep one of them",
            meaning(one),
            meaning(other)
        ),
        false => format!(
            "list `{name}`: \"{a}\" and \"{b}\" sound alike and cannot be told apart: put one of \
             them in other words"
        ),
    }
}
