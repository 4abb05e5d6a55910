//! Who comes when the catalog is lost: stops whoever changes it, makes it anew from the files, and lets them go on.
//!
//! Receivers and readers go on meanwhile. It may end anywhere, and is then begun again.

use emberkeep_archive::{ArchiveError, Rebuild, names};

use crate::context::Context;
use crate::planted::Planted;
use crate::random::Random;
use crate::store::World;

/// What is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accident {
    /// Nothing; somebody thinks so all the same.
    Nothing,
    /// The newest root.
    Root,
    /// All manifests.
    Manifests,
    /// The newest root, all manifests, and all lists of what was removed.
    Lists,
    /// Some of the files of merged parts.
    Files,
}

impl Accident {
    pub(crate) fn any(random: &mut Random) -> Self {
        let all = [Self::Nothing, Self::Root, Self::Manifests, Self::Lists, Self::Files];
        all[random.index(all.len())]
    }

    /// Lets it happen.
    pub(crate) fn happen(self, world: &mut World, newest: u64, random: &mut Random) {
        let mut lost = Vec::new();
        if matches!(self, Self::Manifests | Self::Lists) {
            lost.extend(world.names(names::manifests().as_ref()));
        }
        if self == Self::Lists {
            lost.extend(world.names(names::condemned_lists().as_ref()));
        }
        if self == Self::Files {
            let merged = world.names("samples/");
            lost.extend(merged.into_iter().filter(|_| random.chance(400)));
        }
        for path in &lost {
            world.lose(path);
        }
        if self != Self::Nothing && newest > 0 {
            world.damage(&names::root(newest));
        }
    }
}

/// Rebuilds until the catalog is there again.
pub(crate) async fn rebuild(context: Context) {
    // A catalog that can be read is rebuilt only when somebody insists.
    let mut is_wanted = context.chance(500);
    loop {
        context.pause().await;
        let bugs = [
            Planted::RebuiltWithoutLocks,
            Planted::RebuiltWithoutLate,
            Planted::RebuiltWithoutInputs,
        ];
        let catalog = context.catalog_of(&bugs);
        let found = match Rebuild::survey(&catalog).await {
            Ok(found) => found,
            Err(error) => {
                allow(&context, "survey", &error);
                continue;
            }
        };
        let done = if found.is_readable && !is_wanted {
            found.take_in_missed(&catalog, context.now()).await.map(|_| ())
        } else {
            is_wanted = false;
            let nonce = context.nonce();
            context.model.borrow_mut().rebuilds.insert(nonce.clone());
            found.commit(&catalog, &nonce, context.now()).await.map(|_| ())
        };
        match done {
            Ok(()) => return,
            Err(error) => allow(&context, "rebuild", &error),
        }
    }
}

fn allow(context: &Context, what: &str, error: &ArchiveError) {
    let is_ours = !error.is_transient() && !matches!(error, ArchiveError::Refused(_));
    let wrong = is_ours.then(|| format!("{what}: {error}"));
    context.model.borrow_mut().demand(wrong);
}
