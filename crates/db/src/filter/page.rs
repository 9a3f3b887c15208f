use std::fmt::Write as _;
use std::sync::Arc;

use postgres_types::ToSql;

use super::{Filter, Value};
use crate::error::Error;
use crate::params::Params;
use crate::row::Row;
use crate::run::Rows;
use crate::statement::{Statement, Text};
use crate::{Door, Tenant, TenantTx, Tx};

/// By what rows are sorted, and in which direction.
#[derive(Clone, Debug)]
pub struct Order(pub(super) String);

/// A part of a statement's rows: those that pass a filter, in an order, so many at most.
#[derive(Clone, Debug)]
pub struct Page {
    rows: i64,
    offset: i64,
    filter: Filter,
    order: Vec<Order>,
}

impl Page {
    /// So many rows at most.
    pub fn of(rows: u32) -> Self {
        Self { rows: i64::from(rows), offset: 0, filter: Filter::all([]), order: Vec::new() }
    }

    /// Rows that pass this; with several calls, all of them.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = self.filter.and(filter);
        self
    }

    /// Sorted by this; with several calls, among equals by the next. Without any, in no order at all.
    pub fn order_by(mut self, order: Order) -> Self {
        self.order.push(order);
        self
    }

    /// Leaves out so many rows first. The server reads them all the same, so deep pages are slow, and what is inserted meanwhile
    /// moves them: [`Key::below`](super::Key::below) has neither fault.
    pub fn offset(mut self, rows: u32) -> Self {
        self.offset = i64::from(rows);
        self
    }

    /// The statement as the rows of a list, and the list's conditions around it: nothing in them can reach inside.
    fn text(&self, sql: &str, given: usize) -> String {
        let statement = sql.trim_end().trim_end_matches(';');
        let mut text = format!("with listed as (\n{statement}\n) select listed.* from listed where ");
        let mut number = given;
        for (at, piece) in self.filter.text.split('?').enumerate() {
            if at > 0 {
                number += 1;
                let _ = write!(text, "${number}");
            }
            text.push_str(piece);
        }
        for (at, Order(order)) in self.order.iter().enumerate() {
            text.push_str(if at == 0 { " order by " } else { ", " });
            text.push_str(order);
        }
        let _ = write!(text, " limit ${} offset ${}", number + 1, number + 2);
        text
    }

    fn values(&self) -> impl Iterator<Item = Value> {
        let bounds: [Value; 2] = [Arc::new(self.rows), Arc::new(self.offset)];
        self.filter.values.iter().cloned().chain(bounds)
    }
}

/// A page of a statement with all its parameters, ready to be sent.
struct Asked<'a> {
    name: &'static str,
    sql: String,
    takes_tenant: bool,
    given: Vec<&'a (dyn ToSql + Sync)>,
    page: Vec<Value>,
}

impl<'a> Asked<'a> {
    fn new<P, R>(
        statement: &Statement<P, R>,
        params: &'a impl Params<P>,
        page: &Page,
    ) -> Result<Self, Error> {
        let Text { name, sql, takes_tenant } = *statement.text();
        let (given, page_values): (Vec<_>, Vec<_>) = (params.refs(), page.values().collect());
        let before = given.len() + usize::from(takes_tenant);
        // The server would count them anew from 0.
        let count = before + page_values.len();
        if count > usize::from(u16::MAX) {
            let reason = "and 65535 are the most; `is_in` takes a list as one";
            return Err(Error::unsent(name, format!("it has {count} parameters, {reason}")));
        }
        Ok(Self { name, sql: page.text(sql, before), takes_tenant, given, page: page_values })
    }

    fn text(&self) -> Text<'_> {
        Text { name: self.name, sql: &self.sql, takes_tenant: self.takes_tenant }
    }
}

impl Params<()> for Asked<'_> {
    fn refs(&self) -> Vec<&(dyn ToSql + Sync)> {
        let page = self.page.iter().map(|value| -> &(dyn ToSql + Sync) { value.as_ref() });
        self.given.iter().copied().chain(page).collect()
    }
}

macro_rules! pages {
    ($door:ty, $($this:tt)+) => {
        impl $door {
            /// The rows of the statement that pass the page's filter, in its order. See [`filter`](crate::filter).
            ///
            /// Filter and order name columns that the statement returns. Their types are not known before it is sent: let
            /// a test ask for each of them once.
            pub async fn page<P, R: Row>(
                $($this)+ self,
                statement: &Statement<P, R>,
                params: impl Params<P>,
                page: Page,
            ) -> Result<Vec<R>, Error> {
                let asked = Asked::new(statement, &params, &page)?;
                let rows: Rows = self.rows(&asked.text(), &asked).await?;
                rows.all()
            }
        }
    };
}
pages!(Tenant, &);
pages!(Door, &);
pages!(TenantTx, &mut);
pages!(Tx, &mut);
