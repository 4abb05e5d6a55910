//! Label names in a path: as they are, or as `U__...` for names that a URL or an old client could not carry.
//!
//! The escaping is Prometheus' "values": `__` is an underscore, `_1f525_` a character by its code point.

/// The label name that a path segment means. A text that only looks escaped means itself, as in Prometheus.
pub(super) fn label_name(segment: String) -> String {
    match segment.strip_prefix("U__").and_then(unescape) {
        Some(name) => name,
        None => segment,
    }
}

fn unescape(escaped: &str) -> Option<String> {
    let mut name = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find('_') {
        name.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (code, left) = after.split_once('_')?;
        if code.is_empty() {
            name.push('_');
        } else {
            let is_code = code.len() <= 6 && code.bytes().all(|b| b.is_ascii_hexdigit());
            let c = is_code
                .then(|| u32::from_str_radix(code, 16).ok())
                .flatten()
                .and_then(char::from_u32)?;
            name.push(c);
        }
        rest = left;
    }
    name.push_str(rest);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_are_prometheus_own() {
        for (segment, name) in [
            ("job", "job"),
            ("U__my_2e_dotted_2e_name", "my.dotted.name"),
            ("U__with__underscore", "with_underscore"),
            ("U___1f525_", "🔥"),
            ("U__", ""),
            ("U__a_", "U__a_"),
            ("U__a_zz_", "U__a_zz_"),
            ("U__a_d800_", "U__a_d800_"),
            ("U__a_1234567_", "U__a_1234567_"),
            ("my.dotted.name", "my.dotted.name"),
        ] {
            assert_eq!(label_name(segment.to_owned()), name, "{segment}");
        }
    }
}
