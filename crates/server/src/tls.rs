//! The HTTPS listener's certificate: issued by the platform's own CA, kept in memory only, renewed
//! when a third of its life is left.

use std::sync::{Arc, RwLock};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clm_core::Core;
use clm_domain::general_name::GeneralName;
use clm_domain::ids::SYSTEM_ORGANIZATION;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// The certificate in force.
#[derive(Debug)]
pub(crate) struct TransportIdentity {
    names: Vec<GeneralName>,
    current: RwLock<Option<Current>>,
}

#[derive(Debug)]
struct Current {
    key: Arc<CertifiedKey>,
    renew_at: DateTime<Utc>,
}

impl TransportIdentity {
    /// An identity for these names, without a certificate yet.
    pub(crate) fn new(names: Vec<GeneralName>) -> Arc<Self> {
        Arc::new(Self {
            names,
            current: RwLock::new(None),
        })
    }

    /// Asks for a certificate when there is none or a third of its life is left.
    pub(crate) async fn renew_if_due(&self, core: &Core, now: DateTime<Utc>) -> anyhow::Result<()> {
        let due = self.current.read().map_or(true, |current| {
            current
                .as_ref()
                .is_none_or(|current| now >= current.renew_at)
        });
        if !due {
            return Ok(());
        }
        let names = self.names.clone();
        let issued = clm_core::transport_certificate::issue(core, names, SYSTEM_ORGANIZATION)
            .await
            .context("asking for the HTTPS certificate")?;
        let chain = issued
            .certificate_chain_der
            .into_iter()
            .map(CertificateDer::from)
            .collect();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(
            issued.private_key_pkcs8.expose().to_vec(),
        ));
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key =
            CertifiedKey::from_der(chain, key, &provider).context("using the HTTPS certificate")?;
        let renew_at = issued.not_after - (issued.not_after - now) / 3;
        if let Ok(mut current) = self.current.write() {
            *current = Some(Current {
                key: Arc::new(key),
                renew_at,
            });
        }
        tracing::info!(certificate.not_after = %issued.not_after, "the HTTPS certificate is new");
        Ok(())
    }

    /// Whether there is no certificate yet.
    pub(crate) fn is_missing(&self) -> bool {
        self.current.read().is_ok_and(|current| current.is_none())
    }

    /// A TLS acceptor that always presents the certificate in force.
    pub(crate) fn acceptor(self: &Arc<Self>) -> TlsAcceptor {
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

impl ResolvesServerCert for TransportIdentity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().ok()?;
        current.as_ref().map(|current| Arc::clone(&current.key))
    }
}
