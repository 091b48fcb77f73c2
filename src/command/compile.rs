//! From templates to the graph.
//!
//! Enters: a [`GrammarSpec`]. Leaves: a [`Grammar`], and a list of what could not be compiled.
//! Bounded in nodes, steps and depth whatever the templates are. Runs once at load.

use std::collections::HashMap;

use super::graph::{CompiledCommand, Grammar, List, ListEdge, ListId, NodeId, SlotId};
use super::mistake::{GrammarCause, GrammarError, nearest};
use super::spec::{GrammarSpec, ListSpec, ListValue, Sentence};
use super::spelling::{join_glued, spellings};
use super::template::{self, Node};
use super::words::{self, POSSESSIVE};

/// Most nodes of a grammar: about 100 MB.
pub(super) const MAX_NODES: usize = 1_000_000;
/// Most spellings that brackets inside a word may give.
pub(super) const MAX_SPELLINGS: usize = 200;
/// Most ways to speak a value that stands for itself.
pub(super) const MAX_SPOKEN: usize = 2_000;
/// Most parts of a permutation; each doubles its size.
pub(super) const MAX_PERMUTED: usize = 6;
/// Most rules inside each other.
pub(super) const MAX_RULE_DEPTH: usize = 16;
/// Most template parts visited, counting a rule each time it is used.
pub(super) const MAX_STEPS: usize = 5_000_000;

/// Compiles everything that can be compiled; what cannot is left out and appended to
/// `errors`.
pub(super) fn compile(spec: &GrammarSpec, errors: &mut Vec<GrammarError>) -> Grammar {
    let mut builder = Builder {
        spec,
        grammar: Grammar::default(),
        list_ids: HashMap::new(),
        slot_ids: HashMap::new(),
        scope: 0,
        in_list: false,
        open_rules: Vec::new(),
        n_steps: 0,
    };
    for (index, command) in spec.commands.iter().enumerate() {
        builder.scope = index;
        let start = builder.grammar.add_node();
        for sentence in &command.sentences {
            if let Err(error) = builder.sentence(sentence, start, 0) {
                errors.push(error);
            }
        }
        builder.grammar.commands.push(CompiledCommand {
            name: command.name.clone(),
            start,
            fixed_slots: command.slots.clone(),
            action: command.action.clone(),
        });
        if let Some(cause) = builder.grammar.misuse(index, command) {
            errors.push(GrammarError {
                origin: command.origin.clone(),
                cause,
            });
        }
    }
    let mut grammar = builder.grammar;
    for node in &mut grammar.nodes {
        node.words.sort_unstable();
    }
    grammar
}

/// Cost of leaving out a word of the grammar, for words that carry no meaning of their own.
fn omission_cost(word: &str) -> Option<f32> {
    match word {
        POSSESSIVE => Some(0.1),
        "the" | "a" | "an" => Some(0.2),
        "my" | "your" | "our" | "please" | "some" => Some(0.3),
        "of" | "to" | "for" | "is" | "are" | "in" | "at" | "this" | "that" | "me" => Some(0.6),
        _ => None,
    }
}

struct Builder<'s> {
    spec: &'s GrammarSpec,
    grammar: Grammar,
    /// Compiled lists by name; those of one command under its index.
    list_ids: HashMap<(Option<usize>, String), ListId>,
    slot_ids: HashMap<String, SlotId>,
    /// Index of the command at hand.
    scope: usize,
    in_list: bool,
    open_rules: Vec<String>,
    n_steps: usize,
}

/// What is being compiled, for messages.
type Place<'a> = &'a Sentence;

fn fail<T>(place: Place<'_>, cause: GrammarCause) -> Result<T, GrammarError> {
    Err(GrammarError {
        origin: place.origin.clone(),
        cause,
    })
}

impl Builder<'_> {
    /// Compiles `sentence` from `start` on; its end accepts `value`.
    fn sentence(
        &mut self,
        sentence: &Sentence,
        start: NodeId,
        value: u32,
    ) -> Result<(), GrammarError> {
        let node = parse(sentence)?;
        self.open_rules.clear();
        let end = self.lower(&node, start, sentence)?;
        self.accept(sentence, start, end, value)
    }

    /// Makes `end` an end that accepts `value`.
    fn accept(
        &mut self,
        sentence: &Sentence,
        start: NodeId,
        end: NodeId,
        value: u32,
    ) -> Result<(), GrammarError> {
        if self.grammar.is_silent(start, end) {
            return fail(
                sentence,
                GrammarCause::Empty {
                    template: sentence.template.clone(),
                },
            );
        }
        // A fresh node: `end` may be shared with the inside of another sentence.
        let accept = self.grammar.add_node();
        self.grammar.nodes[accept as usize].accept = Some(value);
        self.grammar.add_empty(end, accept, 0.0);
        Ok(())
    }

    /// Adds `node` after `from` and returns where it ends.
    fn lower(&mut self, node: &Node, from: NodeId, at: Place) -> Result<NodeId, GrammarError> {
        self.n_steps += 1;
        if self.grammar.nodes.len() > MAX_NODES || self.n_steps > MAX_STEPS {
            return fail(at, GrammarCause::TooLarge);
        }
        match node {
            Node::Text(text) => Ok(self.lower_text(text, from)),
            Node::Sequence(parts) => {
                let mut end = from;
                let Some(parts) = join_glued(parts, MAX_SPELLINGS) else {
                    let template = at.template.clone();
                    return fail(at, GrammarCause::TooManySpellings { template });
                };
                for part in parts {
                    end = self.lower(&part, end, at)?;
                }
                Ok(end)
            }
            Node::Choice(parts) => {
                let ends: Result<Vec<_>, _> = parts
                    .iter()
                    .map(|part| self.lower(part, from, at))
                    .collect();
                Ok(self.join(&ends?))
            }
            Node::Optional(part) => {
                let end = self.lower(part, from, at)?;
                Ok(self.join(&[from, end]))
            }
            Node::Permutation(parts) => self.lower_permutation(parts, from, at),
            Node::List { list, slot, column } => {
                let id = self.list(list, at, *column)?;
                Ok(self.list_edge(id, slot, from))
            }
            Node::Range {
                from: low,
                to: high,
                slot,
            } => {
                if self.in_list {
                    let template = at.template.clone();
                    return fail(
                        at,
                        GrammarCause::NestedList {
                            template,
                            column: 1,
                        },
                    );
                }
                let id = self.add_list(List::Range {
                    from: *low,
                    to: *high,
                    step: 1,
                });
                Ok(self.list_edge(id, slot, from))
            }
            Node::Rule { rule, column } => self.lower_rule(rule, *column, from, at),
        }
    }

    fn lower_text(&mut self, text: &str, from: NodeId) -> NodeId {
        let mut end = from;
        for word in words::normalise(text) {
            let to = self.grammar.add_node();
            let id = self.grammar.word_id(&word);
            self.grammar.nodes[end as usize].words.push((id, to));
            if let Some(cost) = omission_cost(&word) {
                self.grammar.add_empty(end, to, cost);
            }
            end = to;
        }
        end
    }

    fn join(&mut self, ends: &[NodeId]) -> NodeId {
        let to = self.grammar.add_node();
        for end in ends {
            self.grammar.add_empty(*end, to, 0.0);
        }
        to
    }

    /// One node for each set of parts already said.
    fn lower_permutation(
        &mut self,
        parts: &[Node],
        from: NodeId,
        at: Place,
    ) -> Result<NodeId, GrammarError> {
        if parts.len() > MAX_PERMUTED {
            return fail(
                at,
                GrammarCause::TooManyPermuted {
                    template: at.template.clone(),
                },
            );
        }
        let n_sets = 1usize << parts.len();
        let mut ends: Vec<Vec<NodeId>> = vec![Vec::new(); n_sets];
        ends[0].push(from);
        let mut last = from;
        for set in 0..n_sets {
            // All smaller sets are done, so that edges lead upward.
            let here = if set == 0 {
                from
            } else {
                self.join(&ends[set].clone())
            };
            for (i, part) in parts
                .iter()
                .enumerate()
                .filter(|(i, _)| set & (1 << i) == 0)
            {
                let end = self.lower(part, here, at)?;
                ends[set | (1 << i)].push(end);
            }
            last = here;
        }
        Ok(last)
    }

    fn lower_rule(
        &mut self,
        rule: &str,
        column: usize,
        from: NodeId,
        at: Place,
    ) -> Result<NodeId, GrammarError> {
        let Some(sentence) = self.spec.rules.get(rule) else {
            let cause = GrammarCause::UnknownRule {
                template: at.template.clone(),
                column,
                rule: rule.to_owned(),
                nearest: nearest(rule, self.spec.rules.keys().map(String::as_str)),
            };
            return fail(at, cause);
        };
        if self.open_rules.iter().any(|open| open == rule) {
            return fail(
                sentence,
                GrammarCause::RecursiveRule {
                    rule: rule.to_owned(),
                },
            );
        }
        if self.open_rules.len() >= MAX_RULE_DEPTH {
            return fail(
                sentence,
                GrammarCause::RulesTooDeep {
                    rule: rule.to_owned(),
                },
            );
        }
        self.open_rules.push(rule.to_owned());
        let node = parse(sentence)?;
        let end = self.lower(&node, from, sentence)?;
        self.open_rules.pop();
        Ok(end)
    }

    fn list_edge(&mut self, list: ListId, slot: &str, from: NodeId) -> NodeId {
        let next = self.grammar.slots.len() as SlotId;
        let slot_id = *self.slot_ids.entry(slot.to_owned()).or_insert(next);
        if slot_id == next {
            self.grammar.slots.push(slot.to_owned());
        }
        let to = self.grammar.add_node();
        self.grammar.nodes[from as usize].lists.push(ListEdge {
            list,
            slot: slot_id,
            to,
        });
        to
    }

    fn add_list(&mut self, list: List) -> ListId {
        self.grammar.lists.push(list);
        (self.grammar.lists.len() - 1) as ListId
    }

    /// The compiled list `name` as the command at hand sees it.
    fn list(&mut self, name: &str, at: Place, column: usize) -> Result<ListId, GrammarError> {
        if self.in_list {
            let template = at.template.clone();
            return fail(at, GrammarCause::NestedList { template, column });
        }
        let spec = self.spec;
        let own = &spec.commands[self.scope].lists;
        let (scope, list) = match (own.get(name), spec.lists.get(name)) {
            (Some(list), _) => (Some(self.scope), list),
            (None, Some(list)) => (None, list),
            (None, None) => {
                let known = own.keys().chain(spec.lists.keys()).map(String::as_str);
                let cause = GrammarCause::UnknownList {
                    template: at.template.clone(),
                    column,
                    list: name.to_owned(),
                    nearest: nearest(name, known),
                };
                return fail(at, cause);
            }
        };
        let key = (scope, name.to_owned());
        if let Some(id) = self.list_ids.get(&key) {
            return Ok(*id);
        }
        let compiled = self.compile_list(list)?;
        let id = self.add_list(compiled);
        self.list_ids.insert(key, id);
        Ok(id)
    }

    fn compile_list(&mut self, list: &ListSpec) -> Result<List, GrammarError> {
        match list {
            ListSpec::Range { from, to, step } => Ok(List::Range {
                from: *from,
                to: *to,
                step: (*step).max(1),
            }),
            ListSpec::Values(specs) => {
                let start = self.grammar.add_node();
                let mut values = Vec::new();
                let open_rules = std::mem::take(&mut self.open_rules);
                self.in_list = true;
                let done = specs
                    .iter()
                    .try_for_each(|spec| self.value(spec, start, &mut values));
                self.in_list = false;
                self.open_rules = open_rules;
                done.map(|()| List::Values { start, values })
            }
        }
    }

    /// Adds the ways to speak a value from `start` on, and to `values` what each of them means.
    fn value(
        &mut self,
        spec: &ListValue,
        start: NodeId,
        values: &mut Vec<String>,
    ) -> Result<(), GrammarError> {
        let at = &spec.spoken;
        let index = values.len() as u32;
        if let Some(value) = &spec.value {
            values.push(value.clone());
            return self.sentence(at, start, index);
        }
        let Some(spellings) = spellings(&parse(at)?, MAX_SPOKEN) else {
            return fail(
                at,
                GrammarCause::NeedsOut {
                    template: at.template.clone(),
                },
            );
        };
        for (spelling, index) in spellings.into_iter().zip(index..) {
            let end = self.lower_text(&spelling, start);
            self.accept(at, start, end, index)?;
            values.push(spelling.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        Ok(())
    }
}

fn parse(sentence: &Sentence) -> Result<Node, GrammarError> {
    template::parse(&sentence.template).map_err(|error| GrammarError {
        origin: sentence.origin.clone(),
        cause: GrammarCause::Template {
            template: sentence.template.clone(),
            error,
        },
    })
}
