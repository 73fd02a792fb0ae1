//! Calls about one's own second factor, and what takes one.

use reqwest::Method;
use uuid::Uuid;

use super::{Client, ClientError, Outgoing, read};
use crate::certificate_authorities::{CertificateAuthority, IssuerLimitsUpdate};
use crate::second_factor::{StepUpRequest, TotpCode, TotpEnrolment};

impl Client {
    /// Makes a second factor for oneself.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn enrol_totp(&self) -> Result<TotpEnrolment, ClientError> {
        let path = "/users/me/totp";
        read(self.send::<()>(Method::POST, path, None, None).await?).await
    }

    /// Puts it into force.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn activate_totp(&self, code: &TotpCode) -> Result<(), ClientError> {
        let path = "/users/me/totp/activate";
        self.send(Method::POST, path, Some(code), None).await?;
        Ok(())
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
