//! What a recording holds to what a device plays: rate and channels.
//!
//! In: interleaved frames in pieces of any size. Out: interleaved frames of the device. As many channels
//! as the device has stay apart; any other number is mixed, and all channels of the device play the
//! mixture. Runs on the thread that plays.

use super::{AudioError, ChannelChoice, Resampler, to_mono};

/// Channels that are kept apart at most; more are mixed.
const MAX_LANES: usize = 8;

/// Frames a second, and samples a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) rate_hz: u32,
    pub(super) n_channels: usize,
}

/// A streaming converter from one layout to another.
pub(super) struct Converter {
    lanes: Vec<Lane>,
    n_in: usize,
    n_out: usize,
}

/// One channel on its way, or the mixture of all.
struct Lane {
    choice: ChannelChoice,
    resampler: Resampler,
    mono: Vec<f32>,
    ready: Vec<f32>,
}

impl Converter {
    /// A converter; both layouts have believable numbers.
    pub(super) fn new(from: Layout, to: Layout) -> Result<Self, AudioError> {
        let choices = match from.n_channels {
            n if n == to.n_channels && n <= MAX_LANES => (0..n).map(ChannelChoice::Only).collect(),
            _ => vec![ChannelChoice::Mix],
        };
        let lane = |choice| {
            Ok(Lane {
                choice,
                resampler: Resampler::between(from.rate_hz, to.rate_hz)?,
                mono: Vec::new(),
                ready: Vec::new(),
            })
        };
        let lanes: Result<Vec<Lane>, AudioError> = choices.into_iter().map(lane).collect();
        Ok(Converter {
            lanes: lanes?,
            n_in: from.n_channels,
            n_out: to.n_channels,
        })
    }

    /// Appends the frames of the device that `interleaved` gives.
    pub(super) fn push(&mut self, interleaved: &[f32], out: &mut Vec<f32>) {
        for lane in &mut self.lanes {
            lane.mono.clear();
            to_mono(interleaved, self.n_in, lane.choice, &mut lane.mono);
            lane.ready.clear();
            lane.resampler.push(&lane.mono, &mut lane.ready);
        }
        self.spread(out);
    }

    /// Ends the stream: appends what is still inside.
    pub(super) fn flush(&mut self, out: &mut Vec<f32>) {
        for lane in &mut self.lanes {
            lane.ready.clear();
            lane.resampler.flush(&mut lane.ready);
        }
        self.spread(out);
    }

    /// All lanes have as many samples: they were given as many, at the same rate.
    fn spread(&self, out: &mut Vec<f32>) {
        let n_frames = self.lanes.first().map_or(0, |lane| lane.ready.len());
        for frame in 0..n_frames {
            let sample = |channel: usize| self.lanes[channel % self.lanes.len()].ready[frame];
            out.extend((0..self.n_out).map(sample));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn convert(from: Layout, to: Layout, input: &[f32]) -> Vec<f32> {
        let mut converter = Converter::new(from, to).unwrap();
        let mut out = Vec::new();
        for piece in input.chunks(from.n_channels * 7) {
            converter.push(piece, &mut out);
        }
        converter.flush(&mut out);
        out
    }

    fn layout(rate_hz: u32, n_channels: usize) -> Layout {
        Layout {
            rate_hz,
            n_channels,
        }
    }

    #[test]
    fn one_channel_plays_on_all() {
        let out = convert(layout(16_000, 1), layout(16_000, 3), &[0.5, -0.25]);
        assert_eq!(out, [0.5, 0.5, 0.5, -0.25, -0.25, -0.25]);
    }

    #[test]
    fn equal_numbers_stay_apart_and_others_are_mixed() {
        let stereo = [0.5, -0.5, 0.25, 0.75];
        assert_eq!(convert(layout(8_000, 2), layout(8_000, 2), &stereo), stereo);
        assert_eq!(
            convert(layout(8_000, 2), layout(8_000, 1), &stereo),
            [0.0, 0.5]
        );
        let many = vec![0.5; 64];
        assert_eq!(convert(layout(8_000, 64), layout(8_000, 64), &many), many);
    }

    #[test]
    fn another_rate_keeps_the_length_of_every_channel() {
        let input: Vec<f32> = (0..2 * 22_050).map(|i| (i as f32 * 0.01).sin()).collect();
        let out = convert(layout(22_050, 2), layout(48_000, 2), &input);
        assert_eq!(out.len(), 2 * 48_000);
    }

    #[test]
    fn what_is_no_sound_is_bounded() {
        let out = convert(layout(8_000, 1), layout(8_000, 1), &[f32::NAN, 9.0, -1e30]);
        assert_eq!(out, [0.0, 1.0, -1.0]);
    }
}
