//! Tests of `password`.

use super::*;
use crate::test_values::CountingRng;

/// Small, so that tests are quick; the structure is the same.
fn small() -> PasswordHashing {
    PasswordHashing {
        memory_kib: 64,
        iterations: 1,
        parallelism: 1,
        concurrent_max: 1,
    }
}

fn secret(text: &str) -> SecretString {
    SecretString::new(text.to_owned())
}

#[tokio::test]
async fn a_password_matches_its_own_hash_only() {
    let hasher = PasswordHasher::new(small());
    let password = secret("correct horse battery");

    let phc = hasher
        .hash(&password, &CountingRng::default())
        .await
        .unwrap();

    assert!(phc.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{phc}");
    assert!(hasher.verify(&password, &phc).await.unwrap());
    assert!(
        !hasher
            .verify(&secret("correct horse batterY"), &phc)
            .await
            .unwrap()
    );
    assert!(!hasher.verify(&secret(""), &phc).await.unwrap());
}

#[tokio::test]
async fn the_same_password_is_salted_anew() {
    let hasher = PasswordHasher::new(small());
    let rng = CountingRng::default();
    let password = secret("correct horse battery");

    let first = hasher.hash(&password, &rng).await.unwrap();
    let second = hasher.hash(&password, &rng).await.unwrap();

    assert_ne!(first, second);
}

#[tokio::test]
async fn the_hash_for_unknown_users_can_be_checked_and_matches_nothing() {
    let hasher = PasswordHasher::new(small());

    hasher
        .verify_unknown(&secret("correct horse battery"))
        .await
        .unwrap();
    hasher
        .verify_unknown(&secret(&"x".repeat(1_000_000)))
        .await
        .unwrap();

    assert!(
        !hasher.needs_rehash(&hasher.unknown),
        "must cost what real hashes cost"
    );
    assert!(!hasher.verify(&secret(""), &hasher.unknown).await.unwrap());
}

#[tokio::test]
async fn a_password_beyond_the_limit_is_never_right() {
    let hasher = PasswordHasher::new(small());
    let long = secret(&"x".repeat(PASSWORD_BYTES_MAX + 1));
    let phc = hasher.hash(&long, &CountingRng::default()).await.unwrap();

    assert!(!hasher.verify(&long, &phc).await.unwrap());
}

#[tokio::test]
async fn hashes_of_other_parameters_are_made_anew() {
    let weak = PasswordHasher::new(small());
    let strong = PasswordHasher::new(PasswordHashing {
        iterations: 3,
        ..small()
    });
    let password = secret("correct horse battery");
    let phc = weak.hash(&password, &CountingRng::default()).await.unwrap();

    assert!(!weak.needs_rehash(&phc));
    assert!(strong.needs_rehash(&phc));
    assert!(
        strong.verify(&password, &phc).await.unwrap(),
        "old hashes are still good"
    );
    assert!(strong.needs_rehash(&phc.replace("argon2id", "argon2i")));
    assert!(strong.needs_rehash("nonsense"));
}

#[tokio::test]
async fn what_is_no_hash_is_our_fault() {
    let hasher = PasswordHasher::new(small());

    let error = hasher
        .verify(&secret("correct horse battery"), "plain text")
        .await
        .unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Internal);
}

#[tokio::test]
async fn parameters_out_of_range_are_reported() {
    let hasher = PasswordHasher::new(PasswordHashing {
        memory_kib: 1,
        ..small()
    });

    let error = hasher
        .hash(&secret("correct horse"), &CountingRng::default())
        .await
        .unwrap_err();

    assert_eq!(error.kind(), ErrorKind::Internal);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_does_not_move_is_left() {
    let hasher = PasswordHasher::new(small());
    let _turn = hasher.turns.acquire().await.unwrap();

    let error = hasher
        .verify_unknown(&secret("correct horse"))
        .await
        .unwrap_err();

    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(error.0.code, "sign_in_busy");
}

#[test]
fn new_passwords_are_judged() {
    let judge = |text: &str| {
        check_policy(&secret(text), "Administrator", "new_password").map_err(|error| {
            assert_eq!(error.0.violations[0].field, "new_password");
            error.0.code.into_owned()
        })
    };

    assert_eq!(judge("twelve chars"), Ok(()));
    assert_eq!(judge("zwölf Zeich."), Ok(()));
    assert_eq!(judge("eleven char"), Err("password_too_short".to_owned()));
    assert_eq!(
        judge("administrator"),
        Err("password_is_username".to_owned())
    );
    assert_eq!(judge(&"x".repeat(1_024)), Ok(()));
    assert_eq!(
        judge(&"x".repeat(1_025)),
        Err("password_too_long".to_owned())
    );
}
