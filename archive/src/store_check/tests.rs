//! Each check finds the store that breaks its rule, and stores that keep the rules pass.

#![expect(clippy::unwrap_used, reason = "tests")]

mod crooked;

use object_store::memory::InMemory;

use super::*;
use crate::StoreConfig;
use crooked::{Crooked, Crookedness, Denied};

/// Runs all checks: the names of those that found something, and the verdict.
async fn run(store: Arc<dyn ObjectStore>) -> (Vec<&'static str>, Result<(), StoreCheckError>) {
    let mut found = Vec::new();
    let verdict = check_store(&store, |finding| {
        if finding.trouble.is_some() {
            found.push(finding.check);
        }
    })
    .await;
    (found, verdict)
}

async fn left(store: &dyn ObjectStore) -> usize {
    let listing = store.list(None);
    listing.try_collect::<Vec<_>>().await.unwrap().len()
}

#[tokio::test]
async fn good_stores_pass_and_are_left_clean() {
    let scratch = tempfile::tempdir().unwrap();
    let prefixed = format!(
        "type: FILESYSTEM\nconfig: {{directory: \"{}\"}}\nprefix: deep/down",
        scratch.path().display()
    );
    let stores: [Arc<dyn ObjectStore>; 3] = [
        Arc::new(InMemory::new()),
        StoreConfig::directory(scratch.path().join("d")).open().unwrap(),
        StoreConfig::parse(&prefixed).unwrap().open().unwrap(),
    ];
    for store in stores {
        let mut told = Vec::new();
        check_store(&store, |finding| told.push((finding.check, finding.trouble.clone())))
            .await
            .unwrap();
        assert_eq!(told, CHECKS.map(|(check, _)| (check, None)), "{store}");
        assert_eq!(left(&*store).await, 0, "{store}");
    }
}

#[tokio::test]
async fn each_broken_rule_is_found_by_its_check() {
    let broken = [
        (Crookedness::RemembersAbsence, "write and read"),
        (Crookedness::CreateOverwrites, "create twice"),
        (Crookedness::CreateSaysYes, "create twice"),
        (Crookedness::CreateRefused, "create twice"),
        (Crookedness::CreateInTwoSteps, "race of 16 creators"),
        (Crookedness::ListingLags, "list after write"),
        (Crookedness::ListingSizes, "list after write"),
        (Crookedness::ListingBackwards, "list in order"),
        (Crookedness::LoosePrefix, "list by prefix"),
        (Crookedness::NamesChange, "names kept"),
        (Crookedness::RangesShift, "ranged reads"),
        (Crookedness::PartsSwap, "multipart upload"),
        (Crookedness::PartsShowEarly, "multipart upload"),
        (Crookedness::AbortCompletes, "aborted upload"),
        (Crookedness::DeleteKeeps, "delete"),
        (Crookedness::DeletedStayListed, "delete"),
    ];
    for (crookedness, check) in broken {
        let (found, verdict) = run(Arc::new(Crooked::new(crookedness))).await;
        assert!(found.contains(&check), "{crookedness:?}: {found:?}");
        assert!(
            matches!(verdict, Err(StoreCheckError::Unfit(_))),
            "{crookedness:?}: {verdict:?}"
        );
    }
}

#[tokio::test]
async fn a_store_without_conditional_creation_is_told_what_is_missing_and_what_to_do() {
    for crookedness in [
        Crookedness::CreateOverwrites,
        Crookedness::CreateSaysYes,
        Crookedness::CreateRefused,
        Crookedness::CreateInTwoSteps,
    ] {
        let text = run(Arc::new(Crooked::new(crookedness)))
            .await
            .1
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("`If-None-Match: *`") && text.contains("upgrade the store"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn missing_rights_and_outages_are_no_verdict() {
    let troubles = [
        (Denied::Delete, "delete", "delete below `_archive/check/`"),
        (Denied::List, "list after write", "list and read the bucket"),
        (Denied::Create, "create twice", "write below `_archive/`"),
        (Denied::Everything, "write and read", "lacks rights"),
    ];
    for (denied, check, hint) in troubles {
        let (found, verdict) = run(Arc::new(Crooked::new(Crookedness::Denies(denied)))).await;
        assert_eq!(found, [check], "{denied:?}");
        let text = verdict.unwrap_err().to_string();
        assert!(
            text.contains("could not be checked") && text.contains(hint),
            "{denied:?}: {text}"
        );
    }
    let (found, verdict) = run(Arc::new(Crooked::new(Crookedness::Down))).await;
    assert_eq!(found, ["write and read"]);
    assert!(
        matches!(verdict, Err(StoreCheckError::Unavailable { .. })),
        "{verdict:?}"
    );
}

#[tokio::test]
async fn only_its_own_folder_and_old_ones_are_removed() {
    let store = InMemory::new();
    let now = Ulid::generate();
    let old = Ulid::from_parts(now.timestamp_ms() - 25 * 3_600_000, 1);
    let recent = Ulid::from_parts(now.timestamp_ms() - 3_600_000, 1);
    let kept = [
        checks().join(recent.to_string()).join("x"),
        checks().join("by hand"),
        Path::from("_archive/format"),
        Path::from("_archive/check2"),
    ];
    for path in kept.iter().chain([&checks().join(old.to_string()).join("x")]) {
        store.put(path, "x".into()).await.unwrap();
    }
    let store: Arc<dyn ObjectStore> = Arc::new(store);
    check_store(&store, |_| {}).await.unwrap();
    for path in &kept {
        assert!(store.head(path).await.is_ok(), "{path}");
    }
    assert_eq!(left(&*store).await, kept.len());
}
