//! An utterance as text: a line of the list, or the whole story.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::decision;
use crate::cli::output::printable;
use crate::ledger::{Followed, HeardWord, Utterance};

/// Words less likely than this are marked; as `stream.unsure_p` unless that is set.
const UNSURE_P: f32 = 0.7;

/// The line of a list; `width` is that of the longest number.
pub(super) fn line(utterance: &Utterance, width: usize) -> String {
    let text = utterance.text.as_deref().unwrap_or("...");
    let outcome = decision::outcome(utterance);
    let (id, at) = (utterance.id, &utterance.at_local);
    clean(&format!("{id:width$}  {at}  {text}  => {outcome}"))
}

/// All there is to say.
pub(super) fn story(utterance: &Utterance) -> String {
    let mut text = head(utterance);
    let mut sentences = decision::sentences(utterance).into_iter();
    fact(&mut text, "decision", &sentences.next().unwrap_or_default());
    for sentence in sentences {
        fact(&mut text, "", &sentence);
    }
    time_line(&mut text, utterance);
    work(&mut text, utterance);
    alternatives(&mut text, utterance);
    readings(&mut text, utterance);
    text
}

fn head(utterance: &Utterance) -> String {
    let Utterance {
        id,
        at_local,
        event_id,
        run_began,
        version,
        ..
    } = utterance;
    let mut text = format!("utterance {id}, {at_local}\n");
    match &utterance.text {
        Some(heard) => fact(
            &mut text,
            "heard",
            &format!("\"{}\"", marked(heard, &utterance.words)),
        ),
        None => fact(&mut text, "heard", "(it was not over)"),
    }
    let unsure = utterance.words.iter().filter(|word| is_unsure(word));
    let unsure: Vec<String> = unsure
        .map(|word| format!("{} {:.2}", word.text.trim(), word.p))
        .collect();
    if !unsure.is_empty() {
        fact(&mut text, "unsure", &unsure.join(", "));
    }
    if !utterance.flags.is_empty() {
        fact(&mut text, "flags", &utterance.flags.join(", "));
    }
    if let Some(wake) = &utterance.wake {
        let threshold = utterance.settings.wake_threshold;
        let (phrase, score) = (&wake.phrase, wake.score);
        let said = format!("\"{phrase}\" at {score:.2} (listen.wake_threshold {threshold:.2})");
        fact(&mut text, "wake", &said);
    }
    if let Some(compared) = &utterance.compared {
        fact(&mut text, "compared", &format!("\"{compared}\""));
    }
    if let (Some(t0), Some(t1)) = (utterance.t0, utterance.t1) {
        let kept = match utterance.n_samples {
            0 => "not kept",
            _ => "kept: --audio FILE.wav",
        };
        fact(
            &mut text,
            "audio",
            &format!("{t0:.3} s to {t1:.3} s of the run ({kept})"),
        );
    }
    if let Some(model) = &utterance.model {
        fact(&mut text, "model", model);
    }
    let run = format!("event {event_id} of hark {version}, started {run_began}");
    fact(&mut text, "run", &run);
    text
}

fn fact(text: &mut String, name: &str, what: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  {name:9} {}", clean(what));
}

/// The text with what is doubtful in it in brackets.
fn marked(text: &str, words: &[HeardWord]) -> String {
    let joined: String = words.iter().map(|word| word.text.as_str()).collect();
    // Where the words do not make up the text, they cannot be found in it.
    if joined.trim() != text.trim() {
        return text.to_owned();
    }
    let mut marked = String::new();
    for word in words {
        let bare = word.text.trim_start();
        let space = &word.text[..word.text.len() - bare.len()];
        marked.push_str(space);
        match is_unsure(word) && !bare.is_empty() {
            true => marked.push_str(&format!("[{bare}?]")),
            false => marked.push_str(bare),
        }
    }
    marked.trim().to_owned()
}

fn is_unsure(word: &HeardWord) -> bool {
    word.p < UNSURE_P
}

fn time_line(text: &mut String, utterance: &Utterance) {
    if utterance.followed.is_empty() {
        return;
    }
    text.push_str("\nthen (milliseconds after its text was known)\n");
    for followed in &utterance.followed {
        let ms = followed.at_unix_ms - utterance.at_unix_ms;
        let _ = writeln!(text, "  {ms:>+8}  {}", clean(&event(followed)));
    }
}

/// What followed, as briefly as it can be said.
fn event(followed: &Followed) -> String {
    let mut parts = vec![followed.kind.clone()];
    if followed.kind == "gap" {
        parts[0] = "lost audio".to_owned();
    }
    let words = [
        &followed.name,
        &followed.best,
        &followed.status,
        &followed.state,
        &followed.reason,
    ];
    parts.extend(words.into_iter().flatten().cloned());
    if !followed.slots.is_empty() {
        parts.push(format!("({})", slots(&followed.slots)));
    }
    let quoted = [&followed.phrase, &followed.text, &followed.output];
    parts.extend(
        quoted
            .into_iter()
            .flatten()
            .map(|text| format!("\"{text}\"")),
    );
    if let Some(number) = followed.number {
        parts.push(format!("number {number}"));
    }
    if let Some(left_s) = followed.left_s {
        parts.push(format!("{left_s} s left"));
    }
    if let Some(score) = followed.score {
        parts.push(format!("score {score:.2}"));
    }
    if let Some(margin) = followed.margin {
        parts.push(format!("margin {margin:.2}"));
    }
    if let Some(ms) = followed.ms {
        parts.push(format!("in {ms} ms"));
    }
    if let (Some(t0), Some(t1)) = (followed.t0, followed.t1) {
        parts.push(format!("{t0:.3} s to {t1:.3} s"));
    }
    match &followed.error {
        Some(error) => format!("{}: {error}", parts.join(" ")),
        None => parts.join(" "),
    }
}

fn work(text: &mut String, utterance: &Utterance) {
    if utterance.stages.is_empty() {
        return;
    }
    text.push_str("\nwork (milliseconds)\n");
    let width = utterance
        .stages
        .iter()
        .map(|stage| stage.name.chars().count())
        .max();
    let width = width.unwrap_or(0).max("together".len());
    let mut together = 0.0;
    for stage in &utterance.stages {
        together += stage.ms;
        let _ = writeln!(text, "  {:width$}  {:8.1}", clean(&stage.name), stage.ms);
    }
    let _ = writeln!(text, "  {:width$}  {together:8.1}", "together");
}

fn alternatives(text: &mut String, utterance: &Utterance) {
    if !utterance.settings.has_commands || utterance.text.is_none() {
        return;
    }
    let threshold = utterance.settings.threshold;
    let _ = writeln!(
        text,
        "\nin its text (score for each word; commands.threshold {threshold:.2}, commands.margin {:.2})",
        utterance.settings.margin
    );
    if utterance.alternatives.is_empty() {
        text.push_str("  no command is near\n");
    }
    for one in &utterance.alternatives {
        let verdict = verdict(one.score, threshold);
        let row = format!("{} {}", one.name, slots(&one.slots));
        let _ = writeln!(text, "  {:8.2}  {verdict:7}  {}", one.score, clean(&row));
    }
}

fn readings(text: &mut String, utterance: &Utterance) {
    let Some(readings) = &utterance.readings else {
        return;
    };
    let threshold = utterance.settings.heard_threshold;
    let _ = writeln!(
        text,
        "\nin its audio (score for each token; commands.heard_threshold {threshold:.2}, \
         commands.heard_margin {:.2})",
        utterance.settings.heard_margin
    );
    let free = readings.free_logprob;
    let _ = writeln!(
        text,
        "                     log-probability {free:8.2}  as transcribed"
    );
    if readings.readings.is_empty() {
        text.push_str("  no command is near\n");
    }
    for one in &readings.readings {
        let verdict = verdict(one.score, threshold);
        let command = one.command.as_deref().unwrap_or("several commands");
        let row = format!("\"{}\"  {command}", one.text.trim());
        let _ = writeln!(
            text,
            "  {:8.2}  {verdict:7}  log-probability {:8.2}  {}",
            one.score,
            one.logprob,
            clean(&row)
        );
    }
}

/// Whether a score is enough.
fn verdict(score: f32, threshold: f32) -> &'static str {
    if score < threshold {
        "too low"
    } else {
        "enough"
    }
}

/// The slots with their values.
pub(super) fn slots(slots: &BTreeMap<String, String>) -> String {
    let slots: Vec<String> = slots
        .iter()
        .map(|(slot, value)| format!("{slot} = {value}"))
        .collect();
    slots.join(", ")
}

/// On one line, and harmless to a terminal.
fn clean(text: &str) -> String {
    let line: Vec<&str> = text.lines().map(str::trim_end).collect();
    printable(&line.join(" ")).replace('\t', " ")
}
