//! Fulfilments: listed before picked, picked before packed, packed before handed over.

use std::collections::{BTreeMap, HashMap};

use nexus_proto::fulfillment::v1::{
    FulfillmentHandedOver, FulfillmentListed, FulfillmentOpened, FulfillmentPacked,
    FulfillmentPicked, FulfillmentUnlisted, FulfillmentWithdrawn, PickedLine,
};

use crate::facts::{Fact, Place};
use crate::orders::Units;
use crate::report::{Invariant, Report};
use crate::stock::Name;

/// How far a fulfilment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    New,
    Ready,
    Listed,
    Picked,
    Packed,
    HandedOver,
    Withdrawn,
}

pub(crate) struct Fulfillment {
    pub(crate) place: Place,
    pub(crate) order_id: String,
    /// The reservation that holds its goods.
    pub(crate) promise: Name,
    pub(crate) stage: Stage,
    list: String,
    /// Units to pick by order line.
    pub(crate) wanted: BTreeMap<String, u64>,
    picked: Units,
    parcels: Vec<String>,
    handed_over: usize,
}

#[derive(Default)]
pub(crate) struct Fulfillments {
    pub(crate) all: HashMap<String, Fulfillment>,
}

impl Fulfillments {
    pub(crate) fn hear(&mut self, fact: &Fact<'_>, report: &mut Report) {
        if !fact.kind().starts_with("fulfillment.") {
            return;
        }
        let known =
            self.all.entry(fact.of().to_owned()).or_insert_with(|| Fulfillment::new(fact.place));
        known.place = fact.place.clone();
        known.hear(fact, report);
    }
}

impl Fulfillment {
    fn new(place: &Place) -> Self {
        Self {
            place: place.clone(),
            order_id: String::new(),
            promise: Name::default(),
            stage: Stage::New,
            list: String::new(),
            wanted: BTreeMap::new(),
            picked: Units::new(),
            parcels: Vec::new(),
            handed_over: 0,
        }
    }

    fn hear(&mut self, fact: &Fact<'_>, report: &mut Report) {
        let over = matches!(self.stage, Stage::Withdrawn | Stage::HandedOver);
        report.count(Invariant::I13);
        if over && fact.kind() != "fulfillment.PutBack" {
            let what = format!("{} follows, but the fulfilment is {:?}", fact.kind(), self.stage);
            return report.violated(Invariant::I13, fact.place, what);
        }
        report.count(Invariant::I12);
        match self.step(fact, report) {
            Some(next) => self.stage = next,
            None => {
                let at = self.stage;
                let what = format!("{} cannot follow while the goods are {at:?}", fact.kind());
                report.violated(Invariant::I12, fact.place, what);
            }
        }
    }

    /// Where the event leads; `None` when it cannot happen here.
    fn step(&mut self, fact: &Fact<'_>, report: &mut Report) -> Option<Stage> {
        use Stage::{HandedOver, Listed, New, Packed, Picked, Ready, Withdrawn};
        match (fact.kind(), self.stage) {
            ("fulfillment.Opened", New) => {
                let opened: FulfillmentOpened = fact.read(report)?;
                self.order_id = opened.order_id;
                self.promise = (opened.warehouse, opened.reservation);
                for line in opened.lines {
                    *self.wanted.entry(line.line_id).or_default() += u64::from(line.units);
                }
                Some(Ready)
            }
            ("fulfillment.Listed", Ready) => {
                self.list = fact.read::<FulfillmentListed>(report)?.pick_list_id;
                Some(Listed)
            }
            ("fulfillment.Unlisted", Listed) => {
                let unlisted: FulfillmentUnlisted = fact.read(report)?;
                (unlisted.pick_list_id == self.list).then_some(Ready)
            }
            ("fulfillment.Picked", Listed) => {
                let picked: FulfillmentPicked = fact.read(report)?;
                self.check_picked(&picked.lines, fact.place, report);
                (picked.pick_list_id == self.list).then_some(Picked)
            }
            ("fulfillment.PickDisputed", Listed) => Some(Listed),
            ("fulfillment.Packed", Picked) => {
                let packed: FulfillmentPacked = fact.read(report)?;
                self.check_packed(&packed, fact.place, report);
                self.parcels = packed.parcels.into_iter().map(|parcel| parcel.parcel_id).collect();
                Some(Packed)
            }
            ("fulfillment.HandedOver", Packed) => {
                let gone: FulfillmentHandedOver = fact.read(report)?;
                self.handed_over += 1;
                let last = self.handed_over == self.parcels.len();
                let fits = self.parcels.contains(&gone.parcel_id) && gone.last == last;
                if last {
                    // Nothing that follows needs quantities.
                    self.picked.clear();
                    self.wanted.clear();
                }
                fits.then_some(if last { HandedOver } else { Packed })
            }
            // Before its opening was heard too; after a pick that found nothing as well.
            ("fulfillment.Withdrawn", New | Ready | Listed | Picked | Packed) => {
                self.order_id = fact.read::<FulfillmentWithdrawn>(report)?.order_id;
                Some(Withdrawn)
            }
            ("fulfillment.PutBack", Withdrawn) => Some(Withdrawn),
            _ => None,
        }
    }

    fn check_picked(&mut self, lines: &[PickedLine], place: &Place, report: &mut Report) {
        let mut got: BTreeMap<String, u64> = BTreeMap::new();
        for line in lines {
            let units = u64::from(line.picked) + u64::from(line.short);
            *got.entry(line.line_id.clone()).or_default() += units;
            *self.picked.entry(line.sku.clone()).or_default() += u64::from(line.picked);
        }
        self.picked.retain(|_, units| *units > 0);
        got.retain(|_, units| *units > 0);
        self.wanted.retain(|_, units| *units > 0);
        report.expect(Invariant::I21, got == self.wanted, place, || {
            format!("picked and missing units are {got:?}, to be picked were {:?}", self.wanted)
        });
    }

    fn check_packed(&mut self, packed: &FulfillmentPacked, place: &Place, report: &mut Report) {
        let mut contents = Units::new();
        for item in packed.parcels.iter().flat_map(|parcel| &parcel.contents) {
            *contents.entry(item.sku.clone()).or_default() += u64::from(item.units);
        }
        contents.retain(|_, units| *units > 0);
        report.expect(Invariant::I21, contents == self.picked, place, || {
            format!("the parcels hold {contents:?}, picked were {:?}", self.picked)
        });
    }
}
