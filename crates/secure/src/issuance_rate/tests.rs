//! Tests of `issuance_rate`.

use uuid::Uuid;

use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn issuer(number: u128) -> IssuerId {
    IssuerId::from_uuid(Uuid::from_u128(number))
}

#[test]
fn no_limit_means_no_limit() {
    let rates = IssuanceRates::default();
    assert!((0..1000).all(|_| rates.take(issuer(1), None, at(0)).is_ok()));
}

#[test]
fn the_window_slides() {
    let rates = IssuanceRates::default();
    assert!(rates.take(issuer(1), Some(2), at(0)).is_ok());
    assert!(rates.take(issuer(1), Some(2), at(30)).is_ok());
    let refused = rates.take(issuer(1), Some(2), at(45)).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::RateLimited);
    assert_eq!(refused.retry_after_seconds, Some(16));
    assert!(rates.take(issuer(1), Some(2), at(60)).is_ok());
    assert!(rates.take(issuer(1), Some(2), at(61)).is_err());
}

#[test]
fn issuers_do_not_share_a_window() {
    let rates = IssuanceRates::default();
    assert!(rates.take(issuer(1), Some(1), at(0)).is_ok());
    assert!(rates.take(issuer(2), Some(1), at(0)).is_ok());
    assert!(rates.take(issuer(1), Some(1), at(0)).is_err());
}

#[test]
fn a_limit_of_zero_allows_nothing() {
    assert!(
        IssuanceRates::default()
            .take(issuer(1), Some(0), at(0))
            .is_err()
    );
}
