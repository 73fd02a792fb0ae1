//! Calls about one's own second factor, and what takes one.

use reqwest::Method;
use uuid::Uuid;

use super::{Client, ClientError, Credential, Outgoing, read, session_made, session_token};
use crate::certificate_authorities::{CertificateAuthority, IssuerLimitsUpdate};
use crate::second_factor::{
    BackupCodes, SecondFactor, StepUpRequest, TotpActivated, TotpCode, TotpEnrolment,
};
use crate::sessions::SessionCreated;

impl Client {
    /// Makes a second factor for oneself.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn enrol_totp(&self) -> Result<TotpEnrolment, ClientError> {
        let path = "/users/me/totp";
        read(self.send::<()>(Method::POST, path, None, None).await?).await
    }

    /// Whether one has one in force.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn find_totp(&self) -> Result<SecondFactor, ClientError> {
        self.read("/users/me/totp").await
    }

    /// Puts it into force: the backup codes, and the credential for further calls.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn activate_totp(
        &self,
        code: &TotpCode,
    ) -> Result<(TotpActivated, Credential), ClientError> {
        let path = "/users/me/totp/activate";
        let response = self.send(Method::POST, path, Some(code), None).await?;
        let token = session_token(&response)?;
        let activated: TotpActivated = read(response).await?;
        let csrf_token = activated.session.csrf_token.clone();
        Ok((activated, Credential::Session { token, csrf_token }))
    }

    /// Makes new backup codes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn renew_backup_codes(&self, code: &TotpCode) -> Result<BackupCodes, ClientError> {
        let path = "/users/me/totp/backup-codes";
        read(self.send(Method::POST, path, Some(code), None).await?).await
    }

    /// Gives the own session a code of the second factor: the credential for further calls.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn pass_second_factor(
        &self,
        code: &TotpCode,
    ) -> Result<(SessionCreated, Credential), ClientError> {
        let path = "/sessions/current/second-factor";
        session_made(self.send(Method::POST, path, Some(code), None).await?).await
    }

    /// Removes it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn remove_totp(&self, code: &TotpCode) -> Result<(), ClientError> {
        let path = "/users/me/totp/remove";
        self.send(Method::POST, path, Some(code), None).await?;
        Ok(())
    }

    /// Changes the limits of a certificate authority that has this revision.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn change_issuer_limits(
        &self,
        (id, revision): (Uuid, i64),
        update: &IssuerLimitsUpdate,
    ) -> Result<CertificateAuthority, ClientError> {
        let path = format!("/certificate-authorities/{id}/limits");
        let tag = format!("\"{revision}\"");
        let headers = [("if-match", tag.as_str())];
        let mut outgoing = Outgoing::new(Method::PUT, &path, Some(update), &headers)?;
        outgoing.step_up = Some(StepUpRequest::ChangeIssuerLimits {
            certificate_authority_id: id,
            revision,
            limits: Box::new(update.limits.clone()),
            reason: update.reason.clone(),
        });
        read(self.send_outgoing(&outgoing).await?).await
    }
}
