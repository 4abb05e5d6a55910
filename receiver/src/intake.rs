//! Intake: a decompressed body becomes a batch and a verdict.
//!
//! Live, every item is judged and what is refused goes into the verdict. In replay the verdict is applied as it stands: the same
//! decode, nothing decided anew, whatever the clock, the limits or the program say by then.
//!
//! Ordinals count the items of a request in wire order from 0, those of refused series included: in each series entry its float
//! samples, histograms, exemplars and metadata, and after all series the metadata of families. Version 1 of the validator counted
//! and kept float samples only; its records are replayed so for ever.
//!
//! A malformed body is refused whole. What was stored before decides nothing here: it only saves looking again at labels that were
//! accepted once, which the limits of one process accept for ever.

mod entry;
mod histogram;
mod room;
mod rules;
mod scan;

use emberkeep_model::{Exemplar, Histogram, Labels, LabelsBuilder, MetricType, TenantId, canonical_pairs};
use emberkeep_proto::content::WriteProtocol;
use emberkeep_proto::{WireError, write_v2};
use emberkeep_wal::Verdict;
use foldhash::quality::RandomState;
use hashbrown::HashMap;

use self::entry::{Entry, WireLabel, WireMetadata};
use self::room::Room;
use self::rules::Refusal;
pub(crate) use self::rules::Rules;
use self::scan::{Item, Plain, Scan};
use crate::batch::{Batch, BatchMetadata, Counts, Spelling};
use crate::series_table::{Lookup, SeriesTable, region};

/// The rules by which a verdict was found; goes into the record.
pub(crate) const VALIDATOR_VERSION: u32 = 2;

/// The version that knew float samples only.
const FLOATS_ONLY: u32 = 1;

/// How much of the labels of a bad series is told to the sender.
const SHOWN_BYTES_MAX: usize = 400;

/// How much of a refusal is told, the reason included, which comes last.
const TOLD_BYTES_MAX: usize = 700;

/// What a request holds and what became of it.
#[derive(Debug)]
pub(crate) struct Intake<'a> {
    pub(crate) batch: Batch<'a>,
    pub(crate) verdict: Verdict,
    /// Items in the request.
    pub(crate) sent: Counts,
    /// Of those, refused because more than ten minutes ahead.
    pub(crate) n_ahead: usize,
    /// Of those, refused for other reasons.
    pub(crate) n_refused: usize,
    /// Series refused although no item was.
    pub(crate) n_bad_series: usize,
    /// The first refusal, for the sender.
    pub(crate) first_refusal: Option<String>,
}

/// Who decides: the rules, or a recorded verdict.
#[derive(Debug, Clone, Copy)]
enum Judge<'a> {
    Rules(&'a Rules<'a>),
    Recorded(&'a Verdict),
}

/// A body that cannot be taken in at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IntakeError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the request expands to more than {0} bytes of labels and samples")]
    TooLarge(usize),
    #[error("the request holds {found} {what}, more than {limit}: send smaller requests or raise the limit")]
    TooMany {
        found: usize,
        what: &'static str,
        limit: usize,
    },
    #[error("the recorded verdict keeps what cannot be read: {0}")]
    Contradiction(String),
    #[error("verdict of validator version {0}, this program knows {VALIDATOR_VERSION}: upgrade")]
    NewerValidator(u32),
}

/// A decompressed body, who sent it, and the table in which its series may be known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a, 't> {
    pub(crate) tenant: &'t TenantId,
    pub(crate) protocol: WriteProtocol,
    pub(crate) body: &'a [u8],
    pub(crate) table: &'t SeriesTable,
}

/// Judges a live request. Symbols are expanded for each series that names them, so the batch has a bound of its own.
pub(crate) fn judge<'a>(request: Request<'a, '_>, rules: &Rules<'_>) -> Result<Intake<'a>, IntakeError> {
    Walk::new(Judge::Rules(rules), Verdict::new(VALIDATOR_VERSION)).request(request)
}

/// Takes a recorded request in again, as its verdict says.
pub(crate) fn replay<'a>(request: Request<'a, '_>, verdict: &Verdict) -> Result<Intake<'a>, IntakeError> {
    if !(FLOATS_ONLY..=VALIDATOR_VERSION).contains(&verdict.validator()) {
        return Err(IntakeError::NewerValidator(verdict.validator()));
    }
    Walk::new(Judge::Recorded(verdict), verdict.clone()).request(request)
}

/// Type and references: within one request, equal ones are equal metadata.
type MetadataKey = (i32, u32, u32);

/// What became of the metadata of a series.
enum Taken {
    Refused,
    /// Its number in the batch, if it says anything.
    Kept(Option<u32>),
}

/// One walk over one request.
struct Walk<'j, 'a> {
    intake: Intake<'a>,
    judge: Judge<'j>,
    floats_only: bool,
    /// Whether no sample of any plain entry is refused for itself.
    keeps_plain_samples: bool,
    /// The ordinal of the next item.
    next: u32,
    /// Bytes that were copied for labels and texts, refused ones included.
    expanded: usize,
    labels: LabelsBuilder,
    exemplar_labels: LabelsBuilder,
    histogram: Histogram,
    /// Metadata of plain entries that was accepted, with its number in the batch, if it says anything.
    metadata_numbers: HashMap<MetadataKey, Option<u32>, RandomState>,
}

impl<'j, 'a> Walk<'j, 'a> {
    fn new(judge: Judge<'j>, verdict: Verdict) -> Self {
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
        }
    }

    fn request(mut self, request: Request<'a, '_>) -> Result<Intake<'a>, IntakeError> {
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
    fn walk<E: Entry<'a>>(&mut self, scan: Scan<'_, 'a, E>, body: &'a [u8]) -> Result<(), IntakeError> {
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

    /// An entry of labels and floats. Of a series that is known nothing is looked at but the time of its samples, and that for all at once.
    fn plain(
        &mut self,
        plain: &Plain,
        lookup: &Lookup,
        metadata: Option<write_v2::Metadata<'a>>,
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
        let bytes = &body[plain.spelling.0 as usize..][..plain.spelling.1 as usize];
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
                self.plain_items(plain, lookup, metadata, canonical)
            }
        };
        self.labels = builder;
        done?;
        if lookup.found.is_none() || metadata.is_some() {
            self.check_size()?;
        }
        Ok(())
    }

    fn plain_items(
        &mut self,
        plain: &Plain,
        lookup: &Lookup,
        metadata: Option<write_v2::Metadata<'_>>,
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
        let taken = self.series_metadata(entry::texts_of(&metadata), canonical)?;
        if let Taken::Kept(number) = taken {
            self.metadata_numbers.insert(metadata_key(metadata), number);
        }
        Ok(())
    }

    /// Whether this metadata was accepted before in this request: then it is given to the series pushed last.
    fn repeats(&mut self, metadata: write_v2::Metadata<'_>) -> bool {
        let Some(&number) = self.metadata_numbers.get(&metadata_key(metadata)) else {
            return false;
        };
        let ordinal = self.take_ordinal();
        let is_refused = matches!(self.judge, Judge::Recorded(verdict) if verdict.is_refused(ordinal));
        if let Some(number) = number.filter(|_| !is_refused) {
            self.intake.batch.set_metadata(number);
        }
        true
    }

    fn series(&mut self, entry: &impl Entry<'a>) -> Result<(), IntakeError> {
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
        let mut labels = std::mem::take(&mut self.labels);
        let done = match self.labels_of(entry.labels(), &mut labels) {
            Err(reason) => self.bad_series(carries, reason),
            Ok(canonical) if carries.total() == 0 => {
                self.intake.n_bad_series += 1;
                self.intake
                    .tell(|| format!("series {} has no sample, histogram or exemplar", show(canonical)));
                Ok(())
            }
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

    /// Nothing of it is looked at again.
    fn refuse_whole(&mut self, carries: Counts) {
        self.intake.n_refused += carries.total();
        self.next = self.next.saturating_add(ordinals(carries.total()));
    }

    /// Whether a verdict refuses every item of the next series.
    fn is_refused_whole(&self, carries: Counts) -> bool {
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
    fn labels_of<'w, 'l>(
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

    fn items<'w>(&mut self, entry: &impl Entry<'w>, canonical: &[u8]) -> Result<(), IntakeError> {
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

    fn sample(&mut self, sample: emberkeep_proto::Sample, canonical: &[u8]) {
        let judged = match self.judge {
            Judge::Rules(rules) => rules.time(sample.timestamp, sample.start_timestamp),
            Judge::Recorded(_) => Ok(()),
        };
        let place = || format!("series {}: timestamp {}", show(canonical), sample.timestamp);
        if self.is_kept(judged, place) {
            self.intake.batch.push_sample(sample);
        }
    }

    fn series_metadata(
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

    fn histogram(
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

    fn exemplars<'w>(&mut self, entry: &impl Entry<'w>, canonical: &[u8]) -> Result<(), IntakeError> {
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
    fn family(&mut self, family: &[u8], wire: WireMetadata<'_>) -> Result<(), IntakeError> {
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
    fn metadata<'w>(
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
    fn is_kept(&mut self, judged: Result<(), Refusal>, place: impl Fn() -> String) -> bool {
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

    /// Refuses all items of a series. In replay the verdict must have refused them, too.
    fn bad_series(&mut self, carries: Counts, reason: String) -> Result<(), IntakeError> {
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

    fn take_ordinal(&mut self) -> u32 {
        let ordinal = self.next;
        // A body is far shorter than 4 GiB, and every item takes bytes.
        self.next = ordinal.saturating_add(1).min(u32::MAX - 1);
        ordinal
    }

    fn check_samples_number(&self) -> Result<(), IntakeError> {
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

    fn check_size(&self) -> Result<(), IntakeError> {
        match self.judge {
            Judge::Rules(rules) if self.expanded.max(self.intake.batch.bytes()) > rules.batch_bytes_max => {
                Err(IntakeError::TooLarge(rules.batch_bytes_max))
            }
            _ => Ok(()),
        }
    }
}

impl Intake<'_> {
    fn tell(&mut self, text: impl FnOnce() -> String) {
        self.first_refusal
            .get_or_insert_with(|| shorten(text(), TOLD_BYTES_MAX));
    }

    /// Everything refused by the rules that the sender must hear of.
    pub(crate) fn n_refusals(&self) -> usize {
        self.n_ahead + self.n_refused + self.n_bad_series
    }
}

fn within(found: usize, what: &'static str, limit: usize) -> Result<(), IntakeError> {
    if found > limit {
        return Err(IntakeError::TooMany { found, what, limit });
    }
    Ok(())
}

/// Senders of 2.0 put it beside every series that they know nothing about.
fn is_empty(metadata: BatchMetadata<'_>) -> bool {
    metadata.metric_type == MetricType::Unknown && metadata.unit.is_empty() && metadata.help.is_empty()
}

fn metadata_key(metadata: write_v2::Metadata<'_>) -> MetadataKey {
    (metadata.metric_type, metadata.help_ref, metadata.unit_ref)
}

/// A body is far shorter than 4 GiB, and every item takes bytes.
fn ordinals(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

fn show(canonical: &[u8]) -> String {
    let text = Labels::from_canonical(canonical).map_or_else(|e| e.to_string(), |l| l.to_string());
    shorten(text, SHOWN_BYTES_MAX)
}

fn shorten(text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    format!("{}...", &text[..text.floor_char_boundary(most)])
}

#[cfg(test)]
mod tests;
