//! Writes the draft of a schema: the elements of JSON, and where in the schema one is.

use std::collections::HashMap;

use serde_json::Value;

use super::GrammarError;
use super::draft::{Draft, Element, ElementId, Place, RuleId};
use super::utf8;

/// Characters that a JSON string has to escape; in order.
pub(super) const NOT_PLAIN: [(u32, u32); 3] = [(0, 0x1f), (0x22, 0x22), (0x5c, 0x5c)];

/// Rules that several schemas need.
#[derive(Clone, Copy)]
pub(super) enum Common {
    /// Any value.
    Value,
    /// Any object.
    Object,
    /// Any array.
    Array,
    /// Any string.
    Text,
    /// A character of a string.
    Char,
    /// An integer that fits an `i64`.
    Integer,
    /// A number that fits an `f64`.
    Number,
    /// What may be behind the digits of a number.
    Fraction,
}

const N_COMMON: usize = 8;

/// What is written, or why it cannot be.
pub(super) type Written<T> = Result<T, GrammarError>;

/// Writes the draft of a schema.
pub(super) struct Writer<'s> {
    pub(super) root: &'s Value,
    /// The rule of the schema that is written, or in which it is.
    pub(super) owner: RuleId,
    pub(super) draft: Draft,
    /// To the schema that is written.
    pub(super) pointer: String,
    /// Schemas around it since the last reference.
    pub(super) depth: usize,
    common: [Option<RuleId>; N_COMMON],
    /// The rules of the schemas that are referred to.
    pub(super) references: HashMap<&'s str, RuleId>,
    /// Those of them without bodies, and the pointers to them.
    pub(super) left: Vec<(RuleId, String, &'s Value)>,
}

impl<'s> Writer<'s> {
    /// For a schema, of which nothing is written yet.
    pub(super) fn new(root: &'s Value) -> Self {
        Writer {
            root,
            owner: 0,
            draft: Draft::default(),
            pointer: "#".to_owned(),
            depth: 0,
            common: [None; N_COMMON],
            references: HashMap::new(),
            left: Vec::new(),
        }
    }

    pub(super) fn place(&self) -> Place {
        Place::Pointer(self.pointer.clone())
    }

    pub(super) fn no_value(&self) -> GrammarError {
        GrammarError::NoValue {
            place: self.place(),
        }
    }

    pub(super) fn keyword(&self, keyword: &str) -> GrammarError {
        GrammarError::Keyword {
            place: self.place(),
            keyword: keyword.to_owned(),
        }
    }

    pub(super) fn expected(&self, expected: &'static str) -> GrammarError {
        GrammarError::Schema {
            place: self.place(),
            expected,
        }
    }

    pub(super) fn expected_at(&self, keyword: &str, expected: &'static str) -> GrammarError {
        GrammarError::Schema {
            place: Place::Pointer(format!("{}/{keyword}", self.pointer)),
            expected,
        }
    }

    pub(super) fn add(&mut self, element: Element) -> Written<ElementId> {
        let added = self.draft.add(element);
        added.map_err(|excess| GrammarError::too_large(self.place(), excess))
    }

    pub(super) fn empty_rule(&mut self) -> Written<RuleId> {
        let added = self.draft.add_part(self.owner);
        added.map_err(|excess| GrammarError::too_large(self.place(), excess))
    }

    pub(super) fn rule(&mut self, body: ElementId) -> Written<RuleId> {
        let rule = self.empty_rule()?;
        self.draft.rules[rule as usize].body = Some(body);
        Ok(rule)
    }

    pub(super) fn call(&mut self, rule: RuleId) -> Written<ElementId> {
        self.add(Element::Rule(rule))
    }

    pub(super) fn bytes(&mut self, text: &str) -> Written<ElementId> {
        self.add(Element::Bytes(text.as_bytes().to_vec()))
    }

    /// A character of `chars`, which are in order.
    fn one_of(&mut self, chars: &str) -> Written<ElementId> {
        let mut ranges = chars.chars().map(|c| (c.into(), c.into())).collect();
        utf8::normalise(&mut ranges);
        self.add(Element::Chars(ranges))
    }

    fn digits(&mut self, least: u32, most: u32) -> Written<ElementId> {
        let digit = self.one_of("0123456789")?;
        self.repeat(digit, least, Some(most))
    }

    fn optional(&mut self, of: ElementId) -> Written<ElementId> {
        self.repeat(of, 0, Some(1))
    }

    pub(super) fn repeat(
        &mut self,
        of: ElementId,
        least: u32,
        most: Option<u32>,
    ) -> Written<ElementId> {
        if most.is_some_and(|most| most < least) {
            return Err(self.no_value());
        }
        self.add(Element::Repeat { of, least, most })
    }

    pub(super) fn sequence(&mut self, parts: Vec<ElementId>) -> Written<ElementId> {
        match parts[..] {
            [one] => Ok(one),
            _ => self.add(Element::Sequence(parts)),
        }
    }

    pub(super) fn any(&mut self, parts: Vec<ElementId>) -> Written<ElementId> {
        match parts[..] {
            [one] => Ok(one),
            _ => self.add(Element::Any(parts)),
        }
    }

    pub(super) fn enclosed(
        &mut self,
        open: &str,
        what: ElementId,
        close: &str,
    ) -> Written<ElementId> {
        let (open, close) = (self.bytes(open)?, self.bytes(close)?);
        self.sequence(vec![open, what, close])
    }

    /// A comma and what may be behind it.
    pub(super) fn comma(&mut self) -> Written<Vec<ElementId>> {
        self.mark(",")
    }

    fn mark(&mut self, mark: &str) -> Written<Vec<ElementId>> {
        let (mark, blank) = (self.bytes(mark)?, self.bytes(" ")?);
        Ok(vec![mark, self.optional(blank)?])
    }

    pub(super) fn pair(&mut self, key: ElementId, value: ElementId) -> Written<ElementId> {
        let mut parts = vec![key];
        parts.extend(self.mark(":")?);
        parts.push(value);
        self.sequence(parts)
    }

    /// Items, each behind a comma.
    pub(super) fn behind_commas(
        &mut self,
        item: RuleId,
        least: u32,
        most: Option<u32>,
    ) -> Written<ElementId> {
        let mut parts = self.comma()?;
        parts.push(self.call(item)?);
        let of = self.sequence(parts)?;
        self.repeat(of, least, most)
    }

    /// Items with commas between them.
    pub(super) fn list(
        &mut self,
        item: RuleId,
        least: u32,
        most: Option<u32>,
    ) -> Written<ElementId> {
        if most == Some(0) {
            return self.sequence(Vec::new());
        }
        let first = self.call(item)?;
        let most = most.map(|most| most - 1);
        let others = self.behind_commas(item, least.saturating_sub(1), most)?;
        let all = self.sequence(vec![first, others])?;
        match least {
            0 => self.optional(all),
            _ => Ok(all),
        }
    }

    /// What is needed in several places, as a rule that is written once.
    pub(super) fn common(&mut self, which: Common) -> Written<ElementId> {
        if let Some(rule) = self.common[which as usize] {
            return self.call(rule);
        }
        let rule = self.empty_rule()?;
        self.common[which as usize] = Some(rule);
        let body = match which {
            Common::Value => self.any_value()?,
            Common::Object => {
                let (key, value) = (self.common(Common::Text)?, self.common(Common::Value)?);
                let pair = self.pair(key, value)?;
                let pair = self.rule(pair)?;
                let pairs = self.list(pair, 0, None)?;
                self.enclosed("{", pairs, "}")?
            }
            Common::Array => {
                let value = self.common(Common::Value)?;
                let value = self.rule(value)?;
                let values = self.list(value, 0, None)?;
                self.enclosed("[", values, "]")?
            }
            Common::Text => {
                let char = self.common(Common::Char)?;
                let chars = self.repeat(char, 0, None)?;
                self.enclosed("\"", chars, "\"")?
            }
            Common::Char => self.any_char()?,
            Common::Integer => {
                let (zero, minus) = (self.bytes("0")?, self.bytes("-")?);
                let (minus, size) = (self.optional(minus)?, self.size(17)?);
                let other = self.sequence(vec![minus, size])?;
                self.any(vec![zero, other])?
            }
            Common::Number => self.any_number()?,
            Common::Fraction => {
                let (point, digits) = (self.bytes(".")?, self.digits(1, 16)?);
                let fraction = self.sequence(vec![point, digits])?;
                self.optional(fraction)?
            }
        };
        self.draft.rules[rule as usize].body = Some(body);
        self.call(rule)
    }

    fn any_value(&mut self) -> Written<ElementId> {
        let mut all = Vec::new();
        for which in [Common::Object, Common::Array, Common::Text, Common::Number] {
            all.push(self.common(which)?);
        }
        for word in ["true", "false", "null"] {
            all.push(self.bytes(word)?);
        }
        self.any(all)
    }

    /// A digit that is not 0, and up to `n` others.
    fn size(&mut self, n: u32) -> Written<ElementId> {
        let (first, others) = (self.one_of("123456789")?, self.digits(0, n)?);
        self.sequence(vec![first, others])
    }

    fn any_number(&mut self) -> Written<ElementId> {
        let minus = self.bytes("-")?;
        let minus = self.optional(minus)?;
        let (zero, size) = (self.bytes("0")?, self.size(15)?);
        let whole = self.any(vec![zero, size])?;
        let fraction = self.common(Common::Fraction)?;
        let (e, sign, digits) = (self.one_of("Ee")?, self.one_of("+-")?, self.digits(1, 2)?);
        let sign = self.optional(sign)?;
        let exponent = self.sequence(vec![e, sign, digits])?;
        let exponent = self.optional(exponent)?;
        self.sequence(vec![minus, whole, fraction, exponent])
    }

    /// A character, plain or escaped. Half a surrogate pair is none: no parser takes it.
    fn any_char(&mut self) -> Written<ElementId> {
        const HEX: &str = "0123456789ABCDEFabcdef";
        let plain = self.add(Element::Chars(utf8::all_but(&NOT_PLAIN)))?;
        let backslash = self.bytes("\\")?;
        let short = self.one_of("\"/\\bfnrt")?;
        let most = self.chars(&["0123456789ABCEFabcef", HEX, HEX, HEX])?;
        let before_pairs = self.chars(&["Dd", "01234567", HEX, HEX])?;
        let first = ["Dd", "89ABab", HEX, HEX];
        let second = ["\\", "u", "Dd", "CDEFcdef", HEX, HEX];
        let pair = self.chars(&[&first[..], &second].concat())?;
        let u = self.bytes("u")?;
        let code = self.any(vec![most, before_pairs, pair])?;
        let code = self.sequence(vec![u, code])?;
        let escape = self.any(vec![short, code])?;
        let escaped = self.sequence(vec![backslash, escape])?;
        self.any(vec![plain, escaped])
    }

    /// One character of each set after the other.
    fn chars(&mut self, sets: &[&str]) -> Written<ElementId> {
        let parts: Written<Vec<_>> = sets.iter().map(|set| self.one_of(set)).collect();
        self.sequence(parts?)
    }
}
