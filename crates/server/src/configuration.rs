//! What the operator decides: environment variables, else `clm.toml` in the data directory, else
//! defaults. The only place of the server that reads the environment.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use chrono::TimeDelta;
use clm_api::rate_limits::RateLimitSettings;
use clm_core::mail::MailSettings;
use clm_database::pool::Database;
use clm_domain::secret::SecretString;
use clm_domain::states::MasterKeyProviderKind;
use clm_secure::MasterKeySources;
use clm_secure_api::remote::token::is_address;

use crate::layout;

mod mail;
mod role;

pub use role::Role;
pub(crate) use role::{refuse_foreign_files, refuse_key_files};

/// Everything that `clm serve` needs to know.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// What this process does.
    pub role: Role,
    /// Where the installation lives.
    pub data_directory: PathBuf,
    /// Plain HTTP.
    pub http_listen: SocketAddr,
    /// HTTPS with a certificate of the platform's own CA; `None` turns it off.
    pub https_listen: Option<SocketAddr>,
    /// The URL that people and programs use; derived from the listeners when absent.
    pub public_url: Option<String>,
    /// How mail leaves, where it does.
    pub mail: Option<MailSettings>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// The first administrator's password; generated when absent.
    pub bootstrap_password: Option<SecretString>,
    /// External databases. None: the embedded mode.
    pub databases: Option<ExternalDatabases>,
    /// Where a Secure Service in a process of its own takes connections.
    pub secure_listen: SocketAddr,
    /// Where a core finds its Secure Service (`host:port`), when that is not where the token said.
    pub secure_address: Option<String>,
    /// How long the certificates of other processes live.
    pub transport_lifetime: TimeDelta,
    /// Where the master key is looked for.
    pub master_key: MasterKeyPlaces,
    /// PostgreSQL's programs, for the embedded mode.
    pub pg_bin: Option<PathBuf>,
    /// Most connections to each database.
    pub connections_max: u32,
    /// How much callers may ask for.
    pub rate_limits: RateLimitSettings,
    /// How much the log says, in the syntax of `tracing`, such as `info` or `clm_core=debug`.
    pub log: String,
    /// Whether the log is JSON.
    pub log_json: bool,
}

/// The databases of an installation whose servers the operator administers: both, or that of the one
/// service which runs here.
#[derive(Clone, Debug)]
pub struct ExternalDatabases {
    /// `clm_core_db`, as `clm_core_user`.
    pub core_url: Option<SecretString>,
    /// `clm_secure_db`, as `clm_secure_user`.
    pub secure_url: Option<SecretString>,
}

/// Where the master key is looked for. Which one is in force the database says.
#[derive(Clone, Debug, Default)]
pub struct MasterKeyPlaces {
    /// The file; inside the data directory when absent.
    pub file: Option<PathBuf>,
    /// The keys in `CLM_MASTER_KEY` and `CLM_MASTER_KEY_NEXT`.
    pub environment: [Option<SecretString>; 2],
    /// systemd's directory of credentials.
    pub credentials_directory: Option<PathBuf>,
    /// Who holds the first key of a new installation.
    pub first: Option<MasterKeyProviderKind>,
}

impl MasterKeyPlaces {
    /// The same for the Secure Service, with the file that counts unless another one is named.
    pub(crate) fn sources(&self, default_file: PathBuf, is_server: bool) -> MasterKeySources {
        MasterKeySources {
            file: self.file.clone().unwrap_or(default_file),
            environment: self.environment.clone(),
            credentials_directory: self.credentials_directory.clone(),
            first: self.first,
            is_server,
        }
    }
}

/// Most requests per second that can be set.
const RATE_MAX: u32 = 1_000_000;
/// The names of all settings, as in the environment.
const SETTINGS: &[&str] = &[
    "CLM_ROLE",
    "CLM_DATA_DIR",
    "CLM_HTTP_LISTEN",
    "CLM_HTTPS_LISTEN",
    "CLM_PUBLIC_URL",
    "CLM_SMTP_URL",
    "CLM_SMTP_FROM",
    "CLM_SMTP_CA_FILE",
    "CLM_TRUSTED_PROXIES",
    "CLM_BOOTSTRAP_PASSWORD",
    "CLM_CORE_DATABASE_URL",
    "CLM_SECURE_DATABASE_URL",
    "CLM_SECURE_LISTEN",
    "CLM_SECURE_ADDRESS",
    "CLM_TRANSPORT_CERTIFICATE_MINUTES",
    "CLM_MASTER_KEY_FILE",
    "CLM_MASTER_KEY_PROVIDER",
    "CLM_PG_BIN",
    "CLM_DATABASE_CONNECTIONS",
    "CLM_RATE_LIMIT_PER_PRINCIPAL",
    "CLM_RATE_LIMIT_PER_ADDRESS",
    "CLM_LOG",
    "CLM_LOG_FORMAT",
];

/// The setting that holds the URL of a database.
pub(crate) const fn url_setting(database: Database) -> &'static str {
    match database {
        Database::Core => "CLM_CORE_DATABASE_URL",
        Database::Secure => "CLM_SECURE_DATABASE_URL",
    }
}

/// Settings that hold a key, and so have no place in a file of settings.
const KEYS: [&str; 2] = ["CLM_MASTER_KEY", "CLM_MASTER_KEY_NEXT"];
/// Where systemd puts credentials (systemd.exec(5), "Credentials").
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// Credentials of other commands. A server uses none, and in one role must not even see one.
const ADMINISTRATORS: [&str; 2] = ["CLM_ADMIN_URL", "CLM_SECURE_ADMIN_URL"];

/// How long the certificates of other processes may live, in minutes: up to thirty days.
const TRANSPORT_MINUTES: std::ops::RangeInclusive<i64> = 1..=43_200;
/// Seven days.
const TRANSPORT_MINUTES_DEFAULT: i64 = 10_080;

/// Settings by name, before they are understood.
#[derive(Default)]
struct Settings(BTreeMap<String, String>);

impl Configuration {
    /// Reads the environment and `clm.toml`, for a command beside the server: it looks for what it
    /// needs itself.
    ///
    /// # Errors
    /// Says which setting cannot be understood and what would be right.
    pub fn load() -> anyhow::Result<Self> {
        let (data_directory, settings) = Settings::read()?;
        Self::from_settings(data_directory, &settings)
    }

    /// The same for the server, in the role that was typed, else in the one that is set.
    ///
    /// # Errors
    /// As above; also when the role lacks something, or has what belongs to the other one.
    pub fn load_for_serving(role: Option<Role>) -> anyhow::Result<Self> {
        let (data_directory, settings) = Settings::read()?;
        let mut configuration = Self::from_settings(data_directory, &settings)?;
        configuration.role = role.unwrap_or(configuration.role);
        configuration.role.check(&settings)?;
        Ok(configuration)
    }

    /// The URL of a database.
    pub(crate) fn database_url(&self, database: Database) -> anyhow::Result<&SecretString> {
        let databases = self.databases.as_ref();
        let url = databases.and_then(|databases| match database {
            Database::Core => databases.core_url.as_ref(),
            Database::Secure => databases.secure_url.as_ref(),
        });
        url.with_context(|| format!("{} is not set", url_setting(database)))
    }

    fn from_settings(data_directory: PathBuf, settings: &Settings) -> anyhow::Result<Self> {
        let https_listen = match settings.text("CLM_HTTPS_LISTEN") {
            Some("off") => None,
            Some(text) => Some(address("CLM_HTTPS_LISTEN", text)?),
            None => Some(SocketAddr::from(([127, 0, 0, 1], 8443))),
        };
        let http_listen = match settings.text("CLM_HTTP_LISTEN") {
            Some(text) => address("CLM_HTTP_LISTEN", text)?,
            None => SocketAddr::from(([127, 0, 0, 1], 8080)),
        };
        let connections_max = match settings.text("CLM_DATABASE_CONNECTIONS") {
            Some(text) => text
                .parse()
                .ok()
                .filter(|count| (2..=1000).contains(count))
                .with_context(|| {
                    format!("CLM_DATABASE_CONNECTIONS='{text}' must be a number from 2 to 1000")
                })?,
            None => 20,
        };
        let log_json = match settings.text("CLM_LOG_FORMAT") {
            None | Some("text") => false,
            Some("json") => true,
            Some(other) => bail!("CLM_LOG_FORMAT='{other}' must be 'text' or 'json'"),
        };
        let secure_listen = match settings.text("CLM_SECURE_LISTEN") {
            Some(text) => address("CLM_SECURE_LISTEN", text)?,
            None => SocketAddr::from(([127, 0, 0, 1], 9443)),
        };
        Ok(Self {
            role: settings.role()?,
            data_directory,
            http_listen,
            https_listen,
            public_url: settings.public_url()?,
            mail: settings.mail()?,
            trusted_proxies: settings.trusted_proxies()?,
            bootstrap_password: settings.secret("CLM_BOOTSTRAP_PASSWORD"),
            databases: settings.databases(),
            secure_listen,
            secure_address: settings.secure_address()?,
            transport_lifetime: settings.transport_lifetime()?,
            master_key: settings.master_key()?,
            pg_bin: settings.text("CLM_PG_BIN").map(PathBuf::from),
            connections_max,
            rate_limits: settings.rate_limits()?,
            log: settings
                .text("CLM_LOG")
                .unwrap_or("info,sqlx=warn")
                .to_owned(),
            log_json,
        })
    }
}

impl Settings {
    /// How much callers may ask for, in requests per second.
    fn rate_limits(&self) -> anyhow::Result<RateLimitSettings> {
        let default = RateLimitSettings::default();
        let read = |name: &str, default: u32| match self.text(name) {
            Some(text) => text
                .parse()
                .ok()
                .filter(|count| *count <= RATE_MAX)
                .with_context(|| format!("{name}='{text}' must be a number from 0 to {RATE_MAX}")),
            None => Ok(default),
        };
        Ok(RateLimitSettings {
            per_principal: read("CLM_RATE_LIMIT_PER_PRINCIPAL", default.per_principal)?,
            per_address: read("CLM_RATE_LIMIT_PER_ADDRESS", default.per_address)?,
        })
    }

    /// All settings, and where the installation lives.
    fn read() -> anyhow::Result<(PathBuf, Self)> {
        let mut settings = Self::default();
        let data_directory = layout::find_data_directory()?;
        settings.read_file(&data_directory.join("clm.toml"))?;
        settings.read_environment();
        Ok((data_directory, settings))
    }

    /// Reads `clm.toml`, whose keys are the names of the variables in lower case without `CLM_`.
    fn read_file(&mut self, path: &Path) -> anyhow::Result<()> {
        let Some(text) = layout::read_configuration(path)? else {
            return Ok(());
        };
        let table: BTreeMap<String, toml::Value> =
            toml::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
        for (key, value) in table {
            let name = format!("CLM_{}", key.to_ascii_uppercase());
            if !SETTINGS.contains(&name.as_str()) {
                bail!("{}: there is no setting '{key}'", path.display());
            }
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                other => bail!("{}: '{key}' cannot be {}", path.display(), other.type_str()),
            };
            self.0.insert(name, text);
        }
        Ok(())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "configuration is read here and nowhere else"
    )]
    fn read_environment(&mut self) {
        let others = [&KEYS[..], &[CREDENTIALS], &ADMINISTRATORS].concat();
        for name in SETTINGS.iter().chain(&others) {
            if let Ok(value) = std::env::var(name)
                && !value.is_empty()
            {
                self.0.insert((*name).to_owned(), value);
            }
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn secret(&self, name: &str) -> Option<SecretString> {
        self.text(name)
            .map(|text| SecretString::new(text.to_owned()))
    }

    fn public_url(&self) -> anyhow::Result<Option<String>> {
        let Some(text) = self.text("CLM_PUBLIC_URL") else {
            return Ok(None);
        };
        let url = url::Url::parse(text)
            .with_context(|| format!("CLM_PUBLIC_URL='{text}' must be a URL"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            bail!("CLM_PUBLIC_URL='{text}' must be a URL such as https://clm.example");
        }
        Ok(Some(text.trim_end_matches('/').to_owned()))
    }

    fn trusted_proxies(&self) -> anyhow::Result<Vec<IpAddr>> {
        self.text("CLM_TRUSTED_PROXIES")
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(|text| {
                text.parse()
                    .map(|address: IpAddr| address.to_canonical())
                    .with_context(|| format!("CLM_TRUSTED_PROXIES: '{text}' must be an IP address"))
            })
            .collect()
    }

    fn master_key(&self) -> anyhow::Result<MasterKeyPlaces> {
        let first = self.text("CLM_MASTER_KEY_PROVIDER").map(|text| {
            text.parse()
                .ok()
                .filter(|kind| *kind != MasterKeyProviderKind::Shamir)
                .with_context(|| {
                    format!(
                        "CLM_MASTER_KEY_PROVIDER='{text}' must be 'file', 'credential' or \
                         'environment'; a key is split later, by 'clm key master rotate'"
                    )
                })
        });
        Ok(MasterKeyPlaces {
            file: self.text("CLM_MASTER_KEY_FILE").map(PathBuf::from),
            environment: KEYS.map(|name| self.secret(name)),
            credentials_directory: self.text(CREDENTIALS).map(PathBuf::from),
            first: first.transpose()?,
        })
    }

    fn role(&self) -> anyhow::Result<Role> {
        match self.text("CLM_ROLE") {
            None => Ok(Role::All),
            Some(text) => text
                .parse()
                .map_err(|error| anyhow::anyhow!("CLM_ROLE={error}")),
        }
    }

    fn databases(&self) -> Option<ExternalDatabases> {
        let core_url = self.secret(url_setting(Database::Core));
        let secure_url = self.secret(url_setting(Database::Secure));
        (core_url.is_some() || secure_url.is_some()).then_some(ExternalDatabases {
            core_url,
            secure_url,
        })
    }

    fn check_both_databases(&self) -> anyhow::Result<()> {
        match self.databases() {
            Some(found) if found.core_url.is_none() || found.secure_url.is_none() => bail!(
                "set both CLM_CORE_DATABASE_URL and CLM_SECURE_DATABASE_URL, or neither for the \
                 embedded mode; a process that serves one of them has a role (clm serve --role)"
            ),
            _ => Ok(()),
        }
    }

    fn secure_address(&self) -> anyhow::Result<Option<String>> {
        match self.text("CLM_SECURE_ADDRESS") {
            Some(text) if !is_address(text) => bail!(
                "CLM_SECURE_ADDRESS='{text}' must be a host with a port, such as \
                 secure.example:9443"
            ),
            found => Ok(found.map(str::to_owned)),
        }
    }

    fn transport_lifetime(&self) -> anyhow::Result<TimeDelta> {
        let name = "CLM_TRANSPORT_CERTIFICATE_MINUTES";
        let minutes = match self.text(name) {
            None => Some(TRANSPORT_MINUTES_DEFAULT),
            Some(text) => text
                .parse()
                .ok()
                .filter(|minutes| TRANSPORT_MINUTES.contains(minutes)),
        };
        let minutes = minutes.with_context(|| {
            format!(
                "{name} must be a number from {} to {}",
                TRANSPORT_MINUTES.start(),
                TRANSPORT_MINUTES.end()
            )
        })?;
        Ok(TimeDelta::minutes(minutes))
    }
}

fn address(name: &str, text: &str) -> anyhow::Result<SocketAddr> {
    text.parse().with_context(|| {
        format!("{name}='{text}' must be an address with a port, such as 127.0.0.1:8080")
    })
}
