//! Parts that are kept open answer as others do, with less work, within their bound.

use std::sync::Arc;

use emberkeep_model::{Labels, MatchOp, Matcher, Run, Sample, TenantId, TimeRange};
use proptest::prelude::*;

use super::super::needles::Needles;
use super::super::series_pages::windows;
use super::super::{KeptParts, PartReader, ScanKinds, ScanQuery};
use super::{Content, bits, drain, expected, fill, query, run_async, small, stored, writer};
use crate::ObjectStore;
use crate::PartEntry;

/// Series whose instances are so long that the dictionary of a row group is given up: pages of both encodings.
fn content(series: usize) -> Content {
    let mut content = Content::new();
    for number in 0..series {
        let metric = format!("metric_{}", number / 1000);
        let instance = format!("{:0300}", number % 1000);
        let mut pairs = vec![("__name__", metric.as_str()), ("instance", instance.as_str())];
        // Rows of one page have other numbers of labels.
        if number % 7 == 0 {
            pairs.push(("zone", "a"));
        }
        let sample = Sample {
            timestamp: (number % 50) as i64,
            value: number as f64,
            start_timestamp: 0,
        };
        let tenant = TenantId::parse(if number % 11 == 0 { "other" } else { "t" }).unwrap();
        content.insert((tenant, Labels::from_pairs(pairs).unwrap()), Run::from_iter([sample]));
    }
    content
}

struct Stored {
    content: Content,
    store: Arc<dyn ObjectStore>,
    entry: PartEntry,
}

async fn part(series: usize) -> Stored {
    let content = content(series);
    let (summary, files) = fill(writer(small()), &content);
    let (store, entry) = stored(&summary, files).await;
    Stored { content, store, entry }
}

fn equal(name: &str, value: &str) -> Matcher {
    Matcher::new(name, MatchOp::Equal, value).unwrap()
}

fn of_instance(number: usize) -> ScanQuery {
    query("t", TimeRange::ALL, vec![equal("instance", &format!("{number:0300}"))])
}

/// Pages that a query would read.
fn pages_of(part: &PartReader, query: &ScanQuery) -> usize {
    let known = (&Needles::of(&query.matchers), part.files.filters.as_ref());
    let windows = windows(&part.files.series, query, 1 << 20, known).unwrap();
    windows.iter().map(|window| window.rows.len()).sum()
}

#[test]
fn the_second_query_reads_only_pages_that_may_have_what_it_wants() {
    run_async(async {
        let stored = part(3000).await;
        let kept = KeptParts::new(64 << 20);
        let open = async || kept.open(&stored.store, &stored.entry).await.unwrap();
        let (first, second) = (of_instance(123), of_instance(700));
        let part = open().await;
        let all = pages_of(&part, &second);
        assert!(all > 10, "{all}");
        let found = drain(part.scan(first.clone(), 1000), first.range).await.unwrap();
        assert_eq!(bits(&found), bits(&expected(&stored.content, &first)));
        let part = open().await;
        assert!(pages_of(&part, &second) <= 4, "{} of {all}", pages_of(&part, &second));
        let found = drain(part.scan(second.clone(), 1000), second.range).await.unwrap();
        assert_eq!(found.len(), 3, "one of each metric");
        assert_eq!(bits(&found), bits(&expected(&stored.content, &second)));
        // Who asks for no value reads everything, whatever is remembered.
        assert_eq!(
            pages_of(&part, &query("t", TimeRange::ALL, vec![equal("zone", "")])),
            all
        );
    });
}

#[test]
fn memory_stays_in_its_bound_and_another_part_under_the_same_name_is_opened() {
    run_async(async {
        let stored = part(3000).await;
        let footers = PartReader::open(Arc::clone(&stored.store), &stored.entry)
            .await
            .unwrap()
            .memory_bytes();
        let kept = KeptParts::new(3 * footers);
        for number in 0..20_u128 {
            // The same files under other names are other parts.
            let mut entry = stored.entry.clone();
            entry.ulid = crate::Ulid(number);
            let part = kept.open(&stored.store, &entry).await.unwrap();
            let query = of_instance(5);
            let found = drain(part.scan(query.clone(), 1000), query.range).await.unwrap();
            assert_eq!(found.len(), 3);
            assert!(
                kept.bytes() > 0 && kept.bytes() <= 3 * footers,
                "{} of {footers}",
                kept.bytes()
            );
        }
        let mut entry = stored.entry.clone();
        entry.ulid = crate::Ulid(19);
        entry.files[0].bytes -= 1;
        let refused = kept.open(&stored.store, &entry).await;
        assert!(refused.is_err(), "what is kept is of another file");
        let nothing = KeptParts::new(0);
        nothing.open(&stored.store, &stored.entry).await.unwrap();
        assert_eq!(nothing.bytes(), 0);
    });
}

fn any_matcher() -> impl Strategy<Value = Matcher> {
    let value = prop_oneof![
        (0_usize..1100).prop_map(|number| ("instance", format!("{number:0300}"))),
        (0_usize..4).prop_map(|number| ("__name__", format!("metric_{number}"))),
        prop::sample::select(vec!["", "a", "b"]).prop_map(|zone| ("zone", zone.to_owned())),
    ];
    let op = prop::sample::select(vec![MatchOp::Equal, MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex]);
    (value, op).prop_map(|((name, value), op)| Matcher::new(name, op, &value).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_is_remembered_answers_are_the_same(
        queries in prop::collection::vec((prop::collection::vec(any_matcher(), 1..3), 0_i64..50, 0_i64..60), 1..5),
        window_rows in 256_usize..20_000,
    ) {
        run_async(async {
            let stored = part(2200).await;
            // Room for the footers and some of the filters.
            let kept = KeptParts::new(400 << 10);
            for (matchers, start, length) in &queries {
                let matchers = matchers.iter().map(|m| Matcher::new(m.name(), m.op(), m.value()).unwrap()).collect();
                let range = TimeRange { start: *start, end: start + length };
                let query = ScanQuery { kinds: ScanKinds::Samples, ..query("t", range, matchers) };
                let part = kept.open(&stored.store, &stored.entry).await.unwrap();
                let found = drain(part.scan(query.clone(), window_rows), range).await.unwrap();
                prop_assert_eq!(bits(&found), bits(&expected(&stored.content, &query)));
            }
            Ok(())
        })?;
    }
}
