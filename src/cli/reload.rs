//! Another configuration for a running daemon: read on a thread of its own, checked, with its models
//! loaded, and only then handed over. One that cannot be used changes nothing.

use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender};

use super::observer::Observers;
use super::setup::Setup;
use super::{Failure, Globals, failure, logging};
use crate::audio::SourceSpec;
use crate::config::LogConfig;
use crate::daemon::{Priority, Renewal, Request, Service, Situation, Systemd, set_priority};
use crate::error::Kind;
use crate::guard::supervised;
use crate::pipeline::{Abort, Settings, Stages};
use crate::respond::ResponderSetup;
use crate::whisper::Model;

/// Where the outcome of a reload goes; whoever asked may be gone.
pub(crate) type Answer = Sender<Result<(), String>>;

/// What a configuration needed to be loaded.
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    pub(crate) model: Arc<Model>,
    /// What was asked for when the models were loaded.
    wanted: String,
}

impl Loaded {
    /// Loads everything; `known` is a responder whose model is loaded already.
    pub(crate) fn load(setup: &Setup, known: Option<&ResponderSetup>) -> Result<Self, Failure> {
        let mut settings = settings_of(setup, known)?;
        let model = setup.model()?;
        settings.smaller = setup.smaller_model()?;
        Ok(Loaded {
            settings,
            model,
            wanted: setup.wanted_models(),
        })
    }

    /// Loads what another configuration needs, keeping the models if they are the same.
    fn load_again(&self, setup: &Setup) -> Result<Self, Failure> {
        if setup.wanted_models() != self.wanted {
            return Loaded::load(setup, self.settings.responder.as_ref());
        }
        let mut settings = settings_of(setup, self.settings.responder.as_ref())?;
        settings.smaller.clone_from(&self.settings.smaller);
        Ok(Loaded {
            settings,
            model: self.model.clone(),
            wanted: self.wanted.clone(),
        })
    }

    /// Notes which configuration holds.
    pub(crate) fn note(&self, setup: &Setup, situation: &Situation) {
        let file = setup.config.file.as_ref();
        let file = file.map(|file| file.display().to_string());
        situation.note_config(file, self.model.name());
    }
}

fn settings_of(setup: &Setup, known: Option<&ResponderSetup>) -> Result<Settings, Failure> {
    let ledger = &setup.config.ledger;
    Ok(Settings {
        keep_audio: ledger.enabled && ledger.audio,
        ..setup.settings_with_responder(None, known)?
    })
}

/// Reads the configuration again whenever somebody asks.
pub(crate) struct Reloader {
    pub(crate) globals: Globals,
    /// The source named on the command line.
    pub(crate) source: Option<String>,
    pub(crate) loaded: Loaded,
    /// The levels in force.
    pub(crate) log: LogConfig,
    pub(crate) abort: Abort,
    pub(crate) situation: Arc<Situation>,
    pub(crate) observers: Observers,
    pub(crate) requests: Sender<Request>,
}

impl Reloader {
    /// Starts the thread; each message is a wish, with where the outcome goes.
    pub(crate) fn start(mut self, wishes: Receiver<Answer>) -> Result<(), Failure> {
        let work = move || {
            // Loading a model must not take the processor from whoever listens.
            set_priority(Priority::Background);
            for answer in wishes {
                let outcome = self.reload();
                // Whoever asked may be gone.
                let _ = answer.try_send(outcome);
            }
        };
        let thread = thread::Builder::new().name("reload".to_owned());
        thread
            .spawn(work)
            .map_err(|error| Failure::new(Kind::Bug, format!("no thread to reload: {error}")))?;
        Ok(())
    }

    fn reload(&mut self) -> Result<(), String> {
        if std::env::var_os("NOTIFY_SOCKET").is_some() {
            Service::reloading(&Systemd);
        }
        let renewal = supervised(|| self.renewal()).map_or_else(
            |bug| Err(format!("a bug: {bug}")),
            |outcome| outcome.map_err(|failure| failure.to_string()),
        );
        let outcome = renewal.as_ref().map(drop).map_err(Clone::clone);
        if let Err(error) = &outcome {
            failure::say(&format!("the configuration stays as it was: {error}"));
            logging::apply(&self.log);
        }
        let sent = self.requests.send(Request::Renew(renewal.map(Box::new)));
        sent.map_err(|_| "hark is about to end".to_owned())?;
        outcome
    }

    fn renewal(&mut self) -> Result<Renewal, Failure> {
        let setup = Setup::load(&self.globals)?;
        let loaded = self.loaded.load_again(&setup)?;
        let stages = Stages::new(&loaded.settings, &loaded.model, self.abort.clone())?;
        loaded.note(&setup, &self.situation);
        let observer = self.observers.next(&setup, &loaded.settings);
        self.loaded = loaded;
        self.log = setup.config.log.clone();
        let device = match setup.source(self.source.as_deref(), None) {
            Ok(SourceSpec::Mic(device)) => device,
            // Recordings have nothing to configure.
            _ => setup.config.audio.device.clone(),
        };
        Ok(Renewal {
            stages,
            capture: setup.capture(&device),
            observer,
        })
    }
}
