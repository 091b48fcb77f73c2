//! Small grammars for the tests of this module.

use std::sync::Arc;

use super::{CommandSpec, Grammar, GrammarSpec, MatchOptions, Matcher, Sentence};

/// A sentence that stands in no file.
pub(super) fn sentence(template: &str) -> Sentence {
    Sentence {
        template: template.to_owned(),
        ..Sentence::default()
    }
}

/// A grammar of commands with one sentence each: names and templates.
pub(super) fn spec_of(commands: &[(&str, &str)]) -> GrammarSpec {
    let command = |(name, template): &(&str, &str)| CommandSpec {
        name: (*name).to_owned(),
        sentences: vec![sentence(template)],
        ..CommandSpec::default()
    };
    GrammarSpec {
        commands: commands.iter().map(command).collect(),
        ..GrammarSpec::default()
    }
}

/// The grammar of a specification without mistakes.
pub(super) fn compiled(spec: &GrammarSpec) -> Arc<Grammar> {
    let mut errors = Vec::new();
    let grammar = Grammar::compile(spec, &mut errors);
    assert!(errors.is_empty(), "{errors:?}");
    Arc::new(grammar)
}

/// A matcher for it with the default thresholds.
pub(super) fn matcher_of(spec: &GrammarSpec) -> Matcher {
    Matcher::new(compiled(spec), MatchOptions::default())
}
