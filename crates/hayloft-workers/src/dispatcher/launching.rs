//! How a unit comes to be: its channels, its log, its place in the books.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use hayloft_model::entropy::sortable_id;
use hayloft_model::plugin::Package;
use hayloft_model::{InstanceKey, Revision, WorkerId};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{Dispatcher, Purpose, Unit};
use crate::activity::Activity;
use crate::events::Facts;
use crate::http::{RouteClient, RouteListener};
use crate::logs::{Logs, WorkerLog};
use crate::unit::{self, Birth, Origin};
use crate::warm::Pooling;
use crate::worker::{Inner, Request, Worker};

/// What a worker's users hold of it, before it is known who they are.
pub(super) struct Handles {
    activity: Arc<Activity>,
    requests: mpsc::Sender<Request>,
    routes: RouteClient,
    facts: watch::Receiver<Facts>,
}

impl Handles {
    /// The worker as it is given to an organization.
    pub(super) fn given_to(self, key: InstanceKey, id: WorkerId, revision: Revision) -> Worker {
        let Self { activity, requests, routes, facts } = self;
        Worker { inner: Arc::new(Inner { key, id, revision, activity, requests, routes, facts }) }
    }
}

impl Dispatcher {
    /// Starts a unit. It reports back from now on.
    pub(super) fn launch(
        &mut self,
        package: &Package,
        key: Option<&InstanceKey>,
        purpose: Purpose,
    ) -> WorkerId {
        self.launch_with(package, key, purpose, None)
    }

    /// Starts a worker that writes what Node compiled to a file, if there is one.
    pub(super) fn launch_with(
        &mut self,
        package: &Package,
        key: Option<&InstanceKey>,
        purpose: Purpose,
        compiled: Option<OwnedFd>,
    ) -> WorkerId {
        let settings = &self.shared.settings;
        let id = WorkerId::from_uuid(sortable_id(&*settings.clock, &*settings.entropy));
        let log = match key {
            Some(key) => self.shared.logs.of(key, settings.logs),
            None => Logs::new(settings.logs),
        };
        let log = WorkerLog::new(log, Arc::clone(&settings.clock), id);
        let started_at = settings.clock.now();
        let (orders, order_inbox) = mpsc::unbounded_channel();
        let (requests, request_inbox) = mpsc::channel(64);
        let (facts_sender, facts) = watch::channel(Facts::new());
        let activity = Activity::new(settings.deadlines.after_asking);
        let routes = RouteListener::default();
        let handles = Handles {
            activity: Arc::clone(&activity),
            requests,
            routes: RouteClient::new(routes.clone(), settings.routes),
            facts: facts.clone(),
        };
        let is_warm = matches!(purpose, Purpose::Warm);
        let (revision, pooling) = match &purpose {
            Purpose::Serve(launch) | Purpose::Candidate(launch, _) => {
                (Some(launch.binding.revision), launch.pooling)
            }
            Purpose::Promotion(..)
            | Purpose::Rejected
            | Purpose::Serving
            | Purpose::Warm
            | Purpose::Probe(_) => (None, Pooling::Never),
        };
        let (worker, unclaimed) = match key.zip(revision) {
            Some((key, revision)) => (Some(handles.given_to(key.clone(), id, revision)), None),
            None => (None, Some(handles).filter(|_| is_warm)),
        };
        let instance = key.map(|key| (key.clone(), self.instance(key).notices.inlet()));
        tokio::spawn(unit::run(Birth {
            shared: Arc::clone(&self.shared),
            worker: id,
            package: package.clone(),
            compiled,
            instance,
            origin: if is_warm { Origin::Pool } else { Origin::Demand },
            log,
            activity: Arc::clone(&activity),
            facts: facts_sender,
            routes,
            orders: order_inbox,
            requests: request_inbox,
            reports: self.reporter.clone(),
            subjects: self.subjects.clone(),
        }));
        let unit = Unit {
            purpose,
            orders,
            worker,
            unclaimed,
            untried: false,
            ending: false,
            makes_way: false,
            facts,
            activity,
            started_at,
            package: package.clone(),
            pooling,
            tells_quiet: false,
            recycle_reason: None,
        };
        self.units.insert(id, unit);
        if !is_warm {
            let now = Instant::now();
            self.slots.take(id, key.map(|key| key.organization), now);
            self.pool.note_start(now);
        }
        if let Some(key) = key {
            self.places.take(key);
        }
        id
    }
}
