//! What keys tell of other tenants, and what indexes are good for under row-level security.

use super::{Check, Severity};

pub(super) const CHECKS: &[Check] = &[UNIQUE, UNIQUE_IN_FAMILY, REFERENCES, SCATTERED, IDLE, INVALID];

/// Unique indexes that do not begin with the tenant, and whose values the app role may choose, as `loose`.
const LOOSE: &str = ",
        loose as (
            select i.indexrelid::regclass::text as name, t.name as of, t.is_family,
                   (select conname from pg_constraint
                     where conindid = i.indexrelid and conrelid = t.oid and contype in ('p', 'u', 'x')) as holds
              from tenant_table t
              join pg_index i on i.indrelid = t.oid and (i.indisunique or i.indisexclusion) and i.indkey[0] <> t.attnum
             where t.is_guarded
               and not exists (
                   select 1 from unnest(i.indkey::int2[]) with ordinality as key (attnum, at)
                    where key.attnum > 0 and key.at <= i.indnkeyatts
                      and not has_column_privilege('{app}'::regrole, t.oid, key.attnum, 'INSERT')
                      and not has_column_privilege('{app}'::regrole, t.oid, key.attnum, 'UPDATE')))";

const UNIQUE: Check = Check {
    severity: Severity::Alarm,
    why: "by refusing a value it tells a tenant that another one has it",
    with: LOOSE,
    sql: "
        select name, format('is a unique index of %s that does not begin with tenant_id', of),
               case when holds is null then format('drop index %s; create unique index on %s (tenant_id, ...);', name, of)
                    else format('alter table %s drop constraint %I, add unique (tenant_id, ...);', of, holds) end
          from loose where not is_family",
};

const UNIQUE_IN_FAMILY: Check = Check {
    severity: Severity::Note,
    why: "it tells a tenant nothing only as long as the values are of the server's making, such as a sequence's",
    with: LOOSE,
    sql: "
        select name, format('is a unique index of %s that does not begin with tenant_id', of),
               case when holds is null then format('drop index %s; create unique index on %s (tenant_id, ...);', name, of)
                    else format('alter table %s drop constraint %I, add unique (tenant_id, ...);', of, holds) end
          from loose where is_family",
};

const REFERENCES: Check = Check {
    severity: Severity::Alarm,
    why: "the server checks foreign keys past row-level security: a tenant learns which of another's rows exist, and holds on to them",
    with: "",
    sql: "
        select format('%I of %s', c.conname, c.conrelid::regclass), format('refers to rows of %s without their tenant', t.name),
               format('alter table %s drop constraint %I, add foreign key (tenant_id, ...) references %s (tenant_id, ...);', c.conrelid::regclass, c.conname, t.name)
          from tenant_table t
          join pg_constraint c on c.contype = 'f' and c.confrelid = t.oid and c.conparentid = 0
         where not exists (
               select 1 from unnest(c.conkey, c.confkey) as key (here, there)
                 join pg_attribute a on a.attrelid = c.conrelid and a.attnum = key.here and a.attname = 'tenant_id'
                where key.there = t.attnum)",
};

const SCATTERED: Check = Check {
    severity: Severity::Note,
    why: "a tenant's query reads past the entries of all others in it",
    with: "",
    sql: "
        select i.indexrelid::regclass::text, format('is an index of %s that does not begin with tenant_id', t.name),
               format('create index concurrently on %s (tenant_id, ...); drop index concurrently %s;', t.name, i.indexrelid::regclass)
          from tenant_table t
          join pg_index i on i.indrelid = t.oid and not (i.indisunique or i.indisexclusion) and i.indkey[0] <> t.attnum
          join pg_class c on c.oid = i.indexrelid
          join pg_am m on m.oid = c.relam and m.amname = 'btree'
         where t.is_guarded and not t.is_family and not c.relispartition",
};

/// By the operators that the index answers to in a condition. One that orders, such as a vector's distance, is another matter.
const IDLE: Check = Check {
    severity: Severity::Note,
    why: "under row-level security the server does not ask an index by an operator that is not leakproof: it scans the tenant's rows",
    with: "",
    sql: "
        select i.indexrelid::regclass::text, format('is an index of %s that no tenant''s query can use for its column %s', t.name, pg_get_indexdef(i.indexrelid, key.at::int, false)),
               'filter on a plain column (text, integer, uuid, date, boolean) behind tenant_id; or search in a function that belongs to the definer role and names the tenant itself, see docs/tenancy.md'
          from tenant_table t
          join pg_index i on i.indrelid = t.oid and not i.indisunique and not i.indisexclusion
          join pg_class c on c.oid = i.indexrelid and not c.relispartition
         cross join lateral unnest(i.indclass::oid[]) with ordinality as key (class, at)
          join pg_opclass o on o.oid = key.class
         where t.is_guarded and not t.is_family
           and (select not bool_or(p.proleakproof)
                  from pg_amop a join pg_operator s on s.oid = a.amopopr join pg_proc p on p.oid = s.oprcode
                 where a.amopfamily = o.opcfamily and a.amoplefttype = o.opcintype and a.amoppurpose = 's')",
};

const INVALID: Check = Check {
    severity: Severity::Warning,
    why: "a build that was broken off left it: every write pays for it, and no query uses it; a unique one does not hold",
    with: "",
    sql: "
        select i.indexrelid::regclass::text, format('is an invalid index of %s', i.indrelid::regclass), format('reindex index concurrently %s;', i.indexrelid::regclass)
          from pg_index i join pg_class c on c.oid = i.indexrelid and c.relkind = 'i'
         where not i.indisvalid
           and not exists (select 1 from pg_stat_progress_create_index where index_relid = i.indexrelid)",
};
