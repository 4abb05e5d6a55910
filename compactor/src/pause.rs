//! How long the loop waits before its next look: a pure function of what happened and of a random number.
//!
//! Every pause is jittered. Compactors (and the receivers whose records they fold) are started by the same tools at the same
//! moment; without jitter they would meet at the store for ever, and after an outage all at once.

use std::time::Duration;

use crate::settings::Settings;

/// The pause before the next look, after so many failures in a row. `random` is uniform in `0..1`.
///
/// After a success: the interval, give or take a tenth. After the n-th failure: between half of and the whole of
/// `retry_min * 2^(n-1)`, at most `retry_max`.
#[must_use]
pub(crate) fn pause(settings: &Settings, failures: u32, random: f64) -> Duration {
    if failures == 0 {
        return settings.fold_interval.mul_f64(0.9 + 0.2 * random);
    }
    // Beyond 2^20 the bound has long been reached; the cap keeps the product in range for any number of failures.
    let doubled = settings.retry_min.saturating_mul(1 << (failures - 1).min(20));
    doubled.min(settings.retry_max).mul_f64(0.5 + 0.5 * random)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        fold_interval: Duration::from_secs(10),
        retry_min: Duration::from_secs(1),
        retry_max: Duration::from_secs(60),
    };

    #[test]
    fn the_interval_is_jittered_by_a_tenth() {
        assert_eq!(pause(&SETTINGS, 0, 0.0), Duration::from_secs(9));
        assert_eq!(pause(&SETTINGS, 0, 0.5), Duration::from_secs(10));
        assert_eq!(pause(&SETTINGS, 0, 1.0), Duration::from_secs(11));
    }

    #[test]
    fn failures_double_the_pause_up_to_its_bound() {
        let longest: Vec<u64> = (1..9)
            .map(|failures| pause(&SETTINGS, failures, 1.0).as_secs())
            .collect();
        assert_eq!(longest, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause(&SETTINGS, 3, 0.0), Duration::from_secs(2));
        assert_eq!(pause(&SETTINGS, u32::MAX, 1.0), Duration::from_secs(60));
    }
}
