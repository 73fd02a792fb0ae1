-- What the migrations put into clm_core_db: name and definition of each row. `clm db verify` compares
-- them with catalogue.json. Run in the scope of the System organization, with pg_catalog as search path.
SELECT 'organizations.' || o.slug, concat_ws(' ', o.id, o.status)
FROM public.organizations o
WHERE o.id = '00000000-0000-0000-0000-000000000001'
UNION ALL
SELECT 'roles.' || r.role_code, concat_ws(' ', r.id, r.role_name, r.permissions)
FROM public.roles r
WHERE r.organization_id = '00000000-0000-0000-0000-000000000001' AND r.is_system_role AND r.deleted_at IS NULL
