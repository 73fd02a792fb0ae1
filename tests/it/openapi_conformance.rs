//! schemathesis, the judge from outside, calls every operation of the OpenAPI document by chance, as each
//! role: nothing fails on our side, no status is one that the document does not know, and no answer is off
//! its schema.

use std::path::Path;
use std::process::Command;

use clm_domain::permission::Permissions;
use clm_tests::Program;
use clm_tests::databases::Superuser;
use clm_tests::rest::{Credential, NOBODY, Rest, bearer};
use clm_tests::soak::Soak;
use futures::StreamExt as _;
use uuid::Uuid;

use crate::support::judges;

/// What is judged. Left out: `missing_required_header` knows no 428 (RFC 6585 §3), `ignored_auth` and
/// `object_level_authorization` are what `access_coverage` does more exactly, and
/// `positive_data_acceptance` cannot be: most ids are made up.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,unsupported_method,use_after_free,\
    ensure_resource_availability";
/// What is judged of callers whose credential is no parameter of the document: of others the judge takes it
/// away, and we give it back.
const CHECKS_OF_KEYS: &str = "negative_data_rejection";
/// What would end the judgement rather than fail it: the session that asks, or the whole installation.
const LEFT_OUT: &str = "^/api/v1/(sessions/current|seal)$";
/// Calls of each operation by one caller in one round.
const EXAMPLES: u32 = 2;
/// Where chance begins.
const SEED: u64 = 20_260;

/// The six system roles.
const ROLES: [&str; 6] = [
    "SYSTEM_ADMIN",
    "CERT_ADMIN",
    "CERT_OPERATOR",
    "APPROVER",
    "AUDITOR",
    "USER",
];

/// Who asks.
struct Caller {
    name: &'static str,
    credential: Credential,
    /// Whether each parameter is also tried at its bounds, one by one.
    thoroughly: bool,
}

async fn callers(program: &Program) -> Vec<Caller> {
    let (rest, superuser) = (Rest::of(program), Superuser::of(program));
    let organization_id = superuser.organization("default").await;
    let password = program.bootstrap_text("password");
    let session = rest.sign_in("admin", &password, "default").await;
    let mut callers = vec![
        Caller {
            name: "nobody",
            credential: NOBODY,
            thoroughly: false,
        },
        Caller {
            name: "the first administrator, by session",
            credential: session.credential(),
            thoroughly: true,
        },
        Caller {
            name: "the first administrator, by API key",
            credential: bearer(&program.api_key().await),
            thoroughly: true,
        },
    ];
    for role in ROLES {
        let name = role.to_lowercase().replace('_', "-");
        let person = superuser
            .insert_person(organization_id, &name, &Permissions::none())
            .await;
        give(&superuser, (organization_id, person.user_id), role).await;
        callers.push(Caller {
            name: role,
            credential: bearer(&person.secret),
            thoroughly: false,
        });
    }
    let nothing = Permissions::none();
    let nothing = superuser.insert_person(organization_id, "without", &nothing);
    callers.push(Caller {
        name: "a user without a role",
        credential: bearer(&nothing.await.secret),
        thoroughly: false,
    });
    callers
}

async fn give(superuser: &Superuser, (organization_id, user_id): (Uuid, Uuid), role: &str) {
    sqlx::query(
        "INSERT INTO user_roles (organization_id, user_id, role_id)
         SELECT $1, $2, id FROM roles WHERE role_code = $3 AND is_system_role",
    )
    .bind(organization_id)
    .bind(user_id)
    .bind(role)
    .execute(&superuser.core)
    .await
    .unwrap();
}

/// One caller's round; what the judge holds against it.
fn judge(
    directory: &Path,
    url: &str,
    caller: &Caller,
    (examples, seed): (u32, u64),
) -> Option<String> {
    let programs = judges::directory("schemathesis");
    let phases = match caller.thoroughly {
        true => "examples,coverage,fuzzing,stateful",
        false => "examples,fuzzing,stateful",
    };
    let by_session = caller.credential.iter().any(|(name, _)| *name == "cookie");
    let checks = match by_session {
        true => CHECKS.to_owned(),
        false => format!("{CHECKS},{CHECKS_OF_KEYS}"),
    };
    let mut command = Command::new(programs.join("schemathesis"));
    command
        .args(["run", &format!("{url}/api/v1/openapi.json")])
        .args(["--phases", phases, "--checks", &checks])
        .args(["--exclude-path-regex", LEFT_OUT])
        .args(["--max-examples", &examples.to_string()])
        .args(["--seed", &seed.to_string()])
        .args(["--no-shrink", "--continue-on-failure", "--warnings", "off"])
        .current_dir(directory);
    for (name, value) in &caller.credential {
        command.args(["--header", &format!("{name}: {value}")]);
    }
    let output = command.output().expect("the judge starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let problems = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("Test cases:"),
        "the judge called nothing: {text}{problems}"
    );
    (!output.status.success()).then(|| format!("as {}:\n{text}{problems}", caller.name))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_documented() {
    let soak = Soak::announce_from(SEED);
    let mut program = Program::prepare();
    for name in ["CLM_RATE_LIMIT_PER_PRINCIPAL", "CLM_RATE_LIMIT_PER_ADDRESS"] {
        let limit = (name.to_owned(), "100000".to_owned());
        program.environment.push(limit);
    }
    program.serve();
    let url = program.bootstrap_text("url");
    let callers = callers(&program).await;
    // Three rounds in `make test` are one of few calls.
    let examples = EXAMPLES * soak.rounds / 3;
    let directory = program.directory.path().to_path_buf();
    let limits = (examples.max(1), soak.seed);
    let rounds = callers.into_iter().enumerate().map(|(index, caller)| {
        let own = directory.join(format!("judge-{index}"));
        let url = url.clone();
        async move {
            std::fs::create_dir(&own).unwrap();
            tokio::task::spawn_blocking(move || judge(&own, &url, &caller, limits))
                .await
                .unwrap()
        }
    });
    // As many at a time as there are processors to expect.
    let found = futures::stream::iter(rounds).buffer_unordered(2);
    let found: Vec<Option<String>> = found.collect().await;
    let found: Vec<String> = found.into_iter().flatten().collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    drop(program);
}
