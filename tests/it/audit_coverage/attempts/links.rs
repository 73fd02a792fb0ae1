//! The cases about links that come by mail. Each has a user of its own, and a link whose token only the
//! test knows: here nobody takes mails.

use clm_domain::ids::SYSTEM_ORGANIZATION;
use clm_domain::permission::Permissions;
use clm_tests::rest::{NOBODY, bearer};
use serde_json::json;
use uuid::Uuid;

use super::{
    Attempt, Concerned, NAMES, NEW_PASSWORD, Whoever, World, by_key, by_nobody, by_session, fresh,
    known, person, session,
};

const ASK: &str = "/api/v1/password-resets";
const RESET: &str = "/api/v1/password-resets/confirm";
const VERIFICATION: &str = "/api/v1/users/me/email-verification";
const VERIFY: &str = "/api/v1/email-verifications/confirm";

const VERIFIED: &str = "UPDATE users SET email = username || '@audited.example',
    email_normalized = username || '@audited.example', email_verified_at = now() WHERE id = $1";
const SET_VERIFIED: &str = "UPDATE users SET email_verified_at = now() WHERE id = $1";
const UNVERIFIED: &str = "UPDATE users SET email_verified_at = NULL WHERE id = $1";
const NO_ADDRESS: &str = "UPDATE users SET email = NULL, email_normalized = NULL WHERE id = $1";

/// Whether these cases are about the operation.
pub(super) fn is_about(path: &str) -> bool {
    [ASK, RESET, VERIFICATION, VERIFY].contains(&path)
}

/// What makes the operation succeed.
pub(super) async fn good(world: &World, attempt: Attempt) -> Attempt {
    let tenant = &world.tenant;
    let person = person(world, &Permissions::none()).await;
    world.superuser.update(VERIFIED, person.user_id).await;
    let path = attempt.path.clone();
    if path == VERIFICATION {
        world.superuser.update(UNVERIFIED, person.user_id).await;
        let session = session(world, &person).await;
        let who = by_session(person.user_id, &session, tenant.organization_id);
        return attempt
            .by(session.credential(), who)
            .about(known(person.user_id));
    }
    // The trigger forgets what comes together with another address.
    world.superuser.update(SET_VERIFIED, person.user_id).await;
    let body = match path.as_str() {
        ASK => json!({ "username": person.username, "organization": tenant.slug }),
        RESET => {
            let token = link(world, person.user_id, "reset_password").await;
            json!({ "token": token, "new_password": NEW_PASSWORD })
        }
        _ => json!({ "token": link(world, person.user_id, "verify_email").await }),
    };
    let by_nobody = by_nobody(tenant.organization_id);
    attempt
        .by(NOBODY, by_nobody)
        .with(body, known(person.user_id))
}

/// A link that works.
async fn link(world: &World, user_id: Uuid, purpose: &str) -> String {
    let number = NAMES.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let token = format!("clm_link_{number:0>42}A");
    let made = sqlx::query(
        "INSERT INTO one_time_links (
            organization_id, user_id, purpose, token_sha256, email, expires_at)
         SELECT home_organization_id, id, $2, sha256($3::bytea), email, now() + interval '1 hour'
         FROM users WHERE id = $1",
    )
    .bind(user_id)
    .bind(purpose)
    .bind(token.as_bytes())
    .execute(&world.superuser.core)
    .await;
    assert_eq!(made.expect("a link is made").rows_affected(), 1);
    token
}

/// The cases of these operations alone.
pub(super) async fn special(world: &World, attempt: Attempt, case: &str) -> Attempt {
    let Concerned::Known(user_id) = attempt.concerned else {
        panic!("the cases are about a user");
    };
    let superuser = &world.superuser;
    let system = by_nobody(SYSTEM_ORGANIZATION.as_uuid());
    match case {
        "unknown user" => nobodys(attempt.but("username", fresh("unknown").into()), system),
        "wrong token" => nobodys(attempt.but("token", "none".into()), system),
        "address not verified" => {
            superuser.update(UNVERIFIED, user_id).await;
            attempt
        }
        "asked a moment ago" => {
            world.rest.send(attempt.call()).await.expect(202);
            attempt
        }
        "used before" => attempt
            .but("new_password", world.tenant.password.clone().into())
            .about(known(user_id)),
        "too short" => attempt.but("new_password", "short".into()),
        "no address" => {
            superuser.update(NO_ADDRESS, user_id).await;
            attempt
        }
        "verified already" => {
            superuser.update(SET_VERIFIED, user_id).await;
            attempt
        }
        "by API key" => {
            let who = by_key(&world.tenant.administrator, world.tenant.organization_id);
            let secret = &world.tenant.administrator.secret;
            attempt.by(bearer(secret), who)
        }
        _ => panic!("how does the case '{case}' come about?"),
    }
}

/// The same about nobody who is known.
fn nobodys(mut attempt: Attempt, who: super::Who) -> Attempt {
    attempt.who = Whoever::Known(who);
    attempt.about(Concerned::Nothing)
}
