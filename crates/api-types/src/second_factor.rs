//! `/users/me/totp` and `/step-up`: one's own second factor, and what a code of it proves.

use chrono::{DateTime, Utc};
use clm_domain::issuer_limits::IssuerLimits;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::certificate_authorities::CertificateAuthorityCreate;
use crate::sessions::SessionCreated;

/// A second factor that waits for its first code. Shown once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct TotpEnrolment {
    /// The `otpauth` address with the secret, for an authenticator.
    #[schema(format = "password")]
    pub uri: String,
    /// Until when it may be activated.
    pub expires_at: DateTime<Utc>,
}

/// A second factor that was just put into force. The token of the session stands in the `Set-Cookie`
/// header only. Shown once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct TotpActivated {
    /// Codes that stand for one of the device, each once.
    pub backup_codes: Vec<String>,
    /// The session, which goes on with new secrets.
    pub session: SessionCreated,
}

/// Codes that stand for one of the device, each once. Shown once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct BackupCodes {
    /// Each of four groups of four characters.
    pub backup_codes: Vec<String>,
}

/// Whether one has a second factor in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecondFactor {
    /// Whether one is in force.
    pub is_active: bool,
    /// How many backup codes are left.
    pub backup_codes_left: u32,
}

/// A code of the second factor.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TotpCode {
    /// Six digits, or a backup code, except for putting a second factor into force.
    #[schema(format = "password")]
    pub code: String,
}

/// Asks for a proof for one request, with a code or the password.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StepUpCreate {
    /// A code of the second factor: six digits, or a backup code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "password")]
    pub code: Option<String>,
    /// The own password, for whoever has no second factor; for `request` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "password")]
    pub password: Option<String>,
    /// The request.
    pub request: StepUpRequest,
}

/// What is going to be asked for, as it will be.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "operation", deny_unknown_fields)]
pub enum StepUpRequest {
    /// Any other request that takes a proof, byte for byte.
    Request {
        /// The method, such as `POST`.
        method: String,
        /// The path without a query, such as `/api/v1/role-assignments`.
        path: String,
        /// SHA-256 of the body, in lower-case hexadecimal.
        body_sha256: String,
    },
    /// `POST /certificate-authorities`
    CreateCertificateAuthority {
        /// What will be asked for.
        certificate_authority: Box<CertificateAuthorityCreate>,
    },
    /// `POST /certificates/{certificate_id}/private-key-export`, with any passphrase.
    ExportPrivateKey {
        /// The certificate.
        certificate_id: Uuid,
    },
    /// `PUT /certificate-authorities/{certificate_authority_id}/limits`
    ChangeIssuerLimits {
        /// The authority.
        certificate_authority_id: Uuid,
        /// The revision of `If-Match`.
        revision: i64,
        /// All limits from then on.
        #[schema(value_type = Object)]
        limits: Box<IssuerLimits>,
        /// Why, in words.
        reason: String,
    },
}

/// A proof, for the header `CLM-Step-Up` of that request. Shown once.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct StepUpProof {
    /// The proof; good for that request, once, in this session.
    #[schema(format = "password")]
    pub proof: String,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}
