//! Tests of `connection`.

use super::*;

const FIRST: Duration = Duration::from_secs(10);
const BETWEEN: Duration = Duration::from_secs(75);

/// Whether the watch ends within `seconds` of the real clock's stand-in.
async fn ends_within(watched: &watch::Receiver<usize>, milliseconds: u64) -> bool {
    let (first, between) = (FIRST / 100, BETWEEN / 100);
    let patience = Duration::from_millis(milliseconds);
    tokio::time::timeout(patience, rested(watched.clone(), first, between))
        .await
        .is_ok()
}

#[tokio::test]
async fn a_connection_without_a_request_ends() {
    let (_running, watched) = watch::channel(0);
    assert!(!ends_within(&watched, 20).await);
    assert!(ends_within(&watched, 2_000).await);
}

#[tokio::test]
async fn a_request_under_way_keeps_its_connection() {
    let (running, watched) = watch::channel(0);
    let running = Arc::new(running);
    let request = Running::start(&running);
    assert!(!ends_within(&watched, 1_000).await);
    drop(request);
    assert_eq!(*watched.borrow(), 0);
    assert!(ends_within(&watched, 2_000).await);
}

#[test]
fn the_name_of_a_host_has_no_port_and_no_brackets() {
    assert_eq!(host_name("clm.example:8443"), "clm.example");
    assert_eq!(host_name("[::1]:8443"), "::1");
    assert_eq!(host_name("localhost"), "localhost");
}
