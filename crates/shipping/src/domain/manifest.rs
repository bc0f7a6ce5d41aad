//! A hand-over session: which parcels of one account were scanned into the courier's load.
//! *Invariant:* a parcel stands in a load once; a closed load never changes.

use nexus_es::Decider;

use super::CourierKind;

/// A parcel as the label in hand named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parcel {
    pub(crate) shipment_id: String,
    pub(crate) tracking_number: String,
    pub(crate) order_number: String,
    pub(crate) cod: i64,
    pub(crate) currency: String,
}

/// Why a label does not belong into the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    AlreadyScanned,
    UnknownLabel,
    OtherCourier,
    NotReady,
}

impl Misfit {
    const ALL: [Self; 4] =
        [Self::AlreadyScanned, Self::UnknownLabel, Self::OtherCourier, Self::NotReady];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AlreadyScanned => "ALREADY_SCANNED",
            Self::UnknownLabel => "UNKNOWN_LABEL",
            Self::OtherCourier => "OTHER_COURIER",
            Self::NotReady => "NOT_READY",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|misfit| misfit.name() == name)
    }
}

/// What the label turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scan {
    Ready(Parcel),
    Misfit { tracking_number: String, misfit: Misfit },
}

#[derive(Clone, Debug)]
pub(crate) enum Command {
    Open { account: String, courier: CourierKind },
    Scan(Scan),
    Close { at_ms: i64, document_sha256: Vec<u8> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Opened { account: String, courier: CourierKind },
    Scanned(Parcel),
    ScanRefused { tracking_number: String, misfit: Misfit },
    Closed { shipments: Vec<String>, at_ms: i64, document_sha256: Vec<u8> },
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("there is no such manifest")]
    NotFound,
    #[error("the manifest is closed")]
    Closed,
    #[error("nothing was scanned into the load")]
    Empty,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    session: Option<(String, CourierKind)>,
    parcels: Vec<Parcel>,
    closed: Option<Vec<u8>>,
}

impl Decider for Manifest {
    const CATEGORY: &'static str = "manifest";
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        match command {
            Command::Open { .. } if self.session.is_some() => Ok(vec![]),
            Command::Open { account, courier } => {
                Ok(vec![Event::Opened { account: account.clone(), courier: *courier }])
            }
            _ if self.session.is_none() => Err(Refusal::NotFound),
            Command::Close { .. } if self.closed.is_some() => Ok(vec![]),
            _ if self.closed.is_some() => Err(Refusal::Closed),
            Command::Scan(scan) => Ok(vec![self.scanned(scan)]),
            Command::Close { .. } if self.parcels.is_empty() => Err(Refusal::Empty),
            Command::Close { at_ms, document_sha256 } => Ok(vec![Event::Closed {
                shipments: self.parcels.iter().map(|parcel| parcel.shipment_id.clone()).collect(),
                at_ms: *at_ms,
                document_sha256: document_sha256.clone(),
            }]),
        }
    }

    fn evolve(mut self, event: &Event) -> Self {
        match event {
            Event::Opened { account, courier } => self.session = Some((account.clone(), *courier)),
            Event::Scanned(parcel) => self.parcels.push(parcel.clone()),
            Event::ScanRefused { .. } => {}
            Event::Closed { document_sha256, .. } => self.closed = Some(document_sha256.clone()),
        }
        self
    }
}

impl Manifest {
    fn scanned(&self, scan: &Scan) -> Event {
        let refused = |tracking_number: &String, misfit| Event::ScanRefused {
            tracking_number: tracking_number.clone(),
            misfit,
        };
        match scan {
            Scan::Misfit { tracking_number, misfit } => refused(tracking_number, *misfit),
            Scan::Ready(parcel) if self.holds(&parcel.shipment_id) => {
                refused(&parcel.tracking_number, Misfit::AlreadyScanned)
            }
            Scan::Ready(parcel) => Event::Scanned(parcel.clone()),
        }
    }

    fn holds(&self, shipment: &str) -> bool {
        self.parcels.iter().any(|parcel| parcel.shipment_id == shipment)
    }

    /// The account whose courier comes, once the session is open.
    pub(crate) fn account(&self) -> Option<&str> {
        self.session.as_ref().map(|(account, _)| account.as_str())
    }

    /// The courier that comes.
    pub(crate) fn courier(&self) -> CourierKind {
        self.session.as_ref().map(|(_, courier)| *courier).unwrap_or_default()
    }

    /// The load, in the order of scanning.
    pub(crate) fn parcels(&self) -> &[Parcel] {
        &self.parcels
    }

    /// The stored document of a closed load.
    pub(crate) fn document(&self) -> Option<&[u8]> {
        self.closed.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use nexus_es::kit::given;

    use super::*;

    fn parcel(id: &str) -> Parcel {
        Parcel {
            shipment_id: id.to_owned(),
            tracking_number: format!("T-{id}"),
            order_number: "1001".to_owned(),
            cod: 0,
            currency: "EGP".to_owned(),
        }
    }

    fn opened() -> Event {
        Event::Opened { account: "main".to_owned(), courier: CourierKind::Bosta }
    }

    fn close() -> Command {
        Command::Close { at_ms: 7, document_sha256: vec![1] }
    }

    #[test]
    fn only_what_was_scanned_goes_and_the_same_label_counts_once() {
        let again = Event::ScanRefused {
            tracking_number: "T-a".to_owned(),
            misfit: Misfit::AlreadyScanned,
        };
        let closed =
            Event::Closed { shipments: vec!["a".to_owned()], at_ms: 7, document_sha256: vec![1] };
        given::<Manifest>([opened()])
            .when(&Command::Scan(Scan::Ready(parcel("a"))))
            .then([Event::Scanned(parcel("a"))])
            .when(&Command::Scan(Scan::Ready(parcel("a"))))
            .then([again])
            .when(&close())
            .then([closed])
            .when(&close())
            .then_no_news();
    }

    #[test]
    fn a_foreign_label_is_kept_as_an_answer() {
        let foreign =
            Event::ScanRefused { tracking_number: "X".to_owned(), misfit: Misfit::UnknownLabel };
        given::<Manifest>([opened()])
            .when(&Command::Scan(Scan::Misfit {
                tracking_number: "X".to_owned(),
                misfit: Misfit::UnknownLabel,
            }))
            .then([foreign]);
    }

    #[test]
    fn a_closed_load_takes_no_more_and_an_empty_one_cannot_close() {
        given::<Manifest>([opened()]).when(&close()).then_refused(Refusal::Empty);
        let closed = Event::Closed { shipments: vec![], at_ms: 1, document_sha256: vec![] };
        given::<Manifest>([opened(), Event::Scanned(parcel("a")), closed])
            .when(&Command::Scan(Scan::Ready(parcel("b"))))
            .then_refused(Refusal::Closed);
        given::<Manifest>([]).when(&close()).then_refused(Refusal::NotFound);
    }
}
