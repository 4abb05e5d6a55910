//! The items of a series entry, judged one by one: samples, histograms, exemplars, metadata; and the metadata of families.

use emberkeep_model::{Exemplar, MetricType};

use super::entry::{Entry, WireMetadata};
use super::histogram;
use super::room::Room;
use super::rules::Refusal;
use super::walk::Walk;
use super::{IntakeError, Judge, SHOWN_BYTES_MAX, show};
use crate::batch::BatchMetadata;

/// What became of the metadata of a series.
pub(super) enum Taken {
    Refused,
    /// Its number in the batch, if it says anything.
    Kept(Option<u32>),
}

impl Walk<'_, '_> {
    pub(super) fn items<'w>(&mut self, entry: &impl Entry<'w>, canonical: &[u8]) -> Result<(), IntakeError> {
        for sample in entry.samples() {
            self.sample(sample, canonical);
        }
        if self.floats_only {
            return Ok(());
        }
        for wire in entry.histograms() {
            self.histogram(&wire, canonical)?;
        }
        self.exemplars(entry, canonical)?;
        if let Some(wire) = entry.metadata() {
            self.series_metadata(wire, canonical)?;
        }
        Ok(())
    }

    pub(super) fn sample(&mut self, sample: emberkeep_proto::Sample, canonical: &[u8]) {
        let judged = match self.judge {
            Judge::Rules(rules) => rules.time(sample.timestamp, sample.start_timestamp),
            Judge::Recorded(_) => Ok(()),
        };
        let place = || format!("series {}: timestamp {}", show(canonical), sample.timestamp);
        if self.is_kept(judged, place) {
            self.intake.batch.push_sample(sample);
        }
    }

    pub(super) fn series_metadata(
        &mut self,
        wire: Result<WireMetadata<'_>, String>,
        canonical: &[u8],
    ) -> Result<Taken, IntakeError> {
        let place = || format!("metadata of series {}", show(canonical));
        let Some(metadata) = self.metadata(wire, place)? else {
            return Ok(Taken::Refused);
        };
        if is_empty(metadata) {
            return Ok(Taken::Kept(None));
        }
        let number = self.intake.batch.push_metadata(metadata);
        self.intake.batch.set_metadata(number);
        Ok(Taken::Kept(Some(number)))
    }

    pub(super) fn histogram(
        &mut self,
        wire: &emberkeep_proto::histogram::Histogram<'_>,
        canonical: &[u8],
    ) -> Result<(), IntakeError> {
        let place = || format!("series {}: histogram at {}", show(canonical), wire.timestamp);
        let mut filled = std::mem::take(&mut self.histogram);
        let judged = match self.judge {
            Judge::Rules(rules) => rules.histogram(wire, &mut filled),
            Judge::Recorded(verdict) => {
                if !verdict.is_refused(self.next) {
                    histogram::fill(&mut filled, wire);
                    if !filled.has_matching_spans() {
                        return Err(IntakeError::Contradiction(place()));
                    }
                }
                Ok(())
            }
        };
        if self.is_kept(judged, place) {
            self.intake
                .batch
                .push_histogram(wire.timestamp, wire.start_timestamp, &filled);
        }
        self.histogram = filled;
        Ok(())
    }

    pub(super) fn exemplars<'w>(&mut self, entry: &impl Entry<'w>, canonical: &[u8]) -> Result<(), IntakeError> {
        let mut labels = std::mem::take(&mut self.exemplar_labels);
        for wire in entry.exemplars() {
            let place = || format!("series {}: exemplar at {}", show(canonical), wire.timestamp);
            let taken = match self.judge {
                Judge::Recorded(verdict) if verdict.is_refused(self.next) => Err(Refusal::Recorded),
                Judge::Recorded(_) => Room::UNBOUNDED
                    .gather(wire.labels, &mut labels, &mut self.expanded)
                    .and_then(|()| labels.labels().map_err(|error| error.to_string()))
                    .map_err(|_| IntakeError::Contradiction(place()))
                    .map(Ok)?,
                Judge::Rules(rules) => rules.time(wire.timestamp, 0).and_then(|()| {
                    let gathered = Room::exemplar(rules.limits).gather(wire.labels, &mut labels, &mut self.expanded);
                    rules.exemplar(gathered.map(|()| &mut labels))
                }),
            };
            let (judged, labels) = match taken {
                Ok(labels) => (Ok(()), Some(labels)),
                Err(refusal) => (Err(refusal), None),
            };
            if self.is_kept(judged, place)
                && let Some(labels) = labels
            {
                self.intake.batch.push_exemplar(Exemplar {
                    timestamp: wire.timestamp,
                    value: wire.value,
                    labels,
                });
            }
        }
        self.exemplar_labels = labels;
        self.check_size()
    }

    /// Metadata of a family, version 1.0.
    pub(super) fn family(&mut self, family: &[u8], wire: WireMetadata<'_>) -> Result<(), IntakeError> {
        self.intake.sent.metadata += 1;
        self.check_samples_number()?;
        let name = std::str::from_utf8(family);
        let shown = &family[..family.len().min(SHOWN_BYTES_MAX)];
        let place = || format!("metadata of family `{}`", String::from_utf8_lossy(shown));
        let wire = match name {
            Ok("") => Err(Refusal::NoFamily.to_string()),
            Ok(name) => match self.judge {
                Judge::Rules(rules) => rules.text(name.as_bytes()).map_err(|refusal| refusal.to_string()),
                Judge::Recorded(_) => Ok(()),
            }
            .map(|()| wire),
            Err(_) => Err(Refusal::NotUtf8.to_string()),
        };
        if let (Some(metadata), Ok(name)) = (self.metadata(wire, place)?, name) {
            self.intake.batch.push_family(name, metadata);
        }
        Ok(())
    }

    /// Metadata that is kept; nothing when it is refused.
    pub(super) fn metadata<'w>(
        &mut self,
        wire: Result<WireMetadata<'w>, String>,
        place: impl Fn() -> String,
    ) -> Result<Option<BatchMetadata<'w>>, IntakeError> {
        let read = wire.and_then(|wire| {
            let text = |bytes| {
                if let Judge::Rules(rules) = self.judge {
                    rules.text(bytes).map_err(|refusal| refusal.to_string())?;
                }
                std::str::from_utf8(bytes).map_err(|_| Refusal::NotUtf8.to_string())
            };
            Ok(BatchMetadata {
                metric_type: MetricType::from_number(wire.metric_type),
                unit: text(wire.unit)?,
                help: text(wire.help)?,
            })
        });
        let ordinal = self.take_ordinal();
        match (read, self.judge) {
            (Ok(metadata), Judge::Rules(_)) => Ok(Some(metadata)),
            (_, Judge::Recorded(verdict)) if verdict.is_refused(ordinal) => Ok(None),
            (Ok(metadata), Judge::Recorded(_)) => Ok(Some(metadata)),
            (Err(_), Judge::Recorded(_)) => Err(IntakeError::Contradiction(place())),
            (Err(reason), Judge::Rules(_)) => {
                self.intake.verdict.refuse(ordinal);
                self.intake.n_refused += 1;
                self.intake.tell(|| format!("{} {reason}", place()));
                Ok(None)
            }
        }
    }

    /// Whether the next item is kept. Live, `judged` says it; in replay, the verdict.
    pub(super) fn is_kept(&mut self, judged: Result<(), Refusal>, place: impl Fn() -> String) -> bool {
        let ordinal = self.take_ordinal();
        match (self.judge, judged) {
            (Judge::Recorded(verdict), _) => !verdict.is_refused(ordinal),
            (Judge::Rules(_), Ok(())) => true,
            (Judge::Rules(_), Err(refusal)) => {
                match refusal {
                    Refusal::Ahead => self.intake.n_ahead += 1,
                    _ => self.intake.n_refused += 1,
                }
                self.intake.verdict.refuse(ordinal);
                self.intake.tell(|| format!("{} {refusal}", place()));
                false
            }
        }
    }
}

/// Senders of 2.0 put it beside every series that they know nothing about.
fn is_empty(metadata: BatchMetadata<'_>) -> bool {
    metadata.metric_type == MetricType::Unknown && metadata.unit.is_empty() && metadata.help.is_empty()
}
