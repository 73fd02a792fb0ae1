//! The closed set of error kinds that cross a service boundary, and the fault that carries one.
//!
//! Each edge (REST, later ACME, EST, …) maps [`ErrorKind`] in one file of its own.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What went wrong, as a caller needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The object does not exist, or the caller may not know that it does.
    NotFound,
    /// The act contradicts the present state.
    Conflict,
    /// The input is not acceptable; [`Fault::violations`] names the fields.
    Invalid,
    /// The caller is known and lacks the right.
    Forbidden,
    /// The caller is unknown, or the credential is bad.
    Unauthenticated,
    /// A rule of the organization or a hard limit of the issuer says no.
    PolicyViolation,
    /// Somebody has to approve first.
    ApprovalRequired,
    /// A key that is needed cannot be used now (sealed, locked, removed).
    KeyUnavailable,
    /// Too many requests.
    RateLimited,
    /// Something that we depend on does not answer; trying again with the same key is safe.
    Upstream,
    /// A fault of ours.
    Internal,
}

impl ErrorKind {
    /// Whether the same request may succeed later without change.
    pub const fn is_retriable(self) -> bool {
        matches!(
            self,
            Self::KeyUnavailable | Self::RateLimited | Self::Upstream
        )
    }
}

/// One thing that is wrong with one field of the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The field as the caller wrote it, as a path such as `subject_alternative_names[3]`.
    pub field: String,
    /// What is wrong with it and what would be right.
    pub message: String,
}

/// An error that a person or program outside sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// The kind, which decides status codes.
    pub kind: ErrorKind,
    /// A stable code such as `csr_signature_invalid`.
    pub code: Cow<'static, str>,
    /// What was wrong and what to do; no secret, no internal detail.
    pub message: String,
    /// The fields concerned, when the input is at fault.
    pub violations: Vec<Violation>,
    /// After how many seconds trying again makes sense.
    pub retry_after_seconds: Option<u32>,
}

impl Fault {
    /// A fault without field details.
    pub fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        let retry_after_seconds = kind.is_retriable().then_some(1);
        Self {
            kind,
            code: Cow::Borrowed(code),
            message: message.into(),
            violations: Vec::new(),
            retry_after_seconds,
        }
    }

    /// An [`ErrorKind::Invalid`] fault about one field.
    pub fn invalid(
        code: &'static str,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let message = message.into();
        Self::new(ErrorKind::Invalid, code, message.clone()).with_violation(field, message)
    }

    /// [`ErrorKind::NotFound`] with one text for unknown and for foreign objects.
    pub fn not_found(what: &str) -> Self {
        Self::new(
            ErrorKind::NotFound,
            "not_found",
            format!("There is no such {what}, or it is not visible to you."),
        )
    }

    /// Adds a field to the fault.
    #[must_use]
    pub fn with_violation(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        self.violations.push(Violation {
            field: field.into(),
            message: message.into(),
        });
        self
    }
}
