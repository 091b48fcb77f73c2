//! The search on scripted models: words 0 to 9, the end 10, timestamps from 12.

use super::*;
use crate::whisper::rules::Timestamps;

const EOT: u32 = 10;
const N_VOCAB: usize = 40;
const MAX_TOKENS: usize = 30;

/// A model that is a function from text to logits.
struct Script<F> {
    logits_after: F,
    texts: Vec<Vec<u32>>,
    logits: Vec<f32>,
}

impl<F: Fn(&[u32]) -> Vec<f32>> Script<F> {
    fn new(logits_after: F) -> Self {
        Script {
            logits_after,
            texts: vec![Vec::new()],
            logits: Vec::new(),
        }
    }
}

impl<F: Fn(&[u32]) -> Vec<f32>> Branches for Script<F> {
    fn begin(&mut self) -> &mut [f32] {
        self.texts = vec![Vec::new()];
        self.logits = (self.logits_after)(&[]);
        &mut self.logits
    }

    fn fork(&mut self, parents: &[usize]) {
        self.texts = parents.iter().map(|p| self.texts[*p].clone()).collect();
    }

    fn append(&mut self, tokens: &[u32]) -> &mut [f32] {
        self.logits.clear();
        for (text, token) in self.texts.iter_mut().zip(tokens) {
            text.push(*token);
            self.logits.extend((self.logits_after)(text));
        }
        &mut self.logits
    }
}

/// Logits of these probabilities; everything else is next to impossible.
fn logits_of(probabilities: &[(u32, f32)]) -> Vec<f32> {
    let mut logits = vec![-50.0; N_VOCAB];
    for (token, p) in probabilities {
        logits[*token as usize] = p.ln();
    }
    logits
}

/// Logits that look random but are the same for the same text.
fn noise(seed: u64, text: &[u32]) -> Vec<f32> {
    let mut hash = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for &token in text {
        hash = (hash ^ u64::from(token) ^ 0x55).wrapping_mul(0x0100_0000_01B3_0001);
    }
    let logit = |token: u64| {
        let mut z = hash.wrapping_add(token.wrapping_mul(0xBF58_476D_1CE4_E5B9));
        z = (z ^ (z >> 30)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z >> 40) % 1000) as f32 / 200.0
    };
    (0..N_VOCAB as u64).map(logit).collect()
}

/// A search with its rules and what it found.
struct Found {
    search: BeamSearch,
    n_steps: usize,
}

fn find(
    n_beams: usize,
    timestamps: Timestamps,
    logits_after: impl Fn(&[u32]) -> Vec<f32>,
) -> Found {
    let mut search = BeamSearch::new(n_beams, MAX_TOKENS);
    let n_steps = run(&mut search, timestamps, logits_after);
    Found { search, n_steps }
}

fn run(
    search: &mut BeamSearch,
    timestamps: Timestamps,
    logits_after: impl Fn(&[u32]) -> Vec<f32>,
) -> usize {
    let limits = Limits {
        cpu: Cpu::scalar(),
        rules: &Rules::of_ten_words(timestamps),
        max_tokens: MAX_TOKENS,
        abort: &AtomicBool::new(false),
    };
    search.run(&mut Script::new(logits_after), &limits)
}

/// The likeliest token at every step.
fn greedy(timestamps: Timestamps, logits_after: impl Fn(&[u32]) -> Vec<f32>) -> (Vec<u32>, f32) {
    let rules = Rules::of_ten_words(timestamps);
    let (mut tokens, mut sum) = (Vec::new(), 0.0);
    while tokens.len() < MAX_TOKENS && !is_loop(&tokens, EOT, &mut Vec::new()) {
        let mut logits = logits_after(&tokens);
        rules.apply(&tokens, &mut logits);
        let total = kernels::log_sum_exp(Cpu::scalar(), &logits);
        let token = crate::whisper::decode::argmax(&logits);
        sum += logits[token] - total;
        if token as u32 == EOT {
            break;
        }
        tokens.push(token as u32);
    }
    (tokens, sum)
}

#[test]
fn one_beam_is_greedy() {
    for timestamps in [Timestamps::Off, Timestamps::On] {
        for seed in 0..200 {
            // Some of them loop.
            let model = |text: &[u32]| noise(seed, &text[text.len().saturating_sub(2)..]);
            let found = find(1, timestamps, model);
            let (beam, _) = found.search.best();
            let (tokens, sum) = greedy(timestamps, model);
            assert_eq!((&beam.tokens, beam.sum), (&tokens, sum), "seed {seed}");
            assert_eq!(beam.logprobs.len(), tokens.len());
        }
    }
}

#[test]
fn a_beam_finds_what_greedy_passes_by() {
    let model = |text: &[u32]| match text {
        [] => logits_of(&[(1, 0.6), (2, 0.4)]),
        [1] => logits_of(&[(3, 0.3), (4, 0.3), (5, 0.4)]),
        [2] => logits_of(&[(6, 0.95), (7, 0.05)]),
        _ => logits_of(&[(EOT, 0.99), (8, 0.01)]),
    };
    assert_eq!(greedy(Timestamps::Off, model).0, [1, 5]);
    let found = find(2, Timestamps::Off, model);
    let (beam, looped) = found.search.best();
    assert_eq!((&beam.tokens[..], looped), (&[2, 6][..], false));
    let expected = (0.4_f32 * 0.95 * 0.99).ln();
    assert!((beam.sum - expected).abs() < 1e-5, "{}", beam.sum);
}

#[test]
fn a_text_is_measured_by_its_length() {
    // The short text is likelier, the long one likelier a token.
    let model = |text: &[u32]| match text {
        [] => logits_of(&[(1, 0.5), (2, 0.5)]),
        [1] => logits_of(&[(EOT, 1.0)]),
        [2] | [2, 3] => logits_of(&[(3, 0.9)]),
        _ => logits_of(&[(EOT, 1.0)]),
    };
    let found = find(2, Timestamps::Off, model);
    assert_eq!(found.search.best().0.tokens, [2, 3, 3]);
}

#[test]
fn more_beams_find_likelier_texts() {
    let mean = |n_beams| {
        let scores = (0..100).map(|seed| {
            let found = find(n_beams, Timestamps::Off, |text| noise(seed, text));
            found.search.best().0.score()
        });
        scores.sum::<f32>()
    };
    let (one, two, five) = (mean(1), mean(2), mean(5));
    assert!(one < two && two < five, "{one} {two} {five}");
}

#[test]
fn every_beam_keeps_the_rules_of_its_own_text() {
    let rules = Rules::of_ten_words(Timestamps::On);
    for seed in 0..100 {
        let found = find(5, Timestamps::On, |text| noise(seed, text));
        let ended = found.search.ended.all();
        assert_eq!(ended.len(), 5, "seed {seed}");
        for beam in ended {
            for (i, &token) in beam.tokens.iter().enumerate() {
                let mut logits = noise(seed, &beam.tokens[..i]);
                rules.apply(&beam.tokens[..i], &mut logits);
                assert!(logits[token as usize].is_finite(), "{:?}", beam.tokens);
            }
        }
    }
}

#[test]
fn a_text_that_repeats_itself_is_the_last_choice() {
    let babble = |end: f32| move |_: &[u32]| logits_of(&[(1, 1.0 - end), (EOT, end)]);
    let found = find(2, Timestamps::Off, babble(0.01));
    let (beam, looped) = found.search.best();
    assert!(!looped && beam.tokens.len() < 12, "{:?}", beam.tokens);
    let found = find(1, Timestamps::Off, babble(1e-9));
    let (beam, looped) = found.search.best();
    assert_eq!((beam.tokens.len(), looped), (12, true));
}

#[test]
fn a_text_without_end_stops_at_its_limit() {
    let count = |text: &[u32]| {
        let next = (text.len() * text.len() % 7) as u32;
        logits_of(&[(next, 0.7), (next + 1, 0.3)])
    };
    let found = find(3, Timestamps::Off, count);
    assert_eq!(found.n_steps, MAX_TOKENS);
    assert_eq!(found.search.best().0.tokens.len(), MAX_TOKENS);
}

#[test]
fn numbers_that_are_none_end_the_text() {
    let found = find(4, Timestamps::Off, |text| match text {
        [] => logits_of(&[(1, 0.5), (2, 0.5)]),
        _ => vec![f32::NAN; N_VOCAB],
    });
    assert_eq!(found.search.best().0.tokens.len(), 1);
    let found = find(4, Timestamps::Off, |_| vec![f32::NAN; N_VOCAB]);
    assert!(found.search.best().0.tokens.is_empty());
}

#[test]
fn no_buffer_grows_and_nothing_is_left_from_the_search_before() {
    let sizes = |search: &BeamSearch| {
        let pools = [&search.live, &search.next, &search.ended];
        let beams = pools.iter().flat_map(|pool| &pool.beams);
        let mut sizes: Vec<usize> = beams
            .chain([&search.looped])
            .flat_map(|beam| [beam.tokens.capacity(), beam.logprobs.capacity()])
            .collect();
        sizes.extend([search.candidates.capacity(), search.spoken.capacity()]);
        sizes
    };
    let mut search = BeamSearch::new(MAX_BEAM, MAX_TOKENS);
    let before = sizes(&search);
    for seed in 0..50 {
        let model = |text: &[u32]| noise(seed, text);
        run(&mut search, Timestamps::On, model);
        let fresh = find(MAX_BEAM, Timestamps::On, model);
        assert_eq!(search.best().0.tokens, fresh.search.best().0.tokens);
        assert_eq!(search.best().0.sum, fresh.search.best().0.sum);
    }
    assert_eq!(sizes(&search), before);
}

#[test]
fn the_largest_come_in_order_and_the_first_of_equals_first() {
    let logits = [1.0, f32::NEG_INFINITY, 3.0, 3.0, 2.0, 0.0];
    let mut best = [(0, 0.0); 4];
    assert_eq!(largest(&logits, &mut best), 4);
    assert_eq!(best, [(2, 3.0), (3, 3.0), (4, 2.0), (0, 1.0)]);
    assert_eq!(largest(&logits[..2], &mut best), 1);
    assert_eq!(largest(&[f32::NAN; 3], &mut best), 0);
}
