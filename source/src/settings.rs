//! What of a server's configuration touches its data: external labels, and what its senders leave out.
//!
//! Read from `/api/v1/status/config`, which hides secrets. Unknown fields are nobody's mistake here: the file is Prometheus' own.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::client::answer;
use crate::{RelabelConfig, Source, SourceError};

/// The configuration, as far as it is read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SourceSettings {
    /// `global.external_labels`: what senders add to every series that does not have the label, and what remote read answers with.
    pub external_labels: BTreeMap<String, String>,
    /// `remote_write`.
    pub remote_writes: Vec<RemoteWrite>,
}

/// One `remote_write` of it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct RemoteWrite {
    /// Where it sends.
    #[serde(default)]
    pub url: String,
    /// Its name, when it has one.
    #[serde(default)]
    pub name: Option<String>,
    /// `write_relabel_configs` as they are written there.
    #[serde(default, rename = "write_relabel_configs")]
    pub relabel_configs: Vec<RelabelConfig>,
}

#[derive(Deserialize)]
struct ConfigAnswer {
    yaml: String,
}

#[derive(Default, Deserialize)]
struct ConfigFile {
    #[serde(default)]
    global: Option<Global>,
    #[serde(default)]
    remote_write: Option<Vec<RemoteWrite>>,
}

#[derive(Default, Deserialize)]
struct Global {
    #[serde(default)]
    external_labels: Option<BTreeMap<String, String>>,
}

impl SourceSettings {
    /// Reads a Prometheus configuration file.
    ///
    /// # Errors
    /// A text that is no such file.
    pub fn parse(yaml: &str) -> Result<Self, String> {
        let file: Option<ConfigFile> = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
        let file = file.unwrap_or_default();
        Ok(Self {
            external_labels: file
                .global
                .and_then(|global| global.external_labels)
                .unwrap_or_default(),
            remote_writes: file.remote_write.unwrap_or_default(),
        })
    }
}

impl Source {
    /// Its configuration, as far as it touches data.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub async fn settings(&self) -> Result<SourceSettings, SourceError> {
        const PATH: &str = "/api/v1/status/config";
        let config: ConfigAnswer = self.data(PATH).await?;
        SourceSettings::parse(&config.yaml).map_err(|reason| {
            answer(
                &self.endpoint(PATH),
                format!("its configuration cannot be read: {reason}"),
            )
        })
    }

    /// The external labels of its configuration.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub async fn external_labels(&self) -> Result<BTreeMap<String, String>, SourceError> {
        Ok(self.settings().await?.external_labels)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn labels_and_relabelling_are_read_and_the_rest_is_passed_over() {
        let settings = SourceSettings::parse(
            "global:\n  scrape_interval: 15s\n  external_labels:\n    replica: \"1\"\n    zone: eu\nscrape_configs:\n- job_name: x\nremote_write:\n- url: http://a/api/v1/write\n  name: keep\n  write_relabel_configs:\n  - source_labels: [__name__]\n    separator: ;\n    regex: go_.*\n    replacement: $1\n    action: drop\n- url: http://b\n",
        )
        .unwrap();
        assert_eq!(settings.external_labels["replica"], "1");
        assert_eq!(settings.remote_writes.len(), 2);
        assert_eq!(settings.remote_writes[0].name.as_deref(), Some("keep"));
        assert_eq!(
            settings.remote_writes[0].relabel_configs[0].action.as_deref(),
            Some("drop")
        );
        assert_eq!(settings.remote_writes[1].relabel_configs, Vec::new());
        assert_eq!(SourceSettings::parse("global:\n").unwrap(), SourceSettings::default());
        assert!(SourceSettings::parse("- a list").is_err());
    }
}
