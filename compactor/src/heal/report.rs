//! What a pass found and did.

use std::io::{self, Write};

use emberkeep_model::TimeRange;
use emberkeep_service::problem::Outcome;
use emberkeep_service::time_expr::format_rfc3339;
use serde::Serialize;

/// Lines of one kind for people; JSON has all.
const MOST_LINES: usize = 50;

/// A stretch of time, milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// First moment.
    pub from: i64,
    /// First moment after it.
    pub to: i64,
}

impl From<TimeRange> for Span {
    fn from(range: TimeRange) -> Self {
        Self {
            from: range.start,
            to: range.end,
        }
    }
}

/// Why time is suspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Scrapes are missing in `up`.
    Coverage,
    /// The sender counted samples that it dropped or failed to send.
    SenderLost,
    /// The source was started anew.
    SenderRestarted,
    /// A part was set aside because it cannot be read.
    Quarantined,
}

/// Time that is compared before all other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Suspect {
    /// Which time.
    #[serde(flatten)]
    pub span: Span,
    /// Why.
    pub why: Why,
}

/// A window of which something was missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Hole {
    /// The window that was compared; what was missing lies somewhere in it.
    #[serde(flatten)]
    pub span: Span,
    /// Rows that were missing and are there now.
    pub rows: u64,
    /// Rows of the window that were there.
    pub held: u64,
    /// The root that made them live.
    pub root: Option<u64>,
}

/// What a pass found and did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealReport {
    /// The source, without user and password.
    pub source: String,
    /// Whose rows.
    pub tenant: String,
    /// Start of the time that could be compared, milliseconds since 1970.
    pub from: i64,
    /// Its end: what is younger is left to the sender and the next flush.
    pub to: i64,
    /// Time for which there was a reason to suspect a hole.
    pub suspects: Vec<Suspect>,
    /// Windows that were compared to their end.
    pub windows: u64,
    /// Rows of them that the source answered with and that belong into the archive.
    pub rows: u64,
    /// Of these, rows that were missing and are there now.
    pub healed: u64,
    /// Windows of which something was missing.
    pub holes: Vec<Hole>,
    /// Holes that the source holds nothing of any more.
    pub lost: Vec<Span>,
    /// Rows that the sender's rules leave out.
    pub left_out_by_sender: u64,
    /// Rows that are deleted in the archive.
    pub deleted_in_archive: u64,
    /// Rows that are older than the archive keeps them.
    pub expired: u64,
    /// When the source's retention begins to take what is suspected and not compared yet, milliseconds since 1970.
    pub deadline: Option<i64>,
    /// What to know about it.
    pub notes: Vec<String>,
}

impl HealReport {
    pub(super) fn new(source: &str, tenant: &str) -> Self {
        Self {
            source: source.to_owned(),
            tenant: tenant.to_owned(),
            from: 0,
            to: 0,
            suspects: Vec::new(),
            windows: 0,
            rows: 0,
            healed: 0,
            holes: Vec::new(),
            lost: Vec::new(),
            left_out_by_sender: 0,
            deleted_in_archive: 0,
            expired: 0,
            deadline: None,
            notes: Vec::new(),
        }
    }

    /// How the command ends: what is lost for good is a difference.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self.lost.is_empty() {
            true => Outcome::Done,
            false => Outcome::DifferenceFound,
        }
    }

    /// Writes it for people.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let time = |span: &Span| format!("{} to {}", format_rfc3339(span.from), format_rfc3339(span.to));
        for note in &self.notes {
            writeln!(out, "note: {note}")?;
        }
        let suspects = self.suspects.iter().map(|suspect| {
            let why = match suspect.why {
                Why::Coverage => "scrapes are missing in `up`",
                Why::SenderLost => "the sender counted samples that it dropped or failed to send",
                Why::SenderRestarted => "the source was started anew",
                Why::Quarantined => "a part cannot be read",
            };
            format!("suspected  {}  {why}", time(&suspect.span))
        });
        lines(out, suspects)?;
        let holes = self.holes.iter().map(|hole| {
            let (rows, held) = (hole.rows, hole.held);
            format!("healed     {}  {rows} rows, {held} were there", time(&hole.span))
        });
        lines(out, holes)?;
        let lost = self.lost.iter();
        lines(
            out,
            lost.map(|span| format!("LOST       {}  the source does not reach back so far", time(span))),
        )?;
        for (rows, why) in [
            (self.left_out_by_sender, "rows are left out by the sender's rules"),
            (self.deleted_in_archive, "rows are deleted in the archive"),
            (self.expired, "rows are older than the archive keeps them"),
        ] {
            if rows > 0 {
                writeln!(out, "{rows} {why}")?;
            }
        }
        let compared = Span {
            from: self.from,
            to: self.to,
        };
        writeln!(
            out,
            "{}: compared {} windows with {} rows of {}; {} rows in {} windows were missing and are healed; {} holes are lost",
            time(&compared),
            self.windows,
            self.rows,
            self.source,
            self.healed,
            self.holes.len(),
            self.lost.len()
        )
    }
}

fn lines(out: &mut dyn Write, lines: impl ExactSizeIterator<Item = String>) -> io::Result<()> {
    let count = lines.len();
    for line in lines.take(MOST_LINES) {
        writeln!(out, "{line}")?;
    }
    match count.saturating_sub(MOST_LINES) {
        0 => Ok(()),
        more => writeln!(out, "           and {more} more (`-o json`)"),
    }
}
