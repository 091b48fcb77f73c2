//! Captions while they grow, in any format.
//!
//! In: events, in order. Out: text for people (rewritten in place on a terminal, lines of settled
//! words into a pipe), JSON lines, or subtitles of at most a few seconds each. Lines and subtitles
//! are written as soon as the words that fill them are settled, not only when an utterance ends.

use std::time::Instant;

use clap::ValueEnum;

use super::screen::{Screen, Style, columns};
use super::{Cue, Out, json, no_color, printable, srt, stdout_is_screen, terminal, vtt};
use crate::cli::Failure;
use crate::event::{Event, Relief, Word};
use crate::respond::Sentences;

/// Longest subtitle, in characters: two lines of a television's 42.
const CUE_CHARS: usize = 84;
/// Longest line into a pipe, in characters, unless a word is longer.
const LINE_CHARS: usize = 100;
/// Longest subtitle, in seconds.
const CUE_SECONDS: f64 = 7.0;

/// Forms of captions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text: settled words, and on a terminal those that may still change
    Text,
    /// Events, one JSON object a line
    Jsonl,
    /// SubRip subtitles
    Srt,
    /// WebVTT subtitles
    Vtt,
}

/// Writes captions.
pub(crate) struct Captions {
    out: Out,
    view: View,
    began: Instant,
    /// What hark says and has not said to the end.
    reply: (Option<u64>, Sentences),
}

enum View {
    Screen,
    Lines { open: String },
    Jsonl,
    Srt { n_cues: usize, open: Option<Cue> },
    Vtt { open: Option<Cue> },
}

impl Captions {
    /// Captions in `format`; the wall clock of events counts from `began`.
    pub(crate) fn new(format: Format, mut out: Out, began: Instant) -> Result<Self, Failure> {
        let style = if no_color() { Style::Plain } else { Style::Dim };
        let view = match format {
            Format::Text if stdout_is_screen() => {
                terminal::begin(Screen::new(style));
                View::Screen
            }
            Format::Text => View::Lines {
                open: String::new(),
            },
            Format::Jsonl => View::Jsonl,
            Format::Srt => View::Srt {
                n_cues: 0,
                open: None,
            },
            Format::Vtt => {
                out.write(vtt::HEAD)?;
                out.flush()?;
                View::Vtt { open: None }
            }
        };
        Ok(Captions {
            out,
            view,
            began,
            reply: Default::default(),
        })
    }

    /// Shows what the event changes.
    pub(crate) fn event(&mut self, event: &Event) -> Result<(), Failure> {
        let reply = reply_text(&mut self.reply, event);
        let text = match &mut self.view {
            View::Screen => {
                return terminal::draw(&mut self.out, |screen| match reply.as_str() {
                    "" => screen_text(screen, event),
                    lines => screen.insert(lines),
                });
            }
            View::Lines { .. } if !reply.is_empty() => reply,
            View::Lines { open } => settled_lines(open, event),
            View::Jsonl => json::live_event(event, self.began.elapsed()) + "\n",
            View::Srt { n_cues, open } => {
                let number = |cue: &Cue| {
                    *n_cues += 1;
                    srt::cue(*n_cues, cue)
                };
                settled_cues(open, event).iter().map(number).collect()
            }
            View::Vtt { open } => settled_cues(open, event).iter().map(vtt::cue).collect(),
        };
        if text.is_empty() {
            return Ok(());
        }
        self.out.write(&text)?;
        self.out.flush()
    }

    /// Writes what is left.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        match self.view {
            View::Screen => terminal::end(&mut self.out),
            _ => self.out.flush(),
        }
    }
}

/// What hark says, sentence by sentence, as lines.
fn reply_text(open: &mut (Option<u64>, Sentences), event: &Event) -> String {
    let Event::Reply { id, text, done } = event else {
        return String::new();
    };
    let mut sentences = Vec::new();
    // Something else may be said in between.
    if open.0 != *id {
        sentences.extend(open.1.finish());
        open.0 = *id;
    }
    sentences.extend(open.1.push(text));
    if *done {
        sentences.extend(open.1.finish());
    }
    let lines = sentences
        .iter()
        .map(|text| format!("hark: {}\n", printable(text)));
    lines.collect()
}

fn screen_text(screen: &mut Screen, event: &Event) -> String {
    match event {
        Event::Partial {
            stable, volatile, ..
        } => screen.update(stable, volatile, columns()),
        Event::Final { text, .. } => screen.finish(text, columns()),
        _ => match line_text(event).as_str() {
            "" => String::new(),
            lines => screen.insert(lines),
        },
    }
}

/// What stands in a pipe: a line for each utterance, and what went wrong or was done in brackets.
/// A program's output is made of whatever it likes, and must not steer the terminal.
fn line_text(event: &Event) -> String {
    printable(&raw_text(event))
}

fn raw_text(event: &Event) -> String {
    match event {
        Event::Final { text, .. } if !text.is_empty() => format!("{text}\n"),
        Event::Gap { t0, t1, .. } => format!("[{:.1} s of sound lost]\n", t1.0 - t0.0),
        Event::Degraded { state, .. } => {
            let what = match state {
                Relief::None => "captions keep up again",
                Relief::Spaced | Relief::Rare => "too slow: captions come less often",
                Relief::FinalsOnly => "too slow: captions come at the end only",
                Relief::SmallerModel => "too slow: a smaller model listens",
            };
            format!("[{what}]\n")
        }
        Event::Device { state, name } => {
            let state = json::line(state);
            format!("[{name}: {}]\n", state.trim_matches('"'))
        }
        Event::Reload { error: None, .. } => "[configuration read again]\n".to_owned(),
        Event::Restart { stage, .. } => {
            let stage = json::line(stage);
            format!("[a bug: the {} starts anew]\n", stage.trim_matches('"'))
        }
        Event::Command { name, slots, .. } => {
            let slots: String = slots
                .iter()
                .map(|(key, value)| format!(" {key}={value}"))
                .collect();
            format!("[command {name}{slots}]\n")
        }
        Event::Action {
            name,
            status,
            error,
            output,
            ..
        } => {
            let status = json::line(status);
            let error = error
                .as_ref()
                .map(|error| format!(": {error}"))
                .unwrap_or_default();
            let output = output
                .as_ref()
                .map(|output| format!("{output}\n"))
                .unwrap_or_default();
            format!(
                "[action {name} {}{error}]\n{output}",
                status.trim_matches('"')
            )
        }
        _ => String::new(),
    }
}

/// Lines that the event completes: of settled words up to the end of a sentence or to a length that
/// reads well, the rest when the utterance ends.
fn settled_lines(open: &mut String, event: &Event) -> String {
    let mut lines = String::new();
    match event {
        Event::Commit { words, .. } => {
            for word in words {
                let begins = word.text.starts_with(' ');
                let n_chars = open.chars().count();
                let ended = open.ends_with(['.', '?', '!']) && n_chars > LINE_CHARS / 2;
                if begins && (ended || n_chars + word.text.chars().count() > LINE_CHARS) {
                    end_line(open, &mut lines);
                }
                open.push_str(&word.text);
            }
        }
        Event::Final { .. } => end_line(open, &mut lines),
        other => lines = line_text(other),
    }
    lines
}

fn end_line(open: &mut String, lines: &mut String) {
    let line = printable(open.trim());
    if !line.is_empty() {
        lines.push_str(&line);
        lines.push('\n');
    }
    open.clear();
}

/// Subtitles that the event completes, each short enough to read.
fn settled_cues(open: &mut Option<Cue>, event: &Event) -> Vec<Cue> {
    let mut done = Vec::new();
    match event {
        Event::Commit { words, .. } => {
            for word in words {
                match open {
                    Some(cue) if fits(cue, word) => {
                        cue.text.push_str(&word.text);
                        cue.t1 = word.t1.0;
                    }
                    _ => {
                        let cue = Cue {
                            t0: word.t0.0,
                            t1: word.t1.0,
                            text: word.text.trim_start().to_owned(),
                        };
                        done.extend(open.replace(cue));
                    }
                }
            }
        }
        Event::Final { .. } => done.extend(open.take()),
        _ => {}
    }
    done
}

/// Whether the word belongs to the cue. A sentence that has come to its end keeps its cue to itself
/// once it is half full.
fn fits(cue: &Cue, word: &Word) -> bool {
    let n_chars = cue.text.chars().count() + word.text.chars().count();
    let ended = cue.text.ends_with(['.', '?', '!']) && n_chars > CUE_CHARS / 2;
    n_chars <= CUE_CHARS && word.t1.0 - cue.t0 <= CUE_SECONDS && !ended
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Seconds;

    fn commit_of(text: &str) -> Event {
        let words = (text.split_whitespace().enumerate())
            .map(|(i, word)| Word {
                text: format!(" {word}"),
                t0: Seconds(i as f64 * 0.5),
                t1: Seconds(i as f64 * 0.5 + 0.4),
                p: 1.0,
            })
            .collect();
        Event::Commit {
            id: 1,
            t: Seconds(9.0),
            words,
        }
    }

    fn end() -> Event {
        let (t0, t1) = (Seconds(0.0), Seconds(9.0));
        Event::Final {
            id: 1,
            t0,
            t1,
            text: String::new(),
            words: Vec::new(),
            flags: Vec::new(),
            readings: None,
            wake: None,
            trace: None,
        }
    }

    #[test]
    fn cues_are_short_enough_to_read() {
        let long = "word ".repeat(60);
        let mut open = None;
        let mut cues = settled_cues(&mut open, &commit_of(long.trim()));
        assert!(cues.len() >= 3, "they come before the end");
        cues.extend(settled_cues(&mut open, &end()));
        assert!(cues.len() >= 4);
        for pair in cues.windows(2) {
            assert!(pair[0].t1 <= pair[1].t0);
        }
        for cue in &cues {
            assert!(cue.text.chars().count() <= CUE_CHARS && cue.t1 - cue.t0 <= CUE_SECONDS);
        }
        let all: Vec<_> = cues.iter().map(|cue| cue.text.as_str()).collect();
        assert_eq!(all.join(" "), long.trim());
    }

    #[test]
    fn a_program_does_not_steer_the_terminal() {
        let done = Event::Action {
            id: 1,
            name: "a".to_owned(),
            status: crate::event::ActionStatus::Ok,
            error: None,
            output: Some("\x1b]0;title\x07red\x1b[31m\r\n\tnext\u{9b}2J".to_owned()),
            ms: None,
        };
        assert_eq!(
            line_text(&done),
            "[action a ok]\n]0;titlered[31m\n\tnext2J\n"
        );
    }

    #[test]
    fn a_short_utterance_is_one_line() {
        let mut open = String::new();
        assert_eq!(settled_lines(&mut open, &commit_of("Turn on")), "");
        assert_eq!(settled_lines(&mut open, &commit_of("the light. Now.")), "");
        let line = settled_lines(&mut open, &end());
        assert_eq!(line, "Turn on the light. Now.\n");
        assert_eq!(settled_lines(&mut open, &end()), "");
    }

    #[test]
    fn a_long_one_is_written_as_its_words_are_settled() {
        let mut open = String::new();
        let sentence = "one two three four five six seven eight nine ten eleven twelve.";
        settled_lines(&mut open, &commit_of(sentence));
        let line = settled_lines(&mut open, &commit_of("Again."));
        assert_eq!(line, format!("{sentence}\n"));
        let rest = settled_lines(&mut open, &commit_of(&"word ".repeat(30)));
        assert!(rest.lines().all(|line| line.chars().count() <= LINE_CHARS));
        assert!(rest.starts_with("Again. word"));
    }
}
