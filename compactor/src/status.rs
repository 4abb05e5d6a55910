//! What there is in an archive, in one look: for people and, as JSON, for programs.
//!
//! Everything comes from the newest root, the log above it and the lists beside it; no file of a part is opened, so it costs a few
//! requests however large the archive is.

use std::collections::BTreeMap;

use emberkeep_archive::{
    Catalog, CondemnedEntry, Live, Lock, Mask, PartEntry, Pin, Quarantined, ScrubState, names, object_key,
};
use serde::Serialize;

use crate::guard::UpkeepError;
use crate::retention::Retention;

/// What there is.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Number of the newest root; 0 before the first.
    pub root: u64,
    /// When it was made, milliseconds since 1970.
    pub root_created_at: Option<i64>,
    /// The id of the key that it is encrypted with; none when it is clear. `rekey --dry-run` says what lies under which.
    pub root_key: Option<String>,
    /// Its age in seconds.
    pub root_age_seconds: Option<i64>,
    /// Roots below this may name files that are deleted.
    pub floor: u64,
    /// Live parts by level.
    pub levels: BTreeMap<u32, Amount>,
    /// Live rows by tenant. Bytes and parts are those of level 1 and above: flushes have several tenants.
    pub tenants: BTreeMap<String, Amount>,
    /// Where each receiver's log is folded to.
    pub receivers: BTreeMap<String, ReceiverStatus>,
    /// Parts that are committed and not yet folded.
    pub unfolded_parts: u64,
    /// Live parts that cannot be read.
    pub quarantined: Vec<QuarantinedPart>,
    /// What is live no more and not yet deleted.
    pub condemned: Vec<CondemnedStatus>,
    /// Deletions in force.
    pub masks: Vec<Mask>,
    /// Ranges that nothing may remove.
    pub locks: Vec<Lock>,
    /// Roots that somebody reads.
    pub pins: Vec<PinStatus>,
    /// What the scrub has read again.
    pub scrub: ScrubStatus,
}

/// How much of something there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// Parts.
    pub parts: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Series, those of each part counted for themselves.
    pub series: u64,
    /// Floats.
    pub samples: u64,
    /// Native histograms.
    pub histograms: u64,
    /// Exemplars.
    pub exemplars: u64,
}

/// One receiver as the catalog knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ReceiverStatus {
    /// The last record that is folded.
    pub folded: u64,
    /// The last record up to which nothing is missing.
    pub committed: u64,
    /// The greatest epoch that was folded.
    pub epoch: u64,
    /// The greatest epoch that was claimed.
    pub claimed: u64,
}

/// A part that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuarantinedPart {
    /// Its own name.
    pub part: String,
    /// What is wrong with it.
    pub reason: String,
    /// When that was found, milliseconds since 1970.
    pub at: i64,
}

/// A list of removed files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CondemnedStatus {
    /// Its name.
    pub name: String,
    /// Why they were removed.
    pub why: &'static str,
    /// The root that removed them.
    pub root: u64,
    /// Number of files.
    pub files: u64,
    /// Their bytes, as far as known.
    pub bytes: u64,
    /// When they are deleted at the earliest, milliseconds since 1970.
    pub deleted_from: i64,
}

/// A root that somebody reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PinStatus {
    /// Its name.
    pub id: String,
    /// The root.
    pub root: u64,
    /// Until when, milliseconds since 1970.
    pub expires_at: i64,
    /// Who.
    pub who: String,
}

/// What the scrub has read again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ScrubStatus {
    /// Live parts that were read again since they were written.
    pub verified_parts: u64,
    /// When the live part that waits longest was verified, or written when it never was; milliseconds since 1970.
    pub oldest_unverified: Option<i64>,
}

impl Amount {
    fn add(&mut self, part: &PartEntry) {
        self.parts += 1;
        self.bytes = self.bytes.saturating_add(part.bytes());
        for held in part.tenants.values() {
            self.add_rows(held);
        }
    }

    fn add_rows(&mut self, held: &emberkeep_archive::TenantSummary) {
        self.series = self.series.saturating_add(held.series);
        self.samples = self.samples.saturating_add(held.samples);
        self.histograms = self.histograms.saturating_add(held.histograms);
        self.exemplars = self.exemplars.saturating_add(held.exemplars);
    }
}

impl Status {
    /// Looks at an archive.
    ///
    /// # Errors
    /// As [`Catalog::refresh`].
    pub async fn look(catalog: &Catalog, retention: &Retention, now_ms: i64) -> Result<Self, UpkeepError> {
        let view = catalog.refresh().await?;
        let live = catalog.live().await?;
        let (mut levels, mut tenants): (BTreeMap<u32, Amount>, BTreeMap<String, Amount>) = Default::default();
        for part in &view.parts {
            levels.entry(part.level).or_default().add(part);
            for (tenant, held) in &part.tenants {
                let amount = tenants.entry(tenant.clone()).or_default();
                amount.add_rows(held);
                if part.level > 0 {
                    amount.parts += 1;
                    amount.bytes = amount.bytes.saturating_add(part.bytes());
                }
            }
        }
        let folded = live.by_ulid();
        let scrub = ScrubState::load(catalog).await?;
        Ok(Self {
            root: live.root_n(),
            root_created_at: live.root().map(|root| root.created_at),
            root_key: root_key(catalog, &live).await?,
            root_age_seconds: live
                .root()
                .map(|root| now_ms.saturating_sub(root.created_at).div_euclid(1000)),
            floor: live.floor(),
            levels,
            tenants,
            receivers: receivers(catalog, &live, &view.committed).await?,
            unfolded_parts: view
                .parts
                .iter()
                .filter(|part| !folded.contains_key(&part.ulid))
                .count() as u64,
            quarantined: quarantined(&live),
            condemned: live
                .condemned()
                .iter()
                .map(|entry| condemned(entry, retention))
                .collect(),
            masks: live.masks().to_vec(),
            locks: live.locks().to_vec(),
            pins: catalog.pins().await?.into_iter().map(pin).collect(),
            scrub: ScrubStatus {
                verified_parts: live.parts().filter(|part| scrub.verified_at(part).is_some()).count() as u64,
                oldest_unverified: scrub.oldest_unverified(live.parts()),
            },
        })
    }
}

async fn root_key(catalog: &Catalog, live: &Live) -> Result<Option<String>, UpkeepError> {
    match live.root_n() {
        0 => Ok(None),
        n => Ok(object_key(&**catalog.store(), &names::root(n)).await?),
    }
}

async fn receivers(
    catalog: &Catalog,
    live: &Live,
    committed: &BTreeMap<String, u64>,
) -> Result<BTreeMap<String, ReceiverStatus>, UpkeepError> {
    let mut receivers: BTreeMap<String, ReceiverStatus> = BTreeMap::new();
    for (receiver, mark) in live.root().iter().flat_map(|root| &root.watermarks) {
        let status = receivers.entry(receiver.clone()).or_default();
        (status.folded, status.epoch) = (mark.seq, mark.epoch);
    }
    for (receiver, seq) in committed {
        receivers.entry(receiver.clone()).or_default().committed = *seq;
    }
    for (receiver, epoch) in catalog.epochs().await? {
        receivers.entry(receiver).or_default().claimed = epoch;
    }
    Ok(receivers)
}

fn quarantined(live: &Live) -> Vec<QuarantinedPart> {
    let listed: &[Quarantined] = live.root().map_or(&[], |root| &root.quarantined);
    let part = |entry: &Quarantined| QuarantinedPart {
        part: entry.part.clone(),
        reason: entry.reason.clone(),
        at: entry.at,
    };
    listed.iter().map(part).collect()
}

fn condemned(entry: &CondemnedEntry, retention: &Retention) -> CondemnedStatus {
    let window = i64::try_from(retention.undelete_window.as_millis()).unwrap_or(i64::MAX);
    CondemnedStatus {
        name: entry.name.clone(),
        why: entry.why.as_str(),
        root: entry.root,
        files: entry.files,
        bytes: entry.bytes,
        deleted_from: entry.at.saturating_add(window),
    }
}

fn pin(pin: Pin) -> PinStatus {
    PinStatus {
        id: pin.id,
        root: pin.root,
        expires_at: pin.expires_at,
        who: pin.who,
    }
}

#[cfg(test)]
mod tests;
