//! What runs with the rights of somebody else: views, materialised views, functions. And the extension.

use super::{Check, Severity};

pub(super) const CHECKS: &[Check] = &[VIEWS, COPIES, COPIES_UNSEEN, PATHS, MIGHTY, EXTENSION, OLD_EXTENSION];

/// Views that read a tenant table, through other views as well, as `reader`.
const READERS: &str = ",
        source as (
            select oid from tenant_table
             union
            select r.ev_class from source
              join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = source.oid and d.classid = 'pg_rewrite'::regclass
              join pg_rewrite r on r.oid = d.objid and r.ev_type = '1' and r.ev_class <> source.oid
              join pg_class c on c.oid = r.ev_class and c.relkind in ('v', 'm')),
          reader as (
            select c.oid::regclass::text as name, c.relkind as kind,
                   exists (select 1 from pg_options_to_table(c.reloptions)
                            where option_name = 'security_invoker' and option_value in ('true', 'on', 'yes', '1')) as is_invokers,
                   has_any_column_privilege('{app}'::regrole, c.oid, 'SELECT') as is_open
              from source join pg_class c on c.oid = source.oid and c.relkind in ('v', 'm'))";

const VIEWS: Check = Check {
    severity: Severity::Alarm,
    why: "such a view reads with the rights of its owner, so it shows what the owner may see and not what the caller may",
    with: READERS,
    sql: "
        select name, 'is a view of a tenant table without security_invoker', format('alter view %s set (security_invoker = true);', name)
          from reader where kind = 'v' and not is_invokers",
};

const COPIES: Check = Check {
    severity: Severity::Alarm,
    why: "a materialised view is a copy without row-level security: the app role reads the rows of every tenant that were copied",
    with: READERS,
    sql: "
        select name, 'is a materialised view of a tenant table with a grant to the app role', format('revoke all on %s from %s, public;', name, '{app}'::regrole)
          from reader where kind = 'm' and is_open",
};

const COPIES_UNSEEN: Check = Check {
    severity: Severity::Warning,
    why: "a materialised view is a copy without row-level security: the first grant shows the rows of every tenant that were copied",
    with: READERS,
    sql: "
        select name, 'is a materialised view of a tenant table', format('drop materialized view %s; create table and fill it, and make it a tenant table', name)
          from reader where kind = 'm' and not is_open",
};

/// Functions outside of extensions that run as their owner, as `lent`.
const LENT: &str = ",
        lent as (
            select p.oid::regprocedure::text as name, p.proowner, p.oid,
                   exists (select 1 from unnest(p.proconfig) as setting where starts_with(setting, 'search_path=')) as is_pinned
              from pg_proc p
             where p.prosecdef and p.pronamespace::regnamespace::text !~ '^(pg_|information_schema)'
               and not exists (select 1 from pg_depend where classid = 'pg_proc'::regclass and objid = p.oid and deptype = 'e'))";

const PATHS: Check = Check {
    severity: Severity::Alarm,
    why: "whoever calls it chooses the schemas in which it looks things up, and can so run code of their own as its owner",
    with: LENT,
    sql: "
        select 'function ' || name, 'is SECURITY DEFINER without a search_path of its own', format('alter function %s set search_path = pg_catalog, pg_temp;', name)
          from lent where not is_pinned",
};

const MIGHTY: Check = Check {
    severity: Severity::Alarm,
    why: "it runs past all policies, for whoever may call it",
    with: LENT,
    sql: "
        select 'function ' || name, format('is SECURITY DEFINER, belongs to %s, which no policy holds, and the app role may call it', proowner::regrole), format('alter function %s owner to %s;', name, '{definer}'::regrole)
          from lent
         where has_function_privilege('{app}'::regrole, oid, 'EXECUTE')
           and exists (select 1 from pg_roles r where r.oid = proowner and (r.rolsuper or r.rolbypassrls))",
};

/// The version of pgvector, as `installed`.
const PGVECTOR: &str = ",
        installed as (
            select extversion, string_to_array(substring(extversion from '^[0-9.]*[0-9]'), '.')::int[] as version
              from pg_extension where extname = 'vector')";

const EXTENSION: Check = Check {
    severity: Severity::Alarm,
    why: "before 0.8.0 a search among many tenants' vectors finds nothing for the small ones",
    with: PGVECTOR,
    sql: "
        select 'extension vector', format('is of version %s', extversion),
               'install pgvector 0.8.4 or later on the server, then: alter extension vector update;'
          from installed where version < array[0, 8, 0]",
};

const OLD_EXTENSION: Check = Check {
    severity: Severity::Warning,
    why: "before 0.8.4 a parallel build can overflow its buffer, and vacuum can damage an HNSW index",
    with: PGVECTOR,
    sql: "
        select 'extension vector', format('is of version %s', extversion),
               'install pgvector 0.8.4 or later on the server, then: alter extension vector update;'
          from installed where version >= array[0, 8, 0] and version < array[0, 8, 4]",
};
