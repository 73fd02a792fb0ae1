//! Rows that do not open, and keys that are known to others.

use clm_domain::ids::{OrganizationId, PrivateKeyId};
use clm_domain::states::{EncryptionKeyStatus, KeyRotationStatus, KeyRotationType};
use clm_secure_api::command::{CancelKeyRotation, ListExposedKeys};
use clm_secure_api::reply::{ExposedKey, KeyRotation};
use uuid::Uuid;

use super::bench::{Bench, ITEMS};

pub(super) const FLIP: &str = "UPDATE private_keys SET encrypted_key_material =
    set_bit(encrypted_key_material, 3, 1 - get_bit(encrypted_key_material, 3)) WHERE id = $1";
const MOVE: &str = "UPDATE private_keys t SET encrypted_key_material = s.encrypted_key_material,
        encryption_iv = s.encryption_iv, encryption_auth_tag = s.encryption_auth_tag
    FROM private_keys s WHERE t.id = $1 AND s.id = (
        SELECT min(id::text)::uuid FROM private_keys
        WHERE organization_id = t.organization_id AND id <> t.id)";

/// A flipped bit, and content that was moved from another row: counted, named, and left as they
/// are, under a key that still opens. Everything else moves.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_open_is_named_and_left() {
    let bench = Bench::start().await;
    let organization = bench.organization(ITEMS).await;
    let old = bench.active(organization).await.encryption_key_id;
    let damaged = bench.plant(organization, old, 2).await;
    for (statement, id) in [(FLIP, damaged[0]), (MOVE, damaged[1])] {
        let done = sqlx::query(statement).bind(id).execute(&bench.admin).await;
        assert_eq!(done.unwrap().rows_affected(), 1);
    }

    let ended = bench
        .complete(organization, KeyRotationType::Compromise)
        .await;
    assert_eq!(ended.status, KeyRotationStatus::Failed, "{ended:?}");
    assert_eq!((ended.items_processed, ended.items_failed), (ITEMS + 1, 2));
    let message = ended.error_message.clone().unwrap();
    for id in &damaged {
        assert!(message.contains(&id.to_string()), "{message}");
    }
    assert_eq!(
        message.matches(", ").count(),
        1,
        "each is named once: {message}"
    );
    let key = bench.key(organization, old).await;
    assert_eq!(key.status, EncryptionKeyStatus::Retired, "it still opens");
    let failures: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM secure_audit_log WHERE organization_id = $1
         AND event_code = 'key_rotation.ended' AND result = 'failure'",
    )
    .bind(organization.as_uuid())
    .fetch_one(&bench.admin)
    .await
    .unwrap();
    assert_eq!(failures, 1);
    // They were exposed like everything else.
    assert_eq!(
        exposed(&bench, organization, &ended).await.len() as i64,
        ITEMS + 3
    );

    // Put right, they are where they were; the key that sealed them is kept for them.
    let right = "DELETE FROM private_keys WHERE id = $1";
    sqlx::query(right)
        .bind(damaged[1])
        .execute(&bench.admin)
        .await
        .unwrap();
    sqlx::query(FLIP)
        .bind(damaged[0])
        .execute(&bench.admin)
        .await
        .unwrap();
    bench.clock.advance(chrono::TimeDelta::days(2));
    bench.secure().maintain_keys().await.unwrap();
    assert_eq!(bench.check_sealed(organization, ITEMS + 2).await.len(), 2);
}

/// A data key that does not unwrap ends its rotation, and stops no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_data_key_that_does_not_open_stops_no_other() {
    let bench = Bench::start().await;
    let (damaged, sound) = (bench.organization(10).await, bench.organization(10).await);
    let old = bench.active(damaged).await.encryption_key_id;
    // A process that has not unwrapped it yet.
    let fresh = bench.another().await;
    let flip = "UPDATE encryption_keys SET encrypted_key_material =
        set_bit(encrypted_key_material, 3, 1 - get_bit(encrypted_key_material, 3)) WHERE id = $1";
    sqlx::query(flip)
        .bind(old.as_uuid())
        .execute(&bench.admin)
        .await
        .unwrap();
    let first = bench.rotate(damaged, KeyRotationType::Emergency).await;
    let second = bench.rotate(sound, KeyRotationType::Emergency).await;

    super::bench::work(&fresh, &bench.clock).await;
    bench.finish().await;
    let first = bench.rotation(damaged, &first).await;
    assert_eq!(first.status, KeyRotationStatus::Failed, "{first:?}");
    let message = first.error_message.unwrap();
    assert!(message.contains(&old.to_string()), "{message}");
    let second = bench.rotation(sound, &second).await;
    assert_eq!(second.status, KeyRotationStatus::Completed);
}

/// A compromise lists what was sealed under the key, page by page; the key opens nothing any more,
/// and there is no way back to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_compromise_lists_what_was_exposed() {
    let bench = Bench::start().await;
    let organization = bench.organization(ITEMS).await;
    let issued = bench.issue(organization).await.unwrap();
    let old = bench.active(organization).await.encryption_key_id;
    let rotation = bench
        .rotate(organization, KeyRotationType::Compromise)
        .await;
    bench.issue(organization).await.unwrap();
    let command = CancelKeyRotation {
        key_rotation_id: rotation.key_rotation_id,
    };
    let refused = bench
        .client
        .cancel_key_rotation(bench.context(organization), command);
    assert_eq!(refused.await.unwrap_err().0.code, "key_compromised");
    bench.finish().await;

    let ended = bench.rotation(organization, &rotation).await;
    assert_eq!(ended.status, KeyRotationStatus::Completed, "{ended:?}");
    let key = bench.key(organization, old).await;
    assert_eq!(key.status, EncryptionKeyStatus::Revoked);
    let exposed = exposed(&bench, organization, &rotation).await;
    // Not the one that was sealed under the new key.
    assert_eq!(exposed.len() as i64, ITEMS + 2);
    let issuers = exposed.iter().filter(|key| key.is_issuer_key).count();
    assert_eq!(issuers, 1);
    let certificate = issued.event.body.record().certificate_id;
    let named = |key: &&ExposedKey| key.certificate_ids.contains(&certificate);
    assert_eq!(exposed.iter().filter(named).count(), 1);

    // A later rotation forgets nothing of it, and exposes nothing.
    let later = bench.complete(organization, KeyRotationType::Manual).await;
    assert!(self::exposed(&bench, organization, &later).await.is_empty());
    let still = self::exposed(&bench, organization, &rotation).await;
    assert_eq!(still, exposed);
    let stranger = OrganizationId::from_uuid(Uuid::from_u128(5));
    let command = ListExposedKeys {
        key_rotation_id: rotation.key_rotation_id,
        after: None,
        limit: 1,
    };
    let foreign = bench
        .client
        .list_exposed_keys(bench.context(stranger), command);
    assert_eq!(foreign.await.unwrap_err().0.code, "not_found");
}

/// All pages.
pub(super) async fn exposed(
    bench: &Bench,
    organization: OrganizationId,
    rotation: &KeyRotation,
) -> Vec<ExposedKey> {
    let (mut all, mut after): (Vec<ExposedKey>, Option<PrivateKeyId>) = (Vec::new(), None);
    loop {
        let command = ListExposedKeys {
            key_rotation_id: rotation.key_rotation_id,
            after,
            limit: 700,
        };
        let context = bench.context(organization);
        let page = bench
            .client
            .list_exposed_keys(context, command)
            .await
            .unwrap();
        let Some(last) = page.last() else { return all };
        after = Some(last.private_key_id);
        all.extend(page);
    }
}
