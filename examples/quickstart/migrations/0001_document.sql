-- What tenants are called. It is global: every connection of the app role sees it, so nothing secret stands in it.
create table quickstart.tenant (
    id uuid primary key,
    name text not null unique
);
grant select, insert on quickstart.tenant to {app};

create table quickstart.document (
    tenant_id uuid not null,
    id uuid not null,
    path text not null,
    title text not null,
    media text not null,
    text text not null,
    bytes bigint not null,
    grown bigint not null,               -- what the last upload added to the bytes
    version bigint not null default 1,   -- counts the uploads that changed it: one event and one job each
    indexed bigint not null default 0,   -- the version that a search finds
    primary key (tenant_id, id)
);
select shared_db.tenant_table('quickstart.document');

-- One row a tenant, kept by the consumer of `content.uploaded`, and by nobody else.
create table quickstart.digest (
    tenant_id uuid primary key,
    uploads bigint not null,
    documents bigint not null,
    bytes bigint not null,
    last_title text not null,
    last_at timestamptz not null
);
select shared_db.tenant_table('quickstart.digest');
