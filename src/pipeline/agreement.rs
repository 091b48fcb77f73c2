//! Which words of a growing hypothesis are settled: LocalAgreement-2.
//!
//! In: the words of one hypothesis after the other, each over the whole utterance so far. Out: words
//! that two hypotheses in a row agree on, each once and for ever. Pure logic; knows no audio.
//!
//! Source: Liu et al., "Low-Latency Sequence-to-Sequence Speech Recognition and Translation by
//! Partial Hypothesis Selection" (Interspeech 2020), section 3.2, on words instead of tokens.

use std::ops::Range;

use crate::event::{Seconds, Word};

/// Committed words and the tail that may still change.
#[derive(Debug, Default)]
pub(crate) struct Agreement {
    committed: Vec<Word>,
    volatile: Vec<Word>,
    // Scratch of `align`: one row of the distance table.
    row: Vec<usize>,
}

impl Agreement {
    /// Forgets everything: a new utterance begins.
    pub(crate) fn reset(&mut self) {
        self.committed.clear();
        self.volatile.clear();
    }

    /// Words that will not change any more.
    pub(crate) fn committed(&self) -> &[Word] {
        &self.committed
    }

    /// Words of the last hypothesis after the committed ones.
    pub(crate) fn volatile(&self) -> &[Word] {
        &self.volatile
    }

    /// Takes the next hypothesis; the result is the range of `committed()` that is new.
    ///
    /// A word is committed when the last hypothesis had it in the same place and another word
    /// follows it: the last word of a hypothesis may be half a word.
    pub(crate) fn step(&mut self, mut hypothesis: Vec<Word>) -> Range<usize> {
        let mut tail = hypothesis.split_off(self.align(&hypothesis));
        let agreed = (tail.iter().zip(&self.volatile))
            .take_while(|(new, old)| same(new, old))
            .count()
            .min(tail.len().saturating_sub(1));
        let range = self.commit(tail.drain(..agreed));
        self.volatile = tail;
        range
    }

    /// Takes the last hypothesis and commits all that is left of it.
    pub(crate) fn finish(&mut self, mut hypothesis: Vec<Word>) -> Range<usize> {
        let tail = hypothesis.split_off(self.align(&hypothesis));
        self.volatile.clear();
        self.commit(tail.into_iter())
    }

    /// Commits the tail as it stands: no better hypothesis will come.
    pub(crate) fn settle(&mut self) -> Range<usize> {
        let tail = std::mem::take(&mut self.volatile);
        self.commit(tail.into_iter())
    }

    fn commit(&mut self, words: impl Iterator<Item = Word>) -> Range<usize> {
        let start = self.committed.len();
        for mut word in words {
            // Times of different hypotheses may overlap by a little.
            let after = self.committed.last().map_or(Seconds(0.0), |word| word.t1);
            word.t0 = Seconds(word.t0.0.max(after.0));
            word.t1 = Seconds(word.t1.0.max(word.t0.0));
            self.committed.push(word);
        }
        start..self.committed.len()
    }

    /// How many words of `hypothesis` say what is committed already: the prefix with the least
    /// edit distance to the committed words; of equals one that ends with the same word, then the
    /// one nearest in length.
    fn align(&mut self, hypothesis: &[Word]) -> usize {
        let n = self.committed.len();
        let agrees = (self.committed.iter().zip(hypothesis)).all(|(a, b)| same(a, b));
        if agrees && hypothesis.len() >= n {
            return n;
        }
        let row = &mut self.row;
        row.clear();
        row.extend(0..=hypothesis.len());
        for (i, committed) in self.committed.iter().enumerate() {
            let mut diagonal = row[0];
            row[0] = i + 1;
            for (j, word) in hypothesis.iter().enumerate() {
                let substitute = diagonal + usize::from(!same(committed, word));
                diagonal = row[j + 1];
                row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
            }
        }
        let last = self.committed.last();
        let differs = |j: usize| match (last, j.checked_sub(1)) {
            (Some(last), Some(j)) => !same(last, &hypothesis[j]),
            _ => true,
        };
        let cost = |&j: &usize| (row[j], differs(j), j.abs_diff(n));
        (0..=hypothesis.len()).min_by_key(cost).unwrap_or(0)
    }
}

/// Equal but for case and punctuation.
fn same(a: &Word, b: &Word) -> bool {
    if a.text == b.text {
        return true;
    }
    let mut left = letters(&a.text).peekable();
    // Nothing but punctuation on both sides is equal only when it is the same, as asked above.
    left.peek().is_some() && left.eq(letters(&b.text))
}

fn letters(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
}

/// The words as text, joined as they are, without space around.
pub(crate) fn text_of(words: &[Word]) -> String {
    let text: String = words.iter().map(|word| word.text.as_str()).collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<Word> {
        (text.split_whitespace().enumerate())
            .map(|(i, word)| Word {
                text: format!(" {word}"),
                t0: Seconds(i as f64 * 0.3),
                t1: Seconds(i as f64 * 0.3 + 0.2),
                p: 0.9,
            })
            .collect()
    }

    fn run(steps: &[&str], last: &str) -> (Vec<String>, String) {
        let mut agreement = Agreement::default();
        let mut stable = Vec::new();
        for step in steps {
            agreement.step(words(step));
            stable.push(text_of(agreement.committed()));
        }
        agreement.finish(words(last));
        (stable, text_of(agreement.committed()))
    }

    #[test]
    fn two_hypotheses_must_agree() {
        let (stable, last) = run(
            &[
                "Turn",
                "Turn on that",
                "turn on the kit",
                "Turn on the kitchen light",
            ],
            "Turn on the kitchen lights.",
        );
        assert_eq!(stable, ["", "Turn", "Turn on", "Turn on the"]);
        assert_eq!(last, "Turn on the kitchen lights.");
    }

    #[test]
    fn committed_words_stay_when_the_model_changes_its_mind() {
        let (stable, last) = run(
            &["one two three four", "one two three four"],
            "won two and three four five",
        );
        assert_eq!(stable[1], "one two three");
        assert_eq!(last, "one two three four five");
    }

    #[test]
    fn an_empty_last_hypothesis_keeps_what_is_committed() {
        let (_, last) = run(&["one two three", "one two three"], "");
        assert_eq!(last, "one two");
    }

    #[test]
    fn settle_takes_the_tail() {
        let mut agreement = Agreement::default();
        agreement.step(words("one two"));
        assert_eq!(agreement.settle(), 0..2);
        assert!(agreement.volatile().is_empty());
    }

    #[test]
    fn punctuation_alone_is_compared_as_it_is() {
        let dash = words("-").remove(0);
        let dots = words("...").remove(0);
        assert!(!same(&dash, &dots));
        assert!(same(&dash, &dash));
    }

    proptest! {
        #[test]
        fn commits_are_append_only_and_in_time_order(
            steps in prop::collection::vec(prop::collection::vec(0..4_u8, 0..8), 1..8)
        ) {
            let mut agreement = Agreement::default();
            let mut before: Vec<Word> = Vec::new();
            for step in &steps {
                let text: Vec<_> = step.iter().map(|n| format!("w{n}")).collect();
                let range = agreement.step(words(&text.join(" ")));
                prop_assert_eq!(range.start, before.len());
                prop_assert_eq!(&agreement.committed()[..before.len()], &before[..]);
                before = agreement.committed().to_vec();
            }
            agreement.finish(words("w1 w2"));
            prop_assert_eq!(&agreement.committed()[..before.len()], &before[..]);
            let times: Vec<f64> =
                agreement.committed().iter().flat_map(|word| [word.t0.0, word.t1.0]).collect();
            prop_assert!(times.is_sorted());
        }
    }
}
