//! The history of the schema. A migration that was released is never changed; a change is a new one at the end.
//!
//! A migration runs in a transaction of its own and is written with `if not exists`, so being killed in the middle
//! leaves nothing to repair. Names are spelled out here instead of taken from `entity`: history must not move with it.

use sea_orm_migration::prelude::*;

mod columns;
mod m0001_organizations;
mod m0002_packages;
mod m0003_instances;
mod m0004_tools;
mod m0005_facts;
mod m0006_calls;
mod m0007_host_audit;
mod m0008_plugin_values;
mod m0009_remote_servers;
mod m0010_result_caching;
mod m0011_wishes;
mod m0012_uploads_and_grants;
mod m0013_capability_uses;
mod m0014_removed_organizations;
mod m0015_pools_and_priorities;
mod m0017_trials;
mod m0018_rejections;

pub(crate) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_organizations::Migration),
            Box::new(m0002_packages::Migration),
            Box::new(m0003_instances::Migration),
            Box::new(m0004_tools::Migration),
            Box::new(m0005_facts::Migration),
            Box::new(m0006_calls::Migration),
            Box::new(m0007_host_audit::Migration),
            Box::new(m0008_plugin_values::Migration),
            Box::new(m0009_remote_servers::Migration),
            Box::new(m0010_result_caching::Migration),
            Box::new(m0011_wishes::Migration),
            Box::new(m0012_uploads_and_grants::Migration),
            Box::new(m0013_capability_uses::Migration),
            Box::new(m0014_removed_organizations::Migration),
            Box::new(m0015_pools_and_priorities::Migration),
            Box::new(m0017_trials::Migration),
            Box::new(m0018_rejections::Migration),
        ]
    }
}
