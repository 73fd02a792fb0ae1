//! A forgotten password: from asking to signing in with another one.

use clm_tests::rest::{Call, bearer};
use serde_json::{Value, json};

use super::smtp::{Mail, PASSWORD};
use super::{NEW_PASSWORD, RESETS, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_password_is_replaced_by_the_link_in_the_mail() {
    let world = World::start().await;
    let (person, email) = world.person("forgetful").await;
    let first = world.program.bootstrap_text("password");
    let session = world.rest.sign_in("forgetful", &first, "default").await;

    // Whatever the request says about hosts, the link begins with the operator's word.
    let body = json!({ "username": " Forgetful ", "organization": "default" });
    let call = Call::new("POST", RESETS)
        .body(body)
        .header("x-forwarded-host", "evil.example")
        .header("forwarded", "host=evil.example")
        .header("x-original-url", "https://evil.example/");
    let asked = world.rest.send(call).await.expect(202);
    assert_eq!(asked.text, "");
    let mail = world.smtp.wait_for(&email, 1).await;
    let token = mail.token("reset-password");
    assert!(
        token.starts_with("clm_link_") && token.len() == 9 + 43,
        "{token}"
    );
    says_what_it_is(&mail);

    // A password that is refused leaves the link good.
    for (refused, code) in [
        ("short", "password_too_short"),
        ("forgetful@people.example", "password_too_guessable"),
        (first.as_str(), "password_reused"),
    ] {
        let answer = world.confirm(&token, refused).await.expect(422);
        assert_eq!(
            answer.body["errors"][0]["field"], "new_password",
            "{code}: {answer:?}"
        );
        assert_ne!(answer.code(), "link_invalid", "{answer:?}");
    }
    assert_eq!(
        world
            .events("password_reset.completed", Some("password_reused"))
            .await,
        1
    );

    // Locked by wrong guesses, whom the link lets in again.
    let lock = "UPDATE users SET failed_sign_in_count = 9, locked_until = now() + interval '1 hour'
        WHERE id = $1";
    world.superuser.update(lock, person.user_id).await;
    world.confirm(&token, NEW_PASSWORD).await.expect(204);
    let ended = world
        .call(&session.credential(), "GET", "/api/v1/whoami", Value::Null)
        .await;
    ended.expect(401);
    world
        .call(
            &bearer(&person.secret),
            "GET",
            "/api/v1/whoami",
            Value::Null,
        )
        .await
        .expect(200);
    world.sign_in("forgetful", &first).await.expect(401);
    world.sign_in("forgetful", NEW_PASSWORD).await.expect(201);

    // And says so.
    let notice = world.smtp.wait_for(&email, 2).await;
    assert_eq!(notice.header("Subject"), "Your password was changed");
    assert!(!notice.body().contains("token="), "{}", notice.body());
    let again = world
        .confirm(&token, "another-9-orbits-quietly")
        .await
        .expect(422);
    assert_eq!(again.code(), "link_invalid");
    // The former password counts as one.
    world.forget_mails(person.user_id).await;
    let next = world.reset_token("forgetful", &email, 3).await;
    let former = world.confirm(&next, &first).await.expect(422);
    assert_eq!(former.code(), "password_reused");

    tokens_are_written_nowhere(&world, &[&token, &next]).await;
    drop(world.program);
}

/// Who sent it, how, and whom it is about.
fn says_what_it_is(mail: &Mail) {
    let raw = mail.0["raw"].as_str().unwrap();
    assert!(!raw.contains("evil"), "{raw}");
    assert_eq!(
        (&mail.0["tls"], &mail.0["authenticated"]),
        (&true.into(), &true.into())
    );
    assert_eq!(mail.0["from"], "clm@sender.example");
    assert_eq!(mail.header("From"), "Certificates <clm@sender.example>");
    assert_eq!(mail.header("Subject"), "Choose a new password");
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    assert!(mail.header("Message-ID").ends_with("@sender.example>"));
    for part in ["forgetful", "Default", "127.0.0.1", "within an hour"] {
        assert!(mail.body().contains(part), "{part} in {}", mail.body());
    }
}

/// Neither tokens, nor the program's password at the mail server.
async fn tokens_are_written_nowhere(world: &World, tokens: &[&str]) {
    world.superuser.settle().await;
    let mut places = vec![("the log", world.program.read_log())];
    for database in ["clm_core_db", "clm_secure_db"] {
        let dump = crate::secrets::dump(&world.program, database);
        places.push((database, String::from_utf8_lossy(&dump).into_owned()));
    }
    assert!(
        places[1].1.contains("account.password_reset"),
        "the queue is in the dump"
    );
    assert!(places[1].1.contains("{link}"), "and the place of the link");
    for (place, text) in &places {
        for token in tokens {
            let random = token.strip_prefix("clm_link_").unwrap();
            assert!(!text.contains(random), "{place} holds a token");
        }
        assert!(!text.contains(PASSWORD), "{place} holds the password");
        assert!(
            !text.contains(&PASSWORD.replace('/', "%2F").replace('@', "%40")),
            "{place}"
        );
    }
}

/// Links that were used, are over or replaced, and the one that replaced another, which works.
async fn spent(world: &World) -> (Vec<String>, String) {
    let (_, email) = world.person("used").await;
    let used = world.reset_token("used", &email, 1).await;
    world.confirm(&used, NEW_PASSWORD).await.expect(204);

    let (over_by, email) = world.person("over").await;
    let over = world.reset_token("over", &email, 1).await;
    let age = "UPDATE one_time_links SET expires_at = now() WHERE user_id = $1";
    world.superuser.update(age, over_by.user_id).await;

    let (replaced_by, email) = world.person("replaced").await;
    let replaced = world.reset_token("replaced", &email, 1).await;
    world.forget_mails(replaced_by.user_id).await;
    let newest = world.reset_token("replaced", &email, 2).await;
    (vec![used, over, replaced], newest)
}

/// Links whose user is no longer as he or she was, and one of another purpose.
async fn overtaken(world: &World) -> Vec<String> {
    // Of an address that the user no longer has: another letter case is another mailbox.
    let (moved_by, email) = world.person("moved").await;
    let moved = world.reset_token("moved", &email, 1).await;
    world
        .set_email(moved_by.user_id, "MOVED@people.example")
        .await;
    world.verify(moved_by.user_id).await;

    let first = world.program.bootstrap_text("password");
    let (_, email) = world.person("changed").await;
    let changed = world.reset_token("changed", &email, 1).await;
    let session = world.rest.sign_in("changed", &first, "default").await;
    let change = json!({ "current_password": first, "new_password": NEW_PASSWORD });
    let path = "/api/v1/users/me/password";
    world
        .call(&session.credential(), "POST", path, change)
        .await
        .expect(204);

    let (suspended_by, email) = world.person("suspended").await;
    let suspended = world.reset_token("suspended", &email, 1).await;
    let suspend = "UPDATE users SET status = 'suspended' WHERE id = $1";
    world.superuser.update(suspend, suspended_by.user_id).await;

    // A link that verifies an address sets no password.
    let (unverified, email) = world.person("unverified").await;
    let forget = "UPDATE users SET email_verified_at = NULL WHERE id = $1";
    world.superuser.update(forget, unverified.user_id).await;
    let session = world.rest.sign_in("unverified", &first, "default").await;
    world
        .call(&session.credential(), "POST", super::VERIFY, Value::Null)
        .await
        .expect(202);
    let verifies = world.smtp.wait_for(&email, 1).await.token("verify-email");
    vec![moved, changed, suspended, verifies]
}

/// Used, over, of somebody else's purpose, made up: all are the same.
#[tokio::test(flavor = "multi_thread")]
async fn links_that_do_not_work_are_all_the_same() {
    let world = World::start().await;
    let (mut tokens, newest) = spent(&world).await;
    tokens.extend(overtaken(&world).await);
    let unknown = format!("clm_link_{}", "A".repeat(43));
    tokens.extend([unknown.clone(), "A".repeat(43), format!("{}x", tokens[0])]);
    tokens.extend(["", "clm_link_", "garbage"].map(str::to_owned));
    assert_eq!(tokens.len(), 13);
    let mut answers = Vec::new();
    for token in &tokens {
        // Whatever the password: nobody learns whether it is a good one for somebody.
        let answer = world
            .confirm(token, "marmalade-7-drifts-upstream")
            .await
            .expect(422);
        assert_eq!(answer.code(), "link_invalid", "{token}: {answer:?}");
        answers.push((answer.status, answer.without_request_id()));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    world.confirm(&newest, NEW_PASSWORD).await.expect(204);
    assert!(
        world
            .events("password_reset.completed", Some("link_invalid"))
            .await
            >= 13
    );

    // Whoever goes on guessing is held up.
    let mut status = 0;
    for _ in 0..40 {
        status = world.confirm(&unknown, NEW_PASSWORD).await.status;
        if status == 429 {
            break;
        }
    }
    assert_eq!(status, 429);
    let held_up = world.confirm("none", NEW_PASSWORD).await.expect(429);
    assert_eq!(held_up.code(), "too_many_links");
    drop(world.program);
}

/// The same from the command line, which needs no login for it.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_resets_a_password() {
    let world = World::start().await;
    let (_, email) = world.person("typist").await;
    let asked = world
        .program
        .cli(&["user", "request-password-reset", &email]);
    assert!(asked.status.success(), "{asked:?}");
    let mail = world.smtp.wait_for(&email, 1).await;
    assert!(
        mail.body().contains("the machine of the server"),
        "{}",
        mail.body()
    );
    let token = mail.token("reset-password");
    let reset = ["user", "reset-password", "--stdin"];
    let refused = world
        .program
        .cli_with_input(&reset, &format!("{token}\nshort\n"));
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let done = world
        .program
        .cli_with_input(&reset, &format!("{token}\n{NEW_PASSWORD}\n"));
    assert!(done.status.success(), "{done:?}");
    world.sign_in("typist", NEW_PASSWORD).await.expect(201);
    let again = world
        .program
        .cli_with_input(&reset, &format!("{token}\n{NEW_PASSWORD}\n"));
    assert_eq!(again.status.code(), Some(1), "{again:?}");

    let mut doctor = world.program.command(&["doctor", "-o", "json"]);
    let settings = world.program.environment.iter();
    let said = doctor
        .envs(settings.map(|(name, value)| (name, value)))
        .output()
        .unwrap();
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    let of_mail = |one: &&Value| one["subject"] == "mail";
    let finding = said["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(of_mail)
        .unwrap()
        .clone();
    assert_eq!(finding["verdict"], "good", "{finding}");
    assert!(!said.to_string().contains("planted"), "{said}");
    drop(world.program);
}
