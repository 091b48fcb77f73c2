//! A Whisper of toy size with random weights, written as every container by code of its own:
//! what the readers and writers of the library are held against.

use std::path::{Path, PathBuf};

use hark::quant::{self, BlockType};

use super::random::Random;

/// A tensor under its canonical name.
pub struct Tensor {
    pub name: String,
    /// Outermost first.
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// The toy model: one layer in the encoder, two in the decoder, so that neither count can stand
/// for the other.
pub struct TinyWhisper {
    pub n_state: usize,
    pub n_head: usize,
    pub words: Vec<Vec<u8>>,
    pub tensors: Vec<Tensor>,
}

/// The words and the special tokens of a model that knows English only: 8 of control, 99
/// languages, 1501 timestamps.
pub const N_VOCAB: usize = N_WORDS + 8 + 99 + 1_501;
pub const N_AUDIO_CTX: usize = 24;
pub const N_TEXT_CTX: usize = 16;
pub const N_MELS: usize = 80;
pub const N_AUDIO_LAYER: usize = 1;
pub const N_TEXT_LAYER: usize = 2;
/// Text tokens: all single bytes; token `i` is byte `i`.
pub const N_WORDS: usize = 256;

/// A file being written, and where its counts, sizes and types lie: what a test of hostile
/// files spoils first.
#[derive(Default)]
pub struct Bytes {
    pub bytes: Vec<u8>,
    pub fields: Vec<usize>,
}

impl Bytes {
    fn field(&mut self, value: u32) {
        self.fields.push(self.bytes.len());
        self.bytes.extend(value.to_le_bytes());
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}

/// The values as bytes of a type.
pub fn encode(block: BlockType, values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    quant::quantize(block, values, &mut bytes).unwrap();
    bytes
}

/// The tensors of one layer of width `d`.
fn block(add: &mut impl FnMut(&str, &[usize]), side: &str, layer: usize, d: usize) {
    let name = format!("{side}.blocks.{layer}");
    let attentions = match side {
        "encoder" => &["attn"][..],
        _ => &["attn", "cross_attn"],
    };
    for attention in attentions {
        for part in ["query", "key", "value", "out"] {
            add(&format!("{name}.{attention}.{part}.weight"), &[d, d]);
            if part != "key" {
                add(&format!("{name}.{attention}.{part}.bias"), &[d]);
            }
        }
        add(&format!("{name}.{attention}_ln.weight"), &[d]);
        add(&format!("{name}.{attention}_ln.bias"), &[d]);
    }
    add(&format!("{name}.mlp.0.weight"), &[4 * d, d]);
    add(&format!("{name}.mlp.0.bias"), &[4 * d]);
    add(&format!("{name}.mlp.2.weight"), &[d, 4 * d]);
    add(&format!("{name}.mlp.2.bias"), &[d]);
    add(&format!("{name}.mlp_ln.weight"), &[d]);
    add(&format!("{name}.mlp_ln.bias"), &[d]);
}

impl TinyWhisper {
    /// Random weights of a seed. `n_state` is a multiple of 32.
    pub fn new(n_state: usize, seed: u64) -> TinyWhisper {
        let mut model = TinyWhisper {
            n_state,
            n_head: n_state / 32,
            words: (0..N_WORDS).map(|byte| vec![byte as u8]).collect(),
            tensors: Vec::new(),
        };
        let random = &mut Random::new(seed);
        let d = n_state;
        let mut add = |name: &str, shape: &[usize]| {
            let values = (0..shape.iter().product())
                .map(|_| random.centred())
                .collect();
            let (name, shape) = (name.to_owned(), shape.to_vec());
            model.tensors.push(Tensor {
                name,
                shape,
                values,
            });
        };
        for (conv, n_in) in [("conv1", N_MELS), ("conv2", d)] {
            add(&format!("encoder.{conv}.weight"), &[d, n_in, 3]);
            add(&format!("encoder.{conv}.bias"), &[d]);
        }
        add("encoder.positional_embedding", &[N_AUDIO_CTX, d]);
        add("decoder.positional_embedding", &[N_TEXT_CTX, d]);
        add("decoder.token_embedding.weight", &[N_VOCAB, d]);
        for (side, n_layer) in [("encoder", N_AUDIO_LAYER), ("decoder", N_TEXT_LAYER)] {
            for layer in 0..n_layer {
                block(&mut add, side, layer, d);
            }
            let last = if side == "encoder" {
                "encoder.ln_post"
            } else {
                "decoder.ln"
            };
            add(&format!("{last}.weight"), &[d]);
            add(&format!("{last}.bias"), &[d]);
        }
        model
    }

    pub fn tensor(&self, name: &str) -> &Tensor {
        self.tensors.iter().find(|t| t.name == name).unwrap()
    }

    pub fn tensor_mut(&mut self, name: &str) -> &mut Tensor {
        self.tensors.iter_mut().find(|t| t.name == name).unwrap()
    }

    /// whisper.cpp's file; `store` gives the type and the bytes of each tensor.
    pub fn ggml(&self, mut store: impl FnMut(&Tensor) -> (u32, Vec<u8>)) -> Bytes {
        let mut out = Bytes::default();
        let (d, h) = (self.n_state, self.n_head);
        out.put(b"lmgg");
        let dims = [
            N_VOCAB,
            N_AUDIO_CTX,
            d,
            h,
            N_AUDIO_LAYER,
            N_TEXT_CTX,
            d,
            h,
            N_TEXT_LAYER,
            N_MELS,
            1,
        ];
        dims.iter().for_each(|dim| out.field(*dim as u32));
        out.field(2);
        out.field(3);
        out.put(&[0; 2 * 3 * 4]);
        out.field(self.words.len() as u32);
        for word in &self.words {
            out.field(word.len() as u32);
            out.put(word);
        }
        for tensor in &self.tensors {
            let (id, data) = store(tensor);
            let mut dims = tensor.shape.clone();
            if tensor.name.contains("conv") && dims.len() == 1 {
                dims.push(1);
            }
            out.field(dims.len() as u32);
            out.field(tensor.name.len() as u32);
            out.field(id);
            dims.iter().rev().for_each(|dim| out.field(*dim as u32));
            out.put(tensor.name.as_bytes());
            out.put(&data);
        }
        out
    }

    /// whisper.cpp's file with every tensor as `f32`.
    pub fn ggml_f32(&self) -> Bytes {
        self.ggml(|tensor| (0, encode(BlockType::F32, &tensor.values)))
    }

    /// The rows of several tensors, one after another, as one.
    fn stacked(&self, parts: &[&str]) -> (Vec<usize>, Vec<f32>) {
        let mut values = Vec::new();
        let mut shape = Vec::new();
        for part in parts {
            // CTranslate2 fills the keys' missing bias with zeros.
            if part.ends_with("key.bias") {
                values.resize(values.len() + self.n_state, 0.0);
                continue;
            }
            let tensor = self.tensor(part);
            values.extend_from_slice(&tensor.values);
            shape = tensor.shape.clone();
        }
        shape[0] *= parts.len();
        (shape, values)
    }

    /// The variables of CTranslate2's file: its names, shapes and values.
    pub fn ctranslate2_variables(&self) -> Vec<(String, Vec<usize>, Vec<f32>)> {
        let mut list = Vec::new();
        let mut add = |name: String, parts: &[&str]| {
            let (shape, values) = self.stacked(parts);
            list.push((name, shape, values));
        };
        for side in ["encoder", "decoder"] {
            let last = if side == "encoder" {
                "encoder.ln_post"
            } else {
                "decoder.ln"
            };
            let mut pairs = vec![(format!("{side}/layer_norm"), vec![last.to_owned()])];
            let n_layer = match side {
                "encoder" => N_AUDIO_LAYER,
                _ => N_TEXT_LAYER,
            };
            for layer in 0..n_layer {
                ctranslate2_block(&mut pairs, side, layer);
            }
            for (place, parts) in pairs {
                for leaf in ["weight", "bias"] {
                    let parts: Vec<String> = parts.iter().map(|p| format!("{p}.{leaf}")).collect();
                    let own = match leaf {
                        _ if !place.ends_with("norm") => leaf,
                        "weight" => "gamma",
                        _ => "beta",
                    };
                    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                    add(format!("{place}/{own}"), &parts);
                }
            }
            let positions = format!("{side}.positional_embedding");
            add(
                format!("{side}/position_encodings/encodings"),
                &[&positions],
            );
        }
        for name in ["conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias"] {
            let own = format!("encoder/{}", name.replace('.', "/"));
            add(own, &[&format!("encoder.{name}")]);
        }
        add(
            "decoder/embeddings/weight".into(),
            &["decoder.token_embedding.weight"],
        );
        list
    }

    /// CTranslate2's file; `store` gives each variable's type and bytes, and its scales.
    pub fn ctranslate2(
        &self,
        store: impl Fn(&str, &[usize], &[f32]) -> (u8, Vec<u8>, Option<Vec<f32>>),
    ) -> Bytes {
        self.write_ctranslate2(
            store,
            &[("decoder/projection/weight", "decoder/embeddings/weight")],
        )
    }

    /// CTranslate2's file as `f32` with aliases in the place of variables.
    pub fn ctranslate2_with_aliases(&self, aliases: &[(&str, &str)]) -> Bytes {
        let store =
            |_: &str, _: &[usize], values: &[f32]| (0, encode(BlockType::F32, values), None);
        self.write_ctranslate2(store, aliases)
    }

    fn write_ctranslate2(
        &self,
        store: impl Fn(&str, &[usize], &[f32]) -> (u8, Vec<u8>, Option<Vec<f32>>),
        aliases: &[(&str, &str)],
    ) -> Bytes {
        let mut variables = Vec::new();
        for (name, shape, values) in self.ctranslate2_variables() {
            if aliases.iter().any(|(alias, _)| *alias == name) {
                continue;
            }
            let (kind, data, scales) = store(&name, &shape, &values);
            if let Some(scales) = scales {
                let shape = if scales.len() == 1 {
                    vec![]
                } else {
                    vec![scales.len()]
                };
                let data = encode(BlockType::F32, &scales);
                variables.push((format!("{name}_scale"), shape, 0, data));
            }
            variables.push((name, shape, kind, data));
        }
        for side in ["encoder", "decoder"] {
            let n_head = (self.n_head as u16).to_le_bytes().to_vec();
            variables.push((format!("{side}/num_heads"), vec![], 2, n_head));
        }
        let mut out = Bytes::default();
        let string = |out: &mut Bytes, text: &str| {
            out.fields.push(out.bytes.len());
            out.put(&(text.len() as u16 + 1).to_le_bytes());
            out.put(text.as_bytes());
            out.put(&[0]);
        };
        out.field(6);
        string(&mut out, "WhisperSpec");
        out.field(3);
        out.field(variables.len() as u32);
        for (name, shape, kind, data) in &variables {
            string(&mut out, name);
            out.fields.push(out.bytes.len());
            out.put(&[shape.len() as u8]);
            shape.iter().for_each(|dim| out.field(*dim as u32));
            out.put(&[*kind]);
            out.field(data.len() as u32);
            out.put(data);
        }
        out.field(aliases.len() as u32);
        for (alias, name) in aliases {
            string(&mut out, alias);
            string(&mut out, name);
        }
        out
    }

    /// CTranslate2's file with every variable as `f32`.
    pub fn ctranslate2_f32(&self) -> Bytes {
        self.ctranslate2(|_, _, values| (0, encode(BlockType::F32, values), None))
    }

    /// Hugging Face's file, every tensor as `block`, a float type.
    pub fn safetensors(&self, block: BlockType) -> Bytes {
        let mut header = serde_json::Map::new();
        let mut data = Vec::new();
        for tensor in &self.tensors {
            let begin = data.len();
            data.extend(encode(block, &tensor.values));
            let entry = serde_json::json!({
                "dtype": block.name().to_uppercase(),
                "shape": tensor.shape,
                "data_offsets": [begin, data.len()],
            });
            header.insert(hugging_face_name(&tensor.name), entry);
        }
        header.insert("__metadata__".into(), serde_json::json!({"format": "pt"}));
        let header = serde_json::to_vec(&header).unwrap();
        let mut out = Bytes::default();
        out.field(header.len() as u32);
        out.field(0);
        out.put(&header);
        out.put(&data);
        out
    }

    /// `vocabulary.txt`, with each byte as GPT-2's printable character.
    pub fn vocabulary_txt(&self) -> String {
        let mut next = 0x100..;
        let mut text = String::new();
        for byte in 0..=255_u8 {
            let itself = matches!(byte, 33..=126 | 161..=172 | 174..=255);
            let code = if itself {
                u32::from(byte)
            } else {
                next.next().unwrap()
            };
            text.push(char::from_u32(code).unwrap());
            text.push('\n');
        }
        text + "<|endoftext|>\n<|startoftranscript|>\n"
    }

    /// Writes `model` beside its vocabulary and description; the path of the model.
    pub fn save(&self, folder: &Path, name: &str, model: &[u8]) -> PathBuf {
        std::fs::create_dir_all(folder).unwrap();
        let path = folder.join(name);
        std::fs::write(&path, model).unwrap();
        std::fs::write(folder.join("vocabulary.txt"), self.vocabulary_txt()).unwrap();
        let config = serde_json::json!({
            "encoder_attention_heads": self.n_head,
            "decoder_attention_heads": self.n_head,
            "encoder_layers": N_AUDIO_LAYER,
            "decoder_layers": N_TEXT_LAYER,
            "alignment_heads": [[0, 1]],
        });
        std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
        path
    }
}

/// The modules of a layer as CTranslate2 calls them, with those they are stacked from.
fn ctranslate2_block(pairs: &mut Vec<(String, Vec<String>)>, side: &str, layer: usize) {
    let mut module = |place: &str, parts: &[&str]| {
        let parts = parts
            .iter()
            .map(|part| format!("{side}.blocks.{layer}.{part}"));
        pairs.push((format!("{side}/layer_{layer}/{place}"), parts.collect()));
    };
    module(
        "self_attention/linear_0",
        &["attn.query", "attn.key", "attn.value"],
    );
    module("self_attention/linear_1", &["attn.out"]);
    module("self_attention/layer_norm", &["attn_ln"]);
    module("ffn/linear_0", &["mlp.0"]);
    module("ffn/linear_1", &["mlp.2"]);
    module("ffn/layer_norm", &["mlp_ln"]);
    if side == "decoder" {
        module("attention/linear_0", &["cross_attn.query"]);
        module(
            "attention/linear_1",
            &["cross_attn.key", "cross_attn.value"],
        );
        module("attention/linear_2", &["cross_attn.out"]);
        module("attention/layer_norm", &["cross_attn_ln"]);
    }
}

/// Hugging Face's name of a tensor, by text replacement alone.
fn hugging_face_name(name: &str) -> String {
    let mut name = format!("model.{name}");
    for (ours, theirs) in [
        (".cross_attn_ln.", ".encoder_attn_layer_norm."),
        (".attn_ln.", ".self_attn_layer_norm."),
        (".mlp_ln.", ".final_layer_norm."),
        (".cross_attn.", ".encoder_attn."),
        (".attn.", ".self_attn."),
        (".query.", ".q_proj."),
        (".key.", ".k_proj."),
        (".value.", ".v_proj."),
        (".out.", ".out_proj."),
        (".mlp.0.", ".fc1."),
        (".mlp.2.", ".fc2."),
        (".blocks.", ".layers."),
        (".ln_post.", ".layer_norm."),
        (".ln.", ".layer_norm."),
        ("token_embedding", "embed_tokens"),
        ("positional_embedding", "embed_positions.weight"),
    ] {
        name = name.replace(ours, theirs);
    }
    name
}
