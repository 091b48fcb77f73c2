//! `hark doctor --privacy`: every file and address that the configuration makes hark touch, and the key
//! that does it.
//!
//! Looks at the configuration only: nothing is opened, run or contacted. Secrets are not read, and not
//! shown where they stand in the configuration.

use serde::Serialize;
use serde_json::json;

use super::actions;
use crate::audio::{sound_server, sound_server_secrets};
use crate::cli::output::{self, Out, json};
use crate::cli::setup::Setup;
use crate::cli::{Failure, Globals};
use crate::command::Action;
use crate::command::action::{Address, HttpRequest, Kind, Program, Publish, Secret, Shell, quoted};
use crate::config::{self, Config};
use crate::dialogue::TimerSettings;
use crate::models;
use crate::place::Place;
use crate::speech::Cue;

/// Something that is touched, and why.
#[derive(Debug, PartialEq, Serialize)]
struct Item {
    what: String,
    key: String,
}

/// All of it, by what is done.
#[derive(Debug, Default, Serialize)]
struct Listing {
    reads: Vec<Item>,
    writes: Vec<Item>,
    runs: Vec<Item>,
    listens: Vec<Item>,
    contacts: Vec<Item>,
}

/// The features with network code, and whether this build has them.
const FEATURES: [(&str, bool); 5] = [
    ("download", cfg!(feature = "download")),
    ("http", cfg!(feature = "http")),
    ("mqtt", cfg!(feature = "mqtt")),
    ("tcp", cfg!(feature = "tcp")),
    ("metrics", cfg!(feature = "metrics")),
];

const PULL: &str = "`hark models pull NAME` contacts the server of the model (HF_ENDPOINT names another) \
                    or runs pip; nothing else does, and nothing is fetched unasked";

/// Lists it.
pub(super) fn run(globals: &Globals) -> Result<(), Failure> {
    let setup = Setup::load(globals)?;
    let listing = Listing::of(&setup);
    let mut out = Out::stdout();
    if globals.json {
        let text = json::pretty(&json!({
            "reads": listing.reads,
            "writes": listing.writes,
            "runs": listing.runs,
            "listens": listing.listens,
            "contacts": listing.contacts,
            "nothing_leaves": listing.contacts.is_empty(),
            "network_features": features(),
        }));
        return out.line(&text);
    }
    out.line(&listing.text())
}

fn features() -> Vec<&'static str> {
    let built = FEATURES.iter().filter(|(_, is_built)| *is_built);
    built.map(|(name, _)| *name).collect()
}

fn item(what: impl Into<String>, key: impl Into<String>) -> Item {
    Item {
        what: what.into(),
        key: key.into(),
    }
}

impl Listing {
    fn of(setup: &Setup) -> Listing {
        let mut to = Listing::default();
        let config = &setup.config;
        to.configuration(config);
        to.models(setup);
        to.sound_and_text(config);
        to.state(config);
        to.sockets(config);
        actions::for_each(config, &mut |owner, action| to.action(owner, action));
        to
    }

    fn configuration(&mut self, config: &Config) {
        match &config.file {
            Some(file) => self
                .reads
                .push(item(file.display().to_string(), "--config, or found")),
            None => {
                let searched = config::search_paths(|name| std::env::var_os(name));
                let searched = searched.iter().map(|path| path.display().to_string());
                let what = format!(
                    "{}, if there is one",
                    searched.collect::<Vec<_>>().join(", ")
                );
                self.reads.push(item(what, "--config is not given"));
            }
        }
        let files = config.commands.files.iter();
        self.reads
            .extend(files.map(|file| item(file.display().to_string(), "commands.include")));
    }

    fn models(&mut self, setup: &Setup) {
        let fallback = setup.config.stream.fallback_model.as_str();
        let responder = &setup.config.responder;
        let answers = if responder.enabled {
            responder.model.as_str()
        } else {
            ""
        };
        let of_keys = [
            (setup.model_name(), "model.name"),
            (fallback, "stream.fallback_model"),
            (answers, "responder.model"),
        ];
        for (name, key) in of_keys.into_iter().filter(|(name, _)| !name.is_empty()) {
            let what = match models::resolve(name) {
                Ok(path) => path.display().to_string(),
                Err(_) => format!("the model {name}, which is not here"),
            };
            self.reads.push(item(what, key));
        }
    }

    fn sound_and_text(&mut self, config: &Config) {
        let device = &config.audio.device;
        let microphone = format!("the microphone `{device}`");
        self.reads.push(item(microphone, "audio.device"));
        if let Some(path) = sound_server() {
            let server = format!("unix:{}: the sound server's microphones", path.display());
            self.reads.push(item(server, "audio.device"));
            let secrets = sound_server_secrets();
            let secrets = secrets.iter().filter(|path| path.exists()).take(1);
            self.reads.extend(secrets.map(|path| {
                let what = format!("{}: lets you into the sound server", path.display());
                item(what, "audio.device")
            }));
        } else if let Ok(server) = std::env::var("PULSE_SERVER")
            && !server.contains('/')
        {
            self.contacts.push(item(
                format!("the sound server {server}, through ALSA"),
                "PULSE_SERVER",
            ));
        }
        let captions = "standard output: what was said (the systemd units throw it away)";
        self.writes.push(item(captions, "hark run"));
        let said = match config.log.level >= log::LevelFilter::Debug
            || config
                .log
                .modules
                .iter()
                .any(|(_, level)| *level >= log::LevelFilter::Debug)
        {
            true => "with what was said, at this level",
            false => "without what was said",
        };
        let what = format!("standard error, or the journal: messages {said}");
        self.writes.push(item(what, "log.level, log.modules"));
        let speech = &config.speech;
        if !speech.program.is_empty() {
            let line = [std::slice::from_ref(&speech.program), &speech.args].concat();
            self.runs.push(item(quoted(&line), "speech.program"));
        }
        for (key, cue) in speech.cues.all() {
            if let Cue::File(path) = cue {
                let path = path.display().to_string();
                self.reads.push(item(path, format!("speech.{key}")));
            }
        }
    }

    fn state(&mut self, config: &Config) {
        let TimerSettings {
            enabled,
            state_file,
            ..
        } = &config.dialogue.timers;
        if let (true, Some(path)) = (enabled, state_file.state_file("timers.json")) {
            let path = path.display().to_string();
            self.reads.push(item(path.clone(), "timers.state_file"));
            self.writes.push(item(
                format!("{path}: names and times"),
                "timers.state_file",
            ));
        }
        let responder = &config.responder;
        if let (true, Some(path)) = (
            responder.enabled,
            responder.prefix_file.state_file("responder.state"),
        ) {
            let path = path.display().to_string();
            self.reads.push(item(path.clone(), "responder.prefix_file"));
            let what = format!("{path}: what the model made of the system prompt");
            self.writes.push(item(what, "responder.prefix_file"));
        }
        if let Some(path) = Place::Auto.state_file("muted") {
            let what = format!("{}: that the microphone is muted", path.display());
            self.writes.push(item(what, "hark ctl mute"));
        }
        let ledger = &config.ledger;
        if let (true, Some(path)) = (ledger.enabled, ledger.file.state_file("ledger.sqlite")) {
            let path = path.display().to_string();
            let audio = if ledger.audio { " and its audio" } else { "" };
            let what = format!("{path}: what was said{audio}");
            self.reads.push(item(path, "ledger.enabled, ledger.file"));
            self.writes
                .push(item(what, "ledger.enabled, ledger.file, ledger.audio"));
        }
    }

    fn sockets(&mut self, config: &Config) {
        if let Some(path) = config.control.socket.runtime_file("hark.sock") {
            let what = format!("unix:{}, for this user", path.display());
            self.listens.push(item(what, "control.socket"));
        }
        if let Some(address) = config.control.metrics {
            let what = format!("tcp:{address}, for programs on this machine");
            self.listens.push(item(what, "control.metrics"));
        }
    }

    fn action(&mut self, owner: &str, action: &Action) {
        match &action.kind {
            Kind::Program(program) => self.program(owner, program),
            Kind::Http(request) => self.http(owner, request),
            Kind::Mqtt(publish) => self.mqtt(owner, publish),
            Kind::Socket(message) => {
                let what = message.address.to_string();
                match &message.address {
                    Address::Unix(_) => self.writes.push(item(what, owner)),
                    Address::Tcp { .. } => self.contacts.push(item(what, owner)),
                }
            }
            // By the program that is listed already.
            Kind::Speak(_) => {}
        }
    }

    fn program(&mut self, owner: &str, program: &Program) {
        let line = [std::slice::from_ref(&program.program), &program.args].concat();
        let line = quoted(&line);
        let line = match program.shell {
            Shell::Yes => format!("/bin/sh -c {line}"),
            Shell::No => line,
        };
        self.runs.push(item(line, owner));
    }

    fn http(&mut self, owner: &str, request: &HttpRequest) {
        let HttpRequest {
            method,
            url,
            token,
            ca_file,
            ..
        } = request;
        self.contacts
            .push(item(format!("{} ({method})", without_path(url)), owner));
        self.secret(owner, token.as_ref());
        let ca_file = ca_file
            .iter()
            .map(|path| item(path.display().to_string(), owner));
        self.reads.extend(ca_file);
    }

    fn mqtt(&mut self, owner: &str, publish: &Publish) {
        let Publish {
            login,
            topic,
            ca_file,
            ..
        } = publish;
        self.contacts
            .push(item(format!("{} (topic {topic})", login.broker), owner));
        self.secret(owner, login.password.as_ref());
        let ca_file = ca_file
            .iter()
            .map(|path| item(path.display().to_string(), owner));
        self.reads.extend(ca_file);
    }

    fn secret(&mut self, owner: &str, secret: Option<&Secret>) {
        let what = match secret {
            Some(Secret::File(path)) => format!("{} (a secret)", path.display()),
            Some(Secret::Env(name)) => format!("${name} (a secret)"),
            Some(Secret::Plain(_)) | None => return,
        };
        self.reads.push(item(what, owner));
    }

    fn text(&self) -> String {
        let parts = [
            ("Reads", &self.reads),
            ("Writes", &self.writes),
            ("Runs", &self.runs),
            ("Listens at", &self.listens),
            ("Contacts", &self.contacts),
        ];
        let mut text = String::new();
        for (title, items) in parts {
            text.push_str(&format!("{title}:\n"));
            for Item { what, key } in items {
                text.push_str(&format!("  {what}\n      {key}\n"));
            }
            if items.is_empty() {
                text.push_str("  nothing\n");
            }
        }
        let features = match features().as_slice() {
            [] => "this build has none".to_owned(),
            some => format!("features {}", some.join(", ")),
        };
        text.push_str(&format!(
            "Network code: {features}\n\n{}\n{PULL}.",
            self.verdict()
        ));
        output::printable(&text)
    }

    fn verdict(&self) -> String {
        let contacts = match self.contacts.len() {
            0 => "Nothing leaves this machine: hark contacts nobody.".to_owned(),
            n => format!(
                "hark sends something to others in {n} actions, when their commands are said."
            ),
        };
        match self.runs.len() {
            0 => contacts,
            n => format!(
                "{contacts}\nWhat the {n} programs do is theirs; commands' programs are told what was said."
            ),
        }
    }
}

/// Scheme, host and port of an address: a path may hold a secret.
fn without_path(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let more = if end < rest.len() { "/…" } else { "" };
    format!("{scheme}://{}{more}", &rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_the_host_is_shown() {
        let hook = "https://hass.lan:8123/api/webhook/s3cret?key=s3cret";
        assert_eq!(without_path(hook), "https://hass.lan:8123/…");
        assert_eq!(without_path("http://hue.lan"), "http://hue.lan");
        assert_eq!(
            without_path("http://hue.lan?key=s3cret"),
            "http://hue.lan/…"
        );
    }
}
