//! The sandbox's clock: real time, with every wait divided by the speed.
//! *Invariant:* a wait of `w` at speed `N` is never shorter than `w / N`.

use std::time::Duration;

use crate::failure::Error;

/// What is due within this time is done together.
pub(crate) const TURN: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    speed: f64,
}

impl Clock {
    pub(crate) fn new(speed: f64) -> Result<Self, Error> {
        if (0.001..=1_000_000.0).contains(&speed) {
            Ok(Self { speed })
        } else {
            Err(Error::Speed(speed))
        }
    }

    /// Milliseconds since 1970.
    pub(crate) fn now(self) -> i64 {
        jiff::Timestamp::now().as_millisecond()
    }

    /// A wait given in milliseconds at speed 1, at this clock's speed, rounded up.
    pub(crate) fn wait(self, at_speed_one: u64) -> Duration {
        let exact = Duration::from_millis(at_speed_one).div_f64(self.speed);
        Duration::from_millis(millis(exact).saturating_add(1).unsigned_abs())
    }

    pub(crate) fn after(self, at_speed_one: u64) -> i64 {
        self.now().saturating_add(millis(self.wait(at_speed_one)))
    }

    /// As [`Self::after`], and longer by a turn for every four seconds: what is held back to be
    /// overtaken is so at any speed.
    pub(crate) fn held_back(self, at_speed_one: u64) -> i64 {
        let turns = i64::try_from(at_speed_one.div_ceil(4_000)).unwrap_or(i64::MAX);
        self.after(at_speed_one).saturating_add(millis(TURN).saturating_mul(turns))
    }

    /// How long from now until a moment, zero when it has passed.
    pub(crate) fn until(self, moment: i64) -> Duration {
        Duration::from_millis(u64::try_from(moment.saturating_sub(self.now())).unwrap_or(0))
    }
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn rfc3339(moment: i64) -> String {
    jiff::Timestamp::from_millisecond(moment).unwrap_or_default().to_string()
}

/// The day in Cairo's winter time, the way the courier prints promise dates: not ISO.
pub(crate) fn day_month_year(moment: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(moment).unwrap_or_default();
    jiff::tz::offset(2).to_datetime(time).strftime("%d-%m-%Y").to_string()
}

#[cfg(test)]
mod tests {
    use super::{Clock, TURN, day_month_year};

    #[test]
    fn a_fast_clock_divides_waits_and_never_rounds_them_down() {
        let clock = Clock::new(200.0).unwrap();
        assert!(clock.wait(10_000).as_millis() >= 50);
        assert!(clock.wait(10_000).as_millis() <= 52);
        assert!(clock.wait(1).as_millis() >= 1);
    }

    #[test]
    fn what_is_held_back_longer_comes_turns_later_at_any_speed() {
        for speed in [1.0, 1_000.0, 1_000_000.0] {
            let clock = Clock::new(speed).unwrap();
            let turn = i64::try_from(TURN.as_millis()).unwrap();
            let moments = [0, 4_000, 8_000, 12_000].map(|wait| clock.held_back(wait));
            assert!(moments.is_sorted_by(|sooner, later| sooner + turn <= *later), "{moments:?}");
            assert!(clock.held_back(0) <= clock.after(0), "what is not held back waits no turn");
        }
    }

    #[test]
    fn a_speed_that_is_no_speed_is_refused() {
        for speed in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Clock::new(speed).is_err(), "{speed}");
        }
    }

    #[test]
    fn promise_dates_are_day_month_year() {
        assert_eq!(day_month_year(1_689_252_908_261), "13-07-2023");
    }
}
