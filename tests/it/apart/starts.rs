//! Each role refuses to start with what belongs to the other one, and without what it needs.

use std::fs;
use std::os::unix::fs::symlink;

use clm_tests::{Apart, Program};

const CORE_URL: (&str, &str) = (
    "CLM_CORE_DATABASE_URL",
    "postgres://core-secret@localhost/x",
);
const SECURE_URL: (&str, &str) = (
    "CLM_SECURE_DATABASE_URL",
    "postgres://secure-secret@localhost/x",
);

/// What a start that is refused says. Nothing is made by it but directories and the lock.
fn refusal(settings: &[(&str, &str)], arguments: &[&str]) -> String {
    let program = Program::prepare();
    refusal_of(&program, settings, arguments)
}

fn refusal_of(program: &Program, settings: &[(&str, &str)], arguments: &[&str]) -> String {
    let mut command = program.command(&[&["serve"], arguments].concat());
    let output = command.envs(settings.iter().copied()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    for secret in ["core-secret", "secure-secret", "key-secret"] {
        assert!(!said.contains(secret), "{said}");
    }
    let entries = fs::read_dir(program.state_directory())
        .into_iter()
        .flatten();
    let mut made = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(
        made.all(
            |name| ["clm.lock", "clm.sock", "location", "clm.toml"].contains(&name.as_str())
                || name.starts_with("master.key")
        ),
        "{said}"
    );
    said
}

#[test]
fn a_core_starts_with_nothing_of_the_secure_service() {
    for foreign in [
        SECURE_URL,
        (
            "CLM_SECURE_ADMIN_URL",
            "postgres://secure-secret@localhost/x",
        ),
        ("CLM_MASTER_KEY", "key-secret"),
        ("CLM_MASTER_KEY_NEXT", "key-secret"),
        ("CLM_MASTER_KEY_FILE", "/nowhere/key"),
        ("CLM_MASTER_KEY_PROVIDER", "file"),
    ] {
        let said = refusal(&[CORE_URL, foreign], &["--role", "core"]);
        assert!(said.contains(foreign.0), "{said}");
        assert!(said.contains("belongs to the other process"), "{said}");
    }
}

#[test]
fn a_core_starts_without_any_master_key() {
    let program = Program::prepare();
    let credentials = program.directory.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("clm-master-key"), "key-secret").unwrap();
    let given = ("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap());
    let said = refusal_of(&program, &[CORE_URL, given], &["--role", "core"]);
    assert!(said.contains("clm-master-key"), "{said}");

    for name in ["master.key", "master.key.2"] {
        let program = Program::prepare();
        fs::create_dir(program.data_directory()).unwrap();
        // What marks a data directory as ours.
        fs::write(program.data_directory().join("master.key"), "key-secret").unwrap();
        fs::rename(
            program.data_directory().join("master.key"),
            program.data_directory().join(name),
        )
        .unwrap();
        fs::write(
            program.data_directory().join("clm.toml"),
            "role = \"core\"\n",
        )
        .unwrap();
        let said = refusal_of(&program, &[CORE_URL], &[]);
        assert!(said.contains(name), "{said}");
    }
}

#[test]
fn a_core_starts_after_it_was_paired() {
    let said = refusal(&[CORE_URL, ("CLM_ROLE", "core")], &[]);
    assert!(said.contains("clm pair create"), "{said}");
}

#[test]
fn a_secure_service_starts_with_nothing_of_the_core() {
    for foreign in [
        CORE_URL,
        ("CLM_ADMIN_URL", "postgres://core-secret@localhost/x"),
        ("CLM_BOOTSTRAP_PASSWORD", "core-secret"),
    ] {
        let said = refusal(&[SECURE_URL, foreign], &["--role", "secure"]);
        assert!(said.contains(foreign.0), "{said}");
    }
}

#[test]
fn a_role_apart_has_a_database_of_its_own() {
    for (role, name) in [("core", CORE_URL.0), ("secure", SECURE_URL.0)] {
        let said = refusal(&[], &["--role", role]);
        assert!(said.contains(name), "{said}");
        assert!(said.contains("clm db init"), "{said}");
    }
    let said = refusal(&[CORE_URL], &[]);
    assert!(said.contains("set both"), "{said}");
    // What is typed wins over what is set.
    let said = refusal(&[("CLM_ROLE", "core")], &["--role", "secure"]);
    assert!(said.contains(SECURE_URL.0), "{said}");
    let said = refusal(&[("CLM_ROLE", "both")], &[]);
    assert!(said.contains("'both' must be"), "{said}");
}

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
