//! Messages of PulseAudio's native protocol: numbers, texts and lists, each behind a letter that says
//! which it is.
//!
//! Source: <https://www.freedesktop.org/wiki/Software/PulseAudio/> (`tagstruct.c`, `pstream.c` and
//! `protocol-native.c` are the definition). Version 13 (2008) is spoken, which is the newest one without
//! anything that is not needed here; PulseAudio and PipeWire serve it.

use std::io::{self, Read};

/// The version that is spoken.
pub(super) const VERSION: u32 = 13;
/// The channel of messages that are no sound.
pub(super) const CONTROL: u32 = u32::MAX;
/// No index, no length, no wish.
pub(super) const NONE: u32 = u32::MAX;
/// The longest message that is believed.
pub(super) const MAX_MESSAGE: usize = 4 << 20;

const HEADER: usize = 20;

/// What a message is about.
pub(super) mod command {
    pub(crate) const ERROR: u32 = 0;
    pub(crate) const REPLY: u32 = 2;
    pub(crate) const CREATE_RECORD_STREAM: u32 = 5;
    pub(crate) const AUTH: u32 = 8;
    pub(crate) const SET_CLIENT_NAME: u32 = 9;
    pub(crate) const GET_SERVER_INFO: u32 = 20;
    pub(crate) const GET_SOURCE_INFO_LIST: u32 = 24;
    pub(crate) const RECORD_STREAM_KILLED: u32 = 65;
    pub(crate) const RECORD_STREAM_MOVED: u32 = 79;
}

/// How samples are written; those that are asked for here.
pub(super) const S16_LE: u8 = 3;
pub(super) const F32_LE: u8 = 5;

/// A kind of sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SampleSpec {
    pub(super) format: u8,
    pub(super) n_channels: u8,
    pub(super) rate_hz: u32,
}

/// A message to the server, as it grows.
pub(super) struct Message(Vec<u8>);

impl Message {
    /// The `tag` comes back with the reply.
    pub(super) fn new(command: u32, tag: u32) -> Self {
        Message(vec![0; HEADER]).u32(command).u32(tag)
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.0.push(b'L');
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn bool(mut self, value: bool) -> Self {
        self.0.push(if value { b'1' } else { b'0' });
        self
    }

    /// A text, which ends at its first zero byte.
    pub(super) fn text(mut self, value: Option<&str>) -> Self {
        match value {
            Some(text) => {
                self.0.push(b't');
                self.0.extend(text.bytes().take_while(|&byte| byte != 0));
                self.0.push(0);
            }
            None => self.0.push(b'N'),
        }
        self
    }

    pub(super) fn bytes(mut self, value: &[u8]) -> Self {
        self.0.push(b'x');
        self.0.extend((value.len() as u32).to_be_bytes());
        self.0.extend(value);
        self
    }

    pub(super) fn spec(mut self, spec: SampleSpec) -> Self {
        self.0.extend([b'a', spec.format, spec.n_channels]);
        self.0.extend(spec.rate_hz.to_be_bytes());
        self
    }

    /// Where each channel is heard.
    pub(super) fn positions(mut self, positions: &[u8]) -> Self {
        self.0.extend([b'm', positions.len() as u8]);
        self.0.extend(positions);
        self
    }

    pub(super) fn properties(mut self, properties: &[(&str, &str)]) -> Self {
        self.0.push(b'P');
        for (name, value) in properties {
            let value = [value.as_bytes(), &[0]].concat();
            self = self.text(Some(name)).u32(value.len() as u32).bytes(&value);
        }
        self.text(None)
    }

    /// What only a server says.
    #[cfg(test)]
    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// What is sent.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let length = (self.0.len() - HEADER) as u32;
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0[4..8].copy_from_slice(&CONTROL.to_be_bytes());
        self.0
    }
}

/// Reads the next message into `payload`; its channel.
pub(super) fn read_message(from: &mut impl Read, payload: &mut Vec<u8>) -> io::Result<u32> {
    let mut header = [0; HEADER];
    from.read_exact(&mut header)?;
    let number = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|i| header[at + i]));
    let (length, channel) = (number(0) as usize, number(4));
    if length > MAX_MESSAGE {
        return Err(malformed());
    }
    payload.resize(length, 0);
    from.read_exact(payload)?;
    Ok(channel)
}

/// What is left of a message from the server.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn of(payload: &'a [u8]) -> Self {
        Fields(payload)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn u32(&mut self) -> io::Result<u32> {
        self.tag(b'L')?;
        self.number()
    }

    pub(super) fn bool(&mut self) -> io::Result<bool> {
        match self.take(1)? {
            [b'1'] => Ok(true),
            [b'0'] => Ok(false),
            _ => Err(malformed()),
        }
    }

    /// Microseconds.
    pub(super) fn time(&mut self) -> io::Result<()> {
        self.tag(b'U')?;
        self.take(8).map(drop)
    }

    /// A text, empty where there is none.
    pub(super) fn text(&mut self) -> io::Result<String> {
        Ok(self.optional_text()?.unwrap_or_default())
    }

    fn optional_text(&mut self) -> io::Result<Option<String>> {
        match self.take(1)? {
            b"N" => Ok(None),
            b"t" => {
                let end = self.0.iter().position(|&byte| byte == 0);
                let text = self.take(end.ok_or_else(malformed)?)?;
                self.take(1)?;
                Ok(Some(String::from_utf8_lossy(text).into_owned()))
            }
            _ => Err(malformed()),
        }
    }

    pub(super) fn spec(&mut self) -> io::Result<SampleSpec> {
        self.tag(b'a')?;
        let head = self.take(2)?;
        Ok(SampleSpec {
            format: head[0],
            n_channels: head[1],
            rate_hz: self.number()?,
        })
    }

    /// Where each channel is heard.
    pub(super) fn positions(&mut self) -> io::Result<&'a [u8]> {
        self.tag(b'm')?;
        let n = self.byte()?;
        self.take(n)
    }

    /// Loudness of each channel.
    pub(super) fn volumes(&mut self) -> io::Result<()> {
        self.tag(b'v')?;
        let n = self.byte()?;
        self.take(4 * n).map(drop)
    }

    pub(super) fn properties(&mut self) -> io::Result<()> {
        self.tag(b'P')?;
        while self.optional_text()?.is_some() {
            self.u32()?;
            self.tag(b'x')?;
            let n = self.number()? as usize;
            self.take(n)?;
        }
        Ok(())
    }

    fn tag(&mut self, tag: u8) -> io::Result<()> {
        match self.byte()? == usize::from(tag) {
            true => Ok(()),
            false => Err(malformed()),
        }
    }

    fn byte(&mut self) -> io::Result<usize> {
        Ok(usize::from(self.take(1)?[0]))
    }

    fn number(&mut self) -> io::Result<u32> {
        let bytes = self.take(4)?;
        Ok(u32::from_be_bytes([0, 1, 2, 3].map(|i| bytes[i])))
    }

    fn take(&mut self, n: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or_else(malformed)?;
        self.0 = rest;
        Ok(taken)
    }
}

pub(super) fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it says what is not understood")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SPEC: SampleSpec = SampleSpec {
        format: F32_LE,
        n_channels: 2,
        rate_hz: 44_100,
    };

    fn message() -> Vec<u8> {
        Message::new(command::REPLY, 7)
            .text(Some("a\0b"))
            .text(None)
            .bool(true)
            .spec(SPEC)
            .positions(&[1, 2])
            .properties(&[("application.name", "hark"), ("x", "")])
            .u32(NONE)
            .finish()
    }

    /// What the message above says, as far as it can be read.
    fn read(payload: &[u8]) -> io::Result<(String, SampleSpec, u32)> {
        let mut fields = Fields::of(payload);
        assert!(fields.u32()? == command::REPLY && fields.u32()? == 7);
        let text = fields.text()?;
        assert_eq!(fields.text()?, "");
        assert!(fields.bool()?);
        let spec = fields.spec()?;
        assert_eq!(fields.positions()?, [1, 2]);
        fields.properties()?;
        let last = fields.u32()?;
        assert!(fields.is_empty());
        Ok((text, spec, last))
    }

    #[test]
    fn what_is_written_is_read() {
        let mut payload = Vec::new();
        let channel = read_message(&mut &message()[..], &mut payload).unwrap();
        assert_eq!(channel, CONTROL);
        assert_eq!(read(&payload).unwrap(), ("a".into(), SPEC, NONE));
    }

    #[test]
    fn a_message_cut_anywhere_is_an_error() {
        let whole = message();
        for end in 0..whole.len() {
            assert!(read_message(&mut &whole[..end], &mut Vec::new()).is_err());
            if end > HEADER {
                assert!(read(&whole[HEADER..end]).is_err(), "{end}");
            }
        }
    }

    #[test]
    fn an_absurd_length_takes_no_memory() {
        let mut payload = Vec::new();
        assert!(read_message(&mut &[0xff; 100][..], &mut payload).is_err());
        assert_eq!(payload.capacity(), 0);
        // A property of four gigabytes.
        let absurd = [&b"Pta\0L\0\0\0\x01x"[..], &[0xff; 4]].concat();
        assert!(Fields::of(&absurd).properties().is_err());
    }
}
