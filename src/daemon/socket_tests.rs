//! The control socket as a program sees it, and as a hostile one does.

use std::os::unix::fs::PermissionsExt;

use crossbeam_channel::Receiver;

use super::*;

/// A socket with nobody behind it but this test.
struct Bench {
    folder: tempfile::TempDir,
    socket: Option<ControlSocket>,
    situation: Arc<Situation>,
    requests: Receiver<Request>,
    hub: Hub,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let situation = Arc::<Situation>::default();
        let (requests_in, requests) = bounded(2);
        let (reloads, wishes) = bounded::<Sender<Result<(), String>>>(1);
        thread::spawn(move || {
            for answer in wishes {
                let _ = answer.send(Err("c.toml:1: wrong".to_owned()));
            }
        });
        let hub = Hub::new(&situation.stats);
        let controls = Controls {
            situation: situation.clone(),
            requests: requests_in,
            reloads,
            hub: hub.clone(),
            stop: Box::new(|| {}),
        };
        let socket = ControlSocket::start(&folder.path().join("hark.sock"), controls).unwrap();
        Bench {
            folder,
            socket: Some(socket),
            situation,
            requests,
            hub,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("hark.sock")
    }

    fn connect(&self) -> BufReader<UnixStream> {
        let stream = UnixStream::connect(self.path()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        BufReader::new(stream)
    }
}

fn say(to: &mut BufReader<UnixStream>, line: &[u8]) {
    to.get_mut().write_all(line).unwrap();
    to.get_mut().write_all(b"\n").unwrap();
}

fn next(from: &mut BufReader<UnixStream>) -> Value {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    serde_json::from_str(&line).expect(&line)
}

fn ask(connection: &mut BufReader<UnixStream>, line: &str) -> Value {
    say(connection, line.as_bytes());
    next(connection)
}

#[test]
fn requests_are_answered_and_passed_on() {
    let mut bench = Bench::new();
    let mode = std::fs::metadata(bench.path())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let connection = &mut bench.connect();
    let status = ask(connection, r#"{"do":"status"}"#);
    assert_eq!(status["status"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(ask(connection, r#"{"do":"mute"}"#), json!({ "ok": true }));
    assert_eq!(ask(connection, r#"{"do":"listen","on":true}"#)["ok"], true);
    assert_eq!(
        ask(connection, r#"{"do":"listen"}"#)["ok"],
        false,
        "the queue is full"
    );
    assert!(matches!(
        bench.requests.recv().unwrap(),
        Request::Mute(true)
    ));
    assert!(matches!(
        bench.requests.recv().unwrap(),
        Request::Push(Some(true))
    ));
    let reload = ask(connection, r#"{"do":"reload"}"#);
    assert_eq!(reload, json!({ "ok": false, "error": "c.toml:1: wrong" }));
    let metrics = ask(connection, r#"{"do":"metrics"}"#);
    assert!(
        metrics["metrics"]
            .as_str()
            .unwrap()
            .contains("hark_samples_total 0\n")
    );
    assert_eq!(bench.situation.stats.threads.clients.get(), 1);
    bench.socket = None;
    assert!(!bench.path().exists());
}

#[test]
fn subscribers_get_events_until_they_leave() {
    let bench = Bench::new();
    let mut connection = bench.connect();
    assert_eq!(ask(&mut connection, r#"{"do":"events"}"#)["ok"], true);
    bench.hub.publish(|| r#"{"type":"gap"}"#.to_owned());
    assert_eq!(next(&mut connection)["type"], "gap");
    drop(connection);
    let began = std::time::Instant::now();
    while bench.situation.stats.threads.clients.get() > 0 {
        assert!(began.elapsed() < 2 * ALIVE_EVERY);
        bench.hub.publish(|| "{}".to_owned());
        thread::sleep(Duration::from_millis(10));
    }
}

/// A line that may be anything; `seed` goes on.
fn hostile_line(seed: &mut u64) -> Vec<u8> {
    let mut random = |below: u64| {
        // The 64-bit generator of Knuth's MMIX.
        *seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) % below
    };
    let samples: [&[u8]; 12] = [
        b"{\"do\":\"status\"}",
        b"{\"do\":\"statu",
        b"{\"do\":\"mute\",\"x\":1}",
        b"{\"do\":\"listen\",\"on\":\"yes\"}",
        b"{\"do\":[[[[[[[[[[[[[[[[",
        b"null",
        b"\"\xff\xfe\"",
        b"{\"do\":\"\\u0000\"}",
        b"{\"do\":\"STATUS\"}",
        b"1e999999",
        b"",
        b"{\"do\":\"listen\",\"on\":null}",
    ];
    let mut line = samples[random(12) as usize].to_vec();
    match random(4) {
        0 => line = vec![b'['; random(MAX_LINE_BYTES) as usize],
        1 => {
            let at = random(line.len() as u64 + 1) as usize;
            line.insert(at, random(256) as u8);
        }
        2 => line.truncate(random(line.len() as u64 + 1) as usize),
        _ => {}
    }
    line.retain(|byte| *byte != b'\n');
    line
}

#[test]
fn hostile_lines_are_answered_and_leave_nothing_behind() {
    let bench = Bench::new();
    let (mut seed, mut n_errors) = (7, 0);
    let mut connection = bench.connect();
    for n in 0..10_000 {
        let line = hostile_line(&mut seed);
        say(&mut connection, &line);
        n_errors += u64::from(next(&mut connection)["ok"] == false);
        while bench.requests.try_recv().is_ok() {}
        if n % 100 == 0 {
            connection = bench.connect();
        }
    }
    assert!(n_errors > 5_000);
    let mut long = bench.connect();
    // It hangs up in the middle of a line that has no end.
    let _ = long.get_mut().write_all(&vec![b'a'; 1 << 20]);
    assert_eq!(next(&mut long)["ok"], false);
    assert_eq!(ask(&mut bench.connect(), r#"{"do":"status"}"#)["ok"], true);
    assert_eq!(bench.situation.stats.threads.requests.get(), 10_002);
}

#[test]
fn there_is_room_for_so_many_and_no_more() {
    let bench = Bench::new();
    let mut connections: Vec<_> = (0..MAX_CLIENTS).map(|_| bench.connect()).collect();
    for connection in &mut connections {
        assert_eq!(ask(connection, r#"{"do":"status"}"#)["ok"], true);
    }
    let refused = next(&mut bench.connect());
    assert_eq!(refused["ok"], false);
    connections.clear();
    let began = std::time::Instant::now();
    while bench.situation.stats.threads.clients.get() > 0 {
        assert!(began.elapsed() < Duration::from_secs(10));
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(ask(&mut bench.connect(), r#"{"do":"status"}"#)["ok"], true);
}

#[test]
fn only_a_dead_socket_is_replaced() {
    let bench = Bench::new();
    assert!(matches!(clear(&bench.path()), Err(SocketError::InUse(_))));
    let file = bench.folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(matches!(clear(&file), Err(SocketError::NoSocket(_))));
    let dead = bench.folder.path().join("dead.sock");
    drop(UnixListener::bind(&dead).unwrap());
    clear(&dead).unwrap();
    assert!(!dead.exists());
    clear(&dead).unwrap();
}
