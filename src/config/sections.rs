//! The sections of settings: one function each, one line a key.

use super::document::{Entry, Section};
use super::log;
use super::{
    ComputeConfig, Config, ConfigError, ControlConfig, LedgerConfig, StreamConfig, TaskConfig,
    VadConfig, WhisperConfig, WindowConfig,
};
use crate::audio::{ChannelChoice, MAX_CHANNELS};
use crate::place::Place;
use crate::text::language_from;

/// Reads everything except the commands.
pub(super) fn read(root: &mut Section, to: &mut Config) -> Result<(), ConfigError> {
    log::read(root.section("log")?, &mut to.log)?;
    audio(root.section("audio")?, to)?;
    vad(root.section("vad")?, &mut to.vad)?;
    model(root.section("model")?, to)?;
    whisper(root.section("whisper")?, &mut to.whisper)?;
    stream(root.section("stream")?, &mut to.stream)?;
    control(root.section("control")?, &mut to.control)?;
    ledger(root.section("ledger")?, &mut to.ledger)
}

fn audio(mut section: Section, to: &mut Config) -> Result<(), ConfigError> {
    let to = &mut to.audio;
    section.text("device", &mut to.device)?;
    if let Some(entry) = section.take("channel") {
        to.channel = channel(&entry)?;
    }
    section.number("gain_db", -40.0..=60.0, &mut to.gain_db)?;
    if let Some(entry) = section.take("high_pass_hz") {
        to.high_pass_hz = entry.number(&(0.0..=1000.0))?;
        if to.high_pass_hz > 0.0 && to.high_pass_hz < 20.0 {
            return Err(entry.invalid("0 (none) or 20 to 1000"));
        }
    }
    section.finish()
}

fn channel(entry: &Entry) -> Result<ChannelChoice, ConfigError> {
    let wanted = format!("\"mix\" or a channel from 1 to {MAX_CHANNELS}");
    if entry.is_text() {
        return match entry.text()?.as_str() {
            "mix" => Ok(ChannelChoice::Mix),
            _ => Err(entry.invalid(wanted)),
        };
    }
    let number = entry.integer(&(1..=MAX_CHANNELS as i64));
    let number = number.map_err(|_| entry.invalid(wanted))?;
    Ok(ChannelChoice::Only(number as usize - 1))
}

fn control(mut section: Section, to: &mut ControlConfig) -> Result<(), ConfigError> {
    if let Some(entry) = section.take("socket") {
        to.socket = place(&entry)?;
    }
    if let Some(entry) = section.take("metrics") {
        let text = entry.text()?;
        let address = text.parse::<std::net::SocketAddr>().ok();
        let address = address.filter(|address| address.ip().is_loopback());
        if address.is_none() && !text.is_empty() {
            return Err(entry.invalid("\"\" or an address of this machine, as 127.0.0.1:9464"));
        }
        to.metrics = address;
    }
    section.finish()
}

fn ledger(mut section: Section, to: &mut LedgerConfig) -> Result<(), ConfigError> {
    section.flag("enabled", &mut to.enabled)?;
    if let Some(entry) = section.take("file") {
        to.file = place(&entry)?;
        if to.file == Place::Nowhere {
            return Err(entry.invalid("\"auto\" or a path; enabled = false writes nothing"));
        }
    }
    section.flag("audio", &mut to.audio)?;
    section.integer("max_age_days", 1..=3650, &mut to.max_age_days)?;
    section.integer("max_mb", 1..=100_000, &mut to.max_mb)?;
    section.finish()
}

/// `auto`, nothing, or a path relative to the file.
pub(super) fn place(entry: &Entry) -> Result<Place, ConfigError> {
    Ok(match entry.text()?.as_str() {
        "auto" => Place::Auto,
        "" => Place::Nowhere,
        path => Place::At(entry.document().folder().join(path)),
    })
}

fn vad(mut section: Section, to: &mut VadConfig) -> Result<(), ConfigError> {
    section.number("threshold", 0.01..=0.99, &mut to.threshold)?;
    let released = section.take("neg_threshold");
    match &released {
        Some(entry) => to.neg_threshold = entry.number(&(0.0..=0.99))?,
        None => to.neg_threshold = to.neg_threshold.min(to.threshold),
    }
    if let Some(entry) = released.filter(|_| to.neg_threshold > to.threshold) {
        return Err(entry.invalid(format!("no more than vad.threshold ({})", to.threshold)));
    }
    section.integer("min_speech_ms", 0..=5_000, &mut to.min_speech_ms)?;
    section.integer("min_silence_ms", 50..=10_000, &mut to.min_silence_ms)?;
    section.integer("pre_roll_ms", 0..=2_000, &mut to.pre_roll_ms)?;
    section.integer("max_speech_ms", 3_000..=600_000, &mut to.max_speech_ms)?;
    let longest = section.take("cut_speech_ms");
    match &longest {
        Some(entry) => {
            let value = entry.integer(&(3_000..=3_600_000))?;
            to.cut_speech_ms = u32::try_from(value).unwrap_or(u32::MAX);
        }
        None => to.cut_speech_ms = to.cut_speech_ms.max(to.max_speech_ms),
    }
    if let Some(entry) = longest.filter(|_| to.cut_speech_ms < to.max_speech_ms) {
        let least = to.max_speech_ms;
        return Err(entry.invalid(format!("no less than vad.max_speech_ms ({least})")));
    }
    section.finish()
}

fn model(mut section: Section, to: &mut Config) -> Result<(), ConfigError> {
    let model = &mut to.model;
    if let Some(entry) = section.take("name") {
        model.name = entry.text()?;
        if model.name.is_empty() {
            return Err(entry.invalid("the name of a model (hark models list) or a path"));
        }
    }
    section.choice("compute", &ComputeConfig::ALL, &mut model.compute)?;
    section.integer("threads", 0..=256, &mut model.threads)?;
    section.finish()
}

/// The codes of languages, with commas between them; none for all.
pub(super) fn languages(entry: Option<&Entry>) -> Result<Vec<&'static str>, ConfigError> {
    let Some(entry) = entry else {
        return Ok(Vec::new());
    };
    let text = entry.text()?;
    if text.trim().eq_ignore_ascii_case("auto") {
        return Ok(Vec::new());
    }
    let codes: Option<Vec<&str>> = text.split(',').map(language_from).collect();
    let wanted = "\"auto\", a language such as \"en\" or \"german\", or several as in \"en, de\"";
    codes.ok_or_else(|| entry.invalid(wanted))
}

fn whisper(mut section: Section, to: &mut WhisperConfig) -> Result<(), ConfigError> {
    if let Some(entry) = section.take("language") {
        let languages = languages(Some(&entry))?;
        to.language = (!languages.is_empty()).then(|| languages.join(","));
    }
    let tasks = [
        ("transcribe", TaskConfig::Transcribe),
        ("translate", TaskConfig::Translate),
    ];
    section.choice("task", &tasks, &mut to.task)?;
    let windows = [("short", WindowConfig::Short), ("full", WindowConfig::Full)];
    section.choice("window", &windows, &mut to.window)?;
    section.text("prompt", &mut to.prompt)?;
    section.flag("words", &mut to.words)?;
    section.integer("beam", 1..=8, &mut to.beam)?;
    if let Some(entry) = section.take("temperatures") {
        to.temperatures = temperatures(entry)?;
    }
    section.number("compression_ratio", 1.0..=100.0, &mut to.compression_ratio)?;
    section.number("logprob", -100.0..=0.0, &mut to.logprob)?;
    section.number("no_speech", 0.0..=1.0, &mut to.no_speech)?;
    section.finish()
}

fn temperatures(entry: super::document::Entry) -> Result<Vec<f32>, ConfigError> {
    let expected = "one to ten numbers from 0 to 2, each larger than the one before";
    let complaint = entry.invalid(expected);
    let elements = entry.elements()?;
    let values: Result<Vec<f32>, _> = elements.iter().map(|e| e.number(&(0.0..=2.0))).collect();
    let values = values?;
    let is_valid = (1..=10).contains(&values.len()) && values.windows(2).all(|w| w[0] < w[1]);
    if is_valid { Ok(values) } else { Err(complaint) }
}

fn stream(mut section: Section, to: &mut StreamConfig) -> Result<(), ConfigError> {
    if let Some(entry) = section.take("step_ms") {
        let value = entry.integer(&(0..=10_000))?;
        if (1..100).contains(&value) {
            return Err(entry.invalid("0 (no partial captions) or 100 to 10000"));
        }
        to.step_ms = u32::try_from(value).unwrap_or_default();
    }
    section.integer("min_silence_ms", 50..=10_000, &mut to.min_silence_ms)?;
    section.integer("speculate_ms", 0..=5_000, &mut to.speculate_ms)?;
    section.text("fallback_model", &mut to.fallback_model)?;
    let to = &mut to.settings;
    section.integer("frame_threshold_ms", 0..=2_000, &mut to.frame_threshold_ms)?;
    section.integer("commit_margin_ms", 0..=10_000, &mut to.commit_margin_ms)?;
    section.integer("unsure_margin_ms", 0..=10_000, &mut to.unsure_margin_ms)?;
    section.number("unsure_p", 0.0..=1.0, &mut to.unsure_p)?;
    section.number("sure_p", 0.0..=2.0, &mut to.sure_p)?;
    section.integer("pause_ms", 10..=2_000, &mut to.pause_ms)?;
    section.integer("trim_after_ms", 2_000..=28_000, &mut to.trim_after_ms)?;
    section.integer("window_ms", 3_000..=29_000, &mut to.window_ms)?;
    section.integer("encode_ms", 0..=30_000, &mut to.encode_ms)?;
    section.integer("rewind_ms", 100..=30_000, &mut to.rewind_ms)?;
    section.number("noise_logprob", -100.0..=0.0, &mut to.noise_logprob)?;
    section.integer("max_repeats", 2..=100, &mut to.max_repeats)?;
    section.number(
        "max_tokens_per_second",
        1.0..=100.0,
        &mut to.max_tokens_per_second,
    )?;
    section.flag("verify", &mut to.verify)?;
    section.finish()
}
