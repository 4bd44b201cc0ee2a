//! Attacks: hostile plugins, in the strongest jail that this machine offers and again without namespaces, as root and
//! as an ordinary user. Each file defends one promise; `requirements.toml` says which attack is tried where.
//!
//! Run as root these tests want a mount namespace of their own: `cargo xtask test --only security` gives it to them.
#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test reports by panicking")]

/// Runs tests in each of the setups, as modules of their names.
macro_rules! in_every_setup {
    ($($test:ident),+ $(,)?) => {
        in_setups!(strongest Strongest, landlock Landlock, ordinary Ordinary, ordinary_landlock OrdinaryLandlock: $($test),+);
    };
}

/// Runs tests in some of the setups.
macro_rules! in_setups {
    ($module:ident $setup:ident: $($test:ident),+) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $test() {
                    if crate::harness::Setup::$setup.applies() {
                        super::$test(crate::harness::Setup::$setup).await;
                    }
                }
            )+
        }
    };
    ($module:ident $setup:ident, $($modules:ident $setups:ident),+: $($test:ident),+) => {
        in_setups!($module $setup: $($test),+);
        in_setups!($($modules $setups),+: $($test),+);
    };
}

mod archives;
mod assets;
mod channels;
mod contents;
mod controls;
mod egress;
mod files;
mod harness;
mod kernel;
mod layers;
mod lifetime;
mod neighbours;
mod network;
mod output;
mod packages;
mod patterns;
mod processes;
mod requirements;
mod secrets;
mod servers;
mod storms;
mod supply;
mod tokens;
mod tools;
mod uploaded;
mod uploads;
mod warm;
