//! What is packed comes back bit by bit, and takes little room.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::exemplar::tests::few_exemplars;
use crate::histogram_run::tests::few_bodies;
use crate::{STALE_MARKER_BITS, Sample};

fn any_labels() -> impl Strategy<Value = Labels> {
    // Long ones, and more of them than a byte has bits.
    let value = prop_oneof![4 => "[ab\u{e4}]{1,3}", 1 => "[ab]{120,140}"];
    btree_map("[a-d]{1,2}", value, 0..12).prop_map(|pairs| {
        let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Labels::from_pairs(pairs).expect("names differ and are not empty")
    })
}

fn any_time() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 1_700_000_000_000_i64..1_700_000_100_000, 1 => any::<i64>()]
}

fn any_runs() -> impl Strategy<Value = SeriesRuns> {
    let bits = prop_oneof![
        any::<u64>(),
        (0_u64..99).prop_map(|n| (n as f64).to_bits()),
        Just(STALE_MARKER_BITS)
    ];
    let floats = vec((any_time(), bits, prop_oneof![3 => Just(0), 1 => any_time()]), 0..8);
    let histograms = vec((any_time(), any_time(), select(few_bodies())), 0..4);
    (floats, histograms, vec(few_exemplars(), 0..4)).prop_map(|(floats, histograms, exemplars)| {
        let float = |(timestamp, bits, start_timestamp)| Sample {
            timestamp,
            value: f64::from_bits(bits),
            start_timestamp,
        };
        let mut runs = SeriesRuns {
            samples: floats.into_iter().map(float).collect(),
            exemplars: exemplars.into_iter().collect(),
            ..SeriesRuns::default()
        };
        for (timestamp, start_timestamp, canonical) in &histograms {
            runs.histograms.push_row(HistogramRow {
                timestamp: *timestamp,
                start_timestamp: *start_timestamp,
                canonical,
            });
        }
        runs
    })
}

/// Everything of a series, with the bits of its values.
fn shown(series: &HeadSeries) -> (Labels, Vec<u64>, SeriesRuns) {
    let HeadSeries { labels, runs } = series.clone();
    let bits = runs.samples.values.iter().map(|value| value.to_bits()).collect();
    let mut rest = runs;
    rest.samples.values.clear();
    (labels, bits, rest)
}

proptest! {
    #[test]
    fn what_was_packed_comes_back(series in vec((any_labels(), any_runs()), 0..12), copies in 1_usize..3) {
        let series: Vec<HeadSeries> = series.into_iter().map(|(labels, runs)| HeadSeries { labels, runs }).collect();
        let all = || series.iter().cycle().take(series.len() * copies);
        let packed: PackedSeries = all().cloned().collect();
        prop_assert_eq!(packed.len(), all().count());
        let found: Vec<_> = packed.iter().map(|one| shown(&one)).collect();
        prop_assert_eq!(found, all().map(shown).collect::<Vec<_>>());
        // Two readers do not disturb each other.
        let (mut one, mut other) = (packed.cursor(), packed.cursor());
        while let Some(series) = one.next(&packed) {
            prop_assert_eq!(shown(&series), shown(&other.next(&packed).expect("it has as many")));
        }
        prop_assert!(other.next(&packed).is_none());
    }
}

fn usual(series: usize, samples: i64) -> impl Iterator<Item = HeadSeries> {
    (0..series).map(move |i| {
        let (pod, cpu) = (format!("pod-{:08x}", i / 16), (i % 16).to_string());
        let pairs = [
            ("__name__", "node_cpu_seconds_total"),
            ("cluster", "a-cluster-with-a-long-name"),
            ("cpu", cpu.as_str()),
            ("job", "integrations/node_exporter"),
            ("pod", pod.as_str()),
        ];
        let sample = |n| Sample {
            timestamp: 1_700_000_000_000 + 15_000 * n,
            value: (i as i64 * 1000 + n * 15) as f64,
            start_timestamp: 0,
        };
        HeadSeries {
            labels: Labels::from_pairs(pairs).expect("they are sound"),
            runs: SeriesRuns {
                samples: (0..samples).map(sample).collect(),
                ..SeriesRuns::default()
            },
        }
    })
}

#[test]
fn many_blocks_are_read_in_order_and_are_small() {
    let packed: PackedSeries = usual(40_000, 4).collect();
    assert!(packed.blocks.len() > 4);
    // As a list: 150 bytes of labels and 64 of samples, and several allocations.
    let each = packed.heap_bytes() / packed.len();
    assert!(each < 50, "{each} bytes for a series of 4 samples");
    let labels = |series: HeadSeries| series.labels;
    assert!(packed.iter().map(labels).eq(usual(40_000, 4).map(labels)));
    // A series longer than a block.
    let packed: PackedSeries = usual(3, 200_000).collect();
    let each = packed.heap_bytes() as f64 / 600_000.0;
    assert!(each < 12.0, "{each} bytes for a sample");
    assert!(packed.iter().map(|series| series.runs.samples.len()).eq([200_000; 3]));
}
