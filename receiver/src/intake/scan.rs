//! The first look at a body: where its entries are, the samples of the plain ones, and which of their series the table knows.
//!
//! Three tight loops instead of one that does everything: scan, look up, judge. It must not judge anything itself; what it allocates is
//! bounded by the limits of a request, looked at while it grows.

use emberkeep_proto::write_v2::{MetadataRefs, Symbols};
use emberkeep_proto::{SampleColumns, WireError, write_v1, write_v2};

use super::entry::{WireLabel, WireMetadata, texts_of};
use super::{IntakeError, Request};
use crate::batch::Spelling;
use crate::series_table::{KnownSymbols, Lookup, SpelledAs, SpellingHash};

/// A symbol that was not looked for yet, and one that the table does not know.
const NOT_ASKED: u32 = u32::MAX;
const NOT_KNOWN: u32 = u32::MAX - 1;

/// How often the bounds are looked at.
const LOOK_EVERY: usize = 1024;

/// What a request may hold while it is scanned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) series: usize,
    pub(super) bytes: usize,
}

impl Bounds {
    /// For what a verdict has accepted: the limits of its time bound it.
    pub(super) const NONE: Self = Self {
        series: usize::MAX,
        bytes: usize::MAX,
    };
}

/// One series entry, in the order of the wire.
#[derive(Debug)]
pub(super) enum Item {
    Plain(Plain),
    /// Its number among those that are not plain.
    Other(u32),
}

/// An entry of labels, floats and perhaps metadata. Its lookup has the same place among the lookups as it among the plain ones.
#[derive(Debug)]
pub(super) struct Plain {
    /// Start and length in the body: the label region, or the packed references.
    pub(super) spelling: (u32, u32),
    /// From and to in the columns.
    pub(super) samples: (u32, u32),
    /// Its number in the metadata.
    pub(super) metadata: Option<u32>,
}

/// What a body holds; `E` is what the protocol calls a series entry.
#[derive(Debug)]
pub(super) struct Scan<'r, 'a, E> {
    pub(super) items: Vec<Item>,
    pub(super) lookups: Vec<Lookup>,
    pub(super) samples: SampleColumns,
    pub(super) others: Vec<E>,
    /// Of plain entries, version 2.0.
    pub(super) metadata: Vec<MetadataRefs>,
    /// Of families, version 1.0.
    pub(super) families: Vec<write_v1::Metadata<'a>>,
    pub(super) labels: PlainLabels<'r, 'a>,
    n_entries: usize,
}

/// How the labels of a plain entry are read, where its series is not known.
#[derive(Debug, Clone, Copy)]
pub(super) enum PlainLabels<'r, 'a> {
    Regions,
    Refs(&'r Symbols<'a>),
}

impl<'a> PlainLabels<'_, 'a> {
    /// The labels that bytes of the body spell.
    pub(super) fn of<'s>(
        &'s self,
        spelling: &'a [u8],
    ) -> Result<Box<dyn Iterator<Item = WireLabel<'a>> + 's>, WireError> {
        Ok(match self {
            Self::Regions => Box::new(write_v1::check_labels(spelling)?.map(Ok)),
            Self::Refs(symbols) => {
                let labels = symbols.packed_labels(spelling)?;
                Box::new(labels.map(|label| label.map_err(|error| error.to_string())))
            }
        })
    }

    /// Metadata with its texts, or why there are none. Version 1.0 has none here.
    pub(super) fn texts(&self, refs: MetadataRefs) -> Result<WireMetadata<'a>, String> {
        match self {
            Self::Regions => Ok(WireMetadata::default()),
            Self::Refs(symbols) => texts_of(&refs.resolve(symbols)),
        }
    }

    /// By what the table is to know them.
    pub(super) fn spelling(&self, spelling: &'a [u8]) -> Spelling<'a> {
        match self {
            Self::Regions => Spelling::Region(spelling),
            Self::Refs(_) => Spelling::Refs(spelling),
        }
    }
}

impl<'r, 'a, E> Scan<'r, 'a, E> {
    fn new(labels: PlainLabels<'r, 'a>, body: &[u8]) -> Self {
        // Series entries are rarely shorter; what is reserved is as much as the body at most.
        let entries = body.len() / 128;
        Self {
            items: Vec::with_capacity(entries),
            lookups: Vec::with_capacity(entries),
            samples: SampleColumns {
                timestamps: Vec::with_capacity(entries),
                values: Vec::with_capacity(entries),
                start_timestamps: Vec::new(),
            },
            others: Vec::new(),
            metadata: Vec::new(),
            families: Vec::new(),
            labels,
            n_entries: 0,
        }
    }

    fn push_plain(&mut self, spelling: (u32, u32), from: usize, metadata: Option<MetadataRefs>) {
        let metadata = metadata.map(|metadata| {
            self.metadata.push(metadata);
            number(self.metadata.len() - 1)
        });
        self.items.push(Item::Plain(Plain {
            spelling,
            samples: (number(from), number(self.samples.len())),
            metadata,
        }));
    }

    fn push_other(&mut self, entry: E) {
        self.items.push(Item::Other(number(self.others.len())));
        self.others.push(entry);
    }

    /// Counts an entry, and looks at the bounds now and then.
    fn count_entry(&mut self, bounds: Bounds) -> Result<(), IntakeError> {
        self.n_entries += 1;
        if self.n_entries.is_multiple_of(LOOK_EVERY) && self.bytes() > bounds.bytes {
            return Err(IntakeError::TooLarge(bounds.bytes));
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.items.len() * size_of::<Item>()
            + self.lookups.len() * size_of::<Lookup>()
            + self.samples.bytes()
            + self.others.len() * size_of::<E>()
            + self.metadata.len() * size_of::<MetadataRefs>()
            + self.families.len() * size_of::<write_v1::Metadata<'_>>()
    }
}

impl<'a> Scan<'_, 'a, write_v1::Series<'a>> {
    /// Scans version 1.0.
    pub(super) fn v1(request: &Request<'a, '_>, bounds: Bounds) -> Result<Self, IntakeError> {
        let body = request.body;
        let hash = SpellingHash::new(request.tenant, SpelledAs::Region);
        let mut scan = Self::new(PlainLabels::Regions, body);
        let mut entries = write_v1::Entries::new(body);
        let mut guide = request.table.guide(request.tenant, SpelledAs::Region);
        let mut n_series = 0;
        loop {
            let from = scan.samples.len();
            match entries.next_entry(guide.expected(), &mut scan.samples)? {
                Some(write_v1::Entry::Expected { region }) => {
                    let (hash, position) = guide.right().expect("what was expected is there");
                    let spelling = place(body, region);
                    scan.lookups.push(Lookup {
                        hash,
                        key: spelling,
                        found: Some(position),
                    });
                    scan.push_plain(spelling, from, None);
                    n_series += 1;
                }
                Some(write_v1::Entry::Plain { region }) if from == scan.samples.len() => {
                    // Version 1.0 does not forbid an empty series, and there is nothing to lose.
                    drop(write_v1::check_labels(region)?);
                    n_series += 1;
                }
                Some(write_v1::Entry::Plain { region }) => {
                    let spelling = place(body, region);
                    let hash = hash.of(region);
                    scan.lookups.push(Lookup {
                        hash,
                        key: spelling,
                        found: guide.wrong(hash, region),
                    });
                    scan.push_plain(spelling, from, None);
                    n_series += 1;
                }
                Some(write_v1::Entry::Series(series)) => {
                    scan.push_other(series);
                    n_series += 1;
                }
                Some(write_v1::Entry::Metadata(metadata)) => scan.families.push(metadata),
                None => break,
            }
            if n_series > bounds.series {
                let found = write_v1::Request::parse(body)?.n_series();
                return Err(too_many(found, bounds));
            }
            scan.count_entry(bounds)?;
        }
        drop(guide);
        request
            .table
            .recognise(request.tenant, SpelledAs::Region, body, &mut scan.lookups);
        Ok(scan)
    }
}

impl<'r, 'a> Scan<'r, 'a, write_v2::Series<'r, 'a>> {
    /// Scans version 2.0.
    pub(super) fn v2(request: &Request<'a, '_>, symbols: &'r Symbols<'a>, bounds: Bounds) -> Result<Self, IntakeError> {
        let body = request.body;
        let hash = SpellingHash::new(request.tenant, SpelledAs::Symbols);
        let mut scan = Self::new(PlainLabels::Refs(symbols), body);
        let mut entries = write_v2::Entries::new(body, symbols);
        // Symbols before shards, as everywhere: who enters series holds both for a moment.
        let mut numbers = Numbers::new(symbols, request.table.symbols());
        let mut guide = request.table.guide(request.tenant, SpelledAs::Symbols);
        let mut keys = Vec::with_capacity(body.len());
        loop {
            let from = scan.samples.len();
            match entries.next_entry(&mut scan.samples)? {
                Some(write_v2::Entry::Plain { refs, metadata }) => {
                    let key = numbers.push_key(refs, &mut keys)?;
                    let spelling = &keys[key.0 as usize..];
                    let expected = guide.expected();
                    let lookup = if !spelling.is_empty() && expected == spelling {
                        let (hash, position) = guide.right().expect("what was expected is there");
                        let found = Some(position);
                        Lookup { hash, key, found }
                    } else {
                        let hash = hash.of(spelling);
                        let found = guide.wrong(hash, spelling);
                        Lookup { hash, key, found }
                    };
                    scan.lookups.push(lookup);
                    scan.push_plain(place(body, refs), from, metadata);
                }
                Some(write_v2::Entry::Series(series)) => scan.push_other(series),
                None => break,
            }
            if scan.items.len() > bounds.series {
                let found = write_v2::Request::parse(body)?.n_series();
                return Err(too_many(found, bounds));
            }
            scan.count_entry(bounds)?;
        }
        drop(guide);
        drop(numbers);
        request
            .table
            .recognise(request.tenant, SpelledAs::Symbols, &keys, &mut scan.lookups);
        Ok(scan)
    }
}

/// The numbers that the table has for the symbols of a request, each looked for once.
struct Numbers<'r, 'a, 't> {
    symbols: &'r Symbols<'a>,
    known: KnownSymbols<'t>,
    /// By reference.
    numbers: Vec<u32>,
}

impl<'r, 'a, 't> Numbers<'r, 'a, 't> {
    fn new(symbols: &'r Symbols<'a>, known: KnownSymbols<'t>) -> Self {
        Self {
            symbols,
            known,
            numbers: vec![NOT_ASKED; symbols.len()],
        }
    }

    /// Puts the numbers of references behind the others, four bytes each; nothing when one of them is not known, or stands for no symbol.
    fn push_key(&mut self, refs: &[u8], keys: &mut Vec<u8>) -> Result<(u32, u32), WireError> {
        let from = keys.len();
        let mut is_known = true;
        for reference in write_v2::packed_refs(refs) {
            let reference = reference?;
            let found = match self.numbers.get(reference as usize) {
                Some(&NOT_ASKED) => self.ask(reference),
                Some(&found) => found,
                None => NOT_KNOWN,
            };
            is_known &= found != NOT_KNOWN;
            keys.extend_from_slice(&found.to_le_bytes());
        }
        if !is_known {
            keys.truncate(from);
        }
        Ok((number(from), number(keys.len() - from)))
    }
}

impl Numbers<'_, '_, '_> {
    fn ask(&mut self, reference: u32) -> u32 {
        let symbol = self.symbols.get(reference).unwrap_or_default();
        let found = self.known.find(symbol).unwrap_or(NOT_KNOWN);
        self.numbers[reference as usize] = found;
        found
    }
}

/// Where a part of the body is in it.
fn place(body: &[u8], part: &[u8]) -> (u32, u32) {
    let start = part.as_ptr().addr() - body.as_ptr().addr();
    (number(start), number(part.len()))
}

/// A body is far shorter than 4 GiB, and whatever is counted takes bytes.
fn number(n: usize) -> u32 {
    u32::try_from(n).expect("a body is shorter than 4 GiB")
}

fn too_many(found: usize, bounds: Bounds) -> IntakeError {
    IntakeError::TooMany {
        found,
        what: "series",
        limit: bounds.series,
    }
}
