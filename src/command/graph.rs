//! Compiled commands: a graph of words.
//!
//! Made from a [`GrammarSpec`] by `compile`: a directed graph without cycles in
//! which every edge leads to a node of a higher number. Sentences are never listed: alternatives,
//! optionals and permutations are edges, and each list is one sub-graph however often it is used.
//! Built once at load; read-only and shared after that.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::action::Action;
use super::compile;
use super::mistake::{GrammarCause, GrammarError, nearest};
use super::spec::{CommandSpec, GrammarSpec};

pub(crate) type WordId = u32;
pub(crate) type NodeId = u32;
pub(crate) type ListId = u32;
pub(crate) type SlotId = u32;

/// A place in the graph and what may follow.
#[derive(Clone, Debug, Default)]
pub(crate) struct GraphNode {
    /// Word edges, sorted.
    pub(crate) words: Vec<(WordId, NodeId)>,
    /// Edges that take no word, with their cost: 0, or that of leaving out a small word.
    pub(crate) empty: Vec<(NodeId, f32)>,
    /// Edges that take a value of a list.
    pub(crate) lists: Vec<ListEdge>,
    /// Set where a sentence (0) or a value of a list (its index) ends.
    pub(crate) accept: Option<u32>,
}

/// A value of `list` goes to `slot`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListEdge {
    pub(crate) list: ListId,
    pub(crate) slot: SlotId,
    pub(crate) to: NodeId,
}

/// A compiled list.
#[derive(Clone, Debug)]
pub(crate) enum List {
    /// A sub-graph; `values` are what its accepting nodes stand for.
    Values { start: NodeId, values: Vec<String> },
    /// Whole numbers.
    Range { from: i64, to: i64, step: i64 },
}

/// A compiled command.
#[derive(Clone, Debug)]
pub(crate) struct CompiledCommand {
    pub(crate) name: String,
    pub(crate) start: NodeId,
    pub(crate) fixed_slots: BTreeMap<String, String>,
    pub(crate) action: Option<Arc<Action>>,
}

/// All commands, compiled.
#[derive(Clone, Debug, Default)]
pub struct Grammar {
    pub(crate) nodes: Vec<GraphNode>,
    pub(crate) commands: Vec<CompiledCommand>,
    pub(crate) lists: Vec<List>,
    pub(crate) slots: Vec<String>,
    pub(crate) words: Vec<String>,
    pub(crate) word_ids: HashMap<String, WordId>,
}

impl Grammar {
    /// Compiles everything that can be compiled; what cannot is left out and appended to
    /// `errors`.
    pub fn compile(spec: &GrammarSpec, errors: &mut Vec<GrammarError>) -> Grammar {
        compile::compile(spec, errors)
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
        let mut names: BTreeSet<&str> = command.fixed_slots.keys().map(String::as_str).collect();
        let mut open = vec![command.start];
        let mut seen = HashSet::new();
        while let Some(node) = open.pop() {
            let node = &self.nodes[node as usize];
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
        self.slots.iter().chain(fixed).cloned().collect()
    }

    /// What is wrong with a command whose sentences are compiled.
    pub(super) fn misuse(&self, index: usize, spec: &CommandSpec) -> Option<GrammarCause> {
        let command = spec.name.clone();
        if spec.sentences.is_empty() {
            return Some(GrammarCause::NoSentences { command });
        }
        let slots = self.slots(index);
        let mentioned = spec.action.as_ref()?.mentioned_slots();
        let slot = mentioned
            .into_iter()
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
        self.nodes.len()
    }

    /// Every word that can be said, in no useful order.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    pub(super) fn add_node(&mut self) -> NodeId {
        self.nodes.push(GraphNode::default());
        (self.nodes.len() - 1) as NodeId
    }

    pub(super) fn add_empty(&mut self, from: NodeId, to: NodeId, cost: f32) {
        if from != to {
            self.nodes[from as usize].empty.push((to, cost));
        }
    }

    pub(super) fn word_id(&mut self, word: &str) -> WordId {
        if let Some(id) = self.word_ids.get(word) {
            return *id;
        }
        let id = self.words.len() as WordId;
        self.words.push(word.to_owned());
        self.word_ids.insert(word.to_owned(), id);
        id
    }

    /// Whether `end` is reached from `start` without any word.
    pub(super) fn is_silent(&self, start: NodeId, end: NodeId) -> bool {
        let mut open = vec![start];
        let mut seen = HashSet::new();
        while let Some(node) = open.pop() {
            if node == end {
                return true;
            }
            // The small words that may be left out do not count: they cost something.
            let free = self.nodes[node as usize]
                .empty
                .iter()
                .filter(|(_, cost)| *cost == 0.0);
            open.extend(free.map(|(to, _)| *to).filter(|to| seen.insert(*to)));
        }
        false
    }
}
