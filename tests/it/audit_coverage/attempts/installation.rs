//! The cases about the master key and its seal.

use std::path::Path;

use clm_tests::rest::{Answer, Call};
use serde_json::{Value, json};

use super::{Attempt, Concerned, UNKNOWN, World};

const SHARES: &str = "/api/v1/master-key/shares";
const ROTATIONS: &str = "/api/v1/master-key/rotations";
const UNSEAL: &str = "/api/v1/unseal";
const SEAL: &str = "/api/v1/seal";
const ID: Concerned = Concerned::InAnswer("/master_key_id");

pub(super) fn is_about(path: &str) -> bool {
    path.starts_with("/api/v1/master-key") || [UNSEAL, SEAL].contains(&path)
}

/// What makes the operation succeed.
pub(super) async fn good(world: &World, attempt: Attempt) -> Attempt {
    match (attempt.method, attempt.path.as_str()) {
        (_, SHARES) => attempt.with(
            json!({ "threshold": 2, "shares": 3 }),
            Concerned::InAnswer("/share_set_id"),
        ),
        (_, ROTATIONS) => {
            let body = json!({
                "provider": "file", "rotation_type": "manual", "reason": "audited",
            });
            attempt.with(body, Concerned::InAnswer("/id"))
        }
        (_, "/api/v1/master-key/backup-confirmation") => {
            let key = send(world, "GET", "/api/v1/master-key", None)
                .await
                .expect(200);
            let place = key.body["place"].as_str().expect("it is in a file");
            let value = clm_secure::check_value_of_copy(Path::new(place)).expect("it is a key");
            attempt.with(
                json!({ "check_value": hex::encode(value) }),
                Concerned::InAnswer("/id"),
            )
        }
        (_, SEAL) => {
            open(world).await;
            attempt.with(json!({ "force": true }), ID)
        }
        ("DELETE", UNSEAL) => attempt.about(ID),
        (_, UNSEAL) => {
            open(world).await;
            let force = json!({ "force": true });
            send(world, "POST", SEAL, Some(force)).await.expect(200);
            attempt.with(json!({ "share": share(world, 0) }), ID)
        }
        (_, path) => panic!("how does {path} succeed?"),
    }
}

/// The cases of these operations alone.
pub(super) async fn special(world: &World, attempt: Attempt, case: &str) -> Attempt {
    match case {
        "out of range" => attempt.but("threshold", 1.into()),
        "without next key" => attempt.but("provider", "environment".into()),
        "unknown shares" => attempt
            .but("provider", "shamir".into())
            .but("share_set_id", UNKNOWN.into()),
        "without reason" => attempt.but("reason", "".into()),
        "another key" => attempt.but("check_value", "00".repeat(32).into()),
        "no share" => attempt.but("share", "no share".into()),
        "unproved" => attempt.but("force", false.into()).about(Concerned::Nothing),
        "given already" => {
            give(world, 0).await;
            attempt.about(Concerned::Nothing)
        }
        "the last one" => {
            give(world, 1).await;
            attempt
        }
        "not split" => {
            let body = json!({ "provider": "file", "rotation_type": "manual" });
            send(world, "POST", ROTATIONS, Some(body)).await.expect(201);
            world.shares.lock().expect("nobody panicked").clear();
            attempt.about(Concerned::Nothing)
        }
        "not sealed" => {
            open(world).await;
            attempt.about(Concerned::Nothing)
        }
        _ => panic!("how does the case '{case}' come about?"),
    }
}

/// The master key is split from now on, and open.
async fn open(world: &World) {
    let is_split = !world.shares.lock().expect("nobody panicked").is_empty();
    if !is_split {
        let body = json!({ "threshold": 2, "shares": 3 });
        let made = send(world, "POST", SHARES, Some(body)).await.expect(201);
        let shares = made.body["shares"]
            .as_array()
            .expect("they are shown")
            .iter();
        let texts = shares.map(|share| share["text"].as_str().expect("it is text").to_owned());
        *world.shares.lock().expect("nobody panicked") = texts.collect();
        let body = json!({
            "provider": "shamir", "rotation_type": "manual",
            "share_set_id": made.body["share_set_id"],
        });
        send(world, "POST", ROTATIONS, Some(body)).await.expect(201);
        return;
    }
    let status = send(world, "GET", "/api/v1/seal-status", None)
        .await
        .expect(200);
    if status.body["sealed"] == true {
        send(world, "DELETE", UNSEAL, None).await.expect(200);
        give(world, 0).await;
        give(world, 1).await;
    }
}

async fn give(world: &World, index: usize) {
    let body = json!({ "share": share(world, index) });
    send(world, "POST", UNSEAL, Some(body)).await.expect(200);
}

fn share(world: &World, index: usize) -> String {
    world.shares.lock().expect("nobody panicked")[index].clone()
}

async fn send(world: &World, method: &'static str, path: &str, body: Option<Value>) -> Answer {
    let call = Call::new(method, path).by(&world.tenant.key());
    world.rest.send(call.maybe_body(body)).await
}
