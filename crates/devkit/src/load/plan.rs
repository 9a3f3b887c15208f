//! What a load is to be.

use std::fmt::{self, Display};
use std::time::Duration;

use super::arrivals::{Arrivals, Spread};
use super::driver::{self, Request};
use super::report::Report;
use crate::Error;

/// Longer than a benchmark or a soak test takes, and short enough for every clock.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What one task can hold and one core can drive.
const MOST_IN_FLIGHT: usize = 100_000;
const MOST_A_SECOND: f64 = 1_000_000.0;

/// How requests are made, for how long, and from which seed.
///
/// Ten seconds unless said otherwise, without warm-up.
#[derive(Clone, Debug)]
pub struct Load {
    pub(super) shape: Shape,
    pub(super) requests: Option<u64>,
    pub(super) duration: Option<Duration>,
    pub(super) warm_up: Duration,
    pub(super) time_limit: Duration,
    pub(super) seed: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Closed { workers: usize },
    Open(Arrivals),
}

impl Load {
    /// A closed loop of 1 to 100,000 workers: each has its next request when the last one has ended.
    pub fn closed(workers: usize) -> Load {
        Load::new(Shape::Closed { workers })
    }

    /// An open loop: requests arrive, however long the ones before them take.
    pub fn open(arrivals: Arrivals) -> Load {
        Load::new(Shape::Open(arrivals))
    }

    fn new(shape: Shape) -> Load {
        Load {
            shape,
            requests: None,
            duration: None,
            warm_up: Duration::ZERO,
            time_limit: Duration::from_secs(30),
            seed: 0,
        }
    }

    /// Starts requests for so long, up to a day. With [`Load::requests`], what comes first ends the load.
    pub fn duration(mut self, duration: Duration) -> Load {
        self.duration = Some(duration);
        self
    }

    /// Makes so many requests, those of the warm-up not counted. Without [`Load::duration`] it takes a day at the most.
    pub fn requests(mut self, requests: u64) -> Load {
        self.requests = Some(requests);
        self
    }

    /// Starts requests for so long before those that count: pools fill, plans are cached. None unless said otherwise.
    pub fn warm_up(mut self, duration: Duration) -> Load {
        self.warm_up = duration;
        self
    }

    /// How long a request may take, its wait for a place included: 30 seconds unless said otherwise, which is more than
    /// callers wait.
    ///
    /// It is cut off then, and counts as an error that took so long. So a load ends so long after its last request.
    pub fn time_limit(mut self, limit: Duration) -> Load {
        self.time_limit = limit;
        self
    }

    /// What arrivals and [`Request::random`] are derived from: 0 unless said otherwise.
    pub fn seed(mut self, seed: u64) -> Load {
        self.seed = seed;
        self
    }

    /// Runs the scenario for each request, and reports when the last one has ended.
    ///
    /// A request whose future gives an error is counted under the text of that error; see [`Report::errors`].
    /// A scenario that panics panics here.
    ///
    /// # Errors
    /// [`Error::Load`] for a load that cannot be, such as one of no workers. Nothing has been requested then.
    ///
    /// Dropping the future drops the requests in flight; it leaves nothing that runs.
    pub async fn run<T, E: Display>(
        &self,
        scenario: impl AsyncFn(Request) -> Result<T, E>,
    ) -> Result<Report, Error> {
        self.check()?;
        Ok(driver::run(self, scenario).await)
    }

    /// How long requests are started that count.
    pub(super) fn length(&self) -> Duration {
        let unsaid = if self.requests.is_some() { DAY } else { Duration::from_secs(10) };
        self.duration.unwrap_or(unsaid)
    }

    fn check(&self) -> Result<(), Error> {
        let within = |holds, what: &dyn Display, allowed| {
            if holds { Ok(()) } else { Err(Error::Load { found: what.to_string(), allowed }) }
        };
        let places = |places| (1..=MOST_IN_FLIGHT).contains(&places);
        match self.shape {
            Shape::Closed { workers } => {
                within(places(workers), &format_args!("{workers} workers"), "1 to 100000")?;
            }
            Shape::Open(Arrivals { rate, in_flight, .. }) => {
                let can_be = rate > 0.0 && rate <= MOST_A_SECOND;
                within(can_be, &format_args!("{rate} arrivals a second"), "more than 0, up to 1000000")?;
                within(places(in_flight), &format_args!("{in_flight} in flight"), "1 to 100000")?;
            }
        }
        let requests = self.requests.unwrap_or(1);
        within(requests > 0, &format_args!("{requests} requests"), "1 or more")?;
        let (length, warm_up, limit) = (self.length(), self.warm_up, self.time_limit);
        let some = |duration: Duration| !duration.is_zero() && duration <= DAY;
        within(some(length), &format_args!("a duration of {length:?}"), "more than 0, up to a day")?;
        within(warm_up <= DAY, &format_args!("a warm-up of {warm_up:?}"), "up to a day")?;
        within(some(limit), &format_args!("a time limit of {limit:?}"), "more than 0, up to a day")
    }
}

/// The load in a few words: `closed loop of 8, seed 0`.
impl Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shape {
            Shape::Closed { workers } => write!(f, "closed loop of {workers}")?,
            Shape::Open(Arrivals { rate, spread, in_flight }) => {
                let spread = match spread {
                    Spread::Poisson => "Poisson",
                    Spread::Uniform => "uniform",
                };
                write!(f, "open loop, {rate} {spread} arrivals a second, up to {in_flight} in flight")?;
            }
        }
        write!(f, ", seed {}", self.seed)
    }
}
