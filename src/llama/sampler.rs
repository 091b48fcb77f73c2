//! Choosing the next token.

use crate::random::Random;

/// How tokens are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// 0 takes the likeliest token; higher is more varied.
    pub temperature: f32,
    /// Only so many of the likeliest; 0 for all.
    pub top_k: usize,
    /// Only the likeliest that together have this probability; 1 for all.
    pub top_p: f32,
    /// Only those at least this probable in relation to the likeliest; 0 for all.
    pub min_p: f32,
    /// What the logits of tokens that have just been said are divided by; 1 for nothing.
    pub repeat_penalty: f32,
    /// The same seed gives the same text.
    pub seed: u64,
}

impl Default for Sampling {
    /// The likeliest token.
    fn default() -> Self {
        Sampling {
            temperature: 0.0,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repeat_penalty: 1.0,
            seed: 0,
        }
    }
}

/// Tokens that a penalty looks back to.
const PENALTY_TOKENS: usize = 64;

/// Chooses token after token. Allocates when it is made only.
pub(super) struct Sampler {
    how: Sampling,
    random: Random,
    /// Tokens with their logits and then their weights, the likeliest first.
    candidates: Vec<(u32, f32)>,
}

impl Sampler {
    /// For a vocabulary of `n_vocab` tokens.
    pub(super) fn new(how: Sampling, n_vocab: usize) -> Self {
        Sampler {
            how,
            random: Random::new(how.seed),
            candidates: Vec::with_capacity(n_vocab),
        }
    }

    /// The next token after `said`, one of `allowed` where there is such a list; none where the logits are no
    /// numbers (a damaged model).
    pub(super) fn choose(
        &mut self,
        logits: &[f32],
        said: &[u32],
        allowed: Option<&[u32]>,
    ) -> Option<u32> {
        let is_plain = self.how.temperature <= 0.0 && self.how.repeat_penalty == 1.0;
        if let (true, None) = (is_plain, allowed) {
            return likeliest((0..).zip(logits.iter().copied())).map(|(token, _)| token);
        }
        self.candidates.clear();
        match allowed {
            None => self.candidates.extend((0..).zip(logits.iter().copied())),
            Some(allowed) => {
                let of = |&token: &u32| Some((token, *logits.get(token as usize)?));
                self.candidates.extend(allowed.iter().filter_map(of));
            }
        }
        self.penalise(said);
        let (best, largest) = likeliest(self.candidates.iter().copied())?;
        if self.how.temperature <= 0.0 {
            return Some(best);
        }
        self.weigh(largest);
        let total: f32 = self.candidates.iter().map(|(_, weight)| weight).sum();
        let mut left = self.random.unit_f32() * total;
        let found = self.candidates.iter().find(|(_, weight)| {
            left -= weight;
            left < 0.0
        });
        Some(found.map_or(best, |(token, _)| *token))
    }

    fn penalise(&mut self, said: &[u32]) {
        let penalty = self.how.repeat_penalty;
        if penalty == 1.0 {
            return;
        }
        let recent = &said[said.len().saturating_sub(PENALTY_TOKENS)..];
        for (i, &token) in recent.iter().enumerate() {
            if recent[..i].contains(&token) {
                continue;
            }
            // They are in the order of their numbers.
            let found = (self.candidates).binary_search_by_key(&token, |(token, _)| *token);
            if let Ok(at) = found {
                let logit = &mut self.candidates[at].1;
                *logit = match *logit > 0.0 {
                    true => *logit / penalty,
                    false => *logit * penalty,
                };
            }
        }
    }

    /// Leaves the tokens that may be chosen, each with its weight.
    fn weigh(&mut self, largest: f32) {
        let how = self.how;
        for (_, value) in &mut self.candidates {
            *value = ((*value - largest) / how.temperature).exp();
        }
        let may_be = |(_, weight): &(u32, f32)| *weight > 0.0 && *weight >= how.min_p;
        self.candidates.retain(may_be);
        let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if how.top_k > 0 && how.top_k < self.candidates.len() {
            self.candidates.select_nth_unstable_by(how.top_k, order);
            self.candidates.truncate(how.top_k);
        }
        self.candidates.sort_unstable_by(order);
        let total: f32 = self.candidates.iter().map(|(_, weight)| weight).sum();
        let mut sum = 0.0;
        let n_enough = self.candidates.iter().position(|(_, weight)| {
            sum += weight;
            sum >= how.top_p * total
        });
        if let Some(last) = n_enough {
            self.candidates.truncate(last + 1);
        }
    }
}

/// The first of those with the largest number; none where there is no number.
fn likeliest(all: impl Iterator<Item = (u32, f32)>) -> Option<(u32, f32)> {
    let mut best: Option<(u32, f32)> = None;
    for (token, value) in all {
        if value.is_finite() && best.is_none_or(|(_, largest)| value > largest) {
            best = Some((token, value));
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    const WARM: Sampling = Sampling {
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        repeat_penalty: 1.0,
        seed: 7,
    };

    /// How often each of the tokens is chosen in ten thousand.
    fn counts(how: Sampling, logits: &[f32], said: &[u32]) -> Vec<usize> {
        let mut sampler = Sampler::new(how, logits.len());
        let mut counts = vec![0; logits.len()];
        for _ in 0..10_000 {
            let token = sampler.choose(logits, said, None);
            counts[token.unwrap_or(0) as usize] += 1;
        }
        counts
    }

    #[test]
    fn tokens_come_as_often_as_they_are_probable() {
        // Probabilities 0.1, 0.2, 0.3, 0.4.
        let logits = [0.1_f32, 0.2, 0.3, 0.4].map(f32::ln);
        for (count, wanted) in counts(WARM, &logits, &[])
            .iter()
            .zip([1_000, 2_000, 3_000, 4_000])
        {
            assert!(count.abs_diff(wanted) < 200, "{count} for {wanted}");
        }
        let two = Sampling { top_k: 2, ..WARM };
        assert_eq!(counts(two, &logits, &[])[..2], [0, 0]);
        let most = Sampling {
            top_p: 0.69,
            ..WARM
        };
        assert_eq!(counts(most, &logits, &[])[..2], [0, 0]);
        let near = Sampling { min_p: 0.6, ..WARM };
        assert_eq!(counts(near, &logits, &[])[..2], [0, 0]);
        let cold = Sampling {
            temperature: 0.0,
            ..WARM
        };
        assert_eq!(counts(cold, &logits, &[]), [0, 0, 0, 10_000]);
    }

    #[test]
    fn what_was_said_comes_less_often() {
        let logits = [1.0, 0.9, -1.0];
        let cold = Sampling {
            temperature: 0.0,
            ..WARM
        };
        let wary = Sampling {
            repeat_penalty: 1.5,
            ..cold
        };
        assert_eq!(counts(cold, &logits, &[0, 0]), [10_000, 0, 0]);
        assert_eq!(counts(wary, &logits, &[0, 0]), [0, 10_000, 0]);
    }

    #[test]
    fn only_what_is_allowed_is_chosen() {
        let logits = [3.0, 1.0, 2.0, 0.0];
        for how in [
            WARM,
            Sampling {
                temperature: 0.0,
                ..WARM
            },
        ] {
            let mut sampler = Sampler::new(how, 4);
            for _ in 0..100 {
                let token = sampler.choose(&logits, &[1], Some(&[1, 3]));
                assert!(matches!(token, Some(1 | 3)), "{token:?}");
            }
        }
        let mut sampler = Sampler::new(WARM, 4);
        assert_eq!(sampler.choose(&logits, &[], Some(&[9])), None);
    }

    #[test]
    fn logits_that_are_no_numbers_choose_nothing() {
        let mut sampler = Sampler::new(WARM, 3);
        assert_eq!(sampler.choose(&[f32::NAN; 3], &[], None), None);
        assert_eq!(
            sampler.choose(&[f32::NAN, 1.0, f32::NEG_INFINITY], &[], None),
            Some(1)
        );
        assert_eq!(sampler.choose(&[], &[], None), None);
    }
}
