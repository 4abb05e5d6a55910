//! Whether two scans stand at the same series is known without their labels, and never known wrongly.

use emberkeep_model::canonical_order;
use proptest::prelude::*;

use super::super::{LabelTranslation, PartScan};
use super::raw::{content, long_labels};
use super::{Content, everything, opened, run_async, small};

/// Goes to the first series that does not come before these labels; false at the end.
async fn reach(scan: &mut PartScan, labels: &[u8]) -> bool {
    loop {
        if canonical_order(scan.labels(), labels).is_ge() {
            return true;
        }
        if !scan.advance().await.unwrap() {
            return false;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn it_is_said_of_equal_labels_and_of_no_others(seed: u64, is_long: bool, changes in 1_usize..300) {
        let all = if is_long { long_labels(content(seed)) } else { content(seed) };
        // Parts with other series, so that no text has the same number everywhere.
        let subset = |part: usize| -> Content {
            let kept = all.iter().enumerate().filter(|(i, _)| !(i * 7 + part).is_multiple_of(3 + part));
            kept.map(|(_, (key, run))| (key.clone(), run.clone())).collect()
        };
        run_async(async {
            let parts = [opened(&subset(0), small()).await, opened(&subset(1), small()).await, opened(&all, small()).await];
            let [mut one, mut two, mut three] = parts.each_ref().map(|part| part.scan(everything("b"), 1000));
            for scan in [&mut one, &mut two, &mut three] {
                assert!(scan.advance().await.unwrap());
            }
            let (mut translation, mut number, mut same) = (LabelTranslation::default(), 0, 0);
            loop {
                let labels = one.labels().to_vec();
                assert_eq!(one.shown_labels(), Some(&labels[..]));
                for (i, other) in [&mut two, &mut three].into_iter().enumerate() {
                    // For a while only one of them is looked at.
                    if (i == 0 && (number / changes) % 2 == 1) || !reach(other, &labels).await {
                        continue;
                    }
                    let is_same = other.labels() == labels;
                    assert_eq!(one.is_at_same(other, &mut translation), is_same);
                    same += usize::from(is_same);
                }
                number += 1;
                if !one.advance().await.unwrap() {
                    break;
                }
            }
            assert!(same >= number, "all of them are in the third");
        });
    }
}
