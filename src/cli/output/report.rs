//! Transcripts of one file or several, in any format, to one place or a file each.
//!
//! In: segments as they come, and what is known of a file at its end. Out: text lines and subtitles
//! at once, JSON when the file is done.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::json::{self, Line, Transcript};
use super::{Cue, Out, srt, txt, vtt};
use crate::cli::Failure;

/// Forms of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text, a segment a line
    Txt,
    /// One object, pretty; an array for several files
    Json,
    /// One object a line for each file
    Jsonl,
    /// SubRip subtitles
    Srt,
    /// WebVTT subtitles
    Vtt,
}

impl Format {
    /// How its files end.
    fn extension(self) -> &'static str {
        match self {
            Format::Txt => "txt",
            Format::Json => "json",
            Format::Jsonl => "jsonl",
            Format::Srt => "srt",
            Format::Vtt => "vtt",
        }
    }
}

/// How many files there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Files {
    /// One alone.
    One,
    /// More.
    Several,
}

/// Where the results go.
pub(crate) enum Target {
    /// All to one place.
    One(Out),
    /// To a file each, in this folder.
    Folder(PathBuf),
}

/// What a user in front of a terminal sees of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Text as it comes.
    Text,
    /// Nothing before the end.
    Nothing,
}

/// Writes transcripts.
pub(crate) struct Report {
    format: Format,
    target: Target,
    files: Files,
    /// The file of the transcript that is being written, when each has its own.
    own: Option<Out>,
    lines: Vec<Line>,
    n_cues: usize,
    /// Names of files written so far.
    written: HashSet<String>,
    /// Transcripts for the array at the end.
    done: Vec<Transcript>,
}

impl Report {
    /// A report in `format` to `target`.
    pub(crate) fn new(format: Format, target: Target, files: Files) -> Self {
        let (own, lines, done) = (None, Vec::new(), Vec::new());
        Report {
            format,
            target,
            files,
            own,
            lines,
            n_cues: 0,
            written: HashSet::new(),
            done,
        }
    }

    /// Begins the transcript of the file `name`.
    pub(crate) fn begin(&mut self, name: &str) -> Result<Shown, Failure> {
        self.lines.clear();
        self.n_cues = 0;
        if let Target::Folder(folder) = &self.target {
            let own = file_name(name, self.format, &self.written);
            self.own = Some(Out::file(&folder.join(&own))?);
            self.written.insert(own);
        }
        let titled = self.own.is_none() && self.files == Files::Several;
        match self.format {
            Format::Txt if titled => self.text(&txt::title(name))?,
            Format::Vtt => self.text(vtt::HEAD)?,
            _ => {}
        }
        let is_file = matches!(self.target, Target::Folder(_)) || !std::io::stdout().is_terminal();
        Ok(if is_file || self.is_json() {
            Shown::Nothing
        } else {
            Shown::Text
        })
    }

    /// Takes the next segment.
    pub(crate) fn segment(&mut self, line: Line) -> Result<(), Failure> {
        if line.text.is_empty() {
            return Ok(());
        }
        let cue = Cue {
            t0: line.t0.0,
            t1: line.t1.0,
            text: line.text.clone(),
        };
        self.n_cues += 1;
        match self.format {
            Format::Txt => self.text(&txt::line(&line.text)),
            Format::Srt => self.text(&srt::cue(self.n_cues, &cue)),
            Format::Vtt => self.text(&vtt::cue(&cue)),
            Format::Json | Format::Jsonl => {
                self.lines.push(line);
                Ok(())
            }
        }
    }

    /// Ends the transcript; its text and segments are those taken since `begin`.
    pub(crate) fn end(&mut self, mut transcript: Transcript) -> Result<(), Failure> {
        transcript.segments = std::mem::take(&mut self.lines);
        let texts: Vec<_> = transcript
            .segments
            .iter()
            .map(|line| line.text.as_str())
            .collect();
        transcript.text = texts.join(" ");
        match (self.format, &self.target) {
            (Format::Jsonl, _) => self.text(&(json::line(&transcript) + "\n"))?,
            (Format::Json, Target::One(_)) if self.files == Files::Several => {
                self.done.push(transcript);
            }
            (Format::Json, _) => self.text(&(json::pretty(&transcript) + "\n"))?,
            _ => {}
        }
        self.own = None;
        Ok(())
    }

    /// Writes what only the end of all can write.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        let is_array = self.is_json()
            && self.format == Format::Json
            && self.files == Files::Several
            && matches!(self.target, Target::One(_));
        if is_array {
            self.text(&(json::pretty(&self.done) + "\n"))?;
        }
        Ok(())
    }

    fn is_json(&self) -> bool {
        matches!(self.format, Format::Json | Format::Jsonl)
    }

    /// Text to where this file's results go, handed over at once.
    fn text(&mut self, text: &str) -> Result<(), Failure> {
        let out = match (&mut self.own, &mut self.target) {
            (Some(own), _) => own,
            (None, Target::One(out)) => out,
            (None, Target::Folder(_)) => return Ok(()),
        };
        out.write(text)?;
        out.flush()
    }
}

/// The name of the results of `file`: `talk.mp3` gives `talk.srt`, and `talk.2.srt` if another
/// recording has taken that name.
fn file_name(file: &str, format: Format, taken: &HashSet<String>) -> String {
    let stem = Path::new(file)
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    let stem = stem
        .filter(|stem| stem != "-")
        .unwrap_or_else(|| "stdin".to_owned());
    let mut name = format!("{stem}.{}", format.extension());
    let mut number = 2;
    while taken.contains(&name) {
        name = format!("{stem}.{number}.{}", format.extension());
        number += 1;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_recording_overwrites_the_text_of_another() {
        let mut taken = HashSet::new();
        for (file, expected) in [
            ("a/talk.mp3", "talk.srt"),
            ("b/talk.wav", "talk.2.srt"),
            ("-", "stdin.srt"),
        ] {
            let name = file_name(file, Format::Srt, &taken);
            assert_eq!(name, expected);
            taken.insert(name);
        }
    }
}
