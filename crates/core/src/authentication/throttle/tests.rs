//! Tests of `authentication::throttle`.

use super::*;

fn network(text: &str) -> Option<IpAddr> {
    network_of(Some(text))
}

#[test]
fn pauses_grow_up_to_a_quarter_of_an_hour() {
    let seconds = [0, 20, 21, 22, 23, 30, 31, 1_000, u32::MAX]
        .map(|failures| pause_after(failures).as_secs());

    assert_eq!(seconds, [0, 0, 1, 2, 4, 512, 900, 900, 900]);
}

#[test]
fn an_address_is_that_of_whoever_has_it() {
    assert_eq!(network("192.0.2.7"), network("::ffff:192.0.2.7"));
    assert_ne!(network("192.0.2.7"), network("192.0.2.8"));
    assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
    assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
    assert_eq!(network("none"), None);
    assert_eq!(network_of(None), None);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_keeps_failing_waits_and_others_do_not() {
    let throttle = SignInThrottle::default();
    let (one, other) = (network("192.0.2.1"), network("192.0.2.2"));
    for _ in 0..FAILURES_FREE {
        throttle.failed(one);
        assert!(throttle.admit(one).is_ok());
    }
    throttle.failed(one);
    let error = throttle.admit(one).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(error.0.retry_after_seconds, Some(2));
    assert!(throttle.admit(other).is_ok());
    assert!(throttle.admit(None).is_ok(), "the local socket");

    tokio::time::advance(PAUSE_FIRST).await;
    assert!(throttle.admit(one).is_ok());
    throttle.failed(one);
    tokio::time::advance(PAUSE_FIRST).await;
    assert!(throttle.admit(one).is_err(), "the second pause is longer");
    throttle.succeeded(one);
    assert!(throttle.admit(one).is_ok());
    throttle.failed(one);
    assert!(throttle.admit(one).is_ok(), "some are forgiven");
    for _ in 0..FAILURES_FORGIVEN {
        throttle.failed(one);
    }
    assert!(throttle.admit(one).is_err(), "not all");
}

#[tokio::test(start_paused = true)]
async fn what_is_old_is_forgotten() {
    let throttle = SignInThrottle::default();
    let one = network("192.0.2.1");
    for _ in 0..=FAILURES_FREE {
        throttle.failed(one);
    }
    tokio::time::advance(FORGOTTEN_AFTER + PAUSE_FIRST).await;
    throttle.failed(one);
    assert!(throttle.admit(one).is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_memory_is_bounded() {
    let throttle = SignInThrottle::default();
    let numbered = |number: u32| Some(IpAddr::V4(std::net::Ipv4Addr::from_bits(number)));
    for number in 0..=u32::try_from(ADDRESSES_MAX).unwrap() {
        throttle.failed(numbered(number));
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    let addresses = throttle.addresses();
    assert_eq!(addresses.len(), ADDRESSES_MAX);
    assert!(
        !addresses.contains_key(&numbered(0).unwrap()),
        "the oldest went"
    );
}
