//! `clm user …` by links that come by mail: a forgotten password, and one's own address.

use std::process::ExitCode;

use clm_api_types::password_resets::{
    EmailVerificationConfirm, PasswordResetConfirm, PasswordResetCreate,
};

use crate::arguments::Global;
use crate::arguments::user::LinkCommand;
use crate::{connect, output, session};

/// Asks for a link, or uses the token of one.
pub(crate) async fn link(global: &Global, command: LinkCommand) -> anyhow::Result<ExitCode> {
    match command {
        LinkCommand::RequestPasswordReset {
            username,
            home_organization,
        } => {
            let request = PasswordResetCreate {
                username,
                organization: home_organization,
            };
            let client = connect::anonymous(global)?;
            client.request_password_reset(&request).await?;
            output::line(
                "if there is such a user with a confirmed address, a mail is on its way; then: clm \
                 user reset-password",
            );
        }
        LinkCommand::ResetPassword { stdin } => {
            let client = connect::anonymous(global)?;
            let request = PasswordResetConfirm {
                token: session::secret("Token from the mail: ", stdin)?,
                new_password: session::secret("New password: ", stdin)?,
            };
            client.reset_password(&request).await?;
            output::line("set; every session has ended: clm login");
        }
        LinkCommand::RequestEmailVerification => {
            connect::client(global)?
                .request_email_verification()
                .await?;
            output::line("a mail is on its way; then: clm user verify-email");
        }
        LinkCommand::VerifyEmail { stdin } => {
            let client = connect::anonymous(global)?;
            let token = session::secret("Token from the mail: ", stdin)?;
            client
                .verify_email(&EmailVerificationConfirm { token })
                .await?;
            output::line("confirmed");
        }
    }
    Ok(ExitCode::SUCCESS)
}
