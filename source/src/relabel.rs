//! `write_relabel_configs`: what a sender leaves out on purpose, so that nobody takes it for lost.
//!
//! Only the actions that leave out series or labels are carried out. What rewrites labels is named as not understood: guessing what a series
//! is called afterwards would turn a difference into an agreement.

use emberkeep_model::{Labels, Re2};
use serde::{Deserialize, Serialize};

use crate::SourceSettings;

/// Rules in the order in which a sender applies them, after it added its external labels.
#[derive(Debug, Default)]
pub struct RelabelRules {
    rules: Vec<Rule>,
    not_understood: Vec<String>,
}

/// What becomes of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relabelled {
    /// It is sent, with these labels.
    Sent(Labels),
    /// It is left out by the rule at this position, counted from 0.
    LeftOut(usize),
}

#[derive(Debug)]
struct Rule {
    position: usize,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Drop(Joined),
    Keep(Joined),
    DropEqual {
        joined: Vec<String>,
        separator: String,
        target: String,
    },
    KeepEqual {
        joined: Vec<String>,
        separator: String,
        target: String,
    },
    LabelDrop(Re2),
    LabelKeep(Re2),
}

/// Values of some labels, joined, against a pattern.
#[derive(Debug)]
struct Joined {
    names: Vec<String>,
    separator: String,
    pattern: Re2,
}

/// One rule as it is written. Read from the text directly: taken for a plain value first, the pattern `y` would become a truth.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelabelConfig {
    /// Labels whose values are joined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_labels: Vec<String>,
    /// What stands between them, `;` when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// Label that is compared or written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_label: Option<String>,
    /// Pattern for the joined values, or for names of labels; everything when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// What is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacement: Option<String>,
    /// What is done, `replace` when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
}

#[derive(Deserialize)]
struct Section {
    write_relabel_configs: Vec<RelabelConfig>,
}

impl RelabelRules {
    /// Reads a file: a list of rules, a `write_relabel_configs` section, or a whole Prometheus configuration with one `remote_write`.
    ///
    /// # Errors
    /// A text that is none of these, a configuration with several senders, and a pattern that is none.
    pub fn parse(yaml: &str) -> Result<Self, String> {
        // One after the other and not as alternatives of one type, which would read plain values first.
        let list = serde_saphyr::from_str::<Vec<RelabelConfig>>(yaml);
        if let Ok(configs) = &list {
            return Self::of(configs);
        }
        if let Ok(section) = serde_saphyr::from_str::<Section>(yaml) {
            return Self::of(&section.write_relabel_configs);
        }
        if let Err(error) = list
            && yaml.trim_start().starts_with('-')
        {
            return Err(error.to_string());
        }
        let settings = SourceSettings::parse(yaml)?;
        match settings.remote_writes.as_slice() {
            [one] => Self::of(&one.relabel_configs),
            [] => Err("it has neither rules nor a `remote_write`".to_owned()),
            several => Err(format!(
                "it has {} `remote_write` sections: give the rules of one of them",
                several.len()
            )),
        }
    }

    /// The rules of a configuration.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn of(configs: &[RelabelConfig]) -> Result<Self, String> {
        let mut rules = Self::default();
        for (position, config) in configs.iter().enumerate() {
            let config = config.clone();
            let text = serde_json::to_string(&config).expect("texts always have a JSON form");
            let pattern = Re2::new(config.regex.as_deref().unwrap_or("(.*)"));
            let pattern = pattern.map_err(|error| format!("rule {text}: {error}"))?;
            let separator = config.separator.unwrap_or_else(|| ";".to_owned());
            let target = config.target_label.unwrap_or_default();
            let joined = |pattern| Joined {
                names: config.source_labels.clone(),
                separator: separator.clone(),
                pattern,
            };
            let action = match config.action.as_deref().unwrap_or("replace").to_lowercase().as_str() {
                "drop" => Action::Drop(joined(pattern)),
                "keep" => Action::Keep(joined(pattern)),
                "dropequal" => Action::DropEqual {
                    joined: config.source_labels,
                    separator,
                    target,
                },
                "keepequal" => Action::KeepEqual {
                    joined: config.source_labels,
                    separator,
                    target,
                },
                "labeldrop" => Action::LabelDrop(pattern),
                "labelkeep" => Action::LabelKeep(pattern),
                _ => {
                    rules.not_understood.push(text);
                    continue;
                }
            };
            rules.rules.push(Rule { position, action });
        }
        Ok(rules)
    }

    /// Rules that are not carried out, as they are written.
    #[must_use]
    pub fn not_understood(&self) -> &[String] {
        &self.not_understood
    }

    /// Whether there is nothing to carry out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What a sender makes of a series.
    #[must_use]
    pub fn apply(&self, labels: &Labels) -> Relabelled {
        let mut labels = labels.clone();
        for rule in &self.rules {
            let is_kept = match &rule.action {
                Action::Drop(joined) => !joined.matches(&labels),
                Action::Keep(joined) => joined.matches(&labels),
                Action::DropEqual {
                    joined,
                    separator,
                    target,
                } => join(joined, separator, &labels) != labels.value_of(target),
                Action::KeepEqual {
                    joined,
                    separator,
                    target,
                } => join(joined, separator, &labels) == labels.value_of(target),
                Action::LabelDrop(pattern) => {
                    labels = with_names(&labels, |name| !pattern.is_match(name));
                    true
                }
                Action::LabelKeep(pattern) => {
                    labels = with_names(&labels, |name| pattern.is_match(name));
                    true
                }
            };
            // A series without labels is none.
            if !is_kept || labels.is_empty() {
                return Relabelled::LeftOut(rule.position);
            }
        }
        Relabelled::Sent(labels)
    }
}

impl Joined {
    fn matches(&self, labels: &Labels) -> bool {
        self.pattern.is_match(&join(&self.names, &self.separator, labels))
    }
}

fn join(names: &[String], separator: &str, labels: &Labels) -> String {
    let values: Vec<&str> = names.iter().map(|name| labels.value_of(name)).collect();
    values.join(separator)
}

fn with_names(labels: &Labels, is_kept: impl Fn(&str) -> bool) -> Labels {
    Labels::from_pairs(labels.iter().filter(|(name, _)| is_kept(name))).expect("some labels of a label set are one")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn series_and_labels_are_left_out_as_the_sender_does() {
        let rules = RelabelRules::parse(
            "- source_labels: [__name__]\n  regex: go_.*|process_.*\n  action: drop\n- source_labels: [job, instance]\n  separator: '@'\n  regex: 'a@.+'\n  action: keep\n- regex: pod_.*\n  action: labeldrop\n- source_labels: [x]\n  target_label: y\n  replacement: z\n",
        )
        .unwrap();
        assert_eq!(rules.not_understood().len(), 1);
        let go = labels(&[("__name__", "go_gc"), ("job", "a"), ("instance", "i")]);
        assert_eq!(rules.apply(&go), Relabelled::LeftOut(0));
        let other = labels(&[("__name__", "up"), ("job", "b"), ("instance", "i")]);
        assert_eq!(rules.apply(&other), Relabelled::LeftOut(1));
        // Anchored: a name that only begins so stays.
        let kept = labels(&[
            ("__name__", "xgo_gc"),
            ("job", "a"),
            ("instance", "i"),
            ("pod_uid", "7"),
        ]);
        let sent = labels(&[("__name__", "xgo_gc"), ("job", "a"), ("instance", "i")]);
        assert_eq!(rules.apply(&kept), Relabelled::Sent(sent));
    }

    #[test]
    fn equal_labels_and_missing_ones() {
        let rules = RelabelRules::parse(
            "write_relabel_configs:\n- source_labels: [a]\n  target_label: b\n  action: dropequal\n- source_labels: [c]\n  action: keep\n  regex: ''\n",
        )
        .unwrap();
        assert_eq!(rules.apply(&labels(&[("a", "1"), ("b", "1")])), Relabelled::LeftOut(0));
        assert_eq!(rules.apply(&labels(&[("a", "1"), ("c", "1")])), Relabelled::LeftOut(1));
        let fine = labels(&[("a", "1"), ("b", "2")]);
        assert_eq!(rules.apply(&fine), Relabelled::Sent(fine.clone()));
    }

    #[test]
    fn a_configuration_must_have_one_sender() {
        let one = "global: {}\nremote_write:\n- url: http://a\n  write_relabel_configs:\n  - action: drop\n    source_labels: [x]\n    regex: y\n";
        let rules = RelabelRules::parse(one).unwrap();
        assert_eq!(rules.apply(&labels(&[("x", "y")])), Relabelled::LeftOut(0));
        assert!(RelabelRules::parse(&format!("{one}- url: http://b\n")).is_err());
        assert!(RelabelRules::parse("scrape_configs: []").is_err());
        assert!(RelabelRules::parse("- regex: '('\n  action: drop").is_err());
    }
}
