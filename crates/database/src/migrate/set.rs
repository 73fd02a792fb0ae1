//! The migrations that are part of the program.

use sha2::{Digest, Sha256};

use crate::pool::Database;

/// One migration file with its way back.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// The number that the file name starts with.
    pub version: i32,
    /// The file name without its extension, such as `001_init_core_schema`.
    pub name: &'static str,
    pub(super) sql: &'static str,
    pub(super) rollback_sql: &'static str,
}

impl Migration {
    /// SHA-256 of the file.
    pub fn checksum(&self) -> [u8; 32] {
        Sha256::digest(self.sql.as_bytes()).into()
    }
}

/// All that the program knows about the schema of one database.
#[derive(Clone, Debug)]
pub struct MigrationSet {
    /// Which database.
    pub database: Database,
    pub(super) migrations: &'static [Migration],
    pub(super) roles_sql: &'static str,
    pub(crate) seed_rows_sql: Option<&'static str>,
    pub(crate) catalogue: &'static str,
}

impl MigrationSet {
    /// The migrations in the order in which they are applied: versions 1, 2, 3, …
    pub const fn migrations(&self) -> &'static [Migration] {
        self.migrations
    }

    /// The newest version; 0 when there is none.
    pub fn latest(&self) -> i32 {
        self.migrations
            .last()
            .map_or(0, |migration| migration.version)
    }

    pub(super) fn find(&self, version: i32) -> Option<&'static Migration> {
        self.migrations
            .iter()
            .find(|migration| migration.version == version)
    }

    pub(super) const fn roles_file(&self) -> &'static str {
        match self.database {
            Database::Core => "db/roles_core.sql",
            Database::Secure => "db/roles_secure.sql",
        }
    }
}

/// The embedded set of a database.
pub fn migrations(database: Database) -> &'static MigrationSet {
    match database {
        Database::Core => &CORE_SET,
        Database::Secure => &SECURE_SET,
    }
}

static CORE_SET: MigrationSet = embedded::CORE.for_database(Database::Core);
static SECURE_SET: MigrationSet = embedded::SECURE.for_database(Database::Secure);

/// What the build script wrote down.
mod embedded {
    use super::{Database, Migration, MigrationSet};

    pub(super) struct Embedded {
        migrations: &'static [Migration],
        roles_sql: &'static str,
        seed_rows_sql: Option<&'static str>,
        catalogue: &'static str,
    }

    impl Embedded {
        pub(super) const fn for_database(&self, database: Database) -> MigrationSet {
            MigrationSet {
                database,
                migrations: self.migrations,
                roles_sql: self.roles_sql,
                seed_rows_sql: self.seed_rows_sql,
                catalogue: self.catalogue,
            }
        }
    }

    include!(concat!(env!("OUT_DIR"), "/migrations.rs"));
}
