//! Random grammars, against a matcher that is written for reading; random bytes and random JSON.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::draft::{Draft, Element, ElementId};
use super::tests::{bytes, constraint};
use super::*;
use crate::random::Random;

/// Where elements may end that begin at a place of a text.
struct Naive<'a> {
    draft: &'a Draft,
    text: &'a [u8],
    known: HashMap<(ElementId, usize), BTreeSet<usize>>,
}

impl Naive<'_> {
    fn ends(&mut self, id: ElementId, from: usize) -> BTreeSet<usize> {
        if let Some(known) = self.known.get(&(id, from)) {
            return known.clone();
        }
        let draft = self.draft;
        let ends = match &draft.elements[id as usize] {
            Element::Bytes(bytes) => {
                let is_there = self.text[from..].starts_with(bytes);
                is_there.then_some(from + bytes.len()).into_iter().collect()
            }
            Element::Chars(ranges) => {
                let rest = String::from_utf8_lossy(&self.text[from..]);
                let c = rest
                    .chars()
                    .next()
                    .filter(|c| *c != char::REPLACEMENT_CHARACTER);
                let is_in = |c: &char| ranges.iter().any(|(a, b)| (*a..=*b).contains(&(*c as u32)));
                c.filter(is_in)
                    .map(|c| from + c.len_utf8())
                    .into_iter()
                    .collect()
            }
            Element::Rule(rule) => {
                let body = draft.rules[*rule as usize].body.unwrap();
                self.ends(body, from)
            }
            Element::Any(parts) => parts
                .iter()
                .flat_map(|part| self.ends(*part, from))
                .collect(),
            Element::Sequence(parts) => {
                let mut at = BTreeSet::from([from]);
                for part in parts {
                    at = at.iter().flat_map(|at| self.ends(*part, *at)).collect();
                }
                at
            }
            Element::Repeat { of, least, most } => {
                let mut at = BTreeSet::from([from]);
                let mut all = BTreeSet::new();
                // More often than there are bytes changes nothing but for what reads nothing, as often as it must.
                let often = (self.text.len() as u32 + 1).max(*least);
                for n in 0..=most.unwrap_or(often).min(often) {
                    if n >= *least {
                        all.extend(&at);
                    }
                    at = at.iter().flat_map(|at| self.ends(*of, *at)).collect();
                }
                all
            }
        };
        self.known.insert((id, from), ends.clone());
        ends
    }
}

/// An expression of a grammar with the rules `root`, `a` and `b`.
fn expression(random: &mut Random, depth: u32) -> String {
    let mut pick = |n: u64| random.below(n).unwrap_or_default();
    let kinds = if depth == 0 { 4 } else { 8 };
    match pick(kinds) {
        0 => ["\"x\"", "\"y\"", "\"é\"", "\"xy\"", "\"\""][pick(5) as usize].to_owned(),
        1 => ["[xé]", "[^y]", "[x-y]", "."][pick(4) as usize].to_owned(),
        2 => "\"x\"".to_owned(),
        3 => ["a", "b", "root"][pick(3) as usize].to_owned(),
        4 | 5 => {
            let n = 1 + pick(3);
            let parts: Vec<_> = (0..n).map(|_| expression(random, depth - 1)).collect();
            parts.join(" ")
        }
        6 => {
            let n = 2 + pick(2);
            let parts: Vec<_> = (0..n).map(|_| expression(random, depth - 1)).collect();
            format!("({})", parts.join(" | "))
        }
        _ => {
            let how = ["*", "+", "?", "{2}", "{1,}", "{0,2}", "{1,3}", "{2,3}"][pick(8) as usize];
            format!("({}){how}", expression(random, depth - 1))
        }
    }
}

fn grammar(seed: u64) -> String {
    let mut random = Random::new(seed);
    let mut body = || {
        let (a, b) = (expression(&mut random, 3), expression(&mut random, 2));
        format!("{a} | {b}")
    };
    format!("root ::= {}\na ::= {}\nb ::= {}", body(), body(), body())
}

/// All strings of up to `n` bytes of "xyé".
fn texts(n: usize) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new()];
    let mut at = 0;
    while all[at].len() < n {
        for byte in [b'x', b'y', 0xc3, 0xa9] {
            all.push([&all[at][..], &[byte]].concat());
        }
        at += 1;
    }
    all
}

#[test]
fn random_grammars_read_the_texts_that_they_should() {
    let texts = texts(5);
    let (mut n_good, mut n_whole) = (0, 0);
    for seed in 0..400 {
        let text = grammar(seed);
        let Ok(compiled) = Grammar::from_gbnf(&text) else {
            continue;
        };
        n_good += 1;
        let (draft, root) = gbnf::parse(&text).unwrap();
        let body = draft.rules[root as usize].body.unwrap();
        let mut constraint = constraint(compiled, bytes());
        for sample in &texts {
            let mut naive = Naive {
                draft: &draft,
                text: sample,
                known: HashMap::new(),
            };
            let expected = naive.ends(body, 0).contains(&sample.len());
            constraint.reset();
            let found = constraint.accept_bytes(sample).unwrap() && constraint.may_end();
            assert_eq!(
                found,
                expected,
                "{:?} of\n{text}",
                String::from_utf8_lossy(sample)
            );
            n_whole += usize::from(found);
        }
    }
    // Else little has been tested.
    assert!(n_good > 100 && n_whole > 1000, "{n_good} {n_whole}");
}

/// A vocabulary of pieces of the texts above, and of some that no grammar wants.
fn pieces(random: &mut Random) -> Tokens {
    let mut all = texts(3);
    all.extend([
        vec![b'z'],
        vec![0xff],
        vec![],
        b"xxxxxx".to_vec(),
        "ééx".as_bytes().to_vec(),
    ]);
    let ids = all
        .iter()
        .map(|_| random.below(100_000).unwrap_or_default() as u32);
    let ids: Vec<u32> = ids.collect();
    Tokens::new(ids.into_iter().zip(all))
}

/// The tokens that are accepted one by one, and back again.
fn tried(constraint: &mut Constraint, tokens: &Tokens) -> Vec<u32> {
    let here = constraint.position();
    let mut tried = Vec::new();
    for token in tokens.ids() {
        if constraint.accept(token).unwrap() {
            tried.push(token);
        }
        assert!(constraint.go_back(&here));
    }
    tried
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_allowed_is_what_is_accepted_one_by_one(seed in any::<u64>()) {
        let Ok(compiled) = Grammar::from_gbnf(&grammar(seed)) else { return Ok(()) };
        let mut random = Random::new(!seed);
        let tokens = Arc::new(pieces(&mut random));
        let mut constraint = Constraint::new(Arc::new(compiled), Arc::clone(&tokens)).unwrap();
        let mut text = Vec::new();
        for _ in 0..12 {
            let expected = tried(&mut constraint, &tokens);
            let allowed = constraint.allowed().unwrap().clone();
            prop_assert_eq!(allowed.tokens(), &expected[..]);
            prop_assert_eq!(allowed.may_end(), constraint.may_end());
            prop_assert_eq!(constraint.is_over(), allowed.may_end() && allowed.tokens().is_empty());
            let Some(chosen) = random.below(expected.len() as u64) else { break };
            let token = expected[chosen as usize];
            prop_assert!(allowed.contains(token) && constraint.accept(token).unwrap());
            text.extend(tokens.token_bytes(token));
        }
        // All at once leads to the same place.
        let here = constraint.position();
        let allowed = constraint.allowed().unwrap().clone();
        constraint.reset();
        prop_assert!(constraint.accept_bytes(&text).unwrap());
        prop_assert_eq!(constraint.allowed().unwrap(), &allowed);
        prop_assert!(constraint.go_back(&here));
    }

    #[test]
    fn any_bytes_are_a_grammar_or_an_error(text in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Grammar::from_gbnf(&String::from_utf8_lossy(&text));
    }

    #[test]
    fn any_marks_are_a_grammar_or_an_error(text in "(root|a|b)( ::= )[ab\"\\[\\]\\-^()|*+?{},0-9\\\\xn.\n#é:= ]{0,60}") {
        if let Ok(grammar) = Grammar::from_gbnf(&text) {
            let _ = constraint(grammar, bytes()).allowed();
        }
    }

    #[test]
    fn any_json_is_a_schema_or_an_error(seed in any::<u64>()) {
        let schema = anything(&mut Random::new(seed), 4);
        if let Ok(grammar) = Grammar::from_schema(&schema)
            && let Ok(mut constraint) = Constraint::new(Arc::new(grammar), Arc::new(bytes()))
        {
            let _ = constraint.allowed();
        }
    }
}

/// JSON that is often almost a schema.
fn anything(random: &mut Random, depth: u32) -> Value {
    const KEYS: [&str; 26] = [
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "prefixItems",
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "enum",
        "const",
        "anyOf",
        "oneOf",
        "allOf",
        "$ref",
        "$defs",
        "pattern",
        "title",
        "a",
        "b",
        "not",
        "uniqueItems",
    ];
    const TEXTS: [&str; 12] = [
        "object",
        "array",
        "string",
        "integer",
        "number",
        "null",
        "boolean",
        "#",
        "#/$defs/a",
        "#/properties/b",
        "a",
        "é\"\\",
    ];
    let mut pick = |n: u64| random.below(n).unwrap_or_default();
    match pick(if depth == 0 { 4 } else { 10 }) {
        0 => json!(TEXTS[pick(12) as usize]),
        1 => json!(pick(9) as i64 - 3),
        2 => json!([true, false][pick(2) as usize]),
        3 => [json!(null), json!(1e300), json!(-0.5), json!(u64::MAX)][pick(4) as usize].clone(),
        4 | 5 => (0..pick(4)).map(|_| anything(random, depth - 1)).collect(),
        _ => {
            let n = 1 + pick(4);
            let keys: Vec<_> = (0..n).map(|_| KEYS[pick(26) as usize].to_owned()).collect();
            keys.into_iter()
                .map(|key| (key, anything(random, depth - 1)))
                .collect()
        }
    }
}
