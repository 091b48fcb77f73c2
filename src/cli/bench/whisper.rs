//! `hark bench whisper`: the transcription of a recording, stage by stage.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::{Args as ClapArgs, ValueEnum};
use serde_json::{Value, json};

use super::machine;
use super::report::{Figures, Report, ms_since};
use crate::audio;
use crate::cli::setup::Setup;
use crate::cli::{Failure, Globals};
use crate::dsp::SAMPLE_RATE_HZ;
use crate::error::Kind;
use crate::event::round_to;
use crate::kernels::tile_names;
use crate::whisper::{Model, Options, Stats, Transcriber, Window};

const EXAMPLES: &str = "\
Examples:
  hark bench whisper
  hark bench whisper speech.flac --model base --runs 5 --json
  hark bench whisper --window full --compute f32 --threads 1";

/// The recording of a checkout.
const DEMO: &str = "examples/demo/demo.flac";

/// A model is loaded at most so often.
const MAX_LOADS: u16 = 3;

/// Transcription of a recording, stage by stage
///
/// encode_total_ms is the encoder's time for the whole recording. encode_ms is the same, or, with
/// --window full, the time of one bare window of 30 s.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Recording [default: examples/demo/demo.flac]
    file: Option<PathBuf>,
    /// The same
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    audio: Option<PathBuf>,
    /// How often it is transcribed; each figure is the median, with the least and the greatest
    #[arg(long, value_name = "N", default_value = "3")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    runs: u16,
    /// How much of 30 s is computed
    #[arg(long, value_enum, default_value_t = Width::Short)]
    window: Width,
}

/// How much of a window is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Width {
    /// The speech and a second behind it
    Short,
    /// All of it
    Full,
}

impl Width {
    fn name(self) -> &'static str {
        match self {
            Width::Short => "short",
            Width::Full => "full",
        }
    }

    fn window(self) -> Window {
        match self {
            Width::Short => Window::Short,
            Width::Full => Window::Full,
        }
    }
}

/// What one run took.
struct Run {
    total_ms: f64,
    stages: Stats,
}

/// Everything measured.
struct Measured {
    model: Arc<Model>,
    audio_s: f64,
    decoding: String,
    load_ms: Vec<f64>,
    /// Of a bare window of 30 s; empty unless whole windows are computed.
    window_ms: Vec<f64>,
    runs: Vec<Run>,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args, globals: &Globals) -> Result<(), Failure> {
    let file = recording(args)?;
    let samples = audio::decode_file(&file)?;
    let setup = Setup::load(globals)?;
    let (model, load_ms) = load(&setup, args.runs.min(MAX_LOADS))?;
    let options = Options {
        window: args.window.window(),
        ..setup.options(None)
    };
    let n_windows = match args.window {
        Width::Full => args.runs,
        Width::Short => 0,
    };
    let measured = Measured {
        audio_s: samples.len() as f64 / f64::from(SAMPLE_RATE_HZ),
        decoding: options.decoding(),
        load_ms,
        window_ms: encode_windows(&model, n_windows),
        runs: transcribe(&model, options, &samples, args.runs)?,
        model,
    };
    let mut report = Report::default();
    report.put("bench", "whisper");
    report.put("file", file.display().to_string());
    describe(args, &measured, &mut report);
    stages(&measured, &mut report);
    report.print(globals)
}

fn recording(args: &Args) -> Result<PathBuf, Failure> {
    if let Some(named) = args.file.as_ref().or(args.audio.as_ref()) {
        return Ok(named.clone());
    }
    let demo = PathBuf::from(DEMO);
    if !demo.exists() {
        let message = format!("{DEMO} is not here: name a recording");
        return Err(Failure::new(Kind::Usage, message));
    }
    Ok(demo)
}

/// The model, loaded `n` times, never two at once: the memory is that of one.
fn load(setup: &Setup, n: u16) -> Result<(Arc<Model>, Vec<f64>), Failure> {
    let mut load_ms = Vec::new();
    for _ in 1..n {
        let begin = Instant::now();
        drop(setup.model()?);
        load_ms.push(ms_since(begin));
    }
    let begin = Instant::now();
    let model = setup.model()?;
    load_ms.push(ms_since(begin));
    Ok((model, load_ms))
}

/// Transcribes `samples` once to fill caches, and then `n` times.
fn transcribe(
    model: &Arc<Model>,
    options: Options,
    samples: &[f32],
    n: u16,
) -> Result<Vec<Run>, Failure> {
    let mut transcriber = Transcriber::new(model.clone(), options)?;
    transcriber.utterance(samples);
    let mut runs = Vec::new();
    for _ in 0..n {
        let before = transcriber.stats();
        let begin = Instant::now();
        transcriber.utterance(samples);
        runs.push(Run {
            total_ms: ms_since(begin),
            stages: difference(transcriber.stats(), before),
        });
    }
    Ok(runs)
}

fn difference(after: Stats, before: Stats) -> Stats {
    Stats {
        windows: after.windows - before.windows,
        tokens: after.tokens - before.tokens,
        mel_ms: after.mel_ms - before.mel_ms,
        encode_ms: after.encode_ms - before.encode_ms,
        decode_ms: after.decode_ms - before.decode_ms,
    }
}

/// Encodes a bare window of 30 s `n` times, and once before that. What it holds does not matter.
fn encode_windows(model: &Model, n: u16) -> Vec<f64> {
    if n == 0 {
        return Vec::new();
    }
    let (dims, exec) = (model.dims(), model.exec());
    let mut state = model.encoder().new_state();
    let n_values = 2 * dims.n_audio_ctx * dims.n_mels;
    let mel: Vec<f32> = (0..n_values).map(|i| (i as f32 * 0.37).sin()).collect();
    let mut encode = || {
        let begin = Instant::now();
        let encoder = model.encoder();
        // Nothing breaks it off.
        let _ = exec.run(|| {
            encoder.forward(exec, &mel, None, &mut state, &mut |_| {
                ControlFlow::Continue(())
            })
        });
        ms_since(begin)
    };
    encode();
    (0..n).map(|_| encode()).collect()
}

/// Under which conditions it was measured.
fn describe(args: &Args, measured: &Measured, report: &mut Report) {
    let model = &measured.model;
    report.conditions(model, measured.decoding.as_str());
    report.put("kernels", json!(tile_names(model.exec().cpu())));
    report.put("window", args.window.name());
    report.put("runs", json!(args.runs));
    report.put("audio_s", json!(round_to(measured.audio_s, 1000.0)));
}

/// What each stage took.
fn stages(measured: &Measured, report: &mut Report) {
    let figures = |of: &dyn Fn(&Run) -> f64| Figures::of(measured.runs.iter().map(of));
    let n_tokens = measured.runs.first().map_or(0, |run| run.stages.tokens);
    let encode_total = figures(&|run| run.stages.encode_ms);
    let encode = match measured.window_ms.as_slice() {
        [] => encode_total,
        window_ms => Figures::of(window_ms.iter().copied()),
    };
    let decode = |run: &Run| run.stages.decode_ms / run.stages.tokens.max(1) as f64;
    let total = figures(&|run| run.total_ms);
    report.put("tokens", json!(n_tokens));
    let loads = measured.load_ms.iter().copied();
    report.measured("load_ms", Figures::of(loads));
    report.measured("mel_ms", figures(&|run| run.stages.mel_ms));
    report.measured("encode_ms", encode);
    report.measured("encode_total_ms", encode_total);
    report.measured("decode_ms_per_token", figures(&decode));
    report.measured("total_ms", total);
    let audio_ms = 1000.0 * measured.audio_s.max(1e-6);
    report.measured("rtf", total.times(1.0 / audio_ms));
    let peak = machine::peak_rss_mb();
    report.put(
        "peak_rss_mb",
        peak.map_or(Value::Null, |mb| json!(round_to(mb, 10.0))),
    );
}
