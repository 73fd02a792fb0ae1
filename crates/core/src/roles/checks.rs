//! What a role may be: its texts, its place in the hierarchy, and who may write it.

use clm_domain::error::{ErrorKind, Fault};
use clm_domain::ids::OrganizationId;
use clm_domain::permission::Permissions;
use serde_json::json;

use super::{ROLE_LEVELS_MAX, RoleChange, RoleRecord};
use crate::access;
use crate::error::{CoreError, Result};
use crate::texts::check_line;

/// Longest code, in characters.
const CODE_CHARACTERS_MAX: usize = 64;
/// Longest name, in characters.
const NAME_CHARACTERS_MAX: usize = 200;
/// Longest description, in characters.
const DESCRIPTION_CHARACTERS_MAX: usize = 2000;
/// The codes of the six system roles.
const RESERVED_CODES: &[&str] = &[
    "SYSTEM_ADMIN",
    "CERT_ADMIN",
    "CERT_OPERATOR",
    "APPROVER",
    "AUDITOR",
    "USER",
];

/// A code as programs know it: capital letters, digits and underscores, a letter first.
pub(super) fn check_code(code: String) -> Result<String> {
    let inner = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let fits = (1..=CODE_CHARACTERS_MAX).contains(&code.len())
        && code.bytes().all(inner)
        && code.bytes().next().is_some_and(|b| b.is_ascii_uppercase());
    if !fits {
        let message = format!(
            "Use 1 to {CODE_CHARACTERS_MAX} capital letters (A-Z), digits and underscores, a \
             letter first."
        );
        return Err(Fault::invalid("role_code_invalid", "role_code", message).into());
    }
    if RESERVED_CODES.contains(&code.as_str()) {
        let message = "This is the code of a system role. Choose another.";
        return Err(Fault::invalid("role_code_reserved", "role_code", message).into());
    }
    Ok(code)
}

pub(super) fn check_name(name: &str) -> Result<String> {
    let refusal = ("role_name_invalid", "role_name");
    check_line(name, NAME_CHARACTERS_MAX, refusal)
}

pub(super) fn check_description(description: Option<String>) -> Result<Option<String>> {
    let Some(text) = description else {
        return Ok(None);
    };
    let text = text.trim();
    let is_odd = |c: char| c.is_control() && c != '\n' && c != '\t';
    if text.chars().count() <= DESCRIPTION_CHARACTERS_MAX && !text.chars().any(is_odd) {
        return Ok((!text.is_empty()).then(|| text.to_owned()));
    }
    let message = format!(
        "Use at most {DESCRIPTION_CHARACTERS_MAX} characters, and of control characters only line \
         ends and tabs."
    );
    Err(Fault::invalid("description_invalid", "description", message).into())
}

/// The role as it shall be.
pub(super) fn changed(present: &RoleRecord, change: RoleChange) -> Result<RoleRecord> {
    let mut role = present.clone();
    if let Some(name) = change.role_name {
        role.role_name = check_name(&name)?;
    }
    if let Some(description) = change.description {
        role.description = check_description(description)?;
    }
    if let Some(permissions) = change.permissions {
        role.permissions = permissions;
    }
    if let Some(parent_role_id) = change.parent_role_id {
        role.parent_role_id = parent_role_id;
    }
    Ok(role)
}

/// The role, unless it is not the organization's to write.
pub(super) fn writable(role: RoleRecord, organization_id: OrganizationId) -> Result<RoleRecord> {
    if role.is_system_role {
        let message = "The six system roles are the same in every installation and cannot be \
                       changed or deleted. Make a role of your own, which may inherit from this one.";
        return Err(Fault::new(ErrorKind::Conflict, "system_role", message).into());
    }
    if role.organization_id != organization_id {
        let message = "This role belongs to the System organization, and is changed there.";
        return Err(Fault::new(ErrorKind::Forbidden, "shared_role", message).into());
    }
    Ok(role)
}

/// Refuses to give away what one does not hold; `field` is where it was asked for.
///
/// # Errors
/// `PolicyViolation` with code `permissions_beyond_rights`, naming `field`.
pub(crate) fn refuse_beyond_rights(
    given: &Permissions,
    held: &Permissions,
    field: &str,
) -> Result<()> {
    let beyond = given.beyond(held);
    if beyond == Permissions::none() {
        return Ok(());
    }
    let message = format!(
        "Nobody gives what they do not hold, and you do not hold: {}",
        json!(beyond)
    );
    let kind = ErrorKind::PolicyViolation;
    let fault = Fault::new(kind, "permissions_beyond_rights", message.clone());
    Err(fault.with_violation(field, message).into())
}

pub(super) fn unknown_parent() -> CoreError {
    access::unknown_reference("parent_role_id", "role")
}

pub(super) fn cycle() -> CoreError {
    let message =
        "The role would inherit from itself. Choose a parent that does not inherit from it.";
    Fault::invalid("role_cycle", "parent_role_id", message).into()
}

pub(super) fn too_deep() -> CoreError {
    let message = format!(
        "A hierarchy of roles has at most {ROLE_LEVELS_MAX} levels, and this one would have more."
    );
    Fault::invalid("role_hierarchy_too_deep", "parent_role_id", message).into()
}

pub(super) fn code_taken() -> CoreError {
    let message = "The organization has, or once had, a role of this code. Choose another.";
    Fault::new(ErrorKind::Conflict, "role_code_taken", message)
        .with_violation("role_code", message)
        .into()
}
