//! What each side of the transport keeps between two starts: its certificate with the key, and the
//! authority that it trusts. One file per side, mode 0600, replaced as a whole.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use clm_domain::secret::{SecretBytes, SecretString, explicit_secret};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{files, layout};

/// The file of a core.
pub(crate) const CORE: &str = "transport-core.json";
/// The file of a Secure Service.
pub(crate) const SERVER: &str = "transport-server.json";
/// Both.
pub(crate) const NAMES: [&str; 2] = [CORE, SERVER];
/// Largest file, in bytes.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// What is kept.
#[derive(Clone, Debug)]
pub(crate) struct TransportFile {
    /// Where a core finds the Secure Service (`host:port`).
    pub(crate) address: Option<String>,
    /// The certificate of the authority, DER.
    pub(crate) authority_der: Vec<u8>,
    /// The own one, DER.
    pub(crate) certificate_der: Vec<u8>,
    /// Its key, PKCS#8.
    pub(crate) private_key_der: SecretBytes,
    /// When the certificate ends.
    pub(crate) not_after: DateTime<Utc>,
    /// When the next one should be asked for.
    pub(crate) renew_at: DateTime<Utc>,
}

/// The same as JSON, with binary fields in base64.
#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    authority: String,
    certificate: String,
    #[serde(with = "explicit_secret")]
    private_key: SecretString,
    not_after: DateTime<Utc>,
    renew_at: DateTime<Utc>,
}

impl TransportFile {
    /// Reads a file; none when there is none.
    ///
    /// # Errors
    /// When it cannot be read or understood, or when others could have written it.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        let reading = || format!("reading {}", path.display());
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(reading),
        };
        layout::refuse_foreign_file(&file, path)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 1));
        file.take(FILE_BYTES_MAX as u64 + 1)
            .read_to_end(&mut bytes)
            .with_context(reading)?;
        if bytes.len() > FILE_BYTES_MAX {
            bail!(
                "{} is too long to be what this program wrote",
                path.display()
            );
        }
        let written: Written = serde_json::from_slice(&bytes).with_context(reading)?;
        written.understood().map(Some).with_context(reading)
    }

    /// Writes the file, or puts it into the place of the one that is there.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let written = Written {
            address: self.address.clone(),
            authority: STANDARD.encode(&self.authority_der),
            certificate: STANDARD.encode(&self.certificate_der),
            private_key: SecretString::new(STANDARD.encode(self.private_key_der.expose())),
            not_after: self.not_after,
            renew_at: self.renew_at,
        };
        // As large as it can be: growing would leave copies behind.
        let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX));
        serde_json::to_writer_pretty(&mut *text, &written).context("writing JSON")?;
        text.push(b'\n');
        files::replace(path, &text, 0o600)
    }
}

impl Written {
    fn understood(&self) -> anyhow::Result<TransportFile> {
        let decode = |name: &str, text: &str| {
            let decoded = STANDARD.decode(text);
            // The error would say which letter it was.
            decoded.map_err(|_| anyhow::anyhow!("'{name}' is not base64"))
        };
        Ok(TransportFile {
            address: self.address.clone(),
            authority_der: decode("authority", &self.authority)?,
            certificate_der: decode("certificate", &self.certificate)?,
            private_key_der: SecretBytes::new(decode("private_key", self.private_key.expose())?),
            not_after: self.not_after,
            renew_at: self.renew_at,
        })
    }
}

#[cfg(test)]
mod tests;
