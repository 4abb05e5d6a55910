//! Expressions as Grafana sends them, and the corners of the grammar where a word may be a metric.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::Selection;

fn texts<'a>(found: &[SelectorText<'a>]) -> Vec<&'a str> {
    found.iter().map(|found| found.text).collect()
}

fn found(expression: &str) -> String {
    match selector_texts(expression) {
        Ok(found) => texts(&found).join(" | "),
        Err(error) => format!("ERROR {error}"),
    }
}

#[test]
fn selectors_of_an_expression_are_found() {
    for (expression, expected) in [
        ("up", "up"),
        (" up # it is ", "up # it is"),
        (r#"{job="x"}"#, r#"{job="x"}"#),
        (
            r#"histogram_quantile(0.9, sum by (le) (rate(x_bucket{job=~"a.*"}[5m])))"#,
            r#"x_bucket{job=~"a.*"}"#,
        ),
        (r#"rate(x {a="}"} [5m] offset 1w)"#, r#"x {a="}"}"#),
        (
            "sum(rate(a[5m])) by (x, \"y z\") / on (x) group_left (y) sum(b) without (z)",
            "a | b",
        ),
        (
            "a * bool on(x) group_right b unless ignoring() c and d or e atan2 f",
            "a | b | c | d | e | f",
        ),
        ("a == bool 1", "a"),
        ("-a ^ +b % c", "a | b | c"),
        ("a </ 1 >/ b < c >= d", "a | b | c | d"),
        ("topk(5, count_values(\"{v}\", build{x='}'}))", "build{x='}'}"),
        ("label_replace(up, \"a\", \"$1{}\", `b`, '(.*)\\'')", "up"),
        ("max_over_time(deriv(rate(x[1m])[5m:1m])[10m:])", "x"),
        ("x[5m * 2 + step()] offset -(1h / range())", "x"),
        ("x offset max_of(1m, step()) @ start()", "x"),
        ("x @ 1609746000.5 offset -5m", "x"),
        ("x @ -1 + y @ end ( )", "x | y"),
        ("foo[5m] anchored - bar[5m] SMOOTHED", "foo | bar"),
        ("a + on(x) fill(0) b", "a | b"),
        ("a - fill_left(-1) fill_right ( 2 ) b", "a | b"),
        // Words that are metrics where a value is expected.
        ("sum", "sum"),
        ("sum + by", "sum | by"),
        ("sum offset 5m", "sum"),
        ("sum{a=\"b\"} or or or offset", "sum{a=\"b\"} | or | offset"),
        ("fill + fill_left", "fill | fill_left"),
        (
            "start + end + step + range + anchored",
            "start | end | step | range | anchored",
        ),
        ("SUM BY (le) (x) AND y", "x | y"),
        ("sum by (by, on, bool) (by)", "by"),
        ("a:b:c{x=\"y\"} > :d", "a:b:c{x=\"y\"} | :d"),
        ("up{a=\"1\", # }\n b=\"2\"}", "up{a=\"1\", # }\n b=\"2\"}"),
        ("{\"my.metric\", a='\"}'}", "{\"my.metric\", a='\"}'}"),
        ("{a=`\\`}", "{a=`\\`}"),
        // Nothing is selected.
        ("1 + 1.5e-3 * 0x1F", ""),
        ("time() - 1_000", ""),
        ("vector(1h30m)", ""),
        ("\"text {a='b'}\"", ""),
        ("-Inf + NaN", ""),
        ("((((1))))", ""),
        ("pi()", ""),
    ] {
        assert_eq!(found(expression), expected, "{expression}");
        for found in selector_texts(expression).unwrap() {
            Selection::parse(&[found.text]).unwrap();
        }
    }
}

#[test]
fn what_has_no_shape_of_an_expression_is_refused() {
    for expression in [
        "",
        "  # nothing",
        "a b",
        "a +",
        "* a",
        "(a",
        "a)",
        "sum(a))",
        "rate(a[5m)",
        "a[]",
        "a[:5m]",
        "a[5x]",
        "a[5m",
        "a{b=\"c\"",
        "a{b=\"c}",
        "a{b='c\n'}",
        "\"open",
        "a, b",
        "(a, b)",
        "sum(a,)",
        "sum by le (a)",
        "sum by (le",
        "sum by (le) a",
        "sum by (1) (a)",
        "bool",
        "on + 1",
        "group_left",
        "a = b",
        "a ! b",
        "a =~ b",
        "a & b",
        "a offset",
        "a offset b",
        "a @",
        "a @ b",
        "a:b(c)",
        "by(x)",
        "fill(1)",
        "5foo",
        "1.2.3",
        "0x",
        "é",
        "a{b=\"c\"}{d=\"e\"}",
        "1 {a=\"b\"}",
        "inf{a=\"b\"}",
        "a ; b",
    ] {
        assert!(
            selector_texts(expression).is_err(),
            "{expression:?}: {}",
            found(expression)
        );
    }
}

#[test]
fn messages_name_the_place() {
    assert_eq!(found("\"é\" + ö"), "ERROR unexpected `ö` at character 7");
    assert_eq!(
        found("a + (on)"),
        "ERROR `on` stands where a value is expected at character 6"
    );
    assert_eq!(
        found("a{b=\"c}"),
        "ERROR the closing quote is missing, of the text that begins at character 5"
    );
    assert_eq!(found(""), "ERROR no expression found at character 1");
}

#[test]
fn depth_does_no_harm() {
    let depth = 200_000;
    let nested = format!("{}up{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(found(&nested), "up");
}

#[test]
fn only_labels_that_info_adds_are_marked() {
    for (expression, marked) in [
        ("info(x, {a=~\".*\"})", vec!["{a=~\".*\"}"]),
        ("info(rate(x[5m]), {a=\"b\"}) + y", vec!["{a=\"b\"}"]),
        ("info(x{a=\"b\"})", vec![]),
        ("info(x, f(y))", vec![]),
        ("f(info(x), y)", vec![]),
        ("info + f(info, x)", vec![]),
    ] {
        let mut found = selector_texts(expression).unwrap();
        found.retain(|found| found.is_of_info);
        assert_eq!(texts(&found), marked, "{expression}");
    }
}

/// An expression, and the selectors it was made of.
fn expressions() -> impl Strategy<Value = (String, Vec<String>)> {
    let selector = prop_oneof![
        Just("up".to_owned()),
        Just("sum".to_owned()),
        Just("without".to_owned()),
        Just(r#"a:b{x="}\"{", y=~`)(`}"#.to_owned()),
        Just("{\"é # \",'a b'!='c'}".to_owned()),
    ];
    let leaf = prop_oneof![
        4 => selector.prop_map(|text| (text.clone(), vec![text])),
        1 => prop_oneof![Just("1e3"), Just("-Inf"), Just("5m"), Just("time()"), Just("\"{up}\"")]
            .prop_map(|text| (text.to_owned(), Vec::new())),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let one = (0..8usize, inner.clone()).prop_map(|(form, (text, found))| {
            let text = match form {
                0 => format!("({text})"),
                1 => format!("rate({text}[5m:1m])"),
                2 => format!("sum by (a, 'b') ({text})"),
                3 => format!("avg( {text} ) WITHOUT (by,)"),
                4 => format!("- {text}"),
                5 => format!("{text} offset -1d @ end()"),
                6 => format!("quantile(0.5,{text}) # (\n"),
                _ => format!("{text}[1h]"),
            };
            (text, found)
        });
        let operator = prop_oneof![
            Just("+"),
            Just("=="),
            Just("!= bool"),
            Just("or"),
            Just("/ on(a) group_left()"),
            Just("* ignoring (a) fill(1)"),
        ];
        let two = (inner.clone(), operator, inner).prop_map(|((left, mut found), operator, (right, others))| {
            found.extend(others);
            (format!("{left} {operator} {right}"), found)
        });
        prop_oneof![one, two]
    })
}

proptest! {
    #[test]
    fn every_selector_is_found_and_nothing_else((expression, expected) in expressions()) {
        let found = selector_texts(&expression).map_err(|error| TestCaseError::fail(format!("{expression}: {error}")))?;
        prop_assert_eq!(texts(&found), expected);
    }

    #[test]
    fn any_text_is_refused_or_cut_into_its_own_pieces(text in "[a-c({\\[\"'`\\\\)}\\]# \n+,@0-9.é=~:]{0,40}") {
        for found in selector_texts(&text).unwrap_or_default() {
            prop_assert!(text.contains(found.text));
        }
    }
}
