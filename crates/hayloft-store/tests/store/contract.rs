//! The promise of each noun, told only through the store's own operations and, where somebody tampers, portable SQL.

mod audit;
mod capability_uses;
mod concurrency;
mod configurations;
mod instance_registrations;
mod instances;
mod organizations;
mod outbox;
mod packages;
mod plugin_values;
mod pools;
mod remote_servers;
mod removed_organizations;
mod result_caching;
mod tokens;
mod tool_names;
mod tools;
mod trials;
mod uploads;
mod vault;
mod wishes;
