//! Runs the real PostgreSQL of this machine; as root under an account without privileges.

mod access;
mod recovery;

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, raw_sql};
use tokio::sync::Mutex;

use super::account::child_command;
use super::initialize::{unfinished, workshop};
use super::*;

/// A directory of a test, and what runs a cluster in it.
struct Place {
    root: PathBuf,
    /// Removed when the last copy of it is.
    template: Option<Arc<Place>>,
}

impl Place {
    fn new(name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = PathBuf::from(format!("/tmp/clm-c{}-{number}{name}", std::process::id()));
        fs::create_dir(&root).unwrap();
        Self {
            root,
            template: None,
        }
    }

    /// With a cluster that has been started and stopped once: a copy, as making one takes a second.
    async fn with_cluster() -> Self {
        static TEMPLATE: Mutex<Weak<Place>> = Mutex::const_new(Weak::new());
        let mut known = TEMPLATE.lock().await;
        let template = if let Some(template) = known.upgrade() {
            template
        } else {
            let place = Self::new("");
            Cluster::start(place.options())
                .await
                .unwrap()
                .stop()
                .await
                .unwrap();
            let template = Arc::new(place);
            *known = Arc::downgrade(&template);
            template
        };
        let mut place = Self::new("");
        let mut copy = Command::new("cp");
        copy.arg("-a")
            .arg(template.root.join("data"))
            .arg(place.root.join("data"));
        assert!(copy.status().unwrap().success());
        place.template = Some(template);
        place
    }

    fn options(&self) -> ClusterOptions {
        ClusterOptions {
            data_directory: self.root.join("data"),
            socket_directory: self.root.join("run"),
            account: account(),
            durability: Durability::TestOnly,
            pg_bin: None,
            max_connections: 20,
            log_file: self.root.join("postgres.log"),
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.root.join("postgres.log")).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            fs::remove_dir_all(&self.root).unwrap();
        }
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn account() -> Option<Account> {
    if !is_root() {
        return None;
    }
    let usual = Account::find("postgres").unwrap();
    Some(usual.unwrap_or_else(|| Account::ensure_system_account("clm-test").unwrap()))
}

async fn text(options: &PgConnectOptions, query: &str) -> Result<String, sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    let query = sqlx::query_scalar(AssertSqlSafe(query.to_owned()));
    let answer = query.fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(answer)
}

async fn execute(options: &PgConnectOptions, statement: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(&mut connection)
        .await?;
    connection.close().await
}

async fn setting(cluster: &Cluster, name: &str) -> String {
    let query = format!("select current_setting('{name}')");
    text(&cluster.admin_connect_options("postgres"), &query)
        .await
        .unwrap()
}

/// Whether a process of this number exists, be it one that only waits to be reaped.
fn exists(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|s| !s.contains("State:\tZ"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_creates_and_a_second_one_finds_the_data() {
    let place = Place::new("");
    let options = ClusterOptions {
        durability: Durability::Full,
        ..place.options()
    };
    let begun = Instant::now();
    let mut cluster = Cluster::start(options.clone()).await.unwrap();
    let first = begun.elapsed();
    assert_eq!(cluster.port(), 5432);
    assert!(cluster.server_version().major >= MAJOR_VERSION_MIN);
    for (name, value) in [
        ("listen_addresses", ""),
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("data_checksums", "on"),
        ("wal_level", "replica"),
        ("server_encoding", "UTF8"),
        ("max_connections", "20"),
        ("password_encryption", "scram-sha-256"),
        ("log_min_error_statement", "panic"),
        ("shared_buffers", "128MB"),
        ("TimeZone", "UTC"),
    ] {
        assert_eq!(setting(&cluster, name).await, value, "{name}");
    }
    let modes = [("data", 0o700), ("run", 0o700), ("postgres.log", 0o600)];
    let owner = account().map_or(rustix::process::geteuid().as_raw(), |account| account.uid);
    for (name, mode) in modes {
        let metadata = fs::metadata(place.root.join(name)).unwrap();
        assert_eq!(
            (metadata.mode() & 0o777, metadata.uid()),
            (mode, owner),
            "{name}"
        );
    }
    let admin = cluster.admin_connect_options("postgres");
    execute(&admin, "create table kept as select 'a row' as content")
        .await
        .unwrap();
    let pid = cluster.postmaster_pid();
    assert!(cluster.is_running());
    cluster.stop().await.unwrap();
    assert!(
        !Path::new(&format!("/proc/{pid}")).exists(),
        "stopped and reaped"
    );
    assert!(!place.root.join("data/postmaster.pid").exists());

    let begun = Instant::now();
    let cluster = Cluster::start(options).await.unwrap();
    let second = begun.elapsed();
    let admin = cluster.admin_connect_options("postgres");
    assert_eq!(
        text(&admin, "select content from kept").await.unwrap(),
        "a row"
    );
    let begun = Instant::now();
    cluster.stop().await.unwrap();
    println!(
        "first start {first:?}, second start {second:?}, stop {:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_made_cluster_is_discarded() {
    let place = Place::new("");
    let options = place.options();
    fs::create_dir(&options.data_directory).unwrap();
    let workshop = workshop(&options.data_directory);
    let half_made = unfinished(&workshop);
    fs::create_dir_all(half_made.join("base")).unwrap();
    fs::write(half_made.join("PG_VERSION"), "15\n").unwrap();

    // Somebody else's, for all that can be told.
    let error = Cluster::start(options.clone()).await.unwrap_err();
    assert!(error.to_string().contains("was left alone"), "{error}");
    assert!(half_made.join("PG_VERSION").exists());

    fs::write(workshop.join("clm-initdb"), "").unwrap();
    Cluster::start(options).await.unwrap().stop().await.unwrap();
    assert!(!workshop.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_called_new_is_left_alone() {
    let place = Place::with_cluster().await;
    let mut neighbour = Cluster::start(place.options()).await.unwrap();
    let options = ClusterOptions {
        data_directory: place.root.join("fresh"),
        socket_directory: place.root.join("run2"),
        ..place.options()
    };
    let new = place.root.join("fresh.new");
    fs::create_dir(&new).unwrap();
    fs::write(new.join("kept"), "").unwrap();
    Cluster::start(options).await.unwrap().stop().await.unwrap();
    assert!(new.join("kept").exists());
    assert!(neighbour.is_running());
    neighbour.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_may_be_odd_and_long() {
    let place = Place::new(" it's \"ünï\", $(x) \\n#");
    let deep = "d".repeat(150_usize.saturating_sub(place.root.as_os_str().len() + 1));
    let options = ClusterOptions {
        data_directory: place.root.join(deep),
        ..place.options()
    };
    assert_eq!(options.data_directory.as_os_str().len(), 150);
    let cluster = Cluster::start(options.clone()).await.unwrap();
    assert_eq!(
        setting(&cluster, "data_directory").await,
        options.data_directory.to_str().unwrap()
    );
    std::mem::forget(cluster);
    Cluster::start(options.clone())
        .await
        .unwrap()
        .stop()
        .await
        .unwrap();

    let too_deep = place.root.join("s".repeat(90));
    let error = Cluster::start(ClusterOptions {
        socket_directory: too_deep,
        ..options
    })
    .await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, ClusterError::SocketPathTooLong { .. }),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clusters_run_side_by_side() {
    let place = Place::with_cluster().await;
    let other = ClusterOptions {
        data_directory: place.root.join("data2"),
        log_file: place.root.join("postgres2.log"),
        ..place.options()
    };
    let mut copy = Command::new("cp");
    copy.arg("-a")
        .arg(place.root.join("data"))
        .arg(&other.data_directory);
    assert!(copy.status().unwrap().success());
    // At the same moment, with the same socket directory.
    let (one, two) = tokio::join!(Cluster::start(place.options()), Cluster::start(other));
    let (mut one, two) = (one.unwrap(), two.unwrap());
    let mut ports = [one.port(), two.port()];
    ports.sort_unstable();
    assert_eq!(ports, [5432, 5433]);
    assert_ne!(
        setting(&one, "data_directory").await,
        setting(&two, "data_directory").await
    );
    let pid = two.postmaster_pid();
    one.restart().await.unwrap();
    assert!(exists(pid));
    one.stop().await.unwrap();
    two.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_a_group_of_its_own_and_inherits_nothing() {
    let place = Place::with_cluster().await;
    let lock = File::create(place.root.join("a-lock")).unwrap();
    rustix::io::fcntl_setfd(&lock, rustix::io::FdFlags::empty()).unwrap();
    let cluster = Cluster::start(place.options()).await.unwrap();
    drop(lock);
    let pid = cluster.postmaster_pid();
    let raw = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap());
    assert_eq!(rustix::process::getpgid(raw).ok(), raw);
    let open: Vec<_> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .flatten()
        .collect();
    assert!(!open.is_empty());
    let targets = open
        .iter()
        .filter_map(|entry| entry.path().read_link().ok());
    assert!(!targets.into_iter().any(|target| target.ends_with("a-lock")));
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("CARGO"));
    // Dropped without stopping: it is told to stop, and reaped.
    drop(cluster);
    let gone = || Ok(!Path::new(&format!("/proc/{pid}")).exists());
    assert!(
        predecessor::until(Duration::from_secs(10), gone)
            .await
            .unwrap()
    );
}
