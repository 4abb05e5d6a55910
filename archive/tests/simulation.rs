//! The catalog under a simulated store that fails, lies and stalls, checked by a model after each step.
//!
//! Thousands of short runs, each from one number: `EMBERKEEP_SIM_SEED` is the first (default 1), `EMBERKEEP_SIM_RUNS` how many,
//! `EMBERKEEP_SIM_STEPS` how long, `EMBERKEEP_SIM_TRACE` how many of the last steps are shown. A failure prints its seed and its last steps; the same seed gives the same run again.

#[path = "simulation/context.rs"]
mod context;
#[path = "simulation/footer.rs"]
mod footer;
#[path = "simulation/model.rs"]
mod model;
#[path = "simulation/operator.rs"]
mod operator;
#[path = "simulation/planted.rs"]
mod planted;
#[path = "simulation/random.rs"]
mod random;
#[path = "simulation/reader.rs"]
mod reader;
#[path = "simulation/rebuilt.rs"]
mod rebuilt;
#[path = "simulation/receiver.rs"]
mod receiver;
#[path = "simulation/sample.rs"]
mod sample;
#[path = "simulation/scheduler.rs"]
mod scheduler;
#[path = "simulation/store.rs"]
mod store;
#[path = "simulation/upkeep.rs"]
mod upkeep;

use std::env;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use model::Seen;
use parking_lot::Mutex;
use planted::Planted;

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Most runs are short: what goes wrong needs few steps in the right order. Some are long enough for whole windows to pass.
const STEPS: [u64; 4] = [100, 150, 250, 500];

#[test]
fn whatever_happens_every_acknowledged_sample_is_read_exactly_once() {
    let first = setting("EMBERKEEP_SIM_SEED", 1);
    let runs = setting("EMBERKEEP_SIM_RUNS", 2000);
    let next = AtomicU64::new(first);
    let is_over = AtomicBool::new(false);
    let work = || {
        let mut sum = Seen::default();
        while !is_over.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + runs {
                break;
            }
            let steps = setting(
                "EMBERKEEP_SIM_STEPS",
                STEPS[usize::try_from(seed % 4).expect("below 4")],
            );
            match scheduler::run(seed, usize::try_from(steps).expect("it fits"), None) {
                Ok(seen) => sum.add(&seen),
                Err(failure) => {
                    is_over.store(true, Ordering::Relaxed);
                    panic!("run {} of {runs}: {failure}", seed - first + 1);
                }
            }
        }
        sum
    };
    let mut sum = Seen::default();
    // Each run has one thread, and runs have nothing to do with each other.
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, |count| count.get());
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            match worker.join() {
                Ok(seen) => sum.add(&seen),
                Err(failure) => resume_unwind(failure),
            }
        }
    });
    if runs >= 200 {
        // A simulation in which nothing happens shows nothing.
        let Seen {
            roots,
            strays,
            deleted_files,
            merges,
            losses,
            undone,
            views,
            held,
            refused,
            rebuilt,
            adopted,
        } = sum;
        let all = [
            roots,
            strays,
            deleted_files,
            merges,
            losses,
            undone,
            views,
            held,
            refused,
            rebuilt,
            adopted,
        ];
        assert!(all.iter().all(|count| *count > 0), "{sum:?}");
    }
}

/// How many runs may be needed until a planted bug is found.
const RUNS_WITH_A_BUG: u64 = 2000;

#[test]
fn every_planted_bug_is_found() {
    let next = AtomicU64::new(0);
    let missed: Mutex<Vec<String>> = Mutex::default();
    let work = || {
        while let Some(bug) = usize::try_from(next.fetch_add(1, Ordering::Relaxed))
            .ok()
            .and_then(|i| Planted::ALL.get(i))
        {
            let found = (1..=RUNS_WITH_A_BUG).find_map(|seed| scheduler::run(seed, 300, Some(*bug)).err());
            if found.is_none() {
                missed.lock().push(format!("{bug:?}"));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, |count| count.get()) {
            scope.spawn(work);
        }
    });
    assert!(missed.lock().is_empty(), "not found: {missed:?}");
}
