//! The cases about organizations, their members and invitations.

use std::sync::atomic::Ordering;

use clm_domain::ids::SYSTEM_ORGANIZATION;
use clm_domain::permission::{Action, Permissions, Resource};
use clm_tests::databases::Person;
use clm_tests::rest::{Call, SignedIn, bearer, signed_in};
use clm_tests::tenant::Object;
use serde_json::json;
use uuid::Uuid;

use super::{
    Attempt, Concerned, NAMES, UNKNOWN, Who, World, by_key, by_session, fresh, in_new_organization,
    known, person, session,
};

const ORGANIZATIONS: &str = "/api/v1/organizations";
const ORGANIZATION: &str = "/api/v1/organizations/{organization_id}";
const STATUS: &str = "/api/v1/organizations/{organization_id}/status";
const SWITCH: &str = "/api/v1/sessions/current/organization";
const PRIMARY: &str = "/api/v1/users/me/primary-organization";
const MEMBERS: &str = "/api/v1/members";
const MEMBER: &str = "/api/v1/members/{user_id}";
const MEMBER_STATUS: &str = "/api/v1/members/{user_id}/status";
const LEAVE: &str = "/api/v1/members/me/leave";
const INVITATIONS: &str = "/api/v1/invitations";
const ACCEPT: &str = "/api/v1/invitations/accept";

/// Whether these cases are about the operation.
pub(super) fn is_about(path: &str) -> bool {
    let about = [ORGANIZATIONS, SWITCH, PRIMARY, MEMBERS, INVITATIONS];
    about.iter().any(|beginning| path.starts_with(beginning))
}

/// What makes the operation succeed.
pub(super) async fn good(world: &World, attempt: Attempt) -> Attempt {
    let (superuser, tenant) = (&world.superuser, &world.tenant);
    match (attempt.method, attempt.path.as_str()) {
        (_, ORGANIZATIONS) => {
            let body = json!({ "name": "Audited", "slug": fresh("audited") });
            let attempt = governing(world, attempt).await;
            attempt.with(body, Concerned::InAnswer("/id"))
        }
        (_, ORGANIZATION) => {
            let id = superuser.insert_organization(&fresh("changed")).await;
            let mut attempt = governing(world, attempt).await;
            attempt.headers = vec![("if-match", "\"1\"".to_owned())];
            attempt
                .on(format!("{ORGANIZATIONS}/{id}"))
                .with(json!({ "max_users": 5, "name": "Audited" }), known(id))
        }
        (_, STATUS) => {
            let id = superuser.insert_organization(&fresh("suspended")).await;
            let body = json!({ "status": "suspended", "reason": "audited" });
            let attempt = governing(world, attempt).await;
            attempt
                .on(format!("{ORGANIZATIONS}/{id}/status"))
                .with(body, known(id))
        }
        (_, SWITCH | PRIMARY) => elsewhere(world, attempt).await,
        (_, MEMBERS) => {
            let user = stranger(world).await.user_id;
            let body = json!({ "user": user, "organization_id": tenant.organization_id });
            let attempt = governing(world, attempt).await;
            attempt.with(body, known(user))
        }
        (_, LEAVE) => {
            let (guest, session) = guest_with_session(world).await;
            let who = by_session(guest.user_id, &session, tenant.organization_id);
            attempt
                .by(session.credential(), who)
                .with(json!({}), known(guest.user_id))
        }
        (_, MEMBER | MEMBER_STATUS) => about_guest(world, attempt).await,
        ("POST", INVITATIONS) => {
            let body = json!({ "email": format!("{}@audited.example", fresh("guest")) });
            attempt.with(body, Concerned::InAnswer("/invitation/id"))
        }
        (_, ACCEPT) => {
            let (id, token) = invite(world).await;
            let stranger = stranger(world).await;
            let session = session_at_home(world, &stranger).await;
            let who = by_session(stranger.user_id, &session, tenant.organization_id);
            attempt
                .by(session.credential(), who)
                .with(json!({ "token": token }), known(id))
        }
        _ => {
            let (id, _) = invite(world).await;
            attempt.on(format!("{INVITATIONS}/{id}")).about(known(id))
        }
    }
}

/// By somebody who may do it in the System organization, and belongs nowhere else.
async fn governing(world: &World, attempt: Attempt) -> Attempt {
    let rights: Permissions = [
        (Resource::Organization, Action::Create),
        (Resource::Organization, Action::Update),
        (Resource::Membership, Action::Create),
    ]
    .into_iter()
    .collect();
    let system = SYSTEM_ORGANIZATION.as_uuid();
    let name = fresh("governor");
    let governor = world.superuser.insert_person(system, &name, &rights).await;
    attempt.by(bearer(&governor.secret), by_key(&governor, system))
}

/// The session of a guest goes on in the tenant, or will begin there.
async fn elsewhere(world: &World, attempt: Attempt) -> Attempt {
    let guest = guest(world).await;
    let session = session_at_home(world, &guest).await;
    let body = json!({ "organization": world.tenant.slug });
    let (organization_id, concerned) = match attempt.path.as_str() {
        SWITCH => (world.tenant.organization_id, known(session.session_id)),
        _ => (home(world, &guest).await, known(guest.user_id)),
    };
    let who = by_session(guest.user_id, &session, organization_id);
    attempt.by(session.credential(), who).with(body, concerned)
}

async fn about_guest(world: &World, attempt: Attempt) -> Attempt {
    let id = guest(world).await.user_id;
    let path = attempt.path.replace("{user_id}", &id.to_string());
    let attempt = match attempt.method {
        "PUT" => {
            let body = json!({ "status": "suspended", "reason": "audited" });
            attempt.with(body, known(id))
        }
        _ => attempt.about(known(id)),
    };
    attempt.on(path)
}

/// A user of an organization of the own, whose name is also that of its slug.
async fn stranger(world: &World) -> Person {
    let name = fresh("stranger");
    let home = world.superuser.insert_organization(&name).await;
    let nothing = Permissions::none();
    world.superuser.insert_person(home, &name, &nothing).await
}

async fn guest(world: &World) -> Person {
    let guest = stranger(world).await;
    let organization_id = world.tenant.organization_id;
    let superuser = &world.superuser;
    superuser
        .insert_member(organization_id, guest.user_id)
        .await;
    guest
}

async fn session_at_home(world: &World, stranger: &Person) -> SignedIn {
    let (name, password) = (&stranger.username, &world.tenant.password);
    world.rest.sign_in(name, password, name).await
}

async fn home(world: &World, stranger: &Person) -> Uuid {
    world.superuser.organization(&stranger.username).await
}

/// A guest whose session is active in the tenant.
async fn guest_with_session(world: &World) -> (Person, SignedIn) {
    let guest = guest(world).await;
    let session = session_at_home(world, &guest).await;
    let switch = Call::new("PUT", SWITCH).by(&session.credential());
    let switch = switch.body(json!({ "organization": world.tenant.slug }));
    let switched = signed_in(&world.rest.send(switch).await.expect(200));
    (guest, switched)
}

/// An invitation whose token only the test knows: here nobody takes the mail that would bring it.
async fn invite(world: &World) -> (Uuid, String) {
    let number = NAMES.fetch_add(1, Ordering::Relaxed);
    let token = format!("clm_link_{number:0>42}A");
    let made = sqlx::query_scalar(
        "INSERT INTO invitations (
            organization_id, email, email_normalized, token_sha256, invited_by_user_id, expires_at)
         VALUES ($1, 'guest@audited.example', 'guest@audited.example', sha256($2::bytea), $3,
            now() + interval '1 day')
         RETURNING id",
    )
    .bind(world.tenant.organization_id)
    .bind(token.as_bytes())
    .bind(world.tenant.administrator.user_id)
    .fetch_one(&world.superuser.core)
    .await;
    (made.unwrap(), token)
}

/// The cases of these operations alone.
pub(super) async fn special(
    world: &World,
    attempt: Attempt,
    (path, case): (&str, &str),
) -> Attempt {
    let tenant = &world.tenant;
    let administrator = by_key(&tenant.administrator, tenant.organization_id);
    match (path, case) {
        (_, "by API key") => attempt
            .by(tenant.key(), administrator)
            .about(Concerned::Nothing),
        (ORGANIZATION | STATUS, "from elsewhere") => {
            let own = path.replace("{organization_id}", &tenant.organization_id.to_string());
            attempt
                .by(tenant.key(), administrator)
                .on(own)
                .about(Concerned::Nothing)
        }
        (_, "from elsewhere") => attempt
            .by(tenant.key(), administrator)
            .about(Concerned::Nothing),
        (_, "without reason") => attempt.but("reason", "".into()),
        (_, "so already") => {
            let _ = world.rest.send(attempt.call()).await.expect(200);
            attempt
        }
        (ORGANIZATIONS | ORGANIZATION | STATUS, _) => {
            special_organization(world, attempt, case).await
        }
        (SWITCH | PRIMARY, _) => special_choice(world, attempt, case).await,
        (MEMBERS | MEMBER | MEMBER_STATUS | LEAVE, _) => {
            special_member(world, attempt, (path, case)).await
        }
        _ => special_invitation(world, attempt, case).await,
    }
}

async fn special_organization(world: &World, mut attempt: Attempt, case: &str) -> Attempt {
    match case {
        "slug of another" => attempt.but("slug", world.tenant.slug.as_str().into()),
        "no slug" => attempt.but("slug", "No Slug".into()),
        "changed meanwhile" => {
            attempt.headers = vec![("if-match", "\"7\"".to_owned())];
            attempt
        }
        "out of range" => attempt.but("settings", json!({ "session_hours_max": 0 })),
        "without If-Match" => {
            attempt.headers.clear();
            attempt
        }
        _ => {
            let system = SYSTEM_ORGANIZATION.as_uuid();
            attempt
                .on(format!("{ORGANIZATIONS}/{system}/status"))
                .about(known(system))
        }
    }
}

async fn special_choice(world: &World, attempt: Attempt, case: &str) -> Attempt {
    if case == "elsewhere" {
        return attempt.but("organization", "system".into());
    }
    // Older than the tenant allows, from then on.
    let concerned = attempt.concerned;
    let super::Whoever::Known(Who {
        user_id: Some(user_id),
        session_id: Some(session_id),
        ..
    }) = attempt.who
    else {
        panic!("a session is switched by somebody known");
    };
    let superuser = &world.superuser;
    superuser.update(AGED, session_id).await;
    let strict = superuser.insert_organization(&fresh("strict")).await;
    superuser.update(STRICT, strict).await;
    superuser.insert_member(strict, user_id).await;
    let home: Uuid = sqlx::query_scalar("SELECT organization_id FROM sessions WHERE id = $1")
        .bind(session_id)
        .fetch_one(&superuser.core)
        .await
        .unwrap();
    let who = Who {
        actor_type: "user",
        actor_id: Some(user_id),
        user_id: Some(user_id),
        session_id: Some(session_id),
        organization_id: home,
    };
    let credential = attempt.credential.clone();
    attempt
        .but("organization", strict.to_string().into())
        .by(credential, who)
        .about(concerned)
}

const AGED: &str = "UPDATE sessions SET created_at = now() - interval '2 hours' WHERE id = $1";
const STRICT: &str =
    "UPDATE organizations SET settings = '{\"session_hours_max\": 1}' WHERE id = $1";

async fn special_member(world: &World, attempt: Attempt, (path, case): (&str, &str)) -> Attempt {
    let (tenant, superuser) = (&world.tenant, &world.superuser);
    let concerned = attempt.concerned;
    let on = |attempt: Attempt, id: Uuid| {
        let path = path.replace("{user_id}", &id.to_string());
        attempt.on(path).about(known(id))
    };
    match (path, case) {
        (_, "oneself") => on(attempt, tenant.administrator.user_id),
        (_, "member already") => {
            attempt.but("user", tenant.administrator.user_id.to_string().into())
        }
        (_, "unknown user") => attempt.but("user", "nobody@nowhere".into()),
        (_, "unknown organization") => attempt.but("organization_id", UNKNOWN.into()),
        (_, "the last administrator") => {
            let id = sqlx::query_scalar("SELECT id FROM users WHERE username = 'admin'")
                .fetch_one(&superuser.core)
                .await
                .unwrap();
            on(attempt, id)
        }
        (LEAVE, "at home") => {
            let somebody = person(world, &Permissions::none()).await;
            let session = session(world, &somebody).await;
            let who = by_session(somebody.user_id, &session, tenant.organization_id);
            attempt
                .by(session.credential(), who)
                .about(known(somebody.user_id))
        }
        (_, "no such successor") => attempt
            .but("successor_user_id", UNKNOWN.into())
            .about(concerned),
        (_, "at home") => {
            let somebody = person(world, &Permissions::none()).await;
            on(attempt, somebody.user_id)
        }
        _ => {
            let Concerned::Known(guest) = concerned else {
                panic!("a known guest is removed");
            };
            own(world, guest).await;
            attempt
        }
    }
}

/// Makes a guest answer for the tenant's certificate.
async fn own(world: &World, guest: Uuid) {
    let done =
        sqlx::query("UPDATE certificate_metadata SET owner_user_id = $1 WHERE certificate_id = $2")
            .bind(guest)
            .bind(world.tenant.object(Object::Certificate))
            .execute(&world.superuser.core)
            .await;
    assert_eq!(done.unwrap().rows_affected(), 1);
}

async fn special_invitation(world: &World, attempt: Attempt, case: &str) -> Attempt {
    let concerned = attempt.concerned;
    let Concerned::Known(id) = concerned else {
        return special_inviting(world, attempt, case).await;
    };
    match case {
        "taken back already" => {
            let _ = world.rest.send(attempt.call()).await.expect(204);
            attempt
        }
        "accepted" => {
            world.superuser.update(ACCEPTED, id).await;
            attempt
        }
        "wrong token" => attempt.but("token", "A".repeat(43).into()),
        _ => {
            // Of a member, who need not be invited.
            let (member, session) = guest_with_session(world).await;
            let who = by_session(member.user_id, &session, world.tenant.organization_id);
            attempt.by(session.credential(), who)
        }
    }
}

const ACCEPTED: &str = "UPDATE invitations SET accepted_at = now(), accepted_by_user_id =
    (SELECT id FROM users WHERE username = 'admin') WHERE id = $1";

async fn special_inviting(world: &World, attempt: Attempt, case: &str) -> Attempt {
    match case {
        "no address" => attempt.but("email", "nowhere".into()),
        "unknown role" => attempt.but("role_id", UNKNOWN.into()),
        "too many" => {
            let mut attempt = in_new_organization(world, attempt).await;
            let super::Whoever::Known(who) = attempt.who else {
                panic!("somebody known invites");
            };
            world.superuser.update(MANY, who.organization_id).await;
            attempt.concerned = Concerned::Nothing;
            attempt
        }
        _ => {
            let rights = [
                (Resource::Membership, Action::Create),
                (Resource::RoleAssignment, Action::Create),
            ];
            let somebody = person(world, &rights.into_iter().collect()).await;
            let who = by_key(&somebody, world.tenant.organization_id);
            let role = world.tenant.object(Object::AdministratorRole);
            attempt
                .by(bearer(&somebody.secret), who)
                .but("role_id", role.to_string().into())
        }
    }
}

const MANY: &str = "INSERT INTO invitations (
        organization_id, email, email_normalized, token_sha256, expires_at)
    SELECT $1, 'a@b', 'a@b', sha256(uuid_send(uuid_generate_v4())), now() + interval '1 day'
    FROM generate_series(1, 1000)";
