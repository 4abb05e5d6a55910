//! Tests of content negotiation, header by header.

use super::*;

fn protocol(value: &str) -> Option<WriteProtocol> {
    WriteProtocol::from_content_type(Some(value)).ok()
}

#[test]
fn missing_and_bare_content_types_are_1_0() {
    assert_eq!(WriteProtocol::from_content_type(None).ok(), Some(WriteProtocol::V1));
    for value in [
        "",
        "  ",
        "application/x-protobuf",
        "Application/X-Protobuf",
        " application/x-protobuf\t",
        "application/x-protobuf;",
    ] {
        assert_eq!(protocol(value), Some(WriteProtocol::V1), "{value:?}");
    }
}

#[test]
fn the_proto_parameter_decides_in_every_spelling() {
    for value in [
        "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        "application/x-protobuf; proto=io.prometheus.write.v2.Request",
        "application/x-protobuf \t;\t PROTO=\"io.prometheus.write.v2.Request\" ",
        "application/x-protobuf;charset=utf-8;proto=io.prometheus.write.v2.Request",
        "application/x-protobuf;a=\"x;proto=prometheus.WriteRequest\\\";\";;proto=io.prometheus.write.v2.Request;b",
        WriteProtocol::V2.content_type(),
    ] {
        assert_eq!(protocol(value), Some(WriteProtocol::V2), "{value:?}");
    }
    for value in [
        "application/x-protobuf; proto=prometheus.WriteRequest",
        WriteProtocol::V1.content_type(),
    ] {
        assert_eq!(protocol(value), Some(WriteProtocol::V1), "{value:?}");
    }
}

#[test]
fn other_content_types_are_refused() {
    for value in [
        "application/json",
        "image/png",
        "application/x-protobuffer",
        "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse",
        "application/x-protobuf;proto=",
        "application/x-protobuf;proto=io.prometheus.write.v3.Request",
        // Names of messages, unlike those of types, have one spelling.
        "application/x-protobuf;proto=IO.prometheus.write.v2.request",
        "\"application/x-protobuf",
    ] {
        assert_eq!(protocol(value), None, "{value:?}");
    }
}

#[test]
fn an_error_repeats_only_the_start_of_a_header() {
    let error = WriteProtocol::from_content_type(Some(&"é".repeat(1000))).expect_err("no such type");
    assert!(
        matches!(&error, WireError::ContentType { found } if found.len() == SHOWN),
        "{error}"
    );
}

#[test]
fn only_snappy_is_taken() {
    for value in [None, Some(""), Some("snappy"), Some(" Snappy ")] {
        assert!(check_content_encoding(value).is_ok(), "{value:?}");
    }
    for value in ["gzip", "deflate", "identity", "zstd", "snappy, gzip", "x-snappy-framed"] {
        assert!(check_content_encoding(Some(value)).is_err(), "{value:?}");
    }
}

#[test]
fn the_first_known_response_type_is_taken() {
    use ReadResponseType::{Samples, StreamedXorChunks};
    for (accepted, expected) in [
        (&[][..], Some(Samples)),
        (&[0], Some(Samples)),
        (&[1, 0], Some(StreamedXorChunks)),
        (&[0, 1], Some(Samples)),
        (&[7, 1], Some(StreamedXorChunks)),
        (&[7, -1], None),
    ] {
        assert_eq!(ReadResponseType::negotiate(accepted).ok(), expected, "{accepted:?}");
    }
}
