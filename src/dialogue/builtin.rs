//! The sentences for timers, as commands like all others: the audio is searched for them, too, and
//! their author's own commands go before them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::TimerSettings;
use crate::command::{BuiltIn, CommandSpec, ListSpec, ListValue, Origin, Sentence, Traits};

/// How long: whole seconds.
const DURATION: &str = "{duration:length}";

const STOP: &str = "(cancel|stop|delete|remove|end|clear|turn off)";

/// The commands for timers, if they are wanted.
pub fn commands(settings: &TimerSettings) -> Vec<CommandSpec> {
    if !settings.enabled {
        return Vec::new();
    }
    let (named, called) = match settings.names.is_empty() {
        true => ("", None),
        false => ("[{name}] ", Some("(called|named|for) [the] {name}")),
    };
    let mut set = vec![
        format!("(set|start|create|make) [(a|an|another|the)] {named}timer (for|of|to) {DURATION}"),
        format!("(set|start|create|make) [(a|an|another|the)] {DURATION} {named}timer"),
        format!("{named}timer [for] {DURATION}"),
        format!("{DURATION} {named}timer"),
    ];
    if let Some(called) = called {
        set.push(format!(
            "(set|start|create|make) [a] timer for {DURATION} {called}"
        ));
        set.push(format!(
            "(set|start|create|make) [a] timer {called} for {DURATION}"
        ));
    }
    let the = format!("[(the|my)] {named}timer");
    let all = [
        ("timer.set", BuiltIn::SetTimer, set),
        (
            "timer.cancel",
            BuiltIn::CancelTimer,
            vec![format!("{STOP} {the}"), format!("turn {the} off")],
        ),
        (
            "timer.cancel_all",
            BuiltIn::CancelTimers,
            vec![format!("{STOP} [all [of]] [(the|my)] timers")],
        ),
        (
            "timer.left",
            BuiltIn::TimeLeft,
            vec![
                format!("how (much time|long|many minutes) (is|are) (left|remaining) [on {the}]"),
                format!(
                    "how (much time|long|many minutes) (do|have) i [have] (left|got) [on {the}]"
                ),
                format!("how (much time|long) [is] (left|remaining) [on {the}]"),
                format!("how much (longer|more time) [(is there|do i have)] [on {the}]"),
                format!("how long (until|till) {the} (ends|rings|is over|is done|goes off)"),
                format!("(what is|check|how is) {the} [status]"),
                "(what|which) timers (do i have|are (set|running|there))".to_owned(),
                "(list|show) [me] [all] [(the|my)] timers".to_owned(),
            ],
        ),
        (
            "timer.pause",
            BuiltIn::PauseTimer,
            vec![format!("(pause|hold) {the}")],
        ),
        (
            "timer.resume",
            BuiltIn::ResumeTimer,
            vec![format!("(resume|continue|unpause) {the}")],
        ),
    ];
    let lists = lists(settings);
    all.into_iter()
        .map(|(name, built_in, templates)| command(name, built_in, templates, &lists))
        .collect()
}

fn command(
    name: &str,
    built_in: BuiltIn,
    templates: Vec<String>,
    lists: &BTreeMap<String, ListSpec>,
) -> CommandSpec {
    let used = |list: &str| {
        let opened = format!("{{{list}");
        templates.iter().any(|template| template.contains(&opened))
    };
    let lists = lists.iter().filter(|(list, _)| used(list));
    let lists = lists.map(|(k, v)| (k.clone(), v.clone())).collect();
    CommandSpec {
        name: name.to_owned(),
        sentences: templates.into_iter().map(sentence).collect(),
        lists,
        traits: Traits {
            built_in: Some(built_in),
            ..Traits::default()
        },
        origin: origin(),
        ..CommandSpec::default()
    }
}

fn origin() -> Origin {
    Origin {
        file: Arc::new(PathBuf::from("built-in")),
        line: 0,
    }
}

fn sentence(template: String) -> Sentence {
    Sentence {
        template,
        origin: origin(),
    }
}

fn lists(settings: &TimerSettings) -> BTreeMap<String, ListSpec> {
    let names = settings.names.iter().map(|name| ListValue {
        spoken: sentence(name.clone()),
        value: None,
        context: Default::default(),
    });
    [("name", ListSpec::Values(names.collect()))]
        .map(|(name, list)| (name.to_owned(), list))
        .into()
}

/// The duration in the slots of a command, in seconds; none when there is none.
pub(crate) fn seconds(slots: &BTreeMap<String, String>) -> Option<u64> {
    let seconds = slots.get("length")?.parse().ok()?;
    (seconds > 0).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Grammar, GrammarSpec, Match, MatchOptions, Matcher};

    fn matcher(settings: &TimerSettings) -> Matcher {
        let spec = GrammarSpec {
            commands: commands(settings),
            ..GrammarSpec::default()
        };
        let mut errors = Vec::new();
        let grammar = Grammar::compile(&spec, &mut errors);
        assert!(errors.is_empty(), "{errors:?}");
        Matcher::new(Arc::new(grammar), MatchOptions::default())
    }

    fn enabled() -> TimerSettings {
        TimerSettings {
            enabled: true,
            ..TimerSettings::default()
        }
    }

    fn understood(matcher: &Matcher, text: &str) -> String {
        match matcher.match_text(text) {
            Match::Accepted { name, slots, .. } => {
                let name_slot = slots.get("name").map(|n| format!(" {n}"));
                let seconds = seconds(&slots).map(|s| format!(" {s}"));
                name + &name_slot.unwrap_or_default() + &seconds.unwrap_or_default()
            }
            Match::Rejected { reason, .. } => format!("- {}", reason.as_str()),
        }
    }

    #[test]
    fn timers_are_set_in_many_ways() {
        let matcher = matcher(&enabled());
        for (text, expected) in [
            ("Set a timer for ten minutes.", "timer.set 600"),
            ("Set a pizza timer for 12 minutes.", "timer.set pizza 720"),
            ("timer 5 minutes", "timer.set 300"),
            ("Start a 30 second timer", "timer.set 30"),
            ("ten-minute tea timer", "timer.set tea 600"),
            ("set a timer for an hour and a half", "timer.set 5400"),
            ("set a timer for one and a half hours", "timer.set 5400"),
            ("timer two and a half minutes", "timer.set 150"),
            (
                "set a timer for two hours and ten minutes",
                "timer.set 7800",
            ),
            ("set a timer for half an hour", "timer.set 1800"),
            ("set a timer for a minute", "timer.set 60"),
            ("set a timer for a minute and a half", "timer.set 90"),
            ("set a timer for 1 minute 30 seconds", "timer.set 90"),
            (
                "set a timer for three quarters of an hour",
                "timer.set 2700",
            ),
            (
                "set a timer for ten minutes called pasta",
                "timer.set pasta 600",
            ),
            (
                "set a timer for the eggs for 6 minutes",
                "timer.set eggs 360",
            ),
        ] {
            assert_eq!(understood(&matcher, text), expected, "{text}");
        }
    }

    #[test]
    fn and_everything_else_about_them() {
        let matcher = matcher(&enabled());
        for (text, expected) in [
            ("Cancel the timer.", "timer.cancel"),
            ("stop the pizza timer", "timer.cancel pizza"),
            ("turn the timer off", "timer.cancel"),
            ("Cancel all timers", "timer.cancel_all"),
            ("How much time is left?", "timer.left"),
            ("How long is left on the pizza timer?", "timer.left pizza"),
            ("pause my timer", "timer.pause"),
            ("Resume the tea timer.", "timer.resume tea"),
            ("what timers are running", "timer.left"),
        ] {
            assert_eq!(understood(&matcher, text), expected, "{text}");
        }
        for text in [
            "set a timer",
            "how long",
            "the timer",
            "I set a timer for ten minutes yesterday",
            "do not set a timer for ten minutes",
            "stop",
        ] {
            assert!(understood(&matcher, text).starts_with('-'), "{text}");
        }
    }

    #[test]
    fn names_are_optional_and_so_are_timers() {
        let nameless = TimerSettings {
            names: Vec::new(),
            ..enabled()
        };
        let matcher = matcher(&nameless);
        assert_eq!(understood(&matcher, "timer five minutes"), "timer.set 300");
        assert!(commands(&TimerSettings::default()).is_empty());
    }
}
