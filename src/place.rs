//! Where files and sockets of ours lie when nobody says so: the XDG base directories, or those that
//! systemd makes for a service.

use std::ffi::OsString;
use std::path::PathBuf;

/// A file or socket of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Where such things are kept on this system.
    #[default]
    Auto,
    /// Nowhere.
    Nowhere,
    /// There.
    At(PathBuf),
}

impl Place {
    /// Where state is kept that should survive a restart; `name` is the file's. None where it is
    /// nowhere or the environment does not say.
    pub fn state_file(&self, name: &str) -> Option<PathBuf> {
        self.resolve(|| state_folder(environment).map(|folder| folder.join(name)))
    }

    /// The same for sockets, which end with the session.
    pub fn runtime_file(&self, name: &str) -> Option<PathBuf> {
        self.resolve(|| runtime_folder(environment).map(|folder| folder.join(name)))
    }

    fn resolve(&self, auto: impl FnOnce() -> Option<PathBuf>) -> Option<PathBuf> {
        match self {
            Place::Auto => auto(),
            Place::Nowhere => None,
            Place::At(path) => Some(path.clone()),
        }
    }
}

fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// `$STATE_DIRECTORY`, `$XDG_STATE_HOME/hark` or `~/.local/state/hark`; `variable` reads the
/// environment. The XDG base directory specification: relative paths are ignored.
fn state_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let home = || {
        absolute(&variable, "XDG_STATE_HOME")
            .or_else(|| Some(absolute(&variable, "HOME")?.join(".local/state")))
    };
    absolute(&variable, "STATE_DIRECTORY").or_else(|| Some(home()?.join("hark")))
}

/// `$RUNTIME_DIRECTORY` or `$XDG_RUNTIME_DIR`.
fn runtime_folder(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    absolute(&variable, "RUNTIME_DIRECTORY").or_else(|| absolute(&variable, "XDG_RUNTIME_DIR"))
}

/// The path in a variable; the first one where systemd lists several.
fn absolute(variable: impl Fn(&str) -> Option<OsString>, name: &str) -> Option<PathBuf> {
    let value = variable(name)?;
    let first = std::env::split_paths(&value).next()?;
    first.is_absolute().then_some(first)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn folders(set: &[(&str, &str)]) -> (Option<PathBuf>, Option<PathBuf>) {
        let variable = |name: &str| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.into())
        };
        (state_folder(variable), runtime_folder(variable))
    }

    #[test]
    fn state_lies_where_programs_keep_it() {
        assert_eq!(folders(&[]).0, None);
        let home = [("HOME", "/a"), ("XDG_STATE_HOME", "b")];
        assert_eq!(folders(&home).0, Some("/a/.local/state/hark".into()));
        let xdg = [("HOME", "/a"), ("XDG_STATE_HOME", "/b")];
        assert_eq!(folders(&xdg).0, Some("/b/hark".into()));
        let service = [("HOME", "/a"), ("STATE_DIRECTORY", "/var/lib/hark:/other")];
        assert_eq!(folders(&service).0, Some("/var/lib/hark".into()));
    }

    #[test]
    fn sockets_lie_where_the_session_has_them() {
        assert_eq!(folders(&[("HOME", "/a")]).1, None);
        let user = [("XDG_RUNTIME_DIR", "/run/user/1000")];
        assert_eq!(folders(&user).1, Some("/run/user/1000".into()));
        let service = [user[0], ("RUNTIME_DIRECTORY", "/run/hark")];
        assert_eq!(folders(&service).1, Some("/run/hark".into()));
        assert_eq!(folders(&[("XDG_RUNTIME_DIR", "")]).1, None);
    }
}
