//! What was heard, as a lattice: the words themselves and what they may have been meant to be.
//!
//! Enters: normalised words and the grammar's vocabulary. Leaves: positions between words and
//! arcs that carry a word of the vocabulary from one to another, each with a cost in nats: 0 for
//! the word as heard, more for a similar spelling, two words written as one, a word left out.
//! Words outside the vocabulary that resemble nothing in it have only the arc that skips them.

use std::collections::HashMap;

use super::graph::{Grammar, WordId};
use super::numbers::is_number_word;
use super::words::POSSESSIVE;

/// Cost of two words heard as one or one as two.
const JOIN_COST: f32 = 0.2;
/// Cost of a word that no grammar accounts for.
const INTRUDER_COST: f32 = 4.0;
/// Cost of an edit, as a fraction of the word's length.
const EDIT_COST: f32 = 3.0;
/// Words that differ in more than this fraction of their letters are different words.
const MAX_EDITS: f32 = 0.4;

/// How much may differ between text and command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tolerance {
    /// Nothing.
    Exact,
    /// Spellings, small words, words around the command.
    Near,
}

/// Takes `word` to position `to`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Arc {
    pub(crate) word: WordId,
    pub(crate) to: usize,
    pub(crate) cost: f32,
}

/// The arcs that leave a position.
#[derive(Clone, Debug, Default)]
pub(crate) struct Position {
    pub(crate) arcs: Vec<Arc>,
    /// Position after the next word, and the cost of ignoring that word.
    pub(crate) skip: Option<(usize, f32)>,
    /// Positions after words that may always be ignored and begin here.
    pub(crate) ignorable: Vec<usize>,
    /// Index of the word that begins here, if one does (not inside a word cut in two).
    pub(crate) word_index: Option<usize>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Lattice {
    /// Arcs lead to higher positions only; the last one is the end.
    pub(crate) positions: Vec<Position>,
    /// Position at which each word begins, and the end.
    pub(crate) word_starts: Vec<usize>,
}

/// The vocabulary sorted for finding similar words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Speller {
    /// Words that begin with a letter, shortest first.
    by_first_letter: HashMap<char, Vec<Candidate>>,
}

/// A word that another one may have been meant to be.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    n_chars: usize,
    letters: u32,
    word: WordId,
}

/// The most edits that words of that length may differ by.
fn allowed_edits(longest: usize) -> usize {
    (longest as f32 * MAX_EDITS).floor() as usize
}

/// A bit for each letter that occurs. An edit changes two of them at most.
fn letters(word: &str) -> u32 {
    word.chars()
        .fold(0, |bits, c| bits | 1 << (u32::from(c) % u32::BITS))
}

impl Speller {
    pub(crate) fn new(grammar: &Grammar) -> Speller {
        let mut by_first_letter: HashMap<char, Vec<Candidate>> = HashMap::new();
        for (id, word) in grammar.words.iter().enumerate() {
            if let Some(first) = word.chars().next().filter(|_| !is_number_word(word)) {
                let candidate = Candidate {
                    n_chars: word.chars().count(),
                    letters: letters(word),
                    word: id as WordId,
                };
                by_first_letter.entry(first).or_default().push(candidate);
            }
        }
        for candidates in by_first_letter.values_mut() {
            candidates.sort_by_key(|candidate| (candidate.n_chars, candidate.word));
            candidates.shrink_to_fit();
        }
        Speller { by_first_letter }
    }

    /// Words of the vocabulary that resemble `word`, without itself, with their cost.
    fn similar(&self, word: &str, grammar: &Grammar) -> Vec<(WordId, f32)> {
        if is_number_word(word) {
            return Vec::new();
        }
        // The first letter must agree: recognisers rarely miss it, and "unlock" is not "lock".
        let first = word.chars().next();
        let Some(same_start) = first.and_then(|c| self.by_first_letter.get(&c)) else {
            return Vec::new();
        };
        let (n_chars, own_letters) = (word.chars().count(), letters(word));
        let is_too_short =
            |c: &Candidate| n_chars.saturating_sub(c.n_chars) > allowed_edits(n_chars);
        let is_too_long =
            |c: &Candidate| c.n_chars.saturating_sub(n_chars) > allowed_edits(c.n_chars);
        let begin = same_start.partition_point(is_too_short);
        let near = same_start[begin..].iter().take_while(|c| !is_too_long(c));
        near.filter_map(|candidate| {
            let allowed = allowed_edits(candidate.n_chars.max(n_chars)) as u32;
            if (candidate.letters ^ own_letters).count_ones() > 2 * allowed {
                return None;
            }
            let cost = spelling_cost(word, &grammar.words[candidate.word as usize])?;
            Some((candidate.word, cost))
        })
        .collect()
    }
}

/// Cost of taking `heard` for `meant`, or nothing when they are different words.
fn spelling_cost(heard: &str, meant: &str) -> Option<f32> {
    let (n_heard, n_meant) = (heard.chars().count(), meant.chars().count());
    let longest = n_heard.max(n_meant);
    let allowed = allowed_edits(longest);
    if heard == meant || longest < 3 || n_heard.abs_diff(n_meant) > allowed {
        return None;
    }
    let distance = strsim::osa_distance(heard, meant);
    if distance > allowed {
        return None;
    }
    let cost = EDIT_COST * distance as f32 / longest as f32;
    Some(if differs_by_ending(heard, meant) {
        cost / 2.0
    } else {
        cost
    })
}

/// "light" and "lights", "ice" and "iced": the same word to most commands.
fn differs_by_ending(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    matches!(long.strip_prefix(short), Some("s" | "es" | "d" | "ed"))
}

/// Whether what follows the word must not be carried out.
pub(super) fn turns_round(word: &str) -> bool {
    matches!(word, "not" | "never" | "no" | "without" | "stop" | "cancel")
}

/// Cost of a word said around a command without belonging to it; nothing when it may never be
/// ignored.
fn intrusion_cost(word: &str) -> Option<f32> {
    match word {
        _ if turns_round(word) => None,
        // "A hundred and one" is not a hundred.
        _ if is_number_word(word) => None,
        POSSESSIVE => Some(0.1),
        "please" | "kindly" | "just" | "now" | "uh" | "um" | "er" | "hm" | "hmm" | "hey" | "oh"
        | "okay" | "well" | "so" | "right" | "then" => Some(0.15),
        "the" | "a" | "an" => Some(0.2),
        "my" | "your" | "our" | "can" | "could" | "would" | "will" | "you" | "thank" | "thanks"
        | "for" | "me" | "us" | "some" | "and" => Some(0.3),
        "to" | "of" | "in" | "at" | "is" | "are" | "this" | "that" => Some(0.6),
        _ => Some(INTRUDER_COST),
    }
}

impl Lattice {
    pub(crate) fn new(
        words: &[String],
        grammar: &Grammar,
        speller: &Speller,
        tolerance: Tolerance,
    ) -> Lattice {
        let mut lattice = Lattice {
            positions: vec![Position::default()],
            word_starts: vec![0],
        };
        // Joined words reach over the next one, whose end is known only later.
        let mut join: Option<(usize, Vec<(WordId, f32)>)> = None;
        for (index, word) in words.iter().enumerate() {
            let here = lattice.positions.len() - 1;
            let mut arcs = Vec::new();
            if let Some(id) = grammar.word_ids.get(word.as_str()) {
                arcs.push((*id, 0.0));
            }
            let mut splits = Vec::new();
            if tolerance == Tolerance::Near {
                arcs.extend(speller.similar(word, grammar));
                splits = split_in_two(word, grammar);
            }
            for _ in &splits {
                lattice.positions.push(Position::default());
            }
            let next = lattice.positions.len();
            lattice.positions.push(Position::default());
            lattice.word_starts.push(next);
            if let Some((from, joined)) = join.take() {
                lattice.add_arcs(from, &joined, next);
            }
            lattice.add_arcs(here, &arcs, next);
            for (k, (first, second)) in splits.into_iter().enumerate() {
                let middle = here + 1 + k;
                lattice.add_arcs(here, &[(first, JOIN_COST)], middle);
                lattice.add_arcs(middle, &[(second, 0.0)], next);
            }
            lattice.positions[here].word_index = Some(index);
            if tolerance == Tolerance::Near {
                lattice.positions[here].skip = intrusion_cost(word).map(|cost| (next, cost));
                join = words
                    .get(index + 1)
                    .map(|after| (here, joined_with(word, after, grammar, speller)));
            }
        }
        lattice.ignore(words, &grammar.skip_words);
        lattice
    }

    /// Marks every place where `ignorable` words are said.
    fn ignore(&mut self, words: &[String], ignorable: &[Vec<String>]) {
        for (index, start) in self.word_starts.iter().enumerate() {
            let here = ignorable
                .iter()
                .filter(|skip| words[index..].starts_with(skip));
            let ends = here.map(|skip| self.word_starts[index + skip.len()]);
            self.positions[*start].ignorable.extend(ends);
        }
    }

    /// The last position.
    pub(crate) fn end(&self) -> usize {
        self.positions.len() - 1
    }

    fn add_arcs(&mut self, from: usize, words: &[(WordId, f32)], to: usize) {
        let arcs = words.iter().map(|(word, cost)| Arc {
            word: *word,
            to,
            cost: *cost,
        });
        self.positions[from].arcs.extend(arcs);
    }
}

/// Words of the vocabulary that `first` and `second` are when written together.
fn joined_with(
    first: &str,
    second: &str,
    grammar: &Grammar,
    speller: &Speller,
) -> Vec<(WordId, f32)> {
    if intrusion_cost(first).is_none() || intrusion_cost(second).is_none() {
        return Vec::new();
    }
    let whole = format!("{first}{second}");
    let exact = grammar.word_ids.get(whole.as_str()).map(|id| (*id, 0.0));
    // Only nearly equal ones: or else "medium row" would do for "medium".
    let mut near = speller.similar(&whole, grammar);
    near.retain(|(id, _)| strsim::osa_distance(&whole, &grammar.words[*id as usize]) == 1);
    let all = exact.into_iter().chain(near);
    all.map(|(id, cost)| (id, cost + JOIN_COST)).collect()
}

/// Pairs of vocabulary words that `word` is when they are written together.
fn split_in_two(word: &str, grammar: &Grammar) -> Vec<(WordId, WordId)> {
    let inner = word.char_indices().skip(1).map(|(at, _)| at);
    inner
        .filter_map(|at| {
            let (first, second) = word.split_at(at);
            Some((
                *grammar.word_ids.get(first)?,
                *grammar.word_ids.get(second)?,
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_words_cost_little_and_others_are_excluded() {
        let plural = spelling_cost("light", "lights");
        assert!(plural.is_some_and(|cost| cost < 0.4), "{plural:?}");
        assert!(spelling_cost("capuccino", "cappuccino").is_some_and(|cost| cost < 0.5));
        assert_eq!(spelling_cost("off", "on"), None);
        assert_eq!(spelling_cost("in", "on"), None);
        assert_eq!(spelling_cost("kitchen", "bedroom"), None);
    }

    #[test]
    fn the_speller_misses_nothing_that_is_similar() {
        let words = [
            "light",
            "lights",
            "lighter",
            "lift",
            "lit",
            "lamp",
            "listening",
            "lihgt",
            "long",
        ];
        let mut grammar = Grammar::default();
        for word in words {
            grammar.word_id(word);
        }
        let speller = Speller::new(&grammar);
        for heard in [
            "light",
            "ligth",
            "lightning",
            "liht",
            "lamps",
            "l",
            "lsitening",
        ] {
            let mut found = speller.similar(heard, &grammar);
            found.sort_by_key(|(word, _)| *word);
            let all = (0..).zip(words);
            let expected: Vec<(WordId, f32)> = all
                .filter_map(|(id, word)| Some((id, spelling_cost(heard, word)?)))
                .collect();
            assert_eq!(found, expected, "{heard}");
        }
    }

    #[test]
    fn negation_is_never_ignored() {
        assert_eq!(intrusion_cost("not"), None);
        assert!(intrusion_cost("elephant") > intrusion_cost("please"));
    }
}
