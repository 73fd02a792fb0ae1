//! Makes the catalogue snapshots anew, `migrations/<database>/catalogue.json`, after a migration or a
//! roles file has changed. With a URL and the name of a database it prints that one's snapshot instead.
//!
//! `cargo run -p clm-database --example catalogue_snapshot [-- <url> <core|secure>]`

use std::error::Error;
use std::path::Path;
use std::str::FromStr;

use clm_database::catalogue::{read_catalogue, snapshot_json};
use clm_database::cluster::{Account, Cluster, ClusterOptions, Durability};
use clm_database::migrate::Migrator;
use clm_database::pool::Database;
use clm_database::roles::create_database_if_missing;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => write_both().await,
        [url, database] => {
            let snapshot =
                snapshot(&PgConnectOptions::from_str(url)?, database_of(database)?).await?;
            #[expect(clippy::print_stdout, reason = "printing is what was asked for")]
            {
                print!("{snapshot}");
            }
            Ok(())
        }
        _ => Err("usage: catalogue_snapshot [<url of a migrated database> <core|secure>]".into()),
    }
}

fn database_of(name: &str) -> Result<Database> {
    match name {
        "core" => Ok(Database::Core),
        "secure" => Ok(Database::Secure),
        other => Err(format!("{other} is neither core nor secure").into()),
    }
}

/// Migrates both databases on a private server, and writes what they look like.
async fn write_both() -> Result<()> {
    let place = std::env::temp_dir().join(format!("clm-snapshot-{}", std::process::id()));
    std::fs::create_dir(&place)?;
    let cluster = Cluster::start(ClusterOptions {
        data_directory: place.join("data"),
        socket_directory: place.join("run"),
        account: Account::find("postgres")?,
        durability: Durability::TestOnly,
        pg_bin: None,
        max_connections: 10,
        log_file: place.join("postgres.log"),
    })
    .await?;
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    for database in [Database::Core, Database::Secure] {
        create_database_if_missing(&cluster.admin_connect_options("postgres"), database).await?;
        let admin = cluster.admin_connect_options(database.name());
        Migrator::new(&admin, database).migrate().await?;
        let file = migrations.join(database.name()).join("catalogue.json");
        std::fs::write(file, snapshot(&admin, database).await?)?;
    }
    cluster.stop().await?;
    std::fs::remove_dir_all(place)?;
    Ok(())
}

async fn snapshot(connect: &PgConnectOptions, database: Database) -> Result<String> {
    let mut connection = connect.connect().await?;
    let catalogue = read_catalogue(&mut connection, database).await?;
    snapshot_json(&catalogue).ok_or_else(|| "take the snapshot on PostgreSQL 14 or newer".into())
}
