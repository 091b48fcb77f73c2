//! Timers: set, cancelled, paused, asked about, and ringing when they are over.
//!
//! Times are seconds on a clock that the caller reads: the samples in replay, a clock that goes on
//! while the machine sleeps in the daemon. Bounded in number. Pure.

use super::TimerSettings;

/// Most timers at the same time.
const MAX_TIMERS: usize = 32;

/// A timer as it is kept over a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedTimer {
    /// Its number.
    pub number: u64,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Whether it runs.
    pub state: SavedState,
}

/// The state of a kept timer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SavedState {
    /// It is over at this time of the clock, in seconds; one that rings was over before.
    Runs {
        /// The time.
        due_s: f64,
    },
    /// It stands still.
    Stands {
        /// What is left, in seconds.
        left_s: f64,
    },
}

/// A timer as it is at a time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TimerView {
    pub(crate) number: u64,
    pub(crate) name: Option<String>,
    /// Whole seconds, a begun one counted.
    pub(crate) left_s: u64,
    /// Whether it is paused.
    pub(crate) stands: bool,
}

/// Why a timer cannot be had.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// There is none, or none of that name.
    NoTimer,
    /// It may be any of these.
    Which(Vec<TimerView>),
    /// There are as many as can be.
    TooMany,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Runs {
        due_s: f64,
    },
    Stands {
        left_s: f64,
    },
    Rings {
        over_s: f64,
        next_s: f64,
        n_left: u32,
    },
}

#[derive(Clone, Debug)]
struct Timer {
    number: u64,
    name: Option<String>,
    state: State,
}

impl Timer {
    fn view(&self, now_s: f64) -> TimerView {
        let left = match self.state {
            State::Runs { due_s } => due_s - now_s,
            State::Stands { left_s } => left_s,
            State::Rings { .. } => 0.0,
        };
        // A hair above a whole number is rounding, not a begun second.
        let left_s = (left - 1e-3).ceil().max(0.0) as u64;
        TimerView {
            number: self.number,
            name: self.name.clone(),
            left_s,
            stands: matches!(self.state, State::Stands { .. }),
        }
    }

    fn rings(&self) -> bool {
        matches!(self.state, State::Rings { .. })
    }

    /// When it next needs attention.
    fn due(&self) -> Option<f64> {
        match self.state {
            State::Runs { due_s } => Some(due_s),
            State::Rings { next_s, .. } => Some(next_s),
            State::Stands { .. } => None,
        }
    }

    fn is_called(&self, name: Option<&str>) -> bool {
        // "Eggs" is the same as "egg".
        let stem = |name: &str| name.trim_end_matches('s').to_lowercase();
        name.is_none_or(|name| {
            let own = self.name.as_deref();
            own.is_some_and(|own| stem(own) == stem(name))
        })
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Timers {
    rings: u32,
    ring_every_s: f64,
    all: Vec<Timer>,
    next_number: u64,
}

impl Timers {
    /// No timers.
    pub(crate) fn new(settings: &TimerSettings) -> Self {
        Timers {
            rings: settings.rings,
            ring_every_s: f64::from(settings.ring_every_s),
            all: Vec::new(),
            next_number: 1,
        }
    }

    /// Takes timers up again that were kept.
    pub(crate) fn restore(&mut self, saved: Vec<SavedTimer>) {
        for timer in saved.into_iter().take(MAX_TIMERS) {
            self.next_number = self.next_number.max(timer.number.saturating_add(1));
            self.all.push(Timer {
                number: timer.number,
                name: timer.name,
                state: match timer.state {
                    SavedState::Runs { due_s } => State::Runs { due_s },
                    SavedState::Stands { left_s } => State::Stands { left_s },
                },
            });
        }
    }

    /// What is to be kept.
    pub(crate) fn saved(&self) -> Vec<SavedTimer> {
        let saved = |timer: &Timer| SavedTimer {
            number: timer.number,
            name: timer.name.clone(),
            state: match timer.state {
                State::Runs { due_s } => SavedState::Runs { due_s },
                State::Rings { over_s, .. } => SavedState::Runs { due_s: over_s },
                State::Stands { left_s } => SavedState::Stands { left_s },
            },
        };
        self.all.iter().map(saved).collect()
    }

    /// Sets a timer.
    pub(crate) fn set(
        &mut self,
        name: Option<String>,
        seconds: u64,
        now_s: f64,
    ) -> Result<TimerView, Refusal> {
        if self.all.len() >= MAX_TIMERS {
            return Err(Refusal::TooMany);
        }
        let timer = Timer {
            number: self.next_number,
            name,
            state: State::Runs {
                due_s: now_s + seconds as f64,
            },
        };
        self.next_number = self.next_number.saturating_add(1);
        let view = timer.view(now_s);
        self.all.push(timer);
        Ok(view)
    }

    /// Cancels the timer that is meant.
    pub(crate) fn cancel(&mut self, name: Option<&str>, now_s: f64) -> Result<TimerView, Refusal> {
        let at = self.meant(name, now_s)?;
        Ok(self.all.remove(at).view(now_s))
    }

    /// Cancels the timer of that number, if there still is one.
    pub(crate) fn cancel_number(&mut self, number: u64, now_s: f64) -> Option<TimerView> {
        let at = self.all.iter().position(|timer| timer.number == number)?;
        Some(self.all.remove(at).view(now_s))
    }

    /// Cancels all.
    pub(crate) fn cancel_all(&mut self, now_s: f64) -> Vec<TimerView> {
        self.all.drain(..).map(|timer| timer.view(now_s)).collect()
    }

    /// Those of that name; all without one.
    pub(crate) fn left(&self, name: Option<&str>, now_s: f64) -> Vec<TimerView> {
        let named = self.all.iter().filter(|timer| timer.is_called(name));
        named.map(|timer| timer.view(now_s)).collect()
    }

    /// Lets the timer that is meant stand still.
    pub(crate) fn pause(&mut self, name: Option<&str>, now_s: f64) -> Result<TimerView, Refusal> {
        self.change(name, now_s, |state| match state {
            State::Runs { due_s } => Some(State::Stands {
                left_s: due_s - now_s,
            }),
            _ => None,
        })
    }

    /// Lets it go on.
    pub(crate) fn resume(&mut self, name: Option<&str>, now_s: f64) -> Result<TimerView, Refusal> {
        self.change(name, now_s, |state| match state {
            State::Stands { left_s } => Some(State::Runs {
                due_s: now_s + left_s,
            }),
            _ => None,
        })
    }

    /// Whether some timer rings.
    pub(crate) fn ring_now(&self) -> bool {
        self.all.iter().any(Timer::rings)
    }

    /// Ends all ringing.
    pub(crate) fn silence(&mut self, now_s: f64) -> Vec<TimerView> {
        let (ringing, others) = self.all.drain(..).partition(Timer::rings);
        self.all = others;
        ringing
            .iter()
            .map(|timer: &Timer| timer.view(now_s))
            .collect()
    }

    /// When something is next to be done.
    pub(crate) fn due(&self) -> Option<f64> {
        let dues = self.all.iter().filter_map(Timer::due);
        dues.min_by(f64::total_cmp)
    }

    /// Those that ring at this time; they ring once for each time that they are given out. What has
    /// rung often enough is gone.
    pub(crate) fn ring(&mut self, now_s: f64) -> Vec<TimerView> {
        let mut ringing = Vec::new();
        let (rings, every_s) = (self.rings, self.ring_every_s);
        self.all.retain_mut(|timer| {
            if timer.due().is_none_or(|due_s| due_s > now_s) {
                return true;
            }
            let (over_s, n_left) = match timer.state {
                State::Runs { due_s } => (due_s, rings),
                State::Rings { over_s, n_left, .. } => (over_s, n_left),
                State::Stands { .. } => return true,
            };
            let Some(n_left) = n_left.checked_sub(1) else {
                return false;
            };
            timer.state = State::Rings {
                over_s,
                next_s: now_s + every_s,
                n_left,
            };
            ringing.push(timer.view(now_s));
            true
        });
        ringing
    }

    fn change(
        &mut self,
        name: Option<&str>,
        now_s: f64,
        to: impl Fn(State) -> Option<State>,
    ) -> Result<TimerView, Refusal> {
        // Of several timers, those are meant for which it makes a change.
        let can = |timer: &Timer| to(timer.state).is_some();
        let at = self.meant_of(name, now_s, can)?;
        let timer = &mut self.all[at];
        if let Some(state) = to(timer.state) {
            timer.state = state;
        }
        Ok(timer.view(now_s))
    }

    fn meant(&self, name: Option<&str>, now_s: f64) -> Result<usize, Refusal> {
        match self.meant_of(name, now_s, Timer::rings) {
            Err(Refusal::NoTimer) => self.meant_of(name, now_s, |_| true),
            found => found,
        }
    }

    /// Index of the timer that is meant among those that are `possible`: the one of that name or,
    /// without a name, the only one, or the only one without a name.
    fn meant_of(
        &self,
        name: Option<&str>,
        now_s: f64,
        possible: impl Fn(&Timer) -> bool,
    ) -> Result<usize, Refusal> {
        let all = self.all.iter().enumerate();
        let meant: Vec<_> = all
            .filter(|(_, timer)| timer.is_called(name) && possible(timer))
            .collect();
        let nameless: Vec<_> = meant.iter().filter(|(_, t)| t.name.is_none()).collect();
        match (meant.as_slice(), nameless.as_slice()) {
            ([], _) => Err(Refusal::NoTimer),
            ([(at, _)], _) | (_, [(at, _)]) => Ok(*at),
            (several, _) => {
                let views = several.iter().map(|(_, timer)| timer.view(now_s));
                Err(Refusal::Which(views.collect()))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn timers() -> Timers {
        Timers::new(&TimerSettings {
            rings: 2,
            ring_every_s: 5.0,
            ..TimerSettings::default()
        })
    }

    fn named(name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    #[test]
    fn one_rings_when_it_is_over_as_often_as_it_should() {
        let mut timers = timers();
        let view = timers.set(None, 60, 100.0).unwrap();
        assert_eq!((view.number, view.left_s), (1, 60));
        assert_eq!(timers.due(), Some(160.0));
        assert!(timers.ring(159.9).is_empty());
        assert_eq!(timers.left(None, 159.9)[0].left_s, 1);
        assert_eq!(timers.ring(160.0).len(), 1);
        assert!(timers.ring_now());
        assert!(timers.ring(160.0).is_empty());
        assert_eq!(timers.ring(165.0).len(), 1);
        assert!(timers.ring_now());
        assert!(timers.ring(170.0).is_empty());
        assert_eq!((timers.ring_now(), timers.due()), (false, None));
    }

    #[test]
    fn a_machine_that_slept_rings_once_at_a_time() {
        let mut timers = timers();
        timers.set(None, 60, 0.0).unwrap();
        assert_eq!(timers.ring(10_000.0).len(), 1);
        assert!(timers.ring(10_004.0).is_empty());
        assert_eq!(timers.silence(10_004.0).len(), 1);
        assert_eq!(timers.due(), None);
    }

    #[test]
    fn names_tell_them_apart() {
        let mut timers = timers();
        timers.set(named("pizza"), 60, 0.0).unwrap();
        timers.set(named("eggs"), 30, 0.0).unwrap();
        assert!(matches!(timers.cancel(None, 1.0), Err(Refusal::Which(all)) if all.len() == 2));
        assert_eq!(timers.cancel(Some("tea"), 1.0), Err(Refusal::NoTimer));
        assert_eq!(timers.left(Some("egg"), 1.0)[0].left_s, 29);
        // The only one without a name is what "the timer" means.
        timers.set(None, 10, 0.0).unwrap();
        assert_eq!(timers.cancel(None, 1.0).unwrap().name, None);
        // And one that rings is what anybody wants to be rid of.
        timers.ring(30.0);
        assert_eq!(timers.cancel(None, 30.0).unwrap().name, named("eggs"));
        assert_eq!(timers.cancel_all(31.0).len(), 1);
        assert_eq!(timers.cancel(None, 31.0), Err(Refusal::NoTimer));
    }

    #[test]
    fn one_that_stands_still_goes_on_where_it_was() {
        let mut timers = timers();
        timers.set(None, 60, 0.0).unwrap();
        assert_eq!(timers.resume(None, 10.0), Err(Refusal::NoTimer));
        let view = timers.pause(None, 10.0).unwrap();
        assert_eq!((view.left_s, view.stands), (50, true));
        assert!(timers.ring(1_000.0).is_empty());
        timers.resume(None, 1_000.0).unwrap();
        assert_eq!(timers.due(), Some(1_050.0));
    }

    #[test]
    fn they_outlive_a_restart_and_are_bounded() {
        let mut timers = timers();
        timers.set(named("tea"), 60, 0.0).unwrap();
        timers.set(None, 100, 0.0).unwrap();
        timers.pause(None, 40.0).unwrap();
        timers.ring(60.0);
        let saved = timers.saved();
        let mut again = self::timers();
        again.restore(saved.clone());
        assert_eq!(again.saved(), saved);
        assert_eq!(again.ring(61.0).len(), 1);
        assert_eq!(again.set(None, 1, 0.0).unwrap().number, 3);
        while again.all.len() < MAX_TIMERS {
            again.set(None, 1, 0.0).unwrap();
        }
        assert_eq!(again.set(None, 1, 0.0), Err(Refusal::TooMany));
    }
}
