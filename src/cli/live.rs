//! What `caption`, `replay` and `run` share: a source fed to the pipeline.

use std::sync::Arc;

use super::Failure;
use super::interruptible::Interruptible;
use crate::audio::{AudioSource, Heard};
use crate::daemon::{self, Flow, Input, Pace, Stop};
use crate::event::Event;
use crate::pipeline::{Abort, Act, Pipeline, Settings, Stages};
use crate::whisper::Model;

/// How a source is fed to the pipeline.
#[derive(Clone, Debug)]
pub(crate) enum Feed {
    /// By the daemon's threads, at this pace.
    Threads(Pace),
    /// Straight, as fast as it goes; commands are carried out or not.
    Direct(Act),
}

/// What is fed, and to what.
pub(crate) struct Work<'a> {
    /// Where the sound comes from.
    pub(crate) source: Box<dyn AudioSource>,
    /// How it is fed.
    pub(crate) feed: Feed,
    /// How the stages are set up.
    pub(crate) settings: &'a Settings,
    /// What understands the speech.
    pub(crate) model: &'a Arc<Model>,
    /// Ends the work early.
    pub(crate) stop: &'a Stop,
}

impl Work<'_> {
    /// Feeds the source until its end or the stop; events go to `sink`.
    pub(crate) fn run(self, sink: &mut dyn FnMut(Event) -> Flow) -> Result<(), Failure> {
        match self.feed.clone() {
            Feed::Threads(pace) => {
                let stages = Stages::new(self.settings, self.model, Abort::default())?;
                log::info!("listening");
                let input = Input::of(self.source, pace);
                Ok(daemon::run(input, stages, self.stop, sink)?)
            }
            Feed::Direct(act) => self.direct(act, sink),
        }
    }

    fn direct(self, act: Act, sink: &mut dyn FnMut(Event) -> Flow) -> Result<(), Failure> {
        let mut source = Interruptible::of(self.source, self.stop)?;
        let abort = Abort {
            partial: self.stop.flag(),
            pause: self.stop.deadline(),
            whole: self.stop.deadline(),
        };
        let mut pipeline = Pipeline::with_abort(self.settings, self.model, act, abort)?;
        let mut samples = Vec::new();
        let mut outcome = Ok(());
        let mut wanted = Flow::Go;
        while wanted == Flow::Go && !self.stop.is_requested() {
            samples.clear();
            let mut each = |event: Event| {
                if wanted == Flow::Go {
                    wanted = sink(event);
                }
            };
            match source.read(&mut samples) {
                Ok(Heard::Samples) => pipeline.push(&samples, &mut each),
                Ok(Heard::Gap { n_samples, reason }) => pipeline.gap(n_samples, reason, &mut each),
                Ok(Heard::Device { state, name }) => each(Event::Device { state, name }),
                Ok(Heard::Nothing) => {}
                Ok(Heard::End) => break,
                Err(error) => {
                    // What was heard before the damage is still delivered.
                    outcome = Err(Failure::from(error));
                    break;
                }
            }
        }
        if wanted == Flow::Go {
            pipeline.flush(&mut |event| {
                sink(event);
            });
        }
        outcome
    }
}
