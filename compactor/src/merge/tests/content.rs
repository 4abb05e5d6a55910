//! What parts hold, in maps: the naive model of a merge.

use std::collections::BTreeMap;
use std::io::Write;

use emberkeep_archive::PartWriter;
use emberkeep_model::{
    Counts, Exemplar, Histogram, Labels, Metadata, MetricType, STALE_MARKER_BITS, Sample, SeenMetadata, SeriesRuns,
    Span, TenantId, TimeRange,
};
use proptest::prelude::*;

use super::HOUR_MS;

/// Whose, of which family, of which of its series.
type Key = (TenantId, String, Option<Labels>);

/// Rows and metadata.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    pub(super) series: BTreeMap<(TenantId, Labels), SeriesRuns>,
    /// From when to when a variant was seen.
    pub(super) metadata: BTreeMap<(Key, Metadata), (i64, i64)>,
}

/// By bits: a NaN is unequal to itself.
impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        let row = |sample: Sample| (sample.timestamp, sample.value.to_bits(), sample.start_timestamp);
        let bits = |runs: &SeriesRuns| {
            let samples: Vec<_> = runs.samples.iter().map(row).collect();
            (samples, runs.histograms.clone(), runs.exemplars.clone())
        };
        let all = |content: &Self| -> Vec<_> {
            let series = content.series.iter();
            series.map(|(key, runs)| (key.clone(), bits(runs))).collect()
        };
        all(self) == all(other) && self.metadata == other.metadata
    }
}

impl Content {
    pub(super) fn add_runs(&mut self, tenant: &TenantId, labels: &Labels, runs: &SeriesRuns) {
        let key = (tenant.clone(), labels.clone());
        self.series.entry(key).or_default().append(runs);
    }

    pub(super) fn add_metadata(
        &mut self,
        tenant: &TenantId,
        family: &str,
        series: Option<&Labels>,
        seen: &SeenMetadata,
    ) {
        let key = (tenant.clone(), family.to_owned(), series.cloned());
        let times = self.metadata.entry((key, seen.metadata.clone()));
        let times = times.or_insert((seen.first_seen, seen.last_seen));
        *times = (times.0.min(seen.first_seen), times.1.max(seen.last_seen));
    }

    pub(super) fn join(&mut self, other: &Self) {
        for ((tenant, labels), runs) in &other.series {
            self.add_runs(tenant, labels, runs);
        }
        for (((tenant, family, series), metadata), &(first_seen, last_seen)) in &other.metadata {
            let seen = SeenMetadata {
                metadata: metadata.clone(),
                first_seen,
                last_seen,
            };
            self.add_metadata(tenant, family, series.as_ref(), &seen);
        }
    }

    pub(super) fn settle(&mut self) {
        for runs in self.series.values_mut() {
            runs.settle();
        }
    }

    /// What of it lies in a window. Variants must not have been joined with others of other windows before.
    pub(super) fn inside(&self, tenant: &TenantId, range: TimeRange) -> Self {
        let mut inside = Self::default();
        for ((of, labels), runs) in &self.series {
            let mut runs = runs.clone();
            runs.retain_range(range);
            if of == tenant && !runs.is_empty() {
                inside.add_runs(tenant, labels, &runs);
            }
        }
        let metadata = self.metadata.iter();
        let here = metadata.filter(|(((of, ..), _), times)| of == tenant && range.contains(times.0));
        inside.metadata = here.map(|(key, times)| (key.clone(), *times)).collect();
        let with_metadata = inside
            .metadata
            .keys()
            .filter_map(|((of, _, series), _)| Some((of.clone(), series.clone()?)));
        for key in with_metadata.collect::<Vec<_>>() {
            inside.series.entry(key).or_default();
        }
        inside
    }

    pub(super) fn rows(&self) -> u64 {
        self.series.values().map(|runs| runs.len() as u64).sum()
    }

    /// Writes settled rows and all metadata.
    pub(super) fn write<W: Write + Send>(&self, writer: &mut PartWriter<'_, W>) {
        let mut families = self
            .metadata
            .iter()
            .filter(|(((_, _, series), _), _)| series.is_none())
            .peekable();
        let seen = |metadata: &Metadata, times: &(i64, i64)| SeenMetadata {
            metadata: metadata.clone(),
            first_seen: times.0,
            last_seen: times.1,
        };
        for ((tenant, labels), runs) in &self.series {
            while let Some((((of, family, _), metadata), times)) = families.next_if(|(((of, ..), _), _)| of <= tenant) {
                writer.push_family(of, family, &[seen(metadata, times)]).unwrap();
            }
            let own = self
                .metadata
                .iter()
                .filter(|(((of, _, series), _), _)| of == tenant && series.as_ref() == Some(labels));
            let own: Vec<_> = own.map(|((_, metadata), times)| seen(metadata, times)).collect();
            if !runs.is_empty() || !own.is_empty() {
                writer.push(tenant, labels, runs, &own).unwrap();
            }
        }
        for (((of, family, _), metadata), times) in families {
            writer.push_family(of, family, &[seen(metadata, times)]).unwrap();
        }
    }
}

pub(super) fn labels(name: &str, job: usize) -> Labels {
    Labels::from_pairs([("__name__", name), ("job", format!("job-{job}").as_str())]).unwrap()
}

/// Times that meet often, over the first twelve hours of 1970.
fn time() -> impl Strategy<Value = i64> {
    prop_oneof![
        (0_i64..72).prop_map(|n| n * HOUR_MS / 6),
        0..12 * HOUR_MS,
        prop::sample::select(vec![0, 2 * HOUR_MS - 1, 2 * HOUR_MS, 12 * HOUR_MS - 1])
    ]
}

fn sample() -> impl Strategy<Value = Sample> {
    let bits = prop::sample::select(vec![
        STALE_MARKER_BITS,
        f64::NAN.to_bits(),
        (-0.0_f64).to_bits(),
        0.1_f64.to_bits(),
        1.5_f64.to_bits(),
        (0.1_f64 + 0.2).to_bits(),
        0xfff8_dead_beef_0001,
    ]);
    (time(), bits, prop::sample::select(vec![0, 0, 7, i64::MIN])).prop_map(|(timestamp, bits, start_timestamp)| {
        Sample {
            timestamp,
            value: f64::from_bits(bits),
            start_timestamp,
        }
    })
}

fn histogram(count: u64) -> Histogram {
    if count == 0 {
        return Histogram {
            sum: f64::from_bits(STALE_MARKER_BITS),
            ..Histogram::default()
        };
    }
    Histogram {
        counts: Counts::Integer {
            count,
            zero_count: 0,
            positive: vec![i64::try_from(count).unwrap()],
            negative: vec![],
        },
        sum: count as f64,
        positive_spans: vec![Span { offset: 1, length: 1 }],
        ..Histogram::default()
    }
}

fn runs() -> impl Strategy<Value = SeriesRuns> {
    let samples = prop::collection::vec(sample(), 0..8);
    let histograms = prop_oneof![2 => Just(vec![]), 1 => prop::collection::vec((time(), 0_u64..3, prop::sample::select(vec![0, 5])), 0..4)];
    let exemplar = (time(), prop::sample::select(vec![1.0, -0.0]), 0_usize..2);
    let exemplars = prop_oneof![2 => Just(vec![]), 1 => prop::collection::vec(exemplar, 0..4)];
    (samples, histograms, exemplars).prop_map(|(samples, histograms, exemplars)| {
        let mut runs = SeriesRuns {
            samples: samples.into_iter().collect(),
            ..SeriesRuns::default()
        };
        for (timestamp, count, start) in histograms {
            runs.histograms.push(timestamp, start, &histogram(count));
        }
        for (timestamp, value, label) in exemplars {
            let labels = Labels::from_pairs([("trace_id", format!("{label}").as_str())]).unwrap();
            runs.exemplars.push(Exemplar {
                timestamp,
                value,
                labels,
            });
        }
        runs.settle();
        runs
    })
}

fn seen() -> impl Strategy<Value = SeenMetadata> {
    (0_usize..2, time(), 0..HOUR_MS).prop_map(|(help, first_seen, more)| SeenMetadata {
        metadata: Metadata {
            metric_type: MetricType::Counter,
            unit: String::new(),
            help: format!("help {help}"),
        },
        first_seen,
        last_seen: first_seen + more,
    })
}

/// Rows and metadata of two tenants that meet those of other parts often.
pub(super) fn content() -> impl Strategy<Value = Content> {
    let tenant = || prop::sample::select(vec!["anonymous", "team(2)"]).prop_map(|id| TenantId::parse(id).unwrap());
    let name = || prop::sample::select(vec!["up", "rss_bytes"]);
    let series = prop::collection::vec(
        (
            tenant(),
            name(),
            0_usize..3,
            runs(),
            prop::collection::vec(seen(), 0..2),
        ),
        1..8,
    );
    let families = prop::collection::vec((tenant(), name(), seen()), 0..4);
    (series, families).prop_map(|(series, families)| {
        let mut content = Content::default();
        for (tenant, name, job, runs, seen) in series {
            let labels = labels(name, job);
            if !runs.is_empty() || !seen.is_empty() {
                content.add_runs(&tenant, &labels, &runs);
            }
            for seen in seen {
                content.add_metadata(&tenant, name, Some(&labels), &seen);
            }
        }
        for (tenant, family, seen) in families {
            content.add_metadata(&tenant, family, None, &seen);
        }
        content.settle();
        content
    })
}
