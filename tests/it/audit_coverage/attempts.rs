//! How each case of each operation comes about: what has to be there before, and the one call that
//! is judged.

mod factors;
mod installation;
mod keys;
mod links;
mod organizations;
mod roles;
mod users;

use std::sync::atomic::{AtomicU32, Ordering};

use clm_api_types::ORGANIZATION_HEADER;
use clm_domain::ids::SYSTEM_ORGANIZATION;
use clm_domain::permission::{Action, Permissions, Resource};
use clm_tests::databases::Person;
use clm_tests::openssl;
use clm_tests::rest::{
    Answer, Call, Credential, NOBODY, SignedIn, bearer, cookie, operator_of, with_new_token,
};
use clm_tests::tenant::Object;
use serde_json::{Value, json};
use uuid::Uuid;

use super::World;

/// An id that nobody has.
const UNKNOWN: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
/// What everybody changes the password to.
const NEW_PASSWORD: &str = "another one, long enough";

/// Makes names that were not used before.
static NAMES: AtomicU32 = AtomicU32::new(0);

fn fresh(prefix: &str) -> String {
    format!("{prefix}-{}", NAMES.fetch_add(1, Ordering::Relaxed))
}

/// A call, and what its events must say.
pub(super) struct Attempt {
    method: &'static str,
    pub(super) path: String,
    body: Option<Value>,
    credential: Credential,
    idempotency_key: Option<String>,
    headers: Vec<(&'static str, String)>,
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
    SignedIn {
        user_id: Uuid,
        organization_id: Uuid,
    },
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
            Self::SignedIn {
                user_id,
                organization_id,
            } => by_session_id(user_id, answer.id("/session/id"), organization_id),
        }
    }
}

fn by_session(user_id: Uuid, session: &SignedIn, organization_id: Uuid) -> Who {
    by_session_id(user_id, session.session_id, organization_id)
}

fn by_session_id(user_id: Uuid, session_id: Uuid, organization_id: Uuid) -> Who {
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

fn by_operator(organization_id: Uuid) -> Who {
    Who {
        actor_type: "local_operator",
        ..by_nobody(organization_id)
    }
}

fn by_nobody(organization_id: Uuid) -> Who {
    Who {
        actor_type: "anonymous",
        actor_id: None,
        user_id: None,
        session_id: None,
        organization_id,
    }
}

impl Attempt {
    pub(super) fn call(&self) -> Call {
        let call = Call::new(self.method, &self.path).by(&self.credential);
        let mut call = call.maybe_body(self.body.clone());
        for (name, value) in &self.headers {
            call = call.header(name, value);
        }
        match &self.idempotency_key {
            Some(key) => call.header("idempotency-key", key),
            None => call,
        }
    }

    /// Whether it is the operator of the machine who acts.
    pub(super) fn is_of_machine(&self) -> bool {
        self.credential
            .iter()
            .any(|(name, _)| *name == ORGANIZATION_HEADER)
    }

    fn by(mut self, credential: Credential, who: Who) -> Self {
        self.credential = credential;
        self.who = Whoever::Known(who);
        self
    }

    fn on(mut self, path: String) -> Self {
        self.path = path;
        self
    }

    fn about(mut self, concerned: Concerned) -> Self {
        self.concerned = concerned;
        self
    }

    fn with(mut self, body: Value, concerned: Concerned) -> Self {
        self.body = Some(body);
        self.concerned = concerned;
        self
    }

    /// With one field of the body changed, which is what is refused.
    fn but(mut self, field: &str, value: Value) -> Self {
        self.body.get_or_insert_default()[field] = value;
        self.concerned = Concerned::Nothing;
        self
    }
}

/// Prepares a case: whatever is not said in `special` is what makes the operation succeed.
pub(super) async fn prepare(
    world: &World,
    (method, path): (&'static str, &'static str),
    case: &str,
) -> Attempt {
    let mut attempt = good(world, method, path).await;
    match case {
        "success" => attempt,
        "forbidden" => {
            let powerless = &world.powerless;
            let who = by_key(powerless, world.tenant.organization_id);
            attempt
                .by(bearer(&powerless.secret), who)
                .about(Concerned::Nothing)
        }
        "malformed" => {
            attempt.body = Some(json!({ "unknown": true }));
            attempt
        }
        "not found" => {
            let id = path
                .split_once('{')
                .and_then(|(_, rest)| rest.split_once('}'));
            let (id, _) = id.expect("the path names an object");
            attempt.on(path.replace(&format!("{{{id}}}"), UNKNOWN))
        }
        "without CSRF token" => {
            attempt.credential = cookie(&world.tenant.session.token);
            attempt
        }
        "repeated by key" | "repeated by key with another body" => {
            attempt.idempotency_key = Some(fresh("key"));
            let first = world.send(&attempt).await;
            assert!((200..300).contains(&first.status), "{path}: {first:?}");
            let by_session = attempt.credential.iter().any(|(name, _)| *name == "cookie");
            if by_session && first.headers.contains_key("set-cookie") {
                attempt.credential = with_new_token(&attempt.credential, &first);
            }
            if case == "repeated by key" {
                return attempt;
            }
            let other = fresh("another one of some length");
            let fields = [
                "name",
                "username",
                "passphrase",
                "new_password",
                "role_name",
                "reason",
                "user",
                "email",
                "token",
            ];
            let body = attempt.body.clone().unwrap_or_default();
            let field = fields.into_iter().find(|field| body[*field].is_string());
            attempt.but(
                field.unwrap_or("environment"),
                match field {
                    Some(_) => other.into(),
                    None => "testing".into(),
                },
            )
        }
        _ => special(world, attempt, (path, case)).await,
    }
}

/// What makes the operation succeed.
async fn good(world: &World, method: &'static str, path: &'static str) -> Attempt {
    let tenant = &world.tenant;
    let (person, organization_id) = (&tenant.administrator, tenant.organization_id);
    let key = by_key(person, organization_id);
    let attempt = Attempt {
        method,
        path: path.to_owned(),
        body: None,
        credential: tenant.key(),
        idempotency_key: None,
        headers: Vec::new(),
        who: Whoever::Known(key),
        concerned: Concerned::Nothing,
    };
    match (method, path) {
        ("POST", "/api/v1/sessions") => sign_in(world, attempt).await,
        ("DELETE", "/api/v1/sessions/{session_id}") => {
            let id = session(world, &tenant.administrator).await.session_id;
            attempt
                .on(format!("/api/v1/sessions/{id}"))
                .about(Concerned::Known(id))
        }
        ("DELETE", "/api/v1/sessions/current") => {
            let session = session(world, person).await;
            let who = by_session(person.user_id, &session, organization_id);
            attempt
                .by(session.credential(), who)
                .about(Concerned::Known(session.session_id))
        }
        ("POST", "/api/v1/users/me/password") => change_password(world, attempt).await,
        ("POST", "/api/v1/api-keys") => attempt.with(
            json!({ "name": fresh("key") }),
            Concerned::InAnswer("/api_key/id"),
        ),
        ("DELETE" | "POST", path) if path.starts_with("/api/v1/api-keys/") => {
            on_api_key(world, attempt).await
        }
        ("POST", "/api/v1/certificate-authorities") => attempt
            .by(operator_of(&tenant.slug), by_operator(organization_id))
            .with(authority(), Concerned::InAnswer("/id")),
        ("POST", "/api/v1/certificate-requests") => {
            let csr = openssl::csr(world.program.directory.path(), "audited.example");
            let authority = tenant.object(Object::CertificateAuthority);
            let body = json!({ "csr": csr, "certificate_authority_id": authority });
            attempt.with(body, Concerned::InAnswer("/certificate/id"))
        }
        ("POST", "/api/v1/certificates/{certificate_id}/private-key-export") => {
            let id = tenant.object(Object::Certificate);
            let attempt = attempt.with(json!({ "passphrase": "long enough for this" }), known(id));
            attempt.on(format!("/api/v1/certificates/{id}/private-key-export"))
        }
        (_, path) if installation::is_about(path) => installation::good(world, attempt).await,
        (_, path) if factors::is_about(path) => factors::good(world, attempt).await,
        (_, path) if links::is_about(path) => links::good(world, attempt).await,
        (_, path) if roles::is_about(path) => roles::good(world, attempt).await,
        (_, path) if organizations::is_about(path) => organizations::good(world, attempt).await,
        (_, path) if users::is_about(path) => users::good(world, attempt).await,
        _ => keys::good(world, attempt).await,
    }
}

/// Revoking or rotating an API key of the administrator.
async fn on_api_key(world: &World, attempt: Attempt) -> Attempt {
    let (tenant, superuser) = (&world.tenant, &world.superuser);
    let owner = tenant.administrator.user_id;
    let made = superuser.insert_api_key(tenant.organization_id, owner, None);
    let (id, _) = made.await;
    let path = attempt.path.replace("{api_key_id}", &id.to_string());
    let is_rotation = path.ends_with("/rotate");
    let attempt = attempt.on(path);
    match is_rotation {
        true => attempt.with(json!({}), Concerned::InAnswer("/api_key/id")),
        false => attempt.about(known(id)),
    }
}

const fn known(id: Uuid) -> Concerned {
    Concerned::Known(id)
}

fn authority() -> Value {
    json!({
        "name": fresh("Authority"), "subject": "CN=Audited", "key_algorithm": "ecdsa-p256",
        "validity_days": 365,
    })
}

async fn person(world: &World, rights: &Permissions) -> Person {
    let (organization_id, name) = (world.tenant.organization_id, fresh("person"));
    world
        .superuser
        .insert_person(organization_id, &name, rights)
        .await
}

async fn session(world: &World, person: &Person) -> SignedIn {
    let tenant = &world.tenant;
    world
        .rest
        .sign_in(&person.username, &tenant.password, &tenant.slug)
        .await
}

async fn sign_in(world: &World, attempt: Attempt) -> Attempt {
    let tenant = &world.tenant;
    let person = person(world, &Permissions::none()).await;
    let body = json!({
        "username": person.username, "password": tenant.password, "organization": tenant.slug,
    });
    Attempt {
        body: Some(body),
        credential: NOBODY,
        who: Whoever::SignedIn {
            user_id: person.user_id,
            organization_id: tenant.organization_id,
        },
        concerned: Concerned::InAnswer("/session/id"),
        ..attempt
    }
}

async fn change_password(world: &World, attempt: Attempt) -> Attempt {
    let person = person(world, &Permissions::none()).await;
    let session = session(world, &person).await;
    let who = by_session(person.user_id, &session, world.tenant.organization_id);
    let body = json!({
        "current_password": world.tenant.password, "new_password": NEW_PASSWORD,
    });
    let attempt = Attempt {
        body: Some(body),
        ..attempt
    };
    attempt
        .by(session.credential(), who)
        .about(Concerned::Known(person.user_id))
}

/// The cases of one operation alone. `attempt` is one that would succeed.
async fn special(world: &World, attempt: Attempt, (path, case): (&str, &str)) -> Attempt {
    if installation::is_about(path) {
        return installation::special(world, attempt, case).await;
    }
    if factors::is_about(path) {
        return factors::special(world, attempt, case).await;
    }
    if links::is_about(path) {
        return links::special(world, attempt, case).await;
    }
    if roles::is_about(path) {
        return roles::special(world, attempt, case).await;
    }
    if organizations::is_about(path) {
        return organizations::special(world, attempt, (path, case)).await;
    }
    if users::is_about(path) {
        return users::special(world, attempt, case).await;
    }
    match path {
        "/api/v1/sessions" => refused_sign_in(world, attempt, case).await,
        "/api/v1/sessions/current" => {
            let who = by_key(&world.tenant.administrator, world.tenant.organization_id);
            attempt.by(world.tenant.key(), who)
        }
        "/api/v1/users/me/password" => refused_password(world, attempt, case).await,
        "/api/v1/api-keys" => match case {
            "without name" => attempt.but("name", "".into()),
            _ => {
                let rights = [(Resource::ApiKey, Action::Create)].into_iter().collect();
                let person = person(world, &rights).await;
                let who = by_key(&person, world.tenant.organization_id);
                let beyond = json!({ "private_key": ["export"] });
                attempt
                    .by(bearer(&person.secret), who)
                    .but("scopes", beyond)
            }
        },
        "/api/v1/api-keys/{api_key_id}/rotate" if case == "revoked" => {
            let key = attempt.path.trim_end_matches("/rotate");
            let revoke = Call::new("DELETE", key).by(&attempt.credential);
            world.rest.send(revoke).await.expect(204);
            attempt.about(Concerned::Nothing)
        }
        "/api/v1/api-keys/{api_key_id}/rotate" => attempt.but("overlap_seconds", (-1).into()),
        "/api/v1/api-keys/{api_key_id}" => {
            let _ = world.rest.send(attempt.call()).await.expect(204);
            attempt
        }
        "/api/v1/certificate-authorities" => special_authority(world, attempt, case).await,
        "/api/v1/certificate-requests" => special_request(world, attempt, case).await,
        "/api/v1/key-rotation-schedule"
        | "/api/v1/key-rotations"
        | "/api/v1/key-rotations/{key_rotation_id}/cancel"
        | "/api/v1/encryption-keys/erase" => keys::special(world, attempt, case).await,
        _ => refused_export(world, attempt, case).await,
    }
}

async fn refused_sign_in(world: &World, attempt: Attempt, case: &str) -> Attempt {
    let Whoever::SignedIn {
        user_id,
        mut organization_id,
    } = attempt.who
    else {
        panic!("signing in is done by nobody known");
    };
    let mut attempt = attempt.about(Concerned::Nothing);
    let superuser = &world.superuser;
    match case {
        "wrong password" => attempt = attempt.but("password", "a wrong password".into()),
        "unknown user" => {
            attempt = attempt.but("username", fresh("unknown").into());
            organization_id = SYSTEM_ORGANIZATION.as_uuid();
        }
        "locked" => superuser.update(LOCK, user_id).await,
        "user not active" => superuser.update(SUSPEND, user_id).await,
        "no membership" => superuser.update(LEAVE, user_id).await,
        _ => {
            let slug = fresh("closed");
            organization_id = superuser.insert_organization(&slug).await;
            let name = fresh("person");
            let nothing = Permissions::none();
            let person = superuser
                .insert_person(organization_id, &name, &nothing)
                .await;
            superuser.update(CLOSE, organization_id).await;
            attempt = attempt.but("username", person.username.into());
            attempt = attempt.but("organization", slug.into());
        }
    }
    attempt.by(NOBODY, by_nobody(organization_id))
}

const LOCK: &str = "UPDATE users SET locked_until = now() + interval '1 hour' WHERE id = $1";
const SUSPEND: &str = "UPDATE users SET status = 'suspended' WHERE id = $1";
const LEAVE: &str = "UPDATE user_organizations SET deleted_at = now() WHERE user_id = $1";
const CLOSE: &str = "UPDATE organizations SET status = 'inactive' WHERE id = $1";

async fn refused_password(world: &World, mut attempt: Attempt, case: &str) -> Attempt {
    let concerned = attempt.concerned;
    let (Whoever::Known(who), current) = (attempt.who, Value::from(world.tenant.password.clone()))
    else {
        panic!("a password is changed by somebody known");
    };
    let attempt = match case {
        "wrong password" => attempt.but("current_password", "a wrong password".into()),
        "too short" => attempt.but("new_password", "short".into()),
        "too common" => attempt.but("new_password", "password1234".into()),
        "used before" => {
            let changed = world.rest.send(attempt.call()).await.expect(204);
            attempt.credential = with_new_token(&attempt.credential, &changed);
            let attempt = attempt.but("current_password", NEW_PASSWORD.into());
            attempt.but("new_password", current)
        }
        "unchanged" => attempt.but("new_password", current),
        _ => {
            world
                .superuser
                .update(LOCK, who.user_id.expect("a user"))
                .await;
            attempt
        }
    };
    attempt.about(concerned)
}

async fn special_authority(world: &World, attempt: Attempt, case: &str) -> Attempt {
    match case {
        "no validity" => attempt.but("validity_days", 0.into()),
        "unknown parent" => attempt.but("parent_id", UNKNOWN.into()),
        "name of another" => attempt.but("name", "Own Issuing".into()),
        "by API key" => {
            let (tenant, id) = (&world.tenant, world.tenant.organization_id);
            let attempt = attempt.by(tenant.key(), by_key(&tenant.administrator, id));
            attempt.about(Concerned::Nothing)
        }
        _ => in_new_organization(world, attempt).await,
    }
}

/// In an organization that has sealed nothing yet.
async fn in_new_organization(world: &World, attempt: Attempt) -> Attempt {
    let slug = fresh("new");
    let organization_id = world.superuser.insert_organization(&slug).await;
    attempt.by(operator_of(&slug), by_operator(organization_id))
}

async fn special_request(world: &World, mut attempt: Attempt, case: &str) -> Attempt {
    match case {
        "no CSR" => attempt.but("csr", "none".into()),
        "beyond the limits" => attempt.but("validity_seconds", (10 * 365 * 86_400).into()),
        "unknown authority" => attempt.but("certificate_authority_id", UNKNOWN.into()),
        "suspended authority" => {
            let id = own_authority(world, |_| {}).await;
            change_secure(
                world,
                "UPDATE issuers SET status = 'suspended' WHERE id = $1",
                id,
            )
            .await;
            attempt.but("certificate_authority_id", id.to_string().into())
        }
        "too many" => {
            let once = |limits: &mut Value| limits["issuances_per_minute_max"] = 1.into();
            let id = own_authority(world, once).await;
            let attempt = attempt.but("certificate_authority_id", id.to_string().into());
            let _ = world.rest.send(attempt.call()).await.expect(201);
            attempt
        }
        _ => {
            attempt.body = Some(json!({
                "key_algorithm": "ed25519", "subject_alternative_names": ["DNS:made.example"],
            }));
            attempt
        }
    }
}

/// An issuing authority with other limits than the tenant's.
async fn own_authority(world: &World, change: impl FnOnce(&mut Value)) -> Uuid {
    let (tenant, path) = (&world.tenant, "/api/v1/certificate-authorities");
    let id = tenant.object(Object::CertificateAuthority);
    let present = Call::new("GET", &format!("{path}/{id}")).by(&tenant.key());
    let present = world.rest.send(present).await.expect(200).body;
    let mut body = authority();
    body["parent_id"] = present["parent_id"].clone();
    body["path_length_max"] = 0.into();
    body["limits"] = present["limits"].clone();
    change(&mut body["limits"]);
    let call = Call::new("POST", path).by(&operator_of(&tenant.slug));
    let made = world.machine.send(call.body(body)).await;
    made.expect(201).id("/id")
}

async fn refused_export(world: &World, attempt: Attempt, case: &str) -> Attempt {
    let (requests, tenant) = ("/api/v1/certificate-requests", &world.tenant);
    let request = match case {
        "weak passphrase" => {
            let concerned = attempt.concerned;
            return attempt.but("passphrase", "short".into()).about(concerned);
        }
        "key held elsewhere" => {
            json!({ "csr": openssl::csr(world.program.directory.path(), "held.example") })
        }
        _ => json!({
            "key_algorithm": "ecdsa-p256", "subject_alternative_names": ["DNS:stays.example"],
        }),
    };
    let issue = Call::new("POST", requests).by(&tenant.key()).body(request);
    let id = world
        .rest
        .send(issue)
        .await
        .expect(201)
        .id("/certificate/id");
    if case == "key that stays" {
        let stay = "UPDATE private_keys SET exportable = false
            WHERE id = (SELECT private_key_id FROM certificates WHERE id = $1)";
        change_secure(world, stay, id).await;
    }
    attempt
        .on(format!("/api/v1/certificates/{id}/private-key-export"))
        .about(known(id))
}

async fn change_secure(world: &World, statement: &'static str, id: Uuid) {
    let done = sqlx::query(statement)
        .bind(id)
        .execute(&world.superuser.secure)
        .await;
    assert_eq!(
        done.expect("the superuser may do it").rows_affected(),
        1,
        "{statement}"
    );
}
