//! What servers offer beside tools: resources, templates of resources, and prompts. Raw as their servers wrote them, but
//! for the one member by which clients ask for them.

use hayloft_model::Problem;
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
    let Some(fields) = Fields::of(result) else { return result.to_owned() };
    let contents =
        fields.get("contents").and_then(|raw| serde_json::from_str::<Vec<&RawValue>>(raw.get()).ok());
    let Some(contents) = contents else { return result.to_owned() };
    let renamed = contents.into_iter().map(|content| {
        let address = Fields::of(content)
            .and_then(|fields| serde_json::from_str::<String>(fields.get("uri")?.get()).ok());
        match address {
            Some(address) => with_text(content, "uri", &rename(&address)),
            None => content.to_owned(),
        }
    });
    let list: Vec<Box<RawValue>> = renamed.collect();
    let list: Vec<&str> = list.iter().map(|content| content.get()).collect();
    write::into_raw(fields.to_json(Some(("contents", &format!("[{}]", list.join(","))))))
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
}
