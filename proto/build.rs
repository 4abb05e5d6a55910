//! Compiles the protobuf schemas. The compiler is a Rust library, so a build needs no `protoc`.

use std::io::Result;

fn main() -> Result<()> {
    let schemas = [
        "schema/prometheus.proto",
        "schema/write_v2.proto",
        "schema/head_read.proto",
    ];
    for schema in schemas {
        println!("cargo::rerun-if-changed={schema}");
    }
    let descriptors = protox::compile(schemas, ["schema"]).map_err(std::io::Error::other)?;
    // Chunks are most of an answer: they stay where they came in.
    let chunks = [".prometheus.Chunk.data"];
    prost_build::Config::new().bytes(chunks).compile_fds(descriptors)
}
