//! A language model from its file: every matrix in the arithmetic that suits how it is stored.

use crate::format::{Encoding, FormatError, LlamaDims, LlamaFile};
use crate::kernels::{BlockFormat, Cpu};
use crate::nn::{Compute, Linear, Loader, RmsNorm};
use crate::quant::BlockType;

use super::rope::Turns;
use super::{Layer, Llama};

impl Llama {
    /// Loads all weights, packed for `cpu`: blocks stay the file's, other types become 8-bit blocks, or all
    /// become what `compute` says.
    ///
    /// # Errors
    /// If the file cannot be read or a weight is no number.
    pub fn load(
        file: &LlamaFile,
        cpu: Cpu,
        compute: Option<Compute>,
    ) -> Result<Llama, FormatError> {
        let dims = file.dims().clone();
        let mut layers = Layers {
            loader: Loader::new(file, cpu, compute.unwrap_or(Compute::F32)),
            wanted: compute,
            dims: &dims,
        };
        let embedding = layers.linear(&["token_embd"], dims.n_vocab, dims.n_state)?;
        let output = match file.shape("output.weight") {
            Some(_) => Some(layers.linear(&["output"], dims.n_vocab, dims.n_state)?),
            None => None,
        };
        let factors = match file.shape("rope_freqs.weight") {
            Some(_) => layers.loader.floats("rope_freqs.weight")?,
            None => Vec::new(),
        };
        let local = |local: crate::format::Local| {
            let rope = crate::format::Rope {
                scale: 1.0,
                ..dims.rope
            };
            Turns::new(rope, local.rope_base, &[])
        };
        Ok(Llama {
            embedding,
            output,
            norm: layers.norm("output_norm")?,
            layers: (0..dims.n_layer)
                .map(|i| layers.layer(i))
                .collect::<Result<_, FormatError>>()?,
            turns: Turns::new(dims.rope, dims.rope.base, &factors),
            local_turns: dims.local.map(local),
            dims,
        })
    }
}

/// What a model takes at run time, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The weights, as they are packed when nothing else is asked for.
    pub weights: usize,
    /// The keys and values of a token.
    pub kv_token: usize,
}

/// Tokens of a conversation that plans are made for.
pub const KV_TOKEN_PLAN: usize = 2_048;

impl Memory {
    /// Known from the file's header alone.
    pub fn of(file: &LlamaFile) -> Self {
        let weights = file.tensor_names().map(|name| {
            let shape = file.shape(name).unwrap_or_default();
            let [n_rows, n_in] = *shape else {
                return 4 * shape.iter().product::<usize>();
            };
            let block = match file.block_type(name) {
                Some(Encoding::Block(block)) => held(block).block_type(),
                _ => BlockType::Q8_0,
            };
            n_rows * n_in.div_ceil(block.block_len()) * block.block_bytes()
        });
        let dims = file.dims();
        let f16_bytes = 2;
        Memory {
            weights: weights.sum(),
            kv_token: 2 * dims.n_layer * dims.n_kv_head * dims.d_head * f16_bytes,
        }
    }

    /// All of it for conversations of `n_ctx` tokens.
    pub fn bytes(&self, n_ctx: usize) -> usize {
        self.weights + n_ctx * self.kv_token
    }
}

/// Reads layers.
struct Layers<'a> {
    loader: Loader<'a>,
    wanted: Option<Compute>,
    dims: &'a LlamaDims,
}

impl Layers<'_> {
    fn layer(&mut self, i: usize) -> Result<Layer, FormatError> {
        let &LlamaDims {
            n_state: d,
            n_ff,
            n_head,
            n_kv_head,
            d_head,
            ..
        } = self.dims;
        let (q, kv) = (n_head * d_head, n_kv_head * d_head);
        let name = |rest: &str| format!("blk.{i}.{rest}");
        let named = |rests: &[&str]| rests.iter().map(|rest| name(rest)).collect::<Vec<_>>();
        let (head_q, head_k) = (name("attn_q_norm"), name("attn_k_norm"));
        let head_norms = match self.loader.file().shape(&format!("{head_q}.weight")) {
            Some(_) => Some((self.norm(&head_q)?, self.norm(&head_k)?)),
            None => None,
        };
        let is_local = (self.dims.local).is_some_and(|local| !(i + 1).is_multiple_of(local.period));
        Ok(Layer {
            attn_norm: self.norm(&name("attn_norm"))?,
            qkv: self.linear(&named(&["attn_q", "attn_k", "attn_v"]), q + 2 * kv, d)?,
            head_norms,
            out: self.linear(&named(&["attn_output"]), d, q)?,
            after_attn: self.optional_norm(&name("post_attention_norm"))?,
            ffn_norm: self.norm(&name("ffn_norm"))?,
            gate_up: self.linear(&named(&["ffn_gate", "ffn_up"]), 2 * n_ff, d)?,
            down: self.linear(&named(&["ffn_down"]), d, n_ff)?,
            after_ffn: self.optional_norm(&name("post_ffw_norm"))?,
            is_local,
        })
    }

    fn norm(&mut self, name: &str) -> Result<RmsNorm, FormatError> {
        let gamma = self.loader.floats(&format!("{name}.weight"))?;
        Ok(RmsNorm::new(gamma, self.dims.epsilon))
    }

    fn optional_norm(&mut self, name: &str) -> Result<Option<RmsNorm>, FormatError> {
        match self.loader.file().shape(&format!("{name}.weight")) {
            Some(_) => self.norm(name).map(Some),
            None => Ok(None),
        }
    }

    /// Matrices of one input as one layer, their outputs side by side, with their biases where there are some.
    fn linear(
        &mut self,
        names: &[impl AsRef<str>],
        n_out: usize,
        n_in: usize,
    ) -> Result<Linear, FormatError> {
        let of = |kind: &str| -> Vec<String> {
            let names = names.iter().map(|name| format!("{}.{kind}", name.as_ref()));
            names.collect()
        };
        let (weights, biases) = (of("weight"), of("bias"));
        self.loader.set_compute(self.compute(&weights));
        let packed = self.loader.stack(&weights, n_out, n_in)?;
        let mut bias = Vec::new();
        for (weights, name) in weights.iter().zip(&biases) {
            match self.loader.file().shape(name) {
                Some(_) => bias.extend(self.loader.floats(name)?),
                None => {
                    let rows = self.loader.file().shape(weights).and_then(|s| s.first());
                    bias.resize(bias.len() + rows.copied().unwrap_or(0), 0.0);
                }
            }
        }
        let has_bias = biases
            .iter()
            .any(|name| self.loader.file().shape(name).is_some());
        Ok(Linear::new(packed, has_bias.then_some(bias)))
    }

    /// The arithmetic that keeps the codes of all these tensors, or else 8-bit blocks.
    fn compute(&self, names: &[String]) -> Compute {
        if let Some(wanted) = self.wanted {
            return wanted;
        }
        let held = |name: &String| match self.loader.file().block_type(name) {
            Some(Encoding::Block(block)) => held(block),
            _ => BlockFormat::Q8_0,
        };
        let mut formats = names.iter().map(held);
        let first = formats.next().unwrap_or(BlockFormat::Q8_0);
        Compute::Blocks(match formats.all(|format| format == first) {
            true => first,
            false => BlockFormat::Q8_0,
        })
    }
}

fn held(block: BlockType) -> BlockFormat {
    BlockFormat::holding(block).unwrap_or(BlockFormat::Q8_0)
}
