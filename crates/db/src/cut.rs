//! Reading a table to which rows are only added, by what one snapshot sees and an earlier one did not.
//!
//! Such a table can't be read by a number that grows: a transaction draws its number early and commits late, and whoever asks for
//! "more than the last one" has passed it by then. Nor by transaction ids alone, which don't follow the locks under which rows were
//! written. A reader that waits for the oldest open transaction loses nothing, and stands still for as long as somebody else's is
//! open, in another database too. What works is a *cut*: a stored `pg_current_snapshot()`. The rows between two cuts are those that
//! the later snapshot sees and the earlier did not: every committed row lies between exactly one pair, however late it was
//! committed, and an open transaction holds up nobody's rows but its own.
//!
//! # The table
//! ```sql
//! pos bigint generated always as identity (cache 1) primary key,   -- orders the rows between two cuts
//! xid xid8 not null default pg_current_xact_id(),                  -- the top-level transaction, in savepoints too
//! -- and an index on (xid, pos)
//! ```
//! Rows are never updated. The sequence must not cache: two sessions would draw positions out of order under one lock.
//!
//! # A cut
//! [`cut_lock!`](crate::cut_lock) and [`lock`] take the lock under which cuts are made one after the other; the next statement of the
//! transaction stores `pg_current_snapshot()`. Two statements, since a snapshot taken in the one that waits for the lock is older than
//! the wait. The commit is flushed, and with it whatever the snapshot sees that was committed asynchronously: only after it may
//! anything of it be acted upon, and only after it may it be read, since a transaction sees its own rows in any snapshot.
//!
//! Where one reader at a time makes cuts, under a lease whose epoch each of its writes names, the epoch is the lock: its statements
//! follow each other, so each snapshot is later than the one before, and a reader that has lost the lease writes none. There
//! [`cut_here!`](crate::cut_here) goes into the one statement.
//!
//! # The rows between
//! [`cut_between!`](crate::cut_between) is a select of their positions, and [`cut_behind!`](crate::cut_behind) whether any row was
//! committed behind a cut, which draws no transaction id. Both read a set named `cut`, with the columns `seen`, the earlier snapshot,
//! and `sees`, the later one; both cost by the size of the batch, whatever the table's size and the age of the oldest open
//! transaction.
//! ```
//! # use shared_db::{cut_behind, cut_between, cut_lock, statements};
//! statements! {
//!     const LOCK: Statement<(), bool> = cut_lock!("notes.reader");
//!     const CUT: Statement<(), ()> = "update notes.reader set sees = pg_current_snapshot()";
//!     const ANY: Statement<(), bool> = concat!(
//!         "with cut as materialized (select seen from notes.reader) select ", cut_behind!("notes.log"));
//!     const BATCH: Statement<(i64,), (i64, String)> = concat!(
//!         "with cut as materialized (select seen, sees from notes.reader),
//!               page as (", cut_between!("notes.log"), " order by pos limit $1)
//!          select log.pos, log.body from page join notes.log on log.pos = page.pos order by log.pos");
//! }
//! ```
//! The texts are macros and no functions because a statement is a constant, and the language has no other way to put constant texts
//! together.
//!
//! # Where it works
//! On a primary alone, which [`check`] makes sure of: a standby does not know what is still open.

use crate::statement::Statement;
use crate::{Door, Error, Tx, statements};

statements! {
    const TABLE: Statement<(String,), (bool, String, i64)> = "
        select pg_is_in_recovery(), seqrelid::regclass::text, seqcache from pg_catalog.pg_sequence
         where seqrelid = pg_get_serial_sequence($1, 'pos')::regclass";
}

/// Whether a table can be read by cuts: this server shows which transactions are open, and the positions are drawn in the order of
/// the locks under which they are drawn.
///
/// # Errors
/// [`Error::Uncut`] if not; [`Error::RowCount`] for a table whose column `pos` is no identity.
pub async fn check(door: &Door, table: &str) -> Result<(), Error> {
    let (standby, sequence, cache) = door.one(&TABLE, (table,)).await?;
    if standby {
        return Err(Error::Uncut(
            "this is a standby, which does not know what is still open; connect to the primary".to_owned(),
        ));
    }
    if cache != 1 {
        return Err(Error::Uncut(format!(
            "the positions are drawn {cache} at a time; run `alter sequence {sequence} cache 1`"
        )));
    }
    Ok(())
}

/// Takes the lock of [`cut_lock!`](crate::cut_lock) until the transaction ends. `pg_current_snapshot()` in the statement after it is
/// a cut, and the commit will be flushed.
///
/// # Errors
/// [`Error::Uncut`] if the session would make one that loses rows: on a standby, above READ COMMITTED, unflushed.
pub async fn lock(tx: &mut Tx, lock: &Statement<(), bool>) -> Result<(), Error> {
    match tx.one(lock, ()).await? {
        true => Ok(()),
        false => Err(Error::Uncut(
            "cuts need a primary, READ COMMITTED and synchronous_commit; the session has been set otherwise"
                .to_owned(),
        )),
    }
}

/// Whether a cut made in this statement loses nothing, and makes its commit be flushed: text within a statement. Of
/// [`cut_lock!`](crate::cut_lock) it is part of the lock.
#[macro_export]
macro_rules! cut_here {
    () => {
        "(set_config('synchronous_commit', 'on', true) = 'on'
          and current_setting('transaction_isolation') = 'read committed'
          and not pg_is_in_recovery())"
    };
}

/// Locks the one row of this table, for [`cut::lock`](crate::cut::lock).
#[macro_export]
macro_rules! cut_lock {
    ($table:literal) => {
        concat!("select ", $crate::cut_here!(), " from ", $table, " for update")
    };
}

/// Whether a row of this table was committed behind the cut `cut.seen`: text within a statement. See [`cut`](crate::cut).
// The newest row is asked for by its order: the planner would read the whole table for one that it believes to be frequent, and when
// nothing is new there is none.
#[macro_export]
macro_rules! cut_behind {
    ($table:literal) => {
        concat!(
            "(exists (select 1 from cut where pg_snapshot_xmax(cut.seen) <= (
                          select log.xid from ",
            $table,
            " as log order by log.xid desc limit 1))
              or exists (select 1 from cut
                          cross join lateral pg_snapshot_xip(cut.seen) as open (xid)
                           join ",
            $table,
            " as log on log.xid = open.xid))"
        )
    };
}

/// The positions, as `pos`, of this table's rows between the cuts `cut.seen` and `cut.sees`: text within a statement. See
/// [`cut`](crate::cut).
// Both legs use the index on (xid, pos): what began after the earlier cut, and what was open then.
#[macro_export]
macro_rules! cut_between {
    ($table:literal) => {
        concat!(
            "(select log.pos from cut
                join ",
            $table,
            " as log on log.xid >= pg_snapshot_xmax(cut.seen) and log.xid < pg_snapshot_xmax(cut.sees)
               where pg_visible_in_snapshot(log.xid, cut.sees))
              union all
             (select log.pos from cut
               cross join lateral pg_snapshot_xip(cut.seen) as open (xid)
                join ",
            $table,
            " as log on log.xid = open.xid
               where pg_visible_in_snapshot(log.xid, cut.sees))"
        )
    };
}
