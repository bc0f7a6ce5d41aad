//! A place that holds stock: its bins, the walk through them, and which SKU belongs where. Its code
//! is the aggregate's id.
//! *Invariant:* a bin that was defined stays defined; a SKU belongs in at most one bin.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use nexus_es::Decider;

use super::{Bin, Sku};

/// Most bins that one command defines.
pub const MAX_BINS_A_CALL: usize = 1_000;

/// The address of a warehouse: the merchant's own, no personal data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// Governorate, state or province.
    pub governorate: String,
    /// City.
    pub city: String,
    /// District.
    pub district: String,
    /// Street and number.
    pub line1: String,
    /// Landmark.
    pub line2: String,
    /// Building.
    pub building: String,
    /// Floor.
    pub floor: String,
    /// Apartment.
    pub apartment: String,
    /// Postal code.
    pub postal_code: String,
}

/// What is known of a warehouse, beside its bins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Name.
    pub name: String,
    /// The lowest number is asked first.
    pub priority: u32,
    /// Where it is.
    pub address: Option<Box<Address>>,
}

/// A bin as it is asked for; what is `None` follows from the code, or stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBin {
    /// Its code.
    pub code: Bin,
    /// Where it comes on the walk.
    pub pick_sequence: Option<u32>,
    /// Its zone.
    pub zone: Option<String>,
}

/// A bin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinedBin {
    /// Its code.
    pub code: Bin,
    /// Where it comes on the walk.
    pub pick_sequence: u32,
    /// Its zone.
    pub zone: String,
}

/// What is asked of a warehouse.
#[derive(Clone, Debug)]
pub enum Command {
    /// Open it.
    Open(Details),
    /// Define bins, or change those that exist.
    DefineBins {
        /// The bins, each code once.
        bins: Vec<NewBin>,
    },
    /// Say where a SKU belongs.
    AssignBin {
        /// Which SKU.
        sku: Sku,
        /// In which bin.
        bin: Bin,
    },
}

/// What happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is there.
    Opened(Details),
    /// These bins are as stated.
    BinsDefined {
        /// The bins that are new or changed.
        bins: Vec<DefinedBin>,
    },
    /// The SKU belongs in this bin, and in no other any more.
    BinAssigned {
        /// Which SKU.
        sku: Sku,
        /// In which bin.
        bin: Bin,
    },
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The code is in use with other content.
    OtherContent,
    /// Nobody opened it.
    Unknown,
    /// It has no such bin.
    UnknownBin {
        /// Which.
        bin: Bin,
    },
}

/// The order in which bins are walked. A clone shares the map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk(Arc<HashMap<Bin, u32>>);

impl Walk {
    /// Where `bin` comes; bins without a place come last.
    #[must_use]
    pub fn sequence(&self, bin: &Bin) -> u32 {
        self.0.get(bin).copied().unwrap_or(u32::MAX)
    }
}

impl FromIterator<(Bin, u32)> for Walk {
    fn from_iter<I: IntoIterator<Item = (Bin, u32)>>(bins: I) -> Self {
        Self(Arc::new(bins.into_iter().collect()))
    }
}

/// A warehouse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Warehouse {
    details: Option<Details>,
    bins: BTreeMap<Bin, DefinedBin>,
    homes: BTreeMap<Sku, Bin>,
    walk: Walk,
}

impl Warehouse {
    /// What is known of it; `None` before it is opened.
    #[must_use]
    pub fn details(&self) -> Option<&Details> {
        self.details.as_ref()
    }

    /// Its bins by code.
    #[must_use]
    pub fn bins(&self) -> &BTreeMap<Bin, DefinedBin> {
        &self.bins
    }

    /// The walk through its bins.
    #[must_use]
    pub fn walk(&self) -> Walk {
        self.walk.clone()
    }

    /// The SKUs that belong in `bin`, by name.
    pub fn skus_of<'a>(&'a self, bin: &'a Bin) -> impl Iterator<Item = &'a Sku> + 'a {
        self.homes.iter().filter(move |(_, home)| *home == bin).map(|(sku, _)| sku)
    }

    fn defined(&self, new: &NewBin) -> DefinedBin {
        let known = self.bins.get(&new.code);
        let pick_sequence = new
            .pick_sequence
            .or(known.map(|bin| bin.pick_sequence))
            .unwrap_or_else(|| serpentine(new.code.as_str()));
        let zone = new.zone.clone().or_else(|| known.map(|bin| bin.zone.clone()));
        let zone = zone.unwrap_or_else(|| zone_of(new.code.as_str()).to_owned());
        DefinedBin { code: new.code.clone(), pick_sequence, zone }
    }
}

impl Decider for Warehouse {
    const CATEGORY: &'static str = "warehouse";
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        match (command, &self.details) {
            (Command::Open(details), None) => Ok(vec![Event::Opened(details.clone())]),
            (Command::Open(details), Some(known)) if details == known => Ok(vec![]),
            (Command::Open(_), Some(_)) => Err(Refusal::OtherContent),
            (Command::DefineBins { .. } | Command::AssignBin { .. }, None) => Err(Refusal::Unknown),
            (Command::DefineBins { bins }, Some(_)) => {
                let bins: Vec<_> = bins
                    .iter()
                    .map(|new| self.defined(new))
                    .filter(|bin| self.bins.get(&bin.code) != Some(bin))
                    .collect();
                Ok(if bins.is_empty() { vec![] } else { vec![Event::BinsDefined { bins }] })
            }
            (Command::AssignBin { bin, .. }, Some(_)) if !self.bins.contains_key(bin) => {
                Err(Refusal::UnknownBin { bin: bin.clone() })
            }
            (Command::AssignBin { sku, bin }, Some(_)) if self.homes.get(sku) == Some(bin) => {
                Ok(vec![])
            }
            (Command::AssignBin { sku, bin }, Some(_)) => {
                Ok(vec![Event::BinAssigned { sku: sku.clone(), bin: bin.clone() }])
            }
        }
    }

    fn evolve(mut self, event: &Event) -> Self {
        match event {
            Event::Opened(details) => self.details = Some(details.clone()),
            Event::BinsDefined { bins } => {
                let walk = Arc::make_mut(&mut self.walk.0);
                for bin in bins {
                    walk.insert(bin.code.clone(), bin.pick_sequence);
                    self.bins.insert(bin.code.clone(), bin.clone());
                }
            }
            Event::BinAssigned { sku, bin } => {
                self.homes.insert(sku.clone(), bin.clone());
            }
        }
        self
    }
}

fn zone_of(code: &str) -> &str {
    code.split('-').next().unwrap_or(code)
}

/// Where a bin comes when nobody says: by zone, aisle, rack, level and position, every second aisle
/// walked backwards. It follows from the code alone, so that new bins never renumber old ones.
fn serpentine(code: &str) -> u32 {
    let mut parts = parts(code).into_iter();
    let mut next = |most: u32| parts.next().unwrap_or(0).min(most);
    let (zone, aisle, rack, level, position) = (next(428), next(99), next(99), next(9), next(99));
    let rack = if aisle % 2 == 0 && aisle > 0 { 99 - rack } else { rack };
    (((zone * 100 + aisle) * 100 + rack) * 10 + level) * 100 + position
}

/// The numbers in a code: runs of digits as they are, runs of letters counted A = 1 … Z = 26, AA =
/// 27.
fn parts(code: &str) -> Vec<u32> {
    let mut parts: Vec<(bool, u32)> = Vec::new();
    let mut fresh = true;
    for c in code.chars() {
        let digit = c.to_digit(10);
        let letter = c.is_ascii_alphabetic().then(|| c.to_ascii_uppercase().to_digit(36)).flatten();
        let Some((is_digit, base, value)) =
            digit.map(|d| (true, 10, d)).or(letter.map(|l| (false, 26, l.saturating_sub(9))))
        else {
            fresh = true;
            continue;
        };
        match parts.last_mut() {
            Some((kind, number)) if !fresh && *kind == is_digit => {
                *number = number.saturating_mul(base).saturating_add(value);
            }
            _ => parts.push((is_digit, value)),
        }
        fresh = false;
    }
    parts.into_iter().map(|(_, number)| number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_es::kit::given;

    fn main() -> Details {
        Details { name: "Main".into(), priority: 1, address: None }
    }

    fn bin(code: &str) -> NewBin {
        NewBin { code: code.into(), pick_sequence: None, zone: None }
    }

    fn defined(code: &str, pick_sequence: u32, zone: &str) -> DefinedBin {
        DefinedBin { code: code.into(), pick_sequence, zone: zone.into() }
    }

    #[test]
    fn the_default_walk_goes_up_one_aisle_and_down_the_next() {
        let mut codes = vec![
            "B-01-01-1-1",
            "A-02-01-1-1",
            "A-01-02-1-1",
            "A-02-02-1-1",
            "A-01-01-2-1",
            "A-01-01-1-1",
        ];
        codes.sort_by_key(|code| serpentine(code));
        assert_eq!(
            codes,
            [
                "A-01-01-1-1",
                "A-01-01-2-1",
                "A-01-02-1-1",
                "A-02-02-1-1",
                "A-02-01-1-1",
                "B-01-01-1-1",
            ]
        );
        assert!(serpentine("A1") < serpentine("A2") && serpentine("A2") < serpentine("B1"));
        assert!(serpentine("ZZZZZZZZ-999999999999-9999-99-999") >= serpentine("Z-99-99-9-99"));
    }

    #[test]
    fn bins_are_defined_once_and_changed_by_what_is_said() {
        let redefined = NewBin { pick_sequence: Some(7), ..bin("A-01") };
        let opened = given::<Warehouse>([Event::Opened(main())]);
        let first = defined("A-01", serpentine("A-01"), "A");
        opened
            .when(&Command::DefineBins { bins: vec![bin("A-01")] })
            .then([Event::BinsDefined { bins: vec![first] }])
            .when(&Command::DefineBins { bins: vec![bin("A-01")] })
            .then_no_news()
            .when(&Command::DefineBins { bins: vec![redefined] })
            .then([Event::BinsDefined { bins: vec![defined("A-01", 7, "A")] }])
            // What is left out stays.
            .when(&Command::DefineBins { bins: vec![bin("A-01")] })
            .then_no_news();
    }

    #[test]
    fn a_sku_belongs_in_one_bin_at_a_time() {
        let assign = |bin: &str| Command::AssignBin { sku: "MUG".into(), bin: bin.into() };
        let assigned = |bin: &str| Event::BinAssigned { sku: "MUG".into(), bin: bin.into() };
        let bins = vec![defined("A", 1, "A"), defined("B", 2, "B")];
        given::<Warehouse>([Event::Opened(main()), Event::BinsDefined { bins }])
            .when(&assign("A"))
            .then([assigned("A")])
            .when(&assign("A"))
            .then_no_news()
            .when(&assign("B"))
            .then([assigned("B")])
            .when(&assign("C"))
            .then_refused(Refusal::UnknownBin { bin: "C".into() });
    }

    #[test]
    fn a_warehouse_is_opened_once_and_needed_for_bins() {
        given::<Warehouse>([])
            .when(&Command::DefineBins { bins: vec![bin("A")] })
            .then_refused(Refusal::Unknown);
        given::<Warehouse>([Event::Opened(main())]).when(&Command::Open(main())).then_no_news();
        given::<Warehouse>([Event::Opened(main())])
            .when(&Command::Open(Details { priority: 2, ..main() }))
            .then_refused(Refusal::OtherContent);
    }
}
