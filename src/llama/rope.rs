//! Positions as turns of pairs of numbers (Su et al. 2021).

use crate::format::{Rope, Yarn};

/// How far a position turns each pair of a head's numbers.
pub(super) struct Turns {
    /// Radians a position, by pair.
    steps: Vec<f64>,
    /// What is turned is multiplied by this.
    magnitude: f64,
    neighbours: bool,
}

impl Turns {
    /// `factors` divide the steps, one by one (LLaMA 3's scaling); there may be none.
    pub(super) fn new(rope: Rope, base: f32, factors: &[f32]) -> Self {
        let n_pairs = rope.n_turned / 2;
        let step = |i: usize| {
            let power = -(2.0 * i as f64) / rope.n_turned as f64;
            let factor = factors.get(i).map_or(1.0, |&factor| f64::from(factor));
            let plain = f64::from(base).powf(power) / factor;
            let kept = rope.yarn.map_or(0.0, |yarn| kept(yarn, rope, base, i));
            plain * (f64::from(rope.scale) * (1.0 - kept) + kept)
        };
        Turns {
            steps: (0..n_pairs).map(step).collect(),
            magnitude: rope.magnitude.into(),
            neighbours: rope.neighbours,
        }
    }

    /// Pairs of a head that are turned.
    pub(super) fn n_pairs(&self) -> usize {
        self.steps.len()
    }
}

/// How much of its turn pair `pair` keeps unscaled (YaRN, Peng et al. 2023, section 3.2): all if it turns around
/// `beta_fast` times in the context of the training, nothing if `beta_slow` times, linear between these two pairs,
/// whose numbers are rounded outwards.
fn kept(yarn: Yarn, rope: Rope, base: f32, pair: usize) -> f64 {
    let n = rope.n_turned as f64;
    let pair_of = |rounds: f32| {
        let positions = yarn.n_ctx as f64 / (f64::from(rounds) * std::f64::consts::TAU);
        n * positions.ln() / (2.0 * f64::from(base).ln())
    };
    let first = pair_of(yarn.beta_fast).floor().max(0.0);
    let last = pair_of(yarn.beta_slow).ceil().min(n - 1.0);
    let along = (pair as f64 - first) / (last - first).max(0.001);
    f64::from(yarn.mix) * (1.0 - along.clamp(0.0, 1.0))
}

/// Cosines and sines for the rows of a pass.
pub(super) struct Angles {
    /// `[row][pair]`
    turned: Vec<(f32, f32)>,
    n_pairs: usize,
    neighbours: bool,
}

impl Angles {
    /// Room for `n` rows.
    pub(super) fn for_rows(n: usize, n_pairs: usize) -> Self {
        Angles {
            turned: vec![(1.0, 0.0); n * n_pairs],
            n_pairs,
            neighbours: true,
        }
    }

    /// Makes row 0 the position `first`, and so on for `n` rows.
    pub(super) fn fill(&mut self, turns: &Turns, first: usize, n: usize) {
        self.neighbours = turns.neighbours;
        let rows = self.turned.chunks_exact_mut(self.n_pairs.max(1));
        for (row, angles) in rows.take(n).enumerate() {
            for (to, step) in angles.iter_mut().zip(&turns.steps) {
                let (sin, cos) = ((first + row) as f64 * step).sin_cos();
                *to = (
                    (cos * turns.magnitude) as f32,
                    (sin * turns.magnitude) as f32,
                );
            }
        }
    }

    /// Makes row 0 the turn, as large as it was, that takes what was turned at a position to where it is `n` positions earlier.
    pub(super) fn fill_back(&mut self, turns: &Turns, n: usize) {
        self.neighbours = turns.neighbours;
        for (to, step) in self.turned.iter_mut().zip(&turns.steps) {
            let (sin, cos) = (n as f64 * step).sin_cos();
            *to = (cos as f32, -sin as f32);
        }
    }

    /// Turns a head of the row `row` in place.
    pub(super) fn turn(&self, row: usize, head: &mut [f32]) {
        let angles = &self.turned[row * self.n_pairs..][..self.n_pairs];
        if self.neighbours {
            for (pair, &(cos, sin)) in head.as_chunks_mut::<2>().0.iter_mut().zip(angles) {
                let [a, b] = *pair;
                *pair = [a * cos - b * sin, a * sin + b * cos];
            }
        } else {
            let (first, rest) = head.split_at_mut(self.n_pairs);
            for ((a, b), &(cos, sin)) in first.iter_mut().zip(rest).zip(angles) {
                (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Four numbers, unscaled.
    fn rope(neighbours: bool) -> Rope {
        Rope {
            n_turned: 4,
            base: 100.0,
            scale: 1.0,
            yarn: None,
            long_from: None,
            magnitude: 1.0,
            neighbours,
        }
    }

    fn turned(neighbours: bool, position: usize, head: &[f32]) -> Vec<f32> {
        let rope = rope(neighbours);
        let turns = Turns::new(rope, rope.base, &[]);
        let mut angles = Angles::for_rows(2, turns.n_pairs());
        angles.fill(&turns, position, 2);
        let mut head = head.to_vec();
        angles.turn(0, &mut head);
        head
    }

    #[test]
    fn pairs_turn_by_their_own_steps() {
        let near = |a: &[f32], b: &[f64]| {
            a.iter()
                .zip(b)
                .all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6)
        };
        let (c, s) = (3.0_f64.cos(), 3.0_f64.sin());
        let (c2, s2) = (0.3_f64.cos(), 0.3_f64.sin());
        let head = [1.0, 0.0, 1.0, 0.0, 7.0];
        assert!(near(&turned(true, 3, &head), &[c, s, c2, s2, 7.0]));
        let head = [1.0, 1.0, 0.0, 0.0, 7.0];
        assert!(near(&turned(false, 3, &head), &[c, c2, s, s2, 7.0]));
        assert_eq!(turned(true, 0, &head), head);
    }

    /// Made by `tests/golden/llama/yarn.py`.
    #[derive(serde::Deserialize)]
    struct Golden {
        name: String,
        n_turned: usize,
        base: f32,
        factor: f32,
        n_ctx: usize,
        beta_fast: f32,
        beta_slow: f32,
        steps: Vec<f64>,
        magnitude: f32,
    }

    #[test]
    fn yarn_scales_as_the_paper_says() {
        let golden = include_str!("../../tests/golden/llama/yarn.json");
        let golden: Vec<Golden> = serde_json::from_str(golden).unwrap();
        for golden in golden {
            let rope = |mix| Rope {
                n_turned: golden.n_turned,
                base: golden.base,
                scale: 1.0 / golden.factor,
                yarn: Some(Yarn {
                    n_ctx: golden.n_ctx,
                    beta_fast: golden.beta_fast,
                    beta_slow: golden.beta_slow,
                    mix,
                }),
                long_from: None,
                magnitude: golden.magnitude,
                neighbours: false,
            };
            let turns = Turns::new(rope(1.0), golden.base, &[]);
            assert_eq!(turns.n_pairs(), golden.steps.len());
            for (step, wanted) in turns.steps.iter().zip(&golden.steps) {
                assert!((step / wanted - 1.0).abs() < 1e-6, "{}", golden.name);
            }
            // Nothing of it, and all pairs are scaled alike.
            let plain = Turns::new(rope(0.0), golden.base, &[]);
            assert!((plain.steps[0] * f64::from(golden.factor) - 1.0).abs() < 1e-6);
            // At the first position only the size changes.
            let mut angles = Angles::for_rows(1, turns.n_pairs());
            angles.fill(&turns, 0, 1);
            assert!(
                angles
                    .turned
                    .iter()
                    .all(|at| *at == (golden.magnitude, 0.0))
            );
        }
    }

    #[test]
    fn a_turn_back_is_an_earlier_position() {
        let head = [0.3, -0.8, 0.5, 0.1];
        for neighbours in [true, false] {
            let rope = Rope {
                scale: 0.5,
                magnitude: 1.25,
                ..rope(neighbours)
            };
            let turns = Turns::new(rope, rope.base, &[]);
            let mut angles = Angles::for_rows(1, turns.n_pairs());
            let mut at = |position| {
                let mut head = head;
                angles.fill(&turns, position, 1);
                angles.turn(0, &mut head);
                head
            };
            let (mut late, early) = (at(1_000), at(63));
            angles.fill_back(&turns, 937);
            angles.turn(0, &mut late);
            let pairs = late.iter().zip(&early);
            assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-6), "{late:?}");
        }
    }

    #[test]
    fn only_the_distance_matters() {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let (q, k) = ([0.3, -0.8, 0.5, 0.1], [0.7, 0.2, -0.4, 0.9]);
        for neighbours in [true, false] {
            let at = |a, b| dot(&turned(neighbours, a, &q), &turned(neighbours, b, &k));
            assert!((at(9, 4) - at(105, 100)).abs() < 1e-5);
        }
    }
}
