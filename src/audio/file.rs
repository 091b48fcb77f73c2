//! Recordings: WAV by our own reader, everything else through symphonia.
//!
//! In: a path. Out: mono samples at 16 kHz, as a stream. The kind is found by content. WAV has a
//! reader of its own because files that were not closed properly (lengths of zero, or longer than
//! the file) are common and are read as far as they go; it is the reader of standard input, so
//! that both give the same samples.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;

use log::warn;

use super::packets::CodedSource;
use super::wav::{WavHeader, is_wav};
use super::{AudioError, AudioSource, Heard, PcmSource};

/// A recording, decoded as it is read.
pub struct FileSource {
    kind: FileKind,
}

enum FileKind {
    Wav(Box<PcmSource<File>>),
    Coded(Box<CodedSource>),
}

impl FileSource {
    /// Opens a recording; its name's ending does not matter.
    pub fn open(path: &Path) -> Result<Self, AudioError> {
        let origin = path.display().to_string();
        let mut file = open_regular(path, &origin)?;
        let kind = match open_wav(&mut file, &origin)? {
            Some(header) => {
                let n_bytes = data_bytes(&mut file, &header, &origin)?;
                FileKind::Wav(Box::new(PcmSource::new(
                    &origin,
                    file,
                    header.spec,
                    Some(n_bytes),
                )?))
            }
            None => FileKind::Coded(Box::new(CodedSource::open(file, &origin)?)),
        };
        Ok(FileSource { kind })
    }
}

impl AudioSource for FileSource {
    fn read(&mut self, out: &mut Vec<f32>) -> Result<Heard, AudioError> {
        match &mut self.kind {
            FileKind::Wav(source) => source.read(out),
            FileKind::Coded(source) => source.read(out),
        }
    }

    fn duration_s(&self) -> Option<f64> {
        match &self.kind {
            FileKind::Wav(source) => source.duration_s(),
            FileKind::Coded(source) => source.duration_s(),
        }
    }
}

fn open_regular(path: &Path, origin: &str) -> Result<File, AudioError> {
    let open_error = |source| AudioError::Open {
        origin: origin.into(),
        source,
    };
    let metadata = std::fs::metadata(path).map_err(open_error)?;
    if !metadata.is_file() {
        return Err(AudioError::NotAFile {
            origin: origin.into(),
        });
    }
    if metadata.len() == 0 {
        return Err(AudioError::Empty {
            origin: origin.into(),
        });
    }
    File::open(path).map_err(open_error)
}

/// The header of a WAV file, the file standing at its first byte of sound; `None`, and the file at
/// its start, if it is none or holds no plain samples (A-law, ADPCM …).
fn open_wav(file: &mut File, origin: &str) -> Result<Option<WavHeader>, AudioError> {
    let rewind = |file: &mut File| file.rewind().map_err(|source| read_error(origin, source));
    let opens_as_wav = is_wav(file).map_err(|source| read_error(origin, source))?;
    rewind(file)?;
    if !opens_as_wav {
        return Ok(None);
    }
    match WavHeader::read(file, origin) {
        Ok(header) => Ok(Some(header)),
        Err(AudioError::Codec { .. }) => {
            rewind(file)?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Bytes of sound that there are, whatever the header claims.
fn data_bytes(file: &mut File, header: &WavHeader, origin: &str) -> Result<u64, AudioError> {
    let failed = |source| read_error(origin, source);
    let begin = file.stream_position().map_err(failed)?;
    let end = file.seek(SeekFrom::End(0)).map_err(failed)?;
    file.seek(SeekFrom::Start(begin)).map_err(failed)?;
    let n_there = end.saturating_sub(begin);
    match header.n_data_bytes {
        Some(n_claimed) if n_claimed > n_there => {
            warn!("{origin} is cut short: {n_there} of {n_claimed} bytes of sound");
            Ok(n_there)
        }
        Some(n_claimed) => Ok(n_claimed),
        // Sound of two to four gigabytes looks like a placeholder; chunks may follow it.
        None if (1..=n_there).contains(&header.n_claimed_bytes) => Ok(header.n_claimed_bytes),
        None => Ok(n_there),
    }
}

fn read_error(origin: &str, source: std::io::Error) -> AudioError {
    AudioError::Read {
        origin: origin.into(),
        source,
    }
}
