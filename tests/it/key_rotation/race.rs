//! Rotations that are broken off, shared between processes, or started at once.

use std::sync::Arc;
use std::time::Duration;

use clm_domain::error::ErrorKind;
use clm_domain::ids::OrganizationId;
use clm_domain::states::{KeyRotationStatus, KeyRotationType};
use clm_secure::Secure;
use clm_secure_api::command::{Command, EraseOrganizationKeys, StartKeyRotation};
use clm_secure_api::{SecureClient, SecureService as _};
use futures::future::join_all;

use super::bench::{Bench, ITEMS, work};

/// Longest life of a worker that is killed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Keys of the organization whose rotation is broken off.
const MANY: i64 = 6_000;

/// Processes that die at any moment, also in the middle of a statement, lose nothing and double
/// nothing: each is a service of its own, whose future is dropped while certificates are issued.
#[tokio::test(flavor = "multi_thread")]
async fn workers_that_die_lose_nothing() {
    let bench = Bench::start().await;
    let organization = bench.organization(MANY).await;
    let rotation = bench.rotate(organization, KeyRotationType::Emergency).await;
    let (mut issued, mut killed) = (0, 0);
    let mut moment = Duration::ZERO;
    // Each lives a little longer than the one before, until some got something done.
    while bench
        .rotation(organization, &rotation)
        .await
        .items_processed
        < MANY / 2
    {
        assert!(moment < PATIENCE, "no worker gets anything done");
        moment += Duration::from_millis(7);
        let worker = bench.another().await;
        let outcome = tokio::time::timeout(moment, worker.rotate_keys()).await;
        killed += u32::from(outcome.is_err());
        if killed % 5 == 0 {
            bench.issue(organization).await.unwrap();
            issued += 1;
        }
    }
    let broken_off = bench.rotation(organization, &rotation).await;
    assert!(broken_off.items_processed <= MANY, "{broken_off:?}");
    assert!(killed > 3, "only {killed} were killed at work");
    bench.finish().await;
    let ended = bench.rotation(organization, &rotation).await;
    assert_eq!(ended.status, KeyRotationStatus::Completed, "{ended:?}");
    assert_eq!(ended.items_processed, MANY + 1, "each was moved once");
    assert_eq!(ended.items_failed, 0);
    let live = bench.check_sealed(organization, MANY + 1 + issued).await;
    assert_eq!(live.len(), 1);
    assert_eq!(bench.events(organization).await["key_rotation.ended"], 1);
    bench.seals_are_counted(organization).await;
}

/// Four workers at once on three organizations, while one of them issues.
#[tokio::test(flavor = "multi_thread")]
async fn workers_share_the_work() {
    let bench = Bench::start().await;
    let mut rotations = Vec::new();
    for _ in 0..3 {
        let organization = bench.organization(ITEMS).await;
        let rotation = bench.rotate(organization, KeyRotationType::Emergency).await;
        rotations.push((organization, rotation));
    }
    let mut workers = vec![Arc::clone(bench.secure())];
    for _ in 0..3 {
        workers.push(bench.another().await);
    }
    join_all(workers.iter().map(|worker| work(worker, &bench.clock))).await;
    let issued = join_all((0..20).map(|_| bench.issue(rotations[0].0))).await;
    assert!(issued.iter().all(Result::is_ok), "{issued:?}");
    bench.clock.advance(chrono::TimeDelta::seconds(61));
    join_all(workers.iter().map(|worker| work(worker, &bench.clock))).await;
    bench.finish().await;
    for (index, (organization, rotation)) in rotations.iter().enumerate() {
        let ended = bench.rotation(*organization, rotation).await;
        assert_eq!(ended.status, KeyRotationStatus::Completed, "{ended:?}");
        assert_eq!(ended.items_processed, ITEMS + 1);
        let issued = if index == 0 { 20 } else { 0 };
        let live = bench.check_sealed(*organization, ITEMS + 1 + issued).await;
        assert_eq!(live.len(), 1);
        assert_eq!(bench.events(*organization).await["key_rotation.ended"], 1);
    }
}

/// Of many starts at once, by several processes, one succeeds; the others say why not.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_starts_one_succeeds() {
    let bench = Bench::start().await;
    let organization = bench.organization(10).await;
    let mut services = vec![Arc::clone(bench.secure())];
    for _ in 0..3 {
        services.push(bench.another().await);
    }
    let starts = (0..20).map(|number| start(&bench, &services[number % 4], organization));
    let outcomes = join_all(starts).await;
    let refused: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 19);
    assert!(
        refused
            .iter()
            .all(|code| code == "key_rotation_in_progress"),
        "{refused:?}"
    );
    assert_eq!(bench.keys(organization).await.len(), 2);
    bench.finish().await;
    assert_eq!(bench.check_sealed(organization, 11).await.len(), 1);
    // Another process has still the old key in mind, for a few seconds.
    start(&bench, &services[1], organization).await.unwrap();
}

async fn start(
    bench: &Bench,
    service: &Arc<Secure>,
    organization: OrganizationId,
) -> Result<(), String> {
    let command = Command::StartKeyRotation(StartKeyRotation {
        rotation_type: KeyRotationType::Manual,
        reason: None,
        items_per_second_max: None,
    });
    let outcome = service.call(bench.context(organization), command).await;
    outcome.map(drop).map_err(|error| error.0.code.into_owned())
}

/// A process that takes an erased key for the active one is told so; nothing is stored that could
/// never be opened.
#[tokio::test(flavor = "multi_thread")]
async fn what_would_never_open_is_not_stored() {
    let bench = Bench::start().await;
    let organization = bench.organization(1).await;
    let late = SecureClient::new(bench.another().await as _);
    bench.issue_by(&late, organization).await.unwrap();
    let command = EraseOrganizationKeys {
        reason: "left us".to_owned(),
    };
    let context = bench.context(organization);
    let erased = bench.client.erase_organization_keys(context, command);
    assert_eq!(erased.await.unwrap(), 1);

    let count = "SELECT count(*) FROM private_keys WHERE organization_id = $1";
    let before: i64 = sqlx::query_scalar(count)
        .bind(organization.as_uuid())
        .fetch_one(&bench.admin)
        .await
        .unwrap();
    let refused = bench.issue_by(&late, organization).await.unwrap_err().0;
    assert_eq!(refused.code, "encryption_key_ended", "{refused}");
    assert_eq!(refused.kind, ErrorKind::Upstream);
    let after: i64 = sqlx::query_scalar(count)
        .bind(organization.as_uuid())
        .fetch_one(&bench.admin)
        .await
        .unwrap();
    assert_eq!(after, before);
}
