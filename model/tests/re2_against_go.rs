//! Compares the translator of label matchers with Go's regexp on random patterns and texts.
//!
//! Needs `go` on the path. The patterns come from a fixed seed, so a failure repeats.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use emberkeep_model::{Re2, Re2Error};

const GRAMMATICAL: usize = 3000;
const GARBAGE: usize = 3000;
const TEXTS: usize = 12;

/// The reasons for which a pattern that Go accepts may have no translation.
const EXPECTED_REASONS: [&str; 2] = [
    "a surrogate code point",
    "a Unicode class name that releases of Go disagree about",
];

fn generator() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/re2/generate")
}

/// Runs the Go program in one of its modes.
fn go(mode: &str, input: String) -> String {
    let mut child = Command::new("go")
        .args(["run", ".", mode])
        .current_dir(generator())
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "")
        .env("GOWORK", "off")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("`go` (1.26 or later) must be on the path to compare with Go's regexp: see https://go.dev/dl/");
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "`go run . {mode}` failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    writer.join().unwrap().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_tables_are_what_go_answers() {
    for (mode, file) in [("patterns", "patterns.tsv"), ("classes", "classes.tsv")] {
        let stored = std::fs::read_to_string(generator().join("..").join(file)).unwrap();
        let fresh = go(mode, String::new());
        let changed: Vec<_> = fresh
            .lines()
            .zip(stored.lines())
            .filter(|(fresh, stored)| fresh != stored)
            .take(3)
            .collect();
        assert!(
            fresh == stored,
            "`go run . {mode}` makes another `{file}`, this Go differs: {changed:#?}"
        );
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap() % bound
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// Characters of texts: those that classes, folding, word boundaries and line ends treat in their own way.
const CHARACTERS: [char; 40] = [
    'a', 'b', 'c', 'k', 's', 'z', 'A', 'B', 'K', 'S', 'Z', '0', '1', '9', '_', '-', '&', '~', '[', ']', '{', '}', ',',
    '^', '$', '.', '|', '\\', ' ', '\t', '\n', '\r', 'é', 'É', 'ſ', '\u{212A}', 'σ', 'ς', '日', '٣',
];

/// Pieces of syntax with a text that each matches; the first half are single characters and classes.
const ATOMS: [(&str, &str); 58] = [
    ("a", "a"),
    ("b", "b"),
    ("k", "k"),
    ("S", "S"),
    ("1", "1"),
    ("_", "_"),
    ("-", "-"),
    ("é", "é"),
    ("ſ", "ſ"),
    ("日", "日"),
    (".", "c"),
    (".", "\n"),
    (r"\d", "0"),
    (r"\D", "٣"),
    (r"\w", "_"),
    (r"\W", "é"),
    (r"\s", "\t"),
    (r"\S", "ſ"),
    (r"\pL", "日"),
    (r"\PL", "1"),
    (r"\p{Greek}", "σ"),
    (r"\p{^Greek}", "a"),
    (r"\p{Lu}", "É"),
    (r"\P{Lu}", "é"),
    (r"\p{Nd}", "٣"),
    (r"\.", "."),
    (r"\\", r"\"),
    (r"\n", "\n"),
    (r"\x41", "A"),
    (r"\x{212A}", "\u{212A}"),
    (r"\101", "A"),
    (r"\060", "0"),
    (r"\t", "\t"),
    (r"\-", "-"),
    (r"\Qa|b\E", "a|b"),
    (r"\Q\E", ""),
    ("^", ""),
    ("$", ""),
    (r"\A", ""),
    (r"\z", ""),
    (r"\b", ""),
    (r"\B", ""),
    ("{", "{"),
    ("}", "}"),
    ("{,2}", "{,2}"),
    ("]", "]"),
    ("&&", "&&"),
    (",", ","),
    ("(?i)", ""),
    ("(?-i)", ""),
    ("(?s)", ""),
    ("(?-s)", ""),
    ("(?m)", ""),
    ("(?U)", ""),
    ("abc", "abc"),
    ("ab|a", "ab"),
    (r"\p{greek}", "σ"),
    (r"[[:^alpha:]]", "1"),
];

const CLASS_ITEMS: [(&str, &str); 44] = [
    ("a", "a"),
    ("b", "b"),
    ("k", "K"),
    ("s", "s"),
    ("z", "z"),
    ("-", "-"),
    ("^", "^"),
    ("[", "["),
    ("&&", "&"),
    ("--", "-"),
    ("~~", "~"),
    ("a-c", "b"),
    ("A-Z", "K"),
    ("0-9", "1"),
    ("a-", "a"),
    ("é", "é"),
    ("é-ſ", "é"),
    (" ", " "),
    (".", "."),
    ("$", "$"),
    ("|", "|"),
    ("{", "{"),
    (",", ","),
    (r"\d", "9"),
    (r"\D", "a"),
    (r"\w", "_"),
    (r"\W", "-"),
    (r"\s", " "),
    (r"\S", "z"),
    (r"\]", "]"),
    (r"\\", r"\"),
    (r"\-", "-"),
    (r"\n", "\n"),
    (r"\x41", "A"),
    (r"\101", "A"),
    (r"\pL", "日"),
    (r"\p{^Greek}", "1"),
    (r"\P{Greek}", "1"),
    ("[:alpha:]", "z"),
    ("[:^digit:]", "a"),
    ("[:space:]", " "),
    ("z-a", "z"),
    (r"a-\d", "a"),
    (r"\x{D800}", "a"),
];

const QUANTIFIERS: [&str; 16] = [
    "*", "+", "?", "*?", "+?", "??", "{2}", "{0,2}", "{1,}", "{2}?", "{0}", "{1,3}", "**", "{2}{2}", "{2", "{,3}",
];

const GROUPS: [&str; 12] = [
    "(", "(", "(?:", "(?:", "(?:", "(?i:", "(?-i:", "(?m:", "(?-s:", "(?P<n>", "(?<m>", "(?ims-U:",
];

/// Appends a pattern to `pattern` and a text that it probably matches to `text`.
fn generate(random: &mut Random, depth: usize, pattern: &mut String, text: &mut String) {
    match random.below(if depth == 0 { 6 } else { 12 }) {
        0..=3 => {
            let (syntax, sample) = random.one_of(&ATOMS);
            pattern.push_str(syntax);
            text.push_str(sample);
        }
        4 | 5 => {
            pattern.push_str(random.one_of(&["[", "[", "[", "[^", "[]", "[^]"]));
            for _ in 0..=random.below(4) {
                let (syntax, sample) = random.one_of(&CLASS_ITEMS);
                pattern.push_str(syntax);
                if random.below(3) == 0 {
                    text.push_str(sample);
                }
            }
            pattern.push(']');
        }
        6 | 7 => {
            let start = text.len();
            generate(random, depth - 1, pattern, text);
            pattern.push_str(random.one_of(&QUANTIFIERS));
            let repeated = text[start..].repeat(random.below(3));
            text.truncate(start);
            text.push_str(&repeated);
        }
        8 | 9 => {
            for _ in 0..=random.below(4) {
                generate(random, depth - 1, pattern, text);
            }
        }
        10 => {
            pattern.push_str(random.one_of(&GROUPS));
            generate(random, depth - 1, pattern, text);
            pattern.push(')');
        }
        _ => {
            pattern.push_str("(?:");
            let start = text.len();
            for index in 0..=random.below(3) {
                if index > 0 {
                    pattern.push('|');
                }
                if random.below(2) == 0 {
                    text.truncate(start);
                    generate(random, depth - 1, pattern, text);
                } else {
                    generate(random, depth - 1, pattern, &mut String::new());
                }
            }
            pattern.push(')');
        }
    }
}

/// A pattern that is probably refused: syntax in any order.
fn garbage(random: &mut Random) -> String {
    const PIECES: [&str; 46] = [
        "(", ")", "(?", "(?:", "(?i", "(?P<", "(?<", "n", ">", ":", "[", "]", "[^", "[:", ":]", "alpha", "-", "^", "$",
        "|", "*", "+", "?", "{", "}", "1", "2", "0", ",", "\\", r"\p", r"\P", "{L}", "x", "{41}", "Q", "E", "d", "w",
        "a", "s", "é", "&&", ".", "z", "i",
    ];
    (0..=random.below(7)).map(|_| random.one_of(&PIECES)).collect()
}

/// Texts that `pattern` may match: the sample, changes of it, and random ones.
fn texts(random: &mut Random, sample: &str) -> Vec<String> {
    let mut texts = vec![String::new(), sample.to_owned(), format!("{sample}\n")];
    while texts.len() < TEXTS {
        let mut characters: Vec<char> = sample.chars().take(30).collect();
        if random.below(3) == 0 {
            characters.clear();
        }
        for _ in 0..=random.below(3) {
            let at = random.below(characters.len() + 1);
            let character = random.one_of(&CHARACTERS);
            match random.below(4) {
                0 if at < characters.len() => drop(characters.remove(at)),
                1 if at < characters.len() => characters[at] = character,
                2 if at < characters.len() => {
                    characters[at] = characters[at].to_uppercase().next().unwrap();
                }
                _ => characters.insert(at, character),
            }
        }
        texts.push(characters.into_iter().collect());
    }
    texts
}

fn quoted(field: &str) -> String {
    field
        .replace('\\', r"\\")
        .replace('\t', r"\t")
        .replace('\n', r"\n")
        .replace('\r', r"\r")
}

#[test]
fn random_patterns_have_the_answers_of_go() {
    let mut random = Random(0x0065_6d62_6572_6b65);
    let mut cases = Vec::new();
    for index in 0..GRAMMATICAL + GARBAGE {
        let (mut pattern, mut sample) = (String::new(), String::new());
        if index < GRAMMATICAL {
            generate(&mut random, 4, &mut pattern, &mut sample);
            sample.truncate(sample.floor_char_boundary(200));
        } else {
            pattern = garbage(&mut random);
        }
        let texts = texts(&mut random, &sample);
        cases.push((pattern, texts));
    }
    let mut input = String::new();
    for (pattern, texts) in &cases {
        input.push_str(&quoted(pattern));
        for text in texts {
            write!(input, "\t{}", quoted(text)).unwrap();
        }
        input.push('\n');
    }
    let answers = go("answer", input);
    assert_eq!(answers.lines().count(), cases.len());

    let mut wrong = Vec::new();
    let (mut accepted, mut refused, mut untranslatable, mut matches) = (0, 0, 0, 0);
    for ((pattern, texts), answer) in cases.iter().zip(answers.lines()) {
        let expected = answer.strip_prefix("ok\t");
        match (Re2::new(pattern), expected) {
            (Err(Re2Error::Invalid { .. }), None) => refused += 1,
            (Err(Re2Error::Untranslatable { reason, .. }), Some(_)) if EXPECTED_REASONS.contains(&reason) => {
                untranslatable += 1;
            }
            (Ok(re2), Some(signs)) => {
                accepted += 1;
                assert_eq!(signs.len(), texts.len());
                for (text, sign) in texts.iter().zip(signs.chars()) {
                    matches += usize::from(sign == '+');
                    if re2.is_match(text) != (sign == '+') {
                        wrong.push(format!("{pattern:?} on {text:?}: Go says {sign}"));
                    }
                }
            }
            (answer, _) => wrong.push(format!(
                "{pattern:?}: Go accepts: {}, here {answer:?}",
                expected.is_some()
            )),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong: {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(40)]
    );
    // The generator must keep producing what is worth comparing.
    let counts = format!("{accepted} accepted, {refused} refused, {untranslatable} untranslatable, {matches} matches");
    assert!(
        accepted > 2500 && refused > 1500 && untranslatable < 400 && matches > 5000,
        "{counts}"
    );
}

/// Go's limits on height and size count a tree that it has rearranged; the limits here must never be the wider ones.
#[test]
fn no_limit_is_wider_than_that_of_go() {
    let nested = |open: &str, close: &str, depth: usize| format!("{}a{}", open.repeat(depth), close.repeat(depth));
    let chain = |part: &str, last: usize| {
        let alternatives: Vec<_> = (1..=last).map(|length| part.repeat(length)).collect();
        alternatives.join("|")
    };
    let mut patterns = Vec::new();
    for depth in [30, 90, 300, 495, 505, 900, 990, 1005, 1100] {
        patterns.extend([
            nested("(", ")", depth),
            nested("(?:", ")", depth),
            nested("(?:", "*)", depth),
        ]);
        patterns.extend([
            nested("(b|", ")", depth),
            nested("(?:b", ")+", depth),
            nested("((?:", "))?", depth),
        ]);
        patterns.push(nested("(", ")", depth / 2) + &nested("(?:", "*)", 60));
        patterns.push(nested(&format!("({}|", chain("a", depth / 10)), ")", 20));
        patterns.push(format!("{0}b|{0}c", "a.".repeat(depth)));
    }
    for length in [30, 90, 240, 330, 505] {
        patterns.extend([
            chain("a", length),
            chain("ab", length),
            chain(".", length),
            chain("a.", length / 2),
        ]);
        patterns.extend([
            chain("(?i:a)", length / 2),
            chain("a*", length / 2),
            format!("({})*", chain("a", length)),
        ]);
    }
    for count in [100, 4000] {
        patterns.push(format!("(?:{}){{1000}}", "a".repeat(count)));
        patterns.push(format!("(?:{}){{1000}}", "()".repeat(count)));
        patterns.push(format!("(?:{}){{0,1000}}", "(|b)".repeat(count)));
    }
    let mut input = String::new();
    for pattern in &patterns {
        input.push_str(pattern);
        input.push('\n');
    }
    let answers = go("answer", input);
    let (mut both, mut neither) = (0, 0);
    for (pattern, answer) in patterns.iter().zip(answers.lines()) {
        let accepted = Re2::new(pattern).is_ok();
        assert!(
            answer.starts_with("ok") || !accepted,
            "Go refuses {pattern:.60}... of {} bytes",
            pattern.len()
        );
        both += usize::from(accepted);
        neither += usize::from(!accepted && answer == "refused");
    }
    assert!(
        both > 30 && neither > 20,
        "{both} accepted by both, {neither} by neither"
    );
}
