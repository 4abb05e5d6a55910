//! Ends the process when one input runs far longer than any should: a hang cannot be caught, but its input can be kept.
//!
//! Only a guard. It must never be near the time that a slow machine takes for a good input.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use crate::{Input, settings};

/// Good inputs take milliseconds.
const LIMIT: Duration = Duration::from_secs(120);

struct Running {
    name: &'static str,
    since: Instant,
    input: Arc<Input>,
}

static RUNNING: LazyLock<Mutex<HashMap<ThreadId, Running>>> = LazyLock::new(|| {
    thread::spawn(|| {
        loop {
            thread::sleep(Duration::from_secs(1));
            look();
        }
    });
    Mutex::default()
});

fn look() {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(stuck) = running.values().find(|running| running.since.elapsed() > LIMIT) else {
        return;
    };
    let saved = stuck.input.save(&settings::failures(), stuck.name);
    let text = format!("target `{}` hangs on {saved:?}\n", stuck.name);
    let _ = std::io::stderr().write_all(text.as_bytes());
    std::process::abort();
}

/// Ends the watch over one input.
pub(crate) struct Watched(ThreadId);

/// Begins to watch over an input that this thread runs.
pub(crate) fn watch(name: &'static str, input: &Arc<Input>) -> Watched {
    let thread = thread::current().id();
    let running = Running {
        name,
        since: Instant::now(),
        input: Arc::clone(input),
    };
    let mut all = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    all.insert(thread, running);
    Watched(thread)
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut all = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&self.0);
    }
}
