//! Recordings through the pipeline, each event with the time at which it came out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use super::machine;
use crate::audio::{self, AudioError, AudioSource};
use crate::cli::Failure;
use crate::daemon::{self, Flow, Stop};
use crate::dsp::SAMPLE_RATE_HZ;
use crate::event::Event;
use crate::pipeline::{Abort, Act, Pipeline, Settings, Stages};
use crate::vad::WINDOW_SAMPLES;
use crate::whisper::Model;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pace {
    /// As if they were spoken now
    Real,
    /// As fast as it goes
    Max,
    /// The same, but only the processors' time counts: for a machine that is busy otherwise
    Work,
}

impl Pace {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Pace::Real => "real",
            Pace::Max => "max",
            Pace::Work => "work",
        }
    }
}

/// What came out of a recording.
#[derive(Default)]
pub(crate) struct Heard {
    /// Events with the second at which each came out.
    pub(crate) events: Vec<(f64, Event)>,
    /// When the end of each utterance was decided, in the order of the finals.
    pub(crate) ends: Vec<f64>,
    /// Seconds of processors.
    pub(crate) cpu_s: f64,
}

/// Work that reports events as it goes.
type Work<'a> = dyn FnMut(&mut dyn FnMut(Event)) + 'a;

/// Plays recordings to the pipeline.
pub(crate) struct Player<'a> {
    /// How fast.
    pub(crate) pace: Pace,
    /// How it is set up.
    pub(crate) settings: &'a Settings,
    /// What listens.
    pub(crate) model: &'a Arc<Model>,
    /// Once requested, what is being played breaks off, and what came out of it is of no use.
    pub(crate) stop: &'a Stop,
}

impl Player<'_> {
    /// Plays `samples` at the pace.
    pub(crate) fn play(&self, samples: &[f32]) -> Result<Heard, Failure> {
        let before = machine::cpu_seconds();
        let mut heard = match self.pace {
            Pace::Max | Pace::Work => simulated(self, samples)?,
            Pace::Real => real(self, samples)?,
        };
        heard.cpu_s = machine::cpu_seconds() - before;
        Ok(heard)
    }
}

/// On a clock of its own: each window of samples comes at its time or when the work on the one
/// before is done, whichever is later, and the work takes what it takes: time, or that of the
/// processors divided by the threads, which does not count what other programs took of them.
fn simulated(player: &Player<'_>, samples: &[f32]) -> Result<Heard, Failure> {
    let Player {
        pace,
        settings,
        model,
        stop,
    } = *player;
    let abort = Abort {
        partial: stop.flag(),
        pause: stop.flag(),
        whole: stop.flag(),
    };
    let mut pipeline = Pipeline::with_abort(settings, model, Act::Report, abort)?;
    let mut heard = Heard::default();
    let mut now_s = 0.0_f64;
    let mut spoken = 0;
    let n_threads = model.exec().n_threads().max(1) as f64;
    let began = Instant::now();
    let clock = || match pace {
        Pace::Work => machine::cpu_seconds() / n_threads,
        Pace::Max | Pace::Real => began.elapsed().as_secs_f64(),
    };
    let mut turn = |spoken: usize, work: &mut Work<'_>| {
        let spoken_s = spoken as f64 / f64::from(SAMPLE_RATE_HZ);
        let free_s = now_s.max(spoken_s);
        let begun_s = clock();
        let since = || free_s + clock() - begun_s;
        work(&mut |event| {
            if matches!(event, Event::Final { .. }) {
                heard.ends.push(spoken_s);
            }
            heard.events.push((since(), event));
        });
        now_s = since();
    };
    for window in samples.chunks(WINDOW_SAMPLES) {
        if stop.is_requested() {
            return Ok(heard);
        }
        spoken += window.len();
        turn(spoken, &mut |sink| pipeline.push(window, sink));
    }
    turn(spoken, &mut |sink| pipeline.flush(sink));
    Ok(heard)
}

/// Through the threads of the daemon, as if it were spoken now.
fn real(player: &Player<'_>, samples: &[f32]) -> Result<Heard, Failure> {
    let Player {
        settings, model, ..
    } = *player;
    let stages = Stages::new(settings, model, Abort::default())?;
    let source = Box::new(Recording {
        samples: samples.to_vec(),
        at: 0,
    });
    let mut heard = Heard::default();
    let silence_s = f64::from(settings.segmenter.endpoint.min_silence_ms) / 1000.0;
    let duration_s = samples.len() as f64 / f64::from(SAMPLE_RATE_HZ);
    let began = Instant::now();
    daemon::run(
        daemon::Input::of(source, daemon::Pace::RealTime),
        stages,
        player.stop,
        &mut |event| {
            if let Event::Final { t1, .. } = &event {
                heard.ends.push(decided_s(t1.0, silence_s).min(duration_s));
            }
            heard.events.push((began.elapsed().as_secs_f64(), event));
            Flow::Go
        },
    )?;
    Ok(heard)
}

/// When the end of speech at `t1` is known: at the end of the window in which the silence has
/// lasted long enough.
fn decided_s(t1: f64, silence_s: f64) -> f64 {
    let window_s = WINDOW_SAMPLES as f64 / f64::from(SAMPLE_RATE_HZ);
    t1 + (silence_s / window_s).ceil() * window_s
}

/// Samples in memory as a source.
struct Recording {
    samples: Vec<f32>,
    at: usize,
}

impl AudioSource for Recording {
    fn read(&mut self, out: &mut Vec<f32>) -> Result<audio::Heard, AudioError> {
        let end = (self.at + WINDOW_SAMPLES).min(self.samples.len());
        out.extend_from_slice(&self.samples[self.at..end]);
        let next = match end - self.at {
            0 => audio::Heard::End,
            _ => audio::Heard::Samples,
        };
        self.at = end;
        Ok(next)
    }

    fn duration_s(&self) -> Option<f64> {
        let duration = Duration::from_secs_f64(self.samples.len() as f64 / 16_000.0);
        Some(duration.as_secs_f64())
    }
}
