//! Data keys that do not open, or that came in where none should: a rotation leaves none behind unseen.

use chrono::TimeDelta;
use clm_domain::ids::EncryptionKeyId;
use clm_domain::states::MasterKeyProviderKind as Kind;
use clm_domain::states::{EncryptionKeyStatus, KeyRotationType};
use clm_secure_api::SecureError;
use clm_secure_api::command::RotateMasterKey;
use clm_secure_api::reply::KeyRotation;
use uuid::Uuid;

use super::answers::begin;
use super::bench::Bench;
use super::hold::Hold;

async fn rotate_but(
    bench: &Bench,
    give_up: Vec<EncryptionKeyId>,
) -> Result<KeyRotation, SecureError> {
    let command = RotateMasterKey {
        provider: Kind::File,
        share_set_id: None,
        rotation_type: KeyRotationType::Compromise,
        reason: None,
        give_up,
    };
    let rotated = bench.client.rotate_master_key(bench.context(), command);
    rotated.await
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_data_keys_are_named_and_can_be_given_up() {
    let bench = Bench::start().await;
    let (lost, kept) = (bench.organization().await, bench.organization().await);
    let damage = "UPDATE encryption_keys SET encryption_auth_tag = decode(repeat('00', 16), 'hex')
        WHERE key_type = 'data' AND organization_id = $1 RETURNING id";
    let id: Uuid = sqlx::query_scalar(damage)
        .bind(lost.as_uuid())
        .fetch_one(&bench.admin)
        .await
        .unwrap();
    let refused = rotate_but(&bench, Vec::new()).await.unwrap_err();
    assert_eq!(refused.0.code, "data_keys_do_not_open");
    assert!(!refused.0.message.contains("  "), "{refused}");
    assert!(refused.0.message.contains(&id.to_string()), "{refused}");
    let unknown = Uuid::from_u128(7).into();
    let refused = rotate_but(&bench, vec![id.into(), unknown])
        .await
        .unwrap_err();
    assert_eq!(refused.0.code, "data_key_unknown");
    assert_eq!(refused.0.violations[0].field, "give_up");
    let many = vec![id.into(); 1_001];
    let refused = rotate_but(&bench, many).await.unwrap_err();
    assert_eq!(refused.0.code, "too_many_keys");
    assert_eq!(bench.rotations().await, 0);
    assert_eq!(bench.master_key().await.data_keys_astray, 0);

    let rotated = rotate_but(&bench, vec![id.into()]).await.unwrap();
    assert_eq!((rotated.items_processed, rotated.items_total), (1, 1));
    bench.issue(kept).await;
    let key = bench.master_key().await;
    assert_eq!((key.data_keys, key.data_keys_astray), (1, 1));
    // Whoever repairs the row still needs the old one.
    bench.clock.advance(TimeDelta::days(2));
    bench.secure().maintain_keys().await.unwrap();
    assert_eq!(
        bench.master_statuses().await[0],
        EncryptionKeyStatus::Revoked
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_key_that_opens_is_never_left_behind() {
    let bench = Bench::start().await;
    bench.organization().await;
    let good = "SELECT id FROM encryption_keys WHERE key_type = 'data'";
    let good: Uuid = sqlx::query_scalar(good)
        .fetch_one(&bench.admin)
        .await
        .unwrap();
    let rotated = rotate_but(&bench, vec![good.into()]).await.unwrap();
    assert_eq!(rotated.items_processed, 1);
    assert_eq!(bench.astray().await, 0);

    // However it came there.
    let astray = "CREATE FUNCTION astray() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS '
            BEGIN
                UPDATE encryption_keys SET wrapping_key_id = NEW.old_encryption_key_id
                WHERE key_type = ''data'';
                RETURN NEW;
            END';
         CREATE TRIGGER trg_astray BEFORE INSERT ON key_rotation_history
            FOR EACH ROW EXECUTE FUNCTION astray()";
    sqlx::raw_sql(astray).execute(&bench.admin).await.unwrap();
    let refused = begin(&bench, None).await.unwrap().unwrap_err();
    assert_eq!(refused.0.code, "data_keys_left_behind");
    assert!(!refused.0.message.contains("  "), "{refused}");
    assert_eq!(bench.astray().await, 0);
    assert_eq!(bench.rotations().await, 1);
}

/// Operators set defaults: the snapshot must not be from before the lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_data_key_that_is_being_stored_is_seen_whatever_the_isolation_level_of_the_server() {
    let mut bench = Bench::start().await;
    bench.organization().await;
    let default =
        "ALTER DATABASE clm_secure_db SET default_transaction_isolation = 'repeatable read'";
    sqlx::query(default).execute(&bench.admin).await.unwrap();
    bench.restart().await;
    let hold = Hold::commits(&bench.admin, "encryption_keys").await;
    let storing = async {
        loop {
            match bench.organization_by(&bench.client).await {
                // Its data key is stored, and wrapped anew before it is used.
                Err(error) if error.0.code == "master_key_changing" => {}
                made => return made.unwrap(),
            }
        }
    };
    let rotating = async {
        hold.wait_for(1).await;
        let rotating = begin(&bench, None);
        hold.wait_for(2).await;
        hold.release().await;
        rotating.await.unwrap()
    };
    let (organization, rotated) = tokio::join!(storing, rotating);
    assert_eq!(rotated.unwrap().items_processed, 2);
    assert_eq!(bench.astray().await, 0);
    bench.issue(organization).await;
    bench.everything_opens().await;
}
