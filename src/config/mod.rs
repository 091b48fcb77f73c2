//! Configuration: `config.toml` to checked values.
//!
//! Enters: files. Leaves: a [`Config`] in which every value is in range, every command is
//! compiled, and every unit is in a name; or a [`ConfigError`] with file, line and key. Read once
//! at start on the main thread. Nothing outside of this module knows the files' layout.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::log::LevelFilter;
use thiserror::Error;

use crate::audio::ChannelChoice;
use crate::command::advice::Remark;
use crate::command::{
    Grammar, GrammarError, GrammarSpec, MatchOptions, Origin, Patience, RunnerOptions,
};
use crate::error::{Classify, Kind};
use crate::kernels::BlockFormat;
use crate::place::Place;
use crate::respond::ResponderOptions;
use crate::speech::SpeechOptions;
use crate::whisper::stream::StreamSettings;

mod actions;
mod commands;
mod dialogue;
mod document;
mod home_assistant;
mod include;
mod lists;
mod log;
mod responder;
mod sections;
mod speech;
mod yaml;

pub(crate) use dialogue::{WAKE_PHRASE, is_wake_phrase};
pub(crate) use log::PARTS;

/// Largest configuration file.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Everything that can be set.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The file it was read from; none when no file was found and all values are defaults.
    pub file: Option<PathBuf>,
    /// What is logged.
    pub log: LogConfig,
    /// Where sound comes from.
    pub audio: AudioConfig,
    /// When somebody speaks.
    pub vad: VadConfig,
    /// The speech model.
    pub model: ModelConfig,
    /// How it is used.
    pub whisper: WhisperConfig,
    /// The incremental decoder.
    pub stream: StreamConfig,
    /// What speaks.
    pub speech: SpeechOptions,
    /// What answers what is no command.
    pub responder: ResponderOptions,
    /// How other programs talk to the daemon.
    pub control: ControlConfig,
    /// What is written down of what was heard.
    pub ledger: LedgerConfig,
    /// What can be said and is done.
    pub commands: CommandsConfig,
    /// How a conversation about it goes.
    pub dialogue: crate::dialogue::Settings,
    /// What is allowed and was probably not meant, outside of commands.
    pub remarks: Vec<Remark>,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// The least important messages that are written.
    pub level: LevelFilter,
    /// Other levels for top-level modules, by name; the last one counts.
    pub modules: Vec<(String, LevelFilter)>,
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig {
            level: LevelFilter::Warn,
            modules: Vec::new(),
        }
    }
}

/// `[audio]`
#[derive(Clone, Debug, PartialEq)]
pub struct AudioConfig {
    /// Name of the input device, or `default`.
    pub device: String,
    /// Which of its channels is listened to.
    pub channel: ChannelChoice,
    /// Amplification.
    pub gain_db: f32,
    /// Sound below this frequency is removed; 0 for none.
    pub high_pass_hz: f32,
}

impl Default for AudioConfig {
    fn default() -> Self {
        AudioConfig {
            device: "default".to_owned(),
            channel: ChannelChoice::Mix,
            gain_db: 0.0,
            high_pass_hz: 0.0,
        }
    }
}

/// `[control]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlConfig {
    /// The socket.
    pub socket: Place,
    /// Where counters are given; a loopback address.
    pub metrics: Option<SocketAddr>,
}

/// `[ledger]`
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerConfig {
    /// Whether utterances are written down.
    pub enabled: bool,
    /// The file; never nowhere.
    pub file: Place,
    /// Whether their audio is.
    pub audio: bool,
    /// How long they are kept.
    pub max_age_days: u32,
    /// Size of the file above which the oldest go.
    pub max_mb: u32,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        LedgerConfig {
            enabled: false,
            file: Place::Auto,
            audio: false,
            max_age_days: 30,
            max_mb: 100,
        }
    }
}

/// `[vad]`
#[derive(Clone, Debug, PartialEq)]
pub struct VadConfig {
    /// Probability from which sound is speech.
    pub threshold: f32,
    /// Probability below which speech is over.
    pub neg_threshold: f32,
    /// Shorter sounds are not speech.
    pub min_speech_ms: u32,
    /// Silence that ends an utterance.
    pub min_silence_ms: u32,
    /// Audio kept from before the speech.
    pub pre_roll_ms: u32,
    /// Longer utterances end at the first pause, however short.
    pub max_speech_ms: u32,
    /// Longer ones are cut, pause or not.
    pub cut_speech_ms: u32,
}

impl Default for VadConfig {
    fn default() -> Self {
        VadConfig {
            threshold: 0.5,
            neg_threshold: 0.35,
            min_speech_ms: 96,
            min_silence_ms: 700,
            pre_roll_ms: 500,
            max_speech_ms: 28_000,
            cut_speech_ms: 300_000,
        }
    }
}

/// Arithmetic of the linear layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ComputeConfig {
    /// 32-bit floating point.
    F32,
    /// 8-bit integers.
    #[default]
    Int8,
    /// Blocks of 4, 5 or 8 bits.
    Blocks(BlockFormat),
}

impl ComputeConfig {
    /// Every choice with its name.
    pub const ALL: [(&str, ComputeConfig); 7] = [
        ("int8", ComputeConfig::Int8),
        ("f32", ComputeConfig::F32),
        ("q8_0", ComputeConfig::Blocks(BlockFormat::Q8_0)),
        ("q5_1", ComputeConfig::Blocks(BlockFormat::Q5_1)),
        ("q5_0", ComputeConfig::Blocks(BlockFormat::Q5_0)),
        ("q4_1", ComputeConfig::Blocks(BlockFormat::Q4_1)),
        ("q4_0", ComputeConfig::Blocks(BlockFormat::Q4_0)),
    ];
}

/// `[model]`
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Name of a known model, or a path.
    pub name: String,
    /// Arithmetic.
    pub compute: ComputeConfig,
    /// Threads that compute; 0 for one on each physical core.
    pub threads: usize,
}

impl Default for ModelConfig {
    fn default() -> Self {
        let name = "tiny.en".to_owned();
        ModelConfig {
            name,
            compute: ComputeConfig::default(),
            threads: 0,
        }
    }
}

/// What becomes of other languages than English.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaskConfig {
    /// Written down as they are.
    #[default]
    Transcribe,
    /// Translated to English.
    Translate,
}

/// How much of the 30 s that the model looks at is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WindowConfig {
    /// The speech and a second of silence; the rest is silence computed once.
    #[default]
    Short,
    /// All of it.
    Full,
}

/// `[whisper]`
#[derive(Clone, Debug, PartialEq)]
pub struct WhisperConfig {
    /// Codes of the languages, with commas between them; none to detect one among all.
    pub language: Option<String>,
    /// Transcribe or translate.
    pub task: TaskConfig,
    /// How much of a window is computed.
    pub window: WindowConfig,
    /// Text that sets spelling and style.
    pub prompt: String,
    /// Whether words get times.
    pub words: bool,
    /// Texts followed side by side at temperature 0; 1 is greedy.
    pub beam: usize,
    /// Temperatures tried one after the other while the text looks wrong.
    pub temperatures: Vec<f32>,
    /// Text that compresses better than this repeats itself.
    pub compression_ratio: f32,
    /// Mean log-probability of a token below which text looks wrong.
    pub logprob: f32,
    /// Probability of no speech from which unlikely text is dropped.
    pub no_speech: f32,
}

impl Default for WhisperConfig {
    fn default() -> Self {
        WhisperConfig {
            language: None,
            task: TaskConfig::default(),
            window: WindowConfig::default(),
            prompt: String::new(),
            words: false,
            beam: 1,
            temperatures: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            compression_ratio: 2.4,
            logprob: -1.0,
            no_speech: 0.6,
        }
    }
}

/// `[stream]`
#[derive(Clone, Debug, PartialEq)]
pub struct StreamConfig {
    /// Speech between two partial captions; 0 for none.
    pub step_ms: u32,
    /// Silence that ends a caption, where no command waits for it.
    pub min_silence_ms: u32,
    /// Silence after which the final is worked out in advance; 0 for never.
    pub speculate_ms: u32,
    /// Name or path of a smaller model for when the machine cannot keep up; empty for none.
    pub fallback_model: String,
    /// Thresholds of the incremental decoder.
    pub settings: StreamSettings,
}

impl Default for StreamConfig {
    fn default() -> Self {
        StreamConfig {
            step_ms: 500,
            min_silence_ms: 1_500,
            speculate_ms: 200,
            fallback_model: String::new(),
            settings: StreamSettings::default(),
        }
    }
}

/// `[commands]`, `[[command]]`, `[lists]` and `[rules]`
#[derive(Clone, Debug, Default)]
pub struct CommandsConfig {
    /// When a match is good enough.
    pub matching: MatchOptions,
    /// Limits of the programs that run.
    pub running: RunnerOptions,
    /// How long to wait in a silence.
    pub patience: Patience,
    /// Files and folders that were included, in order.
    pub files: Vec<PathBuf>,
    /// The commands as written, with those of included files.
    pub spec: GrammarSpec,
    /// The commands, compiled.
    pub grammar: Arc<Grammar>,
}

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file that should be read and is not there, or cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file included by another that cannot be read.
    #[error("{origin}: cannot read the included file {}: {source}", path.display())]
    Include {
        /// The including line.
        origin: Origin,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No TOML.
    #[error("{origin}: {message}")]
    Syntax {
        /// The place.
        origin: Origin,
        /// What the parser says.
        message: String,
    },
    /// A key nobody knows.
    #[error("{origin}: unknown key `{key}`; {}", proposal(nearest, known))]
    UnknownKey {
        /// The place.
        origin: Origin,
        /// The key.
        key: String,
        /// A key that exists and is written similarly.
        nearest: Option<String>,
        /// All keys that exist there.
        known: String,
    },
    /// A value that does not fit its key.
    #[error("{origin}: `{key}` is {found}; it must be {expected}")]
    Value {
        /// The place.
        origin: Origin,
        /// The key.
        key: String,
        /// What was written.
        found: String,
        /// What may be written.
        expected: String,
    },
    /// A key that must be there.
    #[error("{origin}: `{key}` is missing")]
    Missing {
        /// Where it should be.
        origin: Origin,
        /// The key.
        key: String,
    },
    /// Commands that cannot be compiled.
    #[error("{first}{}", others(*n_others))]
    Grammar {
        /// The first mistake.
        #[source]
        first: GrammarError,
        /// How many there are besides.
        n_others: usize,
    },
}

fn proposal(nearest: &Option<String>, known: &str) -> String {
    match nearest {
        Some(key) => format!("did you mean `{key}`?"),
        None if known.is_empty() => "nothing is expected there".to_owned(),
        None => format!("known are: {known}"),
    }
}

fn others(n: usize) -> String {
    match n {
        0 => String::new(),
        n => format!(" (and {n} more: hark commands check)"),
    }
}

impl Classify for ConfigError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

impl Config {
    /// Reads the configuration: the file `named` on the command line, or the first that exists of
    /// [`search_paths`], or else the defaults.
    ///
    /// # Errors
    /// See [`ConfigError`]; a named file must exist.
    pub fn load(named: Option<&Path>) -> Result<Config, ConfigError> {
        let (config, mistakes) = Config::inspect(named)?;
        let n_others = mistakes.len().saturating_sub(1);
        match mistakes.into_iter().next() {
            Some(first) => Err(ConfigError::Grammar { first, n_others }),
            None => Ok(config),
        }
    }

    /// Like [`Config::load`], but leaves out sentences that cannot be compiled and lists them.
    pub fn inspect(named: Option<&Path>) -> Result<(Config, Vec<GrammarError>), ConfigError> {
        match named.map(Path::to_owned).or_else(found) {
            Some(path) => {
                let text = read_file(&path).map_err(|source| ConfigError::Read {
                    path: path.clone(),
                    source,
                })?;
                Config::parse(&path, text)
            }
            None => Ok((Config::default(), Vec::new())),
        }
    }

    /// The configuration that `text`, the content of `path`, describes. Relative paths in it start
    /// from the folder of `path`.
    pub fn parse(path: &Path, text: String) -> Result<(Config, Vec<GrammarError>), ConfigError> {
        let mut config = Config {
            file: Some(path.to_owned()),
            ..Config::default()
        };
        let document = document::Document::new(path, text);
        let mut root = document.parse()?;
        sections::read(&mut root, &mut config)?;
        speech::read(&mut root, &mut config.speech)?;
        responder::read(&mut root, &mut config.responder)?;
        let mut mistakes = Vec::new();
        let found = (&mut mistakes, &mut config.remarks);
        dialogue::read(&mut root, &mut config.dialogue, found)?;
        commands::read(&mut root, &mut config.commands)?;
        root.finish()?;
        dialogue::check_inverses(&config.commands.spec)?;
        dialogue::add_built_in(&mut config.commands.spec, &config.dialogue.timers);
        config.commands.grammar = Arc::new(Grammar::compile(&config.commands.spec, &mut mistakes));
        Ok((config, mistakes))
    }
}

/// The places where a configuration is looked for, in order. `variable` reads the environment.
pub fn search_paths(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let set = |name: &str| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    // The XDG base directory specification: relative paths are ignored, ~/.config is the default.
    let home = set("XDG_CONFIG_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| set("HOME").map(|home| home.join(".config")));
    let mut paths = vec![PathBuf::from("config.toml")];
    paths.extend(home.map(|home| home.join("hark/config.toml")));
    paths.push(PathBuf::from("/etc/hark/config.toml"));
    paths
}

/// The configuration that is used when none is named.
pub fn found() -> Option<PathBuf> {
    let mut paths = search_paths(|name| std::env::var_os(name)).into_iter();
    paths.find(|path| path.is_file())
}

/// The text of a file of reasonable size.
fn read_file(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = File::open(path)?;
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        let message = format!("it has more than {MAX_FILE_BYTES} bytes");
        return Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            message,
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod actions_tests;
#[cfg(test)]
mod include_tests;
#[cfg(test)]
mod tests;
