//! `hark bench`: how fast this machine is.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::output::Out;
use super::setup::Setup;
use super::{Failure, Globals};
use crate::audio;
use crate::dsp::SAMPLE_RATE_HZ;
use crate::error::Kind;
use crate::event::round_to;
use crate::whisper::{Options, Transcriber, Window};

const EXAMPLES: &str = "\
Examples:
  hark bench whisper
  hark bench whisper speech.flac --model base --runs 5 --json";

/// The recording of a checkout.
const DEMO: &str = "examples/demo/demo.flac";

/// How fast this machine is
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Transcription of a recording, stage by stage
    #[command(after_help = EXAMPLES)]
    Whisper(WhisperArgs),
}

#[derive(Debug, ClapArgs)]
struct WhisperArgs {
    /// Recording [default: examples/demo/demo.flac]
    file: Option<PathBuf>,
    /// How often it is transcribed; each figure is the median, with the least and the greatest
    #[arg(long, value_name = "N", default_value = "3")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    runs: u16,
    /// How much of 30 s is computed
    #[arg(long, value_enum, default_value_t = Width::Short)]
    window: Width,
}

/// How much of a window is computed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Width {
    /// The speech and a second behind it
    Short,
    /// All of it
    Full,
}

/// Runs the subcommand.
pub(crate) fn run(args: Args, globals: &Globals) -> Result<(), Failure> {
    match args.what {
        What::Whisper(args) => whisper(&args, globals),
    }
}

/// What one run took.
struct Run {
    mel_ms: f64,
    encode_ms: f64,
    decode_ms_per_token: f64,
    total_ms: f64,
}

fn whisper(args: &WhisperArgs, globals: &Globals) -> Result<(), Failure> {
    let file = args.file.clone().unwrap_or_else(|| PathBuf::from(DEMO));
    if args.file.is_none() && !file.exists() {
        let message = format!("{DEMO} is not here: name a recording");
        return Err(Failure::new(Kind::Usage, message));
    }
    let samples = audio::decode_file(&file)?;
    let setup = Setup::load(globals)?;
    let begin = Instant::now();
    let model = setup.model()?;
    let load_ms = ms(begin);
    let (window, width) = match args.window {
        Width::Short => (Window::Short, "short"),
        Width::Full => (Window::Full, "full"),
    };
    let options = Options {
        window,
        ..setup.options(None)
    };
    let mut transcriber = Transcriber::new(model.clone(), options)?;
    let mut n_tokens = 0;
    let mut runs = Vec::new();
    // The first run fills caches and is not counted.
    for index in 0..=args.runs {
        let before = transcriber.stats();
        let begin = Instant::now();
        transcriber.utterance(&samples);
        let total_ms = ms(begin);
        let after = transcriber.stats();
        n_tokens = after.tokens - before.tokens;
        if index > 0 {
            runs.push(Run {
                mel_ms: after.mel_ms - before.mel_ms,
                encode_ms: after.encode_ms - before.encode_ms,
                decode_ms_per_token: (after.decode_ms - before.decode_ms) / n_tokens.max(1) as f64,
                total_ms,
            });
        }
    }
    let audio_s = samples.len() as f64 / f64::from(SAMPLE_RATE_HZ);
    let mut report: Vec<(String, Value)> = Vec::new();
    let mut put = |key: &str, value: Value| report.push((key.to_owned(), value));
    put("bench", json!("whisper"));
    put("machine", json!(machine()));
    put("threads", json!(setup.n_threads()));
    put("simd", json!(model.exec().cpu().name()));
    put("model", json!(model.name()));
    put("compute", json!(model.compute().name()));
    put("decoding", json!("greedy"));
    put("window", json!(width));
    put("runs", json!(args.runs));
    put("audio_s", json!(round_to(audio_s, 1000.0)));
    put("tokens", json!(n_tokens));
    put("load_ms", json!(round_to(load_ms, 10.0)));
    let total = figures(&runs, |run| run.total_ms);
    for (name, values) in [
        ("mel_ms", figures(&runs, |run| run.mel_ms)),
        ("encode_ms", figures(&runs, |run| run.encode_ms)),
        (
            "decode_ms_per_token",
            figures(&runs, |run| run.decode_ms_per_token),
        ),
        ("total_ms", total),
        ("rtf", total.map(|ms| ms / 1000.0 / audio_s.max(1e-9))),
    ] {
        for (ending, value) in ["", "_min", "_max"].into_iter().zip(values) {
            put(&format!("{name}{ending}"), json!(round_to(value, 10_000.0)));
        }
    }
    put(
        "peak_rss_mb",
        peak_rss_mb().map_or(Value::Null, |mb| json!(round_to(mb, 10.0))),
    );
    print(&report, &file, globals)
}

fn print(report: &[(String, Value)], file: &Path, globals: &Globals) -> Result<(), Failure> {
    let mut out = Out::stdout();
    if !globals.json {
        out.line(&file.display().to_string())?;
        for (key, value) in report {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            out.line(&format!("{key:<24} {value}"))?;
        }
    }
    out.line(&Value::Object(report.iter().cloned().collect()).to_string())
}

/// Median, least and greatest.
fn figures(runs: &[Run], of: impl Fn(&Run) -> f64) -> [f64; 3] {
    let mut values: Vec<f64> = runs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    match values.as_slice() {
        [] => [0.0; 3],
        [first, .., last] => [values[values.len() / 2], *first, *last],
        [only] => [*only; 3],
    }
}

fn ms(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1000.0
}

/// Name of the processor, as far as the system tells.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = (info.lines())
        .find(|line| line.starts_with("model name") || line.starts_with("Model"))
        .and_then(|line| line.split_once(':'))
        .map(|(_, name)| name.trim().to_owned());
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    name.map_or_else(
        || format!("{os} {arch}"),
        |name| format!("{name}, {os} {arch}"),
    )
}

/// Most memory that the process has held, where the system tells.
fn peak_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes / 1024.0)
}
