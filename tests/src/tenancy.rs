//! Behind the program: which rows of both databases belong to which organization. Start with
//! [`Superuser::contents_beside`].

use std::collections::BTreeSet;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPool;
use uuid::Uuid;

use crate::databases::{BESIDE_THE_ACT, Contents, OF_USE, Superuser};

/// A table whose rows belong to organizations.
struct Holding {
    table: String,
    /// Names the organization.
    column: String,
    has_id: bool,
}

impl Superuser {
    /// Everything of organizations other than these, but for what [`Superuser::contents`] leaves out.
    ///
    /// # Panics
    /// When the databases do not answer.
    pub async fn contents_beside(&self, organizations: &[Uuid]) -> Contents {
        let mut contents = contents_beside("core", &self.core, organizations).await;
        contents.extend(contents_beside("secure", &self.secure, organizations).await);
        contents
    }

    /// The id of every row of an organization in both databases, its audit logs among them.
    ///
    /// # Panics
    /// When the databases do not answer.
    pub async fn ids_of(&self, organization_id: Uuid) -> BTreeSet<Uuid> {
        let mut ids = BTreeSet::new();
        for pool in [&self.core, &self.secure] {
            for holding in holdings(pool).await.iter().filter(|one| one.has_id) {
                let (table, column) = (&holding.table, &holding.column);
                let statement = format!("SELECT id FROM {table} WHERE {column} = $1");
                let found = sqlx::query_scalar::<_, Uuid>(AssertSqlSafe(statement))
                    .bind(organization_id)
                    .fetch_all(pool);
                ids.extend(found.await.expect("the ids can be read"));
            }
        }
        ids
    }
}

async fn holdings(pool: &PgPool) -> Vec<Holding> {
    let found: Vec<(String, String, bool)> = sqlx::query_as(
        "SELECT c.relname::text, a.attname::text, EXISTS (
            SELECT FROM pg_attribute i WHERE i.attrelid = c.oid AND i.attname = 'id')
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
            AND NOT c.relispartition AND (a.attname IN ('organization_id', 'home_organization_id')
                OR (c.relname = 'organizations' AND a.attname = 'id'))",
    )
    .fetch_all(pool)
    .await
    .expect("the tables can be listed");
    assert!(!found.is_empty(), "no table belongs to organizations");
    found
        .into_iter()
        .map(|(table, column, has_id)| Holding {
            table,
            column,
            has_id,
        })
        .collect()
}

async fn contents_beside(database: &str, pool: &PgPool, organizations: &[Uuid]) -> Contents {
    let parts: Vec<String> = holdings(pool)
        .await
        .iter()
        .filter(|holding| !BESIDE_THE_ACT.contains(&holding.table.as_str()))
        .map(|Holding { table, column, .. }| {
            let used = OF_USE.iter().find(|(name, _)| name == table);
            let used = used.map(|(_, columns)| columns.join("', '"));
            format!(
                "SELECT '{database}.{table}', count(*) || ' rows '
                     || coalesce(md5(string_agg(row, ',' ORDER BY row)), '')
                 FROM (SELECT (to_jsonb(t) - ARRAY['{}'])::text AS row FROM {table} t
                     WHERE {column} <> ALL ($1)) s",
                used.unwrap_or_default()
            )
        })
        .collect();
    let statement = AssertSqlSafe(parts.join(" UNION ALL "));
    let rows = sqlx::query_as::<_, (String, String)>(statement)
        .bind(organizations)
        .fetch_all(pool);
    rows.await
        .expect("the contents can be read")
        .into_iter()
        .collect()
}
