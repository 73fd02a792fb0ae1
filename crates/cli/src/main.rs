//! The program `clm`.
//!
//! `serve`, `db`, `doctor`, `pair`, `user create-admin` and `user reset-totp` call the server's library; every other command is
//! REST through `clm-api-types`. Exit codes: 0 done, 1 failed or differences found, 2 wrong usage,
//! 3 not signed in or not allowed, 4 not found, 5 the server cannot be reached or says to try again.

mod access;
mod arguments;
mod certificates;
mod connect;
mod credentials;
mod database;
mod doctor;
mod keys;
mod links;
mod master_key;
mod organizations;
mod output;
mod pair;
mod roles;
mod second_factor;
mod session;
mod step_up;
mod users;

use std::process::ExitCode;

use anyhow::bail;
use clap::Parser as _;
use clm_api_types::client::ClientError;
use clm_server::serve::Prepared;

use crate::arguments::{Arguments, Command, Global};

/// An issuance is many small allocations on several threads, which this does in half the time of
/// glibc's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let Arguments { global, command } = Arguments::parse();
    let outcome = match command {
        // It gives up what it never needs while there is one thread.
        Command::Serve { role } => Prepared::new(role).and_then(|prepared| {
            in_runtime(clm_server::serve::run(prepared)).map(|()| ExitCode::SUCCESS)
        }),
        command => in_runtime(run(global, command)),
    };
    outcome.unwrap_or_else(|error| fail(&error))
}

fn in_runtime<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().build()?.block_on(work)
}

async fn run(global: Global, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve { .. } => bail!("the server starts before there are threads"),
        Command::Login(login) => session::login(&global, login).await,
        Command::Logout => session::logout(&global).await,
        Command::Whoami => session::whoami(&global).await,
        Command::Cert(command) => certificates::cert(&global, command).await,
        Command::Ca(command) => certificates::ca(&global, command).await,
        Command::Totp(command) => second_factor::totp(&global, command).await,
        Command::Key(command) => keys::key(&global, command).await,
        Command::Unseal(arguments) => master_key::unseal(&global, arguments).await,
        Command::Seal { force } => master_key::seal(&global, force).await,
        Command::ApiKey(command) => access::api_key(&global, command).await,
        Command::Session(command) => access::session(&global, command).await,
        Command::Role(command) => roles::role(&global, command).await,
        Command::Access(command) => roles::access(&global, command).await,
        Command::Org(command) => organizations::organization(&global, command).await,
        Command::Member(command) => organizations::member(&global, command).await,
        Command::Invitation(command) => organizations::invitation(&global, command).await,
        Command::Pair(command) => pair::pair(&global, command).await,
        Command::User(command) => users::user(&global, command).await,
        Command::Db(command) => database::db(&global, command).await,
        Command::Doctor => doctor::run(&global).await,
        Command::Completions { shell } => Ok(arguments::completions(shell)),
        Command::Openapi => {
            output::raw(&clm_server::openapi_json()?);
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Tells what went wrong and picks the exit code.
#[expect(clippy::print_stderr, reason = "errors of commands go to the terminal")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("clm: {error:#}");
    let code = match error.downcast_ref::<ClientError>() {
        Some(ClientError::Problem(problem)) => match problem.status {
            401 | 403 => 3,
            404 => 4,
            429 | 503 => 5,
            _ => 1,
        },
        Some(ClientError::Unreachable { .. }) => 5,
        _ if error.downcast_ref::<connect::NotSignedIn>().is_some() => 3,
        _ => 1,
    };
    ExitCode::from(code)
}
