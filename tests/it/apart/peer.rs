//! A program with a core's own certificate that says what it likes: what a core is after somebody took
//! it over.

use std::fs;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use clm_domain::actor::Actor;
use clm_domain::clock::{Clock, Rng};
use clm_domain::ids::{OrganizationId, RequestId, SYSTEM_ORGANIZATION};
use clm_domain::secret::SecretBytes;
use clm_secure_api::remote::client::RemoteSecure;
use clm_secure_api::remote::dial::TlsDial;
use clm_secure_api::remote::tls;
use clm_secure_api::{CallContext, Caller, Command, Reply, SecureService as _};
use clm_tests::Apart;
use serde_json::Value;

/// The wall clock.
pub(crate) struct Now;

impl Clock for Now {
    #[expect(
        clippy::disallowed_methods,
        reason = "this program has the clock of the machine"
    )]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// The system's randomness.
pub(crate) struct Random;

impl Rng for Random {
    fn fill(&self, buffer: &mut [u8]) {
        aws_lc_rs::rand::fill(buffer).unwrap();
    }
}

/// What a core keeps for calling.
pub(crate) struct Credential {
    pub(crate) authority_der: Vec<u8>,
    pub(crate) certificate_der: Vec<u8>,
    pub(crate) key: SecretBytes,
    pub(crate) not_after: DateTime<Utc>,
}

impl Credential {
    /// That of the core, as its file has it now.
    pub(crate) fn of_core(apart: &Apart) -> Self {
        let path = apart.core.data_directory().join("transport-core.json");
        let file: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let der = |name: &str| STANDARD.decode(file[name].as_str().unwrap()).unwrap();
        Self {
            authority_der: der("authority"),
            certificate_der: der("certificate"),
            key: SecretBytes::new(der("private_key")),
            not_after: file["not_after"].as_str().unwrap().parse().unwrap(),
        }
    }

    /// A program that has it.
    pub(crate) fn client(&self, apart: &Apart) -> RemoteSecure {
        let config = tls::client_config(&self.authority_der, &self.certificate_der, &self.key);
        client(apart, config.unwrap())
    }
}

/// A program that connects in this way.
pub(crate) fn client(apart: &Apart, config: rustls::ClientConfig) -> RemoteSecure {
    let dial = TlsDial::new(apart.address.clone(), config);
    RemoteSecure::new(Arc::new(dial), Arc::new(Now))
}

/// A context of a core, for an act of the platform.
pub(crate) fn context(organization_id: OrganizationId) -> CallContext {
    CallContext {
        caller: Caller::Core,
        actor: Actor::System,
        organization_id,
        request_id: RequestId::generate(Now.now(), &Random),
        idempotency_key: None,
        deadline: Now.now() + TimeDelta::seconds(30),
    }
}

/// What somebody hears: the reply, or the code of the refusal.
pub(crate) async fn ask(
    client: &RemoteSecure,
    context: CallContext,
    command: Command,
) -> Result<Reply, String> {
    let heard = client.call(context, command).await;
    heard.map_err(|error| error.0.code.into_owned())
}

/// Whether a program is heard at all.
pub(crate) async fn is_heard(client: &RemoteSecure) -> Result<(), String> {
    let command = Command::CheckHealth(clm_secure_api::command::CheckHealth {});
    ask(client, context(SYSTEM_ORGANIZATION), command)
        .await
        .map(drop)
}
