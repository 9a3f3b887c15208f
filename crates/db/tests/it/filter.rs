//! Lists with conditions of the caller's.

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use shared_core::AssumedTenant;
use shared_db::filter::{Filter, Page};
use shared_db::{Db, statements};
use tokio::runtime::Handle;

use crate::items::{ADD, ADD_NEW, ID, ITEMS, Item, LANGUAGE, STARS, with_items};
use crate::support::{Done, tenant};

statements! {
    const PREPARED: Statement<(), i64> = "select count(*) from pg_prepared_statements where statement like 'with listed%'";
}

/// Texts that would mean something if they reached the statement's own text.
const TEXTS: [&str; 13] = [
    "",
    "en",
    "de",
    "e",
    "e%",
    "%",
    "_",
    r"\",
    "'",
    "'; drop table notes.item; --",
    "\") or true --",
    "?",
    "$1",
];

/// A filter to be made, and to be judged without the server.
#[derive(Clone, Debug)]
enum Condition {
    Language(usize, String),
    Stars(usize, i64),
    Either(Vec<String>),
    Prefix(String),
    NoStars,
    Above(i64, i64),
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
}

impl Condition {
    fn filter(&self) -> Filter {
        match self.clone() {
            Self::Language(0, text) => LANGUAGE.eq(text),
            Self::Language(1, text) => LANGUAGE.at_least(text),
            Self::Language(2, text) => LANGUAGE.at_most(text),
            Self::Language(3, text) => LANGUAGE.above(text),
            Self::Language(_, text) => LANGUAGE.below(text),
            Self::Stars(0, stars) => STARS.eq(stars),
            Self::Stars(1, stars) => STARS.at_least(stars),
            Self::Stars(2, stars) => STARS.at_most(stars),
            Self::Stars(3, stars) => STARS.above(stars),
            Self::Stars(_, stars) => STARS.below(stars),
            Self::Either(texts) => LANGUAGE.is_in(texts),
            Self::Prefix(text) => LANGUAGE.starts_with(&text),
            Self::NoStars => STARS.is_null(),
            Self::Above(stars, id) => STARS.then(ID).above(stars, id),
            Self::All(all) => Filter::all(all.iter().map(Self::filter)),
            Self::Any(any) => {
                any.iter().map(Self::filter).reduce(Filter::or).unwrap_or_else(|| Filter::any([]))
            }
            Self::Not(one) => !one.filter(),
        }
    }

    /// As SQL judges: `None` where it can't say.
    fn holds(&self, item: &Item) -> Option<bool> {
        let compared = |operator: usize, order: std::cmp::Ordering| match operator {
            0 => order.is_eq(),
            1 => order.is_ge(),
            2 => order.is_le(),
            3 => order.is_gt(),
            _ => order.is_lt(),
        };
        match self {
            Self::Language(operator, text) => Some(compared(*operator, item.language.as_ref()?.cmp(text))),
            Self::Stars(operator, stars) => Some(compared(*operator, item.stars?.cmp(stars))),
            Self::Either(texts) if texts.is_empty() => Some(false),
            Self::Either(texts) => Some(texts.contains(item.language.as_ref()?)),
            Self::Prefix(text) => Some(item.language.as_ref()?.starts_with(text)),
            Self::NoStars => Some(item.stars.is_none()),
            Self::Above(stars, id) => Some((item.stars?, item.id) > (*stars, *id)),
            Self::All(all) => combined(all, item, false),
            Self::Any(any) => combined(any, item, true),
            Self::Not(one) => one.holds(item).map(|holds| !holds),
        }
    }
}

/// One that holds as `decisive` decides; else one that can't say leaves it open.
fn combined(conditions: &[Condition], item: &Item, decisive: bool) -> Option<bool> {
    let each: Vec<Option<bool>> = conditions.iter().map(|one| one.holds(item)).collect();
    match each.contains(&Some(decisive)) {
        true => Some(decisive),
        false if each.contains(&None) => None,
        false => Some(!decisive),
    }
}

fn texts() -> impl Strategy<Value = String> {
    prop::sample::select(TEXTS.to_vec()).prop_map(str::to_owned)
}

fn conditions() -> impl Strategy<Value = Condition> {
    let leaf = prop_oneof![
        (0..5_usize, texts()).prop_map(|(operator, text)| Condition::Language(operator, text)),
        (0..5_usize, -3..4_i64).prop_map(|(operator, stars)| Condition::Stars(operator, stars)),
        prop::collection::vec(texts(), 0..4).prop_map(Condition::Either),
        texts().prop_map(Condition::Prefix),
        Just(Condition::NoStars),
        (-3..4_i64, 0..60_i64).prop_map(|(stars, id)| Condition::Above(stars, id)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Condition::All),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Condition::Any),
            inner.prop_map(|one| Condition::Not(Box::new(one))),
        ]
    })
}

/// Every text with every number of stars, and with none.
fn items() -> Vec<Item> {
    let languages = TEXTS.iter().map(|text| Some((*text).to_owned())).chain([None]);
    let pairs = languages
        .flat_map(|language| [None, Some(-1), Some(0), Some(2)].map(|stars| (language.clone(), stars)));
    pairs.zip(0..).map(|((language, stars), id)| Item { id, language, stars }).collect()
}

async fn fill(db: &Db, tenant: &AssumedTenant, items: &[Item]) {
    let rows = items.iter().map(Item::values);
    db.tenant(tenant).tx(async |tx| tx.execute_many(&ADD_NEW, rows).await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_keeps_what_the_filter_says() {
    let (_database, db) = with_items().await;
    let (tenant, items) = (tenant(), items());
    fill(&db, &tenant, &items).await;
    let server = Handle::current();
    let kept = |condition: &Condition, rows: u32, offset: u32| {
        let page = Page::of(rows).filter(condition.filter()).offset(offset);
        let page = page.order_by(STARS.descending()).order_by(ID.ascending());
        tokio::task::block_in_place(|| server.block_on(db.tenant(&tenant).page(&ITEMS, (), page))).unwrap()
    };
    let cases = (conditions(), 0..60_u32, 0..30_u32);
    TestRunner::new(Cases { cases: 400, failure_persistence: None, ..Cases::default() })
        .run(&cases, |(condition, rows, offset)| {
            let mut all: Vec<Item> =
                items.iter().filter(|item| condition.holds(item) == Some(true)).cloned().collect();
            // Without stars is above all stars, as the server sorts.
            all.sort_by_key(|item| (item.stars.is_some(), -item.stars.unwrap_or(0), item.id));
            let expected: Vec<Item> = all.into_iter().skip(offset as usize).take(rows as usize).collect();
            prop_assert_eq!(kept(&condition, rows, offset), expected);
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn pages_meet_every_row_once_while_others_are_inserted() {
    let (_database, db) = with_items().await;
    let tenant = tenant();
    let stored: Vec<Item> = (0..100).map(|id| Item { id, language: None, stars: Some(id % 7) }).collect();
    fill(&db, &tenant, &stored).await;
    let key = STARS.then(ID);

    let (mut seen, mut after) = (Vec::new(), Filter::all([]));
    for new in 1000.. {
        let page = Page::of(7).filter(after).order_by(key.descending());
        let page = db.tenant(&tenant).page(&ITEMS, (), page).await.unwrap();
        let Some(last) = page.last() else { break };
        after = key.below(last.stars.unwrap(), last.id);
        seen.extend(page);
        // It belongs in front of all, where the reader has been.
        db.tenant(&tenant).one(&ADD, (new, None::<String>, Some(1_000_i64))).await.unwrap();
    }
    let mut ids: Vec<i64> = seen.iter().map(|item| item.id).collect();
    assert!(seen.is_sorted_by_key(|item| std::cmp::Reverse((item.stars, item.id))));
    ids.sort_unstable();
    assert_eq!(ids, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn no_filter_reaches_another_tenant() {
    let (_database, db) = with_items().await;
    let (ours, theirs) = (tenant(), tenant());
    fill(&db, &theirs, &items()).await;
    for filter in [Filter::all([]), ID.at_least(0).or(ID.is_null()), !ID.is_null()] {
        assert_eq!(db.tenant(&ours).page(&ITEMS, (), Page::of(10).filter(filter.clone())).await.unwrap(), []);
        assert_eq!(db.tenant(&theirs).page(&ITEMS, (), Page::of(10).filter(filter)).await.unwrap().len(), 10);
    }
}

#[tokio::test]
async fn filters_of_one_shape_are_one_prepared_statement() {
    let (_database, db) = with_items().await;
    let prepared = db
        .tenant(&tenant())
        .tx(async |tx| -> Done<i64> {
            for n in 0..50 {
                let filter = LANGUAGE.is_in((0..n).map(|n| n.to_string())).and(STARS.at_least(n));
                tx.page(&ITEMS, (), Page::of(1).filter(filter).offset(7)).await?;
            }
            tx.one(&PREPARED, ()).await
        })
        .await;
    assert_eq!(prepared.unwrap(), 1);
}

#[tokio::test]
async fn a_column_that_is_not_returned_is_told() {
    let (_database, db) = with_items().await;
    let odd = shared_db::filter::Column::<String>::new("body").eq("x");
    let error = db.tenant(&tenant()).page(&ITEMS, (), Page::of(1).filter(odd)).await.unwrap_err();
    assert_eq!(error.code(), Some("42703"));
    assert!(error.to_string().contains("listed.body"), "{error}");
}

#[tokio::test]
async fn more_values_than_a_statement_can_have_are_told() {
    let (_database, db) = with_items().await;
    let many = Filter::any((0..70_000).map(|id| ID.eq(id)));
    let error = db.tenant(&tenant()).page(&ITEMS, (), Page::of(1).filter(many)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "statement `ITEMS` failed: it has 70003 parameters, and 65535 are the most; `is_in` takes a list as one"
    );
    assert_eq!(db.status().discarded, 0);
    // As a list they are one.
    let many = ID.is_in(0..70_000);
    assert_eq!(db.tenant(&tenant()).page(&ITEMS, (), Page::of(1).filter(many)).await.unwrap(), []);
}

#[test]
fn a_filter_shows_its_shape_and_no_value() {
    let filter = LANGUAGE.eq("secret").and(!STARS.is_null());
    assert_eq!(format!("{filter:?}"), r#"Filter((listed."language" = ? and (not listed."stars" is null)))"#);
}
