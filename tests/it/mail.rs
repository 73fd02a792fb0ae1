//! Mail of accounts, through a real SMTP server with STARTTLS and AUTH: forgotten passwords, addresses,
//! invitations, and what becomes of a mail when something breaks.

mod faults;
mod invitations;
mod pages;
mod replicas;
mod resets;
mod smtp;
mod strangers;
mod verification;

use clm_domain::permission::Permissions;
use clm_tests::Program;
use clm_tests::databases::{Person, Superuser};
use clm_tests::rest::{Answer, Call, Credential, NOBODY, Rest, bearer};
use serde_json::{Value, json};
use uuid::Uuid;

use smtp::Smtp;

/// What every link begins with.
const PUBLIC_URL: &str = "https://clm.public.example";
const RESETS: &str = "/api/v1/password-resets";
const CONFIRM: &str = "/api/v1/password-resets/confirm";
const VERIFY: &str = "/api/v1/users/me/email-verification";
const VERIFIED: &str = "/api/v1/email-verifications/confirm";
const USERS: &str = "/api/v1/users";
/// A password that nobody else has.
const NEW_PASSWORD: &str = "tangerine-9-orbits-quietly";

/// A running program that sends mail.
struct World {
    smtp: Smtp,
    program: Program,
    rest: Rest,
    superuser: Superuser,
    organization_id: Uuid,
    administrator: Credential,
}

impl World {
    async fn start() -> Self {
        Self::with(Smtp::start()).await
    }

    async fn with(smtp: Smtp) -> Self {
        let mut program = Program::prepare();
        program.environment = smtp.settings();
        // Whatever the log can say, it says.
        let log = ("CLM_LOG".to_owned(), "trace".to_owned());
        program.environment.push(log);
        program.serve();
        let (rest, superuser) = (Rest::of(&program), Superuser::of(&program));
        let organization_id = superuser.organization("default").await;
        let administrator = bearer(&program.api_key().await);
        Self {
            smtp,
            program,
            rest,
            superuser,
            organization_id,
            administrator,
        }
    }

    /// Somebody of the first organization whose address is verified, and whose password is the first
    /// administrator's.
    async fn person(&self, name: &str) -> (Person, String) {
        let nothing = Permissions::none();
        let inserted = self
            .superuser
            .insert_person(self.organization_id, name, &nothing);
        let person = inserted.await;
        let email = format!("{name}@people.example");
        self.set_email(person.user_id, &email).await;
        self.verify(person.user_id).await;
        (person, email)
    }

    async fn set_email(&self, user_id: Uuid, email: &str) {
        sqlx::query("UPDATE users SET email = $2, email_normalized = lower($2) WHERE id = $1")
            .bind(user_id)
            .bind(email)
            .execute(&self.superuser.core)
            .await
            .unwrap();
    }

    async fn verify(&self, user_id: Uuid) {
        let verify = "UPDATE users SET email_verified_at = now() WHERE id = $1";
        self.superuser.update(verify, user_id).await;
    }

    /// Makes the queue believe that nobody has got a mail of late.
    async fn forget_mails(&self, user_id: Uuid) {
        self.age_mails(user_id, "2 days").await;
    }

    /// Makes what a user got seem older.
    async fn age_mails(&self, user_id: Uuid, by: &str) {
        let age = "UPDATE notifications SET created_at = created_at - $2::interval
            WHERE recipient_user_id = $1";
        sqlx::query(age)
            .bind(user_id)
            .bind(by)
            .execute(&self.superuser.core)
            .await
            .unwrap();
    }

    async fn call(&self, by: &Credential, method: &str, path: &str, body: Value) -> Answer {
        let call = Call::new(method, path).by(by);
        let call = match body {
            Value::Null => call,
            body => call.body(body),
        };
        self.rest.send(call).await
    }

    async fn ask_for_reset(&self, username: &str) -> Answer {
        let body = json!({ "username": username, "organization": "default" });
        self.call(&NOBODY, "POST", RESETS, body).await
    }

    async fn confirm(&self, token: &str, password: &str) -> Answer {
        let body = json!({ "token": token, "new_password": password });
        self.call(&NOBODY, "POST", CONFIRM, body).await
    }

    /// Asks, and returns the token that comes as the mail with this number to the address.
    async fn reset_token(&self, username: &str, email: &str, number: usize) -> String {
        self.ask_for_reset(username).await.expect(202);
        self.smtp
            .wait_for(email, number)
            .await
            .token("reset-password")
    }

    async fn sign_in(&self, username: &str, password: &str) -> Answer {
        let body = json!({
            "username": username, "password": password, "organization": "default",
        });
        self.call(&NOBODY, "POST", "/api/v1/sessions", body).await
    }

    /// Of all mails to an address: what became of them, in the order in which they were ordered.
    async fn queue(&self, email: &str) -> Vec<(String, i32, Option<String>)> {
        sqlx::query_as(
            "SELECT status, attempts, last_error FROM notifications WHERE recipient = $1 ORDER BY id",
        )
        .bind(email)
        .fetch_all(&self.superuser.core)
        .await
        .unwrap()
    }

    /// Waits until every mail to an address is over, and returns what became of them.
    async fn settled(&self, email: &str) -> Vec<(String, i32, Option<String>)> {
        let begun = std::time::Instant::now();
        loop {
            let found = self.queue(email).await;
            let is_over = |one: &(String, i32, Option<String>)| {
                !matches!(one.0.as_str(), "pending" | "sending")
            };
            if found.iter().all(is_over) {
                return found;
            }
            assert!(begun.elapsed().as_secs() < 45, "{found:?}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// The events of a code with this reason, or without one.
    async fn events(&self, code: &str, reason: Option<&str>) -> i64 {
        sqlx::query_scalar(
            "SELECT count(*) FROM audit_log WHERE event_code = $1
             AND reason IS NOT DISTINCT FROM $2",
        )
        .bind(code)
        .bind(reason)
        .fetch_one(&self.superuser.core)
        .await
        .unwrap()
    }
}
