//! `hark devices --watch`: a level meter.

use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::audio::{Loudness, Meter, Reading, ZEROS_ADVICE};
use crate::cli::failure::say;
use crate::cli::output::{self, Out, json};
use crate::cli::setup::Setup;
use crate::cli::signals::OnSignal;
use crate::cli::{Failure, Globals};
use crate::daemon::Stop;
use crate::event::Seconds;

/// How long nothing is done where nothing has come.
const POLL: Duration = Duration::from_millis(10);
/// Zeros that are worth a word, in seconds.
const ZEROS_S: u64 = 3;
/// Cells of the bar, from [`LEAST_DB`] to full scale.
const N_CELLS: usize = 40;
const LEAST_DB: f64 = -60.0;

/// What is shown, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Show {
    /// A bar that moves.
    Bar,
    /// A line for each second.
    Lines,
    /// The same as JSON.
    Json,
}

#[derive(Serialize)]
struct Device<'a> {
    device: &'a str,
    rate_hz: u32,
    channels: usize,
    format: &'a str,
    buffer_frames: Option<u32>,
}

/// A second; a level of silence to the last bit is null.
#[derive(Serialize)]
struct Line {
    t: Seconds,
    rms_db: Option<f64>,
    peak_db: Option<f64>,
    clipped: u64,
    clipped_by_gain: u64,
    lost_frames: u64,
    zeros: bool,
}

/// Watches the device called `name`, or the configured one when that is empty.
pub(super) fn run(name: &str, seconds: Option<u32>, globals: &Globals) -> Result<(), Failure> {
    let signals = OnSignal::watch(0)?;
    let setup = Setup::load(globals)?;
    let name = match name {
        "" => &setup.config.audio.device,
        name => name,
    };
    let meter = Meter::open(&setup.capture(name))?;
    let show = match (globals.json, output::stdout_is_screen()) {
        (true, _) => Show::Json,
        (false, true) => Show::Bar,
        (false, false) => Show::Lines,
    };
    let rate_hz = u64::from(meter.format().rate_hz);
    let mut watch = Watch {
        n_max_frames: seconds.map(|n| u64::from(n) * rate_hz),
        meter,
        rate_hz,
        show,
        out: Out::stdout(),
        n_frames: 0,
        n_zero_frames: 0,
        n_clipped: 0,
    };
    watch.begin()?;
    let outcome = watch.until(signals.begin());
    watch.end()?;
    outcome
}

struct Watch {
    meter: Meter,
    rate_hz: u64,
    n_max_frames: Option<u64>,
    show: Show,
    out: Out,
    /// Frames so far.
    n_frames: u64,
    /// Of them zeros, since the last sound.
    n_zero_frames: u64,
    /// Samples so far, of device and gain.
    n_clipped: u64,
}

impl Watch {
    fn begin(&mut self) -> Result<(), Failure> {
        let (name, format) = (self.meter.name(), self.meter.format());
        let text = match self.show {
            Show::Json => json::line(&Device {
                device: name,
                rate_hz: format.rate_hz,
                channels: format.n_channels,
                format: &format.sample_format,
                buffer_frames: format.buffer_frames,
            }),
            _ => format!("{name}: {format}"),
        };
        self.out.line(&text)
    }

    /// Shows readings until the stop, the given time or an error.
    fn until(&mut self, stop: &Stop) -> Result<(), Failure> {
        let n_each = match self.show {
            Show::Bar => self.rate_hz / 10,
            Show::Lines | Show::Json => self.rate_hz,
        };
        let mut reading = Reading::default();
        while !stop.is_requested() {
            if self
                .n_max_frames
                .is_some_and(|n_max| self.n_frames >= n_max)
            {
                return Ok(());
            }
            match self.meter.take(n_each - reading.n_frames, &mut reading)? {
                0 => thread::sleep(POLL),
                _ if reading.n_frames < n_each => {}
                _ => self.show(&std::mem::take(&mut reading))?,
            }
        }
        Ok(())
    }

    fn show(&mut self, reading: &Reading) -> Result<(), Failure> {
        self.n_frames += reading.n_frames;
        self.n_clipped += reading.n_clipped + reading.n_clipped_by_gain;
        self.watch_zeros(reading)?;
        let (rms_db, peak_db) = (reading.loudness.rms_db(), reading.loudness.peak_db());
        match self.show {
            Show::Bar => {
                let bar = bar(rms_db, peak_db);
                let levels = levels(rms_db, peak_db);
                let clipped = self.n_clipped;
                self.out
                    .write(&format!("\r[{bar}] {levels}  clipped {clipped}\x1b[K"))?;
                self.out.flush()
            }
            Show::Lines => {
                let t = self.n_frames / self.rate_hz;
                let levels = levels(rms_db, peak_db);
                let clipped = reading.n_clipped + reading.n_clipped_by_gain;
                self.out
                    .line(&format!("{t:>4} s  {levels}  clipped {clipped}"))
            }
            Show::Json => self.out.line(&json::line(&Line {
                t: Seconds(self.n_frames as f64 / self.rate_hz as f64),
                rms_db: finite(rms_db),
                peak_db: finite(peak_db),
                clipped: reading.n_clipped,
                clipped_by_gain: reading.n_clipped_by_gain,
                lost_frames: reading.n_lost_frames,
                zeros: reading.n_nonzero == 0,
            })),
        }
    }

    /// Says once that nothing but zeros comes, and again after the next sound.
    fn watch_zeros(&mut self, reading: &Reading) -> Result<(), Failure> {
        if reading.n_nonzero > 0 {
            self.n_zero_frames = 0;
            return Ok(());
        }
        let limit = ZEROS_S * self.rate_hz;
        let was_below = self.n_zero_frames < limit;
        self.n_zero_frames += reading.n_frames;
        if was_below && self.n_zero_frames >= limit {
            if self.show == Show::Bar {
                self.out.write("\r\x1b[K")?;
                self.out.flush()?;
            }
            say(&format!(
                "nothing but zeros for {ZEROS_S} s: {ZEROS_ADVICE}"
            ));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Failure> {
        match self.show {
            Show::Bar => self.out.line(""),
            _ => Ok(()),
        }
    }
}

/// `=` up to the RMS, `|` where the peak is.
fn bar(rms_db: f64, peak_db: f64) -> String {
    let cell = |db: f64| {
        let share = 1.0 - db.clamp(LEAST_DB, 0.0) / LEAST_DB;
        (share * N_CELLS as f64).round() as usize
    };
    let (n_filled, peak) = (cell(rms_db), cell(peak_db));
    let drawn = (1..=N_CELLS).map(|i| match i {
        _ if i == peak => '|',
        _ if i <= n_filled => '=',
        _ => ' ',
    });
    drawn.collect()
}

fn levels(rms_db: f64, peak_db: f64) -> String {
    let [rms, peak] = [rms_db, peak_db].map(decibels);
    format!("{rms:>6} dB  peak {peak:>6} dB")
}

/// A level within a sentence.
pub(crate) fn level(loudness: &Loudness) -> String {
    let [rms, peak] = [loudness.rms_db(), loudness.peak_db()].map(decibels);
    format!("{rms} dB, peak {peak} dB")
}

fn decibels(db: f64) -> String {
    finite(db).map_or("-inf".to_owned(), |db| format!("{db:.1}"))
}

/// Rounded to a tenth; none for silence.
fn finite(db: f64) -> Option<f64> {
    db.is_finite().then(|| (db * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_ends_at_full_scale() {
        let silence = bar(f64::NEG_INFINITY, f64::NEG_INFINITY);
        assert_eq!(silence, " ".repeat(N_CELLS));
        let half = bar(-30.0, -15.0);
        assert_eq!(half.trim_end(), format!("{}         |", "=".repeat(20)));
        let full = bar(0.0, 0.0);
        assert_eq!(full, format!("{}|", "=".repeat(N_CELLS - 1)));
    }

    #[test]
    fn levels_of_silence_have_a_name() {
        assert_eq!(levels(-20.04, -3.0), " -20.0 dB  peak   -3.0 dB");
        assert_eq!(
            levels(f64::NEG_INFINITY, f64::NEG_INFINITY),
            "  -inf dB  peak   -inf dB"
        );
    }
}
