//! Serving one connection: HTTP/1 and HTTP/2 over TCP, TLS or the local socket, with limits.

mod refusals;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use clm_api::peer::Peer;
use clm_api::problem;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use refusals::Refusals;

/// How long a client may take until its first request has come, in either protocol.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may rest between two requests, and how long a further head may take.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// How long a client may take to read what is left for it when its connection is given up.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest head of a request in HTTP/1, in bytes.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Most header fields of a request.
const HEADERS_MAX: usize = 100;
/// Largest header section that HTTP/2 decodes, in bytes.
const HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;
/// Most requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 100;
/// Longest head with all its fields that is accepted, in bytes.
const HEADER_FIELDS_BYTES_MAX: usize = 32 * 1024;

/// What a listener is for, which decides what its connections may do.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Plain HTTP: everything from loopback, else only health.
    Plain {
        /// Names that the `Host` header may carry.
        hosts: Arc<Vec<String>>,
    },
    /// HTTPS.
    Tls,
    /// `clm.sock`.
    Local,
}

/// What connections share.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) router: Router,
    pub(crate) kind: Kind,
    pub(crate) trusted_proxies: Arc<Vec<IpAddr>>,
}

impl Service {
    /// Serves one connection until it ends, or until `stop` and its current request.
    pub(crate) async fn serve<I>(self, io: I, peer: Peer, stop: CancellationToken)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (running, watched) = watch::channel(0);
        let running = Arc::new(running);
        let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
            let service = self.clone();
            let running = Running::start(&running);
            async move {
                let response = service.answer(request, peer).await;
                drop(running);
                Ok::<_, std::convert::Infallible>(response)
            }
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE_TIMEOUT)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEADER_BYTES_MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADER_LIST_BYTES_MAX)
            .keep_alive_interval(Duration::from_secs(30));
        let connection = builder.serve_connection(TokioIo::new(Refusals::new(io)), service);
        let mut connection = std::pin::pin!(connection);
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = rested(watched, HEADER_TIMEOUT, IDLE_TIMEOUT) => {
                connection.as_mut().graceful_shutdown();
                let farewell = tokio::time::timeout(FAREWELL_TIMEOUT, connection);
                farewell.await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(error.detail = %error, "a connection ended early");
        }
    }

    async fn answer(&self, request: Request<hyper::body::Incoming>, peer: Peer) -> Response {
        let mut request = request.map(Body::new);
        if let Some(refusal) = self.refuse(&request, peer) {
            return refusal;
        }
        let peer = self.behind_proxy(&request, peer);
        request.extensions_mut().insert(peer);
        match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Says no to what must not reach the router.
    fn refuse(&self, request: &Request<Body>, peer: Peer) -> Option<Response> {
        let headers = request.headers();
        let bytes: usize = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        if headers.len() > HEADERS_MAX || bytes > HEADER_FIELDS_BYTES_MAX {
            let detail = format!(
                "The request has {} header fields of {bytes} bytes; at most {HEADERS_MAX} and \
                 {HEADER_FIELDS_BYTES_MAX} are accepted.",
                headers.len()
            );
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            let problem = problem::of_status(status, "headers_too_large", &detail)
                .with_field("headers", &detail);
            return Some(problem.into_response());
        }
        let Kind::Plain { hosts } = &self.kind else {
            return None;
        };
        let is_health = matches!(request.uri().path(), "/healthz" | "/readyz");
        let is_loopback =
            matches!(peer, Peer::Network(address) if address.to_canonical().is_loopback());
        if !is_loopback && !is_health {
            let detail = "Plain HTTP is for this machine only. Use the HTTPS address.";
            let status = StatusCode::FORBIDDEN;
            return Some(problem::of_status(status, "https_required", detail).into_response());
        }
        // A page of another site must not reach us under a name of its own (DNS rebinding).
        let host = request
            .uri()
            .host()
            .or_else(|| {
                headers
                    .get(header::HOST)
                    .and_then(|value| value.to_str().ok())
            })
            .map(host_name)
            .unwrap_or_default();
        if is_health || hosts.iter().any(|known| known.eq_ignore_ascii_case(host)) {
            return None;
        }
        let detail = "The Host header names none of this server's own names.";
        let status = StatusCode::MISDIRECTED_REQUEST;
        Some(
            problem::of_status(status, "host_unknown", detail)
                .with_field("host", detail)
                .into_response(),
        )
    }

    /// The client behind a trusted proxy: the last address that no trusted proxy added.
    fn behind_proxy(&self, request: &Request<Body>, peer: Peer) -> Peer {
        let Peer::Network(mut address) = peer else {
            return peer;
        };
        let forwarded = request
            .headers()
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|text| text.trim().parse::<IpAddr>());
        for hop in forwarded.rev() {
            if !self.trusted_proxies.contains(&address) {
                break;
            }
            let Ok(hop) = hop else { break };
            address = hop.to_canonical();
        }
        Peer::Network(address)
    }
}

/// A request under way, counted as long as it lives.
struct Running(Arc<watch::Sender<usize>>);

impl Running {
    fn start(running: &Arc<watch::Sender<usize>>) -> Self {
        running.send_modify(|count| *count = count.saturating_add(1));
        Self(Arc::clone(running))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// Ends when no request came for `first` at the beginning, or for `between` after another one. The
/// protocols' own timers do not tell: none of them runs before the version is known, and HTTP/2 has
/// none at all.
async fn rested(mut running: watch::Receiver<usize>, first: Duration, between: Duration) {
    let mut patience = first;
    loop {
        let is_idle = *running.borrow_and_update() == 0;
        let changed = running.changed();
        let outcome = if is_idle {
            match tokio::time::timeout(patience, changed).await {
                Ok(outcome) => outcome,
                Err(_) => return,
            }
        } else {
            changed.await
        };
        if outcome.is_err() {
            return;
        }
        patience = between;
    }
}

/// The name in a `Host` header, without its port.
fn host_name(host: &str) -> &str {
    if host.starts_with('[') {
        return host
            .split_once(']')
            .map_or(host, |(name, _)| name.trim_start_matches('['));
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests;
