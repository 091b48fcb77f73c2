#![allow(clippy::unwrap_used)]

use super::*;
use crate::error::{Classify, Kind};
use proptest::prelude::*;

/// All single bytes, then `merges`, then fillers up to `n_vocab` less the special tokens.
fn toy(merges: &[&str], n_vocab: Option<usize>) -> Tokenizer {
    let mut words: Vec<Vec<u8>> = (0..=255u8).map(|b| vec![b]).collect();
    words.extend(merges.iter().map(|m| m.as_bytes().to_vec()));
    let n_vocab = n_vocab.unwrap_or(words.len() + 1608);
    let n_text = SpecialTokens::new(n_vocab).unwrap().eot as usize;
    for i in words.len()..n_text {
        words.push(format!("\u{1}{i}").into_bytes());
    }
    Tokenizer::new(&words, n_vocab).unwrap()
}

fn encoded(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
    let ids = tokenizer.encode(text);
    ids.iter().map(|id| tokenizer.decode(&[*id])).collect()
}

#[test]
fn the_lowest_rank_merges_first_and_of_equals_the_leftmost() {
    let t = toy(&["bc", "ab", "abc"], None);
    assert_eq!(encoded(&t, "abcd"), ["abc", "d"]);
    let t = toy(&["bc", "ab"], None);
    assert_eq!(encoded(&t, "abc"), ["a", "bc"]);
    assert_eq!(encoded(&t, "ab"), ["ab"]);
    let t = toy(&["aa", "aaaa"], None);
    assert_eq!(encoded(&t, "aaaaaaa"), ["aaaa", "aa", "a"]);
    assert_eq!(encoded(&t, "aaa"), ["aa", "a"]);
}

#[test]
fn merges_stay_within_pieces() {
    let t = toy(&["o ", " w", "'s", "t's"], None);
    assert_eq!(encoded(&t, "o w"), ["o", " w"]);
    assert_eq!(encoded(&t, "it's"), ["i", "t", "'s"]);
}

#[test]
fn a_very_long_piece_is_encoded_quickly() {
    let t = toy(&["aa", "aaaa"], None);
    assert_eq!(t.encode(&"a".repeat(1_000_000)).len(), 250_000);
}

#[test]
fn characters_cut_by_a_token_end_are_decoded_together() {
    let t = toy(&["\u{e9}"], None);
    assert_eq!(t.encode("é"), [256]);
    assert_eq!(t.decode(&[0xc3, 0xa9]), "é");
    assert_eq!(t.decode(&[0xc3]), "\u{fffd}");
    assert_eq!(t.token_bytes(0xc3), [0xc3]);
    assert_eq!(t.token_bytes(t.special().eot), [0u8; 0]);
    assert_eq!(t.token_bytes(u32::MAX), [0u8; 0]);
}

#[test]
fn special_tokens_are_where_the_models_have_them() {
    let english = SpecialTokens::new(51_864).unwrap();
    assert_eq!(
        (english.eot, english.sot, english.transcribe),
        (50_256, 50_257, 50_358)
    );
    assert_eq!(
        (english.no_timestamps, english.timestamp_begin),
        (50_362, 50_363)
    );
    let multilingual = SpecialTokens::new(51_865).unwrap();
    assert_eq!(
        (multilingual.eot, multilingual.language_begin),
        (50_257, 50_259)
    );
    assert_eq!(
        (multilingual.translate, multilingual.transcribe),
        (50_358, 50_359)
    );
    assert_eq!(
        (multilingual.sot_lm, multilingual.sot_prev),
        (50_360, 50_361)
    );
    assert_eq!(
        (multilingual.no_speech, multilingual.timestamp_begin),
        (50_362, 50_364)
    );
    let third = SpecialTokens::new(51_866).unwrap();
    assert_eq!(
        (third.n_languages, third.translate, third.transcribe),
        (100, 50_359, 50_360)
    );
    assert_eq!((third.no_speech, third.timestamp_begin), (50_363, 50_365));
}

#[test]
fn languages_follow_the_size_of_the_vocabulary() {
    let t = toy(&[], Some(51_865));
    assert!(t.is_multilingual());
    assert_eq!(t.language_token("en"), Some(50_259));
    assert_eq!(t.language_token("su"), Some(50_357));
    assert_eq!(t.language_token("yue"), None);
    assert_eq!(t.language_code(50_357), Some("su"));
    assert_eq!(t.language_code(50_358), None);
    assert_eq!(t.language_code(50_258), None);
    let t = toy(&[], Some(51_866));
    assert_eq!(t.language_token("yue"), Some(50_358));
    assert_eq!(t.language_code(50_358), Some("yue"));
    assert!(!toy(&[], None).is_multilingual());
}

#[test]
fn unusable_vocabularies_are_refused() {
    let words: Vec<Vec<u8>> = (0..=255u8).map(|b| vec![b]).collect();
    for n_vocab in [0, 1, 1608, 51_867, 60_000, usize::MAX] {
        let error = Tokenizer::new(&words, n_vocab).unwrap_err();
        assert!(
            matches!(error, TextError::VocabularySize { .. }),
            "{n_vocab}: {error}"
        );
        assert_eq!(error.kind(), Kind::Model);
    }
    let error = Tokenizer::new(&words, 51_864).unwrap_err();
    assert!(matches!(
        error,
        TextError::TooFewWords {
            found: 256,
            needed: 50_256
        }
    ));
    let error = Tokenizer::new(&words[..200], 1608 + 200).unwrap_err();
    assert!(matches!(error, TextError::MissingByte { byte: 200 }));
}

#[test]
fn signs_are_suppressed_only_where_they_are_one_token() {
    let t = toy(&[" -", "((", "♪"], None);
    let suppressed = t.non_speech_tokens();
    assert!(suppressed.windows(2).all(|w| w[0] < w[1]));
    let has = |text: &str| t.encode(text).len() == 1 && suppressed.contains(&t.encode(text)[0]);
    assert!(has(" -") && has("((") && has("[") && has("♪"));
    assert!(!suppressed.contains(&u32::from(b'-')));
    assert!(!suppressed.contains(&u32::from(b'.')));
    // " '" is two tokens here: the first of them is the blank.
    assert!(suppressed.contains(&u32::from(b' ')));
}

#[test]
fn words_are_cut_at_blanks_and_punctuation() {
    let t = toy(&[" turn", " o", "n", "..."], None);
    let mut ids = t.encode(" turn on... 5%");
    ids.push(t.special().eot);
    let words = t.split_words(&ids, "en");
    let texts: Vec<&str> = words.iter().map(|(text, _)| text.as_str()).collect();
    // "..." is no part of ASCII's list and so stays with its word, as in the original rule.
    assert_eq!(texts, [" turn", " on...", " 5", "%", ""]);
    assert_eq!(words[1].1, 1..4);
    assert_covers(&words, ids.len());
}

#[test]
fn words_without_blanks_are_characters() {
    let t = toy(&["日", "本語"], None);
    let ids: Vec<u32> = [256, 257].into_iter().chain(t.encode("です")).collect();
    let words = t.split_words(&ids, "ja");
    let texts: Vec<&str> = words.iter().map(|(text, _)| text.as_str()).collect();
    assert_eq!(texts, ["日", "本語", "で", "す"]);
    assert_eq!(words[2].1, 2..5);
    assert_eq!(t.split_words(&ids, "en").len(), 1);
}

#[test]
fn bytes_that_are_no_text_still_belong_to_a_word() {
    let t = toy(&[], None);
    for ids in [
        vec![0xff, 0x41],
        vec![0x41, 0xe6],
        vec![0xe6, 0x97, 0x41],
        vec![0xff, 0xff],
    ] {
        assert_covers(&t.split_words(&ids, "ja"), ids.len());
        assert_covers(&t.split_words(&ids, "en"), ids.len());
    }
    assert!(t.split_words(&[], "en").is_empty());
}

fn assert_covers(words: &[(String, std::ops::Range<usize>)], n_tokens: usize) {
    let mut at = 0;
    for (_, range) in words {
        assert_eq!(range.start, at);
        assert!(range.end > at);
        at = range.end;
    }
    assert_eq!(at, n_tokens);
}

proptest! {
    #[test]
    fn any_text_comes_back(text in "(\\PC|\\s|ab|abc){0,60}") {
        let t = toy(&["ab", "bc", " a", "abc", "ß", " ü"], None);
        prop_assert_eq!(t.decode(&t.encode(&text)), text);
    }

    #[test]
    fn any_tokens_are_covered_by_words(ids in prop::collection::vec(0u32..2_000, 0..60)) {
        let t = toy(&["ab", " a", "日"], None);
        assert_covers(&t.split_words(&ids, "en"), ids.len());
        assert_covers(&t.split_words(&ids, "zh"), ids.len());
    }
}
