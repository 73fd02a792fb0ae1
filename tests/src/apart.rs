//! Core and Secure Service in two processes, each with a PostgreSQL server of its own, as on two hosts.

use std::fs;
use std::os::unix::fs::chown;
use std::process::Output;
use std::sync::Arc;

use clm_api_types::api_keys::ApiKeyCreate;
use clm_api_types::certificate_authorities::CertificateAuthorityCreate;
use clm_api_types::client::{Client, ClientOptions, Credential};
use clm_api_types::second_factor::TotpCode;
use clm_api_types::sessions::SessionCreate;
use clm_domain::key_algorithm::KeyAlgorithm;
use clm_test_support::{TestCluster, cluster};

use crate::databases::{Superuser, admin_url};
use crate::program::{Program, free_address};
use crate::step_up::{self, Password};

/// The first administrator's password.
pub const PASSWORD: &str = "correct horse battery staple";

/// Both processes, which run or not.
pub struct Apart {
    /// The server of `clm_core_db`.
    pub core_server: TestCluster,
    /// The server of `clm_secure_db`.
    pub secure_server: TestCluster,
    /// `clm serve --role core`.
    pub core: Program,
    /// `clm serve --role secure`.
    pub secure: Program,
    /// Where the core answers.
    pub url: String,
    /// Where the Secure Service listens.
    pub address: String,
}

impl Apart {
    /// Both databases prepared, each from its own host; nothing runs.
    ///
    /// # Panics
    /// When something cannot be prepared.
    pub async fn prepare() -> Self {
        let (core_server, secure_server) = (TestCluster::start().await, TestCluster::start().await);
        // The sockets are the account's alone, so it must run the programs too.
        let program = || cluster::account().map_or_else(Program::prepare, Program::prepare_as);
        let (http, address) = (free_address(), free_address());
        let mut core = program();
        core.environment
            .push(("CLM_ROLE".to_owned(), "core".to_owned()));
        core.environment
            .push(("CLM_HTTP_LISTEN".to_owned(), http.clone()));
        let mut secure = program();
        secure
            .environment
            .push(("CLM_ROLE".to_owned(), "secure".to_owned()));
        secure
            .environment
            .push(("CLM_SECURE_LISTEN".to_owned(), address.clone()));
        for (program, database, server) in [
            (&mut core, "core", &core_server),
            (&mut secure, "secure", &secure_server),
        ] {
            let url = admin_url(server);
            prepare_databases(program, &["--database", database, "--admin-url", &url]);
        }
        Self {
            core_server,
            secure_server,
            core,
            secure,
            url: format!("http://{http}"),
            address,
        }
    }

    /// Both running and paired.
    ///
    /// # Panics
    /// When one does not become ready.
    pub async fn start() -> Self {
        let mut this = Self::prepare().await;
        this.secure.serve();
        this.pair("core-1");
        this.core.serve();
        this
    }

    /// Pairs the core, which must not run.
    ///
    /// # Panics
    /// When that fails.
    pub fn pair(&self, name: &str) {
        let token = self.token(name);
        let accepted = self.on_core(&["pair", "accept"], &token);
        assert!(accepted.status.success(), "{accepted:?}");
    }

    /// A token for a new core.
    ///
    /// # Panics
    /// When none is made.
    pub fn token(&self, name: &str) -> String {
        let made = self.on_secure(&["pair", "create", name], "");
        assert!(made.status.success(), "{made:?}");
        String::from_utf8(made.stdout).expect("a token is text")
    }

    /// A command on the core's host, with what it reads.
    pub fn on_core(&self, arguments: &[&str], input: &str) -> Output {
        self.core.cli_with_settings(arguments, input)
    }

    /// A command on the host of the Secure Service.
    pub fn on_secure(&self, arguments: &[&str], input: &str) -> Output {
        self.secure.cli_with_settings(arguments, input)
    }

    /// Both databases, past every rule.
    pub fn databases(&self) -> Superuser {
        Superuser::connect(
            self.core_server.admin("clm_core_db"),
            self.secure_server.admin("clm_secure_db"),
        )
    }

    /// The first administrator, a root and an issuing authority, and an API key.
    ///
    /// # Panics
    /// When one of them cannot be made.
    pub async fn furnish(&self) -> String {
        let created = self.on_core(&CREATE_ADMINISTRATOR, &format!("{PASSWORD}\n"));
        assert!(created.status.success(), "{created:?}");
        furnish(&self.url).await
    }
}

/// The command that makes the first administrator, whose password it reads.
pub const CREATE_ADMINISTRATOR: [&str; 5] = [
    "user",
    "create-admin",
    "--username",
    "admin",
    "--password-stdin",
];

/// As the first administrator of an installation with external databases: a root and an issuing authority,
/// and an API key.
///
/// # Panics
/// When one of them cannot be made.
pub async fn furnish(url: &str) -> String {
    let sign_in = SessionCreate {
        username: "admin".to_owned(),
        password: PASSWORD.to_owned(),
        organization: None,
    };
    let signed_in = connect(url, Credential::None).sign_in(&sign_in).await;
    let (_, credential) = signed_in.expect("the administrator signs in");
    let admin = connect(url, credential).asking(Arc::new(Password(PASSWORD.to_owned())));
    let key = make_key(&admin).await;
    // An authority takes a code of a second factor. It is removed again, for those who sign in later.
    let (credential, codes) = step_up::enrol(&admin).await;
    let admin = connect(url, credential).asking(Arc::clone(&codes) as _);
    let root = authority("Root", None, 730);
    let root = admin.create_certificate_authority(&root, "root").await;
    let root = root.expect("a root can be made");
    let issuing = authority("Issuing", Some(root.id), 365);
    let issuing = admin
        .create_certificate_authority(&issuing, "issuing")
        .await;
    issuing.expect("an issuing authority can be made");
    let code = TotpCode { code: codes.next() };
    admin.remove_totp(&code).await.expect("the code is right");
    key
}

/// A key that names all that its owner may do, so that it exports keys and gives roles.
async fn make_key(owner: &Client) -> String {
    let rights = owner.who_am_i().await.expect("there is a session");
    let key = ApiKeyCreate {
        name: "test".to_owned(),
        scopes: Some(rights.permissions),
        expires_at: None,
        allowed_networks: None,
        user_id: None,
    };
    let key = owner.create_api_key(&key).await;
    key.expect("an API key can be made").secret
}

fn connect(url: &str, credential: Credential) -> Client {
    let options = ClientOptions::default();
    Client::over_network(url, credential, &options).expect("a client can be made")
}

// The parent ends later, however long it takes until the child begins.
fn authority(
    name: &str,
    parent_id: Option<uuid::Uuid>,
    validity_days: u32,
) -> CertificateAuthorityCreate {
    CertificateAuthorityCreate {
        name: name.to_owned(),
        subject: format!("CN={name}"),
        parent_id,
        key_algorithm: KeyAlgorithm::EcdsaP256,
        signature_algorithm: None,
        validity_days,
        path_length_max: None,
        limits: None,
    }
}

/// `clm db init`, whose file has the settings of the program.
///
/// # Panics
/// When the databases cannot be prepared.
pub fn prepare_databases(program: &mut Program, arguments: &[&str]) {
    let directory = program.directory.path().join("settings");
    fs::create_dir(&directory).expect("the directory is new");
    if let Some(account) = cluster::account() {
        chown(&directory, Some(account.uid), Some(account.gid))
            .expect("root gives directories away");
    }
    let file = directory.join("databases.env");
    let out = file.to_str().expect("the path is text");
    let made = program.cli(&[&["db", "init", "--out", out], arguments].concat());
    assert!(made.status.success(), "{made:?}");
    let text = fs::read_to_string(&file).expect("the file was written");
    let settings = text.lines().filter_map(|line| line.split_once('='));
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    program.environment.extend(settings);
}
