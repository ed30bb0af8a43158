//! Random bytes from the operating system, for everything that must not be guessed.

use rand::{TryRng as _, rngs::SysRng};

/// Fresh random bytes.
///
/// # Panics
/// Where the operating system has no random source: nothing that this program makes would be safe.
#[must_use]
#[expect(clippy::expect_used, reason = "a secret that could be guessed is worse than a crash")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).expect("the operating system has a random source");
    bytes
}
