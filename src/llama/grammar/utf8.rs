//! Characters as bytes: ranges of code points in, sequences of byte ranges out.
//!
//! A grammar is read byte by byte, since a token may end within a character. UTF-8 keeps the order of code points,
//! so that a range of characters of one length is a range of byte strings of one length.

/// One range after the other: the strings whose bytes are each in the range at their place.
pub(super) type ByteRanges = Vec<(u8, u8)>;

/// The last code point.
pub(super) const LAST: u32 = 0x10_ffff;

/// What follows the first byte of a character.
const CONTINUATION: (u8, u8) = (0x80, 0xbf);

/// Ranges of code points of which all have encodings of one length: without the surrogates, which are no
/// characters.
const OF_ONE_LENGTH: [(u32, u32); 5] = [
    (0, 0x7f),
    (0x80, 0x7ff),
    (0x800, 0xd7ff),
    (0xe000, 0xffff),
    (0x1_0000, LAST),
];

/// The encodings of all characters in ranges of code points (both ends included).
pub(super) fn encodings(ranges: &[(u32, u32)]) -> Vec<ByteRanges> {
    let mut out = Vec::new();
    for &(first, last) in ranges {
        for (least, most) in OF_ONE_LENGTH {
            let ends = (first.max(least), last.min(most));
            let chars = char::from_u32(ends.0).zip(char::from_u32(ends.1));
            let Some((low, high)) = chars.filter(|(low, high)| low <= high) else {
                continue;
            };
            let (mut a, mut b) = ([0; 4], [0; 4]);
            let (low, high) = (low.encode_utf8(&mut a), high.encode_utf8(&mut b));
            out.extend(between(low.as_bytes(), high.as_bytes(), CONTINUATION));
        }
    }
    out
}

/// The strings from `low` to `high`, which have one length, in alphabetical order; all bytes but the first are
/// within `rest` in all of them.
pub(super) fn between(low: &[u8], high: &[u8], rest: (u8, u8)) -> Vec<ByteRanges> {
    let mut out = Vec::new();
    split(low, high, rest, &mut Vec::new(), &mut out);
    out
}

/// As [`between`], each string behind `before`.
fn split(
    low: &[u8],
    high: &[u8],
    rest: (u8, u8),
    before: &mut ByteRanges,
    out: &mut Vec<ByteRanges>,
) {
    let Some((&(mut from), after_low)) = low.split_first() else {
        return out.push(before.clone());
    };
    let (&(mut to), after_high) = high.split_first().unwrap_or((&from, &[]));
    let mut within = |byte, low: &[u8], high: &[u8]| {
        before.push((byte, byte));
        split(low, high, rest, before, out);
        before.pop();
    };
    if from == to {
        return within(from, after_low, after_high);
    }
    if after_low.iter().any(|byte| *byte != rest.0) {
        within(from, after_low, &vec![rest.1; after_low.len()]);
        from += 1;
    }
    let ends_within = after_high.iter().any(|byte| *byte != rest.1);
    if ends_within {
        within(to, &vec![rest.0; after_high.len()], after_high);
        to -= 1;
    }
    if from <= to {
        let mut whole = before.clone();
        whole.push((from, to));
        whole.resize(before.len() + low.len(), rest);
        out.push(whole);
    }
}

/// Sorts ranges and joins those that touch.
pub(super) fn normalise(ranges: &mut Vec<(u32, u32)>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, last| {
        let touches = next.0 <= last.1.saturating_add(1);
        if touches {
            last.1 = last.1.max(next.1);
        }
        touches
    });
}

/// All code points that are in none of the ranges, which are normalised.
pub(super) fn all_but(ranges: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut out = Vec::with_capacity(ranges.len() + 1);
    let mut from = 0;
    for &(first, last) in ranges {
        if first > from {
            out.push((from, first - 1));
        }
        from = last + 1;
    }
    if from <= LAST {
        out.push((from, LAST));
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn holds(sequences: &[ByteRanges], text: &[u8]) -> usize {
        let is_in = |ranges: &&ByteRanges| {
            let mut both = ranges.iter().zip(text);
            ranges.len() == text.len() && both.all(|((a, b), byte)| (a..=b).contains(&byte))
        };
        sequences.iter().filter(is_in).count()
    }

    fn code(c: char) -> Vec<u8> {
        c.to_string().into_bytes()
    }

    /// Code points around every place where the encoding changes its form.
    fn borders() -> Vec<u32> {
        let at = [
            0, 0x3f, 0x7f, 0x80, 0xbf, 0xc0, 0x7ff, 0x800, 0xfff, 0x1000, 0xcfff, 0xd7ff, 0xd800,
            0xdfff, 0xe000, 0xffff, 0x1_0000, 0x3_ffff, 0x4_0000, 0xf_ffff, 0x10_0000, 0x10_ffff,
        ];
        let near = at.iter().flat_map(|c: &u32| c.saturating_sub(2)..=c + 2);
        let mut all: Vec<u32> = near.filter(|c| *c <= LAST).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    #[test]
    fn every_range_between_borders_holds_its_characters_and_no_others() {
        let borders = borders();
        for (i, &first) in borders.iter().enumerate() {
            for &last in &borders[i..] {
                let sequences = encodings(&[(first, last)]);
                for &c in &borders {
                    let Some(c) = char::from_u32(c) else { continue };
                    let expected = usize::from((first..=last).contains(&(c as u32)));
                    let found = holds(&sequences, &code(c));
                    assert_eq!(found, expected, "{c:?} in {first:x}..={last:x}");
                }
            }
        }
    }

    #[test]
    fn every_character_has_one_encoding_among_all() {
        let sequences = encodings(&[(0, LAST)]);
        for c in '\0'..=char::MAX {
            assert_eq!(holds(&sequences, &code(c)), 1, "{c:?}");
        }
        // Surrogates, overlong forms, beyond the last character, a stray byte.
        for not in [
            &[0xed, 0xa0, 0x80][..],
            &[0xc0, 0x80],
            &[0xe0, 0x9f, 0xbf],
            &[0xf0, 0x8f, 0xbf, 0xbf],
            &[0xf4, 0x90, 0x80, 0x80],
            &[0x80],
        ] {
            assert_eq!(holds(&sequences, not), 0, "{not:x?}");
        }
    }

    #[test]
    fn numbers_of_one_length_are_strings_between() {
        for (low, high) in [(100, 999), (123, 123), (199, 201), (109, 890), (123, 987)] {
            let (a, b) = (format!("{low}"), format!("{high}"));
            let sequences = between(a.as_bytes(), b.as_bytes(), (b'0', b'9'));
            for n in 100..=999 {
                let expected = usize::from((low..=high).contains(&n));
                let found = holds(&sequences, n.to_string().as_bytes());
                assert_eq!(found, expected, "{n} in {low}..={high}");
            }
        }
    }

    #[test]
    fn ranges_are_joined_and_turned_round() {
        let mut ranges = vec![(10, 20), (5, 9), (15, 30), (40, LAST)];
        normalise(&mut ranges);
        assert_eq!(ranges, [(5, 30), (40, LAST)]);
        assert_eq!(all_but(&ranges), [(0, 4), (31, 39)]);
        assert_eq!(all_but(&[]), [(0, LAST)]);
        assert_eq!(all_but(&[(0, LAST)]), []);
    }
}
