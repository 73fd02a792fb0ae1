//! Serving as a Secure Service in a process of its own: nothing but the contract over mutual TLS, and the
//! local socket for the operator of this host.

use std::sync::Arc;

use anyhow::Context as _;
use clm_api::operator::{self, OperatorState};
use clm_core::operator::{Operator, Operators};
use clm_secure::transport::TransportGate;
use clm_secure_api::remote::server::RemoteServer;
use metrics_exporter_prometheus::PrometheusHandle;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::own_names::reachable;
use super::{DRAIN_TIMEOUT, Serving, connection, end};
use crate::Configuration;
use crate::background::{self, Loops};
use crate::beginning::{master_key_lines, sealed_lines};
use crate::connection::{Kind, Service};
use crate::environment::SystemRng;
use crate::listeners::{self, Connections};
use crate::services::{SecureSide, Side as _};
use crate::transport_server::TransportServer;

/// Binds the address for cores.
pub(super) fn bind(configuration: &Configuration) -> anyhow::Result<std::net::TcpListener> {
    listeners::bind_tcp("CLM_SECURE_LISTEN", configuration.secure_listen)
}

/// Serves until the stop.
pub(super) async fn serve(
    serving: Serving<'_>,
    listener: std::net::TcpListener,
) -> anyhow::Result<()> {
    let stop = &serving.stop;
    let opened = tokio::select! {
        opened = open(&serving) => opened?,
        () = stop.cancelled() => return Ok(()),
    };
    let Opened {
        side,
        gate,
        identity,
    } = opened;
    let tasks = TaskTracker::new();
    let loops = Loops {
        tasks: &tasks,
        stop,
    };
    let connections = Connections {
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    let server = RemoteServer::new(
        Arc::clone(&side.secure) as _,
        Arc::clone(&gate) as _,
        Arc::clone(&side.clock),
    );
    let server = Arc::new(server);
    let address = listener.local_addr().context("reading the bound address")?;
    let listener = TcpListener::from_std(listener).context("listening for cores")?;
    connections.accept_peers(listener, identity.acceptor(&gate)?, Arc::clone(&server));
    let local = listeners::bind_unix(&serving.layout.socket())?;
    let operators = Operators::new(
        side.access().client,
        Arc::clone(&side.clock),
        Arc::new(SystemRng),
    );
    let operators = Arc::new(operators);
    let service = for_operators(&operators, serving.metrics.clone());
    connections.accept_local(local, service);
    background::start_secure(&side, &loops);
    background::keep_metrics_small(serving.metrics.clone(), &loops);
    let keeping = identity.keep(Arc::clone(&side), Arc::clone(&gate), stop.clone());
    tasks.spawn(keeping);

    let lines = [
        format!("secure     {}", reachable(address)),
        format!(
            "authority  {}",
            hex::encode(Sha256::digest(gate.authority_der()))
        ),
    ];
    tokio::select! {
        () = announce(&side, &operators, &lines) => {}
        () = stop.cancelled() => {}
    }
    end(&loops).await;
    // Commands that have begun end, whoever has gone away.
    if tokio::time::timeout(DRAIN_TIMEOUT, server.finish())
        .await
        .is_err()
    {
        tracing::warn!("some commands did not end in time; their outcome is settled by a retry");
    }
    side.close().await;
    let _ = std::fs::remove_file(serving.layout.socket());
    Ok(())
}

/// What the operator of this host can ask.
fn for_operators(operators: &Arc<Operators>, metrics: PrometheusHandle) -> Service {
    let state = OperatorState {
        operators: Arc::clone(operators),
        metrics: Arc::new(move || metrics.render()),
    };
    Service {
        router: operator::router(state),
        kind: Kind::Local,
        trusted_proxies: Arc::default(),
    }
}

/// What is opened before anybody is heard.
struct Opened {
    side: Arc<SecureSide>,
    gate: Arc<TransportGate>,
    identity: Arc<TransportServer>,
}

async fn open(serving: &Serving<'_>) -> anyhow::Result<Opened> {
    let (configuration, layout) = (serving.configuration, serving.layout);
    let sources = configuration
        .master_key
        .sources(layout.file("master.key"), true);
    let connection = connection(configuration, "CLM_SECURE_DATABASE_URL")?;
    let side = Arc::new(SecureSide::open(connection, sources).await?);
    let gate = TransportGate::open(&side.secure, configuration.transport_lifetime)
        .await
        .context("opening the gate for cores")?;
    let identity = TransportServer::open(layout, &side, &gate).await?;
    Ok(Opened {
        side,
        gate,
        identity,
    })
}

/// Tells a person what is there, and waits for the custodians of a sealed key.
#[expect(
    clippy::print_stdout,
    reason = "the one thing that a person at the terminal waits for"
)]
async fn announce(side: &SecureSide, operators: &Operators, lines: &[String]) {
    println!("{}", lines.join("\n"));
    if !side.has_key() {
        let (provider, version, status) = side.secure.master_key_in_force();
        println!("{}", sealed_lines((version, provider), &status).join("\n"));
        let mut key = side.secure.watch_master_key();
        if key.wait_for(|is_open| *is_open).await.is_err() {
            return;
        }
    }
    let operator = Operator {
        uid: rustix::process::geteuid().as_raw(),
        request_id: operators.request_id(),
    };
    match operators.load(operator).await {
        Ok(key) => println!("{}", master_key_lines(&key).join("\n")),
        Err(error) => {
            tracing::warn!(error.detail = %error, "the master key in force cannot be told");
        }
    }
    println!("ready");
}
