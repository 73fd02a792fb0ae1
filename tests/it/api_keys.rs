//! API keys: from where they may be used, for whom they are made, and what comes in their place.

use clm_domain::permission::{Action, Permissions, Resource};
use clm_tests::Program;
use clm_tests::databases::{Log, Person, Superuser};
use clm_tests::rest::{Answer, Call, Rest, bearer};
use serde_json::{Value, json};
use uuid::Uuid;

const KEYS: &str = "/api/v1/api-keys";

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

    async fn post(&self, secret: &str, path: &str, body: Value) -> Answer {
        let call = Call::new("POST", path).by(&bearer(secret)).body(body);
        self.rest.send(call).await
    }

    async fn create(&self, secret: &str, body: Value) -> Answer {
        self.post(secret, KEYS, body).await
    }

    async fn status(&self, secret: &str) -> u16 {
        let call = Call::new("GET", "/api/v1/whoami").by(&bearer(secret));
        self.rest.send(call).await.status
    }

    async fn service_account(&self, name: &str, rights: &Permissions) -> Uuid {
        let made = self
            .superuser
            .insert_person(self.organization_id, name, rights)
            .await;
        let service = "UPDATE users SET user_type = 'service', password_hash = NULL WHERE id = $1";
        self.superuser.update(service, made.user_id).await;
        made.user_id
    }
}

fn secret(answer: &Answer) -> String {
    answer.body["secret"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_used_from_its_networks_alone() {
    let world = World::start().await;
    let admin = &world.administrator.secret;
    let here = json!({ "name": "here", "allowed_networks": ["127.0.0.5/8", "2001:db8::1"] });
    let here = world.create(admin, here).await.expect(201);
    let networks = &here.body["api_key"]["allowed_networks"];
    assert_eq!(*networks, json!(["127.0.0.0/8", "2001:db8::1/128"]));
    assert_eq!(world.status(&secret(&here)).await, 200);

    let elsewhere = json!({ "name": "elsewhere", "allowed_networks": ["192.0.2.0/24"] });
    let elsewhere = world.create(admin, elsewhere).await.expect(201);
    // The caller hears what a stranger hears; the log knows, once.
    let unknown = Call::new("GET", "/api/v1/whoami").by(&bearer("clm_none"));
    let unknown = world
        .rest
        .send(unknown)
        .await
        .expect(401)
        .without_request_id();
    let before = world.superuser.audit_count(Log::Core).await;
    for _ in 0..3 {
        let call = Call::new("GET", "/api/v1/whoami").by(&bearer(&secret(&elsewhere)));
        let refused = world.rest.send(call).await.expect(401);
        assert_eq!(refused.without_request_id(), unknown);
    }
    assert_eq!(world.superuser.audit_count(Log::Core).await, before + 1);

    // A key makes none that reaches further than itself.
    let inherited = world
        .create(&secret(&here), json!({ "name": "child" }))
        .await;
    assert_eq!(
        inherited.expect(201).body["api_key"]["allowed_networks"],
        *networks
    );
    let wider = json!({ "name": "wider", "allowed_networks": ["127.0.0.0/8", "10.0.0.0/8"] });
    let refused = world.create(&secret(&here), wider).await.expect(422);
    assert_eq!(refused.code(), "networks_beyond_own");
    for bad in [
        json!([]),
        json!(["localhost"]),
        json!(["10.0.0.0/40"]),
        json!(vec!["10.0.0.1"; 51]),
    ] {
        let body = json!({ "name": "bad", "allowed_networks": bad });
        let refused = world.create(admin, body).await.expect(422);
        assert_eq!(refused.code(), "allowed_networks_invalid", "{bad}");
        assert_eq!(refused.body["errors"][0]["field"], "allowed_networks");
    }
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_goes_on_for_the_overlap() {
    let world = World::start().await;
    let admin = &world.administrator.secret;
    let asked = json!({
        "name": "ci", "scopes": { "certificate": ["list"] }, "allowed_networks": ["127.0.0.1"],
        "expires_at": "2999-01-01T00:00:00Z",
    });
    let old = world.create(admin, asked).await.expect(201);
    let rotate = |answer: &Answer| format!("{KEYS}/{}/rotate", answer.id("/api_key/id"));
    let new = world
        .post(admin, &rotate(&old), json!({}))
        .await
        .expect(201);
    let record = &new.body["api_key"];
    assert_eq!(
        record["replaces_api_key_id"],
        old.id("/api_key/id").to_string()
    );
    for field in ["name", "scopes", "allowed_networks", "user_id"] {
        assert_eq!(record[field], old.body["api_key"][field], "{field}");
    }
    let ends = record["expires_at"].as_str().unwrap();
    assert!(ends.starts_with("299"), "as long as the old one: {ends}");
    assert_eq!(world.status(&secret(&old)).await, 200);
    assert_eq!(world.status(&secret(&new)).await, 200);
    // Without an overlap the old one is over.
    let third = world
        .post(admin, &rotate(&new), json!({ "overlap_seconds": 0 }))
        .await
        .expect(201);
    assert_eq!(world.status(&secret(&new)).await, 401);
    assert_eq!(world.status(&secret(&third)).await, 200);
    let refused = world
        .post(admin, &rotate(&new), json!({}))
        .await
        .expect(409);
    assert_eq!(refused.code(), "api_key_over");
    for seconds in [-1, 30 * 86_400 + 1, i64::MAX] {
        let body = json!({ "overlap_seconds": seconds });
        let refused = world.post(admin, &rotate(&third), body).await.expect(422);
        assert_eq!(refused.code(), "overlap_out_of_range");
    }
    // A narrow key replaces itself, and gets no wider.
    let own = world
        .superuser
        .insert_api_key(
            world.organization_id,
            world.administrator.user_id,
            Some(&[(Resource::ApiKey, Action::Create)].into_iter().collect()),
        )
        .await;
    let itself = format!("{KEYS}/{}/rotate", own.0);
    let next = world.post(&own.1, &itself, json!({})).await.expect(201);
    assert_eq!(
        next.body["api_key"]["scopes"],
        json!({ "api_key": ["create"] })
    );
    let wider = world.post(&secret(&next), &rotate(&third), json!({})).await;
    assert_eq!(wider.expect(422).code(), "scopes_beyond_rights");
    // Another person's key is none of one's business, whatever one administers.
    let other = world
        .superuser
        .insert_person(world.organization_id, "ada", &Permissions::none())
        .await;
    let path = format!("{KEYS}/{}/rotate", other.api_key_id);
    world.post(admin, &path, json!({})).await.expect(404);
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn service_accounts_have_keys_made_for_them() {
    let world = World::start().await;
    let admin = &world.administrator.secret;
    let lists: Permissions = [(Resource::Certificate, Action::List)]
        .into_iter()
        .collect();
    let robot = world.service_account("robot", &lists).await;
    let made = world
        .create(admin, json!({ "name": "deploy", "user_id": robot }))
        .await;
    let made = made.expect(201);
    assert_eq!(made.body["api_key"]["user_id"], robot.to_string());
    let who = Call::new("GET", "/api/v1/whoami").by(&bearer(&secret(&made)));
    let who = world.rest.send(who).await.expect(200);
    assert_eq!(who.body["username"], "robot");
    assert_eq!(who.body["permissions"], json!({ "certificate": ["list"] }));
    let path = format!("{KEYS}/{}/rotate", made.id("/api_key/id"));
    world.post(admin, &path, json!({})).await.expect(201);
    // It is narrowed to what its maker may do, whatever the account is given later.
    assert!(made.body["api_key"]["scopes"].is_object());

    // A person's key is made by that person alone; unknown and foreign accounts look the same.
    let elsewhere = world.superuser.insert_organization("elsewhere").await;
    let foreign = world
        .superuser
        .insert_person(elsewhere, "foreign", &Permissions::none())
        .await;
    let mut answers = Vec::new();
    for user_id in [
        world
            .superuser
            .insert_person(world.organization_id, "ada", &lists)
            .await
            .user_id,
        foreign.user_id,
        Uuid::from_u128(7),
    ] {
        let body = json!({ "name": "x", "user_id": user_id });
        let refused = world.create(admin, body).await.expect(404);
        answers.push(refused.without_request_id());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");

    drop(world.program);
}

/// Whoever has the key can do what the account may do.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_accounts_key_takes_all_that_it_gives() {
    let world = World::start().await;
    let lists: Permissions = [(Resource::Certificate, Action::List)]
        .into_iter()
        .collect();
    let robot = world.service_account("robot", &lists).await;
    let body = json!({ "name": "deploy", "user_id": robot });
    let made = world
        .create(&world.administrator.secret, body.clone())
        .await
        .expect(201);
    let path = format!("{KEYS}/{}/rotate", made.id("/api_key/id"));
    let rights = [
        (Resource::ApiKey, Action::Create),
        (Resource::User, Action::Update),
    ];
    let clerk = world
        .superuser
        .insert_person(
            world.organization_id,
            "clerk",
            &rights.into_iter().collect(),
        )
        .await;
    let refused = world.create(&clerk.secret, body.clone()).await.expect(422);
    assert_eq!(refused.code(), "permissions_beyond_rights");
    world
        .post(&clerk.secret, &path, json!({}))
        .await
        .expect(422);
    let without = [
        (Resource::ApiKey, Action::Create),
        (Resource::Certificate, Action::List),
    ];
    let peer = world
        .superuser
        .insert_person(
            world.organization_id,
            "peer",
            &without.into_iter().collect(),
        )
        .await;
    world.create(&peer.secret, body).await.expect(403);
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_binds_a_new_key_binds_the_one_in_its_place() {
    let world = World::start().await;
    let admin = &world.administrator.secret;
    let endless = world.create(admin, json!({ "name": "endless" })).await;
    let endless = endless.expect(201);
    let rotate = format!("{KEYS}/{}/rotate", endless.id("/api_key/id"));
    // By a key that is bound to networks, none becomes free of them.
    let bound = json!({ "name": "bound", "allowed_networks": ["127.0.0.0/8"] });
    let bound = world.create(admin, bound).await.expect(201);
    let new = world.post(&secret(&bound), &rotate, json!({})).await;
    let networks = new.expect(201).body["api_key"]["allowed_networks"].clone();
    assert_eq!(networks, json!(["127.0.0.0/8"]));
    // What the organization allows counts for rotations as well.
    let limit = "UPDATE organizations SET settings = '{\"api_key_days_max\": 7}' WHERE id = $1";
    world.superuser.update(limit, world.organization_id).await;
    let late = json!({ "expires_at": "2099-01-01T00:00:00Z" });
    let late = world.post(admin, &rotate, late).await.expect(422);
    assert_eq!(late.code(), "expires_at_too_late");
    let new = world.post(admin, &rotate, json!({})).await.expect(201);
    assert!(new.body["api_key"]["expires_at"].is_string(), "{new:?}");
    drop(world.program);
}
