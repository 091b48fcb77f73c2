//! What hark says about timers and questions, in English.

use super::timers::TimerView;

/// `seconds` as people say it: "1 hour 30 minutes".
pub(crate) fn duration(seconds: u64) -> String {
    let parts = [
        (seconds / 3600, "hour"),
        (seconds / 60 % 60, "minute"),
        (seconds % 60, "second"),
    ];
    let said = |(n, unit): &(u64, &str)| match n {
        0 => None,
        1 => Some(format!("1 {unit}")),
        n => Some(format!("{n} {unit}s")),
    };
    let all: Vec<String> = parts.iter().filter_map(said).collect();
    match all.is_empty() {
        true => "0 seconds".to_owned(),
        false => all.join(" "),
    }
}

/// "the pizza timer"
fn the_timer(timer: &TimerView) -> String {
    match &timer.name {
        Some(name) => format!("the {name} timer"),
        None => "the timer".to_owned(),
    }
}

/// The first letter as a sentence begins.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// A timer was set.
pub(crate) fn set(timer: &TimerView) -> String {
    let length = duration(timer.left_s);
    match &timer.name {
        Some(name) => format!("{} timer set for {length}.", sentence(name)),
        None => format!("Timer set for {length}."),
    }
}

/// A timer rings.
pub(crate) fn over(timer: &TimerView) -> String {
    sentence(&format!("{} is over.", the_timer(timer)))
}

/// One timer is cancelled.
pub(crate) fn cancelled_one(timer: &TimerView) -> String {
    cancelled(std::slice::from_ref(timer))
}

/// Some are.
pub(crate) fn cancelled(timers: &[TimerView]) -> String {
    match timers {
        [] => no_timer(),
        [timer] => sentence(&format!("{} is cancelled.", the_timer(timer))),
        all => format!("{} timers are cancelled.", all.len()),
    }
}

/// So much is left.
pub(crate) fn left(timers: &[TimerView]) -> String {
    let each = |timer: &TimerView| {
        let length = duration(timer.left_s);
        let state = if timer.stands {
            ", which stands still"
        } else {
            ""
        };
        format!("{length} left on {}{state}", the_timer(timer))
    };
    match timers {
        [] => no_timer(),
        all => sentence(&(all.iter().map(each).collect::<Vec<_>>().join(", ") + ".")),
    }
}

/// It stands still.
pub(crate) fn paused(timer: &TimerView) -> String {
    let length = duration(timer.left_s);
    sentence(&format!("{} stands still at {length}.", the_timer(timer)))
}

/// It goes on.
pub(crate) fn resumed(timer: &TimerView) -> String {
    let length = duration(timer.left_s);
    sentence(&format!("{} goes on: {length} left.", the_timer(timer)))
}

/// There is none that could be meant.
pub(crate) fn no_timer() -> String {
    "There is no such timer.".to_owned()
}

/// There are several that could be meant.
pub(crate) fn which(timers: &[TimerView]) -> String {
    let all: Vec<String> = timers.iter().map(the_timer).collect();
    format!("Which one: {}?", all.join(", "))
}

/// There are as many as can be.
pub(crate) fn too_many() -> String {
    "There are too many timers.".to_owned()
}

/// The question about a command that has none of its own.
pub(crate) fn question(heard: &str) -> String {
    let heard = heard.trim().trim_end_matches(['.', '!', '?', ',']);
    format!("\"{heard}\": yes or no?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_as_people_say_them() {
        for (seconds, text) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (90, "1 minute 30 seconds"),
            (600, "10 minutes"),
            (5400, "1 hour 30 minutes"),
            (7201, "2 hours 1 second"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn the_question_repeats_what_was_heard() {
        assert_eq!(
            question(" Open the door. "),
            "\"Open the door\": yes or no?"
        );
    }
}
