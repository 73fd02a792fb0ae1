//! The process of the Secure Service reaches nothing that it does not need.

use std::fs;
use std::os::unix::fs::symlink;

use clm_tests::Apart;

/// The process of the Secure Service reads nothing beyond its own directories and the system's.
#[tokio::test(flavor = "multi_thread")]
async fn a_secure_service_confines_itself() {
    let mut apart = Apart::prepare().await;
    apart.secure.serve();
    let log = apart.secure.read_log();
    if log.contains("does not let the process confine itself") {
        println!("not tested: this kernel has no Landlock");
        return;
    }
    assert!(
        log.contains("the process is confined to its files"),
        "{log}"
    );
    assert!(apart.secure.stop("TERM"));
    // A file that anybody else would follow the link to.
    let own = apart.secure.data_directory().join("transport-server.json");
    let elsewhere = apart.secure.directory.path().join("settings/server.json");
    fs::rename(&own, &elsewhere).unwrap();
    symlink(&elsewhere, &own).unwrap();
    apart.secure.spawn();
    assert!(!apart.secure.wait_for_end().success());
    let log = apart.secure.read_log();
    assert!(log.contains("Permission denied"), "{log}");
}
