//! `clm org`, `clm member` and `clm invitation`.

use std::process::Output;

use clm_tests::Program;
use clm_tests::databases::Superuser;
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
        let signed_in = this.sign_in_as("admin", "default");
        assert!(signed_in.status.success(), "{signed_in:?}");
        this
    }

    fn sign_in_as(&self, username: &str, home: &str) -> Output {
        let login = [
            "--url",
            &self.url,
            "login",
            "--username",
            username,
            "--home-organization",
            home,
            "--password-stdin",
        ];
        let password = self.program.bootstrap_text("password");
        self.program.cli_with_input(&login, &password)
    }

    fn clm(&self, arguments: &[&str]) -> Output {
        self.program
            .cli(&[&["--url", &self.url], arguments].concat())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.clm(&[arguments, &["-o", "json"]].concat());
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn id<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn organizations_are_governed_and_switched() {
    let admin = Person::sign_in();
    let refused = admin.clm(&["org", "create", "Acme", "--slug", "acme"]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let switched = admin.clm(&["org", "switch", "system"]);
    assert!(switched.status.success(), "{switched:?}");
    let made = admin.json(&[
        "org",
        "create",
        "Acme",
        "--slug",
        "acme",
        "--max-users",
        "5",
    ]);
    let acme = id(&made, "id");
    assert_eq!(made["max_users"], 5);
    let listed = admin.json(&["org", "list"]);
    let slugs: Vec<_> = listed["items"].as_array().unwrap().iter().collect();
    assert_eq!(slugs.len(), 3, "{listed}");
    let update = [
        "org",
        "update",
        acme,
        "--name",
        "Acme Ltd.",
        "--max-users",
        "none",
        "--session-hours-max",
        "8",
    ];
    let changed = admin.json(&update);
    assert_eq!(changed["max_users"], Value::Null);
    assert_eq!(changed["settings"]["session_hours_max"], 8);
    assert_eq!(changed["revision"], 2);
    let kept = admin.json(&["org", "update", acme, "--session-hours-max", "0"]);
    assert_eq!(kept["name"], "Acme Ltd.");
    assert!(kept["settings"].get("session_hours_max").is_none());
    let wrong = admin.clm(&["org", "update", acme, "--max-users", "some"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    let status = admin.json(&["org", "status", acme, "suspended", "--reason", "unpaid"]);
    assert_eq!(status["status"], "suspended");
    let shown = text(&admin.clm(&["org", "show", acme]).stdout);
    assert!(
        shown.contains("suspended") && shown.contains("0 of no limit"),
        "{shown}"
    );
    let unknown = admin.clm(&["org", "show", "01900000-0000-7000-8000-000000000000"]);
    assert_eq!(unknown.status.code(), Some(4), "{unknown:?}");

    let back = admin.clm(&["org", "switch", "default", "--primary"]);
    assert!(back.status.success(), "{back:?}");
    assert_eq!(admin.json(&["org", "show"])["slug"], "default");
    let elsewhere = admin.clm(&["org", "switch", "acme"]);
    assert_eq!(elsewhere.status.code(), Some(4), "{elsewhere:?}");
    let here = admin.json(&["whoami"]);
    assert_eq!(here["organization_name"], "Default", "the session goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_invited_and_removed() {
    let admin = Person::sign_in();
    let superuser = Superuser::of(&admin.program);
    let home = superuser.insert_organization("home").await;
    let nothing = clm_domain::permission::Permissions::none();
    let guest = superuser.insert_person(home, "guest", &nothing).await;
    let guest_id = guest.user_id.to_string();
    let invited = admin.clm(&["invitation", "create", "guest@home.example"]);
    assert!(invited.status.success(), "{invited:?}");
    // The token alone, so that it can be piped.
    let token = text(&invited.stdout).trim().to_owned();
    assert!(!token.contains(char::is_whitespace), "{token}");
    let second = admin.json(&["invitation", "create", "other@home.example"]);
    let second = second["invitation"]["id"].as_str().unwrap();
    assert!(
        admin
            .clm(&["invitation", "revoke", second])
            .status
            .success()
    );
    let listed = admin.json(&["invitation", "list"]);
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);

    assert!(admin.sign_in_as("guest", "home").status.success());
    let accept = ["--url", &admin.url, "invitation", "accept"];
    let accepted = admin.program.cli_with_input(&accept, &token);
    assert!(accepted.status.success(), "{accepted:?}");
    assert!(text(&accepted.stdout).contains("clm org switch default"));
    let again = admin.program.cli_with_input(&accept, &token);
    assert_eq!(again.status.code(), Some(4), "{again:?}");

    assert!(admin.sign_in_as("admin", "default").status.success());
    let members = admin.json(&["member", "list"]);
    assert_eq!(members["items"].as_array().unwrap().len(), 2, "{members}");
    let suspended = admin.json(&["member", "suspend", &guest_id, "--reason", "why not"]);
    assert_eq!(suspended["status"], "suspended");
    let active = admin.json(&["member", "activate", &guest_id, "--reason", "again"]);
    assert_eq!(active["status"], "active");
    let shown = text(&admin.clm(&["member", "show", &guest_id]).stdout);
    assert!(shown.contains("a guest"), "{shown}");
    let removed = admin.clm(&["member", "remove", &guest_id]);
    assert!(removed.status.success(), "{removed:?}");
    let gone = admin.clm(&["member", "show", &guest_id]);
    assert_eq!(gone.status.code(), Some(4), "{gone:?}");
    let at_home = admin.clm(&["member", "leave"]);
    assert_eq!(at_home.status.code(), Some(1), "{at_home:?}");
}

/// On the machine of the server, without a login.
#[tokio::test(flavor = "multi_thread")]
async fn the_local_operator_governs() {
    let program = Program::start();
    let json = |arguments: &[&str]| -> Value {
        let output = program.cli(&[arguments, &["-o", "json"]].concat());
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let made = json(&["org", "create", "Acme", "--slug", "acme"]);
    let acme = id(&made, "id");
    let add = ["member", "add", "admin@default", "--to", acme];
    assert_eq!(json(&add)["is_home"], false);
    let of_acme = ["--organization", "acme", "member", "list"];
    let members = json(&of_acme);
    assert_eq!(members["items"].as_array().unwrap().len(), 1);
    let own = json(&["--organization", "acme", "org", "list"]);
    assert_eq!(own["items"].as_array().unwrap().len(), 1, "{own}");
    let switch = program.cli(&["org", "switch", "acme"]);
    assert_eq!(switch.status.code(), Some(1), "{switch:?}");
}
