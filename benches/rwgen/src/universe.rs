//! All series that there can be: targets, each with the same slots, each slot one series with labels and values of its own.
//!
//! A target that ended has a successor with other labels (its incarnation). Nothing here knows requests or time.

use crate::histogram::Histogram;
use crate::native::Native;
use crate::random::mix;
use crate::recording::{Recording, Replay};
use crate::request::Metadata;
use crate::row::Value;
use crate::synthetic::Synthetic;
use crate::values::Values;

/// Where samples come from.
#[derive(Debug)]
pub(crate) enum Universe {
    Synthetic(Synthetic),
    Real(Recording),
}

/// What one series remembers from scrape to scrape.
#[derive(Debug, Clone)]
pub(crate) enum State {
    Plain(Values),
    Native(Box<Native>),
    Replay(Replay),
}

impl State {
    /// Whether its samples are histograms.
    pub(crate) fn is_native(&self) -> bool {
        matches!(self, Self::Native(_) | Self::Replay(Replay::Native(_)))
    }
}

/// A series, as it is for the life of its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) target: u64,
    pub(crate) incarnation: u64,
    pub(crate) slot: usize,
}

impl Universe {
    /// Series of each target.
    pub(crate) fn slots(&self) -> usize {
        match self {
            Self::Synthetic(synthetic) => synthetic.slots(),
            Self::Real(recording) => recording.slots(),
        }
    }

    /// Milliseconds from the scrape of the target to that of the slot: a recording may hold more than one scrape.
    pub(crate) fn offset(&self, slot: usize) -> i64 {
        match self {
            Self::Synthetic(_) => 0,
            Self::Real(recording) => recording.offset(slot),
        }
    }

    pub(crate) fn metadata(&self, slot: usize) -> &Metadata {
        match self {
            Self::Synthetic(synthetic) => synthetic.metadata(slot),
            Self::Real(recording) => recording.metadata(slot),
        }
    }

    /// Labels, sorted by name.
    pub(crate) fn labels(&self, place: Place) -> Vec<(String, String)> {
        let mut labels = match self {
            Self::Synthetic(synthetic) => synthetic.labels(place.target, place.incarnation, place.slot),
            Self::Real(recording) => recording.labels(place),
        };
        labels.sort();
        labels
    }

    /// A series before its first scrape.
    pub(crate) fn begin(&self, place: Place) -> State {
        match self {
            Self::Synthetic(synthetic) => synthetic.begin(place.target, place.incarnation, place.slot),
            Self::Real(recording) => State::Replay(recording.begin(place)),
        }
    }

    /// The value of the next scrape.
    pub(crate) fn advance(&self, state: &mut State, seed: u64, place: Place, step: u64) -> Value {
        match state {
            State::Plain(values) => {
                let shared = mix([seed, place.target, place.incarnation]);
                Value::Float(values.advance(shared, step).to_bits())
            }
            State::Native(native) => Value::Histogram(Box::new(native.advance())),
            State::Replay(replay) => match self {
                Self::Real(recording) => recording.advance(replay, place, step),
                Self::Synthetic(_) => Value::Histogram(Box::new(Histogram::stale())),
            },
        }
    }
}
