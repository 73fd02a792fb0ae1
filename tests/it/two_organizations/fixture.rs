//! Two organizations that no name tells apart, and people in one of them or in both.

use std::collections::BTreeSet;

use clm_domain::permission::Permissions;
use clm_tests::Program;
use clm_tests::databases::{Person, Superuser};
use clm_tests::rest::{Answer, Call, Credential, Rest, bearer, operator_of, signed_in};
use serde_json::{Value, json};
use uuid::Uuid;

/// How the two are called in addresses; everything else is called the same.
const SLUGS: [&str; 2] = ["twin-one", "twin-two"];

/// One of the two.
pub(super) struct Twin {
    pub(super) id: Uuid,
    pub(super) slug: &'static str,
    /// May do everything in it, and belongs to it alone.
    member: Person,
    /// The role of the member.
    role_id: Uuid,
    /// At home here, with the same rights in the other one.
    both: Person,
    /// At home here, without a role in the other one.
    visitor: Person,
}

/// Somebody who acts in the own organization.
pub(super) struct Actor {
    pub(super) what: &'static str,
    pub(super) credential: Credential,
    pub(super) belongs_to_both: bool,
}

/// What was asked in the other organization with an idempotency key.
pub(super) struct Asked {
    pub(super) path: &'static str,
    pub(super) key: String,
    pub(super) body: Value,
}

/// A running program with the two.
pub(super) struct World {
    program: Program,
    pub(super) rest: Rest,
    pub(super) superuser: Superuser,
    pub(super) own: Twin,
    pub(super) other: Twin,
    pub(super) actors: Vec<Actor>,
    pub(super) asked: Vec<Asked>,
    /// What the actors need to go on: nothing is done to it.
    pub(super) spared: BTreeSet<Uuid>,
    /// People who belong to both.
    pub(super) shared: BTreeSet<Uuid>,
    /// Tomorrow, as requests name it.
    pub(super) tomorrow: String,
}

impl Twin {
    pub(super) fn key(&self) -> Credential {
        bearer(&self.member.secret)
    }

    /// In every text of the organization that may hold one.
    pub(super) fn marker(&self) -> String {
        format!("marker-of-{}", self.slug)
    }

    async fn make(superuser: &Superuser, slug: &'static str) -> Self {
        let id = superuser.insert_organization(slug).await;
        let same_name = "UPDATE organizations SET name = 'Twin' WHERE id = $1";
        superuser.update(same_name, id).await;
        let rights = within_an_organization();
        let nothing = Permissions::none();
        let member = superuser.insert_person(id, "member", &rights).await;
        let role_id = superuser.role_of(member.user_id).await;
        let both = superuser.insert_person(id, "both", &rights).await;
        let visitor = superuser.insert_person(id, "visitor", &nothing).await;
        superuser.insert_person(id, "clerk", &nothing).await;
        let marks = "UPDATE users u SET display_name = 'marker-of-' || o.slug,
                email = 'marker-of-' || o.slug || '@example.org',
                email_normalized = 'marker-of-' || o.slug || '@example.org'
             FROM organizations o
             WHERE o.id = $1 AND u.home_organization_id = o.id AND u.username IN ('member', 'clerk')";
        superuser.update(marks, id).await;
        Self {
            id,
            slug,
            member,
            role_id,
            both,
            visitor,
        }
    }

    /// Makes those of the other organization guests here; the API key of the one who may act.
    async fn admit(&self, rest: &Rest, superuser: &Superuser, other: &Self) -> Credential {
        for guest in [&other.both, &other.visitor] {
            superuser.insert_member(self.id, guest.user_id).await;
        }
        let body = json!({ "user_id": other.both.user_id, "role_id": self.role_id });
        made(rest, &self.key(), "/api/v1/role-assignments", body).await;
        let scopes = within_an_organization();
        let key = superuser.insert_api_key(self.id, other.both.user_id, Some(&scopes));
        bearer(&key.await.1)
    }
}

impl World {
    pub(super) async fn start() -> Self {
        let mut program = Program::prepare();
        for name in ["CLM_RATE_LIMIT_PER_PRINCIPAL", "CLM_RATE_LIMIT_PER_ADDRESS"] {
            program.environment.push((name.to_owned(), "0".to_owned()));
        }
        program.serve();
        let (rest, superuser) = (Rest::of(&program), Superuser::of(&program));
        let password = program.bootstrap_text("password");
        let own = Twin::make(&superuser, SLUGS[0]).await;
        let other = Twin::make(&superuser, SLUGS[1]).await;
        for twin in [&own, &other] {
            fill(&program, twin).await;
            superuser.insert_key_rotation(twin.id).await;
            for _ in 0..2 {
                rest.sign_in("clerk", &password, twin.slug).await;
            }
        }
        let guest = own.admit(&rest, &superuser, &other).await;
        let there = other.admit(&rest, &superuser, &own).await;
        let asked = ask(&rest, &[other.key(), bearer(&other.both.secret), there]).await;
        let actors = actors(&rest, &password, [&own, &other], guest).await;
        let people = [&own.member, &own.both, &other.both].map(|person| person.user_id);
        let mut spared = spared(&superuser, &people).await;
        spared.insert(own.visitor.user_id);
        let shared = [&own.both, &own.visitor, &other.both, &other.visitor];
        let shared = shared.map(|person| person.user_id).into();
        let tomorrow = sqlx::query_scalar(
            "SELECT to_char(now() AT TIME ZONE 'UTC' + interval '1 day', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
        );
        let tomorrow: String = tomorrow.fetch_one(&superuser.core).await.unwrap();
        superuser.settle().await;
        Self {
            program,
            rest,
            superuser,
            own,
            other,
            actors,
            asked,
            spared,
            shared,
            tomorrow,
        }
    }

    /// Ends the program.
    pub(super) fn stop(mut self) {
        assert!(self.program.stop("TERM"), "{}", self.program.read_log());
    }
}

/// Every right that can be held in an organization.
fn within_an_organization() -> Permissions {
    Permissions::all()
        .iter()
        .filter(|one| !one.0.is_of_installation())
        .collect()
}

async fn made(rest: &Rest, key: &Credential, path: &str, body: Value) -> Answer {
    let call = Call::new("POST", path).by(key).body(body);
    rest.send(call).await.expect(201)
}

/// One of everything, and more of what can be taken away.
async fn fill(program: &Program, twin: &Twin) {
    let (rest, machine) = (&Rest::of(program), Rest::of_operator(program));
    let (key, marker) = (twin.key(), twin.marker());
    // API keys make no authorities.
    let operator = operator_of(twin.slug);
    let authorities = "/api/v1/certificate-authorities";
    let root = json!({
        "name": "Twin Root", "subject": "CN=Twin Root", "key_algorithm": "ecdsa-p256",
        "validity_days": 3650,
    });
    let root = made(&machine, &operator, authorities, root).await.id("/id");
    let issuing = json!({
        "name": "Twin Issuing", "subject": "CN=Twin Issuing", "parent_id": root,
        "key_algorithm": "ecdsa-p256", "validity_days": 1825, "path_length_max": 0,
    });
    let issuing = made(&machine, &operator, authorities, issuing)
        .await
        .id("/id");
    let request = json!({
        "key_algorithm": "ecdsa-p256", "certificate_authority_id": issuing,
        "subject_alternative_names": ["DNS:twin.example"], "tags": [marker],
        "custom_fields": { "note": marker },
    });
    for _ in 0..3 {
        made(rest, &key, "/api/v1/certificate-requests", request.clone()).await;
    }
    for code in ["HELD", "UNUSED", "FURTHER"] {
        let role = json!({
            "role_code": code, "role_name": code, "permissions": { "certificate": ["read"] },
            "description": marker,
        });
        let role_id = made(rest, &key, "/api/v1/roles", role).await.id("/id");
        let user = json!({
            "username": format!("clerk-{code}"), "display_name": marker,
            "email": format!("{marker}-{code}@example.org"),
        });
        let made_user = made(rest, &key, "/api/v1/users", user).await;
        let user_id = &made_user.body["user"]["id"];
        let assignment = json!({ "user_id": user_id, "role_id": role_id, "reason": marker });
        made(rest, &key, "/api/v1/role-assignments", assignment).await;
        let invitation = json!({ "email": format!("{marker}-{code}@example.com") });
        made(rest, &key, "/api/v1/invitations", invitation).await;
        made(rest, &key, "/api/v1/api-keys", json!({ "name": "deploy" })).await;
    }
    let service = json!({ "username": "service", "user_type": "service" });
    made(rest, &key, "/api/v1/users", service).await;
}

/// Has things made in the other organization with idempotency keys, by each of these, two of whom may
/// act in the own one as well.
async fn ask(rest: &Rest, credentials: &[Credential]) -> Vec<Asked> {
    let mut asked = Vec::new();
    for (index, credential) in credentials.iter().enumerate() {
        let wishes = [
            ("/api/v1/api-keys", json!({ "name": "twice" })),
            (
                "/api/v1/roles",
                json!({ "role_code": format!("TWICE_{index}"), "role_name": "Twice", "permissions": {} }),
            ),
            (
                "/api/v1/users",
                json!({ "username": format!("twice-{index}") }),
            ),
            (
                "/api/v1/invitations",
                json!({ "email": format!("twice-{index}@example.org") }),
            ),
            (
                "/api/v1/certificate-requests",
                json!({ "key_algorithm": "ecdsa-p256", "subject_alternative_names": ["DNS:twice.example"] }),
            ),
        ];
        for (path, body) in wishes {
            let key = format!("twice-{index}");
            let call = Call::new("POST", path)
                .by(credential)
                .header("idempotency-key", &key);
            rest.send(call.body(body.clone())).await.expect(201);
            asked.push(Asked { path, key, body });
        }
    }
    asked
}

/// Everybody who acts, each with a credential of the own organization.
async fn actors(
    rest: &Rest,
    password: &str,
    [own, other]: [&Twin; 2],
    guest: Credential,
) -> Vec<Actor> {
    let member = rest.sign_in("member", password, own.slug).await;
    let both = rest.sign_in("both", password, own.slug).await;
    let visiting = rest.sign_in("both", password, other.slug).await;
    let change = Call::new("PUT", "/api/v1/sessions/current/organization")
        .by(&visiting.credential())
        .body(json!({ "organization": own.slug }));
    let visiting = signed_in(&rest.send(change).await.expect(200));
    let actor = |what, credential, belongs_to_both| Actor {
        what,
        credential,
        belongs_to_both,
    };
    vec![
        actor("a member's key", own.key(), false),
        actor("a member's session", member.credential(), false),
        actor("the key of one of both", bearer(&own.both.secret), true),
        actor("the session of one of both", both.credential(), true),
        actor("a guest's key", guest, true),
        actor("a guest's session", visiting.credential(), true),
    ]
}

/// Accounts, credentials, roles and their assignments.
async fn spared(superuser: &Superuser, people: &[Uuid]) -> BTreeSet<Uuid> {
    let found = sqlx::query_scalar(
        "SELECT id FROM users WHERE id = ANY ($1)
         UNION SELECT id FROM api_keys WHERE user_id = ANY ($1)
         UNION SELECT id FROM sessions WHERE user_id = ANY ($1)
         UNION SELECT id FROM user_roles WHERE user_id = ANY ($1)
         UNION SELECT role_id FROM user_roles WHERE user_id = ANY ($1)",
    );
    let found: Vec<Uuid> = found.bind(people).fetch_all(&superuser.core).await.unwrap();
    found.into_iter().collect()
}
