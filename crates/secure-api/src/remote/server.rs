//! The side that carries commands out: one connection at a time comes in through
//! [`RemoteServer::serve_connection`].
//!
//! What a peer may do is decided by its certificate. A command that has begun runs to its end in a
//! task of its own, whoever goes away meanwhile.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::TimeDelta;
use clm_domain::actor::Actor;
use clm_domain::clock::Clock;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::TransportPeerId;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::places::Places;
use super::{
    CALL_BYTES_MAX, CALL_PATH, COMMANDS_MAX, Call, Gate, HEALTH_PATH, NEWEST_HEADER, OLDEST_HEADER,
    PAIR_BYTES_MAX, PAIR_PATH, Peer, REFUSED_HEADER, RENEW_PATH, TransportCertificate, UnknownCall,
    VERSION_UNSUPPORTED,
};
use crate::wire::{self, Versions, WireError};
use crate::{Reply, SecureError, SecureService};

/// How long the body of a request may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is asked whether the peer of a connection is still heard.
const LOOK_PERIOD: Duration = Duration::from_secs(60);
/// How long somebody without a certificate may stay.
const STRANGER_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest time that a caller can give a command.
const DEADLINE_MAX: Duration = Duration::from_secs(300);
/// Most connections of one peer: the one in use, those that end, those of commands beside the server; and
/// of all.
const PEER_CONNECTIONS_MAX: usize = 16;
const CONNECTIONS_MAX: usize = 1_024;
/// Tokens that are looked at at once.
const PAIRINGS_MAX: usize = 4;
/// How long a token waits until it is looked at.
const PAIRING_TURN_TIMEOUT: Duration = Duration::from_secs(5);
/// Commands at once on one connection.
const STREAMS_MAX: u32 = 512;
/// Bodies that are read at once, of all peers, in KiB: commands are bounded by their number, but only
/// once they are read.
const ROOM_KIB: usize = 64 * 1024;
/// The same for somebody without a certificate.
const STRANGER_STREAMS_MAX: u32 = 2;
/// Largest header section, in bytes.
const HEADER_LIST_BYTES_MAX: u32 = 16 * 1024;
/// What a peer may send ahead on one request, and on one connection, in bytes.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// How often a silent peer is asked whether it is there, and how long it may take to say so.
const PING_PERIOD: Duration = Duration::from_secs(20);

/// Offers a Secure Service to other processes.
pub struct RemoteServer {
    service: Arc<dyn SecureService>,
    gate: Arc<dyn Gate>,
    clock: Arc<dyn Clock>,
    versions: Versions,
    commands: Arc<Semaphore>,
    /// Tokens that are looked at: they need the database, and anybody can send one.
    pairings: Arc<Semaphore>,
    /// Room for bodies that are read, in KiB.
    room: Arc<Semaphore>,
    /// Connections of peers: one is what a core uses.
    peers: Places<TransportPeerId>,
    tasks: TaskTracker,
}

/// Why a request is not carried out.
enum Refusal {
    /// A message that cannot be understood; this is the answer, in the encoding of the contract.
    Answer(Box<Response<Full<Bytes>>>),
    /// Neither path nor method, or a body that is too long or too slow.
    Status(StatusCode),
    /// A version that is not read.
    Version(u8),
}

type Answer = Result<Response<Full<Bytes>>, Refusal>;

impl RemoteServer {
    /// A server that reads the versions of this program.
    pub fn new(
        service: Arc<dyn SecureService>,
        gate: Arc<dyn Gate>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            service,
            gate,
            clock,
            versions: wire::SUPPORTED,
            commands: Arc::new(Semaphore::new(COMMANDS_MAX)),
            pairings: Arc::new(Semaphore::new(PAIRINGS_MAX)),
            room: Arc::new(Semaphore::new(ROOM_KIB)),
            peers: Places::new(PEER_CONNECTIONS_MAX, CONNECTIONS_MAX),
            tasks: TaskTracker::new(),
        }
    }

    /// The same for a program of other versions.
    #[must_use]
    pub const fn with_versions(mut self, versions: Versions) -> Self {
        self.versions = versions;
        self
    }

    /// The same with another bound on commands under way.
    #[must_use]
    pub fn with_commands_max(mut self, commands_max: usize) -> Self {
        self.commands = Arc::new(Semaphore::new(commands_max));
        self
    }

    /// Waits until every command that has begun has ended.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Serves one connection until it ends, or until `stop` and the requests under way.
    /// `certificate` is what TLS verified, DER.
    pub async fn serve_connection<I>(
        self: Arc<Self>,
        io: I,
        certificate: Option<Vec<u8>>,
        stop: CancellationToken,
    ) where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let certificate: Option<Arc<[u8]>> = certificate.map(Into::into);
        let found = match &certificate {
            None => None,
            Some(certificate) => Some(self.gate.identify(certificate).await),
        };
        // One that was revoked hears why, and has no more room than somebody without a certificate.
        let is_stranger = match &found {
            None => true,
            Some(found) => is_turned_away(found),
        };
        let _place = match found {
            Some(Ok(peer)) => match self.peers.take(peer.id) {
                Some(place) => Some(place),
                None => {
                    tracing::warn!(
                        transport_peer.name = peer.name,
                        "a peer has too many connections"
                    );
                    return;
                }
            },
            _ => None,
        };
        let heard = Arc::clone(&self).is_heard(certificate.clone());
        let service = hyper::service::service_fn(move |request| {
            let (server, certificate) = (Arc::clone(&self), certificate.clone());
            async move { Ok::<_, Infallible>(server.answer(request, certificate.as_deref()).await) }
        });
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(if is_stranger {
                STRANGER_STREAMS_MAX
            } else {
                STREAMS_MAX
            })
            .max_header_list_size(HEADER_LIST_BYTES_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(PING_PERIOD)
            .keep_alive_timeout(PING_PERIOD);
        let connection = builder.serve_connection(TokioIo::new(io), service);
        let mut connection = std::pin::pin!(connection);
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = heard => {
                connection.as_mut().graceful_shutdown();
                // No longer than somebody without a certificate: it may never end by itself.
                let farewell = tokio::time::timeout(STRANGER_TIMEOUT, connection);
                farewell.await.unwrap_or(Ok(()))
            }
            () = tokio::time::sleep(STRANGER_TIMEOUT), if is_stranger => return,
        };
        if let Err(error) = outcome {
            tracing::debug!(error.detail = %error, "a connection of a peer ended early");
        }
    }

    /// Waits as long as the peer of a connection is heard, which is asked from time to time: one that
    /// was revoked must not keep connections that others need.
    async fn is_heard(self: Arc<Self>, certificate: Option<Arc<[u8]>>) {
        let Some(certificate) = certificate else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(LOOK_PERIOD).await;
            if is_turned_away(&self.gate.identify(&certificate).await) {
                return;
            }
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        certificate: Option<&[u8]>,
    ) -> Response<Full<Bytes>> {
        let outcome = match (request.method(), request.uri().path()) {
            (&Method::GET, HEALTH_PATH) => Ok(Response::new(Full::from("alive\n"))),
            (&Method::POST, PAIR_PATH) => self.pair(request).await,
            (&Method::POST, CALL_PATH) => self.call(request, certificate).await,
            (&Method::POST, RENEW_PATH) => self.renew(request, certificate).await,
            _ => Err(Refusal::Status(StatusCode::NOT_FOUND)),
        };
        outcome.unwrap_or_else(|refusal| self.refuse(refusal))
    }

    async fn pair(&self, request: Request<Incoming>) -> Answer {
        let body = read(request, PAIR_BYTES_MAX).await?;
        let (version, request) = self.decode(&body)?;
        // Whoever comes with others waits for a turn: strangers are few, and none of them stays long.
        let turn = Arc::clone(&self.pairings).acquire_owned();
        let Ok(Ok(permit)) = tokio::time::timeout(PAIRING_TURN_TIMEOUT, turn).await else {
            return encoded(version, &Err::<TransportCertificate, _>(busy()));
        };
        let gate = Arc::clone(&self.gate);
        // To its end, whoever goes away: else a refusal would not be recorded.
        let pairing = self.tasks.spawn(async move {
            let paired = gate.pair(request).await;
            drop(permit);
            paired
        });
        encoded(
            version,
            &pairing.await.unwrap_or_else(|error| Err(lost(&error))),
        )
    }

    async fn renew(&self, request: Request<Incoming>, certificate: Option<&[u8]>) -> Answer {
        let (body, _room) = self.read(request, certificate, PAIR_BYTES_MAX).await?;
        let (version, request) = self.decode(&body)?;
        let renewed = match self.identify(certificate).await {
            Ok(peer) => self.gate.renew(&peer, request).await,
            Err(error) => Err(error),
        };
        encoded(version, &renewed)
    }

    async fn call(&self, request: Request<Incoming>, certificate: Option<&[u8]>) -> Answer {
        let (body, _room) = self.read(request, certificate, CALL_BYTES_MAX).await?;
        let (version, call) = self.decode::<Call>(&body)?;
        let outcome = match self.identify(certificate).await {
            Ok(peer) => self.carry_out(&peer, call).await,
            Err(error) => Err(error),
        };
        encoded(version, &outcome)
    }

    /// Reads what a program with a certificate sends, where there is room for it.
    async fn read(
        &self,
        request: Request<Incoming>,
        certificate: Option<&[u8]>,
        bytes_max: usize,
    ) -> Result<(Bytes, OwnedSemaphorePermit), Refusal> {
        if certificate.is_none() {
            return Err(self.refused(certificate_required())?);
        }
        let announced = hyper::body::Body::size_hint(request.body()).exact();
        let bytes = announced.and_then(|bytes| usize::try_from(bytes).ok());
        let kib = bytes
            .unwrap_or(bytes_max)
            .min(bytes_max)
            .div_ceil(1024)
            .max(1);
        let room = Arc::clone(&self.room).try_acquire_many_owned(u32::try_from(kib).unwrap_or(1));
        match room {
            Ok(room) => Ok((read(request, bytes_max).await?, room)),
            Err(_) => Err(self.refused(busy())?),
        }
    }

    /// The answer to what was not read: its version is not known.
    fn refused(&self, error: SecureError) -> Result<Refusal, Refusal> {
        let answer: Result<(), SecureError> = Err(error);
        Ok(Refusal::Answer(Box::new(encoded(
            self.versions.newest,
            &answer,
        )?)))
    }

    async fn identify(&self, certificate: Option<&[u8]>) -> Result<Peer, SecureError> {
        match certificate {
            Some(certificate) => self.gate.identify(certificate).await,
            None => Err(certificate_required()),
        }
    }

    async fn carry_out(&self, peer: &Peer, call: Call) -> Result<Reply, SecureError> {
        let Call {
            remaining_milliseconds,
            mut context,
            command,
        } = call;
        // A local operator is one on the peer's machine, which is not the one with the master key.
        let is_elsewhere = matches!(context.actor, Actor::LocalOperator { .. });
        if context.caller != peer.caller
            || (is_elsewhere && command.trusts_local_operator())
            || command.belongs_to_its_host()
        {
            let (gate, peer) = (Arc::clone(&self.gate), peer.clone());
            let refusing = async move { gate.refuse(&peer, &context, &command).await };
            let refused = self.tasks.spawn(refusing).await;
            return Err(refused.unwrap_or_else(|error| lost(&error)));
        }
        let Ok(permit) = Arc::clone(&self.commands).try_acquire_owned() else {
            tracing::debug!("a command was turned away: too many are under way");
            return Err(busy());
        };
        let remaining = Duration::from_millis(remaining_milliseconds).min(DEADLINE_MAX);
        let remaining = TimeDelta::from_std(remaining).unwrap_or_default();
        context.deadline = self.clock.now() + remaining;
        let service = Arc::clone(&self.service);
        let running = self.tasks.spawn(async move {
            let outcome = service.call(context, command).await;
            drop(permit);
            outcome
        });
        running.await.unwrap_or_else(|error| Err(lost(&error)))
    }

    /// The message, or the answer to one that cannot be understood.
    fn decode<T: DeserializeOwned>(&self, body: &[u8]) -> Result<(u8, T), Refusal> {
        match wire::decode_any(self.versions, body) {
            Ok(read) => return Ok(read),
            Err(WireError::Version { found, .. }) => return Err(Refusal::Version(found)),
            Err(_) => {}
        }
        let version = body.first().copied().unwrap_or(self.versions.newest);
        let unknown = wire::decode_any::<UnknownCall>(self.versions, body);
        let fault = match unknown {
            Ok((_, call)) if !crate::Command::is_known(&call.command.command) => {
                let message = "This Secure Service does not know the command; it is older than \
                    its caller. Upgrade it.";
                Fault::new(ErrorKind::Invalid, "command_unknown", message)
            }
            // The decoder's own words may repeat what stands in the message.
            _ => {
                let message = "The message is not one of this version of the contract.";
                Fault::new(ErrorKind::Invalid, "message_invalid", message)
            }
        };
        tracing::warn!(fault.code = %fault.code, "a message of a peer was not understood");
        let answer: Result<(), SecureError> = Err(fault.into());
        Err(Refusal::Answer(Box::new(encoded(version, &answer)?)))
    }

    fn refuse(&self, refusal: Refusal) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        match refusal {
            Refusal::Answer(answer) => response = *answer,
            Refusal::Status(status) => *response.status_mut() = status,
            Refusal::Version(found) => {
                tracing::warn!(
                    message.version = found,
                    "a peer speaks a version of the contract that is not read here"
                );
                *response.status_mut() = StatusCode::BAD_REQUEST;
                let headers = response.headers_mut();
                let refused = http::HeaderValue::from_static(VERSION_UNSUPPORTED);
                headers.insert(REFUSED_HEADER, refused);
                headers.insert(OLDEST_HEADER, u16::from(self.versions.oldest).into());
                headers.insert(NEWEST_HEADER, u16::from(self.versions.newest).into());
            }
        }
        response
    }
}

fn is_turned_away(found: &Result<Peer, SecureError>) -> bool {
    let error = found.as_ref().err();
    error.is_some_and(|error| error.0.kind == ErrorKind::Unauthenticated)
}

fn lost(error: &tokio::task::JoinError) -> SecureError {
    tracing::error!(error.detail = %error, "a command ended without an outcome");
    let message = "The Secure Service failed for a reason of its own; its log says why.";
    Fault::new(ErrorKind::Internal, "internal", message).into()
}

fn certificate_required() -> SecureError {
    let message =
        "Commands are taken from peers with a certificate alone. Pair this program first.";
    let kind = ErrorKind::Unauthenticated;
    Fault::new(kind, "certificate_required", message).into()
}

/// More is asked than can be done.
pub(super) fn busy() -> SecureError {
    let message = "Too many commands are under way at the Secure Service. Nothing was done; try \
        again.";
    Fault::new(ErrorKind::Upstream, "secure_service_busy", message).into()
}

async fn read(request: Request<Incoming>, bytes_max: usize) -> Result<Bytes, Refusal> {
    let body = Limited::new(request.into_body(), bytes_max).collect();
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => Err(Refusal::Status(StatusCode::PAYLOAD_TOO_LARGE)),
        Err(_) => Err(Refusal::Status(StatusCode::REQUEST_TIMEOUT)),
    }
}

fn encoded<T: Serialize>(version: u8, answer: &Result<T, SecureError>) -> Answer {
    let bytes = wire::encode_as(version, answer).map_err(|error| {
        tracing::error!(error.detail = %error, "an answer cannot be encoded");
        Refusal::Status(StatusCode::INTERNAL_SERVER_ERROR)
    })?;
    Ok(Response::new(Full::from(bytes)))
}
