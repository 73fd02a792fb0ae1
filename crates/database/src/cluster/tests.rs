//! Runs the real PostgreSQL of this machine; as root under an account without privileges.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, raw_sql};

use super::account::child_command;
use super::initialize::unfinished;
use super::*;

/// A directory of a test, and what runs a cluster in it.
struct Place {
    root: PathBuf,
}

impl Place {
    fn new(name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = PathBuf::from(format!("/tmp/clm-c{}-{number}{name}", std::process::id()));
        fs::create_dir(&root).unwrap();
        Self { root }
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

fn sleeper(account: Option<&Account>) -> Child {
    child_command(Path::new("sleep"), account)
        .arg("100")
        .spawn()
        .unwrap()
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
async fn a_killed_server_recovers() {
    let place = Place::new("");
    let options = ClusterOptions {
        durability: Durability::Full,
        ..place.options()
    };
    let mut cluster = Cluster::start(options.clone()).await.unwrap();
    let admin = cluster.admin_connect_options("postgres");
    execute(&admin, "create table kept as select 'a row' as content")
        .await
        .unwrap();
    // Busy without ever looking whether its server still lives.
    let busy = admin.clone();
    let query = tokio::spawn(async move {
        execute(
            &busy,
            "select sum(i) from generate_series(1, 1e12::bigint) i",
        )
        .await
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    cluster.kill().await.unwrap();
    assert!(!cluster.is_running());
    cluster.restart().await.unwrap();
    assert!(query.await.unwrap().is_err());
    assert_eq!(
        text(&admin, "select content from kept").await.unwrap(),
        "a row"
    );

    cluster.kill().await.unwrap();
    drop(cluster);
    let begun = Instant::now();
    let cluster = Cluster::start(options).await.unwrap();
    println!("start with crash recovery {:?}", begun.elapsed());
    assert_eq!(
        text(&admin, "select content from kept").await.unwrap(),
        "a row"
    );
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_predecessor_is_replaced() {
    let place = Place::new("");
    let leaked = Cluster::start(place.options()).await.unwrap();
    let old = leaked.postmaster_pid();
    std::mem::forget(leaked);
    let begun = Instant::now();
    let cluster = Cluster::start(place.options()).await.unwrap();
    println!("start over a running predecessor {:?}", begun.elapsed());
    assert!(!exists(old));
    assert_ne!(cluster.postmaster_pid(), old);
    assert_eq!(cluster.port(), 5432);

    // One that is suspended, and whose lock file is lost.
    let old = cluster.postmaster_pid();
    std::mem::forget(cluster);
    fs::remove_file(place.root.join("data/postmaster.pid")).unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(old).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let cluster = Cluster::start(place.options()).await.unwrap();
    assert!(!exists(old));
    cluster.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_in_use_again_is_not_signalled() {
    let place = Place::new("");
    let neighbour_place = Place::new("");
    let mut neighbour = Cluster::start(neighbour_place.options()).await.unwrap();
    let cluster = Cluster::start(place.options()).await.unwrap();
    let data = cluster.data_directory().to_owned();
    cluster.stop().await.unwrap();
    let mut stranger = sleeper(account().as_ref());
    let mut ours = sleeper(None);
    for pid in [
        stranger.id(),
        ours.id(),
        neighbour.postmaster_pid(),
        1,
        4_000_000,
    ] {
        let socket = place.root.join("run");
        let lock = format!(
            "{pid}\n{}\n1700000000\n5432\n{}\n",
            data.display(),
            socket.display()
        );
        fs::write(
            data.join("postmaster.pid"),
            format!("{lock}\n  1 1\nready   \n"),
        )
        .unwrap();
        fs::write(socket.join(".s.PGSQL.5432.lock"), lock).unwrap();
        let cluster = Cluster::start(place.options()).await.unwrap();
        assert_eq!(cluster.port(), 5432);
        cluster.stop().await.unwrap();
    }
    for sleeper in [&mut stranger, &mut ours] {
        assert!(sleeper.try_wait().unwrap().is_none(), "still runs");
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
    }
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
    let place = Place::new("");
    let other = ClusterOptions {
        data_directory: place.root.join("data2"),
        log_file: place.root.join("postgres2.log"),
        ..place.options()
    };
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
async fn only_the_superuser_comes_in_without_a_password() {
    let place = Place::new("");
    let cluster = Cluster::start(place.options()).await.unwrap();
    let admin = cluster.admin_connect_options("postgres");
    execute(&admin, "create role application login")
        .await
        .unwrap();
    execute(&admin, "create role no_password superuser login")
        .await
        .unwrap();
    let application = admin.clone().username("application");
    let refused = |options: PgConnectOptions| async move {
        let error = text(&options, "select 'in'").await.unwrap_err();
        let code = error
            .as_database_error()
            .and_then(|error| error.code().map(String::from));
        // 28P01 says a wrong password; without any to send the client gives up itself.
        assert!(code.is_none_or(|code| code == "28P01"), "{error}");
    };
    refused(application.clone()).await;
    refused(admin.clone().username("no_password").password("guess")).await;
    let statement = "alter role application password 'a-secret'";
    execute(&admin, statement).await.unwrap();
    execute(&admin, "alter role nobody_there password 'a-secret'")
        .await
        .unwrap_err();
    execute(&admin, "select 'a-secret'::int").await.unwrap_err();
    let stored = "select rolpassword from pg_authid where rolname = 'application'";
    assert!(
        text(&admin, stored)
            .await
            .unwrap()
            .starts_with("SCRAM-SHA-256$")
    );
    assert_eq!(
        text(&application.clone().password("a-secret"), "select 'in'")
            .await
            .unwrap(),
        "in"
    );
    refused(application.password("other")).await;
    let rules = "select string_agg(concat_ws(' ', type, database, user_name, auth_method, options, \
                 error), E'\\n' order by line_number) from pg_hba_file_rules";
    let rules = text(&admin, rules).await.unwrap();
    assert_eq!(
        rules,
        "local {all} {clm_admin} peer {map=clm}\nlocal {all} {all} scram-sha-256"
    );
    if cluster.server_version().major >= 15 {
        let wrong = "select count(*)::text from pg_ident_file_mappings where error is not null";
        assert_eq!(text(&admin, wrong).await.unwrap(), "0");
    }
    cluster.stop().await.unwrap();
    assert!(
        place.log().contains("nobody_there"),
        "errors are logged: {}",
        place.log()
    );
    assert!(
        !place.log().contains("alter role"),
        "statements are not: {}",
        place.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_made_cluster_is_discarded() {
    let place = Place::new("");
    let options = place.options();
    fs::create_dir(&options.data_directory).unwrap();
    let half_made = unfinished(&options.data_directory);
    fs::create_dir_all(half_made.join("base")).unwrap();
    fs::write(half_made.join("PG_VERSION"), "15\n").unwrap();
    Cluster::start(options).await.unwrap().stop().await.unwrap();
    assert!(!half_made.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_a_group_of_its_own_and_inherits_nothing() {
    let place = Place::new("");
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

#[tokio::test(flavor = "multi_thread")]
async fn unusable_places_are_refused_and_left_alone() {
    let place = Place::new("");
    let refused = async |change: &dyn Fn(&mut ClusterOptions)| {
        let mut options = place.options();
        change(&mut options);
        Cluster::start(options).await.unwrap_err()
    };
    let file = place.root.join("file");
    fs::write(&file, "content").unwrap();
    let error = refused(&|options| options.data_directory.clone_from(&file)).await;
    assert!(
        matches!(error, ClusterError::NotADirectory { .. }),
        "{error}"
    );

    let full = place.root.join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("document"), "content").unwrap();
    let error = refused(&|options| options.data_directory.clone_from(&full)).await;
    let expected = matches!(error, ClusterError::NotACluster { .. });
    assert!(
        expected || matches!(error, ClusterError::ForeignOwner { .. }),
        "{error}"
    );

    fs::set_permissions(&full, fs::Permissions::from_mode(0o755)).unwrap();
    let error = refused(&|options| options.socket_directory.clone_from(&full)).await;
    assert!(
        matches!(error, ClusterError::SocketDirectoryShared { .. }),
        "{error}"
    );
    assert_eq!(fs::metadata(&full).unwrap().mode() & 0o777, 0o755);

    let old = place.root.join("old");
    fs::create_dir(&old).unwrap();
    fs::write(old.join("PG_VERSION"), "9.6\n").unwrap();
    let error = refused(&|options| options.data_directory.clone_from(&old)).await;
    assert!(
        matches!(
            error,
            ClusterError::OtherMajorVersion {
                cluster_major: 9,
                ..
            }
        ),
        "{error}"
    );

    let nowhere = place.root.join("bin");
    let error = refused(&|options| options.pg_bin = Some(nowhere.clone())).await;
    assert!(
        matches!(error, ClusterError::BinariesMissing { .. }),
        "{error}"
    );

    let error = refused(&|options| options.max_connections = 1).await;
    assert!(matches!(error, ClusterError::Exited { .. }), "{error}");
    assert!(
        error.to_string().contains("superuser_reserved_connections"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_others_is_refused() {
    let Some(account) = account() else { return };
    let place = Place::new("");
    let options = place.options();
    fs::create_dir(&options.data_directory).unwrap();
    std::os::unix::fs::chown(&options.data_directory, Some(65_534), Some(65_534)).unwrap();
    let error = Cluster::start(options.clone()).await.unwrap_err();
    assert!(
        matches!(error, ClusterError::ForeignOwner { .. }),
        "{error}"
    );
    assert!(error.to_string().contains(&account.name), "{error}");

    let nobody = ClusterOptions {
        account: None,
        ..place.options()
    };
    let error = Cluster::start(nobody).await.unwrap_err();
    assert!(matches!(error, ClusterError::RootNeedsAccount), "{error}");
    let root = Account {
        name: "root".to_owned(),
        uid: 0,
        gid: 0,
    };
    let error = Cluster::start(ClusterOptions {
        account: Some(root),
        ..place.options()
    })
    .await;
    assert!(matches!(
        error.unwrap_err(),
        ClusterError::AccountIsRoot { .. }
    ));

    let closed = place.root.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let hidden = ClusterOptions {
        data_directory: closed.join("data"),
        ..options
    };
    let error = Cluster::start(hidden).await.unwrap_err();
    assert!(matches!(&error, ClusterError::NotPassable { blocking, .. } if *blocking == closed));
    assert_eq!(
        account.blocking_directory(&closed.join("data")),
        Some(closed)
    );
    assert_eq!(
        account.blocking_directory(&place.root.join("not there/yet")),
        None
    );
}

/// A restored backup: everything belongs to root, who gives it to the account.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_root_is_given_to_the_account() {
    if !is_root() {
        return;
    }
    let place = Place::new("");
    Cluster::start(place.options())
        .await
        .unwrap()
        .stop()
        .await
        .unwrap();
    let mut chown = std::process::Command::new("chown");
    assert!(
        chown
            .args(["-R", "root:root"])
            .arg(&place.root)
            .status()
            .unwrap()
            .success()
    );
    let data = place.root.join("data");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", data.join("a-link")).unwrap();
    Cluster::start(place.options())
        .await
        .unwrap()
        .stop()
        .await
        .unwrap();
    assert_eq!(fs::metadata("/etc/passwd").unwrap().uid(), 0);
    assert_eq!(fs::metadata(&data).unwrap().mode() & 0o777, 0o700);
}

/// `clm` gives up root for the server's account: that account can do all that root could.
#[tokio::test(flavor = "multi_thread")]
async fn the_account_takes_over_from_root_and_root_from_the_account() {
    let Some(account) = account() else { return };
    let program = std::env::current_exe().unwrap();
    if account
        .blocking_directory(program.parent().unwrap())
        .is_some()
    {
        println!("skipped: {} may not run this test program", account.name);
        return;
    }
    let place = Place::new("");
    let options = place.options();
    let cluster = Cluster::start(options.clone()).await.unwrap();
    let old = cluster.postmaster_pid();
    std::mem::forget(cluster);
    let output = child_command(&program, Some(&account))
        .args([
            "--exact",
            "cluster::tests::as_the_account",
            "--ignored",
            "--nocapture",
        ])
        .current_dir(&place.root)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(!exists(old));
    let lock = fs::read_to_string(place.root.join("data/postmaster.pid")).unwrap();
    let of_account: u32 = lock.lines().next().unwrap().parse().unwrap();
    assert!(exists(of_account), "left running by the account");
    let cluster = Cluster::start(options).await.unwrap();
    assert!(!exists(of_account));
    cluster.stop().await.unwrap();
}

/// The part of the test above that runs as the account.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by another test, in the directory of its clusters"]
async fn as_the_account() {
    if is_root() {
        return;
    }
    let options = ClusterOptions {
        account: None,
        ..Place {
            root: std::env::current_dir().unwrap(),
        }
        .keep()
        .options()
    };
    let mut cluster = Cluster::start(options).await.unwrap();
    cluster.restart().await.unwrap();
    std::mem::forget(cluster);
}

impl Place {
    /// The same directory, never removed.
    fn keep(self) -> std::mem::ManuallyDrop<Self> {
        std::mem::ManuallyDrop::new(self)
    }
}

#[test]
fn accounts_are_found_and_system_names_checked() {
    assert_eq!(Account::find("root").unwrap().map(|root| root.uid), Some(0));
    assert_eq!(Account::find("no-such-account").unwrap(), None);
    assert_eq!(Account::find("0").unwrap(), None, "a number is no name");
    for name in [
        "",
        "-option",
        "1st",
        "Upper",
        "with space",
        "a:b",
        &"x".repeat(32),
    ] {
        let error = Account::ensure_system_account(name).unwrap_err();
        assert!(
            matches!(error, ClusterError::AccountName { .. }),
            "{name:?}: {error}"
        );
    }
    let error = Account::ensure_system_account("root").unwrap_err();
    assert!(
        matches!(error, ClusterError::AccountIsRoot { .. }),
        "{error}"
    );
}
