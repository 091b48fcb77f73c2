//! The search for what a text can mean.
//!
//! Enters: a lattice of words and the graph of a command. Leaves: the [`Meaning`]s of the whole
//! text within a limit of cost. Dynamic programming over positions of the lattice and nodes of the
//! graph: both only lead upward, so one pass in order is enough. No state outlives a call.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use super::builtin::{Builtin, Ways, clock};
use super::context::ContextRules;
use super::graph::{CompiledCommand, Grammar, List, ListEdge, ListId, NodeId, SlotId};
use super::lattice::Lattice;
use super::numbers;
use super::spec::{Context, Fractions, NumberRange};
use super::words::Spoken;

/// Different meanings kept at one place of the search.
const MAX_MEANINGS: usize = 4;

/// A way to understand the whole text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Meaning {
    pub(super) command: usize,
    /// Index of the first command of the same name.
    pub(super) name_id: usize,
    pub(super) slots: BTreeMap<String, String>,
    pub(super) cost: f32,
    /// Words that slots take whatever they are, and all that lists account for; of two equally good
    /// meanings, the more literal one wins.
    pub(super) n_free_words: usize,
    pub(super) n_list_words: usize,
    /// Small words left out and words ignored.
    pub(super) n_liberties: usize,
}

impl Meaning {
    /// Whether `self` makes `best` doubtful. Another reading of the same command that leaves out
    /// or ignores more words does not: it is contradicted by words that were clearly heard.
    pub(super) fn rivals(&self, best: &Meaning) -> bool {
        self.name_id != best.name_id || self.n_liberties <= best.n_liberties
    }

    /// Cheaper first, then the more literal one.
    pub(super) fn order(a: &Meaning, b: &Meaning) -> Ordering {
        let free = a.n_free_words.cmp(&b.n_free_words);
        let literal = a.n_list_words.cmp(&b.n_list_words);
        a.cost.total_cmp(&b.cost).then(free).then(literal)
    }
}

/// How far the whole text leads in a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// A sentence of it ends there.
    pub(super) is_whole: bool,
    /// Further words may follow.
    pub(super) takes_words: bool,
    /// And a slot may be filled by what follows, or by another value.
    pub(super) takes_slots: bool,
}

/// A filled slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Value {
    /// An entry of a list.
    Entry(ListId, u32),
    /// In thousandths.
    Number(i64),
    /// In seconds.
    Duration(i64),
    /// In minutes after midnight.
    Time(i64),
    /// The words from one index to before another.
    Words(u32, u32),
}

/// Slots filled on the way to a place of the search: index into [`Search::fillings`], 0 for none.
type FillingId = u32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Filling {
    before: FillingId,
    slot: SlotId,
    value: Value,
}

/// A partial path.
#[derive(Clone, Copy, Debug)]
struct Path {
    cost: f32,
    fillings: FillingId,
    n_free_words: usize,
    n_list_words: usize,
    n_liberties: usize,
}

impl Path {
    const EMPTY: Path = Path {
        cost: 0.0,
        fillings: 0,
        n_free_words: 0,
        n_list_words: 0,
        n_liberties: 0,
    };

    /// Cheaper first, then the more literal one.
    fn order(a: &Path, b: &Path) -> Ordering {
        let free = a.n_free_words.cmp(&b.n_free_words);
        let literal = a.n_list_words.cmp(&b.n_list_words);
        a.cost.total_cmp(&b.cost).then(free).then(literal)
    }

    fn is_better(&self, other: &Path) -> bool {
        Path::order(self, other).is_lt()
    }

    /// After a word.
    fn hear(self, cost: f32) -> Path {
        let cost = self.cost + cost;
        Path { cost, ..self }
    }

    /// After a word of the grammar was left out, or one of the text ignored.
    fn pass(self, cost: f32) -> Path {
        let n_liberties = self.n_liberties + usize::from(cost > 0.0);
        Path {
            n_liberties,
            ..self.hear(cost)
        }
    }
}

/// A list's value found in the text.
#[derive(Clone, Copy, Debug)]
struct Span {
    to: usize,
    value: Value,
    cost: f32,
    n_free_words: usize,
    n_liberties: usize,
}

impl Span {
    fn new(to: usize, value: Value) -> Span {
        Span {
            to,
            value,
            cost: 0.0,
            n_free_words: 0,
            n_liberties: 0,
        }
    }
}

/// Paths that have arrived at the nodes of one position, by node.
type Front = BTreeMap<NodeId, Vec<Path>>;

/// The fronts of all positions from a first one on.
struct Fronts {
    first: usize,
    fronts: Vec<Front>,
}

impl Fronts {
    fn new(first: usize, n_positions: usize) -> Fronts {
        let fronts = vec![Front::new(); n_positions - first];
        Fronts { first, fronts }
    }

    fn at(&mut self, position: usize) -> &mut Front {
        &mut self.fronts[position - self.first]
    }
}

/// Where accepting nodes were reached: position, accepted value, path.
type Arrival = (usize, u32, Path);

/// Dynamic programming over positions of the lattice and nodes of the grammar; both only lead
/// upward, so that one pass in order is enough.
pub(super) struct Search<'a> {
    grammar: &'a Grammar,
    lattice: &'a Lattice,
    spoken: &'a Spoken<'a>,
    /// What the command at hand demands of values.
    rules: &'a ContextRules,
    /// Paths that cost more are dropped.
    limit: f32,
    spans: HashMap<(ListId, usize), Rc<[Span]>>,
    fillings: Vec<Filling>,
    filling_ids: HashMap<Filling, FillingId>,
    /// Nodes at the end of the text from which words lead on.
    open_nodes: HashSet<NodeId>,
    /// Lists of which a value goes on there, with the position it begins at.
    open_lists: HashSet<(ListId, usize)>,
    takes_slots: bool,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        grammar: &'a Grammar,
        lattice: &'a Lattice,
        spoken: &'a Spoken,
        limit: f32,
    ) -> Self {
        Search {
            grammar,
            lattice,
            spoken,
            rules: &NO_RULES,
            limit,
            spans: HashMap::new(),
            fillings: Vec::new(),
            filling_ids: HashMap::new(),
            open_nodes: HashSet::new(),
            open_lists: HashSet::new(),
            takes_slots: false,
        }
    }

    /// How far the whole text leads in the command of that index.
    pub(super) fn reach(&mut self, command: usize) -> Reach {
        self.open_nodes.clear();
        self.takes_slots = false;
        let end = self.lattice.end();
        let compiled = &self.grammar.commands[command];
        self.rules = &compiled.rules;
        let arrivals = self.run(compiled.start, 0, Skips::Allowed);
        let takes_slots = self.takes_slots || self.leads_to_list();
        let has_keyword = self.has_keyword(compiled);
        let is_whole = |(to, _, path): &Arrival| {
            *to == end && has_keyword && self.slots(path.fillings, compiled).is_some()
        };
        Reach {
            is_whole: arrivals.iter().any(is_whole),
            takes_words: takes_slots || !self.open_nodes.is_empty(),
            takes_slots,
        }
    }

    /// Whether from a node at the end of the text a list can be reached.
    fn leads_to_list(&self) -> bool {
        let mut open: Vec<NodeId> = self.open_nodes.iter().copied().collect();
        let mut seen = self.open_nodes.clone();
        while let Some(node) = open.pop() {
            let edges = self.grammar.node(node);
            if !edges.lists.is_empty() {
                return true;
            }
            let words = edges.words.iter().map(|(_, to)| *to);
            let next = words.chain(edges.empty.iter().map(|(to, _)| *to));
            open.extend(next.filter(|to| seen.insert(*to)));
        }
        false
    }

    /// The meanings of the whole text as the command of that index.
    pub(super) fn command(&mut self, command: usize) -> Vec<Meaning> {
        let compiled = &self.grammar.commands[command];
        if !self.has_keyword(compiled) {
            return Vec::new();
        }
        self.rules = &compiled.rules;
        let end = self.lattice.end();
        let arrivals = self.run(compiled.start, 0, Skips::Allowed);
        let whole = arrivals.into_iter().filter(|(to, _, _)| *to == end);
        whole
            .filter_map(|(_, _, path)| {
                Some(Meaning {
                    command,
                    name_id: compiled.name_id,
                    slots: self.slots(path.fillings, compiled)?,
                    cost: path.cost,
                    n_free_words: path.n_free_words,
                    n_list_words: path.n_list_words,
                    n_liberties: path.n_liberties,
                })
            })
            .collect()
    }

    /// Whether one of the words is said that the command cannot be without.
    fn has_keyword(&self, command: &CompiledCommand) -> bool {
        let mut keywords = command.required_keywords.iter();
        let words = &self.spoken.words;
        let is_said = |keyword: &Vec<String>| {
            let mut runs = words.windows(keyword.len().max(1));
            runs.any(|run| run == &keyword[..])
        };
        command.required_keywords.is_empty() || keywords.any(is_said)
    }

    /// Walks the graph from `start` at position `from` and collects all arrivals.
    fn run(&mut self, start: NodeId, from: usize, skips: Skips) -> Vec<Arrival> {
        let n_positions = self.lattice.positions.len();
        let mut fronts = Fronts::new(from, n_positions);
        self.add(&mut fronts, from, start, Path::EMPTY);
        let mut arrivals = Vec::new();
        for position in from..n_positions {
            while let Some((node, paths)) = fronts.at(position).pop_first() {
                for path in paths {
                    self.step(node, position, path, &mut fronts);
                    if let Some(value) = self.grammar.node(node).accept {
                        arrivals.push((position, value, path));
                    }
                    if skips == Skips::Allowed {
                        self.skip(node, position, path, &mut fronts);
                    }
                }
            }
        }
        arrivals
    }

    /// Ignores what is said next.
    fn skip(&self, node: NodeId, at: usize, path: Path, fronts: &mut Fronts) {
        let position = &self.lattice.positions[at];
        for to in &position.ignorable {
            self.add(fronts, *to, node, path);
        }
        if let Some((to, cost)) = position.skip {
            self.add(fronts, to, node, path.pass(cost));
        }
    }

    /// Follows all edges of `node`.
    fn step(&mut self, node: NodeId, at: usize, path: Path, fronts: &mut Fronts) {
        let edges = self.grammar.node(node);
        if at == self.lattice.end() && !edges.words.is_empty() {
            self.open_nodes.insert(node);
        }
        for (to, cost) in edges.empty {
            self.add(fronts, at, *to, path.pass(*cost));
        }
        for arc in &self.lattice.positions[at].arcs {
            let first = edges.words.partition_point(|(word, _)| *word < arc.word);
            let words = edges.words[first..].iter();
            for (_, to) in words.take_while(|(word, _)| *word == arc.word) {
                self.add(fronts, arc.to, *to, path.hear(arc.cost));
            }
        }
        for edge in edges.lists {
            self.follow_list(*edge, at, path, fronts);
        }
    }

    fn follow_list(&mut self, edge: ListEdge, at: usize, path: Path, fronts: &mut Fronts) {
        if self.is_filled(path.fillings, edge.slot) {
            return;
        }
        let spans = self.spans_of(edge.list, at);
        let is_open = at == self.lattice.end() || self.open_lists.contains(&(edge.list, at));
        self.takes_slots |= is_open;
        for span in spans.iter() {
            if self
                .context(span.value)
                .is_some_and(|context| !self.rules.allow(context))
            {
                continue;
            }
            let path = Path {
                fillings: self.fill(path.fillings, edge.slot, span.value),
                n_free_words: path.n_free_words + span.n_free_words,
                n_list_words: path.n_list_words + self.n_words_between(at, span.to),
                n_liberties: path.n_liberties + span.n_liberties,
                cost: path.cost + span.cost,
            };
            self.add(fronts, span.to, edge.to, path);
        }
    }

    /// Notes that `path` leads to `node` at `position`, unless it is hopeless. Of the paths with
    /// the same slots the best stays, and of those with different ones the few best.
    fn add(&self, fronts: &mut Fronts, position: usize, node: NodeId, path: Path) {
        if path.cost > self.limit {
            return;
        }
        let paths = fronts.at(position).entry(node).or_default();
        let same = paths.iter_mut().find(|p| p.fillings == path.fillings);
        match same {
            Some(known) if path.is_better(known) => *known = path,
            Some(_) => {}
            None => paths.push(path),
        }
        if paths.len() > MAX_MEANINGS {
            paths.sort_by(Path::order);
            paths.truncate(MAX_MEANINGS);
        }
    }

    fn n_words_between(&self, from: usize, to: usize) -> usize {
        let starts = &self.lattice.word_starts;
        starts
            .iter()
            .filter(|start| (from..to).contains(start))
            .count()
    }

    /// The values of `list` that can begin at `position`.
    fn spans_of(&mut self, list: ListId, position: usize) -> Rc<[Span]> {
        if let Some(known) = self.spans.get(&(list, position)) {
            return Rc::clone(known);
        }
        let outside = (std::mem::take(&mut self.open_nodes), self.takes_slots);
        self.takes_slots = false;
        let spans = self.values_of(list, position);
        if self.takes_slots || !self.open_nodes.is_empty() {
            self.open_lists.insert((list, position));
        }
        (self.open_nodes, self.takes_slots) = outside;
        self.spans.insert((list, position), Rc::clone(&spans));
        spans
    }

    fn values_of(&mut self, list: ListId, position: usize) -> Rc<[Span]> {
        let grammar = self.grammar;
        match &grammar.lists[list as usize] {
            List::Values { start, .. } => {
                let arrivals = self.run(*start, position, Skips::Forbidden).into_iter();
                let value = |entry| Some(Value::Entry(list, entry));
                arrivals
                    .filter_map(|arrival| span(arrival, value))
                    .collect()
            }
            List::Builtin { start, ways } => {
                let arrivals = self.run(*start, position, Skips::Forbidden).into_iter();
                let value = |arrival: Arrival| self.built(ways, arrival.1, arrival.2.fillings);
                let spans = arrivals.filter_map(|arrival| span(arrival, |_| value(arrival)));
                spans.collect()
            }
            List::Range(range) => {
                self.takes_slots |= self.number_may_grow(position, *range);
                self.numbers(position, *range)
            }
            List::Free => {
                // There may always be more of them.
                self.takes_slots = true;
                self.free_words(position)
            }
        }
    }

    /// Whether the text ends in a number from `position` on that may be the beginning of another.
    fn number_may_grow(&self, position: usize, range: NumberRange) -> bool {
        let Some(first) = self.lattice.positions[position].word_index else {
            return false;
        };
        let words = &self.spoken.words[first..];
        let may_grow = |value| {
            let whole = (range.from, range.to, range.step);
            range.fractions != Fractions::None || numbers::may_grow(value, whole)
        };
        let mut readings = numbers::readings(words).into_iter();
        readings.any(|(n_words, value)| n_words == words.len() && may_grow(value))
    }

    fn numbers(&self, position: usize, range: NumberRange) -> Rc<[Span]> {
        let Some(first) = self.lattice.positions[position].word_index else {
            return Rc::from([]);
        };
        let words = &self.spoken.words[first..];
        let tenths = match range.fractions {
            Fractions::None => {
                let whole = numbers::readings(words).into_iter();
                whole
                    .map(|(n_words, value)| (n_words, value * 10))
                    .collect()
            }
            _ => numbers::decimal_readings(words),
        };
        let spans = tenths.into_iter().filter_map(|(n_words, tenths)| {
            let value = number(tenths, range)?;
            Some(Span::new(self.lattice.word_starts[first + n_words], value))
        });
        spans.collect()
    }

    /// One word from `position` on, or more.
    fn free_words(&self, position: usize) -> Rc<[Span]> {
        let Some(first) = self.lattice.positions[position].word_index else {
            return Rc::from([]);
        };
        let ends = self.lattice.word_starts.iter().enumerate().skip(first + 1);
        ends.map(|(end, to)| Span {
            n_free_words: end - first,
            ..Span::new(*to, Value::Words(first as u32, end as u32))
        })
        .collect()
    }

    /// The value of a list of the language.
    fn built(&self, ways: &Ways, way: u32, fillings: FillingId) -> Option<Value> {
        let value = ways.value(way, |part| match self.filled(fillings, part)? {
            Value::Number(thousandths) => Some(thousandths / 1_000),
            _ => None,
        })?;
        Some(match ways.kind() {
            Builtin::Duration => Value::Duration(value),
            Builtin::Time => Value::Time(value),
        })
    }

    fn context(&self, value: Value) -> Option<&'a Context> {
        match value {
            Value::Entry(list, entry) => self.grammar.context(list, entry),
            _ => None,
        }
    }

    fn filling(&self, id: FillingId) -> Option<&Filling> {
        self.fillings.get((id as usize).checked_sub(1)?)
    }

    fn is_filled(&self, id: FillingId, slot: SlotId) -> bool {
        self.filled(id, slot).is_some()
    }

    /// What `slot` is filled with.
    fn filled(&self, mut id: FillingId, slot: SlotId) -> Option<Value> {
        while let Some(filling) = self.filling(id) {
            if filling.slot == slot {
                return Some(filling.value);
            }
            id = filling.before;
        }
        None
    }

    fn fill(&mut self, before: FillingId, slot: SlotId, value: Value) -> FillingId {
        let filling = Filling {
            before,
            slot,
            value,
        };
        if let Some(id) = self.filling_ids.get(&filling) {
            return *id;
        }
        self.fillings.push(filling);
        let id = self.fillings.len() as FillingId;
        self.filling_ids.insert(filling, id);
        id
    }

    /// The slots of `command`, unless it is not meant with these values.
    fn slots(
        &self,
        mut id: FillingId,
        command: &CompiledCommand,
    ) -> Option<BTreeMap<String, String>> {
        let mut slots = command.fixed_slots.clone();
        let mut contexts = Vec::new();
        while let Some(filling) = self.filling(id) {
            let name = self.grammar.slots[filling.slot as usize].clone();
            slots.insert(name, self.text(filling.value));
            contexts.extend(self.context(filling.value));
            id = filling.before;
        }
        if !command.rules.are_met_by(&contexts) {
            return None;
        }
        for (slot, value) in command.rules.slots(&contexts) {
            slots.entry(slot.clone()).or_insert_with(|| value.clone());
        }
        Some(slots)
    }

    /// A value as slots receive it.
    fn text(&self, value: Value) -> String {
        match value {
            Value::Number(thousandths) => numbers::decimal(thousandths),
            Value::Duration(seconds) => seconds.to_string(),
            Value::Time(minutes) => clock(minutes),
            Value::Words(from, to) => self.spoken.written(from as usize..to as usize),
            Value::Entry(list, entry) => match &self.grammar.lists[list as usize] {
                List::Values { values, .. } => values[entry as usize].to_string(),
                _ => String::new(),
            },
        }
    }
}

static NO_RULES: ContextRules = ContextRules::NONE;

/// What was found of a list, unless it has no value.
fn span((to, entry, path): Arrival, value: impl FnOnce(u32) -> Option<Value>) -> Option<Span> {
    Some(Span {
        cost: path.cost,
        n_liberties: path.n_liberties,
        ..Span::new(to, value(entry)?)
    })
}

/// A number given in tenths, if it is one of `range`.
fn number(tenths: i64, range: NumberRange) -> Option<Value> {
    let is_between = (range.from * 10..=range.to * 10).contains(&tenths);
    let fits = match range.fractions {
        Fractions::None => (tenths / 10 - range.from) % range.step.max(1) == 0,
        Fractions::Halves => tenths % 5 == 0,
        Fractions::Tenths => true,
    };
    (is_between && fits).then(|| Value::Number(range.multiplied(tenths)))
}

/// Whether words of the text may be ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skips {
    Allowed,
    /// Inside the values of lists.
    Forbidden,
}
