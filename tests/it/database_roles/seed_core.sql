-- One row of everything for the organization 'ORGANIZATION', whose slug is 'SLUG'; written by the
-- superuser, whom no policy binds.
DO $$
DECLARE
    organization constant uuid := 'ORGANIZATION';
    person constant uuid := uuid_generate_v4();
    workflow constant uuid := uuid_generate_v4();
    instance constant uuid := uuid_generate_v4();
    certificate constant uuid := uuid_generate_v4();
    digest constant bytea := sha256('SLUG');
BEGIN
    INSERT INTO organizations (id, name, slug) VALUES (organization, 'SLUG', 'SLUG');
    INSERT INTO users (id, home_organization_id, username, username_normalized)
    VALUES (person, organization, 'person of SLUG', 'person of SLUG');
    INSERT INTO user_organizations (organization_id, user_id, is_primary)
    VALUES (organization, person, true);
    INSERT INTO invitations (organization_id, email, email_normalized, token_sha256, expires_at)
    VALUES (organization, 'guest@SLUG.example', 'guest@SLUG.example', digest, now() + interval '1 day');
    INSERT INTO password_history (organization_id, user_id, password_hash)
    VALUES (organization, person, '$argon2id$former');
    INSERT INTO known_sign_in_addresses (organization_id, user_id, address_sha256, last_success_at)
    VALUES (organization, person, digest, now());
    INSERT INTO one_time_links (organization_id, user_id, purpose, token_sha256, email, expires_at)
    VALUES (organization, person, 'reset_password', digest, 'person@SLUG.example', now() + interval '1 day');
    INSERT INTO roles (organization_id, role_code, role_name) VALUES (organization, 'OWN', 'Own');
    INSERT INTO user_roles (organization_id, user_id, role_id)
    VALUES (organization, person, '00000000-0000-0000-0001-000000000006');
    INSERT INTO api_keys (organization_id, user_id, name, key_prefix, key_sha256, last_four)
    VALUES (organization, person, 'key', 'clm_0000', digest, '0000');
    INSERT INTO sessions (
        user_id, organization_id, token_sha256, csrf_sha256, idle_expires_at, expires_at)
    VALUES (person, organization, digest, digest, now() + interval '1 day', now() + interval '1 day');
    INSERT INTO policies (organization_id, name, policy_type) VALUES (organization, 'p', 'issuance');
    INSERT INTO workflows (id, organization_id, name, workflow_type)
    VALUES (workflow, organization, 'w', 'renewal');
    INSERT INTO workflow_instances (id, organization_id, workflow_id, certificate_id)
    VALUES (instance, organization, workflow, certificate);
    INSERT INTO workflow_steps (
        organization_id, workflow_instance_id, step_order, step_name, step_type)
    VALUES (organization, instance, 1, 's', 'approval');
    INSERT INTO notifications (
        organization_id, notification_type, channel, recipient_user_id, subject, body)
    VALUES (organization, 'n', 'in_app', person, 's', 'b');
    INSERT INTO certificate_metadata (
        organization_id, certificate_id, certificate_type, status, serial_number, subject,
        fingerprint_sha256, spki_sha256, key_algorithm, not_before, not_after, revision)
    VALUES (organization, certificate, 'server', 'active', '01', 'CN=SLUG', digest, digest,
        'ecdsa-p256', now() - interval '1 day', now() + interval '1 day', 1);
    INSERT INTO certificate_quotas (
        organization_id, live_count, granted_count, organization_revision, counted_at)
    VALUES (organization, 1, 1, 1, now());
    INSERT INTO certificate_quota_leases (organization_id, outstanding, expires_at)
    VALUES (organization, 1, now() + interval '1 day');
    INSERT INTO outbox (organization_id, aggregate_type, aggregate_id, revision, event_type)
    VALUES (organization, 'certificate', certificate, 1, 'e');
    INSERT INTO inbox (event_id, organization_id, event_type)
    VALUES (uuid_generate_v4(), organization, 'e');
    INSERT INTO idempotency_keys (
        organization_id, principal, route, key, request_sha256, locked_until, expires_at)
    VALUES (organization, 'p', 'r', 'k', digest, now(), now() + interval '1 day');
    INSERT INTO step_up_proofs (
        proof_sha256, organization_id, user_id, session_id, request_sha256, expires_at)
    VALUES (digest, organization, person, uuid_generate_v4(), digest, now() + interval '1 day');
END
$$;
