//! Bodies of another shape than the operation takes.

use clm_tests::Program;
use serde_json::{Value, json};

use super::Input;
use super::transport::{Head, exchange};
use crate::support::{CERTIFICATE_REQUESTS, Requester, fields, problem};

/// JSON that does not fit.
pub(super) fn inputs(good: &str) -> Vec<Input> {
    let misfit = |body: Value, field: &'static str| Input {
        status: 400,
        ..Input::new(&body.to_string(), body, "malformed_json", field)
    };
    let with = |name: &str, value: Value| {
        let mut body = json!({ "csr": good });
        body[name] = value;
        body
    };
    vec![
        misfit(json!([]), "body"),
        misfit(json!([good]), "body"),
        misfit(json!(null), "body"),
        misfit(json!("csr"), "body"),
        misfit(json!({ "csr": 5 }), "csr"),
        misfit(json!({ "csr": [good] }), "csr"),
        misfit(json!({ "key_algorithm": "rsa-512" }), "key_algorithm"),
        misfit(
            with("basic_constraints", json!({ "ca": true })),
            "basic_constraints",
        ),
        misfit(with("validity_seconds", json!(-1)), "validity_seconds"),
        misfit(with("validity_seconds", json!("a day")), "validity_seconds"),
        misfit(with("validity_seconds", json!(1.5)), "validity_seconds"),
        misfit(
            with("certificate_type", json!("everything")),
            "certificate_type",
        ),
        misfit(
            with("certificate_authority_id", json!("the best")),
            "certificate_authority_id",
        ),
        misfit(with("tags", json!(["a", 5])), "tags[1]"),
        misfit(with("custom_fields", json!({ "a": {} })), "custom_fields.a"),
        Input::new("nothing", json!({}), "key_source_missing", "csr"),
        Input::new(
            "a CSR and a key",
            with("key_algorithm", json!("ecdsa-p256")),
            "key_source_missing",
            "csr",
        ),
        Input::new(
            "a subject beside a CSR",
            with("subject", json!("CN=a")),
            "names_beside_csr",
            "subject",
        ),
        Input::new(
            "no second at all",
            with("validity_seconds", json!(0)),
            "policy_violation",
            "not_after",
        ),
        Input {
            status: 404,
            ..Input::new(
                "an unknown authority",
                with(
                    "certificate_authority_id",
                    json!("00000000-0000-7000-8000-000000000000"),
                ),
                "not_found",
                "certificate_authority_id",
            )
        },
    ]
}

/// Queries of lists, and texts by which something is looked up.
pub(super) async fn that_are_looked_up(requester: &Requester) {
    for list in [
        "certificates",
        "certificate-requests",
        "certificate-authorities",
        "api-keys",
    ] {
        for (query, code, field) in [
            ("limit=0", "limit_out_of_range", "limit"),
            ("limit=1001", "limit_out_of_range", "limit"),
            ("limit=many", "malformed_query", "query"),
            ("cursor=%00", "cursor_invalid", "cursor"),
            ("cursor=nonsense", "cursor_invalid", "cursor"),
            ("organization=other", "malformed_query", "query"),
        ] {
            let answer = requester.get(&format!("/api/v1/{list}?{query}")).await;
            let problem = problem(&answer);
            assert_eq!(
                (problem.status, problem.code.as_str()),
                (400, code),
                "{list}?{query}"
            );
            assert_eq!(fields(&problem), [field], "{list}?{query}: {problem:?}");
        }
        let answer = requester.get(&format!("/api/v1/{list}/%00")).await;
        assert_eq!(
            problem(&answer).status,
            if list == "api-keys" { 405 } else { 404 },
            "{list}"
        );
    }
    let sign_in = [
        json!({ "username": "admin\0", "password": "a password of a test" }),
        json!({ "username": "a", "password": "a password\0 of a test" }),
        json!({ "username": "a", "password": "a password of a test", "organization": "a\0" }),
        json!({ "username": "x".repeat(100_000), "password": "a password of a test" }),
    ];
    for body in sign_in {
        let problem = problem(&requester.post("/api/v1/sessions", &body).await);
        assert_eq!(problem.status, 401, "{problem:?}");
    }
}

/// Bodies that are no JSON, and JSON that calls itself something else.
pub(super) async fn that_are_no_json(program: &Program, requester: &Requester, good: &str) {
    let json = json!({ "csr": good }).to_string();
    let head = |content_type| Head {
        path: CERTIFICATE_REQUESTS,
        fields: vec![("content-type", content_type)],
    };
    let deep = format!("{{\"csr\":{}", "[".repeat(200_000));
    let twice = format!("{{\"csr\":\"a\",{}", &json[1..]);
    let bodies: [(&str, &[u8], &str); 7] = [
        ("an empty body", b"", "body"),
        ("half a body", &json.as_bytes()[..json.len() / 2], "csr"),
        (
            "a body and more",
            &[json.as_bytes(), b"{}"].concat(),
            "body",
        ),
        ("no UTF-8", b"{\"csr\":\"\xff\"}", "csr"),
        ("depth", deep.as_bytes(), "csr"),
        ("a field twice", twice.as_bytes(), "body"),
        ("a form", b"csr=a", "body"),
    ];
    for (what, body, field) in bodies {
        let answer = exchange(program, requester, &head("application/json"), body);
        answer.is_problem(what, 400, "malformed_json", field);
    }
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/pkcs10",
        "",
    ] {
        let answer = exchange(program, requester, &head(content_type), json.as_bytes());
        answer.is_problem(content_type, 415, "unsupported_media_type", "content-type");
    }
    let without = Head {
        path: CERTIFICATE_REQUESTS,
        fields: Vec::new(),
    };
    let answer = exchange(program, requester, &without, json.as_bytes());
    answer.is_problem(
        "no content type",
        415,
        "unsupported_media_type",
        "content-type",
    );
}
