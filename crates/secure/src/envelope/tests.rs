//! Tests of `envelope`.

use std::sync::atomic::{AtomicU8, Ordering};

use super::*;

/// Bytes that count up: every nonce differs.
struct CountingRng(AtomicU8);

impl Rng for CountingRng {
    fn fill(&self, buffer: &mut [u8]) {
        for byte in buffer {
            *byte = self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn place() -> Place {
    Place::private_key(
        PrivateKeyId::from_uuid(Uuid::from_u128(1)),
        OrganizationId::from_uuid(Uuid::from_u128(2)),
        EncryptionKeyId::from_uuid(Uuid::from_u128(3)),
    )
}

fn key(byte: u8) -> SecretBytes {
    SecretBytes::new(vec![byte; KEY_BYTES])
}

fn sealed() -> Sealed {
    seal(
        &key(7),
        &place(),
        &SecretBytes::new(b"key material".to_vec()),
        &CountingRng(AtomicU8::new(0)),
    )
    .unwrap()
}

#[test]
fn what_was_sealed_opens_at_its_place() {
    let sealed = sealed();
    assert_ne!(sealed.ciphertext, b"key material");
    assert_eq!(
        open(&key(7), &place(), &sealed).unwrap().expose(),
        b"key material"
    );
}

#[test]
fn each_seal_has_its_own_nonce() {
    let rng = CountingRng(AtomicU8::new(0));
    let secret = SecretBytes::new(vec![1; 48]);
    let first = seal(&key(7), &place(), &secret, &rng).unwrap();
    let second = seal(&key(7), &place(), &secret, &rng).unwrap();
    assert_ne!(first.nonce, second.nonce);
    assert_ne!(first.ciphertext, second.ciphertext);
}

#[test]
fn nothing_opens_at_another_place_or_under_another_key() {
    let sealed = sealed();
    let here = place();
    let elsewhere = [
        Place {
            table: "encryption_keys",
            ..here
        },
        Place {
            column: "other",
            ..here
        },
        Place {
            row_id: Uuid::from_u128(9),
            ..here
        },
        Place {
            organization_id: OrganizationId::from_uuid(Uuid::from_u128(9)),
            ..here
        },
        Place {
            encryption_key_id: EncryptionKeyId::from_uuid(Uuid::from_u128(9)),
            ..here
        },
        Place {
            algorithm: "AES-256-GCM totp",
            ..here
        },
    ];
    for other in elsewhere {
        assert_eq!(
            open(&key(7), &other, &sealed).unwrap_err(),
            EnvelopeError::Open(other)
        );
    }
    assert!(open(&key(8), &here, &sealed).is_err());
}

#[test]
fn a_changed_value_does_not_open() {
    let mut changed = sealed();
    changed.ciphertext[0] ^= 1;
    assert!(open(&key(7), &place(), &changed).is_err());
    let mut changed = sealed();
    changed.tag[15] ^= 1;
    assert!(open(&key(7), &place(), &changed).is_err());
    let mut changed = sealed();
    changed.nonce[0] ^= 1;
    assert!(open(&key(7), &place(), &changed).is_err());
}

#[test]
fn the_additional_data_is_what_the_format_says() {
    let expected = concat!(
        "0000000101", // format version
        "0000000c",
        "707269766174655f6b657973", // private_keys
        "00000016",
        "656e637279707465645f6b65795f6d6174657269616c", // encrypted_key_material
        "00000010",
        "00000000000000000000000000000001", // row
        "00000010",
        "00000000000000000000000000000002", // organization
        "00000010",
        "00000000000000000000000000000003", // encryption key
        "0000000b",
        "4145532d3235362d47434d", // AES-256-GCM
    );
    assert_eq!(hex::encode(place().additional_data()), expected);
}

#[test]
fn an_error_names_the_row_and_no_content() {
    let message = EnvelopeError::Open(place()).to_string();
    assert!(
        message.contains("private_keys.encrypted_key_material"),
        "{message}"
    );
    assert!(
        message.contains("00000000-0000-0000-0000-000000000001"),
        "{message}"
    );
    assert!(!message.contains("key material"), "{message}");
}

#[test]
fn a_key_of_the_wrong_length_is_refused() {
    let short = SecretBytes::new(vec![1; 16]);
    let rng = CountingRng(AtomicU8::new(0));
    let secret = SecretBytes::new(vec![1]);
    assert_eq!(
        seal(&short, &place(), &secret, &rng).unwrap_err(),
        EnvelopeError::Seal(place())
    );
}
