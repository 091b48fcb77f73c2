//! Timers on disk, so that they outlive a restart.
//!
//! Written anew at each change, beside the old file and then over it: whenever the program is
//! killed, one of the two is there, whole. What cannot be read is moved aside and reported, and
//! keeps nobody from starting. Times in the file are those of the calendar.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::dialogue::{SavedState, SavedTimer};
use crate::place::Place;

/// Largest file that is read.
const MAX_BYTES: u64 = 64 * 1024;
/// Most timers, and longest name, that a file of ours has.
const MAX_TIMERS: usize = 64;
const MAX_NAME_CHARS: usize = 200;
/// Longest time, in seconds, between the present and a time in the file: ten years.
const MAX_AWAY_S: f64 = 10.0 * 366.0 * 86_400.0;

/// The file; without one nothing is kept.
#[derive(Debug)]
pub(super) struct TimersFile {
    path: Option<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    version: u32,
    timers: Vec<KeptTimer>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptTimer {
    number: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// When it is over, in milliseconds since 1970; one that is paused has `left_ms` instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due_unix_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left_ms: Option<i64>,
}

impl TimersFile {
    /// The configured file.
    pub(super) fn new(file: &Place) -> Self {
        let path = file.state_file("timers.json");
        if path.is_none() && *file == Place::Auto {
            log::warn!("timers are not kept: neither XDG_STATE_HOME nor HOME is set");
        }
        TimersFile { path }
    }

    /// The timers that were kept, if there are any.
    pub(super) fn load(&self, now: Moment) -> Vec<SavedTimer> {
        let Some(path) = &self.path else {
            return Vec::new();
        };
        let bytes = match read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                log::warn!("cannot read the timers in {}: {error}", path.display());
                return Vec::new();
            }
        };
        match parse(&bytes, now) {
            Ok(timers) => timers,
            Err(cause) => {
                move_aside(path, &cause);
                Vec::new()
            }
        }
    }

    /// Keeps these timers in place of those before.
    pub(super) fn save(&self, timers: &[SavedTimer], now: Moment) {
        if let Some(path) = &self.path
            && let Err(error) = write(path, &format(timers, now))
        {
            log::warn!(
                "timers will not outlive this run: cannot write {}: {error}",
                path.display()
            );
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn parse(bytes: &[u8], now: Moment) -> Result<Vec<SavedTimer>, String> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes"));
    }
    let kept: Kept = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if kept.version != 1 {
        return Err(format!("its version is {}, not 1", kept.version));
    }
    if kept.timers.len() > MAX_TIMERS {
        return Err(format!("it has more than {MAX_TIMERS} timers"));
    }
    kept.timers
        .into_iter()
        .map(|timer| restored(timer, now))
        .collect()
}

fn restored(timer: KeptTimer, now: Moment) -> Result<SavedTimer, String> {
    let number = timer.number;
    let is_long = |name: &String| name.chars().count() > MAX_NAME_CHARS;
    if timer.name.as_ref().is_some_and(is_long) {
        return Err(format!("timer {number} has a very long name"));
    }
    let seconds = |ms: i64| ms as f64 / 1000.0;
    let (state, away_s) = match (timer.due_unix_ms, timer.left_ms) {
        (Some(due), None) => {
            let left_s = seconds(due) - now.unix_s;
            let due_s = now.clock_s + left_s;
            (SavedState::Runs { due_s }, left_s.abs())
        }
        (None, Some(left @ 0..)) => {
            let left_s = seconds(left);
            (SavedState::Stands { left_s }, left_s)
        }
        _ => {
            return Err(format!(
                "timer {number} needs either due_unix_ms or left_ms"
            ));
        }
    };
    if away_s > MAX_AWAY_S {
        return Err(format!("timer {number} is more than ten years away"));
    }
    Ok(SavedTimer {
        number,
        name: timer.name,
        state,
    })
}

fn format(timers: &[SavedTimer], now: Moment) -> Vec<u8> {
    let ms = |seconds: f64| (seconds * 1000.0).round() as i64;
    let kept = |timer: &SavedTimer| {
        let (due_unix_ms, left_ms) = match timer.state {
            SavedState::Runs { due_s } => (Some(ms(now.unix_s + due_s - now.clock_s)), None),
            SavedState::Stands { left_s } => (None, Some(ms(left_s.max(0.0)))),
        };
        KeptTimer {
            number: timer.number,
            name: timer.name.clone(),
            due_unix_ms,
            left_ms,
        }
    };
    let kept = Kept {
        version: 1,
        timers: timers.iter().map(kept).collect(),
    };
    // Numbers and texts always have a JSON form.
    serde_json::to_vec_pretty(&kept).unwrap_or_default()
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension("json.new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// What cannot be read is kept for whoever wants to look at it.
fn move_aside(path: &Path, cause: &str) {
    let aside = path.with_extension("json.damaged");
    match fs::rename(path, &aside) {
        Ok(()) => log::warn!(
            "the timers in {} cannot be used: {cause}; the file is now {}",
            path.display(),
            aside.display()
        ),
        Err(error) => log::warn!(
            "the timers in {} cannot be used: {cause}; nor can the file be moved aside: {error}",
            path.display()
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOW: Moment = Moment {
        clock_s: 1_000.0,
        unix_s: 1_700_000_000.0,
    };

    fn timers() -> Vec<SavedTimer> {
        vec![
            SavedTimer {
                number: 3,
                name: Some("pizza".to_owned()),
                state: SavedState::Runs { due_s: 1_600.0 },
            },
            SavedTimer {
                number: 4,
                name: None,
                state: SavedState::Stands { left_s: 12.5 },
            },
        ]
    }

    #[test]
    fn they_come_back_as_they_were_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = TimersFile {
            path: Some(folder.path().join("state/hark/timers.json")),
        };
        assert!(file.load(NOW).is_empty());
        file.save(&timers(), NOW);
        assert_eq!(file.load(NOW), timers());
        // The machine was restarted: its clock is young, and 100 s have passed.
        let later = Moment {
            clock_s: 20.0,
            unix_s: NOW.unix_s + 100.0,
        };
        let state = file.load(later)[0].state;
        assert_eq!(state, SavedState::Runs { due_s: 520.0 });
        file.save(&[], NOW);
        assert!(file.load(NOW).is_empty());
        let files = fs::read_dir(folder.path().join("state/hark")).unwrap();
        assert_eq!(files.count(), 1);
    }

    #[test]
    fn whatever_is_in_the_file_hark_starts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("timers.json");
        let file = TimersFile {
            path: Some(path.clone()),
        };
        let whole = format(&timers(), NOW);
        let mut hostile: Vec<Vec<u8>> = (0..whole.len()).map(|n| whole[..n].to_vec()).collect();
        let texts = [
            r#"{"version":2,"timers":[]}"#,
            r#"{"version":1,"timers":[{"number":1}]}"#,
            r#"{"version":1,"timers":[{"number":1,"due_unix_ms":1,"left_ms":1}]}"#,
            r#"{"version":1,"timers":[{"number":1,"left_ms":-1}]}"#,
            r#"{"version":1,"timers":[{"number":1,"due_unix_ms":9223372036854775807}]}"#,
            r#"{"version":1,"timers":[{"number":-1,"left_ms":1}]}"#,
            r#"{"version":1,"timers":[{"number":1,"left_ms":1e99}]}"#,
            r#"[]"#,
        ];
        hostile.extend(texts.map(|text| text.as_bytes().to_vec()));
        hostile.push(vec![0xff; 100]);
        hostile.push(vec![b'['; MAX_BYTES as usize * 2]);
        for bytes in hostile {
            fs::write(&path, &bytes).unwrap();
            assert!(file.load(NOW).is_empty());
            assert!(!path.exists());
            let aside = fs::read(folder.path().join("timers.json.damaged")).unwrap();
            assert_eq!(aside, bytes);
        }
    }

    #[test]
    fn a_folder_in_its_place_keeps_nobody_from_starting() {
        let folder = tempfile::tempdir().unwrap();
        let file = TimersFile {
            path: Some(folder.path().to_owned()),
        };
        assert!(file.load(NOW).is_empty());
        file.save(&timers(), NOW);
        let none = TimersFile::new(&Place::Nowhere);
        none.save(&timers(), NOW);
        assert!(none.load(NOW).is_empty());
    }
}
