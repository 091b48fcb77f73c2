//! A sound server that says what the test wants.

use std::os::unix::net::UnixListener;
use std::time::Instant;

use super::*;

/// What one connection is answered, by command.
type Answer = fn(u32, u32) -> Vec<Vec<u8>>;

/// A server for one client, in a folder that lives as long as it is used.
fn serve(answer: Answer) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("native");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut payload = Vec::new();
        while read_message(&mut socket, &mut payload).is_ok() {
            let mut fields = Fields::of(&payload);
            let (about, tag) = (fields.u32().unwrap(), fields.u32().unwrap());
            for part in answer(about, tag) {
                socket.write_all(&part).unwrap();
            }
        }
    });
    (folder, path)
}

const SPEC: SampleSpec = SampleSpec {
    format: S16_LE,
    n_channels: 1,
    rate_hz: 16_000,
};

/// Sound or a message on a channel.
fn packet(channel: u32, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u32;
    [
        &length.to_be_bytes()[..],
        &channel.to_be_bytes(),
        &[0; 12],
        payload,
    ]
    .concat()
}

/// One source, `usb`; its stream is channel 3.
fn well(about: u32, tag: u32) -> Vec<Vec<u8>> {
    let reply = Message::new(command::REPLY, tag);
    let text = |m: Message, times| (0..times).fold(m, |m, _| m.text(Some("x")));
    let time = |m: Message| m.raw(b"U\0\0\0\0\0\0\0\0");
    match about {
        command::GET_SERVER_INFO => {
            let message = text(reply, 4).spec(SPEC).text(None).text(Some("usb"));
            vec![message.u32(0).finish()]
        }
        command::GET_SOURCE_INFO_LIST => {
            let message = reply.u32(1).text(Some("usb")).text(Some("A microphone"));
            let message = message.spec(SPEC).positions(&[0]).u32(NONE);
            let message = message.raw(b"v\x01\0\0\0\0");
            let message = time(message.bool(false).u32(NONE).text(None))
                .text(None)
                .u32(0);
            vec![time(message.properties(&[("a", "b")])).finish()]
        }
        command::CREATE_RECORD_STREAM => {
            let message = reply.u32(3).u32(9).u32(0).u32(640).spec(SPEC);
            let message = message.positions(&[0]).u32(1).text(Some("usb"));
            let sound: Vec<u8> = [8_192i16, -16_384]
                .iter()
                .flat_map(|s| s.to_le_bytes())
                .collect();
            vec![message.finish(), packet(4, &[1; 64]), packet(3, &sound)]
        }
        _ => vec![reply.u32(VERSION).finish()],
    }
}

fn record(path: &Path) -> Result<Capture, AudioError> {
    let mut server = Server::connect(path)?;
    let (sources, default) = server.sources().map_err(|error| server.error(&error))?;
    assert_eq!((sources.len(), default.as_str()), (1, "usb"));
    server.record(&sources[0], &sources, &CaptureConfig::default())
}

/// What was heard until the stream ended, and why it did.
fn to_the_end(mut capture: Capture) -> (Vec<f32>, Fault) {
    let (began, mut heard) = (Instant::now(), Vec::new());
    loop {
        capture.reader.read(100, &mut heard);
        if let Some(fault) = capture.counters.fault() {
            capture.reader.read(100, &mut heard);
            return (heard, fault);
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{heard:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn sound_arrives_until_the_server_ends_the_stream() {
    let (_folder, path) = serve(|about, tag| {
        let mut parts = well(about, tag);
        if about == command::CREATE_RECORD_STREAM {
            let moved = Message::new(command::RECORD_STREAM_MOVED, NONE)
                .u32(3)
                .u32(1);
            parts.push(moved.text(Some("other")).finish());
            parts.push(
                Message::new(command::RECORD_STREAM_KILLED, NONE)
                    .u32(3)
                    .finish(),
            );
        }
        parts
    });
    let capture = record(&path).unwrap();
    assert_eq!(capture.name, "A microphone");
    assert_eq!(capture.format.to_string(), "16000 Hz, 1 channel, i16");
    assert_eq!(capture.format.buffer_frames, Some(320));
    assert_eq!(to_the_end(capture), (vec![0.25, -0.5], Fault::Gone));
}

#[test]
fn a_stream_ends_at_once_when_it_is_dropped() {
    let (_folder, path) = serve(well);
    let capture = record(&path).unwrap();
    let began = Instant::now();
    drop(capture);
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[test]
fn nonsense_is_an_error_at_once() {
    let nonsense: [Answer; 5] = [
        |_, _| vec![vec![0xff; 100]],
        |_, _| vec![packet(CONTROL, &[0; 3])],
        |_, tag| vec![Message::new(77, tag).finish()],
        |_, tag| vec![Message::new(command::ERROR, tag).u32(1).finish()],
        |about, tag| match about {
            command::GET_SOURCE_INFO_LIST => {
                vec![Message::new(command::REPLY, tag).u32(1).text(None).finish()]
            }
            _ => well(about, tag),
        },
    ];
    let began = Instant::now();
    for answer in nonsense {
        let (_folder, path) = serve(answer);
        let error = record(&path).err().unwrap().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
    assert!(began.elapsed() < ANSWER);
}

#[test]
fn nonsense_in_a_stream_ends_it() {
    let (_folder, path) = serve(|about, tag| {
        let mut parts = well(about, tag);
        if about == command::CREATE_RECORD_STREAM {
            parts.push(vec![0xff; 100]);
        }
        parts
    });
    let (heard, fault) = to_the_end(record(&path).unwrap());
    assert_eq!((heard.len(), fault), (2, Fault::Gone));
}

#[test]
fn a_server_that_hangs_is_given_up() {
    let (_folder, path) = serve(|_, _| Vec::new());
    let error = record(&path).err().unwrap().to_string();
    assert!(error.contains("it does not answer"), "{error}");
}

#[test]
fn a_server_without_room_for_more_is_given_up_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("native");
    let _nobody_accepts = UnixListener::bind(&path).unwrap();
    let mut waiting = Vec::new();
    let error = loop {
        match connect(&path) {
            Ok(socket) => waiting.push(socket),
            Err(error) => break error,
        }
        assert!(waiting.len() < 10_000);
    };
    assert_eq!(detail(&error), "it does not answer");
}

#[test]
fn a_socket_that_nobody_serves_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("native");
    drop(UnixListener::bind(&path).unwrap());
    let error = record(&path).err().unwrap().to_string();
    assert!(error.contains("start it again"), "{error}");
}

#[test]
fn a_server_on_this_machine_is_a_path() {
    for server in ["unix:/a/b", "/a/b", "{0f}unix:/a/b", "{0f}/a/b tcp:there"] {
        assert_eq!(local_socket(server), Some("/a/b"));
    }
    for server in ["", "tcp:there", "there", "{0f", "unix:there"] {
        assert_eq!(local_socket(server), None, "{server}");
    }
}
