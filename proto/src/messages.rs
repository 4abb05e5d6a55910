//! The protobuf messages as generated types, from `schema/*.proto`.
//!
//! For cold paths (read requests, head read), for clients, and as the oracle of the borrowed decoders' tests. A receiver must not decode
//! writes with them: they allocate for every label.

/// Remote write 1.0 and remote read.
#[expect(missing_docs, reason = "generated; the schema has the documentation")]
pub mod prometheus {
    include!(concat!(env!("OUT_DIR"), "/prometheus.rs"));
}

/// Remote write 2.0.
#[expect(missing_docs, reason = "generated; the schema has the documentation")]
pub mod write_v2 {
    include!(concat!(env!("OUT_DIR"), "/io.prometheus.write.v2.rs"));
}

/// Head read, our own.
#[expect(missing_docs, reason = "generated; the schema has the documentation")]
pub mod head {
    include!(concat!(env!("OUT_DIR"), "/emberkeep.head.v1.rs"));
}
