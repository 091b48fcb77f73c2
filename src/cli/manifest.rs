//! Tables of recordings: what is said in them, by whom, and which command is meant.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::cli::Failure;
use crate::error::Kind;

/// A table with a row for each recording, columns separated by tabs and named in the first line.
pub(crate) struct Manifest {
    path: PathBuf,
    folder: PathBuf,
    columns: Vec<String>,
    rows: Vec<Row>,
}

struct Row {
    file: PathBuf,
    values: Vec<String>,
}

impl Manifest {
    /// Reads a table with a column `file`, relative to it, and columns `reference` or `labels`.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let failure = |message: String| Failure::new(Kind::Input, message);
        let text = std::fs::read_to_string(path)
            .map_err(|error| failure(format!("cannot read {}: {error}", path.display())))?;
        let mut lines = text.lines().map(values);
        let columns = lines.next().unwrap_or_default();
        let column = |name: &str| columns.iter().position(|column| column == name);
        let (reference, labels) = (column("reference"), column("labels"));
        let (Some(file), true) = (column("file"), reference.or(labels).is_some()) else {
            let path = path.display();
            let message = format!("{path} needs a column file, and reference or labels");
            return Err(failure(message));
        };
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let row = |values: Vec<String>| {
            Some(Row {
                file: folder.join(values.get(file)?),
                values,
            })
        };
        Ok(Manifest {
            path: path.to_owned(),
            rows: lines.filter_map(row).collect(),
            folder,
            columns,
        })
    }

    fn row(&self, file: &Path) -> Option<&Row> {
        let below = self.folder.join(file);
        let mut rows = self.rows.iter();
        rows.find(|row| row.file == file || row.file == below)
    }

    /// What is written of a recording in that column, if anything is.
    pub(crate) fn value(&self, file: &Path, column: &str) -> Option<&str> {
        let column = self.columns.iter().position(|name| name == column)?;
        let value = self.row(file)?.values.get(column)?;
        (!value.is_empty()).then_some(value)
    }

    /// What is said in a recording, if that is known.
    pub(crate) fn reference(&self, file: &Path) -> Option<&str> {
        self.value(file, "reference")
    }

    /// The labels of a recording, as written, if it has any.
    pub(crate) fn labels(&self, file: &Path) -> Option<&str> {
        self.value(file, "labels")
    }

    /// Everything that is written in that column.
    pub(crate) fn values_of(&self, column: &str) -> Result<BTreeSet<&str>, Failure> {
        let Some(at) = self.columns.iter().position(|name| name == column) else {
            let message = format!(
                "{} has no column {column}; it has {}",
                self.path.display(),
                self.columns.join(", ")
            );
            return Err(Failure::new(Kind::Usage, message));
        };
        let values = self.rows.iter().filter_map(|row| row.values.get(at));
        Ok(values
            .map(String::as_str)
            .filter(|value| !value.is_empty())
            .collect())
    }
}

fn values(line: &str) -> Vec<String> {
    line.split('\t')
        .map(|value| value.trim().to_owned())
        .collect()
}
