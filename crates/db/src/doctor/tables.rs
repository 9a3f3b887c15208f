//! Whether row-level security holds for the tables at all.

use super::{Check, Severity};

pub(super) const CHECKS: &[Check] = &[OPEN, UNGUARDED, FOREIGN, ESCAPED, SHUT, LOOSE, PUBLIC, TRUNCATED];

const OPEN: Check = Check {
    severity: Severity::Alarm,
    why: "the app role reads or writes the rows of every tenant in it",
    with: "",
    sql: "
        select name, 'has a tenant_id, no row-level security, and grants to the app role', format('select shared_db.tenant_table(%L);', name)
          from tenant_table
         where kind <> 'f' and not is_guarded
           and (has_any_column_privilege('{app}'::regrole, oid, 'SELECT, INSERT, UPDATE') or has_table_privilege('{app}'::regrole, oid, 'DELETE'))",
};

const UNGUARDED: Check = Check {
    severity: Severity::Warning,
    why: "the first grant to the app role shows it the rows of every tenant, and so does a view of its owner today",
    with: "",
    sql: "
        select name, 'has a tenant_id and no row-level security', format('select shared_db.tenant_table(%L);', name)
          from tenant_table
         where kind <> 'f' and not is_guarded
           and not (has_any_column_privilege('{app}'::regrole, oid, 'SELECT, INSERT, UPDATE') or has_table_privilege('{app}'::regrole, oid, 'DELETE'))",
};

const FOREIGN: Check = Check {
    severity: Severity::Alarm,
    why: "foreign tables have no row-level security: the app role reads the rows of every tenant in it",
    with: "",
    sql: "
        select name, 'is a foreign table with a tenant_id and grants to the app role', format('revoke all on %s from %s, public;', name, '{app}'::regrole)
          from tenant_table
         where kind = 'f' and has_any_column_privilege('{app}'::regrole, oid, 'SELECT, INSERT, UPDATE')",
};

const ESCAPED: Check = Check {
    severity: Severity::Alarm,
    why: "the owner sees the rows of every tenant, and its views and functions show them to others",
    with: "",
    sql: "
        select c.oid::regclass::text, 'has policies that its owner escapes', format('alter table %s force row level security;', c.oid::regclass)
          from pg_class c
         where c.relrowsecurity and not c.relforcerowsecurity and c.relkind in ('r', 'p')",
};

const SHUT: Check = Check {
    severity: Severity::Warning,
    why: "without a policy nobody sees a row of it, its own tenant neither",
    with: "",
    sql: "
        select name, 'has row-level security and no policy', format('select shared_db.tenant_table(%L);', name)
          from tenant_table
         where is_guarded and not exists (select 1 from pg_policy where polrelid = tenant_table.oid and polpermissive)",
};

const LOOSE: Check = Check {
    severity: Severity::Warning,
    why: "a row without a tenant is nobody's: no request sees it, and no deletion of a tenant finds it",
    with: "",
    sql: "
        select name, 'has a tenant_id that is not `uuid not null`', format('alter table %s alter tenant_id type uuid using tenant_id::uuid, alter tenant_id set not null;', name)
          from tenant_table
         where is_guarded and (atttypid <> 'uuid'::regtype or not attnotnull)",
};

const PUBLIC: Check = Check {
    severity: Severity::Warning,
    why: "every login of the database reaches the table; then the policies alone stand in between",
    with: "",
    sql: "
        select t.name, format('grants %s to everybody', string_agg(distinct lower(g.privilege_type), ', ')), format('revoke all on %s from public;', t.name)
          from tenant_table t
          cross join lateral (
               select grantee, privilege_type from aclexplode(t.rights)
                union all
               select r.grantee, r.privilege_type from pg_attribute a, aclexplode(a.attacl) r where a.attrelid = t.oid) g
         where g.grantee = 0 group by t.name",
};

const TRUNCATED: Check = Check {
    severity: Severity::Alarm,
    why: "TRUNCATE knows no row-level security: one tenant's request can empty the table for all",
    with: "",
    sql: "
        select name, format('lets %s truncate it', r.role), format('revoke truncate on %s from %s, public;', name, r.role)
          from tenant_table, unnest(array['{app}'::regrole, '{system}'::regrole]) as r (role)
         where has_table_privilege(r.role, tenant_table.oid, 'TRUNCATE')
           and not (select rolsuper from pg_roles where pg_roles.oid = r.role)",
};
