//! One run of a target over one input, and everything that counts as a failure of it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Once};

use crate::{Bound, Input, meter, watchdog};

/// Why an input fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The target panicked; what and where.
    Panic(String),
    /// It held more memory than it may.
    Memory {
        /// Bytes at the most.
        peak: usize,
        /// Bytes that it may hold.
        allowed: usize,
    },
}

impl Failure {
    /// Whether both are of one kind, so that a smaller input may stand for a larger one.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        matches!(
            (self, other),
            (Self::Panic(_), Self::Panic(_)) | (Self::Memory { .. }, Self::Memory { .. })
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic(what) => write!(f, "it {what}"),
            Self::Memory { peak, allowed } => write!(f, "it held {peak} bytes and may hold {allowed}"),
        }
    }
}

thread_local! {
    static IS_TRIAL: Cell<bool> = const { Cell::new(false) };
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps panics of trials off the screen: they are reported once, with their input.
fn catch_messages() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IS_TRIAL.get() {
                LAST_PANIC.with_borrow_mut(|last| *last = info.to_string().replace('\n', " "));
            } else {
                usual(info);
            }
        }));
    });
}

/// Runs the target; what it says of the input, or why it failed.
pub(crate) fn run(
    name: &'static str,
    bound: Bound,
    input: &Arc<Input>,
    body: &dyn Fn(&Input) -> String,
) -> Result<String, Failure> {
    catch_messages();
    let _watched = watchdog::watch(name, input);
    IS_TRIAL.set(true);
    let (result, peak) = meter::peak_of(|| panic::catch_unwind(AssertUnwindSafe(|| body(input))));
    IS_TRIAL.set(false);
    let outcome = result.map_err(|_| Failure::Panic(LAST_PANIC.take()))?;
    let allowed = bound.of(input.total());
    if peak > allowed {
        return Err(Failure::Memory { peak, allowed });
    }
    Ok(outcome)
}
