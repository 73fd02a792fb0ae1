//! Opens everything that the platform has sealed, with the master key and the documented format
//! alone, so that it can be looked for.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use clm_domain::ids::{EncryptionKeyId, OrganizationId, PrivateKeyId};
use clm_secure::envelope::Place;
use clm_tests::Program;
use clm_tests::databases::Superuser;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use super::plants::Planted;

/// Plants the master key, each data key and each private key, those of the authorities too.
pub(super) async fn open_all(program: &Program, superuser: &Superuser, planted: &mut Planted) {
    let file = std::fs::read_to_string(program.data_directory().join("master.key"));
    let file = file.expect("the installation has a master key");
    let master = file.lines().nth(1).and_then(|line| hex::decode(line).ok());
    let master = master.expect("the second line is the key");
    assert_eq!(master.len(), 32);
    planted.secret("the master key", master.as_slice());

    let mut data_keys = Vec::new();
    for row in sealed(&superuser.secure, DATA_KEYS).await {
        let place = Place::data_key(
            EncryptionKeyId::from_uuid(row.get("id")),
            OrganizationId::from_uuid(row.get("organization_id")),
            EncryptionKeyId::from_uuid(row.get("sealed_by")),
        );
        let opened = open(&master, &place, &row);
        planted.secret(format!("the data key {}", place.row_id), opened.as_slice());
        data_keys.push((place.row_id, opened));
    }
    let mut authorities = 0;
    for row in sealed(&superuser.secure, PRIVATE_KEYS).await {
        let sealed_by: Uuid = row.get("sealed_by");
        let (_, data_key) = data_keys
            .iter()
            .find(|(id, _)| *id == sealed_by)
            .expect("its data key is there");
        let place = Place::private_key(
            PrivateKeyId::from_uuid(row.get("id")),
            OrganizationId::from_uuid(row.get("organization_id")),
            EncryptionKeyId::from_uuid(sealed_by),
        );
        let pkcs8 = open(data_key, &place, &row);
        let purpose: String = row.get("purpose");
        authorities += usize::from(purpose == "issuer");
        private_parts(
            &pkcs8,
            &format!("the {purpose} key {}", place.row_id),
            planted,
        );
    }
    assert!(
        data_keys.len() >= 2 && authorities >= 2,
        "root and issuing authority have a key"
    );
}

const DATA_KEYS: &str =
    "SELECT id, organization_id, wrapping_key_id AS sealed_by, key_type AS purpose,
        encrypted_key_material, encryption_iv, encryption_auth_tag
    FROM encryption_keys WHERE key_type = 'data'";
const PRIVATE_KEYS: &str = "SELECT id, organization_id, encryption_key_id AS sealed_by,
        key_usage_purpose AS purpose, encrypted_key_material, encryption_iv, encryption_auth_tag
    FROM private_keys";

async fn sealed(pool: &PgPool, statement: &'static str) -> Vec<PgRow> {
    sqlx::query(statement)
        .fetch_all(pool)
        .await
        .expect("the superuser reads it")
}

/// AES-256-GCM; the additional data names the row.
fn open(key: &[u8], place: &Place, row: &PgRow) -> Vec<u8> {
    let key = UnboundKey::new(&AES_256_GCM, key).expect("a key has 32 bytes");
    let nonce: Vec<u8> = row.get("encryption_iv");
    let nonce = Nonce::try_assume_unique_for_key(&nonce).expect("a nonce has 12 bytes");
    let mut buffer: Vec<u8> = row.get("encrypted_key_material");
    buffer.extend(row.get::<Vec<u8>, _>("encryption_auth_tag"));
    let opened = LessSafeKey::new(key)
        .open_in_place(nonce, Aad::from(place.additional_data()), &mut buffer)
        .expect("the row opens with its key");
    opened.to_vec()
}

/// Plants the parts of a `PrivateKeyInfo` that are secret: scalar, seed, or the private numbers of
/// RSA. The rest of it is public, or the same in every key.
pub(super) fn private_parts(pkcs8: &[u8], name: &str, planted: &mut Planted) {
    let info = &elements(pkcs8)[0].1;
    let octets = elements(info)
        .into_iter()
        .find(|(tag, _)| *tag == 0x04)
        .expect("a private key")
        .1;
    let (tag, contents) = elements(&octets).remove(0);
    if tag == 0x04 {
        // RFC 8410 §7: an octet string that holds the seed.
        return planted.secret(name, contents);
    }
    let parts = elements(&contents);
    if parts[1].0 == 0x04 {
        // RFC 5915 §3: version, scalar.
        return planted.secret(name, parts[1].1.clone());
    }
    // RFC 8017 appendix A.1.2: version, modulus and public exponent, then what is private.
    for (index, (_, number)) in parts.iter().enumerate().skip(3) {
        let significant = number
            .iter()
            .skip_while(|byte| **byte == 0)
            .copied()
            .collect::<Vec<_>>();
        planted.secret(format!("{name}, number {index}"), significant);
    }
}

/// The DER elements that follow each other in `der`: tag and contents.
fn elements(mut der: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while let [tag, length, rest @ ..] = der {
        let long = usize::from(length.saturating_sub(0x80));
        let (size, rest) = if *length < 0x80 {
            (usize::from(*length), rest)
        } else {
            let size = rest[..long]
                .iter()
                .fold(0, |size, byte| size << 8 | usize::from(*byte));
            (size, &rest[long..])
        };
        found.push((*tag, rest[..size].to_vec()));
        der = &rest[size..];
    }
    found
}
