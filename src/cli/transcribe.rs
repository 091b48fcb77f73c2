//! `hark transcribe`: recordings to text.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args as ClapArgs;
use indicatif::{ProgressBar, ProgressStyle};

use super::interruptible::Interruptible;
use super::output::Out;
use super::output::json::{Line, Transcript};
use super::output::report::{Files, Format, Report, Shown, Target};
use super::setup::{self, Setup};
use super::signals::{self, OnSignal};
use super::{Failure, Globals, transcribe_live};
use crate::audio::{AudioSource, Heard, SourceSpec};
use crate::daemon::Stop;
use crate::dsp::SAMPLE_RATE_HZ;
use crate::error::Kind;
use crate::event::Seconds;
use crate::whisper::{MAX_BEAM, Model, Options, Segment, Task, Transcriber, WordTimes};

const EXAMPLES: &str = "\
Examples:
  hark transcribe meeting.m4a
  hark transcribe --format srt --output talk.srt talk.mp3
  hark transcribe --format jsonl --words *.flac > talks.jsonl
  hark transcribe --model base --language de --translate rede.ogg
  hark transcribe --beam 5 lecture.wav
  hark transcribe --live --format jsonl talk.mp3
  arecord -f S16_LE -r 16000 -c 1 -t raw -d 5 | hark transcribe - --raw s16le,16000,1";

/// Write down what is said in recordings
///
/// Reads WAV, FLAC, MP3, OGG/Vorbis and M4A/AAC of any rate and channel count; `-` is a WAV stream
/// on standard input, or raw samples with --raw. Text is printed as it comes. A file that cannot be
/// read is reported, and the others go on.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Recordings, or - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// Form of the output [default: txt, or json with --json]
    #[arg(long, value_enum)]
    pub(super) format: Option<Format>,
    /// Language spoken: a code or name, several with commas of which one is detected, or auto
    /// [default: of the configuration]
    #[arg(long, value_name = "LANGUAGE")]
    pub(super) language: Option<String>,
    /// Write it down in English
    #[arg(long)]
    pub(super) translate: bool,
    /// Texts followed side by side, of which the likeliest is taken, 1 to 8; 1 is greedy and the
    /// fastest [default: of the configuration]
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=MAX_BEAM as i64))]
    pub(super) beam: Option<u8>,
    /// Give every word its time (in json and jsonl)
    #[arg(long)]
    words: bool,
    /// As live captions are: each word once it is settled, as events (needs --format jsonl)
    #[arg(long, conflicts_with_all = ["output", "words"])]
    live: bool,
    /// File to write instead of standard output; a folder when there are several recordings. It
    /// is called PATH.part until it is complete
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// What standard input is when it is no WAV, for example s16le,16000,1
    #[arg(long, value_name = "FORMAT,RATE,CHANNELS")]
    raw: Option<String>,
}

/// Runs the subcommand.
pub(crate) fn run(args: Args, globals: &Globals) -> Result<(), Failure> {
    let sources = sources(&args)?;
    if args.live {
        return transcribe_live::run(&args, &sources, globals);
    }
    let report = report(&args, globals)?;
    let signals = OnSignal::watch(signals::INTERRUPTED)?;
    let setup = Setup::load(globals)?;
    let mut options = setup.options(args.language.as_deref());
    if args.translate {
        options.task = Task::Translate;
    }
    if let Some(beam) = args.beam {
        options.beam = usize::from(beam);
    }
    if args.words {
        options.words = WordTimes::On;
    }
    let model = setup.model()?;
    let stop = signals.begin().clone();
    let mut job = Job {
        model,
        options,
        stop,
        report,
    };
    let outcome = job.files(&sources);
    // What was done is delivered, however it ended.
    job.report.finish()?;
    outcome
}

fn sources(args: &Args) -> Result<Vec<(String, SourceSpec)>, Failure> {
    let n_stdin = args
        .files
        .iter()
        .filter(|file| setup::is_stdin(file))
        .count();
    if n_stdin > 1 {
        return Err(Failure::new(
            Kind::Usage,
            "standard input can be read once only: give one -",
        ));
    }
    if n_stdin == 0 && args.raw.is_some() {
        let message = "--raw describes standard input, which is not read: give - as the file";
        return Err(Failure::new(Kind::Usage, message));
    }
    let spec = |file: &PathBuf| -> Result<_, Failure> {
        Ok((
            file.display().to_string(),
            setup::file_or_stdin(file, args.raw.as_deref())?,
        ))
    };
    args.files.iter().map(spec).collect()
}

fn report(args: &Args, globals: &Globals) -> Result<Report, Failure> {
    let format = args.format.unwrap_or(if globals.json {
        Format::Json
    } else {
        Format::Txt
    });
    let several = args.files.len() > 1;
    let target = match &args.output {
        None if several && format.is_one_each() => {
            let message =
                "subtitles and tables of several files need a folder: give --output FOLDER";
            return Err(Failure::new(Kind::Usage, message));
        }
        None => Target::Stdout(Out::stdout()),
        Some(path) if path.is_dir() || several => {
            make_folder(path)?;
            Target::folder(path, &args.files, format)
        }
        Some(path) => Target::Files(vec![path.clone()]),
    };
    target.spare(&args.files)?;
    Ok(Report::new(
        format,
        target,
        if several { Files::Several } else { Files::One },
    ))
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path).map_err(|error| {
        let message = format!("cannot make the folder {}: {error}", path.display());
        Failure::new(Kind::Usage, message)
    })
}

/// Calls `work` with the number, name and place of every source, until something else than a source
/// fails or the work is interrupted. A source that cannot be read is reported, and the others go on.
pub(super) fn one_by_one(
    sources: &[(String, SourceSpec)],
    stop: &Stop,
    mut work: impl FnMut(usize, &str, &SourceSpec) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut outcome = Ok(());
    for (index, (name, spec)) in sources.iter().enumerate() {
        match work(index, name, spec) {
            Ok(()) => {}
            // A failure that is not the file's own would come again with the next.
            Err(failure) if sources.len() == 1 || failure.kind() != Some(Kind::Input) => {
                return Err(failure);
            }
            Err(failure) => {
                failure.print();
                outcome = Err(Failure::reported(Kind::Input));
            }
        }
        if stop.is_requested() {
            return Err(Failure::interrupted());
        }
    }
    outcome
}

/// Work on one file after the other.
struct Job {
    model: Arc<Model>,
    options: Options,
    stop: Stop,
    report: Report,
}

impl Job {
    fn files(&mut self, sources: &[(String, SourceSpec)]) -> Result<(), Failure> {
        let stop = self.stop.clone();
        one_by_one(sources, &stop, |index, name, spec| {
            self.file(index, name, spec)
        })
    }

    fn file(&mut self, index: usize, name: &str, spec: &SourceSpec) -> Result<(), Failure> {
        let mut source = Interruptible::open(spec, &self.stop)?;
        let mut transcriber = Transcriber::new(self.model.clone(), self.options.clone())?;
        transcriber.set_abort(self.stop.deadline());
        let progress = progress(source.duration_s(), self.report.begin(index, name)?);
        let heard = self.listen(&mut source, &mut transcriber, &progress);
        progress.finish_and_clear();
        let (n_samples, outcome) = match heard {
            Ok(n_samples) => (n_samples, Ok(())),
            Err((n_samples, failure)) => (n_samples, Err(failure)),
        };
        let error = match &outcome {
            Err(failure) => Some(failure.to_string()),
            Ok(()) if self.stop.is_requested() => Some("interrupted".to_owned()),
            Ok(()) => None,
        };
        self.report.end(Transcript {
            file: name.to_owned(),
            duration_s: Seconds::of_sample(n_samples),
            language: transcriber.language().map(str::to_owned),
            text: String::new(),
            segments: Vec::new(),
            model: self.model.name().to_owned(),
            decoding: self.options.decoding(),
            compute: self.model.compute().name(),
            error,
        })?;
        outcome
    }

    /// The whole source, segment by segment; the number of samples heard.
    fn listen(
        &mut self,
        source: &mut dyn AudioSource,
        transcriber: &mut Transcriber,
        progress: &ProgressBar,
    ) -> Result<u64, (u64, Failure)> {
        let mut samples = Vec::new();
        let mut n_heard = 0;
        let (words, report) = (self.options.words, &mut self.report);
        let mut written = Ok(());
        let mut sink = |segment: Segment| {
            if written.is_ok() {
                written = report.segment(line_of(segment, words));
            }
        };
        let mut read = Ok(());
        while !self.stop.is_requested() {
            samples.clear();
            match source.read(&mut samples) {
                Ok(Heard::End) => break,
                Ok(_) => {}
                Err(error) => {
                    // What came before the damage is still transcribed.
                    read = Err(Failure::from(error));
                    break;
                }
            }
            n_heard += samples.len() as u64;
            transcriber.push(&samples, &mut sink);
            progress.set_position(n_heard / u64::from(SAMPLE_RATE_HZ / 10));
        }
        transcriber.finish(&mut sink);
        match read.and(written) {
            Ok(()) => Ok(n_heard),
            Err(failure) => Err((n_heard, failure)),
        }
    }
}

fn line_of(segment: Segment, words: WordTimes) -> Line {
    Line {
        t0: Seconds(segment.t0),
        t1: Seconds(segment.t1),
        text: segment.text,
        words: (words == WordTimes::On).then_some(segment.words),
    }
}

/// A bar on stderr while nothing appears on a terminal otherwise; its unit is 0.1 s of audio.
fn progress(duration_s: Option<f64>, shown: Shown) -> ProgressBar {
    let is_seen = io::stderr().is_terminal() && shown == Shown::Nothing;
    let (true, Some(duration_s)) = (is_seen, duration_s) else {
        return ProgressBar::hidden();
    };
    let style = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {percent} % {eta} left");
    ProgressBar::new((duration_s * 10.0) as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
