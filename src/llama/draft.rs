//! What probably follows in a text, found in the text itself (prompt lookup, Saxena 2023).
//!
//! Answers repeat the question, the system prompt and themselves. A draft is verified in one pass and costs far
//! less than its tokens one by one; the tokens are those that the model would have chosen anyway.

/// Tokens of a draft at most: with the token before it one block of rows of logits.
pub(super) const MAX_DRAFT: usize = super::MAX_LOGIT_ROWS - 1;
/// Tokens that must be the same for a place to be trusted: a short run is everywhere.
const RUN: usize = 3;
/// The shortest draft that is worth a pass with more rows.
const FEWEST: usize = 2;

/// Finds drafts, and learns from what became of them how long they should be.
#[derive(Debug)]
pub(super) struct Drafts {
    length: usize,
    longest: usize,
}

impl Drafts {
    /// Drafts of at most so many tokens.
    pub(super) fn new(longest: usize) -> Self {
        Drafts {
            length: 4.min(longest),
            longest,
        }
    }

    /// What follows in `text` after the last place, but the end, that has the same tokens as the end; at most
    /// `most` tokens, and none rather than hardly any.
    pub(super) fn find<'t>(&self, text: &'t [u32], most: usize) -> &'t [u32] {
        let n = text.len();
        let length = self.length.min(most);
        if n < RUN + FEWEST || length < FEWEST {
            return &[];
        }
        let end = &text[n - RUN..];
        let places = text[..n - FEWEST].windows(RUN).enumerate();
        match places.rev().find(|(_, run)| *run == end) {
            Some((at, _)) => &text[at + RUN..n.min(at + RUN + length)],
            None => &[],
        }
    }

    /// Of a draft of `n_tokens`, so many were right.
    pub(super) fn learn(&mut self, n_tokens: usize, n_right: usize) {
        self.length = match n_right {
            n if n == n_tokens => (self.length + 2).min(self.longest),
            n => n.max(FEWEST),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_last_time_is_proposed() {
        let drafts = Drafts::new(MAX_DRAFT);
        let text = [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3];
        assert_eq!(drafts.find(&text, 8), [4, 5, 6, 7]);
        assert_eq!(drafts.find(&text, 3), [4, 5, 6]);
        assert_eq!(drafts.find(&text, 1), [0; 0]);
        // The latest place counts.
        let text = [1, 2, 3, 4, 4, 1, 2, 3, 5, 5, 1, 2, 3];
        assert_eq!(drafts.find(&text, 2), [5, 5]);
        // A loop proposes itself.
        assert_eq!(drafts.find(&[7, 7, 7, 7, 7, 7], 8), [7, 7]);
        for text in [&[][..], &[1, 2, 3], &[1, 2, 3, 4, 5]] {
            assert_eq!(drafts.find(text, 8), [0; 0]);
        }
    }

    #[test]
    fn drafts_grow_while_they_are_right() {
        let mut drafts = Drafts::new(MAX_DRAFT);
        drafts.learn(4, 4);
        drafts.learn(6, 6);
        drafts.learn(8, 8);
        assert_eq!(drafts.length, MAX_DRAFT);
        drafts.learn(8, 3);
        assert_eq!(drafts.length, 3);
        drafts.learn(3, 0);
        assert_eq!(drafts.length, FEWEST);
    }
}
