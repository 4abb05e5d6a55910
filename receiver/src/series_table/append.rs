//! Appending a batch to the table: the head half of the write path.
//!
//! Known series are positions, so a sample is written at the end of a few columns and nothing of its series is touched. Unknown ones are
//! entered first. A batch that was recognised by the table of an older generation brings its labels from there.

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use emberkeep_model::TenantId;

use super::blocks::Block;
use super::interner::Interner;
use super::trail::Step;
use super::{SeriesTable, SpelledAs, SpellingHash, by_shard, shard_of};
use crate::batch::{Batch, Identity, Spelling};

/// A series that this table may not have: how it is spelled here, and its labels.
struct Newcomer<'b> {
    spelled: SpelledAs,
    hash: u64,
    key: Cow<'b, [u8]>,
    region: Cow<'b, [u8]>,
}

/// A batch on its way into this table.
struct Arriving<'b, 'a> {
    batch: &'b Batch<'a>,
    /// By the number of the series in the batch, those only that are no known positions of this table.
    newcomers: Vec<Newcomer<'b>>,
    /// For each series of the batch its hash here, and its position or the number of its newcomer.
    places: Vec<(u64, Identity)>,
}

impl SeriesTable {
    /// Appends all that a batch holds; `recognised_by` is the table in which its known series are known, and `arrival` is when metadata
    /// was seen.
    #[inline(never)]
    pub(crate) fn append(&self, tenant: &TenantId, batch: &Batch<'_>, recognised_by: &SeriesTable, arrival: i64) {
        let (origin, mut added) = self.tenants.find_or_insert(tenant);
        added += self.families.append(tenant, batch, arrival);
        let (arriving, grown) = self.prepare(tenant, batch, recognised_by);
        added += grown;
        let (variants, grown) = self.number_variants(batch);
        added += grown;
        let (first_step, grown) = self.trail.reserve(arriving.newcomers.len());
        added += grown;
        let block = arriving.block();
        let mut steps = vec![Step::NOBODY; arriving.newcomers.len()];
        let mut n_new = 0;
        let order = by_shard((0..).zip(&arriving.places).map(|(i, (hash, _))| (i, *hash)));
        for (number_of_shard, chosen) in order.shards() {
            let mut shard = self.shards[number_of_shard].write();
            let n_before = shard.n_series();
            for &i in chosen {
                let series = &batch.series()[i as usize];
                if series.is_empty() {
                    continue;
                }
                let position = match arriving.places[i as usize].1 {
                    Identity::Known(position) => position,
                    Identity::Unknown(number) => {
                        let new = &arriving.newcomers[number as usize];
                        let step = first_step.saturating_add(number);
                        let (position, grown) =
                            shard.find_or_insert(origin(new.spelled), new.hash, block.series(number), step);
                        added += grown;
                        steps[number as usize] = Step::of(number_of_shard, position);
                        position
                    }
                };
                added += shard.rows.append(position, batch.samples_of(series));
                if let Some(metadata) = series.metadata() {
                    added += shard.seen_with.see(position, variants[metadata as usize], arrival);
                }
                if let Some(others) = batch.others_of(series) {
                    added += shard.others.entry(position).or_default().append(&others);
                }
            }
            n_new += shard.n_series() - n_before;
        }
        if n_new > 0 {
            added += block.bytes();
        }
        self.trail.fill(first_step, &steps);
        self.n_series.fetch_add(n_new as u64, Ordering::Relaxed);
        self.bytes.fetch_add(added, Ordering::Relaxed);
        self.rows.fetch_add(batch.counts().total() as u64, Ordering::Relaxed);
    }

    /// The number that each variant of metadata has here, and by how many bytes the table grew for them.
    fn number_variants(&self, batch: &Batch<'_>) -> (Vec<u32>, usize) {
        let mut grown = 0;
        let of_series = batch.metadata();
        if of_series.len() == 0 {
            return (Vec::new(), 0);
        }
        let mut variants = self.variants.write();
        let numbers = of_series.map(|metadata| {
            let (number, added) = variants.intern(metadata);
            grown += added;
            number
        });
        (numbers.collect(), grown)
    }

    /// Where each series of a batch belongs, and by how many bytes the table grew for its symbols.
    fn prepare<'b, 'a>(
        &self,
        tenant: &TenantId,
        batch: &'b Batch<'a>,
        recognised_by: &SeriesTable,
    ) -> (Arriving<'b, 'a>, usize) {
        let is_foreign = !std::ptr::eq(self, recognised_by);
        let hash = |spelled| SpellingHash::new(tenant, spelled);
        let mut arriving = Arriving {
            batch,
            newcomers: Vec::new(),
            places: Vec::with_capacity(batch.series().len()),
        };
        let mut symbols = None;
        let mut grown = 0;
        for series in batch.series() {
            let identity = match series.identity {
                known @ Identity::Known(_) if !is_foreign => {
                    arriving.places.push((series.hash, known));
                    continue;
                }
                Identity::Known(position) => {
                    let shard = recognised_by.shards[shard_of(series.hash)].read();
                    let region = shard.region(position).0.to_vec();
                    Newcomer {
                        spelled: SpelledAs::Region,
                        hash: hash(SpelledAs::Region).of(&region),
                        key: Cow::Owned(region.clone()),
                        region: Cow::Owned(region),
                    }
                }
                Identity::Unknown(number) => match batch.unknown(number) {
                    (Spelling::Region(key), region) => Newcomer {
                        spelled: SpelledAs::Region,
                        hash: series.hash,
                        key: Cow::Borrowed(key),
                        region: Cow::Borrowed(region),
                    },
                    (Spelling::Refs(refs), region) => {
                        let symbols = symbols.get_or_insert_with(|| self.symbols.write());
                        let (key, added) = arriving.intern(refs, symbols);
                        grown += added;
                        Newcomer {
                            spelled: SpelledAs::Symbols,
                            hash: hash(SpelledAs::Symbols).of(&key),
                            key: Cow::Owned(key),
                            region: Cow::Borrowed(region),
                        }
                    }
                    (Spelling::Normal, region) => Newcomer {
                        spelled: SpelledAs::Region,
                        hash: hash(SpelledAs::Region).of(region),
                        key: Cow::Borrowed(region),
                        region: Cow::Borrowed(region),
                    },
                },
            };
            arriving.enter(identity);
        }
        (arriving, grown)
    }
}

impl<'b> Arriving<'b, '_> {
    fn enter(&mut self, newcomer: Newcomer<'b>) {
        let number = u32::try_from(self.newcomers.len()).expect("a request has far fewer than 4 G series");
        self.places.push((newcomer.hash, Identity::Unknown(number)));
        self.newcomers.push(newcomer);
    }

    /// The bytes of the newcomers.
    fn block(&self) -> Block {
        Block::write(self.newcomers.iter().map(|new| (&*new.key, &*new.region)))
    }

    /// The numbers of the symbols that references stand for, four bytes each.
    fn intern(&self, refs: &[u8], symbols: &mut Interner) -> (Vec<u8>, usize) {
        let table = self.batch.symbols.as_ref();
        let mut grown = 0;
        let mut key = Vec::with_capacity(refs.len() * 2);
        for reference in emberkeep_proto::write_v2::packed_refs(refs).flatten() {
            // Intake followed every reference that it accepted.
            let symbol = table.and_then(|table| table.get(reference)).unwrap_or_default();
            let (number, added) = symbols.intern(symbol);
            grown += added;
            key.extend_from_slice(&number.to_le_bytes());
        }
        (key, grown)
    }
}
