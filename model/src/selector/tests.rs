//! Texts that PromQL accepts and refuses, and what they mean.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn shown(text: &str) -> String {
    match parse_selector(text) {
        Ok(matchers) => matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        Err(error) => format!("ERROR {error}"),
    }
}

#[test]
fn selectors_of_promql_are_understood() {
    for (text, expected) in [
        ("up", r#"__name__="up""#),
        ("a:b:rate5m{}", r#"__name__="a:b:rate5m""#),
        (r#"up{job="x"}"#, r#"__name__="up" job="x""#),
        (
            r#" up { job != 'x' , instance=~`a\d+`, } "#,
            r#"__name__="up" job!="x" instance=~"a\\d+""#,
        ),
        (r#"{__name__=~"a.+",b!~"c"}"#, r#"__name__=~"a.+" b!~"c""#),
        (r#"{"my.metric"}"#, r#"__name__="my.metric""#),
        (
            r#"{"a",__name__=~"a.*","b"}"#,
            r#"__name__="a" __name__=~"a.*" __name__="b""#,
        ),
        (
            r#"{"my.metric","label name"="x",}"#,
            r#"__name__="my.metric" label name="x""#,
        ),
        (r#"{a="x\"\\\n\x41\u00e9\101"}"#, r#"a="x\"\\\nAéA""#),
        (r"{a='it\'s'}", r#"a="it's""#),
        ("{a=\"x\"} # a comment", r#"a="x""#),
        ("{a=\"x\", # why\n b=\"y\"}", r#"a="x" b="y""#),
        (r#"{a="x",a!="y"}"#, r#"a="x" a!="y""#),
        (r#"sum{by="x"}"#, r#"__name__="sum" by="x""#),
        (r#"{a="\xc3\xa9"}"#, r#"a="é""#),
        ("{a=`\\n`}", r#"a="\\n""#),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}

#[test]
fn what_promql_refuses_is_refused() {
    for text in [
        "",
        "{}",
        " ",
        "{a=\"x\"",
        "a b",
        "up{job=x}",
        "up{job}",
        "up{\"job\"}",
        "up{__name__=\"x\"}",
        "{a=\"x\" b=\"y\"}",
        "{a=\"x\" or b=\"y\"}",
        "{a=\"x\",,}",
        "{,}",
        "{a=\"x\"}[5m]",
        "{a=\"x\"} offset 5m",
        "{a:b=\"x\"}",
        "{1a=\"x\"}",
        "{a=\"x\ny\"}",
        "{a=\"\\'\"}",
        "{a=\"\\q\"}",
        "{a=\"\\xff\"}",
        "{a=\"\\ud800\"}",
        "{a=\"\\400\"}",
        "{a=\"\\x4\"}",
        "{a!\"x\"}",
        "{a=\"x\"}}",
        "{a=~\"(\"}",
        "inf",
        "NaN{}",
    ] {
        assert!(parse_selector(text).is_err(), "{text:?} was taken: {}", shown(text));
    }
}

#[test]
fn a_selector_must_refuse_the_empty_value_somewhere() {
    for text in ["{a=\"\"}", "{a!=\"x\"}", "{a=~\".*\"}", "{a!~\".+\"}"] {
        assert!(
            matches!(parse_selector(text), Err(SelectorError::MatchesEmpty { .. })),
            "{text}"
        );
    }
    assert!(parse_selector("{a=~\".*\",b=~\".+\"}").is_ok());
}

#[test]
fn messages_name_the_place_and_the_pattern() {
    assert_eq!(
        shown("up{jöb=\"x\"}"),
        "ERROR selector `up{jöb=\"x\"}`: unexpected character `ö` at character 5"
    );
    assert!(shown("{a=~\"(\"}").contains('('));
}

#[test]
fn a_selection_is_the_union_of_its_selectors() {
    let selection = Selection::parse(&["{a=\"1\"}", "{b=\"2\"}"]).unwrap();
    assert!(selection.common().is_empty());
    let of = |pairs: &[(&str, &str)]| selection.accepts(&Labels::from_pairs(pairs.iter().copied()).unwrap());
    assert!(of(&[("a", "1")]) && of(&[("b", "2"), ("c", "3")]));
    assert!(!of(&[("a", "2")]) && !of(&[("c", "3")]));
    assert_eq!(Selection::parse(&["{a=\"1\"}"]).unwrap().common().len(), 1);
    assert!(
        Selection::parse::<&str>(&[])
            .unwrap()
            .accepts(&Labels::from_pairs([("x", "y")]).unwrap())
    );
}
