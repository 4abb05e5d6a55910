//! Tests of labels against the rules of Prometheus, written naively.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn of(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

#[test]
fn order_of_labels_is_not_the_order_of_joined_strings() {
    // Joined with `=` these would sort the other way round.
    assert!(of(&[("a", "1")]) < of(&[("a!", "0")]));
    assert!(of(&[("a", "ab")]) > of(&[("a", "a"), ("b", "z")]));
    assert!(of(&[("a", "b")]) < of(&[("a", "b"), ("c", "d")]));
    assert!(of(&[("Foo", "z")]) < of(&[("__name__", "a")]));
    assert!(of(&[]) < of(&[("a", "b")]));
}

#[test]
fn empty_values_are_absent_labels() {
    assert_eq!(of(&[("b", ""), ("a", "1")]), of(&[("a", "1")]));
    assert_eq!(of(&[("a", "1")]).value_of("b"), "");
}

#[test]
fn bad_labels_are_refused_with_their_name() {
    assert_eq!(
        Labels::from_pairs([("a", "1"), ("b", "2"), ("a", "3")]),
        Err(LabelsError::DuplicateName("a".into()))
    );
    assert_eq!(Labels::from_pairs([("", "1")]), Err(LabelsError::EmptyName));
    let mut builder = LabelsBuilder::default();
    builder.push(b"a\xc3", b"\xa4");
    assert!(matches!(builder.canonical(), Err(LabelsError::NotUtf8(_))));
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    vec(("[a-cA-C_é]{1,3}", "[a-c=,é]{0,200}"), 0..5)
}

/// The rule of `labels.Compare`, written naively.
fn naive(pairs: &[(String, String)]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut all: Vec<_> = pairs
        .iter()
        .filter(|p| !p.1.is_empty())
        .map(|(n, v)| (n.clone().into_bytes(), v.clone().into_bytes()))
        .collect();
    all.sort();
    all.windows(2).all(|w| w[0].0 != w[1].0).then_some(all)
}

proptest! {
    #[test]
    fn order_and_equality_are_those_of_compare(a in pairs(), b in pairs()) {
        let make = |p: &[(String, String)]| Labels::from_pairs(p.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        if let (Some(x), Some(y)) = (naive(&a), naive(&b)) {
            let (p, q) = (make(&a).unwrap(), make(&b).unwrap());
            prop_assert_eq!(p.cmp(&q), x.cmp(&y));
            prop_assert_eq!(p == q, x == y);
            prop_assert_eq!(p.len(), x.len());
            prop_assert_eq!(Labels::from_canonical(p.as_bytes()).unwrap(), p);
        }
    }

    #[test]
    fn outside_bytes_are_canonical_or_refused(bytes in vec(any::<u8>(), 0..40)) {
        if let Ok(labels) = Labels::from_canonical(&bytes) {
            let again = Labels::from_pairs(labels.iter()).unwrap();
            prop_assert_eq!(again.as_bytes(), &bytes[..]);
        }
    }
}
