//! Tests of `events`.

use super::*;

#[test]
fn a_page_is_no_longer_than_a_message_and_never_empty() {
    let items = |count: usize, bytes: usize| vec!["x".repeat(bytes); count];
    assert_eq!(as_many_as_travel(items(1_000, 100)).len(), 1_000);
    // As long as the names of a thousand certificates may be.
    let long = as_many_as_travel(items(1_000, 250_000));
    assert!((2..=20).contains(&long.len()), "{}", long.len());
    assert!(wire::encode(&long).is_ok(), "it travels");
    assert_eq!(as_many_as_travel(items(3, PAGE_BYTES_MAX + 1)).len(), 1);
    assert!(as_many_as_travel(items(0, 0)).is_empty());
}
