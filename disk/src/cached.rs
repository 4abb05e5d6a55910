//! Reads that nothing has to be waited for, because the page cache has the name and the bytes.
//!
//! A read that may wait for a device belongs to a thread that may wait; handing it over costs several times what copying a page costs.
//! The kernel can be asked not to wait (Linux: `RESOLVE_CACHED` for names, `RWF_NOWAIT` for bytes). Nothing here may ever block on a
//! device, or give other bytes than [`File::read_at`](crate::File::read_at) would.

use std::ops::Range;
use std::path::Path;

/// The answer of [`FileSystem::read_cached`](crate::FileSystem::read_cached).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CachedRead {
    /// Every range, whole.
    Whole(Vec<Vec<u8>>),
    /// Not without waiting, or not at all: whoever reads the file says which.
    NotNow,
    /// The file system cannot tell what it has in memory; there is no use in asking again.
    Unsupported,
}

#[cfg(target_os = "linux")]
pub(crate) fn read(path: &Path, ranges: &[Range<u64>]) -> CachedRead {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
    use rustix::io::Errno;

    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = match rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED) {
        Ok(file) => file,
        // A kernel before 5.12 does not know the flag or the call; some sandboxes forbid it.
        Err(Errno::NOSYS | Errno::INVAL | Errno::PERM) => return CachedRead::Unsupported,
        Err(_) => return CachedRead::NotNow,
    };
    let mut whole = Vec::with_capacity(ranges.len());
    for range in ranges {
        match read_range(&file, range) {
            Ok(bytes) => whole.push(bytes),
            Err(answer) => return answer,
        }
    }
    CachedRead::Whole(whole)
}

#[cfg(target_os = "linux")]
fn read_range(file: &rustix::fd::OwnedFd, range: &Range<u64>) -> Result<Vec<u8>, CachedRead> {
    use rustix::io::{Errno, ReadWriteFlags};
    use std::io::IoSliceMut;

    let length = range.end.checked_sub(range.start).ok_or(CachedRead::NotNow)?;
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| CachedRead::NotNow)?];
    let mut filled = 0;
    while filled < bytes.len() {
        let offset = range.start.saturating_add(filled as u64);
        let mut rest = [IoSliceMut::new(&mut bytes[filled..])];
        match rustix::io::preadv2(file, &mut rest, offset, ReadWriteFlags::NOWAIT) {
            // The end of the file: not what was asked for.
            Ok(0) => return Err(CachedRead::NotNow),
            Ok(count) => filled += count,
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Err(CachedRead::Unsupported),
            Err(_) => return Err(CachedRead::NotNow),
        }
    }
    Ok(bytes)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn read(_: &Path, _: &[Range<u64>]) -> CachedRead {
    CachedRead::Unsupported
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::fs::{self, File};

    use proptest::prelude::*;

    use super::*;
    use crate::{FileSystem, RealFs};

    const BYTES: u64 = 20_000;

    fn content() -> Vec<u8> {
        (0..BYTES).map(|i| (i * i / 7) as u8).collect()
    }

    fn expected(ranges: &[Range<u64>]) -> Vec<Vec<u8>> {
        let content = content();
        let of = |range: &Range<u64>| content[range.start as usize..range.end as usize].to_vec();
        ranges.iter().map(of).collect()
    }

    proptest! {
        /// Whatever the file system can do: what it gives is what is in the file, and no more.
        #[test]
        fn what_is_given_is_in_the_file(ends in prop::collection::vec((0..BYTES + 2, 0..BYTES + 2), 0..4)) {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), content()).unwrap();
            let ranges: Vec<Range<u64>> = ends.iter().map(|&(a, b)| a.min(b)..a.max(b)).collect();
            let is_inside = ranges.iter().all(|range| range.is_empty() || range.end <= BYTES);
            match RealFs.read_cached(file.path(), &ranges) {
                CachedRead::Whole(found) => {
                    prop_assert!(is_inside);
                    let ranges: Vec<_> = ranges.into_iter().map(|range| if range.is_empty() { 0..0 } else { range }).collect();
                    prop_assert_eq!(found, expected(&ranges));
                }
                CachedRead::NotNow | CachedRead::Unsupported => {}
            }
        }
    }

    #[test]
    fn what_was_just_read_needs_no_waiting_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, content()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), content());
        let ranges = [0..BYTES, 100..101, 7..7];
        let found = RealFs.read_cached(&path, &ranges);
        // Memory can be short at any time, and not every file system under a temporary directory can do it.
        assert!(
            matches!(&found, CachedRead::NotNow | CachedRead::Unsupported)
                || found == CachedRead::Whole(expected(&ranges)),
            "{found:?}"
        );
    }

    #[test]
    fn a_file_that_is_missing_or_too_short_is_for_who_can_say_so() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let is_whole = |range| matches!(RealFs.read_cached(&path, &[range]), CachedRead::Whole(_));
        assert!(!is_whole(0..1));
        File::create(&path).unwrap();
        assert!(!is_whole(0..1));
        fs::write(&path, content()).unwrap();
        assert!(!is_whole(BYTES - 1..BYTES + 1));
        #[expect(clippy::reversed_empty_ranges, reason = "a range from outside")]
        let reversed = 9..8;
        assert!(!is_whole(reversed));
    }
}
