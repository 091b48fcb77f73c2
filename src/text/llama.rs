//! Language models' tokens: byte pairs and SentencePiece, both ways.
//!
//! In: a model file's vocabulary. Byte pairs merge by the file's list (Sennrich et al. 2016), SentencePiece by
//! its scores (Kudo & Richardson 2018), with bytes where text has no token.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::pretokenise::{Cut, cut};
use super::{TextError, pairs};
use crate::format::{TokenKind, Vocabulary};

/// SentencePiece's blank.
const BLANK: &str = "\u{2581}";

/// The vocabulary of one language model. Immutable.
#[derive(Debug)]
pub struct LlamaTokenizer {
    /// What each token says; nothing for control tokens.
    texts: Vec<Box<[u8]>>,
    ids: HashMap<Box<[u8]>, u32>,
    bytes: Box<[Option<u32>; 256]>,
    /// Tokens that are one wherever they occur, by their text, and whether they are control tokens.
    whole: BTreeMap<String, (u32, bool)>,
    rule: Rule,
    bos: Option<u32>,
    ends: Vec<u32>,
}

#[derive(Debug)]
enum Rule {
    Pairs {
        cut: Cut,
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
            bos: vocabulary.bos.filter(|_| vocabulary.add_bos),
            ends: vocabulary.eos.into_iter().chain(vocabulary.eot).collect(),
        };
        for (id, (token, kind)) in (0..).zip(vocabulary.tokens.iter().zip(&vocabulary.kinds)) {
            tokenizer.add(id, token, *kind, is_pieces);
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
                let is_control = kind == TokenKind::Control;
                let name = String::from_utf8_lossy(token).into_owned();
                self.whole.entry(name).or_insert((id, is_control));
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
        self.bos
    }

    /// How that token is written.
    pub fn bos_text(&self) -> Option<&str> {
        let bos = self.bos?;
        let found = self.whole.iter().find(|(_, (id, _))| *id == bos);
        found.map(|(text, _)| text.as_str())
    }

    /// Whether a token ends an answer.
    pub fn is_end(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }

    /// The texts of the control tokens: what nobody may write into a conversation.
    pub fn control_texts(&self) -> impl Iterator<Item = &str> {
        let whole = self.whole.iter().filter(|(_, (_, is_control))| *is_control);
        whole.map(|(text, _)| text.as_str())
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
        let whole = self.whole.iter();
        whole
            .filter(|(_, (_, is_control))| control || !is_control)
            .filter_map(|(name, (id, _))| Some((text.find(name.as_str())?, name.len(), *id)))
            .min_by_key(|&(at, n_bytes, _)| (at, std::cmp::Reverse(n_bytes)))
    }

    /// Text between tokens that are one wherever they occur.
    fn encode_plain(&self, text: &str, out: &mut Vec<u32>) {
        match &self.rule {
            Rule::Pairs { cut: rule, ranks } => {
                for piece in cut(text, *rule) {
                    self.merge_pairs(piece.as_bytes(), ranks, out);
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
        if let Some(id) = id(0..piece.len()) {
            return out.push(id);
        }
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
                "llama-bpe" | "llama3" | "llama-v3" => Cut::Llama3 { n_digits: 3 },
                "qwen2" | "deepseek-r1-qwen" => Cut::Llama3 { n_digits: 1 },
                "" | "default" | "gpt-2" => Cut::Gpt2,
                other => {
                    return Err(TextError::UnknownTokenizer {
                        found: format!("gpt2, {other}"),
                    });
                }
            },
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
