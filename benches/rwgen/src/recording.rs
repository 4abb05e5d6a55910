//! The profile `real`: recorded bodies of a Prometheus, replayed for many instances and as long as one likes.
//!
//! A copy byte for byte would compress as nothing real does, for all instances would be the same, and each day the same. So
//! only the character of each series is taken: how often it changes, by how much, with which decimals and granularity. A
//! counter of an instance has its own start value, and its recorded increases are multiplied by the load that the instance has
//! at that scrape (the same for all its series, so the buckets of a histogram stay in order). A gauge stays where the recorded
//! one stays, and elsewhere lies beside it by up to the recorded step. Each instance begins at its own place of the recording.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::histogram::Histogram;
use crate::native::{Buckets, Form, assemble};
use crate::random::{mix, unit};
use crate::recorded::{Shape, read_bodies};
use crate::request::Metadata;
use crate::row::Value;
use crate::universe::Place;
use crate::values::TENS;

/// What is recorded of one series.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) metadata: Metadata,
    pub(crate) offset_ms: i64,
    pub(crate) shape: Shape,
}

/// A whole recording.
#[derive(Debug)]
pub(crate) struct Recording {
    seed: u64,
    slots: Vec<Recorded>,
    /// Recorded scrapes that make one of ours.
    stride: usize,
}

/// What a series remembers.
#[derive(Debug, Clone)]
pub(crate) enum Replay {
    Units(i64),
    Full(f64),
    Native(Box<Grown>),
}

/// A histogram that goes on where the recording ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grown {
    positive: Buckets,
    negative: Buckets,
    zero: u64,
    sum: f64,
}

impl Recording {
    /// Reads a recording, to be replayed with that interval.
    pub(crate) fn open(path: &Path, seed: u64, interval_ms: i64) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let (slots, recorded_ms) = read_bodies(&bytes).with_context(|| format!("in `{}`", path.display()))?;
        ensure!(!slots.is_empty(), "`{}` holds no series", path.display());
        if interval_ms % recorded_ms != 0 {
            bail!("`--interval` must be a multiple of the recorded {recorded_ms} ms");
        }
        Ok(Self {
            seed,
            slots,
            stride: (interval_ms / recorded_ms) as usize,
        })
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn offset(&self, slot: usize) -> i64 {
        self.slots[slot].offset_ms
    }

    pub(crate) fn metadata(&self, slot: usize) -> &Metadata {
        &self.slots[slot].metadata
    }

    /// The recorded labels, but of an instance of its own.
    pub(crate) fn labels(&self, place: Place) -> Vec<(String, String)> {
        let (target, mut labels) = (place.target, self.slots[place.slot].labels.clone());
        let host = format!("10.{}.{}.{}", target >> 16 & 255, target >> 8 & 255, target & 255);
        // A successor is another host.
        let host = if place.incarnation == 0 {
            host
        } else {
            format!("{host}-{}", place.incarnation)
        };
        match labels.iter_mut().find(|(name, _)| name == "instance") {
            Some((_, instance)) => {
                let port = instance.rsplit_once(':').map_or("9100", |(_, port)| port);
                *instance = format!("{host}:{port}");
            }
            None => labels.push(("instance".to_owned(), host)),
        }
        labels
    }

    pub(crate) fn begin(&self, place: Place) -> Replay {
        // Some instances have run for long, others have just begun.
        let age = unit(mix([self.seed, 21, place.target, place.incarnation])) * 3.0;
        match &self.slots[place.slot].shape {
            Shape::Constant(_) | Shape::Bits(_) => Replay::Units(0),
            Shape::Decimal {
                grain, units, rises, ..
            } => {
                let first = units.first().copied().unwrap_or_default();
                if *rises {
                    let grains = (first as f64 / *grain as f64 * age).round() as i64;
                    Replay::Units(grains * grain)
                } else {
                    Replay::Units(first)
                }
            }
            Shape::Full { values, rises } => {
                let first = values.first().copied().unwrap_or_default();
                Replay::Full(if *rises { first * age } else { first })
            }
            Shape::Native(_) => Replay::Native(Box::default()),
        }
    }

    /// The rows between which a scrape lies, of `rows`; the same for all series of an instance that are recorded as long.
    fn rows(&self, place: Place, step: u64, rows: usize) -> (usize, usize) {
        let Some(span) = rows.checked_sub(self.stride).filter(|span| *span > 0) else {
            return (0, 0);
        };
        let phase = mix([self.seed, 22, place.target]) as usize % span;
        let before = (phase + step as usize * self.stride) % span;
        (before, before + self.stride)
    }

    /// How busy an instance is at a scrape: around its own level, 0.25 to 3.
    fn load(&self, place: Place, step: u64) -> f64 {
        let level = 0.5 + 1.5 * unit(mix([self.seed, 23, place.target]));
        level * (0.5 + unit(mix([self.seed, 24, place.target, step])))
    }

    pub(crate) fn advance(&self, replay: &mut Replay, place: Place, step: u64) -> Value {
        let float = |value: f64| Value::Float(value.to_bits());
        let chance = || 2.0 * unit(mix([self.seed, 25, place.target, place.slot as u64, step])) - 1.0;
        match (&self.slots[place.slot].shape, replay) {
            (Shape::Bits(rows), _) => Value::Float(rows[self.rows(place, step, rows.len()).1]),
            (
                Shape::Decimal {
                    decimals,
                    grain,
                    units,
                    rises,
                },
                Replay::Units(now),
            ) => {
                let (before, after) = self.rows(place, step, units.len());
                let change = units[after] - units[before];
                if *rises && change > 0 {
                    let grains = (change as f64 / *grain as f64 * self.load(place, step)).round() as i64;
                    *now += grains.max(1) * grain;
                } else if !rises && change != 0 {
                    let beside = (chance() * (change / grain) as f64).round() as i64 * grain;
                    *now = units[after] + beside;
                    if *now < 0 && units[after] >= 0 {
                        *now = units[after];
                    }
                }
                float(*now as f64 / TENS[*decimals as usize])
            }
            (Shape::Full { values, rises }, Replay::Full(now)) => {
                let (before, after) = self.rows(place, step, values.len());
                let change = values[after] - values[before];
                if *rises && change > 0.0 {
                    *now += change * self.load(place, step);
                } else if !rises && change != 0.0 {
                    *now = values[after] + chance() * change;
                }
                float(*now)
            }
            (Shape::Native(rows), Replay::Native(grown)) => {
                let (before, after) = self.rows(place, step, rows.len());
                Value::Histogram(Box::new(grown.grow(
                    &rows[before],
                    &rows[after],
                    self.load(place, step),
                )))
            }
            (Shape::Constant(bits), _) => Value::Float(*bits),
            (_, _) => Value::Float(0),
        }
    }
}

impl Grown {
    /// Adds what a recorded histogram grew from one row to another, times the load.
    fn grow(&mut self, before: &Histogram, after: &Histogram, load: f64) -> Histogram {
        let more = |was: u64, is: u64| (is.saturating_sub(was) as f64 * load).round() as u64;
        for (side, was, is) in [
            (&mut self.positive, &before.positive, &after.positive),
            (&mut self.negative, &before.negative, &after.negative),
        ] {
            let mut counts = HashMap::new();
            was.each(|index, count| {
                counts.insert(index, count);
            });
            is.each(|index, count| {
                let fresh = more(counts.get(&index).copied().unwrap_or_default(), count);
                if fresh > 0 {
                    side.add(index as i32, fresh);
                }
            });
        }
        self.zero += more(before.zero_count, after.zero_count);
        let (was, is) = (f64::from_bits(before.sum), f64::from_bits(after.sum));
        self.sum += (is - was).max(0.0) * load;
        let form = Form {
            is_float: false,
            is_gauge: false,
            has_negative: true,
            schema: after.schema,
        };
        assemble(form, &self.positive, &self.negative, self.zero, self.sum)
    }
}
