//! The tokenizer against OpenAI's own (`golden/text.json`, made by `golden/text.py`), with the
//! vocabularies of the real models. A model that has not been fetched is skipped with a word.
#![allow(clippy::unwrap_used)]

mod support;

use hark::text::Tokenizer;
use serde::Deserialize;
use std::collections::HashMap;

#[derive(Deserialize)]
struct Golden {
    special: HashMap<String, u32>,
    non_speech: Vec<u32>,
    texts: Vec<Encoded>,
    words: Vec<Words>,
}

#[derive(Deserialize)]
struct Encoded {
    text: String,
    ids: Vec<u32>,
}

#[derive(Deserialize)]
struct Words {
    language: String,
    ids: Vec<u32>,
    words: Vec<String>,
    sizes: Vec<usize>,
}

fn golden(name: &str) -> Golden {
    let mut all: HashMap<String, Golden> =
        serde_json::from_str(include_str!("golden/text.json")).unwrap();
    all.remove(name).unwrap()
}

/// The tokenizer of a fetched model, or nothing.
fn tokenizer(model: &str) -> Option<Tokenizer> {
    let path = support::model(model)?;
    let file = hark::format::WhisperFile::open(&path).unwrap();
    Some(Tokenizer::new(file.vocabulary(), file.dims().n_vocab).unwrap())
}

fn compare(model: &str, golden: &Golden) {
    let Some(tokenizer) = tokenizer(model) else {
        return;
    };
    for Encoded { text, ids } in &golden.texts {
        assert_eq!(&tokenizer.encode(text), ids, "{text:?}");
        assert_eq!(&tokenizer.decode(ids), text);
    }
    assert_eq!(tokenizer.non_speech_tokens(), golden.non_speech);
    for expected in &golden.words {
        let words = tokenizer.split_words(&expected.ids, &expected.language);
        let texts: Vec<&str> = words.iter().map(|(text, _)| text.as_str()).collect();
        let sizes: Vec<usize> = words.iter().map(|(_, range)| range.len()).collect();
        assert_eq!(texts, expected.words);
        assert_eq!(sizes, expected.sizes);
    }
    let special = tokenizer.special();
    for (name, id) in [
        ("eot", special.eot),
        ("sot", special.sot),
        ("translate", special.translate),
        ("transcribe", special.transcribe),
        ("sot_lm", special.sot_lm),
        ("sot_prev", special.sot_prev),
        ("no_speech", special.no_speech),
        ("no_timestamps", special.no_timestamps),
        ("timestamp_begin", special.timestamp_begin),
        ("language_begin", special.language_begin),
        ("last_language", tokenizer.language_token("su").unwrap()),
    ] {
        assert_eq!(golden.special[name], id, "{name}");
    }
}

#[test]
fn the_english_vocabulary_encodes_like_the_reference() {
    compare("tiny.en", &golden("english"));
}

#[test]
fn the_multilingual_vocabulary_encodes_like_the_reference() {
    compare("base", &golden("multilingual"));
}
