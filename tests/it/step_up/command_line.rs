//! `clm` asks for what the server wants, or takes it from its options.

use std::process::Output;

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
