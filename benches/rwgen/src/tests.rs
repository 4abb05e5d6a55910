//! Tests of the whole: what is encoded, sent, and found again.

mod encoded;
mod found;
mod messages;
mod replayed;
mod sent;
mod server;

use std::path::{Path, PathBuf};

use crate::encode::{Profile, Recipe, encode};
use crate::file::RequestFile;
use crate::request::Protocol;
use crate::timeline::Timeline;

/// A small run with a little of everything.
fn recipe(profile: Profile, protocol: Protocol) -> Recipe {
    Recipe {
        profile,
        corpus: None,
        protocol,
        series: 430,
        per_request: 130,
        connections: 3,
        timeline: Timeline {
            seed: 11,
            start_ms: 1_700_000_000_000,
            interval_ms: 15_000,
            scrapes: 16,
            churn: 20.0,
            stale: 4.0,
            late: 5.0,
            repeated: 6.0,
        },
    }
}

/// The same without anything unusual.
fn plain(profile: Profile, protocol: Protocol) -> Recipe {
    let mut recipe = recipe(profile, protocol);
    recipe.timeline = Timeline {
        churn: 0.0,
        stale: 0.0,
        late: 0.0,
        repeated: 0.0,
        ..recipe.timeline
    };
    recipe
}

/// Encodes into a folder, under a name.
fn encoded(recipe: &Recipe, folder: &Path, name: &str) -> (PathBuf, RequestFile) {
    let path = folder.join(name);
    let summary = encode(recipe, &path).expect("the recipe is sound");
    let file = RequestFile::open(&path).expect("the file is whole");
    assert_eq!(file.summary, summary);
    (path, file)
}
