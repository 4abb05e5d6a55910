//! Faults planted in an archive: each is found, named, and hides no other.

use std::fs;

use emberkeep_archive::{ArchiveError, Change, FileKind, Lock, Mask, PartEntry, Ulid, apply, fresh_nonce, names};
use emberkeep_model::TenantId;
use emberkeep_reader::verify::{FindingKind, Level};

use super::{about, archive, assert_proven, files, flip, folded, found, merge, of_archive, rows, write_merged};
use crate::support::{Rows, TestArchive, labels, sample};

/// Two parts of level 0, one of them in a root; or a merged part and one of level 0.
async fn archive_with_parts(is_merged: bool) -> (TestArchive, Vec<PartEntry>) {
    let mut archive = archive().await;
    let mut parts = vec![archive.flush(&rows()).await];
    if is_merged {
        parts = merge(&archive, &rows()).await;
    } else {
        folded(&archive).await;
    }
    parts.push(archive.flush(&rows()).await);
    (archive, parts)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_a_file_of_each_kind() {
    for is_merged in [false, true] {
        let (archive, parts) = archive_with_parts(is_merged).await;
        for part in &parts {
            for file in &part.files {
                let path = archive.directory.path().join(&file.path);
                let length = fs::metadata(&path).unwrap().len() as usize;
                for at in [0, length / 3, length / 2, length - 1] {
                    flip(&path, at, 3);
                    let report = of_archive(&archive, Level::Rows).await;
                    assert_eq!(found(&report), [FindingKind::Damaged]);
                    assert_eq!(report.findings[0].object, file.path);
                    assert_eq!(report.checked.parts, 2, "the rest is checked all the same");
                    flip(&path, at, 3);
                }
            }
        }
        assert_proven(&of_archive(&archive, Level::Rows).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_kinds_are_there_and_each_may_be_missing() {
    let (archive, parts) = archive_with_parts(false).await;
    for kind in FileKind::ALL {
        let path = archive.file(&parts[0], kind);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let report = of_archive(&archive, Level::Restore).await;
        assert_eq!(found(&report)[0], FindingKind::Missing, "{report:?}");
        assert_eq!(about(&report, &parts[0].file(kind).unwrap().path).len(), 1);
        fs::write(&path, bytes).unwrap();
    }
    // A file that is cut off is no less damaged than one that is changed.
    let path = archive.file(&parts[1], FileKind::Samples);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(found(&of_archive(&archive, Level::Files).await), [FindingKind::Damaged]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_object_of_the_catalog_is_checked() {
    let (archive, _) = archive_with_parts(true).await;
    let catalog = folded(&archive).await;
    let mask = Mask {
        id: Ulid::generate().to_string(),
        number: 0,
        tenant: "nobody".to_owned(),
        matchers: Vec::new(),
        from: 0,
        to: 1,
        reason: "a test".to_owned(),
        who: "nobody".to_owned(),
        created_at: 0,
    };
    let lock = Lock {
        id: Ulid::generate().to_string(),
        tenant: None,
        from: 0,
        to: 1,
        reason: "a test".to_owned(),
        who: "nobody".to_owned(),
        created_at: 0,
    };
    let change = |_: &emberkeep_archive::Live| {
        Ok::<_, ArchiveError>(Some(Change {
            masks: vec![mask.clone()],
            locks: vec![lock.clone()],
            ..Change::default()
        }))
    };
    apply(&catalog, &fresh_nonce(), 3, change).await.unwrap();
    assert_proven(&of_archive(&archive, Level::Restore).await);
    let mut kinds = std::collections::BTreeSet::new();
    for path in files(&archive.directory.path().join("_archive")) {
        let name = path
            .strip_prefix(archive.directory.path())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        if name.contains("/level0/") {
            continue;
        }
        kinds.insert(name.split('/').nth(1).unwrap().to_owned());
        let length = fs::metadata(&path).unwrap().len() as usize;
        for at in [length / 4, length / 2, length - 3] {
            flip(&path, at, 0);
            let report = of_archive(&archive, Level::Rows).await;
            assert!(found(&report).contains(&FindingKind::Damaged), "{name} at {at}");
            assert_eq!(about(&report, &name).len(), 1, "{name} at {at}: {report:?}");
            flip(&path, at, 0);
        }
    }
    let expected = ["condemned", "format", "locks", "log", "manifests", "masks", "roots"];
    assert!(kinds.iter().map(String::as_str).eq(expected), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_the_catalog_that_are_gone() {
    let (mut archive, _) = archive_with_parts(true).await;
    archive.flush(&rows()).await;
    let missing = async |name: String| {
        let path = archive.directory.path().join(&name);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let report = of_archive(&archive, Level::Rows).await;
        assert_eq!(found(&report), [FindingKind::Missing], "{name}");
        assert!(report.findings[0].object.contains(&name), "{report:?}");
        fs::write(&path, bytes).unwrap();
    };
    // Record 3 is there, and no root holds record 2.
    missing(names::log_record("r1", 2).to_string()).await;
    missing(names::format().to_string()).await;
    for folder in ["manifests", "condemned"] {
        let all = files(&archive.directory.path().join("_archive").join(folder));
        let name = all[0].strip_prefix(archive.directory.path()).unwrap().to_str().unwrap();
        missing(name.to_owned()).await;
    }
    assert_proven(&of_archive(&archive, Level::Rows).await);
}

/// The files of one part with the samples of another one whose checksums are right: what a bug of the writer would leave.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_not_those_that_were_merged() {
    let tenant = TenantId::default();
    let of = |last: i64, value: f64| -> Rows {
        let series = |name: &str, last: i64, value: f64| {
            let of = labels(&[("__name__", name)]);
            let row = move |minute: i64| sample(minute * 60_000, if minute == 50 { value } else { 1.0 });
            (0..last).map(move |minute| (TenantId::default(), of.clone(), row(minute)))
        };
        series("a", 100, 2.0)
            .chain(series("b", last, value))
            .chain(series("c", 100, 2.0))
            .collect()
    };
    for (other, what) in [(of(100, 3.0), "a changed value"), (of(101, 2.0), "an extra sample")] {
        let mut archive = archive().await;
        archive.flush(&of(100, 2.0)).await;
        let catalog = folded(&archive).await;
        let ulid = Ulid::generate();
        let elsewhere = tempfile::tempdir().unwrap();
        let wrong = write_merged(elsewhere.path(), &other, &tenant, ulid);
        let mut part = write_merged(archive.directory.path(), &of(100, 2.0), &tenant, ulid);
        let samples = wrong.file(FileKind::Samples).unwrap();
        fs::copy(
            elsewhere.path().join(&samples.path),
            archive.directory.path().join(&samples.path),
        )
        .unwrap();
        for file in part.files.iter_mut().filter(|file| file.kind == FileKind::Samples) {
            file.clone_from(samples);
        }
        let change = |_: &emberkeep_archive::Live| {
            Ok::<_, ArchiveError>(Some(Change {
                add: vec![part.clone()],
                ..Change::default()
            }))
        };
        apply(&catalog, &fresh_nonce(), 2, change).await.unwrap();
        let report = of_archive(&archive, Level::Files).await;
        assert_proven(&report);
        let report = of_archive(&archive, Level::Rows).await;
        assert!(found(&report).contains(&FindingKind::Different), "{what}: {report:?}");
        let series = |name: &str| {
            let name = format!("{{__name__=\"{name}\"}}");
            report
                .findings
                .iter()
                .filter(|finding| finding.series.as_ref() == Some(&name))
                .count()
        };
        if what == "a changed value" {
            assert_eq!((series("a"), series("b"), series("c")), (0, 1, 0), "{report:?}");
            assert_eq!(
                report.findings[0].rows.as_deref(),
                Some("samples of the window 1970-01-01T00:00:00.000Z")
            );
        }
    }
}

/// A part that is whole in itself, but of which the catalog says that it has one series more.
#[tokio::test(flavor = "multi_thread")]
async fn a_series_that_a_part_should_have() {
    let mut archive = archive().await;
    archive.flush(&rows()).await;
    let catalog = folded(&archive).await;
    let (tenant, ulid, lost) = (
        TenantId::default(),
        Ulid::generate(),
        labels(&[("__name__", "m"), ("series", "7")]),
    );
    let elsewhere = tempfile::tempdir().unwrap();
    let whole = write_merged(elsewhere.path(), &rows(), &tenant, ulid);
    let without: Rows = rows().into_iter().filter(|(_, labels, _)| *labels != lost).collect();
    let mut part = write_merged(archive.directory.path(), &without, &tenant, ulid);
    part.tenants = whole.tenants;
    let change = |_: &emberkeep_archive::Live| {
        Ok::<_, ArchiveError>(Some(Change {
            add: vec![part.clone()],
            ..Change::default()
        }))
    };
    apply(&catalog, &fresh_nonce(), 2, change).await.unwrap();
    assert_proven(&of_archive(&archive, Level::Files).await);
    let report = of_archive(&archive, Level::Rows).await;
    assert_eq!(found(&report), [FindingKind::Different]);
    let finding = &report.findings[0];
    assert!(
        finding.expected.contains("10 series") && finding.found.contains("9 series"),
        "{finding:?}"
    );
}
