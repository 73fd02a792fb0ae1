//! Loops beside the requests. Each round is idempotent; a failed round is logged and the next one
//! goes on. While the master key is sealed, those that need it rest.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use chrono::Duration as Span;
use clm_core::{health, reconcile, relay};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::services::Services;
use crate::tls::TransportIdentity;

/// Acknowledging what the hot path applied.
const ACKNOWLEDGE_PERIOD: Duration = Duration::from_millis(200);
/// Delivering what was missed.
const RELAY_PERIOD: Duration = Duration::from_millis(500);
/// Looking for rotations of keys that are due. One that is under way sets its own pace.
const KEY_ROTATION_PERIOD: Duration = Duration::from_secs(1);
/// Starting scheduled rotations, and destroying old keys.
const KEY_UPKEEP_PERIOD: Duration = Duration::from_secs(60);
/// Hearing of a master key that another process has put into force; forgetting shares.
const MASTER_KEY_PERIOD: Duration = Duration::from_secs(5);
/// Removing what expired; audit partitions.
const MAINTENANCE_PERIOD: Duration = Duration::from_secs(3_600);
/// Emptying the buffers of the metrics.
const METRICS_PERIOD: Duration = Duration::from_secs(5);
/// Comparing both databases.
const RECONCILE_PERIOD: Duration = Duration::from_secs(3_600);
/// Looking after the HTTPS certificate.
const TLS_PERIOD: Duration = Duration::from_secs(600);
/// Certificates younger than this may be under way while both databases are compared.
pub(crate) const SETTLE_SECONDS: i64 = 60;

/// Starts every loop; they end with `stop`.
pub(crate) fn start(
    services: &Arc<Services>,
    identity: Option<Arc<TransportIdentity>>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let every = |name, pace, services: &Arc<Services>, round: Round| {
        tasks.spawn(repeat(
            name,
            pace,
            Arc::clone(services),
            round,
            stop.clone(),
        ));
    };
    every(
        "acknowledge",
        Pace::every(ACKNOWLEDGE_PERIOD).unsealed(),
        services,
        |services| {
            Box::pin(async move {
                while relay::acknowledge_pending(&services.core).await? > 0 {}
                Ok(())
            })
        },
    );
    every(
        "relay",
        Pace::every(RELAY_PERIOD).unsealed(),
        services,
        |services| {
            Box::pin(async move {
                while relay::deliver_events(&services.core).await? > 0 {}
                Ok(())
            })
        },
    );
    let at_once = Pace {
        first: Duration::ZERO,
        ..Pace::every(MAINTENANCE_PERIOD)
    };
    every("maintenance", at_once, services, |services| {
        Box::pin(async move {
            health::maintain(&services.core).await?;
            services.secure.ensure_audit_partitions().await?;
            Ok(())
        })
    });
    every(
        "key upkeep",
        Pace::every(KEY_UPKEEP_PERIOD).unsealed(),
        services,
        |services| {
            Box::pin(async move {
                services.secure.remove_expired_factors().await?;
                Ok(services.secure.maintain_keys().await?)
            })
        },
    );
    every(
        "master key",
        Pace::every(MASTER_KEY_PERIOD),
        services,
        |services| Box::pin(async move { Ok(services.secure.watch_over_master_key().await?) }),
    );
    tasks.spawn(rotate_keys(Arc::clone(services), stop.clone()));
    every(
        "reconcile",
        Pace::every(RECONCILE_PERIOD),
        services,
        |services| Box::pin(compare(services)),
    );
    if let Some(identity) = identity {
        tasks.spawn(renew_identity(identity, Arc::clone(services), stop.clone()));
    }
}

/// Compares both databases, and says what differs.
async fn compare(services: Arc<Services>) -> anyhow::Result<()> {
    let found = reconcile::check(&services.core, Span::seconds(SETTLE_SECONDS)).await?;
    metrics::gauge!("clm_reconcile_differences").set(found.len() as f64);
    for difference in found.iter().take(100) {
        tracing::error!(difference = %difference, "the two databases differ");
    }
    reconcile::record(&services.core, &found).await?;
    Ok(())
}

/// Looks after the HTTPS certificate.
async fn renew_identity(
    identity: Arc<TransportIdentity>,
    services: Arc<Services>,
    stop: CancellationToken,
) {
    while rest(TLS_PERIOD, &stop).await {
        if services.secure.is_sealed() {
            continue;
        }
        let now = services.clock.now();
        if let Err(error) = identity.renew_if_due(&services.core, now).await {
            tracing::warn!(error.detail = %error, "the HTTPS certificate was not renewed");
        }
    }
}

/// Carries on rotations of keys, as fast as each of them may go.
async fn rotate_keys(services: Arc<Services>, stop: CancellationToken) {
    let mut pause = KEY_ROTATION_PERIOD;
    while rest(pause, &stop).await {
        if services.secure.is_sealed() {
            pause = KEY_ROTATION_PERIOD;
            continue;
        }
        pause = match services.secure.rotate_keys().await {
            Ok(Some(next)) => {
                let until = next - services.clock.now();
                until.to_std().unwrap_or_default().min(KEY_ROTATION_PERIOD)
            }
            Ok(None) => KEY_ROTATION_PERIOD,
            Err(error) => {
                let name = "key rotation";
                metrics::counter!("clm_background_failures_total", "loop" => name).increment(1);
                tracing::warn!(loop.name = name, error.detail = %error,
                    "a background round failed and will be repeated");
                KEY_ROTATION_PERIOD
            }
        };
    }
}

/// Empties the recorder's buffers, which otherwise grow until somebody asks for `/metrics`.
pub(crate) fn keep_metrics_small(
    metrics: PrometheusHandle,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let stop = stop.clone();
    tasks.spawn(async move {
        while rest(METRICS_PERIOD, &stop).await {
            metrics.run_upkeep();
        }
    });
}

/// When the rounds of a loop come.
#[derive(Clone, Copy)]
struct Pace {
    /// Before the first round.
    first: Duration,
    /// Between two rounds.
    period: Duration,
    /// Whether rounds are left out while the master key is sealed.
    needs_key: bool,
}

impl Pace {
    /// Rests before the first round as before each other.
    const fn every(period: Duration) -> Self {
        Self {
            first: period,
            period,
            needs_key: false,
        }
    }

    /// No round while the master key is sealed.
    const fn unsealed(mut self) -> Self {
        self.needs_key = true;
        self
    }
}

type Round =
    fn(Arc<Services>) -> std::pin::Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

async fn repeat(
    name: &'static str,
    pace: Pace,
    services: Arc<Services>,
    round: Round,
    stop: CancellationToken,
) {
    let mut pause = pace.first;
    while rest(pause, &stop).await {
        pause = pace.period;
        if pace.needs_key && services.secure.is_sealed() {
            continue;
        }
        if let Err(error) = round(Arc::clone(&services)).await {
            metrics::counter!("clm_background_failures_total", "loop" => name).increment(1);
            tracing::warn!(loop.name = name, error.detail = %format!("{error:#}"),
                "a background round failed and will be repeated");
        }
    }
}

/// Waits; `false` at the stop.
async fn rest(period: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = tokio::time::sleep(period) => true,
        () = stop.cancelled() => false,
    }
}
