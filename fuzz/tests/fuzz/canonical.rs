//! The canonical bytes of labels and histograms, which come from parts, from other processes and from the log.

use emberkeep_fuzz::{Bound, Input, Target};
use emberkeep_model::{Histogram, Labels, LabelsError};

use crate::material::{histograms, labels, nothing};
use crate::writing::said;

/// A bucket of one byte is eight in memory, and a list that grows has both its lengths at once.
#[test]
fn canonical_histogram() {
    let target = Target {
        name: "canonical_histogram",
        rounds: 100_000,
        max_bytes: 4 << 10,
        bound: Bound {
            per_byte: 32,
            flat: 4 << 10,
        },
        dictionary: &[],
        outcomes: 500,
    };
    let seeds = histograms().iter().map(|h| Input::of(h.to_canonical())).collect();
    target.run(seeds, nothing, |input| {
        let said_of = |histogram: &Histogram| {
            // Only what was accepted may be written again, and gives the same.
            assert!(
                histogram.to_canonical() == input.bytes(),
                "another form of the same histogram"
            );
            let mut reduced = histogram.clone();
            let valid = histogram.validate();
            if valid.is_ok() {
                reduced.reduce_to_stored();
                assert!(reduced.schema <= 8, "reduced to what is stored");
            }
            format!("{valid:?} {}", histogram.is_stale())
        };
        said(Histogram::from_canonical(input.bytes()).map(|histogram| said_of(&histogram)))
    });
}

#[test]
fn canonical_labels() {
    let target = Target {
        name: "canonical_labels",
        rounds: 60_000,
        max_bytes: 2 << 10,
        bound: Bound {
            per_byte: 8,
            flat: 4 << 10,
        },
        dictionary: &[],
        outcomes: 9,
    };
    let seeds = vec![
        Input::of(labels(&[("__name__", "up"), ("job", "a"), ("метка", "🔥")]).as_bytes()),
        Input::of(labels(&[("a", &"x".repeat(300))]).as_bytes()),
        Input::of([]),
    ];
    target.run(seeds, nothing, |input| {
        let said_of = |labels: &Labels| {
            assert!(labels.as_bytes() == input.bytes(), "another form of the same labels");
            let again = Labels::from_pairs(labels.iter()).expect("pairs of labels are labels");
            assert_eq!(&again, labels);
            format!("{} labels", labels.len())
        };
        match Labels::from_canonical(input.bytes()) {
            Ok(labels) => said_of(&labels),
            // The others repeat what was sent.
            Err(LabelsError::NotCanonical(why)) => why.to_owned(),
            Err(error) => format!("{:?}", std::mem::discriminant(&error)),
        }
    });
}
