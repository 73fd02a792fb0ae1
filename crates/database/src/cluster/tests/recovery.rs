//! What earlier runs leave behind: crashed and running servers, stale lock files.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_recovers() {
    let place = Place::with_cluster().await;
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
    let place = Place::with_cluster().await;
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
    let place = Place::with_cluster().await;
    let neighbour_place = Place::with_cluster().await;
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
    let place = Place::with_cluster().await;
    let options = place.options();
    let cluster = Cluster::start(options.clone()).await.unwrap();
    let old = cluster.postmaster_pid();
    std::mem::forget(cluster);
    let output = child_command(&program, Some(&account))
        .args([
            "--exact",
            "cluster::tests::recovery::as_the_account",
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
        ..Place::of(std::env::current_dir().unwrap()).options()
    };
    let mut cluster = Cluster::start(options).await.unwrap();
    cluster.restart().await.unwrap();
    std::mem::forget(cluster);
}

impl Place {
    /// The place of another process, not removed here.
    fn of(root: PathBuf) -> std::mem::ManuallyDrop<Self> {
        std::mem::ManuallyDrop::new(Self {
            root,
            template: None,
        })
    }
}

fn sleeper(account: Option<&Account>) -> std::process::Child {
    child_command(Path::new("sleep"), account)
        .arg("100")
        .spawn()
        .unwrap()
}
