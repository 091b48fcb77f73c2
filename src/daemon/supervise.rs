//! Stages that panic are replaced, unless they do so again and again.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::error::Kind;
use crate::event::Stage;
use crate::guard::supervised;
use crate::stats::{Counter, Numbers};

/// More restarts than this within [`PERIOD`] are no accident: the program ends, and whoever watches it
/// starts it again with fresh memory.
const MAX_RESTARTS: usize = 5;
const PERIOD: Duration = Duration::from_secs(60);

/// The restarts of late, of all stages.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    at: Mutex<VecDeque<Instant>>,
}

impl Restarts {
    /// Whether there were too many, this one included.
    fn are_too_many(&self, now: Instant) -> bool {
        let mut at = self.at.lock().unwrap_or_else(|e| e.into_inner());
        at.push_back(now);
        while at
            .front()
            .is_some_and(|first| now.duration_since(*first) > PERIOD)
        {
            at.pop_front();
        }
        at.len() > MAX_RESTARTS
    }
}

/// Runs a piece of a stage's work; what the panic said, if it panicked. The stage must be replaced
/// then.
pub(super) fn supervise<T>(
    stage: Stage,
    (restarts, numbers): (&Restarts, &Numbers),
    work: impl FnOnce() -> T,
) -> Result<T, String> {
    supervised(work).inspect_err(|message| {
        log::error!(
            "the {} stopped at a bug and is replaced: {message}",
            name(stage)
        );
        counter(numbers, stage).count();
        if restarts.are_too_many(Instant::now()) {
            log::error!("{MAX_RESTARTS} bugs in {} s: giving up", PERIOD.as_secs());
            std::process::exit(i32::from(Kind::Bug.exit_code()));
        }
    })
}

/// What the stage is called.
pub(super) fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Front => "front",
        Stage::Recogniser => "recogniser",
        Stage::Control => "control stage",
    }
}

fn counter(numbers: &Numbers, stage: Stage) -> &Counter {
    match stage {
        Stage::Front => &numbers.threads.front_restarts,
        Stage::Recogniser => &numbers.threads.recogniser_restarts,
        Stage::Control => &numbers.threads.control_restarts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_forgiven_and_then_forgotten() {
        let (restarts, now) = (Restarts::default(), Instant::now());
        for n in 0..MAX_RESTARTS {
            assert!(!restarts.are_too_many(now + Duration::from_secs(n as u64)));
        }
        assert!(restarts.are_too_many(now + Duration::from_secs(10)));
        assert!(!restarts.are_too_many(now + Duration::from_secs(120)));
    }

    #[test]
    fn work_that_panics_is_an_error() {
        let (restarts, numbers) = (Restarts::default(), Numbers::default());
        let by = (&restarts, &numbers);
        assert_eq!(supervise(Stage::Front, by, || 3), Ok(3));
        let error = supervise(Stage::Recogniser, by, || panic!("a bug"));
        assert_eq!(error, Err::<(), _>("a bug".to_owned()));
        assert_eq!(numbers.threads.recogniser_restarts.get(), 1);
        assert_eq!(numbers.threads.front_restarts.get(), 0);
    }
}
