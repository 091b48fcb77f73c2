//! Downloads over HTTP that can be taken up where they ended.

use super::File;
use super::fetch::{Progress, SourceError, Watch};
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;
use ureq::http::{Response, StatusCode, header};

/// How long the server may take to be reached and to answer, and may be silent while it sends.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a download is taken up again without a single new byte before it is given up.
const N_TRIES: u32 = 4;
const CHUNK_BYTES: usize = 64 * 1024;

/// One file to download.
pub(super) struct Download<'a> {
    /// The whole address.
    pub(super) url: &'a str,
    /// What to expect.
    pub(super) file: &'a File,
    /// Where it goes; what is there already is its beginning.
    pub(super) part: &'a Path,
    /// The pause before the second try.
    pub(super) pause: Duration,
}

/// How one request ended short of the whole file.
enum Ending {
    /// Worth another try from where the part ends now.
    Broken(SourceError),
    /// Trying again would change nothing.
    Final(SourceError),
}

impl Download<'_> {
    /// Downloads until the part has the file's size; its content is for the caller to verify.
    pub(super) fn run(&self, watch: &mut Watch) -> Result<(), SourceError> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            // Ranges count the bytes of the file and not of a compressed form of it.
            .accept_encoding("identity")
            .user_agent(concat!("hark/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        let mut part = fs::OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(self.part)
            .map_err(|e| SourceError::io(self.part, e))?;
        let (file, size_bytes) = (self.file.path.as_str(), self.file.size_bytes);
        watch(Progress::Start { file, size_bytes });
        let (mut n_tries, mut pause) = (0, self.pause);
        loop {
            let before = self.length(&part)?;
            if before == size_bytes {
                return part.sync_all().map_err(|e| SourceError::io(self.part, e));
            }
            let error = match self.request(&agent, &mut part, watch) {
                Ok(()) => continue,
                Err(Ending::Final(error)) => {
                    self.drop_empty();
                    return Err(error);
                }
                Err(Ending::Broken(error)) => error,
            };
            if self.length(&part)? > before {
                (n_tries, pause) = (0, self.pause);
            }
            n_tries += 1;
            if n_tries == N_TRIES {
                self.drop_empty();
                return Err(error);
            }
            log::info!("{}: {error}; trying again", self.url);
            std::thread::sleep(pause);
            pause *= 2;
        }
    }

    /// Asks for what is missing and appends what comes. `Ok` means that the answer was complete;
    /// a server may answer with less than was asked for (RFC 9110, section 15.3.7), and then has
    /// to be asked for the rest.
    fn request(
        &self,
        agent: &ureq::Agent,
        part: &mut fs::File,
        watch: &mut Watch,
    ) -> Result<(), Ending> {
        let mut start = self.length(part).map_err(Ending::Final)?;
        if start > self.file.size_bytes {
            start = self.empty(part)?;
        }
        let mut request = agent.get(self.url);
        if start > 0 {
            request = request.header(header::RANGE, format!("bytes={start}-"));
        }
        let response = request.call().map_err(network)?;
        let expected = self.file.size_bytes;
        let (whole, end) = match (response.status(), Range::of(&response)) {
            (StatusCode::PARTIAL_CONTENT, Some(range)) if start > 0 && range.start == start => {
                (range.whole, range.end)
            }
            // The server does not do ranges: everything comes again.
            (StatusCode::OK, _) => {
                self.empty(part)?;
                (announced_bytes(&response), expected)
            }
            (code @ (StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PARTIAL_CONTENT), _) => {
                self.empty(part)?;
                return Err(Ending::Broken(status(code)));
            }
            (other, _) => return Err(refusal(other)),
        };
        if let Some(found) = whole.filter(|found| *found != expected) {
            return Err(Ending::Final(SourceError::Size { found, expected }));
        }
        self.receive(
            response.into_body().into_reader(),
            end.min(expected),
            part,
            watch,
        )
    }

    /// Appends the body to the part, which should end at byte `expected` of the file: never more.
    fn receive(
        &self,
        mut body: impl Read,
        expected: u64,
        part: &mut fs::File,
        watch: &mut Watch,
    ) -> Result<(), Ending> {
        let mut done_bytes = self.length(part).map_err(Ending::Final)?;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            watch(Progress::At { done_bytes });
            let n = body.read(&mut chunk).map_err(|e| network(e.into()))?;
            if n == 0 && done_bytes < expected {
                let reason = format!("the connection ended at {done_bytes} of {expected} bytes");
                return Err(Ending::Broken(SourceError::Network(reason)));
            }
            if n == 0 {
                return Ok(());
            }
            if done_bytes + n as u64 > expected {
                self.empty(part)?;
                let found = done_bytes + n as u64;
                return Err(Ending::Final(SourceError::Size { found, expected }));
            }
            part.write_all(&chunk[..n]).map_err(|e| self.local(e))?;
            done_bytes += n as u64;
        }
    }

    fn length(&self, part: &fs::File) -> Result<u64, SourceError> {
        let found = part.metadata().map_err(|e| SourceError::io(self.part, e))?;
        Ok(found.len())
    }

    /// Throws away what is in the part.
    fn empty(&self, part: &mut fs::File) -> Result<u64, Ending> {
        part.set_len(0).map_err(|e| self.local(e))?;
        part.seek(SeekFrom::Start(0)).map_err(|e| self.local(e))
    }

    /// Leaves no part without content behind; one that cannot be removed does no harm.
    fn drop_empty(&self) {
        if fs::metadata(self.part).is_ok_and(|found| found.len() == 0) {
            let _ = fs::remove_file(self.part);
        }
    }

    fn local(&self, error: std::io::Error) -> Ending {
        Ending::Final(SourceError::io(self.part, error))
    }
}

/// What a partial answer holds of the file (RFC 9110, section 14.4), at least one byte.
struct Range {
    start: u64,
    end: u64,
    /// The whole file's size, if the server knows it.
    whole: Option<u64>,
}

impl Range {
    fn of(response: &Response<ureq::Body>) -> Option<Range> {
        let value = response.headers().get(header::CONTENT_RANGE)?;
        let (range, whole) = value
            .to_str()
            .ok()?
            .trim()
            .strip_prefix("bytes ")?
            .split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let start = first.trim().parse().ok()?;
        let end = last.trim().parse::<u64>().ok()?.checked_add(1)?;
        let whole = whole.trim().parse().ok();
        (start < end).then_some(Range { start, end, whole })
    }
}

/// An answer without the file: a busy server is worth another try.
fn refusal(code: StatusCode) -> Ending {
    let later = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    let is_busy = code.is_server_error() || later.contains(&code);
    let ending = if is_busy {
        Ending::Broken
    } else {
        Ending::Final
    };
    ending(status(code))
}

fn announced_bytes(response: &Response<ureq::Body>) -> Option<u64> {
    let length = response.headers().get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.trim().parse().ok()
}

fn status(status: StatusCode) -> SourceError {
    SourceError::Status {
        code: status.as_u16(),
        meaning: status.canonical_reason().unwrap_or("(no standard answer)"),
    }
}

/// A failed connection is worth another try, an address that cannot be is not.
fn network(error: ureq::Error) -> Ending {
    let ending = match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::RequireHttpsOnly(_) => {
            Ending::Final
        }
        _ => Ending::Broken,
    };
    ending(SourceError::Network(error.to_string()))
}
