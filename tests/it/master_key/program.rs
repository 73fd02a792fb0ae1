//! The whole program: `clm key master`, `clm unseal` and `clm seal`, and starts that wait for people.

use crate::support::split_master_key;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use clm_tests::Program;
use clm_tests::rest::{Call, Rest, bearer};
use serde_json::{Value, json};

/// How long a condition may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn done(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn parsed(output: &Output) -> Value {
    serde_json::from_str(&done(output)).unwrap()
}

fn request(program: &Program, name: &str) -> Output {
    let name = format!("DNS:{name}.example");
    program.cli(&[
        "cert",
        "request",
        "--key-algorithm",
        "ecdsa-p256",
        "--san",
        &name,
    ])
}

/// Waits for a line of standard output that begins so.
fn wait_for_line(program: &Program, beginning: &str) -> String {
    let path = program.directory.path().join("stdout");
    let begun = Instant::now();
    loop {
        let text = fs::read_to_string(&path).unwrap_or_default();
        if let Some(line) = text.lines().find(|line| line.starts_with(beginning)) {
            return line.to_owned();
        }
        let log = || program.read_log();
        assert!(
            begun.elapsed() < PATIENCE,
            "no line '{beginning}': {text}{}",
            log()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Splits the master key; returns the files of the shares.
fn split(program: &Program, folder: &str) -> Vec<PathBuf> {
    let out = program.directory.path().join(folder);
    let split = split_master_key(out.to_str().unwrap());
    let arguments = [&split[..], &["--reason", "a ceremony", "-o", "json"]].concat();
    let rotation = parsed(&program.cli(&arguments));
    assert_eq!(rotation["status"], "completed");
    assert_eq!(rotation["reason"], "a ceremony");
    assert_eq!(mode(&out), 0o700);
    let mut files: Vec<PathBuf> = fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert_eq!(files.len(), 3, "one file per custodian");
    for file in &files {
        assert_eq!(mode(file), 0o600, "{file:?}");
    }
    files
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn restart(program: &mut Program) {
    assert!(program.stop("TERM"), "{}", program.read_log());
    program.spawn();
}

/// Sealed by hand, and opened again. Not before somebody has tried the shares.
fn sealed_by_hand(program: &Program, shares: &[PathBuf]) {
    let untried = program.cli(&["seal"]);
    assert_eq!(untried.status.code(), Some(1), "{untried:?}");
    let (first, second) = (text(&shares[0]), text(&shares[1]));
    done(&program.cli(&[
        "key",
        "master",
        "confirm-backup",
        "--file",
        first,
        "--file",
        second,
    ]));
    done(&program.cli(&["seal"]));
    assert_eq!(request(program, "sealed").status.code(), Some(5));
    for share in &shares[..2] {
        done(&program.cli(&["unseal", "--share", text(share)]));
    }
    done(&request(program, "open-again"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_key_waits_for_its_custodians() {
    let mut program = Program::prepare();
    // The same at each start: bootstrap.json waits for the custodians as well.
    let address = clm_tests::program::free_address();
    program
        .environment
        .push(("CLM_HTTP_LISTEN".to_owned(), address));
    program.serve();
    let key = bearer(&program.api_key().await);
    assert_eq!(
        wait_for_line(&program, "master key"),
        "master key version 1, provider file"
    );
    wait_for_line(
        &program,
        "then       clm key master confirm-backup --file COPY",
    );
    done(&request(&program, "before"));
    let shares = split(&program, "shares");
    done(&request(&program, "after"));

    restart(&mut program);
    let line = wait_for_line(&program, "sealed");
    assert!(line.contains("2 of 3 custodians"), "{line}");
    let rest = Rest::of(&program);
    let ready = rest.send(Call::new("GET", "/readyz")).await.expect(503);
    assert_eq!(ready.body["ready"], false);
    assert!(
        ready.text.contains("sealed: 2 more of 3 shares"),
        "{}",
        ready.text
    );
    let refused = request(&program, "sealed");
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    let body = json!({
        "key_algorithm": "ecdsa-p256", "subject_alternative_names": ["DNS:sealed.example"],
    });
    let call = Call::new("POST", "/api/v1/certificate-requests")
        .by(&key)
        .body(body);
    let refused = rest.send(call).await.expect(503);
    assert_eq!(refused.code(), "sealed");
    assert_eq!(refused.headers["retry-after"], "30");
    let status = program.cli(&["unseal", "--status", "-o", "json"]);
    assert_eq!(status.status.code(), Some(1), "{status:?}");

    opened_by_two(&program, &shares);

    // Without another start: the certificate for HTTPS, and everything else.
    program.wait_ready();
    rest.send(Call::new("GET", "/readyz")).await;
    let begun = Instant::now();
    while rest.send(Call::new("GET", "/readyz")).await.status != 200 {
        assert!(begun.elapsed() < PATIENCE, "{}", program.read_log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    done(&request(&program, "open"));
    assert!(program.read_log().contains("the HTTPS certificate is new"));
    quiet_while_sealed(&program.read_log());

    sealed_by_hand(&program, &shares);
    nothing_is_told(&program, &shares);

    // Back to a file, which needs nobody.
    done(&program.cli(&["key", "master", "rotate", "--to", "file"]));
    restart(&mut program);
    program.wait_ready();
    done(&request(&program, "file"));
    assert!(program.data_directory().join("master.key.3").exists());
    // A server is not needed for this, and nobody could unseal it.
    done(&program.cli(&["db", "reconcile", "--check"]));
}

/// Two custodians, of whom one comes twice, and somebody else.
fn opened_by_two(program: &Program, shares: &[PathBuf]) {
    let first = parsed(&program.cli(&["unseal", "--share", text(&shares[2]), "-o", "json"]));
    assert_eq!(
        (&first["given"], &first["sealed"]),
        (&json!(1), &json!(true))
    );
    let twice = done(&program.cli(&["unseal", "--share", text(&shares[2])]));
    assert!(twice.contains("1 of 2 shares were given"), "{twice}");
    done(&program.cli(&["unseal", "--reset"]));
    done(&program.cli(&["unseal", "--share", text(&shares[2])]));
    let wrong = program.cli_with_input(&["unseal", "--share-stdin"], "no share");
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    let share = fs::read_to_string(&shares[0]).unwrap();
    let open = done(&program.cli_with_input(&["unseal", "--share-stdin"], &share));
    assert!(open.starts_with("open"), "{open}");
}

/// Loops that need the key rest: nobody is told every second that it is missing.
fn quiet_while_sealed(log: &str) {
    let sealed = log.rsplit_once("is sealed: its custodians").unwrap().1;
    let complaints = sealed
        .lines()
        .filter(|line| line.contains("background round failed") || line.contains(" ERROR "));
    assert_eq!(complaints.collect::<Vec<_>>(), Vec::<&str>::new());
}

/// No log has anything of a share, nor of the first key.
fn nothing_is_told(program: &Program, shares: &[PathBuf]) {
    let mut secrets =
        vec![fs::read_to_string(program.data_directory().join("master.key")).unwrap()];
    secrets.extend(shares.iter().map(|path| fs::read_to_string(path).unwrap()));
    let log = program.read_log();
    for secret in &secrets {
        let digits = secret
            .lines()
            .find(|line| line.len() == 64 && !line.contains(' '));
        assert!(!log.contains(digits.unwrap()), "the log has a secret");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_asked_for_until_it_is_shown() {
    let program = Program::start();
    let doctor = |program: &Program| {
        let found = program.cli(&["doctor", "-o", "json"]);
        let found: Value = serde_json::from_slice(&found.stdout).unwrap();
        found["items"].as_array().unwrap().clone()
    };
    let verdict = |program: &Program, subject: &str| {
        let items = doctor(program);
        let found = items
            .iter()
            .find(|item| item["subject"].as_str().unwrap().ends_with(subject));
        let found = found.unwrap_or_else(|| panic!("{subject}: {items:?}"));
        found["verdict"].as_str().unwrap().to_owned()
    };
    assert_eq!(verdict(&program, "copy of the master key"), "advice");
    let copy = program.directory.path().join("copy");
    fs::write(&copy, "f".repeat(64)).unwrap();
    let confirm = ["key", "master", "confirm-backup", "--file", text(&copy)];
    let refused = program.cli(&confirm);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let unsplit = program.cli(&["key", "master", "confirm-backup", "--custodians-confirmed"]);
    assert_eq!(unsplit.status.code(), Some(1), "{unsplit:?}");
    let key = program.state_directory().join("master.key");
    fs::copy(&key, &copy).unwrap();
    assert!(done(&program.cli(&confirm)).contains("confirmed"));
    assert_eq!(verdict(&program, "copy of the master key"), "good");
    assert_eq!(verdict(&program, "/master.key"), "good");

    done(&program.cli(&[
        "key",
        "master",
        "rotate",
        "--to",
        "file",
        "--type",
        "emergency",
    ]));
    assert_eq!(verdict(&program, "copy of the master key"), "advice");
    assert_eq!(
        verdict(&program, "/master.key"),
        "advice",
        "not in force any more"
    );
    let second = program.state_directory().join("master.key.2");
    assert_eq!(verdict(&program, "/master.key.2"), "good");
    fs::rename(&second, &copy).unwrap();
    assert_eq!(
        verdict(&program, "/master.key.2"),
        "bad",
        "the next start would fail"
    );
    fs::rename(&copy, &second).unwrap();
    let shown = parsed(&program.cli(&["key", "master", "show", "-o", "json"]));
    assert_eq!(
        (&shown["key_version"], &shown["provider"]),
        (&json!(2), &json!("file"))
    );
    let shares = split(&program, "shares");
    let two = [
        "key",
        "master",
        "confirm-backup",
        "--file",
        text(&shares[0]),
        "--file",
        text(&shares[2]),
    ];
    done(&program.cli(&two));
    assert_eq!(verdict(&program, "copy of the master key"), "good");
    done(&program.cli(&["key", "master", "confirm-backup", "--custodians-confirmed"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_and_credentials_hold_the_key_as_well() {
    let mut program = Program::prepare();
    let set = |program: &mut Program, name: &str, value: &str| {
        program.environment.retain(|(known, _)| known != name);
        program
            .environment
            .push((name.to_owned(), value.to_owned()));
    };
    set(&mut program, "CLM_MASTER_KEY_PROVIDER", "environment");
    // Without the key nothing begins.
    program.spawn();
    assert_eq!(program.wait_for_end().code(), Some(1));
    set(&mut program, "CLM_MASTER_KEY", &"a".repeat(64));
    program.serve();
    assert_eq!(
        wait_for_line(&program, "master key"),
        "master key version 1, provider environment"
    );
    assert!(!program.state_directory().join("master.key").exists());
    done(&request(&program, "environment"));

    set(&mut program, "CLM_MASTER_KEY", &"b".repeat(64));
    restart(&mut program);
    assert_eq!(program.wait_for_end().code(), Some(1));
    let log = program.read_log();
    assert!(!log.contains(&"b".repeat(64)) && !log.contains(&"a".repeat(64)));
    set(&mut program, "CLM_MASTER_KEY", &"a".repeat(64));

    // To a credential, which has to be there beforehand.
    let folder = program.directory.path().join("credentials");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    set(&mut program, "CREDENTIALS_DIRECTORY", text(&folder));
    program.serve();
    let to_credential = ["key", "master", "rotate", "--to", "credential"];
    let absent = program.cli(&to_credential);
    assert_eq!(absent.status.code(), Some(1), "{absent:?}");
    assert!(
        String::from_utf8_lossy(&absent.stderr).contains("clm-master-key"),
        "{absent:?}"
    );
    fs::write(folder.join("clm-master-key-next"), "c".repeat(64)).unwrap();
    done(&program.cli(&to_credential));
    restart(&mut program);
    program.wait_ready();
    fs::rename(
        folder.join("clm-master-key-next"),
        folder.join("clm-master-key"),
    )
    .unwrap();
    restart(&mut program);
    program.wait_ready();
    assert_eq!(
        wait_for_line(&program, "master key"),
        "master key version 2, provider credential"
    );
    done(&request(&program, "credential"));
}
