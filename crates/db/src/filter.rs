//! Conditions that a caller chooses at run time, for lists: columns are constants, values are bound.
//!
//! ```
//! # use shared_core::Id;
//! # use shared_db::{Error, TenantTx, statements};
//! use shared_db::filter::{Column, Page};
//! # struct Note;
//!
//! statements! {
//!     const NOTES: Statement<(), (Id<Note>, String, String, i64)> = "
//!         select id, body, language, stars from notes.note where tenant_id = $tenant";
//! }
//! const ID: Column<Id<Note>> = Column::new("id");
//! const LANGUAGE: Column<String> = Column::new("language");
//! const STARS: Column<i64> = Column::new("stars");
//!
//! # async fn example(tx: &mut TenantTx) -> Result<(), Error> {
//! let order = STARS.then(ID);
//! let good = LANGUAGE.is_in(["en", "de"]).and(STARS.at_least(3));
//! let first = tx.page(&NOTES, (), Page::of(50).filter(good.clone()).order_by(order.descending())).await?;
//! // The next page begins below the last row of this one, whatever was inserted meanwhile:
//! if let Some((id, _, _, stars)) = first.last() {
//!     let rest = good.and(order.below(*stars, *id));
//!     let second = tx.page(&NOTES, (), Page::of(50).filter(rest).order_by(order.descending())).await?;
//! }
//! # Ok(()) }
//! ```
//!
//! A value of another type does not compile:
//! ```compile_fail
//! # use shared_db::filter::Column;
//! const STARS: Column<i64> = Column::new("stars");
//! let filter = STARS.eq("three");
//! ```
//! nor does a name that is none:
//! ```compile_fail
//! # use shared_db::filter::Column;
//! const STARS: Column<i64> = Column::new("stars; drop table notes.note");
//! ```

use std::fmt;
use std::marker::PhantomData;
use std::ops::Not;
use std::sync::Arc;

use postgres_types::ToSql;

mod page;

pub use page::{Order, Page};

pub(crate) type Value = Arc<dyn ToSql + Send + Sync>;

/// A column that a statement returns, by which its rows can be chosen and sorted. `T` is the type of what is compared with it.
pub struct Column<T> {
    name: &'static str,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Column<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Column<T> {}

impl<T> fmt::Debug for Column<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Column({})", self.name)
    }
}

impl<T> Column<T> {
    /// Names a column of the statement's result: small letters, digits and underscores, 63 at most.
    ///
    /// # Panics
    /// For any other name; in a constant that is an error of the compiler.
    pub const fn new(name: &'static str) -> Self {
        assert!(is_name(name), "a column's name has small letters, digits and underscores");
        Self { name, of: PhantomData }
    }

    /// Rows without a value here.
    pub fn is_null(self) -> Filter {
        Filter { text: format!("{} is null", self.quoted()), values: Vec::new() }
    }

    /// The smallest first; rows without a value last.
    pub fn ascending(self) -> Order {
        Order(self.quoted())
    }

    /// The largest first; rows without a value first.
    pub fn descending(self) -> Order {
        Order(format!("{} desc", self.quoted()))
    }

    /// This column and then, among equals, the other: an order for pages, if the second is unique and neither is ever null.
    pub const fn then<U>(self, other: Column<U>) -> Key<T, U> {
        Key(self, other)
    }

    fn quoted(self) -> String {
        format!("listed.\"{}\"", self.name)
    }
}

/// Where the column has no value, no comparison holds, nor does its opposite.
impl<T: ToSql + Send + Sync + 'static> Column<T> {
    /// Rows with this value.
    pub fn eq(self, value: impl Into<T>) -> Filter {
        self.compared("=", value.into())
    }

    /// Rows with this value or a larger one.
    pub fn at_least(self, value: impl Into<T>) -> Filter {
        self.compared(">=", value.into())
    }

    /// Rows with this value or a smaller one.
    pub fn at_most(self, value: impl Into<T>) -> Filter {
        self.compared("<=", value.into())
    }

    /// Rows with a larger value.
    pub fn above(self, value: impl Into<T>) -> Filter {
        self.compared(">", value.into())
    }

    /// Rows with a smaller value.
    pub fn below(self, value: impl Into<T>) -> Filter {
        self.compared("<", value.into())
    }

    /// Rows with one of these values; with none of them, no row. However many they are, they are one parameter.
    pub fn is_in(self, values: impl IntoIterator<Item = impl Into<T>>) -> Filter {
        let values: Vec<T> = values.into_iter().map(Into::into).collect();
        Filter { text: format!("{} = any (?)", self.quoted()), values: vec![Arc::new(values)] }
    }

    fn compared(self, operator: &str, value: T) -> Filter {
        Filter { text: format!("{} {operator} ?", self.quoted()), values: vec![Arc::new(value)] }
    }
}

impl Column<String> {
    /// Rows that begin with this text, which means itself: `%` and `_` are no wildcards.
    pub fn starts_with(self, text: &str) -> Filter {
        let mut pattern = text.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
        pattern.push('%');
        self.compared("like", pattern)
    }
}

/// Two columns by which rows are sorted and pages begin. See [`Column::then`].
pub struct Key<A, B>(Column<A>, Column<B>);

impl<A, B> Clone for Key<A, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, B> Copy for Key<A, B> {}

impl<A, B> fmt::Debug for Key<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {})", self.0.name, self.1.name)
    }
}

impl<A, B> Key<A, B> {
    /// Both from the smallest on.
    pub fn ascending(self) -> Order {
        Order(format!("{}, {}", self.0.ascending().0, self.1.ascending().0))
    }

    /// Both from the largest on.
    pub fn descending(self) -> Order {
        Order(format!("{}, {}", self.0.descending().0, self.1.descending().0))
    }
}

impl<A: ToSql + Send + Sync + 'static, B: ToSql + Send + Sync + 'static> Key<A, B> {
    /// Rows that come after these values in ascending order.
    pub fn above(self, first: impl Into<A>, second: impl Into<B>) -> Filter {
        self.compared(">", first.into(), second.into())
    }

    /// Rows that come after these values in descending order.
    pub fn below(self, first: impl Into<A>, second: impl Into<B>) -> Filter {
        self.compared("<", first.into(), second.into())
    }

    fn compared(self, operator: &str, first: A, second: B) -> Filter {
        let text = format!("({}, {}) {operator} (?, ?)", self.0.quoted(), self.1.quoted());
        Filter { text, values: vec![Arc::new(first), Arc::new(second)] }
    }
}

/// Which rows to keep: comparisons of columns, combined. `!filter` is its opposite.
///
/// Filters of one shape make one text, whatever their values are, and so one prepared statement.
#[derive(Clone)]
pub struct Filter {
    /// A `?` stands for each value; nothing else in here can contain one.
    text: String,
    values: Vec<Value>,
}

impl Filter {
    /// Rows that pass all of these; of an empty list every row does.
    ///
    /// ```
    /// # use shared_db::filter::{Column, Filter};
    /// const LANGUAGE: Column<String> = Column::new("language");
    /// const STARS: Column<i64> = Column::new("stars");
    /// // What the caller did not ask for is not in the statement:
    /// fn chosen(language: Option<String>, stars: Option<i64>) -> Filter {
    ///     let asked = [language.map(|language| LANGUAGE.eq(language)), stars.map(|stars| STARS.at_least(stars))];
    ///     Filter::all(asked.into_iter().flatten())
    /// }
    /// # let _ = chosen(None, Some(3));
    /// ```
    pub fn all(filters: impl IntoIterator<Item = Filter>) -> Self {
        Self::joined(" and ", "true", filters)
    }

    /// Rows that pass at least one of these; of an empty list no row does.
    pub fn any(filters: impl IntoIterator<Item = Filter>) -> Self {
        Self::joined(" or ", "false", filters)
    }

    /// Rows that pass both.
    pub fn and(self, other: Filter) -> Self {
        Self::all([self, other])
    }

    /// Rows that pass one of them, or both.
    pub fn or(self, other: Filter) -> Self {
        Self::any([self, other])
    }

    fn joined(word: &str, empty: &str, filters: impl IntoIterator<Item = Filter>) -> Self {
        let mut joined = Self { text: "(".to_owned(), values: Vec::new() };
        for filter in filters {
            if joined.text.len() > 1 {
                joined.text.push_str(word);
            }
            joined.text.push_str(&filter.text);
            joined.values.extend(filter.values);
        }
        if joined.text.len() == 1 {
            joined.text.push_str(empty);
        }
        joined.text.push(')');
        joined
    }
}

impl Not for Filter {
    type Output = Self;

    fn not(self) -> Self {
        Self { text: format!("(not {})", self.text), values: self.values }
    }
}

/// Its shape, without the values.
impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({})", self.text)
    }
}

const fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() > 63 || bytes[0].is_ascii_digit() {
        return false;
    }
    let mut at = 0;
    while at < bytes.len() {
        if !matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'_') {
            return false;
        }
        at += 1;
    }
    true
}
