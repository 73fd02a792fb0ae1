//! A small HTTP/1.1 client: one connection that is kept, bodies that are ready, no redirects, no
//! pool. What it costs is the same for every subject, and little beside what they do.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use anyhow::Context as _;
use http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of an unexpected answer is told.
const TOLD_CHARACTERS_MAX: usize = 300;

/// Where requests go, with what all of them share.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    address: SocketAddr,
    uri: Uri,
    headers: HeaderMap,
}

impl Endpoint {
    /// The resource `path` of the server at `address`.
    ///
    /// # Errors
    /// When `path` is none.
    pub(crate) fn new(address: SocketAddr, path: &str) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::try_from(address.to_string())?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Self {
            address,
            uri: path.parse()?,
            headers,
        })
    }

    /// Sends a header with every request.
    ///
    /// # Errors
    /// When `value` cannot stand in a header.
    pub(crate) fn with_header(mut self, name: &'static str, value: &str) -> anyhow::Result<Self> {
        self.headers.insert(name, HeaderValue::try_from(value)?);
        Ok(self)
    }

    /// A POST request.
    pub(crate) fn post(&self, body: String) -> Request<String> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// A GET request.
    pub(crate) fn get(&self) -> Request<String> {
        let mut request = self.post(String::new());
        *request.method_mut() = Method::GET;
        request
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Refuses every status but the one expected, telling what stood in the body.
    ///
    /// # Errors
    /// Status and beginning of the body.
    pub(crate) fn expect(self, status: StatusCode) -> anyhow::Result<Self> {
        if self.status == status {
            return Ok(self);
        }
        let text = String::from_utf8_lossy(&self.body);
        let told: String = text.chars().take(TOLD_CHARACTERS_MAX).collect();
        anyhow::bail!("status {}: {told}", self.status)
    }
}

/// A connection that is made when it is needed and kept as long as it lasts.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    sender: Option<SendRequest<String>>,
}

impl Connection {
    /// A connection to where `endpoint` is.
    pub(crate) const fn to(endpoint: &Endpoint) -> Self {
        Self {
            address: endpoint.address,
            sender: None,
        }
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// When the connection breaks or no answer comes in time.
    pub(crate) async fn send(&mut self, request: Request<String>) -> anyhow::Result<Answer> {
        // Taken out, so that a connection that broke in the middle is not used again.
        let mut sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => sender,
            _ => connect(self.address).await?,
        };
        let answering = async {
            sender.ready().await.context("waiting for the connection")?;
            let response = sender.send_request(request).await.context("asking")?;
            let status = response.status();
            let body = read(response.into_body()).await.context("reading")?;
            anyhow::Ok(Answer { status, body })
        };
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, answering)
            .await
            .context("no answer in time")??;
        self.sender = Some(sender);
        Ok(answer)
    }
}

async fn connect(address: SocketAddr) -> anyhow::Result<SendRequest<String>> {
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("connecting to {address}"))?;
    stream
        .set_nodelay(true)
        .context("preparing the connection")?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .context("opening the connection")?;
    // Ends with the sender; its error shows where the next request fails.
    tokio::spawn(connection);
    Ok(sender)
}

async fn read(mut body: Incoming) -> hyper::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|task| Pin::new(&mut body).poll_frame(task)).await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}
