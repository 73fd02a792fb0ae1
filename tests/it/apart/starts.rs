//! Each role refuses to start with what belongs to the other one, names it, and changes nothing.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use clm_test_support::cluster;
use clm_tests::{Apart, Program};

/// How long a refusal may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// What no message may repeat.
const SECRET: &str = "5f0c2b6d9a7e41838c1d0e6fb2a4937750617283940a1b2c3d4e5f6071829304";

/// `clm serve …` with these settings and no others; it must end by itself.
fn serve(program: &Program, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = program.command(&[&["serve"], arguments].concat());
    command
        .envs(settings.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("it started: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

/// It ended with code 1, said all of `named`, and nothing of the secret.
fn assert_refused(output: &Output, named: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    for part in named {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains(SECRET), "{said}");
}

/// All files below a directory, by name. Directories do not count, nor does the link to where sockets
/// will be, which is made with them.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.symlink_metadata().unwrap().file_type() {
            kind if kind.is_dir() => found.extend(files(&path)),
            kind if kind.is_symlink() => {}
            _ => found.push(path),
        }
    }
    found.sort();
    found
}

/// A program with an empty data directory, run by an account that is not root.
fn program() -> Program {
    let program = cluster::account().map_or_else(Program::prepare, Program::prepare_as);
    fs::create_dir_all(program.data_directory()).unwrap();
    program
}

/// Puts a file into a directory that the program reads, owned by who runs it.
fn put(directory: &Path, name: &str, text: &str) {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    if let Some(account) = cluster::account() {
        chown(&path, Some(account.uid), Some(account.gid)).unwrap();
    }
}

fn url(user: &str) -> String {
    format!("postgres://{user}:{SECRET}@127.0.0.1:1/clm")
}

#[test]
fn a_core_does_not_start_with_settings_of_the_secure_service() {
    let program = program();
    let (core, secure) = (url("core"), url("secure"));
    for (name, value) in [
        ("CLM_SECURE_DATABASE_URL", secure.as_str()),
        ("CLM_SECURE_ADMIN_URL", &secure),
        ("CLM_ADMIN_URL", &secure),
        ("CLM_MASTER_KEY", SECRET),
        ("CLM_MASTER_KEY_NEXT", SECRET),
        ("CLM_MASTER_KEY_FILE", "/nowhere/master.key"),
        ("CLM_MASTER_KEY_PROVIDER", "file"),
    ] {
        let settings = [("CLM_CORE_DATABASE_URL", core.as_str()), (name, value)];
        let refused = serve(&program, &["--role", "core"], &settings);
        assert_refused(&refused, &["role 'core'", &format!(" {name},")]);
        assert_eq!(files(&program.data_directory()), [] as [PathBuf; 0]);
    }
}

#[test]
fn a_secure_service_does_not_start_with_settings_of_a_core() {
    let program = program();
    let (core, secure) = (url("core"), url("secure"));
    for (name, value) in [
        ("CLM_CORE_DATABASE_URL", core.as_str()),
        ("CLM_ADMIN_URL", &core),
        ("CLM_SECURE_ADMIN_URL", &core),
        ("CLM_BOOTSTRAP_PASSWORD", SECRET),
    ] {
        let settings = [("CLM_SECURE_DATABASE_URL", secure.as_str()), (name, value)];
        let refused = serve(&program, &["--role", "secure"], &settings);
        assert_refused(&refused, &["role 'secure'", &format!(" {name},")]);
        assert_eq!(files(&program.data_directory()), [] as [PathBuf; 0]);
    }
}

#[test]
fn a_role_needs_its_database() {
    let program = program();
    for (role, name) in [
        ("core", "CLM_CORE_DATABASE_URL"),
        ("secure", "CLM_SECURE_DATABASE_URL"),
    ] {
        let refused = serve(&program, &["--role", role], &[]);
        let named = format!("role '{role}' needs {name}");
        assert_refused(&refused, &[&named, &format!("--database {role}")]);
    }
    assert_eq!(files(&program.data_directory()), [] as [PathBuf; 0]);
}

/// Both ways of naming the role, which of them wins, and words that name none.
#[test]
fn the_role_that_was_typed_wins() {
    let program = program();
    let core = url("core");
    for (arguments, setting, begins) in [
        (&[] as &[&str], "core", "role 'core' needs"),
        (&[], "secure", "role 'secure' needs"),
        (&["--role", "core"], "secure", "role 'core' needs"),
        (&["--role", "secure"], "core", "role 'secure' needs"),
        (
            &[],
            "both",
            "CLM_ROLE='both' must be 'all', 'secure' or 'core'",
        ),
        (
            &[],
            "Core",
            "CLM_ROLE='Core' must be 'all', 'secure' or 'core'",
        ),
    ] {
        let refused = serve(&program, arguments, &[("CLM_ROLE", setting)]);
        assert_refused(&refused, &[begins]);
    }
    // What is foreign is judged by the role that was typed.
    let settings = [("CLM_ROLE", "core"), ("CLM_CORE_DATABASE_URL", &core)];
    let refused = serve(&program, &["--role", "secure"], &settings);
    assert_refused(&refused, &["role 'secure'", "CLM_CORE_DATABASE_URL,"]);
    // Arguments that cannot be understood have a code of their own.
    let refused = serve(&program, &["--role", "both"], &[]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains("'both'") && said.contains("'secure'"),
        "{said}"
    );
    assert_eq!(files(&program.data_directory()), [] as [PathBuf; 0]);
}

#[test]
fn clm_toml_says_the_role_and_what_is_foreign_to_it() {
    let program = program();
    let directory = program.data_directory();
    let (core, secure) = (url("core"), url("secure"));
    for (text, named) in [
        ("role = \"core\"\n".to_owned(), "role 'core' needs"),
        (
            format!(
                "role = \"core\"\ncore_database_url = \"{core}\"\nsecure_database_url = \"{secure}\"\n"
            ),
            "role 'core' does not start with CLM_SECURE_DATABASE_URL,",
        ),
        (
            format!(
                "role = \"secure\"\ncore_database_url = \"{core}\"\nsecure_database_url = \"{secure}\"\n"
            ),
            "role 'secure' does not start with CLM_CORE_DATABASE_URL,",
        ),
    ] {
        put(&directory, "clm.toml", &text);
        assert_refused(&serve(&program, &[], &[]), &[named]);
        assert_eq!(files(&directory), [directory.join("clm.toml")]);
    }
}

/// The credential of systemd, under both names that the Secure Service reads.
#[test]
fn a_core_does_not_start_with_a_credential_that_is_a_master_key() {
    let program = program();
    let core = url("core");
    for name in ["clm-master-key", "clm-master-key-next"] {
        let credentials = program.directory.path().join(name);
        fs::create_dir(&credentials).unwrap();
        fs::set_permissions(&credentials, fs::Permissions::from_mode(0o755)).unwrap();
        put(&credentials, name, SECRET);
        let settings = [
            ("CLM_CORE_DATABASE_URL", core.as_str()),
            ("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap()),
        ];
        let refused = serve(&program, &["--role", "core"], &settings);
        assert_refused(&refused, &["role 'core'", &format!("'{name}'")]);
    }
    assert_eq!(files(&program.data_directory()), [] as [PathBuf; 0]);
}

/// That in force, and one of a later version.
#[test]
fn a_core_does_not_start_beside_a_file_that_is_a_master_key() {
    let program = program();
    let directory = program.data_directory();
    let core = url("core");
    let settings = [("CLM_CORE_DATABASE_URL", core.as_str())];
    let (lock, path) = (directory.join("clm.lock"), directory.join("master.key"));
    put(&directory, "master.key", SECRET);
    let later = directory.join("master.key.2");
    for path in [path.clone(), later.clone()] {
        let refused = serve(&program, &["--role", "core"], &settings);
        assert_refused(&refused, &["role 'core'", path.to_str().unwrap()]);
        assert_eq!(files(&directory), [lock.clone(), path.clone()]);
        assert_eq!(fs::read_to_string(&path).unwrap(), SECRET);
        fs::rename(&path, &later).unwrap();
    }
}

/// With everything else in order, on a database that was prepared for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_core_that_was_not_paired_does_not_start() {
    let apart = Apart::prepare().await;
    let databases = apart.databases();
    let before = databases.contents().await;
    let settings = apart.core.environment.iter();
    let settings: Vec<_> = settings
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .chain([("CLM_HTTPS_LISTEN", "off")])
        .collect();
    let refused = serve(&apart.core, &[], &settings);
    assert_refused(&refused, &["was not paired", "clm pair accept"]);
    let directory = apart.core.data_directory();
    assert_eq!(files(&directory), [directory.join("clm.lock")]);
    assert_eq!(databases.contents().await, before);
}
