//! A target: something that reads bytes from outside, what it may hold, and how it is run.
//!
//! There is no coverage to go by on stable Rust. Instead a target says in a few words what it made of an input, errors included, and an
//! input that makes it say something new is kept and mutated further. Numbers in these words do not count, but for their size.

use std::collections::HashSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use crate::settings::{self, Settings};
use crate::trial::{self, Failure};
use crate::{Dice, Input, mutation, shrink};

/// Inputs that are kept for mutation, at most.
const POOL: usize = 4096;

/// What a target may hold at once.
#[derive(Debug, Clone, Copy)]
pub struct Bound {
    /// Bytes for each byte of the input.
    pub per_byte: usize,
    /// Bytes beside that.
    pub flat: usize,
}

impl Bound {
    pub(crate) fn of(self, bytes: usize) -> usize {
        self.flat.saturating_add(self.per_byte.saturating_mul(bytes))
    }
}

/// Something that reads bytes from outside.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its name, and that of its folder in the corpus.
    pub name: &'static str,
    /// Mutated inputs in a run inside `cargo test`.
    pub rounds: u64,
    /// No string of an input grows beyond this many bytes.
    pub max_bytes: usize,
    /// What it may hold at once.
    pub bound: Bound,
    /// Words of its format.
    pub dictionary: &'a [&'a [u8]],
    /// Different outcomes that all rounds together must reach at least: a target whose inputs are all refused at the door tests nothing.
    pub outcomes: usize,
}

impl Target<'_> {
    /// Runs the target over the seeds, over its corpus, and over mutations of both.
    ///
    /// `repair` makes checksums right again, so that not every mutation ends at them; it runs on most mutated inputs. `body` is the
    /// target; what it returns tells inputs apart.
    ///
    /// # Panics
    /// When an input fails: the message says where it was put and how to run it again. When all rounds reach too few outcomes.
    pub fn run(&self, seeds: Vec<Input>, repair: impl Fn(&mut Input), body: impl Fn(&Input) -> String) {
        self.run_with(&Settings::from_environment(), seeds, repair, body);
    }

    fn run_with(
        &self,
        settings: &Settings,
        seeds: Vec<Input>,
        repair: impl Fn(&mut Input),
        body: impl Fn(&Input) -> String,
    ) {
        let trial = |input: &Arc<Input>| trial::run(self.name, self.bound, input, &body);
        if let Some(path) = &settings.replay {
            let input = Input::read(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
            match trial(&Arc::new(input)) {
                Ok(outcome) => panic!("{} does not fail: {outcome}", path.display()),
                Err(failure) => panic!("{}: {failure}", path.display()),
            }
        }
        let mut pool = seeds;
        let kept = Input::read_all(&settings::corpus(self.name));
        pool.extend(kept.unwrap_or_else(|error| panic!("cannot read the corpus of {}: {error}", self.name)));
        assert!(!pool.is_empty(), "a target needs a seed");
        let mut seen = HashSet::new();
        for (number, seed) in pool.iter().enumerate() {
            match trial(&Arc::new(seed.clone())) {
                Ok(outcome) => drop(seen.insert(signature(&outcome))),
                Err(failure) => self.report(seed.clone(), &failure, &trial, &repair, &format!("seed {number}")),
            }
        }
        let mut dice = Dice::new(settings.seed ^ signature(self.name));
        let since = Instant::now();
        let mut round = 0;
        while (settings.endless || round < self.rounds) && since.elapsed() < settings.time {
            round += 1;
            let mut input = dice.pick(&pool).clone();
            for _ in 0..1 + dice.length(6) {
                mutation::mutate(&mut input, &mut dice, &pool, self.dictionary);
            }
            self.limit(&mut input);
            if !dice.one_in(5) {
                repair(&mut input);
            }
            let input = Arc::new(input);
            if settings.trace {
                self.trace(&input);
            }
            match trial(&input) {
                Ok(outcome) => {
                    if seen.insert(signature(&outcome)) {
                        let kept = Input::clone(&input);
                        if pool.len() < POOL {
                            pool.push(kept);
                        } else {
                            let old = dice.below(POOL);
                            pool[old] = kept;
                        }
                    }
                }
                Err(failure) => {
                    let place = format!("round {round} of seed {}", settings.seed);
                    self.report(Input::clone(&input), &failure, &trial, &repair, &place);
                }
            }
        }
        let told = seen.len();
        if settings.endless {
            let line = format!(
                "target `{}`: {round} rounds, {told} outcomes, seed {}\n",
                self.name, settings.seed
            );
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        let all_rounds = round >= self.rounds;
        assert!(
            !all_rounds || told >= self.outcomes,
            "target `{}` told {told} outcomes apart in {round} rounds, and should {}",
            self.name,
            self.outcomes
        );
    }

    fn limit(&self, input: &mut Input) {
        for bytes in &mut input.files {
            bytes.truncate(self.max_bytes);
        }
    }

    fn trace(&self, input: &Input) {
        let path = settings::failures().join(format!("{}-running", self.name));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("the temporary directory can be written");
        for (number, bytes) in input.files.iter().enumerate() {
            fs::write(path.join(format!("{number:02}")), bytes).expect("the temporary directory can be written");
        }
    }

    fn report(
        &self,
        input: Input,
        failure: &Failure,
        trial: &dyn Fn(&Arc<Input>) -> Result<String, Failure>,
        repair: &dyn Fn(&mut Input),
        place: &str,
    ) {
        let fails = |input: &Input| matches!(trial(&Arc::new(input.clone())), Err(found) if found.is_like(failure));
        let folder = settings::failures();
        let whole = input.save(&folder, self.name);
        // Bytes may be taken out as they are, or with checksums made right after it.
        let plain = shrink::shrink(input, fails);
        let repaired = |input: &Input| {
            let mut input = input.clone();
            repair(&mut input);
            fails(&input)
        };
        let mut small = plain.clone();
        if repaired(&plain) {
            small = shrink::shrink(plain, repaired);
            repair(&mut small);
        }
        let saved = small.save(&folder, self.name);
        panic!(
            "target `{}` fails in {place}: {failure}\ninput: {whole:?}\nmade smaller: {saved:?}\nrun it again: EMBERKEEP_FUZZ_REPLAY=<input> \
             cargo test -p emberkeep-fuzz {}",
            self.name, self.name
        );
    }
}

/// A number for what a text says. Of numbers and of what stands in backticks only the size counts.
fn signature(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (i, part) in text.split('`').enumerate() {
        if i % 2 == 1 {
            size(part.len() as u128).hash(&mut hasher);
            continue;
        }
        for word in part.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
            let number = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            match number.parse::<u128>() {
                Ok(number) => size(number).hash(&mut hasher),
                Err(_) if number.contains(|c: char| c.is_ascii_digit()) => size(number.len() as u128).hash(&mut hasher),
                Err(_) => number.hash(&mut hasher),
            }
            word[number.len()..].hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// The place of the highest bit.
fn size(number: u128) -> u32 {
    u128::BITS - number.leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target<'static> = Target {
        name: "test",
        rounds: 20_000,
        max_bytes: 1000,
        bound: Bound {
            per_byte: 1,
            flat: 10_000,
        },
        dictionary: &[],
        outcomes: 0,
    };

    fn settings() -> Settings {
        Settings {
            seed: 1,
            time: std::time::Duration::from_secs(60),
            endless: false,
            replay: None,
            trace: false,
        }
    }

    fn message(run: impl FnOnce() + std::panic::UnwindSafe) -> String {
        let panic = std::panic::catch_unwind(run).expect_err("it must fail");
        panic.downcast_ref::<String>().cloned().unwrap_or_default()
    }

    #[test]
    fn a_panic_behind_a_new_outcome_is_found_and_made_small() {
        let body = |input: &Input| {
            let bytes = input.bytes();
            // Two steps, each of which is said.
            match (bytes.contains(&0xfe), bytes.contains(&0xfd)) {
                (true, true) => panic!("both bytes at length {}", bytes.len()),
                found => format!("{found:?}"),
            }
        };
        let seeds = || vec![Input::of(*b"some harmless text that is longer")];
        let message = message(|| TARGET.run_with(&settings(), seeds(), |_| (), body));
        assert!(message.contains("both bytes at length"), "{message}");
        let saved = message
            .split("made smaller: Ok(\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let small = fs::read(saved.expect("a path")).expect("it was saved");
        assert_eq!(small.len(), 2, "{small:?}");
    }

    #[test]
    fn memory_beyond_the_bound_is_found() {
        let body = |input: &Input| {
            let claimed = usize::from(*input.bytes().first().unwrap_or(&0)) * 100;
            format!("{}", vec![1_u8; claimed].len() > 1000)
        };
        let message = message(|| TARGET.run_with(&settings(), vec![Input::of(vec![1; 10])], |_| (), body));
        assert!(message.contains("and may hold 10"), "{message}");
    }

    #[test]
    fn a_target_that_gets_nowhere_fails() {
        let target = Target { outcomes: 2, ..TARGET };
        let message = message(|| target.run_with(&settings(), vec![Input::of("a")], |_| (), |_| "refused".to_owned()));
        assert!(
            message.contains("told 1 outcomes apart in 20000 rounds, and should 2"),
            "{message}"
        );
    }

    #[test]
    fn texts_that_differ_in_numbers_of_one_size_say_the_same() {
        assert_eq!(signature("series 12 at 7"), signature("series 9 at 5"));
        assert_ne!(signature("series 12"), signature("series 123"));
        assert_ne!(signature("series"), signature("serie"));
        assert_eq!(signature("the sum is 0x12ab34"), signature("the sum is 0x98cd76"));
        assert_eq!(signature("label `aé1` twice"), signature("label `xxxx` twice"));
        assert_ne!(signature("label `a` twice"), signature("label `aaaa` twice"));
    }
}
