//! How likely it is that an utterance begins with given words: the wake phrase's view of it.
//!
//! The model is not asked which words it would write, but for the probability of these, in all the
//! ways they may be written. No encoder pass is made: what the utterance's text was read from is
//! there. Words that are not said are dropped after their first token, in a step of the decoder.

use std::sync::atomic::{AtomicBool, Ordering};

use super::Stream;
use crate::kernels;
use crate::whisper::Model;
use crate::whisper::decode::Start;
use crate::whisper::decode::argmax;
use crate::whisper::decoder::DecoderState;
use crate::whisper::draft::Given;

/// A spelling less likely than this, in nats, is not followed.
const HOPELESS: f32 = -16.0;
/// Longest text behind a beginning, in tokens.
const MAX_REST: usize = 64;

/// Words that an utterance may begin with, as tokens in all their spellings.
#[derive(Clone, Debug)]
pub struct Phrase {
    spellings: Vec<Vec<u32>>,
}

impl Phrase {
    /// The spellings of `words` to `model`.
    pub fn new(model: &Model, words: &str) -> Self {
        let mut spellings: Vec<Vec<u32>> = Vec::new();
        for text in spellings_of(words) {
            let tokens = model.tokenizer().encode(&format!(" {text}"));
            if !tokens.is_empty() && !spellings.contains(&tokens) {
                spellings.push(tokens);
            }
        }
        Phrase { spellings }
    }
}

/// How people and models write a phrase: "hey hark", "Hey, hark", "Hey Hark".
fn spellings_of(words: &str) -> Vec<String> {
    let lower: Vec<String> = words.split_whitespace().map(str::to_lowercase).collect();
    let capital = |word: &String| {
        let mut letters = word.chars();
        let first = letters.next().map(|c| c.to_uppercase().to_string());
        first.unwrap_or_default() + letters.as_str()
    };
    let title: Vec<String> = lower.iter().map(capital).collect();
    let mut sentence = lower.clone();
    sentence.splice(..lower.len().min(1), title.first().cloned());
    let mut all = Vec::new();
    for words in [&title, &sentence, &lower] {
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
        if !self.is_whole {
            return vec![None; phrases.len()];
        }
        self.with_start(|start, state| {
            start.feed(state);
            let first = start.last_logits(state).to_vec();
            let weigh = |phrase| weigh(start, phrase, &first, state);
            phrases.iter().map(weigh).collect()
        })
    }

    /// The likeliest text of the utterance that was just concluded behind the tokens it begins with;
    /// none when `abort` becomes true.
    pub fn rest_after(&mut self, beginning: &[u32], abort: &AtomicBool) -> Option<String> {
        self.with_start(|start, state| {
            start.feed(state);
            let rest = go_on(start, beginning, state, abort)?;
            Some(start.model.tokenizer().decode(&rest))
        })
    }

    /// Runs `work` on the window that was read last, with a prompt that asks for text without
    /// timestamps.
    fn with_start<T: Send>(
        &mut self,
        work: impl FnOnce(&Start<'_>, &mut DecoderState) -> T + Send,
    ) -> T {
        let reader = &mut self.reader;
        let n_before_sot = reader.build_plain_prompt();
        let start = Start {
            model: &reader.model,
            cross: &reader.cross,
            prompt: &reader.prompt,
            n_before_sot,
            given: Given::default(),
        };
        let exec = reader.model.exec();
        let state = &mut reader.decoder.state;
        exec.run(|| work(&start, state))
    }
}

fn weigh(
    start: &Start<'_>,
    phrase: &Phrase,
    first: &[f32],
    state: &mut DecoderState,
) -> Option<Beginning> {
    let (mut logprob, mut best): (f32, Option<(f32, &Vec<u32>)>) = (f32::NEG_INFINITY, None);
    for spelling in &phrase.spellings {
        state.truncate(start.prompt.len());
        let Some(spelt) = follow(start, spelling, first, state) else {
            continue;
        };
        logprob = log_add(logprob, spelt);
        if best.is_none_or(|(most, _)| spelt > most) {
            best = Some((spelt, spelling));
        }
    }
    let (_, tokens) = best?;
    Some(Beginning {
        logprob,
        tokens: tokens.clone(),
    })
}

/// Log-probability of `tokens` after the prompt that was just fed, whose last logits are `first`; none
/// when it is hopeless.
fn follow(
    start: &Start<'_>,
    tokens: &[u32],
    first: &[f32],
    state: &mut DecoderState,
) -> Option<f32> {
    let (model, exec) = (start.model, start.model.exec());
    let logprob = |logits: &[f32], token: u32| {
        logits[token as usize] - kernels::log_sum_exp(exec.cpu(), logits)
    };
    let (head, tail) = tokens.split_first()?;
    let mut sum = logprob(first, *head);
    if sum < HOPELESS || tail.is_empty() {
        return (sum >= HOPELESS).then_some(sum);
    }
    let fed = &tokens[..tail.len()];
    let logits = model
        .decoder()
        .forward(exec, fed, start.cross, state, fed.len());
    let n_vocab = model.dims().n_vocab;
    for (logits, token) in logits.chunks_exact(n_vocab).zip(tail) {
        sum += logprob(logits, *token);
    }
    (sum >= HOPELESS).then_some(sum)
}

/// The likeliest text behind `tokens`, which follow the prompt that was just fed; none when given up.
fn go_on(
    start: &Start<'_>,
    tokens: &[u32],
    state: &mut DecoderState,
    abort: &AtomicBool,
) -> Option<Vec<u32>> {
    let (model, exec) = (start.model, start.model.exec());
    let eot = model.tokenizer().special().eot;
    let n_text = eot as usize + 1;
    let mut logits = model.decoder().forward(exec, tokens, start.cross, state, 1);
    let mut rest = Vec::new();
    while rest.len() < MAX_REST {
        if abort.load(Ordering::Relaxed) {
            return None;
        }
        let token = argmax(&logits[..n_text]) as u32;
        if token == eot {
            break;
        }
        rest.push(token);
        logits = model
            .decoder()
            .forward(exec, &[token], start.cross, state, 1);
    }
    Some(rest)
}

/// The logarithm of the sum of two numbers given by theirs.
fn log_add(a: f32, b: f32) -> f32 {
    let (most, least) = if a > b { (a, b) } else { (b, a) };
    if most == f32::NEG_INFINITY {
        return most;
    }
    most + (least - most).exp().ln_1p()
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
        assert!(spellings_of(" ").is_empty());
    }

    #[test]
    fn probabilities_add_up() {
        assert!((log_add(0.5_f32.ln(), 0.25_f32.ln()) - 0.75_f32.ln()).abs() < 1e-6);
        assert_eq!(log_add(f32::NEG_INFINITY, -3.0), -3.0);
        assert_eq!(
            log_add(f32::NEG_INFINITY, f32::NEG_INFINITY),
            f32::NEG_INFINITY
        );
    }
}
