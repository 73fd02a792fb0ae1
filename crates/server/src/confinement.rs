//! What the process of a Secure Service may reach, given up by itself where the kernel offers that
//! (landlock(7)): its own directories and the master key to write, what the system's library reads to
//! read, no program to run, its own port to listen on, and that of its database to connect to. Whoever
//! takes it over cannot look elsewhere on the host, and finds few ports open over TCP.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clm_database::pool::Database;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, NetPort, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope, path_beneath_rules,
};

use crate::Configuration;
use crate::layout::Layout;
use crate::serve::connection;

/// What the system's library reads: names of hosts and users, certificates of databases, randomness.
const READ: [&str; 12] = [
    "/etc",
    "/usr",
    "/lib",
    "/lib64",
    "/var/lib/ca-certificates",
    "/proc",
    "/sys/fs/cgroup",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
    "/dev/null",
    "/dev/urandom",
];
/// DNS over TCP, for answers that are too long for UDP.
const DNS_PORT: u16 = 53;
/// Parameters of a database's URL that name files.
const URL_FILES: [&str; 7] = [
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
];
/// The newest kernel interface whose rights are given up. An older kernel keeps what it can.
const INTERFACE: ABI = ABI::V6;

/// How far that went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confinement {
    /// As far as this program asks.
    Whole,
    /// As far as this kernel can.
    Partial,
    /// Not at all.
    None,
}

/// What is still in reach.
#[derive(Clone, Debug, Default)]
struct Reach {
    write: Vec<PathBuf>,
    read: Vec<PathBuf>,
    listen: Vec<u16>,
    connect: Vec<u16>,
}

/// Confines this process, which must have one thread: the others inherit it.
///
/// # Errors
/// When the kernel offers it and refuses it all the same.
pub(crate) fn confine(
    configuration: &Configuration,
    layout: &Layout,
) -> anyhow::Result<Confinement> {
    let connection = connection(configuration, Database::Secure)?;
    let url = configuration.database_url(Database::Secure)?;
    let places = &configuration.master_key;
    let mut reach = Reach {
        write: layout.directories(),
        read: READ.iter().map(PathBuf::from).collect(),
        listen: vec![configuration.secure_listen.port()],
        connect: match connection.options.get_socket() {
            Some(_) => vec![DNS_PORT],
            None => vec![connection.options.get_port(), DNS_PORT],
        },
    };
    // A rotation writes the next key beside this one; a link is as good as what it leads to.
    let files = layout.master_key_files();
    let files = files.iter().map(|name| layout.file(name));
    for file in places.file.clone().into_iter().chain(files) {
        let file = std::path::absolute(file).context("finding the master key")?;
        reach.write.extend(file.parent().map(Path::to_path_buf));
        let target = file.canonicalize().ok();
        let beside = target.as_deref().and_then(Path::parent);
        reach.write.extend(beside.map(Path::to_path_buf));
    }
    reach.read.extend(places.credentials_directory.clone());
    if let Ok(url) = url::Url::parse(url.expose()) {
        let named = url
            .query_pairs()
            .filter(|(name, _)| URL_FILES.contains(&name.as_ref()));
        reach
            .read
            .extend(named.map(|(_, path)| PathBuf::from(path.as_ref())));
    }
    reach.keep().context("confining the process")
}

impl Reach {
    /// Gives everything else up.
    fn keep(&self) -> Result<Confinement, landlock::RulesetError> {
        let ports = |ports: &[u16], access| {
            let ports = ports.to_vec();
            ports
                .into_iter()
                .map(move |port| Ok::<_, landlock::RulesetError>(NetPort::new(port, access)))
        };
        // Running a program is reading as well, in the terms of the kernel.
        let read = AccessFs::from_read(INTERFACE) & !AccessFs::Execute;
        let write = AccessFs::from_all(INTERFACE) & !AccessFs::Execute;
        let status = Ruleset::default()
            .handle_access(AccessFs::from_all(INTERFACE))?
            .handle_access(AccessNet::from_all(INTERFACE))?
            .scope(Scope::from_all(INTERFACE))?
            .create()?
            .add_rules(path_beneath_rules(&self.read, read))?
            .add_rules(path_beneath_rules(&self.write, write))?
            .add_rules(ports(&self.listen, AccessNet::BindTcp))?
            .add_rules(ports(&self.connect, AccessNet::ConnectTcp))?
            .restrict_self()?;
        Ok(match status.ruleset {
            RulesetStatus::FullyEnforced => Confinement::Whole,
            RulesetStatus::PartiallyEnforced => Confinement::Partial,
            RulesetStatus::NotEnforced => Confinement::None,
        })
    }
}

impl Confinement {
    /// Says so.
    pub(crate) fn tell(self) {
        match self {
            Self::Whole => {
                tracing::info!("the process is confined to its files, its port and its database");
            }
            Self::Partial => tracing::info!(
                "the process is confined to its files, and further as far as this kernel can"
            ),
            Self::None => tracing::warn!(
                "this kernel does not let the process confine itself (Landlock): it can reach what \
                 its account can"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
