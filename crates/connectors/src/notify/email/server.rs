//! The SMTP server as the operator names it: `smtp://user:password@host:587` with STARTTLS,
//! `smtps://host` with TLS from the first byte, `smtp://127.0.0.1:25?tls=none` with neither.

use std::fmt;

use clm_domain::secret::SecretString;
use lettre::transport::smtp::AsyncSmtpTransportBuilder;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, Tokio1Executor};
use url::{Host, Url};

/// The port of mail submission (RFC 6409).
const PORT_SUBMISSION: u16 = 587;
/// The port of mail submission with implicit TLS (RFC 8314).
const PORT_SUBMISSIONS: u16 = 465;

/// A setting cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingError(pub String);

/// How the conversation is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS after STARTTLS; without it there is no mail.
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// None.
    None,
}

/// A server of mail, with what it takes to use it.
#[derive(Clone)]
pub struct SmtpServer {
    host: String,
    port: u16,
    security: Security,
    credentials: Option<(String, SecretString)>,
    root_certificates: Vec<Certificate>,
}

impl fmt::Debug for SmtpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SmtpServer({}, {:?})", self.place(), self.security)
    }
}

fn wrong<T>(text: &str) -> Result<T, SettingError> {
    Err(SettingError(text.to_owned()))
}

impl SmtpServer {
    /// Reads the URL of a server. Errors do not repeat it: it may hold a password.
    ///
    /// # Errors
    /// Says what would be right.
    pub fn parse(url: &SecretString) -> Result<Self, SettingError> {
        let form = "must be a URL such as smtp://user:password@mail.example.org:587 or \
            smtps://mail.example.org";
        let Ok(url) = Url::parse(url.expose()) else {
            return wrong(form);
        };
        let Some((host, is_loopback)) = url.host_str().and_then(host_of) else {
            return wrong(form);
        };
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return wrong(form);
        }
        let security = match (url.scheme(), url.query()) {
            ("smtp", None) => Security::StartTls,
            ("smtps", None) => Security::Tls,
            ("smtp", Some("tls=none")) => Security::None,
            ("smtp" | "smtps", Some(_)) => {
                return wrong("knows one parameter, and only after smtp://: ?tls=none");
            }
            _ => return wrong(form),
        };
        let credentials = credentials(&url)?;
        if security == Security::None && credentials.is_some() && !is_loopback {
            return wrong("would send the password in clear text: leave ?tls=none out");
        }
        let usual = match security {
            Security::Tls => PORT_SUBMISSIONS,
            Security::StartTls => PORT_SUBMISSION,
            Security::None => 25,
        };
        Ok(Self {
            host,
            port: url.port().unwrap_or(usual),
            security,
            credentials,
            root_certificates: Vec::new(),
        })
    }

    /// Trusts these certificates (PEM) beside those that the system trusts.
    ///
    /// # Errors
    /// When the text holds no certificate.
    pub fn trusting(mut self, pem: &[u8]) -> Result<Self, SettingError> {
        const END: &str = "-----END CERTIFICATE-----";
        let text = String::from_utf8_lossy(pem);
        for part in text.split_inclusive(END).filter(|part| part.contains(END)) {
            let Ok(certificate) = Certificate::from_pem(part.as_bytes()) else {
                return wrong("holds a certificate that cannot be read");
            };
            self.root_certificates.push(certificate);
        }
        if self.root_certificates.is_empty() {
            return wrong("holds no certificate in PEM");
        }
        Ok(self)
    }

    /// The server, as `host:port`.
    pub fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// How the conversation is protected.
    pub const fn security(&self) -> Security {
        self.security
    }

    pub(super) fn password(&self) -> Option<&SecretString> {
        self.credentials.as_ref().map(|(_, password)| password)
    }

    pub(super) fn transport(&self) -> Result<AsyncSmtpTransportBuilder, SettingError> {
        let name = self.host.trim_start_matches('[').trim_end_matches(']');
        let tls = || {
            let parameters = TlsParameters::builder(name.to_owned());
            self.root_certificates
                .iter()
                .cloned()
                .fold(parameters, |parameters, certificate| {
                    parameters.add_root_certificate(certificate)
                })
                .build()
                .map_err(|_| SettingError("the trusted certificates cannot be used".to_owned()))
        };
        let tls = match self.security {
            Security::StartTls => Tls::Required(tls()?),
            Security::Tls => Tls::Wrapper(tls()?),
            Security::None => Tls::None,
        };
        let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(name)
            .port(self.port)
            .tls(tls);
        Ok(match &self.credentials {
            None => builder,
            Some((user, password)) => {
                builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()))
            }
        })
    }
}

/// The host as text, and whether it is this machine.
fn host_of(text: &str) -> Option<(String, bool)> {
    let is_loopback = match Host::parse(text).ok()? {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    (!text.is_empty()).then(|| (text.to_owned(), is_loopback))
}

fn credentials(url: &Url) -> Result<Option<(String, SecretString)>, SettingError> {
    let form = "holds a user without a password, or characters that must be written as %XX";
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        ("", Some(_)) | (_, None) => wrong(form),
        (user, Some(password)) => match (decoded(user), decoded(password)) {
            (Some(user), Some(password)) => Ok(Some((user, SecretString::new(password)))),
            _ => wrong(form),
        },
    }
}

/// Text with each `%XX` as the byte that it stands for (RFC 3986 §2.1).
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
