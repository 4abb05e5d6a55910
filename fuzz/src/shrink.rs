//! Makes a failing input smaller, so that a person can see why it fails.

use std::time::{Duration, Instant};

use crate::Input;

/// Shrinking that takes longer is not worth it.
const TIME: Duration = Duration::from_secs(20);

/// The smallest input found for which `fails` holds; it holds for `input`.
pub(crate) fn shrink(input: Input, fails: impl Fn(&Input) -> bool) -> Input {
    let since = Instant::now();
    let mut best = input;
    let mut progress = true;
    while progress && since.elapsed() < TIME {
        progress = false;
        for which in 0..best.files.len() {
            let mut step = best.files[which].len().next_power_of_two();
            while step > 0 && since.elapsed() < TIME {
                let mut start = 0;
                while start < best.files[which].len() && since.elapsed() < TIME {
                    let end = (start + step).min(best.files[which].len());
                    let mut smaller = best.clone();
                    smaller.files[which].drain(start..end);
                    if fails(&smaller) {
                        best = smaller;
                        progress = true;
                    } else {
                        start = end;
                    }
                }
                step /= 2;
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_matters_is_left() {
        let input = Input {
            files: vec![b"all of this, X and that".to_vec(), b"more".to_vec()],
        };
        let small = shrink(input, |input| input.files[0].contains(&b'X'));
        assert_eq!(small.files, [b"X".to_vec(), Vec::new()]);
    }
}
