//! What deciding about access costs: decisions per second in one thread, reads over REST with an API key
//! beside `/healthz`, which asks for nothing, and what share of a read's work a decision is.

use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clm_core::access::{self, Target};
use clm_core::context::{OpContext, RequestInfo};
use clm_core::{Core, CoreOptions, Settings};
use clm_database::pool::Database;
use clm_database::{Pool, PoolOptions};
use clm_domain::actor::Actor;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{ApiKeyId, OrganizationId, RequestId, UserId};
use clm_domain::permission::{Action, Permissions, Resource};
use clm_secure_api::{CallContext, Command, Reply, SecureClient, SecureError, SecureService};
use clm_server::{SystemClock, SystemRng};
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

use crate::arguments::Plan;
use crate::http_client::{Connection, Endpoint};
use crate::load::{self, Client, Sample};
use crate::product::Product;

/// Clients that read at the same time.
pub(crate) const CLIENTS: u16 = 16;
/// How long decisions are counted, each time.
const DECIDING: Duration = Duration::from_millis(500);
/// Decisions between two looks at the time.
const DECISIONS_PER_LOOK: u32 = 10_000;
/// What is read: the newest certificate of a list.
const READ: &str = "/api/v1/certificates?limit=1";
const HEALTH: &str = "/healthz";
/// Clock ticks per second, in which the kernel counts the work of processes (`_SC_CLK_TCK`).
const TICKS_PER_SECOND: f64 = 100.0;

/// What was measured, a value a round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    /// Decisions per second in one thread.
    pub(crate) decisions_per_second: Vec<f64>,
    /// Reads with an API key.
    pub(crate) reads: Vec<Sample>,
    /// Answers about health.
    pub(crate) health: Vec<Sample>,
    /// A decision's share of what the program works for a read.
    pub(crate) share_of_read: Vec<f64>,
}

impl Access {
    /// Every sample, for its failures.
    pub(crate) fn samples(&self) -> impl Iterator<Item = (&'static str, &Sample)> {
        let reads = self.reads.iter().map(|sample| ("reads", sample));
        reads.chain(self.health.iter().map(|sample| ("health", sample)))
    }
}

/// Measures everything, in turn.
///
/// # Errors
/// When something does not run.
pub(crate) async fn measure(product: &Product, plan: &Plan) -> anyhow::Result<Access> {
    let mut measured = Access::default();
    for _ in 0..plan.rounds {
        let decisions = decide().await?;
        measured.decisions_per_second.push(decisions);
        let worked = worked_seconds(product.server.pid());
        let begun = Instant::now();
        let read = load::run(readers(product, READ)?, plan.period).await?;
        let seconds = begun.elapsed().as_secs_f64();
        if let (Some(before), Some(after)) = (worked, worked_seconds(product.server.pid())) {
            // The warm-up works as fast as what is measured.
            let work_per_read = (after - before) / (read.per_second * seconds);
            measured
                .share_of_read
                .push(decisions.recip() / work_per_read);
        }
        measured.reads.push(read);
        let health = load::run(readers(product, HEALTH)?, plan.period).await?;
        measured.health.push(health);
    }
    Ok(measured)
}

/// Decisions per second in this thread: each allowed, about a list and about one object in turn.
async fn decide() -> anyhow::Result<f64> {
    let core = unconnected();
    let context = caller();
    let organization_id = context.organization_id;
    let id = Uuid::from_u128(9);
    let list = Target::kind(&context, Resource::Certificate);
    let object = Target::object(Resource::Certificate, organization_id, id);
    let begun = Instant::now();
    let mut count = 0_u64;
    loop {
        for number in 0..DECISIONS_PER_LOOK {
            let target = if number % 2 == 0 { list } else { object };
            let asked = (black_box(&context), black_box(target));
            access::authorize(asked.0, &core, Action::Read, asked.1)
                .await
                .context("a decision that must be yes")?;
        }
        count += u64::from(DECISIONS_PER_LOOK);
        let elapsed = begun.elapsed();
        if elapsed >= DECIDING {
            return Ok(count as f64 / elapsed.as_secs_f64());
        }
    }
}

/// A core that reaches nothing: a decision needs nothing.
fn unconnected() -> Arc<Core> {
    let nowhere = PgConnectOptions::new_without_pgpass();
    Core::open(CoreOptions {
        pool: Pool::new(Database::Core, nowhere, &PoolOptions::default()),
        secure: SecureClient::new(Arc::new(Nobody)),
        clock: Arc::new(SystemClock),
        rng: Arc::new(SystemRng),
        settings: Settings::default(),
    })
}

/// A Secure Service that is never asked.
struct Nobody;

#[async_trait::async_trait]
impl SecureService for Nobody {
    async fn call(&self, _: CallContext, _: Command) -> Result<Reply, SecureError> {
        Err(Fault::new(ErrorKind::Upstream, "nobody", "Nobody is there.").into())
    }
}

/// Somebody with an API key and every permission.
fn caller() -> OpContext {
    OpContext {
        actor: Actor::ApiKey {
            api_key_id: ApiKeyId::from_uuid(Uuid::from_u128(1)),
            user_id: UserId::from_uuid(Uuid::from_u128(2)),
        },
        username: None,
        organization_id: OrganizationId::from_uuid(Uuid::from_u128(3)),
        permissions: Permissions::all(),
        owed: None,
        credential_ends_at: None,
        credential_networks: None,
        credential_scopes: None,
        request: RequestInfo {
            request_id: RequestId::from_uuid(Uuid::from_u128(4)),
            ip_address: None,
            user_agent: None,
            idempotency: None,
            http: None,
            step_up_proof: None,
        },
        deadline: chrono::DateTime::UNIX_EPOCH,
    }
}

/// Clients that read a path of the product.
fn readers(product: &Product, path: &str) -> anyhow::Result<Vec<Reader>> {
    let endpoint = product.endpoint(path)?;
    let reader = |_| Reader {
        connection: Connection::to(&endpoint),
        endpoint: endpoint.clone(),
    };
    Ok((0..CLIENTS).map(reader).collect())
}

struct Reader {
    connection: Connection,
    endpoint: Endpoint,
}

impl Client for Reader {
    async fn issue(&mut self) -> anyhow::Result<()> {
        let answer = self.connection.send(self.endpoint.get()).await?;
        answer.expect(http::StatusCode::OK).map(drop)
    }
}

/// How long the program itself has worked, without its PostgreSQL.
fn worked_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces; user and system time are the 14th and 15th field.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}
