//! The way to a Secure Service in another process, over real TLS: who is let in, and whom a client
//! believes. Certificates come from openssl.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use clm_domain::actor::Actor;
use clm_domain::clock::Clock;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{RequestId, SYSTEM_ORGANIZATION};
use clm_domain::secret::SecretBytes;
use clm_secure_api::command::{CheckHealth, Command};
use clm_secure_api::remote::client::RemoteSecure;
use clm_secure_api::remote::dial::TlsDial;
use clm_secure_api::remote::server::RemoteServer;
use clm_secure_api::remote::{
    Gate, PairRequest, Peer, RenewRequest, SERVER_NAME, TransportCertificate, tls,
};
use clm_secure_api::{CallContext, Caller, Reply, SecureError, SecureService};
use clm_tests::openssl;
use rustls::ClientConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The machine's clock, as TLS has it.
pub(crate) struct Now;

impl Clock for Now {
    #[expect(clippy::disallowed_methods, reason = "TLS judges by this clock too")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

fn fault(code: &'static str) -> SecureError {
    Fault::new(ErrorKind::Forbidden, code, code).into()
}

/// Counts commands, and says of each that it was carried out.
#[derive(Default)]
struct Counting(AtomicUsize);

#[async_trait]
impl SecureService for Counting {
    async fn call(&self, _: CallContext, _: Command) -> Result<Reply, SecureError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Reply::Acknowledged(1))
    }
}

/// Takes every certificate of the authority for the core's, and no token.
struct Open;

#[async_trait]
impl Gate for Open {
    async fn identify(&self, _: &[u8]) -> Result<Peer, SecureError> {
        Ok(Peer {
            id: Uuid::nil().into(),
            name: "core".to_owned(),
            caller: Caller::Core,
        })
    }

    async fn refuse(&self, _: &Peer, _: &CallContext, _: &Command) -> SecureError {
        fault("caller_mismatch")
    }

    async fn pair(&self, _: PairRequest) -> Result<TransportCertificate, SecureError> {
        Err(fault("token_unknown"))
    }

    async fn renew(&self, _: &Peer, _: RenewRequest) -> Result<TransportCertificate, SecureError> {
        Err(fault("renewal_refused"))
    }
}

#[derive(Debug)]
struct Fixed(Arc<CertifiedKey>);

impl ResolvesServerCert for Fixed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// An authority with the certificates that it has issued, in a directory.
pub(crate) struct Authority(TempDir);

impl Authority {
    pub(crate) fn make() -> Self {
        let authority = Self(tempfile::tempdir().unwrap());
        let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
            -subj /CN=transport -keyout ca.key -out ca.pem -addext keyUsage=critical,keyCertSign";
        authority.openssl(arguments);
        authority.openssl("x509 -in ca.pem -outform DER -out ca.der");
        authority
    }

    fn openssl(&self, arguments: &str) {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        openssl::expect(self.0.path(), &arguments);
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path().join(name)).unwrap()
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn certificate(&self) -> Vec<u8> {
        self.read("ca.der")
    }

    /// A certificate for `name` with its key, PKCS#8 DER.
    pub(crate) fn issue(&self, name: &str, usage: &str, days: i32) -> (Vec<u8>, SecretBytes) {
        let extensions = format!("subjectAltName={name}\nextendedKeyUsage={usage}\n");
        std::fs::write(self.path().join("extensions"), extensions).unwrap();
        self.openssl(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=leaf \
             -keyout leaf.key -out leaf.csr",
        );
        self.openssl(&format!(
            "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} \
             -extfile extensions -outform DER -out leaf.der"
        ));
        self.openssl("pkcs8 -topk8 -nocrypt -in leaf.key -outform DER -out leaf.p8");
        (
            self.read("leaf.der"),
            SecretBytes::new(self.read("leaf.p8")),
        )
    }

    /// The side of a client that has a certificate of this authority, and believes `server`.
    fn client(&self, server: &Self, days: i32) -> ClientConfig {
        let (certificate, key) = self.issue("URI:urn:clm:caller:core", "clientAuth", days);
        tls::client_config(&server.certificate(), &certificate, &key).unwrap()
    }
}

/// A server on loopback, as long as the test runs.
struct Server {
    address: String,
    service: Arc<Counting>,
}

impl Server {
    async fn start(authority: &Authority) -> Self {
        let name = format!("DNS:{SERVER_NAME}");
        let (certificate, key) = authority.issue(&name, "serverAuth", 2);
        let chain = [certificate, authority.certificate()];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.expose().to_vec()));
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let chain = chain.map(CertificateDer::from).to_vec();
        let identity = CertifiedKey::from_der(chain, key, &provider).unwrap();
        let identity = Arc::new(Fixed(Arc::new(identity)));
        let config = tls::server_config(&authority.certificate(), identity).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let service = Arc::new(Counting::default());
        let server = RemoteServer::new(Arc::clone(&service) as _, Arc::new(Open), Arc::new(Now));
        let server = Arc::new(server);
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
        Self { address, service }
    }

    fn client(&self, config: ClientConfig) -> RemoteSecure {
        let dial = TlsDial::new(self.address.clone(), config);
        RemoteSecure::new(Arc::new(dial), Arc::new(Now))
    }

    /// What a client hears that asks for something harmless.
    async fn ask(&self, config: ClientConfig, caller: Caller) -> Result<&'static str, String> {
        let context = CallContext {
            caller,
            actor: Actor::System,
            organization_id: SYSTEM_ORGANIZATION,
            request_id: RequestId::from_uuid(Uuid::nil()),
            idempotency_key: None,
            deadline: Now.now() + TimeDelta::seconds(20),
        };
        let command = Command::CheckHealth(CheckHealth {});
        let outcome = self.client(config).call(context, command).await;
        outcome
            .map(|reply| reply.name())
            .map_err(|error| error.0.code.into_owned())
    }

    fn calls(&self) -> usize {
        self.service.0.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_authority_is_let_in_and_no_other() {
    let authority = Authority::make();
    let other = Authority::make();
    let server = Server::start(&authority).await;

    let own = authority.client(&authority, 2);
    assert_eq!(
        server.ask(own.clone(), Caller::Core).await,
        Ok("acknowledged")
    );
    let pretender = server.ask(own, Caller::Bootstrap).await;
    assert_eq!(pretender, Err("caller_mismatch".to_owned()));
    assert_eq!(server.calls(), 1);

    for (what, config) in [
        ("of another authority", other.client(&authority, 2)),
        ("expired", authority.client(&authority, -1)),
        ("believes another authority", authority.client(&other, 2)),
    ] {
        let refused = server.ask(config, Caller::Core).await.unwrap_err();
        let codes = ["secure_service_unavailable", "outcome_unknown"];
        assert!(codes.contains(&refused.as_str()), "{what}: {refused}");
    }
    assert_eq!(server.calls(), 1, "nothing else was carried out");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_one_gets_as_far_as_pairing() {
    let authority = Authority::make();
    let server = Server::start(&authority).await;
    let pin: [u8; 32] = Sha256::digest(authority.certificate()).into();
    let request = || PairRequest {
        secret: [0; 32],
        csr_der: Vec::new(),
    };

    let pinned = tls::pairing_config(pin).unwrap();
    let refused = server.ask(pinned.clone(), Caller::Core).await;
    assert_eq!(refused, Err("certificate_required".to_owned()));
    let refused = server.client(pinned).pair(request()).await.unwrap_err();
    assert_eq!(refused.0.code, "token_unknown");

    let mistaken = tls::pairing_config([7; 32]).unwrap();
    let refused = server.client(mistaken).pair(request()).await.unwrap_err();
    assert_eq!(refused.0.code, "secure_service_unavailable");
    assert_eq!(server.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_older_than_tls_1_3_is_spoken() {
    let authority = Authority::make();
    let server = Server::start(&authority).await;
    let connect = |version: &'static str| {
        let (directory, address) = (authority.path().to_owned(), server.address.clone());
        tokio::task::spawn_blocking(move || {
            let arguments = [
                "s_client",
                "-connect",
                &address,
                version,
                "-CAfile",
                "ca.pem",
                "-brief",
                "-verify_return_error",
                "-alpn",
                "h2",
            ];
            openssl::run(&directory, &arguments).status.success()
        })
    };
    assert!(connect("-tls1_3").await.unwrap());
    assert!(!connect("-tls1_2").await.unwrap());
}
