-- clm_core_db, version 1: people, organizations, rules, work in progress and what is known about
-- certificates without their secrets.
--
-- Plain SQL for PostgreSQL 12 and newer, idempotent, one transaction. No application role is named
-- here: ownership, grants and policies that belong to a role are in db/roles_core.sql, which runs
-- after every migration. Ids that point into clm_secure_db carry no foreign key (no such thing can
-- exist across databases); the reconciler compares both sides.

BEGIN;

SET LOCAL client_min_messages = warning;
SET LOCAL search_path = public, pg_temp;
-- Seeding works for a migrating role without BYPASSRLS too: it acts within the System organization.
SET LOCAL app.current_org_id = '00000000-0000-0000-0000-000000000001';

CREATE EXTENSION IF NOT EXISTS "uuid-ossp" WITH SCHEMA public;
CREATE EXTENSION IF NOT EXISTS pgcrypto WITH SCHEMA public;


-- ---------------------------------------------------------------------------------------------
-- 1. Functions that tables and triggers use
-- ---------------------------------------------------------------------------------------------

-- RFC 9562 §5.7: 48 bits of Unix milliseconds, then random bits around version and variant.
CREATE OR REPLACE FUNCTION uuid_generate_v7() RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL SAFE
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    bytes bytea := gen_random_bytes(16);
BEGIN
    bytes := overlay(bytes PLACING
        substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
        FROM 1 FOR 6);
    bytes := set_byte(bytes, 6, (get_byte(bytes, 6) & 15) | 112);
    bytes := set_byte(bytes, 8, (get_byte(bytes, 8) & 63) | 128);
    RETURN encode(bytes, 'hex')::uuid;
END
$$;
COMMENT ON FUNCTION uuid_generate_v7() IS
    'A UUID version 7 of this moment; default id of the audit log, whose order it gives.';

-- Without a SET clause, so that it can be inlined. It calls only what pg_catalog provides. NULL for any other UUID version.
CREATE OR REPLACE FUNCTION uuid_v7_timestamp(id uuid) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN pg_catalog.get_byte(pg_catalog.uuid_send($1), 6) >> 4 = 7 THEN
        pg_catalog.to_timestamp(
            ('x' || pg_catalog.encode(pg_catalog.substring(pg_catalog.uuid_send($1), 1, 6), 'hex'))::bit(48)::bigint
            ::double precision / 1000.0)
    END
$$;
COMMENT ON FUNCTION uuid_v7_timestamp(uuid) IS
    'The millisecond timestamp inside a UUID version 7; NULL for other versions.';

CREATE OR REPLACE FUNCTION set_updated_at() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION set_updated_at() IS 'Trigger: updated_at is when the row was last written, whoever wrote it.';

CREATE OR REPLACE FUNCTION forbid_audit_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'audit rows are append-only'
        USING ERRCODE = 'insufficient_privilege',
              DETAIL = format('%s on %I.%I was refused.', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME);
END
$$;
COMMENT ON FUNCTION forbid_audit_change() IS
    'Trigger: refuses UPDATE, DELETE and TRUNCATE on the audit log and each of its partitions.';

CREATE OR REPLACE FUNCTION protect_system_role() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF OLD.is_system_role THEN
        RAISE EXCEPTION 'system role % cannot be changed', OLD.role_code
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    IF NEW.is_system_role THEN
        RAISE EXCEPTION 'role % cannot become a system role', OLD.role_code
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION protect_system_role() IS
    'Trigger: system roles are the same in every installation, so nothing updates or deletes them.';

-- A role of another organization and one that does not exist give the same answer, so that the
-- error is no oracle. SECURITY DEFINER because the caller cannot see foreign roles; a composite
-- foreign key would not fit, since roles of the System organization are shared.
CREATE OR REPLACE FUNCTION check_role_organization() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    wanted_role_id uuid := (to_jsonb(NEW) ->> TG_ARGV[0])::uuid;
BEGIN
    IF wanted_role_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM public.roles r
        WHERE r.id = wanted_role_id
          AND r.deleted_at IS NULL
          AND r.organization_id IN (NEW.organization_id, '00000000-0000-0000-0000-000000000001'::uuid)
    ) THEN
        RAISE EXCEPTION 'role % is not available in organization %', wanted_role_id, NEW.organization_id
            USING ERRCODE = 'foreign_key_violation',
                  TABLE = TG_TABLE_NAME, COLUMN = TG_ARGV[0],
                  CONSTRAINT = TG_NAME;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION check_role_organization() IS
    'Trigger: the role named by the column given as argument belongs to the row''s organization or to the System organization.';

CREATE OR REPLACE FUNCTION check_role_parent() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF NEW.parent_role_id IS NOT NULL AND EXISTS (
        WITH RECURSIVE ancestors AS (
            SELECT NEW.parent_role_id AS id
            UNION
            SELECT r.parent_role_id
            FROM ancestors a
            JOIN public.roles r ON r.id = a.id
            WHERE r.parent_role_id IS NOT NULL
        )
        SELECT 1 FROM ancestors a WHERE a.id = NEW.id
    ) THEN
        RAISE EXCEPTION 'role % would be its own ancestor', NEW.role_code
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION check_role_parent() IS 'Trigger: inheritance of roles has no cycle.';


-- ---------------------------------------------------------------------------------------------
-- 2. Organizations
-- ---------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS organizations (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    name text NOT NULL,
    slug text COLLATE "C" NOT NULL,
    status text NOT NULL DEFAULT 'active',
    settings jsonb NOT NULL DEFAULT '{}',
    max_users integer NULL,
    max_certificates bigint NULL,
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz NULL,
    CONSTRAINT pk_organizations PRIMARY KEY (id),
    CONSTRAINT ck_organizations_name CHECK (char_length(name) BETWEEN 1 AND 200),
    CONSTRAINT ck_organizations_slug CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    CONSTRAINT ck_organizations_status CHECK (status IN ('active', 'suspended', 'inactive')),
    CONSTRAINT ck_organizations_settings CHECK (jsonb_typeof(settings) = 'object'),
    CONSTRAINT ck_organizations_max_users CHECK (max_users >= 0),
    CONSTRAINT ck_organizations_max_certificates CHECK (max_certificates >= 0),
    -- What everybody shares hangs on the System organization.
    CONSTRAINT ck_organizations_system_live CHECK (
        id <> '00000000-0000-0000-0000-000000000001'::uuid OR (status = 'active' AND deleted_at IS NULL))
);
COMMENT ON TABLE organizations IS
    '[tenant] The tenants. A row is visible to its own organization only; the System organization owns what all share. Never deleted, only marked.';
COMMENT ON COLUMN organizations.id IS 'Identity of the tenant, repeated as organization_id everywhere.';
COMMENT ON COLUMN organizations.name IS 'What people call it.';
COMMENT ON COLUMN organizations.slug IS 'Short name for sign-in and URLs: lower-case letters, digits, inner hyphens. Never given out again.';
COMMENT ON COLUMN organizations.status IS 'Only an active organization can be worked in.';
COMMENT ON COLUMN organizations.settings IS 'What the organization decides about itself: lifetimes of sessions, passwords and API keys; read whole, never searched.';
COMMENT ON COLUMN organizations.max_users IS 'Quota of users; NULL means no limit.';
COMMENT ON COLUMN organizations.max_certificates IS 'Quota of live certificates; NULL means no limit.';
COMMENT ON COLUMN organizations.revision IS 'Counts the edits, for ETag and If-Match; raised by the writer.';
COMMENT ON COLUMN organizations.created_at IS 'When the row was made.';
COMMENT ON COLUMN organizations.updated_at IS 'When the row was last written.';
COMMENT ON COLUMN organizations.deleted_at IS 'When it was soft-deleted; NULL while live.';

-- Sign-in by slug. Over deleted rows too: a slug in an old link must never lead to somebody else.
CREATE UNIQUE INDEX IF NOT EXISTS ux_organizations_slug ON organizations (slug);
-- The administrator's list of organizations by status.
CREATE INDEX IF NOT EXISTS ix_organizations_status ON organizations (status, id DESC) WHERE deleted_at IS NULL;

INSERT INTO organizations (id, name, slug)
VALUES ('00000000-0000-0000-0000-000000000001', 'System', 'system')
ON CONFLICT DO NOTHING;


-- ---------------------------------------------------------------------------------------------
-- 3. Users, roles, membership
-- ---------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS users (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    home_organization_id uuid NOT NULL,
    username text NOT NULL,
    username_normalized text COLLATE "C" NOT NULL,
    email text NULL,
    email_normalized text COLLATE "C" NULL,
    email_verified_at timestamptz NULL,
    display_name text NULL,
    password_hash text NULL,
    password_changed_at timestamptz NULL,
    must_change_password boolean NOT NULL DEFAULT false,
    user_type text NOT NULL DEFAULT 'person',
    status text NOT NULL DEFAULT 'active',
    failed_sign_in_count integer NOT NULL DEFAULT 0,
    locked_until timestamptz NULL,
    last_sign_in_at timestamptz NULL,
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz NULL,
    CONSTRAINT pk_users PRIMARY KEY (id),
    CONSTRAINT fk_users_home_organization FOREIGN KEY (home_organization_id) REFERENCES organizations (id),
    CONSTRAINT ck_users_username CHECK (char_length(username) BETWEEN 1 AND 256),
    CONSTRAINT ck_users_username_normalized CHECK (char_length(username_normalized) BETWEEN 1 AND 256),
    CONSTRAINT ck_users_email CHECK (
        (email IS NULL) = (email_normalized IS NULL) AND char_length(email) <= 320 AND char_length(email_normalized) <= 320),
    CONSTRAINT ck_users_email_verified_at CHECK (email_verified_at IS NULL OR email IS NOT NULL),
    -- A PHC string starts with $; a password that slipped in unhashed does not get past this.
    CONSTRAINT ck_users_password_hash CHECK (password_hash LIKE '$%$%'),
    CONSTRAINT ck_users_user_type CHECK (user_type IN ('person', 'service')),
    CONSTRAINT ck_users_service_password CHECK (user_type = 'person' OR password_hash IS NULL),
    CONSTRAINT ck_users_status CHECK (status IN ('active', 'inactive', 'locked', 'suspended')),
    CONSTRAINT ck_users_failed_sign_in_count CHECK (failed_sign_in_count >= 0)
) WITH (fillfactor = 85);
COMMENT ON TABLE users IS
    '[global] Accounts of people and services. Row security goes by the home organization, which alone governs credentials; other organizations know a user through user_organizations.';
COMMENT ON COLUMN users.id IS 'Identity of the account.';
COMMENT ON COLUMN users.home_organization_id IS 'The organization that governs credentials, e-mail, MFA and status.';
COMMENT ON COLUMN users.username IS 'Sign-in name as it was typed.';
COMMENT ON COLUMN users.username_normalized IS 'Sign-in name lower-cased by the application; what look-ups compare.';
COMMENT ON COLUMN users.email IS 'Address for messages, as it was typed.';
COMMENT ON COLUMN users.email_normalized IS 'Address lower-cased by the application.';
COMMENT ON COLUMN users.email_verified_at IS 'When the user proved to read what is sent to the address; a trigger clears it with each other address.';
COMMENT ON COLUMN users.display_name IS 'Name shown to others.';
COMMENT ON COLUMN users.password_hash IS 'PHC string of the password; NULL when one cannot sign in by password.';
COMMENT ON COLUMN users.password_changed_at IS 'When the password was last set.';
COMMENT ON COLUMN users.must_change_password IS 'The next sign-in allows nothing but a new password.';
COMMENT ON COLUMN users.user_type IS 'person signs in; service has API keys only.';
COMMENT ON COLUMN users.status IS 'Only an active user can act.';
COMMENT ON COLUMN users.failed_sign_in_count IS 'Failed attempts since the last success.';
COMMENT ON COLUMN users.locked_until IS 'No sign-in before this moment.';
COMMENT ON COLUMN users.last_sign_in_at IS 'When the last sign-in succeeded.';
COMMENT ON COLUMN users.revision IS 'Counts the edits, for ETag and If-Match; raised by the writer.';
COMMENT ON COLUMN users.created_at IS 'When the row was made.';
COMMENT ON COLUMN users.updated_at IS 'When the row was last written.';
COMMENT ON COLUMN users.deleted_at IS 'When it was soft-deleted; NULL while live.';

-- Sign-in with an organization's slug; a name is unique within one home, never across tenants.
CREATE UNIQUE INDEX IF NOT EXISTS ux_users_home_organization_id_username_normalized
    ON users (home_organization_id, username_normalized) WHERE deleted_at IS NULL;
-- Sign-in without a slug (find_user_for_sign_in).
CREATE INDEX IF NOT EXISTS ix_users_username_normalized ON users (username_normalized) WHERE deleted_at IS NULL;
-- Look-up by address: identity provider.
CREATE INDEX IF NOT EXISTS ix_users_home_organization_id_email_normalized
    ON users (home_organization_id, email_normalized) WHERE deleted_at IS NULL AND email_normalized IS NOT NULL;
-- Password reset by address, of whichever home.
CREATE INDEX IF NOT EXISTS ix_users_email_normalized ON users (email_normalized)
    WHERE deleted_at IS NULL AND email_verified_at IS NOT NULL;
-- Keyset list of a home's users; covers what the list shows, so that wide hashes are not fetched.
CREATE INDEX IF NOT EXISTS ix_users_home_organization_id_id
    ON users (home_organization_id, id DESC) INCLUDE (username, status, user_type) WHERE deleted_at IS NULL;

CREATE TABLE IF NOT EXISTS roles (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    role_code text COLLATE "C" NOT NULL,
    role_name text NOT NULL,
    description text NULL,
    permissions jsonb NOT NULL DEFAULT '{}',
    parent_role_id uuid NULL,
    is_system_role boolean NOT NULL DEFAULT false,
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz NULL,
    CONSTRAINT pk_roles PRIMARY KEY (id),
    CONSTRAINT ux_roles_organization_id_role_code UNIQUE (organization_id, role_code),
    CONSTRAINT fk_roles_organization FOREIGN KEY (organization_id) REFERENCES organizations (id),
    CONSTRAINT fk_roles_parent FOREIGN KEY (parent_role_id) REFERENCES roles (id),
    CONSTRAINT ck_roles_role_code CHECK (role_code ~ '^[A-Z][A-Z0-9_]{0,63}$'),
    CONSTRAINT ck_roles_role_name CHECK (char_length(role_name) BETWEEN 1 AND 200),
    CONSTRAINT ck_roles_permissions CHECK (jsonb_typeof(permissions) = 'object'),
    CONSTRAINT ck_roles_parent CHECK (parent_role_id <> id),
    -- The six codes mean the same everywhere: no tenant can make a look-alike.
    CONSTRAINT ck_roles_system CHECK (is_system_role = (
        role_code IN ('SYSTEM_ADMIN', 'CERT_ADMIN', 'CERT_OPERATOR', 'APPROVER', 'AUDITOR', 'USER')
    ) AND (NOT is_system_role OR organization_id = '00000000-0000-0000-0000-000000000001'::uuid))
);
COMMENT ON TABLE roles IS
    '[shared] Named sets of permissions. System roles belong to the System organization, are readable by all and cannot be changed.';
COMMENT ON COLUMN roles.id IS 'Identity of the role.';
COMMENT ON COLUMN roles.organization_id IS 'Owner; the System organization for system roles.';
COMMENT ON COLUMN roles.role_code IS 'Stable name for programs, such as CERT_ADMIN.';
COMMENT ON COLUMN roles.role_name IS 'Name for people.';
COMMENT ON COLUMN roles.description IS 'What the role is for.';
COMMENT ON COLUMN roles.permissions IS '{"resource": ["action", ...]}; what the role allows.';
COMMENT ON COLUMN roles.parent_role_id IS 'Role whose permissions are inherited.';
COMMENT ON COLUMN roles.is_system_role IS 'One of the six roles that every installation has.';
COMMENT ON COLUMN roles.revision IS 'Counts the edits, for ETag and If-Match; raised by the writer.';
COMMENT ON COLUMN roles.created_at IS 'When the row was made.';
COMMENT ON COLUMN roles.updated_at IS 'When the row was last written.';
COMMENT ON COLUMN roles.deleted_at IS 'When it was soft-deleted; NULL while live.';

-- Keyset list of an organization's roles.
CREATE INDEX IF NOT EXISTS ix_roles_organization_id_id ON roles (organization_id, id DESC) WHERE deleted_at IS NULL;
-- Foreign key; who inherits from this role.
CREATE INDEX IF NOT EXISTS ix_roles_parent_role_id ON roles (parent_role_id) WHERE parent_role_id IS NOT NULL;
-- "Which roles allow this action" (access explain), in the System scope.
CREATE INDEX IF NOT EXISTS ix_roles_permissions ON roles USING gin (permissions jsonb_path_ops) WHERE deleted_at IS NULL;

CREATE TABLE IF NOT EXISTS user_roles (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    role_id uuid NOT NULL,
    valid_from timestamptz NOT NULL DEFAULT now(),
    valid_until timestamptz NULL,
    granted_by_user_id uuid NULL,
    reason text NULL,
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz NULL,
    CONSTRAINT pk_user_roles PRIMARY KEY (id),
    CONSTRAINT ux_user_roles_organization_id_id UNIQUE (organization_id, id),
    CONSTRAINT fk_user_roles_organization FOREIGN KEY (organization_id) REFERENCES organizations (id),
    CONSTRAINT fk_user_roles_user FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT fk_user_roles_role FOREIGN KEY (role_id) REFERENCES roles (id),
    CONSTRAINT fk_user_roles_granted_by FOREIGN KEY (granted_by_user_id) REFERENCES users (id),
    CONSTRAINT ck_user_roles_validity CHECK (valid_until > valid_from),
    CONSTRAINT ck_user_roles_reason CHECK (char_length(reason) <= 2000)
);
COMMENT ON TABLE user_roles IS
    '[tenant] Which role a user has in which organization, and from when to when.';
COMMENT ON COLUMN user_roles.id IS 'Identity of the assignment.';
COMMENT ON COLUMN user_roles.organization_id IS 'Where the role is held.';
COMMENT ON COLUMN user_roles.user_id IS 'Who holds it.';
COMMENT ON COLUMN user_roles.role_id IS 'A role of this organization or of the System organization.';
COMMENT ON COLUMN user_roles.valid_from IS 'First moment of validity.';
COMMENT ON COLUMN user_roles.valid_until IS 'First moment after validity; NULL while open-ended. Withdrawing a role sets it.';
COMMENT ON COLUMN user_roles.granted_by_user_id IS 'Who granted it; NULL for the platform itself.';
COMMENT ON COLUMN user_roles.reason IS 'Why, in the words of whoever granted it.';
COMMENT ON COLUMN user_roles.revision IS 'Counts the edits, for ETag and If-Match; raised by the writer.';
COMMENT ON COLUMN user_roles.created_at IS 'When the row was made.';
COMMENT ON COLUMN user_roles.updated_at IS 'When the row was last written.';
COMMENT ON COLUMN user_roles.deleted_at IS 'Set when an assignment is cancelled before it began; NULL otherwise.';

-- Permissions of a session or API key; one open-ended assignment of a role at a time.
CREATE UNIQUE INDEX IF NOT EXISTS ux_user_roles_open
    ON user_roles (organization_id, user_id, role_id) WHERE valid_until IS NULL AND deleted_at IS NULL;
CREATE INDEX IF NOT EXISTS ix_user_roles_organization_id_user_id
    ON user_roles (organization_id, user_id, valid_from) WHERE deleted_at IS NULL;
-- Foreign keys; holders of a role.
CREATE INDEX IF NOT EXISTS ix_user_roles_user_id ON user_roles (user_id);
CREATE INDEX IF NOT EXISTS ix_user_roles_role_id ON user_roles (role_id);
-- Whether an organization still has an administrator.
CREATE INDEX IF NOT EXISTS ix_user_roles_organization_id_role_id
    ON user_roles (organization_id, role_id) WHERE deleted_at IS NULL AND valid_until IS NULL;
CREATE INDEX IF NOT EXISTS ix_user_roles_granted_by_user_id
    ON user_roles (granted_by_user_id) WHERE granted_by_user_id IS NOT NULL;

CREATE TABLE IF NOT EXISTS user_organizations (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    is_primary boolean NOT NULL DEFAULT false,
    status text NOT NULL DEFAULT 'active',
    joined_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz NULL,
    CONSTRAINT pk_user_organizations PRIMARY KEY (id),
    CONSTRAINT ux_user_organizations_organization_id_user_id UNIQUE (organization_id, user_id),
    CONSTRAINT fk_user_organizations_organization FOREIGN KEY (organization_id) REFERENCES organizations (id),
    CONSTRAINT fk_user_organizations_user FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT ck_user_organizations_status CHECK (status IN ('active', 'suspended'))
);
COMMENT ON TABLE user_organizations IS
    '[tenant] Membership of users in organizations. Every user has a row for the home organization; further rows make a guest.';
COMMENT ON COLUMN user_organizations.id IS 'Identity of the membership.';
COMMENT ON COLUMN user_organizations.organization_id IS 'The organization.';
COMMENT ON COLUMN user_organizations.user_id IS 'The member.';
COMMENT ON COLUMN user_organizations.is_primary IS 'The organization that a sign-in starts in.';
COMMENT ON COLUMN user_organizations.status IS 'suspended: the user may not act in this organization.';
COMMENT ON COLUMN user_organizations.joined_at IS 'When the membership began.';
COMMENT ON COLUMN user_organizations.created_at IS 'When the row was made.';
COMMENT ON COLUMN user_organizations.updated_at IS 'When the row was last written.';
COMMENT ON COLUMN user_organizations.deleted_at IS 'When the membership ended; joining again clears it.';

-- A user has one primary organization; also lists the organizations of a user (System scope).
CREATE UNIQUE INDEX IF NOT EXISTS ux_user_organizations_primary
    ON user_organizations (user_id) WHERE is_primary AND deleted_at IS NULL;
CREATE INDEX IF NOT EXISTS ix_user_organizations_user_id ON user_organizations (user_id);

CREATE TABLE IF NOT EXISTS invitations (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    email text NOT NULL,
    email_normalized text COLLATE "C" NOT NULL,
    role_id uuid NULL,
    token_sha256 bytea NULL,
    invited_by_user_id uuid NULL,
    expires_at timestamptz NOT NULL,
    accepted_at timestamptz NULL,
    accepted_by_user_id uuid NULL,
    revoked_at timestamptz NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_invitations PRIMARY KEY (id),
    CONSTRAINT ux_invitations_organization_id_id UNIQUE (organization_id, id),
    CONSTRAINT ux_invitations_token_sha256 UNIQUE (token_sha256),
    CONSTRAINT fk_invitations_organization FOREIGN KEY (organization_id) REFERENCES organizations (id),
    CONSTRAINT fk_invitations_role FOREIGN KEY (role_id) REFERENCES roles (id),
    CONSTRAINT fk_invitations_invited_by FOREIGN KEY (invited_by_user_id) REFERENCES users (id),
    CONSTRAINT fk_invitations_accepted_by FOREIGN KEY (accepted_by_user_id) REFERENCES users (id),
    CONSTRAINT ck_invitations_email CHECK (char_length(email) <= 320 AND char_length(email_normalized) <= 320),
    CONSTRAINT ck_invitations_token_sha256 CHECK (octet_length(token_sha256) = 32),
    CONSTRAINT ck_invitations_accepted CHECK ((accepted_at IS NULL) = (accepted_by_user_id IS NULL)),
    CONSTRAINT ck_invitations_ended CHECK (accepted_at IS NULL OR revoked_at IS NULL)
);
COMMENT ON TABLE invitations IS
    '[tenant] Invitations to become a member. Only the hash of the token is stored; it is shown once, or goes by mail. Found by it through find_invitation_by_token.';
COMMENT ON COLUMN invitations.id IS 'Identity of the invitation.';
COMMENT ON COLUMN invitations.organization_id IS 'The organization that invites.';
COMMENT ON COLUMN invitations.email IS 'Address of whoever is invited, as it was typed.';
COMMENT ON COLUMN invitations.email_normalized IS 'Address lower-cased by the application.';
COMMENT ON COLUMN invitations.role_id IS 'Role that the new member gets: one of this organization or of the System organization; NULL means none.';
COMMENT ON COLUMN invitations.token_sha256 IS 'SHA-256 of the token, which has enough entropy to need no slow hash; NULL while the mail that brings it waits. Each delivery makes another one.';
COMMENT ON COLUMN invitations.invited_by_user_id IS 'Who invited; NULL for the operator of the machine.';
COMMENT ON COLUMN invitations.expires_at IS 'It cannot be accepted from then on.';
COMMENT ON COLUMN invitations.accepted_at IS 'When somebody accepted it.';
COMMENT ON COLUMN invitations.accepted_by_user_id IS 'Who accepted it.';
COMMENT ON COLUMN invitations.revoked_at IS 'When it was taken back.';
COMMENT ON COLUMN invitations.created_at IS 'When the row was made.';
COMMENT ON COLUMN invitations.updated_at IS 'When the row was last written.';

-- Those that can still be accepted are counted, against a limit.
CREATE INDEX IF NOT EXISTS ix_invitations_open ON invitations (organization_id, expires_at)
    WHERE accepted_at IS NULL AND revoked_at IS NULL;
-- Foreign keys.
CREATE INDEX IF NOT EXISTS ix_invitations_role_id ON invitations (role_id) WHERE role_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ix_invitations_invited_by_user_id
    ON invitations (invited_by_user_id) WHERE invited_by_user_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ix_invitations_accepted_by_user_id
    ON invitations (accepted_by_user_id) WHERE accepted_by_user_id IS NOT NULL;

CREATE TABLE IF NOT EXISTS password_history (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    password_hash text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_password_history PRIMARY KEY (id),
    CONSTRAINT fk_password_history_organization FOREIGN KEY (organization_id) REFERENCES organizations (id),
    CONSTRAINT fk_password_history_user FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT ck_password_history_password_hash CHECK (password_hash LIKE '$%$%')
);
COMMENT ON TABLE password_history IS
    '[global] The last former passwords of users, which must not come again. Row security goes by the home organization; the program reads and writes it in the System scope alone.';
COMMENT ON COLUMN password_history.id IS 'Identity of the row; the order in which the passwords were replaced.';
COMMENT ON COLUMN password_history.organization_id IS 'Home organization of the user.';
COMMENT ON COLUMN password_history.user_id IS 'Whose password it was.';
COMMENT ON COLUMN password_history.password_hash IS 'PHC string of the former password.';
COMMENT ON COLUMN password_history.created_at IS 'When it was replaced.';

-- The former passwords of a user, newest first.
CREATE INDEX IF NOT EXISTS ix_password_history_user_id ON password_history (user_id, id DESC);

CREATE TABLE IF NOT EXISTS known_sign_in_addresses (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    address_sha256 bytea NOT NULL,
    failed_sign_in_count integer NOT NULL DEFAULT 0,
    locked_until timestamptz NULL,
    last_success_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_known_sign_in_addresses PRIMARY KEY (id),
    CONSTRAINT ux_known_sign_in_addresses_user_id_address_sha256 UNIQUE (user_id, address_sha256),
    CONSTRAINT fk_known_sign_in_addresses_organization FOREIGN KEY (organization_id) REFERENCES organizations (id),
    CONSTRAINT fk_known_sign_in_addresses_user FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT ck_known_sign_in_addresses_address_sha256 CHECK (octet_length(address_sha256) = 32),
    CONSTRAINT ck_known_sign_in_addresses_failed_sign_in_count CHECK (failed_sign_in_count >= 0)
) WITH (fillfactor = 85);
COMMENT ON TABLE known_sign_in_addresses IS
    '[global] From where users have signed in of late: wrong passwords that come from elsewhere do not hold them up there. Row security goes by the home organization; the program reads and writes it in the System scope alone.';
COMMENT ON COLUMN known_sign_in_addresses.id IS 'Identity of the row.';
COMMENT ON COLUMN known_sign_in_addresses.organization_id IS 'Home organization of the user.';
COMMENT ON COLUMN known_sign_in_addresses.user_id IS 'Who has signed in.';
COMMENT ON COLUMN known_sign_in_addresses.address_sha256 IS 'SHA-256 of user and address (of IPv6 the first 64 bits), so that rows of two users do not tell that they share one.';
COMMENT ON COLUMN known_sign_in_addresses.failed_sign_in_count IS 'Failed attempts of the user from there since the last success from there.';
COMMENT ON COLUMN known_sign_in_addresses.locked_until IS 'No sign-in of the user from there before this moment.';
COMMENT ON COLUMN known_sign_in_addresses.last_success_at IS 'When the user last signed in from there.';
COMMENT ON COLUMN known_sign_in_addresses.created_at IS 'When the user first signed in from there.';


CREATE TABLE IF NOT EXISTS one_time_links (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    purpose text NOT NULL,
    token_sha256 bytea NOT NULL,
    email text NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_one_time_links PRIMARY KEY (id),
    CONSTRAINT ux_one_time_links_token_sha256 UNIQUE (token_sha256),
    CONSTRAINT fk_one_time_links_organization FOREIGN KEY (organization_id) REFERENCES organizations (id),
    CONSTRAINT fk_one_time_links_user FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT ck_one_time_links_purpose CHECK (purpose IN ('verify_email', 'reset_password')),
    CONSTRAINT ck_one_time_links_token_sha256 CHECK (octet_length(token_sha256) = 32),
    CONSTRAINT ck_one_time_links_email CHECK (char_length(email) <= 320)
);
COMMENT ON TABLE one_time_links IS
    '[global] Links that went to users by mail and work once. Row security goes by the home organization; the program reads and writes it in the System scope alone.';
COMMENT ON COLUMN one_time_links.id IS 'Identity of the link.';
COMMENT ON COLUMN one_time_links.organization_id IS 'Home organization of the user.';
COMMENT ON COLUMN one_time_links.user_id IS 'Whom it is for.';
COMMENT ON COLUMN one_time_links.purpose IS 'What it allows.';
COMMENT ON COLUMN one_time_links.token_sha256 IS 'SHA-256 of the token, which has enough entropy to need no slow hash.';
COMMENT ON COLUMN one_time_links.email IS 'Address that it was sent to, as it was written: it is void once the user has another one.';
COMMENT ON COLUMN one_time_links.expires_at IS 'It does not work from then on.';
COMMENT ON COLUMN one_time_links.used_at IS 'When it was used.';
COMMENT ON COLUMN one_time_links.created_at IS 'When it was made, just before the mail left: void once the password is newer (reset_password).';

-- The links of a user: a new one replaces those of its purpose.
CREATE INDEX IF NOT EXISTS ix_one_time_links_user_id ON one_time_links (user_id, purpose);
-- Purge.
CREATE INDEX IF NOT EXISTS ix_one_time_links_expires_at ON one_time_links (expires_at);


-- ---------------------------------------------------------------------------------------------
-- 4. Credentials of programs and browsers
-- ---------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS api_keys (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    name text NOT NULL,
    key_prefix text NOT NULL,
    key_sha256 bytea NOT NULL,
    last_four text NOT NULL,
    scopes jsonb NULL,
    allowed_networks cidr[] NULL,
    replaces_api_key_id uuid NULL,
    expires_at timestamptz NULL,
    revoked_at timestamptz NULL,
    last_used_at timestamptz NULL,
    usage_count bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz NULL,
    CONSTRAINT pk_api_keys PRIMARY KEY (id),
    CONSTRAINT ux_api_keys_key_sha256 UNIQUE (key_sha256),
    CONSTRAINT fk_api_keys_organization FOREIGN KEY (organization_id) REFERENCES organizations (id),
    CONSTRAINT fk_api_keys_user FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT fk_api_keys_replaces FOREIGN KEY (organization_id, replaces_api_key_id)
        REFERENCES api_keys (organization_id, id),
    CONSTRAINT ux_api_keys_organization_id_id UNIQUE (organization_id, id),
    CONSTRAINT ck_api_keys_allowed_networks CHECK (cardinality(allowed_networks) BETWEEN 1 AND 50),
    CONSTRAINT ck_api_keys_name CHECK (char_length(name) BETWEEN 1 AND 200),
    CONSTRAINT ck_api_keys_key_prefix CHECK (char_length(key_prefix) BETWEEN 1 AND 32),
    CONSTRAINT ck_api_keys_key_sha256 CHECK (octet_length(key_sha256) = 32),
    CONSTRAINT ck_api_keys_last_four CHECK (char_length(last_four) = 4),
    CONSTRAINT ck_api_keys_scopes CHECK (jsonb_typeof(scopes) = 'object'),
    CONSTRAINT ck_api_keys_usage_count CHECK (usage_count >= 0)
) WITH (fillfactor = 85);
COMMENT ON TABLE api_keys IS
    '[global] API keys. Only the hash is stored; the key is shown once. Found by hash before the organization is known, through find_api_key_by_hash.';
COMMENT ON COLUMN api_keys.id IS 'Identity of the key; what audit rows name.';
COMMENT ON COLUMN api_keys.organization_id IS 'The one organization that the key acts in.';
COMMENT ON COLUMN api_keys.user_id IS 'Whose rights the key carries.';
COMMENT ON COLUMN api_keys.name IS 'What the owner calls it.';
COMMENT ON COLUMN api_keys.key_prefix IS 'First characters of the key, to recognize it by.';
COMMENT ON COLUMN api_keys.key_sha256 IS 'SHA-256 of the whole key, which has enough entropy to need no slow hash.';
COMMENT ON COLUMN api_keys.last_four IS 'Last four characters, to recognize it by.';
COMMENT ON COLUMN api_keys.scopes IS 'Permissions that narrow those of the user; NULL means no narrowing.';
COMMENT ON COLUMN api_keys.allowed_networks IS 'From where the key may be used; NULL means from anywhere.';
COMMENT ON COLUMN api_keys.replaces_api_key_id IS 'The key in whose place this one was made, which ended some time later.';
COMMENT ON COLUMN api_keys.expires_at IS 'When it stops working; NULL means never.';
COMMENT ON COLUMN api_keys.revoked_at IS 'When it was revoked.';
COMMENT ON COLUMN api_keys.last_used_at IS 'Last use, written in batches, so minutes late at worst.';
COMMENT ON COLUMN api_keys.usage_count IS 'Number of uses, written with last_used_at.';
COMMENT ON COLUMN api_keys.created_at IS 'When the row was made.';
COMMENT ON COLUMN api_keys.updated_at IS 'When the row was last written.';
COMMENT ON COLUMN api_keys.deleted_at IS 'When it was soft-deleted; NULL while live.';

-- Foreign key; what came in a key's place.
CREATE INDEX IF NOT EXISTS ix_api_keys_replaces_api_key_id ON api_keys (organization_id, replaces_api_key_id)
    WHERE replaces_api_key_id IS NOT NULL;
-- Keyset list of an organization's keys.
CREATE INDEX IF NOT EXISTS ix_api_keys_organization_id_id ON api_keys (organization_id, id DESC) WHERE deleted_at IS NULL;
-- Foreign key; the keys of a user, also when the user is locked out.
CREATE INDEX IF NOT EXISTS ix_api_keys_user_id ON api_keys (user_id);
-- Warning before a key expires.
CREATE INDEX IF NOT EXISTS ix_api_keys_organization_id_expires_at ON api_keys (organization_id, expires_at)
    WHERE deleted_at IS NULL AND revoked_at IS NULL AND expires_at IS NOT NULL;

CREATE TABLE IF NOT EXISTS sessions (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    user_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    token_sha256 bytea NOT NULL,
    csrf_sha256 bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    idle_expires_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz NULL,
    ip_address text NULL,
    user_agent text NULL,
    second_factor text NOT NULL DEFAULT 'none',
    CONSTRAINT pk_sessions PRIMARY KEY (id),
    CONSTRAINT ux_sessions_token_sha256 UNIQUE (token_sha256),
    CONSTRAINT fk_sessions_user FOREIGN KEY (user_id) REFERENCES users (id),
    CONSTRAINT fk_sessions_organization FOREIGN KEY (organization_id) REFERENCES organizations (id),
    CONSTRAINT ck_sessions_token_sha256 CHECK (octet_length(token_sha256) = 32),
    CONSTRAINT ck_sessions_csrf_sha256 CHECK (octet_length(csrf_sha256) = 32),
    CONSTRAINT ck_sessions_ip_address CHECK (char_length(ip_address) <= 64),
    CONSTRAINT ck_sessions_user_agent CHECK (char_length(user_agent) <= 512),
    CONSTRAINT ck_sessions_second_factor CHECK (second_factor IN ('none', 'owed', 'passed'))
) WITH (fillfactor = 85);
COMMENT ON TABLE sessions IS
    '[global] Browser sessions, one active organization each. Only hashes of token and CSRF token are stored. Found through find_session_by_token; purged some time after their end.';
COMMENT ON COLUMN sessions.id IS 'Identity of the session; what audit rows name.';
COMMENT ON COLUMN sessions.user_id IS 'Who signed in.';
COMMENT ON COLUMN sessions.organization_id IS 'The organization that the session acts in, until it is switched.';
COMMENT ON COLUMN sessions.token_sha256 IS 'SHA-256 of the cookie''s token.';
COMMENT ON COLUMN sessions.csrf_sha256 IS 'SHA-256 of the CSRF token that belongs to the session.';
COMMENT ON COLUMN sessions.created_at IS 'When the user signed in.';
COMMENT ON COLUMN sessions.last_seen_at IS 'Last request, written at intervals rather than each time.';
COMMENT ON COLUMN sessions.idle_expires_at IS 'Ends then unless used; moves forward with use.';
COMMENT ON COLUMN sessions.expires_at IS 'Ends then in any case.';
COMMENT ON COLUMN sessions.ended_at IS 'When it was signed out or ended by somebody.';
COMMENT ON COLUMN sessions.ip_address IS 'Address that signed in.';
COMMENT ON COLUMN sessions.user_agent IS 'User-Agent header that signed in, cut to length.';
COMMENT ON COLUMN sessions.second_factor IS 'none: the user had no second factor when signing in. owed: nothing is allowed before a code of it. passed: a code came.';

-- Keyset list of live sessions, per organization.
CREATE INDEX IF NOT EXISTS ix_sessions_organization_id_id ON sessions (organization_id, id DESC) WHERE ended_at IS NULL;
-- Foreign key; the sessions of a user, and ending all of them.
CREATE INDEX IF NOT EXISTS ix_sessions_user_id ON sessions (user_id, id DESC);
-- Purge of what is over.
CREATE INDEX IF NOT EXISTS ix_sessions_expires_at ON sessions (expires_at);


-- ---------------------------------------------------------------------------------------------
-- 5. Policies and workflows
-- ---------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS policies (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    name text NOT NULL,
    description text NULL,
    policy_type text NOT NULL,
    version integer NOT NULL DEFAULT 1,
    status text NOT NULL DEFAULT 'draft',
    enforcement text NOT NULL DEFAULT 'mandatory',
    priority integer NOT NULL DEFAULT 100,
    rules jsonb NOT NULL DEFAULT '{}',
    effective_from timestamptz NULL,
    effective_until timestamptz NULL,
    created_by_user_id uuid NULL,
    updated_by_user_id uuid NULL,
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz NULL,
    CONSTRAINT pk_policies PRIMARY KEY (id),
    CONSTRAINT ux_policies_organization_id_id UNIQUE (organization_id, id),
    CONSTRAINT fk_policies_organization FOREIGN KEY (organization_id) REFERENCES organizations (id),
    CONSTRAINT fk_policies_created_by FOREIGN KEY (created_by_user_id) REFERENCES users (id),
    CONSTRAINT fk_policies_updated_by FOREIGN KEY (updated_by_user_id) REFERENCES users (id),
    CONSTRAINT ck_policies_name CHECK (char_length(name) BETWEEN 1 AND 200),
    CONSTRAINT ck_policies_policy_type CHECK (
        policy_type IN ('certificate', 'key_management', 'access_control', 'compliance', 'issuance')),
    CONSTRAINT ck_policies_version CHECK (version >= 1),
    CONSTRAINT ck_policies_status CHECK (status IN ('draft', 'active', 'inactive', 'archived')),
    CONSTRAINT ck_policies_enforcement CHECK (enforcement IN ('mandatory', 'advisory', 'audit_only')),
    CONSTRAINT ck_policies_rules CHECK (jsonb_typeof(rules) = 'object'),
    CONSTRAINT ck_policies_effective CHECK (effective_until > effective_from)
);
COMMENT ON TABLE policies IS
    '[tenant] Rules that plans for certificates, keys and access are judged by. Each version of a policy is a row of its own.';
COMMENT ON COLUMN policies.id IS 'Identity of this version; what certificates refer to.';
COMMENT ON COLUMN policies.organization_id IS 'Owner.';
COMMENT ON COLUMN policies.name IS 'Name, the same in all versions.';
COMMENT ON COLUMN policies.description IS 'What the policy is for.';
COMMENT ON COLUMN policies.policy_type IS 'What kind of act it judges.';
COMMENT ON COLUMN policies.version IS 'Counts up per name.';
COMMENT ON COLUMN policies.status IS 'Only an active policy judges.';
COMMENT ON COLUMN policies.enforcement IS 'mandatory refuses, advisory warns, audit_only records.';
COMMENT ON COLUMN policies.priority IS 'Lower numbers are judged first.';
COMMENT ON COLUMN policies.rules IS 'The rules, in the format of the policy engine.';
COMMENT ON COLUMN policies.effective_from IS 'Judges from then on; NULL means at once.';
COMMENT ON COLUMN policies.effective_until IS 'Judges until then; NULL means without end.';
COMMENT ON COLUMN policies.created_by_user_id IS 'Who wrote this version; NULL for the platform itself.';
COMMENT ON COLUMN policies.updated_by_user_id IS 'Who changed it last.';
COMMENT ON COLUMN policies.revision IS 'Counts the edits, for ETag and If-Match; raised by the writer.';
COMMENT ON COLUMN policies.created_at IS 'When the row was made.';
COMMENT ON COLUMN policies.updated_at IS 'When the row was last written.';
COMMENT ON COLUMN policies.deleted_at IS 'When it was soft-deleted; NULL while live.';

-- One live row per name and version; also finds a policy by name.
CREATE UNIQUE INDEX IF NOT EXISTS ux_policies_organization_id_name_version
    ON policies (organization_id, name, version) WHERE deleted_at IS NULL;
-- What the engine loads: active policies of a type in order of priority.
CREATE INDEX IF NOT EXISTS ix_policies_organization_id_policy_type_status
    ON policies (organization_id, policy_type, status, priority, id) WHERE deleted_at IS NULL;
-- "Which policies mention this issuer or profile", before one of those is removed (System scope).
CREATE INDEX IF NOT EXISTS ix_policies_rules ON policies USING gin (rules jsonb_path_ops) WHERE deleted_at IS NULL;
-- Foreign keys.
CREATE INDEX IF NOT EXISTS ix_policies_created_by_user_id
    ON policies (created_by_user_id) WHERE created_by_user_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ix_policies_updated_by_user_id
    ON policies (updated_by_user_id) WHERE updated_by_user_id IS NOT NULL;

CREATE TABLE IF NOT EXISTS workflows (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    name text NOT NULL,
    description text NULL,
    workflow_type text NOT NULL,
    version integer NOT NULL DEFAULT 1,
    status text NOT NULL DEFAULT 'draft',
    priority integer NOT NULL DEFAULT 100,
    definition jsonb NOT NULL DEFAULT '{}',
    created_by_user_id uuid NULL,
    updated_by_user_id uuid NULL,
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz NULL,
    CONSTRAINT pk_workflows PRIMARY KEY (id),
    CONSTRAINT ux_workflows_organization_id_id UNIQUE (organization_id, id),
    CONSTRAINT fk_workflows_organization FOREIGN KEY (organization_id) REFERENCES organizations (id),
    CONSTRAINT fk_workflows_created_by FOREIGN KEY (created_by_user_id) REFERENCES users (id),
    CONSTRAINT fk_workflows_updated_by FOREIGN KEY (updated_by_user_id) REFERENCES users (id),
    CONSTRAINT ck_workflows_name CHECK (char_length(name) BETWEEN 1 AND 200),
    CONSTRAINT ck_workflows_workflow_type CHECK (
        workflow_type IN ('certificate_request', 'renewal', 'revocation', 'key_rotation', 'import', 'export')),
    CONSTRAINT ck_workflows_version CHECK (version >= 1),
    CONSTRAINT ck_workflows_status CHECK (status IN ('draft', 'active', 'inactive', 'archived')),
    CONSTRAINT ck_workflows_definition CHECK (jsonb_typeof(definition) = 'object')
);
COMMENT ON TABLE workflows IS
    '[tenant] Definitions of what happens around an act: approvals, checks, notifications. Each version is a row of its own.';
COMMENT ON COLUMN workflows.id IS 'Identity of this version; what instances and certificates refer to.';
COMMENT ON COLUMN workflows.organization_id IS 'Owner.';
COMMENT ON COLUMN workflows.name IS 'Name, the same in all versions.';
COMMENT ON COLUMN workflows.description IS 'What the workflow is for.';
COMMENT ON COLUMN workflows.workflow_type IS 'The act that starts it.';
COMMENT ON COLUMN workflows.version IS 'Counts up per name.';
COMMENT ON COLUMN workflows.status IS 'Only an active workflow is started.';
COMMENT ON COLUMN workflows.priority IS 'Among several that apply, the lowest number wins.';
COMMENT ON COLUMN workflows.definition IS 'Steps and conditions, in the format of the workflow engine.';
COMMENT ON COLUMN workflows.created_by_user_id IS 'Who wrote this version; NULL for the platform itself.';
COMMENT ON COLUMN workflows.updated_by_user_id IS 'Who changed it last.';
COMMENT ON COLUMN workflows.revision IS 'Counts the edits, for ETag and If-Match; raised by the writer.';
COMMENT ON COLUMN workflows.created_at IS 'When the row was made.';
COMMENT ON COLUMN workflows.updated_at IS 'When the row was last written.';
COMMENT ON COLUMN workflows.deleted_at IS 'When it was soft-deleted; NULL while live.';

-- One live row per name and version; also finds a workflow by name.
CREATE UNIQUE INDEX IF NOT EXISTS ux_workflows_organization_id_name_version
    ON workflows (organization_id, name, version) WHERE deleted_at IS NULL;
-- What starts for an act: active workflows of a type in order of priority.
CREATE INDEX IF NOT EXISTS ix_workflows_organization_id_workflow_type_status
    ON workflows (organization_id, workflow_type, status, priority, id) WHERE deleted_at IS NULL;
-- "Which workflows name this role or user", before one of those is removed (System scope).
CREATE INDEX IF NOT EXISTS ix_workflows_definition
    ON workflows USING gin (definition jsonb_path_ops) WHERE deleted_at IS NULL;
-- Foreign keys.
CREATE INDEX IF NOT EXISTS ix_workflows_created_by_user_id
    ON workflows (created_by_user_id) WHERE created_by_user_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ix_workflows_updated_by_user_id
    ON workflows (updated_by_user_id) WHERE updated_by_user_id IS NOT NULL;

CREATE TABLE IF NOT EXISTS workflow_instances (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    workflow_id uuid NOT NULL,
    certificate_id uuid NULL,
    certificate_request_id uuid NULL,
    status text NOT NULL DEFAULT 'initiated',
    current_step_order integer NULL,
    context jsonb NOT NULL DEFAULT '{}',
    initiated_by_user_id uuid NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NULL,
    completed_at timestamptz NULL,
    last_error text NULL,
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz NULL,
    CONSTRAINT pk_workflow_instances PRIMARY KEY (id),
    CONSTRAINT ux_workflow_instances_organization_id_id UNIQUE (organization_id, id),
    CONSTRAINT fk_workflow_instances_organization FOREIGN KEY (organization_id) REFERENCES organizations (id),
    CONSTRAINT fk_workflow_instances_workflow FOREIGN KEY (organization_id, workflow_id)
        REFERENCES workflows (organization_id, id),
    CONSTRAINT fk_workflow_instances_initiated_by FOREIGN KEY (initiated_by_user_id) REFERENCES users (id),
    CONSTRAINT ck_workflow_instances_status CHECK (status IN (
        'initiated', 'in_progress', 'pending_approval', 'approved', 'rejected', 'completed', 'failed', 'cancelled')),
    CONSTRAINT ck_workflow_instances_context CHECK (jsonb_typeof(context) = 'object'),
    CONSTRAINT ck_workflow_instances_completed CHECK (completed_at >= started_at)
);
COMMENT ON TABLE workflow_instances IS
    '[tenant] One run of a workflow, about one certificate or one request.';
COMMENT ON COLUMN workflow_instances.id IS 'Identity of the run.';
COMMENT ON COLUMN workflow_instances.organization_id IS 'Owner.';
COMMENT ON COLUMN workflow_instances.workflow_id IS 'The version of the workflow that runs.';
COMMENT ON COLUMN workflow_instances.certificate_id IS 'certificates.id in clm_secure_db; no foreign key across databases.';
COMMENT ON COLUMN workflow_instances.certificate_request_id IS 'certificate_requests.id in clm_secure_db; no foreign key across databases.';
COMMENT ON COLUMN workflow_instances.status IS 'Where the run stands.';
COMMENT ON COLUMN workflow_instances.current_step_order IS 'step_order of the step or steps under way; NULL before the first and after the last.';
COMMENT ON COLUMN workflow_instances.context IS 'What the steps need to know and have found out. No secrets.';
COMMENT ON COLUMN workflow_instances.initiated_by_user_id IS 'Who set it off; NULL for the platform itself.';
COMMENT ON COLUMN workflow_instances.started_at IS 'When it was set off.';
COMMENT ON COLUMN workflow_instances.due_at IS 'When it is overdue; NULL means never.';
COMMENT ON COLUMN workflow_instances.completed_at IS 'When it reached a final status.';
COMMENT ON COLUMN workflow_instances.last_error IS 'Why it failed, for people.';
COMMENT ON COLUMN workflow_instances.revision IS 'Counts the changes, against lost updates; raised by the writer.';
COMMENT ON COLUMN workflow_instances.created_at IS 'When the row was made.';
COMMENT ON COLUMN workflow_instances.updated_at IS 'When the row was last written.';
COMMENT ON COLUMN workflow_instances.deleted_at IS 'When it was soft-deleted; NULL while live.';

-- Keyset list by status; also the runs of a status that a worker takes up.
CREATE INDEX IF NOT EXISTS ix_workflow_instances_organization_id_status
    ON workflow_instances (organization_id, status, id DESC) WHERE deleted_at IS NULL;
-- Foreign key; the runs of a workflow.
CREATE INDEX IF NOT EXISTS ix_workflow_instances_organization_id_workflow_id
    ON workflow_instances (organization_id, workflow_id);
-- The run that belongs to a request or a certificate.
CREATE INDEX IF NOT EXISTS ix_workflow_instances_organization_id_certificate_request_id
    ON workflow_instances (organization_id, certificate_request_id) WHERE certificate_request_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ix_workflow_instances_organization_id_certificate_id
    ON workflow_instances (organization_id, certificate_id) WHERE certificate_id IS NOT NULL;
-- Foreign key; what a person set off.
CREATE INDEX IF NOT EXISTS ix_workflow_instances_initiated_by_user_id
    ON workflow_instances (initiated_by_user_id) WHERE initiated_by_user_id IS NOT NULL;

CREATE TABLE IF NOT EXISTS workflow_steps (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    workflow_instance_id uuid NOT NULL,
    step_order integer NOT NULL,
    step_name text NOT NULL,
    step_type text NOT NULL,
    status text NOT NULL DEFAULT 'pending',
    assigned_to_user_id uuid NULL,
    assigned_to_role_id uuid NULL,
    configuration jsonb NOT NULL DEFAULT '{}',
    result jsonb NULL,
    due_at timestamptz NULL,
    started_at timestamptz NULL,
    completed_at timestamptz NULL,
    decision text NULL,
    decided_by_user_id uuid NULL,
    decided_at timestamptz NULL,
    comments text NULL,
    revision bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz NULL,
    CONSTRAINT pk_workflow_steps PRIMARY KEY (id),
    CONSTRAINT ux_workflow_steps_organization_id_id UNIQUE (organization_id, id),
    CONSTRAINT fk_workflow_steps_instance FOREIGN KEY (organization_id, workflow_instance_id)
        REFERENCES workflow_instances (organization_id, id),
    CONSTRAINT fk_workflow_steps_assigned_to_user FOREIGN KEY (assigned_to_user_id) REFERENCES users (id),
    CONSTRAINT fk_workflow_steps_assigned_to_role FOREIGN KEY (assigned_to_role_id) REFERENCES roles (id),
    CONSTRAINT fk_workflow_steps_decided_by FOREIGN KEY (decided_by_user_id) REFERENCES users (id),
    CONSTRAINT ck_workflow_steps_step_order CHECK (step_order >= 1),
    CONSTRAINT ck_workflow_steps_step_name CHECK (char_length(step_name) BETWEEN 1 AND 200),
    CONSTRAINT ck_workflow_steps_step_type CHECK (
        step_type IN ('approval', 'validation', 'action', 'notification', 'decision')),
    CONSTRAINT ck_workflow_steps_status CHECK (
        status IN ('pending', 'in_progress', 'completed', 'failed', 'skipped')),
    CONSTRAINT ck_workflow_steps_decision CHECK (decision IN ('approved', 'rejected')),
    CONSTRAINT ck_workflow_steps_decided CHECK ((decision IS NULL) = (decided_at IS NULL)),
    CONSTRAINT ck_workflow_steps_configuration CHECK (jsonb_typeof(configuration) = 'object')
);
COMMENT ON TABLE workflow_steps IS
    '[tenant] The steps of a run. Steps with the same order may be worked on side by side.';
COMMENT ON COLUMN workflow_steps.id IS 'Identity of the step.';
COMMENT ON COLUMN workflow_steps.organization_id IS 'Owner.';
COMMENT ON COLUMN workflow_steps.workflow_instance_id IS 'The run.';
COMMENT ON COLUMN workflow_steps.step_order IS 'Position within the run, from 1.';
COMMENT ON COLUMN workflow_steps.step_name IS 'Name from the definition.';
COMMENT ON COLUMN workflow_steps.step_type IS 'What kind of work it is.';
COMMENT ON COLUMN workflow_steps.status IS 'Where the step stands.';
COMMENT ON COLUMN workflow_steps.assigned_to_user_id IS 'The user who is asked; NULL when a role is asked.';
COMMENT ON COLUMN workflow_steps.assigned_to_role_id IS 'The role whose holders are asked; NULL when a user is asked.';
COMMENT ON COLUMN workflow_steps.configuration IS 'The step''s part of the definition, as it was when the run began.';
COMMENT ON COLUMN workflow_steps.result IS 'What the step found out or did. No secrets.';
COMMENT ON COLUMN workflow_steps.due_at IS 'When it is overdue; NULL means never.';
COMMENT ON COLUMN workflow_steps.started_at IS 'When work on it began.';
COMMENT ON COLUMN workflow_steps.completed_at IS 'When it reached a final status.';
COMMENT ON COLUMN workflow_steps.decision IS 'What was decided, for steps that ask.';
COMMENT ON COLUMN workflow_steps.decided_by_user_id IS 'Who decided.';
COMMENT ON COLUMN workflow_steps.decided_at IS 'When it was decided.';
COMMENT ON COLUMN workflow_steps.comments IS 'Reasons given by the one who decided.';
COMMENT ON COLUMN workflow_steps.revision IS 'Counts the changes, so that two deciders cannot overwrite one another; raised by the writer.';
COMMENT ON COLUMN workflow_steps.created_at IS 'When the row was made.';
COMMENT ON COLUMN workflow_steps.updated_at IS 'When the row was last written.';
COMMENT ON COLUMN workflow_steps.deleted_at IS 'When it was soft-deleted; NULL while live.';

-- Foreign key; the steps of a run in order.
CREATE INDEX IF NOT EXISTS ix_workflow_steps_organization_id_workflow_instance_id
    ON workflow_steps (organization_id, workflow_instance_id, step_order);
-- View pending_approvals: open approvals of an organization, newest first.
CREATE INDEX IF NOT EXISTS ix_workflow_steps_pending_approvals
    ON workflow_steps (organization_id, id DESC)
    WHERE step_type = 'approval' AND status IN ('pending', 'in_progress') AND deleted_at IS NULL;
-- Foreign keys; "what waits for me" by user and by role.
CREATE INDEX IF NOT EXISTS ix_workflow_steps_assigned_to_user_id
    ON workflow_steps (assigned_to_user_id, status) WHERE assigned_to_user_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ix_workflow_steps_assigned_to_role_id
    ON workflow_steps (assigned_to_role_id, status) WHERE assigned_to_role_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ix_workflow_steps_decided_by_user_id
    ON workflow_steps (decided_by_user_id) WHERE decided_by_user_id IS NOT NULL;
-- Overdue steps (scheduler, System scope).
CREATE INDEX IF NOT EXISTS ix_workflow_steps_due_at
    ON workflow_steps (due_at) WHERE status IN ('pending', 'in_progress') AND due_at IS NOT NULL AND deleted_at IS NULL;


-- ---------------------------------------------------------------------------------------------
-- 6. Notifications
-- ---------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS notifications (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    notification_type text NOT NULL,
    severity text NOT NULL DEFAULT 'info',
    channel text NOT NULL,
    recipient_user_id uuid NULL,
    recipient text NULL,
    subject text NOT NULL,
    body text NOT NULL,
    payload jsonb NOT NULL DEFAULT '{}',
    certificate_id uuid NULL,
    workflow_instance_id uuid NULL,
    dedupe_key text COLLATE "C" NULL,
    status text NOT NULL DEFAULT 'pending',
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    last_error text NULL,
    sent_at timestamptz NULL,
    read_at timestamptz NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz NULL,
    CONSTRAINT pk_notifications PRIMARY KEY (id),
    CONSTRAINT ux_notifications_organization_id_id UNIQUE (organization_id, id),
    CONSTRAINT fk_notifications_organization FOREIGN KEY (organization_id) REFERENCES organizations (id),
    CONSTRAINT fk_notifications_recipient_user FOREIGN KEY (recipient_user_id) REFERENCES users (id),
    CONSTRAINT fk_notifications_workflow_instance FOREIGN KEY (organization_id, workflow_instance_id)
        REFERENCES workflow_instances (organization_id, id),
    CONSTRAINT ck_notifications_severity CHECK (severity IN ('info', 'warning', 'error', 'critical')),
    CONSTRAINT ck_notifications_channel CHECK (
        channel IN ('in_app', 'email', 'webhook', 'slack', 'teams', 'pagerduty', 'sms')),
    CONSTRAINT ck_notifications_recipient CHECK (recipient_user_id IS NOT NULL OR recipient IS NOT NULL),
    CONSTRAINT ck_notifications_subject CHECK (char_length(subject) <= 998),
    CONSTRAINT ck_notifications_payload CHECK (jsonb_typeof(payload) = 'object'),
    CONSTRAINT ck_notifications_dedupe_key CHECK (char_length(dedupe_key) <= 255),
    CONSTRAINT ck_notifications_status CHECK (status IN ('pending', 'sending', 'sent', 'failed', 'cancelled')),
    CONSTRAINT ck_notifications_attempts CHECK (attempts >= 0)
);
COMMENT ON TABLE notifications IS
    '[tenant] Messages to people and systems, with the state of their delivery.';
COMMENT ON COLUMN notifications.id IS 'Identity of the message.';
COMMENT ON COLUMN notifications.organization_id IS 'Owner.';
COMMENT ON COLUMN notifications.notification_type IS 'What it is about, such as certificate.expiring.';
COMMENT ON COLUMN notifications.severity IS 'How urgent it is.';
COMMENT ON COLUMN notifications.channel IS 'How it is delivered.';
COMMENT ON COLUMN notifications.recipient_user_id IS 'The user it is for; NULL when it goes to an address only.';
COMMENT ON COLUMN notifications.recipient IS 'Address on the channel; NULL means the user''s own. With a user: the address that the user had then.';
COMMENT ON COLUMN notifications.subject IS 'One line.';
COMMENT ON COLUMN notifications.body IS 'The text. No secrets: where a link with a token belongs stands {link}, and the token is made at delivery.';
COMMENT ON COLUMN notifications.payload IS 'The same for programs (webhooks). No secrets.';
COMMENT ON COLUMN notifications.certificate_id IS 'certificates.id in clm_secure_db; no foreign key across databases.';
COMMENT ON COLUMN notifications.workflow_instance_id IS 'The run it belongs to.';
COMMENT ON COLUMN notifications.dedupe_key IS 'Same key, same message: the second is not made. NULL means always made.';
COMMENT ON COLUMN notifications.status IS 'State of delivery.';
COMMENT ON COLUMN notifications.attempts IS 'Deliveries begun; also tells the one that goes on from an earlier one.';
COMMENT ON COLUMN notifications.next_attempt_at IS 'Not tried before this moment; while sending, the moment from which on whoever sends it counts as dead.';
COMMENT ON COLUMN notifications.last_error IS 'Why the last try failed, without credentials.';
COMMENT ON COLUMN notifications.sent_at IS 'When it was delivered.';
COMMENT ON COLUMN notifications.read_at IS 'When the user read it (in_app).';
COMMENT ON COLUMN notifications.created_at IS 'When the row was made.';
COMMENT ON COLUMN notifications.updated_at IS 'When the row was last written.';
COMMENT ON COLUMN notifications.deleted_at IS 'When it was soft-deleted; NULL while live.';

-- The sender takes what is due (System scope).
CREATE INDEX IF NOT EXISTS ix_notifications_next_attempt_at
    ON notifications (next_attempt_at, id) WHERE status IN ('pending', 'sending') AND deleted_at IS NULL;
-- Keyset list of an organization's messages.
CREATE INDEX IF NOT EXISTS ix_notifications_organization_id_status
    ON notifications (organization_id, status, id DESC) WHERE deleted_at IS NULL;
-- A user's inbox and number of unread messages.
CREATE INDEX IF NOT EXISTS ix_notifications_organization_id_recipient_user_id
    ON notifications (organization_id, recipient_user_id, id DESC) INCLUDE (read_at)
    WHERE channel = 'in_app' AND deleted_at IS NULL;
-- Once per reason.
CREATE UNIQUE INDEX IF NOT EXISTS ux_notifications_organization_id_dedupe_key
    ON notifications (organization_id, dedupe_key) WHERE dedupe_key IS NOT NULL;
-- Foreign keys; how many messages a user got of late.
CREATE INDEX IF NOT EXISTS ix_notifications_recipient_user_id
    ON notifications (recipient_user_id, created_at) WHERE recipient_user_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ix_notifications_organization_id_workflow_instance_id
    ON notifications (organization_id, workflow_instance_id) WHERE workflow_instance_id IS NOT NULL;


-- ---------------------------------------------------------------------------------------------
-- 7. What is known about certificates
-- ---------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS certificate_metadata (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    certificate_id uuid NOT NULL,
    certificate_request_id uuid NULL,
    issuer_id uuid NULL,
    certificate_type text NOT NULL,
    status text NOT NULL,
    serial_number text COLLATE "C" NOT NULL,
    common_name text NULL,
    common_name_normalized text COLLATE "C" NULL,
    subject text NOT NULL,
    subject_alternative_names text[] NOT NULL DEFAULT '{}',
    fingerprint_sha256 bytea NOT NULL,
    spki_sha256 bytea NOT NULL,
    key_algorithm text NOT NULL,
    not_before timestamptz NOT NULL,
    not_after timestamptz NOT NULL,
    owner_user_id uuid NULL,
    has_private_key boolean NOT NULL DEFAULT false,
    revoked_at timestamptz NULL,
    revocation_reason text NULL,
    environment text NULL,
    tags text[] NOT NULL DEFAULT '{}',
    notes text NULL,
    custom_fields jsonb NOT NULL DEFAULT '{}',
    revision bigint NOT NULL,
    metadata_version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz NULL,
    CONSTRAINT pk_certificate_metadata PRIMARY KEY (id),
    CONSTRAINT fk_certificate_metadata_organization FOREIGN KEY (organization_id) REFERENCES organizations (id),
    CONSTRAINT fk_certificate_metadata_owner_user FOREIGN KEY (owner_user_id) REFERENCES users (id),
    CONSTRAINT ck_certificate_metadata_certificate_type CHECK (certificate_type IN (
        'root', 'intermediate', 'leaf', 'client', 'server', 'code_signing', 'email')),
    CONSTRAINT ck_certificate_metadata_status CHECK (status IN (
        'pending', 'active', 'expiring', 'expired', 'revoked', 'suspended')),
    CONSTRAINT ck_certificate_metadata_serial_number CHECK (
        length(serial_number) BETWEEN 1 AND 128 AND translate(serial_number, '0123456789abcdef', '') = ''),
    CONSTRAINT ck_certificate_metadata_common_name_normalized CHECK (char_length(common_name_normalized) <= 256),
    CONSTRAINT ck_certificate_metadata_fingerprint_sha256 CHECK (octet_length(fingerprint_sha256) = 32),
    CONSTRAINT ck_certificate_metadata_spki_sha256 CHECK (octet_length(spki_sha256) = 32),
    CONSTRAINT ck_certificate_metadata_revocation_reason CHECK (revocation_reason IN (
        'unspecified', 'key_compromise', 'ca_compromise', 'affiliation_changed', 'superseded',
        'cessation_of_operation', 'certificate_hold', 'remove_from_crl', 'privilege_withdrawn', 'aa_compromise')),
    CONSTRAINT ck_certificate_metadata_environment CHECK (
        environment IN ('production', 'staging', 'development', 'testing')),
    CONSTRAINT ck_certificate_metadata_custom_fields CHECK (jsonb_typeof(custom_fields) = 'object'),
    CONSTRAINT ck_certificate_metadata_revision CHECK (revision >= 1),
    CONSTRAINT ck_certificate_metadata_metadata_version CHECK (metadata_version >= 1)
) WITH (fillfactor = 90);
COMMENT ON TABLE certificate_metadata IS
    '[tenant] Projection of certificates in clm_secure_db, plus what people add (owner, environment, tags, notes, custom fields). Holds no secret. Written by every issuance.';
COMMENT ON COLUMN certificate_metadata.id IS 'Identity of this row.';
COMMENT ON COLUMN certificate_metadata.organization_id IS 'Owner.';
COMMENT ON COLUMN certificate_metadata.certificate_id IS 'certificates.id in clm_secure_db; no foreign key across databases.';
COMMENT ON COLUMN certificate_metadata.certificate_request_id IS 'certificate_requests.id in clm_secure_db; NULL for imported or discovered ones.';
COMMENT ON COLUMN certificate_metadata.issuer_id IS 'Issuer in clm_secure_db; NULL when somebody else issued it.';
COMMENT ON COLUMN certificate_metadata.certificate_type IS 'What the certificate is for.';
COMMENT ON COLUMN certificate_metadata.status IS 'Status by the last event applied.';
COMMENT ON COLUMN certificate_metadata.serial_number IS 'Serial number in lower-case hexadecimal.';
COMMENT ON COLUMN certificate_metadata.common_name IS 'Common name of the subject; a certificate may have none.';
COMMENT ON COLUMN certificate_metadata.common_name_normalized IS 'Common name lower-cased by the application, cut to 256 characters; what searches compare.';
COMMENT ON COLUMN certificate_metadata.subject IS 'Subject name as text (RFC 4514); empty when the certificate has none.';
COMMENT ON COLUMN certificate_metadata.subject_alternative_names IS 'Alternative names as TYPE:value, such as DNS:www.example.org.';
COMMENT ON COLUMN certificate_metadata.fingerprint_sha256 IS 'SHA-256 of the DER certificate.';
COMMENT ON COLUMN certificate_metadata.spki_sha256 IS 'SHA-256 of the SubjectPublicKeyInfo: same key, same value.';
COMMENT ON COLUMN certificate_metadata.key_algorithm IS 'Algorithm and size of the public key, such as ecdsa_p256.';
COMMENT ON COLUMN certificate_metadata.not_before IS 'Start of validity.';
COMMENT ON COLUMN certificate_metadata.not_after IS 'End of validity.';
COMMENT ON COLUMN certificate_metadata.owner_user_id IS 'Who answers for it.';
COMMENT ON COLUMN certificate_metadata.has_private_key IS 'The platform holds the private key.';
COMMENT ON COLUMN certificate_metadata.revoked_at IS 'When it was revoked or suspended.';
COMMENT ON COLUMN certificate_metadata.revocation_reason IS 'Why (RFC 5280 §5.3.1).';
COMMENT ON COLUMN certificate_metadata.environment IS 'Where it is used.';
COMMENT ON COLUMN certificate_metadata.tags IS 'Labels given by people.';
COMMENT ON COLUMN certificate_metadata.notes IS 'Free text.';
COMMENT ON COLUMN certificate_metadata.custom_fields IS 'Fields that the organization defined.';
COMMENT ON COLUMN certificate_metadata.revision IS 'Revision of the certificate in clm_secure_db that was applied last; only a higher one is applied.';
COMMENT ON COLUMN certificate_metadata.metadata_version IS 'Counts the edits of people, for ETag and If-Match; raised by the writer.';
COMMENT ON COLUMN certificate_metadata.created_at IS 'When the row was made.';
COMMENT ON COLUMN certificate_metadata.updated_at IS 'When the row was last written.';
COMMENT ON COLUMN certificate_metadata.deleted_at IS 'When it was soft-deleted; NULL while live.';

-- One row per certificate; the keyset list; and, by its included columns alone, counts by status and
-- the reconciler's comparison of both databases. No wide text in it: it is as large as the table is long.
CREATE UNIQUE INDEX IF NOT EXISTS ux_certificate_metadata_organization_id_certificate_id
    ON certificate_metadata (organization_id, certificate_id DESC)
    INCLUDE (status, certificate_type, not_after, revision, deleted_at);
-- What expires next (renewal, notices, dashboard).
CREATE INDEX IF NOT EXISTS ix_certificate_metadata_organization_id_not_after
    ON certificate_metadata (organization_id, not_after, certificate_id)
    WHERE deleted_at IS NULL AND status IN ('active', 'expiring');
-- Look-up of a certificate that somebody holds in hand.
CREATE INDEX IF NOT EXISTS ix_certificate_metadata_organization_id_fingerprint_sha256
    ON certificate_metadata (organization_id, fingerprint_sha256);
-- Look-up by serial number.
CREATE INDEX IF NOT EXISTS ix_certificate_metadata_organization_id_serial_number
    ON certificate_metadata (organization_id, serial_number);
-- Search by beginning of the common name, as a range: LIKE would not use an index under row security.
CREATE INDEX IF NOT EXISTS ix_certificate_metadata_organization_id_common_name_normalized
    ON certificate_metadata (organization_id, common_name_normalized, certificate_id DESC)
    WHERE deleted_at IS NULL AND common_name_normalized IS NOT NULL;
-- "My certificates"; foreign key.
CREATE INDEX IF NOT EXISTS ix_certificate_metadata_organization_id_owner_user_id
    ON certificate_metadata (organization_id, owner_user_id, certificate_id DESC)
    WHERE owner_user_id IS NOT NULL;
-- Search by label or custom field, in the System scope (containment is not leakproof, so a tenant's
-- statement cannot use these). Partial, so that issuance without labels pays nothing: a search must
-- say tags <> '{}' or custom_fields <> '{}' too.
CREATE INDEX IF NOT EXISTS ix_certificate_metadata_tags
    ON certificate_metadata USING gin (tags) WHERE tags <> '{}' AND deleted_at IS NULL;
CREATE INDEX IF NOT EXISTS ix_certificate_metadata_custom_fields
    ON certificate_metadata USING gin (custom_fields jsonb_path_ops)
    WHERE custom_fields <> '{}' AND deleted_at IS NULL;

-- No foreign key to organizations in these two, as in idempotency_keys: they are written in the scope
-- of their organization, and what they say is counted anew each minute.
CREATE TABLE IF NOT EXISTS certificate_quotas (
    organization_id uuid NOT NULL,
    live_count bigint NOT NULL,
    granted_count bigint NOT NULL,
    organization_revision bigint NOT NULL,
    counted_at timestamptz NOT NULL,
    CONSTRAINT pk_certificate_quotas PRIMARY KEY (organization_id),
    CONSTRAINT ck_certificate_quotas_live_count CHECK (live_count >= 0),
    CONSTRAINT ck_certificate_quotas_granted_count CHECK (granted_count >= 0)
) WITH (fillfactor = 50);
COMMENT ON TABLE certificate_quotas IS
    '[tenant] An upper bound of what counts against max_certificates, so that places are leased without counting certificates each time. Only of organizations with a quota.';
COMMENT ON COLUMN certificate_quotas.organization_id IS 'The organization.';
COMMENT ON COLUMN certificate_quotas.live_count IS 'Live certificates when they were last counted, without those of authorities.';
COMMENT ON COLUMN certificate_quotas.granted_count IS 'Places that were leased and not settled then, and every one that was leased since.';
COMMENT ON COLUMN certificate_quotas.organization_revision IS 'Revision of the organization then; another one means another quota, perhaps.';
COMMENT ON COLUMN certificate_quotas.counted_at IS 'When they were last counted.';

CREATE TABLE IF NOT EXISTS certificate_quota_leases (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    outstanding bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT pk_certificate_quota_leases PRIMARY KEY (id),
    CONSTRAINT ck_certificate_quota_leases_outstanding CHECK (outstanding >= 0)
) WITH (fillfactor = 50);
COMMENT ON TABLE certificate_quota_leases IS
    '[tenant] Places in max_certificates that a process of the program has leased, one row a process and organization. What a crash leaves ends by itself.';
COMMENT ON COLUMN certificate_quota_leases.id IS 'Identity of the lease; the process makes it.';
COMMENT ON COLUMN certificate_quota_leases.organization_id IS 'Whose quota it is.';
COMMENT ON COLUMN certificate_quota_leases.outstanding IS 'Places that may become certificates and are not counted as such yet.';
COMMENT ON COLUMN certificate_quota_leases.expires_at IS 'They do not count from then on; moved by each use.';

-- Places that others have leased.
CREATE INDEX IF NOT EXISTS ix_certificate_quota_leases_organization_id
    ON certificate_quota_leases (organization_id, expires_at);
-- Purge.
CREATE INDEX IF NOT EXISTS ix_certificate_quota_leases_expires_at ON certificate_quota_leases (expires_at);


-- ---------------------------------------------------------------------------------------------
-- 8. Audit log
-- ---------------------------------------------------------------------------------------------

-- The timestamp is the one inside the id, so that the id alone is unique although the key of a
-- partitioned table must contain the timestamp. There is no default for the timestamp: a writer
-- derives it with uuid_v7_timestamp(id).
CREATE TABLE IF NOT EXISTS audit_log (
    id uuid NOT NULL DEFAULT uuid_generate_v7(),
    event_timestamp timestamptz NOT NULL,
    organization_id uuid NOT NULL,
    event_code text COLLATE "C" NOT NULL,
    event_category text COLLATE "C" NOT NULL,
    severity text NOT NULL DEFAULT 'info',
    result text NOT NULL,
    actor_type text NOT NULL,
    actor_id uuid NULL,
    user_id uuid NULL,
    resource_type text COLLATE "C" NOT NULL,
    resource_id uuid NULL,
    request_id uuid NULL,
    session_id uuid NULL,
    ip_address text NULL,
    user_agent text NULL,
    reason text NULL,
    details jsonb NOT NULL DEFAULT '{}',
    canonical_sha256 bytea NOT NULL,
    CONSTRAINT pk_audit_log PRIMARY KEY (id, event_timestamp),
    -- Spelled out, because the body of a function would be parsed anew by each statement.
    CONSTRAINT ck_audit_log_event_timestamp CHECK (
        substr(id::text, 15, 1) = '7'
        AND event_timestamp = timezone('UTC', timestamp '1970-01-01 00:00:00'
            + ('x0000' || replace(left(id::text, 13), '-', ''))::bit(64)::bigint * interval '1 millisecond')),
    CONSTRAINT ck_audit_log_severity CHECK (severity IN ('info', 'warning', 'error', 'critical')),
    CONSTRAINT ck_audit_log_result CHECK (result IN ('success', 'failure', 'partial')),
    CONSTRAINT ck_audit_log_actor_type CHECK (
        actor_type IN ('user', 'api_key', 'service', 'local_operator', 'anonymous', 'system')),
    CONSTRAINT ck_audit_log_details CHECK (jsonb_typeof(details) = 'object'),
    CONSTRAINT ck_audit_log_canonical_sha256 CHECK (octet_length(canonical_sha256) = 32)
) PARTITION BY RANGE (event_timestamp);
COMMENT ON TABLE audit_log IS
    '[tenant] Who did what, when, to what, with which result. Append-only by grant and by trigger; partitioned by month. No foreign keys: a record outlives what it speaks of.';
COMMENT ON COLUMN audit_log.id IS 'UUID version 7 of the event; unique by itself.';
COMMENT ON COLUMN audit_log.event_timestamp IS 'When it happened: the millisecond inside the id.';
COMMENT ON COLUMN audit_log.organization_id IS 'In which organization; the System organization for events of nobody.';
COMMENT ON COLUMN audit_log.event_code IS 'What happened, such as user.sign_in.';
COMMENT ON COLUMN audit_log.event_category IS 'Group of the event code, such as authentication.';
COMMENT ON COLUMN audit_log.severity IS 'How serious it is.';
COMMENT ON COLUMN audit_log.result IS 'How it ended.';
COMMENT ON COLUMN audit_log.actor_type IS 'What kind of actor did it.';
COMMENT ON COLUMN audit_log.actor_id IS 'Id of the actor by its type: user, API key, service; NULL for anonymous and system.';
COMMENT ON COLUMN audit_log.user_id IS 'User behind the actor, where there is one.';
COMMENT ON COLUMN audit_log.resource_type IS 'Kind of thing that it was done to.';
COMMENT ON COLUMN audit_log.resource_id IS 'Which one; NULL for lists and for what does not exist.';
COMMENT ON COLUMN audit_log.request_id IS 'Request that caused it; the same in both databases.';
COMMENT ON COLUMN audit_log.session_id IS 'Session that caused it.';
COMMENT ON COLUMN audit_log.ip_address IS 'Address of the client.';
COMMENT ON COLUMN audit_log.user_agent IS 'User-Agent header of the client, cut to length.';
COMMENT ON COLUMN audit_log.reason IS 'Reason that the actor gave, or why it was refused.';
COMMENT ON COLUMN audit_log.details IS 'Further facts by event code. No secrets.';
COMMENT ON COLUMN audit_log.canonical_sha256 IS 'SHA-256 of the canonical form of this row, computed by the application; leaf of the sealed tree.';

-- List of an organization's events, newest first.
CREATE INDEX IF NOT EXISTS ix_audit_log_organization_id_event_timestamp
    ON audit_log (organization_id, event_timestamp DESC, id);
-- History of one thing.
CREATE INDEX IF NOT EXISTS ix_audit_log_organization_id_resource
    ON audit_log (organization_id, resource_type, resource_id, event_timestamp);
-- Deeds of one actor.
CREATE INDEX IF NOT EXISTS ix_audit_log_organization_id_actor_id
    ON audit_log (organization_id, actor_id, event_timestamp) WHERE actor_id IS NOT NULL;

DROP TRIGGER IF EXISTS trg_audit_log_append_only ON audit_log;
CREATE TRIGGER trg_audit_log_append_only
    BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION forbid_audit_change();
DROP TRIGGER IF EXISTS trg_audit_log_no_truncate ON audit_log;
CREATE TRIGGER trg_audit_log_no_truncate
    BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION forbid_audit_change();
-- ALWAYS: session_replication_role = replica switches other triggers off, and must not these.
ALTER TABLE audit_log ENABLE ALWAYS TRIGGER trg_audit_log_append_only;
ALTER TABLE audit_log ENABLE ALWAYS TRIGGER trg_audit_log_no_truncate;

-- Makes what is missing of last month (a clock may be behind), this month and the given number of
-- months ahead. A table is built aside and then attached: CREATE TABLE ... PARTITION OF would lock
-- out every writer. Row triggers are made here, because PostgreSQL 12 has no BEFORE ROW triggers on
-- partitioned tables. Row security without a policy shuts the direct way to a partition. What cannot
-- be locked soon is left for the next call: nobody who writes queues behind this one for long.
CREATE OR REPLACE FUNCTION ensure_audit_partitions(months_ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
    parent constant regclass := 'public.audit_log'::regclass;
    this_month timestamp := date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC');
    month_start timestamp;
    partition_name text;
    partition_oid oid;
    guard record;
    made integer := 0;
BEGIN
    IF months_ahead IS NULL OR months_ahead NOT BETWEEN 1 AND 36 THEN
        RAISE EXCEPTION 'months_ahead must be between 1 and 36'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Two replicas may start at once.
    PERFORM pg_advisory_xact_lock(hashtextextended('clm.ensure_audit_partitions', 0));
    FOR i IN -1 .. months_ahead LOOP
        month_start := this_month + make_interval(months => i);
        partition_name := 'audit_log_' || to_char(month_start, '"y"YYYY"m"MM');
        partition_oid := to_regclass('public.' || partition_name);
        IF partition_oid IS NOT NULL THEN
            IF NOT EXISTS (SELECT 1 FROM pg_inherits h WHERE h.inhrelid = partition_oid AND h.inhparent = parent) THEN
                RAISE EXCEPTION 'table % exists but is not a partition of audit_log', partition_name
                    USING HINT = 'Attach it again, or rename it if it is an archive.';
            END IF;
            CONTINUE;
        END IF;
        EXECUTE format('CREATE TABLE public.%I (LIKE public.audit_log INCLUDING ALL)', partition_name);
        EXECUTE format('COMMENT ON TABLE public.%I IS %L', partition_name,
            format('[tenant] Audit events of %s (UTC); reached through audit_log only.', to_char(month_start, 'YYYY-MM')));
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', partition_name);
        EXECUTE format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY', partition_name);
        EXECUTE format(
            'ALTER TABLE public.audit_log ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
            partition_name,
            to_char(month_start, 'YYYY-MM-DD') || ' 00:00:00+00',
            to_char(month_start + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00');
        made := made + 1;
    END LOOP;

    -- Every partition, also one that was attached by hand.
    FOR partition_oid IN SELECT h.inhrelid FROM pg_inherits h WHERE h.inhparent = parent LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_class c WHERE c.oid = partition_oid AND c.relrowsecurity AND c.relforcerowsecurity) THEN
            EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', partition_oid::regclass);
            EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', partition_oid::regclass);
        END IF;
        IF NOT EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgrelid = partition_oid AND t.tgname = 'trg_audit_log_append_only_row') THEN
            EXECUTE format(
                'CREATE TRIGGER trg_audit_log_append_only_row BEFORE UPDATE OR DELETE ON %s '
                'FOR EACH ROW EXECUTE FUNCTION public.forbid_audit_change()', partition_oid::regclass);
        END IF;
        IF NOT EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgrelid = partition_oid AND t.tgname = 'trg_audit_log_no_truncate') THEN
            EXECUTE format(
                'CREATE TRIGGER trg_audit_log_no_truncate BEFORE TRUNCATE ON %s '
                'FOR EACH STATEMENT EXECUTE FUNCTION public.forbid_audit_change()', partition_oid::regclass);
        END IF;
    END LOOP;

    -- ALWAYS, as on the parent; and nobody's DISABLE lasts.
    FOR guard IN
        SELECT t.tgrelid::regclass AS relation, t.tgname
        FROM pg_trigger t
        WHERE t.tgname IN ('trg_audit_log_append_only', 'trg_audit_log_append_only_row', 'trg_audit_log_no_truncate')
          AND t.tgenabled <> 'A'
          AND (t.tgrelid = parent OR t.tgrelid IN (SELECT h.inhrelid FROM pg_inherits h WHERE h.inhparent = parent))
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', guard.relation, guard.tgname);
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION ensure_audit_partitions(integer) IS
    'Makes missing monthly partitions of audit_log from last month to the given number of months ahead (1 to 36) and protects every one; returns how many it made.';

-- Counts without a gap: a hole next month is trouble next month, whatever comes after it.
CREATE OR REPLACE FUNCTION audit_partitions_ahead() RETURNS integer
LANGUAGE sql STABLE
SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH wanted AS (
        SELECT n, 'audit_log_' || to_char(
            date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC') + make_interval(months => n),
            '"y"YYYY"m"MM') AS partition_name
        FROM generate_series(0, 37) AS n
    )
    SELECT min(w.n) - 1
    FROM wanted w
    WHERE NOT EXISTS (
        SELECT 1
        FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'public.audit_log'::regclass AND c.relname = w.partition_name
    )
$$;
COMMENT ON FUNCTION audit_partitions_ahead() IS
    'How many months after this one have a partition of audit_log without a gap; -1 when this month has none.';

DO $$ BEGIN PERFORM ensure_audit_partitions(12); END $$;


-- ---------------------------------------------------------------------------------------------
-- 9. Messages between the databases, repeated requests, versions
-- ---------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS outbox (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    aggregate_type text NOT NULL,
    aggregate_id uuid NOT NULL,
    revision bigint NOT NULL,
    event_type text NOT NULL,
    payload jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    available_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    last_error text NULL,
    CONSTRAINT pk_outbox PRIMARY KEY (id),
    CONSTRAINT ck_outbox_revision CHECK (revision >= 0),
    CONSTRAINT ck_outbox_attempts CHECK (attempts >= 0)
);
COMMENT ON TABLE outbox IS
    '[global] Events for the other side, written in the transaction of the act. The relay takes them in batches and deletes what was acknowledged.';
COMMENT ON COLUMN outbox.id IS 'Id of the event; the receiver''s inbox knows it by this.';
COMMENT ON COLUMN outbox.organization_id IS 'Whose event it is.';
COMMENT ON COLUMN outbox.aggregate_type IS 'Kind of thing that changed.';
COMMENT ON COLUMN outbox.aggregate_id IS 'Which one.';
COMMENT ON COLUMN outbox.revision IS 'Its revision after the change; the receiver applies only higher ones.';
COMMENT ON COLUMN outbox.event_type IS 'What happened.';
COMMENT ON COLUMN outbox.payload IS 'All that the receiver needs. No secrets.';
COMMENT ON COLUMN outbox.created_at IS 'When it was written.';
COMMENT ON COLUMN outbox.available_at IS 'The relay leaves it alone until then.';
COMMENT ON COLUMN outbox.attempts IS 'Deliveries tried.';
COMMENT ON COLUMN outbox.last_error IS 'Why the last try failed.';

-- The relay takes what is due, oldest first, FOR UPDATE SKIP LOCKED.
CREATE INDEX IF NOT EXISTS ix_outbox_available_at ON outbox (available_at, id);

CREATE TABLE IF NOT EXISTS inbox (
    event_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    event_type text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_inbox PRIMARY KEY (event_id)
);
COMMENT ON TABLE inbox IS
    '[global] Ids of events that were applied, so that a second delivery changes nothing. Purged when no redelivery can come any more.';
COMMENT ON COLUMN inbox.event_id IS 'Id in the sender''s outbox.';
COMMENT ON COLUMN inbox.organization_id IS 'Whose event it is.';
COMMENT ON COLUMN inbox.event_type IS 'What happened.';
COMMENT ON COLUMN inbox.received_at IS 'When it was applied.';

-- Purge.
CREATE INDEX IF NOT EXISTS ix_inbox_received_at ON inbox (received_at);

-- No foreign key to organizations here, nor in outbox and inbox: the row is written in the scope of
-- its organization and lives for hours; a check of the parent row at each POST would buy nothing.
CREATE TABLE IF NOT EXISTS idempotency_keys (
    id uuid NOT NULL DEFAULT uuid_generate_v4(),
    organization_id uuid NOT NULL,
    principal text COLLATE "C" NOT NULL,
    route text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    request_sha256 bytea NOT NULL,
    state text NOT NULL DEFAULT 'in_progress',
    response_status integer NULL,
    response_body jsonb NULL,
    resource_id uuid NULL,
    locked_until timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    CONSTRAINT pk_idempotency_keys PRIMARY KEY (id),
    CONSTRAINT ux_idempotency_keys_key UNIQUE (organization_id, principal, route, key),
    CONSTRAINT ck_idempotency_keys_principal CHECK (char_length(principal) BETWEEN 1 AND 255),
    CONSTRAINT ck_idempotency_keys_route CHECK (char_length(route) BETWEEN 1 AND 255),
    CONSTRAINT ck_idempotency_keys_key CHECK (char_length(key) BETWEEN 1 AND 255),
    CONSTRAINT ck_idempotency_keys_request_sha256 CHECK (octet_length(request_sha256) = 32),
    CONSTRAINT ck_idempotency_keys_state CHECK (state IN ('in_progress', 'completed')),
    CONSTRAINT ck_idempotency_keys_response_status CHECK (response_status BETWEEN 100 AND 599),
    CONSTRAINT ck_idempotency_keys_completed CHECK (state = 'in_progress' OR response_status IS NOT NULL)
);
COMMENT ON TABLE idempotency_keys IS
    '[global] Answers to POST requests that carried an Idempotency-Key, kept for a day.';
COMMENT ON COLUMN idempotency_keys.id IS 'Identity of the row.';
COMMENT ON COLUMN idempotency_keys.organization_id IS 'Organization that the request acted in.';
COMMENT ON COLUMN idempotency_keys.principal IS 'Who asked, such as user:<id>; keys of two principals never meet.';
COMMENT ON COLUMN idempotency_keys.route IS 'Method and path template.';
COMMENT ON COLUMN idempotency_keys.key IS 'SHA-256 of the client''s key, in hexadecimal.';
COMMENT ON COLUMN idempotency_keys.request_sha256 IS 'SHA-256 of the request, bound to the client''s key; another request under the same key is refused.';
COMMENT ON COLUMN idempotency_keys.state IS 'Whether the answer is known.';
COMMENT ON COLUMN idempotency_keys.response_status IS 'HTTP status of the answer.';
COMMENT ON COLUMN idempotency_keys.response_body IS 'Body of the answer, without what is shown only once.';
COMMENT ON COLUMN idempotency_keys.resource_id IS 'What the request made.';
COMMENT ON COLUMN idempotency_keys.locked_until IS 'While in progress: after this moment the one who began counts as dead.';
COMMENT ON COLUMN idempotency_keys.created_at IS 'When the request first came.';
COMMENT ON COLUMN idempotency_keys.expires_at IS 'When the row may be purged.';

-- Purge.
CREATE INDEX IF NOT EXISTS ix_idempotency_keys_expires_at ON idempotency_keys (expires_at);

-- No foreign keys here, as in idempotency_keys: rows live for minutes, and name what the same program
-- looked up a moment before.
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
COMMENT ON TABLE step_up_proofs IS
    '[global] That a person has just given a code or the password for one HTTP request. Short-lived; the proof itself is not here.';
COMMENT ON COLUMN step_up_proofs.proof_sha256 IS 'Primary key; SHA-256 of the proof, which has 256 random bits.';
COMMENT ON COLUMN step_up_proofs.organization_id IS 'The organization that the session acted in when the proof was given.';
COMMENT ON COLUMN step_up_proofs.user_id IS 'Who may use it.';
COMMENT ON COLUMN step_up_proofs.session_id IS 'In which session.';
COMMENT ON COLUMN step_up_proofs.request_sha256 IS 'SHA-256 over method, path and body hash of the only request that it is good for.';
COMMENT ON COLUMN step_up_proofs.expires_at IS 'Until when it may be used.';
COMMENT ON COLUMN step_up_proofs.used_at IS 'When it was used; null while it was not.';
COMMENT ON COLUMN step_up_proofs.created_at IS 'When it was given out.';

-- Purge.
CREATE INDEX IF NOT EXISTS ix_step_up_proofs_expires_at ON step_up_proofs (expires_at);

-- Processes remember whom credentials stand for. What they must forget is noted here by triggers, so
-- that no writer can forget to; they ask for it several times a second (find_rights_changes).
CREATE TABLE IF NOT EXISTS rights_changes (
    id uuid NOT NULL DEFAULT uuid_generate_v7(),
    transaction_number bigint NOT NULL DEFAULT txid_current(),
    user_id uuid NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_rights_changes PRIMARY KEY (id)
);
COMMENT ON TABLE rights_changes IS
    '[global] Whose rights or credentials changed lately, for processes that remember them. Names no organization, and no role of the program may read it; purged after an hour.';
COMMENT ON COLUMN rights_changes.id IS 'Identity of the row.';
COMMENT ON COLUMN rights_changes.transaction_number IS 'txid_current() of the writer: tells what was not visible at the last look, however long the writer took.';
COMMENT ON COLUMN rights_changes.user_id IS 'Whose; NULL for everybody''s, after a change of a role or an organization.';
COMMENT ON COLUMN rights_changes.created_at IS 'When it was written, for the purge.';

-- What happened since the last look.
CREATE INDEX IF NOT EXISTS ix_rights_changes_transaction_number ON rights_changes (transaction_number);
-- Purge.
CREATE INDEX IF NOT EXISTS ix_rights_changes_created_at ON rights_changes (created_at);

CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer NOT NULL,
    description text NOT NULL,
    checksum bytea NULL,
    min_program_version text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    applied_by text NOT NULL DEFAULT current_user,
    execution_time_ms bigint NULL,
    CONSTRAINT pk_schema_migrations PRIMARY KEY (version),
    CONSTRAINT ck_schema_migrations_checksum CHECK (octet_length(checksum) = 32)
);
COMMENT ON TABLE schema_migrations IS
    '[global] Versions of the schema that this database has been through. Each migration writes its own row as its last act.';
COMMENT ON COLUMN schema_migrations.version IS 'Number of the migration file.';
COMMENT ON COLUMN schema_migrations.description IS 'Name of the file, in words.';
COMMENT ON COLUMN schema_migrations.checksum IS 'SHA-256 of the file, filled in by the migration runner.';
COMMENT ON COLUMN schema_migrations.min_program_version IS 'Oldest program that can work with this schema.';
COMMENT ON COLUMN schema_migrations.applied_at IS 'When it was applied.';
COMMENT ON COLUMN schema_migrations.applied_by IS 'Database role that applied it.';
COMMENT ON COLUMN schema_migrations.execution_time_ms IS 'Milliseconds that it took, filled in by the migration runner.';


-- ---------------------------------------------------------------------------------------------
-- 10. Triggers
-- ---------------------------------------------------------------------------------------------

DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY[
        'organizations', 'users', 'roles', 'user_roles', 'user_organizations', 'invitations', 'api_keys', 'policies',
        'workflows', 'workflow_instances', 'workflow_steps', 'notifications', 'certificate_metadata'
    ] LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS %I ON %I', 'trg_' || table_name || '_updated_at', table_name);
        EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION set_updated_at()',
            'trg_' || table_name || '_updated_at', table_name);
    END LOOP;
END
$$;

-- A later migration that must change a system role disables this trigger for its transaction, which
-- only the owner of the table can do.
DROP TRIGGER IF EXISTS trg_roles_protect_system ON roles;
CREATE TRIGGER trg_roles_protect_system
    BEFORE UPDATE OR DELETE ON roles
    FOR EACH ROW EXECUTE FUNCTION protect_system_role();

DROP TRIGGER IF EXISTS trg_roles_parent_same_organization ON roles;
CREATE TRIGGER trg_roles_parent_same_organization
    BEFORE INSERT OR UPDATE OF parent_role_id, organization_id ON roles
    FOR EACH ROW EXECUTE FUNCTION check_role_organization('parent_role_id');

DROP TRIGGER IF EXISTS trg_roles_parent_no_cycle ON roles;
CREATE TRIGGER trg_roles_parent_no_cycle
    BEFORE INSERT OR UPDATE OF parent_role_id ON roles
    FOR EACH ROW EXECUTE FUNCTION check_role_parent();

DROP TRIGGER IF EXISTS trg_user_roles_same_organization ON user_roles;
CREATE TRIGGER trg_user_roles_same_organization
    BEFORE INSERT OR UPDATE OF role_id, organization_id ON user_roles
    FOR EACH ROW EXECUTE FUNCTION check_role_organization('role_id');

DROP TRIGGER IF EXISTS trg_invitations_role_same_organization ON invitations;
CREATE TRIGGER trg_invitations_role_same_organization
    BEFORE INSERT OR UPDATE OF role_id, organization_id ON invitations
    FOR EACH ROW EXECUTE FUNCTION check_role_organization('role_id');

DROP TRIGGER IF EXISTS trg_workflow_steps_role_same_organization ON workflow_steps;
CREATE TRIGGER trg_workflow_steps_role_same_organization
    BEFORE INSERT OR UPDATE OF assigned_to_role_id, organization_id ON workflow_steps
    FOR EACH ROW EXECUTE FUNCTION check_role_organization('assigned_to_role_id');

CREATE OR REPLACE FUNCTION forget_email_verification() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    NEW.email_verified_at := NULL;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION forget_email_verification() IS 'Trigger: nobody has proved to read what is sent to another address.';

DROP TRIGGER IF EXISTS trg_users_forget_email_verification ON users;
CREATE TRIGGER trg_users_forget_email_verification
    BEFORE UPDATE OF email ON users
    FOR EACH ROW WHEN (OLD.email IS DISTINCT FROM NEW.email)
    EXECUTE FUNCTION forget_email_verification();

CREATE OR REPLACE FUNCTION note_rights_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    INSERT INTO public.rights_changes (user_id)
    VALUES (CASE WHEN TG_NARGS > 0 THEN (to_jsonb(NEW) ->> TG_ARGV[0])::uuid END);
    -- The same text several times in one transaction is sent once.
    PERFORM pg_notify('rights_changes', '');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION note_rights_change() IS
    'Trigger: notes that the rights or credentials of the user named by the column given as argument changed, or without argument those of everybody. Only on what changes rights, which is rare.';

DO $$
DECLARE
    noted record;
BEGIN
    FOR noted IN
        SELECT * FROM (VALUES
            ('user_roles', 'INSERT OR UPDATE', 'user_id', NULL),
            ('user_organizations', 'INSERT OR UPDATE', 'user_id', NULL),
            ('users', 'UPDATE', 'id', ARRAY['status', 'deleted_at', 'must_change_password', 'username', 'user_type', 'home_organization_id']),
            ('api_keys', 'UPDATE', 'user_id', ARRAY['revoked_at', 'deleted_at', 'expires_at', 'scopes', 'allowed_networks', 'key_sha256', 'user_id']),
            ('sessions', 'UPDATE', 'user_id', ARRAY['ended_at', 'expires_at', 'organization_id', 'token_sha256', 'csrf_sha256', 'second_factor', 'user_id']),
            ('roles', 'UPDATE', NULL, ARRAY['permissions', 'parent_role_id', 'deleted_at']),
            ('organizations', 'UPDATE', NULL, ARRAY['status', 'deleted_at', 'settings'])
        ) AS n (table_name, event, user_column, watched)
    LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS %I ON %I', 'trg_' || noted.table_name || '_rights', noted.table_name);
        EXECUTE format('CREATE TRIGGER %I AFTER %s ON %I FOR EACH ROW %s EXECUTE FUNCTION note_rights_change(%s)',
            'trg_' || noted.table_name || '_rights', noted.event, noted.table_name,
            coalesce((SELECT 'WHEN (' || string_agg(format('OLD.%1$I IS DISTINCT FROM NEW.%1$I', w), ' OR ') || ')'
                      FROM unnest(noted.watched) AS w), ''),
            coalesce(quote_literal(noted.user_column), ''));
    END LOOP;
END
$$;


-- ---------------------------------------------------------------------------------------------
-- 11. System roles
-- ---------------------------------------------------------------------------------------------

-- "own" API keys, sessions and the like are a matter of the application: a permission here says
-- which act is possible, the use case decides on whose things.
INSERT INTO roles (id, organization_id, role_code, role_name, description, is_system_role, permissions)
SELECT seed.id::uuid, '00000000-0000-0000-0000-000000000001', seed.role_code, seed.role_name,
       seed.description, true, seed.permissions::jsonb
FROM (VALUES
    ('00000000-0000-0000-0001-000000000001', 'SYSTEM_ADMIN', 'System administrator',
     'May do everything, everywhere.',
     (SELECT jsonb_object_agg(resource, '["read", "list", "create", "update", "delete", "approve", "revoke", "renew", "export", "rotate", "administer", "verify", "unseal"]'::jsonb)
      FROM unnest(ARRAY['certificate', 'certificate_request', 'certificate_authority', 'private_key',
          'encryption_key', 'master_key', 'seal', 'api_key', 'session', 'user', 'role', 'role_assignment', 'organization',
          'membership', 'policy', 'workflow', 'notification', 'audit', 'system']) AS resource)::text),
    ('00000000-0000-0000-0001-000000000002', 'CERT_ADMIN', 'Certificate administrator',
     'Runs certificates, requests, certificate authorities, keys and policies.',
     (SELECT jsonb_object_agg(resource, '["read", "list", "create", "update", "delete", "approve", "revoke", "renew", "export", "rotate", "administer", "verify"]'::jsonb)
          || '{"api_key": ["read", "list", "create", "delete"],
               "session": ["read", "list", "create", "delete"],
               "encryption_key": ["read", "list", "update", "rotate"]}'
      FROM unnest(ARRAY['certificate', 'certificate_request', 'certificate_authority', 'private_key',
          'policy']) AS resource)::text),
    ('00000000-0000-0000-0001-000000000003', 'CERT_OPERATOR', 'Certificate operator',
     'Requests, issues and renews certificates.',
     '{"certificate": ["read", "list", "create", "renew"],
       "certificate_request": ["create", "read", "list"],
       "certificate_authority": ["read", "list"],
       "private_key": ["read", "export"],
       "api_key": ["read", "list", "create", "delete"],
       "session": ["read", "list", "create", "delete"]}'),
    ('00000000-0000-0000-0001-000000000004', 'APPROVER', 'Approver',
     'Decides on requests.',
     '{"certificate_request": ["read", "list", "approve"],
       "certificate": ["read", "list"],
       "certificate_authority": ["read", "list"],
       "api_key": ["read", "list", "create", "delete"],
       "session": ["read", "list", "create", "delete"]}'),
    ('00000000-0000-0000-0001-000000000005', 'AUDITOR', 'Auditor',
     'Reads and verifies the audit log, and sees what it speaks of.',
     '{"audit": ["read", "list", "verify", "export"],
       "certificate": ["read", "list"],
       "certificate_request": ["read", "list"],
       "certificate_authority": ["read", "list"],
       "encryption_key": ["read", "list"],
       "user": ["read", "list"],
       "role": ["read", "list"],
       "role_assignment": ["read", "list"],
       "organization": ["read", "list"],
       "membership": ["read", "list"],
       "master_key": ["read"],
       "seal": ["read"],
       "session": ["read", "list", "create", "delete"]}'),
    ('00000000-0000-0000-0001-000000000006', 'USER', 'User',
     'Requests certificates and sees those of the organization.',
     '{"certificate": ["read", "list"],
       "certificate_request": ["create", "read", "list"],
       "certificate_authority": ["read", "list"],
       "api_key": ["read", "list", "create", "delete"],
       "session": ["read", "list", "create", "delete"]}')
) AS seed (id, role_code, role_name, description, permissions)
ON CONFLICT DO NOTHING;


-- ---------------------------------------------------------------------------------------------
-- 12. Look-ups before the organization is known
-- ---------------------------------------------------------------------------------------------
-- They run as the owner of the tables, which db/roles_core.sql gives a policy to read just what they
-- need. Each returns one row or none, for a hash that only its holder can present. In PL/pgSQL, because
-- it keeps its plans: every request comes by here, and planning would cost ten times the look-up.

-- Roles count while they are valid, live, and the membership is active. A home organization without
-- a membership row counts as active. Inherited roles follow parent_role_id; UNION ends any cycle.
CREATE OR REPLACE FUNCTION effective_roles(user_id uuid, organization_id uuid, as_of timestamptz)
RETURNS TABLE (role_codes text[], role_permissions jsonb, lineage_codes text[])
LANGUAGE plpgsql STABLE ROWS 1
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH RECURSIVE held AS (
        SELECT r.id, r.parent_role_id, r.role_code, r.permissions, true AS is_direct
        FROM public.user_roles ur
        JOIN public.roles r ON r.id = ur.role_id
        WHERE ur.organization_id = $2
          AND ur.user_id = $1
          AND ur.deleted_at IS NULL
          AND ur.valid_from <= $3
          AND (ur.valid_until IS NULL OR ur.valid_until > $3)
          AND r.deleted_at IS NULL
        UNION
        SELECT r.id, r.parent_role_id, r.role_code, r.permissions, false
        FROM held h
        JOIN public.roles r ON r.id = h.parent_role_id
        WHERE r.deleted_at IS NULL
    )
    SELECT coalesce(array_agg(DISTINCT h.role_code::text) FILTER (WHERE h.is_direct), '{}'),
           coalesce(jsonb_agg(DISTINCT h.permissions), '[]'::jsonb),
           coalesce(array_agg(DISTINCT h.role_code::text), '{}')
    FROM held h;
END
$$;
COMMENT ON FUNCTION effective_roles(uuid, uuid, timestamptz) IS
    'Codes of the roles that a user holds in an organization at a moment, and the permissions and the codes of these and of the roles they inherit from. For the look-ups below; nobody else may execute it.';

CREATE OR REPLACE FUNCTION installation_permissions(user_id uuid, as_of timestamptz)
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    RETURN coalesce((
        SELECT e.role_permissions
        FROM public.user_organizations uo
        CROSS JOIN LATERAL public.effective_roles(uo.user_id, uo.organization_id, $2) e
        WHERE uo.organization_id = '00000000-0000-0000-0000-000000000001' AND uo.user_id = $1
          AND uo.status = 'active' AND uo.deleted_at IS NULL), '[]'::jsonb);
END
$$;
COMMENT ON FUNCTION installation_permissions(uuid, timestamptz) IS
    'The permissions of the roles that a member of the System organization holds there at a moment: whoever acts elsewhere has of them what concerns the installation as a whole. For the look-ups below; nobody else may execute it.';

CREATE OR REPLACE FUNCTION second_factor_required(user_id uuid, organization_id uuid, as_of timestamptz)
RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM public.organizations o
        CROSS JOIN LATERAL public.effective_roles($1, o.id, $3) e
        WHERE (o.settings @> '{"require_second_factor": true}' OR o.settings ? 'second_factor_roles')
          AND (o.id = $2
               OR o.id = '00000000-0000-0000-0000-000000000001' AND e.role_permissions <> '[]'
                  AND EXISTS (SELECT FROM public.user_organizations uo
                              WHERE uo.organization_id = o.id AND uo.user_id = $1 AND uo.status = 'active'
                                AND uo.deleted_at IS NULL))
          AND o.id IN ($2, '00000000-0000-0000-0000-000000000001')
          AND (o.settings @> '{"require_second_factor": true}'
               OR o.settings -> 'second_factor_roles' ?| e.lineage_codes));
END
$$;
COMMENT ON FUNCTION second_factor_required(uuid, uuid, timestamptz) IS
    'Whether an organization wants a second factor of a user, or of a role that the user has in it, directly or by inheritance; or the System organization does, of whoever has roles there. For the look-ups below; nobody else may execute it.';

CREATE OR REPLACE FUNCTION next_rights_change(user_id uuid, organization_id uuid, as_of timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT min(edge.at)
        FROM public.user_roles ur
        CROSS JOIN LATERAL (VALUES (ur.valid_from), (ur.valid_until)) AS edge (at)
        WHERE ur.organization_id IN ($2, '00000000-0000-0000-0000-000000000001'::uuid)
          AND ur.user_id = $1 AND ur.deleted_at IS NULL AND edge.at > $3);
END
$$;
COMMENT ON FUNCTION next_rights_change(uuid, uuid, timestamptz) IS
    'When the next assignment of a user in an organization, or in the System organization, begins or ends after a moment: until then the rights hold, unless somebody changes them. For the look-ups below; nobody else may execute it.';

CREATE OR REPLACE FUNCTION find_session_by_token(token_sha256 bytea, as_of timestamptz)
RETURNS TABLE (
    session_id uuid, user_id uuid, organization_id uuid, csrf_sha256 bytea,
    last_seen_at timestamptz, idle_expires_at timestamptz, expires_at timestamptz, expired boolean,
    user_status text, organization_status text, membership_status text,
    username text, display_name text, user_type text, home_organization_id uuid,
    must_change_password boolean, locked_until timestamptz,
    role_codes text[], role_permissions jsonb, installation_permissions jsonb, rights_change_at timestamptz,
    second_factor text, second_factor_required boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT s.id, s.user_id, s.organization_id, s.csrf_sha256,
           s.last_seen_at, s.idle_expires_at, s.expires_at,
           $2 >= s.expires_at OR $2 >= s.idle_expires_at,
           u.status, o.status, m.status,
           u.username, u.display_name, u.user_type, u.home_organization_id,
           u.must_change_password, u.locked_until,
           CASE WHEN m.status = 'active' THEN e.role_codes ELSE '{}' END,
           CASE WHEN m.status = 'active' THEN e.role_permissions ELSE '[]'::jsonb END,
           CASE WHEN m.status = 'active' THEN public.installation_permissions(s.user_id, $2)
               ELSE '[]'::jsonb END,
           public.next_rights_change(s.user_id, s.organization_id, $2),
           s.second_factor, public.second_factor_required(s.user_id, s.organization_id, $2)
    FROM public.sessions s
    JOIN public.users u ON u.id = s.user_id AND u.deleted_at IS NULL
    JOIN public.organizations o ON o.id = s.organization_id AND o.deleted_at IS NULL
    LEFT JOIN public.user_organizations uo
        ON uo.organization_id = s.organization_id AND uo.user_id = s.user_id
    CROSS JOIN LATERAL (SELECT CASE
        WHEN uo.deleted_at IS NOT NULL THEN NULL
        WHEN uo.status IS NOT NULL THEN uo.status
        WHEN u.home_organization_id = s.organization_id THEN 'active'
        END AS status) m
    CROSS JOIN LATERAL public.effective_roles(s.user_id, s.organization_id, $2) e
    WHERE s.token_sha256 = $1 AND s.ended_at IS NULL;
END
$$;
COMMENT ON FUNCTION find_session_by_token(bytea, timestamptz) IS
    'The session with this token hash, unless ended: who, where, with which permissions at the given moment. Expired ones are returned and marked. Without an active membership (membership_status) the permissions are empty. installation_permissions are those of the roles in the System organization; rights_change_at is when an assignment begins or ends next; second_factor_required whether the organization, or a role in it, wants a second factor.';

CREATE OR REPLACE FUNCTION find_api_key_by_hash(key_sha256 bytea, as_of timestamptz)
RETURNS TABLE (
    api_key_id uuid, user_id uuid, organization_id uuid, scopes jsonb, allowed_networks text[],
    expires_at timestamptz, expired boolean,
    user_status text, organization_status text, membership_status text,
    username text, display_name text, user_type text, home_organization_id uuid,
    must_change_password boolean, locked_until timestamptz,
    role_codes text[], role_permissions jsonb, installation_permissions jsonb, rights_change_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT k.id, k.user_id, k.organization_id, k.scopes, k.allowed_networks::text[],
           k.expires_at, coalesce($2 >= k.expires_at, false),
           u.status, o.status, m.status,
           u.username, u.display_name, u.user_type, u.home_organization_id,
           u.must_change_password, u.locked_until,
           CASE WHEN m.status = 'active' THEN e.role_codes ELSE '{}' END,
           CASE WHEN m.status = 'active' THEN e.role_permissions ELSE '[]'::jsonb END,
           CASE WHEN m.status = 'active' THEN public.installation_permissions(k.user_id, $2)
               ELSE '[]'::jsonb END,
           public.next_rights_change(k.user_id, k.organization_id, $2)
    FROM public.api_keys k
    JOIN public.users u ON u.id = k.user_id AND u.deleted_at IS NULL
    JOIN public.organizations o ON o.id = k.organization_id AND o.deleted_at IS NULL
    LEFT JOIN public.user_organizations uo
        ON uo.organization_id = k.organization_id AND uo.user_id = k.user_id
    CROSS JOIN LATERAL (SELECT CASE
        WHEN uo.deleted_at IS NOT NULL THEN NULL
        WHEN uo.status IS NOT NULL THEN uo.status
        WHEN u.home_organization_id = k.organization_id THEN 'active'
        END AS status) m
    CROSS JOIN LATERAL public.effective_roles(k.user_id, k.organization_id, $2) e
    WHERE k.key_sha256 = $1 AND k.revoked_at IS NULL AND k.deleted_at IS NULL;
END
$$;
COMMENT ON FUNCTION find_api_key_by_hash(bytea, timestamptz) IS
    'The API key with this hash, unless revoked or deleted: whose, where, with which permissions at the given moment. Expired ones are returned and marked. Without an active membership (membership_status) the permissions are empty. installation_permissions are those of the roles in the System organization; rights_change_at is when an assignment begins or ends next.';

-- A transaction that was not visible at the last look has at least the number that was the oldest one
-- still running then. One that is looked at twice does no harm: something is looked up once more.
CREATE OR REPLACE FUNCTION find_rights_changes(since bigint)
RETURNS TABLE (horizon bigint, concerns_all boolean, user_ids uuid[])
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT txid_snapshot_xmin(txid_current_snapshot()),
           coalesce(bool_or(c.user_id IS NULL), false) OR count(*) > 1000,
           coalesce(array_agg(DISTINCT c.user_id) FILTER (WHERE c.user_id IS NOT NULL), '{}')
    FROM (SELECT r.user_id FROM public.rights_changes r WHERE r.transaction_number >= $1 LIMIT 1001) c;
END
$$;
COMMENT ON FUNCTION find_rights_changes(bigint) IS
    'Whose rights changed in transactions from the given number on: the users, or all when a role or organization changed or there are very many; and the number to ask from at the next look. With NULL only that number.';

-- One that is used, taken back or over is not found, nor one of an organization that cannot be worked in
-- or of an inviter who is gone; the application decides whether the inviter could still give the role.
CREATE OR REPLACE FUNCTION find_invitation_by_token(token_sha256 bytea, as_of timestamptz)
RETURNS TABLE (
    invitation_id uuid, organization_id uuid, organization_slug text, organization_name text,
    role_id uuid, role_permissions jsonb, invited_by_user_id uuid, inviter_permissions jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT i.id, i.organization_id, o.slug::text, o.name, i.role_id,
           (WITH RECURSIVE lineage AS (
                SELECT r.id, r.parent_role_id, r.permissions
                FROM public.roles r
                WHERE r.id = i.role_id AND r.deleted_at IS NULL
                UNION
                SELECT r.id, r.parent_role_id, r.permissions
                FROM lineage l
                JOIN public.roles r ON r.id = l.parent_role_id
                WHERE r.deleted_at IS NULL)
            SELECT coalesce(jsonb_agg(l.permissions), '[]'::jsonb) FROM lineage l),
           i.invited_by_user_id, e.role_permissions
    FROM public.invitations i
    JOIN public.organizations o
        ON o.id = i.organization_id AND o.status = 'active' AND o.deleted_at IS NULL
    CROSS JOIN LATERAL public.effective_roles(i.invited_by_user_id, i.organization_id, $2) e
    WHERE i.token_sha256 = $1 AND i.accepted_at IS NULL AND i.revoked_at IS NULL
      AND i.expires_at > $2
      AND (i.role_id IS NULL OR EXISTS (
          SELECT 1 FROM public.roles r WHERE r.id = i.role_id AND r.deleted_at IS NULL))
      AND (i.invited_by_user_id IS NULL OR EXISTS (
          SELECT 1
          FROM public.user_organizations uo
          JOIN public.users u ON u.id = uo.user_id
          WHERE uo.organization_id = i.organization_id AND uo.user_id = i.invited_by_user_id
            AND uo.status = 'active' AND uo.deleted_at IS NULL
            AND u.status = 'active' AND u.deleted_at IS NULL));
END
$$;
COMMENT ON FUNCTION find_invitation_by_token(bytea, timestamptz) IS
    'The invitation with this token hash, if it can be accepted at the given moment: into which organization, what its role gives, and what the inviter may do there now.';

-- Without a slug, several homes may know the name. The oldest organization wins, and not nobody: or a
-- tenant could keep a user of an earlier one out by making an account of the same name. Whoever is
-- in a later organization names it by its slug.
CREATE OR REPLACE FUNCTION find_user_for_sign_in(username_normalized text, organization_slug text)
RETURNS TABLE (
    user_id uuid, home_organization_id uuid, username text, password_hash text,
    user_status text, user_type text, failed_sign_in_count integer, locked_until timestamptz,
    must_change_password boolean, organization_status text)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT u.id, u.home_organization_id, u.username, u.password_hash,
           u.status, u.user_type, u.failed_sign_in_count, u.locked_until,
           u.must_change_password, o.status
    FROM public.users u
    JOIN public.organizations o ON o.id = u.home_organization_id AND o.deleted_at IS NULL
    WHERE u.username_normalized = $1
      AND u.deleted_at IS NULL
      AND ($2 IS NULL OR o.slug = $2)
    ORDER BY o.created_at, o.id
    LIMIT 1;
END
$$;
COMMENT ON FUNCTION find_user_for_sign_in(text, text) IS
    'The live user with this name in the home organization with this slug; without a slug, of the users of that name the one whose home organization is the oldest.';


-- ---------------------------------------------------------------------------------------------
-- 13. Views
-- ---------------------------------------------------------------------------------------------
-- Owned by a role that the tenant policies bind (db/roles_core.sql): they show the current
-- organization's rows and fail while none is set, to the System scope too.

-- Starts from the membership, so that guests from other homes are listed as well: the owner of the
-- views may read names of all users, and security_barrier keeps a clever condition of the caller
-- from looking at rows that the join has not let through.
CREATE OR REPLACE VIEW active_users_with_roles WITH (security_barrier = true) AS
SELECT uo.organization_id,
       u.id AS user_id,
       u.home_organization_id,
       u.username,
       u.email,
       u.display_name,
       u.user_type,
       u.last_sign_in_at,
       uo.is_primary,
       uo.joined_at,
       coalesce(held.role_ids, '{}') AS role_ids,
       coalesce(held.role_codes, '{}') AS role_codes,
       coalesce(held.role_names, '{}') AS role_names
FROM user_organizations uo
JOIN users u ON u.id = uo.user_id
LEFT JOIN LATERAL (
    SELECT array_agg(r.id ORDER BY r.role_code, r.id) AS role_ids,
           array_agg(r.role_code::text ORDER BY r.role_code, r.id) AS role_codes,
           array_agg(r.role_name ORDER BY r.role_code, r.id) AS role_names
    FROM user_roles ur
    JOIN roles r ON r.id = ur.role_id AND r.deleted_at IS NULL
    WHERE ur.organization_id = uo.organization_id
      AND ur.user_id = uo.user_id
      AND ur.deleted_at IS NULL
      AND ur.valid_from <= now()
      AND (ur.valid_until IS NULL OR ur.valid_until > now())
) held ON true
WHERE uo.deleted_at IS NULL
  AND uo.status = 'active'
  AND u.deleted_at IS NULL
  AND u.status = 'active';
COMMENT ON VIEW active_users_with_roles IS
    '[tenant] Active members of the current organization with the roles that they hold there now.';
COMMENT ON COLUMN active_users_with_roles.organization_id IS 'The organization.';
COMMENT ON COLUMN active_users_with_roles.user_id IS 'The member.';
COMMENT ON COLUMN active_users_with_roles.home_organization_id IS 'Where the account is governed; another than organization_id for guests.';
COMMENT ON COLUMN active_users_with_roles.username IS 'Sign-in name.';
COMMENT ON COLUMN active_users_with_roles.email IS 'Address for messages.';
COMMENT ON COLUMN active_users_with_roles.display_name IS 'Name shown to others.';
COMMENT ON COLUMN active_users_with_roles.user_type IS 'person or service.';
COMMENT ON COLUMN active_users_with_roles.last_sign_in_at IS 'When the last sign-in succeeded.';
COMMENT ON COLUMN active_users_with_roles.is_primary IS 'A sign-in starts in this organization.';
COMMENT ON COLUMN active_users_with_roles.joined_at IS 'When the membership began.';
COMMENT ON COLUMN active_users_with_roles.role_ids IS 'Roles held now, in order of role_codes.';
COMMENT ON COLUMN active_users_with_roles.role_codes IS 'Codes of the roles held now, sorted.';
COMMENT ON COLUMN active_users_with_roles.role_names IS 'Names of the roles held now, in order of role_codes.';

-- Starts from the assignment, as the view above from the membership: guests have names as well.
CREATE OR REPLACE VIEW role_assignments WITH (security_barrier = true) AS
SELECT ur.organization_id,
       ur.id AS role_assignment_id,
       ur.user_id,
       u.username,
       u.display_name,
       ur.role_id,
       r.role_code,
       r.role_name,
       ur.valid_from,
       ur.valid_until,
       ur.granted_by_user_id,
       ur.reason,
       ur.revision,
       ur.created_at
FROM user_roles ur
JOIN users u ON u.id = ur.user_id
JOIN roles r ON r.id = ur.role_id
WHERE ur.deleted_at IS NULL;
COMMENT ON VIEW role_assignments IS
    '[tenant] Who was given which role in the current organization, from when to when; ended assignments too.';
COMMENT ON COLUMN role_assignments.organization_id IS 'Where the role is held.';
COMMENT ON COLUMN role_assignments.role_assignment_id IS 'The assignment.';
COMMENT ON COLUMN role_assignments.user_id IS 'Who holds it.';
COMMENT ON COLUMN role_assignments.username IS 'Sign-in name of the holder.';
COMMENT ON COLUMN role_assignments.display_name IS 'Name of the holder, as shown to others.';
COMMENT ON COLUMN role_assignments.role_id IS 'The role.';
COMMENT ON COLUMN role_assignments.role_code IS 'Its stable name for programs.';
COMMENT ON COLUMN role_assignments.role_name IS 'Its name for people.';
COMMENT ON COLUMN role_assignments.valid_from IS 'First moment of validity.';
COMMENT ON COLUMN role_assignments.valid_until IS 'First moment after validity; NULL while open-ended.';
COMMENT ON COLUMN role_assignments.granted_by_user_id IS 'Who granted it; NULL for the platform itself and the operator of the machine.';
COMMENT ON COLUMN role_assignments.reason IS 'Why, in the words of whoever granted it.';
COMMENT ON COLUMN role_assignments.revision IS 'Counts the edits, for ETag and If-Match.';
COMMENT ON COLUMN role_assignments.created_at IS 'When it was granted.';

-- As the view above, with whoever may not act now.
CREATE OR REPLACE VIEW organization_members WITH (security_barrier = true) AS
SELECT uo.organization_id,
       u.id AS user_id,
       u.home_organization_id,
       u.username,
       u.email,
       u.display_name,
       u.user_type,
       uo.status,
       uo.is_primary,
       uo.joined_at,
       coalesce(held.role_ids, '{}') AS role_ids,
       coalesce(held.role_codes, '{}') AS role_codes
FROM user_organizations uo
JOIN users u ON u.id = uo.user_id
LEFT JOIN LATERAL (
    SELECT array_agg(r.id ORDER BY r.role_code, r.id) AS role_ids,
           array_agg(r.role_code::text ORDER BY r.role_code, r.id) AS role_codes
    FROM user_roles ur
    JOIN roles r ON r.id = ur.role_id AND r.deleted_at IS NULL
    WHERE ur.organization_id = uo.organization_id
      AND ur.user_id = uo.user_id
      AND ur.deleted_at IS NULL
      AND ur.valid_from <= now()
      AND (ur.valid_until IS NULL OR ur.valid_until > now())
) held ON true
WHERE uo.deleted_at IS NULL
  AND u.deleted_at IS NULL;
COMMENT ON VIEW organization_members IS
    '[tenant] Members of the current organization, suspended ones too, with the roles that they hold there now.';
COMMENT ON COLUMN organization_members.organization_id IS 'The organization.';
COMMENT ON COLUMN organization_members.user_id IS 'The member.';
COMMENT ON COLUMN organization_members.home_organization_id IS 'Where the account is governed; another than organization_id for guests.';
COMMENT ON COLUMN organization_members.username IS 'Sign-in name.';
COMMENT ON COLUMN organization_members.email IS 'Address for messages.';
COMMENT ON COLUMN organization_members.display_name IS 'Name shown to others.';
COMMENT ON COLUMN organization_members.user_type IS 'person or service.';
COMMENT ON COLUMN organization_members.status IS 'Status of the membership, not of the account.';
COMMENT ON COLUMN organization_members.is_primary IS 'A sign-in starts in this organization.';
COMMENT ON COLUMN organization_members.joined_at IS 'When the membership began.';
COMMENT ON COLUMN organization_members.role_ids IS 'Roles held now, in order of role_codes.';
COMMENT ON COLUMN organization_members.role_codes IS 'Codes of the roles held now, sorted.';

CREATE OR REPLACE VIEW pending_approvals AS
SELECT st.organization_id,
       st.id AS workflow_step_id,
       st.workflow_instance_id,
       wi.workflow_id,
       w.name AS workflow_name,
       w.workflow_type,
       wi.certificate_id,
       wi.certificate_request_id,
       wi.initiated_by_user_id,
       wi.started_at,
       wi.status AS instance_status,
       st.step_order,
       st.step_name,
       st.status AS step_status,
       st.assigned_to_user_id,
       st.assigned_to_role_id,
       st.due_at,
       st.created_at
FROM workflow_steps st
JOIN workflow_instances wi
    ON wi.organization_id = st.organization_id AND wi.id = st.workflow_instance_id
JOIN workflows w
    ON w.organization_id = wi.organization_id AND w.id = wi.workflow_id
WHERE st.step_type = 'approval'
  AND st.status IN ('pending', 'in_progress')
  AND wi.status IN ('initiated', 'in_progress', 'pending_approval')
  AND st.deleted_at IS NULL
  AND wi.deleted_at IS NULL;
COMMENT ON VIEW pending_approvals IS
    '[tenant] Approval steps of the current organization that wait for a decision.';
COMMENT ON COLUMN pending_approvals.organization_id IS 'Owner.';
COMMENT ON COLUMN pending_approvals.workflow_step_id IS 'The step that waits.';
COMMENT ON COLUMN pending_approvals.workflow_instance_id IS 'The run that it belongs to.';
COMMENT ON COLUMN pending_approvals.workflow_id IS 'The version of the workflow that runs.';
COMMENT ON COLUMN pending_approvals.workflow_name IS 'Name of the workflow.';
COMMENT ON COLUMN pending_approvals.workflow_type IS 'The act that waits for the approval.';
COMMENT ON COLUMN pending_approvals.certificate_id IS 'Certificate that it is about.';
COMMENT ON COLUMN pending_approvals.certificate_request_id IS 'Request that it is about.';
COMMENT ON COLUMN pending_approvals.initiated_by_user_id IS 'Who set it off, and so may not be the one to approve.';
COMMENT ON COLUMN pending_approvals.started_at IS 'When the run was set off.';
COMMENT ON COLUMN pending_approvals.instance_status IS 'Where the run stands.';
COMMENT ON COLUMN pending_approvals.step_order IS 'Position within the run.';
COMMENT ON COLUMN pending_approvals.step_name IS 'Name of the step.';
COMMENT ON COLUMN pending_approvals.step_status IS 'pending or in_progress.';
COMMENT ON COLUMN pending_approvals.assigned_to_user_id IS 'The user who is asked.';
COMMENT ON COLUMN pending_approvals.assigned_to_role_id IS 'The role whose holders are asked.';
COMMENT ON COLUMN pending_approvals.due_at IS 'When the decision is overdue.';
COMMENT ON COLUMN pending_approvals.created_at IS 'When the step was made.';

-- How far a certificate has come is a fraction of its lifetime, not a number of days: a six-day
-- certificate is never "30 days before expiry".
CREATE OR REPLACE VIEW certificate_summary AS
SELECT m.organization_id,
       m.certificate_id,
       m.certificate_request_id,
       m.issuer_id,
       m.certificate_type,
       m.status,
       m.serial_number,
       m.common_name,
       m.subject,
       m.subject_alternative_names,
       m.fingerprint_sha256,
       m.key_algorithm,
       m.not_before,
       m.not_after,
       greatest(m.not_after - now(), interval '0') AS time_remaining,
       CASE WHEN m.not_after > m.not_before THEN
           least(greatest((extract(epoch FROM now() - m.not_before)
               / extract(epoch FROM m.not_after - m.not_before))::double precision, 0.0), 1.0)
       ELSE 1.0 END AS lifetime_elapsed_fraction,
       m.owner_user_id,
       m.has_private_key,
       m.revoked_at,
       m.revocation_reason,
       m.environment,
       m.tags,
       m.created_at,
       m.updated_at
FROM certificate_metadata m
WHERE m.deleted_at IS NULL;
COMMENT ON VIEW certificate_summary IS
    '[tenant] Live certificates of the current organization, with how much of their lifetime is over. No key material.';
COMMENT ON COLUMN certificate_summary.organization_id IS 'Owner.';
COMMENT ON COLUMN certificate_summary.certificate_id IS 'The certificate.';
COMMENT ON COLUMN certificate_summary.certificate_request_id IS 'Request that it fulfilled.';
COMMENT ON COLUMN certificate_summary.issuer_id IS 'Issuer, when it is one of ours.';
COMMENT ON COLUMN certificate_summary.certificate_type IS 'What it is for.';
COMMENT ON COLUMN certificate_summary.status IS 'Status by the last event applied.';
COMMENT ON COLUMN certificate_summary.serial_number IS 'Serial number in lower-case hexadecimal.';
COMMENT ON COLUMN certificate_summary.common_name IS 'Common name of the subject, where there is one.';
COMMENT ON COLUMN certificate_summary.subject IS 'Subject name as text.';
COMMENT ON COLUMN certificate_summary.subject_alternative_names IS 'Alternative names as TYPE:value, such as DNS:www.example.org.';
COMMENT ON COLUMN certificate_summary.fingerprint_sha256 IS 'SHA-256 of the DER certificate.';
COMMENT ON COLUMN certificate_summary.key_algorithm IS 'Algorithm and size of the public key.';
COMMENT ON COLUMN certificate_summary.not_before IS 'Start of validity.';
COMMENT ON COLUMN certificate_summary.not_after IS 'End of validity.';
COMMENT ON COLUMN certificate_summary.time_remaining IS 'Time until the end of validity; zero when it is over.';
COMMENT ON COLUMN certificate_summary.lifetime_elapsed_fraction IS 'How much of the lifetime is over, from 0 to 1.';
COMMENT ON COLUMN certificate_summary.owner_user_id IS 'Who answers for it.';
COMMENT ON COLUMN certificate_summary.has_private_key IS 'The platform holds the private key.';
COMMENT ON COLUMN certificate_summary.revoked_at IS 'When it was revoked or suspended.';
COMMENT ON COLUMN certificate_summary.revocation_reason IS 'Why.';
COMMENT ON COLUMN certificate_summary.environment IS 'Where it is used.';
COMMENT ON COLUMN certificate_summary.tags IS 'Labels given by people.';
COMMENT ON COLUMN certificate_summary.created_at IS 'When the row was made.';
COMMENT ON COLUMN certificate_summary.updated_at IS 'When the row was last written.';


-- ---------------------------------------------------------------------------------------------
-- 14. Row-level security
-- ---------------------------------------------------------------------------------------------
-- An unset organization is an error, not an empty answer. FORCE binds the owner as well. The
-- setting is read inline: a function of our own in a policy would cost far more.

DO $$
DECLARE
    table_name text;
    tenant_column text;
    predicate text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY[
        'organizations', 'users', 'roles', 'user_roles', 'user_organizations', 'invitations', 'api_keys', 'sessions',
        'policies', 'workflows', 'workflow_instances', 'workflow_steps', 'notifications',
        'certificate_metadata', 'certificate_quotas', 'certificate_quota_leases', 'audit_log', 'outbox', 'inbox',
        'idempotency_keys', 'step_up_proofs', 'password_history', 'known_sign_in_addresses', 'one_time_links'
    ] LOOP
        tenant_column := CASE table_name
            WHEN 'organizations' THEN 'id'
            WHEN 'users' THEN 'home_organization_id'
            ELSE 'organization_id' END;
        predicate := format($p$%I = current_setting('app.current_org_id')::uuid$p$, tenant_column);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', table_name);
        EXECUTE format('DROP POLICY IF EXISTS tenant_isolation ON %I', table_name);
        EXECUTE format('CREATE POLICY tenant_isolation ON %I USING (%s) WITH CHECK (%s)',
            table_name, predicate, predicate);
    END LOOP;
END
$$;

-- Shared: everybody reads what the System organization owns.
DROP POLICY IF EXISTS shared_read ON roles;
CREATE POLICY shared_read ON roles FOR SELECT
    USING (organization_id = '00000000-0000-0000-0000-000000000001'::uuid);

-- What issuance writes may come in batches of several organizations. Insert only: ANY in a policy
-- that reads would cost the index. Both settings must be set, since the first policy still reads its own.
DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['certificate_metadata', 'audit_log', 'outbox'] LOOP
        EXECUTE format('DROP POLICY IF EXISTS batch_insert ON %I', table_name);
        EXECUTE format($p$CREATE POLICY batch_insert ON %I FOR INSERT WITH CHECK (organization_id = ANY (
            string_to_array(nullif(current_setting('app.batch_org_ids', true), ''), ',')::uuid[]))$p$, table_name);
    END LOOP;
END
$$;


INSERT INTO schema_migrations (version, description, checksum, min_program_version)
VALUES (1, 'init core schema', NULL, '0.1.0')
ON CONFLICT DO NOTHING;

COMMIT;
