//! Texts that people write: the configuration file, the form of the store, selectors, patterns, durations and times.

use emberkeep_fuzz::{Bound, Input, Target};
use emberkeep_model::{Labels, MatchOp, Matcher};
use emberkeep_service::config::FileConfig;
use emberkeep_service::{duration, size, time_expr};

use crate::material::nothing;
use crate::writing::said;

fn text(input: &Input) -> &str {
    let bytes = input.bytes();
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}

const CONFIG: &str = "# All settings.
storage:
  path: /var/lib/emberkeep
objstore:
  type: S3
  config:
    bucket: \"b\"
    endpoint: s3.example.com
    access_key: a
    secret_key: b
web:
  listen_address: 127.0.0.1:9201
flush:
  interval: 1h30m
log:
  level: info
  format: logfmt
";

/// Aliases that would unfold to 9^9 items.
pub(crate) const LAUGHS: &str = "objstore:
  a: &a [x, x, x, x, x, x, x, x, x]
  b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]
  c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]
  d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]
  e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d]
  f: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e]
  g: &g [*f, *f, *f, *f, *f, *f, *f, *f, *f]
  h: &h [*g, *g, *g, *g, *g, *g, *g, *g, *g]
  i: [*h, *h, *h, *h, *h, *h, *h, *h, *h]
";

const YAML: [&[u8]; 16] = [
    b": ", b"- ", b"\n  ", b"&a ", b"*a", b"!!", b"|\n", b">\n", b"---\n", b"{", b"}", b"[", b"]", b"\"", b"'", b"? ",
];

/// The YAML library has a budget for what aliases unfold to; it does not depend on the length of the text.
pub(crate) const YAML_BOUND: Bound = Bound {
    per_byte: 2000,
    flat: 64 << 20,
};

#[test]
fn config_file() {
    let target = Target {
        name: "config_file",
        rounds: 1500,
        max_bytes: 2000,
        bound: YAML_BOUND,
        dictionary: &YAML,
        outcomes: 40,
    };
    let deep = format!("objstore: {}", "[".repeat(900));
    let seeds = [CONFIG, LAUGHS, &deep, "# nothing\n"].map(Input::of).to_vec();
    target.run(seeds, nothing, |input| {
        let config = FileConfig::parse(text(input), "c.yml");
        said(config.map(|config| format!("{:?}", config.objstore.is_some())))
    });
}

/// A compiled pattern is bounded by the library's size limit of 10 MiB, however short the pattern; compiling takes some times that.
#[test]
fn selector() {
    let target = Target {
        name: "selector",
        rounds: 6000,
        max_bytes: 200,
        bound: Bound {
            per_byte: 0,
            flat: 64 << 20,
        },
        dictionary: &[
            b"=~\"",
            b"!~\"",
            b"!=\"",
            b"=\"",
            b"\"",
            b"{",
            b"}",
            b",",
            b"\\Q",
            b"\\E",
            b"\\pN",
            b"[[:alpha:]]",
            b"(?i:",
            b"{1000}",
            b"\\x{10ffff}",
            b"`",
            b"\\d",
            b"(?P<a>",
            b"|",
            b".*",
        ],
        outcomes: 500,
    };
    let seeds = [
        "up{job=~\"a.*|b+\",x!~\"(?i)[a-z\\\\d]{2,5}\"}",
        "{\"my.metric\",'label name'!=\"x\\u00e9\\101\"}",
        "{__name__=~\"\\\\Qa.b\\\\E\\\\pL\\\\bx\", y=\"\"}",
        "a:b{c=~`^(?P<n>x|y)*?$`,}",
    ];
    target.run(seeds.map(Input::of).to_vec(), nothing, |input| {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "aaa"), ("x", "é")]).unwrap();
        let matchers = emberkeep_reader::parse_selector(text(input));
        said(matchers.map(|matchers| {
            let matched = matchers
                .iter()
                .filter(|matcher| matcher.matches_labels(&labels))
                .count();
            format!("{} matchers, {matched} match", matchers.len())
        }))
    });
}

#[test]
fn pattern() {
    let target = Target {
        name: "pattern",
        rounds: 6000,
        max_bytes: 120,
        bound: Bound {
            per_byte: 0,
            flat: 64 << 20,
        },
        dictionary: &[
            b"\\Q",
            b"\\E",
            b"\\pN",
            b"\\p{Greek}",
            b"\\P{^Lu}",
            b"[[:^alpha:]]",
            b"(?i)",
            b"(?s-U:",
            b"{2,1000}",
            b"\\x{10ffff}",
            b"\\C",
            b"\\A",
            b"\\z",
            b"(?P<a>",
            b"|",
            b"*?",
            b"[^",
            b"]",
            b")",
            b"(",
            b"\\B",
            b"\\pZ",
        ],
        outcomes: 150,
    };
    let seeds = [
        "(a|b)*c+?[^x-z]",
        "(?i)k\\pL{2}\\W",
        "\\Qa+b\\E|^$",
        "[[:digit:]\\s]{3,}\\b",
    ];
    target.run(seeds.map(Input::of).to_vec(), nothing, |input| {
        let pattern = text(input);
        let matcher = Matcher::new("x", MatchOp::Regex, pattern);
        let opposite = Matcher::new("x", MatchOp::NotRegex, pattern);
        assert_eq!(matcher.is_ok(), opposite.is_ok());
        said(matcher.map(|matcher| {
            let matches = ["", "ab", "Kelvin", "\u{212a}x1"].map(|value| matcher.matches(value));
            format!("{matches:?}")
        }))
    });
}

#[test]
fn durations_sizes_and_times() {
    let target = Target {
        name: "durations_sizes_and_times",
        rounds: 40_000,
        max_bytes: 100,
        bound: Bound {
            per_byte: 64,
            flat: 16 << 10,
        },
        dictionary: &[
            b"ms", b"y", b"now", b"-", b"T", b"Z", b"+02:00", b".5", b"GiB", b"KB", b" ",
        ],
        outcomes: 2000,
    };
    let seeds = [
        "1h30m",
        "90s",
        "now-2h",
        "2026-11-20T10:00:00.123+02:00",
        "64MiB",
        "1700000000.5",
        "0",
    ];
    target.run(seeds.map(Input::of).to_vec(), nothing, |input| {
        let text = text(input);
        let duration = duration::parse(text);
        if let Ok(parsed) = duration {
            let again = duration::parse(&duration::format(parsed));
            assert_eq!(again.ok(), Some(parsed), "what is written is read again");
        }
        let time = time_expr::parse(text, 1_700_000_000_000);
        if let Ok(moment) = time {
            let _ = time_expr::format_rfc3339(moment);
        }
        format!(
            "{} / {} / {}",
            said(duration.map(|_| "a duration".to_owned())),
            said(size::parse(text).map(|_| "a size".to_owned())),
            said(time.map(|_| "a time".to_owned()))
        )
    });
}
