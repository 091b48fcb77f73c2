//! What was decided about an utterance, in words.
//!
//! Enters: an utterance of the ledger. Leaves: a few words for a list, or sentences that name the
//! thresholds and by how much they were met or missed. Pure.

use crate::ledger::{Followed, HeardReading, Utterance};

/// What an action is said to have come to, by its status.
const ENDS: [(&str, &str); 4] = [
    ("ok", "Carried out"),
    ("failed", "Tried, and failed"),
    ("timed_out", "Ended because it took too long"),
    ("skipped", "Understood, and only reported"),
];

/// The outcome in a few words.
pub(super) fn outcome(utterance: &Utterance) -> String {
    let few: Vec<String> = (utterance.followed.iter())
        .filter_map(|followed| few_words(utterance, followed))
        .collect();
    if !few.is_empty() {
        return few.join(", ");
    }
    match &utterance.text {
        None => "not over".to_owned(),
        Some(text) if is_wordless(text) => "no words".to_owned(),
        Some(_) => "nothing".to_owned(),
    }
}

fn few_words(utterance: &Utterance, followed: &Followed) -> Option<String> {
    let name = followed.name.as_deref().unwrap_or_default();
    let state = followed.state.as_deref().unwrap_or_default();
    Some(match followed.kind.as_str() {
        "command" => match action_of(utterance, name) {
            Some(action) => {
                let status = action.status.as_deref().unwrap_or_default();
                format!("{name}: {}", status.replace('_', " "))
            }
            None => name.to_owned(),
        },
        "rejected" => {
            let reason = followed.reason.as_deref().unwrap_or_default();
            match (&followed.best, followed.score) {
                (Some(best), Some(score)) => format!("{reason}: {best} {score:.2}"),
                _ => reason.to_owned(),
            }
        }
        "question" => "asked the language model".to_owned(),
        "confirm" if state == "asked" || state == "yes" => format!("{name}: {state}"),
        "confirm" => format!("{name}: not confirmed"),
        "answer" => state.to_owned(),
        "undo" if state == "done" => format!("{name}: taken back"),
        "undo" => "nothing taken back".to_owned(),
        "mute" => "silenced".to_owned(),
        _ => return None,
    })
}

/// The decision in sentences.
pub(super) fn sentences(utterance: &Utterance) -> Vec<String> {
    let mut all: Vec<String> = (utterance.followed.iter())
        .filter_map(|followed| sentence(utterance, followed))
        .collect();
    if utterance
        .followed
        .iter()
        .all(|followed| followed.kind == "gap")
        || all.is_empty()
    {
        all.push(nothing(utterance).to_owned());
    }
    all
}

fn sentence(utterance: &Utterance, followed: &Followed) -> Option<String> {
    Some(match followed.kind.as_str() {
        "command" => carried_out(utterance, followed),
        "rejected" => rejected(utterance, followed),
        "question" => question(utterance),
        "confirm" => confirm(followed),
        "answer" => answer(followed),
        "undo" => undo(followed),
        "mute" => "It silenced what was being spoken or rung.".to_owned(),
        "gap" => gap(followed),
        _ => return None,
    })
}

/// Why no event says what was decided.
fn nothing(utterance: &Utterance) -> &'static str {
    let followed = |kind: &str| utterance.followed.iter().any(|one| one.kind == kind);
    match &utterance.text {
        None => "Nothing was decided: hark ended before the utterance did.",
        Some(_) if followed("reply") => "hark answered.",
        Some(_) if followed("wake") => {
            "It was the wake phrase: what is said within listen.follow_up_s is for hark."
        }
        Some(text) if is_wordless(text) => "Nothing was decided: no words were heard.",
        Some(_) if !utterance.settings.has_commands => {
            "Nothing was decided: there were no commands."
        }
        Some(_) => "Nothing was decided.",
    }
}

fn is_wordless(text: &str) -> bool {
    !text.contains(char::is_alphanumeric)
}

/// A question to the responder, and what came of it.
fn question(utterance: &Utterance) -> String {
    let replies = utterance.followed.iter().filter(|one| one.kind == "reply");
    let said = replies.filter_map(|one| one.text.as_deref()).map(str::trim);
    let said: Vec<&str> = said.filter(|text| !text.is_empty()).collect();
    let mut text = "It was no command: the language model was asked.".to_owned();
    if !said.is_empty() {
        text.push_str(&format!(" It said: \"{}\"", said.join(" ")));
    }
    text
}

/// A command that was understood, and why.
fn carried_out(utterance: &Utterance, command: &Followed) -> String {
    let action = action_of(utterance, command.name.as_deref().unwrap_or_default());
    let status = action.and_then(|action| action.status.as_deref());
    let end = ENDS.iter().find(|(known, _)| status == Some(*known));
    let end = end.map_or("Understood", |(_, words)| words);
    let mut text = format!("{end}: {}", called(command));
    if let Some(error) = action.and_then(|action| action.error.as_ref()) {
        text.push_str(&format!(" ({error})"));
    }
    let is_early = match (command.t, utterance.t1) {
        (Some(t), Some(t1)) => t < t1,
        (_, t1) => t1.is_none(),
    };
    if is_early {
        text.push_str(", before the sentence was over, because its words could mean nothing else");
    }
    format!("{text}. {}", reason(utterance, command))
}

/// Why a command was understood.
fn reason(utterance: &Utterance, command: &Followed) -> String {
    let score = command.score.unwrap_or_default();
    let is_heard = is_heard(utterance, command);
    if score == 0.0 && !is_heard {
        return "It was said word for word.".to_owned();
    }
    let settings = &utterance.settings;
    let (found, key, limits) = match is_heard {
        true => (
            "It was found in the audio",
            "heard_",
            (settings.heard_threshold, settings.heard_margin),
        ),
        false => ("Its words fit", "", (settings.threshold, settings.margin)),
    };
    let (score, threshold) = apart(score, limits.0);
    let mut text =
        format!("{found} at {score}, and commands.{key}threshold asks for at least {threshold}.");
    if let Some(ahead) = command.margin {
        let (ahead, margin) = apart(ahead, limits.1);
        text.push_str(&format!(
            " It was {ahead} ahead of the next one, and commands.{key}margin asks for at least \
             {margin}."
        ));
    }
    text
}

/// Whether a command was found in the audio rather than in the text.
fn is_heard(utterance: &Utterance, command: &Followed) -> bool {
    let name = command.name.as_deref();
    let score = command.score.unwrap_or_default();
    let in_text = (utterance.alternatives.iter())
        .any(|one| Some(one.name.as_str()) == name && (one.score - score).abs() < 1e-3);
    !in_text
        && readings(utterance)
            .iter()
            .any(|one| one.command.as_deref() == name)
}

fn readings(utterance: &Utterance) -> &[HeardReading] {
    utterance.readings.as_ref().map_or(&[], |all| &all.readings)
}

fn rejected(utterance: &Utterance, rejected: &Followed) -> String {
    let reason = rejected.reason.as_deref().unwrap_or_default();
    let why = match reason {
        "no_match" => "no command resembles it".to_owned(),
        "below_threshold" => below_threshold(utterance, rejected),
        "ambiguous" => ambiguous(utterance, rejected),
        "interrupted" => {
            "it was broken off, and the rest might have changed what it means".to_owned()
        }
        "not_addressed" => not_addressed(utterance),
        "never_mind" => "it ended the conversation".to_owned(),
        "nothing_to_repeat" => "nothing had been said that could be said again".to_owned(),
        "no_timer" => "there was no such timer".to_owned(),
        "which_timer" => "more than one timer could be meant".to_owned(),
        "too_many_timers" => "there were too many timers already".to_owned(),
        other => other.replace('_', " "),
    };
    format!("Not carried out: {why}.")
}

fn below_threshold(utterance: &Utterance, rejected: &Followed) -> String {
    let best = rejected.best.as_deref().unwrap_or("a command");
    let score = rejected.score.unwrap_or_default();
    let settings = &utterance.settings;
    // A text that is near any command is judged as text.
    let is_text = !utterance.alternatives.is_empty() || readings(utterance).is_empty();
    if is_text {
        let (score, threshold) = apart(score, settings.threshold);
        return format!(
            "the nearest command was `{best}` at {score}, and commands.threshold asks for at least \
             {threshold}"
        );
    }
    if score >= settings.heard_threshold {
        return format!(
            "`{best}` was in the audio, but among many more words, or with one such as \"not\" that \
             turns it round"
        );
    }
    let (score, threshold) = apart(score, settings.heard_threshold);
    format!(
        "the likeliest command in the audio was `{best}` at {score}, and commands.heard_threshold asks \
         for at least {threshold}"
    )
}

fn ambiguous(utterance: &Utterance, rejected: &Followed) -> String {
    let settings = &utterance.settings;
    if let [first, second, ..] = utterance.alternatives.as_slice() {
        let (first_name, second_name) = (&first.name, &second.name);
        let ahead = second.cost - first.cost;
        if first.cost == 0.0 && ahead == 0.0 && first_name != second_name {
            return format!(
                "both `{first_name}` and `{second_name}` are said with these very words"
            );
        }
        let (ahead, margin) = apart(ahead, settings.margin);
        let rival = match first_name == second_name {
            true => "the same with other slots".to_owned(),
            false => format!("`{second_name}`"),
        };
        return format!(
            "`{first_name}` was only {ahead} ahead of {rival}, and commands.margin asks for at least \
             {margin}"
        );
    }
    let best = match &rejected.best {
        Some(best) => format!("`{best}`"),
        None => "a sentence of several commands".to_owned(),
    };
    format!(
        "{best} was the likeliest in the audio, and not by commands.heard_margin ({:.2}) ahead of the \
         next one",
        settings.heard_margin
    )
}

fn not_addressed(utterance: &Utterance) -> String {
    let settings = &utterance.settings;
    if settings.listen_mode == "push" {
        return "push-to-talk was off (listen.mode is \"push\")".to_owned();
    }
    let nearest = utterance.wake.as_ref().map_or(String::new(), |wake| {
        let (score, threshold) = apart(wake.score, settings.wake_threshold);
        format!(
            "; \"{}\" was in the audio at {score}, and listen.wake_threshold asks for at least \
             {threshold}",
            wake.phrase
        )
    });
    format!("it did not begin with a wake phrase (listen.mode is \"wake\"){nearest}")
}

fn confirm(confirm: &Followed) -> String {
    let command = called(confirm);
    match confirm.state.as_deref().unwrap_or_default() {
        "asked" => format!("Understood: {command}, which has to be confirmed; hark asked."),
        "yes" => "The answer was yes.".to_owned(),
        "no" => "Not carried out: the answer was no.".to_owned(),
        _ => "Not carried out: nobody answered in time, or something else was wanted.".to_owned(),
    }
}

fn answer(answer: &Followed) -> String {
    let state = answer.state.as_deref().unwrap_or_default();
    match answer.of {
        Some(of) => format!("It was the {state} to the question about utterance {of}."),
        None => format!("It was the {state} to a question."),
    }
}

fn undo(undo: &Followed) -> String {
    match undo.state.as_deref().unwrap_or_default() {
        "done" => format!("Taken back: {}.", called(undo)),
        "no_inverse" => format!(
            "{} turned out not to be what was said, and has nothing that takes it back.",
            called(undo)
        ),
        _ => "Not done: nothing was carried out lately that can be taken back.".to_owned(),
    }
}

fn gap(gap: &Followed) -> String {
    let length_s = gap.t1.unwrap_or_default() - gap.t0.unwrap_or_default();
    let reason = match gap.reason.as_deref().unwrap_or_default() {
        "overrun" => "the machine was too busy",
        "device_lost" => "the device went away",
        _ => "unknown",
    };
    format!("{length_s:.2} s of its audio were lost ({reason}).")
}

/// A command with its slots.
fn called(followed: &Followed) -> String {
    let name = followed.name.as_deref().unwrap_or_default();
    match followed.slots.is_empty() {
        true => format!("`{name}`"),
        false => format!("`{name}` ({})", super::words::slots(&followed.slots)),
    }
}

/// What the action of a command came to.
fn action_of<'u>(utterance: &'u Utterance, name: &str) -> Option<&'u Followed> {
    let mut actions = utterance.followed.iter().filter(|one| one.kind == "action");
    actions.find(|one| one.name.as_deref() == Some(name))
}

/// Two numbers, with as many decimals as it takes to tell them apart.
fn apart(a: f32, b: f32) -> (String, String) {
    let with = |n: usize| (format!("{a:.n$}"), format!("{b:.n$}"));
    let short = with(2);
    match a != b && short.0 == short.1 {
        true => with(4),
        false => short,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Alternative;
    use crate::ledger::{HeardReadings, Settings};

    /// An utterance with thresholds as shipped, from which this followed.
    fn utterance(followed: &[Followed]) -> Utterance {
        Utterance {
            text: Some("turn on the light".to_owned()),
            t1: Some(2.0),
            settings: Settings {
                has_commands: true,
                listen_mode: "always".to_owned(),
                wake_threshold: -5.0,
                threshold: -0.25,
                margin: 1.0,
                heard_threshold: -0.8,
                heard_margin: 0.7,
            },
            followed: followed.to_vec(),
            ..Utterance::default()
        }
    }

    fn event(kind: &str, name: &str) -> Followed {
        Followed {
            kind: kind.to_owned(),
            name: Some(name.to_owned()),
            t: Some(2.0),
            ..Followed::default()
        }
    }

    fn near(all: &[(&str, f32)]) -> Vec<Alternative> {
        let near = |(name, cost): &(&str, f32)| Alternative {
            name: (*name).to_owned(),
            slots: Default::default(),
            score: -cost / 4.0,
            cost: *cost,
        };
        all.iter().map(near).collect()
    }

    fn state(kind: &str, name: &str, state: &str) -> Followed {
        Followed {
            state: Some(state.to_owned()),
            ..event(kind, name)
        }
    }

    fn reason(reason: &str, best: Option<&str>) -> Followed {
        Followed {
            kind: "rejected".to_owned(),
            best: best.map(str::to_owned),
            reason: Some(reason.to_owned()),
            score: best.map(|_| -0.1),
            ..Followed::default()
        }
    }

    fn decided(utterance: &Utterance) -> String {
        sentences(utterance).join(" ")
    }

    #[test]
    fn commands_too_near_to_each_other_are_named() {
        let mut one = utterance(&[reason("ambiguous", Some("lamp"))]);
        one.alternatives = near(&[("lamp", 0.4), ("lantern", 0.7)]);
        let text = decided(&one);
        let part =
            "`lamp` was only 0.30 ahead of `lantern`, and commands.margin asks for at least 1.00.";
        assert!(text.ends_with(part), "{text}");
        one.alternatives = near(&[("lamp", 0.0), ("lantern", 0.0)]);
        let text = decided(&one);
        assert!(text.contains("both `lamp` and `lantern`"), "{text}");
        one.alternatives.clear();
        let text = decided(&one);
        assert!(text.contains("commands.heard_margin (0.70)"), "{text}");
    }

    #[test]
    fn a_command_in_a_long_speech_is_told_from_an_unlikely_one() {
        let mut one = utterance(&[reason("below_threshold", Some("lamp"))]);
        one.readings = Some(HeardReadings {
            free_logprob: -3.0,
            readings: vec![HeardReading {
                text: "lamp on".to_owned(),
                logprob: -3.3,
                n_tokens: 3,
                score: -0.1,
                command: Some("lamp".to_owned()),
            }],
        });
        let text = decided(&one);
        assert!(text.contains("among many more words"), "{text}");
    }

    #[test]
    fn what_was_done_early_and_taken_back_is_both() {
        let early = Followed {
            t: Some(1.0),
            score: Some(0.0),
            ..event("command", "lamp")
        };
        let done = Followed {
            status: Some("ok".to_owned()),
            ..event("action", "lamp")
        };
        let one = utterance(&[early, done, state("undo", "lamp", "done")]);
        let text = decided(&one);
        let begin = "Carried out: `lamp`, before the sentence was over";
        assert!(text.starts_with(begin), "{text}");
        assert!(text.ends_with("Taken back: `lamp`."), "{text}");
        assert_eq!(outcome(&one), "lamp: ok, lamp: taken back");
    }

    #[test]
    fn where_nothing_was_decided_it_says_why() {
        let mut one = utterance(&[]);
        assert_eq!(decided(&one), "Nothing was decided.");
        one.settings.has_commands = false;
        assert_eq!(
            decided(&one),
            "Nothing was decided: there were no commands."
        );
        one.text = None;
        assert_eq!(outcome(&one), "not over");
        let lost = Followed {
            kind: "gap".to_owned(),
            t0: Some(1.0),
            t1: Some(1.25),
            reason: Some("overrun".to_owned()),
            ..Followed::default()
        };
        let one = utterance(&[lost]);
        let text = decided(&one);
        let gap = "0.25 s of its audio were lost (the machine was too busy). Nothing was decided.";
        assert_eq!(text, gap);
    }

    #[test]
    fn questions_and_second_thoughts() {
        for (followed, outcome, part) in [
            (
                state("confirm", "door", "expired"),
                "door: not confirmed",
                "nobody answered in time",
            ),
            (
                state("confirm", "door", "no"),
                "door: not confirmed",
                "the answer was no",
            ),
            (
                state("undo", "", "nothing"),
                "nothing taken back",
                "nothing was carried out lately",
            ),
            (
                reason("which_timer", None),
                "which_timer",
                "more than one timer",
            ),
        ] {
            let one = utterance(&[followed]);
            assert_eq!(super::outcome(&one), outcome);
            assert!(decided(&one).contains(part), "{}", decided(&one));
        }
    }
}
