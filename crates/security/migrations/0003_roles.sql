-- What the family has to know of a tenant. `epoch` counts the changes of its roles, of who has them, and of its state: a view with
-- another one is out of date. A tenant without a row has changed nothing and is not suspended.
create table shared_security.tenant (
    tenant_id uuid primary key,
    epoch bigint not null default 1,
    changed xid8 not null default pg_current_xact_id(),
    suspended_at timestamptz,
    suspended_by text check (length(suspended_by) <= 255),
    reason text check (length(reason) <= 1000)
);
create index tenant_changed on shared_security.tenant (changed);

-- Every change is told to who listens, and marked for who looks what transactions have changed that he has not seen.
create function shared_security.tell() returns trigger language plpgsql
set search_path = pg_catalog, pg_temp as $function$
begin
    new.changed := pg_current_xact_id();
    perform pg_notify('shared_security_tenant', new.tenant_id::text);
    return new;
end $function$;
create trigger tell before insert or update on shared_security.tenant
    for each row execute function shared_security.tell();

select shared_db.family_table('shared_security.tenant');
-- A tenant says that something has changed, and not whether it is suspended.
revoke insert, update, delete on shared_security.tenant from {app}, {across};
grant insert (tenant_id), update (epoch) on shared_security.tenant to {app};

-- Roles of a tenant's own, beside those that the program declares.
create table shared_security.role (
    tenant_id uuid not null,
    name text not null check (name ~ '^[a-z][a-z0-9_-]{0,62}$'),
    permissions text[] not null,
    inherits text[] not null,
    version bigint not null default 1,
    primary key (tenant_id, name)
);
select shared_db.tenant_table('shared_security.role');

-- Who has which role, the program's or the tenant's own.
create table shared_security.role_assignment (
    tenant_id uuid not null,
    subject text not null check (length(subject) between 1 and 255),
    role text not null,
    assigned_by text not null check (length(assigned_by) <= 255),
    assigned_at timestamptz not null default now(),
    primary key (tenant_id, subject, role)
);
create index role_assignment_role on shared_security.role_assignment (tenant_id, role);
select shared_db.tenant_table('shared_security.role_assignment');

-- From when on a role counts no longer in tokens that were issued before: for a subject, or with '' for everybody, since the role
-- itself was deleted. Kept for as long as such a token can live.
create table shared_security.role_withdrawal (
    tenant_id uuid not null,
    subject text not null check (length(subject) <= 255),
    role text not null,
    at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, subject, role)
);
create index role_withdrawal_at on shared_security.role_withdrawal (tenant_id, at);
select shared_db.tenant_table('shared_security.role_withdrawal');
