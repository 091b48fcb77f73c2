//! `[speech]`: the program that speaks.

use super::ConfigError;
use super::actions::resolve;
use super::document::Section;
use crate::speech::SpeechOptions;

/// Reads the section.
pub(super) fn read(root: &mut Section<'_>, to: &mut SpeechOptions) -> Result<(), ConfigError> {
    let mut section = root.section("speech")?;
    if let Some(entry) = section.take("program") {
        to.program = resolve(&entry.text()?, section.document().folder());
    }
    if let Some(entry) = section.take("args") {
        to.args = entry.texts()?;
    }
    section.integer("timeout_ms", 100..=3_600_000, &mut to.timeout_ms)?;
    section.finish()
}
