//! REST as a program without our client sees it: bytes out, status and document back.

use clm_api_types::problem::{MEDIA_TYPE, Problem};
use clm_tests::Program;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::Value;

/// The path of asking for certificates.
pub(crate) const CERTIFICATE_REQUESTS: &str = "/api/v1/certificate-requests";

/// A caller with an API key.
#[derive(Clone)]
pub(crate) struct Rest {
    http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) secret: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: Value,
}

impl Rest {
    /// A caller with a new API key of the first administrator.
    pub(crate) async fn of(program: &Program) -> Self {
        Self {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            url: program.bootstrap_text("url"),
            secret: program.api_key().await,
        }
    }

    /// Posts JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, body, HeaderMap::new()).await
    }

    /// Posts JSON with an idempotency key.
    pub(crate) async fn post_once(&self, path: &str, body: &Value, key: &str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", HeaderValue::from_str(key).unwrap());
        self.post_with(path, body, headers).await
    }

    /// Posts JSON with further headers.
    pub(crate) async fn post_with(&self, path: &str, body: &Value, headers: HeaderMap) -> Answer {
        let body = serde_json::to_vec(body).unwrap();
        let mut all = HeaderMap::new();
        all.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        all.extend(headers);
        self.post_bytes(path, body, all).await
    }

    /// Posts bytes with exactly these headers beside the credential.
    pub(crate) async fn post_bytes(
        &self,
        path: &str,
        body: impl Into<reqwest::Body>,
        headers: HeaderMap,
    ) -> Answer {
        let request = self
            .http
            .post(format!("{}{path}", self.url))
            .bearer_auth(&self.secret)
            .headers(headers)
            .body(body);
        let response = request.send().await.expect("the server answers");
        let status = response.status().as_u16();
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type.map(|value| value.to_str().unwrap().to_owned());
        let text = response.text().await.expect("the answer arrives whole");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer { status, content_type: content_type.unwrap_or_default(), body }
    }
}

impl Answer {
    /// The problem document, which must be one in every respect.
    pub(crate) fn problem(&self) -> Problem {
        assert_eq!(self.content_type, MEDIA_TYPE, "{self:?}");
        let problem: Problem = serde_json::from_value(self.body.clone())
            .unwrap_or_else(|error| panic!("{error}: {self:?}"));
        assert_eq!(problem.status, self.status, "{self:?}");
        assert_eq!(problem.problem_type, "about:blank");
        assert!(problem.request_id.is_some(), "{self:?}");
        problem
    }

    /// A text of the body, by its JSON pointer.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        let found = self.body.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("no text at {pointer}: {self:?}"))
    }
}
