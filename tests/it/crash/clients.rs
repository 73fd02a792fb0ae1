//! Clients that ask for certificates and remember what they were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clm_api_types::problem::{MEDIA_TYPE, Problem};
use clm_domain::general_name::GeneralName;
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_pki::csr::build_request;
use clm_pki::key::PrivateKey;
use clm_pki::{name, pem};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Where they ask.
const CERTIFICATE_REQUESTS: &str = "/api/v1/certificate-requests";
/// Clients that ask at once.
pub(super) const CLIENTS: usize = 32;
/// How long a client keeps trying.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a client waits before it tries again.
const PAUSE: Duration = Duration::from_millis(100);

/// A certificate as a client was told about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) id: String,
    pub(super) serial_number: String,
    pub(super) fingerprint_sha256: String,
}

/// What a request came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// 201 with the certificate.
    Issued(Told),
    /// A problem document that says to try again.
    TryAgain(Problem),
    /// The connection broke, or there was none.
    Silence,
}

/// A request of a client, with its certificate if it got one.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) key: String,
    csr: String,
    pub(super) told: Option<Told>,
}

impl Asked {
    /// The request in PEM.
    pub(super) fn csr(&self) -> &str {
        &self.csr
    }
}

/// A client with connections of its own.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    url: String,
    secret: String,
}

impl Client {
    pub(super) fn new(url: String, secret: String) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { http, url, secret }
    }

    /// Asks once. The key labels the certificate too, so that it is found again in both databases.
    pub(super) async fn ask(&self, key: &str, csr: &str) -> Answer {
        let request = self
            .http
            .post(format!("{}{CERTIFICATE_REQUESTS}", self.url))
            .bearer_auth(&self.secret)
            .header("idempotency-key", key)
            .json(&json!({ "csr": csr, "tags": [key] }));
        let Ok(response) = request.send().await else {
            return Answer::Silence;
        };
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let Ok(body) = response.bytes().await else {
            return Answer::Silence;
        };
        let text = String::from_utf8_lossy(&body);
        match status {
            201 => Answer::Issued(told(&serde_json::from_slice(&body).unwrap())),
            503 => {
                assert_eq!(headers[CONTENT_TYPE], MEDIA_TYPE, "{text}");
                assert!(headers.contains_key(RETRY_AFTER), "{headers:?} {text}");
                Answer::TryAgain(serde_json::from_slice(&body).unwrap())
            }
            _ => panic!("status {status}: {text}"),
        }
    }

    /// Asks with the same key until there is an answer, from a server that does not go away.
    pub(super) async fn insist(&self, key: &str, csr: &str) -> Told {
        let begun = Instant::now();
        loop {
            match self.ask(key, csr).await {
                Answer::Issued(told) => return told,
                Answer::TryAgain(_) if begun.elapsed() < PATIENCE => {
                    tokio::time::sleep(PAUSE).await;
                }
                other => panic!("{key}: {other:?} after {:?}", begun.elapsed()),
            }
        }
    }

    /// Asks again for everything that was not answered.
    pub(super) async fn insist_on_unanswered(&self, asked: &mut [Asked]) {
        for request in asked.iter_mut().filter(|request| request.told.is_none()) {
            request.told = Some(self.insist(&request.key, &request.csr).await);
        }
    }
}

fn told(body: &Value) -> Told {
    let text = |pointer: &str| body.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    assert!(text("/certificate/certificate_pem").starts_with("-----BEGIN CERTIFICATE-----"));
    Told {
        id: text("/certificate/id"),
        serial_number: text("/certificate/serial_number"),
        fingerprint_sha256: text("/certificate/fingerprint_sha256"),
    }
}

/// Requests made before, so that the clients' speed is the server's.
pub(super) fn csrs() -> Arc<Vec<String>> {
    let csr = |client| {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let host = format!("client-{client}.example");
        let subject = name::from_rfc4514(&format!("CN={host}")).unwrap();
        let der = build_request(&subject, &[GeneralName::Dns(host)], &key).unwrap();
        pem::encode("CERTIFICATE REQUEST", &der)
    };
    Arc::new((0..CLIENTS).map(csr).collect())
}

/// What a client does when the server says to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Habit {
    /// Goes on to its next request.
    GoesOn,
    /// Keeps asking with the same key; a server that goes silent is an error.
    Insists,
}

/// Many clients at work.
pub(super) struct Load {
    clients: JoinSet<Vec<Asked>>,
    enough: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    refusals: Arc<AtomicUsize>,
}

impl Load {
    /// Lets every client ask for one certificate after the other, with keys that begin with `name`.
    pub(super) fn start(
        client: &Client,
        csrs: &Arc<Vec<String>>,
        name: &str,
        habit: Habit,
    ) -> Self {
        let mut load = Self {
            clients: JoinSet::new(),
            enough: Arc::default(),
            answers: Arc::default(),
            refusals: Arc::default(),
        };
        for number in 0..CLIENTS {
            let worker = Worker {
                client: Client::new(client.url.clone(), client.secret.clone()),
                csr: csrs[number].clone(),
                name: format!("{name}-{number}"),
                habit,
                enough: Arc::clone(&load.enough),
                answers: Arc::clone(&load.answers),
                refusals: Arc::clone(&load.refusals),
            };
            load.clients.spawn(worker.work());
        }
        load
    }

    /// How many certificates were received so far.
    pub(super) fn answers(&self) -> usize {
        self.answers.load(Ordering::Relaxed)
    }

    /// How often a client was told to try again so far.
    pub(super) fn refusals(&self) -> usize {
        self.refusals.load(Ordering::Relaxed)
    }

    /// Waits until so many more certificates were received.
    pub(super) async fn wait_for_answers(&self, more: usize) {
        let (begun, goal) = (Instant::now(), self.answers() + more);
        while self.answers() < goal {
            assert!(
                begun.elapsed() < PATIENCE,
                "{} of {goal} answers",
                self.answers()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets every client finish, and returns what they asked for.
    pub(super) async fn end(mut self) -> Vec<Asked> {
        self.enough.store(true, Ordering::Relaxed);
        let mut asked = Vec::new();
        while let Some(of_client) = self.clients.join_next().await {
            asked.extend(of_client.unwrap());
        }
        asked
    }
}

struct Worker {
    client: Client,
    csr: String,
    name: String,
    habit: Habit,
    enough: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    refusals: Arc<AtomicUsize>,
}

impl Worker {
    async fn work(self) -> Vec<Asked> {
        let mut asked = Vec::new();
        while !self.enough.load(Ordering::Relaxed) {
            let key = format!("{}-{}", self.name, asked.len());
            let answer = self.ask(&key).await;
            let silence = answer == Answer::Silence;
            let told = match answer {
                Answer::Issued(told) => Some(told),
                Answer::TryAgain(_) | Answer::Silence => None,
            };
            asked.push(Asked {
                key,
                csr: self.csr.clone(),
                told,
            });
            if silence {
                break;
            }
        }
        asked
    }

    async fn ask(&self, key: &str) -> Answer {
        let begun = Instant::now();
        loop {
            let answer = self.client.ask(key, &self.csr).await;
            match &answer {
                Answer::Issued(_) => {
                    self.answers.fetch_add(1, Ordering::Relaxed);
                }
                Answer::TryAgain(_) => {
                    self.refusals.fetch_add(1, Ordering::Relaxed);
                }
                Answer::Silence => {}
            }
            if self.habit == Habit::GoesOn || matches!(answer, Answer::Issued(_)) {
                return answer;
            }
            assert_ne!(answer, Answer::Silence, "{key}: the server does not answer");
            assert!(begun.elapsed() < PATIENCE, "{key}: {answer:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }
}
