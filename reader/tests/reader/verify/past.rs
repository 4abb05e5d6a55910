//! Answers from a moment of the past: from the root that was live then, without heads and without what came later.

use std::sync::Arc;

use emberkeep_model::{TenantId, TimeRange};
use emberkeep_reader::verify::{Level, Verdict};
use emberkeep_reader::{LookSettings, Query, ReaderError, ReaderSettings, ReplicaLabels, Selection, Sources};
use emberkeep_service::clock::{Clock, SystemClock};
use indicatif::ProgressBar;

use super::{archive, assert_proven, export, folded, rows};
use crate::support::{Rows, TestHead, labels, sample};

fn one(value: f64) -> Rows {
    vec![(TenantId::default(), labels(&[("__name__", "late")]), sample(5, value))]
}

fn everything() -> Query {
    Query {
        tenant: TenantId::default(),
        range: TimeRange::ALL,
        selection: Selection::all(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_later_is_not_there() {
    let mut archive = archive().await;
    archive.flush(&rows()).await;
    folded(&archive).await;
    let output = export(&archive).await;
    // The roots of tests say that they are of 1970; the store says when it took them.
    let then = SystemClock.now_ms();
    archive.flush(&one(1.0)).await;
    let head = TestHead::source(one(2.0), archive.committed());
    let settings = ReaderSettings {
        look: LookSettings {
            as_of: Some(then),
            ..LookSettings::default()
        },
        ..ReaderSettings::default()
    };
    let count = async |settings: ReaderSettings, as_of: Option<i64>| {
        let reader = archive.reader(vec![head.clone()], settings);
        let mut series = reader
            .read_as_of(&everything(), &ReplicaLabels::default(), as_of)
            .await
            .unwrap();
        let mut count = 0;
        while series.next_series().await.unwrap().is_some() {
            count += 1;
        }
        count
    };
    assert_eq!(count(ReaderSettings::default(), None).await, 11);
    assert_eq!(
        count(ReaderSettings::default(), Some(then)).await,
        10,
        "asked of one request"
    );
    assert_eq!(count(settings, None).await, 10, "for all that a reader answers");

    let now = Sources::new(Arc::clone(&archive.store), Vec::new());
    let bar = ProgressBar::hidden();
    let verify = super::verify(Level::Restore);
    let report = verify.exported(&now, output.path(), &bar).await.unwrap();
    assert_eq!((report.verdict, report.differences), (Verdict::Different, 1));
    let past = now.as_of(Some(then));
    assert_proven(&verify.exported(&past, output.path(), &bar).await.unwrap());
    let report = verify.archive(&past, &bar).await.unwrap();
    assert_eq!(
        (report.verdict, report.root, report.checked.parts),
        (Verdict::Proven, 1, 1)
    );
}

#[tokio::test]
async fn a_moment_before_the_oldest_root_is_refused_and_the_oldest_named() {
    let mut archive = archive().await;
    archive.flush(&rows()).await;
    folded(&archive).await;
    let sources = Sources::new(Arc::clone(&archive.store), Vec::new());
    let error = sources.look_as_of(-5).await.unwrap_err();
    let ReaderError::Bad(text) = &error else {
        panic!("{error}")
    };
    assert!(text.contains("the oldest that can be read is root 1 of 20"), "{text}");
}

#[tokio::test]
async fn where_no_root_is_the_path_is_asked_for() {
    let archive = archive().await;
    let sources = Sources::new(Arc::clone(&archive.store), Vec::new());
    let text = sources.look_as_of(SystemClock.now_ms()).await.unwrap_err().to_string();
    for said in ["nothing was folded", "--objstore.config-file", "--storage.path"] {
        assert!(text.contains(said), "{text}");
    }
}
