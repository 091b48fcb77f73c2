//! Lists that come with the language: how long, and what time of the day.
//!
//! A value of such a list is worked out from the numbers in it. Each way to say one is a template
//! whose slots are among [`PARTS`]; what it is worth is a sum over them. Enters: the index of a
//! way and its parts. Leaves: the value of a slot.
//!
//! `{duration:length}` gives whole seconds: "an hour and a half" is `5400`. `{time:at}` gives hours
//! and minutes of a 24-hour clock: "quarter to six in the evening" is `17:45`. A time without a half
//! of the day is taken as it is said: "seven thirty" is `07:30`.

use super::graph::SlotId;
use super::spec::NumberRange;

/// A list that comes with the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Builtin {
    /// How long.
    Duration,
    /// What time of the day.
    Time,
}

/// Slots of the parts of a value. They are numbered from [`FIRST_PART`], above all others.
const PARTS: [&str; 8] = [
    "days", "hours", "minutes", "seconds", "tenths", "hour", "minute", "ten",
];
/// The slot of the first part.
const FIRST_PART: SlotId = SlotId::MAX - PARTS.len() as SlotId;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Minutes of half a day.
const HALF_DAY: i64 = 12 * 60;

/// The half of the day that a time is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    AsSaid,
    Morning,
    Afternoon,
    /// "At night": two at night is early, ten at night is late.
    Night,
}

/// One way to say a value.
#[derive(Debug)]
struct Way {
    template: String,
    /// What it is worth without its parts.
    base: i64,
    /// What one of each part adds.
    worth: Vec<(&'static str, i64)>,
    half: Half,
}

/// The ways to say the values of a list.
#[derive(Debug)]
pub(crate) struct Ways {
    kind: Builtin,
    ways: Vec<Way>,
}

impl Builtin {
    /// The list of that name.
    pub(crate) fn named(name: &str) -> Option<Builtin> {
        match name {
            "duration" => Some(Builtin::Duration),
            "time" => Some(Builtin::Time),
            _ => None,
        }
    }

    /// All ways to say one of its values.
    pub(crate) fn ways(self) -> Ways {
        let ways = match self {
            Builtin::Duration => duration_ways(),
            Builtin::Time => time_ways(),
        };
        Ways { kind: self, ways }
    }
}

impl Ways {
    /// Whose ways they are.
    pub(super) fn kind(&self) -> Builtin {
        self.kind
    }

    /// The templates, in the order of their indices.
    pub(super) fn templates(&self) -> impl Iterator<Item = &str> {
        self.ways.iter().map(|way| way.template.as_str())
    }

    /// The value that the way of that index has with these parts, in seconds or in minutes after
    /// midnight; none when it is no time of a day.
    pub(super) fn value(&self, way: u32, part: impl Fn(SlotId) -> Option<i64>) -> Option<i64> {
        let way = self.ways.get(way as usize)?;
        let parts = way.worth.iter().filter_map(|(name, worth)| {
            let number = part(part_slot(name)?)?;
            Some(number * worth)
        });
        let sum = way.base + parts.sum::<i64>();
        match self.kind {
            Builtin::Duration => (sum > 0).then_some(sum),
            Builtin::Time => in_half(sum, way.half).filter(|minutes| *minutes < 2 * HALF_DAY),
        }
    }

    /// A value as slots receive it.
    pub(super) fn text(&self, value: i64) -> String {
        match self.kind {
            Builtin::Duration => value.to_string(),
            Builtin::Time => clock(value),
        }
    }
}

/// The slot of a part of a value.
pub(super) fn part_slot(name: &str) -> Option<SlotId> {
    let index = PARTS.iter().position(|part| *part == name)?;
    Some(FIRST_PART + index as SlotId)
}

/// The numbers that a part may be, by the name of the list in a template.
pub(super) fn part_range(list: &str) -> Option<NumberRange> {
    let (from, to) = match list {
        "count" => (1, 999),
        "rest" => (1, 59),
        "digit" => (0, 9),
        "low" => (1, 9),
        "ten" => (0, 5),
        "clock" => (0, 23),
        "half" => (1, 12),
        "minute" => (10, 59),
        "past" => (1, 29),
        _ => return None,
    };
    Some(NumberRange::new(from, to))
}

/// A time as slots receive it.
pub(super) fn clock(minutes: i64) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// Minutes after midnight, given the half of the day; a time before the first hour of a clock is
/// one of the hour before it: "quarter to twelve" may be said as minus fifteen minutes of twelve.
fn in_half(minutes: i64, half: Half) -> Option<i64> {
    let minutes = minutes.rem_euclid(2 * HALF_DAY);
    let (early, late) = (minutes % HALF_DAY, minutes % HALF_DAY + HALF_DAY);
    Some(match half {
        Half::AsSaid => minutes,
        // Thirteen in the morning is no time.
        Half::Morning => (minutes < HALF_DAY + 60).then_some(early)?,
        Half::Afternoon => late,
        Half::Night if early < 5 * 60 => early,
        Half::Night => late,
    })
}

const HOURS: &str = "(hour|hours|hr|hrs)";
const MINUTES: &str = "(minute|minutes|min|mins)";
const SECONDS: &str = "(second|seconds|sec|secs)";

fn duration_ways() -> Vec<Way> {
    let way = |template: String, base: i64, worth: &[(&'static str, i64)]| Way {
        template,
        base,
        worth: worth.to_vec(),
        half: Half::AsSaid,
    };
    let minutes = format!("[[and] {{rest:minutes}} {MINUTES}]");
    let seconds = format!("[[and] {{rest:seconds}} {SECONDS}]");
    let all = [
        ("days", DAY),
        ("hours", HOUR),
        ("minutes", MINUTE),
        ("seconds", 1),
    ];
    let mut ways = vec![
        way(
            format!("{{count:days}} day[s] [[and] {{rest:hours}} {HOURS}]"),
            0,
            &all,
        ),
        way(
            format!("{{count:hours}} {HOURS} {minutes} {seconds}"),
            0,
            &all,
        ),
        way(
            format!("{{count:hours}} {HOURS} {{minute:minutes}}"),
            0,
            &all,
        ),
        way(format!("{{count:minutes}} {MINUTES} {seconds}"), 0, &all),
        way(format!("{{count:seconds}} {SECONDS}"), 0, &all),
        way(format!("an hour {minutes} {seconds}"), HOUR, &all),
        way(format!("a minute {seconds}"), MINUTE, &all),
        way("a day".to_owned(), DAY, &all),
        way("a second".to_owned(), 1, &all),
        way("[a] quarter of an hour".to_owned(), HOUR / 4, &all),
        way("a quarter [of an] hour".to_owned(), HOUR / 4, &all),
        way("three quarters of an hour".to_owned(), 3 * HOUR / 4, &all),
        way("an hour and a quarter".to_owned(), HOUR + HOUR / 4, &all),
    ];
    ways.extend(halved_ways());
    ways
}

/// Halves and tenths of a unit, and two of them.
fn halved_ways() -> Vec<Way> {
    let mut ways = Vec::new();
    for (name, unit, worth) in [
        ("days", "(day|days)", DAY),
        ("hours", HOURS, HOUR),
        ("minutes", MINUTES, MINUTE),
    ] {
        let way = |template: String, base: i64, worth: &[(&'static str, i64)]| Way {
            template,
            base,
            worth: worth.to_vec(),
            half: Half::AsSaid,
        };
        let of_unit = [(name, worth), ("tenths", worth / 10)];
        let an = if name == "hours" { "an" } else { "a" };
        let one = unit.trim_start_matches('(').split('|').next().unwrap_or("");
        ways.push(way(format!("[a] half [{an}] {one}"), worth / 2, &[]));
        ways.push(way(
            format!("{an} {one} and a half"),
            worth + worth / 2,
            &[],
        ));
        ways.push(way(
            format!("{{count:{name}}} and a half {unit}"),
            worth / 2,
            &of_unit,
        ));
        ways.push(way(
            format!("{{count:{name}}} {unit} and a half"),
            worth / 2,
            &of_unit,
        ));
        ways.push(way(
            format!("{{digit:{name}}} point {{digit:tenths}} {unit}"),
            0,
            &of_unit,
        ));
        ways.push(way(format!("a couple [of] {one}s"), 2 * worth, &[]));
    }
    ways
}

/// A template, what it is worth without its parts, and what one of each part adds.
type Sum = (&'static str, i64, &'static [(&'static str, i64)]);

const OF_CLOCK: &[(&str, i64)] = &[("hour", 60), ("minute", 1)];

/// Times that a half of the day may follow, in minutes.
const TIMES: [Sum; 11] = [
    ("{half:hour} [oclock]", 0, OF_CLOCK),
    ("half [past] {half:hour}", 30, OF_CLOCK),
    ("[a] quarter (past|after) {half:hour}", 15, OF_CLOCK),
    ("[a] quarter (to|before|of) {half:hour}", -15, OF_CLOCK),
    (
        "{past:minute} [minute[s]] (past|after) {half:hour}",
        0,
        OF_CLOCK,
    ),
    (
        "{past:minute} [minute[s]] (to|before) {half:hour}",
        0,
        &[("hour", 60), ("minute", -1)],
    ),
    ("{half:hour} (oh|o) {low:minute}", 0, OF_CLOCK),
    // 7:05, 19:30, 7.30, 7:00.
    ("{clock:hour} zero {low:minute}", 0, OF_CLOCK),
    ("{clock:hour} {minute:minute}", 0, OF_CLOCK),
    (
        "{clock:hour} point {ten:ten} {digit:minute}",
        0,
        &[("hour", 60), ("ten", 10), ("minute", 1)],
    ),
    ("{clock:hour} zero zero", 0, OF_CLOCK),
];

/// Times that need no half of the day.
const WHOLE_TIMES: [Sum; 6] = [
    ("[twelve] (noon|midday)", HALF_DAY, &[]),
    ("[twelve] midnight", 0, &[]),
    ("half past (noon|midday)", HALF_DAY + 30, &[]),
    ("half past midnight", 30, &[]),
    ("{clock:hour} hundred [hours]", 0, OF_CLOCK),
    ("{clock:hour} hours", 0, OF_CLOCK),
];

/// How the halves of the day are said.
const HALVES: [(&str, Half); 4] = [
    ("", Half::AsSaid),
    (" (am|in the morning|this morning)", Half::Morning),
    (
        " (pm|in the afternoon|this afternoon|in the evening|this evening|tonight)",
        Half::Afternoon,
    ),
    (" at night", Half::Night),
];

fn time_ways() -> Vec<Way> {
    let way = |(template, base, worth): &Sum, (after, half): (&str, Half)| Way {
        template: format!("{template}{after}"),
        base: *base,
        worth: worth.to_vec(),
        half,
    };
    let halves = HALVES.iter();
    let timed = halves.flat_map(|half| TIMES.iter().map(|time| way(time, *half)));
    let whole = WHOLE_TIMES.iter().map(|time| way(time, HALVES[0]));
    timed.chain(whole).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::command::test_grammar::{matcher_of, spec_of};
    use crate::command::{Match, Matcher};

    fn matcher(template: &str) -> Matcher {
        let matcher = matcher_of(&spec_of(&[("x", template)]));
        assert_eq!(matcher.grammar().slots(0), ["v"].into());
        matcher
    }

    /// The slot of a text that is understood word for word.
    fn value(matcher: &Matcher, text: &str) -> Option<String> {
        match matcher.match_text(text) {
            Match::Accepted { slots, score, .. } => {
                slots.get("v").filter(|_| score == 0.0).cloned()
            }
            _ => None,
        }
    }

    #[test]
    fn durations_are_seconds() {
        let m = matcher("wait {duration:v} please");
        for (text, seconds) in [
            ("ten minutes", 600),
            ("10 minutes", 600),
            ("an hour", 3_600),
            ("an hour and a half", 5_400),
            ("one and a half hours", 5_400),
            ("1 hour 30 minutes", 5_400),
            ("1 hour and 30 minutes", 5_400),
            ("one hour thirty", 5_400),
            ("1.5 hours", 5_400),
            ("half an hour", 1_800),
            ("a half hour", 1_800),
            ("three quarters of an hour", 2_700),
            ("a quarter of an hour", 900),
            ("ninety seconds", 90),
            ("two hours five minutes and ten seconds", 7_510),
            ("a minute", 60),
            ("a minute and a half", 90),
            ("two and a half minutes", 150),
            ("half a minute", 30),
            ("a couple of minutes", 120),
            ("120 minutes", 7_200),
            ("three days", 259_200),
            ("10-minutes", 600),
        ] {
            let found = value(&m, &format!("wait {text} please"));
            assert_eq!(found, Some(seconds.to_string()), "{text}");
        }
        for text in ["zero minutes", "ten", "minutes", "ten minutes ten minutes"] {
            assert_eq!(value(&m, &format!("wait {text} please")), None, "{text}");
        }
    }

    #[test]
    fn times_are_those_of_a_clock() {
        let m = matcher("wake me at {time:v}");
        for (text, clock) in [
            ("half past seven", "07:30"),
            ("seven thirty", "07:30"),
            ("7:30", "07:30"),
            ("7:30 pm", "19:30"),
            ("7:30 p.m.", "19:30"),
            ("7.30 pm", "19:30"),
            ("19:30", "19:30"),
            ("7:05", "07:05"),
            ("seven oh five", "07:05"),
            ("7:00 am", "07:00"),
            ("seven", "07:00"),
            ("7 o'clock", "07:00"),
            ("seven in the evening", "19:00"),
            ("noon", "12:00"),
            ("twelve noon", "12:00"),
            ("midnight", "00:00"),
            ("12 am", "00:00"),
            ("12:30 pm", "12:30"),
            ("quarter to six in the evening", "17:45"),
            ("a quarter past six", "06:15"),
            ("twenty five to six", "05:35"),
            ("five minutes to six pm", "17:55"),
            ("ten past nine at night", "21:10"),
            ("two at night", "02:00"),
            ("twelve at night", "00:00"),
            ("quarter to one pm", "12:45"),
            ("nineteen hundred hours", "19:00"),
        ] {
            let found = value(&m, &format!("wake me at {text}"));
            assert_eq!(found.as_deref(), Some(clock), "{text}");
        }
        for text in [
            "24:10",
            "13 o'clock",
            "7:75",
            "quarter",
            "thirteen in the afternoon",
        ] {
            assert_eq!(value(&m, &format!("wake me at {text}")), None, "{text}");
        }
    }
}
