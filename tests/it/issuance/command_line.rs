//! `clm cert …` on the machine of the server, as its operator works.

use std::path::Path;

use clm_domain::key_algorithm::KeyAlgorithm;
use clm_pki::pem;
use clm_tests::{Program, openssl};
use serde_json::Value;

use super::requests::{Kind, kinds};
use super::{certificates, clm, linter, public_key, rows, verify};
use crate::support::check_audit_hashes;
use crate::support::der;
use clm_tests::databases::Superuser;

const PASSPHRASE: &str = "a passphrase of a test";

/// An issued certificate: what the command printed, and its file.
struct Issued {
    answer: Value,
    chain: String,
}

impl Issued {
    fn id(&self) -> &str {
        self.answer["certificate"]["id"].as_str().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_issues_shows_and_exports() {
    let program = Program::start();
    let databases = Superuser::of(&program);
    let root = program.bootstrap_text("ca_certificate");
    let mut all = Vec::new();
    for kind in kinds() {
        let issued = request(&program, &kind, &root);
        rows::check(
            &program,
            &databases,
            (&issued.answer, &issued.chain),
            Some(&kind.csr()),
        )
        .await;
        all.push(issued);
    }
    for algorithm in KeyAlgorithm::ALL {
        let issued = request_with_key(&program, algorithm, &root);
        rows::check(&program, &databases, (&issued.answer, &issued.chain), None).await;
        all.push(issued);
    }
    for certificate_type in ["client", "leaf", "code_signing", "email"] {
        all.push(request_type(&program, certificate_type));
    }
    lists(&program, &all);
    shows_and_exports(&program, &all[0]);
    let mut files = vec![root];
    files.extend(
        all.iter()
            .flat_map(|issued| split(program.directory.path(), &issued.chain)),
    );
    linter::accepts(program.directory.path(), &files);
    databases.settle().await;
    check_audit_hashes(&databases).await;
}

/// `clm cert request --csr … --out …`
fn request(program: &Program, kind: &Kind, root: &str) -> Issued {
    let directory = program.directory.path();
    kind.write(directory);
    let (csr, chain) = (kind.csr(), format!("{}.pem", kind.name));
    let output = clm(
        program,
        &[
            "cert", "request", "--csr", &csr, "--out", &chain, "-o", "json",
        ],
    );
    let answer: Value = serde_json::from_str(&output).unwrap();
    verify(directory, root, &chain);

    let contents = std::fs::read(directory.join(&csr)).unwrap();
    let asked = pem::to_der(&contents, pem::REQUEST_LABELS).unwrap();
    let chain_der = certificates(&directory.join(&chain));
    assert_eq!(
        chain_der.len(),
        2,
        "{}: leaf and issuing CA, without the root",
        kind.name
    );
    let got = &chain_der[0];
    assert_eq!(
        der::of_request(&asked),
        der::of_certificate(got),
        "{}",
        kind.name
    );
    let as_text = format!("{}.csr.pem", kind.name);
    let text = pem::encode("CERTIFICATE REQUEST", &asked);
    std::fs::write(directory.join(&as_text), text).unwrap();
    assert_eq!(
        public_key(directory, "req", &as_text),
        public_key(directory, "x509", &chain)
    );
    let oid = der::SUBJECT_ALTERNATIVE_NAME;
    let names = der::certificate_extension(got, oid);
    if kind.has_names() {
        let wished = der::requested_extension(&asked, oid);
        assert!(wished.is_some());
        assert_eq!(
            names, wished,
            "{}: the names are not those that were asked for",
            kind.name
        );
    } else {
        // A server is recognized by its alternative names only (RFC 9525 §2).
        let name = der::element(der::DNS_NAME, &[b"only.example"]);
        assert_eq!(
            names,
            Some(der::element(der::SEQUENCE, &[&name]).as_slice())
        );
    }
    let algorithm = &answer["certificate"]["key_algorithm"];
    assert_eq!(algorithm, kind.key_algorithm, "{}", kind.name);
    Issued { answer, chain }
}

/// `clm cert request --key-algorithm …`
fn request_with_key(program: &Program, algorithm: KeyAlgorithm, root: &str) -> Issued {
    const NAMES: [&str; 4] = [
        "DNS:own.example",
        "IP:2001:db8::1",
        "URI:https://own.example/",
        "email:a@own.example",
    ];
    let chain = format!("own-{algorithm}.pem");
    let mut arguments = vec!["cert", "request", "--key-algorithm", algorithm.as_str()];
    arguments.extend(["--subject", "CN=own.example,O=Müller\\, Söhne,C=AT"]);
    arguments.extend(NAMES.iter().flat_map(|name| ["--san", name]));
    arguments.extend(["--out", &chain, "-o", "json"]);
    let answer: Value = serde_json::from_str(&clm(program, &arguments)).unwrap();
    verify(program.directory.path(), root, &chain);
    let certificate = &answer["certificate"];
    assert_eq!(certificate["key_algorithm"], algorithm.as_str());
    assert_eq!(certificate["has_private_key"], true);
    assert_eq!(
        certificate["subject_alternative_names"],
        serde_json::json!(NAMES)
    );
    let issued = Issued { answer, chain };
    exports_the_key(program, &issued);
    issued
}

/// `clm cert export --private-key`: OpenSSL opens the key with the passphrase, and it is that of
/// the certificate.
fn exports_the_key(program: &Program, issued: &Issued) {
    let directory = program.directory.path();
    let key = format!("{}.key", issued.id());
    let mut arguments = vec!["cert", "export", issued.id(), "--private-key"];
    arguments.extend(["--passphrase-stdin", "--out", &key]);
    let output = program.cli_with_input(&arguments, &format!("{PASSPHRASE}\n"));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    assert_eq!(mode(&directory.join(&key)), 0o600);
    let text = std::fs::read_to_string(directory.join(&key)).unwrap();
    assert!(
        text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"),
        "{text}"
    );
    let passphrase = format!("pass:{PASSPHRASE}");
    let open = ["pkey", "-in", &key, "-passin", &passphrase, "-pubout"];
    let expected = public_key(directory, "x509", &issued.chain);
    assert_eq!(openssl::expect(directory, &open), expected);
    let wrong = [
        "pkey",
        "-in",
        &key,
        "-passin",
        "pass:another passphrase",
        "-pubout",
    ];
    assert!(!openssl::run(directory, &wrong).status.success());
}

/// Certificates for other purposes than servers.
fn request_type(program: &Program, certificate_type: &str) -> Issued {
    let chain = format!("type-{certificate_type}.pem");
    let output = clm(
        program,
        &[
            "cert",
            "request",
            "--key-algorithm",
            "ecdsa-p256",
            "--subject",
            "CN=Somebody",
            "--san",
            "email:somebody@type.example",
            "--type",
            certificate_type,
            "--out",
            &chain,
            "-o",
            "json",
        ],
    );
    let answer: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(answer["certificate"]["certificate_type"], certificate_type);
    Issued { answer, chain }
}

/// `clm cert list`, as a table and page by page as JSON.
fn lists(program: &Program, all: &[Issued]) {
    let table = clm(program, &["cert", "list"]);
    let first = table.lines().next().unwrap();
    for column in ["ID", "STATUS", "TYPE", "NAME", "EXPIRES", "SERIAL NUMBER"] {
        assert!(first.contains(column), "{first}");
    }
    let shown: Vec<&str> = table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let newest_first: Vec<&str> = all.iter().rev().map(Issued::id).collect();
    // The last one is the server's own, for HTTPS.
    assert_eq!(shown.len(), newest_first.len() + 1, "{table}");
    assert!(shown.starts_with(&newest_first), "{table}");

    let mut found: Vec<Value> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut arguments = vec!["-o", "json", "cert", "list", "--limit", "5"];
        if let Some(cursor) = &cursor {
            arguments.extend(["--cursor", cursor]);
        }
        let page: Value = serde_json::from_str(&clm(program, &arguments)).unwrap();
        let items = page["items"].as_array().unwrap();
        assert!((1..=5).contains(&items.len()), "{page}");
        found.extend(items.iter().cloned());
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    let ids: Vec<&str> = found
        .iter()
        .map(|item| item["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, shown);
}

/// `clm cert show` and `clm cert export`.
fn shows_and_exports(program: &Program, issued: &Issued) {
    let directory = program.directory.path();
    let certificate = &issued.answer["certificate"];
    let shown: Value =
        serde_json::from_str(&clm(program, &["cert", "show", issued.id(), "-o", "json"])).unwrap();
    assert_eq!(&shown, certificate);
    let table = clm(program, &["cert", "show", issued.id()]);
    for name in ["serial_number", "subject", "fingerprint_sha256"] {
        assert!(
            table.contains(certificate[name].as_str().unwrap()),
            "{name}: {table}"
        );
    }
    for name in certificate["subject_alternative_names"].as_array().unwrap() {
        assert!(table.contains(name.as_str().unwrap()), "{table}");
    }

    let chain = std::fs::read_to_string(directory.join(&issued.chain)).unwrap();
    assert_eq!(clm(program, &["cert", "export", issued.id()]), chain);
    clm(
        program,
        &["cert", "export", issued.id(), "--out", "exported.pem"],
    );
    assert_eq!(
        std::fs::read_to_string(directory.join("exported.pem")).unwrap(),
        chain
    );
    let alone = clm(program, &["cert", "export", issued.id(), "--no-chain"]);
    assert_eq!(alone, certificate["certificate_pem"].as_str().unwrap());
    assert!(chain.starts_with(&alone) && chain.len() > alone.len());

    let elsewhere = program.cli_with_input(
        &[
            "cert",
            "export",
            issued.id(),
            "--private-key",
            "--passphrase-stdin",
        ],
        &format!("{PASSPHRASE}\n"),
    );
    assert!(
        !elsewhere.status.success(),
        "a key that is elsewhere was exported"
    );
    let unknown = program.cli(&["cert", "show", "00000000-0000-7000-8000-000000000000"]);
    assert!(!unknown.status.success());
    let message = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(
        message.contains("There is no such certificate"),
        "{message}"
    );
}

/// Writes each certificate of a chain to a file of its own.
fn split(directory: &Path, chain: &str) -> Vec<String> {
    let mut files = Vec::new();
    for (index, der) in certificates(&directory.join(chain)).iter().enumerate() {
        let file = format!("{chain}.{index}.pem");
        std::fs::write(directory.join(&file), pem::encode("CERTIFICATE", der)).unwrap();
        files.push(file);
    }
    files
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).unwrap().mode() & 0o777
}
