//! One window to text: greedy decoding or a beam search, the checks, and more tries at higher temperatures.
//!
//! The loop and its thresholds follow OpenAI's reference (`transcribe.py`, `decoding.py`).

use std::sync::atomic::{AtomicBool, Ordering};

use crate::kernels;
use crate::random::Random;

use super::beam::{BeamSearch, Limits};
use super::branches::{DecoderBranches, MAX_BEAM, States};
use super::decoder::{Cross, DecoderState};
use super::draft::{self, Given};
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

impl Hypothesis {
    /// Mean log-probability of the words alone: timestamps and the end are sure even of words that
    /// are not. 0 for none.
    pub(super) fn spoken_logprob(&self, eot: u32) -> f32 {
        let tokens = self.tokens.iter().zip(&self.logprobs);
        let spoken = tokens.filter(|(token, _)| **token < eot);
        let (sum, n) = spoken.fold((0.0, 0_usize), |(sum, n), (_, p)| (sum + p, n + 1));
        sum / n.max(1) as f32
    }
}

/// What a text begins from.
pub(super) struct Start<'a> {
    pub(super) model: &'a Model,
    pub(super) cross: &'a Cross,
    /// Earlier text, start of transcript, language and task.
    pub(super) prompt: &'a [u32],
    /// Length of the part before the start of transcript.
    pub(super) n_before_sot: usize,
    /// What is known of the text.
    pub(super) given: Given<'a>,
}

impl Start<'_> {
    /// Feeds the prompt to an emptied state: the probability that the window holds no speech.
    pub(super) fn feed(&self, state: &mut DecoderState) -> f32 {
        let (model, n_vocab) = (self.model, self.model.dims().n_vocab);
        state.truncate(0);
        let n_rows = self.n_rows();
        let logits =
            (model.decoder()).forward(model.exec(), self.prompt, self.cross, state, n_rows);
        let no_speech = model.tokenizer().special().no_speech;
        probability(model, &logits[..n_vocab], no_speech)
    }

    /// The logits after a prompt that has just been fed.
    pub(super) fn last_logits<'s>(&self, state: &'s mut DecoderState) -> &'s mut [f32] {
        let n_vocab = self.model.dims().n_vocab;
        &mut state.logits()[(self.n_rows() - 1) * n_vocab..self.n_rows() * n_vocab]
    }

    /// Tokens of the prompt after which logits are of use: from the start of transcript on.
    fn n_rows(&self) -> usize {
        self.prompt.len() - self.n_before_sot
    }

    /// Most tokens that a text may have.
    pub(super) fn max_tokens(&self) -> usize {
        let n_left = self.model.decoder().n_ctx() - self.prompt.len();
        (self.model.dims().n_text_ctx / 2).min(n_left)
    }
}

/// A beam search and the states of its texts.
struct Beams {
    search: BeamSearch,
    states: States,
}

/// Decodes windows of one stream.
pub(super) struct WindowDecoder {
    pub(super) state: DecoderState,
    pub(super) rules: Rules,
    /// None when decoding is greedy.
    beams: Option<Beams>,
    /// The best of all tries, of one temperature's, and the one being made.
    best: Hypothesis,
    leader: Hypothesis,
    trial: Hypothesis,
    /// Words of the trial without timestamps, in which loops show.
    spoken: Vec<u32>,
    /// What goes into the first pass.
    feed: Vec<u32>,
    n_sampled: usize,
}

impl WindowDecoder {
    /// Follows `n_beams` texts side by side; one is greedy.
    pub(super) fn new(model: &Model, rules: Rules, n_beams: usize) -> Self {
        let n_beams = n_beams.clamp(1, MAX_BEAM);
        let beams = || Beams {
            search: BeamSearch::new(n_beams, model.dims().n_text_ctx),
            states: States::new(model, n_beams),
        };
        let trial = || Hypothesis {
            tokens: Vec::with_capacity(model.dims().n_text_ctx),
            logprobs: Vec::with_capacity(model.dims().n_text_ctx),
            ..Hypothesis::default()
        };
        WindowDecoder {
            state: model.decoder.new_state(),
            rules,
            beams: (n_beams > 1).then(beams),
            best: trial(),
            leader: trial(),
            trial: trial(),
            spoken: Vec::with_capacity(model.dims().n_text_ctx),
            feed: Vec::with_capacity(model.dims().n_text_ctx),
            n_sampled: 0,
        }
    }

    /// Tokens sampled since this was made, those of rejected tries included.
    pub(super) fn n_sampled(&self) -> usize {
        self.n_sampled
    }

    /// Decodes at `temperatures` in turn until the result passes the checks; when none does, the
    /// best of all tries is taken.
    pub(super) fn decode(
        &mut self,
        start: &Start<'_>,
        (thresholds, temperatures): (&Thresholds, &[f32]),
        abort: &AtomicBool,
    ) -> &Hypothesis {
        for (i, &temperature) in temperatures.iter().enumerate() {
            let n_samples = if temperature > 0.0 {
                thresholds.best_of.max(1)
            } else {
                1
            };
            for sample in 0..n_samples {
                // A search begins from nothing.
                let is_free = start.given.forced.is_empty();
                if temperature > 0.0 || self.beams.is_none() || !is_free {
                    let mut random = Random::new((i * 64 + sample) as u64);
                    self.once(start, temperature, &mut random, abort);
                } else {
                    self.search(start, abort);
                }
                let text = start.model.tokenizer().decode(&self.trial.tokens);
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

    /// A beam search, into `self.trial`.
    fn search(&mut self, start: &Start<'_>, abort: &AtomicBool) {
        let Some(Beams { search, states }) = &mut self.beams else {
            return;
        };
        let limits = Limits {
            cpu: start.model.exec().cpu(),
            rules: &self.rules,
            max_tokens: start.max_tokens(),
            abort,
        };
        let mut texts = DecoderBranches::new(start, &mut self.state, states);
        // Texts side by side count once.
        self.n_sampled += search.run(&mut texts, &limits);
        let (beam, looped) = search.best();
        let trial = &mut self.trial;
        trial.tokens.clone_from(&beam.tokens);
        trial.logprobs.clone_from(&beam.logprobs);
        trial.avg_logprob = beam.sum / (beam.tokens.len() + 1) as f32;
        trial.no_speech_prob = texts.no_speech_prob;
        trial.temperature = 0.0;
        trial.looped = looped;
    }

    /// One try, a token after the other, into `self.trial`.
    fn once(
        &mut self,
        start: &Start<'_>,
        temperature: f32,
        random: &mut Random,
        abort: &AtomicBool,
    ) {
        let (model, eot) = (start.model, self.rules.eot());
        let trial = &mut self.trial;
        trial.temperature = temperature;
        trial.looped = false;
        let mut pick = |logits: &mut [f32]| choose(model, logits, temperature, random);
        let n_draft = draft::prepare(start, temperature, &mut self.feed);
        let (feed, state) = ((&self.feed[..], n_draft), &mut self.state);
        let opening = draft::open(start, feed, &self.rules, state, trial, (&mut pick, None));
        trial.no_speech_prob = opening.no_speech_prob;
        self.n_sampled += opening.n_accepted;
        self.spoken.clear();
        self.spoken
            .extend(trial.tokens.iter().filter(|token| **token < eot));
        let max_tokens = start.max_tokens();
        let (mut token, mut logprob) = opening.next;
        let mut sum: f32 = trial.logprobs.iter().sum();
        loop {
            sum += logprob;
            self.n_sampled += 1;
            if token == eot {
                break;
            }
            trial.tokens.push(token);
            trial.logprobs.push(logprob);
            if token < eot {
                self.spoken.push(token);
                trial.looped = loops::ends_in_loop(&self.spoken);
            }
            if trial.looped || trial.tokens.len() >= max_tokens || abort.load(Ordering::Relaxed) {
                break;
            }
            let (decoder, exec) = (model.decoder(), model.exec());
            let logits = decoder.forward(exec, &[token], start.cross, &mut self.state, 1);
            self.rules.apply(&trial.tokens, logits);
            (token, logprob) = pick(logits);
        }
        trial.avg_logprob = sum / (trial.tokens.len() + 1) as f32;
    }
}

/// Probability of one token in untouched logits.
pub(super) fn probability(model: &Model, logits: &[f32], token: u32) -> f32 {
    let total = kernels::log_sum_exp(model.exec().cpu(), logits);
    (logits[token as usize] - total).exp()
}

/// The next token and its log-probability: the likeliest, or a random one at a temperature above
/// zero. Logits that are not numbers (a damaged model) end the text.
pub(super) fn choose(
    model: &Model,
    logits: &mut [f32],
    temperature: f32,
    random: &mut Random,
) -> (u32, f32) {
    let eot = model.tokenizer().special().eot;
    let total = kernels::log_sum_exp(model.exec().cpu(), logits);
    if !total.is_finite() {
        return (eot, 0.0);
    }
    let token = if temperature > 0.0 {
        let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weight = |x: &f32| ((x - max) / temperature).exp();
        let sum: f32 = logits.iter().map(weight).sum();
        let mut left = random.unit_f32() * sum;
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
