//! Counting.

use super::*;

struct Paced {
    pause: Duration,
    fails: bool,
}

impl Client for Paced {
    async fn issue(&mut self) -> anyhow::Result<()> {
        tokio::time::sleep(self.pause).await;
        anyhow::ensure!(!self.fails, "refused");
        Ok(())
    }
}

#[test]
fn percentiles_are_nearest_ranks() {
    let values: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
    assert_eq!(percentile_ms(&values, 50), 50.0);
    assert_eq!(percentile_ms(&values, 99), 99.0);
    assert_eq!(percentile_ms(&values[..1], 99), 1.0);
    assert_eq!(percentile_ms(&[], 50), 0.0);
}

#[tokio::test]
async fn answers_within_the_window_are_counted() {
    let period = Period {
        warm_up: Duration::from_millis(50),
        measured: Duration::from_millis(200),
    };
    let clients = (0..4)
        .map(|_| Paced {
            pause: Duration::from_millis(10),
            fails: false,
        })
        .collect();
    let sample = run(clients, period).await.unwrap();
    assert_eq!(sample.failures, 0);
    // Four clients cannot get more than 400 in a second, and a busy machine gives them fewer.
    assert!(sample.per_second > 0.0 && sample.per_second <= 440.0);
    assert!(sample.p50_ms >= 10.0 && sample.p99_ms >= sample.p50_ms);
}

#[tokio::test]
async fn failures_are_counted_and_the_first_is_kept() {
    let period = Period {
        warm_up: Duration::ZERO,
        measured: Duration::from_millis(60),
    };
    let client = Paced {
        pause: Duration::ZERO,
        fails: true,
    };
    let sample = run(vec![client], period).await.unwrap();
    assert!(sample.failures > 0);
    assert_eq!(sample.first_failure.as_deref(), Some("refused"));
    assert_eq!(sample.per_second, 0.0);
}
