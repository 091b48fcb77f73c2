//! What may be said, token by token: the grammar as a [`Guide`] of the recogniser's search.
//!
//! Enters: a compiled grammar and a model's vocabulary. Leaves: an automaton whose states are made
//! as they are reached, each a set of places in the grammar with the part of a word that has been
//! written since. A word of the grammar may be written as people and models do: with a capital, in
//! digits, joined by a hyphen, abbreviated, with punctuation behind it. What comes out is text that
//! the matcher understands as it stands; slots are its business.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::graph::{Grammar, List, NodeId};
use super::numbers;
use super::spec::{Fractions, NumberRange};
use super::words::POSSESSIVE;
use crate::whisper::Guide;

/// Most states kept; a grammar of which more is heard is begun anew.
const MAX_STATES: usize = 20_000;
/// Most numbers of a range that is looked for in the audio. Of a larger one none is: a number that is
/// left out would be heard as another.
const MAX_NUMBERS: usize = 1_000;
/// Longest token of interest, in bytes.
const MAX_TOKEN_BYTES: usize = 24;

/// A model's tokens by their text in lower case.
pub(crate) struct Vocabulary {
    tokens: HashMap<Box<str>, Vec<u32>>,
}

impl Vocabulary {
    /// The vocabulary of tokens 0 to `n_tokens`.
    pub(crate) fn new<'t>(n_tokens: u32, text_of: impl Fn(u32) -> &'t [u8]) -> Self {
        let mut tokens: HashMap<Box<str>, Vec<u32>> = HashMap::new();
        for token in 0..n_tokens {
            let text = std::str::from_utf8(text_of(token)).unwrap_or_default();
            let lower = text.to_lowercase();
            // "light", "Light", not "LIGHT".
            let tail_is_lower = text
                .trim_start()
                .chars()
                .skip(1)
                .eq(lower.trim_start().chars().skip(1));
            if !text.is_empty() && text.len() <= MAX_TOKEN_BYTES && tail_is_lower {
                tokens.entry(lower.into()).or_default().push(token);
            }
        }
        Vocabulary { tokens }
    }

    fn of(&self, text: &str) -> &[u32] {
        self.tokens.get(text).map_or(&[], Vec::as_slice)
    }
}

/// A node of the grammar; within a list, with the node to go on at behind it.
type Place = (NodeId, Option<NodeId>);

/// Where a text may have come to: a place, and what was written of the word that follows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Point {
    place: Place,
    written: Arc<str>,
}

struct State {
    points: Arc<[Point]>,
    next: Option<Vec<(u32, u32)>>,
    may_end: bool,
}

/// What may be written after a place: spellings, and where each leads.
struct Outlook {
    forms: Vec<(String, Place)>,
    is_end: bool,
}

/// The grammar as an automaton over tokens.
pub(crate) struct SpokenGuide {
    grammar: Arc<Grammar>,
    vocabulary: Vocabulary,
    states: Vec<State>,
    ids: HashMap<Arc<[Point]>, u32>,
    outlooks: HashMap<Place, Arc<Outlook>>,
}

impl SpokenGuide {
    /// A guide through `grammar` for a model with `vocabulary`.
    pub(crate) fn new(grammar: Arc<Grammar>, vocabulary: Vocabulary) -> Self {
        SpokenGuide {
            grammar,
            vocabulary,
            states: Vec::new(),
            ids: HashMap::new(),
            outlooks: HashMap::new(),
        }
    }

    fn state_of(&mut self, points: BTreeSet<Point>) -> u32 {
        let points: Arc<[Point]> = points.into_iter().collect();
        if let Some(id) = self.ids.get(&points) {
            return *id;
        }
        let may_end = points
            .iter()
            .any(|point| point.written.is_empty() && self.outlook(point.place).is_end);
        let id = self.states.len() as u32;
        self.states.push(State {
            points: points.clone(),
            next: None,
            may_end,
        });
        self.ids.insert(points, id);
        id
    }

    /// Every token that may follow `points`, with the points it leads to.
    fn followers(&mut self, points: &[Point], is_start: bool) -> BTreeMap<u32, BTreeSet<Point>> {
        let mut all: BTreeMap<u32, BTreeSet<Point>> = BTreeMap::new();
        for point in points {
            let outlook = self.outlook(point.place);
            for (form, to) in &outlook.forms {
                let Some(rest) = form.strip_prefix(&*point.written) else {
                    continue;
                };
                let ends = rest.char_indices().map(|(at, c)| at + c.len_utf8());
                for end in ends.take_while(|end| *end <= MAX_TOKEN_BYTES) {
                    let landed = || match end == rest.len() {
                        true => Point {
                            place: *to,
                            written: "".into(),
                        },
                        false => Point {
                            place: point.place,
                            written: form[..form.len() - rest.len() + end].into(),
                        },
                    };
                    for token in self.vocabulary.of(&rest[..end]) {
                        all.entry(*token).or_default().insert(landed());
                    }
                }
            }
            if point.written.is_empty() && !is_start {
                for mark in [",", ".", "!", "?"] {
                    for token in self.vocabulary.of(mark) {
                        all.entry(*token).or_default().insert(point.clone());
                    }
                }
            }
        }
        all
    }

    /// What may follow a place.
    fn outlook(&mut self, place: Place) -> Arc<Outlook> {
        if let Some(known) = self.outlooks.get(&place) {
            return known.clone();
        }
        let outlook = Arc::new(outlook(&self.grammar, place));
        self.outlooks.insert(place, outlook.clone());
        outlook
    }
}

impl Guide for SpokenGuide {
    fn start(&mut self) -> u32 {
        if self.states.len() > MAX_STATES {
            self.states.clear();
            self.ids.clear();
        }
        let starts: BTreeSet<Point> = (self.grammar.commands.iter())
            .map(|command| Point {
                place: (command.start, None),
                written: "".into(),
            })
            .collect();
        self.state_of(starts)
    }

    fn next(&mut self, state: u32) -> &[(u32, u32)] {
        let index = state as usize;
        if self.states[index].next.is_none() {
            let points = self.states[index].points.clone();
            // The first state made is that before the first token.
            let followers = self.followers(&points, index == 0);
            let next = followers
                .into_iter()
                .map(|(token, points)| (token, self.state_of(points)))
                .collect();
            self.states[index].next = Some(next);
        }
        self.states[index].next.as_deref().unwrap_or_default()
    }

    fn may_end(&mut self, state: u32) -> bool {
        self.states[state as usize].may_end
    }
}

/// What may follow a place of the grammar.
fn outlook(grammar: &Grammar, place: Place) -> Outlook {
    let mut outlook = Outlook {
        forms: Vec::new(),
        is_end: false,
    };
    let (mut open, mut seen) = (vec![place], BTreeSet::from([place]));
    while let Some((node, back)) = open.pop() {
        let node = grammar.node(node);
        let mut silent: Vec<Place> = Vec::new();
        // Small words that carry no meaning may be missing.
        silent.extend(node.empty.iter().map(|(to, _)| (*to, back)));
        if node.accept.is_some() {
            match back {
                Some(back) => silent.push((back, None)),
                None => outlook.is_end = true,
            }
        }
        for (word, to) in node.words {
            for form in forms(&grammar.words[*word as usize]) {
                outlook.forms.push((form, (*to, back)));
            }
        }
        for edge in node.lists {
            match &grammar.lists[edge.list as usize] {
                List::Values { start, .. } | List::Builtin { start, .. } => {
                    silent.push((*start, Some(edge.to)));
                }
                List::Range(range) => {
                    let whole = numbers_of((range.from, range.to), range.step);
                    let forms = whole.into_iter().chain(fractions_of(range));
                    let forms = forms.map(|form| (form, (edge.to, back)));
                    outlook.forms.extend(forms);
                }
                // Any words at all would be heard in any audio: these are for the text.
                List::Free => {}
            }
        }
        open.extend(silent.into_iter().filter(|place| seen.insert(*place)));
    }
    outlook
}

/// How a word of the grammar is written, with what separates it from the word before.
fn forms(word: &str) -> Vec<String> {
    let joined = match word {
        POSSESSIVE => return vec!["'s".to_owned()],
        "would" => Some("'d"),
        "will" => Some("'ll"),
        "are" => Some("'re"),
        "have" => Some("'ve"),
        "am" => Some("'m"),
        "is" => Some("'s"),
        "percent" => Some("%"),
        "degrees" => Some("°"),
        "okay" => Some(" ok"),
        "ounce" => Some("oz"),
        "oclock" => Some(" o'clock"),
        _ => None,
    };
    let mut all = vec![format!(" {word}"), format!("-{word}")];
    all.extend(joined.map(str::to_owned));
    if word == "ounce" {
        all.push(" oz".to_owned());
    }
    if let Some((1, value)) = numbers::readings(&[word]).last() {
        all.push(format!(" {value}"));
    }
    all
}

/// How the numbers of a range are written.
fn numbers_of((from, to): (i64, i64), step: i64) -> Vec<String> {
    let mut all = Vec::new();
    let numbers = (from..=to).step_by(usize::try_from(step).unwrap_or(1).max(1));
    if numbers.clone().nth(MAX_NUMBERS).is_some() {
        return all;
    }
    for value in numbers {
        let mut words = Vec::new();
        let digits = value.unsigned_abs().to_string();
        numbers::spell(&digits, &mut words);
        let sign = if value < 0 { " minus" } else { "" };
        all.push(format!("{sign} {digits}"));
        all.push(format!("{sign} {}", words.join(" ")));
        if let [tens, ones] = &words[..] {
            all.push(format!("{sign} {tens}-{ones}"));
        }
    }
    all
}

/// How the numbers between the whole ones of a range are written.
fn fractions_of(range: &NumberRange) -> Vec<String> {
    let tenths = match range.fractions {
        Fractions::None => return Vec::new(),
        Fractions::Halves => 5..6,
        Fractions::Tenths => 1..10,
    };
    let mut all = Vec::new();
    // Those of a range below zero are left to the text.
    let wholes = range.from.max(0)..range.to;
    if wholes.end.saturating_sub(wholes.start) > MAX_NUMBERS as i64 {
        return all;
    }
    for whole in wholes {
        for tenth in tenths.clone() {
            let digits = format!("{whole}.{tenth}");
            let mut words = Vec::new();
            numbers::spell(&digits, &mut words);
            all.push(format!(" {}", words.join(" ")));
            all.push(format!(" {digits}"));
        }
    }
    all
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::command::test_grammar::{compiled, spec_of};
    use crate::command::{ListSpec, NumberRange};

    const TOKENS: [&str; 15] = [
        " turn", " Turn", " on", " off", ",", ".", " the", " light", "s", " 1", "5", " fif",
        "teen", " percent", "%",
    ];

    fn guide(template: &str) -> SpokenGuide {
        let mut spec = spec_of(&[("x", template)]);
        let level = ListSpec::Range(NumberRange {
            step: 5,
            ..NumberRange::new(0, 100)
        });
        spec.lists.insert("level".to_owned(), level);
        let vocabulary = Vocabulary::new(TOKENS.len() as u32, |t| TOKENS[t as usize].as_bytes());
        SpokenGuide::new(compiled(&spec), vocabulary)
    }

    /// Whether the guide lets a text through, token by token, and whether it may end there.
    fn allows(template: &str, tokens: &[&str]) -> Option<bool> {
        let mut guide = guide(template);
        let mut state = guide.start();
        for text in tokens {
            let token = TOKENS.iter().position(|t| t == text).unwrap() as u32;
            state = guide.next(state).iter().find(|(t, _)| *t == token)?.1;
        }
        Some(guide.may_end(state))
    }

    #[test]
    fn sentences_may_be_written_in_many_ways() {
        let template = "turn (on|off) [the] light[s]";
        assert_eq!(allows(template, &[" turn", " on", " light"]), Some(true));
        assert_eq!(
            allows(
                template,
                &[" Turn", " off", ",", " the", " light", "s", "."]
            ),
            Some(true)
        );
        assert_eq!(allows(template, &[" turn", " on"]), Some(false));
        assert_eq!(allows(template, &[" turn", " light"]), None);
        assert_eq!(allows(template, &[","]), None);
    }

    #[test]
    fn of_a_large_range_no_number_is_looked_for() {
        let heard = numbers_of((1, 1_000), 1);
        for number in [" 21", " twenty one", " twenty-one", " one thousand"] {
            assert!(heard.iter().any(|form| form == number), "{number}");
        }
        assert!(numbers_of((0, 1_000), 1).is_empty());
        assert!(!numbers_of((0, 1_000), 10).is_empty());
    }

    #[test]
    fn numbers_are_heard_in_words_and_digits() {
        let template = "light {level} percent";
        assert_eq!(allows(template, &[" light", " 1", "5", "%"]), Some(true));
        assert_eq!(
            allows(template, &[" light", " fif", "teen", " percent"]),
            Some(true)
        );
        assert_eq!(allows(template, &[" light", " 1", "5"]), Some(false));
        // Not one of the range.
        assert_eq!(allows(template, &[" light", " 1", "%"]), None);
    }
}
