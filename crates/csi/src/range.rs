//! Sizes that a request leaves open within bounds: `CapacityRange`.

use crate::protocol::csi::CapacityRange;
use becket_core::{Error, Kind, Result, size};

/// What a volume gets of which nobody says how large it is to be.
pub const DEFAULT: u64 = 1 << 30;

/// A range, read: at least `required` bytes and at most `limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Bytes asked for; 0 when that is open.
    pub required: u64,
    /// Bytes that must not be exceeded.
    pub limit: u64,
}

impl Range {
    /// Reads a range; without one everything is open. `Invalid` when a number is negative, when none is
    /// set, and when they contradict each other.
    pub fn read(given: Option<&CapacityRange>) -> Result<Range> {
        let Some(given) = given else {
            return Ok(Range { required: 0, limit: u64::MAX });
        };
        let invalid = |what: &str| Error::new(Kind::Invalid, format!("the capacity range {what}"));
        let required = u64::try_from(given.required_bytes).map_err(|_| invalid("is negative"))?;
        let limit = u64::try_from(given.limit_bytes).map_err(|_| invalid("is negative"))?;
        match (required, limit) {
            (0, 0) => Err(invalid("says nothing")),
            (required, 0) => Ok(Range { required, limit: u64::MAX }),
            (required, limit) if required > limit => Err(invalid("ends before it begins")),
            (required, limit) => Ok(Range { required, limit }),
        }
    }

    /// Reads the range of an expansion, which must be there.
    pub fn expect(given: Option<&CapacityRange>) -> Result<Range> {
        match given {
            None => Err(Error::new(Kind::Invalid, "the capacity range is missing")),
            given => Range::read(given),
        }
    }

    /// The size within the range: what is asked for, or `open` where nothing is, rounded up to what
    /// volumes are multiples of there. `OutOfRange` when there is none.
    pub fn choose(&self, open: u64, granule: u64) -> Result<u64> {
        let wanted = match self.required {
            0 => open.min(self.limit / granule * granule),
            required => required,
        };
        let chosen = size::round_up_to(wanted.max(1), granule);
        match self.holds(chosen) && wanted <= size::LARGEST {
            true => Ok(chosen),
            false => Err(Error::new(
                Kind::OutOfRange,
                format!("no volume is of {} to {} bytes", self.required, self.limit),
            )
            .hint(format!(
                "volumes are multiples of {} and at most {}",
                size::display(granule),
                size::display(size::LARGEST)
            ))),
        }
    }

    /// True when a volume of `bytes` is within the range.
    pub fn holds(&self, bytes: u64) -> bool {
        (self.required..=self.limit).contains(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: i64 = 1 << 20;

    fn read(required_bytes: i64, limit_bytes: i64) -> Result<Range> {
        Range::read(Some(&CapacityRange { required_bytes, limit_bytes }))
    }

    #[test]
    fn sizes_are_chosen_within_the_range() {
        let table = [
            (read(MIB, 0), MIB as u64),
            (read(MIB - 1, 0), MIB as u64),
            (read(MIB, MIB), MIB as u64),
            (read(0, 5 * MIB - 1), 4 << 20),
            (read(0, i64::MAX), DEFAULT),
            (Range::read(None), DEFAULT),
        ];
        for (range, bytes) in table {
            assert_eq!(range.unwrap().choose(DEFAULT, MIB as u64).unwrap(), bytes);
        }
    }

    #[test]
    fn impossible_ranges_are_told_from_senseless_ones() {
        for (required, limit) in [(-1, 0), (0, -1), (0, 0), (2, 1)] {
            assert_eq!(read(required, limit).unwrap_err().kind(), Kind::Invalid);
        }
        for (required, limit) in [(1, 1), (MIB + 1, 2 * MIB - 1), (i64::MAX, 0), (0, MIB - 1)] {
            let chosen = read(required, limit).unwrap().choose(DEFAULT, MIB as u64);
            assert_eq!(chosen.unwrap_err().kind(), Kind::OutOfRange, "{required} {limit}");
        }
    }
}
