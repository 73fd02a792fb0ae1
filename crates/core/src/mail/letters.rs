//! What mails say: plain text, with fixed subjects. Names that people chose stand in the text alone,
//! on a line of their own, cut and without anything that moves the cursor.

use chrono::{DateTime, Utc};
use clm_domain::states::{MailPurpose, OneTimeLinkPurpose};

/// Where the link goes; a line of its own.
pub(super) const LINK: &str = "{link}";
/// Longest name that is shown, in characters.
const NAME_CHARACTERS_MAX: usize = 80;

/// What a text tells beside its purpose.
pub(super) struct Circumstances<'a> {
    /// Whose account it is; absent for an invitation.
    pub(super) username: Option<&'a str>,
    /// The organization: the account's home, or the one that invites.
    pub(super) organization_name: &'a str,
    /// From where it was asked for; absent on the machine of the server.
    pub(super) ip_address: Option<&'a str>,
    /// When.
    pub(super) at: DateTime<Utc>,
    /// Of the installation.
    pub(super) public_url: &'a str,
}

/// The subject.
pub(super) const fn subject(purpose: MailPurpose) -> &'static str {
    match purpose {
        MailPurpose::PasswordReset => "Choose a new password",
        MailPurpose::EmailVerification => "Confirm your e-mail address",
        MailPurpose::Invitation => "You are invited to an organization",
        MailPurpose::PasswordChanged => "Your password was changed",
        MailPurpose::EmailChanged => "The e-mail address of your account was changed",
    }
}

/// The page that a link leads to.
pub(super) const fn page(purpose: MailPurpose) -> Option<&'static str> {
    match purpose {
        MailPurpose::PasswordReset => Some("reset-password"),
        MailPurpose::EmailVerification => Some("verify-email"),
        MailPurpose::Invitation => Some("accept-invitation"),
        MailPurpose::PasswordChanged | MailPurpose::EmailChanged => None,
    }
}

/// What the link of a mail to a user allows.
pub(super) const fn link_purpose(purpose: MailPurpose) -> Option<OneTimeLinkPurpose> {
    match purpose {
        MailPurpose::PasswordReset => Some(OneTimeLinkPurpose::ResetPassword),
        MailPurpose::EmailVerification => Some(OneTimeLinkPurpose::VerifyEmail),
        MailPurpose::Invitation | MailPurpose::PasswordChanged | MailPurpose::EmailChanged => None,
    }
}

/// The text, with [`LINK`] where a link belongs.
pub(super) fn body(purpose: MailPurpose, of: &Circumstances<'_>) -> String {
    let (opening, closing) = match purpose {
        MailPurpose::PasswordReset => (
            "Somebody asked for a new password for your account.",
            "To choose one, open this link. It works once, within an hour:\n\n{link}\n\n\
             If it was not you, there is nothing to do: without the link nothing changes. If this\n\
             comes often, tell your administrator.",
        ),
        MailPurpose::EmailVerification => (
            "This address was given for your account.",
            "To confirm that you read what is sent to it, open this link. It works once, within a\n\
             day:\n\n{link}\n\n\
             If you know of no such account, there is nothing to do.",
        ),
        MailPurpose::Invitation => (
            "You are invited to become a member of an organization.",
            "Open this link to see how to accept. It works once, within seven days:\n\n{link}\n\n\
             If you do not expect this, there is nothing to do.",
        ),
        MailPurpose::PasswordChanged => (
            "The password of your account was changed.",
            "If it was not you, ask for a new password at once and tell your administrator.",
        ),
        MailPurpose::EmailChanged => (
            "Your account has another e-mail address now. This one gets no further mail about it.",
            "If that is not right, tell your administrator at once.",
        ),
    };
    let mut text = format!("{opening}\n\n");
    if let Some(username) = of.username {
        text.push_str(&format!("  Account:      {}\n", shown(username)));
    }
    text.push_str(&format!(
        "  Organization: {}\n",
        shown(of.organization_name)
    ));
    let place = of.ip_address.unwrap_or("the machine of the server");
    text.push_str(&format!("  From:         {}\n", shown(place)));
    let at = of.at.format("%Y-%m-%d %H:%M UTC");
    text.push_str(&format!("  At:           {at}\n\n{closing}\n\n-- \n"));
    text.push_str(&format!(
        "Sent by {}, a program that reads no answers.\n",
        of.public_url
    ));
    text
}

/// The text with the link in its place. Only a line that is nothing else is one.
pub(super) fn with_link(body: &str, link: &str) -> String {
    let lines = body
        .lines()
        .map(|line| if line == LINK { link } else { line });
    lines.fold(String::new(), |text, line| text + line + "\n")
}

/// A name on one line: cut, and without control characters, or those that change its direction.
fn shown(name: &str) -> String {
    let plain = |found: &char| {
        !found.is_control()
            && !matches!(found, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let mut text: String = name
        .chars()
        .filter(plain)
        .take(NAME_CHARACTERS_MAX)
        .collect();
    if name.chars().filter(plain).count() > NAME_CHARACTERS_MAX {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
