//! Peers: what lets them in, how they renew it, and how they are kept out.

use chrono::TimeDelta;
use clm_domain::clock::Clock as _;
use clm_domain::ids::OrganizationId;
use clm_pki::certificate::Certificate;
use clm_secure::transport::pairing::PeerState;
use clm_secure_api::Caller;
use clm_secure_api::command::{CheckHealth, Command};
use clm_secure_api::remote::{Gate as _, RenewRequest, TransportCertificate};
use sqlx::Row as _;
use uuid::Uuid;

use super::bench::{Bench, OPERATOR, forged_request, request};

/// The peer as its own certificate has it.
async fn renew(bench: &Bench, old: &TransportCertificate) -> Result<TransportCertificate, String> {
    let peer = bench.gate.identify(&old.certificate_der).await.unwrap();
    let (csr_der, _) = request();
    let renewed = bench.gate.renew(&peer, RenewRequest { csr_der }).await;
    renewed.map_err(|error| error.0.code.into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_of_the_same_peer() {
    let bench = Bench::start().await;
    let (first, _) = bench.pair("core-1").await;
    let begin = bench.service.clock.now();
    let lifetime = first.not_after - begin;
    assert!((TimeDelta::days(7) - lifetime).num_seconds().abs() <= 1);
    assert!(
        (first.renew_at - begin - lifetime * 2 / 3)
            .num_seconds()
            .abs()
            <= 1
    );

    bench.service.clock.advance(TimeDelta::days(5));
    let second = renew(&bench, &first).await.unwrap();
    assert!(second.not_after > first.not_after);
    let read = |one: &TransportCertificate| Certificate::from_der(&one.certificate_der).unwrap();
    let names = |one: &TransportCertificate| read(one).subject_alternative_names().unwrap();
    assert_eq!(names(&first), names(&second));
    assert_eq!(names(&first).len(), 2, "{:?}", names(&first));
    assert_ne!(read(&first).spki_der(), read(&second).spki_der());
    for certificate in [&first, &second] {
        assert_eq!(bench.identify(certificate).await, "core-1");
    }
    let peer = bench.peer("core-1").await;
    assert_eq!(peer.certificate_not_after, Some(second.not_after));
    assert!(peer.renewed_at.is_some());
    let events = bench.events("transport_peer.renewed").await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].resource_id, peer.id.to_string());

    // The old one lives to its own end, and no longer.
    bench.service.clock.advance(TimeDelta::days(3));
    assert_eq!(bench.identify(&first).await, "certificate_expired");
    assert_eq!(bench.identify(&second).await, "core-1");
}

/// Even for whom a gate has just seen, on a connection that lives longer than the certificate.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ended_lets_nobody_in() {
    let bench = Bench::start().await;
    let (certificate, _) = bench.pair("core-1").await;
    let left = certificate.not_after - bench.service.clock.now();
    bench.service.clock.advance(left - TimeDelta::seconds(1));
    assert_eq!(bench.identify(&certificate).await, "core-1");
    bench.service.clock.advance(TimeDelta::seconds(3));
    assert_eq!(bench.identify(&certificate).await, "certificate_expired");
    assert_eq!(bench.peer("core-1").await.state, PeerState::Expired);
    let audited = bench.results("command.refused").await;
    assert_eq!(audited, ["certificate_expired"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_peer_is_kept_out_within_five_seconds() {
    let bench = Bench::start().await;
    let (certificate, _) = bench.pair("core-1").await;
    let (other, _) = bench.pair("core-2").await;
    assert_eq!(bench.identify(&certificate).await, "core-1");
    let known = bench.gate.identify(&certificate.certificate_der).await;
    let known = known.unwrap();
    bench.admin.revoke(&OPERATOR, "core-1").await.unwrap();
    assert_eq!(bench.peer("core-1").await.state, PeerState::Revoked);

    // Renewing asks the database each time.
    let (csr_der, _) = request();
    let refused = bench.gate.renew(&known, RenewRequest { csr_der });
    assert_eq!(refused.await.unwrap_err().0.code, "peer_revoked");

    bench.service.clock.advance(TimeDelta::seconds(6));
    assert_eq!(bench.identify(&certificate).await, "peer_revoked");
    assert_eq!(bench.identify(&other).await, "core-2");
    let renewals = bench.results("transport_peer.renewed").await;
    assert_eq!(renewals, ["peer_revoked"]);
    assert_eq!(bench.results("command.refused").await, ["peer_revoked"]);
    let revoked = bench.events("transport_peer.revoked").await;
    assert_eq!(revoked.len(), 1);
    assert_eq!(revoked[0].actor_type, "local_operator");

    // The name is free again, and the old certificate is still nobody's.
    bench.pair("core-1").await;
    assert_eq!(bench.identify(&certificate).await, "peer_revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_without_proof_of_possession_is_refused() {
    let bench = Bench::start().await;
    let (certificate, _) = bench.pair("core-1").await;
    let peer = bench.gate.identify(&certificate.certificate_der).await;
    let (peer, csr_der) = (peer.unwrap(), forged_request());
    let refused = bench.gate.renew(&peer, RenewRequest { csr_der }).await;
    assert_eq!(refused.unwrap_err().0.code, "csr_signature_invalid");
    let audited = bench.results("transport_peer.renewed").await;
    assert_eq!(audited, ["csr_signature_invalid"]);
    assert_eq!(bench.peer("core-1").await.renewed_at, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_peer_is_not_let_in() {
    let bench = Bench::start().await;
    let server = bench.gate.server_identity().await.unwrap();
    let refused = bench.gate.identify(&server.certificate_der).await;
    assert_eq!(refused.unwrap_err().0.code, "certificate_unknown");
    let refused = bench.gate.identify(b"no certificate").await;
    assert_eq!(refused.unwrap_err().0.code, "certificate_unknown");
    let (certificate, _) = bench.pair("core-1").await;
    sqlx::query("DELETE FROM transport_peers")
        .execute(&bench.service.admin)
        .await
        .unwrap();
    assert_eq!(bench.identify(&certificate).await, "certificate_unknown");
}

/// What a peer claims to be is kept apart from what its certificate says.
#[tokio::test(flavor = "multi_thread")]
async fn who_calls_as_somebody_else_is_refused_and_audited() {
    let bench = Bench::start().await;
    let (certificate, _) = bench.pair("core-1").await;
    let peer = bench.gate.identify(&certificate.certificate_der).await;
    let mut context = bench
        .service
        .context(OrganizationId::from_uuid(Uuid::from_u128(9)));
    context.caller = Caller::Bootstrap;
    let command = Command::CheckHealth(CheckHealth {});
    let refused = bench.gate.refuse(&peer.unwrap(), &context, &command).await;
    assert_eq!(refused.0.code, "caller_mismatch");
    let row = sqlx::query(
        "SELECT details, resource_id, organization_id FROM secure_audit_log
         WHERE event_code = 'command.refused'",
    );
    let row = row.fetch_one(&bench.service.admin).await.unwrap();
    let details: serde_json::Value = row.get("details");
    assert_eq!(details["command"], "check_health");
    assert_eq!(details["peer"], "core-1");
    assert_eq!(details["caller"], "core");
    assert_eq!(details["claimed_caller"], "bootstrap");
    assert_eq!(
        row.get::<Uuid, _>("resource_id"),
        bench.peer("core-1").await.id.as_uuid()
    );
}
