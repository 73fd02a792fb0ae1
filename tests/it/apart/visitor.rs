//! Whoever comes to the Secure Service with what a core keeps on its disks, or with less.

use std::fs;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use clm_domain::actor::Actor;
use clm_domain::clock::Clock as _;
use clm_domain::ids::{OrganizationId, RequestId, SYSTEM_ORGANIZATION};
use clm_domain::secret::SecretBytes;
use clm_secure_api::command::{CheckHealth, Command};
use clm_secure_api::remote::client::RemoteSecure;
use clm_secure_api::remote::dial::TlsDial;
use clm_secure_api::remote::tls;
use clm_secure_api::{CallContext, Caller, SecureService as _};
use clm_tests::Program;
use rustls::ClientConfig;
use serde_json::Value;
use uuid::Uuid;

use crate::remote_transport::Now;

/// `transport-core.json`, as a thief has it.
pub(crate) struct Stolen {
    pub(crate) address: String,
    pub(crate) authority_der: Vec<u8>,
    pub(crate) certificate_der: Vec<u8>,
    private_key_der: SecretBytes,
    pub(crate) not_after: DateTime<Utc>,
}

impl Stolen {
    pub(crate) fn from(core: &Program) -> Self {
        let text = fs::read(core.data_directory().join("transport-core.json")).unwrap();
        let file: Value = serde_json::from_slice(&text).unwrap();
        let decoded = |name: &str| STANDARD.decode(file[name].as_str().unwrap()).unwrap();
        Self {
            address: file["address"].as_str().unwrap().to_owned(),
            authority_der: decoded("authority"),
            certificate_der: decoded("certificate"),
            private_key_der: SecretBytes::new(decoded("private_key")),
            not_after: file["not_after"].as_str().unwrap().parse().unwrap(),
        }
    }

    pub(crate) fn config(&self) -> ClientConfig {
        let (authority, certificate) = (&self.authority_der, &self.certificate_der);
        tls::client_config(authority, certificate, &self.private_key_der).unwrap()
    }

    pub(crate) fn client(&self) -> RemoteSecure {
        client(&self.address, self.config())
    }

    /// Whether the service still serves this core, on a new connection.
    pub(crate) async fn is_served(&self) -> bool {
        ask(&self.client()).await == "health"
    }
}

pub(crate) fn client(address: &str, config: ClientConfig) -> RemoteSecure {
    let dial = TlsDial::new(address.to_owned(), config);
    RemoteSecure::new(Arc::new(dial), Arc::new(Now))
}

pub(crate) fn context(organization_id: OrganizationId, actor: Actor) -> CallContext {
    CallContext {
        caller: Caller::Core,
        actor,
        organization_id,
        request_id: RequestId::from_uuid(Uuid::from_u128(7)),
        idempotency_key: None,
        deadline: Now.now() + TimeDelta::seconds(30),
    }
}

/// What a client hears that asks for something harmless: the reply's name, or the refusal's code.
pub(crate) async fn ask(client: &RemoteSecure) -> String {
    let command = Command::CheckHealth(CheckHealth {});
    let asked = client.call(context(SYSTEM_ORGANIZATION, Actor::System), command);
    match asked.await {
        Ok(reply) => reply.name().to_owned(),
        Err(error) => error.0.code.into_owned(),
    }
}
