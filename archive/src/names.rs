//! All object names, made and parsed in one place (the tree of DESIGN §4).
//!
//! Numbers are padded to 20 digits, so that the order of names is the order of numbers; roots count downwards from
//! `u64::MAX`, so that the newest one is listed first. A name is never built anywhere else.

use object_store::path::Path;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use emberkeep_model::TenantId;

/// Which of the sibling files of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// Float samples.
    Samples,
    /// The series table: labels, and where the rows of each series lie.
    Series,
    /// Native histograms.
    Histograms,
    /// Exemplars.
    Exemplars,
    /// What metrics are, in words.
    Metadata,
}

impl FileKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::Samples,
        Self::Series,
        Self::Histograms,
        Self::Exemplars,
        Self::Metadata,
    ];

    /// The kind as it stands in object names.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Samples => "samples",
            Self::Series => "series",
            Self::Histograms => "histograms",
            Self::Exemplars => "exemplars",
            Self::Metadata => "metadata",
        }
    }
}

/// Whether a text can be a receiver's id: 1 to 64 of `a-z 0-9 - _`, so that it is one path step and holds no dot.
#[must_use]
pub fn is_receiver_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

/// The object that makes a bucket an archive.
#[must_use]
pub fn format() -> Path {
    Path::from_iter(["_archive", "format"])
}

/// Whether what lies there is encrypted as a whole when there is a key to write with: the catalog, without the object that says so. Parquet
/// files are encrypted inside, what a check of the store writes is no data, and published tables are for others to read.
#[must_use]
pub fn is_sealable(path: &Path) -> bool {
    let mut steps = path.parts();
    let is_of_archive = steps.next().is_some_and(|step| step.as_ref() == "_archive");
    let is_clear = |step: &str| matches!(step, "format" | "level0" | "check");
    is_of_archive && steps.next().is_some_and(|step| !is_clear(step.as_ref()))
}

/// The folder of a receiver's claims of incarnations.
#[must_use]
pub fn epochs(receiver: &str) -> Path {
    Path::from_iter(["_archive", "receivers", receiver, "epoch"])
}

/// The claim of one incarnation of a receiver.
#[must_use]
pub fn epoch(receiver: &str, n: u64) -> Path {
    Path::from_iter(["_archive", "receivers", receiver, "epoch", &padded(n)])
}

/// Receiver and number of a claim.
#[must_use]
pub fn parse_epoch(path: &Path) -> Option<(String, u64)> {
    let [archive, receivers, receiver, epoch, n] = steps(path)?;
    let known = archive == "_archive" && receivers == "receivers" && epoch == "epoch" && is_receiver_id(&receiver);
    known.then_some(())?;
    Some((receiver, number(&n)?))
}

/// The folder of the claims of all receivers.
#[must_use]
pub fn receivers() -> Path {
    Path::from_iter(["_archive", "receivers"])
}

/// The folder of commit records, flat over all receivers.
#[must_use]
pub fn log() -> Path {
    Path::from_iter(["_archive", "log"])
}

/// A commit record.
#[must_use]
pub fn log_record(receiver: &str, seq: u64) -> Path {
    Path::from_iter(["_archive", "log", &format!("{receiver}.{}", padded(seq))])
}

/// Receiver and sequence of a commit record.
#[must_use]
pub fn parse_log_record(path: &Path) -> Option<(String, u64)> {
    let [archive, log, name] = steps(path)?;
    let (receiver, seq) = name.split_once('.')?;
    (archive == "_archive" && log == "log" && is_receiver_id(receiver)).then_some(())?;
    Some((receiver.to_owned(), number(seq)?))
}

/// A file of a level-0 part. The sequence is that of the record that will name it: once that record exists and does not name
/// the file, the file is an orphan.
#[must_use]
pub fn level0(receiver: &str, seq: u64, ulid: Ulid, kind: FileKind) -> Path {
    Path::from_iter([
        "_archive",
        "level0",
        receiver,
        &format!("{}-{ulid}.{}.parquet", padded(seq), kind.as_str()),
    ])
}

/// Receiver, sequence, ULID and kind of a file of a level-0 part.
#[must_use]
pub fn parse_level0(path: &Path) -> Option<(String, u64, Ulid, FileKind)> {
    let [archive, level0, receiver, name] = steps(path)?;
    (archive == "_archive" && level0 == "level0" && is_receiver_id(&receiver)).then_some(())?;
    let (seq, rest) = name.split_once('-')?;
    let (ulid, rest) = rest.split_once('.')?;
    let kind = FileKind::ALL
        .into_iter()
        .find(|kind| rest.strip_suffix(".parquet") == Some(kind.as_str()))?;
    let parsed = Ulid::from_string(ulid)
        .ok()
        .filter(|parsed| parsed.to_string() == ulid)?;
    Some((receiver, number(seq)?, parsed, kind))
}

/// A file of a part of level 1 or above, in folders that engines take for the columns `tenant` and `date` (Hive partitions). Bytes of the
/// tenant other than letters, digits, `-`, `_` and `.` are written as `%` and two digits, since engines undo that.
#[must_use]
pub fn compacted(kind: FileKind, tenant: &TenantId, day: i32, ulid: Ulid) -> Path {
    let tenant = format!("tenant={}", encoded(tenant.as_str()));
    let date = format!("date={}", date(day));
    // The steps are made of safe characters, and the escape itself must not be escaped again.
    let path = Path::parse(format!("{}/{tenant}/{date}/{ulid}.parquet", kind.as_str()));
    path.expect("letters, digits and the signs between them make a path")
}

/// Kind, tenant, day and ULID of a file of a part of level 1 or above.
#[must_use]
pub fn parse_compacted(path: &Path) -> Option<(FileKind, TenantId, i32, Ulid)> {
    let [kind, tenant, date, name] = steps(path)?;
    let kind = FileKind::ALL.into_iter().find(|known| known.as_str() == kind)?;
    let tenant = TenantId::parse(&decoded(tenant.strip_prefix("tenant=")?)?).ok()?;
    let day = day_of(date.strip_prefix("date=")?)?;
    let ulid = Ulid::from_string(name.strip_suffix(".parquet")?).ok()?;
    // Only names that we make, letter for letter.
    (compacted(kind, &tenant, day, ulid) == *path).then_some((kind, tenant, day, ulid))
}

/// The folder of the files of level-0 parts.
#[must_use]
pub fn level0_files() -> Path {
    Path::from_iter(["_archive", "level0"])
}

/// The folder of the files of one kind of level 1 and above.
#[must_use]
pub fn compacted_files(kind: FileKind) -> Path {
    Path::from_iter([kind.as_str()])
}

/// A day as `YYYY-MM-DD`, given in days since 1970-01-01; a year beyond four digits has a sign, as ISO 8601 wants it.
#[must_use]
pub fn date(day: i32) -> String {
    // By Howard Hinnant's way over years that begin in March.
    let shifted = i64::from(day) + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * from_march + 2) / 5 + 1, (from_march + 2) % 12 + 1);
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    match year {
        0..=9999 => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{year:+05}-{month:02}-{day:02}"),
    }
}

/// Days since 1970-01-01 of a date as [`date`] writes it.
#[must_use]
pub fn day_of(text: &str) -> Option<i32> {
    let (rest, day) = text.rsplit_once('-')?;
    let (year, month) = rest.rsplit_once('-')?;
    let (year, month, day): (i64, i64, i64) = (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    if year.abs() > 6_000_000 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let days = i32::try_from(days).ok()?;
    (date(days) == text).then_some(days)
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'-' | b'_' | b'.' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            rest = after;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        } else {
            bytes.push(first);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The folder of roots, newest first.
#[must_use]
pub fn roots() -> Path {
    Path::from_iter(["_archive", "roots"])
}

/// A root. Roots count from 1.
#[must_use]
pub fn root(n: u64) -> Path {
    Path::from_iter(["_archive", "roots", &padded(u64::MAX - n)])
}

/// The number of a root.
#[must_use]
pub fn parse_root(path: &Path) -> Option<u64> {
    let [archive, roots, name] = steps(path)?;
    (archive == "_archive" && roots == "roots").then_some(())?;
    Some(u64::MAX - number(&name)?)
}

/// A list of live parts of one day. The name is the ULID of the list.
#[must_use]
pub fn manifest(name: &str) -> Path {
    Path::from_iter(["_archive", "manifests", name])
}

/// The folder of lists of live parts.
#[must_use]
pub fn manifests() -> Path {
    Path::from_iter(["_archive", "manifests"])
}

/// A list of what is live no more. The name is the ULID of the list.
#[must_use]
pub fn condemned(name: &str) -> Path {
    Path::from_iter(["_archive", "condemned", name])
}

/// The folder of lists of what is live no more.
#[must_use]
pub fn condemned_lists() -> Path {
    Path::from_iter(["_archive", "condemned"])
}

/// The object of a mask.
#[must_use]
pub fn mask(id: &str) -> Path {
    Path::from_iter(["_archive", "masks", id])
}

/// The folder of masks.
#[must_use]
pub fn masks() -> Path {
    Path::from_iter(["_archive", "masks"])
}

/// The object of a lock.
#[must_use]
pub fn lock(id: &str) -> Path {
    Path::from_iter(["_archive", "locks", id])
}

/// The folder of locks.
#[must_use]
pub fn locks() -> Path {
    Path::from_iter(["_archive", "locks"])
}

/// The record of a deletion, by the id of its mask.
#[must_use]
pub fn deletion_record(id: &str) -> Path {
    Path::from_iter(["_archive", "deletions", id])
}

/// The folder of records of deletions.
#[must_use]
pub fn deletion_records() -> Path {
    Path::from_iter(["_archive", "deletions"])
}

/// What was read again and found whole. The name is the ULID of the object.
#[must_use]
pub fn scrub_state(name: &str) -> Path {
    Path::from_iter(["_archive", "scrub", name])
}

/// The folder of what was read again.
#[must_use]
pub fn scrub_states() -> Path {
    Path::from_iter(["_archive", "scrub"])
}

/// What drills have proven. The name is the ULID of the object.
#[must_use]
pub fn drill_state(name: &str) -> Path {
    Path::from_iter(["_archive", "drills", name])
}

/// The folder of what drills have proven.
#[must_use]
pub fn drill_states() -> Path {
    Path::from_iter(["_archive", "drills"])
}

/// The object of a pin.
#[must_use]
pub fn pin(id: &str) -> Path {
    Path::from_iter(["_archive", "pins", id])
}

/// The folder of pins.
#[must_use]
pub fn pins() -> Path {
    Path::from_iter(["_archive", "pins"])
}

/// The last step of a name, when it is a ULID as we write it.
#[must_use]
pub fn ulid_of(path: &Path) -> Option<Ulid> {
    let name = path.filename()?;
    Ulid::from_string(name).ok().filter(|ulid| ulid.to_string() == name)
}

fn padded(n: u64) -> String {
    format!("{n:020}")
}

/// Exactly 20 digits that fit; anything else is a name that we did not make.
fn number(text: &str) -> Option<u64> {
    (text.len() == 20 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn steps<const N: usize>(path: &Path) -> Option<[String; N]> {
    let steps: Vec<String> = path.parts().map(|part| part.as_ref().to_owned()).collect();
    steps.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_name_is_read_back(receiver in "[a-z0-9_-]{1,64}", n: u64, m: u64, id: u128) {
            prop_assert_eq!(parse_epoch(&epoch(&receiver, n)), Some((receiver.clone(), n)));
            prop_assert_eq!(parse_log_record(&log_record(&receiver, n)), Some((receiver.clone(), n)));
            prop_assert_eq!(parse_root(&root(n)), Some(n));
            for kind in FileKind::ALL {
                let path = level0(&receiver, n, Ulid(id), kind);
                prop_assert_eq!(parse_level0(&path), Some((receiver.clone(), n, Ulid(id), kind)));
                prop_assert_eq!(Path::parse(path.as_ref()).ok(), Some(path));
            }
            // The order of names is the order in which they are wanted.
            prop_assert_eq!(n < m, log_record(&receiver, n) < log_record(&receiver, m));
            prop_assert_eq!(n < m, root(n) > root(m));
        }

        #[test]
        fn names_of_merged_parts_are_read_back(tenant in r"[a-zA-Z0-9!_.*'()-]{1,150}", day: i32, id: u128) {
            let Ok(tenant) = TenantId::parse(&tenant) else {
                return Ok(());
            };
            for kind in FileKind::ALL {
                let path = compacted(kind, &tenant, day, Ulid(id));
                prop_assert_eq!(Path::parse(path.as_ref()).ok(), Some(path.clone()));
                prop_assert!(path.as_ref().bytes().all(|b| b.is_ascii_alphanumeric() || b"/=%-_.+".contains(&b)));
                prop_assert_eq!(parse_compacted(&path), Some((kind, tenant.clone(), day, Ulid(id))));
            }
        }

        #[test]
        fn foreign_names_are_not_ours(text in "[ -~]{0,40}") {
            let path = Path::from(format!("_archive/log/{text}"));
            if let Some((receiver, seq)) = parse_log_record(&path) {
                prop_assert_eq!(log_record(&receiver, seq), path);
            }
            prop_assert_eq!(parse_root(&Path::from(format!("_archive/roots/{text}x"))), None);
            let path = Path::from(format!("samples/tenant=a/date={text}.parquet"));
            if let Some((kind, tenant, day, ulid)) = parse_compacted(&path) {
                prop_assert_eq!(compacted(kind, &tenant, day, ulid), path);
            }
        }
    }

    #[test]
    fn names_are_persisted_and_must_not_change() {
        let ulid = Ulid(0x0193_4567_89ab_cdef_0123_4567_89ab_cdef);
        assert_eq!(
            level0("r-1", 7, ulid, FileKind::Samples).as_ref(),
            format!("_archive/level0/r-1/00000000000000000007-{ulid}.samples.parquet")
        );
        assert_eq!(log_record("r-1", 7).as_ref(), "_archive/log/r-1.00000000000000000007");
        let tenant = TenantId::parse("a.b*(c)").expect("a tenant");
        assert_eq!(
            compacted(FileKind::Series, &tenant, 20_000, ulid).as_ref(),
            format!("series/tenant=a.b%2A%28c%29/date=2024-10-04/{ulid}.parquet")
        );
        let days = [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (-719_162, "0001-01-01"),
            (11_016, "2000-02-29"),
        ];
        for (day, text) in days {
            assert_eq!((date(day).as_str(), day_of(text)), (text, Some(day)));
        }
        assert_eq!([day_of("2023-02-29"), day_of("2023-2-01"), day_of("")], [None; 3]);
        assert_eq!(root(1).as_ref(), "_archive/roots/18446744073709551614");
        assert_eq!(
            epoch("r-1", 2).as_ref(),
            "_archive/receivers/r-1/epoch/00000000000000000002"
        );
    }
}
