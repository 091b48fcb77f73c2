//! What is set about speech: the program, what becomes of its output, and short sounds.

use std::path::PathBuf;

use super::SpeechError;
use crate::process;

/// The program that speaks, and what sounds besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpeechOptions {
    /// Name or path; empty for no speech at all.
    pub program: String,
    /// Its arguments. `{text}` becomes the text; where no argument has it, the text goes to the
    /// program's standard input.
    pub args: Vec<String>,
    /// What becomes of what it writes.
    pub output: Output,
    /// The output device of what hark plays itself: `default`, or a name or a part of it.
    pub device: String,
    /// Time the program has for one text, in milliseconds.
    pub timeout_ms: u64,
    /// Sounds that say something without words.
    pub cues: Cues,
}

/// Who makes sound of what the program makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// The program itself.
    #[default]
    Program,
    /// It writes a WAV to its standard output, which is played here.
    Wav,
}

/// One short sound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cue {
    /// None.
    #[default]
    Silent,
    /// The one that is built in.
    Tone,
    /// A WAV file.
    File(PathBuf),
}

/// When there are short sounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cues {
    /// A wake phrase was heard.
    pub wake: Cue,
    /// What somebody asked for was done.
    pub done: Cue,
    /// It failed.
    pub error: Cue,
}

impl Cues {
    /// Each with its key in the configuration.
    pub fn all(&self) -> [(&'static str, &Cue); 3] {
        [
            ("wake_sound", &self.wake),
            ("done_sound", &self.done),
            ("error_sound", &self.error),
        ]
    }

    /// Whether there are none at all.
    pub fn are_silent(&self) -> bool {
        self.all().iter().all(|(_, cue)| **cue == Cue::Silent)
    }
}

impl Default for SpeechOptions {
    fn default() -> Self {
        SpeechOptions {
            program: "espeak-ng".to_owned(),
            args: vec!["--stdin".to_owned()],
            output: Output::Program,
            device: "default".to_owned(),
            timeout_ms: 60_000,
            cues: Cues::default(),
        }
    }
}

impl SpeechOptions {
    /// What keeps this machine from speaking, if anything does.
    pub fn lacks(&self) -> Option<String> {
        let program = &self.program;
        match (program.is_empty(), process::can_run(program)) {
            (true, _) => Some(SpeechError::Off.to_string()),
            (false, true) => None,
            (false, false) => Some(format!(
                "the program `{program}` of [speech] is not found; install it or name another"
            )),
        }
    }

    /// Whether something is played on an output device here, and not by the program alone.
    pub fn plays(&self) -> bool {
        let plays_speech = !self.program.is_empty() && self.output == Output::Wav;
        plays_speech || !self.cues.are_silent()
    }
}
