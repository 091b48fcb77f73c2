//! `hark bench answer`: how fast a language model reads and writes, and how well it knows a text.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args as ClapArgs;

use super::machine;
use super::report::{Figures, Report};
use crate::cli::language::{DEFAULT_MODEL, Language};
use crate::cli::{Failure, Globals};
use crate::error::Kind;

const EXAMPLES: &str = "\
Examples:
  hark bench answer
  hark bench answer --prompt 512 --generate 64 --runs 5 --threads 2 --json
  hark bench answer --perplexity book.txt";

/// What is read, over and over.
const SENTENCE: &str = "The quick brown fox jumps over the lazy dog. ";

/// Tokens of a window of a text whose perplexity is measured.
const WINDOW: usize = 512;

/// A language model: reading, writing, perplexity
///
/// prompt_tokens_per_s is for reading --prompt tokens at once, generate_tokens_per_s for --generate tokens
/// one after the other behind them.
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Model: a name (`hark models list`) or a GGUF file
    #[arg(long, value_name = "NAME|FILE", default_value = DEFAULT_MODEL)]
    answer_model: String,
    /// Tokens read
    #[arg(long, value_name = "N", default_value = "512")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    prompt: u32,
    /// Tokens written
    #[arg(long, value_name = "N", default_value = "64")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    generate: u32,
    /// How often; each figure is the median, with the least and the greatest
    #[arg(long, value_name = "N", default_value = "5")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    runs: u16,
    /// Measure instead how well the model knows this text: e to the mean of what each word surprises it by,
    /// in windows of 512 tokens, of which the second halves count
    #[arg(long, value_name = "FILE")]
    perplexity: Option<PathBuf>,
}

/// Runs the subcommand.
pub(super) fn run(args: &Args, globals: &Globals) -> Result<(), Failure> {
    let (n_prompt, n_generate) = (args.prompt as usize, args.generate as usize);
    let n_ctx = (n_prompt + n_generate).max(WINDOW);
    let language = Language::load(&args.answer_model, n_ctx, globals)?;
    let mut report = Report::default();
    report.put("bench", "answer");
    report.put("machine", machine::name());
    report.put("threads", language.exec.n_threads());
    report.put("simd", language.exec.cpu().name());
    report.put("model", args.answer_model.as_str());
    report.put("weights_mb", (language.model.bytes() as f64 / 1e6).round());
    match &args.perplexity {
        Some(file) => perplexity(&language, file, &mut report)?,
        None => speed(&language, (n_prompt, n_generate), args.runs, &mut report),
    }
    report.put("peak_rss_mb", machine::peak_rss_mb().map(f64::round));
    report.print(globals)
}

fn speed(
    language: &Language,
    (n_prompt, n_generate): (usize, usize),
    n_runs: u16,
    report: &mut Report,
) {
    let Language {
        model,
        tokenizer,
        exec,
        ..
    } = language;
    let n_words = n_prompt.div_ceil(8);
    let mut tokens = tokenizer.encode(&SENTENCE.repeat(n_words), false);
    tokens.truncate(n_prompt);
    tokens.resize(n_prompt, 0);
    let n_vocab = model.dims().n_vocab;
    let mut state = model.new_state(n_prompt + n_generate);
    let (mut prompt, mut generate) = (Vec::new(), Vec::new());
    // Once more than is counted, for caches.
    for _ in 0..=n_runs {
        state.truncate(0);
        let begun = Instant::now();
        model.forward(exec, &tokens, &mut state);
        prompt.push(n_prompt as f64 / begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        for i in 0..n_generate {
            model.forward(
                exec,
                &[(1_000 + 37 * i) as u32 % n_vocab as u32],
                &mut state,
            );
        }
        generate.push(n_generate as f64 / begun.elapsed().as_secs_f64());
    }
    report.put("prompt", n_prompt);
    report.put("generate", n_generate);
    report.put("runs", n_runs);
    report.measured("prompt_tokens_per_s", Figures::of(prompt.split_off(1)));
    report.measured("generate_tokens_per_s", Figures::of(generate.split_off(1)));
}

fn perplexity(language: &Language, file: &PathBuf, report: &mut Report) -> Result<(), Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::new(
            Kind::Input,
            format!("cannot read {}: {error}", file.display()),
        )
    })?;
    let tokens = language.tokenizer.encode(&text, false);
    let mut state = language.model.new_state(WINDOW);
    let (mut surprise, mut n) = (0.0, 0_usize);
    for window in tokens.chunks_exact(WINDOW) {
        state.truncate(0);
        let (first, second) = window.split_at(WINDOW / 2);
        language.model.forward(&language.exec, first, &mut state);
        for pair in [&first[first.len() - 1..], second]
            .concat()
            .windows(2)
            .skip(1)
        {
            let logits = language
                .model
                .forward(&language.exec, &pair[..1], &mut state);
            surprise += surprise_of(logits, pair[1]);
            n += 1;
        }
    }
    if n == 0 {
        let message = format!("{} has fewer than {WINDOW} tokens", file.display());
        return Err(Failure::new(Kind::Input, message).hint("give a longer text"));
    }
    report.put("file", file.display().to_string());
    report.put("tokens", n);
    report.put(
        "perplexity",
        ((surprise / n as f64).exp() * 1e4).round() / 1e4,
    );
    Ok(())
}

/// -log p of a token.
fn surprise_of(logits: &[f32], token: u32) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|x| f64::from(x - largest).exp()).sum();
    sum.ln() - f64::from(logits[token as usize] - largest)
}
