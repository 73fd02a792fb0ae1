//! Tests of `certificate_quotas`.

use super::*;
use crate::test_values::at;

#[test]
fn blocks_shrink_near_the_quota() {
    for (left, places) in [
        (-5, 0),
        (0, 0),
        (1, 1),
        (15, 1),
        (16, 1),
        (64, 4),
        (8_000, 500),
        (i64::MAX, 500),
    ] {
        assert_eq!(block(left), places, "{left}");
    }
}

#[test]
fn what_is_leased_counts_like_what_is_there() {
    let counted = Counted {
        live: 3,
        granted: 4,
    };
    assert_eq!(room(10, &counted), 3);
    assert_eq!(room(7, &counted), 0);
    assert_eq!(room(0, &counted), -7);
}

#[test]
fn a_count_is_relied_on_for_a_while() {
    let row = QuotaRow {
        counted: Counted {
            live: 0,
            granted: 0,
        },
        revision: 7,
        counted_at: at(0),
    };
    assert!(is_current(&row, 7, at(59)));
    assert!(!is_current(&row, 7, at(60)), "too old");
    assert!(!is_current(&row, 8, at(0)), "the quota may be another");
}

fn quota() -> std::sync::Arc<Quota> {
    let organization_id = OrganizationId::from_uuid(Uuid::from_u128(7));
    CertificateQuotas::default().of(organization_id)
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn place(quota: &std::sync::Arc<Quota>) -> Place {
    match quota.take() {
        Found::Place(place) => place,
        _ => panic!("there is a place"),
    }
}

#[tokio::test]
async fn places_are_given_out_once() {
    let quota = quota();
    assert!(matches!(quota.take(), Found::Nothing));
    quota.fill(2, later());
    let (one, two) = (place(&quota), place(&quota));
    assert!(matches!(quota.take(), Found::Nothing));
    assert_eq!(quota.outstanding(), 2);
    one.give_back();
    let again = place(&quota);
    assert_eq!(quota.outstanding(), 2);
    again.give_back();
    assert_eq!(quota.outstanding(), 1);
    assert!(
        matches!(quota.take(), Found::Nothing),
        "the lease that is written next is without it"
    );
    two.settle();
    assert_eq!(quota.outstanding(), 0);
    assert!(quota.is_exhausted());
}

#[tokio::test]
async fn a_place_of_unknown_fate_still_counts() {
    let quota = quota();
    quota.fill(1, later());
    drop(place(&quota));
    assert!(!quota.is_under_way(), "nobody waits for it");
    assert_eq!(quota.outstanding(), 1, "but it counts");
    assert!(matches!(quota.take(), Found::Nothing));
}

#[tokio::test]
async fn what_is_known_ends() {
    let quota = quota();
    quota.set_unlimited(later());
    assert!(matches!(quota.take(), Found::Unlimited));
    quota.set_unlimited(Instant::now());
    assert!(matches!(quota.take(), Found::Nothing));
    quota.fill(5, Instant::now());
    assert!(
        matches!(quota.take(), Found::Nothing),
        "the lease has ended"
    );
    quota.set_full(later());
    assert!(matches!(quota.take(), Found::Full));
    quota.set_full(Instant::now());
    assert!(quota.is_exhausted());
}

#[tokio::test]
async fn only_the_edge_is_told_at_once() {
    let quota = quota();
    let lease_id = quota.lease_id(|| Uuid::from_u128(1));
    assert_eq!(quota.lease_id(|| Uuid::from_u128(2)), lease_id);
    quota.fill(2, later());
    place(&quota).settle();
    place(&quota).settle();
    assert!(quota.idle_near_the_edge().is_none(), "a block of two");
    quota.fill(1, later());
    let last = place(&quota);
    assert!(quota.idle_near_the_edge().is_none(), "under way");
    last.settle();
    let (turn, found) = quota.idle_near_the_edge().unwrap();
    assert_eq!(found, lease_id);
    drop(turn);
}

#[tokio::test]
async fn patience_ends() {
    let quota = quota();
    assert!(quota.is_short_for_less_than(Duration::from_secs(60)));
    assert!(!quota.is_short_for_less_than(Duration::ZERO));
    quota.fill(1, later());
    assert!(quota.is_short_for_less_than(Duration::from_secs(60)));
}
