//! Sizes in bytes, as people and Kubernetes write them.

use crate::error::shown;
use crate::{Error, Kind, Result};

/// Volumes are multiples of this, so that every filesystem can use the last byte.
pub const GRANULE: u64 = 1024 * 1024;

/// The largest volume: 8 EiB less one granule is where file sizes end.
pub const LARGEST: u64 = i64::MAX as u64 / GRANULE * GRANULE;

const SUFFIXES: [(&str, u64); 12] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
];

/// Reads a Kubernetes quantity of bytes: `10Gi`, `500M`, `1.5Gi`, `1073741824`.
///
/// `OutOfRange` for zero, negative numbers and more than [`LARGEST`]; `Invalid` for anything else
/// that is no size. Fractions of a byte are rounded up.
pub fn parse(text: &str) -> Result<u64> {
    let (number, unit) = SUFFIXES
        .iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
        .unwrap_or((text, 1));
    if let Some(positive) = number.strip_prefix('-')
        && bytes(positive, unit).is_some()
    {
        return Err(Error::new(Kind::OutOfRange, format!("size `{text}` is negative")));
    }
    let bytes = bytes(number, unit).ok_or_else(|| {
        let shown = shown(text);
        Error::new(Kind::Invalid, format!("`{shown}` is not a size"))
            .hint("write a number of bytes or one with a unit, such as 10Gi or 500M")
    })?;
    match u64::try_from(bytes) {
        Ok(0) => Err(Error::new(Kind::OutOfRange, "size is 0")),
        Ok(bytes) if bytes <= LARGEST => Ok(bytes),
        _ => Err(Error::new(Kind::OutOfRange, format!("size `{text}` is larger than 8 EiB"))),
    }
}

fn bytes(number: &str, unit: u64) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0
        || !digits(whole)
        || fraction.len() > 9
        || !digits(fraction)
    {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let scale = 10u128.pow(fraction.len() as u32);
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let part = (fraction * u128::from(unit)).div_ceil(scale);
    whole.checked_mul(u128::from(unit))?.checked_add(part)
}

/// `bytes` rounded up to a whole [`GRANULE`].
pub fn round_up(bytes: u64) -> u64 {
    round_up_to(bytes, GRANULE)
}

/// `bytes` rounded up to a multiple of `granule`, or the largest one there is: what a volume of that
/// size really gets in a pool that makes volumes of such pieces.
pub fn round_up_to(bytes: u64, granule: u64) -> u64 {
    bytes.div_ceil(granule).saturating_mul(granule).min(LARGEST / granule * granule)
}

/// `bytes` for people: at most three digits and a binary unit, such as `1.5 GiB`.
pub fn display(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    // What would be shown as 1024 of a unit is one of the next.
    while value >= 1023.5 && unit < UNITS.len() - 1 && (unit > 0 || value >= 1024.0) {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if unit == 0 || value >= 100.0 || value.fract() < 0.005 { 0 } else { 1 };
    format!("{value:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        let table = [
            ("1", 1),
            ("1Ki", 1024),
            ("64Mi", 64 << 20),
            ("1.5Gi", 3 << 29),
            ("10G", 10_000_000_000),
            ("0.5k", 500),
            ("1073741824", 1 << 30),
        ];
        for (text, bytes) in table {
            assert_eq!(parse(text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn what_is_no_size_says_why() {
        for text in [
            "",
            "Gi",
            "1.0000000001",
            "1 Gi",
            "1GB",
            "1e3",
            "0x10",
            "NaN",
            ".",
            "١",
            "1.2.3",
            "--1",
        ] {
            assert_eq!(parse(text).unwrap_err().kind(), Kind::Invalid, "{text}");
        }
        for text in
            ["0", "0Gi", "-1", "-1Gi", "9223372036854775808", "8Ei", "99999999999999999999Ei"]
        {
            assert_eq!(parse(text).unwrap_err().kind(), Kind::OutOfRange, "{text}");
        }
    }

    #[test]
    fn rounding_and_display() {
        assert_eq!(
            (round_up(1), round_up(GRANULE), round_up(GRANULE + 1)),
            (GRANULE, GRANULE, 2 * GRANULE)
        );
        assert_eq!(round_up(u64::MAX), LARGEST);
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (1 << 30, "1 GiB"),
            (300 << 20, "300 MiB"),
        ] {
            assert_eq!(display(bytes), text);
        }
    }
}
