//! Who stands before the Secure Service, and who before the core, when they do not go together.

use std::time::Instant;

use clm_domain::actor::Actor;
use clm_domain::audit::SecureEvent;
use clm_domain::ids::SYSTEM_ORGANIZATION;
use clm_domain::secret::SecretString;
use clm_domain::states::{KeyRotationType, MasterKeyProviderKind};
use clm_secure_api::command::{
    Command, ConfirmMasterKeyBackup, MakeMasterKeyShares, ResetUnseal, RotateMasterKey, Seal,
    Unseal,
};
use clm_secure_api::{CallContext, Caller, SecureService as _};
use clm_tests::Apart;
use clm_tests::databases::{Log, PATIENCE};
use serde_json::json;
use tokio::net::TcpStream;

use super::visitor::{Stolen, context};
use crate::support::{CERTIFICATE_REQUESTS, Requester, problem};

/// Whoever connects and says nothing keeps nobody out.
#[tokio::test(flavor = "multi_thread")]
async fn silence_keeps_nobody_out() {
    let apart = Apart::start().await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(&apart.address).await.unwrap());
    }
    assert!(Stolen::from(&apart.core).is_served().await);
    drop(silent);
}

/// The core's own callers hold good credentials: that the Secure Service does not hear it any more is
/// not their mistake.
#[tokio::test(flavor = "multi_thread")]
async fn a_core_that_is_not_heard_does_not_blame_its_callers() {
    let apart = Apart::start().await;
    let requester = Requester::at(&apart.url, &apart.furnish().await);
    let revoked = apart.on_secure(&["pair", "revoke", "core-1"], "");
    assert!(revoked.status.success(), "{revoked:?}");
    let asked = json!({
        "subject_alternative_names": ["DNS:one.example"], "key_algorithm": "ecdsa-p256",
    });
    let begun = Instant::now();
    let told = loop {
        let told = requester.post(CERTIFICATE_REQUESTS, &asked).await;
        if told.status != 201 {
            break told.expect(503);
        }
        assert!(begun.elapsed() < PATIENCE, "still heard");
    };
    assert_eq!(problem(&told).code, "secure_service_refuses");
    assert!(told.headers.contains_key("retry-after"), "{told:?}");
    let ready = requester.get("/readyz").await.expect(503);
    assert!(ready.text.contains("pair it again"), "{ready:?}");
    requester.get("/api/v1/certificates").await.expect(200);
    let unknown = apart.on_secure(&["pair", "revoke", "core-9"], "");
    assert!(!unknown.status.success());
    let said = String::from_utf8_lossy(&unknown.stderr);
    assert!(said.contains("peer of that name"), "{said}");
}

/// What the operator of the secure host may do there, nobody does from elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn no_core_is_the_operator_of_the_secure_host() {
    let apart = Apart::start().await;
    let core = Stolen::from(&apart.core);
    let operator = CallContext {
        caller: Caller::Operator,
        ..context(SYSTEM_ORGANIZATION, Actor::LocalOperator { uid: 0 })
    };
    let command = Command::Unseal(Unseal {
        share: SecretString::new("x".to_owned()),
    });
    let refused = core.client().call(operator, command).await.unwrap_err();
    assert_eq!(refused.0.code, "caller_mismatch");
    let log = apart.databases().audit_log(Log::Secure).await;
    let recorded = log.iter().filter(|(row, _)| {
        row.event_code == SecureEvent::CommandRefused.code() && row.details["command"] == "unseal"
    });
    assert_eq!(recorded.count(), 1);
    assert!(core.is_served().await);
}

/// Whoever is the core could otherwise make the master key one that nobody else has, and seal it.
#[tokio::test(flavor = "multi_thread")]
async fn the_master_key_is_replaced_on_its_host_alone() {
    let apart = Apart::start().await;
    let core = Stolen::from(&apart.core);
    let commands = [
        Command::MakeMasterKeyShares(MakeMasterKeyShares {
            threshold: 2,
            shares: 2,
        }),
        Command::RotateMasterKey(RotateMasterKey {
            provider: MasterKeyProviderKind::File,
            share_set_id: None,
            rotation_type: KeyRotationType::Manual,
            reason: None,
            give_up: Vec::new(),
        }),
        Command::ConfirmMasterKeyBackup(ConfirmMasterKeyBackup { check_value: None }),
        Command::ResetUnseal(ResetUnseal {}),
        Command::Seal(Seal { force: true }),
    ];
    for command in commands {
        let name = command.name();
        let by = context(SYSTEM_ORGANIZATION, Actor::System);
        let refused = core.client().call(by, command).await.map(drop).unwrap_err();
        assert_eq!(refused.0.code, "only_on_its_host", "{name}");
        let log = apart.databases().audit_log(Log::Secure).await;
        let recorded = log.iter().filter(|(row, _)| {
            row.event_code == SecureEvent::CommandRefused.code() && row.details["command"] == name
        });
        assert_eq!(recorded.count(), 1, "{name}");
    }
    // By command, too: what to do is said.
    let rotate = ["key", "master", "rotate", "--to", "file"];
    let refused = apart.on_core(&rotate, "");
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        said.contains("on the host of the Secure Service alone"),
        "{said}"
    );
    let rotated = apart.on_secure(&rotate, "");
    assert!(rotated.status.success(), "{rotated:?}");
}
