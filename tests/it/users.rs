//! Accounts: made, changed, stopped, deleted and brought back; who may govern whom; and signing in
//! to them.

mod addresses;
mod governing;
mod input;
mod life;
mod passwords;
mod quota;
mod timing;

use clm_domain::permission::Permissions;
use clm_tests::Program;
use clm_tests::databases::{Person, Superuser};
use clm_tests::rest::{Answer, Call, Credential, Rest, bearer};
use serde_json::{Value, json};
use uuid::Uuid;

const USERS: &str = "/api/v1/users";
/// A password that nobody else has.
const PASSWORD: &str = "tangerine-9-orbits-quietly";

/// A running program, and the administrator of its first organization.
struct World {
    program: Program,
    rest: Rest,
    superuser: Superuser,
    organization_id: Uuid,
    administrator: Credential,
}

impl World {
    async fn start() -> Self {
        let program = Program::start();
        let (rest, superuser) = (Rest::of(&program), Superuser::of(&program));
        let organization_id = superuser.organization("default").await;
        let administrator = bearer(&program.api_key().await);
        Self {
            program,
            rest,
            superuser,
            organization_id,
            administrator,
        }
    }

    /// Somebody of the first organization with these rights, made behind the program.
    async fn person(&self, name: &str, rights: &Permissions) -> Person {
        self.superuser
            .insert_person(self.organization_id, name, rights)
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

    async fn make(&self, by: &Credential, body: Value) -> Answer {
        self.call(by, "POST", USERS, body).await
    }

    async fn sign_in(&self, username: &str, password: &str) -> Answer {
        let body = json!({
            "username": username, "password": password, "organization": "default",
        });
        self.call(&Vec::new(), "POST", "/api/v1/sessions", body)
            .await
    }

    async fn status_of(&self, by: &Credential) -> u16 {
        self.call(by, "GET", "/api/v1/whoami", Value::Null)
            .await
            .status
    }
}

/// Everything but what is held in the System organization.
fn all_at_home() -> Permissions {
    Permissions::all()
        .iter()
        .filter(|one| !one.0.is_of_installation())
        .collect()
}

fn path(user_id: Uuid) -> String {
    format!("{USERS}/{user_id}")
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_live_and_end() {
    let world = World::start().await;
    life::on_the_command_line(&world).await;
    life::a_first_password_is_for_the_first_sign_in(&world).await;
    life::what_is_not_active_stops_at_once(&world).await;
    life::names_and_addresses_change_by_revision(&world).await;
    life::deleted_users_lose_everything_and_come_back_with_nothing(&world).await;
    life::services_do_not_sign_in(&world).await;
    life::lists_are_filtered_and_paged(&world).await;
    input::bad_input_names_the_field(&world).await;
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_governs_those_who_may_more() {
    let world = World::start().await;
    governing::a_helpdesk_cannot_take_over(&world).await;
    governing::rights_that_are_to_come_count(&world).await;
    governing::rights_in_the_system_organization_count(&world).await;
    governing::the_last_administrator_stays(&world).await;
    governing::the_system_organization_governs_all_homes(&world).await;
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_hold_when_many_come_at_once() {
    let world = World::start().await;
    quota::sixty_four_at_once_fill_it_exactly(&world).await;
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_passwords_are_hard_to_guess_and_new() {
    let world = World::start().await;
    passwords::common_ones_are_refused(&world).await;
    passwords::former_ones_do_not_come_again(&world).await;
    passwords::old_ones_must_be_changed(&world).await;
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_tell_nothing_by_their_time() {
    let world = World::start().await;
    timing::known_and_unknown_names_take_as_long(&world).await;
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_hold_up_whoever_guesses() {
    let world = World::start().await;
    addresses::the_owner_gets_in_while_fifty_addresses_guess(&world).await;
    addresses::a_known_address_is_no_licence_to_guess(&world).await;
    addresses::the_last_twenty_are_known(&world).await;
    addresses::an_address_that_keeps_failing_waits(&world).await;
    drop(world.program);
}
