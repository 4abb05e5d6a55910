//! What is drilled: whose data, which window, which series. By chance, or as somebody wishes.

use emberkeep_archive::{Catalog, Live};
use emberkeep_model::{TenantId, TimeRange, parse_selector};
use rand::RngExt;
use rand::rngs::StdRng;

use super::DrillError;
use super::run::Wish;
use super::sample::{Sample, selector};
use super::windows::{Windows, estimate};

/// Lengths in windows: those of the first levels of blocks.
const LENGTHS: [i64; 3] = [1, 3, 9];

/// What is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) tenant: TenantId,
    pub(super) range: TimeRange,
    /// None for all series.
    pub(super) selector: Option<String>,
    /// Bytes that the blocks may take, roughly.
    pub(super) estimate: u64,
}

/// Chooses what is restored; none when the choice turned out to hold nothing.
pub(super) async fn choose(
    catalog: &Catalog,
    live: &Live,
    wish: &Wish,
    most_bytes: u64,
    (random, now_ms): (&mut StdRng, i64),
) -> Result<Option<Subject>, DrillError> {
    if let Some(range) = wish.range {
        return wished(live, wish, range, most_bytes).map(Some);
    }
    let windows = Windows::of(live, wish.tenant.as_ref(), now_ms);
    let Some((tenant, window)) = windows.pick(random) else {
        let what = "no window of two hours has ended an hour ago and has samples in the archive";
        return Err(DrillError::Nothing(what.to_owned()));
    };
    let length = LENGTHS[random.random_range(0..LENGTHS.len())];
    let ranges: Vec<TimeRange> = LENGTHS
        .iter()
        .rev()
        .filter(|&&other| other <= length)
        .map(|&length| windows.range(window, length))
        .collect();
    let fits = |range: &TimeRange, share: f64| {
        let bytes = (estimate(live, &tenant, *range) as f64 * share) as u64;
        (bytes <= most_bytes).then_some(bytes)
    };
    let subject = |range: TimeRange, estimate, selector| Subject {
        tenant: tenant.clone(),
        range,
        selector,
        estimate,
    };
    if let Some(text) = &wish.selector {
        let Some((range, bytes)) = ranges.iter().find_map(|range| Some((*range, fits(range, 1.0)?))) else {
            return Err(too_large(most_bytes));
        };
        return Ok(Some(subject(range, bytes, Some(text.clone()))));
    }
    let wants_all = random.random_range(0..2) == 0;
    if wants_all && let Some((range, bytes)) = ranges.iter().find_map(|range| Some((*range, fits(range, 1.0)?))) {
        return Ok(Some(subject(range, bytes, None)));
    }
    let window = windows.range(window, 1);
    let Some(sample) = Sample::open(catalog, live, (&tenant, window), random).await? else {
        return Ok(None);
    };
    let Some((labels, seen)) = sample.series(random).await? else {
        return Ok(None);
    };
    let at = random.random_range(0..labels.len().max(1));
    let one = labels.iter().nth(at);
    // One pair, else that pair of one metric, else the one series.
    let name = labels.iter().filter(|(name, _)| *name == "__name__");
    let choices = [
        selector(one),
        selector(name.chain(one.filter(|(name, _)| *name != "__name__"))),
        selector(labels.iter()),
    ];
    for text in choices {
        if parse_selector(&text).is_err() {
            continue;
        }
        let share = sample.count(&text).await? as f64 / seen.max(1) as f64;
        if let Some((range, bytes)) = ranges.iter().find_map(|range| Some((*range, fits(range, share)?))) {
            return Ok(Some(subject(range, bytes, Some(text))));
        }
    }
    Err(too_large(most_bytes))
}

fn wished(live: &Live, wish: &Wish, range: TimeRange, most_bytes: u64) -> Result<Subject, DrillError> {
    let tenant = wish.tenant.clone().unwrap_or_default();
    if !live.parts().any(|part| part.may_hold(tenant.as_str(), range)) {
        let what = format!("the archive has no part of tenant `{tenant}` in that range");
        return Err(DrillError::Nothing(what));
    }
    let estimate = estimate(live, &tenant, range);
    // Of a selection nothing is known beforehand; what is written is watched in any case.
    if estimate > most_bytes && wish.selector.is_none() {
        return Err(too_large(most_bytes));
    }
    Ok(Subject {
        tenant,
        range,
        selector: wish.selector.clone(),
        estimate,
    })
}

fn too_large(most_bytes: u64) -> DrillError {
    DrillError::Invalid(format!(
        "what was chosen may be larger than {most_bytes} bytes as blocks: raise `--max-bytes`, or `max_bytes` of `drill`"
    ))
}
