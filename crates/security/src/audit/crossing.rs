use shared_db::Crossing;

use super::handle::Audit;
use crate::AuditEvent;

impl Audit {
    /// Records every use of a door across tenants, as [`Db::on_crossing`](shared_db::Db::on_crossing) reports it:
    /// `tenancy.crossed`, with the reason, the door, the statement and the place in the source (ASVS 16.3.3).
    ///
    /// ```no_run
    /// # use shared_db::{Db, Error};
    /// # use shared_security::audit::{Config, Writer};
    /// # fn example(db: Db) -> Result<(), Error> {
    /// let writer = Writer::start(db.clone(), &Config::default());
    /// db.on_crossing(writer.audit().crossings())?;
    /// # Ok(()) }
    /// ```
    pub fn crossings(&self) -> impl Fn(&Crossing<'_>) + Send + Sync + 'static {
        let audit = self.clone();
        move |crossing| {
            let event = AuditEvent::new("tenancy.crossed")
                .target("statement", crossing.statement)
                .because(crossing.reason)
                .detail("door", crossing.door)
                .detail("location", crossing.location.to_string());
            audit.record(event);
        }
    }
}
