//! Starts that cannot work: each says why and what to do, and leaves nothing behind.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use clm_secure::FileMasterKey;
use clm_test_support::SeededRng;
use clm_tests::Program;

use super::inspect::{is_root, servers_of};
use super::{Identity, assert_cli_works, stop};

/// A user that owns nothing here.
const STRANGER: u32 = 54_321;

/// Starts the program, which must give up; what it said.
fn refusal(program: &mut Program) -> String {
    let before = program.read_log().len();
    program.spawn();
    let status = program.wait_for_end();
    let log = program.read_log().split_off(before);
    assert_eq!(status.code(), Some(1), "{log}");
    let said = log.lines().rfind(|line| line.starts_with("clm: "));
    said.unwrap_or_else(|| panic!("no reason was given: {log}"))
        .to_owned()
}

/// Checks that a refusal has these words in it.
fn assert_says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "'{word}' is not in: {said}");
    }
}

/// Sets one variable of the server, for one start.
fn with_setting(program: &mut Program, name: &str, value: &str) -> String {
    program
        .environment
        .push((name.to_owned(), value.to_owned()));
    let said = refusal(program);
    program.environment.pop();
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_cannot_work_says_why() {
    let mut program = Program::start();
    let identity = Identity::of(&program).await;
    let server = program.postmaster_pid().unwrap();
    let bootstrap = program.bootstrap();

    let said = second_server(&program);
    assert_says(
        &said,
        &["CLM_DATA_DIR", &format!("process {}", program.pid())],
    );
    assert_eq!(program.postmaster_pid(), Some(server));
    assert_eq!(program.bootstrap(), bootstrap);
    assert_cli_works(&program);

    for (scheme, setting) in [
        ("url", "CLM_HTTP_LISTEN"),
        ("https_url", "CLM_HTTPS_LISTEN"),
    ] {
        let url = program.bootstrap_text(scheme);
        let address = url.split_once("://").unwrap().1;
        let mut other = Program::prepare();
        assert_says(
            &with_setting(&mut other, setting, address),
            &[setting, address, "taken"],
        );
        assert_eq!(servers_of(&other), Vec::<u32>::new());
        assert!(
            !other.data_directory().join("postgresql").exists(),
            "nothing was started"
        );
    }
    assert_eq!(
        Identity::of(&program).await,
        identity,
        "the first one is left alone"
    );

    lost_master_key(&mut program);
    program.serve();
    assert_eq!(Identity::of(&program).await, identity);
    stop(&mut program, "TERM");
}

/// A second server on the directory of the first.
fn second_server(program: &Program) -> String {
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", "60"])
        .arg(clm_tests::program::executable())
        .arg("serve");
    command
        .env("CLM_DATA_DIR", program.data_directory())
        .env("CLM_HTTP_LISTEN", clm_tests::program::free_address())
        .env("CLM_HTTPS_LISTEN", "off");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A master key that is missing, or another one, while the databases hold what it sealed.
fn lost_master_key(program: &mut Program) {
    stop(program, "TERM");
    let key = program.state_directory().join("master.key");
    let aside = program.directory.path().join("master.key.aside");
    fs::rename(&key, &aside).unwrap();
    for _ in 0..2 {
        let said = refusal(program);
        assert_says(&said, &["master key is lost", key.to_str().unwrap(), "put"]);
        assert!(!key.exists(), "a new key was made in place of the lost one");
        assert_eq!(servers_of(program), Vec::<u32>::new());
    }

    FileMasterKey::create(&key, &SeededRng::new(1)).unwrap();
    let owner = fs::metadata(&aside).unwrap();
    if is_root() {
        std::os::unix::fs::chown(&key, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    assert_says(
        &refusal(program),
        &["master key", "is not the one that sealed"],
    );
    assert_eq!(servers_of(program), Vec::<u32>::new());

    fs::rename(&aside, &key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert_says(&refusal(program), &["master.key", "chmod 600"]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_place_that_cannot_be_used_is_named() {
    let mut program = Program::prepare();
    let said = with_setting(&mut program, "CLM_PG_BIN", "/nonexistent");
    assert_says(&said, &["/nonexistent", "PostgreSQL", "CLM_PG_BIN"]);
    assert!(!program.data_directory().join("postgresql").exists());
    assert!(!program.data_directory().join("bootstrap.json").exists());
    let said = with_setting(&mut program, "CLM_HTTP_LISTEN", "somewhere");
    assert_says(&said, &["CLM_HTTP_LISTEN", "somewhere"]);
    let said = with_setting(&mut program, "CLM_HTTP_LISTEN", "192.0.2.1:8080");
    assert_says(&said, &["CLM_HTTP_LISTEN", "192.0.2.1:8080"]);

    let mut program = Program::prepare_at("file");
    fs::write(program.data_directory(), "not a directory").unwrap();
    assert_says(&refusal(&mut program), &["no directory", "CLM_DATA_DIR"]);

    // Somebody's own directory must not become ours, and private, by a slip of the pen.
    let mut program = Program::prepare();
    let directory = program.data_directory();
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(directory.join("letter.txt"), "Dear Sir or Madam").unwrap();
    assert_says(&refusal(&mut program), &["other files", "CLM_DATA_DIR"]);
    let metadata = fs::metadata(&directory).unwrap();
    assert_eq!(
        (
            metadata.mode() & 0o777,
            fs::read_dir(&directory).unwrap().count()
        ),
        (0o755, 1)
    );

    // The directory, and the cluster inside it, belong to somebody else.
    if is_root() {
        let mut program = Program::prepare();
        fs::create_dir(program.data_directory()).unwrap();
        give(&program.data_directory());
        let said = refusal(&mut program);
        assert_says(&said, &[&STRANGER.to_string(), "CLM_DATA_DIR", "data"]);
        assert_eq!(
            fs::metadata(program.data_directory()).unwrap().uid(),
            STRANGER
        );

        let mut program = Program::prepare();
        let cluster = program.data_directory().join("postgresql");
        fs::create_dir_all(&cluster).unwrap();
        give(&cluster);
        let said = refusal(&mut program);
        assert_says(&said, &["postgresql", &STRANGER.to_string()]);
        assert_eq!(fs::metadata(cluster).unwrap().uid(), STRANGER);
    } else {
        let mut program = Program::prepare();
        let said = with_setting(&mut program, "CLM_DATA_DIR", "/usr");
        assert_says(&said, &["/usr", "belongs to user 0", "CLM_DATA_DIR"]);
    }
}

fn give(path: &Path) {
    std::os::unix::fs::chown(path, Some(STRANGER), Some(STRANGER)).unwrap();
}
