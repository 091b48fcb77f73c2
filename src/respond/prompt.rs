//! What the model is told besides the question.

use crate::llama::Grammar;

/// The default of `responder.system`.
pub const SYSTEM: &str = "\
You are hark, a voice assistant. Answer in one or two short sentences, in plain words that can be spoken: no lists, \
no markup. If you do not know, say so.{commands}
It is {time} on {date}. {timers}";

/// Text that begins a call.
pub(super) const CALL: char = '/';
/// Commands that the model is told about.
const MOST_EXAMPLES: usize = 40;

/// What the model may call: sentences of the commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Callable {
    /// A sentence of each command.
    pub examples: Vec<String>,
    /// Rules in GBNF, of which `sentence` is a sentence with a blank before each word; none for no calls.
    pub rules: Option<String>,
}

impl Callable {
    /// What may be written: an answer, or a call.
    pub(super) fn grammar(&self) -> Option<Grammar> {
        let rules = self.rules.as_ref()?;
        // An answer is any text that does not begin as a call does; neither begins with two blanks.
        let text = format!(
            "root ::= \" \"? ( answer | \"{CALL}\" sentence )\n\
             answer ::= [^{CALL}\\x00-\\x20] [^\\x00-\\x09\\x0b-\\x1f]*\n{rules}"
        );
        let grammar = Grammar::from_gbnf(&text);
        grammar
            .inspect_err(|error| log::warn!("the language model cannot call commands: {error}"))
            .ok()
    }

    /// What the model is told about it.
    fn described(&self) -> String {
        if self.rules.is_none() || self.examples.is_empty() {
            return String::new();
        }
        let mut text = format!(
            "\nYou can carry out commands. Only when you are asked to do one of these things, answer with {CALL} and \
             the command, and nothing else:"
        );
        for example in self.examples.iter().take(MOST_EXAMPLES) {
            text.push_str(&format!("\n{CALL} {example}"));
        }
        text
    }
}

/// What is known when a conversation begins.
pub(super) struct Known<'a> {
    /// The time and the date, as people say them; none where nobody looks at a clock.
    pub(super) now: Option<(String, String)>,
    pub(super) timers: &'a str,
    pub(super) callable: &'a Callable,
}

/// The system prompt with everything filled in. What changes comes where the template puts it: at the end, if
/// the rest is to be remembered.
pub(super) fn filled(template: &str, known: &Known<'_>) -> String {
    let (time, date) = known.now.clone().unwrap_or_else(|| {
        let unknown = "an unknown time";
        (unknown.to_owned(), "an unknown day".to_owned())
    });
    let timers = known.timers;
    let text = template
        .replace("{time}", &time)
        .replace("{date}", &date)
        .replace("{timers}", timers)
        .replace("{commands}", &known.callable.described());
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_filled_in() {
        let callable = Callable {
            examples: vec!["turn on the light".to_owned()],
            rules: Some("sentence ::= \" turn on the light\"\n".to_owned()),
        };
        let known = Known {
            now: Some(("14:05".to_owned(), "Thursday".to_owned())),
            timers: "No timer runs.",
            callable: &callable,
        };
        let text = filled(SYSTEM, &known);
        for part in [
            "14:05 on Thursday",
            "No timer runs.",
            "\n/ turn on the light",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains('{'), "{text}");
        let nothing = Known {
            now: None,
            timers: "",
            callable: &Callable::default(),
        };
        assert!(filled(SYSTEM, &nothing).ends_with("on an unknown day."));
        assert!(callable.grammar().is_some());
        assert!(Callable::default().grammar().is_none());
    }
}
