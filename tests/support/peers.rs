//! Peers for actions, on loopback: each serves one connection on a thread and gives back what it
//! was sent.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// No peer waits longer for what it is due.
const PATIENCE: Duration = Duration::from_secs(20);

/// A peer that does `serve` with its first connection: its port, and what comes of it.
pub fn peer<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (u16, Receiver<T>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = sender.send(serve(stream));
    });
    (port, receiver)
}

/// A peer that takes a connection and says nothing until it is closed.
pub fn silent() -> (u16, Receiver<()>) {
    peer(|mut stream| drop(std::io::copy(&mut stream, &mut std::io::sink())))
}

/// A request: its first line, its headers and its body.
#[derive(Debug)]
pub struct Request {
    pub first: String,
    pub headers: Vec<String>,
    pub body: Vec<u8>,
}

impl Request {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// Reads a request and answers with these bytes.
pub fn answer_http(stream: &mut (impl Read + Write), answer: &[u8]) -> Request {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines().map(str::to_owned);
    let mut request = Request {
        first: lines.next().unwrap(),
        headers: lines.filter(|line| !line.is_empty()).collect(),
        body: Vec::new(),
    };
    let length = request.header("content-length").unwrap_or("0");
    request.body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut request.body).unwrap();
    // A client that has read enough may be gone.
    let _ = stream.write_all(answer).and_then(|()| stream.flush());
    request
}

/// What a broker was told.
#[derive(Debug, Default, PartialEq)]
pub struct Told {
    pub user: Option<String>,
    pub password: Option<String>,
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub retain: bool,
    /// The first bytes of all packets, in order.
    pub heads: Vec<u8>,
}

/// A broker for one publisher; a return code other than 0 refuses it.
pub fn broker(stream: &mut (impl Read + Write), code: u8) -> Told {
    let mut told = Told::default();
    while let Some((head, rest)) = packet(stream) {
        told.heads.push(head);
        match head >> 4 {
            1 => {
                hello(&rest, &mut told);
                stream.write_all(&[0x20, 2, 0, code]).unwrap();
                if code != 0 {
                    break;
                }
            }
            3 => {
                message(head, &rest, &mut told);
                match told.qos {
                    0 => {}
                    1 => stream.write_all(&[0x40, 2, 0, 1]).unwrap(),
                    _ => stream.write_all(&[0x50, 2, 0, 1]).unwrap(),
                }
            }
            6 => stream.write_all(&[0x70, 2, 0, 1]).unwrap(),
            14 => break,
            other => panic!("packet type {other}"),
        }
        stream.flush().unwrap();
    }
    let _ = stream.flush();
    told
}

fn packet(stream: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut byte = [0];
    stream.read_exact(&mut byte).ok()?;
    let head = byte[0];
    let (mut length, mut shift) = (0, 0);
    loop {
        stream.read_exact(&mut byte).unwrap();
        length |= usize::from(byte[0] & 0x7F) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).unwrap();
    Some((head, rest))
}

/// Takes a text with its length before it.
fn text(rest: &mut &[u8]) -> String {
    let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
    let text = String::from_utf8(rest[2..2 + length].to_vec()).unwrap();
    *rest = &rest[2 + length..];
    text
}

fn hello(mut rest: &[u8], told: &mut Told) {
    assert_eq!(text(&mut rest), "MQTT");
    let (level, flags) = (rest[0], rest[1]);
    assert_eq!((level, flags & 0b11_1111), (4, 0b10));
    rest = &rest[4..];
    let client = text(&mut rest);
    assert!((1..=23).contains(&client.len()), "{client}");
    told.user = (flags & 0x80 != 0).then(|| text(&mut rest));
    told.password = (flags & 0x40 != 0).then(|| text(&mut rest));
    assert!(rest.is_empty());
}

fn message(head: u8, mut rest: &[u8], told: &mut Told) {
    told.qos = head >> 1 & 0b11;
    told.retain = head & 1 == 1;
    told.topic = text(&mut rest);
    if told.qos > 0 {
        assert_eq!(rest[..2], [0, 1]);
        rest = &rest[2..];
    }
    told.payload = rest.to_vec();
}
