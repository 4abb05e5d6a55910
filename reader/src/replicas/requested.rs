//! Whether a request wants replicas merged: `dedup` and `replicaLabels[]`, as in Thanos, in its URL or form.

use super::ReplicaLabels;
use crate::ReaderError;

/// Parameters that name replica labels. The brackets of Thanos' are a nuisance in a URL of a configuration file.
const NAMES: [&str; 2] = ["replicaLabels[]", "replica_label"];

impl ReplicaLabels {
    /// What a request with these parameters wants: the labels that it names, or else the configured ones; none with
    /// `dedup=false`.
    ///
    /// # Errors
    /// When `dedup` is neither true nor false, or a label cannot be a replica label.
    pub(crate) fn requested<'a>(
        parameters: impl Iterator<Item = (&'a str, &'a str)>,
        configured: &Self,
    ) -> Result<Self, ReaderError> {
        let mut names = Vec::new();
        let mut is_wanted = true;
        for (name, value) in parameters {
            if name == "dedup" {
                is_wanted = match value {
                    "" | "1" | "t" | "true" => true,
                    "0" | "f" | "false" => false,
                    other => {
                        let why = format!("invalid parameter `dedup`: `{other}` is neither true nor false");
                        return Err(ReaderError::Bad(why));
                    }
                };
            } else if NAMES.contains(&name) && !value.is_empty() {
                names.push(value.to_owned());
            }
        }
        match (is_wanted, names.is_empty()) {
            (false, _) => Ok(Self::default()),
            (true, true) => Ok(configured.clone()),
            (true, false) => Self::new(names),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_request_overrides_what_is_configured() {
        let labels = |names: &[&str]| ReplicaLabels::new(names.iter().map(ToString::to_string)).unwrap();
        let configured = labels(&["replica"]);
        for (parameters, wanted) in [
            (&[][..], labels(&["replica"])),
            (&[("dedup", "true"), ("match[]", "up")], labels(&["replica"])),
            (&[("dedup", "false"), ("replica_label", "x")], labels(&[])),
            (&[("replica_label", "x"), ("replicaLabels[]", "y")], labels(&["x", "y"])),
        ] {
            let found = ReplicaLabels::requested(parameters.iter().copied(), &configured).unwrap();
            assert_eq!(found, wanted, "{parameters:?}");
        }
        for wrong in [("dedup", "maybe"), ("replica_label", "__name__")] {
            assert!(ReplicaLabels::requested([wrong].into_iter(), &configured).is_err());
        }
    }
}
