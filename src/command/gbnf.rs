//! The sentences of all commands as a grammar for whoever writes text: what a language model may call.
//!
//! Enters: a compiled grammar. Leaves: rules in GBNF, of which [`ROOT`] is a sentence, each of its words with a
//! blank before it. A sentence in which a slot is filled twice, or that breaks a rule about contexts, is in the
//! grammar and is none to the matcher, who has the last word.

use std::collections::BTreeSet;

use super::graph::{Grammar, List, NodeId};
use super::spec::NumberRange;
use super::words::POSSESSIVE;

/// The rule of a sentence.
pub const ROOT: &str = "sentence";
/// More nodes than this are no grammar that a model could be told about.
const MAX_NODES: usize = 50_000;
/// Ranges of more numbers are described by their digits.
const MAX_LISTED: i64 = 32;
/// In steps, so many are listed; of more, those in between are in the grammar, too.
const MAX_STEPS: i64 = 2_048;
/// Larger numbers are spoken digit by digit, and are none to the matcher.
const LARGEST: i64 = 999_999_999;

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

/// The numbers of a range, in digits: one by one, or, where each is in it, by their digits.
fn numbers(range: &NumberRange) -> String {
    let step = range.step.max(1);
    let (from, to) = (range.from.max(-LARGEST), range.to.min(LARGEST));
    let n = (to.saturating_sub(from) / step).saturating_add(1);
    let ways = if n <= MAX_LISTED || (step > 1 && n <= MAX_STEPS) {
        let first = from + (range.from.wrapping_sub(from)).rem_euclid(step);
        let listed = (0..n)
            .map(|i| first + i * step)
            .filter(|value| *value <= to);
        let spoken = |value: i64| {
            let minus = if value < 0 { " minus" } else { "" };
            format!("\"{minus} {}\"", value.unsigned_abs())
        };
        listed.map(spoken).collect()
    } else {
        let mut ways = Vec::new();
        if to >= 0 {
            let digits = all_between(from.max(0) as u64, to as u64);
            ways.push(format!("\" \" ( {} )", digits.join(" | ")));
        }
        if from < 0 {
            let digits = all_between(to.min(-1).unsigned_abs(), from.unsigned_abs());
            ways.push(format!("\" minus \" ( {} )", digits.join(" | ")));
        }
        ways
    };
    format!("( {} )", ways.join(" | "))
}

/// Patterns of the digits of all numbers from `low` to `high`.
fn all_between(low: u64, high: u64) -> Vec<String> {
    let mut patterns = Vec::new();
    for n_digits in 1..=high.to_string().len() as u32 {
        let least = if n_digits == 1 {
            0
        } else {
            10_u64.pow(n_digits - 1)
        };
        let (low, high) = (low.max(least), high.min(10_u64.pow(n_digits) - 1));
        if low <= high {
            same_length("", (low, high), n_digits, &mut patterns);
        }
    }
    patterns
}

/// Those of the numbers of so many digits, leading zeros included, behind `prefix`.
fn same_length(prefix: &str, (low, high): (u64, u64), n_digits: u32, to: &mut Vec<String>) {
    let unit = 10_u64.pow(n_digits - 1);
    if (low, high) == (low / unit * unit, high / unit * unit + unit - 1) {
        // Whatever the digits behind the first.
        let first = format!("[{}-{}]", low / unit, high / unit);
        let rest = match n_digits - 1 {
            0 => String::new(),
            n => format!(" [0-9]{{{n}}}"),
        };
        return to.push(format!("{prefix}{first}{rest}"));
    }
    let (first, last) = (low / unit, high / unit);
    let whole = first + u64::from(low % unit > 0)..last + u64::from(high % unit == unit - 1);
    let digit = |digit: u64| format!("{prefix}\"{digit}\" ");
    if first == last {
        return same_length(&digit(first), (low % unit, high % unit), n_digits - 1, to);
    }
    if whole.start > first {
        same_length(&digit(first), (low % unit, unit - 1), n_digits - 1, to);
    }
    if !whole.is_empty() {
        let all = (whole.start * unit, whole.end * unit - 1);
        same_length(prefix, all, n_digits, to);
    }
    if whole.end <= last {
        same_length(&digit(last), (0, high % unit), n_digits - 1, to);
    }
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
        let stepped = NumberRange {
            step: 5,
            ..NumberRange::new(-5, 7)
        };
        assert_eq!(numbers(&stepped), "( \" minus 5\" | \" 0\" | \" 5\" )");
        assert_eq!(
            numbers(&NumberRange::new(-40, 120)),
            "( \" \" ( [0-9] | [1-9] [0-9]{1} | \"1\" [0-1] [0-9]{1} | \"1\" \"2\" [0-0] ) | \
             \" minus \" ( [1-9] | [1-3] [0-9]{1} | \"4\" [0-0] ) )"
        );
        assert!(numbers(&NumberRange::new(i64::MIN, i64::MAX)).contains("[1-9] [0-9]{8}"));
    }

    #[test]
    fn digits_are_those_of_the_numbers_and_of_no_others() {
        // A number fits a pattern digit by digit.
        let fits = |number: u64, pattern: &str| {
            let mut classes = Vec::new();
            for part in pattern.split(' ') {
                let bytes = part.as_bytes();
                let class = match bytes[0] {
                    b'"' => (bytes[1], bytes[1]),
                    _ => (bytes[1], bytes[3]),
                };
                let n = part
                    .split_once('{')
                    .map_or(1, |(_, n)| n[..n.len() - 1].parse().unwrap());
                classes.extend(std::iter::repeat_n(class, n));
            }
            let digits = number.to_string().into_bytes();
            digits.len() == classes.len()
                && digits
                    .iter()
                    .zip(classes)
                    .all(|(d, (low, high))| (low..=high).contains(d))
        };
        for (low, high) in [
            (0, 600),
            (7, 7),
            (1, 999),
            (99, 1_001),
            (350, 361),
            (123, 4_567),
        ] {
            let patterns = all_between(low, high);
            for number in 0..6_000 {
                let n_fit = patterns
                    .iter()
                    .filter(|pattern| fits(number, pattern))
                    .count();
                assert_eq!(
                    n_fit,
                    usize::from((low..=high).contains(&number)),
                    "{number}: {patterns:?}"
                );
            }
        }
    }

    #[test]
    fn without_commands_there_is_nothing_to_call() {
        assert_eq!(Grammar::default().gbnf(), None);
    }
}
