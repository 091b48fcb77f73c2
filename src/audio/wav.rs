//! The WAV header, read from a stream and written for recordings.
//!
//! Layout: RIFF chunks as in Microsoft's "Multimedia Programming Interface and Data
//! Specifications 1.0" and `WAVE_FORMAT_EXTENSIBLE`; RF64 as in EBU Tech 3306. Reading never
//! goes back and never trusts a size with memory, so that it works on pipes.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use super::{AudioError, MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ, PcmFormat, PcmSpec};

const CODE_PCM: u16 = 1;
const CODE_FLOAT: u16 = 3;
const CODE_EXTENSIBLE: u16 = 0xFFFE;

/// A length of at least this is a placeholder of a program that wrote to a pipe (0xFFFFFFFF,
/// 0x7FFFFFFF and figures a header's length below them are common).
const UNKNOWN_BYTES: u32 = 0x7FFF_0000;
/// Form, length and content: `RIFF....WAVE`.
const OPENING_BYTES: usize = 12;
/// The format chunk is 40 bytes at most; what is longer is skipped.
const MAX_FORMAT_BYTES: usize = 40;

/// What may stand before the sound: so many chunks, so many bytes. A pipe may send chunks for ever.
const MAX_CHUNKS: usize = 1_000;
const MAX_SKIPPED_BYTES: u64 = 64 << 20;

/// What a WAV header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WavHeader {
    /// Format, rate and channels.
    pub(crate) spec: PcmSpec,
    /// Bytes of sound that follow the header; `None` where the writer did not know.
    pub(crate) n_data_bytes: Option<u64>,
    /// The length as it stands there: a placeholder, or true for a file of gigabytes.
    pub(crate) n_claimed_bytes: u64,
}

impl WavHeader {
    /// Reads a header up to the first byte of sound.
    pub(crate) fn read(input: &mut impl Read, origin: &str) -> Result<Self, AudioError> {
        let mut reader = HeaderReader { input, origin };
        let form = reader.open()?;
        let mut spec = None;
        let mut long_data_bytes = None;
        let mut n_skipped_bytes = 0;
        for _ in 0..MAX_CHUNKS {
            let (id, n_bytes) = reader.chunk()?;
            match &id {
                b"fmt " => spec = Some(reader.format(n_bytes)?),
                // Zero and all ones are what a writer to a pipe leaves.
                b"ds64" if form != *b"RIFF" => {
                    let n = reader.long_size(n_bytes)?;
                    long_data_bytes = (n != 0 && n != u64::MAX).then_some(n);
                }
                b"data" => {
                    let spec = spec.ok_or_else(|| reader.damaged("no format before the sound"))?;
                    let n_data_bytes = match n_bytes {
                        u32::MAX if long_data_bytes.is_some() => long_data_bytes,
                        0 | UNKNOWN_BYTES.. => None,
                        n => Some(u64::from(n)),
                    };
                    let n_claimed_bytes = n_data_bytes.unwrap_or(u64::from(n_bytes));
                    return Ok(WavHeader {
                        spec,
                        n_data_bytes,
                        n_claimed_bytes,
                    });
                }
                _ => {
                    n_skipped_bytes += u64::from(n_bytes);
                    if n_skipped_bytes > MAX_SKIPPED_BYTES {
                        break;
                    }
                    reader.skip(u64::from(n_bytes) + u64::from(n_bytes & 1))?;
                }
            }
        }
        Err(reader.damaged("no sound follows its header"))
    }
}

/// A reader that knows whom to blame.
struct HeaderReader<'a, R> {
    input: &'a mut R,
    origin: &'a str,
}

impl<R: Read> HeaderReader<'_, R> {
    fn damaged(&self, detail: &str) -> AudioError {
        AudioError::Damaged {
            origin: self.origin.into(),
            detail: detail.into(),
        }
    }

    fn failed(&self, source: io::Error) -> AudioError {
        if source.kind() == io::ErrorKind::UnexpectedEof {
            return self.damaged("it ends within its header");
        }
        AudioError::Read {
            origin: self.origin.into(),
            source,
        }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], AudioError> {
        let mut bytes = [0; N];
        self.input
            .read_exact(&mut bytes)
            .map_err(|source| self.failed(source))?;
        Ok(bytes)
    }

    /// The opening: which form of RIFF it is.
    fn open(&mut self) -> Result<[u8; 4], AudioError> {
        let mut opening = [0; OPENING_BYTES];
        let n = read_fully(self.input, &mut opening).map_err(|source| self.failed(source))?;
        if n == 0 {
            return Err(AudioError::Empty {
                origin: self.origin.into(),
            });
        }
        // A short opening is zero at its end and matches nothing.
        form_of(&opening).ok_or(AudioError::StdinNotWav)
    }

    /// Name and length of the next chunk.
    fn chunk(&mut self) -> Result<([u8; 4], u32), AudioError> {
        let id = self.bytes()?;
        let n_bytes = u32::from_le_bytes(self.bytes()?);
        Ok((id, n_bytes))
    }

    fn skip(&mut self, n_bytes: u64) -> Result<(), AudioError> {
        let n_skipped = io::copy(&mut self.input.take(n_bytes), &mut io::sink())
            .map_err(|source| self.failed(source))?;
        if n_skipped < n_bytes {
            return Err(self.damaged("it ends within its header"));
        }
        Ok(())
    }

    /// The length of the sound in an RF64 file.
    fn long_size(&mut self, n_bytes: u32) -> Result<u64, AudioError> {
        if n_bytes < 16 {
            return Err(self.damaged("its length chunk is too short"));
        }
        let _riff_size: [u8; 8] = self.bytes()?;
        let data_size = u64::from_le_bytes(self.bytes()?);
        self.skip(u64::from(n_bytes - 16) + u64::from(n_bytes & 1))?;
        Ok(data_size)
    }

    fn format(&mut self, n_bytes: u32) -> Result<PcmSpec, AudioError> {
        if n_bytes < 16 {
            return Err(self.damaged("its format chunk is too short"));
        }
        let mut chunk = [0; MAX_FORMAT_BYTES];
        let n_known = (n_bytes as usize).min(MAX_FORMAT_BYTES);
        self.input
            .read_exact(&mut chunk[..n_known])
            .map_err(|source| self.failed(source))?;
        self.skip(u64::from(n_bytes) - n_known as u64 + u64::from(n_bytes & 1))?;

        let u16_at = |at: usize| u16::from_le_bytes([chunk[at], chunk[at + 1]]);
        let rate_hz = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]);
        let n_channels = usize::from(u16_at(2));
        let code = match u16_at(0) {
            CODE_EXTENSIBLE => u16_at(24),
            code => code,
        };
        if !(MIN_RATE_HZ..=MAX_RATE_HZ).contains(&rate_hz) {
            return Err(AudioError::Rate {
                origin: self.origin.into(),
                rate_hz,
            });
        }
        if !(1..=MAX_CHANNELS).contains(&n_channels) {
            return Err(AudioError::Channels {
                origin: self.origin.into(),
                n_channels,
            });
        }
        // Samples of 12 or 20 bits are written in the upper bits of the next whole byte, and those
        // of 24 sometimes in the upper three bytes of four: the length of a frame tells.
        let (n_frame_bytes, n_least_bytes) = (u16_at(12), u16_at(14).div_ceil(8));
        let n_sample_bytes = match n_frame_bytes / u16_at(2) {
            _ if n_least_bytes == 0 => 0,
            0 => n_least_bytes,
            n if n * u16_at(2) == n_frame_bytes && n >= n_least_bytes => n,
            _ => return Err(self.damaged("its samples do not fit its frames")),
        };
        let format = match (code, n_sample_bytes) {
            (CODE_PCM, 1) => PcmFormat::U8,
            (CODE_PCM, 2) => PcmFormat::S16Le,
            (CODE_PCM, 3) => PcmFormat::S24Le,
            (CODE_PCM, 4) => PcmFormat::S32Le,
            (CODE_FLOAT, 4) => PcmFormat::F32Le,
            (CODE_FLOAT, 8) => PcmFormat::F64Le,
            (code, _) => {
                return Err(AudioError::Codec {
                    origin: self.origin.into(),
                    codec: format!("WAV format {code} ({} bits)", u16_at(14)),
                });
            }
        };
        Ok(PcmSpec {
            format,
            rate_hz,
            n_channels,
        })
    }
}

/// Whether a file begins as a WAV file does; reads its first bytes.
pub(crate) fn is_wav(input: &mut impl Read) -> io::Result<bool> {
    let mut opening = [0; OPENING_BYTES];
    let n = read_fully(input, &mut opening)?;
    Ok(n == OPENING_BYTES && form_of(&opening).is_some())
}

/// Which form of RIFF it is, if its content is WAVE.
fn form_of(opening: &[u8; OPENING_BYTES]) -> Option<[u8; 4]> {
    let form = [opening[0], opening[1], opening[2], opening[3]];
    let known = matches!(&form, b"RIFF" | b"RF64" | b"BW64") && &opening[8..] == b"WAVE";
    known.then_some(form)
}

/// Reads until `out` is full or the input ends; gives the number of bytes.
fn read_fully(input: &mut impl Read, out: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while n < out.len() {
        match input.read(&mut out[n..]) {
            Ok(0) => break,
            Ok(n_new) => n += n_new,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(n)
}

/// A WAV file of `interleaved` samples in the format of `spec`, as bytes.
pub fn wav_bytes(spec: PcmSpec, interleaved: &[f32]) -> Vec<u8> {
    let n_data_bytes = interleaved.len() * spec.format.sample_bytes();
    let code = match spec.format {
        PcmFormat::F32Le | PcmFormat::F64Le => CODE_FLOAT,
        _ => CODE_PCM,
    };
    let frame_bytes = spec.frame_bytes();
    let n_pad_bytes = n_data_bytes % 2;
    let riff_bytes = 36 + n_data_bytes + n_pad_bytes;
    let mut wav = Vec::with_capacity(8 + riff_bytes);
    wav.extend(b"RIFF");
    wav.extend(u32::try_from(riff_bytes).unwrap_or(u32::MAX).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16u32.to_le_bytes());
    wav.extend(code.to_le_bytes());
    wav.extend((spec.n_channels as u16).to_le_bytes());
    wav.extend(spec.rate_hz.to_le_bytes());
    wav.extend(
        spec.rate_hz
            .saturating_mul(frame_bytes as u32)
            .to_le_bytes(),
    );
    wav.extend((frame_bytes as u16).to_le_bytes());
    wav.extend((spec.format.sample_bytes() as u16 * 8).to_le_bytes());
    wav.extend(b"data");
    wav.extend(
        u32::try_from(n_data_bytes)
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    spec.format.encode(interleaved, &mut wav);
    wav.resize(wav.len() + n_pad_bytes, 0);
    wav
}

/// Writes mono samples (−1…1) as a 16-bit WAV file.
pub fn write_wav(path: impl AsRef<Path>, rate_hz: u32, samples: &[f32]) -> io::Result<()> {
    let spec = PcmSpec {
        format: PcmFormat::S16Le,
        rate_hz,
        n_channels: 1,
    };
    fs::write(path, wav_bytes(spec, samples))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn spec(format: PcmFormat) -> PcmSpec {
        PcmSpec {
            format,
            rate_hz: 44_100,
            n_channels: 2,
        }
    }

    fn header(bytes: &[u8]) -> Result<WavHeader, AudioError> {
        WavHeader::read(&mut &bytes[..], "test")
    }

    #[test]
    fn reads_what_it_writes() {
        for format in PcmFormat::ALL {
            let wav = wav_bytes(spec(format), &[0.5; 6]);
            let expected = WavHeader {
                spec: spec(format),
                n_data_bytes: Some(6 * format.sample_bytes() as u64),
                n_claimed_bytes: 6 * format.sample_bytes() as u64,
            };
            assert_eq!(header(&wav).unwrap(), expected, "{}", format.name());
        }
    }

    #[test]
    fn placeholder_lengths_mean_unknown() {
        let mut wav = wav_bytes(spec(PcmFormat::S16Le), &[0.5; 4]);
        for placeholder in [0, 0x7FFF_FFFF, 0x7FFF_FFDB, 0x8000_0000, u32::MAX] {
            wav[40..44].copy_from_slice(&placeholder.to_le_bytes());
            assert_eq!(header(&wav).unwrap().n_data_bytes, None, "{placeholder:#x}");
        }
    }

    #[test]
    fn foreign_chunks_and_long_formats_are_passed() {
        let plain = wav_bytes(spec(PcmFormat::F32Le), &[0.5; 2]);
        let mut wav = plain[..12].to_vec();
        // An odd chunk has a byte of padding.
        wav.extend(b"LIST\x03\0\0\0abc\0fmt \x28\0\0\0");
        wav.extend(CODE_EXTENSIBLE.to_le_bytes());
        wav.extend(&plain[22..36]);
        wav.extend([22, 0, 32, 0, 3, 0, 0, 0, 3, 0, 0, 0, 0, 0, 16, 0]);
        wav.extend([0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71]);
        wav.extend(&plain[36..]);
        assert_eq!(header(&wav).unwrap(), header(&plain).unwrap());
    }

    #[test]
    fn rf64_has_its_length_apart() {
        let plain = wav_bytes(spec(PcmFormat::S16Le), &[0.5; 2]);
        let mut wav = b"RF64\xFF\xFF\xFF\xFFWAVEds64\x1C\0\0\0".to_vec();
        wav.extend(0u64.to_le_bytes());
        wav.extend(5_000_000_000u64.to_le_bytes());
        wav.extend([0; 12]);
        wav.extend(&plain[12..40]);
        wav.extend(u32::MAX.to_le_bytes());
        assert_eq!(header(&wav).unwrap().n_data_bytes, Some(5_000_000_000));
        // A writer to a pipe does not know it.
        for unknown in [0, u64::MAX] {
            wav[28..36].copy_from_slice(&u64::to_le_bytes(unknown));
            assert_eq!(header(&wav).unwrap().n_data_bytes, None);
        }
    }

    #[test]
    fn a_header_without_end_is_an_error() {
        let mut wav = b"RIFF\xFF\xFF\xFF\xFFWAVE".to_vec();
        let error = WavHeader::read(&mut wav.as_slice().chain(io::repeat(0)), "test");
        assert!(matches!(error, Err(AudioError::Damaged { .. })));
        wav.extend(b"LIST\xFF\xFF\xFF\x7F");
        let error = WavHeader::read(&mut wav.as_slice().chain(io::repeat(0)), "test");
        assert!(matches!(error, Err(AudioError::Damaged { .. })));
    }

    #[test]
    fn frames_tell_how_wide_samples_are() {
        let mut wav = wav_bytes(spec(PcmFormat::S32Le), &[0.5; 4]);
        wav[34] = 24;
        assert_eq!(header(&wav).unwrap().spec.format, PcmFormat::S32Le);
        wav[32] = 7;
        let error = header(&wav).unwrap_err();
        assert!(matches!(error, AudioError::Damaged { .. }), "{error}");
    }

    #[test]
    fn every_cut_header_is_an_error() {
        let wav = wav_bytes(spec(PcmFormat::S16Le), &[]);
        for n in 0..44 {
            let error = header(&wav[..n]).unwrap_err();
            let expected = match n {
                0 => matches!(error, AudioError::Empty { .. }),
                1..12 => matches!(error, AudioError::StdinNotWav),
                _ => matches!(error, AudioError::Damaged { .. }),
            };
            assert!(expected, "{n} bytes: {error}");
        }
        assert!(header(&wav).is_ok());
    }

    #[test]
    fn absurd_headers_are_errors() {
        let good = wav_bytes(spec(PcmFormat::S16Le), &[0.0; 2]);
        let altered = |at: usize, bytes: &[u8]| {
            let mut wav = good.clone();
            wav[at..at + bytes.len()].copy_from_slice(bytes);
            header(&wav).unwrap_err()
        };
        assert!(matches!(altered(24, &[0; 4]), AudioError::Rate { .. }));
        assert!(matches!(altered(24, &[255; 4]), AudioError::Rate { .. }));
        assert!(matches!(altered(22, &[0; 2]), AudioError::Channels { .. }));
        assert!(matches!(
            altered(22, &[255; 2]),
            AudioError::Channels { .. }
        ));
        assert!(matches!(altered(20, &[2]), AudioError::Codec { .. }));
        assert!(matches!(altered(34, &[0; 2]), AudioError::Codec { .. }));
        assert!(matches!(altered(16, &[4]), AudioError::Damaged { .. }));
        assert!(matches!(altered(16, &[255; 4]), AudioError::Damaged { .. }));
        assert!(matches!(altered(12, b"junk"), AudioError::Damaged { .. }));
        assert!(matches!(altered(0, b"fLaC"), AudioError::StdinNotWav));
    }
}
