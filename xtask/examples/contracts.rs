//! Prints the contracts that are written in Rust and read by others, as one JSON object: file name → contract.
//!
//! A program of its own, so that building and showing the product never waits for what only `codegen` needs.

use serde_json::json;

fn main() {
    let contracts = json!({
        "hay-package.schema.json": hayloft_manifest::schema::hay_package_schema(),
        "openapi.json": hayloft_server::openapi(),
        "worker-protocol.json": hayloft_workers::protocol::schema(),
    });
    println!("{contracts}");
}
