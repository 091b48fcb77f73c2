//! The model, stage by stage, against figures of an independent implementation
//! (`tests/golden/make_whisper.py`).

#![allow(clippy::unwrap_used)]

mod support;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use hark::dsp;
use hark::format::WhisperFile;
use hark::kernels::{BlockFormat, Cpu, Exec};
use hark::nn::Compute;
use hark::text::WordErrors;
use hark::whisper::{Model, Options, Stage, Transcriber, Window, WordTimes};

#[derive(serde::Deserialize)]
struct Golden {
    clip: String,
    frames: Vec<usize>,
    channels: Vec<usize>,
    /// The front, every block, the result: `[stages][frames][channels]`.
    stages: Vec<Vec<Vec<f32>>>,
    prompt: Vec<u32>,
    logits: std::collections::BTreeMap<String, f32>,
    language: String,
    text: String,
    words: Vec<(String, f64, f64)>,
}

struct Case {
    golden: Golden,
    model: Arc<Model>,
    samples: Vec<f32>,
}

/// The case of one model; none, with the reason printed, where its file is missing.
fn case(name: &str, compute: Compute) -> Option<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = support::model(name)?;
    let golden = root.join(format!("tests/golden/whisper_{name}.json"));
    let golden: Golden = serde_json::from_str(&std::fs::read_to_string(golden).unwrap()).unwrap();
    let clip = root.join("tests/data/speech/dictation").join(&golden.clip);
    let file = WhisperFile::open(&folder).unwrap();
    let model = Model::load(&file, Exec::new(Cpu::detect(), 2), compute).unwrap();
    Some(Case {
        golden,
        model,
        samples: hark::audio::decode_file(&clip).unwrap(),
    })
}

/// Normalised mel of the clip, padded to 30 s.
fn mel(case: &Case) -> Vec<f32> {
    let mut samples = case.samples.clone();
    samples.resize(30 * 16_000, 0.0);
    let raw = dsp::log_mel(&samples, case.model.dims().n_mels);
    let max = raw.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut mel = vec![0.0; raw.len()];
    dsp::normalise(&raw, max, &mut mel);
    mel
}

/// Root mean square of the differences and of the sampled figures of one stage.
fn compare(golden: &Golden, stage: usize, x: &[f32], n_state: usize) -> (f32, f32) {
    let (mut apart, mut size) = (0f32, 0f32);
    for (row, frame) in golden.stages[stage].iter().zip(&golden.frames) {
        for (want, channel) in row.iter().zip(&golden.channels) {
            let have = x[frame * n_state + channel];
            assert!(have.is_finite());
            apart += (have - want) * (have - want);
            size += want * want;
        }
    }
    let n = (golden.frames.len() * golden.channels.len()) as f32;
    ((apart / n).sqrt(), (size / n).sqrt())
}

/// Runs every stage; `tolerance` is relative to the figures of the stage.
fn check_stages(name: &str, compute: Compute, tolerance: f32, logit_tolerance: f32) {
    let Some(case) = case(name, compute) else {
        return;
    };
    let (model, golden, d) = (&case.model, &case.golden, case.model.dims().n_audio_state);
    let exec = model.exec();
    let mut state = model.encoder().new_state();
    let mut seen = 0;
    let mut check = |stage: usize, x: &[f32]| {
        let (apart, size) = compare(golden, stage, x, d);
        println!(
            "{name} {} stage {stage}: {apart:.1e} of {size:.2}",
            compute.name()
        );
        assert!(
            apart <= tolerance * size,
            "stage {stage}: {apart} of {size}"
        );
        seen += 1;
    };
    let mel = mel(&case);
    let mut look = |stage: Stage<'_>| {
        match stage {
            Stage::Front(x) => check(0, x),
            Stage::Block(i, x) => check(1 + i, x),
            Stage::Keys(..) => {}
        }
        ControlFlow::Continue(())
    };
    let whole = (model.encoder()).forward(exec, &mel, None, &mut state, &mut look);
    assert!(whole.is_continue());
    check(golden.stages.len() - 1, state.output());
    assert_eq!(seen, golden.stages.len());

    let mut cross = model.decoder().new_cross();
    model
        .decoder()
        .cross(exec, state.output(), None, &mut cross);
    let mut text = model.decoder().new_state();
    let logits = model
        .decoder()
        .forward(exec, &golden.prompt, &cross, &mut text, 1);
    for (token, want) in &golden.logits {
        let have = logits[token.parse::<usize>().unwrap()];
        assert!(
            (have - want).abs() <= logit_tolerance,
            "logit of {token}: {have}, not {want}"
        );
    }
}

/// Float arithmetic follows the reference closely; the text's keys and values are kept in 16 bits.
#[test]
fn stages_of_tiny_en_in_f32() {
    check_stages("tiny.en", Compute::F32, 1e-3, 0.05);
}

#[test]
fn stages_of_base_in_f32() {
    check_stages("base", Compute::F32, 1e-3, 0.05);
}

/// 8-bit arithmetic may stray by a few hundredths.
#[test]
fn stages_of_tiny_en_in_int8() {
    check_stages("tiny.en", Compute::Int8, 0.05, 1.5);
}

#[test]
fn stages_of_base_in_int8() {
    check_stages("base", Compute::Int8, 0.05, 1.5);
}

fn check_text(name: &str, compute: Compute, window: Window) {
    let Some(case) = case(name, compute) else {
        return;
    };
    let options = Options {
        window,
        words: WordTimes::On,
        ..Options::default()
    };
    let mut transcriber = Transcriber::new(case.model.clone(), options).unwrap();
    let segments = transcriber.utterance(&case.samples);
    let text: String = segments.iter().map(|s| s.text.as_str()).collect();
    match compute {
        Compute::F32 => assert_eq!(text, case.golden.text),
        // Rounding may tip a word that hangs in the balance.
        _ => {
            let errors = WordErrors::between(&case.golden.text, &text);
            assert!(errors.total() <= 1, "{text}");
        }
    }
    assert_eq!(transcriber.language(), Some(case.golden.language.as_str()));
    let words: Vec<_> = segments.iter().flat_map(|s| &s.words).collect();
    assert_eq!(words.len(), case.golden.words.len());
    for (have, want) in words.iter().zip(&case.golden.words) {
        assert!(
            compute != Compute::F32 || have.text == want.0,
            "{have:?}, not {want:?}"
        );
        let apart = (have.t0.0 - want.1).abs().max((have.t1.0 - want.2).abs());
        assert!(apart <= 0.3, "{have:?}, not {want:?}");
    }
}

#[test]
fn text_and_word_times_of_tiny_en() {
    check_text("tiny.en", Compute::F32, Window::Full);
    check_text("tiny.en", Compute::Int8, Window::Full);
    check_text("tiny.en", Compute::Int8, Window::Short);
}

#[test]
fn text_of_tiny_en_in_blocks() {
    for format in BlockFormat::ALL {
        let Some(case) = case("tiny.en", Compute::Blocks(format)) else {
            return;
        };
        let mut transcriber = Transcriber::new(case.model.clone(), Options::default()).unwrap();
        let segments = transcriber.utterance(&case.samples);
        let text: String = segments.iter().map(|s| s.text.as_str()).collect();
        println!("{}:{text}", format.name());
        // A word that hangs in the balance may tip; whether one is written as two does not count.
        let letters =
            |text: &str| -> String { text.chars().filter(|c| !c.is_whitespace()).collect() };
        let apart = strsim::levenshtein(&letters(&case.golden.text), &letters(&text));
        let most = match format {
            BlockFormat::Q4_0 | BlockFormat::Q4_1 => 3,
            BlockFormat::Q5_0 | BlockFormat::Q5_1 => 1,
            BlockFormat::Q8_0 => 0,
        };
        assert!(apart <= most, "{}: {text}", format.name());
    }
}

#[test]
fn stages_of_tiny_en_in_blocks() {
    check_stages("tiny.en", Compute::Blocks(BlockFormat::Q8_0), 0.05, 1.5);
    check_stages("tiny.en", Compute::Blocks(BlockFormat::Q5_1), 0.2, 3.0);
}

#[test]
fn text_and_word_times_of_base() {
    check_text("base", Compute::F32, Window::Full);
    check_text("base", Compute::Int8, Window::Full);
    check_text("base", Compute::Int8, Window::Short);
}

/// Samples in any portions, text cut back and decoded again: the same result.
#[test]
fn portions_and_threads_do_not_change_the_text() {
    let Some(case) = case("tiny.en", Compute::Int8) else {
        return;
    };
    let options = Options {
        words: WordTimes::On,
        ..Options::default()
    };
    let mut transcriber = Transcriber::new(case.model.clone(), options.clone()).unwrap();
    let whole = transcriber.utterance(&case.samples);
    for portion in [77, 1600, 48_000] {
        let mut segments = Vec::new();
        transcriber.reset();
        for chunk in case.samples.chunks(portion) {
            transcriber.push(chunk, &mut |s| segments.push(s));
        }
        transcriber.finish(&mut |s| segments.push(s));
        assert_eq!(segments, whole, "portions of {portion}");
    }
    let file = WhisperFile::open(&support::model("tiny.en").unwrap()).unwrap();
    for n_threads in [1, 3] {
        let exec = Exec::new(Cpu::detect(), n_threads);
        let model = Model::load(&file, exec, Compute::Int8).unwrap();
        let mut other = Transcriber::new(model, options.clone()).unwrap();
        assert_eq!(other.utterance(&case.samples), whole, "{n_threads} threads");
    }
}

/// A cache that was cut back gives what a fresh one gives, and a batch what single steps give.
#[test]
fn batches_and_rollback_equal_single_steps() {
    let Some(case) = case("tiny.en", Compute::Int8) else {
        return;
    };
    let (model, exec) = (&case.model, case.model.exec());
    let mut state = model.encoder().new_state();
    let mut go_on = |_: Stage<'_>| ControlFlow::Continue(());
    let whole = (model.encoder()).forward(exec, &mel(&case), None, &mut state, &mut go_on);
    assert!(whole.is_continue());
    let decoder = model.decoder();
    let mut cross = decoder.new_cross();
    decoder.cross(exec, state.output(), None, &mut cross);
    let tokens = model.tokenizer().encode(" His statement of having been");
    let mut text = decoder.new_state();
    let batch = decoder
        .forward(exec, &tokens, &cross, &mut text, tokens.len())
        .to_vec();
    text.truncate(0);
    let mut steps = Vec::new();
    for token in &tokens {
        steps.extend_from_slice(decoder.forward(exec, &[*token], &cross, &mut text, 1));
    }
    assert_eq!(batch, steps);
    text.truncate(2);
    let n_vocab = model.dims().n_vocab;
    let again = decoder
        .forward(exec, &tokens[2..], &cross, &mut text, 1)
        .to_vec();
    assert_eq!(again, batch[(tokens.len() - 1) * n_vocab..]);
}
