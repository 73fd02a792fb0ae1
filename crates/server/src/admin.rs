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
use clm_core::{Core, OpContext, reconcile, second_factor};
use clm_database::catalogue::{self, Difference};
use clm_database::migrate::{MigrationReport, MigrationStatus, Migrator, RollbackReport};
use clm_database::pool::Database;
use clm_database::roles;
use clm_domain::actor::Actor;
use clm_domain::ids::SYSTEM_ORGANIZATION;
use clm_domain::secret::SecretString;
use sqlx::postgres::PgConnectOptions;
use url::Url;

use crate::configuration::url_setting;
use crate::layout::Existing;
use crate::secure_away::SecureAway;
use crate::services::{Connection, CoreSide, SecureSide};
use crate::{Configuration, Role, SystemRng, transport_files};

/// Connections that a command needs.
const CONNECTIONS_MAX: u32 = 4;
/// After so long a difference is not one of a certificate under way.
const SETTLE_TIME: std::time::Duration = std::time::Duration::from_secs(3);

/// How administrators reach the databases: both, or that of the one service which runs here.
pub struct Administration {
    core: Option<Server>,
    secure: Option<Server>,
}

/// How an administrator reaches one server.
#[derive(Clone)]
struct Server {
    options: PgConnectOptions,
    /// The URL that the operator gave, whose parameters the programs need too.
    url: Option<Url>,
}

impl Administration {
    /// With the URLs given, else those of the settings, else through the local socket of an embedded
    /// installation that runs.
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
            return Ok(Self {
                core: Some(core),
                secure: Some(secure),
            });
        }
        if let Some(databases) = &configuration.databases {
            let read = |database, url: &Option<SecretString>| {
                let url = url.as_ref();
                url.map(|url| parse(url_setting(database), url.expose()))
                    .transpose()
            };
            return Ok(Self {
                core: read(Database::Core, &databases.core_url)?,
                secure: read(Database::Secure, &databases.secure_url)?,
            });
        }
        let existing = Existing::find(&configuration.data_directory)?;
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
        let options = PgConnectOptions::new_without_pgpass()
            .socket(&socket)
            .username(clm_database::cluster::ADMIN_ROLE)
            .database(roles::MAINTENANCE_DATABASE);
        let admin = Server { options, url: None };
        Ok(Self {
            core: Some(admin.clone()),
            secure: Some(admin),
        })
    }

    /// The databases that this host knows of, in the order in which they are treated.
    pub fn databases(&self) -> Vec<Database> {
        let both = [Database::Core, Database::Secure];
        let known = |database: &Database| self.server(*database).is_ok();
        both.into_iter().filter(known).collect()
    }

    fn server(&self, database: Database) -> anyhow::Result<&Server> {
        let server = match database {
            Database::Core => self.core.as_ref(),
            Database::Secure => self.secure.as_ref(),
        };
        server.with_context(|| {
            format!(
                "{} is not known here: give --admin-url, or name another --database",
                database.name()
            )
        })
    }

    fn of(&self, database: Database) -> anyhow::Result<PgConnectOptions> {
        let options = self.server(database)?.options.clone();
        Ok(options.database(database.name()))
    }

    /// Applies what is missing in one database.
    ///
    /// # Errors
    /// Those of the runner.
    pub async fn migrate(&self, database: Database) -> anyhow::Result<MigrationReport> {
        Ok(Migrator::new(&self.of(database)?, database)
            .migrate()
            .await?)
    }

    /// What is applied in one database.
    ///
    /// # Errors
    /// Those of the runner.
    pub async fn status(&self, database: Database) -> anyhow::Result<Vec<MigrationStatus>> {
        Ok(Migrator::new(&self.of(database)?, database)
            .status()
            .await?)
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
        Ok(Migrator::new(&self.of(database)?, database)
            .rollback(to, destroy_data)
            .await?)
    }

    /// Compares one database with what this program expects.
    ///
    /// # Errors
    /// When the catalogue cannot be read.
    pub async fn verify(&self, database: Database) -> anyhow::Result<Vec<Difference>> {
        Ok(catalogue::verify(&self.of(database)?, database).await?)
    }

    /// Prepares servers and writes the URLs for `clm serve` to a file of mode 0600.
    ///
    /// # Errors
    /// When a server cannot be prepared, or the file exists.
    pub async fn init(&self, databases: &[Database], out: &Path) -> anyhow::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(out)
            .with_context(|| format!("making {}: it must not exist yet", out.display()))?;
        let written = async {
            let lines = self.prepare_servers(databases).await?;
            file.write_all(lines.as_bytes())
                .and_then(|()| file.sync_all())
                .with_context(|| format!("writing {}", out.display()))
        }
        .await;
        if written.is_err() {
            // Ours, because it was made above: a repetition must be able to make it again.
            let _ = std::fs::remove_file(out);
        }
        written
    }

    /// Prepares servers and returns the lines that name their URLs.
    async fn prepare_servers(&self, databases: &[Database]) -> anyhow::Result<String> {
        let mut lines = String::new();
        for database in databases.iter().copied() {
            let admin = self.server(database)?;
            let name = url_setting(database);
            let report = roles::init(&admin.options, database, &SystemRng)
                .await
                .with_context(|| format!("preparing {}", database.name()))?;
            let options = report.connect_options(&admin.options);
            let password = report.password.expose();
            let url = admin
                .url
                .clone()
                .and_then(|url| url_like(url, &options, password))
                .unwrap_or_else(|| url_of(&options, password));
            lines.push_str(&format!("{name}={url}\n"));
        }
        Ok(lines)
    }

    /// The core on these connections, for commands that use it without a server. Its Secure Service is
    /// here too, unless this is the host of a core that was paired with one elsewhere.
    async fn open_core(&self, configuration: &Configuration) -> anyhow::Result<CommandCore> {
        let existing = Existing::find(&configuration.data_directory)?;
        let connection = |database| {
            anyhow::Ok(Connection {
                options: self.of(database)?,
                connections_max: CONNECTIONS_MAX,
            })
        };
        if self.secure.is_none() || configuration.role == Role::Core {
            let path = existing.state_directory.join(transport_files::CORE);
            let away = SecureAway::open(&path, configuration)?;
            let side = CoreSide::open(connection(Database::Core)?, away.access(), None).await?;
            return Ok(CommandCore { side, secure: None });
        }
        let default_file = existing.state_directory.join("master.key");
        let sources = configuration.master_key.sources(default_file, false);
        let secure = SecureSide::open(connection(Database::Secure)?, sources).await?;
        let side = CoreSide::open(connection(Database::Core)?, secure.access(), None).await?;
        Ok(CommandCore {
            side,
            secure: Some(secure),
        })
    }

    /// Every difference between the two databases, as text. Each is recorded in the audit log.
    ///
    /// # Errors
    /// Those of both databases.
    pub async fn reconcile_check(
        &self,
        configuration: &Configuration,
    ) -> anyhow::Result<Vec<String>> {
        let opened = self.open_core(configuration).await?;
        let found = lasting_differences(&opened.side.core).await;
        opened.close().await;
        Ok(found?.iter().map(ToString::to_string).collect())
    }

    /// Removes the second factor of a user who has lost it, as the operator of this machine.
    ///
    /// # Errors
    /// When there is no such user, or the user has no second factor.
    pub async fn reset_second_factor(
        &self,
        configuration: &Configuration,
        (slug, username): (&str, &str),
        reason: String,
    ) -> anyhow::Result<()> {
        let opened = self.open_core(configuration).await?;
        let done = reset_second_factor(&opened.side.core, (slug, username), reason).await;
        opened.close().await;
        done
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
        let opened = self.open_core(configuration).await?;
        let credential = (username, password);
        let created = create_administrator(&opened.side.core, credential, organization).await;
        opened.close().await;
        created
    }
}

/// A core that one command uses.
struct CommandCore {
    side: CoreSide,
    secure: Option<SecureSide>,
}

impl CommandCore {
    async fn close(&self) {
        self.side.close().await;
        if let Some(secure) = &self.secure {
            secure.close().await;
        }
    }
}

/// Differences that are no certificates under way: they stand a moment later too. They are recorded.
async fn lasting_differences(core: &Core) -> anyhow::Result<Vec<reconcile::Difference>> {
    let first = reconcile::check(core, Duration::zero()).await?;
    if first.is_empty() {
        return Ok(first);
    }
    tokio::time::sleep(SETTLE_TIME).await;
    let second = reconcile::check(core, Duration::zero()).await?;
    let lasting: Vec<_> = second
        .into_iter()
        .filter(|difference| first.contains(difference))
        .collect();
    reconcile::record(core, &lasting).await?;
    Ok(lasting)
}

async fn reset_second_factor(
    core: &Core,
    (slug, username): (&str, &str),
    reason: String,
) -> anyhow::Result<()> {
    let organization = organizations::find_by_slug_or_id(core, slug).await?;
    let organization =
        organization.with_context(|| format!("there is no organization '{slug}'"))?;
    let organization_id = organization.organization_id;
    let user = users::find_by_name(core, username, organization_id).await?;
    let user = user.with_context(|| format!("there is no user '{username}' in '{slug}'"))?;
    let uid = rustix::process::getuid().as_raw();
    let context = OpContext {
        actor: Actor::LocalOperator { uid },
        ..OpContext::system(core, organization_id)
    };
    second_factor::reset(&context, core, (user.user_id, reason)).await?;
    Ok(())
}

/// Makes nothing, not even the organization, once an administrator exists.
async fn create_administrator(
    core: &Core,
    (username, password): (String, SecretString),
    (slug, name): (String, String),
) -> anyhow::Result<()> {
    users::refuse_second_administrator(core).await?;
    let organization = match organizations::find_by_slug_or_id(core, &slug).await? {
        Some(found) => found,
        None => {
            let system = OpContext::system(core, SYSTEM_ORGANIZATION);
            let new = NewOrganization {
                name,
                slug,
                max_users: None,
                max_certificates: None,
            };
            organizations::create(&system, core, new).await?
        }
    };
    let new = NewAdministrator {
        username,
        password,
        email: None,
        organization_id: organization.organization_id,
    };
    users::create_administrator(core, new).await?;
    Ok(())
}

fn parse(name: &str, url: &str) -> anyhow::Result<Server> {
    // The parser's error may repeat parts of the URL, and with them the password.
    let options = url.parse().ok().with_context(|| {
        format!("{name} must be a URL such as postgres://postgres:…@host/postgres")
    })?;
    Ok(Server {
        options,
        url: Url::parse(url).ok(),
    })
}

/// The administrator's URL with the program's user, password and database; everything else, such as
/// `sslmode` and `sslrootcert`, stays. `None` for a URL without a host, which carries no user.
fn url_like(mut url: Url, options: &PgConnectOptions, password: &str) -> Option<String> {
    url.set_username(options.get_username()).ok()?;
    url.set_password(Some(password)).ok()?;
    url.set_path(options.get_database().unwrap_or_default());
    // As parameters they would win over their places in the URL.
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| !matches!(name.as_ref(), "user" | "password" | "dbname"))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    Some(url.into())
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

#[cfg(test)]
mod tests;
