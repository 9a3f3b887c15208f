create table notes.note (
    tenant_id uuid not null,
    id uuid not null,
    body text not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id));
select shared_db.tenant_table('notes.note');

create table notes.day (
    tenant_id uuid not null,
    day date not null,
    created bigint not null,
    primary key (tenant_id, day));
select shared_db.tenant_table('notes.day');
