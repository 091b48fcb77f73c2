//! Phrases with one meaning, such as all ways to say yes.

use std::fmt;
use std::sync::Arc;

use crate::command::{
    CommandSpec, Grammar, GrammarError, GrammarSpec, MatchOptions, Matcher, Sentence,
};

/// Templates of which a text is one, word for word, or none.
#[derive(Clone)]
pub struct Phrases {
    templates: Vec<String>,
    matcher: Matcher,
}

impl Phrases {
    /// The phrases of `sentences`; what cannot be compiled is left out and appended to `errors`.
    pub fn new(sentences: Vec<Sentence>, errors: &mut Vec<GrammarError>) -> Phrases {
        let templates = sentences.iter().map(|s| s.template.clone()).collect();
        // None at all is fine: nothing means it then.
        let commands = match sentences.is_empty() {
            true => Vec::new(),
            false => vec![CommandSpec {
                name: "phrase".to_owned(),
                sentences,
                ..CommandSpec::default()
            }],
        };
        let spec = GrammarSpec {
            commands,
            ..GrammarSpec::default()
        };
        let grammar = Grammar::compile(&spec, errors);
        Phrases {
            templates,
            matcher: Matcher::new(Arc::new(grammar), MatchOptions::default()),
        }
    }

    /// The phrases of templates that are known to be right.
    pub(crate) fn of(templates: &[&str]) -> Phrases {
        let sentence = |template: &&str| Sentence {
            template: (*template).to_owned(),
            ..Sentence::default()
        };
        let mut errors = Vec::new();
        let phrases = Phrases::new(templates.iter().map(sentence).collect(), &mut errors);
        debug_assert!(errors.is_empty(), "{errors:?}");
        phrases
    }

    /// Whether `text` is one of them.
    pub fn have(&self, text: &str) -> bool {
        self.matcher.is_sentence(text)
    }
}

impl fmt::Debug for Phrases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.templates).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialogue::{ListenSettings, TalkSettings};

    #[test]
    fn the_built_in_phrases_compile_and_mean_what_they_should() {
        let talk = TalkSettings::default();
        for text in ["Yes.", "yeah", "Okay, do it!", "Yes, please.", "go ahead"] {
            assert!(talk.yes.have(text), "{text}");
            assert!(!talk.no.have(text), "{text}");
        }
        for text in [
            "No.",
            "no thanks",
            "no thank you",
            "Don't!",
            "No, don't do it.",
        ] {
            assert!(talk.no.have(text), "{text}");
            assert!(!talk.yes.have(text), "{text}");
        }
        assert!(talk.undo.have("Undo that."));
        assert!(talk.repeat.have("Say that again!"));
        assert!(talk.never_mind.have("Never mind"));
        assert!(ListenSettings::default().stop_words.have("Stop!"));
        for text in ["", "yes and no", "I said yes", "undo the lights"] {
            for phrases in [&talk.yes, &talk.no, &talk.undo, &talk.never_mind] {
                assert!(!phrases.have(text), "{text}");
            }
        }
    }

    #[test]
    fn no_phrases_are_never_said() {
        let mut errors = Vec::new();
        assert!(!Phrases::new(Vec::new(), &mut errors).have("yes"));
        assert!(errors.is_empty());
    }
}
