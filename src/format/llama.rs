//! Language models of the LLaMA family in a GGUF file.
//!
//! What enters: the path of a file. What leaves: a [`LlamaFile`], whose dimensions are checked against its
//! tensors. Names and meanings are those that llama.cpp's converters write (`gguf-py/gguf/constants.py`).

use std::ops::Deref;
use std::path::Path;

use super::gguf::{self, Index, Value};
use super::source::Source;
use super::vocabulary::ByteTable;
use super::{FormatError, Tensors};

/// The architectures, by what they do differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// LLaMA 1 to 3, Mistral, TinyLlama, SmolLM2.
    Llama,
    /// Qwen2 and 2.5: queries, keys and values have biases.
    Qwen2,
    /// Qwen3: queries and keys are normalised.
    Qwen3,
    /// Gemma 3: that too, norms behind each half of a layer, most layers look back a short way only.
    Gemma3,
}

impl Family {
    const ALL: [(&str, Family); 4] = [
        ("llama", Family::Llama),
        ("qwen2", Family::Qwen2),
        ("qwen3", Family::Qwen3),
        ("gemma3", Family::Gemma3),
    ];

    /// The name in the file.
    pub fn name(self) -> &'static str {
        let found = Family::ALL.into_iter().find(|(_, family)| *family == self);
        found.map_or("", |(name, _)| name)
    }
}

/// How positions turn queries and keys (Su et al. 2021).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    /// Numbers of a head that are turned: the first ones.
    pub n_turned: usize,
    /// The base of the angles' geometric series.
    pub base: f32,
    /// Positions are multiplied by this (linear scaling).
    pub scale: f32,
    /// Which pairs are scaled, if not all are.
    pub yarn: Option<Yarn>,
    /// Positions beyond which the other list of factors divides the steps (LongRoPE, Ding et al. 2024).
    pub long_from: Option<usize>,
    /// What is turned is multiplied by this.
    pub magnitude: f32,
    /// Whether numbers 2i and 2i + 1 are turned together, or i and i + n_turned / 2.
    pub neighbours: bool,
}

/// Scaling of pairs by how often they turn around (YaRN, Peng et al. 2023).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yarn {
    /// Positions of the training before the model was made to take more.
    pub n_ctx: usize,
    /// Pairs that turn around as often within them are not scaled.
    pub beta_fast: f32,
    /// Pairs that do so less often are.
    pub beta_slow: f32,
    /// How much of this applies: 1, or 0 for scaling all pairs alike.
    pub mix: f32,
}

/// The dimensions of a model, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct LlamaDims {
    /// What it does differently.
    pub family: Family,
    /// Tokens.
    pub n_vocab: usize,
    /// Positions it was trained for.
    pub n_ctx: usize,
    /// Numbers of a position.
    pub n_state: usize,
    /// Numbers in the middle of a layer's second half.
    pub n_ff: usize,
    /// Layers.
    pub n_layer: usize,
    /// Heads of queries.
    pub n_head: usize,
    /// Heads of keys and values, each shared by as many heads of queries.
    pub n_kv_head: usize,
    /// Numbers of a head.
    pub d_head: usize,
    /// What keeps the norm from dividing by zero.
    pub epsilon: f32,
    /// How positions enter.
    pub rope: Rope,
    /// Layers but every `local_period`-th look back so far only, and turn with another base.
    pub local: Option<Local>,
}

/// Layers that look back a short way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Local {
    /// Positions that are seen, the present one included.
    pub window: usize,
    /// The last of so many layers sees all.
    pub period: usize,
    /// The base of their angles.
    pub rope_base: f32,
}

/// What a token is (`enum llama_token_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// Text.
    Text,
    /// A mark in a conversation, or the like.
    Control,
    /// Text that is one token wherever it occurs.
    Whole,
    /// A byte of text that has no token otherwise.
    Byte(u8),
    /// Nothing.
    Unused,
}

/// A tokenizer as the file has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Vocabulary {
    /// `gpt2` for byte pairs, `llama` for SentencePiece.
    pub model: String,
    /// How text is cut before byte pairs are merged.
    pub pre: String,
    /// The bytes of the tokens; SentencePiece's with U+2581 for a blank.
    pub tokens: Vec<Box<[u8]>>,
    /// What each token is.
    pub kinds: Vec<TokenKind>,
    /// SentencePiece's scores, one a token.
    pub scores: Vec<f32>,
    /// Pairs of tokens' bytes that merge, best first.
    pub merges: Vec<[Box<[u8]>; 2]>,
    /// The token at the beginning of a text.
    pub bos: Option<u32>,
    /// The token at the end of one.
    pub eos: Option<u32>,
    /// The token at the end of an answer.
    pub eot: Option<u32>,
    /// Whether texts begin with `bos`.
    pub add_bos: bool,
    /// Whether SentencePiece puts a blank before a text.
    pub add_space_prefix: bool,
}

/// An opened language model.
#[derive(Debug)]
pub struct LlamaFile {
    tensors: Tensors,
    dims: LlamaDims,
    vocabulary: Vocabulary,
    chat_template: Option<String>,
    title: String,
}

impl Deref for LlamaFile {
    type Target = Tensors;

    fn deref(&self) -> &Tensors {
        &self.tensors
    }
}

impl LlamaFile {
    /// Opens a file and reads everything but the tensors' data.
    ///
    /// # Errors
    /// If it is no GGUF file, damaged, or of an architecture that is not known.
    pub fn open(path: &Path) -> Result<LlamaFile, FormatError> {
        let source = Source::open(path)?;
        if !starts_as_gguf(&source) {
            return Err(FormatError::Unrecognised {
                path: path.to_owned(),
                found: "is no GGUF file; take the model's .gguf, or fetch one with `hark models pull smollm2`",
            });
        }
        let index = Index::read(&source)?;
        let values = Values {
            index: &index,
            source: &source,
        };
        let dims = values.dims()?;
        check_tensors(&index, &source, &dims)?;
        let vocabulary = values.vocabulary(dims.n_vocab)?;
        let chat_template = values.text("tokenizer.chat_template")?;
        let title = values.text("general.name")?;
        Ok(LlamaFile {
            dims,
            vocabulary,
            chat_template,
            title: title.unwrap_or_default(),
            tensors: Tensors::new(source, index.tensors),
        })
    }

    /// Whether a file is a GGUF file by its first bytes.
    pub fn is_one(path: &Path) -> bool {
        Source::open(path).is_ok_and(|source| starts_as_gguf(&source))
    }

    /// The model's dimensions, checked.
    pub fn dims(&self) -> &LlamaDims {
        &self.dims
    }

    /// Its tokenizer.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The template that makes a text of a conversation, in Jinja's language.
    pub fn chat_template(&self) -> Option<&str> {
        self.chat_template.as_deref()
    }

    /// What its makers call it; may be empty.
    pub fn title(&self) -> &str {
        &self.title
    }
}

fn starts_as_gguf(source: &Source) -> bool {
    let mut start = [0; 4];
    source.read_at(0, &mut start, "").is_ok() && start == gguf::MAGIC
}

/// The values of a file with their types checked.
struct Values<'a> {
    index: &'a Index,
    source: &'a Source,
}

impl Values<'_> {
    fn wrong(&self, key: &str, value: &Value) -> FormatError {
        let shown = match value {
            Value::Ints(_) | Value::Floats(_) | Value::Texts(_) | Value::Unread => "a list".into(),
            other => super::error::name(&format!("{other:?}")),
        };
        self.source.header(format!("{key} is {shown}"))
    }

    /// The value of a key, if it is there; an error where `take` does not take it.
    fn get<T>(
        &self,
        key: &str,
        take: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, FormatError> {
        let Some(value) = self.index.values.get(key) else {
            return Ok(None);
        };
        take(value).map(Some).ok_or_else(|| self.wrong(key, value))
    }

    fn int(&self, key: &str) -> Result<Option<i64>, FormatError> {
        self.get(key, |value| match value {
            Value::Int(value) => Some(*value),
            _ => None,
        })
    }

    fn float(&self, key: &str) -> Result<Option<f32>, FormatError> {
        self.get(key, |value| match value {
            Value::Float(value) if value.is_finite() => Some(*value as f32),
            _ => None,
        })
    }

    fn bool(&self, key: &str) -> Result<Option<bool>, FormatError> {
        self.get(key, |value| match value {
            Value::Bool(value) => Some(*value),
            _ => None,
        })
    }

    fn text(&self, key: &str) -> Result<Option<String>, FormatError> {
        self.get(key, |value| match value {
            Value::Text(value) => Some(value.clone()),
            _ => None,
        })
    }

    fn texts(&self, key: &str) -> Result<Vec<Box<[u8]>>, FormatError> {
        let texts = self.get(key, |value| match value {
            Value::Texts(value) => Some(value.clone()),
            _ => None,
        });
        Ok(texts?.unwrap_or_default())
    }

    /// A count in `1..=limit`.
    fn count(&self, key: &str, limit: usize) -> Result<Option<usize>, FormatError> {
        let Some(value) = self.int(key)? else {
            return Ok(None);
        };
        match usize::try_from(value) {
            Ok(count) if (1..=limit).contains(&count) => Ok(Some(count)),
            _ => Err(self.source.header(format!("{key} is {value}"))),
        }
    }

    fn needed<T>(&self, key: &str, found: Option<T>) -> Result<T, FormatError> {
        found.ok_or_else(|| self.source.header(format!("{key} is missing")))
    }

    fn dims(&self) -> Result<LlamaDims, FormatError> {
        let architecture = self.text("general.architecture")?;
        let name = self.needed("general.architecture", architecture)?;
        let family = Family::ALL.into_iter().find(|(known, _)| *known == name);
        let (_, family) = family.ok_or_else(|| {
            let known = Family::ALL.map(|(known, _)| known).join(", ");
            let shown = super::error::name(&name);
            self.source
                .header(format!("its architecture is {shown}; {known} are known"))
        })?;
        let key = |rest: &str| format!("{name}.{rest}");
        let count = |rest: &str, limit| {
            let key = key(rest);
            self.needed(&key, self.count(&key, limit)?)
        };
        if self.int(&key("expert_count"))?.is_some_and(|n| n > 0) {
            let what = "its layers are mixtures of experts, which are not known here";
            return Err(self.source.header(what.into()));
        }
        let n_state = count("embedding_length", MAX_WIDTH)?;
        let n_head = count("attention.head_count", 1 << 10)?;
        let n_kv_head = self.count(&key("attention.head_count_kv"), 1 << 10)?;
        let d_head = self.count(&key("attention.key_length"), MAX_D_HEAD)?;
        let d_value = self.count(&key("attention.value_length"), MAX_D_HEAD)?;
        let shape = self
            .index
            .tensors
            .get("token_embd.weight")
            .map(|t| &t.shape);
        let epsilon = key("attention.layer_norm_rms_epsilon");
        let dims = LlamaDims {
            family,
            n_vocab: shape.and_then(|s| s.first().copied()).unwrap_or(0),
            n_ctx: count("context_length", 1 << 24)?,
            n_state,
            n_ff: count("feed_forward_length", MAX_WIDTH)?,
            n_layer: count("block_count", 1 << 10)?,
            n_head,
            n_kv_head: n_kv_head.unwrap_or(n_head),
            d_head: d_head.unwrap_or(n_state / n_head),
            epsilon: self.needed(&epsilon, self.float(&epsilon)?)?,
            rope: self.rope(family, &name, d_head.unwrap_or(n_state / n_head))?,
            local: self.local(family, &name)?,
        };
        if !dims.n_head.is_multiple_of(dims.n_kv_head)
            || dims.n_head * dims.d_head > MAX_WIDTH
            || !dims.d_head.is_multiple_of(8)
            || !(8..=MAX_D_HEAD).contains(&dims.d_head)
            || d_value.is_some_and(|d| d != dims.d_head)
            || dims.rope.n_turned > dims.d_head
            || !dims.rope.n_turned.is_multiple_of(2)
            || !(dims.epsilon > 0.0 && dims.epsilon < 1.0)
            || !(1..=1 << 20).contains(&dims.n_vocab)
        {
            return Err(self
                .source
                .header(format!("no model has the dimensions {dims:?}")));
        }
        Ok(dims)
    }

    fn rope(&self, family: Family, name: &str, d_head: usize) -> Result<Rope, FormatError> {
        let key = |rest: &str| format!("{name}.rope.{rest}");
        let kind = self.text(&key("scaling.type"))?.unwrap_or_default();
        let factor = self.float(&key("scaling.factor"))?.unwrap_or(1.0);
        let base = self.float(&key("freq_base"))?.unwrap_or(10_000.0);
        let is_known = ["", "none", "linear", "yarn", "longrope"].contains(&kind.as_str());
        // Another correction of the magnitude, of architectures that are not known here.
        let log_multiplier = self.float(&key("scaling.yarn_log_multiplier"))?;
        let is_known = is_known && log_multiplier.unwrap_or(0.0) == 0.0;
        let [attn, yarn_attn] = ["attn_factor", "yarn_attn_factor"]
            .map(|rest| self.float(&key(&format!("scaling.{rest}"))));
        let mut magnitude = attn?.unwrap_or(1.0) * yarn_attn?.unwrap_or(1.0);
        let n_ctx = self.count(&key("scaling.original_context_length"), 1 << 24)?;
        let n_ctx = n_ctx.or(self.count(&format!("{name}.context_length"), 1 << 24)?);
        let yarn = match kind.as_str() {
            "yarn" => Some(self.yarn(name, n_ctx.unwrap_or(0))?),
            _ => None,
        };
        if yarn.is_some_and(|yarn| yarn.mix != 0.0) {
            magnitude *= 0.1 * factor.ln() + 1.0;
        }
        let is_sound = factor >= 1.0 && base > 1.0 && (1e-3..1e3).contains(&magnitude);
        if !(is_known && is_sound) {
            let what =
                format!("positions are scaled in a way that is not known here ({kind} {factor})");
            return Err(self.source.header(what));
        }
        Ok(Rope {
            n_turned: self
                .count(&key("dimension_count"), MAX_D_HEAD)?
                .unwrap_or(d_head),
            base,
            scale: 1.0 / factor,
            yarn,
            long_from: n_ctx.filter(|_| kind == "longrope"),
            magnitude,
            neighbours: family == Family::Llama,
        })
    }

    fn yarn(&self, name: &str, n_ctx: usize) -> Result<Yarn, FormatError> {
        let number = |rest: &str, otherwise: f32| {
            let key = format!("{name}.rope.scaling.yarn_{rest}");
            let value = self.float(&key)?;
            Ok::<f32, FormatError>(value.unwrap_or(otherwise))
        };
        let mix = number("ext_factor", 1.0)?;
        let yarn = Yarn {
            n_ctx,
            beta_fast: number("beta_fast", 32.0)?,
            beta_slow: number("beta_slow", 1.0)?,
            // Less than nothing stands for what is usual.
            mix: if mix < 0.0 { 1.0 } else { mix },
        };
        let is_sound = n_ctx > 0
            && (1e-3..1e6).contains(&yarn.beta_slow)
            && (1e-3..1e6).contains(&yarn.beta_fast)
            && yarn.mix <= 1.0;
        match is_sound {
            true => Ok(yarn),
            false => Err(self
                .source
                .header(format!("no model scales positions by {yarn:?}"))),
        }
    }

    fn local(&self, family: Family, name: &str) -> Result<Option<Local>, FormatError> {
        let key = format!("{name}.attention.sliding_window");
        if family != Family::Gemma3 || self.int(&key)? == Some(0) {
            return Ok(None);
        }
        let window = self.count(&key, 1 << 24)?;
        Ok(window.map(|window| Local {
            window,
            period: 6,
            rope_base: 10_000.0,
        }))
    }

    fn vocabulary(&self, n_vocab: usize) -> Result<Vocabulary, FormatError> {
        let key = |rest: &str| format!("tokenizer.ggml.{rest}");
        let token = |rest: &str| {
            let id = self.int(&key(rest))?;
            match id.map(u32::try_from) {
                None => Ok(None),
                Some(Ok(id)) if (id as usize) < n_vocab => Ok(Some(id)),
                Some(_) => Err(self.source.header(format!("{rest} is no token"))),
            }
        };
        let scores = match self.index.values.get(&key("scores")) {
            Some(Value::Floats(values)) => values.clone(),
            _ => Vec::new(),
        };
        let model = self.text(&key("model"))?.unwrap_or_default();
        let mut tokens = self.texts(&key("tokens"))?;
        let kinds = match self.index.values.get(&key("token_type")) {
            Some(Value::Ints(values)) => values.as_slice(),
            _ => &[],
        };
        let numbered = tokens.iter().enumerate();
        let kinds: Vec<TokenKind> = numbered
            .map(|(id, token)| token_kind(kinds.get(id), token))
            .collect();
        let mut merges = Vec::new();
        if model == "gpt2" {
            let table = ByteTable::new();
            let bytes = |text: &[u8]| table.bytes(std::str::from_utf8(text).ok()?);
            for (token, kind) in tokens.iter_mut().zip(&kinds) {
                if *kind == TokenKind::Text
                    && let Some(plain) = bytes(token)
                {
                    *token = plain.into();
                }
            }
            for pair in self.texts(&key("merges"))? {
                // The blank between the two is the first one behind the first character.
                let blank = pair.iter().skip(1).position(|&byte| byte == b' ');
                let halves = blank.map(|at| pair.split_at(at + 1));
                let halves = halves.and_then(|(l, r)| Some((bytes(l)?, bytes(&r[1..])?)));
                let (left, right) = halves
                    .ok_or_else(|| self.source.header("a merge of tokens is no pair".into()))?;
                merges.push([left.into(), right.into()]);
            }
        }
        let pre = self.text(&key("pre"))?.unwrap_or_default();
        let begins = model == "llama" || LLAMA3.contains(&pre.as_str()) || pre == TEKKEN;
        let vocabulary = Vocabulary {
            pre,
            tokens,
            kinds,
            scores,
            merges,
            bos: token("bos_token_id")?,
            eos: token("eos_token_id")?,
            eot: token("eot_token_id")?,
            add_bos: self.bool(&key("add_bos_token"))?.unwrap_or(begins),
            add_space_prefix: self.bool(&key("add_space_prefix"))?.unwrap_or(true),
            model,
        };
        let n = vocabulary.tokens.len();
        if n == 0 || n > n_vocab {
            return Err(self
                .source
                .header(format!("{n} tokens for {n_vocab} embeddings")));
        }
        Ok(vocabulary)
    }
}

/// LLaMA 3's names for its rule to cut text.
pub(crate) const LLAMA3: [&str; 4] = ["llama-bpe", "llama3", "llama-v3", "falcon3"];

/// Mistral's name for its own.
pub(crate) const TEKKEN: &str = "tekken";

/// What the file's number for a token's kind means; tokens without one are text.
fn token_kind(number: Option<&i64>, token: &[u8]) -> TokenKind {
    match number {
        Some(2 | 3) => TokenKind::Control,
        Some(4) => TokenKind::Whole,
        Some(5) => TokenKind::Unused,
        Some(6) => {
            let hex = std::str::from_utf8(token).ok();
            let hex = hex.and_then(|t| t.strip_prefix("<0x")?.strip_suffix('>'));
            let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
            byte.map_or(TokenKind::Unused, TokenKind::Byte)
        }
        _ => TokenKind::Text,
    }
}

/// The widest rows that the kernels multiply.
const MAX_WIDTH: usize = 1 << 16;

/// The largest head that the kernels take.
const MAX_D_HEAD: usize = 256;

/// Checks that every tensor of a model of these dimensions is there, and has its shape.
fn check_tensors(index: &Index, source: &Source, dims: &LlamaDims) -> Result<(), FormatError> {
    let expect = |name: &str, expected: &[usize]| match index.tensors.get(name) {
        None => Err(FormatError::MissingTensor {
            path: source.path().to_owned(),
            tensor: name.to_owned(),
        }),
        Some(stored) if stored.shape == expected => Ok(()),
        Some(stored) => Err(FormatError::Shape {
            path: source.path().to_owned(),
            tensor: name.to_owned(),
            found: stored.shape.clone(),
            expected: expected.to_vec(),
        }),
    };
    let optional = |name: &str, expected: &[usize]| match index.tensors.contains_key(name) {
        true => expect(name, expected),
        false => Ok(()),
    };
    let (d, ff) = (dims.n_state, dims.n_ff);
    let (q, kv) = (dims.n_head * dims.d_head, dims.n_kv_head * dims.d_head);
    expect("token_embd.weight", &[dims.n_vocab, d])?;
    expect("output_norm.weight", &[d])?;
    optional("output.weight", &[dims.n_vocab, d])?;
    optional("rope_freqs.weight", &[dims.rope.n_turned / 2])?;
    if dims.rope.long_from.is_some() {
        expect("rope_factors_short.weight", &[dims.rope.n_turned / 2])?;
        expect("rope_factors_long.weight", &[dims.rope.n_turned / 2])?;
    }
    for layer in 0..dims.n_layer {
        let tensor = |rest: &str| format!("blk.{layer}.{rest}");
        expect(&tensor("attn_norm.weight"), &[d])?;
        expect(&tensor("attn_q.weight"), &[q, d])?;
        expect(&tensor("attn_k.weight"), &[kv, d])?;
        expect(&tensor("attn_v.weight"), &[kv, d])?;
        expect(&tensor("attn_output.weight"), &[d, q])?;
        expect(&tensor("ffn_norm.weight"), &[d])?;
        expect(&tensor("ffn_gate.weight"), &[ff, d])?;
        expect(&tensor("ffn_up.weight"), &[ff, d])?;
        expect(&tensor("ffn_down.weight"), &[d, ff])?;
        optional(&tensor("attn_q.bias"), &[q])?;
        optional(&tensor("attn_k.bias"), &[kv])?;
        optional(&tensor("attn_v.bias"), &[kv])?;
        if matches!(dims.family, Family::Qwen3 | Family::Gemma3) {
            expect(&tensor("attn_q_norm.weight"), &[dims.d_head])?;
            expect(&tensor("attn_k_norm.weight"), &[dims.d_head])?;
        }
        if dims.family == Family::Gemma3 {
            expect(&tensor("post_attention_norm.weight"), &[d])?;
            expect(&tensor("post_ffw_norm.weight"), &[d])?;
        }
    }
    Ok(())
}
