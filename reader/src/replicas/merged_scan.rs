//! The series of a query with replicas merged, in the order of their final labels.
//!
//! A merge of the scans that [`plan`](super::plan) found to be in order; at most one series of each is in work.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use emberkeep_model::head::HeadKinds;
use emberkeep_model::{Labels, SeriesRuns};

use super::exemplar_union::ExemplarUnion;
use super::merge::ReplicaMerge;
use super::sample_union::{Doubles, SampleUnion};
use super::{ReplicaLabels, plan};
use crate::scan::{Opened, Scan};
use crate::{Conflicts, ReaderError};

/// A running merge of scans.
#[derive(Debug)]
pub(crate) struct MergedScan {
    names: ReplicaLabels,
    streams: Vec<StreamScan>,
    /// The final labels at which the streams stand; the least is next.
    heap: BinaryHeap<Reverse<(Labels, usize)>>,
    /// The streams that stand at the series being read.
    current: Vec<usize>,
    rows: Rows,
    /// The first rows of the series being read, read ahead to know that there are any.
    ahead: SeriesRuns,
    parts: usize,
}

/// One scan of the merge.
#[derive(Debug)]
pub(super) struct StreamScan {
    pub(super) scan: Scan,
    /// The final labels it stood at last.
    labels: Option<Labels>,
    /// What these were before labels were taken off.
    pub(super) archived: Option<Labels>,
}

#[derive(Debug)]
enum Rows {
    Samples(ReplicaMerge),
    Exemplars(ExemplarUnion),
    Union(SampleUnion),
}

impl MergedScan {
    /// Begins to read what was opened, with the replicas that these labels tell apart as one.
    ///
    /// # Errors
    /// When a source cannot be read, or there are too many replicas.
    pub(crate) async fn open(opened: &Opened, names: &ReplicaLabels, part_limit: usize) -> Result<Self, ReaderError> {
        let rows = match opened.kinds() {
            HeadKinds::Exemplars => Rows::Exemplars(ExemplarUnion::default()),
            HeadKinds::Samples | HeadKinds::Metadata => Rows::Samples(ReplicaMerge::default()),
        };
        Self::with_rows(opened, names, part_limit, rows).await
    }

    /// Begins to read the samples of what was opened, without these labels; of two series that are equal then, no sample is left
    /// out for that of the other.
    ///
    /// # Errors
    /// When a source cannot be read, or the labels have too many values.
    pub(crate) async fn without(opened: &Opened, names: &ReplicaLabels, doubles: Doubles) -> Result<Self, ReaderError> {
        Self::with_rows(opened, names, usize::MAX, Rows::Union(SampleUnion::new(doubles))).await
    }

    async fn with_rows(
        opened: &Opened,
        names: &ReplicaLabels,
        part_limit: usize,
        rows: Rows,
    ) -> Result<Self, ReaderError> {
        let plans = plan::streams(opened, names, part_limit).await?;
        let cursors = opened.parts().saturating_mul(plans.len());
        let mut streams = Vec::with_capacity(plans.len());
        for stream in &plans {
            streams.push(StreamScan {
                scan: stream.open(opened, cursors).await?,
                labels: None,
                archived: None,
            });
        }
        let mut merged = Self {
            names: names.clone(),
            heap: BinaryHeap::with_capacity(streams.len()),
            streams,
            current: Vec::new(),
            rows,
            ahead: SeriesRuns::default(),
            parts: opened.parts(),
        };
        for index in 0..merged.streams.len() {
            merged.advance(index).await?;
        }
        Ok(merged)
    }

    /// As [`Scan::next_series`].
    ///
    /// # Errors
    /// When a source cannot be read or contradicts itself.
    pub(crate) async fn next_series(&mut self) -> Result<Option<Labels>, ReaderError> {
        while let Some(labels) = self.next_labels().await? {
            let mut first = std::mem::take(&mut self.ahead);
            let found = self.read_on(&mut first).await;
            self.ahead = first;
            if found? {
                return Ok(Some(labels));
            }
        }
        Ok(None)
    }

    /// As [`Scan::next_piece`].
    ///
    /// # Errors
    /// When a source cannot be read or contradicts itself.
    pub(crate) async fn next_piece(&mut self, out: &mut SeriesRuns) -> Result<bool, ReaderError> {
        if !self.ahead.is_empty() {
            std::mem::swap(&mut self.ahead, out);
            self.ahead.clear();
            return Ok(true);
        }
        self.read_on(out).await
    }

    /// As [`Scan::next_labels`].
    ///
    /// # Errors
    /// When a source cannot be read.
    pub(crate) async fn next_labels(&mut self) -> Result<Option<Labels>, ReaderError> {
        self.ahead.clear();
        while let Some(index) = self.current.pop() {
            self.advance(index).await?;
        }
        let Some(Reverse((labels, first))) = self.heap.pop() else {
            return Ok(None);
        };
        self.current.push(first);
        while let Some(Reverse((other, index))) = self.heap.peek()
            && *other == labels
        {
            self.current.push(*index);
            self.heap.pop();
        }
        match &mut self.rows {
            Rows::Samples(merge) => merge.start(&self.current),
            Rows::Exemplars(union) => union.start(&self.current),
            Rows::Union(union) => union.start(&self.current),
        }
        Ok(Some(labels))
    }

    /// Rows of the series that are behind that lost against a different one of the same replica.
    pub(crate) fn conflicts(&self) -> Conflicts {
        let mut all = Conflicts::default();
        for stream in &self.streams {
            let of_stream = stream.scan.conflicts();
            all.rows += of_stream.rows;
            all.example = all.example.or_else(|| of_stream.example.clone());
        }
        if let Rows::Union(union) = &self.rows {
            union.add_conflicts(&mut all);
        }
        all
    }

    /// Number of scans that are merged; each has a cursor in every part.
    pub(crate) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Number of parts that are read.
    pub(crate) fn parts(&self) -> usize {
        self.parts
    }

    async fn read_on(&mut self, out: &mut SeriesRuns) -> Result<bool, ReaderError> {
        match &mut self.rows {
            Rows::Samples(merge) => merge.next_piece(&mut self.streams, out).await,
            Rows::Exemplars(union) => union.next_piece(&mut self.streams, out).await,
            Rows::Union(union) => union.next_piece(&mut self.streams, out).await,
        }
    }

    async fn advance(&mut self, index: usize) -> Result<(), ReaderError> {
        let stream = &mut self.streams[index];
        let Some(labels) = stream.scan.next_labels().await? else {
            return Ok(());
        };
        let archived = stream.archived.insert(labels);
        let labels = self.names.without(archived);
        if let Some(before) = stream.labels.replace(labels.clone())
            && before >= labels
        {
            return Err(ReaderError::Inconsistent(format!(
                "series {labels} comes after {before} when their replicas are merged"
            )));
        }
        self.heap.push(Reverse((labels, index)));
        Ok(())
    }
}
