//! Several `clm serve` over the same databases.

use clm_test_support::{TestCluster, cluster};

use crate::apart::{CREATE_ADMINISTRATOR, PASSWORD, furnish, prepare_databases};
use crate::databases::{Superuser, admin_url};
use crate::program::{Program, free_address};
use crate::rest::{Rest, SignedIn};

/// Programs that share both databases and the master key, and nothing else.
pub struct Replicas {
    /// The server of both databases.
    pub server: TestCluster,
    programs: Vec<(Program, String)>,
    /// Of the first administrator, who may do everything.
    pub api_key: String,
}

impl Replicas {
    /// So many, ready, with the first administrator, an authority and an API key.
    ///
    /// # Panics
    /// When one does not become ready.
    pub async fn start(count: usize) -> Self {
        Self::start_with(count, &[]).await
    }

    /// The same with further settings.
    ///
    /// # Panics
    /// When one does not become ready.
    pub async fn start_with(count: usize, settings: &[(String, String)]) -> Self {
        let server = TestCluster::start().await;
        // The socket is the account's alone, so it must run the programs too.
        let program = || cluster::account().map_or_else(Program::prepare, Program::prepare_as);
        let mut first = program();
        prepare_databases(&mut first, &["--admin-url", &admin_url(&server)]);
        for (name, value) in [
            ("CLM_MASTER_KEY_PROVIDER", "environment".to_owned()),
            ("CLM_MASTER_KEY", "5e".repeat(32)),
        ] {
            first.environment.push((name.to_owned(), value));
        }
        first.environment.extend_from_slice(settings);
        let shared = first.environment.clone();
        let mut programs = vec![first];
        for _ in 1..count {
            let mut other = program();
            other.environment.clone_from(&shared);
            programs.push(other);
        }
        let programs: Vec<(Program, String)> = programs
            .into_iter()
            .map(|mut program| {
                let http = free_address();
                let listen = ("CLM_HTTP_LISTEN".to_owned(), http.clone());
                program.environment.push(listen);
                program.serve();
                (program, format!("http://{http}"))
            })
            .collect();
        let (first, url) = programs.first().expect("there is one at least");
        let created = first.cli_with_settings(&CREATE_ADMINISTRATOR, &format!("{PASSWORD}\n"));
        assert!(created.status.success(), "{created:?}");
        let api_key = furnish(url).await;
        Self {
            server,
            programs,
            api_key,
        }
    }

    /// The interface of one of them.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn rest(&self, index: usize) -> Rest {
        let (_, url) = self.programs.get(index).expect("there are so many");
        Rest::at(url.clone())
    }

    /// Both databases, past every rule.
    pub fn databases(&self) -> Superuser {
        Superuser::connect(
            self.server.admin("clm_core_db"),
            self.server.admin("clm_secure_db"),
        )
    }

    /// A session of the first administrator, made by one of them.
    pub async fn sign_in(&self, index: usize) -> SignedIn {
        self.rest(index).sign_in("admin", PASSWORD, "default").await
    }

    /// Stops one of them as a service manager does.
    ///
    /// # Panics
    /// When it does not stop well.
    pub fn stop(&mut self, index: usize) {
        let (program, _) = self.programs.get_mut(index).expect("there are so many");
        assert!(program.stop("TERM"), "{}", program.read_log());
    }
}
