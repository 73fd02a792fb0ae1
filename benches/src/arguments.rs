//! What can be typed, and what it means together.

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::load::Period;

/// Private keys that a rotation moves.
const ROTATED_KEYS: u32 = 100_000;
/// The same of a smoke test.
const QUICK_ROTATED_KEYS: u32 = 2_000;

/// Rounds of a run whose figures may be quoted.
const ROUNDS_DEFAULT: u32 = 5;
/// Fewer rounds give no median worth the name.
const ROUNDS_QUOTABLE_MIN: u32 = 3;
/// Seconds of one measurement.
const SECONDS_DEFAULT: u64 = 5;
/// The same of a smoke test.
const QUICK_SECONDS: u64 = 2;

/// Benchmarks of the certificate lifecycle platform, as ratios measured side by side.
#[derive(Clone, Debug, Parser)]
#[command(name = "clm-benches", version)]
pub(crate) struct Arguments {
    /// How often everything is measured; the figures are medians [default: 5].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: Option<u32>,
    /// How long each measurement lasts, after its warm-up [default: 5].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) seconds: Option<u64>,
    /// Numbers of clients that ask at the same time.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64],
        value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) clients: Vec<u16>,
    /// How many private keys a rotation moves [default: 100000].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    pub(crate) rotated_keys: Option<u32>,
    /// One short round: shows that everything runs, and measures nothing.
    #[arg(long)]
    pub(crate) quick: bool,
    /// What to measure.
    #[arg(long, value_enum, value_delimiter = ',',
        default_values_t = [Subject::Product, Subject::Remote, Subject::Bare, Subject::Cfssl,
            Subject::Access, Subject::Rotation])]
    pub(crate) subjects: Vec<Subject>,
    /// The program to measure; built from this checkout when absent.
    #[arg(long)]
    pub(crate) program: Option<PathBuf>,
    /// The cfssl program.
    #[arg(long, default_value = "cfssl")]
    pub(crate) cfssl: PathBuf,
    /// Where the databases live while they are measured, on the kind of disk that matters; not
    /// memory [default: /var/tmp].
    #[arg(long)]
    pub(crate) directory: Option<PathBuf>,
    /// The directory of PostgreSQL's programs; searched for when absent.
    #[arg(long, env = "CLM_PG_BIN")]
    pub(crate) pg_bin: Option<PathBuf>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    /// The platform over REST.
    Product,
    /// The same with core and Secure Service in two processes.
    Remote,
    /// The bare loop over two databases.
    Bare,
    /// `cfssl serve`.
    Cfssl,
    /// Decisions about access, and reads; needs the product.
    Access,
    /// Rotation of a data key; needs the product.
    Rotation,
}

/// How much is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How often.
    pub(crate) rounds: u32,
    /// How long each time.
    pub(crate) period: Period,
    /// Numbers of clients.
    pub(crate) clients: Vec<u16>,
    /// How many private keys a rotation moves.
    pub(crate) rotated_keys: u32,
    /// How many installations are started, twice each.
    pub(crate) installations: u32,
    /// How long an installation rests before its idle memory is read.
    pub(crate) rest: Duration,
    /// Whether the figures may be quoted.
    pub(crate) quotable: bool,
}

impl Arguments {
    /// Puts the arguments together.
    pub(crate) fn plan(&self) -> Plan {
        let (rounds, seconds) = if self.quick {
            (1, QUICK_SECONDS)
        } else {
            (ROUNDS_DEFAULT, SECONDS_DEFAULT)
        };
        let rounds = self.rounds.unwrap_or(rounds);
        Plan {
            rounds,
            period: Period {
                warm_up: Duration::from_millis(if self.quick { 500 } else { 1_000 }),
                measured: Duration::from_secs(self.seconds.unwrap_or(seconds)),
            },
            clients: self.clients.clone(),
            rotated_keys: self.rotated_keys.unwrap_or(if self.quick {
                QUICK_ROTATED_KEYS
            } else {
                ROTATED_KEYS
            }),
            installations: if self.quick { 1 } else { 3 },
            rest: Duration::from_secs(if self.quick { 1 } else { 5 }),
            quotable: !self.quick && rounds >= ROUNDS_QUOTABLE_MIN,
        }
    }

    /// Whether `subject` is wanted.
    pub(crate) fn wants(&self, subject: Subject) -> bool {
        self.subjects.contains(&subject)
    }
}
