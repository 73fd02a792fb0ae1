//! Calls about one's own second factor, and what takes one.

use reqwest::Method;

use super::{Client, ClientError, read, segment};
use crate::STEP_UP_HEADER;
use crate::certificate_authorities::{CertificateAuthority, IssuerLimitsUpdate};
use crate::second_factor::{StepUpCreate, StepUpProof, TotpCode, TotpEnrolment};

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

    /// A code becomes a proof for one request.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn step_up(&self, request: &StepUpCreate) -> Result<StepUpProof, ClientError> {
        read(
            self.send(Method::POST, "/step-up", Some(request), None)
                .await?,
        )
        .await
    }

    /// Changes the limits of a certificate authority that has this revision.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn change_issuer_limits(
        &self,
        (id, revision): (&str, i64),
        update: &IssuerLimitsUpdate,
        proof: Option<&str>,
    ) -> Result<CertificateAuthority, ClientError> {
        let path = format!("/certificate-authorities/{}/limits", segment(id));
        let revision = format!("\"{revision}\"");
        let mut headers = vec![("if-match", revision.as_str())];
        headers.extend(proof.map(|proof| (STEP_UP_HEADER, proof)));
        let answer = self.send_with(Method::PUT, &path, Some(update), &headers);
        read(answer.await?).await
    }
}
