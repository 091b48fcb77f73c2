//! What gives way when the machine cannot keep up: first captions come less often, then not at all
//! until the end, then a smaller model takes over. Finals never go.
//!
//! In: how long each step and each utterance's rest took, how much speech it covered, and how late it
//! came. Out: how far to give way. Pure logic; the recogniser thread measures.

use crate::event::Relief;

/// Part of its time that a step may take, beyond which there is too much to do.
const HEAVY: f64 = 0.8;
/// Part of its time below which there is room for more.
const LIGHT: f64 = 0.3;
/// What comes so many seconds late is a degree too much, and twice as late, two.
const LATE_S: f64 = 3.0;
/// The shortest speech that counts: even a word takes some time.
const MIN_S: f64 = 0.5;
/// Steps or utterances in a row that make a change.
const N_HEAVY: u32 = 3;
const N_LIGHT: u32 = 10;
/// Utterances without captions that must have been light before captions are tried again.
const N_LIGHT_UTTERANCES: u32 = 3;

/// Work, and the speech it was for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// How long it took, in seconds.
    pub(super) took_s: f64,
    /// How much speech it was for, in seconds.
    pub(super) of_s: f64,
    /// From the end of the speech until it was done, in seconds.
    pub(super) late_s: f64,
}

/// How far the recogniser gives way.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    relief: Relief,
    has_smaller: bool,
    n_heavy: u32,
    n_light: u32,
}

impl Pressure {
    /// No pressure yet; whether there is a smaller model to fall back on.
    pub(super) fn new(has_smaller: bool) -> Self {
        Pressure {
            has_smaller,
            ..Pressure::default()
        }
    }

    /// A step was made, of speech up to the next one. The new relief, if it changes.
    pub(super) fn step(&mut self, load: Load) -> Option<Relief> {
        self.judge(load, (LIGHT, N_LIGHT))
    }

    /// An utterance was worked out, with all its steps.
    pub(super) fn utterance(&mut self, load: Load) -> Option<Relief> {
        match self.relief {
            // While there are steps, they tell; but a rest that takes too long is no step.
            Relief::None | Relief::Spaced | Relief::Rare => self.yield_to(load.late_s),
            // Whether there is room for steps, only steps can tell.
            Relief::FinalsOnly => self.judge(load, (HEAVY, N_LIGHT_UTTERANCES)),
            Relief::SmallerModel => self.judge(load, (LIGHT, N_LIGHT_UTTERANCES)),
        }
    }

    /// Gives way at once to what is much too late.
    fn yield_to(&mut self, late_s: f64) -> Option<Relief> {
        let before = self.relief;
        for _ in 0..(late_s / LATE_S).clamp(0.0, 8.0) as u32 {
            self.relief = self.more();
        }
        (self.relief != before).then(|| {
            (self.n_heavy, self.n_light) = (0, 0);
            self.relief
        })
    }

    fn judge(&mut self, load: Load, (light, n_light): (f64, u32)) -> Option<Relief> {
        if load.late_s >= LATE_S {
            self.n_light = 0;
            return self.yield_to(load.late_s);
        }
        (self.n_heavy, self.n_light) = match load.took_s / load.of_s.max(MIN_S) {
            load if load > HEAVY => (self.n_heavy + 1, 0),
            load if load < light => (0, self.n_light + 1),
            _ => (0, 0),
        };
        let next = if self.n_heavy >= N_HEAVY {
            self.more()
        } else if self.n_light >= n_light {
            self.less()
        } else {
            return None;
        };
        (self.n_heavy, self.n_light) = (0, 0);
        (next != self.relief).then(|| {
            self.relief = next;
            next
        })
    }

    fn more(&self) -> Relief {
        match self.relief {
            Relief::None => Relief::Spaced,
            Relief::Spaced => Relief::Rare,
            Relief::Rare => Relief::FinalsOnly,
            Relief::FinalsOnly if self.has_smaller => Relief::SmallerModel,
            last => last,
        }
    }

    fn less(&self) -> Relief {
        match self.relief {
            Relief::None | Relief::Spaced => Relief::None,
            Relief::Rare => Relief::Spaced,
            Relief::FinalsOnly => Relief::Rare,
            Relief::SmallerModel => Relief::FinalsOnly,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(took_s: f64, of_s: f64) -> Load {
        Load {
            took_s,
            of_s,
            late_s: 0.0,
        }
    }

    fn steps(pressure: &mut Pressure, n: usize, took_s: f64) -> Vec<Relief> {
        (0..n)
            .filter_map(|_| pressure.step(load(took_s, 1.0)))
            .collect()
    }

    #[test]
    fn it_gives_way_by_degrees_and_comes_back() {
        let mut pressure = Pressure::new(true);
        assert_eq!(steps(&mut pressure, 2, 0.9), []);
        assert_eq!(steps(&mut pressure, 1, 0.9), [Relief::Spaced]);
        assert_eq!(
            steps(&mut pressure, 6, 0.9),
            [Relief::Rare, Relief::FinalsOnly]
        );
        let heavy: Vec<_> = (0..3)
            .filter_map(|_| pressure.utterance(load(3.0, 2.0)))
            .collect();
        assert_eq!(heavy, [Relief::SmallerModel]);
        let light: Vec<_> = (0..6)
            .filter_map(|_| pressure.utterance(load(0.2, 2.0)))
            .collect();
        assert_eq!(light, [Relief::FinalsOnly, Relief::Rare]);
        assert_eq!(
            steps(&mut pressure, 20, 0.1),
            [Relief::Spaced, Relief::None]
        );
        assert_eq!(steps(&mut pressure, 20, 0.1), []);
    }

    #[test]
    fn a_single_slow_step_changes_nothing() {
        let mut pressure = Pressure::new(false);
        for _ in 0..10 {
            assert_eq!(steps(&mut pressure, 2, 5.0), []);
            assert_eq!(steps(&mut pressure, 1, 0.5), []);
        }
    }

    #[test]
    fn without_a_smaller_model_finals_are_the_last_resort() {
        let mut pressure = Pressure::new(false);
        steps(&mut pressure, 9, 0.9);
        let heavy: Vec<_> = (0..9)
            .filter_map(|_| pressure.utterance(load(9.0, 2.0)))
            .collect();
        assert_eq!(heavy, []);
    }

    #[test]
    fn what_is_much_too_late_gives_way_at_once() {
        let late = |late_s: f64| Load {
            late_s,
            ..load(0.1, 2.0)
        };
        let mut pressure = Pressure::new(true);
        assert_eq!(pressure.utterance(late(2.9)), None);
        assert_eq!(pressure.utterance(late(3.1)), Some(Relief::Spaced));
        assert_eq!(pressure.step(late(6.1)), Some(Relief::FinalsOnly));
        assert_eq!(pressure.utterance(late(60.0)), Some(Relief::SmallerModel));
        assert_eq!(pressure.utterance(late(60.0)), None);
        // As long as it is late, there is no room for more.
        assert!((0..9).all(|_| pressure.utterance(late(4.0)).is_none()));
        let back: Vec<_> = (0..3)
            .filter_map(|_| pressure.utterance(load(0.1, 2.0)))
            .collect();
        assert_eq!(back, [Relief::FinalsOnly]);
        // One late moment is not for good, even where finals alone take half of the time.
        let back: Vec<_> = (0..3)
            .filter_map(|_| pressure.utterance(load(1.0, 2.0)))
            .collect();
        assert_eq!(back, [Relief::Rare]);
    }
}
