-- Takes back clm_core_db, version 1: drops all that the migration made. The extensions stay, as does
-- schema_migrations, without this version's row.
--
-- Refuses while there are audit rows or certificates, unless told in the same session:
--     SET clm.destroy_data = 'on';
-- Run it as a role that row security does not bind (superuser or migrator): for any other the
-- question for rows fails, and so does this file.

BEGIN;

SET LOCAL client_min_messages = warning;
SET LOCAL search_path = public, pg_temp;

DO $$
DECLARE
    table_name text;
    has_rows boolean;
BEGIN
    IF coalesce(current_setting('clm.destroy_data', true), '') = 'on' THEN
        RETURN;
    END IF;
    FOREACH table_name IN ARRAY ARRAY['audit_log', 'certificate_metadata'] LOOP
        CONTINUE WHEN to_regclass('public.' || table_name) IS NULL;
        -- Nothing may slip in between the question and the drop.
        EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', table_name);
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I)', table_name) INTO has_rows;
        IF has_rows THEN
            RAISE EXCEPTION 'rollback refused: table % is not empty', table_name
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      HINT = 'Back the database up, then SET clm.destroy_data = ''on'' to destroy these rows.';
        END IF;
    END LOOP;
END
$$;

DROP VIEW IF EXISTS certificate_summary;
DROP VIEW IF EXISTS pending_approvals;
DROP VIEW IF EXISTS role_assignments;
DROP VIEW IF EXISTS organization_members;
DROP VIEW IF EXISTS active_users_with_roles;

DROP FUNCTION IF EXISTS find_user_for_sign_in(text, text);
DROP FUNCTION IF EXISTS find_rights_changes(bigint);
DROP FUNCTION IF EXISTS find_invitation_by_token(bytea, timestamptz);
DROP FUNCTION IF EXISTS find_api_key_by_hash(bytea, timestamptz);
DROP FUNCTION IF EXISTS find_session_by_token(bytea, timestamptz);
DROP FUNCTION IF EXISTS second_factor_required(uuid, uuid, timestamptz);
DROP FUNCTION IF EXISTS next_rights_change(uuid, uuid, timestamptz);
DROP FUNCTION IF EXISTS installation_permissions(uuid, timestamptz);
DROP FUNCTION IF EXISTS effective_roles(uuid, uuid, timestamptz);

DROP TABLE IF EXISTS rights_changes;
DROP TABLE IF EXISTS step_up_proofs;
DROP TABLE IF EXISTS idempotency_keys;
DROP TABLE IF EXISTS inbox;
DROP TABLE IF EXISTS outbox;
DROP FUNCTION IF EXISTS audit_partitions_ahead();
DROP FUNCTION IF EXISTS ensure_audit_partitions(integer);
DROP TABLE IF EXISTS audit_log;
DROP TABLE IF EXISTS certificate_quota_leases;
DROP TABLE IF EXISTS certificate_quotas;
DROP TABLE IF EXISTS certificate_metadata;
DROP TABLE IF EXISTS notifications;
DROP TABLE IF EXISTS workflow_steps;
DROP TABLE IF EXISTS workflow_instances;
DROP TABLE IF EXISTS workflows;
DROP TABLE IF EXISTS policies;
DROP TABLE IF EXISTS sessions;
DROP TABLE IF EXISTS api_keys;
DROP TABLE IF EXISTS one_time_links;
DROP TABLE IF EXISTS known_sign_in_addresses;
DROP TABLE IF EXISTS password_history;
DROP TABLE IF EXISTS invitations;
DROP TABLE IF EXISTS user_organizations;
DROP TABLE IF EXISTS user_roles;
DROP TABLE IF EXISTS roles;
DROP TABLE IF EXISTS users;
DROP TABLE IF EXISTS organizations;

DROP FUNCTION IF EXISTS note_rights_change();
DROP FUNCTION IF EXISTS forget_email_verification();
DROP FUNCTION IF EXISTS check_role_parent();
DROP FUNCTION IF EXISTS check_role_organization();
DROP FUNCTION IF EXISTS protect_system_role();
DROP FUNCTION IF EXISTS forbid_audit_change();
DROP FUNCTION IF EXISTS set_updated_at();
DROP FUNCTION IF EXISTS uuid_v7_timestamp(uuid);
DROP FUNCTION IF EXISTS uuid_generate_v7();

DO $$
BEGIN
    IF to_regclass('public.schema_migrations') IS NOT NULL THEN
        DELETE FROM schema_migrations WHERE version = 1;
    END IF;
END
$$;

COMMIT;
