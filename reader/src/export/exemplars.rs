//! `exemplars.json`: the exemplars of the range, in the shape of Prometheus' `/api/v1/query_exemplars`
//! (`docs/formats/export-beside.md`).
//!
//! A JSON list with one object in each line, for each series and window of two hours: windows are read one after the other, as
//! for the blocks, so memory is bounded by a window's parts and never by the range.

use emberkeep_model::head::HeadKinds;
use emberkeep_model::{Exemplar, Labels, SeriesRuns};

use super::Output;
use super::beside::BesideFile;
use super::census::windows_with_data;
use super::json::{json_float, json_labels, json_seconds};
use crate::scan::{Ground, Opened};
use crate::{Query, ReaderError, Sources};

/// Name of the file.
pub(super) const EXEMPLARS_FILE: &str = "exemplars.json";

/// Writes the exemplars of a query; returns how many. Without any there is no file.
pub(super) async fn write(sources: &Sources, query: &Query, output: &mut Output) -> Result<u64, ReaderError> {
    let look = sources.look(query, HeadKinds::Exemplars).await?;
    let windows = windows_with_data(sources.store(), &look, query, HeadKinds::Exemplars).await?;
    let mut list = List::new(output.start_beside(EXEMPLARS_FILE)?);
    let mut piece = SeriesRuns::default();
    for window in windows {
        let query = Query {
            range: query.range.intersect(window),
            ..query.clone()
        };
        let ground = Ground::of(sources.store(), &look);
        let opened = Opened::open(ground, &query, HeadKinds::Exemplars, usize::MAX).await?;
        let mut scan = opened.scan().await?;
        while let Some(labels) = scan.next_series().await? {
            list.begin(&labels)?;
            while scan.next_piece(&mut piece).await? {
                for exemplar in piece.exemplars.as_slice() {
                    list.exemplar(exemplar)?;
                }
            }
            list.end()?;
        }
    }
    list.finish()
}

/// The list under construction.
struct List {
    file: BesideFile,
    line: Vec<u8>,
    series: u64,
    exemplars: u64,
    /// Of the series at work.
    is_first: bool,
}

impl List {
    fn new(file: BesideFile) -> Self {
        Self {
            file,
            line: Vec::new(),
            series: 0,
            exemplars: 0,
            is_first: true,
        }
    }

    fn begin(&mut self, labels: &Labels) -> Result<(), ReaderError> {
        self.line.clear();
        self.line
            .extend_from_slice(if self.series == 0 { b"[\n" } else { b",\n" });
        self.line.extend_from_slice(b"{\"seriesLabels\":");
        json_labels(labels, &mut self.line);
        self.line.extend_from_slice(b",\"exemplars\":[");
        self.series += 1;
        self.is_first = true;
        self.file.write(&self.line)
    }

    fn exemplar(&mut self, exemplar: &Exemplar) -> Result<(), ReaderError> {
        self.line.clear();
        if !self.is_first {
            self.line.push(b',');
        }
        self.is_first = false;
        self.line.extend_from_slice(b"{\"labels\":");
        json_labels(&exemplar.labels, &mut self.line);
        self.line.extend_from_slice(b",\"value\":");
        json_float(exemplar.value, &mut self.line);
        self.line.extend_from_slice(b",\"timestamp\":");
        json_seconds(exemplar.timestamp, &mut self.line);
        self.line.push(b'}');
        self.exemplars += 1;
        self.file.write(&self.line)
    }

    fn end(&mut self) -> Result<(), ReaderError> {
        self.file.write(b"]}")
    }

    fn finish(mut self) -> Result<u64, ReaderError> {
        if self.series == 0 {
            self.file.discard()?;
        } else {
            self.file.write(b"\n]\n")?;
            self.file.finish()?;
        }
        Ok(self.exemplars)
    }
}
