//! A grammar as it is written down: rules of literals, classes, sequences, alternatives and repetitions.
//!
//! Both notations lead here, and from here on they are alike. Elements lie in one list and name each other by
//! number, each the part of one other at most, and their number, their size and how deep they nest are bounded: the
//! later steps need neither care nor much stack.

use std::collections::HashMap;

/// An element, by its number.
pub(super) type ElementId = u32;

/// A rule, by its number.
pub(super) type RuleId = u32;

/// Elements, and characters and ranges of characters in them, at most.
pub(super) const MAX_SIZE: usize = 200_000;

/// How many elements may be within one another.
pub(super) const MAX_NESTING: u16 = 100;

/// How often at most something may be repeated if that is counted.
pub(super) const MAX_REPEATS: u32 = 100_000;

/// A part of a rule.
#[derive(Clone, Debug)]
pub(super) enum Element {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A character out of ranges of code points, which are in order and do not touch; some character is in them.
    Chars(Vec<(u32, u32)>),
    /// What a rule says.
    Rule(RuleId),
    /// One after the other; of none, nothing.
    Sequence(Vec<ElementId>),
    /// One of these.
    Any(Vec<ElementId>),
    /// Again and again.
    Repeat {
        of: ElementId,
        least: u32,
        most: Option<u32>,
    },
}

/// Where in its source something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a text; both count from 1.
    Text {
        /// Line.
        line: u32,
        /// Character of the line.
        column: u32,
    },
    /// In a JSON value: the pointer to it, from `#` on.
    Pointer(String),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Text { line, column } => write!(f, "line {line}, column {column}"),
            Place::Pointer(pointer) => f.write_str(pointer),
        }
    }
}

/// A bound that a grammar goes beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Excess {
    /// What there is too much of.
    pub(super) what: &'static str,
    /// How much is allowed.
    pub(super) limit: usize,
}

/// Something with a name, or a part of it.
#[derive(Debug)]
pub(super) struct Rule {
    /// The rule with a name that it is, or is a part of.
    pub(super) owner: RuleId,
    /// None until it is defined.
    pub(super) body: Option<ElementId>,
}

/// What a rule is called, and where it stands.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) name: String,
    pub(super) place: Place,
}

/// The rules of a grammar.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) elements: Vec<Element>,
    /// Of each element.
    nesting: Vec<u16>,
    pub(super) rules: Vec<Rule>,
    /// Of the rules that have names.
    names: HashMap<RuleId, Name>,
    size: usize,
}

impl Draft {
    /// Adds an element whose parts are there already.
    pub(super) fn add(&mut self, element: Element) -> Result<ElementId, Excess> {
        let (size, parts): (usize, &[ElementId]) = match &element {
            Element::Bytes(bytes) => (bytes.len(), &[]),
            Element::Chars(ranges) => (ranges.len(), &[]),
            Element::Rule(_) => (0, &[]),
            Element::Sequence(parts) | Element::Any(parts) => (parts.len(), parts),
            Element::Repeat { of, .. } => (0, std::slice::from_ref(of)),
        };
        self.grow(size + 1)?;
        if let Element::Repeat { least, most, .. } = &element
            && most.unwrap_or(*least) > MAX_REPEATS
        {
            let (what, limit) = ("repetitions", MAX_REPEATS as usize);
            return Err(Excess { what, limit });
        }
        let nesting = parts.iter().map(|part| self.nesting[*part as usize]);
        let nesting = nesting.max().map_or(0, |deepest| deepest + 1);
        if nesting > MAX_NESTING {
            let (what, limit) = ("elements within one another", usize::from(MAX_NESTING));
            return Err(Excess { what, limit });
        }
        self.elements.push(element);
        self.nesting.push(nesting);
        Ok(self.elements.len() as ElementId - 1)
    }

    /// Adds a rule without a body.
    pub(super) fn add_rule(&mut self, name: String, place: Place) -> Result<RuleId, Excess> {
        let id = self.add_part(self.rules.len() as RuleId)?;
        self.names.insert(id, Name { name, place });
        Ok(id)
    }

    /// Adds a rule that is a part of another one and without a body.
    pub(super) fn add_part(&mut self, owner: RuleId) -> Result<RuleId, Excess> {
        self.grow(1)?;
        self.rules.push(Rule { owner, body: None });
        Ok(self.rules.len() as RuleId - 1)
    }

    /// What a rule is called, or the one that it is a part of.
    pub(super) fn name(&self, rule: RuleId) -> (String, Place) {
        let owner = self.rules[rule as usize].owner;
        let name = &self.names[&owner];
        (name.name.clone(), name.place.clone())
    }

    /// Tells where a rule stands that has a name.
    pub(super) fn set_place(&mut self, rule: RuleId, place: Place) {
        if let Some(name) = self.names.get_mut(&rule) {
            name.place = place;
        }
    }

    fn grow(&mut self, n: usize) -> Result<(), Excess> {
        self.size = self.size.saturating_add(n);
        if self.size <= MAX_SIZE {
            return Ok(());
        }
        let (what, limit) = ("elements and characters", MAX_SIZE);
        Err(Excess { what, limit })
    }

    /// Of each element, whether it can be read as nothing.
    pub(super) fn nullable(&self) -> Vec<bool> {
        self.holding(|element| matches!(element, Element::Bytes(bytes) if bytes.is_empty()))
    }

    /// Of each element, whether some text can be read as it to its end.
    pub(super) fn ending(&self) -> Vec<bool> {
        self.holding(|element| matches!(element, Element::Bytes(_) | Element::Chars(_)))
    }

    /// The elements for which something holds that holds for those at the very bottom for which `at_bottom` does,
    /// for sequences of which it holds for all parts, for alternatives of which it holds for one, for repetitions of
    /// what it holds for and those that may be left out. In linear time: each element is told of once.
    fn holding(&self, at_bottom: impl Fn(&Element) -> bool) -> Vec<bool> {
        let n = self.elements.len();
        let mut missing = vec![1; n];
        // Those of which an element is a part, and those that name the rule whose body it is.
        let mut part_of: Vec<Option<ElementId>> = vec![None; n];
        let mut named_by: Vec<Vec<ElementId>> = vec![Vec::new(); self.rules.len()];
        let mut known = Vec::new();
        for (id, element) in (0..).zip(&self.elements) {
            match element {
                Element::Sequence(parts) | Element::Any(parts) => {
                    parts
                        .iter()
                        .for_each(|part| part_of[*part as usize] = Some(id));
                    if matches!(element, Element::Sequence(_)) {
                        missing[id as usize] = parts.len();
                    }
                }
                Element::Repeat { of, .. } => part_of[*of as usize] = Some(id),
                Element::Rule(rule) => named_by[*rule as usize].push(id),
                Element::Bytes(_) | Element::Chars(_) => {}
            }
            let is_optional = matches!(element, Element::Repeat { least: 0, .. });
            if is_optional || missing[id as usize] == 0 || at_bottom(element) {
                known.push(id);
            }
        }
        let mut body_of: Vec<Option<RuleId>> = vec![None; n];
        for (id, rule) in (0..).zip(&self.rules) {
            if let Some(body) = rule.body {
                body_of[body as usize] = Some(id);
            }
        }
        let mut holds = vec![false; n];
        while let Some(id) = known.pop() {
            if std::mem::replace(&mut holds[id as usize], true) {
                continue;
            }
            let names = body_of[id as usize].map_or(&[][..], |rule| &named_by[rule as usize]);
            for &above in part_of[id as usize].iter().chain(names) {
                let missing = &mut missing[above as usize];
                *missing = missing.saturating_sub(1);
                if *missing == 0 {
                    known.push(above);
                }
            }
        }
        holds
    }
}
