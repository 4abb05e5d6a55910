//! One connection's share of the series, as the queue of a Prometheus would send it: all series of a scrape in the order in
//! which their targets are scraped, then the next scrape; one sample per entry; requests end where they are full.
//!
//! Late samples and repetitions follow at the end of a later scrape. What a series has had is counted here, at the moment when a
//! sample comes into being, so that nothing of it must be kept.

use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::Result;

use crate::file::Totals;
use crate::histogram::{Histogram, STALE};
use crate::manifest::ManifestWriter;
use crate::request::{Builder, Entry, Protocol, Request, Symbols};
use crate::row::{Digest, Value};
use crate::timeline::Timeline;
use crate::universe::{Place, State, Universe};

/// What all queues share.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) universe: Universe,
    pub(crate) timeline: Timeline,
    pub(crate) protocol: Protocol,
    pub(crate) symbols: Symbols,
    pub(crate) manifest: ManifestWriter,
    pub(crate) totals: Totals,
}

#[derive(Debug)]
struct Member {
    /// Number among all series.
    series: u64,
    place: Place,
    state: State,
    entry: Rc<Entry>,
    digest: Digest,
}

#[derive(Debug)]
struct Waiting {
    entry: Rc<Entry>,
    timestamp: i64,
    value: Value,
    is_repeated: bool,
}

/// The share of one connection.
#[derive(Debug)]
pub(crate) struct Queue {
    members: Vec<Member>,
    step: u64,
    next: usize,
    /// What is sent at the end of later steps.
    waiting: BTreeMap<u64, Vec<Waiting>>,
    builder: Builder,
    is_finished: bool,
}

impl Queue {
    /// The share with those series.
    pub(crate) fn new(series: std::ops::Range<u64>, per_request: u32, scene: &mut Scene) -> Self {
        let slots = scene.universe.slots() as u64;
        let mut members: Vec<_> = series
            .map(|series| {
                let place = Place {
                    target: series / slots,
                    incarnation: 0,
                    slot: (series % slots) as usize,
                };
                scene.member(series, place)
            })
            .collect();
        members.sort_by_key(|member| {
            (
                scene.timeline.offset(member.place.target) + scene.universe.offset(member.place.slot),
                member.series,
            )
        });
        Self {
            is_finished: members.is_empty(),
            members,
            step: 0,
            next: 0,
            waiting: BTreeMap::new(),
            builder: Builder::new(scene.protocol, per_request),
        }
    }

    /// How far it is, in steps; infinite at the end. Whoever sends from all queues goes on with the least.
    pub(crate) fn progress(&self) -> f64 {
        if self.is_finished {
            f64::INFINITY
        } else {
            self.step as f64 + self.next as f64 / self.members.len() as f64
        }
    }

    /// The next request that is full, or the last one. `None` at the end.
    pub(crate) fn next_request(&mut self, scene: &mut Scene) -> Result<Option<Request>> {
        loop {
            if let Some(request) = self.builder.take() {
                return Ok(Some(request));
            }
            if self.is_finished {
                return Ok(None);
            }
            self.scrape(scene)?;
            if self.next < self.members.len() {
                continue;
            }
            self.send_waiting(self.step, scene)?;
            self.next = 0;
            self.step += 1;
            if self.step == scene.timeline.scrapes {
                // Nothing may be lost because the run is over.
                self.send_waiting(u64::MAX, scene)?;
                self.builder.finish()?;
                self.is_finished = true;
                for member in &self.members {
                    scene
                        .manifest
                        .append(&scene.universe.labels(member.place), member.digest)?;
                }
            }
        }
    }

    /// The next series has its sample; one that ends and its successor have one each.
    fn scrape(&mut self, scene: &mut Scene) -> Result<()> {
        let step = self.step;
        let member = &mut self.members[self.next];
        self.next += 1;
        let target = member.place.target;
        let timestamp = scene.timeline.timestamp(target, step) + scene.universe.offset(member.place.slot);
        let incarnation = scene.timeline.incarnation(target, step);
        if incarnation != member.place.incarnation {
            let marker = scene.stale_like(&member.state);
            scene.count(&mut member.digest, timestamp, &marker);
            scene.totals.samples += 1;
            self.builder
                .push(&member.entry, timestamp, &marker, false, &scene.symbols)?;
            scene
                .manifest
                .append(&scene.universe.labels(member.place), member.digest)?;
            let place = Place {
                incarnation,
                ..member.place
            };
            *member = scene.member(member.series, place);
        }
        let mut value = scene
            .universe
            .advance(&mut member.state, scene.timeline.seed, member.place, step);
        if scene.timeline.fails(target, step) {
            value = scene.stale_like(&member.state);
        }
        scene.count(&mut member.digest, timestamp, &value);
        scene.totals.samples += 1;
        let mut wait = |until: u64, value: Value, is_repeated: bool| {
            let entry = Rc::clone(&member.entry);
            self.waiting.entry(until).or_default().push(Waiting {
                entry,
                timestamp,
                value,
                is_repeated,
            });
        };
        if let Some(until) = scene.timeline.late_until(member.series, step) {
            scene.totals.late += 1;
            wait(until, value, false);
            return Ok(());
        }
        self.builder
            .push(&member.entry, timestamp, &value, false, &scene.symbols)?;
        if let Some(until) = scene.timeline.repeated_at(member.series, step) {
            scene.totals.samples += 1;
            scene.totals.repeated += 1;
            wait(until, value, true);
        }
        Ok(())
    }

    /// Sends what waits for a step up to this one.
    fn send_waiting(&mut self, step: u64, scene: &Scene) -> Result<()> {
        while let Some(first) = self.waiting.first_entry().filter(|first| *first.key() <= step) {
            for late in first.remove() {
                self.builder.push(
                    &late.entry,
                    late.timestamp,
                    &late.value,
                    late.is_repeated,
                    &scene.symbols,
                )?;
            }
        }
        Ok(())
    }
}

impl Scene {
    fn member(&mut self, series: u64, place: Place) -> Member {
        let labels = self.universe.labels(place);
        let entry = Entry::new(
            self.protocol,
            &labels,
            self.universe.metadata(place.slot),
            &mut self.symbols,
        );
        Member {
            series,
            place,
            state: self.universe.begin(place),
            entry: Rc::new(entry),
            digest: Digest::default(),
        }
    }

    /// The marker that a Prometheus leaves of a series with such values.
    fn stale_like(&self, state: &State) -> Value {
        if state.is_native() {
            Value::Histogram(Box::new(Histogram::stale()))
        } else {
            Value::Float(STALE)
        }
    }

    fn count(&mut self, digest: &mut Digest, timestamp: i64, value: &Value) {
        digest.add(value.hash(timestamp));
        let totals = &mut self.totals;
        totals.rows += 1;
        totals.stale += u64::from(value.is_stale());
        totals.histograms += u64::from(matches!(value, Value::Histogram(_)));
        totals.min_ms = totals.min_ms.min(timestamp);
        totals.max_ms = totals.max_ms.max(timestamp);
    }
}
