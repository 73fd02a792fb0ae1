-- One row in every table of clm_secure_db, for tests of migrations. Run as a superuser.
BEGIN;
INSERT INTO encryption_keys (id, organization_id, key_type, key_version, key_algorithm, key_check_value)
VALUES ('00000000-0000-0000-0000-0000000000a1', '00000000-0000-0000-0000-000000000001', 'master', 1, 'AES-256-GCM', sha256('m'));
INSERT INTO encryption_keys (id, organization_id, key_type, key_version, key_algorithm, wrapping_key_id, encrypted_key_material,
                             encryption_iv, encryption_auth_tag, encryption_algorithm)
VALUES ('00000000-0000-0000-0000-0000000000a2', '00000000-0000-0000-0000-000000000001', 'data', 1, 'AES-256-GCM',
        '00000000-0000-0000-0000-0000000000a1', sha256('d'), substring(sha256('i') FROM 1 FOR 12),
        substring(sha256('t') FROM 1 FOR 16), 'AES-256-GCM');
INSERT INTO master_key_shares (organization_id, encryption_key_id, share_index, share_set_id, threshold, share_count, share_sha256)
VALUES ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-0000000000a1', 1,
        '00000000-0000-0000-0000-0000000000a3', 2, 3, sha256('h'));
INSERT INTO private_keys (id, organization_id, spki_sha256, public_key_der, key_algorithm, key_usage_purpose,
                          encrypted_key_material, encryption_key_id, encryption_algorithm, encryption_iv, encryption_auth_tag)
VALUES ('00000000-0000-0000-0000-0000000000b1', '00000000-0000-0000-0000-000000000001', sha256('s'), '\x3000', 'EC-P256', 'issuer',
        '\x00', '00000000-0000-0000-0000-0000000000a2', 'AES-256-GCM', substring(sha256('i') FROM 1 FOR 12),
        substring(sha256('t') FROM 1 FOR 16));
INSERT INTO issuers (id, organization_id, name, kind, certificate_id, private_key_id, subject_der, subject_key_identifier,
                     key_algorithm, signature_algorithm, limits)
VALUES ('00000000-0000-0000-0000-0000000000c1', '00000000-0000-0000-0000-000000000001', 'Root', 'root',
        '00000000-0000-0000-0000-0000000000d1', '00000000-0000-0000-0000-0000000000b1', '\x3000',
        substring(sha256('k') FROM 1 FOR 20), 'EC-P256', 'ecdsa-with-SHA256', '{}');
INSERT INTO certificates (id, organization_id, certificate_type, status, issuer_id, private_key_id, serial_number, subject,
                          certificate_der, fingerprint_sha256, spki_sha256, tbs_sha256, key_algorithm, signature_algorithm,
                          not_before, not_after)
VALUES ('00000000-0000-0000-0000-0000000000d1', '00000000-0000-0000-0000-000000000001', 'root', 'active',
        '00000000-0000-0000-0000-0000000000c1', '00000000-0000-0000-0000-0000000000b1', '\x01', 'CN=Root', '\x3000', sha256('f'),
        sha256('s'), sha256('b'), 'EC-P256', 'ecdsa-with-SHA256', now(), now() + interval '6 days');
INSERT INTO issuer_organizations (issuer_id, organization_id)
VALUES ('00000000-0000-0000-0000-0000000000c1', '00000000-0000-0000-0000-0000000000e1');
INSERT INTO certificate_requests (organization_id, status, request_source, issuer_id, subject, key_algorithm,
                                  requested_certificate_type, requester_actor_type)
VALUES ('00000000-0000-0000-0000-0000000000e1', 'pending', 'server_key', '00000000-0000-0000-0000-0000000000c1', 'CN=example',
        'EC-P256', 'server', 'system');
INSERT INTO certificate_revocations (organization_id, certificate_id, issuer_id, serial_number, revocation_reason, revoked_at)
VALUES ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-0000000000d1', '00000000-0000-0000-0000-0000000000c1',
        '\x01', 'superseded', now());
INSERT INTO key_rotation_history (organization_id, rotation_type, old_encryption_key_id)
VALUES ('00000000-0000-0000-0000-000000000001', 'scheduled', '00000000-0000-0000-0000-0000000000a2');
INSERT INTO sealed_secrets (id, organization_id, purpose, owner_id, encrypted_secret, encryption_key_id, encryption_algorithm,
                            encryption_iv, encryption_auth_tag)
VALUES ('00000000-0000-0000-0000-0000000000f1', '00000000-0000-0000-0000-000000000001', 'totp',
        '00000000-0000-0000-0000-0000000000f2', '\x01', '00000000-0000-0000-0000-0000000000a2', 'AES-256-GCM',
        substring(sha256('n') FROM 1 FOR 12), substring(sha256('t') FROM 1 FOR 16));
INSERT INTO totp_factors (sealed_secret_id, organization_id, user_id, expires_at)
VALUES ('00000000-0000-0000-0000-0000000000f1', '00000000-0000-0000-0000-000000000001',
        '00000000-0000-0000-0000-0000000000f2', now());
INSERT INTO step_up_proofs (proof_sha256, organization_id, user_id, session_id, request_sha256, expires_at)
VALUES (sha256('p'), '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-0000000000f2',
        '00000000-0000-0000-0000-0000000000f3', sha256('r'), now() + interval '1 hour');
INSERT INTO transport_authorities (organization_id, private_key_id, certificate_der, not_after)
SELECT organization_id, id, '\x01', now() + interval '1 hour' FROM private_keys LIMIT 1;
INSERT INTO transport_peers (organization_id, name, caller, token_sha256, token_expires_at)
VALUES ('00000000-0000-0000-0000-000000000001', 'core', 'core', sha256('t'), now() + interval '1 hour');
WITH event AS (SELECT uuid_generate_v7() AS id)
INSERT INTO secure_audit_log (id, event_timestamp, organization_id, event_code, event_category, result, actor_type, resource_type,
                              canonical_sha256)
SELECT id, uuid_v7_timestamp(id), '00000000-0000-0000-0000-000000000001', 'test.done', 'test', 'success', 'system', 'test',
       sha256('a')
FROM event;
INSERT INTO outbox (organization_id, aggregate_type, aggregate_id, revision, event_type, payload)
VALUES ('00000000-0000-0000-0000-000000000001', 'test', uuid_generate_v4(), 1, 'test.done', '{}');
INSERT INTO inbox (event_id, organization_id, event_type)
VALUES (uuid_generate_v4(), '00000000-0000-0000-0000-000000000001', 'test.done');
COMMIT;
