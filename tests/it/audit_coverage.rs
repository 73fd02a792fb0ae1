//! Which audit events each mutating operation writes, on success and on every kind of refusal.
//!
//! The list is in `acts`; it fails when the program's OpenAPI document holds another mutating
//! operation. How each case comes about is in `attempts`.

mod acts;
mod attempts;

use std::collections::BTreeSet;

use clm_domain::audit::{AuditRow, CoreEvent, EventType, SecureEvent};
use clm_domain::ids::SYSTEM_ORGANIZATION;
use clm_domain::states::{AuditResult, Severity};
use clm_tests::Program;
use clm_tests::databases::{Log, Person, Superuser};
use clm_tests::rest::{Answer, Rest, USER_AGENT, documented};
use clm_tests::tenant::Tenant;
use uuid::Uuid;

use acts::Expected;
use attempts::{Attempt, Concerned, Who};

/// A running program with somebody who may do everything, and somebody who may do nothing.
struct World {
    program: Program,
    rest: Rest,
    /// The interface of the operator of the machine.
    machine: Rest,
    superuser: Superuser,
    tenant: Tenant,
    powerless: Person,
    /// Of the split master key, while it is one.
    shares: std::sync::Mutex<Vec<String>>,
}

impl World {
    async fn start() -> Self {
        let mut program = Program::prepare();
        // Mail is ordered, and nobody takes it.
        program.environment = [
            ("CLM_SMTP_URL", "smtp://127.0.0.1:1?tls=none"),
            ("CLM_SMTP_FROM", "clm@audited.example"),
            ("CLM_PUBLIC_URL", "https://clm.audited.example"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        program.serve();
        let tenant = Tenant::fill(&program, "default").await;
        let (rest, superuser) = (Rest::of(&program), Superuser::of(&program));
        let nothing = clm_domain::permission::Permissions::none();
        let powerless = superuser.insert_person(tenant.organization_id, "powerless", &nothing);
        let powerless = powerless.await;
        superuser.settle().await;
        Self {
            machine: Rest::of_operator(&program),
            program,
            rest,
            superuser,
            tenant,
            powerless,
            shares: std::sync::Mutex::default(),
        }
    }

    /// Sends an attempt to where it is made: the operator of the machine comes through its socket.
    async fn send(&self, attempt: &Attempt) -> Answer {
        match attempt.is_of_machine() {
            true => self.machine.send(attempt.call()).await,
            false => self.rest.send(attempt.call()).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mutating_operation_is_audited() {
    let world = World::start().await;
    compare_with_document(&world.rest).await;
    let mut seen = BTreeSet::new();
    for act in acts::all() {
        for case in act.cases {
            let what = format!("{} {}: {}", act.method, act.path, case.name);
            // One that an earlier case began must not end in the middle of this one.
            world.superuser.finish_rotations().await;
            let attempt = attempts::prepare(&world, (act.method, act.path), case.name).await;
            world.superuser.settle().await;
            let counts = counts(&world).await;
            let answer = world.send(&attempt).await;
            assert_eq!(answer.status, case.status, "{what}: {}", answer.text);
            world.superuser.settle().await;

            let audited = Audited {
                world: &world,
                what,
                attempt,
                answer,
                seen: &mut seen,
            };
            audited.check(case.core, case.secure, counts).await;
        }
    }
    every_event_is_known(&world, &seen).await;
    drop(world.program);
}

/// The list above and the program's own document name the same mutating operations.
async fn compare_with_document(rest: &Rest) {
    let mut mutating = 0;
    for (method, path, _) in documented(rest).await {
        if matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE") {
            continue;
        }
        mutating += 1;
        let act = acts::all().find(|act| act.method == method && act.path == path);
        let act = act.unwrap_or_else(|| panic!("{method} {path} has no entry in ACTS"));
        assert_eq!(
            act.cases[0].name, "success",
            "{method} {path}: success comes first"
        );
        assert!(act.cases.len() > 1, "{method} {path}: what is refused?");
        assert!(
            !act.cases[0].core.is_empty(),
            "{method} {path} succeeds unseen"
        );
    }
    assert_eq!(
        mutating,
        acts::all().count(),
        "ACTS lists an operation that the document does not have"
    );
}

async fn counts(world: &World) -> [i64; 2] {
    let superuser = &world.superuser;
    [
        superuser.audit_count(Log::Core).await,
        superuser.audit_count(Log::Secure).await,
    ]
}

/// One answered attempt.
struct Audited<'a> {
    world: &'a World,
    what: String,
    attempt: Attempt,
    answer: Answer,
    seen: &'a mut BTreeSet<(&'static str, String)>,
}

impl Audited<'_> {
    /// Each log has the expected events under the request's id, and nothing else is new.
    async fn check(
        mut self,
        core: &[Expected<CoreEvent>],
        secure: &[Expected<SecureEvent>],
        before: [i64; 2],
    ) {
        let core: Vec<_> = core.iter().map(Expected::event).collect();
        let secure: Vec<_> = secure.iter().map(Expected::event).collect();
        self.check_log(Log::Core, &core).await;
        self.check_log(Log::Secure, &secure).await;
        let after = counts(self.world).await;
        let new = [after[0] - before[0], after[1] - before[1]];
        assert_eq!(
            new,
            [core.len() as i64, secure.len() as i64],
            "{}: new events",
            self.what
        );
    }

    async fn check_log(&mut self, log: Log, expected: &[(EventType, Option<&'static str>)]) {
        let what = format!("{} in {}", self.what, log.table());
        let rows = self
            .world
            .superuser
            .audited(log, self.answer.request_id())
            .await;
        let mut found: Vec<&str> = rows
            .iter()
            .map(|(row, _)| row.event_code.as_str())
            .collect();
        let mut wanted: Vec<&str> = expected.iter().map(|(event, _)| event.code).collect();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{what}");
        for (row, stored) in &rows {
            let (event, reason) = expected
                .iter()
                .find(|(event, _)| event.code == row.event_code)
                .unwrap_or_else(|| panic!("{what}: {row:?}"));
            self.seen.insert((log.table(), row.event_code.clone()));
            assert_eq!(row.canonical_sha256().as_slice(), stored, "{what}: {row:?}");
            self.check_event(log, row, event, *reason, &what);
            self.check_cause(log, row, &what);
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "everything that one event must say"
    )]
    fn check_event(
        &self,
        log: Log,
        row: &AuditRow,
        event: &EventType,
        reason: Option<&str>,
        what: &str,
    ) {
        assert_eq!(row.event_category, event.category, "{what}");
        assert_eq!(row.resource_type, event.resource_type, "{what}");
        match reason {
            None => {
                assert_eq!(row.result, AuditResult::Success, "{what}: {row:?}");
                assert_eq!(row.severity, event.severity, "{what}");
                assert_eq!(row.reason, None, "{what}");
                assert!(
                    row.resource_id.is_some(),
                    "{what}: what does it concern? {row:?}"
                );
            }
            Some(code) => {
                assert_eq!(row.result, AuditResult::Failure, "{what}: {row:?}");
                assert_ne!(row.severity, Severity::Info, "{what}");
                let found = match log {
                    Log::Core => row.reason.as_deref(),
                    // There the reason is for people.
                    Log::Secure => row.details["code"].as_str(),
                };
                assert_eq!(found, Some(code), "{what}: {row:?}");
            }
        }
        if log == Log::Core {
            let concerned = match self.attempt.concerned {
                Concerned::Nothing => None,
                Concerned::Known(id) => Some(id),
                Concerned::InAnswer(pointer) => Some(self.answer.id(pointer)),
            };
            assert_eq!(row.resource_id, concerned, "{what}: {row:?}");
        }
    }

    /// Who, for which organization, in which request, from where.
    fn check_cause(&self, log: Log, row: &AuditRow, what: &str) {
        let Who {
            actor_type,
            actor_id,
            user_id,
            session_id,
            organization_id,
        } = self.attempt.who.resolve(&self.answer);
        assert_eq!(row.actor_type, actor_type, "{what}: {row:?}");
        assert_eq!(row.actor_id, actor_id, "{what}: {row:?}");
        assert_eq!(row.user_id, user_id, "{what}: {row:?}");
        assert_eq!(row.session_id, session_id, "{what}: {row:?}");
        // What belongs to the installation is the system organization's, whoever does it.
        let paths = ["/api/v1/master-key", "/api/v1/seal", "/api/v1/unseal"];
        let is_there = |path: &&str| self.attempt.path.starts_with(*path);
        let of_installation = ["master_key", "seal"].contains(&row.resource_type.as_str())
            || row.reason.as_deref() == Some("permission_missing") && paths.iter().any(is_there);
        let organization_id = match of_installation {
            true => SYSTEM_ORGANIZATION.as_uuid(),
            false => organization_id,
        };
        assert_eq!(
            row.organization_id.as_uuid(),
            organization_id,
            "{what}: {row:?}"
        );
        if log == Log::Core {
            let address = (!self.attempt.is_of_machine()).then_some("127.0.0.1");
            assert_eq!(row.ip_address.as_deref(), address, "{what}");
            assert_eq!(row.user_agent.as_deref(), Some(USER_AGENT), "{what}");
        }
    }
}

/// Events that no REST operation writes, and what does.
const NOT_BY_REST: &[(&str, &str, Source)] = &[
    // Looking at users of another home is no mutating operation: see `users`.
    (
        "audit_log",
        CoreEvent::UserSeenAcross.code(),
        Source::Reading,
    ),
    // Who looks across organizations is tried in `organizations`.
    (
        "audit_log",
        CoreEvent::OrganizationListedAcross.code(),
        Source::Reading,
    ),
    (
        "audit_log",
        CoreEvent::OrganizationReadAcross.code(),
        Source::Reading,
    ),
    (
        "audit_log",
        CoreEvent::ReconciliationDifferenceFound.code(),
        Source::Reconciler,
    ),
    // Only a core that is not this program gives such a command.
    (
        "secure_audit_log",
        SecureEvent::CommandRefused.code(),
        Source::ForeignCore,
    ),
    // What the keys of an organization go through by themselves is tried in `key_rotation`.
    (
        "secure_audit_log",
        SecureEvent::KeyRotationEnded.code(),
        Source::KeyUpkeep,
    ),
    (
        "secure_audit_log",
        SecureEvent::EncryptionKeyRolledOver.code(),
        Source::KeyUpkeep,
    ),
    (
        "secure_audit_log",
        SecureEvent::EncryptionKeyDestroyed.code(),
        Source::KeyUpkeep,
    ),
    ("audit_log", CoreEvent::TotpReset.code(), Source::Sealing),
    // What the core may ask for without a REST operation yet is tried in `sealing`.
    (
        "secure_audit_log",
        SecureEvent::SecretSealed.code(),
        Source::Sealing,
    ),
    (
        "secure_audit_log",
        SecureEvent::SecretOpened.code(),
        Source::Sealing,
    ),
    (
        "secure_audit_log",
        SecureEvent::WebhookSigned.code(),
        Source::Sealing,
    ),
    (
        "secure_audit_log",
        SecureEvent::SecretDestroyed.code(),
        Source::Sealing,
    ),
    (
        "secure_audit_log",
        SecureEvent::TotpReset.code(),
        Source::Sealing,
    ),
    // Programs that call from elsewhere are let in by no REST operation: see `transport`.
    (
        "secure_audit_log",
        SecureEvent::TransportAuthorityCreated.code(),
        Source::Transport,
    ),
    (
        "secure_audit_log",
        SecureEvent::TransportServerCertified.code(),
        Source::Transport,
    ),
    (
        "secure_audit_log",
        SecureEvent::TransportPeerInvited.code(),
        Source::Transport,
    ),
    (
        "secure_audit_log",
        SecureEvent::TransportPeerPaired.code(),
        Source::Transport,
    ),
    (
        "secure_audit_log",
        SecureEvent::TransportPeerRenewed.code(),
        Source::Transport,
    ),
    (
        "secure_audit_log",
        SecureEvent::TransportPeerRevoked.code(),
        Source::Transport,
    ),
];

/// What writes an event that no REST operation writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Reading,
    Reconciler,
    ForeignCore,
    KeyUpkeep,
    Sealing,
    Transport,
}

/// Each event of both lists was written above, or is known to come from elsewhere.
async fn every_event_is_known(world: &World, seen: &BTreeSet<(&'static str, String)>) {
    let core = CoreEvent::ALL
        .iter()
        .map(|event| ("audit_log", event.code()));
    let secure = SecureEvent::ALL
        .iter()
        .map(|event| ("secure_audit_log", event.code()));
    for (log, code) in core.chain(secure) {
        let elsewhere = NOT_BY_REST.iter().find(|one| (one.0, one.1) == (log, code));
        let by_rest = seen.contains(&(log, code.to_owned()));
        assert_ne!(
            by_rest,
            elsewhere.is_some(),
            "{log}: {code} by REST: {by_rest}"
        );
    }
    for made in [CoreEvent::OrganizationCreated, CoreEvent::UserCreated] {
        let count = by_the_platform(world, made.code()).await;
        assert!(count > 0, "the bootstrap writes {}", made.code());
    }
    differ(world).await;
    for (log, code, source) in NOT_BY_REST {
        if *source == Source::Reconciler {
            let count = by_the_platform(world, code).await;
            assert!(count > 0, "{log}: no {code} by {source:?}");
        }
    }
}

async fn by_the_platform(world: &World, code: &str) -> i64 {
    let count = sqlx::query_scalar(
        "SELECT count(*) FROM audit_log WHERE event_code = $1 AND actor_type = 'system'",
    );
    count
        .bind(code)
        .fetch_one(&world.superuser.core)
        .await
        .expect("the log can be read")
}

/// Makes the databases differ, lets the reconciler find it, and makes them agree again.
async fn differ(world: &World) {
    let set = "UPDATE certificate_metadata SET has_private_key = NOT has_private_key
        WHERE certificate_id = $1";
    let certificate_id = world.tenant.object(clm_tests::tenant::Object::Certificate);
    world.superuser.update(set, certificate_id).await;
    let output = world.program.cli(&["db", "reconcile", "--check"]);
    world.superuser.update(set, certificate_id).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(&certificate_id.to_string()), "{output:?}");
    let row: (Uuid, Option<String>) = sqlx::query_as(
        "SELECT organization_id, details ->> 'certificate_id' FROM audit_log
         WHERE event_code = 'reconciliation.difference_found'",
    )
    .fetch_one(&world.superuser.core)
    .await
    .expect("the difference is audited, once");
    assert_eq!(
        row,
        (
            world.tenant.organization_id,
            Some(certificate_id.to_string())
        )
    );
}
