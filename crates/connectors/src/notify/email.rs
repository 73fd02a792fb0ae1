//! Mail through the SMTP server that the operator named: RFC 5321, STARTTLS (RFC 3207) or implicit TLS
//! (RFC 8314), AUTH (RFC 4954).
//!
//! What a message says is composed elsewhere. Nothing in here is logged, and no error holds a
//! credential. Start with [`Mailer::new`].

mod server;

use std::fmt;
use std::time::{Duration, SystemTime};

use clm_domain::secret::SecretString;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};

pub use server::{Security, SettingError, SmtpServer};

/// How long one message may take, from connecting to the server's word.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// How long one command of the conversation may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest description of an error, in characters.
const ERROR_CHARACTERS_MAX: usize = 300;
/// Answers that speak of us and not of the message (RFC 4954 §6): it waits until the operator has put
/// that right.
const CODES_OF_SIGN_IN: [u16; 4] = [530, 534, 535, 538];

/// A message of plain text to one address.
#[derive(Debug)]
pub struct Email<'a> {
    /// Tells this message from all others, in the form of an RFC 5322 dot-atom.
    pub id: &'a str,
    /// The address.
    pub to: &'a str,
    /// One line.
    pub subject: &'a str,
    /// The text, which may hold a link with a token.
    pub body: &'a SecretString,
    /// When it was written.
    pub date: SystemTime,
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It may be taken later.
    #[error("{0}")]
    Temporary(String),
    /// This message is never taken.
    #[error("{0}")]
    Permanent(String),
}

/// Sends mail as one sender through one server. Cheap to clone.
#[derive(Clone)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    place: String,
    password: Option<SecretString>,
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailer({} as {})", self.place, self.from)
    }
}

impl Mailer {
    /// A sender of mail. Contacts nobody yet.
    ///
    /// # Errors
    /// Says what of the sender's address, or of the server's certificates, cannot be used.
    pub fn new(server: &SmtpServer, from: &str) -> Result<Self, SettingError> {
        let from: Mailbox = from.trim().parse().map_err(|_| {
            SettingError("must be an address, such as 'Certificates <clm@example.org>'".to_owned())
        })?;
        // One connection for each message: such mails are few, and none rests open to go stale.
        let transport = server
            .transport()?
            .timeout(Some(COMMAND_TIMEOUT))
            .hello_name(ClientId::Domain(from.email.domain().to_owned()))
            .build();
        Ok(Self {
            transport,
            from,
            place: server.place(),
            password: server.password().cloned(),
        })
    }

    /// The server, as `host:port`.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Gives a message to the server.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(&self, email: &Email<'_>) -> Result<(), SendError> {
        let message = self.message(email)?;
        match tokio::time::timeout(SEND_TIMEOUT, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.judge(&error)),
            Err(_) => Err(SendError::Temporary(
                "the server did not take the message in time".to_owned(),
            )),
        }
    }

    /// Connects, and signs in where there is a credential.
    ///
    /// # Errors
    /// Says why not.
    pub async fn check(&self) -> Result<(), String> {
        match tokio::time::timeout(COMMAND_TIMEOUT, self.transport.test_connection()).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err("the server answers, and takes no commands".to_owned()),
            Ok(Err(error)) => Err(self.described(&error)),
            Err(_) => Err("the server does not answer in time".to_owned()),
        }
    }

    fn message(&self, email: &Email<'_>) -> Result<Message, SendError> {
        let never = |what: &str| SendError::Permanent(what.to_owned());
        let to: Address = email
            .to
            .parse()
            .map_err(|_| never("no mail can be sent to the address"))?;
        let id = format!("<{}@{}>", email.id, self.from.email.domain());
        // RFC 3834 §5: nobody's holiday shall answer a program.
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(email.subject)
            .date(email.date)
            .message_id(Some(id))
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN)
            .body(email.body.expose().to_owned())
            .map_err(|_| never("no message can be made of this"))
    }

    fn judge(&self, error: &lettre::transport::smtp::Error) -> SendError {
        let described = self.described(error);
        let is_of_sign_in = error
            .status()
            .is_some_and(|code| CODES_OF_SIGN_IN.contains(&u16::from(code)));
        match error.is_permanent() && !is_of_sign_in {
            true => SendError::Permanent(described),
            false => SendError::Temporary(described),
        }
    }

    /// An error with its causes, on one line, without the password.
    fn described(&self, error: &dyn std::error::Error) -> String {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(found) = cause {
            let further = found.to_string();
            if !text.contains(&further) {
                text.push_str(": ");
                text.push_str(&further);
            }
            cause = found.source();
        }
        if let Some(password) = self.password.as_ref().map(SecretString::expose)
            && !password.is_empty()
        {
            text = text.replace(password, "…");
        }
        let visible = text
            .chars()
            .map(|found| if found.is_control() { ' ' } else { found });
        visible.take(ERROR_CHARACTERS_MAX).collect()
    }
}

#[cfg(test)]
mod tests;
