//! The embedded mode: a private PostgreSQL with every start, stop and accident of its life, seen from
//! outside. What is asked of the operating system is asked of `/proc`.

mod accounts;
mod inspect;
mod refusals;

use std::fs;
use std::time::{Duration, Instant};

use clm_api_types::client::{Client, ClientError, ClientOptions, Credential};
use clm_api_types::page::PageQuery;
use clm_api_types::sessions::SessionCreate;
use clm_api_types::users::PasswordChange;
use clm_tests::Program;
use clm_tests::program::is_postgres;
use serde_json::Value;
use uuid::Uuid;

use self::inspect::{
    check_durability, check_files, check_hardened, check_owners, family_of, running, servers_of,
};

/// How long a condition may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
const NEW_PASSWORD: &str = "a password of my own";

/// What must be the same at every start.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    root_certificate: String,
    organization_id: Uuid,
    certificate_authorities: Vec<(String, String)>,
    administrator: String,
}

impl Identity {
    async fn of(program: &Program) -> Self {
        let client = local_client(program);
        let who = client.who_am_i().await.unwrap();
        let authorities = client
            .list_certificate_authorities(&PageQuery::default())
            .await
            .unwrap();
        let certificate_authorities = authorities
            .items
            .into_iter()
            .map(|authority| (authority.name, authority.fingerprint_sha256))
            .collect();
        let root = program.bootstrap_text("ca_certificate");
        Self {
            root_certificate: fs::read_to_string(root).unwrap(),
            organization_id: who.organization_id,
            certificate_authorities,
            administrator: program.bootstrap_text("username"),
        }
    }
}

fn local_client(program: &Program) -> Client {
    let socket = program.run_directory().unwrap().join("clm.sock");
    Client::over_socket(&socket, Some(program.bootstrap_text("organization"))).unwrap()
}

/// Signs in as the first administrator with this password.
async fn sign_in(program: &Program, password: &str) -> Result<Client, ClientError> {
    let url = program.bootstrap_text("url");
    let client =
        |credential| Client::over_network(&url, credential, &ClientOptions::default()).unwrap();
    let request = SessionCreate {
        username: program.bootstrap_text("username"),
        password: password.to_owned(),
        organization: Some(program.bootstrap_text("organization")),
    };
    let (_, credential) = client(Credential::None).sign_in(&request).await?;
    Ok(client(credential))
}

/// Stops the program, which must leave neither a process nor a socket.
fn stop(program: &mut Program, signal: &str) {
    let database = family_of(program.postmaster_pid().expect("a database runs"));
    let socket = program.data_directory().join("clm.sock");
    assert!(socket.exists());
    assert!(program.stop(signal), "{signal}: {}", program.read_log());
    assert_eq!(
        running(&database),
        Vec::<u32>::new(),
        "{signal} left PostgreSQL running"
    );
    assert_eq!(
        program.postmaster_pid(),
        None,
        "{signal} left postmaster.pid"
    );
    assert!(!socket.exists(), "{signal} left the socket");
    let complaint = program.cli(&["cert", "list"]);
    assert!(!complaint.status.success());
}

fn assert_cli_works(program: &Program) {
    let output = program.cli(&["cert", "list"]);
    assert!(output.status.success(), "{output:?}");
}

/// The password that `bootstrap.json` shows.
fn shown_password(program: &Program) -> Option<String> {
    program
        .bootstrap()
        .get("password")
        .and_then(Value::as_str)
        .map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn installations_run_side_by_side_and_are_found_again() {
    let (mut one, mut two) = (Program::prepare(), Program::prepare());
    one.spawn();
    two.spawn();
    one.wait_ready();
    two.wait_ready();
    let (first, second) = (Identity::of(&one).await, Identity::of(&two).await);
    assert_ne!(first.root_certificate, second.root_certificate);
    assert_ne!(first.organization_id, second.organization_id);
    assert_eq!(first.certificate_authorities.len(), 1, "{first:?}");
    assert_ne!(shown_password(&one).unwrap(), shown_password(&two).unwrap());
    check_durability(&one).await;
    check_files(&one);
    check_owners(&one);
    check_hardened(&one);

    stop(&mut one, "INT");
    assert_eq!(
        Identity::of(&two).await,
        second,
        "the other one is left alone"
    );
    let password = shown_password(&one).expect("shown until it is changed");
    one.serve();
    assert_eq!(Identity::of(&one).await, first);
    assert_eq!(shown_password(&one).as_ref(), Some(&password));
    check_files(&one);
    check_owners(&one);
    change_password(&one, &password).await;
    stop(&mut one, "TERM");
    one.serve();
    assert_eq!(Identity::of(&one).await, first);
    assert_eq!(
        shown_password(&one),
        None,
        "a restart does not bring it back"
    );
    sign_in(&one, NEW_PASSWORD).await.unwrap();

    let accidents = Accidents {
        program: &mut two,
        identity: second,
    };
    accidents.happen().await;
    stop(&mut one, "TERM");
    stop(&mut two, "INT");
}

/// Changes the first administrator's password, which then disappears from `bootstrap.json`.
async fn change_password(program: &Program, password: &str) {
    let session = sign_in(program, password).await.unwrap();
    let wrong = PasswordChange {
        current_password: "not the password".to_owned(),
        new_password: NEW_PASSWORD.to_owned(),
    };
    assert!(session.change_password(&wrong).await.is_err());
    assert_eq!(
        shown_password(program).as_deref(),
        Some(password),
        "not changed yet"
    );
    let change = PasswordChange {
        current_password: password.to_owned(),
        ..wrong
    };
    session.change_password(&change).await.unwrap();
    let begun = Instant::now();
    while shown_password(program).is_some() {
        assert!(
            begun.elapsed() < PATIENCE,
            "bootstrap.json keeps the password"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let text = fs::read_to_string(program.data_directory().join("bootstrap.json")).unwrap();
    assert!(!text.contains(password), "{text}");
    check_files(program);
    sign_in(program, NEW_PASSWORD).await.unwrap();
    let refused = sign_in(program, password).await.err();
    assert!(matches!(&refused, Some(ClientError::Problem(problem)) if problem.status == 401));
}

/// What an installation must survive.
struct Accidents<'a> {
    program: &'a mut Program,
    identity: Identity,
}

impl Accidents<'_> {
    async fn happen(self) {
        let Self { program, identity } = self;
        let left = family_of(program.postmaster_pid().unwrap());
        program.kill();
        assert!(
            is_postgres(*left.last().unwrap()),
            "a killed program cannot stop its database"
        );
        let socket = program.run_directory().unwrap().join("clm.sock");
        assert!(socket.exists(), "a killed program cannot remove its socket");
        // A process that exists and has nothing to do with it.
        let lock = program.state_directory().join("clm.lock");
        fs::write(&lock, "1\nsomething else\n").unwrap();

        program.serve();
        assert_eq!(
            running(&left),
            Vec::<u32>::new(),
            "a stray database is left"
        );
        let server = program.postmaster_pid().unwrap();
        assert_eq!(servers_of(program), [server], "one database");
        assert_eq!(
            fs::read_to_string(&lock).unwrap(),
            format!("{}\n", program.pid())
        );
        assert_eq!(Identity::of(program).await, identity);
        assert_cli_works(program);

        // The database is killed with it, and its lock file names a process of somebody else.
        program.kill();
        clm_tests::program::signal_process("KILL", server);
        let begun = Instant::now();
        while is_postgres(server) {
            assert!(begun.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let lock = program.state_directory().join("postgresql/postmaster.pid");
        let text = fs::read_to_string(&lock).unwrap();
        let rest = text.split_once('\n').unwrap().1;
        fs::write(&lock, format!("{}\n{rest}", std::process::id())).unwrap();
        program.serve();
        assert_eq!(servers_of(program).len(), 1);
        assert_eq!(Identity::of(program).await, identity);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_may_be_odd_and_long() {
    let name = format!("it's \"ünï\", $(x) \\n#/{}", "long ".repeat(30).trim_end());
    let mut program = Program::prepare_at(&name);
    assert!(program.data_directory().as_os_str().len() > 150);
    program.serve();
    let identity = Identity::of(&program).await;
    let root = program
        .data_directory()
        .canonicalize()
        .unwrap()
        .join("root-ca.pem");
    assert_eq!(
        program.bootstrap_text("ca_certificate"),
        root.to_str().unwrap()
    );
    check_files(&program);
    assert_cli_works(&program);
    let arguments = [
        "cert",
        "request",
        "--key-algorithm",
        "ecdsa-p256",
        "--san",
        "DNS:a.example",
    ];
    let output = program.cli(&arguments);
    assert!(output.status.success(), "{output:?}");
    program.kill();
    program.serve();
    assert_eq!(servers_of(&program).len(), 1);
    assert_eq!(Identity::of(&program).await, identity);
    assert!(
        program
            .cli(&["db", "reconcile", "--check"])
            .status
            .success()
    );
    stop(&mut program, "TERM");
}
