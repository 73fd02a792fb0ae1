//! Secrets that the core works with and does not hold: sealed here, and used here where that is
//! possible. Which of them may be opened at all is decided by their purpose, which is part of the
//! seal.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clm_domain::audit::SecureEvent;
use clm_domain::clock::whole_milliseconds;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::SealedSecretId;
use clm_domain::limits::{SECRET_BYTES_MAX, WEBHOOK_BODY_BYTES_MAX};
use clm_domain::secret::SecretBytes;
use clm_domain::states::SecretPurpose;
use clm_secure_api::command::{DestroySecret, OpenSecret, SealSecret, SignWebhook};
use clm_secure_api::reply::{Done, OpenedSecret};
use clm_secure_api::{CallContext, Reply};
use serde_json::{Value, json};

use crate::Secure;
use crate::audit::{RefusedAct, Stamp, cause, row};
use crate::data_keys::Item;
use crate::error::Failure;
use crate::key_rotation::check_reason;
use crate::store::sealed_secrets::StoredSecret;

/// Most secrets of one organization that are opened in a minute, by one process.
const OPENS_PER_MINUTE_MAX: u32 = 60;
/// Longest id of a message, in characters.
const MESSAGE_ID_CHARACTERS_MAX: usize = 200;

impl Secure {
    /// Carries out [`SealSecret`].
    pub(crate) async fn seal_secret(
        &self,
        context: &CallContext,
        command: SealSecret,
    ) -> Result<Reply, Failure> {
        let id = command.sealed_secret_id;
        let failure = match self.seal_for_core(context, &command).await {
            Ok(()) => return Ok(Reply::SealedSecret(id)),
            Err(failure) => failure,
        };
        let details = json!({ "purpose": command.purpose.as_str() });
        Err(self
            .secret_refused(context, (SecureEvent::SecretSealed, id), details, failure)
            .await)
    }

    async fn seal_for_core(
        &self,
        context: &CallContext,
        command: &SealSecret,
    ) -> Result<(), Failure> {
        check_sealable(command)?;
        let (id, purpose) = (command.sealed_secret_id, command.purpose);
        if self.is_repetition(context, command).await? {
            return Ok(());
        }
        let new = self
            .describe_secret(
                context,
                (id, purpose),
                (command.owner_id, &command.plaintext),
            )
            .await?;
        let details = json!({
            "purpose": purpose.as_str(),
            "owner_id": command.owner_id.to_string(),
            "encryption_key_id": new.encryption_key_id.to_string(),
        });
        let audit = self.secret_row(context, (SecureEvent::SecretSealed, id), details);
        if self.store.insert_secret(new, audit).await? {
            return Ok(());
        }
        match self.is_repetition(context, command).await? {
            true => Ok(()),
            false => Err(exists().into()),
        }
    }

    /// Whether the id is that of this very secret; `Conflict` when it is that of another one.
    async fn is_repetition(
        &self,
        context: &CallContext,
        command: &SealSecret,
    ) -> Result<bool, Failure> {
        let id = command.sealed_secret_id;
        let found = self.store.find_secret(context.organization_id, id).await?;
        let Some(found) = found else { return Ok(false) };
        if found.purpose != command.purpose || found.owner_id != command.owner_id {
            return Err(exists().into());
        }
        let opened = self.open_stored(&found).await?;
        let plaintext = command.plaintext.expose();
        match aws_lc_rs::constant_time::verify_slices_are_equal(opened.expose(), plaintext) {
            Ok(()) => Ok(true),
            Err(_) => Err(exists().into()),
        }
    }

    /// A secret, sealed for its row.
    pub(crate) async fn describe_secret(
        &self,
        context: &CallContext,
        (id, purpose): (SealedSecretId, SecretPurpose),
        (owner_id, plaintext): (uuid::Uuid, &SecretBytes),
    ) -> Result<StoredSecret, Failure> {
        let place = (context.organization_id, Item::Secret(id, purpose));
        let item = self
            .data_keys
            .seal(place, plaintext, &cause(context))
            .await?;
        Ok(StoredSecret {
            id,
            organization_id: context.organization_id,
            purpose,
            owner_id,
            encryption_key_id: item.encryption_key_id,
            sealed: item.sealed,
            created_at: whole_milliseconds(self.clock.now()),
        })
    }

    /// Opens a stored secret, for use within this crate.
    pub(crate) async fn open_stored(&self, stored: &StoredSecret) -> Result<SecretBytes, Failure> {
        let place = (
            stored.organization_id,
            Item::Secret(stored.id, stored.purpose),
        );
        self.data_keys
            .open(place, stored.encryption_key_id, &stored.sealed)
            .await
    }

    /// A secret of the organization with that purpose, opened. The purpose is judged before.
    async fn open_for(
        &self,
        context: &CallContext,
        (id, purpose): (SealedSecretId, SecretPurpose),
    ) -> Result<SecretBytes, Failure> {
        let found = self.store.find_secret(context.organization_id, id).await?;
        let found = found.ok_or_else(|| Fault::not_found("sealed secret"))?;
        if found.purpose != purpose {
            let message = format!(
                "A secret of purpose '{}' does not serve for this: it takes one of purpose \
                 '{purpose}'.",
                found.purpose
            );
            let kind = ErrorKind::PolicyViolation;
            return Err(Fault::new(kind, "sealed_secret_purpose", message).into());
        }
        self.open_stored(&found).await
    }

    /// Carries out [`OpenSecret`].
    pub(crate) async fn open_secret(
        &self,
        context: &CallContext,
        command: OpenSecret,
    ) -> Result<Reply, Failure> {
        let id = command.sealed_secret_id;
        let details = json!({ "stated_reason": command.reason });
        let failure = match self.open_for_core(context, &command, &details).await {
            Ok(secret) => return Ok(Reply::OpenedSecret(OpenedSecret { secret })),
            Err(failure) => failure,
        };
        Err(self
            .secret_refused(context, (SecureEvent::SecretOpened, id), details, failure)
            .await)
    }

    async fn open_for_core(
        &self,
        context: &CallContext,
        command: &OpenSecret,
        details: &Value,
    ) -> Result<SecretBytes, Failure> {
        check_reason(Some(&command.reason))?;
        let organization_id = context.organization_id;
        let now = self.clock.now();
        if let Err(wait) = self.opens.take(organization_id, OPENS_PER_MINUTE_MAX, now) {
            let message = format!(
                "At most {OPENS_PER_MINUTE_MAX} secrets of an organization are opened in a minute. \
                 Try again in {wait} seconds."
            );
            let mut fault = Fault::new(ErrorKind::RateLimited, "open_rate_exceeded", message);
            fault.retry_after_seconds = u32::try_from(wait).ok();
            return Err(fault.into());
        }
        let id = command.sealed_secret_id;
        let secret = self
            .open_for(context, (id, SecretPurpose::Connector))
            .await?;
        let audit = self.secret_row(context, (SecureEvent::SecretOpened, id), details.clone());
        self.store.record_audit(&audit).await?;
        Ok(secret)
    }

    /// Carries out [`SignWebhook`].
    pub(crate) async fn sign_webhook(
        &self,
        context: &CallContext,
        command: SignWebhook,
    ) -> Result<Reply, Failure> {
        let id = command.sealed_secret_id;
        let is_legible = check_message(&command).is_ok();
        let message_id = is_legible.then_some(command.message_id.as_str());
        let details = json!({ "message_id": message_id.unwrap_or_default() });
        let failure = match self.sign_message(context, &command, &details).await {
            Ok(signature) => return Ok(Reply::WebhookSignature(signature)),
            Err(failure) => failure,
        };
        Err(self
            .secret_refused(context, (SecureEvent::WebhookSigned, id), details, failure)
            .await)
    }

    async fn sign_message(
        &self,
        context: &CallContext,
        command: &SignWebhook,
        details: &Value,
    ) -> Result<String, Failure> {
        check_message(command)?;
        let id = command.sealed_secret_id;
        let secret = self.open_for(context, (id, SecretPurpose::Webhook)).await?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
        let mut signed = hmac::Context::with_key(&key);
        signed.update(format!("{}.{}.", command.message_id, command.timestamp).as_bytes());
        signed.update(&command.body);
        let audit = self.secret_row(context, (SecureEvent::WebhookSigned, id), details.clone());
        self.store.record_audit(&audit).await?;
        Ok(format!("v1,{}", STANDARD.encode(signed.sign().as_ref())))
    }

    /// Carries out [`DestroySecret`].
    pub(crate) async fn destroy_secret(
        &self,
        context: &CallContext,
        command: DestroySecret,
    ) -> Result<Reply, Failure> {
        let id = command.sealed_secret_id;
        let failure = match self.destroy_for_core(context, id).await {
            Ok(()) => return Ok(Reply::Done(Done {})),
            Err(failure) => failure,
        };
        let event = SecureEvent::SecretDestroyed;
        Err(self
            .secret_refused(context, (event, id), json!({}), failure)
            .await)
    }

    async fn destroy_for_core(
        &self,
        context: &CallContext,
        id: SealedSecretId,
    ) -> Result<(), Failure> {
        let organization_id = context.organization_id;
        let found = self.store.find_secret(organization_id, id).await?;
        if found.is_some_and(|found| found.purpose == SecretPurpose::Totp) {
            let message = "A second factor is removed with a code of it.";
            let kind = ErrorKind::PolicyViolation;
            return Err(Fault::new(kind, "sealed_secret_purpose", message).into());
        }
        let event = SecureEvent::SecretDestroyed;
        let audit = self.secret_row(context, (event, id), json!({}));
        let now = self.clock.now();
        // One that is gone already is as it should be.
        self.store
            .destroy_secret((organization_id, id), now, audit)
            .await?;
        Ok(())
    }

    fn secret_row(
        &self,
        context: &CallContext,
        (event, id): (SecureEvent, SealedSecretId),
        details: Value,
    ) -> clm_domain::audit::AuditRow {
        let stamp = Stamp {
            now: self.clock.now(),
            rng: self.rng.as_ref(),
        };
        row(event, &cause(context), Some(id.as_uuid()), details, stamp)
    }

    async fn secret_refused(
        &self,
        context: &CallContext,
        (event, id): (SecureEvent, SealedSecretId),
        details: Value,
        failure: Failure,
    ) -> Failure {
        let act = RefusedAct {
            event,
            resource_id: Some(id.as_uuid()),
            details,
        };
        self.audited(context, act, failure).await
    }
}

fn check_sealable(command: &SealSecret) -> Result<(), Fault> {
    if command.purpose == SecretPurpose::Totp {
        let message = "The secret of a second factor is made by enrolling it, never sent.";
        return Err(Fault::invalid("sealed_secret_purpose", "purpose", message));
    }
    if !(1..=SECRET_BYTES_MAX).contains(&command.plaintext.expose().len()) {
        let message = format!("A secret has 1 to {SECRET_BYTES_MAX} bytes.");
        return Err(Fault::invalid("secret_length", "plaintext", message));
    }
    Ok(())
}

/// The three parts under a signature are told apart by dots, so that the first may have none.
fn check_message(command: &SignWebhook) -> Result<(), Fault> {
    let id = &command.message_id;
    let is_plain = |one: u8| one.is_ascii_alphanumeric() || one == b'_' || one == b'-';
    if !(1..=MESSAGE_ID_CHARACTERS_MAX).contains(&id.len()) || !id.bytes().all(is_plain) {
        let message = format!(
            "The id of a message has 1 to {MESSAGE_ID_CHARACTERS_MAX} letters, digits, '_' and '-'."
        );
        return Err(Fault::invalid("message_id_invalid", "message_id", message));
    }
    if command.timestamp < 0 {
        let message = "The timestamp is the number of seconds since 1970.";
        return Err(Fault::invalid("timestamp_invalid", "timestamp", message));
    }
    if command.body.len() > WEBHOOK_BODY_BYTES_MAX {
        let message = format!("A message has at most {WEBHOOK_BODY_BYTES_MAX} bytes.");
        return Err(Fault::invalid("message_too_large", "body", message));
    }
    Ok(())
}

fn exists() -> Fault {
    let message = "The id of the secret is in use already, for another one. Choose a new id.";
    Fault::new(ErrorKind::Conflict, "sealed_secret_exists", message)
}
