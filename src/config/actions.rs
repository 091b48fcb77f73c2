//! What a command does: `action = { … }` and its kinds.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::ConfigError;
use super::document::{Entry, Section};
use crate::command::Action;
use crate::command::action::{
    Address, HttpRequest, Kind, Login, Output, Payload, Program, Publish, Qos, REPLY_MS, Secret,
    Shell, SocketMessage, Speak, WhenBusy,
};

/// Pause before another try when none is set, in milliseconds.
const RETRY_DELAY_MS: u64 = 1_000;

/// Reads a kind of action: the value of the key that names it, and the keys it has besides.
type ReadKind = fn(&Entry<'_>, &mut Section<'_>) -> Result<Kind, ConfigError>;

/// The kinds by the key that names them.
const KINDS: [(&str, ReadKind); 5] = [
    ("program", program),
    ("http", http),
    ("mqtt", mqtt),
    ("speak", speak),
    ("socket", socket),
];

/// Reads an action.
pub(super) fn action(mut section: Section<'_>) -> Result<Action, ConfigError> {
    let mut found = None;
    for (key, read) in KINDS {
        let Some(entry) = section.take(key) else {
            continue;
        };
        if found.is_some() {
            let expected = "left out: an action has one of program, http, mqtt, speak and socket";
            return Err(entry.invalid(expected));
        }
        found = Some((entry, read));
    }
    let Some((entry, read)) = found else {
        return Err(section.missing("program, http, mqtt, speak or socket"));
    };
    let mut to = Action::from(read(&entry, &mut section)?);
    options(&mut section, &mut to)?;
    section.finish()?;
    Ok(to)
}

/// What all kinds have in common.
fn options(section: &mut Section<'_>, to: &mut Action) -> Result<(), ConfigError> {
    section.integer("timeout_ms", 10..=3_600_000, &mut to.timeout_ms)?;
    if let Some(entry) = section.take("retry") {
        let mut retry = entry.section()?;
        let times = retry.require("times")?;
        to.retry.times = u32::try_from(times.integer(&(0..=100))?).unwrap_or(u32::MAX);
        to.retry.delay_ms = RETRY_DELAY_MS;
        retry.integer("delay_ms", 0..=600_000, &mut to.retry.delay_ms)?;
        retry.finish()?;
    }
    if let Some(entry) = section.take("when_busy") {
        let choices = [
            ("wait", WhenBusy::Wait),
            ("skip", WhenBusy::Skip),
            ("replace", WhenBusy::Replace),
        ];
        entry.choice(&choices, &mut to.when_busy)?;
        // Who says what becomes of a second one means one at a time.
        to.max_running = 1;
    }
    section.integer("max_running", 0..=64, &mut to.max_running)?;
    let outputs = [
        ("event", Output::Event),
        ("log", Output::Log),
        ("speak", Output::Speak),
        ("none", Output::Nowhere),
    ];
    section.choice("output", &outputs, &mut to.output)
}

fn program(entry: &Entry<'_>, section: &mut Section<'_>) -> Result<Kind, ConfigError> {
    let mut to = Program {
        program: entry.text()?,
        ..Program::default()
    };
    if to.program.is_empty() {
        return Err(entry.invalid("the name of a program"));
    }
    let folder = section.document().folder();
    let mut is_shell = false;
    section.flag("shell", &mut is_shell)?;
    if is_shell {
        to.shell = Shell::Yes;
    } else {
        to.program = resolve(&to.program, folder);
    }
    if let Some(entry) = section.take("args") {
        to.args = entry.texts()?;
    }
    for (name, entry) in section.section("env")?.into_entries() {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(entry.invalid("under the name of an environment variable"));
        }
        to.env.insert(name, entry.text()?);
    }
    if let Some(entry) = section.take("cwd") {
        to.cwd = Some(folder.join(entry.text()?));
    }
    Ok(Kind::Program(to))
}

/// A program with a relative path is found from the configuration's folder, a bare name in
/// `$PATH`.
pub(super) fn resolve(program: &str, folder: &Path) -> String {
    if !program.contains('/') {
        return program.to_owned();
    }
    // Absolute, because a relative one would start from the action's own `cwd`.
    let path: PathBuf = folder.join(program);
    std::path::absolute(&path)
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned()
}

/// The methods that may be asked for.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// Headers that follow from the rest of the request.
const OWN_HEADERS: [&str; 4] = ["host", "content-length", "transfer-encoding", "connection"];

fn http(entry: &Entry<'_>, section: &mut Section<'_>) -> Result<Kind, ConfigError> {
    needs("http", cfg!(feature = "http"), entry)?;
    let mut to = HttpRequest {
        url: entry.text()?,
        ..HttpRequest::default()
    };
    HttpRequest::check_url(&to.url).map_err(|error| entry.invalid(error.to_string()))?;
    to.body = payload("body", section)?;
    to.method = if to.body.is_some() { "POST" } else { "GET" }.to_owned();
    if let Some(entry) = section.take("method") {
        to.method = entry.text()?;
        if !METHODS.contains(&to.method.as_str()) {
            return Err(entry.invalid(format!("one of {}", METHODS.join(", "))));
        }
        if to.method == "HEAD" && to.body.is_some() {
            return Err(entry.invalid("another method, since there is something to send"));
        }
    }
    for (name, entry) in section.section("headers")?.into_entries() {
        to.headers.push(header(name, &entry)?);
    }
    to.token = secret(["token_file", "token_env"], section)?;
    let is_taken = to
        .headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    if to.token.is_some() && is_taken {
        return Err(entry.invalid("asked with a token or with a header `Authorization`, not both"));
    }
    to.ca_file = ca_file(to.url.starts_with("https"), "https", section)?;
    Ok(Kind::Http(to))
}

fn header(name: String, entry: &Entry<'_>) -> Result<(String, String), ConfigError> {
    // RFC 9110, section 5.6.2: a token.
    let of_a_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(of_a_token) {
        return Err(entry.invalid("under the name of a header"));
    }
    if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(entry.invalid("left out: hark sets this header itself"));
    }
    let value = entry.text()?;
    match value.contains(char::is_control) {
        true => Err(entry.invalid("a text on one line")),
        false => Ok((name, value)),
    }
}

fn mqtt(entry: &Entry<'_>, section: &mut Section<'_>) -> Result<Kind, ConfigError> {
    needs("mqtt", cfg!(feature = "mqtt"), entry)?;
    let mut login =
        Login::parse(&entry.text()?).map_err(|error| entry.invalid(error.to_string()))?;
    if let Some(password) = secret(["password_file", "password_env"], section)? {
        if login.password.is_some() || login.user.is_none() {
            let expected = "an address with a user and without a password, since that is elsewhere";
            return Err(entry.invalid(expected));
        }
        login.password = Some(password);
    }
    let topic = section.require("topic")?;
    let mut to = Publish {
        ca_file: ca_file(login.broker.is_encrypted(), "mqtts", section)?,
        login,
        topic: topic.text()?,
        payload: payload("payload", section)?.unwrap_or_default(),
        retain: false,
        qos: Qos::default(),
    };
    if !Publish::is_topic(&to.topic) {
        return Err(topic.invalid("a topic to publish to, without + and #"));
    }
    section.flag("retain", &mut to.retain)?;
    if let Some(entry) = section.take("qos") {
        to.qos = match entry.integer(&(0..=2))? {
            0 => Qos::AtMostOnce,
            1 => Qos::AtLeastOnce,
            _ => Qos::ExactlyOnce,
        };
    }
    Ok(Kind::Mqtt(to))
}

fn speak(entry: &Entry<'_>, _: &mut Section<'_>) -> Result<Kind, ConfigError> {
    let text = entry.text()?;
    match text.trim().is_empty() {
        true => Err(entry.invalid("something to say")),
        false => Ok(Kind::Speak(Speak { text })),
    }
}

fn socket(entry: &Entry<'_>, section: &mut Section<'_>) -> Result<Kind, ConfigError> {
    let expected = "\"unix:PATH\" or \"tcp:HOST:PORT\"";
    let address = match Address::parse(&entry.text()?) {
        Some(Address::Unix(path)) => Address::Unix(section.document().folder().join(path)),
        Some(tcp) => {
            needs("tcp", cfg!(feature = "tcp"), entry)?;
            tcp
        }
        None => return Err(entry.invalid(expected)),
    };
    let mut to = SocketMessage {
        address,
        payload: payload("payload", section)?.unwrap_or_default(),
        newline: false,
        reply_ms: REPLY_MS,
    };
    section.flag("newline", &mut to.newline)?;
    section.integer("reply_ms", 0..=60_000, &mut to.reply_ms)?;
    Ok(Kind::Socket(to))
}

/// An error when the part of hark that `entry` needs was left out of the build.
fn needs(feature: &str, is_built: bool, entry: &Entry<'_>) -> Result<(), ConfigError> {
    match is_built {
        true => Ok(()),
        false => Err(entry.invalid(format!(
            "left out, since this hark was built without the feature `{feature}`"
        ))),
    }
}

/// What is sent: a text under the key `as_text`, or JSON under `json`.
fn payload(
    as_text: &'static str,
    section: &mut Section<'_>,
) -> Result<Option<Payload>, ConfigError> {
    let text = section.take(as_text);
    let Some(entry) = section.take("json") else {
        return text
            .map(|entry| entry.text().map(Payload::Text))
            .transpose();
    };
    if text.is_some() {
        return Err(entry.invalid(format!("left out where there is `{as_text}`")));
    }
    let value = match entry.is_text() {
        true => serde_json::from_str::<Value>(&entry.text()?).map_err(|error| {
            entry.invalid(format!(
                "a table, or JSON in a text, with slots inside its strings, numbers as \
                 \"{{slot:number}}\": {error}"
            ))
        })?,
        false => entry.json()?,
    };
    let payload = Payload::Json(value);
    match payload.misplaced_type() {
        Some(slot) => Err(entry.invalid(format!(
            "JSON in which {slot} stands alone in its string and is {{slot:number}} or {{slot:bool}}"
        ))),
        None => Ok(Some(payload)),
    }
}

/// A password or token, in a file or an environment variable.
fn secret(
    [in_file, in_env]: [&'static str; 2],
    section: &mut Section<'_>,
) -> Result<Option<Secret>, ConfigError> {
    let file = section.take(in_file);
    let variable = section.take(in_env);
    match (file, variable) {
        (Some(_), Some(entry)) => {
            Err(entry.invalid(format!("left out where there is `{in_file}`")))
        }
        (Some(entry), None) => {
            let path = section.document().folder().join(entry.text()?);
            Ok(Some(Secret::File(path)))
        }
        (None, Some(entry)) => {
            let name = entry.text()?;
            match name.is_empty() || name.contains(['=', '\0']) {
                true => Err(entry.invalid("the name of an environment variable")),
                false => Ok(Some(Secret::Env(name))),
            }
        }
        (None, None) => Ok(None),
    }
}

/// Certificates to trust, where the connection has any.
fn ca_file(
    is_encrypted: bool,
    scheme: &str,
    section: &mut Section<'_>,
) -> Result<Option<PathBuf>, ConfigError> {
    let Some(entry) = section.take("ca_file") else {
        return Ok(None);
    };
    match is_encrypted {
        true => Ok(Some(section.document().folder().join(entry.text()?))),
        false => Err(entry.invalid(format!("left out unless the address is {scheme}://"))),
    }
}
