//! Word error rate: how far a transcript is from what was said.

use super::normalise;
use std::ops::{Add, AddAssign};

/// The fewest edits that turn a reference into what was recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WordErrors {
    /// Words that were replaced by others.
    pub substitutions: usize,
    /// Words that are not in the reference.
    pub insertions: usize,
    /// Words of the reference that are missing.
    pub deletions: usize,
    /// Words of the reference.
    pub n_reference: usize,
}

impl WordErrors {
    /// Compares two texts after both have been [normalised](normalise()).
    pub fn between(reference: &str, recognised: &str) -> WordErrors {
        let (reference, recognised) = (normalise(reference), normalise(recognised));
        let words = |text: &str| {
            text.split(' ')
                .filter(|w| !w.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let (reference, recognised): (Vec<String>, Vec<String>) =
            (words(&reference), words(&recognised));
        word_errors(&reference, &recognised)
    }

    /// All edits together.
    pub fn total(&self) -> usize {
        self.substitutions + self.insertions + self.deletions
    }

    /// Edits per word of the reference, a fraction that can exceed 1. Where the reference is
    /// empty it is 0 if nothing was recognised and 1 otherwise.
    pub fn rate(&self) -> f64 {
        match (self.n_reference, self.total()) {
            (0, 0) => 0.0,
            (0, _) => 1.0,
            (n_reference, total) => total as f64 / n_reference as f64,
        }
    }
}

impl Add for WordErrors {
    type Output = WordErrors;

    fn add(self, other: WordErrors) -> WordErrors {
        WordErrors {
            substitutions: self.substitutions + other.substitutions,
            insertions: self.insertions + other.insertions,
            deletions: self.deletions + other.deletions,
            n_reference: self.n_reference + other.n_reference,
        }
    }
}

impl AddAssign for WordErrors {
    fn add_assign(&mut self, other: WordErrors) {
        *self = *self + other;
    }
}

/// Counts the edits between two sequences of words (Levenshtein's distance, all edits weighing
/// the same; where several ways are equally short, the one with most substitutions). Time is the
/// product of the lengths, memory grows with the length of `recognised` alone.
pub fn word_errors<W: PartialEq>(reference: &[W], recognised: &[W]) -> WordErrors {
    // `row[j]` are the edits from the reference so far to the first `j` recognised words.
    let insertions = |insertions| WordErrors {
        insertions,
        ..WordErrors::default()
    };
    let mut row: Vec<WordErrors> = (0..=recognised.len()).map(insertions).collect();
    for word in reference {
        let mut diagonal = row[0];
        row[0].deletions += 1;
        for (j, heard) in recognised.iter().enumerate() {
            let (mut change, mut insert, mut delete) = (diagonal, row[j], row[j + 1]);
            diagonal = row[j + 1];
            change.substitutions += usize::from(word != heard);
            insert.insertions += 1;
            delete.deletions += 1;
            let mut best = change;
            for other in [insert, delete] {
                if other.total() < best.total() {
                    best = other;
                }
            }
            row[j + 1] = best;
        }
    }
    let mut errors = row.pop().unwrap_or_default();
    errors.n_reference = reference.len();
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn errors(reference: &str, recognised: &str) -> (usize, usize, usize) {
        let split = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let e = word_errors(&split(reference), &split(recognised));
        (e.substitutions, e.insertions, e.deletions)
    }

    #[test]
    fn each_kind_of_edit_is_counted_as_itself() {
        assert_eq!(errors("a b c", "a b c"), (0, 0, 0));
        assert_eq!(errors("a b c", "a x c"), (1, 0, 0));
        assert_eq!(errors("a b c", "a b x c"), (0, 1, 0));
        assert_eq!(errors("a b c", "a c"), (0, 0, 1));
        assert_eq!(errors("a b c d", "b c d e"), (0, 1, 1));
        assert_eq!(errors("", "a b"), (0, 2, 0));
        assert_eq!(errors("a b", ""), (0, 0, 2));
        assert_eq!(errors("a b", "c d"), (2, 0, 0));
    }

    #[test]
    fn the_rate_is_per_word_of_the_reference() {
        let rate = |a: &str, b: &str| WordErrors::between(a, b).rate();
        assert_eq!(rate("one word", "one word"), 0.0);
        assert_eq!(rate("turn on the lights", "Turn off the lights!"), 0.25);
        assert_eq!(rate("yes", "no no no"), 3.0);
        assert_eq!(rate("", ""), 0.0);
        assert_eq!(rate("", "thank you"), 1.0);
        let mut sum = WordErrors::between("a b", "a c");
        sum += WordErrors::between("d e", "d e");
        assert_eq!((sum.rate(), sum.n_reference), (0.25, 4));
    }

    proptest! {
        #[test]
        fn the_counts_fit_the_lengths(
            a in prop::collection::vec(0u8..4, 0..12),
            b in prop::collection::vec(0u8..4, 0..12),
        ) {
            let e = word_errors(&a, &b);
            prop_assert_eq!(a.len() + e.insertions, b.len() + e.deletions);
            prop_assert_eq!(e.total(), word_errors(&b, &a).total());
            prop_assert_eq!(e.total() == 0, a == b);
            prop_assert!(e.total() <= a.len().max(b.len()));
        }
    }
}
