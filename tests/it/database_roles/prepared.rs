//! A private server with both databases and rows of two organizations in every table.

use clm_database::pool::Database;
use clm_database::roles;
use clm_test_support::{SeededRng, TestCluster};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};

/// The organization that acts.
pub(super) const OWN: &str = "0000000a-0000-4000-8000-00000000000a";
/// The other one.
pub(super) const OTHER: &str = "0000000b-0000-4000-8000-00000000000b";
/// The one whose roles and authorities everybody sees.
pub(super) const SYSTEM: &str = "00000000-0000-0000-0000-000000000001";

/// SQLSTATE `insufficient_privilege`: also what row-level security raises.
pub(super) const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// SQLSTATE `object_not_in_prerequisite_state`: the view has joins.
const NOT_UPDATABLE: &str = "55000";

/// Both databases. The server ends with the value.
pub(super) struct Prepared {
    pub(super) databases: [Prepare; 2],
    _cluster: TestCluster,
}

/// One database with its roles.
pub(super) struct Prepare {
    pub(super) database: Database,
    /// The program's role.
    pub(super) user: PgConnectOptions,
    pub(super) auditor: PgConnectOptions,
    superuser: PgConnectOptions,
}

/// A table, partition or view.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Relation {
    pub(super) name: String,
    pub(super) is_view: bool,
    pub(super) is_partition: bool,
    /// The column that says whose a row is.
    pub(super) tenant_column: Option<String>,
    /// Columns that can be written.
    pub(super) columns: Vec<String>,
}

impl Prepared {
    pub(super) async fn make() -> Self {
        let cluster = TestCluster::start().await;
        let databases = [
            Prepare::make(&cluster, Database::Core).await,
            Prepare::make(&cluster, Database::Secure).await,
        ];
        Self {
            databases,
            _cluster: cluster,
        }
    }
}

impl Prepare {
    async fn make(cluster: &TestCluster, database: Database) -> Self {
        let (user, _) = cluster.init(database).await;
        let superuser = cluster.admin(database.name());
        let rng = SeededRng::new(7);
        let password = roles::generate_password(&rng);
        roles::set_password(&superuser, "clm_auditor", &password, &rng)
            .await
            .expect("the auditor gets a password");
        let auditor = superuser
            .clone()
            .username("clm_auditor")
            .password(password.expose());
        let made = Self {
            database,
            user,
            auditor,
            superuser,
        };
        made.seed().await;
        made
    }

    async fn seed(&self) {
        let seed = match self.database {
            Database::Core => include_str!("seed_core.sql"),
            Database::Secure => include_str!("seed_secure.sql"),
        };
        let audit = include_str!("seed_audit.sql").replace("AUDIT_LOG", self.audit_log());
        let mut superuser = self.superuser().await;
        for (organization, slug) in [(OWN, "own"), (OTHER, "other")] {
            for text in [seed, &audit] {
                let text = text
                    .replace("ORGANIZATION", organization)
                    .replace("SLUG", slug);
                run(&mut superuser, &text)
                    .await
                    .unwrap_or_else(|error| panic!("{error}: {text}"));
            }
        }
    }

    /// The name of the audit log.
    pub(super) const fn audit_log(&self) -> &'static str {
        match self.database {
            Database::Core => "audit_log",
            Database::Secure => "secure_audit_log",
        }
    }

    pub(super) async fn superuser(&self) -> PgConnection {
        self.superuser
            .connect()
            .await
            .expect("the superuser connects")
    }

    pub(super) async fn user(&self) -> PgConnection {
        self.user
            .connect()
            .await
            .expect("the program's role connects")
    }

    /// The program's role, within the acting organization for the whole session.
    pub(super) async fn user_of_own(&self) -> PgConnection {
        let mut user = self.user().await;
        let set = format!("SET app.current_org_id = '{OWN}'");
        run(&mut user, &set)
            .await
            .expect("the organization can be set");
        user
    }

    /// Every table, partition and view of ours.
    pub(super) async fn relations(&self) -> Vec<Relation> {
        let relations: Vec<Relation> = sqlx::query_as(
            "SELECT c.relname::text AS name, c.relkind IN ('v', 'm') AS is_view,
                 c.relispartition AS is_partition,
                 CASE c.relname WHEN 'organizations' THEN 'id' WHEN 'users' THEN 'home_organization_id'
                     ELSE (SELECT a.attname::text FROM pg_attribute a
                           WHERE a.attrelid = c.oid AND a.attname = 'organization_id') END AS tenant_column,
                 (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
                  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                      AND a.attgenerated = '') AS columns
             FROM pg_class c
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
             ORDER BY c.relname",
        )
        .fetch_all(&mut self.superuser().await)
        .await
        .expect("the relations can be listed");
        assert!(relations.len() > 25, "only {} relations", relations.len());
        relations
    }

    /// [`Self::relations`] without partitions.
    pub(super) async fn tables_and_views(&self) -> Vec<Relation> {
        self.relations()
            .await
            .into_iter()
            .filter(|one| !one.is_partition)
            .collect()
    }

    /// The partitions of the audit log.
    pub(super) async fn partitions(&self) -> Vec<Relation> {
        let found: Vec<_> = self
            .relations()
            .await
            .into_iter()
            .filter(|one| one.is_partition)
            .collect();
        assert!(
            found.len() >= 14,
            "from last month to twelve months ahead: {found:?}"
        );
        found
    }
}

/// Carries out one statement; returns how many rows it touched.
pub(super) async fn run(connection: &mut PgConnection, text: &str) -> sqlx::Result<u64> {
    connection
        .execute(sqlx::raw_sql(AssertSqlSafe(text.to_owned())))
        .await
        .map(|done| done.rows_affected())
}

/// Carries out one statement and takes it back again.
pub(super) async fn attempt(connection: &mut PgConnection, text: &str) -> sqlx::Result<u64> {
    run(connection, "BEGIN").await?;
    let outcome = run(connection, text).await;
    run(connection, "ROLLBACK").await?;
    outcome
}

/// Asks for one number.
pub(super) async fn count(connection: &mut PgConnection, text: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar(AssertSqlSafe(text.to_owned()))
        .fetch_one(connection)
        .await
}

/// The statement must fail with `code`, and with a message that has `text` in it.
pub(super) async fn refused(
    connection: &mut PgConnection,
    statement: &str,
    (code, text): (&str, &str),
) {
    let error = match attempt(connection, statement).await {
        Ok(rows) => panic!("not refused, {rows} rows: {statement}"),
        Err(error) => error,
    };
    let reported = error
        .as_database_error()
        .unwrap_or_else(|| panic!("{statement}: {error}"));
    assert_eq!(
        reported.code().as_deref(),
        Some(code),
        "{statement}: {error}"
    );
    assert!(reported.message().contains(text), "{statement}: {error}");
}

/// The statement must fail for want of a grant.
pub(super) async fn denied(connection: &mut PgConnection, statement: &str) {
    refused(
        connection,
        statement,
        (INSUFFICIENT_PRIVILEGE, "permission denied"),
    )
    .await;
}

/// The statement on a table, partition or view must fail: for want of a grant, or because the view
/// can only be read.
pub(super) async fn impossible(
    connection: &mut PgConnection,
    relation: &Relation,
    statement: &str,
) {
    if !relation.is_view {
        return denied(connection, statement).await;
    }
    let error = attempt(connection, statement).await.err();
    let code = error
        .as_ref()
        .and_then(|error| error.as_database_error()?.code());
    let expected = [Some(INSUFFICIENT_PRIVILEGE), Some(NOT_UPDATABLE)];
    assert!(
        expected.contains(&code.as_deref()),
        "{statement}: {error:?}"
    );
}
