//! The rows of one series on both sides, joined by time.

use super::report::Counts;
use super::row::Value;

/// The first row in which two sides differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Example {
    pub(super) time: i64,
    pub(super) source: Option<String>,
    pub(super) archive: Option<String>,
}

/// Joins rows in order of time; how many are equal, missing in the archive, extra there, and unequal.
pub(super) fn join(source: &[(i64, Value)], archive: &[(i64, Value)]) -> (u64, Counts, Option<Example>) {
    let (mut s, mut a) = (0, 0);
    let (mut equal, mut counts, mut example) = (0, Counts::default(), None);
    loop {
        let (in_source, in_archive) = match (source.get(s), archive.get(a)) {
            (None, None) => return (equal, counts, example),
            (Some(source), Some(archive)) if source.0 == archive.0 => (Some(source), Some(archive)),
            (Some(source), Some(archive)) if source.0 < archive.0 => (Some(source), None),
            (Some(source), None) => (Some(source), None),
            (_, archive) => (None, archive),
        };
        s += usize::from(in_source.is_some());
        a += usize::from(in_archive.is_some());
        match (in_source, in_archive) {
            (Some(source), Some(archive)) if source.1 == archive.1 => {
                equal += 1;
                continue;
            }
            (Some(_), Some(_)) => counts.unequal += 1,
            (Some(_), None) => counts.missing += 1,
            (None, _) => counts.extra += 1,
        }
        if example.is_none()
            && let Some((time, _)) = in_source.or(in_archive)
        {
            example = Some(Example {
                time: *time,
                source: in_source.map(|(_, value)| value.to_string()),
                archive: in_archive.map(|(_, value)| value.to_string()),
            });
        }
    }
}
