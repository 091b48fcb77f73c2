//! SubRip subtitles (`.srt`): numbered cues, comma before the milliseconds.

use super::{Cue, clock};

/// The cue with its number, from 1, and the blank line that ends it.
pub(crate) fn cue(number: usize, cue: &Cue) -> String {
    format!(
        "{number}\n{} --> {}\n{}\n\n",
        clock(cue.t0, ','),
        clock(cue.t1, ','),
        text(&cue.text)
    )
}

/// The arrow would be read as a time line.
fn text(text: &str) -> String {
    text.trim().replace("-->", "->")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cue() {
        let hello = Cue {
            t0: 1.0,
            t1: 2.5,
            text: " Hello --> there.".to_owned(),
        };
        assert_eq!(
            cue(3, &hello),
            "3\n00:00:01,000 --> 00:00:02,500\nHello -> there.\n\n"
        );
    }
}
