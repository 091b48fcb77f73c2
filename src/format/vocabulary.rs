//! The text tokens of a model, from the files that lie beside it.
//!
//! What enters: `tokenizer.json` (Hugging Face), `vocab.json` (a map of token to id),
//! `vocabulary.json` (a list) or `vocabulary.txt` (one token a line), in this order. What leaves:
//! the raw bytes of every token below `<|endoftext|>`, in id order. Those files write a token's
//! bytes as printable characters, GPT-2's `bytes_to_unicode`; [`ByteTable`] is the way back.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{FormatError, error};

/// The first token that is no text; all below it are.
pub(super) const END_OF_TEXT: &str = "<|endoftext|>";
/// Tokens that are no text in the smallest vocabulary: 8 of control, 99 languages and the
/// timestamps from 0 s to 30 s in steps of 0.02 s.
const N_SPECIAL: usize = 8 + 99 + 1_501;
/// The smallest multilingual vocabulary. Larger ones have more languages and no more text.
const MULTILINGUAL: usize = 51_865;
/// Tokens in all of the models there can be: some text, and no more than large-v3 has.
pub(super) const SIZES: RangeInclusive<usize> = N_SPECIAL + 1..=51_866;
/// No vocabulary file is larger; the real ones have 2 to 4 MB.
pub(super) const LIMIT_BYTES: u64 = 64 << 20;

/// A parser for one kind of file.
type Parse = fn(&str) -> Result<Tokens, String>;

const FILES: [(&str, Parse); 4] = [
    ("tokenizer.json", tokenizer_json),
    ("vocab.json", map_json),
    ("vocabulary.json", list_json),
    ("vocabulary.txt", lines),
];

/// Tokens as the files write them, with their ids.
struct Tokens {
    ids: HashMap<String, usize>,
    end_of_text: Option<usize>,
}

/// The id of [`END_OF_TEXT`] in a vocabulary of `n_vocab` tokens, which is one of [`SIZES`].
pub(super) fn end_of_text(n_vocab: usize) -> usize {
    n_vocab.min(MULTILINGUAL) - N_SPECIAL
}

/// Checks that `words`, found in the file `path`, can be those of a model of `n_vocab` tokens: as
/// many as it has, and every byte among them, so that all text can be written.
pub(super) fn check(path: &Path, words: &[Vec<u8>], n_vocab: usize) -> Result<(), FormatError> {
    let wrong = |what: String| FormatError::Vocabulary {
        path: path.to_owned(),
        what,
    };
    let (needed, found) = (end_of_text(n_vocab), words.len());
    if found < needed {
        return Err(wrong(format!(
            "{found} text tokens, the model has {needed}"
        )));
    }
    let mut is_there = [false; 256];
    for word in &words[..needed] {
        if let [byte] = word[..] {
            is_there[usize::from(byte)] = true;
        }
    }
    match is_there.iter().position(|there| !there) {
        None => Ok(()),
        Some(byte) => Err(wrong(format!("no text token is the byte {byte:#04x}"))),
    }
}

/// The words of the model at `model`, looked up in the same folder.
pub(super) fn beside(model: &Path, n_vocab: usize) -> Result<Vec<Vec<u8>>, FormatError> {
    let folder = model.parent().unwrap_or(Path::new(""));
    for (name, parse) in FILES {
        let path = folder.join(name);
        let Some(text) = read_text(&path, LIMIT_BYTES)? else {
            continue;
        };
        return parse(&text)
            .and_then(|tokens| words(tokens, end_of_text(n_vocab)))
            .map_err(|what| FormatError::Vocabulary {
                path: path.clone(),
                what,
            })
            .and_then(|words| check(&path, &words, n_vocab).map(|()| words));
    }
    Err(FormatError::NoVocabulary(model.to_owned()))
}

/// The text of a file beside the model; none when there is no such file.
pub(super) fn read_text(path: &Path, limit_bytes: u64) -> Result<Option<String>, FormatError> {
    let io = |source| FormatError::Io {
        path: PathBuf::from(path),
        tensor: String::new(),
        source,
    };
    let metadata = match path.metadata() {
        Ok(metadata) if metadata.is_file() => metadata,
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    if metadata.len() > limit_bytes {
        return Err(FormatError::Vocabulary {
            path: path.to_owned(),
            what: format!("{} bytes are too many", metadata.len()),
        });
    }
    std::fs::read_to_string(path).map(Some).map_err(io)
}

fn tokenizer_json(text: &str) -> Result<Tokens, String> {
    #[derive(Deserialize)]
    struct File {
        model: Model,
        #[serde(default)]
        added_tokens: Vec<Added>,
    }
    #[derive(Deserialize)]
    struct Model {
        vocab: HashMap<String, usize>,
    }
    #[derive(Deserialize)]
    struct Added {
        id: usize,
        content: String,
    }
    let file: File = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let ids = file.model.vocab;
    let added = file.added_tokens.iter().find(|t| t.content == END_OF_TEXT);
    let end_of_text = added
        .map(|t| t.id)
        .or_else(|| ids.get(END_OF_TEXT).copied());
    Ok(Tokens { ids, end_of_text })
}

fn map_json(text: &str) -> Result<Tokens, String> {
    let ids: HashMap<String, usize> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let end_of_text = ids.get(END_OF_TEXT).copied();
    Ok(Tokens { ids, end_of_text })
}

fn list_json(text: &str) -> Result<Tokens, String> {
    let list: Vec<String> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    Ok(numbered(list.into_iter()))
}

fn lines(text: &str) -> Result<Tokens, String> {
    // Split at line feeds alone: other line ends are tokens' own characters.
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok(numbered(text.split('\n').map(str::to_owned)))
}

fn numbered(list: impl Iterator<Item = String>) -> Tokens {
    let ids: HashMap<String, usize> = list.enumerate().map(|(id, token)| (token, id)).collect();
    let end_of_text = ids.get(END_OF_TEXT).copied();
    Tokens { ids, end_of_text }
}

/// The raw bytes of the `n` text tokens in id order. An id without a token gives no bytes. Another
/// count is the vocabulary of another model, an English one beside a multilingual one, say.
fn words(tokens: Tokens, n: usize) -> Result<Vec<Vec<u8>>, String> {
    let found = tokens
        .end_of_text
        .ok_or_else(|| format!("it has no token {END_OF_TEXT}"))?;
    if found != n {
        return Err(format!("it has {found} text tokens, the model {n}"));
    }
    let table = ByteTable::new();
    let mut words = vec![Vec::new(); n];
    for (token, id) in &tokens.ids {
        if let Some(word) = words.get_mut(*id) {
            *word = table.bytes(token).ok_or_else(|| {
                format!(
                    "token {id} ({}) is not written as bytes",
                    error::name(token)
                )
            })?;
        }
    }
    Ok(words)
}

/// GPT-2's printable characters for bytes: printable Latin-1 stands for itself, the other bytes
/// in rising order for U+0100 onwards (`bytes_to_unicode` in OpenAI's GPT-2 `encoder.py`).
pub(super) struct ByteTable {
    bytes: HashMap<char, u8>,
}

impl ByteTable {
    pub(super) fn new() -> ByteTable {
        let mut next = '\u{100}'..;
        let mut bytes = HashMap::with_capacity(256);
        for byte in 0..=255_u8 {
            let is_itself = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
            let character = if is_itself {
                Some(char::from(byte))
            } else {
                next.next()
            };
            bytes.extend(character.map(|c| (c, byte)));
        }
        ByteTable { bytes }
    }

    pub(super) fn bytes(&self, token: &str) -> Option<Vec<u8>> {
        token.chars().map(|c| self.bytes.get(&c).copied()).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn characters_lead_back_to_bytes() {
        let table = ByteTable::new();
        assert_eq!(table.bytes.len(), 256);
        assert_eq!(table.bytes("Ġaé").unwrap(), [b' ', b'a', 0xe9]);
        assert_eq!(table.bytes("ĀġĢ").unwrap(), [0, 0x7f, 0x80]);
        assert_eq!(table.bytes("場"), None);
    }

    #[test]
    fn every_kind_of_file_gives_the_same_words() {
        let expected = vec![b"!".to_vec(), b" a".to_vec(), Vec::new()];
        let added = r#"{"added_tokens":[{"id":3,"content":"<|endoftext|>"}],
            "model":{"vocab":{"Ġa":1,"!":0,"":2}}}"#;
        let map = r#"{"Ġa":1,"!":0,"":2,"<|endoftext|>":3,"<|en|>":4}"#;
        let list = r#"["!","Ġa","","<|endoftext|>","<|en|>"]"#;
        let text = "!\nĠa\n\n<|endoftext|>\n<|en|>\n";
        for tokens in [
            tokenizer_json(added),
            map_json(map),
            list_json(list),
            lines(text),
        ] {
            assert_eq!(words(tokens.unwrap(), 3).unwrap(), expected);
        }
    }

    #[test]
    fn the_size_says_where_the_text_ends() {
        assert_eq!(end_of_text(51_864), 50_256);
        assert_eq!(end_of_text(51_865), 50_257);
        assert_eq!(end_of_text(51_866), 50_257);
        assert_eq!(end_of_text(*SIZES.start()), 1);
    }

    #[test]
    fn unfit_vocabularies_are_errors() {
        assert!(
            words(lines("a\nb").unwrap(), 2)
                .unwrap_err()
                .contains("endoftext")
        );
        assert!(words(lines("a\nb\n<|endoftext|>").unwrap(), 3).is_err());
        assert!(words(lines("場\n<|endoftext|>").unwrap(), 1).is_err());
        assert!(tokenizer_json("{\"model\":").is_err());
    }
}
