//! The trade-off as a picture: what each threshold gains and costs. Plain SVG, nothing else needed.

use std::fmt::Write;

use super::Findings;
use crate::command::calibrate::{Tally, most_per_hour};

const WIDTH: f64 = 960.0;
/// Height of one row of plots, with its labels.
const ROW_HEIGHT: f64 = 310.0;
const TOP: f64 = 56.0;
/// From a plot's frame to its axes.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 20.0;
const ABOVE: f64 = 60.0;
const BELOW: f64 = 52.0;

/// Width of a letter, about.
const LETTER: f64 = 6.5;

const BLUE: &str = "#1b5e9e";
const ORANGE: &str = "#c2570c";
const GREY: &str = "#6b7280";

/// A line of a plot.
struct Line {
    label: &'static str,
    colour: &'static str,
    is_dashed: bool,
    points: Vec<(f64, f64)>,
}

/// A pair of axes with lines.
struct Plot {
    title: &'static str,
    x_label: &'static str,
    y_label: &'static str,
    /// From left to right.
    x: (f64, f64),
    y_max: f64,
    lines: Vec<Line>,
    /// The chosen threshold.
    chosen: f64,
    /// A level that must not be exceeded, with its name.
    limit: Option<(f64, &'static str)>,
}

/// Where a plot's axes stand, in pixels.
#[derive(Clone, Copy)]
struct Frame {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// The picture.
pub(super) fn svg(findings: &Findings) -> String {
    let columns = [
        (
            "By the audio",
            "heard_threshold, nats a token",
            &findings.heard,
            findings.choice.options.heard_threshold,
        ),
        (
            "By the text",
            "threshold, nats a word",
            &findings.text,
            findings.choice.options.threshold,
        ),
    ];
    let has_commands = findings.choice.tally.commands > 0;
    let n_rows = if has_commands { 2.0 } else { 1.0 };
    let height = TOP + n_rows * ROW_HEIGHT;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>What the thresholds of spoken commands cost</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(
        &mut out,
        (WIDTH / 2.0, 24.0),
        "middle",
        16,
        "What the thresholds cost",
    );
    let heard = format!(
        "{:.2} h without a command, {} recordings of commands",
        findings.collected.hours, findings.choice.tally.commands
    );
    text(&mut out, (WIDTH / 2.0, 44.0), "middle", 12, &heard);
    for (i, (title, x_label, rows, chosen)) in columns.into_iter().enumerate() {
        let mut plots = Vec::new();
        if has_commands {
            plots.push(understood(title, x_label, rows, chosen));
        }
        plots.push(false_accepts(title, x_label, rows, chosen, findings));
        for (j, plot) in plots.iter().enumerate() {
            let frame = Frame {
                x: i as f64 * WIDTH / 2.0 + LEFT,
                y: TOP + j as f64 * ROW_HEIGHT + ABOVE,
                width: WIDTH / 2.0 - LEFT - RIGHT,
                height: ROW_HEIGHT - ABOVE - BELOW,
            };
            draw(&mut out, frame, plot);
        }
    }
    out.push_str("</svg>\n");
    out
}

/// From the tightest to the loosest.
fn x_range(rows: &[(f32, Tally)]) -> (f64, f64) {
    let at = |row: Option<&(f32, Tally)>| row.map_or(0.0, |(value, _)| f64::from(*value));
    (at(rows.first()), at(rows.last()))
}

fn points(rows: &[(f32, Tally)], y: impl Fn(&Tally) -> f64) -> Vec<(f64, f64)> {
    let point = |(value, tally): &(f32, Tally)| (f64::from(*value), y(tally));
    rows.iter().map(point).collect()
}

fn understood(
    title: &'static str,
    x_label: &'static str,
    rows: &[(f32, Tally)],
    chosen: f32,
) -> Plot {
    let share = |n: usize, tally: &Tally| 100.0 * n as f64 / tally.commands.max(1) as f64;
    Plot {
        title,
        x_label,
        y_label: "% of the commands",
        x: x_range(rows),
        y_max: 100.0,
        lines: vec![
            Line {
                label: "understood",
                colour: BLUE,
                is_dashed: false,
                points: points(rows, |tally| share(tally.right, tally)),
            },
            Line {
                label: "wrong slots or command",
                colour: ORANGE,
                is_dashed: false,
                points: points(rows, |tally| share(tally.slot_errors + tally.wrong, tally)),
            },
        ],
        chosen: f64::from(chosen),
        limit: None,
    }
}

fn false_accepts(
    title: &'static str,
    x_label: &'static str,
    rows: &[(f32, Tally)],
    chosen: f32,
    findings: &Findings,
) -> Plot {
    // Nothing was heard in no time.
    let hours = findings.collected.hours.max(1e-3);
    let bound = points(rows, |tally| most_per_hour(tally.false_accepts, hours));
    let highest = bound
        .iter()
        .map(|(_, y)| *y)
        .fold(findings.budget, f64::max);
    Plot {
        title,
        x_label,
        y_label: "false accepts an hour",
        x: x_range(rows),
        y_max: highest * 1.1,
        lines: vec![
            Line {
                label: "heard",
                colour: ORANGE,
                is_dashed: false,
                points: points(rows, |tally| tally.false_accepts as f64 / hours),
            },
            Line {
                label: "at most, with 95 % confidence",
                colour: ORANGE,
                is_dashed: true,
                points: bound,
            },
        ],
        chosen: f64::from(chosen),
        limit: Some((findings.budget, "budget")),
    }
}

impl Frame {
    fn px(&self, plot: &Plot, x: f64) -> f64 {
        let (from, to) = plot.x;
        let span = if to == from { 1.0 } else { to - from };
        self.x + (x - from) / span * self.width
    }

    fn py(&self, plot: &Plot, y: f64) -> f64 {
        self.y + self.height * (1.0 - y / plot.y_max)
    }
}

fn draw(out: &mut String, frame: Frame, plot: &Plot) {
    let Frame {
        x,
        y,
        width,
        height,
    } = frame;
    let (right, bottom) = (x + width, y + height);
    text(out, (x, y - 42.0), "start", 13, plot.title);
    for tick in ticks(0.0, plot.y_max, 6) {
        let py = frame.py(plot, tick);
        line(out, (x, py), (right, py), "#e5e7eb", "");
        text(out, (x - 8.0, py + 4.0), "end", 12, &number(tick));
    }
    let (least, most) = (plot.x.0.min(plot.x.1), plot.x.0.max(plot.x.1));
    for tick in ticks(least, most, 6) {
        let px = frame.px(plot, tick);
        line(out, (px, bottom), (px, bottom + 4.0), GREY, "");
        text(out, (px, bottom + 18.0), "middle", 12, &number(tick));
    }
    line(out, (x, y), (x, bottom), GREY, "");
    line(out, (x, bottom), (right, bottom), GREY, "");
    text(
        out,
        (x + width / 2.0, bottom + 38.0),
        "middle",
        12,
        plot.x_label,
    );
    let (tx, ty) = (x - 46.0, y + height / 2.0);
    let _ = writeln!(
        out,
        "<text x=\"{tx:.1}\" y=\"{ty:.1}\" text-anchor=\"middle\" \
         transform=\"rotate(-90 {tx:.1} {ty:.1})\">{}</text>",
        plot.y_label
    );
    draw_marks(out, frame, plot);
    let mut legend_x = x;
    for curve in &plot.lines {
        draw_line(out, frame, plot, curve);
        let ly = y - 22.0;
        let dash = if curve.is_dashed { "5 4" } else { "" };
        let (from, to) = ((legend_x, ly - 4.0), (legend_x + 24.0, ly - 4.0));
        line(out, from, to, curve.colour, dash);
        text(out, (legend_x + 30.0, ly), "start", 12, curve.label);
        legend_x += 56.0 + LETTER * curve.label.len() as f64;
    }
}

/// The chosen threshold and the limit.
fn draw_marks(out: &mut String, frame: Frame, plot: &Plot) {
    let px = frame.px(plot, plot.chosen);
    line(
        out,
        (px, frame.y),
        (px, frame.y + frame.height),
        GREY,
        "2 3",
    );
    let is_right = px > frame.x + frame.width / 2.0;
    let (anchor, shift) = if is_right {
        ("end", -5.0)
    } else {
        ("start", 5.0)
    };
    let chosen = format!("chosen {}", number(plot.chosen));
    text(out, (px + shift, frame.y - 4.0), anchor, 12, &chosen);
    if let Some((level, name)) = plot.limit {
        let (py, right) = (frame.py(plot, level), frame.x + frame.width);
        line(out, (frame.x, py), (right, py), BLUE, "8 4");
        text(
            out,
            (right, py - 4.0),
            "end",
            12,
            &format!("{name} {}", number(level)),
        );
    }
}

fn draw_line(out: &mut String, frame: Frame, plot: &Plot, curve: &Line) {
    let at = |(x, y): &(f64, f64)| {
        let (px, py) = (frame.px(plot, *x), frame.py(plot, *y));
        format!("{px:.1},{py:.1}")
    };
    let points: Vec<String> = curve.points.iter().map(at).collect();
    let dash = if curve.is_dashed { "5 4" } else { "none" };
    let _ = writeln!(
        out,
        "<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"2\" stroke-dasharray=\"{dash}\" \
         points=\"{}\"/>",
        curve.colour,
        points.join(" ")
    );
}

fn line(out: &mut String, from: (f64, f64), to: (f64, f64), colour: &str, dash: &str) {
    let dash = if dash.is_empty() { "none" } else { dash };
    let _ = writeln!(
        out,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" \
         stroke-dasharray=\"{dash}\"/>",
        from.0, from.1, to.0, to.1
    );
}

/// None of our texts has a character that SVG reads otherwise.
fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, size: u32, text: &str) {
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\">{text}</text>"
    );
}

/// Round numbers from `least` to `most`, about `n` of them.
fn ticks(least: f64, most: f64, n: usize) -> Vec<f64> {
    let span = most - least;
    if !span.is_finite() || span <= 0.0 {
        return vec![least];
    }
    let rough = span / n as f64;
    let power = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let step = steps
        .into_iter()
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(span);
    let first = (least / step - 1e-6).ceil() as i64;
    let last = (most / step + 1e-6).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// As short as it is exact to two decimals.
fn number(value: f64) -> String {
    let text = format!("{:.2}", value + 0.0);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match text {
        "-0" => "0".to_owned(),
        text => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::calibrate::tests::example;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(0.0, 100.0, 6), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        let shown: Vec<String> = ticks(-1.0, 0.0, 6).into_iter().map(number).collect();
        assert_eq!(shown, ["-1", "-0.8", "-0.6", "-0.4", "-0.2", "0"]);
        assert_eq!(ticks(1.0, 1.0, 6), [1.0]);
        assert_eq!(ticks(0.0, f64::INFINITY, 6), [0.0]);
    }

    #[test]
    fn every_point_lies_in_its_frame() {
        for n_commands in [0, 40] {
            let picture = svg(&example(n_commands));
            assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
            assert!(
                !picture.contains("NaN") && !picture.contains("inf"),
                "{picture}"
            );
            assert_eq!(
                picture.matches("<polyline").count(),
                if n_commands > 0 { 8 } else { 4 }
            );
            for points in picture.split("points=\"").skip(1) {
                let points = points.split('"').next().unwrap_or_default();
                for point in points.split(' ') {
                    let both = point
                        .split_once(',')
                        .and_then(|(x, y)| Some((x.parse::<f64>().ok()?, y.parse::<f64>().ok()?)));
                    let inside = both.is_some_and(|(x, y)| {
                        (0.0..=WIDTH).contains(&x) && (TOP..=TOP + 2.0 * ROW_HEIGHT).contains(&y)
                    });
                    assert!(inside, "{point}");
                }
            }
        }
    }
}
