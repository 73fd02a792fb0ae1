//! Tests of `create_certificate_authority`.

use super::*;

#[test]
fn the_path_length_shrinks_on_the_way_down() {
    assert_eq!(path_length_objection(None, None), None);
    assert_eq!(path_length_objection(None, Some(3)), None);
    assert_eq!(path_length_objection(Some(1), Some(0)), None);
    assert!(path_length_objection(Some(1), Some(1)).is_some());
    assert!(path_length_objection(Some(1), None).is_some());
    assert!(path_length_objection(Some(0), Some(0)).is_some());
}

#[test]
fn the_validity_counts_its_last_second() {
    let now = DateTime::from_timestamp(1_000, 500_000_000).unwrap();
    let (not_before, not_after) = validity(86_400, now).unwrap();
    assert_eq!(
        (not_before.timestamp(), not_after.timestamp()),
        (1_000, 1_000 + 86_399)
    );
    assert!(validity(0, now).is_err());
    assert!(validity(u64::MAX, now).is_err());
}
