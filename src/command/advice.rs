//! What is allowed in commands and was probably not meant.
//!
//! In: commands as written. Out: remarks with their places, each a mistake (it keeps a command from
//! being understood) or a warning. Looks at the machine for programs and folders; runs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::action::{Action, Shell};
use super::spec::{CommandSpec, GrammarSpec, ListSpec, Origin, Sentence};
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

/// Everything remarkable about `spec`, in order of the commands.
pub fn remarks(spec: &GrammarSpec) -> Vec<Remark> {
    let mut remarks = Vec::new();
    same_names(spec, &mut remarks);
    shared_sentences(spec, &mut remarks);
    for command in &spec.commands {
        if let Some(action) = &command.action {
            let texts = missing(action).into_iter();
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
    for command in &spec.commands {
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

fn shared_sentences(spec: &GrammarSpec, to: &mut Vec<Remark>) {
    let mut first: BTreeMap<Vec<String>, (&CommandSpec, &Sentence)> = BTreeMap::new();
    for command in &spec.commands {
        for sentence in &command.sentences {
            for spoken in spoken(command, sentence) {
                let (owner, other) = *first.entry(spoken.clone()).or_insert((command, sentence));
                if owner.name == command.name {
                    continue;
                }
                let text = format!(
                    "command `{}`: \"{}\" is also said for `{}` ({}); it is ambiguous, and neither \
                     is done",
                    command.name,
                    spoken.join(" "),
                    owner.name,
                    other.origin
                );
                to.push(remark(&sentence.origin, Weight::Mistake, text));
                // One example is enough for a sentence.
                break;
            }
        }
    }
}

/// Most ways to say a sentence that are compared.
const MAX_FORMS: usize = 500;

/// Ways to say a sentence, as normalised words. A list of all commands stands for itself; one of
/// the command's own may mean something else in every command, so it is told apart by its owner.
fn spoken(command: &CommandSpec, sentence: &Sentence) -> BTreeSet<Vec<String>> {
    let Ok(node) = template::parse(&sentence.template) else {
        return BTreeSet::new();
    };
    let mut forms = forms(command, &node);
    forms.truncate(MAX_FORMS);
    let words =
        |form: String| -> Vec<String> { form.split_whitespace().map(str::to_lowercase).collect() };
    forms.into_iter().map(words).collect()
}

fn forms(command: &CommandSpec, node: &Node) -> Vec<String> {
    let joined = |parts: &[Node]| {
        parts.iter().fold(vec![String::new()], |before, part| {
            let after = forms(command, part);
            let both = before
                .iter()
                .flat_map(|a| after.iter().map(move |b| format!("{a}{b}")));
            both.take(MAX_FORMS).collect()
        })
    };
    match node {
        Node::Text(text) => vec![text.clone()],
        Node::Sequence(parts) => joined(parts),
        Node::Choice(parts) => parts.iter().flat_map(|part| forms(command, part)).collect(),
        Node::Optional(part) => [vec![String::new()], forms(command, part)].concat(),
        // The order as written stands for all.
        Node::Permutation(parts) => joined(parts),
        Node::List { list, .. } => match command.lists.get(list) {
            Some(ListSpec::Values(values)) => {
                let spoken = values.iter().map(|value| value.spoken.template.clone());
                spoken.collect()
            }
            _ => vec![format!("{{{list}}}")],
        },
        Node::Range { from, to, .. } => vec![format!("{{{from}..{to}}}")],
        Node::Rule { rule, .. } => vec![format!("<{rule}>")],
    }
}

/// What the action needs and this machine does not have.
fn missing(action: &Action) -> Vec<String> {
    let mut missing = Vec::new();
    if action.shell == Shell::No && !can_run(&action.program) {
        missing.push(match action.program.contains('/') {
            true => format!("there is no program {}", action.program),
            false => format!("the program `{}` is not found in PATH", action.program),
        });
    }
    if let Some(cwd) = action.cwd.as_deref().filter(|cwd| !cwd.is_dir()) {
        missing.push(format!("there is no folder {} to run in", cwd.display()));
    }
    missing
}

fn can_run(program: &str) -> bool {
    let is_program = |path: &Path| {
        let found = path.metadata();
        found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return is_program(Path::new(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| is_program(&folder.join(program)))
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
            Node::Text(_) | Node::Range { .. } => {}
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
fn place(list: &ListSpec, spec: &GrammarSpec) -> Origin {
    let first = match list {
        ListSpec::Values(values) => values.first().map(|value| value.spoken.origin.clone()),
        ListSpec::Range { .. } => None,
    };
    let file = || {
        spec.commands.first().map(|command| Origin {
            line: 0,
            ..command.origin.clone()
        })
    };
    first.or_else(file).unwrap_or_default()
}
