//! `clm db`, `clm user create-admin` and `clm user reset-totp`: through the server's library, not through REST.

use std::process::ExitCode;

use clm_server::admin::Administration;
use clm_server::{Configuration, Database, Role};

use crate::arguments::user::{CreateAdmin, ResetTotp};
use crate::arguments::{DatabaseName, Databases, DbCommand, Format, Global, Servers};
use crate::{output, session};

/// `clm db …`
pub(crate) async fn db(global: &Global, command: DbCommand) -> anyhow::Result<ExitCode> {
    let configuration = Configuration::load()?;
    let named = |administration: &Administration, databases: &Databases| {
        named(configuration.role, administration, databases)
    };
    let open = |servers: &Servers| {
        let (admin, secure) = (
            servers.admin_url.as_deref(),
            servers.secure_admin_url.as_deref(),
        );
        Administration::open(&configuration, admin, secure)
    };
    match command {
        DbCommand::Init { databases, out } => {
            let administration = open(&databases.servers)?;
            let named = named(&administration, &databases);
            administration.init(&named, &out).await?;
            output::line(&format!(
                "{} ready; start the server with the settings in {}",
                sentence(&named),
                out.display()
            ));
            Ok(ExitCode::SUCCESS)
        }
        DbCommand::Migrate { databases } => {
            let administration = open(&databases.servers)?;
            migrate(&administration, &named(&administration, &databases)).await
        }
        DbCommand::Status { databases } => {
            let administration = open(&databases.servers)?;
            let named = named(&administration, &databases);
            status(global, &administration, &named).await
        }
        DbCommand::Verify { databases } => {
            let administration = open(&databases.servers)?;
            let named = named(&administration, &databases);
            verify(global, &administration, &named).await
        }
        DbCommand::Rollback {
            databases,
            to,
            destroy_data,
        } => {
            let administration = open(&databases.servers)?;
            for database in named(&administration, &databases) {
                let report = administration.rollback(database, to, destroy_data).await?;
                output::line(&format!(
                    "{}: at version {}",
                    database.name(),
                    report.version
                ));
            }
            Ok(ExitCode::SUCCESS)
        }
        DbCommand::Reconcile { servers, check: _ } => {
            reconcile(global, &configuration, &open(&servers)?).await
        }
    }
}

/// The databases that a command names, else that of the role of this host, else all that are known here.
fn named(role: Role, administration: &Administration, databases: &Databases) -> Vec<Database> {
    match (databases.database, role) {
        (Some(DatabaseName::Core), _) | (None, Role::Core) => vec![Database::Core],
        (Some(DatabaseName::Secure), _) | (None, Role::Secure) => vec![Database::Secure],
        (None, Role::All) => administration.databases(),
    }
}

/// The beginning of a sentence about these databases.
fn sentence(databases: &[Database]) -> String {
    match databases {
        [one] => format!("{} is", one.name()),
        _ => "both databases are".to_owned(),
    }
}

async fn migrate(
    administration: &Administration,
    databases: &[Database],
) -> anyhow::Result<ExitCode> {
    for database in databases.iter().copied() {
        let report = administration.migrate(database).await?;
        for version in &report.adopted {
            output::line(&format!("{}: adopted {version:03}", database.name()));
        }
        for applied in &report.applied {
            output::line(&format!(
                "{}: applied {:03} {} in {} ms",
                database.name(),
                applied.version,
                applied.name,
                applied.execution_time_ms
            ));
        }
        output::line(&format!(
            "{}: at version {}",
            database.name(),
            report.version
        ));
    }
    Ok(ExitCode::SUCCESS)
}

async fn status(
    global: &Global,
    administration: &Administration,
    databases: &[Database],
) -> anyhow::Result<ExitCode> {
    let mut rows = Vec::new();
    for database in databases.iter().copied() {
        for migration in administration.status(database).await? {
            let applied = migration.applied.as_ref();
            rows.push(vec![
                database.name().to_owned(),
                format!("{:03}", migration.version),
                migration.description.clone(),
                migration.state.to_string(),
                applied.map(|(at, ..)| at.to_rfc3339()).unwrap_or_default(),
                applied.map(|(_, by, _)| by.clone()).unwrap_or_default(),
            ]);
        }
    }
    let headers = [
        "database",
        "version",
        "description",
        "state",
        "applied at",
        "applied by",
    ];
    if global.output == Format::Json {
        let items: Vec<_> = rows.iter().map(|row| object(&headers, row)).collect();
        output::json(&serde_json::json!({ "items": items, "next_cursor": null }))?;
    } else {
        output::table(&headers, rows.into_iter());
    }
    Ok(ExitCode::SUCCESS)
}

async fn verify(
    global: &Global,
    administration: &Administration,
    databases: &[Database],
) -> anyhow::Result<ExitCode> {
    let mut found = Vec::new();
    for database in databases.iter().copied() {
        for difference in administration.verify(database).await? {
            found.push((database.name(), difference.to_string()));
        }
    }
    if global.output == Format::Json {
        let items: Vec<_> = found
            .iter()
            .map(|(database, text)| serde_json::json!({ "database": database, "difference": text }))
            .collect();
        output::json(&serde_json::json!({ "items": items, "next_cursor": null }))?;
    } else {
        for (database, difference) in &found {
            output::line(&format!("{database}: {difference}"));
        }
        if found.is_empty() {
            output::line(&format!("{} as this program expects", sentence(databases)));
        }
    }
    Ok(if found.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn reconcile(
    global: &Global,
    configuration: &Configuration,
    administration: &Administration,
) -> anyhow::Result<ExitCode> {
    let found = administration.reconcile_check(configuration).await?;
    if global.output == Format::Json {
        output::json(&serde_json::json!({ "items": found, "next_cursor": null }))?;
    } else {
        for difference in &found {
            output::line(difference);
        }
    }
    Ok(if found.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn object(headers: &[&str], row: &[String]) -> serde_json::Value {
    headers
        .iter()
        .map(|header| header.replace(' ', "_"))
        .zip(
            row.iter()
                .map(|cell| serde_json::Value::String(cell.clone())),
        )
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// `clm user reset-totp`
pub(crate) async fn reset_totp(arguments: ResetTotp) -> anyhow::Result<ExitCode> {
    let configuration = Configuration::load()?;
    let administration = Administration::open(
        &configuration,
        arguments.servers.admin_url.as_deref(),
        arguments.servers.secure_admin_url.as_deref(),
    )?;
    let username = arguments.username;
    let user = (arguments.home_organization.as_str(), username.as_str());
    administration
        .reset_second_factor(&configuration, user, arguments.reason)
        .await?;
    output::line(&format!("{username} has no second factor any more"));
    Ok(ExitCode::SUCCESS)
}

/// `clm user create-admin`
pub(crate) async fn create_admin(arguments: CreateAdmin) -> anyhow::Result<ExitCode> {
    let CreateAdmin {
        username,
        home_organization,
        organization_name,
        password_stdin,
        servers,
    } = arguments;
    let configuration = Configuration::load()?;
    let administration = Administration::open(
        &configuration,
        servers.admin_url.as_deref(),
        servers.secure_admin_url.as_deref(),
    )?;
    let password = session::secret("Password of the new administrator: ", password_stdin)?;
    let credential = (
        username.clone(),
        clm_domain::secret::SecretString::new(password),
    );
    let organization = (home_organization, organization_name);
    administration
        .create_administrator(&configuration, credential, organization)
        .await?;
    output::line(&format!("administrator {username} can sign in"));
    Ok(ExitCode::SUCCESS)
}
