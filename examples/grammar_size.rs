//! What large sets of commands cost: time to build, memory, time to understand a text.
//!
//! `cargo run --release --example grammar_size` prints one line for each grammar. Memory is what the
//! process has in addition once configuration and matcher are there (resident pages on Linux), and
//! what the compiled grammar holds by its own account.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use hark::command::{Match, Matcher};
use hark::config::Config;

/// Times each text is understood.
const RUNS: usize = 20;

fn main() {
    let grammars = [
        (
            "500 titles x 40 artists x 24 ways",
            music(500, 40),
            vec!["play {title} by {artist}", "please play {near} by {artist}"],
        ),
        (
            "one list of 100000 values",
            music(100_000, 1),
            vec!["play {title} by {artist}", "please play {near} by {artist}"],
        ),
    ];
    for (name, text, sentences) in grammars {
        measure(name, text, &sentences);
    }
}

/// Titles of two to four words of a few thousand, some beginning alike.
fn title(i: usize) -> String {
    const SYLLABLES: [&str; 20] = [
        "ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "qui", "ro", "su",
        "ta", "ve", "wi", "xo", "zu",
    ];
    let mut title = String::new();
    let mut rest = i * 7_919 + 13;
    for k in 0..2 + i % 3 {
        let separator = if k == 0 { "" } else { " " };
        let word: String = (0..3)
            .map(|_| {
                let syllable = SYLLABLES[rest % 20];
                rest = rest / 20 + i + k * 31;
                syllable
            })
            .collect();
        let _ = write!(title, "{separator}{word}");
    }
    // The number makes it unlike all others.
    let digits = i.to_string();
    let spoken: Vec<&str> = digits
        .bytes()
        .map(|b| SYLLABLES[usize::from(b - b'0')])
        .collect();
    format!("{title} {}", spoken.concat())
}

fn music(n_titles: usize, n_artists: usize) -> String {
    let list = |n: usize, offset: usize| {
        let titles = (0..n).map(|i| format!("{:?}", title(i + offset)));
        titles.collect::<Vec<_>>().join(",\n")
    };
    format!(
        "[[command]]\nname = \"play\"\nsentences = [\"[please] (play|start|put on) [the song|the track] \
         {{title}} by {{artist}} [now]\"]\n\
         [[command]]\nname = \"stop\"\nsentences = [\"stop [the] music\"]\n\
         [lists]\ntitle = [{}]\nartist = [{}]\n",
        list(n_titles, 0),
        list(n_artists, 500_000)
    )
}

fn measure(name: &str, text: String, sentences: &[&str]) {
    let n_bytes = text.len();
    let before = resident_kb();
    let began = Instant::now();
    let (config, mistakes) = match Config::parse(Path::new("config.toml"), text) {
        Ok(parsed) => parsed,
        Err(error) => return eprintln!("{error}"),
    };
    assert!(mistakes.is_empty(), "{:?}", mistakes.first());
    let matcher = Matcher::new(config.commands.grammar.clone(), config.commands.matching);
    let build = began.elapsed();
    let resident = resident_kb().saturating_sub(before);
    let grammar = matcher.grammar();
    println!("{name} ({n_bytes} bytes of configuration)");
    println!(
        "  build {} ms, {} nodes, {:.1} MB grammar, {:.1} MB resident",
        build.as_millis(),
        grammar.n_nodes(),
        grammar.n_bytes() as f64 / 1e6,
        resident as f64 / 1e3
    );
    for sentence in sentences {
        let said = sentence
            .replace("{title}", &title(321))
            .replace("{near}", &format!("{}s", title(321)))
            .replace("{artist}", &title(500_000));
        understand(&matcher, &said);
    }
    understand(
        &matcher,
        "what do you think we should have for dinner tonight",
    );
}

/// Understands a text many times and prints the median and the slowest.
fn understand(matcher: &Matcher, text: &str) {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let began = Instant::now();
            std::hint::black_box(matcher.match_text(text));
            began.elapsed()
        })
        .collect();
    times.sort();
    let found = match matcher.match_text(text) {
        Match::Accepted { name, slots, .. } => format!("{name} {slots:?}"),
        Match::Rejected { reason, .. } => reason.as_str().to_owned(),
    };
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "  {:.2} ms (slowest {:.2}): \"{text}\": {found}",
        ms(times[RUNS / 2]),
        ms(times[RUNS - 1])
    );
}

/// Memory of this process, in kilobytes; 0 where that is not known.
fn resident_kb() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    number.unwrap_or(0)
}
