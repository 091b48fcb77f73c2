//! `[responder]`: what answers what is no command.

use super::ConfigError;
use super::document::Section;
use super::sections::place;
use crate::llama::KvType;
use crate::respond::{Calls, ResponderOptions};

/// Places in the system prompt.
const PLACES: [&str; 4] = ["time", "date", "timers", "commands"];

/// Reads the section.
pub(super) fn read(root: &mut Section<'_>, to: &mut ResponderOptions) -> Result<(), ConfigError> {
    let mut section = root.section("responder")?;
    section.flag("enabled", &mut to.enabled)?;
    if let Some(entry) = section.take("model") {
        to.model = entry.text()?;
        if to.model.is_empty() {
            return Err(entry.invalid("the name of a model (hark models list) or a path"));
        }
    }
    section.choice(
        "kv",
        &[("f16", KvType::F16), ("q8_0", KvType::Q8_0)],
        &mut to.kv,
    )?;
    if let Some(entry) = section.take("system") {
        to.system = entry.text()?;
        if let Some(unknown) = unknown_place(&to.system) {
            let known = PLACES.map(|place| format!("{{{place}}}")).join(", ");
            return Err(entry.invalid(format!("text with the places {known}, not {{{unknown}}}")));
        }
    }
    let calls = [
        ("never", Calls::Never),
        ("confirm", Calls::Confirm),
        ("always", Calls::Always),
    ];
    section.choice("calls", &calls, &mut to.calls)?;
    section.integer("context_tokens", 256..=1_000_000, &mut to.context_tokens)?;
    let answer = section.take("max_tokens");
    match &answer {
        Some(entry) => to.max_tokens = entry.integer(&(1..=100_000))? as usize,
        None => to.max_tokens = to.max_tokens.min(to.context_tokens / 2),
    }
    if let Some(entry) = answer.filter(|_| to.max_tokens > to.context_tokens / 2) {
        let most = to.context_tokens / 2;
        return Err(entry.invalid(format!("at most half of responder.context_tokens ({most})")));
    }
    section.number("timeout_s", 1.0..=3_600.0, &mut to.timeout_s)?;
    section.integer("history_turns", 0..=100, &mut to.history_turns)?;
    section.number("history_s", 0.0..=86_400.0, &mut to.history_s)?;
    let sampling = &mut to.sampling;
    section.number("temperature", 0.0..=5.0, &mut sampling.temperature)?;
    section.integer("top_k", 0..=1_000_000, &mut sampling.top_k)?;
    section.number("top_p", 0.01..=1.0, &mut sampling.top_p)?;
    section.number("min_p", 0.0..=1.0, &mut sampling.min_p)?;
    section.number("repeat_penalty", 0.1..=5.0, &mut sampling.repeat_penalty)?;
    section.integer("seed", 0..=i64::MAX, &mut sampling.seed)?;
    section.flag("speculate", &mut to.speculate)?;
    section.number("unload_after_s", 0.0..=86_400.0, &mut to.unload_after_s)?;
    if let Some(entry) = section.take("prefix_file") {
        to.prefix_file = place(&entry)?;
    }
    section.finish()
}

/// A name in braces that is no place.
fn unknown_place(text: &str) -> Option<&str> {
    text.split('{').skip(1).find_map(|rest| {
        let (name, _) = rest.split_once('}')?;
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        (is_name && !PLACES.contains(&name)).then_some(name)
    })
}
