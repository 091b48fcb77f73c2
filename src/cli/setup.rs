//! From what was typed and configured to what the subcommands work with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;

use super::responder::responder;
use super::{Failure, Globals, logging};
use crate::audio::{
    self, AudioError, AudioSource, CaptureConfig, FrontOptions, Microphone, PcmSpec, SourceSpec,
    StdinFormat,
};
use crate::config::{self, ComputeConfig, Config, ConfigError, TaskConfig, WindowConfig};
use crate::daemon::Pace;
use crate::dialogue::{self, ListenSettings};
use crate::error::{Classify, Kind};
use crate::format::WhisperFile;
use crate::kernels::{Cpu, Exec};
use crate::models;
use crate::nn::Compute;
use crate::pipeline::{Commands, Settings};
use crate::respond::ResponderSetup;
use crate::stats::Stats;
use crate::vad::{EndpointConfig, SegmenterConfig};
use crate::whisper::{Model, Options, Task, Thresholds, Window, WordTimes};

/// The configuration, with what the command line changes.
#[derive(Clone)]
pub(crate) struct Setup {
    /// As read.
    pub(crate) config: Config,
    model: String,
    n_threads: usize,
}

impl Setup {
    /// Reads the configuration.
    pub(crate) fn load(globals: &Globals) -> Result<Self, Failure> {
        Ok(Setup::of(read_config(globals, Config::load)?, globals))
    }

    /// With a configuration that was read already.
    pub(crate) fn of(mut config: Config, globals: &Globals) -> Self {
        config.model.compute = globals.compute.unwrap_or(config.model.compute);
        logging::apply(&config.log);
        let model = globals
            .model
            .clone()
            .unwrap_or_else(|| config.model.name.clone());
        let n_threads = match globals.threads.map_or(config.model.threads, usize::from) {
            0 => n_physical_cores(),
            n => n,
        };
        Setup {
            config,
            model,
            n_threads,
        }
    }

    /// Name or path of the speech model.
    pub(crate) fn model_name(&self) -> &str {
        &self.model
    }

    /// The speech model, loaded for this CPU.
    pub(crate) fn model(&self) -> Result<Arc<Model>, Failure> {
        self.load_model(&self.model)
    }

    /// The smaller model for a machine that cannot keep up, if one is configured.
    pub(crate) fn smaller_model(&self) -> Result<Option<Arc<Model>>, Failure> {
        match self.config.stream.fallback_model.as_str() {
            "" => Ok(None),
            name => self.load_model(name).map(Some),
        }
    }

    fn load_model(&self, name: &str) -> Result<Arc<Model>, Failure> {
        let path = models::resolve(name).map_err(|error| {
            // A name that nobody knows is a model that cannot be used all the same.
            Failure::new(Kind::Model, error.to_string())
        })?;
        let cpu = Cpu::from_env()?;
        let exec = Exec::new(cpu, self.n_threads);
        let file = WhisperFile::open(&path).map_err(|error| unusable(&path, &error))?;
        let model = Model::load(&file, exec, self.compute())?;
        // Part of loading: a signal still ends the program at once.
        model.silence();
        log::info!(
            "model {} ({}, {}) on {} threads, {}",
            path.display(),
            model.name(),
            model.compute().name(),
            self.n_threads,
            cpu.name()
        );
        Ok(model)
    }

    /// The model of a file, whatever is configured, for this CPU.
    pub(crate) fn model_of(
        &self,
        file: &WhisperFile,
        compute: Compute,
    ) -> Result<Arc<Model>, Failure> {
        let exec = Exec::new(Cpu::from_env()?, self.n_threads);
        Ok(Model::load(file, exec, compute)?)
    }

    /// What the linear layers compute with.
    pub(crate) fn compute(&self) -> Compute {
        match self.config.model.compute {
            ComputeConfig::F32 => Compute::F32,
            ComputeConfig::Int8 => Compute::Int8,
            ComputeConfig::Blocks(format) => Compute::Blocks(format),
        }
    }

    /// Threads that compute.
    pub(crate) fn n_threads(&self) -> usize {
        self.n_threads
    }

    /// How recordings are transcribed; `language` as typed: a code, a name or `auto`.
    pub(crate) fn options(&self, language: Option<&str>) -> Options {
        let config = &self.config.whisper;
        let language = match language {
            Some(language) if language.trim().eq_ignore_ascii_case("auto") => None,
            Some(language) => Some(language.to_owned()),
            None => config.language.clone(),
        };
        Options {
            language,
            task: match config.task {
                TaskConfig::Transcribe => Task::Transcribe,
                TaskConfig::Translate => Task::Translate,
            },
            window: match config.window {
                WindowConfig::Short => Window::Short,
                WindowConfig::Full => Window::Full,
            },
            words: if config.words {
                WordTimes::On
            } else {
                WordTimes::Off
            },
            prompt: config.prompt.clone(),
            beam: config.beam,
            thresholds: Thresholds {
                temperatures: config.temperatures.clone(),
                compression_ratio: config.compression_ratio,
                logprob: config.logprob,
                no_speech: config.no_speech,
                ..Thresholds::default()
            },
            ..Options::default()
        }
    }

    /// How the pipeline is set up. Where no language is given or configured, it is one that commands
    /// are in.
    pub(crate) fn settings(&self, language: Option<&str>) -> Settings {
        let mut settings = self.settings_without_commands(language);
        settings.commands = self.commands();
        if let (None, None, Some(_)) = (language, &settings.options.language, &settings.commands) {
            settings.options.language = self.config.commands.spec.languages.known();
        }
        settings
    }

    fn settings_without_commands(&self, language: Option<&str>) -> Settings {
        let (vad, stream) = (&self.config.vad, &self.config.stream);
        let endpoint = EndpointConfig {
            threshold: vad.threshold,
            neg_threshold: vad.neg_threshold,
            min_speech_ms: vad.min_speech_ms,
            min_silence_ms: vad.min_silence_ms,
            pre_roll_ms: vad.pre_roll_ms,
            max_speech_ms: vad.max_speech_ms,
            cut_speech_ms: vad.cut_speech_ms,
        };
        Settings {
            segmenter: SegmenterConfig {
                endpoint,
                pause_ms: stream.speculate_ms,
                ..SegmenterConfig::default()
            },
            options: self.options(language),
            step_ms: stream.step_ms,
            stream: stream.settings.clone(),
            smaller: None,
            commands: None,
            speech: self.config.speech.clone(),
            responder: None,
            keep_audio: false,
        }
    }

    /// As [`Setup::settings`], for captions alone: no commands, and speakers have time to think.
    pub(crate) fn caption_settings(&self, language: Option<&str>) -> Settings {
        let mut settings = self.settings_without_commands(language);
        settings.segmenter.endpoint.min_silence_ms = self.config.stream.min_silence_ms;
        settings
    }

    /// As [`Setup::settings`], with what answers; `known` is one whose model is loaded already.
    pub(crate) fn settings_with_responder(
        &self,
        language: Option<&str>,
        known: Option<&ResponderSetup>,
    ) -> Result<Settings, Failure> {
        let mut settings = self.settings(language);
        settings.responder = responder(self, known)?;
        if let Some(setup) = &settings.responder {
            let none = || Commands::new(&self.config.commands, &self.config.dialogue);
            let commands = settings.commands.get_or_insert_with(none);
            commands.responder = Some(setup.options.calls);
        }
        Ok(settings)
    }

    fn commands(&self) -> Option<Commands> {
        let config = &self.config.commands;
        if config.spec.commands.is_empty() {
            return None;
        }
        Some(Commands::new(config, &self.config.dialogue))
    }

    /// Opens a source; a device in the configured way, and it must be there.
    pub(crate) fn open(&self, spec: &SourceSpec) -> Result<Box<dyn AudioSource>, AudioError> {
        match spec {
            SourceSpec::Mic(device) => {
                let capture = self.capture(device);
                Ok(Box::new(Microphone::open(&capture, &Stats::default())?))
            }
            _ => audio::open(spec),
        }
    }

    /// What the models depend on.
    pub(crate) fn wanted_models(&self) -> String {
        let (compute, fallback) = (self.compute(), &self.config.stream.fallback_model);
        format!("{:?}", (&self.model, fallback, compute, self.n_threads))
    }

    /// The configured commands, none included, with another way to listen.
    pub(crate) fn commands_to(&self, listen: ListenSettings) -> Commands {
        let dialogue = dialogue::Settings {
            listen,
            ..self.config.dialogue.clone()
        };
        Commands::new(&self.config.commands, &dialogue)
    }

    /// How `device` is listened to.
    pub(crate) fn capture(&self, device: &str) -> CaptureConfig {
        let audio = &self.config.audio;
        CaptureConfig {
            front: FrontOptions {
                channel: audio.channel,
                gain_db: audio.gain_db,
                high_pass_hz: audio.high_pass_hz,
            },
            ..CaptureConfig::of_device(device)
        }
    }

    /// The source that was named, or the configured device.
    pub(crate) fn source(
        &self,
        name: Option<&str>,
        raw: Option<&str>,
    ) -> Result<SourceSpec, Failure> {
        let Some(name) = name else {
            refuse_raw(raw)?;
            return Ok(SourceSpec::Mic(self.config.audio.device.clone()));
        };
        if name == "-" {
            return file_or_stdin(Path::new(name), raw);
        }
        refuse_raw(raw)?;
        if name == "mic" {
            return Ok(SourceSpec::Mic(self.config.audio.device.clone()));
        }
        if let Some(device) = name.strip_prefix("mic:") {
            return Ok(SourceSpec::Mic(device.to_owned()));
        }
        let path = PathBuf::from(name);
        // A recording has a folder or an ending in its name; what has neither and does not exist
        // is a device.
        let is_path = path.exists() || path.extension().is_some() || path.components().count() > 1;
        Ok(if is_path {
            SourceSpec::File(path)
        } else {
            SourceSpec::Mic(name.to_owned())
        })
    }
}

/// The configuration as `read` reads it. One that nobody named may surprise: a complaint about it
/// says where it came from.
pub(crate) fn read_config<T>(
    globals: &Globals,
    read: impl FnOnce(Option<&Path>) -> Result<T, ConfigError>,
) -> Result<T, Failure> {
    let named = globals.config.as_deref();
    read(named).map_err(|error| {
        let is_here = config::found().is_some_and(|path| path == Path::new("config.toml"));
        match named.is_none() && is_here {
            true => Failure::new(
                error.kind(),
                format!("{error} (found in the current folder; --config chooses another)"),
            ),
            false => error.into(),
        }
    })
}

/// The damage, with the name of what is damaged if the error does not say it.
fn unusable(path: &Path, error: &(impl Classify + 'static)) -> Failure {
    let text = error.to_string();
    let name = path.display().to_string();
    if text.contains(&name) {
        return Failure::new(error.kind(), text);
    }
    Failure::new(error.kind(), format!("model {name}: {text}"))
}

/// A recording, or standard input for `-`; `raw` describes the latter's samples.
pub(crate) fn file_or_stdin(path: &Path, raw: Option<&str>) -> Result<SourceSpec, Failure> {
    if !is_stdin(path) {
        refuse_raw(raw)?;
        return Ok(SourceSpec::File(path.to_owned()));
    }
    let format = match raw {
        Some(raw) => StdinFormat::Raw(raw.parse::<PcmSpec>()?),
        None => StdinFormat::Wav,
    };
    Ok(SourceSpec::Stdin(format))
}

fn refuse_raw(raw: Option<&str>) -> Result<(), Failure> {
    let message = "--raw describes standard input, which is not read: name - as the source";
    raw.map_or(Ok(()), |_| Err(Failure::new(Kind::Usage, message)))
}

/// Whether the file is standard input.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The pace of the source: what is recorded is played as if it were spoken now, everything else
/// comes at a pace of its own.
pub(crate) fn pace(spec: &SourceSpec) -> Pace {
    match spec {
        SourceSpec::File(_) => Pace::RealTime,
        SourceSpec::Stdin(_) => Pace::Source,
        SourceSpec::Mic(_) => Pace::Device,
    }
}

/// Cores that this process may use, hardware threads of one core counted once: two threads that
/// multiply matrices on one core share its arithmetic and only wait for each other.
fn n_physical_cores() -> usize {
    let n_logical = available_parallelism().map_or(1, usize::from);
    let mut cores: Vec<String> = Vec::new();
    for entry in std::fs::read_dir("/sys/devices/system/cpu")
        .into_iter()
        .flatten()
        .flatten()
    {
        let siblings = entry.path().join("topology/thread_siblings_list");
        if let Ok(siblings) = std::fs::read_to_string(siblings)
            && !cores.contains(&siblings)
        {
            cores.push(siblings);
        }
    }
    if cores.is_empty() {
        n_logical
    } else {
        cores.len().min(n_logical)
    }
}
