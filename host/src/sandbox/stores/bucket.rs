//! Buckets of units that fill by time: the generic cell rate algorithm (ITU-T I.371). One number says how full a bucket is: when it will be full.

/// How many units a bucket holds, and how long it takes to get one back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    pub capacity: u32,
    /// Nanoseconds.
    pub interval: u64,
}

/// What a bucket says when units are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    pub admitted: bool,
    /// Whole units that are left.
    pub left: u32,
    /// Nanoseconds until as many are there as were asked for.
    pub retry: u64,
    /// Nanoseconds until it is full.
    pub full: u64,
}

/// A bucket that takes longer to fill is a mistake, and twice this is far from overflowing.
const LONGEST: u64 = 366 * 24 * 3_600 * 1_000_000_000;

impl Bucket {
    /// `None`: it can hold nothing, or takes for ever.
    pub fn new(capacity: u32, interval: u64) -> Option<Self> {
        let length = interval.checked_mul(capacity.into())?;
        (length != 0 && length <= LONGEST).then_some(Self { capacity, interval })
    }

    /// Nanoseconds from empty to full.
    pub const fn length(self) -> u64 {
        self.interval * self.capacity as u64
    }

    /// What comes of asking, `missing` being the nanoseconds until the bucket is full.
    pub fn take(self, units: u32, missing: u64) -> Taken {
        let admitted = self.missing(missing) + self.cost(units) <= self.length();
        self.taken(units, missing, admitted)
    }

    /// The same, where it was decided elsewhere.
    pub fn taken(self, units: u32, missing: u64, admitted: bool) -> Taken {
        let missing = self.missing(missing);
        let after = missing + self.cost(units);
        let full = if admitted { after } else { missing };
        let left = u32::try_from(self.length().saturating_sub(full) / self.interval).unwrap_or(self.capacity);
        let retry = if admitted { 0 } else { after.saturating_sub(self.length()) };
        Taken { admitted, left, retry, full }
    }

    /// More is missing where the clock was set back, or the limit changed.
    fn missing(self, nanos: u64) -> u64 {
        nanos.min(self.length())
    }

    /// Nanoseconds that so many units take to come back.
    pub fn cost(self, units: u32) -> u64 {
        self.interval.saturating_mul(units.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_what_it_holds_and_then_one_each_interval() {
        let bucket = Bucket::new(3, 10).expect("a bucket");
        let mut missing = 0;
        for left in [2, 1, 0] {
            let taken = bucket.take(1, missing);
            assert_eq!((taken.admitted, taken.left, taken.retry), (true, left, 0));
            missing = taken.full;
        }
        assert_eq!(bucket.take(1, missing), Taken { admitted: false, left: 0, retry: 10, full: 30 });
        assert_eq!(bucket.take(1, missing - 9), Taken { admitted: false, left: 0, retry: 1, full: 21 });
        assert_eq!(bucket.take(1, missing - 10), Taken { admitted: true, left: 0, retry: 0, full: 30 });
        assert_eq!(bucket.take(2, missing - 10), Taken { admitted: false, left: 1, retry: 10, full: 20 });
        assert_eq!(bucket.take(1, u64::MAX).retry, 10, "no more is missing than it holds");
    }

    #[test]
    fn what_is_no_bucket_is_none() {
        assert!(Bucket::new(0, 1).is_none() && Bucket::new(1, 0).is_none());
        assert!(Bucket::new(u32::MAX, u64::MAX).is_none() && Bucket::new(1, LONGEST + 1).is_none() && Bucket::new(1, LONGEST).is_some());
    }
}
