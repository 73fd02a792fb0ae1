//! How long tests with faults go on, and where their chance begins: the only place that reads it.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// Rounds of a test in `make test`; `make soak` asks for more.
const ROUNDS_DEFAULT: u32 = 3;

/// What `SOAK_ROUNDS` and `SOAK_SEED` say.
#[derive(Clone, Copy, Debug)]
pub struct Soak {
    /// How many faults are made, one after the other.
    pub rounds: u32,
    /// Where randomness begins; another one each time unless given.
    pub seed: u64,
}

impl Soak {
    /// Reads the settings and prints the seed, so that a failure can be repeated.
    ///
    /// # Panics
    /// When a setting is no number.
    pub fn announce() -> Self {
        Self::begin(|| RandomState::new().build_hasher().finish())
    }

    /// The same with a seed for when none is given: chance decides what is done there, not when.
    ///
    /// # Panics
    /// When a setting is no number.
    pub fn announce_from(seed: u64) -> Self {
        Self::begin(|| seed)
    }

    #[expect(clippy::print_stdout, reason = "shown when the test fails")]
    fn begin(seed: impl FnOnce() -> u64) -> Self {
        let soak = Self {
            rounds: number("SOAK_ROUNDS").map_or(ROUNDS_DEFAULT, |rounds| {
                u32::try_from(rounds).expect("SOAK_ROUNDS is small")
            }),
            seed: number("SOAK_SEED").unwrap_or_else(seed),
        };
        println!("SOAK_ROUNDS={} SOAK_SEED={}", soak.rounds, soak.seed);
        soak
    }
}

fn number(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "the settings of the long tests")]
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .expect("the settings of the long tests are whole numbers"),
    )
}
