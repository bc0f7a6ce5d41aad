//! Random numbers that a seed repeats.

/// SplitMix64: small, and good enough to choose moments by.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// The next of all numbers.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` up to but without `high`; `low` when there is none.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        match high.saturating_sub(low) {
            0 => low,
            span => low + self.next() % span,
        }
    }
}

impl Random {
    /// One of several; none of none.
    pub fn one_of<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(choices.len()).ok()?;
        choices.get(usize::try_from(self.between(0, count)).ok()?)
    }
}

/// A seed that no run before had.
#[must_use]
pub fn fresh_seed() -> u64 {
    let now = jiff::Timestamp::now().as_nanosecond().unsigned_abs();
    u64::try_from(now & u128::from(u64::MAX)).unwrap_or_default() ^ u64::from(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_numbers() {
        let draw = || {
            let mut random = Random::seeded(7);
            [random.between(0, 100), random.between(0, 100), random.next()]
        };
        assert_eq!(draw(), draw());
    }

    #[test]
    fn numbers_stay_in_their_range() {
        let mut random = Random::seeded(1);
        assert!((0..1000).all(|_| (20..30).contains(&random.between(20, 30))));
        assert_eq!(random.between(5, 5), 5);
    }
}
