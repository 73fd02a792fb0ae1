//! The quota of live certificates (`max_certificates`), held without a commit for each issuance.
//!
//! A process leases places in blocks and gives them out from memory. The database keeps, for each
//! organization with a quota, an upper bound of what it has: the live certificates when they were last
//! counted, and every place leased since. A block is leased while the bound allows it, under the lock
//! of that row; when it does not, the certificates are counted anew. Blocks are a fraction of what is
//! left, so that near the quota they shrink to one place, and the quota is exact.
//!
//! A place that was given out is *settled* when its certificate is in the inventory, *given back* when
//! none was issued, and *doubtful* when nobody knows: that one counts until its lease would have ended.
//! What a crash leaves is an unused lease, which ends by itself. Organizations without a quota are
//! looked at once in [`UNLIMITED_FOR`] and lease nothing. Authorities do not count.
//!
//! Start with [`take`].

mod memory;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clm_database::Scope;
use clm_domain::clock::uuid_v7;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::OrganizationId;
use sqlx::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

use crate::Core;
use crate::context::OpContext;
use crate::error::{CoreError, Result};
use crate::store::certificate_quotas::{self, Counted, QuotaRow};

pub use memory::CertificateQuotas;
use memory::{Found, Place, Quota};

/// How long an organization without a quota is not looked at again. A quota that another replica set
/// holds here after that time.
const UNLIMITED_FOR: Duration = Duration::from_secs(5);
/// How long a quota that is used up is not looked at again.
const FULL_FOR: Duration = Duration::from_millis(500);
/// How long a place is waited for while the last ones are with other processes, and how often one looks.
const ELSEWHERE_FOR: Duration = Duration::from_secs(1);
const ELSEWHERE_PAUSE: Duration = Duration::from_millis(50);
/// How long places of a lease are given out.
const LEASE_USED_FOR: Duration = Duration::from_secs(60);
/// How long a lease counts: as long as its places are given out, and then as long as requests that
/// have one may take.
const LEASE_COUNTS_SECONDS: i64 = 180;
/// How long a count of the certificates is relied on, in seconds: what expires meanwhile, or came in
/// another way, is seen then.
const COUNT_SECONDS: i64 = 60;
/// Most places of one block.
const BLOCK_MAX: i64 = 500;
/// A block takes one of so many parts of what is left.
const BLOCK_PARTS: i64 = 16;

/// A place in the quota for one certificate. Dropped without a word, it is doubtful.
pub(crate) struct Taken(Option<Place>);

/// Takes a place for a certificate that is about to be issued; waits while those of other requests,
/// which may come back, are the last ones.
///
/// # Errors
/// `PolicyViolation` with code `certificate_quota_exceeded`; those of the database.
pub(crate) async fn take(context: &OpContext, core: &Core) -> Result<Taken> {
    let organization_id = context.organization_id;
    let quota = core.certificate_quotas.of(organization_id);
    loop {
        match quota.take() {
            Found::Unlimited => return Ok(Taken(None)),
            Found::Place(place) => return Ok(Taken(Some(place))),
            Found::Full => return Err(exceeded()),
            Found::Nothing => {}
        }
        // One lease at a time; whoever waited for another's looks into the memory first.
        let _turn = quota.turn().await;
        if !quota.is_exhausted() {
            continue;
        }
        lease(context, core, &quota).await?;
    }
}

/// Leases another block, learns that there is no quota or none left, or waits until a place that is
/// under way is settled or comes back.
async fn lease(context: &OpContext, core: &Core, quota: &Quota) -> Result<()> {
    let begun = Instant::now();
    let mut ended = quota.ended();
    let was_under_way = quota.is_under_way();
    let now = core.clock.now();
    let ask = Ask {
        lease_id: quota.lease_id(|| uuid_v7(now, core.rng.as_ref())),
        organization_id: context.organization_id,
        outstanding: quota.outstanding(),
        now,
    };
    match lease_block(core, ask).await? {
        Granted::Unlimited => quota.set_unlimited(begun + UNLIMITED_FOR),
        Granted::Block(places) => quota.fill(places, begun + LEASE_USED_FOR),
        Granted::Nothing { .. } if was_under_way => {
            let left = (context.deadline - core.clock.now()).to_std();
            let waited = tokio::time::timeout(left.unwrap_or_default(), ended.changed()).await;
            if waited.is_err() {
                return Err(busy());
            }
        }
        // The last places are with other processes, which may not have said yet that they are settled.
        Granted::Nothing { elsewhere: true } if quota.is_short_for_less_than(ELSEWHERE_FOR) => {
            tokio::time::sleep(ELSEWHERE_PAUSE).await;
        }
        Granted::Nothing { .. } => quota.set_full(begun + FULL_FOR),
    }
    Ok(())
}

/// What a lease is asked for with.
#[derive(Clone, Copy, Debug)]
struct Ask {
    /// The lease of this process.
    lease_id: Uuid,
    organization_id: OrganizationId,
    /// Places that were given out and are not settled.
    outstanding: i64,
    now: DateTime<Utc>,
}

/// What asking came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Granted {
    Unlimited,
    Block(i64),
    Nothing {
        /// Whether processes beside this one have places that are not settled.
        elsewhere: bool,
    },
}

async fn lease_block(core: &Core, ask: Ask) -> Result<Granted> {
    let scope = Scope::Organization(ask.organization_id);
    core.pool
        .transact::<_, CoreError, _>("certificate_quotas::lease", scope, move |connection| {
            Box::pin(async move {
                let organization_id = ask.organization_id;
                let found = certificate_quotas::find_limit(connection, organization_id).await?;
                if found.is_none() {
                    return Ok(Granted::Unlimited);
                }
                let stored = certificate_quotas::lock(connection, organization_id).await?;
                // Anew: it may have been changed while others had the lock.
                let found = certificate_quotas::find_limit(connection, organization_id).await?;
                let Some((most, revision)) = found else {
                    return Ok(Granted::Unlimited);
                };
                let mut row = bound(connection, ask, (most, revision), stored).await?;
                let block = block(room(most, &row.counted));
                let elsewhere = row.counted.granted > ask.outstanding;
                row.counted.granted += block;
                certificate_quotas::update(connection, ask.organization_id, &row).await?;
                let places = ask.outstanding + block;
                let ends_at = ask.now + TimeDelta::seconds(LEASE_COUNTS_SECONDS);
                let named = (ask.organization_id, ask.lease_id);
                certificate_quotas::put_lease(connection, named, (places, ends_at)).await?;
                Ok(match block {
                    0 => Granted::Nothing { elsewhere },
                    block => Granted::Block(block),
                })
            })
        })
        .await
}

/// The bound as it was stored, if it still holds and leaves a place; else the certificates are counted.
async fn bound(
    connection: &mut PgConnection,
    ask: Ask,
    (most, revision): (i64, i64),
    stored: Option<QuotaRow>,
) -> sqlx::Result<QuotaRow> {
    let holds = |row: &QuotaRow| is_current(row, revision, ask.now) && room(most, &row.counted) > 0;
    if let Some(row) = stored.filter(holds) {
        return Ok(row);
    }
    let named = (ask.organization_id, ask.lease_id);
    let mut counted = certificate_quotas::count(connection, named, ask.now).await?;
    counted.granted += ask.outstanding;
    Ok(QuotaRow {
        counted,
        revision,
        counted_at: ask.now,
    })
}

/// Whether the bound still holds: the quota, and what counts, may have changed since.
fn is_current(row: &QuotaRow, revision: i64, now: DateTime<Utc>) -> bool {
    row.revision == revision && row.counted_at + TimeDelta::seconds(COUNT_SECONDS) > now
}

/// How many certificates there can still be for sure.
const fn room(most: i64, counted: &Counted) -> i64 {
    most.saturating_sub(counted.live)
        .saturating_sub(counted.granted)
}

/// How many places are leased at once where so many are left.
fn block(room: i64) -> i64 {
    match room {
        ..1 => 0,
        room => (room / BLOCK_PARTS).clamp(1, BLOCK_MAX),
    }
}

impl Taken {
    /// The certificate is in the inventory, where it is counted.
    pub(crate) async fn settle(mut self, core: &Core) {
        let Some(place) = self.0.take() else {
            return;
        };
        let quota = place.settle();
        // Near the quota the others need to know at once that the place is counted there.
        if let Some((_turn, lease_id)) = quota.idle_near_the_edge() {
            release(core, &quota, lease_id).await;
        }
    }

    /// No certificate was issued for it.
    pub(crate) fn give_back(mut self) {
        if let Some(place) = self.0.take() {
            place.give_back();
        }
    }
}

/// Tells the others that nothing is under way here.
async fn release(core: &Core, quota: &Quota, lease_id: Uuid) {
    let (organization_id, outstanding) = (quota.organization_id(), quota.outstanding());
    let ends_at = core.clock.now() + TimeDelta::seconds(LEASE_COUNTS_SECONDS);
    let scope = Scope::Organization(organization_id);
    let released = core
        .pool
        .transact::<_, CoreError, _>("certificate_quotas::release", scope, move |connection| {
            Box::pin(async move {
                let named = (organization_id, lease_id);
                let places = (outstanding, ends_at);
                Ok(certificate_quotas::put_lease(connection, named, places).await?)
            })
        })
        .await;
    if let Err(error) = released {
        // The lease counts until it ends by itself.
        tracing::warn!(error.detail = %error, "a place in the quota of certificates is not released");
    }
}

fn exceeded() -> CoreError {
    let message = "The organization has as many live certificates as it may have. Revoke some of \
                   them, wait until some expire, or have the quota raised.";
    let code = "certificate_quota_exceeded";
    Fault::new(ErrorKind::PolicyViolation, code, message).into()
}

fn busy() -> CoreError {
    let message = "The last places in the quota of certificates are being used by other requests. \
                   Try again with the same idempotency key.";
    Fault::new(ErrorKind::RateLimited, "certificate_quota_busy", message).into()
}

#[cfg(test)]
mod tests;
