//! Tests of `step_up`: whatever differs gives another hash.

use uuid::Uuid;

use super::*;

#[test]
fn the_hash_tells_organization_command_and_arguments_apart() {
    let organization = |number| OrganizationId::from_uuid(Uuid::from_u128(number));
    let hash = |number, name, arguments: &(u32, Option<&str>)| {
        request_hash(organization(number), name, arguments).unwrap()
    };
    let one = hash(1, "change", &(7, Some("why")));
    assert_eq!(one, hash(1, "change", &(7, Some("why"))));
    assert_ne!(one, hash(2, "change", &(7, Some("why"))));
    assert_ne!(one, hash(1, "chang", &(7, Some("why"))));
    assert_ne!(one, hash(1, "change", &(8, Some("why"))));
    assert_ne!(one, hash(1, "change", &(7, None)));
}
