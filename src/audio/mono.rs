//! Many channels to one.

/// Which channels of a source are listened to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelChoice {
    /// The mean of all channels.
    #[default]
    Mix,
    /// One channel, counted from 0; the last one if there are fewer.
    Only(usize),
}

/// Appends one sample for each whole frame of `interleaved` (`n_channels` samples a frame) to
/// `mono`. Samples that are no numbers become silence and all are limited to −1…1, so that one
/// damaged value cannot spoil a whole filter length after it.
pub fn to_mono(interleaved: &[f32], n_channels: usize, choice: ChannelChoice, mono: &mut Vec<f32>) {
    assert!(n_channels > 0, "audio has at least one channel");
    let frames = interleaved.chunks_exact(n_channels);
    match choice {
        _ if n_channels == 1 => mono.extend(interleaved.iter().map(|&sample| bounded(sample))),
        ChannelChoice::Mix => mono.extend(frames.map(|frame| {
            frame.iter().map(|&sample| bounded(sample)).sum::<f32>() / n_channels as f32
        })),
        ChannelChoice::Only(channel) => {
            let channel = channel.min(n_channels - 1);
            mono.extend(frames.map(|frame| bounded(frame[channel])));
        }
    }
}

/// The sample as sound: finite and within −1…1.
fn bounded(sample: f32) -> f32 {
    if sample.is_nan() {
        0.0
    } else {
        sample.clamp(-1.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mono(interleaved: &[f32], n_channels: usize, choice: ChannelChoice) -> Vec<f32> {
        let mut out = Vec::new();
        to_mono(interleaved, n_channels, choice, &mut out);
        out
    }

    #[test]
    fn mixes_and_chooses() {
        let stereo = [0.5, -0.25, 1.0, 0.5];
        assert_eq!(mono(&stereo, 2, ChannelChoice::Mix), [0.125, 0.75]);
        assert_eq!(mono(&stereo, 2, ChannelChoice::Only(1)), [-0.25, 0.5]);
        assert_eq!(mono(&stereo, 2, ChannelChoice::Only(9)), [-0.25, 0.5]);
        assert_eq!(mono(&stereo, 1, ChannelChoice::Only(9)), stereo);
    }

    #[test]
    fn bounds_what_is_no_sound() {
        let wild = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3.0];
        assert_eq!(mono(&wild, 1, ChannelChoice::Mix), [0.0, 1.0, -1.0, 1.0]);
        assert_eq!(mono(&wild, 2, ChannelChoice::Mix), [0.5, 0.0]);
    }
}
