//! Each act that takes a proof: refused without one, whoever asks, and done with it.

use std::collections::BTreeSet;

use clm_domain::permission::{Action, Permissions, Resource};
use clm_tests::rest::{Answer, Call, Rest, bearer, documented};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ASSIGNMENTS, World, refused};

/// What takes a proof, at least sometimes. The Secure Service judges those of the second list itself.
const OF_THE_CORE: &[(&str, &str)] = &[
    ("POST", "/api/v1/api-keys"),
    ("POST", "/api/v1/api-keys/{api_key_id}/rotate"),
    ("POST", "/api/v1/invitations"),
    ("POST", "/api/v1/role-assignments"),
    ("PATCH", "/api/v1/role-assignments/{role_assignment_id}"),
    ("POST", "/api/v1/roles"),
    ("PATCH", "/api/v1/roles/{role_id}"),
    ("POST", "/api/v1/roles/{role_id}/restore"),
];
const OF_THE_SECURE_SERVICE: &[(&str, &str)] = &[
    ("POST", "/api/v1/certificate-authorities"),
    (
        "PUT",
        "/api/v1/certificate-authorities/{certificate_authority_id}/limits",
    ),
    (
        "POST",
        "/api/v1/certificates/{certificate_id}/private-key-export",
    ),
];

/// A request of the chief that takes a proof.
struct Sensitive {
    /// Which operation it is one of.
    operation: (&'static str, &'static str),
    path: String,
    body: Option<Value>,
    /// The revision that was read, where one must be named.
    revision: Option<i64>,
    right: (Resource, Action),
}

impl Sensitive {
    fn call(&self) -> Call {
        let call = Call::new(self.operation.0, &self.path).maybe_body(self.body.clone());
        match self.revision {
            Some(revision) => call.header("if-match", &format!("\"{revision}\"")),
            None => call,
        }
    }
}

/// The program's own document names the operations that take a proof, and the lists above no others.
#[tokio::test(flavor = "multi_thread")]
async fn the_document_says_what_takes_a_proof() {
    let world = World::start().await;
    let mut found = BTreeSet::new();
    for (method, path, operation) in documented(&world.rest).await {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        if parameters
            .filter(|one| one["name"] == "CLM-Step-Up")
            .count()
            > 0
        {
            found.insert((method, path));
        }
    }
    let listed = OF_THE_CORE.iter().chain(OF_THE_SECURE_SERVICE);
    let listed = listed.map(|(method, path)| ((*method).to_owned(), (*path).to_owned()));
    assert_eq!(found, listed.collect());
}

impl World {
    async fn made(&self, path: &str, body: Value) -> Answer {
        let call = Call::new("POST", path).by(&self.by()).body(body);
        self.rest
            .send_proved(call, &self.password)
            .await
            .expect(201)
    }

    /// One request of each operation that the core alone decides.
    async fn sensitive(&self) -> Vec<Sensitive> {
        let role = |code: &str, permissions: Value| json!({ "role_code": code, "role_name": code, "permissions": permissions });
        let few = json!({ "certificate": ["list"] });
        let many = json!({ "certificate": ["list", "read"] });
        let roles = "/api/v1/roles";
        let narrow = self.made(roles, role("NARROW", few)).await.id("/id");
        let gone = self.made(roles, role("GONE", json!({}))).await.id("/id");
        let delete = Call::new("DELETE", &format!("{roles}/{gone}")).by(&self.by());
        let delete = delete.header("if-match", "\"1\"");
        self.rest.send(delete).await.expect(204);
        let key = self
            .made("/api/v1/api-keys", json!({ "name": "old" }))
            .await;
        let ends = json!({
            "user_id": self.nobody, "role_id": narrow, "valid_until": "2998-01-01T00:00:00Z",
        });
        let assignment = self.made(ASSIGNMENTS, ends).await.id("/id");
        let requests = [
            (json!({ "name": "new" }), None, Uuid::nil()),
            (json!({}), None, key.id("/api_key/id")),
            (
                json!({ "email": "invited@example.org", "role_id": self.role_id }),
                None,
                Uuid::nil(),
            ),
            (
                json!({ "user_id": self.nobody, "role_id": self.role_id }),
                None,
                Uuid::nil(),
            ),
            (
                json!({ "valid_until": "2999-01-01T00:00:00Z" }),
                Some(1),
                assignment,
            ),
            (role("FRESH", many.clone()), None, Uuid::nil()),
            (json!({ "permissions": many }), Some(1), narrow),
            (Value::Null, None, gone),
        ];
        let rights = [
            (Resource::ApiKey, Action::Create),
            (Resource::ApiKey, Action::Create),
            (Resource::RoleAssignment, Action::Create),
            (Resource::RoleAssignment, Action::Create),
            (Resource::RoleAssignment, Action::Update),
            (Resource::Role, Action::Create),
            (Resource::Role, Action::Update),
            (Resource::Role, Action::Create),
        ];
        let listed = OF_THE_CORE.iter().zip(requests).zip(rights);
        let sensitive = listed.map(|((operation, (body, revision, id)), right)| Sensitive {
            operation: *operation,
            path: filled(operation.1, id),
            body: (!body.is_null()).then_some(body),
            revision,
            right,
        });
        sensitive.collect()
    }
}

fn filled(path: &str, id: Uuid) -> String {
    match (path.split_once('{'), path.split_once('}')) {
        (Some((before, _)), Some((_, after))) => format!("{before}{id}{after}"),
        _ => path.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_act_is_refused_without_a_proof_and_done_with_one() {
    let world = World::start().await;
    let acts = world.sensitive().await;
    assert_eq!(acts.len(), OF_THE_CORE.len());
    let (chief, organization) = (world.chief.user_id, world.organization_id);
    let unscoped = world.superuser.insert_api_key(organization, chief, None);
    let unscoped = bearer(&unscoped.await.1);
    for act in &acts {
        let what = format!("{} {}", act.operation.0, act.operation.1);
        let all_but = Permissions::all()
            .iter()
            .filter(|one| *one != act.right)
            .collect();
        let narrowed = world
            .superuser
            .insert_api_key(organization, chief, Some(&all_but));
        let narrowed = bearer(&narrowed.await.1);
        let before = world.superuser.contents().await;
        refused(
            &world.rest.send(act.call().by(&world.by())).await,
            "step_up_required",
        );
        let by_key = world.rest.send(act.call().by(&unscoped)).await;
        refused(&by_key, "step_up_required");
        let detail = by_key.body["detail"].as_str().unwrap();
        assert!(detail.contains("--scope"), "{what}: {detail}");
        let lacking = world.rest.send(act.call().by(&narrowed)).await;
        refused(&lacking, "permission_missing");
        let wrong = world
            .send_with(&act.call().by(&world.by()), "clmsu_0")
            .await;
        refused(&wrong, "step_up_invalid");
        assert_eq!(world.superuser.contents().await, before, "{what}");
    }
    for act in &acts {
        let call = act.call().by(&world.by());
        let done = world.rest.send_proved(call, &world.password).await;
        assert!(
            (200..300).contains(&done.status),
            "{act:?}: {done:?}",
            act = act.operation
        );
    }
}

/// A key whose scopes name the right, and the operator of the machine, act without a proof.
#[tokio::test(flavor = "multi_thread")]
async fn named_keys_and_the_operator_need_none() {
    let world = World::start().await;
    let acts = world.sensitive().await;
    for act in &acts {
        let rights = Permissions::all();
        let key = world.superuser.insert_api_key(
            world.organization_id,
            world.chief.user_id,
            Some(&rights),
        );
        let done = world.rest.send(act.call().by(&bearer(&key.await.1))).await;
        assert!(
            (200..300).contains(&done.status),
            "{:?}: {done:?}",
            act.operation
        );
    }
    let machine = Rest::of_operator(&world.program);
    let operator = clm_tests::rest::operator_of("default");
    let role = json!({ "role_code": "MACHINE", "role_name": "Machine", "permissions": {} });
    let call = Call::new("POST", "/api/v1/roles").by(&operator).body(role);
    machine.send(call).await.expect(201);
    let body = json!({
        "name": "Of the machine", "subject": "CN=Of the machine", "key_algorithm": "ecdsa-p256",
        "validity_days": 30,
    });
    let call = Call::new("POST", "/api/v1/certificate-authorities").by(&operator);
    machine.send(call.body(body)).await.expect(201);
}

/// What gives nobody more needs no proof.
#[tokio::test(flavor = "multi_thread")]
async fn what_takes_rights_away_takes_no_proof() {
    let world = World::start().await;
    let body = json!({
        "role_code": "WIDE", "role_name": "Wide", "permissions": { "certificate": ["list", "read"] },
    });
    let id = world.made("/api/v1/roles", body).await.id("/id");
    let path = format!("/api/v1/roles/{id}");
    let patch = |revision: i64, body: Value| {
        let call = Call::new("PATCH", &path).by(&world.by());
        call.header("if-match", &format!("\"{revision}\""))
            .body(body)
    };
    let narrower = json!({ "permissions": { "certificate": ["list"] } });
    world.rest.send(patch(1, narrower)).await.expect(200);
    let renamed = json!({ "role_name": "Less wide" });
    world.rest.send(patch(2, renamed)).await.expect(200);
    // By what it inherits a role gives more as well.
    let parent = json!({ "parent_role_id": world.role_id });
    refused(&world.rest.send(patch(3, parent)).await, "step_up_required");
    let body = json!({ "user_id": world.nobody, "role_id": id });
    let assignment = world.made(ASSIGNMENTS, body).await.id("/id");
    let withdraw = Call::new("DELETE", &format!("{ASSIGNMENTS}/{assignment}")).by(&world.by());
    world.rest.send(withdraw).await.expect(204);
    let invitation = Call::new("POST", "/api/v1/invitations").by(&world.by());
    let without_role = json!({ "email": "guest@example.org" });
    world
        .rest
        .send(invitation.body(without_role))
        .await
        .expect(201);
}

/// Two requests at once with one proof: one API key.
#[tokio::test(flavor = "multi_thread")]
async fn one_proof_makes_one_key() {
    let world = World::start().await;
    let call = Call::new("POST", "/api/v1/api-keys").by(&world.by());
    let call = call.body(json!({ "name": "one" }));
    let proof = world.proof(&call).await;
    let (one, other) = tokio::join!(
        world.send_with(&call, &proof),
        world.send_with(&call, &proof)
    );
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 403], "{one:?} {other:?}");
    let made = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM api_keys WHERE name = 'one'");
    assert_eq!(made.fetch_one(&world.superuser.core).await.unwrap(), 1);
}
