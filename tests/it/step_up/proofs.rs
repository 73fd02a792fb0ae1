//! What a proof is good for: one request, of one person, in one session and organization, once, soon.

use clm_tests::rest::Call;
use serde_json::json;

use super::{ASSIGNMENTS, World, refused};

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_for_one_request_once() {
    let world = World::start().await;
    let grant = world.grant();
    let before = world.roles_of(world.nobody).await;
    refused(&world.rest.send(grant.clone()).await, "step_up_required");
    for none in ["", "clmsu_00", "no proof at all"] {
        refused(&world.send_with(&grant, none).await, "step_up_invalid");
    }

    let proof = world.proof(&grant).await;
    let other_body = json!({
        "user_id": world.chief.user_id, "role_id": world.role_id,
    });
    let other = Call::new("POST", ASSIGNMENTS)
        .by(&world.by())
        .body(other_body);
    refused(&world.send_with(&other, &proof).await, "step_up_invalid");
    assert_eq!(world.roles_of(world.nobody).await, before);
    assert!(!world.is_used(&proof).await);

    world.send_with(&grant, &proof).await.expect(201);
    assert!(world.is_used(&proof).await);
    assert_eq!(world.roles_of(world.nobody).await, before + 1);
    let again = world.send_with(&grant, &proof).await;
    assert_eq!((again.status, again.code()), (409, "already_assigned"));

    // A proof that was used is none, also where the act would be possible.
    let held = sqlx::query("DELETE FROM user_roles WHERE user_id = $1 AND role_id = $2")
        .bind(world.nobody)
        .bind(world.role_id);
    held.execute(&world.superuser.core).await.unwrap();
    refused(&world.send_with(&grant, &proof).await, "step_up_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_for_one_path() {
    let world = World::start().await;
    let made = world.grant();
    let made = world
        .rest
        .send_proved(made, &world.password)
        .await
        .expect(201);
    let path = format!("{ASSIGNMENTS}/{}", made.id("/id"));
    let end = |until: &str, revision: i64| {
        let call = Call::new("PATCH", &path).by(&world.by());
        let call = call.header("if-match", &format!("\"{revision}\""));
        call.body(json!({ "valid_until": until }))
    };
    // An earlier end takes nothing away from safety, and no proof.
    let (sooner, later) = ("2998-01-01T00:00:00Z", "2999-01-01T00:00:00Z");
    world.rest.send(end(sooner, 1)).await.expect(200);
    let prolong = end(later, 2);
    refused(&world.rest.send(prolong.clone()).await, "step_up_required");
    let elsewhere = [
        ("PATCH", format!("{ASSIGNMENTS}/{}", world.nobody)),
        ("PATCH", format!("{path}/")),
        ("PUT", path.clone()),
    ];
    for (method, path) in elsewhere {
        let other = Call::new(method, &path).by(&world.by());
        let proof = world
            .proof(&other.body(json!({ "valid_until": later })))
            .await;
        refused(&world.send_with(&prolong, &proof).await, "step_up_invalid");
    }
    let proof = world.proof(&prolong).await;
    let changed = world.send_with(&prolong, &proof).await.expect(200);
    assert_eq!(changed.body["valid_until"], later);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_for_one_person_session_and_organization() {
    let world = World::start().await;
    let grant = world.grant();
    let proof = world.proof(&grant).await;
    let body = json!({ "user_id": world.nobody, "role_id": world.role_id });
    let by = |credential| {
        Call::new("POST", ASSIGNMENTS)
            .by(&credential)
            .body(body.clone())
    };

    // Another session of the same person.
    let other = world
        .rest
        .sign_in("chief", &world.password, "default")
        .await;
    refused(
        &world.send_with(&by(other.credential()), &proof).await,
        "step_up_invalid",
    );
    // Somebody else with the same rights.
    let rights = clm_domain::permission::Permissions::all();
    let twin = world
        .superuser
        .insert_person(world.organization_id, "twin", &rights);
    twin.await;
    let twin = world.rest.sign_in("twin", &world.password, "default").await;
    refused(
        &world.send_with(&by(twin.credential()), &proof).await,
        "step_up_invalid",
    );
    // The same session, active elsewhere when the proof was given: told so in the row.
    let moved = "UPDATE step_up_proofs SET organization_id = uuid_generate_v4()";
    sqlx::query(moved)
        .execute(&world.superuser.core)
        .await
        .unwrap();
    refused(&world.send_with(&grant, &proof).await, "step_up_invalid");
    assert_eq!(world.roles_of(world.nobody).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_ends_and_is_cleared_away() {
    let world = World::start().await;
    let grant = world.grant();
    let proof = world.proof(&grant).await;
    let lived = "UPDATE step_up_proofs
        SET created_at = created_at - interval '5 minutes', expires_at = expires_at - interval '5 minutes'
        WHERE expires_at - created_at = interval '5 minutes'";
    let aged = sqlx::query(lived).execute(&world.superuser.core).await;
    assert_eq!(aged.unwrap().rows_affected(), 1);
    refused(&world.send_with(&grant, &proof).await, "step_up_invalid");
    assert_eq!(world.roles_of(world.nobody).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_use_a_proof_at_once_one_acts() {
    let world = World::start().await;
    let grant = world.grant();
    let proof = world.proof(&grant).await;
    let (one, other) = tokio::join!(
        world.send_with(&grant, &proof),
        world.send_with(&grant, &proof)
    );
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201, "{one:?} {other:?}");
    assert!([403, 409].contains(&statuses[1]), "{one:?} {other:?}");
    assert_eq!(world.roles_of(world.nobody).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_another_reason_leaves_the_proof_good() {
    let world = World::start().await;
    let grant = world.grant();
    let proof = world.proof(&grant).await;
    let taken = "UPDATE user_organizations SET deleted_at = now() WHERE user_id = $1";
    let given_back = "UPDATE user_organizations SET deleted_at = NULL WHERE user_id = $1";
    let run = async |statement: &'static str| {
        let statement = sqlx::query(statement).bind(world.nobody);
        statement.execute(&world.superuser.core).await.unwrap();
    };
    run(taken).await;
    let unknown = world.send_with(&grant, &proof).await;
    assert_eq!(unknown.status, 404, "{unknown:?}");
    assert!(!world.is_used(&proof).await);
    run(given_back).await;
    world.send_with(&grant, &proof).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repetition_under_the_same_key_needs_no_other_proof() {
    let world = World::start().await;
    let grant = world.grant().header("idempotency-key", "once");
    // What was refused for want of a proof is not remembered under the key.
    refused(&world.rest.send(grant.clone()).await, "step_up_required");
    let proof = world.proof(&grant).await;
    let made = world.send_with(&grant, &proof).await.expect(201);
    for again in [
        world.send_with(&grant, &proof).await,
        world.rest.send(grant.clone()).await,
        world.send_with(&grant, "clmsu_another").await,
    ] {
        assert_eq!(again.expect(201).body, made.body);
    }
    assert_eq!(world.roles_of(world.nobody).await, 2);
}
