//! What gives way when the machine cannot keep up: first captions come less often, then not at all
//! until the end, then a smaller model takes over. Finals never go.
//!
//! In: how long each step and each utterance's rest took, and how much speech it covered. Out: how
//! far to give way. Pure logic; the recogniser thread measures.

use crate::event::Relief;

/// Part of its time that a step may take, beyond which there is too much to do.
const HEAVY: f64 = 0.8;
/// Part of its time below which there is room for more.
const LIGHT: f64 = 0.3;
/// Steps or utterances in a row that make a change.
const N_HEAVY: u32 = 3;
const N_LIGHT: u32 = 10;
/// Utterances without captions that must have been light before captions are tried again.
const N_LIGHT_UTTERANCES: u32 = 3;

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

    /// A step took `took_s` seconds; the next one is due `every_s` seconds after it. The new relief,
    /// if it changes.
    pub(super) fn step(&mut self, took_s: f64, every_s: f64) -> Option<Relief> {
        self.judge(took_s / every_s.max(1e-3), N_LIGHT)
    }

    /// An utterance with `speech_s` seconds of speech took `took_s` in all to work out.
    pub(super) fn utterance(&mut self, took_s: f64, speech_s: f64) -> Option<Relief> {
        match self.relief {
            // While there are steps, they tell.
            Relief::None | Relief::Spaced | Relief::Rare => None,
            Relief::FinalsOnly | Relief::SmallerModel => {
                self.judge(took_s / speech_s.max(0.5), N_LIGHT_UTTERANCES)
            }
        }
    }

    fn judge(&mut self, load: f64, n_light: u32) -> Option<Relief> {
        (self.n_heavy, self.n_light) = match load {
            load if load > HEAVY => (self.n_heavy + 1, 0),
            load if load < LIGHT => (0, self.n_light + 1),
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

    fn steps(pressure: &mut Pressure, n: usize, load: f64) -> Vec<Relief> {
        (0..n).filter_map(|_| pressure.step(load, 1.0)).collect()
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
            .filter_map(|_| pressure.utterance(3.0, 2.0))
            .collect();
        assert_eq!(heavy, [Relief::SmallerModel]);
        let light: Vec<_> = (0..6)
            .filter_map(|_| pressure.utterance(0.2, 2.0))
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
            .filter_map(|_| pressure.utterance(9.0, 2.0))
            .collect();
        assert_eq!(heavy, []);
    }
}
