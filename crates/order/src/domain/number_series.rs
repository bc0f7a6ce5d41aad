//! Order numbers, leased in blocks.
//! *Invariant:* blocks follow each other without a gap or an overlap, so that no number is given
//! out twice.

use nexus_es::Decider;

/// The first number ever given out.
pub(crate) const FIRST: u64 = 1001;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    Lease { holder: String, size: u64 },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    BlockLeased { from: u64, to: u64, holder: String },
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("a block holds at least one number")]
    Empty,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NumberSeries {
    next: u64,
    /// The newest block: who has it, from where to where.
    pub(crate) newest: Option<(String, u64, u64)>,
}

impl Default for NumberSeries {
    fn default() -> Self {
        Self { next: FIRST, newest: None }
    }
}

impl Decider for NumberSeries {
    const CATEGORY: &'static str = "number_series";
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        match command {
            Command::Lease { size: 0, .. } => Err(Refusal::Empty),
            Command::Lease { holder, size } => Ok(vec![Event::BlockLeased {
                from: self.next,
                to: self.next + size - 1,
                holder: holder.clone(),
            }]),
        }
    }

    fn evolve(self, event: &Event) -> Self {
        match event {
            Event::BlockLeased { from, to, holder } => {
                Self { next: to + 1, newest: Some((holder.clone(), *from, *to)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_es::kit::given;

    fn lease(size: u64) -> Command {
        Command::Lease { holder: "here".to_owned(), size }
    }

    fn block(from: u64, to: u64) -> Event {
        Event::BlockLeased { from, to, holder: "here".to_owned() }
    }

    #[test]
    fn blocks_follow_each_other() {
        given::<NumberSeries>([])
            .when(&lease(100))
            .then([block(1001, 1100)])
            .when(&lease(10))
            .then([block(1101, 1110)]);
        given::<NumberSeries>([]).when(&lease(0)).then_refused(Refusal::Empty);
    }
}
