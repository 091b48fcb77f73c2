//! What `hark models info` tells of a language model.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::info::Stored;
use super::{megabytes, size_bytes};
use crate::cli::output::printable;
use crate::format::LlamaFile;
use crate::llama::{KV_TOKEN_PLAN, Memory};

/// What a file holds and what running it takes.
pub(super) struct LanguageInfo<'a> {
    file: &'a LlamaFile,
    stored: Stored,
    memory: Memory,
}

impl<'a> LanguageInfo<'a> {
    /// Reads nothing but what is known from opening the file.
    pub(super) fn new(file: &'a LlamaFile) -> Self {
        LanguageInfo {
            stored: Stored::of(file),
            memory: Memory::of(file, None),
            file,
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let (d, memory) = (self.file.dims(), &self.memory);
        let vocabulary = self.file.vocabulary();
        let heads = match d.n_kv_head == d.n_head {
            true => format!("{} heads of {}", d.n_head, d.d_head),
            false => format!(
                "{} heads of {} over {} of keys and values",
                d.n_head, d.d_head, d.n_kv_head
            ),
        };
        let [all, weights, kv] = [
            memory.bytes(KV_TOKEN_PLAN),
            memory.weights,
            memory.kv_token * KV_TOKEN_PLAN,
        ]
        .map(|bytes| megabytes(bytes as u64));
        let rows: [(&str, String); 10] = [
            ("file", self.file.path().display().to_string()),
            ("title", printable(self.file.title())),
            ("size", megabytes(size_bytes(self.file))),
            ("container", format!("gguf, {}", d.family.name())),
            ("stored as", self.stored.text()),
            ("parameters", self.stored.parameters_text()),
            (
                "vocabulary",
                format!("{} tokens ({})", vocabulary.tokens.len(), vocabulary.model),
            ),
            (
                "layers",
                format!("{}, {} and {} wide, {heads}", d.n_layer, d.n_state, d.n_ff),
            ),
            ("positions", d.n_ctx.to_string()),
            (
                "memory",
                format!(
                    "about {all}: weights {weights}, keys and values of {KV_TOKEN_PLAN} tokens {kv}"
                ),
            ),
        ];
        let mut text = String::new();
        for (name, value) in rows {
            let _ = writeln!(text, "{name:<12}  {value}");
        }
        text
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let d = self.file.dims();
        json!({
            "file": self.file.path(),
            "title": self.file.title(),
            "size_bytes": size_bytes(self.file),
            "container": "gguf",
            "architecture": d.family.name(),
            "stored": self.stored.json(),
            "parameters": self.stored.n_parameters(),
            "dims": {
                "n_vocab": d.n_vocab,
                "n_ctx": d.n_ctx,
                "n_state": d.n_state,
                "n_ff": d.n_ff,
                "n_layer": d.n_layer,
                "n_head": d.n_head,
                "n_kv_head": d.n_kv_head,
                "d_head": d.d_head,
            },
            "memory_bytes": {
                "weights": self.memory.weights,
                "keys_values_per_token": self.memory.kv_token,
                "buffers": self.memory.buffers,
            },
        })
    }
}
