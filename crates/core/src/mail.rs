//! Mail about accounts: ordered in the transaction of the act that causes it, delivered by a loop.
//!
//! An order is a row of `notifications`. Its text is complete but for a link whose token is made when
//! the mail leaves, so that no token rests anywhere. Start with [`orders`], then [`delivery`].

pub mod delivery;
mod letters;
pub(crate) mod orders;

use clm_domain::error::{ErrorKind, Fault};

pub use clm_connectors::notify::email::{Mailer, SettingError, SmtpServer};

use crate::Core;
use crate::authentication::throttle::network_of;
use crate::context::OpContext;
use crate::error::{CoreError, Result};

/// How mail leaves.
#[derive(Clone, Debug)]
pub struct MailSettings {
    /// Gives messages to the operator's server.
    pub mailer: Mailer,
    /// What links begin with, without a slash at the end: the operator's word, never that of a request.
    pub public_url: String,
}

/// No mail can be sent here.
pub(crate) fn not_configured() -> CoreError {
    let message = "This installation sends no mail. Ask an administrator for a new password, or the \
        operator to set CLM_SMTP_URL.";
    Fault::new(ErrorKind::Conflict, "mail_not_configured", message).into()
}

/// The refusal of every link that does not work, whatever the reason.
pub(crate) fn link_invalid() -> CoreError {
    let message = "This link does not work: it was used, is too old, or another one took its place. \
        Ask for a new one.";
    Fault::invalid("link_invalid", "token", message).into()
}

/// Lets somebody unknown ask for a link, or present one, unless too many came from the address.
///
/// # Errors
/// `RateLimited` with code `too_many_links`.
pub(crate) fn admit(context: &OpContext, core: &Core) -> Result<()> {
    let network = network_of(context.request.ip_address.as_deref());
    core.link_throttle.admit(network).map_err(|held_up| {
        let message = "Too many links were asked for, or tried, from your address. Wait, then try \
            again.";
        let mut fault = Fault::new(ErrorKind::RateLimited, "too_many_links", message);
        fault.retry_after_seconds = held_up.0.retry_after_seconds;
        fault.into()
    })
}

/// Counts a link that was asked for, or that was none.
pub(crate) fn count(context: &OpContext, core: &Core) {
    core.link_throttle
        .failed(network_of(context.request.ip_address.as_deref()));
}
