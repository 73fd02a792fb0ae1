//! People who step up: whoever is asked for a code or the password gives it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use clm_api_types::client::{AskStepUp, Client, ClientError, Credential, StepUpSecret};
use clm_api_types::second_factor::TotpCode;

use crate::authenticator::Authenticator;

/// Somebody who gives the password, as often as asked.
pub struct Password(pub String);

impl AskStepUp for Password {
    fn ask(&self) -> Result<Option<StepUpSecret>, ClientError> {
        Ok(Some(StepUpSecret::Either(self.0.clone())))
    }
}

/// Somebody with a second factor, who gives a backup code each time.
pub struct BackupCodes(Mutex<VecDeque<String>>);

impl BackupCodes {
    /// One that was not given yet.
    ///
    /// # Panics
    /// When none is left.
    pub fn next(&self) -> String {
        let mut left = self.0.lock().expect("nobody fails with it");
        left.pop_front().expect("a backup code is left")
    }
}

impl AskStepUp for BackupCodes {
    fn ask(&self) -> Result<Option<StepUpSecret>, ClientError> {
        Ok(Some(StepUpSecret::Code(self.next())))
    }
}

/// The time of the machine, which is that of the program, in seconds since 1970.
///
/// # Panics
/// Never.
#[expect(
    clippy::disallowed_methods,
    reason = "a device shows the code of the moment"
)]
pub fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = now.expect("it is after 1970").as_secs();
    i64::try_from(seconds).expect("it is long before the end")
}

/// Puts a second factor of the person with this session into force. Returns the session's new secrets, and
/// what the person gives from then on.
///
/// # Panics
/// When that is refused.
pub async fn enrol(session: &Client) -> (Credential, Arc<BackupCodes>) {
    let enrolled = session.enrol_totp().await.expect("a factor is made");
    let device = Authenticator::read(&enrolled.uri);
    let code = TotpCode {
        code: device.code_at(now()),
    };
    let activated = session.activate_totp(&code).await;
    let (activated, credential) = activated.expect("the code is right");
    let codes = Mutex::new(activated.backup_codes.into());
    (credential, Arc::new(BackupCodes(codes)))
}
