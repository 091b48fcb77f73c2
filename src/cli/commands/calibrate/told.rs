//! What calibration found, in words.

use super::Findings;
use crate::command::MatchOptions;
use crate::command::calibrate::{Choice, Tally, most_per_hour};

/// Everything, as people read it.
pub(super) fn text(findings: &Findings) -> String {
    let collected = &findings.collected;
    let mut lines = vec![format!(
        "{:.2} h without a command, {} utterances; {} recordings of commands{}",
        collected.hours,
        collected.n_utterances,
        findings.choice.tally.commands,
        if findings.was_interrupted {
            "; interrupted"
        } else {
            ""
        }
    )];
    let chosen = &findings.choice.options;
    lines.push(String::new());
    lines.extend(table(
        "heard_threshold",
        &findings.heard,
        chosen.heard_threshold,
        findings,
    ));
    lines.push(String::new());
    lines.extend(table(
        "threshold",
        &findings.text,
        chosen.threshold,
        findings,
    ));
    lines.push(String::new());
    lines.push(format!(
        "now:    {}",
        summary(&findings.before, collected.hours)
    ));
    lines.push(format!(
        "chosen: {}",
        summary(&findings.choice.tally, collected.hours)
    ));
    lines.push(String::new());
    lines.extend(proof(findings));
    lines.push(String::new());
    lines.extend(configuration(chosen));
    lines.join("\n")
}

/// A row for each value of a threshold, the chosen one marked.
fn table(name: &str, rows: &[(f32, Tally)], chosen: f32, findings: &Findings) -> Vec<String> {
    let hours = findings.collected.hours;
    let mut lines = vec![format!(
        "{name:>16}  false accepts  an hour  95 % below  understood  slot errors  wrong"
    )];
    for (value, tally) in rows {
        let mark = if (value - chosen).abs() < 1e-4 {
            '*'
        } else {
            ' '
        };
        let n = tally.false_accepts;
        let understood = tally
            .acceptance()
            .map_or("-".to_owned(), |share| format!("{:.1} %", 100.0 * share));
        lines.push(format!(
            "{mark}{:>15.2}  {n:>13}  {:>7.2}  {:>10.2}  {understood:>10}  {:>11}  {:>5}",
            // Not minus nothing.
            value + 0.0,
            n as f64 / hours,
            most_per_hour(n, hours),
            tally.slot_errors,
            tally.wrong,
        ));
    }
    lines
}

fn summary(tally: &Tally, hours: f64) -> String {
    let n = tally.false_accepts;
    let mut text = format!("{n} false accepts ({:.2} an hour)", n as f64 / hours);
    if let Some(share) = tally.acceptance() {
        text += &format!(
            ", {} of {} understood ({:.1} %), {} with wrong slots, {} as another command, {} refused",
            tally.right,
            tally.commands,
            100.0 * share,
            tally.slot_errors,
            tally.wrong,
            tally.refused()
        );
    }
    text
}

/// What the recordings prove, and what they do not.
fn proof(findings: &Findings) -> Vec<String> {
    let Findings {
        choice, collected, ..
    } = findings;
    let Choice {
        tally,
        unavoidable,
        is_proven,
        ..
    } = choice;
    let n = tally.false_accepts;
    let bound = most_per_hour(n, collected.hours);
    let mut lines = Vec::new();
    lines.push(match is_proven {
        true => format!(
            "With 95 % confidence there are at most {bound:.2} false accepts an hour: the budget \
             ({:.2}) is kept.",
            findings.budget
        ),
        false => format!(
            "The budget of {:.2} false accepts an hour is not proven: {n} in {:.2} h exclude, with \
             95 % confidence, only more than {bound:.2} an hour. As many in {:.0} h would prove it.",
            findings.budget,
            collected.hours,
            most_per_hour(n, 1.0) / findings.budget
        ),
    });
    if *unavoidable > 0 {
        lines.push(format!(
            "{unavoidable} of them were a command word for word, and no threshold keeps those out: \
             reword the commands (`hark commands check` names everyday phrases)."
        ));
    }
    if tally.commands == 0 {
        lines.push(
            "Without recordings of commands (--positives) the thresholds are made tighter than the \
             defaults where they must be, and never looser."
                .to_owned(),
        );
    }
    lines
}

/// The lines of config.toml.
fn configuration(options: &MatchOptions) -> [String; 5] {
    [
        "[commands]".to_owned(),
        format!("threshold = {:.2}", options.threshold + 0.0),
        format!("margin = {:.2}", options.margin),
        format!("heard_threshold = {:.2}", options.heard_threshold + 0.0),
        format!("heard_margin = {:.2}", options.heard_margin),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::calibrate::tests::example;

    #[test]
    fn the_text_names_thresholds_and_limits() {
        let text = text(&example(40));
        for part in [
            "1.00 h without a command, 20 utterances; 40 recordings of commands\n",
            "is not proven: 0 in 1.00 h exclude, with 95 % confidence, only more than 3.00 an hour",
            "As many in 30 h would prove it.",
            "\n[commands]\nthreshold = -0.25\nmargin = 1.00\nheard_threshold = -0.45\nheard_margin = 0.70",
            "\n*          -0.45  ",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
        assert!(!text.contains("-0.00"), "{text}");
    }

    #[test]
    fn without_commands_the_text_says_so() {
        let text = text(&example(0));
        assert!(text.contains("never looser"), "{text}");
        assert!(!text.contains("NaN"), "{text}");
    }
}
