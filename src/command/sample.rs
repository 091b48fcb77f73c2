//! Sentences at random: what somebody might say.
//!
//! Enters: a compiled grammar and a seed. Leaves: sentences with the slots they fill. A walk through
//! the graph in which every sentence of a command is about as likely as every other one; nothing is
//! listed beforehand. The same seed gives the same sentences.

use std::collections::BTreeMap;

use super::graph::{Grammar, List, ListId, NodeId, SlotId};
use super::numbers;
use super::spec::Context;
use super::words::POSSESSIVE;
use crate::random::Random;

/// Walks that are begun before a command is given up: one of its sentences may need a slot twice,
/// which nobody can say.
const MAX_WALKS: usize = 100;
/// Ways to go on are not counted beyond this: their product must stay a number.
const MAX_WAYS: f64 = 1e100;
/// Larger numbers are spoken digit by digit, and are none to the matcher.
const LARGEST: i64 = 999_999_999;

/// What is said where any words would do.
const ANYTHING: &str = "something";

/// A sentence of a command.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampled {
    /// Index of the command.
    pub command: usize,
    /// Its name.
    pub name: String,
    /// The sentence, in words and digits.
    pub text: String,
    /// Slots that it fills.
    pub slots: BTreeMap<String, String>,
}

/// Draws sentences.
pub struct Sampler<'g> {
    grammar: &'g Grammar,
    /// Ways to go on from each node to an end.
    ways: Vec<f64>,
    random: Random,
}

/// What a walk has said so far.
#[derive(Default)]
struct Walk<'g> {
    words: Vec<String>,
    filled: Vec<(SlotId, String)>,
    contexts: Vec<&'g Context>,
}

/// How a walk goes on.
#[derive(Clone, Copy)]
enum Turn {
    End(u32),
    Word(u32, NodeId),
    Empty(NodeId),
    List(ListId, SlotId, NodeId),
}

impl<'g> Sampler<'g> {
    /// A sampler; looks at every node of `grammar` a few times.
    pub fn new(grammar: &'g Grammar, seed: u64) -> Self {
        let mut sampler = Sampler {
            grammar,
            ways: vec![0.0; grammar.n_nodes()],
            random: Random::new(seed),
        };
        // Edges lead upward; only the lists, which are there first, may stand anywhere.
        for _ in 0..2 {
            for node in (0..grammar.n_nodes()).rev() {
                let turns = sampler.turns(node as NodeId, &[]);
                let all: f64 = turns.iter().map(|(_, ways)| ways).sum();
                sampler.ways[node] = all.min(MAX_WAYS);
            }
        }
        sampler
    }

    /// A sentence of the command of that index; none when it has none.
    pub fn sentence(&mut self, command: usize) -> Option<Sampled> {
        let compiled = self.grammar.commands.get(command)?;
        for _ in 0..MAX_WALKS {
            let mut walk = Walk::default();
            if self.walk(compiled.start, &mut walk).is_none() || walk.words.is_empty() {
                continue;
            }
            let (rules, contexts) = (&compiled.rules, &walk.contexts);
            let is_meant = contexts.iter().all(|context| rules.allow(context));
            if !is_meant || !rules.are_met_by(contexts) {
                continue;
            }
            let copied: Vec<(String, String)> = (rules.slots(contexts))
                .map(|(slot, value)| (slot.clone(), value.clone()))
                .collect();
            let slot = |(slot, value): (SlotId, String)| {
                (self.grammar.slots[slot as usize].clone(), value)
            };
            let mut slots = compiled.fixed_slots.clone();
            slots.extend(walk.filled.into_iter().map(slot));
            for (slot, value) in copied {
                slots.entry(slot).or_insert(value);
            }
            return Some(Sampled {
                command,
                name: compiled.name.clone(),
                text: joined(&walk.words),
                slots,
            });
        }
        None
    }

    /// From `node` to an end, and what is accepted there; none in a dead end.
    fn walk(&mut self, mut node: NodeId, walk: &mut Walk<'g>) -> Option<u32> {
        let grammar = self.grammar;
        loop {
            let turns = self.turns(node, &walk.filled);
            node = match self.choose(&turns)? {
                Turn::End(value) => return Some(value),
                Turn::Empty(to) => to,
                Turn::Word(word, to) => {
                    walk.words.push(grammar.words[word as usize].to_string());
                    to
                }
                Turn::List(list, slot, to) => {
                    let value = self.value(list, walk)?;
                    walk.filled.push((slot, value));
                    to
                }
            };
        }
    }

    /// Says a value of the list, and gives it.
    fn value(&mut self, list: ListId, walk: &mut Walk<'g>) -> Option<String> {
        let grammar = self.grammar;
        match &grammar.lists[list as usize] {
            List::Values { start, values, .. } => {
                let value = self.walk(*start, walk)?;
                walk.contexts.extend(grammar.context(list, value));
                values.get(value as usize).map(|value| value.to_string())
            }
            List::Range(range) => {
                let (first, n) = numbers_of(range.from, range.to, range.step);
                let value = first + self.random.below(n)? as i64 * range.step.max(1);
                self.number(value, walk);
                Some(numbers::decimal(range.multiplied(value * 10)))
            }
            List::Builtin { start, ways } => {
                let n_filled = walk.filled.len();
                let way = self.walk(*start, walk)?;
                let parts = walk.filled.split_off(n_filled);
                let part = |slot: SlotId| {
                    let found = parts.iter().find(|(part, _)| *part == slot)?;
                    found.1.parse().ok()
                };
                Some(ways.text(ways.value(way, part)?))
            }
            List::Free => {
                walk.words.push(ANYTHING.to_owned());
                Some(ANYTHING.to_owned())
            }
        }
    }

    /// Says a number in digits or in words.
    fn number(&mut self, value: i64, walk: &mut Walk) {
        let digits = value.unsigned_abs().to_string();
        if value < 0 {
            walk.words.push("minus".to_owned());
        }
        if self.random.unit() < 0.5 {
            walk.words.push(digits);
        } else {
            numbers::spell(&digits, &mut walk.words);
        }
    }

    /// How a sentence may go on from `node`, each with the number of ways it leads to.
    fn turns(&self, node: NodeId, filled: &[(SlotId, String)]) -> Vec<(Turn, f64)> {
        let node = self.grammar.node(node);
        let ways = |to: &NodeId| self.ways[*to as usize];
        let mut turns: Vec<(Turn, f64)> = Vec::new();
        turns.extend(node.accept.map(|value| (Turn::End(value), 1.0)));
        let words = node.words.iter();
        turns.extend(words.map(|(word, to)| (Turn::Word(*word, *to), ways(to))));
        // What costs something was not meant to be left out.
        let free = node.empty.iter().filter(|(_, cost)| *cost == 0.0);
        turns.extend(free.map(|(to, _)| (Turn::Empty(*to), ways(to))));
        for edge in node.lists {
            if filled.iter().any(|(slot, _)| *slot == edge.slot) {
                continue;
            }
            let values = match &self.grammar.lists[edge.list as usize] {
                List::Values { start, .. } | List::Builtin { start, .. } => ways(start),
                List::Range(range) => numbers_of(range.from, range.to, range.step).1 as f64,
                List::Free => 1.0,
            };
            let turn = Turn::List(edge.list, edge.slot, edge.to);
            turns.push((turn, (values * ways(&edge.to)).min(MAX_WAYS)));
        }
        turns
    }

    fn choose(&mut self, turns: &[(Turn, f64)]) -> Option<Turn> {
        let all: f64 = turns.iter().map(|(_, ways)| ways).sum();
        let mut left = self.random.unit() * all;
        let open = turns.iter().filter(|(_, ways)| *ways > 0.0);
        let mut last = None;
        for (turn, ways) in open {
            last = Some(*turn);
            left -= ways;
            if left < 0.0 {
                break;
            }
        }
        last
    }
}

/// The first number of a range that can be said, and how many there are.
fn numbers_of(from: i64, to: i64, step: i64) -> (i64, u64) {
    let (least, step) = (from.max(-LARGEST), step.max(1));
    // The next one of those counted from `from`.
    let first = least.saturating_add((from.wrapping_sub(least)).rem_euclid(step));
    let last = to.min(LARGEST);
    match last < first {
        true => (first, 0),
        false => (first, ((last - first) / step) as u64 + 1),
    }
}

/// Words as a sentence.
fn joined(words: &[String]) -> String {
    let mut text = String::new();
    for word in words {
        if !text.is_empty() && word != POSSESSIVE {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::command::test_grammar::{compiled, spec_of};
    use crate::command::{ListSpec, Match, MatchOptions, Matcher, NumberRange};

    fn grammar(sentences: &[&str]) -> Arc<Grammar> {
        let names: Vec<String> = (0..sentences.len()).map(|i| format!("c{i}")).collect();
        let names = names.iter().map(String::as_str);
        let commands: Vec<_> = names.zip(sentences.iter().copied()).collect();
        let mut spec = spec_of(&commands);
        let levels = ListSpec::Range(NumberRange {
            step: 5,
            ..NumberRange::new(-10, 30)
        });
        spec.lists.insert("level".to_owned(), levels);
        compiled(&spec)
    }

    #[test]
    fn every_sentence_is_understood_as_the_command_it_was_drawn_from() {
        let grammar = grammar(&[
            "turn (on|off) [the] light[s]",
            "(dim;the lights) to {level} (%|percent)",
            "what's the (time|kitchen's hour)",
            "count from {0..1000:a} to {0..1000:b}",
            "wait {duration:long} please",
            "note {text*} for {time:at}",
        ]);
        let matcher = Matcher::new(grammar.clone(), MatchOptions::default());
        let mut sampler = Sampler::new(&grammar, 7);
        for i in 0..900 {
            let sampled = sampler.sentence(i % 6).unwrap();
            let understood = matcher.match_text(&sampled.text);
            let Match::Accepted { command, slots, .. } = understood else {
                panic!("{sampled:?}: {understood:?}");
            };
            assert_eq!((command, &slots), (i % 6, &sampled.slots), "{sampled:?}");
        }
    }

    #[test]
    fn sentences_are_about_equally_likely_and_the_seed_decides() {
        let grammar = grammar(&["(a|(b|c) (d|e|f|g))"]);
        let draw = |seed: u64| -> Vec<String> {
            let mut sampler = Sampler::new(&grammar, seed);
            let texts = (0..900).map(|_| sampler.sentence(0).unwrap().text);
            texts.collect()
        };
        let texts = draw(1);
        assert_eq!(texts, draw(1));
        assert_ne!(texts, draw(2));
        let distinct: BTreeSet<&String> = texts.iter().collect();
        assert_eq!(distinct.len(), 9);
        for text in distinct {
            let n = texts.iter().filter(|other| *other == text).count();
            assert!((60..140).contains(&n), "{text}: {n} of 900, 100 expected");
        }
    }

    #[test]
    fn a_slot_is_filled_once() {
        let sampler_of = |template: &str| {
            let grammar = grammar(&[template]);
            let sampled = Sampler::new(&grammar, 3).sentence(0);
            sampled.map(|sampled| sampled.text.split(' ').count())
        };
        assert_eq!(sampler_of("go {level} {level}"), None);
        assert!(sampler_of("go {level} [{level}]").is_some());
    }

    #[test]
    fn numbers_too_large_to_be_spoken_are_left_out() {
        assert_eq!(numbers_of(0, 10, 5), (0, 3));
        assert_eq!(numbers_of(2_000_000_000, 3_000_000_000, 1).1, 0);
        let (first, n) = numbers_of(-2_000_000_001, 5, 10);
        assert_eq!(first, -999_999_991);
        assert!(n > 1_000_000);
    }
}
