//! Switch on in a new organization what asks to be on unless somebody says otherwise.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use hayloft_model::{Caller, InstanceKey, OrganizationId};
use hayloft_packages::Needs;

use super::save::SavePlugin;
use crate::Host;

impl Host {
    /// Switches the plugins on, each as by a save without settings: it is written before this returns, and they start
    /// afterwards. One that cannot be switched on keeps no other from it, nor the organization from being made.
    pub(crate) async fn enable_by_default(&self, caller: &Caller, organization: OrganizationId) {
        let plugins = self.plugins.all();
        let wanted = plugins
            .values()
            .filter(|plugin| plugin.is_seen_by(organization))
            .filter(|plugin| plugin.descriptor().is_some_and(|descriptor| descriptor.enabled_by_default));
        let switched_on = wanted.map(async |plugin| {
            let key = InstanceKey { organization, plugin: plugin.id.clone() };
            let wish = SavePlugin { enabled: Some(true), ..SavePlugin::default() };
            // What only has to be put in its place is there at once; the rest is switched on when it is installed. What
            // is wrong with it is said when it is saved.
            if plugin.needs == Needs::default() {
                let _ = self.prepare(plugin).await;
            }
            let saved = self.save_prepared(caller, Arc::clone(plugin), key.clone(), wish, Duration::ZERO);
            if let Err(error) = saved.await {
                tracing::warn!(instance = %key, %error, "failed to switch on a plugin in a new organization");
            }
        });
        join_all(switched_on).await;
    }
}
