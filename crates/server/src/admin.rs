//! What `clm db …` and `clm user create-admin` do: they speak to the databases themselves, as an
//! administrator of the servers, or as the owner of an embedded installation.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use chrono::Duration;
use clm_core::organizations::{self, NewOrganization};
use clm_core::users::{self, NewAdministrator};
use clm_core::{OpContext, reconcile};
use clm_database::catalogue::{self, Difference};
use clm_database::migrate::{MigrationReport, MigrationStatus, Migrator, RollbackReport};
use clm_database::pool::Database;
use clm_database::roles;
use clm_domain::ids::SYSTEM_ORGANIZATION;
use clm_domain::secret::SecretString;
use sqlx::postgres::PgConnectOptions;

use crate::layout::Existing;
use crate::services::{Connections, MasterKeyFile, Services};
use crate::{Configuration, SystemRng};

/// Connections that a command needs.
const CONNECTIONS_MAX: u32 = 4;
/// After so long a difference is not one of a certificate under way.
const SETTLE_TIME: std::time::Duration = std::time::Duration::from_secs(3);

/// How administrators reach both databases.
pub struct Administration {
    core: PgConnectOptions,
    secure: PgConnectOptions,
}

impl Administration {
    /// With the URLs given, else through the local socket of an embedded installation that runs.
    ///
    /// # Errors
    /// When a URL cannot be read, or no private server is found.
    pub fn open(
        configuration: &Configuration,
        admin_url: Option<&str>,
        secure_admin_url: Option<&str>,
    ) -> anyhow::Result<Self> {
        if let Some(url) = admin_url {
            let core = parse("--admin-url", url)?;
            let secure = match secure_admin_url {
                Some(url) => parse("--secure-admin-url", url)?,
                None => core.clone(),
            };
            return Ok(Self { core, secure });
        }
        if let Some(databases) = &configuration.databases {
            let core = parse("CLM_CORE_DATABASE_URL", databases.core_url.expose())?;
            let secure = parse("CLM_SECURE_DATABASE_URL", databases.secure_url.expose())?;
            return Ok(Self { core, secure });
        }
        let existing = Existing::find(&configuration.data_directory);
        let socket = existing
            .run_directory
            .map(|run| run.join("pg"))
            .filter(|pg| pg.is_dir());
        let Some(socket) = socket else {
            bail!(
                "no private PostgreSQL runs for {}: start 'clm serve', or give --admin-url",
                configuration.data_directory.display()
            );
        };
        let admin = PgConnectOptions::new_without_pgpass()
            .socket(&socket)
            .username(clm_database::cluster::ADMIN_ROLE)
            .database(roles::MAINTENANCE_DATABASE);
        Ok(Self {
            core: admin.clone(),
            secure: admin,
        })
    }

    fn of(&self, database: Database) -> PgConnectOptions {
        let options = match database {
            Database::Core => &self.core,
            Database::Secure => &self.secure,
        };
        options.clone().database(database.name())
    }

    /// Applies what is missing in one database.
    ///
    /// # Errors
    /// Those of the runner.
    pub async fn migrate(&self, database: Database) -> anyhow::Result<MigrationReport> {
        Ok(Migrator::new(&self.of(database), database)
            .migrate()
            .await?)
    }

    /// What is applied in one database.
    ///
    /// # Errors
    /// Those of the runner.
    pub async fn status(&self, database: Database) -> anyhow::Result<Vec<MigrationStatus>> {
        Ok(Migrator::new(&self.of(database), database).status().await?)
    }

    /// Goes back to a version.
    ///
    /// # Errors
    /// Those of the runner; refuses to destroy keys, certificates or audit rows unless told to.
    pub async fn rollback(
        &self,
        database: Database,
        to: i32,
        destroy_data: bool,
    ) -> anyhow::Result<RollbackReport> {
        Ok(Migrator::new(&self.of(database), database)
            .rollback(to, destroy_data)
            .await?)
    }

    /// Compares one database with what this program expects.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn verify(&self, database: Database) -> anyhow::Result<Vec<Difference>> {
        Ok(catalogue::verify(&self.of(database), database).await?)
    }

    /// Prepares both servers and writes the two URLs for `clm serve` to a file of mode 0600.
    ///
    /// # Errors
    /// When a server cannot be prepared, or the file exists.
    pub async fn init(&self, out: &Path) -> anyhow::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(out)
            .with_context(|| format!("making {}: it must not exist yet", out.display()))?;
        let mut lines = String::new();
        for (database, admin, name) in [
            (Database::Core, &self.core, "CLM_CORE_DATABASE_URL"),
            (Database::Secure, &self.secure, "CLM_SECURE_DATABASE_URL"),
        ] {
            let report = roles::init(admin, database, &SystemRng)
                .await
                .with_context(|| format!("preparing {}", database.name()))?;
            let url = url_of(&report.connect_options(admin), report.password.expose());
            lines.push_str(&format!("{name}={url}\n"));
        }
        file.write_all(lines.as_bytes())
            .and_then(|()| file.sync_all())
            .with_context(|| format!("writing {}", out.display()))
    }

    /// Both services on these connections, for commands that use them without a server.
    async fn services(&self, configuration: &Configuration) -> anyhow::Result<Services> {
        let existing = Existing::find(&configuration.data_directory);
        let path = configuration
            .master_key_file
            .clone()
            .unwrap_or_else(|| existing.state_directory.join("master.key"));
        let connections = Connections {
            core: self.of(Database::Core),
            secure: self.of(Database::Secure),
            connections_max: CONNECTIONS_MAX,
        };
        Services::open(connections, MasterKeyFile::OfCommand(path)).await
    }

    /// Every difference between the two databases, as text.
    ///
    /// # Errors
    /// Those of both databases.
    pub async fn reconcile_check(
        &self,
        configuration: &Configuration,
    ) -> anyhow::Result<Vec<String>> {
        let services = self.services(configuration).await?;
        let found = lasting_differences(&services).await;
        services.close().await;
        Ok(found?.iter().map(ToString::to_string).collect())
    }

    /// Makes the first administrator, and the organization when it is missing.
    ///
    /// # Errors
    /// Refused once an administrator exists.
    pub async fn create_administrator(
        &self,
        configuration: &Configuration,
        (username, password): (String, SecretString),
        organization: (String, String),
    ) -> anyhow::Result<()> {
        let services = self.services(configuration).await?;
        let core = &services.core;
        let (slug, name) = organization;
        let organization = match organizations::find_by_slug_or_id(core, &slug).await? {
            Some(found) => found,
            None => {
                let system = OpContext::system(core, SYSTEM_ORGANIZATION);
                organizations::create(&system, core, NewOrganization { name, slug }).await?
            }
        };
        let new = NewAdministrator {
            username,
            password,
            email: None,
            organization_id: organization.organization_id,
        };
        let created = users::create_administrator(core, new).await;
        services.close().await;
        created.map(|_| ()).map_err(Into::into)
    }
}

/// Differences that are no certificates under way: they stand a moment later too.
async fn lasting_differences(services: &Services) -> anyhow::Result<Vec<reconcile::Difference>> {
    let first = reconcile::check(&services.core, Duration::zero()).await?;
    if first.is_empty() {
        return Ok(first);
    }
    tokio::time::sleep(SETTLE_TIME).await;
    let second = reconcile::check(&services.core, Duration::zero()).await?;
    Ok(second
        .into_iter()
        .filter(|difference| first.contains(difference))
        .collect())
}

fn parse(name: &str, url: &str) -> anyhow::Result<PgConnectOptions> {
    // The parser's error may repeat parts of the URL, and with them the password.
    url.parse().ok().with_context(|| {
        format!("{name} must be a URL such as postgres://postgres:…@host/postgres")
    })
}

/// A connection URL with the program's user and its new password.
fn url_of(options: &PgConnectOptions, password: &str) -> String {
    let user = options.get_username();
    let database = options.get_database().unwrap_or_default();
    match options.get_socket() {
        Some(socket) => {
            let directory: String =
                url::form_urlencoded::byte_serialize(socket.as_os_str().as_encoded_bytes())
                    .collect();
            format!(
                "postgres://{user}:{password}@localhost/{database}?host={directory}&port={}",
                options.get_port()
            )
        }
        None => format!(
            "postgres://{user}:{password}@{}:{}/{database}",
            options.get_host(),
            options.get_port()
        ),
    }
}
