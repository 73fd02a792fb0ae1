//! Administrators who step up: making keys takes the password again, making authorities a code of a second
//! factor.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use aws_lc_rs::hmac;
use chrono::Utc;
use clm_api_types::client::{AskStepUp, Client, ClientError, ClientOptions, StepUpSecret};
use clm_api_types::second_factor::TotpCode;

/// Seconds that a code is shown (RFC 6238 §4.1).
const STEP_SECONDS: i64 = 30;
/// RFC 4648 §6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Gives the password, as often as asked.
pub(crate) struct Password(pub(crate) String);

impl AskStepUp for Password {
    fn ask(&self) -> Result<Option<StepUpSecret>, ClientError> {
        Ok(Some(StepUpSecret::Either(self.0.clone())))
    }
}

/// Gives one backup code after the other.
struct BackupCodes(Mutex<VecDeque<String>>);

impl BackupCodes {
    fn next(&self) -> Option<String> {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        left.pop_front()
    }
}

impl AskStepUp for BackupCodes {
    fn ask(&self) -> Result<Option<StepUpSecret>, ClientError> {
        Ok(self.next().map(StepUpSecret::Code))
    }
}

/// The same administrator, with a second factor in force, who steps up with its backup codes.
///
/// # Errors
/// When that is refused.
pub(crate) async fn with_second_factor(url: &str, session: &Client) -> anyhow::Result<Client> {
    let enrolled = session.enrol_totp().await.context("enrolling a factor")?;
    let secret = enrolled.uri.split("secret=").nth(1);
    let secret = secret.and_then(|text| text.split('&').next());
    let code = code(&base32(secret.context("the address has no secret")?)?);
    let activated = session.activate_totp(&TotpCode { code }).await;
    let (activated, credential) = activated.context("activating the factor")?;
    let codes = BackupCodes(Mutex::new(activated.backup_codes.into()));
    let client = Client::over_network(url, credential, &ClientOptions::default())?;
    Ok(client.asking(Arc::new(codes)))
}

/// What a device shows now.
#[expect(
    clippy::disallowed_methods,
    reason = "a device shows the code of the moment"
)]
fn code(secret: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let step = Utc::now().timestamp() / STEP_SECONDS;
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let bytes = tag.as_ref();
    let offset = usize::from(bytes.last().copied().unwrap_or_default() & 15);
    let number = bytes.iter().skip(offset).take(4);
    let number = number.fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
}

/// The bytes of a text in base 32.
fn base32(text: &str) -> anyhow::Result<Vec<u8>> {
    let (mut bytes, mut buffer, mut bits) = (Vec::new(), 0_u64, 0);
    for letter in text.bytes() {
        let digit = BASE32.iter().position(|one| *one == letter);
        buffer = buffer << 5 | u64::try_from(digit.context("the secret is not in base 32")?)?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(buffer >> bits & 255)?);
        }
    }
    Ok(bytes)
}
