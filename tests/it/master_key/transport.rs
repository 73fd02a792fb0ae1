//! The gate for programs in other processes while the master key is sealed.

use std::sync::Arc;

use chrono::TimeDelta;
use clm_domain::actor::Actor;
use clm_secure::transport::TransportGate;
use clm_secure::transport::pairing::PairingAdmin;
use clm_secure_api::Caller;
use clm_secure_api::remote::{Gate as _, PairRequest, RenewRequest};
use clm_test_support::SeededRng;

use super::bench::Bench;
use crate::transport::bench::request;

const LIFETIME: TimeDelta = TimeDelta::days(7);

/// It knows its peers, and certifies nobody; a token is not used up by that.
#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_service_lets_peers_in_and_certifies_nobody() {
    let mut bench = Bench::start().await;
    let gate = TransportGate::open(bench.secure(), LIFETIME).await;
    let gate = gate.unwrap();
    let rng = Arc::new(SeededRng::new(29));
    let admin = PairingAdmin::new(bench.pool(), Arc::clone(&bench.clock) as _, rng);
    let operator = Actor::LocalOperator { uid: 1000 };
    let invite = |name| admin.invite(&operator, name, Caller::Core, TimeDelta::hours(1));
    let ask = |secret| PairRequest {
        secret,
        csr_der: request().0,
    };
    let secret = invite("core-1").await.unwrap().secret;
    let paired = gate.pair(ask(secret)).await.unwrap();

    let shares = bench.split(2, 2).await;
    bench.restart().await;
    assert!(bench.secure().is_sealed());
    let gate = TransportGate::open(bench.secure(), LIFETIME).await;
    let gate = gate.unwrap();
    let peer = gate.identify(&paired.certificate_der).await.unwrap();
    assert_eq!(peer.name, "core-1");
    let secret = invite("core-2").await.unwrap().secret;
    let before = bench.events().await;
    let csr_der = request().0;
    for refused in [
        gate.server_identity().await.err(),
        gate.pair(ask(secret)).await.err(),
        gate.renew(&peer, RenewRequest { csr_der }).await.err(),
    ] {
        assert_eq!(refused.unwrap().0.code, "sealed");
    }
    assert_eq!(bench.events().await, before);

    for share in &shares {
        bench.unseal(share).await.unwrap();
    }
    gate.server_identity().await.unwrap();
    gate.pair(ask(secret)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_service_makes_no_authority() {
    let mut bench = Bench::start().await;
    let shares = bench.split(2, 2).await;
    bench.restart().await;
    let refused = TransportGate::open(bench.secure(), LIFETIME).await;
    assert_eq!(refused.err().unwrap().0.code, "sealed");
    for share in &shares {
        bench.unseal(share).await.unwrap();
    }
    let gate = TransportGate::open(bench.secure(), LIFETIME).await;
    gate.unwrap();
}
