-- Roles, ownership, grants and role-bound policies of clm_core_db.
--
-- Run by an administrator in clm_core_db after every migration; idempotent. It first takes away
-- everything and then gives what is listed, so that this file alone says who may do what. Roles are
-- cluster-wide: the other database may be on the same server or not. No passwords here: the program
-- sets them with ALTER ROLE; a role without one cannot sign in under scram.

BEGIN;

SET LOCAL client_min_messages = warning;
-- Running it again beside a busy program changes little and must not stop it: whoever waits for a table longer than
-- this gives up, and so does not let others queue behind it.
SET LOCAL lock_timeout = '5s';
SET LOCAL search_path = public, pg_temp;


-- ---------------------------------------------------------------------------------------------
-- 1. Roles
-- ---------------------------------------------------------------------------------------------
--   clm_core_owner     owns tables and functions; nobody signs in as it
--   clm_core_views     owns the views, bound by the tenant policies
--   clm_core_system    the System scope: all organizations, entered with SET LOCAL ROLE
--   clm_core_user      the program
--   clm_core_migrator  applies migrations
--   clm_core_backup    pg_dump
--   clm_core_archive   reads the audit log to export it; detaching partitions comes with that feature
--   clm_auditor        reads the audit logs of both databases

DO $$
DECLARE
    wanted record;
    existing record;
BEGIN
    -- Roles files of several databases may run at once on one server, and catalog rows that two
    -- transactions change make one of them fail. Advisory locks do not reach across databases.
    -- Nobody but other files like this one waits here, so it may take longer.
    PERFORM set_config('lock_timeout', '60s', true);
    BEGIN
        LOCK TABLE pg_catalog.pg_authid IN SHARE ROW EXCLUSIVE MODE;
    EXCEPTION WHEN insufficient_privilege THEN
        NULL; -- Managed servers allow no lock on catalogs; nor do they run two of these at once.
    END;
    PERFORM set_config('lock_timeout', '5s', true);
    FOR wanted IN
        SELECT * FROM (VALUES
            ('clm_core_owner',    false, true,  false),
            ('clm_core_views',    false, true,  false),
            ('clm_core_system',   false, true,  false),
            ('clm_core_user',     true,  false, false),
            ('clm_core_migrator', true,  true,  true),
            ('clm_core_backup',   true,  true,  true),
            ('clm_core_archive',  false, true,  false),
            ('clm_auditor',       true,  true,  false)
        ) AS w (role_name, can_login, inherits, bypasses_rls)
    LOOP
        SELECT * INTO existing FROM pg_catalog.pg_roles WHERE rolname = wanted.role_name;
        IF NOT FOUND THEN
            EXECUTE format('CREATE ROLE %I', wanted.role_name);
            SELECT * INTO existing FROM pg_catalog.pg_roles WHERE rolname = wanted.role_name;
        END IF;
        -- Only what differs: an administrator who is no superuser may not even repeat some attributes.
        IF existing.rolsuper THEN
            EXECUTE format('ALTER ROLE %I NOSUPERUSER', wanted.role_name);
        END IF;
        IF existing.rolcreaterole THEN
            EXECUTE format('ALTER ROLE %I NOCREATEROLE', wanted.role_name);
        END IF;
        IF existing.rolcreatedb THEN
            EXECUTE format('ALTER ROLE %I NOCREATEDB', wanted.role_name);
        END IF;
        IF existing.rolreplication THEN
            EXECUTE format('ALTER ROLE %I NOREPLICATION', wanted.role_name);
        END IF;
        IF existing.rolcanlogin <> wanted.can_login THEN
            EXECUTE format('ALTER ROLE %I %s', wanted.role_name,
                CASE WHEN wanted.can_login THEN 'LOGIN' ELSE 'NOLOGIN' END);
        END IF;
        IF existing.rolinherit <> wanted.inherits THEN
            EXECUTE format('ALTER ROLE %I %s', wanted.role_name,
                CASE WHEN wanted.inherits THEN 'INHERIT' ELSE 'NOINHERIT' END);
        END IF;
        IF existing.rolbypassrls <> wanted.bypasses_rls THEN
            EXECUTE format('ALTER ROLE %I %s', wanted.role_name,
                CASE WHEN wanted.bypasses_rls THEN 'BYPASSRLS' ELSE 'NOBYPASSRLS' END);
        END IF;
    END LOOP;
END
$$;

-- Any other membership of our roles, or in them, is an excess, and so is the right to pass a wanted one on. Superusers
-- need no membership. Whoever runs this file, or may grant the role anyway, is an administrator: since PostgreSQL 16
-- making a role brings such a membership, which its maker cannot give back.
DO $$
DECLARE
    ours constant name[] := ARRAY[
        'clm_core_owner', 'clm_core_views', 'clm_core_system', 'clm_core_archive', 'clm_core_user',
        'clm_core_migrator', 'clm_core_backup', 'clm_auditor'];
    has_grantors boolean := current_setting('server_version_num')::integer >= 160000;
    excess record;
BEGIN
    FOR excess IN
        SELECT member.rolname AS member_name, granted.rolname AS granted_name, pg_get_userbyid(m.grantor) AS grantor_name
        FROM pg_catalog.pg_auth_members m
        JOIN pg_catalog.pg_roles member ON member.oid = m.member
        JOIN pg_catalog.pg_roles granted ON granted.oid = m.roleid
        WHERE (member.rolname = ANY (ours)
               OR (granted.rolname = ANY (ours)
                   AND NOT member.rolsuper
                   AND member.rolname NOT IN (current_user, session_user)
                   AND NOT (member.rolcreaterole AND (m.admin_option OR NOT has_grantors))))
          AND (m.admin_option OR (member.rolname, granted.rolname) NOT IN (
                ('clm_core_user', 'clm_core_system'),
                ('clm_core_migrator', 'clm_core_owner'),
                ('clm_core_migrator', 'clm_core_views')))
    LOOP
        IF has_grantors THEN
            -- Each grantor's by itself; what was passed on by virtue of it goes with it.
            EXECUTE format('REVOKE %I FROM %I GRANTED BY %I CASCADE',
                excess.granted_name, excess.member_name, excess.grantor_name);
        ELSE
            EXECUTE format('REVOKE %I FROM %I', excess.granted_name, excess.member_name);
        END IF;
    END LOOP;
END
$$;

-- The program may become the System scope, but has nothing of it until it says so: by NOINHERIT of
-- the role before PostgreSQL 16, by the options of the membership since then. The migrator has what
-- the owners have.
DO $$
DECLARE
    membership record;
    has_options boolean := current_setting('server_version_num')::integer >= 160000;
    is_wanted boolean;
BEGIN
    FOR membership IN
        SELECT * FROM (VALUES
            ('clm_core_system', 'clm_core_user',     false),
            ('clm_core_owner',  'clm_core_migrator', true),
            ('clm_core_views',  'clm_core_migrator', true)
        ) AS w (granted, member, inherits)
    LOOP
        IF has_options THEN
            EXECUTE $q$
                SELECT coalesce(bool_or(m.inherit_option = $3 AND m.set_option AND NOT m.admin_option), false)
                       AND count(*) = 1
                FROM pg_catalog.pg_auth_members m
                WHERE m.roleid = $1::regrole AND m.member = $2::regrole
            $q$ INTO is_wanted USING membership.granted, membership.member, membership.inherits;
            IF NOT is_wanted THEN
                EXECUTE format('GRANT %I TO %I WITH INHERIT %s, SET TRUE', membership.granted, membership.member,
                    CASE WHEN membership.inherits THEN 'TRUE' ELSE 'FALSE' END);
            END IF;
        ELSIF NOT EXISTS (
            SELECT 1 FROM pg_catalog.pg_auth_members m
            WHERE m.roleid = membership.granted::regrole AND m.member = membership.member::regrole
        ) THEN
            EXECUTE format('GRANT %I TO %I', membership.granted, membership.member);
        END IF;
    END LOOP;
END
$$;


-- ---------------------------------------------------------------------------------------------
-- 2. Ownership
-- ---------------------------------------------------------------------------------------------
-- All that is in the schema and belongs to no extension. A migrator's new tables change hands here.
-- Comes before any REVOKE, which would take an owner's own privileges, and hand over what is left.

DO $$
DECLARE
    object record;
    wanted_owner text;
BEGIN
    FOR object IN
        SELECT c.oid, c.relname, c.relkind, pg_get_userbyid(c.relowner) AS owner
        FROM pg_catalog.pg_class c
        WHERE c.relnamespace = 'public'::regnamespace
          AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
          AND NOT EXISTS (
              SELECT 1 FROM pg_catalog.pg_depend d
              WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('e', 'a', 'i')
                AND (d.deptype = 'e' OR c.relkind = 'S'))
        ORDER BY c.relkind = 'v', c.oid
    LOOP
        wanted_owner := CASE WHEN object.relkind IN ('v', 'm') THEN 'clm_core_views' ELSE 'clm_core_owner' END;
        IF object.owner <> wanted_owner THEN
            EXECUTE format('ALTER %s public.%I OWNER TO %I',
                CASE object.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
                    WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                object.relname, wanted_owner);
        END IF;
    END LOOP;
    FOR object IN
        SELECT p.oid::regprocedure AS signature
        FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace
          AND pg_get_userbyid(p.proowner) <> 'clm_core_owner'
          AND NOT EXISTS (
              SELECT 1 FROM pg_catalog.pg_depend d
              WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO clm_core_owner', object.signature);
    END LOOP;
END
$$;


-- ---------------------------------------------------------------------------------------------
-- 3. Nothing for PUBLIC, and a clean slate for our roles
-- ---------------------------------------------------------------------------------------------

DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC, clm_core_owner, clm_core_views, clm_core_system, '
        'clm_core_user, clm_core_migrator, clm_core_backup, clm_core_archive, clm_auditor', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO clm_core_user, clm_core_migrator, clm_core_backup, clm_auditor',
        current_database());
END
$$;

REVOKE ALL ON SCHEMA public FROM PUBLIC, clm_core_owner, clm_core_views, clm_core_system, clm_core_user,
    clm_core_migrator, clm_core_backup, clm_core_archive, clm_auditor;
-- The owner needs the schema for foreign-key checks, which run as the owner of the table, and for
-- making audit partitions. The migrator inherits all that the owner has.
GRANT USAGE, CREATE ON SCHEMA public TO clm_core_owner;
GRANT USAGE ON SCHEMA public TO clm_core_views, clm_core_system, clm_core_user, clm_core_backup,
    clm_core_archive, clm_auditor;

-- Of owner and views only what they do not own themselves, or they would lose their own privileges.
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, clm_core_system, clm_core_user, clm_core_migrator,
    clm_core_backup, clm_core_archive, clm_auditor;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, clm_core_system, clm_core_user, clm_core_migrator,
    clm_core_backup, clm_core_archive, clm_auditor;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC, clm_core_system, clm_core_user, clm_core_migrator,
    clm_core_backup, clm_core_archive, clm_auditor, clm_core_views;
DO $$
DECLARE
    table_name text;
BEGIN
    FOR table_name IN
        SELECT c.relname FROM pg_catalog.pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    LOOP
        EXECUTE format('REVOKE ALL ON TABLE public.%I FROM clm_core_views', table_name);
    END LOOP;
END
$$;

-- What owner and migrator make later gives PUBLIC nothing either. Partitions that
-- ensure_audit_partitions makes between two runs of this file must still be in the next backup.
ALTER DEFAULT PRIVILEGES FOR ROLE clm_core_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE clm_core_migrator REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE clm_core_owner IN SCHEMA public GRANT SELECT ON TABLES TO clm_core_backup;
ALTER DEFAULT PRIVILEGES FOR ROLE clm_core_owner IN SCHEMA public GRANT SELECT ON SEQUENCES TO clm_core_backup;


-- ---------------------------------------------------------------------------------------------
-- 4. Grants
-- ---------------------------------------------------------------------------------------------

-- The program within one organization. No DELETE anywhere: business rows are marked as deleted.
GRANT SELECT, INSERT, UPDATE ON
    users, roles, user_roles, api_keys, sessions, policies, workflows,
    workflow_instances, workflow_steps, notifications, certificate_metadata, certificate_quotas,
    certificate_quota_leases, idempotency_keys
    TO clm_core_user;
-- Whom an organization takes in is for the System scope to say: a membership shows the guest's name and
-- address (active_users_with_roles), so that a row for a stranger would be a way to read them.
GRANT SELECT, UPDATE (is_primary, status, joined_at, updated_at, deleted_at) ON user_organizations TO clm_core_user;
-- An organization does not make organizations, nor lift its own quotas or status.
GRANT SELECT, UPDATE (name, settings, revision, updated_at) ON organizations TO clm_core_user;
GRANT SELECT, INSERT ON audit_log TO clm_core_user;
-- Whoever accepts an invitation is of another organization, so that this is for the System scope.
GRANT SELECT, INSERT, UPDATE (revoked_at, updated_at) ON invitations TO clm_core_user;
GRANT INSERT ON outbox TO clm_core_user;
-- A proof is given out where the person's home is looked at too; an organization uses it up.
GRANT SELECT, UPDATE (used_at) ON step_up_proofs TO clm_core_user;
GRANT SELECT ON schema_migrations TO clm_core_user;
GRANT SELECT ON active_users_with_roles, role_assignments, organization_members, pending_approvals, certificate_summary TO clm_core_user;

-- The System scope: the same over all organizations, and DELETE on what is transient by nature.
GRANT SELECT, INSERT, UPDATE ON
    organizations, users, roles, user_roles, user_organizations, invitations, api_keys, policies, workflows,
    workflow_instances, workflow_steps, notifications, certificate_metadata
    TO clm_core_system;
GRANT SELECT, INSERT, UPDATE, DELETE ON sessions, outbox, inbox, idempotency_keys, certificate_quota_leases,
    known_sign_in_addresses, one_time_links
    TO clm_core_system;
GRANT SELECT, INSERT, DELETE ON password_history TO clm_core_system;
GRANT SELECT, INSERT, UPDATE (used_at), DELETE ON step_up_proofs TO clm_core_system;
GRANT SELECT, INSERT ON audit_log TO clm_core_system;
-- Written by a trigger that runs as the owner, read through find_rights_changes.
GRANT SELECT, DELETE ON rights_changes TO clm_core_system;
GRANT SELECT ON schema_migrations TO clm_core_system;
GRANT SELECT ON active_users_with_roles, role_assignments, organization_members, pending_approvals, certificate_summary TO clm_core_system;

-- What the views read, no more: of users not a word about credentials.
GRANT SELECT ON user_organizations, user_roles, roles, workflows, workflow_instances, workflow_steps,
    certificate_metadata TO clm_core_views;
GRANT SELECT (id, home_organization_id, username, email, display_name, user_type, status, last_sign_in_at, deleted_at)
    ON users TO clm_core_views;

GRANT SELECT ON audit_log TO clm_auditor, clm_core_archive;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO clm_core_backup;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO clm_core_backup;

-- Defaults and CHECKs run as the one who inserts; trigger functions need no grant.
GRANT EXECUTE ON FUNCTION uuid_generate_v4(), uuid_generate_v7(), gen_random_bytes(integer), uuid_v7_timestamp(uuid)
    TO clm_core_owner, clm_core_system, clm_core_user;
GRANT EXECUTE ON FUNCTION
    find_session_by_token(bytea, timestamptz),
    find_api_key_by_hash(bytea, timestamptz),
    find_invitation_by_token(bytea, timestamptz),
    find_user_for_sign_in(text, text),
    find_rights_changes(bigint),
    ensure_audit_partitions(integer),
    audit_partitions_ahead()
    TO clm_core_user, clm_core_system;


-- ---------------------------------------------------------------------------------------------
-- 5. Policies that belong to a role
-- ---------------------------------------------------------------------------------------------

-- The System scope, on every table with row security; partitions have none on purpose. FORCE binds
-- the owner too, and so the SECURITY DEFINER look-ups and triggers that run as it. The owner of the
-- views reads the names of guests of other homes: active_users_with_roles starts from the membership.
-- Only what is missing or differs is made: making a policy locks its table against everybody.
DO $$
DECLARE
    wanted record;
    existing record;
BEGIN
    FOR wanted IN
        SELECT c.relname::text AS table_name, 'system_scope' AS policy_name, '*' AS command,
               'clm_core_system' AS role_name
        FROM pg_catalog.pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
          AND c.relrowsecurity AND NOT c.relispartition
        UNION ALL
        SELECT looked_up, 'owner_lookup', 'r', 'clm_core_owner'
        FROM unnest(ARRAY['organizations', 'users', 'roles', 'user_roles', 'user_organizations', 'invitations', 'api_keys', 'sessions'])
            AS looked_up
        UNION ALL
        VALUES ('users', 'member_names', 'r', 'clm_core_views'),
               ('audit_log', 'auditor_read', 'r', 'clm_auditor'),
               ('audit_log', 'archive_read', 'r', 'clm_core_archive')
        ORDER BY 1, 2
    LOOP
        SELECT p.polpermissive AND p.polcmd::text = wanted.command
               AND p.polroles = ARRAY[wanted.role_name::regrole::oid]
               AND pg_get_expr(p.polqual, p.polrelid) = 'true'
               AND coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '')
                   = CASE wanted.command WHEN '*' THEN 'true' ELSE '' END AS is_right
            INTO existing
            FROM pg_catalog.pg_policy p
            WHERE p.polrelid = format('public.%I', wanted.table_name)::regclass AND p.polname = wanted.policy_name;
        CONTINUE WHEN existing.is_right;
        EXECUTE format('DROP POLICY IF EXISTS %I ON public.%I', wanted.policy_name, wanted.table_name);
        EXECUTE format('CREATE POLICY %I ON public.%I FOR %s TO %I USING (true)%s',
            wanted.policy_name, wanted.table_name,
            CASE wanted.command WHEN '*' THEN 'ALL' ELSE 'SELECT' END,
            wanted.role_name,
            CASE wanted.command WHEN '*' THEN ' WITH CHECK (true)' ELSE '' END);
    END LOOP;
END
$$;

COMMIT;
