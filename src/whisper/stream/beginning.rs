//! How likely it is that an utterance begins with given words: the wake phrase's view of it.
//!
//! The model is not asked which words it would write, but for the probability of these, in all the
//! ways they may be written. No encoder pass is made where what the utterance's text was read from
//! is there. A spelling whose first token is out of the question takes no step of the decoder.

use std::sync::atomic::{AtomicBool, Ordering};

use super::Stream;
use crate::kernels;
use crate::whisper::Model;
use crate::whisper::decode::{Start, argmax};
use crate::whisper::decoder::DecoderState;

/// A spelling whose first token is less likely than this, in nats, is not followed: with sixteen phrases
/// in eight spellings, following them all would be most of the work in a pause.
const HOPELESS: f32 = -10.0;
/// Longest beginning, and longest text behind one, in tokens.
pub(super) const MAX_BEGINNING: usize = 24;
const MAX_REST: usize = 64;

/// Words that an utterance may begin with, as tokens in all their spellings.
#[derive(Clone, Debug)]
pub struct Phrase {
    spellings: Vec<Vec<u32>>,
}

impl Phrase {
    /// The spellings of `words` to `model`; none where they are longer than a beginning may be.
    pub fn new(model: &Model, words: &str) -> Self {
        let mut spellings: Vec<Vec<u32>> = Vec::new();
        for text in spellings_of(words) {
            let tokens = model.tokenizer().encode(&format!(" {text}"));
            let is_known = spellings.contains(&tokens);
            if (1..=MAX_BEGINNING).contains(&tokens.len()) && !is_known {
                spellings.push(tokens);
            }
        }
        Phrase { spellings }
    }
}

/// How people and models write a phrase: "hey HAL", "Hey, HAL", "Hey Hal".
fn spellings_of(words: &str) -> Vec<String> {
    let bare = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
    let written: Vec<String> = words.split_whitespace().map(bare).collect();
    let written: Vec<String> = written.into_iter().filter(|w| !w.is_empty()).collect();
    let lower: Vec<String> = written.iter().map(|word| word.to_lowercase()).collect();
    let capital = |word: &String| {
        let mut letters = word.chars();
        let first = letters.next().map(|c| c.to_uppercase().to_string());
        first.unwrap_or_default() + letters.as_str()
    };
    let title: Vec<String> = lower.iter().map(capital).collect();
    let mut sentence = lower.clone();
    sentence.splice(..lower.len().min(1), title.first().cloned());
    let mut all = Vec::new();
    for words in [&title, &sentence, &lower, &written] {
        for between in [" ", ", "] {
            let text = words.join(between);
            if !text.is_empty() && !all.contains(&text) {
                all.push(text);
            }
        }
    }
    all
}

/// A beginning, weighed.
#[derive(Clone, Debug, PartialEq)]
pub struct Beginning {
    /// Log-probability that the text begins so, in any spelling.
    pub logprob: f32,
    /// Its likeliest spelling.
    pub tokens: Vec<u32>,
}

impl Stream {
    /// How likely the utterance that was just concluded begins with each of `phrases`; none for
    /// those it is far from, and for all when the utterance is longer than a window.
    pub fn beginnings(&mut self, phrases: &[Phrase]) -> Vec<Option<Beginning>> {
        if !self.holds_all() {
            return vec![None; phrases.len()];
        }
        let exec = self.reader.model.exec().clone();
        let (start, state) = self.reader.plain_start(&[]);
        exec.run(|| {
            start.feed(state);
            let first = start.last_logits(state).to_vec();
            let total = kernels::log_sum_exp(exec.cpu(), &first);
            let weigh = |phrase| weigh(&start, phrase, (&first, total), state);
            phrases.iter().map(weigh).collect()
        })
    }

    /// The likeliest text of the utterance that was just concluded behind the tokens it begins with;
    /// none when it is longer than 64 tokens, or when `abort` becomes true.
    pub fn rest_after(&mut self, beginning: &[u32], abort: &AtomicBool) -> Option<String> {
        let exec = self.reader.model.exec().clone();
        let (start, state) = self.reader.plain_start(beginning);
        let rest = exec.run(|| go_on(&start, state, abort))?;
        Some(start.model.tokenizer().decode(&rest))
    }
}

fn weigh(
    start: &Start<'_>,
    phrase: &Phrase,
    (first, total): (&[f32], f32),
    state: &mut DecoderState,
) -> Option<Beginning> {
    let mut spelt = Vec::new();
    for tokens in &phrase.spellings {
        state.truncate(start.prompt.len());
        let logprob = first[tokens[0] as usize] - total;
        if logprob > HOPELESS {
            spelt.push((logprob + follow(start, tokens, state), tokens));
        }
    }
    let (_, tokens) = spelt.iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
    let logprobs: Vec<f32> = spelt.iter().map(|(logprob, _)| *logprob).collect();
    Some(Beginning {
        logprob: kernels::log_sum_exp(start.model.exec().cpu(), &logprobs),
        tokens: tokens.to_vec(),
    })
}

/// Log-probability of all `tokens` but the first, after a prompt that was just fed.
fn follow(start: &Start<'_>, tokens: &[u32], state: &mut DecoderState) -> f32 {
    let (model, exec) = (start.model, start.model.exec());
    let Some((_, tail)) = tokens.split_first().filter(|(_, tail)| !tail.is_empty()) else {
        return 0.0;
    };
    let fed = &tokens[..tail.len()];
    let logits = model
        .decoder()
        .forward(exec, fed, start.cross, state, fed.len());
    let rows = logits.chunks_exact(model.dims().n_vocab).zip(tail);
    rows.map(|(logits, token)| logits[*token as usize] - kernels::log_sum_exp(exec.cpu(), logits))
        .sum()
}

/// The likeliest text behind the prompt; none when given up, and when it is too long: half a text may
/// mean something else.
fn go_on(start: &Start<'_>, state: &mut DecoderState, abort: &AtomicBool) -> Option<Vec<u32>> {
    let (model, exec) = (start.model, start.model.exec());
    let eot = model.tokenizer().special().eot;
    let n_text = eot as usize + 1;
    start.feed(state);
    let mut logits = start.last_logits(state);
    let mut rest = Vec::new();
    while rest.len() <= MAX_REST && !abort.load(Ordering::Relaxed) {
        let token = argmax(&logits[..n_text]) as u32;
        if token == eot {
            return Some(rest);
        }
        rest.push(token);
        logits = model
            .decoder()
            .forward(exec, &[token], start.cross, state, 1);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_is_written_in_several_ways() {
        assert_eq!(spellings_of("computer"), ["Computer", "computer"]);
        let many = spellings_of("hey hark");
        for text in ["Hey Hark", "Hey, Hark", "Hey hark", "Hey, hark", "hey hark"] {
            assert!(many.iter().any(|spelling| spelling == text), "{many:?}");
        }
        let named = spellings_of("Okay, HAL!");
        for text in ["Okay HAL", "Okay, HAL", "Okay, Hal", "okay hal"] {
            assert!(named.iter().any(|spelling| spelling == text), "{named:?}");
        }
        assert!(spellings_of(" - ").is_empty());
    }
}
