-- The audit log: one row an entry, only ever added. Writers add them unchained, without a lock; one sealer chains what was committed.
--
-- `xid` is the top-level transaction's and `pos` orders the entries between two cuts: see the module `cut` of shared-db. The unique
-- index on `pos` tells a tenant nothing, since only the server fills it. The one on `id` lets a writer repeat what it has no answer
-- to. What no tenant is known for has the tenant of zeros.
create table shared_security.audit_log (
    pos bigint generated always as identity (cache 1) primary key,
    xid xid8 not null default pg_current_xact_id(),
    id uuid not null,
    tenant_id uuid not null,
    at timestamptz not null default clock_timestamp(),
    waited_ms bigint not null default 0 check (waited_ms >= 0),
    action text not null check (length(action) between 1 and 100),
    outcome text not null check (outcome in ('allowed', 'denied', 'failed')),
    actor text check (octet_length(actor) <= 255),
    on_behalf_of text check (octet_length(on_behalf_of) <= 255),
    target_kind text check (octet_length(target_kind) <= 255),
    target_id text check (octet_length(target_id) <= 255),
    reason text check (octet_length(reason) <= 1000),
    address text check (octet_length(address) <= 45),
    user_agent text check (octet_length(user_agent) <= 255),
    correlation text check (octet_length(correlation) <= 255),
    traceparent text check (octet_length(traceparent) <= 55),
    details json check (octet_length(details::text) <= 16384),
    unique (tenant_id, id)
);
create index audit_log_xid_pos on shared_security.audit_log (xid, pos);
create index audit_log_tenant_pos on shared_security.audit_log (tenant_id, pos);

-- A batch of one tenant's entries, in their order, and its place in the tenant's chain: `root` is a hash over the root before, the
-- numbers, the positions and the entries' own hashes, 32 bytes each in `leaves`. The batch is what was committed between the cuts
-- at `since` and `until`.
create table shared_security.audit_seal (
    tenant_id uuid not null,
    number bigint not null check (number > 0),
    since timestamptz not null,
    until timestamptz not null,
    positions bigint[] not null check (cardinality(positions) > 0),
    leaves bytea not null check (octet_length(leaves) = 32 * cardinality(positions)),
    root bytea not null check (octet_length(root) = 32),
    sealed_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, number)
);

-- The end of each tenant's chain.
create table shared_security.audit_chain (
    tenant_id uuid primary key,
    number bigint not null,
    root bytea not null
);

-- The one sealer: its lease, counted by `epoch`, and how far it has come. Everything that the cut `seen` sees is sealed, and of what
-- `sees` sees beyond that everything up to `pos`.
create table shared_security.audit_sealer (
    one boolean primary key default true check (one),
    epoch bigint not null default 0,
    owner uuid,
    expires timestamptz not null default '-infinity',
    seen pg_snapshot not null,
    seen_at timestamptz not null,
    sees pg_snapshot,
    sees_at timestamptz,
    pos bigint not null default 0
) with (fillfactor = 50);
insert into shared_security.audit_sealer (seen, seen_at) values (pg_current_snapshot(), clock_timestamp());

-- Batches whose entries were deleted when their time was over; their seals stay.
create table shared_security.audit_pruned (
    tenant_id uuid not null,
    number bigint not null,
    xid xid8 not null default pg_current_xact_id(),
    at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, number)
);
create index audit_pruned_xid on shared_security.audit_pruned (xid);

create function shared_security.audit_refuse() returns trigger language plpgsql as $function$
begin
    raise exception using errcode = 'insufficient_privilege', message = 'the audit log is append-only';
end $function$;
create trigger append_only before update or truncate on shared_security.audit_log
    for each statement execute function shared_security.audit_refuse();
create trigger append_only before update or delete or truncate on shared_security.audit_seal
    for each statement execute function shared_security.audit_refuse();
create trigger append_only before update or delete or truncate on shared_security.audit_pruned
    for each statement execute function shared_security.audit_refuse();

-- An entry goes only with its whole batch, in the transaction that notes that.
create function shared_security.audit_refuse_unpruned() returns trigger language plpgsql
set search_path = pg_catalog, pg_temp as $function$
begin
    if exists (select gone.tenant_id, gone.pos from gone
               except
               select seal.tenant_id, place.pos
                 from shared_security.audit_pruned as pruned
                 join shared_security.audit_seal as seal on seal.tenant_id = pruned.tenant_id and seal.number = pruned.number
                cross join lateral unnest(seal.positions) as place (pos)
                where pruned.xid = pg_current_xact_id()) then
        raise exception using errcode = 'insufficient_privilege', message = 'the audit log is append-only';
    end if;
    return null;
end $function$;
create trigger only_pruned after delete on shared_security.audit_log
    referencing old table as gone for each statement execute function shared_security.audit_refuse_unpruned();

alter table shared_security.audit_log enable row level security;
alter table shared_security.audit_log force row level security;
create policy tenant_writes on shared_security.audit_log for insert to {app}
    with check (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
create policy tenant_reads on shared_security.audit_log for select to {app}
    using (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
create policy system_reads on shared_security.audit_log for select to {system} using (true);
create policy system_writes on shared_security.audit_log for insert to {system} with check (true);
create policy system_prunes on shared_security.audit_log for delete to {system} using (true);
alter table shared_security.audit_seal enable row level security;
alter table shared_security.audit_seal force row level security;
create policy system_seals on shared_security.audit_seal for all to {system} using (true) with check (true);
alter table shared_security.audit_chain enable row level security;
alter table shared_security.audit_chain force row level security;
create policy system_seals on shared_security.audit_chain for all to {system} using (true) with check (true);
alter table shared_security.audit_pruned enable row level security;
alter table shared_security.audit_pruned force row level security;
create policy system_prunes on shared_security.audit_pruned for all to {system} using (true) with check (true);

-- Not `pos`, `xid` and `at`: those are the server's.
grant select, insert (id, tenant_id, waited_ms, action, outcome, actor, on_behalf_of, target_kind, target_id, reason, address,
                      user_agent, correlation, traceparent, details) on shared_security.audit_log to {app}, {system};
grant delete on shared_security.audit_log to {system};
grant select, insert on shared_security.audit_seal to {system};
grant select, insert, update on shared_security.audit_chain to {system};
grant select, update on shared_security.audit_sealer to {system};
-- `at` and `xid` are the server's.
grant select, insert (tenant_id, number) on shared_security.audit_pruned to {system};
