//! Why a request is refused, in codes and words that the sender can act on.

use clm_domain::error::Fault;
use clm_domain::limits::{CSR_DER_BYTES_MAX, SUBJECT_ALTERNATIVE_NAMES_MAX};

use crate::asn1::DerError;
use crate::general_name::GeneralNameError;
use crate::key::KeyError;
use crate::name::NameError;
use crate::pem::PemError;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// Neither PEM with one request nor DER, or not the structure of a request.
    #[error("the request is malformed: {0}")]
    Malformed(String),
    /// Larger than [`CSR_DER_BYTES_MAX`].
    #[error("the request is too long: at most {CSR_DER_BYTES_MAX} bytes of DER are accepted")]
    TooLong,
    /// The subject breaks a rule.
    #[error("the subject is refused: {0}")]
    Subject(NameError),
    /// The public key is malformed, weak, or of an algorithm that is not supported.
    #[error("the public key is refused: {0}")]
    Key(KeyError),
    /// The requested extensions contradict themselves or are malformed.
    #[error("the requested extensions are refused: {0}")]
    Extensions(String),
    /// A subject alternative name breaks a rule.
    #[error("the subject alternative names are refused: {0}")]
    SubjectAlternativeNames(String),
    /// The signature algorithm is not supported, or does not go with the key.
    #[error("the signature of the request is refused: {0}")]
    SignatureAlgorithm(KeyError),
    /// The signature does not verify with the public key of the request.
    #[error(
        "the signature of the request does not verify with its public key: it does not prove \
         possession of the private key"
    )]
    SignatureInvalid,
}

impl CsrError {
    /// The field of the input that is at fault.
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Malformed(_)
            | Self::TooLong
            | Self::SignatureAlgorithm(_)
            | Self::SignatureInvalid => "csr",
            Self::Subject(_) => "subject",
            Self::Key(_) => "public_key",
            Self::Extensions(_) => "extensions",
            Self::SubjectAlternativeNames(_) => "subject_alternative_names",
        }
    }

    /// The stable code of the error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "csr_malformed",
            Self::TooLong => "csr_too_long",
            Self::Subject(_) => "subject_invalid",
            Self::Key(error) => error.code(),
            Self::Extensions(_) => "csr_extensions_invalid",
            Self::SubjectAlternativeNames(_) => "subject_alternative_names_invalid",
            Self::SignatureAlgorithm(_) => "csr_signature_algorithm_unsupported",
            Self::SignatureInvalid => "csr_signature_invalid",
        }
    }

    pub(super) fn names(error: GeneralNameError) -> Self {
        Self::SubjectAlternativeNames(error.to_string())
    }

    pub(super) fn too_many_names() -> Self {
        Self::SubjectAlternativeNames(format!(
            "at most {SUBJECT_ALTERNATIVE_NAMES_MAX} names are accepted"
        ))
    }

    pub(super) fn from_verification(error: KeyError) -> Self {
        match error {
            KeyError::SignatureInvalid => Self::SignatureInvalid,
            other => Self::SignatureAlgorithm(other),
        }
    }
}

impl From<DerError> for CsrError {
    fn from(error: DerError) -> Self {
        Self::Malformed(format!("it {error}"))
    }
}

impl From<PemError> for CsrError {
    fn from(error: PemError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<CsrError> for Fault {
    fn from(error: CsrError) -> Self {
        Self::invalid(error.code(), error.field(), error.to_string())
    }
}
