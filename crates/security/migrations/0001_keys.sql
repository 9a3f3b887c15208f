-- The key ring: keys that sign tokens, one active and one next at a time, with those that tokens in use were signed with.
--
-- Both halves are sealed by the program: who can only write here can't bring in a key of his own. A key that does not sign any
-- more has no private half, and one that was revoked has nothing left but its id.
create table shared_security.signing_key (
    id text primary key check (length(id) between 1 and 255),
    algorithm text not null,
    state text not null check (state in ('next', 'active', 'retiring', 'revoked')),
    private_key bytea check ((private_key is not null) = (state in ('next', 'active'))),
    public_key bytea check ((public_key is null) = (state = 'revoked')),
    created_at timestamptz not null default now(),
    signs_from timestamptz not null,
    -- A retiring key verifies until then; a revoked one is remembered.
    expires_at timestamptz check ((expires_at is not null) = (state in ('retiring', 'revoked')))
);
create unique index signing_key_one_a_state on shared_security.signing_key (state) where state in ('next', 'active');

-- Every change of the keys is made under this row's lock and raises its epoch, by which the instances notice it.
create table shared_security.key_ring (
    one boolean primary key default true check (one),
    epoch bigint not null default 0
);
insert into shared_security.key_ring default values;

grant select, insert, update, delete on shared_security.signing_key to {system};
grant select, update on shared_security.key_ring to {system};
