-- A user as far as sessions go. `epoch` grows whenever all of the user's sessions are ended: a login that began before opens none.
create table shared_security.subject (
    tenant_id uuid not null,
    subject text not null check (octet_length(subject) between 1 and 255),
    epoch bigint not null default 0,
    disabled_at timestamptz,
    touched_at timestamptz not null default clock_timestamp(),
    primary key (tenant_id, subject)
);
select shared_db.family_table('shared_security.subject');
-- An epoch that went back would let an old login through.
revoke delete on shared_security.subject from {app};
create index subject_touched on shared_security.subject (touched_at);

-- The same for all users of a tenant; a tenant without a row is in epoch 0.
create table shared_security.tenant_epoch (
    tenant_id uuid not null primary key,
    epoch bigint not null
);
select shared_db.family_table('shared_security.tenant_epoch');
revoke delete on shared_security.tenant_epoch from {app};

-- A session, which is one family of refresh tokens: of all that it ever had, `family` is common to them, `current` is the one that
-- may be used, and `previous` may be shown again for a short while. All three are SHA-256 of random secrets. `successor` is what
-- `current` is the hash of, encrypted under a key that only the holder of the previous secret can derive.
create table shared_security.session (
    tenant_id uuid not null,
    id uuid not null,
    subject text not null,
    client text not null check (octet_length(client) between 1 and 255),
    family bytea not null check (octet_length(family) = 32),
    current bytea not null check (octet_length(current) = 32),
    previous bytea check (octet_length(previous) = 32),
    successor bytea check (octet_length(successor) = 60),
    generation bigint not null default 0,
    tenant_epoch bigint not null,
    methods text[] not null,
    user_agent text not null check (octet_length(user_agent) <= 255),
    address inet,
    opened_at timestamptz not null default clock_timestamp(),
    refreshed_at timestamptz not null default clock_timestamp(),
    idle_until timestamptz not null,
    expires_at timestamptz not null,
    ended_at timestamptz,
    ended_by text check (octet_length(ended_by) between 1 and 32),
    primary key (tenant_id, id),
    unique (tenant_id, family),
    foreign key (tenant_id, subject) references shared_security.subject (tenant_id, subject)
);
select shared_db.family_table('shared_security.session');
revoke delete on shared_security.session from {app};
create index session_subject on shared_security.session (tenant_id, subject);
create index session_over on shared_security.session
    ((least(coalesce(ended_at, 'infinity'::timestamptz), idle_until, expires_at)));

-- Which access tokens are refused before they expire: those named, or of `subject` and `tenant` those issued until a moment. `xid`
-- is the transaction that wrote the row last, by which readers find what they have not seen yet.
create table shared_security.revocation (
    tenant_id uuid not null,
    kind text not null check (kind in ('token', 'session', 'subject', 'tenant')),
    name text not null check (octet_length(name) <= 255),
    issued_until timestamptz,
    expires_at timestamptz not null,
    xid xid8 not null default pg_current_xact_id(),
    primary key (tenant_id, kind, name)
);
select shared_db.family_table('shared_security.revocation');
-- A revocation that goes away is a token that works again.
revoke delete on shared_security.revocation from {app};
create index revocation_xid on shared_security.revocation (xid);
create index revocation_expires on shared_security.revocation (expires_at);

-- Failed logins, counted in a fixed number of buckets a tenant, so that no flood of names or addresses makes the table grow beyond.
-- `known` tells where an account has logged in successfully.
create table shared_security.login_failures (
    tenant_id uuid not null,
    kind smallint not null check (kind between 1 and 3),
    bucket integer not null check (bucket >= 0),
    failures integer not null default 0,
    delayed_until timestamptz not null default '-infinity',
    last_at timestamptz not null default clock_timestamp(),
    known bytea check (octet_length(known) = 16),
    primary key (tenant_id, kind, bucket)
) with (fillfactor = 70);
select shared_db.family_table('shared_security.login_failures');
create index login_failures_last on shared_security.login_failures (last_at);
