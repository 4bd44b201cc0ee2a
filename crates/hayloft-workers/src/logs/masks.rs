//! The secrets of one worker, as they are looked for in what it writes.

use std::collections::VecDeque;

use hayloft_model::Secret;
use hayloft_model::config::ConfigValues;
use hayloft_model::secret::MASK;
use serde_json::Value;

/// Shorter values are no secrets that could be told from ordinary words.
const SHORTEST_SECRET: usize = 6;

/// Of the secrets that came later so many are known, and so many bytes of them; the oldest ones are forgotten first. A
/// plugin that renews its credentials without end does not fill the host's memory.
const LATER_SECRETS: usize = 256;
const LATER_BYTES: usize = 1 << 20;

/// The secrets of one worker.
#[derive(Default)]
pub(super) struct Masks {
    /// What it was bound to: never forgotten.
    bound: Vec<Secret<String>>,
    later: VecDeque<Secret<String>>,
    later_bytes: usize,
    /// All of them as they are looked for: a secret that contains another one goes first, or its rest would stay
    /// readable.
    ordered: Vec<Secret<String>>,
}

impl Masks {
    pub(super) fn bind(&mut self, secrets: &[Secret<String>]) {
        self.bound.extend(secrets.iter().filter(|secret| is_long(secret.expose())).cloned());
        self.order();
    }

    pub(super) fn add(&mut self, values: &ConfigValues) {
        let mut texts = Vec::new();
        values.iter().for_each(|(_, value)| long_texts(value, &mut texts));
        for text in texts {
            // One that is renewed to what it was is as good as new.
            let known = self.later.iter().position(|secret| secret.expose() == text);
            let secret = known.and_then(|known| self.later.remove(known)).unwrap_or_else(|| {
                self.later_bytes += text.len();
                Secret::new(text.to_owned())
            });
            self.later.push_back(secret);
        }
        while self.later.len() > LATER_SECRETS || self.later_bytes > LATER_BYTES {
            let Some(oldest) = self.later.pop_front() else { break };
            self.later_bytes -= oldest.expose().len();
        }
        self.order();
    }

    fn order(&mut self) {
        self.ordered = self.bound.iter().chain(&self.later).cloned().collect();
        self.ordered.sort_by(|one, other| {
            let (one, other) = (one.expose(), other.expose());
            other.len().cmp(&one.len()).then_with(|| one.cmp(other))
        });
        self.ordered.dedup();
    }

    pub(super) fn apply(&self, text: &str) -> String {
        self.ordered.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.expose()) { text.replace(secret.expose(), MASK) } else { text }
        })
    }
}

/// The first texts of a value that are long enough; what has more of them is no credential.
fn long_texts<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    if into.len() >= LATER_SECRETS {
        return;
    }
    match value {
        Value::String(text) if is_long(text) => into.push(text),
        Value::Array(items) => items.iter().for_each(|item| long_texts(item, into)),
        Value::Object(fields) => fields.values().for_each(|item| long_texts(item, into)),
        Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

fn is_long(text: &str) -> bool {
    text.len() >= SHORTEST_SECRET
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_that_come_later_are_masked_as_well_and_bounded() {
        let values = |text: String| -> ConfigValues {
            [("token".to_owned(), json!({ "nested": [text, "eu"] }))].into_iter().collect()
        };
        let mut masks = Masks::default();
        masks.bind(&[Secret::new("bound-secret".to_owned())]);
        masks.add(&values("bound-secret-and-more".into()));
        assert_eq!(masks.apply("bound-secret-and-more, bound-secret, eu"), format!("{MASK}, {MASK}, eu"));
        for index in 0..2 * LATER_SECRETS {
            masks.add(&values(format!("token-{index:05}")));
            masks.add(&values("token-00000".into()));
        }
        let last = 2 * LATER_SECRETS - 1;
        let told = masks.apply(&format!("bound-secret token-00000 token-00001 token-{last:05}"));
        assert_eq!(told, format!("{MASK} {MASK} token-00001 {MASK}"));
        for index in 0..4 {
            masks.add(&values(format!("{index}").repeat(LATER_BYTES / 2)));
            assert!(masks.later_bytes <= LATER_BYTES);
        }
        let bytes: usize = masks.later.iter().map(|secret| secret.expose().len()).sum();
        assert_eq!((masks.later_bytes, masks.later.len()), (bytes, 2));
        assert_eq!(masks.apply("bound-secret"), MASK);
    }
}
