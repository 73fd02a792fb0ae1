//! `clm serve`: the order in which things start, and the reverse in which they stop.
//!
//! 1. directories and lock, 2. addresses, 3. database, 4. giving up root, 5. services, 6. bootstrap,
//! 7. listeners and loops. Readiness is told by `/readyz` and by the line `ready`.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::io::IsTerminal as _;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clm_api::ApiState;
use clm_database::roles;
use clm_domain::general_name::GeneralName;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rustix::fs::OFlags;
use sqlx::postgres::PgConnectOptions;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::beginning::{Beginning, announce, watch_bootstrap_password};
use crate::bootstrap::Addresses;
use crate::connection::{Kind, Service};
use crate::layout::{self, Layout};
use crate::listeners::{self, Connections};
use crate::lock::Lock;
use crate::services::{self, Services};
use crate::tls::TransportIdentity;
use crate::{Configuration, background, embedded, hardening, privileges};

/// How long connections may take to finish their requests at the stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// A further signal so long after the first one ends the process at once.
const IMPATIENCE_AFTER: Duration = Duration::from_secs(2);

/// Runs the server until SIGINT or SIGTERM.
///
/// # Errors
/// Says which step failed and what to do.
pub async fn run(configuration: Configuration) -> anyhow::Result<()> {
    // First of all: from here on a signal is a wish, not an end.
    let stop = stop_signal()?;
    start_log(&configuration)?;
    let metrics = PrometheusBuilder::new()
        .install_recorder()
        .context("starting the metrics")?;
    // One TLS provider for the whole process.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();

    let account = embedded::account()?;
    let layout = Layout::prepare(&configuration.data_directory, account.as_ref())?;
    let _lock = Lock::take(&layout.file("clm.lock"))?;
    let http = listeners::bind_tcp("CLM_HTTP_LISTEN", configuration.http_listen)?;
    let https = configuration
        .https_listen
        .map(|address| listeners::bind_tcp("CLM_HTTPS_LISTEN", address))
        .transpose()?;

    let mut cluster = None;
    if configuration.databases.is_none() {
        let starting = embedded::start_cluster(&configuration, &layout, account.as_ref());
        cluster = Some(tokio::select! {
            started = starting => started?,
            () = stop.cancelled() => {
                tracing::info!("stopped while the private PostgreSQL was starting");
                return Ok(());
            }
        });
    }
    let outcome = async {
        if let Some(account) = &account {
            hand_over(&layout, account)?;
            privileges::drop_to(account)?;
            hardening::forbid_dumps()?;
        }
        hardening::lock_memory();
        let private = cluster
            .as_ref()
            .map(|cluster| cluster.admin_connect_options(roles::MAINTENANCE_DATABASE));
        let listening = Listening { http, https };
        let signals = (metrics, stop.clone());
        let serving = async {
            // However serving ends, the watch over the private server ends with it.
            let _end = stop.clone().drop_guard();
            serve(&configuration, &layout, private, listening, signals).await
        };
        let watching = async {
            match cluster.as_mut() {
                Some(cluster) => embedded::keep_running(cluster, &stop).await,
                None => Ok(()),
            }
        };
        let (served, watched) = tokio::join!(serving, watching);
        watched.and(served)
    }
    .await;
    if let Some(cluster) = cluster {
        cluster
            .stop()
            .await
            .context("stopping the private PostgreSQL")?;
    }
    outcome
}

struct Listening {
    http: std::net::TcpListener,
    https: Option<std::net::TcpListener>,
}

/// Serves on started databases until the stop. `private` is how an administrator reaches the private
/// server, in the embedded mode.
async fn serve(
    configuration: &Configuration,
    layout: &Layout,
    private: Option<PgConnectOptions>,
    listening: Listening,
    (metrics, stop): (PrometheusHandle, CancellationToken),
) -> anyhow::Result<()> {
    let opening = open_services(configuration, layout, private.as_ref());
    let services = tokio::select! {
        opened = opening => Arc::new(opened?),
        () = stop.cancelled() => return Ok(()),
    };
    let addresses = addresses(configuration, &listening)?;
    let identity = listening
        .https
        .as_ref()
        .map(|_| transport_identity(configuration));
    let beginning = Beginning {
        services: &services,
        layout,
        addresses: &addresses,
        identity: identity.as_ref(),
        password: configuration.bootstrap_password.as_ref(),
        is_embedded: private.is_some(),
    };
    // Sealed, it has to wait: there is no key to make certificates with.
    let bootstrapped = match services.secure.is_sealed() {
        true => None,
        false => Some(beginning.complete().await?),
    };

    let tasks = TaskTracker::new();
    let upkeep = metrics.clone();
    let connections = Connections {
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    listen(
        configuration,
        layout,
        (&services, metrics),
        &connections,
        (listening, &identity),
    )?;
    background::start(&services, identity.clone(), &tasks, &stop);
    background::keep_metrics_small(upkeep, &tasks, &stop);
    let bootstrapped = match bootstrapped {
        Some(bootstrapped) => Some(bootstrapped),
        None => tokio::select! {
            bootstrapped = beginning.complete_when_open() => Some(bootstrapped),
            () = stop.cancelled() => None,
        },
    };
    if let Some(bootstrapped) = bootstrapped {
        let bootstrapped = bootstrapped.as_ref();
        watch_bootstrap_password(&services, layout, bootstrapped, &tasks, &stop);
        announce(&beginning, bootstrapped).await;
    }

    stop.cancelled().await;
    tracing::info!("stopping: no new connections, requests under way are finished");
    tasks.close();
    if tokio::time::timeout(DRAIN_TIMEOUT, tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!("some requests did not finish in time; their outcome is settled by a retry");
    }
    services.close().await;
    let _ = std::fs::remove_file(layout.socket());
    Ok(())
}

/// Opens both services on the private server, or on the databases that the operator named.
async fn open_services(
    configuration: &Configuration,
    layout: &Layout,
    private: Option<&PgConnectOptions>,
) -> anyhow::Result<Services> {
    let connections = match (&configuration.databases, private) {
        (Some(databases), _) => services::Connections {
            core: parse_url("CLM_CORE_DATABASE_URL", databases.core_url.expose())?,
            secure: parse_url("CLM_SECURE_DATABASE_URL", databases.secure_url.expose())?,
            connections_max: configuration.connections_max,
        },
        (None, Some(admin)) => {
            embedded::prepare_databases(admin, configuration.connections_max).await?
        }
        (None, None) => bail!("there is neither a private PostgreSQL nor a configured one"),
    };
    let default_file = layout.file("master.key");
    let sources = configuration.master_key.sources(default_file, true);
    Services::open(connections, sources).await
}

fn parse_url(name: &str, url: &str) -> anyhow::Result<sqlx::postgres::PgConnectOptions> {
    // The parser's error may repeat parts of the URL, and with them the password.
    url.parse().ok().with_context(|| {
        format!("{name} must be a URL such as postgres://clm_core_user:…@host/clm_core_db")
    })
}

/// Gives the files that root made to the account.
fn hand_over(layout: &Layout, account: &clm_database::cluster::Account) -> anyhow::Result<()> {
    for name in ["clm.lock", "bootstrap.json", "root-ca.pem"]
        .into_iter()
        .map(str::to_owned)
        .chain(layout.master_key_files())
    {
        let path = layout.file(&name);
        // Never what a link leads to: the account could have put one there for root to follow.
        let file = match OpenOptions::new()
            .read(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(&path)
        {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("opening {}", path.display()));
            }
        };
        layout::refuse_foreign_file(&file, &path)?;
        fchown(&file, Some(account.uid), Some(account.gid))
            .with_context(|| format!("giving {} to {}", path.display(), account.name))?;
    }
    let mode = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(&layout.run_directory, mode).context("closing the run directory")
}

/// Where the server can be reached, with the ports that were really bound.
fn addresses(configuration: &Configuration, listening: &Listening) -> anyhow::Result<Addresses> {
    let http = listening
        .http
        .local_addr()
        .context("reading the bound address")?;
    let https = listening
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

/// An address that a client on this machine can use.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from(([127, 0, 0, 1], address.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => {
            SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, address.port()))
        }
        _ => address,
    }
}

/// The names of this server: loopback, the address that it listens on, and the public name.
fn own_names(configuration: &Configuration) -> Vec<String> {
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    for address in [Some(configuration.http_listen), configuration.https_listen]
        .into_iter()
        .flatten()
    {
        if !address.ip().is_unspecified() {
            names.push(address.ip().to_string());
        }
    }
    names.extend(configuration.public_url.as_deref().and_then(host_of));
    names.sort();
    names.dedup();
    names
}

/// The host in a URL; an IPv6 address without its brackets.
fn host_of(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    Some(match url.host()? {
        url::Host::Domain(name) => name.trim_end_matches('.').to_owned(),
        url::Host::Ipv4(address) => address.to_string(),
        url::Host::Ipv6(address) => address.to_string(),
    })
}

/// The name as it stands in a certificate, if it can.
fn certifiable(name: String) -> Option<GeneralName> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Some(GeneralName::Ip(address));
    }
    if is_host_name(&name) {
        return Some(GeneralName::Dns(name));
    }
    tracing::warn!(
        "the HTTPS certificate leaves '{name}' out, which is no DNS name: set CLM_PUBLIC_URL to a \
         URL whose host is one"
    );
    None
}

/// Whether the text is a host name in the preferred syntax of RFC 1034 §3.5.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// The HTTPS identity, without a certificate yet.
fn transport_identity(configuration: &Configuration) -> Arc<TransportIdentity> {
    let names = own_names(configuration)
        .into_iter()
        .filter_map(certifiable)
        .collect();
    TransportIdentity::new(names)
}

/// Takes connections on every listener.
fn listen(
    configuration: &Configuration,
    layout: &Layout,
    (services, metrics): (&Arc<Services>, PrometheusHandle),
    connections: &Connections,
    (listening, identity): (Listening, &Option<Arc<TransportIdentity>>),
) -> anyhow::Result<()> {
    let router = clm_api::router(ApiState {
        core: Arc::clone(&services.core),
        clock: Arc::clone(&services.clock),
        rng: Arc::clone(&services.rng),
        metrics: Arc::new(move || metrics.render()),
    });
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
    let local = listeners::bind_unix(&layout.socket())?;
    connections.accept_local(local, service(Kind::Local));
    Ok(())
}

/// Cancelled by the first SIGINT or SIGTERM; another one, two seconds later, ends the process at once.
fn stop_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let token = stop.clone();
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        let begun = tokio::time::Instant::now();
        token.cancel();
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            // Supervisors pass a signal on that the terminal has sent already: that is no second wish.
            if begun.elapsed() >= IMPATIENCE_AFTER {
                tracing::error!("stopped at once by a second signal");
                std::process::exit(130);
            }
        }
    });
    Ok(stop)
}

fn start_log(configuration: &Configuration) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(&configuration.log)
        .with_context(|| format!("CLM_LOG='{}' is no log filter", configuration.log))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Colours are for terminals; in a file they stand in the way of whoever searches it.
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = if configuration.log_json {
        log.json().try_init()
    } else {
        log.try_init()
    };
    started.map_err(|error| anyhow::anyhow!("starting the log: {error}"))
}

#[cfg(test)]
mod tests;
