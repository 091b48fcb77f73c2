//! Panics that are caught: foreign code's on foreign data, and a stage's, which is then replaced.
//!
//! A panic is a bug and ends the program, unless it happens inside of [`foreign`] or
//! [`supervised`]. The panic hook asks [`reaction`] what to do, on the thread that panics.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Beginning of the names of the engine's threads, whose panics go on in whoever waits for them.
pub const ENGINE_THREAD: &str = "hark-engine";

/// What the panic hook is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reaction {
    /// Say so and end the program.
    #[default]
    End,
    /// Nothing: it is foreign code's and no bug of ours.
    Ignore,
    /// Say so: whoever supervises goes on with something new.
    Report,
}

thread_local! {
    static REACTION: Cell<Reaction> = const { Cell::new(Reaction::End) };
}

/// Threads that are inside of [`supervised`].
static N_SUPERVISED: AtomicUsize = AtomicUsize::new(0);

/// What a panic on this thread, now, is to the panic hook.
pub fn reaction() -> Reaction {
    let own = REACTION.get();
    let thread = std::thread::current();
    let is_engine = || thread.name().is_some_and(|n| n.starts_with(ENGINE_THREAD));
    if own == Reaction::End && N_SUPERVISED.load(Ordering::Relaxed) > 0 && is_engine() {
        return Reaction::Report;
    }
    own
}

/// Runs foreign code on foreign data; `None` if it panicked. What it worked on is not used again
/// or replaced by then, so that a broken invariant cannot be met.
pub fn foreign<T>(run: impl FnOnce() -> T) -> Option<T> {
    caught(Reaction::Ignore, run).ok()
}

/// Runs work whose state is thrown away if it panics; the error is the panic's message.
pub fn supervised<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    N_SUPERVISED.fetch_add(1, Ordering::Relaxed);
    let outcome = caught(Reaction::Report, run);
    N_SUPERVISED.fetch_sub(1, Ordering::Relaxed);
    outcome.map_err(|payload| message(&*payload).to_owned())
}

fn caught<T>(reaction: Reaction, run: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    let before = REACTION.replace(reaction);
    let outcome = catch_unwind(AssertUnwindSafe(run));
    REACTION.set(before);
    outcome
}

/// What a panic says.
pub fn message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_caught_is_known_to_the_hook() {
        assert_eq!(reaction(), Reaction::End);
        let seen = foreign(|| (reaction(), supervised(reaction), reaction()));
        let expected = (Reaction::Ignore, Ok(Reaction::Report), Reaction::Ignore);
        assert_eq!(seen, Some(expected));
        assert_eq!(foreign(|| panic!("not ours")), None::<()>);
        let error = supervised(|| panic!("no {}", "words"));
        assert_eq!(error, Err::<(), _>("no words".to_owned()));
        assert_eq!(reaction(), Reaction::End);
    }

    #[test]
    fn the_engine_belongs_to_whoever_waits_for_it() {
        let engine = || {
            let name = format!("{ENGINE_THREAD}-0");
            let thread = std::thread::Builder::new().name(name).spawn(reaction);
            thread.ok().and_then(|thread| thread.join().ok())
        };
        assert_eq!(supervised(engine), Ok(Some(Reaction::Report)));
    }
}
