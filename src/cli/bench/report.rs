//! Figures, and how they are printed.

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::machine;
use crate::cli::output::Out;
use crate::cli::{Failure, Globals};
use crate::event::round_to;
use crate::whisper::Model;

/// Median, least and greatest of several runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figures {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Figures {
    /// Those of `values`; zeros for none.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let at = |i: usize| values.get(i).copied().unwrap_or(0.0);
        let median = match values.len() {
            0 => 0.0,
            n if n.is_multiple_of(2) => (at(middle - 1) + at(middle)) / 2.0,
            _ => at(middle),
        };
        Figures {
            median,
            min: at(0),
            max: at(values.len().saturating_sub(1)),
        }
    }

    /// Each of them times `factor`, which is not negative.
    pub(super) fn times(self, factor: f64) -> Self {
        Figures {
            median: self.median * factor,
            min: self.min * factor,
            max: self.max * factor,
        }
    }

    /// Adds `name`, `name_min` and `name_max` to `to`.
    pub(super) fn put(self, name: &str, to: &mut Map<String, Value>) {
        for (ending, value) in [("", self.median), ("_min", self.min), ("_max", self.max)] {
            to.insert(format!("{name}{ending}"), json!(round_to(value, 10_000.0)));
        }
    }
}

/// What is printed: named values in the order they were put, and tables of them.
#[derive(Default)]
pub(super) struct Report {
    lines: Vec<String>,
    values: Map<String, Value>,
}

impl Report {
    /// A value that is no measurement.
    pub(super) fn put(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        let text = match &value {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        self.line(name, &text);
        self.values.insert(name.to_owned(), value);
    }

    /// Under which conditions all of it was measured.
    pub(super) fn conditions(&mut self, model: &Model, decoding: &str) {
        self.put("machine", machine::name());
        self.put("threads", json!(model.exec().n_threads()));
        self.put("simd", model.exec().cpu().name());
        self.put("model", model.name());
        self.put("compute", model.compute().name());
        self.put("decoding", decoding);
    }

    /// A measurement.
    pub(super) fn measured(&mut self, name: &str, figures: Figures) {
        let Figures { median, min, max } = figures;
        self.line(name, &format!("{median:.4} ({min:.4} to {max:.4})"));
        figures.put(name, &mut self.values);
    }

    /// Median and 95th percentile of many values, as one object.
    pub(super) fn spread(&mut self, name: &str, values: &mut [f64]) {
        let object = spread_of(values);
        let shown = |name: &str| match object[name].as_f64() {
            Some(value) => format!("{value:.3}"),
            None => "-".to_owned(),
        };
        let text = format!(
            "{} (p95 {}, n {})",
            shown("median"),
            shown("p95"),
            object["n"]
        );
        self.line(name, &text);
        self.values.insert(name.to_owned(), object);
    }

    /// Objects that people see as `rows` of text, one each.
    pub(super) fn table(&mut self, name: &str, rows: Vec<(String, Map<String, Value>)>) {
        self.lines.push(String::new());
        self.lines.push(format!("{name}:"));
        let mut objects = Vec::new();
        for (line, object) in rows {
            self.lines.push(format!("  {line}"));
            objects.push(Value::Object(object));
        }
        self.values.insert(name.to_owned(), Value::Array(objects));
    }

    fn line(&mut self, name: &str, text: &str) {
        self.lines.push(format!("{name:<20} {text}"));
    }

    /// To standard output: one object on one line with `--json`, else a line a value.
    pub(super) fn print(self, globals: &Globals) -> Result<(), Failure> {
        let mut out = Out::stdout();
        match globals.json {
            true => out.line(&Value::Object(self.values).to_string()),
            false => out.line(&self.lines.join("\n")),
        }
    }
}

/// Median and 95th percentile of many values; null for none.
pub(super) fn spread_of(values: &mut [f64]) -> Value {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let last = values.len().checked_sub(1)?;
        let value = values.get((share * last as f64).round() as usize)?;
        Some(round_to(*value, 1000.0))
    };
    json!({"median": at(0.5), "p95": at(0.95), "n": values.len()})
}

/// Milliseconds since `begin`.
pub(super) fn ms_since(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        let cases: [(&[f64], [f64; 3]); 4] = [
            (&[], [0.0; 3]),
            (&[3.0], [3.0; 3]),
            (&[4.0, 1.0], [2.5, 1.0, 4.0]),
            (&[9.0, 1.0, 2.0], [2.0, 1.0, 9.0]),
        ];
        for (values, [median, min, max]) in cases {
            let expected = Figures { median, min, max };
            assert_eq!(Figures::of(values.iter().copied()), expected);
        }
    }

    #[test]
    fn a_measurement_has_its_bounds_beside_it() {
        let mut object = Map::new();
        Figures::of([0.123_46, 2.0]).put("x_ms", &mut object);
        let expected = r#"{"x_ms":1.0617,"x_ms_max":2.0,"x_ms_min":0.1235}"#;
        assert_eq!(Value::Object(object).to_string(), expected);
    }
}
