//! llama.cpp's notation of grammars.
//!
//! Rules `name ::= …`, of which `root` is the whole text; literals `"…"`, classes `[a-z]` and `[^a-z]`, `.` for any
//! character, groups, alternatives, `* + ?`, `{m}`, `{m,}`, `{m,n}`, comments from `#` on. A rule ends with its line,
//! but within parentheses and behind `::=` and `|` line breaks are blanks. Escapes `\n \t \r \\ \" \[ \] \- \^`,
//! and `\x..`, `\u....`, `\U........` for code points (llama.cpp, `grammars/README.md`). Its marks for single tokens,
//! `<…>`, are not known here.

use std::collections::HashMap;

use super::GrammarError;
use super::draft::{Draft, Element, ElementId, MAX_NESTING, Place, RuleId};
use super::utf8;

/// Bytes of a grammar at most.
const MAX_BYTES: usize = 1 << 20;

/// The rules of a text, and which of them is `root`.
pub(super) fn parse(text: &str) -> Result<(Draft, RuleId), GrammarError> {
    if text.len() > MAX_BYTES {
        return Err(GrammarError::TooLarge {
            place: Place::Text { line: 1, column: 1 },
            what: "bytes",
            limit: MAX_BYTES,
        });
    }
    let mut parser = Parser {
        rest: text,
        line: 1,
        column: 1,
        draft: Draft::default(),
        names: HashMap::new(),
        n_groups: 0,
    };
    parser.blanks(Breaks::AreBlank);
    while !parser.rest.is_empty() {
        parser.rule()?;
        parser.blanks(Breaks::AreBlank);
    }
    parser.finish()
}

/// What line breaks are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Breaks {
    AreBlank,
    EndTheRule,
}

struct Parser<'t> {
    rest: &'t str,
    line: u32,
    column: u32,
    draft: Draft,
    names: HashMap<&'t str, RuleId>,
    /// Groups around what is read.
    n_groups: u16,
}

type Parsed<T> = Result<T, GrammarError>;

impl<'t> Parser<'t> {
    fn finish(self) -> Parsed<(Draft, RuleId)> {
        let Some(&root) = self.names.get("root") else {
            return Err(GrammarError::NoRoot);
        };
        let mut rules = (0..).zip(&self.draft.rules);
        if let Some((rule, _)) = rules.find(|(_, rule)| rule.body.is_none()) {
            let (name, place) = self.draft.name(rule);
            return Err(GrammarError::UndefinedRule { place, name });
        }
        Ok((self.draft, root))
    }

    /// `name ::= alternatives`, to the end of the line.
    fn rule(&mut self) -> Parsed<()> {
        let place = self.place();
        let Some(name) = self.name() else {
            return self.expected("the name of a rule");
        };
        self.blanks(Breaks::EndTheRule);
        if !self.takes("::=") {
            return self.expected("`::=`");
        }
        let id = self.named(name, place.clone())?;
        if self.draft.rules[id as usize].body.is_some() {
            let name = name.to_owned();
            return Err(GrammarError::RuleTwice { place, name });
        }
        self.draft.set_place(id, place);
        self.blanks(Breaks::AreBlank);
        let body = self.alternatives(Breaks::EndTheRule)?;
        self.draft.rules[id as usize].body = Some(body);
        match self.peek() {
            None | Some('\n' | '\r') => Ok(()),
            _ => self.expected("something to read, `|` or the end of the line"),
        }
    }

    fn name(&mut self) -> Option<&'t str> {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let text = self.rest;
        let n = text.find(|c| !is_of_name(c)).unwrap_or(text.len());
        (0..n).for_each(|_| _ = self.next());
        (n > 0).then(|| &text[..n])
    }

    /// The rule of that name, which may come later.
    fn named(&mut self, name: &'t str, place: Place) -> Parsed<RuleId> {
        if let Some(id) = self.names.get(name) {
            return Ok(*id);
        }
        let added = self.draft.add_rule(name.to_owned(), place.clone());
        let id = added.map_err(|excess| GrammarError::too_large(place, excess))?;
        self.names.insert(name, id);
        Ok(id)
    }

    fn alternatives(&mut self, breaks: Breaks) -> Parsed<ElementId> {
        let mut all = vec![self.sequence(breaks)?];
        while self.takes("|") {
            self.blanks(Breaks::AreBlank);
            all.push(self.sequence(breaks)?);
        }
        match all[..] {
            [one] => Ok(one),
            _ => self.add(Element::Any(all)),
        }
    }

    fn sequence(&mut self, breaks: Breaks) -> Parsed<ElementId> {
        let mut parts = Vec::new();
        self.blanks(breaks);
        while let Some(part) = self.part(breaks)? {
            parts.push(self.repeated(part, breaks)?);
        }
        match parts[..] {
            [one] => Ok(one),
            _ => self.add(Element::Sequence(parts)),
        }
    }

    /// What may be repeated, and the blanks behind it; none where the sequence ends.
    fn part(&mut self, breaks: Breaks) -> Parsed<Option<ElementId>> {
        let place = self.place();
        let element = match self.peek() {
            Some('"') => self.literal()?,
            Some('[') => self.class()?,
            Some('.') => {
                self.next();
                Element::Chars(vec![(0, utf8::LAST)])
            }
            Some('(') => {
                let group = self.group()?;
                self.blanks(breaks);
                return Ok(Some(group));
            }
            _ => match self.name() {
                Some(name) => Element::Rule(self.named(name, place)?),
                None => return Ok(None),
            },
        };
        let element = self.add(element)?;
        self.blanks(breaks);
        Ok(Some(element))
    }

    fn group(&mut self) -> Parsed<ElementId> {
        self.next();
        self.n_groups += 1;
        if self.n_groups > MAX_NESTING {
            return Err(GrammarError::TooLarge {
                place: self.place(),
                what: "elements within one another",
                limit: usize::from(MAX_NESTING),
            });
        }
        let group = self.alternatives(Breaks::AreBlank)?;
        self.n_groups -= 1;
        match self.takes(")") {
            true => Ok(group),
            false => self.expected("something to read, `|` or `)`"),
        }
    }

    /// `part` with the repetitions behind it.
    fn repeated(&mut self, part: ElementId, breaks: Breaks) -> Parsed<ElementId> {
        let mut of = part;
        loop {
            let (least, most) = match self.peek() {
                Some('*') => (0, None),
                Some('+') => (1, None),
                Some('?') => (0, Some(1)),
                Some('{') => self.counts()?,
                _ => return Ok(of),
            };
            self.next();
            of = self.add(Element::Repeat { of, least, most })?;
            self.blanks(breaks);
        }
    }

    /// `{m}`, `{m,}` or `{m,n}` up to the closing brace.
    fn counts(&mut self) -> Parsed<(u32, Option<u32>)> {
        let place = self.place();
        self.next();
        let least = self.count("how often at least")?;
        let comma = self.takes(",");
        self.blanks(Breaks::EndTheRule);
        let most = match (comma, self.peek()) {
            (false, _) => Some(least),
            (true, Some('}')) => None,
            (true, _) => Some(self.count("how often at most, or `}`")?),
        };
        if self.peek() != Some('}') {
            return self.expected("`}`");
        }
        if let Some(most) = most.filter(|most| *most < least) {
            return Err(GrammarError::Syntax {
                place,
                expected: "how often at least, then not less often at most",
                found: format!("`{{{least},{most}}}`"),
            });
        }
        Ok((least, most))
    }

    fn count(&mut self, what: &'static str) -> Parsed<u32> {
        self.blanks(Breaks::EndTheRule);
        let mut count: Option<u32> = None;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
            self.next();
            let past = count.unwrap_or(0);
            // Any such number is refused where it is used.
            count = Some(past.saturating_mul(10).saturating_add(digit));
        }
        self.blanks(Breaks::EndTheRule);
        match count {
            Some(count) => Ok(count),
            None => self.expected(what),
        }
    }

    fn literal(&mut self) -> Parsed<Element> {
        self.next();
        let mut text = String::new();
        loop {
            match self.peek() {
                Some('"') => break,
                None | Some('\n') => return self.expected("`\"` at the end of the literal"),
                _ => text.push(self.char()?),
            }
        }
        self.next();
        Ok(Element::Bytes(text.into_bytes()))
    }

    fn class(&mut self) -> Parsed<Element> {
        let place = self.place();
        self.next();
        let is_negated = self.takes("^");
        let mut ranges = Vec::new();
        loop {
            match self.peek() {
                Some(']') if !ranges.is_empty() => break,
                Some(']') => return self.expected("a character of the class"),
                None | Some('\n') => return self.expected("`]` at the end of the class"),
                _ => ranges.push(self.range()?),
            }
        }
        self.next();
        utf8::normalise(&mut ranges);
        if is_negated {
            ranges = utf8::all_but(&ranges);
        }
        if utf8::encodings(&ranges).is_empty() {
            let (expected, found) = ("a class that some character is in", "`[^…]`".to_owned());
            return Err(GrammarError::Syntax {
                place,
                expected,
                found,
            });
        }
        Ok(Element::Chars(ranges))
    }

    /// A character, or the ends of a range.
    fn range(&mut self) -> Parsed<(u32, u32)> {
        let place = self.place();
        let first = self.char()?;
        let is_range = self.rest.starts_with('-') && !self.rest.starts_with("-]");
        if !is_range {
            return Ok((first as u32, first as u32));
        }
        self.next();
        if let None | Some('\n') = self.peek() {
            return self.expected("the last character of the range");
        }
        let last = self.char()?;
        if last < first {
            let expected = "a range from the lower to the higher character";
            let found = format!("`{}-{}`", first.escape_debug(), last.escape_debug());
            return Err(GrammarError::Syntax {
                place,
                expected,
                found,
            });
        }
        Ok((first as u32, last as u32))
    }

    /// A character, escaped or not; there is one.
    fn char(&mut self) -> Parsed<char> {
        let place = self.place();
        let before = self.rest;
        let c = self.next().unwrap_or_default();
        if c != '\\' {
            return Ok(c);
        }
        let escape = self.next();
        let code = match escape {
            Some('n') => Some('\n'),
            Some('t') => Some('\t'),
            Some('r') => Some('\r'),
            Some(c @ ('\\' | '"' | '[' | ']' | '-' | '^')) => Some(c),
            Some('x') => self.code(2),
            Some('u') => self.code(4),
            Some('U') => self.code(8),
            _ => None,
        };
        code.ok_or_else(|| {
            let n_bytes = before.len() - self.rest.len();
            let found = format!("`{}`", before[..n_bytes].escape_debug());
            GrammarError::Syntax {
                place,
                expected: r#"a character or one of the escapes \n \t \r \\ \" \[ \] \- \^ \x.. \u.... \U........"#,
                found,
            }
        })
    }

    /// The character whose code point has these many hexadecimal digits.
    fn code(&mut self, n_digits: usize) -> Option<char> {
        let mut code = 0u32;
        for _ in 0..n_digits {
            let digit = self.peek()?.to_digit(16)?;
            self.next();
            code = code << 4 | digit;
        }
        char::from_u32(code)
    }

    /// Passes over blanks and comments.
    fn blanks(&mut self, breaks: Breaks) {
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' => {}
                '\n' | '\r' if breaks == Breaks::AreBlank => {}
                '#' => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.next();
                    }
                    continue;
                }
                _ => return,
            }
            self.next();
        }
    }

    fn takes(&mut self, text: &str) -> bool {
        let is_there = self.rest.starts_with(text);
        if is_there {
            text.chars().for_each(|_| _ = self.next());
        }
        is_there
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn place(&self) -> Place {
        let (line, column) = (self.line, self.column);
        Place::Text { line, column }
    }

    fn add(&mut self, element: Element) -> Parsed<ElementId> {
        let added = self.draft.add(element);
        added.map_err(|excess| GrammarError::too_large(self.place(), excess))
    }

    fn expected<T>(&self, expected: &'static str) -> Parsed<T> {
        let found = match self.peek() {
            None => "the end".to_owned(),
            Some('\n' | '\r') => "a line break".to_owned(),
            Some(c) => format!("`{}`", c.escape_debug()),
        };
        Err(GrammarError::Syntax {
            place: self.place(),
            expected,
            found,
        })
    }
}

/// A literal that reads exactly `text`, whatever characters it is of.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\x{:02X}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
