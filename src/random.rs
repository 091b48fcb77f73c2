//! Random numbers that are the same for the same seed everywhere.

/// Steele, Lea and Flood's SplitMix64 ("Fast splittable pseudorandom number generators", 2014): a
/// few lines, and any seed is a good one.
pub(crate) struct Random(u64);

impl Random {
    /// The generator of that seed.
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From 0 to below 1, in single precision.
    pub(crate) fn unit_f32(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// From 0 to below `n`; none of no number.
    pub(crate) fn below(&mut self, n: u64) -> Option<u64> {
        (n > 0).then(|| ((self.unit() * n as f64) as u64).min(n - 1))
    }
}
