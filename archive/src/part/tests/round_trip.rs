//! Random content, hostile values, every kind of query.

use proptest::prelude::*;

use emberkeep_model::{Labels, MatchOp, Matcher, Run, STALE_MARKER_BITS, Sample, TenantId, TimeRange};

use super::super::{PartReader, PartSettings};
use super::{Content, bits, drain, expected, fill, opened, query, run_async, runs, small, stored, writer};

pub(super) fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        3 => (any::<i32>(), 0_i32..6).prop_map(|(n, digits)| f64::from(n) / 10_f64.powi(digits)),
        1 => any::<u64>().prop_map(f64::from_bits),
        1 => prop::sample::select(vec![
            f64::from_bits(STALE_MARKER_BITS),
            f64::from_bits(0x7ff8_0000_0000_0001),
            f64::from_bits(0xfff8_dead_beef_0001),
            f64::INFINITY,
            f64::NEG_INFINITY,
            -0.0,
            f64::MIN_POSITIVE / 4.0,
            f64::MAX,
        ]),
    ]
}

pub(super) fn timestamp() -> impl Strategy<Value = i64> {
    prop_oneof![5 => 0_i64..10_000, 1 => Just(emberkeep_model::MIN_TIMESTAMP), 1 => Just(i64::MAX - 1), 1 => any::<i64>()]
}

pub(super) fn run() -> impl Strategy<Value = Run> {
    let start = prop_oneof![4 => Just(0_i64), 1 => any::<i64>()];
    prop::collection::vec((timestamp(), value(), start), 1..30).prop_map(|rows| {
        let mut run: Run = rows
            .into_iter()
            .map(|(timestamp, value, start_timestamp)| Sample {
                timestamp,
                value,
                start_timestamp,
            })
            .collect();
        run.settle();
        run
    })
}

pub(super) fn labels() -> impl Strategy<Value = Labels> {
    let name = prop::sample::select(vec!["__name__", "job", "instance", "Zone", "ä", "le"]);
    let value = prop_oneof!["[a-c]{1,2}", ".{1,8}"];
    prop::collection::btree_map(name, value, 0..5)
        .prop_map(|pairs| Labels::from_pairs(pairs.iter().map(|(name, value)| (*name, value.as_str()))).unwrap())
}

fn content() -> impl Strategy<Value = Content> {
    let tenant = prop::sample::select(vec!["anonymous", "a", "team-2"]).prop_map(|id| TenantId::parse(id).unwrap());
    prop::collection::btree_map((tenant, labels()), run(), 0..40)
}

fn matcher() -> impl Strategy<Value = (&'static str, MatchOp, String)> {
    (
        prop::sample::select(vec!["__name__", "job", "Zone", "missing"]),
        prop::sample::select(vec![
            MatchOp::Equal,
            MatchOp::NotEqual,
            MatchOp::Regex,
            MatchOp::NotRegex,
        ]),
        prop::sample::select(vec!["", "a", "ab", "a|b", ".*", ".+", "[ab]c?"]).prop_map(str::to_owned),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_went_in_comes_out(
        content in content(),
        matchers in prop::collection::vec(matcher(), 0..3),
        (start, end) in (timestamp(), timestamp()),
        all_time: bool,
        window_rows in prop::sample::select(vec![1_usize, 7, 100, 1 << 20]),
        collide: bool,
    ) {
        let range = if all_time { TimeRange::ALL } else { TimeRange { start, end } };
        let mut writer = writer(small());
        if collide {
            // Every series asks for the last id there is.
            writer = writer.with_ids(|_, _| i64::MAX);
        }
        let (summary, files) = fill(writer, &content);
        let total: usize = content.values().map(Run::len).sum();
        prop_assert_eq!((summary.rows, summary.series), (total as u64, content.len() as u64));
        run_async(async {
            let (store, entry) = stored(&summary, files).await;
            let part = PartReader::open(store, &entry).await.unwrap();
            for tenant in ["anonymous", "a", "team-2", "nobody"] {
                let matchers = matchers.iter().map(|(name, op, value)| Matcher::new(*name, *op, value.as_str()).unwrap());
                let query = query(tenant, range, matchers.collect());
                let mut found = drain(part.scan(query.clone(), window_rows), range).await.unwrap();
                // A series whose span overlaps the range may still have no sample inside.
                found.retain(|(_, run)| !run.is_empty());
                assert_eq!(bits(&found), bits(&expected(&content, &query)));
            }
        });
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn rows_can_be_left_out_and_read_in_pieces(
        picks in prop::collection::vec((any::<bool>(), 1_usize..5000), 300),
        window_rows in prop::sample::select(vec![1_usize, 1000, 5000, 100_000]),
    ) {
        run_async(async {
            let content = many_series(300, |i| if i % 50 == 0 { 9000 } else { 40 + i % 7 });
            let part = opened(&content, small()).await;
            let mut scan = part.scan(query("anonymous", TimeRange::ALL, vec![]), window_rows);
            for (((_, labels), run), (is_read, piece)) in content.iter().zip(picks) {
                let series = scan.next().await.unwrap().unwrap();
                assert_eq!(series.labels, *labels);
                if !is_read {
                    continue;
                }
                let mut found = Run::default();
                let mut at = series.samples.start;
                while at < series.samples.end {
                    let end = series.samples.end.min(at + piece as u64);
                    scan.samples(at..end, TimeRange::ALL, &mut found).await.unwrap();
                    at = end;
                }
                assert_eq!(found, *run);
            }
            assert_eq!(scan.next().await.unwrap(), None);
        });
    }
}

/// Series with rising values and times.
pub(super) fn many_series(count: usize, rows: impl Fn(usize) -> usize) -> Content {
    let series = |i: usize| {
        let labels = [
            ("__name__", format!("metric_{:02}", i / 20)),
            ("series", format!("{i:06}")),
        ];
        let labels = Labels::from_pairs(labels.iter().map(|(name, value)| (*name, value.as_str()))).unwrap();
        let sample = |row: usize| Sample {
            timestamp: i64::try_from(row).unwrap() * 15_000,
            value: (i * 1000 + row) as f64 / 4.0,
            start_timestamp: 0,
        };
        ((TenantId::default(), labels), (0..rows(i)).map(sample).collect())
    };
    (0..count).map(series).collect()
}

#[tokio::test]
async fn rows_that_were_passed_cannot_be_read_again() {
    let part = opened(&many_series(3, |_| 10), PartSettings::default()).await;
    let mut scan = part.scan(query("anonymous", TimeRange::ALL, vec![]), 1000);
    let mut run = Run::default();
    scan.samples(10..20, TimeRange::ALL, &mut run).await.unwrap();
    let again = scan.samples(5..12, TimeRange::ALL, &mut run).await;
    assert!(matches!(again, Err(crate::ArchiveError::Invalid(_))));
    let outside = scan.samples(25..31, TimeRange::ALL, &mut run).await;
    assert!(matches!(outside, Err(crate::ArchiveError::Corrupt { .. })));
}

#[test]
fn rows_out_of_order_are_refused() {
    let content = many_series(2, |_| 1);
    let ((tenant, first), run) = content.first_key_value().unwrap();
    let second = &content.last_key_value().unwrap().0.1;
    let mut writer = writer(PartSettings::default());
    let refused =
        |result: Result<(), crate::ArchiveError>| assert!(matches!(result, Err(crate::ArchiveError::Invalid(_))));
    refused(writer.push(tenant, second, &runs(&Run::default()), &[]));
    let sample = |timestamp| Sample {
        timestamp,
        value: 1.0,
        start_timestamp: 0,
    };
    refused(writer.push(
        tenant,
        second,
        &runs(&[sample(2), sample(1)].into_iter().collect()),
        &[],
    ));
    writer.push(tenant, second, &runs(run), &[]).unwrap();
    refused(writer.push(tenant, first, &runs(run), &[]));
    refused(writer.push(tenant, second, &runs(run), &[]));
    writer
        .push(&TenantId::parse("b").unwrap(), first, &runs(run), &[])
        .unwrap();
    refused(writer.push(tenant, second, &runs(run), &[]));
    assert_eq!(writer.finish().unwrap().0.series, 2);
}
