//! Plans against their rules: every window with data is covered once, blocks are aligned and never overlap, finished ones are kept.

use proptest::prelude::*;

use super::super::BlockFormat;
use super::*;

const W: i64 = BLOCK_DURATION_MS;

fn nothing() -> Holdings {
    Holdings {
        parts: Vec::new(),
        has_heads: false,
        tenant: TenantId::default(),
        range: TimeRange::ALL,
    }
}

fn two_hours(n: i64) -> TimeRange {
    TimeRange {
        start: n * W,
        end: (n + 1) * W,
    }
}

fn planned(with_data: &[i64], finished: &[TimeRange], longest: i64, format: BlockFormat) -> Vec<TimeRange> {
    let with_data: Vec<TimeRange> = with_data.iter().map(|&n| two_hours(n)).collect();
    let lengths = BlockLengths::up_to(longest, format);
    let blocks = plan(&with_data, finished, &lengths, &nothing(), u64::MAX);
    blocks.iter().map(|block| block.window).collect()
}

fn hours(start: i64, end: i64) -> TimeRange {
    TimeRange {
        start: start * W / 2,
        end: end * W / 2,
    }
}

#[test]
fn blocks_are_as_long_as_the_ladder_allows() {
    let format = BlockFormat::Prometheus;
    assert_eq!(
        planned(&[0, 1, 2, 8, 9], &[], 9 * W, format),
        [hours(0, 18), hours(18, 36)]
    );
    assert_eq!(
        planned(&[0, 3, 8], &[], 3 * W, format),
        [hours(0, 6), hours(6, 12), hours(12, 18)]
    );
    assert_eq!(planned(&[-1], &[], 3 * W, format), [hours(-6, 0)]);
    // What is finished is kept, whatever its length, and the rest fills what is left.
    assert_eq!(planned(&[0, 1, 2, 3, 4], &[hours(6, 12)], 9 * W, format), [hours(0, 6)]);
    assert_eq!(planned(&[0, 1, 2, 9], &[hours(0, 54)], 3 * W, format), []);
    // The memory is not enough for long blocks: short ones are planned all the same.
    let lengths = BlockLengths::up_to(9 * W, format);
    let data: Vec<TimeRange> = (0..9).map(two_hours).collect();
    assert_eq!(plan(&data, &[], &lengths, &nothing(), 0).len(), 9);
    assert_eq!(
        smaller(
            hours(0, 18),
            &lengths,
            &[two_hours(0), two_hours(1), two_hours(4), two_hours(9)]
        ),
        Some(vec![hours(0, 6), hours(6, 12)])
    );
    assert_eq!(smaller(two_hours(3), &lengths, &[two_hours(3)]), None);
}

proptest! {
    #[test]
    fn every_window_is_covered_once(
        data in prop::collection::btree_set(-60_i64..60, 0..40),
        rung in 0_usize..4,
        done in prop::collection::btree_set(-4_i64..4, 0..3),
        done_rung in 0_u32..3,
        format in prop::sample::select(vec![BlockFormat::Prometheus, BlockFormat::Mimir]),
    ) {
        let longest = [1, 3, 12, 27][rung] * W;
        let finished: Vec<TimeRange> = match format {
            // Of another ladder than the one of now, as after a run with other arguments for the memory.
            BlockFormat::Prometheus => {
                let length = 3_i64.pow(done_rung) * W;
                done.iter().map(|n| TimeRange { start: n * length, end: (n + 1) * length }).collect()
            }
            _ => Vec::new(),
        };
        let data: Vec<i64> = data.into_iter().collect();
        let blocks = planned(&data, &finished, longest, format);
        let all: Vec<TimeRange> = blocks.iter().chain(&finished).copied().collect();
        for n in &data {
            let covering = all.iter().filter(|block| contains(**block, two_hours(*n))).count();
            prop_assert_eq!(covering, 1);
        }
        prop_assert!(blocks.is_sorted_by(|a, b| a.end <= b.start));
        for block in &blocks {
            prop_assert_eq!(block.start.rem_euclid(block.end - block.start), 0);
            prop_assert!(data.iter().any(|n| contains(*block, two_hours(*n))));
        }
    }
}
