//! A source that a stop interrupts, whatever it waits for.
//!
//! In: a source, or how to open one. Out: its samples, in the same pieces. Standard input gives
//! nothing for as long as its writer likes, and nothing can end that wait; so the source is opened
//! and read on a thread of its own, at most [`N_PIECES`] ahead, and at the stop the stream is over
//! while that thread keeps waiting until the process ends.

use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::Failure;
use crate::audio::{self, AudioError, AudioSource, Heard, SourceSpec};
use crate::daemon::Stop;
use crate::error::Kind;

/// Pieces that are read ahead, 100 ms each.
const N_PIECES: usize = 16;

/// A reader that found nothing for so long says so.
const NOTHING: Duration = Duration::from_millis(200);

/// What one read gave, with the samples.
type Piece = (Heard, Vec<f32>);

/// What the reading thread says first: the length, if it is known, or why nothing can be read.
type Opened = Result<Option<f64>, AudioError>;

/// The source.
pub(crate) struct Interruptible {
    pieces: Receiver<Result<Piece, AudioError>>,
    stop: Stop,
    duration_s: Option<f64>,
}

impl Interruptible {
    /// Opens a source. At a stop meanwhile it is an empty one.
    pub(crate) fn open(spec: &SourceSpec, stop: &Stop) -> Result<Self, Failure> {
        let spec = spec.clone();
        Interruptible::start(move || audio::open(&spec), stop)
    }

    /// Makes an open source interruptible.
    pub(crate) fn of(source: Box<dyn AudioSource>, stop: &Stop) -> Result<Self, Failure> {
        Interruptible::start(move || Ok(source), stop)
    }

    fn start(
        open: impl FnOnce() -> Result<Box<dyn AudioSource>, AudioError> + Send + 'static,
        stop: &Stop,
    ) -> Result<Self, Failure> {
        let (opened_in, opened) = bounded::<Opened>(1);
        let (pieces_in, pieces) = bounded(N_PIECES);
        let read = move || match open() {
            Ok(source) => {
                if opened_in.send(Ok(source.duration_s())).is_ok() {
                    pass_on(source, &pieces_in);
                }
            }
            // Nobody waits for it after a stop.
            Err(error) => drop(opened_in.send(Err(error))),
        };
        let thread = thread::Builder::new().name("source".to_owned()).spawn(read);
        thread.map_err(|error| {
            Failure::new(
                Kind::Bug,
                format!("cannot start the thread that reads: {error}"),
            )
        })?;
        let duration_s = select! {
            recv(opened) -> opened => opened.unwrap_or(Ok(None))?,
            recv(stop.requests()) -> _ => None,
        };
        Ok(Interruptible {
            pieces,
            stop: stop.clone(),
            duration_s,
        })
    }
}

/// Reads to the end, or until nobody listens any more.
fn pass_on(mut source: Box<dyn AudioSource>, to: &Sender<Result<Piece, AudioError>>) {
    loop {
        let mut samples = Vec::new();
        let piece = match source.read(&mut samples) {
            Ok(Heard::End) => return,
            Ok(next) => Ok((next, samples)),
            Err(error) => Err(error),
        };
        let is_last = piece.is_err();
        if to.send(piece).is_err() || is_last {
            return;
        }
    }
}

impl AudioSource for Interruptible {
    fn read(&mut self, out: &mut Vec<f32>) -> Result<Heard, AudioError> {
        if self.stop.is_requested() {
            return Ok(Heard::End);
        }
        let next = select! {
            recv(self.pieces) -> next => next.ok(),
            recv(self.stop.requests()) -> _ => None,
            default(NOTHING) => return Ok(Heard::Nothing),
        };
        let Some((next, samples)) = next.transpose()? else {
            return Ok(Heard::End);
        };
        out.extend_from_slice(&samples);
        Ok(next)
    }

    fn duration_s(&self) -> Option<f64> {
        self.duration_s
    }
}
