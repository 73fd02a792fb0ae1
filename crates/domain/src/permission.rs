//! The one typed list of permissions: `{"resource": ["action", …]}`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::ids::{OrganizationId, SYSTEM_ORGANIZATION};

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
    /// The keys that seal what is stored, and their rotation.
    EncryptionKey,
    /// The master key above them.
    MasterKey,
    /// The seal over a split master key.
    Seal,
    /// API keys.
    ApiKey,
    /// Sign-in sessions.
    Session,
    /// Users.
    User,
    /// Roles.
    Role,
    /// Who holds which role, and from when to when.
    RoleAssignment,
    /// Organizations.
    Organization,
    /// Who may act in an organization, and who was invited to.
    Membership,
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

impl Resource {
    /// Every resource.
    pub const ALL: &'static [Self] = &[
        Self::Certificate,
        Self::CertificateRequest,
        Self::CertificateAuthority,
        Self::PrivateKey,
        Self::EncryptionKey,
        Self::MasterKey,
        Self::Seal,
        Self::ApiKey,
        Self::Session,
        Self::User,
        Self::Role,
        Self::RoleAssignment,
        Self::Organization,
        Self::Membership,
        Self::Policy,
        Self::Workflow,
        Self::Notification,
        Self::Audit,
        Self::System,
    ];

    /// Whether there is one of it in the whole installation. Rights to it are held in the system
    /// organization, and count wherever their holder acts; those of a tenant's roles do not.
    pub const fn is_of_installation(self) -> bool {
        matches!(self, Self::MasterKey | Self::Seal)
    }
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
    /// Help to open it.
    Unseal,
}

impl Action {
    /// Every action.
    pub const ALL: &'static [Self] = &[
        Self::Read,
        Self::List,
        Self::Create,
        Self::Update,
        Self::Delete,
        Self::Approve,
        Self::Revoke,
        Self::Renew,
        Self::Export,
        Self::Rotate,
        Self::Administer,
        Self::Verify,
        Self::Unseal,
    ];
}

/// A permission in one word, as command lines write it: `certificate:read`.
pub fn rule(resource: Resource, action: Action) -> String {
    let word = |value: serde_json::Result<serde_json::Value>| match value {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    };
    let resource = word(serde_json::to_value(resource));
    format!("{resource}:{}", word(serde_json::to_value(action)))
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

    /// Every action on every resource: what `SYSTEM_ADMIN` holds.
    pub fn all() -> Self {
        Resource::ALL
            .iter()
            .flat_map(|resource| Action::ALL.iter().map(|action| (*resource, *action)))
            .collect()
    }

    /// Each permission of the set, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (Resource, Action)> + '_ {
        self.0
            .iter()
            .flat_map(|(resource, actions)| actions.iter().map(|action| (*resource, *action)))
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
        self.iter()
            .filter(|(resource, action)| other.allows(*resource, *action))
            .collect()
    }

    /// What this set has and the other has not.
    #[must_use]
    pub fn beyond(&self, held: &Self) -> Self {
        self.iter()
            .filter(|(resource, action)| !held.allows(*resource, *action))
            .collect()
    }

    /// Of what roles give in an organization, what counts there: what concerns the installation counts
    /// for roles that are held in the System organization.
    #[must_use]
    pub fn counting_in(&self, organization_id: OrganizationId) -> Self {
        let is_system = organization_id == SYSTEM_ORGANIZATION;
        self.iter()
            .filter(|(resource, _)| is_system || !resource.is_of_installation())
            .collect()
    }

    /// What the roles in one organization allow there, with what those in the system organization
    /// allow on the installation.
    #[must_use]
    pub fn with_installation(&self, installation: &Self) -> Self {
        let own = self.iter().filter(|one| !one.0.is_of_installation());
        let of_installation = installation.iter().filter(|one| one.0.is_of_installation());
        own.chain(of_installation).collect()
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

    /// What several roles allow together, from an array of their stored forms; what is no array is none.
    pub fn from_stored_roles(roles: &serde_json::Value) -> Self {
        let mut permissions = Self::none();
        for role in roles.as_array().into_iter().flatten() {
            permissions.extend(&Self::from_stored(role));
        }
        permissions
    }
}

impl FromIterator<(Resource, Action)> for Permissions {
    fn from_iter<I: IntoIterator<Item = (Resource, Action)>>(items: I) -> Self {
        let mut permissions = Self::none();
        for (resource, action) in items {
            permissions.grant(resource, action);
        }
        permissions
    }
}

fn word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_value(serde_json::Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests;
