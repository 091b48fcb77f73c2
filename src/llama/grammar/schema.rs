//! JSON schemas (a part of draft 2020-12) as grammars of the JSON values that fulfil them.
//!
//! A schema becomes a draft, as a text of rules does. Every text of the grammar fulfils the schema; what would only
//! be fulfilled by chance is refused: a keyword that is not known is an error unless it is a remark.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::GrammarError;
use super::draft::{Draft, Element, ElementId, Place, RuleId};
use super::utf8;
use super::write::{Common, NOT_PLAIN, Writer, Written};

/// Keywords that allow and forbid nothing.
const REMARKS: [&str; 17] = [
    "title",
    "description",
    "default",
    "examples",
    "format",
    "deprecated",
    "readOnly",
    "writeOnly",
    "contentEncoding",
    "contentMediaType",
    "$schema",
    "$id",
    "$anchor",
    "$comment",
    "$defs",
    "definitions",
    "$vocabulary",
];

/// Keywords and the type of the values that they are about.
const KEYWORDS: [(&str, Type); 15] = [
    ("properties", Type::Object),
    ("required", Type::Object),
    ("additionalProperties", Type::Object),
    ("items", Type::Array),
    ("prefixItems", Type::Array),
    ("minItems", Type::Array),
    ("maxItems", Type::Array),
    ("uniqueItems", Type::Array),
    ("minLength", Type::Text),
    ("maxLength", Type::Text),
    ("minimum", Type::Number),
    ("maximum", Type::Number),
    ("exclusiveMinimum", Type::Number),
    ("exclusiveMaximum", Type::Number),
    // Only that there is nothing else is looked at.
    ("type", Type::Null),
];

/// A named property: its schema, if it has one, and whether it must be there.
type Property<'s> = (&'s str, Option<&'s Value>, bool);

/// Schemas within one another at most.
const MAX_DEPTH: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Object,
    Array,
    Text,
    Number,
    Integer,
    Boolean,
    Null,
}

impl Type {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "object" => Type::Object,
            "array" => Type::Array,
            "string" => Type::Text,
            "number" => Type::Number,
            "integer" => Type::Integer,
            "boolean" => Type::Boolean,
            "null" => Type::Null,
            _ => return None,
        })
    }

    fn has(self, value: &Value) -> bool {
        match self {
            Type::Object => value.is_object(),
            Type::Array => value.is_array(),
            Type::Text => value.is_string(),
            Type::Number => value.is_number(),
            Type::Integer => value.as_f64().is_some_and(|number| number.fract() == 0.0),
            Type::Boolean => value.is_boolean(),
            Type::Null => value.is_null(),
        }
    }
}

/// The rules of a schema, and the one to begin with.
pub(super) fn draft(schema: &Value) -> Result<(Draft, RuleId), GrammarError> {
    let mut writer = Writer::new(schema);
    let root = writer.reference("#")?;
    while let Some((rule, pointer, schema)) = writer.left.pop() {
        (writer.owner, writer.pointer) = (rule, pointer);
        let body = writer.schema(schema)?;
        writer.draft.rules[rule as usize].body = Some(body);
    }
    Ok((writer.draft, root))
}

impl<'s> Writer<'s> {
    fn schema(&mut self, schema: &'s Value) -> Written<ElementId> {
        match schema {
            Value::Bool(true) => self.common(Common::Value),
            Value::Bool(false) => Err(self.no_value()),
            Value::Object(map) => self.keywords(map),
            _ => Err(self.expected("a schema: an object, `true` or `false`")),
        }
    }

    /// The schema at a place within the one that is written.
    fn inner(&mut self, path: &[&str], schema: &'s Value) -> Written<ElementId> {
        let n = self.pointer.len();
        for part in path {
            self.pointer.push('/');
            self.pointer
                .push_str(&part.replace('~', "~0").replace('/', "~1"));
        }
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(GrammarError::TooLarge {
                place: self.place(),
                what: "schemas within one another",
                limit: MAX_DEPTH,
            });
        }
        let written = self.schema(schema)?;
        self.depth -= 1;
        self.pointer.truncate(n);
        Ok(written)
    }

    fn keywords(&mut self, map: &'s Map<String, Value>) -> Written<ElementId> {
        if let Some(target) = map.get("$ref") {
            self.only(map, &["$ref"])?;
            let Value::String(target) = target else {
                return Err(self.expected_at("$ref", "a string"));
            };
            let rule = self.reference(target)?;
            return self.add(Element::Rule(rule));
        }
        for keyword in ["anyOf", "oneOf", "allOf"] {
            if let Some(all) = map.get(keyword) {
                self.only(map, &[keyword])?;
                return self.any_of(keyword, all);
            }
        }
        if map.contains_key("enum") || map.contains_key("const") {
            self.only(map, &["enum", "const", "type"])?;
            return self.constants(map);
        }
        let known = KEYWORDS.map(|(keyword, _)| keyword);
        self.only(map, &known)?;
        let types = self.types(map)?;
        if types.is_empty() {
            return self.common(Common::Value);
        }
        let mut all = Vec::with_capacity(types.len());
        for of in types {
            all.push(self.typed(of, map)?);
        }
        self.any(all)
    }

    /// Refuses all keywords but these.
    fn only(&self, map: &Map<String, Value>, keywords: &[&str]) -> Written<()> {
        let is_fine = |keyword: &str| {
            let is_remark = REMARKS.contains(&keyword) || keyword.starts_with("x-");
            is_remark || keywords.contains(&keyword)
        };
        match map.keys().find(|keyword| !is_fine(keyword)) {
            Some(keyword) => Err(self.keyword(keyword)),
            None => Ok(()),
        }
    }

    fn reference(&mut self, target: &'s str) -> Written<RuleId> {
        if let Some(rule) = self.references.get(target) {
            return Ok(*rule);
        }
        let path = target.strip_prefix('#');
        let Some(schema) = path.and_then(|path| self.root.pointer(path)) else {
            return Err(GrammarError::Reference {
                place: self.place(),
                target: target.to_owned(),
            });
        };
        let (name, place) = (target.to_owned(), Place::Pointer(target.to_owned()));
        let added = self.draft.add_rule(name, place);
        let rule = added.map_err(|excess| GrammarError::too_large(self.place(), excess))?;
        self.references.insert(target, rule);
        self.left.push((rule, target.to_owned(), schema));
        Ok(rule)
    }

    fn any_of(&mut self, keyword: &str, all: &'s Value) -> Written<ElementId> {
        let Some(schemas) = all.as_array().filter(|all| !all.is_empty()) else {
            return Err(self.expected_at(keyword, "a list of schemas"));
        };
        if keyword == "allOf" && schemas.len() > 1 {
            return Err(self.keyword(keyword));
        }
        let mut parts = Vec::with_capacity(schemas.len());
        for (i, schema) in schemas.iter().enumerate() {
            parts.push(self.inner(&[keyword, &i.to_string()], schema)?);
        }
        self.any(parts)
    }

    /// The types that `type` names; without it, those that the keywords are about; none where there are none.
    fn types(&self, map: &Map<String, Value>) -> Written<Vec<Type>> {
        const EXPECTED: &str = "a type or a list of types: `object`, `array`, `string`, `number`, `integer`, `boolean`, `null`";
        let names = match map.get("type") {
            Some(Value::Array(names)) if !names.is_empty() => &names[..],
            Some(name) => std::slice::from_ref(name),
            None => {
                let has = |of: &Type| {
                    KEYWORDS
                        .iter()
                        .any(|(k, t)| t == of && map.contains_key(*k))
                };
                let all = [Type::Object, Type::Array, Type::Text, Type::Number];
                return Ok(all.into_iter().filter(has).collect());
            }
        };
        let mut types = Vec::new();
        for name in names {
            let Some(of) = name.as_str().and_then(Type::from_name) else {
                return Err(self.expected_at("type", EXPECTED));
            };
            if !types.contains(&of) {
                types.push(of);
            }
        }
        Ok(types)
    }

    fn typed(&mut self, of: Type, map: &'s Map<String, Value>) -> Written<ElementId> {
        match of {
            Type::Object => self.object(map),
            Type::Array => self.array(map),
            Type::Text => self.text(map),
            Type::Number => self.number(map),
            Type::Integer => self.integer(map),
            Type::Boolean => {
                let both = vec![self.bytes("true")?, self.bytes("false")?];
                self.any(both)
            }
            Type::Null => self.bytes("null"),
        }
    }

    fn constants(&mut self, map: &Map<String, Value>) -> Written<ElementId> {
        let types = self.types(map)?;
        let all = match map.get("enum") {
            Some(Value::Array(all)) => &all[..],
            Some(_) => return Err(self.expected_at("enum", "a list of values")),
            None => map.get("const").map_or(&[][..], std::slice::from_ref),
        };
        let constant = map.get("const");
        let is_allowed = |value: &&Value| {
            let has_type = types.is_empty() || types.iter().any(|of| of.has(value));
            has_type && constant.is_none_or(|constant| constant == *value)
        };
        let mut texts: Vec<String> = all
            .iter()
            .filter(is_allowed)
            .map(Value::to_string)
            .collect();
        texts.sort_unstable();
        texts.dedup();
        if texts.is_empty() {
            return Err(self.no_value());
        }
        let texts: Written<Vec<_>> = texts.iter().map(|text| self.bytes(text)).collect();
        self.any(texts?)
    }

    fn text(&mut self, map: &Map<String, Value>) -> Written<ElementId> {
        let least = self.count(map, "minLength")?;
        let most = self.count(map, "maxLength")?;
        if (least.unwrap_or(0), most) == (0, None) {
            return self.common(Common::Text);
        }
        let of = self.common(Common::Char)?;
        let chars = self.repeat(of, least.unwrap_or(0), most)?;
        let (open, close) = (self.bytes("\"")?, self.bytes("\"")?);
        self.sequence(vec![open, chars, close])
    }

    fn array(&mut self, map: &'s Map<String, Value>) -> Written<ElementId> {
        let is_false = |value: &Value| *value == Value::Bool(false);
        if map
            .get("uniqueItems")
            .is_some_and(|unique| !is_false(unique))
        {
            return Err(self.keyword("uniqueItems"));
        }
        let first = match map.get("prefixItems") {
            Some(Value::Array(first)) => &first[..],
            Some(_) => return Err(self.expected_at("prefixItems", "a list of schemas")),
            None => &[],
        };
        let n_first = u32::try_from(first.len()).unwrap_or(u32::MAX);
        let least = self.count(map, "minItems")?.unwrap_or(0);
        let mut most = self.count(map, "maxItems")?;
        if map.get("items").is_some_and(is_false) {
            most = Some(most.unwrap_or(n_first).min(n_first));
        }
        if most.is_some_and(|most| most < least) {
            return Err(self.no_value());
        }
        let mut rest = self.items(map, n_first, (least, most))?;
        for (i, schema) in (0..n_first).zip(first).rev() {
            if most.is_some_and(|most| most <= i) {
                continue;
            }
            let schema = self.inner(&["prefixItems", &i.to_string()], schema)?;
            let mut parts = if i == 0 { Vec::new() } else { self.comma()? };
            // As a rule, for the others would be within one another.
            let others = self.rule(rest)?;
            parts.extend([schema, self.call(others)?]);
            rest = self.sequence(parts)?;
            if least <= i {
                rest = self.repeat(rest, 0, Some(1))?;
            }
        }
        self.enclosed("[", rest, "]")
    }

    /// The items of an array behind `n_first` others, if there are any; how many there are is told of all.
    fn items(
        &mut self,
        map: &'s Map<String, Value>,
        n_first: u32,
        (least, most): (u32, Option<u32>),
    ) -> Written<ElementId> {
        // What may not be there need not be possible either.
        if most.is_some_and(|most| most <= n_first) {
            return self.sequence(Vec::new());
        }
        let item = match map.get("items") {
            Some(schema) => self.inner(&["items"], schema)?,
            None => self.common(Common::Value)?,
        };
        let item = self.rule(item)?;
        if n_first == 0 {
            return self.list(item, least, most);
        }
        let most = most.map(|most| most - n_first);
        self.behind_commas(item, least.saturating_sub(n_first), most)
    }

    fn object(&mut self, map: &'s Map<String, Value>) -> Written<ElementId> {
        let names = self.properties(map)?;
        let others = map.get("additionalProperties");
        if names.is_empty() && others.is_none() && !map.contains_key("properties") {
            return self.common(Common::Object);
        }
        let keys: Vec<&str> = names.iter().map(|(name, ..)| *name).collect();
        let other = match others {
            None | Some(Value::Bool(false)) => None,
            Some(schema) => {
                let value = self.inner(&["additionalProperties"], schema)?;
                let key = self.other_key(&keys)?;
                let pair = self.pair(key, value)?;
                Some(self.rule(pair)?)
            }
        };
        // What may come if there is something before, and if there is nothing.
        let (mut behind, mut first) = (self.sequence(Vec::new())?, self.sequence(Vec::new())?);
        if let Some(other) = other {
            behind = self.behind_commas(other, 0, None)?;
            first = self.list(other, 0, None)?;
        }
        for (name, schema, is_required) in names.into_iter().rev() {
            // What is not possible can be left out only.
            if schema == Some(&Value::Bool(false)) && !is_required {
                continue;
            }
            let value = match schema {
                Some(schema) => self.inner(&["properties", name], schema)?,
                None => self.common(Common::Value)?,
            };
            let key = self.bytes(&Value::from(name).to_string())?;
            let pair = self.pair(key, value)?;
            let pair = self.rule(pair)?;
            let rest = self.rule(behind)?;
            let [pair_now, pair_later] = [self.call(pair)?, self.call(pair)?];
            let [rest_now, rest_later] = [self.call(rest)?, self.call(rest)?];
            let now = self.sequence(vec![pair_now, rest_now])?;
            let mut later = self.comma()?;
            later.extend([pair_later, rest_later]);
            let later = self.sequence(later)?;
            (behind, first) = match is_required {
                true => (later, now),
                false => {
                    let skipped = self.call(rest)?;
                    let first = self.rule(first)?;
                    let first = self.call(first)?;
                    (self.any(vec![later, skipped])?, self.any(vec![now, first])?)
                }
            };
        }
        self.enclosed("{", first, "}")
    }

    /// The named properties in their order, then those that must be there without being described.
    fn properties(&self, map: &'s Map<String, Value>) -> Written<Vec<Property<'s>>> {
        let required = match map.get("required") {
            None => Vec::new(),
            Some(names) => {
                let names = names
                    .as_array()
                    .map(|names| names.iter().map(Value::as_str));
                let names: Option<Vec<&str>> = names.and_then(Iterator::collect);
                names.ok_or_else(|| self.expected_at("required", "a list of strings"))?
            }
        };
        let is_required: HashSet<&str> = required.iter().copied().collect();
        let mut names = Vec::new();
        match map.get("properties") {
            None => {}
            Some(Value::Object(map)) => {
                for (name, schema) in map {
                    let is_required = is_required.contains(&name[..]);
                    names.push((&name[..], Some(schema), is_required));
                }
            }
            Some(_) => return Err(self.expected_at("properties", "an object of schemas")),
        }
        let others = map.get("additionalProperties");
        let mut known: HashSet<&str> = names.iter().map(|(name, ..)| *name).collect();
        for name in required {
            if !known.insert(name) {
                continue;
            }
            if others == Some(&Value::Bool(false)) {
                return Err(self.no_value());
            }
            names.push((name, others, true));
        }
        Ok(names)
    }

    /// A key without escapes that is none of `names`.
    fn other_key(&mut self, names: &[&str]) -> Written<ElementId> {
        if names.is_empty() {
            return self.common(Common::Text);
        }
        let mut names: Vec<Vec<char>> = names.iter().map(|name| name.chars().collect()).collect();
        names.sort_unstable();
        let root = self.empty_rule()?;
        // Rules for what may follow a beginning that some names share: those names, and how long it is.
        let mut left = vec![(root, 0..names.len(), 0)];
        while let Some((rule, shared, depth)) = left.pop() {
            let is_name = names[shared.start].len() == depth;
            let mut all = if is_name {
                Vec::new()
            } else {
                vec![self.sequence(Vec::new())?]
            };
            let mut at = shared.start + usize::from(is_name);
            let mut apart = NOT_PLAIN.to_vec();
            while at < shared.end {
                let c = names[at][depth];
                let group = names[at..shared.end].partition_point(|name| name[depth] == c);
                let code = u32::from(c);
                // A name with another one cannot be written without an escape.
                if !NOT_PLAIN.iter().any(|(a, b)| (a..=b).contains(&&code)) {
                    let next = self.empty_rule()?;
                    let (c, call) = (self.bytes(&c.to_string())?, self.call(next)?);
                    all.push(self.sequence(vec![c, call])?);
                    left.push((next, at..at + group, depth + 1));
                    apart.push((code, code));
                }
                at += group;
            }
            utf8::normalise(&mut apart);
            let other = self.add(Element::Chars(utf8::all_but(&apart)))?;
            let plain = self.add(Element::Chars(utf8::all_but(&NOT_PLAIN)))?;
            let rest = self.repeat(plain, 0, None)?;
            all.push(self.sequence(vec![other, rest])?);
            let body = self.any(all)?;
            self.draft.rules[rule as usize].body = Some(body);
        }
        let key = self.call(root)?;
        self.enclosed("\"", key, "\"")
    }

    /// A whole number from 0 on, if the keyword is there.
    fn count(&self, map: &Map<String, Value>, keyword: &str) -> Written<Option<u32>> {
        let Some(value) = map.get(keyword) else {
            return Ok(None);
        };
        let whole = value.as_f64().filter(|n| *n >= 0.0 && n.fract() == 0.0);
        match whole {
            Some(n) => Ok(Some(n as u32)),
            None => Err(self.expected_at(keyword, "a whole number from 0 on")),
        }
    }
}
