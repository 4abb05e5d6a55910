//! Intake: a decompressed body becomes a batch and a verdict.
//!
//! Live, every sample is judged and what is refused goes into the verdict. In replay the verdict is applied as it stands: the same
//! decode, nothing decided anew, whatever the clock, the limits or the program say by then. Ordinals count the float samples of a
//! request in wire order, from 0, those of refused series included. Version 1 of the validator keeps float samples only.
//!
//! A malformed body is refused whole. Nothing here may depend on what was stored before.

use emberkeep_model::{LabelsBuilder, MIN_TIMESTAMP, Sample, UNSET_START_TIMESTAMP};
use emberkeep_proto::content::WriteProtocol;
use emberkeep_proto::{WireError, write_v1, write_v2};
use emberkeep_wal::Verdict;

use crate::batch::Batch;
use crate::clock_rule::AHEAD_MS_MAX;

/// The rules by which a verdict was found; goes into the record.
pub(crate) const VALIDATOR_VERSION: u32 = 1;

/// How much of a bad series is told to the sender.
const SHOWN_BYTES_MAX: usize = 400;

/// What a request holds and what became of it.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) batch: Batch,
    pub(crate) verdict: Verdict,
    /// Float samples in the request.
    pub(crate) n_samples: usize,
    /// Of those, refused because more than ten minutes ahead.
    pub(crate) n_ahead: usize,
    /// Of those, refused for other reasons.
    pub(crate) n_refused: usize,
    pub(crate) n_histograms: usize,
    pub(crate) n_exemplars: usize,
    pub(crate) n_metadata: usize,
    /// Series refused that carry no float sample.
    pub(crate) n_bad_series: usize,
    /// The first refusal, for the sender.
    pub(crate) first_refusal: Option<String>,
}

/// Who decides: the rules, or a recorded verdict.
#[derive(Debug, Clone, Copy)]
enum Judge<'a> {
    Rules {
        newest_allowed: i64,
        batch_bytes_max: usize,
    },
    Recorded(&'a Verdict),
}

/// A body that cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IntakeError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the request expands to more than {0} bytes of labels and samples")]
    TooLarge(usize),
    #[error("the recorded verdict keeps samples of a series that cannot be read: {0}")]
    Contradiction(String),
    #[error("verdict of validator version {0}, this program knows {VALIDATOR_VERSION}: upgrade")]
    NewerValidator(u32),
}

/// Judges a live request. `now_ms` is our clock. Symbols are expanded for each series that names them, so the batch has a bound of its own.
pub(crate) fn judge(
    protocol: WriteProtocol,
    body: &[u8],
    now_ms: i64,
    batch_bytes_max: usize,
) -> Result<Intake, IntakeError> {
    take_in(
        protocol,
        body,
        Judge::Rules {
            newest_allowed: now_ms.saturating_add(AHEAD_MS_MAX),
            batch_bytes_max,
        },
    )
}

/// Takes a recorded request in again, as its verdict says.
pub(crate) fn replay(protocol: WriteProtocol, body: &[u8], verdict: &Verdict) -> Result<Intake, IntakeError> {
    if verdict.validator() != VALIDATOR_VERSION {
        return Err(IntakeError::NewerValidator(verdict.validator()));
    }
    take_in(protocol, body, Judge::Recorded(verdict))
}

fn take_in(protocol: WriteProtocol, body: &[u8], judge: Judge<'_>) -> Result<Intake, IntakeError> {
    let mut intake = Intake::new();
    let mut labels = LabelsBuilder::default();
    match protocol {
        WriteProtocol::V1 => {
            let request = write_v1::Request::parse(body)?;
            intake.n_metadata = request.n_metadata();
            for series in request.series() {
                let carries = Carries {
                    samples: series.n_samples(),
                    others: series.n_histograms() + series.n_exemplars(),
                };
                if carries.samples == 0 && carries.others == 0 {
                    // Version 1.0 does not forbid an empty series, and there is nothing to lose.
                    continue;
                }
                labels.clear();
                for (name, value) in series.labels() {
                    labels.push(name, value);
                }
                intake.n_histograms += series.n_histograms();
                intake.n_exemplars += series.n_exemplars();
                intake.series(Ok(&mut labels), carries, series.samples().map(to_sample), judge)?;
            }
        }
        WriteProtocol::V2 => {
            let request = write_v2::Request::parse(body)?;
            for series in request.series() {
                labels.clear();
                let resolved = series.labels().try_for_each(|label| {
                    label
                        .map(|(name, value)| labels.push(name, value))
                        .map_err(|error| error.to_string())
                });
                intake.n_histograms += series.n_histograms();
                intake.n_exemplars += series.n_exemplars();
                intake.n_metadata += usize::from(series.has_metadata());
                let carries = Carries {
                    samples: series.n_samples(),
                    others: series.n_histograms() + series.n_exemplars() + usize::from(series.has_metadata()),
                };
                let resolved = resolved.map(|()| &mut labels);
                intake.series(resolved, carries, series.samples().map(to_sample), judge)?;
            }
        }
    }
    Ok(intake)
}

/// What one series entry carries.
#[derive(Debug, Clone, Copy)]
struct Carries {
    samples: usize,
    /// Histograms, exemplars and metadata.
    others: usize,
}

/// A body is far shorter than 4 GiB, and a sample takes bytes.
fn ordinal(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX - 1)
}

impl Intake {
    fn new() -> Self {
        Self {
            batch: Batch::default(),
            verdict: Verdict::new(VALIDATOR_VERSION),
            n_samples: 0,
            n_ahead: 0,
            n_refused: 0,
            n_histograms: 0,
            n_exemplars: 0,
            n_metadata: 0,
            n_bad_series: 0,
            first_refusal: None,
        }
    }

    fn series(
        &mut self,
        labels: Result<&mut LabelsBuilder, String>,
        carries: Carries,
        samples: impl Iterator<Item = Sample>,
        judge: Judge<'_>,
    ) -> Result<(), IntakeError> {
        let first = self.n_samples;
        self.n_samples += carries.samples;
        let canonical = labels.and_then(|labels| labels.canonical().map_err(|e| e.to_string()).and_then(check_named));
        match canonical {
            Err(reason) => self.bad_series(first, carries, reason, judge),
            Ok(canonical) if carries.samples == 0 => {
                if carries.others == 0 && matches!(judge, Judge::Rules { .. }) {
                    self.n_bad_series += 1;
                    self.tell(|| format!("series {} has no sample, histogram or exemplar", show(canonical)));
                }
                Ok(())
            }
            Ok(canonical) => {
                self.batch.push_series(canonical);
                for (i, sample) in samples.enumerate() {
                    self.sample(first + i, sample, canonical, judge);
                }
                match judge {
                    Judge::Rules { batch_bytes_max, .. } if self.batch.bytes() > batch_bytes_max => {
                        Err(IntakeError::TooLarge(batch_bytes_max))
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    fn sample(&mut self, n: usize, sample: Sample, canonical: &[u8], judge: Judge<'_>) {
        let reason = match judge {
            Judge::Recorded(verdict) => {
                if !verdict.is_refused(ordinal(n)) {
                    self.batch.push_sample(sample);
                }
                return;
            }
            Judge::Rules { newest_allowed, .. } => match refusal(&sample, newest_allowed) {
                None => return self.batch.push_sample(sample),
                Some(Refusal::Ahead) => {
                    self.n_ahead += 1;
                    "is more than 10 minutes ahead of the clock here"
                }
                Some(Refusal::TooOld) => {
                    self.n_refused += 1;
                    "lies before the year 1"
                }
                Some(Refusal::Start) => {
                    self.n_refused += 1;
                    "has a start timestamp before the year 1 or more than 10 minutes ahead"
                }
            },
        };
        self.verdict.refuse(ordinal(n));
        self.tell(|| format!("series {}: timestamp {} {reason}", show(canonical), sample.timestamp));
    }

    /// Refuses all samples of a series. In replay the verdict must have refused them, too.
    fn bad_series(
        &mut self,
        first: usize,
        carries: Carries,
        reason: String,
        judge: Judge<'_>,
    ) -> Result<(), IntakeError> {
        for n in first..first + carries.samples {
            match judge {
                Judge::Rules { .. } => self.verdict.refuse(ordinal(n)),
                Judge::Recorded(verdict) if verdict.is_refused(ordinal(n)) => {}
                Judge::Recorded(_) => return Err(IntakeError::Contradiction(reason)),
            }
        }
        self.n_refused += carries.samples;
        self.n_bad_series += usize::from(carries.samples == 0);
        self.tell(|| reason);
        Ok(())
    }

    fn tell(&mut self, text: impl FnOnce() -> String) {
        self.first_refusal.get_or_insert_with(|| shorten(text()));
    }

    /// Everything refused by the rules that the sender must hear of.
    pub(crate) fn n_refusals(&self) -> usize {
        self.n_ahead + self.n_refused + self.n_bad_series
    }
}

enum Refusal {
    Ahead,
    TooOld,
    /// Engines hold it in a column of timestamps, and one that they cannot hold spoils the column.
    Start,
}

fn refusal(sample: &Sample, newest_allowed: i64) -> Option<Refusal> {
    let allowed = MIN_TIMESTAMP..=newest_allowed;
    if sample.timestamp > newest_allowed {
        Some(Refusal::Ahead)
    } else if sample.timestamp < MIN_TIMESTAMP {
        Some(Refusal::TooOld)
    } else if sample.start_timestamp != UNSET_START_TIMESTAMP && !allowed.contains(&sample.start_timestamp) {
        Some(Refusal::Start)
    } else {
        None
    }
}

/// A series needs a metric name (remote write 2.0, and Prometheus' receiver for both versions).
fn check_named(canonical: &[u8]) -> Result<&[u8], String> {
    let named = emberkeep_model::canonical_value_of(canonical, b"__name__").is_some();
    if named {
        Ok(canonical)
    } else {
        Err(format!("series {} has no metric name", show(canonical)))
    }
}

fn show(canonical: &[u8]) -> String {
    let text = emberkeep_model::Labels::from_canonical(canonical).map_or_else(|e| e.to_string(), |l| l.to_string());
    shorten(text)
}

fn shorten(text: String) -> String {
    if text.len() <= SHOWN_BYTES_MAX {
        return text;
    }
    format!("{}...", &text[..text.floor_char_boundary(SHOWN_BYTES_MAX)])
}

fn to_sample(sample: emberkeep_proto::Sample) -> Sample {
    Sample {
        timestamp: sample.timestamp,
        value: sample.value,
        start_timestamp: sample.start_timestamp,
    }
}

#[cfg(test)]
mod tests;
