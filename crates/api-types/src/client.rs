//! A typed client of REST v1, over HTTP(S) or the local socket.

mod keys;
mod links;
mod master_key;
mod organizations;
mod roles;
mod second_factor;
mod step_up;
mod users;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::api_keys::{ApiKey, ApiKeyCreate, ApiKeyCreated, ApiKeyRotate};
use crate::certificate_authorities::{CertificateAuthority, CertificateAuthorityCreate};
use crate::certificate_requests::{
    CertificateRequest, CertificateRequestCreate, CertificateRequestCreated,
};
use crate::certificates::{Certificate, CertificateDetail, PrivateKeyExport, PrivateKeyExported};
use crate::health::Readiness;
use crate::page::{Page, PageQuery};
use crate::problem::Problem;
use crate::second_factor::StepUpRequest;
use crate::sessions::{Session, SessionCreate, SessionCreated, WhoAmI};
use crate::users::PasswordChange;
use crate::{
    BASE_PATH, CSRF_HEADER, IDEMPOTENCY_HEADER, ORGANIZATION_HEADER, SESSION_COOKIE, STEP_UP_HEADER,
};

pub use step_up::{AskStepUp, StepUpSecret};

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a request is tried when the server says that trying again may help.
const ATTEMPTS_MAX: u32 = 5;
/// The first pause between two attempts; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(500);

/// Who calls.
#[derive(Clone)]
pub enum Credential {
    /// Nobody: for signing in, and through the local socket.
    None,
    /// An API key.
    ApiKey(String),
    /// A session.
    Session {
        /// The value of the cookie.
        token: String,
        /// Accompanies changes.
        csrf_token: String,
    },
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server said no.
    #[error("{}", describe(.0))]
    Problem(Box<Problem>),
    /// The server cannot be reached, or the connection broke.
    #[error("the server at {address} cannot be reached: {message}")]
    Unreachable {
        /// Where the client tried.
        address: String,
        /// Why not.
        message: String,
    },
    /// The server is elsewhere and the address is not HTTPS.
    #[error("'{0}' would carry credentials in clear text: use its https:// address")]
    ClearText(String),
    /// The answer is not one that this client knows.
    #[error("the server gave an answer that this program does not understand: {0}")]
    Unexpected(String),
    /// The person could not be asked for a code or the password.
    #[error("this takes a code or the password, which cannot be read: {0}")]
    NotAsked(String),
}

fn describe(problem: &Problem) -> String {
    let mut text = problem.detail.clone();
    for error in problem.errors.iter().take(20) {
        if error.message != problem.detail || !error.field.is_empty() {
            text.push_str(&format!("\n  {}: {}", error.field, error.message));
        }
    }
    text
}

/// A client of one server.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    address: String,
    credential: Credential,
    organization: Option<String>,
    asks: Option<Arc<dyn AskStepUp>>,
}

/// A request as it is sent, perhaps again: the same bytes.
struct Outgoing<'a> {
    method: Method,
    path: &'a str,
    body: Option<Vec<u8>>,
    headers: &'a [(&'a str, &'a str)],
    /// What a step-up proof must be for, where that is not the request itself.
    step_up: Option<StepUpRequest>,
}

impl<'a> Outgoing<'a> {
    fn new<B: Serialize>(
        method: Method,
        path: &'a str,
        body: Option<&B>,
        headers: &'a [(&'a str, &'a str)],
    ) -> Result<Self, ClientError> {
        let body = body.map(serde_json::to_vec).transpose();
        Ok(Self {
            method,
            path,
            body: body.map_err(|error| ClientError::Unexpected(error.to_string()))?,
            headers,
            step_up: None,
        })
    }
}

/// How to reach a server.
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    /// Certificates to trust beside the usual ones, in PEM.
    pub root_certificates_pem: Option<Vec<u8>>,
}

impl Client {
    /// A client of the server at `url`.
    ///
    /// # Errors
    /// When the trusted certificates cannot be read.
    pub fn over_network(
        url: &str,
        credential: Credential,
        options: &ClientOptions,
    ) -> Result<Self, ClientError> {
        refuse_clear_text(url)?;
        let mut builder = builder();
        if let Some(pem) = &options.root_certificates_pem {
            let certificates = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|error| ClientError::Unexpected(error.to_string()))?;
            builder = builder.tls_certs_merge(certificates);
        }
        Self::build(builder, url.trim_end_matches('/'), url, credential)
    }

    /// A client of the server behind the local socket, as the local operator for `organization`.
    ///
    /// # Errors
    /// When the client cannot be made.
    pub fn over_socket(socket: &Path, organization: Option<String>) -> Result<Self, ClientError> {
        let path: PathBuf = socket.to_path_buf();
        let address = path.display().to_string();
        let builder = builder().unix_socket(path);
        let mut client = Self::build(builder, "http://localhost", &address, Credential::None)?;
        client.organization = organization;
        Ok(client)
    }

    fn build(
        builder: reqwest::ClientBuilder,
        base: &str,
        address: &str,
        credential: Credential,
    ) -> Result<Self, ClientError> {
        let http = builder
            .build()
            .map_err(|error| ClientError::Unexpected(error.to_string()))?;
        Ok(Self {
            http,
            base: base.to_owned(),
            address: address.to_owned(),
            credential,
            organization: None,
            asks: None,
        })
    }

    /// Signs in: the session, and the credential for further calls.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn sign_in(
        &self,
        request: &SessionCreate,
    ) -> Result<(SessionCreated, Credential), ClientError> {
        let response = self
            .send(Method::POST, "/sessions", Some(request), None)
            .await?;
        session_made(response).await
    }

    /// Ends the own session.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn sign_out(&self) -> Result<(), ClientError> {
        self.send(Method::DELETE, "/sessions/current", NO_BODY, None)
            .await
            .map(drop)
    }

    /// Ends one of the own sessions.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn end_session(&self, id: &str) -> Result<(), ClientError> {
        let path = format!("/sessions/{}", segment(id));
        self.send(Method::DELETE, &path, NO_BODY, None)
            .await
            .map(drop)
    }

    /// Own sessions.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_sessions(&self, page: &PageQuery) -> Result<Page<Session>, ClientError> {
        self.list("/sessions", page).await
    }

    /// Who the caller is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn who_am_i(&self) -> Result<WhoAmI, ClientError> {
        self.read("/whoami").await
    }

    /// Changes the own password.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn change_password(
        &self,
        change: &PasswordChange,
    ) -> Result<Credential, ClientError> {
        let path = "/users/me/password";
        let response = self.send(Method::POST, path, Some(change), None).await?;
        Ok(match &self.credential {
            Credential::Session { csrf_token, .. } => Credential::Session {
                token: session_token(&response)?,
                csrf_token: csrf_token.clone(),
            },
            other => other.clone(),
        })
    }

    /// Makes an API key.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_api_key(
        &self,
        request: &ApiKeyCreate,
    ) -> Result<ApiKeyCreated, ClientError> {
        read(
            self.send(Method::POST, "/api-keys", Some(request), None)
                .await?,
        )
        .await
    }

    /// API keys.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_api_keys(&self, page: &PageQuery) -> Result<Page<ApiKey>, ClientError> {
        self.list("/api-keys", page).await
    }

    /// Makes an API key in the place of another.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn rotate_api_key(
        &self,
        id: &str,
        request: &ApiKeyRotate,
    ) -> Result<ApiKeyCreated, ClientError> {
        let path = format!("/api-keys/{}/rotate", segment(id));
        read(self.send(Method::POST, &path, Some(request), None).await?).await
    }

    /// Revokes an API key.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn revoke_api_key(&self, id: &str) -> Result<(), ClientError> {
        self.send(
            Method::DELETE,
            &format!("/api-keys/{}", segment(id)),
            NO_BODY,
            None,
        )
        .await
        .map(drop)
    }

    /// Creates a certificate authority.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn create_certificate_authority(
        &self,
        request: &CertificateAuthorityCreate,
        idempotency_key: &str,
    ) -> Result<CertificateAuthority, ClientError> {
        let step_up = StepUpRequest::CreateCertificateAuthority {
            certificate_authority: Box::new(request.clone()),
        };
        let headers = [(IDEMPOTENCY_HEADER, idempotency_key)];
        let path = "/certificate-authorities";
        let mut outgoing = Outgoing::new(Method::POST, path, Some(request), &headers)?;
        outgoing.step_up = Some(step_up);
        self.create_with(&outgoing).await
    }

    /// Certificate authorities.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_certificate_authorities(
        &self,
        page: &PageQuery,
    ) -> Result<Page<CertificateAuthority>, ClientError> {
        self.list("/certificate-authorities", page).await
    }

    /// One certificate authority.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn load_certificate_authority(
        &self,
        id: &str,
    ) -> Result<CertificateAuthority, ClientError> {
        self.read(&format!("/certificate-authorities/{}", segment(id)))
            .await
    }

    /// Asks for a certificate. Repeats on retriable answers: the key makes that safe.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn request_certificate(
        &self,
        request: &CertificateRequestCreate,
        idempotency_key: &str,
    ) -> Result<CertificateRequestCreated, ClientError> {
        self.create("/certificate-requests", request, idempotency_key)
            .await
    }

    /// Certificate requests.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_certificate_requests(
        &self,
        page: &PageQuery,
    ) -> Result<Page<CertificateRequest>, ClientError> {
        self.list("/certificate-requests", page).await
    }

    /// Certificates.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn list_certificates(
        &self,
        page: &PageQuery,
    ) -> Result<Page<Certificate>, ClientError> {
        self.list("/certificates", page).await
    }

    /// One certificate with its chain.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn load_certificate(&self, id: &str) -> Result<CertificateDetail, ClientError> {
        self.read(&format!("/certificates/{}", segment(id))).await
    }

    /// The private key of a certificate, encrypted under a passphrase.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn export_private_key(
        &self,
        id: &str,
        request: &PrivateKeyExport,
    ) -> Result<PrivateKeyExported, ClientError> {
        let path = format!("/certificates/{}/private-key-export", segment(id));
        let mut outgoing = Outgoing::new(Method::POST, &path, Some(request), &[])?;
        outgoing.step_up = Uuid::parse_str(id)
            .ok()
            .map(|certificate_id| StepUpRequest::ExportPrivateKey { certificate_id });
        read(self.send_outgoing(&outgoing).await?).await
    }

    /// Whether the server is ready.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn readiness(&self) -> Result<Readiness, ClientError> {
        let response = self
            .http
            .get(format!("{}/readyz", self.base))
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        read(response).await
    }

    async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        page: &PageQuery,
    ) -> Result<Page<T>, ClientError> {
        let mut query = Vec::new();
        if let Some(limit) = page.limit {
            query.push(format!("limit={limit}"));
        }
        if let Some(cursor) = &page.cursor {
            query.push(format!("cursor={}", segment(cursor)));
        }
        self.read(&format!("{path}?{}", query.join("&"))).await
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        read(self.send(Method::GET, path, NO_BODY, None).await?).await
    }

    async fn create<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        idempotency_key: &str,
    ) -> Result<T, ClientError> {
        let headers = [(IDEMPOTENCY_HEADER, idempotency_key)];
        let outgoing = Outgoing::new(Method::POST, path, Some(body), &headers)?;
        self.create_with(&outgoing).await
    }

    async fn create_with<T: DeserializeOwned>(
        &self,
        outgoing: &Outgoing<'_>,
    ) -> Result<T, ClientError> {
        let mut attempt = 1;
        loop {
            let answered = match self.send_outgoing(outgoing).await {
                Ok(response) => read(response).await,
                Err(error) => Err(error),
            };
            match answered {
                Err(error) if attempt < ATTEMPTS_MAX && is_retriable(&error) => {
                    tokio::time::sleep(pause(attempt)).await;
                    attempt += 1;
                }
                settled => return settled,
            }
        }
    }

    async fn send<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
        idempotency_key: Option<&str>,
    ) -> Result<Response, ClientError> {
        let key = idempotency_key.map(|key| (IDEMPOTENCY_HEADER, key));
        self.send_with(method, path, body, key.as_slice()).await
    }

    async fn send_with<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
        headers: &[(&str, &str)],
    ) -> Result<Response, ClientError> {
        self.send_outgoing(&Outgoing::new(method, path, body, headers)?)
            .await
    }

    /// Sends a request, and again with a proof when the server wants one and the person gives it.
    async fn send_outgoing(&self, outgoing: &Outgoing<'_>) -> Result<Response, ClientError> {
        let refused = match self.send_once(outgoing, None).await {
            Err(ClientError::Problem(problem)) if problem.code == "step_up_required" => problem,
            answered => return answered,
        };
        match self.prove(outgoing).await? {
            Some(proof) => self.send_once(outgoing, Some(&proof.proof)).await,
            None => Err(ClientError::Problem(refused)),
        }
    }

    async fn send_once(
        &self,
        outgoing: &Outgoing<'_>,
        proof: Option<&str>,
    ) -> Result<Response, ClientError> {
        let address = format!("{}{BASE_PATH}{}", self.base, outgoing.path);
        let mut request = self.http.request(outgoing.method.clone(), address);
        match &self.credential {
            Credential::None => {}
            Credential::ApiKey(secret) => request = request.bearer_auth(secret),
            Credential::Session { token, csrf_token } => {
                request = request.header("cookie", format!("{SESSION_COOKIE}={token}"));
                if outgoing.method != Method::GET {
                    request = request.header(CSRF_HEADER, csrf_token);
                }
            }
        }
        if let Some(organization) = &self.organization {
            request = request.header(ORGANIZATION_HEADER, organization);
        }
        for (name, value) in outgoing.headers {
            request = request.header(*name, *value);
        }
        if let Some(proof) = proof {
            request = request.header(STEP_UP_HEADER, proof);
        }
        if let Some(body) = &outgoing.body {
            request = request
                .header("content-type", "application/json")
                .body(body.clone());
        }
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(problem(response).await)
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        let mut message = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            message = inner.to_string();
            source = inner.source();
        }
        ClientError::Unreachable {
            address: self.address.clone(),
            message,
        }
    }
}

/// No request body.
const NO_BODY: Option<&()> = None;

/// Credentials travel over TLS, or stay on this machine.
fn refuse_clear_text(url: &str) -> Result<(), ClientError> {
    let parsed = reqwest::Url::parse(url)
        .map_err(|error| ClientError::Unexpected(format!("'{url}' is no URL: {error}")))?;
    let is_loopback = parsed.host_str().is_some_and(|host| {
        let host = host.trim_matches(['[', ']']);
        host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    });
    if parsed.scheme() == "https" || (parsed.scheme() == "http" && is_loopback) {
        return Ok(());
    }
    Err(ClientError::ClearText(url.to_owned()))
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .timeout(REQUEST_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("clm/", env!("CARGO_PKG_VERSION")))
}

/// Escapes what a person typed into one segment of a path.
fn segment(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// A session that an answer made, and the credential for further calls.
async fn session_made(response: Response) -> Result<(SessionCreated, Credential), ClientError> {
    let token = session_token(&response)?;
    let created: SessionCreated = read(response).await?;
    let csrf_token = created.csrf_token.clone();
    Ok((created, Credential::Session { token, csrf_token }))
}

/// The token of a session that an answer sets.
fn session_token(response: &Response) -> Result<String, ClientError> {
    response
        .headers()
        .get_all("set-cookie")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .filter_map(|value| value.split(';').next()?.split_once('='))
        .find(|(name, _)| *name == SESSION_COOKIE)
        .map(|(_, token)| token.to_owned())
        .ok_or_else(|| ClientError::Unexpected("no session cookie".to_owned()))
}

fn is_retriable(error: &ClientError) -> bool {
    match error {
        ClientError::Problem(problem) => {
            // People have to come before a seal opens: that takes longer than a few attempts.
            (matches!(problem.status, 429 | 503) && problem.code != "sealed")
                || problem.code == "idempotency_in_flight"
        }
        ClientError::Unreachable { .. } => true,
        ClientError::ClearText(_) | ClientError::Unexpected(_) | ClientError::NotAsked(_) => false,
    }
}

fn pause(attempt: u32) -> Duration {
    PAUSE_FIRST * 2_u32.pow(attempt.clamp(1, 5) - 1)
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, ClientError> {
    let address = response.url().to_string();
    response.json().await.map_err(|error| {
        let message = error.to_string();
        if error.is_decode() {
            ClientError::Unexpected(message)
        } else {
            // The answer broke off: its request is safe to repeat with the same key.
            ClientError::Unreachable { address, message }
        }
    })
}

async fn problem(response: Response) -> ClientError {
    let status = response.status();
    match response.json::<Problem>().await {
        Ok(problem) => ClientError::Problem(Box::new(problem)),
        Err(_) if status == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            ClientError::Unexpected("the request's head is too large".to_owned())
        }
        Err(_) => ClientError::Unexpected(format!("status {status} without a problem document")),
    }
}
