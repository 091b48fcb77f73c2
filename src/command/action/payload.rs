//! What is sent: a text with slots, or JSON whose strings have slots.
//!
//! In JSON a slot's value stays inside its string, whatever characters it has. A string that is
//! `"{level:number}"` and nothing else becomes a number, `"{state:bool}"` true or false; both become
//! null when the slot is not filled.

use serde_json::{Number, Value};

use super::slots::{SlotError, Slots, fill, mention, value_of};
use crate::command::template::is_name;

/// What is sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// A text.
    Text(String),
    /// JSON.
    Json(Value),
}

impl Default for Payload {
    fn default() -> Self {
        Payload::Text(String::new())
    }
}

impl Payload {
    /// The payload with these slots filled in.
    pub(super) fn fill(&self, slots: &Slots) -> Result<String, SlotError> {
        match self {
            Payload::Text(text) => Ok(fill(text, slots)),
            Payload::Json(value) => Ok(filled(value, slots)?.to_string()),
        }
    }

    /// Adds the names of the slots it mentions.
    pub(super) fn mention(&self, to: &mut Vec<String>) {
        match self {
            Payload::Text(text) => mention(text, to),
            Payload::Json(value) => strings(value, &mut |text| match typed(text) {
                Some((slot, _)) => to.push(slot.to_owned()),
                None => mention(text, to),
            }),
        }
    }

    /// As it was written.
    pub(super) fn template(&self) -> String {
        match self {
            Payload::Text(text) => text.clone(),
            Payload::Json(value) => value.to_string(),
        }
    }

    /// A `{slot:type}` that does not stand alone in its string, or whose type nobody knows: it
    /// would be sent as it is.
    pub fn misplaced_type(&self) -> Option<String> {
        let mut found = None;
        if let Payload::Json(value) = self {
            strings(value, &mut |text| {
                if typed(text).is_none() && found.is_none() {
                    found = with_type(text).map(str::to_owned);
                }
            });
        }
        found
    }
}

/// What a string becomes that is one slot and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Number,
    Bool,
}

/// The slot and the type of `{slot:type}`.
fn typed(text: &str) -> Option<(&str, Type)> {
    let (slot, name) = text.strip_prefix('{')?.strip_suffix('}')?.split_once(':')?;
    let kind = match name {
        "number" => Type::Number,
        "bool" => Type::Bool,
        _ => return None,
    };
    is_name(slot).then_some((slot, kind))
}

/// The first part of `text` that looks like `{slot:type}`.
fn with_type(text: &str) -> Option<&str> {
    text.match_indices('{').find_map(|(at, _)| {
        let end = at + text[at..].find('}')?;
        let (slot, name) = text[at + 1..end].split_once(':')?;
        (is_name(slot) && is_name(name)).then_some(&text[at..=end])
    })
}

fn filled(value: &Value, slots: &Slots) -> Result<Value, SlotError> {
    Ok(match value {
        Value::String(text) => match typed(text) {
            Some((slot, kind)) => converted(slot, value_of(slots, slot), kind)?,
            None => Value::String(fill(text, slots)),
        },
        Value::Array(values) => {
            let values: Result<Vec<Value>, _> = values.iter().map(|v| filled(v, slots)).collect();
            Value::Array(values?)
        }
        Value::Object(members) => {
            let members: Result<_, SlotError> = members
                .iter()
                .map(|(key, value)| Ok((key.clone(), filled(value, slots)?)))
                .collect();
            Value::Object(members?)
        }
        other => other.clone(),
    })
}

fn converted(slot: &str, value: &str, kind: Type) -> Result<Value, SlotError> {
    if value.is_empty() {
        return Ok(Value::Null);
    }
    match kind {
        Type::Number => {
            let whole = value.parse::<i64>().ok().map(Number::from);
            let number = whole.or_else(|| value.parse().ok().and_then(Number::from_f64));
            let number = number.ok_or_else(|| SlotError::new(slot, value, "is no number"));
            Ok(Value::Number(number?))
        }
        Type::Bool => match value.to_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Ok(Value::Bool(true)),
            "false" | "off" | "no" | "0" => Ok(Value::Bool(false)),
            _ => Err(SlotError::new(slot, value, "is neither true nor false")),
        },
    }
}

/// Gives every string of `value` to `each`, keys of objects left out.
fn strings(value: &Value, each: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => each(text),
        Value::Array(values) => values.iter().for_each(|value| strings(value, each)),
        Value::Object(members) => members.values().for_each(|value| strings(value, each)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn slots(pairs: &[(&str, &str)]) -> Slots {
        let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn values_stay_inside_their_strings() {
        let payload = Payload::Json(json!({ "room": "the {room}", "list": ["{room}"], "n": 1 }));
        for value in [
            "\", \"admin\": true, \"x\": \"",
            "a\\",
            "line\nbreak\ttab\0nul",
            "ünï → 😀",
            "{room} }} {{",
            "; rm -rf /",
        ] {
            let sent = payload.fill(&slots(&[("room", value)])).unwrap();
            let got: Value = serde_json::from_str(&sent).unwrap();
            let expected = json!({ "room": format!("the {value}"), "list": [value], "n": 1 });
            assert_eq!(got, expected, "{sent}");
        }
    }

    #[test]
    fn numbers_and_truth() {
        let payload = Payload::Json(json!(["{n:number}", "{b:bool}"]));
        let sent = |n: &str, b: &str| payload.fill(&slots(&[("n", n), ("b", b)]));
        assert_eq!(sent("20", "on").unwrap(), "[20,true]");
        assert_eq!(sent("-0.5", "False").unwrap(), "[-0.5,false]");
        assert_eq!(sent("", "").unwrap(), "[null,null]");
        let error = sent("20, 30", "on").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the value \"20, 30\" of `n` is no number"
        );
        assert!(sent("nan", "on").is_err());
        assert!(sent("1", "maybe").is_err());
    }

    #[test]
    fn every_slot_is_mentioned() {
        let mut names = Vec::new();
        let payload = Payload::Json(json!({ "a": "x {b}", "{c}": ["{d:number}"] }));
        payload.mention(&mut names);
        assert_eq!(names, ["b", "d"]);
    }

    #[test]
    fn types_that_would_be_sent_as_text_are_found() {
        let misplaced = |text: &str| Payload::Json(json!({ "a": [text] })).misplaced_type();
        assert_eq!(misplaced("{a:number}"), None);
        assert_eq!(misplaced("at {t} o'clock: {\"x\": 1}"), None);
        assert_eq!(misplaced("{a:number} %").as_deref(), Some("{a:number}"));
        assert_eq!(misplaced("{a:integer}").as_deref(), Some("{a:integer}"));
    }
}
