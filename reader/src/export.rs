//! `reader export-tsdb`: a time range of the archive as blocks that a stock Prometheus starts on.
//!
//! One pass for each block, several at the same time, so that memory is bounded by what is in work and never by the range. A block
//! gets its name only when it is whole, is read back and compared with what was meant before it is reported, and is remembered in a
//! state file, so that the same command completes an interrupted run. What blocks have no place for, exemplars and metadata, is
//! written beside them at the end. It must never touch anything in the output that is not its own.

mod beside;
pub(crate) mod census;
mod content;
mod crew;
mod dry_run;
mod exemplars;
mod job;
mod json;
mod lengths;
mod making;
mod memory;
mod metadata;
mod options;
mod output;
mod plan;
mod receiving;
mod report;
mod state;
mod table;
mod tally;
mod target;
pub(crate) mod throttle;

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use emberkeep_model::TimeRange;
use emberkeep_model::head::HeadKinds;
use emberkeep_service::time_expr::format_rfc3339;
use emberkeep_tsdb::{BlockMeta, BlockReader, BucketLabels};
use indicatif::{ProgressBar, ProgressStyle};

pub(crate) use self::census::windows_with_data;
pub use self::content::Content;
use self::crew::Crew;
use self::job::Work;
pub use self::lengths::BlockLengths;
use self::making::MadeBlock;
pub use self::options::{BlockFormat, ExportOptions, MEMORY_DEFAULT, MEMORY_MIN, Order, RunKind, Verification};
pub use self::output::Output;
use self::plan::{Holdings, PlannedBlock};
pub use self::receiving::{Receiving, WORK_FOLDER};
pub use self::state::{ExportArguments, ExportState, STATE_FILE};
use self::table::Row;
use self::target::Wanted;
pub use self::target::{CheckName, Target, TargetFacts};
use self::throttle::Throttle;
use crate::replicas::Doubles;
use crate::sources::Look;
use crate::{Query, ReaderError, ReplicaLabels, Selection, Sources};

/// Who made a block, as its description for a bucket says.
const BUCKET_SOURCE: &str = "emberkeep";

/// What is exported, and where to.
#[derive(Debug, Clone)]
pub struct Export {
    /// The question as it was asked, by which an interrupted run is recognised.
    pub arguments: ExportArguments,
    /// The range as the arguments mean it now; an interrupted run keeps the one it began with.
    pub range: TimeRange,
    /// Which series.
    pub selection: Selection,
    /// The data directory to write, or the one of a Prometheus that gets the blocks (`target.into`).
    pub output: PathBuf,
    /// Now, milliseconds since 1970.
    pub now_ms: i64,
    /// What bounds the export.
    pub options: ExportOptions,
    /// The Prometheus that gets the blocks, as far as it was named.
    pub target: Target,
    /// What was found out of it.
    pub facts: TargetFacts,
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
    /// When the output cannot be used or written, the target refuses it, heads or archive cannot be read, or a block read back is not
    /// what was meant. The output can then be completed by running the same export again.
    pub async fn run(self, sources: &Sources, console: &mut Console<'_>) -> Result<ExportSummary, ReaderError> {
        target::tell(console.err, &self.target, self.facts.misplaced())?;
        let directory = self.directory();
        let begun = ExportState::load(&directory)?;
        let query = Query {
            tenant: self.arguments.tenant.clone(),
            range: begun.as_ref().map_or(self.range, ExportState::range),
            selection: self.selection.clone(),
        };
        let who = format!("export to `{}`", self.output.display());
        let pinned = sources.pinned_look(&query, HeadKinds::Samples, &who).await?;
        // The pin also keeps what is looked at later: nothing that was live since is deleted.
        let done = self.run_on(sources, pinned.look.clone(), query, begun, console).await;
        pinned.release().await;
        done
    }

    /// Where blocks are made.
    fn directory(&self) -> PathBuf {
        match &self.target.into {
            Some(into) => into.join(WORK_FOLDER),
            None => self.output.clone(),
        }
    }

    async fn run_on(
        self,
        sources: &Sources,
        look: Look,
        query: Query,
        begun: Option<ExportState>,
        console: &mut Console<'_>,
    ) -> Result<ExportSummary, ReaderError> {
        if look.view.parts.is_empty() && look.view.committed.is_empty() && look.heads.is_empty() {
            return Err(ReaderError::nothing_committed());
        }
        let windows = windows_with_data(sources.store(), &look, &query, HeadKinds::Samples).await?;
        let longest = self.longest(&windows, begun.as_ref())?;
        let lengths = BlockLengths::up_to(longest, self.arguments.format);
        let holdings = Holdings::of(&look, &query);
        let share = self.options.memory / self.options.workers() as u64;
        let finished: Vec<TimeRange> = begun.iter().flat_map(ExportState::finished).collect();
        let mut blocks = plan::plan(&windows, &finished, &lengths, &holdings, share);
        let mut passes = match self.arguments.strip.is_empty() {
            true => plan::passes(&blocks, &holdings, share, self.options.workers()),
            false => blocks.iter().map(|block| vec![block.window]).collect(),
        };
        if self.options.order == Order::Newest {
            blocks.reverse();
            passes.reverse();
        }
        if self.options.run == RunKind::Dry {
            table::write_plan(console.out, &blocks).map_err(ReaderError::file("standard output"))?;
            dry_run::write(console.err, &self, &blocks).map_err(ReaderError::file("standard error"))?;
        }
        let wanted = Wanted {
            blocks: &blocks,
            range: query.range,
            has_histograms: holdings.has_histograms(),
            start_timestamps: self.arguments.start_timestamps,
            now_ms: self.now_ms,
        };
        target::tell(console.err, &self.target, self.facts.check(&wanted))?;
        if self.options.run == RunKind::Dry {
            return Ok(ExportSummary::default());
        }
        let mut output = self.open_output()?;
        output.begin(look.view.root_n)?;
        output.longest_or(longest)?;
        console.bar.set_length(windows.len() as u64);
        table::write_head(console.out).map_err(ReaderError::file("standard output"))?;
        let mut summary = keep_finished(&output, console)?;
        let work = self.work(sources, &look, &query)?;
        let mut crew = Crew::new(work, &mut output, &lengths, &windows, &self.options);
        crew.start(passes);
        while let Some((window, block)) = crew.next().await? {
            console.bar.set_message(format_rfc3339(window.start));
            let inside = |data: &&TimeRange| window.start <= data.start && data.end <= window.end;
            console.bar.inc(windows.iter().filter(inside).count() as u64);
            if let Some(block) = block {
                tell_block(console, &block)?;
                summary.content.merge(&block.content);
                summary.blocks.push(block.meta);
            }
        }
        console.bar.finish_and_clear();
        summary.blocks.sort_by_key(|block| block.min_time);
        summary.start_timestamps = summary.content.start_timestamps();
        summary.conflicts = summary.content.conflicts();
        if !summary.blocks.is_empty() {
            table::write_content(console.out, &summary.content).map_err(ReaderError::file("standard output"))?;
        }
        if output.keeps_blocks() {
            summary.exemplars = exemplars::write(sources, &query, &mut output).await?;
            summary.families = metadata::write(sources, &query, &mut output).await?;
        }
        output.complete()?;
        report::write(console.err, &self, &query, &summary).map_err(ReaderError::file("standard error"))?;
        Ok(summary)
    }

    /// The longest block: as it was asked for, as the run began with, or a tenth of what there is.
    fn longest(&self, windows: &[TimeRange], begun: Option<&ExportState>) -> Result<i64, ReaderError> {
        if let Some(longest) = begun.and_then(ExportState::longest) {
            return Ok(longest);
        }
        match (&self.arguments.block_duration, windows) {
            (Some(given), _) => BlockLengths::parse(given),
            // As long as its compactor makes them: its ladder ends there.
            (None, _) if self.arguments.format == BlockFormat::Mimir => Ok(i64::MAX),
            (None, [first, .., last]) => Ok(BlockLengths::longest_of(TimeRange {
                start: first.start,
                end: last.end,
            })),
            (None, _) => Ok(BlockLengths::longest_of(TimeRange { start: 0, end: 0 })),
        }
    }

    fn open_output(&self) -> Result<Output, ReaderError> {
        let into = match &self.target.into {
            Some(into) => Some(self.facts.receiving(into)?),
            None => None,
        };
        Output::open(&self.directory(), into, &self.arguments, self.range)
    }

    fn work(&self, sources: &Sources, look: &Look, query: &Query) -> Result<Work, ReaderError> {
        let stripped = stripped(&self.arguments.strip)?;
        let labels = || self.arguments.strip.iter().filter_map(|label| label.split_once('='));
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let bucket = match self.arguments.format {
            BlockFormat::Prometheus => None,
            BlockFormat::Thanos => Some(labels().map(owned).collect()),
            // It takes no labels of others: its upload refuses them.
            BlockFormat::Mimir => Some(std::collections::BTreeMap::new()),
        };
        Ok(Work {
            store: Arc::clone(sources.store()),
            look: look.clone(),
            query: query.clone(),
            directory: self.directory(),
            starts: if self.arguments.start_timestamps {
                StartTimestamps::Kept
            } else {
                StartTimestamps::LeftOut
            },
            stripped,
            doubles: if self.arguments.join_equal {
                Doubles::Joined
            } else {
                Doubles::Refused
            },
            bucket: bucket.map(|labels| BucketLabels {
                labels,
                source: BUCKET_SOURCE.to_owned(),
            }),
            verification: self.options.verification,
            read_by: self.facts.version_to_obey(&self.target),
            throttle: Throttle::new(self.options.bytes_per_second),
        })
    }
}

/// The labels of `NAME` and `NAME=VALUE`.
///
/// # Errors
/// For a name that no label may be stripped of.
pub(crate) fn stripped(labels: &[String]) -> Result<ReplicaLabels, ReaderError> {
    ReplicaLabels::with_values(labels.iter().map(|label| match label.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (label.clone(), None),
    }))
    .map_err(|_| {
        ReaderError::Bad("--strip-label: the name of a metric cannot be stripped, and no name is empty".to_owned())
    })
}

/// What an interrupted run had finished.
fn keep_finished(output: &Output, console: &mut Console<'_>) -> Result<ExportSummary, ReaderError> {
    let mut summary = ExportSummary::default();
    for (_, block) in output.finished() {
        let path = output.block(&block.ulid);
        let opened = BlockReader::open(&path);
        let (meta, bytes) = match (opened, &block.meta) {
            (Ok(reader), _) => (reader.meta().clone(), reader.bytes()),
            // Its new owner may have merged it into another.
            (Err(_), Some(meta)) if !output.keeps_blocks() => (meta.clone(), block.bytes),
            (Err(error), _) => {
                let why = format!("a finished block cannot be opened any more: {error}");
                return Err(ReaderError::output(&path, why));
            }
        };
        summary.kept += 1;
        summary.content.merge(&block.content);
        let row = Row { meta, bytes };
        table::write_row(console.out, &row).map_err(ReaderError::file("standard output"))?;
        summary.blocks.push(row.meta);
    }
    Ok(summary)
}

fn tell_block(console: &mut Console<'_>, block: &MadeBlock) -> Result<(), ReaderError> {
    let row = Row {
        meta: block.meta.clone(),
        bytes: block.bytes,
    };
    console
        .bar
        .suspend(|| table::write_row(console.out, &row))
        .map_err(ReaderError::file("standard output"))?;
    if console.bar.is_hidden() {
        tracing::info!(block = %row.meta.ulid, samples = row.meta.stats.num_samples, "block exported");
    }
    Ok(())
}

/// The progress on standard error, hidden when that is no terminal.
#[must_use]
pub fn progress() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} windows  {msg}  {elapsed}, {eta} left");
    bar.set_style(style.expect("the template is constant"));
    bar
}
