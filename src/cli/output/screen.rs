//! Captions on a terminal: settled text stays, the tail that may change is dimmed and rewritten in
//! place.
//!
//! In: the stable and the volatile text of the utterance being spoken. Out: text with cursor
//! movements. Rows that hold settled text alone are written once and left to scroll; only the rows
//! after them are written again, so an utterance may be longer than the screen.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Whether to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// The volatile tail is dim.
    Dim,
    /// No colours: the volatile tail stands in brackets.
    Plain,
}

/// What a terminal shows of the current utterance.
#[derive(Debug)]
pub(crate) struct Screen {
    style: Style,
    /// Rows of this utterance that are written for good.
    n_rows_done: usize,
    /// Rows below them that are on the screen now; the cursor stands in the last.
    n_rows_shown: usize,
    /// What those rows hold, as it was printed.
    shown: String,
}

/// A row of text and how many of its bytes are settled.
#[derive(Debug, PartialEq)]
struct Row {
    text: String,
    stable_bytes: usize,
}

impl Screen {
    /// An empty screen.
    pub(crate) fn new(style: Style) -> Self {
        Screen {
            style,
            n_rows_done: 0,
            n_rows_shown: 0,
            shown: String::new(),
        }
    }

    /// What to print when the caption changes; `columns` is the width of the terminal now.
    pub(crate) fn update(&mut self, stable: &str, volatile: &str, columns: usize) -> String {
        let rows = self.wrap(stable, volatile, columns);
        let mut text = self.erase();
        // A row is done when the next one begins with settled text, too.
        let n_done = rows
            .iter()
            .skip(1)
            .take_while(|row| row.stable_bytes > 0)
            .count();
        let n_done = n_done.max(self.n_rows_done).min(rows.len());
        for row in &rows[self.n_rows_done.min(n_done)..n_done] {
            text.push_str(&row.text);
            text.push_str("\r\n");
        }
        self.n_rows_done = n_done;
        let rest: Vec<_> = rows[n_done..].iter().map(|row| self.styled(row)).collect();
        self.n_rows_shown = rest.len();
        self.shown = rest.join("\r\n");
        text.push_str(&self.shown);
        text
    }

    /// What to print to have whole `lines` above what may still change of the caption. Its rows
    /// that are done stay where they are, and it goes on as if nothing had happened.
    pub(crate) fn insert(&self, lines: &str) -> String {
        let mut text = self.erase();
        for line in lines.lines() {
            text.push_str(line);
            text.push_str("\r\n");
        }
        text.push_str(&self.shown);
        text
    }

    /// What to print when nothing more comes, so that the next text begins on a line of its own.
    pub(crate) fn line_end(&self) -> &'static str {
        if self.shown.is_empty() { "" } else { "\r\n" }
    }

    /// What to print when the utterance is over: its text, for good.
    pub(crate) fn finish(&mut self, stable: &str, columns: usize) -> String {
        let rows = self.wrap(stable, "", columns);
        let mut text = self.erase();
        for row in rows.iter().skip(self.n_rows_done) {
            text.push_str(&row.text);
            text.push_str("\r\n");
        }
        self.n_rows_done = 0;
        self.n_rows_shown = 0;
        self.shown.clear();
        text
    }

    /// Back to the first row that may change, everything from there on empty.
    fn erase(&self) -> String {
        match self.n_rows_shown {
            0 => String::new(),
            1 => "\r\x1b[J".to_owned(),
            n => format!("\r\x1b[{}A\x1b[J", n - 1),
        }
    }

    fn styled(&self, row: &Row) -> String {
        let (stable, volatile) = row.text.split_at(row.stable_bytes);
        match (self.style, volatile.is_empty()) {
            (_, true) => stable.to_owned(),
            (Style::Dim, _) => format!("{stable}\x1b[2m{volatile}\x1b[0m"),
            (Style::Plain, _) => row.text.clone(),
        }
    }

    /// The text in rows of at most `columns - 1` cells: a full last cell wraps on some terminals
    /// and not on others. Breaks at spaces, and inside a word only when it is longer than a row or
    /// of a script without spaces.
    fn wrap(&self, stable: &str, volatile: &str, columns: usize) -> Vec<Row> {
        let width = columns.saturating_sub(1).max(10);
        let mut rows = vec![Row {
            text: String::new(),
            stable_bytes: 0,
        }];
        let mut cells = 0;
        let volatile = match (self.style, volatile.trim()) {
            (_, "") => String::new(),
            (Style::Dim, _) => volatile.trim_end().to_owned(),
            (Style::Plain, tail) => format!(" [{tail}]"),
        };
        for (text, settled) in [(stable, true), (volatile.as_str(), false)] {
            let mut gap = if text.starts_with(' ') { " " } else { "" };
            for word in text.split_whitespace() {
                for (i, piece) in pieces(word, width).into_iter().enumerate() {
                    let space = if cells == 0 || i > 0 { "" } else { gap };
                    let piece_cells = piece.width();
                    if cells > 0 && cells + space.len() + piece_cells > width {
                        rows.push(Row {
                            text: String::new(),
                            stable_bytes: 0,
                        });
                        cells = 0;
                    }
                    let space = if cells == 0 { "" } else { space };
                    if let Some(row) = rows.last_mut() {
                        row.text.push_str(space);
                        row.text.push_str(piece);
                        if settled {
                            row.stable_bytes = row.text.len();
                        }
                    }
                    cells += space.len() + piece_cells;
                }
                gap = " ";
            }
        }
        rows
    }
}

/// The parts of a word between which a row may end: each wide character by itself, and the rest in
/// lengths of at most `width` cells.
fn pieces(word: &str, width: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut cells) = (0, 0);
    let mut last_wide = false;
    for (at, c) in word.char_indices() {
        let c_cells = c.width().unwrap_or(0);
        // Combining marks (no cells) stay with what they belong to.
        let wide = if c_cells == 0 { last_wide } else { c_cells > 1 };
        let breaks = c_cells > 0 && (wide || last_wide || cells + c_cells > width);
        if at > start && breaks {
            pieces.push(&word[start..at]);
            (start, cells) = (at, 0);
        }
        cells += c_cells;
        last_wide = wide;
    }
    pieces.push(&word[start..]);
    pieces
}

/// Columns of the terminal on stdout, 80 if it does not say.
pub(crate) fn columns() -> usize {
    terminal_size::terminal_size()
        .map_or(80, |(width, _)| usize::from(width.0))
        .max(20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(stable: &str, volatile: &str, columns: usize) -> Vec<String> {
        let screen = Screen::new(Style::Dim);
        screen
            .wrap(stable, volatile, columns)
            .into_iter()
            .map(|row| row.text)
            .collect()
    }

    #[test]
    fn rows_break_at_spaces() {
        assert_eq!(
            rows("turn on the", " kitchen lights", 12),
            ["turn on the", "kitchen", "lights"]
        );
    }

    #[test]
    fn wide_characters_take_two_cells_and_break_anywhere() {
        assert_eq!(
            rows("台所の電気をつけて", "", 12),
            ["台所の電気", "をつけて"]
        );
    }

    #[test]
    fn combining_marks_stay_with_their_letter() {
        let word = "e\u{301}".repeat(12);
        assert_eq!(rows(&word, "", 11)[0], "e\u{301}".repeat(10));
    }

    #[test]
    fn a_long_word_is_cut() {
        assert_eq!(rows("Donaudampfschiff", "", 11), ["Donaudampf", "schiff"]);
    }

    #[test]
    fn the_tail_is_dim_and_rewritten() {
        let mut screen = Screen::new(Style::Dim);
        assert_eq!(screen.update("turn", " on", 80), "turn\x1b[2m on\x1b[0m");
        assert_eq!(screen.update("turn on", "", 80), "\r\x1b[Jturn on");
        assert_eq!(screen.finish("turn on", 80), "\r\x1b[Jturn on\r\n");
        assert_eq!(screen.update("", "", 80), "");
    }

    #[test]
    fn settled_rows_are_written_once() {
        let mut screen = Screen::new(Style::Dim);
        screen.update("one two three", " four five", 12);
        // "one two" is settled for good; the two rows after it are written again.
        let next = screen.update("one two three four", " five", 12);
        assert!(!next.contains("one two"), "{next:?}");
        assert!(next.starts_with("\r\x1b[1A\x1b[J"), "{next:?}");
        let last = screen.finish("one two three four five", 12);
        assert!(!last.contains("one two"), "{last:?}");
        assert!(last.contains("five\r\n"));
    }

    #[test]
    fn lines_go_above_the_caption() {
        let mut screen = Screen::new(Style::Dim);
        assert_eq!(screen.insert("[a]\n"), "[a]\r\n");
        screen.update("turn", " on", 80);
        let tail = "turn\x1b[2m on\x1b[0m";
        assert_eq!(
            screen.insert("[a]\n[b]\n"),
            format!("\r\x1b[J[a]\r\n[b]\r\n{tail}")
        );
        assert_eq!(screen.line_end(), "\r\n");
        assert_eq!(screen.finish("turn on", 80), "\r\x1b[Jturn on\r\n");
        assert_eq!(screen.line_end(), "");
        assert_eq!(screen.insert("[a]"), "[a]\r\n");
    }

    #[test]
    fn a_line_between_rows_loses_none() {
        let mut screen = Screen::new(Style::Dim);
        screen.update("one two three", " four five", 12);
        let inserted = screen.insert("[lost]\n");
        // The two rows that may change are erased and written again, below the line.
        assert!(
            inserted.starts_with("\r\x1b[1A\x1b[J[lost]\r\nthree"),
            "{inserted:?}"
        );
        assert!(!inserted.contains("one two"), "{inserted:?}");
        let last = screen.finish("one two three four five", 12);
        assert_eq!(last, "\r\x1b[1A\x1b[Jthree four\r\nfive\r\n");
    }

    #[test]
    fn without_colours_the_tail_stands_in_brackets() {
        let mut screen = Screen::new(Style::Plain);
        assert_eq!(screen.update("turn", " on", 80), "turn [on]");
    }
}
