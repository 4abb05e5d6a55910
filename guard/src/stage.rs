//! What is guarded: the stages of the way of a sample, each by the functions that do it.
//!
//! The functions are named as they are in the program's symbols, so each must be one of its own: `#[inline(never)]`. One that cannot
//! be found is a failure that says so; a stage is never left out in silence.

use anyhow::{Result, bail};

use crate::profile::Profile;
use crate::work::Phase;

/// One guarded figure.
#[derive(Debug)]
pub(crate) struct Stage {
    /// As in the baseline.
    pub(crate) name: &'static str,
    /// Where it is counted.
    phase: Phase,
    /// The functions that do it and do not call each other; none for all of the phase.
    functions: &'static [&'static str],
}

const SNAPPY: &[&str] = &["emberkeep_proto::snappy::decompress_capped"];
const DECODE: &[&str] = &["emberkeep_receiver::intake::judge"];
const LOG: &[&str] = &["emberkeep_wal::wal::Wal::append", "emberkeep_wal::writer::Writer::run"];
const HEAD: &[&str] =
    &["emberkeep_receiver::series_table::append::<impl emberkeep_receiver::series_table::SeriesTable>::append"];
const FLUSH: &[&str] = &["emberkeep_receiver::flush::Flush::stage"];

/// All of them, in the order of the report.
pub(crate) const STAGES: [Stage; 12] = [
    stage("decompress-1.0", Phase::KnownV1, SNAPPY),
    stage("decode-1.0", Phase::KnownV1, DECODE),
    stage("log-append-1.0", Phase::KnownV1, LOG),
    stage("head-append-1.0", Phase::KnownV1, HEAD),
    stage("request-1.0", Phase::KnownV1, &[]),
    stage("decompress-2.0", Phase::KnownV2, SNAPPY),
    stage("decode-2.0", Phase::KnownV2, DECODE),
    stage("log-append-2.0", Phase::KnownV2, LOG),
    stage("head-append-2.0", Phase::KnownV2, HEAD),
    stage("request-2.0", Phase::KnownV2, &[]),
    stage("new-series", Phase::Register, &[]),
    stage("flush", Phase::Flush, FLUSH),
];

const fn stage(name: &'static str, phase: Phase, functions: &'static [&'static str]) -> Stage {
    Stage { name, phase, functions }
}

impl Stage {
    /// Instructions per sample (per series where they are registered); `profiles` are in the order of [`Phase::ALL`].
    pub(crate) fn figure(&self, profiles: &[Profile]) -> Result<f64> {
        let at = Phase::ALL.iter().position(|phase| *phase == self.phase);
        let Some(profile) = at.and_then(|at| profiles.get(at)) else {
            bail!(
                "`{}`: callgrind wrote nothing for the phase {:?}",
                self.name,
                self.phase
            );
        };
        let mut instructions = if self.functions.is_empty() { profile.total() } else { 0 };
        for function in self.functions {
            let Some(of_function) = profile.of(function) else {
                let last = function.rsplit("::").next().unwrap_or(function);
                bail!(
                    "`{}`: the function `{function}` was not seen in the phase {:?}; renamed, or inlined for want of \
                     `#[inline(never)]`? Similar names: {:?}. The functions of a stage are named in guard/src/stage.rs",
                    self.name,
                    self.phase,
                    profile.names_with(last)
                );
            };
            instructions += of_function;
        }
        Ok(instructions as f64 / self.phase.units() as f64)
    }
}
