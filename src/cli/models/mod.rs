//! `hark models`: which models there are, fetching, checking, looking into and converting them.

mod convert;
mod hearing;
mod info;
mod language;
mod quantize;

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};

pub(crate) use info::memory_bytes;

use super::progress;
use super::{Failure, Globals};
use crate::error::Kind;
use crate::format::{LlamaFile, Tensors, WhisperFile};
use crate::models::{self, DEFAULT_MODEL, Fetcher, Manifest, Model, ModelError, State};
use crate::quant::BlockType;

const EXAMPLES: &str = "\
Examples:
  hark models list
  hark models pull tiny.en
  hark models info tiny.en
  hark models convert tiny.en ggml-tiny.en.bin
  hark models quantize tiny.en ggml-tiny.en-q5_1.bin q5_1
  hark models quantize base small.bin q5_K --audio talks/ --references talks.tsv

Models live in $HARK_MODELS, else in models/ of a checkout, else in the user's data folder.";

/// Models: list, fetch, verify, look into, convert
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// The models there are, and which of them are on this machine
    List,
    /// Fetch models and verify them; goes on where an earlier attempt ended
    Pull {
        /// Names from the list
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Verify the SHA-256 of fetched models
    Verify {
        /// Names from the list [default: all that are on this machine]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// What is in a model file and what it will take to run it
    Info {
        /// A name from the list, a file, or a folder that holds one
        #[arg(value_name = "NAME|FILE")]
        model: String,
    },
    /// Write a model for whisper.cpp, in half precision
    Convert {
        /// A name from the list, a file, or a folder that holds one
        #[arg(value_name = "IN")]
        input: String,
        /// The new file
        #[arg(value_name = "OUT")]
        output: PathBuf,
        /// Replace OUT if it is there
        #[arg(long)]
        force: bool,
    },
    Quantize(quantize::Args),
}

/// Runs the subcommand.
pub(crate) fn run(args: Args, globals: &Globals) -> Result<(), Failure> {
    match args.action {
        Action::List => list(globals),
        Action::Pull { names } => pull(&names, globals),
        Action::Verify { names } => verify(&names, globals),
        Action::Info { model } => info(&model, globals),
        Action::Convert {
            input,
            output,
            force,
        } => {
            let file = open(&input)?;
            let place = convert::Place::new(&file, &output, force)?;
            let n_bytes = convert::convert(&file, place, BlockType::F16)?;
            tell_converted(&output, n_bytes, globals)
        }
        Action::Quantize(args) => quantize::run(&args, globals),
    }
}

fn list(globals: &Globals) -> Result<(), Failure> {
    let (folder, manifest) = (models::folder()?, Manifest::embedded()?);
    let rows: Vec<(&Model, State)> = manifest
        .models
        .iter()
        .map(|model| (model, models::state(&folder, model)))
        .collect();
    let own = own_models(&folder, &manifest);
    if globals.json {
        let known = rows.iter().map(|(model, state)| {
            json!({
                "name": model.name,
                "description": model.description,
                "licence": model.licence,
                "origin": model.origin,
                "size_bytes": model.size_bytes(),
                "state": state_name(state),
                "default": model.name == DEFAULT_MODEL,
            })
        });
        let own = own.iter().map(
            |(name, size_bytes)| json!({ "name": name, "size_bytes": size_bytes, "state": "own" }),
        );
        return print(&pretty(&known.chain(own).collect()));
    }
    let mut text = String::new();
    let width = rows.iter().map(|(model, _)| model.name.len());
    let width = width
        .chain(own.iter().map(|(name, _)| name.len()))
        .max()
        .unwrap_or(0);
    for (model, state) in &rows {
        let (name, what, state) = (&model.name, &model.description, state_name(state));
        let (size, licence) = (megabytes(model.size_bytes()), &model.licence);
        let _ = writeln!(
            text,
            "{name:<width$}  {state:<8}  {size:>9}  {licence:<10}  {what}"
        );
    }
    for (name, size_bytes) in &own {
        let size = megabytes(*size_bytes);
        let _ = writeln!(text, "{name:<width$}  {:<8}  {size:>9}", "own");
    }
    let _ = writeln!(text, "in {}", folder.display());
    print(&text)
}

/// Models that were put into the folder by hand: names and sizes in bytes.
fn own_models(folder: &Path, manifest: &Manifest) -> Vec<(String, u64)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut own: Vec<(String, u64)> = entries
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, _)| manifest.find(name).is_none())
        .filter(|(_, path)| match LlamaFile::is_one(path) {
            true => LlamaFile::open(path).is_ok(),
            false => WhisperFile::open(path).is_ok(),
        })
        .map(|(name, path)| (name, fs::metadata(path).map_or(0, |found| found.len())))
        .collect();
    own.sort();
    own
}

fn info(model: &str, globals: &Globals) -> Result<(), Failure> {
    let path = models::resolve(model)?;
    if LlamaFile::is_one(&path) {
        let file = LlamaFile::open(&path)?;
        let info = language::LanguageInfo::new(&file);
        return print(&match globals.json {
            true => pretty(&info.json()),
            false => info.text(),
        });
    }
    let info = info::Info::new(&WhisperFile::open(&path)?)?;
    print(&match globals.json {
        true => pretty(&info.json()),
        false => info.text(),
    })
}

fn pull(names: &[String], globals: &Globals) -> Result<(), Failure> {
    let (folder, manifest) = (models::folder()?, Manifest::embedded()?);
    // All names first: a mistyped one should not be found out after a long download.
    let wanted: Vec<&Model> = names
        .iter()
        .map(|name| models::find(&manifest, name))
        .collect::<Result<_, _>>()?;
    let fetcher = Fetcher::new(folder);
    for model in wanted {
        let mut shown = progress::Shown::new();
        let place = fetcher.pull(model, &mut |step| shown.step(step))?;
        drop(shown);
        let (name, licence, origin) = (&model.name, &model.licence, &model.origin);
        if globals.json {
            let size_bytes = model.size_bytes();
            print(&pretty(&json!({
                "name": name, "path": place, "licence": licence, "size_bytes": size_bytes,
            })))?;
            continue;
        }
        let size = megabytes(model.size_bytes());
        let place = place.display();
        print(&format!(
            "{name}: verified, {size} in {place}\nLicence: {licence} ({origin})\n"
        ))?;
    }
    Ok(())
}

fn verify(names: &[String], globals: &Globals) -> Result<(), Failure> {
    let (folder, manifest) = (models::folder()?, Manifest::embedded()?);
    let mut wanted = Vec::new();
    for name in names {
        wanted.push(models::find(&manifest, name)?);
    }
    if names.is_empty() {
        let here = |model: &&Model| models::state(&folder, model) != State::Absent;
        wanted = manifest.models.iter().filter(here).collect();
        if wanted.is_empty() {
            let message = format!("no model is in {}", folder.display());
            return Err(Failure::new(Kind::Model, message)
                .hint(format!("run `hark models pull {DEFAULT_MODEL}`")));
        }
    }
    let mut n_bad = 0;
    for model in wanted {
        let bar = progress::bar(model.size_bytes(), &model.name);
        let verified = models::verify(&folder, model, &mut |done_bytes| {
            bar.set_position(done_bytes)
        });
        bar.finish_and_clear();
        n_bad += usize::from(verified.is_err());
        tell_verified(&model.name, verified, globals)?;
    }
    if n_bad > 0 {
        return Err(Failure::reported(Kind::Model));
    }
    Ok(())
}

/// Says whether a model is what it should be: to people, with the reason on stderr, or as an
/// object that has the reason.
fn tell_verified(
    name: &str,
    verified: Result<(), ModelError>,
    globals: &Globals,
) -> Result<(), Failure> {
    let problem = verified.err().map(Failure::from);
    if globals.json {
        let text = problem.map(|problem| problem.to_string());
        return print(&pretty(&json!({
            "name": name, "verified": text.is_none(), "problem": text,
        })));
    }
    match problem {
        None => print(&format!("{name}: verified\n")),
        Some(problem) => {
            problem.print();
            Ok(())
        }
    }
}

fn tell_converted(output: &Path, n_bytes: u64, globals: &Globals) -> Result<(), Failure> {
    let block = BlockType::F16.name();
    if globals.json {
        return print(&pretty(&json!({
            "path": output, "type": block, "size_bytes": n_bytes,
        })));
    }
    let size = megabytes(n_bytes);
    print(&format!("{}: {size}, {block}\n", output.display()))
}

/// Opens a model by name or path.
fn open(name_or_path: &str) -> Result<WhisperFile, Failure> {
    Ok(WhisperFile::open(&models::resolve(name_or_path)?)?)
}

/// The types that can be written, by the names their files use.
fn block_type(name: &str) -> Result<BlockType, String> {
    use BlockType::*;
    [F32, F16, BF16, Q8_0, Q6K, Q5_1, Q5_0, Q5K, Q4_1, Q4_0, Q4K]
        .into_iter()
        .find(|block| block.name().eq_ignore_ascii_case(name))
        .ok_or_else(|| {
            "the types are q8_0, q6_K, q5_1, q5_0, q5_K, q4_1, q4_0, q4_K, f32, f16 and bf16"
                .to_owned()
        })
}

fn state_name(state: &State) -> &'static str {
    match state {
        State::Absent => "-",
        State::Partial(_) => "partial",
        State::Complete => "here",
    }
}

/// The size of the model file itself; 0 if it has gone since it was opened.
fn size_bytes(file: &Tensors) -> u64 {
    fs::metadata(file.path()).map_or(0, |found| found.len())
}

/// A size as people read it, in units of a million bytes.
fn megabytes(n_bytes: u64) -> String {
    format!("{:.1} MB", n_bytes as f64 / 1e6)
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::output("stdout", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_known_by_their_files_names() {
        assert_eq!(block_type("Q5_1"), Ok(BlockType::Q5_1));
        assert_eq!(block_type("f16"), Ok(BlockType::F16));
        assert_eq!(block_type("q6_k"), Ok(BlockType::Q6K));
        assert!(block_type("q3_K").is_err());
        assert!(block_type("").is_err());
    }

    #[test]
    fn sizes_are_in_millions_of_bytes() {
        assert_eq!(megabytes(75_537_502), "75.5 MB");
        assert_eq!(megabytes(0), "0.0 MB");
    }
}
