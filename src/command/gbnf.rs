//! The sentences of all commands as a grammar for whoever writes text: what a language model may call.
//!
//! Enters: a compiled grammar. Leaves: rules in GBNF, of which [`ROOT`] is a sentence, each of its words with a
//! blank before it. A sentence in which a slot is filled twice, or that breaks a rule about contexts, is in the
//! grammar and is none to the matcher, who has the last word.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::graph::{Grammar, List, NodeId};
use super::spec::NumberRange;
use super::words::POSSESSIVE;

/// The rule of a sentence.
pub const ROOT: &str = "sentence";
/// More nodes than this are no grammar that a model could be told about.
const MAX_NODES: usize = 50_000;
/// Ranges of more numbers are any number of as many digits.
const MAX_NUMBERS: i64 = 256;

impl Grammar {
    /// Rules for the sentences of all commands; none where there are no commands, or far too many sentences.
    pub fn gbnf(&self) -> Option<String> {
        if self.commands.is_empty() || self.n_nodes() > MAX_NODES {
            return None;
        }
        let starts = self
            .commands
            .iter()
            .map(|command| format!("n{}", command.start));
        let mut rules = format!("{ROOT} ::= {}\n", starts.collect::<Vec<_>>().join(" | "));
        let mut seen: BTreeSet<NodeId> = self.commands.iter().map(|c| c.start).collect();
        let mut open: Vec<NodeId> = seen.iter().copied().collect();
        while let Some(node) = open.pop() {
            let (ways, next) = self.ways(node);
            rules.push_str(&rule(&format!("n{node}"), &ways));
            open.extend(next.into_iter().filter(|to| seen.insert(*to)));
        }
        Some(rules)
    }

    /// How a sentence may go on from a node, and the nodes that this needs.
    fn ways(&self, node: NodeId) -> (Vec<String>, Vec<NodeId>) {
        let node = self.node(node);
        let (mut ways, mut next) = (Vec::new(), Vec::new());
        ways.extend(node.accept.map(|_| "\"\"".to_owned()));
        for (word, to) in node.words {
            let word = &*self.words[*word as usize];
            let space = if word == POSSESSIVE { "" } else { " " };
            ways.push(format!("{} n{to}", quoted(&format!("{space}{word}"))));
            next.push(*to);
        }
        // What costs something was not meant to be left out.
        for (to, _) in node.empty.iter().filter(|(_, cost)| *cost == 0.0) {
            ways.push(format!("n{to}"));
            next.push(*to);
        }
        for edge in node.lists {
            let value = match &self.lists[edge.list as usize] {
                List::Values { start, .. } | List::Builtin { start, .. } => {
                    next.push(*start);
                    format!("n{start}")
                }
                List::Range(range) => numbers(range),
                List::Free => "( \" \" [^\\x00-\\x20]+ ){1,20}".to_owned(),
            };
            ways.push(format!("{value} n{}", edge.to));
            next.push(edge.to);
        }
        (ways, next)
    }
}

fn rule(name: &str, ways: &[String]) -> String {
    // A node that leads nowhere accepts nothing; no sentence comes here.
    let ways = match ways.is_empty() {
        true => "\"\\x00\"".to_owned(),
        false => ways.join(" | "),
    };
    format!("{name} ::= {ways}\n")
}

/// The numbers of a range, in digits.
fn numbers(range: &NumberRange) -> String {
    let step = range.step.max(1);
    let spoken = |value: i64| {
        let minus = if value < 0 { " minus" } else { "" };
        format!("\"{minus} {}\"", value.unsigned_abs())
    };
    if range.to.saturating_sub(range.from) / step < MAX_NUMBERS {
        let mut ways = String::new();
        let mut value = range.from;
        while value <= range.to {
            let or = if ways.is_empty() { "" } else { " | " };
            let _ = write!(ways, "{or}{}", spoken(value));
            value += step;
        }
        return format!("( {ways} )");
    }
    let longest = range
        .from
        .unsigned_abs()
        .max(range.to.unsigned_abs())
        .min(999_999_999);
    let minus = if range.from < 0 { "\" minus\"? " } else { "" };
    format!("( {minus}\" \" [0-9]{{1,{}}} )", longest.to_string().len())
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted + "\""
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::command::test_grammar::{compiled, spec_of};

    #[test]
    fn rules_name_words_lists_and_numbers() {
        let grammar = compiled(&spec_of(&[(
            "dim",
            "dim [the] kitchen's light to {1..3:level}",
        )]));
        let rules = grammar.gbnf().unwrap();
        assert!(rules.starts_with("sentence ::= n"), "{rules}");
        for part in [
            "\" dim\" n",
            "\" the\" n",
            "\" kitchen\" n",
            "\"'s\" n",
            "( \" 1\" | \" 2\" | \" 3\" ) n",
        ] {
            assert!(rules.contains(part), "{part}: {rules}");
        }
    }

    #[test]
    fn numbers_are_those_of_the_range() {
        assert_eq!(
            numbers(&NumberRange::new(-1, 1)),
            "( \" minus 1\" | \" 0\" | \" 1\" )"
        );
        assert_eq!(numbers(&NumberRange::new(0, 1000)), "( \" \" [0-9]{1,4} )");
        assert!(numbers(&NumberRange::new(i64::MIN, i64::MAX)).contains("{1,9}"));
    }

    #[test]
    fn without_commands_there_is_nothing_to_call() {
        assert_eq!(Grammar::default().gbnf(), None);
    }
}
