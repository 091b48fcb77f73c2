//! Merging neighbours pair by pair, best first: what byte pair encoding and SentencePiece have in common.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

/// Merges parts of a text that end at `ends` (rising) while `rank` knows a pair, given where it begins, meets
/// and ends; the lowest rank first, of equals the leftmost (Sennrich et al. 2016). `take` gets what is left, in
/// order. O(n log n) in the number of parts.
pub(super) fn merge(
    ends: &[usize],
    rank: impl Fn(usize, usize, usize) -> Option<u32>,
    mut take: impl FnMut(Range<usize>),
) {
    let n = ends.last().copied().unwrap_or(0);
    // The part that begins at `i` ends at `end[i]`, where the next begins; `begin_before[i]` is where the
    // part before it begins. A part that was merged into the one before it has `end[i] == 0`.
    let mut end = vec![0; n];
    let mut begin_before = vec![0; n + 1];
    let mut heap = BinaryHeap::with_capacity(ends.len());
    let mut before: Option<usize> = None;
    let mut begin = 0;
    for &to in ends {
        end[begin] = to;
        begin_before[begin] = before.unwrap_or(0);
        if let Some(left) = before {
            heap.extend(rank(left, begin, to).map(|r| Reverse((r, left, begin, to))));
        }
        (before, begin) = (Some(begin), to);
    }
    begin_before[n] = before.unwrap_or(0);
    while let Some(Reverse((_, left, middle, right))) = heap.pop() {
        if end[left] != middle || end[middle] != right {
            continue;
        }
        end[left] = right;
        end[middle] = 0;
        begin_before[right] = left;
        if right < n {
            let to = end[right];
            heap.extend(rank(left, right, to).map(|r| Reverse((r, left, right, to))));
        }
        if left > 0 {
            let from = begin_before[left];
            heap.extend(rank(from, left, right).map(|r| Reverse((r, from, left, right))));
        }
    }
    let mut at = 0;
    while at < n {
        take(at..end[at]);
        at = end[at];
    }
}
