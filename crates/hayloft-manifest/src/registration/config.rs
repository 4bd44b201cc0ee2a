//! The settings that a plugin asks for.

use hayloft_model::config::{ConfigField, ConfigSchema, FieldType, Inside, ValueShape};
use hayloft_model::{Problem, Problems};
use serde_json::Value;

use super::{LONGEST_ID, MOST_ENTRIES};
use crate::document::{Object, View};
use crate::normalize;
use crate::words::{listed, meant, quoted};

/// Largest compiled form of a pattern, in bytes. The engine is linear in time; this bounds its memory.
const LARGEST_PATTERN: usize = 256 * 1024;

/// Deepest nesting of arrays and objects in a shape.
const DEEPEST_SHAPE: usize = 8;

const KEYS: [&str; 14] = [
    "type",
    "label",
    "description",
    "placeholder",
    "required",
    "env",
    "exportedAs",
    "sensitive",
    "encrypted",
    "default",
    "options",
    "regex",
    "items",
    "properties",
];

const TYPES: [(&str, FieldType); 6] = [
    ("string", FieldType::String),
    ("number", FieldType::Number),
    ("boolean", FieldType::Boolean),
    ("json", FieldType::Json),
    ("array", FieldType::Array),
    ("object", FieldType::Object),
];

/// What a setting says of environment variables. Formats use the same words for different things.
pub(crate) trait Variables {
    /// The host's variable that stands in for the setting, and the one under which its value reaches the plugin's own
    /// processes.
    fn read(&mut self, field: &Object<'_>, problems: &mut Problems) -> (Option<String>, Option<String>);
}

/// Adds the fields of the schema that have no error. A field that is there already was declared before and stands.
pub(crate) fn read(
    message: &Object<'_>,
    schema: &mut ConfigSchema,
    variables: &mut impl Variables,
    problems: &mut Problems,
) {
    let Some(object) = message.get("configSchema").and_then(|view| view.object(problems)) else {
        return;
    };
    let fields = object.fields(problems);
    if fields.len() > MOST_ENTRIES {
        let message = format!("has {} fields; at most {MOST_ENTRIES} are taken", fields.len());
        problems.push(Problem::error(object.at(), message));
    }
    for (name, view) in fields.into_iter().take(MOST_ENTRIES) {
        if schema.field(name).is_some() {
            continue;
        }
        if !is_field_name(name) {
            let message = format!("{} cannot be the name of a setting", quoted(name));
            problems.push(
                Problem::error(view.at(), message)
                    .hint("begin with a letter and use letters, digits, `_`, `-` and `.`"),
            );
            continue;
        }
        if let Some(field) = field(&view, variables, problems) {
            schema.fields.insert(name.to_owned(), field);
        }
    }
}

fn is_field_name(name: &str) -> bool {
    name.len() <= LONGEST_ID
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_' || first == '$')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$'))
}

fn field(view: &View<'_>, variables: &mut impl Variables, problems: &mut Problems) -> Option<ConfigField> {
    let object = view.object(problems)?;
    object.check_keys(&KEYS, problems);
    let field_type = field_type(&object, problems);
    let sensitive = object.boolean("sensitive", problems);
    let encrypted = object.boolean("encrypted", problems);
    let (env, exported_as) = variables.read(&object, problems);
    let mut field = ConfigField {
        // Of a field without a usable type the rest is checked all the same; it is left out below.
        field_type: field_type.unwrap_or(FieldType::Json),
        label: object.label("label", problems),
        description: object.label("description", problems),
        placeholder: object.label("placeholder", problems),
        required: object.boolean("required", problems).unwrap_or_default(),
        env,
        exported_as,
        // Two names for one thing: whoever says it once means it.
        sensitive: sensitive.unwrap_or_default() || encrypted.unwrap_or_default(),
        default: object.get("default").map(|default| default.value()),
        options: object.get("options").map(|_| options(&object, field_type, problems)),
        regex: object.get("regex").and_then(|pattern| regex(&pattern, field_type, problems)),
        inside: inside(&object, field_type, DEEPEST_SHAPE, problems),
    };
    if let Some(problem) = default_problem(&object, &field) {
        problems.push(problem);
        field.default = None;
    }
    field_type.map(|_| field)
}

/// What an array or an object holds, as far as its author says.
fn inside(object: &Object<'_>, kind: Option<FieldType>, levels: usize, problems: &mut Problems) -> Inside {
    let mut inside = Inside::default();
    for (key, holder) in [("items", FieldType::Array), ("properties", FieldType::Object)] {
        let Some(view) = object.get(key) else { continue };
        if kind.is_some_and(|kind| kind != holder) {
            let message = format!("means nothing: only {} has `{key}`", holder.described());
            problems.push(Problem::warning(view.at(), message).hint("remove it, or change the `type`"));
        } else if levels == 0 {
            let message = format!("nests deeper than {DEEPEST_SHAPE} levels");
            problems.push(Problem::error(view.at(), message).hint("say less of what is inside"));
        } else if holder == FieldType::Array {
            inside.items = shape(&view, levels - 1, problems).map(Box::new);
        } else if let Some(properties) = view.object(problems) {
            let shapes = properties.fields(problems).into_iter().take(MOST_ENTRIES);
            let shapes = shapes
                .filter_map(|(name, view)| Some((name.to_owned(), shape(&view, levels - 1, problems)?)));
            inside.properties = shapes.collect();
        }
    }
    inside
}

fn shape(view: &View<'_>, levels: usize, problems: &mut Problems) -> Option<ValueShape> {
    let object = view.object(problems)?;
    object.check_keys(&["type", "label", "description", "required", "items", "properties"], problems);
    let kind = field_type(&object, problems);
    let label = object.label("label", problems);
    let description = object.label("description", problems);
    let required = object.boolean("required", problems).unwrap_or_default();
    let inside = inside(&object, kind, levels, problems);
    kind.map(|field_type| ValueShape { field_type, label, description, required, inside })
}

fn field_type(object: &Object<'_>, problems: &mut Problems) -> Option<FieldType> {
    let view = object.required("type", problems)?;
    let name = view.text(problems)?;
    let known = TYPES.iter().find(|(known, _)| *known == name).map(|(_, field_type)| *field_type);
    if known.is_none() {
        let names = TYPES.map(|(name, _)| name);
        let hint = match meant(name, names) {
            Some(word) => format!("did you mean {}?", quoted(word)),
            None => format!("the kinds are {}", listed(names)),
        };
        problems
            .push(Problem::error(view.at(), format!("{} is not a kind of setting", quoted(name))).hint(hint));
    }
    known
}

fn options(object: &Object<'_>, field_type: Option<FieldType>, problems: &mut Problems) -> Vec<Value> {
    let mut options = Vec::new();
    for item in object.items("options", MOST_ENTRIES, problems) {
        let option = item.value();
        let value = match &option {
            Value::Object(labelled) => {
                let Some(value) = labelled.get("value") else {
                    problems.push(
                        Problem::error(item.at(), "has no `value`")
                            .hint("write a plain value, or `{ \"value\": …, \"label\": … }`"),
                    );
                    continue;
                };
                value
            }
            plain => plain,
        };
        match field_type {
            Some(field_type) if !field_type.accepts(value) => {
                let message = format!("must be {}, as the setting is", field_type.described());
                problems.push(Problem::error(item.at(), message));
            }
            _ => options.push(option),
        }
    }
    options
}

fn regex(view: &View<'_>, field_type: Option<FieldType>, problems: &mut Problems) -> Option<String> {
    let pattern = view.text(problems)?;
    if field_type.is_some_and(|field_type| field_type != FieldType::String) {
        problems.push(
            Problem::warning(view.at(), "only a setting of kind `string` can have a pattern")
                .hint("remove it"),
        );
        return None;
    }
    match regex::RegexBuilder::new(pattern).size_limit(LARGEST_PATTERN).build() {
        Ok(_) => Some(pattern.to_owned()),
        Err(error) => {
            let problem = match error {
                regex::Error::CompiledTooBig(_) => Problem::error(view.at(), "is too large a pattern")
                    .hint("repeat less: `{1,1000}` costs a lot"),
                // The last line of the engine's drawing says what is wrong.
                error => {
                    let text = error.to_string();
                    let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
                    Problem::error(view.at(), format!("{} is not a pattern: {reason}", quoted(pattern)))
                        .hint("patterns run in linear time: look-around and back-references do not exist")
                }
            };
            problems.push(problem);
            None
        }
    }
}

/// The name of a variable that is set for the plugin's own processes.
pub(crate) fn exported_name(view: &View<'_>, problems: &mut Problems) -> Option<String> {
    let name = view.text(problems)?;
    if !normalize::is_env_name(name) {
        let message = format!("{} cannot be the name of an environment variable", quoted(name));
        problems.push(
            Problem::error(view.at(), message).hint("use letters, digits and `_`, such as `SHOP_API_KEY`"),
        );
        return None;
    }
    if normalize::belongs_to_the_host(name) {
        let message = format!("the host sets the environment variable `{name}` itself");
        problems
            .push(Problem::error(view.at(), message).hint("choose another name for the setting's variable"));
        return None;
    }
    Some(name.to_owned())
}

/// What is wrong with a field's default value, by the rules that its other values must keep.
fn default_problem(object: &Object<'_>, field: &ConfigField) -> Option<Problem> {
    let default = field.default.as_ref()?;
    let at = object.place_of("default");
    if !field.field_type.accepts(default) {
        return Some(Problem::error(
            at,
            format!("must be {}, as the setting is", field.field_type.described()),
        ));
    }
    let mut wrong = Problems::new();
    field.inside.check(default, &at, &mut wrong);
    if let Some(problem) = wrong.into_iter().next() {
        return Some(problem);
    }
    if let Some(mut allowed) = field.allowed_values()
        && !allowed.any(|option| option == default)
    {
        return Some(Problem::error(at, "is not one of the setting's options").hint("add it to the options"));
    }
    let (Some(pattern), Value::String(text)) = (&field.regex, default) else { return None };
    let matches = regex::Regex::new(pattern).is_ok_and(|regex| regex.is_match(text));
    let message = || format!("does not match the setting's own pattern {}", quoted(pattern));
    (!matches).then(|| Problem::error(at, message()).hint("mend the default or the pattern"))
}
