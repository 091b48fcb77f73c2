//! Transcripts of one file or several, in any format, to one place or a file each.
//!
//! In: segments as they come, and what is known of a recording at its end. Out: text lines,
//! subtitles and tables at once, JSON when the recording is done. A file of ours appears under its name when
//! it is complete.

use std::collections::HashSet;
use std::fs::Metadata;
use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::json::{self, Line, Transcript};
use super::{Cue, Out, lrc, part_of, srt, table, txt, vtt};
use crate::cli::Failure;
use crate::error::Kind;

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
    /// Lyrics: lines with the time at which they begin
    Lrc,
    /// A table: start and end in milliseconds, and the text, between commas
    Csv,
    /// The same between tabs
    Tsv,
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
            Format::Lrc => "lrc",
            Format::Csv => "csv",
            Format::Tsv => "tsv",
        }
    }

    /// Whether each recording needs a file of its own: two in one would be no such file.
    pub(crate) fn is_one_each(self) -> bool {
        !matches!(self, Format::Txt | Format::Json | Format::Jsonl)
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
    /// All to standard output.
    Stdout(Out),
    /// To a file each, in the order of the recordings.
    Files(Vec<PathBuf>),
}

impl Target {
    /// A file in `folder` for each recording.
    pub(crate) fn folder(folder: &Path, recordings: &[PathBuf], format: Format) -> Self {
        let mut taken = HashSet::new();
        let paths = recordings.iter().map(|recording| {
            let name = file_name(recording, format, &taken);
            taken.insert(name.clone());
            folder.join(name)
        });
        Target::Files(paths.collect())
    }

    /// Fails if writing the results would destroy one of the recordings.
    pub(crate) fn spare(&self, recordings: &[PathBuf]) -> Result<(), Failure> {
        let Target::Files(paths) = self else {
            return Ok(());
        };
        let written = || paths.iter().flat_map(|path| [path.clone(), part_of(path)]);
        for recording in recordings {
            if let Some(path) = written().find(|path| is_same_file(path, recording)) {
                let message = format!(
                    "the output {} is the recording {}; name another file",
                    path.display(),
                    recording.display()
                );
                return Err(Failure::new(Kind::Usage, message));
            }
        }
        Ok(())
    }
}

/// Whether two names mean one file on the disk, links followed.
fn is_same_file(a: &Path, b: &Path) -> bool {
    let identity = |found: Metadata| found.is_file().then(|| (found.dev(), found.ino()));
    let of = |path: &Path| path.metadata().ok().and_then(identity);
    of(a).is_some_and(|a| of(b) == Some(a))
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
    /// All of the text, with the space between segments that the language wants.
    whole: String,
    n_cues: usize,
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
            whole: String::new(),
            n_cues: 0,
            done,
        }
    }

    /// Begins the transcript of the recording with this index and name.
    pub(crate) fn begin(&mut self, index: usize, name: &str) -> Result<Shown, Failure> {
        self.lines.clear();
        self.whole.clear();
        self.n_cues = 0;
        if let Target::Files(paths) = &self.target
            && let Some(path) = paths.get(index)
        {
            self.own = Some(Out::file(path)?);
        }
        let titled = self.own.is_none() && self.files == Files::Several;
        match self.format {
            Format::Txt if titled => self.text(&txt::title(name))?,
            Format::Vtt => self.text(vtt::HEAD)?,
            Format::Csv => self.text(table::CSV_HEAD)?,
            Format::Tsv => self.text(table::TSV_HEAD)?,
            _ => {}
        }
        let is_file = self.own.is_some() || !std::io::stdout().is_terminal();
        Ok(if is_file || self.is_json() {
            Shown::Nothing
        } else {
            Shown::Text
        })
    }

    /// Takes the next segment, whose text begins with a space where one belongs.
    pub(crate) fn segment(&mut self, mut line: Line) -> Result<(), Failure> {
        self.whole.push_str(&line.text);
        line.text = line.text.trim().to_owned();
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
            Format::Lrc => self.text(&lrc::cue(&cue)),
            Format::Csv => self.text(&table::csv_row(&cue)),
            Format::Tsv => self.text(&table::tsv_row(&cue)),
            Format::Json | Format::Jsonl => {
                self.lines.push(line);
                Ok(())
            }
        }
    }

    /// Ends the transcript; its text and segments are those taken since `begin`.
    pub(crate) fn end(&mut self, mut transcript: Transcript) -> Result<(), Failure> {
        transcript.segments = std::mem::take(&mut self.lines);
        transcript.text = self.whole.trim().to_owned();
        match (self.format, &self.target) {
            (Format::Jsonl, _) => self.text(&(json::line(&transcript) + "\n"))?,
            (Format::Json, Target::Stdout(_)) if self.files == Files::Several => {
                self.done.push(transcript);
            }
            (Format::Json, _) => self.text(&(json::pretty(&transcript) + "\n"))?,
            _ => {}
        }
        self.own.take().map_or(Ok(()), Out::deliver)
    }

    /// Writes what only the end of all can write.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        let is_array = self.is_json()
            && self.format == Format::Json
            && self.files == Files::Several
            && matches!(self.target, Target::Stdout(_));
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
            (None, Target::Stdout(out)) => out,
            (None, Target::Files(_)) => return Ok(()),
        };
        out.write(text)?;
        out.flush()
    }
}

/// The name of the results of `recording`: `talk.mp3` gives `talk.srt`, and `talk.2.srt` if another
/// recording has taken that name.
fn file_name(recording: &Path, format: Format, taken: &HashSet<String>) -> String {
    let stem = recording
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::event::Seconds;

    #[test]
    fn segments_are_joined_as_the_language_wants() {
        for (segments, expected) in [
            ([" Good morning.", " It rains. "], "Good morning. It rains."),
            (["おはよう。", "雨です。"], "おはよう。雨です。"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("talk.jsonl");
            let target = Target::Files(vec![path.clone()]);
            let mut report = Report::new(Format::Jsonl, target, Files::One);
            report.begin(0, "talk.wav").unwrap();
            for text in segments {
                let line = Line {
                    t0: Seconds(0.0),
                    t1: Seconds(1.0),
                    text: text.to_owned(),
                    words: None,
                };
                report.segment(line).unwrap();
            }
            assert!(!path.exists());
            report.end(Transcript::default()).unwrap();
            let written = std::fs::read_to_string(path).unwrap();
            let object: serde_json::Value = serde_json::from_str(&written).unwrap();
            assert_eq!(object["text"], expected);
            assert_eq!(object["segments"][1]["text"], segments[1].trim());
        }
    }

    #[test]
    fn no_recording_overwrites_the_text_of_another() {
        let recordings = ["a/talk.mp3", "b/talk.wav", "-"].map(PathBuf::from);
        let target = Target::folder(Path::new("out"), &recordings, Format::Srt);
        let Target::Files(paths) = target else {
            panic!("no files");
        };
        let expected = ["out/talk.srt", "out/talk.2.srt", "out/stdin.srt"];
        assert_eq!(paths, expected.map(PathBuf::from));
    }
}
