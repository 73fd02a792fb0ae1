//! The rows behind the program, read as the superuser of its private server.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use clm_domain::audit::AuditRow;
use clm_domain::ids::{AuditEventId, OrganizationId};
use clm_tests::Program;
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

/// How long a condition that follows from a committed act may take on a busy machine.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Tables of `clm_secure_db` that an issuance writes, and how their rows are counted.
const SECURE_TABLES: [(&str, &str); 5] = [
    ("certificates", "SELECT count(*) FROM certificates"),
    ("certificate_requests", "SELECT count(*) FROM certificate_requests"),
    ("private_keys", "SELECT count(*) FROM private_keys"),
    ("issuers", "SELECT count(*) FROM issuers"),
    ("outbox", "SELECT count(*) FROM outbox"),
];

/// Tables of `clm_core_db` that requests write, and how their rows are counted.
const CORE_TABLES: [(&str, &str); 4] = [
    ("certificate_metadata", "SELECT count(*) FROM certificate_metadata"),
    ("idempotency_keys", "SELECT count(*) FROM idempotency_keys"),
    ("api_keys", "SELECT count(*) FROM api_keys"),
    ("core outbox", "SELECT count(*) FROM outbox"),
];

/// Every row of each log, whatever the column that only one has.
const AUDIT_LOGS: [(&str, &str); 2] = [
    ("audit_log", "SELECT * FROM audit_log ORDER BY id"),
    (
        "secure_audit_log",
        "SELECT *, NULL::text AS user_agent FROM secure_audit_log ORDER BY id",
    ),
];

/// Rows by table.
pub(crate) type Counts = BTreeMap<&'static str, i64>;

/// One audit event as it is stored, with the hash beside it.
pub(crate) struct StoredEvent {
    pub(crate) row: AuditRow,
    pub(crate) canonical_sha256: Vec<u8>,
}

/// Both databases.
pub(crate) struct Records {
    pub(crate) core: PgPool,
    pub(crate) secure: PgPool,
}

impl Records {
    /// The databases of a running program.
    pub(crate) fn of(program: &Program) -> Self {
        Self::connect(program.admin("clm_core_db"), program.admin("clm_secure_db"))
    }

    pub(crate) fn connect(core: PgConnectOptions, secure: PgConnectOptions) -> Self {
        let pool = |options| PgPoolOptions::new().max_connections(2).connect_lazy_with(options);
        Self { core: pool(core), secure: pool(secure) }
    }

    /// How many rows each table has.
    pub(crate) async fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        let secure = SECURE_TABLES.map(|table| (table, &self.secure));
        let core = CORE_TABLES.map(|table| (table, &self.core));
        for ((name, statement), pool) in secure.into_iter().chain(core) {
            counts.insert(name, count(pool, statement).await);
        }
        counts
    }

    /// Waits until what was issued is acknowledged, so that the outbox does not change any more.
    pub(crate) async fn settle(&self) {
        let begun = Instant::now();
        while count(&self.secure, "SELECT count(*) FROM outbox").await > 0 {
            assert!(begun.elapsed() < SETTLE_TIMEOUT, "the outbox does not become empty");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Every event of the core's log and of the Secure Service's log, in this order.
    pub(crate) async fn audit_logs(&self) -> [Vec<StoredEvent>; 2] {
        let [core, secure] = AUDIT_LOGS;
        [audit_log(&self.core, core.1).await, audit_log(&self.secure, secure.1).await]
    }

    /// Checks the hash beside each event of both logs against the row as it is stored.
    pub(crate) async fn check_audit_hashes(&self) {
        for ((name, _), events) in AUDIT_LOGS.into_iter().zip(self.audit_logs().await) {
            assert!(!events.is_empty(), "{name} is empty");
            for event in events {
                let StoredEvent { row, canonical_sha256 } = event;
                assert_eq!(row.canonical_sha256().as_slice(), canonical_sha256, "{name}: {row:?}");
            }
        }
    }
}

async fn count(pool: &PgPool, statement: &'static str) -> i64 {
    sqlx::query_scalar(statement).fetch_one(pool).await.unwrap()
}

async fn audit_log(pool: &PgPool, statement: &'static str) -> Vec<StoredEvent> {
    let rows = sqlx::query(statement).fetch_all(pool).await.unwrap();
    rows.iter().map(stored_event).collect()
}

fn stored_event(row: &PgRow) -> StoredEvent {
    let text = |column: &str| row.get::<String, _>(column);
    let optional_text = |column: &str| row.get::<Option<String>, _>(column);
    let optional_id = |column: &str| row.get::<Option<Uuid>, _>(column);
    let id: Uuid = row.get("id");
    let organization_id: Uuid = row.get("organization_id");
    StoredEvent {
        canonical_sha256: row.get("canonical_sha256"),
        row: AuditRow {
            id: AuditEventId::from_uuid(id),
            event_timestamp: row.get::<DateTime<Utc>, _>("event_timestamp"),
            organization_id: OrganizationId::from_uuid(organization_id),
            event_code: text("event_code"),
            event_category: text("event_category"),
            severity: text("severity").parse().unwrap(),
            result: text("result").parse().unwrap(),
            actor_type: text("actor_type"),
            actor_id: optional_id("actor_id"),
            user_id: optional_id("user_id"),
            resource_type: text("resource_type"),
            resource_id: optional_id("resource_id"),
            request_id: optional_id("request_id"),
            session_id: optional_id("session_id"),
            ip_address: optional_text("ip_address"),
            user_agent: optional_text("user_agent"),
            reason: optional_text("reason"),
            details: row.get::<Value, _>("details"),
        },
    }
}
