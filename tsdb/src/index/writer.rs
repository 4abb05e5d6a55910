//! Writes an index from series that come in label order.
//!
//! The symbol table stands before the series and cannot be known before the last of them, so entries wait in a spool file beside the
//! index, with numbers in place of symbols. Memory is bounded by distinct symbols (their bytes + 10 each), distinct label pairs
//! (30 bytes each) and postings (4 bytes for each label of each series); chunks and samples never count. The spool is removed at the end.

use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use emberkeep_model::Labels;

use super::pairs::Pairs;
use super::series::{check_chunks, encode_chunks};
use super::toc::Toc;
use super::{MAGIC, SERIES_ALIGNMENT, VERSION, postings};
use crate::bytes::{Cursor, put_uvarint};
use crate::error::{corrupt, io_error};
use crate::output::Output;
use crate::{ChunkMeta, TsdbError};

/// Builds the index of one block.
#[derive(Debug)]
pub struct IndexWriter {
    path: PathBuf,
    spool: Output,
    pairs: Pairs,
    series: u64,
    /// Labels of all series.
    postings: u64,
    last_labels: Option<Labels>,
    last_reference: u64,
    numbers: Vec<u32>,
    record: Vec<u8>,
}

impl IndexWriter {
    /// Starts an index at a path where no file is yet; the spool lies beside it under the same name with `.spool`.
    ///
    /// # Errors
    /// [`TsdbError::Io`].
    pub fn create(path: &Path) -> Result<Self, TsdbError> {
        let spool = Output::create(&path.with_extension("spool"))?;
        let mut pairs = Pairs::default();
        // Prometheus' own blocks hold the empty string, the name of the list of all series. Readers do not need it.
        pairs.symbols.intern(b"")?;
        Ok(Self {
            path: path.to_owned(),
            spool,
            pairs,
            series: 0,
            postings: 0,
            last_labels: None,
            last_reference: 0,
            numbers: Vec::new(),
            record: Vec::new(),
        })
    }

    /// Whether a series may come next: not empty, and after the previous one.
    ///
    /// # Errors
    /// [`TsdbError::Refused`] says why not.
    pub fn check_order(&self, labels: &Labels) -> Result<(), TsdbError> {
        if labels.is_empty() {
            return Err(TsdbError::Refused("a series has no labels".to_owned()));
        }
        match &self.last_labels {
            Some(last) if labels <= last => Err(TsdbError::Refused(format!(
                "series `{labels}` does not come after `{last}`"
            ))),
            _ => Ok(()),
        }
    }

    /// Adds the next series.
    ///
    /// # Errors
    /// [`TsdbError::Refused`] when series or chunks are out of order or there is no chunk (`promtool tsdb analyze` panics at one
    /// without), [`TsdbError::TooLarge`], [`TsdbError::Io`].
    pub fn push(&mut self, labels: &Labels, chunks: &[ChunkMeta]) -> Result<(), TsdbError> {
        self.check_order(labels)?;
        let refused = |what| TsdbError::Refused(format!("series `{labels}`: {what}"));
        check_chunks(chunks, self.last_reference).map_err(refused)?;
        let last_chunk = chunks.last().ok_or_else(|| refused("it has no chunk"))?;
        self.pairs.add_series(labels.iter(), &mut self.numbers)?;
        self.record.clear();
        put_uvarint(&mut self.record, self.numbers.len() as u64);
        for &number in &self.numbers {
            put_uvarint(&mut self.record, u64::from(number));
        }
        encode_chunks(chunks, &mut self.record);
        let length = u32::try_from(self.record.len()).map_err(|_| TsdbError::TooLarge {
            what: "a series entry in bytes",
            limit: u64::from(u32::MAX),
        })?;
        self.spool.put(&length.to_be_bytes())?;
        self.spool.put(&self.record)?;
        self.series += 1;
        self.postings += self.numbers.len() as u64;
        self.last_reference = last_chunk.reference;
        self.last_labels = Some(labels.clone());
        Ok(())
    }

    /// Bytes of memory that are held now and will be until the index is finished.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let (symbols, pairs) = (self.pairs.symbols.len() as u64, self.pairs.all().len() as u64);
        // The order of symbols and their ranks; the order of pairs and where their lists go; the lists.
        let to_finish = 8 * symbols + 12 * pairs + 4 * (self.postings + self.series);
        self.pairs.heap_bytes() as u64 + to_finish
    }

    /// Bytes of memory that reading and verifying the finished index will need.
    #[must_use]
    pub fn memory_of_reading(&self) -> u64 {
        let (symbols, pairs) = (self.pairs.symbols.len() as u64, self.pairs.all().len() as u64);
        let texts = self.pairs.symbols.text_bytes() as u64;
        // The file itself: entries with their alignment and checksums, symbols, lists and the table that names them.
        let file = self.spool.position() + 24 * self.series + texts + 3 * symbols + 4 * self.postings + 48 * pairs;
        // Where symbols and lists lie, the list of all series, and all lists once more with a place in each.
        file + 16 * symbols + 72 * pairs + 4 * self.series + 4 * self.postings
    }

    /// Bytes that wait in the spool file.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.spool.position()
    }

    /// Writes the index, syncs it and removes the spool. The directory is the caller's to sync.
    ///
    /// # Errors
    /// [`TsdbError::TooLarge`] beyond 64 GiB of series or 4 GiB of symbols, [`TsdbError::Io`].
    pub fn finish(self) -> Result<(), TsdbError> {
        let Self {
            path,
            spool,
            pairs,
            series,
            ..
        } = self;
        let mut output = Output::create(&path)?;
        output.put(&MAGIC.to_be_bytes())?;
        output.put(&[VERSION])?;
        let mut toc = Toc {
            symbols: output.position(),
            ..Toc::default()
        };
        let sorted = pairs.symbols.sorted();
        pairs.symbols.write(&sorted, &mut output)?;
        let mut ranks = vec![0u32; sorted.len()];
        for (rank, &number) in sorted.iter().enumerate() {
            ranks[number as usize] = rank as u32;
        }
        drop(sorted);

        let mut order: Vec<u32> = (0..pairs.all().len() as u32).collect();
        order.sort_unstable_by_key(|&n| {
            let pair = pairs.all()[n as usize];
            (ranks[pair.name as usize], ranks[pair.value as usize])
        });
        let mut lists = Lists::new(&pairs, &order, series);
        toc.series = output.position();
        let (mut spool, spool_path) = spool.into_file()?;
        write_series(&mut spool, &spool_path, &pairs, &ranks, &mut lists, &mut output)?;
        drop(spool);
        fs::remove_file(&spool_path).map_err(io_error("remove", &spool_path))?;

        toc.postings = output.position();
        let first_list = toc.postings.next_multiple_of(4);
        postings::write_list(&lists.all, &mut output)?;
        for &number in &order {
            postings::write_list(lists.of(&pairs, number), &mut output)?;
        }
        toc.postings_table = output.position();
        let named = order.iter().map(|&number| {
            let pair = pairs.all()[number as usize];
            (
                pairs.symbols.bytes_of(pair.name),
                pairs.symbols.bytes_of(pair.value),
                pair.count,
            )
        });
        let all: (&[u8], &[u8], u32) = (b"", b"", lists.all.len() as u32);
        postings::write_table(std::iter::once(all).chain(named), first_list, &mut output)?;
        output.put(&toc.encode())?;
        output.finish()
    }
}

/// All postings lists in one vector.
struct Lists {
    series: u64,
    all: Vec<u32>,
    ids: Vec<u32>,
    /// For each pair, where its next id goes; its end when all series are written.
    next: Vec<usize>,
}

impl Lists {
    fn new(pairs: &Pairs, order: &[u32], series: u64) -> Self {
        let mut next = vec![0; order.len()];
        let mut total = 0;
        for &number in order {
            next[number as usize] = total;
            total += pairs.all()[number as usize].count as usize;
        }
        Self {
            series,
            all: Vec::with_capacity(series as usize),
            ids: vec![0; total],
            next,
        }
    }

    fn of(&self, pairs: &Pairs, number: u32) -> &[u32] {
        let end = self.next[number as usize];
        &self.ids[end - pairs.all()[number as usize].count as usize..end]
    }
}

/// Copies the entries from the spool to the index, with symbols in place of numbers, and notes their ids.
fn write_series(
    spool: &mut File,
    spool_path: &Path,
    pairs: &Pairs,
    ranks: &[u32],
    lists: &mut Lists,
    output: &mut Output,
) -> Result<(), TsdbError> {
    let read = || io_error("read", spool_path);
    let damaged = || corrupt(|| format!("`{}`", spool_path.display()));
    spool.seek(SeekFrom::Start(0)).map_err(read())?;
    let mut spool = BufReader::with_capacity(1 << 20, spool);
    let (mut record, mut content, mut length_bytes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..lists.series {
        let mut length = [0; 4];
        spool.read_exact(&mut length).map_err(read())?;
        record.resize(u32::from_be_bytes(length) as usize, 0);
        spool.read_exact(&mut record).map_err(read())?;

        output.pad(SERIES_ALIGNMENT)?;
        let id = u32::try_from(output.position() / SERIES_ALIGNMENT).map_err(|_| TsdbError::TooLarge {
            what: "the series section in GiB",
            limit: 64,
        })?;
        lists.all.push(id);
        let mut cursor = Cursor::new(&record);
        let labels = cursor.uvarint().map_err(damaged())?;
        content.clear();
        put_uvarint(&mut content, labels);
        for _ in 0..labels {
            let number = cursor.uvarint32().map_err(damaged())? as usize;
            let pair = pairs
                .all()
                .get(number)
                .ok_or("there is no such label pair")
                .map_err(damaged())?;
            put_uvarint(&mut content, u64::from(ranks[pair.name as usize]));
            put_uvarint(&mut content, u64::from(ranks[pair.value as usize]));
            lists.ids[lists.next[number]] = id;
            lists.next[number] += 1;
        }
        content.extend_from_slice(cursor.bytes(cursor.remaining() as u64).map_err(damaged())?);
        length_bytes.clear();
        put_uvarint(&mut length_bytes, content.len() as u64);
        output.put(&length_bytes)?;
        output.begin_sum();
        output.put(&content)?;
        output.end_sum()?;
    }
    Ok(())
}
