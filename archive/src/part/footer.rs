//! What every file of a part says of itself in its footer, so that a catalog can be rebuilt from files alone (DESIGN §5.8).
//!
//! One key/value pair: the key is [`KEY`], the value a JSON object with its version first. The sequence is not in it: that is
//! in the object's name, because it may change until the part is committed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use emberkeep_model::TenantId;

use super::schema::Form;
use super::{Compaction, PartInfo, PartOrigin, PartSummary, TenantSummary, part_number};
use crate::catalog::WalRange;
use crate::{ArchiveError, FileKind};

/// The key in the Parquet footer.
pub(super) const KEY: &str = "emberkeep";

/// The version that this program writes, and the newest that it reads.
const VERSION: u64 = 3;

/// The first version whose series table says where histograms and exemplars are.
const ALL_KINDS: u64 = 2;

/// The JSON object.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Footer {
    pub(super) version: u64,
    pub(super) kind: FileKind,
    dataset: String,
    level: u32,
    /// Of level 0; likewise the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    receiver: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wal: Option<WalRange>,
    /// From level 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compaction: Option<Compacted>,
    ulid: String,
    pub(super) part: i64,
    pub(super) min_time: i64,
    pub(super) max_time: i64,
    /// What each tenant has in the part; in the series table, which every part has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenants: Option<BTreeMap<String, TenantSummary>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Compacted {
    tenant: String,
    day: i32,
    sources: Vec<String>,
    masks: u64,
    committed_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    merge: Option<String>,
}

impl Footer {
    pub(super) fn new(info: &PartInfo, kind: FileKind, summary: &PartSummary) -> Self {
        let (mut receiver, mut wal, mut compaction) = (None, None, None);
        match &info.origin {
            PartOrigin::Flush {
                receiver: by,
                wal: records,
            } => (receiver, wal) = (Some(by.clone()), Some(records.clone())),
            PartOrigin::Compacted(of) => {
                compaction = Some(Compacted {
                    tenant: of.tenant.as_str().to_owned(),
                    day: of.day,
                    sources: of.sources.iter().map(Ulid::to_string).collect(),
                    masks: of.masks,
                    committed_at: of.committed_at,
                    merge: of.merge.clone(),
                });
            }
        }
        Self {
            version: VERSION,
            kind,
            dataset: info.dataset.clone(),
            level: info.level(),
            receiver,
            wal,
            compaction,
            ulid: info.ulid.to_string(),
            part: part_number(info.ulid),
            min_time: summary.min_time,
            max_time: summary.max_time,
            tenants: (kind == FileKind::Series).then(|| summary.tenants.clone()),
        }
    }

    /// Where the part comes from, or what is wrong with what is said of it.
    pub(super) fn info(&self) -> Result<PartInfo, &'static str> {
        let ulid = |text: &str| Ulid::from_string(text).map_err(|_| "a name of a part that is none");
        let origin = match (self.level, &self.compaction, &self.receiver, &self.wal) {
            (0, None, Some(receiver), Some(wal)) => PartOrigin::Flush {
                receiver: receiver.clone(),
                wal: wal.clone(),
            },
            (level @ 1.., Some(of), None, None) => PartOrigin::Compacted(Compaction {
                level,
                tenant: TenantId::parse(&of.tenant).map_err(|_| "a tenant that cannot be")?,
                day: of.day,
                sources: of.sources.iter().map(|text| ulid(text)).collect::<Result<_, _>>()?,
                masks: of.masks,
                committed_at: of.committed_at,
                merge: of.merge.clone(),
            }),
            _ => return Err("a level and an origin that do not go together"),
        };
        Ok(PartInfo {
            dataset: self.dataset.clone(),
            ulid: ulid(&self.ulid)?,
            origin,
        })
    }

    /// Which columns the file has.
    pub(super) fn form(&self) -> Form {
        match (self.level, self.version) {
            (1.., _) => Form::Compacted,
            (0, ..ALL_KINDS) => Form::Floats,
            (0, _) => Form::Flush,
        }
    }

    /// What each tenant has in the part; none in files other than the series table, and before version 3.
    pub(super) fn tenants(&self) -> Option<&BTreeMap<String, TenantSummary>> {
        self.tenants.as_ref()
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a struct of numbers and strings serializes")
    }

    /// Reads the version first: a newer one may have fields that this program does not know.
    pub(super) fn parse(object: &str, json: &str) -> Result<Self, ArchiveError> {
        #[derive(Deserialize)]
        struct Version {
            version: u64,
        }
        let corrupt = |error| ArchiveError::corrupt(object, format!("its footer entry `{KEY}`: {error}"));
        let Version { version: found } = serde_json::from_str(json).map_err(corrupt)?;
        if found > VERSION {
            return Err(ArchiveError::NewerVersion {
                object: object.to_owned(),
                found,
                supported: VERSION,
            });
        }
        serde_json::from_str(json).map_err(corrupt)
    }
}
