//! The operator of the Secure Service's own host: the master key is split, sealed and opened there,
//! without a core.

use std::fs;
use std::process::Output;
use std::time::Instant;

use clm_domain::audit::SecureEvent;
use clm_tests::Apart;
use clm_tests::databases::{Log, PATIENCE};
use serde_json::{Value, json};

use crate::support::{CERTIFICATE_REQUESTS, Requester, problem, split_master_key};

/// A share of the key, by its place.
fn share(apart: &Apart, index: usize) -> String {
    let folder = apart.secure.directory.path().join("settings/shares");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths[index].to_str().unwrap().to_owned()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// Splits the master key on its host, for any two of three custodians.
fn split(apart: &Apart) {
    let shares = apart.secure.directory.path().join("settings/shares");
    let rotate = split_master_key(shares.to_str().unwrap());
    let rotated = apart.on_secure(&rotate, "");
    assert!(rotated.status.success(), "{}", text(&rotated));
    let confirmed = apart.on_secure(
        &["key", "master", "confirm-backup", "--custodians-confirmed"],
        "",
    );
    assert!(confirmed.status.success(), "{}", text(&confirmed));
}

/// Whether the key is sealed, as soon as the process says so.
fn seal_status(apart: &Apart) -> Value {
    let begun = Instant::now();
    loop {
        let status = apart.on_secure(&["unseal", "--status", "--output", "json"], "");
        if let Ok(found) = serde_json::from_slice(&status.stdout) {
            return found;
        }
        assert_eq!(status.status.code(), Some(5), "{}", text(&status));
        assert!(begun.elapsed() < PATIENCE, "{}", apart.secure.read_log());
    }
}

/// How often an event stands in the log of the Secure Service, done by the operator.
async fn done_by_operator(apart: &Apart, event: SecureEvent) -> usize {
    let log = apart.databases().audit_log(Log::Secure).await;
    let rows = log
        .iter()
        .filter(|(row, _)| row.event_code == event.code() && row.actor_type == "local_operator");
    rows.count()
}

#[tokio::test(flavor = "multi_thread")]
async fn custodians_come_to_the_host_of_the_key() {
    let mut apart = Apart::prepare().await;
    apart.secure.serve();
    split(&apart);

    // A restart finds nobody who could open it, and listens; its operator sees that.
    assert!(apart.secure.stop("TERM"));
    apart.secure.spawn();
    assert_eq!(seal_status(&apart)["sealed"], true);
    let doctor = apart.on_secure(&["doctor"], "");
    assert!(!doctor.status.success());
    assert!(
        text(&doctor).contains("sealed: 2 more of 3 shares"),
        "{}",
        text(&doctor)
    );
    for index in 0..2 {
        let share = share(&apart, index);
        let given = apart.on_secure(&["unseal", "--share", &share], "");
        assert!(given.status.success(), "{}", text(&given));
    }
    apart.secure.wait_ready();
    let doctor = apart.on_secure(&["doctor", "--output", "json"], "");
    assert!(doctor.status.success(), "{}", text(&doctor));
    let sealed = apart.on_secure(&["seal"], "");
    assert!(
        text(&sealed).contains("sealed: 0 of 2"),
        "{}",
        text(&sealed)
    );

    for (event, times) in [
        (SecureEvent::UnsealCompleted, 1),
        (SecureEvent::Sealed, 1),
        (SecureEvent::MasterKeyRotated, 1),
    ] {
        assert_eq!(
            done_by_operator(&apart, event).await,
            times,
            "{}",
            event.code()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_else_is_asked_of_the_core() {
    let mut apart = Apart::prepare().await;
    apart.secure.serve();
    let listed = apart.on_secure(&["cert", "list"], "");
    assert_eq!(listed.status.code(), Some(4), "{}", text(&listed));
    assert!(
        text(&listed).contains("asked of the core"),
        "{}",
        text(&listed)
    );
    let socket = apart.secure.run_directory().unwrap().join("clm.sock");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&socket).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let local = reqwest::Client::builder()
        .unix_socket(socket)
        .build()
        .unwrap();
    let metrics = local.get("http://localhost/metrics").send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("clm_secure_commands_total"), "{metrics}");
}

/// Nobody certifies the listener while the key is sealed, so cores wait; custodians do not.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_certificate_of_the_listener_waits_for_the_custodians_alone() {
    let mut apart = Apart::prepare().await;
    apart.secure.serve();
    split(&apart);
    apart.pair("core-1");
    assert!(apart.secure.stop("TERM"));
    fs::remove_file(apart.secure.data_directory().join("transport-server.json")).unwrap();
    apart.secure.spawn();
    assert_eq!(seal_status(&apart)["sealed"], true);
    apart.core.spawn();
    for index in 0..2 {
        let given = apart.on_secure(&["unseal", "--share", &share(&apart, index)], "");
        assert!(given.status.success(), "{}", text(&given));
    }
    apart.secure.wait_ready();
    apart.core.wait_ready();
    apart.furnish().await;
}

/// Custodians may come to a core as well; it says meanwhile what it waits for.
#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_service_is_opened_through_a_core() {
    let mut apart = Apart::start().await;
    let requester = Requester::at(&apart.url, &apart.furnish().await);
    split(&apart);
    assert!(apart.secure.stop("TERM"));
    apart.secure.spawn();
    let asked = json!({
        "subject_alternative_names": ["DNS:one.example"], "key_algorithm": "ecdsa-p256",
    });
    assert_eq!(seal_status(&apart)["sealed"], true);
    let begun = Instant::now();
    let refused = loop {
        let refused = requester
            .post(CERTIFICATE_REQUESTS, &asked)
            .await
            .expect(503);
        assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
        // The listener may open a little later than the local socket.
        if problem(&refused).code != "secure_service_unavailable" {
            break problem(&refused).code;
        }
        assert!(begun.elapsed() < PATIENCE, "{}", apart.secure.read_log());
    };
    assert_eq!(refused, "sealed");
    let ready = requester.get("/readyz").await.expect(503);
    assert!(ready.text.contains("sealed: 2 more of 3"), "{ready:?}");
    for index in 0..2 {
        let share = fs::read_to_string(share(&apart, index)).unwrap();
        let given = apart.on_core(&["unseal", "--share-stdin"], &share);
        assert!(given.status.success(), "{}", text(&given));
    }
    apart.secure.wait_ready();
    requester
        .post(CERTIFICATE_REQUESTS, &asked)
        .await
        .expect(201);
}
