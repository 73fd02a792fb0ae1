//! What several modules share: asking over REST, the audit logs, and DER.

pub(crate) mod der;
pub(crate) mod judges;

pub(crate) use clm_tests::authenticator;

use clm_api_types::problem::{MEDIA_TYPE, Problem};
use clm_tests::Program;
use clm_tests::databases::{Log, Superuser};
use clm_tests::rest::{Answer, Call, Credential, Rest, bearer, operator_of};
use serde_json::Value;

/// The path of asking for certificates.
pub(crate) const CERTIFICATE_REQUESTS: &str = "/api/v1/certificate-requests";
/// The path of making certificate authorities.
pub(crate) const CERTIFICATE_AUTHORITIES: &str = "/api/v1/certificate-authorities";

/// The command that splits the master key, for any two of three custodians.
pub(crate) const fn split_master_key(out: &str) -> [&str; 11] {
    [
        "key",
        "master",
        "rotate",
        "--to",
        "shamir",
        "--threshold",
        "2",
        "--shares",
        "3",
        "--out",
        out,
    ]
}

/// The REST interface, as somebody with a credential uses it.
#[derive(Clone, Debug)]
pub(crate) struct Requester {
    rest: Rest,
    pub(crate) credential: Credential,
}

impl Requester {
    /// The first administrator, with a new API key.
    pub(crate) async fn of(program: &Program) -> Self {
        let secret = program.api_key().await;
        Self {
            rest: Rest::of(program),
            credential: bearer(&secret),
        }
    }

    /// The operator of the machine, for the first organization.
    pub(crate) fn operator(program: &Program) -> Self {
        Self {
            rest: Rest::of_operator(program),
            credential: operator_of("default"),
        }
    }

    /// Whoever has this API key, at an address.
    pub(crate) fn at(url: &str, secret: &str) -> Self {
        Self {
            rest: Rest::at(url.to_owned()),
            credential: bearer(secret),
        }
    }

    /// Asks the program where it listens now: each start takes another port.
    pub(crate) fn move_to(&mut self, program: &Program) {
        self.rest = Rest::of(program);
    }

    /// Posts JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Call::new("POST", path).body(body.clone())).await
    }

    /// Posts JSON with an idempotency key.
    pub(crate) async fn post_once(&self, path: &str, body: &Value, key: &str) -> Answer {
        let call = Call::new("POST", path).header("idempotency-key", key);
        self.send(call.body(body.clone())).await
    }

    /// Reads.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Call::new("GET", path)).await
    }

    async fn send(&self, call: Call) -> Answer {
        self.rest.send(call.by(&self.credential)).await
    }
}

/// The problem document of an answer, which must be one in every respect.
pub(crate) fn problem(answer: &Answer) -> Problem {
    let content_type = answer
        .headers
        .get("content-type")
        .map(|value| value.as_bytes());
    assert_eq!(content_type, Some(MEDIA_TYPE.as_bytes()), "{answer:?}");
    let problem: Problem = serde_json::from_value(answer.body.clone())
        .unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    assert_eq!(problem.status, answer.status, "{answer:?}");
    assert_eq!(problem.problem_type, "about:blank");
    assert!(
        !problem.title.is_empty() && !problem.detail.is_empty(),
        "{answer:?}"
    );
    assert_eq!(problem.request_id, Some(answer.request_id().to_string()));
    problem
}

/// The fields that a problem names, in its order.
pub(crate) fn fields(problem: &Problem) -> Vec<&str> {
    problem
        .errors
        .iter()
        .map(|error| error.field.as_str())
        .collect()
}

/// Checks the hash beside each event of both logs against the row as it is stored.
pub(crate) async fn check_audit_hashes(databases: &Superuser) {
    for log in [Log::Core, Log::Secure] {
        let events = databases.audit_log(log).await;
        assert!(!events.is_empty(), "{} is empty", log.table());
        for (row, stored) in events {
            assert_eq!(
                row.canonical_sha256().as_slice(),
                stored,
                "{}: {row:?}",
                log.table()
            );
        }
    }
}
