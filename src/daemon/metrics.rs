//! The counters in Prometheus's text format (version 0.0.4), as text or, where an address is
//! configured, over HTTP on a loopback port.

use std::fmt::Write;

use crate::stats::{EDGES_S, Numbers, Timing, Value};

#[cfg(feature = "metrics")]
pub use port::MetricsPort;
#[cfg(not(feature = "metrics"))]
pub use without::MetricsPort;

/// All numbers as text.
pub fn prometheus(numbers: &Numbers) -> String {
    let mut text = String::new();
    for (name, help, value) in numbers.rows() {
        let kind = match value {
            Value::Counter(_) => "counter",
            Value::Gauge(_) => "gauge",
            Value::Timing(_) => "histogram",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP hark_{name} {help}.");
        let _ = writeln!(text, "# TYPE hark_{name} {kind}");
        match value {
            Value::Counter(n) | Value::Gauge(n) => {
                let _ = writeln!(text, "hark_{name} {n}");
            }
            Value::Timing(timing) => histogram(&mut text, name, timing),
        }
    }
    text
}

fn histogram(text: &mut String, name: &str, timing: &Timing) {
    // The edges first: what is counted meanwhile then makes no bucket larger than the whole.
    let up_to = timing.up_to_edges();
    for (edge, n) in EDGES_S.iter().zip(up_to) {
        let _ = writeln!(text, "hark_{name}_bucket{{le=\"{edge}\"}} {n}");
    }
    let n = timing.n();
    let _ = writeln!(text, "hark_{name}_bucket{{le=\"+Inf\"}} {n}");
    let _ = writeln!(text, "hark_{name}_sum {}", timing.total_s());
    let _ = writeln!(text, "hark_{name}_count {n}");
}

#[cfg(not(feature = "metrics"))]
mod without {
    use std::io;
    use std::net::SocketAddr;

    use crate::stats::Stats;

    /// There is none in this build.
    pub struct MetricsPort(());

    impl MetricsPort {
        /// Says that this build cannot.
        pub fn start(_address: SocketAddr, _stats: &Stats) -> io::Result<Self> {
            Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this build has no metrics port; build it with the feature `metrics`",
            ))
        }
    }
}

#[cfg(feature = "metrics")]
mod port {
    use std::io::{self, Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::prometheus;
    use crate::stats::Stats;

    /// Longest request that is read.
    const MAX_REQUEST_BYTES: usize = 8 * 1024;
    /// Time for a request and its answer.
    const TIMEOUT: Duration = Duration::from_secs(1);

    /// A port that gives the numbers to whoever asks; dropped, it is closed.
    pub struct MetricsPort {
        address: SocketAddr,
        is_closed: Arc<AtomicBool>,
    }

    impl MetricsPort {
        /// Listens at `address`, which must be this machine's own.
        ///
        /// # Errors
        /// If the system refuses it.
        pub fn start(address: SocketAddr, stats: &Stats) -> io::Result<Self> {
            assert!(address.ip().is_loopback(), "the configuration sees to it");
            let listener = TcpListener::bind(address)?;
            let (address, is_closed) = (listener.local_addr()?, Arc::<AtomicBool>::default());
            let (stats, closed) = (stats.clone(), is_closed.clone());
            let serve = move || {
                for stream in listener.incoming() {
                    if closed.load(Ordering::Acquire) {
                        return;
                    }
                    // One after the other: nobody asks often.
                    let served = stream.and_then(|stream| serve(stream, &stats));
                    if let Err(error) = served {
                        log::debug!("metrics: {error}");
                        // Too many open files do not pass at once.
                        thread::sleep(Duration::from_millis(10));
                    }
                }
            };
            thread::Builder::new()
                .name("metrics".to_owned())
                .spawn(serve)?;
            log::info!("metrics on http://{address}/metrics");
            Ok(MetricsPort { address, is_closed })
        }

        /// Where it listens.
        pub fn address(&self) -> SocketAddr {
            self.address
        }
    }

    impl Drop for MetricsPort {
        fn drop(&mut self) {
            self.is_closed.store(true, Ordering::Release);
            // Wakes the thread that accepts.
            let _ = TcpStream::connect_timeout(&self.address, TIMEOUT);
        }
    }

    fn serve(mut stream: TcpStream, stats: &Stats) -> io::Result<()> {
        stream.set_write_timeout(Some(TIMEOUT))?;
        let (status, body) = match request(&mut stream)? {
            Asked::Metrics => ("200 OK", prometheus(stats)),
            Asked::Elsewhere => ("404 Not Found", "see /metrics\n".to_owned()),
            Asked::Wrong => ("400 Bad Request", "GET /metrics\n".to_owned()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())
    }

    enum Asked {
        Metrics,
        Elsewhere,
        Wrong,
    }

    /// Reads the head of a request, within the time for all of it.
    fn request(stream: &mut TcpStream) -> io::Result<Asked> {
        let deadline = Instant::now() + TIMEOUT;
        let mut bytes = Vec::new();
        let mut piece = [0; 1024];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            stream.set_read_timeout(Some(left))?;
            let n = stream.read(&mut piece)?;
            bytes.extend_from_slice(&piece[..n]);
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut request = httparse::Request::new(&mut headers);
            match request.parse(&bytes) {
                Ok(httparse::Status::Complete(_)) => return Ok(asked(&request)),
                Ok(httparse::Status::Partial) if n > 0 && bytes.len() < MAX_REQUEST_BYTES => {}
                _ => return Ok(Asked::Wrong),
            }
        }
    }

    fn asked(request: &httparse::Request<'_, '_>) -> Asked {
        match (request.method, request.path) {
            (Some("GET"), Some("/metrics")) => Asked::Metrics,
            (Some("GET"), _) => Asked::Elsewhere,
            _ => Asked::Wrong,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_text_is_prometheus_text() {
        let numbers = Numbers::default();
        numbers.audio.samples.add(16_000);
        numbers.done.action.note(Duration::from_millis(30));
        let text = prometheus(&numbers);
        assert!(text.contains("\n# TYPE hark_samples_total counter\nhark_samples_total 16000\n"));
        assert!(text.contains("hark_action_seconds_bucket{le=\"0.025\"} 0\n"));
        assert!(text.contains("hark_action_seconds_bucket{le=\"0.05\"} 1\n"));
        assert!(text.contains("hark_action_seconds_sum 0.03\nhark_action_seconds_count 1\n"));
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (_, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }

    #[cfg(feature = "metrics")]
    #[test]
    fn the_port_answers_whoever_asks_properly() {
        use crate::stats::Stats;
        use std::io::{Read, Write};
        use std::net::TcpStream;

        let port = MetricsPort::start("127.0.0.1:0".parse().unwrap(), &Stats::default()).unwrap();
        let ask = |request: &[u8]| {
            let mut stream = TcpStream::connect(port.address()).unwrap();
            // One that answers before it has read all closes on the rest.
            let _ = stream.write_all(request);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8(answer).unwrap()
        };
        let answer = ask(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("hark_gaps_total 0"));
        assert!(ask(b"GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        for wrong in [
            &b"POST /metrics HTTP/1.1\r\n\r\n"[..],
            b"\xff\xfe\0",
            b"GET",
        ] {
            assert!(ask(wrong).starts_with("HTTP/1.1 400 "), "{wrong:?}");
        }
        let long = [b"GET /".to_vec(), vec![b'a'; 1 << 20]].concat();
        assert!(!ask(&long).contains("200 OK"));
        assert!(ask(b"GET /metrics HTTP/1.0\r\n\r\n").contains("200 OK"));
    }
}
