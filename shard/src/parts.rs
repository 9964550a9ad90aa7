//! How an object is cut into the parts that an S3 store takes.
//!
//! A part is a byte range of the object, a pure function of the schedule that was recorded at
//! Initiate: chunks may straddle it, and no part's range depends on what arrived when.
//! Limits: S3 `UploadPart` (5 MiB to 5 GiB, the last may be smaller; numbers 1 to 10,000, here
//! dense and ascending).

use std::ops::Range;

/// S3: no part but the last is smaller.
pub const PART_BYTES_MIN: u64 = 5 << 20;
/// S3: no part is larger.
pub const PART_BYTES_MAX: u64 = 5 << 30;
/// S3: no object has more parts.
pub const PARTS_MAX: u64 = 10_000;

/// The smallest part that is made on purpose, unless a test wants smaller ones.
pub const PART_BYTES_BASE: u64 = 8 << 20;
/// A known size is cut into fewer parts than S3's limit, which leaves room for doubt.
const PARTS_PLANNED_MAX: u64 = 9_000;
/// Parts of one length in a growing schedule.
const PARTS_PER_STEP: u64 = 1_000;

const _: () = assert!(PART_BYTES_BASE >= PART_BYTES_MIN);
const _: () = assert!(PARTS_PLANNED_MAX <= PARTS_MAX);
const _: () = assert!(PART_BYTES_BASE << (PARTS_MAX / PARTS_PER_STEP - 1) <= PART_BYTES_MAX);

/// How the parts of one object are cut. Recorded before the first is sent, and never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// One PUT of the whole.
    Single {
        /// Length of the object, bytes.
        size_bytes: u64,
    },
    /// All parts but the last have this length.
    Fixed {
        /// Length of a part, bytes.
        part_bytes: u64,
    },
    /// A length that doubles every 1,000 parts, for an object whose length nobody knows.
    Growing {
        /// Length of the first parts, bytes.
        first_part_bytes: u64,
    },
}

/// What the schedule of an object depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// No part that is made on purpose is smaller, bytes: [`PART_BYTES_BASE`].
    pub part_bytes_base: u64,
    /// No part is larger: it has to fit where bytes wait. At most [`PART_BYTES_MAX`].
    pub part_bytes_max: u64,
    /// Up to here a known size goes in one PUT, bytes.
    pub single_put_bytes: u64,
    /// The store wants all parts but the last equal; unknown sizes then use this length, bytes.
    pub equal_part_bytes: Option<u64>,
}

impl Plan {
    /// The schedule for a size, or `None` if the size can't fit.
    #[must_use]
    pub fn schedule(&self, size_bytes: Option<u64>) -> Option<Schedule> {
        let schedule = match (size_bytes, self.equal_part_bytes) {
            (Some(size_bytes), _) if size_bytes <= self.single_put_bytes => {
                Schedule::Single { size_bytes }
            }
            (Some(size_bytes), _) => {
                let needed_bytes = size_bytes.div_ceil(PARTS_PLANNED_MAX).next_multiple_of(1 << 20);
                let part_bytes = match size_bytes.div_ceil(PARTS_PLANNED_MAX) {
                    enough if enough <= self.part_bytes_base => self.part_bytes_base,
                    _ => needed_bytes,
                };
                Schedule::Fixed { part_bytes }
            }
            (None, Some(part_bytes)) => Schedule::Fixed { part_bytes },
            (None, None) => Schedule::Growing { first_part_bytes: self.part_bytes_base },
        };
        let fits = match schedule {
            Schedule::Fixed { part_bytes } => part_bytes <= self.part_bytes_max,
            Schedule::Growing { first_part_bytes } => first_part_bytes <= self.part_bytes_max,
            Schedule::Single { .. } => true,
        };
        (fits && size_bytes.is_none_or(|size| size <= self.upload_bytes_max(&schedule)))
            .then_some(schedule)
    }
}

impl Plan {
    /// The largest object whose length is known before, bytes.
    #[must_use]
    pub fn object_bytes_max(&self) -> u64 {
        self.part_bytes_max * PARTS_PLANNED_MAX
    }

    /// The largest object that a schedule can make of parts as large as they may be, bytes.
    #[must_use]
    pub fn upload_bytes_max(&self, schedule: &Schedule) -> u64 {
        match *schedule {
            Schedule::Growing { first_part_bytes } => {
                let doublings = u64::from((self.part_bytes_max / first_part_bytes).ilog2());
                step_start(first_part_bytes, (doublings + 1).min(PARTS_MAX / PARTS_PER_STEP))
            }
            Schedule::Single { .. } | Schedule::Fixed { .. } => schedule.object_bytes_max(),
        }
    }
}

impl Schedule {
    /// The largest object that it can make, bytes.
    #[must_use]
    pub fn object_bytes_max(&self) -> u64 {
        match *self {
            Schedule::Single { size_bytes } => size_bytes,
            Schedule::Fixed { part_bytes } => part_bytes * PARTS_MAX,
            Schedule::Growing { first_part_bytes } => {
                step_start(first_part_bytes, PARTS_MAX / PARTS_PER_STEP)
            }
        }
    }

    /// Where a part begins, bytes.
    #[must_use]
    pub fn part_start(&self, number: u32) -> u64 {
        let index = u64::from(number - 1);
        match *self {
            Schedule::Single { .. } => 0,
            Schedule::Fixed { part_bytes } => index * part_bytes,
            Schedule::Growing { first_part_bytes } => {
                let (step, within) = (index / PARTS_PER_STEP, index % PARTS_PER_STEP);
                step_start(first_part_bytes, step) + within * (first_part_bytes << step)
            }
        }
    }

    /// The part that holds a byte: its number, from 1, and its range. The last part of an object
    /// ends with the object. `None` beyond [`Schedule::object_bytes_max`].
    #[must_use]
    pub fn part_at(&self, offset: u64) -> Option<(u32, Range<u64>)> {
        if offset >= self.object_bytes_max() {
            return None;
        }
        let (index, start, bytes) = match *self {
            Schedule::Single { size_bytes } => (0, 0, size_bytes),
            Schedule::Fixed { part_bytes } => {
                let index = offset / part_bytes;
                (index, index * part_bytes, part_bytes)
            }
            Schedule::Growing { first_part_bytes: first } => {
                // Step k has 1,000 parts of first << k bytes, and starts at 1,000 * first * (2^k - 1).
                let step = (offset / (PARTS_PER_STEP * first) + 1).ilog2();
                let bytes = first << step;
                let start = step_start(first, step.into());
                let within = (offset - start) / bytes;
                (u64::from(step) * PARTS_PER_STEP + within, start + within * bytes, bytes)
            }
        };
        let number = u32::try_from(index + 1).ok()?;
        Some((number, start..start + bytes))
    }
}

/// Where the parts of a growing schedule double the `step`th time, bytes.
fn step_start(first_part_bytes: u64, step: u64) -> u64 {
    PARTS_PER_STEP * first_part_bytes * ((1 << step) - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLAN: Plan = Plan {
        part_bytes_base: PART_BYTES_BASE,
        part_bytes_max: PART_BYTES_MAX,
        single_put_bytes: 16 << 20,
        equal_part_bytes: None,
    };
    const GROWING: Schedule = Schedule::Growing { first_part_bytes: PART_BYTES_BASE };

    /// Walks an object part by part and holds every part against S3's rules.
    fn assert_legal(schedule: Schedule, size_bytes: u64) {
        let mut offset = 0;
        let mut number = 0;
        while offset < size_bytes {
            let (next, range) = schedule.part_at(offset).expect("within the schedule");
            assert_eq!(next, number + 1, "dense and ascending");
            assert_eq!(range.start, offset, "no hole, no overlap");
            assert_eq!(schedule.part_start(next), offset);
            let end = range.end.min(size_bytes);
            if end < size_bytes {
                assert!(range.end - range.start >= PART_BYTES_MIN);
                assert_eq!(schedule.part_at(end - 1), Some((next, range.clone())));
            }
            assert!(range.end - range.start <= PART_BYTES_MAX);
            (offset, number) = (end, next);
        }
        assert!(u64::from(number) <= PARTS_MAX);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn known_sizes_are_cut_legally(size_bytes in 0u64..=(40 << 40)) {
            assert_legal(PLAN.schedule(Some(size_bytes)).unwrap(), size_bytes);
        }

        #[test]
        fn growing_parts_are_legal_to_the_last(size_bytes in 0u64..=GROWING.object_bytes_max()) {
            assert_legal(PLAN.schedule(None).unwrap(), size_bytes);
        }

        #[test]
        fn a_part_is_the_same_from_each_of_its_bytes(offset in 0u64..GROWING.object_bytes_max()) {
            let (number, range) = GROWING.part_at(offset).unwrap();
            prop_assert!(range.contains(&offset));
            prop_assert_eq!(GROWING.part_at(range.start), Some((number, range.clone())));
            prop_assert_eq!(GROWING.part_at(range.end - 1), Some((number, range)));
        }
    }

    #[test]
    fn the_largest_object_ends_with_part_ten_thousand() {
        let end = GROWING.object_bytes_max();
        assert_eq!(GROWING.part_at(end - 1).map(|(number, _)| number), Some(10_000));
        assert_eq!(GROWING.part_at(end), None);
    }

    #[test]
    fn stores_that_want_equal_parts_have_a_cap() {
        let plan = Plan { equal_part_bytes: Some(64 << 20), ..PLAN };
        let schedule = plan.schedule(None).unwrap();
        assert_eq!(schedule.object_bytes_max(), (64 << 20) * 10_000);
    }

    #[test]
    fn what_cannot_fit_is_refused() {
        assert_eq!(PLAN.schedule(Some(u64::MAX / 2)), None);
    }
}
