//! Numbers and labels in the JSON of Prometheus' API: values as texts, times as seconds.
//!
//! No bit may be lost: a value is the shortest decimal that means exactly it, and a NaN that is not the usual one says its bits
//! beside it.

use std::io::Write;

use emberkeep_model::Labels;

/// The NaN that Prometheus and Go write for "not a number".
const USUAL_NAN: u64 = 0x7ff8_0000_0000_0001;

/// Labels as an object.
pub(super) fn json_labels(labels: &Labels, out: &mut Vec<u8>) {
    out.push(b'{');
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        json_text(name, out);
        out.push(b':');
        json_text(value, out);
    }
    out.push(b'}');
}

/// A text in quotes.
pub(super) fn json_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a text always has a JSON form, and a vector takes all of it");
}

/// A value as a text; after an unusual NaN also a member `valueBits`.
pub(super) fn json_float(value: f64, out: &mut Vec<u8>) {
    let written = if value.is_nan() {
        let bits = value.to_bits();
        if bits == USUAL_NAN {
            write!(out, "\"NaN\"")
        } else {
            write!(out, "\"NaN\",\"valueBits\":\"{bits:016x}\"")
        }
    } else if value.is_infinite() {
        write!(out, "\"{}Inf\"", if value > 0.0 { '+' } else { '-' })
    } else {
        write!(out, "\"{value}\"")
    };
    written.expect("a vector takes all that is written");
}

/// A time as seconds, with milliseconds where there are any.
pub(super) fn json_seconds(ms: i64, out: &mut Vec<u8>) {
    let (sign, whole, rest) = (
        if ms < 0 { "-" } else { "" },
        ms.unsigned_abs() / 1000,
        ms.unsigned_abs() % 1000,
    );
    let written = if rest == 0 {
        write!(out, "{sign}{whole}")
    } else {
        write!(out, "{sign}{whole}.{rest:03}")
    };
    written.expect("a vector takes all that is written");
}

#[cfg(test)]
mod tests {
    use emberkeep_model::STALE_MARKER_BITS;

    use super::*;

    fn shown(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("JSON is text")
    }

    #[test]
    fn values_keep_every_bit() {
        for (value, text) in [
            (0.0, "\"0\""),
            (-0.0, "\"-0\""),
            (6.5, "\"6.5\""),
            (1e21, "\"1000000000000000000000\""),
            (f64::NEG_INFINITY, "\"-Inf\""),
            (f64::INFINITY, "\"+Inf\""),
            (f64::from_bits(USUAL_NAN), "\"NaN\""),
            (
                f64::from_bits(STALE_MARKER_BITS),
                "\"NaN\",\"valueBits\":\"7ff0000000000002\"",
            ),
        ] {
            assert_eq!(shown(|out| json_float(value, out)), text);
        }
        for value in [5e-324, f64::MAX, 0.1 + 0.2, -123.456] {
            let text = shown(|out| json_float(value, out));
            let read: f64 = text.trim_matches('"').parse().expect("a number");
            assert_eq!(read.to_bits(), value.to_bits());
        }
    }

    #[test]
    fn times_are_seconds() {
        for (ms, text) in [
            (0, "0"),
            (1_600_000_096_479, "1600000096.479"),
            (-1, "-0.001"),
            (-62_135_596_800_000, "-62135596800"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            assert_eq!(shown(|out| json_seconds(ms, out)), text);
        }
    }

    #[test]
    fn labels_are_escaped() {
        let labels = Labels::from_pairs([("a\"b", "line\nend"), ("é", "🔥")]).expect("valid labels");
        assert_eq!(
            shown(|out| json_labels(&labels, out)),
            "{\"a\\\"b\":\"line\\nend\",\"é\":\"🔥\"}"
        );
    }
}
