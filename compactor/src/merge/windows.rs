//! The windows of a job, checked, by tenant and in order of time.

use std::collections::BTreeMap;

use emberkeep_model::TenantId;

use super::{MergeError, Window};

/// Milliseconds of a UTC day.
const DAY_MS: i64 = 86_400_000;

/// All windows of a job.
#[derive(Debug)]
pub(super) struct Windows {
    by_tenant: BTreeMap<TenantId, Vec<Window>>,
}

impl Windows {
    /// Refuses windows that overlap, are empty, of level 0, or not inside one day.
    pub(super) fn new(windows: &[Window]) -> Result<Self, MergeError> {
        let mut by_tenant: BTreeMap<TenantId, Vec<Window>> = BTreeMap::new();
        for window in windows {
            let range = window.range;
            if range.is_empty() || window.level == 0 || day(range.start)? != day(range.end - 1)? {
                let reason = format!("window {range:?} of level {} is not inside one day", window.level);
                return Err(MergeError::Job(reason));
            }
            by_tenant.entry(window.tenant.clone()).or_default().push(window.clone());
        }
        for (tenant, windows) in &mut by_tenant {
            windows.sort_by_key(|window| window.range.start);
            if let Some(pair) = windows.array_windows().find(|[a, b]| a.range.end > b.range.start) {
                let reason = format!(
                    "windows {:?} and {:?} of `{tenant}` overlap",
                    pair[0].range, pair[1].range
                );
                return Err(MergeError::Job(reason));
            }
        }
        Ok(Self { by_tenant })
    }

    /// Those of a tenant, in order of time.
    pub(super) fn of(&self, tenant: &TenantId) -> &[Window] {
        self.by_tenant.get(tenant).map_or(&[], Vec::as_slice)
    }
}

/// The UTC day of a time, in days since 1970.
pub(super) fn day(time: i64) -> Result<i32, MergeError> {
    let day = i32::try_from(time.div_euclid(DAY_MS));
    day.map_err(|_| MergeError::Job(format!("no calendar has a day for time {time}")))
}

/// The first of the windows that ends after the time.
pub(super) fn first_after(windows: &[Window], time: i64) -> usize {
    windows.partition_point(|window| window.range.end <= time)
}

/// The window that holds the time.
pub(super) fn holding(windows: &[Window], time: i64) -> Option<usize> {
    let at = first_after(windows, time);
    windows.get(at)?.range.contains(time).then_some(at)
}
