//! Tables, a row a segment: start and end in whole milliseconds, and the text, as OpenAI's program
//! (`tsv`) and whisper.cpp (`csv`) write them.

use super::{Cue, one_line};

/// The first line of a `.csv`.
pub(crate) const CSV_HEAD: &str = "start,end,text\n";
/// The first line of a `.tsv`.
pub(crate) const TSV_HEAD: &str = "start\tend\ttext\n";

/// The cue as a row, its text in quotes (RFC 4180).
pub(crate) fn csv_row(cue: &Cue) -> String {
    let text = one_line(&cue.text).replace('"', "\"\"");
    format!("{},{},\"{text}\"\n", ms(cue.t0), ms(cue.t1))
}

/// The cue as a row; its text holds no tab.
pub(crate) fn tsv_row(cue: &Cue) -> String {
    format!("{}\t{}\t{}\n", ms(cue.t0), ms(cue.t1), one_line(&cue.text))
}

fn ms(seconds: f64) -> u64 {
    (seconds.max(0.0) * 1000.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let said = Cue {
            t0: 0.0,
            t1: 2.5004,
            text: " \"Stop\",\tshe\r\nsaid. ".to_owned(),
        };
        assert_eq!(csv_row(&said), "0,2500,\"\"\"Stop\"\", she said.\"\n");
        assert_eq!(tsv_row(&said), "0\t2500\t\"Stop\", she said.\n");
    }
}
