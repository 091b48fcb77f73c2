//! Whisper's tokens: byte-level BPE both ways, and the special tokens.
//!
//! The words alone are enough: a token's id is its merge rank (Sennrich et al. 2016; OpenAI's
//! `tiktoken` files list the words in the order of their merges). The special tokens follow the
//! text tokens in a fixed order (Radford et al. 2022), so that their ids follow from the size of
//! the vocabulary.

use super::languages::LANGUAGES;
use super::{TextError, pairs, pretokenise};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

/// The size from which a vocabulary is multilingual.
const MULTILINGUAL_N_VOCAB: usize = 51_865;
/// Timestamps from 0.00 s to 30.00 s in steps of 0.02 s.
const N_TIMESTAMPS: usize = 1_501;
/// Special tokens that are neither languages nor timestamps.
const N_CONTROLS: usize = 8;

/// The ids of the tokens that are not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialTokens {
    /// End of text; every id from here on is special.
    pub eot: u32,
    /// Start of transcript.
    pub sot: u32,
    /// The first language token (English).
    pub language_begin: u32,
    /// How many language tokens follow from `language_begin`.
    pub n_languages: u32,
    /// The task of translating to English.
    pub translate: u32,
    /// The task of transcribing.
    pub transcribe: u32,
    /// Start of a language model prompt (never used in decoding).
    pub sot_lm: u32,
    /// Start of the previous text, which is context.
    pub sot_prev: u32,
    /// The window holds no speech.
    pub no_speech: u32,
    /// The text follows without timestamps.
    pub no_timestamps: u32,
    /// The timestamp 0.00 s; 1500 more follow, 0.02 s apart.
    pub timestamp_begin: u32,
}

impl SpecialTokens {
    /// The layout of a vocabulary of `n_vocab` tokens.
    fn new(n_vocab: usize) -> Result<SpecialTokens, TextError> {
        let wrong = TextError::VocabularySize { n_vocab };
        let n_languages = match n_vocab.checked_sub(MULTILINGUAL_N_VOCAB) {
            Some(more) => 99 + more,
            None => 99,
        };
        let n_special = N_CONTROLS + n_languages + N_TIMESTAMPS;
        if n_languages > LANGUAGES.len() || n_vocab <= n_special {
            return Err(wrong);
        }
        // Both are below 51 867 now.
        let eot = (n_vocab - n_special) as u32;
        let n_languages = n_languages as u32;
        let language_begin = eot + 2;
        let translate = language_begin + n_languages;
        Ok(SpecialTokens {
            eot,
            sot: eot + 1,
            language_begin,
            n_languages,
            translate,
            transcribe: translate + 1,
            sot_lm: translate + 2,
            sot_prev: translate + 3,
            no_speech: translate + 4,
            no_timestamps: translate + 5,
            timestamp_begin: translate + 6,
        })
    }
}

/// The vocabulary of one model. Immutable; about 3 MB for a real one.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    words: Vec<Box<[u8]>>,
    ids: HashMap<Box<[u8]>, u32>,
    special: SpecialTokens,
    multilingual: bool,
}

impl Tokenizer {
    /// Makes a tokenizer of the text tokens' bytes in the order of their ids and the number of
    /// rows of the token embedding. Words behind the text tokens (some files list the special
    /// tokens too) are ignored.
    ///
    /// # Errors
    /// [`TextError`] when the size is not one of Whisper's or a needed word is missing.
    pub fn new(words: &[Vec<u8>], n_vocab: usize) -> Result<Self, TextError> {
        let special = SpecialTokens::new(n_vocab)?;
        let needed = special.eot as usize;
        let Some(words) = words.get(..needed) else {
            let found = words.len();
            return Err(TextError::TooFewWords { found, needed });
        };
        let mut ids = HashMap::with_capacity(needed);
        for (word, id) in words.iter().zip(0u32..) {
            // The multilingual vocabulary ends with one empty word, which no text encodes to.
            if !word.is_empty() {
                ids.entry(word.as_slice().into()).or_insert(id);
            }
        }
        if let Some(byte) = (0..=255u8).find(|b| !ids.contains_key([*b].as_slice())) {
            return Err(TextError::MissingByte { byte });
        }
        Ok(Tokenizer {
            words: words.iter().map(|w| w.as_slice().into()).collect(),
            ids,
            special,
            multilingual: n_vocab >= MULTILINGUAL_N_VOCAB,
        })
    }

    /// Whether the model knows languages other than English.
    pub fn is_multilingual(&self) -> bool {
        self.multilingual
    }

    /// The ids of the special tokens.
    pub fn special(&self) -> &SpecialTokens {
        &self.special
    }

    /// The tokens of `text`, never special ones: what looks like one is encoded as plain text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut out = Vec::with_capacity(text.len() / 3 + 1);
        for piece in pretokenise::pieces(text) {
            match self.ids.get(piece.as_bytes()) {
                Some(id) => out.push(*id),
                None => self.merge(piece.as_bytes(), &mut out),
            }
        }
        out
    }

    /// Appends the tokens of one piece, from single bytes on. A pair's rank is the token that it makes.
    fn merge(&self, piece: &[u8], out: &mut Vec<u32>) {
        let id = |part: Range<usize>| self.ids.get(&piece[part]).copied();
        let bytes: Vec<usize> = (1..=piece.len()).collect();
        // Every part is a token: single bytes by construction, others by their rank.
        pairs::merge(
            &bytes,
            |from, _, to| id(from..to),
            |part| {
                out.extend(id(part));
            },
        );
    }

    /// The text of the text tokens among `ids`; special tokens are left out, bytes that are not
    /// UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut bytes = Vec::with_capacity(ids.len() * 4);
        for id in ids {
            bytes.extend_from_slice(self.token_bytes(*id));
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The bytes of a token: possibly a part of a character, empty for special tokens and for ids
    /// outside the vocabulary.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.words.get(id as usize).map_or(&[], |w| w)
    }

    /// The token of a language by its code, where this model has one.
    pub fn language_token(&self, code: &str) -> Option<u32> {
        LANGUAGES
            .iter()
            .zip(0..self.special.n_languages)
            .find(|((known, _), _)| *known == code)
            .map(|(_, index)| self.special.language_begin + index)
    }

    /// The code of the language that a language token stands for.
    pub fn language_code(&self, token: u32) -> Option<&'static str> {
        let index = token.checked_sub(self.special.language_begin)?;
        if index >= self.special.n_languages {
            return None;
        }
        LANGUAGES.get(index as usize).map(|(code, _)| *code)
    }

    /// The text tokens that transcripts of speech do not hold: brackets of sound descriptions,
    /// speaker marks, musical notes, and a hyphen or an apostrophe in front of a word. Ascending.
    /// The set is the one OpenAI's decoder suppresses by default.
    pub fn non_speech_tokens(&self) -> Vec<u32> {
        // Signs that are suppressed where they are one token…
        const SIGNS: &str = "\" # ( ) * + / : ; < = > @ [ \\ ] ^ _ ` { | } ~ 「 」 『 』 \
            << >> <<< >>> -- --- -( -[ (' (\" (( )) ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪";
        // …and those whose first token is suppressed even if it is only a part of them.
        const NOTES: &str = "♩ ♪ ♫ ♬ ♭ ♮ ♯";
        let mut out: BTreeSet<u32> = BTreeSet::new();
        out.extend(self.encode(" -").first());
        out.extend(self.encode(" '").first());
        for sign in SIGNS.split_ascii_whitespace() {
            for tokens in [self.encode(sign), self.encode(&format!(" {sign}"))] {
                if let [token] = tokens[..] {
                    out.insert(token);
                }
            }
        }
        for note in NOTES.split_ascii_whitespace() {
            out.extend(self.encode(note).first());
            out.extend(self.encode(&format!(" {note}")).first());
        }
        out.into_iter().collect()
    }
}

#[cfg(test)]
#[path = "tokenizer_tests.rs"]
mod tests;
