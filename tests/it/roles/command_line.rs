//! `clm role` and `clm access`, as the operator of the machine types them.

use std::process::Output;

use clm_tests::Program;
use clm_tests::databases::Superuser;
use serde_json::Value;

fn clm(program: &Program, arguments: &[&str]) -> Output {
    program.cli(&[&["--organization", "default"], arguments].concat())
}

fn json(program: &Program, arguments: &[&str]) -> Value {
    let output = clm(program, &[arguments, &["-o", "json"]].concat());
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The roles READER, which gives something, and HEIR below it.
fn make_roles(program: &Program) {
    let rules = [
        "--permission",
        "certificate:list",
        "--permission",
        "certificate:read",
    ];
    let made = json(
        program,
        &[&["role", "create", "READER"], rules.as_slice()].concat(),
    );
    assert_eq!(made["role_name"], "READER");
    let heir = ["role", "create", "HEIR", "--name", "Heirs"];
    json(
        program,
        &[&heir, ["--parent", "READER"].as_slice()].concat(),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_assigned_and_explained() {
    let program = Program::start();
    let superuser = Superuser::of(&program);
    let organization_id = superuser.organization("default").await;
    let nothing = clm_domain::permission::Permissions::none();
    let person = superuser.insert_person(organization_id, "ada", &nothing);
    let user_id = person.await.user_id.to_string();
    make_roles(&program);

    let explain = ["access", "explain", "certificate:list", "--user", &user_id];
    let refused = clm(&program, &explain);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert!(text(&refused.stdout).contains("No role"), "{refused:?}");
    let assign = ["role", "assign", "HEIR", "--user", &user_id];
    let assigned = json(
        &program,
        &[&assign, ["--reason", "holidays"].as_slice()].concat(),
    );
    assert_eq!(assigned["reason"], "holidays");
    let allowed = clm(&program, &explain);
    assert!(allowed.status.success(), "{allowed:?}");
    let table = text(&allowed.stdout);
    for word in ["READER", "HEIR", "yes"] {
        assert!(table.contains(word), "{table}");
    }

    let id = assigned["id"].as_str().unwrap();
    let ends = ["role", "set-end", id, "--until", "2999-01-01T00:00:00Z"];
    assert_eq!(json(&program, &ends)["valid_until"], "2999-01-01T00:00:00Z");
    let holders = ["role", "holders", "--role", "HEIR"];
    let listed = text(&clm(&program, &holders).stdout);
    assert!(
        listed.contains("ada") && listed.contains("2999"),
        "{listed}"
    );
    let withdrawn = clm(&program, &["role", "withdraw", id]);
    assert!(withdrawn.status.success(), "{withdrawn:?}");
    let left = json(&program, &holders);
    assert_eq!(left["items"].as_array().unwrap().len(), 0);
    let ended = json(&program, &[&holders, ["--ended"].as_slice()].concat());
    assert_eq!(ended["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_changed_removed_and_restored() {
    let program = Program::start();
    make_roles(&program);
    let listed = text(&clm(&program, &["role", "list"]).stdout);
    assert!(
        listed.contains("HEIR") && listed.contains("SYSTEM_ADMIN"),
        "{listed}"
    );
    let update = ["role", "update", "HEIR", "--no-parent", "--description"];
    let updated = json(&program, &[&update, ["None left"].as_slice()].concat());
    assert_eq!(updated["parent_role_id"], Value::Null);
    let heir = json(&program, &["role", "show", "HEIR"]);
    assert_eq!(heir["description"], "None left");
    let deleted = clm(&program, &["role", "delete", "HEIR"]);
    assert!(deleted.status.success(), "{deleted:?}");
    let gone = clm(&program, &["role", "show", "HEIR"]);
    assert!(!gone.status.success(), "{gone:?}");
    assert!(text(&gone.stderr).contains("clm role list"), "{gone:?}");
    let id = heir["id"].as_str().unwrap();
    assert_eq!(
        json(&program, &["role", "restore", id])["role_code"],
        "HEIR"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_typed_wrong_is_said() {
    let program = Program::start();
    make_roles(&program);
    let no_rule: &[&str] = &["role", "create", "X", "--permission", "certificate"];
    for (arguments, complaint) in [
        (no_rule, "RESOURCE:ACTION"),
        (&["role", "create", "x"], "capital letters"),
        (&["role", "delete", "USER"], "system roles"),
        (&["role", "update", "READER"], "required"),
        (&["access", "explain", "moon:read"], "moon"),
    ] {
        let refused = clm(&program, arguments);
        assert!(!refused.status.success(), "{refused:?}");
        assert!(
            text(&refused.stderr).contains(complaint),
            "{arguments:?}: {refused:?}"
        );
    }
}
