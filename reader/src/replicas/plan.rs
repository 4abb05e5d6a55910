//! Which scans give the series of a query in the order of their final labels.
//!
//! Taking a label off changes the order of series: `{a="1", replica="x"}` stands behind `{a="1", b="2", replica="x"}`, and
//! before it without the replica. Sorting all selected label sets would need memory for all of them. But among series of *one*
//! replica with *one* number of labels the order stays: where two of them first differ, the smaller has a label that is not
//! taken off (the other way round the replica label would stand at different places of equal prefixes), so the difference
//! stays, unless one ends there, and then it has fewer labels. So each replica is one scan, or, where its series do get out of
//! order, one for each number of labels, and a merge of these scans is in order. One pass over the series tables finds out
//! which; it keeps one label set for each replica.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use emberkeep_model::Labels;

use super::ReplicaLabels;
use super::replica_labels::Replica;
use crate::ReaderError;
use crate::scan::{Opened, Scan, SomeSeries, check_part_limit};

/// Most scans that are merged. Each reads the series tables again.
const STREAMS_MAX: usize = 64;

/// Series whose final labels rise: those of one replica, or those of them with some number of labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stream {
    names: ReplicaLabels,
    replica: Replica,
    labels: Option<usize>,
}

/// What was seen of a replica.
#[derive(Debug)]
struct Seen {
    /// The greatest final labels.
    newest: Labels,
    is_in_order: bool,
    label_counts: BTreeSet<usize>,
}

/// The scans that together give every series of the query once, in the order of replicas.
///
/// # Errors
/// When the sources cannot be read, or there are too many replicas.
pub(super) async fn streams(
    opened: &Opened,
    names: &ReplicaLabels,
    part_limit: usize,
) -> Result<Vec<Stream>, ReaderError> {
    let mut replicas: BTreeMap<Replica, Seen> = BTreeMap::new();
    let mut scan = opened.scan().await?;
    while let Some(labels) = scan.next_labels().await? {
        note(&mut replicas, names, &labels);
        if replicas.len() > STREAMS_MAX {
            return Err(too_many(names));
        }
    }
    let streams: Vec<Stream> = replicas
        .into_iter()
        .flat_map(|(replica, seen)| streams_of(names, &replica, &seen))
        .collect();
    if streams.len() > STREAMS_MAX {
        return Err(too_many(names));
    }
    check_part_limit(opened.parts().saturating_mul(streams.len()), part_limit)?;
    Ok(streams)
}

fn note(replicas: &mut BTreeMap<Replica, Seen>, names: &ReplicaLabels, labels: &Labels) {
    let (replica, last) = (names.replica(labels), names.without(labels));
    let seen = replicas.entry(replica).or_insert_with(|| Seen {
        newest: last.clone(),
        is_in_order: true,
        label_counts: BTreeSet::new(),
    });
    seen.label_counts.insert(last.len());
    if last < seen.newest {
        seen.is_in_order = false;
    } else {
        seen.newest = last;
    }
}

fn streams_of(names: &ReplicaLabels, replica: &Replica, seen: &Seen) -> Vec<Stream> {
    let stream = |labels| Stream {
        names: names.clone(),
        replica: replica.clone(),
        labels,
    };
    if seen.is_in_order {
        return vec![stream(None)];
    }
    seen.label_counts.iter().map(|&count| stream(Some(count))).collect()
}

fn too_many(names: &ReplicaLabels) -> ReaderError {
    ReaderError::TooMuch(format!(
        "the selected series have more than {STREAMS_MAX} combinations of replica labels (`{}`) and numbers of labels: narrow the matchers, \
         or read without merging replicas (`dedup=false`)",
        names.shown()
    ))
}

impl Stream {
    /// Begins to read the series. `cursors` is how many parts are read at the same time by all scans together.
    ///
    /// # Errors
    /// When a source cannot be read.
    pub(super) async fn open(&self, opened: &Opened, cursors: usize) -> Result<Scan, ReaderError> {
        let matchers = self.names.matchers(&self.replica)?;
        opened.scan_some(Arc::new(self.clone()), matchers, cursors).await
    }
}

impl SomeSeries for Stream {
    fn has(&self, labels: &Labels) -> bool {
        let is_of_count = |count: usize| self.names.without(labels).len() == count;
        self.names.is_of(labels, &self.replica) && self.labels.is_none_or(is_of_count)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn label_sets() -> impl Strategy<Value = Vec<Labels>> {
        let value = || prop::sample::select(vec!["", "1", "2"]);
        let set = (value(), value(), value(), value(), value()).prop_map(|(a, r, s, t, z)| {
            Labels::from_pairs([("__name__", "m"), ("a", a), ("r", r), ("s", s), ("t", t), ("z", z)]).unwrap()
        });
        prop::collection::vec(set, 0..60)
    }

    proptest! {
        #[test]
        fn every_series_is_in_one_stream_and_each_stream_is_in_order(sets in label_sets()) {
            let names = ReplicaLabels::new(["r".to_owned(), "t".to_owned()]).unwrap();
            let sets: BTreeSet<Labels> = sets.into_iter().collect();
            let mut replicas = BTreeMap::new();
            sets.iter().for_each(|labels| note(&mut replicas, &names, labels));
            let streams: Vec<Stream> = replicas.iter().flat_map(|(r, seen)| streams_of(&names, r, seen)).collect();
            for labels in &sets {
                prop_assert_eq!(streams.iter().filter(|stream| stream.has(labels)).count(), 1);
            }
            for stream in &streams {
                let of_stream = sets.iter().filter(|labels| stream.has(labels));
                let last: Vec<Labels> = of_stream.map(|labels| names.without(labels)).collect();
                prop_assert!(last.is_sorted_by(|a, b| a < b), "{:?}", last);
            }
        }
    }
}
