//! Which kernel this is, and what it lets this process do.

/// The oldest kernel Becket works on: the one that brought `mount_setattr` (5.12).
pub const OLDEST: (u32, u32) = (5, 12);

/// The version of the running kernel, as (5, 12); `None` when its name does not start with one.
pub fn version() -> Option<(u32, u32)> {
    parse(rustix::system::uname().release().to_str().ok()?)
}

/// True when this process may grow a mounted ext4 (`EXT4_IOC_RESIZE_FS` asks for
/// `CAP_SYS_RESOURCE`, capabilities(7)).
pub fn may_grow_mounted_ext4() -> bool {
    rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(rustix::thread::CapabilitySet::SYS_RESOURCE))
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
