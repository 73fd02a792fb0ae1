//! Tests of `roles`.

use clm_domain::ids::SYSTEM_ORGANIZATION;
use uuid::Uuid;

use super::checks::{changed, check_code, check_description, check_name, writable};
use super::*;

const OWN: OrganizationId = OrganizationId::from_uuid(Uuid::from_u128(7));

fn role() -> RoleRecord {
    RoleRecord {
        role_id: RoleId::from_uuid(Uuid::from_u128(1)),
        organization_id: OWN,
        role_code: "OPERATORS".to_owned(),
        role_name: "Operators".to_owned(),
        description: Some("They operate.".to_owned()),
        permissions: [(Resource::Certificate, Action::Read)]
            .into_iter()
            .collect(),
        parent_role_id: Some(RoleId::from_uuid(Uuid::from_u128(2))),
        is_system_role: false,
        revision: 3,
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
    }
}

fn code<T: std::fmt::Debug>(outcome: Result<T>) -> String {
    outcome.unwrap_err().0.code.into_owned()
}

#[test]
fn codes_are_names_for_programs() {
    for good in ["A", "CERT_READER", "X509", &"A".repeat(64)] {
        assert_eq!(check_code(good.to_owned()).unwrap(), good);
    }
    for bad in ["", "_A", "9A", "a", "A B", "Ä", "A-B", &"A".repeat(65)] {
        assert_eq!(
            code(check_code(bad.to_owned())),
            "role_code_invalid",
            "{bad}"
        );
    }
}

#[test]
fn no_role_looks_like_a_system_role() {
    for taken in ["SYSTEM_ADMIN", "USER", "AUDITOR"] {
        assert_eq!(code(check_code(taken.to_owned())), "role_code_reserved");
    }
}

#[test]
fn names_and_descriptions_are_bounded() {
    assert_eq!(check_name("  Readers ").unwrap(), "Readers");
    assert_eq!(code(check_name(" ")), "role_name_invalid");
    assert_eq!(code(check_name("a\u{7}b")), "role_name_invalid");
    assert_eq!(code(check_name(&"ä".repeat(201))), "role_name_invalid");
    let lines = "one\ntwo";
    assert_eq!(
        check_description(Some(lines.to_owned()))
            .unwrap()
            .as_deref(),
        Some(lines)
    );
    assert_eq!(check_description(Some("  ".to_owned())).unwrap(), None);
    assert_eq!(
        code(check_description(Some("\u{0}".to_owned()))),
        "description_invalid"
    );
    assert_eq!(
        code(check_description(Some("x".repeat(2001)))),
        "description_invalid"
    );
}

#[test]
fn what_a_change_leaves_out_stays() {
    assert_eq!(changed(&role(), RoleChange::default()).unwrap(), role());
    let cleared = RoleChange {
        description: Some(None),
        parent_role_id: Some(None),
        ..RoleChange::default()
    };
    let cleared = changed(&role(), cleared).unwrap();
    assert_eq!((cleared.description, cleared.parent_role_id), (None, None));
    assert_eq!(cleared.permissions, role().permissions);
}

#[test]
fn system_roles_and_shared_ones_are_not_written_here() {
    assert_eq!(writable(role(), OWN).unwrap(), role());
    let shared = RoleRecord {
        organization_id: SYSTEM_ORGANIZATION,
        ..role()
    };
    assert_eq!(code(writable(shared.clone(), OWN)), "shared_role");
    assert!(writable(shared.clone(), SYSTEM_ORGANIZATION).is_ok());
    let system = RoleRecord {
        is_system_role: true,
        ..shared
    };
    assert_eq!(code(writable(system.clone(), OWN)), "system_role");
    assert_eq!(code(writable(system, SYSTEM_ORGANIZATION)), "system_role");
}

#[test]
fn nobody_gives_what_they_do_not_hold() {
    let held = role().permissions;
    assert!(refuse_beyond_rights(&held, &held, "permissions").is_ok());
    assert!(refuse_beyond_rights(&Permissions::none(), &held, "permissions").is_ok());
    let mut more = held.clone();
    more.grant(Resource::PrivateKey, Action::Export);
    let refused = refuse_beyond_rights(&more, &held, "role_id").unwrap_err().0;
    assert_eq!(refused.code, "permissions_beyond_rights");
    assert_eq!(refused.violations[0].field, "role_id");
    assert!(refused.message.contains("private_key") && !refused.message.contains("certificate"));
}
