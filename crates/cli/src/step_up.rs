//! Asking for a code, or the password, when the server wants one for what was just asked for.

use std::io::{self, IsTerminal as _};

use clm_api_types::client::{AskStepUp, ClientError, StepUpSecret};

use crate::arguments::Global;
use crate::session;

/// What is asked on the terminal.
const PROMPT: &str = "Code of your second factor, or your password if you have none: ";

/// How the person of this command is asked.
pub(crate) struct Asking {
    totp: Option<String>,
    from_stdin: bool,
}

impl Asking {
    /// As the options say, else on the terminal.
    pub(crate) fn of(global: &Global) -> Self {
        Self {
            totp: global.totp.clone(),
            from_stdin: global.step_up_stdin,
        }
    }
}

impl AskStepUp for Asking {
    fn ask(&self) -> Result<Option<StepUpSecret>, ClientError> {
        if let Some(code) = &self.totp {
            return Ok(Some(StepUpSecret::Code(code.clone())));
        }
        if !self.from_stdin && !io::stdin().is_terminal() {
            return Ok(None);
        }
        session::secret(PROMPT, self.from_stdin)
            .map(|secret| Some(StepUpSecret::Either(secret)))
            .map_err(|error| ClientError::NotAsked(format!("{error:#}")))
    }
}
