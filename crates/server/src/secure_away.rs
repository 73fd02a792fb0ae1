//! The Secure Service in another process, as a core reaches it: the connection, its certificate and
//! when that is renewed, and whether the other side can do anything now.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use clm_core::{Core, OpContext, master_key, transport_key};
use clm_domain::clock::Clock;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::SYSTEM_ORGANIZATION;
use clm_secure_api::remote::RenewRequest;
use clm_secure_api::remote::client::RemoteSecure;
use clm_secure_api::remote::dial::TlsDial;
use clm_secure_api::remote::tls::client_config;
use clm_secure_api::{CallContext, Command, Reply, SecureClient, SecureError, SecureService};
use rustls::ClientConfig;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Configuration;
use crate::background::{Loops, rest};
use crate::environment::SystemClock;
use crate::services::{CoreSide, SecureAccess};
use crate::transport_files::{CORE, TransportFile};

/// Between two looks at the other side.
const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// The same after it has refused this core.
const REFUSED_PERIOD: Duration = Duration::from_secs(60);
/// The code that callers hear then.
const REFUSES: &str = "secure_service_refuses";
/// How long a look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest and shortest rest between two looks at the clock, for the certificate.
const RENEWAL_REST_MAX: Duration = Duration::from_secs(60);
const RENEWAL_REST_MIN: Duration = Duration::from_secs(1);
/// After a renewal that failed.
const RENEWAL_PAUSE: Duration = Duration::from_secs(10);

/// The other side.
pub(crate) struct SecureAway {
    remote: RemoteSecure,
    dial: Arc<TlsDial>,
    path: PathBuf,
    paired: RwLock<TransportFile>,
    clock: Arc<dyn Clock>,
    key: watch::Sender<bool>,
    /// Whether the newest certificate is not in the file yet.
    is_unsaved: AtomicBool,
    /// What was found when something was last said about it.
    said: Mutex<Option<Result<bool, String>>>,
}

impl SecureAway {
    /// What this core was paired with. Nothing is sent yet.
    ///
    /// # Errors
    /// When it was not paired, or its file cannot be used.
    pub(crate) fn open(path: &Path, configuration: &Configuration) -> anyhow::Result<Arc<Self>> {
        let paired = TransportFile::read(path)?.context(
            "this core was not paired with a Secure Service yet: 'clm pair create' on that one's \
             host makes a token, 'clm pair accept' takes it here",
        )?;
        let address = configuration.secure_address.clone();
        let address = address.or_else(|| paired.address.clone());
        let address =
            address.context("the Secure Service has no address: set CLM_SECURE_ADDRESS")?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        if paired.not_after < clock.now() {
            tracing::error!(
                certificate.not_after = %paired.not_after,
                "the certificate of this core has ended, and the Secure Service will not hear it: \
                 pair it again (clm pair create there, clm pair accept --replace here)"
            );
        }
        let dial = Arc::new(TlsDial::new(address, config_of(&paired)?));
        let remote = RemoteSecure::new(Arc::clone(&dial) as _, Arc::clone(&clock));
        Ok(Arc::new(Self {
            remote,
            dial,
            path: path.to_path_buf(),
            paired: RwLock::new(paired),
            clock,
            key: watch::Sender::new(false),
            is_unsaved: AtomicBool::new(false),
            said: Mutex::default(),
        }))
    }

    /// For the core.
    pub(crate) fn access(self: &Arc<Self>) -> SecureAccess {
        SecureAccess {
            client: SecureClient::new(Arc::clone(self) as _),
            key: self.key.subscribe(),
        }
    }

    /// Starts looking at the other side, and after the certificate.
    pub(crate) fn start(self: &Arc<Self>, core: &Arc<CoreSide>, loops: &Loops<'_>) {
        let (this, core, stop) = (Arc::clone(self), Arc::clone(core), loops.stop.clone());
        loops.tasks.spawn(async move {
            let mut pause = LOOK_PERIOD;
            while rest(pause, &stop).await {
                tokio::select! {
                    next = this.look(&core.core) => pause = next,
                    () = stop.cancelled() => return,
                }
            }
        });
        let (this, stop) = (Arc::clone(self), loops.stop.clone());
        loops.tasks.spawn(async move {
            tokio::select! {
                () = this.keep_certificate(&stop) => {}
                () = stop.cancelled() => {}
            }
        });
    }

    /// Sees whether the other side can be reached and has its key, and says so when that changed. Returns
    /// how long to rest before the next look: each refusal is recorded on the other side.
    pub(crate) async fn look(&self, core: &Core) -> Duration {
        let mut pause = LOOK_PERIOD;
        let system = OpContext::system(core, SYSTEM_ORGANIZATION);
        let asked = master_key::seal_status(&system, core);
        let found = match tokio::time::timeout(LOOK_TIMEOUT, asked).await {
            Ok(Ok(status)) => Ok(!status.sealed),
            // It is there, and has enough to do.
            Ok(Err(error)) if error.0.code == "secure_service_busy" => return pause,
            Ok(Err(error)) if error.0.code == REFUSES => {
                pause = REFUSED_PERIOD;
                Err(error.to_string())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it does not answer".to_owned()),
        };
        let has_key = *found.as_ref().unwrap_or(&false);
        self.key
            .send_if_modified(|known| std::mem::replace(known, has_key) != has_key);
        self.tell(found);
        pause
    }

    /// Says what was found, unless it is what was said last.
    fn tell(&self, found: Result<bool, String>) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.as_ref() == Some(&found) {
            return;
        }
        match &found {
            Ok(true) => tracing::info!("the Secure Service is there, and its master key is open"),
            Ok(false) => {
                tracing::warn!("the Secure Service is there, and its master key is sealed");
            }
            Err(error) => {
                tracing::warn!(error.detail = error, "the Secure Service is away");
            }
        }
        *said = Some(found);
    }

    async fn keep_certificate(&self, stop: &CancellationToken) {
        let mut pause = self.rest_before_renewal();
        while rest(pause, stop).await {
            pause = match self.renew_if_due().await {
                Ok(()) => self.rest_before_renewal(),
                Err(error) => {
                    tracing::warn!(error.detail = %format!("{error:#}"),
                        "the certificate of this core was not renewed, which will be tried again");
                    RENEWAL_PAUSE
                }
            };
        }
    }

    fn rest_before_renewal(&self) -> Duration {
        let until = self.paired().renew_at - self.clock.now();
        let until = until.to_std().unwrap_or_default();
        until.clamp(RENEWAL_REST_MIN, RENEWAL_REST_MAX)
    }

    async fn renew_if_due(&self) -> anyhow::Result<()> {
        let paired = self.paired();
        if self.is_unsaved.load(Ordering::Relaxed) {
            paired.write(&self.path)?;
            self.is_unsaved.store(false, Ordering::Relaxed);
        }
        // While the other side is away or sealed it certifies nobody.
        if self.clock.now() < paired.renew_at || !*self.key.borrow() {
            return Ok(());
        }
        let (private_key_der, csr_der) = transport_key::new_with_request(&[])?;
        let renewed = self.remote.renew(RenewRequest { csr_der }).await?;
        if renewed.authority_der != paired.authority_der {
            bail!(
                "the Secure Service answered with another authority than this core was paired with"
            );
        }
        let next = TransportFile {
            address: paired.address,
            authority_der: renewed.authority_der,
            certificate_der: renewed.certificate_der,
            private_key_der,
            not_after: renewed.not_after,
            renew_at: renewed.renew_at,
        };
        let config = config_of(&next)?;
        tracing::info!(certificate.not_after = %next.not_after,
            "the certificate for the Secure Service is new");
        // In use even when it cannot be kept: else another one would be asked for again and again.
        self.is_unsaved.store(true, Ordering::Relaxed);
        *self.paired.write().unwrap_or_else(PoisonError::into_inner) = next.clone();
        self.dial.replace(config);
        self.remote.reconnect().await;
        next.write(&self.path)?;
        self.is_unsaved.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn paired(&self) -> TransportFile {
        let paired = self.paired.read().unwrap_or_else(PoisonError::into_inner);
        paired.clone()
    }
}

#[async_trait]
impl SecureService for SecureAway {
    async fn call(&self, context: CallContext, command: Command) -> Result<Reply, SecureError> {
        let heard = self.remote.call(context, command).await;
        heard.map_err(|error| self.as_callers_hear(error))
    }
}

impl SecureAway {
    /// That the other side does not know this core is not the mistake of its callers, who may hold good
    /// credentials.
    fn as_callers_hear(&self, error: SecureError) -> SecureError {
        let is_refused = match error.0.kind {
            ErrorKind::Unauthenticated => true,
            // TLS says no more than that there is no connection; nothing left this process then.
            ErrorKind::Upstream => error.0.code == "secure_service_unavailable" && self.has_ended(),
            _ => false,
        };
        if !is_refused {
            return error;
        }
        tracing::debug!(
            error.code = %error.0.code, error.detail = %error.0.message,
            "the Secure Service does not hear this core"
        );
        let message = "The Secure Service does not hear this server any more. Nothing was done; its \
            operator has to pair it again (clm pair).";
        Fault::new(ErrorKind::Upstream, REFUSES, message).into()
    }

    /// Whether the certificate of this core has ended.
    fn has_ended(&self) -> bool {
        let paired = self.paired.read().unwrap_or_else(PoisonError::into_inner);
        paired.not_after < self.clock.now()
    }
}

fn config_of(paired: &TransportFile) -> anyhow::Result<ClientConfig> {
    let TransportFile {
        authority_der,
        certificate_der,
        private_key_der,
        ..
    } = paired;
    client_config(authority_der, certificate_der, private_key_der)
        .with_context(|| format!("using the certificate of {CORE}"))
}
