//! Actions as they are configured, against peers on loopback: what is sent, what hostile values of
//! slots become, how failures are told, and that nothing outlasts a stop.

#![allow(clippy::unwrap_used)]
#![cfg(all(feature = "http", feature = "mqtt"))]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use hark::command::action::run;
use hark::command::{Completion, Job, Means, Runner, RunnerOptions};
use hark::config::Config;
use hark::event::ActionStatus;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use support::peers::{Request, Told, answer_http, broker, peer, silent};
use support::program::{arg, hark as program, recording};
use support::{model, root};

/// Values that would do harm where they are not kept in their place.
const HOSTILE: [&str; 9] = [
    "; rm -rf /",
    "\", \"admin\": true, \"x\": \"",
    "'\\ $(id) `id`",
    "a\r\nX-Evil: 1\r\n\r\n",
    "nul\0inside",
    "../../etc?x=1&y#z",
    "ünï → 😀",
    "{room} {{ %2e%2e",
    "a/b/+/#",
];

/// The job of a command with this action, whose slot `room` has this value.
fn job(action: &str, room: &str) -> Job {
    let text = format!(
        "[[command]]\nname = 'c'\nsentences = ['{{room}}']\nlists = {{ room = ['x'] }}\n\
         [command.action]\n{action}\n"
    );
    let (config, mistakes) = Config::parse(&root().join("tests/c.toml"), text).unwrap();
    assert!(mistakes.is_empty(), "{mistakes:?}");
    let action = config.commands.spec.commands[0].action.clone().unwrap();
    Job {
        id: 1,
        name: "c".into(),
        text: room.into(),
        slots: [("room".to_owned(), room.to_owned())].into(),
        known_slots: Arc::new(["room".to_owned()].into()),
        action,
    }
}

fn done(action: &str, room: &str) -> Completion {
    run(&job(action, room), &Means::default())
}

/// The complaint of an action that must fail.
fn complaint(action: &str, room: &str) -> String {
    let done = done(action, room);
    assert_eq!(done.status, ActionStatus::Failed, "{done:?}");
    done.error.unwrap()
}

fn http_peer(answer: &'static [u8]) -> (u16, Receiver<Request>) {
    peer(move |mut stream| answer_http(&mut stream, answer))
}

const NO_CONTENT: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

#[test]
fn http_keeps_values_in_their_place() {
    for value in HOSTILE {
        let (port, requests) = http_peer(NO_CONTENT);
        let action = format!(
            "http = 'http://127.0.0.1:{port}/api/{{room}}/on?q={{room}}'\n\
             json = {{ room = 'the {{room}}' }}"
        );
        let done = done(&action, value);
        assert_eq!(done.status, ActionStatus::Ok, "{done:?}");
        let request = requests.recv().unwrap();
        let encoded: String = value
            .bytes()
            .map(|b| match b {
                b'-' | b'.' | b'_' | b'~' => char::from(b).to_string(),
                b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
                b => format!("%{b:02X}"),
            })
            .collect();
        let expected = format!("POST /api/{encoded}/on?q={encoded} HTTP/1.1");
        assert_eq!(request.first, expected);
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.header("x-evil"), None);
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body, serde_json::json!({ "room": format!("the {value}") }));
    }
}

#[test]
fn http_sends_what_is_configured() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "secret\n").unwrap();
    let (port, requests) = http_peer(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine");
    let action = format!(
        "http = 'http://127.0.0.1:{port}/x'\nmethod = 'PUT'\nbody = 'in {{room}}'\n\
         headers = {{ X-Room = 'r {{room}}', Content-Type = 'text/x' }}\ntoken_file = '{}'",
        token.display()
    );
    let done = done(&action, "küche");
    assert_eq!(
        (done.status, done.output.as_str()),
        (ActionStatus::Ok, "fine")
    );
    let request = requests.recv().unwrap();
    assert_eq!(request.first, "PUT /x HTTP/1.1");
    assert_eq!(request.header("authorization"), Some("Bearer secret"));
    assert_eq!(request.header("content-type"), Some("text/x"));
    assert_eq!(request.header("x-room"), Some("r küche"));
    assert_eq!(request.body, "in küche".as_bytes());

    // A line break in a header would begin another one.
    let message = complaint(&action, "a\r\nX-Evil: 1");
    assert!(message.contains("stands in a header"), "{message}");
    std::fs::remove_file(&token).unwrap();
    let message = complaint(&action, "x");
    assert!(message.contains("cannot read a password"), "{message}");
}

#[test]
fn http_failures_are_told() {
    for (answer, expected) in [
        (
            &b"HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n\r\nno such light"[..],
            "status 404 (Not Found): no such light",
        ),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/y\r\nContent-Length: 0\r\n\r\n",
            "status 302 (Found); it is now at http://127.0.0.1:1/y",
        ),
        (b"SSH-2.0-x\r\n\r\n", ""),
        (b"", ""),
    ] {
        let (port, _requests) = http_peer(answer);
        let message = complaint(&format!("http = 'http://127.0.0.1:{port}/'"), "");
        assert!(
            message.starts_with(&format!("127.0.0.1:{port}: ")),
            "{message}"
        );
        assert!(message.ends_with(expected), "{message}");
    }
    let message = complaint("http = 'http://127.0.0.1:1/'", "");
    assert!(message.contains("refused"), "{message}");
}

#[test]
fn answers_are_bounded() {
    let (port, _requests) = peer(|mut stream| {
        let request = answer_http(&mut stream, b"HTTP/1.1 200 OK\r\n\r\n");
        let block = [b'x'; 4096];
        for _ in 0..1024 {
            if stream.write_all(&block).is_err() {
                break;
            }
        }
        request
    });
    let done = done(&format!("http = 'http://127.0.0.1:{port}/'"), "");
    assert_eq!((done.status, done.output.len()), (ActionStatus::Ok, 65_536));
}

#[test]
fn a_failed_request_is_tried_again_when_told_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        for answer in [
            &b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                [..],
            NO_CONTENT,
        ] {
            let (mut stream, _) = listener.accept().unwrap();
            answer_http(&mut stream, answer);
        }
    });
    let action =
        format!("http = 'http://127.0.0.1:{port}/'\nretry = {{ times = 1, delay_ms = 1 }}");
    let done = done(&action, "");
    assert_eq!(done.status, ActionStatus::Ok, "{done:?}");
    let error = done.error.unwrap();
    assert!(error.starts_with("done at try 2; before that: "), "{error}");
    assert!(error.contains("503"), "{error}");
    server.join().unwrap();
}

fn mqtt_peer(code: u8) -> (u16, Receiver<Told>) {
    peer(move |mut stream| broker(&mut stream, code))
}

#[test]
fn mqtt_publishes_with_every_quality() {
    for (qos, heads) in [
        (0, &[0x10, 0x31, 0xE0][..]),
        (1, &[0x10, 0x33, 0xE0]),
        (2, &[0x10, 0x35, 0x62, 0xE0]),
    ] {
        let (port, told) = mqtt_peer(0);
        let action = format!(
            "mqtt = 'mqtt://me:p%40ss@127.0.0.1:{port}'\ntopic = 'home/{{room}}/light'\n\
             payload = 'on {{room}}'\nretain = true\nqos = {qos}"
        );
        let done = done(&action, "living room");
        assert_eq!(done.status, ActionStatus::Ok, "{done:?}");
        let told = told.recv().unwrap();
        let expected = Told {
            user: Some("me".into()),
            password: Some("p@ss".into()),
            topic: "home/living room/light".into(),
            payload: b"on living room".to_vec(),
            qos,
            retain: true,
            heads: heads.to_vec(),
        };
        assert_eq!(told, expected);
    }
}

#[test]
fn mqtt_keeps_values_in_their_place() {
    for value in HOSTILE {
        let (port, told) = mqtt_peer(0);
        let action = format!("mqtt = 'mqtt://127.0.0.1:{port}'\ntopic = 'a'\npayload = '{{room}}'");
        assert_eq!(done(&action, value).status, ActionStatus::Ok);
        assert_eq!(told.recv().unwrap().payload, value.as_bytes());
    }
    // Refused before anybody is connected to.
    let action = "mqtt = 'mqtt://127.0.0.1:1'\ntopic = 'home/{room}/light'";
    for value in ["a/b", "+", "#", "a\0", "a\n", ""] {
        let message = complaint(action, value);
        assert!(
            message.contains("`room`") && message.contains("topic"),
            "{message}"
        );
    }
}

#[test]
fn mqtt_failures_are_told() {
    let action = |port: u16| format!("mqtt = 'mqtt://127.0.0.1:{port}'\ntopic = 'a'");
    let (port, _told) = mqtt_peer(5);
    let message = complaint(&action(port), "");
    let expected =
        format!("mqtt://127.0.0.1:{port}: the broker refuses the connection: not authorised");
    assert_eq!(message, expected);
    // A web server, and one that hangs up.
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b""] {
        let (port, _closed) = peer(move |mut stream: TcpStream| {
            let _ = stream.read(&mut [0; 8]);
            let _ = stream.write_all(answer);
        });
        let message = complaint(&action(port), "");
        assert!(message.starts_with("mqtt://127.0.0.1"), "{message}");
    }
}

/// A server's end of TLS with the certificate for localhost.
fn inside_tls(stream: TcpStream) -> StreamOwned<ServerConnection, TcpStream> {
    let file = |name: &str| root().join("tests/data/tls").join(name);
    let certificate = CertificateDer::from_pem_file(file("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let connection = ServerConnection::new(Arc::new(config)).unwrap();
    StreamOwned::new(connection, stream)
}

#[test]
fn tls_goes_with_ones_own_certificate_and_not_without() {
    for qos in [0, 2] {
        let (port, told) = peer(|stream| broker(&mut inside_tls(stream), 0));
        let action = format!(
            "mqtt = 'mqtts://127.0.0.1:{port}'\ntopic = 'a'\npayload = 'x'\nqos = {qos}\n\
             ca_file = 'data/tls/ca.pem'"
        );
        let done = done(&action, "");
        assert_eq!(done.status, ActionStatus::Ok, "{done:?}");
        assert_eq!(told.recv().unwrap().payload, b"x");
    }
    let (port, requests) = peer(|stream| answer_http(&mut inside_tls(stream), NO_CONTENT));
    let action = format!("http = 'https://localhost:{port}/x'\nca_file = 'data/tls/ca.pem'");
    let done = done(&action, "");
    assert_eq!(done.status, ActionStatus::Ok, "{done:?}");
    assert_eq!(requests.recv().unwrap().first, "GET /x HTTP/1.1");

    // Nobody public vouches for it; with the wrong file nobody does.
    let refuse = |stream| drop(inside_tls(stream).read(&mut [0; 8]));
    let (port, _closed) = peer(refuse);
    let message = complaint(
        &format!("mqtt = 'mqtts://localhost:{port}'\ntopic = 'a'"),
        "",
    );
    assert!(message.contains("certificate"), "{message}");
    let (port, _closed) = peer(refuse);
    let message = complaint(&format!("http = 'https://localhost:{port}/'"), "");
    assert!(message.contains("certificate"), "{message}");
    let (port, _closed) = silent();
    let action = format!("http = 'https://localhost:{port}/'\nca_file = 'data/tls/server.key'");
    let message = complaint(&action, "");
    assert!(message.contains("has no certificates"), "{message}");
}

/// What a socket is sent, with the answer it gives.
fn socket(folder: &Path, answer: &'static [u8]) -> (String, Receiver<String>) {
    let path = folder.join(format!("s{}", std::fs::read_dir(folder).unwrap().count()));
    let listener = UnixListener::bind(&path).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // A greeting that nobody may read before its own message is there.
        let _ = stream.write_all(answer);
        let mut got = String::new();
        stream.read_to_string(&mut got).unwrap();
        let _ = sender.send(got);
    });
    (format!("socket = 'unix:{}'", path.display()), receiver)
}

#[test]
fn sockets_get_one_text_or_one_line() {
    let folder = tempfile::tempdir().unwrap();
    for value in HOSTILE {
        let (address, got) = socket(folder.path(), b"OK\n");
        let done = done(&format!("{address}\npayload = '<{{room}}>'"), value);
        assert_eq!(
            (done.status, done.output.as_str()),
            (ActionStatus::Ok, "OK\n")
        );
        assert_eq!(got.recv().unwrap(), format!("<{value}>"));

        let (address, got) = socket(folder.path(), b"");
        let action = format!("{address}\npayload = '<{{room}}>'\nnewline = true");
        assert_eq!(
            run(&job(&action, value), &Means::default()).status,
            ActionStatus::Ok
        );
        let on_a_line = value.replace(char::is_control, " ");
        assert_eq!(got.recv().unwrap(), format!("<{on_a_line}>\n"));

        let (address, got) = socket(folder.path(), b"");
        let action = format!("{address}\njson = ['{{room}}']\nnewline = true");
        assert_eq!(
            run(&job(&action, value), &Means::default()).status,
            ActionStatus::Ok
        );
        let got = got.recv().unwrap();
        assert_eq!(got.matches('\n').count(), 1, "{got}");
        let got: serde_json::Value = serde_json::from_str(&got).unwrap();
        assert_eq!(got, serde_json::json!([value]));
    }
    let (port, got) = peer(|mut stream| {
        let mut got = String::new();
        stream.read_to_string(&mut got).map(|_| got).unwrap()
    });
    let action = format!("socket = 'tcp:127.0.0.1:{port}'\npayload = 'hello'");
    assert_eq!(done(&action, "").status, ActionStatus::Ok);
    assert_eq!(got.recv().unwrap(), "hello");
    let missing = format!("socket = 'unix:{}'", folder.path().join("none").display());
    let message = complaint(&missing, "");
    assert!(message.contains("none: No such file"), "{message}");
}

/// Far less than what is stuck would take, and more than a busy machine adds.
const PROMPT: Duration = Duration::from_secs(4);

/// Actions that wait for peers who never answer.
fn stuck(port: u16, folder: &Path) -> [String; 5] {
    // Nobody takes what is written to it, so that writing comes to a halt.
    let path = folder.join("full");
    if !path.exists() {
        std::mem::forget(UnixListener::bind(&path).unwrap());
    }
    let long = "x".repeat(2_000_000);
    [
        format!("http = 'http://127.0.0.1:{port}/'"),
        format!("http = 'https://localhost:{port}/'"),
        format!("mqtt = 'mqtt://127.0.0.1:{port}'\ntopic = 'a'"),
        format!("mqtt = 'mqtts://localhost:{port}'\ntopic = 'a'"),
        format!("socket = 'unix:{}'\npayload = '{long}'", path.display()),
    ]
}

#[test]
fn nothing_takes_longer_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    for at in 0..5 {
        let (port, _closed) = silent();
        let action = stuck(port, folder.path())[at].clone() + "\ntimeout_ms = 200";
        let began = Instant::now();
        let done = done(&action, "");
        let took = began.elapsed();
        assert_eq!(done.status, ActionStatus::TimedOut, "{done:?}");
        assert_eq!(done.error.as_deref(), Some("took longer than 200 ms"));
        assert!(took < PROMPT, "{took:?}");
    }
}

#[test]
fn a_stop_ends_what_is_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let report = Arc::new(move |done: Completion| drop(sender.lock().unwrap().send(done)));
    let options = RunnerOptions {
        max_running: 6,
        ..RunnerOptions::default()
    };
    let runner = Runner::new(options, None, report).unwrap();
    for at in 0..5 {
        let (port, _closed) = silent();
        runner.submit(job(&stuck(port, folder.path())[at], ""));
    }
    // And one that waits to try again.
    let again = "http = 'http://127.0.0.1:1/'\nretry = { times = 9, delay_ms = 60000 }";
    runner.submit(job(again, ""));
    std::thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    drop(runner);
    let took = began.elapsed();
    assert!(took < PROMPT, "{took:?}");
    let done: Vec<Completion> = receiver.try_iter().collect();
    assert_eq!(done.len(), 6);
    for done in done {
        assert_eq!(done.status, ActionStatus::Failed, "{done:?}");
        assert_eq!(done.error.as_deref(), Some("ended before it was done"));
    }
}

#[test]
fn means_are_stopped_by_their_flag() {
    let (port, _closed) = silent();
    let means = Means::default();
    means.stop.store(true, Ordering::Relaxed);
    let began = Instant::now();
    let done = run(
        &job(&format!("http = 'http://127.0.0.1:{port}/'"), ""),
        &means,
    );
    assert_eq!(done.status, ActionStatus::Failed);
    assert!(began.elapsed() < PROMPT);
}

/// A configuration in a file, with these commands.
fn config(folder: &Path, text: &str) -> std::path::PathBuf {
    let path = folder.join("c.toml");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn the_command_line_shows_and_checks_every_kind() {
    let folder = tempfile::tempdir().unwrap();
    let kinds = [
        (
            "a",
            "http = 'http://example.org/{x}', json = { n = '{x:number}' }",
        ),
        (
            "b",
            "mqtt = 'mqtt://u:hidden@example.org', topic = 'home/{x}', payload = 'on'",
        ),
        ("c", "speak = 'It is {x}.'"),
        ("d", "socket = 'unix:none', payload = '{x}'"),
    ];
    let mut text = "[speech]\nprogram = 'no-such-voice'\n".to_owned();
    for (name, action) in kinds {
        text += &format!(
            "[[command]]\nname = '{name}'\nsentences = ['{name} {{x}}']\n\
             lists = {{ x = [{{ in = 'one', out = '1' }}, {{ in = 'two', out = '2/3' }}] }}\n\
             action = {{ {action} }}\n"
        );
    }
    let path = config(folder.path(), &text);
    let run = |args: &[&str]| {
        let args = [&["commands"], args, &["--config", arg(&path)]].concat();
        program(&args).expect(0).stdout
    };
    let list = run(&["list"]);
    for line in [
        r#"=> POST http://example.org/{x} "{\"n\":\"{x:number}\"}""#,
        "=> mqtt mqtt://example.org:1883 home/{x} on",
        r#"=> speak "It is {x}.""#,
    ] {
        assert!(list.contains(line), "{line} is missing in\n{list}");
    }
    assert!(!list.contains("hidden"), "{list}");

    let tested = run(&["test", "a one"]);
    assert!(
        tested.contains(r#"=> POST http://example.org/1 "{\"n\":1}""#),
        "{tested}"
    );
    let tested = run(&["test", "b two"]);
    assert!(
        tested.contains("=> not done: the value \"2/3\" of `x`"),
        "{tested}"
    );
    let tested = run(&["test", "b two", "--json"]);
    let tested: serde_json::Value = serde_json::from_str(&tested).unwrap();
    assert!(
        tested["problem"].as_str().unwrap().contains("topic"),
        "{tested}"
    );

    let checked = run(&["check"]);
    for warning in [
        "`a`: what is sent to example.org can be read on the way",
        "`b`: what is sent to example.org can be read on the way, the password too",
        "`c` cannot speak: the program `no-such-voice` of [speech] is not found",
        "`d`: there is no socket",
    ] {
        assert!(
            checked.contains(warning),
            "{warning} is missing in\n{checked}"
        );
    }
}

#[test]
fn a_spoken_command_reaches_a_socket() {
    if model("tiny.en").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (address, got) = socket(folder.path(), b"coming\n");
    let text = format!(
        "[[command]]\nname = 'coffee'\n\
         sentences = ['[(can|may) i] (have|get|want) [a] [{{shots}} shot] {{drink}} [with a bit of milk]']\n\
         [command.action]\n{address}\npayload = 'make {{drink}}'\nnewline = true\n\
         [lists]\nshots = ['single', 'double', 'triple']\n\
         drink = ['mocha', 'americano', 'cappuccino', 'coffee']\n"
    );
    let path = config(folder.path(), &text);
    let clip = recording("command/command_en_0003.flac");
    let args = ["replay", "--act", arg(&clip), "--config", arg(&path)];
    let events = program(&args).expect(0).json_lines();
    let action = events
        .iter()
        .find(|event| event["type"] == "action")
        .unwrap();
    assert_eq!(
        (&action["status"], &action["output"]),
        (&"ok".into(), &"coming".into())
    );
    let got = got.recv().unwrap();
    assert!(got.starts_with("make ") && got.ends_with('\n'), "{got:?}");
}
