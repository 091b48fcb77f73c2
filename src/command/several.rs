//! Several commands in one sentence: "turn off the lights and set a timer for ten minutes".
//!
//! Enters: a text. Leaves: the commands it consists of, when all of it are commands; one that is
//! not makes the whole none. A text that is a command as it stands is never cut. Pure.

use super::lattice::Tolerance;
use super::matcher::{Match, Matcher};
use super::words::Spoken;
use crate::event::Readings;

/// Most places where a text may be cut; talk with more is no row of commands.
const MAX_PLACES: usize = 8;

impl Matcher {
    /// Understands an utterance as [`Matcher::understand`] does, or as up to `max` commands one
    /// after the other. What comes back is one match, whatever it is, or several commands.
    pub fn understand_all(
        &self,
        text: &str,
        readings: Option<&Readings>,
        max: usize,
    ) -> Vec<Match> {
        let pieces = pieces(text);
        let may_be_several = max > 1 && (2..=MAX_PLACES + 1).contains(&pieces.len());
        // Word for word, several commands are as good as one; the audio has no say in it.
        if may_be_several
            && !self.is_sentence(text)
            && let Some(all) = self.several(text, &pieces, max, Tolerance::Exact)
        {
            return all;
        }
        let whole = self.understand(text, readings);
        let is_none = matches!(whole, Match::Rejected { .. });
        let all = (is_none && may_be_several)
            .then(|| self.several(text, &pieces, max, Tolerance::Near))
            .flatten();
        all.unwrap_or_else(|| vec![whole])
    }

    /// Whether `text` is a command, or several, word for word.
    pub(crate) fn is_settled(&self, text: &str, max: usize) -> bool {
        let pieces = pieces(text);
        let may_be_several = max > 1 && (2..=MAX_PLACES + 1).contains(&pieces.len());
        let several = || self.several(text, &pieces, max, Tolerance::Exact).is_some();
        self.is_sentence(text) || (may_be_several && several())
    }

    /// The fewest commands that the pieces make up, one after the other, and of equally many the
    /// best.
    fn several(
        &self,
        text: &str,
        pieces: &[Piece],
        max: usize,
        tolerance: Tolerance,
    ) -> Option<Vec<Match>> {
        let mut rows: Vec<Option<Row>> = vec![None; pieces.len() + 1];
        rows[0] = Some(Row::default());
        for from in 0..pieces.len() {
            let Some(row) = rows[from].clone().filter(|row| row.commands.len() < max) else {
                continue;
            };
            for to in from + 1..=pieces.len() {
                if (from, to) == (0, pieces.len()) {
                    continue;
                }
                let part = &text[pieces[from].start..pieces[to - 1].end];
                let Some(longer) = row.with(self.part(part, tolerance)) else {
                    continue;
                };
                if rows[to].as_ref().is_none_or(|known| longer.beats(known)) {
                    rows[to] = Some(longer);
                }
            }
        }
        rows.pop().flatten().map(|row| row.commands)
    }

    fn part(&self, text: &str, tolerance: Tolerance) -> Match {
        match tolerance {
            Tolerance::Exact => self.word_for_word(&Spoken::new(text)),
            Tolerance::Near => self.match_text(text),
        }
    }
}

/// Commands one after the other.
#[derive(Clone, Default)]
struct Row {
    commands: Vec<Match>,
    score: f32,
}

impl Row {
    fn with(&self, next: Match) -> Option<Row> {
        let Match::Accepted { score, .. } = next else {
            return None;
        };
        let mut row = self.clone();
        row.commands.push(next);
        row.score += score;
        Some(row)
    }

    fn beats(&self, other: &Row) -> bool {
        let (n, n_other) = (self.commands.len(), other.commands.len());
        n < n_other || (n == n_other && self.score > other.score)
    }
}

/// A part of a text between places where it may be cut: bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    start: usize,
    end: usize,
}

/// The parts between commas, full stops, "and" and "then".
fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut is_cut = true;
    let mut at = 0;
    for token in text.split_inclusive(char::is_whitespace) {
        let (start, end) = (at, at + token.trim_end().len());
        at += token.len();
        if start == end {
            continue;
        }
        let word = text[start..end].trim_matches(|c: char| c.is_ascii_punctuation());
        if ["and", "then"]
            .iter()
            .any(|link| word.eq_ignore_ascii_case(link))
        {
            is_cut = true;
            continue;
        }
        match pieces.last_mut().filter(|_| !is_cut) {
            Some(piece) => piece.end = end,
            None => pieces.push(Piece { start, end }),
        }
        is_cut = text[start..end].ends_with([',', ';', '.', '!', '?', ':']);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::test_grammar::{matcher_of, spec_of};

    fn matcher() -> Matcher {
        let commands = [
            ("lights", "turn (on|off) [the] [kitchen] lights"),
            ("timer", "set [a] timer for {1..999:n} minutes"),
            ("salt", "pass the salt and pepper"),
            ("pass", "pass the salt"),
            ("pepper", "pepper"),
            ("stop", "stop [the music]"),
        ];
        matcher_of(&spec_of(&commands))
    }

    fn understood(text: &str) -> Vec<String> {
        let matches = matcher().understand_all(text, None, 4);
        let name = |one: Match| match one {
            Match::Accepted { name, .. } => name,
            Match::Rejected { reason, .. } => format!("- {}", reason.as_str()),
        };
        matches.into_iter().map(name).collect()
    }

    #[test]
    fn commands_in_a_row_are_all_understood() {
        for text in [
            "Turn off the lights and set a timer for ten minutes.",
            "turn off the lights, then set a timer for 10 minutes",
            "Turn off the lights and then set a timer for ten minutes",
            "Turn off the lights. Set a timer for ten minutes.",
            "turn off the kitchen lights, and set a timer for one hundred and five minutes",
            "please turn off the light and set the timer for ten minutes",
        ] {
            assert_eq!(understood(text), ["lights", "timer"], "{text}");
        }
        assert_eq!(
            understood("Turn on the lights, set a timer for 5 minutes and stop the music."),
            ["lights", "timer", "stop"]
        );
    }

    #[test]
    fn a_command_as_it_stands_is_not_cut() {
        assert_eq!(understood("Pass the salt and pepper."), ["salt"]);
        assert_eq!(
            understood("set a timer for one hundred and five minutes"),
            ["timer"]
        );
    }

    #[test]
    fn what_is_no_command_spoils_the_whole() {
        for text in [
            "turn off the lights and go to bed",
            "turn off the lights and do not set a timer for ten minutes",
            "do not turn off the lights and set a timer for ten minutes",
            "turn off the lights and set a timer for ten minutes, no wait",
            "when I turn off the lights, then set a timer for ten minutes",
            "turn off the lights and",
            "stop and stop and stop and stop and stop",
        ] {
            let got = understood(text);
            let one = got.len() == 1;
            assert!(
                one && (got[0].starts_with('-') || text.ends_with("and")),
                "{text}: {got:?}"
            );
        }
    }

    #[test]
    fn one_at_most_when_only_one_is_allowed() {
        let text = "turn off the lights and set a timer for ten minutes";
        let all = matcher().understand_all(text, None, 1);
        assert!(matches!(all.as_slice(), [Match::Rejected { .. }]));
        assert!(matcher().is_settled(text, 4));
        assert!(!matcher().is_settled(text, 1));
    }
}
