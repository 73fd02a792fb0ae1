//! Tokens: each makes one peer, once, in time.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use clm_secure::transport::pairing::PeerState;
use clm_secure_api::Caller;
use clm_secure_api::remote::{Gate as _, PairRequest};
use sqlx::Row as _;

use super::bench::{Bench, OPERATOR, admin, forged_request, open, request};

fn ask(secret: [u8; 32]) -> PairRequest {
    let (csr_der, _) = request();
    PairRequest { secret, csr_der }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_works_once() {
    let bench = Bench::start().await;
    let invitation = bench.invite("core-1").await.unwrap();
    assert_eq!(bench.peer("core-1").await.state, PeerState::Invited);
    let paired = bench.gate.pair(ask(invitation.secret)).await.unwrap();
    assert_eq!(bench.identify(&paired).await, "core-1");
    let again = bench.gate.pair(ask(invitation.secret)).await.unwrap_err();
    assert_eq!(again.0.code, "token_used");

    let peer = bench.peer("core-1").await;
    assert_eq!(peer.state, PeerState::Paired);
    assert_eq!(peer.certificate_not_after, Some(paired.not_after));
    let invited = bench.events("transport_peer.invited").await;
    assert_eq!(invited.len(), 1, "{invited:?}");
    assert_eq!(invited[0].actor_type, "local_operator");
    let used = bench.events("transport_peer.paired").await;
    let results = bench.results("transport_peer.paired").await;
    assert_eq!(results, ["success", "token_used"]);
    for event in invited.iter().chain(&used) {
        assert_eq!(event.resource_id, peer.id.to_string(), "{event:?}");
    }
}

/// Of the secret there is only the hash, in the whole database.
#[tokio::test(flavor = "multi_thread")]
async fn the_secret_of_a_token_is_not_stored() {
    let bench = Bench::start().await;
    let invitation = bench.invite("core-1").await.unwrap();
    let rows = sqlx::query(
        "SELECT p::text AS row FROM transport_peers p
         UNION ALL SELECT l::text FROM secure_audit_log l",
    );
    let rows = rows.fetch_all(&bench.service.admin).await.unwrap();
    let text: String = rows.iter().map(|row| row.get::<String, _>("row")).collect();
    use sha2::Digest as _;
    let hash = hex::encode(sha2::Sha256::digest(invitation.secret));
    assert!(text.contains(&hash), "the search finds what is there");
    assert!(!text.contains(&hex::encode(invitation.secret)));
}

/// Twenty programs with one token, at two processes of the service.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_use_a_token_at_once_one_is_paired() {
    let bench = Bench::start().await;
    let gates = [
        Arc::clone(&bench.gate),
        open(&bench.service.another().await).await,
    ];
    let secret = bench.invite("core-1").await.unwrap().secret;
    let attempts: Vec<_> = (0..20)
        .map(|index| {
            let gate = Arc::clone(&gates[index % 2]);
            tokio::spawn(async move { gate.pair(ask(secret)).await })
        })
        .collect();
    let mut paired = Vec::new();
    for attempt in attempts {
        match attempt.await.unwrap() {
            Ok(certificate) => paired.push(certificate),
            Err(refused) => assert_eq!(refused.0.code, "token_used"),
        }
    }
    assert_eq!(paired.len(), 1);
    assert_eq!(bench.identify(&paired[0]).await, "core-1");
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for result in bench.results("transport_peer.paired").await {
        *counts.entry(result).or_default() += 1;
    }
    let expected = [("success".to_owned(), 1), ("token_used".to_owned(), 19)];
    assert_eq!(counts, BTreeMap::from(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_good_is_refused_and_audited() {
    let bench = Bench::start().await;
    let expected = [
        "token_unknown",
        "csr_signature_invalid",
        "token_expired",
        "token_revoked",
    ];
    let unknown = bench.gate.pair(ask([1; 32])).await.unwrap_err();
    assert_eq!(unknown.0.code, expected[0]);

    let secret = bench.invite("core-1").await.unwrap().secret;
    let forged = PairRequest {
        secret,
        csr_der: forged_request(),
    };
    let refused = bench.gate.pair(forged).await.unwrap_err();
    assert_eq!(refused.0.code, expected[1]);
    assert_eq!(bench.peer("core-1").await.state, PeerState::Invited);

    bench.service.clock.advance(TimeDelta::minutes(15));
    let refused = bench.gate.pair(ask(secret)).await.unwrap_err();
    assert_eq!(refused.0.code, expected[2]);
    assert_eq!(bench.peer("core-1").await.state, PeerState::Expired);

    let secret = bench.invite("core-2").await.unwrap().secret;
    bench.admin.revoke(&OPERATOR, "core-2").await.unwrap();
    let refused = bench.gate.pair(ask(secret)).await.unwrap_err();
    assert_eq!(refused.0.code, expected[3]);

    let mut expected = expected.map(str::to_owned);
    expected.sort_unstable();
    assert_eq!(bench.results("transport_peer.paired").await, expected);
    assert_eq!(bench.peer("core-1").await.paired_at, None);
}

/// Whoever reaches the port cannot fill the log; a good token works all the same.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_strangers_are_recorded_sixty_times_a_minute() {
    let bench = Bench::start().await;
    for _ in 0..70 {
        let refused = bench.gate.pair(ask([2; 32])).await.unwrap_err();
        assert_eq!(refused.0.code, "token_unknown");
    }
    assert_eq!(bench.events("transport_peer.paired").await.len(), 60);
    bench.pair("core-1").await;
    bench.service.clock.advance(TimeDelta::seconds(61));
    bench.gate.pair(ask([2; 32])).await.unwrap_err();
    assert_eq!(bench.events("transport_peer.paired").await.len(), 62);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_that_cannot_be_is_refused_and_audited() {
    let service = crate::key_rotation::bench::Bench::start().await;
    let admin_of_none = admin(&service);
    let quarter = TimeDelta::minutes(15);
    let early = admin_of_none
        .invite(&OPERATOR, "core-1", Caller::Core, quarter)
        .await;
    assert_eq!(early.err().unwrap().0.code, "transport_authority_missing");

    let gate = open(service.secure()).await;
    let bench = Bench {
        admin: admin(&service),
        service,
        gate,
    };
    bench.invite("core-1").await.unwrap();
    let day = TimeDelta::days(1);
    let long = "a".repeat(65);
    for (name, caller, valid, code) in [
        ("core-1", Caller::Core, quarter, "name_taken"),
        ("", Caller::Core, quarter, "name_invalid"),
        (&long, Caller::Core, quarter, "name_invalid"),
        ("a,CN=b", Caller::Core, quarter, "name_invalid"),
        ("nul\0", Caller::Core, quarter, "name_invalid"),
        ("core-2", Caller::Bootstrap, quarter, "caller_invalid"),
        ("core-2", Caller::Core, day * 2, "validity_invalid"),
        (
            "core-2",
            Caller::Core,
            TimeDelta::zero(),
            "validity_invalid",
        ),
        ("core-2", Caller::Core, TimeDelta::MIN, "validity_invalid"),
    ] {
        let refused = bench.admin.invite(&OPERATOR, name, caller, valid).await;
        assert_eq!(refused.err().unwrap().0.code, code, "{name}");
    }
    assert_eq!(bench.admin.peers().await.unwrap().len(), 1);
    let results = bench.results("transport_peer.invited").await;
    assert_eq!(results.len(), 11, "{results:?}");
    assert_eq!(results.iter().filter(|one| *one == "success").count(), 1);

    let nobody = bench.admin.revoke(&OPERATOR, "core-9").await.unwrap_err();
    assert_eq!(nobody.0.code, "not_found");
}
