//! `[speech]`: what speaks, and what sounds besides.

use super::ConfigError;
use super::actions::resolve;
use super::document::Section;
use crate::speech::{Cue, Output, SpeechOptions};

/// Reads the section.
pub(super) fn read(root: &mut Section<'_>, to: &mut SpeechOptions) -> Result<(), ConfigError> {
    let mut section = root.section("speech")?;
    if let Some(entry) = section.take("program") {
        to.program = resolve(&entry.text()?, section.document().folder());
    }
    if let Some(entry) = section.take("args") {
        to.args = entry.texts()?;
    }
    let outputs = [("program", Output::Program), ("wav", Output::Wav)];
    section.choice("output", &outputs, &mut to.output)?;
    if let Some(entry) = section.take("device") {
        to.device = entry.text()?;
        if to.device.trim().is_empty() {
            return Err(entry.invalid("\"default\" or the name of an output device (hark devices)"));
        }
    }
    section.integer("timeout_ms", 100..=3_600_000, &mut to.timeout_ms)?;
    cue(&mut section, "wake_sound", &mut to.cues.wake)?;
    cue(&mut section, "done_sound", &mut to.cues.done)?;
    cue(&mut section, "error_sound", &mut to.cues.error)?;
    section.finish()
}

/// Nothing, the built-in sound, or a file relative to the configuration.
fn cue(section: &mut Section<'_>, key: &'static str, to: &mut Cue) -> Result<(), ConfigError> {
    if let Some(entry) = section.take(key) {
        *to = match entry.text()?.as_str() {
            "" => Cue::Silent,
            "tone" => Cue::Tone,
            // Whatever it is, it is no file that plays.
            path if path.contains('\0') => {
                return Err(entry.invalid("\"\", \"tone\" or a WAV file"));
            }
            path => Cue::File(entry.document().folder().join(path)),
        };
    }
    Ok(())
}
