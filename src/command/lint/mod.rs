//! What can be said for two commands, or for none, or by accident.
//!
//! Enters: commands as written and compiled. Leaves: [`Remark`]s. Sets of sentences are compared as
//! automata, so that a hundred thousand sentences are a few hundred steps; the work is bounded, and
//! what is found is only reported when the matcher agrees.

mod automaton;
mod everyday;
mod lists;
mod sound;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use self::automaton::{Automaton, StateId};
use self::sound::Alike;
use self::walk::{Budget, Walk};
use super::advice::{Remark, Weight};
use super::graph::{Grammar, NodeId, WordId};
use super::matcher::{Match, MatchOptions, Matcher, Reason};
use super::spec::{CommandSpec, GrammarSpec, Origin, Sentence};

pub use everyday::wake_phrase;

/// Sentences of two sets that are tried on the matcher.
const MAX_TRIED: usize = 12;
/// All sentences that are tried.
const MAX_TRIED_IN_ALL: usize = 4_000;

/// A sentence as written, of which many can be said.
struct Pattern<'a> {
    /// Index of the command.
    command: usize,
    /// Index of the sentence in it.
    sentence: usize,
    spec: &'a CommandSpec,
    /// Slots that it fills.
    slots: BTreeSet<String>,
    /// Where it begins in the graph.
    begin: NodeId,
}

impl Pattern<'_> {
    fn origin(&self) -> Origin {
        let sentence = self.spec.sentences.get(self.sentence);
        sentence.map_or_else(|| self.spec.origin.clone(), |s| s.origin.clone())
    }

    fn is_of(&self, other: &Pattern<'_>) -> bool {
        self.spec.name == other.spec.name
    }
}

/// How much of a pattern must have something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// All that can be said.
    All,
    /// Any of it.
    Some,
}

/// A comparison of all commands.
struct Lint<'a> {
    spec: &'a GrammarSpec,
    /// Of commands that have one sentence each.
    matcher: Matcher,
    /// Its sentences have the numbers of the patterns.
    automaton: Automaton,
    alike: Alike,
    budget: Budget,
    patterns: Vec<Pattern<'a>>,
    /// The state in which everything can be said.
    all: StateId,
    n_tried: usize,
    remarks: Vec<Remark>,
}

/// What sentences can be said for two commands, cannot be said for their own, sound like others or
/// are said every day.
pub(super) fn remarks(spec: &GrammarSpec) -> Vec<Remark> {
    // What cannot be compiled is reported elsewhere.
    let grammar = Grammar::compile(&one_by_one(spec), &mut Vec::new());
    let patterns = patterns(spec, &grammar);
    let mut automaton = Automaton::new(&grammar);
    for (pattern, number) in patterns.iter().zip(0..) {
        automaton.number(pattern.begin, number);
    }
    let mut lint = Lint {
        spec,
        alike: Alike::new(automaton.words()),
        all: automaton.start(patterns.iter().map(|pattern| pattern.begin)),
        automaton,
        budget: Budget::default(),
        patterns,
        matcher: Matcher::new(grammar.into(), MatchOptions::default()),
        n_tried: 0,
        remarks: Vec::new(),
    };
    lint.compare();
    lint.everyday();
    lint.note_limits();
    let mut remarks = lint.remarks;
    lists::remarks(spec, &mut remarks);
    remarks
}

/// Built-in commands come last and give way, and whoever reads the remarks cannot change them.
fn is_built_in(command: &CommandSpec) -> bool {
    command.traits.built_in.is_some()
}

/// The same commands, each sentence as a command of its own.
fn one_by_one(spec: &GrammarSpec) -> GrammarSpec {
    let sentences = spec.commands.iter().flat_map(|command| {
        let alone = |sentence: &Sentence| CommandSpec {
            sentences: vec![sentence.clone()],
            action: None,
            ..command.clone()
        };
        command.sentences.iter().map(alone)
    });
    GrammarSpec {
        commands: sentences.collect(),
        ..spec.clone()
    }
}

/// All sentences, in the order in which `one_by_one` makes commands of them.
fn patterns<'a>(spec: &'a GrammarSpec, grammar: &Grammar) -> Vec<Pattern<'a>> {
    let sentences = spec
        .commands
        .iter()
        .enumerate()
        .flat_map(|(command, spec)| {
            let sentences = 0..spec.sentences.len();
            sentences.map(move |sentence| (command, sentence, spec))
        });
    let compiled = grammar.commands.iter().enumerate();
    let both = sentences.zip(compiled);
    both.map(|((command, sentence, spec), (index, compiled))| Pattern {
        command,
        sentence,
        spec,
        slots: grammar
            .slots(index)
            .into_iter()
            .map(str::to_owned)
            .collect(),
        begin: compiled.start,
    })
    .collect()
}

impl Lint<'_> {
    fn compare(&mut self) {
        // Of each pair of commands one example is enough.
        let mut sounded = BTreeSet::new();
        for index in 0..self.patterns.len() {
            // Blocks are others' work, repeat themselves, and are told apart by more than words.
            if self.patterns[index].spec.is_block || is_built_in(self.patterns[index].spec) {
                continue;
            }
            let state = self.automaton.start([self.patterns[index].begin]);
            let pair = (state, self.all);
            if self.is_unreachable(index, pair) || self.is_repeated(index, pair) {
                continue;
            }
            self.shared(index, pair);
            self.sounds_alike(index, pair, &mut sounded);
        }
    }

    /// Sentences of a pattern that are also of one that `is_meant`, each with the first such one;
    /// nothing unless `all` of them are, where that is asked for.
    fn common(
        &mut self,
        pair: (StateId, StateId),
        extent: Extent,
        is_meant: &dyn Fn(&Pattern<'_>) -> bool,
    ) -> Vec<(String, usize)> {
        let Lint {
            automaton,
            budget,
            patterns,
            ..
        } = self;
        let first = |accepted: &[u32]| {
            let numbers = accepted.iter().map(|number| *number as usize);
            numbers
                .into_iter()
                .find(|number| is_meant(&patterns[*number]))
        };
        let counts = |accepted: &[u32]| first(accepted).is_some();
        if extent == Extent::All && !Walk::new(automaton, budget, pair).second_covers_first(&counts)
        {
            return Vec::new();
        }
        let meetings = Walk::new(automaton, budget, pair).shared(MAX_TRIED, &counts);
        let told = meetings.into_iter().filter_map(|meeting| {
            let owner = first(automaton.accepted(meeting.ends.1))?;
            Some((automaton.text(&meeting.first), owner))
        });
        told.collect()
    }

    /// Whether nothing that fits the pattern does its command; says so.
    fn is_unreachable(&mut self, index: usize, pair: (StateId, StateId)) -> bool {
        let (command, spec) = (self.patterns[index].command, self.patterns[index].spec);
        let is_other = |other: &Pattern<'_>| other.spec.name != spec.name;
        let examples = self.common(pair, Extent::All, &is_other);
        for (text, owner) in &examples {
            let is_ours = match self.tried(text) {
                Some(Match::Accepted { name, .. }) => name == spec.name,
                // The later of two says so.
                Some(Match::Rejected { .. }) => self.patterns[*owner].command > command,
                None => true,
            };
            if is_ours {
                return false;
            }
        }
        let Some((text, owner)) = examples.first() else {
            return false;
        };
        let owner = &self.patterns[*owner];
        let text = format!(
            "command `{}`: nothing reaches this sentence; all of it, such as \"{text}\", is also \
             said for `{}` ({}): remove it, or say it in words of its own",
            spec.name,
            owner.spec.name,
            owner.origin()
        );
        self.remark(index, Weight::Mistake, text);
        true
    }

    /// Whether earlier sentences of the same command say all that the pattern does; says so.
    fn is_repeated(&mut self, index: usize, pair: (StateId, StateId)) -> bool {
        let own = &self.patterns[index];
        let (command, sentence, spec) = (own.command, own.sentence, own.spec);
        let slots = own.slots.clone();
        let is_earlier = |other: &Pattern<'_>| {
            other.command == command && other.sentence < sentence && other.slots == slots
        };
        let examples = self.common(pair, Extent::All, &is_earlier);
        let Some((_, first)) = examples.first() else {
            return false;
        };
        let first = self.patterns[*first].origin();
        let text = format!(
            "command `{}`: this sentence adds nothing to the one at {first}; remove it",
            spec.name
        );
        self.remark(index, Weight::Warning, text);
        true
    }

    /// A sentence that is also one of an earlier command, so that neither is done.
    fn shared(&mut self, index: usize, pair: (StateId, StateId)) {
        let (command, spec) = (self.patterns[index].command, self.patterns[index].spec);
        let is_earlier =
            |other: &Pattern<'_>| other.command < command && other.spec.name != spec.name;
        for (text, owner) in self.common(pair, Extent::Some, &is_earlier) {
            let Some(Match::Rejected {
                reason: Reason::Ambiguous,
                ..
            }) = self.tried(&text)
            else {
                continue;
            };
            let owner = &self.patterns[owner];
            let text = format!(
                "command `{}`: \"{text}\" is also said for `{}` ({}); it is ambiguous, and neither \
                 is done: leave it to one of them",
                spec.name,
                owner.spec.name,
                owner.origin()
            );
            // One example is enough for a sentence.
            return self.remark(index, Weight::Mistake, text);
        }
    }

    /// A sentence that sounds like one of an earlier command.
    fn sounds_alike(
        &mut self,
        index: usize,
        pair: (StateId, StateId),
        sounded: &mut BTreeSet<(usize, usize)>,
    ) {
        let Lint {
            automaton,
            budget,
            patterns,
            alike,
            ..
        } = self;
        let own = &patterns[index];
        let (command, name) = (own.command, own.spec.name.as_str());
        let earlier = |accepted: &[u32]| {
            let mut numbers = accepted.iter().map(|number| *number as usize);
            numbers.find(|number| {
                let other = &patterns[*number];
                other.command < command && !other.is_of(own)
            })
        };
        let counts = |accepted: &[u32]| earlier(accepted).is_some();
        let walk = Walk::new(automaton, budget, pair);
        let meetings = walk.alike(alike, MAX_TRIED, &counts);
        let told = meetings.into_iter().filter_map(|meeting| {
            let owner = earlier(automaton.accepted(meeting.ends.1))?;
            let (own, other) = (&meeting.first, &meeting.second);
            Some((automaton.text(own), automaton.text(other), owner))
        });
        for (said, other, owner) in told.collect::<Vec<_>>() {
            let (other_name, other_command) = (
                &self.patterns[owner].spec.name,
                self.patterns[owner].command,
            );
            let (at, pair) = (self.patterns[owner].origin(), (command, other_command));
            let text = format!(
                "command `{name}`: \"{said}\" sounds like \"{other}\" of `{other_name}` ({at}): put \
                 one of them in other words"
            );
            let other_name = other_name.clone();
            if sounded.contains(&pair)
                || !self.is_taken(&said, name)
                || !self.is_taken(&other, &other_name)
            {
                continue;
            }
            sounded.insert(pair);
            self.remark(index, Weight::Warning, text);
        }
    }

    /// Whether `text` is understood as the command of that name.
    fn is_taken(&mut self, text: &str, name: &str) -> bool {
        matches!(self.tried(text), Some(Match::Accepted { name: taken, .. }) if taken == name)
    }

    /// Whole sentences that people say without meaning a command.
    fn everyday(&mut self) {
        let mut found: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for phrase in everyday::phrases() {
            let ids = phrase.iter().map(|word| self.automaton.word_id(word));
            let ids = ids.collect::<Option<Vec<WordId>>>();
            let state = ids.and_then(|ids| {
                let mut words = ids.iter();
                words.try_fold(self.all, |state, word| self.automaton.step(state, *word))
            });
            let Some(state) = state else {
                continue;
            };
            let mut seen = BTreeSet::new();
            for number in self.automaton.accepted(state) {
                // The first sentence of each command.
                if seen.insert(self.patterns[*number as usize].command) {
                    let phrases = found.entry(*number as usize).or_default();
                    phrases.push(format!("\"{}\"", phrase.join(" ")));
                }
            }
        }
        found.retain(|index, _| !is_built_in(self.patterns[*index].spec));
        for (index, phrases) in found {
            let verb = if phrases.len() > 1 { "are" } else { "is" };
            let text = format!(
                "command `{}`: {} {verb} said every day without meaning it: add a word that makes it \
                 a command",
                self.patterns[index].spec.name,
                phrases.join(", ")
            );
            self.remark(index, Weight::Warning, text);
        }
    }

    /// What the matcher makes of `text`; nothing when too much was tried.
    fn tried(&mut self, text: &str) -> Option<Match> {
        self.n_tried += 1;
        (self.n_tried <= MAX_TRIED_IN_ALL).then(|| self.matcher.match_text(text))
    }

    fn remark(&mut self, index: usize, weight: Weight, text: String) {
        self.remarks.push(Remark {
            origin: self.patterns[index].origin(),
            weight,
            text,
        });
    }

    /// Says so when not everything was compared.
    fn note_limits(&mut self) {
        let is_all = self.automaton.is_complete()
            && self.budget.was_enough()
            && self.n_tried <= MAX_TRIED_IN_ALL;
        let Some(last) = self.spec.commands.last().filter(|_| !is_all) else {
            return;
        };
        self.remarks.push(Remark {
            origin: last.origin.clone(),
            weight: Weight::Warning,
            text: "there is too much that can be said to compare all of it: put repeated \
                   alternatives into lists"
                .to_owned(),
        });
    }
}

#[cfg(test)]
mod tests;
