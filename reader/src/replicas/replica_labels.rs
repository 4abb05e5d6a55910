//! The labels in which replicas of one Prometheus differ, and what is left of a series without them.

use std::sync::Arc;

use emberkeep_model::{Labels, MatchOp, Matcher};

use crate::ReaderError;

/// The names of the replica labels, sorted, each once. None means that nothing is merged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplicaLabels {
    names: Arc<[String]>,
    /// For some of the names the only value that is taken off; another one stays where it is.
    values: Arc<[(String, String)]>,
}

/// The values of the replica labels of a series, empty where it has none: which replica it is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Replica(Vec<String>);

impl ReplicaLabels {
    /// The labels with these names.
    ///
    /// # Errors
    /// For an empty name, and for the metric's: series of different metrics are no replicas.
    pub fn new(names: impl IntoIterator<Item = String>) -> Result<Self, ReaderError> {
        let mut names: Vec<String> = names.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        match names
            .iter()
            .find(|name| name.is_empty() || *name == Labels::METRIC_NAME)
        {
            Some(name) => Err(ReaderError::Bad(format!("`{name}` cannot be a replica label"))),
            None => Ok(Self {
                names: names.into(),
                values: Arc::default(),
            }),
        }
    }

    /// As [`ReplicaLabels::new`], where a label with a value is taken off only those series that have this value.
    ///
    /// # Errors
    /// As [`ReplicaLabels::new`].
    pub fn with_values(labels: impl IntoIterator<Item = (String, Option<String>)>) -> Result<Self, ReaderError> {
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for (name, value) in labels {
            values.extend(value.map(|value| (name.clone(), value)));
            names.push(name);
        }
        Ok(Self {
            values: values.into(),
            ..Self::new(names)?
        })
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether a label is one of them.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|of_replica| of_replica == name)
    }

    /// The names, as people read them.
    #[must_use]
    pub fn shown(&self) -> String {
        self.names.join("`, `")
    }

    /// What is left of a series without them.
    #[must_use]
    pub fn without(&self, labels: &Labels) -> Labels {
        let left = labels.iter().filter(|(name, value)| !self.takes(name, value));
        Labels::from_pairs(left).expect("some pairs of a label set are a label set")
    }

    fn takes(&self, name: &str, value: &str) -> bool {
        let mut wanted = self.values.iter().filter(|(of_value, _)| of_value == name).peekable();
        self.has(name) && (wanted.peek().is_none() || wanted.any(|(_, wanted)| wanted == value))
    }

    /// Which replica a series is of.
    pub(super) fn replica(&self, labels: &Labels) -> Replica {
        Replica(self.names.iter().map(|name| labels.value_of(name).to_owned()).collect())
    }

    /// Whether a series is of a replica.
    pub(super) fn is_of(&self, labels: &Labels, replica: &Replica) -> bool {
        let mut pairs = self.names.iter().zip(&replica.0);
        pairs.all(|(name, value)| labels.value_of(name) == value)
    }

    /// What only series of a replica satisfy.
    pub(super) fn matchers(&self, replica: &Replica) -> Result<Vec<Matcher>, ReaderError> {
        let pairs = self.names.iter().zip(&replica.0);
        let matchers = pairs.map(|(name, value)| Matcher::new(name, MatchOp::Equal, value));
        matchers
            .collect::<Result<_, _>>()
            .map_err(|error| ReaderError::Bad(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn names_are_a_set_without_that_of_the_metric() {
        let names = |names: &[&str]| ReplicaLabels::new(names.iter().map(ToString::to_string));
        assert_eq!(names(&["b", "a", "b"]).unwrap(), names(&["a", "b"]).unwrap());
        assert!(names(&["__name__"]).is_err() && names(&[""]).is_err());
        assert!(names(&[]).unwrap().is_empty());
    }

    #[test]
    fn labels_are_taken_off_and_name_the_replica() {
        let replicas = ReplicaLabels::new(["replica".to_owned(), "zone".to_owned()]).unwrap();
        let series = Labels::from_pairs([("__name__", "up"), ("replica", "a"), ("x", "y")]).unwrap();
        assert_eq!(replicas.without(&series).to_string(), r#"{__name__="up", x="y"}"#);
        let only = |value: &str| ReplicaLabels::with_values([("replica".to_owned(), Some(value.to_owned()))]).unwrap();
        assert_eq!(only("a").without(&series).to_string(), r#"{__name__="up", x="y"}"#);
        assert_eq!(only("b").without(&series), series);
        let replica = replicas.replica(&series);
        assert_eq!(replica, Replica(vec!["a".to_owned(), String::new()]));
        assert!(replicas.is_of(&series, &replica));
        assert!(!replicas.is_of(&series, &Replica(vec!["a".to_owned(), "z".to_owned()])));
        assert!(
            replicas
                .matchers(&replica)
                .unwrap()
                .iter()
                .all(|m| m.matches_labels(&series))
        );
    }
}
