//! A worker comes when it is needed, once, and only if it may.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use hayloft_model::config::Credentials;
use hayloft_model::{InstanceState, Revision, Secret, WorkerState};
use hayloft_workers::{HookCall, HookError, LaunchRefused, ProbeError, QueueLimits, StartStage, Unavailable};
use serde_json::json;

use crate::support::{House, SOON, binding, key, values};

#[tokio::test]
async fn a_worker_is_started_bound_and_serves() {
    let house = House::new();
    let instance = house.plugin(
        "exports.start = (w) => console.log(JSON.stringify([w.bound.organization, w.bound.config, w.bound.auth, process.env.KEY]));",
    );
    let mut launch = house.source.launch_of(&instance);
    launch.binding.revision = Revision(3);
    launch.binding.config = values(json!({ "n": 1, "t": "short" }));
    launch.binding.credentials =
        Some(Credentials { method_id: "apiKey".into(), values: values(json!({ "apiKey": "abc" })) });
    launch.binding.environment = vec![("KEY".into(), Secret::new("env".into()))];
    house.source.set(&instance, Ok(launch));

    let worker = house.workers.ensure(&instance).await.unwrap();
    assert!(worker.is_alive());
    assert_eq!(worker.revision(), Revision(3));
    assert_eq!(house.workers.ensure(&instance).await.unwrap().id(), worker.id());
    assert_eq!(house.observer.event("ready").await, "ready");
    assert_eq!(house.observer.events(), ["starting", "ready"]);

    let [status] = house.workers.statuses().await.try_into().unwrap();
    assert_eq!(status.key, instance);
    assert_eq!(status.worker_id, worker.id());
    assert_eq!((status.instance_state, status.state), (InstanceState::Ready, WorkerState::Bound));
    assert_eq!((status.restarts, status.in_flight, status.last_error), (0, 0, None));
    assert_eq!(status.isolation, house.tier);
    assert!(house.tier >= crate::STRONGEST);
    let has_memory = async {
        while house.workers.statuses().await[0].rss_bytes.is_none_or(|bytes| bytes <= 1 << 20) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, has_memory).await.expect("memory of a worker");
    assert!(status.last_activity_at >= status.started_at);
    let _call = worker.activity();
    assert_eq!(house.workers.statuses().await[0].in_flight, 1);
    drop(_call);

    let [line] = house.workers.logs(&instance, 10).try_into().unwrap();
    assert_eq!(
        line.message,
        json!([
            { "id": instance.organization.to_string(), "name": "Acme" },
            { "n": 1, "t": "short" },
            { "methodId": "apiKey", "credentials": { "apiKey": "abc" } },
            "env",
        ])
        .to_string()
    );
    house.close().await;
}

#[tokio::test]
async fn however_many_wait_one_is_started() {
    let house = House::new();
    let instance = house.plugin("");
    let answers = join_all((0..100).map(|_| house.workers.ensure(&instance))).await;
    let ids: std::collections::BTreeSet<_> = answers.into_iter().map(|worker| worker.unwrap().id()).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(house.source.asked.load(Ordering::SeqCst), 1);
    assert_eq!(house.workers.statuses().await.len(), 1);
    house.close().await;
}

#[tokio::test]
async fn organizations_have_workers_of_their_own() {
    let house = House::new();
    let first = house.plugin("");
    let second = key(2, "hay-plugin-test");
    let mut launch = house.source.launch_of(&first);
    launch.binding = binding(2);
    house.source.set(&second, Ok(launch));
    let (one, other) = tokio::join!(house.workers.ensure(&first), house.workers.ensure(&second));
    assert_ne!(one.unwrap().id(), other.unwrap().id());
    house.close().await;
}

#[tokio::test]
async fn what_may_not_run_is_not_started() {
    let house = House::new();
    let instance = house.plugin("");
    for refused in [
        LaunchRefused::NotEnabled,
        LaunchRefused::Unconfigured { missing: vec!["`apiKey`".into()] },
        LaunchRefused::Quarantined { reason: "it crashed".into() },
        LaunchRefused::Failed { reason: "it is broken".into() },
    ] {
        house.source.set(&instance, Err(refused.clone()));
        assert_eq!(house.workers.ensure(&instance).await.unwrap_err(), Unavailable::Refused(refused));
    }
    assert_eq!(house.observer.events(), Vec::<String>::new());
    house.close().await;
}

#[tokio::test]
async fn a_queue_is_bounded_in_number_and_time() {
    let limits = QueueLimits { per_organization: 3, deadline: Duration::from_millis(300) };
    let house = House::with(|settings| settings.queue = limits);
    let instance = house.plugin("exports.start = (w) => w.hang();");
    let answers = join_all((0..5).map(|_| house.workers.ensure(&instance))).await;
    let full = answers
        .iter()
        .filter(|answer| matches!(answer, Err(Unavailable::QueueFull { limit: 3, .. })))
        .count();
    let late = answers.iter().filter(|answer| matches!(answer, Err(Unavailable::Timeout { .. }))).count();
    assert_eq!((full, late), (2, 3));
    house.close().await;
}

#[tokio::test]
async fn who_is_sent_away_is_told_how_long_others_waited_whoever_is_refused_meanwhile() {
    let limits = QueueLimits { per_organization: 1, deadline: Duration::from_millis(1500) };
    let house = House::with(|settings| settings.queue = limits);
    let hanging = house.plugin("exports.start = (w) => w.hang();");
    let Err(Unavailable::Timeout { retry_after, .. }) = house.workers.ensure(&hanging).await else {
        panic!("it started")
    };
    assert!(retry_after >= limits.deadline, "{retry_after:?}");
    let refused = key(1, "hay-plugin-off");
    for _ in 0..20 {
        assert!(matches!(house.workers.ensure(&refused).await, Err(Unavailable::Refused(_))));
    }
    let mut waiting = Box::pin(house.workers.ensure(&hanging));
    assert!(futures::poll!(&mut waiting).is_pending());
    let Err(Unavailable::QueueFull { retry_after, .. }) = house.workers.ensure(&refused).await else {
        panic!("there was room")
    };
    assert!(retry_after >= limits.deadline, "{retry_after:?}");
    drop(waiting);
    house.close().await;
}

#[tokio::test]
async fn a_failing_start_hook_degrades() {
    let house = House::new();
    let instance = house.plugin("exports.start = () => { throw new TypeError('no key'); };");
    let worker = house.workers.ensure(&instance).await.unwrap();
    assert_eq!(house.observer.event("degraded").await, "degraded: no key");
    let [status] = house.workers.statuses().await.try_into().unwrap();
    assert_eq!((status.instance_state, status.state), (InstanceState::Degraded, WorkerState::Bound));
    assert_eq!(status.last_error.as_deref(), Some("no key"));
    assert!(worker.call_hook(HookCall::Enable).await.is_ok());
    house.close().await;
}

#[tokio::test]
async fn hooks_answer_fail_and_run_late() {
    let house = House::quick();
    let instance = house.plugin(
        "exports.connected = () => ({ routingKeys: ['a'] });
         exports.enable = () => { throw Object.assign(new Error('bad'), { reason: 'configuration',
             problems: [{ at: 'x', message: 'is wrong', hint: 'mend it' }] }); };
         exports.configUpdate = () => { throw Object.assign(new Error('late'), { reason: 'timeout' }); };
         exports.validateAuth = (w, m) => ({ valid: m.auth.credentials.apiKey === 'good' && m.config.a === 1 });
         exports.cron = (w, name) => name === 'hang' ? w.hang() : { ran: name };",
    );
    let worker = house.workers.ensure(&instance).await.unwrap();
    assert_eq!(worker.call_hook(HookCall::Connected).await, Ok(json!({ "routingKeys": ["a"] })));
    let Err(HookError::Failed(fault)) = worker.call_hook(HookCall::Enable).await else {
        panic!("it went well")
    };
    assert_eq!((fault.message.as_str(), fault.problems[0].hint.as_deref()), ("bad", Some("mend it")));
    assert!(worker.call_hook(HookCall::ConfigUpdate).await.unwrap_err().is_timeout());
    let validate = |key: &str| HookCall::ValidateAuth {
        config: Some(values(json!({ "a": 1 }))),
        credentials: Some(Credentials { method_id: "k".into(), values: values(json!({ "apiKey": key })) }),
    };
    assert_eq!(worker.call_hook(validate("good")).await, Ok(json!({ "valid": true })));
    assert_eq!(worker.call_hook(validate("bad")).await, Ok(json!({ "valid": false })));
    assert_eq!(worker.call_hook(HookCall::Cron("nightly".into())).await, Ok(json!({ "ran": "nightly" })));
    // A job that takes too long is given up; the worker goes on.
    assert!(matches!(worker.call_hook(HookCall::Cron("hang".into())).await, Err(HookError::Timeout { .. })));
    assert!(worker.is_alive());
    house.close().await;
}

#[tokio::test]
async fn a_probe_tells_what_is_registered_and_leaves_nothing() {
    let house = House::new();
    let package = house.package("hay-plugin-probe", "exports.registration = { name: 'P', odd: [1e3] };");
    let registration = house.workers.probe(&package).await.unwrap();
    assert_eq!(registration.get(), r#"{"name":"P","odd":[1000]}"#);

    let broken = house.package("hay-plugin-broken", "exports.initialize = () => { throw new Error('no'); };");
    let Err(ProbeError::StartFailed(failure)) = house.workers.probe(&broken).await else {
        panic!("it went well")
    };
    assert_eq!((failure.stage, failure.message.as_str()), (StartStage::Initialize, "no"));
    assert_eq!(house.workers.statuses().await, []);
    assert_eq!(house.observer.events(), Vec::<String>::new());
    house.close().await;
}

#[tokio::test]
async fn a_missing_node_says_what_to_do() {
    let house = House::with(|settings| settings.runtime.node = "/no/such/node".into());
    let instance = house.plugin("");
    let Err(Unavailable::StartFailed(failure)) = house.workers.ensure(&instance).await else {
        panic!("it runs")
    };
    assert_eq!(failure.stage, StartStage::Spawn);
    assert!(failure.message.contains("`/no/such/node`"), "{failure}");
    assert!(failure.hint.is_some());
    house.close().await;
}

#[tokio::test]
async fn a_variable_with_a_power_is_not_bound() {
    let house = House::new();
    let instance = house.plugin("");
    let mut launch = house.source.launch_of(&instance);
    launch.binding.environment = vec![("NODE_OPTIONS".into(), Secret::new("--require /evil".into()))];
    house.source.set(&instance, Ok(launch));
    let Err(Unavailable::StartFailed(failure)) = house.workers.ensure(&instance).await else {
        panic!("it runs")
    };
    assert_eq!(failure.stage, StartStage::Bind);
    assert!(failure.message.contains("`NODE_OPTIONS`"), "{failure}");
    house.close().await;
}
