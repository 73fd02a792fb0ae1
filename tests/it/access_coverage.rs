//! Who may do what: each operation against everybody who may not carry it out.
//!
//! The list of operations is in `operations`; it fails when the program's OpenAPI document holds
//! another one. After each refused call both databases hold what they held before.

mod credentials;
mod operations;
mod organizations;
mod rights;

use clm_tests::Program;
use clm_tests::databases::{Contents, Log, Superuser};
use clm_tests::rest::{Answer, Call, Rest};
use clm_tests::tenant::Tenant;

/// A running program with two organizations that have one of everything.
struct World {
    program: Program,
    rest: Rest,
    superuser: Superuser,
    own: Tenant,
    other: Tenant,
}

impl World {
    async fn start() -> Self {
        let program = Program::start();
        let own = Tenant::fill(&program, "default").await;
        let other = Tenant::fill(&program, "other").await;
        let (rest, superuser) = (Rest::of(&program), Superuser::of(&program));
        superuser.settle().await;
        Self {
            program,
            rest,
            superuser,
            own,
            other,
        }
    }
}

/// Watches that refused calls change nothing.
struct Watch<'a> {
    world: &'a World,
    before: Contents,
    audited: i64,
}

impl<'a> Watch<'a> {
    async fn begin(world: &'a World) -> Self {
        world.superuser.settle().await;
        let before = world.superuser.contents().await;
        for table in [
            "core.certificate_metadata",
            "core.sessions",
            "secure.private_keys",
        ] {
            assert!(before.contains_key(table), "{table} is not watched");
        }
        Self {
            world,
            before,
            audited: audited(world).await,
        }
    }

    /// Sends a call that must be refused with `status`.
    async fn refused(&self, what: &str, call: Call, status: u16) -> Answer {
        let answer = self.world.rest.send(call).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text);
        assert_eq!(
            answer.headers["content-type"], "application/problem+json",
            "{what}"
        );
        assert_eq!(
            answer.body["request_id"],
            answer.request_id().to_string(),
            "{what}"
        );
        let after = self.world.superuser.contents().await;
        for (table, before) in &self.before {
            assert_eq!(after.get(table), Some(before), "{what}: {table} changed");
        }
        answer
    }

    /// How many audit events came since the beginning.
    async fn events(&self) -> i64 {
        audited(self.world).await - self.audited
    }
}

async fn audited(world: &World) -> i64 {
    let core = world.superuser.audit_count(Log::Core).await;
    core + world.superuser.audit_count(Log::Secure).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_refuses_who_may_not() {
    let world = World::start().await;
    operations::compare_with_document(&world.rest).await;
    credentials::bad_ones_are_all_the_same(&world).await;
    credentials::what_is_public_takes_no_notice_of_them(&world).await;
    credentials::sessions_prove_where_a_change_comes_from(&world).await;
    credentials::what_was_revoked_stops_at_once(&world).await;
    rights::a_missing_permission_is_named(&world).await;
    rights::the_permission_alone_suffices(&world).await;
    rights::without_any_there_is_oneself(&world).await;
    rights::what_is_owed_comes_first(&world).await;
    rights::a_new_password_is_the_way_out(&world).await;
    organizations::objects_of_others_do_not_exist(&world).await;
    organizations::lists_show_nothing_of_others(&world).await;
    organizations::one_cannot_choose_another_by_header(&world).await;
    organizations::a_suspended_one_can_only_be_read(&world).await;
    organizations::an_inactive_one_admits_nobody(&world).await;
    drop(world.program);
}
