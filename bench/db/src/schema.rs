//! The tables, and our statements on them.

use shared_core::Id;
use shared_db::vector::Embedding;
use shared_db::{Config, Many, MigrationSet, Step, bootstrap, statements};

const MIGRATIONS: MigrationSet = MigrationSet::new(
    "bench",
    &[Step::sql(
        1,
        "tables",
        "create table bench.note (
             tenant_id uuid not null, id uuid not null, body text not null, primary key (tenant_id, id));
         create table bench.line (
             tenant_id uuid not null, id bigint not null, body text not null, primary key (tenant_id, id));
         create table bench.chunk (
             tenant_id uuid not null, hash bytea not null, embedding public.vector(384) not null,
             primary key (tenant_id, hash));
         select shared_db.tenant_table('bench.note');
         select shared_db.tenant_table('bench.line');
         select shared_db.tenant_table('bench.chunk');
         create table bench.narrow (id bigint not null, kind int not null, value double precision not null);
         create table bench.wide (id bigint not null, embedding public.vector(1536) not null);
         create table bench.ready (hash bytea not null, embedding public.vector(384) not null);
         grant select, insert on bench.ready, bench.narrow, bench.wide to {app};",
    )],
)
.requires(&["shared_db"]);

/// What an id identifies.
pub(crate) struct Note;

statements! {
    pub(crate) const INSERT: Statement<(Id<Note>, String), ()> = "
        insert into bench.note (tenant_id, id, body) values ($tenant, $1, $2)";
    pub(crate) const BODY: Statement<(Id<Note>,), String> = "
        select body from bench.note where tenant_id = $tenant and id = $1";
    pub(crate) const CHANGE: Statement<(Id<Note>, String), ()> = "
        update bench.note set body = $2 where tenant_id = $tenant and id = $1";
    pub(crate) const ONE: Statement<(), i32> = "select 1";

    pub(crate) const LINES: Statement<Many<(i64, String)>, ()> = "
        insert into bench.line (tenant_id, id, body)
        select $tenant, id, body from unnest($1::bigint[], $2::text[]) as new (id, body) on conflict do nothing";
    pub(crate) const CHUNKS: Statement<Many<(Vec<u8>, Embedding)>, ()> = "
        insert into bench.chunk (tenant_id, hash, embedding)
        select $tenant, hash, embedding from unnest($1::bytea[], $2::public.vector[]) as new (hash, embedding)
        on conflict do nothing";

    pub(crate) const READY: CopyIn<(Vec<u8>, Embedding)> = "bench.ready (hash, embedding)";
    pub(crate) const FROM_READY: Statement<(), ()> = "
        insert into bench.chunk (tenant_id, hash, embedding) select $tenant, hash, embedding from bench.ready
        on conflict do nothing";

    pub(crate) const NARROW: CopyIn<(i64, i32, f64)> = "bench.narrow (id, kind, value)";
    pub(crate) const WIDE: CopyIn<(i64, Embedding)> = "bench.wide (id, embedding)";
}

pub(crate) async fn migrate(url: &str) {
    bootstrap(&Config::new(url), &[MIGRATIONS]).await.unwrap();
}
