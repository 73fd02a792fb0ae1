//! Serving as a core, with the Secure Service in the same process or elsewhere.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use clm_api::ApiState;
use clm_api::rate_limits::RateLimits;
use clm_database::pool::Database;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;

use super::own_names::{own_names, reachable, transport_identity};
use super::{Serving, connection, end};
use crate::background::{self, Loops};
use crate::beginning::{Beginning, announce, watch_bootstrap_password};
use crate::bootstrap::Addresses;
use crate::configuration::Role;
use crate::connection::{Kind, Service};
use crate::listeners::{self, Connections};
use crate::secure_away::SecureAway;
use crate::services::{CoreSide, SecureSide, Side as _};
use crate::tls::TransportIdentity;
use crate::transport_files::CORE;
use crate::{Configuration, embedded};

/// Addresses that are bound.
pub(super) struct Listening {
    http: std::net::TcpListener,
    https: Option<std::net::TcpListener>,
}

impl Listening {
    pub(super) fn bind(configuration: &Configuration) -> anyhow::Result<Self> {
        let http = listeners::bind_tcp("CLM_HTTP_LISTEN", configuration.http_listen)?;
        let https = configuration
            .https_listen
            .map(|address| listeners::bind_tcp("CLM_HTTPS_LISTEN", address))
            .transpose()?;
        Ok(Self { http, https })
    }

    /// Where the server can be reached, with the ports that were really bound.
    fn addresses(&self, configuration: &Configuration) -> anyhow::Result<Addresses> {
        let http = self
            .http
            .local_addr()
            .context("reading the bound address")?;
        let https = self
            .https
            .as_ref()
            .map(std::net::TcpListener::local_addr)
            .transpose()?;
        Ok(Addresses {
            url: format!("http://{}", reachable(http)),
            https_url: configuration
                .public_url
                .clone()
                .or_else(|| https.map(|address| format!("https://{}", reachable(address)))),
        })
    }
}

/// What runs in this process.
struct Running {
    core: Arc<CoreSide>,
    secure: SecureHere,
}

/// Where the Secure Service is.
enum SecureHere {
    Here(Arc<SecureSide>),
    Away(Arc<SecureAway>),
}

/// Serves on started databases until the stop.
pub(super) async fn serve(serving: Serving<'_>, listening: Listening) -> anyhow::Result<()> {
    let Serving {
        configuration,
        layout,
        stop,
        ..
    } = &serving;
    let running = tokio::select! {
        opened = open(&serving) => opened?,
        () = stop.cancelled() => return Ok(()),
    };
    let core = &running.core;
    let addresses = listening.addresses(configuration)?;
    let identity = listening
        .https
        .as_ref()
        .map(|_| transport_identity(configuration));
    let beginning = Beginning {
        side: core,
        layout,
        addresses: &addresses,
        identity: identity.as_ref(),
        password: configuration.bootstrap_password.as_ref(),
        is_embedded: serving.private.is_some(),
        is_key_away: configuration.role == Role::Core,
    };
    // Sealed, it has to wait: there is no key to make certificates with.
    let bootstrapped = match core.has_key() {
        false => None,
        true => Some(beginning.complete().await?),
    };

    let tasks = tokio_util::task::TaskTracker::new();
    let loops = Loops {
        tasks: &tasks,
        stop,
    };
    listen(&serving, core, &loops, (listening, &identity))?;
    background::start_core(core, identity.clone(), &loops);
    match &running.secure {
        SecureHere::Here(secure) => background::start_secure(secure, &loops),
        SecureHere::Away(away) => away.start(core, &loops),
    }
    background::keep_metrics_small(serving.metrics.clone(), &loops);
    let bootstrapped = match bootstrapped {
        Some(bootstrapped) => Some(bootstrapped),
        None => tokio::select! {
            bootstrapped = beginning.complete_when_open() => Some(bootstrapped),
            () = stop.cancelled() => None,
        },
    };
    if let Some(bootstrapped) = bootstrapped {
        let bootstrapped = bootstrapped.as_ref();
        watch_bootstrap_password(&core.core, layout, bootstrapped, &loops);
        announce(&beginning, bootstrapped).await;
    }

    end(&loops).await;
    running.close().await;
    let _ = std::fs::remove_file(layout.socket());
    Ok(())
}

impl Running {
    async fn close(&self) {
        self.core.close().await;
        if let SecureHere::Here(secure) = &self.secure {
            secure.close().await;
        }
    }
}

/// Opens what this process serves: on the private server, or on the databases that the operator named.
async fn open(serving: &Serving<'_>) -> anyhow::Result<Running> {
    let configuration = serving.configuration;
    if configuration.role == Role::Core {
        let away = SecureAway::open(&serving.layout.file(CORE), configuration)?;
        let connection = connection(configuration, Database::Core)?;
        let core = CoreSide::open(connection, away.access(), configuration.mail.clone()).await?;
        away.look(&core.core).await;
        return Ok(Running {
            core: Arc::new(core),
            secure: SecureHere::Away(away),
        });
    }
    let (of_core, of_secure) = match (&configuration.databases, &serving.private) {
        (Some(_), _) => (
            connection(configuration, Database::Core)?,
            connection(configuration, Database::Secure)?,
        ),
        (None, Some(admin)) => {
            embedded::prepare_databases(admin, configuration.connections_max).await?
        }
        (None, None) => bail!("there is neither a private PostgreSQL nor a configured one"),
    };
    let default_file = serving.layout.file("master.key");
    let sources = configuration.master_key.sources(default_file, true);
    let secure = SecureSide::open(of_secure, sources).await?;
    let core = CoreSide::open(of_core, secure.access(), configuration.mail.clone()).await?;
    Ok(Running {
        core: Arc::new(core),
        secure: SecureHere::Here(Arc::new(secure)),
    })
}

/// Takes connections on every listener.
fn listen(
    serving: &Serving<'_>,
    side: &Arc<CoreSide>,
    loops: &Loops<'_>,
    (listening, identity): (Listening, &Option<Arc<TransportIdentity>>),
) -> anyhow::Result<()> {
    let configuration = serving.configuration;
    let metrics: PrometheusHandle = serving.metrics.clone();
    let router = clm_api::router(ApiState {
        core: Arc::clone(&side.core),
        clock: Arc::clone(&side.clock),
        rng: Arc::clone(&side.rng),
        rate_limits: Arc::new(RateLimits::new(configuration.rate_limits)),
        metrics: Arc::new(move || metrics.render()),
    });
    let connections = Connections {
        tasks: loops.tasks.clone(),
        stop: loops.stop.clone(),
    };
    let service = |kind| Service {
        router: router.clone(),
        kind,
        trusted_proxies: Arc::new(configuration.trusted_proxies.clone()),
    };
    let hosts = Arc::new(own_names(configuration));
    let http = TcpListener::from_std(listening.http).context("listening for HTTP")?;
    connections.accept_tcp(http, service(Kind::Plain { hosts }));
    if let (Some(https), Some(identity)) = (listening.https, identity) {
        let https = TcpListener::from_std(https).context("listening for HTTPS")?;
        connections.accept_tls(https, identity.acceptor(), service(Kind::Tls));
    }
    let local = listeners::bind_unix(&serving.layout.socket())?;
    connections.accept_local(local, service(Kind::Local));
    Ok(())
}
