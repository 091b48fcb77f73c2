//! `hark run`: the daemon: microphone to captions, commands and their actions.

use std::sync::Arc;
use std::time::Instant;

use clap::Args as ClapArgs;
use crossbeam_channel::bounded;

use super::interruptible::Interruptible;
use super::observer::Observers;
use super::output::Out;
use super::output::captions::{Captions, Format};
use super::reload::{Loaded, Reloader};
use super::setup::{self, Setup};
use super::signals::{self, OnSignal};
use super::{Failure, Globals};
use crate::audio::{self, AudioSource, Microphone, SourceSpec};
use crate::config::{self, Config};
use crate::daemon::{
    self, ControlSocket, Controls, Flow, Hub, Input, MetricsPort, Service, Situation, Stop,
    Surroundings,
};
use crate::event::Event;
use crate::pipeline::{Abort, Stages};
use crate::place::Place;

const EXAMPLES: &str = "\
Examples:
  hark run
  hark run --config kitchen.toml --json
  hark run --source recording.wav
  hark ctl status                     how it goes, from another terminal

Captions, commands and what became of them go to standard output: text, or events with --json.
SIGHUP reads the configuration again; one that is wrong changes nothing. SIGUSR1 switches push-to-talk
on and off (listen.mode = \"push\"). Ctrl-C and SIGTERM end within a second with what was heard so far.
A microphone that is not there is waited for.";

/// Requests that wait for the daemon.
const N_REQUESTS: usize = 16;

/// The daemon: microphone to captions and commands
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// mic, the name of a device (`hark devices`), a recording played at real time, or - for
    /// standard input [default: the configuration's device]
    #[arg(long, value_name = "mic|NAME|FILE|-")]
    source: Option<String>,
    /// What standard input is when it is no WAV, for example s16le,16000,1
    #[arg(long, value_name = "FORMAT,RATE,CHANNELS")]
    raw: Option<String>,
}

/// Runs the subcommand.
pub(crate) fn run(args: Args, globals: &Globals) -> Result<(), Failure> {
    let (signals, began) = (OnSignal::watch(0)?, Instant::now());
    let format = if globals.json {
        Format::Jsonl
    } else {
        Format::Text
    };
    let (reloads, wishes) = bounded(1);
    signals::hangups(reloads.clone())?;
    let setup = Setup::load(globals)?;
    let spec = setup.source(args.source.as_deref(), args.raw.as_deref())?;
    tell_configuration(&setup.config);
    let muted = Place::Auto.state_file("muted");
    let situation = Arc::new(Situation::default().keeping_mute(muted));
    // Before the model, which takes longer: what is missing is said at once.
    let source = open(&spec, &setup, (&situation, signals.stop()))?;
    let loaded = Loaded::load(&setup, None)?;
    let stages = Stages::new(&loaded.settings, &loaded.model, Abort::default())?;
    let hub = Hub::new(&situation.stats);
    let (requests_in, requests) = bounded(N_REQUESTS);
    signals::push_to_talk(requests_in.clone())?;
    loaded.note(&setup, &situation);
    let mut observers = Observers::new(&hub, began, &situation);
    let observer = observers.next(&setup, &loaded.settings);
    Reloader {
        globals: globals.clone(),
        source: args.source,
        loaded,
        log: setup.config.log.clone(),
        abort: stages.abort(),
        situation: situation.clone(),
        observers,
        requests: requests_in.clone(),
    }
    .start(wishes)?;
    let controls = Controls {
        situation: situation.clone(),
        requests: requests_in,
        reloads,
        hub,
        stop: Box::new(signals::stop_self),
    };
    let _outside = Outside::open(&setup.config, controls);
    let surroundings = Surroundings {
        situation,
        service: Service::of_environment(),
        observer: Some(observer),
    };
    let pace = setup::pace(&spec);
    let mut captions = Captions::new(format, Out::stdout(), began)?;
    let mut written = Ok(());
    let mut sink = |event: Event| {
        written = captions.event(&event);
        if written.is_ok() {
            Flow::Go
        } else {
            Flow::Stop
        }
    };
    if !matches!(spec, SourceSpec::Mic(_)) {
        log::info!("listening");
    }
    let input = Input {
        source,
        pace,
        requests,
    };
    let outcome = daemon::run_in(surroundings, input, stages, signals.begin(), &mut sink);
    // Before a message about what went wrong, the caption gets its end.
    let finished = captions.finish();
    written.and(outcome.map_err(Failure::from)).and(finished)
}

/// The source; a microphone is waited for, and standard input keeps nobody waiting.
fn open(
    spec: &SourceSpec,
    setup: &Setup,
    (situation, stop): (&Situation, &Stop),
) -> Result<Box<dyn AudioSource>, Failure> {
    match spec {
        SourceSpec::Mic(device) => {
            let capture = setup.capture(device);
            Ok(Box::new(Microphone::wait_for(&capture, &situation.stats)))
        }
        SourceSpec::Stdin(_) => Ok(Box::new(Interruptible::of(audio::open(spec)?, stop)?)),
        SourceSpec::File(_) => Ok(audio::open(spec)?),
    }
}

/// Where other programs reach the daemon. It listens without them, too: what is wrong is said.
struct Outside {
    _socket: Option<ControlSocket>,
    _metrics: Option<MetricsPort>,
}

impl Outside {
    fn open(config: &Config, controls: Controls) -> Self {
        let stats = controls.situation.stats.clone();
        let metrics = config.control.metrics.and_then(|address| {
            let port = MetricsPort::start(address, &stats);
            port.inspect_err(|error| log::warn!("no metrics on {address}: {error}"))
                .ok()
        });
        Outside {
            _socket: socket(&config.control.socket, controls),
            _metrics: metrics,
        }
    }
}

fn socket(place: &Place, controls: Controls) -> Option<ControlSocket> {
    let Some(path) = place.runtime_file("hark.sock") else {
        if *place == Place::Auto {
            log::info!("no control socket: XDG_RUNTIME_DIR is not set; see control.socket");
        }
        return None;
    };
    let socket = ControlSocket::start(&path, controls);
    socket
        .inspect_err(|error| log::warn!("`hark ctl` will not reach this hark: {error}"))
        .ok()
}

/// Which configuration is used. A daemon that cannot do anything because its file lies elsewhere
/// would otherwise look like one that does not understand.
fn tell_configuration(config: &Config) {
    if let Some(file) = &config.file {
        log::info!("configuration {}", file.display());
        return;
    }
    let searched = config::search_paths(|name| std::env::var_os(name));
    let searched: Vec<_> = searched
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    log::warn!(
        "there are no commands, because no configuration was found; searched: {}",
        searched.join(", ")
    );
}
