//! Sets of sentences that can be compared: the graph as a deterministic automaton over words.
//!
//! Enters: a compiled grammar. Leaves: states, made as they are reached, each the set of places to
//! which the same words lead. Comparing two sets of sentences is then a walk through pairs of
//! states, however many sentences there are. Bounded: beyond [`MAX_PLACES`] nothing more is found.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use crate::command::graph::{Grammar, List, NodeId, WordId};
use crate::command::numbers;

/// Most places kept in all states together.
const MAX_PLACES: usize = 2_000_000;
/// Numbers of a range that are compared word by word; of a larger one, the first.
const MAX_NUMBERS: i64 = 1_000;

pub(super) type StateId = usize;

/// A node; within a list, with the node to go on at behind it.
type Place = (NodeId, Option<NodeId>);

/// The words that may follow a state, each with the state it leads to, by word.
pub(super) type Next = Rc<[(WordId, StateId)]>;

struct State {
    places: Rc<[Place]>,
    next: Option<Next>,
    /// What is accepted here: numbers of sentences, or of values of a list.
    accepted: Rc<[u32]>,
}

/// A node of the graph, without what costs something.
#[derive(Clone, Debug, Default)]
struct Node {
    words: Vec<(WordId, NodeId)>,
    empty: Vec<NodeId>,
    /// Where each list begins, and where it leads.
    lists: Vec<(NodeId, NodeId)>,
    accept: Option<u32>,
}

/// A graph in which numbers are lists like all others.
#[derive(Default)]
struct Graph {
    nodes: Vec<Node>,
    words: Vec<String>,
    word_ids: HashMap<String, WordId>,
}

/// See the module.
pub(super) struct Automaton {
    graph: Graph,
    states: Vec<State>,
    ids: HashMap<Rc<[Place]>, StateId>,
    n_places: usize,
}

impl Automaton {
    pub(super) fn new(grammar: &Grammar) -> Self {
        Automaton {
            graph: Graph::of(grammar),
            states: Vec::new(),
            ids: HashMap::new(),
            n_places: 0,
        }
    }

    pub(super) fn words(&self) -> &[String] {
        &self.graph.words
    }

    pub(super) fn word_id(&self, word: &str) -> Option<WordId> {
        self.graph.word_ids.get(word).copied()
    }

    /// The sentences that begin at `begin` are those of that number.
    pub(super) fn number(&mut self, begin: NodeId, number: u32) {
        let (mut open, mut seen) = (vec![begin], HashSet::from([begin]));
        while let Some(node) = open.pop() {
            let node = &mut self.graph.nodes[node as usize];
            if let Some(accept) = &mut node.accept {
                *accept = number;
            }
            let words = node.words.iter().map(|(_, to)| *to);
            // Not into the lists, which others have, too.
            let lists = node.lists.iter().map(|(_, to)| *to);
            let next = words.chain(node.empty.iter().copied()).chain(lists);
            open.extend(next.filter(|to| seen.insert(*to)));
        }
    }

    /// The words as a sentence.
    pub(super) fn text(&self, words: &[WordId]) -> String {
        let words = words
            .iter()
            .map(|word| self.words()[*word as usize].as_str());
        words.collect::<Vec<_>>().join(" ")
    }

    /// Whether everything asked for so far was looked at.
    pub(super) fn is_complete(&self) -> bool {
        self.n_places <= MAX_PLACES
    }

    /// The state of the sentences that begin at one of `nodes`.
    pub(super) fn start(&mut self, nodes: impl IntoIterator<Item = NodeId>) -> StateId {
        self.state(nodes.into_iter().map(|node| (node, None)).collect())
    }

    pub(super) fn accepted(&self, state: StateId) -> &[u32] {
        &self.states[state].accepted
    }

    pub(super) fn accepts(&self, state: StateId) -> bool {
        !self.accepted(state).is_empty()
    }

    pub(super) fn next(&mut self, state: StateId) -> Next {
        if let Some(next) = &self.states[state].next {
            return next.clone();
        }
        let mut by_word: BTreeMap<WordId, BTreeSet<Place>> = BTreeMap::new();
        if self.is_complete() {
            for (node, back) in self.states[state].places.iter() {
                for (word, to) in &self.graph.nodes[*node as usize].words {
                    by_word.entry(*word).or_default().insert((*to, *back));
                }
            }
        }
        let next = by_word.into_iter();
        let next: Next = next.map(|(word, to)| (word, self.state(to))).collect();
        self.states[state].next = Some(next.clone());
        next
    }

    /// Where `word` leads from `state`.
    pub(super) fn step(&mut self, state: StateId, word: WordId) -> Option<StateId> {
        let next = self.next(state);
        let at = next.binary_search_by_key(&word, |(word, _)| *word).ok()?;
        Some(next[at].1)
    }

    /// The state of `places` and of everything that is reached from them without a word.
    fn state(&mut self, mut places: BTreeSet<Place>) -> StateId {
        let mut open: Vec<Place> = places.iter().copied().collect();
        let mut accepted = BTreeSet::new();
        while let Some((node, back)) = open.pop() {
            let node = &self.graph.nodes[node as usize];
            match (node.accept, back) {
                (Some(value), None) => drop(accepted.insert(value)),
                (Some(_), Some(back)) => open.extend(added(&mut places, (back, None))),
                (None, _) => {}
            }
            for to in &node.empty {
                open.extend(added(&mut places, (*to, back)));
            }
            for (start, to) in &node.lists {
                open.extend(added(&mut places, (*start, Some(*to))));
            }
        }
        // Only these have words of their own.
        places.retain(|(node, _)| !self.graph.nodes[*node as usize].words.is_empty());
        let (places, accepted): (Rc<[Place]>, Rc<[u32]>) =
            (places.into_iter().collect(), accepted.into_iter().collect());
        // Two states that accept different things are two, even if nothing follows either.
        let key: Rc<[Place]> = accepted
            .iter()
            .map(|value| (*value, Some(NodeId::MAX)))
            .chain(places.iter().copied())
            .collect();
        if let Some(id) = self.ids.get(&key) {
            return *id;
        }
        let id = self.states.len();
        self.n_places += places.len() + 1;
        self.states.push(State {
            places,
            next: None,
            accepted,
        });
        self.ids.insert(key, id);
        id
    }
}

/// The place, if it is new.
fn added(places: &mut BTreeSet<Place>, place: Place) -> Option<Place> {
    places.insert(place).then_some(place)
}

impl Graph {
    fn of(grammar: &Grammar) -> Self {
        let words = grammar.words().map(str::to_owned);
        let mut graph = Graph {
            nodes: vec![Node::default(); grammar.n_nodes()],
            ..Graph::default()
        };
        for word in words {
            graph.word_id(&word);
        }
        let mut ranges: HashMap<(i64, i64, i64), NodeId> = HashMap::new();
        let starts: Vec<NodeId> = (grammar.lists.iter())
            .map(|list| match list {
                List::Values { start, .. } => *start,
                List::Range(range) => {
                    let key = (range.from, range.to, range.step);
                    *ranges.entry(key).or_insert_with(|| graph.spell(key))
                }
                // Nothing leads on from there: such sentences are not compared.
                List::Builtin { .. } | List::Free => graph.add_node(),
            })
            .collect();
        for id in 0..grammar.n_nodes() {
            let node = grammar.node(id as NodeId);
            let free = node.empty.iter().filter(|(_, cost)| *cost == 0.0);
            let lists = node.lists.iter();
            graph.nodes[id] = Node {
                words: node.words.to_vec(),
                empty: free.map(|(to, _)| *to).collect(),
                lists: lists
                    .map(|edge| (starts[edge.list as usize], edge.to))
                    .collect(),
                accept: node.accept,
            };
        }
        graph
    }

    fn word_id(&mut self, word: &str) -> WordId {
        if let Some(id) = self.word_ids.get(word) {
            return *id;
        }
        let id = self.words.len() as WordId;
        self.words.push(word.to_owned());
        self.word_ids.insert(word.to_owned(), id);
        id
    }

    fn add_node(&mut self) -> NodeId {
        self.nodes.push(Node::default());
        (self.nodes.len() - 1) as NodeId
    }

    /// The numbers of a range in words, as a tree; gives its root.
    fn spell(&mut self, (from, to, step): (i64, i64, i64)) -> NodeId {
        let start = self.add_node();
        let step = step.max(1);
        let last = to.min(from.saturating_add(step.saturating_mul(MAX_NUMBERS)));
        let mut tree: HashMap<(NodeId, WordId), NodeId> = HashMap::new();
        let mut value = Some(from);
        while let Some(number) = value.filter(|number| *number <= last) {
            let mut words = Vec::new();
            if number < 0 {
                words.push("minus".to_owned());
            }
            numbers::spell(&number.unsigned_abs().to_string(), &mut words);
            let mut node = start;
            for word in words {
                let word = self.word_id(&word);
                node = *tree.entry((node, word)).or_insert_with(|| {
                    let to = self.add_node();
                    self.nodes[node as usize].words.push((word, to));
                    to
                });
            }
            self.nodes[node as usize].accept = Some(0);
            value = number.checked_add(step);
        }
        start
    }
}
