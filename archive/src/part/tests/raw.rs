//! Pages that are taken apart here give what the parquet crate gives of them, and those of our own writer are all taken apart here.

use std::ops::Range;
use std::sync::Arc;

use emberkeep_model::{Labels, Run, Sample, TenantId, TimeRange};
use proptest::prelude::*;

use super::super::needles::Needles;
use super::super::part_file::{GroupRows, PartFile};
use super::super::raw_pages;
use super::super::row_kind::RowKind;
use super::super::row_window::RowWindow;
use super::super::series_slice::{Dictionaries, Digesting, Labelling, SeriesLeaves, SeriesSlice, Sought};
use super::super::{PartReader, ScanKinds, ScanQuery, schema, series_pages};
use super::{Content, opened, run_async, small};

/// Series of two tenants whose values come in every kind: integers, decimals, all digits, none at all.
pub(super) fn content(seed: u64) -> Content {
    let mut random = seed | 1;
    let mut next = move |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut content = Content::new();
    for number in 0..900_u64 {
        let tenant = TenantId::parse(if number % 7 == 0 { "a" } else { "b" }).unwrap();
        let (name, job, pod) = (
            format!("m{}", number / 50),
            format!("j{}", number % 3),
            format!("é{number}"),
        );
        let mut pairs = vec![("__name__", name.as_str()), ("pod", pod.as_str())];
        if next(2) == 0 {
            pairs.push(("job", job.as_str()));
        }
        let kind = next(5);
        let mut run = Run::default();
        for i in 0..1 + next(60) {
            let value = match kind {
                0 => next(1 << 40) as f64,
                1 => next(10_000) as f64 / 100.0,
                2 => next(1 << 50) as f64 / 7.0,
                _ if next(9) == 0 => f64::NAN,
                _ => -(next(1000) as f64),
            };
            let start_timestamp = if kind == 4 { i64::try_from(next(3)).unwrap() } else { 0 };
            run.push(Sample {
                timestamp: i64::try_from(1_000 * i + next(900)).unwrap(),
                value,
                start_timestamp,
            });
        }
        content.insert((tenant, Labels::from_pairs(pairs).unwrap()), run);
    }
    content
}

/// Values that no dictionary has room for, so that pages are PLAIN from some on.
pub(super) fn long_labels(content: Content) -> Content {
    let longer = |((tenant, labels), run): ((TenantId, Labels), Run)| {
        let long = labels.value_of("pod").repeat(60);
        let pairs = labels.iter().map(|(name, value)| match name {
            "pod" => (name, long.as_str()),
            _ => (name, value),
        });
        ((tenant, Labels::from_pairs(pairs).unwrap()), run)
    };
    content.into_iter().map(longer).collect()
}

fn group_rows(file: &PartFile, row_group: usize, rows: Vec<Range<usize>>) -> GroupRows {
    let row_count = usize::try_from(file.metadata().row_group(row_group).num_rows()).unwrap();
    GroupRows {
        row_group,
        row_count,
        rows,
    }
}

async fn check_series(part: &PartReader, tenant: &str, labelling: Labelling) {
    let (file, tenant) = (&part.files.series, TenantId::parse(tenant).unwrap());
    let leaves = SeriesLeaves::new(file, Digesting::Unasked).unwrap();
    let (mut slice, mut other, mut dictionaries) =
        (SeriesSlice::default(), SeriesSlice::default(), Dictionaries::default());
    let names = ["tenant", "labels", "min_time", "max_time"];
    let names = names
        .into_iter()
        .chain([schema::SAMPLES_ROW_START, schema::SAMPLES_ROW_COUNT]);
    let names = names.chain([schema::HISTOGRAMS_ROW_START, schema::HISTOGRAMS_ROW_COUNT]);
    let names: Vec<&str> = names
        .chain([schema::EXEMPLARS_ROW_START, schema::EXEMPLARS_ROW_COUNT])
        .collect();
    for group in 0..file.metadata().num_row_groups() {
        let all = group_rows(file, group, vec![]).row_count;
        for (page, _) in series_pages::pages(file, group, file.leaf("min_time").unwrap(), all).unwrap() {
            let pages = raw_pages::fetch(file, group, std::slice::from_ref(&page), &leaves.all())
                .await
                .unwrap()
                .unwrap();
            let (mut needles, filters) = (Needles::default(), None);
            let mut sought = Sought {
                tenant: &tenant,
                labelling,
                needles: &mut needles,
                filters,
            };
            slice
                .read_page((file, group), &page, &leaves, &pages, &mut dictionaries, &mut sought)
                .expect("what we write is read here");
            let rows = group_rows(file, group, vec![page.clone()]);
            let mut reader = file.read(&rows, &file.projection(&names), 4096).await.unwrap();
            let batch = file.next_batch(&mut reader).unwrap().unwrap();
            other.read_batch(file, &batch, &tenant).unwrap();
            assert_eq!(slice.rows(), page.len());
            let ours = |slice: &SeriesSlice| slice.of_tenant().iter().cloned().flatten().collect::<Vec<_>>();
            assert_eq!(ours(&slice), ours(&other));
            for row in ours(&slice) {
                let (mut a, mut b) = (Vec::new(), Vec::new());
                let expected = other.labels(row, &dictionaries, &mut a);
                assert_eq!(slice.labels(row, &dictionaries, &mut b), expected);
                assert_eq!(slice.show_labels(row, &dictionaries), expected);
                assert_eq!(slice.shown_labels(row), Some(expected));
                assert_eq!(slice.times(row), other.times(row));
                for kind in 0..3 {
                    assert_eq!(slice.rows_of(kind, row), other.rows_of(kind, row));
                }
            }
        }
    }
}

/// Bits, because a NaN is unequal to itself.
fn rows_of(run: &Run) -> Vec<(i64, u64, i64)> {
    run.iter()
        .map(|row| (row.timestamp, row.value.to_bits(), row.start_timestamp))
        .collect()
}

async fn check_samples(part: &PartReader, cuts: &[u16], range: TimeRange) {
    let of = part.files.samples.as_ref().unwrap();
    let (file, mut start) = (&of.file, 0);
    for number in 0..file.metadata().num_row_groups() {
        let (_, group) = of.groups.group_at(start).unwrap();
        // Every second stretch between the cuts.
        let mut cuts: Vec<usize> = cuts.iter().map(|&cut| usize::from(cut) % (group.rows + 1)).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut rows: Vec<Range<usize>> = cuts.chunks_exact(2).map(|pair| pair[0]..pair[1]).collect();
        if rows.is_empty() {
            rows.push(0..group.rows);
        }
        let global: Vec<Range<u64>> = rows
            .iter()
            .map(|rows| start + rows.start as u64..start + rows.end as u64)
            .collect();
        for mut window in [RowWindow::<Run>::new(512), RowWindow::of_all_rows(512)] {
            let mut read = Run::default();
            for (number, rows) in global.iter().enumerate() {
                let upcoming = global[number + 1..].iter().cloned();
                window
                    .read(of, rows.clone(), upcoming, TimeRange::ALL, &mut read)
                    .await
                    .unwrap();
            }
            assert!(window.is_row_by_row(), "what we write is read here");
            let mut names = vec![schema::TIMESTAMP, schema::UNSCALED, schema::SCALE, schema::RAW_VALUE];
            names.push(schema::START_TIMESTAMP);
            let rows = group_rows(file, number, rows.clone());
            let mut reader = file.read(&rows, &file.projection(&names), 4096).await.unwrap();
            let mut expected = Run::default();
            while let Some(batch) = file.next_batch(&mut reader).unwrap() {
                expected.decode(file, &batch, &|row| row as u64).unwrap();
            }
            assert_eq!(rows_of(&read), rows_of(&expected));
        }
        start += group.rows as u64;
    }
    // A time range leaves out what a scan of everything leaves out afterwards.
    for tenant in ["a", "b", "c"] {
        let query = ScanQuery {
            tenant: TenantId::parse(tenant).unwrap(),
            range: TimeRange::ALL,
            matchers: Arc::from([]),
            kinds: ScanKinds::Samples,
        };
        let (mut some, mut all) = (part.scan(query.clone(), 512), part.scan(query, 512));
        while let Some(rows) = all.next().await.unwrap() {
            assert_eq!(some.next().await.unwrap().as_ref(), Some(&rows));
            let (mut inside, mut whole) = (Run::default(), Run::default());
            some.samples(rows.samples.clone(), range, &mut inside).await.unwrap();
            all.samples(rows.samples, TimeRange::ALL, &mut whole).await.unwrap();
            whole.retain_range(range);
            assert_eq!(rows_of(&inside), rows_of(&whole));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn both_readers_give_the_same(
        seed: u64,
        cuts in prop::collection::vec(any::<u16>(), 0..12),
        is_long: bool,
        (start, length) in (0_i64..50_000, 0_i64..50_000),
    ) {
        let content = if is_long { long_labels(content(seed)) } else { content(seed) };
        run_async(async {
            let part = opened(&content, small()).await;
            for tenant in ["a", "b", "c"] {
                check_series(&part, tenant, Labelling::Eager).await;
                check_series(&part, tenant, Labelling::Lazy).await;
            }
            check_samples(&part, &cuts, TimeRange { start, end: start + length }).await;
        });
    }
}
