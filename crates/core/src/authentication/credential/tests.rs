//! Tests of `credential`.

use super::*;
use crate::test_values::CountingRng;

struct Fixed(u8);

impl Rng for Fixed {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(self.0);
    }
}

#[test]
fn api_keys_have_the_documented_form() {
    for byte in [0x00, 0x01, 0x7f, 0xff] {
        let key = new_api_key(&Fixed(byte));
        let text = key.expose();

        assert_eq!(text.len(), 53, "{text}");
        let digits = text.strip_prefix("clm_").unwrap();
        assert!(
            digits.bytes().all(|digit| digit.is_ascii_alphanumeric()),
            "{text}"
        );
        assert_eq!(api_key_hash(text), Some(hash(text)));
    }
}

#[test]
fn base62_is_positional() {
    let base62 = |bytes: &[u8], count| {
        let mut text = String::new();
        push_base62(&mut text, bytes, count);
        text
    };

    assert_eq!(base62(&[0], 2), "00");
    assert_eq!(base62(&[61], 2), "0z");
    assert_eq!(base62(&[62], 2), "10");
    assert_eq!(base62(&[0xff, 0xff, 0xff, 0xff], 6), "4gfFC3");
    // 2^256 - 1 needs all 43 digits.
    assert_eq!(&base62(&[0xff; 32], 44)[..1], "0");
    assert_ne!(&base62(&[0xff; 32], 43)[..1], "0");
}

#[test]
fn every_changed_character_of_an_api_key_is_noticed() {
    let key = new_api_key(&Fixed(0x5a));
    let text = key.expose();

    for position in 0..text.len() {
        let mut changed = text.as_bytes().to_vec();
        changed[position] = if changed[position] == b'x' {
            b'y'
        } else {
            b'x'
        };
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(api_key_hash(&changed), None, "{changed}");
    }
}

#[test]
fn what_is_no_api_key_has_no_hash() {
    let key = new_api_key(&Fixed(0x5a));
    let text = key.expose();

    for garbage in [
        "",
        "clm_",
        "ü",
        &"ü".repeat(30),
        &text[1..],
        &text[..52],
        &format!("{text}0"),
    ] {
        assert_eq!(api_key_hash(garbage), None, "{garbage}");
    }
}

#[test]
fn tokens_are_43_characters_and_differ() {
    let rng = CountingRng::default();
    let first = new_token(&rng);
    let second = new_token(&rng);

    assert_eq!(first.expose().len(), 43);
    assert_ne!(first.expose(), second.expose());
    assert_eq!(token_hash(first.expose()), Some(hash(first.expose())));
}

#[test]
fn what_is_no_token_has_no_hash() {
    let token = new_token(&Fixed(0xff));
    let text = token.expose();

    for garbage in [
        "",
        "a",
        &text[1..],
        &format!("{text}A"),
        &format!("{text}="),
        &"é".repeat(21),
    ] {
        assert_eq!(token_hash(garbage), None, "{garbage}");
    }
}

#[test]
fn hashes_compare_as_a_whole() {
    let hash = [7_u8; 32];

    assert!(equal_in_constant_time(&hash, &[7; 32]));
    for position in 0..32 {
        let mut other = hash;
        other[position] ^= 0x80;
        assert!(!equal_in_constant_time(&hash, &other));
    }
}
