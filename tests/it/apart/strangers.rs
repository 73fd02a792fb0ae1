//! Who comes to the listener of the Secure Service without being a peer, or not any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clm_secure_api::remote::tls;
use clm_tests::{Apart, openssl};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{CERTIFICATE_REQUESTS, Requester, problem};

use super::peer::{Credential, client, is_heard};

/// How long a revoked peer may be heard at most, with the time that asking takes.
const REVOKED_WITHIN: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_heard_but_peers() {
    let apart = Apart::start().await;
    let own = Credential::of_core(&apart);
    let peer = own.client(&apart);
    is_heard(&peer).await.unwrap();

    // Nobody's certificate.
    use sha2::Digest as _;
    let pin = sha2::Sha256::digest(&own.authority_der).into();
    let stranger = client(&apart, tls::pairing_config(pin).unwrap());
    assert_eq!(
        is_heard(&stranger).await.unwrap_err(),
        "certificate_required"
    );

    // That of an authority which calls itself as this one does.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::write(path.join("own.der"), &own.authority_der).unwrap();
    let subject = openssl::expect(
        path,
        &[
            "x509", "-inform", "DER", "-in", "own.der", "-noout", "-subject", "-nameopt", "compat",
        ],
    );
    let name = subject.trim().trim_start_matches("subject=").to_owned();
    let name = format!("/{}", name.trim_start_matches('/'));
    openssl::expect(
        path,
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            &name,
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-addext",
            "keyUsage=critical,keyCertSign",
        ],
    );
    std::fs::write(
        path.join("extensions"),
        "subjectAltName=URI:urn:clm:caller:core,URI:urn:uuid:01900000-0000-7000-8000-000000000000\nextendedKeyUsage=clientAuth\n",
    )
    .unwrap();
    for arguments in [
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=core-1 -keyout leaf.key -out leaf.csr",
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile extensions -outform DER -out leaf.der",
        "pkcs8 -topk8 -nocrypt -in leaf.key -outform DER -out leaf.p8",
    ] {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        openssl::expect(path, &arguments);
    }
    let read = |name: &str| std::fs::read(path.join(name)).unwrap();
    let foreign = Credential {
        authority_der: own.authority_der.clone(),
        certificate_der: read("leaf.der"),
        key: clm_domain::secret::SecretBytes::new(read("leaf.p8")),
        not_after: own.not_after,
    };
    let refused = is_heard(&foreign.client(&apart)).await.unwrap_err();
    assert!(
        ["secure_service_unavailable", "outcome_unknown"].contains(&refused.as_str()),
        "{refused}"
    );
    is_heard(&peer).await.unwrap();
}

/// An older TLS, no TLS, nothing at all, and too much: the service goes on.
#[tokio::test(flavor = "multi_thread")]
async fn other_protocols_lead_nowhere() {
    let apart = Apart::start().await;
    let peer = Credential::of_core(&apart).client(&apart);
    let directory = tempfile::tempdir().unwrap();
    let connect = |version: &str| {
        let arguments = [
            "s_client",
            "-connect",
            &apart.address,
            version,
            "-alpn",
            "h2",
        ];
        openssl::run(directory.path(), &arguments)
    };
    let old = connect("-tls1_2");
    assert!(!old.status.success(), "{old:?}");
    let new = connect("-tls1_3");
    assert!(
        String::from_utf8_lossy(&new.stdout).contains("TLSv1.3"),
        "{new:?}"
    );

    let mut plain = TcpStream::connect(&apart.address).await.unwrap();
    plain
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(
        !String::from_utf8_lossy(&answer).contains("alive"),
        "{answer:?}"
    );

    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(&apart.address).await.unwrap());
    }
    is_heard(&peer).await.unwrap();
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_core_is_not_heard_any_more() {
    let apart = Apart::start().await;
    let key = apart.furnish().await;
    let peer = Credential::of_core(&apart).client(&apart);
    is_heard(&peer).await.unwrap();
    assert!(
        apart
            .on_secure(&["pair", "revoke", "core-1"], "")
            .status
            .success()
    );
    let begun = Instant::now();
    let refused = loop {
        match is_heard(&peer).await {
            Err(code) => break code,
            Ok(()) => assert!(begun.elapsed() < REVOKED_WITHIN, "still heard"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(refused, "peer_revoked");
    // With a new connection as well, and its next certificate is refused.
    let again = Arc::new(Credential::of_core(&apart).client(&apart));
    assert_eq!(is_heard(&again).await.unwrap_err(), "peer_revoked");
    // Its callers are told that it is not their mistake.
    let requester = Requester::at(&apart.url, &key);
    let asked = json!({
        "subject_alternative_names": ["DNS:one.example"], "key_algorithm": "ecdsa-p256",
    });
    let told = requester
        .post(CERTIFICATE_REQUESTS, &asked)
        .await
        .expect(503);
    assert_eq!(problem(&told).code, "secure_service_refuses");
    assert!(told.headers.contains_key("retry-after"), "{told:?}");
    let ready = requester.get("/readyz").await.expect(503);
    assert!(ready.text.contains("pair it again"), "{ready:?}");
    let unknown = apart.on_secure(&["pair", "revoke", "core-9"], "");
    assert!(!unknown.status.success());
    assert!(
        String::from_utf8_lossy(&unknown.stderr).contains("peer of that name"),
        "{unknown:?}"
    );
}
