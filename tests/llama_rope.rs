//! Positions scaled for longer texts than a model was first made for, as files say it.

#![allow(clippy::unwrap_used)]

mod support;

use hark::format::{FormatError, LlamaFile, Yarn};
use hark::kernels::{Cpu, Exec};
use hark::llama::Llama;
use hark::nn::Compute;
use hark::quant::BlockType;
use support::gguf::Gguf;
use support::made_up::{MadeUp, text};

const N_PAIRS: usize = 16;

/// A model with what `change` adds to its header.
fn opened(change: impl FnOnce(Gguf) -> Gguf) -> Result<LlamaFile, FormatError> {
    let folder = tempfile::tempdir().unwrap();
    let made = MadeUp::new("llama", 2);
    let path = folder.path().join("scaled.gguf");
    let file = made.with_weights(change(made.header()));
    std::fs::write(&path, file.bytes().0).unwrap();
    LlamaFile::open(&path)
}

fn key(rest: &str) -> String {
    format!("llama.rope.scaling.{rest}")
}

fn factors(name: &str, x: &[f32]) -> impl FnOnce(Gguf) -> Gguf {
    move |file| file.tensor(name, &[N_PAIRS], BlockType::F32, x.to_vec())
}

fn logits(file: &LlamaFile, n_ctx: usize) -> Vec<f32> {
    let exec = Exec::new(Cpu::from_env().unwrap(), 2);
    let model = Llama::load(file, exec.cpu(), Some(Compute::F32)).unwrap();
    let mut state = model.new_state(n_ctx);
    model.forward(&exec, &text(60, 1), &mut state).to_vec()
}

fn farthest(a: &[f32], b: &[f32]) -> f32 {
    let apart = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    apart.fold(0.0, f32::max)
}

fn yarn(file: Gguf) -> Gguf {
    file.text(&key("type"), "yarn")
        .float(&key("factor"), 4.0)
        .int(&key("original_context_length"), 16)
}

#[test]
fn what_the_file_says_is_known() {
    let rope = opened(yarn).unwrap().dims().rope;
    let usual = Yarn {
        n_ctx: 16,
        beta_fast: 32.0,
        beta_slow: 1.0,
        mix: 1.0,
    };
    assert_eq!((rope.scale, rope.yarn), (0.25, Some(usual)));
    assert!((rope.magnitude - 1.138_629_4).abs() < 1e-6);
    let all = |file| {
        yarn(file)
            .float(&key("attn_factor"), 0.5)
            .float(&key("yarn_beta_fast"), 8.0)
            .float(&key("yarn_beta_slow"), 2.0)
            .float(&key("yarn_ext_factor"), 0.0)
    };
    let rope = opened(all).unwrap().dims().rope;
    let told = Yarn {
        n_ctx: 16,
        beta_fast: 8.0,
        beta_slow: 2.0,
        mix: 0.0,
    };
    assert_eq!((rope.magnitude, rope.yarn), (0.5, Some(told)));
    // Without a length of its own, it is the model's.
    let short = |file: Gguf| file.text(&key("type"), "yarn").float(&key("factor"), 4.0);
    let rope = opened(short).unwrap().dims().rope;
    assert_eq!(rope.yarn.unwrap().n_ctx, 1024);
}

/// The same turns, said pair by pair.
#[test]
fn yarn_is_a_factor_for_each_pair() {
    let yarn = |file: Gguf| {
        yarn(file)
            .float(&key("yarn_beta_fast"), 2.0)
            .float(&key("yarn_beta_slow"), 0.1)
            // Takes back what YaRN multiplies by.
            .float(&key("attn_factor"), 1.0 / 1.138_629_4)
    };
    // 16 ln(16 / (2 pi 2)) / ln(10000) = 0.42, and 5.62 for a tenth of a turn: from pair 0 to pair 6.
    let divided: Vec<f32> = (0..N_PAIRS)
        .map(|i| {
            let kept = 1.0 - (i as f32 / 6.0).min(1.0);
            1.0 / (kept + (1.0 - kept) / 4.0)
        })
        .collect();
    let scaled = logits(&opened(yarn).unwrap(), 64);
    let same = logits(&opened(factors("rope_freqs.weight", &divided)).unwrap(), 64);
    let other = logits(&opened(|file| file).unwrap(), 64);
    assert!(
        farthest(&scaled, &same) < 2e-2,
        "{}",
        farthest(&scaled, &same)
    );
    assert!(
        farthest(&scaled, &other) > 0.1,
        "{}",
        farthest(&scaled, &other)
    );
}

#[test]
fn long_texts_have_factors_of_their_own() {
    let short: Vec<f32> = (0..N_PAIRS).map(|i| 1.0 + i as f32 / 10.0).collect();
    let long: Vec<f32> = (0..N_PAIRS).map(|i| 1.5 + i as f32).collect();
    let both = opened(|file| {
        let file = file
            .text(&key("type"), "longrope")
            .int(&key("original_context_length"), 70);
        let file = factors("rope_factors_short.weight", &short)(file);
        factors("rope_factors_long.weight", &long)(file)
    });
    let both = both.unwrap();
    for (x, n_ctx) in [(&short, 70), (&long, 71)] {
        let plain = opened(factors("rope_freqs.weight", x)).unwrap();
        assert_eq!(logits(&both, n_ctx), logits(&plain, 100), "{n_ctx}");
    }
    let without = opened(|file| file.text(&key("type"), "longrope"));
    let error = without.unwrap_err().to_string();
    assert!(error.contains("rope_factors_short.weight"), "{error}");
}

#[test]
fn what_is_not_known_is_said() {
    let refused = |change: &dyn Fn(Gguf) -> Gguf| opened(change).unwrap_err().to_string();
    for (kind, factor) in [("dynamic", 2.0), ("linear", 0.5), ("yarn", f32::NAN)] {
        let error = refused(&|file| file.text(&key("type"), kind).float(&key("factor"), factor));
        assert!(
            error.contains("scaled") || error.contains("factor"),
            "{error}"
        );
    }
    let error = refused(&|file| yarn(file).float(&key("yarn_log_multiplier"), 0.1));
    assert!(error.contains("not known here"), "{error}");
    for (name, value) in [
        ("yarn_beta_fast", -1.0),
        ("yarn_beta_slow", 0.0),
        ("yarn_ext_factor", 7.0),
    ] {
        let error = refused(&|file| yarn(file).float(&key(name), value));
        assert!(error.contains("no model scales positions"), "{error}");
    }
    refused(&|file| yarn(file).float(&key("attn_factor"), -2.0));
}
