//! Requests that take a step-up proof: the person is asked once the server asks for one, and the same
//! bytes are sent again with it.

use std::sync::Arc;

use reqwest::Method;
use sha2::{Digest as _, Sha256};

use super::{Client, ClientError, Credential, Outgoing, read};
use crate::BASE_PATH;
use crate::second_factor::{StepUpCreate, StepUpProof, StepUpRequest};

/// What a person gives when the server asks for a step-up.
#[derive(Clone)]
pub enum StepUpSecret {
    /// A code of the second factor.
    Code(String),
    /// A code, or the password of somebody who has no second factor: nobody said which.
    Either(String),
}

/// Asks the person in front of the program.
pub trait AskStepUp: Send + Sync {
    /// What the person gives; `None` when nobody can be asked.
    ///
    /// # Errors
    /// When asking fails.
    fn ask(&self) -> Result<Option<StepUpSecret>, ClientError>;
}

impl Client {
    /// The same client, which asks the person and sends a request again when the server wants a
    /// step-up for it. Without a session nobody is asked.
    #[must_use]
    pub fn asking(mut self, asks: Arc<dyn AskStepUp>) -> Self {
        self.asks = Some(asks);
        self
    }

    /// A code, or the password, becomes a proof for one request.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn step_up(&self, request: &StepUpCreate) -> Result<StepUpProof, ClientError> {
        let outgoing = Outgoing::new(Method::POST, "/step-up", Some(request), &[])?;
        read(self.send_once(&outgoing, None).await?).await
    }

    /// The proof for a request that was refused for want of one; `None` when nobody can be asked.
    pub(super) async fn prove(
        &self,
        outgoing: &Outgoing<'_>,
    ) -> Result<Option<StepUpProof>, ClientError> {
        let (Some(asks), Credential::Session { .. }) = (&self.asks, &self.credential) else {
            return Ok(None);
        };
        let Some(secret) = asks.ask()? else {
            return Ok(None);
        };
        let request = outgoing.step_up_request();
        let (secret, may_be_password) = match secret {
            StepUpSecret::Code(code) => (code, false),
            StepUpSecret::Either(secret) => {
                let is_of_device = secret.len() == 6 && secret.bytes().all(|b| b.is_ascii_digit());
                (secret, !is_of_device)
            }
        };
        let by_code = |code| StepUpCreate {
            code: Some(code),
            password: None,
            request: request.clone(),
        };
        if !may_be_password {
            return self.step_up(&by_code(secret)).await.map(Some);
        }
        let by_password = StepUpCreate {
            code: None,
            password: Some(secret.clone()),
            request: request.clone(),
        };
        match self.step_up(&by_password).await {
            // Then it is a backup code.
            Err(ClientError::Problem(problem)) if problem.code == "second_factor_required" => {
                self.step_up(&by_code(secret)).await.map(Some)
            }
            answered => answered.map(Some),
        }
    }
}

impl Outgoing<'_> {
    /// What the proof must be for.
    fn step_up_request(&self) -> StepUpRequest {
        if let Some(request) = &self.step_up {
            return request.clone();
        }
        let path = self.path.split('?').next().unwrap_or_default();
        StepUpRequest::Request {
            method: self.method.to_string(),
            path: format!("{BASE_PATH}{path}"),
            body_sha256: hex::encode(Sha256::digest(self.body.as_deref().unwrap_or_default())),
        }
    }
}
