//! Organizations, their members and invitations, and the one organization in which a session is
//! active.

mod command_line;
mod governing;
mod inviting;
mod membership;
mod quota;
mod switching;

use clm_domain::ids::SYSTEM_ORGANIZATION;
use clm_domain::permission::Permissions;
use clm_tests::Program;
use clm_tests::databases::{Person, Superuser};
use clm_tests::rest::{Answer, Call, Credential, Rest, SignedIn, bearer, signed_in};
use serde_json::{Value, json};
use uuid::Uuid;

/// An id that nobody has.
const UNKNOWN: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
const ORGANIZATIONS: &str = "/api/v1/organizations";
const MEMBERS: &str = "/api/v1/members";
const INVITATIONS: &str = "/api/v1/invitations";
const SWITCH: &str = "/api/v1/sessions/current/organization";

/// A running program, and two organizations beside the one that it has made.
struct World {
    program: Program,
    rest: Rest,
    superuser: Superuser,
    password: String,
    /// Who may do everything in the System organization.
    governor: Credential,
    own: Tenant,
    other: Tenant,
}

/// An organization with somebody who may do everything in it.
struct Tenant {
    id: Uuid,
    slug: &'static str,
    administrator: Person,
}

impl Tenant {
    async fn make(superuser: &Superuser, slug: &'static str) -> Self {
        let id = superuser.insert_organization(slug).await;
        let name = format!("{slug}-admin");
        let rights = within(&Permissions::all());
        let administrator = superuser.insert_person(id, &name, &rights).await;
        Self {
            id,
            slug,
            administrator,
        }
    }

    fn key(&self) -> Credential {
        bearer(&self.administrator.secret)
    }
}

/// Without what concerns the installation, which is held in the System organization.
fn within(rights: &Permissions) -> Permissions {
    rights
        .iter()
        .filter(|one| !one.0.is_of_installation())
        .collect()
}

impl World {
    async fn start() -> Self {
        let program = Program::start();
        let (rest, superuser) = (Rest::of(&program), Superuser::of(&program));
        let system = SYSTEM_ORGANIZATION.as_uuid();
        let rights = within(&Permissions::all());
        let governor = superuser.insert_person(system, "governor", &rights).await;
        let own = Tenant::make(&superuser, "own").await;
        let other = Tenant::make(&superuser, "other").await;
        let password = program.bootstrap_text("password");
        Self {
            program,
            rest,
            superuser,
            password,
            governor: bearer(&governor.secret),
            own,
            other,
        }
    }

    async fn send(&self, by: &Credential, method: &str, path: &str, body: Value) -> Answer {
        let call = Call::new(method, path).by(by);
        let call = match body {
            Value::Null => call,
            body => call.body(body),
        };
        self.rest.send(call).await
    }

    async fn get(&self, by: &Credential, path: &str) -> Answer {
        self.send(by, "GET", path, Value::Null).await
    }

    async fn post(&self, by: &Credential, path: &str, body: Value) -> Answer {
        self.send(by, "POST", path, body).await
    }

    async fn patch(&self, by: &Credential, id: Uuid, revision: i64, body: Value) -> Answer {
        let call = Call::new("PATCH", &format!("{ORGANIZATIONS}/{id}")).by(by);
        let revision = format!("\"{revision}\"");
        self.rest
            .send(call.header("if-match", &revision).body(body))
            .await
    }

    async fn set_status(&self, id: Uuid, status: &str) -> Answer {
        let path = format!("{ORGANIZATIONS}/{id}/status");
        let body = json!({ "status": status, "reason": "a test" });
        self.send(&self.governor, "PUT", &path, body).await
    }

    async fn sign_in(&self, person: &Person, slug: &str) -> SignedIn {
        let (name, password) = (&person.username, &self.password);
        self.rest.sign_in(name, password, slug).await
    }

    async fn switch(&self, session: &SignedIn, organization: &str) -> SignedIn {
        let body = json!({ "organization": organization });
        let answer = self.send(&session.credential(), "PUT", SWITCH, body).await;
        signed_in(&answer.expect(200))
    }

    async fn status(&self, by: &Credential) -> u16 {
        self.get(by, "/api/v1/whoami").await.status
    }

    /// How many acts of this code succeeded in an organization.
    async fn events(&self, organization_id: Uuid, code: &str) -> i64 {
        sqlx::query_scalar(
            "SELECT count(*) FROM audit_log
             WHERE organization_id = $1 AND event_code = $2 AND result = 'success'",
        )
        .bind(organization_id)
        .bind(code)
        .fetch_one(&self.superuser.core)
        .await
        .unwrap()
    }
}

fn fields(answer: &Answer) -> Vec<&str> {
    let errors = answer.body["errors"].as_array();
    let errors = errors.map(Vec::as_slice).unwrap_or_default();
    errors
        .iter()
        .filter_map(|error| error["field"].as_str())
        .collect()
}

fn ids<'a>(answer: &'a Answer, field: &str) -> Vec<&'a str> {
    let items = answer.body["items"].as_array().expect("a list has items");
    items
        .iter()
        .filter_map(|item| item[field].as_str())
        .collect()
}
