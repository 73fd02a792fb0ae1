//! The certificate with which a Secure Service in a process of its own takes connections: kept in a
//! file, so that a start with a sealed master key can listen, and renewed by itself.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clm_secure::transport::TransportGate;
use clm_secure_api::remote::tls::server_config;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::background::rest;
use crate::layout::Layout;
use crate::services::{SecureSide, Side as _};
use crate::transport_files::{SERVER, TransportFile};

/// Between two looks at the clock.
const RENEWAL_REST: Duration = Duration::from_secs(5);
/// After a renewal that failed; there are months left.
const RENEWAL_PAUSE: Duration = Duration::from_secs(600);

/// The certificate in force.
#[derive(Debug)]
pub(crate) struct TransportServer {
    path: PathBuf,
    current: RwLock<Current>,
}

#[derive(Debug)]
struct Current {
    key: Arc<CertifiedKey>,
    renew_at: DateTime<Utc>,
}

impl TransportServer {
    /// The certificate of an earlier start; a new one where there is none that is good, or where it is
    /// time.
    ///
    /// # Errors
    /// When there is none, and the master key is sealed.
    pub(crate) async fn open(
        layout: &Layout,
        side: &SecureSide,
        gate: &TransportGate,
    ) -> anyhow::Result<Arc<Self>> {
        let path = layout.file(SERVER);
        let (now, authority_der) = (side.clock.now(), gate.authority_der());
        let stored = TransportFile::read(&path)?
            .filter(|stored| stored.authority_der == authority_der && now < stored.not_after);
        let stored = match stored {
            Some(stored) if now < stored.renew_at || !side.has_key() => stored,
            _ => certify(gate, &path).await?,
        };
        let current = Current::new(&stored)?;
        Ok(Arc::new(Self {
            path,
            current: RwLock::new(current),
        }))
    }

    /// TLS that always presents the certificate in force, and knows peers of the authority.
    pub(crate) fn acceptor(self: &Arc<Self>, gate: &TransportGate) -> anyhow::Result<TlsAcceptor> {
        let identity = Arc::clone(self) as Arc<dyn ResolvesServerCert>;
        let config = server_config(&gate.authority_der(), identity)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Renews the certificate whenever it is time, until the stop.
    pub(crate) async fn keep(
        self: Arc<Self>,
        side: Arc<SecureSide>,
        gate: Arc<TransportGate>,
        stop: CancellationToken,
    ) {
        let mut pause = RENEWAL_REST;
        while rest(pause, &stop).await {
            pause = RENEWAL_REST;
            if !side.has_key() || side.clock.now() < self.renew_at() {
                continue;
            }
            if let Err(error) = self.renew(&gate).await {
                tracing::warn!(error.detail = %format!("{error:#}"),
                    "the certificate of the Secure Service was not renewed, which will be tried again");
                pause = RENEWAL_PAUSE;
            }
        }
    }

    async fn renew(&self, gate: &TransportGate) -> anyhow::Result<()> {
        let current = Current::new(&certify(gate, &self.path).await?)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = current;
        Ok(())
    }

    fn renew_at(&self) -> DateTime<Utc> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.renew_at
    }
}

impl Current {
    fn new(stored: &TransportFile) -> anyhow::Result<Self> {
        // With the authority's: a program that is being paired knows no more of it than the hash.
        let chain = [&stored.certificate_der, &stored.authority_der];
        let chain = chain.map(|der| CertificateDer::from(der.clone())).to_vec();
        let key = PrivatePkcs8KeyDer::from(stored.private_key_der.expose().to_vec());
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = CertifiedKey::from_der(chain, PrivateKeyDer::from(key), &provider)
            .with_context(|| format!("using the certificate of {SERVER}"))?;
        Ok(Self {
            key: Arc::new(key),
            renew_at: stored.renew_at,
        })
    }
}

/// A new certificate, which is kept before it is shown.
async fn certify(gate: &TransportGate, path: &std::path::Path) -> anyhow::Result<TransportFile> {
    let made = gate
        .server_identity()
        .await
        .context("certifying the listener")?;
    let stored = TransportFile {
        address: None,
        authority_der: gate.authority_der(),
        certificate_der: made.certificate_der,
        private_key_der: made.private_key_der,
        not_after: made.not_after,
        renew_at: made.renew_at,
    };
    stored.write(path)?;
    tracing::info!(certificate.not_after = %stored.not_after, "the certificate of the listener is new");
    Ok(stored)
}

impl ResolvesServerCert for TransportServer {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current.key))
    }
}
