//! `clm pair …`: introducing a core to a Secure Service. A token is made on that one's host, with its
//! database alone; it is taken on the core's host, which then has a certificate.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clm_core::transport_key;
use clm_database::pool::Database;
use clm_database::{Pool, PoolOptions};
use clm_domain::actor::Actor;
use clm_domain::secret::SecretString;
use clm_secure::transport::pairing::PairingAdmin;
pub use clm_secure::transport::pairing::{PeerRecord, PeerState};
use clm_secure_api::Caller;
use clm_secure_api::remote::PairRequest;
use clm_secure_api::remote::client::RemoteSecure;
use clm_secure_api::remote::dial::TlsDial;
use clm_secure_api::remote::tls::pairing_config;
use clm_secure_api::remote::token::{PairingToken, is_address};
use sha2::{Digest as _, Sha256};

use crate::configuration::refuse_key_files;
use crate::environment::{SystemClock, SystemRng};
use crate::layout::Layout;
use crate::lock::Lock;
use crate::serve::{connection, hand_over};
use crate::transport_files::{CORE, TransportFile};
use crate::{Configuration, Role, embedded};

/// Connections that a command needs.
const CONNECTIONS_MAX: u32 = 2;

/// A token that was made.
pub struct Invited {
    /// What is carried to the other host.
    pub token: SecretString,
    /// Where it leads.
    pub address: String,
    /// From then on it is refused.
    pub expires_at: DateTime<Utc>,
}

/// A core that was paired.
pub struct Accepted {
    /// Where its Secure Service is.
    pub address: String,
    /// When its first certificate ends.
    pub not_after: DateTime<Utc>,
}

/// The peers of the Secure Service on this host.
pub struct Peers {
    admin: PairingAdmin,
    pool: Pool,
    actor: Actor,
    listen: SocketAddr,
}

impl Peers {
    /// On `clm_secure_db`, without a key.
    ///
    /// # Errors
    /// When no database is configured.
    pub fn open(configuration: &Configuration) -> anyhow::Result<Self> {
        let connection = connection(configuration, Database::Secure)
            .context("peers are kept on the host of the Secure Service, with its settings")?;
        let options = PoolOptions {
            connections_max: CONNECTIONS_MAX,
            ..PoolOptions::default()
        };
        let pool = Pool::new(Database::Secure, connection.options, &options);
        let uid = rustix::process::getuid().as_raw();
        Ok(Self {
            admin: PairingAdmin::new(pool.clone(), Arc::new(SystemClock), Arc::new(SystemRng)),
            pool,
            actor: Actor::LocalOperator { uid },
            listen: configuration.secure_listen,
        })
    }

    /// Makes a one-time token for a new core. `address` is where the Secure Service is for it; where
    /// it listens, unless given.
    ///
    /// # Errors
    /// When there is no address that leads there; those of [`PairingAdmin::invite`].
    pub async fn invite(
        &self,
        name: &str,
        address: Option<String>,
        valid: TimeDelta,
    ) -> anyhow::Result<Invited> {
        let address = match address {
            Some(address) if is_address(&address) => address,
            Some(other) => {
                bail!("--address '{other}' must be a host with a port, such as secure.example:9443")
            }
            None if self.listen.ip().is_unspecified() || self.listen.port() == 0 => bail!(
                "CLM_SECURE_LISTEN={} does not say where this host is: give --address HOST:PORT, as \
                 the core reaches it",
                self.listen
            ),
            None => self.listen.to_string(),
        };
        let invited = self
            .admin
            .invite(&self.actor, name, Caller::Core, valid)
            .await?;
        let token = PairingToken {
            address,
            authority_sha256: invited.authority_sha256,
            secret: invited.secret,
        };
        Ok(Invited {
            token: token.to_text(),
            address: token.address.clone(),
            expires_at: invited.expires_at,
        })
    }

    /// All peers, newest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list(&self) -> anyhow::Result<Vec<PeerRecord>> {
        Ok(self.admin.peers().await?)
    }

    /// Forbids a peer to call.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn revoke(&self, name: &str) -> anyhow::Result<()> {
        Ok(self.admin.revoke(&self.actor, name).await?)
    }

    /// Closes the connections to the database.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Takes a token, on the core's host while the core does not run: asks the Secure Service that it leads
/// to for a certificate, and keeps that. `replace`: though this core was paired before.
///
/// # Errors
/// When the token is damaged, refused, or leads to somebody else; then nothing is changed here.
pub async fn accept(
    configuration: &Configuration,
    token: &SecretString,
    replace: bool,
) -> anyhow::Result<Accepted> {
    let token: PairingToken = token.expose().parse()?;
    let account = embedded::account(Role::Core)?;
    let layout = Layout::prepare(&configuration.data_directory, account.as_ref())?;
    let _lock = Lock::take(&layout.file("clm.lock"))?;
    refuse_key_files(&layout.state_directory, &layout.master_key_files())?;
    let path = layout.file(CORE);
    if path.exists() && !replace {
        bail!(
            "this core is paired already ({}): --replace pairs it anew",
            path.display()
        );
    }
    let (private_key_der, csr_der) = transport_key::new_with_request(&[])?;
    let dial = TlsDial::new(
        token.address.clone(),
        pairing_config(token.authority_sha256)?,
    );
    let remote = RemoteSecure::new(Arc::new(dial), Arc::new(SystemClock));
    let request = PairRequest {
        secret: token.secret,
        csr_der,
    };
    let paired = remote
        .pair(request)
        .await
        .with_context(|| format!("pairing with {}", token.address))?;
    // It has been shown in the handshake; the reply has to say the same.
    if <[u8; 32]>::from(Sha256::digest(&paired.authority_der)) != token.authority_sha256 {
        bail!(
            "{} answered with another authority than the token names",
            token.address
        );
    }
    TransportFile {
        address: Some(token.address.clone()),
        authority_der: paired.authority_der,
        certificate_der: paired.certificate_der,
        private_key_der,
        not_after: paired.not_after,
        renew_at: paired.renew_at,
    }
    .write(&path)?;
    if let Some(account) = &account {
        hand_over(&layout, account)?;
    }
    Ok(Accepted {
        address: token.address.clone(),
        not_after: paired.not_after,
    })
}
