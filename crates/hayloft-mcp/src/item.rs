//! What servers offer beside tools: resources, templates of resources, and prompts. Raw as their servers wrote them, but
//! for the one member by which clients ask for them.

use hayloft_model::Problem;
use memchr::memmem;
use serde_json::value::RawValue;

use crate::message::fields::Fields;
use crate::message::write;

/// A kind of thing that can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ItemKind {
    /// Something to read, under an address.
    Resource,
    /// A pattern of addresses.
    Template,
    /// A text to begin a conversation with.
    Prompt,
}

impl ItemKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Resource, Self::Template, Self::Prompt];

    /// The method that lists it.
    pub(crate) const fn list_method(self) -> &'static str {
        match self {
            Self::Resource => "resources/list",
            Self::Template => "resources/templates/list",
            Self::Prompt => "prompts/list",
        }
    }

    /// The member of the answer that has the list.
    pub(crate) const fn list_member(self) -> &'static str {
        match self {
            Self::Resource => "resources",
            Self::Template => "resourceTemplates",
            Self::Prompt => "prompts",
        }
    }

    /// The capability of a server that has such things.
    pub(crate) const fn capability(self) -> &'static str {
        match self {
            Self::Resource | Self::Template => "resources",
            Self::Prompt => "prompts",
        }
    }

    /// The member by which one is told from the others.
    const fn identity(self) -> &'static str {
        match self {
            Self::Resource => "uri",
            Self::Template => "uriTemplate",
            Self::Prompt => "name",
        }
    }
}

/// One element of a server's list.
#[derive(Clone, Debug)]
pub struct Item {
    kind: ItemKind,
    identity: String,
    raw: Box<RawValue>,
}

impl Item {
    /// Takes an element as a server wrote it.
    ///
    /// # Errors
    /// A problem when it is not an object with the one text by which it is asked for. `at` is relative to the element.
    pub fn parse(kind: ItemKind, raw: Box<RawValue>) -> Result<Self, Problem> {
        let member = kind.identity();
        let identity = {
            let Some(fields) = Fields::of(&raw) else { return Err(Problem::error("", "is not an object")) };
            if fields.count(member) > 1 {
                return Err(Problem::error(member, "stands twice"));
            }
            fields.get(member).and_then(|text| serde_json::from_str::<String>(text.get()).ok())
        };
        match identity {
            Some(identity) if !identity.is_empty() => Ok(Self { kind, identity, raw }),
            _ => Err(Problem::error(member, "is not a string, or empty")),
        }
    }

    /// Its address, pattern or name on its server.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The element under another address, pattern or name. Every other member stays as it is.
    #[must_use]
    pub fn renamed(&self, identity: &str) -> Box<RawValue> {
        with_text(&self.raw, self.kind.identity(), identity)
    }
}

/// The object with another text in one of its members.
fn with_text(raw: &RawValue, member: &str, text: &str) -> Box<RawValue> {
    let mut json = Vec::new();
    write::string(&mut json, text);
    let json = write::into_text(json);
    match Fields::of(raw) {
        Some(fields) => write::into_raw(fields.to_json(Some((member, &json)))),
        None => raw.to_owned(),
    }
}

/// The answer to `resources/read` with other addresses of its contents. Everything else stays as it is.
#[must_use]
pub fn with_addresses(result: &RawValue, rename: impl Fn(&str) -> String) -> Box<RawValue> {
    let rename = &|content: &RawValue| readdressed(content, &rename);
    in_member(result, "contents", &|contents| in_list(contents, rename)).unwrap_or_else(|| result.to_owned())
}

/// Whether a result can have resources in it or lead to some. Hardly any does, and results can be large.
pub(crate) fn may_have_resources(result: &RawValue) -> bool {
    memmem::find(result.get().as_bytes(), b"\"resource").is_some()
}

/// The result of a tool or a prompt with other addresses of the resources that it has inside (`resource`) or leads to
/// (`resource_link`). Everything else stays as it is; nothing where there is nothing to change.
pub(crate) fn with_linked_addresses(
    result: &RawValue,
    rename: &dyn Fn(&str) -> String,
) -> Option<Box<RawValue>> {
    let block = &|block: &RawValue| in_block(block, rename);
    // A tool's content is a list of blocks. A prompt's messages have one each, or a list of them.
    let message = &|message: &RawValue| {
        in_member(message, "content", &|content| match in_block(content, rename) {
            Some(block) => Some(block.get().to_owned()),
            None => in_list(content, block),
        })
    };
    in_member(result, "content", &|content| in_list(content, block))
        .or_else(|| in_member(result, "messages", &|messages| in_list(messages, message)))
}

/// A block of content whose resource has another address.
fn in_block(block: &RawValue, rename: &dyn Fn(&str) -> String) -> Option<Box<RawValue>> {
    let kind: String = serde_json::from_str(Fields::of(block)?.get("type")?.get()).ok()?;
    match kind.as_str() {
        "resource" => {
            in_member(block, "resource", &|resource| Some(readdressed(resource, rename)?.get().to_owned()))
        }
        "resource_link" => readdressed(block, rename),
        _ => None,
    }
}

/// A resource under another address, if it has one.
fn readdressed(resource: &RawValue, rename: &dyn Fn(&str) -> String) -> Option<Box<RawValue>> {
    let address: String = serde_json::from_str(Fields::of(resource)?.get("uri")?.get()).ok()?;
    Some(with_text(resource, "uri", &rename(&address)))
}

/// An object with another value of a member, where that is to change.
fn in_member(
    object: &RawValue,
    member: &str,
    change: &dyn Fn(&RawValue) -> Option<String>,
) -> Option<Box<RawValue>> {
    let fields = Fields::of(object)?;
    let changed = change(fields.get(member)?)?;
    Some(write::into_raw(fields.to_json(Some((member, &changed)))))
}

/// A list with other elements in place of those that are to change, if one is.
fn in_list(list: &RawValue, change: &dyn Fn(&RawValue) -> Option<Box<RawValue>>) -> Option<String> {
    let elements: Vec<&RawValue> = serde_json::from_str(list.get()).ok()?;
    let changed: Vec<_> = elements.iter().map(|element| change(element)).collect();
    if changed.iter().all(Option::is_none) {
        return None;
    }
    let texts = elements.iter().zip(&changed).map(|(own, other)| other.as_deref().unwrap_or(own).get());
    Some(format!("[{}]", texts.collect::<Vec<_>>().join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    #[test]
    fn an_item_keeps_everything_but_its_name() {
        let json = r#"{"x":{"deep" :1.0},"uri":"a://b","name":"n"}"#;
        let item = Item::parse(ItemKind::Resource, raw(json)).unwrap();
        assert_eq!(item.identity(), "a://b");
        assert_eq!(item.renamed("c\"d").get(), r#"{"x":{"deep" :1.0},"uri":"c\"d","name":"n"}"#);
        assert_eq!(Item::parse(ItemKind::Prompt, raw(json)).unwrap().identity(), "n");
        for bad in ["[]", "{}", r#"{"uri":1}"#, r#"{"uri":""}"#, r#"{"uri":"a","uri":"b"}"#] {
            assert!(Item::parse(ItemKind::Resource, raw(bad)).is_err(), "{bad}");
        }
        assert!(Item::parse(ItemKind::Template, raw(json)).is_err());
    }

    #[test]
    fn contents_get_other_addresses() {
        let result = raw(r#"{"contents":[{"uri":"a://b","text":"t" ,"n":1.0},{"blob":"x"}],"_meta":{}}"#);
        assert_eq!(
            with_addresses(&result, |uri| format!("h/{uri}")).get(),
            r#"{"contents":[{"uri":"h/a://b","text":"t","n":1.0},{"blob":"x"}],"_meta":{}}"#
        );
        for odd in ["{}", r#"{"contents":1}"#] {
            assert_eq!(with_addresses(&raw(odd), str::to_owned).get(), odd);
        }
    }

    #[test]
    fn resources_in_results_get_other_addresses_and_nothing_else_does() {
        let rename = |uri: &str| format!("h/{uri}");
        let renamed =
            |json: &str| with_linked_addresses(&raw(json), &rename).map(|result| result.get().to_owned());
        let tool = r#"{"x" : 1.0,"content":[{"type":"text","text":"a://b" },{"type":"resource_link","uri":"a://b","n":1e2},{"type":"resource","resource":{"uri":"c:","text":"uri"},"uri":"d:"}],"structuredContent":{"uri":"a://b"}}"#;
        assert_eq!(
            renamed(tool).as_deref(),
            Some(
                r#"{"x":1.0,"content":[{"type":"text","text":"a://b" },{"type":"resource_link","uri":"h/a://b","n":1e2},{"type":"resource","resource":{"uri":"h/c:","text":"uri"},"uri":"d:"}],"structuredContent":{"uri":"a://b"}}"#
            )
        );
        let prompt = r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"a:","text":""}}},{"role":"user","content":{"type":"text","text":"t"}},{"role":"user","content":[{"type":"resource_link","uri":"b:","name":"b"}]}]}"#;
        assert_eq!(
            renamed(prompt).as_deref(),
            Some(
                r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"h/a:","text":""}}},{"role":"user","content":{"type":"text","text":"t"}},{"role":"user","content":[{"type":"resource_link","uri":"h/b:","name":"b"}]}]}"#
            )
        );
        for untouched in [
            "[]",
            "{}",
            r#"{"content":{"type":"resource_link","uri":"a:"}}"#,
            r#"{"content":[{"type":"text","uri":"a:"},7,{"type":"resource"},{"type":"resource_link","uri":1}]}"#,
            r#"{"structuredContent":[{"type":"resource_link","uri":"a:"}]}"#,
        ] {
            assert_eq!(renamed(untouched), None, "{untouched}");
        }
        assert!(may_have_resources(&raw(tool)) && may_have_resources(&raw(prompt)));
        assert!(!may_have_resources(&raw(r#"{"content":[{"type":"text","text":"a resource"}]}"#)));
    }
}
