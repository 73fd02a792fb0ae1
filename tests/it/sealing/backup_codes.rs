//! Backup codes: each stands for the device once, whatever process it reaches and however it is typed.

use clm_domain::actor::Actor;
use clm_domain::ids::{OrganizationId, UserId};
use clm_secure_api::command::VerifyTotp;
use futures::future::join_all;
use uuid::Uuid;

use super::factors::{Device, text};
use super::person;
use crate::key_rotation::bench::Bench;

impl Bench {
    /// A user with a second factor in force, and the backup codes.
    async fn with_backup_codes(
        &self,
        organization: OrganizationId,
        user: u128,
    ) -> (Device, Vec<String>) {
        let device = self.enrol(organization, person(user, user)).await.unwrap();
        let code = device.code(self);
        let codes = self.activate(organization, person(user, user), &code);
        let codes = codes.await.unwrap();
        self.next_step();
        (device, codes)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_code_is_good_once() {
    let bench = Bench::start().await;
    let home = bench.organization(0).await;
    assert!(!bench.status(home, 1).await.is_active);
    let device = bench.enrol(home, person(1, 1)).await.unwrap();
    assert!(
        !bench.status(home, 1).await.is_active,
        "not before its code"
    );
    let refused = bench.activate(home, person(1, 1), "abcd-efgh-ijkl-mnop");
    assert_eq!(refused.await.unwrap_err().code, "totp_code_malformed");
    let code = device.code(&bench);
    let codes = bench.activate(home, person(1, 1), &code).await.unwrap();
    assert_eq!(codes.len(), 10);
    let status = bench.status(home, 1).await;
    assert_eq!((status.is_active, status.backup_codes_left), (true, 10));

    let another = clm_secure_api::SecureClient::new(bench.another().await as _);
    let typed = codes[0].to_uppercase().replace('-', " ");
    let attempts = (0..10).map(|number| {
        let client = if number % 2 == 0 {
            &bench.client
        } else {
            &another
        };
        let command = VerifyTotp {
            user_id: UserId::from_uuid(Uuid::from_u128(1)),
            code: text(if number % 3 == 0 { &typed } else { &codes[0] }),
        };
        client.verify_totp(bench.context(home), command)
    });
    let outcomes = join_all(attempts).await;
    assert_eq!(outcomes.iter().filter(|one| one.is_ok()).count(), 1);
    for refused in outcomes.into_iter().filter_map(Result::err) {
        assert_eq!(refused.0.code, "totp_code_invalid");
    }
    assert_eq!(bench.status(home, 1).await.backup_codes_left, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_of_others_count_for_nothing_and_are_not_counted() {
    let bench = Bench::start().await;
    let home = bench.organization(0).await;
    let (device, codes) = bench.with_backup_codes(home, 1).await;
    let (_, theirs) = bench.with_backup_codes(home, 2).await;
    for _ in 0..3 {
        for wrong in [theirs[0].as_str(), "aaaa-bbbb-cccc-dddd"] {
            let refused = bench.verify(home, 1, wrong).await.unwrap_err();
            assert_eq!(refused.code, "totp_code_invalid");
        }
    }
    bench.verify(home, 1, &device.code(&bench)).await.unwrap();
    // Whoever locks the device's codes does not lock out whoever has the backup codes.
    for _ in 0..5 {
        let wrong = device.wrong(&bench);
        bench.verify(home, 1, &wrong).await.unwrap_err();
    }
    bench.next_step();
    let refused = bench.verify(home, 1, &device.wrong(&bench)).await;
    assert_eq!(refused.unwrap_err().code, "totp_locked");
    bench.verify(home, 1, &codes[1]).await.unwrap();
    bench.verify(home, 1, &device.code(&bench)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_are_renewed_and_end_with_their_factor() {
    let bench = Bench::start().await;
    let home = bench.organization(0).await;
    let (_, codes) = bench.with_backup_codes(home, 1).await;
    let renewed = bench.renew(home, 1, &codes[2]).await.unwrap();
    assert_eq!(bench.status(home, 1).await.backup_codes_left, 10);
    let refused = bench.verify(home, 1, &codes[3]).await.unwrap_err();
    assert_eq!(refused.code, "totp_code_invalid", "the old ones are gone");
    bench.remove(home, 1, &renewed[0]).await.unwrap();
    let refused = bench.verify(home, 1, &renewed[1]).await.unwrap_err();
    assert_eq!(refused.code, "totp_not_active");
    let status = bench.status(home, 1).await;
    assert_eq!((status.is_active, status.backup_codes_left), (false, 0));
    assert_eq!(bench.audited("backup_codes.renewed", "success").await, 1);
    // By the operator too.
    bench.with_backup_codes(home, 1).await;
    let operator = Actor::LocalOperator { uid: 0 };
    bench.reset(home, operator).await.unwrap();
    assert!(!bench.status(home, 1).await.is_active);
}
