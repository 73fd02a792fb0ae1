//! What comes too late: another master key came into force while shares were being judged.

use clm_database::pool::Database;
use clm_database::{Pool, PoolOptions};
use sqlx::postgres::PgConnectOptions;
use uuid::Uuid;

use super::*;
use crate::master_key::conformance::CountingRng;
use crate::master_key::shares::{ShareSet, split};

fn key(start: u64) -> SoftwareMasterKey {
    SoftwareMasterKey::generate(MasterKeyProviderKind::Shamir, &CountingRng::new(start))
}

fn set(id: u128) -> ShareSet {
    ShareSet {
        encryption_key_id: Uuid::from_u128(id).into(),
        set_id: Uuid::from_u128(id),
        threshold: 2,
        count: 3,
    }
}

/// The split key `key` in force, and sealed. Its version is that of its set.
fn sealed_state(key: &SoftwareMasterKey, set: ShareSet) -> State {
    let stored = StoredMasterKey {
        id: set.encryption_key_id,
        key_version: i32::try_from(set.set_id.as_u128()).unwrap(),
        provider: MasterKeyProviderKind::Shamir,
        check_value: key.check_value(),
        activated_at: None,
        backup_confirmed_at: None,
    };
    let commitments = Vec::new();
    State::sealed(&stored, StoredShareSet { set, commitments })
}

/// Never asks its database.
fn master_keys(state: State) -> MasterKeys {
    let connect = PgConnectOptions::new_without_pgpass();
    let pool = Pool::new(Database::Secure, connect, &PoolOptions::default());
    MasterKeys {
        store: SecureStore::new(pool),
        sources: MasterKeySources {
            file: "master.key".into(),
            environment: [None, None],
            credentials_directory: None,
            first: None,
            is_server: true,
        },
        preparation: Arc::default(),
        is_open: watch::Sender::new(!state.is_sealed),
        state: RwLock::new(state),
    }
}

#[tokio::test]
async fn a_key_that_was_replaced_meanwhile_opens_nothing() {
    let master_keys = master_keys(sealed_state(&key(1), set(1)));
    master_keys.replace(sealed_state(&key(2), set(2)));
    assert!(master_keys.unseal(key(1)).is_none());
    assert!(master_keys.is_sealed());
    assert!(!*master_keys.watch().borrow());

    assert!(master_keys.unseal(key(2)).is_some());
    assert!(!master_keys.is_sealed());
    assert!(master_keys.unseal(key(2)).is_none(), "it is open");
}

#[tokio::test]
async fn a_share_of_a_set_that_was_replaced_meanwhile_is_not_kept() {
    let now = DateTime::UNIX_EPOCH;
    let shares = |start, set| split(&key(start), set, &CountingRng::new(77)).unwrap();
    let master_keys = master_keys(sealed_state(&key(1), set(1)));
    master_keys.replace(sealed_state(&key(2), set(2)));
    let late = shares(1, set(1)).remove(0);
    assert!(master_keys.collect(late, now).is_none());
    assert_eq!(master_keys.status(now).given, 0);

    let mut fitting = shares(2, set(2));
    let status = master_keys.collect(fitting.remove(0), now);
    assert_eq!(status.map(|status| status.given), Some(1));
    let combined = master_keys.try_combine(&fitting[0], now).unwrap().unwrap();
    assert_eq!(combined.check_value(), key(2).check_value());
}

fn open_state(start: u64, id: u128) -> State {
    let stored = sealed_state(&key(start), set(id)).in_force;
    let in_force = InForce {
        key: Arc::new(key(start)),
        ..stored
    };
    let commitments = Vec::new();
    let set = set(id);
    State::open(
        in_force,
        Some(Arc::new(StoredShareSet { set, commitments })),
    )
}

/// It was read before the rotation committed, and comes after the rotation was taken over.
#[tokio::test]
async fn a_look_at_the_database_that_comes_late_does_not_bring_the_key_before_back() {
    let master_keys = master_keys(open_state(1, 1));
    let late = sealed_state(&key(1), set(1));
    let newer = open_state(2, 2);
    master_keys.take_over(newer.in_force, Some(stored_set(2)));
    assert!(!master_keys.replace(late));
    assert!(!master_keys.is_sealed());
    assert!(*master_keys.watch().borrow());
    assert_eq!(master_keys.in_force().key_version, 2);
}

/// Two who heard of the same key: the second one must not wipe what custodians have given meanwhile.
#[tokio::test]
async fn the_same_key_is_not_taken_over_twice() {
    let now = DateTime::UNIX_EPOCH;
    let master_keys = master_keys(open_state(1, 1));
    assert!(master_keys.replace(sealed_state(&key(2), set(2))));
    let share = split(&key(2), set(2), &CountingRng::new(77))
        .unwrap()
        .remove(0);
    assert_eq!(master_keys.collect(share, now).unwrap().given, 1);
    assert!(!master_keys.replace(sealed_state(&key(2), set(2))));
    assert_eq!(master_keys.status(now).given, 1);
}

#[tokio::test]
async fn whoever_seals_means_the_key_that_is_on_its_way_as_well() {
    let master_keys = master_keys(open_state(1, 1));
    assert!(master_keys.seal().unwrap().changed);
    let newer = open_state(2, 2);
    master_keys.take_over(newer.in_force, Some(stored_set(2)));
    assert!(master_keys.is_sealed());
    assert!(master_keys.wrapping().is_err());
    assert!(
        master_keys.unseal(key(2)).is_some(),
        "it is in force all the same"
    );
}

fn stored_set(id: u128) -> StoredShareSet {
    let commitments = Vec::new();
    let set = set(id);
    StoredShareSet { set, commitments }
}
