//! Tests of `api_keys::usage`.

use uuid::Uuid;

use super::*;
use crate::test_values::at;

fn key(number: u128) -> ApiKeyId {
    ApiKeyId::from_uuid(Uuid::from_u128(number))
}

#[test]
fn uses_are_summed_and_taken_once() {
    let usage = Usage::default();
    usage.note(key(2), at(1));
    usage.note(key(1), at(5));
    usage.note(key(1), at(3));
    let taken = usage.take();
    let seen: Vec<_> = taken
        .iter()
        .map(|one| (one.api_key_id, one.count, one.last_used_at))
        .collect();
    assert_eq!(seen, [(key(1), 2, at(5)), (key(2), 1, at(1))]);
    assert!(usage.take().is_empty());
}

#[test]
fn what_could_not_be_written_counts_with_the_next() {
    let usage = Usage::default();
    usage.note(key(1), at(1));
    let taken = usage.take();
    usage.note(key(1), at(2));
    taken.iter().for_each(|one| usage.add(*one));
    let again = usage.take();
    assert_eq!((again[0].count, again[0].last_used_at), (2, at(2)));
}

#[test]
fn a_refusal_is_recorded_once_a_minute() {
    let usage = Usage::default();
    assert!(usage.is_first_refusal(key(1), at(0)));
    assert!(!usage.is_first_refusal(key(1), at(59)));
    assert!(usage.is_first_refusal(key(2), at(59)));
    assert!(usage.is_first_refusal(key(1), at(60)));
}

#[test]
fn refusals_are_bounded() {
    let usage = Usage::default();
    for number in 0..REFUSALS_MAX {
        assert!(usage.is_first_refusal(key(number as u128), at(0)));
    }
    assert!(!usage.is_first_refusal(key(u128::MAX), at(1)));
    assert!(usage.is_first_refusal(key(u128::MAX), at(60)));
}
