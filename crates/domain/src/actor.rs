//! Who acts.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{ApiKeyId, SessionId, UserId};

/// Who acts, as both audit logs record it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Actor {
    /// A person with a session.
    User {
        /// The person.
        user_id: UserId,
        /// The session.
        session_id: SessionId,
    },
    /// A program with an API key of a user.
    ApiKey {
        /// The key.
        api_key_id: ApiKeyId,
        /// The owner of the key.
        user_id: UserId,
    },
    /// Somebody on the same machine, through `clm.sock`.
    LocalOperator {
        /// The operating-system user.
        uid: u32,
    },
    /// Nobody that we know, such as a failed sign-in.
    Anonymous,
    /// The platform itself: bootstrap, relay, reconciler.
    System,
}

impl Actor {
    /// The stored word for the kind of actor.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::User { .. } => "user",
            Self::ApiKey { .. } => "api_key",
            Self::LocalOperator { .. } => "local_operator",
            Self::Anonymous => "anonymous",
            Self::System => "system",
        }
    }

    /// The id of the acting object: the user, or the API key.
    pub const fn id(&self) -> Option<Uuid> {
        match self {
            Self::User { user_id, .. } => Some(user_id.as_uuid()),
            Self::ApiKey { api_key_id, .. } => Some(api_key_id.as_uuid()),
            Self::LocalOperator { .. } | Self::Anonymous | Self::System => None,
        }
    }

    /// The person or service account behind the act.
    pub const fn user_id(&self) -> Option<UserId> {
        match self {
            Self::User { user_id, .. } | Self::ApiKey { user_id, .. } => Some(*user_id),
            Self::LocalOperator { .. } | Self::Anonymous | Self::System => None,
        }
    }

    /// The session, where there is one.
    pub const fn session_id(&self) -> Option<SessionId> {
        match self {
            Self::User { session_id, .. } => Some(*session_id),
            _ => None,
        }
    }

    /// A stable text for scoping idempotency keys: two principals never share one.
    pub fn principal(&self) -> String {
        match self {
            Self::User { user_id, .. } => format!("user:{user_id}"),
            Self::ApiKey { api_key_id, .. } => format!("api_key:{api_key_id}"),
            Self::LocalOperator { uid } => format!("local_operator:{uid}"),
            Self::Anonymous => "anonymous".to_owned(),
            Self::System => "system".to_owned(),
        }
    }
}
