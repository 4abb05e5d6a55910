//! Deletion by matcher and range: a mask, effective at once for readers and for what arrives later (DESIGN §6).
//!
//! Nothing is deleted here. The mask hides the rows from every reader as soon as its root exists; merges leave them out later, and the
//! files that held them are deleted when the undelete window is over. Until then all of it can be taken back. A range that a lock keeps
//! is refused, also when the lock comes while the deletion is decided.

use std::sync::Arc;

use emberkeep_archive::digest::Digests;
use emberkeep_archive::{
    Catalog, CatalogView, Change, DeletionRecord, HiddenRows, Live, Mask, MatcherText, PartEntry, PartReader, Removal,
    ScanKinds, ScanQuery, Ulid, apply, forget_masks, fresh_nonce,
};
use emberkeep_model::{Matcher, SeriesRuns, TenantId, TimeRange};
use serde::Serialize;

use crate::guard::{Consent, Removing, UpkeepError};

/// Rows that a scan keeps at once; series tables alone are read.
const WINDOW_ROWS: usize = 4096;

/// What is to be deleted, who says so, and why.
#[derive(Debug, Clone)]
pub struct DeleteRequest {
    /// Whose rows.
    pub tenant: TenantId,
    /// Which series: all must match.
    pub matchers: Arc<[Matcher]>,
    /// Which time.
    pub range: TimeRange,
    /// Why, in words.
    pub reason: String,
    /// Who asks for it.
    pub who: String,
}

/// What a deletion hides, as the series tables of the parts tell it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Extent {
    /// Parts that have such rows.
    pub parts: u64,
    /// Series with such rows, those of each part counted for themselves.
    pub series: u64,
    /// Rows: exact for series that lie in the range as a whole, else by the share of their time.
    pub rows: u64,
    /// Bytes that they take, by their share of the rows of their parts.
    pub bytes: u64,
    /// Bytes of all live parts.
    pub of: u64,
}

/// Which share of a part's rows something concerns.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Share {
    series: u64,
    rows: f64,
    of: u64,
}

impl Share {
    /// From 0 to 1.
    pub(crate) fn fraction(self) -> f64 {
        if self.of == 0 {
            return 0.0;
        }
        (self.rows / self.of as f64).clamp(0.0, 1.0)
    }
}

/// Which share of a part's rows a mask deletes. Reads the part's series table.
///
/// # Errors
/// The part cannot be read, or a matcher is none.
pub(crate) async fn share_of_part(catalog: &Catalog, part: &PartEntry, mask: &Mask) -> Result<Share, UpkeepError> {
    let of = part
        .files
        .iter()
        .filter(|file| holds_rows(file.kind))
        .map(|file| file.rows);
    let mut share = Share {
        of: of.fold(0, u64::saturating_add),
        ..Share::default()
    };
    let tenant = TenantId::parse(&mask.tenant).map_err(|error| UpkeepError::Invalid(error.to_string()))?;
    let reader = PartReader::open(Arc::clone(catalog.store()), part).await?;
    let mut scan = reader.scan(
        ScanQuery {
            tenant,
            range: mask.range(),
            matchers: mask.compile_matchers()?.into(),
            kinds: ScanKinds::All,
        },
        WINDOW_ROWS,
    );
    while let Some(series) = scan.next().await? {
        let lengths = [&series.samples, &series.histograms, &series.exemplars].map(|rows| rows.end - rows.start);
        let rows = lengths.into_iter().fold(0, u64::saturating_add);
        let inside = share_of_time(series.min_time, series.max_time, mask.range());
        if rows > 0 && inside > 0.0 {
            share.series += 1;
            share.rows += rows as f64 * inside;
        }
    }
    Ok(share)
}

fn holds_rows(kind: emberkeep_archive::FileKind) -> bool {
    use emberkeep_archive::FileKind::{Exemplars, Histograms, Samples};
    matches!(kind, Samples | Histograms | Exemplars)
}

/// How much of `first..=last` lies in the range, from 0 to 1.
fn share_of_time(first: i64, last: i64, range: TimeRange) -> f64 {
    let whole = i128::from(last) - i128::from(first) + 1;
    let inside = i128::from(range.end.min(last.saturating_add(1))) - i128::from(range.start.max(first));
    if whole <= 0 || inside <= 0 {
        return 0.0;
    }
    inside as f64 / whole as f64
}

impl DeleteRequest {
    /// The mask that it becomes.
    fn mask(&self, now_ms: i64) -> Mask {
        Mask {
            id: Ulid::generate().to_string(),
            number: 0,
            tenant: self.tenant.as_str().to_owned(),
            matchers: self.matchers.iter().map(MatcherText::from).collect(),
            from: self.range.start,
            to: self.range.end,
            reason: self.reason.clone(),
            who: self.who.clone(),
            created_at: now_ms,
        }
    }

    fn refuse_locked(&self, live: &Live) -> Result<(), UpkeepError> {
        let last = self.range.end.saturating_sub(1);
        let keeps = |lock: &&emberkeep_archive::Lock| lock.keeps(Some(self.tenant.as_str()), self.range.start, last);
        match live.locks().iter().find(keeps) {
            Some(lock) => Err(UpkeepError::locked(lock)),
            None => Ok(()),
        }
    }
}

/// What a deletion would hide now. Nothing is changed. Refuses what a lock keeps.
///
/// # Errors
/// [`UpkeepError::Locked`]; [`UpkeepError::Invalid`] for an empty range; [`UpkeepError::Archive`] when a part cannot be read.
pub async fn extent(catalog: &Catalog, request: &DeleteRequest) -> Result<Extent, UpkeepError> {
    if request.range.is_empty() {
        return Err(UpkeepError::Invalid(
            "the range is empty: `--to` must be after `--from`".to_owned(),
        ));
    }
    request.refuse_locked(&catalog.live().await?)?;
    // What is committed and not yet folded is hidden as well.
    let view = catalog.refresh().await?;
    let mask = Mask {
        number: u64::MAX,
        ..request.mask(0)
    };
    let mut extent = Extent {
        of: view.parts.iter().map(|part| part.bytes()).fold(0, u64::saturating_add),
        ..Extent::default()
    };
    for part in view.parts.iter().filter(|part| mask.concerns(part)) {
        let share = share_of_part(catalog, part, &mask).await?;
        if share.series > 0 {
            extent.parts += 1;
            extent.series += share.series;
            extent.rows = extent.rows.saturating_add(share.rows.ceil() as u64);
            extent.bytes = extent
                .bytes
                .saturating_add((part.bytes() as f64 * share.fraction()).ceil() as u64);
        }
    }
    Ok(extent)
}

/// Deletes: from the root on that this creates, no reader shows the rows.
///
/// # Errors
/// As [`extent`]; [`UpkeepError::TooMuch`] when more than `percent` of the archive's bytes would go without a confirmation.
pub async fn delete(
    catalog: &Catalog,
    request: &DeleteRequest,
    percent: u8,
    consent: Consent,
    now_ms: i64,
) -> Result<(Mask, Extent), UpkeepError> {
    let extent = extent(catalog, request).await?;
    let removing = Removing {
        what: "the deletion",
        look: "compactor delete --dry-run ...",
        confirm: "compactor delete --yes ...",
        percent,
    };
    removing.check_of(extent.of, extent.bytes, consent)?;
    let mask = request.mask(now_ms);
    let nonce = fresh_nonce();
    let root = apply(catalog, &nonce, now_ms, |live| {
        request.refuse_locked(live)?;
        Ok::<_, UpkeepError>(Some(Change {
            masks: vec![mask.clone()],
            ..Change::default()
        }))
    });
    let root = root.await;
    if root.as_ref().is_err_and(UpkeepError::is_certain) {
        // Its object may be there since a race that was lost: a rebuilt catalog must not delete what nobody was told is deleted.
        forget_masks(catalog, std::slice::from_ref(&mask.id)).await?;
    }
    let masks = root?.map_or_else(Vec::new, |root| root.masks);
    let in_force = masks.into_iter().find(|known| known.id == mask.id);
    Ok((in_force.unwrap_or(mask), extent))
}

/// Notes which rows a deletion hides: it reads them, in the parts of a view that was taken before the mask.
///
/// # Errors
/// A part cannot be read, or the store fails; the deletion holds all the same.
pub async fn record(catalog: &Catalog, before: &CatalogView, mask: &Mask) -> Result<DeletionRecord, UpkeepError> {
    let record = DeletionRecord {
        nonce: fresh_nonce(),
        mask: mask.id.clone(),
        root: before.root_n,
        parts: hidden_rows(catalog, before, mask).await?,
    };
    record.save(catalog).await?;
    Ok(record)
}

/// The rows that a mask hides in the parts of a view, whether it was applied to them or not: those that still lie in a file.
///
/// # Errors
/// A part cannot be read.
pub async fn hidden_rows(catalog: &Catalog, view: &CatalogView, mask: &Mask) -> Result<Vec<HiddenRows>, UpkeepError> {
    let anew = Mask {
        number: u64::MAX,
        ..mask.clone()
    };
    let mut hidden = Vec::new();
    for part in view.parts.iter().filter(|part| anew.concerns(part)) {
        let rows = hidden_in(catalog, part, mask).await?;
        if rows.rows > 0 {
            hidden.push(rows);
        }
    }
    Ok(hidden)
}

async fn hidden_in(catalog: &Catalog, part: &PartEntry, mask: &Mask) -> Result<HiddenRows, UpkeepError> {
    let tenant = TenantId::parse(&mask.tenant).map_err(|error| UpkeepError::Invalid(error.to_string()))?;
    let (reader, range) = (PartReader::open(Arc::clone(catalog.store()), part).await?, mask.range());
    let mut scan = reader.scan(
        ScanQuery {
            tenant,
            range,
            matchers: mask.compile_matchers()?.into(),
            kinds: ScanKinds::All,
        },
        WINDOW_ROWS,
    );
    let (mut runs, mut digests, mut rows, mut sums) = (SeriesRuns::default(), Digests::default(), 0, [0_u64; 3]);
    while let Some(series) = scan.next().await? {
        runs.clear();
        digests.clear();
        scan.samples(series.samples, range, &mut runs.samples).await?;
        scan.histograms(series.histograms, range, &mut runs.histograms).await?;
        scan.exemplars(series.exemplars, range, &mut runs.exemplars).await?;
        rows += runs.len() as u64;
        digests.add(&runs);
        for (sum, of_kind) in sums
            .iter_mut()
            .zip([&digests.samples, &digests.histograms, &digests.exemplars])
        {
            *sum = of_kind.iter().fold(*sum, |sum, (_, digest)| sum.wrapping_add(digest));
        }
    }
    let [samples, histograms, exemplars] = sums.map(|sum| format!("{sum:016x}"));
    Ok(HiddenRows {
        part: part.ulid.to_string(),
        rows,
        samples,
        histograms,
        exemplars,
    })
}

/// A deletion that was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undeleted {
    /// The mask that holds no more.
    pub mask: Mask,
    /// Since the deletion parts were rewritten without its rows, or those of others: what is gone from them comes back by
    /// `compactor rollback` to this root only.
    pub rewritten_since: Option<u64>,
}

/// Lifts a mask: what it hid is shown again, as far as it was not rewritten.
///
/// # Errors
/// [`UpkeepError::Unknown`] when no mask has the id; otherwise as [`apply`].
pub async fn undelete(catalog: &Catalog, id: &str, now_ms: i64) -> Result<Undeleted, UpkeepError> {
    let mut undeleted = None;
    let nonce = fresh_nonce();
    let root = apply(catalog, &nonce, now_ms, |live| {
        let mask = live.masks().iter().find(|mask| mask.id == id).cloned();
        let mask = mask.ok_or_else(|| UpkeepError::Unknown {
            what: "mask",
            id: id.to_owned(),
        })?;
        let is_rewritten = live
            .condemned()
            .iter()
            .any(|list| list.why == Removal::Rewritten && list.root > mask.number);
        undeleted = Some(Undeleted {
            rewritten_since: is_rewritten.then(|| mask.number.saturating_sub(1)),
            mask,
        });
        Ok::<_, UpkeepError>(Some(Change {
            lifted: vec![id.to_owned()],
            ..Change::default()
        }))
    });
    root.await?;
    forget_masks(catalog, &[id.to_owned()]).await?;
    Ok(undeleted.expect("the change was decided before the root was created"))
}

#[cfg(test)]
mod tests;
