//! Publishes an MQTT message: `{ mqtt = "mqtt://broker", topic = "home/{room}/light", payload = "{state}" }`.
//!
//! Speaks MQTT 3.1.1, with a connection for each message. The value of a slot cannot leave its level
//! of the topic.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use super::job::{Attempt, Ended, Job};
use super::net;
use super::payload::Payload;
use super::secret::Secret;
use super::slots::{SlotError, Slots, fill_as, has_slots, mention};
use super::{ActionError, Deed};

#[cfg(feature = "mqtt")]
mod exchange;
#[cfg(feature = "mqtt")]
mod packet;
#[cfg(feature = "mqtt")]
mod tls;

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its name or number.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether the connection is encrypted.
    pub encryption: Encryption,
}

impl Broker {
    /// Whether nobody on the way can read what is sent.
    pub fn is_encrypted(&self) -> bool {
        self.encryption == Encryption::Tls
    }
}

/// Whether others can read what is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// They can.
    #[default]
    None,
    /// TLS.
    Tls,
}

/// Why an address of a broker cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an address such as mqtt://user@192.168.1.7:1883 or mqtts://broker.lan")]
pub struct BrokerError;

/// A broker, and who logs in.
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    /// The broker.
    pub broker: Broker,
    /// The user.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Secret>,
}

impl Login {
    /// What `mqtt://user:password@host:port`, or the same with `mqtts`, says. User and password may
    /// have percent-encoded bytes.
    ///
    /// # Errors
    /// If it is no such address.
    pub fn parse(text: &str) -> Result<Login, BrokerError> {
        let (scheme, rest) = text.split_once("://").ok_or(BrokerError)?;
        let (encryption, port) = match scheme {
            "mqtt" => (Encryption::None, 1883),
            "mqtts" => (Encryption::Tls, 8883),
            _ => return Err(BrokerError),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (person, place) = match rest.rsplit_once('@') {
            Some((person, place)) => (Some(person), place),
            None => (None, rest),
        };
        let (host, port) = net::host_and_port(place, Some(port)).ok_or(BrokerError)?;
        let (user, password) = match person.map(|p| p.split_once(':').unwrap_or((p, ""))) {
            Some((user, password)) => (decoded(user)?, decoded(password)?),
            None => Default::default(),
        };
        if user.is_empty() && person.is_some() {
            return Err(BrokerError);
        }
        let broker = Broker {
            host,
            port,
            encryption,
        };
        Ok(Login {
            broker,
            user: Some(user).filter(|user| !user.is_empty()),
            password: (!password.is_empty()).then_some(Secret::Plain(password)),
        })
    }
}

/// `text` with `%XX` as the bytes they stand for.
fn decoded(text: &str) -> Result<String, BrokerError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let digits = after.get(..2).ok_or(BrokerError)?;
        let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
        let byte = u8::from_str_radix(digits, 16).map_err(|_| BrokerError)?;
        bytes.push(is_hex.then_some(byte).ok_or(BrokerError)?);
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).map_err(|_| BrokerError)
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.encryption {
            Encryption::None => "mqtt",
            Encryption::Tls => "mqtts",
        };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// What a broker promises about a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Qos {
    /// Nothing (0).
    AtMostOnce,
    /// That it has it (1).
    #[default]
    AtLeastOnce,
    /// That it has it and passes it on once (2).
    ExactlyOnce,
}

/// A message to publish.
#[derive(Clone, Debug, PartialEq)]
pub struct Publish {
    /// The broker, and who logs in.
    pub login: Login,
    /// The topic, with slots.
    pub topic: String,
    /// What is sent.
    pub payload: Payload,
    /// Whether the broker keeps it for those who subscribe later.
    pub retain: bool,
    /// What the broker promises.
    pub qos: Qos,
    /// Certificates to trust instead of the public ones, in a PEM file.
    pub ca_file: Option<PathBuf>,
}

/// Longest topic, in bytes.
const MAX_TOPIC_BYTES: usize = 65_535;

impl Publish {
    /// Whether `topic`, as it is written, is one to publish to.
    pub fn is_topic(topic: &str) -> bool {
        let is_reserved = |c: char| "+#".contains(c) || c.is_control();
        (1..=MAX_TOPIC_BYTES).contains(&topic.len()) && !topic.contains(is_reserved)
    }

    /// The topic with these slots filled in.
    fn filled_topic(&self, slots: &Slots) -> Result<String, SlotError> {
        let levels = self.topic.split('/').map(|level| {
            let filled = fill_as(level, slots, in_topic)?;
            let mut names = Vec::new();
            mention(level, &mut names);
            match names.first() {
                Some(slot) if filled.is_empty() => Err(SlotError::new(
                    slot,
                    "",
                    "leaves a level of the topic empty",
                )),
                Some(slot) if filled.starts_with('$') && !level.starts_with('$') => Err(
                    SlotError::new(slot, &filled, "begins a level of the topic with `$`"),
                ),
                _ => Ok(filled),
            }
        });
        Ok(levels.collect::<Result<Vec<_>, _>>()?.join("/"))
    }
}

/// A value in a topic: what cannot be mistaken for more levels, or for a pattern.
fn in_topic(value: &str) -> Result<String, &'static str> {
    match value.contains(|c: char| "/+#".contains(c) || c.is_control()) {
        true => Err("has `/`, `+`, `#` or a control character, and stands in a topic"),
        false => Ok(value.to_owned()),
    }
}

impl Deed for Publish {
    fn mention(&self, to: &mut Vec<String>) {
        mention(&self.topic, to);
        self.payload.mention(to);
    }

    fn line(&self, slots: Option<&Slots>) -> Result<Vec<String>, SlotError> {
        let (topic, payload) = match slots {
            Some(slots) => (self.filled_topic(slots)?, self.payload.fill(slots)?),
            None => (self.topic.clone(), self.payload.template()),
        };
        let line = [
            "mqtt".to_owned(),
            self.login.broker.to_string(),
            topic,
            payload,
        ];
        let retained = self.retain.then(|| "retained".to_owned());
        Ok(line.into_iter().chain(retained).collect())
    }

    fn run(&self, job: &Job, attempt: &Attempt<'_>) -> Ended {
        let sent = self.prepare(&job.slots).and_then(|prepared| {
            let deadline = attempt.deadline;
            net::apart(attempt, move || prepared.send(deadline))
        });
        sent.map(|()| String::new()).into()
    }

    fn lacks(&self) -> Vec<String> {
        let mut lacks = Vec::new();
        let broker = &self.login.broker;
        if !broker.is_encrypted() && !net::is_near(&broker.host) {
            let host = &broker.host;
            lacks.push(format!(
                "what is sent to {host} can be read on the way, the password too; use mqtts:// if \
                 it can"
            ));
        }
        lacks.extend(self.login.password.as_ref().and_then(Secret::lacks));
        if let Some(path) = self.ca_file.as_deref().filter(|path| !path.is_file()) {
            lacks.push(format!("there is no file {}", path.display()));
        }
        if !has_slots(&self.topic) && self.topic.starts_with("$SYS") {
            lacks.push("topics below $SYS are the broker's own".to_owned());
        }
        lacks
    }
}

/// A message with everything filled in.
#[cfg_attr(not(feature = "mqtt"), allow(dead_code))]
struct Prepared {
    login: Login,
    password: Option<String>,
    topic: String,
    payload: String,
    retain: bool,
    qos: Qos,
    ca_file: Option<PathBuf>,
}

impl Publish {
    fn prepare(&self, slots: &Slots) -> Result<Prepared, ActionError> {
        let password = self.login.password.as_ref().map(Secret::read);
        Ok(Prepared {
            login: self.login.clone(),
            password: password.transpose()?,
            topic: self.filled_topic(slots)?,
            payload: self.payload.fill(slots)?,
            retain: self.retain,
            qos: self.qos,
            ca_file: self.ca_file.clone(),
        })
    }
}

#[cfg(not(feature = "mqtt"))]
impl Prepared {
    fn send(self, _: std::time::Instant) -> Result<(), ActionError> {
        Err(ActionError::NoFeature("mqtt"))
    }
}

#[cfg(feature = "mqtt")]
mod send {
    use std::hash::{BuildHasher, Hasher, RandomState};
    use std::io::Read;
    use std::time::{Duration, Instant};

    use super::packet::{Connect, Message, MqttError};
    use super::*;

    /// How long the broker has to close a connection that was taken leave of.
    const LEAVE: Duration = Duration::from_millis(200);

    impl Prepared {
        /// Sends it, until `deadline`.
        pub(super) fn send(self, deadline: Instant) -> Result<(), ActionError> {
            let broker = &self.login.broker;
            let target = broker.to_string();
            let failed = |error: MqttError| match error {
                MqttError::Io(error) => net::io_error(&target, &error),
                other => net::remote(&target, other),
            };
            let mut stream = net::connect((&broker.host, broker.port), deadline)
                .map_err(|error| net::io_error(&target, &error))?;
            let client_id = client_id();
            let who = Connect {
                client_id: &client_id,
                user: self.login.user.as_deref(),
                password: self.password.as_deref(),
            };
            let message = Message {
                topic: &self.topic,
                payload: self.payload.as_bytes(),
                qos: self.qos as u8,
                retain: self.retain,
            };
            match broker.encryption {
                Encryption::None => {
                    exchange::publish(&mut stream, &who, &message).map_err(failed)?;
                }
                Encryption::Tls => {
                    let mut inside = tls::around(stream, &broker.host, self.ca_file.as_deref())
                        .map_err(|reason| net::remote(&target, reason))?;
                    exchange::publish(&mut inside, &who, &message).map_err(failed)?;
                    stream = inside.sock;
                }
            }
            if self.qos == Qos::AtMostOnce {
                // Closing a connection with something unread in it might take back a message that
                // nobody acknowledges. A broker that does not close it is no failure.
                stream.deadline = deadline.min(Instant::now() + LEAVE);
                let _ = stream.take(1024).read_to_end(&mut Vec::new());
            }
            Ok(())
        }
    }

    /// A name that no other client has; a broker would cut off the older one. At most 23 letters and
    /// digits, which every broker must allow (3.1.3.1).
    fn client_id() -> String {
        format!("hark{:016x}", RandomState::new().build_hasher().finish())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_brokers() {
        let login = Login::parse("mqtt://me:p%40ss%3A@broker:99").unwrap();
        assert_eq!(login.broker.to_string(), "mqtt://broker:99");
        assert_eq!(login.user.as_deref(), Some("me"));
        assert_eq!(login.password, Some(Secret::Plain("p@ss:".into())));
        let login = Login::parse("mqtts://[::1]/").unwrap();
        assert_eq!(login.broker.to_string(), "mqtts://[::1]:8883");
        assert_eq!((login.user, login.password), (None, None));
        for text in [
            "broker",
            "http://broker",
            "mqtt://",
            "mqtt://a b",
            "mqtt://x/y",
            "mqtt://@x",
            "mqtt://:pw@x",
            "mqtt://u%zz@x",
            "mqtt://u%+1@x",
            "mqtt://u%f@x",
            "mqtt://u%ff@x",
            "mqtt://x:99999",
        ] {
            assert_eq!(Login::parse(text), Err(BrokerError), "{text}");
        }
    }

    #[test]
    fn values_stay_in_their_level_of_the_topic() {
        let publish = Publish {
            login: Login::parse("mqtt://broker").unwrap(),
            topic: "home/{room}/light".into(),
            payload: Payload::default(),
            retain: false,
            qos: Qos::default(),
            ca_file: None,
        };
        let topic = |value: &str| {
            publish.filled_topic(&Slots::from([("room".to_owned(), value.to_owned())]))
        };
        assert_eq!(topic("; rm -rf \" ü").unwrap(), "home/; rm -rf \" ü/light");
        for value in ["a/b", "+", "#", "a\0b", "a\nb", "", "$SYS"] {
            let error = topic(value).unwrap_err();
            assert_eq!(error.slot, "room", "{error}");
        }
        for bad in ["", "a/+", "#", "a\0"] {
            assert!(!Publish::is_topic(bad), "{bad:?}");
        }
        assert!(Publish::is_topic("zigbee2mqtt/{lamp}/set"));
    }
}
