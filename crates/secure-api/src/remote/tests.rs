//! Both sides in one process, over pipes: who is heard, in which version, and what is repeated.

mod golden;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{TimeDelta, Utc};
use clm_domain::actor::Actor;
use clm_domain::clock::Clock;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{OrganizationId, RequestId};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::client::RemoteSecure;
use super::dial::{Connection, Dial};
use super::server::RemoteServer;
use super::*;
use crate::command::{CheckHealth, EraseOrganizationKeys, ResetTotp};
use crate::reply::{Health, SealStatus};
use crate::wire::Versions;
use crate::{Reply, SecureService};

/// A clock that is so many hours off.
struct Hours(i64);

impl Clock for Hours {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::hours(self.0)
    }
}

/// Counts commands; refuses those whose time is over, as the real one does.
struct Counting {
    calls: AtomicUsize,
    clock: Hours,
}

#[async_trait]
impl SecureService for Counting {
    async fn call(&self, context: CallContext, _: Command) -> Result<Reply, SecureError> {
        assert!(context.deadline > self.clock.now());
        assert!(context.deadline <= self.clock.now() + TimeDelta::seconds(10));
        self.calls.fetch_add(1, Ordering::SeqCst);
        Ok(Reply::Health(Health {
            database: true,
            master_key: true,
            master_key_provider: "test".to_owned(),
            master_key_version: 1,
            seal: SealStatus {
                sealed: false,
                encryption_key_id: None,
                threshold: None,
                shares: None,
                given: 0,
                changed: false,
                expires_at: None,
            },
            audit_partitions_ahead: 12,
        }))
    }
}

/// Knows every certificate as the core's.
struct Open;

fn forbidden(code: &'static str) -> SecureError {
    Fault::new(ErrorKind::Forbidden, code, code).into()
}

#[async_trait]
impl Gate for Open {
    async fn identify(&self, _: &[u8]) -> Result<Peer, SecureError> {
        Ok(Peer {
            id: Uuid::nil().into(),
            name: "core".to_owned(),
            caller: Caller::Core,
        })
    }

    async fn refuse(&self, _: &Peer, _: &CallContext, _: &Command) -> SecureError {
        forbidden("caller_mismatch")
    }

    async fn pair(&self, _: PairRequest) -> Result<TransportCertificate, SecureError> {
        Err(forbidden("pairing_refused"))
    }

    async fn renew(&self, _: &Peer, _: RenewRequest) -> Result<TransportCertificate, SecureError> {
        Err(forbidden("renewal_refused"))
    }
}

/// Connections within this process.
struct Local {
    server: Arc<RemoteServer>,
    certificate: Option<Vec<u8>>,
    dials: AtomicUsize,
}

#[async_trait]
impl Dial for Local {
    async fn dial(&self) -> std::io::Result<Box<dyn Connection>> {
        self.dials.fetch_add(1, Ordering::SeqCst);
        let (here, there) = tokio::io::duplex(64 * 1024);
        let (server, certificate) = (Arc::clone(&self.server), self.certificate.clone());
        tokio::spawn(server.serve_connection(there, certificate, CancellationToken::new()));
        Ok(Box::new(here))
    }
}

/// Nothing listens.
struct Nowhere(AtomicUsize);

#[async_trait]
impl Dial for Nowhere {
    async fn dial(&self) -> std::io::Result<Box<dyn Connection>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Err(std::io::ErrorKind::ConnectionRefused.into())
    }
}

struct Pair {
    service: Arc<Counting>,
    dial: Arc<Local>,
    client: RemoteSecure,
}

/// A client and a server whose clocks are three days apart.
fn pair(server: Versions, client: Versions, certificate: Option<Vec<u8>>) -> Pair {
    pair_with(server, client, certificate, COMMANDS_MAX)
}

fn pair_with(
    server: Versions,
    client: Versions,
    certificate: Option<Vec<u8>>,
    commands_max: usize,
) -> Pair {
    let service = Arc::new(Counting {
        calls: AtomicUsize::new(0),
        clock: Hours(72),
    });
    let server = RemoteServer::new(
        Arc::clone(&service) as _,
        Arc::new(Open),
        Arc::new(Hours(72)),
    )
    .with_versions(server)
    .with_commands_max(commands_max);
    let dial = Arc::new(Local {
        server: Arc::new(server),
        certificate,
        dials: AtomicUsize::new(0),
    });
    let client =
        RemoteSecure::new(Arc::clone(&dial) as _, Arc::new(Hours(0))).with_versions(client);
    Pair {
        service,
        dial,
        client,
    }
}

fn context(caller: Caller) -> CallContext {
    CallContext {
        caller,
        actor: Actor::System,
        organization_id: OrganizationId::from_uuid(Uuid::nil()),
        request_id: RequestId::from_uuid(Uuid::nil()),
        idempotency_key: None,
        deadline: Hours(0).now() + TimeDelta::seconds(10),
    }
}

async fn ask(client: &RemoteSecure, caller: Caller) -> Result<Reply, String> {
    let command = Command::CheckHealth(CheckHealth {});
    let outcome = client.call(context(caller), command).await;
    outcome.map_err(|error| error.0.code.into_owned())
}

fn certified() -> Option<Vec<u8>> {
    Some(vec![1])
}

#[tokio::test]
async fn versions_of_neighbours_understand_each_other() {
    for (server, client) in [(7, 7), (7, 6), (6, 7)] {
        let pair = pair(Versions::of(server), Versions::of(client), certified());
        for _ in 0..2 {
            let outcome = ask(&pair.client, Caller::Core).await;
            assert!(outcome.is_ok(), "{server} {client}: {outcome:?}");
        }
        assert_eq!(pair.service.calls.load(Ordering::SeqCst), 2);
        assert_eq!(pair.dial.dials.load(Ordering::SeqCst), 1, "one connection");
    }
    for (server, client) in [(7, 5), (5, 7), (7, 9), (9, 7)] {
        let pair = pair(Versions::of(server), Versions::of(client), certified());
        let refused = ask(&pair.client, Caller::Core).await.err();
        assert_eq!(
            refused.as_deref(),
            Some("version_unsupported"),
            "{server} {client}"
        );
        assert_eq!(pair.service.calls.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn the_certificate_says_who_calls() {
    let own = wire_versions();
    let stranger = pair(own, own, None);
    let refused = ask(&stranger.client, Caller::Core).await.err();
    assert_eq!(refused.as_deref(), Some("certificate_required"));
    let peer = pair(own, own, certified());
    let refused = ask(&peer.client, Caller::Bootstrap).await.err();
    assert_eq!(refused.as_deref(), Some("caller_mismatch"));
    for pair in [stranger, peer] {
        assert_eq!(pair.service.calls.load(Ordering::SeqCst), 0);
    }
}

/// The operator of the core's machine is not that of the machine with the master key.
#[tokio::test]
async fn a_local_operator_elsewhere_is_none() {
    let own = wire_versions();
    let peer = pair(own, own, certified());
    let context = CallContext {
        actor: Actor::LocalOperator { uid: 0 },
        ..context(Caller::Core)
    };
    let command = Command::ResetTotp(ResetTotp {
        user_id: Uuid::nil().into(),
        reason: "lost".to_owned(),
    });
    let refused = peer.client.call(context.clone(), command).await;
    assert_eq!(refused.unwrap_err().0.code, "caller_mismatch");
    assert_eq!(peer.service.calls.load(Ordering::SeqCst), 0);
    let harmless = Command::CheckHealth(CheckHealth {});
    assert!(peer.client.call(context, harmless).await.is_ok());
}

#[tokio::test]
async fn more_commands_than_can_be_done_are_turned_away() {
    let own = wire_versions();
    let pair = pair_with(own, own, certified(), 0);
    let command = Command::CheckHealth(CheckHealth {});
    let refused = pair.client.call(context(Caller::Core), command).await;
    let fault = refused.unwrap_err().0;
    assert_eq!(fault.code, "secure_service_busy");
    assert!(fault.kind.is_retriable() && fault.retry_after_seconds.is_some());
}

#[tokio::test]
async fn what_cannot_be_reached_is_tried_a_few_times_and_told() {
    let dial = Arc::new(Nowhere(AtomicUsize::new(0)));
    let client = RemoteSecure::new(Arc::clone(&dial) as _, Arc::new(Hours(0)));
    let refused = ask(&client, Caller::Core).await.err();
    assert_eq!(refused.as_deref(), Some("secure_service_unavailable"));
    assert_eq!(dial.0.load(Ordering::SeqCst), 4);
}

/// A host that answers nothing for a while.
struct Dead(AtomicUsize);

#[async_trait]
impl Dial for Dead {
    async fn dial(&self) -> std::io::Result<Box<dyn Connection>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        Err(std::io::ErrorKind::TimedOut.into())
    }
}

#[tokio::test]
async fn a_dead_host_is_tried_once_for_all_who_wait() {
    let dial = Arc::new(Dead(AtomicUsize::new(0)));
    let client = Arc::new(RemoteSecure::new(
        Arc::clone(&dial) as _,
        Arc::new(Hours(0)),
    ));
    let asked: Vec<_> = (0..50)
        .map(|_| {
            let client = Arc::clone(&client);
            tokio::spawn(async move { ask(&client, Caller::Core).await.err() })
        })
        .collect();
    for one in asked {
        let refused = one.await.unwrap();
        assert_eq!(refused.as_deref(), Some("secure_service_unavailable"));
    }
    let dials = dial.0.load(Ordering::SeqCst);
    assert!(dials <= 12, "{dials} dials of 50 callers");
}

/// Takes one request and goes away for good.
struct Last(AtomicUsize);

#[async_trait]
impl Dial for Last {
    async fn dial(&self) -> std::io::Result<Box<dyn Connection>> {
        if self.0.fetch_add(1, Ordering::SeqCst) > 0 {
            return Err(std::io::ErrorKind::ConnectionRefused.into());
        }
        let (here, mut there) = tokio::io::duplex(64 * 1024);
        tokio::spawn(async move {
            let mut request = [0; 4_096];
            let _ = tokio::io::AsyncReadExt::read(&mut there, &mut request).await;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        });
        Ok(Box::new(here))
    }
}

/// That nobody answers any more says nothing of what was sent before.
#[tokio::test]
async fn what_may_have_been_done_is_not_called_undone() {
    let dial = Arc::new(Last(AtomicUsize::new(0)));
    let client = RemoteSecure::new(Arc::clone(&dial) as _, Arc::new(Hours(0)));
    let mut context = context(Caller::Core);
    context.idempotency_key = Some(crate::IdempotencyKey {
        key_sha256: [1; 32],
        request_sha256: [2; 32],
    });
    let command = Command::CancelKeyRotation(crate::command::CancelKeyRotation {
        key_rotation_id: Uuid::nil().into(),
    });
    assert!(command.is_repeatable(&context));
    let refused = client.call(context, command).await.unwrap_err();
    assert_eq!(refused.0.code, "outcome_unknown");
    assert!(dial.0.load(Ordering::SeqCst) > 1, "it was tried again");
}

#[tokio::test]
async fn a_command_out_of_time_is_not_sent() {
    let own = wire_versions();
    let pair = pair(own, own, certified());
    let mut late = context(Caller::Core);
    late.deadline = Hours(0).now();
    let refused = pair
        .client
        .call(late, Command::CheckHealth(CheckHealth {}))
        .await;
    assert_eq!(refused.unwrap_err().0.code, "deadline_passed");
    assert_eq!(pair.dial.dials.load(Ordering::SeqCst), 0);
}

#[test]
fn only_what_does_no_harm_twice_is_repeatable() {
    let context = context(Caller::Core);
    assert!(Command::CheckHealth(CheckHealth {}).is_repeatable(&context));
    let erase = Command::EraseOrganizationKeys(EraseOrganizationKeys {
        reason: "test".to_owned(),
    });
    assert!(!erase.is_repeatable(&context));
}

/// The encoding's own list: what it says when it meets a command that there is not.
#[test]
fn every_command_is_known_by_its_name() {
    let unknown = serde_json::from_str::<Command>(r#"{"command":"-","arguments":{}}"#);
    let said = unknown.unwrap_err().to_string();
    let (_, expected) = said.split_once("expected one of").unwrap();
    let mut expected: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    let mut known = Command::NAMES.to_vec();
    expected.sort_unstable();
    known.sort_unstable();
    assert_eq!(known, expected);
}

fn wire_versions() -> Versions {
    crate::wire::SUPPORTED
}
