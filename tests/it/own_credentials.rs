//! `clm api-key` and `clm session`: what a person does with credentials of one's own.

use std::process::Output;

use clm_tests::Program;
use serde_json::Value;

/// A person who signed in from the command line.
struct Person {
    program: Program,
    url: String,
}

impl Person {
    fn sign_in() -> Self {
        let program = Program::start();
        let url = program.bootstrap_text("url");
        let this = Self { program, url };
        this.sign_in_again();
        this
    }

    fn sign_in_again(&self) {
        let login = [
            "--url",
            &self.url,
            "login",
            "--username",
            "admin",
            "--password-stdin",
        ];
        let password = self.program.bootstrap_text("password");
        let signed_in = self.program.cli_with_input(&login, &password);
        assert!(signed_in.status.success(), "{signed_in:?}");
    }

    fn clm(&self, arguments: &[&str]) -> Output {
        self.program
            .cli(&[&["--url", &self.url], arguments].concat())
    }

    /// The same, with the password for what takes one.
    fn stepping_up(&self, arguments: &[&str]) -> Output {
        let url = ["--url", &self.url, "--step-up-stdin"];
        let password = self.program.bootstrap_text("password");
        self.program
            .cli_with_input(&[&url, arguments].concat(), &password)
    }

    fn with_key(&self, key: &str, arguments: &[&str]) -> Output {
        self.clm(&[&["--api-key", key], arguments].concat())
    }

    fn items(&self, arguments: &[&str]) -> Vec<Value> {
        let listed = self.clm(&[arguments, &["-o", "json"]].concat());
        assert!(listed.status.success(), "{listed:?}");
        let page: Value = serde_json::from_slice(&listed.stdout).unwrap();
        page["items"].as_array().unwrap().clone()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn api_keys_are_made_narrowed_and_revoked() {
    let person = Person::sign_in();
    let made = person.stepping_up(&["api-key", "create", "robot", "--scope", "certificate:list"]);
    assert!(made.status.success(), "{made:?}");
    // The key alone, so that it can be piped.
    let key = text(&made.stdout).trim().to_owned();
    assert!(!key.contains(char::is_whitespace), "{key}");
    let listed = person.with_key(&key, &["cert", "list"]);
    assert!(listed.status.success(), "{listed:?}");
    let beyond = person.with_key(&key, &["ca", "list"]);
    assert_eq!(beyond.status.code(), Some(3), "{beyond:?}");

    let keys = person.items(&["api-key", "list"]);
    assert_eq!(keys.len(), 1);
    assert!(key.ends_with(keys[0]["last_four"].as_str().unwrap()));
    assert!(keys[0]["expires_at"].is_null());
    let id = keys[0]["id"].as_str().unwrap();
    let revoked = person.clm(&["api-key", "revoke", id]);
    assert!(revoked.status.success(), "{revoked:?}");
    let refused = person.with_key(&key, &["cert", "list"]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");

    let ending = [
        "api-key",
        "create",
        "brief",
        "--valid-days",
        "1",
        "-o",
        "json",
    ];
    let ending: Value = serde_json::from_slice(&person.stepping_up(&ending).stdout).unwrap();
    assert!(ending["api_key"]["expires_at"].is_string(), "{ending}");
    for (scope, complaint) in [
        ("certificate", "RESOURCE:ACTION"),
        ("certificates:list", "certificates"),
        ("certificate:look", "look"),
    ] {
        let refused = person.clm(&["api-key", "create", "x", "--scope", scope]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(text(&refused.stderr).contains(complaint), "{refused:?}");
    }
    assert_eq!(
        person.items(&["api-key", "list"]).len(),
        2,
        "nothing was made of those"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_and_ended() {
    let person = Person::sign_in();
    let first = person.items(&["session", "list"]);
    let first = first.iter().find(|one| one["is_current"] == true).unwrap();
    let first = first["id"].as_str().unwrap().to_owned();
    person.sign_in_again();
    let both = person.items(&["session", "list"]);
    assert_eq!(both.len(), 2, "{both:?}");
    let ended = person.clm(&["session", "end", &first]);
    assert!(ended.status.success(), "{ended:?}");
    let left = person.items(&["session", "list"]);
    assert!(
        left.iter().all(|one| one["id"] != first.as_str()),
        "{left:?}"
    );
    let unknown = person.clm(&["session", "end", "01900000-0000-7000-8000-000000000000"]);
    assert_eq!(unknown.status.code(), Some(4), "{unknown:?}");
    let table = text(&person.clm(&["session", "list"]).stdout);
    assert!(
        table.contains("THIS ONE") && table.contains("yes"),
        "{table}"
    );
}
