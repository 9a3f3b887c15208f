-- When the upkeep of the audit log was last done, by whichever instance came first, and up to which cut the roots of its chains were
-- told. One row.
create table shared_security.audit_upkeep (
    one boolean primary key default true check (one),
    begun_at timestamptz not null default '-infinity',
    told_until timestamptz
);
insert into shared_security.audit_upkeep default values;
grant select, update on shared_security.audit_upkeep to {system};
