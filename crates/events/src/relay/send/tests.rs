use std::sync::Arc;

use async_trait::async_trait;

use super::{Outlet, When};
use crate::sink::{Accepted, Capabilities, Dedup, Refusal, Sink};
use crate::{Envelope, Lane, Place};

/// It says that it has what no log can have made.
struct Forged;

#[async_trait]
impl Sink for Forged {
    fn name(&self) -> &str {
        "forged"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Dedup::Exact, true, true, true)
    }

    async fn last(&self, _: Lane) -> Result<Option<Place>, Refusal> {
        Ok(Some(Place::new(i64::MAX - 1, 1)))
    }

    async fn send(&self, _: Lane, _: Option<Place>, events: &[Envelope]) -> Accepted {
        Accepted::all(events.len())
    }
}

/// Else the waits between the times that the lane is tried would never grow.
#[tokio::test]
async fn an_answer_alone_does_not_say_that_what_somebody_else_wrote_is_gone() {
    let outlet = Outlet { sink: Arc::new(Forged), breaker: Default::default(), foreign: Default::default() };
    outlet.foreign.found(Lane::FIRST, When::Asking, "beyond a year".to_owned()).await;
    outlet.last(Lane::FIRST).await.unwrap();
    assert_eq!(outlet.foreign.said()[&Lane::FIRST.number()], "beyond a year");
}
