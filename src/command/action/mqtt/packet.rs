//! The packets of MQTT 3.1.1 that a publisher needs, from and to bytes.
//!
//! Section numbers are those of the OASIS standard "MQTT Version 3.1.1".

use std::io::{self, Read};

use thiserror::Error;

/// Most of the rest of a packet that a broker sends a publisher; acknowledgements have two bytes.
const MAX_ANSWER_BYTES: usize = 1024;

/// What went wrong between a publisher and a broker.
#[derive(Debug, Error)]
pub(super) enum MqttError {
    /// The connection broke, or time is over.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A name, topic or password that no packet can hold.
    #[error("{0} is longer than 65535 bytes")]
    TooLong(&'static str),
    /// More than a packet can hold.
    #[error("the message has more than 268435455 bytes")]
    TooLarge,
    /// The broker does not want this client.
    #[error("the broker refuses the connection: {}", refusal(*.0))]
    Refused(u8),
    /// No MQTT, or not what is due.
    #[error("this is no MQTT broker: {0}")]
    Protocol(String),
}

/// The meaning of a return code (3.2.2.3).
fn refusal(code: u8) -> &'static str {
    match code {
        1 => "it does not speak MQTT 3.1.1",
        2 => "it does not allow the client's name",
        3 => "it is not available",
        4 => "wrong user or password",
        5 => "not authorised",
        _ => "it does not say why",
    }
}

/// Who connects.
#[derive(Clone, Debug)]
pub(super) struct Connect<'a> {
    pub(super) client_id: &'a str,
    pub(super) user: Option<&'a str>,
    pub(super) password: Option<&'a str>,
}

/// What is published; `id` is left out when nobody acknowledges it.
#[derive(Clone, Debug)]
pub(super) struct Message<'a> {
    pub(super) topic: &'a str,
    pub(super) payload: &'a [u8],
    pub(super) qos: u8,
    pub(super) retain: bool,
}

/// The one message of a connection has this number.
pub(super) const PACKET_ID: u16 = 1;
/// Seconds of silence after which the broker may give the client up.
const KEEP_ALIVE_S: u16 = 60;

/// CONNECT (3.1), with a clean session.
pub(super) fn connect(who: &Connect<'_>) -> Result<Vec<u8>, MqttError> {
    let mut flags = 0b10;
    let mut rest = Vec::new();
    text("MQTT", "the protocol's name", &mut rest)?;
    rest.push(4);
    let at_flags = rest.len();
    rest.push(0);
    rest.extend(KEEP_ALIVE_S.to_be_bytes());
    text(who.client_id, "the client's name", &mut rest)?;
    if let Some(user) = who.user {
        flags |= 1 << 7;
        text(user, "the user's name", &mut rest)?;
    }
    // A password without a user is not allowed (3.1.2.9).
    if let Some(password) = who.password.filter(|_| who.user.is_some()) {
        flags |= 1 << 6;
        text(password, "the password", &mut rest)?;
    }
    rest[at_flags] = flags;
    packet(0x10, &rest)
}

/// PUBLISH (3.3).
pub(super) fn publish(message: &Message<'_>) -> Result<Vec<u8>, MqttError> {
    let mut rest = Vec::with_capacity(message.topic.len() + message.payload.len() + 4);
    text(message.topic, "the topic", &mut rest)?;
    if message.qos > 0 {
        rest.extend(PACKET_ID.to_be_bytes());
    }
    rest.extend_from_slice(message.payload);
    let head = 0x30 | (message.qos << 1) | u8::from(message.retain);
    packet(head, &rest)
}

/// PUBREL (3.6), whose flags are fixed.
pub(super) fn release() -> [u8; 4] {
    let [high, low] = PACKET_ID.to_be_bytes();
    [0x62, 2, high, low]
}

/// DISCONNECT (3.14).
pub(super) const DISCONNECT: [u8; 2] = [0xE0, 0];

/// A text with its length before it (1.5.3).
fn text(text: &str, what: &'static str, to: &mut Vec<u8>) -> Result<(), MqttError> {
    let length = u16::try_from(text.len()).map_err(|_| MqttError::TooLong(what))?;
    to.extend(length.to_be_bytes());
    to.extend_from_slice(text.as_bytes());
    Ok(())
}

/// The first byte, the length of the rest in up to four bytes of seven bits (2.2.3), the rest.
fn packet(head: u8, rest: &[u8]) -> Result<Vec<u8>, MqttError> {
    let mut out = vec![head];
    let mut length = rest.len();
    loop {
        let low = (length & 0x7F) as u8;
        length >>= 7;
        out.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
        if out.len() == 5 {
            return Err(MqttError::TooLarge);
        }
    }
    out.extend_from_slice(rest);
    Ok(out)
}

/// What a broker answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// CONNACK (3.2) with its return code.
    Connected(u8),
    /// PUBACK (3.4).
    Acknowledged(u16),
    /// PUBREC (3.5).
    Received(u16),
    /// PUBCOMP (3.7).
    Complete(u16),
}

/// Reads one answer.
pub(super) fn read_answer(from: &mut impl Read) -> Result<Answer, MqttError> {
    let mut head = [0];
    from.read_exact(&mut head)?;
    let length = read_length(from)?;
    if length > MAX_ANSWER_BYTES {
        return Err(unexpected(head[0], length));
    }
    let mut rest = vec![0; length];
    from.read_exact(&mut rest)?;
    let [high, low] = rest[..] else {
        return Err(unexpected(head[0], length));
    };
    let id = u16::from_be_bytes([high, low]);
    match head[0] {
        0x20 => Ok(Answer::Connected(low)),
        0x40 => Ok(Answer::Acknowledged(id)),
        0x50 => Ok(Answer::Received(id)),
        0x70 => Ok(Answer::Complete(id)),
        other => Err(unexpected(other, length)),
    }
}

fn read_length(from: &mut impl Read) -> Result<usize, MqttError> {
    let mut length = 0;
    for shift in [0, 7, 14, 21] {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 0x7F) << shift;
        if byte[0] & 0x80 == 0 {
            return Ok(length);
        }
    }
    Err(MqttError::Protocol("a length has no end".to_owned()))
}

fn unexpected(head: u8, length: usize) -> MqttError {
    MqttError::Protocol(format!("it sends a packet 0x{head:02X} of {length} bytes"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_those_of_the_standard() {
        let who = Connect {
            client_id: "hark",
            user: Some("u"),
            password: Some("pw"),
        };
        let expected = b"\x10\x17\0\x04MQTT\x04\xC2\0\x3C\0\x04hark\0\x01u\0\x02pw";
        assert_eq!(connect(&who).unwrap(), expected);
        let nobody = Connect {
            user: None,
            ..who.clone()
        };
        assert_eq!(
            connect(&nobody).unwrap(),
            b"\x10\x10\0\x04MQTT\x04\x02\0\x3C\0\x04hark"
        );
        let message = Message {
            topic: "a/b",
            payload: b"on",
            qos: 0,
            retain: true,
        };
        assert_eq!(publish(&message).unwrap(), b"\x31\x07\0\x03a/bon");
        let twice = Message {
            qos: 2,
            retain: false,
            ..message
        };
        assert_eq!(publish(&twice).unwrap(), b"\x34\x09\0\x03a/b\0\x01on");
    }

    #[test]
    fn lengths_take_one_to_four_bytes() {
        for (length, bytes) in [
            (0, &[0x00][..]),
            (127, &[0x7F]),
            (128, &[0x80, 0x01]),
            (16_383, &[0xFF, 0x7F]),
            (16_384, &[0x80, 0x80, 0x01]),
            (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
        ] {
            let whole = packet(0x30, &vec![0; length]).unwrap();
            assert_eq!(whole[1..whole.len() - length], *bytes);
            assert_eq!(read_length(&mut &*bytes).unwrap(), length);
        }
        let topic = "x".repeat(70_000);
        let message = Message {
            topic: &topic,
            payload: b"",
            qos: 0,
            retain: false,
        };
        assert!(matches!(publish(&message), Err(MqttError::TooLong(_))));
    }

    #[test]
    fn answers_are_read_and_anything_else_is_an_error() {
        let read = |bytes: &[u8]| read_answer(&mut &*bytes);
        assert_eq!(read(b"\x20\x02\0\x05").unwrap(), Answer::Connected(5));
        assert_eq!(
            read(b"\x40\x02\x01\x02").unwrap(),
            Answer::Acknowledged(258)
        );
        assert_eq!(read(b"\x50\x02\0\x01").unwrap(), Answer::Received(1));
        assert_eq!(read(b"\x70\x02\0\x01").unwrap(), Answer::Complete(1));
        for bytes in [
            &b""[..],
            b"\x20",
            b"\x20\x02\0",
            b"\x20\x03\0\0\0",
            b"HTTP/1.1 400 Bad Request",
            b"\x20\xFF\xFF\xFF\xFF\xFF",
            b"\x30\xFF\xFF\xFF\x7F",
            b"\xD0\0",
        ] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }
}
