//! What this process knows of the quotas: the places that it has leased, and those that it gave out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clm_domain::ids::OrganizationId;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

/// Most organizations that are remembered.
const ORGANIZATIONS_MAX: usize = 10_000;
/// How long a place whose fate is unknown counts.
const DOUBTFUL_FOR: Duration = Duration::from_secs(180);

/// The quotas of all organizations, as far as this process uses them.
#[derive(Default)]
pub struct CertificateQuotas(Mutex<HashMap<OrganizationId, Arc<Quota>>>);

impl CertificateQuotas {
    /// That of one organization.
    pub(super) fn of(&self, organization_id: OrganizationId) -> Arc<Quota> {
        let mut quotas = lock(&self.0);
        if let Some(quota) = quotas.get(&organization_id) {
            return Arc::clone(quota);
        }
        if quotas.len() >= ORGANIZATIONS_MAX {
            // Those without a lease are looked at once more.
            quotas.retain(|_, quota| lock(&quota.state).lease_id.is_some());
        }
        let quota = Arc::new(Quota::new(organization_id));
        quotas.insert(organization_id, Arc::clone(&quota));
        quota
    }

    /// Forgets what was read of an organization, whose quota was just changed. What was given out is
    /// remembered.
    pub(crate) fn evict(&self, organization_id: OrganizationId) {
        if let Some(quota) = lock(&self.0).get(&organization_id) {
            let mut state = lock(&quota.state);
            state.unlimited_until = None;
            state.full_until = None;
            state.free = 0;
        }
    }
}

/// The quota of one organization.
pub(super) struct Quota {
    organization_id: OrganizationId,
    state: Mutex<State>,
    /// Held while a block is leased.
    turn: tokio::sync::Mutex<()>,
    /// Counts the places that were settled or came back.
    ended: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    unlimited_until: Option<Instant>,
    full_until: Option<Instant>,
    /// The lease in the database, once there is one.
    lease_id: Option<Uuid>,
    /// Leased places that nobody has.
    free: i64,
    usable_until: Option<Instant>,
    /// Places of the block that was leased last.
    block: i64,
    /// Since when there was no place to lease.
    short_since: Option<Instant>,
    /// Places that requests have.
    under_way: i64,
    /// Until when each place whose fate is unknown counts.
    doubtful: Vec<Instant>,
}

/// What a look into the memory finds.
pub(super) enum Found {
    Unlimited,
    Place(Place),
    Full,
    Nothing,
}

/// A place that a request has.
pub(super) struct Place {
    quota: Arc<Quota>,
    is_over: bool,
}

impl Quota {
    fn new(organization_id: OrganizationId) -> Self {
        Self {
            organization_id,
            state: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            ended: watch::Sender::new(0),
        }
    }

    pub(super) const fn organization_id(&self) -> OrganizationId {
        self.organization_id
    }

    /// Takes a place that was leased.
    pub(super) fn take(self: &Arc<Self>) -> Found {
        let now = Instant::now();
        let mut state = lock(&self.state);
        if state.unlimited_until.is_some_and(|until| now < until) {
            return Found::Unlimited;
        }
        if state.free > 0 && state.usable_until.is_some_and(|until| now < until) {
            state.free -= 1;
            state.under_way += 1;
            let quota = Arc::clone(self);
            return Found::Place(Place {
                quota,
                is_over: false,
            });
        }
        match state.full_until {
            Some(until) if now < until => Found::Full,
            _ => Found::Nothing,
        }
    }

    /// Whether nothing can be found without asking the database.
    pub(super) fn is_exhausted(&self) -> bool {
        let now = Instant::now();
        let state = lock(&self.state);
        let passed = |until: Option<Instant>| until.is_none_or(|until| until <= now);
        passed(state.unlimited_until)
            && passed(state.full_until)
            && (state.free == 0 || passed(state.usable_until))
    }

    /// Waits for one's turn to lease a block.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Tells of each place that is settled or comes back from now on.
    pub(super) fn ended(&self) -> watch::Receiver<u64> {
        self.ended.subscribe()
    }

    /// How many places that were given out are not settled. Those that nobody has are gone: the lease
    /// that is written next is without them.
    pub(super) fn outstanding(&self) -> i64 {
        let now = Instant::now();
        let mut state = lock(&self.state);
        state.free = 0;
        state.doubtful.retain(|until| now < *until);
        let doubtful = i64::try_from(state.doubtful.len()).unwrap_or(i64::MAX);
        state.under_way.saturating_add(doubtful)
    }

    /// The lease of this process, a new one if there is none.
    pub(super) fn lease_id(&self, make: impl FnOnce() -> Uuid) -> Uuid {
        *lock(&self.state).lease_id.get_or_insert_with(make)
    }

    /// Whether places may still come back, or be settled.
    pub(super) fn is_under_way(&self) -> bool {
        lock(&self.state).under_way > 0
    }

    pub(super) fn set_unlimited(&self, until: Instant) {
        let mut state = lock(&self.state);
        state.unlimited_until = Some(until);
        state.full_until = None;
        state.short_since = None;
        state.free = 0;
    }

    /// Whether there has been no place to lease for less than that; the time runs from the first call
    /// on.
    pub(super) fn is_short_for_less_than(&self, time: Duration) -> bool {
        let now = Instant::now();
        let since = *lock(&self.state).short_since.get_or_insert(now);
        now.duration_since(since) < time
    }

    pub(super) fn set_full(&self, until: Instant) {
        let mut state = lock(&self.state);
        state.full_until = Some(until);
        state.short_since = None;
        state.free = 0;
    }

    pub(super) fn fill(&self, places: i64, until: Instant) {
        let mut state = lock(&self.state);
        state.unlimited_until = None;
        state.full_until = None;
        state.short_since = None;
        state.free = places;
        state.block = places;
        state.usable_until = Some(until);
    }

    /// The lease, if blocks have one place and nothing is under way; nobody leases meanwhile.
    pub(super) fn idle_near_the_edge(&self) -> Option<(tokio::sync::MutexGuard<'_, ()>, Uuid)> {
        let turn = self.turn.try_lock().ok()?;
        let state = lock(&self.state);
        let is_idle = state.block == 1 && state.free == 0 && state.under_way == 0;
        let lease_id = state.lease_id.filter(|_| is_idle)?;
        drop(state);
        Some((turn, lease_id))
    }
}

impl Place {
    /// Its certificate is counted.
    pub(super) fn settle(mut self) -> Arc<Quota> {
        self.end(|_| {});
        Arc::clone(&self.quota)
    }

    /// Somebody else may have it.
    pub(super) fn give_back(mut self) {
        self.end(|state| state.free += 1);
    }

    fn end(&mut self, change: impl FnOnce(&mut State)) {
        if self.is_over {
            return;
        }
        self.is_over = true;
        let mut state = lock(&self.quota.state);
        state.under_way -= 1;
        change(&mut state);
        drop(state);
        self.quota.ended.send_modify(|count| *count += 1);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.end(|state| state.doubtful.push(Instant::now() + DOUBTFUL_FOR));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code in here panics halfway through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
