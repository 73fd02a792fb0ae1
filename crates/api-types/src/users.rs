//! `/users/me/password`: one's own password.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Changes one's own password. Every other session of the user ends.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The password so far.
    #[schema(format = "password")]
    pub current_password: String,
    /// The new password, at least 12 characters.
    #[schema(format = "password")]
    pub new_password: String,
}
