-- Takes back clm_secure_db 001: drops everything that the migration made, apart from the table schema_migrations
-- (only the row goes) and the extensions.
--
-- It refuses while there is anything that could not be made again: keys, certificates, requests, revocations or audit
-- events. To destroy those too, say so in the same session:
--     SET clm.destroy_data = 'on';        or        PGOPTIONS='-c clm.destroy_data=on' psql ...
-- Run it as a superuser or as clm_secure_migrator.

BEGIN;

SET LOCAL client_min_messages = warning;
SET LOCAL search_path = public, pg_catalog;
-- A role that row-level security binds must fail here, not take a filtered table for an empty one.
SET LOCAL row_security = off;

DO $$
DECLARE
    table_name text;
    has_rows boolean;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['encryption_keys', 'master_key_shares', 'private_keys', 'issuers', 'certificate_requests', 'certificates',
                                      'certificate_revocations', 'key_rotation_history', 'sealed_secrets', 'totp_factors', 'secure_audit_log'] LOOP
        CONTINUE WHEN to_regclass('public.' || table_name) IS NULL;
        -- Locked before looking, so that nothing arrives between the look and the drop.
        EXECUTE format('LOCK TABLE public.%I IN ACCESS EXCLUSIVE MODE', table_name);
        CONTINUE WHEN current_setting('clm.destroy_data', true) = 'on';
        EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', table_name) INTO has_rows;
        IF has_rows THEN
            RAISE EXCEPTION 'rollback of 001 refused: table % has rows', table_name
                USING HINT = 'Back up, then SET clm.destroy_data = ''on'' in this session to destroy them.';
        END IF;
    END LOOP;
END
$$;

DROP VIEW IF EXISTS expiring_certificates;
DROP VIEW IF EXISTS active_certificates;

DROP FUNCTION IF EXISTS audit_partitions_ahead();
DROP FUNCTION IF EXISTS ensure_audit_partitions(integer);

-- Issuers and certificates refer to each other.
ALTER TABLE IF EXISTS issuers DROP CONSTRAINT IF EXISTS fk_issuers_certificate;
-- So do private keys and rotations, by way of the data keys.
ALTER TABLE IF EXISTS private_keys DROP CONSTRAINT IF EXISTS fk_private_keys_compromised_by_rotation;

DROP TABLE IF EXISTS transport_peers;
DROP TABLE IF EXISTS transport_authorities;
DROP TABLE IF EXISTS secure_audit_log;
DROP TABLE IF EXISTS inbox;
DROP TABLE IF EXISTS outbox;
DROP TABLE IF EXISTS step_up_proofs;
DROP TABLE IF EXISTS totp_factors;
DROP TABLE IF EXISTS sealed_secrets;
DROP TABLE IF EXISTS key_rotation_history;
DROP TABLE IF EXISTS certificate_revocations;
DROP TABLE IF EXISTS certificates;
DROP TABLE IF EXISTS certificate_requests;
DROP TABLE IF EXISTS issuer_organizations;
DROP TABLE IF EXISTS issuers;
DROP TABLE IF EXISTS private_keys;
DROP TABLE IF EXISTS master_key_shares;
DROP TABLE IF EXISTS encryption_keys;

DROP FUNCTION IF EXISTS check_revoked_certificate();
DROP FUNCTION IF EXISTS check_encryption_key_opens();
DROP FUNCTION IF EXISTS refuse_audit_change();
DROP FUNCTION IF EXISTS uuid_v7_timestamp(uuid);
DROP FUNCTION IF EXISTS uuid_generate_v7();
DROP FUNCTION IF EXISTS set_updated_at();

DO $$
BEGIN
    IF to_regclass('public.schema_migrations') IS NOT NULL THEN
        DELETE FROM public.schema_migrations WHERE version = 1;
    END IF;
END
$$;

COMMIT;
