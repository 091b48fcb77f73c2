//! A language model from its file: every matrix in the arithmetic that suits how it is stored.

use sha2::{Digest, Sha256};

use crate::format::{Encoding, Family, FormatError, LlamaDims, LlamaFile, Local, Rope, Tensors};
use crate::kernels::{BlockFormat, Cpu};
use crate::nn::{Compute, Linear, Loader, RmsNorm};

use super::rope::Turns;
use super::{KvType, Layer, Llama, MAX_BATCH, MAX_LOGIT_ROWS, Residual};

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
        let mut turns = |name: &str| {
            let factors = match file.shape(name) {
                Some(_) => layers.loader.floats(name)?,
                None => Vec::new(),
            };
            Ok::<Turns, FormatError>(Turns::new(dims.rope, dims.rope.base, &factors))
        };
        let (turns, long_turns) = match dims.rope.long_from {
            Some(_) => (
                turns("rope_factors_short.weight")?,
                Some(turns("rope_factors_long.weight")?),
            ),
            None => (turns("rope_freqs.weight")?, None),
        };
        let local = |local: Local| {
            let rope = Rope {
                scale: 1.0,
                yarn: None,
                magnitude: 1.0,
                ..dims.rope
            };
            Turns::new(rope, local.rope_base, &[])
        };
        let fingerprint = fingerprint(file, cpu, compute)?;
        Ok(Llama {
            fingerprint,
            embedding,
            output,
            norm: layers.norm("output_norm")?,
            layers: (0..dims.n_layer)
                .map(|i| layers.layer(i))
                .collect::<Result<_, FormatError>>()?,
            turns,
            long_turns,
            local_turns: dims.local.map(local),
            dims,
        })
    }
}

/// What decides on the bits of keys and values: the file, the arithmetic, and the version of the program.
fn fingerprint(
    file: &LlamaFile,
    cpu: Cpu,
    compute: Option<Compute>,
) -> Result<[u8; 32], FormatError> {
    let arithmetic = (
        cpu.name(),
        compute.map(Compute::name),
        cfg!(target_endian = "big"),
    );
    let version = env!("CARGO_PKG_VERSION");
    let mut digest = Sha256::new();
    digest.update(file.fingerprint()?);
    digest.update(format!("{version} {arithmetic:?} {:?}", file.dims()));
    Ok(digest.finalize().into())
}

/// What a model takes at run time, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The weights, as they are packed when nothing else is asked for.
    pub weights: usize,
    /// The keys and values of a token.
    pub kv_token: usize,
    /// What a pass works in.
    pub buffers: usize,
}

/// Tokens of a conversation that plans are made for.
pub const KV_TOKEN_PLAN: usize = 2_048;

impl Memory {
    /// Known from the file's header alone, for weights packed as [`Llama::load`] does, and keys and values in half
    /// precision.
    pub fn of(file: &LlamaFile, compute: Option<Compute>) -> Self {
        Memory::with_kv(file, compute, KvType::F16)
    }

    /// The same for keys and values in `kv`.
    pub fn with_kv(file: &LlamaFile, compute: Option<Compute>, kv_type: KvType) -> Self {
        let weights = file.tensor_names().map(|name| {
            let shape = file.shape(name).unwrap_or_default();
            let [n_rows, n_in] = *shape else {
                return 4 * shape.iter().product::<usize>();
            };
            match compute.unwrap_or_else(|| stored_as(file, &beside(name))) {
                Compute::F32 => 4 * n_rows * n_in,
                Compute::Int8 => n_rows * (n_in + 4),
                Compute::Blocks(format) => {
                    let block = format.block_type();
                    n_rows * n_in.div_ceil(block.block_len()) * block.block_bytes()
                }
            }
        });
        let dims = file.dims();
        let (q, kv) = (dims.n_head * dims.d_head, dims.n_kv_head * dims.d_head);
        // In the order of `State`, and the same once more in bytes for quantised rows.
        let row = 2 * dims.n_state + (q + 2 * kv) + q.max(dims.n_state) + q + 3 * dims.n_ff;
        let head_bytes = kv_type.head_bytes(dims.d_head);
        Memory {
            weights: weights.sum(),
            kv_token: 2 * dims.n_layer * dims.n_kv_head * head_bytes,
            buffers: MAX_BATCH * 5 * row + 4 * (MAX_LOGIT_ROWS + 3) * dims.n_vocab,
        }
    }

    /// All of it for conversations of `n_ctx` tokens.
    pub fn bytes(&self, n_ctx: usize) -> usize {
        self.weights + self.buffers + n_ctx * self.kv_token
    }
}

/// The tensors that are packed together with this one.
fn beside(name: &str) -> Vec<String> {
    let groups: [&[&str]; 2] = [
        &["attn_q.weight", "attn_k.weight", "attn_v.weight"],
        &["ffn_gate.weight", "ffn_up.weight"],
    ];
    let member = groups
        .iter()
        .copied()
        .flatten()
        .find(|rest| name.ends_with(*rest));
    let group = groups
        .iter()
        .find(|group| member.is_some_and(|member| group.contains(member)));
    match (member, group) {
        (Some(member), Some(group)) => {
            let prefix = name.strip_suffix(*member).unwrap_or(name);
            group.iter().map(|rest| format!("{prefix}{rest}")).collect()
        }
        _ => vec![name.to_owned()],
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
        let family = self.dims.family;
        let head_norms = match family {
            Family::Qwen3 | Family::Gemma3 => Some((self.norm(&head_q)?, self.norm(&head_k)?)),
            Family::Llama | Family::Qwen2 => None,
        };
        let mut after = |name: String| match family {
            Family::Gemma3 => self.norm(&name).map(Some),
            Family::Llama | Family::Qwen2 | Family::Qwen3 => Ok(None),
        };
        let after_attn = after(name("post_attention_norm"))?;
        let after_ffn = after(name("post_ffw_norm"))?;
        let is_local = (self.dims.local).is_some_and(|local| !(i + 1).is_multiple_of(local.period));
        Ok(Layer {
            attn_norm: self.norm(&name("attn_norm"))?,
            qkv: self.linear(&named(&["attn_q", "attn_k", "attn_v"]), q + 2 * kv, d)?,
            head_norms,
            out: Residual {
                linear: self.linear(&named(&["attn_output"]), d, q)?,
                norm: after_attn,
            },
            ffn_norm: self.norm(&name("ffn_norm"))?,
            gate_up: self.linear(&named(&["ffn_gate", "ffn_up"]), 2 * n_ff, d)?,
            down: Residual {
                linear: self.linear(&named(&["ffn_down"]), d, n_ff)?,
                norm: after_ffn,
            },
            is_local,
        })
    }

    fn norm(&mut self, name: &str) -> Result<RmsNorm, FormatError> {
        let gamma = self.loader.floats(&format!("{name}.weight"))?;
        Ok(RmsNorm::new(gamma, self.dims.epsilon))
    }

    /// Matrices of one input as one layer, their outputs side by side. Queries, keys and values may have
    /// biases.
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
        let (file, weights, biases) = (self.loader.file(), of("weight"), of("bias"));
        let compute = self.wanted.unwrap_or_else(|| stored_as(file, &weights));
        self.loader.set_compute(compute);
        let packed = self.loader.stack(&weights, n_out, n_in)?;
        let may_have = names.iter().any(|name| name.as_ref().ends_with("attn_q"));
        if !may_have || !biases.iter().any(|name| file.shape(name).is_some()) {
            return Ok(Linear::new(packed, None));
        }
        let mut bias = Vec::new();
        for (weights, name) in weights.iter().zip(&biases) {
            match file.shape(name) {
                Some(_) => bias.extend(self.loader.floats(name)?),
                None => {
                    let n_rows = file.shape(weights).and_then(|shape| shape.first());
                    bias.resize(bias.len() + n_rows.copied().unwrap_or(0), 0.0);
                }
            }
        }
        Ok(Linear::new(packed, Some(bias)))
    }
}

/// The arithmetic that keeps the codes of all these tensors, or else 8-bit blocks.
fn stored_as(file: &Tensors, names: &[impl AsRef<str>]) -> Compute {
    let held = |name: &str| match file.block_type(name) {
        Some(Encoding::Block(block)) => BlockFormat::holding(block),
        _ => None,
    };
    let mut formats = names.iter().map(|name| held(name.as_ref()));
    let first = formats.next().flatten().unwrap_or(BlockFormat::Q8_0);
    Compute::Blocks(match formats.all(|format| format == Some(first)) {
        true => first,
        false => BlockFormat::Q8_0,
    })
}
