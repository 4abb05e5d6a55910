//! Damage is found wherever it is, once; the budget holds; and what was read is remembered.

#![expect(clippy::unwrap_used, reason = "tests")]

use emberkeep_archive::Ulid;
use emberkeep_service::metrics::{Exposition, Metrics};

use super::*;
use crate::fixture::{Archive, NOW_MS, TODAY, times};

async fn three_parts() -> (Archive, [Ulid; 3]) {
    let archive = Archive::new();
    let rows = |age: i32| vec![("x", times(TODAY - age, 500))];
    let first = archive.merged("a", TODAY - 5, &rows(5), &[], NOW_MS - 5000).await;
    let second = archive.merged("a", TODAY - 4, &rows(4), &[], NOW_MS - 4000).await;
    let third = archive.flush(&[("a", "x", times(TODAY - 3, 500))], NOW_MS - 3000).await;
    (archive, [first, second, third])
}

async fn run(archive: &Archive, bytes: u64, now_ms: i64) -> Scrubbed {
    scrub(&archive.catalog, bytes, &ScrubMetrics::default(), now_ms)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_part_that_waits_longest_is_read_first() {
    let (archive, parts) = three_parts().await;
    assert_eq!(run(&archive, 0, NOW_MS).await.parts, 0);
    for (i, oldest) in [NOW_MS - 4000, NOW_MS - 3000, NOW_MS].into_iter().enumerate() {
        let scrubbed = run(&archive, 1, NOW_MS + i as i64).await;
        assert_eq!((scrubbed.parts, scrubbed.oldest_unverified), (1, Some(oldest)), "{i}");
    }
    let state = ScrubState::load(&archive.catalog).await.unwrap();
    let read: Vec<i64> = parts.iter().map(|part| state.verified[&part.to_string()]).collect();
    assert_eq!(read, [NOW_MS, NOW_MS + 1, NOW_MS + 2]);
    // Few objects stay, however often it is written.
    run(&archive, u64::MAX, NOW_MS + 9).await;
    assert_eq!(
        std::fs::read_dir(archive.path().join("_archive/scrub"))
            .unwrap()
            .count(),
        2
    );
}

#[tokio::test]
async fn any_flipped_bit_is_found_and_the_rest_goes_on() {
    for (victim, offset) in [(0, 5), (0, 600), (1, 5), (2, 5)] {
        let (archive, parts) = three_parts().await;
        let live = archive.catalog.live().await.unwrap();
        let file = archive.path().join(&live.by_ulid()[&parts[victim]].files[0].path);
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[offset] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let scrubbed = run(&archive, u64::MAX, NOW_MS).await;
        assert_eq!((scrubbed.parts, scrubbed.damaged.len()), (3, 1));
        assert!(scrubbed.damaged[0].0 == parts[victim].to_string() && scrubbed.damaged[0].1.contains("CRC-32C"));
        let live = archive.catalog.live().await.unwrap();
        let listed = &live.root().unwrap().quarantined;
        assert_eq!((listed.len(), &listed[0].part), (1, &parts[victim].to_string()));
        assert!(
            run(&archive, u64::MAX, NOW_MS + 1).await.damaged.is_empty(),
            "it is told once"
        );
    }
}

#[tokio::test]
async fn files_that_are_gone_or_cut_are_damage() {
    let (archive, parts) = three_parts().await;
    let live = archive.catalog.live().await.unwrap().by_ulid();
    std::fs::remove_file(archive.path().join(&live[&parts[0]].files[0].path)).unwrap();
    let cut = archive.path().join(&live[&parts[1]].files[1].path);
    let bytes = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    let metrics = ScrubMetrics::default();
    let scrubbed = scrub(&archive.catalog, u64::MAX, &metrics, NOW_MS).await.unwrap();
    let reasons: Vec<&str> = scrubbed.damaged.iter().map(|(_, reason)| reason.as_str()).collect();
    assert!(
        reasons[0].contains("it is gone") && reasons[1].contains("bytes, it was written with"),
        "{reasons:?}"
    );
    let mut exposed = Metrics::new("compactor");
    metrics.register(exposed.registry());
    let text = exposed.expose(Exposition::Text);
    assert!(text.contains("emberkeep_scrub_damaged_parts_total 2\n"), "{text}");
    assert!(
        text.contains("emberkeep_scrub_oldest_unverified_age_seconds 0"),
        "{text}"
    );
}

#[tokio::test]
async fn a_damaged_state_is_none() {
    let (archive, _) = three_parts().await;
    run(&archive, u64::MAX, NOW_MS).await;
    for state in std::fs::read_dir(archive.path().join("_archive/scrub")).unwrap() {
        std::fs::write(state.unwrap().path(), b"{}").unwrap();
    }
    assert_eq!(ScrubState::load(&archive.catalog).await.unwrap(), ScrubState::default());
    assert_eq!(run(&archive, u64::MAX, NOW_MS).await.parts, 3);
}

#[test]
fn a_budget_grows_with_time_up_to_a_day_and_pays_its_debts() {
    let mut budget = Budget::new(1000, 0);
    assert_eq!(budget.left(0), 0);
    assert_eq!(budget.left(DAY_MS / 2), 500);
    assert_eq!(budget.left(40 * DAY_MS), 1000);
    budget.spend(400, 40 * DAY_MS);
    assert_eq!(budget.left(40 * DAY_MS), 600);
    budget.spend(1600, 40 * DAY_MS);
    assert_eq!(
        budget.left(41 * DAY_MS),
        0,
        "a part larger than the budget is paid by the next days"
    );
    assert_eq!(budget.left(41 * DAY_MS + DAY_MS / 2), 500);
    // Questions at short intervals do not lose what is less than a byte.
    let mut slow = Budget::new(1, 0);
    let mut left = 0;
    for hour in 1..=24 {
        left = slow.left(hour * DAY_MS / 24);
    }
    assert_eq!(left, 1);
}
