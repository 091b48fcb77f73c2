//! What two models make of the same recordings.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::audio;
use crate::cli::progress;
use crate::cli::setup::Setup;
use crate::cli::{Failure, Globals};
use crate::error::Kind;
use crate::format::WhisperFile;
use crate::nn::Compute;
use crate::text::WordErrors;
use crate::whisper::{Options, Transcriber};

/// Endings of recordings in a folder.
const ENDINGS: [&str; 8] = ["wav", "flac", "mp3", "ogg", "oga", "m4a", "mp4", "aac"];

/// A recording and, where that is known, what is said in it.
pub(super) struct Clip {
    path: PathBuf,
    reference: Option<String>,
}

/// The recordings named, those of folders in the order of their names, with their references.
pub(super) fn find(named: &[PathBuf], manifest: Option<&Path>) -> Result<Vec<Clip>, Failure> {
    let mut paths = Vec::new();
    for path in named {
        let before = paths.len();
        collect(path, &mut paths)?;
        if path.is_dir() && paths.len() == before {
            let message = format!("no recordings are in {}", path.display());
            let hint = format!(
                "files of a folder are known by their endings: {}",
                ENDINGS.join(", ")
            );
            return Err(Failure::new(Kind::Usage, message).hint(hint));
        }
    }
    let references = manifest.map(References::read).transpose()?;
    let clips: Vec<Clip> = paths
        .into_iter()
        .map(|path| Clip {
            reference: match &references {
                Some(references) => references.of(&path),
                None => beside(&path),
            },
            path,
        })
        .collect();
    if let Some(manifest) = manifest
        && clips.iter().all(|clip| clip.reference.is_none())
    {
        let message = format!("{} names none of the recordings", manifest.display());
        let hint = "its column file must hold their paths from its folder, or their names";
        return Err(Failure::new(Kind::Usage, message).hint(hint));
    }
    Ok(clips)
}

/// Appends a recording, or those below a folder.
fn collect(path: &Path, out: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        let message = format!("cannot read {}: {error}", path.display());
        Failure::new(Kind::Usage, message)
    };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        out.push(path.to_owned());
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = fs::read_dir(path)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    entries.sort();
    for entry in entries {
        let ending = entry.extension().and_then(|ending| ending.to_str());
        let is_recording =
            ending.is_some_and(|ending| ENDINGS.contains(&ending.to_ascii_lowercase().as_str()));
        // A link to a folder may lead back up.
        let is_folder = entry.is_dir() && !entry.is_symlink();
        if is_folder || (is_recording && entry.is_file()) {
            collect(&entry, out)?;
        }
    }
    Ok(())
}

/// The text in a file of the recording's name.
fn beside(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path.with_extension("txt")).ok()?;
    (!text.trim().is_empty()).then_some(text)
}

/// What a manifest says is said, by path and by name.
struct References {
    by_path: HashMap<PathBuf, String>,
    by_name: HashMap<String, String>,
}

impl References {
    fn read(manifest: &Path) -> Result<References, Failure> {
        let unusable = |what: &str| {
            let message = format!("{}: {what}", manifest.display());
            let hint = "a manifest is a table with tabs whose first line names its columns, file \
                        and reference among them";
            Failure::new(Kind::Usage, message).hint(hint)
        };
        let text = fs::read_to_string(manifest).map_err(|error| unusable(&error.to_string()))?;
        let mut lines = text.lines();
        let head: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
        let column = |name: &str| {
            let at = head.iter().position(|column| *column == name);
            at.ok_or_else(|| unusable(&format!("no column is called {name}")))
        };
        let (file, reference) = (column("file")?, column("reference")?);
        let folder = manifest.parent().unwrap_or(Path::new(""));
        let mut references = References {
            by_path: HashMap::new(),
            by_name: HashMap::new(),
        };
        for line in lines {
            let fields: Vec<&str> = line.split('\t').collect();
            let (Some(file), Some(text)) = (fields.get(file), fields.get(reference)) else {
                continue;
            };
            if text.trim().is_empty() {
                continue;
            }
            let path = folder.join(file);
            if let Some(name) = name_of(&path) {
                references.by_name.insert(name, (*text).to_owned());
            }
            if let Ok(path) = path.canonicalize() {
                references.by_path.insert(path, (*text).to_owned());
            }
        }
        Ok(references)
    }

    fn of(&self, path: &Path) -> Option<String> {
        let whole = path.canonicalize().ok();
        let by_path = whole.and_then(|path| self.by_path.get(&path));
        let by_name = || self.by_name.get(&name_of(path)?);
        by_path.or_else(by_name).cloned()
    }
}

fn name_of(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_string_lossy().into_owned())
}

/// Transcribes as configured.
pub(super) struct Listener {
    setup: Setup,
    options: Options,
}

impl Listener {
    pub(super) fn new(globals: &Globals, language: Option<&str>) -> Result<Self, Failure> {
        let setup = Setup::load(globals)?;
        let options = setup.options(language);
        Ok(Listener { setup, options })
    }

    /// The text of every recording by this model, which is in memory only meanwhile.
    pub(super) fn texts(
        &self,
        file: &WhisperFile,
        compute: Compute,
        clips: &[Clip],
    ) -> Result<Vec<String>, Failure> {
        let model = self.setup.model_of(file, compute)?;
        let mut transcriber = Transcriber::new(model, self.options.clone())?;
        let bar = progress::count(clips.len(), compute.name());
        let mut texts = Vec::new();
        for clip in clips {
            let samples = audio::decode_file(&clip.path)?;
            let segments = transcriber.utterance(&samples);
            texts.push(
                segments
                    .iter()
                    .map(|segment| segment.text.as_str())
                    .collect(),
            );
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(texts)
    }
}

/// What was heard before and after.
pub(super) struct Heard {
    n_clips: usize,
    n_references: usize,
    /// Errors before and after against the references; none without any.
    against_references: Option<(WordErrors, WordErrors)>,
    /// What became of the texts before.
    changed: WordErrors,
    /// Recordings whose text has other words.
    n_changed: usize,
    compute: Compute,
}

impl Heard {
    /// From the texts of the same recordings by the model as it was, in f32, and by the new one.
    pub(super) fn new(
        clips: &[Clip],
        before: Vec<String>,
        after: Vec<String>,
        compute: Compute,
    ) -> Self {
        let mut heard = Heard {
            n_clips: clips.len(),
            n_references: 0,
            against_references: None,
            changed: WordErrors::default(),
            n_changed: 0,
            compute,
        };
        for ((clip, before), after) in clips.iter().zip(before).zip(after) {
            let changed = WordErrors::between(&before, &after);
            heard.changed += changed;
            heard.n_changed += usize::from(changed.total() > 0);
            if let Some(reference) = &clip.reference {
                let sums = heard.against_references.get_or_insert_default();
                sums.0 += WordErrors::between(reference, &before);
                sums.1 += WordErrors::between(reference, &after);
                heard.n_references += 1;
            }
        }
        heard
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let percent = |errors: &WordErrors| 100.0 * errors.rate();
        let (n_clips, name) = (self.n_clips, self.compute.name());
        if let Some((before, after)) = &self.against_references {
            let (n, n_words) = (self.n_references, before.n_reference);
            let (before, after) = (percent(before), percent(after));
            let _ = writeln!(
                text,
                "Word error rate on {n} of {n_clips} recordings, {n_words} words: \
                 {before:.2} % before (f32), {after:.2} % after ({name})"
            );
        }
        let (n, n_words, n_changed) = (
            self.changed.total(),
            self.changed.n_reference,
            self.n_changed,
        );
        let _ = writeln!(
            text,
            "Words that differ from those before: {n} of {n_words} ({:.2} %), in {n_changed} of \
             {n_clips} recordings",
            percent(&self.changed)
        );
        text
    }

    pub(super) fn json(&self) -> Value {
        let errors = |errors: &WordErrors| {
            json!({
                "word_error_rate": errors.rate(),
                "words": errors.n_reference,
                "insertions": errors.insertions,
                "deletions": errors.deletions,
                "substitutions": errors.substitutions,
            })
        };
        let against = self.against_references.as_ref();
        json!({
            "count": self.n_clips,
            "with_reference": self.n_references,
            "compute_before": Compute::F32.name(),
            "compute_after": self.compute.name(),
            "before": against.map(|(before, _)| errors(before)),
            "after": against.map(|(_, after)| errors(after)),
            "changed": errors(&self.changed),
            "changed_recordings": self.n_changed,
        })
    }
}
