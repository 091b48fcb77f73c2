//! From the tokens of a window to segments with times, and to where the next window begins.
//!
//! Source: OpenAI's reference (`transcribe.py`). Two timestamps in a row end one segment and begin
//! the next; what follows the last pair is decoded again with more audio behind it.

use std::ops::Range;

use super::rules::SECONDS_PER_TIMESTAMP;

/// Part of a window's tokens, with its times in the window.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) tokens: Range<usize>,
    pub(super) t0: f64,
    pub(super) t1: f64,
}

/// Splits `tokens` of a window of `duration_s` seconds into `spans` and returns how far into the
/// window the next one begins, in seconds.
pub(super) fn split(
    tokens: &[u32],
    timestamp_begin: u32,
    duration_s: f64,
    spans: &mut Vec<Span>,
) -> f64 {
    spans.clear();
    let is_time = |i: usize| tokens[i] >= timestamp_begin;
    let seconds = |i: usize| f64::from(tokens[i] - timestamp_begin) * SECONDS_PER_TIMESTAMP;
    let n = tokens.len();
    let one_at_end = n >= 2 && is_time(n - 1) && !is_time(n - 2);
    let mut last = 0;
    let pairs = (1..n).filter(|&i| is_time(i) && is_time(i - 1));
    let ends = pairs.chain((one_at_end).then_some(n));
    let mut found_pair = false;
    for end in ends {
        if end < n {
            found_pair = true;
        } else if !found_pair {
            break;
        }
        let times = (is_time(last), end > last && is_time(end - 1));
        let t0 = if times.0 { seconds(last) } else { 0.0 };
        let t1 = if times.1 {
            seconds(end - 1)
        } else {
            duration_s
        };
        // The padding may be given times, too.
        spans.push(Span {
            tokens: last..end,
            t0: t0.min(duration_s),
            t1: t1.min(duration_s),
        });
        last = end;
    }
    if found_pair {
        return if one_at_end {
            duration_s
        } else {
            seconds(last - 1)
        };
    }
    let t1 = (0..n)
        .rev()
        .find(|&i| is_time(i))
        .map(seconds)
        .filter(|&s| s > 0.0);
    let t0 = if n > 0 && is_time(0) { seconds(0) } else { 0.0 };
    let t1 = t1.filter(|&t1| t1 > t0).unwrap_or(duration_s);
    spans.push(Span {
        tokens: 0..n,
        t0,
        t1: t1.min(duration_s).max(t0),
    });
    duration_s
}

#[cfg(test)]
mod tests {
    use super::*;

    const B: u32 = 100;

    fn run(tokens: &[u32]) -> (Vec<Span>, f64) {
        let mut spans = Vec::new();
        let next = split(tokens, B, 30.0, &mut spans);
        (spans, next)
    }

    #[test]
    fn one_segment_to_the_end() {
        let (spans, next) = run(&[B, 1, 2, B + 100]);
        assert_eq!(
            spans,
            [Span {
                tokens: 0..4,
                t0: 0.0,
                t1: 2.0
            }]
        );
        assert_eq!(next, 30.0);
    }

    #[test]
    fn an_open_segment_is_decoded_again() {
        let (spans, next) = run(&[B, 1, B + 50, B + 60, 2]);
        assert_eq!(
            spans,
            [Span {
                tokens: 0..3,
                t0: 0.0,
                t1: 1.0
            }]
        );
        assert!((next - 1.0).abs() < 1e-9);
    }

    #[test]
    fn two_closed_segments() {
        let (spans, next) = run(&[B, 1, B + 50, B + 60, 2, B + 70]);
        assert_eq!(spans.len(), 2);
        assert_eq!(spans[1].tokens, 3..6);
        assert_eq!(next, 30.0);
    }

    #[test]
    fn no_timestamps_at_all() {
        let (spans, next) = run(&[1, 2]);
        assert_eq!(
            spans,
            [Span {
                tokens: 0..2,
                t0: 0.0,
                t1: 30.0
            }]
        );
        assert_eq!(next, 30.0);
        assert_eq!(
            run(&[]).0,
            [Span {
                tokens: 0..0,
                t0: 0.0,
                t1: 30.0
            }]
        );
    }
}
