//! All of it together, through TLS: a program with a token becomes a peer, gives a command to the
//! service, renews its certificate, and is revoked.

use std::sync::Arc;

use chrono::TimeDelta;
use clm_secure_api::command::{CheckHealth, Command};
use clm_secure_api::remote::client::RemoteSecure;
use clm_secure_api::remote::dial::TlsDial;
use clm_secure_api::remote::server::RemoteServer;
use clm_secure_api::remote::{PairRequest, RenewRequest, tls};
use clm_secure_api::{Caller, SecureService as _};
use rustls::ClientConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, OPERATOR, request};

#[derive(Debug)]
struct Fixed(Arc<CertifiedKey>);

impl ResolvesServerCert for Fixed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Listens on loopback for as long as the test runs.
async fn listen(bench: &Bench) -> String {
    let identity = bench.gate.server_identity().await.unwrap();
    let authority = bench.gate.authority_der();
    let chain = [identity.certificate_der, authority.clone()];
    let key = identity.private_key_der.expose().to_vec();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let chain = chain.map(CertificateDer::from).to_vec();
    let certified = CertifiedKey::from_der(chain, key, &provider).unwrap();
    let config = tls::server_config(&authority, Arc::new(Fixed(Arc::new(certified)))).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let service = Arc::clone(bench.service.secure());
    let clock = Arc::clone(&bench.service.clock);
    let gate = Arc::clone(&bench.gate);
    let server = Arc::new(RemoteServer::new(service as _, gate, clock));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else {
                continue;
            };
            let certificates = stream.get_ref().1.peer_certificates();
            let certificate = certificates.map(|chain| chain[0].to_vec());
            let stop = CancellationToken::new();
            tokio::spawn(Arc::clone(&server).serve_connection(stream, certificate, stop));
        }
    });
    address
}

fn client(bench: &Bench, address: &str, config: ClientConfig) -> RemoteSecure {
    let dial = TlsDial::new(address.to_owned(), config);
    RemoteSecure::new(Arc::new(dial), Arc::clone(&bench.service.clock) as _)
}

/// What the client hears: the name of the reply, or the code of the refusal.
async fn ask(bench: &Bench, client: &RemoteSecure, caller: Caller) -> String {
    let organization = clm_domain::ids::SYSTEM_ORGANIZATION;
    let mut context = bench.service.context(organization);
    context.caller = caller;
    let command = Command::CheckHealth(CheckHealth {});
    match client.call(context, command).await {
        Ok(reply) => reply.name().to_owned(),
        Err(error) => error.0.code.into_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_with_a_token_becomes_a_peer() {
    let bench = Bench::start().await;
    let address = listen(&bench).await;
    let invitation = bench.invite("core-1").await.unwrap();
    let pairing = |pin| client(&bench, &address, tls::pairing_config(pin).unwrap());

    let (csr_der, key) = request();
    let asked = || PairRequest {
        secret: invitation.secret,
        csr_der: csr_der.clone(),
    };
    // The token does not even leave for a server of another authority.
    let refused = pairing([0; 32]).pair(asked()).await.unwrap_err();
    assert_eq!(refused.0.code, "secure_service_unavailable");
    let own = pairing(invitation.authority_sha256);
    let paired = own.pair(asked()).await.unwrap();
    assert_eq!(own.pair(asked()).await.unwrap_err().0.code, "token_used");
    assert_eq!(
        ask(&bench, &own, Caller::Core).await,
        "certificate_required"
    );

    let config = tls::client_config(&paired.authority_der, &paired.certificate_der, &key);
    let peer = client(&bench, &address, config.unwrap());
    assert_eq!(ask(&bench, &peer, Caller::Core).await, "health");
    assert_eq!(
        ask(&bench, &peer, Caller::Bootstrap).await,
        "caller_mismatch"
    );
    assert_eq!(bench.results("command.refused").await, ["caller_mismatch"]);

    let (csr_der, key) = request();
    let renewed = peer.renew(RenewRequest { csr_der }).await.unwrap();
    let config = tls::client_config(&renewed.authority_der, &renewed.certificate_der, &key);
    let next = client(&bench, &address, config.unwrap());
    assert_eq!(ask(&bench, &next, Caller::Core).await, "health");

    bench.admin.revoke(&OPERATOR, "core-1").await.unwrap();
    bench.service.clock.advance(TimeDelta::seconds(6));
    for revoked in [&peer, &next] {
        assert_eq!(ask(&bench, revoked, Caller::Core).await, "peer_revoked");
        let (csr_der, _) = request();
        let refused = revoked.renew(RenewRequest { csr_der }).await.unwrap_err();
        assert_eq!(refused.0.code, "peer_revoked");
    }
}
