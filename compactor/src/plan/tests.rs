//! Which parts are merged, when, and into what, on catalogs of parts that need no files.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use emberkeep_archive::{
    Catalog, Change, CommitRecord, FileEntry, FileKind, MatcherText, Quarantined, StoreConfig, TenantSummary, TimeSpan,
    Ulid, WalRange, apply, commit, fold, fresh_nonce, names, part_number,
};
use tempfile::TempDir;

use super::*;

const HOUR: i64 = 3_600_000;
/// A midnight.
const DAY: i64 = 20_000 * DAY_MS;

/// A catalog that is filled part by part.
struct Bench {
    scratch: TempDir,
    catalog: Catalog,
    flushes: u64,
    parts: u128,
}

impl Bench {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let store = StoreConfig::directory(scratch.path().to_owned()).open().unwrap();
        Self {
            scratch,
            catalog: Catalog::new(store),
            flushes: 0,
            parts: 0,
        }
    }

    fn next_ulid(&mut self) -> Ulid {
        self.parts += 1;
        Ulid(self.parts)
    }

    /// A flush that holds samples of tenants, each from one time to another.
    async fn flush(&mut self, tenants: &[(&str, i64, i64)]) -> Ulid {
        self.flushes += 1;
        let (seq, ulid) = (self.flushes, self.next_ulid());
        let mut part = entry(ulid, tenants);
        part.receiver = Some("r".to_owned());
        for file in &mut part.files {
            file.path = names::level0("r", seq, ulid, file.kind).to_string();
        }
        let record = CommitRecord {
            nonce: fresh_nonce(),
            receiver: "r".to_owned(),
            epoch: 1,
            seq,
            wal: WalRange {
                id: "w".to_owned(),
                from: seq,
                to: seq + 1,
            },
            committed_at: part.max_time,
            newest_arrival: part.max_time,
            parts: vec![part],
        };
        commit(&**self.catalog.store(), &record).await.unwrap();
        fold(&**self.catalog.store(), &self.catalog, &fresh_nonce(), 0)
            .await
            .unwrap();
        ulid
    }

    /// A merged part of the tenant `t`.
    async fn merged(&mut self, level: u32, from: i64, to: i64, bytes: u64) -> Ulid {
        let ulid = self.next_ulid();
        let mut part = entry(ulid, &[("t", from, to)]);
        (part.level, part.day, part.committed_at) = (level, day_of(from), to);
        part.files[0].bytes = bytes;
        for file in &part.files {
            let path = self.scratch.path().join(&file.path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::File::create(path).unwrap().set_len(file.bytes).unwrap();
        }
        self.change(Change {
            add: vec![part],
            ..Change::default()
        })
        .await;
        ulid
    }

    async fn change(&self, change: Change) {
        let nonce = fresh_nonce();
        apply(&self.catalog, &nonce, 0, |_| {
            Ok::<_, ArchiveError>(Some(change.clone()))
        })
        .await
        .unwrap();
    }

    async fn plan(&self, now_ms: i64) -> Vec<Job> {
        self.plan_with(&[], now_ms).await
    }

    async fn plan_with(&self, rules: &[DueRule], now_ms: i64) -> Vec<Job> {
        let live = self.catalog.live().await.unwrap();
        let jobs = plan(self.catalog.store(), &live, &PlanSettings::default(), rules, now_ms)
            .await
            .unwrap();
        let mut taken = std::collections::BTreeSet::new();
        for input in jobs.iter().flat_map(|job| &job.inputs) {
            assert!(taken.insert(input.ulid), "{} is in two jobs", input.ulid);
        }
        jobs
    }
}

fn entry(ulid: Ulid, tenants: &[(&str, i64, i64)]) -> PartEntry {
    let file = |kind| FileEntry {
        kind,
        path: format!("{}/{ulid}", kind.as_str()),
        rows: 1,
        bytes: 1000,
        crc32c: 0,
    };
    let summary = |&(tenant, min_time, max_time): &(&str, i64, i64)| {
        let held = TenantSummary {
            min_time,
            max_time,
            series: 1,
            samples: 1,
            ..TenantSummary::default()
        };
        (tenant.to_owned(), held)
    };
    PartEntry {
        ulid,
        part: part_number(ulid),
        level: 0,
        receiver: None,
        min_time: tenants.iter().map(|tenant| tenant.1).min().unwrap(),
        max_time: tenants.iter().map(|tenant| tenant.2).max().unwrap(),
        tenants: tenants.iter().map(summary).collect::<BTreeMap<_, _>>(),
        committed_at: 0,
        day: None,
        masks: 0,
        merge: None,
        rules: Vec::new(),
        files: [FileKind::Samples, FileKind::Series].map(file).to_vec(),
    }
}

fn mask() -> Mask {
    Mask {
        id: Ulid::generate().to_string(),
        number: 0,
        tenant: "t".to_owned(),
        matchers: vec![MatcherText {
            name: "job".to_owned(),
            op: "=".to_owned(),
            value: "a".to_owned(),
        }],
        from: DAY,
        to: DAY + HOUR,
        reason: String::new(),
        who: String::new(),
        created_at: 0,
    }
}

fn inputs(job: &Job) -> Vec<Ulid> {
    job.inputs.iter().map(|part| part.ulid).collect()
}

fn windows(job: &Job) -> Vec<(&str, u32, i64, i64)> {
    let shown = |window: &'_ JobWindow| (window.level, window.from - DAY, window.to - DAY);
    let with_tenant = |window| {
        let (level, from, to) = shown(window);
        (window.tenant.as_str(), level, from, to)
    };
    job.windows.iter().map(with_tenant).collect()
}

#[tokio::test]
async fn a_window_is_merged_when_it_has_ended_and_its_stragglers_are_in() {
    let mut bench = Bench::new();
    // The second flush reaches over the end of its window, as most do sooner or later.
    let first = bench.flush(&[("t", DAY, DAY + HOUR)]).await;
    let second = bench.flush(&[("t", DAY + HOUR, DAY + 2 * HOUR - 1)]).await;
    let next = bench.flush(&[("t", DAY + 2 * HOUR - 10, DAY + 2 * HOUR + 10)]).await;
    assert_eq!(bench.plan(DAY + 2 * HOUR + 599_000).await, []);
    let jobs = bench.plan(DAY + 2 * HOUR + 601_000).await;
    assert_eq!(jobs.len(), 1);
    assert_eq!((jobs[0].kind, inputs(&jobs[0])), (JobKind::Window, vec![first, second]));
    assert!(windows(&jobs[0]).contains(&("t", 1, 0, 2 * HOUR)));
    let later = bench.plan(DAY + 5 * HOUR).await;
    assert_eq!(
        later.iter().map(inputs).collect::<Vec<_>>(),
        [vec![next], vec![first, second]]
    );
    // Whatever the part holds lies in exactly one of the windows.
    assert!(windows(&later[0]).contains(&("t", 1, 0, 2 * HOUR)));
    assert!(windows(&later[0]).contains(&("t", 1, 2 * HOUR, 4 * HOUR)));
}

#[tokio::test]
async fn history_that_is_still_coming_in_waits_for_more_of_it() {
    let mut bench = Bench::new();
    bench.flush(&[("t", DAY, DAY + HOUR)]).await;
    let live = bench.catalog.live().await.unwrap();
    let committed = live.parts().next().unwrap().committed_at;
    let settings = PlanSettings {
        settle: Duration::from_secs(100 * 3600),
        ..PlanSettings::default()
    };
    let now_ms = DAY + 10 * HOUR;
    assert!(now_ms < committed + 100 * HOUR);
    let store = bench.catalog.store();
    assert_eq!(plan(store, &live, &settings, &[], now_ms).await.unwrap(), []);
    assert_eq!(
        plan(store, &live, &settings.at_once(), &[], now_ms)
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn many_flushes_of_an_open_window_do_not_wait_for_its_end() {
    let mut bench = Bench::new();
    for _ in 0..PlanSettings::default().level0_batch - 1 {
        bench.flush(&[("t", DAY, DAY + HOUR)]).await;
    }
    assert_eq!(bench.plan(DAY + HOUR).await, []);
    bench.flush(&[("t", DAY, DAY + HOUR)]).await;
    assert_eq!(bench.plan(DAY + HOUR).await.len(), 1);
}

#[tokio::test]
async fn tenants_and_days_have_windows_of_their_own() {
    let mut bench = Bench::new();
    bench
        .flush(&[("a", DAY - HOUR, DAY + HOUR), ("b", DAY, DAY + HOUR)])
        .await;
    let jobs = bench.plan(DAY + 3 * HOUR).await;
    let days = |tenant: &str| {
        let of = jobs[0].windows.iter().filter(|window| window.tenant == tenant);
        of.map(|window| window.from.div_euclid(DAY_MS) - DAY / DAY_MS)
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!((days("a"), days("b")), ([-1, 0].into(), [0].into()));
    for window in &jobs[0].windows {
        assert_eq!(day_of(window.from), day_of(window.to - 1), "{window:?}");
    }
}

#[tokio::test]
async fn a_part_that_cannot_be_read_is_left_alone_and_the_others_go_on() {
    let mut bench = Bench::new();
    let bad = bench.flush(&[("t", DAY, DAY + HOUR)]).await;
    let good = bench.flush(&[("t", DAY, DAY + HOUR)]).await;
    bench
        .change(Change {
            quarantined: vec![Quarantined {
                part: bad.to_string(),
                reason: "a page is damaged".to_owned(),
                at: 0,
            }],
            ..Change::default()
        })
        .await;
    let jobs = bench.plan(DAY + 10 * HOUR).await;
    assert_eq!(jobs.iter().map(inputs).collect::<Vec<_>>(), [vec![good]]);
}

#[tokio::test]
async fn a_day_is_merged_when_it_has_ended_and_no_flush_of_it_is_left() {
    let mut bench = Bench::new();
    let morning = bench.merged(1, DAY, DAY + HOUR, 1000).await;
    let evening = bench.merged(1, DAY + 20 * HOUR, DAY + 21 * HOUR, 1000).await;
    let straggler = bench.flush(&[("t", DAY + 22 * HOUR, DAY + 23 * HOUR)]).await;
    assert_eq!(bench.plan(DAY + 23 * HOUR + 1).await, []);
    let closed = DAY + 24 * HOUR + 3 * HOUR;
    let jobs = bench.plan(closed).await;
    assert_eq!(jobs.iter().map(|job| job.kind).collect::<Vec<_>>(), [JobKind::Window]);
    assert_eq!(windows(&jobs[0]), [("t", 1, 0, 24 * HOUR)], "of a day that is over");
    bench
        .change(Change {
            remove: BTreeMap::from([(emberkeep_archive::Removal::Compacted, vec![straggler])]),
            ..Change::default()
        })
        .await;
    assert_eq!(bench.plan(closed - 1).await, []);
    let jobs = bench.plan(closed).await;
    assert_eq!(
        (jobs.len(), jobs[0].kind, inputs(&jobs[0])),
        (1, JobKind::Day, vec![morning, evening])
    );
    assert_eq!(windows(&jobs[0]), [("t", 2, 0, 24 * HOUR)]);
}

#[tokio::test]
async fn what_comes_late_is_merged_when_it_is_worth_it() {
    let mut bench = Bench::new();
    let closed = DAY + 30 * HOUR;
    bench.merged(2, DAY, DAY + 23 * HOUR, 1_000_000).await;
    assert_eq!(bench.plan(closed).await, [], "one part is merged already");
    bench.merged(1, DAY, DAY + HOUR, 10).await;
    assert_eq!(bench.plan(DAY + 24 * HOUR).await, [], "a few bytes are not worth it");
    let late = bench.plan(DAY + HOUR + DAY_MS + 3 * HOUR).await;
    assert_eq!(
        late.iter().map(|job| job.kind).collect::<Vec<_>>(),
        [JobKind::Late],
        "but they do not wait for ever"
    );
    bench
        .merged(1, DAY + HOUR, DAY + 26 * HOUR - DAY_MS + 20 * HOUR, 200_000)
        .await;
    assert_eq!(
        bench.plan(closed - 3 * HOUR).await.len(),
        1,
        "a fifth of the day is worth it"
    );
}

#[tokio::test]
async fn deletions_rewrite_days_that_have_ended() {
    let mut bench = Bench::new();
    let part = bench.merged(2, DAY, DAY + 23 * HOUR, 1000).await;
    let mask = mask();
    let rule = |parts| DueRule {
        id: "rule".to_owned(),
        mask: mask.clone(),
        parts,
        bytes: 1000,
    };
    let closed = DAY + 30 * HOUR;
    let young = bench.plan_with(&[rule([Ulid(77)].into())], closed).await;
    assert_eq!(young, [], "a rule that is not due on the part");
    let jobs = bench.plan_with(&[rule([part].into())], closed).await;
    assert_eq!(
        (jobs[0].kind, &jobs[0].rules[..]),
        (JobKind::Rewrite, &["rule".to_owned()][..])
    );
    bench
        .change(Change {
            masks: vec![mask.clone()],
            ..Change::default()
        })
        .await;
    assert_eq!(
        bench.plan(DAY + 23 * HOUR).await,
        [],
        "the day goes on, and readers apply the mask"
    );
    let jobs = bench.plan(closed).await;
    let number = bench.catalog.live().await.unwrap().root_n();
    assert_eq!(
        (jobs[0].kind, jobs[0].masks_through, jobs[0].masks.len()),
        (JobKind::Rewrite, number, 1)
    );
}

#[tokio::test]
async fn what_a_lock_keeps_no_merge_leaves_out() {
    let mut bench = Bench::new();
    bench.flush(&[("t", DAY, DAY + HOUR)]).await;
    bench
        .change(Change {
            masks: vec![mask()],
            ..Change::default()
        })
        .await;
    let masked = bench.plan(DAY + 10 * HOUR).await;
    assert_eq!(masked[0].masks.len(), 1);
    let lock = emberkeep_archive::Lock {
        id: Ulid::generate().to_string(),
        tenant: None,
        from: DAY,
        to: DAY + 1,
        reason: String::new(),
        who: String::new(),
        created_at: 0,
    };
    bench
        .change(Change {
            locks: vec![lock],
            ..Change::default()
        })
        .await;
    let kept = bench.plan(DAY + 10 * HOUR).await;
    assert_eq!(
        (kept[0].masks.len(), kept[0].masks_through),
        (0, 0),
        "readers apply the mask, the rows stay"
    );
}

#[tokio::test]
async fn a_plan_is_read_back_from_its_json() {
    let mut bench = Bench::new();
    bench.flush(&[("t", DAY, DAY + HOUR)]).await;
    let jobs = bench.plan(DAY + 10 * HOUR).await;
    let text = serde_json::to_string(&jobs[0]).unwrap();
    assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), jobs[0]);
    let span = TimeSpan {
        min_time: DAY,
        max_time: DAY + HOUR,
    };
    assert_eq!(jobs[0].inputs[0].tenants["t"].sample_times(), Some(span));
}
