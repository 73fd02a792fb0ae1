//! Who may do a sensitive act, and with what proof: read before the act, over the command as it was
//! received; used up in the transaction of the act.
//!
//! Nothing here trusts the core about what was proved. The operator of the machine needs no proof, and
//! is believed in the same process alone ([`clm_secure_api::Command::trusts_local_operator`]); so is the
//! bootstrap of an installation.

use clm_domain::actor::Actor;
use clm_domain::error::{ErrorKind, Fault};
use clm_secure_api::command::StepUpToken;
use clm_secure_api::step_up::request_hash;
use clm_secure_api::{CallContext, Caller};
use serde::Serialize;

use crate::Secure;
use crate::error::Failure;
use crate::second_factor::{acting_user, proof_hash};
use crate::store::step_up_proofs::ProofUse;

/// What lets somebody do a sensitive act.
#[derive(Clone, Debug)]
pub(crate) enum SteppedUp {
    /// A code that a person gave for it.
    Code(ProofUse),
    /// Being the operator of the machine.
    LocalOperator,
    /// Being the bootstrap of an installation.
    Bootstrap,
    /// An API key, where the core says that its scopes allow it.
    ApiKey,
}

impl SteppedUp {
    /// The proof that is to be used up, if there is one.
    pub(crate) const fn proof(&self) -> Option<&ProofUse> {
        match self {
            Self::Code(proof) => Some(proof),
            Self::LocalOperator | Self::Bootstrap | Self::ApiKey => None,
        }
    }

    /// What events say.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Code(_) => "code",
            Self::LocalOperator => "local_operator",
            Self::Bootstrap => "bootstrap",
            Self::ApiKey => "api_key",
        }
    }
}

impl Secure {
    /// What lets the actor do this: a proof as it must be stored, or being one who needs none.
    pub(crate) fn stepped_up<T: Serialize>(
        &self,
        context: &CallContext,
        proof: Option<&StepUpToken>,
        (command, arguments): (&str, &T),
    ) -> Result<SteppedUp, Failure> {
        match (context.caller, &context.actor) {
            (_, Actor::LocalOperator { .. }) => return Ok(SteppedUp::LocalOperator),
            (Caller::Bootstrap, Actor::System) => return Ok(SteppedUp::Bootstrap),
            _ => {}
        }
        let (user_id, session_id) = acting_user(context).map_err(|_| step_up_required())?;
        let proof = proof.ok_or_else(step_up_required)?;
        let request_sha256 = request_hash(context.organization_id, command, arguments)
            .map_err(|error| Failure::Internal(error.to_string()))?;
        Ok(SteppedUp::Code(ProofUse {
            proof_sha256: proof_hash(&proof.0),
            user_id,
            session_id,
            request_sha256,
        }))
    }

    /// Refuses a proof that is not good, before anything is opened or signed. Whether it still is counts
    /// when it is used up.
    pub(crate) async fn check_proof(&self, stepped_up: &SteppedUp) -> Result<(), Failure> {
        let Some(proof) = stepped_up.proof() else {
            return Ok(());
        };
        if self.store.is_proof_good(proof, self.clock.now()).await? {
            return Ok(());
        }
        Err(step_up_invalid().into())
    }
}

fn step_up_required() -> Fault {
    let message = "This takes a code of your second factor, for exactly this: sign in as a person, \
        enrol a second factor if you have none (clm totp enrol), and give a code. API keys cannot.";
    Fault::new(ErrorKind::Forbidden, "step_up_required", message)
}

/// The refusal of a proof that is none, used, expired, or another's.
pub(crate) fn step_up_invalid() -> Fault {
    let message = "The step-up proof is not good for this: it was used, has expired, or was given \
        for another request or somebody else. Give a new code for this.";
    Fault::new(ErrorKind::Forbidden, "step_up_invalid", message)
}
