//! The cases about second factors, and what takes one. Each has a person of its own: a code is good
//! once.

use clm_domain::permission::Permissions;
use clm_tests::rest::{Call, SignedIn, goes_on};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Attempt, Concerned, World, by_key, by_session, known, own_authority, person, session};
use crate::support::authenticator::Authenticator;

const TOTP: &str = "/api/v1/users/me/totp";
const ACTIVATE: &str = "/api/v1/users/me/totp/activate";
const REMOVE: &str = "/api/v1/users/me/totp/remove";
const BACKUP_CODES: &str = "/api/v1/users/me/totp/backup-codes";
const PASS: &str = "/api/v1/sessions/current/second-factor";
const STEP_UP: &str = "/api/v1/step-up";
const AUTHORITIES: &str = "/api/v1/certificate-authorities";
const LIMITS: &str = "/api/v1/certificate-authorities/{certificate_authority_id}/limits";

/// Whether these cases are about the operation.
pub(super) fn is_about(path: &str) -> bool {
    [TOTP, ACTIVATE, BACKUP_CODES, PASS, REMOVE, STEP_UP, LIMITS].contains(&path)
}

/// What makes the operation succeed.
pub(super) async fn good(world: &World, attempt: Attempt) -> Attempt {
    let somebody = person(world, &Permissions::all()).await;
    let signed_in = session(world, &somebody).await;
    let who = by_session(somebody.user_id, &signed_in, world.tenant.organization_id);
    let path = attempt.path.clone();
    let mut attempt = attempt
        .by(signed_in.credential(), who)
        .about(known(somebody.user_id));
    if path == TOTP {
        return attempt;
    }
    let device = enrol(world, &signed_in).await;
    let now = now(world).await;
    if path == ACTIVATE {
        attempt.body = Some(json!({ "code": device.code_at(now) }));
        return attempt;
    }
    let signed_in = activate(world, &signed_in, &device, now).await;
    attempt.credential = signed_in.credential();
    // The next one, which a device that is a little early shows already.
    let code = device.code_at(now + 30);
    if path == PASS {
        attempt = attempt.about(known(signed_in.session_id));
    }
    if [REMOVE, BACKUP_CODES, PASS].contains(&path.as_str()) {
        attempt.body = Some(json!({ "code": code }));
        return attempt;
    }
    let (id, limits) = authority(world).await;
    let request = step_up(id, &code, &limits);
    if path == STEP_UP {
        attempt.body = Some(request);
        return attempt;
    }
    let proof = prove(world, &signed_in, request).await;
    attempt.headers = vec![("if-match", "\"1\"".to_owned()), ("clm-step-up", proof)];
    attempt
        .on(format!("{AUTHORITIES}/{id}/limits"))
        .with(json!({ "limits": limits, "reason": "audited" }), known(id))
}

/// The cases of these operations alone.
pub(super) async fn special(world: &World, mut attempt: Attempt, case: &str) -> Attempt {
    let concerned = attempt.concerned;
    match case {
        "in force already" => {
            let enrolled = world.rest.send(attempt.call()).await.expect(201);
            let device = Authenticator::read(enrolled.body["uri"].as_str().unwrap());
            let code = json!({ "code": device.code_at(now(world).await) });
            let activation = Call::new("POST", ACTIVATE).by(&attempt.credential);
            let answer = world.rest.send(activation.body(code)).await.expect(200);
            attempt.credential = goes_on(&answer).credential();
            attempt
        }
        "by API key" => {
            let who = by_key(&world.tenant.administrator, world.tenant.organization_id);
            attempt
                .by(world.tenant.key(), who)
                .about(Concerned::Nothing)
        }
        "wrong code" => {
            let body = attempt.body.as_ref().unwrap();
            let right: u32 = body["code"].as_str().unwrap().parse().unwrap();
            // One in a few hundred thousand that it is right a step later.
            let wrong = format!("{:06}", (right + 123_457) % 1_000_000);
            attempt.but("code", wrong.into()).about(concerned)
        }
        "without proof" => {
            attempt.headers.retain(|(name, _)| *name == "if-match");
            attempt
        }
        "proof of another change" => attempt.but("reason", "another".into()).about(concerned),
        "without If-Match" => {
            attempt.headers.retain(|(name, _)| *name != "if-match");
            attempt
        }
        _ => panic!("how does the case '{case}' come about?"),
    }
}

async fn now(world: &World) -> i64 {
    sqlx::query_scalar("SELECT floor(extract(epoch FROM now()))::bigint")
        .fetch_one(&world.superuser.core)
        .await
        .unwrap()
}

async fn enrol(world: &World, signed_in: &SignedIn) -> Authenticator {
    let call = Call::new("POST", TOTP).by(&signed_in.credential());
    let enrolled = world.rest.send(call).await.expect(201);
    Authenticator::read(enrolled.body["uri"].as_str().unwrap())
}

/// The session that goes on with new secrets once a second factor is in force.
async fn activate(
    world: &World,
    signed_in: &SignedIn,
    device: &Authenticator,
    now: i64,
) -> SignedIn {
    let call = Call::new("POST", ACTIVATE)
        .by(&signed_in.credential())
        .body(json!({ "code": device.code_at(now) }));
    goes_on(&world.rest.send(call).await.expect(200))
}

/// A certificate authority, and limits that are narrower than its own.
async fn authority(world: &World) -> (Uuid, Value) {
    let id = own_authority(world, |_| {}).await;
    let call = Call::new("GET", &format!("{AUTHORITIES}/{id}")).by(&world.tenant.key());
    let mut limits = world.rest.send(call).await.expect(200).body["limits"].clone();
    limits["validity_seconds_max"] = 3_600.into();
    (id, limits)
}

fn step_up(id: Uuid, code: &str, limits: &Value) -> Value {
    json!({
        "code": code,
        "request": {
            "operation": "change_issuer_limits", "certificate_authority_id": id, "revision": 1,
            "limits": limits, "reason": "audited",
        },
    })
}

async fn prove(world: &World, signed_in: &SignedIn, request: Value) -> String {
    let call = Call::new("POST", STEP_UP)
        .by(&signed_in.credential())
        .body(request);
    let proved = world.rest.send(call).await.expect(201);
    proved.body["proof"].as_str().unwrap().to_owned()
}
