//! From events and their times to what a reader notices. Pure logic.

use crate::event::{Event, Word};
use crate::text::normalise;

/// What a reader has seen.
#[derive(Default)]
pub(super) struct Reader {
    /// From the first sound of each utterance to its first text.
    pub(super) first_partial_s: Vec<f64>,
    /// Committed words with the second at which each was.
    committed: Vec<(f64, Word)>,
    /// Finals: when each came, and how long it speaks.
    finals: Vec<(f64, f64)>,
    /// Words that were shown and taken back, and words of the finals.
    pub(super) erased: usize,
    pub(super) shown: usize,
    /// Committed words that were not those of the final, or of a later caption.
    pub(super) retracted: usize,
    pub(super) speech_s: f64,
    pub(super) utterances: usize,
    /// All finals.
    pub(super) text: String,
}

/// The caption of the present utterance.
#[derive(Default)]
struct Caption {
    began_s: f64,
    has_text: bool,
    committed: String,
    shown: Vec<String>,
}

impl Reader {
    pub(super) fn of(events: &[(f64, Event)]) -> Self {
        let mut reader = Reader::default();
        let mut caption = Caption::default();
        for (at_s, event) in events {
            reader.read(*at_s, event, &mut caption);
        }
        reader
    }

    fn read(&mut self, at_s: f64, event: &Event, caption: &mut Caption) {
        match event {
            Event::SpeechStart { t, .. } => {
                *caption = Caption {
                    began_s: t.0,
                    ..Caption::default()
                };
            }
            Event::Partial {
                stable, volatile, ..
            } => {
                if stable != caption.committed.trim() {
                    self.retracted += 1;
                }
                self.show(at_s, &format!("{stable}{volatile}"), caption);
            }
            Event::Commit { words, .. } => {
                for word in words {
                    caption.committed.push_str(&word.text);
                    self.committed.push((at_s, word.clone()));
                }
            }
            Event::Final { t0, t1, text, .. } => {
                if text != caption.committed.trim() {
                    self.retracted += 1;
                }
                self.show(at_s, text, caption);
                self.utterances += 1;
                self.speech_s += t1.0 - t0.0;
                self.finals.push((at_s, t1.0 - t0.0));
                self.shown += text.split_whitespace().count();
                self.text.push(' ');
                self.text.push_str(text);
            }
            _ => {}
        }
    }

    fn show(&mut self, at_s: f64, text: &str, caption: &mut Caption) {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let same = words.iter().zip(&caption.shown).take_while(|(a, b)| a == b);
        self.erased += caption.shown.len() - same.count();
        if !words.is_empty() && !caption.has_text {
            caption.has_text = true;
            self.first_partial_s.push(at_s - caption.began_s);
        }
        caption.shown = words;
    }

    /// From the end of each word, by the `offline` alignment, to its commit; words that the offline
    /// text does not have are left out.
    pub(super) fn commit_latencies(&self, offline: &[Word]) -> Vec<f64> {
        let bare = |word: &Word| normalise(&word.text);
        let committed: Vec<String> = self.committed.iter().map(|(_, word)| bare(word)).collect();
        let known: Vec<String> = offline.iter().map(bare).collect();
        let pairs = matches(&committed, &known);
        let latency = |(i, j): (usize, usize)| self.committed[i].0 - offline[j].t1.0;
        pairs.into_iter().map(latency).collect()
    }

    /// Milliseconds from the decision that each utterance was over to its final, with the seconds
    /// that it speaks.
    pub(super) fn final_delays(&self, ends: &[f64]) -> Vec<(f64, f64)> {
        let delay = |((at_s, speech_s), end_s): (&(f64, f64), &f64)| {
            ((at_s - end_s).max(0.0) * 1000.0, *speech_s)
        };
        self.finals.iter().zip(ends).map(delay).collect()
    }
}

/// The pairs of equal words in an alignment of least edit distance.
fn matches(a: &[String], b: &[String]) -> Vec<(usize, usize)> {
    let width = b.len() + 1;
    let mut cost = vec![0_u32; (a.len() + 1) * width];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            cost[i * width + j] = match (i, j) {
                (0, j) => j as u32,
                (i, 0) => i as u32,
                (i, j) => {
                    let differ = u32::from(a[i - 1] != b[j - 1]);
                    let both = cost[(i - 1) * width + j - 1] + differ;
                    let one = cost[(i - 1) * width + j].min(cost[i * width + j - 1]) + 1;
                    both.min(one)
                }
            };
        }
    }
    let (mut i, mut j) = (a.len(), b.len());
    let mut pairs = Vec::new();
    while i > 0 && j > 0 {
        let here = cost[i * width + j];
        let differ = u32::from(a[i - 1] != b[j - 1]);
        if here == cost[(i - 1) * width + j - 1] + differ {
            (i, j) = (i - 1, j - 1);
            if differ == 0 && !a[i].is_empty() {
                pairs.push((i, j));
            }
        } else if here == cost[(i - 1) * width + j] + 1 {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    pairs.reverse();
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Seconds;

    fn word(text: &str, t1: f64) -> Word {
        Word {
            text: format!(" {text}"),
            t0: Seconds(t1 - 0.2),
            t1: Seconds(t1),
            p: 1.0,
        }
    }

    fn partial(stable: &str, volatile: &str) -> Event {
        Event::Partial {
            id: 1,
            t: Seconds(0.0),
            stable: stable.to_owned(),
            volatile: volatile.to_owned(),
            lag_ms: None,
        }
    }

    fn events() -> Vec<(f64, Event)> {
        let commit = |words: Vec<Word>| Event::Commit {
            id: 1,
            t: Seconds(0.0),
            words,
        };
        let start = Event::SpeechStart {
            t: Seconds(1.0),
            id: 1,
        };
        let last = Event::Final {
            id: 1,
            t0: Seconds(1.0),
            t1: Seconds(3.0),
            text: "turn it on".to_owned(),
            words: Vec::new(),
            flags: Vec::new(),
            readings: None,
            wake: None,
            trace: None,
        };
        vec![
            (1.1, start),
            (1.5, partial("", "")),
            (2.0, partial("", "turn at")),
            (2.5, commit(vec![word("turn", 1.6)])),
            (2.5, partial("turn", " it")),
            (3.8, commit(vec![word("it", 2.2), word("on", 2.9)])),
            (3.8, last),
        ]
    }

    #[test]
    fn delays_and_churn_are_what_a_reader_sees() {
        let reader = Reader::of(&events());
        assert_eq!(reader.first_partial_s, [1.0]);
        assert_eq!((reader.erased, reader.shown, reader.retracted), (1, 3, 0));
        let offline = [word("turn", 1.5), word("him", 2.0), word("On.", 3.0)];
        let latencies = reader.commit_latencies(&offline);
        assert_eq!(latencies.len(), 2);
        assert!((latencies[0] - 1.0).abs() < 1e-9 && (latencies[1] - 0.8).abs() < 1e-9);
        let delays = reader.final_delays(&[3.7]);
        assert!((delays[0].0 - 100.0).abs() < 1e-6 && delays[0].1 == 2.0);
    }

    #[test]
    fn a_change_of_what_is_committed_is_counted() {
        let mut events = events();
        events.insert(5, (3.0, partial("burn", "")));
        assert_eq!(Reader::of(&events).retracted, 1);
    }
}
