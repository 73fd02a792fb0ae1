-- One event of the organization 'ORGANIZATION' in every monthly partition of AUDIT_LOG.
DO $$
DECLARE
    moment timestamp;
    bytes bytea;
    event uuid;
BEGIN
    FOR month IN -1 .. 12 LOOP
        moment := date_trunc('month', now() AT TIME ZONE 'UTC')
            + make_interval(months => month, days => 14);
        bytes := overlay(gen_random_bytes(16) PLACING
            substring(int8send((extract(epoch FROM moment) * 1000)::bigint) FROM 3) FROM 1 FOR 6);
        bytes := set_byte(bytes, 6, (get_byte(bytes, 6) & 15) | 112);
        bytes := set_byte(bytes, 8, (get_byte(bytes, 8) & 63) | 128);
        event := encode(bytes, 'hex')::uuid;
        INSERT INTO AUDIT_LOG (
            id, event_timestamp, organization_id, event_code, event_category, result, actor_type,
            resource_type, canonical_sha256)
        VALUES (event, uuid_v7_timestamp(event), 'ORGANIZATION', 'test', 'test', 'success',
            'system', 'test', sha256('test'));
    END LOOP;
END
$$;
