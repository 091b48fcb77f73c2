//! Sound on standard input: a WAV stream or raw samples, passed on as it comes.

use std::io::{Read, stdin};

use super::wav::WavHeader;
use super::{AudioError, AudioSource, PcmSource, PcmSpec};

/// What standard input is called in messages.
const ORIGIN: &str = "standard input";

/// What comes on standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StdinFormat {
    /// A WAV stream, of known or unknown length.
    Wav,
    /// Samples without a header.
    Raw(PcmSpec),
}

/// Standard input as a source. With [`StdinFormat::Wav`] it waits for the header.
pub fn open_stdin(format: StdinFormat) -> Result<Box<dyn AudioSource>, AudioError> {
    open_stream(stdin(), format)
}

/// Any byte stream as a source; the name in messages is that of standard input.
fn open_stream(
    mut input: impl Read + Send + 'static,
    format: StdinFormat,
) -> Result<Box<dyn AudioSource>, AudioError> {
    let (spec, n_data_bytes) = match format {
        StdinFormat::Raw(spec) => (spec, None),
        StdinFormat::Wav => {
            let header = WavHeader::read(&mut input, ORIGIN)?;
            (header.spec, header.n_data_bytes)
        }
    };
    Ok(Box::new(PcmSource::new(ORIGIN, input, spec, n_data_bytes)?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io;

    use super::*;
    use crate::audio::{Heard, PcmFormat, wav_bytes};

    /// Gives its bytes in pieces of the sizes in `steps`, as a pipe does.
    struct Trickle {
        bytes: Vec<u8>,
        at: usize,
        steps: Vec<usize>,
        n_reads: usize,
    }

    impl Trickle {
        fn new(bytes: Vec<u8>, steps: &[usize]) -> Self {
            Trickle {
                bytes,
                at: 0,
                steps: steps.to_vec(),
                n_reads: 0,
            }
        }
    }

    impl Read for Trickle {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let step = self.steps[self.n_reads % self.steps.len()];
            self.n_reads += 1;
            if self.n_reads.is_multiple_of(5) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let n = step.min(out.len()).min(self.bytes.len() - self.at);
            out[..n].copy_from_slice(&self.bytes[self.at..self.at + n]);
            self.at += n;
            Ok(n)
        }
    }

    fn samples(n: usize) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 0.05).sin() * 0.5).collect()
    }

    fn read_all(source: &mut dyn AudioSource) -> Vec<f32> {
        let mut out = Vec::new();
        while source.read(&mut out).unwrap() != Heard::End {}
        out
    }

    #[test]
    fn any_trickle_gives_the_same_samples() {
        for format in PcmFormat::ALL {
            for (rate_hz, n_channels) in [(16_000, 1), (44_100, 2), (8_000, 3)] {
                let spec = PcmSpec {
                    format,
                    rate_hz,
                    n_channels,
                };
                // An even number: a padding byte cannot be told from sound where no length is.
                let interleaved = samples(n_channels * (rate_hz as usize / 4));
                let mut raw = Vec::new();
                spec.format.encode(&interleaved, &mut raw);
                let wav = wav_bytes(spec, &interleaved);
                let mut unknown = wav.clone();
                unknown[40..44].copy_from_slice(&u32::MAX.to_le_bytes());

                let open = |bytes: Vec<u8>, steps: &[usize], as_wav: StdinFormat| {
                    read_all(&mut *open_stream(Trickle::new(bytes, steps), as_wav).unwrap())
                };
                let whole = open(wav.clone(), &[usize::MAX], StdinFormat::Wav);
                assert_eq!(whole.len(), 4_000);
                let raw_format = StdinFormat::Raw(spec);
                assert!(open(raw, &[1, 7, 4_099], raw_format) == whole, "{spec:?}");
                assert!(
                    open(unknown, &[3, 1_000], StdinFormat::Wav) == whole,
                    "{spec:?}"
                );
                assert!(
                    open(wav, &[5, 64, 777], StdinFormat::Wav) == whole,
                    "{spec:?}"
                );
            }
        }
    }

    #[test]
    fn sound_is_passed_on_as_it_comes() {
        let spec: PcmSpec = "s16le,16000,1".parse().unwrap();
        let mut bytes = Vec::new();
        spec.format.encode(&samples(400), &mut bytes);
        let input = Trickle::new(bytes, &[100]);
        let mut source = open_stream(input, StdinFormat::Raw(spec)).unwrap();
        let mut out = Vec::new();
        // 100 bytes in, 50 samples out: nothing waits for more.
        for n in [50, 100] {
            assert_eq!(source.read(&mut out).unwrap(), Heard::Samples);
            assert_eq!(out.len(), n);
        }
    }

    #[test]
    fn what_follows_the_sound_is_no_sound() {
        let spec: PcmSpec = "s16le,16000,1".parse().unwrap();
        let mut wav = wav_bytes(spec, &samples(100));
        wav.extend(b"LIST\x04\0\0\0junk");
        let mut source = open_stream(io::Cursor::new(wav), StdinFormat::Wav).unwrap();
        assert_eq!(source.duration_s(), Some(100.0 / 16_000.0));
        assert_eq!(read_all(&mut *source).len(), 100);
    }

    #[test]
    fn a_broken_pipe_and_a_wrong_stream_are_errors() {
        let wrong = |bytes: &'static [u8]| open_stream(bytes, StdinFormat::Wav).err().unwrap();
        assert!(matches!(wrong(b""), AudioError::Empty { .. }));
        assert!(matches!(
            wrong(b"ID3 and so on, an MP3"),
            AudioError::StdinNotWav
        ));
    }
}
