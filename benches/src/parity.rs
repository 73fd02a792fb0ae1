//! Whether the bare loop writes what the product writes: the mean size of the newest rows of each
//! table, in both. A yardstick that writes less flatters nobody unnoticed.

use std::path::Path;

use anyhow::Context as _;
use clm_database::cluster::ADMIN_ROLE;
use clm_database::pool::Database;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

/// The tables that an issuance writes to. What the core has acknowledged is gone from the outbox,
/// so that its newest rows may be few.
const TABLES: [(Database, &str); 6] = [
    (Database::Secure, "certificate_requests"),
    (Database::Secure, "certificates"),
    (Database::Secure, "secure_audit_log"),
    (Database::Secure, "outbox"),
    (Database::Core, "certificate_metadata"),
    (Database::Core, "audit_log"),
];

/// How many of the newest rows are looked at.
const ROWS: i64 = 500;

/// The mean row of one table in bytes; 0 when it is empty.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RowSize {
    pub(crate) table: &'static str,
    pub(crate) product_bytes: f64,
    pub(crate) bare_bytes: f64,
}

/// By what share rows may differ before it is told.
const TOLERANCE: f64 = 0.05;

impl RowSize {
    /// Whether the bare loop writes another row than the product does. Where the product has none
    /// left to compare, nothing is said.
    pub(crate) fn differs(&self) -> bool {
        let difference = (self.product_bytes - self.bare_bytes).abs();
        self.product_bytes > 0.0 && difference > self.product_bytes * TOLERANCE
    }
}

/// Compares two servers. `product` and `bare` say how the superuser of each connects.
///
/// # Errors
/// When one of them cannot be asked.
pub(crate) async fn compare(
    product: impl Fn(Database) -> PgConnectOptions,
    bare: impl Fn(Database) -> PgConnectOptions,
) -> anyhow::Result<Vec<RowSize>> {
    let mut sizes = Vec::with_capacity(TABLES.len());
    for (database, table) in TABLES {
        sizes.push(RowSize {
            table,
            product_bytes: mean_bytes(product(database), table).await?,
            bare_bytes: mean_bytes(bare(database), table).await?,
        });
    }
    Ok(sizes)
}

/// How the superuser of an embedded installation connects, over the socket in `directory`.
pub(crate) fn admin(directory: &Path, database: Database) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(directory)
        .username(ADMIN_ROLE)
        .database(database.name())
        .ssl_mode(PgSslMode::Disable)
}

async fn mean_bytes(connect: PgConnectOptions, table: &str) -> anyhow::Result<f64> {
    let mut connection: PgConnection = connect.connect().await.context("connecting")?;
    let statement = format!(
        "-- parity::mean_bytes
        SELECT coalesce(avg(pg_column_size(newest.*)), 0)::double precision
        FROM (SELECT * FROM {table} ORDER BY id DESC LIMIT $1) AS newest"
    );
    let mean = sqlx::query_scalar(AssertSqlSafe(statement))
        .bind(ROWS)
        .fetch_one(&mut connection)
        .await
        .with_context(|| format!("measuring {table}"))?;
    connection.close().await?;
    Ok(mean)
}
