-- Who publishes, consumes or passes on which events. Each program says so of itself, and again and again as long as it lives.
create table shared_events.member (
    instance uuid primary key,
    role text collate "C" not null check (role in ('producer', 'consumer', 'hub')),
    name text collate "C" not null check (length(name) between 1 and 63),
    version text collate "C" not null check (length(version) between 1 and 100),
    base_url text check (length(base_url) between 1 and 2000),
    capabilities text[] not null,
    event_names text[] not null,
    event_versions integer[] not null,
    since timestamptz not null default clock_timestamp(),
    beat timestamptz not null default clock_timestamp(),
    expires timestamptz not null
);

-- The versions of each type of event that some program ever had.
create table shared_events.event_type (
    name text collate "C" not null check (length(name) between 1 and 100),
    version integer not null check (version > 0),
    since timestamptz not null default clock_timestamp(),
    primary key (name, version)
);

grant select, insert, update, delete on shared_events.member to {system};
grant select, insert on shared_events.event_type to {system};
