//! `reader export-tsdb`: a time range of the archive as blocks that a stock Prometheus starts on.
//!
//! One pass for each aligned window of two hours that has data, oldest first, so that memory is bounded by a window's label
//! index and never by the range. A block gets its name only when it is whole, is read back and compared with what was meant
//! before it is reported, and is remembered in a state file, so that the same command completes an interrupted run. What blocks
//! have no place for, exemplars and metadata, is written beside them at the end. It must never touch anything in the output
//! that is not its own.

mod beside;
mod census;
mod content;
mod exemplars;
mod json;
mod metadata;
mod output;
mod report;
mod state;
mod table;
mod tally;

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use emberkeep_model::TimeRange;
use emberkeep_model::head::HeadKinds;
use emberkeep_service::time_expr::format_rfc3339;
use emberkeep_tsdb::{BlockMeta, BlockReader, BlockWriter};
use indicatif::{ProgressBar, ProgressStyle};
use ulid::{Generator, Ulid};

pub(crate) use self::census::windows_with_data;
pub use self::content::Content;
pub use self::output::Output;
pub use self::state::{ExportArguments, ExportState, STATE_FILE};
use self::table::Row;
use self::tally::Tally;
use crate::scan::{Ground, Opened};
use crate::sources::Look;
use crate::{Query, ReaderError, Selection, Sources};

/// What is exported, and where to.
#[derive(Debug, Clone)]
pub struct Export {
    /// The question as it was asked, by which an interrupted run is recognised.
    pub arguments: ExportArguments,
    /// The range as the arguments mean it now; an interrupted run keeps the one it began with.
    pub range: TimeRange,
    /// Which series.
    pub selection: Selection,
    /// The data directory to write.
    pub output: PathBuf,
    /// Now, milliseconds since 1970.
    pub now_ms: i64,
}

/// Where an export speaks: results and progress apart, as for every command.
pub struct Console<'a> {
    /// The table of blocks.
    pub out: &'a mut (dyn Write + Send),
    /// The report at the end.
    pub err: &'a mut (dyn Write + Send),
    /// The progress; hidden unless standard error is a terminal.
    pub bar: ProgressBar,
}

impl fmt::Debug for Console<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("bar", &self.bar)
            .finish_non_exhaustive()
    }
}

/// What becomes of start timestamps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum StartTimestamps {
    /// Blocks are without them, for every Prometheus.
    #[default]
    LeftOut,
    /// Blocks have them, for a new Prometheus.
    Kept,
}

/// What an export did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportSummary {
    /// All blocks of the output, oldest first.
    pub blocks: Vec<BlockMeta>,
    /// Blocks that an interrupted run had finished and that were kept.
    pub kept: usize,
    /// What they are made of.
    pub content: Content,
    /// Samples with a start timestamp, in the blocks or not.
    pub start_timestamps: u64,
    /// Samples that lost against a different one of the same series and time, and are in no block; `content` names a series.
    pub conflicts: u64,
    /// Exemplars beside the blocks.
    pub exemplars: u64,
    /// Metric families whose metadata is beside the blocks.
    pub families: usize,
}

impl Export {
    /// Runs the export to its end.
    ///
    /// # Errors
    /// When the output cannot be used or written, heads or archive cannot be read, or a block read back is not what was meant.
    /// The output can then be completed by running the same export again.
    pub async fn run(self, sources: &Sources, console: &mut Console<'_>) -> Result<ExportSummary, ReaderError> {
        let output = Output::open(&self.output, &self.arguments, self.range)?;
        let query = Query {
            tenant: self.arguments.tenant.clone(),
            range: output.state().range(),
            selection: self.selection.clone(),
        };
        let who = format!("export to `{}`", self.output.display());
        let pinned = sources.pinned_look(&query, HeadKinds::Samples, &who).await?;
        // The pin also keeps what is looked at later: nothing that was live since is deleted.
        let done = self.run_on(sources, pinned.look.clone(), query, output, console).await;
        pinned.release().await;
        done
    }

    async fn run_on(
        self,
        sources: &Sources,
        look: Look,
        query: Query,
        mut output: Output,
        console: &mut Console<'_>,
    ) -> Result<ExportSummary, ReaderError> {
        if look.view.parts.is_empty() && look.view.committed.is_empty() && look.heads.is_empty() {
            // A wrong path is the usual reason, and an empty export of it would look like a success.
            return Err(ReaderError::Bad(
                "nothing was ever committed to this archive: see --objstore.config-file and --storage.path".to_owned(),
            ));
        }
        output.begin(look.view.root_n)?;
        let windows = windows_with_data(sources.store(), &look, &query, HeadKinds::Samples).await?;
        let mut run = Run {
            sources,
            look,
            query,
            ulids: Generator::new(),
            output,
            starts: if self.arguments.start_timestamps {
                StartTimestamps::Kept
            } else {
                StartTimestamps::LeftOut
            },
            summary: ExportSummary::default(),
        };
        console.bar.set_length(windows.len() as u64);
        table::write_head(console.out).map_err(ReaderError::file("standard output"))?;
        for window in windows {
            console.bar.set_message(format_rfc3339(window.start));
            if let Some(row) = run.window(window).await? {
                console
                    .bar
                    .suspend(|| table::write_row(console.out, &row))
                    .map_err(ReaderError::file("standard output"))?;
                if console.bar.is_hidden() {
                    tracing::info!(block = %row.meta.ulid, samples = row.meta.stats.num_samples, "block exported");
                }
            }
            console.bar.inc(1);
        }
        console.bar.finish_and_clear();
        run.summary.start_timestamps = run.summary.content.start_timestamps();
        run.summary.conflicts = run.summary.content.conflicts();
        if !run.summary.blocks.is_empty() {
            table::write_content(console.out, &run.summary.content).map_err(ReaderError::file("standard output"))?;
        }
        run.summary.exemplars = exemplars::write(sources, &run.query, &mut run.output).await?;
        run.summary.families = metadata::write(sources, &run.query, &mut run.output).await?;
        run.output.complete()?;
        report::write(console.err, &self, &run.query, &run.summary).map_err(ReaderError::file("standard error"))?;
        Ok(run.summary)
    }
}

/// A running export.
struct Run<'a> {
    sources: &'a Sources,
    look: Look,
    query: Query,
    ulids: Generator,
    output: Output,
    starts: StartTimestamps,
    summary: ExportSummary,
}

impl Run<'_> {
    /// Keeps the block of a window that an interrupted run finished, or writes it. None when the window is empty.
    async fn window(&mut self, window: TimeRange) -> Result<Option<Row>, ReaderError> {
        let row = match self.output.finished(window) {
            Some(ulid) => {
                self.summary.kept += 1;
                self.summary.content.merge(&self.output.content(window));
                Some(self.kept(ulid)?)
            }
            None => self.write(window).await?,
        };
        if let Some(row) = &row {
            self.summary.blocks.push(row.meta.clone());
        }
        Ok(row)
    }

    fn kept(&self, ulid: Ulid) -> Result<Row, ReaderError> {
        let path = self.output.block(ulid);
        let reader = BlockReader::open(&path).map_err(|error| {
            ReaderError::output(&path, format!("a finished block cannot be opened any more: {error}"))
        })?;
        Ok(Row {
            meta: reader.meta().clone(),
            bytes: reader.bytes(),
        })
    }

    async fn write(&mut self, window: TimeRange) -> Result<Option<Row>, ReaderError> {
        let query = Query {
            range: self.query.range.intersect(window),
            ..self.query.clone()
        };
        let ground = Ground::of(self.sources.store(), &self.look);
        let opened = Opened::open(ground, &query, HeadKinds::Samples, usize::MAX).await?;
        let mut scan = opened.scan().await?;
        let ulid = self
            .ulids
            .generate()
            .unwrap_or_else(|overflow| overflow.commit_overflow_increment());
        self.output.start_block(window, ulid)?;
        let path = self.output.block(ulid);
        let failed = |error| ReaderError::output(&path, format!("{error}"));
        let mut writer = BlockWriter::create(self.output.directory(), ulid, window).map_err(failed)?;
        if self.starts == StartTimestamps::Kept {
            writer = writer.with_start_timestamps();
        }
        let mut meant = Tally::new(self.starts);
        while let Some(series) = scan.next().await? {
            meant.add(&series.labels, &series.runs);
            writer.push(&series.labels, &series.runs).map_err(failed)?;
        }
        let chunks = *writer.content();
        let Some(meta) = writer.finish().map_err(failed)? else {
            self.output.forget_block(window)?;
            return Ok(None);
        };
        let bytes = match read_back(&path, &meant, self.starts) {
            Ok(bytes) => bytes,
            Err(why) => {
                // A block that is not what was meant must not stay where a Prometheus would load it.
                std::fs::remove_dir_all(&path).map_err(ReaderError::file(&path))?;
                return Err(ReaderError::output(
                    &path,
                    format!("read back, the block is not what was written: {why}"),
                ));
            }
        };
        let mut content = meant.into_content();
        content.set_chunks(&chunks);
        content.set_conflicts(scan.conflicts());
        self.summary.content.merge(&content);
        self.output.finish_block(window, &content)?;
        Ok(Some(Row { meta, bytes }))
    }
}

/// Reads a block with everything it is checked by, and compares it sample by sample with what was meant. Returns its size.
fn read_back(path: &Path, meant: &Tally, starts: StartTimestamps) -> Result<u64, String> {
    let mut reader = BlockReader::open(path).map_err(|error| error.to_string())?;
    let mut found = Tally::new(starts);
    let stats = reader
        .verify(|labels, runs| found.add(labels, runs))
        .map_err(|error| error.to_string())?;
    if (stats.num_series, stats.num_samples) != meant.counts() {
        let (series, samples) = meant.counts();
        return Err(format!(
            "{} series with {} samples instead of {series} with {samples}",
            stats.num_series, stats.num_samples
        ));
    }
    if found.digest() != meant.digest() {
        return Err("its samples differ".to_owned());
    }
    Ok(reader.bytes())
}

/// The progress on standard error, hidden when that is no terminal.
#[must_use]
pub fn progress() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} windows  {msg}  {elapsed}, {eta} left");
    bar.set_style(style.expect("the template is constant"));
    bar
}
