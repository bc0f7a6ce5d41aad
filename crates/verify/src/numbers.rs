//! Order numbers: each comes once, from a block that was leased before, and blocks leave no gap.
//! A number that was leased and never used is a gap that its block explains.

use nexus_proto::order::v1::{NumberSeriesBlockLeased, OrderCreated};

use crate::facts::Fact;
use crate::report::{Invariant, Report};

/// Most numbers that one block can have.
const MOST: u64 = 100_000_000;

struct Block {
    from: u64,
    to: u64,
    /// One bit a number.
    used: Vec<u64>,
}

#[derive(Default)]
pub(crate) struct Numbers {
    blocks: Vec<Block>,
    used: u64,
}

impl Numbers {
    pub(crate) fn hear(&mut self, fact: &Fact<'_>, report: &mut Report) {
        match fact.kind() {
            "number_series.BlockLeased" => {
                if let Some(leased) = fact.read(report) {
                    self.leased(fact, &leased, report);
                }
            }
            "order.Created" => {
                if let Some(created) = fact.read(report) {
                    self.created(fact, &created, report);
                }
            }
            _ => {}
        }
    }

    fn leased(&mut self, fact: &Fact<'_>, block: &NumberSeriesBlockLeased, report: &mut Report) {
        let NumberSeriesBlockLeased { from, to, .. } = *block;
        let before = self.blocks.last().map(|block| block.to);
        let follows = before.is_none_or(|end| end.checked_add(1) == Some(from)) && to >= from;
        report.expect(Invariant::Numbers, follows, fact.place, || {
            let end = before.unwrap_or_default();
            format!("the block {from} to {to} does not follow on {end}")
        });
        self.blocks.push(Block { from, to, used: Vec::new() });
    }

    fn created(&mut self, fact: &Fact<'_>, created: &OrderCreated, report: &mut Report) {
        let digits = created.number.trim_start_matches(|c: char| !c.is_ascii_digit());
        let taken = match digits.parse::<u64>() {
            Ok(number) => self.take(number),
            Err(_) => Err("holds no number"),
        };
        report.expect(Invariant::Numbers, taken.is_ok(), fact.place, || {
            format!("the order number {} {}", created.number, taken.err().unwrap_or_default())
        });
    }

    fn take(&mut self, number: u64) -> Result<(), &'static str> {
        let mut blocks = self.blocks.iter_mut().rev();
        let block = blocks
            .find(|block| (block.from..=block.to).contains(&number))
            .ok_or("lies in no block that was leased")?;
        let place = number - block.from;
        let (word, bit) = (usize::try_from(place / 64).unwrap_or(usize::MAX), place % 64);
        // Blocks are small; a number so far away would only fill the memory.
        if place > MOST {
            return Err("is out of all reason");
        }
        if block.used.len() <= word {
            block.used.resize(word + 1, 0);
        }
        let Some(bits) = block.used.get_mut(word) else { return Err("is out of all reason") };
        if *bits & (1 << bit) != 0 {
            return Err("was given to another order before");
        }
        *bits |= 1 << bit;
        self.used += 1;
        Ok(())
    }

    pub(crate) fn end(&self, report: &mut Report) {
        let leased: u64 = self.blocks.iter().fold(0, |sum, block| {
            let size = block.to.saturating_sub(block.from).saturating_add(1);
            u64::saturating_add(sum, size)
        });
        let unused = leased.saturating_sub(self.used);
        if unused > 0 {
            let blocks = self.blocks.len();
            let note = format!("{unused} numbers of {blocks} leased blocks are not used");
            report.note(Invariant::Numbers, note);
        }
    }
}
