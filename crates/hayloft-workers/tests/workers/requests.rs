//! What a worker asks of the host, and what the host asks of a plugin's own router.

use std::time::Duration;

use hayloft_workers::protocol::{CallableKind, ProcedureCall, ProcedureCaller};
use hayloft_workers::{HookCall, HookError, LONGEST_INPUT};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::support::House;

#[tokio::test]
async fn requests_reach_the_host_and_their_answers_the_worker() {
    let house = House::new();
    let instance = house.plugin(
        "exports.enable = async (w) => {
           const kv = (more) => w.request({ type: 'kv', ...more });
           const answers = [await kv({ op: 'get', key: 'a' })];
           answers.push(await kv({ op: 'set', key: 'a', value: 'x', ttlSeconds: 60 }), await kv({ op: 'get', key: 'a' }));
           answers.push(await kv({ op: 'delete', key: 'a' }), await kv({ op: 'get', key: 'a' }));
           await w.request({ type: 'reportUse', since: 0, uses: [{ capability: 'kv', count: 5, denied: 1 }] });
           await w.request({ type: 'updateRegistration', registration: { b: 1e400, a: [] } });
           return answers;
         };",
    );
    let worker = house.workers.ensure(&instance).await.unwrap();
    let answers = worker.call_hook(HookCall::Enable).await.unwrap();
    assert_eq!(answers, json!([{ "value": null }, {}, { "value": "x for Some(60)" }, {}, { "value": null }]));
    house.observer.event("used kv 5 1").await;
    // JavaScript has no such number; what it sends instead is passed on as it came.
    house.observer.event(r#"hay-plugin-test registers {"b":null,"a":[]}"#).await;
    house.close().await;
}

#[tokio::test]
async fn a_refusal_comes_with_what_is_to_be_mended() {
    let house = House::new();
    let instance = house.plugin(
        "exports.enable = (w) => w.request({ type: 'updateRegistration', registration: 'wrong' })
           .catch(({ message, reason, problems }) => ({ message, reason, problems }));
         exports.connected = (w) => w.request({ type: 'registerMcp', server: { kind: 'remote', id: 'a', url: 'https://a.example' } })
           .catch(({ reason }) => ({ reason }));",
    );
    let worker = house.workers.ensure(&instance).await.unwrap();
    assert_eq!(
        worker.call_hook(HookCall::Enable).await.unwrap(),
        json!({ "message": "not valid", "reason": "configuration",
            "problems": [{ "at": "metadata.routes", "message": "is wrong", "hint": "mend it" }] })
    );
    // An observer that does not know a request says so.
    assert_eq!(worker.call_hook(HookCall::Connected).await.unwrap(), json!({ "reason": "unsupported" }));
    house.close().await;
}

#[tokio::test]
async fn without_an_organization_nothing_is_asked() {
    let house = House::new();
    let instance = house.plugin(
        "let before;
         exports.initialize = (w) => {
           const ask = (message) => w.request(message).catch((error) => error.message);
           before = Promise.all([
             ask({ type: 'kv', op: 'set', key: 'a', value: 'x' }),
             ask({ type: 'reportUse', since: 0, uses: [] }),
             ask({ type: 'updateRegistration', registration: {} }),
           ]);
         };
         exports.enable = () => before;",
    );
    let worker = house.workers.ensure(&instance).await.unwrap();
    let refused = worker.call_hook(HookCall::Enable).await.unwrap();
    for refusal in refused.as_array().unwrap() {
        assert!(refusal.as_str().unwrap().starts_with("the worker has no organization"), "{refusal}");
    }
    assert!(house.observer.values.lock().unwrap().is_empty());
    house.close().await;
}

#[tokio::test]
async fn a_worker_that_stops_may_still_say_what_it_used_and_keep_what_it_has() {
    let house = House::new();
    let instance = house.plugin(
        "exports.shutdown = async (w) => {
           await w.request({ type: 'reportUse', since: 0, uses: [{ capability: 'kv', count: 1, denied: 0 }] });
           await w.request({ type: 'kv', op: 'set', key: 'last', value: 'word' });
           const late = await w.request({ type: 'updateRegistration', registration: {} }).catch((error) => error.message);
           await w.request({ type: 'kv', op: 'set', key: 'late', value: late });
           process.exit(0);
         };",
    );
    house.workers.ensure(&instance).await.unwrap();
    house.workers.stop(&instance, "a test").await;
    house.observer.event("used kv 1 0").await;
    let values = house.observer.values.lock().unwrap().clone();
    assert_eq!(values["last"], "word for None");
    assert!(values["late"].contains("is stopping"), "{values:?}");
    house.close().await;
}

fn call(path: &str, input: Option<String>) -> ProcedureCall {
    ProcedureCall {
        path: path.into(),
        kind: CallableKind::Mutation,
        input: input.map(|text| RawValue::from_string(text).unwrap()),
        caller: Some(ProcedureCaller { user_id: None, scopes: vec!["tools:call".into()] }),
    }
}

#[tokio::test]
async fn a_procedure_is_called_with_what_the_caller_wrote() {
    let house = House::new();
    let instance = house.plugin(
        "exports.procedure = (w, { id, type, ...call }) => {
           if (call.path === 'length') return { status: 200, body: call.input.length };
           if (call.path === 'odd') return { status: 'x' };
           if (call.path === 'throws') throw new Error('secret-free reason');
           return { status: 409, body: call };
         };",
    );
    let worker = house.workers.ensure(&instance).await.unwrap();
    let answer =
        worker.call_procedure(call("a.b", Some(String::from(r#"{"x": [1.5, "é"]}"#)))).await.unwrap();
    assert_eq!(answer.status, 409);
    assert_eq!(
        answer.body,
        json!({ "path": "a.b", "kind": "mutation", "input": { "x": [1.5, "é"] }, "caller": { "scopes": ["tools:call"] } })
    );
    let bare = worker.call_procedure(ProcedureCall { caller: None, ..call("a", None) }).await.unwrap();
    assert_eq!(bare.body, json!({ "path": "a", "kind": "mutation", "caller": null }));
    let odd = worker.call_procedure(call("odd", None)).await.unwrap_err();
    assert!(matches!(odd, HookError::Unreadable { .. }), "{odd}");
    let thrown = worker.call_procedure(call("throws", None)).await.unwrap_err();
    assert!(matches!(thrown, HookError::Failed(_)), "{thrown}");

    // What does not fit into a frame is refused, and the worker is none the worse for it.
    let input = |length: usize| Some(format!("\"{}\"", "x".repeat(length - 2)));
    let answer = worker.call_procedure(call("length", input(LONGEST_INPUT))).await.unwrap();
    assert_eq!(answer.body, Value::from(LONGEST_INPUT - 2));
    let too_long = worker.call_procedure(call("length", input(LONGEST_INPUT + 1))).await.unwrap_err();
    assert!(matches!(too_long, HookError::TooLong { length, .. } if length > LONGEST_INPUT), "{too_long}");
    assert!(worker.is_alive());
    house.close().await;
}

#[tokio::test]
async fn a_procedure_that_hangs_costs_its_caller_only() {
    let house = House::with(|settings| {
        settings.deadlines.procedure = Duration::from_millis(50);
        settings.deadlines.grace = Duration::from_millis(50);
    });
    let instance = house.plugin(
        "exports.procedure = (w, { path }) => path === 'hang' ? w.hang() : { status: 200, body: 'fine' };",
    );
    let worker = house.workers.ensure(&instance).await.unwrap();
    let late = worker.call_procedure(call("hang", None)).await.unwrap_err();
    assert!(late.is_timeout(), "{late}");
    assert_eq!(worker.call_procedure(call("quick", None)).await.unwrap().body, "fine");
    assert!(worker.is_alive());
    house.close().await;
}
