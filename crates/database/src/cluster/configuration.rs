//! The server's configuration: `clm.conf`, `pg_hba.conf` and `pg_ident.conf`.
//!
//! All three are written at every start, so that an upgrade of `clm` takes effect; what an operator
//! adds for tuning goes to `postgresql.conf`, which `clm.conf` includes. They hold no secret: the
//! superuser is known by its Unix account, every other role needs a password that the server keeps
//! as a SCRAM verifier.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};

use super::account::RunAs;
use super::binaries::ServerVersion;
use super::error::{ClusterError, failed_to};
use super::{ADMIN_ROLE, Durability};

/// The name of the file with our settings, inside the data directory.
pub(super) const FILE_NAME: &str = "clm.conf";

/// The longest user name: PostgreSQL up to 15 reads tokens of at most 255 bytes.
const USER_NAME_BYTES_MAX: usize = 200;

/// What an operator may set otherwise. Compiling queries costs more than short ones take.
const DEFAULTS: &str = "\
    shared_buffers = '128MB'\n\
    max_wal_size = '1GB'\n\
    wal_level = replica\n\
    jit = off\n";

/// What the configuration depends on.
pub(super) struct Settings<'a> {
    pub(super) version: ServerVersion,
    pub(super) data_directory: &'a Path,
    pub(super) socket_directory: &'a Path,
    pub(super) port: u16,
    pub(super) max_connections: u16,
    pub(super) durability: Durability,
    /// The Unix users that may be the superuser.
    pub(super) admins: &'a [String],
}

impl Settings<'_> {
    /// Writes the three files into the data directory.
    pub(super) fn write(&self, run_as: &RunAs) -> Result<(), ClusterError> {
        // The account could have put a link there for root to follow: everything is made new, and
        // relative to the opened directory.
        let directory = rustix::fs::open(
            self.data_directory,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(failed_to("open", self.data_directory))?;
        let files = [
            (FILE_NAME, self.settings()?),
            ("pg_hba.conf", host_based_authentication()),
            ("pg_ident.conf", user_names(self.admins)?),
        ];
        for (name, content) in files {
            replace(&directory, name, &content, run_as)
                .map_err(failed_to("write", &self.data_directory.join(name)))?;
        }
        Ok(())
    }

    fn settings(&self) -> Result<String, ClusterError> {
        let data_directory = path_text(self.data_directory)?;
        let socket_directory = path_text(self.socket_directory)?;
        // A list: an element with a comma or a space must be in double quotes.
        let socket_directories = format!("\"{}\"", socket_directory.replace('"', "\"\""));
        let durable = if matches!(self.durability, Durability::Full) {
            "on"
        } else {
            "off"
        };
        let mut settings = vec![
            ("listen_addresses", quoted("")),
            ("port", self.port.to_string()),
            ("unix_socket_directories", quoted(&socket_directories)),
            ("unix_socket_permissions", "0700".to_owned()),
            ("hba_file", quoted(&format!("{data_directory}/pg_hba.conf"))),
            (
                "ident_file",
                quoted(&format!("{data_directory}/pg_ident.conf")),
            ),
            ("password_encryption", quoted("scram-sha-256")),
            ("max_connections", self.max_connections.to_string()),
            ("fsync", durable.to_owned()),
            ("full_page_writes", durable.to_owned()),
            ("synchronous_commit", durable.to_owned()),
            ("timezone", quoted("UTC")),
        ];
        settings.extend(self.logging());
        let mut text = format!(
            "# Written by clm at every start: changes here are lost. Settings of your own go to\n\
             # postgresql.conf; they win over the first ones here, the last ones over them.\n\
             {DEFAULTS}include_if_exists 'postgresql.conf'\n",
        );
        for (name, value) in settings {
            text.push_str(&format!("{name} = {value}\n"));
        }
        Ok(text)
    }

    /// The log goes to stderr (our file), and never holds a statement or a row: they can have
    /// secrets in them. `terse` leaves out DETAIL ("Failing row contains …", the queries of a
    /// deadlock) and CONTEXT.
    fn logging(&self) -> Vec<(&'static str, String)> {
        let mut settings = vec![
            ("log_destination", quoted("stderr")),
            ("logging_collector", "off".to_owned()),
            ("log_line_prefix", quoted("%m [%p] %q%u@%d ")),
            ("log_timezone", quoted("UTC")),
            ("log_statement", "none".to_owned()),
            ("log_duration", "off".to_owned()),
            ("log_min_duration_statement", "-1".to_owned()),
            ("log_transaction_sample_rate", "0".to_owned()),
            ("log_min_error_statement", "panic".to_owned()),
            ("log_error_verbosity", "terse".to_owned()),
        ];
        if self.version.major >= 13 {
            settings.push(("log_min_duration_sample", "-1".to_owned()));
            settings.push(("log_parameter_max_length", "0".to_owned()));
            settings.push(("log_parameter_max_length_on_error", "0".to_owned()));
        }
        settings
    }
}

/// Refuses a path that cannot be written into the configuration.
pub(super) fn path_text(path: &Path) -> Result<&str, ClusterError> {
    let unusable = |reason| ClusterError::UnusablePath {
        path: path.to_owned(),
        reason,
    };
    let text = path.to_str().ok_or_else(|| unusable("is not UTF-8"))?;
    if text.chars().any(char::is_control) {
        return Err(unusable("has control characters in it"));
    }
    Ok(text)
}

/// A string for `postgresql.conf`, where a backslash begins an escape sequence.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

fn host_based_authentication() -> String {
    format!(
        "# Written by clm at every start: changes here are lost.\n\
         # Unix socket only. The superuser is whom pg_ident.conf names; all others need a password.\n\
         local all {ADMIN_ROLE} peer map=clm\n\
         local all all scram-sha-256\n"
    )
}

fn user_names(admins: &[String]) -> Result<String, ClusterError> {
    let mut text = String::from(
        "# Written by clm at every start: changes here are lost.\n\
         # The Unix users that may be the superuser: the server's, clm's, root.\n",
    );
    for name in admins {
        // PostgreSQL takes a name that begins with a slash for a regular expression, quoted or not.
        let usable = !name.is_empty()
            && name.len() <= USER_NAME_BYTES_MAX
            && !name.starts_with('/')
            && !name.chars().any(char::is_control);
        if !usable {
            return Err(ClusterError::UserName { name: name.clone() });
        }
        text.push_str(&format!(
            "clm \"{}\" {ADMIN_ROLE}\n",
            name.replace('"', "\"\"")
        ));
    }
    Ok(text)
}

fn replace(directory: &OwnedFd, name: &str, content: &str, run_as: &RunAs) -> std::io::Result<()> {
    let temporary = format!("{name}.new");
    match rustix::fs::unlinkat(directory, &*temporary, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let mut file = std::fs::File::from(rustix::fs::openat(directory, &*temporary, flags, mode)?);
    run_as.give(&file)?;
    file.write_all(content.as_bytes())?;
    rustix::fs::renameat(directory, &*temporary, directory, name)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_are_quoted_and_impossible_ones_refused() {
        let names = ["root", "dom ain\\a#b,c", "a\"b", "@file", "all"].map(str::to_owned);
        let text = user_names(&names).unwrap();
        assert!(text.contains("clm \"root\" clm_admin\n"));
        assert!(text.contains("clm \"dom ain\\a#b,c\" clm_admin\n"));
        assert!(text.contains("clm \"a\"\"b\" clm_admin\n"));
        for name in ["", "/^.*$", "a\nb", &"x".repeat(201)] {
            assert!(user_names(&[name.to_owned()]).is_err(), "{name:?}");
        }
    }

    #[test]
    fn strings_and_lists_are_quoted() {
        assert_eq!(quoted(r"a'b\c"), r"'a''b\\c'");
        let settings = Settings {
            version: ServerVersion {
                major: 12,
                minor: 1,
            },
            data_directory: Path::new("/d'ata"),
            socket_directory: Path::new("/run/a, \"b\""),
            port: 5432,
            max_connections: 10,
            durability: Durability::TestOnly,
            admins: &[],
        };
        let text = settings.settings().unwrap();
        assert!(
            text.contains("unix_socket_directories = '\"/run/a, \"\"b\"\"\"'\n"),
            "{text}"
        );
        assert!(
            text.contains("hba_file = '/d''ata/pg_hba.conf'\n"),
            "{text}"
        );
        assert!(text.contains("fsync = off\n") && !text.contains("log_parameter_max_length"));
    }
}
