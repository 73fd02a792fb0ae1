//! The end of a core's start: what needs the master key, and what people are told. With a split master
//! key it waits for the custodians, and without the Secure Service for that one, while the listeners
//! answer already.

use std::sync::Arc;
use std::time::Duration;

use clm_core::master_key::{MasterKey, SealStatus};
use clm_core::{Core, CoreError, OpContext};
use clm_domain::ids::SYSTEM_ORGANIZATION;
use clm_domain::secret::SecretString;
use clm_domain::states::MasterKeyProviderKind;

use crate::background::Loops;
use crate::bootstrap::{self, Addresses, Bootstrapped};
use crate::layout::Layout;
use crate::services::CoreSide;
use crate::tls::TransportIdentity;

/// How long a start rests that could not be completed after unsealing.
const COMPLETION_PAUSE: Duration = Duration::from_secs(5);

/// What a start still has to do when the master key is there.
pub(crate) struct Beginning<'a> {
    pub(crate) side: &'a Arc<CoreSide>,
    pub(crate) layout: &'a Layout,
    pub(crate) addresses: &'a Addresses,
    pub(crate) identity: Option<&'a Arc<TransportIdentity>>,
    pub(crate) password: Option<&'a SecretString>,
    pub(crate) is_embedded: bool,
    /// Whether the Secure Service, and with it the master key, is somewhere else.
    pub(crate) is_key_away: bool,
}

impl Beginning<'_> {
    /// Makes what a first start makes, and the HTTPS certificate. Without an issuing authority the
    /// server still starts, and says so.
    pub(crate) async fn complete(&self) -> anyhow::Result<Option<Bootstrapped>> {
        let side = self.side;
        let bootstrapped = match self.is_embedded {
            true => {
                let run = bootstrap::run(&side.core, self.layout, self.addresses, self.password);
                Some(run.await?)
            }
            false => None,
        };
        if let Some(identity) = self.identity
            && let Err(error) = identity.renew_if_due(&side.core, side.clock.now()).await
        {
            tracing::warn!(error.detail = %format!("{error:#}"),
                "HTTPS has no certificate yet; the server asks again from time to time");
        }
        Ok(bootstrapped)
    }

    /// The same as soon as the master key can be used.
    pub(crate) async fn complete_when_open(&self) -> Option<Bootstrapped> {
        self.announce_wait().await;
        let mut key = self.side.key.clone();
        loop {
            if key.wait_for(|is_open| *is_open).await.is_err() {
                return std::future::pending().await;
            }
            match self.complete().await {
                Ok(bootstrapped) => return bootstrapped,
                Err(error) => {
                    tracing::warn!(error.detail = %format!("{error:#}"),
                        "the start could not be completed and will be tried again");
                    tokio::time::sleep(COMPLETION_PAUSE).await;
                }
            }
        }
    }

    #[expect(
        clippy::print_stdout,
        reason = "people have to come, and nothing else tells them"
    )]
    async fn announce_wait(&self) {
        println!("url        {}", self.addresses.url);
        match self.waited_for().await {
            Ok(lines) => lines.iter().for_each(|line| println!("{line}")),
            Err(error) => {
                tracing::warn!(error.detail = %error, "the start waits for the Secure Service");
                println!("waiting    for the Secure Service: {error}");
            }
        }
    }

    async fn waited_for(&self) -> Result<Vec<String>, CoreError> {
        let core = &self.side.core;
        let system = OpContext::system(core, SYSTEM_ORGANIZATION);
        let key = clm_core::master_key::load(&system, core).await?;
        let status = clm_core::master_key::seal_status(&system, core).await?;
        Ok(sealed_lines(
            (key.key_version, key.provider.as_str()),
            &status,
        ))
    }
}

/// Which master key is sealed, and who has to come.
pub(crate) fn sealed_lines((version, provider): (i32, &str), status: &SealStatus) -> Vec<String> {
    tracing::warn!(
        master_key.provider = provider,
        master_key.version = version,
        "the master key is sealed: its custodians have to open it"
    );
    vec![
        format!("master key version {version}, provider {provider}"),
        format!(
            "sealed     {} of {} custodians have to come: clm unseal --share FILE",
            status.threshold.unwrap_or_default(),
            status.shares.unwrap_or_default()
        ),
    ]
}

/// Tells a person where to go.
#[expect(
    clippy::print_stdout,
    reason = "the one thing that a person at the terminal waits for"
)]
pub(crate) async fn announce(beginning: &Beginning<'_>, bootstrapped: Option<&Bootstrapped>) {
    let layout = beginning.layout;
    if layout.state_directory != layout.data_directory {
        println!(
            "files      {} (its account cannot enter here)",
            layout.state_directory.display()
        );
    }
    println!("url        {}", beginning.addresses.url);
    if let Some(url) = &beginning.addresses.https_url {
        println!("https      {url}");
    }
    if let Some(made) = bootstrapped {
        println!(
            "sign in    {} (organization {})",
            made.file.username, made.file.organization
        );
        if made.file.password.is_some() {
            let path = layout.data_directory.join("bootstrap.json");
            println!("password   in {}", path.display());
        }
        println!("root CA    {}", made.file.ca_certificate.display());
    }
    let core = &beginning.side.core;
    let system = OpContext::system(core, SYSTEM_ORGANIZATION);
    match clm_core::master_key::load(&system, core).await {
        Ok(key) => {
            let mut lines = master_key_lines(&key);
            if beginning.is_key_away {
                // How it is backed up is told where it is.
                lines.truncate(1);
            }
            println!("{}", lines.join("\n"));
        }
        Err(error) => {
            tracing::warn!(error.detail = %error, "the master key in force cannot be told");
        }
    }
    println!("ready");
}

/// Which master key is in force, and how to back it up unless that was done.
pub(crate) fn master_key_lines(key: &MasterKey) -> Vec<String> {
    let (version, provider) = (key.key_version, key.provider);
    tracing::info!(
        master_key.version = version, master_key.provider = %provider, "the master key is in force"
    );
    let mut lines = vec![format!("master key version {version}, provider {provider}")];
    if key.backup_confirmed_at.is_some() {
        return lines;
    }
    let (what, how) = match provider {
        MasterKeyProviderKind::File => (
            format!(
                "cp {} COPY, and keep it apart from the databases",
                key.place
            ),
            "clm key master confirm-backup --file COPY",
        ),
        MasterKeyProviderKind::Shamir => (
            "the custodians keep their shares, each apart from the others".to_owned(),
            "clm key master confirm-backup --custodians-confirmed",
        ),
        MasterKeyProviderKind::Credential | MasterKeyProviderKind::Environment => (
            format!("{}, apart from the databases", key.place),
            "clm key master confirm-backup --file COPY",
        ),
    };
    lines.push(format!("back up    {what}"));
    lines.push(format!("then       {how}"));
    lines
}

/// Removes the password from `bootstrap.json` once the administrator has changed it.
pub(crate) fn watch_bootstrap_password(
    core: &Core,
    layout: &Layout,
    bootstrapped: Option<&Bootstrapped>,
    loops: &Loops<'_>,
) {
    let Some(administrator) = bootstrapped.and_then(|made| made.administrator) else {
        return;
    };
    let mut changes = core.password_changes();
    let (path, stop) = (layout.file("bootstrap.json"), loops.stop.clone());
    loops.tasks.spawn(async move {
        loop {
            let changed = tokio::select! {
                changed = changes.recv() => changed,
                () = stop.cancelled() => return,
            };
            match changed {
                Ok(user_id) if user_id == administrator => {
                    if let Err(error) = bootstrap::forget_password(&path) {
                        tracing::error!(error.detail = %error, "bootstrap.json keeps a password");
                    }
                }
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
                _ => {}
            }
        }
    });
}
