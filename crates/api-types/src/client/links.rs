//! Calls about links that come by mail and work once.

use reqwest::Method;

use super::{Client, ClientError, NO_BODY};
use crate::password_resets::{EmailVerificationConfirm, PasswordResetConfirm, PasswordResetCreate};

impl Client {
    /// Asks for a link by which a user chooses a new password.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn request_password_reset(
        &self,
        request: &PasswordResetCreate,
    ) -> Result<(), ClientError> {
        self.send(Method::POST, "/password-resets", Some(request), None)
            .await
            .map(drop)
    }

    /// Chooses a new password by a link.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn reset_password(&self, request: &PasswordResetConfirm) -> Result<(), ClientError> {
        let path = "/password-resets/confirm";
        self.send(Method::POST, path, Some(request), None)
            .await
            .map(drop)
    }

    /// Asks for a link to the own address, to confirm it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn request_email_verification(&self) -> Result<(), ClientError> {
        let path = "/users/me/email-verification";
        self.send(Method::POST, path, NO_BODY, None).await.map(drop)
    }

    /// Confirms an address by a link.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn verify_email(
        &self,
        request: &EmailVerificationConfirm,
    ) -> Result<(), ClientError> {
        let path = "/email-verifications/confirm";
        self.send(Method::POST, path, Some(request), None)
            .await
            .map(drop)
    }
}
