//! Where a second factor is required.

use std::time::Instant;

use clm_domain::permission::Permissions;
use clm_tests::rest::{Call, Credential, bearer, with_new_token};
use serde_json::{Value, json};
use uuid::Uuid;

use super::World;

impl World {
    /// Changes the settings of an organization.
    async fn set(&self, by: &Credential, organization: Uuid, settings: Value) -> Value {
        let path = format!("/api/v1/organizations/{organization}");
        let present = self.call(by, "GET", &path, Value::Null).await.expect(200);
        let tag = present.headers["etag"].to_str().unwrap().to_owned();
        let call = Call::new("PATCH", &path)
            .by(by)
            .header("if-match", &tag)
            .body(json!({ "settings": settings }));
        self.rest.send(call).await.body
    }

    /// Waits until a session owes that, which takes a second at most.
    async fn comes_to_owe(&self, session: &Credential, expected: Value) {
        let begun = Instant::now();
        loop {
            let found = self.owes(session).await;
            if found == expected {
                return;
            }
            assert!(begun.elapsed().as_secs() < 2, "still {found}");
        }
    }
}

pub(super) async fn of_every_member(world: &World) {
    let (admin, home) = (&world.administrator, world.organization_id);
    let person = world.person("hal").await;
    let session = world.session("hal").await.credential();
    world.list(&session).await.expect(200);
    let set = world.set(admin, home, json!({ "require_second_factor": true }));
    assert_eq!(set.await["settings"]["require_second_factor"], true);
    world
        .comes_to_owe(&session, "second_factor_enrolment".into())
        .await;
    let refused = world.list(&session).await.expect(403);
    assert_eq!(refused.code(), "second_factor_enrolment_required");
    // A key is none of a person's sessions.
    world.list(&bearer(&person.secret)).await.expect(200);
    let answer = world.sign_in("hal").await.expect(201);
    assert_eq!(answer.body["owes"], "second_factor_enrolment");

    let hal = world.enrol(person, &session).await;
    world.list(&hal.session).await.expect(200);
    // A sign-in with it owes nothing more once its code has come.
    let owing = world.session("hal").await.credential();
    let passed = world.pass(&owing, &hal.next_code()).await.expect(200);
    assert_eq!(passed.body["owes"], Value::Null);
    let code = json!({ "code": hal.backup_codes[0] });
    let removed = world.call(&hal.session, "POST", "/api/v1/users/me/totp/remove", code);
    removed.await.expect(204);
    assert_eq!(world.owes(&hal.session).await, "second_factor_enrolment");

    world.set(admin, home, json!({})).await;
    world.comes_to_owe(&hal.session, Value::Null).await;
    world.list(&hal.session).await.expect(200);
}

pub(super) async fn of_the_holders_of_a_role_and_of_its_heirs(world: &World) {
    let (admin, home) = (&world.administrator, world.organization_id);
    let (holder, heir, other) = (
        world.person("ida").await,
        world.person("jim").await,
        world.person("kim").await,
    );
    let role = world.superuser.role_of(holder.user_id).await;
    sqlx::query("UPDATE roles SET parent_role_id = $1 WHERE id = $2")
        .bind(role)
        .bind(world.superuser.role_of(heir.user_id).await)
        .execute(&world.superuser.core)
        .await
        .unwrap();
    let mut sessions = Vec::new();
    for person in [&holder, &heir, &other] {
        sessions.push(world.session(&person.username).await.credential());
    }
    let set = world.set(admin, home, json!({ "second_factor_roles": ["R_IDA"] }));
    assert_eq!(
        set.await["settings"]["second_factor_roles"],
        json!(["R_IDA"])
    );
    for session in &sessions[..2] {
        let owed = "second_factor_enrolment";
        world.comes_to_owe(session, owed.into()).await;
        world.list(session).await.expect(403);
    }
    assert_eq!(world.owes(&sessions[2]).await, Value::Null);
    world.list(&sessions[2]).await.expect(200);
    // It is asked of whoever is given the role from then on.
    let assign = json!({ "user_id": other.user_id, "role_id": role });
    let assigned = world.call(admin, "POST", "/api/v1/role-assignments", assign);
    assigned.await.expect(201);
    let owed = "second_factor_enrolment";
    world.comes_to_owe(&sessions[2], owed.into()).await;
    world.set(admin, home, json!({})).await;
    world.comes_to_owe(&sessions[2], Value::Null).await;
}

pub(super) async fn a_new_password_comes_first(world: &World) {
    let (admin, home) = (&world.administrator, world.organization_id);
    world
        .set(admin, home, json!({ "require_second_factor": true }))
        .await;
    let lea = world.holder_of_required("lea").await;
    sqlx::query("UPDATE users SET must_change_password = true WHERE id = $1")
        .bind(lea.person.user_id)
        .execute(&world.superuser.core)
        .await
        .unwrap();
    let owing = world.session("lea").await.credential();
    assert_eq!(world.owes(&owing).await, "second_factor");
    let passed = world.pass(&owing, &lea.next_code()).await.expect(200);
    assert_eq!(passed.body["owes"], "password_change");
    let session = clm_tests::rest::signed_in(&passed).credential();
    let refused = world.list(&session).await.expect(403);
    assert_eq!(refused.code(), "password_change_required");
    let change = json!({
        "current_password": world.password, "new_password": "violet trams at noon 31",
    });
    let changed = world.call(&session, "POST", "/api/v1/users/me/password", change);
    let session = with_new_token(&session, &changed.await.expect(204));
    assert_eq!(world.owes(&session).await, Value::Null);
    world.set(admin, home, json!({})).await;
}

impl World {
    /// Somebody with a second factor, in an organization that requires it.
    async fn holder_of_required(&self, name: &str) -> super::Holder {
        let person = self.person(name).await;
        let session = self.session(name).await.credential();
        assert_eq!(self.owes(&session).await, "second_factor_enrolment");
        self.enrol(person, &session).await
    }
}

/// What the System organization requires counts for whoever has roles in it, wherever they act.
pub(super) async fn of_whoever_has_rights_of_the_installation(world: &World) {
    let person = world
        .superuser
        .insert_person(world.organization_id, "max", &Permissions::all())
        .await;
    world.person("nan").await;
    let governor = world.session("max").await.credential();
    let ordinary = world.session("nan").await.credential();
    let system: Uuid = "00000000-0000-0000-0000-000000000001".parse().unwrap();
    let operator = world.program.cli(&[
        "org",
        "update",
        &system.to_string(),
        "--require-second-factor",
        "true",
    ]);
    assert!(operator.status.success(), "{operator:?}");
    let owed = "second_factor_enrolment";
    world.comes_to_owe(&governor, owed.into()).await;
    assert_eq!(world.owes(&ordinary).await, Value::Null);
    // No longer a member there, no longer asked.
    sqlx::query(
        "UPDATE user_organizations SET status = 'suspended'
         WHERE user_id = $1 AND organization_id = $2",
    )
    .bind(person.user_id)
    .bind(system)
    .execute(&world.superuser.core)
    .await
    .unwrap();
    world.comes_to_owe(&governor, Value::Null).await;
    let back = world.program.cli(&[
        "org",
        "update",
        &system.to_string(),
        "--require-second-factor",
        "false",
    ]);
    assert!(back.status.success(), "{back:?}");
}

pub(super) async fn of_roles_that_exist(world: &World) {
    let (admin, home) = (&world.administrator, world.organization_id);
    let refused = world
        .set(
            admin,
            home,
            json!({ "second_factor_roles": ["SYSTEM_ADMIN", "SYSTEM_ADMN"] }),
        )
        .await;
    assert_eq!(refused["code"], "role_unknown", "{refused}");
    assert_eq!(
        refused["errors"][0]["field"],
        "settings.second_factor_roles"
    );
    let many = vec!["AUDITOR"; 101];
    let refused = world.set(admin, home, json!({ "second_factor_roles": many }));
    assert_eq!(refused.await["code"], "settings_out_of_range");
    let set = world.set(admin, home, json!({ "second_factor_roles": ["AUDITOR"] }));
    assert_eq!(
        set.await["settings"]["second_factor_roles"],
        json!(["AUDITOR"])
    );
}
