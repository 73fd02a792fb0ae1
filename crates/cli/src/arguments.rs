//! What can be typed.

pub(crate) mod access;
pub(crate) mod organizations;
pub(crate) mod pair;
pub(crate) mod roles;
pub(crate) mod second_factor;
pub(crate) mod user;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_domain::states::{
    CertificateType, DeploymentEnvironment, KeyRotationType, MasterKeyProviderKind,
};
use clm_server::Role;
use uuid::Uuid;

/// Certificate lifecycle management: issue, store, approve, deploy, renew, revoke and report on
/// certificates and their keys.
#[derive(Debug, Parser)]
#[command(name = "clm", version, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// How results are written.
    #[arg(long, short, value_enum, default_value = "table", global = true)]
    pub(crate) output: Format,
    /// Act for this organization (slug or id); only on the machine of the server, without a login.
    #[arg(long, global = true)]
    pub(crate) organization: Option<String>,
    /// The server to talk to, instead of the local one or the one signed in to.
    #[arg(long, global = true, env = "CLM_URL")]
    pub(crate) url: Option<String>,
    /// An API key, instead of the session signed in with.
    #[arg(long, global = true, env = "CLM_API_KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,
    /// Trust this CA certificate (PEM) when talking to the server.
    #[arg(long, global = true, env = "CLM_CA_CERTIFICATE")]
    pub(crate) ca_certificate: Option<PathBuf>,
    /// A code of your second factor, for what takes one; asked for on the terminal when absent. The
    /// operator of the machine needs none.
    #[arg(long, global = true, value_name = "CODE")]
    pub(crate) totp: Option<String>,
    /// Read the code, or your password if you have no second factor, from the next line of standard
    /// input instead of the terminal.
    #[arg(long, global = true, conflicts_with = "totp")]
    pub(crate) step_up_stdin: bool,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For programs: what REST answers.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the platform.
    Serve {
        /// What this process serves: all, or secure or core in a process of its own; CLM_ROLE unless
        /// given, else all.
        #[arg(long)]
        role: Option<Role>,
    },
    /// Sign in to a server and remember the session.
    Login(Login),
    /// End the remembered session.
    Logout,
    /// Show who you are and what you may do.
    Whoami,
    /// Certificates.
    #[command(subcommand)]
    Cert(CertCommand),
    /// Certificate authorities.
    #[command(subcommand)]
    Ca(CaCommand),
    /// Your second factor.
    #[command(subcommand)]
    Totp(second_factor::TotpCommand),
    /// The keys that seal what is stored, and their rotation.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Give a share of the split master key; the last one that is needed opens the server.
    Unseal(UnsealArguments),
    /// Take a split master key out of the server's memory, until its custodians come.
    Seal {
        /// Though nobody has proved that the shares give it: if they do not, everything sealed is lost.
        #[arg(long)]
        force: bool,
    },
    /// API keys: credentials of programs, which act for their owner.
    #[command(subcommand)]
    ApiKey(access::ApiKeyCommand),
    /// Your sessions.
    #[command(subcommand)]
    Session(access::SessionCommand),
    /// Roles, and who holds them.
    #[command(subcommand)]
    Role(roles::RoleCommand),
    /// Who may do what, and why.
    #[command(subcommand)]
    Access(roles::AccessCommand),
    /// Organizations: the tenants.
    #[command(subcommand)]
    Org(organizations::OrganizationCommand),
    /// Who may act in the organization.
    #[command(subcommand)]
    Member(organizations::MemberCommand),
    /// Invitations: how users of other organizations become members.
    #[command(subcommand)]
    Invitation(organizations::InvitationCommand),
    /// Programs that call a Secure Service in a process of its own.
    #[command(subcommand)]
    Pair(pair::PairCommand),
    /// Users.
    #[command(subcommand)]
    User(user::UserCommand),
    /// The databases.
    #[command(subcommand)]
    Db(DbCommand),
    /// Look at this installation and say what should be done.
    Doctor,
    /// Print shell completions.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the OpenAPI document.
    #[command(hide = true)]
    Openapi,
}

#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The user's name.
    #[arg(long, short)]
    pub(crate) username: Option<String>,
    /// The slug of the user's organization; needed only where the name exists in several.
    #[arg(long = "home-organization")]
    pub(crate) home_organization: Option<String>,
    /// Read the password from standard input instead of the terminal.
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// A code of your second factor, or a backup code; asked for when absent and needed.
    #[arg(long)]
    pub(crate) code: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CertCommand {
    /// Ask for a certificate and wait for it.
    Request(Box<CertRequest>),
    /// List certificates, newest first.
    List(Paging),
    /// Show one certificate.
    Show {
        /// Its id.
        id: String,
    },
    /// Write a certificate, with its chain, or its private key.
    Export(CertExport),
}

#[derive(Debug, Args)]
pub(crate) struct CertRequest {
    /// The PKCS#10 request, PEM or DER.
    #[arg(
        long,
        required_unless_present = "key_algorithm",
        conflicts_with = "key_algorithm"
    )]
    pub(crate) csr: Option<PathBuf>,
    /// Let the platform make and keep the key, of this algorithm.
    #[arg(long)]
    pub(crate) key_algorithm: Option<KeyAlgorithm>,
    /// With --key-algorithm: the subject, such as "CN=app.example,O=Example".
    #[arg(long, requires = "key_algorithm")]
    pub(crate) subject: Option<String>,
    /// With --key-algorithm: a name such as DNS:app.example; may be repeated.
    #[arg(long = "san", requires = "key_algorithm")]
    pub(crate) names: Vec<String>,
    /// The file for the PEM chain, leaf first; standard output when absent.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// The certificate authority that shall sign.
    #[arg(long)]
    pub(crate) ca: Option<uuid::Uuid>,
    /// What it is for: server, client, leaf, code_signing or email.
    #[arg(long = "type")]
    pub(crate) certificate_type: Option<CertificateType>,
    /// How long it shall be valid, in days.
    #[arg(long)]
    pub(crate) days: Option<u32>,
    /// Where it will be used: production, staging, development or testing.
    #[arg(long)]
    pub(crate) environment: Option<DeploymentEnvironment>,
    /// A label; may be repeated.
    #[arg(long = "tag")]
    pub(crate) tags: Vec<String>,
    /// Makes a repetition return the same certificate; a fresh one when absent.
    #[arg(long)]
    pub(crate) idempotency_key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct CertExport {
    /// The certificate.
    pub(crate) id: String,
    /// The file; standard output when absent.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Without the chain.
    #[arg(long)]
    pub(crate) no_chain: bool,
    /// Write the private key instead, encrypted under a passphrase.
    #[arg(long)]
    pub(crate) private_key: bool,
    /// Read the passphrase from standard input instead of the terminal.
    #[arg(long, requires = "private_key")]
    pub(crate) passphrase_stdin: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CaCommand {
    /// List certificate authorities, oldest first.
    List(Paging),
    /// Show one certificate authority.
    Show {
        /// Its id.
        id: String,
    },
    /// Make a certificate authority, with a code of your second factor (--totp).
    Create(CaCreate),
    /// What a certificate authority may ever sign.
    #[command(subcommand)]
    Limits(second_factor::LimitsCommand),
}

#[derive(Debug, Args)]
pub(crate) struct CaCreate {
    /// A name for people, unique in the organization.
    pub(crate) name: String,
    /// Its subject, such as "CN=Issuing CA,O=Example".
    #[arg(long)]
    pub(crate) subject: String,
    /// The authority above, by id or name; a root when absent.
    #[arg(long)]
    pub(crate) parent: Option<String>,
    /// The algorithm of its key.
    #[arg(long, default_value = "ecdsa-p384")]
    pub(crate) key_algorithm: KeyAlgorithm,
    /// How long its certificate is valid.
    #[arg(long)]
    pub(crate) validity_days: u32,
    /// How many authorities may follow below.
    #[arg(long)]
    pub(crate) path_length: Option<u8>,
    /// A file with what it may ever sign, as `clm ca limits show --output json` writes it.
    #[arg(long)]
    pub(crate) limits: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List encryption keys, newest first.
    List(Paging),
    /// Show one encryption key.
    Show {
        /// Its id.
        id: String,
    },
    /// Replace the data key of the organization, while everything goes on.
    Rotate(KeyRotate),
    /// List rotations, newest first.
    History(Paging),
    /// Show the progress of a rotation until it ends; exit code 1 unless it is completed.
    Watch {
        /// The rotation.
        id: String,
    },
    /// Roll a running rotation back.
    Cancel {
        /// The rotation.
        id: String,
    },
    /// List the private keys that a compromise exposed.
    Exposed {
        /// The rotation.
        id: String,
        #[command(flatten)]
        paging: Paging,
    },
    /// List the secrets that a compromise exposed, such as second factors.
    ExposedSecrets {
        /// The rotation.
        id: String,
        #[command(flatten)]
        paging: Paging,
    },
    /// Say how often the data key is rotated.
    Schedule {
        /// Days between two rotations.
        #[arg(long, required_unless_present = "never", conflicts_with = "never")]
        days: Option<u32>,
        /// No schedule.
        #[arg(long)]
        never: bool,
    },
    /// The master key, which wraps the data keys of all organizations.
    #[command(subcommand)]
    Master(MasterCommand),
    /// Destroy every data key of the organization, and so every private key that it holds, for ever.
    Erase {
        /// The slug of the organization, as proof that it is meant.
        #[arg(long = "confirm-organization")]
        slug: String,
        /// Why, in words.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum MasterCommand {
    /// Show where the master key is, and whether somebody has a copy.
    Show,
    /// Replace the master key, or move it to another provider.
    Rotate(MasterRotate),
    /// Prove that a copy of the master key exists.
    ConfirmBackup {
        /// The copy; of a split key, a share: repeat the option for as many as open it.
        #[arg(long = "file", required_unless_present = "custodians_confirmed")]
        files: Vec<PathBuf>,
        /// The custodians of a split key have said that they have their shares.
        #[arg(long, conflicts_with = "files")]
        custodians_confirmed: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct MasterRotate {
    /// Who shall hold it: file, credential, environment or shamir.
    #[arg(long = "to")]
    pub(crate) provider: MasterKeyProviderKind,
    /// With shamir: how many shares open it.
    #[arg(long, required_if_eq("provider", "shamir"))]
    pub(crate) threshold: Option<u8>,
    /// With shamir: how many shares there are.
    #[arg(long, required_if_eq("provider", "shamir"))]
    pub(crate) shares: Option<u8>,
    /// With shamir: the folder for one file per custodian, mode 0600; made when it is missing.
    #[arg(long, required_if_eq("provider", "shamir"))]
    pub(crate) out: Option<PathBuf>,
    /// Why: manual, scheduled, emergency or compromise.
    #[arg(long = "type", default_value = "manual")]
    pub(crate) rotation_type: KeyRotationType,
    /// Why, in words.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// A data key that does not open, and need not; repeat the option for each.
    #[arg(long = "give-up", value_name = "ID")]
    pub(crate) give_up: Vec<Uuid>,
}

#[derive(Debug, Args)]
pub(crate) struct UnsealArguments {
    /// The file of the share; it is asked for on the terminal when absent.
    #[arg(long)]
    pub(crate) share: Option<PathBuf>,
    /// Read the share from standard input instead of the terminal.
    #[arg(long, conflicts_with = "share")]
    pub(crate) share_stdin: bool,
    /// Forget the shares that were given.
    #[arg(long, conflicts_with_all = ["share", "share_stdin"])]
    pub(crate) reset: bool,
    /// Only say whether the server is sealed; exit code 1 when it is.
    #[arg(long, conflicts_with_all = ["share", "share_stdin", "reset"])]
    pub(crate) status: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeyRotate {
    /// Why: manual, scheduled, emergency or compromise.
    #[arg(long = "type", default_value = "manual")]
    pub(crate) rotation_type: KeyRotationType,
    /// Why, in words.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Most secrets sealed anew in a second.
    #[arg(long)]
    pub(crate) items_per_second: Option<u32>,
    /// Show the progress until it ends; exit code 1 unless it is completed.
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Paging {
    /// At most so many.
    #[arg(long)]
    pub(crate) limit: Option<u32>,
    /// The cursor of the page before.
    #[arg(long)]
    pub(crate) cursor: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Servers {
    /// An administrator's URL of the server of clm_core_db (and of clm_secure_db, unless given).
    #[arg(long, env = "CLM_ADMIN_URL", hide_env_values = true)]
    pub(crate) admin_url: Option<String>,
    /// An administrator's URL of the server of clm_secure_db.
    #[arg(
        long,
        env = "CLM_SECURE_ADMIN_URL",
        hide_env_values = true,
        requires = "admin_url"
    )]
    pub(crate) secure_admin_url: Option<String>,
}

/// One of the two databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DatabaseName {
    /// `clm_core_db`
    Core,
    /// `clm_secure_db`
    Secure,
}

/// The databases that a command is about.
#[derive(Clone, Debug, Args)]
pub(crate) struct Databases {
    #[command(flatten)]
    pub(crate) servers: Servers,
    /// Only this database; both when absent, or the one whose URL is set here.
    #[arg(long, value_enum)]
    pub(crate) database: Option<DatabaseName>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Prepare servers that you administer, and write the URLs for "clm serve" to a file.
    Init {
        #[command(flatten)]
        databases: Databases,
        /// The file for the URLs; it must not exist.
        #[arg(long)]
        out: PathBuf,
    },
    /// Bring the databases to this program's schema.
    Migrate {
        #[command(flatten)]
        databases: Databases,
    },
    /// Show which migrations are applied.
    Status {
        #[command(flatten)]
        databases: Databases,
    },
    /// Compare the databases with what this program expects; exit code 1 names what differs.
    Verify {
        #[command(flatten)]
        databases: Databases,
    },
    /// Go back to a schema version.
    Rollback {
        #[command(flatten)]
        databases: Databases,
        /// The version to go back to; 0 undoes everything.
        #[arg(long)]
        to: i32,
        /// Allow the rollback to destroy keys, certificates and audit rows.
        #[arg(long)]
        destroy_data: bool,
    },
    /// Compare what both databases say about every certificate; exit code 1 prints differences.
    Reconcile {
        #[command(flatten)]
        servers: Servers,
        /// Only compare; nothing is changed.
        #[arg(long, required = true)]
        check: bool,
    },
}

/// Prints the completions of a shell.
pub(crate) fn completions(shell: clap_complete::Shell) -> ExitCode {
    clap_complete::generate(shell, &mut Arguments::command(), "clm", &mut io::stdout());
    ExitCode::SUCCESS
}
