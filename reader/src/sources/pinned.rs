//! A look that stays readable for as long as it is needed (DESIGN §5.6).
//!
//! Retention and compaction remove parts while an export runs for hours. A pin keeps the files of a root; it is renewed while
//! the look is held, taken away at its end, and expires by itself when the process dies. A bucket that may only be read takes no
//! pin: then a file that goes meanwhile is an error of the export, never a shorter one.

use std::sync::Arc;
use std::time::Duration;

use emberkeep_archive::{ArchiveError, Catalog, HeldPin};
use emberkeep_model::head::HeadKinds;
use emberkeep_service::clock::{Clock, SystemClock};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Look, Sources};
use crate::ReaderError;
use crate::scan::Query;

/// How long a pin holds when nobody renews it.
const LIFETIME: Duration = Duration::from_secs(60 * 60);
/// How often it is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(15 * 60);
/// How often a look is repeated because its root was outrun before it was pinned.
const ATTEMPTS: usize = 5;

/// A look whose files are kept. Call [`PinnedLook::release`] at the end.
#[derive(Debug)]
pub struct PinnedLook {
    /// What may be read.
    pub look: Look,
    keeper: Option<Keeper>,
}

/// The task that renews a pin, and how it is told to let go.
#[derive(Debug)]
struct Keeper {
    done: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Sources {
    /// As [`Sources::look`], with a pin on what it shows. `who` is told to whoever looks at the pins.
    ///
    /// # Errors
    /// As [`Sources::look`].
    pub async fn pinned_look(&self, query: &Query, kinds: HeadKinds, who: &str) -> Result<PinnedLook, ReaderError> {
        for attempt in 1..=ATTEMPTS {
            let look = self.look(query, kinds).await?;
            let root = look.view.root_n;
            // Before the first root nothing is ever removed.
            if root == 0 {
                return Ok(PinnedLook { look, keeper: None });
            }
            let now_ms = SystemClock.now_ms();
            match HeldPin::hold(&self.catalog, root, LIFETIME, who, now_ms).await {
                Ok(pin) => {
                    let keeper = Some(Keeper::start(Arc::clone(&self.catalog), pin));
                    return Ok(PinnedLook { look, keeper });
                }
                Err(ArchiveError::Refused(_)) if attempt < ATTEMPTS => {}
                Err(error) => {
                    tracing::warn!(%error, root, "the root cannot be pinned; files that are removed meanwhile will be an error");
                    return Ok(PinnedLook { look, keeper: None });
                }
            }
        }
        unreachable!("the last attempt returns")
    }
}

impl Sources {
    /// Pins what a look shows, as far as that can be done.
    pub(crate) async fn hold(&self, look: Look, who: &str) -> PinnedLook {
        let root = look.view.root_n;
        if root == 0 {
            return PinnedLook { look, keeper: None };
        }
        match HeldPin::hold(&self.catalog, root, LIFETIME, who, SystemClock.now_ms()).await {
            Ok(pin) => PinnedLook {
                look,
                keeper: Some(Keeper::start(Arc::clone(&self.catalog), pin)),
            },
            Err(error) => {
                tracing::warn!(%error, root, "the root cannot be pinned; files that are removed meanwhile will be an error");
                PinnedLook { look, keeper: None }
            }
        }
    }
}

impl PinnedLook {
    /// Whether the files are kept.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.keeper.is_some()
    }

    /// Takes the pin away.
    pub async fn release(self) {
        if let Some(Keeper { done, task }) = self.keeper {
            // A task that ended already has said why.
            let _ = done.send(());
            let _ = task.await;
        }
    }
}

impl Keeper {
    fn start(catalog: Arc<Catalog>, pin: HeldPin) -> Self {
        let (done, told) = oneshot::channel();
        Self {
            done,
            task: tokio::spawn(keep(catalog, pin, told)),
        }
    }
}

/// Renews the pin until it is told to let go, or nobody is left who could.
async fn keep(catalog: Arc<Catalog>, mut pin: HeldPin, mut told: oneshot::Receiver<()>) {
    let mut pace = tokio::time::interval(RENEW_EVERY);
    // The first tick is at once.
    pace.tick().await;
    loop {
        tokio::select! {
            _ = &mut told => break,
            _ = pace.tick() => {
                if let Err(error) = pin.renew(&catalog, LIFETIME, SystemClock.now_ms()).await {
                    tracing::warn!(%error, "the pin of a long read cannot be renewed; it is tried again until it expires");
                }
            }
        }
    }
    pin.release(&catalog).await;
}
