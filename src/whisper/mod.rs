//! Whisper: speech to text.
//!
//! In come 16 kHz samples, out go segments of text with times. A [`Model`] holds the packed
//! weights and is shared; a [`Transcriber`] holds all buffers of one stream. It runs on the
//! caller's thread and the threads of the model's [`Exec`], and never reads a clock to decide
//! anything.
//!
//! The model: Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision".

mod align;
mod beam;
mod branches;
mod decode;
mod decoder;
mod draft;
mod encoder;
mod guided;
mod hparams;
mod load;
mod loops;
mod loud;
mod rules;
mod segments;
mod silence;
pub mod stream;
mod transcribe;
mod window;

use std::sync::{Arc, OnceLock};

use crate::error::{Classify, Kind};
use crate::event::Word;
use crate::format::{FormatError, WhisperDims, WhisperFile};
use crate::kernels::Exec;
use crate::nn::Compute;
use crate::text::{TextError, Tokenizer};

pub use branches::MAX_BEAM;
pub use decoder::{Cross, Decoder, DecoderState};
pub use encoder::{Encoder, EncoderState, KeepKeys, Stage};
pub use guided::Guide;
pub use rules::Timestamps;
pub use silence::Silence;
pub use transcribe::Transcriber;
pub use window::Stats;

/// Why a model or a stream could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum WhisperError {
    /// The file is damaged or of an unknown kind.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Its vocabulary is not Whisper's.
    #[error("the model's vocabulary is unusable: {0}")]
    Vocabulary(#[from] TextError),
    /// A language the model does not know.
    #[error(
        "language {0:?} is unknown: give a code such as en, de or es, or a name, several with commas, or auto"
    )]
    UnknownLanguage(String),
    /// An English-only model was asked for something else.
    #[error(
        "{model} knows English only; {wanted} needs a multilingual model, such as base: hark models pull base"
    )]
    EnglishOnly {
        /// Name of the model.
        model: String,
        /// What was asked for.
        wanted: String,
    },
}

impl Classify for WhisperError {
    fn kind(&self) -> Kind {
        match self {
            WhisperError::Format(error) => error.kind(),
            WhisperError::Vocabulary(_) => Kind::Model,
            WhisperError::UnknownLanguage(_) | WhisperError::EnglishOnly { .. } => Kind::Usage,
        }
    }
}

/// What [`Model::silence`] is attended to with.
const SAMPLE_SENTENCE: &str = " So what is the time, and could you turn on the light, please?";

/// The weights, packed for this CPU, and what belongs to them.
pub struct Model {
    dims: WhisperDims,
    name: &'static str,
    compute: Compute,
    exec: Exec,
    tokenizer: Tokenizer,
    alignment_heads: Vec<(usize, usize)>,
    encoder: Encoder,
    decoder: Decoder,
    silence: OnceLock<Silence>,
}

impl Model {
    /// Reads and packs the weights of `file`.
    ///
    /// # Errors
    /// If the file cannot be read or its vocabulary is not Whisper's.
    pub fn load(
        file: &WhisperFile,
        exec: Exec,
        compute: Compute,
    ) -> Result<Arc<Self>, WhisperError> {
        let dims = file.dims().clone();
        let tokenizer = Tokenizer::new(file.vocabulary(), dims.n_vocab)?;
        let mut loader = load::Loader::new(file, exec.cpu(), compute);
        let encoder = Encoder::load(&mut loader, &dims)?;
        let decoder = Decoder::load(&mut loader, &dims)?;
        let name = hparams::name(&dims, tokenizer.is_multilingual());
        let alignment_heads = match file.alignment_heads() {
            Some(heads) => heads.to_vec(),
            None => hparams::alignment_heads(&dims),
        };
        let known =
            |&(layer, head): &(usize, usize)| layer < dims.n_text_layer && head < dims.n_text_head;
        Ok(Arc::new(Model {
            alignment_heads: alignment_heads.into_iter().filter(known).collect(),
            dims,
            name,
            compute,
            exec,
            tokenizer,
            encoder,
            decoder,
            silence: OnceLock::new(),
        }))
    }

    /// The model's figures.
    pub fn dims(&self) -> &WhisperDims {
        &self.dims
    }

    /// The size's name, told by its figures: `tiny.en`, `base` …
    pub fn name(&self) -> &str {
        self.name
    }

    /// The arithmetic of the linear layers.
    pub fn compute(&self) -> Compute {
        self.compute
    }

    /// Where the kernels run.
    pub fn exec(&self) -> &Exec {
        &self.exec
    }

    /// The vocabulary.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The encoder, for tests and measurements.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The decoder, for tests and measurements.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Silence as this model hears it; computed when first asked for.
    pub fn silence(&self) -> &Silence {
        let make = || {
            let text = self.sample_text();
            Silence::new(&self.exec, &self.dims, &self.encoder, &self.decoder, &text)
        };
        self.silence.get_or_init(make)
    }

    /// A text as the decoder writes it, of no importance: where it looks in silence is much the
    /// same whatever is said.
    fn sample_text(&self) -> Vec<u32> {
        let special = self.tokenizer.special();
        let mut text = vec![special.sot];
        if self.tokenizer.is_multilingual() {
            text.extend([special.language_begin, special.transcribe]);
        }
        text.push(special.timestamp_begin);
        text.extend(self.tokenizer.encode(SAMPLE_SENTENCE));
        text.push(special.timestamp_begin + 150);
        text
    }

    /// Memory held by the packed weights.
    pub fn weight_bytes(&self) -> usize {
        self.encoder.bytes() + self.decoder.bytes()
    }
}

/// What to do with the speech.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Write it down.
    Transcribe,
    /// Write it down in English.
    Translate,
}

/// Whether words get times of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordTimes {
    /// Segments only.
    Off,
    /// From the attention of the alignment heads: one more pass of the decoder a window.
    On,
}

/// How much of 30 s is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Every window is padded to 30 s, as the model was trained.
    Full,
    /// The real frames and a second of silence; the rest is cached silence.
    Short,
}

/// When a decoded window is not believed.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// Tried in turn until the text passes; 0 is greedy.
    pub temperatures: Vec<f32>,
    /// Samples tried at each temperature above 0.
    pub best_of: usize,
    /// Text that compresses better than this repeats itself.
    pub compression_ratio: f32,
    /// Text less likely than this, a token on average, is doubted.
    pub logprob: f32,
    /// Windows likelier than this to be silent are, if their text is doubted too.
    pub no_speech: f32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds {
            temperatures: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            best_of: 5,
            compression_ratio: 2.4,
            logprob: -1.0,
            no_speech: 0.6,
        }
    }
}

impl Thresholds {
    fn is_silence(&self, text: &decode::Hypothesis) -> bool {
        text.no_speech_prob > self.no_speech && text.avg_logprob < self.logprob
    }

    fn needs_retry(&self, text: &decode::Hypothesis) -> bool {
        let doubted = self.repeats(text) || text.avg_logprob < self.logprob;
        doubted && !self.is_silence(text)
    }

    /// Whether a text says the same over and over.
    fn repeats(&self, text: &decode::Hypothesis) -> bool {
        text.looped || text.compression_ratio > self.compression_ratio
    }

    /// Whether `a` is the better try: what repeats itself comes last, whatever its probability.
    fn prefers(&self, a: &decode::Hypothesis, b: &decode::Hypothesis) -> bool {
        match (self.repeats(a), self.repeats(b)) {
            (false, true) => true,
            (true, false) => false,
            _ => a.avg_logprob > b.avg_logprob,
        }
    }
}

/// How a stream is transcribed.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Code or name of the language, or several with commas between them, of which the likeliest is
    /// taken in the first window; none to detect it among all.
    pub language: Option<String>,
    /// Transcribe or translate.
    pub task: Task,
    /// Whether words get times.
    pub words: WordTimes,
    /// Whether segments get times from timestamp tokens.
    pub timestamps: Timestamps,
    /// How much is computed.
    pub window: Window,
    /// Text that sets spelling and style: names, jargon. Empty for none.
    pub prompt: String,
    /// Texts followed side by side at temperature 0, up to [`MAX_BEAM`]; 1 is greedy.
    pub beam: usize,
    /// When text is not believed.
    pub thresholds: Thresholds,
}

impl Options {
    /// How text is searched for: `greedy`, or `beam5`.
    pub fn decoding(&self) -> String {
        match self.beam {
            0 | 1 => "greedy".to_owned(),
            n => format!("beam{}", n.min(MAX_BEAM)),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            language: None,
            task: Task::Transcribe,
            words: WordTimes::Off,
            timestamps: Timestamps::On,
            window: Window::Short,
            prompt: String::new(),
            beam: 1,
            thresholds: Thresholds::default(),
        }
    }
}

/// A stretch of text.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Start, in seconds from the first sample.
    pub t0: f64,
    /// End.
    pub t1: f64,
    /// The text, with the space that separates it from what precedes.
    pub text: String,
    /// Its tokens, timestamps included.
    pub tokens: Vec<u32>,
    /// Its words; empty unless asked for.
    pub words: Vec<Word>,
    /// Mean log-probability of the window's tokens.
    pub avg_logprob: f32,
    /// Probability that the window holds no speech.
    pub no_speech_prob: f32,
    /// How much the window's text compresses.
    pub compression_ratio: f32,
    /// Temperature at which it was decoded.
    pub temperature: f32,
}
