//! Language models' tokens: byte pairs and SentencePiece, both ways.
//!
//! In: a model file's vocabulary. Byte pairs merge by the file's list (Sennrich et al. 2016), SentencePiece by
//! its scores (Kudo & Richardson 2018), with bytes where text has no token.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::pretokenise::{Cut, cut};
use super::{TextError, pairs};
use crate::format::{LLAMA3, TEKKEN, TokenKind, Vocabulary};

/// SentencePiece's blank.
const BLANK: &str = "\u{2581}";

/// The vocabulary of one language model. Immutable.
#[derive(Debug)]
pub struct LlamaTokenizer {
    /// What each token says; nothing for control tokens.
    texts: Vec<Box<[u8]>>,
    ids: HashMap<Box<[u8]>, u32>,
    bytes: Box<[Option<u32>; 256]>,
    /// Tokens that are one wherever they occur, by the first byte of their text, the longest first.
    whole: BTreeMap<u8, Vec<Whole>>,
    rule: Rule,
    bos: Option<u32>,
    begins_with_bos: bool,
    eos: Option<u32>,
    ends: Vec<u32>,
}

/// A token that is one wherever it occurs.
#[derive(Debug)]
struct Whole {
    text: String,
    id: u32,
    is_control: bool,
}

#[derive(Debug)]
enum Rule {
    Pairs {
        cut: Cut,
        /// Whether a piece that is a token stays whole, whatever the merges say.
        keeps_pieces: bool,
        /// By the tokens that merge.
        ranks: HashMap<(u32, u32), u32>,
    },
    SentencePiece {
        /// By token: 0 for the best score.
        ranks: Vec<u32>,
        blank_first: bool,
    },
}

impl LlamaTokenizer {
    /// The tokenizer of a file.
    ///
    /// # Errors
    /// If it is of a kind that is not known.
    pub fn new(vocabulary: &Vocabulary) -> Result<Self, TextError> {
        let rule = rule(vocabulary)?;
        let is_pieces = matches!(rule, Rule::SentencePiece { .. });
        let mut tokenizer = LlamaTokenizer {
            texts: Vec::with_capacity(vocabulary.tokens.len()),
            ids: HashMap::new(),
            bytes: Box::new([None; 256]),
            whole: BTreeMap::new(),
            rule,
            bos: vocabulary.bos,
            begins_with_bos: vocabulary.add_bos,
            eos: vocabulary.eos,
            ends: vocabulary.eos.into_iter().chain(vocabulary.eot).collect(),
        };
        for (id, (token, kind)) in (0..).zip(vocabulary.tokens.iter().zip(&vocabulary.kinds)) {
            tokenizer.add(id, token, *kind, is_pieces);
        }
        for whole in tokenizer.whole.values_mut() {
            whole.sort_by_key(|whole| std::cmp::Reverse(whole.text.len()));
        }
        if let Rule::Pairs { ranks, .. } = &mut tokenizer.rule {
            for (rank, [left, right]) in (0..).zip(&vocabulary.merges) {
                let pair = tokenizer.ids.get(left).zip(tokenizer.ids.get(right));
                if let Some((left, right)) = pair {
                    ranks.entry((*left, *right)).or_insert(rank);
                }
            }
        }
        Ok(tokenizer)
    }

    fn add(&mut self, id: u32, token: &[u8], kind: TokenKind, is_pieces: bool) {
        // Some files call the marks of a conversation plain text.
        let kind = if END_MARKS.contains(&token) {
            TokenKind::Control
        } else {
            kind
        };
        let text: Box<[u8]> = match kind {
            TokenKind::Byte(byte) => Box::new([byte]),
            TokenKind::Control | TokenKind::Unused => Box::default(),
            TokenKind::Text | TokenKind::Whole if is_pieces => {
                let text = String::from_utf8_lossy(token).replace(BLANK, " ");
                text.into_bytes().into()
            }
            TokenKind::Text | TokenKind::Whole => token.into(),
        };
        match kind {
            TokenKind::Byte(byte) => self.bytes[usize::from(byte)] = Some(id),
            TokenKind::Control | TokenKind::Whole if !token.is_empty() => {
                let whole = Whole {
                    text: String::from_utf8_lossy(token).into_owned(),
                    id,
                    is_control: kind == TokenKind::Control,
                };
                self.whole.entry(token[0]).or_default().push(whole);
                // "<|endoftext|>" and the like mark ends, too, where the file names none of them.
                if END_MARKS.contains(&token) && !self.ends.contains(&id) {
                    self.ends.push(id);
                }
            }
            TokenKind::Text if !token.is_empty() => {
                self.ids.entry(token.into()).or_insert(id);
                if let (&[byte], false) = (token, is_pieces) {
                    self.bytes[usize::from(byte)] = Some(id);
                }
            }
            _ => {}
        }
        self.texts.push(text);
    }

    /// The token that begins every text, if one does.
    pub fn bos(&self) -> Option<u32> {
        self.bos.filter(|_| self.begins_with_bos)
    }

    /// How the token at the beginning of a text is written.
    pub fn bos_text(&self) -> &str {
        self.written(self.bos)
    }

    /// How the token at the end of a text is written.
    pub fn eos_text(&self) -> &str {
        self.written(self.eos)
    }

    fn written(&self, token: Option<u32>) -> &str {
        let mut all = self.whole.values().flatten();
        let found = token.and_then(|id| all.find(|whole| whole.id == id));
        found.map_or("", |whole| &whole.text)
    }

    /// Whether a token ends an answer.
    pub fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// A text without the texts of control tokens: what somebody says must not end the turn, nor begin
    /// another's.
    pub fn without_control(&self, text: &str) -> String {
        let all = self.whole.values().flatten();
        let marks: Vec<&Whole> = all.filter(|whole| whole.is_control).collect();
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            out.push(c);
            // What a mark was cut out of may make another one.
            let ends = |mark: &&&Whole| mark.text.ends_with(c) && out.ends_with(&mark.text);
            if let Some(mark) = marks.iter().find(ends) {
                out.truncate(out.len() - mark.text.len());
            }
        }
        out
    }

    /// The tokens of `text`; with `control`, what looks like a control token is one.
    pub fn encode(&self, text: &str, control: bool) -> Vec<u32> {
        let mut out = Vec::with_capacity(text.len() / 3 + 1);
        let mut rest = text;
        while !rest.is_empty() {
            let found = self.next_whole(rest, control);
            let end = found.map_or(rest.len(), |(at, _, _)| at);
            if end > 0 {
                self.encode_plain(&rest[..end], &mut out);
            }
            let Some((_, n_bytes, id)) = found else {
                break;
            };
            out.push(id);
            rest = &rest[end + n_bytes..];
        }
        out
    }

    /// The first token in `text` that is one wherever it occurs, the longest one there: its place, its
    /// length and its id.
    fn next_whole(&self, text: &str, control: bool) -> Option<(usize, usize, u32)> {
        text.char_indices().find_map(|(at, _)| {
            let rest = &text[at..];
            let mut here = self.whole.get(&rest.as_bytes()[0])?.iter();
            let found =
                here.find(|whole| (control || !whole.is_control) && rest.starts_with(&whole.text))?;
            Some((at, found.text.len(), found.id))
        })
    }

    /// Text between tokens that are one wherever they occur.
    fn encode_plain(&self, text: &str, out: &mut Vec<u32>) {
        match &self.rule {
            Rule::Pairs {
                cut: rule,
                keeps_pieces,
                ranks,
            } => {
                for piece in cut(text, *rule) {
                    match self.ids.get(piece.as_bytes()).filter(|_| *keeps_pieces) {
                        Some(id) => out.push(*id),
                        None => self.merge_pairs(piece.as_bytes(), ranks, out),
                    }
                }
            }
            Rule::SentencePiece { ranks, blank_first } => {
                let blank = if *blank_first { BLANK } else { "" };
                let text = format!("{blank}{}", text.replace(' ', BLANK));
                let ends: Vec<usize> = text
                    .char_indices()
                    .map(|(at, c)| at + c.len_utf8())
                    .collect();
                let id = |part: Range<usize>| self.ids.get(&text.as_bytes()[part]).copied();
                let rank = |from, _, to| ranks.get(id(from..to)? as usize).copied();
                pairs::merge(&ends, rank, |part| match id(part.clone()) {
                    Some(id) => out.push(id),
                    None => self.encode_bytes(&text.as_bytes()[part], out),
                });
            }
        }
    }

    fn merge_pairs(&self, piece: &[u8], ranks: &HashMap<(u32, u32), u32>, out: &mut Vec<u32>) {
        let id = |part: Range<usize>| self.ids.get(&piece[part]).copied();
        let ends: Vec<usize> = (1..=piece.len()).collect();
        let rank = |from, middle, to| ranks.get(&(id(from..middle)?, id(middle..to)?)).copied();
        pairs::merge(&ends, rank, |part| match id(part.clone()) {
            Some(id) => out.push(id),
            None => self.encode_bytes(&piece[part], out),
        });
    }

    fn encode_bytes(&self, bytes: &[u8], out: &mut Vec<u32>) {
        out.extend(
            bytes
                .iter()
                .filter_map(|&byte| self.bytes[usize::from(byte)]),
        );
    }

    /// What a token says: possibly a part of a character, nothing for control tokens.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.texts.get(id as usize).map_or(&[], |text| text)
    }

    /// The text of tokens; bytes that are not UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids
            .iter()
            .flat_map(|id| self.token_bytes(*id))
            .copied()
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Control tokens that end an answer in models whose files do not say so.
const END_MARKS: [&[u8]; 6] = [
    b"<|im_end|>",
    b"<|eot_id|>",
    b"<|end_of_text|>",
    b"<|endoftext|>",
    b"<end_of_turn>",
    b"</s>",
];

fn rule(vocabulary: &Vocabulary) -> Result<Rule, TextError> {
    match vocabulary.model.as_str() {
        "gpt2" => Ok(Rule::Pairs {
            cut: match vocabulary.pre.as_str() {
                "smollm" | "starcoder" | "refact" | "command-r" => Cut::Gpt2Digits,
                pre if LLAMA3.contains(&pre) => Cut::Llama3 { n_digits: 3 },
                "qwen2" | "deepseek-r1-qwen" => Cut::Llama3 { n_digits: 1 },
                TEKKEN => Cut::Tekken,
                "" | "default" | "gpt-2" => Cut::Gpt2,
                other => {
                    return Err(TextError::UnknownTokenizer {
                        found: format!("gpt2, {other}"),
                    });
                }
            },
            keeps_pieces: [TEKKEN]
                .iter()
                .chain(&LLAMA3)
                .any(|pre| vocabulary.pre == *pre),
            ranks: HashMap::with_capacity(vocabulary.merges.len()),
        }),
        "llama" => {
            // Equal scores have equal ranks, and of equals the leftmost merges first.
            let mut scores: Vec<f32> = vocabulary.scores.clone();
            scores.sort_by(|a, b| b.total_cmp(a));
            scores.dedup();
            let rank = |score: &f32| scores.partition_point(|s| s.total_cmp(score).is_gt()) as u32;
            Ok(Rule::SentencePiece {
                ranks: vocabulary.scores.iter().map(rank).collect(),
                blank_first: vocabulary.add_space_prefix,
            })
        }
        other => Err(TextError::UnknownTokenizer {
            found: other.to_owned(),
        }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn vocabulary(model: &str, tokens: &[(&str, TokenKind)]) -> Vocabulary {
        Vocabulary {
            model: model.into(),
            pre: String::new(),
            tokens: tokens
                .iter()
                .map(|(text, _)| text.as_bytes().into())
                .collect(),
            kinds: tokens.iter().map(|(_, kind)| *kind).collect(),
            // The later the better, but for the first ones.
            scores: (0..tokens.len()).map(|i| i as f32).collect(),
            merges: Vec::new(),
            bos: Some(0),
            eos: Some(1),
            eot: None,
            add_bos: false,
            add_space_prefix: true,
        }
    }

    #[test]
    fn the_best_scores_merge_and_the_rest_is_bytes() {
        use TokenKind::*;
        let tokens = [
            ("<s>", Control),
            ("</s>", Control),
            ("<0xC3>", Byte(0xc3)),
            ("<0xA9>", Byte(0xa9)),
            ("\u{2581}", Text),
            ("a", Text),
            ("b", Text),
            ("bb", Text),
            ("ab", Text),
            ("\u{2581}a", Text),
            ("\n\n", Whole),
        ];
        let tokenizer = LlamaTokenizer::new(&vocabulary("llama", &tokens)).unwrap();
        // "▁a" before "ab", and of two pairs "bb" the left one.
        assert_eq!(tokenizer.encode("abbb", false), [9, 7, 6]);
        assert_eq!(tokenizer.encode("a a", false), [9, 9]);
        assert_eq!(tokenizer.encode("é", false), [4, 2, 3]);
        assert_eq!(tokenizer.decode(&[9, 2, 3, 9]), " aé a");
        // After a token that is one wherever it occurs comes a blank, too.
        assert_eq!(tokenizer.encode("a\n\na", false), [9, 10, 9]);
        assert_eq!(tokenizer.encode("a</s>", true), [9, 1]);
        assert!(!tokenizer.encode("a</s>", false).contains(&1));
        assert!(tokenizer.encode("", true).is_empty());
        assert!(tokenizer.is_end(1) && !tokenizer.is_end(0));
        assert_eq!((tokenizer.bos(), tokenizer.bos_text()), (None, "<s>"));
    }

    #[test]
    fn pairs_merge_in_the_order_of_the_list() {
        use TokenKind::*;
        let tokens = [
            ("<|im_end|>", Text),
            ("a", Text),
            ("b", Text),
            ("ab", Text),
            ("ba", Text),
        ];
        let mut vocabulary = vocabulary("gpt2", &tokens);
        let pair = |l: &str, r: &str| [l.as_bytes().into(), r.as_bytes().into()];
        vocabulary.merges = vec![pair("b", "a"), pair("a", "b")];
        let tokenizer = LlamaTokenizer::new(&vocabulary).unwrap();
        assert_eq!(tokenizer.encode("aba", false), [1, 4]);
        assert_eq!(tokenizer.encode("ab", false), [3]);
        // What ends an answer is a mark, whatever the file calls it.
        assert_eq!(tokenizer.encode("a<|im_end|>", true), [1, 0]);
        assert!(tokenizer.is_end(0));
        assert_eq!(tokenizer.decode(&[1, 0, 2]), "ab");
    }

    #[test]
    fn nobody_can_say_a_mark() {
        let tokens = [("<s>", TokenKind::Control), ("</s>", TokenKind::Control)];
        let tokenizer = LlamaTokenizer::new(&vocabulary("llama", &tokens)).unwrap();
        assert_eq!(tokenizer.without_control("a<s>b</</s>s>c"), "abc");
        assert_eq!(tokenizer.without_control("a < s>"), "a < s>");
    }

    #[test]
    fn unknown_kinds_are_errors() {
        assert!(LlamaTokenizer::new(&vocabulary("t5", &[])).is_err());
        let mut unknown = vocabulary("gpt2", &[]);
        unknown.pre = "superbpe".into();
        assert!(LlamaTokenizer::new(&unknown).is_err());
        for known in [
            "smollm",
            "starcoder",
            "llama-bpe",
            "llama3",
            "falcon3",
            "qwen2",
            "deepseek-r1-qwen",
            "tekken",
            "default",
            "",
        ] {
            unknown.pre = known.into();
            assert!(LlamaTokenizer::new(&unknown).is_ok(), "{known}");
        }
    }

    /// A piece that is a token stays whole, though no merge leads there; an ordinary piece does not.
    #[test]
    fn tekken_keeps_pieces_that_are_tokens() {
        let tokens = ["a", "b", "B", "ab", "Bab"].map(|text| (text, TokenKind::Text));
        let mut vocabulary = vocabulary("gpt2", &tokens);
        vocabulary.merges = vec![[b"a"[..].into(), b"b"[..].into()]];
        vocabulary.pre = "tekken".into();
        let tokenizer = LlamaTokenizer::new(&vocabulary).unwrap();
        assert_eq!(tokenizer.encode("abBab", false), [3, 4]);
        vocabulary.pre = "qwen2".into();
        let tokenizer = LlamaTokenizer::new(&vocabulary).unwrap();
        assert_eq!(tokenizer.encode("abBab", false), [3, 2, 3]);
    }
}
