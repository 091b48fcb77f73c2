//! The search for what a text can mean.
//!
//! Enters: a lattice of words and the graph of a command. Leaves: the [`Meaning`]s of the whole
//! text within a limit of cost. Dynamic programming over positions of the lattice and nodes of the
//! graph: both only lead upward, so one pass in order is enough. No state outlives a call.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::graph::{Grammar, List, ListEdge, ListId, NodeId, SlotId};
use super::lattice::Lattice;
use super::numbers;

/// Different meanings kept at one place of the search.
const MAX_MEANINGS: usize = 4;

/// A way to understand the whole text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Meaning {
    pub(super) command: usize,
    pub(super) slots: BTreeMap<String, String>,
    pub(super) cost: f32,
    /// Words that lists account for; of two equally good meanings, the more literal one wins.
    pub(super) n_list_words: usize,
    /// Small words left out and words ignored.
    pub(super) n_liberties: usize,
}

impl Meaning {
    /// Whether `self` makes `best` doubtful. Another reading of the same command that leaves out
    /// or ignores more words does not: it is contradicted by words that were clearly heard.
    pub(super) fn rivals(&self, best: &Meaning) -> bool {
        self.command != best.command || self.n_liberties <= best.n_liberties
    }
}

/// A filled slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Value {
    /// An entry of a list.
    Entry(ListId, u32),
    Number(i64),
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
    n_list_words: usize,
    n_liberties: usize,
}

impl Path {
    const EMPTY: Path = Path {
        cost: 0.0,
        fillings: 0,
        n_list_words: 0,
        n_liberties: 0,
    };

    /// Cheaper first, then the more literal one.
    fn order(a: &Path, b: &Path) -> Ordering {
        let literal = a.n_list_words.cmp(&b.n_list_words);
        a.cost.total_cmp(&b.cost).then(literal)
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
    n_liberties: usize,
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
    words: &'a [String],
    /// Paths that cost more are dropped.
    limit: f32,
    spans: HashMap<(ListId, usize), Rc<[Span]>>,
    fillings: Vec<Filling>,
    filling_ids: HashMap<Filling, FillingId>,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        grammar: &'a Grammar,
        lattice: &'a Lattice,
        words: &'a [String],
        limit: f32,
    ) -> Self {
        Search {
            grammar,
            lattice,
            words,
            limit,
            spans: HashMap::new(),
            fillings: Vec::new(),
            filling_ids: HashMap::new(),
        }
    }

    /// The meanings of the whole text as the command of that index.
    pub(super) fn command(&mut self, command: usize) -> Vec<Meaning> {
        let compiled = &self.grammar.commands[command];
        let end = self.lattice.end();
        let arrivals = self.run(compiled.start, 0, Skips::Allowed);
        let whole = arrivals.into_iter().filter(|(to, _, _)| *to == end);
        whole
            .map(|(_, _, path)| Meaning {
                command,
                slots: self.slots(path.fillings, &compiled.fixed_slots),
                cost: path.cost,
                n_list_words: path.n_list_words,
                n_liberties: path.n_liberties,
            })
            .collect()
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
                    if let Some(value) = self.grammar.nodes[node as usize].accept {
                        arrivals.push((position, value, path));
                    }
                    let skip = self.lattice.positions[position].skip;
                    if let (Skips::Allowed, Some((to, cost))) = (skips, skip) {
                        self.add(&mut fronts, to, node, path.pass(cost));
                    }
                }
            }
        }
        arrivals
    }

    /// Follows all edges of `node`.
    fn step(&mut self, node: NodeId, at: usize, path: Path, fronts: &mut Fronts) {
        let edges = &self.grammar.nodes[node as usize];
        for (to, cost) in &edges.empty {
            self.add(fronts, at, *to, path.pass(*cost));
        }
        for arc in &self.lattice.positions[at].arcs {
            let first = edges.words.partition_point(|(word, _)| *word < arc.word);
            let words = edges.words[first..].iter();
            for (_, to) in words.take_while(|(word, _)| *word == arc.word) {
                self.add(fronts, arc.to, *to, path.hear(arc.cost));
            }
        }
        for edge in &edges.lists {
            self.follow_list(*edge, at, path, fronts);
        }
    }

    fn follow_list(&mut self, edge: ListEdge, at: usize, path: Path, fronts: &mut Fronts) {
        if self.is_filled(path.fillings, edge.slot) {
            return;
        }
        for span in self.spans_of(edge.list, at).iter() {
            let path = Path {
                fillings: self.fill(path.fillings, edge.slot, span.value),
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
        let spans: Rc<[Span]> = match &self.grammar.lists[list as usize] {
            List::Values { start, .. } => {
                let arrivals = self.run(*start, position, Skips::Forbidden);
                let span = |(to, value, path): Arrival| Span {
                    to,
                    value: Value::Entry(list, value),
                    cost: path.cost,
                    n_liberties: path.n_liberties,
                };
                arrivals.into_iter().map(span).collect()
            }
            List::Range { from, to, step } => self.numbers(position, (*from, *to, *step)),
        };
        self.spans.insert((list, position), Rc::clone(&spans));
        spans
    }

    fn numbers(&self, position: usize, (from, to, step): (i64, i64, i64)) -> Rc<[Span]> {
        let Some(first) = self.lattice.positions[position].word_index else {
            return Rc::from([]);
        };
        let readings = numbers::readings(&self.words[first..]);
        let fits = |value: i64| value >= from && value <= to && (value - from) % step == 0;
        readings
            .into_iter()
            .filter(|(_, value)| fits(*value))
            .map(|(n_words, value)| Span {
                to: self.lattice.word_starts[first + n_words],
                value: Value::Number(value),
                cost: 0.0,
                n_liberties: 0,
            })
            .collect()
    }

    fn filling(&self, id: FillingId) -> Option<&Filling> {
        self.fillings.get((id as usize).checked_sub(1)?)
    }

    fn is_filled(&self, mut id: FillingId, slot: SlotId) -> bool {
        while let Some(filling) = self.filling(id) {
            if filling.slot == slot {
                return true;
            }
            id = filling.before;
        }
        false
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

    fn slots(
        &self,
        mut id: FillingId,
        fixed: &BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let mut slots = fixed.clone();
        while let Some(filling) = self.filling(id) {
            let value = match filling.value {
                Value::Number(number) => number.to_string(),
                Value::Entry(list, entry) => match &self.grammar.lists[list as usize] {
                    List::Values { values, .. } => values[entry as usize].clone(),
                    List::Range { .. } => String::new(),
                },
            };
            slots.insert(self.grammar.slots[filling.slot as usize].clone(), value);
            id = filling.before;
        }
        slots
    }
}

/// Whether words of the text may be ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skips {
    Allowed,
    /// Inside the values of lists.
    Forbidden,
}
