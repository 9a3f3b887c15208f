-- Which embedder's vectors a collection holds: those of two can't be compared.
create table shared_db.collection (
    name text primary key,
    model text not null,
    opened_at timestamptz not null default now());
grant select, insert on shared_db.collection to {app};
