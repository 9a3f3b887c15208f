use std::fmt;
use std::str::FromStr;

/// How many lanes the log has. Events of one tenant and key are in one lane, so a lane is as far as order goes; sixteen let that many
/// relays share a subscription.
pub const LANES: u8 = 16;

/// A part of the log that is read in order: all events of some keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(u8);

impl Lane {
    /// The lane of number 0.
    pub(crate) const FIRST: Self = Self(0);

    /// The lane of this number, below [`LANES`].
    pub const fn new(number: u8) -> Option<Self> {
        if number < LANES { Some(Self(number)) } else { None }
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Its number, as the tables have it.
    pub(crate) fn column(self) -> i16 {
        i16::from(self.0)
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..LANES).map(Self)
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where an event is in the order of its lane: the tick that cut off its batch, and its position in the log. The same event has the
/// same place whoever reads it and however often, and later ones in its lane have greater places. Its text is `tick-pos`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The tick that cut off its batch.
    pub tick: i64,
    /// Its position in the log.
    pub pos: i64,
}

impl Place {
    /// The place `tick-pos`.
    pub const fn new(tick: i64, pos: i64) -> Self {
        Self { tick, pos }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.tick, self.pos)
    }
}

/// A text that is no place.
#[derive(Debug, thiserror::Error)]
#[error("a place is two numbers, such as 12-345")]
#[non_exhaustive]
pub struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (tick, pos) = text.split_once('-').ok_or(NoPlace)?;
        let number = |text: &str| text.parse().ok().filter(|number: &i64| *number >= 0).ok_or(NoPlace);
        Ok(Self { tick: number(tick)?, pos: number(pos)? })
    }
}

#[cfg(test)]
mod tests {
    use super::{LANES, Lane, Place};

    #[test]
    fn a_place_is_its_text() {
        let place = Place::new(12, 345);
        assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
        for bad in ["", "12", "12-", "-1-2", "1-2-3", "a-b"] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }

    #[test]
    fn later_ticks_come_later_whatever_the_position() {
        assert!(Place::new(2, 1) > Place::new(1, 9));
        assert!(Place::new(2, 2) > Place::new(2, 1));
    }

    #[test]
    fn there_are_sixteen_lanes() {
        assert_eq!(Lane::all().count(), usize::from(LANES));
        assert_eq!(Lane::new(LANES), None);
    }
}
