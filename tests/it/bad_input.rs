//! Bad input over REST: each is answered by a problem document that names the field, and nothing is
//! stored.

mod names;
mod shapes;
mod transport;
mod weak_keys;

use std::path::Path;

use clm_tests::databases::Superuser;
use clm_tests::{Program, openssl};
use serde_json::{Value, json};

use crate::support::{CERTIFICATE_REQUESTS, Requester, fields, problem};

/// One bad request, and how it must be answered.
struct Input {
    what: String,
    path: &'static str,
    body: Value,
    status: u16,
    code: &'static str,
    field: &'static str,
}

impl Input {
    /// A certificate request that is not acceptable.
    fn new(what: &str, body: Value, code: &'static str, field: &'static str) -> Self {
        Self {
            what: what.to_owned(),
            path: CERTIFICATE_REQUESTS,
            body,
            status: 422,
            code,
            field,
        }
    }

    /// A CSR that is not acceptable.
    fn csr(what: &str, csr: &str, code: &'static str, field: &'static str) -> Self {
        Self::new(what, json!({ "csr": csr }), code, field)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_names_the_field_and_stores_nothing() {
    let program = Program::start();
    let databases = Superuser::of(&program);
    let requester = Requester::of(&program).await;
    let good = good_csr(program.directory.path());
    databases.settle().await;

    let mut inputs = requests(program.directory.path(), &good);
    inputs.extend(weak_requests(program.directory.path()));
    inputs.extend(names::inputs());
    inputs.extend(shapes::inputs(&good));
    let before = stored(&databases).await;
    for input in &inputs {
        let answer = requester.post(input.path, &input.body).await;
        let (what, problem) = (&input.what, problem(&answer));
        assert_eq!(
            (problem.status, problem.code.as_str()),
            (input.status, input.code),
            "{what}: {problem:?}"
        );
        assert!(
            fields(&problem).contains(&input.field),
            "{what}: {problem:?}"
        );
        let named = problem
            .errors
            .iter()
            .all(|error| !error.field.is_empty() && !error.message.is_empty());
        assert!(named, "{what}: {problem:?}");
        assert_eq!(stored(&databases).await, before, "{what} stored something");
    }
    shapes::that_are_no_json(&program, &requester, &good).await;
    shapes::that_are_looked_up(&requester).await;
    transport::too_much(&program, &requester).await;
    transport::header_floods(&program, &requester);
    the_command_line_refuses(&program);
    assert_eq!(
        stored(&databases).await,
        before,
        "bad input stored something"
    );

    // The same request without a fault is fulfilled.
    let answer = requester
        .post(CERTIFICATE_REQUESTS, &json!({ "csr": good }))
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_ne!(stored(&databases).await, before);
}

/// Everything that is stored, but for the audit logs and marks of use.
async fn stored(databases: &Superuser) -> (clm_tests::databases::Contents, i64) {
    let keys = sqlx::query_scalar("SELECT count(*) FROM idempotency_keys");
    (
        databases.contents().await,
        keys.fetch_one(&databases.core).await.unwrap(),
    )
}

fn good_csr(directory: &Path) -> String {
    openssl::csr(directory, "good.example")
}

/// Requests that are cut, changed, or something else.
fn requests(directory: &Path, good: &str) -> Vec<Input> {
    let der = clm_pki::pem::decode_one(good.as_bytes(), clm_pki::pem::REQUEST_LABELS).unwrap();
    let pem = |der: &[u8]| clm_pki::pem::encode("CERTIFICATE REQUEST", der);
    let malformed = |what: &str, csr: &str| Input::csr(what, csr, "csr_malformed", "csr");
    let mut inputs: Vec<Input> = [0, 1, 2, 40, der.len() / 2, der.len() - 1]
        .into_iter()
        .map(|length| {
            malformed(
                &format!("a CSR cut to {length} bytes"),
                &pem(&der[..length]),
            )
        })
        .collect();
    let (first_half, _) = good.split_at(good.len() / 2);
    let certificate = openssl::expect(
        directory,
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "own.key",
            "-subj",
            "/CN=own.example",
        ],
    );
    let key = std::fs::read_to_string(directory.join("own.key")).unwrap();
    inputs.extend([
        malformed("a cut PEM text", first_half),
        malformed(
            "a CSR with a byte behind its end",
            &pem(&[der.as_slice(), &[0]].concat()),
        ),
        malformed("two CSRs", &format!("{good}{good}")),
        malformed("an empty text", ""),
        malformed("a text", "Please give me a certificate."),
        malformed("a certificate", &certificate),
        malformed("a private key", &key),
    ]);
    // The last byte is of the signature, the host's name is among what is signed.
    let mut signature = der.clone();
    *signature.last_mut().unwrap() ^= 1;
    let mut name = der.clone();
    let at = der.windows(4).rposition(|part| part == b"good").unwrap();
    name[at] = b'f';
    for (what, der) in [("a changed signature", signature), ("a changed name", name)] {
        inputs.push(Input::csr(what, &pem(&der), "csr_signature_invalid", "csr"));
    }
    inputs
}

/// Keys that give no security.
fn weak_requests(directory: &Path) -> Vec<Input> {
    let short = |bits: &str| {
        openssl::expect(
            directory,
            &[
                "req",
                "-new",
                "-newkey",
                bits,
                "-nodes",
                "-keyout",
                "/dev/null",
                "-subj",
                "/CN=weak.example",
                "-addext",
                "subjectAltName=DNS:weak.example",
            ],
        )
    };
    [
        ("RSA-512", short("rsa:512").as_str()),
        ("RSA-1024", short("rsa:1024").as_str()),
        ("RSA-2047", short("rsa:2047").as_str()),
        ("ROCA", weak_keys::FAULTY_GENERATOR),
        ("close primes", weak_keys::CLOSE_PRIMES),
        ("exponent 1", weak_keys::EXPONENT_ONE),
        ("exponent 3", weak_keys::EXPONENT_THREE),
    ]
    .into_iter()
    .map(|(what, csr)| Input::csr(what, csr, "key_too_weak", "public_key"))
    .collect()
}

/// `clm cert request` with ten megabytes that are no CSR.
fn the_command_line_refuses(program: &Program) {
    std::fs::write(
        program.directory.path().join("garbage.csr"),
        transport::garbage(),
    )
    .unwrap();
    let arguments = [
        "cert",
        "request",
        "--csr",
        "garbage.csr",
        "--out",
        "garbage.pem",
    ];
    let output = program.cli(&arguments);
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        message.contains("garbage.csr") && message.contains("no CSR"),
        "{message}"
    );
    assert!(!program.directory.path().join("garbage.pem").exists());
}
