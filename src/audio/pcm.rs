//! Uncompressed samples: their formats, and a byte stream of them as an audio source.
//!
//! In: bytes from any reader. Out: mono samples at 16 kHz, as soon as the bytes are there: one
//! `read` of the input a time, whole frames decoded, the rest of a frame kept for the next. Runs
//! on the thread that reads it.

use std::io::{ErrorKind, Read};
use std::str::FromStr;

use super::front::{Front, Ready};
use super::{AudioError, AudioSource, FrontOptions, Heard, MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ};

/// Most bytes asked of the input at once.
const MAX_READ_BYTES: usize = 64 * 1024;

/// How one sample is written, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PcmFormat {
    /// Unsigned 8-bit.
    U8,
    /// Signed 16-bit.
    S16Le,
    /// Signed 24-bit, packed in three bytes.
    S24Le,
    /// Signed 32-bit.
    S32Le,
    /// 32-bit float.
    F32Le,
    /// 64-bit float.
    F64Le,
}

impl PcmFormat {
    /// Every format, for tests and messages.
    pub const ALL: [PcmFormat; 6] = [
        PcmFormat::U8,
        PcmFormat::S16Le,
        PcmFormat::S24Le,
        PcmFormat::S32Le,
        PcmFormat::F32Le,
        PcmFormat::F64Le,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            PcmFormat::U8 => "u8",
            PcmFormat::S16Le => "s16le",
            PcmFormat::S24Le => "s24le",
            PcmFormat::S32Le => "s32le",
            PcmFormat::F32Le => "f32le",
            PcmFormat::F64Le => "f64le",
        }
    }

    /// Bytes of one sample.
    pub fn sample_bytes(self) -> usize {
        match self {
            PcmFormat::U8 => 1,
            PcmFormat::S16Le => 2,
            PcmFormat::S24Le => 3,
            PcmFormat::S32Le | PcmFormat::F32Le => 4,
            PcmFormat::F64Le => 8,
        }
    }

    /// Appends the samples of `bytes` (a multiple of [`Self::sample_bytes`]) in −1…1.
    pub fn decode(self, bytes: &[u8], out: &mut Vec<f32>) {
        match self {
            PcmFormat::U8 => out.extend(bytes.iter().map(|&b| (f32::from(b) - 128.0) / 128.0)),
            PcmFormat::S16Le => decode_with(bytes, out, |b: [u8; 2]| {
                f32::from(i16::from_le_bytes(b)) / 32_768.0
            }),
            PcmFormat::S24Le => decode_with(bytes, out, |b: [u8; 3]| {
                (i32::from_le_bytes([0, b[0], b[1], b[2]]) >> 8) as f32 / 8_388_608.0
            }),
            PcmFormat::S32Le => decode_with(bytes, out, |b: [u8; 4]| {
                i32::from_le_bytes(b) as f32 / 2_147_483_648.0
            }),
            PcmFormat::F32Le => decode_with(bytes, out, f32::from_le_bytes),
            PcmFormat::F64Le => decode_with(bytes, out, |b: [u8; 8]| f64::from_le_bytes(b) as f32),
        }
    }

    /// Appends the bytes of `samples` (−1…1, limited to what the format holds).
    pub fn encode(self, samples: &[f32], out: &mut Vec<u8>) {
        for &sample in samples {
            let level = |scale: f64| {
                (f64::from(sample) * scale)
                    .round()
                    .clamp(-scale, scale - 1.0)
            };
            match self {
                PcmFormat::U8 => out.push((level(128.0) + 128.0) as u8),
                PcmFormat::S16Le => out.extend((level(32_768.0) as i16).to_le_bytes()),
                PcmFormat::S24Le => {
                    out.extend(&(level(8_388_608.0) as i32).to_le_bytes()[..3]);
                }
                PcmFormat::S32Le => out.extend((level(2_147_483_648.0) as i32).to_le_bytes()),
                PcmFormat::F32Le => out.extend(sample.to_le_bytes()),
                PcmFormat::F64Le => out.extend(f64::from(sample).to_le_bytes()),
            }
        }
    }
}

fn decode_with<const N: usize>(bytes: &[u8], out: &mut Vec<f32>, one: impl Fn([u8; N]) -> f32) {
    let (samples, _) = bytes.as_chunks::<N>();
    out.extend(samples.iter().map(|&sample| one(sample)));
}

/// Format, rate and channels of raw samples; written `s16le,16000,1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PcmSpec {
    /// How one sample is written.
    pub format: PcmFormat,
    /// Frames a second.
    pub rate_hz: u32,
    /// Samples a frame.
    pub n_channels: usize,
}

impl PcmSpec {
    /// Bytes of one frame.
    pub fn frame_bytes(&self) -> usize {
        self.format.sample_bytes() * self.n_channels
    }
}

impl FromStr for PcmSpec {
    type Err = AudioError;

    fn from_str(spec: &str) -> Result<Self, AudioError> {
        let wrong = |problem| AudioError::RawFormat {
            spec: spec.into(),
            problem,
        };
        let mut parts = spec.split(',').map(str::trim);
        let (Some(format), Some(rate), Some(channels), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong("it needs three parts"));
        };
        let format = PcmFormat::ALL
            .into_iter()
            .find(|known| known.name().eq_ignore_ascii_case(format))
            .ok_or_else(|| wrong("its sample format is unknown"))?;
        let rate_hz = rate
            .parse()
            .ok()
            .filter(|rate| (MIN_RATE_HZ..=MAX_RATE_HZ).contains(rate))
            .ok_or_else(|| wrong("its rate is not a number of hertz from 1000 to 384000"))?;
        let n_channels = channels
            .parse()
            .ok()
            .filter(|n| (1..=MAX_CHANNELS).contains(n))
            .ok_or_else(|| wrong("its channels are not a number from 1 to 64"))?;
        Ok(PcmSpec {
            format,
            rate_hz,
            n_channels,
        })
    }
}

/// The frames in a byte stream, in their own rate and channels.
pub(crate) struct PcmReader<R> {
    origin: String,
    input: R,
    spec: PcmSpec,
    /// Bytes of sound still to come; `None` until the input ends.
    n_left_bytes: Option<u64>,
    /// Holds bytes that make no whole frame yet, and room for one read after them.
    bytes: Vec<u8>,
    n_bytes: usize,
}

impl<R: Read> PcmReader<R> {
    /// A reader of `input`, of which the next `n_data_bytes` are sound (`None`: all).
    pub(crate) fn new(origin: &str, input: R, spec: PcmSpec, n_data_bytes: Option<u64>) -> Self {
        let frame_bytes = spec.frame_bytes();
        // A tenth of a second, in whole frames, so that what a pipe holds is passed on soon.
        let n_frames = (MAX_READ_BYTES / frame_bytes).min(spec.rate_hz as usize / 10);
        PcmReader {
            origin: origin.into(),
            input,
            spec,
            n_left_bytes: n_data_bytes,
            bytes: vec![0; n_frames.max(1) * frame_bytes],
            n_bytes: 0,
        }
    }

    /// How its frames are written.
    pub(crate) fn spec(&self) -> PcmSpec {
        self.spec
    }

    /// One read of the input: the frames that are whole then take the place of what is in
    /// `interleaved`. Gives the bytes that were read, 0 at the end of the sound.
    pub(crate) fn read(&mut self, interleaved: &mut Vec<f32>) -> Result<usize, AudioError> {
        let n = self.fill()?;
        let n_whole = self.n_bytes - self.n_bytes % self.spec.frame_bytes();
        interleaved.clear();
        self.spec.format.decode(&self.bytes[..n_whole], interleaved);
        self.bytes.copy_within(n_whole..self.n_bytes, 0);
        self.n_bytes -= n_whole;
        Ok(n)
    }

    fn fill(&mut self) -> Result<usize, AudioError> {
        let n_room = self.bytes.len() - self.n_bytes;
        let n_want = match self.n_left_bytes {
            Some(n_left) => n_room.min(usize::try_from(n_left).unwrap_or(n_room)),
            None => n_room,
        };
        loop {
            match self.input.read(&mut self.bytes[self.n_bytes..][..n_want]) {
                Ok(n) => {
                    self.n_bytes += n;
                    if let Some(n_left) = &mut self.n_left_bytes {
                        *n_left -= n as u64;
                    }
                    return Ok(n);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(AudioError::Read {
                        origin: self.origin.clone(),
                        source,
                    });
                }
            }
        }
    }
}

/// A stream of uncompressed samples.
pub struct PcmSource<R> {
    reader: PcmReader<R>,
    interleaved: Vec<f32>,
    front: Front,
    ready: Ready,
    duration_s: Option<f64>,
    ended: bool,
    has_sound: bool,
}

impl<R: Read + Send> PcmSource<R> {
    /// A source over `input`, of which the next `n_data_bytes` are sound (`None`: all).
    pub fn new(
        origin: &str,
        input: R,
        spec: PcmSpec,
        n_data_bytes: Option<u64>,
    ) -> Result<Self, AudioError> {
        let frame_bytes = spec.frame_bytes() as u64;
        let duration_s = n_data_bytes.map(|n| (n / frame_bytes) as f64 / f64::from(spec.rate_hz));
        Ok(PcmSource {
            reader: PcmReader::new(origin, input, spec, n_data_bytes),
            interleaved: Vec::new(),
            front: Front::new(spec.rate_hz, spec.n_channels, FrontOptions::default())?,
            ready: Ready::default(),
            duration_s,
            ended: false,
            has_sound: false,
        })
    }
}

impl<R: Read + Send> AudioSource for PcmSource<R> {
    fn read(&mut self, out: &mut Vec<f32>) -> Result<Heard, AudioError> {
        while self.ready.is_empty() && !self.ended {
            if self.reader.read(&mut self.interleaved)? == 0 {
                self.ended = true;
                self.front.flush(self.ready.refill());
            } else {
                self.front.push(&self.interleaved, self.ready.refill());
            }
        }
        self.has_sound |= !self.ready.is_empty();
        if !self.has_sound {
            return Err(AudioError::Empty {
                origin: self.reader.origin.clone(),
            });
        }
        Ok(self.ready.hand_out(out))
    }

    fn duration_s(&self) -> Option<f64> {
        self.duration_s
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn formats_round_trip() {
        let samples = [0.0, 0.5, -0.5, -1.0, 0.25, 0.984_375];
        for format in PcmFormat::ALL {
            let (mut bytes, mut back) = (Vec::new(), Vec::new());
            format.encode(&samples, &mut bytes);
            assert_eq!(bytes.len(), samples.len() * format.sample_bytes());
            format.decode(&bytes, &mut back);
            assert_eq!(back, samples, "{}", format.name());
        }
    }

    #[test]
    fn encoding_limits_to_the_format() {
        let mut bytes = Vec::new();
        PcmFormat::S16Le.encode(&[2.0, -2.0, f32::NAN], &mut bytes);
        assert_eq!(bytes, [0xFF, 0x7F, 0x00, 0x80, 0, 0]);
    }

    #[test]
    fn known_bytes_decode() {
        let mut out = Vec::new();
        PcmFormat::S24Le.decode(&[0, 0, 0x40, 0, 0, 0x80], &mut out);
        PcmFormat::U8.decode(&[0, 128, 192], &mut out);
        PcmFormat::S32Le.decode(&[0, 0, 0, 0xC0], &mut out);
        assert_eq!(out, [0.5, -1.0, -1.0, 0.0, 0.5, -0.5]);
    }

    #[test]
    fn descriptions_parse() {
        let spec: PcmSpec = "S24LE, 44100 ,2".parse().unwrap();
        assert_eq!(
            spec,
            PcmSpec {
                format: PcmFormat::S24Le,
                rate_hz: 44_100,
                n_channels: 2
            }
        );
        for wrong in [
            "",
            "s16le",
            "s16le,16000",
            "s16le,16000,1,2",
            "s16be,16000,1",
            "s16le,0,1",
            "s16le,16000,0",
            "s16le,16000,65",
            "s16le,-1,1",
            "u8,16k,1",
            "s16le,500000,1",
        ] {
            let error = wrong.parse::<PcmSpec>().unwrap_err();
            assert!(matches!(error, AudioError::RawFormat { .. }), "{wrong}");
            assert!(!error.to_string().contains('\n'));
        }
    }
}
