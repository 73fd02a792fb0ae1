//! `/password-resets` and `/email-verifications`: links that go by mail and work once.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Asks for a link by which a user chooses a new password. The answer is the same for everybody.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordResetCreate {
    /// The user's name, or verified e-mail address.
    pub username: String,
    /// The slug of the user's home organization; needed only where the name exists in several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<String>,
}

/// Chooses a new password by a link.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordResetConfirm {
    /// The token of the link.
    #[schema(format = "password")]
    pub token: String,
    /// The new password, at least 12 characters.
    #[schema(format = "password")]
    pub new_password: String,
}

/// Confirms an e-mail address by a link.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailVerificationConfirm {
    /// The token of the link.
    #[schema(format = "password")]
    pub token: String,
}
