//! REST calls as any client could make them: nothing is added that the test does not name.

use std::net::IpAddr;

use clm_api_types::{
    CSRF_HEADER, ORGANIZATION_HEADER, REQUEST_ID_HEADER, SESSION_COOKIE, STEP_UP_HEADER,
};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::Program;

/// What every call says about itself, so that the audit log can be asked for it.
pub const USER_AGENT: &str = "clm-tests/1 (whole application)";

/// The REST interface of a running program.
#[derive(Clone, Debug)]
pub struct Rest {
    http: reqwest::Client,
    url: String,
}

/// Header fields by which a caller proves who it is, good or bad.
pub type Credential = Vec<(&'static str, String)>;

/// Nobody.
pub const NOBODY: Credential = Vec::new();

/// An API key, or something in its place.
pub fn bearer(secret: &str) -> Credential {
    vec![("authorization", format!("Bearer {secret}"))]
}

/// The operator of the machine acts for this organization; through the local socket.
pub fn operator_of(organization: &str) -> Credential {
    vec![(ORGANIZATION_HEADER, organization.to_owned())]
}

/// A session, or something in its place, without proof that its page made the request.
pub fn cookie(token: &str) -> Credential {
    vec![("cookie", format!("{SESSION_COOKIE}={token}"))]
}

/// A session that was just made.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The session.
    pub session_id: Uuid,
    /// The value of the cookie.
    pub token: String,
    /// Accompanies changes.
    pub csrf_token: String,
}

impl SignedIn {
    /// The session with its CSRF token.
    pub fn credential(&self) -> Credential {
        let mut credential = cookie(&self.token);
        credential.push((CSRF_HEADER, self.csrf_token.clone()));
        credential
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Value>,
}

impl Call {
    /// A request without credential and body.
    ///
    /// # Panics
    /// When the method is none.
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.parse().expect("the method is one"),
            path: path.to_owned(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// The same request by somebody.
    #[must_use]
    pub fn by(mut self, credential: &Credential) -> Self {
        self.headers.extend(credential.iter().cloned());
        self
    }

    /// The same request with a header field.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The same request with a JSON body.
    #[must_use]
    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// The same request with a JSON body, where there is one.
    #[must_use]
    pub fn maybe_body(mut self, body: Option<Value>) -> Self {
        self.body = body;
        self
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body as it came.
    pub text: String,
    /// The body as JSON; null for none.
    pub body: Value,
}

impl Answer {
    /// The id of the request, as the response names it.
    ///
    /// # Panics
    /// When the response has none.
    pub fn request_id(&self) -> Uuid {
        let value = self.headers.get(REQUEST_ID_HEADER).map(HeaderValue::to_str);
        let text = value
            .expect("the response has a request id")
            .expect("it is text");
        text.parse().expect("it is a UUID")
    }

    /// The stable code of a problem document; empty for anything else.
    pub fn code(&self) -> &str {
        self.body
            .get("code")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The body without what differs between any two requests.
    pub fn without_request_id(&self) -> Value {
        let mut body = self.body.clone();
        if let Some(fields) = body.as_object_mut() {
            fields.remove("request_id");
        }
        body
    }

    /// An id in the body, by JSON pointer.
    ///
    /// # Panics
    /// When there is none.
    pub fn id(&self, pointer: &str) -> Uuid {
        let found = self.body.pointer(pointer).and_then(Value::as_str);
        let text = found.unwrap_or_else(|| panic!("no {pointer} in {self:?}"));
        text.parse().expect("the id is a UUID")
    }

    /// The answer itself, when it has the status.
    ///
    /// # Panics
    /// When it has another one.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }
}

impl Rest {
    /// The interface of a running program, by plain HTTP.
    ///
    /// # Panics
    /// When no client can be made.
    pub fn of(program: &Program) -> Self {
        Self::at(program.bootstrap_text("url"))
    }

    /// The interface on the local socket of a running program, as its operator uses it.
    ///
    /// # Panics
    /// When no client can be made.
    pub fn of_operator(program: &Program) -> Self {
        let socket = program.data_directory().join("clm.sock");
        let builder = reqwest::Client::builder().unix_socket(socket);
        Self::with("http://localhost".to_owned(), builder)
    }

    /// The interface at an address.
    ///
    /// # Panics
    /// When no client can be made.
    pub fn at(url: String) -> Self {
        Self::with(url, reqwest::Client::builder())
    }

    /// The interface of a running program, for somebody who has this address.
    ///
    /// # Panics
    /// When no client can be made.
    pub fn from_address(program: &Program, address: IpAddr) -> Self {
        let url = program.bootstrap_text("url");
        Self::with(url, reqwest::Client::builder().local_address(address))
    }

    fn with(url: String, builder: reqwest::ClientBuilder) -> Self {
        let http = builder
            .no_proxy()
            .user_agent(USER_AGENT)
            .timeout(std::time::Duration::from_secs(60))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client is made");
        Self { http, url }
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(&self, call: Call) -> Answer {
        let mut request = self
            .http
            .request(call.method, format!("{}{}", self.url, call.path));
        for (name, value) in &call.headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header value");
            request = request.header(*name, value);
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let response = request.send().await.expect("the program answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("the answer is text");
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer {
            status,
            headers,
            text,
            body,
        }
    }

    /// Asks for a proof for a request of a session, with what its person gives: a code or the password.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn ask_proof(&self, call: &Call, given: &Value) -> Answer {
        let body = call.body.as_ref().map(|body| body.to_string());
        let request = json!({
            "operation": "request",
            "method": call.method.as_str(),
            "path": call.path,
            "body_sha256": hex::encode(Sha256::digest(body.unwrap_or_default())),
        });
        self.ask_proof_of(call, given, request).await
    }

    /// Asks for a proof for this description of the request.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn ask_proof_of(&self, call: &Call, given: &Value, request: Value) -> Answer {
        let mut body = given.clone();
        let fields = body.as_object_mut().expect("what is given is an object");
        fields.insert("request".to_owned(), request);
        let mut asked = Call::new("POST", "/api/v1/step-up").body(body);
        let credential = call.headers.iter().filter(|(name, _)| {
            matches!(*name, "cookie" | "authorization") || *name == CSRF_HEADER
        });
        asked.headers.extend(credential.cloned());
        self.send(asked).await
    }

    /// Sends a request of a session with a proof that its person, who has no second factor, gave the
    /// password for it.
    ///
    /// # Panics
    /// When the password is refused.
    pub async fn send_proved(&self, call: Call, password: &str) -> Answer {
        let given = json!({ "password": password });
        let proved = self.ask_proof(&call, &given).await.expect(201);
        let proof = proved.body.get("proof").and_then(Value::as_str);
        let proof = proof.expect("there is a proof");
        self.send(call.header(STEP_UP_HEADER, proof)).await
    }

    /// Signs in.
    ///
    /// # Panics
    /// When that fails.
    pub async fn sign_in(&self, username: &str, password: &str, organization: &str) -> SignedIn {
        let body = json!({
            "username": username, "password": password, "organization": organization,
        });
        let call = Call::new("POST", "/api/v1/sessions").body(body);
        signed_in(&self.send(call).await.expect(201))
    }
}

/// The session token that an answer sets as a cookie.
fn new_token(answer: &Answer) -> &str {
    let cookie = answer.headers.get("set-cookie").map(HeaderValue::to_str);
    let cookie = cookie
        .expect("the answer sets a cookie")
        .expect("it is text");
    let pair = cookie
        .split(';')
        .next()
        .and_then(|pair| pair.split_once('='));
    let (name, token) = pair.expect("a cookie has a name");
    assert_eq!(name, SESSION_COOKIE);
    token
}

/// The credential of a session that goes on with the token of an answer.
///
/// # Panics
/// When the answer sets none.
pub fn with_new_token(credential: &Credential, answer: &Answer) -> Credential {
    let rest = credential.iter().filter(|(name, _)| *name != "cookie");
    cookie(new_token(answer))
        .into_iter()
        .chain(rest.cloned())
        .collect()
}

/// The session in the answer to a sign-in.
///
/// # Panics
/// When there is none.
pub fn signed_in(answer: &Answer) -> SignedIn {
    let token = new_token(answer);
    let csrf_token = answer.body.get("csrf_token").and_then(Value::as_str);
    SignedIn {
        session_id: answer.id("/session/id"),
        token: token.to_owned(),
        csrf_token: csrf_token.expect("a session has a CSRF token").to_owned(),
    }
}

/// The session in the answer to putting a second factor into force: it goes on with new secrets.
///
/// # Panics
/// When there is none.
pub fn goes_on(answer: &Answer) -> SignedIn {
    let body = answer.body.get("session").cloned().unwrap_or_default();
    signed_in(&Answer {
        body,
        ..answer.clone()
    })
}

/// Every operation of the program's own OpenAPI document: method, path, and the operation itself.
///
/// # Panics
/// When the document is malformed.
pub async fn documented(rest: &Rest) -> Vec<(String, String, Value)> {
    let answer = rest
        .send(Call::new("GET", "/api/v1/openapi.json"))
        .await
        .expect(200);
    let paths = answer
        .body
        .get("paths")
        .and_then(Value::as_object)
        .expect("there are paths");
    let mut found = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("a path has operations") {
            let is_method = matches!(
                method.as_str(),
                "get" | "put" | "post" | "delete" | "options" | "head" | "patch" | "trace"
            );
            if is_method {
                found.push((method.to_uppercase(), path.clone(), operation.clone()));
            }
        }
    }
    assert!(!found.is_empty(), "the document lists no operation");
    found
}
