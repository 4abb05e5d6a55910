//! How long and from where a run goes, from environment variables: `cargo test` has no flags of ours.

use std::env;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest that a target runs when nobody asks for more. Its rounds end it before, on a machine that is not overloaded.
const USUAL_TIME: Duration = Duration::from_secs(15);

/// The seed of the runs inside `cargo test`, so that everybody runs the same.
const USUAL_SEED: u64 = 0x454d_4245_524b_4545;

/// Settings of a run.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) seed: u64,
    pub(crate) time: Duration,
    /// Whether only the time ends a target.
    pub(crate) endless: bool,
    /// The one input to run.
    pub(crate) replay: Option<PathBuf>,
    /// Whether each input is written down before it runs, for failures that take the process with them.
    pub(crate) trace: bool,
}

impl Settings {
    pub(crate) fn from_environment() -> Self {
        let number = |name: &str| {
            let text = env::var(name).ok()?;
            Some(
                text.parse::<u64>()
                    .unwrap_or_else(|_| panic!("{name}=`{text}` is no number")),
            )
        };
        let seconds = number("EMBERKEEP_FUZZ_SECONDS");
        let fresh = || RandomState::new().hash_one(0);
        let usual_seed = if seconds.is_some() { fresh() } else { USUAL_SEED };
        Self {
            seed: number("EMBERKEEP_FUZZ_SEED").unwrap_or(usual_seed),
            time: seconds.map_or(USUAL_TIME, Duration::from_secs),
            endless: seconds.is_some(),
            replay: env::var_os("EMBERKEEP_FUZZ_REPLAY").map(PathBuf::from),
            trace: env::var_os("EMBERKEEP_FUZZ_TRACE").is_some(),
        }
    }
}

/// Where the inputs of a target lie that are kept for ever.
pub(crate) fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// Where inputs are put that failed.
pub(crate) fn failures() -> PathBuf {
    env::temp_dir().join("emberkeep-fuzz")
}
