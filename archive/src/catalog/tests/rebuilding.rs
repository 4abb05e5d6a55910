//! Rebuilding from files of every version, and beside receivers that go on.

use std::path::Path;

use object_store::memory::InMemory;

use super::super::{CondemnedList, Rebuild, next_sequence};
use super::*;
use crate::seal_envelope;

/// Puts a golden part where its entry says, and gives the entry.
async fn golden(store: &InMemory, version: u32) -> PartEntry {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/part-v{version}"));
    let entry = std::fs::read(directory.join("entry.json")).unwrap();
    let entry: PartEntry = serde_json::from_slice(&entry).unwrap();
    for file in &entry.files {
        let bytes = std::fs::read(directory.join(format!("{}.parquet", file.kind.as_str()))).unwrap();
        store.put(&file.location().unwrap(), bytes.into()).await.unwrap();
    }
    entry
}

#[tokio::test]
async fn parts_of_every_version_are_found_with_what_their_commit_said_of_them() {
    for version in [1, 2, 3] {
        let store = Arc::new(InMemory::new());
        let mut expected = golden(&store, version).await;
        let found = Rebuild::survey(&Catalog::new(store.clone())).await.unwrap();
        assert!(found.unusable.is_empty(), "version {version}: {:?}", found.unusable);
        let [part] = &found.parts[..] else {
            panic!("version {version}: {:?}", found.parts)
        };
        for file in &mut expected.files {
            file.crc32c = 0;
        }
        expected.files.sort_by_key(|file| file.kind);
        assert_eq!(*part, expected, "version {version}");
    }
}

#[tokio::test]
async fn a_part_of_an_old_version_that_is_not_whole_is_named() {
    let store = Arc::new(InMemory::new());
    let entry = golden(&store, 2).await;
    let lost = entry.file(FileKind::Exemplars).unwrap().location().unwrap();
    store.delete(&lost).await.unwrap();
    let found = Rebuild::survey(&Catalog::new(store.clone())).await.unwrap();
    assert!(found.parts.is_empty() && found.unusable.len() == 4, "{found:?}");
    let reasons: Vec<&String> = found.unusable.values().collect();
    assert!(reasons[0].contains("all rows of `exemplars`"), "{reasons:?}");
}

#[tokio::test]
async fn inputs_stay_away_only_when_all_that_came_in_their_place_is_there() {
    let store = Arc::new(InMemory::new());
    let (input, other) = (golden(&store, 3).await, Ulid(7));
    let list = |by: &[Ulid]| CondemnedList {
        nonce: "n".to_owned(),
        why: Removal::Compacted,
        parts: vec![input.clone()],
        paths: vec![],
        by: by.iter().map(Ulid::to_string).collect(),
    };
    // That it was removed, or what came instead is not there, is no reason to leave it out.
    for by in [vec![], vec![other]] {
        let bytes = seal_envelope(&list(&by)).unwrap();
        store
            .put(&names::condemned(&Ulid(9).to_string()), bytes.into())
            .await
            .unwrap();
        let found = Rebuild::survey(&Catalog::new(store.clone())).await.unwrap();
        assert_eq!(found.parts.len(), 1, "{by:?}");
    }
}

/// A record that is created while a catalog is rebuilt is below the watermark of its root, and follows in the next.
#[tokio::test]
async fn what_is_committed_meanwhile_is_taken_in_and_what_comes_later_is_flushed_again() {
    let store = Arc::new(InMemory::new());
    let catalog = Catalog::new(store.clone());
    let mut entry = golden(&store, 2).await;
    entry.files.sort_by_key(|file| file.kind);
    let found = Rebuild::survey(&catalog).await.unwrap();
    let nothing = Rebuild { parts: vec![], ..found };
    let seq = nothing.watermarks["r"].seq;
    assert_eq!(seq, 1_000_001, "above the file, and above what may be on its way");
    let record = CommitRecord {
        parts: vec![entry.clone()],
        ..record_of("r", 1, 1, entry.ulid)
    };
    assert_eq!(commit(&*store, &record).await.unwrap(), Committed::Done);
    let root = nothing.clone().commit(&catalog, "rebuild", 5).await.unwrap();
    assert_eq!((root.n, catalog.live().await.unwrap().parts().count()), (2, 1));
    // Whoever starts again believes a record below the watermark only when its parts are live.
    assert_eq!(next_sequence(&*store, "r").await.unwrap().newest_record, Some(record));
    let unseen = record_of("r", 1, 1, Ulid(50));
    let bytes = seal_envelope(&unseen).unwrap();
    store.put(&names::log_record("r", 1), bytes.into()).await.unwrap();
    let next = next_sequence(&*store, "r").await.unwrap();
    assert_eq!((next.seq, next.newest_record), (1_000_002, None));
}
