//! Whether an organization may have one more version on the disk. Who knows what it has already is somebody else.

use std::sync::Arc;

use futures::future::BoxFuture;
use hayloft_model::{OrganizationId, PluginId, Problem};

/// While it lives, nobody else takes of the organization's room.
pub type Allowed = Box<dyn std::any::Any + Send>;

/// Says what organizations may have on the disk.
pub trait Allowance: Send + Sync {
    /// Whether an organization may have a version of so many bytes, which is about to be put on the shelf; or why not.
    fn allow<'a>(
        &'a self,
        owner: OrganizationId,
        plugin: &'a PluginId,
        bytes: u64,
    ) -> BoxFuture<'a, Result<Allowed, Problem>>;
}

/// Who is asked. As long as nobody is, there is no bound.
pub(crate) type Asked = std::sync::OnceLock<Arc<dyn Allowance>>;
