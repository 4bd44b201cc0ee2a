//! Prints the contracts that are written in Rust and read by others, as one JSON object: path → contract.
//!
//! A program of its own, so that building and showing the product never waits for what only `codegen` needs.

use serde_json::json;

fn main() {
    let mut contracts = json!({
        "schemas/openapi.json": hayloft_server::openapi(),
        "schemas/worker-protocol.json": hayloft_workers::protocol::schema(),
    });
    for file in hayloft_manifest::schema::all() {
        contracts[file.path] = file.schema;
    }
    println!("{contracts}");
}
