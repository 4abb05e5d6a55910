//! External labels: what the sender adds to every series, added to those that come another way.

use emberkeep_model::{Labels, LabelsError};

/// Labels that are added to every series which does not have them: its own value wins, as in Prometheus' senders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalLabels(Labels);

impl Default for ExternalLabels {
    fn default() -> Self {
        Self::new([]).expect("no labels are a label set")
    }
}

impl ExternalLabels {
    /// These labels; those with an empty value are none.
    ///
    /// # Errors
    /// A name that is empty or comes twice.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, LabelsError> {
        Labels::from_pairs(pairs).map(Self)
    }

    /// The labels of a series with these.
    #[must_use]
    pub fn add_to(&self, labels: &Labels) -> Labels {
        if self.0.is_empty() {
            return labels.clone();
        }
        let own = labels.iter();
        let added = self.0.iter().filter(|(name, _)| labels.value_of(name).is_empty());
        Labels::from_pairs(own.chain(added)).expect("two label sets without a common name are one")
    }

    /// The labels themselves.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_label_that_a_series_has_is_kept() {
        let external = ExternalLabels::new([("zone", "eu"), ("replica", "1"), ("empty", "")]).unwrap();
        let labels = |pairs: &[(&'static str, &'static str)]| Labels::from_pairs(pairs.iter().copied()).unwrap();
        assert_eq!(
            external.add_to(&labels(&[("__name__", "up"), ("zone", "us")])),
            labels(&[("__name__", "up"), ("replica", "1"), ("zone", "us")])
        );
        let up = labels(&[("__name__", "up")]);
        assert_eq!(ExternalLabels::default().add_to(&up), up);
        assert!(ExternalLabels::new([("a", "1"), ("a", "2")]).is_err());
    }
}
