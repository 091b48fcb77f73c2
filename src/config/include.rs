//! Files that the configuration includes: command files in TOML, which may include further ones,
//! and Home Assistant's sentence files in YAML, one by one or a folder of them.
//!
//! Every file is read once, however often it is included; one that includes itself, directly or
//! not, is a mistake.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::commands::grammar;
use super::document::{Document, Entry, Section};
use super::sections::languages;
use super::{ConfigError, home_assistant, read_file};
use crate::command::{CommandSpec, GrammarSpec};

/// Most files inside each other.
const MAX_DEPTH: usize = 16;
/// Most files in all.
const MAX_FILES: usize = 10_000;

/// What is read, and what has been.
pub(super) struct Includes<'g> {
    pub(super) spec: &'g mut GrammarSpec,
    /// Commands that only say what is done: the sentences are those of included blocks.
    pub(super) actions: Vec<CommandSpec>,
    /// The files that include each other, outermost first.
    open: Vec<PathBuf>,
    seen: BTreeSet<PathBuf>,
    /// The same without the outermost, in order, as they are named.
    named: Vec<PathBuf>,
}

impl<'g> Includes<'g> {
    /// What `file` includes is yet to be read.
    pub(super) fn new(file: &Path, spec: &'g mut GrammarSpec) -> Self {
        let file = real(file);
        Includes {
            spec,
            actions: Vec::new(),
            open: vec![file.clone()],
            seen: BTreeSet::from([file]),
            named: Vec::new(),
        }
    }

    /// Reads the file or folder that `entry` names, relative to `folder`.
    pub(super) fn read(&mut self, entry: &Entry, folder: &Path) -> Result<(), ConfigError> {
        let path = folder.join(entry.text()?);
        let file = real(&path);
        if self.open.contains(&file) {
            return Err(entry.invalid("another file: this one includes itself"));
        }
        if self.open.len() > MAX_DEPTH {
            return Err(entry.invalid(format!("included less than {MAX_DEPTH} files deep")));
        }
        if self.seen.len() >= MAX_FILES {
            return Err(entry.invalid(format!("one of at most {MAX_FILES} files")));
        }
        if !self.seen.insert(file.clone()) {
            return Ok(());
        }
        self.named.push(path.clone());
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.is_dir() || matches!(extension, Some("yaml" | "yml")) {
            return home_assistant::read(&path, &entry.origin, self.spec);
        }
        self.open.push(file);
        self.toml(entry, &path)?;
        self.open.pop();
        Ok(())
    }

    fn toml(&mut self, entry: &Entry, path: &Path) -> Result<(), ConfigError> {
        let text = read_file(path).map_err(|source| ConfigError::Include {
            origin: entry.origin.clone(),
            path: path.to_owned(),
            source,
        })?;
        let document = Document::new(path, text);
        let mut root = document.parse()?;
        let mut commands = root.section("commands")?;
        let include = commands.take("include");
        let languages = languages(commands.take("language").as_ref())?;
        commands.finish()?;
        self.grammar(&mut root, &languages)?;
        root.finish()?;
        self.all(include, document.folder())
    }

    /// Reads the commands, lists and rules of a file, whose sentences are in `languages`.
    pub(super) fn grammar(
        &mut self,
        root: &mut Section,
        languages: &[&'static str],
    ) -> Result<(), ConfigError> {
        let n_before = self.spec.commands.len();
        grammar(root, self)?;
        if self.spec.commands.len() > n_before {
            self.spec.languages.add(languages.iter().copied());
        }
        Ok(())
    }

    /// Reads all that an array of names names.
    pub(super) fn all(&mut self, include: Option<Entry>, folder: &Path) -> Result<(), ConfigError> {
        let entries = include.map(Entry::elements).transpose()?;
        let mut entries = entries.into_iter().flatten();
        entries.try_for_each(|entry| self.read(&entry, folder))
    }

    /// Gives included commands their actions, and what is to be heeded about them; the files and
    /// folders that were included.
    pub(super) fn finish(self) -> Result<Vec<PathBuf>, ConfigError> {
        for command in self.actions {
            let blocks = self.spec.commands.iter_mut();
            let blocks = blocks.filter(|block| block.is_block && block.name == command.name);
            let mut n_blocks = 0;
            for block in blocks {
                block.action = command.action.clone();
                block.traits = command.traits.clone();
                n_blocks += 1;
            }
            if n_blocks == 0 {
                return Err(ConfigError::Missing {
                    origin: command.origin,
                    key: "sentences".to_owned(),
                });
            }
        }
        Ok(self.named)
    }
}

/// The one name of a file; that of one which is not there is as good as any.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
