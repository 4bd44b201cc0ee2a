//! The policy of system calls means what it says.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// Finds what the compiler of the policy takes without a word: a rule without conditions beside one with conditions for
/// the same call of the same filter is dropped.
fn shadowed_rules(policy: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for (filter, content) in policy.as_object().into_iter().flatten() {
        let mut whole = BTreeSet::new();
        let mut conditional = BTreeSet::new();
        for rule in content["filter"].as_array().into_iter().flatten() {
            let call = rule["syscall"].as_str().unwrap_or_default();
            if rule.get("args").is_some() {
                conditional.insert(call);
            } else if !whole.insert(call) {
                problems.push(format!("`{call}` stands twice in the filter `{filter}`"));
            }
        }
        let both = whole.intersection(&conditional);
        problems.extend(both.map(|call| format!("`{call}` of `{filter}` has and has no conditions")));
    }
    problems
}

#[test]
fn no_rule_is_shadowed_by_another() {
    let policy: Value =
        serde_json::from_str(include_str!("../policy/worker.seccomp.json")).expect("the policy is JSON");
    assert_eq!(shadowed_rules(&policy), [""; 0]);
}

#[test]
fn shadowed_rules_are_found() {
    let condition = json!([{ "index": 0, "type": "dword", "op": "eq", "val": 1 }]);
    let policy = json!({ "some": { "filter": [
        { "syscall": "read" }, { "syscall": "read" },
        { "syscall": "socket", "args": condition }, { "syscall": "socket", "args": condition },
        { "syscall": "ioctl" }, { "syscall": "ioctl", "args": condition },
    ] } });
    assert_eq!(
        shadowed_rules(&policy),
        ["`read` stands twice in the filter `some`", "`ioctl` of `some` has and has no conditions"]
    );
}
