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

use std::collections::BTreeSet;

use self::automaton::{Automaton, StateId};
use self::sound::Alike;
use self::walk::{Budget, Walk};
use super::advice::{Remark, Weight};
use super::graph::{CompiledCommand, Grammar, NodeId, WordId};
use super::matcher::{Match, MatchOptions, Matcher, Reason};
use super::spec::{CommandSpec, GrammarSpec, Origin, Sentence};

pub use everyday::wake_phrase;

/// Sentences of two sets that are tried on the matcher.
const MAX_TRIED: usize = 12;
/// All sentences that are tried.
const MAX_TRIED_IN_ALL: usize = 4_000;

/// A sentence as written, of which many can be said.
#[derive(Clone, Copy, Debug)]
struct Pattern {
    /// Index of the command.
    command: usize,
    /// Index of the sentence in it.
    sentence: usize,
    /// Index among all patterns.
    index: usize,
    /// Where it begins in the graph.
    begin: NodeId,
}

/// A comparison of all commands.
struct Lint<'a> {
    spec: &'a GrammarSpec,
    /// Of commands that have one sentence each.
    matcher: Matcher,
    automaton: Automaton,
    alike: Alike,
    budget: Budget,
    patterns: Vec<Pattern>,
    n_tried: usize,
    remarks: Vec<Remark>,
}

/// What sentences can be said for two commands, cannot be said for their own, sound like others or
/// are said every day.
pub(super) fn remarks(spec: &GrammarSpec) -> Vec<Remark> {
    // What cannot be compiled is reported elsewhere.
    let grammar = Grammar::compile(&one_by_one(spec), &mut Vec::new());
    let automaton = Automaton::new(&grammar);
    let sentences = spec
        .commands
        .iter()
        .enumerate()
        .flat_map(|(command, spec)| {
            let sentences = 0..spec.sentences.len();
            sentences.map(move |sentence| (command, sentence))
        });
    let pattern =
        |(index, ((command, sentence), compiled)): (usize, (_, &CompiledCommand))| Pattern {
            command,
            sentence,
            index,
            begin: compiled.start,
        };
    let mut lint = Lint {
        spec,
        alike: Alike::new(automaton.words()),
        automaton,
        budget: Budget::default(),
        patterns: (sentences.zip(&grammar.commands).enumerate().map(pattern)).collect(),
        matcher: Matcher::new(grammar.into(), MatchOptions::default()),
        n_tried: 0,
        remarks: Vec::new(),
    };
    for command in 0..spec.commands.len() {
        lint.command(command);
    }
    lint.note_limits();
    let mut remarks = lint.remarks;
    lists::remarks(spec, &mut remarks);
    remarks
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

impl Lint<'_> {
    fn command(&mut self, command: usize) {
        let name = &self.spec.commands[command].name;
        let is_other = |pattern: &&Pattern| self.spec.commands[pattern.command].name != *name;
        let others: Vec<Pattern> = self.patterns.iter().filter(is_other).copied().collect();
        let own = |pattern: &&Pattern| pattern.command == command;
        let own: Vec<Pattern> = self.patterns.iter().filter(own).copied().collect();
        let earlier = others.iter().filter(|pattern| pattern.command < command);
        let earlier = self.automaton.start(earlier.map(|pattern| pattern.begin));
        let all = self
            .automaton
            .start(others.iter().map(|pattern| pattern.begin));
        let mut sounded = BTreeSet::new();
        for (i, pattern) in own.iter().enumerate() {
            let state = self.automaton.start([pattern.begin]);
            if self.is_unreachable(*pattern, state, all) {
                continue;
            }
            if let Some(first) = self.repeated(&own[..i], *pattern, state) {
                let text = format!(
                    "command `{name}`: this sentence adds nothing to the one at {first}; remove it"
                );
                self.remark(*pattern, Weight::Warning, text);
                continue;
            }
            self.shared(*pattern, state, earlier);
            self.sounds_alike(*pattern, state, earlier, &mut sounded);
        }
        self.everyday(command, &own);
    }

    /// Whether nothing that fits the pattern does its command; says so.
    fn is_unreachable(&mut self, pattern: Pattern, state: StateId, others: StateId) -> bool {
        let pair = (state, others);
        if !self.walk(pair).second_covers_first() {
            return false;
        }
        let (spec, name) = (self.spec, self.spec.commands[pattern.command].name.clone());
        let examples = self.walk(pair).shared(MAX_TRIED);
        let mut found = None;
        for example in examples {
            let text = self.automaton.text(&example.first);
            let owner = self.owner(&example.first, |other| {
                spec.commands[other.command].name != name
            });
            let (Some(owner), Some(understood)) = (owner, self.tried(&text)) else {
                return false;
            };
            let is_ours = match understood {
                Match::Accepted { name: taken, .. } => taken == name,
                // The later of two says so.
                Match::Rejected { .. } => owner.command > pattern.command,
            };
            if is_ours {
                return false;
            }
            found.get_or_insert((text, owner));
        }
        let Some((text, owner)) = found else {
            return false;
        };
        let (other, at) = self.told(owner);
        let text = format!(
            "command `{name}`: nothing reaches this sentence; all of it, such as \"{text}\", is also \
             said for `{other}` ({at}): remove it, or say it in words of its own"
        );
        self.remark(pattern, Weight::Mistake, text);
        true
    }

    /// The earlier sentence of the same command that says all that `pattern` does.
    fn repeated(&mut self, before: &[Pattern], pattern: Pattern, state: StateId) -> Option<Origin> {
        let grammar = self.matcher.grammar().clone();
        let slots = grammar.slots(pattern.index);
        for earlier in before {
            if grammar.slots(earlier.index) != slots {
                continue;
            }
            let pair = (state, self.automaton.start([earlier.begin]));
            // One that could not be compiled says nothing at all.
            if self.walk(pair).second_covers_first() && !self.walk(pair).shared(1).is_empty() {
                return Some(self.told(*earlier).1);
            }
        }
        None
    }

    /// A sentence that is also one of an earlier command, so that neither is done.
    fn shared(&mut self, pattern: Pattern, state: StateId, earlier: StateId) {
        let pair = (state, earlier);
        for meeting in self.walk(pair).shared(MAX_TRIED) {
            let text = self.automaton.text(&meeting.first);
            let Some(Match::Rejected {
                reason: Reason::Ambiguous,
                ..
            }) = self.tried(&text)
            else {
                continue;
            };
            let owner = self.owner(&meeting.first, |other| other.command < pattern.command);
            let Some((other, at)) = owner.map(|owner| self.told(owner)) else {
                continue;
            };
            let text = format!(
                "command `{}`: \"{text}\" is also said for `{other}` ({at}); it is ambiguous, and \
                 neither is done: leave it to one of them",
                self.spec.commands[pattern.command].name
            );
            // One example is enough for a sentence.
            return self.remark(pattern, Weight::Mistake, text);
        }
    }

    /// A sentence that sounds like one of an earlier command.
    fn sounds_alike(
        &mut self,
        pattern: Pattern,
        state: StateId,
        earlier: StateId,
        sounded: &mut BTreeSet<usize>,
    ) {
        let pair = (state, earlier);
        let walk = Walk::new(&mut self.automaton, &mut self.budget, pair);
        let meetings = walk.alike(&self.alike, MAX_TRIED);
        for meeting in meetings {
            let own = self.automaton.text(&meeting.first);
            let other = self.automaton.text(&meeting.second);
            let Some(owner) = self.owner(&meeting.second, |other| other.command < pattern.command)
            else {
                continue;
            };
            let takes = |understood: Option<Match>, command: usize| matches!(understood, Some(Match::Accepted { command: taken, .. }) if taken == command);
            if !takes(self.tried(&own), pattern.command)
                || !takes(self.tried(&other), owner.command)
                || !sounded.insert(owner.command)
            {
                continue;
            }
            let (other_name, at) = self.told(owner);
            let text = format!(
                "command `{}`: \"{own}\" sounds like \"{other}\" of `{other_name}` ({at}): put one \
                 of them in other words",
                self.spec.commands[pattern.command].name
            );
            self.remark(pattern, Weight::Warning, text);
        }
    }

    /// Whole sentences that people say without meaning the command.
    fn everyday(&mut self, command: usize, own: &[Pattern]) {
        let state = self
            .automaton
            .start(own.iter().map(|pattern| pattern.begin));
        let mut found: Vec<(Pattern, Vec<String>)> = Vec::new();
        for phrase in everyday::phrases() {
            let ids = phrase.iter().map(|word| self.automaton.word_id(word));
            let Some(ids) = ids.collect::<Option<Vec<WordId>>>() else {
                continue;
            };
            if !self.says(state, &ids) {
                continue;
            }
            let Some(pattern) = self.owner(&ids, |pattern| pattern.command == command) else {
                continue;
            };
            let same = |(other, _): &&mut (Pattern, Vec<String>)| other.begin == pattern.begin;
            let text = format!("\"{}\"", phrase.join(" "));
            match found.iter_mut().find(same) {
                Some((_, phrases)) => phrases.push(text),
                None => found.push((pattern, vec![text])),
            }
        }
        for (pattern, phrases) in found {
            let verb = if phrases.len() > 1 { "are" } else { "is" };
            let text = format!(
                "command `{}`: {} {verb} said every day without meaning it: add a word that makes it \
                 a command",
                self.spec.commands[command].name,
                phrases.join(", ")
            );
            self.remark(pattern, Weight::Warning, text);
        }
    }

    fn says(&mut self, mut state: StateId, words: &[WordId]) -> bool {
        for word in words {
            match self.automaton.step(state, *word) {
                Some(next) => state = next,
                None => return false,
            }
        }
        self.automaton.accepts(state)
    }

    /// The first pattern that can be said as `words`, of those that `is_meant`.
    fn owner(&mut self, words: &[WordId], is_meant: impl Fn(&Pattern) -> bool) -> Option<Pattern> {
        for i in 0..self.patterns.len() {
            let pattern = self.patterns[i];
            if is_meant(&pattern) {
                let state = self.automaton.start([pattern.begin]);
                if self.says(state, words) {
                    return Some(pattern);
                }
            }
        }
        None
    }

    fn walk(&mut self, pair: (StateId, StateId)) -> Walk<'_> {
        Walk::new(&mut self.automaton, &mut self.budget, pair)
    }

    /// What the matcher makes of `text`; nothing when too much was tried.
    fn tried(&mut self, text: &str) -> Option<Match> {
        self.n_tried += 1;
        (self.n_tried <= MAX_TRIED_IN_ALL).then(|| self.matcher.match_text(text))
    }

    /// Name and place of a pattern.
    fn told(&self, pattern: Pattern) -> (String, Origin) {
        let command = &self.spec.commands[pattern.command];
        (command.name.clone(), origin(command, pattern.sentence))
    }

    fn remark(&mut self, pattern: Pattern, weight: Weight, text: String) {
        self.remarks.push(Remark {
            origin: self.told(pattern).1,
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

fn origin(command: &CommandSpec, sentence: usize) -> Origin {
    let sentence = command.sentences.get(sentence);
    sentence.map_or_else(
        || command.origin.clone(),
        |sentence| sentence.origin.clone(),
    )
}

#[cfg(test)]
mod tests;
