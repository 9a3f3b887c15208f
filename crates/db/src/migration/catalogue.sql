-- Everything in a schema that its migrations make, a line each: an object, what is said of it, and the text of a function.
--
-- Days of a table that is kept in days, such as `log_20261122`, come and go: they are no part of it.
-- Nothing that differs between two databases with the same migrations is in it: no object id, no role's name where the role is one of
-- the five ($2 and $3 translate), nothing of one version of the server alone. Objects of extensions are theirs. Of the history itself
-- only the grants count.
with space as (
    select n.oid, n.nspname, n.nspowner, n.nspacl from pg_catalog.pg_namespace n where n.nspname = $1),
who as (
    select r.oid, coalesce(m.mark, quote_ident(r.rolname)) as name
      from pg_catalog.pg_roles r left join unnest($2::text[], $3::text[]) as m (rolname, mark) on m.rolname = r.rolname
    union all select 0, 'public'),
relation as (
    select c.oid, c.relname, c.relkind, c.relowner, c.relacl, c.reloptions, c.relpersistence, c.relispartition,
           c.relrowsecurity, c.relforcerowsecurity, c.relpartbound,
           case c.relkind when 'v' then 'view ' when 'm' then 'materialized view ' when 'S' then 'sequence '
               when 'f' then 'foreign table ' when 'c' then 'type ' else 'table ' end || quote_ident(c.relname) as object,
           c.relname = 'migration' as is_history
      from pg_catalog.pg_class c join space s on s.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c')
       and not (c.relispartition and c.relname ~ '_[0-9]{8}$')
       and not exists (select 1 from pg_catalog.pg_depend d
                        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')),
routine as (
    select p.oid, p.proowner, p.proacl, p.prosecdef, p.prosrc, p.proconfig, p.provolatile, p.proisstrict, p.proleakproof,
           p.prokind, l.lanname,
           case p.prokind when 'p' then 'procedure ' when 'a' then 'aggregate ' else 'function ' end
               || quote_ident(p.proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')' as object
      from pg_catalog.pg_proc p join space s on s.oid = p.pronamespace join pg_catalog.pg_language l on l.oid = p.prolang
     where not exists (select 1 from pg_catalog.pg_depend d
                        where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')),
kind as (
    select t.oid, t.typtype, t.typowner, t.typacl, t.typbasetype, t.typtypmod, t.typnotnull, t.typdefault,
           'type ' || quote_ident(t.typname) as object
      from pg_catalog.pg_type t join space s on s.oid = t.typnamespace where t.typtype in ('e', 'd')),
-- Who may do what, but for the owners' own rights. The server knows MAINTAIN since 17.
granted (object, what, owner, acl) as (
    select 'schema ' || quote_ident(nspname), '', nspowner, nspacl from space
    union all select object, '', relowner, relacl from relation
    union all select r.object, ' (' || quote_ident(a.attname) || ')', r.relowner, a.attacl
        from relation r join pg_catalog.pg_attribute a on a.attrelid = r.oid where a.attacl is not null and not a.attisdropped
    union all select object, '', proowner, coalesce(proacl, acldefault('f', proowner)) from routine
    union all select object, '', typowner, coalesce(typacl, acldefault('T', typowner)) from kind),
line (object, detail, body) as (
    select 'schema ' || quote_ident(s.nspname), 'owner ' || w.name, null from space s join who w on w.oid = s.nspowner
    union all
    select g.object, 'grant ' || string_agg(x.privilege_type || case when x.is_grantable then ' with grant option' else '' end,
               ', ' order by x.privilege_type collate "C") || g.what || ' to ' || w.name, null
      from granted g cross join aclexplode(g.acl) as x join who w on w.oid = x.grantee
     where x.grantee <> g.owner and x.privilege_type <> 'MAINTAIN'
     group by g.object, g.what, w.name
    union all
    select r.object, 'owner ' || w.name, null from relation r join who w on w.oid = r.relowner where not r.is_history
    union all
    select object, 'row level security ' || case when not relrowsecurity then 'off' when relforcerowsecurity then 'forced'
               else 'on, and its owner escapes it' end, null
      from relation where relkind in ('r', 'p') and not is_history
    union all
    select r.object, 'option ' || o.option, null from relation r cross join unnest(r.reloptions) as o (option)
    union all
    select object, 'unlogged', null from relation where relpersistence = 'u'
    union all
    select object, 'partitioned by ' || pg_get_partkeydef(oid), null from relation where relkind = 'p'
    union all
    select r.object, 'partition of ' || i.inhparent::regclass::text || ' ' || coalesce(pg_get_expr(r.relpartbound, r.oid), ''), null
      from relation r join pg_catalog.pg_inherits i on i.inhrelid = r.oid
    union all
    select object, 'definition ' || pg_get_viewdef(oid), null from relation where relkind in ('v', 'm')
    union all
    select r.object, concat_ws(' ', 'column', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
               case when a.attcollation <> t.typcollation then 'collate ' || a.attcollation::regcollation::text end,
               case when a.attnotnull then 'not null' end,
               case a.attidentity when 'a' then 'generated always as identity' when 'd' then 'generated by default as identity' end,
               case a.attgenerated when 's' then 'stored' when 'v' then 'virtual' end,
               case when d.oid is not null then 'default ' || pg_get_expr(d.adbin, d.adrelid) end), null
      from relation r
      join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
      join pg_catalog.pg_type t on t.oid = a.atttypid
      left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where r.relkind in ('r', 'p', 'v', 'm', 'f', 'c') and not r.is_history
    union all
    -- That a column is not null is said with the column.
    select r.object, 'constraint ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid), null
      from relation r join pg_catalog.pg_constraint k on k.conrelid = r.oid
     where k.contype not in ('n', 't') and not r.is_history
    union all
    select r.object, 'index ' || quote_ident(c.relname) || case when i.indisvalid then '' else ' invalid' end
               || ' ' || pg_get_indexdef(i.indexrelid), null
      from relation r join pg_catalog.pg_index i on i.indrelid = r.oid join pg_catalog.pg_class c on c.oid = i.indexrelid
     where not r.is_history
    union all
    select r.object, 'policy ' || concat_ws(' ', quote_ident(p.polname), case when p.polpermissive then 'permissive' else 'restrictive' end,
               'for', case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
               'to', (select string_agg(w.name, ', ' order by w.name collate "C") from who w where w.oid = any (p.polroles)),
               'using ' || pg_get_expr(p.polqual, p.polrelid), 'with check ' || pg_get_expr(p.polwithcheck, p.polrelid)), null
      from relation r join pg_catalog.pg_policy p on p.polrelid = r.oid
    union all
    select r.object, 'trigger ' || quote_ident(t.tgname) || case t.tgenabled when 'O' then '' when 'D' then ' disabled'
               when 'R' then ' on replicas' else ' always' end || ' ' || pg_get_triggerdef(t.oid), null
      from relation r join pg_catalog.pg_trigger t on t.tgrelid = r.oid where not t.tgisinternal
    union all
    select r.object, 'rule ' || pg_get_ruledef(w.oid), null
      from relation r join pg_catalog.pg_rewrite w on w.ev_class = r.oid where w.rulename <> '_RETURN'
    union all
    select r.object, concat_ws(' ', 'counts', format_type(q.seqtypid, null), 'from', q.seqstart, 'by', q.seqincrement, 'between', q.seqmin,
               'and', q.seqmax, 'cache', q.seqcache, case when q.seqcycle then 'cycle' end), null
      from relation r join pg_catalog.pg_sequence q on q.seqrelid = r.oid
    union all
    select p.object, 'owner ' || w.name, null from routine p join who w on w.oid = p.proowner
    union all
    select object, concat_ws(' ', case when prosecdef then 'security definer' else 'security invoker' end, lanname,
               case provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
               case when proisstrict then 'strict' end, case when proleakproof then 'leakproof' end,
               'takes (' || pg_get_function_arguments(oid) || ')', 'returns ' || pg_get_function_result(oid),
               'set ' || array_to_string(proconfig, ', ')), coalesce(pg_get_function_sqlbody(oid), prosrc)
      from routine
    union all
    select t.object, 'owner ' || w.name, null from kind t join who w on w.oid = t.typowner
    union all
    select t.object, 'enum of ' || coalesce((select string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder)
                                               from pg_catalog.pg_enum e where e.enumtypid = t.oid), 'nothing'), null
      from kind t where t.typtype = 'e'
    union all
    select object, concat_ws(' ', 'domain over', format_type(typbasetype, typtypmod), case when typnotnull then 'not null' end,
               'default ' || typdefault), null from kind where typtype = 'd'
    union all
    select t.object, 'constraint ' || quote_ident(k.conname) || ' ' || pg_get_constraintdef(k.oid), null
      from kind t join pg_catalog.pg_constraint k on k.contypid = t.oid where k.contype <> 'n')
select object, detail, body from line
