//! What somebody learns who asks for other people's links: nothing.

use std::time::{Duration, Instant};

use clm_domain::permission::Permissions;
use clm_tests::rest::NOBODY;
use serde_json::json;

use super::{RESETS, World};

/// Answers come after so long at least, whoever is meant.
const ANSWER_AFTER: Duration = Duration::from_millis(250);

#[tokio::test(flavor = "multi_thread")]
async fn answers_do_not_tell_who_is_known_and_only_verified_persons_get_mail() {
    let world = World::start().await;
    let (known, email) = world.person("known").await;
    who_gets_none(&world).await;

    let mut answers = Vec::new();
    for name in [
        "known",
        "nobody",
        "unverified",
        "addressless",
        "suspended",
        "deleted",
        "service",
        "passwordless",
        "foreigner",
        "",
        "\u{0}",
        "unverified@people.example",
        "a' OR 1=1 --",
    ] {
        let begun = Instant::now();
        let answer = world.ask_for_reset(name).await.expect(202);
        assert!(
            begun.elapsed() >= ANSWER_AFTER,
            "{name}: {:?}",
            begun.elapsed()
        );
        let mut headers: Vec<String> = answer.headers.keys().map(ToString::to_string).collect();
        headers.sort();
        answers.push((answer.text.clone(), headers));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");

    world.smtp.wait_for(&email, 1).await;
    world.settled(&email).await;
    assert_eq!(world.smtp.taken().len(), 1, "{:?}", world.smtp.taken());
    the_log_alone_tells_why(&world).await;
    mails_are_few(&world, known.user_id, &email).await;
    drop(world.program);
}

/// People to whom no link goes, for each reason that there is.
async fn who_gets_none(world: &World) {
    for (name, change) in [
        (
            "unverified",
            "UPDATE users SET email_verified_at = NULL WHERE id = $1",
        ),
        (
            "addressless",
            "UPDATE users SET email = NULL, email_normalized = NULL WHERE id = $1",
        ),
        (
            "suspended",
            "UPDATE users SET status = 'suspended' WHERE id = $1",
        ),
        (
            "deleted",
            "UPDATE users SET deleted_at = now() WHERE id = $1",
        ),
        (
            "service",
            "UPDATE users SET user_type = 'service', password_hash = NULL WHERE id = $1",
        ),
        (
            "passwordless",
            "UPDATE users SET password_hash = NULL WHERE id = $1",
        ),
    ] {
        let (person, _) = world.person(name).await;
        world.superuser.update(change, person.user_id).await;
    }
    // The name of somebody of another organization, where this one is asked for.
    let foreign = world.superuser.insert_organization("foreign").await;
    world
        .superuser
        .insert_person(foreign, "foreigner", &Permissions::none())
        .await;
}

/// Of all who were asked for one got a mail, and nothing that was typed is kept.
async fn the_log_alone_tells_why(world: &World) {
    let count = "SELECT count(*) FROM notifications";
    let ordered: i64 = sqlx::query_scalar(count)
        .fetch_one(&world.superuser.core)
        .await
        .unwrap();
    assert_eq!(ordered, 1);
    for (reason, times) in [
        (None, 1),
        (Some("unknown_user"), 7),
        (Some("email_not_verified"), 2),
        (Some("user_not_active"), 1),
        (Some("service_account"), 1),
        (Some("no_password"), 1),
    ] {
        let found = world.events("password_reset.requested", reason).await;
        assert_eq!(found, times, "{reason:?}");
    }
    let typed: i64 =
        sqlx::query_scalar("SELECT count(*) FROM audit_log WHERE audit_log::text LIKE '%OR 1=1%'")
            .fetch_one(&world.superuser.core)
            .await
            .unwrap();
    assert_eq!(typed, 0, "nothing that was typed is kept");
    assert!(!world.program.read_log().contains("OR 1=1"));
}

/// One within a minute, five within a day; the answers do not tell that either.
async fn mails_are_few(world: &World, user_id: uuid::Uuid, email: &str) {
    world.ask_for_reset("known").await.expect(202);
    for _ in 2..=5 {
        world.age_mails(user_id, "2 minutes").await;
        world.ask_for_reset(email).await.expect(202);
    }
    world.age_mails(user_id, "2 minutes").await;
    let sixth = world.ask_for_reset("known").await.expect(202);
    assert_eq!(sixth.text, "");
    world.smtp.wait_for(email, 5).await;
    world.settled(email).await;
    assert_eq!(world.queue(email).await.len(), 5);
    assert_eq!(
        world
            .events("password_reset.requested", Some("too_many_mails"))
            .await,
        2
    );
    // The address asks too often, and hears so; whom it asks for does not matter.
    let mut status = 0;
    for _ in 0..20 {
        let body = json!({ "username": "nobody" });
        status = world.call(&NOBODY, "POST", RESETS, body).await.status;
        if status == 429 {
            break;
        }
    }
    assert_eq!(status, 429);
}

/// Without a server of mail everything else is as before.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_it_says_so() {
    let program = clm_tests::Program::start();
    let rest = clm_tests::rest::Rest::of(&program);
    let body = json!({ "username": "admin" });
    let call = clm_tests::rest::Call::new("POST", RESETS).body(body);
    let refused = rest.send(call).await.expect(409);
    assert_eq!(refused.code(), "mail_not_configured");
    let signed_in = rest
        .sign_in("admin", &program.bootstrap_text("password"), "default")
        .await;
    let call = clm_tests::rest::Call::new("POST", super::VERIFY).by(&signed_in.credential());
    assert_eq!(
        rest.send(call).await.expect(409).code(),
        "mail_not_configured"
    );
    drop(program);
}
