//! Every container gives the same model; what is wrong with a file is said clearly.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use hark::error::{Classify, Kind};
use hark::format::{self, Container, Encoding, FormatError, WhisperFile};
use hark::quant::{self, BlockType};
use support::random::Random;
use support::tiny::{self, TinyWhisper, encode};
use tempfile::TempDir;

fn open(model: &TinyWhisper, folder: &Path, bytes: &[u8]) -> Result<WhisperFile, FormatError> {
    WhisperFile::open(&model.save(folder, "some.file", bytes))
}

/// The message, with its causes, of a file that must not open.
fn refusal(model: &TinyWhisper, bytes: &[u8]) -> String {
    let folder = TempDir::new().unwrap();
    let error = open(model, folder.path(), bytes).unwrap_err();
    assert_eq!(error.kind(), Kind::Model);
    let message = error.to_string();
    let folder = folder.path().to_str().unwrap();
    assert!(message.contains(folder), "no file named: {message}");
    message
}

/// Dimensions, words and every tensor, bit for bit.
fn assert_same(
    file: &WhisperFile,
    model: &TinyWhisper,
    expected: impl Fn(&tiny::Tensor) -> Vec<f32>,
) {
    let dims = file.dims();
    let found = (
        dims.n_vocab,
        dims.n_audio_ctx,
        dims.n_audio_state,
        dims.n_mels,
        dims.n_text_ctx,
    );
    let (d, h) = (model.n_state, model.n_head);
    let (n_vocab, n_mels) = (tiny::N_VOCAB, tiny::N_MELS);
    assert_eq!(
        found,
        (n_vocab, tiny::N_AUDIO_CTX, d, n_mels, tiny::N_TEXT_CTX)
    );
    assert_eq!(
        (dims.n_audio_head, dims.n_text_head, dims.n_text_state),
        (h, h, d)
    );
    assert_eq!(
        (dims.n_audio_layer, dims.n_text_layer),
        (tiny::N_AUDIO_LAYER, tiny::N_TEXT_LAYER)
    );
    assert_eq!(file.vocabulary(), model.words);
    assert_eq!(file.tensor_names().count(), model.tensors.len());
    let mut values = Vec::new();
    for tensor in &model.tensors {
        assert_eq!(
            file.shape(&tensor.name),
            Some(&tensor.shape[..]),
            "{}",
            tensor.name
        );
        file.read(&tensor.name, &mut values).unwrap();
        let bits = |x: &[f32]| x.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&values), bits(&expected(tensor)), "{}", tensor.name);
    }
}

fn rounded(block: BlockType, values: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    quant::dequantize(block, &encode(block, values), &mut out).unwrap();
    out
}

#[test]
fn all_containers_read_alike() {
    let model = TinyWhisper::new(64, 1);
    let folder = TempDir::new().unwrap();
    for (container, bytes) in [
        (Container::Ggml, model.ggml_f32()),
        (Container::CTranslate2, model.ctranslate2_f32()),
        (Container::Safetensors, model.safetensors(BlockType::F32)),
    ] {
        let file = open(&model, folder.path(), &bytes.bytes).unwrap();
        assert_eq!(file.container(), container);
        assert_same(&file, &model, |tensor| tensor.values.clone());
    }
}

#[test]
fn half_precision_is_read_in_every_container() {
    let model = TinyWhisper::new(64, 2);
    let folder = TempDir::new().unwrap();
    for (block, kind) in [(BlockType::F16, 4), (BlockType::BF16, 5)] {
        let stored = |tensor: &tiny::Tensor| (block.ggml_id(), encode(block, &tensor.values));
        for bytes in [
            model.ggml(stored),
            model.ctranslate2(|_, _, values| (kind, encode(block, values), None)),
            model.safetensors(block),
        ] {
            let file = open(&model, folder.path(), &bytes.bytes).unwrap();
            assert_same(&file, &model, |tensor| rounded(block, &tensor.values));
        }
    }
}

/// Random blocks of any type, K-quants among them: no finite numbers are needed to compare bits.
#[test]
fn every_ggml_type_is_read_tensor_by_tensor() {
    let mut model = TinyWhisper::new(256, 3);
    let mut random = Random::new(4);
    let mut types = BlockType::ALL.into_iter().cycle();
    let mut stored = Vec::new();
    for tensor in &mut model.tensors {
        let is_matrix = tensor.shape.len() == 2;
        let block = types.find(|t| is_matrix || t.block_len() == 1).unwrap();
        let n_bytes = block.bytes_for(tensor.values.len()).unwrap();
        let bytes: Vec<u8> = (0..n_bytes).map(|_| random.next_u64() as u8).collect();
        quant::dequantize(block, &bytes, &mut tensor.values).unwrap();
        stored.push((block, bytes));
    }
    let mut at = stored
        .iter()
        .map(|(block, bytes)| (block.ggml_id(), bytes.clone()));
    let bytes = model.ggml(|_| at.next().unwrap());
    let folder = TempDir::new().unwrap();
    let file = open(&model, folder.path(), &bytes.bytes).unwrap();
    assert_same(&file, &model, |tensor| tensor.values.clone());
    for (tensor, (block, _)) in model.tensors.iter().zip(&stored) {
        assert_eq!(file.block_type(&tensor.name), Some(Encoding::Block(*block)));
    }
}

#[test]
fn rows_are_read_alone() {
    let model = TinyWhisper::new(64, 16);
    let folder = TempDir::new().unwrap();
    let name = "decoder.token_embedding.weight";
    let integers = |name: &str, shape: &[usize], values: &[f32]| {
        if !name.ends_with("weight") {
            return (0, encode(BlockType::F32, values), None);
        }
        let (integers, scales) = int8(shape, values);
        (1, integers.iter().map(|q| *q as u8).collect(), Some(scales))
    };
    let blocks = |tensor: &tiny::Tensor| {
        let block = match tensor.shape.len() {
            2 => BlockType::Q8_0,
            _ => BlockType::F32,
        };
        (block.ggml_id(), encode(block, &tensor.values))
    };
    for bytes in [model.ggml(blocks), model.ctranslate2(integers)] {
        let file = open(&model, folder.path(), &bytes.bytes).unwrap();
        let (mut whole, mut part) = (Vec::new(), Vec::new());
        file.read(name, &mut whole).unwrap();
        let n = tiny::N_VOCAB;
        for rows in [0..1, 7..300, n - 1..n, 5..5] {
            file.read_rows(name, rows.clone(), &mut part).unwrap();
            assert_eq!(part, whole[64 * rows.start..64 * rows.end]);
        }
        let beyond = file.read_rows(name, n - 1..n + 1, &mut part);
        assert!(matches!(beyond, Err(FormatError::UnknownTensor { .. })));
    }
}

/// Rows as CTranslate2 stores them: integer = weight × scale, scale = 127 / largest magnitude.
fn int8(shape: &[usize], values: &[f32]) -> (Vec<i8>, Vec<f32>) {
    let rows = values.chunks(values.len() / shape[0]);
    let most = |row: &[f32]| row.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    let scales: Vec<f32> = rows.clone().map(|row| 127.0 / most(row)).collect();
    let integers = |(row, s): (&[f32], &f32)| -> Vec<i8> {
        row.iter()
            .map(|v| (v * s).round_ties_even() as i8)
            .collect()
    };
    (rows.zip(&scales).flat_map(integers).collect(), scales)
}

#[test]
fn ctranslate2_integers_are_rows_with_scales() {
    let model = TinyWhisper::new(64, 5);
    let folder = TempDir::new().unwrap();
    let bytes = model.ctranslate2(|name, shape, values| {
        if !name.ends_with("weight") {
            return (0, encode(BlockType::F32, values), None);
        }
        let (integers, scales) = int8(shape, values);
        (1, integers.iter().map(|q| *q as u8).collect(), Some(scales))
    });
    let file = open(&model, folder.path(), &bytes.bytes).unwrap();
    let is_integer = |t: &tiny::Tensor| t.shape.len() > 1 && t.name.ends_with("weight");
    assert_same(&file, &model, |tensor| {
        if !is_integer(tensor) {
            return tensor.values.clone();
        }
        let (integers, scales) = int8(&tensor.shape, &tensor.values);
        let row_len = integers.len() / scales.len();
        let weight = |(i, q): (usize, &i8)| f32::from(*q) * (1.0 / scales[i / row_len]);
        integers.iter().enumerate().map(weight).collect()
    });
    for tensor in &model.tensors {
        let found = file.read_i8(&tensor.name).unwrap();
        let expected = is_integer(tensor).then(|| int8(&tensor.shape, &tensor.values));
        let expected = expected.map(|(q, s)| (q, s.iter().map(|s| 1.0 / s).collect::<Vec<_>>()));
        assert_eq!(found, expected, "{}", tensor.name);
    }
    let wide = model.ctranslate2(|name, _, values| {
        if !name.ends_with("weight") {
            return (0, encode(BlockType::F32, values), None);
        }
        let integers = values
            .iter()
            .flat_map(|v| ((v * 1024.0) as i16).to_le_bytes());
        (2, integers.collect(), Some(vec![1024.0]))
    });
    let file = open(&model, folder.path(), &wide.bytes).unwrap();
    assert_same(&file, &model, |tensor| {
        let narrow = |v: &f32| f32::from((v * 1024.0) as i16) / 1024.0;
        match is_integer(tensor) {
            true => tensor.values.iter().map(narrow).collect(),
            false => tensor.values.clone(),
        }
    });
    assert_eq!(file.read_i8("encoder.conv1.weight").unwrap(), None);
}

#[test]
fn a_converted_model_reads_the_same() {
    let model = TinyWhisper::new(64, 6);
    let folder = TempDir::new().unwrap();
    let source = open(&model, folder.path(), &model.ctranslate2_f32().bytes).unwrap();
    for block in [
        BlockType::F32,
        BlockType::F16,
        BlockType::Q5_1,
        BlockType::Q8_0,
    ] {
        let mut bytes = Vec::new();
        let mut steps = Vec::new();
        let mut progress = |done, all| steps.push((done, all));
        format::write_ggml(&source, block, &mut bytes, &mut progress).unwrap();
        let n_bytes = bytes.len() as u64;
        assert_eq!(steps.last(), Some(&(n_bytes, n_bytes)));
        assert!(steps.is_sorted());
        let target = TempDir::new().unwrap();
        let file = open(&model, target.path(), &bytes).unwrap();
        assert_eq!(file.container(), Container::Ggml);
        assert_same(&file, &model, |tensor| {
            let matrix = tensor.shape.len() == 2 && !tensor.name.ends_with("embedding");
            let half = tensor.shape.len() == 3 && block != BlockType::F32;
            match (matrix, half) {
                (true, _) => rounded(block, &tensor.values),
                (_, true) => rounded(BlockType::F16, &tensor.values),
                _ => tensor.values.clone(),
            }
        });
    }
    // Rows of 64 are no whole blocks of 256.
    let refused = format::write_ggml(&source, BlockType::Q4K, &mut Vec::new(), &mut |_, _| {});
    assert!(matches!(refused, Err(FormatError::Convert { .. })));
}

#[test]
fn k_quants_are_written_where_rows_are_whole_blocks() {
    let model = TinyWhisper::new(256, 7);
    let folder = TempDir::new().unwrap();
    let source = open(&model, folder.path(), &model.ctranslate2_f32().bytes).unwrap();
    for block in [BlockType::Q4K, BlockType::Q5K, BlockType::Q6K] {
        let mut bytes = Vec::new();
        format::write_ggml(&source, block, &mut bytes, &mut |_, _| {}).unwrap();
        let target = TempDir::new().unwrap();
        let file = open(&model, target.path(), &bytes).unwrap();
        assert_same(&file, &model, |tensor| match tensor.shape.len() {
            2 if !tensor.name.ends_with("embedding") => rounded(block, &tensor.values),
            3 => rounded(BlockType::F16, &tensor.values),
            _ => tensor.values.clone(),
        });
    }
}

#[test]
fn blocks_are_read_as_they_are_stored() {
    let model = TinyWhisper::new(64, 6);
    let folder = TempDir::new().unwrap();
    let stored = model.ggml(|tensor| match tensor.shape.len() {
        2 => (7, encode(BlockType::Q5_1, &tensor.values)),
        _ => (0, encode(BlockType::F32, &tensor.values)),
    });
    let file = open(&model, folder.path(), &stored.bytes).unwrap();
    let (name, mut bytes) = ("decoder.blocks.0.mlp.2.weight", vec![1, 2, 3]);
    let all = encode(BlockType::Q5_1, &model.tensor(name).values);
    let row_bytes = 256 / 32 * BlockType::Q5_1.block_bytes();
    let found = file.read_blocks(name, 3..5, &mut bytes).unwrap();
    assert_eq!(found, Some(BlockType::Q5_1));
    assert!(bytes == all[3 * row_bytes..5 * row_bytes]);
    let floats = file.read_blocks("encoder.conv1.weight", 0..1, &mut bytes);
    assert_eq!(floats.unwrap(), None);
    assert!(file.read_blocks(name, 3..65, &mut bytes).is_err());
    assert!(file.read_blocks("nothing", 0..1, &mut bytes).is_err());
}

#[test]
fn a_folder_stands_for_the_model_in_it() {
    let model = TinyWhisper::new(64, 7);
    let folder = TempDir::new().unwrap();
    assert!(matches!(
        WhisperFile::open(folder.path()),
        Err(FormatError::NotFound(_))
    ));
    let bytes = model.ggml_f32().bytes;
    model.save(folder.path(), "first.bin", &bytes);
    let file = WhisperFile::open(folder.path()).unwrap();
    assert!(file.path().ends_with("first.bin"));
    model.save(folder.path(), "second.bin", &bytes);
    let several = WhisperFile::open(folder.path()).unwrap_err().to_string();
    assert!(several.contains("first.bin, second.bin"), "{several}");
    model.save(folder.path(), "model.bin", &bytes);
    assert!(
        WhisperFile::open(folder.path())
            .unwrap()
            .path()
            .ends_with("model.bin")
    );
}

#[test]
fn alignment_heads_come_from_the_description() {
    let model = TinyWhisper::new(64, 8);
    let folder = TempDir::new().unwrap();
    let bytes = model.ctranslate2_f32().bytes;
    let file = open(&model, folder.path(), &bytes).unwrap();
    assert_eq!(file.alignment_heads(), Some(&[(0, 1)][..]));
    let config = folder.path().join("config.json");
    let heads = || {
        let file = WhisperFile::open(folder.path()).unwrap();
        file.alignment_heads().map(<[_]>::to_vec)
    };
    // The teacher's of a distilled model.
    std::fs::write(&config, r#"{"alignment_heads":[[0,1],[7,0]]}"#).unwrap();
    assert_eq!(heads(), None);
    std::fs::remove_file(config).unwrap();
    assert_eq!(heads(), None);
}

#[test]
fn a_model_without_its_vocabulary_is_refused() {
    let model = TinyWhisper::new(64, 9);
    let folder = TempDir::new().unwrap();
    let path = model.save(folder.path(), "model.bin", &model.ctranslate2_f32().bytes);
    std::fs::remove_file(folder.path().join("vocabulary.txt")).unwrap();
    let error = WhisperFile::open(&path).unwrap_err();
    assert!(matches!(error, FormatError::NoVocabulary(_)));
    assert!(error.to_string().contains("tokenizer.json"), "{error}");
}

/// The words of an English model beside a multilingual one would be one off from some id on.
#[test]
fn a_vocabulary_of_another_model_is_refused() {
    let model = TinyWhisper::new(64, 22);
    let folder = TempDir::new().unwrap();
    let path = model.save(folder.path(), "model.bin", &model.ctranslate2_f32().bytes);
    let beside = folder.path().join("vocabulary.txt");
    let longer = model
        .vocabulary_txt()
        .replace("<|endoftext|>", "!!\n<|endoftext|>");
    let unwritable = model.vocabulary_txt().replacen("!\n", "!!\n", 1);
    for (text, expected) in [
        (longer, "it has 257 text tokens, the model 256"),
        (unwritable, "no text token is the byte 0x21"),
    ] {
        std::fs::write(&beside, text).unwrap();
        let error = WhisperFile::open(&path).unwrap_err();
        assert!(matches!(error, FormatError::Vocabulary { .. }));
        let message = error.to_string();
        assert!(
            message.contains("vocabulary.txt") && message.contains(expected),
            "{message}"
        );
    }
}

#[test]
fn missing_and_misshapen_tensors_are_named() {
    let containers: [fn(&TinyWhisper) -> Vec<u8>; 2] = [
        |model| model.ggml_f32().bytes,
        |model| model.safetensors(BlockType::F32).bytes,
    ];
    for write in containers {
        let mut model = TinyWhisper::new(64, 10);
        let bias = model.tensor_mut("decoder.blocks.0.mlp.0.bias");
        bias.shape = vec![128, 2];
        let message = refusal(&model, &write(&model));
        assert!(
            message.contains("[128, 2]") && message.contains("[256]"),
            "{message}"
        );
        model
            .tensors
            .retain(|tensor| !tensor.name.ends_with("mlp.0.bias"));
        let message = refusal(&model, &write(&model));
        assert!(
            message.contains("missing") && message.contains("bias"),
            "{message}"
        );
    }
}

/// A model that lost layers is not a smaller model.
#[test]
fn dropped_layers_are_missed() {
    let mut model = TinyWhisper::new(64, 21);
    let whole = model.ggml_f32();
    let mut shorter = whole.bytes.clone();
    shorter[whole.fields[8]..][..4].copy_from_slice(&1_u32.to_le_bytes());
    let message = refusal(&model, &shorter);
    assert!(
        message.contains("decoder.blocks.1") && message.contains("does not belong"),
        "{message}"
    );
    model
        .tensors
        .retain(|tensor| !tensor.name.starts_with("decoder.blocks.1."));
    let message = refusal(&model, &model.safetensors(BlockType::F32).bytes);
    assert!(
        message.contains("config.json: it says 2 decoder layers, the model has 1"),
        "{message}"
    );
    for tensor in &mut model.tensors {
        tensor.name = tensor
            .name
            .replace("decoder.blocks.0.", "decoder.blocks.1.");
    }
    let message = refusal(&model, &model.safetensors(BlockType::F32).bytes);
    assert!(
        message.contains("model.decoder.layers.0.") && message.contains("missing"),
        "{message}"
    );
}

#[test]
fn a_tensor_given_twice_is_refused() {
    let mut model = TinyWhisper::new(64, 11);
    let again = model.tensor("decoder.ln.bias");
    let (name, shape, values) = (
        again.name.clone(),
        again.shape.clone(),
        again.values.clone(),
    );
    model.tensors.push(tiny::Tensor {
        name,
        shape,
        values,
    });
    let message = refusal(&model, &model.ggml_f32().bytes);
    assert!(
        message.contains("decoder.ln.bias occurs twice"),
        "{message}"
    );
    let header = br#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header);
    bytes.extend([0; 4]);
    let message = refusal(&model, &bytes);
    assert!(message.contains("a occurs twice"), "{message}");
}

/// What is in a file once may not be loaded many times: memory is bounded by the file's size.
#[test]
fn tensors_that_share_bytes_are_refused() {
    let model = TinyWhisper::new(64, 23);
    let header = br#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header);
    bytes.extend([0; 8]);
    let message = refusal(&model, &bytes);
    assert!(message.contains("tensors a and b overlap"), "{message}");

    let shared = model.ctranslate2_with_aliases(&[
        (
            "decoder/layer_1/ffn/linear_0/weight",
            "decoder/layer_0/ffn/linear_0/weight",
        ),
        (
            "decoder/layer_1/ffn/linear_1/weight",
            "decoder/layer_0/ffn/linear_1/weight",
        ),
    ]);
    let message = refusal(&model, &shared.bytes);
    assert!(message.contains("more than the file has"), "{message}");
}

#[test]
fn absurd_dimensions_are_refused() {
    let model = TinyWhisper::new(64, 12);
    let good = model.ggml_f32();
    for (field, value, expected) in [
        (0, u32::MAX, "n_vocab"),
        (2, 1 << 30, "n_audio_state is 1073741824"),
        (3, 3, "3 heads"),
        (4, 0, "n_audio_layer is 0"),
        (1, 3_001, "n_audio_ctx is 3001"),
        (5, 15, "n_text_ctx is 15"),
        (10, 1_008, "blocks of layout 1"),
        (10, u32::MAX, "blocks of layout 4294967"),
        (11, 0x7fff_ffff, "mel filters"),
        (13, 0x7fff_ffff, "tokens"),
        (14, 0x7fff_ffff, "token 0"),
    ] {
        let mut bytes = good.bytes.clone();
        bytes[good.fields[field]..][..4].copy_from_slice(&value.to_le_bytes());
        let message = refusal(&model, &bytes);
        assert!(message.contains(expected), "{expected}: {message}");
    }
}

/// One bit of a header: heads wider than can be computed, and heads of a published width split or
/// joined.
#[test]
fn heads_of_a_wrong_width_are_refused() {
    for (n_state, n_head) in [(256, 1), (384, 4), (384, 12)] {
        let mut model = TinyWhisper::new(n_state, 20);
        model.n_head = n_head;
        let message = refusal(&model, &model.ggml_f32().bytes);
        let expected = format!("{n_head} heads for a width of {n_state}");
        assert!(message.contains(&expected), "{message}");
    }
}

#[test]
fn files_of_other_kinds_are_told_what_they_are() {
    let model = TinyWhisper::new(64, 13);
    for (bytes, expected) in [
        (&b""[..], "is empty"),
        (b"GGUF\x03\0\0\0", "GGUF"),
        (b"PK\x03\x04rest of an archive", "PyTorch"),
        (b"version https://git-lfs.example/spec/v1\n", "Git LFS"),
        (b"<!DOCTYPE html>", "web page"),
        (b"{\"weight_map\": {}}", "one file"),
        (
            b"\x06\0\0\0\x10\0TransformerSpec\0\x03\0\0\0",
            "TransformerSpec",
        ),
        (&[7; 4096], "neither"),
    ] {
        let message = refusal(&model, bytes);
        assert!(message.contains(expected), "{expected}: {message}");
    }
}

#[test]
fn a_file_cut_after_opening_fails_to_read() {
    let model = TinyWhisper::new(64, 14);
    let folder = TempDir::new().unwrap();
    for bytes in [
        model.ggml_f32().bytes,
        model.ctranslate2_f32().bytes,
        model.safetensors(BlockType::F16).bytes,
    ] {
        let file = open(&model, folder.path(), &bytes).unwrap();
        let cut = std::fs::File::options()
            .write(true)
            .open(file.path())
            .unwrap();
        cut.set_len(bytes.len() as u64 / 2).unwrap();
        let names: Vec<String> = file.tensor_names().map(str::to_owned).collect();
        let read = |name: &String| file.read(name, &mut Vec::new());
        let failed: Vec<FormatError> = names.iter().filter_map(|name| read(name).err()).collect();
        assert!(!failed.is_empty() && failed.len() < names.len());
        assert!(
            failed
                .iter()
                .all(|error| matches!(error, FormatError::Io { .. }))
        );
    }
}

#[test]
fn a_small_model_is_read_from_memory() {
    let model = TinyWhisper::new(64, 15);
    let bytes: &'static [u8] = model.safetensors(BlockType::F32).bytes.leak();
    let file = format::safetensors::Safetensors::from_bytes("toy", bytes).unwrap();
    assert_eq!(file.names().count(), model.tensors.len());
    assert_eq!(
        file.shape("model.encoder.conv1.weight"),
        Some(&[64, 80, 3][..])
    );
    assert_eq!(file.dtype("model.encoder.conv1.weight"), Some("F32"));
    let mut values = Vec::new();
    file.read("model.encoder.conv1.weight", &mut values)
        .unwrap();
    assert_eq!(values, model.tensor("encoder.conv1.weight").values);
    assert!(file.read("nothing", &mut values).is_err());
    let cut = format::safetensors::Safetensors::from_bytes("toy", &bytes[..bytes.len() - 1]);
    assert!(matches!(cut, Err(FormatError::Truncated { .. })));
}

#[test]
fn a_fetched_model_converts_and_reads_the_same() {
    let Some(folder) = support::model("tiny.en") else {
        return;
    };
    let source = WhisperFile::open(&folder).unwrap();
    assert_eq!(source.vocabulary().len(), 50_256);
    assert_eq!(source.vocabulary()[262], b" the");
    let target = TempDir::new().unwrap();
    let path = target.path().join("tiny.en.bin");
    let mut out = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    format::write_ggml_f16(&source, &mut out, &mut |_, _| {}).unwrap();
    drop(out);
    let file = WhisperFile::open(&path).unwrap();
    assert_eq!(file.dims(), source.dims());
    assert_eq!(file.vocabulary(), source.vocabulary());
    assert_eq!(file.alignment_heads(), source.alignment_heads());
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    for name in source.tensor_names() {
        source.read(name, &mut expected).unwrap();
        file.read(name, &mut found).unwrap();
        assert!(expected == found, "{name}");
    }
}
