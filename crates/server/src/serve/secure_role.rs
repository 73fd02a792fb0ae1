//! Serving as a Secure Service in a process of its own: nothing but the contract over mutual TLS, and the
//! local socket for the operator of this host.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use clm_api::operator::{self, OperatorState};
use clm_core::operator::{Operator, Operators};
use clm_database::pool::Database;
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

/// Before cores are tried to be heard again, after that failed with an open master key.
const OPENING_PAUSE: Duration = Duration::from_secs(5);

/// Binds the address for cores.
pub(super) fn bind(configuration: &Configuration) -> anyhow::Result<std::net::TcpListener> {
    listeners::bind_tcp("CLM_SECURE_LISTEN", configuration.secure_listen)
}

/// Serves until the stop. The operator of this host is heard first: a sealed master key may have to be
/// opened before there is anything to listen for cores with.
pub(super) async fn serve(
    serving: Serving<'_>,
    listener: std::net::TcpListener,
) -> anyhow::Result<()> {
    let stop = &serving.stop;
    let side = tokio::select! {
        opened = open(&serving) => Arc::new(opened?),
        () = stop.cancelled() => return Ok(()),
    };
    let tasks = TaskTracker::new();
    let loops = Loops {
        tasks: &tasks,
        stop,
    };
    let connections = Connections {
        tasks: tasks.clone(),
        stop: stop.clone(),
    };
    let operators = Operators::new(
        side.access().client,
        Arc::clone(&side.clock),
        Arc::new(SystemRng),
    );
    let operators = Arc::new(operators);
    let local = listeners::bind_unix(&serving.layout.socket())?;
    let service = for_operators(&operators, serving.metrics.clone());
    connections.accept_local(local, service);
    background::start_secure(&side, &loops);
    background::keep_metrics_small(serving.metrics.clone(), &loops);

    let served = OnceLock::new();
    let serving_cores = async {
        announce_seal(&side);
        let transport = Transport::open_with_key(&serving, &side).await?;
        let served = served.get_or_init(|| transport.listen(&side, listener, &connections));
        if let Ok(served) = served {
            announce(&side, &operators, &served.lines).await;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        outcome = serving_cores => outcome?,
        () = stop.cancelled() => {}
    }
    let served = served.into_inner().transpose()?;
    end(&loops).await;
    if let Some(served) = served {
        finish(&served.server).await;
    }
    side.close().await;
    let _ = std::fs::remove_file(serving.layout.socket());
    Ok(())
}

/// Commands that have begun end, whoever has gone away.
async fn finish(server: &RemoteServer) {
    let ended = tokio::time::timeout(DRAIN_TIMEOUT, server.finish());
    if ended.await.is_err() {
        tracing::warn!("some commands did not end in time; their outcome is settled by a retry");
    }
}

async fn open(serving: &Serving<'_>) -> anyhow::Result<SecureSide> {
    let configuration = serving.configuration;
    let default_file = serving.layout.file("master.key");
    let sources = configuration.master_key.sources(default_file, true);
    let connection = connection(configuration, Database::Secure)?;
    SecureSide::open(connection, sources).await
}

/// What cores are heard with.
struct Transport {
    gate: Arc<TransportGate>,
    identity: Arc<TransportServer>,
}

/// The listener for cores, and what people are told about it.
struct Served {
    server: Arc<RemoteServer>,
    lines: Vec<String>,
}

impl Transport {
    async fn open(serving: &Serving<'_>, side: &SecureSide) -> anyhow::Result<Self> {
        let lifetime = serving.configuration.transport_lifetime;
        let gate = TransportGate::open(&side.secure, lifetime)
            .await
            .context("opening the gate for cores")?;
        let identity = TransportServer::open(serving.layout, side, &gate).await?;
        Ok(Self { gate, identity })
    }

    /// The same, after the custodians have come where that takes the master key. From then on nothing
    /// ends the process, which would be sealed again.
    async fn open_with_key(serving: &Serving<'_>, side: &SecureSide) -> anyhow::Result<Self> {
        if side.has_key() {
            return Self::open(serving, side).await;
        }
        let mut key = side.secure.watch_master_key();
        loop {
            let had_key = side.has_key();
            let error = match Self::open(serving, side).await {
                Ok(transport) => return Ok(transport),
                Err(error) => error,
            };
            tracing::warn!(error.detail = %format!("{error:#}"), "no core can be heard yet");
            // The reason may be another one than the seal, and pass.
            let pause = tokio::time::sleep(OPENING_PAUSE);
            if had_key {
                pause.await;
                continue;
            }
            tokio::select! {
                opened = key.wait_for(|is_open| *is_open) => drop(opened?),
                () = pause => {}
            }
        }
    }

    fn listen(
        self,
        side: &Arc<SecureSide>,
        listener: std::net::TcpListener,
        connections: &Connections,
    ) -> anyhow::Result<Served> {
        let Self { gate, identity } = self;
        let server = Arc::new(RemoteServer::new(
            Arc::clone(&side.secure) as _,
            Arc::clone(&gate) as _,
            Arc::clone(&side.clock),
        ));
        let address = listener.local_addr().context("reading the bound address")?;
        let authority = hex::encode(Sha256::digest(gate.authority_der()));
        let lines = vec![
            format!("secure     {}", reachable(address)),
            format!("authority  {authority}"),
        ];
        let listener = TcpListener::from_std(listener).context("listening for cores")?;
        connections.accept_peers(listener, identity.acceptor(&gate)?, Arc::clone(&server));
        let keeping = identity.keep(Arc::clone(side), gate, connections.stop.clone());
        connections.tasks.spawn(keeping);
        Ok(Served { server, lines })
    }
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

/// Says that custodians have to come, where that is so.
#[expect(
    clippy::print_stdout,
    reason = "people have to come, and nothing else tells them"
)]
fn announce_seal(side: &SecureSide) {
    if !side.has_key() {
        let (provider, version, status) = side.secure.master_key_in_force();
        println!("{}", sealed_lines((version, provider), &status).join("\n"));
    }
}

/// Tells a person what is there, once the master key is open.
#[expect(
    clippy::print_stdout,
    reason = "the one thing that a person at the terminal waits for"
)]
async fn announce(side: &SecureSide, operators: &Operators, lines: &[String]) {
    println!("{}", lines.join("\n"));
    let mut key = side.secure.watch_master_key();
    if key.wait_for(|is_open| *is_open).await.is_err() {
        return;
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
