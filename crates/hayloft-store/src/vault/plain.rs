//! What is inside a sealed record: JSON, written without leaving copies of it in freed memory.

use std::io::{self, Write};

use hayloft_model::config::{ConfigValues, Credentials};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use zeroize::{Zeroize, Zeroizing};

use super::DoesNotOpen;

/// The bytes that stand for an organization's values.
pub(crate) fn write_values(values: &ConfigValues) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
    write(&Values(values))
}

/// The bytes that stand for credentials, or for none: both are sealed, so that taking them away shows.
pub(crate) fn write_credentials(
    credentials: Option<&Credentials>,
) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
    write(&credentials.map(|credentials| WrittenCredentials {
        method_id: &credentials.method_id,
        values: Values(&credentials.values),
    }))
}

/// Values as they were written.
pub(crate) fn read_values(plain: &[u8]) -> Result<ConfigValues, DoesNotOpen> {
    let fields: IndexMap<String, Value> = read(plain)?;
    Ok(fields.into_iter().collect())
}

/// Credentials as they were written.
pub(crate) fn read_credentials(plain: &[u8]) -> Result<Option<Credentials>, DoesNotOpen> {
    let credentials: Option<ReadCredentials> = read(plain)?;
    Ok(credentials.map(|credentials| Credentials {
        method_id: credentials.method_id,
        values: credentials.values.into_iter().collect(),
    }))
}

struct Values<'a>(&'a ConfigValues);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

#[derive(Serialize)]
struct WrittenCredentials<'a> {
    method_id: &'a str,
    values: Values<'a>,
}

#[derive(Deserialize)]
struct ReadCredentials {
    method_id: String,
    values: IndexMap<String, Value>,
}

fn write(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
    let mut buffer = WipingBuffer(Zeroizing::new(Vec::with_capacity(512)));
    serde_json::to_writer(&mut buffer, value).map_err(|_| DoesNotOpen)?;
    Ok(buffer.0)
}

/// The parser's own message is dropped: it could repeat a part of the secret.
fn read<'a, T: Deserialize<'a>>(plain: &'a [u8]) -> Result<T, DoesNotOpen> {
    serde_json::from_slice(plain).map_err(|_| DoesNotOpen)
}

/// A buffer that wipes its old memory when it has to grow.
struct WipingBuffer(Zeroizing<Vec<u8>>);

impl Write for WipingBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.capacity() - self.0.len() < bytes.len() {
            let mut larger = Vec::with_capacity((self.0.len() + bytes.len()) * 2);
            larger.extend_from_slice(&self.0);
            self.0.zeroize();
            self.0 = Zeroizing::new(larger);
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_and_credentials_read_back_in_order() {
        let values: ConfigValues = [
            ("zulu".to_owned(), json!("z".repeat(3000))),
            ("alpha".to_owned(), json!({ "nested": [1, 2.5, null, true, "\u{0}é"] })),
        ]
        .into_iter()
        .collect();
        let read = read_values(&write_values(&values).unwrap()).unwrap();
        assert_eq!(read, values);
        assert_eq!(read.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["zulu", "alpha"]);

        let credentials = Credentials { method_id: "key".into(), values };
        for credentials in [Some(credentials), None] {
            let plain = write_credentials(credentials.as_ref()).unwrap();
            assert_eq!(read_credentials(&plain).unwrap(), credentials);
        }
    }
}
