//! One walk over one request, in the order of the wire: what every entry goes through.
//!
//! Its ordinals must be counted in the same way for ever, or the verdicts of old records refuse something else.

use emberkeep_model::{Histogram, Labels, LabelsBuilder, canonical_pairs};
use emberkeep_proto::content::WriteProtocol;
use emberkeep_proto::write_v2::{self, MetadataRefs};
use emberkeep_wal::Verdict;
use foldhash::quality::RandomState;
use hashbrown::HashMap;

use super::entry::{Entry, WireLabel, WireMetadata};
use super::room::Room;
use super::scan::{self, Item, Scan};
use super::{FLOATS_ONLY, Intake, IntakeError, Judge, Request, show};
use crate::batch::{Batch, Counts, Spelling};
use crate::series_table::region;

/// One walk over one request.
pub(super) struct Walk<'j, 'a> {
    pub(super) intake: Intake<'a>,
    pub(super) judge: Judge<'j>,
    pub(super) floats_only: bool,
    /// Whether no sample of any plain entry is refused for itself.
    pub(super) keeps_plain_samples: bool,
    /// The ordinal of the next item.
    pub(super) next: u32,
    /// Bytes that were copied for labels and texts, refused ones included.
    pub(super) expanded: usize,
    pub(super) labels: LabelsBuilder,
    pub(super) exemplar_labels: LabelsBuilder,
    pub(super) histogram: Histogram,
    /// Metadata of plain entries that was accepted, with its number in the batch, if it says anything.
    pub(super) metadata_numbers: HashMap<MetadataRefs, Option<u32>, RandomState>,
    /// The one of them that was looked for last.
    pub(super) last_metadata: Option<(MetadataRefs, Option<u32>)>,
}

impl<'j, 'a> Walk<'j, 'a> {
    pub(super) fn new(judge: Judge<'j>, verdict: Verdict) -> Self {
        Self {
            floats_only: verdict.validator() == FLOATS_ONLY,
            keeps_plain_samples: false,
            intake: Intake {
                batch: Batch::default(),
                verdict,
                sent: Counts::default(),
                n_ahead: 0,
                n_refused: 0,
                n_bad_series: 0,
                first_refusal: None,
            },
            judge,
            next: 0,
            expanded: 0,
            labels: LabelsBuilder::default(),
            exemplar_labels: LabelsBuilder::default(),
            histogram: Histogram::default(),
            metadata_numbers: HashMap::default(),
            last_metadata: None,
        }
    }

    pub(super) fn request(mut self, request: Request<'a, '_>) -> Result<Intake<'a>, IntakeError> {
        let bounds = match self.judge {
            Judge::Rules(rules) => scan::Bounds {
                series: rules.limits.series_per_request,
                bytes: rules.batch_bytes_max,
            },
            Judge::Recorded(_) => scan::Bounds::NONE,
        };
        match request.protocol {
            WriteProtocol::V1 => {
                let scan = Scan::v1(&request, bounds)?;
                self.walk(scan, request.body)
            }
            WriteProtocol::V2 => {
                let symbols = write_v2::symbols(request.body)?;
                let scan = Scan::v2(&request, &symbols, bounds)?;
                self.walk(scan, request.body)?;
                self.intake.batch.symbols = Some(symbols);
                Ok(())
            }
        }?;
        Ok(self.intake)
    }

    /// Judges what was scanned, in the order of the wire.
    pub(super) fn walk<E: Entry<'a>>(&mut self, scan: Scan<'_, 'a, E>, body: &'a [u8]) -> Result<(), IntakeError> {
        self.keeps_plain_samples = match self.judge {
            Judge::Rules(rules) => rules.accept_times_of(&scan.samples),
            Judge::Recorded(verdict) => verdict.accepts_all(),
        };
        self.intake.batch.samples = scan.samples;
        let mut lookups = scan.lookups.iter();
        for item in &scan.items {
            match item {
                Item::Plain(plain) => {
                    let lookup = lookups.next().expect("every plain entry has a lookup");
                    let metadata = plain.metadata.and_then(|at| scan.metadata.get(at as usize));
                    self.plain(plain, lookup, metadata.copied(), &scan.labels, body)?;
                }
                Item::Other(at) => self.series(&scan.others[*at as usize])?,
            }
        }
        if !self.floats_only {
            for metadata in scan.families {
                let wire = WireMetadata {
                    metric_type: metadata.metric_type,
                    unit: metadata.unit,
                    help: metadata.help,
                };
                self.family(metadata.family, wire)?;
                self.check_size()?;
            }
        }
        self.check_size()
    }

    pub(super) fn series(&mut self, entry: &impl Entry<'a>) -> Result<(), IntakeError> {
        let mut carries = entry.counts();
        if self.floats_only {
            carries = Counts {
                samples: carries.samples,
                ..Counts::default()
            };
        }
        if carries.total() == 0 && (entry.may_be_empty() || self.floats_only) {
            // Version 1.0 does not forbid an empty series, and there is nothing to lose.
            return Ok(());
        }
        let sent = &mut self.intake.sent;
        sent.samples += carries.samples;
        sent.histograms += carries.histograms;
        sent.exemplars += carries.exemplars;
        sent.metadata += carries.metadata;
        self.check_samples_number()?;

        if self.is_refused_whole(carries) {
            self.refuse_whole(carries);
            return Ok(());
        }
        if carries.total() == 0 {
            return self.empty_series(entry.labels());
        }
        let mut labels = std::mem::take(&mut self.labels);
        let done = match self.labels_of(entry.labels(), &mut labels) {
            Err(reason) => self.bad_series(carries, reason),
            Ok(canonical) => {
                let encode = |out: &mut Vec<u8>| region::encode(canonical_pairs(canonical), out);
                self.intake.batch.push_unknown(0, Spelling::Normal, encode);
                self.items(entry, canonical)
            }
        };
        self.labels = labels;
        done?;
        self.check_size()
    }

    /// A series entry of version 2.0 without any item: there is nothing to lose, and the sender must hear of it.
    pub(super) fn empty_series<'w>(&mut self, wire: impl Iterator<Item = WireLabel<'w>>) -> Result<(), IntakeError> {
        let mut labels = std::mem::take(&mut self.labels);
        let reason = match self.labels_of(wire, &mut labels) {
            Err(reason) => reason,
            Ok(canonical) => format!("series {} has no sample, histogram or exemplar", show(canonical)),
        };
        self.labels = labels;
        self.bad_series(Counts::default(), reason)?;
        self.check_size()
    }

    /// Nothing of it is looked at again.
    pub(super) fn refuse_whole(&mut self, carries: Counts) {
        self.intake.n_refused += carries.total();
        self.next = self.next.saturating_add(ordinals(carries.total()));
    }

    /// Whether a verdict refuses every item of the next series.
    pub(super) fn is_refused_whole(&self, carries: Counts) -> bool {
        let (first, items) = (self.next, ordinals(carries.total()));
        match self.judge {
            Judge::Recorded(verdict) => {
                !verdict.accepts_all()
                    && items > 0
                    && (first..first.saturating_add(items)).all(|n| verdict.is_refused(n))
            }
            Judge::Rules(_) => false,
        }
    }

    /// The canonical label bytes of a series that is not refused for them. The reason is made only for the one that is told.
    pub(super) fn labels_of<'w, 'l>(
        &mut self,
        wire: impl Iterator<Item = WireLabel<'w>>,
        labels: &'l mut LabelsBuilder,
    ) -> Result<&'l [u8], String> {
        let room = match self.judge {
            Judge::Rules(rules) => Room::series(rules.limits),
            Judge::Recorded(_) => Room::UNBOUNDED,
        };
        let is_told = self.intake.first_refusal.is_none();
        let reason = |canonical: &[u8], reason: &str| {
            if is_told {
                format!("series {} {reason}", show(canonical))
            } else {
                String::new()
            }
        };
        if let Err(text) = room.gather(wire, labels, &mut self.expanded) {
            // Those before the one that is too many or too long tell which series it is.
            return Err(reason(labels.canonical().unwrap_or_default(), &text));
        }
        let canonical = labels.canonical().map_err(|error| error.to_string())?;
        if emberkeep_model::canonical_value_of(canonical, Labels::METRIC_NAME.as_bytes()).is_none() {
            // Remote write 2.0 wants one, and so does Prometheus' receiver for both versions.
            return Err(reason(canonical, "has no metric name"));
        }
        Ok(canonical)
    }

    /// Refuses all items of a series. In replay the verdict must have refused them, too.
    pub(super) fn bad_series(&mut self, carries: Counts, reason: String) -> Result<(), IntakeError> {
        for _ in 0..carries.total() {
            let ordinal = self.take_ordinal();
            match self.judge {
                Judge::Rules(_) => self.intake.verdict.refuse(ordinal),
                Judge::Recorded(verdict) if verdict.is_refused(ordinal) => {}
                Judge::Recorded(_) => return Err(IntakeError::Contradiction(reason)),
            }
        }
        self.intake.n_refused += carries.total();
        self.intake.n_bad_series += usize::from(carries.total() == 0);
        self.intake.tell(|| reason);
        Ok(())
    }

    pub(super) fn take_ordinal(&mut self) -> u32 {
        let ordinal = self.next;
        // A body is far shorter than 4 GiB, and every item takes bytes.
        self.next = ordinal.saturating_add(1).min(u32::MAX - 1);
        ordinal
    }

    pub(super) fn check_samples_number(&self) -> Result<(), IntakeError> {
        let sent = self.intake.sent;
        match self.judge {
            Judge::Rules(rules) => within(
                sent.total(),
                "samples, histograms, exemplars and metadata",
                rules.limits.samples_per_request,
            ),
            Judge::Recorded(_) => Ok(()),
        }
    }

    pub(super) fn check_size(&self) -> Result<(), IntakeError> {
        match self.judge {
            Judge::Rules(rules) if self.expanded.max(self.intake.batch.bytes()) > rules.batch_bytes_max => {
                Err(IntakeError::TooLarge(rules.batch_bytes_max))
            }
            _ => Ok(()),
        }
    }
}

fn within(found: usize, what: &'static str, limit: usize) -> Result<(), IntakeError> {
    if found > limit {
        return Err(IntakeError::TooMany { found, what, limit });
    }
    Ok(())
}

/// A body is far shorter than 4 GiB, and every item takes bytes.
pub(super) fn ordinals(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}
