-- One row of everything for the organization 'ORGANIZATION', whose slug is 'SLUG'; written by the
-- superuser, whom no policy binds.
DO $$
DECLARE
    organization constant uuid := 'ORGANIZATION';
    master constant uuid := '00000000-0000-0000-0000-00000000000a';
    old_key constant uuid := uuid_generate_v4();
    data_key constant uuid := uuid_generate_v4();
    private_key constant uuid := uuid_generate_v4();
    issuer constant uuid := uuid_generate_v4();
    request constant uuid := uuid_generate_v4();
    certificate constant uuid := uuid_generate_v4();
    digest constant bytea := sha256('SLUG');
    nonce constant bytea := substring(digest FROM 1 FOR 12);
    tag constant bytea := substring(digest FROM 1 FOR 16);
BEGIN
    INSERT INTO encryption_keys (
        id, organization_id, key_type, key_version, key_algorithm, key_check_value)
    VALUES (master, '00000000-0000-0000-0000-000000000001', 'master', 1, 'AES-256-GCM', digest)
    ON CONFLICT DO NOTHING;
    INSERT INTO encryption_keys (
        id, organization_id, key_type, key_version, key_algorithm, status, wrapping_key_id,
        encrypted_key_material, encryption_iv, encryption_auth_tag, encryption_algorithm, retired_at)
    VALUES
        (old_key, organization, 'data', 1, 'AES-256-GCM', 'retired', master,
         digest, nonce, tag, 'AES-256-GCM', now()),
        (data_key, organization, 'data', 2, 'AES-256-GCM', 'active', master,
         digest, nonce, tag, 'AES-256-GCM', NULL);
    -- Of no master key: those are the system organization's alone.
    INSERT INTO master_key_shares (
        organization_id, encryption_key_id, share_index, share_set_id, threshold, share_count, share_sha256)
    VALUES (organization, data_key, 1, master, 2, 2, digest);
    INSERT INTO key_rotation_history (
        organization_id, rotation_type, old_encryption_key_id, new_encryption_key_id)
    VALUES (organization, 'scheduled', old_key, data_key);
    INSERT INTO private_keys (
        id, organization_id, spki_sha256, public_key_der, key_algorithm, key_usage_purpose,
        encrypted_key_material, encryption_key_id, encryption_algorithm, encryption_iv,
        encryption_auth_tag)
    VALUES (private_key, organization, digest, digest, 'ecdsa-p256', 'issuer',
        digest, data_key, 'AES-256-GCM', nonce, tag);
    INSERT INTO issuers (
        id, organization_id, name, kind, certificate_id, private_key_id, subject_der,
        subject_key_identifier, key_algorithm, signature_algorithm, limits)
    VALUES (issuer, organization, 'SLUG', 'root', certificate, private_key, '\x3000', nonce,
        'ecdsa-p256', 'ecdsa-with-sha256', '{}');
    INSERT INTO issuer_organizations (issuer_id, organization_id) VALUES (issuer, organization);
    INSERT INTO certificate_requests (
        id, organization_id, status, request_source, issuer_id, subject, key_algorithm,
        requested_certificate_type, requester_actor_type)
    VALUES (request, organization, 'fulfilled', 'server_key', issuer, 'CN=SLUG', 'ecdsa-p256',
        'server', 'system');
    -- In force, and near its end.
    INSERT INTO certificates (
        id, organization_id, certificate_type, status, issuer_id, certificate_request_id,
        private_key_id, serial_number, subject, certificate_der, fingerprint_sha256, spki_sha256,
        tbs_sha256, key_algorithm, signature_algorithm, not_before, not_after)
    VALUES (certificate, organization, 'server', 'active', issuer, request, private_key, '\x01',
        'CN=SLUG', digest, digest, digest, digest, 'ecdsa-p256', 'ecdsa-with-sha256',
        now() - interval '10 days', now() + interval '1 day');
    INSERT INTO certificate_revocations (
        organization_id, certificate_id, issuer_id, serial_number, revocation_reason, revoked_at)
    VALUES (organization, certificate, issuer, '\x01', 'superseded', now());
    INSERT INTO sealed_secrets (
        id, organization_id, purpose, owner_id, encrypted_secret, encryption_key_id,
        encryption_algorithm, encryption_iv, encryption_auth_tag)
    VALUES (private_key, organization, 'totp', certificate, digest, data_key, 'AES-256-GCM', nonce,
        tag);
    INSERT INTO totp_factors (sealed_secret_id, organization_id, user_id, expires_at)
    VALUES (private_key, organization, certificate, now());
    INSERT INTO step_up_proofs (
        proof_sha256, organization_id, user_id, session_id, request_sha256, expires_at)
    VALUES (sha256('SLUG'), organization, certificate, request, digest, now() + interval '1 hour');
    INSERT INTO transport_authorities (organization_id, private_key_id, certificate_der, not_after)
    VALUES (organization, private_key, digest, now() + interval '1 hour');
    INSERT INTO transport_peers (organization_id, name, caller, token_sha256, token_expires_at)
    VALUES (organization, 'SLUG', 'core', digest, now() + interval '1 hour');
    INSERT INTO outbox (organization_id, aggregate_type, aggregate_id, revision, event_type, payload)
    VALUES (organization, 'certificate', certificate, 1, 'e', '{}');
    INSERT INTO inbox (event_id, organization_id, event_type)
    VALUES (uuid_generate_v4(), organization, 'e');
END
$$;
