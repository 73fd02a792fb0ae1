//! Private keys under a passphrase: `EncryptedPrivateKeyInfo` (RFC 5958 §3) with PBES2 (RFC 8018),
//! PBKDF2-HMAC-SHA256 and AES-256-CBC, the combination that every common tool reads.
//!
//! This is for keys that leave the platform on purpose; it is not how keys are stored. CBC carries
//! no authentication: a damaged file is noticed only because no key comes out. Start with
//! [`encrypt`].

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    AES_256, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA256};
use clm_domain::clock::{Rng, random_bytes};
use clm_domain::secret::{SecretBytes, SecretString};
use zeroize::Zeroizing;

use crate::asn1::{self, DerError, tag};
use crate::pem::{self, PemError};

/// Rounds of PBKDF2 that are written.
pub const ITERATIONS: u32 = 600_000;
/// Most rounds of PBKDF2 that are read: time must not follow the sender's wish.
const ITERATIONS_MAX: u32 = 10_000_000;
/// Longest encrypted key that is read, in bytes of DER.
const ENCRYPTED_BYTES_MAX: usize = 64 * 1024;
/// The block of AES, in bytes.
const BLOCK_BYTES: usize = 16;
const LABEL: &str = "ENCRYPTED PRIVATE KEY";

const PBES2: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d";
const PBKDF2: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0c";
const AES_256_CBC: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x01\x2a";
/// `AlgorithmIdentifier` of hmacWithSHA256 with NULL parameters.
const HMAC_WITH_SHA256: &[u8] = b"\x30\x0c\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x09\x05\x00";

/// Why a key cannot be encrypted or decrypted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Pkcs8Error {
    /// The PEM is malformed.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// The structure is not the one that [`encrypt`] writes.
    #[error(
        "the encrypted key is malformed or uses another scheme than PBES2 with PBKDF2, HMAC-SHA256 and AES-256-CBC: it {0}"
    )]
    Malformed(&'static str),
    /// The passphrase is empty.
    #[error("the passphrase must not be empty")]
    PassphraseEmpty,
    /// The passphrase is wrong, or the file is damaged.
    #[error("the passphrase does not open the key")]
    PassphraseWrong,
    /// The cryptographic library failed at a step that depends on no input.
    #[error("the cryptographic library failed")]
    Cryptography,
}

impl From<DerError> for Pkcs8Error {
    fn from(error: DerError) -> Self {
        Self::Malformed(error.0)
    }
}

/// The PEM of `pkcs8_der`, a `PrivateKeyInfo`, encrypted under `passphrase` with fresh salt and
/// initialization vector. Takes about a tenth of a second: call it where blocking is allowed.
///
/// # Errors
/// When the passphrase is empty.
pub fn encrypt(
    pkcs8_der: &[u8],
    passphrase: &SecretString,
    rng: &dyn Rng,
) -> Result<String, Pkcs8Error> {
    if passphrase.expose().is_empty() {
        return Err(Pkcs8Error::PassphraseEmpty);
    }
    let salt: [u8; 16] = random_bytes(rng);
    let vector: [u8; BLOCK_BYTES] = random_bytes(rng);
    // Room for the padding: growing would leave a copy of the key behind.
    let mut buffer = Zeroizing::new(Vec::with_capacity(pkcs8_der.len() + BLOCK_BYTES));
    buffer.extend_from_slice(pkcs8_der);
    let key = derive_key(passphrase, &salt, ITERATIONS)?;
    PaddedBlockEncryptingKey::cbc_pkcs7(key)
        .and_then(|key| {
            let context = EncryptionContext::Iv128(FixedLength::from(vector));
            key.less_safe_encrypt(&mut *buffer, context)
        })
        .map_err(|_| Pkcs8Error::Cryptography)?;
    let der = asn1::encode_parts(
        tag::SEQUENCE,
        &[
            &encode_scheme(&salt, &vector),
            &asn1::encode(tag::OCTET_STRING, &buffer),
        ],
    );
    Ok(pem::encode(LABEL, &der))
}

/// The `PrivateKeyInfo` inside the PEM that [`encrypt`] or a tool with the same scheme wrote.
///
/// # Errors
/// When the PEM or the structure is malformed, another scheme is used, or the passphrase is wrong.
pub fn decrypt(pem: &[u8], passphrase: &SecretString) -> Result<SecretBytes, Pkcs8Error> {
    let der = pem::decode_one(pem, &[LABEL])?;
    if der.len() > ENCRYPTED_BYTES_MAX {
        return Err(Pkcs8Error::Malformed("is too long"));
    }
    let parts = read(&der)?;
    let mut buffer = Zeroizing::new(parts.ciphertext.to_vec());
    let key = derive_key(passphrase, parts.salt, parts.iterations)?;
    let context = DecryptionContext::Iv128(FixedLength::from(parts.vector));
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).map_err(|_| Pkcs8Error::Cryptography)?;
    let plaintext = key
        .decrypt(&mut buffer, context)
        .map_err(|_| Pkcs8Error::PassphraseWrong)?;
    // One padding in 256 fits by chance; a sequence on top of it hardly ever.
    asn1::single(plaintext, tag::SEQUENCE).map_err(|_| Pkcs8Error::PassphraseWrong)?;
    Ok(SecretBytes::new(plaintext.to_vec()))
}

struct Encrypted<'a> {
    salt: &'a [u8],
    iterations: u32,
    vector: [u8; BLOCK_BYTES],
    ciphertext: &'a [u8],
}

/// RFC 8018 appendix A.4.
fn encode_scheme(salt: &[u8], vector: &[u8]) -> Vec<u8> {
    let oid = |oid| asn1::encode(tag::OBJECT_IDENTIFIER, oid);
    let sequence = |parts: &[&[u8]]| asn1::encode_parts(tag::SEQUENCE, parts);
    let derivation = sequence(&[
        &oid(PBKDF2),
        &sequence(&[
            &asn1::encode(tag::OCTET_STRING, salt),
            &asn1::encode_unsigned(&ITERATIONS.to_be_bytes()),
            HMAC_WITH_SHA256,
        ]),
    ]);
    let encryption = sequence(&[&oid(AES_256_CBC), &asn1::encode(tag::OCTET_STRING, vector)]);
    sequence(&[&oid(PBES2), &sequence(&[&derivation, &encryption])])
}

fn read(der: &[u8]) -> Result<Encrypted<'_>, Pkcs8Error> {
    let mut outer = asn1::single(der, tag::SEQUENCE)?.reader();
    let mut scheme = outer.expect(tag::SEQUENCE)?.reader();
    let ciphertext = outer.expect(tag::OCTET_STRING)?.value;
    outer.finish()?;
    expect_oid(&mut scheme, PBES2)?;
    let mut parameters = scheme.expect(tag::SEQUENCE)?.reader();
    scheme.finish()?;

    let mut derivation = parameters.expect(tag::SEQUENCE)?.reader();
    expect_oid(&mut derivation, PBKDF2)?;
    let mut pbkdf2 = derivation.expect(tag::SEQUENCE)?.reader();
    let salt = pbkdf2.expect(tag::OCTET_STRING)?.value;
    let iterations = asn1::small_unsigned(&pbkdf2.expect(tag::INTEGER)?)?;
    let key_length = pbkdf2.optional(tag::INTEGER)?;
    let function = pbkdf2.expect(tag::SEQUENCE)?;
    pbkdf2.finish()?;

    let mut encryption = parameters.expect(tag::SEQUENCE)?.reader();
    parameters.finish()?;
    expect_oid(&mut encryption, AES_256_CBC)?;
    let vector = encryption.expect(tag::OCTET_STRING)?.value;
    encryption.finish()?;

    if function.raw != HMAC_WITH_SHA256 || key_length.is_some_and(|length| length.value != [32]) {
        return Err(Pkcs8Error::Malformed("derives the key in another way"));
    }
    if ciphertext.is_empty() || !ciphertext.len().is_multiple_of(BLOCK_BYTES) {
        return Err(Pkcs8Error::Malformed("does not fill whole blocks"));
    }
    Ok(Encrypted {
        salt,
        iterations,
        vector: vector
            .try_into()
            .map_err(|_| Pkcs8Error::Malformed("has an initialization vector of another length"))?,
        ciphertext,
    })
}

fn expect_oid(reader: &mut asn1::Reader<'_>, oid: &[u8]) -> Result<(), Pkcs8Error> {
    if reader.expect(tag::OBJECT_IDENTIFIER)?.value == oid {
        Ok(())
    } else {
        Err(Pkcs8Error::Malformed("names another algorithm"))
    }
}

fn derive_key(
    passphrase: &SecretString,
    salt: &[u8],
    iterations: u32,
) -> Result<UnboundCipherKey, Pkcs8Error> {
    let rounds = NonZeroU32::new(iterations)
        .filter(|rounds| rounds.get() <= ITERATIONS_MAX)
        .ok_or(Pkcs8Error::Malformed(
            "demands no or too many rounds of key derivation",
        ))?;
    let mut key = Zeroizing::new([0_u8; 32]);
    pbkdf2::derive(
        PBKDF2_HMAC_SHA256,
        rounds,
        salt,
        passphrase.expose().as_bytes(),
        &mut *key,
    );
    UnboundCipherKey::new(&AES_256, &*key).map_err(|_| Pkcs8Error::Cryptography)
}

#[cfg(test)]
mod tests;
