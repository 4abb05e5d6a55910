//! `rwgen encode`: writes the requests of a run into a file, and the manifest beside it.
//!
//! Memory grows with the series that there are at a time, never with samples. The requests of all connections lie in the file
//! in the order in which senders would have them ready.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::file::{FileWriter, Summary, Totals};
use crate::manifest::{ManifestWriter, path_of};
use crate::queue::{Queue, Scene};
use crate::recording::Recording;
use crate::request::{Protocol, Symbols};
use crate::synthetic::{Synthetic, Theme};
use crate::timeline::Timeline;
use crate::universe::Universe;

/// Which data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Profile {
    /// Recorded requests, replayed for many instances; needs `--corpus`
    Real,
    /// Counters, gauges, constants, buckets; 10 labels, 261 bytes
    Node,
    /// Busy counters alone; 10 labels
    Busy,
    /// 15 to 18 labels, 350 bytes
    Kubernetes,
    /// Native histograms, with integers and with floats
    Histograms,
}

/// Everything that a run follows from.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    pub(crate) profile: Profile,
    pub(crate) corpus: Option<PathBuf>,
    pub(crate) protocol: Protocol,
    pub(crate) series: u64,
    pub(crate) per_request: u32,
    pub(crate) connections: u32,
    pub(crate) timeline: Timeline,
}

/// Writes the file and its manifest.
pub(crate) fn encode(recipe: &Recipe, output: &Path) -> Result<Summary> {
    let timeline = &recipe.timeline;
    ensure!(
        recipe.series > 0 && timeline.scrapes > 0,
        "`--series` and `--scrapes` begin at 1"
    );
    ensure!(
        recipe.per_request > 0 && recipe.connections > 0,
        "`--per-request` and `--connections` begin at 1"
    );
    ensure!(
        u64::from(recipe.connections) <= recipe.series,
        "each connection needs a series"
    );
    ensure!(timeline.interval_ms > 0, "`--interval` must be longer than nothing");
    ensure!(
        recipe.corpus.is_some() == (recipe.profile == Profile::Real),
        "`--corpus` goes with `--profile real`, and only with it"
    );
    let mut scene = Scene {
        universe: universe(recipe)?,
        timeline: timeline.clone(),
        protocol: recipe.protocol,
        symbols: Symbols::default(),
        manifest: ManifestWriter::create(&path_of(output))?,
        totals: Totals {
            min_ms: i64::MAX,
            max_ms: i64::MIN,
            ..Totals::default()
        },
    };
    let mut file = FileWriter::create(output)?;
    let connections = u64::from(recipe.connections);
    let border = |connection: u64| recipe.series * connection / connections;
    let mut queues: Vec<Queue> = (0..connections)
        .map(|connection| {
            Queue::new(
                border(connection)..border(connection + 1),
                recipe.per_request,
                &mut scene,
            )
        })
        .collect();
    loop {
        let least = (0..queues.len()).min_by(|&a, &b| queues[a].progress().total_cmp(&queues[b].progress()));
        let Some(connection) = least.filter(|&at| queues[at].progress().is_finite()) else {
            break;
        };
        // The last call of a queue may give several requests: it has no progress to be chosen by any more.
        while let Some(request) = queues[connection].next_request(&mut scene)? {
            scene.totals.requests += 1;
            scene.totals.bytes += request.body.len() as u64;
            scene.totals.raw_bytes += u64::from(request.raw_bytes);
            file.append(connection as u32, &request)?;
            if queues[connection].progress().is_finite() {
                break;
            }
        }
    }
    scene.totals.series = scene.manifest.finish()?;
    let name = clap::ValueEnum::to_possible_value(&recipe.profile)
        .map_or_else(String::new, |value| value.get_name().to_owned());
    let summary = Summary {
        profile: name,
        seed: timeline.seed,
        protocol: recipe.protocol,
        connections: recipe.connections,
        interval_ms: timeline.interval_ms,
        scrapes: timeline.scrapes,
        active_series: recipe.series,
        totals: scene.totals,
    };
    file.finish(&summary)?;
    Ok(summary)
}

fn universe(recipe: &Recipe) -> Result<Universe> {
    let theme = match recipe.profile {
        Profile::Real => {
            let corpus = recipe.corpus.as_deref().unwrap_or(Path::new(""));
            let recording = Recording::open(corpus, recipe.timeline.seed, recipe.timeline.interval_ms)?;
            return Ok(Universe::Real(recording));
        }
        Profile::Node => Theme::Node,
        Profile::Busy => Theme::Busy,
        Profile::Kubernetes => Theme::Kubernetes,
        Profile::Histograms => Theme::Histograms,
    };
    Ok(Universe::Synthetic(Synthetic::new(theme, recipe.timeline.seed)))
}
