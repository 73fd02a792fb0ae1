//! Tests of `to_be_signed`.

use super::*;

fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

#[test]
fn times_change_their_type_in_2050() {
    let der = encode_validity(time("2049-12-31T23:59:59Z"), time("2050-01-01T00:00:00Z"));
    let expected = [
        &[0x30, 0x20, UTC_TIME, 13][..],
        b"491231235959Z",
        &[GENERALIZED_TIME, 15],
        b"20500101000000Z",
    ]
    .concat();
    assert_eq!(der, expected);
}

#[test]
fn the_first_and_the_last_time_are_written() {
    let der = encode_validity(time("1950-01-01T00:00:00Z"), time("9999-12-31T23:59:59Z"));
    let expected = [
        &[0x30, 0x20, UTC_TIME, 13][..],
        b"500101000000Z",
        &[GENERALIZED_TIME, 15],
        b"99991231235959Z",
    ]
    .concat();
    assert_eq!(der, expected);
}
