//! Tests of `backup_codes`.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU8, Ordering};

use clm_domain::clock::Rng;

use super::*;

/// Bytes that count upwards from call to call.
struct Counting(AtomicU8);

impl Rng for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        for byte in buffer {
            *byte = self.0.fetch_add(7, Ordering::Relaxed);
        }
    }
}

fn hash_of(text: &str) -> Option<[u8; 32]> {
    hash(&SecretString::new(text.to_owned()))
}

#[test]
fn codes_are_read_back_as_they_were_shown_or_typed_otherwise() {
    let codes = generate(&Counting(AtomicU8::new(1)));
    assert_eq!(codes.len(), CODES);
    let hashes: HashSet<_> = codes.iter().map(|code| hash(code).unwrap()).collect();
    assert_eq!(hashes.len(), CODES, "each is another one");
    let shown = codes.first().unwrap().expose();
    assert_eq!(shown.len(), 19);
    let typed = shown.to_uppercase().replace('-', " ");
    assert_eq!(hash_of(&typed), hash_of(shown));
    assert_eq!(hash_of(&shown.replace('-', "")), hash_of(shown));
}

#[test]
fn what_is_no_code_has_no_hash() {
    for text in [
        "",
        "123456",
        "abcd-efgh-ijkl-mno",
        "abcd-efgh-ijkl-mnopq",
        "abcd-efgh-ijkl-mno1",
        "abcd_efgh_ijkl_mnop",
        "äbcd-efgh-ijkl-mnop",
    ] {
        assert_eq!(hash_of(text), None, "{text}");
    }
}
