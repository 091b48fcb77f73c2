//! Where models live, and which of them are there.

use super::{File, Manifest, Model, ModelError};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What there is of a model on disk, judged by names and sizes only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// No file of it, not even an unfinished one.
    Absent,
    /// Some of it, or a fetch that was interrupted; says which file is wrong and how.
    Partial(String),
    /// Every file with the right size.
    Complete,
}

/// The folder that holds the models, which need not exist: `HARK_MODELS`; else the `models` folder
/// of a checkout, if the program is run in one or lies in one; else `hark/models` in the user's
/// data folder.
///
/// # Errors
/// [`ModelError::NoFolder`] when the user has no home either.
pub fn folder() -> Result<PathBuf, ModelError> {
    let places = Places {
        variable: &|name| std::env::var_os(name).filter(|value| !value.is_empty()),
        current: std::env::current_dir().ok(),
        program: std::env::current_exe().ok(),
    };
    places.folder().ok_or(ModelError::NoFolder)
}

/// The path of a model to open: of a fetched model by its name, or else of a file or folder by its
/// path. Files are checked for being there with the right size, not for their content.
///
/// # Errors
/// [`ModelError`] that says what to run when the model has not been fetched, is incomplete or is
/// not known.
pub fn resolve(name_or_path: &str) -> Result<PathBuf, ModelError> {
    resolve_in(&folder()?, &Manifest::embedded()?, name_or_path)
}

pub(super) fn resolve_in(
    folder: &Path,
    manifest: &Manifest,
    wanted: &str,
) -> Result<PathBuf, ModelError> {
    let path = Path::new(wanted);
    if let Some(model) = manifest.find(wanted) {
        let name = model.name.clone();
        match state(folder, model) {
            State::Complete => return Ok(main_file(folder, model)),
            State::Partial(problem) => return Err(ModelError::Incomplete { name, problem }),
            State::Absent if !path.exists() => return Err(ModelError::Missing { name }),
            State::Absent => {}
        }
    }
    if !wanted.is_empty() && path.exists() {
        return Ok(path.to_path_buf());
    }
    // A model that was put into the folder by hand.
    let beside = folder.join(path);
    if is_plain(path) && beside.exists() {
        return Ok(beside);
    }
    Err(ModelError::unknown(manifest, wanted))
}

/// What there is of `model` in `folder`.
pub fn state(folder: &Path, model: &Model) -> State {
    let place = folder.join(&model.name);
    let problems: Vec<String> = model
        .files
        .iter()
        .filter_map(|file| problem(&place, file))
        .collect();
    let is_begun =
        |file: &File| place.join(&file.path).exists() || part(&place, &file.path).exists();
    let any = model.files.iter().any(is_begun);
    match problems.into_iter().next() {
        None => State::Complete,
        Some(problem) if any => State::Partial(problem),
        Some(_) => State::Absent,
    }
}

fn problem(place: &Path, file: &File) -> Option<String> {
    let (name, size_bytes) = (&file.path, file.size_bytes);
    match std::fs::metadata(place.join(name)) {
        Err(_) => Some(match std::fs::metadata(part(place, name)) {
            Ok(found) => format!(
                "of {name}, {} of {size_bytes} bytes were fetched",
                found.len()
            ),
            Err(_) => format!("{name} is missing"),
        }),
        Ok(found) if found.len() == size_bytes => None,
        Ok(found) => Some(format!("{name} has {} of {size_bytes} bytes", found.len())),
    }
}

/// Where the file `name` of a model arrives, until it is verified.
pub(super) fn part(place: &Path, name: &str) -> PathBuf {
    place.join(format!("{name}.part"))
}

fn main_file(folder: &Path, model: &Model) -> PathBuf {
    let place = folder.join(&model.name);
    model
        .files
        .first()
        .map_or(place.clone(), |f| place.join(&f.path))
}

/// Whether a path is one name, so that joined to a folder it stays in it.
fn is_plain(path: &Path) -> bool {
    let mut parts = path.components();
    matches!(parts.next(), Some(std::path::Component::Normal(_))) && parts.next().is_none()
}

/// What the choice of the folder depends on.
struct Places<'a> {
    variable: &'a dyn Fn(&str) -> Option<OsString>,
    current: Option<PathBuf>,
    program: Option<PathBuf>,
}

impl Places<'_> {
    fn folder(&self) -> Option<PathBuf> {
        if let Some(set) = (self.variable)("HARK_MODELS") {
            return Some(set.into());
        }
        let above_program = self.program.iter().flat_map(|p| p.ancestors().skip(1));
        let checkouts = self
            .current
            .iter()
            .map(PathBuf::as_path)
            .chain(above_program);
        for checkout in checkouts {
            let models = checkout.join("models");
            if models.join("manifest.toml").is_file() {
                return Some(models);
            }
        }
        self.data_folder().map(|data| data.join("hark/models"))
    }

    /// The user's data folder: the XDG base directory specification's, or macOS's own.
    fn data_folder(&self) -> Option<PathBuf> {
        let xdg = (self.variable)("XDG_DATA_HOME").map(PathBuf::from);
        if let Some(data) = xdg.filter(|path| path.is_absolute()) {
            return Some(data);
        }
        let inside = if cfg!(target_os = "macos") {
            "Library/Application Support"
        } else {
            ".local/share"
        };
        (self.variable)("HOME").map(|home| Path::new(&home).join(inside))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::error::{Classify, Kind};
    use std::fs;

    const TOY: &str = r#"
        [[model]]
        name = "tiny.en"
        description = "toy"
        licence = "MIT"
        origin = "nobody"
        [[model.file]]
        path = "model.bin"
        size_bytes = 3
        sha256 = ""
        source = []
        [[model.file]]
        path = "config.json"
        size_bytes = 2
        sha256 = ""
        source = []
    "#;

    #[test]
    fn what_is_missing_is_said_with_what_to_run() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = Manifest::parse(TOY).unwrap();
        let resolve = |wanted: &str| resolve_in(folder.path(), &manifest, wanted);

        let missing = resolve("tiny.en").unwrap_err();
        assert_eq!(missing.kind(), Kind::Model);
        assert!(
            missing
                .to_string()
                .ends_with("run `hark models pull tiny.en`")
        );

        fs::create_dir(folder.path().join("tiny.en")).unwrap();
        let part = folder.path().join("tiny.en/model.bin.part");
        fs::write(&part, "a").unwrap();
        let partial = resolve("tiny.en").unwrap_err().to_string();
        assert!(
            partial.contains("of model.bin, 1 of 3 bytes were fetched"),
            "{partial}"
        );
        fs::remove_file(part).unwrap();
        fs::write(folder.path().join("tiny.en/model.bin"), "abc").unwrap();
        let partial = resolve("tiny.en").unwrap_err().to_string();
        assert!(partial.contains("config.json is missing"), "{partial}");
        fs::write(folder.path().join("tiny.en/config.json"), "{").unwrap();
        let partial = resolve("tiny.en").unwrap_err().to_string();
        assert!(
            partial.contains("config.json has 1 of 2 bytes"),
            "{partial}"
        );

        fs::write(folder.path().join("tiny.en/config.json"), "{}").unwrap();
        let path = resolve("tiny.en").unwrap();
        assert_eq!(path, folder.path().join("tiny.en/model.bin"));

        let unknown = resolve("tinyen").unwrap_err();
        assert!(
            unknown.to_string().contains("did you mean tiny.en?"),
            "{unknown}"
        );
        assert!(resolve("").is_err());
    }

    #[test]
    fn paths_and_models_put_there_by_hand_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = Manifest::parse(TOY).unwrap();
        let own = folder.path().join("own.bin");
        fs::write(&own, "x").unwrap();
        let resolve = |wanted: &str| resolve_in(folder.path(), &manifest, wanted);
        assert_eq!(resolve("own.bin").unwrap(), own);
        assert_eq!(resolve(own.to_str().unwrap()).unwrap(), own);
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        assert!(resolve_in(&inner, &manifest, "../own.bin").is_err());
    }

    #[test]
    fn the_folder_is_the_first_that_applies() {
        let checkout = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::create_dir(checkout.path().join("models")).unwrap();
        fs::write(checkout.path().join("models/manifest.toml"), "").unwrap();
        let mut set = vec![
            ("HARK_MODELS", "/m"),
            ("XDG_DATA_HOME", "/x"),
            ("HOME", "/h"),
        ];
        let mut current = checkout.path();
        let mut program = checkout.path().join("target/debug/hark");
        let mut chosen = Vec::new();
        for step in 0..5 {
            match step {
                1 => drop(set.remove(0)),
                2 => current = elsewhere.path(),
                3 => program = elsewhere.path().join("hark"),
                4 => drop(set.remove(0)),
                _ => {}
            }
            let variable = |name: &str| {
                let found = set.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(value))
            };
            let places = Places {
                variable: &variable,
                current: Some(current.to_path_buf()),
                program: Some(program.clone()),
            };
            chosen.push(places.folder().unwrap());
        }
        let models = checkout.path().join("models");
        let home = if cfg!(target_os = "macos") {
            "/h/Library/Application Support/hark/models"
        } else {
            "/h/.local/share/hark/models"
        };
        let expected = [
            "/m".into(),
            models.clone(),
            models,
            "/x/hark/models".into(),
            home.into(),
        ];
        assert_eq!(chosen, expected);
    }
}
