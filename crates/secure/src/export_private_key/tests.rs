//! Tests of `export_private_key`.

use clm_domain::ids::{EncryptionKeyId, PrivateKeyId};
use uuid::Uuid;

use super::*;
use crate::envelope::Sealed;

fn key(is_issuer_key: bool, exportable: bool) -> StoredPrivateKey {
    StoredPrivateKey {
        id: PrivateKeyId::from_uuid(Uuid::from_u128(1)),
        spki_sha256: [0; 32],
        is_issuer_key,
        exportable,
        encryption_key_id: EncryptionKeyId::from_uuid(Uuid::from_u128(3)),
        sealed: Sealed {
            ciphertext: Vec::new(),
            nonce: [0; 12],
            tag: [0; 16],
        },
    }
}

fn code(found: Option<Option<StoredPrivateKey>>) -> String {
    check_exportable(found).map_or_else(|fault| fault.code.into_owned(), |_| "exported".to_owned())
}

#[test]
fn only_an_exportable_key_of_an_end_entity_leaves() {
    assert_eq!(code(None), "not_found");
    assert_eq!(code(Some(None)), "private_key_not_held");
    assert_eq!(
        code(Some(Some(key(true, true)))),
        "private_key_not_exportable"
    );
    assert_eq!(
        code(Some(Some(key(false, false)))),
        "private_key_not_exportable"
    );
    assert_eq!(code(Some(Some(key(false, true)))), "exported");
}

#[test]
fn a_passphrase_is_neither_short_nor_endless() {
    let check = |text: String| check_passphrase(&SecretString::new(text)).is_ok();
    assert!(!check("short".to_owned()));
    assert!(check("long enough to hold".to_owned()));
    assert!(!check("x".repeat(PASSWORD_BYTES_MAX + 1)));
}
