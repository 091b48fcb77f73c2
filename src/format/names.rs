//! Whisper's dimensions and tensors, under the names OpenAI gave them, and what the other
//! containers call them.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::source::Source;
use super::tensor::Stored;
use super::{FormatError, vocabulary};

/// The dimensions of a Whisper model, as in the paper's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhisperDims {
    /// Tokens, special ones included.
    pub n_vocab: usize,
    /// Encoder positions: 1500 for 30 s.
    pub n_audio_ctx: usize,
    /// Width of the encoder.
    pub n_audio_state: usize,
    /// Attention heads of the encoder.
    pub n_audio_head: usize,
    /// Layers of the encoder.
    pub n_audio_layer: usize,
    /// Decoder positions: 448.
    pub n_text_ctx: usize,
    /// Width of the decoder; the same as the encoder's.
    pub n_text_state: usize,
    /// Attention heads of the decoder.
    pub n_text_head: usize,
    /// Layers of the decoder.
    pub n_text_layer: usize,
    /// Mel bands: 80, or 128 for large-v3.
    pub n_mels: usize,
}

impl WhisperDims {
    /// Checks every dimension against what any Whisper model could have and the engine can
    /// compute in a time worth waiting for: products of them can be formed without fear.
    pub(super) fn check(self, source: &Source) -> Result<WhisperDims, FormatError> {
        let wrong = |what: String| FormatError::Dims {
            path: source.path().to_owned(),
            what,
        };
        let ranges: [(&str, usize, RangeInclusive<usize>); 10] = [
            ("n_vocab", self.n_vocab, vocabulary::SIZES),
            ("n_audio_ctx", self.n_audio_ctx, 1..=3_000),
            ("n_audio_state", self.n_audio_state, 8..=16_384),
            ("n_audio_head", self.n_audio_head, 1..=256),
            ("n_audio_layer", self.n_audio_layer, 1..=256),
            ("n_text_ctx", self.n_text_ctx, 16..=4_096),
            ("n_text_state", self.n_text_state, 8..=16_384),
            ("n_text_head", self.n_text_head, 1..=256),
            ("n_text_layer", self.n_text_layer, 1..=256),
            ("n_mels", self.n_mels, 1..=512),
        ];
        for (name, value, range) in ranges {
            if !range.contains(&value) {
                return Err(wrong(format!("{name} is {value}")));
            }
        }
        if self.n_text_state != self.n_audio_state {
            let (audio, text) = (self.n_audio_state, self.n_text_state);
            return Err(wrong(format!(
                "n_audio_state is {audio}, n_text_state {text}"
            )));
        }
        for n_head in [self.n_audio_head, self.n_text_head] {
            let n_state = self.n_audio_state;
            if !n_state.is_multiple_of(n_head) || !is_head_width(n_state / n_head, n_state) {
                return Err(wrong(format!("{n_head} heads for a width of {n_state}")));
            }
        }
        Ok(self)
    }
}

/// Whether heads of this width can be computed, and belong to a model of width `n_state`. All
/// published models have 64, and the smallest is 384 wide: another count of heads in one of that
/// size is a damaged header, whose weights would be taken apart wrongly. Toys may differ.
fn is_head_width(d_head: usize, n_state: usize) -> bool {
    let is_published_size = n_state >= 384;
    d_head.is_multiple_of(8) && d_head <= 128 && (d_head == D_HEAD || !is_published_size)
}

/// Every tensor of a model of these dimensions with its shape, outermost first, in the order of
/// the forward pass.
pub(super) fn expected(dims: &WhisperDims) -> Vec<(String, Vec<usize>)> {
    let d = dims.n_audio_state;
    let mut list: Vec<(String, Vec<usize>)> = vec![
        ("encoder.conv1.weight".into(), vec![d, dims.n_mels, 3]),
        ("encoder.conv1.bias".into(), vec![d]),
        ("encoder.conv2.weight".into(), vec![d, d, 3]),
        ("encoder.conv2.bias".into(), vec![d]),
        (
            "encoder.positional_embedding".into(),
            vec![dims.n_audio_ctx, d],
        ),
    ];
    for layer in 0..dims.n_audio_layer {
        block(&mut list, &format!("encoder.blocks.{layer}"), &["attn"], d);
    }
    norm(&mut list, "encoder.ln_post", d);
    list.push((
        "decoder.token_embedding.weight".into(),
        vec![dims.n_vocab, d],
    ));
    list.push((
        "decoder.positional_embedding".into(),
        vec![dims.n_text_ctx, d],
    ));
    for layer in 0..dims.n_text_layer {
        block(
            &mut list,
            &format!("decoder.blocks.{layer}"),
            &["attn", "cross_attn"],
            d,
        );
    }
    norm(&mut list, "decoder.ln", d);
    list
}

fn norm(list: &mut Vec<(String, Vec<usize>)>, name: &str, d: usize) {
    list.push((format!("{name}.weight"), vec![d]));
    list.push((format!("{name}.bias"), vec![d]));
}

fn linear(list: &mut Vec<(String, Vec<usize>)>, name: &str, n_out: usize, n_in: usize) {
    list.push((format!("{name}.weight"), vec![n_out, n_in]));
    // The keys need no bias: it would add the same to every score of a query.
    if !name.ends_with(".key") {
        list.push((format!("{name}.bias"), vec![n_out]));
    }
}

fn block(list: &mut Vec<(String, Vec<usize>)>, name: &str, attentions: &[&str], d: usize) {
    for attention in attentions {
        norm(list, &format!("{name}.{attention}_ln"), d);
        for part in ["query", "key", "value", "out"] {
            linear(list, &format!("{name}.{attention}.{part}"), d, d);
        }
    }
    norm(list, &format!("{name}.mlp_ln"), d);
    linear(list, &format!("{name}.mlp.0"), 4 * d, d);
    linear(list, &format!("{name}.mlp.2"), d, 4 * d);
}

/// Where another container keeps a tensor: rows `part` of `of` equal parts of its tensor `name`.
pub(super) struct Place {
    pub(super) name: String,
    pub(super) part: usize,
    pub(super) of: usize,
}

/// Splits `encoder.blocks.3.attn.query.weight` into `encoder`, `3`, `attn.query`, `weight`.
fn in_block(name: &str) -> Option<(&str, &str, &str, &str)> {
    let (side, rest) = name.split_once(".blocks.")?;
    let (layer, rest) = rest.split_once('.')?;
    let (part, leaf) = rest.rsplit_once('.')?;
    Some((side, layer, part, leaf))
}

/// CTranslate2's name of a tensor. It stacks query, key and value by rows, in cross attention
/// key and value; a `key` bias is in the file (as zeros) and not asked for.
pub(super) fn ctranslate2(name: &str) -> Place {
    let whole = |name: String| Place {
        name,
        part: 0,
        of: 1,
    };
    let norm_leaf = |leaf: &str| if leaf == "weight" { "gamma" } else { "beta" };
    let Some((side, layer, module, leaf)) = in_block(name) else {
        return whole(match name {
            "decoder.token_embedding.weight" => "decoder/embeddings/weight".into(),
            _ => match name.split_once('.') {
                Some((side, "positional_embedding")) => {
                    format!("{side}/position_encodings/encodings")
                }
                Some((side, "ln.weight" | "ln_post.weight")) => format!("{side}/layer_norm/gamma"),
                Some((side, "ln.bias" | "ln_post.bias")) => format!("{side}/layer_norm/beta"),
                _ => name.replace('.', "/"),
            },
        });
    };
    let (place, part, of) = match module {
        "attn.query" => ("self_attention/linear_0", 0, 3),
        "attn.key" => ("self_attention/linear_0", 1, 3),
        "attn.value" => ("self_attention/linear_0", 2, 3),
        "attn.out" => ("self_attention/linear_1", 0, 1),
        "cross_attn.query" => ("attention/linear_0", 0, 1),
        "cross_attn.key" => ("attention/linear_1", 0, 2),
        "cross_attn.value" => ("attention/linear_1", 1, 2),
        "cross_attn.out" => ("attention/linear_2", 0, 1),
        "mlp.0" => ("ffn/linear_0", 0, 1),
        "mlp.2" => ("ffn/linear_1", 0, 1),
        "attn_ln" => ("self_attention/layer_norm", 0, 1),
        "cross_attn_ln" => ("attention/layer_norm", 0, 1),
        _ => ("ffn/layer_norm", 0, 1),
    };
    let leaf = if module.ends_with("_ln") {
        norm_leaf(leaf)
    } else {
        leaf
    };
    let name = format!("{side}/layer_{layer}/{place}/{leaf}");
    Place { name, part, of }
}

/// Hugging Face's name of a tensor, without the leading `model.`.
pub(super) fn hugging_face(name: &str) -> String {
    let Some((side, layer, module, leaf)) = in_block(name) else {
        return match name {
            "decoder.token_embedding.weight" => "decoder.embed_tokens.weight".into(),
            _ => match name.split_once('.') {
                Some((side, "positional_embedding")) => format!("{side}.embed_positions.weight"),
                Some((side, "ln.weight" | "ln_post.weight")) => format!("{side}.layer_norm.weight"),
                Some((side, "ln.bias" | "ln_post.bias")) => format!("{side}.layer_norm.bias"),
                _ => name.into(),
            },
        };
    };
    let place = match module {
        "attn.query" => "self_attn.q_proj",
        "attn.key" => "self_attn.k_proj",
        "attn.value" => "self_attn.v_proj",
        "attn.out" => "self_attn.out_proj",
        "cross_attn.query" => "encoder_attn.q_proj",
        "cross_attn.key" => "encoder_attn.k_proj",
        "cross_attn.value" => "encoder_attn.v_proj",
        "cross_attn.out" => "encoder_attn.out_proj",
        "mlp.0" => "fc1",
        "mlp.2" => "fc2",
        "attn_ln" => "self_attn_layer_norm",
        "cross_attn_ln" => "encoder_attn_layer_norm",
        _ => "final_layer_norm",
    };
    format!("{side}.layers.{layer}.{place}.{leaf}")
}

/// How a container finds the tensor of a canonical name: its own name for it, and where it is.
pub(super) trait Lookup {
    /// The container's own name, for messages.
    fn own_name(&self, name: &str) -> String;
    /// The tensor, if the file has it.
    fn find(&self, name: &str) -> Result<Option<Stored>, FormatError>;
    /// Layers of a side, `encoder` or `decoder`: one more than the highest that a name has.
    /// Layers that were dropped from the middle are then missing, and the model is not taken for
    /// a smaller one.
    fn n_layers(&self, side: &str) -> usize;
}

/// The count of layers that `names` speak of; what follows `prefix` in a name begins with the
/// number of the layer, which ends at `end`.
pub(super) fn n_layers<'a>(
    names: impl Iterator<Item = &'a String>,
    prefix: &str,
    end: char,
) -> usize {
    let number = |name: &'a String| name.strip_prefix(prefix)?.split(end).next()?.parse().ok();
    let highest: Option<usize> = names.filter_map(number).max();
    highest.map_or(0, |n| n.saturating_add(1))
}

fn find(lookup: &impl Lookup, source: &Source, name: &str) -> Result<Stored, FormatError> {
    lookup
        .find(name)?
        .ok_or_else(|| FormatError::MissingTensor {
            path: source.path().to_owned(),
            tensor: lookup.own_name(name),
        })
}

/// Attention heads of encoder and decoder, where a container says them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heads {
    pub(super) audio: Option<usize>,
    pub(super) text: Option<usize>,
}

/// The width of an attention head in every model that OpenAI published.
const D_HEAD: usize = 64;

/// The dimensions of a model whose container does not list them, from the shapes.
pub(super) fn dims_from_shapes(
    lookup: &impl Lookup,
    source: &Source,
    heads: Heads,
) -> Result<WhisperDims, FormatError> {
    let shape = |name: &str, rank: usize| {
        let found = find(lookup, source, name)?.shape;
        if found.len() == rank {
            return Ok(found);
        }
        Err(FormatError::Dims {
            path: source.path().to_owned(),
            what: format!(
                "tensor {} has {} dimensions",
                lookup.own_name(name),
                found.len()
            ),
        })
    };
    let embedding = shape("decoder.token_embedding.weight", 2)?;
    let conv = shape("encoder.conv1.weight", 3)?;
    WhisperDims {
        n_vocab: embedding[0],
        n_audio_ctx: shape("encoder.positional_embedding", 2)?[0],
        n_audio_state: conv[0],
        n_audio_head: heads.audio.unwrap_or(conv[0] / D_HEAD),
        n_audio_layer: lookup.n_layers("encoder"),
        n_text_ctx: shape("decoder.positional_embedding", 2)?[0],
        n_text_state: embedding[1],
        n_text_head: heads.text.unwrap_or(embedding[1] / D_HEAD),
        n_text_layer: lookup.n_layers("decoder"),
        n_mels: conv[1],
    }
    .check(source)
}

/// All tensors of a model under their canonical names, shapes checked, and all of them together
/// no larger than the file.
pub(super) fn collect(
    lookup: &impl Lookup,
    source: &Source,
    dims: &WhisperDims,
) -> Result<BTreeMap<String, Stored>, FormatError> {
    let mut tensors = BTreeMap::new();
    let mut n_bytes = 0_usize;
    for (name, expected) in expected(dims) {
        let mut stored = find(lookup, source, &name)?;
        // whisper.cpp keeps the biases of the convolutions as columns.
        let is_column = expected.len() == 1 && stored.shape == [expected[0], 1];
        if !is_column && stored.shape != expected {
            return Err(FormatError::Shape {
                path: source.path().to_owned(),
                tensor: lookup.own_name(&name),
                found: stored.shape,
                expected,
            });
        }
        stored.shape = expected;
        let more = stored.encoding.bytes_for(stored.len());
        n_bytes = n_bytes.saturating_add(more.unwrap_or_default());
        tensors.insert(name, stored);
    }
    // Aliases could make one tensor stand for many, and a small file fill the memory.
    if n_bytes as u64 > source.size_bytes() {
        return Err(source.header(format!(
            "tensors of {n_bytes} bytes, more than the file has"
        )));
    }
    Ok(tensors)
}
