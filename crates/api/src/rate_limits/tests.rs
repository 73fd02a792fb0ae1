//! Tests of `rate_limits`.

use super::*;

#[test]
fn a_burst_passes_and_then_no_more() {
    let limiter = Limiter::new("principal", 1).unwrap();
    for left in (0..10).rev() {
        let standing = limiter.check(1);
        assert_eq!(standing.remaining, left);
        assert!(pass(standing).is_ok());
    }
    let refused = limiter.check(1);
    let wait = refused.wait_seconds.unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    assert!(pass(refused).is_err());
    assert!(pass(limiter.check(2)).is_ok(), "others are not concerned");
}

#[test]
fn a_bad_credential_costs_more() {
    let limiter = Limiter::new("address", 1).unwrap();
    for _ in 0..2 {
        assert!(pass(limiter.check(1)).is_ok());
        limiter.punish(1);
    }
    assert!(limiter.check(1).wait_seconds.is_some());
}

#[test]
fn nothing_is_no_limit() {
    assert!(Limiter::<u8>::new("principal", 0).is_none());
}

#[test]
fn whoever_came_long_ago_is_forgotten() {
    let limiter = Limiter::new("address", 1_000_000).unwrap();
    for key in 0..CHECKS_PER_CLEANING + 1 {
        limiter.check(key);
    }
    assert!(limiter.inner.len() < CHECKS_PER_CLEANING as usize);
}

#[test]
fn the_local_operator_counts_for_nobody() {
    assert!(network(&Peer::LocalOperator { uid: 0 }).is_none());
}

#[test]
fn answers_say_where_one_stands() {
    let standing = Standing {
        name: "principal",
        burst: 100,
        remaining: 0,
        wait_seconds: Some(3),
    };
    let response = with_standing(Response::default(), Some(standing));
    assert_eq!(
        response.headers()["ratelimit-policy"],
        "\"principal\";q=100;w=10"
    );
    assert_eq!(response.headers()["ratelimit"], "\"principal\";r=0;t=3");
    let silent = with_standing(Response::default(), None);
    assert!(silent.headers().is_empty());
}
