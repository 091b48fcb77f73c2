//! GGUF files made up for a test.

use hark::quant::{self, BlockType};

/// A file as it grows.
#[derive(Clone, Default)]
pub struct Gguf {
    values: Vec<u8>,
    n_values: u64,
    tensors: Vec<(String, Vec<usize>, BlockType, Vec<u8>)>,
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

impl Gguf {
    fn key(&mut self, key: &str, kind: u32) -> &mut Vec<u8> {
        self.n_values += 1;
        text(&mut self.values, key);
        self.values.extend(kind.to_le_bytes());
        &mut self.values
    }

    pub fn int(mut self, key: &str, value: u32) -> Self {
        self.key(key, 4).extend(value.to_le_bytes());
        self
    }

    pub fn float(mut self, key: &str, value: f32) -> Self {
        self.key(key, 6).extend(value.to_le_bytes());
        self
    }

    pub fn bool(mut self, key: &str, value: bool) -> Self {
        self.key(key, 7).push(value.into());
        self
    }

    pub fn text(mut self, key: &str, value: &str) -> Self {
        let out = self.key(key, 8);
        text(out, value);
        self
    }

    pub fn texts(mut self, key: &str, values: &[&str]) -> Self {
        let out = self.key(key, 9);
        out.extend(8_u32.to_le_bytes());
        out.extend((values.len() as u64).to_le_bytes());
        values.iter().for_each(|value| text(out, value));
        self
    }

    pub fn ints(self, key: &str, values: &[i32]) -> Self {
        self.numbers(key, 5, values.iter().map(|value| value.to_le_bytes()))
    }

    pub fn floats(self, key: &str, values: &[f32]) -> Self {
        self.numbers(key, 6, values.iter().map(|value| value.to_le_bytes()))
    }

    fn numbers(
        mut self,
        key: &str,
        kind: u32,
        values: impl ExactSizeIterator<Item = [u8; 4]>,
    ) -> Self {
        let out = self.key(key, 9);
        out.extend(kind.to_le_bytes());
        out.extend((values.len() as u64).to_le_bytes());
        out.extend(values.flatten());
        self
    }

    /// Numbers, row by row; the shape outermost first. Without numbers there is no data behind the header.
    pub fn tensor(self, name: &str, shape: &[usize], block: BlockType, x: Vec<f32>) -> Self {
        let mut bytes = Vec::new();
        quant::quantize(block, &x, &mut bytes)
            .unwrap_or_else(|error| assert!(x.is_empty(), "{error}"));
        self.blocks(name, shape, block, bytes)
    }

    /// The same as the bytes of blocks.
    pub fn blocks(mut self, name: &str, shape: &[usize], block: BlockType, bytes: Vec<u8>) -> Self {
        self.tensors
            .push((name.into(), shape.to_vec(), block, bytes));
        self
    }

    /// The file's bytes, and how many it would have with all data.
    pub fn bytes(&self) -> (Vec<u8>, u64) {
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend(self.n_values.to_le_bytes());
        out.extend(&self.values);
        let mut at = 0_u64;
        let mut data = Vec::new();
        for (name, shape, block, bytes) in &self.tensors {
            text(&mut out, name);
            out.extend((shape.len() as u32).to_le_bytes());
            for dim in shape.iter().rev() {
                out.extend((*dim as u64).to_le_bytes());
            }
            out.extend(block.ggml_id().to_le_bytes());
            out.extend(at.to_le_bytes());
            if !bytes.is_empty() {
                data.resize(at as usize, 0);
                data.extend(bytes);
            }
            let n_bytes = block.bytes_for(shape.iter().product()).unwrap() as u64;
            at = (at + n_bytes).next_multiple_of(32);
        }
        out.resize(out.len().next_multiple_of(32), 0);
        let size = out.len() as u64 + at;
        out.extend(data);
        (out, size)
    }
}

/// The header of a model.
pub fn header(
    family: &str,
    n_layer: u32,
    (n_state, n_ff): (u32, u32),
    n_heads: (u32, u32),
) -> Gguf {
    let tokens = ["<unk>", "<s>", "</s>", "\u{2581}a", "b"];
    header_with(family, n_layer, (n_state, n_ff), n_heads, &tokens)
}

/// The same with other tokens; the first three are marks, and the likeliest are first.
pub fn header_with(
    family: &str,
    n_layer: u32,
    (n_state, n_ff): (u32, u32),
    n_heads: (u32, u32),
    tokens: &[&str],
) -> Gguf {
    let kinds: Vec<i32> = (0..tokens.len()).map(|i| [2, 3, 3, 1][i.min(3)]).collect();
    let scores: Vec<f32> = (0..tokens.len())
        .map(|i| -(i.max(2) as f32 - 2.0))
        .collect();
    let key = |rest: &str| format!("{family}.{rest}");
    Gguf::default()
        .text("general.architecture", family)
        .text("general.name", "made up")
        .int(&key("block_count"), n_layer)
        .int(&key("context_length"), 1024)
        .int(&key("embedding_length"), n_state)
        .int(&key("feed_forward_length"), n_ff)
        .int(&key("attention.head_count"), n_heads.0)
        .int(&key("attention.head_count_kv"), n_heads.1)
        .float(&key("attention.layer_norm_rms_epsilon"), 1e-5)
        .text("tokenizer.ggml.model", "llama")
        .texts("tokenizer.ggml.tokens", tokens)
        .ints("tokenizer.ggml.token_type", &kinds)
        .floats("tokenizer.ggml.scores", &scores)
        .int("tokenizer.ggml.bos_token_id", 1)
        .int("tokenizer.ggml.eos_token_id", 2)
}

/// The header of a LLaMA model.
pub fn llama(n_layer: u32, n_state: u32, n_ff: u32, n_heads: (u32, u32)) -> Gguf {
    header("llama", n_layer, (n_state, n_ff), n_heads)
}
