-- One row in every table of clm_core_db, for tests of migrations. Run as a superuser.
INSERT INTO organizations (id, name, slug) VALUES ('00000000-0000-0000-0000-0000000000a1', 'Example', 'example');
INSERT INTO users (id, home_organization_id, username, username_normalized)
VALUES ('00000000-0000-0000-0000-0000000000b1', '00000000-0000-0000-0000-0000000000a1', 'Alice', 'alice');
INSERT INTO user_organizations (organization_id, user_id)
VALUES ('00000000-0000-0000-0000-0000000000a1', '00000000-0000-0000-0000-0000000000b1');
INSERT INTO invitations (organization_id, email, email_normalized, token_sha256, expires_at)
VALUES ('00000000-0000-0000-0000-0000000000a1', 'bob@example.org', 'bob@example.org', sha256('i'), now() + interval '1 day');
INSERT INTO password_history (organization_id, user_id, password_hash)
VALUES ('00000000-0000-0000-0000-0000000000a1', '00000000-0000-0000-0000-0000000000b1', '$argon2id$former');
INSERT INTO known_sign_in_addresses (organization_id, user_id, address_sha256, last_success_at)
VALUES ('00000000-0000-0000-0000-0000000000a1', '00000000-0000-0000-0000-0000000000b1', sha256('a'), now());
INSERT INTO one_time_links (organization_id, user_id, purpose, token_sha256, email, expires_at)
VALUES ('00000000-0000-0000-0000-0000000000a1', '00000000-0000-0000-0000-0000000000b1', 'verify_email', sha256('l'), 'b@example.org', now() + interval '1 day');
INSERT INTO user_roles (organization_id, user_id, role_id)
SELECT '00000000-0000-0000-0000-0000000000a1', '00000000-0000-0000-0000-0000000000b1', id FROM roles WHERE role_code = 'USER';
INSERT INTO api_keys (organization_id, user_id, name, key_prefix, key_sha256, last_four)
VALUES ('00000000-0000-0000-0000-0000000000a1', '00000000-0000-0000-0000-0000000000b1', 'key', 'clm_abcd', sha256('k'), 'abcd');
INSERT INTO sessions (organization_id, user_id, token_sha256, csrf_sha256, idle_expires_at, expires_at)
VALUES ('00000000-0000-0000-0000-0000000000a1', '00000000-0000-0000-0000-0000000000b1', sha256('t'), sha256('c'),
        now() + interval '1 hour', now() + interval '1 day');
INSERT INTO policies (organization_id, name, policy_type) VALUES ('00000000-0000-0000-0000-0000000000a1', 'policy', 'certificate');
INSERT INTO workflows (id, organization_id, name, workflow_type)
VALUES ('00000000-0000-0000-0000-0000000000c1', '00000000-0000-0000-0000-0000000000a1', 'workflow', 'renewal');
INSERT INTO workflow_instances (id, organization_id, workflow_id)
VALUES ('00000000-0000-0000-0000-0000000000d1', '00000000-0000-0000-0000-0000000000a1', '00000000-0000-0000-0000-0000000000c1');
INSERT INTO workflow_steps (organization_id, workflow_instance_id, step_order, step_name, step_type)
VALUES ('00000000-0000-0000-0000-0000000000a1', '00000000-0000-0000-0000-0000000000d1', 1, 'decide', 'approval');
INSERT INTO notifications (organization_id, notification_type, channel, recipient_user_id, subject, body)
VALUES ('00000000-0000-0000-0000-0000000000a1', 'test', 'in_app', '00000000-0000-0000-0000-0000000000b1', 'subject', 'body');
INSERT INTO certificate_metadata (organization_id, certificate_id, certificate_type, status, serial_number, subject,
                                  fingerprint_sha256, spki_sha256, key_algorithm, not_before, not_after, revision)
VALUES ('00000000-0000-0000-0000-0000000000a1', uuid_generate_v4(), 'server', 'active', '0a', 'CN=example', sha256('f'), sha256('s'),
        'EC-P256', now(), now() + interval '6 days', 1);
INSERT INTO certificate_quotas (organization_id, live_count, granted_count, organization_revision, counted_at)
VALUES ('00000000-0000-0000-0000-0000000000a1', 1, 0, 1, now());
INSERT INTO certificate_quota_leases (organization_id, outstanding, expires_at)
VALUES ('00000000-0000-0000-0000-0000000000a1', 1, now() + interval '3 minutes');
WITH event AS (SELECT uuid_generate_v7() AS id)
INSERT INTO audit_log (id, event_timestamp, organization_id, event_code, event_category, result, actor_type, resource_type,
                       canonical_sha256)
SELECT id, uuid_v7_timestamp(id), '00000000-0000-0000-0000-0000000000a1', 'test.done', 'test', 'success', 'system', 'test',
       sha256('a')
FROM event;
INSERT INTO outbox (organization_id, aggregate_type, aggregate_id, revision, event_type, payload)
VALUES ('00000000-0000-0000-0000-0000000000a1', 'test', uuid_generate_v4(), 1, 'test.done', '{}');
INSERT INTO inbox (event_id, organization_id, event_type)
VALUES (uuid_generate_v4(), '00000000-0000-0000-0000-0000000000a1', 'test.done');
INSERT INTO idempotency_keys (organization_id, principal, route, key, request_sha256, locked_until, expires_at)
VALUES ('00000000-0000-0000-0000-0000000000a1', 'user:alice', 'POST /test', 'key', sha256('r'), now(), now() + interval '1 day');
INSERT INTO step_up_proofs (proof_sha256, organization_id, user_id, session_id, request_sha256, expires_at)
VALUES (sha256('p'), '00000000-0000-0000-0000-0000000000a1', '00000000-0000-0000-0000-0000000000b1', uuid_generate_v4(), sha256('r'),
        now() + interval '1 hour');
