//! The platform in two processes, as on two hosts: a core and a Secure Service that speak over mutual TLS
//! on loopback, on one server with the settings of the embedded mode. What differs from the product is
//! the way between them.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, ensure};
use clm_api_types::certificate_authorities::CertificateAuthorityCreate;
use clm_api_types::client::Client as ApiClient;
use clm_database::PoolOptions;
use clm_database::cluster::{Account, Cluster, ClusterOptions, Durability};
use clm_database::roles::MAINTENANCE_DATABASE;
use clm_domain::key_algorithm::KeyAlgorithm;
use uuid::Uuid;

use crate::bare_loop::{SPARE_CONNECTIONS, account};
use crate::process::Process;
use crate::product::{Asked, ProductClient, make_api_key, program, sign_in, wait_until_ready};
use crate::requests::Csr;
use crate::stepping_up::with_second_factor;

/// The administrator of this installation.
const ADMINISTRATOR: &str = "admin";
const PASSWORD: &str = "correct horse battery staple";

/// Both processes, and their databases.
#[derive(Debug)]
pub(crate) struct Apart {
    asked: Asked,
    core: Process,
    secure: Process,
    cluster: Cluster,
}

/// Where its files are, and who runs it.
struct Place<'a> {
    directory: &'a Path,
    program: PathBuf,
    account: Option<Account>,
    settings: Vec<(String, String)>,
}

impl Apart {
    /// Starts and pairs both in `directory`, which must exist.
    ///
    /// # Errors
    /// When one of them does not start, or no certificate is issued.
    pub(crate) async fn start(
        directory: &Path,
        (program, pg_bin): (&Path, Option<&Path>),
        csrs: &[Csr],
    ) -> anyhow::Result<Self> {
        let connections = PoolOptions::default().connections_max * 2 + SPARE_CONNECTIONS;
        let account = account()?;
        let cluster = Cluster::start(ClusterOptions {
            data_directory: directory.join("data"),
            socket_directory: directory.join("s"),
            account: account.clone(),
            durability: Durability::Full,
            pg_bin: pg_bin.map(Path::to_path_buf),
            max_connections: u16::try_from(connections)?,
            log_file: directory.join("postgresql.log"),
        })
        .await
        .context("starting the databases of the processes apart")?;
        let mut place = Place::prepare(directory, program, account)?;
        place.prepare_databases(&cluster)?;
        let (secure, said) = place.serve("secure").await?;
        place.pair(line(&said, "secure")?)?;
        let (core, said) = place.serve("core").await?;
        let url = line(&said, "url")?;
        place.run(
            "core",
            &[
                "user",
                "create-admin",
                "--username",
                ADMINISTRATOR,
                "--password-stdin",
            ],
            PASSWORD,
        )?;
        let administrator = sign_in(url, ADMINISTRATOR, PASSWORD).await?;
        let api_key = make_api_key(&administrator).await?;
        make_authorities(&with_second_factor(url, &administrator).await?).await?;
        Ok(Self {
            asked: Asked::prepare(url, &api_key, csrs).await?,
            core,
            secure,
            cluster,
        })
    }

    /// So many clients.
    pub(crate) fn clients(&self, count: u16) -> Vec<ProductClient> {
        self.asked.clients(count)
    }

    /// Ends both, and the databases.
    ///
    /// # Errors
    /// When one of them does not end in order.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        for process in [self.core, self.secure] {
            let status = process.stop().await?;
            ensure!(status.success(), "clm did not end in order ({status})");
        }
        let stopped = self.cluster.stop().await;
        stopped.context("stopping the databases of the processes apart")
    }
}

impl<'a> Place<'a> {
    /// A copy of the program that the account can read, and a directory for each side.
    fn prepare(
        directory: &'a Path,
        program: &Path,
        account: Option<Account>,
    ) -> anyhow::Result<Self> {
        let copy = directory.join("clm");
        fs::copy(program, &copy).context("copying the program")?;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
        for side in ["core", "secure", "settings"] {
            let own = directory.join(side);
            fs::create_dir(&own).with_context(|| format!("making {}", own.display()))?;
            if let Some(account) = &account {
                chown(&own, Some(account.uid), Some(account.gid))?;
            }
        }
        Ok(Self {
            directory,
            program: copy,
            account,
            settings: Vec::new(),
        })
    }

    fn prepare_databases(&mut self, cluster: &Cluster) -> anyhow::Result<()> {
        let admin = cluster.admin_connect_options(MAINTENANCE_DATABASE);
        let socket = admin.get_socket().context("the databases have no socket")?;
        let socket = socket.as_os_str().as_encoded_bytes();
        let socket: String = url::form_urlencoded::byte_serialize(socket).collect();
        let url = format!(
            "postgres://{}@localhost/postgres?host={socket}&port={}",
            admin.get_username(),
            admin.get_port()
        );
        // Each side prepares its own.
        for side in ["core", "secure"] {
            let out = self.directory.join(format!("settings/{side}.env"));
            let text = out.to_str().context("the path is no text")?;
            let init = ["db", "init", "--admin-url", &url, "--out", text];
            self.run(side, &init, "")?;
            for setting in fs::read_to_string(&out)?.lines() {
                let (name, value) = setting.split_once('=').context("a setting has no value")?;
                self.settings.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok(())
    }

    /// The program with the settings of one side.
    fn command(&self, side: &str, arguments: &[&str]) -> Command {
        let mut command = program(&self.program, arguments);
        let database = format!("CLM_{}_DATABASE_URL", side.to_ascii_uppercase());
        let own = self.settings.iter().filter(|(name, _)| *name == database);
        command
            .env("CLM_DATA_DIR", self.directory.join(side))
            .env("CLM_ROLE", side)
            .env("CLM_RATE_LIMIT_PER_PRINCIPAL", "0")
            .env("CLM_RATE_LIMIT_PER_ADDRESS", "0")
            .env("CLM_HTTP_LISTEN", "127.0.0.1:0")
            .env("CLM_HTTPS_LISTEN", "127.0.0.1:0")
            .env("CLM_SECURE_LISTEN", "127.0.0.1:0")
            .envs(own.map(|(name, value)| (name, value)))
            .current_dir(self.directory);
        if let Some(account) = &self.account {
            command
                .uid(account.uid)
                .gid(account.gid)
                .env_remove("XDG_RUNTIME_DIR");
        }
        command
    }

    async fn serve(&self, side: &str) -> anyhow::Result<(Process, String)> {
        let out = self.directory.join(format!("{side}.out"));
        let log = self.directory.join(format!("{side}.log"));
        let mut command = self.command(side, &["serve"]);
        command
            .stdout(File::create(&out)?)
            .stderr(File::create(&log)?);
        let mut process = Process::spawn("clm", command)?;
        let said = wait_until_ready(&mut process, &out, &log).await?;
        Ok((process, said))
    }

    fn pair(&self, address: &str) -> anyhow::Result<()> {
        let create = ["pair", "create", "benchmark", "--address", address];
        let token = self.run("secure", &create, "")?;
        let token = String::from_utf8(token.stdout).context("reading the token")?;
        self.run("core", &["pair", "accept"], &token).map(drop)
    }

    /// Runs a command with what it reads.
    fn run(&self, side: &str, arguments: &[&str], input: &str) -> anyhow::Result<Output> {
        let mut child = self
            .command(side, arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("running clm")?;
        let mut stdin = child.stdin.take().context("clm has no standard input")?;
        stdin.write_all(input.as_bytes())?;
        drop(stdin);
        let output = child.wait_with_output().context("running clm")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "clm {}: {said}",
            arguments.join(" ")
        );
        Ok(output)
    }
}

/// What stands behind a word in the output of a server.
fn line<'a>(said: &'a str, word: &str) -> anyhow::Result<&'a str> {
    let found = said.lines().find_map(|line| line.strip_prefix(word));
    let found = found.with_context(|| format!("clm does not say its '{word}'"))?;
    Ok(found.trim())
}

/// A root, and an issuing authority below it, as an embedded installation has them.
async fn make_authorities(administrator: &ApiClient) -> anyhow::Result<()> {
    let authority =
        |name: &str, parent_id: Option<Uuid>, validity_days| CertificateAuthorityCreate {
            name: name.to_owned(),
            subject: format!("CN={name},O=Benchmark"),
            parent_id,
            key_algorithm: KeyAlgorithm::EcdsaP256,
            signature_algorithm: None,
            validity_days,
            path_length_max: None,
            limits: None,
        };
    let root = authority("Internal Root CA", None, 20 * 365);
    let root = administrator.create_certificate_authority(&root, "root");
    let root = root.await.context("making the root")?;
    let issuing = authority("Internal Issuing CA", Some(root.id), 10 * 365);
    let issuing = administrator.create_certificate_authority(&issuing, "issuing");
    issuing.await.context("making the issuing authority")?;
    Ok(())
}
