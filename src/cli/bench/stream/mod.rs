//! `hark bench stream`: live captions of recordings, measured as a reader sees them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args as ClapArgs;
use serde_json::{Map, Value, json};

use super::live::{Heard, Pace, Player};
use super::report::Report;
use crate::audio;
use crate::cli::manifest::Manifest;
use crate::cli::progress;
use crate::cli::setup::Setup;
use crate::cli::{Failure, Globals};
use crate::daemon::Stop;
use crate::dsp::SAMPLE_RATE_HZ;
use crate::event::{Word, round_to};
use crate::pipeline::Settings;
use crate::text::WordErrors;
use crate::whisper::{Model, Options, Transcriber, WordTimes};

mod measure;

use measure::Reader;

const EXAMPLES: &str = "\
Examples:
  hark bench stream talk.flac --pace real
  hark bench stream --manifest clips/manifest.tsv clips/dictation/*.flac --model base --json";

/// Live captions of recordings: how soon words come, and what they cost
///
/// Each recording is also transcribed as a whole: that text and its word times are what the
/// captions are compared with. With --pace max the clock is that of the audio plus the time that
/// the work really takes, so that delays are those of a machine that does nothing else; with
/// --pace real the recordings are played through the threads of `hark caption`.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Recordings
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How fast they are played
    #[arg(long, value_enum, default_value = "max")]
    pace: Pace,
    /// Table with columns `file` (relative to it) and `reference`, separated by tabs: what is said
    /// in the recordings
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Language spoken: a code or name, several with commas of which one is detected, or auto
    /// [default: of the configuration]
    #[arg(long, value_name = "LANGUAGE")]
    language: Option<String>,
}

/// What was measured, over all recordings.
#[derive(Default)]
struct Sums {
    first_partial_s: Vec<f64>,
    commit_latency_s: Vec<f64>,
    final_ms: Vec<f64>,
    short_final_ms: Vec<f64>,
    erased: usize,
    shown: usize,
    retracted: usize,
    cpu_s: f64,
    speech_s: f64,
    audio_s: f64,
    utterances: usize,
    streaming: WordErrors,
    offline: WordErrors,
    /// Streaming against offline.
    apart: WordErrors,
    files: Vec<(String, Map<String, Value>)>,
    with_text: usize,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args, globals: &Globals) -> Result<(), Failure> {
    let setup = Setup::load(globals)?;
    let settings = setup.caption_settings(args.language.as_deref());
    let references = args.manifest.as_deref().map(Manifest::read);
    let references = references.transpose()?;
    let model = setup.model()?;
    let options = Options {
        words: WordTimes::On,
        ..settings.options.clone()
    };
    let mut whole = Transcriber::new(model.clone(), options)?;
    let (stop, _handle) = Stop::new();
    let player = Player {
        pace: args.pace,
        settings: &settings,
        model: &model,
        stop: &stop,
    };
    let mut sums = Sums::default();
    let bar = progress::count(args.files.len(), model.name());
    for file in &args.files {
        let samples = audio::decode_file(file)?;
        let reference = references.as_ref().and_then(|known| known.reference(file));
        let heard = player.play(&samples)?;
        let words = offline(&mut whole, &samples);
        sums.add(file, &samples, heard, &words, reference);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mut report = Report::default();
    report.put("bench", "stream");
    describe(args, &settings, &model, &mut report);
    sums.report(&mut report);
    report.print(globals)
}

fn offline(whole: &mut Transcriber, samples: &[f32]) -> Vec<Word> {
    let segments = whole.utterance(samples);
    segments
        .into_iter()
        .flat_map(|segment| segment.words)
        .collect()
}

/// Under which conditions it was measured.
fn describe(args: &Args, settings: &Settings, model: &Arc<Model>, report: &mut Report) {
    report.conditions(model, &settings.options.decoding());
    report.put("pace", args.pace.name());
    report.put("step_ms", json!(settings.step_ms));
    report.put("runs", json!(1));
}

impl Sums {
    fn add(
        &mut self,
        file: &Path,
        samples: &[f32],
        heard: Heard,
        offline: &[Word],
        reference: Option<&str>,
    ) {
        let reader = Reader::of(&heard.events);
        let text = |words: &[Word]| -> String { words.iter().map(|w| w.text.as_str()).collect() };
        let (streaming, whole) = (reader.text.clone(), text(offline));
        self.first_partial_s.extend(&reader.first_partial_s);
        self.commit_latency_s
            .extend(reader.commit_latencies(offline));
        for (ms, speech_s) in reader.final_delays(&heard.ends) {
            self.final_ms.push(ms);
            if speech_s <= 6.0 {
                self.short_final_ms.push(ms);
            }
        }
        self.erased += reader.erased;
        self.shown += reader.shown;
        self.retracted += reader.retracted;
        self.cpu_s += heard.cpu_s;
        self.speech_s += reader.speech_s;
        self.audio_s += samples.len() as f64 / f64::from(SAMPLE_RATE_HZ);
        self.utterances += reader.utterances;
        self.apart += WordErrors::between(&whole, &streaming);
        let mut object = Map::new();
        if let Some(reference) = reference {
            let (a, b) = (
                WordErrors::between(reference, &streaming),
                WordErrors::between(reference, &whole),
            );
            self.streaming += a;
            self.offline += b;
            object.insert("errors_streaming".to_owned(), json!(a.total()));
            object.insert("errors_offline".to_owned(), json!(b.total()));
        }
        self.with_text += usize::from(!streaming.trim().is_empty());
        let name = file.display().to_string();
        let line = format!("{name}: {}", streaming.trim());
        object.insert("file".to_owned(), json!(name));
        object.insert("utterances".to_owned(), json!(reader.utterances));
        object.insert("text".to_owned(), json!(streaming.trim()));
        object.insert("offline".to_owned(), json!(whole.trim()));
        self.files.push((line, object));
    }

    fn report(mut self, report: &mut Report) {
        let n_files = self.files.len();
        report.put("files", json!(n_files));
        report.put("audio_s", json!(round_to(self.audio_s, 1000.0)));
        report.put("speech_s", json!(round_to(self.speech_s, 1000.0)));
        report.put("utterances", json!(self.utterances));
        report.put("files_with_text", json!(self.with_text));
        report.spread("first_partial_s", &mut self.first_partial_s);
        report.spread("commit_latency_s", &mut self.commit_latency_s);
        report.spread("final_ms", &mut self.final_ms);
        report.spread("final_short_ms", &mut self.short_final_ms);
        let churn = self.erased as f64 / self.shown.max(1) as f64;
        report.put("churn", json!(round_to(churn, 1000.0)));
        report.put("retracted", json!(self.retracted));
        let per_second = |seconds: f64| (seconds > 0.0).then(|| self.cpu_s / seconds);
        let (cpu, cpu_audio) = (per_second(self.speech_s), per_second(self.audio_s));
        report.put("cpu_s_per_speech_s", fraction(cpu));
        report.put("cpu_s_per_audio_s", fraction(cpu_audio));
        let known = self.streaming.n_reference > 0;
        let (streaming, offline) = match known {
            true => (self.streaming.rate(), self.offline.rate()),
            false => (self.apart.rate(), 0.0),
        };
        report.put("reference", if known { "manifest" } else { "offline" });
        report.put("wer_streaming", fraction(Some(streaming)));
        report.put("wer_offline", fraction(Some(offline)));
        report.put("wer_apart", fraction(Some(self.apart.rate())));
        report.put("words", json!(self.streaming.n_reference));
        report.table("recordings", self.files);
    }
}

fn fraction(value: Option<f64>) -> Value {
    value.map_or(Value::Null, |value| json!(round_to(value, 10_000.0)))
}
