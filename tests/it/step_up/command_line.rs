//! `clm` asks for what the server wants, or takes it from its options.

use std::process::Output;

use clm_tests::authenticator::Authenticator;
use serde_json::Value;

use super::World;

impl World {
    fn clm(&self, arguments: &[&str], input: &str) -> Output {
        let url = self.program.bootstrap_text("url");
        let arguments = [&["--url", url.as_str()], arguments].concat();
        self.program.cli_with_input(&arguments, input)
    }

    fn log_in(&self) {
        let login = ["login", "--username", "chief", "--password-stdin"];
        let signed_in = self.clm(&login, &self.password);
        assert!(signed_in.status.success(), "{signed_in:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_assigns_a_role_with_the_password() {
    let world = World::start().await;
    world.log_in();
    let user_id = world.nobody.to_string();
    let assign = ["role", "assign", "AUDITOR", "--user", &user_id];
    // Nobody can be asked here.
    let refused = world.clm(&assign, "");
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(message.contains("--totp"), "{message}");
    let with_input = [&assign, ["--step-up-stdin"].as_slice()].concat();
    let wrong = world.clm(&with_input, "not the password");
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    assert_eq!(world.roles_of(world.nobody).await, 1);
    let assigned = world.clm(&with_input, &world.password);
    assert!(assigned.status.success(), "{assigned:?}");
    assert_eq!(world.roles_of(world.nobody).await, 2);
    // A code that nobody could have given.
    let no_factor = [&assign, ["--totp", "123456"].as_slice()].concat();
    let refused = world.clm(&no_factor, "");
    assert!(!refused.status.success(), "{refused:?}");
}

/// With a second factor a code makes an authority, and the password does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_makes_an_authority_with_a_code() {
    let world = World::start().await;
    world.log_in();
    let enrolled = world.clm(&["totp", "enrol", "-o", "json"], "");
    let enrolled: Value = serde_json::from_slice(&enrolled.stdout).unwrap();
    let device = Authenticator::read(enrolled["uri"].as_str().unwrap());
    let now = clm_tests::step_up::now();
    let activate = [
        "totp",
        "activate",
        "-o",
        "json",
        "--code",
        &device.code_at(now),
    ];
    let activated = world.clm(&activate, "");
    let activated: Value = serde_json::from_slice(&activated.stdout).unwrap();
    let code = |index: usize| activated[index].as_str().unwrap().to_owned();

    let create = |name: &str, more: &[&str], input: &str| {
        let subject = format!("CN={name}");
        let create = [
            "ca",
            "create",
            name,
            "--subject",
            &subject,
            "--validity-days",
            "90",
        ];
        world.clm(&[&create, more].concat(), input)
    };
    let refused = create("Root", &["--step-up-stdin"], &world.password);
    // It was tried as a code as well.
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let made = create("Root", &["--totp", &code(0)], "");
    assert!(made.status.success(), "{made:?}");
    let below = ["--parent", "Root", "--path-length", "0", "--step-up-stdin"];
    let made = create("Issuing", &below, &code(1));
    assert!(made.status.success(), "{made:?}");
    let used = create("Another", &["--totp", &code(0)], "");
    assert!(!used.status.success(), "{used:?}");
    let key = ["api-key", "create", "mine", "--totp", &code(2)];
    let key = world.clm(&key, "");
    assert!(key.status.success(), "{key:?}");
}
