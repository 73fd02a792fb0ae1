//! The pages that links lead to: ours alone, and safe to open.

use clm_tests::Program;
use clm_tests::rest::{Answer, Call, Rest};

const PAGES: [&str; 3] = ["reset-password", "verify-email", "accept-invitation"];

#[tokio::test(flavor = "multi_thread")]
async fn pages_bring_everything_from_here_and_run_nothing_else() {
    let program = Program::start();
    let rest = Rest::of(&program);
    let get = async |path: &str| rest.send(Call::new("GET", path)).await.expect(200);
    for page in PAGES {
        check(page, &get(&format!("/account/{page}")).await);
    }
    let script = get("/account/account.js").await;
    assert_eq!(
        script.headers["content-type"],
        "text/javascript; charset=utf-8"
    );
    // The token leaves the address before the first call.
    let removed = script.text.find("replaceState").unwrap();
    assert!(removed < script.text.find("fetch(").unwrap());
    for path in [
        "/api/v1/password-resets/confirm",
        "/api/v1/email-verifications/confirm",
    ] {
        assert!(script.text.contains(path), "{path}");
    }
    assert_eq!(
        get("/account/account.css").await.headers["content-type"],
        "text/css; charset=utf-8"
    );
    let api = get("/api/v1/openapi.json").await;
    let policy = api.headers["content-security-policy"].to_str().unwrap();
    assert_eq!(policy, "default-src 'none'; frame-ancestors 'none'");
    drop(program);
}

/// What one of them must be.
fn check(page: &str, answer: &Answer) {
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{page}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.headers["referrer-policy"], "no-referrer");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    let text = &answer.text;
    assert!(
        text.contains("lang=\"en\"") && text.contains("<h1>"),
        "{text}"
    );
    assert!(text.contains(&format!("data-page=\"{page}\"")), "{text}");
    // Nothing inline, which the policy would stop, and nothing from elsewhere.
    for forbidden in [
        "http:",
        "https:",
        "//",
        "onclick",
        "style=",
        "javascript:",
        "<style",
    ] {
        assert!(!text.contains(forbidden), "{page}: {forbidden}");
    }
    assert_eq!(text.matches("<script").count(), 1, "{text}");
    // Each field has its label.
    for field in text.split("<input ").skip(1) {
        let id = field
            .split("id=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        assert!(
            text.contains(&format!("<label for=\"{id}\"")),
            "{page}: {id}"
        );
    }
}
