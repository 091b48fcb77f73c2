//! One window to text: greedy decoding, its checks, and more tries at higher temperatures.
//!
//! The loop and its thresholds follow OpenAI's reference (`transcribe.py`, `decoding.py`).

use std::sync::atomic::{AtomicBool, Ordering};

use crate::kernels;

use super::decoder::{Audio, DecoderState};
use super::loops;
use super::rules::Rules;
use super::{Model, Thresholds};

/// The text of a window.
#[derive(Clone, Debug, Default)]
pub(super) struct Hypothesis {
    /// Words and timestamps, without the end.
    pub(super) tokens: Vec<u32>,
    /// Log-probability of each token among those allowed.
    pub(super) logprobs: Vec<f32>,
    /// Mean log-probability, the end included.
    pub(super) avg_logprob: f32,
    /// Probability that there is no speech.
    pub(super) no_speech_prob: f32,
    /// Temperature it was sampled at.
    pub(super) temperature: f32,
    /// How much its text compresses.
    pub(super) compression_ratio: f32,
    /// Whether it was cut off because it repeated itself.
    pub(super) looped: bool,
}

/// Decodes windows of one stream.
pub(super) struct WindowDecoder {
    pub(super) state: DecoderState,
    rules: Rules,
    /// Prompt, start of transcript, language and task, reused from window to window.
    prompt: Vec<u32>,
    /// The best of all tries, of one temperature's, and the one being made.
    best: Hypothesis,
    leader: Hypothesis,
    trial: Hypothesis,
    /// Words of the trial without timestamps, in which loops show.
    spoken: Vec<u32>,
    n_sampled: usize,
}

impl WindowDecoder {
    pub(super) fn new(model: &Model, rules: Rules) -> Self {
        let trial = || Hypothesis {
            tokens: Vec::with_capacity(model.dims().n_text_ctx),
            logprobs: Vec::with_capacity(model.dims().n_text_ctx),
            ..Hypothesis::default()
        };
        WindowDecoder {
            state: model.decoder.new_state(),
            rules,
            prompt: Vec::with_capacity(model.dims().n_text_ctx),
            best: trial(),
            leader: trial(),
            trial: trial(),
            spoken: Vec::with_capacity(model.dims().n_text_ctx),
            n_sampled: 0,
        }
    }

    /// Tokens sampled since this was made, those of rejected tries included.
    pub(super) fn n_sampled(&self) -> usize {
        self.n_sampled
    }

    /// Decodes at `temperatures` in turn until the result passes the checks; when none does, the
    /// best of all tries is taken. `prompt` is what precedes the text, `n_before_sot` the length of
    /// its part before the start of transcript.
    pub(super) fn decode(
        &mut self,
        model: &Model,
        audio: Audio<'_>,
        (prompt, n_before_sot): (&[u32], usize),
        (thresholds, temperatures): (&Thresholds, &[f32]),
        abort: &AtomicBool,
    ) -> &Hypothesis {
        self.prompt.clear();
        self.prompt.extend_from_slice(prompt);
        for (i, &temperature) in temperatures.iter().enumerate() {
            let n_samples = if temperature > 0.0 {
                thresholds.best_of.max(1)
            } else {
                1
            };
            for sample in 0..n_samples {
                let mut random = Random::new((i * 64 + sample) as u64);
                self.once(model, audio, n_before_sot, temperature, &mut random, abort);
                let text = model.tokenizer().decode(&self.trial.tokens);
                self.trial.compression_ratio = loops::compression_ratio(text.trim());
                if sample == 0 || thresholds.prefers(&self.trial, &self.leader) {
                    std::mem::swap(&mut self.leader, &mut self.trial);
                }
            }
            let passes = !thresholds.needs_retry(&self.leader);
            if i == 0 || passes || thresholds.prefers(&self.leader, &self.best) {
                std::mem::swap(&mut self.best, &mut self.leader);
            }
            if passes || abort.load(Ordering::Relaxed) {
                break;
            }
            log::debug!(
                "not believed: temperature {temperature}, log-probability {:.2}, compression {:.2}",
                self.best.avg_logprob,
                self.best.compression_ratio
            );
        }
        &self.best
    }

    /// One try, into `self.trial`.
    fn once(
        &mut self,
        model: &Model,
        audio: Audio<'_>,
        n_before_sot: usize,
        temperature: f32,
        random: &mut Random,
        abort: &AtomicBool,
    ) {
        let (exec, decoder) = (model.exec(), &model.decoder);
        let special = model.tokenizer().special();
        let trial = &mut self.trial;
        trial.tokens.clear();
        trial.logprobs.clear();
        trial.temperature = temperature;
        trial.looped = false;
        self.spoken.clear();
        self.state.truncate(0);
        let n_rows = self.prompt.len() - n_before_sot;
        let n_vocab = model.dims().n_vocab;
        let mut logits = decoder.forward(exec, &self.prompt, audio, &mut self.state, n_rows);
        trial.no_speech_prob = probability(model, &logits[..n_vocab], special.no_speech);
        logits = &mut logits[(n_rows - 1) * n_vocab..];
        let max_tokens = (model.dims().n_text_ctx / 2).min(decoder.n_ctx() - self.prompt.len());
        let mut sum = 0.0;
        loop {
            self.rules.apply(&trial.tokens, logits);
            let (token, logprob) = choose(model, logits, temperature, random);
            sum += logprob;
            self.n_sampled += 1;
            if token == special.eot {
                break;
            }
            trial.tokens.push(token);
            trial.logprobs.push(logprob);
            if token < special.eot {
                self.spoken.push(token);
                trial.looped = loops::ends_in_loop(&self.spoken);
            }
            if trial.looped || trial.tokens.len() >= max_tokens || abort.load(Ordering::Relaxed) {
                break;
            }
            logits = decoder.forward(exec, &[token], audio, &mut self.state, 1);
        }
        trial.avg_logprob = sum / (trial.tokens.len() + 1) as f32;
    }
}

/// Probability of one token in untouched logits.
fn probability(model: &Model, logits: &[f32], token: u32) -> f32 {
    let total = kernels::log_sum_exp(model.exec().cpu(), logits);
    (logits[token as usize] - total).exp()
}

/// The next token and its log-probability: the likeliest, or a random one at a temperature above
/// zero. Logits that are not numbers (a damaged model) end the text.
fn choose(model: &Model, logits: &mut [f32], temperature: f32, random: &mut Random) -> (u32, f32) {
    let eot = model.tokenizer().special().eot;
    let total = kernels::log_sum_exp(model.exec().cpu(), logits);
    if !total.is_finite() {
        return (eot, 0.0);
    }
    let token = if temperature > 0.0 {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weight = |x: &f32| ((x - max) / temperature).exp();
        let sum: f32 = logits.iter().map(weight).sum();
        let mut left = random.unit() * sum;
        let found = logits.iter().position(|x| {
            left -= weight(x);
            left < 0.0
        });
        found.unwrap_or(eot as usize)
    } else {
        argmax(logits)
    };
    (token as u32, logits[token] - total)
}

/// Index of the first of the largest values.
pub(super) fn argmax(xs: &[f32]) -> usize {
    let max = xs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    xs.iter().position(|x| *x == max).unwrap_or(0)
}

/// SplitMix64 (Steele, Lea and Flood 2014): the same sequence for the same seed everywhere.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// Uniform in `[0, 1)`.
    fn unit(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 24) as f32
    }
}
