//! Texts with slots, as actions have them: `light {state}`.
//!
//! `{slot}` becomes the slot's value (nothing when it is not filled), `{{` and `}}` are braces;
//! braces around anything but a slot's name stay as they are, so that JSON may be written plainly.
//! What a value may not do at its place is for the place to say.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::command::template::is_name;

/// Values of slots by name.
pub type Slots = BTreeMap<String, String>;

/// A value that does not fit its place.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the value {value:?} of `{slot}` {reason}")]
pub struct SlotError {
    /// Name of the slot.
    pub slot: String,
    /// Its value.
    pub value: String,
    /// Why it does not fit.
    pub reason: &'static str,
}

impl SlotError {
    pub(super) fn new(slot: &str, value: &str, reason: &'static str) -> Self {
        SlotError {
            slot: slot.to_owned(),
            value: value.to_owned(),
            reason,
        }
    }
}

/// `text` with these slots filled in as they are.
pub(in crate::command) fn fill(text: &str, slots: &Slots) -> String {
    substitute(text, &mut |name| value_of(slots, name).to_owned())
}

/// `text` with slots filled in as `place` makes them fit.
///
/// # Errors
/// The first value that `place` refuses.
pub(super) fn fill_as(
    text: &str,
    slots: &Slots,
    place: impl Fn(&str) -> Result<String, &'static str>,
) -> Result<String, SlotError> {
    let mut refused = None;
    let filled = substitute(text, &mut |name| {
        let value = value_of(slots, name);
        place(value).unwrap_or_else(|reason| {
            refused.get_or_insert_with(|| SlotError::new(name, value, reason));
            String::new()
        })
    });
    refused.map_or(Ok(filled), Err)
}

/// The value of a slot; empty when it is not filled.
pub(super) fn value_of<'s>(slots: &'s Slots, name: &str) -> &'s str {
    slots.get(name).map_or("", String::as_str)
}

/// Adds the names of the slots that `text` mentions.
pub(super) fn mention(text: &str, to: &mut Vec<String>) {
    substitute(text, &mut |name| {
        to.push(name.to_owned());
        String::new()
    });
}

/// Whether `text` mentions any slot.
pub(super) fn has_slots(text: &str) -> bool {
    let mut names = Vec::new();
    mention(text, &mut names);
    !names.is_empty()
}

/// Replaces each `{slot}` of `text` by what `value` gives for it.
fn substitute(text: &str, value: &mut dyn FnMut(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with("{{") || rest.starts_with("}}") {
            out.push_str(&rest[..1]);
            rest = &rest[2..];
            continue;
        }
        let name = rest
            .strip_prefix('{')
            .and_then(|inner| inner.split_once('}'));
        match name.filter(|(name, _)| is_name(name)) {
            Some((name, after)) => {
                out.push_str(&value(name));
                rest = after;
            }
            None => {
                out.push_str(&rest[..1]);
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_kept_unless_they_name_a_slot() {
        let mut value = |name: &str| format!("<{name}>");
        assert_eq!(substitute("{a}{b}", &mut value), "<a><b>");
        assert_eq!(
            substitute("{{a}} {\"x\":{a}}", &mut value),
            "{a} {\"x\":<a>}"
        );
        assert_eq!(substitute("{ a } {", &mut value), "{ a } {");
    }

    #[test]
    fn a_value_is_not_read_again() {
        let slots = Slots::from([
            ("a".to_owned(), "{b}".to_owned()),
            ("b".to_owned(), "no".to_owned()),
        ]);
        assert_eq!(fill("{a}-{c}", &slots), "{b}-");
    }

    #[test]
    fn a_refused_value_is_named() {
        let slots = Slots::from([("a".to_owned(), "x/y".to_owned())]);
        let refused = fill_as("{a}", &slots, |_| Err("is not wanted")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the value \"x/y\" of `a` is not wanted"
        );
    }
}
