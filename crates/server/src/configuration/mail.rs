//! How mail leaves: `CLM_SMTP_URL`, `CLM_SMTP_FROM`, `CLM_SMTP_CA_FILE`, and `CLM_PUBLIC_URL`, with which
//! links begin.

use std::fs;

use anyhow::{Context as _, bail};
use clm_core::mail::{MailSettings, Mailer, SmtpServer};

use super::Settings;

const URL: &str = "CLM_SMTP_URL";
const FROM: &str = "CLM_SMTP_FROM";
const CA_FILE: &str = "CLM_SMTP_CA_FILE";
const PUBLIC_URL: &str = "CLM_PUBLIC_URL";

impl Settings {
    /// How mail leaves; `None` where no server is named.
    pub(super) fn mail(&self) -> anyhow::Result<Option<MailSettings>> {
        let Some(url) = self.secret(URL) else {
            return match [FROM, CA_FILE]
                .iter()
                .find(|name| self.text(name).is_some())
            {
                None => Ok(None),
                Some(name) => bail!("{name} is of no use without {URL}"),
            };
        };
        let mut server = SmtpServer::parse(&url).context(URL)?;
        if let Some(path) = self.text(CA_FILE) {
            let pem = fs::read(path).with_context(|| format!("{CA_FILE}: reading {path}"))?;
            server = server
                .trusting(&pem)
                .with_context(|| format!("{CA_FILE}: {path}"))?;
        }
        let from = self.text(FROM).with_context(|| {
            format!("{URL} needs {FROM}, such as 'Certificates <clm@example.org>'")
        })?;
        let mailer = Mailer::new(&server, from).with_context(|| format!("{FROM}='{from}'"))?;
        Ok(Some(MailSettings {
            mailer,
            public_url: self.url_of_links()?,
        }))
    }

    /// The public URL, which must not send tokens over the network in clear text.
    fn url_of_links(&self) -> anyhow::Result<String> {
        let url = self.public_url()?.with_context(|| {
            format!("{URL} needs {PUBLIC_URL}, with which the links in mails begin")
        })?;
        let parsed = url::Url::parse(&url).with_context(|| format!("{PUBLIC_URL}='{url}'"))?;
        let is_loopback = match parsed.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if parsed.scheme() != "https" && !is_loopback {
            bail!("{URL} needs a {PUBLIC_URL} that begins with https://, not '{url}'");
        }
        if parsed.query().is_some() || parsed.fragment().is_some() {
            bail!("{PUBLIC_URL}='{url}' must end with its path: links in mails begin with it");
        }
        Ok(url)
    }
}

#[cfg(test)]
mod tests;
