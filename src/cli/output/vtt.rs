//! WebVTT subtitles (`.vtt`), <https://www.w3.org/TR/webvtt1/>.

use super::{Cue, clock};

/// What a file begins with.
pub(crate) const HEAD: &str = "WEBVTT\n\n";

/// The cue and the blank line that ends it.
pub(crate) fn cue(cue: &Cue) -> String {
    format!(
        "{} --> {}\n{}\n\n",
        clock(cue.t0, '.'),
        clock(cue.t1, '.'),
        text(&cue.text)
    )
}

/// Cue text must not hold `-->`, `&` or `<` as they are (section 3.4).
fn text(text: &str) -> String {
    text.trim()
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cue() {
        let hello = Cue {
            t0: 0.0,
            t1: 2.5,
            text: "Rock & <roll>".to_owned(),
        };
        let lines = "00:00:00.000 --> 00:00:02.500\nRock &amp; &lt;roll&gt;\n\n";
        assert_eq!(cue(&hello), lines);
    }
}
