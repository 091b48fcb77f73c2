//! Damaged and hostile model files: an error or a model, and never a panic, a hang or memory
//! out of proportion to the file.

#![allow(clippy::unwrap_used)]
// A counting allocator cannot be written without.
#![allow(unsafe_code)]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use hark::error::{Classify, Kind};
use hark::format::{FormatError, WhisperFile};
use hark::kernels::{BlockFormat, Cpu, Exec};
use hark::nn::Compute;
use hark::quant::BlockType;
use hark::whisper::{Model, Options, Thresholds, Transcriber, WhisperError, WordTimes};
use support::random::Random;
use support::tiny::{Bytes, TinyWhisper, encode};
use tempfile::TempDir;

/// Spoilt copies of each container.
const N_VARIANTS: usize = 200;
/// Bytes that may be held beside the model itself: the reader's chunk and the vocabulary file.
const SPARE_BYTES: isize = 2 << 20;
/// How much more than the file may be held: numbers stored in 16 bits are read as 32.
const GROWTH: isize = 4;
/// Far above what one file takes on any machine, far below a hang.
const PATIENCE: Duration = Duration::from_secs(20);

thread_local! {
    static HELD_BYTES: Cell<isize> = const { Cell::new(0) };
    static PEAK_BYTES: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, counting what each thread holds.
struct Counting;

fn count(bytes: isize) {
    let held = HELD_BYTES.get() + bytes;
    HELD_BYTES.set(held);
    PEAK_BYTES.set(PEAK_BYTES.get().max(held));
}

// SAFETY: every call is passed on unchanged to the system's allocator. Counting touches only
// cells without destructors, which never allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: `at` came from `alloc` above with this layout.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Values that break sizes: huge, negative, just beyond, zero.
const ABSURD: [u32; 8] = [
    u32::MAX,
    i32::MAX as u32,
    1 << 31,
    1 << 30,
    1 << 24,
    65_537,
    2,
    0,
];

/// One spoilt copy.
fn spoil(good: &Bytes, random: &mut Random) -> Vec<u8> {
    let mut bytes = good.bytes.clone();
    // Half of all damage goes where the sizes are.
    let head = bytes.len().min(8192);
    let somewhere = |random: &mut Random, n: usize| match random.below(2) {
        0 => random.below(n.min(head)),
        _ => random.below(n),
    };
    match random.below(6) {
        0 => bytes.truncate(random.below(256)),
        1 => bytes.truncate(somewhere(random, good.bytes.len())),
        2 => {
            for _ in 0..=random.below(8) {
                let at = somewhere(random, bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
        }
        3 => {
            let at = good.fields[random.below(good.fields.len())];
            let value = ABSURD[random.below(ABSURD.len())];
            bytes[at..][..4].copy_from_slice(&value.to_le_bytes());
        }
        4 => {
            // A digit of a header in text becomes another: sizes and offsets that do not fit.
            let digits = (0..head).filter(|at| bytes[*at].is_ascii_digit());
            let digits: Vec<usize> = digits.collect();
            for _ in 0..=random.below(3) {
                if let Some(at) = digits.get(random.below(digits.len().max(1))) {
                    bytes[*at] = b'0' + random.below(10) as u8;
                }
            }
        }
        _ => {
            let n = 1 + random.below(512);
            let from = somewhere(random, bytes.len() - n);
            let to = somewhere(random, bytes.len() - n);
            bytes.copy_within(from..from + n, to);
        }
    }
    bytes
}

/// Opens a file and reads every tensor in it.
fn read_all(path: &Path) -> Result<(), FormatError> {
    let file = WhisperFile::open(path)?;
    let mut values = Vec::new();
    for name in file.tensor_names() {
        file.read(name, &mut values)?;
        file.read_i8(name)?;
    }
    Ok(())
}

/// Every way in which weights are packed.
const COMPUTES: [Compute; 4] = [
    Compute::Int8,
    Compute::F32,
    Compute::Blocks(BlockFormat::Q5_1),
    Compute::Blocks(BlockFormat::Q8_0),
];

/// Loads a file that opened and transcribes a second of sound with it. What comes out may be
/// nonsense.
fn transcribe(path: &Path, compute: Compute) -> Result<(), WhisperError> {
    let file = WhisperFile::open(path)?;
    let model = Model::load(&file, Exec::new(Cpu::detect(), 1), compute)?;
    let options = Options {
        words: WordTimes::On,
        thresholds: Thresholds {
            temperatures: vec![0.0],
            ..Thresholds::default()
        },
        ..Options::default()
    };
    let tone: Vec<f32> = (0..16_000).map(|i| (i as f32 * 0.2).sin() * 0.3).collect();
    Transcriber::new(model, options)?.utterance(&tone);
    Ok(())
}

/// Loads and runs a file that opened, which may be refused still, as a model and with its name.
fn run_within_bounds(path: &Path, what: &str) -> bool {
    let start = Instant::now();
    let mut is_good = true;
    for compute in COMPUTES {
        match catch_unwind(AssertUnwindSafe(|| transcribe(path, compute))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let message = error.to_string();
                assert_eq!(error.kind(), Kind::Model, "{what}: {message}");
                let folder = path.parent().unwrap().to_str().unwrap();
                assert!(message.contains(folder), "{what}: no file named: {message}");
                is_good = false;
            }
            Err(_) => panic!("{what}: panicked when run"),
        }
    }
    assert!(start.elapsed() < PATIENCE, "{what}: {:?}", start.elapsed());
    is_good
}

/// Whether a file is accepted: it opens, loads and runs, or else is refused, within bounds.
fn is_accepted(path: &Path, n_bytes: usize, what: &str) -> bool {
    read_within_bounds(path, n_bytes, what) && run_within_bounds(path, what)
}

/// Reads one file within bounds of memory and time, and checks the refusal's text.
fn read_within_bounds(path: &Path, n_bytes: usize, what: &str) -> bool {
    let held = HELD_BYTES.get();
    PEAK_BYTES.set(held);
    let start = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| read_all(path)));
    let peak = PEAK_BYTES.get() - held;
    let limit = GROWTH * n_bytes as isize + SPARE_BYTES;
    assert!(start.elapsed() < PATIENCE, "{what}: {:?}", start.elapsed());
    assert!(
        peak <= limit,
        "{what}: {peak} bytes held for a file of {n_bytes}"
    );
    match result {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            let message = error.to_string();
            let folder = path.parent().unwrap().display().to_string();
            assert!(
                message.contains(&folder),
                "{what}: no file named: {message}"
            );
            assert!(
                message.len() < 2000,
                "{what}: a message of {}",
                message.len()
            );
            false
        }
        Err(_) => panic!("{what}: panicked"),
    }
}

fn check(container: &str, model: &TinyWhisper, good: &Bytes) {
    let folder = TempDir::new().unwrap();
    let path = model.save(folder.path(), "toy", &good.bytes);
    assert!(
        is_accepted(&path, good.bytes.len(), container),
        "{container}: unspoilt"
    );
    let mut random = Random::new(container.len() as u64);
    let mut n_refused = 0;
    for variant in 0..N_VARIANTS {
        let bytes = spoil(good, &mut random);
        std::fs::write(&path, &bytes).unwrap();
        let what = format!("{container}, variant {variant}");
        n_refused += usize::from(!is_accepted(&path, bytes.len(), &what));
    }
    // A flipped weight cannot be told from a good one; damage to the sizes must be.
    assert!(
        n_refused > N_VARIANTS / 3,
        "{container}: only {n_refused} refused"
    );
}

#[test]
fn damaged_ggml_files_are_refused() {
    let model = TinyWhisper::new(64, 1);
    check("ggml", &model, &model.ggml_f32());
}

#[test]
fn damaged_quantised_ggml_files_are_refused() {
    let model = TinyWhisper::new(64, 2);
    let good = model.ggml(|tensor| {
        let is_matrix = tensor.shape.len() == 2;
        let block = if is_matrix {
            BlockType::Q8_0
        } else {
            BlockType::F16
        };
        (block.ggml_id(), encode(block, &tensor.values))
    });
    check("quantised ggml", &model, &good);
}

#[test]
fn damaged_ctranslate2_files_are_refused() {
    let model = TinyWhisper::new(64, 3);
    check("ctranslate2", &model, &model.ctranslate2_f32());
}

#[test]
fn damaged_integer_ctranslate2_files_are_refused() {
    let model = TinyWhisper::new(64, 4);
    let good = model.ctranslate2(|name, shape, values| {
        if !name.ends_with("weight") {
            return (4, encode(BlockType::F16, values), None);
        }
        let integers = values.iter().map(|v| (v * 254.0) as i8 as u8).collect();
        (1, integers, Some(vec![254.0; shape[0]]))
    });
    check("integer ctranslate2", &model, &good);
}

#[test]
fn damaged_safetensors_files_are_refused() {
    let model = TinyWhisper::new(64, 5);
    check("safetensors", &model, &model.safetensors(BlockType::F16));
}

#[test]
fn damaged_files_beside_a_model_are_refused() {
    let model = TinyWhisper::new(64, 6);
    let folder = TempDir::new().unwrap();
    let good = model.ctranslate2_f32();
    let path = model.save(folder.path(), "toy", &good.bytes);
    let tokenizer = format!(
        r#"{{"added_tokens":[{{"id":256,"content":"<|endoftext|>"}}],"model":{{"vocab":{}}}}}"#,
        serde_json::to_string(&vocabulary_map(&model)).unwrap()
    );
    std::fs::write(folder.path().join("tokenizer.json"), &tokenizer).unwrap();
    let mut random = Random::new(7);
    for name in ["tokenizer.json", "vocabulary.txt", "config.json"] {
        let beside = folder.path().join(name);
        assert!(is_accepted(&path, good.bytes.len(), "unspoilt"));
        let bytes = std::fs::read(&beside).unwrap();
        let fields = vec![0];
        let whole = Bytes { bytes, fields };
        let mut n_refused = 0;
        for variant in 0..N_VARIANTS / 4 {
            // Short files cannot lose a long piece.
            let spoilt = match whole.bytes.len() {
                0..=600 => whole.bytes[..random.below(whole.bytes.len())].to_vec(),
                _ => spoil(&whole, &mut random),
            };
            std::fs::write(&beside, spoilt).unwrap();
            let what = format!("{name}, variant {variant}");
            n_refused += usize::from(!is_accepted(&path, good.bytes.len(), &what));
        }
        // A word that became another word cannot be told from a good one.
        assert!(
            n_refused > N_VARIANTS / 8,
            "{name}: only {n_refused} refused"
        );
        // The first of the vocabularies is the one that is read.
        match name {
            "tokenizer.json" => std::fs::remove_file(&beside).unwrap(),
            _ => std::fs::write(&beside, &whole.bytes).unwrap(),
        }
    }
}

/// Token to id, from the lines of `vocabulary.txt`.
fn vocabulary_map(model: &TinyWhisper) -> std::collections::BTreeMap<String, usize> {
    let text = model.vocabulary_txt();
    let tokens = text.lines().map(str::to_owned).enumerate();
    tokens.map(|(id, token)| (token, id)).collect()
}

/// A scale that is no number, or none that a half can hold once it is quantised.
#[test]
fn blocks_that_are_no_numbers_are_refused() {
    let folder = TempDir::new().unwrap();
    let name = "decoder.blocks.0.mlp.0.weight";
    let mut model = TinyWhisper::new(64, 8);
    for compute in COMPUTES {
        let stored = model.ggml(|tensor| {
            if tensor.name != name {
                return (0, encode(BlockType::F32, &tensor.values));
            }
            let mut blocks = encode(BlockType::Q5_1, &tensor.values);
            let last = blocks.len() - BlockType::Q5_1.block_bytes();
            blocks[last..last + 2].copy_from_slice(&[0xff, 0x7f]);
            (BlockType::Q5_1.ggml_id(), blocks)
        });
        let path = model.save(folder.path(), "toy", &stored.bytes);
        let error = transcribe(&path, compute).unwrap_err();
        assert!(error.to_string().contains(name), "{compute:?}: {error}");
    }
    *model.tensor_mut(name).values.last_mut().unwrap() = 1e30;
    let path = model.save(folder.path(), "toy", &model.ggml_f32().bytes);
    for format in BlockFormat::ALL {
        let error = transcribe(&path, Compute::Blocks(format)).unwrap_err();
        assert_eq!(error.kind(), Kind::Model);
        assert!(error.to_string().contains(name), "{format:?}: {error}");
    }
}

/// A weight that is no number, in a file that is sound otherwise.
#[test]
fn weights_that_are_no_numbers_are_refused() {
    let folder = TempDir::new().unwrap();
    for (name, value) in [
        ("decoder.token_embedding.weight", f32::NAN),
        ("decoder.blocks.1.cross_attn.key.weight", f32::INFINITY),
        ("encoder.conv2.weight", f32::NEG_INFINITY),
        ("encoder.ln_post.bias", f32::NAN),
    ] {
        let mut model = TinyWhisper::new(64, 8);
        *model.tensor_mut(name).values.last_mut().unwrap() = value;
        let path = model.save(folder.path(), "toy", &model.ggml_f32().bytes);
        for compute in COMPUTES {
            let error = transcribe(&path, compute).unwrap_err();
            assert_eq!(error.kind(), Kind::Model);
            let message = error.to_string();
            assert!(message.contains(name), "{message}");
            assert!(message.contains("hark models verify"), "{message}");
        }
    }
    let model = TinyWhisper::new(64, 9);
    let scales = |name: &str, shape: &[usize], values: &[f32]| {
        if !name.ends_with("self_attention/linear_0/weight") {
            return (0, encode(BlockType::F32, values), None);
        }
        (1, vec![1; values.len()], Some(vec![f32::NAN; shape[0]]))
    };
    let path = model.save(folder.path(), "toy", &model.ctranslate2(scales).bytes);
    for compute in COMPUTES {
        let error = transcribe(&path, compute).unwrap_err();
        assert!(matches!(
            error,
            WhisperError::Format(FormatError::NotFinite { .. })
        ));
    }
}
