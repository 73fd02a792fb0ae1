//! Second factors at sign-in: what a session owes, and where one is required.

mod command_line;
mod required;
mod sign_in;

use clm_domain::permission::{Action, Permissions, Resource};
use clm_tests::Program;
use clm_tests::databases::{Person, Superuser};
use clm_tests::rest::{Answer, Call, Credential, Rest, SignedIn, bearer, goes_on, signed_in};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::authenticator::Authenticator;

const TOTP: &str = "/api/v1/users/me/totp";
const ACTIVATE: &str = "/api/v1/users/me/totp/activate";
const PASS: &str = "/api/v1/sessions/current/second-factor";

/// A running program, and the administrator of its first organization.
struct World {
    program: Program,
    rest: Rest,
    superuser: Superuser,
    organization_id: Uuid,
    administrator: Credential,
    /// Of everybody here.
    password: String,
}

/// Somebody with a second factor in force.
struct Holder {
    person: Person,
    device: Authenticator,
    backup_codes: Vec<String>,
    /// The session that it was put into force in.
    session: Credential,
    /// When that was, in seconds: that code is used.
    since: i64,
}

impl World {
    async fn start() -> Self {
        let program = Program::start();
        let (rest, superuser) = (Rest::of(&program), Superuser::of(&program));
        Self {
            organization_id: superuser.organization("default").await,
            administrator: bearer(&program.api_key().await),
            password: program.bootstrap_text("password"),
            program,
            rest,
            superuser,
        }
    }

    /// Somebody who may list certificates.
    async fn person(&self, name: &str) -> Person {
        let rights = [(Resource::Certificate, Action::List)];
        let rights: Permissions = rights.into_iter().collect();
        self.superuser
            .insert_person(self.organization_id, name, &rights)
            .await
    }

    async fn call(&self, by: &Credential, method: &str, path: &str, body: Value) -> Answer {
        let call = Call::new(method, path).by(by);
        let call = match body {
            Value::Null => call,
            body => call.body(body),
        };
        self.rest.send(call).await
    }

    async fn sign_in(&self, username: &str) -> Answer {
        let body = json!({
            "username": username, "password": self.password, "organization": "default",
        });
        self.call(&Vec::new(), "POST", "/api/v1/sessions", body)
            .await
    }

    async fn session(&self, username: &str) -> SignedIn {
        signed_in(&self.sign_in(username).await.expect(201))
    }

    async fn pass(&self, session: &Credential, code: &str) -> Answer {
        self.call(session, "POST", PASS, json!({ "code": code }))
            .await
    }

    async fn list(&self, session: &Credential) -> Answer {
        self.call(session, "GET", "/api/v1/certificates", Value::Null)
            .await
    }

    async fn owes(&self, session: &Credential) -> Value {
        let answer = self.call(session, "GET", "/api/v1/whoami", Value::Null);
        answer.await.expect(200).body["owes"].clone()
    }

    async fn now(&self) -> i64 {
        sqlx::query_scalar("SELECT floor(extract(epoch FROM now()))::bigint")
            .fetch_one(&self.superuser.core)
            .await
            .unwrap()
    }

    /// A second factor of the session's user, put into force.
    async fn enrol(&self, person: Person, session: &Credential) -> Holder {
        let enrolled = self.call(session, "POST", TOTP, Value::Null).await;
        let device = Authenticator::read(enrolled.expect(201).body["uri"].as_str().unwrap());
        let since = self.now().await;
        let code = json!({ "code": device.code_at(since) });
        let activated = self.call(session, "POST", ACTIVATE, code);
        let activated = activated.await.expect(200);
        let codes = activated.body["backup_codes"].as_array().unwrap();
        Holder {
            person,
            device,
            backup_codes: codes
                .iter()
                .map(|code| code.as_str().unwrap().to_owned())
                .collect(),
            session: goes_on(&activated).credential(),
            since,
        }
    }

    /// Somebody with a second factor in force.
    async fn holder(&self, name: &str) -> Holder {
        let person = self.person(name).await;
        let session = self.session(name).await.credential();
        self.enrol(person, &session).await
    }
}

impl Holder {
    /// The code after the one that put it into force.
    fn next_code(&self) -> String {
        self.device.code_at(self.since + 30)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_owes_its_second_factor() {
    let world = World::start().await;
    sign_in::nothing_else_is_allowed_before_the_code(&world).await;
    sign_in::the_old_secrets_stop_working(&world).await;
    sign_in::a_backup_code_will_do(&world).await;
    sign_in::wrong_codes_lock_the_device_and_not_its_owner(&world).await;
    sign_in::whoever_knows_the_password_alone_pushes_nobody_out(&world).await;
    sign_in::other_sessions_end_when_it_comes_into_force(&world).await;
    sign_in::the_operator_ends_the_sessions_of_a_lost_device(&world).await;
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn organizations_and_roles_require_one() {
    let world = World::start().await;
    required::of_every_member(&world).await;
    required::of_the_holders_of_a_role_and_of_its_heirs(&world).await;
    required::a_new_password_comes_first(&world).await;
    required::of_whoever_has_rights_of_the_installation(&world).await;
    required::of_roles_that_exist(&world).await;
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_on_the_command_line() {
    let world = World::start().await;
    command_line::with_a_code(&world).await;
    drop(world.program);
}
