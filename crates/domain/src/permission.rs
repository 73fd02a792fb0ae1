//! The one typed list of permissions: `{"resource": ["action", …]}`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What a permission is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Issued or imported certificates.
    Certificate,
    /// Certificate requests.
    CertificateRequest,
    /// Certificate authorities.
    CertificateAuthority,
    /// Private keys.
    PrivateKey,
    /// API keys.
    ApiKey,
    /// Sign-in sessions.
    Session,
    /// Users.
    User,
    /// Roles and their assignment.
    Role,
    /// Organizations and membership.
    Organization,
    /// Policies.
    Policy,
    /// Workflows.
    Workflow,
    /// Notifications.
    Notification,
    /// Audit logs.
    Audit,
    /// The installation as a whole.
    System,
}

/// What may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// See one.
    Read,
    /// See the list.
    List,
    /// Make one.
    Create,
    /// Change one.
    Update,
    /// Remove one.
    Delete,
    /// Decide about one.
    Approve,
    /// Revoke one.
    Revoke,
    /// Renew one.
    Renew,
    /// Take one out.
    Export,
    /// Replace its key.
    Rotate,
    /// Everything that runs the installation.
    Administer,
    /// Prove its integrity.
    Verify,
}

/// A set of permissions, as roles and API key scopes hold it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Permissions(BTreeMap<Resource, BTreeSet<Action>>);

impl Permissions {
    /// The empty set, which allows nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether `action` on `resource` is in the set.
    pub fn allows(&self, resource: Resource, action: Action) -> bool {
        self.0
            .get(&resource)
            .is_some_and(|actions| actions.contains(&action))
    }

    /// Adds one permission.
    pub fn grant(&mut self, resource: Resource, action: Action) {
        self.0.entry(resource).or_default().insert(action);
    }

    /// Adds everything that `other` holds.
    pub fn extend(&mut self, other: &Self) {
        for (resource, actions) in &other.0 {
            self.0
                .entry(*resource)
                .or_default()
                .extend(actions.iter().copied());
        }
    }

    /// What both sets hold: an API key's scopes within its owner's rights.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        let mut both = Self::none();
        for (resource, actions) in &self.0 {
            for action in actions {
                if other.allows(*resource, *action) {
                    both.grant(*resource, *action);
                }
            }
        }
        both
    }

    /// Reads the stored form leniently: words that this version does not know grant nothing, so
    /// that a role written by a newer version never fails open or closed as a whole.
    pub fn from_stored(value: &serde_json::Value) -> Self {
        let mut permissions = Self::none();
        let Some(object) = value.as_object() else {
            return permissions;
        };
        for (resource, actions) in object {
            let Ok(resource) = word::<Resource>(resource) else {
                continue;
            };
            for action in actions.as_array().into_iter().flatten() {
                if let Some(Ok(action)) = action.as_str().map(word::<Action>) {
                    permissions.grant(resource, action);
                }
            }
        }
        permissions
    }
}

fn word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
}
