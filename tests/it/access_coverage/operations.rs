//! Every operation of REST v1: what it needs, which object its path or body names, and a valid body.

use clm_domain::permission::{Action, Resource};
use clm_tests::rest::{Call, Rest, documented};
use clm_tests::tenant::{Object, Tenant};
use serde_json::{Value, json};

/// What a caller must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing: the operation is public.
    Nothing,
    /// Any good credential.
    Credential,
    /// A session: there is nothing to do for an API key.
    Session,
    /// A permission.
    Permission(Resource, Action),
}

/// One operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) method: &'static str,
    /// As in the document.
    pub(super) path: &'static str,
    pub(super) needs: Needs,
    /// What the path names.
    pub(super) object: Option<Object>,
    /// Fields of the body that name an object.
    pub(super) refers: [Option<(&'static str, Object)>; 2],
    /// Whether the tenant's object is in a state that does not allow it.
    pub(super) conflicts: bool,
    /// Whether it also takes a step-up proof, which an API key cannot have.
    pub(super) proved: bool,
    /// Whether it says which revision was read.
    matched: bool,
    /// Whether it is done from the System organization only.
    pub(super) governing: bool,
    body: Option<fn(&Tenant) -> Value>,
}

/// All of them. An operation that is not listed here fails the test.
pub(super) const OPERATIONS: &[Operation] = &[
    public("POST", "/api/v1/sessions").with(sign_in),
    operation("GET", "/api/v1/sessions", Resource::Session, Action::List),
    operation(
        "DELETE",
        "/api/v1/sessions/{session_id}",
        Resource::Session,
        Action::Delete,
    )
    .on(Object::Session),
    open("DELETE", "/api/v1/sessions/current", Needs::Session),
    open("GET", "/api/v1/whoami", Needs::Credential),
    open("POST", "/api/v1/users/me/password", Needs::Credential).with(new_password),
    open("GET", "/api/v1/users/me/totp", Needs::Session),
    public("POST", "/api/v1/password-resets").with(forgotten),
    public("POST", "/api/v1/password-resets/confirm").with(no_link),
    open(
        "POST",
        "/api/v1/users/me/email-verification",
        Needs::Session,
    ),
    public("POST", "/api/v1/email-verifications/confirm").with(no_token),
    open("POST", "/api/v1/users/me/totp", Needs::Session),
    open("POST", "/api/v1/users/me/totp/activate", Needs::Session).with(code),
    open("POST", "/api/v1/users/me/totp/remove", Needs::Session).with(code),
    open("POST", "/api/v1/users/me/totp/backup-codes", Needs::Session).with(code),
    open(
        "POST",
        "/api/v1/sessions/current/second-factor",
        Needs::Session,
    )
    .with(code),
    open("POST", "/api/v1/step-up", Needs::Session).with(step_up),
    operation("POST", USERS, Resource::User, Action::Create).with(new_user),
    operation("GET", USERS, Resource::User, Action::List),
    operation("GET", USER, Resource::User, Action::Read).on(Object::User),
    operation("PATCH", USER, Resource::User, Action::Update)
        .on(Object::User)
        .with(new_display_name)
        .matched(),
    operation("PUT", USER_STATUS, Resource::User, Action::Update)
        .on(Object::User)
        .with(suspension),
    operation("POST", USER_PASSWORD, Resource::User, Action::Update)
        .on(Object::User)
        .with(nothing),
    operation("POST", USER_UNLOCK, Resource::User, Action::Update).on(Object::User),
    operation("DELETE", USER, Resource::User, Action::Delete).on(Object::User),
    operation("POST", USER_RESTORE, Resource::User, Action::Update).on(Object::User),
    operation("POST", "/api/v1/api-keys", Resource::ApiKey, Action::Create).with(new_key),
    operation("GET", "/api/v1/api-keys", Resource::ApiKey, Action::List),
    operation(
        "DELETE",
        "/api/v1/api-keys/{api_key_id}",
        Resource::ApiKey,
        Action::Delete,
    )
    .on(Object::ApiKey),
    operation(
        "POST",
        "/api/v1/api-keys/{api_key_id}/rotate",
        Resource::ApiKey,
        Action::Create,
    )
    .on(Object::ApiKey)
    .with(no_overlap),
    operation("POST", "/api/v1/roles", Resource::Role, Action::Create)
        .with(new_role)
        .referring("parent_role_id", Object::Role),
    operation("GET", "/api/v1/roles", Resource::Role, Action::List),
    operation("GET", ROLE, Resource::Role, Action::Read).on(Object::Role),
    operation("PATCH", ROLE, Resource::Role, Action::Update)
        .on(Object::Role)
        .with(other_role)
        .referring("parent_role_id", Object::Role)
        .matched(),
    operation("DELETE", ROLE, Resource::Role, Action::Delete)
        .on(Object::UnusedRole)
        .matched(),
    operation(
        "POST",
        "/api/v1/roles/{role_id}/restore",
        Resource::Role,
        Action::Create,
    )
    .on(Object::DeletedRole),
    operation(
        "POST",
        ASSIGNMENTS,
        Resource::RoleAssignment,
        Action::Create,
    )
    .with(new_assignment)
    .referring("role_id", Object::Role)
    .referring_also("user_id", Object::User),
    operation("GET", ASSIGNMENTS, Resource::RoleAssignment, Action::List),
    operation("GET", ASSIGNMENT, Resource::RoleAssignment, Action::Read).on(Object::RoleAssignment),
    operation(
        "PATCH",
        ASSIGNMENT,
        Resource::RoleAssignment,
        Action::Update,
    )
    .on(Object::RoleAssignment)
    .with(no_end)
    .matched(),
    operation(
        "DELETE",
        ASSIGNMENT,
        Resource::RoleAssignment,
        Action::Delete,
    )
    .on(Object::RoleAssignment),
    open("POST", "/api/v1/access/explain", Needs::Credential)
        .with(question)
        .referring("user_id", Object::User),
    operation(
        "POST",
        ORGANIZATIONS,
        Resource::Organization,
        Action::Create,
    )
    .with(new_organization)
    .governing(),
    open("GET", ORGANIZATIONS, Needs::Credential),
    operation("GET", ORGANIZATION, Resource::Organization, Action::Read).on(Object::Organization),
    operation(
        "PATCH",
        ORGANIZATION,
        Resource::Organization,
        Action::Update,
    )
    .on(Object::Organization)
    .with(settings)
    .matched(),
    operation(
        "PUT",
        "/api/v1/organizations/{organization_id}/status",
        Resource::Organization,
        Action::Update,
    )
    .on(Object::Organization)
    .with(suspension)
    .governing(),
    open(
        "PUT",
        "/api/v1/sessions/current/organization",
        Needs::Session,
    )
    .with(choice),
    open(
        "PUT",
        "/api/v1/users/me/primary-organization",
        Needs::Session,
    )
    .with(choice),
    operation("POST", MEMBERS, Resource::Membership, Action::Create)
        .with(new_member)
        .governing(),
    operation("GET", MEMBERS, Resource::Membership, Action::List),
    operation("GET", MEMBER, Resource::Membership, Action::Read).on(Object::Guest),
    operation(
        "PUT",
        "/api/v1/members/{user_id}/status",
        Resource::Membership,
        Action::Update,
    )
    .on(Object::Guest)
    .with(suspension),
    operation("DELETE", MEMBER, Resource::Membership, Action::Delete).on(Object::Guest),
    open("POST", "/api/v1/members/me/leave", Needs::Session).with(nothing),
    operation("POST", INVITATIONS, Resource::Membership, Action::Create)
        .with(invitation)
        .referring("role_id", Object::AdministratorRole),
    operation("GET", INVITATIONS, Resource::Membership, Action::List),
    operation(
        "DELETE",
        "/api/v1/invitations/{invitation_id}",
        Resource::Membership,
        Action::Delete,
    )
    .on(Object::Invitation),
    open("POST", "/api/v1/invitations/accept", Needs::Session).with(no_token),
    operation(
        "POST",
        AUTHORITIES,
        Resource::CertificateAuthority,
        Action::Create,
    )
    .with(new_authority)
    .referring("parent_id", Object::CertificateAuthority)
    .proved(),
    operation(
        "GET",
        AUTHORITIES,
        Resource::CertificateAuthority,
        Action::List,
    ),
    operation(
        "GET",
        AUTHORITY,
        Resource::CertificateAuthority,
        Action::Read,
    )
    .on(Object::CertificateAuthority),
    operation(
        "PUT",
        LIMITS,
        Resource::CertificateAuthority,
        Action::Update,
    )
    .on(Object::CertificateAuthority)
    .with(limits)
    .proved(),
    operation(
        "POST",
        REQUESTS,
        Resource::CertificateRequest,
        Action::Create,
    )
    .with(new_request)
    .referring("certificate_authority_id", Object::CertificateAuthority),
    operation("GET", REQUESTS, Resource::CertificateRequest, Action::List),
    operation("GET", REQUEST, Resource::CertificateRequest, Action::Read)
        .on(Object::CertificateRequest),
    operation(
        "GET",
        "/api/v1/certificates",
        Resource::Certificate,
        Action::List,
    ),
    operation(
        "GET",
        "/api/v1/certificates/{certificate_id}",
        Resource::Certificate,
        Action::Read,
    )
    .on(Object::Certificate),
    operation("POST", EXPORT, Resource::PrivateKey, Action::Export)
        .on(Object::Certificate)
        .with(passphrase),
    operation(
        "GET",
        "/api/v1/encryption-keys",
        Resource::EncryptionKey,
        Action::List,
    ),
    operation(
        "GET",
        "/api/v1/encryption-keys/{encryption_key_id}",
        Resource::EncryptionKey,
        Action::Read,
    )
    .on(Object::EncryptionKey),
    operation(
        "PUT",
        "/api/v1/key-rotation-schedule",
        Resource::EncryptionKey,
        Action::Update,
    )
    .with(schedule),
    operation("POST", ROTATIONS, Resource::EncryptionKey, Action::Rotate).with(new_rotation),
    operation("GET", ROTATIONS, Resource::EncryptionKey, Action::List),
    operation("GET", ROTATION, Resource::EncryptionKey, Action::Read).on(Object::KeyRotation),
    operation("GET", EXPOSED, Resource::EncryptionKey, Action::Read).on(Object::KeyRotation),
    operation(
        "GET",
        EXPOSED_SECRETS,
        Resource::EncryptionKey,
        Action::Read,
    )
    .on(Object::KeyRotation),
    operation("POST", CANCEL, Resource::EncryptionKey, Action::Rotate)
        .on(Object::KeyRotation)
        .conflicting(),
    operation("GET", MASTER_KEY, Resource::MasterKey, Action::Read),
    operation("POST", SHARES, Resource::MasterKey, Action::Rotate).with(new_shares),
    operation("POST", MASTER, Resource::MasterKey, Action::Rotate).with(new_master_key),
    operation("POST", CONFIRM, Resource::MasterKey, Action::Update)
        .with(no_copy)
        .conflicting(),
    operation("GET", "/api/v1/seal-status", Resource::Seal, Action::Read),
    // Nothing is sealed here, and nothing can be.
    operation("POST", UNSEAL, Resource::Seal, Action::Unseal)
        .with(share)
        .conflicting(),
    operation("DELETE", UNSEAL, Resource::Seal, Action::Unseal),
    operation("POST", "/api/v1/seal", Resource::Seal, Action::Administer)
        .with(unforced)
        .conflicting(),
    // The last one: from then on the organization's authorities sign nothing.
    operation("POST", ERASE, Resource::EncryptionKey, Action::Delete).with(erasure),
];

const USERS: &str = "/api/v1/users";
const USER: &str = "/api/v1/users/{user_id}";
const USER_STATUS: &str = "/api/v1/users/{user_id}/status";
const USER_PASSWORD: &str = "/api/v1/users/{user_id}/password";
const USER_UNLOCK: &str = "/api/v1/users/{user_id}/unlock";
const USER_RESTORE: &str = "/api/v1/users/{user_id}/restore";
const ROLE: &str = "/api/v1/roles/{role_id}";
const ASSIGNMENTS: &str = "/api/v1/role-assignments";
const ASSIGNMENT: &str = "/api/v1/role-assignments/{role_assignment_id}";
const ORGANIZATIONS: &str = "/api/v1/organizations";
const ORGANIZATION: &str = "/api/v1/organizations/{organization_id}";
const MEMBERS: &str = "/api/v1/members";
const MEMBER: &str = "/api/v1/members/{user_id}";
const INVITATIONS: &str = "/api/v1/invitations";
const AUTHORITIES: &str = "/api/v1/certificate-authorities";
const AUTHORITY: &str = "/api/v1/certificate-authorities/{certificate_authority_id}";
const LIMITS: &str = "/api/v1/certificate-authorities/{certificate_authority_id}/limits";
const REQUESTS: &str = "/api/v1/certificate-requests";
const REQUEST: &str = "/api/v1/certificate-requests/{certificate_request_id}";
const ROTATIONS: &str = "/api/v1/key-rotations";
const ROTATION: &str = "/api/v1/key-rotations/{key_rotation_id}";
const EXPOSED: &str = "/api/v1/key-rotations/{key_rotation_id}/exposed-keys";
const EXPOSED_SECRETS: &str = "/api/v1/key-rotations/{key_rotation_id}/exposed-secrets";
const CANCEL: &str = "/api/v1/key-rotations/{key_rotation_id}/cancel";
const ERASE: &str = "/api/v1/encryption-keys/erase";
const MASTER_KEY: &str = "/api/v1/master-key";
const SHARES: &str = "/api/v1/master-key/shares";
const MASTER: &str = "/api/v1/master-key/rotations";
const CONFIRM: &str = "/api/v1/master-key/backup-confirmation";
const UNSEAL: &str = "/api/v1/unseal";
const EXPORT: &str = "/api/v1/certificates/{certificate_id}/private-key-export";

const fn operation(
    method: &'static str,
    path: &'static str,
    resource: Resource,
    action: Action,
) -> Operation {
    open(method, path, Needs::Permission(resource, action))
}

const fn public(method: &'static str, path: &'static str) -> Operation {
    open(method, path, Needs::Nothing)
}

const fn open(method: &'static str, path: &'static str, needs: Needs) -> Operation {
    Operation {
        method,
        path,
        needs,
        object: None,
        refers: [None; 2],
        conflicts: false,
        proved: false,
        matched: false,
        governing: false,
        body: None,
    }
}

impl Operation {
    const fn on(mut self, object: Object) -> Self {
        self.object = Some(object);
        self
    }

    const fn referring(mut self, field: &'static str, object: Object) -> Self {
        self.refers[0] = Some((field, object));
        self
    }

    const fn referring_also(mut self, field: &'static str, object: Object) -> Self {
        self.refers[1] = Some((field, object));
        self
    }

    const fn conflicting(mut self) -> Self {
        self.conflicts = true;
        self
    }

    const fn proved(mut self) -> Self {
        self.proved = true;
        self.matched = true;
        self
    }

    const fn matched(mut self) -> Self {
        self.matched = true;
        self
    }

    const fn governing(mut self) -> Self {
        self.governing = true;
        self
    }

    const fn with(mut self, body: fn(&Tenant) -> Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Method and path, for messages.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Whether it changes something.
    pub(super) fn is_mutating(&self) -> bool {
        self.method != "GET"
    }

    /// Whether it lists objects.
    pub(super) fn is_list(&self) -> bool {
        matches!(self.needs, Needs::Permission(_, Action::List))
    }

    /// A valid call on the tenant's own object.
    pub(super) fn call(&self, tenant: &Tenant) -> Call {
        let id = self.object.map(|object| tenant.object(object).to_string());
        self.call_on(tenant, &id.unwrap_or_default())
    }

    /// A valid call on whatever the id names.
    pub(super) fn call_on(&self, tenant: &Tenant, id: &str) -> Call {
        let path = match self.path.split_once('{') {
            Some((before, rest)) => {
                let after = rest.split_once('}').map_or("", |(_, after)| after);
                format!("{before}{id}{after}")
            }
            None => self.path.to_owned(),
        };
        let call = Call::new(self.method, &path).maybe_body(self.body.map(|body| body(tenant)));
        match self.matched {
            true => call.header("if-match", "\"1\""),
            false => call,
        }
    }

    /// A valid call whose body names `id` in `field`.
    pub(super) fn call_referring(&self, tenant: &Tenant, field: &str, id: &str) -> Call {
        let mut body = self
            .body
            .map(|body| body(tenant))
            .expect("the operation has a body");
        body[field] = Value::from(id);
        // Not that of an object which another call made.
        for (name, other) in [("name", "Referring"), ("role_code", "REFERRING")] {
            if body[name].is_string() {
                body[name] = Value::from(other);
            }
        }
        self.call(tenant).body(body)
    }
}

fn sign_in(tenant: &Tenant) -> Value {
    json!({
        "username": tenant.administrator.username, "password": tenant.password,
        "organization": tenant.slug,
    })
}

fn new_password(tenant: &Tenant) -> Value {
    json!({ "current_password": tenant.password, "new_password": "another one, long enough" })
}

fn forgotten(tenant: &Tenant) -> Value {
    json!({ "username": tenant.administrator.username, "organization": tenant.slug })
}

fn no_link(_: &Tenant) -> Value {
    json!({ "token": "none", "new_password": "another one, long enough" })
}

fn code(_: &Tenant) -> Value {
    json!({ "code": "123456" })
}

/// Limits that allow next to nothing.
fn limits(_: &Tenant) -> Value {
    json!({
        "limits": {
            "certificate_authority": false, "end_entities": true, "extended_key_usage": [],
            "key_algorithms": ["ecdsa-p256"], "validity_seconds_max": 86_400,
            "names": { "directory_names": false, "registered_ids": false },
            "issuances_per_minute_max": null,
        },
        "reason": "the list of operations",
    })
}

fn step_up(tenant: &Tenant) -> Value {
    let mut request = limits(tenant);
    request["operation"] = "change_issuer_limits".into();
    request["revision"] = 1.into();
    let id = tenant.object(Object::CertificateAuthority);
    request["certificate_authority_id"] = id.to_string().into();
    json!({ "code": "123456", "request": request })
}

/// Nobody else has the name: who is made first keeps it.
fn new_user(tenant: &Tenant) -> Value {
    json!({ "username": format!("{}-listed", tenant.slug), "user_type": "service" })
}

fn new_display_name(_: &Tenant) -> Value {
    json!({ "display_name": "Listed" })
}

fn suspension(_: &Tenant) -> Value {
    json!({ "status": "suspended", "reason": "the list of operations" })
}

fn nothing(_: &Tenant) -> Value {
    json!({})
}

fn new_key(_: &Tenant) -> Value {
    json!({ "name": "made by the list of operations" })
}

fn no_overlap(_: &Tenant) -> Value {
    json!({ "overlap_seconds": 0 })
}

fn new_role(_: &Tenant) -> Value {
    json!({ "role_code": "LISTED", "role_name": "Listed", "permissions": {} })
}

fn other_role(_: &Tenant) -> Value {
    json!({ "role_name": "HELD" })
}

fn new_assignment(tenant: &Tenant) -> Value {
    json!({ "user_id": tenant.object(Object::User), "role_id": tenant.object(Object::Role) })
}

fn no_end(_: &Tenant) -> Value {
    json!({ "valid_until": null })
}

fn question(_: &Tenant) -> Value {
    json!({ "resource": "certificate", "action": "read" })
}

fn new_organization(_: &Tenant) -> Value {
    json!({ "name": "Listed", "slug": "listed" })
}

fn settings(_: &Tenant) -> Value {
    json!({ "settings": { "session_hours_max": 700 } })
}

fn choice(tenant: &Tenant) -> Value {
    json!({ "organization": tenant.slug })
}

fn new_member(tenant: &Tenant) -> Value {
    let user = tenant.administrator.user_id.to_string();
    json!({ "user": user, "organization_id": tenant.organization_id })
}

fn invitation(_: &Tenant) -> Value {
    json!({ "email": "listed@listed.example" })
}

fn no_token(_: &Tenant) -> Value {
    json!({ "token": "none" })
}

fn new_authority(_: &Tenant) -> Value {
    json!({
        "name": "Listed", "subject": "CN=Listed", "key_algorithm": "ecdsa-p256",
        "validity_days": 365,
    })
}

fn new_request(_: &Tenant) -> Value {
    json!({
        "key_algorithm": "ecdsa-p256", "subject_alternative_names": ["DNS:listed.example"],
    })
}

fn passphrase(_: &Tenant) -> Value {
    json!({ "passphrase": "a passphrase, long enough" })
}

fn schedule(_: &Tenant) -> Value {
    json!({ "days": 90 })
}

fn new_rotation(_: &Tenant) -> Value {
    json!({ "rotation_type": "manual", "reason": "the list of operations" })
}

fn new_shares(_: &Tenant) -> Value {
    json!({ "threshold": 2, "shares": 3 })
}

fn new_master_key(_: &Tenant) -> Value {
    json!({ "provider": "file", "rotation_type": "manual" })
}

fn no_copy(_: &Tenant) -> Value {
    json!({ "check_value": "00".repeat(32) })
}

fn unforced(_: &Tenant) -> Value {
    json!({})
}

fn share(_: &Tenant) -> Value {
    json!({ "share": "no share" })
}

fn erasure(tenant: &Tenant) -> Value {
    json!({ "organization": tenant.slug, "reason": "the list of operations" })
}

/// The list above and the program's own document name the same operations, and agree on which are
/// public.
pub(super) async fn compare_with_document(rest: &Rest) {
    let document = documented(rest).await;
    for (method, path, operation) in &document {
        let entry = OPERATIONS
            .iter()
            .find(|entry| entry.method == method && entry.path == path);
        let entry = entry.unwrap_or_else(|| panic!("{method} {path} has no entry in OPERATIONS"));
        let secured = operation["security"]
            .as_array()
            .is_some_and(|list| !list.is_empty());
        assert_eq!(
            secured,
            entry.needs != Needs::Nothing,
            "{method} {path}: security"
        );
    }
    for entry in OPERATIONS {
        let known = document
            .iter()
            .any(|(method, path, _)| entry.method == method && entry.path == path);
        assert!(
            known,
            "{} is in OPERATIONS, but not in the document",
            entry.name()
        );
    }
    assert_eq!(
        document.len(),
        OPERATIONS.len(),
        "an operation is listed twice"
    );
}
