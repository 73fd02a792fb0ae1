//! `cfssl serve`: a signer without database, audit or credentials, as a second yardstick. It is
//! measured where it is installed; nothing is installed for it.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::http_client::{Connection, Endpoint};
use crate::load::Client;
use crate::process::Process;
use crate::requests::{Csr, Turns};

/// How long it may take to answer at first.
const READY_WITHIN: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);

/// A running `cfssl serve` with a P-256 authority of its own.
#[derive(Debug)]
pub(crate) struct Cfssl {
    process: Process,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    endpoint: Endpoint,
    bodies: Turns<String>,
}

/// What `cfssl genkey -initca` prints.
#[derive(Deserialize)]
struct Authority {
    cert: String,
    key: String,
}

impl Cfssl {
    /// Starts it with its files in `directory`; `None` when it is not installed.
    ///
    /// # Errors
    /// When it is installed and does not work.
    pub(crate) async fn start(
        program: &Path,
        directory: &Path,
        csrs: &[Csr],
    ) -> anyhow::Result<Option<Self>> {
        if !is_installed(program)? {
            return Ok(None);
        }
        let (certificate, key) = make_authority(program, directory)?;
        let port = free_port()?;
        let mut command = Command::new(program);
        command
            .args(["serve", "-address", "127.0.0.1", "-loglevel", "5", "-port"])
            .arg(port.to_string())
            .arg("-ca")
            .arg(certificate)
            .arg("-ca-key")
            .arg(key)
            .current_dir(directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = Process::spawn("cfssl", command)?;
        let bodies = csrs
            .iter()
            .map(|csr| json!({ "certificate_request": csr.pem() }).to_string())
            .collect();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let shared = Arc::new(Shared {
            endpoint: Endpoint::new(address, "/api/v1/cfssl/sign")?,
            bodies: Turns::new(bodies),
        });
        let mut cfssl = Self { process, shared };
        cfssl.wait_until_ready().await?;
        Ok(Some(cfssl))
    }

    /// So many clients.
    pub(crate) fn clients(&self, count: u16) -> Vec<CfsslClient> {
        (0..count).map(|_| self.client()).collect()
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it does not end.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.process.stop().await.map(drop)
    }

    fn client(&self) -> CfsslClient {
        CfsslClient {
            connection: Connection::to(&self.shared.endpoint),
            shared: Arc::clone(&self.shared),
        }
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        let mut client = self.client();
        loop {
            if let Some(status) = self.process.ended() {
                bail!("cfssl serve ended at its start ({status})");
            }
            match client.issue().await {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() >= deadline => {
                    return Err(error).context("cfssl serve does not sign");
                }
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }
}

/// One who asks cfssl.
#[derive(Debug)]
pub(crate) struct CfsslClient {
    connection: Connection,
    shared: Arc<Shared>,
}

impl Client for CfsslClient {
    async fn issue(&mut self) -> anyhow::Result<()> {
        let (_, body) = self.shared.bodies.next()?;
        let request = self.shared.endpoint.post(body.clone());
        let answer = self.connection.send(request).await?;
        answer.expect(StatusCode::OK).map(drop)
    }
}

fn is_installed(program: &Path) -> anyhow::Result<bool> {
    let asked = Command::new(program)
        .arg("version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match asked {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("running {}", program.display())),
    }
}

/// Makes key and certificate, and returns the files of both, certificate first.
fn make_authority(program: &Path, directory: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    fs::DirBuilder::new()
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("making {}", directory.display()))?;
    let file = |name: &str| directory.join(name);
    let wanted = json!({
        "CN": "Benchmark CA",
        "key": { "algo": "ecdsa", "size": 256 },
        "ca": { "expiry": "87600h" },
    });
    fs::write(file("csr.json"), wanted.to_string()).context("writing csr.json")?;
    let made = Command::new(program)
        .args(["genkey", "-initca", "-loglevel", "5"])
        .arg(file("csr.json"))
        .stdin(Stdio::null())
        .output()
        .context("running cfssl genkey")?;
    let authority: Authority =
        serde_json::from_slice(&made.stdout).context("reading what cfssl genkey printed")?;
    fs::write(file("ca.pem"), authority.cert).context("writing ca.pem")?;
    fs::write(file("ca-key.pem"), authority.key).context("writing ca-key.pem")?;
    Ok((file("ca.pem"), file("ca-key.pem")))
}

/// A port that is free now; cfssl takes no 0.
fn free_port() -> anyhow::Result<u16> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("finding a port that is free")?;
    Ok(listener.local_addr().context("finding a port")?.port())
}
