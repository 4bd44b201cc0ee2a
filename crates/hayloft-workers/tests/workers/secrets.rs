//! What a worker says never shows the organization's secrets, by whichever way it leaves.

use hayloft_model::config::Credentials;
use hayloft_model::{Secret, secret::MASK};
use hayloft_workers::{CandidateError, Fault, HookCall, HookError, StartStage, Unavailable, Verdict};
use serde_json::json;

use crate::support::{House, SOON, values};

const SECRET: &str = "sk_live_canary";

/// A house with one plugin that is bound to the secret, as `SECRET` and as its `key`.
fn house(script: &str) -> (House, hayloft_model::InstanceKey) {
    let house = House::quick();
    let instance = house.plugin(&format!("const SECRET = '{SECRET}'; {script}"));
    let mut launch = house.source.launch_of(&instance);
    launch.binding.secrets = vec![Secret::new(SECRET.into())];
    house.source.set(&instance, Ok(launch));
    (house, instance)
}

fn failed(answer: Result<serde_json::Value, HookError>) -> Fault {
    match answer {
        Err(HookError::Failed(fault)) => fault,
        other => panic!("it did not fail: {other:?}"),
    }
}

#[tokio::test]
async fn a_failing_hook_shows_no_secret() {
    let (house, instance) = house(
        "exports.start = () => { throw new Error('no entry with ' + SECRET); };
         exports.enable = () => { throw Object.assign(new Error('bad ' + SECRET), { name: SECRET, reason: 'configuration',
             problems: [{ at: SECRET + '.a', message: SECRET + ' is wrong', hint: 'mend ' + SECRET }] }); };
         exports.disable = () => { throw new Error('x'.repeat(4090) + SECRET); };",
    );
    let worker = house.workers.ensure(&instance).await.unwrap();
    assert_eq!(house.observer.event("degraded").await, format!("degraded: no entry with {MASK}"));
    let fault = failed(worker.call_hook(HookCall::Enable).await);
    assert_eq!((fault.name.as_str(), fault.message), (MASK, format!("bad {MASK}")));
    let problem = &fault.problems[0];
    assert_eq!((&*problem.at, &*problem.message), (&*format!("{MASK}.a"), &*format!("{MASK} is wrong")));
    assert_eq!(problem.hint, Some(format!("mend {MASK}")));
    // One that would be cut in the middle is masked all the same.
    let fault = failed(worker.call_hook(HookCall::Disable).await);
    assert!(!fault.message.contains("sk_"), "{}", &fault.message[4080..]);
    house.close().await;
}

#[tokio::test]
async fn a_verdict_shows_no_secret() {
    let (house, instance) = house(
        "exports.validateAuth = (w, m) => m.auth ? { valid: false, error: m.auth.credentials.apiKey + ' is refused' }
             : w.bound.config.odd ? { valid: 'odd ' + SECRET } : { valid: false, error: SECRET + ' is refused' };",
    );
    let mut launch = house.source.launch_of(&instance);
    let candidate = house.workers.candidate(&instance, launch.clone()).await.unwrap();
    let verdict = candidate.validate_auth().await.unwrap();
    assert_eq!(verdict, Verdict { valid: false, error: Some(format!("{MASK} is refused")) });

    // Neither does one that makes no sense, and it is not taken for the end of the worker.
    launch.binding.config = values(json!({ "odd": true }));
    let odd = house.workers.candidate(&instance, launch).await.unwrap();
    let Err(HookError::Unreadable { hook, message }) = odd.validate_auth().await else {
        panic!("it was read")
    };
    assert_eq!(hook, "onValidateAuth");
    assert!(message.contains("expected a boolean") && !message.contains(SECRET), "{message}");

    // Credentials that are only tried are no less secret than those that it is bound to.
    let worker = candidate.promote().await.unwrap();
    let tried = Credentials { method_id: "k".into(), values: values(json!({ "apiKey": "tried-key" })) };
    let call = HookCall::ValidateAuth { config: None, credentials: Some(tried) };
    let answer = worker.call_hook(call).await;
    assert_eq!(answer, Ok(json!({ "valid": false, "error": format!("{MASK} is refused") })));
    house.close().await;
}

#[tokio::test]
async fn a_worker_that_cannot_be_bound_shows_no_secret() {
    let (house, instance) = house("exports.bind = () => { throw new Error('cannot take ' + SECRET); };");
    let Err(Unavailable::StartFailed(failure)) = house.workers.ensure(&instance).await else {
        panic!("it runs")
    };
    assert_eq!((failure.stage, failure.message), (StartStage::Bind, format!("cannot take {MASK}")));
    let launch = house.source.launch_of(&instance);
    let Err(CandidateError::StartFailed(failure)) = house.workers.candidate(&instance, launch).await else {
        panic!("it runs")
    };
    assert_eq!(failure.message, format!("cannot take {MASK}"));
    // What the host itself has to say goes the same way.
    let mut launch = house.source.launch_of(&instance);
    launch.binding.environment = vec![("NODE_OPTIONS".into(), Secret::new("x".into()))];
    launch.binding.secrets = vec![Secret::new("NODE_OPTIONS".into())];
    let Err(CandidateError::StartFailed(failure)) = house.workers.candidate(&instance, launch).await else {
        panic!("it runs")
    };
    assert!(failure.message.contains(MASK) && !failure.message.contains("NODE_OPTIONS"), "{failure}");
    house.close().await;
}

#[tokio::test]
async fn a_worker_that_ends_shows_no_secret() {
    for (script, expected) in [
        ("w.send({ type: SECRET })", format!("type `{MASK}`")),
        ("w.send({ type: 'x'.repeat(148) + SECRET })", "xxx".into()),
        ("w.send({ type: 'result', id: SECRET, value: 1 })", format!("invalid type: string \"{MASK}\"")),
        (
            "w.sync({ type: 'fatal', stage: 'protocol', error: { name: 'E', message: 'lost ' + SECRET, reason: 'thrown' } }); process.reallyExit(70)",
            format!("lost {MASK}"),
        ),
    ] {
        let (house, instance) = house(&format!("exports.enable = (w) => {{ {script}; return w.hang(); }};"));
        let worker = house.workers.ensure(&instance).await.unwrap();
        let answer = tokio::time::timeout(SOON, worker.call_hook(HookCall::Enable)).await.unwrap();
        let Err(HookError::WorkerGone { reason }) = answer else { panic!("{script}: {answer:?}") };
        assert!(reason.contains(&expected) && !reason.contains("sk_"), "{script}: {reason}");
        let crashed = house.observer.event("crashed").await;
        assert!(crashed.contains(&expected) && !crashed.contains("sk_"), "{script}: {crashed}");
        house.close().await;
    }
}

#[tokio::test]
async fn renewed_credentials_are_secret_as_well() {
    let (house, instance) = house(
        "exports.cron = async (w) => {
           await w.request({ type: 'updateAuth', methodId: 'oauth', credentials: { accessToken: 'renewed-canary', all: ['nested-canary'] } });
           console.log('has renewed-canary and nested-canary and ' + SECRET);
         };
         exports.enable = () => { throw new Error('renewed-canary is refused'); };",
    );
    let worker = house.workers.ensure(&instance).await.unwrap();
    worker.call_hook(HookCall::Cron("refresh".into())).await.unwrap();
    let fault = failed(worker.call_hook(HookCall::Enable).await);
    assert_eq!(fault.message, format!("{MASK} is refused"));
    house.workers.stop(&instance, "for the log").await;
    let lines = house.workers.logs(&instance, 10);
    let expected = format!("has {MASK} and {MASK} and {MASK}");
    assert!(lines.iter().any(|line| line.message == expected), "{lines:?}");
    house.close().await;
}
