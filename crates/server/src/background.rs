//! Loops beside the requests. Each round is idempotent; a failed round is logged and the next one
//! goes on. While the master key is sealed, those that need it rest.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::Duration as Span;
use clm_core::api_keys::usage;
use clm_core::mail::delivery;
use clm_core::{health, reconcile, relay, rights_changes};
use clm_database::DatabaseError;
use clm_database::pool::Listener;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::services::{CoreSide, SecureSide, Side};
use crate::tls::TransportIdentity;

/// Acknowledging what the hot path applied.
const ACKNOWLEDGE_PERIOD: Duration = Duration::from_millis(200);
/// Delivering what was missed.
const RELAY_PERIOD: Duration = Duration::from_millis(500);
/// Looking at whose rights changed. An identity is trusted for a second after a look.
const RIGHTS_PERIOD: Duration = Duration::from_millis(400);
/// Looking for mails that are due.
const MAIL_PERIOD: Duration = Duration::from_secs(1);
/// Trying to listen again after the connection broke.
const LISTEN_PERIOD: Duration = Duration::from_secs(2);
/// Writing how often API keys were used.
const USAGE_PERIOD: Duration = Duration::from_secs(5);
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
/// The same while there is none.
const TLS_MISSING_PERIOD: Duration = Duration::from_secs(15);
/// Certificates younger than this may be under way while both databases are compared.
pub(crate) const SETTLE_SECONDS: i64 = 60;

/// Loops that end with a signal.
pub(crate) struct Loops<'a> {
    pub(crate) tasks: &'a TaskTracker,
    pub(crate) stop: &'a CancellationToken,
}

/// Starts the loops of the core.
pub(crate) fn start_core(
    core: &Arc<CoreSide>,
    identity: Option<Arc<TransportIdentity>>,
    loops: &Loops<'_>,
) {
    loops.every(
        ("acknowledge", Pace::every(ACKNOWLEDGE_PERIOD).unsealed()),
        core,
        |side| {
            Box::pin(async move {
                while relay::acknowledge_pending(&side.core).await? > 0 {}
                Ok(())
            })
        },
    );
    loops.every(
        ("relay", Pace::every(RELAY_PERIOD).unsealed()),
        core,
        |side| {
            Box::pin(async move {
                while relay::deliver_events(&side.core).await? > 0 {}
                Ok(())
            })
        },
    );
    loops.every(
        ("maintenance", Pace::every(MAINTENANCE_PERIOD).at_once()),
        core,
        |side| Box::pin(async move { Ok(health::maintain(&side.core).await?) }),
    );
    let usage = Pace::every(USAGE_PERIOD);
    loops.every(("API key usage", usage), core, |side| {
        Box::pin(async move { Ok(usage::write(&side.core).await?) })
    });
    loops.every(("mail", Pace::every(MAIL_PERIOD)), core, |side| {
        Box::pin(async move {
            while delivery::deliver(&side.core).await? > 0 {}
            Ok(())
        })
    });
    loops.every(("reconcile", Pace::every(RECONCILE_PERIOD)), core, |side| {
        Box::pin(compare(side))
    });
    let following = follow_rights(Arc::clone(core), loops.stop.clone());
    loops.tasks.spawn(following);
    if let Some(identity) = identity {
        let renewing = renew_identity(identity, Arc::clone(core), loops.stop.clone());
        loops.tasks.spawn(renewing);
    }
}

/// Starts the loops of the Secure Service.
pub(crate) fn start_secure(secure: &Arc<SecureSide>, loops: &Loops<'_>) {
    loops.every(
        ("partitions", Pace::every(MAINTENANCE_PERIOD).at_once()),
        secure,
        |side| {
            Box::pin(async move {
                side.secure.ensure_audit_partitions().await?;
                Ok(())
            })
        },
    );
    loops.every(
        ("key upkeep", Pace::every(KEY_UPKEEP_PERIOD).unsealed()),
        secure,
        |side| {
            Box::pin(async move {
                side.secure.remove_expired_factors().await?;
                Ok(side.secure.maintain_keys().await?)
            })
        },
    );
    loops.every(
        ("master key", Pace::every(MASTER_KEY_PERIOD)),
        secure,
        |side| Box::pin(async move { Ok(side.secure.watch_over_master_key().await?) }),
    );
    let rotating = rotate_keys(Arc::clone(secure), loops.stop.clone());
    loops.tasks.spawn(rotating);
}

impl Loops<'_> {
    fn every<S: Side>(&self, (name, pace): (&'static str, Pace), side: &Arc<S>, round: Round<S>) {
        let repeated = repeat((name, pace), Arc::clone(side), round, self.stop.clone());
        self.tasks.spawn(repeated);
    }
}

/// Compares both databases, and says what differs.
async fn compare(side: Arc<CoreSide>) -> anyhow::Result<()> {
    let found = reconcile::check(&side.core, Span::seconds(SETTLE_SECONDS)).await?;
    metrics::gauge!("clm_reconcile_differences").set(found.len() as f64);
    for difference in found.iter().take(100) {
        tracing::error!(difference = %difference, "the two databases differ");
    }
    reconcile::record(&side.core, &found).await?;
    Ok(())
}

/// Looks after the HTTPS certificate.
async fn renew_identity(
    identity: Arc<TransportIdentity>,
    side: Arc<CoreSide>,
    stop: CancellationToken,
) {
    loop {
        let pause = match identity.is_missing() {
            true => TLS_MISSING_PERIOD,
            false => TLS_PERIOD,
        };
        if !rest(pause, &stop).await {
            return;
        }
        if !side.has_key() {
            continue;
        }
        let now = side.clock.now();
        if let Err(error) = identity.renew_if_due(&side.core, now).await {
            tracing::info!(error.detail = %error, "there is no new HTTPS certificate");
        }
    }
}

/// Forgets identities whose rights changed. The looks follow each other whatever happens; what is heard
/// only makes the next one come sooner.
async fn follow_rights(side: Arc<CoreSide>, stop: CancellationToken) {
    let mut listener = None;
    let mut listen_at = Instant::now();
    let mut has_failed = false;
    loop {
        let looked = rights_changes::look(&side.core).await;
        if let Err(error) = &looked
            && !has_failed
        {
            tracing::warn!(error.detail = %error,
                "changed rights cannot be looked at; until they can, credentials are looked up anew");
        }
        has_failed = looked.is_err();
        if listener.is_none() && Instant::now() >= listen_at {
            listener = rights_changes::listen(&side.core).await.ok();
            listen_at = Instant::now() + LISTEN_PERIOD;
        }
        tokio::select! {
            () = tokio::time::sleep(RIGHTS_PERIOD) => {}
            heard = hear(&mut listener) => if heard.is_err() {
                listener = None;
            },
            () = stop.cancelled() => return,
        }
    }
}

/// Waits for a message; for ever, where nobody listens.
async fn hear(listener: &mut Option<Listener>) -> Result<(), DatabaseError> {
    match listener {
        Some(listener) => listener.hear().await,
        None => std::future::pending().await,
    }
}

/// Carries on rotations of keys, as fast as each of them may go.
async fn rotate_keys(side: Arc<SecureSide>, stop: CancellationToken) {
    let mut pause = KEY_ROTATION_PERIOD;
    while rest(pause, &stop).await {
        if !side.has_key() {
            pause = KEY_ROTATION_PERIOD;
            continue;
        }
        pause = match side.secure.rotate_keys().await {
            Ok(Some(next)) => {
                let until = next - side.clock.now();
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
pub(crate) fn keep_metrics_small(metrics: PrometheusHandle, loops: &Loops<'_>) {
    let stop = loops.stop.clone();
    loops.tasks.spawn(async move {
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

    /// The first round comes without a rest.
    const fn at_once(mut self) -> Self {
        self.first = Duration::ZERO;
        self
    }

    /// No round while the master key is sealed.
    const fn unsealed(mut self) -> Self {
        self.needs_key = true;
        self
    }
}

type Round<S> = fn(Arc<S>) -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

async fn repeat<S: Side>(
    (name, pace): (&'static str, Pace),
    side: Arc<S>,
    round: Round<S>,
    stop: CancellationToken,
) {
    let mut pause = pace.first;
    while rest(pause, &stop).await {
        pause = pace.period;
        if pace.needs_key && !side.has_key() {
            continue;
        }
        if let Err(error) = round(Arc::clone(&side)).await {
            metrics::counter!("clm_background_failures_total", "loop" => name).increment(1);
            tracing::warn!(loop.name = name, error.detail = %format!("{error:#}"),
                "a background round failed and will be repeated");
        }
    }
}

/// Waits; `false` at the stop.
pub(crate) async fn rest(period: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = tokio::time::sleep(period) => true,
        () = stop.cancelled() => false,
    }
}
