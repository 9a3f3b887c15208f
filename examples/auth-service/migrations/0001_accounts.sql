create table auth.tenant (
    tenant_id uuid primary key,
    name text not null check (length(name) between 1 and 200),
    created_at timestamptz not null default now());
select shared_db.tenant_table('auth.tenant');

-- An e-mail address is an account's name within its tenant; it is kept in lower case.
create table auth.account (
    tenant_id uuid not null references auth.tenant,
    id uuid not null,
    email text not null check (email = lower(email) and length(email) <= 254),
    password_hash text not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id),
    unique (tenant_id, email));
select shared_db.tenant_table('auth.account');

-- An invitation is for an account that has its id and its role already, and nothing else. The secret is kept as its SHA-256.
create table auth.invitation (
    tenant_id uuid not null references auth.tenant,
    account uuid not null,
    secret_hash bytea not null check (octet_length(secret_hash) = 32),
    expires_at timestamptz not null,
    used_at timestamptz,
    primary key (tenant_id, account),
    unique (tenant_id, secret_hash));
select shared_db.tenant_table('auth.invitation');

-- A service that gets tokens by a secret (RFC 6749, section 4.4), kept as its SHA-256.
create table auth.client (
    tenant_id uuid not null references auth.tenant,
    id uuid not null,
    name text not null check (length(name) between 1 and 200),
    secret_hash bytea not null check (octet_length(secret_hash) = 32),
    created_at timestamptz not null default now(),
    primary key (tenant_id, id));
select shared_db.tenant_table('auth.client');
