//! Taking connections. Addresses are bound before anything else is started, so that a taken one is
//! told at once and nothing has to be undone.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clm_api::peer::Peer;
use clm_secure_api::remote::places::Places;
use clm_secure_api::remote::server::RemoteServer;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::Service;

/// Most connections at once on one listener.
const CONNECTIONS_MAX: usize = 1_024;
/// Most programs without a certificate at once: they must not keep the others out.
const STRANGERS_MAX: usize = 64;
/// Most TLS handshakes of peers at once, of all and of one address, and how long one may take.
const HANDSHAKES_MAX: usize = 512;
const HANDSHAKES_OF_ADDRESS_MAX: usize = 64;
const PEER_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the accept loop rests after an error such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Binds a TCP address, or says what to do about it. Belongs to the start, before privileges drop.
pub(crate) fn bind_tcp(
    setting: &str,
    address: SocketAddr,
) -> anyhow::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow::anyhow!(
            "{address} is taken by another program: stop it, or set {setting} to another address"
        ),
        ErrorKind::AddrNotAvailable => {
            anyhow::anyhow!("{address} is no address of this machine: set {setting} to one that is")
        }
        ErrorKind::PermissionDenied => anyhow::anyhow!(
            "{address} may not be bound by this user: set {setting} to a port above 1023"
        ),
        _ => anyhow::anyhow!("{setting}={address} cannot be bound: {error}"),
    })?;
    listener
        .set_nonblocking(true)
        .context("preparing a listener")?;
    Ok(listener)
}

/// Binds the local socket, mode 0600. The lock on the data directory says that a socket found there
/// is a leftover.
pub(crate) fn bind_unix(path: &Path) -> anyhow::Result<UnixListener> {
    if path.as_os_str().len() > 107 {
        bail!(
            "the path of the local socket is too long: {}",
            path.display()
        );
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("removing {}", path.display()));
        }
        _ => {}
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("binding {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .with_context(|| format!("setting the mode of {}", path.display()))?;
    Ok(listener)
}

/// The tasks of all connections, and the signal that ends them.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl Connections {
    /// Takes plain TCP connections until the stop.
    pub(crate) fn accept_tcp(&self, listener: TcpListener, service: Service) {
        let this = self.clone();
        self.tasks.spawn(async move {
            let limit = Arc::new(Semaphore::new(CONNECTIONS_MAX));
            while let Some((stream, address)) = this.next(|| listener.accept()).await {
                let Ok(permit) = Arc::clone(&limit).acquire_owned().await else {
                    return;
                };
                let (service, stop) = (service.clone(), this.stop.clone());
                let _ = stream.set_nodelay(true);
                this.tasks.spawn(async move {
                    let peer = Peer::Network(address.ip().to_canonical());
                    service.serve(stream, peer, stop).await;
                    drop(permit);
                });
            }
        });
    }

    /// Takes TLS connections until the stop.
    pub(crate) fn accept_tls(&self, listener: TcpListener, tls: TlsAcceptor, service: Service) {
        let this = self.clone();
        self.tasks.spawn(async move {
            let limit = Arc::new(Semaphore::new(CONNECTIONS_MAX));
            while let Some((stream, address)) = this.next(|| listener.accept()).await {
                let Ok(permit) = Arc::clone(&limit).acquire_owned().await else {
                    return;
                };
                let (service, stop, tls) = (service.clone(), this.stop.clone(), tls.clone());
                let _ = stream.set_nodelay(true);
                this.tasks.spawn(async move {
                    match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                        Ok(Ok(stream)) => {
                            let peer = Peer::Network(address.ip().to_canonical());
                            service.serve(stream, peer, stop).await;
                        }
                        Ok(Err(error)) => {
                            tracing::debug!(error.detail = %error, "a TLS handshake failed");
                        }
                        Err(_) => tracing::debug!("a TLS handshake took too long"),
                    }
                    drop(permit);
                });
            }
        });
    }

    /// Takes connections of programs that were paired, and of those that are being paired, until the
    /// stop.
    pub(crate) fn accept_peers(
        &self,
        listener: TcpListener,
        tls: TlsAcceptor,
        server: Arc<RemoteServer>,
    ) {
        let this = self.clone();
        self.tasks.spawn(async move {
            let handshakes = Places::new(HANDSHAKES_OF_ADDRESS_MAX, HANDSHAKES_MAX);
            let room = Arc::new(Room {
                peers: Semaphore::new(CONNECTIONS_MAX),
                strangers: Semaphore::new(STRANGERS_MAX),
            });
            while let Some((stream, address)) = this.next(|| listener.accept()).await {
                // Who waits here would keep those out who do say something.
                let Some(turn) = handshakes.take(address.ip().to_canonical()) else {
                    tracing::debug!("too many handshakes at once");
                    continue;
                };
                let (server, stop, tls) = (Arc::clone(&server), this.stop.clone(), tls.clone());
                let room = Arc::clone(&room);
                let _ = stream.set_nodelay(true);
                this.tasks.spawn(async move {
                    let accepted =
                        tokio::time::timeout(PEER_HANDSHAKE_TIMEOUT, tls.accept(stream)).await;
                    drop(turn);
                    match accepted {
                        Ok(Ok(stream)) => serve_peer(stream, &room, server, stop).await,
                        Ok(Err(error)) => {
                            tracing::debug!(error.detail = %error, "a TLS handshake failed");
                        }
                        Err(_) => tracing::debug!("a TLS handshake took too long"),
                    }
                });
            }
        });
    }

    /// Takes local connections until the stop. Only the server's own user and root may come.
    pub(crate) fn accept_local(&self, listener: UnixListener, service: Service) {
        let this = self.clone();
        let own = rustix::process::geteuid().as_raw();
        self.tasks.spawn(async move {
            let limit = Arc::new(Semaphore::new(CONNECTIONS_MAX));
            while let Some((stream, _)) = this.next(|| listener.accept()).await {
                let Ok(permit) = Arc::clone(&limit).acquire_owned().await else {
                    return;
                };
                let uid = match stream.peer_cred() {
                    Ok(peer) if peer.uid() == own || peer.uid() == 0 => peer.uid(),
                    Ok(peer) => {
                        tracing::warn!(peer.uid = peer.uid(), "a foreign user was turned away");
                        continue;
                    }
                    Err(_) => continue,
                };
                let (service, stop) = (service.clone(), this.stop.clone());
                this.tasks.spawn(async move {
                    service
                        .serve(stream, Peer::LocalOperator { uid }, stop)
                        .await;
                    drop(permit);
                });
            }
        });
    }

    /// The next connection, or `None` at the stop. An error of one connection, or of a process
    /// without free descriptors, does not end the loop.
    async fn next<T, F>(&self, mut accept: impl FnMut() -> F) -> Option<T>
    where
        F: Future<Output = std::io::Result<T>>,
    {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return None,
                accepted = accept() => accepted,
            };
            match accepted {
                Ok(connection) => return Some(connection),
                Err(error) => {
                    tracing::warn!(error.detail = %error, "a connection could not be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Connections of programs that still may come.
struct Room {
    peers: Semaphore,
    strangers: Semaphore,
}

async fn serve_peer(
    stream: TlsStream<TcpStream>,
    room: &Room,
    server: Arc<RemoteServer>,
    stop: CancellationToken,
) {
    let (_, session) = stream.get_ref();
    let shown = session.peer_certificates().and_then(|chain| chain.first());
    let certificate = shown.map(|certificate| certificate.to_vec());
    let room = match certificate {
        Some(_) => &room.peers,
        None => &room.strangers,
    };
    let Ok(_permit) = room.try_acquire() else {
        return tracing::debug!("too many connections of programs");
    };
    server.serve_connection(stream, certificate, stop).await;
}
