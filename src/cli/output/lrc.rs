//! Lyrics (`.lrc`): each line with the minute, second and hundredth at which it begins.

use super::{Cue, one_line};

/// The cue as a line. A blank keeps a text in brackets from being read as a tag.
pub(crate) fn cue(cue: &Cue) -> String {
    let hundredths = (cue.t0.max(0.0) * 100.0).round() as u64;
    let (minutes, seconds) = (hundredths / 6000, hundredths / 100 % 60);
    let text = one_line(&cue.text);
    format!(
        "[{minutes:02}:{seconds:02}.{:02}] {text}\n",
        hundredths % 100
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_begins_with_its_time() {
        let line = |t0, text: &str| {
            let (t1, text) = (t0 + 1.0, text.to_owned());
            cue(&Cue { t0, t1, text })
        };
        assert_eq!(line(0.0, " Hello\nthere. "), "[00:00.00] Hello there.\n");
        assert_eq!(line(59.996, "[Music]"), "[01:00.00] [Music]\n");
        assert_eq!(line(6_005.25, "Late."), "[100:05.25] Late.\n");
    }
}
