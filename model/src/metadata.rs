//! Metadata: what a metric is, in words. All variants that were ever sent are kept, with the time in which they were.

use crate::Labels;

/// What kind of metric it is; the number is the one on the wire of both protocols.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum MetricType {
    /// Not told.
    #[default]
    Unknown = 0,
    /// Only rises, but for resets.
    Counter = 1,
    /// Rises and falls.
    Gauge = 2,
    /// Classic or native histogram.
    Histogram = 3,
    /// Histogram whose counts may fall.
    GaugeHistogram = 4,
    /// Quantiles made by the client.
    Summary = 5,
    /// Labels that describe, value 1.
    Info = 6,
    /// States as 0 and 1.
    StateSet = 7,
}

impl MetricType {
    const ALL: [Self; 8] = [
        Self::Unknown,
        Self::Counter,
        Self::Gauge,
        Self::Histogram,
        Self::GaugeHistogram,
        Self::Summary,
        Self::Info,
        Self::StateSet,
    ];

    /// The type of a number; what is not known yet is unknown.
    #[must_use]
    pub fn from_number(number: i32) -> Self {
        let known = usize::try_from(number).ok().and_then(|n| Self::ALL.get(n));
        known.copied().unwrap_or_default()
    }

    /// As Prometheus' API spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }

    /// The type with that spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric_type| metric_type.as_str() == text)
    }
}

/// Type, unit and help of a metric family or series.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Metadata {
    /// What kind of metric it is.
    pub metric_type: MetricType,
    /// Its unit; mostly empty.
    pub unit: String,
    /// What it is about.
    pub help: String,
}

impl Metadata {
    /// Whether it says nothing: senders of 2.0 put it beside every series that they know nothing about.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.metric_type == MetricType::Unknown && self.unit.is_empty() && self.help.is_empty()
    }
}

/// One variant of metadata, and when it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenMetadata {
    /// What was said.
    pub metadata: Metadata,
    /// First arrival, milliseconds since 1970 by the receiver's clock.
    pub first_seen: i64,
    /// Last arrival, milliseconds since 1970 by the receiver's clock.
    pub last_seen: i64,
}

/// One variant of metadata, and of what. Equal variants are one, seen from the first to the last of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataEntry {
    /// The metric family, or for a series its metric name.
    pub family: String,
    /// The series, when it was sent for one (remote write 2.0).
    pub series: Option<Labels>,
    /// The variant.
    pub seen: SeenMetadata,
}

#[cfg(test)]
mod tests;
