//! Tests of `cache`.

use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

#[test]
fn a_value_is_used_until_it_is_too_old() {
    let cache = Cache::new(2, Some(TimeDelta::seconds(1)));
    cache.store("a", 1, at(100));
    assert_eq!(cache.find(&"a", at(101)), Some(1));
    assert_eq!(cache.find(&"a", at(102)), None);
}

#[test]
fn a_clock_that_was_set_back_does_not_prolong_a_value() {
    let cache = Cache::new(2, Some(TimeDelta::seconds(1)));
    cache.store("a", 1, at(100));
    assert_eq!(cache.find(&"a", at(50)), None);
}

#[test]
fn a_full_cache_loses_its_oldest_value() {
    let cache = Cache::new(2, None);
    cache.store("a", 1, at(1));
    cache.store("b", 2, at(2));
    cache.store("c", 3, at(3));
    assert_eq!(cache.find(&"a", at(3)), None);
    assert_eq!(cache.find(&"b", at(3)), Some(2));
    assert_eq!(cache.find(&"c", at(3)), Some(3));
    cache.store("b", 4, at(4));
    assert_eq!(cache.find(&"c", at(4)), Some(3));
    cache.forget(&"b");
    assert_eq!(cache.find(&"b", at(4)), None);
}
