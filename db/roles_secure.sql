-- Roles, ownership, grants and role-bound policies of clm_secure_db.
--
-- Run in clm_secure_db by a superuser (or an administrator who may create roles with BYPASSRLS), after every migration.
-- It says what is allowed and takes everything else away, so that running it again heals a database somebody has
-- been generous with. Roles are made without passwords: under scram nobody can sign in until the program has set one.
--
--   clm_secure_owner     owns tables and functions; nobody signs in as it
--   clm_secure_views     owns the views; bound by the tenant policies like everybody else
--   clm_secure_user      the Secure Service
--   clm_secure_system    its System scope, entered by SET LOCAL ROLE; sees every organization
--   clm_secure_migrator  runs migrations; BYPASSRLS, because under FORCE a backfill would silently change nothing
--   clm_secure_backup    pg_dump; BYPASSRLS, because under FORCE pg_dump refuses
--   clm_secure_archive   reads the audit log in order to archive it
--   clm_auditor          reads the audit logs of both databases, and nothing else

BEGIN;

SET LOCAL client_min_messages = warning;
-- Running it again beside a busy program changes little and must not stop it: whoever waits for a table longer than
-- this gives up, and so does not let others queue behind it.
SET LOCAL lock_timeout = '5s';
SET LOCAL search_path = public, pg_catalog;

-- ---------------------------------------------------------------------------------------------------------
-- Roles
-- ---------------------------------------------------------------------------------------------------------

DO $$
DECLARE
    wanted record;
    existing record;
BEGIN
    -- Roles belong to the whole server: the files of several databases may run at once, and of two transactions that
    -- change the same catalog row one fails. Advisory locks do not reach across databases, this one does.
    -- Nobody but other files like this one waits here, so it may take longer.
    PERFORM set_config('lock_timeout', '60s', true);
    BEGIN
        LOCK TABLE pg_catalog.pg_authid IN SHARE ROW EXCLUSIVE MODE;
    EXCEPTION WHEN insufficient_privilege THEN
        NULL;  -- a managed server allows no lock on catalogs; the runner tries again there
    END;
    PERFORM set_config('lock_timeout', '5s', true);
    FOR wanted IN
        SELECT * FROM (VALUES
            ('clm_secure_owner',    false, true,  false),
            ('clm_secure_views',    false, true,  false),
            ('clm_secure_system',   false, true,  false),
            ('clm_secure_archive',  false, true,  false),
            ('clm_secure_user',     true,  false, false),
            ('clm_secure_migrator', true,  true,  true),
            ('clm_secure_backup',   true,  true,  true),
            ('clm_auditor',         true,  true,  false)
        ) AS role (name, may_log_in, inherits, bypasses_rls)
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = wanted.name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I', wanted.name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- roles_core.sql, running beside this file, was faster
            END;
        END IF;
        SELECT r.rolsuper, r.rolcanlogin, r.rolinherit, r.rolbypassrls, r.rolcreaterole, r.rolcreatedb, r.rolreplication
            INTO existing FROM pg_roles r WHERE r.rolname = wanted.name;
        IF existing.rolsuper THEN
            RAISE EXCEPTION 'role % is a superuser; no role of this database may be', wanted.name;
        END IF;
        -- Only what differs is altered: changing BYPASSRLS takes more rights than an administrator may have.
        IF existing.rolcanlogin <> wanted.may_log_in THEN
            EXECUTE format('ALTER ROLE %I %s', wanted.name, CASE WHEN wanted.may_log_in THEN 'LOGIN' ELSE 'NOLOGIN' END);
        END IF;
        IF existing.rolinherit <> wanted.inherits THEN
            EXECUTE format('ALTER ROLE %I %s', wanted.name, CASE WHEN wanted.inherits THEN 'INHERIT' ELSE 'NOINHERIT' END);
        END IF;
        IF existing.rolbypassrls <> wanted.bypasses_rls THEN
            EXECUTE format('ALTER ROLE %I %s', wanted.name, CASE WHEN wanted.bypasses_rls THEN 'BYPASSRLS' ELSE 'NOBYPASSRLS' END);
        END IF;
        IF existing.rolcreaterole OR existing.rolcreatedb THEN
            EXECUTE format('ALTER ROLE %I NOCREATEROLE NOCREATEDB', wanted.name);
        END IF;
        IF existing.rolreplication THEN
            EXECUTE format('ALTER ROLE %I NOREPLICATION', wanted.name);
        END IF;
    END LOOP;
END
$$;

-- ---------------------------------------------------------------------------------------------------------
-- Memberships
-- ---------------------------------------------------------------------------------------------------------

-- Any other membership of our roles, or in them, is an excess, and so is the right to pass a wanted one on. Superusers
-- need no membership. Whoever runs this file, or may grant the role anyway, is an administrator: since PostgreSQL 16
-- making a role brings such a membership, which its maker cannot give back.
DO $$
DECLARE
    ours constant name[] := ARRAY[
        'clm_secure_owner', 'clm_secure_views', 'clm_secure_system', 'clm_secure_archive', 'clm_secure_user',
        'clm_secure_migrator', 'clm_secure_backup', 'clm_auditor'];
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
                ('clm_secure_user', 'clm_secure_system'),
                ('clm_secure_migrator', 'clm_secure_owner'),
                ('clm_secure_migrator', 'clm_secure_views')))
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

-- The application may become the System role, but inherits nothing from it: what it does across organizations is
-- always said. Since PostgreSQL 16 that is a property of the membership, before it is one of the member (NOINHERIT).
DO $$
BEGIN
    IF current_setting('server_version_num')::integer >= 160000 THEN
        EXECUTE 'GRANT clm_secure_system TO clm_secure_user WITH INHERIT FALSE, SET TRUE';
        EXECUTE 'GRANT clm_secure_owner, clm_secure_views TO clm_secure_migrator WITH INHERIT TRUE, SET TRUE';
    ELSE
        GRANT clm_secure_system TO clm_secure_user;
        GRANT clm_secure_owner, clm_secure_views TO clm_secure_migrator;
    END IF;
END
$$;

-- ---------------------------------------------------------------------------------------------------------
-- Database and schema
-- ---------------------------------------------------------------------------------------------------------

DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC, clm_secure_owner, clm_secure_views, clm_secure_system, '
        'clm_secure_user, clm_secure_migrator, clm_secure_backup, clm_secure_archive, clm_auditor', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO clm_secure_user, clm_secure_migrator, clm_secure_backup, clm_auditor',
        current_database());
END
$$;

REVOKE ALL ON SCHEMA public FROM PUBLIC, clm_secure_owner, clm_secure_views, clm_secure_system, clm_secure_user,
    clm_secure_migrator, clm_secure_backup, clm_secure_archive, clm_auditor;
-- The owner: foreign-key checks run as the owner of the table, and ensure_audit_partitions makes tables as it.
-- The migrator has what the owner has.
GRANT USAGE, CREATE ON SCHEMA public TO clm_secure_owner;
GRANT USAGE ON SCHEMA public TO clm_secure_views, clm_secure_system, clm_secure_user, clm_secure_backup,
    clm_secure_archive, clm_auditor;
-- Only so that views can be handed over to it below.
GRANT CREATE ON SCHEMA public TO clm_secure_views;

-- ---------------------------------------------------------------------------------------------------------
-- Ownership
-- ---------------------------------------------------------------------------------------------------------

-- Everything in schema public that no extension brought. The same loop takes every grant away; the next sections
-- give back what is meant. All of it is one transaction: nobody sees the time between.
DO $$
DECLARE
    item record;
    role_name text;
BEGIN
    FOR item IN
        SELECT c.oid::regclass AS relation, c.relkind,
               pg_get_userbyid(c.relowner) AS owner_name,
               CASE WHEN c.relkind IN ('v', 'm') THEN 'clm_secure_views' ELSE 'clm_secure_owner' END AS wanted_owner
        FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace
          AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
          AND NOT EXISTS (SELECT FROM pg_depend d
                          WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
          -- A sequence that belongs to a column follows its table.
          AND NOT (c.relkind = 'S' AND EXISTS (SELECT FROM pg_depend d
                          WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')))
    LOOP
        IF item.owner_name <> item.wanted_owner THEN
            EXECUTE format('ALTER %s %s OWNER TO %I',
                CASE item.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                item.relation, item.wanted_owner);
        END IF;
        EXECUTE format('REVOKE ALL ON %s FROM PUBLIC', item.relation);
        FOREACH role_name IN ARRAY ARRAY['clm_secure_user', 'clm_secure_system', 'clm_secure_migrator', 'clm_secure_archive',
                                         'clm_secure_backup', 'clm_auditor'] LOOP
            EXECUTE format('REVOKE ALL ON %s FROM %I', item.relation, role_name);
        END LOOP;
        IF item.wanted_owner <> 'clm_secure_views' THEN
            EXECUTE format('REVOKE ALL ON %s FROM clm_secure_views', item.relation);
        END IF;
    END LOOP;

    FOR item IN
        SELECT p.oid::regprocedure AS signature, pg_get_userbyid(p.proowner) AS owner_name
        FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace
          AND NOT EXISTS (SELECT FROM pg_depend d
                          WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    LOOP
        IF item.owner_name <> 'clm_secure_owner' THEN
            EXECUTE format('ALTER ROUTINE %s OWNER TO clm_secure_owner', item.signature);
        END IF;
    END LOOP;
END
$$;

REVOKE CREATE ON SCHEMA public FROM clm_secure_views;

-- ---------------------------------------------------------------------------------------------------------
-- Functions
-- ---------------------------------------------------------------------------------------------------------

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public
    FROM PUBLIC, clm_secure_user, clm_secure_system, clm_secure_migrator, clm_secure_views, clm_secure_archive,
         clm_secure_backup, clm_auditor;

-- Column defaults and CHECKs run with the rights of who inserts; functions in SECURITY DEFINER bodies with the owner's.
GRANT EXECUTE ON FUNCTION uuid_generate_v4(), uuid_generate_v7(), uuid_v7_timestamp(uuid), gen_random_bytes(integer)
    TO clm_secure_owner, clm_secure_user, clm_secure_system;
GRANT EXECUTE ON FUNCTION audit_partitions_ahead() TO clm_secure_user, clm_secure_system;
GRANT EXECUTE ON FUNCTION ensure_audit_partitions(integer) TO clm_secure_system;

-- What is made later starts without rights as well. (The backup reads every table, partitions of next year included.)
ALTER DEFAULT PRIVILEGES FOR ROLE clm_secure_owner REVOKE ALL ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE clm_secure_migrator REVOKE ALL ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE clm_secure_owner IN SCHEMA public GRANT SELECT ON TABLES TO clm_secure_backup;

-- ---------------------------------------------------------------------------------------------------------
-- Tables: the application
-- ---------------------------------------------------------------------------------------------------------
-- UPDATE is granted by column. What a certificate, request or key *is* cannot be changed by anybody who signs in;
-- how it fares can. There is no DELETE on business tables: rows leave by deleted_at.

GRANT SELECT ON schema_migrations TO clm_secure_user, clm_secure_system;

GRANT SELECT, INSERT ON encryption_keys TO clm_secure_user, clm_secure_system;
GRANT UPDATE (status, wrapping_key_id, provider, encrypted_key_material, encryption_iv, encryption_auth_tag, encryption_algorithm,
              seal_count, seal_count_max, rotation_schedule_days, activated_at, rotated_at, retired_at, revoked_at, destroyed_at,
              expires_at, backup_confirmed_at, updated_at, deleted_at)
    ON encryption_keys TO clm_secure_user, clm_secure_system;

-- A set of shares comes into force with its key and never changes.
GRANT SELECT ON master_key_shares TO clm_secure_user;
GRANT SELECT, INSERT ON master_key_shares TO clm_secure_system;

GRANT SELECT, INSERT ON private_keys TO clm_secure_user, clm_secure_system;
GRANT UPDATE (encrypted_key_material, encryption_key_id, encryption_algorithm, encryption_iv, encryption_auth_tag, hsm_key_id,
              exportable, export_count, last_exported_at, compromised_by_rotation_id, revision, updated_at, deleted_at)
    ON private_keys TO clm_secure_user, clm_secure_system;

GRANT SELECT, INSERT ON issuers TO clm_secure_user, clm_secure_system;
GRANT UPDATE (name, parent_issuer_id, certificate_id, status, limits, strict_mode, revision, updated_at, deleted_at)
    ON issuers TO clm_secure_user, clm_secure_system;

-- Only the System scope grants the use of an issuer: the tenant policy alone would let an organization admit itself.
GRANT SELECT ON issuer_organizations TO clm_secure_user;
GRANT SELECT, INSERT, UPDATE ON issuer_organizations TO clm_secure_system;

GRANT SELECT, INSERT ON certificate_requests TO clm_secure_user, clm_secure_system;
GRANT UPDATE (status, issuer_id, key_algorithm, spki_sha256, approver_user_id, requester_user_id, policy_id, workflow_id,
              idempotency_key_sha256, request_sha256, failure_code, failure_message, revision, submitted_at, approved_at,
              fulfilled_at, expires_at, updated_at, deleted_at)
    ON certificate_requests TO clm_secure_user, clm_secure_system;

GRANT SELECT, INSERT ON certificates TO clm_secure_user, clm_secure_system;
GRANT UPDATE (certificate_type, status, private_key_id, owner_user_id, policy_id, workflow_id, replaces_certificate_id,
              revoked_at, revision, issuance_context, issued_event_id, updated_at, deleted_at)
    ON certificates TO clm_secure_user, clm_secure_system;

GRANT SELECT, INSERT ON certificate_revocations TO clm_secure_user, clm_secure_system;
GRANT UPDATE (revocation_reason, revoked_at, invalidity_date, revoked_by_user_id, comment, updated_at)
    ON certificate_revocations TO clm_secure_user, clm_secure_system;

GRANT SELECT, INSERT ON key_rotation_history TO clm_secure_user, clm_secure_system;
GRANT UPDATE (status, new_encryption_key_id, items_total, items_processed, items_failed, items_rolled_back, cursor_private_key_id,
              pass_started_at, next_batch_at, rollback_started_at, completed_at, error_message, updated_at)
    ON key_rotation_history TO clm_secure_user, clm_secure_system;

-- What a secret is for cannot be changed; how it is sealed can, and that it is there.
GRANT SELECT, INSERT ON sealed_secrets, totp_factors TO clm_secure_user, clm_secure_system;
GRANT UPDATE (encrypted_secret, encryption_key_id, encryption_algorithm, encryption_iv, encryption_auth_tag,
              compromised_by_rotation_id, revision, updated_at, deleted_at)
    ON sealed_secrets TO clm_secure_user, clm_secure_system;
GRANT UPDATE (status, last_step, failures, locked_until, expires_at, activated_at, backup_codes_sha256, updated_at,
    deleted_at) ON totp_factors TO clm_secure_user, clm_secure_system;
-- A proof is given out in its user's organization and used in any.
GRANT INSERT ON step_up_proofs TO clm_secure_user;
GRANT SELECT, DELETE ON step_up_proofs TO clm_secure_system;
GRANT UPDATE (used_at) ON step_up_proofs TO clm_secure_system;

-- Who may call is what the service itself decides, in the scope of the system organization.
GRANT SELECT, INSERT ON transport_authorities TO clm_secure_user;
GRANT SELECT, INSERT ON transport_peers TO clm_secure_user;
GRANT UPDATE (paired_at, renewed_at, certificate_sha256, certificate_not_after, revoked_at) ON transport_peers TO clm_secure_user;

-- Append-only, by grant as well as by trigger. No grant on any partition.
GRANT SELECT, INSERT ON secure_audit_log TO clm_secure_user, clm_secure_system;

-- Transient tables, the only ones with DELETE, and only in the System scope. An organization's act leaves an event
-- behind; carrying events away, and taking in those of the other side, is for the System scope.
GRANT INSERT ON outbox TO clm_secure_user;
GRANT SELECT, INSERT, DELETE ON outbox TO clm_secure_system;
GRANT UPDATE (available_at, attempts, last_error) ON outbox TO clm_secure_system;
GRANT SELECT, INSERT, DELETE ON inbox TO clm_secure_system;

GRANT SELECT ON active_certificates, expiring_certificates TO clm_secure_user, clm_secure_system;

-- The owner of the views may read exactly what the views show.
GRANT SELECT (id, organization_id, certificate_type, status, issuer_id, serial_number, subject, common_name,
              subject_alternative_names, fingerprint_sha256, spki_sha256, key_algorithm, signature_algorithm,
              not_before, not_after, expiring_at, owner_user_id, policy_id, workflow_id, revision, created_at, updated_at, deleted_at)
    ON certificates TO clm_secure_views;

-- ---------------------------------------------------------------------------------------------------------
-- Tables: everybody else
-- ---------------------------------------------------------------------------------------------------------

GRANT SELECT ON secure_audit_log TO clm_auditor, clm_secure_archive;

-- pg_dump locks and copies every table by its own name, the partitions of the audit log too. Tables of ours only.
DO $$
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT c.oid::regclass AS relation
        FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace
          AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
          AND NOT EXISTS (SELECT FROM pg_depend d
                          WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO clm_secure_backup', item.relation);
    END LOOP;
END
$$;

-- ---------------------------------------------------------------------------------------------------------
-- Role-bound policies
-- ---------------------------------------------------------------------------------------------------------

-- Only what is missing or differs is made: making a policy locks its table against everybody.
DO $$
DECLARE
    wanted record;
    existing record;
BEGIN
    FOR wanted IN
        SELECT tenant_table AS table_name, 'system_scope' AS policy_name, '*' AS command, 'clm_secure_system' AS role_name
        FROM unnest(ARRAY['encryption_keys', 'master_key_shares', 'private_keys', 'issuers', 'issuer_organizations', 'certificate_requests',
                          'certificates', 'certificate_revocations', 'key_rotation_history', 'secure_audit_log',
                          'sealed_secrets', 'totp_factors', 'step_up_proofs', 'outbox', 'inbox',
                          'transport_authorities', 'transport_peers']) AS tenant_table
        UNION ALL
        VALUES ('secure_audit_log', 'auditor_read', 'r', 'clm_auditor'),
               ('secure_audit_log', 'archive_read', 'r', 'clm_secure_archive')
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
