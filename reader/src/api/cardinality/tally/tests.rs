//! Counts against counting by hand, and what happens when there is no room.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

fn line(name: &str, value: u64) -> Line {
    Line {
        name: name.to_owned(),
        value,
    }
}

fn series() -> impl Strategy<Value = BTreeSet<Vec<(String, String)>>> {
    let pairs = prop::collection::btree_map("[ab]|__name__", "[x-z]{1,2}", 1..4);
    prop::collection::btree_set(pairs.prop_map(|pairs| pairs.into_iter().collect::<Vec<_>>()), 0..30)
}

/// All lines in order.
fn lines<'a>(counts: impl IntoIterator<Item = (&'a String, &'a u64)>) -> Vec<Line> {
    let mut lines: Vec<Line> = counts.into_iter().map(|(name, &count)| line(name, count)).collect();
    lines.sort_by(|a, b| b.value.cmp(&a.value).then_with(|| a.name.cmp(&b.name)));
    lines
}

proptest! {
    #[test]
    fn counts_are_those_of_counting_by_hand(series in series(), limit in 1usize..50) {
        let mut tally = Tally::default();
        let (mut by_metric, mut by_pair, mut memory) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for pairs in &series {
            tally.add(&Labels::from_pairs(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap()).unwrap();
            for (name, value) in pairs {
                if name == "__name__" {
                    *by_metric.entry(value.clone()).or_insert(0u64) += 1;
                }
                *by_pair.entry(format!("{name}={value}")).or_insert(0u64) += 1;
                *memory.entry(name.clone()).or_insert(0u64) += (name.len() + value.len() + 2) as u64;
                values.entry(name.clone()).or_default().insert(value.clone());
            }
        }
        let counts: BTreeMap<String, u64> = values.iter().map(|(name, values)| (name.clone(), values.len() as u64)).collect();
        let cut = |mut lines: Vec<Line>| { lines.truncate(limit); lines };
        prop_assert_eq!(tally.series(), series.len() as u64);
        prop_assert_eq!(tally.label_pairs(), by_pair.len() as u64);
        prop_assert_eq!(tally.series_by_metric_name(limit), cut(lines(&by_metric)));
        prop_assert_eq!(tally.series_by_label_pair(limit), cut(lines(&by_pair)));
        prop_assert_eq!(tally.memory_by_label_name(limit), cut(lines(&memory)));
        prop_assert_eq!(tally.values_by_label_name(limit), cut(lines(&counts)));
        prop_assert!(tally.warnings().is_empty());
    }
}

#[test]
fn long_texts_cost_prometheus_four_bytes_of_length() {
    let mut tally = Tally::default();
    tally.add(&labels(&[("a", &"x".repeat(254))])).unwrap();
    tally.add(&labels(&[("a", &"x".repeat(255))])).unwrap();
    assert_eq!(tally.memory_by_label_name(1), [line("a", 2 + 254 + 1 + 2 + 255 + 4)]);
}

#[test]
fn without_room_the_largest_label_lets_go_of_its_values_and_says_so() {
    let mut tally = Tally::with_room(4_000);
    for i in 0..100 {
        let trace = format!("trace-{i}");
        tally
            .add(&labels(&[
                ("__name__", "up"),
                ("job", if i % 2 == 0 { "a" } else { "b" }),
                ("trace", &trace),
            ]))
            .unwrap();
        assert!(tally.bytes <= 4_000);
    }
    assert_eq!(tally.series_by_metric_name(10), [line("up", 100)]);
    assert_eq!(
        tally.series_by_label_pair(10),
        [line("__name__=up", 100), line("job=a", 50), line("job=b", 50)]
    );
    let at_least = tally.values_by_label_name(1).remove(0);
    assert_eq!(at_least.name, "trace");
    assert!((20..100).contains(&at_least.value), "{at_least:?}");
    let warnings = tally.warnings();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].starts_with(&format!("label `trace` has at least {} values", at_least.value)),
        "{warnings:?}"
    );
    // What needs no values is still exact.
    assert_eq!(tally.memory_by_label_name(1)[0], line("trace", 90 * 14 + 10 * 13 + 100));
}

#[test]
fn label_names_without_end_are_refused() {
    let mut tally = Tally::with_room(4_000);
    let result = (0..100).try_for_each(|i| tally.add(&labels(&[(&format!("name{i}"), "x")])));
    assert!(matches!(result, Err(ReaderError::TooMuch(_))), "{result:?}");
}
