//! Tables of recordings: what is said in them, and which command is meant.

use std::path::{Path, PathBuf};

use crate::cli::Failure;
use crate::error::Kind;

/// A table with a row for each recording, columns separated by tabs and named in the first line.
pub(super) struct Manifest {
    folder: PathBuf,
    rows: Vec<Row>,
}

struct Row {
    file: PathBuf,
    reference: String,
    labels: String,
}

impl Manifest {
    /// Reads a table with a column `file`, relative to it, and columns `reference` or `labels`.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let failure = |message: String| Failure::new(Kind::Input, message);
        let text = std::fs::read_to_string(path)
            .map_err(|error| failure(format!("cannot read {}: {error}", path.display())))?;
        let mut lines = text
            .lines()
            .map(|line| line.split('\t').collect::<Vec<_>>());
        let head = lines.next().unwrap_or_default();
        let column = |name: &str| head.iter().position(|column| *column == name);
        let (reference, labels) = (column("reference"), column("labels"));
        let (Some(file), true) = (column("file"), reference.or(labels).is_some()) else {
            let path = path.display();
            let message = format!("{path} needs a column file, and reference or labels");
            return Err(failure(message));
        };
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let row = |row: Vec<&str>| {
            let text = |column: Option<usize>| {
                let text = column.and_then(|column| row.get(column));
                text.copied().unwrap_or_default().trim().to_owned()
            };
            Some(Row {
                file: folder.join(row.get(file)?),
                reference: text(reference),
                labels: text(labels),
            })
        };
        Ok(Manifest {
            rows: lines.filter_map(row).collect(),
            folder,
        })
    }

    fn row(&self, file: &Path) -> Option<&Row> {
        let below = self.folder.join(file);
        let mut rows = self.rows.iter();
        rows.find(|row| row.file == file || row.file == below)
    }

    /// What is said in a recording, if that is known.
    pub(super) fn reference(&self, file: &Path) -> Option<&str> {
        let text = &self.row(file)?.reference;
        (!text.is_empty()).then_some(text)
    }

    /// The labels of a recording, as written, if it has any.
    pub(super) fn labels(&self, file: &Path) -> Option<&str> {
        let text = &self.row(file)?.labels;
        (!text.is_empty()).then_some(text)
    }
}
