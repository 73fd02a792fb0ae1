//! Whose rows a transaction may see.

use clm_domain::ids::OrganizationId;

/// The name of the setting that the tenant policies read.
pub const ORGANIZATION_SETTING: &str = "app.current_org_id";

const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// Whose rows a transaction may see. Row-level security holds it to that: a transaction without a
/// scope reads nothing, it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The rows of one organization, and what the system organization shares.
    Organization(OrganizationId),
    /// All rows, for a reason that stands in the code, on a list, and in the metrics.
    System(&'static str),
}

impl Scope {
    /// `BEGIN` and the scope as one message, so that the scope costs no round trip.
    ///
    /// READ COMMITTED by name, whatever the server's default is: who waits for a row lock must then see
    /// what its holder has written, in other rows too.
    pub(crate) fn begin_statement(self, system_role: &'static str) -> String {
        match self {
            // The id is a UUID and prints as nothing but hexadecimal digits and dashes.
            Self::Organization(id) => {
                format!("{BEGIN}; SET LOCAL {ORGANIZATION_SETTING} = '{id}'")
            }
            Self::System(_) => format!("{BEGIN}; SET LOCAL ROLE {system_role}"),
        }
    }
}
