//! When an AWB is issued, fetch its label. Failing to is no harm: a print fetches it then.

use std::sync::Arc;

use async_trait::async_trait;
use nexus_es::Heard;
use nexus_es::process::{Process, Trouble};

use super::{again, not_opened};
use crate::courier::CallError;
use crate::domain::shipment::Event;
use crate::domain::{CourierKind, LabelFormat};
use crate::labels::{self, LabelError};
use crate::parts::{Parts, cause_for};

const NAME: &str = "store_label";

pub(super) struct StoreLabel {
    pub(super) parts: Arc<Parts>,
}

#[async_trait]
impl Process for StoreLabel {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sources(&self) -> &[&'static str] {
        &["shipping"]
    }

    fn key(&self, heard: &Heard) -> Option<String> {
        (heard.event_type() == "shipment.AwbIssued").then(|| heard.aggregate.id.clone())
    }

    async fn act(&self, heard: &Heard) -> Result<(), Trouble> {
        let Event::AwbIssued { awb, .. } = super::event(heard)? else { return Ok(()) };
        let id = heard.aggregate.id.as_str();
        let state = self.parts.shipment(id).await?;
        let manual = state.plan().is_none_or(|plan| plan.courier == CourierKind::Manual);
        let outdated = state.awb().is_none_or(|live| live.awb != awb.awb);
        if manual || outdated || state.label(LabelFormat::A6).is_some() {
            return Ok(());
        }
        let cause = cause_for(heard, NAME, "label stored");
        match labels::fetch(&self.parts, id, &state, LabelFormat::A6, cause).await {
            Ok(()) | Err(LabelError::NoAwb) => Ok(()),
            // Not printable, for example because it is delivered already.
            Err(LabelError::Courier(CallError::Refused(problem))) => {
                tracing::warn!("the courier gives no label of {id}: {}", problem.code);
                Ok(())
            }
            Err(LabelError::Courier(CallError::NotFound) | LabelError::Erased) => Ok(()),
            Err(LabelError::Courier(error)) => Err(again(&self.parts, &error)),
            Err(LabelError::Account(error)) => Err(not_opened(&error)),
            Err(LabelError::Record(trouble)) => Err(trouble),
            Err(LabelError::Store(why)) => Err(Trouble::Retry(why)),
        }
    }
}
