use std::any::Any;

use shared_core::Context;

use crate::Db;
use crate::statement::Bound;

/// Work that a transaction collects and sends together with its COMMIT, in the same round trip: however many
/// events are published and jobs are enqueued, it costs the transaction no trip of its own.
///
/// It comes last in the transaction, so whatever orders the business rows (a lock, a version) orders it as well.
/// If it fails, the transaction fails.
pub trait AtCommit: Any + Send {
    /// How much was collected, to come back to when a savepoint is rolled back.
    fn mark(&self) -> usize;
    /// Forgets what was collected since this mark.
    fn rewind(&mut self, mark: usize);
    /// The statements to send; one, whatever was collected, is best.
    fn statements(&self, context: &Context) -> Vec<Bound>;
    /// It is committed: wake whoever waits for it.
    fn committed(&self, db: &Db);
}

/// What a transaction has collected, by kind, in the order of their first use.
#[derive(Default)]
pub(crate) struct Collected(Vec<Box<dyn AtCommit>>);

impl Collected {
    pub(crate) fn of<C: AtCommit + Default>(&mut self) -> &mut C {
        let is = |one: &dyn AtCommit| (one as &dyn Any).is::<C>();
        let at = self.0.iter().position(|one| is(one.as_ref())).unwrap_or_else(|| {
            self.0.push(Box::<C>::default());
            self.0.len() - 1
        });
        match (self.0[at].as_mut() as &mut dyn Any).downcast_mut() {
            Some(found) => found,
            None => unreachable!("it was found by its type"),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn marks(&self) -> Vec<usize> {
        self.0.iter().map(|one| one.mark()).collect()
    }

    pub(crate) fn rewind(&mut self, marks: &[usize]) {
        for (at, one) in self.0.iter_mut().enumerate() {
            one.rewind(marks.get(at).copied().unwrap_or(0));
        }
    }

    pub(crate) fn statements(&self, context: &Context) -> Vec<Bound> {
        self.0.iter().filter(|one| one.mark() > 0).flat_map(|one| one.statements(context)).collect()
    }

    pub(crate) fn committed(&self, db: &Db) {
        self.0.iter().filter(|one| one.mark() > 0).for_each(|one| one.committed(db));
    }
}
