//! Second factors: enrolled, put into force, judged, removed; and the proof that a code of one gives
//! for one command. The secret never leaves but in the address that its user's device reads.
//!
//! A code is judged outside of the database and used up in it, by one statement that takes a time
//! step once; see [`crate::store::totp_factors`].

use chrono::{DateTime, TimeDelta, Utc};
use clm_domain::actor::Actor;
use clm_domain::audit::{AuditRow, SecureEvent};
use clm_domain::clock::random_bytes;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{SealedSecretId, SessionId, UserId};
use clm_domain::limits::TOTP_LABEL_CHARACTERS_MAX;
use clm_domain::secret::{SecretBytes, SecretString};
use clm_domain::states::SecretPurpose;
use clm_secure_api::command::{
    ActivateTotp, EnrolTotp, FindSecondFactor, RemoveTotp, RenewBackupCodes, ResetTotp, StepUp,
    VerifyTotp,
};
use clm_secure_api::reply::{
    BackupCode, BackupCodes, Done, SecondFactorStatus, StepUpProof, TotpEnrolment,
};
use clm_secure_api::{CallContext, Reply};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::Secure;
use crate::audit::{RefusedAct, Stamp, cause, row};
use crate::error::Failure;
use crate::key_rotation::{KeyRotationError, check_reason};
use crate::store::totp_factors::{
    CodeOutcome, FoundCode, NewProof, NewTotp, RightCode, StoredTotp, TotpUse,
};
use crate::{backup_codes, totp};

/// How long a factor waits for its first code, in minutes.
const PENDING_MINUTES: i64 = 10;
/// How long a proof may be used, in minutes.
const PROOF_MINUTES: i64 = 5;
/// What a proof begins with, so that one that leaked is recognized.
const PROOF_PREFIX: &str = "clmsu_";

impl Secure {
    /// Carries out [`EnrolTotp`].
    pub(crate) async fn enrol_totp(
        &self,
        context: &CallContext,
        command: EnrolTotp,
    ) -> Result<Reply, Failure> {
        match self.enrol(context, &command).await {
            Ok(enrolment) => Ok(Reply::TotpEnrolment(enrolment)),
            Err(failure) => {
                let user_id = context.actor.user_id();
                Err(self
                    .factor_refused(context, (SecureEvent::TotpEnrolled, user_id), failure)
                    .await)
            }
        }
    }

    async fn enrol(
        &self,
        context: &CallContext,
        command: &EnrolTotp,
    ) -> Result<TotpEnrolment, Failure> {
        let (user_id, _) = acting_user(context)?;
        check_label(&command.label)?;
        let bytes: [u8; totp::SECRET_BYTES] = random_bytes(self.rng.as_ref());
        let plaintext = SecretBytes::new(bytes.to_vec());
        let id = SealedSecretId::generate(self.clock.now(), self.rng.as_ref());
        let of_user = (user_id.as_uuid(), &plaintext);
        let secret = self
            .describe_secret(context, (id, SecretPurpose::Totp), of_user)
            .await?;
        let expires_at = secret.created_at + TimeDelta::minutes(PENDING_MINUTES);
        let details = json!({
            "sealed_secret_id": id.to_string(),
            "encryption_key_id": secret.encryption_key_id.to_string(),
        });
        let audit = self.factor_row(context, (SecureEvent::TotpEnrolled, user_id), details);
        let new = NewTotp {
            secret,
            user_id,
            expires_at,
            audit,
        };
        if !self.store.insert_totp(new).await? {
            let message = "You have a second factor already. Remove it first.";
            let kind = ErrorKind::Conflict;
            return Err(Fault::new(kind, "totp_already_active", message).into());
        }
        Ok(TotpEnrolment {
            uri: totp::uri(&plaintext, &command.label),
            expires_at,
        })
    }

    /// Carries out [`ActivateTotp`].
    pub(crate) async fn activate_totp(
        &self,
        context: &CallContext,
        command: ActivateTotp,
    ) -> Result<Reply, Failure> {
        let event = SecureEvent::TotpActivated;
        let (codes, hashes) = self.new_backup_codes();
        self.by_acting_user(context, (event, &command.code), TotpUse::Activate(hashes))
            .await?;
        Ok(Reply::BackupCodes(codes))
    }

    /// Carries out [`RenewBackupCodes`].
    pub(crate) async fn renew_backup_codes(
        &self,
        context: &CallContext,
        command: RenewBackupCodes,
    ) -> Result<Reply, Failure> {
        let event = SecureEvent::BackupCodesRenewed;
        let (codes, hashes) = self.new_backup_codes();
        self.by_acting_user(context, (event, &command.code), TotpUse::Renew(hashes))
            .await?;
        Ok(Reply::BackupCodes(codes))
    }

    /// What the user sees of new codes, and what is kept.
    fn new_backup_codes(&self) -> (BackupCodes, Vec<[u8; 32]>) {
        let codes = backup_codes::generate(self.rng.as_ref());
        let hashes = codes.iter().filter_map(backup_codes::hash).collect();
        let codes = codes.into_iter().map(BackupCode).collect();
        (BackupCodes { codes }, hashes)
    }

    /// Carries out [`FindSecondFactor`]. It needs no key, so it works while the master key is sealed.
    pub(crate) async fn find_second_factor(
        &self,
        context: &CallContext,
        command: FindSecondFactor,
    ) -> Result<Reply, Failure> {
        let found = self
            .store
            .find_totp(context.organization_id, command.user_id)
            .await?;
        let active = found.filter(|factor| factor.is_active);
        Ok(Reply::SecondFactor(SecondFactorStatus {
            is_active: active.is_some(),
            backup_codes_left: active.map_or(0, |factor| factor.backup_codes_left),
        }))
    }

    /// Carries out [`RemoveTotp`].
    pub(crate) async fn remove_totp(
        &self,
        context: &CallContext,
        command: RemoveTotp,
    ) -> Result<Reply, Failure> {
        let event = SecureEvent::TotpRemoved;
        self.by_acting_user(context, (event, &command.code), TotpUse::Remove)
            .await
    }

    async fn by_acting_user(
        &self,
        context: &CallContext,
        (event, code): (SecureEvent, &SecretString),
        used_for: TotpUse,
    ) -> Result<Reply, Failure> {
        let done = match acting_user(context) {
            Ok((user_id, _)) => {
                self.judge_code(context, (event, user_id), code, used_for)
                    .await
            }
            Err(fault) => Err(fault.into()),
        };
        match done {
            Ok(()) => Ok(Reply::Done(Done {})),
            Err(failure) => {
                let user_id = context.actor.user_id();
                Err(self
                    .factor_refused(context, (event, user_id), failure)
                    .await)
            }
        }
    }

    /// Carries out [`VerifyTotp`].
    pub(crate) async fn verify_totp(
        &self,
        context: &CallContext,
        command: VerifyTotp,
    ) -> Result<Reply, Failure> {
        let (event, user_id) = (SecureEvent::TotpVerified, command.user_id);
        let judged = self.judge_code(context, (event, user_id), &command.code, TotpUse::Verify);
        match judged.await {
            Ok(()) => Ok(Reply::Done(Done {})),
            Err(failure) => Err(self
                .factor_refused(context, (event, Some(user_id)), failure)
                .await),
        }
    }

    /// Carries out [`ResetTotp`].
    pub(crate) async fn reset_totp(
        &self,
        context: &CallContext,
        command: ResetTotp,
    ) -> Result<Reply, Failure> {
        match self.reset(context, &command).await {
            Ok(()) => Ok(Reply::Done(Done {})),
            Err(failure) => {
                let about = (SecureEvent::TotpReset, Some(command.user_id));
                Err(self.factor_refused(context, about, failure).await)
            }
        }
    }

    async fn reset(&self, context: &CallContext, command: &ResetTotp) -> Result<(), Failure> {
        if !matches!(context.actor, Actor::LocalOperator { .. }) {
            let message = "Only the operator of the machine that holds the master key can remove \
                the second factor of somebody who has lost it.";
            let kind = ErrorKind::Forbidden;
            return Err(Fault::new(kind, "local_operator_required", message).into());
        }
        check_reason(Some(&command.reason))?;
        let (organization_id, user_id) = (context.organization_id, command.user_id);
        let found = self.store.find_totp(organization_id, user_id).await?;
        let found = found.ok_or_else(not_active)?;
        let details = json!({ "stated_reason": command.reason });
        let audit = self.factor_row(context, (SecureEvent::TotpReset, user_id), details);
        let factor = (organization_id, found.secret.id);
        Ok(self
            .store
            .reset_totp(factor, self.clock.now(), audit)
            .await?)
    }

    /// Carries out [`StepUp`].
    pub(crate) async fn step_up(
        &self,
        context: &CallContext,
        command: StepUp,
    ) -> Result<Reply, Failure> {
        match self.prove(context, &command).await {
            Ok(proof) => Ok(Reply::StepUpProof(proof)),
            Err(failure) => {
                let user_id = context.actor.user_id();
                Err(self
                    .factor_refused(context, (SecureEvent::SteppedUp, user_id), failure)
                    .await)
            }
        }
    }

    async fn prove(&self, context: &CallContext, command: &StepUp) -> Result<StepUpProof, Failure> {
        let (user_id, session_id) = acting_user(context)?;
        let random: [u8; 32] = random_bytes(self.rng.as_ref());
        let proof = SecretString::new(format!("{PROOF_PREFIX}{}", hex::encode(random)));
        let expires_at = self.clock.now() + TimeDelta::minutes(PROOF_MINUTES);
        let new = NewProof {
            proof_sha256: proof_hash(&proof),
            user_id,
            session_id,
            request_sha256: command.request_sha256,
            expires_at,
        };
        let about = (SecureEvent::SteppedUp, user_id);
        self.judge_code(context, about, &command.code, TotpUse::StepUp(new))
            .await?;
        Ok(StepUpProof { proof, expires_at })
    }

    /// Judges a code and uses it up; counts it when it is wrong.
    async fn judge_code(
        &self,
        context: &CallContext,
        (event, user_id): (SecureEvent, UserId),
        code: &SecretString,
        used_for: TotpUse,
    ) -> Result<(), Failure> {
        let (organization_id, now) = (context.organization_id, self.clock.now());
        let typed = typed_code(code, &used_for)?;
        let found = self.store.find_totp(organization_id, user_id).await?;
        let factor = usable(found, &used_for, now)?;
        let id = factor.secret.id;
        let code = match typed {
            TypedCode::OfDevice => FoundCode::Step(self.judge_step(&factor, code, now).await?),
            TypedCode::Backup(hash) => FoundCode::Backup(hash),
        };
        let details = match &used_for {
            TotpUse::StepUp(proof) => json!({
                "request_sha256": hex::encode(proof.request_sha256),
                "proof_sha256": hex::encode(proof.proof_sha256),
            }),
            _ => json!({ "sealed_secret_id": id.to_string(), "by": code.word() }),
        };
        let audit = self.factor_row(context, (event, user_id), details);
        let right = RightCode {
            organization_id,
            sealed_secret_id: id,
            code,
            now,
            used_for,
            audit,
        };
        match self.store.use_code(right).await? {
            CodeOutcome::Accepted => Ok(()),
            CodeOutcome::Used => {
                let message = "This code was used already. Wait for the next one.";
                Err(Fault::new(ErrorKind::Conflict, "totp_code_used", message).into())
            }
            CodeOutcome::Locked(until) => Err(locked(until, now).into()),
            CodeOutcome::Unknown => Err(wrong(None, now).into()),
            CodeOutcome::Gone => Err(not_active().into()),
        }
    }

    /// The time step of a code of the device; counts it when it is of none.
    async fn judge_step(
        &self,
        factor: &StoredTotp,
        code: &SecretString,
        now: DateTime<Utc>,
    ) -> Result<i64, Failure> {
        if let Some(until) = factor.locked_until.filter(|until| *until > now) {
            return Err(locked(until, now).into());
        }
        let secret = self.open_stored(&factor.secret).await?;
        if let Some(step) = totp::matching_step(&secret, code, now) {
            return Ok(step);
        }
        let id = (factor.secret.organization_id, factor.secret.id);
        let counted = self.store.count_wrong_code(id, now).await?;
        Err(wrong(counted, now).into())
    }

    /// Removes proofs that expired and factors that nobody activated in time. Meant for a
    /// background loop; any number of processes may call it.
    ///
    /// # Errors
    /// [`KeyRotationError`]; the next call goes on.
    pub async fn remove_expired_factors(&self) -> Result<(), KeyRotationError> {
        Ok(self.store.remove_expired_factors(self.clock.now()).await?)
    }

    fn factor_row(
        &self,
        context: &CallContext,
        (event, user_id): (SecureEvent, UserId),
        details: Value,
    ) -> AuditRow {
        let stamp = Stamp {
            now: self.clock.now(),
            rng: self.rng.as_ref(),
        };
        row(
            event,
            &cause(context),
            Some(user_id.as_uuid()),
            details,
            stamp,
        )
    }

    async fn factor_refused(
        &self,
        context: &CallContext,
        (event, user_id): (SecureEvent, Option<UserId>),
        failure: Failure,
    ) -> Failure {
        let act = RefusedAct {
            event,
            resource_id: user_id.map(UserId::as_uuid),
            details: json!({}),
        };
        self.audited(context, act, failure).await
    }
}

/// A code as it was typed.
enum TypedCode {
    /// Six digits.
    OfDevice,
    /// The hash of a backup code.
    Backup([u8; 32]),
}

/// What kind of code was typed. The first code of a factor is one of the device: it proves that the user
/// has the secret.
fn typed_code(code: &SecretString, used_for: &TotpUse) -> Result<TypedCode, Fault> {
    if totp::is_code(code) {
        return Ok(TypedCode::OfDevice);
    }
    if let (Some(hash), false) = (backup_codes::hash(code), used_for.activates()) {
        return Ok(TypedCode::Backup(hash));
    }
    let message = match used_for.activates() {
        true => "A code has six digits.",
        false => "A code has six digits; a backup code has sixteen letters and digits.",
    };
    Err(Fault::invalid("totp_code_malformed", "code", message))
}

/// What is stored of a proof.
pub(crate) fn proof_hash(proof: &SecretString) -> [u8; 32] {
    Sha256::digest(proof.expose()).into()
}

/// The person who acts, and in which session.
pub(crate) fn acting_user(context: &CallContext) -> Result<(UserId, SessionId), Fault> {
    if let Actor::User {
        user_id,
        session_id,
    } = context.actor
    {
        return Ok((user_id, session_id));
    }
    let message = "A second factor belongs to a person: sign in (clm login), instead of using an \
        API key.";
    Err(Fault::new(
        ErrorKind::Forbidden,
        "session_required",
        message,
    ))
}

/// The factor, when it is in the state that the use of a code takes.
fn usable(
    found: Option<StoredTotp>,
    used_for: &TotpUse,
    now: DateTime<Utc>,
) -> Result<StoredTotp, Fault> {
    let activates = used_for.activates();
    let factor = found.filter(|factor| {
        let in_time = factor.expires_at.is_none_or(|expires_at| expires_at > now);
        factor.is_active != activates && in_time
    });
    factor.ok_or_else(|| match activates {
        true => {
            let message = "No second factor waits for its first code. Enrol one (clm totp enrol).";
            Fault::new(ErrorKind::Conflict, "totp_not_enrolled", message)
        }
        false => not_active(),
    })
}

fn check_label(label: &str) -> Result<(), Fault> {
    let length = label.chars().count();
    if (1..=TOTP_LABEL_CHARACTERS_MAX).contains(&length) && !label.chars().any(char::is_control) {
        return Ok(());
    }
    let message = format!(
        "The name of the account has 1 to {TOTP_LABEL_CHARACTERS_MAX} characters and no control \
         characters."
    );
    Err(Fault::invalid("label_invalid", "label", message))
}

fn not_active() -> Fault {
    let message = "There is no second factor in force. Enrol one (clm totp enrol) and activate it.";
    Fault::new(ErrorKind::Conflict, "totp_not_active", message)
}

/// What is said of a wrong code: that it is wrong, or that it was one too many.
fn wrong(locked_until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Fault {
    match locked_until.filter(|until| *until > now) {
        Some(until) => locked(until, now),
        None => {
            let message = "The code is wrong. Check the clock of your device.";
            Fault::invalid("totp_code_invalid", "code", message)
        }
    }
}

fn locked(until: DateTime<Utc>, now: DateTime<Utc>) -> Fault {
    let seconds = (until - now).num_seconds().max(0) + 1;
    let message = format!("There were too many wrong codes. Try again in {seconds} seconds.");
    let mut fault = Fault::new(ErrorKind::RateLimited, "totp_locked", message);
    fault.retry_after_seconds = u32::try_from(seconds).ok();
    fault
}
