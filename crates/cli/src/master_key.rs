//! `clm key master`, `clm unseal` and `clm seal`. A copy of the master key is read here and does not
//! leave this process: what the server gets is its check value. Shares do travel, once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clm_api_types::client::{Client, ClientError};
use clm_api_types::master_key::{
    MasterKey, MasterKeyBackupConfirm, MasterKeyRotationCreate, MasterKeyShares,
    MasterKeySharesCreate, SealRequest, SealStatus,
};
use clm_domain::secret::SecretString;
use clm_domain::states::MasterKeyProviderKind;

use crate::arguments::{Format, Global, MasterCommand, MasterRotate, UnsealArguments};
use crate::{connect, keys, output};

/// A file of another size is no share.
const SHARE_BYTES_MAX: u64 = 4 * 1024;

/// `clm key master …`
pub(crate) async fn master(
    global: &Global,
    client: &Client,
    command: MasterCommand,
) -> anyhow::Result<ExitCode> {
    match command {
        MasterCommand::Show => show(global, &client.load_master_key().await?)?,
        MasterCommand::Rotate(arguments) => rotate(global, client, arguments).await?,
        MasterCommand::ConfirmBackup { files, .. } => {
            confirm_backup(global, client, &files).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(global: &Global, found: &MasterKey) -> anyhow::Result<()> {
    if global.output == Format::Json {
        return output::json(found);
    }
    let copy = found.backup_confirmed_at.map_or_else(
        || "nobody has confirmed one: clm key master confirm-backup".to_owned(),
        |time| format!("confirmed {}", keys::time(Some(time))),
    );
    let mut fields = vec![
        ("id", found.id.to_string()),
        ("version", found.key_version.to_string()),
        ("provider", found.provider.to_string()),
        ("place", output::printable(&found.place)),
        ("data keys", found.data_keys.to_string()),
        ("active since", keys::time(found.activated_at)),
        ("copy", copy),
    ];
    if let (Some(threshold), Some(shares)) = (found.threshold, found.shares) {
        fields.push(("shares", format!("any {threshold} of {shares}")));
    }
    output::fields(&fields);
    Ok(())
}

async fn rotate(global: &Global, client: &Client, arguments: MasterRotate) -> anyhow::Result<()> {
    let split = match (arguments.threshold, arguments.shares, &arguments.out) {
        (Some(threshold), Some(shares), Some(out))
            if arguments.provider == MasterKeyProviderKind::Shamir =>
        {
            Some((MasterKeySharesCreate { threshold, shares }, out))
        }
        (None, None, None) => None,
        _ => bail!("--threshold, --shares and --out go together, and with --to shamir only"),
    };
    let mut share_set_id = None;
    if let Some((request, out)) = &split {
        make_folder(out, sync)?;
        let made = client.make_master_key_shares(request).await?;
        // On disk, and as they were made, before anything depends on them.
        let written = write_shares(out, &made)?;
        read_back(&written, &made)?;
        for path in written {
            tell(&format!("share written to {}", path.display()));
        }
        share_set_id = Some(made.share_set_id);
    }
    let request = MasterKeyRotationCreate {
        provider: arguments.provider,
        share_set_id,
        rotation_type: arguments.rotation_type,
        reason: arguments.reason,
        give_up: arguments.give_up,
    };
    let rotated = client.rotate_master_key(&request).await;
    let rotated = match (rotated, split) {
        (Err(error), Some((_, out))) => {
            let advice = after_failure(&error, out);
            return Err(anyhow::Error::from(error).context(advice));
        }
        (rotated, _) => rotated?,
    };
    keys::show_rotation(global, &rotated)?;
    tell("the new master key is in force: back it up, then 'clm key master confirm-backup'");
    Ok(())
}

/// What to do with shares whose key may not have come into force.
fn after_failure(error: &ClientError, out: &Path) -> String {
    let out = out.display();
    match error {
        ClientError::Problem(problem) if problem.status < 500 => format!(
            "the master key was not replaced: destroy the shares in {out}, they are worth nothing"
        ),
        _ => format!(
            "whether the master key was replaced is not known: keep the shares in {out} until 'clm \
             key master show' says which key is in force"
        ),
    }
}

/// A folder that only its owner enters. One that is there is taken as it is. Its own name is durable
/// only once the folder above is.
fn make_folder(out: &Path, sync: impl Fn(&Path) -> io::Result<()>) -> anyhow::Result<()> {
    let above = match out.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    if out.is_dir() {
        // Somebody may have made it just now; where that is not for us to say, it was not.
        let _ = sync(above);
        return Ok(());
    }
    fs::DirBuilder::new()
        .mode(0o700)
        .create(out)
        .with_context(|| format!("making the folder {}", out.display()))?;
    sync(above).with_context(|| format!("writing {}", above.display()))
}

/// Waits until the names in a folder are on disk.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all())
}

/// What is in the files is what was made, and gives a key: the first shares that are enough, and the
/// last ones give the same.
fn read_back(written: &[PathBuf], made: &MasterKeyShares) -> anyhow::Result<()> {
    let mut texts = Vec::with_capacity(written.len());
    for (path, share) in written.iter().zip(&made.shares) {
        let text = read_share(path)?;
        if text.expose() != share.text {
            bail!(
                "{} does not hold what was written to it; the master key was not replaced, and these \
                 shares are worth nothing",
                path.display()
            );
        }
        texts.push(text);
    }
    let first = clm_server::check_value_of_shares(&texts)?;
    texts.reverse();
    if texts.len() != made.shares.len() || clm_server::check_value_of_shares(&texts)? != first {
        bail!("the shares do not go together; the master key was not replaced");
    }
    Ok(())
}

/// One file for each custodian. Files that are there already are left alone, and nothing is written.
fn write_shares(out: &Path, made: &MasterKeyShares) -> anyhow::Result<Vec<PathBuf>> {
    let set = made.share_set_id.simple().to_string();
    let set: String = set.chars().take(8).collect();
    let mut written = Vec::new();
    for share in &made.shares {
        let path = out.join(format!("master-key-share-{set}-{}.txt", share.index));
        write_share(&path, &share.text).with_context(|| {
            format!(
                "writing {}; the master key was not replaced, and these shares are worth nothing",
                path.display()
            )
        })?;
        written.push(path);
    }
    // The names are durable only once their folder is.
    sync(out).with_context(|| format!("writing {}", out.display()))?;
    Ok(written)
}

fn write_share(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

async fn confirm_backup(global: &Global, client: &Client, files: &[PathBuf]) -> anyhow::Result<()> {
    let in_force = client.load_master_key().await?;
    let check_value = match (in_force.provider, files) {
        (_, []) => None,
        (MasterKeyProviderKind::Shamir, files) => {
            let texts: Result<Vec<_>, _> = files.iter().map(|path| read_share(path)).collect();
            Some(clm_server::check_value_of_shares(&texts?)?)
        }
        (_, [file]) => Some(clm_server::check_value_of_copy(file)?),
        _ => bail!("one file is a copy of the master key: it is not split"),
    };
    let request = MasterKeyBackupConfirm {
        check_value: check_value.map(hex::encode),
    };
    show(global, &client.confirm_master_key_backup(&request).await?)
}

/// `clm unseal`
pub(crate) async fn unseal(
    global: &Global,
    arguments: UnsealArguments,
) -> anyhow::Result<ExitCode> {
    let client = connect::client(global)?;
    if arguments.status {
        let status = client.load_seal_status().await?;
        show_seal(global, &status)?;
        return Ok(if status.sealed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        });
    }
    let status = if arguments.reset {
        client.reset_unseal().await?
    } else {
        let share = match &arguments.share {
            Some(path) => read_share(path)?,
            None if arguments.share_stdin => read_bounded(io::stdin().lock())?,
            None => ask_for_share()?,
        };
        client.unseal(share.expose().to_owned()).await?
    };
    show_seal(global, &status)?;
    Ok(ExitCode::SUCCESS)
}

/// `clm seal`
pub(crate) async fn seal(global: &Global, force: bool) -> anyhow::Result<ExitCode> {
    let client = connect::client(global)?;
    let status = client.seal(&SealRequest { force }).await?;
    show_seal(global, &status)?;
    Ok(ExitCode::SUCCESS)
}

fn show_seal(global: &Global, status: &SealStatus) -> anyhow::Result<()> {
    if global.output == Format::Json {
        return output::json(status);
    }
    let (Some(threshold), Some(shares)) = (status.threshold, status.shares) else {
        output::line("open: the master key is not split");
        return Ok(());
    };
    if !status.sealed {
        output::line(&format!(
            "open (any {threshold} of {shares} shares open it)"
        ));
        return Ok(());
    }
    output::line(&format!(
        "sealed: {} of {threshold} shares were given (of {shares} that there are)",
        status.given
    ));
    if let Some(end) = status.expires_at {
        output::line(&format!("they are forgotten at {}", keys::time(Some(end))));
    }
    Ok(())
}

fn read_share(path: &Path) -> anyhow::Result<SecretString> {
    File::open(path)
        .map_err(anyhow::Error::from)
        .and_then(read_bounded)
        .with_context(|| format!("reading {}", path.display()))
}

fn read_bounded(from: impl io::Read) -> anyhow::Result<SecretString> {
    let mut text = String::new();
    from.take(SHARE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(SecretString::new(text))
}

/// The six lines of a share, pasted on a terminal that does not show them.
fn ask_for_share() -> anyhow::Result<SecretString> {
    let mut text = String::new();
    for number in 1..=6 {
        let line = rpassword::prompt_password(format!("Share, line {number} of 6: "))
            .context("reading the terminal; use --share FILE or --share-stdin instead")?;
        text.push_str(line.trim());
        text.push('\n');
    }
    Ok(SecretString::new(text))
}

#[expect(clippy::print_stderr, reason = "notes for people beside the result")]
fn tell(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests;
