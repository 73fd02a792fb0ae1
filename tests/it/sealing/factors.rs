//! Second factors: enrolled, put into force, used once, locked out, removed, and moved by a rotation.

use chrono::TimeDelta;
use clm_domain::actor::Actor;
use clm_domain::clock::Clock as _;
use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::{OrganizationId, UserId};
use clm_domain::secret::SecretString;
use clm_domain::states::KeyRotationType;
use clm_secure_api::command::{
    ActivateTotp, EnrolTotp, FindSecondFactor, RemoveTotp, RenewBackupCodes, ResetTotp, StepUp,
    VerifyTotp,
};
use clm_secure_api::reply::{BackupCodes, SecondFactorStatus};
use futures::future::join_all;
use uuid::Uuid;

use super::{api_key, person};
use crate::key_rotation::bench::Bench;
use crate::support::authenticator::Authenticator;

/// The device of a user, by the clock of the bench.
pub(super) struct Device(Authenticator);

impl Device {
    /// What it shares with the platform.
    pub(super) fn secret(&self) -> &[u8] {
        self.0.secret()
    }

    /// What it shows now.
    pub(super) fn code(&self, bench: &Bench) -> String {
        self.0.code_at(bench.clock.now().timestamp())
    }

    /// Six digits that it does not show about now.
    pub(super) fn wrong(&self, bench: &Bench) -> String {
        self.0.wrong_at(bench.clock.now().timestamp())
    }
}

fn shown(codes: BackupCodes) -> Vec<String> {
    let codes = codes.codes.into_iter();
    codes.map(|code| code.0.expose().to_owned()).collect()
}

pub(super) fn text(code: &str) -> SecretString {
    SecretString::new(code.to_owned())
}

impl Bench {
    /// The next code is another one.
    pub(super) fn next_step(&self) {
        self.clock.advance(TimeDelta::seconds(30));
    }

    pub(super) async fn enrol(
        &self,
        organization: OrganizationId,
        actor: Actor,
    ) -> Result<Device, Fault> {
        let command = EnrolTotp {
            label: "ann@example.org".to_owned(),
        };
        let enrolled = self
            .client
            .enrol_totp(self.by(organization, actor), command);
        let enrolled = enrolled.await.map_err(|error| error.0)?;
        Ok(Device(Authenticator::read(enrolled.uri.expose())))
    }

    pub(super) async fn activate(
        &self,
        organization: OrganizationId,
        actor: Actor,
        code: &str,
    ) -> Result<Vec<String>, Fault> {
        let command = ActivateTotp { code: text(code) };
        let done = self
            .client
            .activate_totp(self.by(organization, actor), command);
        done.await.map(shown).map_err(|error| error.0)
    }

    pub(super) async fn renew(
        &self,
        organization: OrganizationId,
        user: u128,
        code: &str,
    ) -> Result<Vec<String>, Fault> {
        let command = RenewBackupCodes { code: text(code) };
        let context = self.by(organization, person(user, user));
        let done = self.client.renew_backup_codes(context, command);
        done.await.map(shown).map_err(|error| error.0)
    }

    pub(super) async fn status(
        &self,
        organization: OrganizationId,
        user: u128,
    ) -> SecondFactorStatus {
        let command = FindSecondFactor {
            user_id: UserId::from_uuid(Uuid::from_u128(user)),
        };
        let context = self.by(organization, Actor::Anonymous);
        self.client
            .find_second_factor(context, command)
            .await
            .unwrap()
    }

    /// The device of a user with a second factor in force, whose first code is used.
    pub(super) async fn device(&self, organization: OrganizationId, user: u128) -> Device {
        let device = self.enrol(organization, person(user, user)).await.unwrap();
        let code = device.code(self);
        self.activate(organization, person(user, user), &code)
            .await
            .unwrap();
        self.next_step();
        device
    }

    pub(super) async fn verify(
        &self,
        organization: OrganizationId,
        user: u128,
        code: &str,
    ) -> Result<(), Fault> {
        let command = VerifyTotp {
            user_id: UserId::from_uuid(Uuid::from_u128(user)),
            code: text(code),
        };
        let done = self.client.verify_totp(self.context(organization), command);
        done.await.map(|_| ()).map_err(|error| error.0)
    }

    pub(super) async fn remove(
        &self,
        organization: OrganizationId,
        user: u128,
        code: &str,
    ) -> Result<(), Fault> {
        let command = RemoveTotp { code: text(code) };
        let context = self.by(organization, person(user, user));
        let done = self.client.remove_totp(context, command);
        done.await.map(|_| ()).map_err(|error| error.0)
    }

    pub(super) async fn reset(
        &self,
        organization: OrganizationId,
        actor: Actor,
    ) -> Result<(), Fault> {
        let command = ResetTotp {
            user_id: UserId::from_uuid(Uuid::from_u128(1)),
            reason: "lost".to_owned(),
        };
        let done = self
            .client
            .reset_totp(self.by(organization, actor), command);
        done.await.map(|_| ()).map_err(|error| error.0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_factor_lives_from_its_first_code_to_its_removal() {
    let bench = Bench::start().await;
    let (home, other) = (bench.organization(0).await, bench.organization(0).await);
    let ann = person(1, 1);
    assert_eq!(
        bench.verify(home, 1, "123456").await.unwrap_err().code,
        "totp_not_active"
    );
    let refused = bench.enrol(home, api_key(1)).await.err().unwrap();
    assert_eq!(refused.code, "session_required");

    // A pending one is replaced, and ends by itself.
    let first = bench.enrol(home, ann.clone()).await.unwrap();
    let second = bench.enrol(home, ann.clone()).await.unwrap();
    let refused = bench
        .activate(home, ann.clone(), &first.code(&bench))
        .await
        .unwrap_err();
    assert_eq!(refused.code, "totp_code_invalid");
    let refused = bench
        .verify(home, 1, &second.code(&bench))
        .await
        .unwrap_err();
    assert_eq!(refused.code, "totp_not_active");
    bench.clock.advance(TimeDelta::minutes(10));
    let refused = bench
        .activate(home, ann.clone(), &second.code(&bench))
        .await
        .unwrap_err();
    assert_eq!(refused.code, "totp_not_enrolled");
    bench.secure().remove_expired_factors().await.unwrap();
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sealed_secrets WHERE deleted_at IS NULL")
            .fetch_one(&bench.admin)
            .await
            .unwrap();
    assert_eq!(left, 0, "their secrets are destroyed");

    let device = bench.device(home, 1).await;
    bench.verify(home, 1, &device.code(&bench)).await.unwrap();
    let refused = bench.enrol(home, ann.clone()).await.err().unwrap();
    assert_eq!(refused.code, "totp_already_active");
    // Not in another organization either: that would be a way round.
    let refused = bench.enrol(other, ann.clone()).await.err().unwrap();
    assert_eq!(refused.kind, ErrorKind::Conflict, "{refused:?}");
    assert_eq!(
        bench.verify(other, 1, "123456").await.unwrap_err().code,
        "totp_not_active"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_factor_is_used_moved_and_removed() {
    let bench = Bench::start().await;
    let home = bench.organization(0).await;
    let device = bench.device(home, 1).await;
    // A device may be late or early by a step.
    bench.next_step();
    let late = device.code(&bench);
    bench.next_step();
    bench.verify(home, 1, &late).await.unwrap();
    bench.clock.advance(TimeDelta::seconds(60));
    let early = device.code(&bench);
    bench.clock.advance(TimeDelta::seconds(-30));
    bench.verify(home, 1, &early).await.unwrap();
    let now = device.code(&bench);
    let refused = bench.verify(home, 1, &now).await.unwrap_err();
    assert_eq!(refused.code, "totp_code_used", "a later one was accepted");

    // What a rotation moved still judges.
    bench.complete(home, KeyRotationType::Emergency).await;
    bench.clock.advance(TimeDelta::minutes(5));
    bench.verify(home, 1, &device.code(&bench)).await.unwrap();

    bench.next_step();
    let refused = bench
        .remove(home, 1, &device.wrong(&bench))
        .await
        .unwrap_err();
    assert_eq!(refused.code, "totp_code_invalid");
    bench.remove(home, 1, &device.code(&bench)).await.unwrap();
    bench.next_step();
    let refused = bench
        .verify(home, 1, &device.code(&bench))
        .await
        .unwrap_err();
    assert_eq!(refused.code, "totp_not_active");
    let events = bench.events(home).await;
    assert_eq!(events["totp.removed"], 2);
    assert_eq!(bench.audited("totp.activated", "success").await, 1);
}

/// Who has lost a device asks the operator of the machine, and nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_local_operator_resets_a_factor() {
    let bench = Bench::start().await;
    let home = bench.organization(0).await;
    let ann = person(1, 1);
    bench.device(home, 1).await;
    for actor in [ann.clone(), person(2, 2), api_key(1), Actor::System] {
        let refused = bench.reset(home, actor).await.unwrap_err();
        assert_eq!(refused.code, "local_operator_required");
    }
    bench
        .reset(home, Actor::LocalOperator { uid: 0 })
        .await
        .unwrap();
    assert_eq!(bench.audited("totp.reset", "success").await, 1);
    assert_eq!(bench.audited("totp.reset", "failure").await, 4);
    bench.device(home, 1).await;
}

/// Twenty come with one code, to two processes: one is accepted.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_accepted_once() {
    let bench = Bench::start().await;
    let home = bench.organization(0).await;
    let device = bench.device(home, 1).await;
    let another = clm_secure_api::SecureClient::new(bench.another().await as _);
    for _ in 0..3 {
        let code = device.code(&bench);
        let attempts = (0..20).map(|number| {
            let client = if number % 2 == 0 {
                &bench.client
            } else {
                &another
            };
            let command = VerifyTotp {
                user_id: UserId::from_uuid(Uuid::from_u128(1)),
                code: text(&code),
            };
            client.verify_totp(bench.context(home), command)
        });
        let outcomes = join_all(attempts).await;
        let accepted = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(accepted, 1);
        for refused in outcomes.into_iter().filter_map(Result::err) {
            assert_eq!(refused.0.code, "totp_code_used");
        }
        bench.next_step();
    }
    // Nobody is locked out by that.
    bench.verify(home, 1, &device.code(&bench)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_codes_lock_for_longer_and_longer() {
    let bench = Bench::start().await;
    let home = bench.organization(0).await;
    let device = bench.device(home, 1).await;
    let neighbour = bench.device(home, 2).await;
    for expected in ["totp_code_invalid"; 4].into_iter().chain(["totp_locked"]) {
        let refused = bench
            .verify(home, 1, &device.wrong(&bench))
            .await
            .unwrap_err();
        assert_eq!(refused.code, expected);
    }
    // Then the right one is of no use either, whatever it is for.
    let refused = bench
        .verify(home, 1, &device.code(&bench))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.kind, refused.code.as_ref()),
        (ErrorKind::RateLimited, "totp_locked")
    );
    assert_eq!(refused.retry_after_seconds, Some(31));
    let command = StepUp {
        code: text(&device.code(&bench)),
        request_sha256: [1; 32],
    };
    let refused = bench
        .client
        .step_up(bench.by(home, person(1, 1)), command)
        .await;
    assert_eq!(refused.unwrap_err().0.code, "totp_locked");
    bench
        .verify(home, 2, &neighbour.code(&bench))
        .await
        .unwrap();

    let mut seconds = 30;
    for _ in 0..9 {
        bench.clock.advance(TimeDelta::seconds(seconds));
        let refused = bench
            .verify(home, 1, &device.wrong(&bench))
            .await
            .unwrap_err();
        seconds = (seconds * 2).min(3_600);
        assert_eq!(
            refused.retry_after_seconds.map(i64::from),
            Some(seconds + 1)
        );
    }
    bench.clock.advance(TimeDelta::seconds(seconds));
    bench.verify(home, 1, &device.code(&bench)).await.unwrap();
    bench.next_step();
    let refused = bench
        .verify(home, 1, &device.wrong(&bench))
        .await
        .unwrap_err();
    assert_eq!(refused.code, "totp_code_invalid", "the count begins anew");
    // What has no form of a code is judged by nobody.
    for malformed in ["12345", "1234567", "12345x", ""] {
        let refused = bench.verify(home, 1, malformed).await.unwrap_err();
        assert_eq!(refused.code, "totp_code_malformed");
    }
}

/// Many wrong codes at once are no way round: five are judged, and the right one among the late ones
/// is not.
#[tokio::test(flavor = "multi_thread")]
async fn many_wrong_codes_at_once_lock_as_well() {
    let bench = Bench::start().await;
    let home = bench.organization(0).await;
    let device = bench.device(home, 1).await;
    let wrong = device.wrong(&bench);
    let outcomes = join_all((0..40).map(|_| bench.verify(home, 1, &wrong))).await;
    let judged = outcomes.iter().filter(|outcome| {
        outcome
            .as_ref()
            .is_err_and(|fault| fault.code == "totp_code_invalid")
    });
    assert!(judged.count() <= 4);
    let refused = bench
        .verify(home, 1, &device.code(&bench))
        .await
        .unwrap_err();
    assert_eq!(refused.code, "totp_locked");
}

/// A factor whose secret was changed in the database judges nothing, and says that it is ours to
/// mend.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_factor_accepts_nothing() {
    let bench = Bench::start().await;
    let home = bench.organization(0).await;
    let device = bench.device(home, 1).await;
    bench
        .execute(
            "UPDATE sealed_secrets SET encrypted_secret = set_bit(encrypted_secret, 3,
                1 - get_bit(encrypted_secret, 3)) WHERE purpose = 'totp'",
        )
        .await;
    let refused = bench
        .verify(home, 1, &device.code(&bench))
        .await
        .unwrap_err();
    assert_eq!(refused.kind, ErrorKind::KeyUnavailable);
}
