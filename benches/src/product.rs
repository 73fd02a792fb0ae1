//! The platform: a fresh installation in its embedded mode with full durability, asked over plain
//! HTTP on loopback with an API key.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clm_api_types::api_keys::ApiKeyCreate;
use clm_api_types::certificate_requests::{CertificateRequestCreate, CertificateRequestCreated};
use clm_api_types::client::{Client as ApiClient, ClientOptions, Credential};
use clm_api_types::sessions::SessionCreate;
use clm_api_types::{BASE_PATH, IDEMPOTENCY_HEADER};
use clm_domain::key_algorithm::KeyAlgorithm;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;

use crate::http_client::{Connection, Endpoint};
use crate::load::Client;
use crate::process::Process;
use crate::requests::{Csr, Turns};
use crate::stepping_up::Password;

/// How long a start may take before it counts as failed.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// How often it is looked whether it is ready: the resolution of start-up times.
const POLL: Duration = Duration::from_millis(5);
/// How many bytes of the log are told when the program ends at its start.
const LOG_TOLD_BYTES_MAX: usize = 2_000;

/// An installation that does not run. Dropping it removes what it left outside its directory.
#[derive(Debug)]
pub(crate) struct Installation {
    /// The program.
    pub(crate) program: PathBuf,
    /// Its data directory; missing before the first start.
    pub(crate) data_directory: PathBuf,
    /// PostgreSQL's programs.
    pub(crate) pg_bin: Option<PathBuf>,
}

/// A running installation.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    bootstrap: Bootstrap,
    /// From the start of the process until `/readyz` said yes.
    pub(crate) ready_after: Duration,
    installation: Installation,
}

/// What is read of `bootstrap.json`.
#[derive(Debug, Deserialize)]
struct Bootstrap {
    url: String,
    username: String,
    password: String,
}

impl Installation {
    /// Starts the program and waits until it is ready.
    ///
    /// # Errors
    /// When it ends or is not ready in time.
    pub(crate) async fn start(self) -> anyhow::Result<Server> {
        let out = self.data_directory.with_extension("out");
        let log = self.data_directory.with_extension("log");
        let command = self.command(&out, &log)?;
        let begun = Instant::now();
        let mut process = Process::spawn("clm", command)?;
        wait_until_ready(&mut process, &out, &log).await?;
        let bootstrap = self.read_bootstrap()?;
        let ready = Endpoint::new(address(&bootstrap.url)?, "/readyz")?;
        let answer = Connection::to(&ready).send(ready.get()).await?;
        answer
            .expect(StatusCode::OK)
            .context("clm says 'ready', and /readyz does not")?;
        Ok(Server {
            process,
            bootstrap,
            ready_after: begun.elapsed(),
            installation: self,
        })
    }

    /// The directory of the private PostgreSQL's socket.
    pub(crate) fn postgresql_socket_directory(&self) -> Option<PathBuf> {
        self.run_directory().map(|directory| directory.join("pg"))
    }

    fn command(&self, out: &Path, log: &Path) -> anyhow::Result<Command> {
        let mut command = program(&self.program, &["serve"]);
        command
            .env("CLM_DATA_DIR", &self.data_directory)
            .env("CLM_RATE_LIMIT_PER_PRINCIPAL", "0")
            .env("CLM_RATE_LIMIT_PER_ADDRESS", "0")
            .env("CLM_HTTP_LISTEN", "127.0.0.1:0")
            .env("CLM_HTTPS_LISTEN", "127.0.0.1:0");
        if let Some(pg_bin) = &self.pg_bin {
            command.env("CLM_PG_BIN", pg_bin);
        }
        let file =
            |path: &Path| File::create(path).with_context(|| format!("writing {}", path.display()));
        command.stdout(file(out)?).stderr(file(log)?);
        Ok(command)
    }

    fn read_bootstrap(&self) -> anyhow::Result<Bootstrap> {
        let path = self.data_directory.join("bootstrap.json");
        let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))
    }

    /// Where its sockets are, as the link in the data directory says.
    fn run_directory(&self) -> Option<PathBuf> {
        let socket = fs::read_link(self.data_directory.join("clm.sock")).ok()?;
        Some(socket.parent()?.to_path_buf())
    }
}

/// The program, without any setting of whoever runs the benchmark.
pub(crate) fn program(path: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(path);
    command.args(arguments);
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"CLM_") {
            command.env_remove(name);
        }
    }
    command
}

/// Waits until a program says so in its output, and returns that: the addresses stand there, because
/// the system chooses the ports.
///
/// # Errors
/// When it ends or is not ready in time.
pub(crate) async fn wait_until_ready(
    process: &mut Process,
    out: &Path,
    log: &Path,
) -> anyhow::Result<String> {
    let begun = Instant::now();
    loop {
        if let Some(status) = process.ended() {
            bail!("clm ended at its start ({status}): {}", tail(log));
        }
        if begun.elapsed() > READY_WITHIN {
            bail!("clm is not ready after {READY_WITHIN:?}: {}", tail(log));
        }
        match fs::read_to_string(out) {
            Ok(out) if out.lines().any(|line| line == "ready") => return Ok(out),
            _ => tokio::time::sleep(POLL).await,
        }
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        let belongs_to_clm = |path: &PathBuf| {
            let below = path.parent().is_some_and(|parent| parent.ends_with("clm"));
            let named = path.file_name().and_then(|name| name.to_str());
            below || named.is_some_and(|name| name.starts_with("clm-"))
        };
        let elsewhere = fs::read_to_string(self.data_directory.join("location"))
            .ok()
            .map(|text| PathBuf::from(text.trim_end()));
        for path in [self.run_directory(), elsewhere].into_iter().flatten() {
            if belongs_to_clm(&path) {
                let _ = fs::remove_dir_all(path);
            }
        }
        let _ = fs::remove_dir_all(&self.data_directory);
    }
}

impl Server {
    /// The program's process id; PostgreSQL runs below it.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The installation that it runs.
    pub(crate) const fn installation(&self) -> &Installation {
        &self.installation
    }

    /// Ends it in order; the installation can be started again.
    ///
    /// # Errors
    /// When it does not end, or says that it failed.
    pub(crate) async fn stop(self) -> anyhow::Result<Installation> {
        let status = self.process.stop().await?;
        if !status.success() {
            bail!("clm did not end in order ({status})");
        }
        Ok(self.installation)
    }

    /// Signs in as the administrator and makes an API key.
    async fn make_api_key(&self) -> anyhow::Result<String> {
        let Bootstrap {
            url,
            username,
            password,
        } = &self.bootstrap;
        make_api_key(&sign_in(url, username, password).await?).await
    }
}

/// Signs in as an administrator.
///
/// # Errors
/// When that is refused.
pub(crate) async fn sign_in(
    url: &str,
    username: &str,
    password: &str,
) -> anyhow::Result<ApiClient> {
    let connect = |credential| ApiClient::over_network(url, credential, &ClientOptions::default());
    let sign_in = SessionCreate {
        username: username.to_owned(),
        password: password.to_owned(),
        organization: None,
    };
    let signed_in = connect(Credential::None)?.sign_in(&sign_in).await;
    let (_, session) = signed_in.context("signing in")?;
    Ok(connect(session)?.asking(Arc::new(Password(password.to_owned()))))
}

/// Makes an API key.
///
/// # Errors
/// When that is refused.
pub(crate) async fn make_api_key(administrator: &ApiClient) -> anyhow::Result<String> {
    let wanted = ApiKeyCreate {
        name: "benchmark".to_owned(),
        scopes: None,
        expires_at: None,
        allowed_networks: None,
        user_id: None,
    };
    let created = administrator.create_api_key(&wanted).await;
    Ok(created.context("making an API key")?.secret)
}

/// A running installation that can be asked for certificates.
#[derive(Debug)]
pub(crate) struct Product {
    pub(crate) server: Server,
    api_key: String,
    asked: Asked,
}

/// Where certificates are asked for, and with what.
#[derive(Debug)]
pub(crate) struct Asked(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    endpoint: Endpoint,
    bodies: Turns<String>,
}

impl Product {
    /// Prepares a running installation, and shows by one request that it issues.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) async fn prepare(server: Server, csrs: &[Csr]) -> anyhow::Result<Self> {
        let api_key = server.make_api_key().await?;
        let asked = Asked::prepare(&server.bootstrap.url, &api_key, csrs).await?;
        Ok(Self {
            server,
            api_key,
            asked,
        })
    }

    /// So many clients.
    pub(crate) fn clients(&self, count: u16) -> Vec<ProductClient> {
        self.asked.clients(count)
    }

    /// Clients whose keys the platform makes and keeps.
    pub(crate) fn key_clients(&self, count: u16) -> anyhow::Result<Vec<ProductClient>> {
        let body = serde_json::to_string(&CertificateRequestCreate {
            key_algorithm: Some(KeyAlgorithm::EcdsaP256),
            subject_alternative_names: vec!["DNS:rotated.example".to_owned()],
            ..CertificateRequestCreate::default()
        })?;
        let shared = Arc::new(Shared {
            endpoint: self.asked.0.endpoint.clone(),
            bodies: Turns::new([body].into()),
        });
        let client = |_| ProductClient {
            connection: Connection::to(&shared.endpoint),
            keys: "benchmark-key",
            shared: Arc::clone(&shared),
        };
        Ok((0..count).map(client).collect())
    }

    /// Where a path is read, with the administrator's API key.
    ///
    /// # Errors
    /// When `path` is none.
    pub(crate) fn endpoint(&self, path: &str) -> anyhow::Result<Endpoint> {
        let address = address(&self.server.bootstrap.url)?;
        let credential = format!("Bearer {}", self.api_key);
        Endpoint::new(address, path)?.with_header("authorization", &credential)
    }

    /// The typed client, as its administrator.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn api(&self) -> anyhow::Result<ApiClient> {
        let credential = Credential::ApiKey(self.api_key.clone());
        let url = &self.server.bootstrap.url;
        Ok(ApiClient::over_network(
            url,
            credential,
            &ClientOptions::default(),
        )?)
    }
}

impl Asked {
    /// Shows by one request that certificates are issued there.
    ///
    /// # Errors
    /// When none is.
    pub(crate) async fn prepare(url: &str, api_key: &str, csrs: &[Csr]) -> anyhow::Result<Self> {
        let path = format!("{BASE_PATH}/certificate-requests");
        let endpoint = Endpoint::new(address(url)?, &path)?
            .with_header("authorization", &format!("Bearer {api_key}"))?;
        let bodies = csrs.iter().map(body).collect::<anyhow::Result<_>>()?;
        let asked = Self(Arc::new(Shared {
            endpoint,
            bodies: Turns::new(bodies),
        }));
        let answer = asked.client().ask().await.context("asking clm at first")?;
        let _certificate: CertificateRequestCreated =
            serde_json::from_slice(&answer).context("reading the first certificate")?;
        Ok(asked)
    }

    /// So many clients.
    pub(crate) fn clients(&self, count: u16) -> Vec<ProductClient> {
        (0..count).map(|_| self.client()).collect()
    }

    fn client(&self) -> ProductClient {
        ProductClient {
            connection: Connection::to(&self.0.endpoint),
            keys: "benchmark-request",
            shared: Arc::clone(&self.0),
        }
    }
}

/// One who asks the platform.
#[derive(Debug)]
pub(crate) struct ProductClient {
    connection: Connection,
    /// What its idempotency keys begin with.
    keys: &'static str,
    shared: Arc<Shared>,
}

impl ProductClient {
    async fn ask(&mut self) -> anyhow::Result<Vec<u8>> {
        let (number, body) = self.shared.bodies.next()?;
        let mut request = self.shared.endpoint.post(body.clone());
        let key = HeaderValue::try_from(format!("{}-{number:012}", self.keys))?;
        request.headers_mut().insert(IDEMPOTENCY_HEADER, key);
        let answer = self.connection.send(request).await?;
        Ok(answer.expect(StatusCode::CREATED)?.body)
    }
}

impl Client for ProductClient {
    async fn issue(&mut self) -> anyhow::Result<()> {
        self.ask().await.map(drop)
    }
}

fn body(csr: &Csr) -> anyhow::Result<String> {
    let request = CertificateRequestCreate {
        csr: Some(csr.pem()),
        ..CertificateRequestCreate::default()
    };
    serde_json::to_string(&request).context("writing a request")
}

/// The address in a URL such as `http://127.0.0.1:8080`.
fn address(url: &str) -> anyhow::Result<SocketAddr> {
    let parsed = url::Url::parse(url).with_context(|| format!("reading the URL '{url}'"))?;
    let addresses = parsed.socket_addrs(|| None)?;
    addresses
        .first()
        .copied()
        .with_context(|| format!("'{url}' names no address"))
}

/// The end of a log.
fn tail(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let begin = bytes.len().saturating_sub(LOG_TOLD_BYTES_MAX);
    let end = bytes.get(begin..).unwrap_or_default();
    String::from_utf8_lossy(end).trim().to_owned()
}
