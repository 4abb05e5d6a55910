//! What each source sends, so that an operator learns of a sender whose configuration leaves out what could be archived.
//!
//! A source is a tenant and the program that sends for it. Prometheus sends native histograms, exemplars and protocol 2.0 only when
//! its configuration says so, and nobody misses them before the worst day. This module only tells; it must never refuse anything.

use std::collections::BTreeMap;

use emberkeep_model::TenantId;
use emberkeep_proto::content::WriteProtocol;
use parking_lot::Mutex;

use crate::batch::Counts;
use crate::ingest::Sender;
use crate::metrics::{Metrics, SourceLabels};

/// Sources that are told apart; further ones are not looked at, because names come from outside.
const SOURCES_MAX: usize = 256;

/// Bytes of a program's name.
const AGENT_BYTES_MAX: usize = 64;

/// How long a source may send without something before it is told, in milliseconds: metadata comes each minute, and exemplars and
/// histograms with the scrapes.
const TELL_AFTER_MS: i64 = 15 * 60 * 1000;

/// What the configuration of a sender can switch on, and how.
const SWITCHES: [(&str, &str); 3] = [
    ("histograms", "`send_native_histograms: true`"),
    ("exemplars", "`send_exemplars: true`"),
    ("protocol_2", "`protobuf_message: io.prometheus.write.v2.Request`"),
];

#[derive(Debug)]
struct Source {
    first_seen: i64,
    /// For each switch whether it was ever seen to be on.
    seen: [bool; SWITCHES.len()],
    is_told: bool,
}

/// All sources since the start.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    seen: Mutex<BTreeMap<(TenantId, String), Source>>,
}

impl Sources {
    /// Takes note of a request that arrived at `now`, milliseconds since 1970.
    pub(crate) fn saw(&self, sender: &Sender, sent: Counts, now: i64, metrics: &Metrics) {
        let agent = sender.agent[..sender.agent.floor_char_boundary(AGENT_BYTES_MAX)].to_owned();
        let mut sources = self.seen.lock();
        let key = (sender.tenant.clone(), agent);
        let is_new = !sources.contains_key(&key);
        if is_new && sources.len() >= SOURCES_MAX {
            return;
        }
        let labels = |what| SourceLabels {
            tenant: key.0.as_str().to_owned(),
            agent: key.1.clone(),
            what,
        };
        let source = sources.entry(key.clone()).or_insert_with(|| Source {
            first_seen: now,
            seen: [false; SWITCHES.len()],
            is_told: false,
        });
        let on = [
            sent.histograms > 0,
            sent.exemplars > 0,
            sender.protocol == WriteProtocol::V2,
        ];
        for (i, (what, _)) in SWITCHES.into_iter().enumerate() {
            if is_new || (on[i] && !source.seen[i]) {
                source.seen[i] |= on[i];
                metrics
                    .source_sends
                    .get_or_create(&labels(what))
                    .set(i64::from(source.seen[i]));
            }
        }
        if source.is_told || now.saturating_sub(source.first_seen) < TELL_AFTER_MS {
            return;
        }
        source.is_told = true;
        for ((what, switch), seen) in SWITCHES.into_iter().zip(source.seen) {
            if !seen {
                tracing::warn!(
                    tenant = key.0.as_str(),
                    agent = key.1,
                    what,
                    "a source has sent none of this since it was first seen; if it has any, set {switch} in its remote_write"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn sender(protocol: WriteProtocol) -> Sender {
        Sender {
            tenant: TenantId::parse("a").unwrap(),
            protocol,
            agent: "Prometheus/3.14.0".to_owned(),
        }
    }

    fn sends(metrics: &Metrics, what: &'static str) -> i64 {
        let labels = SourceLabels {
            tenant: "a".to_owned(),
            agent: "Prometheus/3.14.0".to_owned(),
            what,
        };
        metrics.source_sends.get_or_create(&labels).get()
    }

    #[test]
    fn a_source_shows_what_it_was_seen_to_send() {
        let (sources, metrics) = (Sources::default(), Metrics::default());
        let floats = Counts {
            samples: 5,
            ..Counts::default()
        };
        sources.saw(&sender(WriteProtocol::V1), floats, 0, &metrics);
        assert_eq!(SWITCHES.map(|(what, _)| sends(&metrics, what)), [0, 0, 0]);
        let histograms = Counts {
            histograms: 1,
            ..floats
        };
        sources.saw(&sender(WriteProtocol::V1), histograms, 1, &metrics);
        sources.saw(&sender(WriteProtocol::V2), floats, TELL_AFTER_MS, &metrics);
        assert_eq!(SWITCHES.map(|(what, _)| sends(&metrics, what)), [1, 0, 1]);
        assert!(sources.seen.lock().values().all(|source| source.is_told));
    }

    #[test]
    fn names_from_outside_are_bounded() {
        let (sources, metrics) = (Sources::default(), Metrics::default());
        for n in 0..SOURCES_MAX + 10 {
            let sender = Sender {
                agent: format!("{n}{}", "é".repeat(100)),
                ..sender(WriteProtocol::V1)
            };
            sources.saw(&sender, Counts::default(), 0, &metrics);
        }
        let seen = sources.seen.lock();
        assert_eq!(seen.len(), SOURCES_MAX);
        assert!(seen.keys().all(|(_, agent)| agent.len() <= AGENT_BYTES_MAX));
    }
}
