//! `clm totp` and `clm ca limits` on a running program: by the operator of the machine, and by a
//! person who signed in.

use std::process::Output;

use clm_tests::Program;
use clm_tests::databases::Superuser;
use clm_tests::rest::{Call, Rest, bearer, operator_of};
use serde_json::{Value, json};

use crate::support::CERTIFICATE_AUTHORITIES;
use crate::support::authenticator::Authenticator;

fn answer(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn now(superuser: &Superuser) -> i64 {
    sqlx::query_scalar("SELECT floor(extract(epoch FROM now()))::bigint")
        .fetch_one(&superuser.core)
        .await
        .unwrap()
}

/// The operator changes the shared authorities without a code.
#[tokio::test(flavor = "multi_thread")]
async fn the_local_operator_changes_limits() {
    let program = Program::start();
    let listed = answer(&program.cli(&["ca", "list", "-o", "json"]));
    let issuing = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["limits"]["end_entities"] == true)
        .unwrap();
    let (name, id) = (
        issuing["name"].as_str().unwrap(),
        issuing["id"].as_str().unwrap(),
    );
    let set = |more: &[&str]| {
        let mut arguments = vec![
            "ca", "limits", "set", name, "-o", "json", "--reason", "less",
        ];
        arguments.extend(more);
        program.cli(&arguments)
    };
    let changed = answer(&set(&["--max-validity-days", "1"]));
    assert_eq!(changed["validity_seconds_max"], 86_400);
    let shown = answer(&program.cli(&["ca", "limits", "show", id, "-o", "json"]));
    assert_eq!(shown, changed);
    // A file with what was shown is taken back.
    let path = program.directory.path().join("limits.json");
    let mut wider = shown;
    wider["validity_seconds_max"] = (90 * 86_400).into();
    std::fs::write(&path, wider.to_string()).unwrap();
    let changed = answer(&set(&["--file", path.to_str().unwrap()]));
    assert_eq!(changed, wider);
    let beyond = set(&["--max-validity-days", "4000000"]);
    assert_eq!(beyond.status.code(), Some(1), "{beyond:?}");
    let nothing = set(&[]);
    assert_eq!(nothing.status.code(), Some(2), "{nothing:?}");
    let unknown = program.cli(&["ca", "limits", "show", "nobody's"]);
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
}

/// A person enrols, and changes the limits of an authority of the own organization with a code.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_changes_limits_with_a_code() {
    let program = Program::start();
    let (rest, superuser) = (Rest::of(&program), Superuser::of(&program));
    let key = bearer(&program.api_key().await);
    let body = json!({
        "name": "Ours", "subject": "CN=Ours", "key_algorithm": "ecdsa-p256", "validity_days": 365,
    });
    let call = Call::new("POST", CERTIFICATE_AUTHORITIES).by(&operator_of("default"));
    let made = Rest::of_operator(&program).send(call.body(body)).await;
    let id = made.expect(201).id("/id").to_string();

    let url = program.bootstrap_text("url");
    let password = program.bootstrap_text("password");
    let login = [
        "--url",
        &url,
        "login",
        "--username",
        "admin",
        "--password-stdin",
    ];
    let signed_in = program.cli_with_input(&login, &password);
    assert_eq!(signed_in.status.code(), Some(0), "{signed_in:?}");
    let clm = |arguments: &[&str]| program.cli(&[&["--url", url.as_str()], arguments].concat());

    let enrolled = answer(&clm(&["totp", "enrol", "-o", "json"]));
    let device = Authenticator::read(enrolled["uri"].as_str().unwrap());
    let begun = now(&superuser).await;
    let activated = clm(&["totp", "activate", "--code", &device.code_at(begun)]);
    assert_eq!(activated.status.code(), Some(0), "{activated:?}");

    let set = |code: &str| {
        clm(&[
            "ca",
            "limits",
            "set",
            "Ours",
            "--max-validity-days",
            "1",
            "--reason",
            "less",
            "--totp",
            code,
            "-o",
            "json",
        ])
    };
    let used = set(&device.code_at(begun));
    assert_eq!(used.status.code(), Some(1), "{used:?}");
    let changed = answer(&set(&device.code_at(begun + 30)));
    assert_eq!(changed["validity_seconds_max"], 86_400);
    let path = format!("{CERTIFICATE_AUTHORITIES}/{id}");
    let found = rest
        .send(Call::new("GET", &path).by(&key))
        .await
        .expect(200);
    assert_eq!(found.body["limits"], changed);
    assert_eq!(found.body["revision"], 2);
    let removed = clm(&["totp", "remove", "--code", &device.wrong_at(begun + 30)]);
    assert_eq!(removed.status.code(), Some(1), "{removed:?}");
    let expected = [
        "totp.enrolled success",
        "totp.activated success",
        "step_up.proved failure",
        "step_up.proved success",
        "issuer_limits.changed success",
        "totp.removed failure",
    ];
    assert_eq!(audited(&superuser).await, expected);
    the_device_is_lost(&program, &superuser, &login).await;
}

/// Whoever has a second factor gets no other one, until the operator of the machine removes it.
async fn the_device_is_lost(program: &Program, superuser: &Superuser, login: &[&str]) {
    let url = login[1];
    let clm = |arguments: &[&str]| program.cli(&[&["--url", url], arguments].concat());
    let refused = clm(&["totp", "enrol"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let reset = |username| {
        let reset = [
            "user",
            "reset-totp",
            "--username",
            username,
            "--reason",
            "lost",
        ];
        program.cli(&reset).status.code()
    };
    assert_eq!(reset("nobody"), Some(1));
    assert_eq!(reset("admin"), Some(0));
    assert_eq!(reset("admin"), Some(1), "there is none any more");
    // The sessions have ended: the device may be in other hands.
    let refused = clm(&["totp", "enrol"]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let password = program.bootstrap_text("password");
    let signed_in = program.cli_with_input(login, &password);
    assert_eq!(signed_in.status.code(), Some(0), "{signed_in:?}");
    answer(&clm(&["totp", "enrol", "-o", "json"]));
    let events = audited(superuser).await;
    assert!(
        events.contains(&"totp.reset success".to_owned()),
        "{events:?}"
    );
}

/// What the secure audit log has about second factors and limits, oldest first.
async fn audited(superuser: &Superuser) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT event_code || ' ' || result FROM secure_audit_log
         WHERE event_code LIKE 'totp.%' OR event_code LIKE 'step_up.%'
            OR event_code LIKE 'issuer_limits.%' ORDER BY id",
    )
    .fetch_all(&superuser.secure)
    .await
    .unwrap()
}
