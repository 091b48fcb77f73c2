//! From rules to points: what may be read next at each place of a grammar, as bytes and calls of rules.
//!
//! A point stands between two elements of a rule. From it lead edges that read a byte and edges that read what
//! another rule says; a point may also be an end of its rule. Edges that read nothing are gone once this is done: what
//! could be reached by them is told of the point itself. No rule begins with itself, not even behind others that can
//! be read as nothing, and rules are numbered so that each begins with later ones only.

use std::collections::HashMap;

use super::GrammarError;
use super::draft::{Draft, Element, ElementId, Excess, Place, Rule, RuleId};
use super::utf8;

/// Points and edges of a grammar at most, before and after those that read nothing are taken out.
const MAX_PARTS: usize = 1 << 20;

/// The point at the end of every rule.
pub(super) const END: u32 = 0;

/// The points of a grammar.
#[derive(Debug)]
pub(super) struct Points {
    /// By point.
    points: Vec<Point>,
    reads: Vec<Read>,
    calls: Vec<Call>,
    /// The first point of each rule.
    starts: Vec<u32>,
    /// The rule that all begins with.
    pub(super) root: RuleId,
    /// Bytes between which no edge makes a difference have one class.
    pub(super) classes: Box<[u8; 256]>,
    /// A byte of each class.
    pub(super) examples: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    /// Of `reads`; up to the next point's.
    reads: u32,
    /// Of `calls`; up to the next point's.
    calls: u32,
    ends: bool,
}

/// Reads a byte from `first` to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Read {
    pub(super) first: u8,
    pub(super) last: u8,
    pub(super) to: u32,
}

/// Reads what a rule says, but not nothing: that leads on without a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Call {
    pub(super) rule: RuleId,
    pub(super) to: u32,
}

impl Points {
    /// The edges of a point that read a byte.
    pub(super) fn reads(&self, point: u32) -> &[Read] {
        let [at, next] = self.of(point);
        &self.reads[at.reads as usize..next.reads as usize]
    }

    /// The edges of a point that call.
    pub(super) fn calls(&self, point: u32) -> &[Call] {
        let [at, next] = self.of(point);
        &self.calls[at.calls as usize..next.calls as usize]
    }

    /// Whether the rule may end at a point.
    pub(super) fn ends(&self, point: u32) -> bool {
        self.points[point as usize].ends
    }

    /// The first point of a rule.
    pub(super) fn start(&self, rule: RuleId) -> u32 {
        self.starts[rule as usize]
    }

    fn of(&self, point: u32) -> [Point; 2] {
        [self.points[point as usize], self.points[point as usize + 1]]
    }

    /// Memory held.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.points[..]) + size_of_val(&self.reads[..]) + size_of_val(&self.calls[..])
    }
}

/// The points of a draft whose rules all have bodies.
pub(super) fn compile(draft: &Draft, root: RuleId) -> Result<Points, GrammarError> {
    let ending = draft.ending();
    for (id, rule) in (0..).zip(&draft.rules) {
        if rule.body.is_some_and(|body| !ending[body as usize]) {
            let (name, place) = draft.name(id);
            return Err(GrammarError::Endless { place, name });
        }
    }
    let mut raw = Raw::new(draft);
    while raw.n_compiled < raw.rules.len() {
        raw.rule(raw.n_compiled)?;
        raw.n_compiled += 1;
    }
    let order = Order::of(&raw)?;
    let mut flat = Flat::new(&raw, order)?;
    flat.points.root = flat.order.rank[root as usize];
    Ok(flat.finish())
}

#[derive(Clone, Copy)]
enum Edge {
    Read(u8, u8, u32),
    Call(Call),
    /// A call that may not be left out, even if the rule may be read as nothing.
    CallForSome(Call),
    Nothing(u32),
}

/// What a repetition repeats.
#[derive(Clone, Copy)]
enum Body {
    Inline(ElementId),
    Call(RuleId),
}

/// The rule that a part of the grammar belongs to.
struct RawRule {
    body: ElementId,
    /// The rule of the draft that it is, or is a part of.
    owner: RuleId,
    start: u32,
}

/// Points with edges that read nothing.
struct Raw<'d> {
    draft: &'d Draft,
    nullable: Vec<bool>,
    points: Vec<Vec<Edge>>,
    n_edges: usize,
    rules: Vec<RawRule>,
    n_compiled: usize,
}

impl<'d> Raw<'d> {
    fn new(draft: &'d Draft) -> Self {
        let rule = |rule: &Rule| RawRule {
            body: rule.body.unwrap_or_default(),
            owner: rule.owner,
            start: END,
        };
        Raw {
            draft,
            nullable: draft.nullable(),
            points: vec![Vec::new()],
            n_edges: 0,
            rules: draft.rules.iter().map(rule).collect(),
            n_compiled: 0,
        }
    }

    fn place(&self, rule: usize) -> Place {
        self.draft.name(self.rules[rule].owner).1
    }

    fn rule(&mut self, rule: usize) -> Result<(), GrammarError> {
        let start = self.point();
        self.rules[rule].start = start;
        let done = self.element(self.rules[rule].body, start, END);
        done.map_err(|excess| GrammarError::too_large(self.place(rule), excess))
    }

    fn point(&mut self) -> u32 {
        self.points.push(Vec::new());
        self.points.len() as u32 - 1
    }

    fn edge(&mut self, from: u32, edge: Edge) -> Result<(), Excess> {
        self.n_edges += 1;
        if self.n_edges + self.points.len() > MAX_PARTS {
            return Err(EXCESS);
        }
        self.points[from as usize].push(edge);
        Ok(())
    }

    /// Lays an element between two points. Edges come from the first one and go to the second, never the other way.
    fn element(&mut self, element: ElementId, from: u32, to: u32) -> Result<(), Excess> {
        let draft = self.draft;
        match &draft.elements[element as usize] {
            Element::Bytes(bytes) => {
                let ranges = bytes.iter().map(|byte| (*byte, *byte));
                self.string(ranges, from, to)
            }
            Element::Chars(ranges) => self.chars(ranges, from, to),
            Element::Rule(rule) => self.edge(from, Edge::Call(Call { rule: *rule, to })),
            Element::Sequence(parts) => {
                let mut at = from;
                for (i, part) in parts.iter().enumerate() {
                    let is_last = i + 1 == parts.len();
                    let next = if is_last { to } else { self.point() };
                    self.element(*part, at, next)?;
                    at = next;
                }
                match parts.is_empty() {
                    true => self.edge(from, Edge::Nothing(to)),
                    false => Ok(()),
                }
            }
            Element::Any(parts) => {
                let mut parts = parts.iter();
                parts.try_for_each(|part| self.element(*part, from, to))
            }
            Element::Repeat { of, least, most } => self.repeat(*of, (*least, *most), from, to),
        }
    }

    fn string(
        &mut self,
        ranges: impl ExactSizeIterator<Item = (u8, u8)>,
        from: u32,
        to: u32,
    ) -> Result<(), Excess> {
        let n = ranges.len();
        if n == 0 {
            return self.edge(from, Edge::Nothing(to));
        }
        let mut at = from;
        for (i, (first, last)) in ranges.enumerate() {
            let next = if i + 1 == n { to } else { self.point() };
            self.edge(at, Edge::Read(first, last, next))?;
            at = next;
        }
        Ok(())
    }

    /// A class of characters: encodings that end alike share their ends.
    fn chars(&mut self, ranges: &[(u32, u32)], from: u32, to: u32) -> Result<(), Excess> {
        let mut before: HashMap<Vec<(u8, u8)>, u32> = HashMap::new();
        for sequence in utf8::encodings(ranges) {
            let mut next = to;
            for at in (1..sequence.len()).rev() {
                let (first, last) = sequence[at];
                let known = before.get(&sequence[at..]).copied();
                next = match known {
                    Some(point) => point,
                    None => {
                        let point = self.point();
                        self.edge(point, Edge::Read(first, last, next))?;
                        before.insert(sequence[at..].to_vec(), point);
                        point
                    }
                };
            }
            let (first, last) = sequence[0];
            self.edge(from, Edge::Read(first, last, next))?;
        }
        Ok(())
    }

    fn repeat(
        &mut self,
        of: ElementId,
        (least, most): (u32, Option<u32>),
        from: u32,
        to: u32,
    ) -> Result<(), Excess> {
        let is_nullable = self.nullable[of as usize];
        // Nothing again and again is nothing: what is left to repeat reads something.
        let least = if is_nullable { 0 } else { least };
        let is_once = most.unwrap_or(least) <= 1 && !is_nullable;
        let body = self.body(of, is_once);
        let mut at = from;
        // The last one of an endless repetition is the one that is repeated.
        let n_fixed = least.saturating_sub(u32::from(most.is_none()));
        for _ in 0..n_fixed {
            let next = self.point();
            self.put(body, at, next)?;
            at = next;
        }
        let Some(most) = most else {
            let (begin, end) = (self.point(), self.point());
            self.edge(at, Edge::Nothing(begin))?;
            self.put(body, begin, end)?;
            self.edge(end, Edge::Nothing(begin))?;
            if least == 0 {
                self.edge(begin, Edge::Nothing(to))?;
            }
            return self.edge(end, Edge::Nothing(to));
        };
        for _ in least..most {
            self.edge(at, Edge::Nothing(to))?;
            let next = self.point();
            self.put(body, at, next)?;
            at = next;
        }
        self.edge(at, Edge::Nothing(to))
    }

    /// What is repeated: laid down again and again if it is small and reads something, else a rule of its own.
    fn body(&mut self, of: ElementId, is_once: bool) -> Body {
        match &self.draft.elements[of as usize] {
            Element::Rule(rule) => Body::Call(*rule),
            _ if is_once => Body::Inline(of),
            Element::Chars(_) => Body::Inline(of),
            Element::Bytes(bytes) if (1..=8).contains(&bytes.len()) => Body::Inline(of),
            _ => {
                let owner = self.rules[self.n_compiled].owner;
                self.rules.push(RawRule {
                    body: of,
                    owner,
                    start: END,
                });
                Body::Call(self.rules.len() as RuleId - 1)
            }
        }
    }

    fn put(&mut self, body: Body, from: u32, to: u32) -> Result<(), Excess> {
        match body {
            Body::Inline(element) => self.element(element, from, to),
            // If it may read nothing the repetition may end before it, which comes to the same.
            Body::Call(rule) => self.edge(from, Edge::CallForSome(Call { rule, to })),
        }
    }

    fn is_nullable(&self, rule: RuleId) -> bool {
        self.nullable[self.rules[rule as usize].body as usize]
    }
}

const EXCESS: Excess = Excess {
    what: "places, all repetitions written out",
    limit: MAX_PARTS,
};

/// Rules in an order in which each begins with later ones only.
struct Order {
    /// The number of each rule.
    rank: Vec<RuleId>,
    /// The rules by their numbers.
    rules: Vec<usize>,
}

impl Order {
    fn of(raw: &Raw) -> Result<Self, GrammarError> {
        let n = raw.rules.len();
        let mut reach = Reach::new(raw);
        let mut begins_with: Vec<Vec<RuleId>> = Vec::with_capacity(n);
        let mut n_before = vec![0usize; n];
        for (i, rule) in raw.rules.iter().enumerate() {
            let seen = reach.from(rule.start);
            let seen = seen.map_err(|excess| GrammarError::too_large(raw.place(i), excess))?;
            let mut rules: Vec<RuleId> = seen.calls.iter().map(|call| call.rule).collect();
            rules.sort_unstable();
            rules.dedup();
            rules.iter().for_each(|rule| n_before[*rule as usize] += 1);
            begins_with.push(rules);
        }
        let mut rules: Vec<usize> = (0..n).filter(|rule| n_before[*rule] == 0).collect();
        let mut at = 0;
        while let Some(&rule) = rules.get(at) {
            for &next in &begins_with[rule] {
                n_before[next as usize] -= 1;
                if n_before[next as usize] == 0 {
                    rules.push(next as usize);
                }
            }
            at += 1;
        }
        if rules.len() < n {
            return Err(left_recursion(raw, &begins_with, &n_before));
        }
        let mut rank = vec![0; n];
        (0..).zip(&rules).for_each(|(at, rule)| rank[*rule] = at);
        Ok(Order { rank, rules })
    }
}

/// A rule that begins with itself, of those left that others left begin with (`n_before` of them).
fn left_recursion(raw: &Raw, begins_with: &[Vec<RuleId>], n_before: &[usize]) -> GrammarError {
    let n = n_before.len();
    let is_left = |rule: usize| n_before[rule] > 0;
    let mut before = vec![0; n];
    for rule in (0..n).rev().filter(|rule| is_left(*rule)) {
        for next in &begins_with[rule] {
            before[*next as usize] = rule;
        }
    }
    // Going back often enough ends within a circle.
    let mut rule = (0..n).find(|rule| is_left(*rule)).unwrap_or_default();
    for _ in 0..n {
        rule = before[rule];
    }
    // Of its rules, the one that is written first.
    let mut first = rule;
    for _ in 0..n {
        rule = before[rule];
        if raw.rules[rule].owner < raw.rules[first].owner {
            first = rule;
        }
    }
    let (name, place) = raw.draft.name(raw.rules[first].owner);
    GrammarError::LeftRecursion { place, name }
}

/// What can be reached from a point without reading.
#[derive(Default)]
struct Reached {
    reads: Vec<Read>,
    calls: Vec<Call>,
    ends: bool,
}

/// Finds what can be reached, all in all in a bounded number of steps.
struct Reach<'r, 'd> {
    raw: &'r Raw<'d>,
    /// By point: the number of the search that saw it last.
    seen: Vec<u32>,
    n_searches: u32,
    n_steps: usize,
    stack: Vec<u32>,
}

impl<'r, 'd> Reach<'r, 'd> {
    fn new(raw: &'r Raw<'d>) -> Self {
        Reach {
            raw,
            seen: vec![0; raw.points.len()],
            n_searches: 0,
            n_steps: 0,
            stack: Vec::new(),
        }
    }

    fn from(&mut self, point: u32) -> Result<Reached, Excess> {
        let mut reached = Reached::default();
        self.n_searches += 1;
        self.stack.push(point);
        while let Some(point) = self.stack.pop() {
            if std::mem::replace(&mut self.seen[point as usize], self.n_searches) == self.n_searches
            {
                continue;
            }
            reached.ends |= point == END;
            let edges = &self.raw.points[point as usize];
            self.n_steps += edges.len() + 1;
            if self.n_steps > 2 * MAX_PARTS {
                return Err(EXCESS);
            }
            for &edge in edges {
                match edge {
                    Edge::Read(first, last, to) => {
                        let to = self.end_of_chain(to);
                        reached.reads.push(Read { first, last, to });
                    }
                    Edge::Call(call) | Edge::CallForSome(call) => {
                        let (rule, to) = (call.rule, self.end_of_chain(call.to));
                        reached.calls.push(Call { rule, to });
                        let may_skip = matches!(edge, Edge::Call(_));
                        if may_skip && self.raw.is_nullable(rule) {
                            self.stack.push(to);
                        }
                    }
                    Edge::Nothing(to) => self.stack.push(to),
                }
            }
        }
        reached.reads.sort_unstable();
        reached.reads.dedup();
        reached.calls.sort_unstable();
        reached.calls.dedup();
        Ok(reached)
    }

    /// The point that a point leads to without a choice.
    fn end_of_chain(&self, point: u32) -> u32 {
        let mut at = point;
        // Longer chains are right, too, just not short.
        for _ in 0..8 {
            match self.raw.points[at as usize][..] {
                [Edge::Nothing(to)] => at = to,
                _ => break,
            }
        }
        at
    }
}

/// Points without edges that read nothing.
struct Flat {
    points: Points,
    order: Order,
    /// Points by their former numbers.
    known: HashMap<u32, u32>,
    /// Former numbers of the points whose edges are still missing.
    left: std::collections::VecDeque<u32>,
}

impl Flat {
    fn new(raw: &Raw, order: Order) -> Result<Self, GrammarError> {
        let mut flat = Flat {
            points: Points {
                points: Vec::new(),
                reads: Vec::new(),
                calls: Vec::new(),
                starts: Vec::new(),
                root: 0,
                classes: Box::new([0; 256]),
                examples: Vec::new(),
            },
            order,
            known: HashMap::new(),
            left: std::collections::VecDeque::new(),
        };
        let end = flat.point(END);
        debug_assert_eq!(end, END);
        for rule in 0..raw.rules.len() {
            let start = flat.point(raw.rules[flat.order.rules[rule]].start);
            flat.points.starts.push(start);
        }
        let mut reach = Reach::new(raw);
        while let Some(point) = flat.left.pop_front() {
            let reached = reach.from(point);
            // Which rule it is of is not known any more; the whole is what is too large.
            let reached = reached.map_err(|excess| GrammarError::too_large(raw.place(0), excess));
            flat.add(reached?);
        }
        Ok(flat)
    }

    /// The number of a point, which is seen to later.
    fn point(&mut self, point: u32) -> u32 {
        let next = self.known.len() as u32;
        let number = *self.known.entry(point).or_insert(next);
        if number == next {
            self.left.push_back(point);
        }
        number
    }

    fn add(&mut self, reached: Reached) {
        self.points.points.push(Point {
            reads: self.points.reads.len() as u32,
            calls: self.points.calls.len() as u32,
            ends: reached.ends,
        });
        for read in reached.reads {
            let to = self.point(read.to);
            self.points.reads.push(Read { to, ..read });
        }
        for call in reached.calls {
            let rule = self.order.rank[call.rule as usize];
            let to = self.point(call.to);
            self.points.calls.push(Call { rule, to });
        }
    }

    fn finish(self) -> Points {
        let mut points = self.points;
        points.points.push(Point {
            reads: points.reads.len() as u32,
            calls: points.calls.len() as u32,
            ends: false,
        });
        let mut begins = [false; 257];
        for read in &points.reads {
            begins[usize::from(read.first)] = true;
            begins[usize::from(read.last) + 1] = true;
        }
        for byte in 0..=255u8 {
            if byte == 0 || begins[usize::from(byte)] {
                points.examples.push(byte);
            }
            points.classes[usize::from(byte)] = (points.examples.len() - 1) as u8;
        }
        points
    }
}
