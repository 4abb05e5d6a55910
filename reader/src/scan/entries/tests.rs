//! Passes against everything at once.

#![expect(clippy::unwrap_used, reason = "tests")]

use emberkeep_model::{MetricType, SeenMetadata};
use proptest::prelude::*;

use super::*;

fn entry(family: u8, series: Option<u8>, help: u8, times: (i64, i64)) -> MetadataEntry {
    let family = format!("f{family}");
    let labels = |job: u8| Labels::from_pairs([("__name__", family.as_str()), ("job", &job.to_string())]).unwrap();
    MetadataEntry {
        series: series.map(labels),
        seen: SeenMetadata {
            metadata: Metadata {
                metric_type: MetricType::Gauge,
                unit: String::new(),
                help: "h".repeat(usize::from(help) * 50),
            },
            first_seen: times.0,
            last_seen: times.1,
        },
        family,
    }
}

fn all_passes(entries: &[MetadataEntry], bytes_max: usize) -> Vec<BTreeMap<Said, Seen>> {
    let (mut passes, mut next) = (Vec::new(), Some(Pass::first(bytes_max)));
    while let Some(mut pass) = next {
        for entry in entries {
            pass.add(entry);
            assert!(pass.kept.len() == 1 || pass.bytes <= bytes_max);
        }
        let (kept, then) = pass.end();
        passes.push(kept);
        next = then;
    }
    passes
}

proptest! {
    #[test]
    fn passes_together_give_everything_once_and_in_order(
        entries in prop::collection::vec(
            (0..4_u8, prop::option::of(0..4_u8), 0..3_u8, (-9..9_i64, -9..9_i64))
                .prop_map(|(family, series, help, times)| entry(family, series, help, times)),
            0..60,
        ),
        bytes_max in 0..3_000_usize,
    ) {
        let expected = all_passes(&entries, usize::MAX).remove(0);
        for (said, seen) in &expected {
            let of = || entries.iter().filter(|entry| {
                (&entry.family, &entry.series, &entry.seen.metadata) == (&said.family, &said.series, &said.metadata)
            });
            prop_assert_eq!(Some(seen.first), of().map(|entry| entry.seen.first_seen).min());
            prop_assert_eq!(Some(seen.last), of().map(|entry| entry.seen.last_seen).max());
        }
        let found: Vec<_> = all_passes(&entries, bytes_max).into_iter().flatten().collect();
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_small_bound_means_more_passes() {
    let entries: Vec<_> = (0..4).rev().map(|job| entry(1, Some(job), 1, (0, 0))).collect();
    assert_eq!(all_passes(&entries, 600).len(), 2);
    assert_eq!(all_passes(&entries, 0).len(), 4);
    assert_eq!(all_passes(&entries, 1 << 20).len(), 1);
}
