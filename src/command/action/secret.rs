//! Passwords and tokens: read when they are needed, printed never.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use thiserror::Error;

/// Longest secret, in bytes.
const MAX_BYTES: u64 = 4096;

/// Where a password or token is found.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// Here.
    Plain(String),
    /// In this environment variable.
    Env(String),
    /// In this file; line breaks at its end do not count.
    File(PathBuf),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Plain(_) => f.write_str("Plain(…)"),
            Secret::Env(name) => f.debug_tuple("Env").field(name).finish(),
            Secret::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// Why there is no secret.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The variable is not set.
    #[error("the environment variable {0}, which should hold a password, is not set")]
    Env(String),
    /// The file cannot be read.
    #[error("cannot read a password from {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no text, too long, or of several lines.
    #[error("{0} holds no password: one line of text of at most {MAX_BYTES} bytes is expected")]
    Unusable(String),
}

impl Secret {
    /// Reads it.
    pub(super) fn read(&self) -> Result<String, SecretError> {
        let (text, place) = match self {
            Secret::Plain(text) => (text.clone(), "the configuration".to_owned()),
            Secret::Env(name) => {
                let value = std::env::var_os(name).ok_or_else(|| SecretError::Env(name.clone()))?;
                let text = value.into_string();
                let place = format!("the environment variable {name}");
                (
                    text.map_err(|_| SecretError::Unusable(place.clone()))?,
                    place,
                )
            }
            Secret::File(path) => {
                let place = path.display().to_string();
                let mut bytes = Vec::new();
                File::open(path)
                    .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
                    .map_err(|source| SecretError::File {
                        path: path.clone(),
                        source,
                    })?;
                let text = String::from_utf8(bytes);
                let text = text.map_err(|_| SecretError::Unusable(place.clone()))?;
                (text.trim_end_matches(['\r', '\n']).to_owned(), place)
            }
        };
        let is_usable = text.len() as u64 <= MAX_BYTES && !text.chars().any(char::is_control);
        match is_usable && !text.is_empty() {
            true => Ok(text),
            false => Err(SecretError::Unusable(place)),
        }
    }

    /// What is wrong with it on this machine.
    pub(super) fn lacks(&self) -> Option<String> {
        self.read().err().map(|error| error.to_string())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_and_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "pass word\r\n").unwrap();
        let file = Secret::File(path.clone());
        assert_eq!(file.read().unwrap(), "pass word");
        std::fs::write(&path, b"\xff\xfe").unwrap();
        assert!(file.read().unwrap_err().to_string().contains("password"));
        std::fs::write(&path, "a".repeat(5000)).unwrap();
        assert!(file.read().is_err());
        std::fs::write(&path, "two\nlines").unwrap();
        assert!(file.read().is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(file.lacks().unwrap().contains("cannot read"));

        assert_eq!(Secret::Env("PATH".into()).lacks(), None);
        let missing = Secret::Env("HARK_NO_SUCH_VARIABLE".into());
        assert!(missing.lacks().unwrap().contains("HARK_NO_SUCH_VARIABLE"));
        assert!(!format!("{:?}", Secret::Plain("hidden".into())).contains("hidden"));
    }
}
