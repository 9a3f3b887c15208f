//! What COPY writes reads back equal, whatever its type: those that `measure` has none of.

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use serde_json::{Value, json};
use shared_core::{Id, TenantId};
use shared_db::vector::Embedding;
use shared_db::{Db, Row, statements};
use time::Date;
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::items::with_items;
use crate::support::{Database, Done, admin};

#[derive(Clone, Debug, PartialEq, Row)]
struct Kind {
    id: i64,
    yes: Option<bool>,
    small: Option<i16>,
    middle: Option<i32>,
    single: Option<f32>,
    day: Option<Date>,
    tenant: Option<TenantId>,
    identity: Option<Id<Kind>>,
    numbers: Option<Vec<Option<i64>>>,
    uuids: Option<Vec<Uuid>>,
    document: Option<Value>,
    embedding: Option<Embedding>,
}

/// A table with a column of each type; it needs pgvector.
const KIND: &str = "
    create table notes.kind (
        id int8 primary key, yes bool, small int2, middle int4, single float4, day date, tenant uuid, identity uuid,
        numbers int8[], uuids uuid[], document jsonb, embedding public.vector);
    grant select, insert on notes.kind to shared_app, shared_system";

async fn with_kinds() -> (Database, Db) {
    let (database, db) = with_items().await;
    admin(&database.config).await.batch_execute(KIND).await.unwrap();
    (database, db)
}

statements! {
    const LOAD: CopyIn<(
        i64, Option<bool>, Option<i16>, Option<i32>, Option<f32>, Option<Date>, Option<TenantId>, Option<Id<Kind>>,
        Option<Vec<Option<i64>>>, Option<Vec<Uuid>>, Option<Value>, Option<Embedding>)> =
        "notes.kind (id, yes, small, middle, single, day, tenant, identity, numbers, uuids, document, embedding)";
    const STORED: Statement<(), Kind> = "
        select id, yes, small, middle, single, day, tenant, identity, numbers, uuids, document, embedding
          from notes.kind order by id";
    const COPIED: CopyOut<Kind> = "
        select id, yes, small, middle, single, day, tenant, identity, numbers, uuids, document, embedding
          from notes.kind order by id";
}

fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    let finite = || any::<f32>().prop_filter("a NaN is no equal of itself", |number| number.is_finite());
    let day = (-1_000_000..1_000_000_i32).prop_map(|day| Date::from_julian_day(2_450_000 + day).unwrap());
    let uuid = || any::<u128>().prop_map(Uuid::from_u128);
    let document = ("[^\0]{0,9}", any::<i64>(), any::<bool>())
        .prop_map(|(a, b, c)| json!({ "a": a, "b": [b, null], "c": c }));
    let plain = (any::<bool>(), any::<i16>(), any::<i32>(), finite(), day);
    // Not more than a page has: the rest is the same once more.
    let embedding = prop::collection::vec(finite(), 1..400).prop_map(Embedding::from);
    let long = (
        prop::collection::vec(prop::option::of(any::<i64>()), 0..5),
        prop::collection::vec(uuid(), 0..5),
        document,
        embedding,
    );
    let columns = (plain, uuid(), long, any::<u16>());
    let kind = columns.prop_map(
        |((yes, small, middle, single, day), uuid, (numbers, uuids, document, embedding), given)| {
            // Any of them may be null.
            let has = |column: u32| given & (1 << column) != 0;
            Kind {
                id: 0,
                yes: has(0).then_some(yes),
                small: has(1).then_some(small),
                middle: has(2).then_some(middle),
                single: has(3).then_some(single),
                day: has(4).then_some(day),
                tenant: has(5).then_some(TenantId::from_uuid(uuid)),
                identity: has(6).then_some(Id::from_uuid(uuid)),
                numbers: has(7).then_some(numbers),
                uuids: has(8).then_some(uuids),
                document: has(9).then_some(document),
                embedding: has(10).then_some(embedding),
            }
        },
    );
    prop::collection::vec(kind, 0..60)
        .prop_map(|kinds| kinds.into_iter().zip(0..).map(|(kind, id)| Kind { id, ..kind }).collect())
}

/// In by COPY; out by a query and by COPY; and undone.
async fn there_and_back(db: &Db, kinds: &[Kind]) -> Done<(Vec<Kind>, Vec<Kind>)> {
    let mut tx = db.untenanted().begin().await?;
    let mut copy = tx.copy_in(&LOAD).await?;
    for kind in kinds {
        let Kind {
            id,
            yes,
            small,
            middle,
            single,
            day,
            tenant,
            identity,
            numbers,
            uuids,
            document,
            embedding,
        } = kind;
        copy.write((
            id, yes, small, middle, single, day, tenant, identity, numbers, uuids, document, embedding,
        ))
        .await?;
    }
    copy.finish().await?;
    let stored = tx.all(&STORED, ()).await?;
    let (mut copied, mut rows) = (Vec::new(), tx.copy_out(&COPIED).await?);
    while let Some(row) = rows.next().await? {
        copied.push(row);
    }
    tx.rollback().await;
    Ok((stored, copied))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_comes_back_as_it_went_in() {
    let (_database, db) = with_kinds().await;
    let server = Handle::current();
    TestRunner::new(Cases { cases: 100, failure_persistence: None, ..Cases::default() })
        .run(&kinds(), |kinds| {
            let (stored, copied) =
                tokio::task::block_in_place(|| server.block_on(there_and_back(&db, &kinds))).unwrap();
            prop_assert_eq!(&stored, &kinds);
            prop_assert_eq!(copied, kinds);
            Ok(())
        })
        .unwrap();
    assert_eq!(db.status().discarded, 0);
}
