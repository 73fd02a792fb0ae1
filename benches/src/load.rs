//! Load: so many clients, each asking again as soon as it is answered, for so long.
//!
//! The same driver runs every subject, so that what it costs is the same for all of them.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::JoinSet;

/// How long a client rests after a failure, so that a dead subject is not asked in a tight loop.
const FAILURE_PAUSE: Duration = Duration::from_millis(50);

/// Somebody who asks for one certificate after the other.
pub(crate) trait Client: Send + 'static {
    /// Gets one certificate.
    fn issue(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// How long load lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    /// Connections are made and statements prepared; not counted.
    pub(crate) warm_up: Duration,
    /// What is counted.
    pub(crate) measured: Duration,
}

/// What one measurement gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// Certificates per second.
    pub(crate) per_second: f64,
    /// Half of the answers took at most so many milliseconds.
    pub(crate) p50_ms: f64,
    /// 99 of 100 answers took at most so many milliseconds.
    pub(crate) p99_ms: f64,
    /// Answers that were no certificate, warm-up included.
    pub(crate) failures: u64,
    /// What the first of them said.
    pub(crate) first_failure: Option<String>,
}

/// Lets the clients work at the same time.
///
/// # Errors
/// When a client panicked.
pub(crate) async fn run<C: Client>(clients: Vec<C>, period: Period) -> anyhow::Result<Sample> {
    let begin = Instant::now() + period.warm_up;
    let end = begin + period.measured;
    let mut tasks = JoinSet::new();
    for client in clients {
        tasks.spawn(work(client, begin, end));
    }
    let mut total = Tally::default();
    while let Some(tally) = tasks.join_next().await {
        total.add(tally.context("a client of the load broke off")?);
    }
    Ok(total.sample(period.measured))
}

/// An answer counts in the window in which it arrives, so that neither edge favours anybody.
async fn work<C: Client>(mut client: C, begin: Instant, end: Instant) -> Tally {
    let mut tally = Tally::default();
    loop {
        let asked = Instant::now();
        if asked >= end {
            return tally;
        }
        match client.issue().await {
            Ok(()) => {
                let answered = Instant::now();
                if answered >= begin && answered < end {
                    tally.latencies.push(answered - asked);
                }
            }
            Err(error) => {
                tally.fail(format!("{error:#}"));
                tokio::time::sleep(FAILURE_PAUSE).await;
            }
        }
    }
}

#[derive(Debug, Default)]
struct Tally {
    latencies: Vec<Duration>,
    failures: u64,
    first_failure: Option<String>,
}

impl Tally {
    fn fail(&mut self, message: String) {
        self.failures += 1;
        self.first_failure.get_or_insert(message);
    }

    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.failures += other.failures;
        if self.first_failure.is_none() {
            self.first_failure = other.first_failure;
        }
    }

    fn sample(mut self, measured: Duration) -> Sample {
        self.latencies.sort_unstable();
        let answers = u32::try_from(self.latencies.len()).unwrap_or(u32::MAX);
        Sample {
            per_second: f64::from(answers) / measured.as_secs_f64(),
            p50_ms: percentile_ms(&self.latencies, 50),
            p99_ms: percentile_ms(&self.latencies, 99),
            failures: self.failures,
            first_failure: self.first_failure,
        }
    }
}

/// The nearest-rank percentile of sorted values; 0 without values.
fn percentile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted
        .get(rank.saturating_sub(1))
        .map_or(0.0, |latency| latency.as_secs_f64() * 1_000.0)
}
