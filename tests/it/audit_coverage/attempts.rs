//! How each case of each operation comes about: what has to be there before, and the one call that
//! is judged.

use std::time::{Duration, Instant};

use clm_domain::ids::SYSTEM_ORGANIZATION;
use clm_domain::permission::{Action, Permissions, Resource};
use clm_tests::databases::{PATIENCE, Person};
use clm_tests::openssl;
use clm_tests::rest::{Answer, Call, Credential, NOBODY, SignedIn, bearer, cookie};
use clm_tests::tenant::Object;
use serde_json::{Value, json};
use uuid::Uuid;

use super::World;
use super::acts::Act;

/// An id that nobody has.
const UNKNOWN: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// A call, and what its events must say.
pub(super) struct Attempt {
    pub(super) call: Call,
    pub(super) who: Whoever,
    pub(super) concerned: Concerned,
}

/// Which object an event in `audit_log` names.
#[derive(Clone, Copy)]
pub(super) enum Concerned {
    Nothing,
    Known(Uuid),
    InAnswer(&'static str),
}

/// Who acts.
#[derive(Clone, Copy)]
pub(super) enum Whoever {
    Known(Who),
    /// The user who has just signed in.
    SignedIn { user_id: Uuid, organization_id: Uuid },
}

/// Who acts, as the columns say it.
#[derive(Clone, Copy)]
pub(super) struct Who {
    pub(super) actor_type: &'static str,
    pub(super) actor_id: Option<Uuid>,
    pub(super) user_id: Option<Uuid>,
    pub(super) session_id: Option<Uuid>,
    pub(super) organization_id: Uuid,
}

impl Whoever {
    pub(super) fn resolve(self, answer: &Answer) -> Who {
        match self {
            Self::Known(who) => who,
            Self::SignedIn { user_id, organization_id } => {
                by_session(user_id, answer.id("/session/id"), organization_id)
            }
        }
    }
}

fn by_session(user_id: Uuid, session_id: Uuid, organization_id: Uuid) -> Who {
    Who {
        actor_type: "user",
        actor_id: Some(user_id),
        user_id: Some(user_id),
        session_id: Some(session_id),
        organization_id,
    }
}

fn by_key(person: &Person, organization_id: Uuid) -> Who {
    Who {
        actor_type: "api_key",
        actor_id: Some(person.api_key_id),
        user_id: Some(person.user_id),
        session_id: None,
        organization_id,
    }
}

fn by_nobody(organization_id: Uuid) -> Who {
    Who { actor_type: "anonymous", actor_id: None, user_id: None, session_id: None, organization_id }
}

impl Attempt {
    fn new(call: Call, who: Who) -> Self {
        Self { call, who: Whoever::Known(who), concerned: Concerned::Nothing }
    }

    fn about(mut self, concerned: Concerned) -> Self {
        self.concerned = concerned;
        self
    }
}
