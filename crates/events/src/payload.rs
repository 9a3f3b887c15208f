//! An event as text and back.

use std::cmp::Ordering;

use shared_core::{Failure, broken_rules};

use crate::{Error, Event};

/// The event as it is stored.
pub(crate) fn write<E: Event>(event: &E) -> Result<String, Error> {
    event.check().map_err(|errors| Error::refused(E::NAME, broken_rules(&errors)))?;
    serde_json::to_string(event).map_err(|error| Error::Refused {
        event: E::NAME,
        reason: "it can't be written as JSON".to_owned(),
        source: Some(error.into()),
    })
}

/// The event that was stored.
///
/// # Errors
/// A failure that no further attempt can mend: a newer version, not the fields of an `E`, or rules that it breaks. It quotes nothing
/// of the payload.
pub(crate) fn read<E: Event>(version: u32, text: &str) -> Result<E, Failure> {
    let known = E::VERSION;
    let event: E = match version.cmp(&u32::from(known)) {
        Ordering::Equal => serde_json::from_str(text).map_err(unfit)?,
        Ordering::Less => upcast(version, text)?,
        Ordering::Greater => {
            return Err(Failure::dead(format!(
                "its version {version} is newer than {known}, which this program reads; redrive it once a newer one runs"
            )));
        }
    };
    event.check().map_err(|errors| Failure::dead(broken_rules(&errors)))?;
    Ok(event)
}

fn upcast<E: Event>(version: u32, text: &str) -> Result<E, Failure> {
    let failed = |failure: Failure| {
        Failure::dead(format!("its version {version} can't be made one of version {}: {failure}", E::VERSION))
    };
    // It is below a `u16`; and no version is 0.
    let older = u16::try_from(version).unwrap_or_default();
    if older == 0 {
        return Err(Failure::dead("it has no version"));
    }
    let payload = E::upcast(older, serde_json::from_str(text).map_err(unfit)?).map_err(failed)?;
    serde_json::from_value(payload).map_err(|error| failed(unfit(error)))
}

/// The parser's own words may quote the payload.
fn unfit(error: serde_json::Error) -> Failure {
    Failure::dead(match error.column() {
        0 => "its payload does not fit the event's fields".to_owned(),
        place => format!("its payload does not fit the event's fields, at column {place}"),
    })
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};
    use serde_json::Value;
    use shared_core::NextStep;
    use validator::Validate;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize, Validate)]
    struct Paid {
        invoice: u64,
        #[validate(length(equal = 3))]
        currency: String,
    }

    // By hand: inside of the crate the derive's paths lead nowhere.
    impl Event for Paid {
        const NAME: &'static str = "invoice.paid";
        const VERSION: u16 = 3;
        fn key(&self) -> String {
            self.invoice.to_string()
        }
        fn check(&self) -> Result<(), validator::ValidationErrors> {
            self.validate()
        }
        fn upcast(version: u16, mut payload: Value) -> Result<Value, Failure> {
            if version <= 1 {
                payload["invoice"] =
                    payload["number"].as_u64().ok_or_else(|| Failure::new("no number"))?.into();
            }
            payload["currency"] = "CHF".into();
            Ok(payload)
        }
    }

    fn paid(invoice: u64, currency: &str) -> Paid {
        Paid { invoice, currency: currency.to_owned() }
    }

    #[test]
    fn every_version_up_to_this_one_is_read() {
        assert_eq!(read::<Paid>(1, r#"{"number":7}"#).unwrap(), paid(7, "CHF"));
        assert_eq!(read::<Paid>(2, r#"{"invoice":7}"#).unwrap(), paid(7, "CHF"));
        let text = write(&paid(7, "EUR")).unwrap();
        assert_eq!(read::<Paid>(3, &text).unwrap(), paid(7, "EUR"));
    }

    #[test]
    fn what_can_t_be_read_is_dead_and_says_why_without_quoting_it() {
        for (version, text, why) in [
            (4, r#"{"secret":1}"#, "its version 4 is newer than 3, which this program reads"),
            (0, r#"{"secret":1}"#, "it has no version"),
            (
                3,
                r#"{"invoice":"secret","currency":"CHF"}"#,
                "its payload does not fit the event's fields, at column",
            ),
            (3, r#"{"invoice":7,"currency":"secret"}"#, "`currency` breaks the rule `length`"),
            (1, r#"{"secret":7}"#, "its version 1 can't be made one of version 3: no number"),
            (
                2,
                r#"{"invoice":"secret"}"#,
                "its version 2 can't be made one of version 3: its payload does not fit",
            ),
            (1, "secret", "its payload does not fit the event's fields, at column"),
        ] {
            let failure = read::<Paid>(version, text).unwrap_err();
            assert_eq!(failure.next_step(), NextStep::Dead);
            let failure = failure.to_string();
            assert!(failure.contains(why) && !failure.contains("secret"), "{failure}");
        }
    }

    #[test]
    fn what_breaks_its_rules_is_not_written() {
        let refused = write(&paid(7, "secret")).unwrap_err().to_string();
        assert_eq!(refused, "event `invoice.paid` can't be published: `currency` breaks the rule `length`");
    }
}
