//! The walk that receivers use, over entries that are read once, against the decoder that reads everything: they must take the same bodies
//! and read the same out of them, whatever the walk leaves unread until somebody asks.

use emberkeep_proto::{SampleColumns, WireError, write_v1, write_v2};

use crate::row;

/// Version 1.0, both ways.
pub(crate) fn agree_v1(body: &[u8]) {
    let walked = walk_v1(body);
    let Ok(request) = write_v1::Request::parse(body) else {
        assert!(walked.is_err(), "only the walk takes {body:x?}");
        return;
    };
    let (series, metadata) = walked.expect("the walk refuses what is well formed");
    assert_eq!(metadata, request.metadata().collect::<Vec<_>>());
    let read = |series: &write_v1::Series<'_>| -> Entry {
        (
            series.labels().map(owned).collect(),
            series.samples().map(row).collect(),
        )
    };
    assert_eq!(series, request.series().map(|series| read(&series)).collect::<Vec<_>>());
}

/// Labels and samples.
type Entry = (Vec<(Vec<u8>, Vec<u8>)>, Vec<super::Row>);

fn owned((name, value): (&[u8], &[u8])) -> (Vec<u8>, Vec<u8>) {
    (name.to_vec(), value.to_vec())
}

fn walk_v1(body: &[u8]) -> Result<(Vec<Entry>, Vec<write_v1::Metadata<'_>>), WireError> {
    let mut samples = SampleColumns::default();
    let (mut series, mut families) = (Vec::new(), Vec::new());
    let mut entries = write_v1::Entries::new(body);
    // Now and then a right guess, which must change nothing.
    let mut expected: &[u8] = &[];
    loop {
        let from = samples.len();
        let Some(entry) = entries.next_entry(expected, &mut samples)? else {
            break;
        };
        if let write_v1::Entry::Plain { region } = entry {
            assert!(expected.is_empty() || region != expected || samples.len() == from);
            expected = region;
        }
        match entry {
            write_v1::Entry::Plain { region } | write_v1::Entry::Expected { region } => {
                let labels = write_v1::check_labels(region)?.map(owned).collect();
                series.push((labels, (from..samples.len()).map(|i| row(samples.sample(i))).collect()));
            }
            write_v1::Entry::Series(other) => {
                assert_eq!(
                    samples.len(),
                    from,
                    "the samples of an entry that is not plain stay where they are"
                );
                series.push((other.labels().map(owned).collect(), other.samples().map(row).collect()));
            }
            write_v1::Entry::Metadata(metadata) => families.push(metadata),
        }
    }
    Ok((series, families))
}

/// Version 2.0, both ways.
pub(crate) fn agree_v2(body: &[u8]) {
    let symbols = write_v2::symbols(body);
    let walked = symbols
        .as_ref()
        .map_err(ToString::to_string)
        .and_then(|symbols| walk_v2(body, symbols).map_err(|error| error.to_string()));
    let Ok(request) = write_v2::Request::parse(body) else {
        assert!(walked.is_err(), "only the walk takes {body:x?}");
        return;
    };
    let read = |series: write_v2::Series<'_, '_>| -> Entry2 {
        let labels = series.labels().map(|label| label.map(owned)).collect();
        (
            labels,
            series.samples().map(row).collect(),
            series.metadata().map(|m| format!("{m:?}")),
        )
    };
    assert_eq!(walked, Ok(request.series().map(read).collect()), "{body:x?}");
}

/// Labels, samples and metadata.
type Entry2 = (
    Result<Vec<(Vec<u8>, Vec<u8>)>, write_v2::SymbolError>,
    Vec<super::Row>,
    Option<String>,
);

fn walk_v2(body: &[u8], symbols: &write_v2::Symbols<'_>) -> Result<Vec<Entry2>, WireError> {
    let mut samples = SampleColumns::default();
    let mut series = Vec::new();
    let mut entries = write_v2::Entries::new(body, symbols);
    loop {
        let from = samples.len();
        let Some(entry) = entries.next_entry(&mut samples)? else {
            break;
        };
        match entry {
            write_v2::Entry::Plain { refs, metadata } => {
                let labels = symbols.packed_labels(refs)?.map(|label| label.map(owned)).collect();
                let rows = (from..samples.len()).map(|i| row(samples.sample(i))).collect();
                series.push((labels, rows, metadata.map(|m| format!("{:?}", m.resolve(symbols)))));
            }
            write_v2::Entry::Series(other) => {
                assert_eq!(
                    samples.len(),
                    from,
                    "the samples of an entry that is not plain stay where they are"
                );
                let labels = other.labels().map(|label| label.map(owned)).collect();
                series.push((
                    labels,
                    other.samples().map(row).collect(),
                    other.metadata().map(|m| format!("{m:?}")),
                ));
            }
        }
    }
    Ok(series)
}
