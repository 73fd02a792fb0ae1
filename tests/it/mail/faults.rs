//! When the server of mail, or the program, breaks down in the middle.

use std::time::{Duration, Instant};

use super::smtp::Smtp;
use super::{NEW_PASSWORD, World};

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(45), "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_waits_for_its_server() {
    let mut world = World::start().await;
    let (_, email) = world.person("waiting").await;
    world.smtp.down();
    world.ask_for_reset("waiting").await.expect(202);
    let begun = Instant::now();
    loop {
        let found = world.queue(&email).await;
        if found[0].2.is_some() {
            assert_eq!(found[0].0, "pending", "{found:?}");
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(45), "{found:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let log = world.program.read_log();
    assert!(log.contains("a mail was not delivered"), "{log}");
    world.smtp.up();
    let token = world.smtp.wait_for(&email, 1).await.token("reset-password");
    world.confirm(&token, NEW_PASSWORD).await.expect(204);

    world.smtp.wait_for(&email, 2).await;
    world.settled(&email).await;

    // The server takes none for a while: each attempt makes a token of its own.
    let (_, email) = world.person("later").await;
    world.smtp.set_mode("later");
    let before = world.smtp.attempts();
    world.ask_for_reset("later").await.expect(202);
    until("it is tried again", || world.smtp.attempts() >= before + 2).await;
    world.smtp.set_mode("accept");
    let token = world.smtp.wait_for(&email, 1).await.token("reset-password");
    let over = world.settled(&email).await;
    assert!(over[0].0 == "sent" && over[0].1 >= 3, "{over:?}");
    world.confirm(&token, NEW_PASSWORD).await.expect(204);
    drop(world.program);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_good_ends_it_and_one_of_our_own_sign_in_does_not() {
    let world = World::start().await;
    let (_, email) = world.person("refused").await;
    world.smtp.set_mode("never");
    let before = world.smtp.attempts();
    world.ask_for_reset("refused").await.expect(202);
    let over = world.settled(&email).await;
    assert_eq!((over[0].0.as_str(), over[0].1), ("failed", 1), "{over:?}");
    assert!(over[0].2.as_ref().unwrap().contains("550"), "{over:?}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.smtp.attempts(), before + 1);
    drop(world);

    // A wrong password of ours is no fault of the message.
    let smtp = Smtp::start();
    let mut program = clm_tests::Program::prepare();
    program.environment = smtp.settings();
    for (name, value) in &mut program.environment {
        if name == "CLM_SMTP_URL" {
            *value = value.replace("planted", "mistaken");
        }
    }
    program.serve();
    let superuser = clm_tests::databases::Superuser::of(&program);
    sqlx::query(
        "UPDATE users SET email = 'a@people.example', email_normalized = 'a@people.example'
         WHERE username = 'admin'",
    )
    .execute(&superuser.core)
    .await
    .unwrap();
    sqlx::query("UPDATE users SET email_verified_at = now() WHERE username = 'admin'")
        .execute(&superuser.core)
        .await
        .unwrap();
    let asked = program.cli(&["user", "request-password-reset", "admin"]);
    assert!(asked.status.success(), "{asked:?}");
    let begun = Instant::now();
    let error = loop {
        let found: Option<(String, Option<String>)> =
            sqlx::query_as("SELECT status, last_error FROM notifications WHERE attempts > 0")
                .fetch_optional(&superuser.core)
                .await
                .unwrap();
        if let Some((status, Some(error))) = found {
            assert_eq!(status, "pending", "{error}");
            break error;
        }
        assert!(begun.elapsed() < Duration::from_secs(45));
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(
        error.contains("535") && !error.contains("mistaken"),
        "{error}"
    );
    assert!(!program.read_log().contains("mistaken"));
    drop(program);
}

/// Killed between the server's taking the message and our knowing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_program_leaves_its_mail_to_the_next() {
    let mut world = World::with(Smtp::start_plain()).await;
    let (_, email) = world.person("killed").await;
    world.smtp.set_mode("stall");
    world.ask_for_reset("killed").await.expect(202);
    let first = world.smtp.wait_for(&email, 1).await.token("reset-password");
    let claimed = world.queue(&email).await;
    assert_eq!(
        (claimed[0].0.as_str(), claimed[0].1),
        ("sending", 1),
        "{claimed:?}"
    );
    world.program.kill();
    world.smtp.set_mode("accept");
    world.program.serve();
    world.rest = clm_tests::rest::Rest::of(&world.program);
    world.superuser = clm_tests::databases::Superuser::of(&world.program);
    // Nobody takes it while the claim of the dead one holds.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.smtp.taken_for(&email).len(), 1);
    sqlx::query("UPDATE notifications SET next_attempt_at = now() WHERE status = 'sending'")
        .execute(&world.superuser.core)
        .await
        .unwrap();
    let second = world.smtp.wait_for(&email, 2).await;
    let over = world.settled(&email).await;
    assert_eq!((over[0].0.as_str(), over[0].1), ("sent", 2), "{over:?}");
    assert_ne!(first, second.token("reset-password"));
    // The link of the mail that nobody knew of is void, the other one works.
    let refused = world.confirm(&first, NEW_PASSWORD).await.expect(422);
    assert_eq!(refused.code(), "link_invalid");
    let token = second.token("reset-password");
    world.confirm(&token, NEW_PASSWORD).await.expect(204);
    drop(world.program);
}
