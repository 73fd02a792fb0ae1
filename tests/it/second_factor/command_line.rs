//! `clm login` with a code, `clm totp`, and one's own password.

use std::process::Output;

use super::World;
use crate::support::authenticator::Authenticator;

fn text(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(super) async fn with_a_code(world: &World) {
    world.person("olga").await;
    let url = world.program.bootstrap_text("url");
    let clm = |arguments: &[&str]| {
        let all = [&["--url", url.as_str()], arguments].concat();
        world.program.cli(&all)
    };
    let login = |more: &[&str]| {
        let base = [
            "--url",
            &url,
            "login",
            "--username",
            "olga",
            "--password-stdin",
        ];
        let all = [&base[..], more].concat();
        world.program.cli_with_input(&all, &world.password)
    };
    text(&login(&[]));
    assert!(text(&clm(&["totp", "show"])).contains("no"));
    let enrolled: serde_json::Value =
        serde_json::from_str(&text(&clm(&["totp", "enrol", "-o", "json"]))).unwrap();
    let device = Authenticator::read(enrolled["uri"].as_str().unwrap());
    let begun = world.now().await;
    let codes = text(&clm(&[
        "totp",
        "activate",
        "--code",
        &device.code_at(begun),
    ]));
    let codes: Vec<&str> = codes.lines().collect();
    assert_eq!(codes.len(), 10, "{codes:?}");
    // The session goes on with its new secrets.
    assert!(text(&clm(&["whoami"])).contains("olga"));

    // Without a terminal and without the code the sign-in is half done, and says what is owed.
    let half = login(&[]);
    assert_eq!(half.status.code(), Some(1), "{half:?}");
    assert!(text(&clm(&["whoami"])).contains("second_factor"));
    let refused = clm(&["cert", "list"]);
    assert_ne!(refused.status.code(), Some(0));
    text(&login(&["--code", &device.code_at(begun + 30)]));
    text(&clm(&["cert", "list"]));
    text(&login(&["--code", codes[0]]));
    let shown = text(&clm(&["totp", "show"]));
    assert!(shown.contains("yes") && shown.contains('9'), "{shown}");
    let renewed = text(&clm(&["totp", "backup-codes", "--code", codes[1]]));
    assert_eq!(renewed.lines().count(), 10);

    let change = ["--url", &url, "user", "change-password", "--password-stdin"];
    let new = "seven umbrellas for olga";
    let changed = world
        .program
        .cli_with_input(&change, &format!("{}\n{new}\n", world.password));
    text(&changed);
    let again = world
        .program
        .cli_with_input(&change, &format!("wrong\n{new} 2\n"));
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    text(&clm(&[
        "totp",
        "remove",
        "--code",
        renewed.lines().next().unwrap(),
    ]));
}
