//! Plain entries, which is nearly all of them: labels and floats, perhaps metadata.
//!
//! The hot path of ingest. Of a series that is known nothing is looked at but the time of its samples, and that for all at once.

use emberkeep_model::canonical_pairs;
use emberkeep_proto::write_v2::MetadataRefs;

use super::items::Taken;
use super::scan::{self, Plain};
use super::walk::{Walk, ordinals};
use super::{IntakeError, Judge};
use crate::batch::Counts;
use crate::series_table::{Lookup, region};

impl<'a> Walk<'_, 'a> {
    /// An entry of labels and floats. Of a series that is known nothing is looked at but the time of its samples, and that for all at once.
    pub(super) fn plain(
        &mut self,
        plain: &Plain,
        lookup: &Lookup,
        metadata: Option<MetadataRefs>,
        labels: &scan::PlainLabels<'_, 'a>,
        body: &'a [u8],
    ) -> Result<(), IntakeError> {
        let metadata = metadata.filter(|_| !self.floats_only);
        let carries = Counts {
            samples: (plain.samples.1 - plain.samples.0) as usize,
            metadata: usize::from(metadata.is_some()),
            ..Counts::default()
        };
        self.intake.sent.samples += carries.samples;
        self.intake.sent.metadata += carries.metadata;
        self.check_samples_number()?;
        if self.is_refused_whole(carries) {
            self.refuse_whole(carries);
            return Ok(());
        }
        let bytes = &body[plain.spelling.0 as usize..][..plain.spelling.1 as usize];
        if carries.total() == 0 {
            return if self.floats_only {
                Ok(())
            } else {
                self.empty_series(labels.of(bytes)?)
            };
        }
        if let Some(position) = lookup.found {
            let kept = if self.keeps_plain_samples {
                plain.samples
            } else {
                (0, 0)
            };
            self.intake.batch.push_known(lookup.hash, position, kept);
            if self.keeps_plain_samples {
                self.next = self.next.saturating_add(ordinals(carries.samples));
                if metadata.is_none_or(|metadata| self.repeats(metadata)) {
                    return Ok(());
                }
            }
        }
        let mut builder = std::mem::take(&mut self.labels);
        let done = match self.labels_of(labels.of(bytes)?, &mut builder) {
            Err(reason) => self.bad_series(carries, reason),
            Ok(canonical) => {
                if lookup.found.is_none() {
                    let encode = |out: &mut Vec<u8>| region::encode(canonical_pairs(canonical), out);
                    self.intake
                        .batch
                        .push_unknown(lookup.hash, labels.spelling(bytes), encode);
                    if self.keeps_plain_samples {
                        self.intake.batch.keep_samples(plain.samples);
                    }
                }
                self.plain_items(plain, lookup, metadata, labels, canonical)
            }
        };
        self.labels = builder;
        done?;
        if lookup.found.is_none() || metadata.is_some() {
            self.check_size()?;
        }
        Ok(())
    }

    pub(super) fn plain_items(
        &mut self,
        plain: &Plain,
        lookup: &Lookup,
        metadata: Option<MetadataRefs>,
        labels: &scan::PlainLabels<'_, 'a>,
        canonical: &[u8],
    ) -> Result<(), IntakeError> {
        if !self.keeps_plain_samples {
            for at in plain.samples.0..plain.samples.1 {
                let sample = self.intake.batch.samples.sample(at as usize);
                self.sample(sample, canonical);
            }
        } else if lookup.found.is_none() {
            self.next = self.next.saturating_add(plain.samples.1 - plain.samples.0);
        }
        let Some(metadata) = metadata else { return Ok(()) };
        if self.repeats(metadata) {
            return Ok(());
        }
        let taken = self.series_metadata(labels.texts(metadata), canonical)?;
        if let Taken::Kept(number) = taken {
            self.metadata_numbers.insert(metadata, number);
            self.last_metadata = Some((metadata, number));
        }
        Ok(())
    }

    /// Whether this metadata was accepted before in this request: then it is given to the series pushed last.
    pub(super) fn repeats(&mut self, metadata: MetadataRefs) -> bool {
        // The series of a family stand side by side.
        let number = match self.last_metadata {
            Some((last, number)) if last == metadata => number,
            _ => match self.metadata_numbers.get(&metadata) {
                Some(&number) => number,
                None => return false,
            },
        };
        self.last_metadata = Some((metadata, number));
        let ordinal = self.take_ordinal();
        let is_refused = matches!(self.judge, Judge::Recorded(verdict) if verdict.is_refused(ordinal));
        if let Some(number) = number.filter(|_| !is_refused) {
            self.intake.batch.set_metadata(number);
        }
        true
    }
}
