//! The terminal that the live caption shares with log lines and messages.
//!
//! In: changes of the caption, on the caller's thread, and lines for stderr from any thread. Out:
//! one after the other, whoever writes: a line goes above the caption that is being spoken, never
//! into it. Where captions are not drawn on a terminal, stderr is written to as it is.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Out;
use super::screen::Screen;
use crate::cli::Failure;

/// The caption on the terminal, while there is one. Global, because a log line may come from any
/// thread and knows of nothing else.
static LIVE: Mutex<Option<Screen>> = Mutex::new(None);

fn live() -> MutexGuard<'static, Option<Screen>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Captions are drawn on `screen` from now on.
pub(crate) fn begin(screen: Screen) {
    *live() = Some(screen);
}

/// Writes what `change` makes of the screen.
pub(crate) fn draw(
    out: &mut Out,
    change: impl FnOnce(&mut Screen) -> String,
) -> Result<(), Failure> {
    let mut live = live();
    let text = live.as_mut().map(change).unwrap_or_default();
    if text.is_empty() {
        return Ok(());
    }
    out.write(&text)?;
    out.flush()
}

/// Captions are drawn no longer; what follows begins on a line of its own.
pub(crate) fn end(out: &mut Out) -> Result<(), Failure> {
    let screen = live().take();
    out.write(screen.map_or("", |screen| screen.line_end()))?;
    out.flush()
}

/// Standard error, for whole lines.
pub(crate) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let live = live();
        let mut stderr = io::stderr().lock();
        match live.as_ref() {
            Some(screen) if stderr.is_terminal() => {
                let lines = String::from_utf8_lossy(lines);
                stderr.write_all(screen.insert(&lines).as_bytes())?;
            }
            _ => stderr.write_all(lines)?,
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
