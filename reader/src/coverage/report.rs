//! What is held of each source, as a map for a terminal and as JSON for a page.

use std::collections::BTreeMap;
use std::io::{self, Write};

use emberkeep_model::TimeRange;
use emberkeep_model::coverage::{CoverageState, Stretch, gaps, steps};
use emberkeep_model::excerpt::excerpt;
use emberkeep_service::problem::Outcome;
use emberkeep_service::time_expr::format_rfc3339;
use serde::Serialize;

use super::{Coverage, OtherSources};

/// Bytes of a source's name in the map, at most.
const NAME_BYTES: usize = 48;

/// Gaps that are listed for a source; all are counted.
const MOST_GAPS: usize = 1_000;

/// How a source was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SeenBy {
    /// By its series `up`: exact to a scrape.
    Up,
    /// By the times that series tables say: as coarse as parts are.
    Series,
}

/// How long a source was in each state, seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Seconds {
    /// Samples are held.
    pub held: f64,
    /// The target was down.
    pub down: f64,
    /// Samples are missing.
    pub missing: f64,
    /// Removed on purpose.
    pub removed: f64,
    /// Nothing was expected.
    pub absent: f64,
}

/// A stretch of time of which samples are missing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gap {
    /// First moment.
    pub from: String,
    /// First moment after it.
    pub to: String,
    /// Its length.
    pub seconds: f64,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Source {
    /// What makes it one.
    pub labels: BTreeMap<String, String>,
    /// How it was found.
    pub by: SeenBy,
    /// A sign for each step: `#` held, `o` down, `!` missing, `-` removed, `.` nothing expected; of several the worst.
    pub states: String,
    /// How long it was in each state.
    pub seconds: Seconds,
    /// What is missing, where it is long enough; the first thousand.
    pub gaps: Vec<Gap>,
    /// How many gaps there are.
    pub gap_count: usize,
}

/// What is held of all sources.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CoverageReport {
    /// Whose data.
    pub tenant: String,
    /// First moment.
    pub from: String,
    /// First moment after it.
    pub to: String,
    /// Length of a step, seconds.
    pub step_seconds: f64,
    /// Labels that make a source.
    pub source_labels: Vec<String>,
    /// Shortest gap that is told, seconds.
    pub min_gap_seconds: f64,
    /// Each source.
    pub sources: Vec<Source>,
    /// Gaps of all sources.
    pub gap_count: usize,
    /// Their length together, seconds.
    pub gap_seconds: f64,
    /// Heads that could not be asked: what only they hold shows as missing.
    pub left_out: Vec<String>,
    /// What was not looked at.
    pub notes: Vec<String>,
}

impl Source {
    pub(super) fn new(
        names: &[String],
        values: Vec<String>,
        by: SeenBy,
        stretches: &[Stretch],
        asked: &Coverage,
        step_ms: i64,
    ) -> Self {
        let pairs = names.iter().cloned().zip(values);
        let gaps = gaps(stretches, asked.min_gap_ms);
        let gap = |range: &TimeRange| Gap {
            from: format_rfc3339(range.start),
            to: format_rfc3339(range.end),
            seconds: seconds(*range),
        };
        Self {
            labels: pairs.filter(|(_, value)| !value.is_empty()).collect(),
            by,
            states: steps(stretches, asked.range, step_ms).into_iter().map(sign).collect(),
            seconds: Seconds::of(stretches),
            gaps: gaps.iter().take(MOST_GAPS).map(gap).collect(),
            gap_count: gaps.len(),
        }
    }

    fn name(&self) -> String {
        let pairs: Vec<String> = self
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        excerpt(pairs.join(" "), NAME_BYTES)
    }
}

impl Seconds {
    fn of(stretches: &[Stretch]) -> Self {
        let mut sums = Self::default();
        for stretch in stretches {
            *match stretch.state {
                CoverageState::Held => &mut sums.held,
                CoverageState::Down => &mut sums.down,
                CoverageState::Missing => &mut sums.missing,
                CoverageState::Removed => &mut sums.removed,
                CoverageState::Absent => &mut sums.absent,
            } += seconds(stretch.range);
        }
        sums
    }
}

impl CoverageReport {
    pub(super) fn new(asked: &Coverage, names: &[String], step_ms: i64) -> Self {
        let mut notes = Vec::new();
        if asked.others == OtherSources::LeftOut {
            notes.push("sources without a series `up` were not looked for (--series)".to_owned());
        }
        Self {
            tenant: asked.tenant.to_string(),
            from: format_rfc3339(asked.range.start),
            to: format_rfc3339(asked.range.end),
            step_seconds: step_ms as f64 / 1e3,
            source_labels: names.to_vec(),
            min_gap_seconds: asked.min_gap_ms as f64 / 1e3,
            sources: Vec::new(),
            gap_count: 0,
            gap_seconds: 0.0,
            left_out: Vec::new(),
            notes,
        }
    }

    pub(super) fn count(&mut self) {
        self.gap_count = self.sources.iter().map(|source| source.gap_count).sum();
        let gaps = self.sources.iter().flat_map(|source| &source.gaps);
        self.gap_seconds = gaps.map(|gap| gap.seconds).sum();
    }

    /// How the command ends: a gap is a difference.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        if self.gap_count == 0 {
            Outcome::Done
        } else {
            Outcome::DifferenceFound
        }
    }

    /// Writes a row for each source, and the gaps.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let names: Vec<String> = self.sources.iter().map(Source::name).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(6);
        writeln!(
            out,
            "{:width$}  {} to {}, {} s each",
            "SOURCE", self.from, self.to, self.step_seconds
        )?;
        for (name, source) in names.iter().zip(&self.sources) {
            writeln!(out, "{name:width$}  {}", source.states)?;
        }
        writeln!(
            out,
            "# held   o target down   ! missing   - removed   . nothing expected"
        )?;
        for (name, source) in names.iter().zip(&self.sources) {
            for gap in &source.gaps {
                writeln!(out, "gap  {name:width$}  {} to {}  {} s", gap.from, gap.to, gap.seconds)?;
            }
            if source.gap_count > source.gaps.len() {
                writeln!(
                    out,
                    "gap  {name:width$}  and {} more",
                    source.gap_count - source.gaps.len()
                )?;
            }
        }
        for head in &self.left_out {
            writeln!(
                out,
                "note the head at {head} could not be asked: what only it holds shows as missing"
            )?;
        }
        for note in &self.notes {
            writeln!(out, "note {note}")?;
        }
        let (sources, gaps, seconds) = (self.sources.len(), self.gap_count, self.gap_seconds);
        writeln!(
            out,
            "{sources} sources, {gaps} gaps of {} s or more, {seconds} s together",
            self.min_gap_seconds
        )
    }
}

fn sign(state: CoverageState) -> char {
    match state {
        CoverageState::Held => '#',
        CoverageState::Down => 'o',
        CoverageState::Missing => '!',
        CoverageState::Removed => '-',
        CoverageState::Absent => '.',
    }
}

fn seconds(range: TimeRange) -> f64 {
    range.end.saturating_sub(range.start) as f64 / 1e3
}
