//! Plain text: one segment a line.

/// The text of a segment as a line; nothing for a segment without text.
pub(crate) fn line(text: &str) -> String {
    match text.trim() {
        "" => String::new(),
        text => format!("{text}\n"),
    }
}

/// What stands before the lines of a file when there are several.
pub(crate) fn title(file: &str) -> String {
    format!("==> {file} <==\n")
}
