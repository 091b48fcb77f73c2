//! Whether words that are a command can still become something else.
//!
//! Enters: the words said so far. Leaves: the command they are, when no longer sentence that begins
//! with them means anything else. Walks the graph word by word, into lists and numbers; where it
//! cannot tell, it says that they can. Pure.

use std::collections::BTreeSet;

use super::graph::{Grammar, List, ListEdge, NodeId};
use super::matcher::{Match, Matcher};
use super::numbers;
use super::spec::{Fractions, NumberRange};
use super::words::Spoken;

/// Longest range whose numbers are compared one by one.
const MAX_NUMBERS: i64 = 10_000;

impl Matcher {
    /// The command that `text` is word for word, when nothing that may follow can change it.
    pub(crate) fn settled(&self, text: &str) -> Option<Match> {
        let spoken = Spoken::new(text);
        let found = self.word_for_word(&spoken);
        let Match::Accepted { command, slots, .. } = &found else {
            return None;
        };
        let fixed = &self.grammar().commands[*command].fixed_slots;
        let n_filled = slots
            .keys()
            .filter(|slot| !fixed.contains_key(*slot))
            .count();
        let walk = Walk {
            grammar: self.grammar(),
            words: &spoken.words,
            name_id: self.grammar().commands[*command].name_id,
            n_filled,
        };
        (!walk.can_change()).then_some(found)
    }
}

/// A place in the graph that the words so far lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    command: usize,
    node: NodeId,
    /// Where the list ends that `node` is in.
    back: Option<NodeId>,
    /// Lists that were passed.
    n_filled: usize,
}

struct Walk<'a> {
    grammar: &'a Grammar,
    words: &'a [String],
    /// The command that the words are.
    name_id: usize,
    n_filled: usize,
}

impl Walk<'_> {
    fn can_change(&self) -> bool {
        let mut places = vec![BTreeSet::new(); self.words.len() + 1];
        for (command, compiled) in self.grammar.commands.iter().enumerate() {
            places[0].insert(Place {
                command,
                node: compiled.start,
                back: None,
                n_filled: 0,
            });
        }
        for at in 0..self.words.len() {
            let mut open: Vec<Place> = places[at].iter().copied().collect();
            while let Some(place) = open.pop() {
                for next in self.beside(place) {
                    if places[at].insert(next) {
                        open.push(next);
                    }
                }
                let node = self.grammar.node(place.node);
                let word = self.grammar.word_ids.get(self.words[at].as_str());
                let edges = node.words.iter().filter(|(id, _)| Some(id) == word);
                places[at + 1].extend(edges.map(|(_, to)| Place { node: *to, ..place }));
                for edge in node.lists.iter().filter(|_| place.back.is_none()) {
                    let Some(ends) = self.ends(*edge, at) else {
                        return true;
                    };
                    for end in ends {
                        places[end].insert(after(place, *edge));
                    }
                }
            }
        }
        let ends = places.pop().unwrap_or_default();
        // Where the words do not lead to the command, some were ignored, and nothing is certain.
        !ends.iter().any(|place| self.is_reached(*place))
            || ends.into_iter().any(|place| self.leads_astray(place))
    }

    /// Places that no word is needed for.
    fn beside(&self, place: Place) -> Vec<Place> {
        let node = self.grammar.node(place.node);
        let empty = node
            .empty
            .iter()
            .map(|(to, _)| Place { node: *to, ..place });
        let back = node.accept.and(place.back).map(|to| Place {
            node: to,
            back: None,
            n_filled: place.n_filled + 1,
            ..place
        });
        let lists = node.lists.iter().filter(|_| place.back.is_none());
        let inside = lists.filter_map(|edge| match self.grammar.lists[edge.list as usize] {
            List::Values { start, .. } => Some(Place {
                node: start,
                back: Some(edge.to),
                ..place
            }),
            _ => None,
        });
        empty.chain(back).chain(inside).collect()
    }

    /// Positions at which a value of a list that begins at `at` can end, where no graph says so;
    /// none when it may go on behind the last word.
    fn ends(&self, edge: ListEdge, at: usize) -> Option<Vec<usize>> {
        let range = match &self.grammar.lists[edge.list as usize] {
            List::Values { .. } => return Some(Vec::new()),
            List::Range(range) if range.fractions == Fractions::None => *range,
            _ => return None,
        };
        let words = &self.words[at..];
        if goes_on(words, range) {
            return None;
        }
        let NumberRange { from, to, step, .. } = range;
        let readings = numbers::readings(words).into_iter();
        let fits = |value: i64| value >= from && value <= to && (value - from) % step == 0;
        let ends = readings.filter(|(_, value)| fits(*value));
        Some(ends.map(|(n_words, _)| at + n_words).collect())
    }

    fn is_same(&self, place: Place) -> bool {
        let name_id = self.grammar.commands[place.command].name_id;
        name_id == self.name_id && place.n_filled == self.n_filled
    }

    /// Whether the command is complete here.
    fn is_reached(&self, place: Place) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![place];
        while let Some(place) = open.pop() {
            let accepts = self.grammar.node(place.node).accept.is_some();
            if accepts && place.back.is_none() && self.is_same(place) {
                return true;
            }
            let next = self.beside(place).into_iter();
            open.extend(next.filter(|place| seen.insert(*place)));
        }
        false
    }

    /// Whether more words from here on can mean anything but the command.
    fn leads_astray(&self, place: Place) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![place];
        while let Some(place) = open.pop() {
            let is_same = self.is_same(place);
            let node = self.grammar.node(place.node);
            let takes_words = !node.words.is_empty();
            let takes_values = !node.lists.is_empty();
            if takes_values || (takes_words && (!is_same || place.back.is_some())) {
                return true;
            }
            // Words that change nothing, such as "please", may follow.
            let words = node
                .words
                .iter()
                .map(|(_, to)| Place { node: *to, ..place });
            let next: Vec<_> = self.beside(place).into_iter().chain(words).collect();
            open.extend(next.into_iter().filter(|place| seen.insert(place.node)));
        }
        false
    }
}

fn after(place: Place, edge: ListEdge) -> Place {
    Place {
        node: edge.to,
        n_filled: place.n_filled + 1,
        ..place
    }
}

/// Whether `words`, to the last, are the beginning of a longer number of the range.
fn goes_on(words: &[String], NumberRange { from, to, step, .. }: NumberRange) -> bool {
    let is_part = |word: &String| numbers::is_number_word(word) || word == "and" || word == "a";
    if !words.iter().all(is_part) {
        return false;
    }
    if (to - from) / step > MAX_NUMBERS {
        return true;
    }
    let said: Vec<&String> = words.iter().filter(|word| *word != "and").collect();
    let mut spelled = Vec::new();
    let mut value = from;
    while value <= to {
        spelled.clear();
        if value < 0 {
            spelled.push("minus".to_owned());
        }
        numbers::spell_cardinal(u32::try_from(value.abs()).unwrap_or(0), &mut spelled);
        let begins = said
            .iter()
            .zip(&spelled)
            .all(|(said, word)| *said == word || (*said == "a" && word == "one"));
        if begins && spelled.len() > said.len() {
            return true;
        }
        value += step;
    }
    false
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::command::{CommandSpec, GrammarSpec, ListSpec, ListValue, MatchOptions, Sentence};

    fn sentence(template: &str) -> Sentence {
        Sentence {
            template: template.to_owned(),
            ..Sentence::default()
        }
    }

    fn settled(templates: &[&str], text: &str) -> bool {
        let commands = templates
            .iter()
            .enumerate()
            .map(|(i, template)| CommandSpec {
                name: format!("c{i}"),
                sentences: vec![sentence(template)],
                ..CommandSpec::default()
            });
        let rooms = ["kitchen", "living", "living room"].map(|room| ListValue {
            spoken: sentence(room),
            value: None,
            context: Default::default(),
        });
        let spec = GrammarSpec {
            commands: commands.collect(),
            lists: BTreeMap::from([("room".to_owned(), ListSpec::Values(rooms.into()))]),
            ..GrammarSpec::default()
        };
        let mut errors = Vec::new();
        let grammar = Grammar::compile(&spec, &mut errors);
        assert!(errors.is_empty(), "{errors:?}");
        let matcher = Matcher::new(Arc::new(grammar), MatchOptions::default());
        matcher.settled(text).is_some()
    }

    #[test]
    fn what_can_become_another_command_is_not_settled() {
        assert!(settled(&["lights off"], "Lights off."));
        assert!(!settled(&["lights off"], "lights"));
        assert!(!settled(
            &["lights off", "lights off at noon"],
            "lights off"
        ));
        assert!(settled(&["lights off", "lights on at noon"], "lights off"));
        assert!(!settled(&["lights off [in the {room}]"], "lights off"));
        assert!(settled(
            &["lights off [in the {room}]"],
            "lights off in the kitchen"
        ));
        assert!(!settled(
            &["lights off [in the {room}]"],
            "lights off in the living"
        ));
        assert!(settled(
            &["lights off [in the {room}]"],
            "lights off in the living room"
        ));
        assert!(!settled(&["{room} off", "kitchen off now"], "kitchen off"));
    }

    #[test]
    fn small_talk_behind_it_changes_nothing() {
        assert!(settled(&["lights off [(please|now)]"], "lights off"));
        assert!(settled(&["{room} off [please]"], "kitchen off"));
    }

    #[test]
    fn numbers_may_go_on() {
        let volume = ["volume {0..100:level}"];
        assert!(!settled(&volume, "volume twenty"));
        assert!(settled(&volume, "volume 21"));
        assert!(settled(&volume, "volume fifteen"));
        assert!(settled(&volume, "volume five"));
        assert!(settled(&volume, "volume one hundred"));
        assert!(!settled(&volume, "volume one"));
        assert!(!settled(&["volume {0..1000:level}"], "volume five"));
        assert!(!settled(&["volume {0..1000000:level}"], "volume five"));
        assert!(settled(
            &["volume {0..100:level} percent"],
            "volume twenty percent"
        ));
    }
}
