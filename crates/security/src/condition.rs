use std::fmt;

use shared_core::Problem;

use crate::{May, Permission, Principal};

/// A rule on who asks and what is asked for, beside the permission: ownership, a state, an attribute. It has a name, so that
/// a refusal says which rule it was.
///
/// ```
/// # use shared_core::Problem;
/// # use shared_security::{Condition, May, permissions};
/// # permissions! { pub static MATRIX = "notes" { WriteNotes = "notes:write" } }
/// struct Note { author: String, locked: bool }
///
/// const ITS_AUTHOR: Condition<Note> = Condition::new("to be its author", |who, note| note.author == who.subject());
/// const NOT_LOCKED: Condition<Note> = Condition::new("a note that is not locked", |_, note| !note.locked);
///
/// fn change(may: May<WriteNotes>, note: &Note) -> Result<(), Problem> {
///     may.only_where(note, &[ITS_AUTHOR, NOT_LOCKED])
/// }
/// ```
///
/// Alternatives belong into one rule, with `||` between them.
pub struct Condition<R: ?Sized> {
    name: &'static str,
    rule: fn(&Principal, &R) -> bool,
}

impl<R: ?Sized> Condition<R> {
    /// The rule with this name, which stands in the refusal that a caller gets.
    pub const fn new(name: &'static str, rule: fn(&Principal, &R) -> bool) -> Self {
        Self { name, rule }
    }

    /// What a refusal calls it.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it holds.
    pub fn holds(&self, principal: &Principal, resource: &R) -> bool {
        (self.rule)(principal, resource)
    }
}

impl<R: ?Sized> fmt::Debug for Condition<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({})", self.name)
    }
}

impl<P: Permission> May<P> {
    /// Goes on only if all of these hold for the resource.
    ///
    /// # Errors
    /// 403, as if the permission were missing for this one; it names the first rule that does not hold.
    pub fn only_where<R: ?Sized>(&self, resource: &R, conditions: &[Condition<R>]) -> Result<(), Problem> {
        match conditions.iter().find(|condition| !condition.holds(self.principal(), resource)) {
            None => Ok(()),
            Some(broken) => {
                self.unmet(broken.name);
                Err(Problem::forbidden().with_detail(format!(
                    "the permission {} does not reach that far here; it needs: {}",
                    P::NAME,
                    broken.name
                )))
            }
        }
    }
}
