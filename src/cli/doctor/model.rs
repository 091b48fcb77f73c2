//! The speech model: whether it is there, whole and not too large, and how fast it is here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::machine;
use super::report::Check;
use super::within;
use crate::audio::{AudioError, decode_bytes};
use crate::cli::Failure;
use crate::cli::models::memory_bytes;
use crate::cli::setup::Setup;
use crate::dsp::SAMPLE_RATE_HZ;
use crate::error::Kind;
use crate::format::WhisperFile;
use crate::models::{self, Manifest, ModelError};
use crate::whisper::{Model, Transcriber};

const MODEL: &str = "model";
const MEMORY: &str = "memory";
const SPEED: &str = "speed";

/// "Is the garage door open?", 2.2 s; of the project's test recordings (its licence is beside them).
const RECORDING: &[u8] = include_bytes!("../../../tests/data/speech/command/command_en_0224.flac");

/// Models up to this size are hashed: larger ones would take too long.
const MAX_HASHED_BYTES: u64 = 300_000_000;
/// What loading may take until it is left alone.
const LOADING: Duration = Duration::from_secs(6);
/// What transcribing may take until it is broken off.
const TRANSCRIBING: Duration = Duration::from_millis(3_500);
/// Seconds of work for a second of speech from which partial captions suffer, and from which captions
/// fall behind.
const SLOW_RTF: f64 = 0.5;
const TOO_SLOW_RTF: f64 = 1.0;

/// Everything about the model; ends at the first thing that keeps it from being tried.
pub(super) fn checks(setup: &Setup) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Err(last) = all(setup, &mut checks) {
        checks.push(last);
    }
    checks
}

fn all(setup: &Setup, checks: &mut Vec<Check>) -> Result<(), Check> {
    let name = setup.model_name();
    let path = models::resolve(name).map_err(|error| missing(&error))?;
    let verified = verified(name)?;
    let file = WhisperFile::open(&path).map_err(|error| unusable(Failure::from(error)))?;
    checks.push(memory(memory_bytes(&file, setup.compute()))?);
    let began = Instant::now();
    let loader = setup.clone();
    let Some(model) = within(LOADING, move || loader.model()) else {
        return Err(slow_to_load(name));
    };
    let model = model.map_err(unusable)?;
    let load_s = began.elapsed().as_secs_f64();
    let compute = model.compute().name();
    let found = format!("{name} ({compute}), {verified}loads in {load_s:.1} s");
    checks.push(Check::ok(MODEL, found));
    checks.push(speed(setup, model));
    Ok(())
}

fn missing(error: &ModelError) -> Check {
    let advice = match error {
        ModelError::Missing { name } | ModelError::Incomplete { name, .. } => {
            format!("fetch the model: hark models pull {name}")
        }
        _ => "choose a model that `hark models list` names, or the path of one".to_owned(),
    };
    Check::fail(MODEL, Kind::Model, error.to_string(), advice)
}

fn slow_to_load(name: &str) -> Check {
    let found = format!(
        "{name} takes more than {} s to load, and was not tried",
        LOADING.as_secs()
    );
    Check::warn(
        MODEL,
        found,
        "choose a smaller model, or a faster disk for it",
    )
}

fn unusable(failure: Failure) -> Check {
    Check::failed(MODEL, &failure, "fetch the model again, or choose another")
}

/// Compares a fetched model with its hash; in words.
fn verified(name: &str) -> Result<&'static str, Check> {
    let known = Manifest::embedded().and_then(|manifest| Ok((models::folder()?, manifest)));
    let Ok((folder, manifest)) = known else {
        return Ok("");
    };
    let Some(model) = manifest.find(name) else {
        return Ok("");
    };
    if models::state(&folder, model) != models::State::Complete {
        // A file of that name, which nobody has fetched.
        return Ok("");
    }
    if model.size_bytes() > MAX_HASHED_BYTES {
        return Ok("of the right size, ");
    }
    match models::verify(&folder, model, &mut |_| {}) {
        Ok(()) => Ok("verified, "),
        Err(error) => {
            let advice = format!("fetch the model again: hark models pull {name}");
            Err(Check::fail(MODEL, Kind::Model, error.to_string(), advice))
        }
    }
}

/// Whether there is room for what the model takes.
fn memory(needed: usize) -> Result<Check, Check> {
    let needed_mb = needed as f64 / 1e6;
    let Some(available) = machine::available_bytes() else {
        return Ok(Check::ok(
            MEMORY,
            format!("the model takes about {needed_mb:.0} MB"),
        ));
    };
    let available_mb = available as f64 / 1e6;
    let found =
        format!("the model takes about {needed_mb:.0} MB, {available_mb:.0} MB are available");
    let advice = "choose a smaller model, or model.compute = \"q5_1\", or close other programs";
    if needed_mb > available_mb {
        return Err(Check::fail(MEMORY, Kind::Model, found, advice));
    }
    match needed_mb > 0.8 * available_mb {
        true => Ok(Check::warn(MEMORY, found, advice)),
        false => Ok(Check::ok(MEMORY, found)),
    }
}

/// How long the recording takes.
fn speed(setup: &Setup, model: Arc<Model>) -> Check {
    match measure(setup, model) {
        Ok(measured) => measured.judged(),
        Err(failure) => Check::failed(SPEED, &failure, "correct [whisper] in the configuration"),
    }
}

fn measure(setup: &Setup, model: Arc<Model>) -> Result<Measured, Failure> {
    let samples = recording()?;
    let audio_s = samples.len() as f64 / f64::from(SAMPLE_RATE_HZ);
    let mut transcriber = Transcriber::new(model, setup.options(None))?;
    let abort = Arc::new(AtomicBool::new(false));
    transcriber.set_abort(abort.clone());
    let timer = std::thread::Builder::new().name("doctor-timer".to_owned());
    let timer = timer.spawn(move || {
        std::thread::sleep(TRANSCRIBING);
        abort.store(true, Ordering::Relaxed);
    });
    timer.map_err(|error| Failure::new(Kind::Bug, format!("cannot start a thread: {error}")))?;
    let mut run = || {
        let began = Instant::now();
        let segments = transcriber.utterance(&samples);
        let text: Vec<&str> = segments.iter().map(|segment| segment.text.trim()).collect();
        (began.elapsed().as_secs_f64(), text.join(" "))
    };
    // The first time fills caches; where it is slow anyway, it will do.
    let (mut took_s, mut text) = run();
    if took_s < audio_s {
        (took_s, text) = run();
    }
    Ok(Measured {
        rtf: took_s / audio_s,
        text,
    })
}

fn recording() -> Result<Vec<f32>, AudioError> {
    decode_bytes(RECORDING, "the built-in recording")
}

struct Measured {
    /// Seconds of work for a second of speech.
    rtf: f64,
    text: String,
}

impl Measured {
    fn judged(&self) -> Check {
        let Measured { rtf, text } = self;
        let found = format!("{rtf:.2} s for a second of speech; heard: \"{text}\"");
        let mut advice = "choose a smaller model (tiny.en is the fastest), keep model.compute at \
                          \"int8\", or close other programs"
            .to_owned();
        if cfg!(debug_assertions) {
            advice.push_str(
                "; this is a development build, `cargo build --release` makes a faster one",
            );
        }
        match *rtf {
            rtf if rtf > TOO_SLOW_RTF => Check::fail(SPEED, Kind::Model, found, advice),
            rtf if rtf > SLOW_RTF => Check::warn(SPEED, found, advice),
            _ => Check::ok(SPEED, found),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::report::State;
    use super::*;

    #[test]
    fn the_recording_is_one() {
        let samples = recording().unwrap();
        let loudest = samples.iter().fold(0.0f32, |max, x| max.max(x.abs()));
        assert!((30_000..40_000).contains(&samples.len()) && loudest > 0.05);
        assert!(RECORDING.len() <= 60_000);
    }

    #[test]
    fn speed_is_judged() {
        for (rtf, state) in [(0.2, State::Ok), (0.7, State::Warn), (1.4, State::Fail)] {
            let text = String::new();
            assert_eq!(Measured { rtf, text }.judged().state, state);
        }
    }

    #[test]
    fn more_memory_than_there_is_is_a_failure() {
        assert_eq!(memory(1).unwrap().state, State::Ok);
        if machine::available_bytes().is_some() {
            assert_eq!(memory(usize::MAX).unwrap_err().state, State::Fail);
        }
    }

    #[test]
    fn what_is_missing_is_fetched() {
        let name = "tiny.en".to_owned();
        let advice = missing(&ModelError::Missing { name }).advice.unwrap();
        assert!(advice.ends_with("hark models pull tiny.en"));
    }
}
