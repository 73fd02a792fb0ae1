//! Wishes beyond the rules: refused with the field and the reason, and nothing is stored.

use clm_api_types::certificate_authorities::{CertificateAuthority, CertificateAuthorityCreate};
use clm_api_types::client::Client;
use clm_domain::certificate_plan::extended_key_usage;
use clm_domain::issuer_limits::{IssuerLimits, NameLimits};
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_tests::{Program, openssl};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    CERTIFICATE_AUTHORITIES, CERTIFICATE_REQUESTS, Requester, check_audit_hashes, fields, problem,
};
use clm_tests::databases::{Log, Superuser};

/// Ten years, in seconds.
const TEN_YEARS: u64 = 10 * 365 * 86_400;

/// A name within the limits of the limited authority.
const GOOD: &str = "DNS:allowed.example";
/// The fields of the first and the second name.
const FIRST: &str = "subject_alternative_names[0]";
const SECOND: &str = "subject_alternative_names[1]";

/// A wish, and the code and fields of its refusal.
struct Wish {
    what: String,
    body: Value,
    code: &'static str,
    fields: Vec<&'static str>,
}

#[tokio::test(flavor = "multi_thread")]
async fn wishes_beyond_the_rules_are_refused() {
    let program = Program::start();
    let databases = Superuser::of(&program);
    let requester = Requester::of(&program).await;
    let limited = limited_authority(&program.operator("default")).await;
    within_the_limits(&requester, limited.id).await;
    databases.settle().await;

    let before = databases.contents().await;
    let mut wishes = wishes_of_requests(&program);
    wishes.extend(names_beyond_limits(&program, limited.id));
    wishes.extend(purposes_beyond_limits(limited.id));
    for wish in &wishes {
        let answer = requester.post(CERTIFICATE_REQUESTS, &wish.body).await;
        let problem = problem(&answer);
        assert_eq!(
            (problem.status, problem.code.as_str()),
            (422, wish.code),
            "{}",
            wish.what
        );
        assert_eq!(fields(&problem), wish.fields, "{}: {problem:?}", wish.what);
        assert!(
            problem.errors.iter().all(|error| error.message.len() > 10),
            "{problem:?}"
        );
    }
    let refused = authorities_that_may_not_be(&Requester::operator(&program), &limited).await;
    the_command_line_says_why(&program);
    assert_eq!(
        databases.contents().await,
        before,
        "a refusal stored something"
    );

    let core = databases.audit_log(Log::Core).await;
    let refusals = |code: &str| {
        let events = core.iter().filter(|(row, _)| row.event_code == code);
        events
            .filter(|(row, _)| row.result.as_str() == "failure")
            .count()
    };
    // Two more: one second beyond the limits, and the wish of the command line.
    assert_eq!(refusals("certificate_request.refused"), wishes.len() + 2);
    assert_eq!(refusals("certificate_authority.created"), refused);
    check_audit_hashes(&databases).await;
}

/// An authority below a new root that signs little.
async fn limited_authority(client: &Client) -> CertificateAuthority {
    let root = CertificateAuthorityCreate {
        name: "Root of the limited".to_owned(),
        subject: "CN=Root of the limited".to_owned(),
        parent_id: None,
        key_algorithm: KeyAlgorithm::EcdsaP256,
        signature_algorithm: None,
        validity_days: 3_650,
        path_length_max: None,
        limits: None,
    };
    let root = client
        .create_certificate_authority(&root, "root")
        .await
        .unwrap();
    let only = |value: &str| Some(vec![value.to_owned()]);
    let limits = IssuerLimits {
        certificate_authority: false,
        end_entities: true,
        extended_key_usage: vec![extended_key_usage::SERVER_AUTH.parse().unwrap()],
        key_algorithms: vec![KeyAlgorithm::EcdsaP256],
        validity_seconds_max: 30 * 86_400,
        names: NameLimits {
            dns_domains: only("allowed.example"),
            ip_networks: only("192.0.2.0/24"),
            email_domains: only("allowed.example"),
            uri_schemes: only("https"),
            other_name_types: Some(Vec::new()),
            directory_names: false,
            registered_ids: false,
        },
        issuances_per_minute_max: None,
        certificate_policies: Vec::new(),
        other_extensions: Vec::new(),
    };
    let issuing = CertificateAuthorityCreate {
        name: "Limited".to_owned(),
        subject: "CN=Limited".to_owned(),
        parent_id: Some(root.id),
        key_algorithm: KeyAlgorithm::EcdsaP256,
        signature_algorithm: None,
        validity_days: 365,
        path_length_max: Some(0),
        limits: Some(limits),
    };
    client
        .create_certificate_authority(&issuing, "limited")
        .await
        .unwrap()
}

/// The limited authority does sign what is within its limits, up to their edge.
async fn within_the_limits(requester: &Requester, authority: Uuid) {
    let names = [
        "DNS:allowed.example",
        "DNS:*.deep.allowed.example",
        "IP:192.0.2.255",
        "email:a@allowed.example",
        "URI:https://anything.example/",
    ];
    let mut body = json!({
        "key_algorithm": "ecdsa-p256", "certificate_authority_id": authority,
        "subject_alternative_names": names, "validity_seconds": 30 * 86_400,
    });
    let answer = requester.post(CERTIFICATE_REQUESTS, &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let certificate = &answer.body["certificate"];
    let time = |name: &str| certificate[name].as_str().unwrap().parse().unwrap();
    let (begin, end): (chrono::DateTime<chrono::Utc>, chrono::DateTime<chrono::Utc>) =
        (time("not_before"), time("not_after"));
    // Both ends count (RFC 5280 §4.1.2.5).
    assert_eq!((end - begin).num_seconds() + 1, 30 * 86_400);
    body["validity_seconds"] = json!(30 * 86_400 + 1);
    let problem = problem(&requester.post(CERTIFICATE_REQUESTS, &body).await);
    assert_eq!(problem.errors[0].field, "validity_seconds");
}

/// What no requester gets from any authority.
fn wishes_of_requests(program: &Program) -> Vec<Wish> {
    let refused = |what: &str, extensions: &[&str], fields: &[&'static str]| Wish {
        what: what.to_owned(),
        body: json!({ "csr": csr(program, extensions) }),
        code: "policy_violation",
        fields: fields.to_vec(),
    };
    let mut wishes = vec![
        refused(
            "CA:TRUE",
            &["basicConstraints=critical,CA:TRUE"],
            &["csr.basic_constraints"],
        ),
        refused(
            "keyCertSign",
            &["keyUsage=digitalSignature,keyCertSign"],
            &["csr.key_usage"],
        ),
        refused("cRLSign", &["keyUsage=cRLSign"], &["csr.key_usage"]),
        refused(
            "a CA altogether",
            &[
                "basicConstraints=CA:TRUE,pathlen:0",
                "keyUsage=critical,keyCertSign,cRLSign",
            ],
            &["csr.basic_constraints", "csr.key_usage"],
        ),
    ];
    for validity in [TEN_YEARS, 398 * 86_400] {
        wishes.push(Wish {
            what: format!("{validity} seconds"),
            body: json!({ "csr": csr(program, &[]), "validity_seconds": validity }),
            code: "policy_violation",
            fields: vec!["validity_seconds"],
        });
    }
    wishes.push(Wish {
        what: "more seconds than there are".to_owned(),
        body: json!({ "csr": csr(program, &[]), "validity_seconds": u64::MAX }),
        code: "validity_out_of_range",
        fields: vec!["validity_seconds"],
    });
    for certificate_type in ["root", "intermediate"] {
        wishes.push(Wish {
            what: certificate_type.to_owned(),
            body: json!({ "csr": csr(program, &[]), "certificate_type": certificate_type }),
            code: "certificate_type_invalid",
            fields: vec!["certificate_type"],
        });
    }
    wishes
}

/// A wish that the limited authority does not fulfil.
fn beyond(what: &str, authority: Uuid, mut body: Value, fields: &[&'static str]) -> Wish {
    body["certificate_authority_id"] = json!(authority);
    if body.get("validity_seconds").is_none() {
        body["validity_seconds"] = json!(86_400);
    }
    Wish {
        what: what.to_owned(),
        body,
        code: "policy_violation",
        fields: fields.to_vec(),
    }
}

/// Names that the limited authority does not sign.
fn names_beyond_limits(program: &Program, authority: Uuid) -> Vec<Wish> {
    let names = |names: &[&str], fields: &[&'static str]| {
        let body = json!({ "key_algorithm": "ecdsa-p256", "subject_alternative_names": names });
        beyond(&format!("{names:?}"), authority, body, fields)
    };
    let subject = |text: &str, names: &[&str], fields: &[&'static str]| {
        let body = json!({
            "key_algorithm": "ecdsa-p256", "subject": text, "subject_alternative_names": names,
        });
        beyond(text, authority, body, fields)
    };
    let of_csr = |extension: &str| {
        let body = json!({ "csr": csr(program, &[extension]) });
        // The common name of the request, 'Somebody', is no name that the authority signs either.
        beyond(extension, authority, body, &[FIRST, "subject"])
    };
    vec![
        names(&["DNS:elsewhere.example"], &[FIRST]),
        names(&[GOOD, "DNS:elsewhere.example"], &[SECOND]),
        names(&[GOOD, "DNS:notallowed.example"], &[SECOND]),
        names(&[GOOD, "DNS:allowed.example.elsewhere.example"], &[SECOND]),
        names(&[GOOD, "DNS:*.elsewhere.example"], &[SECOND]),
        names(&["IP:192.0.3.0", "IP:2001:db8::1"], &[FIRST, SECOND]),
        names(
            &["email:a@sub.allowed.example", "URI:http://allowed.example/"],
            &[FIRST, SECOND],
        ),
        of_csr("subjectAltName=DNS:elsewhere.example"),
        of_csr("subjectAltName=otherName:1.2.3;UTF8:a"),
        of_csr("subjectAltName=RID:1.2.3"),
        // The common name of a server without names becomes one.
        subject("CN=elsewhere.example", &[], &[FIRST]),
        subject("CN=elsewhere.example", &[GOOD], &["subject"]),
        subject("CN=192.0.3.1", &[GOOD], &["subject"]),
        subject(
            "CN=allowed.example+CN=elsewhere.example",
            &[GOOD],
            &["subject"],
        ),
    ]
}

/// What else the limited authority does not sign.
fn purposes_beyond_limits(authority: Uuid) -> Vec<Wish> {
    vec![
        beyond(
            "client authentication",
            authority,
            json!({
                "key_algorithm": "ecdsa-p256", "subject_alternative_names": [GOOD],
                "certificate_type": "client",
            }),
            &["extended_key_usage"],
        ),
        beyond(
            "another key",
            authority,
            json!({ "key_algorithm": "ed25519", "subject_alternative_names": [GOOD] }),
            &["key_algorithm"],
        ),
        beyond(
            "ten years, another key and another name",
            authority,
            json!({
                "key_algorithm": "rsa-2048", "subject_alternative_names": ["DNS:elsewhere.example"],
                "validity_seconds": TEN_YEARS,
            }),
            &["key_algorithm", "validity_seconds", FIRST],
        ),
    ]
}

/// A request of a new P-256 key with these extensions.
fn csr(program: &Program, extensions: &[&str]) -> String {
    let mut arguments = vec![
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        "/dev/null",
        "-subj",
        "/CN=Somebody",
    ];
    for extension in extensions {
        arguments.extend(["-addext", extension]);
    }
    openssl::expect(program.directory.path(), &arguments)
}

/// Authorities below one that signs none, and ones that outlive their parent; returns how many
/// were tried.
async fn authorities_that_may_not_be(
    requester: &Requester,
    limited: &CertificateAuthority,
) -> usize {
    let root = limited.parent_id.unwrap();
    let tries = [
        (limited.id, 30, "below one that signs none"),
        (root, 3_651, "longer than its parent"),
    ];
    for (parent, days, what) in tries {
        let body = json!({
            "name": what, "subject": "CN=Never", "parent_id": parent, "key_algorithm": "ecdsa-p256",
            "validity_days": days,
        });
        let answer = requester.post(CERTIFICATE_AUTHORITIES, &body).await;
        let problem = problem(&answer);
        assert_eq!(problem.status, 422, "{what}: {problem:?}");
        assert!(!problem.errors.is_empty(), "{what}: {problem:?}");
    }
    tries.len()
}

/// `clm cert request` fails, names the field, and writes no file.
fn the_command_line_says_why(program: &Program) {
    let directory = program.directory.path();
    std::fs::write(
        directory.join("ca.csr"),
        csr(program, &["basicConstraints=CA:TRUE"]),
    )
    .unwrap();
    let arguments = [
        "cert",
        "request",
        "--csr",
        "ca.csr",
        "--out",
        "ca.pem",
        "--organization",
        "default",
    ];
    let output = program.cli(&arguments);
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("csr.basic_constraints"), "{message}");
    assert!(message.contains("asks for a CA certificate"), "{message}");
    assert!(!directory.join("ca.pem").exists());
}
