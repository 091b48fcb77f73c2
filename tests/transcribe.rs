//! Whole recordings through the transcriber: other languages, long gaps, silence, noise behind the
//! speech, windows one after the other.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use hark::audio::decode_file;
use hark::format::WhisperFile;
use hark::kernels::{Cpu, Exec};
use hark::nn::Compute;
use hark::text::WordErrors;
use hark::whisper::{Model, Options, Segment, Task, Transcriber};
use support::program::recording;
use support::random::Random;

const RATE_HZ: usize = 16_000;
const STATEMENT: &str = "dictation/dictation_en_0005.flac";

fn load(name: &str) -> Option<Arc<Model>> {
    let file = WhisperFile::open(&support::model(name)?).unwrap();
    let exec = Exec::new(Cpu::from_env().unwrap(), 2);
    Some(Model::load(&file, exec, Compute::Int8).unwrap())
}

fn samples(name: &str) -> Vec<f32> {
    decode_file(recording(name)).unwrap()
}

fn seconds(n: usize) -> Vec<f32> {
    vec![0.0; n * RATE_HZ]
}

fn english() -> Options {
    Options {
        language: Some("en".to_owned()),
        ..Options::default()
    }
}

fn text_of(segments: &[Segment]) -> String {
    segments.iter().map(|s| s.text.as_str()).collect()
}

#[test]
fn german_is_recognised_and_translated() {
    let Some(model) = load("base") else { return };
    let german = samples("dictation/dictation_de_0001.flac");
    let mut transcriber = Transcriber::new(model.clone(), Options::default()).unwrap();
    assert_eq!(transcriber.language(), None);
    let text = text_of(&transcriber.utterance(&german));
    assert_eq!(transcriber.language(), Some("de"));
    // faster-whisper (float32, greedy) makes 4 errors in these 10 words.
    let said = "Der hinter diesem Portal liegende Raum wurde als Leichenhalle genutzt.";
    let errors = WordErrors::between(said, &text);
    assert!(errors.total() <= 5, "{text}");

    let options = Options {
        task: Task::Translate,
        ..Options::default()
    };
    let mut translator = Transcriber::new(model, options).unwrap();
    let english = text_of(&translator.utterance(&german)).to_lowercase();
    assert!(english.contains("this portal was used"), "{english}");
}

#[test]
fn a_language_found_in_silence_is_none() {
    let Some(model) = load("base") else { return };
    let mut sound = seconds(31);
    sound.extend(samples("dictation/dictation_de_0001.flac"));
    let mut transcriber = Transcriber::new(model, Options::default()).unwrap();
    let text = text_of(&transcriber.utterance(&sound));
    assert_eq!(transcriber.language(), Some("de"), "{text}");
}

#[test]
fn silence_says_nothing() {
    for name in ["tiny.en", "base"] {
        let Some(model) = load(name) else { continue };
        let mut transcriber = Transcriber::new(model, english()).unwrap();
        let segments = transcriber.utterance(&seconds(70));
        assert_eq!(segments, [], "{name}");
        assert_eq!(transcriber.stats().windows, 0, "nothing to encode");
    }
}

#[test]
fn a_long_gap_between_sentences_stays_empty() {
    for name in ["tiny.en", "base"] {
        let Some(model) = load(name) else { continue };
        let speech = samples(STATEMENT);
        let mut sound = speech.clone();
        sound.extend(seconds(90));
        sound.extend(&speech);
        let mut transcriber = Transcriber::new(model, english()).unwrap();
        let segments = transcriber.utterance(&sound);
        let text = text_of(&segments);
        let said = "his statement of having been a shop boy was the thing i liked best of all";
        let errors = WordErrors::between(&format!("{said} {said}"), &text);
        // "Shopboy" is two edits each time.
        assert!(errors.total() <= 4, "{name}: {text}");
        let length_s = sound.len() as f64 / RATE_HZ as f64;
        for segment in &segments {
            assert!(segment.t0 <= segment.t1 && segment.t1 <= length_s + 0.1);
        }
    }
}

/// Steady noise after speech, a few decades of it, is not taken for more speech.
#[test]
fn noise_behind_speech_adds_no_words() {
    let Some(model) = load("tiny.en") else { return };
    let speech = samples(STATEMENT);
    let mut transcriber = Transcriber::new(model, english()).unwrap();
    let mut random = Random::new(7);
    for level in [0.001, 0.003, 0.01] {
        let mut noise = |_| level * (random.below(2_001) as f32 / 1_000.0 - 1.0);
        let mut sound: Vec<f32> = (0..12 * RATE_HZ).map(&mut noise).collect();
        for (x, y) in sound.iter_mut().zip(&speech) {
            *x += y;
        }
        let text = text_of(&transcriber.utterance(&sound));
        let said = "his statement of having been a shop boy was the thing i liked best of all";
        let errors = WordErrors::between(said, &text);
        assert!(errors.insertions <= 1, "level {level}: {text}");
    }
}

/// Several windows, the first much quieter than the rest: the portions in which sound is pushed
/// must not matter.
#[test]
fn portions_do_not_change_the_text_of_several_windows() {
    let Some(model) = load("tiny.en") else { return };
    let speech = samples(STATEMENT);
    let mut sound: Vec<f32> = speech.repeat(7).iter().map(|x| 0.02 * x).collect();
    sound.extend(speech.repeat(6));
    assert!(sound.len() > 50 * RATE_HZ);
    let mut transcriber = Transcriber::new(model, english()).unwrap();
    let whole = transcriber.utterance(&sound);
    for portion in [1_601, 300_000] {
        let mut segments = Vec::new();
        transcriber.reset();
        for chunk in sound.chunks(portion) {
            transcriber.push(chunk, &mut |s| segments.push(s));
        }
        transcriber.finish(&mut |s| segments.push(s));
        assert_eq!(segments, whole, "portions of {portion}");
    }
}
