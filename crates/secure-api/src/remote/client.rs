//! The side that gives commands: a [`SecureService`] whose work is done in another process.
//!
//! It keeps one connection and makes it anew when it broke. A command is repeated only where that
//! does no harm; else its outcome is unknown, which the caller settles with its idempotency key.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use clm_domain::clock::Clock;
use clm_domain::error::{ErrorKind, Fault};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use super::dial::Dial;
use super::server::busy;
use super::{
    CALL_PATH, COMMANDS_MAX, Call, NEWEST_HEADER, PAIR_PATH, PairRequest, REFUSED_HEADER,
    RENEW_PATH, RenewRequest, SERVER_NAME, TransportCertificate,
};
use crate::wire::{self, MESSAGE_BYTES_MAX, Versions, WireError};
use crate::{CallContext, Command, Reply, SecureError, SecureService};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a certificate may take.
const CERTIFICATE_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a silent server is asked whether it is there, and how long it may take to say so.
const PING_PERIOD: Duration = Duration::from_secs(10);
/// Most times that one command is sent.
const ATTEMPTS_MAX: u32 = 4;
/// Before the second attempt; doubles with each further one.
const PAUSE: Duration = Duration::from_millis(50);
/// What the server may send ahead on one reply, and on all, in bytes.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;

type Sender = SendRequest<Full<Bytes>>;

/// A Secure Service in another process.
pub struct RemoteSecure {
    dial: Arc<dyn Dial>,
    clock: Arc<dyn Clock>,
    versions: Versions,
    /// The version that the server at the other end of the connection reads.
    spoken: AtomicU8,
    connection: Mutex<Link>,
    commands: Semaphore,
}

/// The connection, and when it last could not be made.
#[derive(Default)]
struct Link {
    sender: Option<Sender>,
    failed_at: Option<Instant>,
}

/// Why an attempt has no reply.
enum Broken {
    /// Nothing left this process.
    NotSent,
    /// Something did, and nobody knows what became of it.
    Unknown,
    /// There is an answer: a fault of the transport itself.
    Answered(SecureError),
}

impl RemoteSecure {
    /// A client that connects when it is first needed.
    pub fn new(dial: Arc<dyn Dial>, clock: Arc<dyn Clock>) -> Self {
        Self {
            dial,
            clock,
            versions: wire::SUPPORTED,
            spoken: AtomicU8::new(wire::SUPPORTED.newest),
            connection: Mutex::default(),
            commands: Semaphore::new(COMMANDS_MAX),
        }
    }

    /// The same for a program of other versions.
    #[must_use]
    pub fn with_versions(mut self, versions: Versions) -> Self {
        self.versions = versions;
        self.spoken = AtomicU8::new(versions.newest);
        self
    }

    /// Turns a token into a first certificate.
    ///
    /// # Errors
    /// Those of the server; `Upstream` when it cannot be reached.
    pub async fn pair(&self, request: PairRequest) -> Result<TransportCertificate, SecureError> {
        self.certificate(PAIR_PATH, &request).await
    }

    /// Asks for the next certificate of this peer.
    ///
    /// # Errors
    /// Those of the server; `Upstream` when it cannot be reached.
    pub async fn renew(&self, request: RenewRequest) -> Result<TransportCertificate, SecureError> {
        self.certificate(RENEW_PATH, &request).await
    }

    /// Makes the next command connect anew, as with a new certificate. What is under way goes on.
    pub async fn reconnect(&self) {
        self.connection.lock().await.sender = None;
    }

    async fn certificate<T: Serialize + Sync>(
        &self,
        path: &'static str,
        request: &T,
    ) -> Result<TransportCertificate, SecureError> {
        let sent = AtomicBool::new(false);
        let asked = self.attempt(path, request, &sent);
        match tokio::time::timeout(CERTIFICATE_TIMEOUT, asked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(Broken::Answered(error))) => Err(error),
            Ok(Err(Broken::NotSent)) => Err(unreachable()),
            Ok(Err(Broken::Unknown)) | Err(_) => Err(outcome_unknown()),
        }
    }

    async fn command(&self, call: &mut Call, sent: &AtomicBool) -> Result<Reply, SecureError> {
        let repeatable = call.command.is_repeatable(&call.context);
        // Once an attempt may have been carried out, what a later one hears is about that one alone.
        let mut is_unknown = false;
        let mut pause = PAUSE;
        let mut attempts = 1;
        loop {
            let remaining = call.context.deadline - self.clock.now();
            let remaining = remaining.num_milliseconds();
            call.remaining_milliseconds = u64::try_from(remaining).unwrap_or_default();
            let broken = match self.attempt(CALL_PATH, call, sent).await {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(error)) | Err(Broken::Answered(error)) if is_unknown => {
                    tracing::warn!(error.code = %error.0.code,
                        "a command was refused that may have been carried out before");
                    return Err(outcome_unknown());
                }
                Ok(Err(error)) | Err(Broken::Answered(error)) => return Err(error),
                Err(broken) => broken,
            };
            let is_mutating = call.command.is_mutating();
            is_unknown |= is_mutating && matches!(broken, Broken::Unknown);
            let may_repeat = repeatable || matches!(broken, Broken::NotSent);
            if !may_repeat || attempts >= ATTEMPTS_MAX {
                return Err(match broken {
                    Broken::NotSent if !is_unknown => unreachable(),
                    _ => outcome_unknown(),
                });
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
            attempts += 1;
        }
    }

    /// Sends a message; once more when the server turns out to be of the version before.
    async fn attempt<T: Serialize + Sync, R: DeserializeOwned>(
        &self,
        path: &'static str,
        message: &T,
        sent: &AtomicBool,
    ) -> Result<Result<R, SecureError>, Broken> {
        let mut sender = self.sender().await.ok_or(Broken::NotSent)?;
        let spoken = self.spoken.load(Ordering::Relaxed);
        let (headers, body) = self
            .exchange(&mut sender, path, (spoken, message), sent)
            .await?;
        let Some(newest) = refused_version(&headers) else {
            return self.read(&body);
        };
        if newest >= spoken || !self.versions.accept(newest) {
            return Err(Broken::Answered(version_unsupported()));
        }
        self.spoken.store(newest, Ordering::Relaxed);
        let (headers, body) = self
            .exchange(&mut sender, path, (newest, message), sent)
            .await?;
        match refused_version(&headers) {
            None => self.read(&body),
            Some(_) => Err(Broken::Answered(version_unsupported())),
        }
    }

    async fn exchange<T: Serialize + Sync>(
        &self,
        sender: &mut Sender,
        path: &'static str,
        (version, message): (u8, &T),
        sent: &AtomicBool,
    ) -> Result<(HeaderMap, Bytes), Broken> {
        let body = wire::encode_as(version, message)
            .map_err(|error| Broken::Answered(contract_broken(&error.to_string())))?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("https://{SERVER_NAME}{path}"))
            .body(Full::from(body))
            .map_err(|error| Broken::Answered(contract_broken(&error.to_string())))?;
        sender.ready().await.map_err(|_| Broken::NotSent)?;
        sent.store(true, Ordering::Relaxed);
        let response = sender
            .try_send_request(request)
            .await
            .map_err(|mut error| {
                // What comes back never left.
                match error.take_message() {
                    Some(_) => Broken::NotSent,
                    None => Broken::Unknown,
                }
            })?;
        let (parts, body) = response.into_parts();
        let is_refusal = parts.headers.contains_key(REFUSED_HEADER);
        if !parts.status.is_success() && !is_refusal {
            let message = format!("the server answered with status {}", parts.status);
            return Err(Broken::Answered(contract_broken(&message)));
        }
        let body = Limited::new(body, MESSAGE_BYTES_MAX).collect().await;
        let body = body.map_err(|_| Broken::Unknown)?.to_bytes();
        Ok((parts.headers, body))
    }

    fn read<R: DeserializeOwned>(&self, body: &[u8]) -> Result<Result<R, SecureError>, Broken> {
        match wire::decode_any(self.versions, body) {
            Ok((_, answer)) => Ok(answer),
            Err(WireError::Version { .. }) => Err(Broken::Answered(version_unsupported())),
            Err(error) => Err(Broken::Answered(contract_broken(&error.to_string()))),
        }
    }

    /// The connection, made when there is none. Others who need it wait for the same one, and do not try
    /// again what has failed meanwhile: they would wait for each other's attempts.
    async fn sender(&self) -> Option<Sender> {
        let asked_at = Instant::now();
        let mut link = self.connection.lock().await;
        if let Some(sender) = link.sender.as_ref().filter(|sender| !sender.is_closed()) {
            return Some(sender.clone());
        }
        link.sender = None;
        if link.failed_at.is_some_and(|failed_at| failed_at > asked_at) {
            return None;
        }
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, self.connect()).await;
        let sender = match connected {
            Ok(Ok(sender)) => sender,
            Ok(Err(error)) => {
                tracing::debug!(error.detail = %error, "the Secure Service cannot be reached");
                link.failed_at = Some(Instant::now());
                return None;
            }
            Err(_) => {
                tracing::debug!("the Secure Service cannot be reached in time");
                link.failed_at = Some(Instant::now());
                return None;
            }
        };
        // It may be another program than before.
        self.spoken.store(self.versions.newest, Ordering::Relaxed);
        link.sender = Some(sender.clone());
        Some(sender)
    }

    async fn connect(&self) -> std::io::Result<Sender> {
        let stream = self.dial.dial().await?;
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(PING_PERIOD)
            .keep_alive_timeout(PING_PERIOD)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error.detail = %error, "the connection to the Secure Service ended");
            }
        });
        Ok(sender)
    }
}

#[async_trait]
impl SecureService for RemoteSecure {
    async fn call(&self, context: CallContext, command: Command) -> Result<Reply, SecureError> {
        let Ok(_permit) = self.commands.try_acquire() else {
            return Err(busy());
        };
        let remaining = context.deadline - self.clock.now();
        let Some(remaining) = remaining.to_std().ok().filter(|left| !left.is_zero()) else {
            let message = "The time for this command was over before it was sent. Nothing was \
                done; try again.";
            return Err(Fault::new(ErrorKind::Upstream, "deadline_passed", message).into());
        };
        let mut call = Call {
            remaining_milliseconds: 0,
            context,
            command,
        };
        let sent = AtomicBool::new(false);
        match tokio::time::timeout(remaining, self.command(&mut call, &sent)).await {
            Ok(outcome) => outcome,
            Err(_) if sent.load(Ordering::Relaxed) => Err(outcome_unknown()),
            Err(_) => Err(unreachable()),
        }
    }
}

/// The newest version that the server reads, when it did not read this one.
fn refused_version(headers: &HeaderMap) -> Option<u8> {
    headers.get(REFUSED_HEADER)?;
    let newest = headers.get(NEWEST_HEADER)?.to_str().ok()?;
    newest.parse().ok()
}

fn unreachable() -> SecureError {
    let message = "The Secure Service cannot be reached. Nothing was done; try again.";
    Fault::new(ErrorKind::Upstream, "secure_service_unavailable", message).into()
}

fn outcome_unknown() -> SecureError {
    let message = "The connection to the Secure Service broke, or the time was over, while the \
        command was under way. Repeat it with the same idempotency key: that settles it.";
    Fault::new(ErrorKind::Upstream, "outcome_unknown", message).into()
}

fn version_unsupported() -> SecureError {
    let message = "Core and Secure Service are more than one version of their contract apart. \
        Upgrade the older one.";
    Fault::new(ErrorKind::Upstream, "version_unsupported", message).into()
}

fn contract_broken(message: &str) -> SecureError {
    Fault::new(ErrorKind::Internal, "contract_broken", message).into()
}
