//! The tables are what the roots say, whatever happens on the way. The files themselves are never asked for, so there are none here.

#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(
    clippy::duplicate_mod,
    dead_code,
    reason = "the faults of the catalog's tests, of which not all are wanted here"
)]
#[path = "../catalog/tests/faults.rs"]
mod faults;
mod plan;
mod publishing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use emberkeep_model::TenantId;
use object_store::ObjectStore;
use ulid::Ulid;

use super::Publisher;
use super::publisher::engine;
use super::table::Table;
use crate::{FileEntry, FileKind, Mask, MatcherText, PartEntry, TenantSummary, TimeSpan, names};

const DAY: i64 = 86_400_000;

/// An entry of a part of one day with samples from and to these hours.
fn part(number: u128, tenant: &str, day: i32, hours: (i64, i64), kinds: &[FileKind]) -> PartEntry {
    let (ulid, of_day) = (Ulid(number), i64::from(day) * DAY);
    let (from, to) = (of_day + hours.0 * 3_600_000, of_day + hours.1 * 3_600_000 - 1);
    let id = TenantId::parse(tenant).unwrap();
    let file = |kind: &FileKind| FileEntry {
        kind: *kind,
        path: names::compacted(*kind, &id, day, ulid).to_string(),
        rows: 10,
        bytes: 1000,
        crc32c: 0,
    };
    let held = TenantSummary {
        min_time: from,
        max_time: to,
        samples: 10,
        ..TenantSummary::default()
    };
    let entry = serde_json::json!({
        "ulid": ulid.to_string(),
        "part": crate::part_number(ulid),
        "level": 1,
        "receiver": null,
        "min_time": from,
        "max_time": to,
        "tenants": BTreeMap::from([(tenant, held)]),
        "day": day,
        "files": kinds.iter().map(file).collect::<Vec<_>>(),
    });
    serde_json::from_value(entry).unwrap()
}

fn floats(number: u128, day: i32, hours: (i64, i64)) -> PartEntry {
    part(number, "anonymous", day, hours, &[FileKind::Series, FileKind::Samples])
}

fn shared(parts: &[PartEntry]) -> Vec<Arc<PartEntry>> {
    parts.iter().cloned().map(Arc::new).collect()
}

fn mask(number: u64, tenant: &str, from: i64, to: i64) -> Mask {
    Mask {
        id: Ulid(7).to_string(),
        number,
        tenant: tenant.to_owned(),
        matchers: vec![MatcherText {
            name: "job".to_owned(),
            op: "=".to_owned(),
            value: "x".to_owned(),
        }],
        from,
        to,
        reason: String::new(),
        who: String::new(),
        created_at: 0,
    }
}

/// Which parts a table has, and as of which root.
async fn table(store: &Arc<dyn ObjectStore>, kind: FileKind) -> Option<(BTreeSet<u128>, u64)> {
    let store = Arc::clone(store);
    let open = move || Table::open(&engine(store).unwrap(), kind, "dataset").unwrap();
    let table = tokio::task::spawn_blocking(open).await.unwrap()?;
    let part = |path: &String| super::actions::part_at(kind, path).unwrap().0;
    Some((table.paths.iter().map(part).collect(), table.root_n))
}

fn publisher(store: &Arc<dyn ObjectStore>) -> Publisher {
    Publisher::new(Arc::clone(store), "dataset", 7)
}

/// A span of exemplars.
fn with_exemplars(mut entry: PartEntry, min_time: i64, max_time: i64) -> PartEntry {
    for held in entry.tenants.values_mut() {
        (held.exemplars, held.exemplar_times) = (1, TimeSpan { min_time, max_time }.into());
    }
    entry
}
