//! Tests of `cache`.

use clm_domain::actor::Actor;
use clm_domain::ids::{ApiKeyId, SYSTEM_ORGANIZATION};
use clm_domain::permission::Permissions;
use uuid::Uuid;

use super::*;

const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn user(number: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(number))
}

fn identity_of(user_id: UserId) -> Arc<Identity> {
    let api_key_id = ApiKeyId::from_uuid(Uuid::from_u128(99));
    Arc::new(Identity {
        actor: Actor::ApiKey {
            api_key_id,
            user_id,
        },
        username: String::new(),
        organization_id: SYSTEM_ORGANIZATION,
        permissions: Permissions::none(),
        owed: None,
        ends_at: None,
        look_up_at: None,
        allowed_networks: None,
        scopes: None,
        csrf_sha256: None,
    })
}

fn hash(number: usize) -> CredentialHash {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&number.to_be_bytes());
    hash
}

#[tokio::test(start_paused = true)]
async fn an_entry_lives_for_a_second_from_before_its_look_up() {
    let cache = AuthenticationCache::default();
    let begun = cache.begin();
    tokio::time::advance(Duration::from_millis(400)).await;
    cache.insert(&begun, hash(1), identity_of(user(1)));

    tokio::time::advance(Duration::from_millis(599)).await;
    assert!(cache.find(&hash(1), NOW).is_some());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(cache.find(&hash(1), NOW).is_none());
}

#[tokio::test(start_paused = true)]
async fn while_changes_are_looked_at_an_entry_lives_for_longer() {
    let cache = AuthenticationCache::default();
    assert_eq!(cache.horizon(), None);
    let begun = cache.begin();
    cache.insert(&begun, hash(1), identity_of(user(1)));

    for second in 1..LIFETIME.as_secs() {
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(
            cache.find(&hash(1), NOW).is_none(),
            "{second}: track is lost"
        );
        cache.keep_track(7, Instant::now());
        assert!(cache.find(&hash(1), NOW).is_some(), "{second}");
    }
    assert_eq!(cache.horizon(), Some(7));
    tokio::time::advance(Duration::from_secs(1)).await;
    cache.keep_track(8, Instant::now());
    assert!(cache.find(&hash(1), NOW).is_none(), "it is a minute old");
}

#[tokio::test(start_paused = true)]
async fn a_failed_look_makes_everything_doubtful() {
    let cache = AuthenticationCache::default();
    let begun = cache.begin();
    cache.insert(&begun, hash(1), identity_of(user(1)));
    cache.keep_track(7, Instant::now());
    tokio::time::advance(Duration::from_millis(999)).await;
    cache.keep_track(8, Instant::now());
    cache.lose_track();
    assert!(cache.find(&hash(1), NOW).is_some(), "it is fresh");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(cache.find(&hash(1), NOW).is_none());
    assert_eq!(cache.horizon(), None);
}

#[tokio::test(start_paused = true)]
async fn a_late_look_counts_from_its_beginning() {
    let cache = AuthenticationCache::default();
    let begun = cache.begin();
    cache.insert(&begun, hash(1), identity_of(user(1)));
    let look = Instant::now();
    tokio::time::advance(Duration::from_millis(1001)).await;
    cache.keep_track(7, look);
    assert!(cache.find(&hash(1), NOW).is_none());
}

#[tokio::test(start_paused = true)]
async fn the_entries_of_an_evicted_user_are_gone_and_others_stay() {
    let cache = AuthenticationCache::default();
    let begun = cache.begin();
    cache.insert(&begun, hash(1), identity_of(user(1)));
    cache.insert(&begun, hash(2), identity_of(user(1)));
    cache.insert(&begun, hash(3), identity_of(user(2)));

    cache.evict(user(1));

    assert!(cache.find(&hash(1), NOW).is_none());
    assert!(cache.find(&hash(2), NOW).is_none());
    assert!(cache.find(&hash(3), NOW).is_some());
}

#[tokio::test(start_paused = true)]
async fn an_entry_ends_where_an_assignment_begins_or_ends() {
    let cache = AuthenticationCache::default();
    let begun = cache.begin();
    let mut identity = Identity::clone(&identity_of(user(1)));
    let change_at = NOW + chrono::TimeDelta::milliseconds(300);
    identity.look_up_at = Some(change_at);
    cache.insert(&begun, hash(1), Arc::new(identity));

    let before = change_at - chrono::TimeDelta::milliseconds(1);
    assert!(cache.find(&hash(1), before).is_some());
    assert!(cache.find(&hash(1), change_at).is_none());
}

#[tokio::test(start_paused = true)]
async fn everybody_can_be_forgotten() {
    let cache = AuthenticationCache::default();
    let begun = cache.begin();
    cache.insert(&begun, hash(1), identity_of(user(1)));
    cache.insert(&begun, hash(2), identity_of(user(2)));

    cache.evict_all();

    assert!(cache.find(&hash(1), NOW).is_none());
    assert!(cache.find(&hash(2), NOW).is_none());
    cache.insert(&begun, hash(1), identity_of(user(1)));
    assert!(cache.find(&hash(1), NOW).is_none(), "begun before");
}

#[tokio::test(start_paused = true)]
async fn a_look_up_that_began_before_an_eviction_is_not_remembered() {
    let cache = AuthenticationCache::default();
    let begun = cache.begin();

    cache.evict(user(2));
    cache.insert(&begun, hash(1), identity_of(user(1)));

    assert!(cache.find(&hash(1), NOW).is_none());
}

#[test]
fn the_cache_is_bounded() {
    let cache = AuthenticationCache::default();
    let begun = cache.begin();
    for number in 0..=ENTRIES_MAX {
        cache.insert(&begun, hash(number), identity_of(user(1)));
    }

    assert!(cache.state().entries.len() <= ENTRIES_MAX);
    assert!(cache.find(&hash(ENTRIES_MAX), NOW).is_some());
}
