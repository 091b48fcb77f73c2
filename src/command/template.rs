//! The template language: what a command's sentences are written in.
//!
//! Home Assistant's syntax (developers.home-assistant.io, "Template sentence syntax"):
//! `word`, `[optional]`, `(one|other)`, `(any;order)`, `{list}`, `{list:slot}`, `<rule>`, the
//! number range `{0..100:slot}` and free words `{slot*}`. Brackets may stand inside words:
//! `light[s]`. A backslash makes the next character ordinary.
//!
//! Enters: one template. Leaves: a [`Node`]; nothing is looked up or expanded here.

use thiserror::Error;

/// Longest template, in characters.
pub const MAX_CHARS: usize = 10_000;
/// Deepest nesting of brackets.
pub const MAX_DEPTH: usize = 40;

/// A parsed template, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// Text as written, with its spaces: what stands next to it without one belongs to its word.
    Text(String),
    /// One after the other.
    Sequence(Vec<Node>),
    /// One of them.
    Choice(Vec<Node>),
    /// Present or absent.
    Optional(Box<Node>),
    /// All of them, in any order.
    Permutation(Vec<Node>),
    /// A value of a list.
    List {
        /// Name of the list.
        list: String,
        /// Slot that takes the value.
        slot: String,
        /// Where it stands, in characters from 1.
        column: usize,
    },
    /// A whole number, spoken or in digits.
    Range {
        /// Smallest value.
        from: i64,
        /// Largest value.
        to: i64,
        /// Slot that takes the value.
        slot: String,
    },
    /// One or more words of any kind.
    Free {
        /// Slot that takes them.
        slot: String,
        /// Where it stands, in characters from 1.
        column: usize,
    },
    /// What a rule stands for.
    Rule {
        /// Name of the rule.
        rule: String,
        /// Where it stands, in characters from 1.
        column: usize,
    },
}

/// What is wrong with a template, and where.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{cause} at column {column}; {}", cause.proposal())]
pub struct TemplateError {
    /// The place, in characters from 1.
    pub column: usize,
    /// What is wrong there.
    pub cause: TemplateCause,
}

/// The mistakes a template can contain.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum TemplateCause {
    /// A bracket that is never closed.
    #[error("`{0}` is not closed")]
    Unclosed(char),
    /// A bracket that was never opened.
    #[error("`{0}` closes nothing")]
    Unopened(char),
    /// `|` and `;` in one pair of brackets.
    #[error("`|` and `;` are mixed")]
    MixedSeparators,
    /// `|` or `;` outside of brackets.
    #[error("`{0}` stands outside of brackets")]
    BareSeparator(char),
    /// `{}` or `<>`, or a character no name has.
    #[error("`{0}` is no name")]
    BadName(String),
    /// A range whose ends are no numbers, are swapped, or that has no slot.
    #[error("`{0}` is no number range")]
    BadRange(String),
    /// Nested too deeply.
    #[error("brackets are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// Too long.
    #[error("the template has more than {MAX_CHARS} characters")]
    TooLong,
}

impl TemplateCause {
    /// What the author may do about it.
    fn proposal(&self) -> String {
        match self {
            TemplateCause::Unclosed(open) => {
                format!(
                    "add `{}`, or write `\\{open}` for the character itself",
                    closing(*open)
                )
            }
            TemplateCause::Unopened(c) => {
                format!("remove it, or write `\\{c}` for the character itself")
            }
            TemplateCause::MixedSeparators => {
                "put one of them in brackets of its own: `((a|b);c)`".to_owned()
            }
            TemplateCause::BareSeparator(c) => format!("put the parts in brackets: `(a{c}b)`"),
            TemplateCause::BadName(_) => {
                "names have letters, digits, `_`, `-` and `.`: `{room}`, `{room:place}`, `{text*}`, \
                 `<verb>`"
                    .to_owned()
            }
            TemplateCause::BadRange(_) => {
                "write two whole numbers and a slot: `{0..100:level}`".to_owned()
            }
            TemplateCause::TooDeep => "move the inner part to a rule: `<name>`".to_owned(),
            TemplateCause::TooLong => "split it into several sentences".to_owned(),
        }
    }
}

fn closing(open: char) -> char {
    match open {
        '(' => ')',
        '[' => ']',
        '{' => '}',
        _ => '>',
    }
}

/// Parses a template.
pub fn parse(template: &str) -> Result<Node, TemplateError> {
    let chars: Vec<char> = template.chars().collect();
    if chars.len() > MAX_CHARS {
        return Err(TemplateError {
            column: MAX_CHARS,
            cause: TemplateCause::TooLong,
        });
    }
    let mut parser = Parser {
        chars: &chars,
        at: 0,
    };
    let node = parser.sequence(0)?;
    match parser.peek() {
        None => Ok(node),
        Some(c @ ('|' | ';')) => Err(parser.error(TemplateCause::BareSeparator(c))),
        Some(c) => Err(parser.error(TemplateCause::Unopened(c))),
    }
}

struct Parser<'a> {
    chars: &'a [char],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    /// An error at the current character.
    fn error(&self, cause: TemplateCause) -> TemplateError {
        TemplateError {
            column: self.at + 1,
            cause,
        }
    }

    /// Everything up to a separator, a closing bracket or the end.
    fn sequence(&mut self, depth: usize) -> Result<Node, TemplateError> {
        let mut parts = Vec::new();
        let mut text = String::new();
        while let Some(c) = self.peek() {
            if matches!(c, '|' | ';' | ')' | ']' | '}' | '>') {
                break;
            }
            if matches!(c, '(' | '[' | '{' | '<') {
                if !text.is_empty() {
                    parts.push(Node::Text(std::mem::take(&mut text)));
                }
                parts.push(self.bracket(c, depth)?);
                continue;
            }
            self.at += 1;
            match (c, self.peek()) {
                ('\\', Some(escaped)) => {
                    text.push(escaped);
                    self.at += 1;
                }
                _ => text.push(c),
            }
        }
        if !text.is_empty() {
            parts.push(Node::Text(text));
        }
        Ok(match parts.len() {
            1 => parts.swap_remove(0),
            _ => Node::Sequence(parts),
        })
    }

    fn bracket(&mut self, open: char, depth: usize) -> Result<Node, TemplateError> {
        if depth >= MAX_DEPTH {
            return Err(self.error(TemplateCause::TooDeep));
        }
        match open {
            '(' => self.group(open, depth),
            '[' => Ok(Node::Optional(Box::new(self.group(open, depth)?))),
            _ => self.reference(open),
        }
    }

    /// `(…)` or the inside of `[…]`.
    fn group(&mut self, open: char, depth: usize) -> Result<Node, TemplateError> {
        let opened_at = self.at;
        self.at += 1;
        let mut parts = vec![self.sequence(depth + 1)?];
        let mut separator = None;
        loop {
            match self.peek() {
                Some(c @ ('|' | ';')) => {
                    if separator.is_some_and(|s| s != c) {
                        return Err(self.error(TemplateCause::MixedSeparators));
                    }
                    separator = Some(c);
                    self.at += 1;
                    parts.push(self.sequence(depth + 1)?);
                }
                Some(c) if c == closing(open) => {
                    self.at += 1;
                    break;
                }
                Some(c) => return Err(self.error(TemplateCause::Unopened(c))),
                None => {
                    let cause = TemplateCause::Unclosed(open);
                    return Err(TemplateError {
                        column: opened_at + 1,
                        cause,
                    });
                }
            }
        }
        Ok(match separator {
            Some('|') => Node::Choice(parts),
            Some(_) => Node::Permutation(parts),
            None => parts.swap_remove(0),
        })
    }

    /// `{…}` or `<…>`.
    fn reference(&mut self, open: char) -> Result<Node, TemplateError> {
        let opened_at = self.at;
        let column = opened_at + 1;
        let fail = |cause| Err(TemplateError { column, cause });
        let close = closing(open);
        let Some(length) = self.chars[opened_at..].iter().position(|c| *c == close) else {
            return fail(TemplateCause::Unclosed(open));
        };
        let inside: String = self.chars[opened_at + 1..opened_at + length]
            .iter()
            .collect();
        self.at = opened_at + length + 1;
        if open == '<' {
            return match is_name(&inside) {
                true => Ok(Node::Rule {
                    rule: inside,
                    column,
                }),
                false => fail(TemplateCause::BadName(inside)),
            };
        }
        if let Some(slot) = inside.strip_suffix('*').filter(|slot| is_name(slot)) {
            let slot = slot.to_owned();
            return Ok(Node::Free { slot, column });
        }
        let (list, slot) = inside.split_once(':').unwrap_or((&inside, &inside));
        if list.contains("..") {
            return match range(list, slot) {
                Some(node) => Ok(node),
                None => fail(TemplateCause::BadRange(inside)),
            };
        }
        match is_name(list) && is_name(slot) {
            true => Ok(Node::List {
                list: list.to_owned(),
                slot: slot.to_owned(),
                column,
            }),
            false => fail(TemplateCause::BadName(inside)),
        }
    }
}

fn range(ends: &str, slot: &str) -> Option<Node> {
    let (from, to) = ends.split_once("..")?;
    let (from, to) = (bound(from)?, bound(to)?);
    (from <= to && is_name(slot) && slot != ends).then(|| Node::Range {
        from,
        to,
        slot: slot.to_owned(),
    })
}

fn bound(text: &str) -> Option<i64> {
    text.trim().parse::<i32>().ok().map(i64::from)
}

/// Whether `text` can name a list, slot, rule or command.
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.contains("..")
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn text(t: &str) -> Node {
        Node::Text(t.to_owned())
    }

    fn cause(template: &str) -> (usize, TemplateCause) {
        let error = parse(template).unwrap_err();
        (error.column, error.cause)
    }

    #[test]
    fn every_construct_parses() {
        let node = parse("turn (on|off) [the] {room:place} <light>").unwrap();
        let Node::Sequence(parts) = node else {
            panic!("{node:?}")
        };
        assert_eq!(parts[1], Node::Choice(vec![text("on"), text("off")]));
        assert_eq!(parts[3], Node::Optional(Box::new(text("the"))));
        let list = Node::List {
            list: "room".into(),
            slot: "place".into(),
            column: 21,
        };
        assert_eq!(parts[5], list);
        assert_eq!(
            parts[7],
            Node::Rule {
                rule: "light".into(),
                column: 34
            }
        );
    }

    #[test]
    fn permutation_range_and_escape() {
        assert_eq!(
            parse("(a;b)").unwrap(),
            Node::Permutation(vec![text("a"), text("b")])
        );
        let range = Node::Range {
            from: -5,
            to: 100,
            slot: "level".into(),
        };
        assert_eq!(parse("{-5..100:level}").unwrap(), range);
        assert_eq!(parse(r"a\[b").unwrap(), text("a[b"));
    }

    #[test]
    fn free_words_have_a_star() {
        let free = Node::Free {
            slot: "item".into(),
            column: 5,
        };
        let parts = vec![text("add "), free, text(" now")];
        assert_eq!(parse("add {item*} now").unwrap(), Node::Sequence(parts));
        assert_eq!(cause("{*}"), (1, TemplateCause::BadName("*".into())));
        assert_eq!(cause("{a:b*}"), (1, TemplateCause::BadName("a:b*".into())));
    }

    #[test]
    fn brackets_inside_words_keep_their_text() {
        let parts = vec![
            text("light"),
            Node::Optional(Box::new(text("s"))),
            text(" on"),
        ];
        assert_eq!(parse("light[s] on").unwrap(), Node::Sequence(parts));
    }

    #[test]
    fn mistakes_have_a_place() {
        assert_eq!(cause("turn (on|off"), (6, TemplateCause::Unclosed('(')));
        assert_eq!(cause("turn on)"), (8, TemplateCause::Unopened(')')));
        assert_eq!(cause("(a]"), (3, TemplateCause::Unopened(']')));
        assert_eq!(cause("(a|b;c)"), (5, TemplateCause::MixedSeparators));
        assert_eq!(cause("a|b"), (2, TemplateCause::BareSeparator('|')));
        assert_eq!(cause("in {}"), (4, TemplateCause::BadName(String::new())));
        assert_eq!(
            cause("{9..1:n}"),
            (1, TemplateCause::BadRange("9..1:n".into()))
        );
        assert_eq!(
            cause("{0..100}"),
            (1, TemplateCause::BadRange("0..100".into()))
        );
        assert_eq!(cause("<rule"), (1, TemplateCause::Unclosed('<')));
    }

    #[test]
    fn messages_propose_something() {
        let message = parse("turn [on").unwrap_err().to_string();
        assert_eq!(
            message,
            "`[` is not closed at column 6; add `]`, or write `\\[` for the character itself"
        );
    }

    #[test]
    fn size_is_bounded() {
        assert_eq!(
            parse(&"[".repeat(5_000)).unwrap_err().cause,
            TemplateCause::TooDeep
        );
        assert_eq!(
            parse(&"a".repeat(20_000)).unwrap_err().cause,
            TemplateCause::TooLong
        );
    }
}
