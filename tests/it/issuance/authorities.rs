//! Certificate authorities of every algorithm, made over REST: a root, an issuing one below it, and
//! a leaf.

use std::path::Path;

use clm_api_types::certificate_authorities::{CertificateAuthority, CertificateAuthorityCreate};
use clm_api_types::certificate_requests::CertificateRequestCreate;
use clm_api_types::client::Client;
use clm_domain::key_algorithm::{KeyAlgorithm, SignatureAlgorithm};
use clm_tests::{Program, openssl};
use uuid::Uuid;

use super::{linter, verify};
use crate::support::check_audit_hashes;
use clm_tests::databases::Superuser;

/// Keys with what their certificates are signed with, and how OpenSSL calls that.
const ALGORITHMS: [(KeyAlgorithm, Option<SignatureAlgorithm>, &str); 10] = [
    (KeyAlgorithm::Rsa2048, None, "sha256WithRSAEncryption"),
    (KeyAlgorithm::Rsa3072, None, "sha256WithRSAEncryption"),
    (KeyAlgorithm::Rsa4096, None, "sha384WithRSAEncryption"),
    (KeyAlgorithm::EcdsaP256, None, "ecdsa-with-SHA256"),
    (KeyAlgorithm::EcdsaP384, None, "ecdsa-with-SHA384"),
    (KeyAlgorithm::EcdsaP521, None, "ecdsa-with-SHA512"),
    (KeyAlgorithm::Ed25519, None, "ED25519"),
    (
        KeyAlgorithm::Rsa2048,
        Some(SignatureAlgorithm::RsaPssSha256),
        "rsassaPss",
    ),
    (
        KeyAlgorithm::Rsa3072,
        Some(SignatureAlgorithm::RsaPssSha384),
        "rsassaPss",
    ),
    (
        KeyAlgorithm::Rsa4096,
        Some(SignatureAlgorithm::RsaPssSha512),
        "rsassaPss",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn authorities_of_every_algorithm_issue() {
    let program = Program::start();
    let client = program.operator("default");
    let databases = Superuser::of(&program);
    let directory = program.directory.path();
    let mut files = Vec::new();
    for (number, algorithm) in ALGORITHMS.into_iter().enumerate() {
        files.extend(hierarchy(&client, directory, number, algorithm).await);
    }
    linter::accepts(directory, &files);
    databases.settle().await;
    check_audit_hashes(&databases).await;
}

/// Makes a root, an issuing authority and a leaf; returns the files of the three certificates.
async fn hierarchy(
    client: &Client,
    directory: &Path,
    number: usize,
    (key_algorithm, signature_algorithm, openssl_name): (
        KeyAlgorithm,
        Option<SignatureAlgorithm>,
        &str,
    ),
) -> Vec<String> {
    let wish = |parent_id: Option<Uuid>, name: String| CertificateAuthorityCreate {
        subject: format!("CN={name},O=Example,C=AT"),
        name,
        parent_id,
        key_algorithm,
        signature_algorithm,
        validity_days: if parent_id.is_none() { 7_300 } else { 3_650 },
        path_length_max: parent_id.map(|_| 0),
        limits: None,
    };
    let root = create(client, wish(None, format!("Root {number}"))).await;
    let issuing = create(client, wish(Some(root.id), format!("Issuing {number}"))).await;
    let expected = signature_algorithm.unwrap_or_else(|| key_algorithm.default_signature());
    for authority in [&root, &issuing] {
        assert_eq!(authority.key_algorithm, key_algorithm);
        assert_eq!(authority.signature_algorithm, expected);
        assert_eq!(
            client
                .load_certificate_authority(&authority.id.to_string())
                .await
                .unwrap(),
            *authority
        );
    }
    assert_eq!(issuing.chain_pem, root.certificate_pem);

    let request = CertificateRequestCreate {
        key_algorithm: Some(key_algorithm),
        subject: Some("CN=leaf.example,O=Example,C=AT".to_owned()),
        subject_alternative_names: vec!["DNS:leaf.example".to_owned(), "IP:192.0.2.1".to_owned()],
        certificate_authority_id: Some(issuing.id),
        ..CertificateRequestCreate::default()
    };
    let leaf = client
        .request_certificate(&request, &format!("leaf-{number}"))
        .await
        .unwrap();
    let leaf = leaf.certificate;
    assert_eq!(leaf.chain_pem, issuing.certificate_pem);

    let files = ["root", "issuing", "leaf"].map(|role| format!("{role}-{number}.pem"));
    let pems = [
        &root.certificate_pem,
        &issuing.certificate_pem,
        &leaf.certificate_pem,
    ];
    for (file, pem) in files.iter().zip(pems) {
        std::fs::write(directory.join(file), pem).unwrap();
        check_signature_algorithm(directory, file, openssl_name);
    }
    let chain = format!("chain-{number}.pem");
    std::fs::write(
        directory.join(&chain),
        leaf.certificate_pem + &leaf.chain_pem,
    )
    .unwrap();
    for file in [&files[0], &files[1], &chain] {
        verify(directory, &files[0], file);
    }
    files.to_vec()
}

async fn create(client: &Client, wish: CertificateAuthorityCreate) -> CertificateAuthority {
    let name = wish.name.clone();
    let key = name.replace(' ', "-");
    let created = client.create_certificate_authority(&wish, &key).await;
    created.unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The certificate announces the signature algorithm, in both places.
fn check_signature_algorithm(directory: &Path, file: &str, expected: &str) {
    let text = openssl::expect(directory, &["x509", "-in", file, "-noout", "-text"]);
    let announced = text.lines().map(str::trim);
    let announced: Vec<&str> = announced
        .filter_map(|line| line.strip_prefix("Signature Algorithm: "))
        .collect();
    assert_eq!(announced, [expected, expected], "{file}");
}
