//! Prints the catalogue snapshot of a freshly migrated database, to be kept as
//! `migrations/<database>/catalogue.json`:
//!
//! `cargo run -p clm-database --example catalogue_snapshot -- <url> <core|secure>`

use std::error::Error;
use std::str::FromStr;

use clm_database::catalogue::{read_catalogue, snapshot_json};
use clm_database::pool::Database;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(database)) = (arguments.next(), arguments.next()) else {
        return Err("usage: catalogue_snapshot <url of the database> <core|secure>".into());
    };
    let database = match database.as_str() {
        "core" => Database::Core,
        "secure" => Database::Secure,
        other => return Err(format!("{other} is neither core nor secure").into()),
    };
    let mut connection = PgConnectOptions::from_str(&url)?.connect().await?;
    let catalogue = read_catalogue(&mut connection, database).await?;
    let snapshot = snapshot_json(&catalogue).ok_or("take the snapshot on PostgreSQL 14 or newer")?;
    #[expect(clippy::print_stdout, reason = "printing is what this program is for")]
    {
        print!("{snapshot}");
    }
    Ok(())
}
