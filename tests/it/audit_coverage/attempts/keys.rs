//! The cases about encryption keys and their rotation.

use clm_tests::rest::Call;
use clm_tests::tenant::Object;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Attempt, Concerned, World, in_new_organization, known};

const ROTATIONS: &str = "/api/v1/key-rotations";

/// What makes the operation succeed.
pub(super) async fn good(world: &World, attempt: Attempt) -> Attempt {
    let tenant = &world.tenant;
    match attempt.path.as_str() {
        "/api/v1/key-rotation-schedule" => {
            attempt.with(json!({ "days": 90 }), Concerned::InAnswer("/id"))
        }
        ROTATIONS => attempt.with(rotation("manual"), Concerned::InAnswer("/id")),
        "/api/v1/key-rotations/{key_rotation_id}/cancel" => {
            let id = start(world, "emergency").await;
            attempt.on(cancel(id)).about(known(id))
        }
        "/api/v1/encryption-keys/erase" => attempt.with(
            json!({ "organization": tenant.slug, "reason": "audited" }),
            known(tenant.organization_id),
        ),
        path => panic!("how does {path} succeed?"),
    }
}

/// The cases of these operations alone.
pub(super) async fn special(world: &World, attempt: Attempt, case: &str) -> Attempt {
    let concerned = attempt.concerned;
    match case {
        "out of range" => attempt.but("days", 0.into()),
        "no throttle" => attempt.but("items_per_second_max", 0.into()),
        "while another one runs" => {
            start(world, "manual").await;
            attempt.about(Concerned::Nothing)
        }
        "without a key" => in_new_organization(world, attempt)
            .await
            .about(Concerned::Nothing),
        "cancelled already" => {
            let _ = world.rest.send(attempt.call()).await.expect(200);
            attempt
        }
        "ended" => {
            let id = world.tenant.object(Object::KeyRotation);
            attempt.on(cancel(id)).about(known(id))
        }
        "compromised" => {
            world.superuser.finish_rotations().await;
            let id = start(world, "compromise").await;
            attempt.on(cancel(id)).about(known(id))
        }
        "another organization's slug" => {
            attempt.but("organization", "other".into()).about(concerned)
        }
        "without reason" => attempt.but("reason", "".into()).about(concerned),
        _ => panic!("how does the case '{case}' come about?"),
    }
}

fn rotation(rotation_type: &str) -> Value {
    json!({ "rotation_type": rotation_type, "reason": "audited" })
}

fn cancel(id: Uuid) -> String {
    format!("{ROTATIONS}/{id}/cancel")
}

async fn start(world: &World, rotation_type: &str) -> Uuid {
    let call = Call::new("POST", ROTATIONS).by(&world.tenant.key());
    let call = call.body(rotation(rotation_type));
    world.rest.send(call).await.expect(201).id("/id")
}
