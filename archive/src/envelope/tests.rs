//! The envelope against damage, and the catalog objects of version 1 as files that every later program must read.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fmt::Debug;
use std::path::Path;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::*;
use crate::catalog::tests::{compacted_entry, lock_of, mask_of, record_of, root_of};
use crate::catalog::{
    CommitRecord, CondemnedEntry, CondemnedList, EpochClaim, FileEntry, Format, Lock, Manifest, ManifestEntry, Mask,
    Pin, Quarantined, Removal, Root,
};
use crate::{
    DeletionRecord, DrillOutcome, DrillRecord, DrillState, FileKind, HiddenRows, ScrubState, TenantSummary, TimeSpan,
    names,
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    nonce: String,
    numbers: Vec<i64>,
}

impl CatalogObject for Sample {
    const VERSION: u64 = 1;
}

/// The same object as a later program would write it.
#[derive(Debug, Serialize, Deserialize)]
struct LaterSample {
    nonce: String,
    unheard_of: bool,
}

impl CatalogObject for LaterSample {
    const VERSION: u64 = 2;
}

proptest! {
    #[test]
    fn what_was_sealed_opens(nonce in ".{0,20}", numbers in prop::collection::vec(any::<i64>(), 0..20_000)) {
        let object = Sample { nonce: nonce.clone(), numbers };
        let bytes = seal_envelope(&object).unwrap();
        prop_assert_eq!(open_envelope::<Sample>("o", &bytes).unwrap(), object);
        prop_assert_eq!(nonce_in("o", &bytes, 1).unwrap(), nonce);
    }

    #[test]
    fn damage_is_noticed_wherever_it_is(at: prop::sample::Index, bit in 0..8_u8, large: bool) {
        let numbers = if large { (0..20_000).collect() } else { vec![1, 2, 3] };
        let object = Sample { nonce: "n".to_owned(), numbers };
        let mut bytes = seal_envelope(&object).unwrap().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // A bit of a compressed frame that decides nothing may change and leave the object whole; never another object.
        match open_envelope::<Sample>("o", &bytes) {
            Ok(opened) => prop_assert_eq!(opened, object),
            Err(error) => {
                let is_corrupt = matches!(error, ArchiveError::Corrupt { .. });
                prop_assert!(is_corrupt, "{error}");
            }
        }
        let cut = open_envelope::<Sample>("o", &bytes[..at]);
        let is_corrupt = matches!(cut, Err(ArchiveError::Corrupt { .. }));
        prop_assert!(is_corrupt);
    }

    #[test]
    fn foreign_bytes_are_corrupt(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(open_envelope::<Sample>("o", &bytes).is_err());
    }
}

#[test]
fn a_newer_version_is_refused_by_name() {
    let later = seal_envelope(&LaterSample {
        nonce: "n".to_owned(),
        unheard_of: true,
    })
    .unwrap();
    let error = open_envelope::<Sample>("_archive/roots/7", &later).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`_archive/roots/7` has version 2, this program reads 1: upgrade"
    );
}

#[test]
fn an_unknown_field_of_the_same_version_is_refused() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Extended {
        nonce: String,
        numbers: Vec<i64>,
        more: bool,
    }
    impl CatalogObject for Extended {
        const VERSION: u64 = 1;
    }
    let bytes = seal_envelope(&Extended {
        nonce: "n".to_owned(),
        numbers: vec![],
        more: true,
    })
    .unwrap();
    let error = open_envelope::<Sample>("o", &bytes).unwrap_err();
    assert!(error.to_string().contains("more"), "{error}");
}

#[test]
fn a_bomb_is_refused() {
    let bomb = zstd::bulk::compress(&[b' '; 10_000], 1).unwrap();
    assert_eq!(plain_text("o", &bomb, 10_000).unwrap().len(), 10_000);
    assert!(matches!(
        plain_text("o", &bomb, 9_999),
        Err(ArchiveError::Corrupt { .. })
    ));
}

/// The bytes of each kind of object as each version wrote them. A change that cannot read them loses archives.
#[test]
fn every_version_of_every_object_is_read_and_the_newest_is_written_as_ever() {
    let format = Format {
        nonce: "n-1".to_owned(),
        dataset: "01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned(),
        created_at: 1_700_000_000_000,
        encryption: None,
    };
    read("v1/format", &format);
    written("v2/format", &format);
    written(
        "v1/epoch",
        &EpochClaim {
            nonce: "n-2".to_owned(),
            receiver: "r-1".to_owned(),
            epoch: 3,
        },
    );
    let floats_only = before_version_3(record_of("r-1", 3, 7, Ulid(42)));
    read("v1/commit_record", &floats_only);
    read("v1/root", &root_of(5, &[floats_only]));
    let all_kinds = before_version_3(record_of_all_kinds());
    read("v2/commit_record", &all_kinds);
    read("v2/root", &root_of(5, &[all_kinds]));
    let record = record_of_all_kinds();
    written("v3/commit_record", &record);
    let mask = mask_of("01ARZ3NDEKTSV4RRFFQ69G5FAW");
    let lock = lock_of("01ARZ3NDEKTSV4RRFFQ69G5FAX");
    written("v3/mask", &mask);
    written("v3/lock", &lock);
    written("v3/root", &root_with_everything(record, mask, lock));
    let compacted = compacted_entry(Ulid(43), 19_000);
    let manifest = Manifest {
        nonce: "n-4".to_owned(),
        day: 19_000,
        parts: vec![compacted.clone()],
    };
    written("v3/manifest", &manifest);
    let condemned = CondemnedList {
        nonce: "n-5".to_owned(),
        why: Removal::Compacted,
        parts: vec![compacted],
        paths: vec!["samples/left-behind".to_owned()],
        by: vec![],
    };
    read("v3/condemned", &condemned);
    let condemned = CondemnedList {
        by: vec![Ulid(44).to_string()],
        ..condemned
    };
    written("v3/condemned-2", &condemned);
    let pin = Pin {
        id: "01ARZ3NDEKTSV4RRFFQ69G5FB0".to_owned(),
        root: 5,
        expires_at: 9000,
        who: "export".to_owned(),
    };
    written("v3/pin", &pin);
}

/// What versions 1 and 2 did not say.
fn before_version_3(mut record: CommitRecord) -> CommitRecord {
    for part in &mut record.parts {
        part.committed_at = 0;
    }
    record
}

fn root_with_everything(record: CommitRecord, mask: Mask, lock: Lock) -> Root {
    Root {
        manifests: vec![ManifestEntry {
            name: "01ARZ3NDEKTSV4RRFFQ69G5FAY".to_owned(),
            day: 19_000,
            parts: 1,
            bytes: 5000,
        }],
        condemned: vec![CondemnedEntry {
            name: "01ARZ3NDEKTSV4RRFFQ69G5FAZ".to_owned(),
            why: Removal::Expired,
            root: 4,
            at: 3900,
            files: 5,
            bytes: 5000,
        }],
        masks: vec![mask],
        locks: vec![lock],
        quarantined: vec![Quarantined {
            part: Ulid(42).to_string(),
            reason: "its footer is cut off".to_owned(),
            at: 3950,
        }],
        floor: 2,
        ..root_of(5, &[record])
    }
}

fn record_of_all_kinds() -> CommitRecord {
    let mut record = record_of("r-1", 3, 7, Ulid(42));
    let part = &mut record.parts[0];
    let file = |kind| FileEntry {
        kind,
        path: names::level0("r-1", 7, Ulid(42), kind).to_string(),
        rows: 10,
        bytes: 1000,
        crc32c: 7,
    };
    part.files = FileKind::ALL.map(file).to_vec();
    let tenant = part.tenants.get_mut("anonymous").unwrap();
    (tenant.histograms, tenant.exemplars, tenant.metadata) = (11, 12, 13);
    let span = |min_time, max_time| Some(TimeSpan { min_time, max_time });
    (tenant.exemplar_times, tenant.metadata_times) = (span(0, 1500), span(3000, 4000));
    // A tenant without samples has no times.
    let families_only = TenantSummary {
        metadata: 1,
        metadata_times: span(3000, 3000),
        ..TenantSummary::default()
    };
    part.tenants.insert("team-2".to_owned(), families_only);
    record
}

#[test]
fn what_upkeep_notes_is_written_as_it_always_was() {
    let part = Ulid(1).to_string();
    let state = ScrubState {
        nonce: "n".to_owned(),
        created_at: 3000,
        verified: [(part.clone(), 2000)].into(),
    };
    written("v3/scrub", &state);
    let rows = HiddenRows {
        part,
        rows: 5,
        samples: "0123456789abcdef".to_owned(),
        histograms: "0".repeat(16),
        exemplars: "f".repeat(16),
    };
    let record = DeletionRecord {
        nonce: "n".to_owned(),
        mask: "m".to_owned(),
        root: 7,
        parts: vec![rows],
    };
    written("v3/deletion_record", &record);
    let drill = DrillRecord {
        at: 2900,
        duration_ms: 800,
        outcome: DrillOutcome::Different,
        reason: "reader verify: 1 difference".to_owned(),
        seed: 7,
        root: 3,
        tenant: "anonymous".to_owned(),
        from: 0,
        to: 7_200_000,
        selector: "{\"job\"=\"node\"}".to_owned(),
        rows: 1000,
        bytes: 4096,
        restore_ms: 300,
        prometheus: "3.14.0".to_owned(),
        source_rows: Some(1000),
    };
    let state = DrillState {
        nonce: "n".to_owned(),
        created_at: 3000,
        last_proven: Some(2000),
        proven: 1,
        failed: 1,
        drills: vec![drill],
    };
    written("v3/drill", &state);
}

fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/catalog-{name}.json"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn read<T: CatalogObject + PartialEq + Debug>(name: &str, object: &T) {
    assert_eq!(open_envelope::<T>(name, &golden(name)).unwrap(), *object);
}

fn written<T: CatalogObject + PartialEq + Debug>(name: &str, object: &T) {
    let written = seal_envelope(object).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&written),
        String::from_utf8_lossy(&golden(name))
    );
    read(name, object);
}
