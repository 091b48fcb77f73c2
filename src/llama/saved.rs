//! The beginning of a text on disk, with its keys and values: it need not be read again.
//!
//! A file holds, in little-endian order: eight bytes that mark it, the version and the type of keys and values
//! (32 bits each), what tells the model apart (32 bytes), the number of positions (64 bits), their tokens (32 bits
//! each), layer by layer the keys of each head and the values of each, and the SHA-256 of all that. It is only good
//! for the same model in the same arithmetic on the same kind of CPU: elsewhere the bits would be others.
//!
//! What was said can be made out from such a file, so that nobody but its owner may read it. It is written beside
//! the old one and then over it. Reading takes no memory beyond the state's; whatever the bytes are, they are
//! either what was saved or an error.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use super::{KvType, Llama, State};
use crate::error::{Classify, Kind};

const MAGIC: &[u8; 8] = b"hark-kv\0";
const VERSION: u32 = 1;
/// Bytes before the tokens.
const HEADER_BYTES: usize = 56;
const DIGEST_BYTES: usize = 32;
/// Bytes of the file that are on their way at a time.
const BUFFER_BYTES: usize = 1 << 18;

/// Why a text could not be saved or taken up again.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// The file or its folder.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something else.
    #[error("{} is no saved text", .0.display())]
    NotOne(PathBuf),
    /// Of another version of the program.
    #[error("{} was saved by another version ({version}); delete it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What it says.
        version: u32,
    },
    /// Of another model, or arithmetic.
    #[error(
        "{} was saved with another model, other arithmetic or another CPU; delete it",
        .0.display()
    )]
    OtherModel(PathBuf),
    /// Kept in another type.
    #[error("{} was saved with keys and values of another type; delete it", .0.display())]
    OtherType(PathBuf),
    /// Longer than the state.
    #[error("{} holds {n} tokens, and there is room for {n_ctx}; allow more", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its tokens.
        n: u64,
        /// Those that the state has room for.
        n_ctx: usize,
    },
    /// Not what was saved.
    #[error("{} is damaged; delete it", .0.display())]
    Damaged(PathBuf),
}

impl Classify for SavedError {
    fn kind(&self) -> Kind {
        Kind::Input
    }
}

/// Saves the first `n` positions of a text of `model`.
///
/// # Errors
/// If the file cannot be written; an older one is then as it was.
///
/// # Panics
/// If the text is shorter.
pub fn save(path: &Path, model: &Llama, state: &State, n: usize) -> Result<(), SavedError> {
    assert!(n <= state.tokens.len(), "there are not as many tokens");
    let failed = |source| SavedError::Io {
        path: path.to_owned(),
        source,
    };
    let (beside, file) = create_beside(path).map_err(failed)?;
    let written = write(file, model, state, n).and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| {
        // What is left of it is of no use; that it could not be written is what counts.
        let _ = fs::remove_file(&beside);
        failed(error)
    })
}

/// A new file in the folder of `path`.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut beside = name.to_owned();
        beside.push(format!(".{}-{number}.new", std::process::id()));
        let beside = path.with_file_name(beside);
        match options.open(&beside) {
            // Left behind by a program that had the same number.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return Ok((beside, opened?)),
        }
    }
}

fn write(file: File, model: &Llama, state: &State, n: usize) -> io::Result<()> {
    let mut to = Digesting {
        inner: BufWriter::with_capacity(BUFFER_BYTES, file),
        digest: Sha256::new(),
    };
    to.write_all(MAGIC)?;
    to.write_all(&VERSION.to_le_bytes())?;
    to.write_all(&number(state.kv_type).to_le_bytes())?;
    to.write_all(&fingerprint(model, state))?;
    to.write_all(&(n as u64).to_le_bytes())?;
    for token in &state.tokens[..n] {
        to.write_all(&token.to_le_bytes())?;
    }
    for cache in &state.kv {
        cache.each_stretch(n, |bytes| to.write_all(bytes))?;
    }
    let mut inner = to.inner;
    inner.write_all(&to.digest.finalize())?;
    inner.flush()?;
    inner.get_ref().sync_all()
}

/// The model's, other for a state whose length has other turns.
fn fingerprint(model: &Llama, state: &State) -> [u8; 32] {
    let mut found = model.fingerprint;
    found[0] ^= u8::from(model.is_long(state.n_ctx));
    found
}

/// What the file says for the type of keys and values.
fn number(kv: KvType) -> u32 {
    match kv {
        KvType::F16 => 1,
        KvType::Q8_0 => 2,
    }
}

/// Replaces the text of `state`, of `model`, by the one that was saved, and says how many tokens it has. The logits
/// stay what they were: read on with at least one token.
///
/// # Errors
/// If there is no such file, or it is not for this model and state. The state may be empty then.
pub fn load(path: &Path, model: &Llama, state: &mut State) -> Result<usize, SavedError> {
    let failed = |source| SavedError::Io {
        path: path.to_owned(),
        source,
    };
    let damaged = || SavedError::Damaged(path.to_owned());
    // Looked at before it is opened: opening a named pipe would wait for its writer.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(SavedError::NotOne(path.to_owned()));
    }
    let file = File::open(path).map_err(failed)?;
    let size_bytes = file.metadata().map_err(failed)?.len();
    let mut from = Digesting {
        inner: BufReader::with_capacity(BUFFER_BYTES, file),
        digest: Sha256::new(),
    };
    let mut header = [0; HEADER_BYTES];
    if size_bytes < (HEADER_BYTES + DIGEST_BYTES) as u64 {
        return Err(SavedError::NotOne(path.to_owned()));
    }
    from.read_exact(&mut header).map_err(failed)?;
    let n = check_header(path, &header, (model, state))?;
    let dims = &model.dims;
    let position = 4 + 2 * dims.n_layer * dims.n_kv_head * state.kv_type.head_bytes(dims.d_head);
    let expected = (n as u64).checked_mul(position as u64);
    if expected.and_then(|bytes| bytes.checked_add((HEADER_BYTES + DIGEST_BYTES) as u64))
        != Some(size_bytes)
    {
        return Err(damaged());
    }
    // From here on nothing holds of what was read before, until all is checked.
    state.truncate(0);
    let read = match read(&mut from, n, state) {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            state.truncate(0);
            return Err(failed(error));
        }
        read => read,
    };
    let is_whole = read.is_ok_and(|digest| digest == <[u8; 32]>::from(from.digest.finalize()));
    if !is_whole || state.tokens.iter().any(|t| *t as usize >= dims.n_vocab) {
        state.truncate(0);
        return Err(damaged());
    }
    Ok(n)
}

/// Checks what comes before the tokens, whose number is returned.
fn check_header(
    path: &Path,
    header: &[u8; HEADER_BYTES],
    (model, state): (&Llama, &State),
) -> Result<usize, SavedError> {
    let (magic, rest) = header.split_at(MAGIC.len());
    let (numbers, rest) = rest.split_at(8);
    let (found, n) = rest.split_at(32);
    let number_at = |at: usize| {
        let bytes = numbers.iter().skip(at).take(4).rev();
        bytes.fold(0_u32, |all, byte| all << 8 | u32::from(*byte))
    };
    if magic != MAGIC {
        return Err(SavedError::NotOne(path.to_owned()));
    }
    let version = number_at(0);
    if version != VERSION {
        let path = path.to_owned();
        return Err(SavedError::Version { path, version });
    }
    if found != fingerprint(model, state) {
        return Err(SavedError::OtherModel(path.to_owned()));
    }
    if number_at(4) != number(state.kv_type) {
        return Err(SavedError::OtherType(path.to_owned()));
    }
    let n = n
        .iter()
        .rev()
        .fold(0, |all, byte| all << 8 | u64::from(*byte));
    match usize::try_from(n) {
        Ok(n) if n <= state.n_ctx => Ok(n),
        _ => Err(SavedError::TooLong {
            path: path.to_owned(),
            n,
            n_ctx: state.n_ctx,
        }),
    }
}

/// Reads tokens, keys and values of `n` positions into a state, and the digest that the file ends with.
fn read(
    from: &mut Digesting<BufReader<File>>,
    n: usize,
    state: &mut State,
) -> io::Result<[u8; 32]> {
    for _ in 0..n {
        let mut token = [0; 4];
        from.read_exact(&mut token)?;
        state.tokens.push(u32::from_le_bytes(token));
    }
    for cache in &mut state.kv {
        cache.each_stretch_mut(n, |bytes| from.read_exact(bytes))?;
    }
    let mut digest = [0; 32];
    from.inner.read_exact(&mut digest)?;
    Ok(digest)
}

/// What passes through is digested.
struct Digesting<T> {
    inner: T,
    digest: Sha256,
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.digest.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out)?;
        self.digest.update(&out[..n]);
        Ok(n)
    }
}
