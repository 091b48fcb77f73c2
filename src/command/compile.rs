//! From templates to the graph.
//!
//! Enters: a [`GrammarSpec`]. Leaves: a [`Grammar`], and a list of what could not be compiled.
//! Bounded in nodes, steps and depth whatever the templates are. Runs once at load.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::builtin::{Builtin, part_range, part_slot};
use super::context::ContextRules;
use super::graph::{
    CompiledCommand, Grammar, GraphDraft, List, ListEdge, ListId, NodeId, SlotId, WordId,
};
use super::mistake::{GrammarCause, GrammarError, nearest};
use super::spec::{CommandSpec, Context, GrammarSpec, ListSpec, ListValue, NumberRange, Sentence};
use super::spelling::{join_glued, spellings};
use super::template::{self, Node};
use super::words::{self, POSSESSIVE};

/// Most nodes of a grammar: about 50 MB.
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
    let mut builder = Builder::new(spec);
    let mut found: Vec<(usize, GrammarError)> = Vec::new();
    let mut names: HashMap<&str, usize> = HashMap::new();
    for (index, command) in spec.commands.iter().enumerate() {
        builder.scope = index;
        let start = builder.draft.add_node();
        for sentence in &command.sentences {
            let done = builder.sentence(sentence, start, 0);
            found.extend(done.err().map(|error| (index, error)));
        }
        let name_id = *names.entry(&command.name).or_insert(index);
        let compiled = compiled(command, name_id, start);
        builder.grammar.commands.push(compiled);
    }
    let mut grammar = builder.finish();
    for (index, command) in spec.commands.iter().enumerate() {
        let cause = grammar.misuse(index, command);
        let origin = command.origin.clone();
        found.extend(cause.map(|cause| (index, GrammarError { origin, cause })));
    }
    let skip_words = spec.skip_words.iter().map(skipped);
    for words in skip_words {
        match words {
            Ok(words) => grammar.skip_words.extend(words),
            Err(error) => found.push((spec.commands.len(), error)),
        }
    }
    found.sort_by_key(|(index, _)| *index);
    errors.extend(found.into_iter().map(|(_, error)| error));
    grammar
}

fn compiled(spec: &CommandSpec, name_id: usize, start: NodeId) -> CompiledCommand {
    let keywords = spec.required_keywords.iter();
    CompiledCommand {
        name: spec.name.clone(),
        name_id,
        start,
        fixed_slots: spec.slots.clone(),
        rules: ContextRules::new(spec),
        required_keywords: keywords.map(|word| words::normalise(word)).collect(),
        action: spec.action.clone(),
        is_built_in: spec.traits.built_in.is_some(),
    }
}

/// The ways to say words that may be ignored.
fn skipped(sentence: &Sentence) -> Result<Vec<Vec<String>>, GrammarError> {
    let Some(spellings) = spellings(&parse(sentence)?, MAX_SPELLINGS) else {
        let template = sentence.template.clone();
        return fail(sentence, GrammarCause::TooManySpellings { template });
    };
    let ways = spellings.iter().map(|spelling| words::normalise(spelling));
    Ok(ways.filter(|words| !words.is_empty()).collect())
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

/// Whose list it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Owner {
    /// That of the command of this index.
    Command(usize),
    /// That of the files the command comes from, told apart by the address of their scope.
    Files(usize),
    /// Common to all.
    Common,
}

struct Builder<'s> {
    spec: &'s GrammarSpec,
    grammar: Grammar,
    draft: GraphDraft,
    /// Where a word leads to from a node: sentences that begin alike share their beginning.
    after_word: HashMap<(NodeId, WordId), NodeId>,
    /// Where a value of a list leads to.
    after_list: HashMap<(NodeId, ListId, SlotId), NodeId>,
    list_ids: HashMap<(Owner, String), ListId>,
    builtin_ids: HashMap<Builtin, ListId>,
    slot_ids: HashMap<String, SlotId>,
    /// Index of the command at hand.
    scope: usize,
    inside: Inside,
    open_rules: Vec<String>,
    n_steps: usize,
}

/// What is being compiled, for messages.
type Place<'a> = &'a Sentence;

/// What surrounds a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Sentence,
    /// A value of a list: it has no lists in it.
    List,
    /// A list that comes with the language: its own lists and slots are parts of the value.
    Builtin,
}

/// Where a part of a template ends, and whether it may be no words at all.
#[derive(Clone, Copy, Debug)]
struct Lowered {
    end: NodeId,
    may_be_silent: bool,
}

fn fail<T>(place: Place<'_>, cause: GrammarCause) -> Result<T, GrammarError> {
    Err(GrammarError {
        origin: place.origin.clone(),
        cause,
    })
}

impl<'s> Builder<'s> {
    fn new(spec: &'s GrammarSpec) -> Self {
        Builder {
            spec,
            grammar: Grammar::default(),
            draft: GraphDraft::default(),
            after_word: HashMap::new(),
            after_list: HashMap::new(),
            list_ids: HashMap::new(),
            builtin_ids: HashMap::new(),
            slot_ids: HashMap::new(),
            scope: 0,
            inside: Inside::Sentence,
            open_rules: Vec::new(),
            n_steps: 0,
        }
    }

    fn finish(self) -> Grammar {
        let mut grammar = self.grammar;
        drop((self.after_word, self.after_list));
        grammar.graph = self.draft.finish();
        grammar
    }

    /// Compiles `sentence` from `start` on; its end accepts `value`.
    fn sentence(
        &mut self,
        sentence: &Sentence,
        start: NodeId,
        value: u32,
    ) -> Result<(), GrammarError> {
        let node = parse(sentence)?;
        self.open_rules.clear();
        let lowered = self.lower(&node, start, sentence)?;
        self.accept(sentence, lowered, value)
    }

    /// Makes the end of `lowered` one that accepts `value`.
    fn accept(&mut self, at: Place, lowered: Lowered, value: u32) -> Result<(), GrammarError> {
        if lowered.may_be_silent {
            let template = at.template.clone();
            return fail(at, GrammarCause::Empty { template });
        }
        match self.draft.accepts.entry(lowered.end) {
            Entry::Vacant(free) => drop(free.insert(value)),
            Entry::Occupied(taken) if *taken.get() == value => {}
            Entry::Occupied(_) => {
                let accept = self.draft.add_node();
                self.draft.accepts.insert(accept, value);
                self.draft.empty.push((lowered.end, accept, 0.0));
            }
        }
        Ok(())
    }

    /// Adds `node` after `from`.
    fn lower(&mut self, node: &Node, from: NodeId, at: Place) -> Result<Lowered, GrammarError> {
        self.n_steps += 1;
        if self.draft.n_nodes() > MAX_NODES || self.n_steps > MAX_STEPS {
            return fail(at, GrammarCause::TooLarge);
        }
        match node {
            Node::Text(text) => Ok(self.lower_text(text, from)),
            Node::Sequence(parts) => self.lower_sequence(parts, from, at),
            Node::Choice(parts) => {
                let ends = parts.iter().map(|part| self.lower(part, from, at));
                let ends = ends.collect::<Result<Vec<_>, _>>()?;
                Ok(self.join(&ends))
            }
            Node::Optional(part) => {
                let said = self.lower(part, from, at)?;
                let unsaid = Lowered {
                    end: from,
                    may_be_silent: true,
                };
                Ok(self.join(&[unsaid, said]))
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
                self.must_be_a_sentence(at, 1)?;
                let range = List::Range(NumberRange::new(*low, *high));
                let id = self.nameless_list(format!("{low}..{high}"), range);
                Ok(self.list_edge(id, slot, from))
            }
            Node::Free { slot, column } => {
                self.must_be_a_sentence(at, *column)?;
                let id = self.nameless_list("*".to_owned(), List::Free);
                Ok(self.list_edge(id, slot, from))
            }
            Node::Rule { rule, column } => self.lower_rule(rule, *column, from, at),
        }
    }

    fn must_be_a_sentence(&self, at: Place, column: usize) -> Result<(), GrammarError> {
        if self.inside == Inside::Sentence {
            return Ok(());
        }
        let template = at.template.clone();
        fail(at, GrammarCause::NestedList { template, column })
    }

    fn lower_sequence(
        &mut self,
        parts: &[Node],
        from: NodeId,
        at: Place,
    ) -> Result<Lowered, GrammarError> {
        let Some(parts) = join_glued(parts, MAX_SPELLINGS) else {
            let template = at.template.clone();
            return fail(at, GrammarCause::TooManySpellings { template });
        };
        let mut lowered = Lowered {
            end: from,
            may_be_silent: true,
        };
        for part in parts {
            let next = self.lower(&part, lowered.end, at)?;
            lowered = Lowered {
                end: next.end,
                may_be_silent: lowered.may_be_silent && next.may_be_silent,
            };
        }
        Ok(lowered)
    }

    fn lower_text(&mut self, text: &str, from: NodeId) -> Lowered {
        let mut end = from;
        for word in words::normalise(text) {
            end = self.word_edge(&word, end);
        }
        Lowered {
            end,
            may_be_silent: end == from,
        }
    }

    fn word_edge(&mut self, word: &str, from: NodeId) -> NodeId {
        let id = self.grammar.word_id(word);
        match self.after_word.entry((from, id)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(free) => {
                let to = *free.insert(self.draft.add_node());
                self.draft.words.push((from, id, to));
                let omission = omission_cost(word).map(|cost| (from, to, cost));
                self.draft.empty.extend(omission);
                to
            }
        }
    }

    fn join(&mut self, ends: &[Lowered]) -> Lowered {
        let may_be_silent = ends.iter().any(|lowered| lowered.may_be_silent);
        let end = self.draft.add_node();
        let edges = ends.iter().map(|lowered| (lowered.end, end, 0.0));
        self.draft.empty.extend(edges);
        Lowered { end, may_be_silent }
    }

    /// One node for each set of parts already said.
    fn lower_permutation(
        &mut self,
        parts: &[Node],
        from: NodeId,
        at: Place,
    ) -> Result<Lowered, GrammarError> {
        if parts.len() > MAX_PERMUTED {
            let template = at.template.clone();
            return fail(at, GrammarCause::TooManyPermuted { template });
        }
        let n_sets = 1usize << parts.len();
        let mut ends: Vec<Vec<Lowered>> = vec![Vec::new(); n_sets];
        ends[0].push(Lowered {
            end: from,
            may_be_silent: true,
        });
        let mut last = ends[0][0];
        for set in 0..n_sets {
            // All smaller sets are done, so that edges lead upward.
            let here = match set {
                0 => last,
                _ => self.join(&ends[set].clone()),
            };
            let missing = (0..parts.len()).filter(|i| set & (1 << i) == 0);
            for i in missing {
                let said = self.lower(&parts[i], here.end, at)?;
                ends[set | (1 << i)].push(Lowered {
                    end: said.end,
                    may_be_silent: here.may_be_silent && said.may_be_silent,
                });
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
    ) -> Result<Lowered, GrammarError> {
        let spec = self.spec;
        let of_files = &spec.commands[self.scope].scope.rules;
        let Some(sentence) = of_files.get(rule).or_else(|| spec.rules.get(rule)) else {
            let known = of_files.keys().chain(spec.rules.keys());
            let cause = GrammarCause::UnknownRule {
                template: at.template.clone(),
                column,
                rule: rule.to_owned(),
                nearest: nearest(rule, known.map(String::as_str)),
            };
            return fail(at, cause);
        };
        let rule = rule.to_owned();
        if self.open_rules.contains(&rule) {
            return fail(sentence, GrammarCause::RecursiveRule { rule });
        }
        if self.open_rules.len() >= MAX_RULE_DEPTH {
            return fail(sentence, GrammarCause::RulesTooDeep { rule });
        }
        self.open_rules.push(rule);
        let node = parse(sentence)?;
        let lowered = self.lower(&node, from, sentence)?;
        self.open_rules.pop();
        Ok(lowered)
    }

    fn list_edge(&mut self, list: ListId, slot: &str, from: NodeId) -> Lowered {
        let part = match self.inside {
            Inside::Builtin => part_slot(slot),
            _ => None,
        };
        let slot = part.unwrap_or_else(|| self.slot_id(slot));
        let end = match self.after_list.entry((from, list, slot)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(free) => {
                let to = *free.insert(self.draft.add_node());
                self.draft.lists.push((from, ListEdge { list, slot, to }));
                to
            }
        };
        Lowered {
            end,
            may_be_silent: false,
        }
    }

    fn slot_id(&mut self, slot: &str) -> SlotId {
        if let Some(id) = self.slot_ids.get(slot) {
            return *id;
        }
        let id = self.grammar.slots.len() as SlotId;
        self.grammar.slots.push(slot.to_owned());
        self.slot_ids.insert(slot.to_owned(), id);
        id
    }

    fn add_list(&mut self, list: List) -> ListId {
        self.grammar.lists.push(list);
        (self.grammar.lists.len() - 1) as ListId
    }

    /// The compiled list `name` as the command at hand sees it.
    fn list(&mut self, name: &str, at: Place, column: usize) -> Result<ListId, GrammarError> {
        if self.inside == Inside::Builtin {
            return Ok(self.part_list(name));
        }
        self.must_be_a_sentence(at, column)?;
        let spec = self.spec;
        let command = &spec.commands[self.scope];
        let files = Owner::Files(Arc::as_ptr(&command.scope).addr());
        let found = None
            .or_else(|| Some((Owner::Command(self.scope), command.lists.get(name)?)))
            .or_else(|| Some((files.clone(), command.scope.lists.get(name)?)))
            .or_else(|| Some((Owner::Common, spec.lists.get(name)?)))
            .or_else(|| Some((files.clone(), command.scope.default_lists.get(name)?)));
        let Some((owner, list)) = found else {
            if let Some(builtin) = Builtin::named(name) {
                return self.builtin(builtin);
            }
            let own = command.lists.keys().chain(command.scope.lists.keys());
            let known = own.chain(spec.lists.keys()).map(String::as_str);
            let cause = GrammarCause::UnknownList {
                template: at.template.clone(),
                column,
                list: name.to_owned(),
                nearest: nearest(name, known),
            };
            return fail(at, cause);
        };
        let key = (owner, name.to_owned());
        if let Some(id) = self.list_ids.get(&key) {
            return Ok(*id);
        }
        let compiled = self.compile_list(list)?;
        let id = self.add_list(compiled);
        self.list_ids.insert(key, id);
        Ok(id)
    }

    /// The numbers of that name, of which a value of a list of the language consists.
    fn part_list(&mut self, name: &str) -> ListId {
        // A name that is unknown would be a mistake in the table of the ways.
        let range = part_range(name).unwrap_or(NumberRange::new(0, 0));
        self.nameless_list(format!("{{{name}}}"), List::Range(range))
    }

    /// A list that is written in a template; `key` is no name that a list may have.
    fn nameless_list(&mut self, key: String, list: List) -> ListId {
        let key = (Owner::Common, key);
        if let Some(id) = self.list_ids.get(&key) {
            return *id;
        }
        let id = self.add_list(list);
        self.list_ids.insert(key, id);
        id
    }

    fn builtin(&mut self, builtin: Builtin) -> Result<ListId, GrammarError> {
        if let Some(id) = self.builtin_ids.get(&builtin) {
            return Ok(*id);
        }
        let ways = Arc::new(builtin.ways());
        let start = self.draft.add_node();
        let open_rules = std::mem::take(&mut self.open_rules);
        self.inside = Inside::Builtin;
        let done = ways.templates().zip(0..).try_for_each(|(template, way)| {
            let sentence = Sentence {
                template: template.to_owned(),
                ..Sentence::default()
            };
            self.sentence(&sentence, start, way)
        });
        self.inside = Inside::Sentence;
        self.open_rules = open_rules;
        done?;
        let id = self.add_list(List::Builtin { start, ways });
        self.builtin_ids.insert(builtin, id);
        Ok(id)
    }

    fn compile_list(&mut self, list: &ListSpec) -> Result<List, GrammarError> {
        let specs = match list {
            ListSpec::Range(range) => return Ok(List::Range(*range)),
            ListSpec::Free => return Ok(List::Free),
            ListSpec::Values(specs) => specs,
        };
        let start = self.draft.add_node();
        let mut list = Values::default();
        let open_rules = std::mem::take(&mut self.open_rules);
        self.inside = Inside::List;
        let done = specs
            .iter()
            .try_for_each(|spec| self.value(spec, start, &mut list));
        self.inside = Inside::Sentence;
        self.open_rules = open_rules;
        done?;
        list.values.shrink_to_fit();
        Ok(List::Values {
            start,
            values: list.values,
            contexts: list.contexts,
        })
    }

    /// Adds the ways to speak a value from `start` on, and to `list` what each of them means.
    fn value(
        &mut self,
        spec: &ListValue,
        start: NodeId,
        list: &mut Values,
    ) -> Result<(), GrammarError> {
        let at = &spec.spoken;
        let context = (!spec.context.is_empty()).then(|| Arc::new(spec.context.clone()));
        if let Some(value) = &spec.value {
            let index = list.add(value, context.as_ref());
            return self.sentence(at, start, index);
        }
        let Some(spellings) = spellings(&parse(at)?, MAX_SPOKEN) else {
            let template = at.template.clone();
            return fail(at, GrammarCause::NeedsOut { template });
        };
        self.n_steps += spellings.len();
        for spelling in spellings {
            if self.draft.n_nodes() > MAX_NODES || self.n_steps > MAX_STEPS {
                return fail(at, GrammarCause::TooLarge);
            }
            let lowered = self.lower_text(&spelling, start);
            let value = spelling.split_whitespace().collect::<Vec<_>>().join(" ");
            let index = list.add(&value, context.as_ref());
            self.accept(at, lowered, index)?;
        }
        Ok(())
    }
}

/// The values of a list that is being compiled.
#[derive(Default)]
struct Values {
    values: Vec<Box<str>>,
    contexts: HashMap<u32, Arc<Context>>,
}

impl Values {
    /// The index of a new value.
    fn add(&mut self, value: &str, context: Option<&Arc<Context>>) -> u32 {
        let index = self.values.len() as u32;
        self.values.push(value.into());
        let context = context.map(|context| (index, Arc::clone(context)));
        self.contexts.extend(context);
        index
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
