//! One file of a part, opened for reading: its footer, its page index, and ranges of its bytes.
//!
//! Whatever the bytes say, a reader gets an error and not a panic; and what does not fit the catalog's entry is refused here.
//! The decoder asserts some of what a footer says, so it is called behind [`guarded`] only.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::datatypes::Field;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt};
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, RowSelection};
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder};

use emberkeep_model::TenantId;

use super::file_keys::FileKeys;
use super::footer::{Footer, KEY};
use super::page_header::{check_modules, check_pages};
use super::read_ahead::ReadAhead;
use super::schema::{self, Form};
use super::sealing::SEALED_MAGIC;
use super::{PartInfo, PartOrigin, TenantSummary};
use crate::ArchiveError;
use crate::catalog::FileEntry;
use crate::keys::{KeySlot, KeyStamp, Keys};

/// How much of the end is read first: footer and page index of all but very large files. Those of series tables take up to a twentieth of
/// the file.
fn tail_bytes(bytes: u64) -> u64 {
    (bytes / 16).clamp(16 << 10, 256 << 10)
}

/// Ranges that are nearer than this may be read together with what lies between them.
const GAP_BYTES: u64 = 256 << 10;

/// As [`GAP_BYTES`], for who waits for several requests at the same time and reads on where others lie between.
const GAP_BYTES_AHEAD: u64 = 64 << 10;

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 4096;

/// Rows of one row group, counted from its start, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GroupRows {
    pub(super) row_group: usize,
    /// Rows of the whole group.
    pub(super) row_count: usize,
    /// The rows that are meant.
    pub(super) rows: Vec<Range<usize>>,
}

impl GroupRows {
    /// Takes up to `count` rows off the front.
    pub(super) fn take(&mut self, count: usize) -> Self {
        let mut taken = Self {
            rows: Vec::new(),
            ..*self
        };
        let mut left = count;
        while left > 0 && !self.rows.is_empty() {
            let first = &mut self.rows[0];
            let end = first.end.min(first.start + left);
            taken.rows.push(first.start..end);
            left -= end - first.start;
            first.start = end;
            if first.start == first.end {
                self.rows.remove(0);
            }
        }
        taken
    }
}

/// Pages as they lie in the file.
#[derive(Debug, Default)]
pub(super) struct Pages(Vec<(Range<u64>, Bytes)>);

impl Pages {
    /// What was fetched, in order of where it lies.
    pub(super) fn new(ranges: &[Range<u64>], bytes: Vec<Bytes>) -> Self {
        let mut pages: Vec<_> = ranges.iter().cloned().zip(bytes).collect();
        pages.sort_by_key(|(range, _)| range.start);
        Self(pages)
    }

    /// Some of the bytes, when all of them were fetched at once.
    pub(super) fn slice(&self, wanted: &Range<u64>) -> Option<Bytes> {
        let before = self.0.partition_point(|(range, _)| range.start <= wanted.start);
        let (range, bytes) = &self.0[before.checked_sub(1)?];
        if wanted.start > wanted.end || wanted.end > range.end {
            return None;
        }
        let from = usize::try_from(wanted.start - range.start).ok()?;
        let length = usize::try_from(wanted.end - wanted.start).ok()?;
        Some(bytes.slice(from..from + length))
    }
}

/// An open file of a part. Clones share what was read.
#[derive(Clone)]
pub(super) struct PartFile {
    store: Arc<dyn ObjectStore>,
    location: Path,
    bytes: u64,
    is_sealed: bool,
    metadata: ArrowReaderMetadata,
    info: Arc<PartInfo>,
    form: Form,
    tenants: Option<Arc<BTreeMap<String, TenantSummary>>>,
    /// Dotted paths of the leaf columns.
    leaves: Arc<[String]>,
    /// Ranges that are nearer than this are read together.
    gap_bytes: u64,
    /// What was fetched before it is asked for, by the one reader that has this clone.
    ahead: Option<Arc<ReadAhead>>,
}

impl fmt::Debug for PartFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartFile")
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

impl PartFile {
    /// Reads footer and page index: one ranged read for most files.
    pub(super) async fn open(
        store: Arc<dyn ObjectStore>,
        entry: &FileEntry,
        part: i64,
        column_index: PageIndexPolicy,
    ) -> Result<Self, ArchiveError> {
        let location = entry.location()?;
        let Loaded { parquet, is_sealed, .. } = load(&*store, &location, entry.bytes, column_index).await?;
        let corrupt = |reason: String| ArchiveError::corrupt(&location, reason);
        let (footer, rows) = footer_in(&parquet, &location)?;
        if rows != entry.rows {
            return Err(corrupt(format!(
                "its row groups do not have the {} rows that the catalog says",
                entry.rows
            )));
        }
        if footer.kind != entry.kind || footer.part != part {
            let (kind, number) = (footer.kind.as_str(), footer.part);
            return Err(corrupt(format!("it says that it is `{kind}` of part {number}")));
        }
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = guarded(&location, || ArrowReaderMetadata::try_new(Arc::new(parquet), options))?;
        let info = footer
            .info()
            .map_err(|what| corrupt(format!("its footer has {what}")))?;
        // Every column is there, with its type, or it is not a part of this level and version.
        for field in schema::of(entry.kind, footer.form()).fields() {
            let found = metadata.schema().field_with_name(field.name());
            let is_same =
                |found: &Field| found.data_type() == field.data_type() && found.is_nullable() == field.is_nullable();
            if found.is_ok_and(is_same) {
                continue;
            }
            return Err(corrupt(format!(
                "column `{}` is missing or has another type",
                field.name()
            )));
        }
        let leaves = metadata.parquet_schema().columns();
        Ok(Self {
            store,
            location,
            bytes: entry.bytes,
            is_sealed,
            leaves: leaves.iter().map(|column| column.path().string()).collect(),
            metadata,
            info: Arc::new(info),
            form: footer.form(),
            tenants: footer.tenants().cloned().map(Arc::new),
            gap_bytes: GAP_BYTES,
            ahead: None,
        })
    }

    /// The same for one reader that says what it will ask for, and then holds up to so many bytes before it does.
    pub(super) fn with_ahead(&self, most_bytes: u64) -> Self {
        let ahead = ReadAhead::new(Arc::clone(&self.store), self.location.clone(), most_bytes);
        Self {
            ahead: Some(Arc::new(ahead)),
            ..self.of_many_requests()
        }
    }

    /// The same for a reader that has several requests under way, which need not be as few as possible.
    pub(super) fn of_many_requests(&self) -> Self {
        Self {
            gap_bytes: GAP_BYTES_AHEAD,
            ..self.clone()
        }
    }

    /// What this reader has fetched before it asks for it.
    pub(super) fn ahead(&self) -> Option<&ReadAhead> {
        self.ahead.as_deref()
    }

    /// Length of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn metadata(&self) -> &Arc<ParquetMetaData> {
        self.metadata.metadata()
    }

    /// Where the part comes from.
    pub(super) fn info(&self) -> &PartInfo {
        &self.info
    }

    /// Which columns the file has.
    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// What each tenant has in the part, where the footer says so.
    pub(super) fn tenants(&self) -> Option<&BTreeMap<String, TenantSummary>> {
        self.tenants.as_deref()
    }

    /// The day in which all rows lie, from level 1.
    pub(super) fn day(&self) -> Option<i32> {
        match &self.info.origin {
            PartOrigin::Flush { .. } => None,
            PartOrigin::Compacted(of) => Some(of.day),
        }
    }

    /// Whether rows of the tenant may be in it; a file of one tenant has no column of tenants.
    pub(super) fn may_hold(&self, tenant: &TenantId) -> bool {
        match &self.info.origin {
            PartOrigin::Flush { .. } => true,
            PartOrigin::Compacted(of) => of.tenant == *tenant,
        }
    }

    /// The numbers of chosen rows, counted from the start of the file.
    pub(super) fn numbers(&self, of: &GroupRows) -> impl Iterator<Item = u64> + use<> {
        let groups = &self.metadata().row_groups()[..of.row_group];
        let before = groups
            .iter()
            .map(|group| u64::try_from(group.num_rows()).unwrap_or(0))
            .sum::<u64>();
        of.rows
            .clone()
            .into_iter()
            .flatten()
            .map(move |row| before + row as u64)
    }

    /// Those of the names that are columns of the file.
    pub(super) fn known<'a>(&self, columns: &[&'a str]) -> Vec<&'a str> {
        let has = |name: &&str| self.leaves_of(name).next().is_some();
        columns.iter().copied().filter(has).collect()
    }

    pub(super) fn corrupt(&self, reason: impl ToString) -> ArchiveError {
        ArchiveError::corrupt(&self.location, reason)
    }

    /// Position of a leaf column by its dotted path.
    pub(super) fn leaf(&self, path: &str) -> Result<usize, ArchiveError> {
        let found = self.find_leaf(path);
        found.ok_or_else(|| self.corrupt(format!("column `{path}` is missing")))
    }

    /// Position of a leaf column that need not be there.
    pub(super) fn find_leaf(&self, path: &str) -> Option<usize> {
        self.leaves.iter().position(|leaf| leaf == path)
    }

    /// Positions of all leaf columns of a root column.
    pub(super) fn leaves_of(&self, root: &str) -> impl Iterator<Item = usize> {
        let leaves = self.metadata.parquet_schema().columns().iter().enumerate();
        leaves.filter_map(move |(i, leaf)| (leaf.path().parts().first()? == root).then_some(i))
    }

    /// A projection to root columns by name.
    pub(super) fn projection(&self, columns: &[&str]) -> ProjectionMask {
        ProjectionMask::columns(self.metadata.parquet_schema(), columns.iter().copied())
    }

    /// Reads the pages of a selection of rows of one row group, all in one request; what comes back decodes from memory, in
    /// batches of at most `batch_rows`.
    pub(super) async fn read(
        &self,
        rows: &GroupRows,
        projection: &ProjectionMask,
        batch_rows: usize,
    ) -> Result<ParquetRecordBatchReader, ArchiveError> {
        let mut decoder = self.decoder(rows, projection, batch_rows)?;
        loop {
            match guarded(&self.location, || decoder.try_next_reader())? {
                DecodeResult::Data(reader) => return Ok(reader),
                DecodeResult::Finished => return Err(self.corrupt("the selected rows are not there")),
                DecodeResult::NeedsData(ranges) => {
                    let bytes = self.fetch(&ranges).await?;
                    guarded(&self.location, || decoder.push_ranges(ranges, bytes))?;
                }
            }
        }
    }

    /// Only fetches; parts of the selection can then be decoded one after another.
    pub(super) async fn fetch_pages(
        &self,
        rows: &GroupRows,
        projection: &ProjectionMask,
    ) -> Result<Pages, ArchiveError> {
        let mut decoder = self.decoder(rows, projection, 1)?;
        let mut pages = Pages::default();
        while let DecodeResult::NeedsData(ranges) = guarded(&self.location, || decoder.try_next_reader())? {
            let bytes = self.fetch(&ranges).await?;
            pages.0.extend(ranges.iter().cloned().zip(bytes.iter().cloned()));
            guarded(&self.location, || decoder.push_ranges(ranges, bytes))?;
        }
        pages.0.sort_by_key(|(range, _)| range.start);
        Ok(pages)
    }

    /// Whether its pages are encrypted.
    pub(super) fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    /// Fetches whole pages, and checks what they claim.
    pub(super) async fn fetch(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ArchiveError> {
        let fetched = match &self.ahead {
            Some(ahead) => self.take(ahead, ranges).await?,
            None => self.fetch_now(ranges).await?,
        };
        // What lies inside of encrypted pages was written by somebody with the key, or it does not pass.
        let check = if self.is_sealed { check_modules } else { check_pages };
        for pages in &fetched {
            check(pages).map_err(|reason| self.corrupt(reason))?;
        }
        Ok(fetched)
    }

    async fn fetch_now(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ArchiveError> {
        fetch(&*self.store, (&self.location, self.bytes), ranges, self.gap_bytes).await
    }

    /// Takes what was fetched ahead, and fetches the rest.
    async fn take(&self, ahead: &ReadAhead, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ArchiveError> {
        let mut taken = Vec::with_capacity(ranges.len());
        for range in ranges {
            taken.push(ahead.take(range).await);
        }
        let missing = ranges.iter().zip(&taken).filter(|(_, taken)| taken.is_none());
        let missing: Vec<Range<u64>> = missing.map(|(range, _)| range.clone()).collect();
        let mut rest = match missing.is_empty() {
            true => Vec::new(),
            false => self.fetch_now(&missing).await?,
        }
        .into_iter();
        let all = taken.into_iter().map(|taken| taken.or_else(|| rest.next()));
        let all: Option<Vec<Bytes>> = all.collect();
        all.ok_or_else(|| self.corrupt("a page that was asked for is missing"))
    }

    /// Decodes rows whose pages were fetched.
    pub(super) fn decode(
        &self,
        rows: &GroupRows,
        projection: &ProjectionMask,
        batch_rows: usize,
        pages: &Pages,
    ) -> Result<ParquetRecordBatchReader, ArchiveError> {
        let mut decoder = self.decoder(rows, projection, batch_rows)?;
        loop {
            match guarded(&self.location, || decoder.try_next_reader())? {
                DecodeResult::Data(reader) => return Ok(reader),
                DecodeResult::Finished => return Err(self.corrupt("the selected rows are not there")),
                DecodeResult::NeedsData(ranges) => {
                    let bytes: Option<Vec<Bytes>> = ranges.iter().map(|range| pages.slice(range)).collect();
                    let bytes = bytes.ok_or_else(|| self.corrupt("its pages are not where its index says"))?;
                    guarded(&self.location, || decoder.push_ranges(ranges, bytes))?;
                }
            }
        }
    }

    fn decoder(
        &self,
        rows: &GroupRows,
        projection: &ProjectionMask,
        batch_rows: usize,
    ) -> Result<ParquetPushDecoder, ArchiveError> {
        let selection = RowSelection::from_consecutive_ranges(rows.rows.iter().cloned(), rows.row_count);
        guarded(&self.location, || {
            ParquetPushDecoderBuilder::new_with_metadata(self.metadata.clone())
                .with_row_groups(vec![rows.row_group])
                .with_row_selection(selection)
                .with_projection(projection.clone())
                .with_batch_size(batch_rows.clamp(1, BATCH_ROWS))
                .build()
        })
    }

    /// The next batch out of a reader of this file; `None` when there is none left.
    pub(super) fn next_batch(
        &self,
        reader: &mut ParquetRecordBatchReader,
    ) -> Result<Option<RecordBatch>, ArchiveError> {
        guarded(&self.location, || reader.next().transpose())
    }
}

/// Reads what a file says of itself, and how many rows it has.
pub(super) async fn footer_of(
    store: &dyn ObjectStore,
    location: &Path,
    bytes: u64,
) -> Result<(Footer, u64), ArchiveError> {
    let loaded = load(store, location, bytes, PageIndexPolicy::Skip).await?;
    footer_in(&loaded.parquet, location)
}

/// With which key a file is encrypted; `None` when it is clear.
///
/// # Errors
/// As [`PartReader::open`](super::PartReader::open).
pub async fn file_stamp(store: &dyn ObjectStore, name: &str) -> Result<Option<KeyStamp>, ArchiveError> {
    let parsed = Path::parse(name);
    let location = parsed.map_err(|error| ArchiveError::Refused(format!("`{name}` is no name of a file: {error}")))?;
    let bytes = store
        .head(&location)
        .await
        .map_err(ArchiveError::store(&location))?
        .size;
    Ok(load(store, &location, bytes, PageIndexPolicy::Skip).await?.stamp)
}

fn footer_in(parquet: &ParquetMetaData, location: &Path) -> Result<(Footer, u64), ArchiveError> {
    let corrupt = |reason: String| ArchiveError::corrupt(location, reason);
    let mut groups = parquet.row_groups().iter();
    let rows = groups.try_fold(0_u64, |sum, group| {
        sum.checked_add(u64::try_from(group.num_rows()).ok()?)
    });
    let rows = rows.ok_or_else(|| corrupt("its row groups have impossible numbers of rows".to_owned()))?;
    let pairs = parquet.file_metadata().key_value_metadata();
    let json = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == KEY)?.value.as_deref());
    let json = json.ok_or_else(|| corrupt(format!("no footer entry `{KEY}`")))?;
    Ok((Footer::parse(location.as_ref(), json)?, rows))
}

/// What a file says of itself, and whether it is encrypted.
struct Loaded {
    parquet: ParquetMetaData,
    is_sealed: bool,
    stamp: Option<KeyStamp>,
}

async fn load(
    store: &dyn ObjectStore,
    location: &Path,
    bytes: u64,
    column_index: PageIndexPolicy,
) -> Result<Loaded, ArchiveError> {
    let decoder = guarded(location, || ParquetMetaDataPushDecoder::try_new(bytes))?;
    let mut decoder = decoder
        .with_offset_index_policy(PageIndexPolicy::Optional)
        .with_column_index_policy(column_index);
    let tail = bytes.saturating_sub(tail_bytes(bytes))..bytes;
    let (last, keys) = fetch_tail(store, location, bytes, tail.clone()).await?;
    let is_sealed = last.ends_with(SEALED_MAGIC);
    let keys = FileKeys::new(keys);
    if is_sealed {
        let properties = guarded(location, || keys.properties())?;
        decoder = decoder.with_file_decryption_properties(Some(properties));
    }
    let (mut ranges, mut fetched) = (vec![tail], vec![last]);
    loop {
        guarded(location, || decoder.push_ranges(ranges, fetched))?;
        match guarded(location, || decoder.try_decode()).map_err(|error| keys.judge(location, error))? {
            DecodeResult::Data(parquet) => {
                return Ok(Loaded {
                    parquet,
                    is_sealed,
                    stamp: keys.stamp(),
                });
            }
            DecodeResult::Finished => return Err(ArchiveError::corrupt(location, "it has no footer")),
            DecodeResult::NeedsData(more) => ranges = more,
        }
        fetched = fetch(store, (location, bytes), &ranges, GAP_BYTES).await?;
    }
}

/// Reads the end of a file, and learns with which keys the store is read.
async fn fetch_tail(
    store: &dyn ObjectStore,
    location: &Path,
    bytes: u64,
    tail: Range<u64>,
) -> Result<(Bytes, Keys), ArchiveError> {
    let slot = KeySlot::default();
    let options = GetOptions::new().with_range(Some(tail.clone()));
    let answer = match store.get_opts(location, slot.ask(options)).await {
        Ok(answer) => answer.bytes().await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(last) if last.len() as u64 == tail.end - tail.start => Ok((last, slot.keys())),
        Err(error @ object_store::Error::NotFound { .. }) => Err(ArchiveError::store(location)(error)),
        // Whoever has the reason asks for the length as well.
        _ => {
            let mut again = fetch(store, (location, bytes), &[tail], GAP_BYTES).await?;
            Ok((again.remove(0), slot.keys()))
        }
    }
}

/// Runs a step of the decoder: its errors, and its assertions about bytes that came from the outside, say that the file is
/// corrupt. After either, whatever the step worked on is dropped by the caller.
fn guarded<T, E: Display>(location: &Path, step: impl FnOnce() -> Result<T, E>) -> Result<T, ArchiveError> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(done) => done.map_err(|error| ArchiveError::corrupt(location, error)),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
            let text = text
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            Err(ArchiveError::corrupt(location, format!("the decoder gave up: {text}")))
        }
    }
}

/// Reads ranges of a file of this length, all of them whole; those nearer than `gap` together.
async fn fetch(
    store: &dyn ObjectStore,
    (location, bytes): (&Path, u64),
    ranges: &[Range<u64>],
    gap: u64,
) -> Result<Vec<Bytes>, ArchiveError> {
    if let Some(outside) = ranges.iter().find(|range| range.start > range.end || range.end > bytes) {
        return Err(ArchiveError::corrupt(
            location,
            format!("it points to bytes {outside:?} of {bytes}"),
        ));
    }
    // A store joins ranges over gaps of up to 1 MiB, which for pages of several columns would often be all of the file.
    let near = ranges.chunk_by(|a, b| a.start <= b.start && b.start <= a.end.saturating_add(gap));
    let answers = futures::future::try_join_all(near.map(|near| store.get_ranges(location, near))).await;
    let answer = answers.map(|answers| answers.into_iter().flatten().collect::<Vec<Bytes>>());
    let is_whole = |fetched: &Vec<Bytes>| {
        fetched.len() == ranges.len()
            && fetched
                .iter()
                .zip(ranges)
                .all(|(got, asked)| got.len() as u64 == asked.end - asked.start)
    };
    let source = match answer {
        Ok(fetched) if is_whole(&fetched) => return Ok(fetched),
        Ok(_) => None,
        Err(error @ object_store::Error::NotFound { .. }) => return Err(ArchiveError::store(location)(error)),
        Err(error) => Some(error),
    };
    // A store complains about a range past the end in many ways; the length tells trouble of the store from a cut object.
    let length = store.head(location).await.map_err(ArchiveError::store(location))?.size;
    match source {
        Some(source) if length == bytes => Err(ArchiveError::store(location)(source)),
        _ => Err(ArchiveError::corrupt(
            location,
            format!("it has {length} bytes, the catalog says {bytes}"),
        )),
    }
}
