//! Language models of random weights, in a file.

use std::path::{Path, PathBuf};

use hark::quant::BlockType;

use super::gguf::{Gguf, header_with};
use super::random::Random;

/// Numbers of a position.
pub const N_STATE: usize = 64;
/// Numbers in the middle of a layer's second half.
const N_FF: usize = 96;
/// Heads of queries, and of keys and values.
const N_HEAD: usize = 4;
const N_KV_HEAD: usize = 2;
/// Tokens.
pub const N_VOCAB: usize = 50;

/// The four families by name.
pub const FAMILIES: [&str; 4] = ["llama", "qwen2", "qwen3", "gemma3"];

/// What can be chosen.
#[derive(Clone, Copy)]
pub struct MadeUp {
    pub family: &'static str,
    pub n_layer: usize,
    pub d_head: usize,
    /// So many first layers add nothing.
    pub n_silent: usize,
    pub seed: u64,
}

impl MadeUp {
    /// A model with heads of 32.
    pub fn new(family: &'static str, n_layer: usize) -> Self {
        MadeUp {
            family,
            n_layer,
            d_head: 32,
            n_silent: 0,
            seed: 5,
        }
    }

    /// Its header; Gemma's layers but every sixth look back 12 positions.
    pub fn header(&self) -> Gguf {
        let key = |rest: &str| format!("{}.{rest}", self.family);
        let sizes = (N_STATE as u32, N_FF as u32);
        let heads = (N_HEAD as u32, N_KV_HEAD as u32);
        let mut tokens: Vec<String> = [
            "<unk>",
            "<s>",
            "</s>",
            "\u{2581}a",
            "\u{2581}b",
            "a",
            "b",
            "\u{2581}",
        ]
        .map(str::to_owned)
        .into();
        tokens.extend((tokens.len()..N_VOCAB).map(|i| format!("\u{2581}w{i}")));
        let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
        header_with(self.family, self.n_layer as u32, sizes, heads, &tokens)
            .int(&key("attention.key_length"), self.d_head as u32)
            .int(&key("attention.value_length"), self.d_head as u32)
            .int("gemma3.attention.sliding_window", 12)
            .float("gemma3.rope.freq_base", 1_000_000.0)
    }

    /// Adds the weights to a header.
    pub fn with_weights(&self, file: Gguf) -> Gguf {
        let mut random = Random::new(self.seed);
        let mut file = file;
        let mut add = |name: &str, shape: &[usize]| {
            let n: usize = shape.iter().product();
            // Rows keep what goes through them about as large as it was.
            let is_end = name.ends_with("attn_output.weight") || name.ends_with("ffn_down.weight");
            let layer = name.split('.').nth(1).and_then(|layer| layer.parse().ok());
            let is_silent = is_end && layer.is_some_and(|layer: usize| layer < self.n_silent);
            let (around, scale) = match shape {
                _ if is_silent => (0.0, 0.0),
                [_] => (1.0, 0.5),
                _ => (0.0, 3.0 / (shape[1] as f32).sqrt()),
            };
            let x = (0..n).map(|_| around + scale * random.centred()).collect();
            file = std::mem::take(&mut file).tensor(name, shape, BlockType::F32, x);
        };
        let (q, kv) = (N_HEAD * self.d_head, N_KV_HEAD * self.d_head);
        add("token_embd.weight", &[N_VOCAB, N_STATE]);
        add("output_norm.weight", &[N_STATE]);
        add("output.weight", &[N_VOCAB, N_STATE]);
        for layer in 0..self.n_layer {
            let mut tensor = |name: &str, shape: &[usize]| {
                add(&format!("blk.{layer}.{name}"), shape);
            };
            tensor("attn_norm.weight", &[N_STATE]);
            tensor("attn_q.weight", &[q, N_STATE]);
            tensor("attn_k.weight", &[kv, N_STATE]);
            tensor("attn_v.weight", &[kv, N_STATE]);
            tensor("attn_output.weight", &[N_STATE, q]);
            tensor("ffn_norm.weight", &[N_STATE]);
            tensor("ffn_gate.weight", &[N_FF, N_STATE]);
            tensor("ffn_up.weight", &[N_FF, N_STATE]);
            tensor("ffn_down.weight", &[N_STATE, N_FF]);
            if matches!(self.family, "qwen3" | "gemma3") {
                tensor("attn_q_norm.weight", &[self.d_head]);
                tensor("attn_k_norm.weight", &[self.d_head]);
            }
            if self.family == "gemma3" {
                tensor("post_attention_norm.weight", &[N_STATE]);
                tensor("post_ffw_norm.weight", &[N_STATE]);
            }
            if self.family == "qwen2" {
                tensor("attn_q.bias", &[q]);
                tensor("attn_k.bias", &[kv]);
                tensor("attn_v.bias", &[kv]);
            }
        }
        file
    }

    /// The file, written.
    pub fn written(&self, folder: &Path) -> PathBuf {
        let path = folder.join(format!("{}-{}.gguf", self.family, self.seed));
        let file = self.with_weights(self.header());
        std::fs::write(&path, file.bytes().0).unwrap();
        path
    }
}

/// A text of `n` tokens.
pub fn text(n: usize, seed: u64) -> Vec<u32> {
    let mut random = Random::new(seed);
    (0..n).map(|_| random.below(N_VOCAB) as u32).collect()
}
