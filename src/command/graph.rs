//! Compiled commands: a graph of words.
//!
//! Made from a [`GrammarSpec`] by `compile`: a directed graph without cycles in
//! which every edge leads to a node of a higher number. Sentences are never listed: alternatives,
//! optionals and permutations are edges, each list is one sub-graph however often it is used, and
//! what begins with the same words has them in common.
//! Built once at load; read-only and shared after that.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::action::Action;
use super::builtin::Ways;
use super::compile;
use super::context::ContextRules;
use super::mistake::{GrammarCause, GrammarError, nearest};
use super::spec::{CommandSpec, Context, GrammarSpec, NumberRange};
use super::traits::Undo;

pub(crate) type WordId = u32;
pub(crate) type NodeId = u32;
pub(crate) type ListId = u32;
pub(crate) type SlotId = u32;

/// A place in the graph and what may follow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GraphNode<'g> {
    /// Word edges, sorted.
    pub(crate) words: &'g [(WordId, NodeId)],
    /// Edges that take no word, with their cost: 0, or that of leaving out a small word.
    pub(crate) empty: &'g [(NodeId, f32)],
    /// Edges that take a value of a list.
    pub(crate) lists: &'g [ListEdge],
    /// Set where a sentence (0) or a value of a list (its index) ends.
    pub(crate) accept: Option<u32>,
}

/// A value of `list` goes to `slot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListEdge {
    pub(crate) list: ListId,
    pub(crate) slot: SlotId,
    pub(crate) to: NodeId,
}

/// All nodes with their edges, each kind of edge in one array in the order of the nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    nodes: Vec<FirstEdges>,
    words: Vec<(WordId, NodeId)>,
    empty: Vec<(NodeId, f32)>,
    lists: Vec<ListEdge>,
}

/// Where the edges of a node begin; they end where those of the next one begin.
#[derive(Clone, Copy, Debug)]
struct FirstEdges {
    word: u32,
    empty: u32,
    list: u32,
    accept: u32,
}

const ACCEPTS_NOTHING: u32 = u32::MAX;

/// A graph that is being made: edges with the nodes they leave, in no order.
#[derive(Debug, Default)]
pub(super) struct GraphDraft {
    n_nodes: u32,
    pub(super) words: Vec<(NodeId, WordId, NodeId)>,
    pub(super) empty: Vec<(NodeId, NodeId, f32)>,
    pub(super) lists: Vec<(NodeId, ListEdge)>,
    pub(super) accepts: HashMap<NodeId, u32>,
}

impl GraphDraft {
    pub(super) fn n_nodes(&self) -> usize {
        self.n_nodes as usize
    }

    pub(super) fn add_node(&mut self) -> NodeId {
        self.n_nodes += 1;
        self.n_nodes - 1
    }

    /// Sorts the edges by the nodes they leave.
    pub(super) fn finish(mut self) -> Graph {
        self.words.sort_unstable();
        self.empty.sort_by_key(|(from, _, _)| *from);
        self.lists.sort_by_key(|(from, _)| *from);
        let mut first = FirstEdges {
            word: 0,
            empty: 0,
            list: 0,
            accept: ACCEPTS_NOTHING,
        };
        let mut nodes = Vec::with_capacity(self.n_nodes() + 1);
        for node in 0..=self.n_nodes {
            let accept = self.accepts.get(&node).copied();
            first.accept = accept.unwrap_or(ACCEPTS_NOTHING);
            nodes.push(first);
            first.word += run_of(&self.words[first.word as usize..], |e| e.0 == node);
            first.empty += run_of(&self.empty[first.empty as usize..], |e| e.0 == node);
            first.list += run_of(&self.lists[first.list as usize..], |e| e.0 == node);
        }
        Graph {
            nodes,
            words: self
                .words
                .into_iter()
                .map(|(_, word, to)| (word, to))
                .collect(),
            empty: self
                .empty
                .into_iter()
                .map(|(_, to, cost)| (to, cost))
                .collect(),
            lists: self.lists.into_iter().map(|(_, edge)| edge).collect(),
        }
    }
}

/// How many of the first edges are of a node.
fn run_of<E>(edges: &[E], is_of_node: impl Fn(&E) -> bool) -> u32 {
    edges.iter().take_while(|edge| is_of_node(edge)).count() as u32
}

/// A compiled list.
#[derive(Clone, Debug)]
pub(crate) enum List {
    /// A sub-graph; `values` are what its accepting nodes stand for.
    Values {
        start: NodeId,
        values: Vec<Box<str>>,
        /// Of the values that have one.
        contexts: HashMap<u32, Arc<Context>>,
    },
    /// Numbers.
    Range(NumberRange),
    /// A sub-graph; its accepting nodes are ways to say a value.
    Builtin { start: NodeId, ways: Arc<Ways> },
    /// Any words.
    Free,
}

/// A compiled command.
#[derive(Clone, Debug)]
pub(crate) struct CompiledCommand {
    pub(crate) name: String,
    /// Index of the first command of that name; commands of one name are one to whoever listens.
    pub(crate) name_id: usize,
    pub(crate) start: NodeId,
    pub(crate) fixed_slots: BTreeMap<String, String>,
    pub(super) rules: ContextRules,
    /// One of them must be said; normalised.
    pub(super) required_keywords: Vec<Vec<String>>,
    pub(crate) action: Option<Arc<Action>>,
    /// Whether it gives way to all others.
    pub(crate) is_built_in: bool,
}

/// All commands, compiled.
#[derive(Clone, Debug, Default)]
pub struct Grammar {
    pub(super) graph: Graph,
    pub(crate) commands: Vec<CompiledCommand>,
    pub(crate) lists: Vec<List>,
    pub(crate) slots: Vec<String>,
    pub(crate) words: Vec<Arc<str>>,
    pub(crate) word_ids: HashMap<Arc<str>, WordId>,
    /// Ways to say words that may be ignored.
    pub(super) skip_words: Vec<Vec<String>>,
}

impl Grammar {
    /// Compiles everything that can be compiled; what cannot is left out and appended to
    /// `errors`.
    pub fn compile(spec: &GrammarSpec, errors: &mut Vec<GrammarError>) -> Grammar {
        compile::compile(spec, errors)
    }

    /// The node of that number.
    pub(crate) fn node(&self, node: NodeId) -> GraphNode<'_> {
        let graph = &self.graph;
        let [first, next] = [node, node + 1].map(|node| graph.nodes[node as usize]);
        GraphNode {
            words: &graph.words[first.word as usize..next.word as usize],
            empty: &graph.empty[first.empty as usize..next.empty as usize],
            lists: &graph.lists[first.list as usize..next.list as usize],
            accept: Some(first.accept).filter(|accept| *accept != ACCEPTS_NOTHING),
        }
    }

    /// The context of a value of a list; none when it has none.
    pub(super) fn context(&self, list: ListId, value: u32) -> Option<&Context> {
        match &self.lists[list as usize] {
            List::Values { contexts, .. } => contexts.get(&value).map(Arc::as_ref),
            _ => None,
        }
    }

    /// How many commands there are.
    pub fn n_commands(&self) -> usize {
        self.commands.len()
    }

    /// Name of the command of that index.
    pub fn command_name(&self, command: usize) -> Option<&str> {
        self.commands.get(command).map(|c| c.name.as_str())
    }

    /// What the command of that index does; the index is that of
    /// [`Match::Accepted`](super::Match::Accepted).
    pub fn action(&self, command: usize) -> Option<&Arc<Action>> {
        self.commands.get(command)?.action.as_ref()
    }

    /// Names of the slots that the command of that index can fill.
    pub fn slots(&self, command: usize) -> BTreeSet<&str> {
        let Some(command) = self.commands.get(command) else {
            return BTreeSet::new();
        };
        let fixed = command.fixed_slots.keys().map(String::as_str);
        let mut names: BTreeSet<&str> = fixed.chain(command.rules.slot_names()).collect();
        let mut open = vec![command.start];
        let mut seen = HashSet::new();
        while let Some(node) = open.pop() {
            let node = self.node(node);
            names.extend(
                node.lists
                    .iter()
                    .map(|edge| self.slots[edge.slot as usize].as_str()),
            );
            let next = node.words.iter().map(|(_, to)| *to);
            let next = next.chain(node.empty.iter().map(|(to, _)| *to));
            let next = next.chain(node.lists.iter().map(|edge| edge.to));
            open.extend(next.filter(|to| seen.insert(*to)));
        }
        names
    }

    /// Names of all slots that some command can fill.
    pub fn all_slots(&self) -> BTreeSet<String> {
        let fixed = self.commands.iter().flat_map(|c| c.fixed_slots.keys());
        let copied = self.commands.iter().flat_map(|c| c.rules.slot_names());
        let copied = copied.map(str::to_owned);
        self.slots
            .iter()
            .chain(fixed)
            .cloned()
            .chain(copied)
            .collect()
    }

    /// What is wrong with a command whose sentences are compiled.
    pub(super) fn misuse(&self, index: usize, spec: &CommandSpec) -> Option<GrammarCause> {
        let command = spec.name.clone();
        if spec.sentences.is_empty() {
            return Some(GrammarCause::NoSentences { command });
        }
        // An action of a command in several blocks is that of all of them.
        let name_id = self.commands[index].name_id;
        let blocks = (0..self.commands.len()).filter(|i| self.commands[*i].name_id == name_id);
        let slots: BTreeSet<&str> = blocks.flat_map(|i| self.slots(i)).collect();
        let undo = match &spec.traits.undo {
            Some(Undo::Action(undo)) => Some(undo),
            _ => None,
        };
        let actions = spec.action.iter().chain(undo);
        let slot = actions
            .flat_map(|action| action.mentioned_slots())
            .find(|slot| !slots.contains(slot.as_str()))?;
        let nearest = nearest(&slot, slots.iter().copied());
        Some(GrammarCause::UnknownSlot {
            command,
            slot,
            nearest,
        })
    }

    /// How many nodes the graph has, a measure of its size.
    pub fn n_nodes(&self) -> usize {
        self.graph.nodes.len().saturating_sub(1)
    }

    /// How many bytes the graph, the vocabulary and the lists take, about.
    pub fn n_bytes(&self) -> usize {
        let graph = size_of_val(&self.graph.nodes[..])
            + size_of_val(&self.graph.words[..])
            + size_of_val(&self.graph.empty[..])
            + size_of_val(&self.graph.lists[..]);
        // A word is there once, with its two counts, and is pointed at from the list and the table.
        let of_word = size_of::<Arc<str>>() * 2 + size_of::<WordId>() + 2 * size_of::<usize>();
        let words: usize = self.words.iter().map(|word| word.len() + of_word).sum();
        let lists = self.lists.iter().map(|list| match list {
            List::Values { values, .. } => {
                let texts: usize = values.iter().map(|value| value.len()).sum();
                texts + size_of_val(&values[..])
            }
            _ => size_of::<List>(),
        });
        graph + words + lists.sum::<usize>()
    }

    /// Every word that can be said, in no useful order.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(AsRef::as_ref)
    }

    pub(super) fn word_id(&mut self, word: &str) -> WordId {
        if let Some(id) = self.word_ids.get(word) {
            return *id;
        }
        let id = self.words.len() as WordId;
        let word: Arc<str> = word.into();
        self.words.push(word.clone());
        self.word_ids.insert(word, id);
        id
    }
}
