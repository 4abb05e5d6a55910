//! Layouts against plain maps from index to count.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn span(offset: i32, length: u32) -> Span {
    Span { offset, length }
}

/// Spans of many forms, empty and adjacent ones included, with counts.
fn side() -> impl Strategy<Value = (Vec<Span>, Vec<i64>)> {
    let spans = proptest::collection::vec((prop_oneof![Just(0), 0i32..4], 0u32..4), 0..6);
    (spans, -8i32..8).prop_flat_map(|(mut pairs, first)| {
        if let Some(pair) = pairs.first_mut() {
            pair.0 = first;
        }
        let spans: Vec<Span> = pairs.into_iter().map(|(offset, length)| span(offset, length)).collect();
        let number = spans.iter().map(|span| span.length as usize).sum::<usize>();
        (Just(spans), proptest::collection::vec(0i64..3, number..=number))
    })
}

fn map(spans: &[Span], counts: &[i64]) -> BTreeMap<i64, i64> {
    bucket_indices(spans).zip(counts.iter().copied()).collect()
}

proptest! {
    #[test]
    fn the_new_layout_has_a_place_for_all_buckets((spans, counts) in side(), (next_spans, next_counts) in side(), counter: bool) {
        let (last, next) = (map(&spans, &counts), map(&next_spans, &next_counts));
        let falls = last.iter().any(|(index, count)| next.get(index).copied().unwrap_or(0) < *count);
        let result = fit(Side { spans: &spans, counts: &counts }, Side { spans: &next_spans, counts: &next_counts }, counter);
        prop_assert_eq!(result == Fit::No, counter && falls);
        let layout = match result {
            Fit::No => return Ok(()),
            Fit::Within => spans.clone(),
            Fit::Wider(wider) => {
                prop_assert!(next.keys().any(|index| !last.contains_key(index)), "it need not be wider");
                wider
            }
        };
        let union: Vec<i64> = last.keys().chain(next.keys()).copied().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
        prop_assert_eq!(bucket_indices(&layout).collect::<Vec<_>>(), union);
        for (from, mut counts, before) in [(spans, counts, last), (next_spans, next_counts, next)] {
            widen(&mut counts, &from, &layout);
            let after = map(&layout, &counts);
            prop_assert!(after.iter().all(|(index, count)| before.get(index).copied().unwrap_or(0) == *count));
            prop_assert!(before.keys().all(|index| after.contains_key(index)));
        }
    }
}

#[test]
fn floats_that_are_not_numbers_never_fall_but_do_not_vanish() {
    let (old, new) = ([span(0, 1)], [span(1, 1)]);
    let fits = |before: f64, after: f64, next: &[Span]| {
        let last = Side {
            spans: &old,
            counts: &[before],
        };
        let next = Side {
            spans: next,
            counts: &[after],
        };
        fit(last, next, true)
    };
    assert_eq!(fits(f64::NAN, 0.0, &old), Fit::Within);
    assert_eq!(fits(1.0, f64::NAN, &old), Fit::Within);
    assert_eq!(fits(f64::NAN, 0.0, &new), Fit::No);
    assert_eq!(fits(-0.0, 0.0, &new), Fit::Wider(vec![span(0, 2)]));
}

#[test]
fn gaps_beyond_32_bits_are_bridged_by_empty_spans() {
    let far = [span(i32::MAX, 0), span(i32::MAX, 0), span(5, 1)];
    let near = [span(-3, 1)];
    let place = |spans| Side { spans, counts: &[1i64] };
    let Fit::Wider(wider) = fit(place(&near[..]), place(&far[..]), false) else {
        panic!("two buckets need two places");
    };
    let expected: Vec<i64> = vec![-3, 2 * i64::from(i32::MAX) + 5];
    assert_eq!(bucket_indices(&wider).collect::<Vec<_>>(), expected);
}

#[test]
fn spans_that_go_back_fit_only_themselves() {
    let back = [span(5, 2), span(-3, 1)];
    let place = |spans| Side {
        spans,
        counts: &[1i64, 2, 3],
    };
    assert_eq!(fit(place(&back[..]), place(&back[..]), true), Fit::Within);
    assert_eq!(fit(place(&back[..]), place(&[span(5, 3)]), false), Fit::No);
}
