//! The numbers of a JSON schema, digit by digit.

use serde_json::{Map, Value};

use super::draft::{Element, ElementId};
use super::utf8;
use super::write::{Common, Writer, Written};

/// The largest integer that is written: all of them fit an `i64`.
const LARGEST_INTEGER: i128 = 999_999_999_999_999_999;

/// The largest number that is written before the point where there are bounds.
const LARGEST_NUMBER: i128 = 9_999_999_999_999_999;

/// A keyword that gives a bound.
struct Bound {
    keyword: &'static str,
    /// What is added to the next integer, for the bound itself may not be reached.
    beyond: i128,
    is_lower: bool,
}

const BOUNDS: [Bound; 4] = [
    Bound {
        keyword: "minimum",
        beyond: 0,
        is_lower: true,
    },
    Bound {
        keyword: "exclusiveMinimum",
        beyond: 1,
        is_lower: true,
    },
    Bound {
        keyword: "maximum",
        beyond: 0,
        is_lower: false,
    },
    Bound {
        keyword: "exclusiveMaximum",
        beyond: -1,
        is_lower: false,
    },
];

impl Writer<'_> {
    /// An integer within the bounds of a schema.
    pub(super) fn integer(&mut self, map: &Map<String, Value>) -> Written<ElementId> {
        let (mut least, mut most) = (-LARGEST_INTEGER, LARGEST_INTEGER);
        let mut is_bounded = false;
        for bound in &BOUNDS {
            let Some(value) = self.bound(map, bound.keyword)? else {
                continue;
            };
            is_bounded = true;
            if bound.is_lower {
                least = least.max(within(value, bound));
            } else {
                most = most.min(within(value, bound));
            }
        }
        match is_bounded {
            true if least > most => Err(self.no_value()),
            true => self.integers(least, most),
            false => self.common(Common::Integer),
        }
    }

    /// A number within the bounds of a schema, which are integers.
    pub(super) fn number(&mut self, map: &Map<String, Value>) -> Written<ElementId> {
        let (mut least, mut most) = (-LARGEST_NUMBER, LARGEST_NUMBER);
        let mut is_bounded = false;
        for bound in &BOUNDS {
            let Some(value) = self.bound(map, bound.keyword)? else {
                continue;
            };
            if bound.beyond != 0 {
                return Err(self.keyword(bound.keyword));
            }
            let Limit::Whole(whole) = value else {
                return Err(self.expected_at(bound.keyword, "an integer as the bound of a number"));
            };
            is_bounded = true;
            if bound.is_lower {
                least = least.max(whole);
            } else {
                most = most.min(whole);
            }
        }
        if !is_bounded {
            return self.common(Common::Number);
        }
        if least > most {
            return Err(self.no_value());
        }
        let mut all = Vec::new();
        if most >= 0 {
            all.push(self.fractions(least.max(0), most)?);
        }
        if least < 0 {
            let (minus, size) = (self.bytes("-")?, self.fractions((-most).max(0), -least)?);
            all.push(self.sequence(vec![minus, size])?);
        }
        self.any(all)
    }

    fn bound(&self, map: &Map<String, Value>, keyword: &str) -> Written<Option<Limit>> {
        let Some(value) = map.get(keyword) else {
            return Ok(None);
        };
        let whole = value.as_i64().map(i128::from);
        let whole = whole.or(value.as_u64().map(i128::from));
        match (whole, value.as_f64()) {
            (Some(whole), _) => Ok(Some(Limit::Whole(whole))),
            (None, Some(number)) if number.fract() == 0.0 => Ok(Some(Limit::Whole(number as i128))),
            (None, Some(number)) => Ok(Some(Limit::Above(number.floor() as i128))),
            (None, None) => Err(self.expected_at(keyword, "a number")),
        }
    }

    /// An integer from `least` to `most`.
    fn integers(&mut self, least: i128, most: i128) -> Written<ElementId> {
        let mut all = Vec::new();
        if most >= 0 {
            all.extend(self.naturals(least.max(0), most)?);
        }
        if least < 0 {
            let sizes = self.naturals((-most).max(1), -least)?;
            let (minus, sizes) = (self.bytes("-")?, self.any(sizes)?);
            all.push(self.sequence(vec![minus, sizes])?);
        }
        self.any(all)
    }

    /// A number from `least` to `most`, which are not negative, with places behind the point.
    fn fractions(&mut self, least: i128, most: i128) -> Written<ElementId> {
        let mut all = Vec::new();
        if least < most {
            let whole = self.naturals(least, most - 1)?;
            let (whole, fraction) = (self.any(whole)?, self.common(Common::Fraction)?);
            all.push(self.sequence(vec![whole, fraction])?);
        }
        let zero = self.add(Element::Chars(vec![(0x30, 0x30)]))?;
        let (most, point) = (self.bytes(&most.to_string())?, self.bytes(".")?);
        let zeros = self.repeat(zero, 1, Some(16))?;
        let behind = self.sequence(vec![point, zeros])?;
        let behind = self.repeat(behind, 0, Some(1))?;
        all.push(self.sequence(vec![most, behind])?);
        self.any(all)
    }

    /// The ways to write the integers from `least` to `most`, which are not negative.
    fn naturals(&mut self, least: i128, most: i128) -> Written<Vec<ElementId>> {
        let mut all = Vec::new();
        let (mut from, mut power) = (least, 10);
        while from <= most {
            // Those with as many digits.
            if from < power {
                let to = most.min(power - 1);
                let (low, high) = (from.to_string(), to.to_string());
                for ranges in utf8::between(low.as_bytes(), high.as_bytes(), (b'0', b'9')) {
                    all.push(self.of_digits(&ranges)?);
                }
                from = power;
            }
            power *= 10;
        }
        Ok(all)
    }

    fn of_digits(&mut self, ranges: &[(u8, u8)]) -> Written<ElementId> {
        let mut parts = Vec::with_capacity(ranges.len());
        for &(first, last) in ranges {
            parts.push(self.add(Element::Chars(vec![(first.into(), last.into())]))?);
        }
        self.sequence(parts)
    }
}

/// A bound as it is given.
#[derive(Clone, Copy)]
enum Limit {
    Whole(i128),
    /// Between this and the next one.
    Above(i128),
}

/// The first or last integer within a bound.
fn within(limit: Limit, bound: &Bound) -> i128 {
    match limit {
        Limit::Whole(whole) => whole.saturating_add(bound.beyond),
        Limit::Above(below) => below.saturating_add(i128::from(bound.is_lower)),
    }
}
