//! When an AWB shall be voided, ask the courier, and record what it says.

use std::sync::Arc;

use async_trait::async_trait;
use nexus_es::Heard;
use nexus_es::process::{Process, Trouble};

use super::{again, not_opened};
use crate::courier::CallError;
use crate::domain::shipment::Command;
use crate::parts::{Parts, cause_for};

const NAME: &str = "void_awb";

pub(super) struct VoidAwb {
    pub(super) parts: Arc<Parts>,
}

#[async_trait]
impl Process for VoidAwb {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sources(&self) -> &[&'static str] {
        &["shipping"]
    }

    fn key(&self, heard: &Heard) -> Option<String> {
        (heard.event_type() == "shipment.VoidRequested").then(|| heard.aggregate.id.clone())
    }

    async fn act(&self, heard: &Heard) -> Result<(), Trouble> {
        let id = heard.aggregate.id.as_str();
        let state = self.parts.shipment(id).await?;
        let (Some(plan), Some(awb), Some(_)) = (state.plan(), state.awb(), state.void_reason())
        else {
            return Ok(());
        };
        let opened = self.parts.accounts.open(&plan.account).await;
        let opened = opened.map_err(|error| not_opened(&error))?;
        let answer = self.parts.couriers.of(opened.courier).void(&opened.account, awb).await;
        let (action, command) = match answer {
            Ok(()) | Err(CallError::NotFound) => ("voided", Command::RecordVoided),
            Err(CallError::Refused(problem)) => {
                ("void refused", Command::RecordVoidRefused(problem))
            }
            Err(error) => return Err(again(&self.parts, &error)),
        };
        self.parts.record(id, command, cause_for(heard, NAME, action)).await.map(|_| ())
    }
}
