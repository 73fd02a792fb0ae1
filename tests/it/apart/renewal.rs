//! Certificates of the transport renew themselves: nobody does anything, and the platform goes on after
//! the first ones have ended.

use std::time::{Duration, Instant};

use clm_domain::audit::SecureEvent;
use clm_domain::clock::Clock as _;
use clm_tests::Apart;
use serde_json::json;

use super::visitor::Stolen;
use crate::remote_transport::Now;
use crate::support::{CERTIFICATE_REQUESTS, Requester};

/// How long a certificate of one minute may take to be replaced and to end.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn certificates_renew_themselves() {
    let mut apart = Apart::prepare().await;
    let lifetime = "CLM_TRANSPORT_CERTIFICATE_MINUTES".to_owned();
    apart.secure.environment.push((lifetime, "1".to_owned()));
    apart.secure.serve();
    apart.pair("core-1");
    apart.core.serve();
    let requester = Requester::at(&apart.url, &apart.furnish().await);
    let first = Stolen::from(&apart.core);
    assert!(first.is_served().await);

    let begun = Instant::now();
    while Now.now() <= first.not_after
        || Stolen::from(&apart.core).certificate_der == first.certificate_der
    {
        assert!(begun.elapsed() < PATIENCE, "{}", apart.core.read_log());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let asked = json!({
        "subject_alternative_names": ["DNS:one.example"], "key_algorithm": "ecdsa-p256",
    });
    requester
        .post(CERTIFICATE_REQUESTS, &asked)
        .await
        .expect(201);
    assert!(Stolen::from(&apart.core).is_served().await);
    assert!(
        !first.is_served().await,
        "a certificate that has ended is heard"
    );

    let databases = apart.databases();
    for event in [
        SecureEvent::TransportPeerRenewed,
        SecureEvent::TransportServerCertified,
    ] {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM secure_audit_log WHERE event_code = $1 AND result = 'success'",
        )
        .bind(event.code())
        .fetch_one(&databases.secure)
        .await
        .unwrap();
        assert!(count > 0, "{}", event.code());
    }
    let listed = apart.on_secure(&["pair", "list"], "");
    let listed = String::from_utf8(listed.stdout).unwrap();
    let columns: Vec<&str> = listed.lines().nth(1).unwrap().split("  ").collect();
    let filled = columns.iter().filter(|cell| !cell.trim().is_empty());
    assert_eq!(filled.count(), 6, "renewed, too: {listed}");
}
