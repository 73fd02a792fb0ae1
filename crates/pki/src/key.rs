//! Key pairs and public keys: making, reading, signing, verifying, all through one cryptographic
//! library.
//!
//! Private keys are wiped from memory when dropped and never show in `Debug`. A public key that
//! comes from outside is read strictly and judged by [`crate::weak_key`] before anything else sees
//! it. Start with [`PrivateKey`] and [`PublicKey`].

mod signature_algorithm;
mod spki;

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self as backend, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
    ParsedPublicKey, RsaEncoding, RsaKeyPair, UnparsedPublicKey, VerificationAlgorithm,
};
use clm_domain::key_algorithm::{KeyAlgorithm, SignatureAlgorithm};
use clm_domain::secret::SecretBytes;

use crate::asn1::{self, DerError, tag};
use crate::weak_key::WeakKey;

pub use signature_algorithm::{signature_algorithm_from_der, signature_algorithm_identifier};
use spki::Family;

/// Why a key or a signature is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The bytes are not the DER that the standard prescribes.
    #[error("the key is malformed: {0}")]
    Malformed(String),
    /// A well-formed key, or signature, of an algorithm or size that is not supported.
    #[error("{0}")]
    Unsupported(String),
    /// A key that gives no security, or an RSA key of a size that is not accepted.
    #[error(transparent)]
    Weak(#[from] WeakKey),
    /// The key cannot make or check such a signature.
    #[error("a key of {key} does not go with the signature algorithm {signature}")]
    SignatureAlgorithmMismatch {
        /// The algorithm of the key.
        key: KeyAlgorithm,
        /// The algorithm of the signature.
        signature: SignatureAlgorithm,
    },
    /// The signature was not made by this key over this message.
    #[error("the signature does not verify with the public key")]
    SignatureInvalid,
    /// The cryptographic library failed at a step that depends on no input.
    #[error("the cryptographic library failed: {0}")]
    Cryptography(&'static str),
}

impl KeyError {
    /// The stable code of the error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "key_malformed",
            Self::Unsupported(_) => "key_algorithm_unsupported",
            Self::Weak(weakness) => weakness.code(),
            Self::SignatureAlgorithmMismatch { .. } => "signature_algorithm_mismatch",
            Self::SignatureInvalid => "signature_invalid",
            Self::Cryptography(_) => "cryptography_failed",
        }
    }
}

impl From<DerError> for KeyError {
    fn from(error: DerError) -> Self {
        Self::Malformed(format!("it {error}"))
    }
}

/// A key pair.
pub struct PrivateKey {
    algorithm: KeyAlgorithm,
    pair: Pair,
    subject_public_key_info: Vec<u8>,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl PrivateKey {
    /// Makes a new key. RSA takes a tenth of a second and more: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`KeyError::Cryptography`] when the library cannot make one.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, KeyError> {
        let failed = |_| KeyError::Cryptography("no key could be generated");
        let pair = match algorithm {
            KeyAlgorithm::Rsa2048 => Pair::Rsa(rsa_generate(KeySize::Rsa2048)?),
            KeyAlgorithm::Rsa3072 => Pair::Rsa(rsa_generate(KeySize::Rsa3072)?),
            KeyAlgorithm::Rsa4096 => Pair::Rsa(rsa_generate(KeySize::Rsa4096)?),
            KeyAlgorithm::EcdsaP256 => {
                Pair::Ecdsa(EcdsaKeyPair::generate(&P256_SIGNING).map_err(failed)?)
            }
            KeyAlgorithm::EcdsaP384 => {
                Pair::Ecdsa(EcdsaKeyPair::generate(&P384_SIGNING).map_err(failed)?)
            }
            KeyAlgorithm::EcdsaP521 => {
                Pair::Ecdsa(EcdsaKeyPair::generate(&P521_SIGNING).map_err(failed)?)
            }
            KeyAlgorithm::Ed25519 => Pair::Ed25519(Ed25519KeyPair::generate().map_err(failed)?),
        };
        let family = Family::of(algorithm);
        let subject_public_key_info = pair.subject_public_key_info(family);
        Ok(Self {
            algorithm,
            pair,
            subject_public_key_info,
        })
    }

    /// Reads a `PrivateKeyInfo` (RFC 5208, RFC 5958), unencrypted.
    ///
    /// # Errors
    /// When the DER is malformed, private and public part do not belong together, the algorithm is
    /// not supported, or the key is weak.
    pub fn from_pkcs8_der(pkcs8_der: &[u8]) -> Result<Self, KeyError> {
        let family = spki::private_key_family(pkcs8_der)?;
        let pair = match family {
            Family::Rsa => RsaKeyPair::from_pkcs8(pkcs8_der).map(Pair::Rsa),
            Family::P256 => ecdsa_from_pkcs8(&P256_SIGNING, pkcs8_der),
            Family::P384 => ecdsa_from_pkcs8(&P384_SIGNING, pkcs8_der),
            Family::P521 => ecdsa_from_pkcs8(&P521_SIGNING, pkcs8_der),
            Family::Ed25519 => Ed25519KeyPair::from_pkcs8(pkcs8_der).map(Pair::Ed25519),
        }
        .map_err(|_| {
            KeyError::Malformed("the private key is not valid for its algorithm".to_owned())
        })?;
        let subject_public_key_info = pair.subject_public_key_info(family);
        let algorithm = PublicKey::from_spki_der(&subject_public_key_info)?.algorithm;
        Ok(Self {
            algorithm,
            pair,
            subject_public_key_info,
        })
    }

    /// The `PrivateKeyInfo` (RFC 5208, version 1), unencrypted.
    ///
    /// # Errors
    /// [`KeyError::Cryptography`] when the library cannot write it.
    pub fn to_pkcs8_der(&self) -> Result<SecretBytes, KeyError> {
        let failed = |_| KeyError::Cryptography("the private key could not be encoded");
        // The library's own buffers are wiped when they go out of scope here.
        match &self.pair {
            Pair::Rsa(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
                Ok(SecretBytes::new(der.as_ref().to_vec()))
            }
            Pair::Ecdsa(pair) => {
                let der = pair.to_pkcs8v1().map_err(failed)?;
                Ok(SecretBytes::new(der.as_ref().to_vec()))
            }
            Pair::Ed25519(pair) => {
                let der = pair.to_pkcs8v1().map_err(failed)?;
                Ok(SecretBytes::new(der.as_ref().to_vec()))
            }
        }
    }

    /// The algorithm and size.
    pub const fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// DER of the `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7).
    pub fn subject_public_key_info(&self) -> &[u8] {
        &self.subject_public_key_info
    }

    /// Signs `message`, hashing it first where the algorithm does so. ECDSA signatures are the DER
    /// of `Ecdsa-Sig-Value` (RFC 3279 §2.2.3); PSS salts are as long as the hash.
    ///
    /// # Errors
    /// [`KeyError::SignatureAlgorithmMismatch`] when the key cannot make such a signature.
    pub fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mismatch = KeyError::SignatureAlgorithmMismatch {
            key: self.algorithm,
            signature: algorithm,
        };
        if !algorithm.fits(self.algorithm) {
            return Err(mismatch);
        }
        let failed = |_| KeyError::Cryptography("the signature could not be made");
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let encoding = rsa_encoding(algorithm).ok_or(mismatch)?;
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
            Pair::Ecdsa(pair) => {
                let signature = pair.sign(&random, message).map_err(failed)?;
                Ok(signature.as_ref().to_vec())
            }
            Pair::Ed25519(pair) => {
                let signature = pair.try_sign(message).map_err(failed)?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, hidden)", self.algorithm)
    }
}

impl Pair {
    fn subject_public_key_info(&self, family: Family) -> Vec<u8> {
        match self {
            Self::Rsa(pair) => spki::encode(family, pair.public_key().as_ref()),
            Self::Ecdsa(pair) => spki::encode(family, pair.public_key().as_ref()),
            Self::Ed25519(pair) => spki::encode(family, pair.public_key().as_ref()),
        }
    }
}

/// A public key that was read strictly and is not known to be weak.
#[derive(Clone)]
pub struct PublicKey {
    algorithm: KeyAlgorithm,
    spki_der: Vec<u8>,
    /// Bound to the algorithm's default signature.
    parsed: ParsedPublicKey,
}

impl PublicKey {
    /// Reads a `SubjectPublicKeyInfo`. RSA demands `rsaEncryption` with NULL parameters
    /// (RFC 3279 §2.3.1), elliptic curves a named curve and an uncompressed point (RFC 5480).
    /// Keys that `id-RSASSA-PSS` binds to PSS are refused: few programs read certificates for
    /// them, and such a key can be sent as `rsaEncryption` and still sign with PSS.
    ///
    /// # Errors
    /// When the DER is malformed, the algorithm is not supported, the point is not on the curve,
    /// or the key is weak.
    pub fn from_spki_der(spki_der: &[u8]) -> Result<Self, KeyError> {
        let (algorithm, key) = spki::parse(spki_der)?;
        let verification = verification_algorithm(algorithm, algorithm.default_signature())?;
        let parsed = ParsedPublicKey::new(verification, key).map_err(|_| {
            KeyError::Malformed("the public key is not valid for its algorithm".to_owned())
        })?;
        Ok(Self {
            algorithm,
            spki_der: spki_der.to_vec(),
            parsed,
        })
    }

    /// The algorithm and size.
    pub const fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// DER of the `SubjectPublicKeyInfo`, as it came.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki_der
    }

    /// Verifies a signature. Unlike [`PrivateKey::sign`], an ECDSA key may be combined with any of
    /// the three hashes, because programs sign their requests so.
    ///
    /// # Errors
    /// [`KeyError::SignatureAlgorithmMismatch`] when the algorithms do not go together,
    /// [`KeyError::SignatureInvalid`] when the signature does not verify.
    pub fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), KeyError> {
        let verified = if algorithm == self.algorithm.default_signature() {
            self.parsed.verify_sig(message, signature)
        } else {
            let verification = verification_algorithm(self.algorithm, algorithm)?;
            UnparsedPublicKey::new(verification, self.parsed.as_ref()).verify(message, signature)
        };
        verified.map_err(|_| KeyError::SignatureInvalid)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fingerprint = hex::encode(spki_sha256(&self.spki_der));
        write!(
            f,
            "PublicKey({}, spki sha256 {fingerprint})",
            self.algorithm
        )
    }
}

/// SHA-256 over the DER of a `SubjectPublicKeyInfo`, by which keys are told apart.
pub fn spki_sha256(spki_der: &[u8]) -> [u8; 32] {
    sha256(spki_der)
}

/// The key identifier of RFC 7093 §2 method 1: the leftmost 160 bits of SHA-256 over the value of
/// the `subjectPublicKey` bit string.
///
/// # Errors
/// [`KeyError::Malformed`] when the bytes are no `SubjectPublicKeyInfo`.
pub fn subject_key_identifier(spki_der: &[u8]) -> Result<[u8; 20], KeyError> {
    let mut reader = asn1::single(spki_der, tag::SEQUENCE)?.reader();
    reader.expect(tag::SEQUENCE)?;
    let bit_string = reader.expect(tag::BIT_STRING)?;
    reader.finish()?;
    let hash = sha256(asn1::whole_octets(&bit_string)?);
    let mut identifier = [0; 20];
    for (to, from) in identifier.iter_mut().zip(hash) {
        *to = from;
    }
    Ok(identifier)
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *to = *from;
    }
    hash
}

static P256_SIGNING: EcdsaSigningAlgorithm = backend::ECDSA_P256_SHA256_ASN1_SIGNING;
static P384_SIGNING: EcdsaSigningAlgorithm = backend::ECDSA_P384_SHA384_ASN1_SIGNING;
static P521_SIGNING: EcdsaSigningAlgorithm = backend::ECDSA_P521_SHA512_ASN1_SIGNING;

fn rsa_generate(size: KeySize) -> Result<RsaKeyPair, KeyError> {
    RsaKeyPair::generate(size).map_err(|_| KeyError::Cryptography("no key could be generated"))
}

fn ecdsa_from_pkcs8(
    algorithm: &'static EcdsaSigningAlgorithm,
    pkcs8_der: &[u8],
) -> Result<Pair, aws_lc_rs::error::KeyRejected> {
    EcdsaKeyPair::from_pkcs8(algorithm, pkcs8_der).map(Pair::Ecdsa)
}

fn rsa_encoding(algorithm: SignatureAlgorithm) -> Option<&'static dyn RsaEncoding> {
    match algorithm {
        SignatureAlgorithm::RsaPkcs1Sha256 => Some(&backend::RSA_PKCS1_SHA256),
        SignatureAlgorithm::RsaPkcs1Sha384 => Some(&backend::RSA_PKCS1_SHA384),
        SignatureAlgorithm::RsaPkcs1Sha512 => Some(&backend::RSA_PKCS1_SHA512),
        SignatureAlgorithm::RsaPssSha256 => Some(&backend::RSA_PSS_SHA256),
        SignatureAlgorithm::RsaPssSha384 => Some(&backend::RSA_PSS_SHA384),
        SignatureAlgorithm::RsaPssSha512 => Some(&backend::RSA_PSS_SHA512),
        _ => None,
    }
}

/// The library's verifier for a key and a signature algorithm.
fn verification_algorithm(
    key: KeyAlgorithm,
    signature: SignatureAlgorithm,
) -> Result<&'static dyn VerificationAlgorithm, KeyError> {
    use KeyAlgorithm as K;
    use SignatureAlgorithm as S;
    Ok(match (key, signature) {
        (K::Rsa2048 | K::Rsa3072 | K::Rsa4096, S::RsaPkcs1Sha256) => {
            &backend::RSA_PKCS1_2048_8192_SHA256
        }
        (K::Rsa2048 | K::Rsa3072 | K::Rsa4096, S::RsaPkcs1Sha384) => {
            &backend::RSA_PKCS1_2048_8192_SHA384
        }
        (K::Rsa2048 | K::Rsa3072 | K::Rsa4096, S::RsaPkcs1Sha512) => {
            &backend::RSA_PKCS1_2048_8192_SHA512
        }
        (K::Rsa2048 | K::Rsa3072 | K::Rsa4096, S::RsaPssSha256) => {
            &backend::RSA_PSS_2048_8192_SHA256
        }
        (K::Rsa2048 | K::Rsa3072 | K::Rsa4096, S::RsaPssSha384) => {
            &backend::RSA_PSS_2048_8192_SHA384
        }
        (K::Rsa2048 | K::Rsa3072 | K::Rsa4096, S::RsaPssSha512) => {
            &backend::RSA_PSS_2048_8192_SHA512
        }
        (K::EcdsaP256, S::EcdsaSha256) => &backend::ECDSA_P256_SHA256_ASN1,
        (K::EcdsaP256, S::EcdsaSha384) => &backend::ECDSA_P256_SHA384_ASN1,
        (K::EcdsaP256, S::EcdsaSha512) => &backend::ECDSA_P256_SHA512_ASN1,
        (K::EcdsaP384, S::EcdsaSha256) => &backend::ECDSA_P384_SHA256_ASN1,
        (K::EcdsaP384, S::EcdsaSha384) => &backend::ECDSA_P384_SHA384_ASN1,
        (K::EcdsaP384, S::EcdsaSha512) => &backend::ECDSA_P384_SHA512_ASN1,
        (K::EcdsaP521, S::EcdsaSha256) => &backend::ECDSA_P521_SHA256_ASN1,
        (K::EcdsaP521, S::EcdsaSha384) => &backend::ECDSA_P521_SHA384_ASN1,
        (K::EcdsaP521, S::EcdsaSha512) => &backend::ECDSA_P521_SHA512_ASN1,
        (K::Ed25519, S::Ed25519) => &backend::ED25519,
        _ => return Err(KeyError::SignatureAlgorithmMismatch { key, signature }),
    })
}

#[cfg(test)]
mod tests;
