//! A value that must never be shown: not by `Debug`, not in a log, not in an answer.

use std::fmt;

use zeroize::Zeroize;

/// What a masked secret looks like wherever a person reads it. Sent back unchanged, it keeps the stored value.
pub const MASK: &str = "••••••••";

/// A secret from the wire to the vault. It has no `Serialize`, no `Display`, and its memory is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps a value; from here on it is only seen through [`Secret::expose`].
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Call it only where the secret leaves for the one that needs it.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_the_value() {
        let secret = Secret::new(String::from("sk_live_canary"));
        assert!(!format!("{secret:?} {:?}", Some(&secret)).contains("canary"));
        assert_eq!(secret.expose(), "sk_live_canary");
    }
}
