//! Who comes to the port of the Secure Service without being one of its cores gets nothing, and
//! disturbs nobody.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clm_domain::actor::Actor;
use clm_domain::ids::SYSTEM_ORGANIZATION;
use clm_domain::secret::SecretString;
use clm_secure_api::SecureService as _;
use clm_secure_api::command::{Command, ExportPrivateKey};
use clm_secure_api::remote::dial::{Dial as _, TlsDial};
use clm_secure_api::remote::{SERVER_NAME, tls};
use clm_secure_api::wire::Versions;
use clm_test_support::cluster;
use clm_tests::{Apart, Program};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::visitor::{Stolen, ask, client, context};
use crate::remote_transport::Authority;

/// How long a revoked core may still be heard, and some time for a busy machine.
const REVOKED_WITHIN: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_of_its_authority_nobody_commands() {
    let apart = Apart::start().await;
    let core = Stolen::from(&apart.core);
    let pin = Sha256::digest(&core.authority_der).into();
    let nobody = client(&core.address, tls::pairing_config(pin).unwrap());
    assert_eq!(ask(&nobody).await, "certificate_required");
    assert!(core.is_served().await);

    let foreign = Authority::make();
    for name in ["URI:urn:clm:caller:core", "DNS:secure.clm.internal"] {
        let (certificate, key) = foreign.issue(name, "clientAuth", 2);
        let config = tls::client_config(&core.authority_der, &certificate, &key).unwrap();
        // With TLS 1.3 the client may learn of it only when it has sent its request already.
        let heard = ask(&client(&core.address, config)).await;
        let broken = ["secure_service_unavailable", "outcome_unknown"];
        assert!(broken.contains(&heard.as_str()), "{name}: {heard}");
        assert!(core.is_served().await);
    }
}

/// A client that would believe the service, and speaks one version of TLS.
fn only(version: &'static SupportedProtocolVersion, authority_der: &[u8]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from(authority_der.to_vec());
    roots.add(authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_older_than_tls_1_3_is_spoken() {
    let apart = Apart::start().await;
    let core = Stolen::from(&apart.core);
    let dial = |version| {
        let config = only(version, &core.authority_der);
        let dial = TlsDial::new(core.address.clone(), config);
        async move {
            dial.dial()
                .await
                .map(drop)
                .map_err(|error| error.to_string())
        }
    };
    assert_eq!(dial(&rustls::version::TLS13).await, Ok(()));
    let refused = dial(&rustls::version::TLS12).await.unwrap_err();
    assert!(refused.contains("ProtocolVersion"), "{refused}");
    assert!(core.is_served().await);

    let mut plain = TcpStream::connect(&core.address).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: secure.clm.internal\r\n\r\n";
    plain.write_all(request).await.unwrap();
    let mut heard = Vec::new();
    let reading = plain.read_to_end(&mut heard);
    // Whether the end is orderly is no matter, but there must be one.
    let ended = tokio::time::timeout(Duration::from_secs(20), reading).await;
    assert!(ended.is_ok(), "the connection stays open");
    let text = String::from_utf8_lossy(&heard);
    assert!(!text.contains("HTTP") && !text.contains("alive"), "{text}");
    assert!(core.is_served().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_that_was_revoked_is_not_heard_any_more() {
    let apart = Apart::start().await;
    let core = Stolen::from(&apart.core);
    let other = cluster::account().map_or_else(Program::prepare, Program::prepare_as);
    let token = apart.token("core-2");
    let accepted = other.cli_with_input(&["pair", "accept"], &token);
    assert!(accepted.status.success(), "{accepted:?}");
    let other = Stolen::from(&other).client();
    assert_eq!(ask(&other).await, "health");
    let revoked = apart.on_secure(&["pair", "revoke", "core-2"], "");
    assert!(revoked.status.success(), "{revoked:?}");
    let begun = Instant::now();
    while ask(&other).await == "health" {
        assert!(begun.elapsed() < REVOKED_WITHIN, "it is still heard");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(ask(&other).await, "peer_revoked");
    assert!(core.is_served().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_cannot_be_are_refused() {
    let apart = Apart::start().await;
    let core = Stolen::from(&apart.core);
    for version in [0, 255] {
        let versions = Versions {
            oldest: version,
            newest: version,
        };
        let client = core.client().with_versions(versions);
        assert_eq!(ask(&client).await, "version_unsupported", "{version}");
        assert!(core.is_served().await);
    }
    let export = |bytes| {
        Command::ExportPrivateKey(ExportPrivateKey {
            certificate_id: Uuid::nil().into(),
            passphrase: SecretString::new("x".repeat(bytes)),
            proof: None,
        })
    };
    for (bytes, code) in [
        (1000 * 1024, "passphrase_unsuitable"),
        (1024 * 1024, "contract_broken"),
    ] {
        let by = context(SYSTEM_ORGANIZATION, Actor::System);
        let refused = core.client().call(by, export(bytes)).await.unwrap_err().0;
        assert_eq!(refused.code, code, "{}", refused.message);
        assert!(code != "contract_broken" || refused.message.contains("413"));
        assert!(core.is_served().await);
    }
}

/// What is there for everybody, and that there is nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_other_paths() {
    let apart = Apart::start().await;
    let core = Stolen::from(&apart.core);
    let address = core.address.parse().unwrap();
    let http = reqwest::Client::builder()
        .danger_accept_invalid_certs(true)
        .resolve_to_addrs(SERVER_NAME, &[address])
        .build()
        .unwrap();
    for (method, path, status) in [
        ("GET", "/healthz", 200),
        ("POST", "/healthz", 404),
        ("GET", "/v1/call", 404),
        ("GET", "/", 404),
        ("GET", "/metrics", 404),
        ("GET", "/api/v1/certificates", 404),
        ("POST", "/v1/call/", 404),
    ] {
        let url = format!("https://{SERVER_NAME}:{}{path}", address.port());
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let answer = http.request(method.clone(), url).send().await.unwrap();
        assert_eq!(answer.status(), status, "{method} {path}");
    }
    assert!(core.is_served().await);
}
