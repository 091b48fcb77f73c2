//! What is allowed in commands and was probably not meant.
//!
//! In: commands as written. Out: remarks with their places, each a mistake (it keeps a command from
//! being understood) or a warning. Looks at the machine for programs, folders and files; runs
//! nothing and connects to nobody.

use std::collections::{BTreeMap, BTreeSet};

use super::lint;
use super::spec::{GrammarSpec, ListSpec, Origin, Sentence};
use super::template::{self, Node};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// A command is not understood, or cannot be told from another.
    Mistake,
    /// Something is of no use, or missing on this machine.
    Warning,
}

/// Something to look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Remark {
    /// The place.
    pub origin: Origin,
    /// How bad it is.
    pub weight: Weight,
    /// What it is and what to do.
    pub text: String,
}

/// Everything remarkable about `spec`.
pub fn remarks(spec: &GrammarSpec) -> Vec<Remark> {
    let mut remarks = Vec::new();
    same_names(spec, &mut remarks);
    remarks.append(&mut lint::remarks(spec));
    for command in &spec.commands {
        if let Some(action) = &command.action {
            let texts = action.lacks().into_iter();
            remarks.extend(texts.map(|text| {
                remark(
                    &command.origin,
                    Weight::Warning,
                    format!("command `{}`: {text}", command.name),
                )
            }));
        }
    }
    unused(spec, &mut remarks);
    remarks
}

fn remark(origin: &Origin, weight: Weight, text: String) -> Remark {
    Remark {
        origin: origin.clone(),
        weight,
        text,
    }
}

fn same_names(spec: &GrammarSpec, to: &mut Vec<Remark>) {
    let mut first: BTreeMap<&str, &Origin> = BTreeMap::new();
    // The blocks of one command share its name.
    for command in spec.commands.iter().filter(|command| !command.is_block) {
        match first.get(command.name.as_str()) {
            Some(origin) => {
                let text = format!(
                    "the name `{}` is taken by the command at {origin}; their events cannot be \
                     told apart",
                    command.name
                );
                to.push(remark(&command.origin, Weight::Mistake, text));
            }
            None => drop(first.insert(&command.name, &command.origin)),
        }
    }
}

/// Names of lists and rules that something mentions.
#[derive(Default)]
struct Used {
    lists: BTreeSet<String>,
    rules: BTreeSet<String>,
}

impl Used {
    fn read(&mut self, sentence: &Sentence) {
        if let Ok(node) = template::parse(&sentence.template) {
            self.add(&node);
        }
    }

    fn add(&mut self, node: &Node) {
        match node {
            Node::Sequence(parts) | Node::Choice(parts) | Node::Permutation(parts) => {
                parts.iter().for_each(|part| self.add(part));
            }
            Node::Optional(part) => self.add(part),
            Node::List { list, .. } => drop(self.lists.insert(list.clone())),
            Node::Rule { rule, .. } => drop(self.rules.insert(rule.clone())),
            Node::Text(_) | Node::Range { .. } | Node::Free { .. } => {}
        }
    }

    fn add_values(&mut self, list: &ListSpec) {
        if let ListSpec::Values(values) = list {
            values.iter().for_each(|value| self.read(&value.spoken));
        }
    }
}

fn unused(spec: &GrammarSpec, to: &mut Vec<Remark>) {
    let mut used = Used::default();
    for command in &spec.commands {
        command
            .sentences
            .iter()
            .for_each(|sentence| used.read(sentence));
        command
            .lists
            .values()
            .for_each(|list| used.add_values(list));
    }
    spec.rules.values().for_each(|rule| used.read(rule));
    spec.lists.values().for_each(|list| used.add_values(list));
    for (name, list) in spec
        .lists
        .iter()
        .filter(|(name, _)| !used.lists.contains(*name))
    {
        let text = format!("no sentence uses the list `{name}`");
        to.push(remark(&place(list, spec), Weight::Warning, text));
    }
    for (name, rule) in spec
        .rules
        .iter()
        .filter(|(name, _)| !used.rules.contains(*name))
    {
        let text = format!("no sentence uses the rule `{name}`");
        to.push(remark(&rule.origin, Weight::Warning, text));
    }
    for command in &spec.commands {
        let mut own = Used::default();
        command
            .sentences
            .iter()
            .for_each(|sentence| own.read(sentence));
        // A rule may use a list that only this command has.
        let is_used = |name: &String| own.lists.contains(name) || !own.rules.is_empty();
        for name in command.lists.keys().filter(|name| !is_used(name)) {
            let text = format!(
                "command `{}`: no sentence uses its list `{name}`",
                command.name
            );
            to.push(remark(&command.origin, Weight::Warning, text));
        }
    }
}

/// Where a list is written: at its first value, or, for numbers, in the file of the commands.
pub(super) fn place(list: &ListSpec, spec: &GrammarSpec) -> Origin {
    let first = match list {
        ListSpec::Values(values) => values.first().map(|value| value.spoken.origin.clone()),
        ListSpec::Range(_) | ListSpec::Free => None,
    };
    let file = || {
        spec.commands.first().map(|command| Origin {
            line: 0,
            ..command.origin.clone()
        })
    };
    first.or_else(file).unwrap_or_default()
}
