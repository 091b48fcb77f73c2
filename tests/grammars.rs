//! What grammars of JSON schemas let through: texts are drawn token by token, at random among those allowed, and each
//! must be JSON that fulfils its schema, according to a validator that knows nothing of grammars.
//!
//! `HARK_GRAMMAR_SAMPLES` says how many texts are drawn in all.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, unreachable_pub)]
#[path = "support/random.rs"]
mod random;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use hark::command::{Match, MatchOptions, Matcher};
use hark::config::Config;
use hark::llama::{Constraint, Grammar, Tokens};
use random::Random;
use serde_json::{Map, Value, json};

const N_SCHEMAS: u64 = 100;
const N_SAMPLES: u64 = 5000;

/// Sentences of a file with commands, at least: each of its commands should be among them.
const FEWEST_SENTENCES: u64 = 2000;

/// Tokens after which a text is steered to its end.
const PATIENCE: usize = 40;

const NAMES: [&str; 12] = [
    "name",
    "n",
    "names",
    "age",
    "größe",
    "a b",
    "quote\"d",
    "back\\slash",
    "日本",
    "",
    "room",
    "on",
];

const TEXTS: [&str; 5] = ["kitchen", "", "tab\tbed", "é😀", "\"\\"];

#[test]
fn what_is_drawn_fulfils_its_schema() {
    let n_samples = n_samples();
    let tokens = Arc::new(vocabulary());
    assert!(tokens.len() > 2500, "{}", tokens.len());
    let (mut n_tokens, mut n_bytes) = (0u64, 0);
    for seed in 0..N_SCHEMAS {
        let schema = Schemas(Random::new(seed)).root();
        let grammar = Grammar::from_schema(&schema).unwrap_or_else(|e| panic!("{e}: {schema}"));
        let mut constraint = Constraint::new(Arc::new(grammar), Arc::clone(&tokens)).unwrap();
        let mut random = Random::new(!seed);
        let n = (seed + 1) * n_samples / N_SCHEMAS - seed * n_samples / N_SCHEMAS;
        for _ in 0..n {
            let text = draw(&mut constraint, &tokens, &mut random, &mut n_tokens);
            n_bytes += text.len();
            let text = String::from_utf8(text).unwrap_or_else(|e| panic!("{e}: {schema}"));
            let value: Value =
                serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text} of {schema}"));
            if let Err(fault) = validate(&schema, &schema, &value) {
                panic!("{fault}: {text} of {schema}");
            }
        }
        assert!(constraint.bytes() < 100 << 20);
    }
    println!("{n_samples} texts, {n_tokens} tokens, {n_bytes} bytes");
    // Else little has been drawn.
    assert!(n_tokens > 4 * n_samples);
}

/// Texts that are drawn of schemas; a tenth as many are of commands.
fn n_samples() -> u64 {
    let n_samples = std::env::var("HARK_GRAMMAR_SAMPLES");
    n_samples.map_or(N_SAMPLES, |n| n.parse().unwrap())
}

/// The files with commands that are shipped; none has rules about contexts or a slot that may be filled twice.
const COMMAND_FILES: [&str; 5] = [
    "config.toml",
    "examples/coffee.toml",
    "examples/home.toml",
    "examples/desktop.toml",
    "examples/demo/config.toml",
];

#[test]
fn what_is_drawn_of_commands_is_a_command() {
    let tokens = Arc::new(vocabulary());
    let n_samples = (n_samples() / 10 / COMMAND_FILES.len() as u64).max(FEWEST_SENTENCES);
    let mut random = Random::new(5);
    for path in COMMAND_FILES {
        let config = Config::load(Some(Path::new(path))).unwrap();
        let grammar = &config.commands.grammar;
        let matcher = Matcher::new(grammar.clone(), MatchOptions::default());
        let rules = format!("root ::= sentence\n{}", grammar.gbnf().unwrap());
        let rules = Arc::new(Grammar::from_gbnf(&rules).unwrap());
        let mut constraint = Constraint::new(rules, tokens.clone()).unwrap();
        let mut n_tokens = 0;
        let mut drawn = BTreeSet::new();
        for _ in 0..n_samples {
            let text = draw(&mut constraint, &tokens, &mut random, &mut n_tokens);
            let text = String::from_utf8(text).unwrap();
            let found = matcher.match_text(&text);
            let Match::Accepted { command, .. } = found else {
                panic!("{path}: {text:?}: {found:?}");
            };
            drawn.insert(command);
        }
        assert_eq!(drawn.len(), grammar.n_commands(), "{path}: {drawn:?}");
    }
}

/// A text from its first token to its end.
fn draw(
    constraint: &mut Constraint,
    tokens: &Tokens,
    random: &mut Random,
    n_tokens: &mut u64,
) -> Vec<u8> {
    constraint.reset();
    let mut text = Vec::new();
    for n in 0.. {
        assert!(
            n < 1000,
            "there is no end to {}",
            String::from_utf8_lossy(&text)
        );
        if random.below(16) == 0 {
            go_astray(constraint, random);
        }
        let allowed = constraint.allowed().unwrap();
        let may_end = allowed.may_end();
        if may_end && (allowed.tokens().is_empty() || n > PATIENCE || random.below(4) == 0) {
            break;
        }
        // Bytes are tokens of their own numbers.
        let closing = b"\"}],:".iter().map(|byte| u32::from(*byte));
        let closing = closing
            .filter(|_| n > PATIENCE)
            .find(|byte| allowed.contains(*byte));
        assert!(
            !allowed.tokens().is_empty(),
            "stuck: {}",
            String::from_utf8_lossy(&text)
        );
        let token =
            closing.unwrap_or_else(|| allowed.tokens()[random.below(allowed.tokens().len())]);
        assert!(constraint.accept(token).unwrap());
        text.extend(tokens.token_bytes(token));
        *n_tokens += 1;
    }
    assert!(constraint.may_end());
    text
}

/// Goes on a few tokens, and back.
fn go_astray(constraint: &mut Constraint, random: &mut Random) {
    let here = constraint.position();
    let before = constraint.allowed().unwrap().clone();
    for _ in 0..3 {
        let allowed = constraint.allowed().unwrap().tokens();
        if allowed.is_empty() {
            break;
        }
        let token = allowed[random.below(allowed.len())];
        assert!(constraint.accept(token).unwrap());
    }
    assert!(constraint.go_back(&here));
    assert_eq!(*constraint.allowed().unwrap(), before);
}

/// Bytes, then pieces of JSON, of words, of numbers and of characters.
fn vocabulary() -> Tokens {
    let mut random = Random::new(1);
    let mut all: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    let json = "{\" \": \": , , \", \",\" \"} \"] }} ]] [[ [{ {} [] \"\" }, ], [\" {\"a\":1} null, :\" :[ :{ :1 \\n \\u \\ud83d \\\"";
    let words = "true false null kitchen room name names age the light on off hello";
    let pieces = json
        .split(' ')
        .chain(words.split(' '))
        .chain(NAMES)
        .chain(TEXTS);
    all.extend(pieces.map(|piece| piece.as_bytes().to_vec()));
    all.extend((0..1000).map(|n| n.to_string().into_bytes()));
    let letters = "abcdefghijklmnopqrstuvwxyz 0123456789.-eE\"\\,:";
    let many = "größe日本語😀é\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}\u{d7ff}\u{e000}x";
    for (from, n) in [(letters, 1500), (many, 600)] {
        let from = from.as_bytes();
        for _ in 0..n {
            let length = 2 + random.below(3);
            let piece = if from.len() < letters.len() {
                let start = random.below(from.len() - length);
                from[start..start + length].to_vec()
            } else {
                (0..length)
                    .map(|_| from[random.below(from.len())])
                    .collect()
            };
            all.push(piece);
        }
    }
    Tokens::new((0..).zip(all))
}

/// Makes up schemas of all that is supported.
struct Schemas(Random);

impl Schemas {
    fn below(&mut self, n: usize) -> usize {
        self.0.below(n)
    }

    fn root(&mut self) -> Value {
        let mut root = self.schema(3);
        if let Value::Object(map) = &mut root {
            let of = |schemas: &mut Self| schemas.schema(0);
            map.insert("$defs".into(), json!({
                "tree": {"type": "object", "properties": {
                    "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
                    "value": of(self)}, "required": ["value"]},
                "list": {"anyOf": [{"type": "null"},
                    {"type": "array", "prefixItems": [{"type": "integer"}, {"$ref": "#/$defs/list"}],
                        "minItems": 2, "items": false}]},
            }));
        }
        root
    }

    fn schema(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 8 } else { 16 }) {
            0 => json!({"type": (["null", "boolean"][self.below(2)])}),
            1 => self.integer(),
            2 => self.number(),
            3 | 4 => self.text(),
            5 => self.constants(),
            6 => self.types(),
            7 => json!({"description": "anything", "default": 3}),
            8 | 9 => self.array(depth - 1),
            10..=12 => self.object(depth - 1),
            13 => self.any_of(depth - 1),
            14 => json!({"allOf": [self.schema(depth - 1)]}),
            _ => json!({"$ref": (["#/$defs/tree", "#/$defs/list"][self.below(2)])}),
        }
    }

    /// Two numbers, the smaller one first.
    fn range(&mut self) -> (i64, i64) {
        let size = 10i64.pow(self.below(7) as u32);
        let low = self.below(2 * size as usize + 1) as i64 - size;
        (low, low + self.below(size as usize + 1) as i64)
    }

    fn integer(&mut self) -> Value {
        let (low, high) = self.range();
        match self.below(5) {
            0 => json!({"type": "integer"}),
            1 => json!({"type": "integer", "minimum": low}),
            2 => json!({"type": "integer", "exclusiveMaximum": high}),
            3 => json!({"type": "integer", "exclusiveMinimum": low - 1, "maximum": high}),
            _ => json!({"type": "integer", "minimum": low, "maximum": high}),
        }
    }

    fn number(&mut self) -> Value {
        let (low, high) = self.range();
        match self.below(4) {
            0 => json!({"type": "number"}),
            1 => json!({"type": "number", "minimum": low}),
            2 => json!({"type": "number", "maximum": high}),
            _ => json!({"type": "number", "minimum": low, "maximum": high}),
        }
    }

    fn text(&mut self) -> Value {
        let (least, more) = (self.below(4), self.below(4));
        match self.below(4) {
            0 => json!({"type": "string", "format": "date"}),
            1 => json!({"type": "string", "minLength": least}),
            2 => json!({"type": "string", "maxLength": more}),
            _ => json!({"type": "string", "minLength": least, "maxLength": least + more}),
        }
    }

    fn constants(&mut self) -> Value {
        let n = 1 + self.below(4);
        let mut one = || match self.below(5) {
            0 => json!(self.below(1000)),
            1 => json!({"a": [1.5, null], "b": TEXTS[self.below(5)]}),
            2 => json!([true, false][self.below(2)]),
            _ => json!(TEXTS[self.below(5)]),
        };
        let all: Vec<Value> = (0..n).map(|_| one()).collect();
        match all.len() {
            1 => json!({"const": all[0]}),
            _ => json!({"enum": all, "title": "one of these"}),
        }
    }

    fn types(&mut self) -> Value {
        let all = [
            "null", "boolean", "integer", "string", "number", "array", "object",
        ];
        let n = 1 + self.below(3);
        let types: Vec<_> = (0..n).map(|_| all[self.below(7)]).collect();
        json!({"type": types, "maxLength": 3, "minItems": 1})
    }

    fn any_of(&mut self, depth: usize) -> Value {
        // Of one only one may hold.
        match self.below(3) {
            0 => json!({"oneOf": [self.text(), self.integer(), {"type": "null"}]}),
            _ => {
                let n = 1 + self.below(3);
                let all: Vec<_> = (0..n).map(|_| self.schema(depth)).collect();
                json!({"anyOf": all})
            }
        }
    }

    fn array(&mut self, depth: usize) -> Value {
        let mut map = Map::new();
        map.insert("type".into(), json!("array"));
        let n_first = [0, 0, 1, 3][self.below(4)];
        if n_first > 0 {
            let first = (0..n_first).map(|_| self.schema(depth)).collect();
            map.insert("prefixItems".into(), Value::Array(first));
        }
        match self.below(4) {
            0 => {}
            1 if n_first > 0 => {
                map.insert("items".into(), json!(false));
            }
            _ => {
                map.insert("items".into(), self.schema(depth));
            }
        }
        let least = self.below(n_first + 1);
        if self.below(2) == 0 {
            map.insert("minItems".into(), json!(least));
        }
        if self.below(2) == 0 {
            map.insert("maxItems".into(), json!(least + self.below(4)));
        }
        Value::Object(map)
    }

    fn object(&mut self, depth: usize) -> Value {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for _ in 0..self.below(6) {
            let name = NAMES[self.below(NAMES.len())];
            if properties.insert(name.into(), self.schema(depth)).is_none() && self.below(2) == 0 {
                required.push(name);
            }
        }
        let mut schema = json!({"type": "object", "properties": properties});
        let map = schema.as_object_mut().unwrap();
        match self.below(5) {
            0 => _ = map.insert("additionalProperties".into(), json!(false)),
            1 => _ = map.insert("additionalProperties".into(), json!(true)),
            2 => _ = map.insert("additionalProperties".into(), self.schema(depth)),
            3 => required.push("elsewhere"),
            _ => {}
        }
        if !required.is_empty() {
            map.insert("required".into(), json!(required));
        }
        schema
    }
}

/// Whether `value` fulfils `schema`, a part of `root`; else what is wrong.
fn validate(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let map = match schema {
        Value::Bool(true) => return Ok(()),
        Value::Object(map) => map,
        _ => return Err(format!("{schema} allows nothing")),
    };
    for (keyword, rule) in map {
        let holds = match keyword.as_str() {
            "$ref" => {
                let target = root.pointer(&rule.as_str().unwrap()[1..]).unwrap();
                validate(root, target, value)?;
                true
            }
            "type" => match rule {
                Value::Array(names) => names.iter().any(|name| has_type(value, name)),
                name => has_type(value, name),
            },
            "enum" => rule.as_array().unwrap().contains(value),
            "const" => rule == value,
            "anyOf" => n_valid(root, rule, value) > 0,
            "oneOf" => n_valid(root, rule, value) == 1,
            "allOf" => n_valid(root, rule, value) == rule.as_array().unwrap().len(),
            _ => match value {
                Value::Object(object) => validate_object(root, map, object, keyword)?,
                Value::Array(array) => validate_array(root, map, array, keyword)?,
                Value::String(text) => validate_text(text, rule, keyword),
                Value::Number(_) => validate_number(value, rule, keyword),
                _ => true,
            },
        };
        if !holds {
            return Err(format!("{value} breaks {keyword}: {rule}"));
        }
    }
    Ok(())
}

fn n_valid(root: &Value, schemas: &Value, value: &Value) -> usize {
    let all = schemas.as_array().unwrap().iter();
    all.filter(|schema| validate(root, schema, value).is_ok())
        .count()
}

fn has_type(value: &Value, name: &Value) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other}"),
    }
}

fn validate_object(
    root: &Value,
    schema: &Map<String, Value>,
    object: &Map<String, Value>,
    keyword: &str,
) -> Result<bool, String> {
    let named = schema.get("properties").and_then(Value::as_object);
    match keyword {
        "properties" => {
            for (name, value) in object {
                if let Some(schema) = named.unwrap().get(name) {
                    validate(root, schema, value)?;
                }
            }
        }
        "required" => {
            let mut names = schema["required"].as_array().unwrap().iter();
            return Ok(names.all(|name| object.contains_key(name.as_str().unwrap())));
        }
        "additionalProperties" => {
            for (name, value) in object {
                if named.is_none_or(|named| !named.contains_key(name)) {
                    validate(root, &schema["additionalProperties"], value)?;
                }
            }
        }
        _ => {}
    }
    Ok(true)
}

fn validate_array(
    root: &Value,
    schema: &Map<String, Value>,
    array: &[Value],
    keyword: &str,
) -> Result<bool, String> {
    let first = schema.get("prefixItems").and_then(Value::as_array);
    let first = first.map_or(&[][..], |first| &first[..]);
    let limit = || schema[keyword].as_u64().unwrap() as usize;
    match keyword {
        "prefixItems" => {
            for (schema, value) in first.iter().zip(array) {
                validate(root, schema, value)?;
            }
        }
        "items" => {
            for value in array.iter().skip(first.len()) {
                validate(root, &schema["items"], value)?;
            }
        }
        "minItems" => return Ok(array.len() >= limit()),
        "maxItems" => return Ok(array.len() <= limit()),
        _ => {}
    }
    Ok(true)
}

fn validate_text(text: &str, rule: &Value, keyword: &str) -> bool {
    let n = text.chars().count() as u64;
    match keyword {
        "minLength" => n >= rule.as_u64().unwrap(),
        "maxLength" => n <= rule.as_u64().unwrap(),
        _ => true,
    }
}

fn validate_number(value: &Value, rule: &Value, keyword: &str) -> bool {
    // Integers are compared as such.
    let order = match (value.as_i64(), rule.as_i64()) {
        (Some(value), Some(rule)) => value.cmp(&rule),
        _ => match (value.as_f64(), rule.as_f64()) {
            (Some(value), Some(rule)) => value.total_cmp(&rule),
            _ => return true,
        },
    };
    match keyword {
        "minimum" => order.is_ge(),
        "maximum" => order.is_le(),
        "exclusiveMinimum" => order.is_gt(),
        "exclusiveMaximum" => order.is_lt(),
        _ => true,
    }
}

#[test]
fn the_validator_finds_faults() {
    let table = [
        (json!({"type": "integer"}), json!(1), json!(1.5)),
        (json!({"type": ["null", "string"]}), json!(null), json!(0)),
        (json!({"minimum": 1, "maximum": 3}), json!(3), json!(3.5)),
        (
            json!({"exclusiveMinimum": 1, "exclusiveMaximum": 3}),
            json!(2),
            json!(3),
        ),
        (
            json!({"minLength": 2, "maxLength": 2}),
            json!("éé"),
            json!("é"),
        ),
        (json!({"enum": [1, "a"]}), json!("a"), json!(2)),
        (json!({"const": {"a": 1}}), json!({"a": 1}), json!({"a": 2})),
        (
            json!({"items": {"type": "null"}, "maxItems": 1}),
            json!([null]),
            json!([null, null]),
        ),
        (
            json!({"items": false, "prefixItems": [true]}),
            json!([1]),
            json!([1, 2]),
        ),
        (
            json!({"properties": {"a": {"const": 1}}}),
            json!({"b": 1}),
            json!({"a": 2}),
        ),
        (json!({"required": ["a"]}), json!({"a": 1}), json!({})),
        (
            json!({"properties": {"a": {}}, "additionalProperties": false}),
            json!({"a": 1}),
            json!({"b": 1}),
        ),
        (
            json!({"oneOf": [{"minimum": 1}, {"maximum": 2}]}),
            json!(3),
            json!(1),
        ),
        (
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "null"}}}),
            json!(null),
            json!(1),
        ),
    ];
    for (schema, good, bad) in table {
        assert_eq!(validate(&schema, &schema, &good), Ok(()), "{schema}");
        assert!(
            validate(&schema, &schema, &bad).is_err(),
            "{bad} of {schema}"
        );
    }
}
