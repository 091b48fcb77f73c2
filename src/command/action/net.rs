//! What actions over a network or a socket have in common: work that can be left, streams with a
//! deadline, and which hosts are near.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};

use super::ActionError;
use super::job::{Attempt, POLL};

/// Most of an answer that is read.
pub(super) const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// Does `work` on a thread of its own and waits for it until the attempt is over or stopped. What
/// is not done then is left: `work` must end by itself at the deadline, but a name that no server
/// resolves may keep it a little longer, and that should not keep the caller.
pub(super) fn apart<T: Send + 'static>(
    attempt: &Attempt<'_>,
    work: impl FnOnce() -> Result<T, ActionError> + Send + 'static,
) -> Result<T, ActionError> {
    let (sender, outcome) = bounded(1);
    let spawned = std::thread::Builder::new()
        .name("action-network".to_owned())
        .spawn(move || drop(sender.try_send(work())));
    spawned.map_err(|error| remote("hark", error))?;
    loop {
        match outcome.recv_timeout(POLL) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Disconnected) => return Err(ActionError::Stopped),
            Err(RecvTimeoutError::Timeout) if attempt.is_stopped() => {
                return Err(ActionError::Stopped);
            }
            Err(RecvTimeoutError::Timeout) if Instant::now() >= attempt.deadline => {
                return Err(ActionError::TimedOut);
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// An error of, or on the way to, `target`.
pub(super) fn remote(target: &str, reason: impl ToString) -> ActionError {
    ActionError::Remote {
        target: target.to_owned(),
        reason: reason.to_string(),
    }
}

/// The same for input and output, where time may be over.
pub(super) fn io_error(target: &str, error: &io::Error) -> ActionError {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => ActionError::TimedOut,
        io::ErrorKind::UnexpectedEof => remote(target, "the connection was closed"),
        _ => remote(target, error),
    }
}

/// Time left until `deadline`, an error when there is none.
pub(super) fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(io::ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
}

/// A stream that can be told how long to wait.
pub(super) trait Patient: Read + Write {
    /// Sets how long one reading or writing may take.
    fn wait_at_most(&self, time: Duration) -> io::Result<()>;
    /// Says that nothing more will be written.
    fn finish(&self) -> io::Result<()>;
}

impl Patient for UnixStream {
    fn wait_at_most(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }

    fn finish(&self) -> io::Result<()> {
        self.shutdown(std::net::Shutdown::Write)
    }
}

/// A stream that fails at a deadline.
pub(super) struct Timed<S> {
    pub(super) stream: S,
    pub(super) deadline: Instant,
}

impl<S: Patient> Read for Timed<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.wait_at_most(left(self.deadline)?)?;
        self.stream.read(buffer)
    }
}

impl<S: Patient> Write for Timed<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.wait_at_most(left(self.deadline)?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(feature = "tcp")]
mod tcp {
    use std::net::{TcpStream, ToSocketAddrs};

    use super::*;

    impl Patient for TcpStream {
        fn wait_at_most(&self, time: Duration) -> io::Result<()> {
            self.set_read_timeout(Some(time))?;
            self.set_write_timeout(Some(time))
        }

        fn finish(&self) -> io::Result<()> {
            self.shutdown(std::net::Shutdown::Write)
        }
    }

    /// Connects to the first address of `host` that answers.
    pub(in super::super) fn connect(
        (host, port): (&str, u16),
        deadline: Instant,
    ) -> io::Result<Timed<TcpStream>> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "there is no such host");
        for address in (host, port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, left(deadline)?) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(Timed { stream, deadline });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

#[cfg(feature = "tcp")]
pub(super) use tcp::connect;

/// `host:port` in its parts, the host of an IPv6 address in or without brackets; without a port
/// `default` is taken.
pub(super) fn host_and_port(text: &str, default: Option<u16>) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            let port = match rest {
                "" => None,
                rest => Some(rest.strip_prefix(':')?),
            };
            (host, port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => port.parse().ok()?,
        Some(_) => return None,
        None => default?,
    };
    let of_a_name = |c: char| c.is_alphanumeric() || "-_.:".contains(c);
    let is_host = !host.is_empty() && host.chars().all(of_a_name);
    (is_host && port > 0).then(|| (host.to_owned(), port))
}

/// Whether what is sent to `host` stays in the house, as far as its name tells.
pub(super) fn is_near(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => {
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
        }
        Err(_) => {
            let name = host.trim_end_matches('.').to_ascii_lowercase();
            let ends = [
                ".local",
                ".lan",
                ".home",
                ".internal",
                ".localhost",
                ".home.arpa",
            ];
            !name.contains('.') || ends.iter().any(|end| name.ends_with(end))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_told_apart() {
        let parts = |text| host_and_port(text, Some(1883));
        let some = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(parts("broker"), some("broker", 1883));
        assert_eq!(parts("broker:99"), some("broker", 99));
        assert_eq!(parts("[::1]:99"), some("::1", 99));
        assert_eq!(parts("[::1]"), some("::1", 1883));
        for text in [
            "", ":1", "a:", "a:0", "a:b", "a:70000", "a/b", "a:+1", "::1", "[x]:1", "[::1]x",
        ] {
            assert_eq!(parts(text), None, "{text}");
        }
        assert_eq!(host_and_port("broker", None), None);
    }

    #[test]
    fn near_is_what_stays_in_the_house() {
        for host in [
            "localhost",
            "127.0.0.1",
            "192.168.1.7",
            "[::1]",
            "fd00::1",
            "hue",
            "ha.local",
        ] {
            assert!(is_near(host), "{host}");
        }
        for host in ["example.org", "8.8.8.8", "2001:db8::1", "local.example.com"] {
            assert!(!is_near(host), "{host}");
        }
    }
}
