//! Roles and their assignments: what they give, from when to when, and who may give them.

mod command_line;
mod explained;
mod last_administrator;
mod taking;

use std::time::Duration;

use clm_domain::ids::system_roles;
use clm_domain::permission::{Action, Permissions, Resource};
use clm_tests::Program;
use clm_tests::databases::{Person, Superuser};
use clm_tests::rest::{Answer, Call, Credential, Rest, bearer};
use serde_json::{Value, json};
use uuid::Uuid;

const ROLES: &str = "/api/v1/roles";
const ASSIGNMENTS: &str = "/api/v1/role-assignments";

/// An organization with an administrator who holds `SYSTEM_ADMIN`, and others who hold nothing.
struct World {
    program: Program,
    rest: Rest,
    superuser: Superuser,
    organization_id: Uuid,
    administrator: Person,
}

impl World {
    async fn start() -> Self {
        let program = Program::start();
        let (rest, superuser) = (Rest::of(&program), Superuser::of(&program));
        let organization_id = superuser.organization("default").await;
        let rights = Permissions::all();
        let administrator = superuser
            .insert_person(organization_id, "chief", &rights)
            .await;
        Self {
            program,
            rest,
            superuser,
            organization_id,
            administrator,
        }
    }

    fn key(&self) -> Credential {
        bearer(&self.administrator.secret)
    }

    async fn person(&self, name: &str) -> Person {
        let nothing = Permissions::none();
        self.superuser
            .insert_person(self.organization_id, name, &nothing)
            .await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        let call = Call::new("POST", path).by(&self.key()).body(body);
        self.rest.send(call).await
    }

    /// A role with this code, these permissions and this parent.
    async fn role(&self, code: &str, rules: &[(Resource, Action)], parent: Option<Uuid>) -> Uuid {
        let permissions: Permissions = rules.iter().copied().collect();
        let body = json!({
            "role_code": code, "role_name": code, "permissions": permissions,
            "parent_role_id": parent,
        });
        self.post(ROLES, body).await.expect(201).id("/id")
    }

    async fn assign(&self, user_id: Uuid, role_id: Uuid) -> Uuid {
        let body = json!({ "user_id": user_id, "role_id": role_id });
        self.post(ASSIGNMENTS, body).await.expect(201).id("/id")
    }

    async fn patch(&self, path: &str, revision: i64, body: Value) -> Answer {
        let call = Call::new("PATCH", path).by(&self.key()).body(body);
        let call = call.header("if-match", &format!("\"{revision}\""));
        self.rest.send(call).await
    }

    async fn delete(&self, path: &str) -> Answer {
        let call = Call::new("DELETE", path).by(&self.key());
        self.rest.send(call.header("if-match", "\"1\"")).await
    }

    /// The status of the person's attempt to list certificates.
    async fn lists_certificates(&self, person: &Person) -> u16 {
        let call = Call::new("GET", "/api/v1/certificates").by(&bearer(&person.secret));
        self.rest.send(call).await.status
    }

    /// The time of the database server, which is that of the program, in so many milliseconds.
    async fn in_milliseconds(&self, milliseconds: i64) -> String {
        sqlx::query_scalar(
            "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC' + $1 * interval '1 millisecond',
                'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')",
        )
        .bind(milliseconds)
        .fetch_one(&self.superuser.core)
        .await
        .unwrap()
    }
}

const LIST: (Resource, Action) = (Resource::Certificate, Action::List);

#[tokio::test(flavor = "multi_thread")]
async fn a_role_gives_what_it_says_and_what_it_inherits() {
    let world = World::start().await;
    let reader = world.role("READER", &[LIST], None).await;
    let heir = world
        .role(
            "HEIR",
            &[(Resource::Certificate, Action::Renew)],
            Some(reader),
        )
        .await;
    let person = world.person("ada").await;
    assert_eq!(world.lists_certificates(&person).await, 403);
    let assignment = world.assign(person.user_id, heir).await;
    assert_eq!(world.lists_certificates(&person).await, 200);

    let shown = Call::new("GET", &format!("{ROLES}/{heir}")).by(&world.key());
    let shown = world.rest.send(shown).await.expect(200);
    assert_eq!(shown.headers["etag"], "\"1\"");
    assert_eq!(
        shown.body["effective_permissions"],
        json!({ "certificate": ["list", "renew"] })
    );
    assert_eq!(
        shown.body["permissions"],
        json!({ "certificate": ["renew"] })
    );

    // What is taken from the parent is taken from the heir, and from who holds it, at once.
    let path = format!("{ROLES}/{reader}");
    let none = json!({ "permissions": {} });
    world.patch(&path, 1, none.clone()).await.expect(200);
    assert_eq!(world.lists_certificates(&person).await, 403);
    let given = json!({ "permissions": { "certificate": ["list"] } });
    let stale = world.patch(&path, 1, given.clone()).await.expect(412);
    assert_eq!(stale.code(), "revision_changed");
    world.patch(&path, 2, given).await.expect(200);
    assert_eq!(world.lists_certificates(&person).await, 200);

    // A role that is held or inherited stays.
    for held in [heir, reader] {
        let path = format!("{ROLES}/{held}");
        let refused = Call::new("DELETE", &path).by(&world.key());
        let revision = if held == heir { "\"1\"" } else { "\"3\"" };
        let refused = world.rest.send(refused.header("if-match", revision)).await;
        assert_eq!(refused.expect(409).code(), "role_in_use");
    }
    world
        .delete(&format!("{ASSIGNMENTS}/{assignment}"))
        .await
        .expect(204);
    assert_eq!(world.lists_certificates(&person).await, 403);
    world.delete(&format!("{ROLES}/{heir}")).await.expect(204);
    let gone = Call::new("GET", &format!("{ROLES}/{heir}")).by(&world.key());
    world.rest.send(gone).await.expect(404);
    let restored = world
        .post(&format!("{ROLES}/{heir}/restore"), json!({}))
        .await;
    assert_eq!(restored.expect(200).body["role_code"], "HEIR");
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hierarchy_has_an_end() {
    let world = World::start().await;
    let mut chain = vec![world.role("LEVEL_1", &[], None).await];
    for level in 2..=10 {
        let code = format!("LEVEL_{level}");
        let parent = chain.last().copied();
        chain.push(world.role(&code, &[], parent).await);
    }
    let eleventh = json!({
        "role_code": "LEVEL_11", "role_name": "11", "permissions": {}, "parent_role_id": chain[9],
    });
    let refused = world.post(ROLES, eleventh).await.expect(422);
    assert_eq!(refused.code(), "role_hierarchy_too_deep");
    for parent in [chain[0], chain[4], chain[9]] {
        let path = format!("{ROLES}/{}", chain[0]);
        let body = json!({ "parent_role_id": parent });
        let refused = world.patch(&path, 1, body).await.expect(422);
        assert_eq!(refused.code(), "role_cycle", "{parent}");
    }
    // Two changes that make a cycle only together: one of them is refused.
    let left = world.role("LEFT", &[], None).await;
    let right = world.role("RIGHT", &[], None).await;
    let paths = [format!("{ROLES}/{left}"), format!("{ROLES}/{right}")];
    let (one, other) = tokio::join!(
        world.patch(&paths[0], 1, json!({ "parent_role_id": right })),
        world.patch(&paths[1], 1, json!({ "parent_role_id": left })),
    );
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 422]);
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_six_system_roles_stay_as_they_are() {
    let world = World::start().await;
    let list = Call::new("GET", ROLES).by(&world.key());
    let list = world.rest.send(list).await.expect(200);
    let items = list.body["items"].as_array().unwrap().clone();
    let system: Vec<&Value> = items
        .iter()
        .filter(|role| role["is_system_role"] == true)
        .collect();
    assert_eq!(system.len(), 6);
    for role in system {
        let path = format!("{ROLES}/{}", role["id"].as_str().unwrap());
        for body in [
            json!({ "role_name": "Mine" }),
            json!({ "permissions": {} }),
            json!({ "parent_role_id": system_roles::USER }),
        ] {
            let refused = world.patch(&path, 1, body).await.expect(409);
            assert_eq!(refused.code(), "system_role");
        }
        assert_eq!(world.delete(&path).await.expect(409).code(), "system_role");
    }
    for code in ["SYSTEM_ADMIN", "USER"] {
        let body = json!({ "role_code": code, "role_name": "x", "permissions": {} });
        let refused = world.post(ROLES, body).await.expect(422);
        assert_eq!(refused.code(), "role_code_reserved");
    }
    // They may be inherited from.
    world
        .role("LIKE_USER", &[], Some(system_roles::USER.as_uuid()))
        .await;
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assignment_begins_and_ends_by_itself() {
    let world = World::start().await;
    let reader = world.role("READER", &[LIST], None).await;
    let person = world.person("ada").await;
    // The person is known to the program's cache, with no right, from before the beginning.
    assert_eq!(world.lists_certificates(&person).await, 403);
    let (from, until) = (
        world.in_milliseconds(1500).await,
        world.in_milliseconds(3500).await,
    );
    let body = json!({
        "user_id": person.user_id, "role_id": reader, "valid_from": from, "valid_until": until,
    });
    let made = world.post(ASSIGNMENTS, body).await.expect(201);
    assert_eq!(made.body["username"], "ada");
    let mut seen = Vec::new();
    loop {
        let before = world.in_milliseconds(0).await;
        let status = world.lists_certificates(&person).await;
        let after = world.in_milliseconds(0).await;
        // An answer that began and ended within one of the three times is that of this time.
        let expected = if after < from || before >= until {
            Some(403)
        } else if before >= from && after < until {
            Some(200)
        } else {
            None
        };
        if let Some(expected) = expected {
            assert_eq!(status, expected, "{before} to {after} of {from} to {until}");
            seen.push(expected);
        }
        if before >= until {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    seen.dedup();
    assert_eq!(seen, [403, 200, 403]);
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn times_that_contradict_each_other_are_refused() {
    let world = World::start().await;
    let reader = world.role("READER", &[LIST], None).await;
    let person = world.person("ada").await;
    let body = |from: Value, until: Value| {
        json!({
            "user_id": person.user_id, "role_id": reader, "valid_from": from,
            "valid_until": until,
        })
    };
    for (from, until) in [
        (Value::Null, json!("2001-01-01T00:00:00Z")),
        (json!("2999-01-02T00:00:00Z"), json!("2999-01-01T00:00:00Z")),
        (json!("2999-01-01T00:00:00Z"), json!("2999-01-01T00:00:00Z")),
    ] {
        let refused = world.post(ASSIGNMENTS, body(from, until)).await.expect(422);
        assert_eq!(refused.code(), "valid_until_not_after");
        assert_eq!(refused.body["errors"][0]["field"], "valid_until");
    }
    let year = |year: u32| json!(format!("{year}-01-01T00:00:00Z"));
    let made = world.post(ASSIGNMENTS, body(year(2990), year(2992))).await;
    let path = format!("{ASSIGNMENTS}/{}", made.expect(201).id("/id"));
    for (from, until) in [
        (year(2991), year(2993)),
        (year(2989), year(2991)),
        (year(2989), Value::Null),
        (Value::Null, Value::Null),
    ] {
        let refused = world.post(ASSIGNMENTS, body(from, until)).await.expect(409);
        assert_eq!(refused.code(), "already_assigned");
    }
    // Right before and right after is no overlap.
    world
        .post(ASSIGNMENTS, body(year(2988), year(2990)))
        .await
        .expect(201);
    world
        .post(ASSIGNMENTS, body(year(2992), year(2994)))
        .await
        .expect(201);
    let overlapping = json!({ "valid_until": year(2993) });
    let refused = world.patch(&path, 1, overlapping).await.expect(409);
    assert_eq!(refused.code(), "already_assigned");
    let earlier = world
        .patch(&path, 1, json!({ "valid_until": year(2991) }))
        .await;
    assert_eq!(earlier.expect(200).body["revision"], 2);
    // One that has not begun is cancelled, and gone.
    world.delete(&path).await.expect(204);
    world.delete(&path).await.expect(404);
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_what_they_do_not_hold() {
    let world = World::start().await;
    let granting = [
        (Resource::Role, Action::Create),
        (Resource::Role, Action::Update),
        (Resource::RoleAssignment, Action::Create),
        LIST,
    ];
    let helper = world
        .superuser
        .insert_person(
            world.organization_id,
            "helper",
            &granting.into_iter().collect(),
        )
        .await;
    let by_helper = |call: Call| call.by(&bearer(&helper.secret));
    let reader = world.role("READER", &[LIST], None).await;
    let exporter = world
        .role("EXPORTER", &[(Resource::PrivateKey, Action::Export)], None)
        .await;
    let hidden = world.role("HIDDEN", &[LIST], Some(exporter)).await;
    for (role_id, status) in [(reader, 201), (exporter, 422), (hidden, 422)] {
        let body = json!({ "user_id": helper.user_id, "role_id": role_id });
        let call = by_helper(Call::new("POST", ASSIGNMENTS).body(body));
        let answer = world.rest.send(call).await.expect(status);
        if status == 422 {
            assert_eq!(answer.code(), "permissions_beyond_rights");
            assert_eq!(answer.body["errors"][0]["field"], "role_id");
        }
    }
    let admin = json!({ "user_id": helper.user_id, "role_id": system_roles::SYSTEM_ADMIN });
    let call = by_helper(Call::new("POST", ASSIGNMENTS).body(admin));
    world.rest.send(call).await.expect(422);
    // Neither by writing a role, nor by putting one below another, nor by changing one's own.
    let attempts = [
        json!({ "permissions": { "certificate": ["list", "renew"] } }),
        json!({ "parent_role_id": exporter }),
    ];
    for body in attempts {
        let call = Call::new("PATCH", &format!("{ROLES}/{reader}")).body(body.clone());
        let call = by_helper(call.header("if-match", "\"1\""));
        let refused = world.rest.send(call).await.expect(422);
        assert_eq!(refused.code(), "permissions_beyond_rights", "{body}");
    }
    // Nor with a key that is narrowed to less than its owner may do.
    let scopes: Permissions = granting.into_iter().filter(|one| *one != LIST).collect();
    let narrow =
        world
            .superuser
            .insert_api_key(world.organization_id, helper.user_id, Some(&scopes));
    let (_, narrow) = narrow.await;
    let body = json!({ "role_code": "NARROW", "role_name": "x", "permissions": { "certificate": ["list"] } });
    let call = Call::new("POST", ROLES).by(&bearer(&narrow)).body(body);
    world.rest.send(call).await.expect(422);
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_names_its_field_and_changes_nothing() {
    let world = World::start().await;
    world.role("TAKEN", &[], None).await;
    let role = |field: &str, value: Value| {
        let mut body = json!({ "role_code": "R", "role_name": "R", "permissions": {} });
        body[field] = value;
        body
    };
    for (field, value, status, code) in [
        ("role_code", json!(""), 422, "role_code_invalid"),
        ("role_code", json!("lower"), 422, "role_code_invalid"),
        ("role_code", json!("TAKEN"), 409, "role_code_taken"),
        ("role_name", json!(" "), 422, "role_name_invalid"),
        ("role_name", json!("a\u{0}"), 422, "role_name_invalid"),
        (
            "description",
            json!("x".repeat(2001)),
            422,
            "description_invalid",
        ),
        (
            "permissions",
            json!({ "certificate": ["fly"] }),
            400,
            "malformed_json",
        ),
        (
            "permissions",
            json!({ "moon": ["read"] }),
            400,
            "malformed_json",
        ),
        ("permissions", json!(["certificate"]), 400, "malformed_json"),
        ("parent_role_id", json!("none"), 400, "malformed_json"),
    ] {
        let answer = world
            .post(ROLES, role(field, value.clone()))
            .await
            .expect(status);
        assert_eq!(answer.code(), code, "{field} = {value}");
        let named = answer.body["errors"][0]["field"]
            .as_str()
            .unwrap_or_default();
        assert!(
            named.starts_with(field),
            "{field} = {value}: {}",
            answer.text
        );
    }
    for query in ["user_id=x", "limit=0", "cursor=x", "other=1"] {
        let call = Call::new("GET", &format!("{ASSIGNMENTS}?{query}")).by(&world.key());
        world.rest.send(call).await.expect(400);
    }
    drop(world.program);
}
