//! The output formats, each a file, and the place results go to.
//!
//! In: segments, cues and events. Out: bytes to stdout or a file, flushed where a reader may wait
//! for them. Knows nothing of models or audio.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use super::Failure;

pub(crate) mod captions;
pub(crate) mod json;
pub(crate) mod lrc;
pub(crate) mod report;
pub(crate) mod screen;
pub(crate) mod srt;
pub(crate) mod table;
pub(crate) mod terminal;
pub(crate) mod txt;
pub(crate) mod vtt;

/// Where results go.
pub(crate) struct Out {
    writer: Box<dyn Write + Send>,
    name: String,
    /// Where the file belongs when it is complete, and what it is called until then.
    unfinished: Option<Unfinished>,
}

struct Unfinished {
    part: PathBuf,
    path: PathBuf,
}

impl Out {
    /// To stdout.
    pub(crate) fn stdout() -> Self {
        Out {
            writer: Box::new(BufWriter::new(io::stdout())),
            name: "stdout".to_owned(),
            unfinished: None,
        }
    }

    /// To a new file, which [`Out::deliver`] puts in the place of an old one of that name. What is
    /// no file (`/dev/null`, a named pipe) is written to as it is.
    pub(crate) fn file(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        // A link stays, and what it points to is replaced.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let is_special = path.metadata().is_ok_and(|found| !found.is_file());
        let unfinished = (!is_special).then(|| Unfinished {
            part: part_of(&path),
            path: path.clone(),
        });
        let created = match &unfinished {
            Some(unfinished) => File::create(&unfinished.part),
            None => File::options().write(true).open(&path),
        };
        let file = created.map_err(|error| Failure::output(&name, &error))?;
        Ok(Out {
            writer: Box::new(BufWriter::new(file)),
            name,
            unfinished,
        })
    }

    /// Nothing more comes: hands everything to the reader, and gives a file its name.
    pub(crate) fn deliver(mut self) -> Result<(), Failure> {
        self.flush()?;
        let Some(Unfinished { part, path }) = self.unfinished else {
            return Ok(());
        };
        std::fs::rename(part, path).map_err(|error| Failure::output(&self.name, &error))
    }

    /// Writes text as it is.
    pub(crate) fn write(&mut self, text: &str) -> Result<(), Failure> {
        let written = self.writer.write_all(text.as_bytes());
        written.map_err(|error| Failure::output(&self.name, &error))
    }

    /// Hands everything written so far to the reader.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        let flushed = self.writer.flush();
        flushed.map_err(|error| Failure::output(&self.name, &error))
    }

    /// Writes a line and hands it over at once.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.write(text)?;
        self.write("\n")?;
        self.flush()
    }
}

/// What a file is called while it is being written: `talk.srt` is `talk.srt.part`.
pub(crate) fn part_of(path: &Path) -> PathBuf {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    part.into()
}

/// `text` without control characters, except for the ends of lines and tabs.
pub(crate) fn printable(text: &str) -> String {
    let is_kept = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars().filter(is_kept).collect()
}

/// Whether colours and cursor movements may be used on stdout.
pub(crate) fn stdout_is_screen() -> bool {
    io::stdout().is_terminal() && !is_dumb()
}

/// Whether log lines on stderr are coloured.
pub(crate) fn stderr_is_coloured() -> bool {
    io::stderr().is_terminal() && !is_dumb() && !no_color()
}

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Whether the user asked for no colours (<https://no-color.org>).
pub(crate) fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// A stretch of text with its time, as subtitles show it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cue {
    /// Start in seconds.
    pub(crate) t0: f64,
    /// End in seconds.
    pub(crate) t1: f64,
    /// The text; one line.
    pub(crate) text: String,
}

/// `text` with a single blank for each stretch of blanks, tabs and line ends, and none around it.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `seconds` as hours, minutes, seconds and milliseconds with `point` before the last.
fn clock(seconds: f64, point: char) -> String {
    let ms = (seconds.max(0.0) * 1000.0).round() as u64;
    let (h, m, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{h:02}:{m:02}:{s:02}{point}{:03}", ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_to_the_millisecond() {
        assert_eq!(clock(0.0, ','), "00:00:00,000");
        assert_eq!(clock(59.9996, '.'), "00:01:00.000");
        assert_eq!(clock(3_725.042_5, ','), "01:02:05,043");
        assert_eq!(clock(-1.0, ','), "00:00:00,000");
        assert_eq!(clock(360_000.5, '.'), "100:00:00.500");
    }
}
