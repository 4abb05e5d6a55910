//! What a real Prometheus sent, over both protocols.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use emberkeep_proto::histogram::Histogram;
use emberkeep_proto::{snappy, write_v1, write_v2};

use crate::histogram::Facts;
use crate::{row, v1, v2};

/// The bodies of a corpus file, decompressed. The corpus lies beside the repository, not in it.
fn bodies(file: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/corpus")
        .join(file);
    let bytes = std::fs::read(&path)
        .unwrap_or_else(|error| panic!("the recorded corpus must be at {}: {error}", path.display()));
    let mut rest = bytes.as_slice();
    let mut bodies = Vec::new();
    while let Some((header, after)) = rest.split_first_chunk::<8>() {
        let len = u64::from_le_bytes(*header) as usize;
        let (body, after) = after.split_at(len);
        let mut out = Vec::new();
        snappy::decompress_capped(body, 32 << 20, &mut out).expect("a body that Prometheus sent");
        bodies.push(out);
        rest = after;
    }
    assert!(rest.is_empty(), "the corpus ends with a whole record");
    bodies
}

/// Numbers for label sets, so that a quarter of a million rows compare quickly.
#[derive(Default)]
struct SeriesNumbers(HashMap<Vec<u8>, usize>);

impl SeriesNumbers {
    fn of<'a>(&mut self, labels: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> usize {
        let mut bytes = Vec::new();
        for (name, value) in labels {
            // 0xff is in no UTF-8 text.
            bytes.extend([name, b"\xff", value, b"\xff"].concat());
        }
        let next = self.0.len();
        *self.0.entry(bytes).or_insert(next)
    }
}

/// What requests have beside float samples. There are no exemplars in the corpus.
#[derive(Default)]
struct Others<'a> {
    /// Series, and all facts but the start timestamp, which one of the protocols lacks.
    histograms: Vec<(usize, String)>,
    /// Number of histograms with a start timestamp.
    starts: usize,
    /// Type, help and unit: of families in one protocol, of series in the other.
    metadata: BTreeSet<(i32, &'a [u8], &'a [u8])>,
}

impl<'a> Others<'a> {
    fn add_histograms(&mut self, series: usize, histograms: impl Iterator<Item = Histogram<'a>>) {
        for mut histogram in histograms {
            self.starts += usize::from(histogram.start_timestamp != 0);
            histogram.start_timestamp = 0;
            self.histograms.push((series, format!("{:?}", Facts::from(histogram))));
        }
    }
}

#[test]
fn both_decoders_read_the_same_as_prost_and_as_each_other() {
    let (bodies_v1, bodies_v2) = (bodies("prometheus-rw1.bin"), bodies("prometheus-rw2.bin"));
    assert_eq!((bodies_v1.len(), bodies_v2.len()), (264, 244));
    let mut numbers = SeriesNumbers::default();

    let (mut rows_v1, mut entries, mut metadata) = (Vec::new(), 0, 0);
    let mut others_v1 = Others::default();
    for body in &bodies_v1 {
        assert!(v1::agree(body));
        let request = write_v1::Request::parse(body).expect("it was taken above");
        metadata += request.n_metadata();
        for of_family in request.metadata() {
            assert!(!of_family.family.is_empty());
            others_v1
                .metadata
                .insert((of_family.metric_type, of_family.help, of_family.unit));
        }
        for series in request.series() {
            entries += 1;
            let number = numbers.of(series.labels());
            others_v1.add_histograms(number, series.histograms());
            rows_v1.extend(series.samples().map(row).map(|(time, bits, _)| (number, time, bits)));
        }
    }
    assert_eq!(
        (entries, rows_v1.len(), others_v1.histograms.len(), metadata),
        (278_239, 273_588, 4_651, 10_820)
    );

    let (mut rows_v2, mut entries, mut starts) = (Vec::new(), 0, 0);
    let mut others_v2 = Others::default();
    for body in &bodies_v2 {
        assert!(v2::agree(body));
        let request = write_v2::Request::parse(body).expect("it was taken above");
        for series in request.series() {
            let of_series = series.metadata().expect("Prometheus writes it always, perhaps empty");
            let (help, unit) = (of_series.help.expect("in range"), of_series.unit.expect("in range"));
            others_v2.metadata.insert((of_series.metric_type, help, unit));
            entries += 1;
            let number = numbers.of(series.labels().map(|label| label.expect("references are in range")));
            others_v2.add_histograms(number, series.histograms());
            for (time, bits, start) in series.samples().map(row) {
                starts += usize::from(start != 0);
                rows_v2.push((number, time, bits));
            }
        }
    }
    assert_eq!(
        (entries, rows_v2.len(), others_v2.histograms.len(), starts),
        (278_239, 273_588, 4_651, 91_085)
    );

    rows_v1.sort_unstable();
    rows_v2.sort_unstable();
    assert!(rows_v1 == rows_v2, "the two files hold the same scrapes");
    others_v1.histograms.sort_unstable();
    others_v2.histograms.sort_unstable();
    assert!(others_v1.histograms == others_v2.histograms, "and the same histograms");
    assert_eq!((others_v1.starts, others_v2.starts), (0, 4_651));
    assert_eq!(others_v1.metadata.len(), 541);
    // Its sender of 2.0 says of every series that it knows nothing.
    assert_eq!(others_v2.metadata, BTreeSet::from([(0, &b""[..], &b""[..])]));
}
