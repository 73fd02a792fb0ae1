//! Behind the program: both databases as their superuser sees them, to compare what is stored and
//! to make people and states that REST cannot make yet.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clm_domain::audit::AuditRow;
use clm_domain::ids::{AuditEventId, OrganizationId};
use clm_domain::permission::Permissions;
use clm_test_support::TestCluster;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use crate::Program;

/// Longest wait for a state that the program reaches by itself.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Tables whose rows come and go beside the acts that they belong to.
pub(crate) const BESIDE_THE_ACT: &[&str] = &[
    "audit_log",
    "secure_audit_log",
    "idempotency_keys",
    "certificate_quotas",
    "certificate_quota_leases",
];
/// Columns that tell of the use of a credential, or how many seals are reserved.
pub(crate) const OF_USE: &[(&str, &[&str])] = &[
    ("api_keys", &["last_used_at", "usage_count", "updated_at"]),
    ("sessions", &["last_seen_at", "idle_expires_at"]),
];

/// The superuser of the private server, in both databases.
#[derive(Clone, Debug)]
pub struct Superuser {
    /// In `clm_core_db`.
    pub core: PgPool,
    /// In `clm_secure_db`.
    pub secure: PgPool,
}

/// Number of rows and MD5 of all rows, by table.
pub type Contents = BTreeMap<String, String>;

/// A user with a password that is known, and an API key.
#[derive(Clone, Debug)]
pub struct Person {
    /// The user.
    pub user_id: Uuid,
    /// The name to sign in with.
    pub username: String,
    /// The API key.
    pub api_key_id: Uuid,
    /// The API key itself.
    pub secret: String,
}

/// Which of the two audit logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// `audit_log`
    Core,
    /// `secure_audit_log`
    Secure,
}

impl Superuser {
    /// The databases of a running program; connects when it is first needed.
    pub fn of(program: &Program) -> Self {
        Self::connect(program.admin("clm_core_db"), program.admin("clm_secure_db"))
    }

    /// Databases wherever they are; connects when it is first needed.
    pub fn connect(core: PgConnectOptions, secure: PgConnectOptions) -> Self {
        let pool = |options| {
            PgPoolOptions::new()
                .max_connections(2)
                .connect_lazy_with(options)
        };
        Self {
            core: pool(core),
            secure: pool(secure),
        }
    }

    /// Everything that is stored, but for the audit logs, notes about idempotency keys and marks of
    /// use.
    ///
    /// # Panics
    /// When the databases do not answer.
    pub async fn contents(&self) -> Contents {
        let mut contents = contents_of("core", &self.core).await;
        contents.extend(contents_of("secure", &self.secure).await);
        contents
    }

    /// Waits until no event is under way between the databases.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn settle(&self) {
        let begun = Instant::now();
        loop {
            let mut waiting = 0_i64;
            for pool in [&self.core, &self.secure] {
                let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM outbox");
                waiting += count
                    .fetch_one(pool)
                    .await
                    .expect("the outbox can be counted");
            }
            if waiting == 0 {
                return;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{waiting} events are still under way"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until no rotation of a key runs. Nobody seals meanwhile, so that the wait for the last
    /// users of an old key is skipped: the rotations are told that they began earlier.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn finish_rotations(&self) {
        let begun = Instant::now();
        loop {
            let running = sqlx::query(
                "UPDATE key_rotation_history
                 SET started_at = least(started_at, now() - interval '2 minutes'),
                    rollback_started_at = CASE WHEN rollback_started_at IS NOT NULL THEN
                        least(rollback_started_at, now() - interval '2 minutes') END,
                    next_batch_at = least(next_batch_at, now())
                 WHERE status = 'in_progress'",
            )
            .execute(&self.secure)
            .await
            .expect("the superuser may do it")
            .rows_affected();
            if running == 0 {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{running} rotations still run");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A rotation that has ended, of the organization's data key; its old key is gone.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn insert_key_rotation(&self, organization_id: Uuid) -> Uuid {
        let made = sqlx::query_scalar(
            "WITH old AS (
                INSERT INTO encryption_keys (organization_id, key_type, key_version, key_algorithm,
                    status, destroyed_at)
                SELECT $1, 'data', max(key_version) + 1, 'AES-256-GCM', 'destroyed', now()
                FROM encryption_keys WHERE organization_id = $1 AND key_type = 'data'
                RETURNING id)
             INSERT INTO key_rotation_history (organization_id, rotation_type, status,
                old_encryption_key_id, new_encryption_key_id, completed_at)
             SELECT $1, 'manual', 'completed', old.id, k.id, now()
             FROM old CROSS JOIN encryption_keys k
             WHERE k.organization_id = $1 AND k.key_type = 'data' AND k.status = 'active'
             RETURNING id",
        );
        made.bind(organization_id)
            .fetch_one(&self.secure)
            .await
            .expect("a rotation is made")
    }

    /// Carries out a statement about the object with this id in `clm_core_db`.
    ///
    /// # Panics
    /// When it fails or concerns no row.
    pub async fn update(&self, statement: &'static str, id: Uuid) {
        let done = sqlx::query(statement).bind(id).execute(&self.core).await;
        let rows = done
            .unwrap_or_else(|error| panic!("{statement}: {error}"))
            .rows_affected();
        assert!(rows > 0, "no row: {statement}");
    }

    /// Every row of an audit log that names the request, oldest first.
    ///
    /// # Panics
    /// When a row is no audit row.
    pub async fn audited(&self, log: Log, request_id: Uuid) -> Vec<(AuditRow, Vec<u8>)> {
        let statement = format!(
            "SELECT * FROM {} WHERE request_id = $1 ORDER BY id",
            log.table()
        );
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(request_id)
            .fetch_all(self.pool(log));
        rows.await
            .expect("the log can be read")
            .iter()
            .map(|row| audit_row(row, log))
            .collect()
    }

    /// Every row of an audit log with the hash beside it, oldest first.
    ///
    /// # Panics
    /// When a row is no audit row.
    pub async fn audit_log(&self, log: Log) -> Vec<(AuditRow, Vec<u8>)> {
        let statement = format!("SELECT * FROM {} ORDER BY id", log.table());
        let rows = sqlx::query(AssertSqlSafe(statement)).fetch_all(self.pool(log));
        rows.await
            .expect("the log can be read")
            .iter()
            .map(|row| audit_row(row, log))
            .collect()
    }

    /// How many rows an audit log has.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn audit_count(&self, log: Log) -> i64 {
        let statement = format!("SELECT count(*) FROM {}", log.table());
        let count = sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(self.pool(log));
        count.await.expect("the log can be counted")
    }

    const fn pool(&self, log: Log) -> &PgPool {
        match log {
            Log::Core => &self.core,
            Log::Secure => &self.secure,
        }
    }

    /// The organization with this slug.
    ///
    /// # Panics
    /// When there is none.
    pub async fn organization(&self, slug: &str) -> Uuid {
        let found = sqlx::query_scalar("SELECT id FROM organizations WHERE slug = $1");
        found
            .bind(slug)
            .fetch_one(&self.core)
            .await
            .expect("the organization exists")
    }

    /// Makes an organization.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn insert_organization(&self, slug: &str) -> Uuid {
        let made = sqlx::query_scalar(
            "INSERT INTO organizations (name, slug) VALUES ($1, $1) RETURNING id",
        );
        made.bind(slug)
            .fetch_one(&self.core)
            .await
            .expect("an organization is made")
    }

    /// Makes a user of the organization with the password of the first administrator and these
    /// rights, and an API key.
    ///
    /// # Panics
    /// When they cannot be made.
    pub async fn insert_person(
        &self,
        organization_id: Uuid,
        username: &str,
        permissions: &Permissions,
    ) -> Person {
        let rights = serde_json::to_value(permissions).expect("permissions are JSON");
        let role_id: Uuid = sqlx::query_scalar(
            "INSERT INTO roles (organization_id, role_code, role_name, permissions)
             VALUES ($1, 'R_' || upper(replace($2, '-', '_')), $2, $3) RETURNING id",
        )
        .bind(organization_id)
        .bind(username)
        .bind(rights)
        .fetch_one(&self.core)
        .await
        .expect("a role is made");
        let user_id: Uuid = sqlx::query_scalar(
            "WITH person AS (
                INSERT INTO users (
                    home_organization_id, username, username_normalized, password_hash)
                SELECT $1, $2, $2, password_hash FROM users WHERE username = 'admin'
                RETURNING id),
             membership AS (
                INSERT INTO user_organizations (organization_id, user_id, is_primary)
                SELECT $1, id, true FROM person)
             INSERT INTO user_roles (organization_id, user_id, role_id)
             SELECT $1, id, $3 FROM person RETURNING user_id",
        )
        .bind(organization_id)
        .bind(username)
        .bind(role_id)
        .fetch_one(&self.core)
        .await
        .expect("a user is made");
        if permissions.iter().any(|one| one.0.is_of_installation()) {
            self.insert_guest(user_id, permissions).await;
        }
        // A key that names every right does what its owner may do, sensitive acts too: one without
        // scopes would not.
        let scopes = Permissions::all();
        let made = self.insert_api_key(organization_id, user_id, Some(&scopes));
        let (api_key_id, secret) = made.await;
        Person {
            user_id,
            username: username.to_owned(),
            api_key_id,
            secret,
        }
    }

    /// Gives a user these rights in the system organization as well, where those to the installation
    /// are held.
    async fn insert_guest(&self, user_id: Uuid, permissions: &Permissions) {
        let rights = serde_json::to_value(permissions).expect("permissions are JSON");
        sqlx::query(
            "WITH system AS (SELECT id FROM organizations WHERE slug = 'system'),
             role AS (
                INSERT INTO roles (organization_id, role_code, role_name, permissions)
                SELECT id, 'R_' || upper(replace($1::text, '-', '_')), 'guest', $2 FROM system
                RETURNING id),
             membership AS (
                INSERT INTO user_organizations (organization_id, user_id) SELECT id, $1 FROM system)
             INSERT INTO user_roles (organization_id, user_id, role_id)
             SELECT system.id, $1, role.id FROM system, role",
        )
        .bind(user_id)
        .bind(rights)
        .execute(&self.core)
        .await
        .expect("a role in the system organization is given");
    }

    /// Makes a user of a new organization, and a guest of this one; without any role.
    ///
    /// # Panics
    /// When they cannot be made.
    pub async fn insert_neighbour(&self, organization_id: Uuid, slug: &str) -> Person {
        let home = self.insert_organization(&format!("{slug}-neighbour")).await;
        let name = format!("{slug}-neighbour");
        let person = self.insert_person(home, &name, &Permissions::none()).await;
        self.insert_member(organization_id, person.user_id).await;
        person
    }

    /// Makes a user a guest of an organization.
    ///
    /// # Panics
    /// When that cannot be.
    pub async fn insert_member(&self, organization_id: Uuid, user_id: Uuid) {
        sqlx::query("INSERT INTO user_organizations (organization_id, user_id) VALUES ($1, $2)")
            .bind(organization_id)
            .bind(user_id)
            .execute(&self.core)
            .await
            .expect("a membership is made");
    }

    /// The role that a user was given at home.
    ///
    /// # Panics
    /// When there is none, or several.
    pub async fn role_of(&self, user_id: Uuid) -> Uuid {
        let found = sqlx::query_scalar(
            "SELECT ur.role_id FROM user_roles ur
             JOIN users u ON u.id = ur.user_id AND u.home_organization_id = ur.organization_id
             WHERE u.id = $1",
        );
        found
            .bind(user_id)
            .fetch_one(&self.core)
            .await
            .expect("the user has a role at home")
    }

    /// Makes an API key of a user, narrowed to `scopes` where they are given.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn insert_api_key(
        &self,
        organization_id: Uuid,
        user_id: Uuid,
        scopes: Option<&Permissions>,
    ) -> (Uuid, String) {
        let id = sqlx::query_scalar("SELECT uuid_generate_v4()").fetch_one(&self.core);
        let id: Uuid = id.await.expect("an id is made");
        let secret = api_key(&format!("{:0>43}", id.simple().to_string()));
        let scopes = scopes.map(|scopes| serde_json::to_value(scopes).expect("they are JSON"));
        sqlx::query(
            "INSERT INTO api_keys (
                id, organization_id, user_id, name, key_prefix, key_sha256, last_four, scopes)
             VALUES ($1, $2, $3, 'test', $4, $5, $6, $7)",
        )
        .bind(id)
        .bind(organization_id)
        .bind(user_id)
        .bind(secret.chars().take(8).collect::<String>())
        .bind(Sha256::digest(&secret).to_vec())
        .bind(secret.chars().skip(49).collect::<String>())
        .bind(scopes)
        .execute(&self.core)
        .await
        .expect("an API key is made");
        (id, secret)
    }
}

impl Log {
    /// Its table.
    pub const fn table(self) -> &'static str {
        match self {
            Self::Core => "audit_log",
            Self::Secure => "secure_audit_log",
        }
    }
}

/// A well-formed API key with these 43 base62 digits: prefix, digits, checksum.
pub fn api_key(digits: &str) -> String {
    const BASE62: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let body = format!("clm_{digits}");
    let digest = Sha256::digest(&body);
    let mut rest = digest
        .iter()
        .take(4)
        .fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
    let mut checksum: Vec<u8> = Vec::new();
    for _ in 0..6 {
        let digit = usize::try_from(rest % 62).unwrap_or_default();
        checksum.extend(BASE62.get(digit));
        rest /= 62;
    }
    let checksum: String = checksum
        .iter()
        .rev()
        .map(|digit| char::from(*digit))
        .collect();
    body + &checksum
}

async fn contents_of(database: &str, pool: &PgPool) -> Contents {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
             AND NOT relispartition AND relname <> ALL ($1)",
    )
    .bind(BESIDE_THE_ACT)
    .fetch_all(pool)
    .await
    .expect("the tables can be listed");
    let parts: Vec<String> = tables
        .iter()
        .map(|table| {
            let used = OF_USE
                .iter()
                .find(|(name, _)| name == table)
                .map(|(_, columns)| *columns);
            let columns: Vec<String> = used
                .unwrap_or_default()
                .iter()
                .map(|name| format!("'{name}'"))
                .collect();
            format!(
                "SELECT '{database}.{table}', count(*) || ' rows '
                     || coalesce(md5(string_agg(row, ',' ORDER BY row)), '')
                 FROM (SELECT (to_jsonb(t) - ARRAY[{}]::text[])::text AS row FROM {table} t) s",
                columns.join(", ")
            )
        })
        .collect();
    let statement = AssertSqlSafe(parts.join(" UNION ALL "));
    let rows = sqlx::query_as::<_, (String, String)>(statement).fetch_all(pool);
    rows.await
        .expect("the contents can be read")
        .into_iter()
        .collect()
}

fn audit_row(row: &PgRow, log: Log) -> (AuditRow, Vec<u8>) {
    let text = |name: &str| row.get::<String, _>(name);
    let user_agent = match log {
        Log::Core => row.get("user_agent"),
        Log::Secure => None,
    };
    let found = AuditRow {
        id: AuditEventId::from_uuid(row.get("id")),
        event_timestamp: row.get("event_timestamp"),
        organization_id: OrganizationId::from_uuid(row.get("organization_id")),
        event_code: text("event_code"),
        event_category: text("event_category"),
        severity: text("severity").parse().expect("a severity"),
        result: text("result").parse().expect("a result"),
        actor_type: text("actor_type"),
        actor_id: row.get("actor_id"),
        user_id: row.get("user_id"),
        resource_type: text("resource_type"),
        resource_id: row.get("resource_id"),
        request_id: row.get("request_id"),
        session_id: row.get("session_id"),
        ip_address: row.get("ip_address"),
        user_agent,
        reason: row.get("reason"),
        details: row.get::<Value, _>("details"),
    };
    (found, row.get("canonical_sha256"))
}

/// How an administrator reaches a server, as programs take it.
///
/// # Panics
/// When its socket lies where a URL cannot say.
pub fn admin_url(cluster: &TestCluster) -> String {
    let options = cluster.admin("postgres");
    let socket = options.get_socket().expect("it has a socket");
    let directory = socket.to_str().expect("its path is text");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-".contains(c);
    assert!(directory.chars().all(is_plain), "{directory}");
    format!(
        "postgres://{}@localhost/postgres?host={directory}&port={}",
        options.get_username(),
        options.get_port()
    )
}
