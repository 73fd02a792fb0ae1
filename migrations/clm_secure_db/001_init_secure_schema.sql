-- clm_secure_db 001: keys, certificates, requests, revocations, issuers and their audit log.
--
-- Runs on PostgreSQL 12 and newer, by bare psql or by `clm db migrate`, any number of times.
-- It names no application role: ownership, grants and role-bound policies are in db/roles_secure.sql,
-- which has to be run after every migration.
--
-- Three rules carry the schema:
--   1. Row-level security is enabled and forced on every table with rows of an organization. A transaction
--      says whose rows it means (SET LOCAL app.current_org_id); one that does not is refused with an error.
--   2. A foreign key between tenant tables includes organization_id, because the checks behind foreign keys
--      pass by row-level security.
--   3. References to users, policies and workflows point into clm_core_db: plain UUIDs, no foreign key.

BEGIN;

SET LOCAL client_min_messages = warning;
SET LOCAL search_path = public, pg_catalog;

-- ---------------------------------------------------------------------------------------------------------
-- Extensions
-- ---------------------------------------------------------------------------------------------------------

CREATE EXTENSION IF NOT EXISTS "uuid-ossp" WITH SCHEMA public;
CREATE EXTENSION IF NOT EXISTS pgcrypto WITH SCHEMA public;

-- ---------------------------------------------------------------------------------------------------------
-- Functions that tables depend on
-- ---------------------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION set_updated_at() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
BEGIN
    -- clock_timestamp, not now: two updates within one transaction stay distinguishable.
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION set_updated_at() IS 'Row trigger: stamps updated_at with the wall clock at each update.';

CREATE OR REPLACE FUNCTION uuid_generate_v7() RETURNS uuid
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, public
AS $$
DECLARE
    milliseconds bigint := floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    bytes bytea := substring(int8send(milliseconds) FROM 3 FOR 6) || gen_random_bytes(10);
BEGIN
    -- RFC 9562 §5.7: version 7 in the high nibble of octet 6, variant 10 in the high bits of octet 8.
    bytes := set_byte(bytes, 6, (get_byte(bytes, 6) & 15) | 112);
    bytes := set_byte(bytes, 8, (get_byte(bytes, 8) & 63) | 128);
    RETURN encode(bytes, 'hex')::uuid;
END
$$;
COMMENT ON FUNCTION uuid_generate_v7() IS 'A time-ordered UUID (RFC 9562 version 7) from the wall clock and 74 random bits.';

-- No SET clause, so that the planner can inline it; it uses nothing but pg_catalog.
CREATE OR REPLACE FUNCTION uuid_v7_timestamp(id uuid) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT (timestamp '1970-01-01 00:00:00'
            + ('x0000' || pg_catalog.replace(pg_catalog.left(id::text, 13), '-', ''))::bit(64)::bigint
              * interval '1 millisecond') AT TIME ZONE 'UTC'
$$;
COMMENT ON FUNCTION uuid_v7_timestamp(uuid) IS 'The millisecond timestamp inside a version 7 UUID.';

CREATE OR REPLACE FUNCTION refuse_audit_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog
AS $$
BEGIN
    RAISE EXCEPTION 'audit rows are append-only'
        USING ERRCODE = 'insufficient_privilege',
              DETAIL = format('%s on %I.%I was refused.', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME);
END
$$;
COMMENT ON FUNCTION refuse_audit_change() IS 'Trigger: refuses UPDATE, DELETE and TRUNCATE on the audit log and its partitions.';

-- ---------------------------------------------------------------------------------------------------------
-- schema_migrations
-- ---------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer NOT NULL,
    description text NOT NULL,
    checksum bytea NULL,
    min_program_version text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    applied_by text NOT NULL DEFAULT current_user,
    execution_time_ms bigint NULL,
    CONSTRAINT pk_schema_migrations PRIMARY KEY (version),
    CONSTRAINT ck_schema_migrations_version CHECK (version > 0),
    CONSTRAINT ck_schema_migrations_checksum CHECK (octet_length(checksum) = 32)
);
COMMENT ON TABLE schema_migrations IS '[global] Which migrations this database has seen.';
COMMENT ON COLUMN schema_migrations.version IS 'The number that the file name starts with.';
COMMENT ON COLUMN schema_migrations.description IS 'The file name in words.';
COMMENT ON COLUMN schema_migrations.checksum IS 'SHA-256 of the file; null until the runner has seen a migration that was applied by hand.';
COMMENT ON COLUMN schema_migrations.min_program_version IS 'The oldest program that works with this schema; older ones refuse to serve.';
COMMENT ON COLUMN schema_migrations.applied_at IS 'When the migration was first applied.';
COMMENT ON COLUMN schema_migrations.applied_by IS 'Database role that applied it.';
COMMENT ON COLUMN schema_migrations.execution_time_ms IS 'How long it took, in milliseconds; null when applied by hand.';

-- ---------------------------------------------------------------------------------------------------------
-- encryption_keys
-- ---------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS encryption_keys (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    key_type text NOT NULL,
    key_version integer NOT NULL,
    key_algorithm text NOT NULL,
    status text NOT NULL DEFAULT 'active',
    wrapping_key_id uuid NULL,
    provider text NOT NULL DEFAULT 'file',
    encrypted_key_material bytea NULL,
    encryption_iv bytea NULL,
    encryption_auth_tag bytea NULL,
    encryption_algorithm text NULL,
    key_check_value bytea NULL,
    seal_count bigint NOT NULL DEFAULT 0,
    seal_count_max bigint NULL,
    rotation_schedule_days integer NULL,
    activated_at timestamptz NULL,
    rotated_at timestamptz NULL,
    retired_at timestamptz NULL,
    revoked_at timestamptz NULL,
    destroyed_at timestamptz NULL,
    expires_at timestamptz NULL,
    backup_confirmed_at timestamptz NULL,
    created_by_user_id uuid NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz NULL,
    CONSTRAINT pk_encryption_keys PRIMARY KEY (id),
    CONSTRAINT ux_encryption_keys_organization_id_id UNIQUE (organization_id, id),
    CONSTRAINT ux_encryption_keys_organization_id_key_type_key_version UNIQUE (organization_id, key_type, key_version),
    CONSTRAINT fk_encryption_keys_wrapping_key FOREIGN KEY (wrapping_key_id) REFERENCES encryption_keys (id),
    CONSTRAINT ck_encryption_keys_key_type CHECK (key_type IN ('master', 'data', 'session', 'hmac')),
    CONSTRAINT ck_encryption_keys_status CHECK (status IN ('active', 'rotating', 'retired', 'revoked', 'destroyed')),
    CONSTRAINT ck_encryption_keys_key_version CHECK (key_version > 0),
    CONSTRAINT ck_encryption_keys_key_algorithm CHECK (length(key_algorithm) BETWEEN 1 AND 64),
    CONSTRAINT ck_encryption_keys_provider CHECK (length(provider) BETWEEN 1 AND 64),
    CONSTRAINT ck_encryption_keys_backup_confirmed_at CHECK (key_type = 'master' OR backup_confirmed_at IS NULL),
    -- Master keys are the platform's, never a tenant's.
    CONSTRAINT ck_encryption_keys_master_owner CHECK
        (key_type <> 'master' OR organization_id = '00000000-0000-0000-0000-000000000001'::uuid),
    -- Of a master key only a check value is here; the key itself stays with its provider. Every other key is here
    -- wrapped, completely, until it is destroyed, and then its material is gone.
    CONSTRAINT ck_encryption_keys_wrapped_material CHECK (
        CASE
            WHEN key_type = 'master' THEN
                wrapping_key_id IS NULL AND encrypted_key_material IS NULL AND encryption_iv IS NULL
                AND encryption_auth_tag IS NULL AND encryption_algorithm IS NULL
            WHEN status = 'destroyed' THEN
                encrypted_key_material IS NULL
            ELSE
                wrapping_key_id IS NOT NULL AND encrypted_key_material IS NOT NULL AND encryption_iv IS NOT NULL
                AND encryption_auth_tag IS NOT NULL AND encryption_algorithm IS NOT NULL
        END),
    CONSTRAINT ck_encryption_keys_not_self_wrapped CHECK (wrapping_key_id <> id),
    CONSTRAINT ck_encryption_keys_encryption_iv CHECK (octet_length(encryption_iv) = 12),
    CONSTRAINT ck_encryption_keys_encryption_auth_tag CHECK (octet_length(encryption_auth_tag) = 16),
    CONSTRAINT ck_encryption_keys_encryption_algorithm CHECK (length(encryption_algorithm) BETWEEN 1 AND 64),
    CONSTRAINT ck_encryption_keys_encrypted_key_material CHECK (octet_length(encrypted_key_material) BETWEEN 1 AND 4096),
    CONSTRAINT ck_encryption_keys_key_check_value CHECK (octet_length(key_check_value) = 32),
    CONSTRAINT ck_encryption_keys_master_check_value CHECK (key_type <> 'master' OR key_check_value IS NOT NULL),
    -- NIST SP 800-38D §8.3: with random nonces a GCM key may seal a bounded number of times.
    CONSTRAINT ck_encryption_keys_seal_count CHECK (seal_count >= 0 AND (seal_count_max IS NULL OR seal_count <= seal_count_max)),
    CONSTRAINT ck_encryption_keys_rotation_schedule_days CHECK (rotation_schedule_days > 0),
    CONSTRAINT ck_encryption_keys_state_times CHECK (
        (status <> 'retired' OR retired_at IS NOT NULL)
        AND (status <> 'revoked' OR revoked_at IS NOT NULL)
        AND (status <> 'destroyed' OR destroyed_at IS NOT NULL))
) WITH (fillfactor = 70);  -- seal_count is updated often; room on the page keeps those updates HOT

COMMENT ON TABLE encryption_keys IS '[tenant] Keys that seal other secrets, one row per key version. Masters belong to the system organization and hold no material.';
COMMENT ON COLUMN encryption_keys.id IS 'Primary key.';
COMMENT ON COLUMN encryption_keys.organization_id IS 'Owning organization; the system organization for master keys and for what shared CAs use.';
COMMENT ON COLUMN encryption_keys.key_type IS 'master (wraps other keys), data (seals secrets), session, hmac.';
COMMENT ON COLUMN encryption_keys.key_version IS 'Counts up by one at each rotation, per organization and key type.';
COMMENT ON COLUMN encryption_keys.key_algorithm IS 'What the key is for, e.g. AES-256-GCM.';
COMMENT ON COLUMN encryption_keys.status IS 'active seals and opens; rotating and retired only open; revoked opens nothing any more; destroyed is gone.';
COMMENT ON COLUMN encryption_keys.wrapping_key_id IS 'The master key version that wraps this key; null for masters.';
COMMENT ON COLUMN encryption_keys.provider IS 'Who holds the master key: file, credential, environment or shamir (later PKCS#11 or a cloud KMS). The same on every key that it wraps.';
COMMENT ON COLUMN encryption_keys.encrypted_key_material IS 'The key, wrapped under wrapping_key_id; null for masters and after destruction.';
COMMENT ON COLUMN encryption_keys.encryption_iv IS 'Nonce of the wrapping, 12 octets.';
COMMENT ON COLUMN encryption_keys.encryption_auth_tag IS 'GCM tag of the wrapping, 16 octets.';
COMMENT ON COLUMN encryption_keys.encryption_algorithm IS 'Algorithm of the wrapping, e.g. AES-256-GCM.';
COMMENT ON COLUMN encryption_keys.key_check_value IS 'Of a master key: a SHA-256 based value that recognizes the right key without revealing it.';
COMMENT ON COLUMN encryption_keys.seal_count IS 'Upper bound of the seals made with this key so far; reserved in blocks.';
COMMENT ON COLUMN encryption_keys.seal_count_max IS 'Seals after which the key must have been rotated; null when there is no bound.';
COMMENT ON COLUMN encryption_keys.rotation_schedule_days IS 'Days between scheduled rotations; null for none. A successor inherits it.';
COMMENT ON COLUMN encryption_keys.activated_at IS 'When it first became active.';
COMMENT ON COLUMN encryption_keys.rotated_at IS 'When its successor became active; stays when that is rolled back, so that a schedule counts from there.';
COMMENT ON COLUMN encryption_keys.retired_at IS 'When nothing was sealed under it any more.';
COMMENT ON COLUMN encryption_keys.revoked_at IS 'When it was declared compromised or withdrawn.';
COMMENT ON COLUMN encryption_keys.destroyed_at IS 'When its material was erased.';
COMMENT ON COLUMN encryption_keys.expires_at IS 'When it must no longer seal.';
COMMENT ON COLUMN encryption_keys.backup_confirmed_at IS 'Of a master key: when somebody last proved to have a copy; null when nobody has.';
COMMENT ON COLUMN encryption_keys.created_by_user_id IS 'users.id in clm_core_db; null when the platform made it.';
COMMENT ON COLUMN encryption_keys.created_at IS 'When the row was made.';
COMMENT ON COLUMN encryption_keys.updated_at IS 'When the row last changed; set by trigger.';
COMMENT ON COLUMN encryption_keys.deleted_at IS 'Soft delete; null for live rows.';

-- The key to seal with now; it also guarantees that there is only one.
CREATE UNIQUE INDEX IF NOT EXISTS ux_encryption_keys_organization_id_key_type ON encryption_keys (organization_id, key_type)
    WHERE status = 'active' AND deleted_at IS NULL;
-- Master rotation: every key that a master still wraps, in keyset order. Also serves the foreign key.
CREATE INDEX IF NOT EXISTS ix_encryption_keys_wrapping_key_id_id ON encryption_keys (wrapping_key_id, id)
    WHERE wrapping_key_id IS NOT NULL;
-- Scheduler: what expires or is due, over all organizations.
CREATE INDEX IF NOT EXISTS ix_encryption_keys_status_expires_at ON encryption_keys (status, expires_at)
    WHERE deleted_at IS NULL;
-- Scheduler: active keys that are rotated by schedule, over all organizations. A small part of all keys.
CREATE INDEX IF NOT EXISTS ix_encryption_keys_activated_at ON encryption_keys (activated_at)
    WHERE status = 'active' AND rotation_schedule_days IS NOT NULL AND deleted_at IS NULL;
-- Destruction: keys out of use whose material is still there, over all organizations.
CREATE INDEX IF NOT EXISTS ix_encryption_keys_retired_at ON encryption_keys (retired_at)
    WHERE status IN ('retired', 'revoked');

-- ---------------------------------------------------------------------------------------------------------
-- master_key_shares
-- ---------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS master_key_shares (
    organization_id uuid NOT NULL,
    encryption_key_id uuid NOT NULL,
    share_index smallint NOT NULL,
    share_set_id uuid NOT NULL,
    threshold smallint NOT NULL,
    share_count smallint NOT NULL,
    share_sha256 bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_master_key_shares PRIMARY KEY (encryption_key_id, share_index),
    CONSTRAINT fk_master_key_shares_encryption_key FOREIGN KEY (organization_id, encryption_key_id)
        REFERENCES encryption_keys (organization_id, id),
    CONSTRAINT ck_master_key_shares_numbers CHECK
        (2 <= threshold AND threshold <= share_count AND share_count <= 16 AND share_index BETWEEN 1 AND share_count),
    CONSTRAINT ck_master_key_shares_share_sha256 CHECK (octet_length(share_sha256) = 32)
);

COMMENT ON TABLE master_key_shares IS '[tenant] How the shares of a split master key are recognized. They belong to the system organization; the shares themselves are with their custodians and nowhere here.';
COMMENT ON COLUMN master_key_shares.organization_id IS 'That of the master key, the system organization.';
COMMENT ON COLUMN master_key_shares.encryption_key_id IS 'The master key version that was split.';
COMMENT ON COLUMN master_key_shares.share_index IS 'The place of the share in its set, from 1.';
COMMENT ON COLUMN master_key_shares.share_set_id IS 'The set; shares of two sets never go together.';
COMMENT ON COLUMN master_key_shares.threshold IS 'How many shares of the set give the key.';
COMMENT ON COLUMN master_key_shares.share_count IS 'How many shares the set has.';
COMMENT ON COLUMN master_key_shares.share_sha256 IS 'SHA-256 of the share with its place: refuses a wrong share by name. A share is random, so this says nothing about it.';
COMMENT ON COLUMN master_key_shares.created_at IS 'When the set came into force.';

-- ---------------------------------------------------------------------------------------------------------
-- private_keys
-- ---------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS private_keys (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    spki_sha256 bytea NOT NULL,
    public_key_der bytea NOT NULL,
    key_algorithm text NOT NULL,
    key_usage_purpose text NOT NULL,
    encrypted_key_material bytea NULL,
    encryption_key_id uuid NULL,
    encryption_algorithm text NULL,
    encryption_iv bytea NULL,
    encryption_auth_tag bytea NULL,
    hsm_key_id text NULL,
    exportable boolean NOT NULL DEFAULT false,
    export_count integer NOT NULL DEFAULT 0,
    last_exported_at timestamptz NULL,
    compromised_by_rotation_id uuid NULL,
    created_by_user_id uuid NULL,
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz NULL,
    CONSTRAINT pk_private_keys PRIMARY KEY (id),
    CONSTRAINT ux_private_keys_organization_id_id UNIQUE (organization_id, id),
    -- Composite: a key is sealed under a data key of its own organization, never under a neighbour's.
    CONSTRAINT fk_private_keys_encryption_key FOREIGN KEY (organization_id, encryption_key_id)
        REFERENCES encryption_keys (organization_id, id),
    CONSTRAINT ck_private_keys_spki_sha256 CHECK (octet_length(spki_sha256) = 32),
    CONSTRAINT ck_private_keys_public_key_der CHECK (octet_length(public_key_der) BETWEEN 1 AND 65536),
    CONSTRAINT ck_private_keys_key_algorithm CHECK (length(key_algorithm) BETWEEN 1 AND 64),
    CONSTRAINT ck_private_keys_key_usage_purpose CHECK (key_usage_purpose IN ('issuer', 'end_entity')),
    -- Either completely sealed here, or held by an HSM; never both, never half.
    CONSTRAINT ck_private_keys_sealed_or_hsm CHECK (
        CASE
            WHEN hsm_key_id IS NULL THEN
                encrypted_key_material IS NOT NULL AND encryption_key_id IS NOT NULL AND encryption_algorithm IS NOT NULL
                AND encryption_iv IS NOT NULL AND encryption_auth_tag IS NOT NULL
            ELSE
                encrypted_key_material IS NULL AND encryption_key_id IS NULL AND encryption_algorithm IS NULL
                AND encryption_iv IS NULL AND encryption_auth_tag IS NULL
        END),
    CONSTRAINT ck_private_keys_encrypted_key_material CHECK (octet_length(encrypted_key_material) BETWEEN 1 AND 65536),
    CONSTRAINT ck_private_keys_encryption_algorithm CHECK (length(encryption_algorithm) BETWEEN 1 AND 64),
    CONSTRAINT ck_private_keys_encryption_iv CHECK (octet_length(encryption_iv) = 12),
    CONSTRAINT ck_private_keys_encryption_auth_tag CHECK (octet_length(encryption_auth_tag) = 16),
    CONSTRAINT ck_private_keys_hsm_key_id CHECK (length(hsm_key_id) BETWEEN 1 AND 1024),
    -- A CA key never leaves in a form that anybody can read.
    CONSTRAINT ck_private_keys_issuer_not_exportable CHECK (key_usage_purpose <> 'issuer' OR NOT exportable),
    CONSTRAINT ck_private_keys_export_count CHECK (export_count >= 0 AND (export_count = 0) = (last_exported_at IS NULL)),
    CONSTRAINT ck_private_keys_revision CHECK (revision > 0)
);

COMMENT ON TABLE private_keys IS '[tenant] Private keys, each once per organization: sealed here or referenced in an HSM. May exist before a certificate and serve several.';
COMMENT ON COLUMN private_keys.id IS 'Primary key; UUIDv7 made by the program. Part of the additional data of the seal.';
COMMENT ON COLUMN private_keys.organization_id IS 'Owning organization; the system organization for keys of shared CAs.';
COMMENT ON COLUMN private_keys.spki_sha256 IS 'SHA-256 of the SubjectPublicKeyInfo: how a key is found.';
COMMENT ON COLUMN private_keys.public_key_der IS 'SubjectPublicKeyInfo in DER (RFC 5280 §4.1.2.7).';
COMMENT ON COLUMN private_keys.key_algorithm IS 'Algorithm and size of the key pair.';
COMMENT ON COLUMN private_keys.key_usage_purpose IS 'issuer signs certificates and CRLs; end_entity belongs to a subscriber.';
COMMENT ON COLUMN private_keys.encrypted_key_material IS 'PKCS#8 DER, sealed; null when the key is in an HSM.';
COMMENT ON COLUMN private_keys.encryption_key_id IS 'The data key version that sealed it, of the same organization.';
COMMENT ON COLUMN private_keys.encryption_algorithm IS 'Algorithm of the seal, e.g. AES-256-GCM.';
COMMENT ON COLUMN private_keys.encryption_iv IS 'Nonce of the seal, 12 octets.';
COMMENT ON COLUMN private_keys.encryption_auth_tag IS 'GCM tag of the seal, 16 octets.';
COMMENT ON COLUMN private_keys.hsm_key_id IS 'How the HSM names the key; null when it is sealed here.';
COMMENT ON COLUMN private_keys.exportable IS 'Whether it may be exported at all; never true for a CA key.';
COMMENT ON COLUMN private_keys.export_count IS 'How often it has left the platform.';
COMMENT ON COLUMN private_keys.last_exported_at IS 'When it last left the platform; null while it never did.';
COMMENT ON COLUMN private_keys.compromised_by_rotation_id IS 'The rotation that left a compromised data key under which this key was sealed; null when it never was.';
COMMENT ON COLUMN private_keys.created_by_user_id IS 'users.id in clm_core_db; null when not made by a person.';
COMMENT ON COLUMN private_keys.revision IS 'Counts up with each change; carried in events.';
COMMENT ON COLUMN private_keys.created_at IS 'When the row was made.';
COMMENT ON COLUMN private_keys.updated_at IS 'When the row last changed; set by trigger.';
COMMENT ON COLUMN private_keys.deleted_at IS 'Soft delete; null for live rows.';

-- Find the key of a certificate or CSR; a key is stored once.
CREATE UNIQUE INDEX IF NOT EXISTS ux_private_keys_organization_id_spki_sha256 ON private_keys (organization_id, spki_sha256)
    WHERE deleted_at IS NULL;
-- Rotation: what is still sealed under a key version, in keyset order. Also serves the foreign key.
CREATE INDEX IF NOT EXISTS ix_private_keys_organization_id_encryption_key_id_id ON private_keys (organization_id, encryption_key_id, id)
    WHERE encryption_key_id IS NOT NULL;
-- What a compromise exposed, in keyset order. Also serves the foreign key.
CREATE INDEX IF NOT EXISTS ix_private_keys_organization_id_compromised_by_rotation_id_id
    ON private_keys (organization_id, compromised_by_rotation_id, id) WHERE compromised_by_rotation_id IS NOT NULL;

-- A process may take a key for the active one for some time after another process has revoked or destroyed it. What it
-- then sealed could never be opened: it is not taken. The lock makes who ends a key wait for those who still use it.
CREATE OR REPLACE FUNCTION check_encryption_key_opens() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM public.encryption_keys k
    WHERE k.organization_id = NEW.organization_id AND k.id = NEW.encryption_key_id
      AND k.status IN ('active', 'rotating', 'retired')
    FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'encryption key % opens nothing any more', NEW.encryption_key_id
            USING ERRCODE = 'foreign_key_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION check_encryption_key_opens() IS 'Row trigger: a new private key or secret is sealed under a key that opens.';

DROP TRIGGER IF EXISTS trg_private_keys_encryption_key ON private_keys;
-- Afterwards: a row of another organization is first refused as such.
CREATE TRIGGER trg_private_keys_encryption_key AFTER INSERT ON private_keys
    FOR EACH ROW WHEN (NEW.encryption_key_id IS NOT NULL) EXECUTE FUNCTION check_encryption_key_opens();

-- ---------------------------------------------------------------------------------------------------------
-- issuers and who may use them
-- ---------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS issuers (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    parent_issuer_id uuid NULL,
    certificate_id uuid NULL,
    private_key_id uuid NOT NULL,
    subject_der bytea NOT NULL,
    subject_key_identifier bytea NOT NULL,
    key_algorithm text NOT NULL,
    signature_algorithm text NOT NULL,
    status text NOT NULL DEFAULT 'active',
    limits jsonb NOT NULL,
    strict_mode boolean NOT NULL DEFAULT false,
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz NULL,
    CONSTRAINT pk_issuers PRIMARY KEY (id),
    -- Plain: the parent may be a shared CA of the system organization.
    CONSTRAINT fk_issuers_parent_issuer FOREIGN KEY (parent_issuer_id) REFERENCES issuers (id),
    CONSTRAINT fk_issuers_private_key FOREIGN KEY (organization_id, private_key_id) REFERENCES private_keys (organization_id, id),
    CONSTRAINT ck_issuers_name CHECK (length(name) BETWEEN 1 AND 200),
    CONSTRAINT ck_issuers_kind CHECK (kind IN ('root', 'intermediate')),
    CONSTRAINT ck_issuers_root_without_parent CHECK (kind <> 'root' OR parent_issuer_id IS NULL),
    CONSTRAINT ck_issuers_not_own_parent CHECK (parent_issuer_id <> id),
    CONSTRAINT ck_issuers_subject_der CHECK (octet_length(subject_der) BETWEEN 2 AND 16384),
    CONSTRAINT ck_issuers_subject_key_identifier CHECK (octet_length(subject_key_identifier) BETWEEN 1 AND 64),
    CONSTRAINT ck_issuers_key_algorithm CHECK (length(key_algorithm) BETWEEN 1 AND 64),
    CONSTRAINT ck_issuers_signature_algorithm CHECK (length(signature_algorithm) BETWEEN 1 AND 64),
    CONSTRAINT ck_issuers_status CHECK (status IN ('active', 'suspended', 'retired')),
    CONSTRAINT ck_issuers_active_has_certificate CHECK (status <> 'active' OR certificate_id IS NOT NULL),
    CONSTRAINT ck_issuers_limits CHECK (jsonb_typeof(limits) = 'object'),
    CONSTRAINT ck_issuers_revision CHECK (revision > 0)
);

COMMENT ON TABLE issuers IS '[shared] Certificate authorities. Those of the system organization are readable by all; using one takes a row in issuer_organizations.';
COMMENT ON COLUMN issuers.id IS 'Primary key; appears in the CRL, OCSP and AIA addresses and never changes.';
COMMENT ON COLUMN issuers.organization_id IS 'Owning organization; the system organization for shared CAs.';
COMMENT ON COLUMN issuers.name IS 'Name for people, unique among the live issuers of the organization.';
COMMENT ON COLUMN issuers.kind IS 'root (self-signed) or intermediate.';
COMMENT ON COLUMN issuers.parent_issuer_id IS 'The issuer that signed its certificate; null for roots and for CAs below a foreign one.';
COMMENT ON COLUMN issuers.certificate_id IS 'Its CA certificate; null only while it waits for one, and then it is not active.';
COMMENT ON COLUMN issuers.private_key_id IS 'Its signing key, of the same organization.';
COMMENT ON COLUMN issuers.subject_der IS 'Its distinguished name in DER, copied byte for byte into the issuer field (RFC 5280 §4.1.2.4).';
COMMENT ON COLUMN issuers.subject_key_identifier IS 'Becomes the authority key identifier of what it issues (RFC 5280 §4.2.1.1).';
COMMENT ON COLUMN issuers.key_algorithm IS 'Algorithm and size of its key.';
COMMENT ON COLUMN issuers.signature_algorithm IS 'Algorithm that it signs with.';
COMMENT ON COLUMN issuers.status IS 'active issues; suspended issues nothing for now; retired never again. All three still answer CRL and OCSP.';
COMMENT ON COLUMN issuers.limits IS 'Hard limits that the Secure Service enforces on its own: names, usages, validity, CA bit, rate.';
COMMENT ON COLUMN issuers.strict_mode IS 'Serial number and to-be-signed hash are committed before the signature is made.';
COMMENT ON COLUMN issuers.revision IS 'Counts up with each change; carried in events.';
COMMENT ON COLUMN issuers.created_at IS 'When the row was made.';
COMMENT ON COLUMN issuers.updated_at IS 'When the row last changed; set by trigger.';
COMMENT ON COLUMN issuers.deleted_at IS 'Soft delete; null for live rows.';

-- List of an organization's issuers by name, and no two live ones called the same.
CREATE UNIQUE INDEX IF NOT EXISTS ux_issuers_organization_id_name ON issuers (organization_id, name) WHERE deleted_at IS NULL;
-- Chain building downwards (what hangs below a CA that is to be retired). Foreign key.
CREATE INDEX IF NOT EXISTS ix_issuers_parent_issuer_id ON issuers (parent_issuer_id) WHERE parent_issuer_id IS NOT NULL;
-- Foreign keys; "is this key or certificate an issuer's?" before either may be deleted.
CREATE INDEX IF NOT EXISTS ix_issuers_organization_id_private_key_id ON issuers (organization_id, private_key_id);
CREATE INDEX IF NOT EXISTS ix_issuers_organization_id_certificate_id ON issuers (organization_id, certificate_id);
-- An organization's issuers that can issue.
CREATE INDEX IF NOT EXISTS ix_issuers_organization_id_status ON issuers (organization_id, status) WHERE deleted_at IS NULL;

CREATE TABLE IF NOT EXISTS issuer_organizations (
    issuer_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT now(),
    granted_by_user_id uuid NULL,
    revoked_at timestamptz NULL,
    revoked_by_user_id uuid NULL,
    CONSTRAINT pk_issuer_organizations PRIMARY KEY (issuer_id, organization_id),
    CONSTRAINT fk_issuer_organizations_issuer FOREIGN KEY (issuer_id) REFERENCES issuers (id),
    CONSTRAINT ck_issuer_organizations_revoked CHECK (revoked_at IS NOT NULL OR revoked_by_user_id IS NULL)
);

COMMENT ON TABLE issuer_organizations IS '[tenant] Which organization may use a shared issuer. Written in the System scope only, else an organization could admit itself.';
COMMENT ON COLUMN issuer_organizations.issuer_id IS 'The shared issuer.';
COMMENT ON COLUMN issuer_organizations.organization_id IS 'The organization that may use it.';
COMMENT ON COLUMN issuer_organizations.granted_at IS 'Since when.';
COMMENT ON COLUMN issuer_organizations.granted_by_user_id IS 'users.id in clm_core_db; null when the platform granted it.';
COMMENT ON COLUMN issuer_organizations.revoked_at IS 'When the permission was withdrawn; null while it stands. A new grant clears it.';
COMMENT ON COLUMN issuer_organizations.revoked_by_user_id IS 'users.id in clm_core_db of who withdrew it.';

-- "Which issuers may this organization use?" on every issuance that misses the cache.
CREATE INDEX IF NOT EXISTS ix_issuer_organizations_organization_id_issuer_id ON issuer_organizations (organization_id, issuer_id)
    WHERE revoked_at IS NULL;

-- ---------------------------------------------------------------------------------------------------------
-- certificate_requests
-- ---------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS certificate_requests (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    status text NOT NULL,
    request_source text NOT NULL,
    csr_der bytea NULL,
    issuer_id uuid NOT NULL,
    subject text NOT NULL,
    subject_alternative_names text[] NOT NULL DEFAULT '{}',
    key_algorithm text NOT NULL,
    spki_sha256 bytea NULL,
    requested_certificate_type text NOT NULL,
    requester_user_id uuid NULL,
    requester_actor_type text NOT NULL,
    requester_actor_id uuid NULL,
    approver_user_id uuid NULL,
    policy_id uuid NULL,
    workflow_id uuid NULL,
    idempotency_key_sha256 bytea NULL,
    request_sha256 bytea NULL,
    failure_code text NULL,
    failure_message text NULL,
    revision bigint NOT NULL DEFAULT 1,
    submitted_at timestamptz NULL,
    approved_at timestamptz NULL,
    fulfilled_at timestamptz NULL,
    expires_at timestamptz NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz NULL,
    CONSTRAINT pk_certificate_requests PRIMARY KEY (id),
    CONSTRAINT ux_certificate_requests_organization_id_id UNIQUE (organization_id, id),
    -- Plain: the issuer may belong to the system organization.
    CONSTRAINT fk_certificate_requests_issuer FOREIGN KEY (issuer_id) REFERENCES issuers (id),
    CONSTRAINT ck_certificate_requests_status CHECK (status IN
        ('draft', 'pending', 'approved', 'issuing', 'rejected', 'fulfilled', 'failed', 'expired', 'cancelled')),
    CONSTRAINT ck_certificate_requests_request_source CHECK (request_source IN ('csr', 'server_key')),
    -- With a CSR the key is known from the start; a key of ours may be made only after approval.
    CONSTRAINT ck_certificate_requests_source_fields CHECK (
        CASE request_source
            WHEN 'csr' THEN csr_der IS NOT NULL AND spki_sha256 IS NOT NULL
            ELSE csr_der IS NULL
        END),
    CONSTRAINT ck_certificate_requests_csr_der CHECK (octet_length(csr_der) BETWEEN 1 AND 262144),
    CONSTRAINT ck_certificate_requests_subject CHECK (length(subject) <= 16384),
    CONSTRAINT ck_certificate_requests_key_algorithm CHECK (length(key_algorithm) BETWEEN 1 AND 64),
    CONSTRAINT ck_certificate_requests_spki_sha256 CHECK (octet_length(spki_sha256) = 32),
    CONSTRAINT ck_certificate_requests_requested_certificate_type CHECK (requested_certificate_type IN
        ('root', 'intermediate', 'leaf', 'client', 'server', 'code_signing', 'email')),
    CONSTRAINT ck_certificate_requests_requester_actor_type CHECK (requester_actor_type IN
        ('user', 'api_key', 'service', 'local_operator', 'anonymous', 'system')),
    CONSTRAINT ck_certificate_requests_idempotency_key_sha256 CHECK (octet_length(idempotency_key_sha256) = 32),
    CONSTRAINT ck_certificate_requests_request_sha256 CHECK (octet_length(request_sha256) = 32),
    CONSTRAINT ck_certificate_requests_idempotency CHECK (idempotency_key_sha256 IS NULL OR request_sha256 IS NOT NULL),
    CONSTRAINT ck_certificate_requests_failure_code CHECK (length(failure_code) BETWEEN 1 AND 64),
    CONSTRAINT ck_certificate_requests_failure_message CHECK (length(failure_message) <= 4096),
    CONSTRAINT ck_certificate_requests_revision CHECK (revision > 0)
);

COMMENT ON TABLE certificate_requests IS '[tenant] Requests for certificates, with a CSR or with a key that the platform makes.';
COMMENT ON COLUMN certificate_requests.id IS 'Primary key; UUIDv7 made by the program.';
COMMENT ON COLUMN certificate_requests.organization_id IS 'Owning organization.';
COMMENT ON COLUMN certificate_requests.status IS 'draft, pending, approved, issuing, then one of rejected, fulfilled, failed, expired, cancelled.';
COMMENT ON COLUMN certificate_requests.request_source IS 'csr: the subscriber holds the key. server_key: the platform makes and keeps it.';
COMMENT ON COLUMN certificate_requests.csr_der IS 'PKCS#10 (RFC 2986) in DER; null for server_key.';
COMMENT ON COLUMN certificate_requests.issuer_id IS 'The issuer that is asked to sign.';
COMMENT ON COLUMN certificate_requests.subject IS 'Distinguished name as text (RFC 4514); empty when only alternative names are asked for.';
COMMENT ON COLUMN certificate_requests.subject_alternative_names IS 'Names with their kind in front, e.g. DNS:www.example.org.';
COMMENT ON COLUMN certificate_requests.key_algorithm IS 'Algorithm and size of the subject key.';
COMMENT ON COLUMN certificate_requests.spki_sha256 IS 'SHA-256 of the SubjectPublicKeyInfo; null until a server-side key exists.';
COMMENT ON COLUMN certificate_requests.requested_certificate_type IS 'What kind of certificate is wanted.';
COMMENT ON COLUMN certificate_requests.requester_user_id IS 'users.id in clm_core_db; null when a machine asked.';
COMMENT ON COLUMN certificate_requests.requester_actor_type IS 'What kind of actor asked.';
COMMENT ON COLUMN certificate_requests.requester_actor_id IS 'Who asked: user, API key or service, by actor type.';
COMMENT ON COLUMN certificate_requests.approver_user_id IS 'users.id in clm_core_db of the (last) approver; null without approval.';
COMMENT ON COLUMN certificate_requests.policy_id IS 'policies.id in clm_core_db that governed the decision.';
COMMENT ON COLUMN certificate_requests.workflow_id IS 'workflows.id in clm_core_db that the request went through.';
COMMENT ON COLUMN certificate_requests.idempotency_key_sha256 IS 'Hash of the idempotency key with its scope; the same key makes no second request.';
COMMENT ON COLUMN certificate_requests.request_sha256 IS 'Hash of the body that came with the key; another body under the same key is refused.';
COMMENT ON COLUMN certificate_requests.failure_code IS 'Stable code of the reason of a failure; null otherwise.';
COMMENT ON COLUMN certificate_requests.failure_message IS 'The same reason for people.';
COMMENT ON COLUMN certificate_requests.revision IS 'Counts up with each change; carried in events.';
COMMENT ON COLUMN certificate_requests.submitted_at IS 'When it left draft.';
COMMENT ON COLUMN certificate_requests.approved_at IS 'When it was approved.';
COMMENT ON COLUMN certificate_requests.fulfilled_at IS 'When its certificate was committed.';
COMMENT ON COLUMN certificate_requests.expires_at IS 'When an undecided request lapses.';
COMMENT ON COLUMN certificate_requests.created_at IS 'When the row was made.';
COMMENT ON COLUMN certificate_requests.updated_at IS 'When the row last changed; set by trigger.';
COMMENT ON COLUMN certificate_requests.deleted_at IS 'Soft delete; null for live rows.';

-- Idempotent retry: arbiter of ON CONFLICT, and the look-up of what the first attempt made.
CREATE UNIQUE INDEX IF NOT EXISTS ux_certificate_requests_organization_id_idempotency_key_sha256
    ON certificate_requests (organization_id, idempotency_key_sha256) WHERE idempotency_key_sha256 IS NOT NULL;
-- Open requests of an organization. Finished ones are left out: issuance at once never touches this index;
-- their list walks (organization_id, id) backwards.
CREATE INDEX IF NOT EXISTS ix_certificate_requests_organization_id_status_id ON certificate_requests (organization_id, status, id DESC)
    WHERE deleted_at IS NULL AND status IN ('draft', 'pending', 'approved', 'issuing');
-- What waits at an issuer that is being suspended. Foreign key (issuers are never deleted, so open rows suffice).
CREATE INDEX IF NOT EXISTS ix_certificate_requests_issuer_id ON certificate_requests (issuer_id)
    WHERE deleted_at IS NULL AND status IN ('draft', 'pending', 'approved', 'issuing');
-- Scheduler: requests that lapse, over all organizations.
CREATE INDEX IF NOT EXISTS ix_certificate_requests_expires_at ON certificate_requests (expires_at)
    WHERE deleted_at IS NULL AND status IN ('draft', 'pending', 'approved');

-- ---------------------------------------------------------------------------------------------------------
-- certificates
-- ---------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS certificates (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    certificate_type text NOT NULL,
    status text NOT NULL,
    issuer_id uuid NULL,
    certificate_request_id uuid NULL,
    private_key_id uuid NULL,
    serial_number bytea NOT NULL,
    subject text NOT NULL,
    common_name text NULL,
    subject_alternative_names text[] NOT NULL DEFAULT '{}',
    certificate_der bytea NOT NULL,
    fingerprint_sha256 bytea NOT NULL,
    spki_sha256 bytea NOT NULL,
    tbs_sha256 bytea NOT NULL,
    key_algorithm text NOT NULL,
    signature_algorithm text NOT NULL,
    not_before timestamptz NOT NULL,
    not_after timestamptz NOT NULL,
    -- Two thirds into the lifetime. A stored column, because under row-level security an expression over
    -- functions that are not leakproof would lose its index. The detour by UTC keeps it immutable.
    expiring_at timestamptz NOT NULL GENERATED ALWAYS AS
        (((not_before AT TIME ZONE 'UTC') + (not_after - not_before) * 2 / 3) AT TIME ZONE 'UTC') STORED,
    owner_user_id uuid NULL,
    policy_id uuid NULL,
    workflow_id uuid NULL,
    replaces_certificate_id uuid NULL,
    revoked_at timestamptz NULL,
    revision bigint NOT NULL DEFAULT 1,
    issuance_context jsonb NOT NULL DEFAULT '{}',
    issued_event_id uuid NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz NULL,
    CONSTRAINT pk_certificates PRIMARY KEY (id),
    -- Target of composite foreign keys, and the keyset order of every list.
    CONSTRAINT ux_certificates_organization_id_id UNIQUE (organization_id, id),
    -- Plain: the issuer may belong to the system organization.
    CONSTRAINT fk_certificates_issuer FOREIGN KEY (issuer_id) REFERENCES issuers (id),
    CONSTRAINT fk_certificates_certificate_request FOREIGN KEY (organization_id, certificate_request_id)
        REFERENCES certificate_requests (organization_id, id),
    CONSTRAINT fk_certificates_private_key FOREIGN KEY (organization_id, private_key_id)
        REFERENCES private_keys (organization_id, id),
    CONSTRAINT fk_certificates_replaces_certificate FOREIGN KEY (organization_id, replaces_certificate_id)
        REFERENCES certificates (organization_id, id),
    CONSTRAINT ck_certificates_certificate_type CHECK (certificate_type IN
        ('root', 'intermediate', 'leaf', 'client', 'server', 'code_signing', 'email')),
    CONSTRAINT ck_certificates_status CHECK (status IN ('pending', 'active', 'expiring', 'expired', 'revoked', 'suspended')),
    -- RFC 5280 §4.1.2.2: positive, at most 20 octets as a DER INTEGER (so no high bit when all 20 are used).
    -- Foreign certificates may carry the serial number zero: one octet of 0.
    CONSTRAINT ck_certificates_serial_number CHECK (
        octet_length(serial_number) BETWEEN 1 AND 20
        AND CASE
            WHEN issuer_id IS NOT NULL THEN
                get_byte(serial_number, 0) <> 0 AND (octet_length(serial_number) < 20 OR get_byte(serial_number, 0) < 128)
            ELSE
                get_byte(serial_number, 0) <> 0 OR octet_length(serial_number) = 1
        END),
    CONSTRAINT ck_certificates_subject CHECK (length(subject) <= 16384),
    CONSTRAINT ck_certificates_common_name CHECK (length(common_name) <= 4096),
    CONSTRAINT ck_certificates_certificate_der CHECK (octet_length(certificate_der) BETWEEN 1 AND 262144),
    CONSTRAINT ck_certificates_fingerprint_sha256 CHECK (octet_length(fingerprint_sha256) = 32),
    CONSTRAINT ck_certificates_spki_sha256 CHECK (octet_length(spki_sha256) = 32),
    CONSTRAINT ck_certificates_tbs_sha256 CHECK (octet_length(tbs_sha256) = 32),
    CONSTRAINT ck_certificates_key_algorithm CHECK (length(key_algorithm) BETWEEN 1 AND 64),
    CONSTRAINT ck_certificates_signature_algorithm CHECK (length(signature_algorithm) BETWEEN 1 AND 64),
    CONSTRAINT ck_certificates_validity CHECK (not_after > not_before),
    CONSTRAINT ck_certificates_not_own_replacement CHECK (replaces_certificate_id <> id),
    CONSTRAINT ck_certificates_revoked_at CHECK (status <> 'revoked' OR revoked_at IS NOT NULL),
    CONSTRAINT ck_certificates_revision CHECK (revision > 0),
    CONSTRAINT ck_certificates_issuance_context CHECK (jsonb_typeof(issuance_context) = 'object')
);

COMMENT ON TABLE certificates IS '[tenant] Every certificate that the platform issued, imported or discovered. The truth about them; clm_core_db holds a projection.';
COMMENT ON COLUMN certificates.id IS 'Primary key; UUIDv7 made by the program.';
COMMENT ON COLUMN certificates.organization_id IS 'Owning organization; the system organization for certificates of shared CAs.';
COMMENT ON COLUMN certificates.certificate_type IS 'root, intermediate, leaf, client, server, code_signing or email.';
COMMENT ON COLUMN certificates.status IS 'pending, active, expiring (last third of its lifetime), expired, revoked, suspended (on hold).';
COMMENT ON COLUMN certificates.issuer_id IS 'The issuer of ours that signed it, a root''s own for a root; null for foreign certificates.';
COMMENT ON COLUMN certificates.certificate_request_id IS 'The request that it answers; null for imported ones.';
COMMENT ON COLUMN certificates.private_key_id IS 'Its key when the platform holds it.';
COMMENT ON COLUMN certificates.serial_number IS 'Unsigned big-endian, without leading zero octets.';
COMMENT ON COLUMN certificates.subject IS 'Distinguished name as text (RFC 4514); may be empty.';
COMMENT ON COLUMN certificates.common_name IS 'Common name of the subject; null when it has none.';
COMMENT ON COLUMN certificates.subject_alternative_names IS 'Names with their kind in front, e.g. DNS:www.example.org.';
COMMENT ON COLUMN certificates.certificate_der IS 'The certificate. PEM and chain are derived, never stored.';
COMMENT ON COLUMN certificates.fingerprint_sha256 IS 'SHA-256 of certificate_der.';
COMMENT ON COLUMN certificates.spki_sha256 IS 'SHA-256 of the SubjectPublicKeyInfo: finds every certificate of a key.';
COMMENT ON COLUMN certificates.tbs_sha256 IS 'SHA-256 of the to-be-signed part: what was judged, linted and signed.';
COMMENT ON COLUMN certificates.key_algorithm IS 'Algorithm and size of the subject key.';
COMMENT ON COLUMN certificates.signature_algorithm IS 'Algorithm of the signature on it.';
COMMENT ON COLUMN certificates.not_before IS 'Start of validity.';
COMMENT ON COLUMN certificates.not_after IS 'End of validity, inclusive (RFC 5280 §4.1.2.5).';
COMMENT ON COLUMN certificates.expiring_at IS 'Generated: the moment from which less than a third of the lifetime is left.';
COMMENT ON COLUMN certificates.owner_user_id IS 'users.id in clm_core_db of the responsible person.';
COMMENT ON COLUMN certificates.policy_id IS 'policies.id in clm_core_db that governed the issuance.';
COMMENT ON COLUMN certificates.workflow_id IS 'workflows.id in clm_core_db that led here.';
COMMENT ON COLUMN certificates.replaces_certificate_id IS 'The certificate that this one renews or rekeys.';
COMMENT ON COLUMN certificates.revoked_at IS 'When it was revoked or put on hold; the details are in certificate_revocations.';
COMMENT ON COLUMN certificates.revision IS 'Counts up with each change; carried in events.';
COMMENT ON COLUMN certificates.issuance_context IS 'What the projection in clm_core_db needs beside the certificate: tags, environment, notes.';
COMMENT ON COLUMN certificates.issued_event_id IS 'Id of the outbox event that announced it.';
COMMENT ON COLUMN certificates.created_at IS 'When the row was made.';
COMMENT ON COLUMN certificates.updated_at IS 'When the row last changed; set by trigger.';
COMMENT ON COLUMN certificates.deleted_at IS 'Soft delete; null for live rows.';

-- OCSP and CRL: by issuer and serial number. For ever, deleted rows included: a serial number is never used twice.
-- It crosses tenants, but only we choose serial numbers, so that it tells nobody anything. Also serves the foreign key.
CREATE UNIQUE INDEX IF NOT EXISTS ux_certificates_issuer_id_serial_number ON certificates (issuer_id, serial_number)
    WHERE issuer_id IS NOT NULL;
-- Import and discovery: is this certificate known here?
CREATE UNIQUE INDEX IF NOT EXISTS ux_certificates_organization_id_fingerprint_sha256
    ON certificates (organization_id, fingerprint_sha256) WHERE deleted_at IS NULL;
-- The answer to a request, and the guarantee that a request has only one. Also serves the foreign key.
CREATE UNIQUE INDEX IF NOT EXISTS ux_certificates_organization_id_certificate_request_id
    ON certificates (organization_id, certificate_request_id) WHERE certificate_request_id IS NOT NULL;
-- Key compromise: every certificate that carries a public key.
CREATE INDEX IF NOT EXISTS ix_certificates_organization_id_spki_sha256 ON certificates (organization_id, spki_sha256);
-- Which certificates use a key of ours (export, deletion). Also serves the foreign key.
CREATE INDEX IF NOT EXISTS ix_certificates_organization_id_private_key_id ON certificates (organization_id, private_key_id)
    WHERE private_key_id IS NOT NULL;
-- Successor of a certificate. Also serves the foreign key.
CREATE INDEX IF NOT EXISTS ix_certificates_organization_id_replaces_certificate_id
    ON certificates (organization_id, replaces_certificate_id) WHERE replaces_certificate_id IS NOT NULL;
-- An organization's certificates by status, soonest renewal first; expiring_certificates.
CREATE INDEX IF NOT EXISTS ix_certificates_organization_id_status_expiring_at ON certificates (organization_id, status, expiring_at)
    WHERE deleted_at IS NULL;
-- Scheduler, all organizations: active -> expiring, then expiring -> expired. Rows leave as their status moves on.
CREATE INDEX IF NOT EXISTS ix_certificates_expiring_at ON certificates (expiring_at)
    WHERE deleted_at IS NULL AND status = 'active';
CREATE INDEX IF NOT EXISTS ix_certificates_not_after ON certificates (not_after)
    WHERE deleted_at IS NULL AND status = 'expiring';

-- The issuer and its certificate refer to each other. Deferred, so that a root and its certificate can be
-- inserted in either order within one transaction.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'public.issuers'::regclass AND conname = 'fk_issuers_certificate') THEN
        ALTER TABLE issuers ADD CONSTRAINT fk_issuers_certificate FOREIGN KEY (organization_id, certificate_id)
            REFERENCES certificates (organization_id, id) DEFERRABLE INITIALLY DEFERRED;
    END IF;
END
$$;

-- ---------------------------------------------------------------------------------------------------------
-- certificate_revocations
-- ---------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS certificate_revocations (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    certificate_id uuid NOT NULL,
    issuer_id uuid NOT NULL,
    serial_number bytea NOT NULL,
    revocation_reason text NOT NULL,
    revoked_at timestamptz NOT NULL,
    invalidity_date timestamptz NULL,
    revoked_by_user_id uuid NULL,
    comment text NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_certificate_revocations PRIMARY KEY (id),
    -- One row per certificate; a second revocation is the first one again. Also serves the foreign key.
    CONSTRAINT ux_certificate_revocations_organization_id_certificate_id UNIQUE (organization_id, certificate_id),
    CONSTRAINT fk_certificate_revocations_certificate FOREIGN KEY (organization_id, certificate_id)
        REFERENCES certificates (organization_id, id),
    CONSTRAINT fk_certificate_revocations_issuer FOREIGN KEY (issuer_id) REFERENCES issuers (id),
    CONSTRAINT ck_certificate_revocations_serial_number CHECK (octet_length(serial_number) BETWEEN 1 AND 20),
    CONSTRAINT ck_certificate_revocations_revocation_reason CHECK (revocation_reason IN
        ('unspecified', 'key_compromise', 'ca_compromise', 'affiliation_changed', 'superseded',
         'cessation_of_operation', 'certificate_hold', 'remove_from_crl', 'privilege_withdrawn', 'aa_compromise')),
    CONSTRAINT ck_certificate_revocations_comment CHECK (length(comment) <= 4096)
);

COMMENT ON TABLE certificate_revocations IS '[tenant] Revocations of certificates that we issued: what CRLs and OCSP answers are made of.';
COMMENT ON COLUMN certificate_revocations.id IS 'Primary key; UUIDv7 made by the program.';
COMMENT ON COLUMN certificate_revocations.organization_id IS 'Owning organization, the certificate''s.';
COMMENT ON COLUMN certificate_revocations.certificate_id IS 'The revoked certificate.';
COMMENT ON COLUMN certificate_revocations.issuer_id IS 'Its issuer, repeated so that a CRL reads one index.';
COMMENT ON COLUMN certificate_revocations.serial_number IS 'Its serial number, repeated for the same reason.';
COMMENT ON COLUMN certificate_revocations.revocation_reason IS 'RFC 5280 §5.3.1. certificate_hold may change later: to a final reason, or to remove_from_crl when the hold ends (then a complete CRL omits the row).';
COMMENT ON COLUMN certificate_revocations.revoked_at IS 'Revocation date of the CRL entry.';
COMMENT ON COLUMN certificate_revocations.invalidity_date IS 'Since when the key is believed compromised (RFC 5280 §5.3.2).';
COMMENT ON COLUMN certificate_revocations.revoked_by_user_id IS 'users.id in clm_core_db; null when a machine or the platform revoked it.';
COMMENT ON COLUMN certificate_revocations.comment IS 'Explanation for people; never published.';
COMMENT ON COLUMN certificate_revocations.created_at IS 'When the row was made.';
COMMENT ON COLUMN certificate_revocations.updated_at IS 'When the row last changed (end of a hold); set by trigger.';

-- CRL (all of an issuer, in serial order) and OCSP (one serial), both from the index alone. Also serves the foreign key.
CREATE UNIQUE INDEX IF NOT EXISTS ux_certificate_revocations_issuer_id_serial_number
    ON certificate_revocations (issuer_id, serial_number) INCLUDE (revoked_at, revocation_reason, invalidity_date);

-- The repeated columns are the certificate's, or a CRL would revoke another one. A foreign key over them would cost the
-- certificates one more index, which every issuance would pay for; revocations are few.
CREATE OR REPLACE FUNCTION check_revoked_certificate() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM public.certificates c
        WHERE c.organization_id = NEW.organization_id AND c.id = NEW.certificate_id
          AND c.issuer_id = NEW.issuer_id AND c.serial_number = NEW.serial_number
    ) THEN
        RAISE EXCEPTION 'certificate % is not of this issuer with this serial number', NEW.certificate_id
            USING ERRCODE = 'foreign_key_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION check_revoked_certificate() IS 'Row trigger: issuer and serial number of a revocation are those of its certificate.';

DROP TRIGGER IF EXISTS trg_certificate_revocations_certificate ON certificate_revocations;
CREATE TRIGGER trg_certificate_revocations_certificate
    BEFORE INSERT OR UPDATE OF organization_id, certificate_id, issuer_id, serial_number ON certificate_revocations
    FOR EACH ROW EXECUTE FUNCTION check_revoked_certificate();

-- ---------------------------------------------------------------------------------------------------------
-- key_rotation_history
-- ---------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS key_rotation_history (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    key_type text NOT NULL DEFAULT 'data',
    rotation_type text NOT NULL,
    status text NOT NULL DEFAULT 'in_progress',
    old_encryption_key_id uuid NOT NULL,
    new_encryption_key_id uuid NULL,
    initiated_by_user_id uuid NULL,
    reason text NULL,
    items_total bigint NOT NULL DEFAULT 0,
    items_processed bigint NOT NULL DEFAULT 0,
    items_failed bigint NOT NULL DEFAULT 0,
    items_rolled_back bigint NOT NULL DEFAULT 0,
    items_per_second_max integer NULL,
    cursor_private_key_id uuid NULL,
    pass_started_at timestamptz NULL,
    next_batch_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz NOT NULL DEFAULT now(),
    rollback_started_at timestamptz NULL,
    completed_at timestamptz NULL,
    error_message text NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_key_rotation_history PRIMARY KEY (id),
    -- Target of the composite foreign key of what a compromise exposed, and the keyset order of the list.
    CONSTRAINT ux_key_rotation_history_organization_id_id UNIQUE (organization_id, id),
    CONSTRAINT fk_key_rotation_history_old_encryption_key FOREIGN KEY (organization_id, old_encryption_key_id)
        REFERENCES encryption_keys (organization_id, id),
    CONSTRAINT fk_key_rotation_history_new_encryption_key FOREIGN KEY (organization_id, new_encryption_key_id)
        REFERENCES encryption_keys (organization_id, id),
    CONSTRAINT ck_key_rotation_history_key_type CHECK (key_type IN ('master', 'data', 'session', 'hmac')),
    CONSTRAINT ck_key_rotation_history_rotation_type CHECK (rotation_type IN ('scheduled', 'emergency', 'compromise', 'manual')),
    CONSTRAINT ck_key_rotation_history_status CHECK (status IN ('in_progress', 'completed', 'failed', 'rolled_back')),
    CONSTRAINT ck_key_rotation_history_different_keys CHECK (old_encryption_key_id <> new_encryption_key_id),
    CONSTRAINT ck_key_rotation_history_items CHECK
        (items_total >= 0 AND items_processed >= 0 AND items_failed >= 0 AND items_rolled_back >= 0),
    CONSTRAINT ck_key_rotation_history_items_per_second_max CHECK (items_per_second_max > 0),
    CONSTRAINT ck_key_rotation_history_rolled_back CHECK (status <> 'rolled_back' OR rollback_started_at IS NOT NULL),
    CONSTRAINT ck_key_rotation_history_completed CHECK (
        (status = 'in_progress') = (completed_at IS NULL)
        AND (status <> 'completed' OR new_encryption_key_id IS NOT NULL)),
    CONSTRAINT ck_key_rotation_history_times CHECK (completed_at >= started_at),
    CONSTRAINT ck_key_rotation_history_reason CHECK (length(reason) <= 4096),
    CONSTRAINT ck_key_rotation_history_error_message CHECK (length(error_message) <= 4096)
);

COMMENT ON TABLE key_rotation_history IS '[tenant] Rotations of encryption keys, running and finished. Master rotations belong to the system organization.';
COMMENT ON COLUMN key_rotation_history.id IS 'Primary key; UUIDv7 made by the program.';
COMMENT ON COLUMN key_rotation_history.organization_id IS 'Owning organization, that of both keys.';
COMMENT ON COLUMN key_rotation_history.key_type IS 'What kind of key is rotated, as in encryption_keys.';
COMMENT ON COLUMN key_rotation_history.rotation_type IS 'scheduled, emergency, compromise or manual.';
COMMENT ON COLUMN key_rotation_history.status IS 'in_progress, completed, failed or rolled_back.';
COMMENT ON COLUMN key_rotation_history.old_encryption_key_id IS 'The key version that is left.';
COMMENT ON COLUMN key_rotation_history.new_encryption_key_id IS 'The key version that takes over; null until it exists.';
COMMENT ON COLUMN key_rotation_history.initiated_by_user_id IS 'users.id in clm_core_db; null when the scheduler began it.';
COMMENT ON COLUMN key_rotation_history.reason IS 'Why, in words.';
COMMENT ON COLUMN key_rotation_history.items_total IS 'Secrets to seal anew, counted at the start; more when others were sealed under the old key after that.';
COMMENT ON COLUMN key_rotation_history.items_processed IS 'Secrets sealed anew under the new key so far.';
COMMENT ON COLUMN key_rotation_history.items_failed IS 'Secrets that the last pass could not open; they stay under the key that sealed them.';
COMMENT ON COLUMN key_rotation_history.items_rolled_back IS 'Secrets sealed anew under the old key after a cancellation, those that were new since the start included.';
COMMENT ON COLUMN key_rotation_history.items_per_second_max IS 'Most secrets sealed anew in a second; null for as fast as possible.';
COMMENT ON COLUMN key_rotation_history.cursor_private_key_id IS 'The last private key or secret that this pass has dealt with; null before its first batch. Resuming goes on behind it.';
COMMENT ON COLUMN key_rotation_history.pass_started_at IS 'When this pass over the keys began; null before the first batch.';
COMMENT ON COLUMN key_rotation_history.next_batch_at IS 'No batch is begun before this moment: the throttle, and the wait before the last pass.';
COMMENT ON COLUMN key_rotation_history.started_at IS 'When it began.';
COMMENT ON COLUMN key_rotation_history.rollback_started_at IS 'When it was cancelled: since then the old key is active again and secrets move back; null otherwise.';
COMMENT ON COLUMN key_rotation_history.completed_at IS 'When it ended, well or not; null while it runs.';
COMMENT ON COLUMN key_rotation_history.error_message IS 'What went wrong, without secrets.';
COMMENT ON COLUMN key_rotation_history.created_at IS 'When the row was made.';
COMMENT ON COLUMN key_rotation_history.updated_at IS 'When the row last changed; set by trigger.';

-- One rotation at a time of each kind of key: decides between two that are started at once.
CREATE UNIQUE INDEX IF NOT EXISTS ux_key_rotation_history_organization_id_key_type
    ON key_rotation_history (organization_id, key_type) WHERE status = 'in_progress';
-- Worker: what is due, over all organizations, FOR UPDATE SKIP LOCKED. Resuming after a crash finds it here.
CREATE INDEX IF NOT EXISTS ix_key_rotation_history_next_batch_at ON key_rotation_history (next_batch_at)
    WHERE status = 'in_progress';
-- History of a key, from either end. Foreign keys.
CREATE INDEX IF NOT EXISTS ix_key_rotation_history_organization_id_old_encryption_key_id
    ON key_rotation_history (organization_id, old_encryption_key_id);
CREATE INDEX IF NOT EXISTS ix_key_rotation_history_organization_id_new_encryption_key_id
    ON key_rotation_history (organization_id, new_encryption_key_id);

-- What a compromise exposed names its rotation.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint
                   WHERE conrelid = 'public.private_keys'::regclass AND conname = 'fk_private_keys_compromised_by_rotation') THEN
        ALTER TABLE private_keys ADD CONSTRAINT fk_private_keys_compromised_by_rotation
            FOREIGN KEY (organization_id, compromised_by_rotation_id) REFERENCES key_rotation_history (organization_id, id);
    END IF;
END
$$;

-- ---------------------------------------------------------------------------------------------------------
-- sealed_secrets, second factors and the proofs that come of them
-- ---------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS sealed_secrets (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    purpose text NOT NULL,
    owner_id uuid NOT NULL,
    encrypted_secret bytea NULL,
    encryption_key_id uuid NULL,
    encryption_algorithm text NULL,
    encryption_iv bytea NULL,
    encryption_auth_tag bytea NULL,
    compromised_by_rotation_id uuid NULL,
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz NULL,
    CONSTRAINT pk_sealed_secrets PRIMARY KEY (id),
    CONSTRAINT ux_sealed_secrets_organization_id_id UNIQUE (organization_id, id),
    CONSTRAINT fk_sealed_secrets_encryption_key FOREIGN KEY (organization_id, encryption_key_id)
        REFERENCES encryption_keys (organization_id, id),
    CONSTRAINT fk_sealed_secrets_compromised_by_rotation FOREIGN KEY (organization_id, compromised_by_rotation_id)
        REFERENCES key_rotation_history (organization_id, id),
    CONSTRAINT ck_sealed_secrets_purpose CHECK (purpose IN ('totp', 'webhook', 'connector')),
    -- A secret that was destroyed is gone, not hidden.
    CONSTRAINT ck_sealed_secrets_sealed_or_destroyed CHECK (
        CASE
            WHEN deleted_at IS NULL THEN
                encrypted_secret IS NOT NULL AND encryption_key_id IS NOT NULL AND encryption_algorithm IS NOT NULL
                AND encryption_iv IS NOT NULL AND encryption_auth_tag IS NOT NULL
            ELSE
                encrypted_secret IS NULL AND encryption_key_id IS NULL AND encryption_algorithm IS NULL
                AND encryption_iv IS NULL AND encryption_auth_tag IS NULL
        END),
    CONSTRAINT ck_sealed_secrets_encrypted_secret CHECK (octet_length(encrypted_secret) BETWEEN 1 AND 16384),
    CONSTRAINT ck_sealed_secrets_encryption_algorithm CHECK (length(encryption_algorithm) BETWEEN 1 AND 64),
    CONSTRAINT ck_sealed_secrets_encryption_iv CHECK (octet_length(encryption_iv) = 12),
    CONSTRAINT ck_sealed_secrets_encryption_auth_tag CHECK (octet_length(encryption_auth_tag) = 16),
    CONSTRAINT ck_sealed_secrets_revision CHECK (revision > 0)
);

COMMENT ON TABLE sealed_secrets IS '[tenant] Secrets that the core works with and does not hold: it knows their ids. Sealed anew by rotations like private keys.';
COMMENT ON COLUMN sealed_secrets.id IS 'Primary key; UUIDv7. Part of the additional data of the seal.';
COMMENT ON COLUMN sealed_secrets.organization_id IS 'Owning organization.';
COMMENT ON COLUMN sealed_secrets.purpose IS 'totp and webhook are only used by the Secure Service; connector may be opened. Part of the additional data of the seal.';
COMMENT ON COLUMN sealed_secrets.owner_id IS 'What it belongs to in clm_core_db: a user, a webhook, a connector.';
COMMENT ON COLUMN sealed_secrets.encrypted_secret IS 'The secret, sealed; null once it was destroyed.';
COMMENT ON COLUMN sealed_secrets.encryption_key_id IS 'The data key version that sealed it, of the same organization; null once it was destroyed.';
COMMENT ON COLUMN sealed_secrets.encryption_algorithm IS 'Algorithm of the seal, e.g. AES-256-GCM.';
COMMENT ON COLUMN sealed_secrets.encryption_iv IS 'Nonce of the seal, 12 octets.';
COMMENT ON COLUMN sealed_secrets.encryption_auth_tag IS 'GCM tag of the seal, 16 octets.';
COMMENT ON COLUMN sealed_secrets.compromised_by_rotation_id IS 'The rotation that left a compromised data key under which this secret was sealed; null when it never was.';
COMMENT ON COLUMN sealed_secrets.revision IS 'Counts up with each change that a rotation did not make.';
COMMENT ON COLUMN sealed_secrets.created_at IS 'When the row was made.';
COMMENT ON COLUMN sealed_secrets.updated_at IS 'When the row last changed; set by trigger.';
COMMENT ON COLUMN sealed_secrets.deleted_at IS 'When the secret was destroyed; null while it is there.';

-- Rotation: what is still sealed under a key version, in keyset order. Also serves the foreign key.
CREATE INDEX IF NOT EXISTS ix_sealed_secrets_organization_id_encryption_key_id_id
    ON sealed_secrets (organization_id, encryption_key_id, id) WHERE encryption_key_id IS NOT NULL;
-- What a compromise exposed, in keyset order. Also serves the foreign key.
CREATE INDEX IF NOT EXISTS ix_sealed_secrets_organization_id_compromised_by_rotation_id_id
    ON sealed_secrets (organization_id, compromised_by_rotation_id, id) WHERE compromised_by_rotation_id IS NOT NULL;

DROP TRIGGER IF EXISTS trg_sealed_secrets_encryption_key ON sealed_secrets;
CREATE TRIGGER trg_sealed_secrets_encryption_key AFTER INSERT ON sealed_secrets
    FOR EACH ROW WHEN (NEW.encryption_key_id IS NOT NULL) EXECUTE FUNCTION check_encryption_key_opens();

CREATE TABLE IF NOT EXISTS totp_factors (
    sealed_secret_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    last_step bigint NULL,
    failures integer NOT NULL DEFAULT 0,
    locked_until timestamptz NULL,
    expires_at timestamptz NULL,
    activated_at timestamptz NULL,
    backup_codes_sha256 bytea[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz NULL,
    CONSTRAINT pk_totp_factors PRIMARY KEY (sealed_secret_id),
    CONSTRAINT fk_totp_factors_sealed_secret FOREIGN KEY (organization_id, sealed_secret_id)
        REFERENCES sealed_secrets (organization_id, id),
    CONSTRAINT ck_totp_factors_status CHECK (status IN ('pending', 'active')),
    CONSTRAINT ck_totp_factors_active CHECK ((status = 'active') = (activated_at IS NOT NULL)),
    CONSTRAINT ck_totp_factors_pending CHECK ((status = 'pending') = (expires_at IS NOT NULL)),
    CONSTRAINT ck_totp_factors_failures CHECK (failures >= 0),
    CONSTRAINT ck_totp_factors_backup_codes_sha256 CHECK (cardinality(backup_codes_sha256) <= 10)
);

COMMENT ON TABLE totp_factors IS '[tenant] Second factors (RFC 6238), in the home organization of their user, which codes were used, and how often a wrong one came.';
COMMENT ON COLUMN totp_factors.sealed_secret_id IS 'Primary key; the secret, of purpose totp.';
COMMENT ON COLUMN totp_factors.organization_id IS 'The home organization of the user.';
COMMENT ON COLUMN totp_factors.user_id IS 'users.id in clm_core_db.';
COMMENT ON COLUMN totp_factors.status IS 'pending until a first code proves that the user has the secret, then active.';
COMMENT ON COLUMN totp_factors.last_step IS 'The time step of the last code that was accepted; only a later one is accepted after it (RFC 6238 §5.2).';
COMMENT ON COLUMN totp_factors.failures IS 'Wrong codes since the last right one.';
COMMENT ON COLUMN totp_factors.locked_until IS 'No code is judged before this moment; null when none was locked out.';
COMMENT ON COLUMN totp_factors.expires_at IS 'Until when a pending one may be activated; null for an active one.';
COMMENT ON COLUMN totp_factors.activated_at IS 'When the first code was accepted; null while it is pending.';
COMMENT ON COLUMN totp_factors.backup_codes_sha256 IS 'SHA-256 of the codes that still stand for one of the device; each has 80 random bits and is taken out when it is used.';
COMMENT ON COLUMN totp_factors.created_at IS 'When the row was made.';
COMMENT ON COLUMN totp_factors.updated_at IS 'When the row last changed; set by trigger.';
COMMENT ON COLUMN totp_factors.deleted_at IS 'When it was removed or replaced; null while it is there.';

-- One for each user, in whatever organization: a second one elsewhere would be a way round the first.
CREATE UNIQUE INDEX IF NOT EXISTS ux_totp_factors_user_id ON totp_factors (user_id) WHERE deleted_at IS NULL;
-- Foreign key.
CREATE INDEX IF NOT EXISTS ix_totp_factors_organization_id_sealed_secret_id ON totp_factors (organization_id, sealed_secret_id);
-- Upkeep: pending ones whose time is over, over all organizations.
CREATE INDEX IF NOT EXISTS ix_totp_factors_expires_at ON totp_factors (expires_at)
    WHERE status = 'pending' AND deleted_at IS NULL;

CREATE TABLE IF NOT EXISTS step_up_proofs (
    proof_sha256 bytea NOT NULL,
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    session_id uuid NOT NULL,
    request_sha256 bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_step_up_proofs PRIMARY KEY (proof_sha256),
    CONSTRAINT ck_step_up_proofs_proof_sha256 CHECK (octet_length(proof_sha256) = 32),
    CONSTRAINT ck_step_up_proofs_request_sha256 CHECK (octet_length(request_sha256) = 32),
    CONSTRAINT ck_step_up_proofs_expires_at CHECK (expires_at > created_at)
);

COMMENT ON TABLE step_up_proofs IS '[tenant] That a user has just given a code for one request. Short-lived; the proof itself is not here.';
COMMENT ON COLUMN step_up_proofs.proof_sha256 IS 'Primary key; SHA-256 of the proof, which has 256 random bits.';
COMMENT ON COLUMN step_up_proofs.organization_id IS 'The home organization of the user.';
COMMENT ON COLUMN step_up_proofs.user_id IS 'users.id in clm_core_db: who may use it.';
COMMENT ON COLUMN step_up_proofs.session_id IS 'sessions.id in clm_core_db: in which session.';
COMMENT ON COLUMN step_up_proofs.request_sha256 IS 'The only command that it is good for.';
COMMENT ON COLUMN step_up_proofs.expires_at IS 'Until when it may be used.';
COMMENT ON COLUMN step_up_proofs.used_at IS 'When it was used; null while it was not.';
COMMENT ON COLUMN step_up_proofs.created_at IS 'When it was given out.';

-- Upkeep: what has expired, over all organizations.
CREATE INDEX IF NOT EXISTS ix_step_up_proofs_expires_at ON step_up_proofs (expires_at);

-- ---------------------------------------------------------------------------------------------------------
-- outbox and inbox
-- ---------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS outbox (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    aggregate_type text NOT NULL,
    aggregate_id uuid NOT NULL,
    revision bigint NOT NULL,
    event_type text NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    available_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    last_error text NULL,
    CONSTRAINT pk_outbox PRIMARY KEY (id),
    CONSTRAINT ck_outbox_aggregate_type CHECK (length(aggregate_type) BETWEEN 1 AND 64),
    CONSTRAINT ck_outbox_event_type CHECK (length(event_type) BETWEEN 1 AND 128),
    CONSTRAINT ck_outbox_revision CHECK (revision > 0),
    CONSTRAINT ck_outbox_payload CHECK (jsonb_typeof(payload) = 'object'),
    CONSTRAINT ck_outbox_attempts CHECK (attempts >= 0),
    CONSTRAINT ck_outbox_last_error CHECK (length(last_error) <= 4096)
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);  -- a queue: dead rows pile up at its head

COMMENT ON TABLE outbox IS '[global] Events for clm_core_db, written with the change that they tell of; deleted once acknowledged.';
COMMENT ON COLUMN outbox.id IS 'Primary key and event id; UUIDv7 made by the program. The receiver''s inbox knows it.';
COMMENT ON COLUMN outbox.organization_id IS 'Organization that the event concerns.';
COMMENT ON COLUMN outbox.aggregate_type IS 'What changed, e.g. certificate.';
COMMENT ON COLUMN outbox.aggregate_id IS 'Which one.';
COMMENT ON COLUMN outbox.revision IS 'Revision of the aggregate after the change; the receiver applies only higher ones.';
COMMENT ON COLUMN outbox.event_type IS 'What happened, e.g. certificate.issued.';
COMMENT ON COLUMN outbox.payload IS 'Everything that the receiver needs; never a secret.';
COMMENT ON COLUMN outbox.created_at IS 'When it was written.';
COMMENT ON COLUMN outbox.available_at IS 'The relay ignores it before this moment (the direct reply comes first; retries back off).';
COMMENT ON COLUMN outbox.attempts IS 'Deliveries tried.';
COMMENT ON COLUMN outbox.last_error IS 'Why the last delivery failed.';

-- Relay: what is due, oldest first, FOR UPDATE SKIP LOCKED.
CREATE INDEX IF NOT EXISTS ix_outbox_available_at_id ON outbox (available_at, id);

CREATE TABLE IF NOT EXISTS inbox (
    event_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    event_type text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_inbox PRIMARY KEY (event_id),
    CONSTRAINT ck_inbox_event_type CHECK (length(event_type) BETWEEN 1 AND 128)
);

COMMENT ON TABLE inbox IS '[global] Events of clm_core_db that were applied here, so that a second delivery changes nothing.';
COMMENT ON COLUMN inbox.event_id IS 'Primary key: the id of the event in the sender''s outbox.';
COMMENT ON COLUMN inbox.organization_id IS 'Organization that the event concerns.';
COMMENT ON COLUMN inbox.event_type IS 'What happened.';
COMMENT ON COLUMN inbox.received_at IS 'When it was applied.';

-- Purge of old entries.
CREATE INDEX IF NOT EXISTS ix_inbox_received_at ON inbox (received_at);

-- ---------------------------------------------------------------------------------------------------------
-- transport_authorities, transport_peers: who may call from another process
-- ---------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS transport_authorities (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    private_key_id uuid NOT NULL,
    certificate_der bytea NOT NULL,
    not_after timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz NULL,
    CONSTRAINT pk_transport_authorities PRIMARY KEY (id),
    CONSTRAINT fk_transport_authorities_private_key FOREIGN KEY (organization_id, private_key_id)
        REFERENCES private_keys (organization_id, id),
    CONSTRAINT ck_transport_authorities_certificate_der CHECK (octet_length(certificate_der) BETWEEN 1 AND 65536),
    CONSTRAINT ck_transport_authorities_not_after CHECK (not_after > created_at)
);

COMMENT ON TABLE transport_authorities IS '[tenant] The authority that certifies the programs which call this service from other processes. Apart from issuers and certificates, so that no command can name it.';
COMMENT ON COLUMN transport_authorities.id IS 'Primary key; UUIDv7 made by the program.';
COMMENT ON COLUMN transport_authorities.organization_id IS 'The system organization; the program reads no other one''s.';
COMMENT ON COLUMN transport_authorities.private_key_id IS 'Its key, sealed like every other.';
COMMENT ON COLUMN transport_authorities.certificate_der IS 'Its self-signed certificate; tokens pin the SHA-256 of it.';
COMMENT ON COLUMN transport_authorities.not_after IS 'End of the validity of its certificate.';
COMMENT ON COLUMN transport_authorities.created_at IS 'When it was made.';
COMMENT ON COLUMN transport_authorities.retired_at IS 'When it was replaced; null for the one in force.';

-- One in force, however many processes start at once.
CREATE UNIQUE INDEX IF NOT EXISTS ux_transport_authorities_organization_id ON transport_authorities (organization_id)
    WHERE retired_at IS NULL;
-- Foreign key.
CREATE INDEX IF NOT EXISTS ix_transport_authorities_organization_id_private_key_id
    ON transport_authorities (organization_id, private_key_id);

CREATE TABLE IF NOT EXISTS transport_peers (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    name text NOT NULL,
    caller text NOT NULL,
    token_sha256 bytea NOT NULL,
    token_expires_at timestamptz NOT NULL,
    paired_at timestamptz NULL,
    renewed_at timestamptz NULL,
    certificate_sha256 bytea NULL,
    certificate_not_after timestamptz NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz NULL,
    CONSTRAINT pk_transport_peers PRIMARY KEY (id),
    CONSTRAINT ck_transport_peers_name CHECK (length(name) BETWEEN 1 AND 64),
    CONSTRAINT ck_transport_peers_caller CHECK (caller IN ('core')),
    CONSTRAINT ck_transport_peers_token_sha256 CHECK (octet_length(token_sha256) = 32),
    CONSTRAINT ck_transport_peers_token_expires_at CHECK (token_expires_at > created_at),
    CONSTRAINT ck_transport_peers_certificate_sha256 CHECK (octet_length(certificate_sha256) = 32),
    -- Who was paired has a certificate, and nobody else.
    CONSTRAINT ck_transport_peers_paired CHECK (
        (paired_at IS NULL) = (certificate_sha256 IS NULL) AND (paired_at IS NULL) = (certificate_not_after IS NULL)
        AND (renewed_at IS NULL OR paired_at IS NOT NULL))
);

COMMENT ON TABLE transport_peers IS '[tenant] Programs that may call this service from other processes, from the token that invites one to its revocation.';
COMMENT ON COLUMN transport_peers.id IS 'Primary key; UUIDv7 made by the program. Stands in the peer''s certificates.';
COMMENT ON COLUMN transport_peers.organization_id IS 'The system organization; the program reads no other one''s.';
COMMENT ON COLUMN transport_peers.name IS 'How people call it; one that is not revoked has it alone.';
COMMENT ON COLUMN transport_peers.caller IS 'What it calls as, which decides the commands that it may give.';
COMMENT ON COLUMN transport_peers.token_sha256 IS 'SHA-256 of the secret of its one-time token.';
COMMENT ON COLUMN transport_peers.token_expires_at IS 'The token is refused from then on.';
COMMENT ON COLUMN transport_peers.paired_at IS 'When the token was used; it is refused from then on.';
COMMENT ON COLUMN transport_peers.renewed_at IS 'When its newest certificate but the first was issued.';
COMMENT ON COLUMN transport_peers.certificate_sha256 IS 'SHA-256 of its newest certificate.';
COMMENT ON COLUMN transport_peers.certificate_not_after IS 'When that one ends.';
COMMENT ON COLUMN transport_peers.created_at IS 'When the token was made.';
COMMENT ON COLUMN transport_peers.revoked_at IS 'When it was forbidden to call.';

-- By its token, once.
CREATE UNIQUE INDEX IF NOT EXISTS ux_transport_peers_token_sha256 ON transport_peers (token_sha256);
-- By the name that people use.
CREATE UNIQUE INDEX IF NOT EXISTS ux_transport_peers_organization_id_name ON transport_peers (organization_id, name)
    WHERE revoked_at IS NULL;

-- ---------------------------------------------------------------------------------------------------------
-- secure_audit_log
-- ---------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS secure_audit_log (
    id uuid NOT NULL DEFAULT uuid_generate_v7(),
    event_timestamp timestamptz NOT NULL,
    organization_id uuid NOT NULL,
    event_code text NOT NULL,
    event_category text NOT NULL,
    severity text NOT NULL DEFAULT 'info',
    result text NOT NULL,
    actor_type text NOT NULL,
    actor_id uuid NULL,
    user_id uuid NULL,
    resource_type text NOT NULL,
    resource_id uuid NULL,
    request_id uuid NULL,
    session_id uuid NULL,
    ip_address text NULL,
    reason text NULL,
    details jsonb NOT NULL DEFAULT '{}',
    canonical_sha256 bytea NOT NULL,
    -- A partitioned table cannot have a unique id alone; since the timestamp follows from the id, this is one.
    CONSTRAINT pk_secure_audit_log PRIMARY KEY (id, event_timestamp),
    -- Spelled out, because the body of a function would be parsed anew by each statement.
    CONSTRAINT ck_secure_audit_log_event_timestamp CHECK (
        substr(id::text, 15, 1) = '7'
        AND event_timestamp = timezone('UTC', timestamp '1970-01-01 00:00:00'
            + ('x0000' || replace(left(id::text, 13), '-', ''))::bit(64)::bigint * interval '1 millisecond')),
    CONSTRAINT ck_secure_audit_log_event_code CHECK (length(event_code) BETWEEN 1 AND 128),
    CONSTRAINT ck_secure_audit_log_event_category CHECK (length(event_category) BETWEEN 1 AND 64),
    CONSTRAINT ck_secure_audit_log_severity CHECK (severity IN ('info', 'warning', 'error', 'critical')),
    CONSTRAINT ck_secure_audit_log_result CHECK (result IN ('success', 'failure', 'partial')),
    CONSTRAINT ck_secure_audit_log_actor_type CHECK (actor_type IN
        ('user', 'api_key', 'service', 'local_operator', 'anonymous', 'system')),
    CONSTRAINT ck_secure_audit_log_resource_type CHECK (length(resource_type) BETWEEN 1 AND 64),
    CONSTRAINT ck_secure_audit_log_ip_address CHECK (length(ip_address) <= 64),
    CONSTRAINT ck_secure_audit_log_reason CHECK (length(reason) <= 4096),
    CONSTRAINT ck_secure_audit_log_details CHECK (jsonb_typeof(details) = 'object'),
    CONSTRAINT ck_secure_audit_log_canonical_sha256 CHECK (octet_length(canonical_sha256) = 32)
) PARTITION BY RANGE (event_timestamp);

COMMENT ON TABLE secure_audit_log IS '[tenant] Append-only record of every act on keys and certificates, in monthly partitions. Events of nobody belong to the system organization.';
COMMENT ON COLUMN secure_audit_log.id IS 'UUIDv7; its timestamp is event_timestamp.';
COMMENT ON COLUMN secure_audit_log.event_timestamp IS 'When it happened, to the millisecond; partition key; always equal to the timestamp inside id.';
COMMENT ON COLUMN secure_audit_log.organization_id IS 'Organization that the event concerns.';
COMMENT ON COLUMN secure_audit_log.event_code IS 'Stable code, e.g. certificate.issued.';
COMMENT ON COLUMN secure_audit_log.event_category IS 'Group of codes, for filters.';
COMMENT ON COLUMN secure_audit_log.severity IS 'info, warning, error or critical.';
COMMENT ON COLUMN secure_audit_log.result IS 'success, failure or partial.';
COMMENT ON COLUMN secure_audit_log.actor_type IS 'What kind of actor did it.';
COMMENT ON COLUMN secure_audit_log.actor_id IS 'Which one, by actor type; null for anonymous and system.';
COMMENT ON COLUMN secure_audit_log.user_id IS 'users.id in clm_core_db: the person behind the act, also when an API key acted.';
COMMENT ON COLUMN secure_audit_log.resource_type IS 'What was acted on, e.g. certificate.';
COMMENT ON COLUMN secure_audit_log.resource_id IS 'Which one.';
COMMENT ON COLUMN secure_audit_log.request_id IS 'Correlates with the log and with audit_log in clm_core_db.';
COMMENT ON COLUMN secure_audit_log.session_id IS 'sessions.id in clm_core_db.';
COMMENT ON COLUMN secure_audit_log.ip_address IS 'Address of the client as the edge saw it.';
COMMENT ON COLUMN secure_audit_log.reason IS 'Why, as the actor gave it.';
COMMENT ON COLUMN secure_audit_log.details IS 'Further facts; never a secret.';
COMMENT ON COLUMN secure_audit_log.canonical_sha256 IS 'SHA-256 of the canonical form of the row: the leaf of the sealed Merkle tree.';

-- The log of an organization, newest first; pages continue at (event_timestamp, id).
CREATE INDEX IF NOT EXISTS ix_secure_audit_log_organization_id_event_timestamp_id
    ON secure_audit_log (organization_id, event_timestamp DESC, id);
-- The history of one certificate or key.
CREATE INDEX IF NOT EXISTS ix_secure_audit_log_organization_id_resource
    ON secure_audit_log (organization_id, resource_type, resource_id, event_timestamp);
-- What one actor did.
CREATE INDEX IF NOT EXISTS ix_secure_audit_log_organization_id_actor_id_event_timestamp
    ON secure_audit_log (organization_id, actor_id, event_timestamp) WHERE actor_id IS NOT NULL;

-- Partitions are made by this function alone, because each must be protected by itself: PostgreSQL 12 has no BEFORE ROW
-- triggers on a partitioned table, and row-level security of the parent does not bind who names a partition. A table is
-- built aside and then attached: CREATE TABLE ... PARTITION OF waits behind every reader of the log, and every writer
-- behind it. What cannot be locked soon is left for the next call: issuance must not queue behind this one.
CREATE OR REPLACE FUNCTION ensure_audit_partitions(months_ahead integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
    parent constant regclass := 'public.secure_audit_log'::regclass;
    this_month constant timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    first_day timestamp;
    partition_name text;
    partition_oid oid;
    guard record;
    created integer := 0;
BEGIN
    IF months_ahead IS NULL OR months_ahead NOT BETWEEN 1 AND 36 THEN
        RAISE EXCEPTION 'months_ahead must be between 1 and 36' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Two replicas may call at the same moment.
    PERFORM pg_advisory_xact_lock(hashtext('clm.ensure_audit_partitions'));

    -- From last month on, so that a clock that is behind still finds its partition.
    FOR offset_months IN -1 .. months_ahead LOOP
        first_day := this_month + make_interval(months => offset_months);
        partition_name := 'secure_audit_log_' || to_char(first_day, '"y"YYYY"m"MM');
        SELECT c.oid INTO partition_oid
            FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relname = partition_name;
        IF partition_oid IS NOT NULL THEN
            IF NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = partition_oid AND i.inhparent = parent) THEN
                RAISE EXCEPTION 'table % exists but is not a partition of secure_audit_log', partition_name
                    USING HINT = 'Attach it again, or rename it if it is an archive.';
            END IF;
            CONTINUE;
        END IF;
        EXECUTE format('CREATE TABLE public.%I (LIKE public.secure_audit_log INCLUDING ALL)', partition_name);
        EXECUTE format('COMMENT ON TABLE public.%I IS %L', partition_name,
            '[tenant] Partition of secure_audit_log for ' || to_char(first_day, 'YYYY-MM') || '. Never addressed by itself.');
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', partition_name);
        EXECUTE format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY', partition_name);
        EXECUTE format('ALTER TABLE public.secure_audit_log ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
            partition_name,
            to_char(first_day, 'YYYY-MM-DD') || ' 00:00:00+00',
            to_char(first_day + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00');
        created := created + 1;
    END LOOP;

    -- Every partition, also one that was attached by hand.
    FOR partition_oid IN SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = parent LOOP
        IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = partition_oid AND c.relrowsecurity AND c.relforcerowsecurity) THEN
            EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', partition_oid::regclass);
            EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', partition_oid::regclass);
        END IF;
        IF NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = partition_oid AND t.tgname = 'trg_secure_audit_log_append_only') THEN
            EXECUTE format('CREATE TRIGGER trg_secure_audit_log_append_only BEFORE UPDATE OR DELETE ON %s '
                'FOR EACH ROW EXECUTE FUNCTION public.refuse_audit_change()', partition_oid::regclass);
        END IF;
        IF NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = partition_oid AND t.tgname = 'trg_secure_audit_log_no_truncate') THEN
            EXECUTE format('CREATE TRIGGER trg_secure_audit_log_no_truncate BEFORE TRUNCATE ON %s '
                'FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_audit_change()', partition_oid::regclass);
        END IF;
    END LOOP;

    -- ALWAYS, or session_replication_role = replica would switch them off; and nobody's DISABLE lasts.
    FOR guard IN
        SELECT t.tgrelid::regclass AS relation, t.tgname
        FROM pg_trigger t
        WHERE t.tgname IN ('trg_secure_audit_log_append_only', 'trg_secure_audit_log_no_truncate')
          AND t.tgenabled <> 'A'
          AND (t.tgrelid = parent OR t.tgrelid IN (SELECT i.inhrelid FROM pg_inherits i WHERE i.inhparent = parent))
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', guard.relation, guard.tgname);
    END LOOP;
    RETURN created;
END
$$;
COMMENT ON FUNCTION ensure_audit_partitions(integer) IS 'Makes the missing monthly partitions of secure_audit_log from last month to months_ahead (1 to 36) and protects every one; returns how many it made.';

CREATE OR REPLACE FUNCTION audit_partitions_ahead() RETURNS integer
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, public
AS $$
DECLARE
    this_month constant timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    ahead integer := -1;
BEGIN
    -- Only an unbroken row counts: the first gap is where writing would stop.
    WHILE EXISTS (
        SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'public.secure_audit_log'::regclass
          AND c.relname = 'secure_audit_log_' || to_char(this_month + make_interval(months => ahead + 1), '"y"YYYY"m"MM'))
    LOOP
        ahead := ahead + 1;
    END LOOP;
    RETURN ahead;
END
$$;
COMMENT ON FUNCTION audit_partitions_ahead() IS 'How many months after the current one have a partition without a gap; -1 when the current month has none.';

DROP TRIGGER IF EXISTS trg_secure_audit_log_append_only ON secure_audit_log;
CREATE TRIGGER trg_secure_audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON secure_audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
ALTER TABLE secure_audit_log ENABLE ALWAYS TRIGGER trg_secure_audit_log_append_only;

SELECT ensure_audit_partitions(12);

-- ---------------------------------------------------------------------------------------------------------
-- updated_at triggers
-- ---------------------------------------------------------------------------------------------------------

DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['encryption_keys', 'private_keys', 'issuers', 'certificate_requests', 'certificates',
                                      'certificate_revocations', 'key_rotation_history', 'sealed_secrets', 'totp_factors'] LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS %I ON public.%I', 'trg_' || table_name || '_updated_at', table_name);
        EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE ON public.%I FOR EACH ROW EXECUTE FUNCTION public.set_updated_at()',
            'trg_' || table_name || '_updated_at', table_name);
    END LOOP;
END
$$;

-- ---------------------------------------------------------------------------------------------------------
-- Row-level security
-- ---------------------------------------------------------------------------------------------------------

-- current_setting without missing_ok: a transaction that forgot its organization gets an error, not an empty page.
-- After a first SET LOCAL the setting reads as '' in later transactions, which is no uuid and fails as well.
DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['encryption_keys', 'master_key_shares', 'private_keys', 'issuers', 'issuer_organizations', 'certificate_requests',
                                      'certificates', 'certificate_revocations', 'key_rotation_history', 'secure_audit_log',
                                      'sealed_secrets', 'totp_factors', 'step_up_proofs', 'outbox', 'inbox',
                                      'transport_authorities', 'transport_peers'] LOOP
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', table_name);
        EXECUTE format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY', table_name);
        EXECUTE format('DROP POLICY IF EXISTS tenant_isolation ON public.%I', table_name);
        EXECUTE format('CREATE POLICY tenant_isolation ON public.%I '
            'USING (organization_id = current_setting(''app.current_org_id'')::uuid) '
            'WITH CHECK (organization_id = current_setting(''app.current_org_id'')::uuid)', table_name);
    END LOOP;

    -- A batch carries rows of several organizations. Insert only: such a list must never widen what is read.
    -- The tenant policy is evaluated too, so a batch sets app.current_org_id to one of its organizations as well.
    FOREACH table_name IN ARRAY ARRAY['certificates', 'certificate_requests', 'private_keys', 'secure_audit_log', 'outbox'] LOOP
        EXECUTE format('DROP POLICY IF EXISTS batch_insert ON public.%I', table_name);
        EXECUTE format('CREATE POLICY batch_insert ON public.%I FOR INSERT WITH CHECK (organization_id = ANY '
            '(string_to_array(nullif(current_setting(''app.batch_org_ids'', true), ''''), '','')::uuid[]))', table_name);
    END LOOP;
END
$$;

-- Shared issuers can be seen by everybody; changing one still takes the system organization.
DROP POLICY IF EXISTS shared_read ON issuers;
CREATE POLICY shared_read ON issuers FOR SELECT
    USING (organization_id = '00000000-0000-0000-0000-000000000001'::uuid);

-- ---------------------------------------------------------------------------------------------------------
-- Views
-- ---------------------------------------------------------------------------------------------------------
-- db/roles_secure.sql gives them to an owner whom the tenant policy binds. Without it they would show every tenant.

CREATE OR REPLACE VIEW active_certificates AS
SELECT c.id, c.organization_id, c.certificate_type, c.status, c.issuer_id, c.serial_number, c.subject, c.common_name,
       c.subject_alternative_names, c.fingerprint_sha256, c.spki_sha256, c.key_algorithm, c.signature_algorithm,
       c.not_before, c.not_after, c.expiring_at, c.owner_user_id, c.policy_id, c.workflow_id, c.revision, c.created_at, c.updated_at
FROM certificates c
WHERE c.deleted_at IS NULL
  AND c.status IN ('active', 'expiring')
  AND c.not_before <= now() AND c.not_after >= now();
COMMENT ON VIEW active_certificates IS 'Certificates in force now: neither deleted, revoked, suspended nor outside their validity. Of the current organization only.';

CREATE OR REPLACE VIEW expiring_certificates AS
SELECT c.id, c.organization_id, c.certificate_type, c.status, c.issuer_id, c.serial_number, c.subject, c.common_name,
       c.subject_alternative_names, c.fingerprint_sha256, c.spki_sha256, c.key_algorithm, c.signature_algorithm,
       c.not_before, c.not_after, c.expiring_at, c.owner_user_id, c.policy_id, c.workflow_id, c.revision, c.created_at, c.updated_at,
       extract(epoch FROM c.not_after - now())::double precision
           / extract(epoch FROM c.not_after - c.not_before)::double precision AS lifetime_left_fraction
FROM certificates c
WHERE c.deleted_at IS NULL
  AND c.status IN ('active', 'expiring')
  AND c.expiring_at < now() AND c.not_after >= now();
COMMENT ON VIEW expiring_certificates IS 'Certificates in force with less than a third of their own lifetime left, be it six days or a year. Of the current organization only.';

-- The columns of the views mean what they mean in the table.
DO $$
DECLARE
    view_column record;
BEGIN
    FOR view_column IN
        SELECT v.attrelid::regclass AS view_name, v.attname AS column_name, col_description(t.attrelid, t.attnum) AS description
        FROM pg_attribute v
        JOIN pg_attribute t ON t.attrelid = 'public.certificates'::regclass AND t.attname = v.attname
        WHERE v.attrelid IN ('public.active_certificates'::regclass, 'public.expiring_certificates'::regclass) AND v.attnum > 0
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', view_column.view_name, view_column.column_name, view_column.description);
    END LOOP;
END
$$;
COMMENT ON COLUMN expiring_certificates.lifetime_left_fraction IS 'Share of the lifetime that is left, between 0 and 1/3.';

-- ---------------------------------------------------------------------------------------------------------
-- Done
-- ---------------------------------------------------------------------------------------------------------

INSERT INTO schema_migrations (version, description, checksum, min_program_version)
VALUES (1, 'init secure schema', NULL, '0.1.0')
ON CONFLICT DO NOTHING;

COMMIT;
