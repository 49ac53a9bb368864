//! Which kernel this is.

/// The oldest kernel Becket works on: the one that brought `mount_setattr` (5.12).
pub const OLDEST: (u32, u32) = (5, 12);

/// The version of the running kernel, as (5, 12); `None` when its name does not start with one.
pub fn version() -> Option<(u32, u32)> {
    parse(rustix::system::uname().release().to_str().ok()?)
}

fn parse(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_release() {
        for (release, version) in [
            ("6.18.44-fc-v769", Some((6, 18))),
            ("5.12.0", Some((5, 12))),
            ("5.4-rc1", Some((5, 4))),
            ("10.0", Some((10, 0))),
            ("next", None),
            ("6", None),
        ] {
            assert_eq!(parse(release), version, "{release}");
        }
        assert!(version().is_some());
    }
}
