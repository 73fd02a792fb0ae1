//! The course of a run: start-up first, while nothing else runs; then rounds, in each of which every
//! subject has its turn with every number of clients, so that whatever disturbs the machine
//! disturbs all of them.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use crate::access;
use crate::apart::Apart;
use crate::arguments::{Arguments, Plan, Subject};
use crate::bare_loop::BareLoop;
use crate::cfssl::Cfssl;
use crate::environment;
use crate::load;
use crate::memory::{self, Watch};
use crate::parity;
use crate::product::{Installation, Product};
use crate::report::{Memory, Report, Round, StartUp, progress};
use crate::requests::{self, Csr, REQUESTS};
use crate::rotation;

/// Where databases live unless one says otherwise: on a disk, unlike much of `/tmp`.
const DIRECTORY_DEFAULT: &str = "/var/tmp";
/// Between two measurements, so that the end of one is not the beginning of the next.
const PAUSE: Duration = Duration::from_millis(500);

/// A run. Dropping it ends every program; [`Bench::stop`] does so in order.
#[derive(Debug)]
pub(crate) struct Bench {
    arguments: Arguments,
    plan: Plan,
    product: Option<Product>,
    apart: Option<Apart>,
    bare: Option<BareLoop>,
    cfssl: Option<Cfssl>,
    // After all that lives in it.
    directory: TempDir,
}

impl Bench {
    /// Prepares a run; starts nothing yet.
    ///
    /// # Errors
    /// When there is no room for its files.
    pub(crate) fn new(arguments: &Arguments) -> anyhow::Result<Self> {
        let parent = match &arguments.directory {
            Some(directory) => directory.clone(),
            None if Path::new(DIRECTORY_DEFAULT).is_dir() => PathBuf::from(DIRECTORY_DEFAULT),
            None => std::env::temp_dir(),
        };
        let directory = tempfile::Builder::new()
            .prefix("clm-bench-")
            .tempdir_in(&parent)
            .with_context(|| format!("making a directory in {}", parent.display()))?;
        // The databases' account passes through here.
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755))
            .context("opening the directory")?;
        Ok(Self {
            arguments: arguments.clone(),
            plan: arguments.plan(),
            product: None,
            apart: None,
            bare: None,
            cfssl: None,
            directory,
        })
    }

    /// Measures everything.
    ///
    /// # Errors
    /// When something does not run.
    pub(crate) async fn run(&mut self) -> anyhow::Result<Report> {
        let mut report = Report::new(&self.plan);
        report.file_system = environment::file_system(self.directory.path());
        progress(&format!("making {REQUESTS} certificate requests"));
        let making = tokio::task::spawn_blocking(|| requests::make(REQUESTS));
        let csrs = making.await.context("making certificate requests")??;
        if self.arguments.wants(Subject::Product) {
            self.start_product(&csrs, &mut report).await?;
        }
        self.start_yardsticks(&csrs, &mut report).await?;
        self.measure(&mut report).await?;
        self.compare_rows(&mut report).await;
        if let (Some(product), true) = (&self.product, self.arguments.wants(Subject::Access)) {
            progress("deciding and reading");
            let measured = access::measure(product, &self.plan).await;
            report.access = Some(measured.context("measuring decisions and reads")?);
        }
        if let (Some(product), true) = (&self.product, self.arguments.wants(Subject::Rotation)) {
            let measured = rotation::measure(product, &self.plan).await;
            report.rotation = Some(measured.context("measuring rotations")?);
        }
        report.load_average_end = environment::load_average();
        Ok(report)
    }

    /// Ends every program in order.
    ///
    /// # Errors
    /// The first one that did not; the others are ended all the same.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        let mut outcomes = Vec::new();
        if let Some(cfssl) = self.cfssl.take() {
            outcomes.push(cfssl.stop().await);
        }
        if let Some(product) = self.product.take() {
            outcomes.push(product.server.stop().await.map(drop));
        }
        if let Some(apart) = self.apart.take() {
            outcomes.push(apart.stop().await);
        }
        if let Some(bare) = self.bare.take() {
            outcomes.push(bare.stop().await);
        }
        outcomes.into_iter().collect()
    }

    /// Starts fresh installations, each twice, and keeps the last one for the load.
    async fn start_product(
        &mut self,
        csrs: &Arc<[Csr]>,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let program = self.program()?;
        report.versions.push(version(&program)?);
        let mut memory = Memory::default();
        for number in 1..=self.plan.installations {
            progress(&format!("starting installation {number}, twice"));
            let installation = Installation {
                program: program.clone(),
                data_directory: self.directory.path().join(format!("clm-{number}")),
                pg_bin: self.arguments.pg_bin.clone(),
            };
            let first = installation.start().await?;
            let first_ready = first.ready_after;
            let is_last = number == self.plan.installations;
            if is_last {
                tokio::time::sleep(self.plan.rest).await;
                memory.idle_after_first_start = memory::resident_mib(first.pid());
            }
            let second = first.stop().await?.start().await?;
            report.start_ups.push(StartUp {
                first: first_ready,
                second: second.ready_after,
            });
            if !is_last {
                second.stop().await?;
                continue;
            }
            tokio::time::sleep(self.plan.rest).await;
            memory.idle_after_second_start = memory::resident_mib(second.pid());
            memory.postgresql_idle = memory::descendants_mib(second.pid());
            self.product = Some(Product::prepare(second, csrs).await?);
        }
        report.memory = Some(memory);
        Ok(())
    }

    /// The program that is measured.
    fn program(&self) -> anyhow::Result<PathBuf> {
        match &self.arguments.program {
            Some(program) => std::path::absolute(program).context("finding the program"),
            None => build(),
        }
    }

    async fn start_yardsticks(
        &mut self,
        csrs: &Arc<[Csr]>,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        if self.arguments.wants(Subject::Remote) {
            progress("starting core and Secure Service in two processes");
            let directory = self.directory.path().join("apart");
            std::fs::create_dir(&directory).context("making a directory")?;
            let program = self.program()?;
            let programs = (program.as_path(), self.arguments.pg_bin.as_deref());
            self.apart = Some(Apart::start(&directory, programs, csrs).await?);
        }
        if self.arguments.wants(Subject::Bare) {
            progress("starting the databases of the bare loop");
            let directory = self.directory.path().join("bare");
            std::fs::create_dir(&directory).context("making a directory")?;
            let pg_bin = self.arguments.pg_bin.as_deref();
            let bare = BareLoop::start(&directory, pg_bin, csrs).await?;
            report
                .versions
                .push(format!("PostgreSQL {}", bare.server_version()));
            self.bare = Some(bare);
        }
        if self.arguments.wants(Subject::Cfssl) {
            let directory = self.directory.path().join("cfssl");
            self.cfssl = Cfssl::start(&self.arguments.cfssl, &directory, csrs).await?;
            if self.cfssl.is_none() {
                report.notes.push(
                    "cfssl is not installed (Debian package golang-cfssl); it was not measured"
                        .to_owned(),
                );
            }
        }
        Ok(())
    }

    async fn measure(&self, report: &mut Report) -> anyhow::Result<()> {
        let watch = self
            .product
            .as_ref()
            .map(|product| Watch::begin(product.server.pid()));
        for number in 1..=self.plan.rounds {
            for clients in &self.plan.clients {
                progress(&format!(
                    "round {number} of {}, {clients} clients",
                    self.plan.rounds
                ));
                let round = self.round(*clients, report).await?;
                progress(&format!("  {}", round.summary()));
                report.rounds.entry(*clients).or_default().push(round);
            }
        }
        if let (Some(watch), Some(memory)) = (watch, &mut report.memory) {
            memory.load_peak = Some(watch.peak_mib());
        }
        Ok(())
    }

    /// One turn of each subject.
    async fn round(&self, clients: u16, report: &mut Report) -> anyhow::Result<Round> {
        let mut round = Round::default();
        if let Some(product) = &self.product {
            tokio::time::sleep(PAUSE).await;
            let sample = load::run(product.clients(clients), self.plan.period).await?;
            round.product = Some(sample);
            // Connections are still open: this is what the load needed.
            let used = memory::descendants_mib(product.server.pid());
            if let Some(memory) = &mut report.memory {
                memory.postgresql_load_peak = largest(memory.postgresql_load_peak, used);
            }
        }
        if let Some(apart) = &self.apart {
            tokio::time::sleep(PAUSE).await;
            round.remote = Some(load::run(apart.clients(clients), self.plan.period).await?);
        }
        if let Some(bare) = &self.bare {
            tokio::time::sleep(PAUSE).await;
            round.bare = Some(load::run(bare.clients(clients), self.plan.period).await?);
        }
        if let Some(cfssl) = &self.cfssl {
            tokio::time::sleep(PAUSE).await;
            round.cfssl = Some(load::run(cfssl.clients(clients), self.plan.period).await?);
        }
        Ok(round)
    }

    /// A comparison that fails spoils no figure; it is told.
    async fn compare_rows(&self, report: &mut Report) {
        let (Some(product), Some(bare)) = (&self.product, &self.bare) else {
            return;
        };
        let installation = product.server.installation();
        let compared = match installation.postgresql_socket_directory() {
            Some(directory) => {
                let product = |database| parity::admin(&directory, database);
                parity::compare(product, |database| bare.admin(database)).await
            }
            None => Err(anyhow::anyhow!("the product's socket was not found")),
        };
        match compared {
            Ok(sizes) => report.row_sizes = sizes,
            Err(error) => report
                .notes
                .push(format!("rows could not be compared: {error:#}")),
        }
    }
}

fn largest(so_far: Option<f64>, now: Option<f64>) -> Option<f64> {
    match (so_far, now) {
        (Some(so_far), Some(now)) => Some(so_far.max(now)),
        (so_far, now) => so_far.or(now),
    }
}

/// Builds the program that belongs to this checkout, so that never an older one is measured, and
/// says where it is.
fn build() -> anyhow::Result<PathBuf> {
    progress("building clm");
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let built = Command::new("cargo")
        .args(["build", "--release", "--locked", "--package", "clm-cli"])
        .current_dir(&checkout)
        .stdin(Stdio::null())
        .status()
        .context("running cargo; name a program with --program instead")?;
    ensure!(built.success(), "clm could not be built");
    // `target/<profile>/clm-benches`, wherever target is.
    let own = std::env::current_exe().context("finding the build directory")?;
    let target = own
        .ancestors()
        .nth(2)
        .context("finding the build directory")?;
    Ok(target.join("release/clm"))
}

/// What the program says about itself.
fn version(program: &Path) -> anyhow::Result<String> {
    let said = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("running {}", program.display()))?;
    Ok(String::from_utf8_lossy(&said.stdout).trim().to_owned())
}
