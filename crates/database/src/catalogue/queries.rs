//! How each kind of object is read: one query per kind, over `pg_catalog` alone, that works on
//! PostgreSQL 12 to 18 for any user and returns a name and a definition.
//!
//! Names start with the object that the thing belongs to, up to a dot or colon, so that the check can
//! leave out what follows from a missing table. Definitions are text that is the same on every
//! version; the session has `search_path = pg_catalog`, so that the server qualifies names in one way.

/// A kind of object: its name in messages and in the snapshot, and how to read it.
///
/// `$1` is the pattern of the names of our roles.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) query: &'static str,
}

/// All of schema `public` that no extension brought, the roles that are ours, and routines.
macro_rules! query {
    ($body:literal) => {
        concat!(
            "-- catalogue::read
WITH ours AS (
    SELECT oid, rolname FROM pg_roles WHERE rolname LIKE $1 OR rolname = 'clm_auditor'
), relation AS (
    SELECT c.oid, c.relname::text AS name, c.relkind, c.relowner, c.relacl, c.relispartition, c.reloptions,
           c.relpersistence, c.relrowsecurity, c.relforcerowsecurity, c.relpartbound
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
), routine AS (
    SELECT p.oid, p.proname || '(' || oidvectortypes(p.proargtypes) || ')' AS name, p.proowner, p.proacl,
           EXISTS (SELECT FROM pg_depend d
                   WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e') AS is_foreign
    FROM pg_proc p
    JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'public'
)
",
            $body
        )
    };
}

pub(super) const TABLE: &str = "table";
pub(super) const PARTITION: &str = "partition";
pub(super) const VIEW: &str = "view";
pub(super) const FUNCTION: &str = "function";
pub(super) const POLICY: &str = "policy";
pub(super) const ROLE: &str = "role";
pub(super) const PARAMETER_GRANT: &str = "parameter grant";
pub(super) const SEED_ROW: &str = "seed row";

/// What only the roles file makes.
pub(super) const OF_THE_ROLES_FILE: [&str; 7] = [
    ROLE,
    "role attribute",
    "role membership",
    "setting",
    PARAMETER_GRANT,
    "ownership",
    "grant",
];

/// Every kind, in the order of reports: containers first.
pub(super) const KINDS: [Kind; 25] = [
    Kind {
        name: "extension",
        query: EXTENSIONS,
    },
    Kind {
        name: ROLE,
        query: ROLES,
    },
    Kind {
        name: "role attribute",
        query: ROLE_ATTRIBUTES,
    },
    Kind {
        name: "role membership",
        query: ROLE_MEMBERSHIPS,
    },
    Kind {
        name: "setting",
        query: SETTINGS,
    },
    Kind {
        name: PARAMETER_GRANT,
        query: PARAMETER_GRANTS,
    },
    Kind {
        name: "schema",
        query: SCHEMAS,
    },
    Kind {
        name: "publication",
        query: PUBLICATIONS,
    },
    Kind {
        name: "event trigger",
        query: EVENT_TRIGGERS,
    },
    Kind {
        name: "foreign server",
        query: FOREIGN_SERVERS,
    },
    Kind {
        name: TABLE,
        query: TABLES,
    },
    Kind {
        name: PARTITION,
        query: PARTITIONS,
    },
    Kind {
        name: VIEW,
        query: VIEWS,
    },
    Kind {
        name: "sequence",
        query: SEQUENCES,
    },
    Kind {
        name: "type",
        query: TYPES,
    },
    Kind {
        name: FUNCTION,
        query: FUNCTIONS,
    },
    Kind {
        name: "column",
        query: COLUMNS,
    },
    Kind {
        name: "constraint",
        query: CONSTRAINTS,
    },
    Kind {
        name: "index",
        query: INDEXES,
    },
    Kind {
        name: "trigger",
        query: TRIGGERS,
    },
    Kind {
        name: "rule",
        query: RULES,
    },
    Kind {
        name: POLICY,
        query: POLICIES,
    },
    Kind {
        name: "ownership",
        query: OWNERSHIPS,
    },
    Kind {
        name: "grant",
        query: GRANTS,
    },
    Kind {
        name: "comment",
        query: COMMENTS,
    },
];

// Those that operators add to watch a server are no excess.
const EXTENSIONS: &str = query!(
    "SELECT e.extname::text, 'in schema ' || n.nspname
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname NOT IN ('plpgsql', 'amcheck', 'auto_explain', 'pageinspect', 'pg_buffercache', 'pg_freespacemap',
                        'pg_prewarm', 'pg_stat_statements', 'pg_visibility', 'pgaudit', 'pgrowlocks', 'pgstattuple')"
);

const ROLES: &str = query!("SELECT rolname::text, '' FROM ours");

const ROLE_ATTRIBUTES: &str = query!(
    "SELECT r.rolname::text, concat_ws(' ',
    CASE WHEN r.rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END,
    CASE WHEN r.rolinherit THEN 'INHERIT' ELSE 'NOINHERIT' END,
    CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' ELSE 'NOBYPASSRLS' END,
    CASE WHEN r.rolsuper THEN 'SUPERUSER' END,
    CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
    CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
    CASE WHEN r.rolreplication THEN 'REPLICATION' END)
FROM pg_roles r JOIN ours USING (oid)"
);

// The options of a membership exist since PostgreSQL 16; before it they are attributes of the member.
// Administrators may be members: who may grant a role could make himself one at any moment.
const ROLE_MEMBERSHIPS: &str = query!(
    "SELECT member.rolname || ' in ' || granted.rolname, concat_ws(' ',
    CASE WHEN bool_or(coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, member.rolinherit))
        THEN 'INHERIT' ELSE 'NOINHERIT' END,
    CASE WHEN bool_or(coalesce((to_jsonb(m) ->> 'set_option')::boolean, true)) THEN 'SET' ELSE 'NOSET' END,
    CASE WHEN bool_or(m.admin_option) THEN 'ADMIN' END)
FROM pg_auth_members m
JOIN pg_roles member ON member.oid = m.member
JOIN pg_roles granted ON granted.oid = m.roleid
WHERE member.oid IN (SELECT oid FROM ours)
   OR (granted.oid IN (SELECT oid FROM ours) AND NOT member.rolsuper AND NOT member.rolcreaterole)
GROUP BY member.rolname, granted.rolname"
);

// Settings of a role or database that would undermine row-level security or name resolution.
const SETTINGS: &str = query!(
    "SELECT coalesce(r.rolname, 'every role') || ': ' || split_part(setting, '=', 1), setting
FROM pg_db_role_setting s
LEFT JOIN pg_roles r ON r.oid = s.setrole
CROSS JOIN LATERAL unnest(s.setconfig) AS setting
WHERE s.setdatabase IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
  AND (s.setrole = 0 OR s.setrole IN (SELECT oid FROM ours))
  AND split_part(setting, '=', 1) ~ '^(app\\..*|clm\\..*|role|row_security|search_path|session_replication_role)$'"
);

// Who may set a parameter that is for superusers, such as session_replication_role. What roles of
// others got on a shared server is theirs.
const PARAMETER_GRANTS: &str = query!(
    "SELECT p.parname || ': ' || a.privilege_type || ' to ' || coalesce(r.rolname, 'PUBLIC'),
    max(CASE WHEN a.is_grantable THEN 'WITH GRANT OPTION' ELSE '' END)
FROM pg_parameter_acl p
CROSS JOIN LATERAL aclexplode(p.paracl) AS a
LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE a.grantee = 0 OR a.grantee IN (SELECT oid FROM ours)
GROUP BY 1"
);

// Everything of ours is in schema public. What is elsewhere is not looked at, but that there is an elsewhere.
const SCHEMAS: &str = query!(
    "SELECT n.nspname::text, ''
FROM pg_namespace n
WHERE n.nspname NOT IN ('public', 'information_schema') AND n.nspname !~ '^pg_'
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')"
);

// A publication carries rows out of the database, past row security.
const PUBLICATIONS: &str = query!(
    "SELECT p.pubname::text, CASE WHEN p.puballtables THEN 'FOR ALL TABLES' ELSE '' END FROM pg_publication p"
);

const EVENT_TRIGGERS: &str = query!(
    "SELECT t.evtname::text, 'ON ' || t.evtevent FROM pg_event_trigger t
WHERE NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_event_trigger'::regclass AND d.objid = t.oid AND d.deptype = 'e')"
);

// Without the options, which may hold what is nobody's business.
const FOREIGN_SERVERS: &str = query!(
    "SELECT s.srvname::text, 'FOREIGN DATA WRAPPER ' || w.fdwname
FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw"
);

const TABLES: &str = query!(
    "SELECT r.name, concat_ws(', ',
    CASE r.relkind WHEN 'p' THEN 'partitioned by ' || pg_get_partkeydef(r.oid) WHEN 'f' THEN 'foreign' ELSE 'plain' END,
    CASE WHEN r.relpersistence = 'u' THEN 'unlogged' END,
    CASE WHEN r.relrowsecurity THEN 'row security enabled' ELSE 'row security disabled' END,
    CASE WHEN r.relforcerowsecurity THEN 'forced' END,
    array_to_string(r.reloptions, ', '))
FROM relation r WHERE r.relkind IN ('r', 'p', 'f') AND NOT r.relispartition"
);

const PARTITIONS: &str = query!(
    "SELECT r.name, concat_ws(', ',
    'of ' || parent.relname,
    pg_get_expr(r.relpartbound, r.oid),
    CASE WHEN r.relpersistence = 'u' THEN 'unlogged' END,
    CASE WHEN r.relrowsecurity THEN 'row security enabled' ELSE 'row security disabled' END,
    CASE WHEN r.relforcerowsecurity THEN 'forced' END)
FROM relation r
JOIN pg_inherits i ON i.inhrelid = r.oid
JOIN pg_class parent ON parent.oid = i.inhparent
WHERE r.relispartition"
);

const VIEWS: &str = query!(
    "SELECT r.name, concat_ws(' ',
    CASE r.relkind WHEN 'm' THEN 'materialized' END, array_to_string(r.reloptions, ', '), pg_get_viewdef(r.oid))
FROM relation r WHERE r.relkind IN ('v', 'm')"
);

const SEQUENCES: &str = query!(
    "SELECT r.name, s.seqtypid::regtype::text || ' increment ' || s.seqincrement
FROM relation r JOIN pg_sequence s ON s.seqrelid = r.oid"
);

// Types of their own; not the row types of tables, nor arrays, which come with their elements.
const TYPES: &str = query!(
    "SELECT t.typname::text, CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range' ELSE 'composite' END
FROM pg_type t
JOIN pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_class c ON c.oid = t.typrelid
WHERE n.nspname = 'public' AND (t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c')
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e')"
);

const FUNCTIONS: &str = query!(
    "SELECT r.name, concat_ws(' ',
    CASE p.prokind WHEN 'p' THEN 'PROCEDURE' WHEN 'a' THEN 'AGGREGATE' WHEN 'w' THEN 'WINDOW' END,
    'RETURNS ' || pg_get_function_result(p.oid), 'FROM (' || pg_get_function_arguments(p.oid) || ')',
    'LANGUAGE ' || l.lanname,
    CASE p.provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE' ELSE 'VOLATILE' END,
    CASE WHEN p.proisstrict THEN 'STRICT' END,
    CASE WHEN p.prosecdef THEN 'SECURITY DEFINER' END,
    CASE WHEN p.proleakproof THEN 'LEAKPROOF' END,
    CASE p.proparallel WHEN 's' THEN 'PARALLEL SAFE' WHEN 'r' THEN 'PARALLEL RESTRICTED' END,
    'SET ' || array_to_string(p.proconfig, ', '),
    'BODY SHA-256 ' || encode(sha256(convert_to(replace(p.prosrc, chr(13), ''), 'UTF8')), 'hex'))
FROM routine r
JOIN pg_proc p USING (oid)
JOIN pg_language l ON l.oid = p.prolang
WHERE NOT r.is_foreign"
);

const COLUMNS: &str = query!(
    "SELECT r.name || '.' || a.attname, concat_ws(' ',
    format_type(a.atttypid, a.atttypmod),
    CASE WHEN a.attcollation <> t.typcollation THEN 'COLLATE ' || quote_ident(c.collname) END,
    CASE WHEN a.attnotnull THEN 'NOT NULL' END,
    CASE a.attidentity WHEN 'a' THEN 'GENERATED ALWAYS AS IDENTITY' WHEN 'd' THEN 'GENERATED BY DEFAULT AS IDENTITY' END,
    CASE a.attgenerated WHEN 's' THEN 'STORED' WHEN 'v' THEN 'VIRTUAL' END,
    CASE WHEN d.oid IS NOT NULL THEN 'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid) END)
FROM relation r
JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_collation c ON c.oid = a.attcollation
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE r.relkind <> 'S' AND NOT r.relispartition"
);

// NOT NULL is an attribute of the column; PostgreSQL 18 lists it among the constraints as well. What
// enforces a foreign key are triggers that a superuser can disable. Constraints and indexes of
// partitions go by the name of the parent's, since they may have any of their own.
const CONSTRAINTS: &str = query!(
    "SELECT r.name || '.' || coalesce(parent.conname, c.conname), concat_ws(' ',
    pg_get_constraintdef(c.oid),
    CASE WHEN NOT c.convalidated AND c.contype = 'c' THEN 'NOT VALIDATED' END,
    CASE WHEN EXISTS (SELECT FROM pg_trigger t WHERE t.tgconstraint = c.oid AND t.tgisinternal AND t.tgenabled = 'D')
        THEN 'DISABLED' END)
FROM relation r
JOIN pg_constraint c ON c.conrelid = r.oid
LEFT JOIN pg_constraint parent ON parent.oid = c.conparentid
WHERE c.contype IN ('c', 'f', 'p', 'u', 'x')"
);

const INDEXES: &str = query!(
    "SELECT r.name || '.' || coalesce(parent.relname, c.relname), concat_ws(' ',
    CASE WHEN x.indisunique THEN 'UNIQUE' END,
    substring(pg_get_indexdef(x.indexrelid) FROM ' USING (.*)$'),
    CASE WHEN NOT (x.indisvalid AND x.indisready AND x.indislive) THEN 'INVALID' END)
FROM relation r
JOIN pg_index x ON x.indrelid = r.oid
JOIN pg_class c ON c.oid = x.indexrelid
LEFT JOIN pg_inherits i ON i.inhrelid = x.indexrelid
LEFT JOIN pg_class parent ON parent.oid = i.inhparent"
);

const TRIGGERS: &str = query!(
    "SELECT r.name || '.' || t.tgname, concat_ws(' ',
    regexp_replace(pg_get_triggerdef(t.oid), '^CREATE (CONSTRAINT )?TRIGGER ', '\\1'),
    CASE t.tgenabled WHEN 'D' THEN 'DISABLED' WHEN 'A' THEN 'ENABLED ALWAYS' WHEN 'R' THEN 'ENABLED ON REPLICA' END)
FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal"
);

const RULES: &str = query!(
    "SELECT r.name || '.' || w.rulename, pg_get_ruledef(w.oid)
FROM relation r JOIN pg_rewrite w ON w.ev_class = r.oid WHERE w.rulename <> '_RETURN'"
);

const POLICIES: &str = query!(
    "SELECT r.name || '.' || p.polname, concat_ws(' ',
    CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
    'FOR ' || CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
    'TO ' || (SELECT string_agg(coalesce(g.rolname, 'PUBLIC'), ', ' ORDER BY g.rolname)
              FROM unnest(p.polroles) AS granted (id) LEFT JOIN pg_roles g ON g.oid = granted.id),
    'USING (' || pg_get_expr(p.polqual, p.polrelid) || ')',
    'WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
FROM relation r JOIN pg_policy p ON p.polrelid = r.oid"
);

// An owner can lose privileges too, and foreign-key checks and SECURITY DEFINER functions with them.
const OWNERSHIPS: &str = query!(
    "SELECT o.name, concat_ws(' ', g.rolname, 'without ' || (
    SELECT string_agg(d.privilege_type, ', ' ORDER BY d.privilege_type)
    FROM aclexplode(acldefault(o.acl_type, o.owner)) d
    WHERE o.acl IS NOT NULL AND d.grantee = o.owner AND d.privilege_type <> 'MAINTAIN'
      AND NOT EXISTS (SELECT FROM aclexplode(o.acl) a
                      WHERE a.grantee = o.owner AND a.privilege_type = d.privilege_type)))
FROM (
    SELECT r.name, r.relowner, CASE r.relkind WHEN 'S' THEN 's'::\"char\" ELSE 'r'::\"char\" END, r.relacl
    FROM relation r
    UNION ALL
    SELECT f.name, f.proowner, 'f'::\"char\", f.proacl FROM routine f WHERE NOT f.is_foreign
) AS o (name, owner, acl_type, acl)
JOIN pg_roles g ON g.oid = o.owner
UNION ALL
SELECT 'database', g.rolname::text FROM pg_database d JOIN ours g ON g.oid = d.datdba WHERE d.datname = current_database()
UNION ALL
SELECT 'schema public', g.rolname::text FROM pg_namespace n JOIN ours g ON g.oid = n.nspowner WHERE n.nspname = 'public'"
);

// Every privilege of anybody but the owner. Of an extension's functions only what our roles may: the
// rest is between the extension and the administrator.
const GRANTS: &str = query!(
    "SELECT g.name || ': ' || g.privilege || ' to ' || g.grantee, max(g.option)
FROM (
    SELECT o.name, a.privilege_type, coalesce(r.rolname, 'PUBLIC'), CASE WHEN a.is_grantable THEN 'WITH GRANT OPTION' ELSE '' END
    FROM (
        SELECT r.name, r.relowner, r.relacl FROM relation r
        UNION ALL
        SELECT r.name || '.' || c.attname, r.relowner, c.attacl
        FROM relation r JOIN pg_attribute c ON c.attrelid = r.oid AND c.attnum > 0 AND NOT c.attisdropped
        UNION ALL
        SELECT f.name, f.proowner, coalesce(f.proacl, acldefault('f', f.proowner)) FROM routine f
        UNION ALL
        SELECT 'schema public', n.nspowner, coalesce(n.nspacl, acldefault('n', n.nspowner))
        FROM pg_namespace n WHERE n.nspname = 'public'
        UNION ALL
        SELECT 'database', d.datdba, coalesce(d.datacl, acldefault('d', d.datdba))
        FROM pg_database d WHERE d.datname = current_database()
    ) AS o (name, owner, acl)
    CROSS JOIN LATERAL aclexplode(o.acl) AS a
    LEFT JOIN pg_roles r ON r.oid = a.grantee
    WHERE a.grantee <> o.owner
      AND (a.grantee IN (SELECT oid FROM ours) OR o.name NOT IN (SELECT f.name FROM routine f WHERE f.is_foreign))
    UNION ALL
    SELECT 'default privileges of ' || r.rolname || CASE WHEN d.defaclnamespace <> 0 THEN ' in schema public' ELSE '' END || ' on '
               || CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions'
                      WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' ELSE d.defaclobjtype::text END,
           coalesce(string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type), 'nothing'),
           coalesce(grantee.rolname, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE 'anybody else' END), ''
    FROM pg_default_acl d
    JOIN pg_roles r ON r.oid = d.defaclrole
    LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
    LEFT JOIN LATERAL aclexplode(d.defaclacl) AS a ON a.grantee <> d.defaclrole
    LEFT JOIN pg_roles grantee ON grantee.oid = a.grantee
    WHERE (d.defaclnamespace = 0 OR n.nspname = 'public')
      AND (r.oid IN (SELECT oid FROM ours) OR a.grantee = 0 OR a.grantee IN (SELECT oid FROM ours))
    GROUP BY 1, a.grantee, grantee.rolname
) AS g (name, privilege, grantee, option)
GROUP BY 1"
);

const COMMENTS: &str = query!(
    "SELECT r.name, obj_description(r.oid, 'pg_class') FROM relation r
WHERE NOT r.relispartition AND obj_description(r.oid, 'pg_class') IS NOT NULL
UNION ALL
SELECT r.name || '.' || a.attname, col_description(r.oid, a.attnum)
FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE NOT r.relispartition AND r.relkind <> 'S' AND col_description(r.oid, a.attnum) IS NOT NULL
UNION ALL
SELECT f.name, obj_description(f.oid, 'pg_proc') FROM routine f
WHERE NOT f.is_foreign AND obj_description(f.oid, 'pg_proc') IS NOT NULL"
);

/// The version of the server, and the months that must have partitions: this one and the two to come.
pub(super) const VERSION_AND_MONTHS: &str = "-- catalogue::version_and_months
SELECT current_setting('server_version_num')::integer,
       array(SELECT to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => n), '\"y\"YYYY\"m\"MM')
             FROM generate_series(0, 2) AS n)";
