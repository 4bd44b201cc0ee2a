//! What was counted, for Prometheus. Labels never carry an organization: there may be any number of them.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds of the buckets of everything measured in seconds: from a tool call in process to a slow start.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// The figures of this process.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

/// Why figures cannot be collected.
#[derive(Debug, thiserror::Error)]
#[error("failed to collect metrics")]
pub struct MetricsError(#[from] metrics_exporter_prometheus::BuildError);

impl Metrics {
    /// Starts to collect the figures of the whole process. Once per process.
    ///
    /// # Errors
    /// When they are collected already.
    pub fn install() -> Result<Self, MetricsError> {
        Ok(Self(builder()?.install_recorder()?))
    }

    /// Figures that nobody counts into, for a server in a test.
    ///
    /// # Errors
    /// Never with the buckets above.
    pub fn detached() -> Result<Self, MetricsError> {
        Ok(Self(builder()?.build_recorder().handle()))
    }

    /// The text for Prometheus (exposition format 0.0.4).
    pub(crate) fn render(&self) -> String {
        self.0.render()
    }

    /// Moves measured values into their buckets, so that they do not pile up between two visits of Prometheus.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

fn builder() -> Result<PrometheusBuilder, MetricsError> {
    Ok(PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?)
}
