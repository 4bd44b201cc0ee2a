//! Time and chance, as the machine has them. Only this crate asks the machine.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use chrono::{DateTime, Utc};
use hayloft_model::{Clock, Entropy};

/// The machine's time of day.
#[derive(Debug, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is handed")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// The random source of the cryptographic library.
#[derive(Debug)]
pub(crate) struct SystemEntropy(SystemRandom);

impl Default for SystemEntropy {
    fn default() -> Self {
        Self(SystemRandom::new())
    }
}

impl Entropy for SystemEntropy {
    #[expect(
        clippy::panic,
        reason = "without chance no key and no id can be made, and nothing may go on with a guess"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        if self.0.fill(bytes).is_err() {
            panic!("the machine gives no random bytes");
        }
    }
}
