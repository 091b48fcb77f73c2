//! Microphones of a sound server: PulseAudio, or PipeWire in its place.
//!
//! In: the name of a source. Out: a running stream whose thread reads sound from the server's socket and
//! writes it to a ring. The server converts nothing but the sample format, keeps what is not read yet
//! (4 MB), and moves a stream to the new default source itself. PipeWire tells nobody who speaks so old a
//! version that a source is gone: that shows by its silence. ALSA's plug-in for PulseAudio would give the
//! same sound at fifty times the processor time: it wakes its reader long before a period is there.

mod message;

use std::env;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::{debug, info};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::AudioError;
use super::capture::{
    Capture, CaptureConfig, CaptureFormat, CaptureStream, DeviceInfo, find_named, frames_of_ms,
};
use super::ring::{CaptureCounters, Fault, RingWriter, capture_ring};
use message::{
    CONTROL, F32_LE, Fields, Message, NONE, S16_LE, SampleSpec, VERSION, command, malformed,
    read_message,
};

/// How long an answer is waited for; a device may have to be woken first.
const ANSWER: Duration = Duration::from_secs(2);
const FIRST_SOUND: Duration = Duration::from_secs(5);
/// Who has not been able to listen for so long may have missed some: the server keeps 11 s of the widest format
/// and tells nobody when that is full.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Bytes of the secret that lets a client in.
const COOKIE: usize = 256;
/// At least one period of most formats.
const SOCKET_BUFFER: usize = 32 << 10;

/// Opens the source that `config` names; `None` where there is no server.
///
/// # Errors
/// If the server does not answer, or has no such source.
pub(super) fn open(config: &CaptureConfig) -> Result<Option<Capture>, AudioError> {
    let Some(path) = socket_path() else {
        return Ok(None);
    };
    let mut server = Server::connect(&path)?;
    let (sources, default) = server.sources().map_err(|error| server.error(&error))?;
    let source = match config.wants_default() {
        true => sources.iter().find(|source| source.name == default),
        false => find_named(&sources, &config.device, |s| [s.name.clone(), s.title()]),
    };
    match source {
        Some(source) => server.record(source, &sources, config).map(Some),
        None if config.wants_default() => Err(AudioError::NoDevice),
        None => Err(AudioError::UnknownDevice {
            name: config.device.clone(),
        }),
    }
}

/// The server's sources; `None` where there is no server.
pub(super) fn list() -> Result<Option<Vec<DeviceInfo>>, AudioError> {
    let Some(path) = socket_path() else {
        return Ok(None);
    };
    let mut server = Server::connect(&path)?;
    let (sources, default) = server.sources().map_err(|error| server.error(&error))?;
    let info = |source: &Source| {
        let format = source.format().ok();
        DeviceInfo {
            name: source.title(),
            id: source.name.clone(),
            is_default: source.name == default,
            formats: format.iter().map(CaptureFormat::to_string).collect(),
            default_format: format,
        }
    };
    Ok(Some(sources.iter().map(info).collect()))
}

/// Whether a server has answered since this program began.
pub(super) fn was_seen() -> bool {
    SEEN.load(Ordering::Relaxed)
}

static SEEN: AtomicBool = AtomicBool::new(false);

/// Where the server listens, if there is one: `PULSE_SERVER`, the user's own, the system's.
pub(super) fn socket_path() -> Option<PathBuf> {
    let path = match env::var("PULSE_SERVER") {
        // A server elsewhere is left to ALSA's plug-in.
        Ok(server) => PathBuf::from(local_socket(&server)?),
        Err(_) => {
            let own = env::var_os("PULSE_RUNTIME_PATH").map(|dir| Path::new(&dir).join("native"));
            let runtime =
                env::var_os("XDG_RUNTIME_DIR").map(|dir| Path::new(&dir).join("pulse/native"));
            let system = Some(PathBuf::from("/run/pulse/native"));
            let mut paths = [own, runtime, system].into_iter().flatten();
            paths.find(|path| path.exists())?
        }
    };
    path.exists().then_some(path)
}

/// The path in `unix:/path`, `/path` or `{machine}unix:/path`.
fn local_socket(server: &str) -> Option<&str> {
    let first = server.split_whitespace().next()?;
    let address = match first.strip_prefix('{') {
        Some(rest) => rest.split_once('}')?.1,
        None => first,
    };
    let path = address.strip_prefix("unix:").unwrap_or(address);
    path.starts_with('/').then_some(path)
}

/// Where the secret that lets this user in may lie.
pub(super) fn cookie_paths() -> Vec<PathBuf> {
    let home = env::var_os("HOME").map(PathBuf::from);
    let config = env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(home.as_ref()?.join(".config")));
    let paths = [
        env::var_os("PULSE_COOKIE").map(PathBuf::from),
        config.map(|dir| dir.join("pulse/cookie")),
        home.map(|dir| dir.join(".pulse-cookie")),
    ];
    paths.into_iter().flatten().collect()
}

/// The secret; zeros where there is none: the server knows its own user anyway.
fn cookie() -> Vec<u8> {
    let read = |path: PathBuf| {
        let mut cookie = Vec::new();
        let mut file = File::open(path).ok()?.take(COOKIE as u64);
        (file.read_to_end(&mut cookie).ok()? == COOKIE).then_some(cookie)
    };
    let mut found = cookie_paths().into_iter().filter_map(read);
    found.next().unwrap_or_else(|| vec![0; COOKIE])
}

/// A microphone that the server knows, or what it plays.
struct Source {
    index: u32,
    /// Its name in the server.
    name: String,
    /// Its name for people.
    description: String,
    spec: SampleSpec,
    /// Where its channels are heard.
    positions: Vec<u8>,
    /// Whether it hears what is played.
    is_monitor: bool,
}

impl Source {
    /// One entry of the server's list.
    fn read(fields: &mut Fields) -> io::Result<Source> {
        let (index, name, description) = (fields.u32()?, fields.text()?, fields.text()?);
        let (spec, positions) = (fields.spec()?, fields.positions()?.to_vec());
        let _module = fields.u32()?;
        fields.volumes()?;
        let _is_muted = fields.bool()?;
        let is_monitor = fields.u32()? != NONE;
        let (_monitored, _latency, _driver) = (fields.text()?, fields.time()?, fields.text()?);
        let _flags = fields.u32()?;
        fields.properties()?;
        // The latency that was asked for.
        fields.time()?;
        Ok(Source {
            index,
            name,
            description,
            spec,
            positions,
            is_monitor,
        })
    }

    fn title(&self) -> String {
        match self.description.is_empty() {
            true => self.name.clone(),
            false => self.description.clone(),
        }
    }

    /// What is asked for: rate and channels as they are, samples as they are or as numbers that hold them.
    fn spec(&self) -> SampleSpec {
        SampleSpec {
            format: if self.spec.format <= S16_LE {
                S16_LE
            } else {
                F32_LE
            },
            ..self.spec
        }
    }

    fn format(&self) -> Result<CaptureFormat, AudioError> {
        let SampleSpec {
            format,
            n_channels,
            rate_hz,
        } = self.spec();
        let sample_format = if format == S16_LE { "i16" } else { "f32" };
        CaptureFormat::believed(
            &self.title(),
            rate_hz,
            usize::from(n_channels),
            sample_format.into(),
        )
    }
}

/// A connection to the server.
struct Server {
    socket: BufReader<UnixStream>,
    path: PathBuf,
    next_tag: u32,
    payload: Vec<u8>,
}

impl Server {
    fn connect(path: &Path) -> Result<Server, AudioError> {
        Server::hello(path).map_err(|error| host_error(path, &error))
    }

    fn hello(path: &Path) -> io::Result<Server> {
        let socket = connect(path)?;
        socket.set_read_timeout(Some(ANSWER))?;
        socket.set_write_timeout(Some(ANSWER))?;
        let mut server = Server {
            socket: BufReader::with_capacity(SOCKET_BUFFER, socket),
            path: path.to_owned(),
            next_tag: 0,
            payload: Vec::new(),
        };
        let cookie = cookie();
        server.ask(command::AUTH, |m| m.u32(VERSION).bytes(&cookie))?;
        let pid = std::process::id().to_string();
        let about = [
            ("application.name", "hark"),
            ("application.process.id", &pid),
            ("application.process.binary", "hark"),
        ];
        server.ask(command::SET_CLIENT_NAME, |m| m.properties(&about))?;
        SEEN.store(true, Ordering::Relaxed);
        Ok(server)
    }

    /// Asks, and waits for the reply.
    fn ask(&mut self, what: u32, with: impl FnOnce(Message) -> Message) -> io::Result<Fields<'_>> {
        let tag = self.next_tag;
        self.next_tag += 1;
        let message = with(Message::new(what, tag)).finish();
        self.socket.get_mut().write_all(&message)?;
        // What else the server has to say comes in between, for as long as an answer may take.
        let begun = Instant::now();
        let about = loop {
            if begun.elapsed() > FIRST_SOUND {
                return Err(io::ErrorKind::TimedOut.into());
            }
            if read_message(&mut self.socket, &mut self.payload)? != CONTROL {
                continue;
            }
            let mut fields = Fields::of(&self.payload);
            let about = fields.u32()?;
            if fields.u32()? == tag {
                break about;
            }
        };
        let mut fields = Fields::of(&self.payload);
        let _ = (fields.u32()?, fields.u32()?);
        match about {
            command::REPLY => Ok(fields),
            command::ERROR => Err(server_error(fields.u32()?)),
            _ => Err(malformed()),
        }
    }

    /// All sources, the default one first and those that hear what is played last, and the name of the
    /// default one.
    fn sources(&mut self) -> io::Result<(Vec<Source>, String)> {
        let mut fields = self.ask(command::GET_SERVER_INFO, |m| m)?;
        for _name_version_user_host in 0..4 {
            fields.text()?;
        }
        let (_spec, _sink, default) = (fields.spec()?, fields.text()?, fields.text()?);
        // As for every other client of this server.
        let default = env::var("PULSE_SOURCE").unwrap_or(default);
        let mut fields = self.ask(command::GET_SOURCE_INFO_LIST, |m| m)?;
        let mut sources = Vec::new();
        while !fields.is_empty() {
            sources.push(Source::read(&mut fields)?);
        }
        sources.sort_by_key(|source| (source.name != default, source.is_monitor));
        Ok((sources, default))
    }

    /// Listens to a source.
    fn record(
        mut self,
        source: &Source,
        sources: &[Source],
        config: &CaptureConfig,
    ) -> Result<Capture, AudioError> {
        let path = self.path.clone();
        let mut format = source.format()?;
        let spec = source.spec();
        let n_frame_bytes = format.n_channels * if spec.format == S16_LE { 2 } else { 4 };
        let n_period_bytes = n_frame_bytes * frames_of_ms(format.rate_hz, config.buffer_ms).max(1);
        // Without an index the server follows its default; with one, the stream ends with the source.
        let follows = config.wants_default() && env::var_os("PULSE_SOURCE").is_none();
        let index = if follows { NONE } else { source.index };
        let stream = |m: Message| {
            let (corked, no_remap, no_remix, fix, variable_rate, peaks) =
                (false, false, false, false, false, false);
            let adjust_latency = true;
            m.spec(spec)
                .positions(&source.positions)
                .u32(index)
                .text(None)
                .u32(NONE)
                .bool(corked)
                .u32(n_period_bytes as u32)
                .bool(no_remap)
                .bool(no_remix)
                .bool(fix)
                .bool(fix)
                .bool(fix)
                .bool(!follows)
                .bool(variable_rate)
                .bool(peaks)
                .bool(adjust_latency)
                .properties(&[("media.name", "microphone")])
                .u32(NONE)
        };
        let unusable = |error: io::Error| AudioError::DeviceUnusable {
            name: source.title(),
            detail: detail(&error),
        };
        let patient = self.socket.get_ref().set_read_timeout(Some(FIRST_SOUND));
        patient.map_err(|error| host_error(&path, &error))?;
        let reply = self.ask(command::CREATE_RECORD_STREAM, stream);
        let read = |mut fields: Fields| {
            let (channel, _index, _max) = (fields.u32()?, fields.u32()?, fields.u32()?);
            let (period, granted) = (fields.u32()?, fields.spec()?);
            let (_positions, _index) = (fields.positions()?, fields.u32()?);
            match granted == spec {
                true => Ok((channel, period as usize / n_frame_bytes, fields.text()?)),
                false => Err(malformed()),
            }
        };
        let (channel, n_period_frames, heard) = reply.and_then(read).map_err(unusable)?;
        // The server may have another one in mind for this program.
        let heard = sources.iter().find(|other| other.name == heard);
        let name = heard.unwrap_or(source).title();
        format.buffer_frames = u32::try_from(n_period_frames).ok();
        info!("listening to `{name}`: {format}, {n_period_frames} frames at once");
        let counters = Arc::new(CaptureCounters::default());
        let n_ring_frames = frames_of_ms(format.rate_hz, config.ring_ms).max(1);
        let (writer, reader) = capture_ring(n_ring_frames, format.n_channels, counters.clone());
        let listener = Listener {
            channel,
            format: spec.format,
            writer,
            counters: counters.clone(),
            samples: Vec::new(),
        };
        let stream = Stream::start(self, listener).map_err(|error| host_error(&path, &error))?;
        Ok(Capture {
            name,
            format,
            reader,
            counters,
            stream: CaptureStream::new(stream),
        })
    }

    fn error(&self, error: &io::Error) -> AudioError {
        host_error(&self.path, error)
    }
}

/// A stream that is listened to; dropping it ends it.
struct Stream {
    socket: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Stream {
    fn start(server: Server, mut listener: Listener) -> io::Result<Stream> {
        let Server {
            socket: mut from,
            mut payload,
            ..
        } = server;
        let socket = from.get_ref().try_clone()?;
        // From now on the server speaks when it has something; who listens sees when it does not.
        socket.set_read_timeout(None)?;
        let listen = move || {
            let mut before = Instant::now();
            let fault = loop {
                let next = read_message(&mut from, &mut payload);
                if before.elapsed() > LONGEST_PAUSE {
                    break Fault::Late;
                }
                before = Instant::now();
                match next.and_then(|channel| listener.take(channel, &payload)) {
                    Ok(None) => {}
                    Ok(Some(fault)) => break fault,
                    Err(error) => {
                        debug!("the sound server: {error}");
                        break Fault::Gone;
                    }
                }
            };
            listener.counters.set_fault(fault);
        };
        let thread = thread::Builder::new()
            .name("capture".into())
            .spawn(listen)?;
        Ok(Stream {
            socket,
            thread: Some(thread),
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // The thread's next reading ends at once.
        let _ = self.socket.shutdown(Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What becomes of the server's messages, on the stream's thread.
struct Listener {
    channel: u32,
    format: u8,
    writer: RingWriter,
    counters: Arc<CaptureCounters>,
    samples: Vec<f32>,
}

impl Listener {
    /// Takes a message; why the stream ends, if it does.
    fn take(&mut self, channel: u32, payload: &[u8]) -> io::Result<Option<Fault>> {
        if channel == self.channel {
            self.write(payload);
            return Ok(None);
        }
        if channel != CONTROL {
            return Ok(None);
        }
        let mut fields = Fields::of(payload);
        let (about, _tag) = (fields.u32()?, fields.u32()?);
        match about {
            command::RECORD_STREAM_KILLED => Ok(Some(Fault::Gone)),
            command::RECORD_STREAM_MOVED => {
                let (_stream, _source, name) = (fields.u32()?, fields.u32()?, fields.text()?);
                info!("listening to `{name}` from now on, as the sound server wants");
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn write(&mut self, payload: &[u8]) {
        self.samples.clear();
        match self.format {
            S16_LE => self.samples.extend(
                payload
                    .chunks_exact(2)
                    .map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32_768.0),
            ),
            _ => self.samples.extend(
                payload
                    .chunks_exact(4)
                    .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            ),
        }
        self.writer.write(&self.samples, |sample| sample);
    }
}

/// Connects without waiting: a server that stands still has no room for more clients after a while.
fn connect(path: &Path) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    let socket = UnixStream::from(socket);
    socket.set_nonblocking(false)?;
    Ok(socket)
}

fn host_error(path: &Path, error: &io::Error) -> AudioError {
    AudioError::Server {
        path: path.display().to_string(),
        detail: detail(error),
    }
}

fn detail(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it does not answer".into(),
        _ => error.to_string(),
    }
}

/// What the server's numbers for errors mean.
fn server_error(code: u32) -> io::Error {
    let what = match code {
        1 | 6 => "it refuses this user",
        5 => "it has no such source",
        _ => return io::Error::other(format!("it reports error {code}")),
    };
    io::Error::other(what)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
