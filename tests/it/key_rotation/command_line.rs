//! `clm key`, on a running program whose background loop does the work: what it prints, and the exit
//! codes that scripts rely on.

use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use clm_tests::Program;
use clm_tests::databases::Superuser;
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_by_command() {
    let program = Arc::new(Program::start());
    let superuser = Superuser::of(&program);

    let before = json(&program.cli(&["key", "list", "-o", "json"]));
    let old = before["items"]
        .as_array()
        .and_then(|keys| keys.iter().find(|key| key["key_type"] == "data"))
        .expect("the authorities have a key")
        .clone();
    assert_eq!(old["status"], "active");

    let rotate = [
        "key", "rotate", "--watch", "--reason", "a test", "-o", "json",
    ];
    let output = watched(&program, &superuser, &rotate).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let rotation = json(&output);
    assert_eq!(rotation["status"], "completed");
    assert_eq!(rotation["reason"], "a test");
    assert_eq!(rotation["old_encryption_key_id"], old["id"]);
    assert!(
        rotation["items_processed"].as_i64() >= Some(2),
        "{rotation}"
    );
    assert_eq!(rotation["items_processed"], rotation["items_total"]);
    assert!(
        output.stderr.is_empty(),
        "no bar where there is no terminal"
    );
    let shown = program.cli(&["key", "show", text(&old, "id")]);
    assert!(
        String::from_utf8_lossy(&shown.stdout).contains("retired"),
        "{shown:?}"
    );

    // The authorities sign on, with keys that moved.
    let arguments = [
        "cert",
        "request",
        "--key-algorithm",
        "ecdsa-p256",
        "--san",
        "DNS:a.example",
    ];
    let issued = program.cli(&arguments);
    assert_eq!(issued.status.code(), Some(0), "{issued:?}");

    cancels_a_rotation(&program, &superuser).await;
    keeps_a_schedule(&program);
}

async fn cancels_a_rotation(program: &Arc<Program>, superuser: &Superuser) {
    let started = json(&program.cli(&["key", "rotate", "-o", "json"]));
    let id = text(&started, "id");
    let again = program.cli(&["key", "rotate"]);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    let cancelled = program.cli(&["key", "cancel", id]);
    assert_eq!(cancelled.status.code(), Some(0), "{cancelled:?}");
    let output = watched(program, superuser, &["key", "watch", id, "-o", "json"]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(json(&output)["status"], "rolled_back");

    let history = json(&program.cli(&["key", "history", "-o", "json"]));
    let states: Vec<&str> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rotation| text(rotation, "status"))
        .collect();
    assert_eq!(states, ["rolled_back", "completed"]);
}

fn keeps_a_schedule(program: &Program) {
    let scheduled = json(&program.cli(&["key", "schedule", "--days", "90", "-o", "json"]));
    assert_eq!(scheduled["rotation_schedule_days"], 90);
    let never = json(&program.cli(&["key", "schedule", "--never", "-o", "json"]));
    assert_eq!(never["rotation_schedule_days"], Value::Null);
    let unknown = program.cli(&["key", "watch", "01890a5d-ac96-774b-bcce-b302099a8057"]);
    assert_eq!(unknown.status.code(), Some(4), "{unknown:?}");

    // Another organization's slug, and the organization whose keys must not be erased.
    for slug in ["other", "system"] {
        let erase = [
            "key",
            "erase",
            "--confirm-organization",
            slug,
            "--reason",
            "a test",
        ];
        let refused = program.cli(&erase);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    }
}

/// Runs a command that waits for the end of a rotation, without the minute that it takes.
async fn watched(program: &Arc<Program>, superuser: &Superuser, arguments: &[&str]) -> Output {
    let arguments: Vec<String> = arguments.iter().map(|&one| one.to_owned()).collect();
    let program = Arc::clone(program);
    let watching = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        program.cli(&arguments)
    });
    while !watching.is_finished() {
        superuser.finish_rotations().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    watching.await.unwrap()
}

fn json(output: &Output) -> Value {
    assert!(!output.stdout.is_empty(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}
