//! Tools that are declared before their server runs.

use hayloft_model::plugin::DeclaredTool;
use hayloft_model::plugin::mcp::any_arguments;
use hayloft_model::{Problem, Problems};
use jsonschema::PatternOptions;
use serde_json::Value;

use crate::document::{Object, View};
use crate::words::quoted;

/// Most tools of one server.
const MOST_TOOLS: usize = 500;

/// Longest name of a tool, in bytes.
const LONGEST_NAME: usize = 128;

/// The tools of a list without the wrong ones.
pub(crate) fn read_all(list: &View<'_>, problems: &mut Problems) -> Vec<DeclaredTool> {
    let mut tools: Vec<DeclaredTool> = Vec::new();
    for item in list.items(MOST_TOOLS, problems) {
        let Some(tool) = read(&item, problems) else { continue };
        if tools.iter().any(|earlier| earlier.name == tool.name) {
            let message = format!("the tool {} is declared twice", quoted(&tool.name));
            problems.push(Problem::error(item.at(), message).hint("rename one"));
        } else {
            tools.push(tool);
        }
    }
    tools
}

fn read(item: &View<'_>, problems: &mut Problems) -> Option<DeclaredTool> {
    const KEYS: [&str; 9] = [
        "name",
        "label",
        "title",
        "description",
        "inputSchema",
        "input_schema",
        "outputSchema",
        "output_schema",
        "annotations",
    ];
    let tool = item.object(problems)?;
    tool.check_keys(&KEYS, problems);
    let name = tool.required("name", problems).and_then(|view| name(&view, problems));
    let title = tool.label("title", problems).or_else(|| tool.label("label", problems));
    let description = tool.label("description", problems);
    let input_schema = schema(&tool, ["inputSchema", "input_schema"], problems);
    let output_schema = schema(&tool, ["outputSchema", "output_schema"], problems);
    let annotations = tool.get("annotations").and_then(|view| view.object(problems).map(|_| view.value()));
    let annotations = annotations.and_then(|value| value.as_object().cloned());
    Some(DeclaredTool {
        name: name?,
        title,
        description,
        input_schema: input_schema.unwrap_or_else(any_arguments),
        output_schema,
        annotations,
    })
}

fn name(view: &View<'_>, problems: &mut Problems) -> Option<String> {
    let name = view.text(problems)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
    if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(allowed) {
        problems.push(
            Problem::error(view.at(), format!("{} cannot be the name of a tool", quoted(name)))
                .hint("use up to 128 letters, digits, `_`, `-`, `.` and `/`, such as `create_order`"),
        );
        return None;
    }
    Some(name.to_owned())
}

/// A JSON Schema under one of its two spellings. One that cannot be used is left out.
fn schema(tool: &Object<'_>, keys: [&str; 2], problems: &mut Problems) -> Option<Value> {
    let view = keys.iter().find_map(|key| tool.get(key))?;
    view.object(problems)?;
    let mut schema = view.value();
    let before = problems.len();
    check_references(&schema, &view, problems);
    if problems.len() > before {
        return None;
    }
    // MCP demands an object, and authors forget to say it.
    if let Some(object) = schema.as_object_mut()
        && !object.contains_key("type")
    {
        object.insert(String::from("type"), Value::from("object"));
    }
    if schema.get("type") != Some(&Value::from("object")) {
        let message = "describes no object, and a tool's arguments and its result are objects";
        problems.push(Problem::error(view.at(), message).hint("write `\"type\": \"object\"` at its root"));
        return None;
    }
    // The same engine as calls are checked with: patterns in linear time, nothing fetched.
    match jsonschema::options().with_pattern_options(PatternOptions::regex()).build(&schema) {
        Ok(_) => Some(schema),
        Err(error) => {
            let place = error.instance_path().to_string();
            let place = if place.is_empty() { String::new() } else { format!(" at {}", quoted(&place)) };
            let message = format!("is not a usable JSON Schema{place}: {}", quoted(&error.to_string()));
            let problem = Problem::error(view.at(), message);
            problems.push(if place.ends_with("/pattern`") {
                problem.hint("patterns run in linear time: look-around and back-references do not exist")
            } else {
                problem
            });
            None
        }
    }
}

/// Refuses references to anything outside the schema: nothing is ever fetched for one.
fn check_references(schema: &Value, view: &View<'_>, problems: &mut Problems) {
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields {
                if let ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(target)) =
                    (key.as_str(), value)
                    && !target.starts_with('#')
                {
                    let message = format!("refers to {}, outside of itself", quoted(target));
                    problems.push(
                        Problem::error(view.at(), message)
                            .hint("copy what it refers to into `$defs` and refer to `#/$defs/…`"),
                    );
                }
                check_references(value, view, problems);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| check_references(item, view, problems)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
